//! Reads on their own threads and connections, beside the writer.
//!
//! Each read runs in one deferred transaction, so all its statements see one state. Readers of a
//! file never wait for the writer, nor it for them.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use ff_core::EngineError;
use rusqlite::Connection;

use crate::error::{POOL_STORAGE, storage};
use crate::queue::ReadJob;
use crate::session::SqliteSession;

/// Reads that may wait at once.
const WAITING_MAX: usize = 4_096;

/// The read threads of a backend.
pub(crate) struct Readers {
    queue: Arc<ReadQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct ReadQueue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<ReadJob>,
    is_closed: bool,
}

impl Readers {
    /// One thread for each connection.
    pub(crate) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let queue = Arc::new(ReadQueue::default());
        let threads = connections
            .into_iter()
            .map(|conn| {
                let queue = Arc::clone(&queue);
                std::thread::Builder::new()
                    .name("ff-sqlite-read".to_owned())
                    .spawn(move || queue.serve(&conn))
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self { queue, threads })
    }

    /// Puts a read in line, or refuses it when too many wait.
    pub(crate) fn push(&self, read: ReadJob) -> Result<(), EngineError> {
        let mut waiting = self.queue.lock();
        if waiting.is_closed {
            return Err(EngineError::Unavailable { op: "sqlite backend is shut down" });
        }
        if waiting.reads.len() >= WAITING_MAX {
            return Err(EngineError::ResourceExhausted {
                pool: "sqlite read queue",
                max: u32::try_from(WAITING_MAX).unwrap_or(u32::MAX),
                retry_after_ms: Some(50),
            });
        }
        waiting.reads.push_back(read);
        drop(waiting);
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a read thread panicked");
            }
        }
    }
}

impl ReadQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        match self.state.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn serve(&self, conn: &Connection) {
        let mut session = SqliteSession::new(conn);
        while let Some(read) = self.next() {
            let read = AssertUnwindSafe(|| read(&mut session));
            // The caller is told by its dropped reply; the thread serves the next one.
            if catch_unwind(read).is_err() {
                tracing::error!("a read panicked");
                if !conn.is_autocommit() && conn.execute_batch("ROLLBACK").is_err() {
                    tracing::error!("a read transaction could not be ended");
                }
            }
        }
    }

    fn next(&self) -> Option<ReadJob> {
        let mut waiting = self.lock();
        loop {
            if let Some(read) = waiting.reads.pop_front() {
                return Some(read);
            }
            if waiting.is_closed {
                return None;
            }
            waiting = match self.changed.wait(waiting) {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }
}

/// Runs `read` so that all its statements see one state.
pub(crate) fn on_one_state<T>(
    session: &mut SqliteSession<'_>,
    read: impl FnOnce(&mut SqliteSession<'_>) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let conn = session.connection();
    conn.execute_batch("BEGIN").map_err(|error| storage("begin a read", error))?;
    let answer = read(session);
    if let Err(error) = conn.execute_batch("COMMIT") {
        tracing::debug!(pool = POOL_STORAGE, %error, "ending a read failed");
        if !conn.is_autocommit() && conn.execute_batch("ROLLBACK").is_err() {
            tracing::error!("a read transaction could not be ended");
        }
    }
    answer
}
