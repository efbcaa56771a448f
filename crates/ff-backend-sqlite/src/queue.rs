//! What waits for the writer: commands by urgency, and reads that must not overlap a write.
//!
//! Bounded in rows and bytes; a full queue refuses, it never blocks. Lease keepers go ahead of
//! everything, bulk goes last, and every eighth turn goes to the two lines behind them, each in
//! turn, so that nobody starves.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::machine::{Context, Urgency};

use crate::error::fatal_in;
use crate::session::SqliteSession;

/// Commands that may wait at once. At 5,000 commands a second this is under two seconds of work.
const WAITING_MAX: usize = 8_192;

/// Payload bytes that may wait at once.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One turn in this many goes to what is less urgent.
const FAIR_TURN: u64 = 8;

/// A pool's name in the refusal of a full queue.
const POOL: &str = "sqlite writer queue";

/// Something the writer runs inside its transaction, and answers after the commit.
pub(crate) trait Job: Send {
    /// Loads, decides and writes. May run again after a rollback.
    fn run(&mut self, session: &mut SqliteSession<'_>, cx: &mut Context<'_>) -> Effect;

    /// Tells the caller: what `run` answered, or why nothing of it was kept.
    fn answer(self: Box<Self>, lost: Option<EngineError>);
}

/// What a job's run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It was accepted; whether an idle worker may find something now.
    Accepted { opens_work: bool },
    /// It was refused, and what it had written is undone.
    Undone,
    /// It was refused, or the store failed under it.
    Refused,
    /// The store failed under it in a way after which nothing may be acknowledged any more.
    Fatal { reason: String },
}

impl Effect {
    /// What a run did that ended with `error`.
    pub(crate) fn of(error: &EngineError) -> Self {
        match fatal_in(error) {
            Some(failure) => Self::Fatal { reason: stopped(&failure.to_string()) },
            None => Self::Refused,
        }
    }
}

/// The writer's last words about a failure of the database.
pub(crate) fn stopped(failure: &str) -> String {
    format!("{failure}; the writer has stopped. Check the disk, run `ff verify`, and restart")
}

/// A job with its weight.
pub(crate) struct Queued {
    pub(crate) job: Box<dyn Job>,
    pub(crate) urgency: Urgency,
    pub(crate) bytes: usize,
    /// Drawn at the first run and kept, so that a second run draws the same ids.
    pub(crate) seed: Option<u64>,
}

/// A read that the writer runs between two groups.
pub(crate) type ReadJob = Box<dyn FnOnce(&mut SqliteSession<'_>) + Send>;

/// What the writer finds.
pub(crate) enum Turn {
    Write(Queued),
    Read(ReadJob),
    /// Nothing came in time, or somebody asked the writer to look around.
    Nothing,
    /// The queue is closed and empty.
    Over,
}

/// The queue in front of the writer.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Queue")
            .field("waiting", &state.waiting())
            .field("bytes", &state.bytes)
            .field("closed", &state.closed)
            .finish()
    }
}

#[derive(Default)]
struct State {
    lease: VecDeque<Queued>,
    normal: VecDeque<Queued>,
    bulk: VecDeque<Queued>,
    reads: VecDeque<ReadJob>,
    bytes: usize,
    turn: u64,
    is_kicked: bool,
    closed: Option<Closed>,
}

/// Why nothing more is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The backend was shut down.
    ShutDown,
    /// The writer stopped for good, for this reason.
    Failed(String),
}

/// The writer has stopped for good: the source of the `Transport` error that every later write
/// gets. Only opening the database anew, once its cause is mended, helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterStopped {
    /// What happened, and what to do about it.
    pub reason: String,
}

impl fmt::Display for WriterStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for WriterStopped {}

impl Closed {
    fn refusal(&self) -> EngineError {
        match self {
            Self::ShutDown => EngineError::Unavailable { op: "sqlite backend is shut down" },
            Self::Failed(reason) => EngineError::Transport {
                backend: crate::error::BACKEND,
                source: Box::new(WriterStopped { reason: reason.clone() }),
            },
        }
    }
}

fn full() -> EngineError {
    EngineError::ResourceExhausted {
        pool: POOL,
        max: u32::try_from(WAITING_MAX).unwrap_or(u32::MAX),
        retry_after_ms: Some(50),
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.lease.len() + self.normal.len() + self.bulk.len()
    }

    fn line(&mut self, urgency: Urgency) -> &mut VecDeque<Queued> {
        match urgency {
            Urgency::Lease => &mut self.lease,
            Urgency::Normal => &mut self.normal,
            Urgency::Bulk => &mut self.bulk,
        }
    }

    fn pop(&mut self) -> Option<Queued> {
        self.turn += 1;
        let fair = self.turn.is_multiple_of(FAIR_TURN);
        let popped = if fair && self.turn.is_multiple_of(2 * FAIR_TURN) {
            self.normal
                .pop_front()
                .or_else(|| self.bulk.pop_front())
                .or_else(|| self.lease.pop_front())
        } else if fair {
            self.bulk
                .pop_front()
                .or_else(|| self.normal.pop_front())
                .or_else(|| self.lease.pop_front())
        } else {
            self.lease
                .pop_front()
                .or_else(|| self.normal.pop_front())
                .or_else(|| self.bulk.pop_front())
        };
        if let Some(queued) = &popped {
            self.bytes -= queued.bytes;
        }
        popped
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Puts a command in line, or says why not.
    pub(crate) fn push(&self, queued: Queued) -> Result<(), EngineError> {
        let mut state = self.state();
        if let Some(closed) = &state.closed {
            return Err(closed.refusal());
        }
        let is_full = state.waiting() >= WAITING_MAX
            || (state.bytes > 0 && state.bytes + queued.bytes > WAITING_BYTES_MAX);
        if is_full {
            return Err(full());
        }
        state.bytes += queued.bytes;
        let urgency = queued.urgency;
        state.line(urgency).push_back(queued);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Puts a read in line.
    pub(crate) fn push_read(&self, read: ReadJob) -> Result<(), EngineError> {
        let mut state = self.state();
        if let Some(closed) = &state.closed {
            return Err(closed.refusal());
        }
        if state.reads.len() >= WAITING_MAX {
            return Err(full());
        }
        state.reads.push_back(read);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next turn; waits for it at most `timeout`, or without end.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Turn {
        let mut state = self.state();
        loop {
            if let Some(read) = state.reads.pop_front() {
                return Turn::Read(read);
            }
            if let Some(queued) = state.pop() {
                return Turn::Write(queued);
            }
            if state.closed.is_some() {
                return Turn::Over;
            }
            if std::mem::take(&mut state.is_kicked) {
                return Turn::Nothing;
            }
            let (woken, timed_out) = match timeout {
                None => (self.wait(state), false),
                Some(timeout) => self.wait_timeout(state, timeout),
            };
            state = woken;
            if timed_out && state.waiting() == 0 && state.reads.is_empty() {
                return if state.closed.is_some() { Turn::Over } else { Turn::Nothing };
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match self.changed.wait(state) {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn wait_timeout<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        match self.changed.wait_timeout(state, timeout) {
            Ok((guard, result)) => (guard, result.timed_out()),
            Err(poisoned) => {
                let (guard, result) = poisoned.into_inner();
                (guard, result.timed_out())
            }
        }
    }

    /// Another command for the group that is open, if one waits. A waiting read ends the group.
    pub(crate) fn join_group(&self) -> Option<Queued> {
        let mut state = self.state();
        if state.reads.is_empty() { state.pop() } else { None }
    }

    /// Makes an idle writer look around.
    pub(crate) fn kick(&self) {
        self.state().is_kicked = true;
        self.changed.notify_one();
    }

    /// Takes nothing more. After a shut-down what waits is still run; after a failure it is
    /// dropped, and its callers are told why.
    pub(crate) fn close(&self, why: Closed) {
        let mut state = self.state();
        let mut dropped = State::default();
        match why {
            Closed::Failed(_) => {
                std::mem::swap(&mut *state, &mut dropped);
                state.closed = Some(why);
            }
            Closed::ShutDown => {
                state.closed.get_or_insert(why);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the writer has stopped for good.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state().closed, Some(Closed::Failed(_)))
    }

    /// Whether nothing more is taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    /// Why a command got no answer, as an error for its caller.
    pub(crate) fn refusal(&self) -> EngineError {
        let broken = || {
            Closed::Failed(
                "the writer ended without an answer; see the log, run `ff verify`, and restart"
                    .to_owned(),
            )
        };
        self.state().closed.clone().unwrap_or_else(broken).refusal()
    }
}
