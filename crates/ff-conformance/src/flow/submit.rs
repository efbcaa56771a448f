//! Submitting a whole graph.

use ff_core::contracts::{
    EdgeDependencyPolicy, EdgeResolution, FlowLink, OnSatisfied, SubmitFlowResult,
};
use ff_core::state::PublicState;
use ff_core::types::ExecutionId;

use super::{call, graph, submitted};
use crate::harness::{Bench, Refusal};

pub async fn roots_are_claimable_and_the_others_wait(bench: &Bench) {
    let graph = graph(bench, 4, &[(0, 1), (0, 2), (1, 3), (2, 3)]).await;

    let (waiting, waits) = (PublicState::Waiting, PublicState::WaitingChildren);
    assert_eq!(graph.states().await, [waiting, waits, waits, waits]);
    for place in 1..4 {
        bench.claim().lane(&super::lane(place)).nothing().await;
    }
    graph.claim(0).await;
}

pub async fn a_diamond_runs_from_its_root_to_its_end(bench: &Bench) {
    let graph = graph(bench, 4, &[(0, 1), (0, 2), (1, 3), (2, 3)]).await;

    graph.complete(0).await;
    graph.complete(2).await;
    assert_eq!(graph.state(3).await, PublicState::WaitingChildren);
    graph.complete(1).await;
    graph.complete(3).await;

    assert_eq!(graph.flow_state().await, "completed");
}

pub async fn the_same_graph_again_is_a_duplicate(bench: &Bench) {
    let args = call(bench, 3, &[(0, 1), (1, 2)]);
    let graph = submitted(bench, args.clone()).await;
    graph.complete(0).await;

    let again = bench.unchanged_by(bench.engine.submit_flow(args.clone())).await.unwrap();

    assert_eq!(again, SubmitFlowResult::Duplicate { flow_id: args.flow_id.clone() });
    let mut later = args.clone();
    later.nodes[1].execution.delay_until = Some(bench.after(10));
    later.nodes[1].execution.execution_deadline_at = Some(bench.after(1_000));
    let again = bench.unchanged_by(bench.engine.submit_flow(later)).await.unwrap();
    assert_eq!(again, SubmitFlowResult::Duplicate { flow_id: args.flow_id.clone() });

    let mut fewer = args.clone();
    fewer.edges.pop();
    let mut urgent = args.clone();
    urgent.nodes[1].execution.priority += 1;
    let mut tagged = args;
    tagged.nodes[2].execution.tags.insert("app.owner".to_owned(), "x".to_owned());
    for other in [fewer, urgent, tagged] {
        let told = bench.unchanged_by(bench.engine.submit_flow(other)).await.must_be_invalid();
        assert!(told.contains("another graph"), "{told}");
    }
}

pub async fn a_cycle_is_refused_by_its_node(bench: &Bench) {
    let args = call(bench, 3, &[(0, 1), (1, 2), (2, 1)]);

    let told = bench.unchanged_by(bench.engine.submit_flow(args)).await.must_be_invalid();

    assert!(told.contains("cycle") && told.contains("node "), "{told}");
}

pub async fn a_graph_that_cannot_run_is_refused_and_leaves_nothing(bench: &Bench) {
    let mut unknown = call(bench, 2, &[]);
    unknown.edges.push(FlowLink::new(0, 7));
    let mut twice = call(bench, 2, &[]);
    twice.nodes[1].execution.execution_id = twice.nodes[0].execution.execution_id.clone();
    let mut quorum = call(bench, 2, &[(0, 1)]);
    quorum.nodes[1].join = EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run());
    let mut stored = call(bench, 2, &[]);
    stored.nodes[1].execution.execution_id = bench.submit().await;
    let mut far = call(bench, 1, &[]);
    far.nodes[0].execution.execution_id =
        ExecutionId::from_parts(3, far.nodes[0].execution.execution_id.uuid());
    let mut bad_node = call(bench, 2, &[(0, 1)]);
    bad_node.nodes[1].execution.execution_kind = "x".repeat(129);

    for (args, reason) in [
        (call(bench, 0, &[]), "0 nodes"),
        (call(bench, 1, &[(0, 0)]), "depends on itself"),
        (unknown, "no node 7"),
        (twice, "has the id of node 0"),
        (quorum, "wants 2 upstreams"),
        (stored, "exists"),
        (far, "expected 0, got 3"),
        (bad_node, "execution_kind"),
    ] {
        let told = bench.unchanged_by(bench.engine.submit_flow(args)).await.must_be_invalid();
        assert!(told.contains(reason), "{told}");
    }
}

pub async fn a_delayed_node_waits_for_both(bench: &Bench) {
    let mut args = call(bench, 2, &[(0, 1)]);
    args.nodes[1].execution.delay_until = Some(bench.after(1_000));
    let graph = submitted(bench, args).await;

    graph.complete(0).await;

    assert_eq!(graph.state(1).await, PublicState::Delayed);
    bench.advance(999);
    bench.claim().lane("n1").nothing().await;
    bench.advance(1);
    graph.claim(1).await;
}

pub async fn a_result_is_passed_down_an_edge_that_asks_for_it(bench: &Bench) {
    let mut args = call(bench, 3, &[(0, 1), (0, 2)]);
    args.edges[0].data_passing_ref = Some("input".to_owned());
    let graph = submitted(bench, args).await;
    let long = vec![7; 5_000];

    graph.claim(0).await.complete(Some(&long)).await.unwrap();

    let input = |place: usize| bench.engine.read_execution_context(&graph.nodes[place]);
    assert_eq!(input(1).await.unwrap().input_payload, long);
    assert_eq!(input(2).await.unwrap().input_payload, b"input");
}

pub async fn a_graph_shows_its_nodes_and_what_became_of_its_edges(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1), (1, 2)]).await;
    graph.complete(0).await;
    graph.fail(1).await;

    let seen = bench.engine.describe_flow_graph(&graph.flow).await.unwrap().unwrap();

    let states: Vec<PublicState> = seen.nodes.iter().map(|node| node.public_state).collect();
    assert_eq!(states, [PublicState::Completed, PublicState::Failed, PublicState::Skipped]);
    let became = |up: usize| {
        let edge = |edge: &&ff_core::contracts::FlowGraphEdge| {
            edge.edge.upstream_execution_id == graph.nodes[up]
        };
        seen.edges.iter().find(edge).unwrap().resolution
    };
    assert_eq!(became(0), EdgeResolution::Satisfied);
    assert_eq!(became(1), EdgeResolution::Impossible);
    assert_eq!((seen.flow.node_count, seen.flow.edge_count, seen.is_truncated), (3, 2, false));
    assert_eq!(bench.engine.describe_flow_graph(&bench.new_flow_id()).await.unwrap(), None);
}
