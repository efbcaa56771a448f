//! The writer thread: the one that changes the database.
//!
//! Commands wait in a [`Queue`]. The thread opens one immediate transaction, and for each command
//! that waits — at most 256, 8 MiB of payload or 20 ms — loads, decides and writes. After COMMIT
//! it tells raw listeners, answers the callers and wakes waiters, in that order. No command waits for others to come.
//!
//! ```text
//! idle ──command──▶ BEGIN IMMEDIATE ──▶ run, run, run … ──▶ raise the clock's floor ──▶ COMMIT ──▶ tell ──▶ answer ──▶ wake
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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::clock::{Clock, ClockStep, EngineTime, SystemClock};
use ff_core::machine::drive;
use ff_core::machine::ids::seed_of_write;
use ff_core::machine::policy::until;
use ff_core::machine::{Context, Limits, Urgency};
use ff_core::store::{FlowReader, Reader, StreamWaiters, Topic, WorkerReader};
use ff_core::types::TimestampMs;
use rusqlite::config::DbConfig;
use rusqlite::params;
use tokio::sync::{broadcast, watch};

use crate::OutboxEvent;
use crate::error::{BACKEND, POOL_STORAGE, is_fatal, storage};
use crate::identity::FileIdentity;
use crate::log::Log;
use crate::queue::{Closed, Effect, Queue, Queued, ReadJob, Turn, stopped};
use crate::session::{Prepares as _, SqliteSession};
use crate::{statement, sweep};

/// Most commands of one group. More would hold the write lock longer than a heartbeat may wait.
const GROUP_MAX: usize = 256;

/// Most payload bytes of one group.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest time spent inside one group before it is committed.
const GROUP_TIME_MAX: Duration = Duration::from_millis(20);

/// How often an idle writer looks for changes of other processes while someone waits for them.
const LOOK_AROUND: Duration = Duration::from_millis(20);

/// How long the lock stays free between groups while another process writes too. SQLite's busy
/// wait is unfair: a saturated writer would starve a neighbour's heartbeat.
const COURTESY: Duration = Duration::from_millis(1);

/// How long a neighbour counts as active after its last commit. One that starves commits nothing, so this is longer
/// than the 10 s between two heartbeats of an ordinary lease.
const NEIGHBOUR_ACTIVE: Duration = Duration::from_secs(30);

/// How often an idle writer, while someone waits, looks whether the database is still at its path.
const FILE_SEEN_EVERY: Duration = Duration::from_secs(1);

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
    /// Those who wait for one stream.
    pub(crate) streams: StreamWaiters,
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
pub(crate) struct Writer<'c> {
    /// Holds the connection that writes, and its statements.
    pub(crate) session: SqliteSession<'c>,
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
    /// When the last group ended.
    group_ended: Duration,
    sweeps: sweep::Plan,
    swept_at: Duration,
    /// When the file was last looked for without a commit.
    file_seen: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            stopwatch: SystemClock::new(),
            commands: 0,
            data_version: 0,
            neighbour_seen: None,
            last_completion: 0,
            sweeps: sweep::Plan::new(),
            group_ended: Duration::ZERO,
            swept_at: Duration::ZERO,
            file_seen: Duration::ZERO,
        }
    }
}

/// A group's commands with what each did.
type Ran = Vec<Queued>;

impl Writer<'_> {
    /// Runs until the queue is closed and empty, then leaves a checkpointed file.
    pub(crate) fn run(mut self) {
        self.pace.data_version = self.data_version().unwrap_or_default();
        let mut log = match Log::watch(&self.session, self.lock_patience) {
            Ok(log) => log,
            Err(error) => {
                self.stop(format!("could not watch the log: {error}; the writer has stopped"));
                return;
            }
        };
        loop {
            match self.shared.queue.next(self.patience()) {
                Turn::Write(first) => self.group(first),
                Turn::Read(read) => self.read(read),
                Turn::Nothing => self.look_around(),
                Turn::Over => break,
            }
            self.sweep_if_due();
            if self.file.is_some() {
                let copied = log.checkpoint_if_large(&self.session);
                self.weigh(copied, "checkpoint the log");
            }
        }
        if self.file.is_some() && !self.shared.queue.has_failed() {
            let copied = log.checkpoint_at_end(&self.session);
            self.weigh(copied, "checkpoint the log at the end");
        }
        if self.shared.queue.has_failed() {
            self.keep_log();
        }
    }

    /// After a failed fsync the log is what the next start recovers from. Closing the connection would sync once more,
    /// which may succeed without having kept anything, and then delete the log.
    fn keep_log(&self) {
        if let Err(error) =
            self.session.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "the log could not be kept");
        }
    }

    /// Nothing waits: has somebody else changed the database, or taken it away?
    fn look_around(&mut self) {
        self.notice_neighbours();
        let now = self.pace.stopwatch.monotonic();
        if now.saturating_sub(self.pace.file_seen) >= FILE_SEEN_EVERY {
            self.pace.file_seen = now;
            if let Some(reason) = self.file.as_ref().and_then(WatchedFile::moved) {
                self.stop(reason);
                self.wake_all();
            }
        }
    }

    /// Work that nobody waits for: its failure is told, and stops the writer where going on could
    /// lose data.
    fn weigh(&self, done: rusqlite::Result<()>, what: &'static str) {
        if let Err(error) = done {
            tracing::warn!(%error, what, "background work failed; it is tried again");
            self.stop_if_fatal(&error, what);
        }
    }

    fn read(&mut self, read: ReadJob) {
        let read = AssertUnwindSafe(|| read(&mut self.session));
        // The caller is told by its dropped reply.
        if catch_unwind(read).is_err() {
            tracing::error!("a read panicked");
            self.roll_back();
        }
    }

    fn patience(&self) -> Option<Duration> {
        let watching = self.shared.waiters.load(Ordering::SeqCst) > 0;
        let sweeps = self.shared.sweeps.load(Ordering::SeqCst);
        let sweep = sweeps.then(|| self.pace.sweeps.rest(self.pace.stopwatch.monotonic()));
        let look = watching.then_some(LOOK_AROUND);
        [sweep, look].into_iter().flatten().min()
    }

    /// Between two groups: background work, if it is time to look and something is there.
    fn sweep_if_due(&mut self) {
        let is_time = self.pace.sweeps.rest(self.pace.stopwatch.monotonic()).is_zero();
        if !is_time || !self.shared.sweeps.load(Ordering::SeqCst) || self.shared.queue.has_failed()
        {
            return;
        }
        if self.has_sweep_work() {
            let job = self.pace.sweeps.step();
            self.group(Queued { job, urgency: Urgency::Bulk, bytes: 0, seed: None });
            self.pace.swept_at = self.pace.stopwatch.monotonic();
            let due_in = self.next_due_in();
            self.pace.sweeps.after_step(self.pace.stopwatch.monotonic(), due_in);
        } else {
            let due_in = self.next_due_in();
            self.pace.sweeps.after_look(self.pace.stopwatch.monotonic(), due_in);
        }
        if self.give_pages_back() {
            self.pace.sweeps.go_on(self.pace.stopwatch.monotonic());
        }
    }

    /// Looks before it takes the write lock: something is due, some retention is over, or the
    /// last sweep lies [`sweep::SWEEP_AT_LEAST`] back.
    fn has_sweep_work(&mut self) -> bool {
        let now = self.shared.time.peek(self.clock.as_ref());
        let retention = i64::try_from(self.limits.retention.0).unwrap_or(i64::MAX);
        let ended_before = TimestampMs(now.0.saturating_sub(retention));
        let session = &mut self.session;
        let found = drive::is_due(session, now).and_then(|is_due| {
            Ok(is_due
                || session.flow_work()?.is_any()
                || !session.ended(ended_before, 1)?.is_empty()
                || !session.lapsed_workers(now, 1)?.is_empty())
        });
        let rested = self.pace.stopwatch.monotonic().saturating_sub(self.pace.swept_at);
        // What cannot be read is told by the sweep itself.
        found.unwrap_or(true) || rested >= sweep::SWEEP_AT_LEAST
    }

    /// The time until something is due; zero when it is, or when nobody can tell.
    fn next_due_in(&mut self) -> Option<Duration> {
        let now = self.shared.time.peek(self.clock.as_ref());
        match (drive::next_due(&mut self.session), self.session.next_worker_lapse()) {
            (Ok(due), Ok(lapse)) => {
                let next = [due, lapse].into_iter().flatten().min();
                next.map(|at| Duration::from_millis(until(now, at).0))
            }
            (_, _) => Some(Duration::ZERO),
        }
    }

    /// Returns a bounded number of free pages to the file system once they are many: what
    /// retention frees is reused first. Answers whether it returned some.
    fn give_pages_back(&self) -> bool {
        let count = |pragma: &str| -> rusqlite::Result<i64> {
            self.session.query_row(pragma, [], |row| row.get(0))
        };
        let counts = count("PRAGMA freelist_count")
            .and_then(|free| count("PRAGMA page_count").map(|all| (free, all)));
        let Ok((free, all)) = counts else { return false };
        if free <= FREE_PAGES_KEPT || free <= all / 4 {
            return false;
        }
        let given = self.session.prepare(&format!("PRAGMA incremental_vacuum({FREE_PAGES_STEP})"));
        // The statement gives one page back with each step.
        let given = given.and_then(|mut step| {
            let mut rows = step.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        });
        let is_done = given.is_ok();
        self.weigh(given, "give free pages back");
        is_done
    }

    /// One transaction for `first` and whoever joins it.
    fn group(&mut self, first: Queued) {
        self.let_neighbours_in();
        self.session.touched().clear();
        if let Err(error) = self.control("BEGIN IMMEDIATE") {
            let mut waiting = vec![first];
            waiting.extend(std::iter::from_fn(|| self.shared.queue.join_group()).take(GROUP_MAX));
            self.give_up(waiting, &error, "begin a transaction");
            return;
        }
        self.notice_neighbours();
        self.note_newest_completion();
        let started = self.pace.stopwatch.monotonic();
        let changes_before = self.session.total_changes();
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
            if self.session.is_autocommit() {
                ran.push(queued);
                Self::lose(ran);
                return;
            }
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
                Outcome::Fatal { reason } => {
                    self.stop_with(ran, reason);
                    return;
                }
            }
            let is_full = ran.len() >= GROUP_MAX
                || bytes >= GROUP_BYTES_MAX
                || self.pace.stopwatch.monotonic() - started >= GROUP_TIME_MAX;
            next = if is_full { None } else { self.shared.queue.join_group() };
        }
        let changed = self.session.total_changes() != changes_before;
        self.finish(ran, changed, opens_work, now);
    }

    fn run_one(&mut self, queued: &mut Queued, now: TimestampMs) -> Outcome {
        let seed = *queued.seed.get_or_insert_with(|| {
            let number = self.pace.commands;
            self.pace.commands += 1;
            seed_of_write(self.seed, number)
        });
        let before = self.session.total_changes();
        let mut cx = Context::new(now, seed, &self.limits);
        self.session.begin_command();
        let effect = queued.job.run(&mut self.session, &mut cx);
        let is_rolled_back = self.session.is_autocommit();
        match effect {
            Effect::Fatal { reason } => Outcome::Fatal { reason },
            Effect::Accepted { .. } | Effect::Undone | Effect::Refused if is_rolled_back => {
                Outcome::RolledBack
            }
            Effect::Accepted { opens_work } => Outcome::Kept { opens_work },
            Effect::Undone => Outcome::Refused,
            Effect::Refused if self.session.total_changes() == before => Outcome::Refused,
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
            self.note_newest_completion();
            match self.run_one(&mut queued, now) {
                Outcome::Kept { opens_work } => self.finish(vec![queued], true, opens_work, now),
                Outcome::Refused | Outcome::Broken => {
                    self.roll_back();
                    queued.job.answer(None);
                }
                Outcome::RolledBack => Self::lose(vec![queued]),
                Outcome::Fatal { reason } => self.stop_with(vec![queued], reason),
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
        self.pace.group_ended = self.pace.stopwatch.monotonic();
        if let Err(error) = committed {
            self.roll_back();
            self.give_up(ran, &error, "commit a transaction");
            return;
        }
        if let Some(reason) = self.file.as_ref().filter(|_| changed).and_then(WatchedFile::moved) {
            self.stop_with(ran, reason);
            return;
        }
        // Whoever is answered and subscribes then must not be told of what it knows.
        self.broadcast_completions();
        for queued in ran {
            queued.job.answer(None);
        }
        if !changed {
            return;
        }
        self.wake_streams();
        self.shared.events.send_modify(|generation| *generation += 1);
        if opens_work {
            self.shared.work.send_modify(|generation| *generation += 1);
        }
        self.pace.sweeps.look_soon(self.pace.stopwatch.monotonic());
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
        self.session
            .hold(statement::CLOCK_READ_FLOOR)?
            .query_row([], |row| row.get(0))
            .map(TimestampMs)
    }

    /// The engine's now, read for each command: none is stamped earlier than it was asked.
    fn now(&self, floor: TimestampMs) -> TimestampMs {
        let (now, step) = self.shared.time.tick(self.clock.as_ref(), floor);
        if let Some(ClockStep { from, to }) = step {
            tracing::warn!(%from, %to, "the wall clock stepped forward by more than an hour");
            let values = params![now.0, from.0, to.0];
            let recorded = self.session.run(statement::CLOCK_RECORD_STEP, values);
            if let Err(error) = recorded {
                tracing::warn!(%error, "the step could not be recorded for `verify`");
            }
        }
        now
    }

    /// Begins or ends a transaction, without parsing the word again each time.
    fn control(&self, statement: &'static str) -> rusqlite::Result<()> {
        self.session.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn raise_floor(&self, now: TimestampMs) -> rusqlite::Result<()> {
        self.session.run(statement::CLOCK_RAISE_FLOOR, [now.0]).map(|_| ())
    }

    fn roll_back(&self) {
        if !self.session.is_autocommit()
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
        self.stop_if_fatal(error, what);
        for queued in ran {
            queued.job.answer(Some(copy_of(what, error)));
        }
    }

    fn stop_if_fatal(&self, error: &rusqlite::Error, what: &'static str) {
        if let Some(code) = error.sqlite_error().map(|error| error.extended_code)
            && is_fatal(code)
        {
            self.stop(stopped(&format!("could not {what}: {error} (SQLite code {code})")));
        }
    }

    /// Stops for good, and tells those whose transaction was not kept.
    fn stop_with(&self, ran: Ran, reason: String) {
        self.roll_back();
        self.stop(reason);
        for queued in ran {
            queued.job.answer(Some(self.shared.queue.refusal()));
        }
    }

    fn stop(&self, reason: String) {
        tracing::error!(%reason, "the writer has stopped");
        self.shared.queue.close(Closed::Failed(reason));
    }

    fn data_version(&self) -> rusqlite::Result<i64> {
        self.session.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Wakes waiters when another connection has committed since the last look.
    fn notice_neighbours(&mut self) {
        // What cannot be read is told by the next command.
        let Ok(version) = self.data_version() else { return };
        if version == self.pace.data_version {
            return;
        }
        self.pace.data_version = version;
        let now = self.pace.stopwatch.monotonic();
        self.pace.neighbour_seen = Some(now);
        self.pace.sweeps.look_soon(now);
        self.wake_all();
    }

    /// Wakes the tails of the streams that were written to.
    fn wake_streams(&mut self) {
        let touched = self.session.touched();
        if !self.shared.streams.is_empty() {
            touched.sort_unstable();
            touched.dedup();
            self.shared.streams.wake(touched.iter().copied());
        }
        touched.clear();
    }

    fn wake_all(&self) {
        self.shared.streams.wake_all();
        self.shared.events.send_modify(|generation| *generation += 1);
        self.shared.work.send_modify(|generation| *generation += 1);
    }

    /// Before the first write: what is newer at the end is this transaction's, whoever listens by
    /// then.
    fn note_newest_completion(&mut self) {
        if let Ok(bounds) = self.session.event_bounds(Topic::Completion) {
            self.pace.last_completion = bounds.newest;
        }
    }

    fn broadcast_completions(&mut self) {
        if self.shared.completions.receiver_count() == 0 {
            return;
        }
        let rows = self.session.hold(statement::COMPLETION_EVENT_NEW).and_then(|mut statement| {
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
}

enum Outcome {
    Kept { opens_work: bool },
    Refused,
    Broken,
    RolledBack,
    Fatal { reason: String },
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
