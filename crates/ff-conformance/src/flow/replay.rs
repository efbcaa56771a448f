//! Replaying members of a flow.

use ff_core::contracts::{EdgeDependencyPolicy, OnSatisfied};
use ff_core::state::{AttemptState, PublicState};

use super::{graph, joined};
use crate::harness::Bench;

pub async fn a_skipped_member_runs_once_its_upstreams_have_succeeded(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 2), (1, 2)]).await;
    graph.complete(0).await;
    graph.fail(1).await;
    assert_eq!(graph.state(2).await, PublicState::Skipped);
    assert_eq!(graph.flow_state().await, "failed");

    graph.replay(1).await.unwrap();
    assert_eq!(graph.flow_state().await, "open");
    assert_eq!(graph.replay(2).await.unwrap(), PublicState::WaitingChildren);
    let info = bench.info(&graph.nodes[2]).await;
    assert_eq!(info.state_vector.attempt_state, AttemptState::PendingReplayAttempt);
    graph.complete(1).await;

    graph.complete(2).await;
    assert_eq!(graph.flow_state().await, "completed");
    assert_eq!(graph.ends(2).await, 2);
}

pub async fn a_skipped_member_whose_upstream_still_stands_failed_is_skipped_again(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    graph.fail(0).await;

    assert_eq!(graph.replay(1).await.unwrap(), PublicState::Skipped);

    assert_eq!(graph.ends(1).await, 2);
    assert_eq!(graph.flow_state().await, "failed");
}

pub async fn what_an_earlier_run_of_an_upstream_said_counts_no_more(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 2), (1, 2)]).await;
    graph.complete(0).await;
    graph.fail(1).await;
    graph.replay(0).await.unwrap();
    graph.replay(1).await.unwrap();

    assert_eq!(graph.replay(2).await.unwrap(), PublicState::WaitingChildren);
    graph.complete(1).await;

    // The success of the first run of node 0 is of a run that is over.
    assert_eq!(graph.state(2).await, PublicState::WaitingChildren);
    graph.complete(0).await;
    assert_eq!(graph.state(2).await, PublicState::Waiting);
}

pub async fn dependants_of_a_replayed_upstream_are_not_run_again(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    graph.complete(0).await;
    graph.complete(1).await;

    graph.replay(0).await.unwrap();
    graph.complete(0).await;

    assert_eq!(graph.state(1).await, PublicState::Completed);
    assert_eq!(graph.ends(1).await, 1);
    assert_eq!(graph.flow_state().await, "completed");
}

pub async fn a_quorum_starts_its_count_anew(bench: &Bench) {
    let graph = joined(bench, 3, EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run())).await;
    graph.fail(0).await;
    graph.fail(1).await;
    graph.complete(2).await;
    assert_eq!(graph.state(3).await, PublicState::Skipped);
    graph.replay(0).await.unwrap();

    assert_eq!(graph.replay(3).await.unwrap(), PublicState::WaitingChildren);
    graph.complete(0).await;

    assert_eq!(graph.state(3).await, PublicState::Waiting);
}

pub async fn a_member_that_ran_is_in_line_at_once(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    graph.complete(0).await;
    graph.fail(1).await;

    assert_eq!(graph.replay(1).await.unwrap(), PublicState::Waiting);

    graph.complete(1).await;
}

pub async fn a_join_met_by_the_replay_itself_cancels_the_losers(bench: &Bench) {
    let any = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
    let graph = joined(bench, 2, any).await;
    graph.fail(0).await;
    graph.fail(1).await;
    assert_eq!(graph.state(2).await, PublicState::Skipped);
    graph.replay(0).await.unwrap();
    graph.replay(1).await.unwrap();
    graph.complete(0).await;

    assert_eq!(graph.replay(2).await.unwrap(), PublicState::Waiting);

    assert_eq!(graph.state(1).await, PublicState::Cancelled);
}
