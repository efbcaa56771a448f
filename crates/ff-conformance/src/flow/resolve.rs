//! What the end of an upstream does: release, skip, and skip on.

use ff_core::backend::CompletionPayload;
use ff_core::contracts::{CascadeOutcome, ResolveDependencyArgs, ResolveDependencyOutcome};
use ff_core::engine_error::ValidationKind;
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::state::PublicState;
use ff_core::types::{AttemptIndex, LaneId};

use super::graph;
use crate::harness::{Bench, Refusal};

pub async fn a_skip_runs_down_the_whole_chain(bench: &Bench) {
    const LENGTH: usize = 120;
    let edges: Vec<(usize, usize)> = (1..LENGTH).map(|place| (place - 1, place)).collect();
    let graph = graph(bench, LENGTH, &edges).await;

    graph.fail(0).await;

    for place in 1..LENGTH {
        assert_eq!(graph.state(place).await, PublicState::Skipped);
    }
    assert_eq!(bench.all_completions().await.len(), LENGTH);
    assert_eq!(graph.flow_state().await, "failed");
}

pub async fn each_way_of_ending_badly_skips_the_dependants(bench: &Bench) {
    let graph = graph(bench, 4, &[(0, 1), (2, 3)]).await;

    bench.cancel(&graph.nodes[0]).await.unwrap();
    let held = graph.claim(2).await;
    held.cancel("no").await.unwrap();

    assert_eq!(graph.state(1).await, PublicState::Skipped);
    assert_eq!(graph.state(3).await, PublicState::Skipped);
    assert_eq!(graph.ends(1).await, 1);
}

pub async fn an_upstream_that_is_retried_decides_nothing(bench: &Bench) {
    let mut args = super::call(bench, 2, &[(0, 1)]);
    let retry = crate::harness::fixed(1, 0);
    args.nodes[0].execution.policy = Some(ff_core::policy::ExecutionPolicy {
        retry_policy: Some(retry),
        ..ff_core::policy::ExecutionPolicy::default()
    });
    let graph = super::submitted(bench, args).await;

    let held = graph.claim(0).await;
    held.fail("broken", ff_core::backend::FailureClass::Transient).await.unwrap();
    assert_eq!(graph.state(1).await, PublicState::WaitingChildren);
    graph.complete(0).await;

    assert_eq!(graph.state(1).await, PublicState::Waiting);
}

pub async fn a_fan_out_of_more_than_one_step_is_seen_by_the_next_claim(bench: &Bench) {
    const WIDTH: usize = 700;
    let mut args = super::call(bench, WIDTH + 1, &[]);
    for place in 1..=WIDTH {
        args.edges.push(ff_core::contracts::FlowLink::new(0, place));
        args.nodes[place].execution.lane_id = LaneId::new("wide");
    }
    let graph = super::submitted(bench, args).await;

    graph.complete(0).await;

    let mut claimed = 0;
    while let Some(held) = bench.claim().lane("wide").answer().await.unwrap() {
        held.complete(None).await.unwrap();
        claimed += 1;
    }
    assert_eq!(claimed, WIDTH);
    assert_eq!(graph.flow_state().await, "completed");
}

pub async fn settling_an_edge_again_changes_nothing(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    let seen = bench.engine.describe_flow_graph(&graph.flow).await.unwrap().unwrap();
    let args = |outcome: &str| {
        ResolveDependencyArgs::new(
            Partition { family: PartitionFamily::Flow, index: 0 },
            graph.flow.clone(),
            graph.nodes[1].clone(),
            graph.nodes[0].clone(),
            seen.edges[0].edge.edge_id.clone(),
            LaneId::new("n1"),
            AttemptIndex(0),
            outcome.to_owned(),
            bench.now(),
        )
    };
    let early = bench.engine.resolve_dependency(args("success"));
    bench.unchanged_by(early).await.must_be_validation(&ValidationKind::InvalidDependency);
    graph.complete(0).await;

    let again = bench.unchanged_by(bench.engine.resolve_dependency(args("success"))).await;
    assert_eq!(again.unwrap(), ResolveDependencyOutcome::AlreadyResolved);
    let other = bench.engine.resolve_dependency(args("failed"));
    bench.unchanged_by(other).await.must_be_validation(&ValidationKind::InvalidDependency);
    let payload = CompletionPayload::new(graph.nodes[0].clone(), "success", None, bench.now());
    let cascaded = bench.unchanged_by(bench.engine.cascade_completion(&payload)).await.unwrap();
    assert_eq!(cascaded, CascadeOutcome::synchronous(0, 0));
}

/// What one upstream said settles no edge of another.
pub async fn an_edge_is_settled_by_its_own_upstream_only(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 2), (1, 2)]).await;
    graph.complete(0).await;
    let seen = bench.engine.describe_flow_graph(&graph.flow).await.unwrap().unwrap();
    let of_running =
        seen.edges.iter().find(|edge| edge.edge.upstream_execution_id == graph.nodes[1]).unwrap();
    for upstream in [graph.nodes[0].clone(), bench.new_id()] {
        let args = ResolveDependencyArgs::new(
            Partition { family: PartitionFamily::Flow, index: 0 },
            graph.flow.clone(),
            graph.nodes[2].clone(),
            upstream,
            of_running.edge.edge_id.clone(),
            LaneId::new("n2"),
            AttemptIndex(0),
            "success".to_owned(),
            bench.now(),
        );

        let foreign = bench.unchanged_by(bench.engine.resolve_dependency(args)).await;

        foreign.must_be_validation(&ValidationKind::InvalidDependency);
    }
    assert_eq!(graph.state(2).await, PublicState::WaitingChildren);
}
