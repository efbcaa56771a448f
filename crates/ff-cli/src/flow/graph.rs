//! A flow as it stands, ready to be drawn: names instead of ids, places instead of references.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ff_core::contracts::{
    EdgeDependencyPolicy, EdgeResolution, ExecutionSummary, FlowGraph, FlowSnapshot,
};
use ff_core::state::PublicState;

use crate::duration;
use crate::filter::is_ended;
use crate::id;
use crate::output::shorten;
use crate::time;

/// The tag that carries the name a node has in its file.
pub(crate) const NAME_TAG: &str = "ff.node";

/// So many nodes that differ in their name only are shown as one; fewer are shown one by one.
const GROUP_MIN: usize = 12;

/// Characters of a reason or a message beside a node.
const NOTE_SHOWN: usize = 60;

/// A flow and its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) flow: FlowSnapshot,
    /// Each after all that it needs.
    pub(crate) nodes: Vec<Vertex>,
    pub(crate) is_truncated: bool,
}

/// A node of a [`Graph`].
#[derive(Debug, Clone)]
pub(crate) struct Vertex {
    pub(crate) name: String,
    pub(crate) summary: ExecutionSummary,
    /// Places of what it needs, ascending.
    pub(crate) needs: Vec<Need>,
    /// Places of what needs it, ascending.
    pub(crate) dependents: Vec<usize>,
    pub(crate) join: EdgeDependencyPolicy,
}

/// An edge, as its lower end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) place: usize,
    pub(crate) resolution: EdgeResolution,
}

impl Graph {
    /// Names and sorts what the engine has read.
    pub(crate) fn new(read: FlowGraph) -> Self {
        let places: HashMap<_, _> = read
            .nodes
            .iter()
            .enumerate()
            .map(|(place, node)| (node.execution_id.clone(), place))
            .collect();
        let mut needs: Vec<BTreeMap<usize, EdgeResolution>> =
            vec![BTreeMap::new(); read.nodes.len()];
        for edge in &read.edges {
            let upstream = places.get(&edge.edge.upstream_execution_id);
            let downstream = places.get(&edge.edge.downstream_execution_id);
            // The ends of an edge may lie beyond what was read of a flow that is too large.
            if let (Some(&upstream), Some(&downstream)) = (upstream, downstream) {
                needs[downstream].insert(upstream, edge.resolution);
            }
        }
        let order = topological(&needs);
        let mut new_places = vec![0; order.len()];
        for (place, old) in order.iter().enumerate() {
            new_places[*old] = place;
        }
        let mut joins: HashMap<_, _> = read
            .flow
            .edge_groups
            .iter()
            .map(|group| (group.downstream_execution_id.clone(), group.policy.clone()))
            .collect();
        let mut summaries: Vec<_> = read.nodes.into_iter().map(Some).collect();
        let mut nodes: Vec<Vertex> = Vec::with_capacity(order.len());
        for old in order {
            let Some(summary) = summaries[old].take() else { continue };
            let mut needs: Vec<_> = needs[old]
                .iter()
                .map(|(place, resolution)| Need {
                    place: new_places[*place],
                    resolution: *resolution,
                })
                .collect();
            needs.sort_by_key(|need| need.place);
            nodes.push(Vertex {
                name: name_of(&summary),
                join: joins.remove(&summary.execution_id).unwrap_or(EdgeDependencyPolicy::AllOf),
                summary,
                needs,
                dependents: Vec::new(),
            });
        }
        for place in 0..nodes.len() {
            for need in nodes[place].needs.clone() {
                nodes[need.place].dependents.push(place);
            }
        }
        Self { flow: read.flow, nodes, is_truncated: read.is_truncated }
    }

    /// Whether nothing of it goes on any more.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.flow.public_flow_state.as_str(), "completed" | "failed" | "cancelled")
    }

    /// When the last node ended, of a flow that has.
    pub(crate) fn ended_at(&self) -> Option<i64> {
        if !self.is_ended() {
            return None;
        }
        let last = self.nodes.iter().filter_map(|node| node.summary.ended_at).max();
        last.or(self.flow.cancelled_at).map(|at| at.0)
    }

    /// How many nodes are in each state, in the order a reader cares for.
    pub(crate) fn counts(&self) -> Vec<(PublicState, usize)> {
        count(self.nodes.iter().map(|node| node.summary.public_state))
    }

    /// Bundles of nodes to draw as one: at least [`GROUP_MIN`] of one kind, after the same and before the
    /// same. All others are a bundle each. In the order of their first nodes.
    pub(crate) fn bundles(&self, bundle: bool) -> Vec<Vec<usize>> {
        if !bundle {
            return (0..self.nodes.len()).map(|place| vec![place]).collect();
        }
        let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let needs: Vec<_> = node.needs.iter().map(|need| need.place).collect();
            let join = (node.join.variant_str(), threshold(node));
            let key = (&node.summary.execution_kind, needs, &node.dependents, join);
            alike.entry(key).or_default().push(place);
        }
        let mut bundles: Vec<_> = alike
            .into_values()
            .flat_map(|places| {
                if places.len() >= GROUP_MIN {
                    vec![places]
                } else {
                    places.into_iter().map(|place| vec![place]).collect()
                }
            })
            .collect();
        bundles.sort_by_key(|places| places[0]);
        bundles
    }
}

impl Vertex {
    pub(crate) fn state(&self) -> PublicState {
        self.summary.public_state
    }

    /// `any of 3` or `2 of 3`; nothing where all are needed.
    pub(crate) fn join_label(&self) -> Option<String> {
        let total = self.needs.len();
        match &self.join {
            EdgeDependencyPolicy::AnyOf { .. } => Some(format!("any of {total}")),
            EdgeDependencyPolicy::Quorum { k, .. } => Some(format!("{k} of {total}")),
            _ => None,
        }
    }

    /// How long it has run, or ran; nothing before it starts.
    pub(crate) fn took(&self, now: i64) -> Option<String> {
        let began = self.summary.started_at?.0;
        let ended = match self.summary.ended_at {
            Some(at) => at.0,
            None if self.state() == PublicState::Active => now,
            None => return None,
        };
        Some(duration::elapsed(u64::try_from(ended - began).unwrap_or(0)))
    }

    /// What else a reader should know of it now.
    pub(crate) fn note(&self, now: i64) -> String {
        let summary = &self.summary;
        let mut parts = Vec::new();
        if let PublicState::Active = self.state() {
            match (summary.progress_pct, &summary.progress_message) {
                (Some(percent), Some(message)) => parts.push(format!("{percent}% {message}")),
                (Some(percent), None) => parts.push(format!("{percent}%")),
                (None, Some(message)) => parts.push(message.clone()),
                (None, None) => {}
            }
        }
        if summary.attempt_count > 1 {
            parts.push(format!("attempt {}", summary.attempt_count));
        }
        if let (false, Some(at)) = (is_ended(self.state()), summary.due_at)
            && at.0 > now
        {
            parts.push(time::relative(at.0, now));
        }
        if let Some(reason) = &summary.reason
            && self.state() != PublicState::Completed
        {
            parts.push(reason.clone());
        }
        shorten(&parts.join(" · "), NOTE_SHOWN)
    }
}

/// The name in the file, or the kind and the last digits of the id: the first ones are the time.
fn name_of(summary: &ExecutionSummary) -> String {
    if let Some(name) = summary.tags.get(NAME_TAG) {
        return name.clone();
    }
    let id = id::show(&summary.execution_id);
    let tail = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
    format!("{} {tail}", summary.execution_kind)
}

fn threshold(node: &Vertex) -> u32 {
    match &node.join {
        EdgeDependencyPolicy::Quorum { k, .. } => *k,
        _ => 0,
    }
}

/// States with how often they occur, in the order a reader cares for.
pub(crate) fn count(states: impl Iterator<Item = PublicState>) -> Vec<(PublicState, usize)> {
    let mut counts: Vec<(PublicState, usize)> = Vec::new();
    for state in states {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    counts.sort_by_key(|(state, _)| rank(*state));
    counts
}

fn rank(state: PublicState) -> u8 {
    match state {
        PublicState::Failed | PublicState::Expired => 0,
        PublicState::Active => 1,
        PublicState::Suspended => 2,
        PublicState::Completed => 9,
        PublicState::Skipped | PublicState::Cancelled => 8,
        _ => 4,
    }
}

/// An order in which each comes after all it needs; nodes keep their order where nothing stands against
/// it. What lies on a circle, which the engine never stores, comes last.
fn topological(needs: &[BTreeMap<usize, EdgeResolution>]) -> Vec<usize> {
    let mut open: Vec<usize> = needs.iter().map(BTreeMap::len).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (place, needs) in needs.iter().enumerate() {
        for need in needs.keys() {
            dependents[*need].push(place);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|place| open[*place] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(place) = ready.pop_first() {
        order.push(place);
        for dependent in &dependents[place] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                ready.insert(*dependent);
            }
        }
    }
    order.extend((0..needs.len()).filter(|place| open[*place] > 0));
    order
}

#[cfg(test)]
pub(crate) mod tests {
    use ff_core::contracts::{
        EdgeGroupSnapshot, EdgeGroupState, EdgeSnapshot, FlowGraphEdge, OnSatisfied,
    };
    use ff_core::types::{EdgeId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs};
    use uuid::Uuid;

    use super::*;

    /// A flow in memory: nodes with their states, edges between their places, joins by place.
    pub(crate) fn graph(
        nodes: &[(&str, PublicState)],
        edges: &[(usize, usize)],
        joins: &[(usize, EdgeDependencyPolicy)],
    ) -> Graph {
        let at = TimestampMs(1_000);
        let flow_id = FlowId::from_uuid(Uuid::from_u128(7));
        let id = |place: usize| {
            let uuid = Uuid::from_u128(0x018f_2b6c_0000_7000_8000_0000_0000_0000 + place as u128);
            ExecutionId::parse(&format!("{{fp:0}}:{uuid}")).unwrap()
        };
        let summaries = nodes.iter().enumerate().map(|(place, (name, state))| {
            let kind = name.split('-').next().unwrap_or(name).to_owned();
            let mut summary = ExecutionSummary::new(
                id(place),
                kind,
                LaneId::new("default"),
                Namespace::new("default"),
                *state,
                0,
                at,
            );
            summary.tags.insert(NAME_TAG.to_owned(), (*name).to_owned());
            if is_ended(*state) || *state == PublicState::Active {
                summary.started_at = Some(TimestampMs(2_000));
            }
            if is_ended(*state) {
                summary.ended_at = Some(TimestampMs(3_500));
            }
            summary
        });
        let edge = |(number, (from, to)): (usize, &(usize, usize))| {
            let resolution = match nodes[*from].1 {
                PublicState::Completed => EdgeResolution::Satisfied,
                state if is_ended(state) => EdgeResolution::Impossible,
                _ => EdgeResolution::Unsatisfied,
            };
            let edge = EdgeSnapshot::new(
                EdgeId::from_uuid(Uuid::from_u128(number as u128)),
                flow_id.clone(),
                id(*from),
                id(*to),
                "success_only".to_owned(),
                "all_required".to_owned(),
                None,
                "applied".to_owned(),
                at,
                "test".to_owned(),
            );
            FlowGraphEdge::new(edge, resolution, None)
        };
        let groups = joins.iter().map(|(place, policy)| {
            let pending = EdgeGroupState::Pending;
            EdgeGroupSnapshot::new(id(*place), policy.clone(), 2, 0, 0, 0, 2, pending)
        });
        let flow = FlowSnapshot::new(
            flow_id.clone(),
            "release".to_owned(),
            Namespace::new("default"),
            "running".to_owned(),
            1,
            u32::try_from(nodes.len()).unwrap(),
            u32::try_from(edges.len()).unwrap(),
            at,
            at,
            None,
            None,
            None,
            BTreeMap::new(),
            groups.collect(),
        );
        let edges = edges.iter().enumerate().map(edge).collect();
        Graph::new(FlowGraph::new(flow, summaries.collect(), edges, false))
    }

    /// A small release: two checks after a build, either of which opens the way.
    pub(crate) fn release() -> Graph {
        use PublicState::{Active, Completed, Failed, Waiting};
        graph(
            &[
                ("ship", Waiting),
                ("fetch", Completed),
                ("build", Completed),
                ("lint", Failed),
                ("test", Active),
                ("tell", Waiting),
            ],
            &[(1, 2), (2, 3), (2, 4), (3, 0), (4, 0), (1, 5), (0, 5)],
            &[(0, EdgeDependencyPolicy::quorum(1, OnSatisfied::LetRun))],
        )
    }

    #[test]
    fn nodes_come_after_what_they_need() {
        let graph = release();

        let names: Vec<_> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["fetch", "build", "lint", "test", "ship", "tell"]);
        let ship = &graph.nodes[4];
        assert_eq!(ship.needs.iter().map(|need| need.place).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(
            (ship.join_label().as_deref(), &ship.dependents[..]),
            (Some("1 of 2"), &[5][..])
        );
        assert_eq!(ship.needs[0].resolution, EdgeResolution::Impossible);
        assert_eq!(graph.nodes[0].dependents, [1, 5]);
    }

    #[test]
    fn many_nodes_that_are_alike_are_one_bundle() {
        let names: Vec<String> = (0..20).map(|n| format!("page-{n}")).collect();
        let mut nodes = vec![("split", PublicState::Completed), ("merge", PublicState::Waiting)];
        nodes.extend(names.iter().map(|name| (name.as_str(), PublicState::Waiting)));
        let mut edges: Vec<_> = (2..22).flat_map(|place| [(0, place), (place, 1)]).collect();
        edges.pop();
        let graph = graph(&nodes, &edges, &[]);

        let sizes: Vec<_> = graph.bundles(true).iter().map(Vec::len).collect();

        // The last page leads nowhere, so it stands alone.
        assert_eq!(sizes, [1, 19, 1, 1]);
        assert_eq!(graph.bundles(false).len(), 22);
    }

    #[test]
    fn counts_begin_with_what_needs_attention() {
        let counts = release().counts();

        assert_eq!(
            counts,
            [
                (PublicState::Failed, 1),
                (PublicState::Active, 1),
                (PublicState::Waiting, 2),
                (PublicState::Completed, 2)
            ]
        );
    }
}
