//! How many upstreams must succeed, and what becomes of the others.

use ff_core::contracts::{
    EdgeDependencyPolicy, EdgeGroupState, OnSatisfied, SetEdgeGroupPolicyResult,
};
use ff_core::engine_error::ContentionKind;
use ff_core::state::PublicState;

use super::apply::draw;
use super::stage::{edge, members};
use super::{call, graph, joined, submitted};
use crate::harness::{Bench, Refusal};

fn any(on_satisfied: OnSatisfied) -> EdgeDependencyPolicy {
    EdgeDependencyPolicy::any_of(on_satisfied)
}

pub async fn all_upstreams_must_succeed(bench: &Bench) {
    let graph = graph(bench, 4, &[(0, 3), (1, 3), (2, 3)]).await;

    graph.complete(0).await;
    graph.complete(1).await;
    assert_eq!(graph.state(3).await, PublicState::WaitingChildren);
    graph.complete(2).await;

    assert_eq!(graph.state(3).await, PublicState::Waiting);
}

pub async fn the_first_of_any_is_enough_and_starts_it_once(bench: &Bench) {
    let graph = joined(bench, 3, any(OnSatisfied::let_run())).await;

    graph.fail(0).await;
    assert_eq!(graph.state(3).await, PublicState::WaitingChildren);
    graph.complete(1).await;
    let held = graph.claim(3).await;
    graph.complete(2).await;

    held.complete(None).await.unwrap();
    assert_eq!(graph.ends(3).await, 1);
    assert_eq!(bench.attempts(&graph.nodes[3]).await.len(), 1);
}

pub async fn cancel_remaining_reaches_every_loser_once_and_fences_it(bench: &Bench) {
    let graph = joined(bench, 4, any(OnSatisfied::cancel_remaining())).await;
    let running = graph.claim(1).await;

    graph.complete(0).await;

    for place in 1..4 {
        assert_eq!(graph.state(place).await, PublicState::Cancelled);
        assert_eq!(graph.ends(place).await, 1);
        let reason = bench.summary(&graph.nodes[place]).await.reason;
        assert!(reason.unwrap().contains("sibling_quorum_satisfied"));
    }
    assert_eq!(running.complete(None).await.must_be_not_active().terminal_outcome, "cancelled");
    assert_eq!(graph.state(4).await, PublicState::Waiting);
}

pub async fn a_loser_claimed_beside_the_end_that_decides_is_not_handed_out(bench: &Bench) {
    let mut args = call(bench, 3, &[(0, 2), (1, 2)]);
    args.nodes[2].join = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
    args.nodes[0].execution.priority = 1;
    let no_reclaims = bench.submit().timeouts(|timeouts| timeouts.max_reclaim_count = 0);
    args.nodes[1].execution.policy = no_reclaims.args().policy;
    let graph = submitted(bench, args).await;
    let lost = graph.claim(1).await;
    bench.let_lease_expire(&lost).await;

    let work = bench.claim().batch(&["n0", "n1"], 2).await.unwrap();

    assert!(work.is_empty(), "{work:?}");
    assert_eq!(graph.state(1).await, PublicState::Failed);
    assert_eq!(graph.state(0).await, PublicState::Cancelled);
    assert_eq!(graph.state(2).await, PublicState::Skipped);
}

pub async fn let_run_leaves_the_losers_alone(bench: &Bench) {
    let graph = joined(bench, 3, any(OnSatisfied::let_run())).await;

    graph.complete(0).await;

    assert_eq!(graph.state(1).await, PublicState::Waiting);
    graph.complete(1).await;
}

pub async fn a_quorum_is_met_by_its_kth_success(bench: &Bench) {
    let graph = joined(bench, 3, EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run())).await;

    graph.complete(0).await;
    graph.fail(1).await;
    assert_eq!(graph.state(3).await, PublicState::WaitingChildren);
    graph.complete(2).await;

    assert_eq!(graph.state(3).await, PublicState::Waiting);
}

pub async fn a_quorum_is_impossible_as_soon_as_too_few_are_left(bench: &Bench) {
    let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
    let graph = joined(bench, 3, policy).await;

    graph.fail(0).await;
    assert_eq!(graph.state(3).await, PublicState::WaitingChildren);
    graph.fail(1).await;

    assert_eq!(graph.state(3).await, PublicState::Skipped);
    assert_eq!(graph.state(2).await, PublicState::Cancelled);
    let reason = bench.summary(&graph.nodes[2]).await.reason.unwrap();
    assert!(reason.contains("sibling_quorum_impossible"), "{reason}");
}

pub async fn a_quorum_drawn_by_hand_over_upstreams_that_have_ended_is_met(bench: &Bench) {
    let (flow, ids) = members(bench, 3).await;
    let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run());
    bench.engine.set_edge_group_policy(&flow, &ids[2], policy).await.unwrap();
    bench.claim().lane("n0").await.complete(None).await.unwrap();
    bench.claim().lane("n1").await.complete(None).await.unwrap();

    draw(bench, edge(bench, &flow, [&ids[0], &ids[2]], 3)).await;
    draw(bench, edge(bench, &flow, [&ids[1], &ids[2]], 4)).await;

    assert_eq!(bench.state(&ids[2]).await, PublicState::Waiting);
}

pub async fn a_quorum_with_too_few_edges_says_so(bench: &Bench) {
    let (flow, ids) = members(bench, 3).await;
    let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run());
    bench.engine.set_edge_group_policy(&flow, &ids[2], policy).await.unwrap();
    bench.cancel(&ids[0]).await.unwrap();

    draw(bench, edge(bench, &flow, [&ids[0], &ids[2]], 3)).await;

    assert_eq!(bench.state(&ids[2]).await, PublicState::WaitingChildren);
    let told = bench.engine.explain(&ids[2]).await.unwrap().summary;
    assert!(told.contains("wants 2 edges that count and has 1"), "{told}");
}

pub async fn a_late_failure_does_not_undo_a_satisfied_group(bench: &Bench) {
    let graph = joined(bench, 2, any(OnSatisfied::let_run())).await;

    graph.complete(0).await;
    graph.fail(1).await;

    assert_eq!(graph.state(2).await, PublicState::Waiting);
    let seen = bench.engine.describe_flow(&graph.flow).await.unwrap().unwrap();
    let group = &seen.edge_groups[0];
    assert_eq!(group.group_state, EdgeGroupState::Satisfied);
    assert_eq!((group.total_deps, group.satisfied_count, group.failed_count), (2, 1, 1));
    assert_eq!((group.skipped_count, group.running_count), (0, 0));
}

pub async fn a_policy_is_set_until_an_edge_counts(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let set = |policy| bench.engine.set_edge_group_policy(&flow, &ids[1], policy);
    let quorum = |k| EdgeDependencyPolicy::quorum(k, OnSatisfied::let_run());

    assert_eq!(set(quorum(2)).await.unwrap(), SetEdgeGroupPolicyResult::Set);
    assert_eq!(set(quorum(2)).await.unwrap(), SetEdgeGroupPolicyResult::AlreadySet);
    assert_eq!(set(quorum(1)).await.unwrap(), SetEdgeGroupPolicyResult::Set);
    assert_eq!(set(quorum(0)).await.must_be_invalid(), "quorum k must be >= 1");
    draw(bench, edge(bench, &flow, [&ids[0], &ids[1]], 2)).await;

    let told = set(quorum(1)).await.must_be_invalid();
    assert!(told.starts_with("edge_group_policy_already_fixed"), "{told}");
    let seen = bench.engine.describe_flow(&flow).await.unwrap().unwrap();
    assert_eq!(seen.edge_groups[0].policy, quorum(1));
    let unknown = bench.new_flow_id();
    bench
        .engine
        .set_edge_group_policy(&unknown, &ids[1], quorum(1))
        .await
        .must_be_not_found("flow");
}

pub async fn a_loser_that_is_fenced_cannot_renew(bench: &Bench) {
    let graph = joined(bench, 2, any(OnSatisfied::cancel_remaining())).await;
    let loser = graph.claim(1).await;

    graph.complete(0).await;

    let refused = loser.renew().await;
    assert!(!matches!(
        refused.as_ref().err(),
        Some(ff_core::EngineError::Contention(ContentionKind::StaleGraphRevision))
    ));
    assert_eq!(refused.must_be_not_active().terminal_outcome, "cancelled");
}
