//! Parking an attempt until signals let it go on.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Handle, PendingWaitpoint, WaitpointHmac};
use crate::types::{
    ExecutionId, LaneId, Namespace, SignalId, SuspensionId, TimestampMs, WaitpointId,
    WaitpointToken,
};

/// Deepest nesting of composite conditions.
pub const MAX_COMPOSITE_DEPTH: usize = 4;

/// Rows a page of open waitpoints holds unless the caller says otherwise.
pub const LIST_PENDING_WAITPOINTS_DEFAULT_LIMIT: u32 = 100;

/// Most rows a page of open waitpoints holds.
pub const LIST_PENDING_WAITPOINTS_MAX_LIMIT: u32 = 1_000;

/// What makes a repeated suspend the same suspend; empty means none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which signals count: those of exactly this name, or any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SignalMatcher {
    ByName(String),
    Wildcard,
}

/// When a suspended attempt may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ResumeCondition {
    /// Some signal at that waitpoint matches.
    Single {
        waitpoint_key: String,
        matcher: SignalMatcher,
    },
    /// No signal ever does; an operator resumes.
    OperatorOnly,
    /// No signal ever does; the timeout decides.
    TimeoutOnly,
    Composite(CompositeBody),
}

impl ResumeCondition {
    /// Any signal at each of the waitpoints.
    pub fn all_of_waitpoints<I, S>(keys: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let single =
            |key: S| Self::Single { waitpoint_key: key.into(), matcher: SignalMatcher::Wildcard };
        Self::Composite(CompositeBody::all_of(keys.into_iter().map(single)))
    }

    /// Every waitpoint key the condition looks at, once, in the order of first mention.
    #[must_use]
    pub fn referenced_waitpoint_keys(&self) -> Vec<String> {
        fn visit<'a>(
            condition: &'a ResumeCondition,
            seen: &mut HashSet<&'a str>,
            keys: &mut Vec<String>,
        ) {
            let mut mention = |key: &'a String| {
                if seen.insert(key) {
                    keys.push(key.clone());
                }
            };
            match condition {
                ResumeCondition::Single { waitpoint_key, .. } => mention(waitpoint_key),
                ResumeCondition::OperatorOnly | ResumeCondition::TimeoutOnly => {}
                ResumeCondition::Composite(CompositeBody::Count { waitpoints, .. }) => {
                    waitpoints.iter().for_each(mention);
                }
                ResumeCondition::Composite(CompositeBody::AllOf { members }) => {
                    for member in members {
                        visit(member, seen, keys);
                    }
                }
            }
        }

        let mut keys = Vec::new();
        visit(self, &mut HashSet::new(), &mut keys);
        keys
    }

    /// Refuses a composite that is too deep, empty, or can never hold, and says where.
    ///
    /// Depth counts composite nodes from the root, which is 1. The path is `<root>` or
    /// `members[i].members[j]`. Conditions that are not composite always pass.
    pub fn validate_composite(&self) -> Result<(), CompositeValidationError> {
        self.validate_at(1, "")
    }

    fn validate_at(&self, depth: usize, path: &str) -> Result<(), CompositeValidationError> {
        let Self::Composite(body) = self else { return Ok(()) };
        let refused = |what: String| {
            let place = if path.is_empty() { "<root>" } else { path };
            Err(CompositeValidationError { detail: format!("{what} at path {place}") })
        };
        if depth > MAX_COMPOSITE_DEPTH {
            return refused(format!("depth {depth} exceeds cap {MAX_COMPOSITE_DEPTH}"));
        }
        match body {
            CompositeBody::AllOf { members } => {
                if members.is_empty() {
                    return refused("allof_empty_members".to_owned());
                }
                let separator = if path.is_empty() { "" } else { "." };
                for (index, member) in members.iter().enumerate() {
                    member.validate_at(depth + 1, &format!("{path}{separator}members[{index}]"))?;
                }
            }
            CompositeBody::Count { n, count_kind, waitpoints, .. } => {
                if *n == 0 {
                    return refused("count_n_zero".to_owned());
                }
                if waitpoints.is_empty() {
                    return refused("count_waitpoints_empty".to_owned());
                }
                let enough = usize::try_from(*n).is_ok_and(|n| n <= waitpoints.len());
                if *count_kind == CountKind::DistinctWaitpoints && !enough {
                    let total = waitpoints.len();
                    return refused(format!(
                        "count_exceeds_waitpoint_set: n={n} > waitpoints.len()={total}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A condition over several waitpoints. "Any of these" is `Count` with `n` 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum CompositeBody {
    AllOf {
        members: Vec<ResumeCondition>,
    },
    /// At least `n` distinct things among the matching signals at these waitpoints.
    Count {
        n: u32,
        count_kind: CountKind,
        /// Absent means any signal counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        matcher: Option<SignalMatcher>,
        waitpoints: Vec<String>,
    },
}

impl CompositeBody {
    pub fn all_of(members: impl IntoIterator<Item = ResumeCondition>) -> Self {
        Self::AllOf { members: members.into_iter().collect() }
    }

    pub fn count(
        n: u32,
        count_kind: CountKind,
        matcher: Option<SignalMatcher>,
        waitpoints: impl IntoIterator<Item = String>,
    ) -> Self {
        Self::Count { n, count_kind, matcher, waitpoints: waitpoints.into_iter().collect() }
    }
}

/// What `Count` counts; a source is a pair of source type and source identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CountKind {
    DistinctWaitpoints,
    DistinctSignals,
    DistinctSources,
}

/// Why a composite condition is refused, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CompositeValidationError {
    pub detail: String,
}

/// Where a resumed execution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ResumeTarget {
    Runnable,
}

/// What resuming does to waitpoints and signals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResumePolicy {
    pub resume_target: ResumeTarget,
    pub consume_matched_signals: bool,
    pub retain_signal_buffer_until_closed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_delay_ms: Option<u64>,
    pub close_waitpoint_on_resume: bool,
}

impl ResumePolicy {
    /// Runnable at once, signals consumed, waitpoint closed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            resume_target: ResumeTarget::Runnable,
            consume_matched_signals: true,
            retain_signal_buffer_until_closed: false,
            resume_delay_ms: None,
            close_waitpoint_on_resume: true,
        }
    }

    /// As [`Self::new`].
    #[must_use]
    pub fn normal() -> Self {
        Self::new()
    }
}

impl Default for ResumePolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// What the timeout of a suspension does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TimeoutBehavior {
    Fail,
    Cancel,
    Expire,
    AutoResumeWithTimeoutSignal,
    Escalate,
}

impl TimeoutBehavior {
    /// The stored name.
    #[must_use]
    pub const fn as_wire_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::AutoResumeWithTimeoutSignal => "auto_resume_with_timeout_signal",
            Self::Escalate => "escalate",
        }
    }
}

/// What the attempt waits for, in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SuspensionReasonCode {
    WaitingForSignal,
    WaitingForApproval,
    WaitingForCallback,
    WaitingForToolResult,
    WaitingForOperatorReview,
    PausedByPolicy,
    PausedByBudget,
    StepBoundary,
    ManualPause,
}

impl SuspensionReasonCode {
    /// The stored name.
    #[must_use]
    pub const fn as_wire_str(self) -> &'static str {
        match self {
            Self::WaitingForSignal => "waiting_for_signal",
            Self::WaitingForApproval => "waiting_for_approval",
            Self::WaitingForCallback => "waiting_for_callback",
            Self::WaitingForToolResult => "waiting_for_tool_result",
            Self::WaitingForOperatorReview => "waiting_for_operator_review",
            Self::PausedByPolicy => "paused_by_policy",
            Self::PausedByBudget => "paused_by_budget",
            Self::StepBoundary => "step_boundary",
            Self::ManualPause => "manual_pause",
        }
    }
}

/// Who asked for the suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SuspensionRequester {
    Worker,
    Operator,
    Policy,
    SystemTimeoutPolicy,
}

impl SuspensionRequester {
    /// The stored name.
    #[must_use]
    pub const fn as_wire_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Operator => "operator",
            Self::Policy => "policy",
            Self::SystemTimeoutPolicy => "system_timeout_policy",
        }
    }
}

/// A waitpoint of a suspension: made with it, or made earlier by `create_waitpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WaitpointBinding {
    Fresh { waitpoint_id: WaitpointId, waitpoint_key: String },
    UsePending { waitpoint_id: WaitpointId },
}

impl WaitpointBinding {
    /// A random id, and the key `wpk:<id>`.
    #[must_use]
    pub fn fresh() -> Self {
        let waitpoint_id = WaitpointId::new();
        let waitpoint_key = format!("wpk:{waitpoint_id}");
        Self::Fresh { waitpoint_id, waitpoint_key }
    }

    #[must_use]
    pub fn use_pending(pending: &PendingWaitpoint) -> Self {
        Self::UsePending { waitpoint_id: pending.waitpoint_id.clone() }
    }
}

/// Parks an attempt. The first waitpoint is the primary one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuspendArgs {
    pub suspension_id: SuspensionId,
    pub waitpoints: Vec<WaitpointBinding>,
    pub resume_condition: ResumeCondition,
    pub resume_policy: ResumePolicy,
    pub reason_code: SuspensionReasonCode,
    pub requested_by: SuspensionRequester,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_at: Option<TimestampMs>,
    pub timeout_behavior: TimeoutBehavior,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation_metadata_pointer: Option<String>,
    pub now: TimestampMs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

impl SuspendArgs {
    /// Asked for by the worker, without timeout; a timeout given later fails the execution unless
    /// it says otherwise.
    #[must_use]
    pub fn new(
        suspension_id: SuspensionId,
        waitpoint: WaitpointBinding,
        resume_condition: ResumeCondition,
        resume_policy: ResumePolicy,
        reason_code: SuspensionReasonCode,
        now: TimestampMs,
    ) -> Self {
        Self {
            suspension_id,
            waitpoints: vec![waitpoint],
            resume_condition,
            resume_policy,
            reason_code,
            requested_by: SuspensionRequester::Worker,
            timeout_at: None,
            timeout_behavior: TimeoutBehavior::Fail,
            continuation_metadata_pointer: None,
            now,
            idempotency_key: None,
        }
    }

    /// The first waitpoint.
    ///
    /// # Panics
    /// When `waitpoints` has been emptied.
    #[must_use]
    pub fn primary(&self) -> &WaitpointBinding {
        &self.waitpoints[0]
    }

    #[must_use]
    pub fn with_timeout(mut self, at: TimestampMs, behavior: TimeoutBehavior) -> Self {
        self.timeout_at = Some(at);
        self.timeout_behavior = behavior;
        self
    }

    #[must_use]
    pub fn with_requester(mut self, requester: SuspensionRequester) -> Self {
        self.requested_by = requester;
        self
    }

    #[must_use]
    pub fn with_continuation_metadata_pointer(mut self, pointer: String) -> Self {
        self.continuation_metadata_pointer = Some(pointer);
        self
    }

    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// Appends a waitpoint.
    #[must_use]
    pub fn with_waitpoint(mut self, waitpoint: WaitpointBinding) -> Self {
        self.waitpoints.push(waitpoint);
        self
    }

    /// Replaces the waitpoints.
    #[must_use]
    pub fn with_waitpoints(mut self, waitpoints: Vec<WaitpointBinding>) -> Self {
        self.waitpoints = waitpoints;
        self
    }
}

/// The waitpoints of a suspension with the tokens that address them; the first is the primary one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuspendOutcomeDetails {
    pub suspension_id: SuspensionId,
    pub waitpoint_id: WaitpointId,
    pub waitpoint_key: String,
    pub waitpoint_token: WaitpointHmac,
    pub additional_waitpoints: Vec<AdditionalWaitpointBinding>,
}

impl SuspendOutcomeDetails {
    #[must_use]
    pub fn new(
        suspension_id: SuspensionId,
        waitpoint_id: WaitpointId,
        waitpoint_key: String,
        waitpoint_token: WaitpointHmac,
    ) -> Self {
        Self {
            suspension_id,
            waitpoint_id,
            waitpoint_key,
            waitpoint_token,
            additional_waitpoints: Vec::new(),
        }
    }
    #[must_use]
    pub fn with_additional_waitpoints(
        mut self,
        additional_waitpoints: Vec<AdditionalWaitpointBinding>,
    ) -> Self {
        self.additional_waitpoints = additional_waitpoints;
        self
    }
}

/// A waitpoint beyond the primary one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdditionalWaitpointBinding {
    pub waitpoint_id: WaitpointId,
    pub waitpoint_key: String,
    pub waitpoint_token: WaitpointHmac,
}

impl AdditionalWaitpointBinding {
    #[must_use]
    pub fn new(
        waitpoint_id: WaitpointId,
        waitpoint_key: String,
        waitpoint_token: WaitpointHmac,
    ) -> Self {
        Self { waitpoint_id, waitpoint_key, waitpoint_token }
    }
}

/// Whether the attempt was parked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuspendOutcome {
    /// The lease is gone; the handle names the parked attempt.
    Suspended { details: SuspendOutcomeDetails, handle: Handle },
    /// Signals that came before satisfy the condition: the attempt keeps its lease and goes on.
    AlreadySatisfied { details: SuspendOutcomeDetails },
}

impl SuspendOutcome {
    #[must_use]
    pub fn details(&self) -> &SuspendOutcomeDetails {
        match self {
            Self::Suspended { details, .. } | Self::AlreadySatisfied { details } => details,
        }
    }
}

/// A signal for a waitpoint, with the token that proves the sender may signal it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliverSignalArgs {
    pub execution_id: ExecutionId,
    pub waitpoint_id: WaitpointId,
    pub signal_id: SignalId,
    pub signal_name: String,
    pub signal_category: String,
    pub source_type: String,
    pub source_identity: String,
    #[serde(default)]
    pub payload: Option<Vec<u8>>,
    #[serde(default)]
    pub payload_encoding: Option<String>,
    #[serde(default)]
    pub correlation_id: Option<String>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    pub target_scope: String,
    #[serde(default)]
    pub created_at: Option<TimestampMs>,
    /// 24 h when absent.
    #[serde(default)]
    pub dedup_ttl_ms: Option<u64>,
    #[serde(default)]
    pub resume_delay_ms: Option<u64>,
    /// 10,000 when absent.
    #[serde(default)]
    pub max_signals_per_execution: Option<u64>,
    #[serde(default)]
    pub signal_maxlen: Option<u64>,
    pub waitpoint_token: WaitpointToken,
    pub now: TimestampMs,
}

/// Whether the signal was new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliverSignalResult {
    /// `effect` is `resume_condition_satisfied` or `appended_to_waitpoint`.
    Accepted {
        signal_id: SignalId,
        effect: String,
    },
    Duplicate {
        existing_signal_id: SignalId,
    },
}

/// A person's yes or no; the backend finds the waitpoint's token itself. The deduplication key is
/// `approval:<signal_name>:<idempotency_suffix>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliverApprovalSignalArgs {
    pub execution_id: ExecutionId,
    pub lane_id: LaneId,
    pub waitpoint_id: WaitpointId,
    /// Usually `approved` or `rejected`.
    pub signal_name: String,
    pub idempotency_suffix: String,
    pub signal_dedup_ttl_ms: u64,
    #[serde(default)]
    pub maxlen: Option<u64>,
    #[serde(default)]
    pub max_signals_per_execution: Option<u64>,
}

impl DeliverApprovalSignalArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lane_id: LaneId,
        waitpoint_id: WaitpointId,
        signal_name: impl Into<String>,
        idempotency_suffix: impl Into<String>,
        signal_dedup_ttl_ms: u64,
        maxlen: Option<u64>,
        max_signals_per_execution: Option<u64>,
    ) -> Self {
        Self {
            execution_id,
            lane_id,
            waitpoint_id,
            signal_name: signal_name.into(),
            idempotency_suffix: idempotency_suffix.into(),
            signal_dedup_ttl_ms,
            maxlen,
            max_signals_per_execution,
        }
    }
}

/// Which page of open waitpoints; 100 rows by default, 1 to 1000.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListPendingWaitpointsArgs {
    pub execution_id: ExecutionId,
    pub after: Option<WaitpointId>,
    pub limit: Option<u32>,
}

impl ListPendingWaitpointsArgs {
    #[must_use]
    pub fn new(execution_id: ExecutionId) -> Self {
        Self { execution_id, after: None, limit: None }
    }
    #[must_use]
    pub fn with_after(mut self, after: WaitpointId) -> Self {
        self.after = Some(after);
        self
    }
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// A page of open waitpoints by id; a cursor means there are more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListPendingWaitpointsResult {
    pub entries: Vec<PendingWaitpointInfo>,
    pub next_cursor: Option<WaitpointId>,
}

impl ListPendingWaitpointsResult {
    #[must_use]
    pub fn new(entries: Vec<PendingWaitpointInfo>) -> Self {
        Self { entries, next_cursor: None }
    }
    #[must_use]
    pub fn with_next_cursor(mut self, next_cursor: WaitpointId) -> Self {
        self.next_cursor = Some(next_cursor);
        self
    }
}

/// A waitpoint as anyone may see it: its token shows only as key id and fingerprint, the first 16
/// hexadecimal digits of the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingWaitpointInfo {
    pub waitpoint_id: WaitpointId,
    pub waitpoint_key: String,
    /// `pending`, `active` or `closed`.
    pub state: String,
    /// Empty means any signal.
    #[serde(default)]
    pub required_signal_names: Vec<String>,
    pub created_at: TimestampMs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<TimestampMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<TimestampMs>,
    pub execution_id: ExecutionId,
    pub token_kid: String,
    pub token_fingerprint: String,
}

impl PendingWaitpointInfo {
    #[must_use]
    pub fn new(
        waitpoint_id: WaitpointId,
        waitpoint_key: String,
        state: String,
        created_at: TimestampMs,
        execution_id: ExecutionId,
        token_kid: String,
        token_fingerprint: String,
    ) -> Self {
        Self {
            waitpoint_id,
            waitpoint_key,
            state,
            required_signal_names: Vec::new(),
            created_at,
            activated_at: None,
            expires_at: None,
            execution_id,
            token_kid,
            token_fingerprint,
        }
    }
    #[must_use]
    pub fn with_activated_at(mut self, activated_at: TimestampMs) -> Self {
        self.activated_at = Some(activated_at);
        self
    }
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: TimestampMs) -> Self {
        self.expires_at = Some(expires_at);
        self
    }
    #[must_use]
    pub fn with_required_signal_names(mut self, required_signal_names: Vec<String>) -> Self {
        self.required_signal_names = required_signal_names;
        self
    }
}

/// Rows a page of [`list_waiting`](crate::engine_backend::EngineBackend::list_waiting) holds unless the caller says
/// otherwise.
pub const LIST_WAITING_DEFAULT_LIMIT: u32 = 100;

/// Most rows a page of [`list_waiting`](crate::engine_backend::EngineBackend::list_waiting) holds.
pub const LIST_WAITING_MAX_LIMIT: u32 = 1_000;

/// Which open suspensions to list; an addition of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListWaitingArgs {
    pub lane_id: Option<LaneId>,
    pub namespace: Option<Namespace>,
    /// The execution after which the page begins.
    pub after: Option<ExecutionId>,
    /// 100 by default, 1 to 1,000.
    pub limit: Option<u32>,
}

impl ListWaitingArgs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_lane(mut self, lane: LaneId) -> Self {
        self.lane_id = Some(lane);
        self
    }

    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    #[must_use]
    pub fn with_after(mut self, after: ExecutionId) -> Self {
        self.after = Some(after);
        self
    }

    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// A page of open suspensions by execution id; a cursor means there are more. Under a filter a
/// page may be short, even empty, while there is a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListWaitingPage {
    pub entries: Vec<WaitingExecution>,
    pub next_cursor: Option<ExecutionId>,
}

impl ListWaitingPage {
    #[must_use]
    pub fn new(entries: Vec<WaitingExecution>, next_cursor: Option<ExecutionId>) -> Self {
        Self { entries, next_cursor }
    }
}

/// One suspended execution with what it waits for; tokens are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingExecution {
    pub execution_id: ExecutionId,
    pub execution_kind: String,
    pub lane_id: LaneId,
    pub namespace: Namespace,
    pub suspension_id: SuspensionId,
    /// Usually the stored name of a [`SuspensionReasonCode`]; tools may have written other text.
    pub reason_code: String,
    pub requested_by: SuspensionRequester,
    pub suspended_at: TimestampMs,
    pub timeout_at: Option<TimestampMs>,
    /// What happens at `timeout_at`; absent when nothing does.
    pub timeout_behavior: Option<TimeoutBehavior>,
    pub continuation_metadata_pointer: Option<String>,
    /// The open waitpoints of the suspension, by id.
    pub waitpoints: Vec<PendingWaitpointInfo>,
}

/// An operator's answer to a waitpoint, without its token; an addition of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnswerWaitpointArgs {
    pub execution_id: ExecutionId,
    pub waitpoint_id: WaitpointId,
    pub signal_name: String,
    /// Who answers: the source identity of the signal, whose source type is `operator`.
    pub answered_by: String,
    pub payload: Option<Vec<u8>>,
    pub payload_encoding: Option<String>,
    /// The same key at the same waitpoint is the same answer, for 24 h.
    pub idempotency_key: Option<String>,
}

impl AnswerWaitpointArgs {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        waitpoint_id: WaitpointId,
        signal_name: impl Into<String>,
        answered_by: impl Into<String>,
    ) -> Self {
        Self {
            execution_id,
            waitpoint_id,
            signal_name: signal_name.into(),
            answered_by: answered_by.into(),
            payload: None,
            payload_encoding: None,
            idempotency_key: None,
        }
    }

    #[must_use]
    pub fn with_payload(mut self, payload: Vec<u8>, encoding: Option<String>) -> Self {
        self.payload = Some(payload);
        self.payload_encoding = encoding;
        self
    }

    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(key: &str) -> ResumeCondition {
        ResumeCondition::Single { waitpoint_key: key.to_owned(), matcher: SignalMatcher::Wildcard }
    }

    fn all_of(members: Vec<ResumeCondition>) -> ResumeCondition {
        ResumeCondition::Composite(CompositeBody::all_of(members))
    }

    fn count(n: u32, kind: CountKind, keys: &[&str]) -> ResumeCondition {
        let keys = keys.iter().map(|key| (*key).to_owned());
        ResumeCondition::Composite(CompositeBody::count(n, kind, None, keys))
    }

    fn refusal(condition: &ResumeCondition) -> String {
        condition.validate_composite().unwrap_err().detail
    }

    #[test]
    fn conditions_have_their_exact_json() {
        let by_name = ResumeCondition::Single {
            waitpoint_key: "k".to_owned(),
            matcher: SignalMatcher::ByName("x".to_owned()),
        };
        let counted = ResumeCondition::Composite(CompositeBody::count(
            2,
            CountKind::DistinctSources,
            Some(SignalMatcher::Wildcard),
            ["a".to_owned(), "b".to_owned()],
        ));
        for (condition, json) in [
            (by_name, r#"{"Single":{"waitpoint_key":"k","matcher":{"ByName":"x"}}}"#),
            (single("k"), r#"{"Single":{"waitpoint_key":"k","matcher":"Wildcard"}}"#),
            (ResumeCondition::OperatorOnly, r#""OperatorOnly""#),
            (ResumeCondition::TimeoutOnly, r#""TimeoutOnly""#),
            (
                all_of(vec![ResumeCondition::TimeoutOnly]),
                r#"{"Composite":{"kind":"AllOf","members":["TimeoutOnly"]}}"#,
            ),
            (
                counted,
                r#"{"Composite":{"kind":"Count","n":2,"count_kind":"DistinctSources","matcher":"Wildcard","waitpoints":["a","b"]}}"#,
            ),
            (
                count(1, CountKind::DistinctSignals, &["a"]),
                r#"{"Composite":{"kind":"Count","n":1,"count_kind":"DistinctSignals","waitpoints":["a"]}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&condition).unwrap(), json);
            assert_eq!(serde_json::from_str::<ResumeCondition>(json).unwrap(), condition);
        }
    }

    #[test]
    fn a_refused_composite_says_where() {
        assert_eq!(refusal(&all_of(vec![])), "allof_empty_members at path <root>");
        assert_eq!(
            refusal(&all_of(vec![single("a"), all_of(vec![])])),
            "allof_empty_members at path members[1]"
        );
        let zero = count(0, CountKind::DistinctSignals, &["a"]);
        assert_eq!(
            refusal(&all_of(vec![all_of(vec![single("a"), single("b"), zero])])),
            "count_n_zero at path members[0].members[2]"
        );
        assert_eq!(
            refusal(&count(1, CountKind::DistinctSignals, &[])),
            "count_waitpoints_empty at path <root>"
        );
        assert_eq!(
            refusal(&count(3, CountKind::DistinctWaitpoints, &["a", "b"])),
            "count_exceeds_waitpoint_set: n=3 > waitpoints.len()=2 at path <root>"
        );
    }

    #[test]
    fn four_levels_of_composites_pass_and_a_fifth_does_not() {
        let deep = |levels: usize| (0..levels).fold(single("a"), |inner, _| all_of(vec![inner]));
        assert_eq!(deep(MAX_COMPOSITE_DEPTH).validate_composite(), Ok(()));
        assert_eq!(
            refusal(&deep(5)),
            "depth 5 exceeds cap 4 at path members[0].members[0].members[0].members[0]"
        );
    }

    #[test]
    fn a_count_of_signals_may_exceed_its_waitpoints() {
        assert_eq!(count(3, CountKind::DistinctSignals, &["a"]).validate_composite(), Ok(()));
        assert_eq!(
            count(2, CountKind::DistinctWaitpoints, &["a", "b"]).validate_composite(),
            Ok(())
        );
        assert_eq!(single("a").validate_composite(), Ok(()));
    }

    #[test]
    fn a_condition_names_each_key_once_in_order() {
        let condition = all_of(vec![
            single("b"),
            count(1, CountKind::DistinctSignals, &["a", "b"]),
            ResumeCondition::OperatorOnly,
            ResumeCondition::all_of_waitpoints(["c", "a"]),
        ]);
        assert_eq!(condition.referenced_waitpoint_keys(), ["b", "a", "c"]);
        assert!(ResumeCondition::TimeoutOnly.referenced_waitpoint_keys().is_empty());
    }

    #[test]
    fn a_suspend_without_more_words_comes_from_the_worker_and_has_no_timeout() {
        let args = SuspendArgs::new(
            SuspensionId::new(),
            WaitpointBinding::fresh(),
            ResumeCondition::OperatorOnly,
            ResumePolicy::normal(),
            SuspensionReasonCode::ManualPause,
            TimestampMs::from_millis(1),
        );
        assert_eq!(
            (args.requested_by, args.timeout_behavior),
            (SuspensionRequester::Worker, TimeoutBehavior::Fail)
        );
        assert!(args.timeout_at.is_none() && args.idempotency_key.is_none());
        let WaitpointBinding::Fresh { waitpoint_id, waitpoint_key } = args.primary() else {
            panic!("a fresh binding")
        };
        assert_eq!(*waitpoint_key, format!("wpk:{waitpoint_id}"));

        let json = serde_json::to_value(&args).unwrap();
        assert!(json.get("timeout_at").is_none() && json.get("idempotency_key").is_none());
        let back: SuspendArgs = serde_json::from_value(json).unwrap();
        assert_eq!(back.waitpoints, args.waitpoints);
        assert_eq!(back.resume_policy, ResumePolicy::default());
    }
}
