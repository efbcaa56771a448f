//! The interface every backend implements, and the rules of it that no backend may vary.
//!
//! Words that hold for every method:
//!
//! * A mutating call is one atomic transaction; events become visible with it.
//! * A missing execution is `NotFound("execution")`, unless the answer is an `Option` or a method says
//!   otherwise; a malformed argument is `Validation(InvalidInput)`.
//! * A handle of another backend is `Validation(HandleFromOtherBackend)`. A handle that is not the
//!   execution's current one is `Contention(LeaseConflict)`, a fence triple that is not
//!   `State(StaleLease)`; a lapsed lease is `State(LeaseExpired)`, a revoked one `State(LeaseRevoked)`.
//! * A method a backend does not have answers `Unavailable` with the method's name.
//! * A subscription with an empty cursor shows events from now on, with any other every event after
//!   it, at least once and in commit order. A cursor that is malformed, or older than the oldest event
//!   kept, is `Validation(InvalidInput)`.
//! * Times are milliseconds since the Unix epoch, by the backend's clock.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "core")]
use crate::backend::CompletionPayload;
use crate::backend::{
    AppendFrameOutcome, CancelFlowPolicy, CancelFlowWait, CapabilitySet, ClaimPolicy, FailOutcome,
    FailureClass, FailureReason, Frame, Handle, LeaseRenewal, PendingWaitpoint, PrepareOutcome,
    ResumeSignal, ResumeToken, ScannerFilter, UsageDimensions,
};
#[cfg(feature = "streaming")]
use crate::backend::{SummaryDocument, TailVisibility};
use crate::capability::{BackendIdentity, Capabilities, Supports, Version};
#[cfg(feature = "streaming")]
use crate::contracts;
#[cfg(feature = "streaming")]
use crate::contracts::StreamFrames;
#[cfg(feature = "core")]
use crate::contracts::{
    AddExecutionToFlowArgs, AddExecutionToFlowResult, ApplyDependencyToChildArgs,
    ApplyDependencyToChildResult, AttemptInfo, BlockExecutionForAdmissionArgs,
    BlockExecutionForAdmissionOutcome, BudgetStatus, BudgetUsageAndLimits, CancelExecutionArgs,
    CancelExecutionResult, CancelFlowArgs, CancelFlowHeader, CascadeOutcome, ChangePriorityArgs,
    ChangePriorityResult, CheckAdmissionArgs, CheckAdmissionResult, ClaimExecutionArgs,
    ClaimExecutionResult, ClaimForWorkerArgs, ClaimForWorkerOutcome, ClaimGrantOutcome,
    ClaimResumedExecutionArgs, ClaimResumedExecutionResult, ClaimedWork, CompleteExecutionArgs,
    CompleteExecutionResult, CreateBudgetArgs, CreateBudgetResult, CreateExecutionArgs,
    CreateExecutionResult, CreateFlowArgs, CreateFlowResult, CreateQuotaPolicyArgs,
    CreateQuotaPolicyResult, DeliverApprovalSignalArgs, DeliverSignalArgs, DeliverSignalResult,
    EdgeDependencyPolicy, EdgeDirection, EdgeSnapshot, EvaluateFlowEligibilityArgs,
    EvaluateFlowEligibilityResult, ExecutionInfo, ExecutionSummary, FailExecutionArgs,
    FailExecutionResult, FindExecutionsArgs, FindExecutionsPage, FindFlowsArgs, FindFlowsPage,
    FlowGraph, HeartbeatWorkerArgs, HeartbeatWorkerOutcome, IssueClaimGrantArgs,
    IssueClaimGrantOutcome, IssueGrantAndClaimArgs, LaneStatus, LeaseStanding, ListExecutionsPage,
    ListFlowsPage, ListLanesPage, ListPendingWaitpointsArgs, ListPendingWaitpointsResult,
    ListSuspendedPage, ListWorkersArgs, ListWorkersResult, MarkWorkerDeadArgs,
    MarkWorkerDeadOutcome, QuotaPolicyLimits, RecordSpendArgs, RegisterWorkerArgs,
    RegisterWorkerOutcome, ReleaseAdmissionArgs, ReleaseAdmissionResult, ReleaseBudgetArgs,
    RenewLeaseArgs, RenewLeaseResult, ReplayExecutionArgs, ReplayExecutionResult,
    ReportUsageAdminArgs, ResetBudgetArgs, ResetBudgetResult, ResolveDependencyArgs,
    ResolveDependencyOutcome, ResumeExecutionArgs, ResumeExecutionResult, RevokeLeaseArgs,
    RevokeLeaseResult, SetEdgeGroupPolicyResult, SpawnExecutionArgs, SpawnExecutionResult,
    StageDependencyEdgeArgs, StageDependencyEdgeResult, SubmitFlowArgs, SubmitFlowResult,
    TransitionInfo, WorkerStatus,
};
#[cfg(feature = "core")]
use crate::contracts::{
    BindQuotaArgs, BindQuotaResult, BudgetDimension, BudgetOverage, Explanation, ListBudgetsPage,
    ListQuotaPoliciesPage, QuotaTarget, SetBudgetLimitsArgs, UnbindQuotaResult,
};
use crate::contracts::{
    CancelFlowResult, ExecutionContext, ExecutionSnapshot, FlowSnapshot, IssueReclaimGrantArgs,
    IssueReclaimGrantOutcome, ReclaimExecutionArgs, ReclaimExecutionOutcome, ReportUsageResult,
    RotateWaitpointHmacSecretAllArgs, RotateWaitpointHmacSecretAllResult, SeedOutcome,
    SeedWaitpointHmacSecretArgs, SuspendArgs, SuspendOutcome,
};
#[cfg(feature = "suspension")]
use crate::contracts::{ListExpiredLeasesArgs, ListExpiredLeasesResult};
use crate::engine_error::{EngineError, ValidationKind};
#[cfg(feature = "core")]
use crate::partition::PartitionKey;
#[cfg(feature = "core")]
use crate::state::{LaneState, PublicState};
use crate::stream_events::{
    CompletionSubscription, InstanceTagSubscription, LeaseHistorySubscription, OperatorEventPage,
    OperatorEventSubscription, SignalDeliverySubscription,
};
use crate::stream_subscribe::StreamCursor;
use crate::types::{AttemptIndex, BudgetId, ExecutionId, FlowId, LaneId, LeaseFence, TimestampMs};
#[cfg(feature = "core")]
use crate::types::{EdgeId, Namespace, QuotaPolicyId, WaitpointId};

fn unavailable<T>(op: &'static str) -> Result<T, EngineError> {
    Err(EngineError::Unavailable { op })
}

/// The engine, whatever database it runs on.
///
/// Methods without a body are what every backend has; the others answer `Unavailable` until a backend
/// brings its own.
#[async_trait]
#[expect(
    unused_variables,
    reason = "a default body needs no argument, and the names are documentation"
)]
pub trait EngineBackend: Send + Sync + 'static {
    // ---- Claim and lease ----

    /// Takes the best runnable execution of the lane that the capabilities allow.
    ///
    /// Best is highest priority, then oldest, then id. Waits up to `policy.max_wait` for one;
    /// without it answers at once. `None` when nothing fits. Not safe to repeat blindly: each
    /// success is another execution, and one whose reply was lost comes back when its lease lapses.
    async fn claim(
        &self,
        lane: &LaneId,
        capabilities: &CapabilitySet,
        policy: ClaimPolicy,
    ) -> Result<Option<Handle>, EngineError>;

    /// Moves the lease's expiry to now plus the TTL in the handle; the epoch stays.
    ///
    /// A lapsed, revoked or replaced lease is refused and nothing is written:
    /// `State(LeaseExpired)`, `State(LeaseRevoked)`, `Contention(LeaseConflict)`. Safe to repeat.
    async fn renew(&self, handle: &Handle) -> Result<LeaseRenewal, EngineError>;

    /// Takes over an attempt whose lease lapsed: same attempt, next epoch.
    ///
    /// `None` while the lease is live. A missing or foreign grant is
    /// `Contention(InvalidClaimGrant)`, a late one `Contention(ClaimGrantExpired)`. The grant is
    /// used up by success.
    async fn claim_from_resume_grant(
        &self,
        token: ResumeToken,
    ) -> Result<Option<Handle>, EngineError>;

    /// Turns a claim grant into a lease and a new attempt.
    ///
    /// Refused without a write unless the execution is runnable, unowned and eligible now, and the
    /// grant is this worker's and live. A second call is refused, because the execution is active
    /// by then.
    #[cfg(feature = "core")]
    async fn claim_execution(
        &self,
        args: ClaimExecutionArgs,
    ) -> Result<ClaimExecutionResult, EngineError> {
        unavailable("claim_execution")
    }

    /// Leases again an attempt whose wait was satisfied: same index and attempt id, next epoch.
    ///
    /// `Contention(ExecutionNotLeaseable)` when it is not runnable,
    /// `Contention(NotAResumedExecution)` when its attempt was not interrupted. A repeat is
    /// refused.
    #[cfg(feature = "core")]
    async fn claim_resumed_execution(
        &self,
        args: ClaimResumedExecutionArgs,
    ) -> Result<ClaimResumedExecutionResult, EngineError> {
        unavailable("claim_resumed_execution")
    }

    /// Renews by fence triple, to now plus `lease_ttl_ms`; the epoch stays.
    ///
    /// A missing fence is `Validation(InvalidInput, "fence_required")`, whoever asks; a triple that
    /// is not the current one `State(StaleLease)`. Safe to repeat.
    #[cfg(feature = "core")]
    async fn renew_lease(&self, args: RenewLeaseArgs) -> Result<RenewLeaseResult, EngineError> {
        unavailable("renew_lease")
    }

    /// Lists leases that had lapsed at `as_of`, by expiry and then execution id.
    ///
    /// A page holds 1,000 rows by default, 10,000 at most. Reads only; a lease may be renewed or
    /// reclaimed between this answer and the next call.
    #[cfg(feature = "suspension")]
    async fn list_expired_leases(
        &self,
        args: ListExpiredLeasesArgs,
    ) -> Result<ListExpiredLeasesResult, EngineError> {
        unavailable("list_expired_leases")
    }

    // ---- Lifecycle, worker side ----

    /// Stores a new execution, eligible now or at `delay_until`.
    ///
    /// Safe to repeat: the same id, or the same idempotency key within its window, answers
    /// `Duplicate` and writes nothing; the key with another kind, lane, payload or policy is
    /// refused. Malformed policies and capabilities are `Validation`; the priority is clamped into
    /// 0..=9000.
    #[cfg(feature = "core")]
    async fn create_execution(
        &self,
        args: CreateExecutionArgs,
    ) -> Result<CreateExecutionResult, EngineError> {
        unavailable("create_execution")
    }

    /// Overwrites the progress fields that are `Some`.
    ///
    /// Needs a live lease. Safe to repeat; both `None` writes nothing and still checks the lease.
    async fn progress(
        &self,
        handle: &Handle,
        percent: Option<u8>,
        message: Option<String>,
    ) -> Result<(), EngineError>;

    /// Appends one frame, at most 65,536 bytes, to the attempt's stream.
    ///
    /// An attempt that is not active is `State(StreamClosed)`, a lease that is not the current live
    /// one `State(StaleOwnerCannotAppend)`, a larger frame `Validation(RetentionLimitExceeded)`. A
    /// repeat appends again.
    ///
    /// Durable frames stay up to the stream policy's `retention_maxlen`, 10,000 by default; of
    /// patches 64; best-effort frames for about their TTL. Each mode is trimmed by itself. A patch
    /// is a JSON object nested at most 16 deep; the summary has at most 256 KiB. Bytes that are
    /// not UTF-8 are stored as base64, with the field `encoding` saying so.
    async fn append_frame(
        &self,
        handle: &Handle,
        frame: Frame,
    ) -> Result<AppendFrameOutcome, EngineError>;

    /// Ends the attempt and its execution with success, and tells its dependants.
    ///
    /// Safe to repeat by the same holder with the same payload, who gets the same answer. Another
    /// outcome in between is `Contention(ExecutionNotActive)` with the stored one; nothing is
    /// written.
    async fn complete(&self, handle: &Handle, payload: Option<Vec<u8>>) -> Result<(), EngineError>;

    /// Ends the attempt with failure, and schedules a retry if the stored policy has one left.
    ///
    /// `Permanent` and `Cancelled` never retry. Safe to repeat by the same holder, who gets the
    /// same answer; another outcome in between is `Contention(ExecutionNotActive)`.
    async fn fail(
        &self,
        handle: &Handle,
        reason: FailureReason,
        classification: FailureClass,
    ) -> Result<FailOutcome, EngineError>;

    /// Ends the attempt and its execution as cancelled, at the holder's own wish.
    ///
    /// Safe to repeat by the same holder; anyone else is refused and nothing is written.
    async fn cancel(&self, handle: &Handle, reason: &str) -> Result<(), EngineError>;

    /// Parks the attempt until `delay_until` and gives the lease back.
    ///
    /// The same attempt goes on when it is claimed again; a time in the past makes it eligible at
    /// the next sweep. Needs a live lease. A repeat is refused, because the lease is gone.
    async fn delay(&self, handle: &Handle, delay_until: TimestampMs) -> Result<(), EngineError>;

    /// Parks the attempt until the join of the execution's children is decided and gives the lease
    /// back; one that cannot be satisfied any more, until the last child has ended.
    ///
    /// The same attempt goes on when it is claimed again; with nothing to wait for, it is in line at
    /// once. Needs a live lease. A repeat is refused,
    /// because the lease is gone.
    async fn wait_children(&self, handle: &Handle) -> Result<(), EngineError>;

    /// Ends an attempt with success, by fence triple.
    ///
    /// Without a fence only `OperatorOverride` is let through. A triple that is not the current one
    /// is `State(StaleLease)`. Safe to repeat with the same fence and the same result.
    #[cfg(feature = "core")]
    async fn complete_execution(
        &self,
        args: CompleteExecutionArgs,
    ) -> Result<CompleteExecutionResult, EngineError> {
        unavailable("complete_execution")
    }

    /// Ends an attempt with failure, by fence triple, and schedules a retry if the policy has one
    /// left.
    ///
    /// A retry policy in the arguments overrides the stored one. Fencing and repeats as for
    /// [`complete_execution`](Self::complete_execution).
    #[cfg(feature = "core")]
    async fn fail_execution(
        &self,
        args: FailExecutionArgs,
    ) -> Result<FailExecutionResult, EngineError> {
        unavailable("fail_execution")
    }

    // ---- Suspension and signals ----

    /// Parks the attempt until its resume condition holds, and gives the lease back.
    ///
    /// Malformed arguments are `Validation(InvalidInput)`, an open suspension
    /// `State(AlreadySuspended)`. Safe to repeat with the same idempotency key: the stored outcome,
    /// with the same ids and tokens, comes before every other check. A key is kept as long as its
    /// execution.
    async fn suspend(
        &self,
        handle: &Handle,
        args: SuspendArgs,
    ) -> Result<SuspendOutcome, EngineError>;

    /// As [`suspend`](Self::suspend), by fence triple; a wrong triple is `State(StaleLease)`.
    async fn suspend_by_triple(
        &self,
        exec_id: ExecutionId,
        triple: LeaseFence,
        args: SuspendArgs,
    ) -> Result<SuspendOutcome, EngineError> {
        unavailable("suspend_by_triple")
    }

    /// Makes a waitpoint ahead of its suspension; it expires `expires_in` from now unless one
    /// adopts it.
    ///
    /// Signals that come before the suspension wait with it. Needs a live lease. A repeat makes
    /// another waitpoint.
    async fn create_waitpoint(
        &self,
        handle: &Handle,
        waitpoint_key: &str,
        expires_in: Duration,
    ) -> Result<PendingWaitpoint, EngineError>;

    /// Reads a waitpoint's raw token, `None` if there is none. A privileged call: the text is a
    /// credential.
    #[cfg(feature = "core")]
    async fn read_waitpoint_token(
        &self,
        partition: PartitionKey,
        waitpoint_id: &WaitpointId,
    ) -> Result<Option<String>, EngineError> {
        unavailable("read_waitpoint_token")
    }

    /// Reads the signals recorded for the attempt's suspension; empty when it has none.
    async fn observe_signals(&self, handle: &Handle) -> Result<Vec<ResumeSignal>, EngineError>;

    /// Records a signal at a waitpoint, and resumes the execution if its condition holds now.
    ///
    /// An unknown waitpoint and a wrong token are the same `Validation(InvalidToken)`. Safe to
    /// repeat with the same idempotency key, which answers `Duplicate` even at the signal limit.
    #[cfg(feature = "core")]
    async fn deliver_signal(
        &self,
        args: DeliverSignalArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        unavailable("deliver_signal")
    }

    /// Delivers a person's decision; the backend looks the waitpoint's token up itself.
    ///
    /// Another lane than the execution's is `Validation(InvalidInput)`, a waitpoint without token
    /// `NotFound("waitpoint")`. Safe to repeat with the same name and suffix: `Duplicate`.
    #[cfg(feature = "core")]
    async fn deliver_approval_signal(
        &self,
        args: DeliverApprovalSignalArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        unavailable("deliver_approval_signal")
    }

    /// Ends a suspension without waiting for its condition.
    ///
    /// The execution waits for a worker, after `resume_delay_ms`. A repeat, like any execution that
    /// is not suspended, is `State(ExecutionNotSuspended)`.
    #[cfg(feature = "core")]
    async fn resume_execution(
        &self,
        args: ResumeExecutionArgs,
    ) -> Result<ResumeExecutionResult, EngineError> {
        unavailable("resume_execution")
    }

    /// Lists an execution's pending and active waitpoints by id, without their tokens.
    ///
    /// A page holds 100 rows by default; limits are clamped into 1..=1000.
    #[cfg(feature = "core")]
    async fn list_pending_waitpoints(
        &self,
        args: ListPendingWaitpointsArgs,
    ) -> Result<ListPendingWaitpointsResult, EngineError> {
        unavailable("list_pending_waitpoints")
    }

    /// Installs the first key that signs waitpoint tokens.
    ///
    /// Safe to repeat: a known kid answers `AlreadySeeded`, and whether the secret is the same.
    /// Another kid in force is `Validation(InvalidInput)`.
    async fn seed_waitpoint_hmac_secret(
        &self,
        args: SeedWaitpointHmacSecretArgs,
    ) -> Result<SeedOutcome, EngineError> {
        unavailable("seed_waitpoint_hmac_secret")
    }

    /// Makes a new key current; tokens of the one before verify for `grace_ms` more.
    ///
    /// One entry per key store. Safe to repeat with the same secret: `Noop`; the kid with another
    /// secret is `Conflict(RotationConflict)`.
    async fn rotate_waitpoint_hmac_secret_all(
        &self,
        args: RotateWaitpointHmacSecretAllArgs,
    ) -> Result<RotateWaitpointHmacSecretAllResult, EngineError> {
        unavailable("rotate_waitpoint_hmac_secret_all")
    }

    // ---- Flows and edges ----

    /// Stores a new, empty flow. Safe to repeat: a known id answers `AlreadySatisfied`, nothing
    /// changes.
    #[cfg(feature = "core")]
    async fn create_flow(&self, args: CreateFlowArgs) -> Result<CreateFlowResult, EngineError> {
        unavailable("create_flow")
    }

    /// Makes an execution a member of a flow; the graph gets a new revision.
    ///
    /// A missing flow or execution, a flow that has ended and a member of another flow are refused.
    /// Safe to repeat: `AlreadyMember`.
    #[cfg(feature = "core")]
    async fn add_execution_to_flow(
        &self,
        args: AddExecutionToFlowArgs,
    ) -> Result<AddExecutionToFlowResult, EngineError> {
        unavailable("add_execution_to_flow")
    }

    /// Draws an edge between two members if the graph still has the expected revision.
    ///
    /// Otherwise `Contention(StaleGraphRevision)`, which is also what a repeat gets. An edge to
    /// itself, a cycle however long, and a known edge id are `Conflict`; a kind other than
    /// `success_only` is `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn stage_dependency_edge(
        &self,
        args: StageDependencyEdgeArgs,
    ) -> Result<StageDependencyEdgeResult, EngineError> {
        unavailable("stage_dependency_edge")
    }

    /// Makes a drawn edge count: a runnable downstream waits until it is satisfied.
    ///
    /// An upstream that has already ended is settled in the same transaction. A downstream that has
    /// started is left alone. Safe to repeat: `AlreadyApplied`.
    #[cfg(feature = "core")]
    async fn apply_dependency_to_child(
        &self,
        args: ApplyDependencyToChildArgs,
    ) -> Result<ApplyDependencyToChildResult, EngineError> {
        unavailable("apply_dependency_to_child")
    }

    /// Reads what an execution's dependencies say about it, as a status text.
    #[cfg(feature = "core")]
    async fn evaluate_flow_eligibility(
        &self,
        args: EvaluateFlowEligibilityArgs,
    ) -> Result<EvaluateFlowEligibilityResult, EngineError> {
        unavailable("evaluate_flow_eligibility")
    }

    /// Says how many upstreams of one downstream must succeed; possible until the first edge
    /// counts. A quorum is undecided while fewer edges count than must succeed.
    ///
    /// After that, and for a quorum of 0, `Validation(InvalidInput)`. Safe to repeat: an equal
    /// policy answers `AlreadySet`.
    #[cfg(feature = "core")]
    async fn set_edge_group_policy(
        &self,
        flow_id: &FlowId,
        downstream_execution_id: &ExecutionId,
        policy: EdgeDependencyPolicy,
    ) -> Result<SetEdgeGroupPolicyResult, EngineError> {
        unavailable("set_edge_group_policy")
    }

    /// Reads the edges that leave or enter one execution; empty for an unknown flow.
    #[cfg(feature = "core")]
    async fn list_edges(
        &self,
        flow_id: &FlowId,
        direction: EdgeDirection,
    ) -> Result<Vec<EdgeSnapshot>, EngineError> {
        unavailable("list_edges")
    }

    /// Reads one edge.
    #[cfg(feature = "core")]
    async fn describe_edge(
        &self,
        flow_id: &FlowId,
        edge_id: &EdgeId,
    ) -> Result<Option<EdgeSnapshot>, EngineError> {
        unavailable("describe_edge")
    }

    /// Reads the flow an execution belongs to.
    #[cfg(feature = "core")]
    async fn resolve_execution_flow_id(
        &self,
        eid: &ExecutionId,
    ) -> Result<Option<FlowId>, EngineError> {
        unavailable("resolve_execution_flow_id")
    }

    /// Settles one edge after its upstream ended.
    ///
    /// Backends do this themselves when an execution ends; calling it is for repair. An edge that
    /// does not count is `Validation(InvalidDependency)`. Safe to repeat: `AlreadyResolved`.
    #[cfg(feature = "core")]
    async fn resolve_dependency(
        &self,
        args: ResolveDependencyArgs,
    ) -> Result<ResolveDependencyOutcome, EngineError> {
        unavailable("resolve_dependency")
    }

    /// Settles every outgoing edge of an ended execution. For repair; safe to repeat.
    #[cfg(feature = "core")]
    async fn cascade_completion(
        &self,
        payload: &CompletionPayload,
    ) -> Result<CascadeOutcome, EngineError> {
        unavailable("cascade_completion")
    }

    /// Closes a flow and cancels the members the policy names, each fenced and with its completion.
    ///
    /// Waits for those members as long as `wait` says; past it, `Timeout("cancel_flow")`, and the
    /// cancel goes on. An unknown flow is `NotFound("flow")`, one that has ended
    /// `State(FlowAlreadyTerminal)`.
    async fn cancel_flow(
        &self,
        id: &FlowId,
        policy: CancelFlowPolicy,
        wait: CancelFlowWait,
    ) -> Result<CancelFlowResult, EngineError>;

    /// Closes a flow and leaves its members as a backlog to be acknowledged one by one.
    ///
    /// Safe to repeat: a flow that has ended answers `AlreadyTerminal` with what is left of the
    /// backlog.
    #[cfg(feature = "core")]
    async fn cancel_flow_header(
        &self,
        args: CancelFlowArgs,
    ) -> Result<CancelFlowHeader, EngineError> {
        unavailable("cancel_flow_header")
    }

    /// Strikes a member off the cancel backlog. Safe to repeat; unknown ids are fine.
    #[cfg(feature = "core")]
    async fn ack_cancel_member(
        &self,
        flow_id: &FlowId,
        execution_id: &ExecutionId,
    ) -> Result<(), EngineError> {
        unavailable("ack_cancel_member")
    }

    // ---- Budgets and quotas ----

    /// Stores a new budget. Safe to repeat: a known id answers `AlreadySatisfied`, nothing changes.
    ///
    /// Vectors of different lengths are `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn create_budget(
        &self,
        args: CreateBudgetArgs,
    ) -> Result<CreateBudgetResult, EngineError> {
        unavailable("create_budget")
    }

    /// Puts every counter to zero and schedules the next reset; breach counts stay.
    #[cfg(feature = "core")]
    async fn reset_budget(&self, args: ResetBudgetArgs) -> Result<ResetBudgetResult, EngineError> {
        unavailable("reset_budget")
    }

    /// Reads a budget; a missing one is `NotFound("budget")`.
    #[cfg(feature = "core")]
    async fn get_budget_status(&self, id: &BudgetId) -> Result<BudgetStatus, EngineError> {
        unavailable("get_budget_status")
    }

    /// Adds an attempt's usage to a budget, all dimensions or none.
    ///
    /// Over a hard limit nothing is added and the answer is `HardBreach`; over a soft one all is
    /// added. Safe to repeat with a dedup key, for 24 h: `AlreadyApplied`. A hard breach is not
    /// remembered.
    async fn report_usage(
        &self,
        handle: &Handle,
        budget: &BudgetId,
        dimensions: UsageDimensions,
    ) -> Result<ReportUsageResult, EngineError>;

    /// As [`report_usage`](Self::report_usage), without a lease.
    #[cfg(feature = "core")]
    async fn report_usage_admin(
        &self,
        budget: &BudgetId,
        args: ReportUsageAdminArgs,
    ) -> Result<ReportUsageResult, EngineError> {
        unavailable("report_usage_admin")
    }

    /// As [`report_usage`](Self::report_usage), and remembers what the execution was charged.
    #[cfg(feature = "core")]
    async fn record_spend(&self, args: RecordSpendArgs) -> Result<ReportUsageResult, EngineError> {
        unavailable("record_spend")
    }

    /// Gives back all an execution was charged, down to zero. Safe to repeat.
    #[cfg(feature = "core")]
    async fn release_budget(&self, args: ReleaseBudgetArgs) -> Result<(), EngineError> {
        unavailable("release_budget")
    }

    /// Stores a new quota policy. Safe to repeat: a known id answers `AlreadySatisfied`.
    #[cfg(feature = "core")]
    async fn create_quota_policy(
        &self,
        args: CreateQuotaPolicyArgs,
    ) -> Result<CreateQuotaPolicyResult, EngineError> {
        unavailable("create_quota_policy")
    }

    /// Admits an execution under the limits in the arguments; the stored policy is not consulted.
    ///
    /// The window slides and a limit of 0 is off. Safe to repeat within the window:
    /// `AlreadyAdmitted`.
    #[cfg(feature = "core")]
    async fn check_admission(
        &self,
        quota_policy_id: &QuotaPolicyId,
        dimension: &str,
        args: CheckAdmissionArgs,
    ) -> Result<CheckAdmissionResult, EngineError> {
        unavailable("check_admission")
    }

    /// Gives an admission back; the rate is not refunded. Safe to repeat.
    #[cfg(feature = "core")]
    async fn release_admission(
        &self,
        args: ReleaseAdmissionArgs,
    ) -> Result<ReleaseAdmissionResult, EngineError> {
        unavailable("release_admission")
    }

    /// Reads the limits a quota policy stores.
    #[cfg(feature = "core")]
    async fn read_quota_policy_limits(
        &self,
        quota_policy_id: &QuotaPolicyId,
    ) -> Result<Option<QuotaPolicyLimits>, EngineError> {
        unavailable("read_quota_policy_limits")
    }

    /// Reads a budget's counters and limits; an unknown budget is empty.
    #[cfg(feature = "core")]
    async fn read_budget_usage_and_limits(
        &self,
        budget_id: &BudgetId,
    ) -> Result<BudgetUsageAndLimits, EngineError> {
        unavailable("read_budget_usage_and_limits")
    }

    /// Takes a runnable execution out of its lane until the reason is gone.
    ///
    /// An ended one is `Contention(ExecutionNotActive)`, any other that is not runnable
    /// `Contention(ExecutionNotEligible)`.
    #[cfg(feature = "core")]
    async fn block_execution_for_admission(
        &self,
        args: BlockExecutionForAdmissionArgs,
    ) -> Result<BlockExecutionForAdmissionOutcome, EngineError> {
        unavailable("block_execution_for_admission")
    }

    // ---- Streams ----

    /// Reads frames between two places, both inclusive, at most 10,000 and about 8 MiB.
    ///
    /// A page that ends before its limit may be followed by another one; only an empty one is the
    /// end of the range. A bare `<ms>` as the upper bound includes the whole millisecond. A stream
    /// that does not exist is empty and open; one whose attempt has ended says when and why.
    /// Another limit than 1 to 10,000, or text that is no cursor, is `Validation(InvalidInput)`.
    #[cfg(feature = "streaming")]
    async fn read_stream(
        &self,
        execution_id: &ExecutionId,
        attempt_index: AttemptIndex,
        from: contracts::StreamCursor,
        to: contracts::StreamCursor,
        count_limit: u64,
    ) -> Result<StreamFrames, EngineError> {
        unavailable("read_stream")
    }

    /// Reads frames strictly after a concrete id, and waits up to `block_ms` for the first.
    ///
    /// `Start` and `End` are `Validation(InvalidInput)`. 0 does not wait; a closed stream with
    /// nothing new answers at once. What other streams write does not end the wait, nor do frames
    /// that `visibility` leaves out.
    #[cfg(feature = "streaming")]
    async fn tail_stream(
        &self,
        execution_id: &ExecutionId,
        attempt_index: AttemptIndex,
        after: contracts::StreamCursor,
        block_ms: u64,
        count_limit: u64,
        visibility: TailVisibility,
    ) -> Result<StreamFrames, EngineError> {
        unavailable("tail_stream")
    }

    /// Reads the merged summary; `None` until a summary frame has been appended.
    #[cfg(feature = "streaming")]
    async fn read_summary(
        &self,
        execution_id: &ExecutionId,
        attempt_index: AttemptIndex,
    ) -> Result<Option<SummaryDocument>, EngineError> {
        unavailable("read_summary")
    }

    // ---- Reads ----

    /// Reads an execution's public state.
    #[cfg(feature = "core")]
    async fn read_execution_state(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<PublicState>, EngineError> {
        unavailable("read_execution_state")
    }

    /// Reads an execution's full state vector and its times.
    #[cfg(feature = "core")]
    async fn read_execution_info(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionInfo>, EngineError> {
        unavailable("read_execution_info")
    }

    /// Reads the result; `None` for an unknown execution and for one that has not completed.
    async fn get_execution_result(&self, id: &ExecutionId) -> Result<Option<Vec<u8>>, EngineError> {
        unavailable("get_execution_result")
    }

    /// Reads payload, kind and tags; a missing execution is `Validation(InvalidInput)`.
    async fn read_execution_context(
        &self,
        execution_id: &ExecutionId,
    ) -> Result<ExecutionContext, EngineError>;

    /// Reads the current attempt's index; a missing execution is `Validation(InvalidInput)`.
    async fn read_current_attempt_index(
        &self,
        execution_id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        unavailable("read_current_attempt_index")
    }

    /// Reads how many attempts there were, a count in the shape of an index; a missing execution is
    /// `Validation(InvalidInput)`.
    async fn read_total_attempt_count(
        &self,
        execution_id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        unavailable("read_total_attempt_count")
    }

    /// Reads an execution with its current attempt, lease and waitpoint.
    async fn describe_execution(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSnapshot>, EngineError>;

    /// Reads a flow with its edge groups.
    async fn describe_flow(&self, id: &FlowId) -> Result<Option<FlowSnapshot>, EngineError>;

    /// Lists flows by id, after the cursor. A limit of 0 is an empty page.
    #[cfg(feature = "core")]
    async fn list_flows(
        &self,
        partition: PartitionKey,
        cursor: Option<FlowId>,
        limit: usize,
    ) -> Result<ListFlowsPage, EngineError> {
        unavailable("list_flows")
    }

    /// Lists lanes by name, after the cursor. A limit of 0 is an empty page.
    #[cfg(feature = "core")]
    async fn list_lanes(
        &self,
        cursor: Option<LaneId>,
        limit: usize,
    ) -> Result<ListLanesPage, EngineError> {
        unavailable("list_lanes")
    }

    /// Lists suspended executions, after the cursor. A limit of 0 is an empty page.
    #[cfg(feature = "core")]
    async fn list_suspended(
        &self,
        partition: PartitionKey,
        cursor: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ListSuspendedPage, EngineError> {
        unavailable("list_suspended")
    }

    /// Lists execution ids in order, after the cursor, at most 1,000. A limit of 0 is an empty
    /// page.
    #[cfg(feature = "core")]
    async fn list_executions(
        &self,
        partition: PartitionKey,
        cursor: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ListExecutionsPage, EngineError> {
        unavailable("list_executions")
    }

    /// Sets a tag. The key must pass [`validate_tag_key`]; a missing execution is
    /// `NotFound("execution")`. Safe to repeat.
    async fn set_execution_tag(
        &self,
        execution_id: &ExecutionId,
        key: &str,
        value: &str,
    ) -> Result<(), EngineError> {
        unavailable("set_execution_tag")
    }

    /// Reads a tag; `None` without execution or tag. The key must pass [`validate_tag_key`].
    async fn get_execution_tag(
        &self,
        execution_id: &ExecutionId,
        key: &str,
    ) -> Result<Option<String>, EngineError> {
        unavailable("get_execution_tag")
    }

    /// Sets a tag. The key must pass [`validate_tag_key`]; a missing flow is `NotFound("flow")`.
    /// Safe to repeat.
    async fn set_flow_tag(
        &self,
        flow_id: &FlowId,
        key: &str,
        value: &str,
    ) -> Result<(), EngineError> {
        unavailable("set_flow_tag")
    }

    /// Reads a tag; `None` without flow or tag. The key must pass [`validate_tag_key`].
    async fn get_flow_tag(
        &self,
        flow_id: &FlowId,
        key: &str,
    ) -> Result<Option<String>, EngineError> {
        unavailable("get_flow_tag")
    }

    /// Reads an execution's namespace.
    async fn get_execution_namespace(
        &self,
        execution_id: &ExecutionId,
    ) -> Result<Option<String>, EngineError> {
        unavailable("get_execution_namespace")
    }

    // ---- Operator ----

    /// Cancels an execution in any state that is not terminal, closes its waits and tells its
    /// dependants.
    ///
    /// A source other than `OperatorOverride` must show the lease of an active execution. Safe to
    /// repeat: a cancelled one answers `Cancelled`; any other end is refused.
    #[cfg(feature = "core")]
    async fn cancel_execution(
        &self,
        args: CancelExecutionArgs,
    ) -> Result<CancelExecutionResult, EngineError> {
        unavailable("cancel_execution")
    }

    /// Moves an execution within its lane; the value is clamped into 0..=9000.
    ///
    /// Only while it is runnable and eligible now, otherwise `Contention(ExecutionNotEligible)`.
    /// Safe to repeat.
    #[cfg(feature = "core")]
    async fn change_priority(
        &self,
        args: ChangePriorityArgs,
    ) -> Result<ChangePriorityResult, EngineError> {
        unavailable("change_priority")
    }

    /// Opens an ended execution again; its next claim is an attempt of type replay.
    ///
    /// An open one, and so a repeat, is `State(ExecutionNotTerminal)`; past the policy's cap, 10 by
    /// default, `State(MaxReplaysExhausted)`. Downstream executions are not replayed.
    #[cfg(feature = "core")]
    async fn replay_execution(
        &self,
        args: ReplayExecutionArgs,
    ) -> Result<ReplayExecutionResult, EngineError> {
        unavailable("replay_execution")
    }

    /// Takes a lease away from its holder; the execution waits to be reclaimed.
    ///
    /// Safe to repeat: without a matching lease the answer is `AlreadySatisfied` and why.
    #[cfg(feature = "core")]
    async fn revoke_lease(&self, args: RevokeLeaseArgs) -> Result<RevokeLeaseResult, EngineError> {
        unavailable("revoke_lease")
    }

    // ---- Workers ----

    /// Registers a worker process, or refreshes it. Safe to repeat.
    ///
    /// An instance id known under another worker id is `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn register_worker(
        &self,
        args: RegisterWorkerArgs,
    ) -> Result<RegisterWorkerOutcome, EngineError> {
        unavailable("register_worker")
    }

    /// Keeps a registration alive for its liveness TTL; a lapsed one answers `NotRegistered`.
    #[cfg(feature = "core")]
    async fn heartbeat_worker(
        &self,
        args: HeartbeatWorkerArgs,
    ) -> Result<HeartbeatWorkerOutcome, EngineError> {
        unavailable("heartbeat_worker")
    }

    /// Removes a registration; the worker's leases are not touched. Safe to repeat:
    /// `NotRegistered`.
    ///
    /// A reason over 256 bytes or with control characters is `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn mark_worker_dead(
        &self,
        args: MarkWorkerDeadArgs,
    ) -> Result<MarkWorkerDeadOutcome, EngineError> {
        unavailable("mark_worker_dead")
    }

    /// Lists the workers that live, by instance id, 1,000 a page by default.
    ///
    /// A backend may ask for a namespace and answer `Unavailable` without one.
    #[cfg(feature = "core")]
    async fn list_workers(&self, args: ListWorkersArgs) -> Result<ListWorkersResult, EngineError> {
        unavailable("list_workers")
    }

    /// Lists a namespace's living workers with the number of leases that each holds; an addition
    /// of ours.
    #[cfg(feature = "core")]
    async fn list_worker_status(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<WorkerStatus>, EngineError> {
        unavailable("list_worker_status")
    }

    // ---- Grants ----

    /// Reserves an execution whose lease lapsed or was revoked, for one worker.
    ///
    /// Any other execution, and missing capabilities, answer `NotReclaimable` and why. A grant that
    /// stands is `State(GrantAlreadyExists)`.
    async fn issue_reclaim_grant(
        &self,
        args: IssueReclaimGrantArgs,
    ) -> Result<IssueReclaimGrantOutcome, EngineError> {
        unavailable("issue_reclaim_grant")
    }

    /// Redeems a reclaim grant: the lapsed attempt ends and a new one starts under the next epoch.
    ///
    /// At the cap the execution ends with failure and the answer is `ReclaimCapExceeded`. The grant
    /// is used up, so a repeat answers `GrantNotFound` or `NotReclaimable`.
    async fn reclaim_execution(
        &self,
        args: ReclaimExecutionArgs,
    ) -> Result<ReclaimExecutionOutcome, EngineError> {
        unavailable("reclaim_execution")
    }

    /// Grants and claims one execution in a single step, for an operator; a refusal leaves no
    /// grant.
    ///
    /// An interrupted attempt goes on, any other execution gets a new one. A repeat is refused.
    #[cfg(feature = "core")]
    async fn issue_grant_and_claim(
        &self,
        args: IssueGrantAndClaimArgs,
    ) -> Result<ClaimGrantOutcome, EngineError> {
        unavailable("issue_grant_and_claim")
    }

    /// Reserves one eligible execution for one worker; it stays in its lane until the claim.
    ///
    /// A grant that stands is `State(GrantAlreadyExists)`, missing capabilities are
    /// `Validation(CapabilityMismatch)` with the missing tokens.
    #[cfg(feature = "core")]
    async fn issue_claim_grant(
        &self,
        args: IssueClaimGrantArgs,
    ) -> Result<IssueClaimGrantOutcome, EngineError> {
        unavailable("issue_claim_grant")
    }

    /// Finds the best execution a worker may run, within budgets and quotas, and reserves it.
    #[cfg(feature = "core")]
    async fn claim_for_worker(
        &self,
        args: ClaimForWorkerArgs,
    ) -> Result<ClaimForWorkerOutcome, EngineError> {
        unavailable("claim_for_worker")
    }

    // ---- Subscriptions ----

    /// Follows how leases are acquired, renewed, lost and taken away.
    async fn subscribe_lease_history(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<LeaseHistorySubscription, EngineError> {
        unavailable("subscribe_lease_history")
    }

    /// Follows how executions end.
    async fn subscribe_completion(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<CompletionSubscription, EngineError> {
        unavailable("subscribe_completion")
    }

    /// Follows accepted signals.
    async fn subscribe_signal_delivery(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<SignalDeliverySubscription, EngineError> {
        unavailable("subscribe_signal_delivery")
    }

    /// Follows what operators change: priorities, replays and cancels of flows.
    ///
    /// As with every subscription, an empty cursor means from now on, a later one resumes behind
    /// its event and skips nothing; a cursor that is malformed, of another store, or older than the
    /// oldest event kept is `Validation(InvalidInput)`. Stands beside the contract.
    async fn subscribe_operator_events(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<OperatorEventSubscription, EngineError> {
        unavailable("subscribe_operator_events")
    }

    /// Reads what operators changed, in order, at most `limit` and 256 changes, and waits for none.
    ///
    /// No cursor means from the oldest change kept, any other what it means to
    /// [`subscribe_operator_events`](Self::subscribe_operator_events). A page without a change means
    /// that there was none behind the cursor; a subscription from `next` then misses nothing. Stands
    /// beside the contract.
    async fn list_operator_events(
        &self,
        after: Option<StreamCursor>,
        filter: &ScannerFilter,
        limit: u32,
    ) -> Result<OperatorEventPage, EngineError> {
        unavailable("list_operator_events")
    }

    /// Follows how executions gain and lose their instance tag.
    async fn subscribe_instance_tags(
        &self,
        cursor: StreamCursor,
    ) -> Result<InstanceTagSubscription, EngineError> {
        unavailable("subscribe_instance_tags")
    }

    // ---- Admin ----

    /// The backend's short name, for logs and metrics.
    fn backend_label(&self) -> &'static str {
        "unknown"
    }

    /// What the backend is and which operations it has.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(
            BackendIdentity::new("unknown", Version::new(0, 0, 0), "unknown"),
            Supports::none(),
        )
    }

    /// The backend itself, for a caller that knows its type; `()` unless it says so.
    fn as_any(&self) -> &(dyn Any + 'static) {
        &()
    }

    /// Brings the backend's own setup up to date. Safe to repeat.
    async fn prepare(&self) -> Result<PrepareOutcome, EngineError> {
        Ok(PrepareOutcome::NoOp)
    }

    /// Stops background work and waits up to `grace` for it. Safe to repeat.
    async fn shutdown_prepare(&self, grace: Duration) -> Result<(), EngineError> {
        Ok(())
    }

    /// Asks the storage for a sign of life.
    async fn ping(&self) -> Result<(), EngineError> {
        unavailable("ping")
    }

    /// The authoritative clock, in milliseconds since the epoch; the local one unless the backend
    /// has one.
    #[cfg(feature = "core")]
    async fn server_time_ms(&self) -> Result<u64, EngineError> {
        Ok(u64::try_from(TimestampMs::now().0).unwrap_or(0))
    }

    // ---- Beyond the contract ----

    /// Lists open suspensions with what they wait for, by execution id.
    ///
    /// A page holds 100 rows by default, at most
    /// [`LIST_WAITING_MAX_LIMIT`](contracts::LIST_WAITING_MAX_LIMIT); limits are clamped into
    /// 1..=1000. Shows no token.
    #[cfg(feature = "core")]
    async fn list_waiting(
        &self,
        args: contracts::ListWaitingArgs,
    ) -> Result<contracts::ListWaitingPage, EngineError> {
        unavailable("list_waiting")
    }

    /// Answers a waitpoint in an operator's name: a signal with any name and payload, without the
    /// token. A privileged call.
    ///
    /// Refused as [`deliver_signal`](Self::deliver_signal) is, but an unknown waitpoint is
    /// `NotFound("waitpoint")`. Safe to repeat with the same idempotency key: `Duplicate`.
    #[cfg(feature = "core")]
    async fn answer_waitpoint(
        &self,
        args: contracts::AnswerWaitpointArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        unavailable("answer_waitpoint")
    }

    /// Stores new executions, all or none, in the order given.
    ///
    /// At most [`CREATE_BATCH_MAX_ROWS`](contracts::CREATE_BATCH_MAX_ROWS) rows and
    /// [`CREATE_BATCH_MAX_BYTES`](contracts::CREATE_BATCH_MAX_BYTES) of payload, else
    /// `Validation(InvalidInput)` or `Validation(PayloadTooLarge)`; any refused row refuses the
    /// batch, and [`EngineError::row`] names it, counted from 0. Each row is as safe to repeat as [`create_execution`](Self::create_execution), and so
    /// is the whole.
    #[cfg(feature = "core")]
    async fn create_executions(
        &self,
        batch: Vec<CreateExecutionArgs>,
    ) -> Result<Vec<CreateExecutionResult>, EngineError> {
        unavailable("create_executions")
    }

    /// Claims up to `max` executions over several lanes: priority, then age, whatever the lane.
    ///
    /// Waits up to `policy.max_wait` for the first one and not for more. `max` is at most
    /// [`CLAIM_BATCH_MAX`](contracts::CLAIM_BATCH_MAX), else `Validation(InvalidInput)`. Not safe
    /// to repeat blindly: what a lost reply claimed comes back when its lease lapses.
    #[cfg(feature = "core")]
    async fn claim_batch(
        &self,
        lanes: &[LaneId],
        capabilities: &CapabilitySet,
        policy: ClaimPolicy,
        max: u32,
    ) -> Result<Vec<ClaimedWork>, EngineError> {
        unavailable("claim_batch")
    }

    /// Reads whether each handle still holds its lease, in the order of the handles. Writes
    /// nothing.
    ///
    /// At most [`CHECK_LEASES_MAX`](contracts::CHECK_LEASES_MAX) handles, else
    /// `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn check_leases(&self, handles: &[Handle]) -> Result<Vec<LeaseStanding>, EngineError> {
        unavailable("check_leases")
    }

    /// Gives a lease back without burning the attempt: claimable at once, same attempt, next epoch.
    ///
    /// Counts as neither retry nor reclaim. A lease that is not the current live one is refused and
    /// nothing is written.
    #[cfg(feature = "core")]
    async fn release_lease(&self, handle: &Handle) -> Result<(), EngineError> {
        unavailable("release_lease")
    }

    /// Finds executions by state, lane, kind, namespace, tag, flow and time of creation.
    ///
    /// At most [`FIND_EXECUTIONS_MAX_LIMIT`](contracts::FIND_EXECUTIONS_MAX_LIMIT) a page. A page
    /// examines a bounded number of rows, so it may be short, even empty, while `next_cursor` is
    /// set; only an absent cursor ends the search. A malformed cursor is
    /// `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn find_executions(
        &self,
        args: FindExecutionsArgs,
    ) -> Result<FindExecutionsPage, EngineError> {
        unavailable("find_executions")
    }

    /// Reads one execution in a line.
    #[cfg(feature = "core")]
    async fn describe_summary(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSummary>, EngineError> {
        unavailable("describe_summary")
    }

    /// Finds up to two executions whose UUID starts with these hexadecimal digits, hyphens ignored.
    ///
    /// One answer is the execution, two say the prefix is not unique. A prefix that is empty or has
    /// other characters is `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn resolve_execution_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        unavailable("resolve_execution_prefix")
    }

    /// Reads an execution's attempts by index; empty for an unknown execution.
    #[cfg(feature = "core")]
    async fn list_attempts(&self, id: &ExecutionId) -> Result<Vec<AttemptInfo>, EngineError> {
        unavailable("list_attempts")
    }

    /// Reads an execution's state changes by version, those after `after`, at most `limit`.
    #[cfg(feature = "core")]
    async fn list_transitions(
        &self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TransitionInfo>, EngineError> {
        unavailable("list_transitions")
    }

    /// Counts what lies in every known lane, by lane name.
    #[cfg(feature = "core")]
    async fn list_lane_status(&self) -> Result<Vec<LaneStatus>, EngineError> {
        unavailable("list_lane_status")
    }

    /// Sets whether a lane hands out work; leases that are out are not touched. Safe to repeat.
    #[cfg(feature = "core")]
    async fn set_lane_state(&self, lane: &LaneId, state: LaneState) -> Result<(), EngineError> {
        unavailable("set_lane_state")
    }

    /// Stores a whole graph, or nothing: the flow, its executions, their edges, all counting at
    /// once.
    ///
    /// Nodes without upstreams are claimable when it returns, the others wait. At most
    /// [`FLOW_NODES_MAX`](contracts::FLOW_NODES_MAX) nodes and
    /// [`FLOW_EDGES_MAX`](contracts::FLOW_EDGES_MAX) edges. A cycle, an edge to itself, an unknown
    /// node, an id given twice or already stored, a quorum that its node's edges cannot reach and
    /// whatever [`create_execution`](Self::create_execution) refuses is refused, naming the node.
    /// Safe to repeat: the same graph under the same id answers `Duplicate`; another graph under
    /// that id is `Validation(InvalidInput)`. Graphs are the same if kind, namespace, tags, edges
    /// and, in order, the nodes are: id, kind, lane, payload, policy, join, priority and tags. A
    /// node's delay and deadline are instants that a repeat may compute anew; they are not
    /// compared, and those of the first submit stand.
    #[cfg(feature = "core")]
    async fn submit_flow(&self, args: SubmitFlowArgs) -> Result<SubmitFlowResult, EngineError> {
        unavailable("submit_flow")
    }

    /// Stores a child of the execution that the handle owns, or nothing: the execution, its
    /// membership in the parent's flow if that has one and, with `joins`, an edge from the child to
    /// the parent that counts at once, so that [`wait_children`](Self::wait_children) waits for it.
    ///
    /// Needs a live lease. Refused in this order: a lease that has ended, `joins` without a flow
    /// (`State(ExecutionNotInFlow)`), a flow that has ended or was cancelled
    /// (`State(FlowAlreadyTerminal)`), whatever [`create_execution`](Self::create_execution)
    /// refuses, a flow with [`FLOW_NODES_MAX`](contracts::FLOW_NODES_MAX) members
    /// (`Validation(InvalidInput)`). Safe to repeat with the same id, or with an idempotency key
    /// and the same kind, lane, payload, policy, flow and join: `Duplicate`. That key with anything
    /// else is `Conflict(IdempotencyKeyReuse)`.
    #[cfg(feature = "core")]
    async fn spawn_execution(
        &self,
        handle: &Handle,
        args: SpawnExecutionArgs,
    ) -> Result<SpawnExecutionResult, EngineError> {
        unavailable("spawn_execution")
    }

    /// Reads a flow with its nodes, edges and edge groups at one moment.
    ///
    /// At most [`FLOW_NODES_MAX`](contracts::FLOW_NODES_MAX) nodes and
    /// [`FLOW_EDGES_MAX`](contracts::FLOW_EDGES_MAX) edges; a flow that has more says so.
    #[cfg(feature = "core")]
    async fn describe_flow_graph(&self, id: &FlowId) -> Result<Option<FlowGraph>, EngineError> {
        unavailable("describe_flow_graph")
    }

    /// Finds up to two flows whose UUID starts with these hexadecimal digits, hyphens ignored.
    ///
    /// One answer is the flow, two say the prefix is not unique. A prefix that is empty or has
    /// other characters is `Validation(InvalidInput)`.
    #[cfg(feature = "core")]
    async fn resolve_flow_prefix(&self, prefix: &str) -> Result<Vec<FlowId>, EngineError> {
        unavailable("resolve_flow_prefix")
    }

    /// Finds flows by state, kind, namespace and tag, in the order of their ids.
    ///
    /// At most [`FIND_FLOWS_MAX_LIMIT`](contracts::FIND_FLOWS_MAX_LIMIT) a page. A page examines a
    /// bounded number of flows, so it may be short, even empty, while `next_cursor` is set; only an
    /// absent cursor ends the search.
    #[cfg(feature = "core")]
    async fn find_flows(&self, args: FindFlowsArgs) -> Result<FindFlowsPage, EngineError> {
        unavailable("find_flows")
    }

    /// Holds a lane or an execution to a quota policy, in place of an earlier one. Safe to repeat:
    /// `AlreadyBound`.
    ///
    /// From then on each claim of what is bound takes a slot for as long as its lease lives, and an
    /// entry in the window. What runs goes on and takes its slot. A lane may be bound before it is
    /// used. An unknown policy is `NotFound("quota_policy")`, an unknown execution
    /// `NotFound("execution")`, an ended one `Contention(ExecutionNotActive)`.
    #[cfg(feature = "core")]
    async fn bind_quota(&self, args: BindQuotaArgs) -> Result<BindQuotaResult, EngineError> {
        unavailable("bind_quota")
    }

    /// Ends the binding of a lane or an execution; what waited for that quota comes back into
    /// line. Safe to repeat: `NotBound`.
    #[cfg(feature = "core")]
    async fn unbind_quota(&self, target: QuotaTarget) -> Result<UnbindQuotaResult, EngineError> {
        unavailable("unbind_quota")
    }

    /// Sets or tops up the limits of one dimension of a budget; what waits for room comes back as
    /// far as there is any. Answers the dimension as it then stands.
    ///
    /// Setting is safe to repeat; raising adds again. An unknown budget is `NotFound("budget")`; a
    /// limit above 2^63-1 is `Validation(InvalidInput)` and nothing changes.
    #[cfg(feature = "core")]
    async fn set_budget_limits(
        &self,
        args: SetBudgetLimitsArgs,
    ) -> Result<BudgetDimension, EngineError> {
        unavailable("set_budget_limits")
    }

    /// Lists budgets by id, after one, at most [`BUDGET_PAGE_MAX`](contracts::BUDGET_PAGE_MAX) a
    /// page.
    #[cfg(feature = "core")]
    async fn list_budgets(
        &self,
        after: Option<BudgetId>,
        limit: u32,
    ) -> Result<ListBudgetsPage, EngineError> {
        unavailable("list_budgets")
    }

    /// Lists what a budget refused although it was spent, by sequence, after one, at most
    /// [`BUDGET_PAGE_MAX`](contracts::BUDGET_PAGE_MAX). Empty for an unknown budget.
    #[cfg(feature = "core")]
    async fn list_budget_overages(
        &self,
        budget_id: &BudgetId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<BudgetOverage>, EngineError> {
        unavailable("list_budget_overages")
    }

    /// Lists quota policies by id with their live holders, after one, at most
    /// [`BUDGET_PAGE_MAX`](contracts::BUDGET_PAGE_MAX) a page.
    #[cfg(feature = "core")]
    async fn list_quota_policies(
        &self,
        after: Option<QuotaPolicyId>,
        limit: u32,
    ) -> Result<ListQuotaPoliciesPage, EngineError> {
        unavailable("list_quota_policies")
    }

    /// Tells why an execution is not running: each gate with verdict, evidence and, where known,
    /// when it opens. Writes nothing.
    ///
    /// An unknown execution is `NotFound("execution")`.
    ///
    /// A gate whose rows cannot be read is `Unknown`, never open.
    #[cfg(feature = "core")]
    async fn explain(&self, id: &ExecutionId) -> Result<Explanation, EngineError> {
        unavailable("explain")
    }
}

/// Accepts a tag key of the form `^[a-z][a-z0-9_]*\.[a-z0-9_][a-z0-9_.]*$`.
///
/// Anything else is `Validation(InvalidInput)` with the key quoted in the detail.
pub fn validate_tag_key(key: &str) -> Result<(), EngineError> {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let accepted = key.split_once('.').is_some_and(|(prefix, rest)| {
        prefix.starts_with(|first: char| first.is_ascii_lowercase())
            && prefix.bytes().all(word)
            && rest.bytes().next().is_some_and(word)
            && rest.bytes().all(|byte| word(byte) || byte == b'.')
    });
    if accepted {
        return Ok(());
    }
    Err(EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: format!(
            r#"invalid tag key: "{key}" (must match ^[a-z][a-z0-9_]*\.[a-z0-9_][a-z0-9_.]*$)"#
        ),
    })
}

/// How often a waiting flow cancel looks again.
const FLOW_CANCEL_POLL: Duration = Duration::from_millis(100);

/// The longest a flow cancel waits.
const FLOW_CANCEL_WAIT_MAX: Duration = Duration::from_secs(300);

/// Waits until a flow is cancelled or gone, looking every 100 ms.
///
/// `Timeout("cancel_flow")` once `deadline` has passed; the first look happens in any case. Needs a
/// Tokio runtime with time. Writes nothing.
pub async fn wait_for_flow_cancellation<B: EngineBackend + ?Sized>(
    backend: &B,
    flow_id: &FlowId,
    deadline: Duration,
) -> Result<(), EngineError> {
    let cancelled = async {
        while let Some(flow) = backend.describe_flow(flow_id).await? {
            if flow.public_flow_state == "cancelled" {
                break;
            }
            tokio::time::sleep(FLOW_CANCEL_POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(deadline, cancelled).await {
        Ok(answer) => answer,
        Err(_) => Err(EngineError::Timeout { op: "cancel_flow", elapsed: deadline }),
    }
}

/// How long a flow cancel waits: not at all, as long as asked, or 300 s for "indefinite".
#[must_use]
pub fn cancel_flow_wait_deadline(wait: CancelFlowWait) -> Option<Duration> {
    match wait {
        CancelFlowWait::NoWait => None,
        CancelFlowWait::WaitTimeout(limit) => Some(limit),
        CancelFlowWait::WaitIndefinite => Some(FLOW_CANCEL_WAIT_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn _takes(_: Arc<dyn EngineBackend>) {}

    #[test]
    fn tag_keys_are_a_lower_case_prefix_a_dot_and_more() {
        for key in ["a.b", "app.owner", "a1_.0", "a._", "app.x.y", "app.x..y", "a.b."] {
            assert!(validate_tag_key(key).is_ok(), "{key}");
        }
        for key in [
            "", "a", "a.", ".a", "a..b", "1a.b", "_a.b", "A.b", "a.B", "a-b.c", "a.b-c", "a b.c",
            "a.\"b", "é.b", "a.é",
        ] {
            let Err(EngineError::Validation { kind, detail }) = validate_tag_key(key) else {
                panic!("{key} is accepted")
            };
            assert_eq!(kind, ValidationKind::InvalidInput);
            assert!(detail.starts_with(&format!("invalid tag key: \"{key}\"")), "{detail}");
        }
    }

    #[test]
    fn an_indefinite_wait_ends_after_five_minutes() {
        let second = Duration::from_secs(1);
        assert_eq!(cancel_flow_wait_deadline(CancelFlowWait::NoWait), None);
        assert_eq!(cancel_flow_wait_deadline(CancelFlowWait::WaitTimeout(second)), Some(second));
        assert_eq!(
            cancel_flow_wait_deadline(CancelFlowWait::WaitIndefinite),
            Some(Duration::from_secs(300))
        );
    }
}
