//! Trying again when SQLite says that another connection holds the lock.

use std::time::Duration;

use ff_core::EngineError;

#[cfg(feature = "sqlx-pool")]
use crate::error::BACKEND;
use crate::error::POOL_WRITE_LOCK;

/// How often [`retry_serializable`] calls, the first time included.
pub const MAX_ATTEMPTS: u32 = 3;

/// The pause before the second call; it doubles before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Errors that may mean "the database is locked, try again".
pub trait IsRetryableBusy {
    /// Whether the call failed only because another connection holds the lock.
    fn is_retryable_busy(&self) -> bool;
}

impl IsRetryableBusy for EngineError {
    fn is_retryable_busy(&self) -> bool {
        match self {
            Self::ResourceExhausted { pool, .. } => *pool == POOL_WRITE_LOCK,
            #[cfg(feature = "sqlx-pool")]
            Self::Transport { backend, source } => {
                *backend == BACKEND
                    && source.downcast_ref::<sqlx::Error>().is_some_and(is_retryable_sqlite_busy)
            }
            _ => false,
        }
    }
}

/// Whether SQLite answered BUSY or LOCKED (primary result code 5 or 6).
#[cfg(feature = "sqlx-pool")]
pub fn is_retryable_sqlite_busy(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // sqlx gives the extended result code as decimal text.
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
        && code.is_some_and(|code| {
            matches!(code & 0xff, rusqlite::ffi::SQLITE_BUSY | rusqlite::ffi::SQLITE_LOCKED)
        })
}

#[cfg(feature = "sqlx-pool")]
impl IsRetryableBusy for sqlx::Error {
    fn is_retryable_busy(&self) -> bool {
        is_retryable_sqlite_busy(self)
    }
}

/// Calls `f` until it succeeds, fails for another reason than a held lock, or has been called [`MAX_ATTEMPTS`] times;
/// then the last error is the answer. Waits 5 ms, then 10 ms.
pub async fn retry_serializable<F, Fut, T, E>(mut f: F) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: IsRetryableBusy,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_ATTEMPTS {
        match f().await {
            Err(error) if error.is_retryable_busy() => tokio::time::sleep(pause).await,
            answer => return answer,
        }
        pause *= 2;
    }
    f().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::storage;

    fn failure(code: i32) -> EngineError {
        storage("test", rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_lock_is_tried_three_times_and_the_last_error_is_the_answer() {
        let calls = Cell::new(0);
        let answer: Result<(), _> = retry_serializable(|| {
            calls.set(calls.get() + 1);
            async { Err(failure(rusqlite::ffi::SQLITE_BUSY_SNAPSHOT)) }
        })
        .await;
        assert!(answer.unwrap_err().is_retryable_busy());
        assert_eq!(calls.get(), MAX_ATTEMPTS);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_try_may_succeed() {
        let calls = Cell::new(0);
        let answer = retry_serializable(|| {
            calls.set(calls.get() + 1);
            let answer = if calls.get() < 2 { Err(failure(6)) } else { Ok(calls.get()) };
            async { answer }
        })
        .await;
        assert_eq!(answer.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_error_is_answered_at_once() {
        let calls = Cell::new(0);
        let answer: Result<(), _> = retry_serializable(|| {
            calls.set(calls.get() + 1);
            async { Err(failure(rusqlite::ffi::SQLITE_FULL)) }
        })
        .await;
        assert!(!answer.unwrap_err().is_retryable_busy());
        assert_eq!(calls.get(), 1);
    }
}

#[cfg(all(test, feature = "sqlx-pool"))]
mod sqlx_tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_met_through_sqlx_is_busy_alone_and_inside_a_transport_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ff.db");
        let holder = rusqlite::Connection::open(&path).unwrap();
        holder.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE").unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(Duration::from_millis(1));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let busy = sqlx::query("INSERT INTO t VALUES (1)").execute(&pool).await.unwrap_err();
        assert!(busy.is_retryable_busy());
        let wrapped = EngineError::Transport { backend: BACKEND, source: Box::new(busy) };
        assert!(wrapped.is_retryable_busy());
        let other = sqlx::query("INSERT INTO nothing VALUES (1)").execute(&pool).await.unwrap_err();
        assert!(!other.is_retryable_busy());
    }
}
