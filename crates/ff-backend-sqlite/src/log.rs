//! The write-ahead log: when it is copied into the database, and how the writer waits for locks.

use std::cell::Cell;
use std::time::Duration;

use ff_core::clock::{Clock as _, SystemClock};
use rusqlite::Connection;

/// The log is copied into the database when it has grown by this many pages (4 MiB): small enough
/// to bound recovery, and SQLite's own default.
const CHECKPOINT_PAGES: i32 = 1_000;

/// Above this many pages (32 MiB), a checkpoint waits for readers so that the log starts anew. With
/// what is written until the next try, the log stays below 64 MiB while reads are short.
const RESTART_PAGES: i32 = 8_000;

/// How long such a checkpoint waits. Nobody writes meanwhile: `ff verify` or a backup must not stop
/// everybody else.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// The pause between two tries for the lock. SQLite's own pauses grow to 100 ms, and would hardly
/// ever meet the gap that a busy neighbour leaves.
const LOCK_RETRY: Duration = Duration::from_micros(400);

thread_local! {
    /// Pages in the log after this thread's latest commit. SQLite tells it through a plain
    /// function, which can reach no other state.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };

    /// How long this thread waits for a lock, and since when it does.
    static LOCK_PATIENCE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static LOCK_WAIT: (SystemClock, Cell<Duration>) = (SystemClock::new(), Cell::default());
}

/// The log of the writer's own connection. Lives on the writer's thread.
#[derive(Debug)]
pub(crate) struct Log {
    lock_patience: Duration,
    checkpointed_pages: i32,
}

impl Log {
    /// Watches the log of `conn`, and waits for locks at most `lock_patience`, from this thread on.
    pub(crate) fn watch(conn: &Connection, lock_patience: Duration) -> rusqlite::Result<Self> {
        conn.wal_hook(Some(note_log_pages));
        wait_for_locks(conn, lock_patience)?;
        Ok(Self { lock_patience, checkpointed_pages: 0 })
    }

    /// Copies the log into the database once it has grown by [`CHECKPOINT_PAGES`]. A reader may
    /// keep a checkpoint from finishing; the next one is tried after as many pages more.
    pub(crate) fn checkpoint_if_large(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let pages = LOG_PAGES.get();
        if pages < self.checkpointed_pages {
            self.checkpointed_pages = 0;
        }
        if pages - self.checkpointed_pages < CHECKPOINT_PAGES {
            return Ok(());
        }
        self.checkpointed_pages = pages;
        let mode = if pages >= RESTART_PAGES { "TRUNCATE" } else { "PASSIVE" };
        self.checkpoint(conn, mode)
    }

    /// Copies and empties the log, if no reader needs it: what the last one leaves.
    pub(crate) fn checkpoint_at_end(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.checkpoint(conn, "TRUNCATE")
    }

    fn checkpoint(&self, conn: &Connection, mode: &str) -> rusqlite::Result<()> {
        LOCK_PATIENCE.set(RESTART_WAIT.min(self.lock_patience));
        let done = conn.execute_batch(&format!("PRAGMA wal_checkpoint({mode})"));
        LOCK_PATIENCE.set(self.lock_patience);
        done
    }
}

/// Has `conn` wait for a lock at most `patience`, as long as it is used on this thread.
///
/// A connection that opens a file needs this as well as the writer it becomes: a neighbour that was faster already
/// writes without a pause.
pub(crate) fn wait_for_locks(conn: &Connection, patience: Duration) -> rusqlite::Result<()> {
    LOCK_PATIENCE.set(patience);
    conn.busy_handler(Some(wait_for_lock))
}

/// SQLite's busy handler: whether to try for the lock again.
fn wait_for_lock(tries: i32) -> bool {
    LOCK_WAIT.with(|(stopwatch, since)| {
        let now = stopwatch.monotonic();
        if tries == 0 {
            since.set(now);
        }
        let waits = now.saturating_sub(since.get()) < LOCK_PATIENCE.get();
        if waits {
            std::thread::sleep(LOCK_RETRY);
        }
        waits
    })
}

fn note_log_pages(_: &rusqlite::hooks::Wal, pages: std::ffi::c_int) -> rusqlite::Result<()> {
    LOG_PAGES.set(pages);
    Ok(())
}
