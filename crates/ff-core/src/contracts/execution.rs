//! Creating, ending, steering and reading one execution.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::policy::ExecutionPolicy;
use crate::state::{AttemptType, PublicState, StateVector};
use crate::types::{
    AttemptId, AttemptIndex, BudgetId, CancelSource, ExecutionId, FlowId, LaneId, LeaseEpoch,
    LeaseFence, LeaseId, Namespace, TimestampMs, WaitpointId, WorkerId, WorkerInstanceId,
};

/// Most executions one `create_executions` takes.
pub const CREATE_BATCH_MAX_ROWS: usize = 1_000;

/// Most payload bytes one `create_executions` takes, summed over its rows.
pub const CREATE_BATCH_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A new execution. The priority is clamped into 0..=9000.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateExecutionArgs {
    pub execution_id: ExecutionId,
    pub namespace: Namespace,
    pub lane_id: LaneId,
    pub execution_kind: String,
    pub input_payload: Vec<u8>,
    #[serde(default)]
    pub payload_encoding: Option<String>,
    pub priority: i32,
    pub creator_identity: String,
    /// Remembered per namespace for the policy's dedup window, 24 h by default.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    #[serde(default)]
    pub tags: HashMap<String, String>,
    #[serde(default)]
    pub policy: Option<ExecutionPolicy>,
    #[serde(default)]
    pub delay_until: Option<TimestampMs>,
    #[serde(default)]
    pub execution_deadline_at: Option<TimestampMs>,
    pub partition_id: u16,
    pub now: TimestampMs,
}

/// Whether the call made the execution or found it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateExecutionResult {
    Created {
        execution_id: ExecutionId,
        public_state: PublicState,
    },
    /// Carries the id of the execution that was there first.
    Duplicate {
        execution_id: ExecutionId,
    },
}

/// Success, by fence triple. Without a fence only `OperatorOverride` is let through.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteExecutionArgs {
    pub execution_id: ExecutionId,
    #[serde(default)]
    pub fence: Option<LeaseFence>,
    pub attempt_index: AttemptIndex,
    #[serde(default)]
    pub result_payload: Option<Vec<u8>>,
    #[serde(default)]
    pub result_encoding: Option<String>,
    #[serde(default)]
    pub source: CancelSource,
    pub now: TimestampMs,
}

/// The execution ended with success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompleteExecutionResult {
    Completed { execution_id: ExecutionId, public_state: PublicState },
}

/// Failure, by fence triple; a given retry policy overrides the stored one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailExecutionArgs {
    pub execution_id: ExecutionId,
    #[serde(default)]
    pub fence: Option<LeaseFence>,
    pub attempt_index: AttemptIndex,
    pub failure_reason: String,
    pub failure_category: String,
    #[serde(default)]
    pub retry_policy_json: String,
    #[serde(default)]
    pub next_attempt_policy_json: String,
    #[serde(default)]
    pub source: CancelSource,
}

/// What the failure led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailExecutionResult {
    RetryScheduled { delay_until: TimestampMs, next_attempt_index: AttemptIndex },
    TerminalFailed,
}

/// Ends a suspension by hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumeExecutionArgs {
    pub execution_id: ExecutionId,
    /// `signal`, `operator` or `auto_resume`.
    #[serde(default = "trigger_type_signal")]
    pub trigger_type: String,
    #[serde(default)]
    pub resume_delay_ms: u64,
}

fn trigger_type_signal() -> String {
    "signal".to_owned()
}

/// The execution waits for a worker again, or for its delay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumeExecutionResult {
    Resumed { public_state: PublicState },
}

/// Cancels an execution in any state that is not terminal. A source other than `OperatorOverride`
/// must show the lease of an active one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelExecutionArgs {
    pub execution_id: ExecutionId,
    pub reason: String,
    #[serde(default)]
    pub source: CancelSource,
    #[serde(default)]
    pub lease_id: Option<LeaseId>,
    #[serde(default)]
    pub lease_epoch: Option<LeaseEpoch>,
    #[serde(default)]
    pub attempt_id: Option<AttemptId>,
    pub now: TimestampMs,
}

/// The execution is cancelled, by this call or by an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelExecutionResult {
    Cancelled { execution_id: ExecutionId, public_state: PublicState },
}

/// A new place in the lane; the stored value is clamped into 0..=9000.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangePriorityArgs {
    pub execution_id: ExecutionId,
    pub new_priority: i32,
    pub lane_id: LaneId,
    pub now: TimestampMs,
}

/// The priority is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangePriorityResult {
    Changed { execution_id: ExecutionId },
}

/// Runs an ended execution again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplayExecutionArgs {
    pub execution_id: ExecutionId,
    pub now: TimestampMs,
}

/// The execution is open again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplayExecutionResult {
    Replayed { public_state: PublicState },
}

/// One execution as operators see it. Times are decimal millisecond text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecutionInfo {
    pub execution_id: ExecutionId,
    pub namespace: String,
    pub lane_id: String,
    pub priority: i32,
    pub execution_kind: String,
    pub state_vector: StateVector,
    pub public_state: PublicState,
    pub created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    pub current_attempt_index: u32,
    pub flow_id: Option<String>,
    pub blocking_detail: String,
}

/// What a worker needs to start: payload, kind and tags.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutionContext {
    pub input_payload: Vec<u8>,
    pub execution_kind: String,
    pub tags: HashMap<String, String>,
}

impl ExecutionContext {
    #[must_use]
    pub fn new(
        input_payload: Vec<u8>,
        execution_kind: String,
        tags: HashMap<String, String>,
    ) -> Self {
        Self { input_payload, execution_kind, tags }
    }
}

/// One execution with its current attempt, lease and waitpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutionSnapshot {
    pub execution_id: ExecutionId,
    pub flow_id: Option<FlowId>,
    pub lane_id: LaneId,
    pub namespace: Namespace,
    pub public_state: PublicState,
    pub blocking_reason: Option<String>,
    pub blocking_detail: Option<String>,
    pub current_attempt: Option<AttemptSummary>,
    pub current_lease: Option<LeaseSummary>,
    pub current_waitpoint: Option<WaitpointId>,
    pub created_at: TimestampMs,
    pub last_mutation_at: TimestampMs,
    pub total_attempt_count: u32,
    pub tags: BTreeMap<String, String>,
}

impl ExecutionSnapshot {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        flow_id: Option<FlowId>,
        lane_id: LaneId,
        namespace: Namespace,
        public_state: PublicState,
        blocking_reason: Option<String>,
        blocking_detail: Option<String>,
        current_attempt: Option<AttemptSummary>,
        current_lease: Option<LeaseSummary>,
        current_waitpoint: Option<WaitpointId>,
        created_at: TimestampMs,
        last_mutation_at: TimestampMs,
        total_attempt_count: u32,
        tags: BTreeMap<String, String>,
    ) -> Self {
        Self {
            execution_id,
            flow_id,
            lane_id,
            namespace,
            public_state,
            blocking_reason,
            blocking_detail,
            current_attempt,
            current_lease,
            current_waitpoint,
            created_at,
            last_mutation_at,
            total_attempt_count,
            tags,
        }
    }
}

/// The current attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptSummary {
    pub attempt_id: AttemptId,
    pub attempt_index: AttemptIndex,
}

impl AttemptSummary {
    #[must_use]
    pub fn new(attempt_id: AttemptId, attempt_index: AttemptIndex) -> Self {
        Self { attempt_id, attempt_index }
    }
}

/// The current lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseSummary {
    pub lease_epoch: LeaseEpoch,
    pub worker_instance_id: WorkerInstanceId,
    pub expires_at: TimestampMs,
    pub lease_id: LeaseId,
    pub attempt_index: AttemptIndex,
    pub last_heartbeat_at: Option<TimestampMs>,
}

impl LeaseSummary {
    /// With the nil lease id and attempt index 0.
    #[must_use]
    pub fn new(
        lease_epoch: LeaseEpoch,
        worker_instance_id: WorkerInstanceId,
        expires_at: TimestampMs,
    ) -> Self {
        Self {
            lease_epoch,
            worker_instance_id,
            expires_at,
            lease_id: LeaseId::from_uuid(uuid::Uuid::nil()),
            attempt_index: AttemptIndex::new(0),
            last_heartbeat_at: None,
        }
    }

    #[must_use]
    pub fn with_lease_id(mut self, lease_id: LeaseId) -> Self {
        self.lease_id = lease_id;
        self
    }

    #[must_use]
    pub fn with_attempt_index(mut self, attempt_index: AttemptIndex) -> Self {
        self.attempt_index = attempt_index;
        self
    }

    #[must_use]
    pub fn with_last_heartbeat_at(mut self, at: TimestampMs) -> Self {
        self.last_heartbeat_at = Some(at);
        self
    }
}

/// One execution in a line: what a list or a table shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionSummary {
    pub execution_id: ExecutionId,
    pub execution_kind: String,
    pub lane_id: LaneId,
    pub namespace: Namespace,
    pub public_state: PublicState,
    pub priority: i32,
    pub created_at: TimestampMs,
    pub started_at: Option<TimestampMs>,
    pub ended_at: Option<TimestampMs>,
    /// When a delayed execution becomes eligible.
    pub due_at: Option<TimestampMs>,
    pub deadline_at: Option<TimestampMs>,
    pub attempt_count: u32,
    pub retry_count: u32,
    pub reclaim_count: u32,
    pub replay_count: u32,
    pub lease_epoch: LeaseEpoch,
    pub worker_instance_id: Option<WorkerInstanceId>,
    pub flow_id: Option<FlowId>,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    pub progress_pct: Option<u8>,
    pub progress_message: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// What it spends from, as its policy names them.
    #[serde(default)]
    pub budget_ids: Vec<BudgetId>,
}

impl ExecutionSummary {
    /// An execution that has only been created; the other fields are assigned.
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        execution_kind: String,
        lane_id: LaneId,
        namespace: Namespace,
        public_state: PublicState,
        priority: i32,
        created_at: TimestampMs,
    ) -> Self {
        Self {
            execution_id,
            execution_kind,
            lane_id,
            namespace,
            public_state,
            priority,
            created_at,
            started_at: None,
            ended_at: None,
            due_at: None,
            deadline_at: None,
            attempt_count: 0,
            retry_count: 0,
            reclaim_count: 0,
            replay_count: 0,
            lease_epoch: LeaseEpoch::new(0),
            worker_instance_id: None,
            flow_id: None,
            reason: None,
            progress_pct: None,
            progress_message: None,
            tags: BTreeMap::new(),
            budget_ids: Vec::new(),
        }
    }
}

/// One attempt of an execution's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptInfo {
    pub attempt_index: AttemptIndex,
    pub attempt_id: Option<AttemptId>,
    pub attempt_type: AttemptType,
    pub lease_epoch: LeaseEpoch,
    pub worker_id: Option<WorkerId>,
    pub worker_instance_id: Option<WorkerInstanceId>,
    pub started_at: Option<TimestampMs>,
    pub ended_at: Option<TimestampMs>,
    /// `None` while the attempt is open.
    pub outcome: Option<String>,
    pub failure_reason: Option<String>,
    pub failure_category: Option<String>,
    /// When the retry this attempt's failure scheduled becomes eligible.
    pub retry_at: Option<TimestampMs>,
    /// `None` when the attempt holds no lease.
    pub lease_expires_at: Option<TimestampMs>,
}

impl AttemptInfo {
    /// An attempt that has not started; the other fields are assigned.
    #[must_use]
    pub fn new(
        attempt_index: AttemptIndex,
        attempt_type: AttemptType,
        lease_epoch: LeaseEpoch,
    ) -> Self {
        Self {
            attempt_index,
            attempt_id: None,
            attempt_type,
            lease_epoch,
            worker_id: None,
            worker_instance_id: None,
            started_at: None,
            ended_at: None,
            outcome: None,
            failure_reason: None,
            failure_category: None,
            retry_at: None,
            lease_expires_at: None,
        }
    }
}

/// One change of an execution's state; versions count up without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransitionInfo {
    pub version: u64,
    pub at: TimestampMs,
    pub lease_epoch: LeaseEpoch,
    /// `None` for the creation.
    pub from_state: Option<PublicState>,
    pub to_state: PublicState,
    /// The operation or sweep that made it.
    pub cause: String,
}

impl TransitionInfo {
    #[must_use]
    pub fn new(
        version: u64,
        at: TimestampMs,
        lease_epoch: LeaseEpoch,
        from_state: Option<PublicState>,
        to_state: PublicState,
        cause: String,
    ) -> Self {
        Self { version, at, lease_epoch, from_state, to_state, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "{fp:0}:018f2f6c-0000-7000-8000-000000000001";

    #[test]
    fn absent_fields_of_a_create_take_their_defaults() {
        let json = format!(
            r#"{{"execution_id":"{ID}","namespace":"n","lane_id":"l","execution_kind":"k","input_payload":[],
                "priority":0,"creator_identity":"c","partition_id":0,"now":1}}"#
        );
        let args: CreateExecutionArgs = serde_json::from_str(&json).unwrap();
        assert!(args.tags.is_empty() && args.policy.is_none() && args.idempotency_key.is_none());
        assert!(args.delay_until.is_none() && args.execution_deadline_at.is_none());
    }

    #[test]
    fn a_completion_without_source_is_an_operator_override() {
        let json = format!(r#"{{"execution_id":"{ID}","attempt_index":0,"now":1}}"#);
        let args: CompleteExecutionArgs = serde_json::from_str(&json).unwrap();
        assert_eq!(args.source, CancelSource::OperatorOverride);
        assert!(args.fence.is_none());
    }

    #[test]
    fn a_resume_is_triggered_by_a_signal_unless_it_says_otherwise() {
        let args: ResumeExecutionArgs =
            serde_json::from_str(&format!(r#"{{"execution_id":"{ID}"}}"#)).unwrap();
        assert_eq!((args.trigger_type.as_str(), args.resume_delay_ms), ("signal", 0));
    }

    #[test]
    fn a_summary_survives_json() {
        let mut summary = ExecutionSummary::new(
            ExecutionId::parse(ID).unwrap(),
            "k".to_owned(),
            LaneId::new("l"),
            Namespace::new("n"),
            PublicState::Waiting,
            0,
            TimestampMs::from_millis(1),
        );
        summary.tags.insert("app.x".to_owned(), "y".to_owned());
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<ExecutionSummary>(&json).unwrap(), summary);
    }
}
