//! One execution in a small store, and everything that can be asked of it.

mod rows;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ff_core::EngineError;
use ff_core::backend::{CancelFlowPolicy, Frame, FrameKind, ResumeToken};
use ff_core::contracts::{
    AddExecutionToFlowResult, ApplyDependencyToChildArgs, ApplyDependencyToChildResult,
    ClaimExecutionArgs, ClaimResumedExecutionArgs, CreateExecutionArgs, CreateExecutionResult,
    CreateFlowArgs, DeliverSignalResult, IssueClaimGrantArgs, IssueGrantAndClaimArgs,
    IssueReclaimGrantArgs, ReclaimExecutionArgs, ReportUsageResult, ResumeCondition, ResumeGrant,
    ResumePolicy, SpawnExecutionArgs, SpawnExecutionResult, StageDependencyEdgeArgs, SuspendArgs,
    SuspensionReasonCode, TimeoutBehavior, WaitpointBinding,
};
use ff_core::handle_codec::HandlePayload;
use ff_core::machine::budget::{
    Budget, BudgetPolicy, Gates, Quota, QuotaPolicy, QuotaRule, ReportUsage, Reporter, Unpark,
};
use ff_core::machine::drive::{self, ClaimRequest};
use ff_core::machine::execution::{
    Cancel, CancelProof, ChangePriority, Complete, Create, Delay, Fail, Failed, Progress, Replay,
    SetTag,
};
use ff_core::machine::flow::{
    AddExecution, Apply, CancelFlow, CreateFlow, Resolve, Spawn, Stage, Upstream, WaitChildren,
};
use ff_core::machine::lease::{
    ClaimExecution, ClaimFromResumeGrant, ClaimResumedExecution, Claimed, Claimer, IssueClaimGrant,
    IssueGrantAndClaim, IssueReclaimGrant, ReclaimExecution, ReclaimGranted, Reclaimed, Renew,
    Revoke, Revoked,
};
use ff_core::machine::stream::AppendFrame;
use ff_core::machine::suspension::{
    CreateWaitpoint, DeliverSignal, Proof, ResumeExecution, Secret, Suspend, Suspended,
};
use ff_core::machine::sweep::{Due, Forget};
use ff_core::machine::{Command, Context, Execution, Fence, Grant, GrantKind, Limits};
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy};
use ff_core::state::TerminalOutcome;
use ff_core::types::{
    AttemptId, AttemptIndex, BudgetId, CancelSource, DurationMs, ExecutionId, LaneId, LeaseEpoch,
    LeaseId, Namespace, QuotaPolicyId, SuspensionId, TimestampMs, WaitpointId, WorkerId,
    WorkerInstanceId,
};
use ff_core::types::{EdgeId, FlowId};
use rows::Rows;

/// How long leases of these tests last, in milliseconds.
pub(crate) const LEASE_MS: u64 = 30_000;

/// How long delays of these tests last, in milliseconds.
pub(crate) const DELAY_MS: u64 = 1_000;

/// One execution, the instant at which something is asked of it, and the proof that its latest
/// claimer holds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) rows: Rows,
    pub(crate) now: TimestampMs,
    pub(crate) held: HandlePayload,
    pub(crate) policy: Option<ExecutionPolicy>,
    seed: u64,
}

/// Something asked of a world; the answer in a few words.
pub(crate) type Ask = fn(&mut World) -> Result<String, EngineError>;

impl World {
    /// Nothing has happened yet. The proof is that of nobody.
    pub(crate) fn new(now: TimestampMs) -> Self {
        let held = HandlePayload::new(
            id(),
            AttemptIndex(0),
            AttemptId::from_uuid(uuid::Uuid::from_u128(2)),
            LeaseId::from_uuid(uuid::Uuid::from_u128(3)),
            LeaseEpoch(1),
            LEASE_MS,
            lane(),
            WorkerInstanceId::new("nobody"),
        );
        Self { rows: Rows::default(), now, held, policy: None, seed: 0 }
    }

    /// The execution, if it exists.
    pub(crate) fn execution(&self) -> Option<&Execution> {
        self.rows.executions.get(&id())
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now = self.after(ms);
    }

    /// Runs a command the way a store does: what is due first, then the command.
    fn run<C: Command>(&mut self, command: &C) -> Result<C::Outcome, EngineError> {
        self.seed += 1;
        let limits = Limits::default();
        let mut cx = Context::new(self.now, self.seed, &limits);
        Ok(drive::run(&mut self.rows, command, &mut cx)?.outcome)
    }

    /// Claims whatever is in line.
    pub(crate) fn claim(&mut self, ttl_ms: u64) -> Result<String, EngineError> {
        self.seed += 1;
        let limits = Limits::default();
        let mut cx = Context::new(self.now, self.seed, &limits);
        let by = Claimer {
            worker_id: WorkerId::new("worker"),
            worker_instance_id: WorkerInstanceId::new("worker-1"),
            capabilities: Arc::new(BTreeSet::new()),
            ttl: DurationMs(ttl_ms),
        };
        let request = ClaimRequest { lanes: vec![lane()], by, max: 1, with_payload: false };
        let step = drive::claim(&mut self.rows, &request, &mut cx)?;
        Ok(match step.claimed.first() {
            Some(claimed) => self.hold(claimed),
            None => "nothing".to_owned(),
        })
    }

    /// Remembers the proof of a claim.
    fn hold(&mut self, claimed: &Claimed) -> String {
        self.held = claimed.handle_payload();
        format!("{:?} handle", claimed.kind).to_lowercase()
    }

    fn fence(&self) -> Fence {
        Fence::of_handle(&self.held)
    }

    fn after(&self, ms: u64) -> TimestampMs {
        TimestampMs(self.now.0 + i64::try_from(ms).expect("a few seconds"))
    }

    /// Stores a grant for the successor, as a scheduler issued it.
    fn grant(&mut self, kind: GrantKind) {
        let grant = Grant {
            grant_id: uuid::Uuid::from_u128(9),
            execution_id: id(),
            kind,
            worker_id: WorkerId::new("successor"),
            worker_instance_id: WorkerInstanceId::new("successor-1"),
            lane: lane(),
            capability_hash: None,
            worker_capabilities: Vec::new(),
            route_snapshot_json: None,
            admission_summary: None,
            ttl: DurationMs(1_000),
            issued_at: self.now,
            expires_at: self.after(1_000),
        };
        self.rows.grants.insert((id(), kind), grant);
    }
}

fn id() -> ExecutionId {
    ExecutionId::from_parts(0, uuid::Uuid::from_u128(1))
}

fn lane() -> LaneId {
    LaneId::new("default")
}

fn submission(world: &World, delay_until: Option<TimestampMs>) -> CreateExecutionArgs {
    CreateExecutionArgs {
        execution_id: id(),
        namespace: Namespace::new("tests"),
        lane_id: lane(),
        execution_kind: "kind".to_owned(),
        input_payload: Vec::new(),
        payload_encoding: None,
        priority: 0,
        creator_identity: "tests".to_owned(),
        idempotency_key: None,
        tags: HashMap::new(),
        policy: world.policy.clone(),
        delay_until,
        execution_deadline_at: None,
        partition_id: 0,
        now: world.now,
    }
}

fn create_until(
    world: &mut World,
    delay_until: Option<TimestampMs>,
) -> Result<String, EngineError> {
    let args = submission(world, delay_until);
    Ok(match world.run(&Create::new(args))? {
        CreateExecutionResult::Created { public_state, .. } => format!("created {public_state}"),
        CreateExecutionResult::Duplicate { .. } => "duplicate".to_owned(),
    })
}

pub(crate) fn create(world: &mut World) -> Result<String, EngineError> {
    create_until(world, None)
}

pub(crate) fn create_delayed(world: &mut World) -> Result<String, EngineError> {
    let until = world.after(DELAY_MS);
    create_until(world, Some(until))
}

pub(crate) fn claim(world: &mut World) -> Result<String, EngineError> {
    world.claim(LEASE_MS)
}

pub(crate) fn complete(world: &mut World) -> Result<String, EngineError> {
    let fence = world.fence();
    let state = world.run(&Complete { execution_id: id(), fence, result: None })?;
    Ok(state.to_string())
}

fn fail_with(world: &mut World, max_retries: u32) -> Result<String, EngineError> {
    let command = Fail {
        execution_id: id(),
        fence: world.fence(),
        reason: "disk full".to_owned(),
        category: "transient".to_owned(),
        policy: Some(RetryPolicy {
            max_retries,
            backoff: BackoffStrategy::Fixed { delay_ms: DELAY_MS },
            retryable_categories: Vec::new(),
        }),
    };
    Ok(match world.run(&command)? {
        Failed::Retry { next_attempt_index, .. } => {
            format!("retry as attempt {next_attempt_index}")
        }
        Failed::Final => "final".to_owned(),
    })
}

pub(crate) fn fail(world: &mut World) -> Result<String, EngineError> {
    fail_with(world, 0)
}

pub(crate) fn fail_with_retry(world: &mut World) -> Result<String, EngineError> {
    fail_with(world, 1)
}

fn cancel_by(
    world: &mut World,
    source: CancelSource,
    proof: CancelProof,
) -> Result<String, EngineError> {
    let reason = "not needed".to_owned();
    world.run(&Cancel { execution_id: id(), reason, source, proof })?;
    Ok("done".to_owned())
}

pub(crate) fn cancel(world: &mut World) -> Result<String, EngineError> {
    let proof = CancelProof::Typed { lease_id: None, lease_epoch: None, attempt_id: None };
    cancel_by(world, CancelSource::OperatorOverride, proof)
}

fn cancel_by_handle(world: &mut World) -> Result<String, EngineError> {
    let proof = CancelProof::Handle(world.fence());
    cancel_by(world, CancelSource::LeaseHolder, proof)
}

fn cancel_by_epoch(world: &mut World) -> Result<String, EngineError> {
    let lease_epoch = Some(world.held.lease_epoch);
    let proof = CancelProof::Typed { lease_id: None, lease_epoch, attempt_id: None };
    cancel_by(world, CancelSource::LeaseHolder, proof)
}

fn delay_until(world: &mut World, until: Option<TimestampMs>) -> Result<String, EngineError> {
    let fence = world.fence();
    world.run(&Delay { execution_id: id(), fence, until })?;
    Ok("done".to_owned())
}

pub(crate) fn delay(world: &mut World) -> Result<String, EngineError> {
    let until = world.after(DELAY_MS);
    delay_until(world, Some(until))
}

pub(crate) fn release(world: &mut World) -> Result<String, EngineError> {
    delay_until(world, None)
}

pub(crate) fn revoke(world: &mut World) -> Result<String, EngineError> {
    let command = Revoke {
        execution_id: id(),
        expected_lease_id: None,
        worker_instance_id: WorkerInstanceId::new(""),
        reason: "host is going down".to_owned(),
    };
    Ok(match world.run(&command)? {
        Revoked::Revoked { epoch, .. } => format!("revoked epoch {epoch}"),
        Revoked::AlreadySatisfied { reason } => reason.to_owned(),
    })
}

pub(crate) fn due(world: &mut World) -> Result<String, EngineError> {
    world.run(&Due { execution_id: id() })?;
    Ok("done".to_owned())
}

pub(crate) fn replay(world: &mut World) -> Result<String, EngineError> {
    let state = world.run(&Replay { execution_id: id() })?;
    Ok(state.to_string())
}

fn issue_claim_grant(world: &mut World) -> Result<String, EngineError> {
    let args = IssueClaimGrantArgs::new(
        id(),
        lane(),
        WorkerId::new("successor"),
        WorkerInstanceId::new("successor-1"),
        Partition { family: PartitionFamily::Flow, index: 0 },
        BTreeSet::new(),
        1_000,
        world.now,
    );
    world.run(&IssueClaimGrant { args })?;
    Ok("granted".to_owned())
}

fn claim_execution(world: &mut World) -> Result<String, EngineError> {
    let args = ClaimExecutionArgs::new(
        id(),
        WorkerId::new("successor"),
        WorkerInstanceId::new("successor-1"),
        lane(),
        LeaseId::from_uuid(uuid::Uuid::from_u128(30)),
        LEASE_MS,
        AttemptId::from_uuid(uuid::Uuid::from_u128(20)),
        AttemptIndex(0),
        String::new(),
        None,
        None,
        world.now,
    );
    let claimed = world.run(&ClaimExecution { args })?;
    Ok(world.hold(&claimed))
}

fn claim_execution_granted(world: &mut World) -> Result<String, EngineError> {
    world.grant(GrantKind::Claim);
    claim_execution(world)
}

fn issue_grant_and_claim(world: &mut World) -> Result<String, EngineError> {
    let args = IssueGrantAndClaimArgs::new(id(), lane(), LEASE_MS);
    let claimed = world.run(&IssueGrantAndClaim { args })?;
    Ok(world.hold(&claimed))
}

fn renew(world: &mut World) -> Result<String, EngineError> {
    let fence = world.fence();
    let renewal = world.run(&Renew { execution_id: id(), fence, ttl_ms: LEASE_MS })?;
    Ok(format!("kept under epoch {}", renewal.lease_epoch))
}

fn complete_by_operator(world: &mut World) -> Result<String, EngineError> {
    let index = world.execution().map_or(AttemptIndex(0), |execution| execution.attempt_index);
    let fence = Fence::of_triple(index, None, &CancelSource::OperatorOverride)?;
    let state = world.run(&Complete { execution_id: id(), fence, result: None })?;
    Ok(state.to_string())
}

fn progress(world: &mut World) -> Result<String, EngineError> {
    let fence = world.fence();
    world.run(&Progress { execution_id: id(), fence, percent: Some(50), message: None })?;
    Ok("done".to_owned())
}

fn append_frame(world: &mut World) -> Result<String, EngineError> {
    let fence = world.fence();
    let frame = Frame::new(b"line".to_vec(), FrameKind::Stdout);
    let appended = world.run(&AppendFrame { execution_id: id(), fence, frame })?;
    Ok(format!("frame {}", appended.frame_count))
}

fn change_priority(world: &mut World) -> Result<String, EngineError> {
    world.run(&ChangePriority { execution_id: id(), priority: 7 })?;
    Ok("done".to_owned())
}

fn set_tag(world: &mut World) -> Result<String, EngineError> {
    let (key, value) = ("app.step".to_owned(), "one".to_owned());
    world.run(&SetTag { execution_id: id(), key, value })?;
    Ok("done".to_owned())
}

fn issue_reclaim_grant(world: &mut World) -> Result<String, EngineError> {
    let args = IssueReclaimGrantArgs::new(
        id(),
        WorkerId::new("successor"),
        WorkerInstanceId::new("successor-1"),
        lane(),
        None,
        1_000,
        None,
        None,
        BTreeSet::new(),
        world.now,
    );
    Ok(match world.run(&IssueReclaimGrant { args })? {
        ReclaimGranted::Granted(_) => "granted".to_owned(),
        ReclaimGranted::NotReclaimable { detail } => not_reclaimable(&detail),
        ReclaimGranted::CapExceeded { reclaim_count } => format!("cap at {reclaim_count}"),
    })
}

/// The found part of `<what is found> (expected …)`.
fn not_reclaimable(detail: &str) -> String {
    detail.split(" (").next().unwrap_or(detail).to_owned()
}

fn reclaim_execution(world: &mut World) -> Result<String, EngineError> {
    let args = ReclaimExecutionArgs::new(
        id(),
        WorkerId::new("successor"),
        WorkerInstanceId::new("successor-1"),
        lane(),
        None,
        LeaseId::from_uuid(uuid::Uuid::from_u128(30)),
        LEASE_MS,
        AttemptId::from_uuid(uuid::Uuid::from_u128(20)),
        String::new(),
        None,
        WorkerInstanceId::new("worker-1"),
        AttemptIndex(0),
    );
    Ok(match world.run(&ReclaimExecution { args })? {
        Reclaimed::Claimed(claimed) => world.hold(&claimed),
        Reclaimed::NotReclaimable { detail } => not_reclaimable(&detail),
        Reclaimed::CapExceeded { reclaim_count } => format!("cap at {reclaim_count}"),
        Reclaimed::GrantNotFound => "grant not found".to_owned(),
    })
}

fn reclaim_execution_granted(world: &mut World) -> Result<String, EngineError> {
    world.grant(GrantKind::Reclaim);
    reclaim_execution(world)
}

fn flow_id() -> FlowId {
    FlowId::from_uuid(uuid::Uuid::from_u128(70))
}

fn edge_id() -> EdgeId {
    EdgeId::from_uuid(uuid::Uuid::from_u128(71))
}

fn upstream_id() -> ExecutionId {
    ExecutionId::from_parts(0, uuid::Uuid::from_u128(72))
}

/// Makes it a member of a flow.
pub(crate) fn join(world: &mut World) -> Result<String, EngineError> {
    if world.execution().is_none() {
        return Err(EngineError::NotFound { entity: "execution" });
    }
    if world.rows.flow.is_none() {
        let args = CreateFlowArgs {
            flow_id: flow_id(),
            flow_kind: "kind".to_owned(),
            namespace: Namespace::new("tests"),
            now: world.now,
        };
        world.run(&CreateFlow { args })?;
    }
    let added = world.run(&AddExecution { flow_id: flow_id(), execution_id: id() })?;
    Ok(match added {
        AddExecutionToFlowResult::Added { .. } => "added",
        AddExecutionToFlowResult::AlreadyMember { .. } => "already a member",
    }
    .to_owned())
}

/// An edge from another member begins to count.
pub(crate) fn apply(world: &mut World) -> Result<String, EngineError> {
    let before = world.rows.clone();
    let answer = draw_and_apply(world);
    if answer.is_err() {
        world.rows = before;
    }
    answer
}

fn draw_and_apply(world: &mut World) -> Result<String, EngineError> {
    let Some(flow) = &world.rows.flow else { return Err(EngineError::NotFound { entity: "flow" }) };
    if world.rows.edge.is_none() {
        let upstream =
            Upstream { id: upstream_id(), flow_id: Some(flow_id()), outcome: None, run: 0 };
        world.rows.upstream = Some(upstream);
        let args = StageDependencyEdgeArgs {
            flow_id: flow_id(),
            edge_id: edge_id(),
            upstream_execution_id: upstream_id(),
            downstream_execution_id: id(),
            dependency_kind: "success_only".to_owned(),
            data_passing_ref: None,
            expected_graph_revision: flow.revision,
            now: world.now,
        };
        world.run(&Stage { args })?;
    }
    let args = ApplyDependencyToChildArgs {
        flow_id: flow_id(),
        edge_id: edge_id(),
        downstream_execution_id: id(),
        upstream_execution_id: upstream_id(),
        graph_revision: 0,
        dependency_kind: "success_only".to_owned(),
        data_passing_ref: None,
        now: world.now,
    };
    Ok(match world.run(&Apply { args })? {
        ApplyDependencyToChildResult::Applied { unsatisfied_count } => {
            format!("applied, {unsatisfied_count} open")
        }
        ApplyDependencyToChildResult::AlreadyApplied => "already applied".to_owned(),
    })
}

fn resolve(world: &mut World, outcome: TerminalOutcome) -> Result<String, EngineError> {
    let (upstream, downstream) = (upstream_id(), id());
    let command =
        Resolve { flow_id: flow_id(), edge_id: edge_id(), upstream, downstream, outcome, run: 0 };
    let answer = format!("{:?}", world.run(&command)?).to_lowercase();
    if let Some(upstream) = &mut world.rows.upstream {
        upstream.outcome = Some(outcome);
    }
    Ok(answer)
}

pub(crate) fn upstream_succeeds(world: &mut World) -> Result<String, EngineError> {
    resolve(world, TerminalOutcome::Success)
}

pub(crate) fn upstream_fails(world: &mut World) -> Result<String, EngineError> {
    resolve(world, TerminalOutcome::Failed)
}

/// What it waits for begins another run.
pub(crate) fn upstream_runs_again(world: &mut World) -> Result<String, EngineError> {
    match &mut world.rows.upstream {
        Some(upstream) => upstream.outcome = None,
        None => return Err(EngineError::NotFound { entity: "upstream" }),
    }
    Ok("done".to_owned())
}

pub(crate) fn wait_children(world: &mut World) -> Result<String, EngineError> {
    let fence = world.fence();
    world.run(&WaitChildren { execution_id: id(), fence })?;
    Ok("done".to_owned())
}

pub(crate) fn spawn(world: &mut World) -> Result<String, EngineError> {
    let child = CreateExecutionArgs { execution_id: upstream_id(), ..submission(world, None) };
    let command = Spawn::new(id(), world.fence(), SpawnExecutionArgs::new(child).joined());
    let before = world.rows.clone();
    let answer = world.run(&command)?;
    // These rows hold one execution, and it is not the child.
    world.rows = before;
    Ok(match answer {
        SpawnExecutionResult::Spawned { .. } => "spawned".to_owned(),
        other => format!("{other:?}"),
    })
}

fn cancel_flow_with(world: &mut World, policy: CancelFlowPolicy) -> Result<String, EngineError> {
    let command = CancelFlow {
        flow_id: flow_id(),
        policy,
        reason: "flow_cancelled".to_owned(),
        by: "cancel_flow",
        is_acknowledged: false,
    };
    let members = world.run(&command)?.members()?;
    Ok(format!("{} reached", members.len()))
}

pub(crate) fn cancel_flow(world: &mut World) -> Result<String, EngineError> {
    cancel_flow_with(world, CancelFlowPolicy::CancelAll)
}

pub(crate) fn cancel_flow_pending(world: &mut World) -> Result<String, EngineError> {
    cancel_flow_with(world, CancelFlowPolicy::CancelPending)
}

fn forget(world: &mut World) -> Result<String, EngineError> {
    let gone = world.run(&Forget { execution_id: id() })?;
    Ok(if gone { "removed" } else { "kept" }.to_owned())
}

fn forget_after_retention(world: &mut World) -> Result<String, EngineError> {
    world.wait(Limits::default().retention.0);
    forget(world)
}

fn budget_id() -> BudgetId {
    BudgetId::from_uuid(uuid::Uuid::from_u128(70))
}

/// A budget of one token that is spent.
fn spent(on_hard_limit: &str) -> Budget {
    Budget {
        id: budget_id(),
        policy: Some(BudgetPolicy {
            id: budget_id(),
            scope_type: String::new(),
            scope_id: String::new(),
            enforcement_mode: String::new(),
            on_hard_limit: on_hard_limit.to_owned(),
            on_soft_limit: String::new(),
            reset_interval: DurationMs(0),
            hard_limits: [("tokens".to_owned(), 1)].into(),
            soft_limits: [].into(),
            breach_count: 0,
            soft_breach_count: 0,
            last_breach_at: None,
            last_breach_dim: None,
            next_reset_at: None,
            period: 0,
            created_at: TimestampMs(0),
            updated_at: TimestampMs(0),
        }),
        usage: [("tokens".to_owned(), 1)].into(),
        overage: [].into(),
    }
}

/// A quota of one slot that is taken.
fn full() -> Quota {
    let id = QuotaPolicyId::from_uuid(uuid::Uuid::from_u128(80));
    let policy = QuotaPolicy {
        id: id.clone(),
        window_seconds: 60,
        rate: 0,
        concurrency: 1,
        active: 0,
        created_at: TimestampMs(0),
        updated_at: TimestampMs(0),
    };
    Quota {
        id,
        rule: QuotaRule::of(&policy),
        policy: Some(policy),
        occupied: 1,
        reserved_until: None,
        next_reservation_end: None,
        in_window: 0,
        blocking_entry: None,
    }
}

fn behind(world: &mut World, gates: Gates) -> Result<String, EngineError> {
    world.rows.gates = gates;
    let answer = world.claim(LEASE_MS);
    world.rows.gates = Gates::default();
    answer
}

pub(crate) fn claim_before_a_spent_budget(world: &mut World) -> Result<String, EngineError> {
    behind(world, Gates { budgets: vec![(budget_id(), Ok(spent("")))], ..Gates::default() })
}

pub(crate) fn claim_before_a_full_quota(world: &mut World) -> Result<String, EngineError> {
    behind(world, Gates { own: Some((full().id, Ok(full()))), ..Gates::default() })
}

/// The holder reports more than the budget has, to which its execution is bound.
fn breach(world: &mut World, on_hard_limit: &str) -> Result<String, EngineError> {
    let policies: Vec<_> =
        world.rows.executions.values().map(|row| (row.id.clone(), row.policy.clone())).collect();
    for row in world.rows.executions.values_mut() {
        row.policy.get_or_insert_with(ExecutionPolicy::default).budget_ids = vec![budget_id()];
    }
    world.rows.budget = Some(spent(on_hard_limit));
    let report = ReportUsage {
        budget_id: budget_id(),
        by: Reporter::Holder { execution_id: id(), fence: world.fence() },
        deltas: vec![("tokens".to_owned(), 1)],
        dedup_key: None,
    };
    let answer = world.run(&report);
    world.rows.budget = None;
    for (id, policy) in policies {
        if let Some(row) = world.rows.executions.get_mut(&id) {
            row.policy = policy;
        }
    }
    Ok(match answer? {
        ReportUsageResult::HardBreach { .. } => "hard breach".to_owned(),
        other => format!("{other:?}"),
    })
}

fn breach_and_suspend(world: &mut World) -> Result<String, EngineError> {
    breach(world, "suspend")
}

fn breach_and_cancel(world: &mut World) -> Result<String, EngineError> {
    breach(world, "cancel")
}

fn breach_and_fail(world: &mut World) -> Result<String, EngineError> {
    breach(world, "fail")
}

fn unpark(world: &mut World) -> Result<String, EngineError> {
    let is_back = world.run(&Unpark { execution_id: id() })?;
    Ok(if is_back { "back in line" } else { "not parked" }.to_owned())
}

/// The waitpoint of the latest lease's suspension: an id is taken once.
fn waitpoint(world: &World) -> WaitpointId {
    WaitpointId::from_uuid(uuid::Uuid::from_u128(50 + u128::from(world.held.lease_epoch.0)))
}

fn parking(world: &World, behavior: Option<TimeoutBehavior>) -> Suspend {
    let condition = ResumeCondition::all_of_waitpoints(["k"]);
    let binding =
        WaitpointBinding::Fresh { waitpoint_id: waitpoint(world), waitpoint_key: "k".to_owned() };
    let mut args = SuspendArgs::new(
        SuspensionId::from_uuid(uuid::Uuid::from_u128(60)),
        binding,
        condition,
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForSignal,
        world.now,
    );
    if let Some(behavior) = behavior {
        args = args.with_timeout(world.after(DELAY_MS), behavior);
    }
    let secret = Secret::new([7; 32]);
    Suspend { execution_id: id(), fence: world.fence(), args, fresh_secret: secret }
}

fn parked(world: &mut World, behavior: Option<TimeoutBehavior>) -> Result<String, EngineError> {
    let command = parking(world, behavior);
    Ok(match world.run(&command)? {
        Suspended::Suspended { .. } => "suspended".to_owned(),
        Suspended::AlreadySatisfied { .. } => "satisfied".to_owned(),
    })
}

pub(crate) fn suspend(world: &mut World) -> Result<String, EngineError> {
    parked(world, None)
}

/// Fails after a while.
pub(crate) fn suspend_briefly(world: &mut World) -> Result<String, EngineError> {
    parked(world, Some(TimeoutBehavior::Fail))
}

/// Goes on after a while.
pub(crate) fn suspend_until(world: &mut World) -> Result<String, EngineError> {
    parked(world, Some(TimeoutBehavior::AutoResumeWithTimeoutSignal))
}

/// Waits for an operator after a while.
pub(crate) fn suspend_escalating(world: &mut World) -> Result<String, EngineError> {
    parked(world, Some(TimeoutBehavior::Escalate))
}

fn create_waitpoint(world: &mut World) -> Result<String, EngineError> {
    let command = CreateWaitpoint {
        execution_id: id(),
        fence: world.fence(),
        key: "k".to_owned(),
        expires_in: DurationMs(DELAY_MS),
        fresh_secret: Secret::new([7; 32]),
    };
    world.run(&command).map(|_| "pending".to_owned())
}

fn sent(world: &World, delay_ms: u64) -> DeliverSignal {
    DeliverSignal {
        execution_id: id(),
        waitpoint_id: waitpoint(world),
        proof: Proof::Operator { lane: None },
        signal_id: None,
        name: "go".to_owned(),
        category: "answer".to_owned(),
        source_type: "operator".to_owned(),
        source_identity: format!("at {}", world.now),
        correlation_id: String::new(),
        payload: None,
        payload_encoding: None,
        idempotency_key: None,
        dedup_window: DurationMs(0),
        resume_delay: Some(DurationMs(delay_ms)),
        signals_max: None,
    }
}

pub(crate) fn signal(world: &mut World) -> Result<String, EngineError> {
    let command = sent(world, 0);
    Ok(match world.run(&command)? {
        DeliverSignalResult::Accepted { effect, .. } => effect,
        DeliverSignalResult::Duplicate { .. } => "duplicate".to_owned(),
    })
}

pub(crate) fn signal_with_delay(world: &mut World) -> Result<String, EngineError> {
    let command = sent(world, DELAY_MS);
    world.run(&command).map(|_| String::new())
}

fn resume(world: &mut World) -> Result<String, EngineError> {
    let trigger = "operator".to_owned();
    let command = ResumeExecution { execution_id: id(), trigger, delay: DurationMs(0) };
    Ok(world.run(&command)?.to_string())
}

fn claim_resumed(world: &mut World) -> Result<String, EngineError> {
    let args = ClaimResumedExecutionArgs {
        execution_id: id(),
        worker_id: WorkerId::new("successor"),
        worker_instance_id: WorkerInstanceId::new("successor-1"),
        lane_id: lane(),
        lease_id: LeaseId::from_uuid(uuid::Uuid::from_u128(31)),
        lease_ttl_ms: LEASE_MS,
        current_attempt_index: AttemptIndex(0),
        remaining_attempt_timeout_ms: None,
        now: world.now,
    };
    let claimed = world.run(&ClaimResumedExecution { args })?;
    Ok(world.hold(&claimed))
}

fn claim_from_resume_grant(world: &mut World) -> Result<String, EngineError> {
    let partition = Partition { family: PartitionFamily::Flow, index: 0 };
    let grant = ResumeGrant::new(id(), (&partition).into(), "grant".to_owned(), 0, lane());
    let (worker, instance) = (WorkerId::new("successor"), WorkerInstanceId::new("successor-1"));
    let ttl = u32::try_from(LEASE_MS).expect("half a minute");
    let token = ResumeToken::new(grant, worker, instance, ttl);
    Ok(match world.run(&ClaimFromResumeGrant { token })? {
        Some(claimed) => world.hold(&claimed),
        None => "nothing".to_owned(),
    })
}

/// Everything that can be asked of an execution, by name.
pub(crate) const OPERATIONS: &[(&str, Ask)] = &[
    ("create, with the same id", create),
    ("claim", claim),
    ("claim, its budget spent", claim_before_a_spent_budget),
    ("claim, its quota full", claim_before_a_full_quota),
    ("report_usage, a breach that suspends", breach_and_suspend),
    ("report_usage, a breach that cancels", breach_and_cancel),
    ("report_usage, a breach that fails", breach_and_fail),
    ("room again", unpark),
    ("claim_execution, without a grant", claim_execution),
    ("claim_execution, with a grant", claim_execution_granted),
    ("issue_claim_grant", issue_claim_grant),
    ("issue_grant_and_claim", issue_grant_and_claim),
    ("renew, by the holder", renew),
    ("progress, by the holder", progress),
    ("append_frame, by the holder", append_frame),
    ("complete, by the holder", complete),
    ("complete, by an operator", complete_by_operator),
    ("fail, without a retry", fail),
    ("fail, with a retry", fail_with_retry),
    ("delay, by the holder", delay),
    ("release, by the holder", release),
    ("create_waitpoint, by the holder", create_waitpoint),
    ("suspend, by the holder", suspend),
    ("suspend, until it fails", suspend_briefly),
    ("suspend, until it goes on", suspend_until),
    ("suspend, until it escalates", suspend_escalating),
    ("deliver_signal, by an operator", signal),
    ("deliver_signal, with a delay", signal_with_delay),
    ("resume_execution", resume),
    ("claim_resumed_execution", claim_resumed),
    ("claim_from_resume_grant", claim_from_resume_grant),
    ("cancel, by an operator", cancel),
    ("cancel, by the holder's handle", cancel_by_handle),
    ("cancel, by the holder's epoch", cancel_by_epoch),
    ("revoke", revoke),
    ("issue_reclaim_grant", issue_reclaim_grant),
    ("reclaim_execution, without a grant", reclaim_execution),
    ("reclaim_execution, with a grant", reclaim_execution_granted),
    ("change_priority", change_priority),
    ("set_tag", set_tag),
    ("replay", replay),
    ("forget, before its retention is over", forget),
    ("forget, a day later", forget_after_retention),
    ("due", due),
    ("add_execution_to_flow", join),
    ("apply_dependency_to_child", apply),
    ("resolve_dependency, by success", upstream_succeeds),
    ("resolve_dependency, by failure", upstream_fails),
    ("wait_children, by the holder", wait_children),
    ("spawn_execution, by the holder, joined", spawn),
    ("cancel_flow, all", cancel_flow),
    ("cancel_flow, pending", cancel_flow_pending),
];

/// How many of them, the last ones, are about flows.
pub(crate) const FLOW_OPERATIONS: usize = 8;
