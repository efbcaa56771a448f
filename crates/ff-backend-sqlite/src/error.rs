//! What SQLite reports, in the engine's words. Each code is given its meaning here and nowhere else.
//!
//! Two audiences: an operation that fails answers an [`EngineError`], a backend that cannot be opened a
//! [`BackendError`]. A full disk and a held lock pass by themselves, so they come back as `ResourceExhausted` with a
//! time to wait; what needs a person comes back as `Transport` around a [`StorageError`] that says what to do.

use std::fmt;

use ff_core::engine_error::ValidationKind;
use ff_core::{BackendError, BackendErrorKind, EngineError};
use rusqlite::ffi;

/// The name of this backend in [`EngineError::Transport`].
pub(crate) const BACKEND: &str = "sqlite";

/// The pool named when the disk is full.
pub(crate) const POOL_STORAGE: &str = "sqlite storage";

/// The pool named when another process held the write lock for the whole busy timeout.
pub(crate) const POOL_WRITE_LOCK: &str = "sqlite write lock";

const RETRY_STORAGE_MS: u32 = 1_000;
const RETRY_WRITE_LOCK_MS: u32 = 100;

/// A failure of the database itself: what was attempted, what SQLite said, what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageError {
    /// SQLite's primary result code.
    pub code: i32,
    /// SQLite's extended result code.
    pub extended_code: i32,
    /// What was being done, as a verb phrase: `load an execution`.
    pub what: &'static str,
    /// What SQLite said.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { extended_code, what, message, remedy, .. } = self;
        write!(f, "could not {what}: {message} (SQLite code {extended_code}); {remedy}")
    }
}

impl std::error::Error for StorageError {}

impl StorageError {
    fn new(what: &'static str, error: &rusqlite::Error) -> Self {
        let (extended_code, message) = match error {
            rusqlite::Error::SqliteFailure(e, Some(text)) => (e.extended_code, text.clone()),
            rusqlite::Error::SqliteFailure(e, None) => (e.extended_code, e.to_string()),
            rusqlite::Error::SqlInputError { error: e, msg, sql, .. } => {
                (e.extended_code, format!("{msg} in `{sql}`"))
            }
            other => (ffi::SQLITE_ERROR, other.to_string()),
        };
        let code = primary(extended_code);
        Self { code, extended_code, what, message, remedy: remedy(code) }
    }
}

/// The low byte of a result code names its class; the rest refines it.
const fn primary(extended_code: i32) -> i32 {
    extended_code & 0xff
}

const fn remedy(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            "another connection holds the lock: try again, and look for a process that keeps a transaction open"
        }
        ffi::SQLITE_FULL => "free space on the disk that holds the database, then try again",
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => {
            "make the database file and its directory writable for this user"
        }
        ffi::SQLITE_IOERR => {
            "check the disk and the system log, then restart; nothing unconfirmed was kept"
        }
        ffi::SQLITE_CORRUPT => {
            "stop every process that uses the file, run `PRAGMA integrity_check`, and restore a backup"
        }
        ffi::SQLITE_NOTADB => "the file is not a SQLite database: check the path",
        ffi::SQLITE_CANTOPEN => {
            "check that the file and its directory exist and that this user may read and write both"
        }
        ffi::SQLITE_NOMEM => "give the process more memory, then restart",
        ffi::SQLITE_CONSTRAINT => {
            "a stored row contradicts the schema: look for a writer outside the engine"
        }
        _ => "this is a defect or a damaged schema: report it with this message",
    }
}

/// What `error` means for an operation that was about to `what` (a verb phrase: `load an execution`).
///
/// A value that a column cannot hold is corruption, as a row from outside may carry one.
#[expect(clippy::needless_pass_by_value, reason = "it is the last use of the error, in `map_err`")]
pub(crate) fn storage(what: &'static str, error: rusqlite::Error) -> EngineError {
    use rusqlite::Error;
    match &error {
        Error::InvalidColumnType(_, column, found) => {
            return corruption(format!("{column}: {found} is not the column's type (to {what})"));
        }
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => return corruption(format!("{error} (to {what})")),
        _ => {}
    }
    let failure = StorageError::new(what, &error);
    match failure.code {
        ffi::SQLITE_FULL => EngineError::ResourceExhausted {
            pool: POOL_STORAGE,
            max: 0,
            retry_after_ms: Some(RETRY_STORAGE_MS),
        },
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => EngineError::ResourceExhausted {
            pool: POOL_WRITE_LOCK,
            max: 1,
            retry_after_ms: Some(RETRY_WRITE_LOCK_MS),
        },
        _ => EngineError::Transport { backend: BACKEND, source: Box::new(failure) },
    }
}

/// What `error` means for a backend that was about to `what`.
#[expect(clippy::needless_pass_by_value, reason = "it is the last use of the error, in `map_err`")]
pub(crate) fn opening(what: &'static str, error: rusqlite::Error) -> BackendError {
    let failure = StorageError::new(what, &error);
    let kind = match failure.code {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => BackendErrorKind::Timeout,
        ffi::SQLITE_IOERR | ffi::SQLITE_FULL | ffi::SQLITE_NOMEM => BackendErrorKind::Transport,
        // The file is another one than was meant; a damaged one of ours is not.
        ffi::SQLITE_NOTADB => BackendErrorKind::Protocol,
        _ => BackendErrorKind::Other,
    };
    BackendError::Sqlite { kind, message: failure.to_string() }
}

/// A refusal to open that no retry changes: `message` says what was found, why it is refused and what to do.
pub(crate) fn refused(message: impl Into<String>) -> BackendError {
    BackendError::Sqlite { kind: BackendErrorKind::Protocol, message: message.into() }
}

/// Whether `error` is SQLite's "another connection holds the lock".
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(e, _)
            if matches!(primary(e.extended_code), ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
    )
}

/// Errors after which nothing may be acknowledged any more: the disk did not keep what it was
/// told to, or the file is not what it was.
pub(crate) fn is_fatal(extended_code: i32) -> bool {
    matches!(extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
        || matches!(primary(extended_code), ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB)
}

/// The failure under `error`, if it is one of those.
pub(crate) fn fatal_in(error: &EngineError) -> Option<&StorageError> {
    let EngineError::Transport { source, .. } = error else { return None };
    source.downcast_ref::<StorageError>().filter(|failure| is_fatal(failure.extended_code))
}

/// A stored value outside what the column may hold, named by table, column and row.
///
/// `corrupt("ff_exec_core", "lifecycle_phase", &execution_id, "x")` reads
/// `ff_exec_core.lifecycle_phase: 'x' is not a known value (execution {…})`; `key` names its own kind of row.
pub(crate) fn corrupt(
    table: &str,
    column: &str,
    key: impl fmt::Display,
    value: impl fmt::Display,
) -> EngineError {
    corruption(format!("{table}.{column}: '{value}' is not a known value ({key})"))
}

fn corruption(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::Corruption, detail }
}

/// Names what was being done where a rusqlite error leaves the store.
pub(crate) trait Doing<T> {
    /// For an operation: `….doing("load an execution")?`.
    fn doing(self, what: &'static str) -> Result<T, EngineError>;
    /// For a backend that is being opened.
    fn opening(self, what: &'static str) -> Result<T, BackendError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, EngineError> {
        self.map_err(|error| storage(what, error))
    }

    fn opening(self, what: &'static str) -> Result<T, BackendError> {
        self.map_err(|error| opening(what, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended_code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None)
    }

    #[test]
    fn a_full_disk_and_a_held_lock_are_retryable() {
        assert!(matches!(
            storage("commit", failure(ffi::SQLITE_FULL)),
            EngineError::ResourceExhausted {
                pool: "sqlite storage",
                max: 0,
                retry_after_ms: Some(1000)
            }
        ));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED_SHAREDCACHE] {
            assert!(is_busy(&failure(code)));
            assert!(matches!(
                storage("commit", failure(code)),
                EngineError::ResourceExhausted {
                    pool: "sqlite write lock",
                    max: 1,
                    retry_after_ms: Some(100)
                }
            ));
        }
    }

    #[test]
    fn every_other_failure_says_what_happened_why_and_what_to_do() {
        for code in [
            ffi::SQLITE_READONLY,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
        ] {
            let EngineError::Transport { backend, source } = storage("commit", failure(code))
            else {
                panic!("code {code} is not a transport error");
            };
            assert_eq!(backend, "sqlite");
            let error = source.downcast_ref::<StorageError>().unwrap();
            assert_eq!((error.code, error.extended_code), (code & 0xff, code));
            let text = error.to_string();
            assert!(
                text.starts_with("could not commit: ") && text.ends_with(error.remedy),
                "{text}"
            );
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_corruption_and_names_its_column() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let error = conn
            .query_row("SELECT 'x' AS priority", [], |row| row.get::<_, i64>(0))
            .doing("load an execution")
            .unwrap_err();
        let EngineError::Validation { kind, detail } = error else { panic!("{error:?}") };
        assert_eq!(kind, ValidationKind::Corruption);
        assert!(detail.starts_with("priority: "), "{detail}");
    }

    #[test]
    fn a_corrupt_state_names_table_column_value_and_row() {
        let error = corrupt("ff_exec_core", "lifecycle_phase", "execution {fp:0}:1", "x");
        assert_eq!(
            error.to_string(),
            "validation: Corruption: ff_exec_core.lifecycle_phase: 'x' is not a known value (execution {fp:0}:1)"
        );
    }
}
