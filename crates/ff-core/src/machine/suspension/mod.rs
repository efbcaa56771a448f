//! Suspension: waiting for signals.
//!
//! ```text
//!   create_waitpoint ──▶ pending ──suspend(UsePending)──▶ active ──▶ closed
//!                          │ signals are buffered           │ signals are counted
//!                          └── its end ──▶ closed           └── satisfied, timed out, resumed, ended
//! ```
//!
//! A suspension parks the attempt under its condition. Each signal is a row, counted once on every
//! leaf of the condition that takes it ([`condition`]); the delivery that makes the condition hold
//! resumes the execution in the same transition. The latest suspension stays after its end, so that
//! the resumed worker finds the signals behind it ([`rows::Observed`]).
//!
//! Invariant: an execution in phase `suspended` has exactly one open suspension, and every end of
//! the execution closes it with its waitpoints ([`Write::End`]).
//!
//! Invariant: a waitpoint ends once. What has ended moves to a table of its own, keyed by its id.

pub mod condition;
pub mod create_waitpoint;
pub mod deliver_signal;
pub mod key;
pub mod resume;
pub mod rows;
pub mod suspend;
pub mod timeout;
pub mod token;

pub use create_waitpoint::{CreateWaitpoint, CreatedWaitpoint};
pub use deliver_signal::{DeliverSignal, Delivered, Proof};
pub use key::{RotateKey, SeedKey};
pub use resume::ResumeExecution;
pub use rows::{
    Closed, Leaf, Observed, Secret, Signal, SignalDedup, SignalEvent, SignalHead, SignalTally,
    SigningKey, SuspendDedup, Suspension, Waitpoint, WaitpointState,
};
pub use suspend::{Suspend, Suspended};
pub use timeout::ExpireWaitpoints;

use condition::Counted;

use crate::types::{AttemptIndex, ExecutionId, SignalId, SuspensionId, TimestampMs, WaitpointId};

/// The suspension rows that a command must see, all of the footprint's execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The latest suspension. A suspended execution shows it in any case.
    pub suspension: bool,
    /// The key ring.
    pub keys: bool,
    /// All open waitpoints.
    pub open: bool,
    /// These waitpoints, open or closed, whoever owns them.
    pub waitpoints: Vec<WaitpointId>,
    /// The signals buffered at this pending waitpoint, without their payloads.
    pub buffered: Option<WaitpointId>,
    /// A remembered suspend.
    pub dedup: Option<String>,
    /// What a signal to be delivered may meet.
    pub signal: Option<Probe>,
    /// The signals that the current attempt sees.
    pub observed: Observing,
}

/// What a signal to be delivered may meet: an earlier delivery of itself, and what its suspension
/// has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where it goes.
    pub waitpoint_id: WaitpointId,
    /// The signal itself; absent when its id is yet to be drawn.
    pub signal_id: Option<SignalId>,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The names under which conditions count it.
    pub things: [String; 2],
}

/// Whether the signals that an attempt sees are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Observing {
    /// They are not.
    #[default]
    No,
    /// Only if the attempt was interrupted: a claim carries what it resumes with.
    IfInterrupted,
    /// They are.
    Yes,
}

/// The suspension rows that a command is shown.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field answers the wanted field of the same name")]
pub struct Seen {
    pub suspension: Option<Suspension>,
    pub keys: Vec<SigningKey>,
    /// Open and named ones, each once.
    pub waitpoints: Vec<Waitpoint>,
    /// By acceptance.
    pub buffered: Vec<SignalHead>,
    pub dedup: Option<SuspendDedup>,
    /// How many signals the execution has had; told with a probe.
    pub tally: SignalTally,
    /// The delivery of the probed signal, or of its key, that came before.
    pub known_signal: Option<SignalId>,
    /// The end of the window of the probed key, when that is what made it known.
    pub known_until: Option<TimestampMs>,
    /// What leaves have counted under the probe's names.
    pub counted: Vec<Counted>,
    /// By waitpoint key, then acceptance.
    pub observed: Vec<Signal>,
}

impl Seen {
    /// The waitpoint of this id.
    pub fn waitpoint(&self, id: &WaitpointId) -> Option<&Waitpoint> {
        self.waitpoints.iter().find(|waitpoint| waitpoint.id == *id)
    }

    /// The suspension that is open.
    pub fn open_suspension(&self) -> Option<&Suspension> {
        self.suspension.as_ref().filter(|suspension| suspension.is_open())
    }

    fn put_waitpoint(&mut self, waitpoint: &Waitpoint) {
        match self.waitpoints.iter_mut().find(|known| known.id == waitpoint.id) {
            Some(known) => known.clone_from(waitpoint),
            None => self.waitpoints.push(waitpoint.clone()),
        }
    }

    fn close(&mut self, at: TimestampMs, reason: &str, which: impl Fn(&Waitpoint) -> bool) {
        for waitpoint in &mut self.waitpoints {
            if waitpoint.state != WaitpointState::Closed && which(waitpoint) {
                *waitpoint = waitpoint.clone().ended(reason, at);
            }
        }
    }

    /// Shows the effect of a write that is decided but not yet stored.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::PutKey(key) => {
                self.keys.retain(|known| known.kid != key.kid);
                self.keys.push(key.clone());
            }
            Write::DropKey { kid } => self.keys.retain(|known| known.kid != *kid),
            Write::PutWaitpoint(waitpoint) | Write::CloseWaitpoint(waitpoint) => {
                self.put_waitpoint(waitpoint);
            }
            Write::CloseWaitpoints { execution_id, suspension_id, at, reason } => {
                self.close(*at, reason, |waitpoint| {
                    waitpoint.execution_id == *execution_id
                        && waitpoint.suspension_id.as_ref() == Some(suspension_id)
                });
            }
            Write::KeepWaitpointsOpen { execution_id, suspension_id } => {
                for waitpoint in &mut self.waitpoints {
                    if waitpoint.execution_id == *execution_id
                        && waitpoint.suspension_id.as_ref() == Some(suspension_id)
                    {
                        waitpoint.expires_at = None;
                    }
                }
            }
            Write::BeginSuspension(suspension) => {
                self.suspension = Some((**suspension).clone());
                self.counted.clear();
            }
            Write::PutSuspension(suspension) => self.suspension = Some((**suspension).clone()),
            Write::DropSuspension { .. } => self.suspension = None,
            Write::AddSignal(signal) => {
                self.tally = SignalTally { count: signal.seq, bytes: signal.bytes_so_far };
            }
            Write::Count { counted, .. } => self.counted.push(counted.clone()),
            Write::PutDedup(dedup) => self.dedup = Some((**dedup).clone()),
            Write::AdoptSignals { .. } | Write::RememberSignal(_) | Write::Observe(_) => {}
            Write::End { execution_id, at, reason } => {
                if let Some(suspension) = &mut self.suspension
                    && suspension.is_open()
                {
                    suspension.version += 1;
                    suspension.closed = Some(Closed { at: *at, reason: reason.clone() });
                }
                self.close(*at, reason, |waitpoint| waitpoint.execution_id == *execution_id);
            }
        }
    }
}

/// A suspension row to write.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Write {
    /// A key, inserted or replaced.
    PutKey(SigningKey),
    /// Removes a key.
    DropKey { kid: String },
    /// An open waitpoint, inserted or replaced.
    PutWaitpoint(Box<Waitpoint>),
    /// A waitpoint that has ended: it leaves the open ones, if it is among them.
    CloseWaitpoint(Box<Waitpoint>),
    /// Ends the open waitpoints of a suspension.
    CloseWaitpoints {
        execution_id: ExecutionId,
        suspension_id: SuspensionId,
        at: TimestampMs,
        reason: String,
    },
    /// The open waitpoints of a suspension lose their end.
    KeepWaitpointsOpen { execution_id: ExecutionId, suspension_id: SuspensionId },
    /// A new suspension in place of the one before, with nothing counted.
    BeginSuspension(Box<Suspension>),
    /// The latest suspension, whole.
    PutSuspension(Box<Suspension>),
    /// Removes the latest suspension.
    DropSuspension { execution_id: ExecutionId },
    /// A signal.
    AddSignal(Box<Signal>),
    /// The signals buffered at a waitpoint become a suspension's.
    AdoptSignals {
        execution_id: ExecutionId,
        waitpoint_id: WaitpointId,
        suspension_id: SuspensionId,
    },
    /// A remembered idempotency key of a signal.
    RememberSignal(SignalDedup),
    /// A leaf of the open suspension has counted something.
    Count { execution_id: ExecutionId, counted: Counted },
    /// Which suspension's signals an attempt sees from now on.
    Observe(Observed),
    /// A remembered suspend.
    PutDedup(Box<SuspendDedup>),
    /// The execution has ended: its open suspension and all its open waitpoints end with it. Writes
    /// nothing where there are none.
    End { execution_id: ExecutionId, at: TimestampMs, reason: String },
}

impl Write {
    /// Whether something of an execution is due by itself because of this write.
    pub fn is_due_some_time(&self) -> bool {
        match self {
            Self::BeginSuspension(suspension) | Self::PutSuspension(suspension) => {
                suspension.is_open() && suspension.timeout_at.is_some()
            }
            Self::PutWaitpoint(waitpoint) => waitpoint.expires_at.is_some(),
            Self::PutKey(_)
            | Self::DropKey { .. }
            | Self::CloseWaitpoint(_)
            | Self::CloseWaitpoints { .. }
            | Self::KeepWaitpointsOpen { .. }
            | Self::DropSuspension { .. }
            | Self::AddSignal(_)
            | Self::AdoptSignals { .. }
            | Self::RememberSignal(_)
            | Self::Count { .. }
            | Self::Observe(_)
            | Self::PutDedup(_)
            | Self::End { .. } => false,
        }
    }
}

/// The open suspension of an execution and the attempt it belongs to.
pub(super) fn is_of_attempt(of: Option<AttemptIndex>, attempt: AttemptIndex) -> bool {
    of.is_none_or(|index| index == attempt)
}

#[cfg(test)]
pub(crate) mod testing;
