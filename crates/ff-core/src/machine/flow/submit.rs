//! Submitting a whole graph: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::create::born;
use super::resolve::{blocked, put_edge, put_group};
use super::rows::{Edge, Group};
use super::set_policy::quorum_within_limits;
use super::stage::reference_within_limits;
use super::{Wanted, in_flow_partition, invalid};
use crate::EngineError;
use crate::contracts::{
    EdgeDependencyPolicy, FLOW_BYTES_MAX, FLOW_EDGES_MAX, FLOW_NODES_MAX, SubmitFlowArgs,
    SubmitFlowResult,
};
use crate::engine_backend::validate_tag_key;
use crate::engine_error::ValidationKind;
use crate::machine::execution::Create;
use crate::machine::execution::create::tag_within_limits;
use crate::machine::limits::TAGS_MAX;
use crate::machine::transition::Event;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, Urgency};
use crate::types::{EdgeId, ExecutionId, LaneId};

/// Stores a flow, its executions, their edges and their joins in one go.
///
/// Safe to repeat: the same graph under the same id answers `Duplicate`; another graph under that
/// id, and an execution id that is stored already, are `Validation(InvalidInput)`. Graphs are the
/// same if kind, namespace, tags, edges and, in order, the nodes are: each with its id, kind, lane,
/// payload, policy, join, priority and tags. A node's delay and deadline are not compared; those
/// of the first submit stand. A node that
/// [`Create`] refuses refuses the whole, with its place and id in the detail.
#[derive(Debug, Clone)]
pub struct SubmitFlow {
    args: SubmitFlowArgs,
    nodes: Vec<Create>,
    digest: [u8; 32],
    weight: usize,
}

impl SubmitFlow {
    /// Checks everything that the graph alone can tell: limits, places, ids, joins, cycles.
    pub fn new(args: SubmitFlowArgs) -> Result<Self, EngineError> {
        within_limits(&args)?;
        distinct_ids(&args)?;
        let inbound = inbound(&args)?;
        joins_reachable(&args, &inbound)?;
        acyclic(&args)?;
        let digest = digest(&args);
        let nodes = args.nodes.iter().map(|node| Create::new(node.execution.clone())).collect();
        let weight = args.nodes.iter().map(|node| node.execution.input_payload.len()).sum();
        Ok(Self { args, nodes, digest, weight })
    }

    /// The lanes and gate keys of its nodes, each once.
    fn gates(&self) -> Vec<(LaneId, String)> {
        let gates: BTreeSet<_> =
            self.nodes.iter().filter_map(|create| create.footprint().gate).collect();
        gates.into_iter().collect()
    }
}

fn named(place: usize, id: &ExecutionId, detail: impl std::fmt::Display) -> String {
    format!("node {place} ({id}): {detail}")
}

fn within_limits(args: &SubmitFlowArgs) -> Result<(), EngineError> {
    if args.nodes.is_empty() || args.nodes.len() > FLOW_NODES_MAX {
        return Err(invalid(format!(
            "the graph has {} nodes; give 1 to {FLOW_NODES_MAX}",
            args.nodes.len()
        )));
    }
    if args.edges.len() > FLOW_EDGES_MAX {
        return Err(invalid(format!(
            "the graph has {} edges; at most {FLOW_EDGES_MAX}",
            args.edges.len()
        )));
    }
    let bytes: usize = args.nodes.iter().map(|node| node.execution.input_payload.len()).sum();
    if bytes > FLOW_BYTES_MAX {
        return Err(EngineError::Validation {
            kind: ValidationKind::PayloadTooLarge,
            detail: format!(
                "the graph carries {bytes} bytes of payload; at most {FLOW_BYTES_MAX}. Store the \
                 data elsewhere and submit references"
            ),
        });
    }
    if args.tags.len() > TAGS_MAX {
        return Err(invalid(format!("{} tags; the limit is {TAGS_MAX}", args.tags.len())));
    }
    for (key, value) in &args.tags {
        validate_tag_key(key)?;
        tag_within_limits(key, value)?;
    }
    Ok(())
}

fn distinct_ids(args: &SubmitFlowArgs) -> Result<(), EngineError> {
    let mut places = HashMap::with_capacity(args.nodes.len());
    for (place, node) in args.nodes.iter().enumerate() {
        let id = &node.execution.execution_id;
        in_flow_partition(id).map_err(|error| at_node(place, id, error))?;
        if let Some(first) = places.insert(id.uuid(), place) {
            return Err(invalid(named(place, id, format_args!("has the id of node {first}"))));
        }
        if node.execution.idempotency_key.as_ref().is_some_and(|key| !key.is_empty()) {
            return Err(invalid(named(
                place,
                id,
                "carries an idempotency_key; the flow's id is the key of the whole graph",
            )));
        }
    }
    Ok(())
}

/// How many edges lead into each node.
fn inbound(args: &SubmitFlowArgs) -> Result<Vec<u32>, EngineError> {
    let mut inbound = vec![0_u32; args.nodes.len()];
    for (number, link) in args.edges.iter().enumerate() {
        for end in [link.upstream, link.downstream] {
            if end >= args.nodes.len() {
                return Err(invalid(format!(
                    "edge {number}: there is no node {end}; the graph has nodes 0 to {}",
                    args.nodes.len() - 1
                )));
            }
        }
        let id = &args.nodes[link.downstream].execution.execution_id;
        if link.upstream == link.downstream {
            return Err(invalid(named(
                link.downstream,
                id,
                format_args!("depends on itself (edge {number})"),
            )));
        }
        reference_within_limits(link.data_passing_ref.as_deref())
            .map_err(|error| at_node(link.downstream, id, error))?;
        inbound[link.downstream] += 1;
    }
    Ok(inbound)
}

fn joins_reachable(args: &SubmitFlowArgs, inbound: &[u32]) -> Result<(), EngineError> {
    for ((place, node), edges) in args.nodes.iter().enumerate().zip(inbound) {
        let id = &node.execution.execution_id;
        quorum_within_limits(&node.join).map_err(|error| at_node(place, id, error))?;
        let wanted = match node.join {
            EdgeDependencyPolicy::AllOf => 0,
            EdgeDependencyPolicy::AnyOf { .. } => 1,
            EdgeDependencyPolicy::Quorum { k, .. } => k,
        };
        if wanted > *edges {
            return Err(invalid(named(
                place,
                id,
                format_args!("wants {wanted} upstreams to succeed and has {edges}"),
            )));
        }
    }
    Ok(())
}

/// Takes away nodes without upstreams until none is left (Kahn, "Topological sorting of large
/// networks", 1962): linear in the edges.
fn acyclic(args: &SubmitFlowArgs) -> Result<(), EngineError> {
    let mut left = vec![0_u32; args.nodes.len()];
    let mut downstreams = vec![Vec::new(); args.nodes.len()];
    for link in &args.edges {
        left[link.downstream] += 1;
        downstreams[link.upstream].push(link.downstream);
    }
    let mut free: Vec<usize> =
        left.iter().enumerate().filter(|(_, left)| **left == 0).map(|(place, _)| place).collect();
    while let Some(place) = free.pop() {
        for downstream in &downstreams[place] {
            left[*downstream] -= 1;
            if left[*downstream] == 0 {
                free.push(*downstream);
            }
        }
    }
    match left.iter().position(|left| *left > 0) {
        None => Ok(()),
        Some(start) => {
            // Walking upstream among what is left stays there, so it comes back to some node.
            let mut upstream_of = vec![0_usize; args.nodes.len()];
            for link in args.edges.iter().filter(|link| left[link.upstream] > 0) {
                upstream_of[link.downstream] = link.upstream;
            }
            let mut seen = vec![false; args.nodes.len()];
            let mut place = start;
            while !std::mem::replace(&mut seen[place], true) {
                place = upstream_of[place];
            }
            let id = &args.nodes[place].execution.execution_id;
            Err(invalid(named(place, id, "lies on a cycle; a flow has none")))
        }
    }
}

/// What makes two graphs the same. A node's delay and deadline are instants that a caller may
/// compute anew for a repeat, so they are no part of it.
fn digest(args: &SubmitFlowArgs) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(args.flow_kind.as_bytes());
    add(args.namespace.as_str().as_bytes());
    for (key, value) in &args.tags {
        add(key.as_bytes());
        add(value.as_bytes());
    }
    add(b"nodes");
    for node in &args.nodes {
        let execution = &node.execution;
        add(execution.execution_id.as_str().as_bytes());
        add(execution.execution_kind.as_bytes());
        add(execution.lane_id.as_str().as_bytes());
        add(&execution.input_payload);
        add(&serde_json::to_vec(&execution.policy).expect("a policy is numbers, text and lists"));
        add(&serde_json::to_vec(&node.join).expect("a join is a number and words"));
        add(&execution.priority.to_le_bytes());
        let tags: BTreeMap<_, _> = execution.tags.iter().collect();
        add(&serde_json::to_vec(&tags).expect("tags are text"));
    }
    add(b"edges");
    for link in &args.edges {
        add(&link.upstream.to_le_bytes());
        add(&link.downstream.to_le_bytes());
        add(link.data_passing_ref.as_deref().unwrap_or_default().as_bytes());
    }
    hash.finalize().into()
}

/// The refusal of one node as that of the graph.
fn at_node(place: usize, id: &ExecutionId, error: EngineError) -> EngineError {
    match error {
        EngineError::Validation { kind, detail } => {
            EngineError::Validation { kind, detail: named(place, id, detail) }
        }
        other => other,
    }
}

impl Command for SubmitFlow {
    const NAME: &'static str = "flow.submit";
    type Outcome = SubmitFlowResult;

    fn footprint(&self) -> Footprint {
        let ids = self.args.nodes.iter().map(|node| node.execution.execution_id.clone());
        Footprint {
            flow: Wanted {
                flow: Some(self.args.flow_id.clone()),
                existing: ids.collect(),
                gates: self.gates(),
                ..Wanted::default()
            },
            ..Footprint::default()
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<SubmitFlowResult>, EngineError> {
        let flow_id = self.args.flow_id.clone();
        if let Some(known) = &seen.flow.flow {
            if known.digest == Some(self.digest) {
                return Ok(Transition::unchanged(SubmitFlowResult::Duplicate { flow_id }));
            }
            return Err(invalid(format!(
                "flow {flow_id} exists with another graph; submit this one under an id of its own"
            )));
        }
        let mut flow = born(&flow_id, &self.args.flow_kind, &self.args.namespace, cx.now)?;
        let mut groups: Vec<Option<Group>> = vec![None; self.nodes.len()];
        let mut edges = Vec::with_capacity(self.args.edges.len());
        for link in &self.args.edges {
            let of = |place: usize| self.args.nodes[place].execution.execution_id.clone();
            let (upstream, downstream) = (of(link.upstream), of(link.downstream));
            let group = groups[link.downstream].get_or_insert_with(|| Group {
                policy: self.args.nodes[link.downstream].join.clone(),
                ..Group::new(flow_id.clone(), downstream.clone())
            });
            group.running += 1;
            let id = EdgeId::from_uuid(cx.ids.uuid());
            let passes = link.data_passing_ref.as_deref();
            edges.push(
                Edge::drawn(id, &flow_id, [&upstream, &downstream], passes, cx.now).applied(),
            );
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        flow.node_count = count(self.nodes.len());
        flow.edge_count = count(edges.len());
        flow.revision = u64::from(flow.node_count) + u64::from(flow.edge_count);
        flow.tags.clone_from(&self.args.tags);
        flow.digest = Some(self.digest);
        let submitted = SubmitFlowResult::Submitted {
            flow_id: flow_id.clone(),
            node_count: flow.node_count,
            edge_count: flow.edge_count,
        };

        let mut transition = Transition::unchanged(submitted).change(flow.write());
        let mut gates = Gates::new(self.gates(), &seen.flow.gates);
        let mut lanes = BTreeSet::new();
        for (place, (create, group)) in self.nodes.iter().zip(&groups).enumerate() {
            let id = &self.args.nodes[place].execution.execution_id;
            if seen.flow.existing.contains(id) {
                return Err(invalid(named(place, id, "is the id of an execution that exists")));
            }
            let rows = gates.seen_by(create);
            let node = create.decide(&rows, cx).map_err(|error| at_node(place, id, error))?;
            for change in node.changes {
                match change {
                    Change::CreateExecution { mut execution, payload } => {
                        execution.flow_id = Some(flow_id.clone());
                        if let Some(group) = group {
                            *execution = blocked(&execution, group);
                        }
                        transition =
                            transition.change(Change::CreateExecution { execution, payload });
                    }
                    Change::RegisterLane { lane, at } => {
                        if lanes.insert(lane.clone()) {
                            transition = transition.change(Change::RegisterLane { lane, at });
                        }
                    }
                    other => transition = transition.change(other),
                }
            }
            for event in node.events {
                transition = transition.announce(match event {
                    Event::Transition(mut row) if group.is_some() => {
                        row.to = crate::state::PublicState::WaitingChildren;
                        Event::Transition(row)
                    }
                    other => other,
                });
            }
        }
        for edge in edges {
            transition = transition.change(put_edge(edge));
        }
        for group in groups.into_iter().flatten() {
            transition = transition.change(put_group(group));
        }
        Ok(transition)
    }

    fn urgency(&self) -> Urgency {
        Urgency::Bulk
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

/// How many gate keys wait on each lane, counting those of the nodes before.
struct Gates {
    known: BTreeMap<(LaneId, String), bool>,
    counts: BTreeMap<LaneId, usize>,
}

impl Gates {
    fn new(asked: Vec<(LaneId, String)>, seen: &[(bool, usize)]) -> Self {
        let mut gates = Self { known: BTreeMap::new(), counts: BTreeMap::new() };
        for (gate, (is_known, count)) in asked.into_iter().zip(seen) {
            let of_lane = gates.counts.entry(gate.0.clone()).or_default();
            *of_lane = (*of_lane).max(*count);
            gates.known.insert(gate, *is_known);
        }
        gates
    }

    /// What a create sees of its gate; its key is known to those behind it.
    fn seen_by(&mut self, create: &Create) -> Snapshot {
        let mut rows = Snapshot::default();
        if let Some(gate) = create.footprint().gate {
            let lane = gate.0.clone();
            let is_known = self.known.entry(gate).or_default();
            let count = self.counts.entry(lane).or_default();
            rows.gate_known = *is_known;
            rows.gate_keys = *count;
            if !std::mem::replace(is_known, true) {
                *count += 1;
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{CreateExecutionArgs, FlowLink, FlowNode, OnSatisfied};
    use crate::machine::execution::testing::{decide, refusal, submission};
    use crate::machine::flow::Write;
    use crate::machine::flow::testing::{flow, flow_id, showing};
    use crate::machine::rows::Execution;
    use crate::state::PublicState;
    use crate::types::{Namespace, TimestampMs};

    fn node(number: u128) -> FlowNode {
        let id = ExecutionId::from_parts(0, uuid::Uuid::from_u128(number + 1));
        FlowNode::new(CreateExecutionArgs { execution_id: id, ..submission() })
    }

    fn graph(nodes: u128, edges: &[(usize, usize)]) -> SubmitFlowArgs {
        SubmitFlowArgs {
            flow_id: flow_id(),
            flow_kind: "kind".to_owned(),
            namespace: Namespace::new("tests"),
            tags: BTreeMap::new(),
            nodes: (0..nodes).map(node).collect(),
            edges: edges.iter().map(|(up, down)| FlowLink::new(*up, *down)).collect(),
        }
    }

    fn refused(args: SubmitFlowArgs) -> String {
        refusal(SubmitFlow::new(args))
    }

    #[test]
    fn roots_are_in_line_and_the_others_wait() {
        let submit = SubmitFlow::new(graph(3, &[(0, 2), (1, 2)])).unwrap();

        let done = decide(&submit, &Snapshot::default()).unwrap();

        let created: Vec<&Execution> = done
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::CreateExecution { execution, .. } => Some(&**execution),
                _ => None,
            })
            .collect();
        let states: Vec<PublicState> = created.iter().map(|row| row.public_state()).collect();
        let (waits, waiting) = (PublicState::WaitingChildren, PublicState::Waiting);
        assert_eq!(states, [waiting, waiting, waits]);
        assert!(created.iter().all(|row| row.flow_id == Some(flow_id())));
        let moves: Vec<PublicState> = done.moves().iter().map(|row| row.to).collect();
        assert_eq!(moves, [waiting, waiting, waits]);
        let group = done.changes.iter().find_map(|change| match change {
            Change::Flow(Write::PutGroup(group)) => Some(&**group),
            _ => None,
        });
        assert_eq!(group.map(|group| (group.running, group.total())), Some((2, 2)));
        let lanes = |change: &&Change| matches!(change, Change::RegisterLane { .. });
        assert_eq!(done.changes.iter().filter(lanes).count(), 1);
    }

    #[test]
    fn the_same_graph_is_a_duplicate_and_another_one_is_refused() {
        let submit = SubmitFlow::new(graph(2, &[(0, 1)])).unwrap();
        let mut known = flow();
        known.digest = Some(submit.digest);

        let done = decide(&submit, &showing(known.clone())).unwrap();
        assert_eq!(done.outcome, SubmitFlowResult::Duplicate { flow_id: flow_id() });
        assert!(done.is_unchanged());

        let other = SubmitFlow::new(graph(2, &[])).unwrap();
        assert!(refusal(decide(&other, &showing(known))).contains("another graph"));
        assert!(refusal(decide(&other, &showing(flow()))).contains("another graph"));
    }

    #[test]
    fn a_node_is_another_by_priority_or_tag_and_the_same_with_a_later_instant() {
        let of = |change: fn(&mut CreateExecutionArgs)| {
            let mut args = graph(1, &[]);
            change(&mut args.nodes[0].execution);
            digest(&args)
        };
        let plain = of(|_| {});
        assert_ne!(plain, of(|node| node.priority += 1));
        assert_ne!(plain, of(|node| node.lane_id = LaneId::new("another")));
        let tag = |node: &mut CreateExecutionArgs| {
            node.tags.insert("app.owner".to_owned(), "x".to_owned());
        };
        assert_ne!(plain, of(tag));
        assert_eq!(plain, of(|node| node.delay_until = Some(TimestampMs(5))));
        let deadline = |node: &mut CreateExecutionArgs| {
            node.execution_deadline_at = Some(TimestampMs(5));
        };
        assert_eq!(plain, of(deadline));
    }

    #[test]
    fn a_graph_that_cannot_run_is_refused_by_its_node() {
        assert!(refused(graph(0, &[])).contains("0 nodes"));
        assert!(refused(graph(2, &[(0, 2)])).contains("edge 0: there is no node 2"));
        assert!(refused(graph(2, &[(1, 1)])).contains("node 1 ({fp:0}:"));
        assert!(refused(graph(2, &[(1, 1)])).contains("depends on itself"));
        let mut twice = graph(2, &[]);
        twice.nodes[1] = node(0);
        assert!(refused(twice).contains("has the id of node 0"));
        let mut keyed = graph(1, &[]);
        keyed.nodes[0].execution.idempotency_key = Some("key".to_owned());
        assert!(refused(keyed).contains("idempotency_key"));
        let quorum = |k| EdgeDependencyPolicy::quorum(k, OnSatisfied::let_run());
        let mut joined = graph(3, &[(0, 2), (1, 2)]);
        joined.nodes[2].join = quorum(3);
        assert!(refused(joined.clone()).contains("node 2"));
        assert!(refused(joined.clone()).contains("wants 3 upstreams to succeed and has 2"));
        joined.nodes[2].join = quorum(0);
        assert!(refused(joined.clone()).contains("quorum k must be >= 1"));
        joined.nodes[2].join = quorum(2);
        assert!(SubmitFlow::new(joined).is_ok());
        let mut far = graph(1, &[]);
        far.nodes[0].execution.execution_id = ExecutionId::from_parts(4, uuid::Uuid::from_u128(1));
        assert!(refused(far).contains("expected 0, got 4"));
    }

    #[test]
    fn a_cycle_is_refused_by_a_node_that_lies_on_it() {
        // Node 3 hangs on the cycle of 1 and 2 and is not named.
        let told = refused(graph(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]));

        assert!(told.contains("lies on a cycle"), "{told}");
        assert!(told.contains("node 1 (") || told.contains("node 2 ("), "{told}");
        assert!(SubmitFlow::new(graph(4, &[(0, 1), (0, 2), (1, 3), (2, 3)])).is_ok());
    }

    #[test]
    fn what_create_refuses_and_ids_that_exist_refuse_the_whole() {
        let mut long = graph(2, &[]);
        long.nodes[1].execution.execution_kind = "x".repeat(200);
        let submit = SubmitFlow::new(long).unwrap();
        let told = refusal(decide(&submit, &Snapshot::default()));
        assert!(told.contains("node 1 (") && told.contains("execution_kind is 200 bytes"));

        let submit = SubmitFlow::new(graph(2, &[])).unwrap();
        let mut seen = Snapshot::default();
        seen.flow.existing.insert(node(1).execution.execution_id);
        let told = refusal(decide(&submit, &seen));
        assert!(told.contains("node 1 (") && told.contains("exists"), "{told}");
    }
}
