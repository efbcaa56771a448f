//! The one implementation of [`EngineBackend`]: it turns calls into commands and reads, and rows
//! into answers. Every [`Store`] has it; none has its own.
//!
//! Both forms of an operation, by handle and by fence triple, end in the same command.

mod budget;
mod execution;
mod explain;
mod find;
mod flow;
mod lane;
mod lease;
mod present;
mod stream;
mod subscribe;
mod suspension;
mod worker;

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{
    AppendFrameOutcome, CancelFlowPolicy, CancelFlowWait, CapabilitySet, ClaimPolicy,
    CompletionPayload, FailOutcome, FailureClass, FailureReason, Frame, Handle, LeaseRenewal,
    PendingWaitpoint, PrepareOutcome, ResumeSignal, ResumeToken, ScannerFilter, SummaryDocument,
    TailVisibility, UsageDimensions,
};
use crate::capability::{Capabilities, Supports};
use crate::contracts::{self, *};
use crate::engine_backend::EngineBackend;
use crate::engine_error::{EngineError, ValidationKind};
use crate::handle_codec::{self, HandlePayload};
use crate::machine::budget::{
    BindQuota, CheckAdmission, CreateBudget, CreateQuotaPolicy, ReleaseAdmission, ReleaseBudget,
    ResetBudget, SetBudgetLimits, UnbindQuota,
};
use crate::machine::worker::{HeartbeatWorker, MarkWorkerDead, RegisterWorker};
use crate::machine::{Footprint, Snapshot};
use crate::partition::PartitionKey;
use crate::state::{LaneState, PublicState};
use crate::store::{Store, Topic};
use crate::stream_events::{
    CompletionSubscription, LeaseHistorySubscription, OperatorEventPage, OperatorEventSubscription,
    SignalDeliverySubscription,
};
use crate::stream_subscribe::StreamCursor;
use crate::types::{
    AttemptIndex, BudgetId, EdgeId, ExecutionId, FlowId, LaneId, LeaseFence, Namespace,
    QuotaPolicyId, TimestampMs, WaitpointId,
};

/// Most rows that one page of a listing returns.
const PAGE_MAX: usize = 1_000;

/// What every store can do through this switchboard.
pub(crate) fn supports() -> Supports {
    let mut supports = Supports::none();
    supports.cancel_execution = true;
    supports.change_priority = true;
    supports.replay_execution = true;
    supports.revoke_lease = true;
    supports.read_execution_state = true;
    supports.read_execution_info = true;
    supports.get_execution_result = true;
    supports.claim_for_worker = true;
    supports.issue_reclaim_grant = true;
    supports.prepare = true;
    supports.subscribe_lease_history = true;
    supports.subscribe_completion = true;
    supports.list_expired_leases = true;
    supports.budget_admin = true;
    supports.quota_admin = true;
    supports.release_admission = true;
    supports.read_quota_policy_limits = true;
    supports.read_budget_usage_and_limits = true;
    supports.subscribe_signal_delivery = true;
    supports.seed_waitpoint_hmac_secret = true;
    supports.rotate_waitpoint_hmac_secret_all = true;
    supports.list_pending_waitpoints = true;
    supports.cancel_flow_header = true;
    supports.cancel_flow_wait_timeout = true;
    supports.cancel_flow_wait_indefinite = true;
    supports.ack_cancel_member = true;
    supports.stream_durable_summary = true;
    supports.register_worker = true;
    supports.heartbeat_worker = true;
    supports.mark_worker_dead = true;
    supports.list_workers = true;
    supports.stream_best_effort_live = true;
    supports
}

fn invalid(detail: impl Into<String>) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.into() }
}

/// The proof inside a handle of this store.
fn opened<S: Store>(handle: &Handle) -> Result<HandlePayload, EngineError> {
    let foreign = |actual, suffix: &str| EngineError::Validation {
        kind: ValidationKind::HandleFromOtherBackend,
        detail: format!("expected={:?} actual={actual:?}{suffix}", S::TAG),
    };
    if handle.backend != S::TAG {
        return Err(foreign(handle.backend, ""));
    }
    let decoded = handle_codec::decode(&handle.opaque)?;
    if decoded.tag != S::TAG {
        return Err(foreign(decoded.tag, " (embedded tag)"));
    }
    Ok(decoded.payload)
}

async fn load<S: Store>(store: &S, footprint: Footprint) -> Result<Snapshot, EngineError> {
    store.read(move |reader| reader.load(&footprint)).await
}

#[async_trait]
impl<S: Store> EngineBackend for S {
    // ---- Claim and lease ----

    async fn claim(
        &self,
        lane: &LaneId,
        capabilities: &CapabilitySet,
        policy: ClaimPolicy,
    ) -> Result<Option<Handle>, EngineError> {
        lease::claim(self, lane, capabilities, policy).await
    }

    async fn renew(&self, handle: &Handle) -> Result<LeaseRenewal, EngineError> {
        lease::renew(self, handle).await
    }

    async fn claim_from_resume_grant(
        &self,
        token: ResumeToken,
    ) -> Result<Option<Handle>, EngineError> {
        lease::claim_from_resume_grant(self, token).await
    }

    #[cfg(feature = "core")]
    async fn claim_resumed_execution(
        &self,
        args: ClaimResumedExecutionArgs,
    ) -> Result<ClaimResumedExecutionResult, EngineError> {
        lease::claim_resumed_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn claim_execution(
        &self,
        args: ClaimExecutionArgs,
    ) -> Result<ClaimExecutionResult, EngineError> {
        lease::claim_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn renew_lease(&self, args: RenewLeaseArgs) -> Result<RenewLeaseResult, EngineError> {
        lease::renew_lease(self, args).await
    }

    #[cfg(feature = "suspension")]
    async fn list_expired_leases(
        &self,
        args: ListExpiredLeasesArgs,
    ) -> Result<ListExpiredLeasesResult, EngineError> {
        lease::list_expired_leases(self, args).await
    }

    // ---- Lifecycle ----

    #[cfg(feature = "core")]
    async fn create_execution(
        &self,
        args: CreateExecutionArgs,
    ) -> Result<CreateExecutionResult, EngineError> {
        execution::create_execution(self, args).await
    }

    async fn progress(
        &self,
        handle: &Handle,
        percent: Option<u8>,
        message: Option<String>,
    ) -> Result<(), EngineError> {
        execution::progress(self, handle, percent, message).await
    }

    async fn append_frame(
        &self,
        handle: &Handle,
        frame: Frame,
    ) -> Result<AppendFrameOutcome, EngineError> {
        stream::append_frame(self, handle, frame).await
    }

    async fn complete(&self, handle: &Handle, result: Option<Vec<u8>>) -> Result<(), EngineError> {
        execution::complete(self, handle, result).await
    }

    async fn fail(
        &self,
        handle: &Handle,
        reason: FailureReason,
        classification: FailureClass,
    ) -> Result<FailOutcome, EngineError> {
        execution::fail(self, handle, reason, classification).await
    }

    async fn cancel(&self, handle: &Handle, reason: &str) -> Result<(), EngineError> {
        execution::cancel(self, handle, reason).await
    }

    async fn delay(&self, handle: &Handle, delay_until: TimestampMs) -> Result<(), EngineError> {
        execution::delay(self, handle, delay_until).await
    }

    async fn wait_children(&self, handle: &Handle) -> Result<(), EngineError> {
        flow::wait_children(self, handle).await
    }

    #[cfg(feature = "core")]
    async fn complete_execution(
        &self,
        args: CompleteExecutionArgs,
    ) -> Result<CompleteExecutionResult, EngineError> {
        execution::complete_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn fail_execution(
        &self,
        args: FailExecutionArgs,
    ) -> Result<FailExecutionResult, EngineError> {
        execution::fail_execution(self, args).await
    }

    // ---- Suspension, flows, budgets: the operations that every backend must name ----

    async fn suspend(
        &self,
        handle: &Handle,
        args: SuspendArgs,
    ) -> Result<SuspendOutcome, EngineError> {
        suspension::suspend(self, handle, args).await
    }

    async fn suspend_by_triple(
        &self,
        exec_id: ExecutionId,
        triple: LeaseFence,
        args: SuspendArgs,
    ) -> Result<SuspendOutcome, EngineError> {
        suspension::suspend_by_triple(self, exec_id, triple, args).await
    }

    async fn create_waitpoint(
        &self,
        handle: &Handle,
        waitpoint_key: &str,
        expires_in: Duration,
    ) -> Result<PendingWaitpoint, EngineError> {
        suspension::create_waitpoint(self, handle, waitpoint_key, expires_in).await
    }

    #[cfg(feature = "core")]
    async fn read_waitpoint_token(
        &self,
        partition: PartitionKey,
        waitpoint_id: &WaitpointId,
    ) -> Result<Option<String>, EngineError> {
        suspension::read_waitpoint_token(self, partition, waitpoint_id).await
    }

    async fn observe_signals(&self, handle: &Handle) -> Result<Vec<ResumeSignal>, EngineError> {
        suspension::observe_signals(self, handle).await
    }

    #[cfg(feature = "core")]
    async fn deliver_signal(
        &self,
        args: DeliverSignalArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        suspension::deliver_signal(self, args).await
    }

    #[cfg(feature = "core")]
    async fn deliver_approval_signal(
        &self,
        args: DeliverApprovalSignalArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        suspension::deliver_approval_signal(self, args).await
    }

    #[cfg(feature = "core")]
    async fn answer_waitpoint(
        &self,
        args: AnswerWaitpointArgs,
    ) -> Result<DeliverSignalResult, EngineError> {
        suspension::answer_waitpoint(self, args).await
    }

    #[cfg(feature = "core")]
    async fn resume_execution(
        &self,
        args: ResumeExecutionArgs,
    ) -> Result<ResumeExecutionResult, EngineError> {
        suspension::resume_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn list_pending_waitpoints(
        &self,
        args: ListPendingWaitpointsArgs,
    ) -> Result<ListPendingWaitpointsResult, EngineError> {
        suspension::list_pending_waitpoints(self, args).await
    }

    #[cfg(feature = "core")]
    async fn list_suspended(
        &self,
        partition: PartitionKey,
        cursor: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ListSuspendedPage, EngineError> {
        suspension::list_suspended(self, partition, cursor, limit).await
    }

    #[cfg(feature = "core")]
    async fn list_waiting(&self, args: ListWaitingArgs) -> Result<ListWaitingPage, EngineError> {
        suspension::list_waiting(self, args).await
    }

    async fn seed_waitpoint_hmac_secret(
        &self,
        args: SeedWaitpointHmacSecretArgs,
    ) -> Result<SeedOutcome, EngineError> {
        suspension::seed(self, args).await
    }

    async fn rotate_waitpoint_hmac_secret_all(
        &self,
        args: RotateWaitpointHmacSecretAllArgs,
    ) -> Result<RotateWaitpointHmacSecretAllResult, EngineError> {
        suspension::rotate(self, args).await
    }

    async fn cancel_flow(
        &self,
        id: &FlowId,
        policy: CancelFlowPolicy,
        wait: CancelFlowWait,
    ) -> Result<CancelFlowResult, EngineError> {
        flow::cancel(self, id, policy, wait).await
    }

    // ---- Flows and edges ----

    #[cfg(feature = "core")]
    async fn create_flow(&self, args: CreateFlowArgs) -> Result<CreateFlowResult, EngineError> {
        flow::create(self, args).await
    }

    #[cfg(feature = "core")]
    async fn add_execution_to_flow(
        &self,
        args: AddExecutionToFlowArgs,
    ) -> Result<AddExecutionToFlowResult, EngineError> {
        flow::add(self, args).await
    }

    #[cfg(feature = "core")]
    async fn stage_dependency_edge(
        &self,
        args: StageDependencyEdgeArgs,
    ) -> Result<StageDependencyEdgeResult, EngineError> {
        flow::stage(self, args).await
    }

    #[cfg(feature = "core")]
    async fn apply_dependency_to_child(
        &self,
        args: ApplyDependencyToChildArgs,
    ) -> Result<ApplyDependencyToChildResult, EngineError> {
        flow::apply(self, args).await
    }

    #[cfg(feature = "core")]
    async fn evaluate_flow_eligibility(
        &self,
        args: EvaluateFlowEligibilityArgs,
    ) -> Result<EvaluateFlowEligibilityResult, EngineError> {
        flow::evaluate(self, args).await
    }

    #[cfg(feature = "core")]
    async fn set_edge_group_policy(
        &self,
        flow_id: &FlowId,
        downstream_execution_id: &ExecutionId,
        policy: EdgeDependencyPolicy,
    ) -> Result<SetEdgeGroupPolicyResult, EngineError> {
        flow::set_policy(self, flow_id, downstream_execution_id, policy).await
    }

    #[cfg(feature = "core")]
    async fn list_edges(
        &self,
        flow_id: &FlowId,
        direction: EdgeDirection,
    ) -> Result<Vec<EdgeSnapshot>, EngineError> {
        flow::list_edges(self, flow_id, direction).await
    }

    #[cfg(feature = "core")]
    async fn describe_edge(
        &self,
        flow_id: &FlowId,
        edge_id: &EdgeId,
    ) -> Result<Option<EdgeSnapshot>, EngineError> {
        flow::describe_edge(self, flow_id, edge_id).await
    }

    #[cfg(feature = "core")]
    async fn resolve_execution_flow_id(
        &self,
        eid: &ExecutionId,
    ) -> Result<Option<FlowId>, EngineError> {
        flow::flow_of(self, eid).await
    }

    #[cfg(feature = "core")]
    async fn resolve_dependency(
        &self,
        args: ResolveDependencyArgs,
    ) -> Result<ResolveDependencyOutcome, EngineError> {
        flow::resolve_dependency(self, args).await
    }

    #[cfg(feature = "core")]
    async fn cascade_completion(
        &self,
        payload: &CompletionPayload,
    ) -> Result<CascadeOutcome, EngineError> {
        flow::cascade(self, payload).await
    }

    #[cfg(feature = "core")]
    async fn cancel_flow_header(
        &self,
        args: CancelFlowArgs,
    ) -> Result<CancelFlowHeader, EngineError> {
        flow::cancel_header(self, args).await
    }

    #[cfg(feature = "core")]
    async fn ack_cancel_member(
        &self,
        flow_id: &FlowId,
        execution_id: &ExecutionId,
    ) -> Result<(), EngineError> {
        flow::ack_cancel_member(self, flow_id, execution_id).await
    }

    #[cfg(feature = "core")]
    async fn list_flows(
        &self,
        partition: PartitionKey,
        cursor: Option<FlowId>,
        limit: usize,
    ) -> Result<ListFlowsPage, EngineError> {
        flow::list(self, partition, cursor, limit).await
    }

    async fn set_flow_tag(&self, id: &FlowId, key: &str, value: &str) -> Result<(), EngineError> {
        flow::set_tag(self, id, key, value).await
    }

    async fn get_flow_tag(&self, id: &FlowId, key: &str) -> Result<Option<String>, EngineError> {
        flow::get_tag(self, id, key).await
    }

    #[cfg(feature = "core")]
    async fn submit_flow(&self, args: SubmitFlowArgs) -> Result<SubmitFlowResult, EngineError> {
        flow::submit(self, args).await
    }

    #[cfg(feature = "core")]
    async fn spawn_execution(
        &self,
        handle: &Handle,
        args: SpawnExecutionArgs,
    ) -> Result<SpawnExecutionResult, EngineError> {
        flow::spawn(self, handle, args).await
    }

    #[cfg(feature = "core")]
    async fn describe_flow_graph(&self, id: &FlowId) -> Result<Option<FlowGraph>, EngineError> {
        flow::graph(self, id).await
    }

    #[cfg(feature = "core")]
    async fn resolve_flow_prefix(&self, prefix: &str) -> Result<Vec<FlowId>, EngineError> {
        flow::resolve_prefix(self, prefix).await
    }

    #[cfg(feature = "core")]
    async fn find_flows(&self, args: FindFlowsArgs) -> Result<FindFlowsPage, EngineError> {
        flow::find_flows(self, args).await
    }

    async fn report_usage(
        &self,
        handle: &Handle,
        budget: &BudgetId,
        dimensions: UsageDimensions,
    ) -> Result<ReportUsageResult, EngineError> {
        let payload = opened::<S>(handle)?;
        self.execute(budget::report(&payload, budget, dimensions)).await
    }

    #[cfg(feature = "core")]
    async fn create_budget(
        &self,
        args: CreateBudgetArgs,
    ) -> Result<CreateBudgetResult, EngineError> {
        self.execute(CreateBudget { args }).await
    }

    #[cfg(feature = "core")]
    async fn reset_budget(&self, args: ResetBudgetArgs) -> Result<ResetBudgetResult, EngineError> {
        self.execute(ResetBudget { args }).await
    }

    #[cfg(feature = "core")]
    async fn get_budget_status(&self, id: &BudgetId) -> Result<BudgetStatus, EngineError> {
        budget::status(self, id).await
    }

    #[cfg(feature = "core")]
    async fn report_usage_admin(
        &self,
        budget: &BudgetId,
        args: ReportUsageAdminArgs,
    ) -> Result<ReportUsageResult, EngineError> {
        self.execute(budget::report_by_admin(budget, args)?).await
    }

    #[cfg(feature = "core")]
    async fn record_spend(&self, args: RecordSpendArgs) -> Result<ReportUsageResult, EngineError> {
        self.execute(budget::spend(args)).await
    }

    #[cfg(feature = "core")]
    async fn release_budget(&self, args: ReleaseBudgetArgs) -> Result<(), EngineError> {
        self.execute(ReleaseBudget { args }).await
    }

    #[cfg(feature = "core")]
    async fn read_budget_usage_and_limits(
        &self,
        budget_id: &BudgetId,
    ) -> Result<BudgetUsageAndLimits, EngineError> {
        budget::usage_and_limits(self, budget_id).await
    }

    #[cfg(feature = "core")]
    async fn create_quota_policy(
        &self,
        args: CreateQuotaPolicyArgs,
    ) -> Result<CreateQuotaPolicyResult, EngineError> {
        self.execute(CreateQuotaPolicy { args }).await
    }

    #[cfg(feature = "core")]
    async fn check_admission(
        &self,
        quota_policy_id: &QuotaPolicyId,
        _: &str,
        args: CheckAdmissionArgs,
    ) -> Result<CheckAdmissionResult, EngineError> {
        let quota_policy_id = quota_policy_id.clone();
        self.execute(CheckAdmission { quota_policy_id, args }).await
    }

    #[cfg(feature = "core")]
    async fn release_admission(
        &self,
        args: ReleaseAdmissionArgs,
    ) -> Result<ReleaseAdmissionResult, EngineError> {
        self.execute(ReleaseAdmission { args }).await
    }

    #[cfg(feature = "core")]
    async fn read_quota_policy_limits(
        &self,
        quota_policy_id: &QuotaPolicyId,
    ) -> Result<Option<QuotaPolicyLimits>, EngineError> {
        budget::quota_limits(self, quota_policy_id).await
    }

    async fn describe_flow(&self, id: &FlowId) -> Result<Option<FlowSnapshot>, EngineError> {
        flow::describe(self, id).await
    }

    // ---- Streams ----

    #[cfg(feature = "streaming")]
    async fn read_stream(
        &self,
        id: &ExecutionId,
        attempt_index: AttemptIndex,
        from: contracts::StreamCursor,
        to: contracts::StreamCursor,
        count_limit: u64,
    ) -> Result<StreamFrames, EngineError> {
        stream::read_stream(self, id, attempt_index, &from, &to, count_limit).await
    }

    #[cfg(feature = "streaming")]
    async fn tail_stream(
        &self,
        id: &ExecutionId,
        attempt_index: AttemptIndex,
        after: contracts::StreamCursor,
        block_ms: u64,
        count_limit: u64,
        visibility: TailVisibility,
    ) -> Result<StreamFrames, EngineError> {
        let page = stream::TailPage { block_ms, count_limit, visibility };
        stream::tail_stream(self, id, attempt_index, &after, page).await
    }

    #[cfg(feature = "streaming")]
    async fn read_summary(
        &self,
        id: &ExecutionId,
        attempt_index: AttemptIndex,
    ) -> Result<Option<SummaryDocument>, EngineError> {
        stream::read_summary(self, id, attempt_index).await
    }

    // ---- Reads ----

    #[cfg(feature = "core")]
    async fn read_execution_state(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<PublicState>, EngineError> {
        execution::read_execution_state(self, id).await
    }

    #[cfg(feature = "core")]
    async fn read_execution_info(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionInfo>, EngineError> {
        execution::read_execution_info(self, id).await
    }

    async fn get_execution_result(&self, id: &ExecutionId) -> Result<Option<Vec<u8>>, EngineError> {
        execution::get_execution_result(self, id).await
    }

    async fn read_execution_context(
        &self,
        id: &ExecutionId,
    ) -> Result<ExecutionContext, EngineError> {
        execution::read_execution_context(self, id).await
    }

    async fn read_current_attempt_index(
        &self,
        id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        execution::read_current_attempt_index(self, id).await
    }

    async fn read_total_attempt_count(
        &self,
        id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        execution::read_total_attempt_count(self, id).await
    }

    async fn describe_execution(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSnapshot>, EngineError> {
        execution::describe_execution(self, id).await
    }

    #[cfg(feature = "core")]
    async fn list_lanes(
        &self,
        cursor: Option<LaneId>,
        limit: usize,
    ) -> Result<ListLanesPage, EngineError> {
        lane::list_lanes(self, cursor, limit).await
    }

    #[cfg(feature = "core")]
    async fn list_executions(
        &self,
        partition: PartitionKey,
        cursor: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ListExecutionsPage, EngineError> {
        execution::list_executions(self, partition, cursor, limit).await
    }

    async fn set_execution_tag(
        &self,
        id: &ExecutionId,
        key: &str,
        value: &str,
    ) -> Result<(), EngineError> {
        execution::set_execution_tag(self, id, key, value).await
    }

    async fn get_execution_tag(
        &self,
        id: &ExecutionId,
        key: &str,
    ) -> Result<Option<String>, EngineError> {
        execution::get_execution_tag(self, id, key).await
    }

    async fn get_execution_namespace(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<String>, EngineError> {
        execution::get_execution_namespace(self, id).await
    }

    // ---- Operator ----

    #[cfg(feature = "core")]
    async fn cancel_execution(
        &self,
        args: CancelExecutionArgs,
    ) -> Result<CancelExecutionResult, EngineError> {
        execution::cancel_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn change_priority(
        &self,
        args: ChangePriorityArgs,
    ) -> Result<ChangePriorityResult, EngineError> {
        execution::change_priority(self, args).await
    }

    #[cfg(feature = "core")]
    async fn replay_execution(
        &self,
        args: ReplayExecutionArgs,
    ) -> Result<ReplayExecutionResult, EngineError> {
        execution::replay_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn revoke_lease(&self, args: RevokeLeaseArgs) -> Result<RevokeLeaseResult, EngineError> {
        lease::revoke_lease(self, args).await
    }

    // ---- Grants ----

    async fn issue_reclaim_grant(
        &self,
        args: IssueReclaimGrantArgs,
    ) -> Result<IssueReclaimGrantOutcome, EngineError> {
        lease::issue_reclaim_grant(self, args).await
    }

    async fn reclaim_execution(
        &self,
        args: ReclaimExecutionArgs,
    ) -> Result<ReclaimExecutionOutcome, EngineError> {
        lease::reclaim_execution(self, args).await
    }

    #[cfg(feature = "core")]
    async fn issue_grant_and_claim(
        &self,
        args: IssueGrantAndClaimArgs,
    ) -> Result<ClaimGrantOutcome, EngineError> {
        lease::issue_grant_and_claim(self, args).await
    }

    #[cfg(feature = "core")]
    async fn issue_claim_grant(
        &self,
        args: IssueClaimGrantArgs,
    ) -> Result<IssueClaimGrantOutcome, EngineError> {
        lease::issue_claim_grant(self, args).await
    }

    #[cfg(feature = "core")]
    async fn claim_for_worker(
        &self,
        args: ClaimForWorkerArgs,
    ) -> Result<ClaimForWorkerOutcome, EngineError> {
        lease::claim_for_worker(self, args).await
    }

    // ---- Workers ----

    #[cfg(feature = "core")]
    async fn register_worker(
        &self,
        args: RegisterWorkerArgs,
    ) -> Result<RegisterWorkerOutcome, EngineError> {
        self.execute(RegisterWorker { args }).await
    }

    #[cfg(feature = "core")]
    async fn heartbeat_worker(
        &self,
        args: HeartbeatWorkerArgs,
    ) -> Result<HeartbeatWorkerOutcome, EngineError> {
        self.execute(HeartbeatWorker { args }).await
    }

    #[cfg(feature = "core")]
    async fn mark_worker_dead(
        &self,
        args: MarkWorkerDeadArgs,
    ) -> Result<MarkWorkerDeadOutcome, EngineError> {
        self.execute(MarkWorkerDead { args }).await
    }

    #[cfg(feature = "core")]
    async fn list_workers(&self, args: ListWorkersArgs) -> Result<ListWorkersResult, EngineError> {
        worker::list_workers(self, args).await
    }

    #[cfg(feature = "core")]
    async fn list_worker_status(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<WorkerStatus>, EngineError> {
        worker::list_worker_status(self, namespace).await
    }

    // ---- Subscriptions ----

    async fn subscribe_lease_history(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<LeaseHistorySubscription, EngineError> {
        let op = "subscribe_lease_history";
        subscribe::subscribe(self, Topic::Lease, &cursor, filter, op, subscribe::lease).await
    }

    async fn subscribe_completion(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<CompletionSubscription, EngineError> {
        let (op, topic) = ("subscribe_completion", Topic::Completion);
        subscribe::subscribe(self, topic, &cursor, filter, op, subscribe::completion).await
    }

    async fn subscribe_signal_delivery(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<SignalDeliverySubscription, EngineError> {
        let (op, topic) = ("subscribe_signal_delivery", Topic::Signal);
        subscribe::subscribe(self, topic, &cursor, filter, op, subscribe::signal).await
    }

    async fn subscribe_operator_events(
        &self,
        cursor: StreamCursor,
        filter: &ScannerFilter,
    ) -> Result<OperatorEventSubscription, EngineError> {
        let (op, topic) = ("subscribe_operator_events", Topic::Operator);
        subscribe::subscribe(self, topic, &cursor, filter, op, subscribe::operator).await
    }

    async fn list_operator_events(
        &self,
        after: Option<StreamCursor>,
        filter: &ScannerFilter,
        limit: u32,
    ) -> Result<OperatorEventPage, EngineError> {
        subscribe::list_operator(self, after, filter, limit).await
    }

    // ---- Admin ----

    fn backend_label(&self) -> &'static str {
        self.identity().family
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.identity(), supports())
    }

    fn as_any(&self) -> &(dyn Any + 'static) {
        Store::as_any(self)
    }

    async fn prepare(&self) -> Result<PrepareOutcome, EngineError> {
        Ok(PrepareOutcome::NoOp)
    }

    async fn shutdown_prepare(&self, grace: Duration) -> Result<(), EngineError> {
        self.shut_down(grace).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.read(|reader| reader.next_due().map(|_| ())).await
    }

    #[cfg(feature = "core")]
    async fn server_time_ms(&self) -> Result<u64, EngineError> {
        Ok(u64::try_from(self.now().0).unwrap_or(0))
    }

    // ---- Beyond the contract ----

    #[cfg(feature = "core")]
    async fn create_executions(
        &self,
        batch: Vec<CreateExecutionArgs>,
    ) -> Result<Vec<CreateExecutionResult>, EngineError> {
        execution::create_executions(self, batch).await
    }

    #[cfg(feature = "core")]
    async fn claim_batch(
        &self,
        lanes: &[LaneId],
        capabilities: &CapabilitySet,
        policy: ClaimPolicy,
        max: u32,
    ) -> Result<Vec<ClaimedWork>, EngineError> {
        lease::claim_batch(self, lanes, capabilities, policy, max).await
    }

    #[cfg(feature = "core")]
    async fn check_leases(&self, handles: &[Handle]) -> Result<Vec<LeaseStanding>, EngineError> {
        lease::check_leases(self, handles).await
    }

    #[cfg(feature = "core")]
    async fn release_lease(&self, handle: &Handle) -> Result<(), EngineError> {
        lease::release_lease(self, handle).await
    }

    #[cfg(feature = "core")]
    async fn find_executions(
        &self,
        args: FindExecutionsArgs,
    ) -> Result<FindExecutionsPage, EngineError> {
        execution::find_executions(self, args).await
    }

    #[cfg(feature = "core")]
    async fn describe_summary(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSummary>, EngineError> {
        execution::describe_summary(self, id).await
    }

    #[cfg(feature = "core")]
    async fn resolve_execution_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        execution::resolve_execution_prefix(self, prefix).await
    }

    #[cfg(feature = "core")]
    async fn list_attempts(&self, id: &ExecutionId) -> Result<Vec<AttemptInfo>, EngineError> {
        execution::list_attempts(self, id).await
    }

    #[cfg(feature = "core")]
    async fn list_transitions(
        &self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TransitionInfo>, EngineError> {
        execution::list_transitions(self, id, after, limit).await
    }

    #[cfg(feature = "core")]
    async fn list_lane_status(&self) -> Result<Vec<LaneStatus>, EngineError> {
        lane::list_lane_status(self).await
    }

    #[cfg(feature = "core")]
    async fn bind_quota(&self, args: BindQuotaArgs) -> Result<BindQuotaResult, EngineError> {
        self.execute(BindQuota { args }).await
    }

    #[cfg(feature = "core")]
    async fn unbind_quota(&self, target: QuotaTarget) -> Result<UnbindQuotaResult, EngineError> {
        self.execute(UnbindQuota { target }).await
    }

    #[cfg(feature = "core")]
    async fn set_budget_limits(
        &self,
        args: SetBudgetLimitsArgs,
    ) -> Result<BudgetDimension, EngineError> {
        self.execute(SetBudgetLimits { args }).await
    }

    #[cfg(feature = "core")]
    async fn list_budgets(
        &self,
        after: Option<BudgetId>,
        limit: u32,
    ) -> Result<ListBudgetsPage, EngineError> {
        budget::list(self, after, limit).await
    }

    #[cfg(feature = "core")]
    async fn list_budget_overages(
        &self,
        budget_id: &BudgetId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<BudgetOverage>, EngineError> {
        budget::list_overages(self, budget_id, after, limit).await
    }

    #[cfg(feature = "core")]
    async fn list_quota_policies(
        &self,
        after: Option<QuotaPolicyId>,
        limit: u32,
    ) -> Result<ListQuotaPoliciesPage, EngineError> {
        budget::list_quotas(self, after, limit).await
    }

    #[cfg(feature = "core")]
    async fn explain(&self, id: &ExecutionId) -> Result<Explanation, EngineError> {
        explain::explain(self, id).await
    }

    #[cfg(feature = "core")]
    async fn set_lane_state(&self, lane: &LaneId, state: LaneState) -> Result<(), EngineError> {
        lane::set_lane_state(self, lane, state).await
    }
}
