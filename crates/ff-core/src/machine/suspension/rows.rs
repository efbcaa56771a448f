//! What waiting stores, as the rules see it.

#![expect(missing_docs, reason = "fields carry the contract's own names")]

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backend::{ResumeSignal, WaitpointHmac};
use crate::contracts::{
    ResumeCondition, SuspendOutcomeDetails, SuspensionRequester, TimeoutBehavior,
};
use crate::handle_codec::HandlePayload;
use crate::types::{
    AttemptIndex, DurationMs, ExecutionId, Namespace, SignalId, SuspensionId, TimestampMs,
    WaitpointId,
};

/// Key bytes. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The key of a store that was opened with a seed: the same for every process, so no secret.
    pub fn from_seed(seed: u64) -> Self {
        let digest =
            Sha256::new().chain_update("ff waitpoint key").chain_update(seed.to_be_bytes());
        Self::new(<[u8; 32]>::from(digest.finalize()))
    }

    /// The bytes: for signing and storing, never for a log.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(<REDACTED:len={}>)", self.0.len())
    }
}

/// A key that signs tokens, or one whose tokens still count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub kid: String,
    pub secret: Secret,
    /// When it was installed. Of several active keys the newest signs.
    pub rotated_at: TimestampMs,
    pub active: bool,
    /// The instant from which the tokens of an inactive key no longer count. A key that somebody
    /// deactivated by hand has none, and counts no longer.
    pub expires_at: Option<TimestampMs>,
}

impl SigningKey {
    /// Whether tokens of this key count at `now`.
    pub fn is_valid(&self, now: TimestampMs) -> bool {
        self.active || self.expires_at.is_some_and(|end| now < end)
    }
}

/// An execution's latest suspension. It stays after its end until the next one replaces it.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspension {
    pub execution_id: ExecutionId,
    pub suspension_id: SuspensionId,
    /// Raised by one with every write of this row.
    pub version: u64,
    /// Unknown for rows written by tools.
    pub attempt_index: Option<AttemptIndex>,
    pub suspended_at: TimestampMs,
    pub timeout_at: Option<TimestampMs>,
    /// What happens at `timeout_at`; none after an escalation.
    pub timeout_behavior: Option<TimeoutBehavior>,
    /// Text, because tools write other reasons than the contract's.
    pub reason_code: String,
    pub requested_by: SuspensionRequester,
    /// `None` where a tool wrote something that is no condition: no signal satisfies it.
    pub condition: Option<ResumeCondition>,
    /// How far each leaf of the condition has come, depth first.
    pub progress: Vec<Leaf>,
    /// The resume policy's delay, for a signal that brings none.
    pub resume_delay: Option<DurationMs>,
    pub continuation: Option<String>,
    pub closed: Option<Closed>,
}

impl Suspension {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// What one leaf of a condition has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leaf {
    /// Distinct things counted; 1 for a `Single` that holds.
    #[serde(default)]
    pub have: u32,
    /// The waitpoint keys counted by a `DistinctWaitpoints`; at most one condition's worth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// When and how a suspension or a waitpoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub at: TimestampMs,
    /// `resumed`, `cancelled`, `timed_out_fail`, `never_committed`, `expired:…`.
    pub reason: String,
}

/// An address that signals are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waitpoint {
    pub id: WaitpointId,
    pub execution_id: ExecutionId,
    /// The attempt that made it; unknown for rows written by tools.
    pub attempt_index: Option<AttemptIndex>,
    /// The suspension that adopted it.
    pub suspension_id: Option<SuspensionId>,
    pub key: String,
    pub kid: String,
    pub token: WaitpointHmac,
    pub created_at: TimestampMs,
    pub activated_at: Option<TimestampMs>,
    pub expires_at: Option<TimestampMs>,
    /// Empty means any.
    pub required_signal_names: Vec<String>,
    pub state: WaitpointState,
    /// How it ended, once it has.
    pub closed: Option<Closed>,
}

impl Waitpoint {
    /// The waitpoint as its end leaves it: its token is of no use any more and is not kept.
    #[must_use]
    pub fn ended(self, reason: &str, at: TimestampMs) -> Self {
        Self {
            state: WaitpointState::Closed,
            token: WaitpointHmac::new(""),
            closed: Some(Closed { at, reason: reason.to_owned() }),
            ..self
        }
    }
}

/// Where a waitpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitpointState {
    /// Made ahead of its suspension; signals wait with it.
    Pending,
    /// Part of a suspension.
    Active,
    /// Over: no signal is taken any more.
    Closed,
}

impl WaitpointState {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Closed => "closed",
        }
    }

    /// Reads the stored word.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "pending" => Self::Pending,
            "active" => Self::Active,
            "closed" => Self::Closed,
            _ => return None,
        })
    }
}

/// A delivered signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    pub execution_id: ExecutionId,
    /// 1 for the execution's first signal, and so on.
    pub seq: u64,
    /// The bytes that this signal and all before it hold for the execution.
    pub bytes_so_far: u64,
    pub signal_id: SignalId,
    /// `None` for the signal that a timeout sends.
    pub waitpoint_id: Option<WaitpointId>,
    pub waitpoint_key: String,
    /// `None` while it waits with a pending waitpoint.
    pub suspension_id: Option<SuspensionId>,
    pub name: String,
    pub category: String,
    pub source_type: String,
    pub source_identity: String,
    pub correlation_id: String,
    pub payload: Option<Vec<u8>>,
    pub payload_encoding: Option<String>,
    pub accepted_at: TimestampMs,
}

impl Signal {
    /// The signal as the worker sees it.
    pub fn seen(self) -> ResumeSignal {
        ResumeSignal {
            signal_id: self.signal_id,
            signal_name: self.name,
            signal_category: self.category,
            source_type: self.source_type,
            source_identity: self.source_identity,
            correlation_id: self.correlation_id,
            accepted_at: self.accepted_at,
            payload: self.payload,
        }
    }

    /// What a condition asks about it.
    pub fn head(&self) -> SignalHead {
        SignalHead {
            signal_id: self.signal_id.clone(),
            waitpoint_key: self.waitpoint_key.clone(),
            name: self.name.clone(),
            source_type: self.source_type.clone(),
            source_identity: self.source_identity.clone(),
        }
    }
}

/// What a condition asks about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalHead {
    pub signal_id: SignalId,
    pub waitpoint_key: String,
    pub name: String,
    pub source_type: String,
    pub source_identity: String,
}

/// How many signals an execution has had, and how many bytes they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalTally {
    pub count: u64,
    pub bytes: u64,
}

/// A remembered idempotency key of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalDedup {
    pub execution_id: ExecutionId,
    pub waitpoint_id: WaitpointId,
    pub key: String,
    pub signal_id: SignalId,
    pub expires_at: TimestampMs,
}

/// A remembered idempotency key of a suspend, with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendDedup {
    pub execution_id: ExecutionId,
    pub key: String,
    /// The replay count of the execution: a new run starts afresh.
    pub run: u32,
    pub details: SuspendOutcomeDetails,
    pub already_satisfied: bool,
    /// The lease that asked.
    pub holder: HandlePayload,
    pub created_at: TimestampMs,
    pub expires_at: TimestampMs,
}

impl SuspendDedup {
    /// The expiry of a key that goes when its execution is forgotten: how long the wait will last,
    /// and how late a worker comes after it, is not known when it begins.
    pub const WITH_ITS_EXECUTION: TimestampMs = TimestampMs(i64::MAX);
}

/// The suspension whose signals an attempt sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub execution_id: ExecutionId,
    pub suspension_id: SuspensionId,
    pub attempt_index: AttemptIndex,
}

/// A signal was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalEvent {
    pub execution_id: ExecutionId,
    pub signal_id: SignalId,
    pub waitpoint_id: Option<WaitpointId>,
    pub source_identity: Option<String>,
    /// The effect as subscribers read it: `satisfied`, `buffered`, or the answer's own text.
    pub effect: String,
    pub at: TimestampMs,
    pub namespace: Namespace,
    pub instance_tag: Option<String>,
}
