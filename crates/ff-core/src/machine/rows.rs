//! What is stored, as the rules see it.

#![expect(missing_docs, reason = "fields carry the contract's own names")]

use std::collections::BTreeMap;

use crate::policy::ExecutionPolicy;
use crate::state::{
    AttemptState, AttemptType, LaneState, LifecyclePhase, OwnershipState, PublicState, StateVector,
    TerminalOutcome,
};
use crate::types::{
    AttemptId, AttemptIndex, DurationMs, ExecutionId, FlowId, LaneId, LeaseEpoch, LeaseId,
    Namespace, QuotaPolicyId, TimestampMs, WorkerId, WorkerInstanceId,
};

/// One execution: everything a rule may ask about it, without payload and result.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub id: ExecutionId,
    /// Raised by one with every write of this row.
    pub version: u64,
    pub namespace: Namespace,
    pub lane: LaneId,
    pub kind: String,
    pub creator: String,
    pub flow_id: Option<FlowId>,
    pub priority: i32,
    pub payload_encoding: Option<String>,
    pub idempotency_key: Option<String>,
    pub policy: Option<ExecutionPolicy>,
    /// Canonical text of the capabilities a worker must have; empty means any worker.
    pub gate_key: String,
    /// The quota policy that this execution itself is bound to.
    pub quota_policy_id: Option<QuotaPolicyId>,
    /// Whether its lease takes slots of quotas.
    pub takes_slots: bool,
    /// Whether `check_admission` reserved a slot of a quota for it; its end frees what is left.
    pub reserves_slots: bool,
    pub tags: BTreeMap<String, String>,
    pub state: StateVector,
    pub blocking_detail: Option<String>,
    /// The attempt that runs or ran last. 0 before the first claim.
    pub attempt_index: AttemptIndex,
    /// Attempts made so far.
    pub attempt_count: u32,
    /// The fencing number of the latest acquisition; 0 before the first.
    pub epoch: LeaseEpoch,
    pub retry_count: u32,
    pub replay_count: u32,
    pub reclaim_count: u32,
    pub created_at: TimestampMs,
    pub started_at: Option<TimestampMs>,
    pub ended_at: Option<TimestampMs>,
    pub mutated_at: TimestampMs,
    /// When a delayed execution becomes eligible.
    pub eligible_at: Option<TimestampMs>,
    pub deadline_at: Option<TimestampMs>,
    /// When the running attempt times out.
    pub attempt_timeout_at: Option<TimestampMs>,
    /// What an interrupted attempt has left of its timeout.
    pub attempt_timeout_left: Option<DurationMs>,
    pub failure_reason: Option<String>,
    pub cancel_reason: Option<String>,
    pub cancelled_by: Option<String>,
    pub progress_pct: Option<u8>,
    pub progress_message: Option<String>,
}

impl Execution {
    /// The tag whose value outbox rows carry for filters.
    pub const INSTANCE_TAG: &'static str = "cairn.instance_id";

    /// Whether it has ended.
    pub fn is_terminal(&self) -> bool {
        self.state.lifecycle_phase == LifecyclePhase::Terminal
    }

    /// Whether an attempt owns it, live or lapsed.
    pub fn is_active(&self) -> bool {
        self.state.lifecycle_phase == LifecyclePhase::Active
    }

    /// Whether a live lease is recorded on it.
    pub fn is_leased(&self) -> bool {
        self.is_active() && self.state.ownership_state == OwnershipState::Leased
    }

    /// Whether its lease lapsed or was revoked, so that a claim reclaims it.
    pub fn is_reclaimable(&self) -> bool {
        self.is_active()
            && matches!(
                self.state.ownership_state,
                OwnershipState::LeaseExpiredReclaimable | OwnershipState::LeaseRevoked
            )
    }

    /// Whether a claim may take it: the predicate of the claim index.
    pub fn is_claimable(&self) -> bool {
        let waits = match self.state.lifecycle_phase {
            LifecyclePhase::Runnable | LifecyclePhase::Submitted => {
                self.state.eligibility_state == crate::state::EligibilityState::EligibleNow
                    && self.state.ownership_state == OwnershipState::Unowned
            }
            LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => false,
        };
        waits || self.is_reclaimable()
    }

    /// Whether its attempt was interrupted and continues at the next claim.
    pub fn is_interrupted(&self) -> bool {
        self.state.attempt_state == AttemptState::AttemptInterrupted
    }

    /// What the outside sees.
    pub fn public_state(&self) -> PublicState {
        self.state.public_state
    }

    /// How it ended; `None` while it has not.
    pub fn outcome(&self) -> TerminalOutcome {
        self.state.terminal_outcome
    }

    /// The value that outbox rows carry for instance filters.
    pub fn instance_tag(&self) -> Option<&str> {
        self.tags.get(Self::INSTANCE_TAG).map(String::as_str)
    }

    /// The index the next new attempt gets.
    pub fn next_attempt_index(&self) -> AttemptIndex {
        AttemptIndex(self.attempt_count)
    }

    /// The earliest instant at which something happens to it by itself, lease expiry apart.
    pub fn due_at(&self) -> Option<TimestampMs> {
        let eligible = match self.state.eligibility_state {
            crate::state::EligibilityState::NotEligibleUntilTime => {
                Some(self.eligible_at.unwrap_or(TimestampMs(0)))
            }
            _ => None,
        };
        let timeout = if self.is_leased() { self.attempt_timeout_at } else { None };
        if self.is_terminal() {
            return None;
        }
        [eligible, timeout, self.deadline_at].into_iter().flatten().min()
    }
}

/// One attempt of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub execution_id: ExecutionId,
    pub index: AttemptIndex,
    /// Unknown for rows written by tools that have no such column.
    pub attempt_id: Option<AttemptId>,
    pub kind: AttemptType,
    pub epoch: LeaseEpoch,
    pub worker_id: Option<WorkerId>,
    pub worker_instance_id: Option<WorkerInstanceId>,
    pub lease_id: Option<LeaseId>,
    /// When the live lease ends. `None` when there is none, or when it has no end.
    pub lease_expires_at: Option<TimestampMs>,
    /// When a lease that is waiting for its reclaim ran out.
    pub lease_expired_at: Option<TimestampMs>,
    pub started_at: Option<TimestampMs>,
    pub ended_at: Option<TimestampMs>,
    pub outcome: Option<AttemptOutcome>,
    pub failure_reason: Option<String>,
    pub failure_category: Option<String>,
    /// When the retry that this attempt's failure scheduled is due.
    pub retry_at: Option<TimestampMs>,
    pub policy_json: Option<String>,
}

/// How an attempt stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptOutcome {
    Success,
    Failed,
    /// Failed, and another attempt follows.
    Retry,
    Cancelled,
    Expired,
    Skipped,
    /// Parked by its worker; it continues at the next claim.
    Interrupted,
    /// Lost its lease to a successor.
    InterruptedReclaimed,
}

impl AttemptOutcome {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Retry => "retry",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
            Self::Interrupted => "attempt_interrupted",
            Self::InterruptedReclaimed => "interrupted_reclaimed",
        }
    }

    /// Reads the stored word, older spellings included.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "success" => Self::Success,
            "failed" | "failure" => Self::Failed,
            "retry" => Self::Retry,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            "skipped" => Self::Skipped,
            "attempt_interrupted" | "interrupted" | "waiting_children" => Self::Interrupted,
            "interrupted_reclaimed" | "lease_expired_reclaimable" => Self::InterruptedReclaimed,
            _ => return None,
        })
    }
}

/// Permission for one worker to claim or reclaim one execution, for a short time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub grant_id: uuid::Uuid,
    pub execution_id: ExecutionId,
    pub kind: GrantKind,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lane: LaneId,
    pub capability_hash: Option<String>,
    pub worker_capabilities: Vec<String>,
    pub route_snapshot_json: Option<String>,
    pub admission_summary: Option<String>,
    pub ttl: DurationMs,
    pub issued_at: TimestampMs,
    pub expires_at: TimestampMs,
}

/// What a grant permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantKind {
    Claim,
    Reclaim,
}

impl GrantKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Reclaim => "reclaim",
        }
    }
}

/// A remembered idempotency key of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDedup {
    pub namespace: Namespace,
    pub key: String,
    /// SHA-256 over kind, lane, payload and policy.
    pub digest: [u8; 32],
    pub execution_id: ExecutionId,
    pub expires_at: TimestampMs,
}

/// A lane that executions were created on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub id: LaneId,
    pub state: LaneState,
    pub registered_at: TimestampMs,
    /// The quota policy that its executions are bound to, or why that cannot be read.
    pub quota_policy_id: Result<Option<QuotaPolicyId>, String>,
}

/// An execution that a claim may look at, with its place in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub execution_id: ExecutionId,
    pub priority: i32,
    pub created_at: TimestampMs,
}

impl Candidate {
    /// Higher priority first, then older, then by id.
    pub fn order(&self) -> (std::cmp::Reverse<i32>, TimestampMs, uuid::Uuid, u16) {
        (
            std::cmp::Reverse(self.priority),
            self.created_at,
            self.execution_id.uuid(),
            self.execution_id.partition(),
        )
    }
}
