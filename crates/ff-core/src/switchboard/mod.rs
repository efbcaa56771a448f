//! The one implementation of [`EngineBackend`]: it turns calls into commands and reads, and rows
//! into answers. Every [`Store`] has it; none has its own.
//!
//! Both forms of an operation, by handle and by fence triple, end in the same command.

mod budget;
mod explain;
mod find;
mod flow;
mod present;
mod stream;
mod subscribe;
mod suspension;
mod worker;

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
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
use crate::engine_backend::{EngineBackend, validate_tag_key};
use crate::engine_error::{ContentionKind, EngineError, StateKind, ValidationKind};
use crate::handle_codec::{self, HandlePayload};
use crate::machine::budget::{
    BindQuota, CheckAdmission, CreateBudget, CreateQuotaPolicy, Park, ReleaseAdmission,
    ReleaseBudget, ResetBudget, SetBudgetLimits, UnbindQuota,
};
use crate::machine::drive::{self, ClaimRequest};
use crate::machine::execution::{
    Cancel, CancelProof, ChangePriority, Complete, Create, Delay, Fail, Failed, Progress, Replay,
    SetTag,
};
use crate::machine::lane::SetLaneState;
use crate::machine::lease::{
    self, ClaimExecution, ClaimFromResumeGrant, ClaimResumedExecution, Claimed, Claimer,
    IssueClaimGrant, IssueGrantAndClaim, IssueReclaimGrant, ReclaimExecution, ReclaimGranted,
    Reclaimed, Renew, Revoke, Revoked,
};
use crate::machine::rows::{Candidate, Execution};
use crate::machine::worker::{HeartbeatWorker, MarkWorkerDead, RegisterWorker};
use crate::machine::{Context, Fence, Footprint, Limits, Snapshot, gate, policy, retry, sweep};
use crate::partition::{Partition, PartitionFamily, PartitionKey};
use crate::state::{LaneState, PublicState};
use crate::store::{Scan, Store, Topic, Wake};
use crate::stream_events::{
    CompletionSubscription, LeaseHistorySubscription, OperatorEventSubscription,
    SignalDeliverySubscription,
};
use crate::stream_subscribe::StreamCursor;
use crate::types::{
    AttemptIndex, BudgetId, CancelSource, EdgeId, ExecutionId, FlowId, LaneId, LeaseFence,
    Namespace, QuotaPolicyId, TimestampMs, WaitpointId,
};

/// Most rows that one page of a listing returns.
const PAGE_MAX: usize = 1_000;

/// Most transitions that one call returns.
const TRANSITIONS_MAX: usize = 10_000;

/// A worker that waits looks again after this long even without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// It does not look more often than this for something that is due but was not to be had; and
/// each time in vain half as often, down to [`LOOK_AGAIN_LATER`].
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(5);

/// Seldomer than this it does not get.
const LOOK_AGAIN_LATER: Duration = Duration::from_secs(1);

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

fn tokens(whose: &str, capabilities: &[String]) -> Result<Arc<BTreeSet<String>>, EngineError> {
    gate::key(whose, capabilities.iter().map(String::as_str))?;
    Ok(Arc::new(capabilities.iter().cloned().collect()))
}

fn partition_key(id: &ExecutionId) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index: id.partition() })
}

async fn load<S: Store>(store: &S, footprint: Footprint) -> Result<Snapshot, EngineError> {
    store.read(move |reader| reader.load(&footprint)).await
}

async fn execution<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<Execution>, EngineError> {
    Ok(load(store, Footprint::execution(id)).await?.execution)
}

fn not_found_as_input(op: &str, id: &ExecutionId) -> EngineError {
    invalid(format!("{op}: execution not found: {id}"))
}

/// Claims now, or as soon as work comes into line within `max_wait`.
///
/// A worker that was woken reads first and takes the write lock only if it would find something.
/// The end of the wait bounds only the waiting: a claim in flight is never abandoned, because it
/// may have taken work that nobody would then attend to.
async fn claim_waiting<S: Store>(
    store: &S,
    request: ClaimRequest,
    max_wait: Option<Duration>,
) -> Result<Vec<Claimed>, EngineError> {
    let mut seen = store.generation(Wake::Work);
    let claimed = claim_now(store, &request).await?;
    let Some(max_wait) = max_wait.filter(|wait| claimed.is_empty() && !wait.is_zero()) else {
        return Ok(claimed);
    };
    let begun = tokio::time::Instant::now();
    let mut rest = LOOK_AGAIN_SOON;
    loop {
        let left = max_wait.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(Vec::new());
        }
        let lanes = request.lanes.clone();
        let due = store.read(move |reader| drive::next_work(reader, &lanes)).await?;
        let until_due =
            due.map_or(LOOK_AGAIN, |at| Duration::from_millis(policy::until(store.now(), at).0));
        let pause = until_due.clamp(rest, LOOK_AGAIN).min(left);
        store.wait(Wake::Work, seen, pause).await;
        if store.generation(Wake::Work) != seen {
            rest = LOOK_AGAIN_SOON;
        }
        seen = store.generation(Wake::Work);
        let (wanted, now) = (request.clone(), store.now());
        if store.read(move |reader| drive::has_work(reader, &wanted, now)).await? {
            let claimed = claim_now(store, &request).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            rest = (rest * 2).min(LOOK_AGAIN_LATER);
        }
    }
}

/// Claims in bounded steps, each a command of its own, until one finds something or nothing is
/// left to settle.
async fn claim_now<S: Store>(
    store: &S,
    request: &ClaimRequest,
) -> Result<Vec<Claimed>, EngineError> {
    loop {
        let step = store.claim(request.clone()).await?;
        if !step.claimed.is_empty() || !step.is_unfinished {
            return Ok(step.claimed);
        }
    }
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
        lease::named(&policy.worker_id, &policy.worker_instance_id)?;
        let request = ClaimRequest {
            lanes: vec![lane.clone()],
            by: Claimer {
                worker_id: policy.worker_id,
                worker_instance_id: policy.worker_instance_id,
                capabilities: tokens("worker", &capabilities.tokens)?,
                ttl: lease::ttl(u64::from(policy.lease_ttl_ms))?,
            },
            max: 1,
            with_payload: false,
        };
        let claimed = claim_waiting(self, request, policy.max_wait).await?;
        Ok(claimed.first().map(present::handle::<S>))
    }

    async fn renew(&self, handle: &Handle) -> Result<LeaseRenewal, EngineError> {
        let payload = opened::<S>(handle)?;
        let fence = Fence::of_handle(&payload);
        let (execution_id, ttl_ms) = (payload.execution_id, payload.lease_ttl_ms);
        self.execute(Renew { execution_id, fence, ttl_ms }).await
    }

    async fn claim_from_resume_grant(
        &self,
        token: ResumeToken,
    ) -> Result<Option<Handle>, EngineError> {
        let command = ClaimFromResumeGrant { token };
        let claimed = self.execute(command).await?;
        Ok(claimed.as_ref().map(present::handle::<S>))
    }

    #[cfg(feature = "core")]
    async fn claim_resumed_execution(
        &self,
        args: ClaimResumedExecutionArgs,
    ) -> Result<ClaimResumedExecutionResult, EngineError> {
        let claimed = self.execute(ClaimResumedExecution { args }).await?;
        Ok(ClaimResumedExecutionResult::Claimed(present::claimed_resumed::<S>(&claimed)))
    }

    #[cfg(feature = "core")]
    async fn claim_execution(
        &self,
        args: ClaimExecutionArgs,
    ) -> Result<ClaimExecutionResult, EngineError> {
        let claimed = self.execute(ClaimExecution { args }).await?;
        Ok(ClaimExecutionResult::Claimed(present::claimed_execution::<S>(&claimed)))
    }

    #[cfg(feature = "core")]
    async fn renew_lease(&self, args: RenewLeaseArgs) -> Result<RenewLeaseResult, EngineError> {
        let fence = Fence::required(args.attempt_index, args.fence.as_ref())?;
        let (execution_id, ttl_ms) = (args.execution_id, args.lease_ttl_ms);
        let renewal = self.execute(Renew { execution_id, fence, ttl_ms }).await?;
        Ok(present::renewed(&renewal))
    }

    #[cfg(feature = "suspension")]
    async fn list_expired_leases(
        &self,
        args: ListExpiredLeasesArgs,
    ) -> Result<ListExpiredLeasesResult, EngineError> {
        let limit = args
            .limit
            .unwrap_or(LIST_EXPIRED_LEASES_DEFAULT_LIMIT)
            .min(LIST_EXPIRED_LEASES_MAX_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut leases = self
            .read(move |reader| {
                let after =
                    args.after.as_ref().map(|after| (after.expires_at_ms, &after.execution_id));
                reader.expired_leases(args.as_of, after, args.namespace.as_ref(), limit + 1)
            })
            .await?;
        let is_more = leases.len() > limit;
        leases.truncate(limit);
        let cursor = leases
            .last()
            .filter(|_| is_more)
            .map(|last| ExpiredLeasesCursor::new(last.expires_at, last.execution_id.clone()));
        let entries = leases.into_iter().map(present::expired_lease).collect();
        Ok(ListExpiredLeasesResult::new(entries, cursor))
    }

    // ---- Lifecycle ----

    #[cfg(feature = "core")]
    async fn create_execution(
        &self,
        args: CreateExecutionArgs,
    ) -> Result<CreateExecutionResult, EngineError> {
        self.execute(Create::new(args)).await
    }

    async fn progress(
        &self,
        handle: &Handle,
        percent: Option<u8>,
        message: Option<String>,
    ) -> Result<(), EngineError> {
        let payload = opened::<S>(handle)?;
        let fence = Fence::of_handle(&payload);
        let execution_id = payload.execution_id;
        self.execute(Progress { execution_id, fence, percent, message }).await
    }

    async fn append_frame(
        &self,
        handle: &Handle,
        frame: Frame,
    ) -> Result<AppendFrameOutcome, EngineError> {
        stream::append_frame(self, handle, frame).await
    }

    async fn complete(&self, handle: &Handle, result: Option<Vec<u8>>) -> Result<(), EngineError> {
        let payload = opened::<S>(handle)?;
        let fence = Fence::of_handle(&payload);
        let execution_id = payload.execution_id;
        self.execute(Complete { execution_id, fence, result }).await.map(|_| ())
    }

    async fn fail(
        &self,
        handle: &Handle,
        reason: FailureReason,
        classification: FailureClass,
    ) -> Result<FailOutcome, EngineError> {
        let payload = opened::<S>(handle)?;
        let named = reason.detail.filter(|detail| !detail.is_empty());
        let category = named
            .and_then(|detail| String::from_utf8(detail).ok())
            .filter(|_| retry::may_be_renamed(classification))
            .unwrap_or_else(|| retry::category_of(classification).to_owned());
        let command = Fail {
            fence: Fence::of_handle(&payload),
            execution_id: payload.execution_id,
            reason: reason.message,
            category,
            policy: None,
        };
        Ok(match self.execute(command).await? {
            Failed::Retry { delay_until, .. } => FailOutcome::RetryScheduled { delay_until },
            Failed::Final => FailOutcome::TerminalFailed,
        })
    }

    async fn cancel(&self, handle: &Handle, reason: &str) -> Result<(), EngineError> {
        let payload = opened::<S>(handle)?;
        let proof = CancelProof::Handle(Fence::of_handle(&payload));
        self.execute(Cancel {
            execution_id: payload.execution_id,
            reason: reason.to_owned(),
            source: CancelSource::Custom("worker".to_owned()),
            proof,
        })
        .await
    }

    async fn delay(&self, handle: &Handle, delay_until: TimestampMs) -> Result<(), EngineError> {
        let payload = opened::<S>(handle)?;
        let fence = Fence::of_handle(&payload);
        let execution_id = payload.execution_id;
        self.execute(Delay { execution_id, fence, until: Some(delay_until) }).await
    }

    async fn wait_children(&self, handle: &Handle) -> Result<(), EngineError> {
        flow::wait_children(self, handle).await
    }

    #[cfg(feature = "core")]
    async fn complete_execution(
        &self,
        args: CompleteExecutionArgs,
    ) -> Result<CompleteExecutionResult, EngineError> {
        let fence = Fence::of_triple(args.attempt_index, args.fence.as_ref(), &args.source)?;
        let command = Complete {
            execution_id: args.execution_id.clone(),
            fence,
            result: args.result_payload,
        };
        let public_state = self.execute(command).await?;
        Ok(CompleteExecutionResult::Completed { execution_id: args.execution_id, public_state })
    }

    #[cfg(feature = "core")]
    async fn fail_execution(
        &self,
        args: FailExecutionArgs,
    ) -> Result<FailExecutionResult, EngineError> {
        let fence = Fence::of_triple(args.attempt_index, args.fence.as_ref(), &args.source)?;
        let command = Fail {
            execution_id: args.execution_id,
            fence,
            reason: args.failure_reason,
            category: args.failure_category,
            policy: retry::parse(&args.retry_policy_json)?,
        };
        Ok(match self.execute(command).await? {
            Failed::Retry { delay_until, next_attempt_index } => {
                FailExecutionResult::RetryScheduled { delay_until, next_attempt_index }
            }
            Failed::Final => FailExecutionResult::TerminalFailed,
        })
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
        Ok(execution(self, id).await?.map(|execution| execution.public_state()))
    }

    #[cfg(feature = "core")]
    async fn read_execution_info(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionInfo>, EngineError> {
        Ok(execution(self, id).await?.map(present::info))
    }

    async fn get_execution_result(&self, id: &ExecutionId) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(load(self, Footprint::execution(id).with_result()).await?.result)
    }

    async fn read_execution_context(
        &self,
        id: &ExecutionId,
    ) -> Result<ExecutionContext, EngineError> {
        let seen = load(self, Footprint::execution(id).with_payload()).await?;
        match seen.execution {
            Some(execution) => Ok(present::context(execution, seen.payload)),
            None => Err(not_found_as_input("read_execution_context", id)),
        }
    }

    async fn read_current_attempt_index(
        &self,
        id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        match execution(self, id).await? {
            Some(execution) => Ok(execution.attempt_index),
            None => Err(not_found_as_input("read_current_attempt_index", id)),
        }
    }

    async fn read_total_attempt_count(
        &self,
        id: &ExecutionId,
    ) -> Result<AttemptIndex, EngineError> {
        match execution(self, id).await? {
            Some(execution) => Ok(AttemptIndex(execution.attempt_count)),
            None => Err(not_found_as_input("read_total_attempt_count", id)),
        }
    }

    async fn describe_execution(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSnapshot>, EngineError> {
        let seen = load(self, Footprint::execution(id)).await?;
        Ok(seen.execution.map(|execution| present::snapshot(execution, seen.current.as_ref())))
    }

    #[cfg(feature = "core")]
    async fn list_lanes(
        &self,
        cursor: Option<LaneId>,
        limit: usize,
    ) -> Result<ListLanesPage, EngineError> {
        let limit = limit.min(PAGE_MAX);
        let lanes = self.read(move |reader| reader.lanes(cursor.as_ref(), limit + 1)).await?;
        let mut lanes: Vec<LaneId> = lanes.into_iter().map(|lane| lane.id).collect();
        let is_more = lanes.len() > limit;
        lanes.truncate(limit);
        let next_cursor = lanes.last().filter(|_| is_more).cloned();
        Ok(ListLanesPage::new(lanes, next_cursor))
    }

    #[cfg(feature = "core")]
    async fn list_executions(
        &self,
        partition: PartitionKey,
        cursor: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ListExecutionsPage, EngineError> {
        let limit = limit.min(PAGE_MAX);
        let partition =
            partition.parse().map_err(|error| invalid(format!("partition: {error}")))?.index;
        let scan = Scan { partition: Some(partition), after: cursor, ..Scan::default() };
        let rows = self.read(move |reader| reader.scan(&scan, limit + 1)).await?;
        let mut executions: Vec<ExecutionId> =
            rows.into_iter().map(|(execution, _)| execution.id).collect();
        let is_more = executions.len() > limit;
        executions.truncate(limit);
        let next_cursor = executions.last().filter(|_| is_more).cloned();
        Ok(ListExecutionsPage::new(executions, next_cursor))
    }

    async fn set_execution_tag(
        &self,
        id: &ExecutionId,
        key: &str,
        value: &str,
    ) -> Result<(), EngineError> {
        validate_tag_key(key)?;
        self.execute(SetTag {
            execution_id: id.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
        })
        .await
    }

    async fn get_execution_tag(
        &self,
        id: &ExecutionId,
        key: &str,
    ) -> Result<Option<String>, EngineError> {
        validate_tag_key(key)?;
        Ok(execution(self, id).await?.and_then(|mut execution| execution.tags.remove(key)))
    }

    async fn get_execution_namespace(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<String>, EngineError> {
        Ok(execution(self, id).await?.map(|execution| execution.namespace.0))
    }

    // ---- Operator ----

    #[cfg(feature = "core")]
    async fn cancel_execution(
        &self,
        args: CancelExecutionArgs,
    ) -> Result<CancelExecutionResult, EngineError> {
        self.execute(Cancel {
            execution_id: args.execution_id.clone(),
            reason: args.reason,
            source: args.source,
            proof: CancelProof::Typed {
                lease_id: args.lease_id,
                lease_epoch: args.lease_epoch,
                attempt_id: args.attempt_id,
            },
        })
        .await?;
        Ok(CancelExecutionResult::Cancelled {
            execution_id: args.execution_id,
            public_state: PublicState::Cancelled,
        })
    }

    #[cfg(feature = "core")]
    async fn change_priority(
        &self,
        args: ChangePriorityArgs,
    ) -> Result<ChangePriorityResult, EngineError> {
        let execution_id = args.execution_id.clone();
        self.execute(ChangePriority { execution_id, priority: args.new_priority }).await?;
        Ok(ChangePriorityResult::Changed { execution_id: args.execution_id })
    }

    #[cfg(feature = "core")]
    async fn replay_execution(
        &self,
        args: ReplayExecutionArgs,
    ) -> Result<ReplayExecutionResult, EngineError> {
        let public_state = self.execute(Replay { execution_id: args.execution_id }).await?;
        Ok(ReplayExecutionResult::Replayed { public_state })
    }

    #[cfg(feature = "core")]
    async fn revoke_lease(&self, args: RevokeLeaseArgs) -> Result<RevokeLeaseResult, EngineError> {
        let revoked = self
            .execute(Revoke {
                execution_id: args.execution_id,
                expected_lease_id: args.expected_lease_id,
                worker_instance_id: args.worker_instance_id,
                reason: args.reason,
            })
            .await?;
        Ok(match revoked {
            Revoked::Revoked { lease_id, epoch } => RevokeLeaseResult::Revoked {
                lease_id: lease_id.map(|id| id.to_string()).unwrap_or_default(),
                lease_epoch: epoch.to_string(),
            },
            Revoked::AlreadySatisfied { reason } => {
                RevokeLeaseResult::AlreadySatisfied { reason: reason.to_owned() }
            }
        })
    }

    // ---- Grants ----

    async fn issue_reclaim_grant(
        &self,
        args: IssueReclaimGrantArgs,
    ) -> Result<IssueReclaimGrantOutcome, EngineError> {
        let execution_id = args.execution_id.clone();
        Ok(match self.execute(IssueReclaimGrant { args }).await? {
            ReclaimGranted::Granted(grant) => IssueReclaimGrantOutcome::Granted(ReclaimGrant::new(
                execution_id.clone(),
                partition_key(&execution_id),
                grant.grant_id.to_string(),
                u64::try_from(grant.expires_at.0).unwrap_or(0),
                grant.lane,
            )),
            ReclaimGranted::NotReclaimable { detail } => {
                IssueReclaimGrantOutcome::NotReclaimable { execution_id, detail }
            }
            ReclaimGranted::CapExceeded { reclaim_count } => {
                IssueReclaimGrantOutcome::ReclaimCapExceeded { execution_id, reclaim_count }
            }
        })
    }

    async fn reclaim_execution(
        &self,
        args: ReclaimExecutionArgs,
    ) -> Result<ReclaimExecutionOutcome, EngineError> {
        let execution_id = args.execution_id.clone();
        Ok(match self.execute(ReclaimExecution { args }).await? {
            Reclaimed::Claimed(claimed) => {
                ReclaimExecutionOutcome::Claimed(present::handle::<S>(&claimed))
            }
            Reclaimed::NotReclaimable { detail } => {
                ReclaimExecutionOutcome::NotReclaimable { execution_id, detail }
            }
            Reclaimed::CapExceeded { reclaim_count } => {
                ReclaimExecutionOutcome::ReclaimCapExceeded { execution_id, reclaim_count }
            }
            Reclaimed::GrantNotFound => ReclaimExecutionOutcome::GrantNotFound { execution_id },
        })
    }

    #[cfg(feature = "core")]
    async fn issue_grant_and_claim(
        &self,
        args: IssueGrantAndClaimArgs,
    ) -> Result<ClaimGrantOutcome, EngineError> {
        let claimed = self.execute(IssueGrantAndClaim { args }).await?;
        let held = present::claimed_execution::<S>(&claimed);
        Ok(ClaimGrantOutcome::new(held.lease_id, held.lease_epoch, held.attempt_index))
    }

    #[cfg(feature = "core")]
    async fn issue_claim_grant(
        &self,
        args: IssueClaimGrantArgs,
    ) -> Result<IssueClaimGrantOutcome, EngineError> {
        let execution_id = args.execution_id.clone();
        self.execute(IssueClaimGrant { args }).await?;
        Ok(IssueClaimGrantOutcome::Granted { execution_id })
    }

    #[cfg(feature = "core")]
    async fn claim_for_worker(
        &self,
        args: ClaimForWorkerArgs,
    ) -> Result<ClaimForWorkerOutcome, EngineError> {
        lease::named(&args.worker_id, &args.worker_instance_id)?;
        let capabilities: Vec<String> = args.worker_capabilities.iter().cloned().collect();
        let request = ClaimRequest {
            lanes: vec![args.lane_id.clone()],
            by: Claimer {
                worker_id: args.worker_id.clone(),
                worker_instance_id: args.worker_instance_id.clone(),
                capabilities: tokens("worker", &capabilities)?,
                ttl: lease::ttl(args.grant_ttl_ms)?,
            },
            max: 1,
            with_payload: false,
        };
        self.settle_due().await?;
        let mut after = None;
        loop {
            let (wanted, from): (_, Option<Candidate>) = (request.clone(), after.take());
            let now = self.now();
            let line = self
                .read(move |reader| drive::propose(reader, &wanted, from.as_ref(), now))
                .await?;
            if line.is_empty() {
                return Ok(ClaimForWorkerOutcome::no_work());
            }
            for candidate in &line {
                let execution_id = candidate.execution_id.clone();
                let grant = IssueClaimGrantArgs::new(
                    execution_id.clone(),
                    args.lane_id.clone(),
                    args.worker_id.clone(),
                    args.worker_instance_id.clone(),
                    Partition { family: PartitionFamily::Flow, index: execution_id.partition() },
                    args.worker_capabilities.clone(),
                    args.grant_ttl_ms,
                    self.now(),
                );
                match self.execute(IssueClaimGrant { args: grant }).await {
                    Ok(grant) => {
                        return Ok(ClaimForWorkerOutcome::granted(ClaimGrant::new(
                            execution_id.clone(),
                            partition_key(&execution_id),
                            grant.grant_id.to_string(),
                            u64::try_from(grant.expires_at.0).unwrap_or(0),
                        )));
                    }
                    Err(
                        EngineError::State(StateKind::BudgetExceeded)
                        | EngineError::Contention(
                            ContentionKind::ConcurrencyLimitExceeded
                            | ContentionKind::RateLimitExceeded,
                        )
                        | EngineError::NotFound { entity: "budget" | "quota_policy" },
                    ) => self.execute(Park { execution_id }).await?,
                    Err(
                        EngineError::State(StateKind::GrantAlreadyExists)
                        | EngineError::Contention(_)
                        | EngineError::NotFound { .. }
                        | EngineError::Validation { kind: ValidationKind::Corruption, .. },
                    ) => {}
                    Err(error) => return Err(error),
                }
            }
            after = line.into_iter().next_back();
        }
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
        if batch.len() > CREATE_BATCH_MAX_ROWS {
            return Err(invalid(format!(
                "{} executions in one batch; at most {CREATE_BATCH_MAX_ROWS}",
                batch.len()
            )));
        }
        let bytes: usize = batch.iter().map(|args| args.input_payload.len()).sum();
        if bytes > CREATE_BATCH_MAX_BYTES {
            return Err(EngineError::Validation {
                kind: ValidationKind::PayloadTooLarge,
                detail: format!(
                    "the batch carries {bytes} bytes of payload; at most {CREATE_BATCH_MAX_BYTES}"
                ),
            });
        }
        self.execute_all(batch.into_iter().map(|args| Create::new(args).in_bulk()).collect()).await
    }

    #[cfg(feature = "core")]
    async fn claim_batch(
        &self,
        lanes: &[LaneId],
        capabilities: &CapabilitySet,
        policy: ClaimPolicy,
        max: u32,
    ) -> Result<Vec<ClaimedWork>, EngineError> {
        if max == 0 || max > CLAIM_BATCH_MAX {
            return Err(invalid(format!("max is {max}; give 1 to {CLAIM_BATCH_MAX}")));
        }
        if lanes.is_empty() {
            return Err(invalid("no lane given; a claim serves at least one"));
        }
        lease::named(&policy.worker_id, &policy.worker_instance_id)?;
        let request = ClaimRequest {
            lanes: lanes.to_vec(),
            by: Claimer {
                worker_id: policy.worker_id,
                worker_instance_id: policy.worker_instance_id,
                capabilities: tokens("worker", &capabilities.tokens)?,
                ttl: lease::ttl(u64::from(policy.lease_ttl_ms))?,
            },
            max: usize::try_from(max).unwrap_or(usize::MAX),
            with_payload: true,
        };
        let claimed = claim_waiting(self, request, policy.max_wait).await?;
        Ok(claimed.into_iter().map(present::claimed_work::<S>).collect())
    }

    #[cfg(feature = "core")]
    async fn check_leases(&self, handles: &[Handle]) -> Result<Vec<LeaseStanding>, EngineError> {
        if handles.len() > CHECK_LEASES_MAX {
            return Err(invalid(format!("{} handles; at most {CHECK_LEASES_MAX}", handles.len())));
        }
        let payloads: Vec<HandlePayload> =
            handles.iter().map(opened::<S>).collect::<Result<_, _>>()?;
        let now = self.now();
        self.read(move |reader| {
            payloads
                .iter()
                .map(|payload| {
                    let seen = reader.load(&Footprint::execution(&payload.execution_id))?;
                    Ok(standing(payload, &seen, now))
                })
                .collect()
        })
        .await
    }

    #[cfg(feature = "core")]
    async fn release_lease(&self, handle: &Handle) -> Result<(), EngineError> {
        let payload = opened::<S>(handle)?;
        let fence = Fence::of_handle(&payload);
        let execution_id = payload.execution_id;
        self.execute(Delay { execution_id, fence, until: None }).await
    }

    #[cfg(feature = "core")]
    async fn find_executions(
        &self,
        args: FindExecutionsArgs,
    ) -> Result<FindExecutionsPage, EngineError> {
        self.read(move |reader| find::page(reader, &args)).await
    }

    #[cfg(feature = "core")]
    async fn describe_summary(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<ExecutionSummary>, EngineError> {
        let seen = load(self, Footprint::execution(id)).await?;
        Ok(seen.execution.map(|execution| present::summary(execution, seen.current.as_ref())))
    }

    #[cfg(feature = "core")]
    async fn resolve_execution_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let (low, high) = find::uuid_range(prefix)?;
        self.read(move |reader| reader.uuid_range(low, high, 2)).await
    }

    #[cfg(feature = "core")]
    async fn list_attempts(&self, id: &ExecutionId) -> Result<Vec<AttemptInfo>, EngineError> {
        let wanted = id.clone();
        let attempts = self.read(move |reader| reader.attempts(&wanted)).await?;
        Ok(attempts.into_iter().map(present::attempt).collect())
    }

    #[cfg(feature = "core")]
    async fn list_transitions(
        &self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TransitionInfo>, EngineError> {
        let wanted = id.clone();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(TRANSITIONS_MAX);
        let rows = self.read(move |reader| reader.transitions(&wanted, after, limit)).await?;
        Ok(rows.into_iter().map(present::transition).collect())
    }

    #[cfg(feature = "core")]
    async fn list_lane_status(&self) -> Result<Vec<LaneStatus>, EngineError> {
        self.read(|reader| {
            let mut found: Vec<LaneStatus> = Vec::new();
            loop {
                let after = found.last().map(|status| status.lane_id.clone());
                let lanes = reader.lanes(after.as_ref(), PAGE_MAX)?;
                if lanes.is_empty() {
                    return Ok(found);
                }
                for lane in lanes {
                    let counts = reader.lane_counts(&lane.id)?;
                    let status = LaneStatus::new(
                        lane.id,
                        lane.state,
                        counts.waiting,
                        counts.delayed,
                        counts.active,
                        counts.oldest_waiting_at,
                    );
                    found.push(status.with_parked(counts.parked));
                }
            }
        })
        .await
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
        self.execute(SetLaneState { lane: lane.clone(), state }).await
    }
}

/// Whether a handle still holds, with what is due already applied.
fn standing(payload: &HandlePayload, seen: &Snapshot, now: TimestampMs) -> LeaseStanding {
    let limits = Limits::default();
    let settled = sweep::settle(seen, &mut Context::new(now, 0, &limits)).map(|(_, rows)| rows);
    let seen = settled.as_ref().unwrap_or(seen);
    let public_state = seen.execution.as_ref().map(Execution::public_state);
    match Fence::of_handle(payload).check(seen, now) {
        Ok((_, attempt)) => LeaseStanding::Held {
            expires_at: attempt.lease_expires_at.unwrap_or(TimestampMs(i64::MAX)),
        },
        Err(error) => LeaseStanding::Lost { public_state, reason: error.to_string() },
    }
}
