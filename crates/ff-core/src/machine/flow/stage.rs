//! Drawing an edge between two members.

use super::rows::{Edge, Flow};
use super::{Wanted, Write, in_flow_partition, invalid};
use crate::EngineError;
use crate::contracts::{
    EdgeSnapshot, FLOW_EDGES_MAX, StageDependencyEdgeArgs, StageDependencyEdgeResult,
};
use crate::engine_error::{ConflictKind, ContentionKind, StateKind};
use crate::machine::limits::IDENTIFIER_MAX_BYTES;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// The only kind of dependency: the upstream must succeed.
pub(super) const SUCCESS_ONLY: &str = "success_only";

/// Draws an edge; it counts once it is applied.
///
/// Refused in this order: an edge to itself (`Conflict(SelfReferencingEdge)`), a missing flow
/// (`NotFound`), one that has ended (`State(FlowAlreadyTerminal)`), another revision
/// (`Contention(StaleGraphRevision)`, which is also what a repeat gets), an end that is no member
/// (`State(ExecutionNotInFlow)`), a cycle (`Conflict(CycleDetected)`), a known edge id
/// (`Conflict(DependencyAlreadyExists)`), a full flow or a kind other than `success_only`
/// (`Validation(InvalidInput)`).
#[derive(Debug, Clone)]
pub struct Stage {
    /// The call.
    pub args: StageDependencyEdgeArgs,
}

impl Command for Stage {
    const NAME: &'static str = "flow.stage_edge";
    type Outcome = StageDependencyEdgeResult;

    fn footprint(&self) -> Footprint {
        let args = &self.args;
        let (up, down) = (&args.upstream_execution_id, &args.downstream_execution_id);
        Footprint {
            flow: Wanted {
                flow: Some(args.flow_id.clone()),
                edge: Some((args.flow_id.clone(), args.edge_id.clone())),
                upstream: Some(up.clone()),
                reaches: Some((args.flow_id.clone(), down.clone(), up.clone())),
                ..Wanted::default()
            },
            ..Footprint::execution(down)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<StageDependencyEdgeResult>, EngineError> {
        let args = &self.args;
        if args.upstream_execution_id == args.downstream_execution_id {
            return Err(EngineError::Conflict(ConflictKind::SelfReferencingEdge));
        }
        in_flow_partition(&args.upstream_execution_id)?;
        in_flow_partition(&args.downstream_execution_id)?;
        let flow = seen.flow.flow()?;
        if flow.is_terminal() {
            return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
        }
        if flow.revision != args.expected_graph_revision {
            return Err(EngineError::Contention(ContentionKind::StaleGraphRevision));
        }
        let upstream = seen.flow.upstream.as_ref().and_then(|upstream| upstream.flow_id.as_ref());
        let downstream = seen.execution.as_ref().and_then(|execution| execution.flow_id.as_ref());
        if upstream != Some(&flow.id) || downstream != Some(&flow.id) {
            return Err(EngineError::State(StateKind::ExecutionNotInFlow));
        }
        if seen.flow.is_reachable {
            return Err(EngineError::Conflict(ConflictKind::CycleDetected));
        }
        if let Some(existing) = &seen.flow.edge {
            let existing = snapshot(existing);
            return Err(EngineError::Conflict(ConflictKind::DependencyAlreadyExists { existing }));
        }
        kind_within_limits(&args.dependency_kind)?;
        reference_within_limits(args.data_passing_ref.as_deref())?;
        has_room(flow)?;

        let ends = [&args.upstream_execution_id, &args.downstream_execution_id];
        let passes = args.data_passing_ref.as_deref();
        let edge = Edge::drawn(args.edge_id.clone(), &flow.id, ends, passes, cx.now);
        let mut after = flow.next(cx.now);
        after.edge_count += 1;
        after.revision += 1;
        let staged = StageDependencyEdgeResult::Staged {
            edge_id: args.edge_id.clone(),
            new_graph_revision: after.revision,
        };
        Ok(Transition::unchanged(staged)
            .change(after.write())
            .change(Change::Flow(Write::PutEdge(Box::new(edge)))))
    }
}

/// Refuses another edge of a full flow.
pub(super) fn has_room(flow: &Flow) -> Result<(), EngineError> {
    if usize::try_from(flow.edge_count).is_ok_and(|count| count >= FLOW_EDGES_MAX) {
        return Err(invalid(format!(
            "the flow has {FLOW_EDGES_MAX} edges, the most it may have; start another flow"
        )));
    }
    Ok(())
}

/// Refuses a kind that would be ignored.
pub(super) fn kind_within_limits(kind: &str) -> Result<(), EngineError> {
    if kind == SUCCESS_ONLY {
        return Ok(());
    }
    Err(invalid(format!("dependency_kind {kind:?} is not supported; give {SUCCESS_ONLY:?}")))
}

pub(super) fn reference_within_limits(reference: Option<&str>) -> Result<(), EngineError> {
    let size = reference.map_or(0, str::len);
    if size <= IDENTIFIER_MAX_BYTES {
        return Ok(());
    }
    Err(invalid(format!("data_passing_ref is {size} bytes; the limit is {IDENTIFIER_MAX_BYTES}")))
}

/// An edge as the contract shows it.
pub fn snapshot(edge: &Edge) -> EdgeSnapshot {
    let state = if edge.applied_at.is_some() { "applied" } else { "pending" };
    EdgeSnapshot::new(
        edge.id.clone(),
        edge.flow_id.clone(),
        edge.upstream.clone(),
        edge.downstream.clone(),
        edge.kind.clone(),
        edge.condition.clone(),
        edge.data_passing_ref.clone(),
        state.to_owned(),
        edge.created_at,
        edge.created_by.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{decide, refusal};
    use crate::machine::flow::rows::FlowState;
    use crate::machine::flow::testing::{
        child, edge, edge_id, ended_flow, flow, flow_id, showing, upstream, upstream_id,
    };
    use crate::types::{ExecutionId, TimestampMs};

    fn stage(adjust: impl FnOnce(&mut StageDependencyEdgeArgs)) -> Stage {
        let mut args = StageDependencyEdgeArgs {
            flow_id: flow_id(),
            edge_id: edge_id(),
            upstream_execution_id: upstream_id(),
            downstream_execution_id: child().id,
            dependency_kind: SUCCESS_ONLY.to_owned(),
            data_passing_ref: None,
            expected_graph_revision: flow().revision,
            now: TimestampMs(0),
        };
        adjust(&mut args);
        Stage { args }
    }

    fn seen() -> Snapshot {
        let mut seen = Snapshot { execution: Some(child()), ..showing(flow()) };
        seen.flow.upstream = Some(upstream(None));
        seen
    }

    #[test]
    fn an_edge_is_drawn_and_does_not_count_yet() {
        let done = decide(&stage(|_| {}), &seen()).unwrap();

        let [Change::Flow(Write::PutFlow(after)), Change::Flow(Write::PutEdge(edge))] =
            &done.changes[..]
        else {
            panic!()
        };
        assert_eq!((after.revision, after.edge_count), (flow().revision + 1, 1));
        assert_eq!((edge.applied_at, edge.resolved), (None, None));
        assert_eq!(edge.upstream, upstream_id());
        assert_eq!(
            done.outcome,
            StageDependencyEdgeResult::Staged {
                edge_id: edge_id(),
                new_graph_revision: after.revision
            }
        );
    }

    #[test]
    fn refusals_come_in_the_order_of_the_contract() {
        let told = |stage: &Stage, seen: &Snapshot| refusal(decide(stage, seen));
        let to_itself = stage(|args| args.upstream_execution_id = child().id);
        assert!(told(&to_itself, &Snapshot::default()).contains("SelfReferencingEdge"));
        let stale = stage(|args| args.expected_graph_revision += 1);
        assert!(told(&stale, &Snapshot::default()).contains("not found: flow"));
        let ended = showing(ended_flow(FlowState::Failed));
        assert!(told(&stale, &ended).contains("FlowAlreadyTerminal"));
        assert!(told(&stale, &showing(flow())).contains("StaleGraphRevision"));

        let mut reached = seen();
        reached.flow.is_reachable = true;
        reached.flow.upstream = None;
        assert!(told(&stage(|_| {}), &reached).contains("ExecutionNotInFlow"));
        reached.flow.upstream = seen().flow.upstream;
        reached.flow.edge = Some(edge());
        assert!(told(&stage(|_| {}), &reached).contains("CycleDetected"));
        reached.flow.is_reachable = false;
        assert!(told(&stage(|_| {}), &reached).contains("DependencyAlreadyExists"));
        reached.flow.edge = None;
        let other = stage(|args| args.dependency_kind = "always".to_owned());
        assert!(told(&other, &reached).contains("dependency_kind"));
        reached.flow.flow.as_mut().unwrap().edge_count = 100_000;
        assert!(told(&stage(|_| {}), &reached).contains("100000 edges"));
    }

    #[test]
    fn ends_lie_in_the_partition_of_flows() {
        let far = ExecutionId::from_parts(9, child().id.uuid());
        let stage = stage(|args| args.downstream_execution_id = far);

        assert!(refusal(decide(&stage, &seen())).contains("expected 0, got 9"));
    }
}
