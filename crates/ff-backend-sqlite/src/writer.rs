//! The writer thread: the one that changes the database.
//!
//! Commands wait in a [`Queue`]. The thread opens one immediate transaction, and for each command
//! that waits — at most 256, 8 MiB of payload or 20 ms — loads, decides and writes. After COMMIT
//! it answers the callers and wakes waiters, in that order. No command waits for others to come.
//!
//! ```text
//! idle ──command──▶ BEGIN IMMEDIATE ──▶ run, run, run … ──▶ raise the clock's floor ──▶ COMMIT ──▶ answer ──▶ wake
//! ```
//!
//! What can go wrong, and what is left:
//!
//! * A refused command has written nothing; its neighbours do not notice.
//! * A command that fails half-way (a statement error) rolls the group back; its commands then run
//!   one by one, each in a transaction of its own.
//! * SQLite rolls everything back by itself (disk full, I/O error, out of memory): every command
//!   of the group gets an error that it may retry; none gets an `Ok`.
//! * COMMIT fails: the same. A failed fsync, a corrupt page, or a file that was replaced under us
//!   stops the writer for good: what is not known to be on disk is never acknowledged.
//! * A crash before COMMIT loses unanswered commands only.
//!
//! While nothing waits the thread sleeps: until the next due time when sweeps are on, and for
//! [`LOOK_AROUND`] at a time while someone waits for changes that another process may make.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::clock::{Clock, ClockStep, EngineTime, SystemClock};
use ff_core::machine::drive;
use ff_core::machine::ids::seed_of_write;
use ff_core::machine::{Context, Limits, Urgency};
use ff_core::store::Reader;
use ff_core::types::TimestampMs;
use rusqlite::{Connection, ffi, params};
use tokio::sync::{broadcast, watch};

use crate::OutboxEvent;
use crate::error::{BACKEND, POOL_STORAGE, storage};
use crate::identity::FileIdentity;
use crate::queue::{Closed, Effect, Job, Queue, Queued, Turn};
use crate::session::SqliteSession;
use crate::statement;

/// Most commands of one group. More would hold the write lock longer than a heartbeat may wait.
const GROUP_MAX: usize = 256;

/// Most payload bytes of one group.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest time spent inside one group before it is committed.
const GROUP_TIME_MAX: Duration = Duration::from_millis(20);

/// How often an idle writer looks for changes of other processes while someone waits for them.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// How long the lock stays free between groups while another process writes too. SQLite's busy
/// wait is unfair: a saturated writer would starve a neighbour's heartbeat.
const COURTESY: Duration = Duration::from_millis(1);

/// How long a neighbour counts as active after its last commit. One that starves commits nothing, so this is longer
/// than the pause between two heartbeats of an ordinary lease.
const NEIGHBOUR_ACTIVE: Duration = Duration::from_secs(10);

/// The pause between two tries for the lock. SQLite's own pauses grow to 100 ms, and would hardly ever meet a
/// neighbour's [`COURTESY`].
const LOCK_RETRY: Duration = Duration::from_micros(400);

/// The log is copied into the database when it has grown by this many pages (4 MiB): small enough
/// to bound recovery, and SQLite's own default.
const WAL_CHECKPOINT_PAGES: i32 = 1_000;

/// Above this many pages (32 MiB), a checkpoint waits for readers so that the log starts anew. With what is written
/// until the next try, the log stays below 64 MiB while reads are short.
const WAL_RESTART_PAGES: i32 = 8_000;

/// How long such a checkpoint waits. Nobody writes meanwhile: `ff verify` or a backup must not stop everybody else.
const WAL_RESTART_WAIT: Duration = Duration::from_millis(100);

/// A sweep looks at least this often for rows whose retention is over.
const SWEEP_AT_LEAST: Duration = Duration::from_secs(60);

/// A sweep that was refused the lock is tried again after this.
const SWEEP_AGAIN: Duration = Duration::from_millis(500);

/// Free pages up to this many stay in the file for reuse (8 MiB).
const FREE_PAGES_KEPT: i64 = 2_048;

/// Free pages given back at once (2 MiB).
const FREE_PAGES_STEP: i64 = 512;

/// What the writer shares with the backend.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) work: watch::Sender<u64>,
    pub(crate) events: watch::Sender<u64>,
    /// Tasks that wait for a change; while there are any, the writer looks at other processes.
    pub(crate) waiters: AtomicUsize,
    /// Engine time: the writer ticks it, reads look at it.
    pub(crate) time: EngineTime,
    pub(crate) sweeps: AtomicBool,
    /// Raw wake-ups for completion rows.
    pub(crate) completions: broadcast::Sender<OutboxEvent>,
}

/// What the writer thread owns.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    /// Present for a database in a file.
    pub(crate) file: Option<WatchedFile>,
    pub(crate) pace: Pace,
    /// How long to wait for another process's transaction.
    pub(crate) lock_patience: Duration,
}

/// The file the database is in, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    pub(crate) path: PathBuf,
    pub(crate) identity: FileIdentity,
}

/// What the writer remembers between groups.
#[derive(Debug)]
pub(crate) struct Pace {
    stopwatch: SystemClock,
    commands: u64,
    data_version: i64,
    neighbour_seen: Option<Duration>,
    last_completion: i64,
    sweep_at: Option<Duration>,
    /// When the last group ended.
    group_ended: Duration,
    sweep_is_full: Arc<AtomicBool>,
    swept_at: Duration,
    checkpointed_pages: i32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            stopwatch: SystemClock::new(),
            commands: 0,
            data_version: 0,
            neighbour_seen: None,
            last_completion: 0,
            sweep_at: Some(Duration::ZERO),
            sweep_is_full: Arc::new(AtomicBool::new(false)),
            group_ended: Duration::ZERO,
            swept_at: Duration::ZERO,
            checkpointed_pages: 0,
        }
    }
}

/// A group's commands with what each did.
type Ran = Vec<Queued>;

impl Writer {
    /// Runs until the queue is closed and empty, then leaves a checkpointed file.
    pub(crate) fn run(mut self) {
        self.pace.data_version = self.data_version();
        self.conn.wal_hook(Some(note_log_pages));
        LOCK_PATIENCE.set(self.lock_patience);
        if let Err(error) = self.conn.busy_handler(Some(wait_for_lock)) {
            tracing::warn!(%error, "the writer waits for locks as SQLite does");
        }
        loop {
            match self.shared.queue.next(self.patience()) {
                Turn::Write(first) => self.group(first),
                Turn::Read(read) => read(&mut SqliteSession::new(&self.conn)),
                Turn::Nothing => self.look_around(),
                Turn::Over => break,
            }
        }
        if self.file.is_some()
            && !self.shared.queue.has_failed()
            && let Err(error) = self.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::warn!(%error, "the last checkpoint failed; the next start recovers the log");
        }
    }

    fn patience(&self) -> Option<Duration> {
        let watching = self.shared.waiters.load(Ordering::SeqCst) > 0;
        let sweep = self
            .pace
            .sweep_at
            .filter(|_| self.shared.sweeps.load(Ordering::SeqCst))
            .map(|at| at.saturating_sub(self.pace.stopwatch.monotonic()));
        let look = watching.then_some(LOOK_AROUND);
        [sweep, look].into_iter().flatten().min()
    }

    fn look_around(&mut self) {
        self.notice_neighbours();
        let due = self.pace.sweep_at.is_some_and(|at| at <= self.pace.stopwatch.monotonic());
        if due && self.shared.sweeps.load(Ordering::SeqCst) {
            if self.has_sweep_work() {
                self.group(Queued {
                    job: Box::new(SweepJob { is_full: Arc::clone(&self.pace.sweep_is_full) }),
                    urgency: Urgency::Bulk,
                    bytes: 0,
                    seed: None,
                });
                self.pace.swept_at = self.pace.stopwatch.monotonic();
            }
            self.plan_sweep();
        }
    }

    /// Looks before it takes the write lock: something is due, some retention is over, or the
    /// last sweep lies [`SWEEP_AT_LEAST`] back.
    fn has_sweep_work(&self) -> bool {
        let now = self.shared.time.peek(self.clock.as_ref());
        let retention = i64::try_from(self.limits.retention.0).unwrap_or(i64::MAX);
        let ended_before = TimestampMs(now.0.saturating_sub(retention));
        let mut session = SqliteSession::new(&self.conn);
        let found = session
            .due(now, 1)
            .and_then(|due| Ok(!due.is_empty() || !session.ended(ended_before, 1)?.is_empty()));
        let rested = self.pace.stopwatch.monotonic().saturating_sub(self.pace.swept_at);
        // What cannot be read is told by the sweep itself.
        found.unwrap_or(true) || rested >= SWEEP_AT_LEAST
    }

    /// When the next sweep has something to do.
    fn plan_sweep(&mut self) {
        if self.pace.sweep_is_full.swap(false, Ordering::SeqCst) {
            self.pace.sweep_at = Some(self.pace.stopwatch.monotonic() + COURTESY);
            return;
        }
        self.give_pages_back();
        let now_ms = self.shared.time.peek(self.clock.as_ref()).0;
        let mut session = SqliteSession::new(&self.conn);
        let wait = match session.next_due() {
            Ok(due) => {
                let until = due.map_or(i64::MAX, |at| at.0.saturating_sub(now_ms)).max(1);
                Duration::from_millis(u64::try_from(until).unwrap_or(1)).min(SWEEP_AT_LEAST)
            }
            Err(_) => SWEEP_AGAIN,
        };
        self.pace.sweep_at = Some(self.pace.stopwatch.monotonic() + wait);
    }

    /// Returns a bounded number of free pages to the file system once they are many: what
    /// retention frees is reused first.
    fn give_pages_back(&self) {
        let count = |pragma: &str| -> rusqlite::Result<i64> {
            self.conn.query_row(pragma, [], |row| row.get(0))
        };
        let (Ok(free), Ok(all)) = (count("PRAGMA freelist_count"), count("PRAGMA page_count"))
        else {
            return;
        };
        if free > FREE_PAGES_KEPT && free > all / 4 {
            let step = format!("PRAGMA incremental_vacuum({FREE_PAGES_STEP})");
            if let Err(error) = self.conn.execute_batch(&step) {
                tracing::warn!(%error, "free pages were not given back; it is tried again");
            }
        }
    }

    /// One transaction for `first` and whoever joins it.
    fn group(&mut self, first: Queued) {
        self.let_neighbours_in();
        if let Err(error) = self.control("BEGIN IMMEDIATE") {
            let mut waiting = vec![first];
            waiting.extend(std::iter::from_fn(|| self.shared.queue.join_group()).take(GROUP_MAX));
            self.give_up(waiting, &error, "begin a transaction");
            return;
        }
        self.notice_neighbours();
        let started = self.pace.stopwatch.monotonic();
        let changes_before = self.conn.total_changes();
        let mut now = match self.floor() {
            Ok(floor) => floor,
            Err(error) => {
                self.roll_back();
                self.give_up(vec![first], &error, "read the engine's clock");
                return;
            }
        };

        let mut ran = Ran::new();
        let (mut bytes, mut opens_work) = (0, false);
        let mut next = Some(first);
        while let Some(mut queued) = next {
            bytes += queued.bytes;
            now = self.now(now);
            let outcome = self.run_one(&mut queued, now);
            ran.push(queued);
            match outcome {
                Outcome::Kept { opens_work: opens } => opens_work |= opens,
                Outcome::Refused => {}
                Outcome::Broken => {
                    self.roll_back();
                    self.one_by_one(ran);
                    return;
                }
                Outcome::RolledBack => {
                    Self::lose(ran);
                    return;
                }
            }
            let is_full = ran.len() >= GROUP_MAX
                || bytes >= GROUP_BYTES_MAX
                || self.pace.stopwatch.monotonic() - started >= GROUP_TIME_MAX;
            next = if is_full { None } else { self.shared.queue.join_group() };
        }
        let changed = self.conn.total_changes() != changes_before;
        self.finish(ran, changed, opens_work, now);
        self.after_group();
    }

    fn run_one(&mut self, queued: &mut Queued, now: TimestampMs) -> Outcome {
        let seed = *queued.seed.get_or_insert_with(|| {
            let number = self.pace.commands;
            self.pace.commands += 1;
            seed_of_write(self.seed, number)
        });
        let before = self.conn.total_changes();
        let mut cx = Context::new(now, seed, &self.limits);
        let effect = queued.job.run(&mut SqliteSession::new(&self.conn), &mut cx);
        if self.conn.is_autocommit() {
            return Outcome::RolledBack;
        }
        match effect {
            Effect::Accepted { opens_work } => Outcome::Kept { opens_work },
            Effect::Refused if self.conn.total_changes() == before => Outcome::Refused,
            Effect::Refused => Outcome::Broken,
        }
    }

    /// Each command in a transaction of its own, after one of them failed half-way.
    fn one_by_one(&mut self, ran: Ran) {
        for mut queued in ran {
            if self.shared.queue.has_failed() {
                queued.job.answer(Some(self.shared.queue.refusal()));
                continue;
            }
            if let Err(error) = self.control("BEGIN IMMEDIATE") {
                self.give_up(vec![queued], &error, "begin a transaction");
                continue;
            }
            let now = match self.floor() {
                Ok(floor) => self.now(floor),
                Err(error) => {
                    self.roll_back();
                    self.give_up(vec![queued], &error, "read the engine's clock");
                    continue;
                }
            };
            match self.run_one(&mut queued, now) {
                Outcome::Kept { opens_work } => self.finish(vec![queued], true, opens_work, now),
                Outcome::Refused | Outcome::Broken => {
                    self.roll_back();
                    queued.job.answer(None);
                }
                Outcome::RolledBack => Self::lose(vec![queued]),
            }
        }
    }

    /// Commits, then answers, then wakes.
    fn finish(&mut self, ran: Ran, changed: bool, opens_work: bool, now: TimestampMs) {
        let committed = if changed {
            self.raise_floor(now).and_then(|()| self.control("COMMIT"))
        } else {
            self.control("COMMIT")
        };
        if let Err(error) = committed {
            self.roll_back();
            self.give_up(ran, &error, "commit a transaction");
            return;
        }
        if let Some(reason) = self.file.as_ref().filter(|_| changed).and_then(WatchedFile::moved) {
            self.stop(reason);
            for queued in ran {
                queued.job.answer(Some(self.shared.queue.refusal()));
            }
            return;
        }
        for queued in ran {
            queued.job.answer(None);
        }
        if !changed {
            return;
        }
        self.shared.events.send_modify(|generation| *generation += 1);
        if opens_work {
            self.shared.work.send_modify(|generation| *generation += 1);
            self.pace.sweep_at = Some(self.pace.stopwatch.monotonic() + LOOK_AROUND);
        }
        self.broadcast_completions();
    }

    fn after_group(&mut self) {
        self.checkpoint_if_large();
        self.pace.group_ended = self.pace.stopwatch.monotonic();
    }

    /// Keeps the lock free for [`COURTESY`] after the last group while a neighbour may want it. Whoever comes later than
    /// that waits for nothing.
    fn let_neighbours_in(&self) {
        let now = self.pace.stopwatch.monotonic();
        let seen = self.pace.neighbour_seen;
        let active = seen.is_some_and(|seen| now.saturating_sub(seen) < NEIGHBOUR_ACTIVE);
        let free = now.saturating_sub(self.pace.group_ended);
        if active && free < COURTESY {
            std::thread::sleep(COURTESY.saturating_sub(free));
        }
    }

    /// The engine time below which no process on this database may answer.
    fn floor(&self) -> rusqlite::Result<TimestampMs> {
        self.conn
            .prepare_cached(statement::CLOCK_READ_FLOOR)?
            .query_row([], |row| row.get(0))
            .map(TimestampMs)
    }

    /// The engine's now, read for each command: none is stamped earlier than it was asked.
    fn now(&self, floor: TimestampMs) -> TimestampMs {
        let (now, step) = self.shared.time.tick(self.clock.as_ref(), floor);
        if let Some(ClockStep { from, to }) = step {
            tracing::warn!(%from, %to, "the wall clock stepped forward by more than an hour");
            let recorded = self
                .conn
                .prepare_cached(statement::CLOCK_RECORD_STEP)
                .and_then(|mut insert| insert.execute(params![now.0, from.0, to.0]));
            if let Err(error) = recorded {
                tracing::warn!(%error, "the step could not be recorded for `verify`");
            }
        }
        now
    }

    /// Begins or ends a transaction, without parsing the word again each time.
    fn control(&self, statement: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn raise_floor(&self, now: TimestampMs) -> rusqlite::Result<()> {
        self.conn.prepare_cached(statement::CLOCK_RAISE_FLOOR)?.execute([now.0]).map(|_| ())
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.control("ROLLBACK")
        {
            tracing::error!(%error, "rolling back failed");
        }
    }

    /// SQLite undid the group by itself: nobody gets an `Ok`, everybody may try again.
    fn lose(ran: Ran) {
        for queued in ran {
            queued.job.answer(Some(EngineError::ResourceExhausted {
                pool: POOL_STORAGE,
                max: 1,
                retry_after_ms: Some(1_000),
            }));
        }
    }

    /// The transaction did not happen. Stops for good where going on could lose data.
    fn give_up(&self, ran: Ran, error: &rusqlite::Error, what: &'static str) {
        if let Some(code) = error.sqlite_error().map(|error| error.extended_code)
            && is_fatal(code)
        {
            self.stop(format!(
                "could not {what}: {error} (SQLite code {code}); the writer has stopped. Check the \
                 disk, run `ff verify`, and restart"
            ));
        }
        for queued in ran {
            queued.job.answer(Some(copy_of(what, error)));
        }
    }

    fn stop(&self, reason: String) {
        tracing::error!(%reason, "the writer has stopped");
        self.shared.queue.close(Closed::Failed(reason));
    }

    fn data_version(&self) -> i64 {
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .unwrap_or(0)
    }

    /// Wakes waiters when another connection has committed since the last look.
    fn notice_neighbours(&mut self) {
        let version = self.data_version();
        if version == self.pace.data_version {
            return;
        }
        self.pace.data_version = version;
        let now = self.pace.stopwatch.monotonic();
        self.pace.neighbour_seen = Some(now);
        self.pace.sweep_at = self.pace.sweep_at.map(|at| at.min(now + LOOK_AROUND));
        self.shared.events.send_modify(|generation| *generation += 1);
        self.shared.work.send_modify(|generation| *generation += 1);
    }

    fn broadcast_completions(&mut self) {
        if self.shared.completions.receiver_count() == 0 {
            return;
        }
        let rows =
            self.conn.prepare_cached(statement::COMPLETION_EVENT_NEW).and_then(|mut statement| {
                statement
                    .query_map([self.pace.last_completion], |row| {
                        Ok(OutboxEvent { event_id: row.get(0)?, partition_key: row.get(1)? })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            });
        for event in rows.unwrap_or_default() {
            self.pace.last_completion = event.event_id;
            // Nobody listening any more is no failure.
            let _receivers = self.shared.completions.send(event);
        }
    }

    /// Copies the log into the database once it has grown by [`WAL_CHECKPOINT_PAGES`]. A reader
    /// may keep a checkpoint from finishing; the next one is tried after as many pages more.
    fn checkpoint_if_large(&mut self) {
        if self.file.is_none() {
            return;
        }
        let pages = LOG_PAGES.get();
        if pages < self.pace.checkpointed_pages {
            self.pace.checkpointed_pages = 0;
        }
        if pages - self.pace.checkpointed_pages < WAL_CHECKPOINT_PAGES {
            return;
        }
        self.pace.checkpointed_pages = pages;
        let pragma = if pages >= WAL_RESTART_PAGES {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        LOCK_PATIENCE.set(WAL_RESTART_WAIT.min(self.lock_patience));
        let done = self.conn.execute_batch(pragma);
        LOCK_PATIENCE.set(self.lock_patience);
        if let Err(error) = done {
            tracing::warn!(%error, pages, "a checkpoint failed; the log grows until one succeeds");
        }
    }
}

thread_local! {
    /// Pages in the log after this thread's latest commit. SQLite tells it through a plain
    /// function, which can reach no other state.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };

    /// How long this thread waits for a lock, and since when it does.
    static LOCK_PATIENCE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static LOCK_WAIT: (SystemClock, Cell<Duration>) = (SystemClock::new(), Cell::default());
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

enum Outcome {
    Kept { opens_work: bool },
    Refused,
    Broken,
    RolledBack,
}

/// Errors after which nothing may be acknowledged any more: the disk did not keep what it was
/// told to, or the file is not what it was.
fn is_fatal(extended_code: i32) -> bool {
    let primary = extended_code & 0xff;
    matches!(extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
        || matches!(primary, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB)
}

/// One error for each of several callers.
fn copy_of(what: &'static str, error: &rusqlite::Error) -> EngineError {
    match error.sqlite_error() {
        Some(code) => storage(what, rusqlite::Error::SqliteFailure(*code, Some(error.to_string()))),
        None => EngineError::Transport { backend: BACKEND, source: error.to_string().into() },
    }
}

impl WatchedFile {
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: FileIdentity::of(path)? })
    }

    /// Why the database is no longer the file at its path. Looks at the path only: closing a
    /// descriptor of our own on the file would drop SQLite's locks.
    fn moved(&self) -> Option<String> {
        let path = self.path.display();
        match FileIdentity::of(&self.path) {
            Ok(now) if now == self.identity => None,
            Ok(_) => Some(format!(
                "the database file {path} was replaced while it was open; the writer has stopped. \
                 Restart on the file that is meant"
            )),
            Err(error) => Some(format!(
                "the database file {path} is gone ({error}); the writer has stopped. Put the file \
                 back, or restart to begin a new one"
            )),
        }
    }
}

/// One bounded step of background work.
struct SweepJob {
    is_full: Arc<AtomicBool>,
}

impl Job for SweepJob {
    fn run(&mut self, session: &mut SqliteSession<'_>, cx: &mut Context<'_>) -> Effect {
        match drive::sweep(session, cx) {
            Ok(swept) => {
                self.is_full.store(swept.is_full(), Ordering::SeqCst);
                Effect::Accepted { opens_work: swept.settled.opens_work }
            }
            Err(error) => {
                tracing::warn!(%error, "a sweep failed; it is tried again");
                Effect::Refused
            }
        }
    }

    fn answer(self: Box<Self>, lost: Option<EngineError>) {
        if let Some(error) = lost {
            tracing::warn!(%error, "a sweep was not stored; it is tried again");
        }
    }
}
