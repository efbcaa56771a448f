//! The store behind every command: one SQLite database, opened for what the command needs.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{BackupReport, SqliteBackend, SqliteOptions, VerifyReport};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::Limits;

use crate::error::{Error, Exit, Result, STOPPED_FIX};

/// How long the end of a command waits for background work.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How often a command that goes on looks whether its database file is still there.
const LOOK_AT_FILE: Duration = Duration::from_secs(1);

/// Which database, and with which limits.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// As the user wrote it.
    pub(crate) url: String,
    /// What the engine takes and gives.
    pub(crate) limits: Limits,
}

/// What a command does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It brings work or does work: the file may be new, and what is due is settled meanwhile.
    Serve,
    /// It brings work and leaves: the file may be new.
    Submit,
    /// It waits for or ends what is there: without a file there is nothing, and what is due is settled
    /// meanwhile.
    Attend,
    /// It looks at or changes what is there: without a file there is nothing.
    Inspect,
}

/// An open database.
pub(crate) struct Store {
    sqlite: Arc<SqliteBackend>,
}

impl Store {
    /// Opens the database.
    pub(crate) async fn open(location: &Location, purpose: Purpose) -> Result<Self> {
        refuse_other_schemes(&location.url)?;
        if matches!(purpose, Purpose::Inspect | Purpose::Attend)
            && let Some(path) = file_of(&location.url)
            && !path.exists()
        {
            return Err(Error::new(
                Exit::NotFound,
                "store_not_found",
                format!("there is no store at `{}`", path.display()),
            )
            .why("the file does not exist, and this command makes none")
            .fix("`ff submit` creates it; --store sqlite:PATH or FF_STORE names another"));
        }
        let sqlite = SqliteOptions::new(location.url.clone())
            .sweeps(matches!(purpose, Purpose::Serve | Purpose::Attend))
            .limits(location.limits.clone())
            .open()
            .await
            .map_err(|error| Error::open(&location.url, &error))?;
        Ok(Self { sqlite })
    }

    /// The engine.
    pub(crate) fn engine(&self) -> Arc<dyn EngineBackend> {
        Arc::<SqliteBackend>::clone(&self.sqlite)
    }

    /// The database's file, to be watched; a database in memory has none.
    pub(crate) fn file(&self) -> File {
        let known = self.sqlite.path().and_then(|path| {
            // What is not there is found missing by the first command that writes.
            let about = path.metadata().ok()?;
            Some((path.to_owned(), (about.dev(), about.ino())))
        });
        File { known }
    }

    /// Checks every invariant, row by row.
    pub(crate) async fn verify(&self) -> Result<VerifyReport> {
        self.sqlite.verify().await.map_err(|error| Error::engine("verify the store", &error))
    }

    /// Copies the database to a new file while others work on it.
    pub(crate) async fn backup(&self, path: &Path) -> Result<BackupReport> {
        self.sqlite
            .backup(path)
            .await
            .map_err(|error| Error::engine(&format!("back up to `{}`", path.display()), &error))
    }

    /// Ends background work. What is acknowledged is stored already, so a failure here loses nothing.
    pub(crate) async fn close(self) {
        if let Err(error) = self.sqlite.shutdown_prepare(SHUTDOWN_GRACE).await {
            tracing::debug!(%error, "background work did not end in time");
        }
    }
}

/// The file a database was opened from.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Where it was, and its device and inode.
    known: Option<(PathBuf, (u64, u64))>,
}

impl File {
    /// Waits until the path no longer leads to the file, and says so.
    ///
    /// The writer notices at its next commit only, and one who just waits commits nothing. The path is
    /// looked at and never opened: closing a descriptor of the file would drop SQLite's locks.
    pub(crate) async fn moved(&self) -> Error {
        let Some((path, identity)) = &self.known else { return std::future::pending().await };
        let shown = path.display();
        let why = loop {
            tokio::time::sleep(LOOK_AT_FILE).await;
            match tokio::fs::metadata(path).await {
                Ok(about) if (about.dev(), about.ino()) == *identity => {}
                Ok(_) => {
                    break format!("the database file {shown} was replaced while it was open");
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    break format!("the database file {shown} is gone: it was moved or removed");
                }
                Err(error) => tracing::warn!(%error, "cannot look at the database file {shown}"),
            }
        };
        Error::new(Exit::Error, "store_stopped", format!("the store `{shown}` was taken away"))
            .why(why)
            .fix(STOPPED_FIX)
    }
}

/// Refuses a URL that is meant for another kind of store; as a path it would only be a strange one.
fn refuse_other_schemes(url: &str) -> Result<()> {
    let Some((scheme, _)) = url.split_once(':') else { return Ok(()) };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme || is_uri(url) {
        return Ok(());
    }
    // What follows may hold a password.
    Err(Error::usage(format!("the store's scheme `{scheme}:` is not supported"))
        .why("this program keeps its store in one SQLite file")
        .fix("use sqlite:PATH or sqlite::memory:"))
}

/// The file behind the URL, or `None` for one in memory and for a spelling only the backend can read.
fn file_of(url: &str) -> Option<PathBuf> {
    let (path, _) = split(url);
    if path.is_empty() || path == ":memory:" || url.contains("memory") || url.contains("memdb") {
        return None;
    }
    if is_uri(url) && path.contains('%') {
        return None;
    }
    Some(PathBuf::from(path))
}

/// The URL with an absolute path, so that it names the same file from any directory.
pub(crate) fn absolute(url: &str, directory: &Path) -> String {
    let (path, query) = split(url);
    let in_memory = path == ":memory:" || query.contains("memory") || query.contains("memdb");
    if in_memory || path.is_empty() || path.starts_with('/') {
        return url.to_owned();
    }
    let scheme = if url.starts_with("file:") { "file:" } else { "sqlite:" };
    let relative = path.strip_prefix("./").unwrap_or(path);
    if !is_uri(url) {
        return directory.join(relative).display().to_string();
    }
    let directory = directory.display().to_string();
    let encoded = directory.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("{scheme}{}/{relative}{query}", encoded.trim_end_matches('/'))
}

fn is_uri(url: &str) -> bool {
    url.starts_with("sqlite:") || url.starts_with("file:")
}

/// Path and query; the query keeps its question mark.
fn split(url: &str) -> (&str, &str) {
    if !is_uri(url) {
        return (url, "");
    }
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("file:").unwrap_or(rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.find('?').map_or((rest, ""), |at| rest.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_its_name_in_another_directory() {
        let here = Path::new("/home/me");
        for (url, expected) in [
            ("sqlite:./flowfabric.db", "sqlite:/home/me/flowfabric.db"),
            ("sqlite:a/b.db?mode=rwc", "sqlite:/home/me/a/b.db?mode=rwc"),
            ("sqlite:/var/x.db", "sqlite:/var/x.db"),
            ("sqlite:///var/x.db", "sqlite:///var/x.db"),
            ("file:x.db", "file:/home/me/x.db"),
            ("x.db", "/home/me/x.db"),
            ("../x.db", "/home/me/../x.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            (":memory:", ":memory:"),
            ("file:x?mode=memory&cache=shared", "file:x?mode=memory&cache=shared"),
        ] {
            assert_eq!(absolute(url, here), expected);
        }
        assert_eq!(absolute("sqlite:x.db", Path::new("/a%b?c")), "sqlite:/a%25b%3Fc/x.db");
    }

    #[test]
    fn a_url_for_another_store_is_refused_and_a_path_is_not() {
        for url in ["postgres://u:secret@h/d", "valkey://h", "memory:", "sqlite3://x.db"] {
            let error = refuse_other_schemes(url).unwrap_err();
            assert_eq!(error.exit, Exit::Usage, "{url}");
            assert!(!error.human(false).contains("secret"));
            assert!(error.fix.unwrap().contains("sqlite:PATH or sqlite::memory:"));
        }
        for url in ["sqlite:x", "sqlite:///x", "file:x", ":memory:", "x.db", "./a:b", "/a:b/c"] {
            assert_eq!(refuse_other_schemes(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn only_a_plain_file_is_looked_for() {
        assert_eq!(file_of("sqlite:./a.db"), Some(PathBuf::from("./a.db")));
        assert_eq!(file_of("sqlite:///a.db?mode=rwc"), Some(PathBuf::from("/a.db")));
        assert_eq!(file_of("a.db"), Some(PathBuf::from("a.db")));
        for url in ["sqlite::memory:", ":memory:", "file:x?mode=memory", "sqlite:a%20b.db"] {
            assert_eq!(file_of(url), None, "{url}");
        }
    }
}
