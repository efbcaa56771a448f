//! Long reads on a connection and a thread of their own, beside the readers that serve short ones.

use std::time::Duration;

use ff_core::{BackendError, EngineError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::backend::SqliteBackend;
use crate::error::BACKEND;
use crate::open::open_reader;

/// How long a long read waits for a lock. Only a database in memory lets readers wait.
const BUSY: Duration = Duration::from_secs(5);

/// Runs `read` on a new read connection. The backend stays open until it is done, also when the caller stops waiting.
pub(crate) async fn run<T, F>(
    backend: &SqliteBackend,
    thread: &'static str,
    read: F,
) -> Result<T, EngineError>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, EngineError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let backend = backend.clone();
    std::thread::Builder::new()
        .name(thread.to_owned())
        .spawn(move || {
            let done = open_reader(&backend.inner.location, BUSY, backend.inner.vfs.as_deref())
                .map_err(|error| unopened(&error))
                .and_then(|conn| read(&conn));
            // Before the answer: whoever has it may expect the thread's share of the backend to be gone.
            drop(backend);
            // A caller that stopped waiting needs no answer.
            let _abandoned = reply.send(done);
        })
        .map_err(|error| EngineError::Transport { backend: BACKEND, source: Box::new(error) })?;
    answer.await.map_err(|_panicked| EngineError::Transport {
        backend: BACKEND,
        source: format!("the thread {thread} panicked").into(),
    })?
}

fn unopened(error: &BackendError) -> EngineError {
    EngineError::Transport { backend: BACKEND, source: error.to_string().into() }
}
