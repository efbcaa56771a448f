//! What retention keeps of flows, and what it takes.

use ff_core::state::PublicState;

use super::apply::applying;
use super::graph;
use super::stage::{edge, members};
use crate::harness::{Bench, Refusal};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

pub async fn an_upstream_is_kept_while_its_flow_goes_on(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1)]).await;
    graph.complete(0).await;

    bench.advance(2 * DAY_MS);
    bench.sweep().await;
    assert!(bench.engine.describe_execution(&graph.nodes[0]).await.unwrap().is_some());

    graph.complete(1).await;
    graph.complete(2).await;
    bench.advance(2 * DAY_MS);
    bench.sweep().await;
    bench.sweep().await;
    for node in &graph.nodes {
        assert!(bench.engine.describe_execution(node).await.unwrap().is_none());
    }
    // The flow itself is kept as long as events are, and goes once it is empty.
    if let Some(seen) = bench.engine.describe_flow_graph(&graph.flow).await.unwrap() {
        assert!(seen.nodes.is_empty() && seen.edges.is_empty());
        assert!(seen.flow.edge_groups.is_empty());
    }
    bench.advance(10 * DAY_MS);
    bench.sweep().await;
    assert_eq!(bench.engine.describe_flow(&graph.flow).await.unwrap(), None);
}

pub async fn others_are_not_kept_by_a_flow_that_goes_on(bench: &Bench) {
    let graph = graph(bench, 2, &[]).await;
    graph.complete(0).await;
    let alone = bench.completed().await;

    bench.advance(2 * DAY_MS);
    bench.sweep().await;

    assert!(bench.engine.describe_execution(alone.execution()).await.unwrap().is_none());
    assert!(bench.engine.describe_execution(&graph.nodes[0]).await.unwrap().is_some());
}

pub async fn an_edge_from_an_upstream_that_is_gone_is_refused(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let drawn = edge(bench, &flow, [&ids[0], &ids[1]], 2);
    bench.engine.stage_dependency_edge(drawn.clone()).await.unwrap();
    bench.claim().lane("n0").await.complete(None).await.unwrap();
    bench.advance(DAY_MS - 1_000);
    bench.claim().lane("n1").await.complete(None).await.unwrap();
    bench.advance(2_000);
    bench.sweep().await;
    assert!(bench.engine.describe_execution(&ids[0]).await.unwrap().is_none());
    bench.replay(&ids[1]).await.unwrap();

    let late = bench.engine.apply_dependency_to_child(applying(bench, &drawn)).await;

    late.must_be_not_found("execution");
    assert_eq!(bench.state(&ids[1]).await, PublicState::Waiting);
}
