//! Making drawn edges count; what they say about their downstream.

use ff_core::contracts::{
    ApplyDependencyToChildArgs, ApplyDependencyToChildResult, EvaluateFlowEligibilityArgs,
    EvaluateFlowEligibilityResult, StageDependencyEdgeArgs,
};
use ff_core::state::PublicState;
use ff_core::types::ExecutionId;

use super::stage::{edge, members};
use crate::harness::{Bench, Refusal};

pub(super) fn applying(
    bench: &Bench,
    edge: &StageDependencyEdgeArgs,
) -> ApplyDependencyToChildArgs {
    ApplyDependencyToChildArgs {
        flow_id: edge.flow_id.clone(),
        edge_id: edge.edge_id.clone(),
        downstream_execution_id: edge.downstream_execution_id.clone(),
        upstream_execution_id: edge.upstream_execution_id.clone(),
        graph_revision: edge.expected_graph_revision + 1,
        dependency_kind: edge.dependency_kind.clone(),
        data_passing_ref: edge.data_passing_ref.clone(),
        now: bench.now(),
    }
}

/// Draws an edge and makes it count.
pub(super) async fn draw(
    bench: &Bench,
    edge: StageDependencyEdgeArgs,
) -> ApplyDependencyToChildResult {
    bench.engine.stage_dependency_edge(edge.clone()).await.unwrap();
    bench.engine.apply_dependency_to_child(applying(bench, &edge)).await.unwrap()
}

async fn says(bench: &Bench, id: &ExecutionId) -> String {
    let args = EvaluateFlowEligibilityArgs { execution_id: id.clone() };
    let EvaluateFlowEligibilityResult::Status { status } =
        bench.engine.evaluate_flow_eligibility(args).await.unwrap();
    status
}

pub async fn a_downstream_in_line_waits_and_is_released(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let edge = edge(bench, &flow, [&ids[0], &ids[1]], 2);

    let applied = draw(bench, edge.clone()).await;

    assert_eq!(applied, ApplyDependencyToChildResult::Applied { unsatisfied_count: 1 });
    assert_eq!(bench.state(&ids[1]).await, PublicState::WaitingChildren);
    let again = bench.engine.apply_dependency_to_child(applying(bench, &edge));
    assert_eq!(
        bench.unchanged_by(again).await.unwrap(),
        ApplyDependencyToChildResult::AlreadyApplied
    );
    bench.claim().lane("n0").await.complete(None).await.unwrap();
    assert_eq!(bench.state(&ids[1]).await, PublicState::Waiting);
}

pub async fn an_upstream_that_ended_before_settles_the_edge_at_once(bench: &Bench) {
    let (flow, ids) = members(bench, 4).await;
    bench.claim().lane("n0").await.complete(None).await.unwrap();
    bench.cancel(&ids[1]).await.unwrap();

    let good = draw(bench, edge(bench, &flow, [&ids[0], &ids[2]], 4)).await;
    let bad = draw(bench, edge(bench, &flow, [&ids[1], &ids[3]], 5)).await;

    assert_eq!(good, ApplyDependencyToChildResult::Applied { unsatisfied_count: 0 });
    assert_eq!(bad, ApplyDependencyToChildResult::Applied { unsatisfied_count: 0 });
    assert_eq!(bench.state(&ids[2]).await, PublicState::Waiting);
    assert_eq!(bench.state(&ids[3]).await, PublicState::Skipped);
}

pub async fn a_running_downstream_is_not_stopped(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let held = bench.claim().lane("n1").await;

    draw(bench, edge(bench, &flow, [&ids[0], &ids[1]], 2)).await;
    bench.cancel(&ids[0]).await.unwrap();

    assert_eq!(bench.state(&ids[1]).await, PublicState::Active);
    held.complete(None).await.unwrap();
}

pub async fn an_edge_that_was_not_drawn_is_not_found(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let edge = edge(bench, &flow, [&ids[0], &ids[1]], 2);
    let apply = |edge: &StageDependencyEdgeArgs| {
        bench.engine.apply_dependency_to_child(applying(bench, edge))
    };

    bench.unchanged_by(apply(&edge)).await.must_be_not_found("edge");
    bench.engine.stage_dependency_edge(edge.clone()).await.unwrap();
    let mut turned = edge;
    turned.upstream_execution_id = ids[1].clone();
    bench.unchanged_by(apply(&turned)).await.must_be_not_found("edge");
    turned.flow_id = bench.new_flow_id();
    bench.unchanged_by(apply(&turned)).await.must_be_not_found("flow");
}

pub async fn eligibility_is_told_in_words(bench: &Bench) {
    let (flow, ids) = members(bench, 3).await;
    draw(bench, edge(bench, &flow, [&ids[0], &ids[1]], 3)).await;

    assert_eq!(says(bench, &bench.new_id()).await, "not_found");
    assert_eq!(says(bench, &ids[0]).await, "eligible");
    assert_eq!(says(bench, &ids[1]).await, "blocked_by_dependencies");
    let held = bench.claim().lane("n0").await;
    assert_eq!(says(bench, &ids[0]).await, "not_runnable");
    held.complete(None).await.unwrap();
    assert_eq!(says(bench, &ids[1]).await, "eligible");
    assert_eq!(says(bench, &ids[0]).await, "not_runnable");
}
