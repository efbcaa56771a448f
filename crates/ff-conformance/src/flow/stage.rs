//! Drawing edges by hand.

use ff_core::contracts::{
    AddExecutionToFlowArgs, EdgeDirection, StageDependencyEdgeArgs, StageDependencyEdgeResult,
};
use ff_core::engine_error::{ConflictKind, ContentionKind, StateKind};
use ff_core::types::{EdgeId, ExecutionId, FlowId};

use super::{empty, graph};
use crate::harness::{Bench, Refusal};

pub(super) fn edge_id(bench: &Bench) -> EdgeId {
    EdgeId::from_uuid(bench.new_id().uuid())
}

pub(super) fn edge(
    bench: &Bench,
    flow_id: &FlowId,
    ends: [&ExecutionId; 2],
    revision: u64,
) -> StageDependencyEdgeArgs {
    StageDependencyEdgeArgs {
        flow_id: flow_id.clone(),
        edge_id: edge_id(bench),
        upstream_execution_id: ends[0].clone(),
        downstream_execution_id: ends[1].clone(),
        dependency_kind: "success_only".to_owned(),
        data_passing_ref: None,
        expected_graph_revision: revision,
        now: bench.now(),
    }
}

/// A flow with `count` members, whose revision is their number.
pub(super) async fn members(bench: &Bench, count: usize) -> (FlowId, Vec<ExecutionId>) {
    let flow_id = empty(bench).await;
    let mut ids = Vec::new();
    for place in 0..count {
        let id = bench.submit().lane(&super::lane(place)).await;
        let args = AddExecutionToFlowArgs {
            flow_id: flow_id.clone(),
            execution_id: id.clone(),
            now: bench.now(),
        };
        bench.engine.add_execution_to_flow(args).await.unwrap();
        ids.push(id);
    }
    (flow_id, ids)
}

pub async fn an_edge_is_drawn_against_the_expected_revision(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let args = edge(bench, &flow, [&ids[0], &ids[1]], 2);

    let staged = bench.engine.stage_dependency_edge(args.clone()).await.unwrap();

    let edge_id = args.edge_id.clone();
    assert_eq!(staged, StageDependencyEdgeResult::Staged { edge_id, new_graph_revision: 3 });
    let stale = bench.unchanged_by(bench.engine.stage_dependency_edge(args.clone())).await;
    stale.must_be_contention(&ContentionKind::StaleGraphRevision);
    let seen = bench.engine.describe_edge(&flow, &args.edge_id).await.unwrap().unwrap();
    assert_eq!(
        (seen.edge_state.as_str(), seen.satisfaction_condition.as_str()),
        ("pending", "all_required")
    );
    assert_eq!(seen.upstream_execution_id, ids[0]);
    // It does not count yet.
    bench.claim().lane("n1").await;
}

pub async fn edges_are_listed_by_their_ends(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1), (0, 2), (1, 2)]).await;
    let list = |direction| bench.engine.list_edges(&graph.flow, direction);

    let from = list(EdgeDirection::Outgoing { from_node: graph.nodes[0].clone() }).await.unwrap();
    let into = list(EdgeDirection::Incoming { to_node: graph.nodes[2].clone() }).await.unwrap();

    assert_eq!(from.len(), 2);
    assert!(from.iter().all(|edge| edge.upstream_execution_id == graph.nodes[0]));
    assert_eq!(into.len(), 2);
    assert!(into.iter().all(|edge| edge.edge_state == "applied"));
    let nowhere = EdgeDirection::Outgoing { from_node: graph.nodes[0].clone() };
    assert!(bench.engine.list_edges(&bench.new_flow_id(), nowhere).await.unwrap().is_empty());
    assert_eq!(bench.engine.describe_edge(&graph.flow, &edge_id(bench)).await.unwrap(), None);
}

pub async fn a_cycle_is_refused_however_long_it_is(bench: &Bench) {
    // Longer than any cap on the number of nodes that a walk may see.
    const LENGTH: usize = 1_200;
    let edges: Vec<(usize, usize)> = (1..LENGTH).map(|place| (place - 1, place)).collect();
    let graph = graph(bench, LENGTH, &edges).await;
    let revision = u64::try_from(2 * LENGTH - 1).unwrap();
    let (first, last) = (&graph.nodes[0], &graph.nodes[LENGTH - 1]);

    let closing = edge(bench, &graph.flow, [last, first], revision);
    bench
        .engine
        .stage_dependency_edge(closing)
        .await
        .must_be_conflict(&ConflictKind::CycleDetected);

    let along = edge(bench, &graph.flow, [first, last], revision);
    bench.engine.stage_dependency_edge(along).await.unwrap();
}

pub async fn wrong_ends_are_refused(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let stranger = bench.submit().await;
    let stage = |args| bench.unchanged_by(bench.engine.stage_dependency_edge(args));

    stage(edge(bench, &flow, [&ids[0], &ids[0]], 2))
        .await
        .must_be_conflict(&ConflictKind::SelfReferencingEdge);
    for ends in [[&ids[0], &stranger], [&stranger, &ids[0]]] {
        stage(edge(bench, &flow, ends, 2)).await.must_be_state(&StateKind::ExecutionNotInFlow);
    }
    stage(edge(bench, &bench.new_flow_id(), [&ids[0], &ids[1]], 2)).await.must_be_not_found("flow");
}

pub async fn an_edge_id_is_used_once(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let args = edge(bench, &flow, [&ids[0], &ids[1]], 2);
    bench.engine.stage_dependency_edge(args.clone()).await.unwrap();
    let existing = bench.engine.describe_edge(&flow, &args.edge_id).await.unwrap().unwrap();

    let again = StageDependencyEdgeArgs { expected_graph_revision: 3, ..args };
    bench
        .unchanged_by(bench.engine.stage_dependency_edge(again))
        .await
        .must_be_conflict(&ConflictKind::DependencyAlreadyExists { existing });
}
