//! Flows in random sequences: graphs that are drawn edge by edge, graphs that are submitted whole,
//! and what ends both.

use ff_core::EngineError;
use ff_core::backend::{CancelFlowPolicy, CancelFlowWait};
use ff_core::contracts::*;
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::types::{EdgeId, ExecutionId, FlowId, Namespace, TimestampMs};
use uuid::Uuid;

use super::alphabet::{ALL_SLOTS, Birth, Proof, SLOTS, birth, proof, slot, small};
use super::compare::Answer;
use super::driver::World;
use crate::dice::Dice;
use crate::probe::Engine;

/// Flows of the world.
pub const FLOWS: u8 = 3;

/// Nodes of its largest graph.
pub const NODES: u8 = 4;

/// Ids of edges that are drawn one by one.
const EDGES: u64 = 6;

/// A graph to submit: its births in order, the join of each, and its edges.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is one choice of the generator")]
pub struct Graph {
    pub births: Vec<(Birth, u8)>,
    pub edges: Vec<(u8, u8, bool)>,
}

/// One call about flows. Edges are named by number, executions by slot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Create { flow: u8, kind: u8 },
    Submit { flow: u8, graph: Graph },
    Add { flow: u8, slot: u8 },
    Stage { flow: u8, edge: u8, up: u8, down: u8, is_stale: bool, passes: bool },
    Apply { flow: u8, edge: u8, down: Option<u8> },
    SetPolicy { flow: u8, slot: u8, join: u8 },
    Cancel { flow: u8, policy: u8 },
    CancelHeader { flow: u8, policy: u8 },
    Acknowledge { flow: u8, slot: u8 },
    WaitChildren(Proof),
    Spawn { proof: Proof, birth: Birth, joins: bool },
    SetTag { flow: u8, key: u8, value: u8 },
    GetTag { flow: u8, key: u8 },
    Describe { flow: u8 },
    ListEdges { flow: u8, slot: u8, incoming: bool },
    DescribeEdge { flow: u8, edge: u8 },
    Graph { flow: u8 },
    List { after: Option<u8>, limit: usize },
    Find { filter: u8, newest_first: bool, limit: u32 },
    Prefix { flow: u8 },
    FlowOf { slot: u8 },
    Evaluate { slot: u8 },
}

/// The operations that a full run must have seen succeed.
pub const OPERATIONS: [&str; 22] = [
    "create_flow",
    "submit_flow",
    "add_execution_to_flow",
    "stage_dependency_edge",
    "apply_dependency_to_child",
    "set_edge_group_policy",
    "cancel_flow",
    "cancel_flow_header",
    "ack_cancel_member",
    "wait_children",
    "spawn_execution",
    "set_flow_tag",
    "get_flow_tag",
    "describe_flow",
    "list_edges",
    "describe_edge",
    "describe_flow_graph",
    "list_flows",
    "find_flows",
    "resolve_flow_prefix",
    "resolve_execution_flow_id",
    "evaluate_flow_eligibility",
];

pub(super) fn call(dice: &mut Dice) -> Call {
    let flow = small(dice, u64::from(FLOWS));
    match dice.below(100) {
        0..=5 => Call::Create { flow, kind: small(dice, 2) },
        6..=19 => Call::Submit { flow, graph: graph(dice, flow) },
        20..=29 => Call::Add { flow, slot: slot(dice) },
        30..=37 => Call::Stage {
            flow,
            edge: small(dice, EDGES),
            up: member(dice, flow),
            down: member(dice, flow),
            is_stale: dice.chance(8),
            passes: dice.chance(30),
        },
        38..=46 => Call::Apply {
            flow,
            edge: small(dice, EDGES),
            down: dice.chance(10).then(|| slot(dice)),
        },
        47..=50 => Call::SetPolicy { flow, slot: member(dice, flow), join: small(dice, JOINS) },
        51..=55 => Call::Cancel { flow, policy: small(dice, 3) },
        56..=58 => Call::CancelHeader { flow, policy: small(dice, 5) },
        59..=63 => Call::Acknowledge { flow, slot: member(dice, flow) },
        64..=69 => Call::WaitChildren(proof(dice)),
        70..=73 => {
            Call::Spawn { proof: proof(dice), birth: birth(dice, 3), joins: dice.chance(60) }
        }
        74..=76 => Call::SetTag { flow, key: small(dice, 3), value: small(dice, 2) },
        77 => Call::GetTag { flow, key: small(dice, 3) },
        78..=81 => Call::Describe { flow },
        82..=84 => Call::ListEdges { flow, slot: member(dice, flow), incoming: dice.chance(50) },
        85..=86 => Call::DescribeEdge { flow, edge: small(dice, EDGES) },
        87..=89 => Call::Graph { flow },
        90..=91 => {
            Call::List { after: dice.chance(50).then_some(flow), limit: dice.pick(&[0, 1, 2, 100]) }
        }
        92..=94 => Call::Find {
            filter: small(dice, 9),
            newest_first: dice.chance(50),
            limit: dice.pick(&[0, 1, 2, 100, 1_001]),
        },
        95 => Call::Prefix { flow },
        96..=97 => Call::FlowOf { slot: slot(dice) },
        _ => Call::Evaluate { slot: slot(dice) },
    }
}

/// A small graph that is drawn edge by edge.
pub(super) fn burst(dice: &mut Dice) -> Vec<Call> {
    let flow = small(dice, u64::from(FLOWS));
    let (first, second) = (small(dice, 4), small(dice, 4));
    let edge = small(dice, EDGES);
    let passes = dice.chance(50);
    let mut calls = vec![
        Call::Create { flow, kind: 0 },
        Call::Add { flow, slot: first },
        Call::Add { flow, slot: second },
        Call::Stage { flow, edge, up: first, down: second, is_stale: false, passes },
    ];
    if dice.chance(50) {
        calls.push(Call::SetPolicy { flow, slot: second, join: small(dice, JOINS) });
    }
    calls.push(Call::Apply { flow, edge, down: None });
    calls
}

/// What is read of every flow at the end of a sequence.
pub(super) fn last_reads() -> Vec<Call> {
    let of_flow = |flow| {
        let edges = (0..ALL_SLOTS)
            .flat_map(move |slot| [false, true].map(|incoming| (slot, incoming)))
            .map(move |(slot, incoming)| Call::ListEdges { flow, slot, incoming });
        [Call::Describe { flow }, Call::Graph { flow }].into_iter().chain(edges)
    };
    let of_execution = |slot| [Call::FlowOf { slot }, Call::Evaluate { slot }];
    (0..FLOWS).flat_map(of_flow).chain((0..ALL_SLOTS).flat_map(of_execution)).collect()
}

/// One of the executions that may be in the flow.
fn member(dice: &mut Dice, flow: u8) -> u8 {
    if dice.chance(50) { node(flow, small(dice, u64::from(NODES))) } else { slot(dice) }
}

fn node(flow: u8, place: u8) -> u8 {
    SLOTS + flow * NODES + place
}

fn graph(dice: &mut Dice, flow: u8) -> Graph {
    let count = 1 + small(dice, u64::from(NODES));
    let births = (0..count).map(|place| {
        let mut birth = birth(dice, 1);
        birth.slot = node(flow, place);
        birth.key = birth.key.filter(|_| dice.chance(3));
        let join = if dice.chance(60) { 0 } else { small(dice, JOINS) };
        (birth, join)
    });
    let births = births.collect();
    let mut edges = Vec::new();
    for down in 0..count {
        for up in 0..down {
            if dice.chance(55) {
                edges.push((up, down, dice.chance(30)));
            }
        }
    }
    if dice.chance(3) {
        edges.push((count - 1, 0, false));
    }
    Graph { births, edges }
}

const JOINS: u64 = 6;

fn join(number: u8) -> EdgeDependencyPolicy {
    let (rest, run) = (OnSatisfied::cancel_remaining(), OnSatisfied::let_run());
    match number {
        0 => EdgeDependencyPolicy::all_of(),
        1 => EdgeDependencyPolicy::any_of(rest),
        2 => EdgeDependencyPolicy::any_of(run),
        3 => EdgeDependencyPolicy::quorum(2, rest),
        4 => EdgeDependencyPolicy::quorum(1, run),
        _ => EdgeDependencyPolicy::quorum(0, run),
    }
}

fn flow_id(flow: u8) -> FlowId {
    FlowId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(flow)))
}

fn edge_id(flow: u8, edge: u8) -> EdgeId {
    EdgeId::from_uuid(Uuid::from_u128((u128::from(flow) << 8) + u128::from(edge) + 1))
}

const KINDS: [&str; 2] = ["build", "import"];
const KEYS: [&str; 3] = ["app.owner", "app.stage", "Not a key"];
const POLICIES: [CancelFlowPolicy; 3] =
    [CancelFlowPolicy::CancelAll, CancelFlowPolicy::CancelPending, CancelFlowPolicy::FlowOnly];
const POLICY_WORDS: [&str; 5] =
    ["cancel_all", "cancel_pending", "cancel_flow_only", "flow_only", "all"];

const NOW: TimestampMs = TimestampMs(0);

fn submission(world: &World, flow: u8, graph: &Graph) -> SubmitFlowArgs {
    let nodes = graph.births.iter().map(|(birth, number)| FlowNode {
        join: join(*number),
        ..FlowNode::new(world.birth(birth))
    });
    let edges = graph.edges.iter().map(|(up, down, passes)| {
        let link = FlowLink::new(usize::from(*up), usize::from(*down));
        if *passes { link.with_data_passing_ref("result") } else { link }
    });
    SubmitFlowArgs {
        flow_id: flow_id(flow),
        flow_kind: KINDS[0].to_owned(),
        namespace: Namespace::new("even"),
        tags: [(KEYS[0].to_owned(), "graph".to_owned())].into(),
        nodes: nodes.collect(),
        edges: edges.collect(),
    }
}

pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    match call {
        Call::Create { .. }
        | Call::Submit { .. }
        | Call::Add { .. }
        | Call::Stage { .. }
        | Call::Apply { .. }
        | Call::SetPolicy { .. } => grow(engine, world, call).await,
        Call::Cancel { .. }
        | Call::CancelHeader { .. }
        | Call::Acknowledge { .. }
        | Call::WaitChildren(_)
        | Call::Spawn { .. }
        | Call::SetTag { .. } => steer(engine, world, call).await,
        Call::GetTag { .. }
        | Call::Describe { .. }
        | Call::ListEdges { .. }
        | Call::DescribeEdge { .. }
        | Call::Graph { .. }
        | Call::List { .. }
        | Call::Find { .. }
        | Call::Prefix { .. }
        | Call::FlowOf { .. }
        | Call::Evaluate { .. } => read(engine, world, call).await,
    }
}

async fn grow(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Create { flow, kind } => {
            let args = CreateFlowArgs {
                flow_id: flow_id(*flow),
                flow_kind: KINDS[usize::from(*kind)].to_owned(),
                namespace: Namespace::new("odd"),
                now: NOW,
            };
            Answer::new("create_flow", backend.create_flow(args).await)
        }
        Call::Submit { flow, graph } => {
            let args = submission(world, *flow, graph);
            Answer::new("submit_flow", backend.submit_flow(args).await)
        }
        Call::Add { flow, slot } => {
            let args = AddExecutionToFlowArgs {
                flow_id: flow_id(*flow),
                execution_id: world.id(*slot).clone(),
                now: NOW,
            };
            Answer::new("add_execution_to_flow", backend.add_execution_to_flow(args).await)
        }
        Call::Stage { flow, edge, up, down, is_stale, passes } => {
            let said = revision(engine, *flow).await.map(|now| now + u64::from(*is_stale));
            let said = match said {
                Err(error) => Err(error),
                Ok(expected_graph_revision) => {
                    let args = StageDependencyEdgeArgs {
                        flow_id: flow_id(*flow),
                        edge_id: edge_id(*flow, *edge),
                        upstream_execution_id: world.id(*up).clone(),
                        downstream_execution_id: world.id(*down).clone(),
                        dependency_kind: "success_only".to_owned(),
                        data_passing_ref: passes.then(|| "result".to_owned()),
                        expected_graph_revision,
                        now: NOW,
                    };
                    backend.stage_dependency_edge(args).await
                }
            };
            Answer::new("stage_dependency_edge", said)
        }
        Call::Apply { flow, edge, down } => {
            let said = match backend.describe_edge(&flow_id(*flow), &edge_id(*flow, *edge)).await {
                Err(error) => Err(error),
                Ok(drawn) => {
                    let ends = drawn.map_or_else(
                        || (world.id(0).clone(), world.id(1).clone()),
                        |edge| (edge.upstream_execution_id, edge.downstream_execution_id),
                    );
                    let down: Option<ExecutionId> = down.map(|slot| world.id(slot).clone());
                    let args = ApplyDependencyToChildArgs {
                        flow_id: flow_id(*flow),
                        edge_id: edge_id(*flow, *edge),
                        upstream_execution_id: ends.0,
                        downstream_execution_id: down.unwrap_or(ends.1),
                        graph_revision: 0,
                        dependency_kind: "success_only".to_owned(),
                        data_passing_ref: None,
                        now: NOW,
                    };
                    backend.apply_dependency_to_child(args).await
                }
            };
            Answer::new("apply_dependency_to_child", said)
        }
        Call::SetPolicy { flow, slot, join: number } => {
            let (flow, down) = (flow_id(*flow), world.id(*slot));
            let said = backend.set_edge_group_policy(&flow, down, join(*number)).await;
            Answer::new("set_edge_group_policy", said)
        }
        other => unreachable!("{other:?} draws nothing"),
    }
}

async fn revision(engine: &Engine, flow: u8) -> Result<u64, EngineError> {
    let described = engine.backend().describe_flow(&flow_id(flow)).await?;
    Ok(described.map_or(0, |flow| flow.graph_revision))
}

async fn steer(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Cancel { flow, policy } => {
            let policy = POLICIES[usize::from(*policy)];
            let wait = CancelFlowWait::NoWait;
            Answer::new("cancel_flow", backend.cancel_flow(&flow_id(*flow), policy, wait).await)
        }
        Call::CancelHeader { flow, policy } => {
            let args = CancelFlowArgs {
                flow_id: flow_id(*flow),
                reason: "enough".to_owned(),
                cancellation_policy: POLICY_WORDS[usize::from(*policy)].to_owned(),
                now: NOW,
            };
            Answer::new("cancel_flow_header", backend.cancel_flow_header(args).await)
        }
        Call::Acknowledge { flow, slot } => {
            let said = backend.ack_cancel_member(&flow_id(*flow), world.id(*slot)).await;
            Answer::new("ack_cancel_member", said)
        }
        Call::WaitChildren(proof) => {
            let handle = world.handle(engine, *proof);
            Answer::new("wait_children", backend.wait_children(&handle).await)
        }
        Call::Spawn { proof, birth, joins } => {
            let handle = world.handle(engine, *proof);
            let args = SpawnExecutionArgs { execution: world.birth(birth), joins: *joins };
            Answer::new("spawn_execution", backend.spawn_execution(&handle, args).await)
        }
        Call::SetTag { flow, key, value } => {
            let value = ["", "x"][usize::from(*value)];
            let said = backend.set_flow_tag(&flow_id(*flow), KEYS[usize::from(*key)], value).await;
            Answer::new("set_flow_tag", said)
        }
        other => unreachable!("{other:?} steers nothing"),
    }
}

async fn read(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::GetTag { flow, key } => {
            let said = backend.get_flow_tag(&flow_id(*flow), KEYS[usize::from(*key)]).await;
            Answer::new("get_flow_tag", said)
        }
        Call::Describe { flow } => {
            Answer::new("describe_flow", backend.describe_flow(&flow_id(*flow)).await)
        }
        Call::ListEdges { flow, slot, incoming } => {
            let id = world.id(*slot).clone();
            let direction = if *incoming {
                EdgeDirection::Incoming { to_node: id }
            } else {
                EdgeDirection::Outgoing { from_node: id }
            };
            Answer::new("list_edges", backend.list_edges(&flow_id(*flow), direction).await)
        }
        Call::DescribeEdge { flow, edge } => {
            let said = backend.describe_edge(&flow_id(*flow), &edge_id(*flow, *edge)).await;
            Answer::new("describe_edge", said)
        }
        Call::Graph { flow } => {
            Answer::new("describe_flow_graph", backend.describe_flow_graph(&flow_id(*flow)).await)
        }
        Call::List { after, limit } => {
            let of = Partition { family: PartitionFamily::Flow, index: FLOW_PARTITION };
            let said =
                backend.list_flows(PartitionKey::from(&of), after.map(flow_id), *limit).await;
            Answer::new("list_flows", said)
        }
        Call::Find { filter, newest_first, limit } => {
            let mut args = find_args(*filter);
            args.newest_first = *newest_first;
            args.limit = *limit;
            Answer::new("find_flows", backend.find_flows(args).await)
        }
        Call::Prefix { flow } => {
            let digits = flow_id(*flow).0.simple().to_string();
            let said = backend.resolve_flow_prefix(&digits).await;
            Answer::new("resolve_flow_prefix", said)
        }
        Call::FlowOf { slot } => {
            let said = backend.resolve_execution_flow_id(world.id(*slot)).await;
            Answer::new("resolve_execution_flow_id", said)
        }
        Call::Evaluate { slot } => {
            let args = EvaluateFlowEligibilityArgs { execution_id: world.id(*slot).clone() };
            let said = backend.evaluate_flow_eligibility(args).await;
            Answer::new("evaluate_flow_eligibility", said)
        }
        other => unreachable!("{other:?} reads nothing"),
    }
}

fn find_args(filter: u8) -> FindFlowsArgs {
    let mut args = FindFlowsArgs::new();
    let states = ["open", "running", "blocked", "completed", "failed", "cancelled"];
    match states.get(usize::from(filter)) {
        Some(state) => args.states = vec![(*state).to_owned()],
        None if filter == 6 => args.kind = Some(KINDS[1].to_owned()),
        None if filter == 7 => args.tag = Some((KEYS[0].to_owned(), "graph".to_owned())),
        None => {}
    }
    args
}
