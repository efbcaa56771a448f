//! Flows: calls into commands, rows into answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{find, invalid, load, opened, present};
use crate::EngineError;
use crate::backend::{CancelFlowPolicy, CancelFlowWait, CompletionPayload, Handle};
use crate::contracts::{
    AddExecutionToFlowArgs, AddExecutionToFlowResult, ApplyDependencyToChildArgs,
    ApplyDependencyToChildResult, CancelFlowArgs, CancelFlowHeader, CancelFlowResult,
    CascadeOutcome, CreateFlowArgs, CreateFlowResult, EdgeDependencyPolicy, EdgeDirection,
    EdgeGroupSnapshot, EdgeGroupState, EdgeSnapshot, EvaluateFlowEligibilityArgs,
    EvaluateFlowEligibilityResult, FIND_FLOWS_MAX_LIMIT, FLOW_EDGES_MAX, FLOW_NODES_MAX,
    FindFlowsArgs, FindFlowsPage, FlowGraph, FlowGraphEdge, FlowSnapshot, FlowStatus, FlowSummary,
    ListFlowsPage, ResolveDependencyArgs, ResolveDependencyOutcome, SetEdgeGroupPolicyResult,
    SpawnExecutionArgs, SpawnExecutionResult, StageDependencyEdgeArgs, StageDependencyEdgeResult,
    SubmitFlowArgs, SubmitFlowResult,
};
use crate::engine_backend::validate_tag_key;
use crate::engine_error::ValidationKind;
use crate::machine::flow::background::OpenEdge;
use crate::machine::flow::resolve::no_dependency;
use crate::machine::flow::rows::{cancel_policy, cancel_policy_word};
use crate::machine::flow::stage::snapshot;
use crate::machine::flow::{
    AckCancelMember, AddExecution, Apply, CancelFlow, CreateFlow, Flow, FlowCancelled, FlowState,
    Group, Resolve, SetEdgeGroupPolicy, SetFlowTag, Spawn, Stage, Standings, SubmitFlow, Upstream,
    WaitChildren,
};
use crate::machine::limits::{FLOW_PARTITION, FLOW_STEP_MAX};
use crate::machine::sweep::Due;
use crate::machine::{Fence, Footprint};
use crate::partition::PartitionKey;
use crate::state::{LifecyclePhase, OwnershipState, TerminalOutcome};
use crate::store::flow::{EdgesOf, FlowScan};
use crate::store::{Reader, Store, Wake};
use crate::types::{EdgeId, ExecutionId, FlowId};

/// An unlimited wait for a cancelled flow's members ends here.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A wait looks again after this long even if nothing seems to have happened.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Flows that one page of a search examines at most.
const EXAMINED_MAX: usize = 10_000;

/// Flows read at once by a search.
const STEP: usize = 200;

/// What a member says of a flow that is cancelled by a call without a reason.
const CANCELLED: &str = "flow_cancelled";

pub(super) async fn create<S: Store>(
    store: &S,
    args: CreateFlowArgs,
) -> Result<CreateFlowResult, EngineError> {
    store.execute(CreateFlow { args }).await
}

pub(super) async fn add<S: Store>(
    store: &S,
    args: AddExecutionToFlowArgs,
) -> Result<AddExecutionToFlowResult, EngineError> {
    let AddExecutionToFlowArgs { flow_id, execution_id, .. } = args;
    store.execute(AddExecution { flow_id, execution_id }).await
}

pub(super) async fn stage<S: Store>(
    store: &S,
    args: StageDependencyEdgeArgs,
) -> Result<StageDependencyEdgeResult, EngineError> {
    store.execute(Stage { args }).await
}

pub(super) async fn apply<S: Store>(
    store: &S,
    args: ApplyDependencyToChildArgs,
) -> Result<ApplyDependencyToChildResult, EngineError> {
    store.execute(Apply { args }).await
}

pub(super) async fn set_policy<S: Store>(
    store: &S,
    flow_id: &FlowId,
    downstream: &ExecutionId,
    policy: EdgeDependencyPolicy,
) -> Result<SetEdgeGroupPolicyResult, EngineError> {
    let (flow_id, downstream) = (flow_id.clone(), downstream.clone());
    store.execute(SetEdgeGroupPolicy { flow_id, downstream, policy }).await
}

pub(super) async fn submit<S: Store>(
    store: &S,
    args: SubmitFlowArgs,
) -> Result<SubmitFlowResult, EngineError> {
    store.execute(SubmitFlow::new(args)?).await
}

pub(super) async fn wait_children<S: Store>(store: &S, handle: &Handle) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    store.execute(WaitChildren { execution_id: payload.execution_id, fence }).await
}

pub(super) async fn spawn<S: Store>(
    store: &S,
    handle: &Handle,
    args: SpawnExecutionArgs,
) -> Result<SpawnExecutionResult, EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    store.execute(Spawn::new(payload.execution_id, fence, args)).await
}

pub(super) async fn set_tag<S: Store>(
    store: &S,
    id: &FlowId,
    key: &str,
    value: &str,
) -> Result<(), EngineError> {
    validate_tag_key(key)?;
    let (key, value) = (key.to_owned(), value.to_owned());
    store.execute(SetFlowTag { flow_id: id.clone(), key, value }).await
}

pub(super) async fn get_tag<S: Store>(
    store: &S,
    id: &FlowId,
    key: &str,
) -> Result<Option<String>, EngineError> {
    validate_tag_key(key)?;
    let wanted = id.clone();
    let flow = store.read(move |reader| reader.flow(&wanted)).await?;
    Ok(flow.and_then(|mut flow| flow.tags.remove(key)))
}

// ---- Cancel ----

pub(super) async fn cancel<S: Store>(
    store: &S,
    id: &FlowId,
    policy: CancelFlowPolicy,
    wait: CancelFlowWait,
) -> Result<CancelFlowResult, EngineError> {
    let cancel = CancelFlow {
        flow_id: id.clone(),
        policy,
        reason: CANCELLED.to_owned(),
        by: "cancel_flow",
        is_acknowledged: false,
    };
    let begun = tokio::time::Instant::now();
    settle_leased(store, id, policy).await?;
    let members = store.execute(cancel).await?.members()?;
    match wait {
        CancelFlowWait::NoWait => {}
        CancelFlowWait::WaitTimeout(limit) => members_ended(store, id, begun, limit).await?,
        CancelFlowWait::WaitIndefinite => members_ended(store, id, begun, WAIT_MAX).await?,
    }
    Ok(CancelFlowResult::Cancelled {
        cancellation_policy: cancel_policy_word(policy).to_owned(),
        member_execution_ids: texts(members),
    })
}

/// Settles members whose stored lease is over: one whose worker is lost is pending, whether or not a
/// sweep has noticed. A policy that reaches all members, or none, asks for nothing of the kind.
async fn settle_leased<S: Store>(
    store: &S,
    id: &FlowId,
    policy: CancelFlowPolicy,
) -> Result<(), EngineError> {
    if policy != CancelFlowPolicy::CancelPending {
        return Ok(());
    }
    let (flow, now) = (id.clone(), store.now());
    let due = store.read(move |reader| reader.due_members(&flow, now, FLOW_NODES_MAX)).await?;
    for execution_id in due {
        match store.execute(Due { execution_id }).await {
            // Whose row cannot be read stays as it is.
            Ok(()) | Err(EngineError::Validation { kind: ValidationKind::Corruption, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes steps until no member is left that the cancel reaches.
async fn members_ended<S: Store>(
    store: &S,
    id: &FlowId,
    begun: tokio::time::Instant,
    limit: Duration,
) -> Result<(), EngineError> {
    loop {
        let seen = store.generation(Wake::Events);
        let wanted = id.clone();
        if store.read(move |reader| reader.reached_members(&wanted, 1)).await?.is_empty() {
            return Ok(());
        }
        let elapsed = begun.elapsed();
        if elapsed >= limit {
            return Err(EngineError::Timeout { op: "cancel_flow", elapsed });
        }
        if store.settle_due().await?.changed == 0 {
            let pause = LOOK_AGAIN.min(limit.saturating_sub(elapsed));
            store.wait(Wake::Events, seen, pause).await;
        }
    }
}

pub(super) async fn cancel_header<S: Store>(
    store: &S,
    args: CancelFlowArgs,
) -> Result<CancelFlowHeader, EngineError> {
    let policy = cancel_policy(&args.cancellation_policy).ok_or_else(|| {
        invalid(format!(
            "cancellation_policy {:?}: give cancel_all, cancel_pending or cancel_flow_only",
            args.cancellation_policy
        ))
    })?;
    let flow_id = args.flow_id.clone();
    let cancel = CancelFlow {
        flow_id: args.flow_id,
        policy,
        reason: args.reason,
        by: "cancel_flow_header",
        is_acknowledged: true,
    };
    settle_leased(store, &flow_id, policy).await?;
    match store.execute(cancel).await? {
        FlowCancelled::Cancelled { members } => Ok(CancelFlowHeader::Cancelled {
            cancellation_policy: args.cancellation_policy,
            member_execution_ids: texts(members),
        }),
        FlowCancelled::AlreadyTerminal { mark } => {
            let members = store
                .read(move |reader| {
                    let left = reader.unacknowledged(&flow_id)?;
                    if !left.is_empty() {
                        return Ok(left);
                    }
                    let members = reader.members(&flow_id, FLOW_NODES_MAX)?;
                    Ok(members.into_iter().map(|(execution, _)| execution.id).collect())
                })
                .await?;
            let policy = mark.as_ref().map(|mark| cancel_policy_word(mark.policy).to_owned());
            Ok(CancelFlowHeader::AlreadyTerminal {
                stored_cancellation_policy: policy,
                stored_cancel_reason: mark.map(|mark| mark.reason),
                member_execution_ids: texts(members),
            })
        }
    }
}

pub(super) async fn ack_cancel_member<S: Store>(
    store: &S,
    flow_id: &FlowId,
    execution_id: &ExecutionId,
) -> Result<(), EngineError> {
    let (flow_id, execution_id) = (flow_id.clone(), execution_id.clone());
    store.execute(AckCancelMember { flow_id, execution_id }).await
}

fn texts(ids: Vec<ExecutionId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

// ---- Repair ----

pub(super) async fn resolve_dependency<S: Store>(
    store: &S,
    args: ResolveDependencyArgs,
) -> Result<ResolveDependencyOutcome, EngineError> {
    let said = TerminalOutcome::from_wire(&args.upstream_outcome)
        .filter(|outcome| *outcome != TerminalOutcome::None)
        .ok_or_else(|| {
            invalid(format!("upstream_outcome {:?} is no end", args.upstream_outcome))
        })?;
    let (outcome, run) = match ended(store, &args.upstream_execution_id).await? {
        None => (said, 0),
        Some((outcome, run)) if outcome == said => (outcome, run),
        Some((outcome, _)) => {
            return Err(no_dependency(&format!("its upstream ended with {}", outcome.as_str())));
        }
    };
    let ResolveDependencyArgs {
        flow_id,
        edge_id,
        upstream_execution_id: upstream,
        downstream_execution_id: downstream,
        ..
    } = args;
    store.execute(Resolve { flow_id, edge_id, upstream, downstream, outcome, run }).await
}

/// How an execution ended, and in which run; `None` when it is gone.
async fn ended<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<(TerminalOutcome, u32)>, EngineError> {
    let seen = load(store, Footprint::execution(id)).await?;
    match seen.execution.as_ref().map(Upstream::of) {
        None => Ok(None),
        Some(Upstream { outcome: Some(outcome), run, .. }) => Ok(Some((outcome, run))),
        Some(Upstream { outcome: None, .. }) => Err(no_dependency("its upstream has not ended")),
    }
}

pub(super) async fn cascade<S: Store>(
    store: &S,
    payload: &CompletionPayload,
) -> Result<CascadeOutcome, EngineError> {
    let id = payload.execution_id.clone();
    let seen = load(store, Footprint::execution(&id)).await?;
    let own = seen.execution.as_ref().and_then(|execution| execution.flow_id.clone());
    let Some(flow_id) = own.or_else(|| payload.flow_id.clone()) else {
        return Ok(CascadeOutcome::synchronous(0, 0));
    };
    let (outcome, run) = match ended(store, &id).await? {
        Some(end) => end,
        None => {
            let said = TerminalOutcome::from_wire(&payload.outcome)
                .filter(|outcome| *outcome != TerminalOutcome::None)
                .ok_or_else(|| invalid(format!("outcome {:?} is no end", payload.outcome)))?;
            (said, 0)
        }
    };
    let (mut resolved, mut skipped) = (0, 0);
    let mut after: Option<EdgeId> = None;
    loop {
        let (flow, upstream, from) = (flow_id.clone(), id.clone(), after.take());
        let edges = store
            .read(move |reader| {
                reader.open_edges_from(&flow, &upstream, from.as_ref(), FLOW_STEP_MAX)
            })
            .await?;
        after = edges.last().map(|edge| edge.id.clone());
        if edges.is_empty() {
            return Ok(CascadeOutcome::synchronous(resolved, skipped));
        }
        for OpenEdge { id: edge_id, downstream } in edges {
            let (flow_id, upstream) = (flow_id.clone(), id.clone());
            let resolve = Resolve { flow_id, edge_id, upstream, downstream, outcome, run };
            match store.execute(resolve).await? {
                ResolveDependencyOutcome::Satisfied => resolved += 1,
                ResolveDependencyOutcome::Impossible => {
                    resolved += 1;
                    skipped += 1;
                }
                ResolveDependencyOutcome::AlreadyResolved => {}
            }
        }
    }
}

// ---- Reads ----

pub(super) async fn evaluate<S: Store>(
    store: &S,
    args: EvaluateFlowEligibilityArgs,
) -> Result<EvaluateFlowEligibilityResult, EngineError> {
    let id = args.execution_id;
    let status = store.read(move |reader| eligibility(reader, &id)).await?;
    Ok(EvaluateFlowEligibilityResult::Status { status: status.to_owned() })
}

/// What an execution's edges say about it, by how their upstreams stand at this moment.
fn eligibility(reader: &mut dyn Reader, id: &ExecutionId) -> Result<&'static str, EngineError> {
    let seen = reader.load(&Footprint::execution(id))?;
    let Some(execution) = seen.execution else { return Ok("not_found") };
    match execution.state.lifecycle_phase {
        LifecyclePhase::Submitted | LifecyclePhase::Runnable => {}
        LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => {
            return Ok("not_runnable");
        }
    }
    if execution.state.ownership_state != OwnershipState::Unowned {
        return Ok("owned");
    }
    if execution.outcome() != TerminalOutcome::None {
        return Ok("terminal");
    }
    let Some(flow_id) = &execution.flow_id else { return Ok("eligible") };
    let edges = reader.edges(flow_id, &EdgesOf::Into(id.clone()), FLOW_EDGES_MAX)?;
    let groups = reader.group(flow_id, id)?;
    let empty = Group::new(flow_id.clone(), id.clone());
    let mut group = Group {
        policy: groups.map_or_else(|| empty.policy.clone(), |group| group.policy),
        ..empty
    };
    for edge in edges.into_iter().filter(|edge| edge.applied_at.is_some()) {
        let outcome = match edge.resolved {
            Some(resolved) => Some(resolved.outcome),
            None => {
                let upstream = reader.load(&Footprint::execution(&edge.upstream))?.execution;
                upstream.as_ref().and_then(|upstream| Upstream::of(upstream).outcome)
            }
        };
        match outcome {
            Some(outcome) => group.count(outcome),
            None => group.running += 1,
        }
    }
    if group.total() == 0 {
        return Ok("eligible");
    }
    Ok(match group.state() {
        EdgeGroupState::Satisfied => "eligible",
        EdgeGroupState::Impossible => "impossible",
        EdgeGroupState::Pending | EdgeGroupState::Cancelled => "blocked_by_dependencies",
    })
}

pub(super) async fn list_edges<S: Store>(
    store: &S,
    flow_id: &FlowId,
    direction: EdgeDirection,
) -> Result<Vec<EdgeSnapshot>, EngineError> {
    let of = match direction {
        EdgeDirection::Outgoing { from_node } => EdgesOf::From(from_node),
        EdgeDirection::Incoming { to_node } => EdgesOf::Into(to_node),
    };
    let flow = flow_id.clone();
    let edges = store.read(move |reader| reader.edges(&flow, &of, FLOW_EDGES_MAX)).await?;
    Ok(edges.iter().map(snapshot).collect())
}

pub(super) async fn describe_edge<S: Store>(
    store: &S,
    flow_id: &FlowId,
    edge_id: &EdgeId,
) -> Result<Option<EdgeSnapshot>, EngineError> {
    let (flow, id) = (flow_id.clone(), edge_id.clone());
    let edge = store.read(move |reader| reader.edge(&flow, &id)).await?;
    Ok(edge.as_ref().map(snapshot))
}

pub(super) async fn flow_of<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<FlowId>, EngineError> {
    let execution = super::execution::row(store, id).await?;
    Ok(execution.and_then(|execution| execution.flow_id))
}

pub(super) async fn describe<S: Store>(
    store: &S,
    id: &FlowId,
) -> Result<Option<FlowSnapshot>, EngineError> {
    let id = id.clone();
    store.read(move |reader| described(reader, &id)).await
}

fn described(reader: &mut dyn Reader, id: &FlowId) -> Result<Option<FlowSnapshot>, EngineError> {
    let Some(flow) = reader.flow(id)? else { return Ok(None) };
    let standings = reader.standings(id)?;
    let groups = reader.groups(id, FLOW_NODES_MAX)?;
    let groups = groups.into_iter().map(|group| group_snapshot(group, &flow)).collect();
    Ok(Some(flow_snapshot(flow, standings, groups)))
}

/// Where a flow stands, in the contract's words.
fn public_state(flow: &Flow, standings: Standings) -> &'static str {
    match flow.state {
        FlowState::Active if standings.any_running => "running",
        FlowState::Active if standings.any_blocked => "blocked",
        FlowState::Active | FlowState::Completed | FlowState::Failed | FlowState::Cancelled => {
            flow.state.as_str()
        }
    }
}

fn group_snapshot(group: Group, flow: &Flow) -> EdgeGroupSnapshot {
    let state = match group.state() {
        EdgeGroupState::Pending if flow.state == FlowState::Cancelled => EdgeGroupState::Cancelled,
        state => state,
    };
    let total = group.total();
    EdgeGroupSnapshot::new(
        group.downstream,
        group.policy,
        total,
        group.succeeded,
        group.failed,
        group.skipped,
        group.running,
        state,
    )
}

fn flow_snapshot(
    flow: Flow,
    standings: Standings,
    edge_groups: Vec<EdgeGroupSnapshot>,
) -> FlowSnapshot {
    let state = public_state(&flow, standings).to_owned();
    let (at, reason, policy) = match flow.cancel {
        None => (None, None, None),
        Some(mark) => {
            (Some(mark.at), Some(mark.reason), Some(cancel_policy_word(mark.policy).to_owned()))
        }
    };
    FlowSnapshot::new(
        flow.id,
        flow.kind,
        flow.namespace,
        state,
        flow.revision,
        flow.node_count,
        flow.edge_count,
        flow.created_at,
        flow.mutated_at,
        at,
        reason,
        policy,
        flow.tags,
        edge_groups,
    )
}

pub(super) async fn graph<S: Store>(
    store: &S,
    id: &FlowId,
) -> Result<Option<FlowGraph>, EngineError> {
    let id = id.clone();
    store
        .read(move |reader| {
            let Some(flow) = described(reader, &id)? else { return Ok(None) };
            let mut members = reader.members(&id, FLOW_NODES_MAX + 1)?;
            let mut edges = reader.edges(&id, &EdgesOf::Flow, FLOW_EDGES_MAX + 1)?;
            let is_truncated = members.len() > FLOW_NODES_MAX || edges.len() > FLOW_EDGES_MAX;
            members.truncate(FLOW_NODES_MAX);
            edges.truncate(FLOW_EDGES_MAX);
            let nodes = members
                .into_iter()
                .map(|(execution, attempt)| present::summary(execution, attempt.as_ref()))
                .collect();
            let edges = edges
                .iter()
                .map(|edge| {
                    let at = edge.resolved.map(|resolved| resolved.at);
                    FlowGraphEdge::new(snapshot(edge), edge.resolution(), at)
                })
                .collect();
            Ok(Some(FlowGraph::new(flow, nodes, edges, is_truncated)))
        })
        .await
}

pub(super) async fn list<S: Store>(
    store: &S,
    partition: PartitionKey,
    cursor: Option<FlowId>,
    limit: usize,
) -> Result<ListFlowsPage, EngineError> {
    let limit = limit.min(super::PAGE_MAX);
    let partition = partition.parse().map_err(|error| invalid(format!("partition: {error}")))?;
    if partition.index != FLOW_PARTITION || limit == 0 {
        return Ok(ListFlowsPage::new(Vec::new(), None));
    }
    let scan = FlowScan { after: cursor, descending: false };
    let mut flows = store.read(move |reader| reader.flows(&scan, limit + 1)).await?;
    let is_more = flows.len() > limit;
    flows.truncate(limit);
    let next_cursor = flows.last().filter(|_| is_more).map(|flow| flow.id.clone());
    let summaries = flows
        .into_iter()
        .map(|flow| {
            let status = FlowStatus::from_public_flow_state(flow.state.as_str());
            FlowSummary::new(flow.id, flow.created_at, status)
        })
        .collect();
    Ok(ListFlowsPage::new(summaries, next_cursor))
}

pub(super) async fn resolve_prefix<S: Store>(
    store: &S,
    prefix: &str,
) -> Result<Vec<FlowId>, EngineError> {
    let (low, high) = find::uuid_range(prefix)?;
    store.read(move |reader| reader.flow_range(low, high, 2)).await
}

pub(super) async fn find_flows<S: Store>(
    store: &S,
    args: FindFlowsArgs,
) -> Result<FindFlowsPage, EngineError> {
    if args.limit == 0 {
        return Ok(FindFlowsPage::new(Vec::new(), None));
    }
    if args.limit > FIND_FLOWS_MAX_LIMIT {
        return Err(invalid(format!("limit is {}; at most {FIND_FLOWS_MAX_LIMIT}", args.limit)));
    }
    store.read(move |reader| found(reader, &args)).await
}

fn found(reader: &mut dyn Reader, args: &FindFlowsArgs) -> Result<FindFlowsPage, EngineError> {
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut scan = FlowScan { after: args.cursor.clone(), descending: args.newest_first };
    let (mut found, mut examined) = (Vec::new(), 0);
    loop {
        let page = reader.flows(&scan, STEP)?;
        let is_all = page.len() < STEP;
        for flow in page {
            if found.len() == wanted || examined == EXAMINED_MAX {
                return Ok(FindFlowsPage::new(found, scan.after));
            }
            examined += 1;
            scan.after = Some(flow.id.clone());
            let standings = match flow.state {
                FlowState::Active => reader.standings(&flow.id)?,
                FlowState::Completed | FlowState::Failed | FlowState::Cancelled => {
                    Standings::default()
                }
            };
            if fits(&flow, standings, args) {
                found.push(flow_snapshot(flow, standings, Vec::new()));
            }
        }
        if is_all {
            return Ok(FindFlowsPage::new(found, None));
        }
    }
}

fn fits(flow: &Flow, standings: Standings, args: &FindFlowsArgs) -> bool {
    let state = public_state(flow, standings);
    let tag_fits = |tags: &BTreeMap<String, String>| {
        args.tag.as_ref().is_none_or(|(key, value)| tags.get(key) == Some(value))
    };
    (args.states.is_empty() || args.states.iter().any(|wanted| wanted == state))
        && args.kind.as_ref().is_none_or(|kind| *kind == flow.kind)
        && args.namespace.as_ref().is_none_or(|namespace| *namespace == flow.namespace)
        && tag_fits(&flow.tags)
}
