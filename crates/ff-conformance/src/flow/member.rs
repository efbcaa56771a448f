//! Flows and their members.

use ff_core::backend::FailureClass;
use ff_core::contracts::{
    AddExecutionToFlowArgs, AddExecutionToFlowResult, CreateFlowArgs, CreateFlowResult,
    EdgeDependencyPolicy, OnSatisfied,
};
use ff_core::engine_error::{ConflictKind, StateKind};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, Namespace};

use super::{empty, flow_state, graph, joined};
use crate::harness::{Bench, Refusal};

fn add(bench: &Bench, flow_id: &FlowId, execution_id: &ExecutionId) -> AddExecutionToFlowArgs {
    AddExecutionToFlowArgs {
        flow_id: flow_id.clone(),
        execution_id: execution_id.clone(),
        now: bench.now(),
    }
}

pub async fn a_flow_is_made_once(bench: &Bench) {
    let flow_id = empty(bench).await;
    let again = CreateFlowArgs {
        flow_id: flow_id.clone(),
        flow_kind: "other".to_owned(),
        namespace: Namespace::new("other"),
        now: bench.now(),
    };

    let answer = bench.unchanged_by(bench.engine.create_flow(again)).await.unwrap();

    assert_eq!(answer, CreateFlowResult::AlreadySatisfied { flow_id: flow_id.clone() });
    let seen = bench.engine.describe_flow(&flow_id).await.unwrap().unwrap();
    assert_eq!((seen.flow_kind.as_str(), seen.public_flow_state.as_str()), ("kind", "open"));
    assert_eq!((seen.graph_revision, seen.node_count, seen.edge_count), (0, 0, 0));
    assert_eq!(seen.created_at, bench.now());
}

pub async fn a_member_is_added_once(bench: &Bench) {
    let flow_id = empty(bench).await;
    let id = bench.submit().await;

    let added = bench.engine.add_execution_to_flow(add(bench, &flow_id, &id)).await.unwrap();
    let again =
        bench.unchanged_by(bench.engine.add_execution_to_flow(add(bench, &flow_id, &id))).await;

    let execution_id = id.clone();
    assert_eq!(added, AddExecutionToFlowResult::Added { execution_id, new_node_count: 1 });
    assert!(matches!(
        again.unwrap(),
        AddExecutionToFlowResult::AlreadyMember { node_count: 1, .. }
    ));
    let seen = bench.engine.describe_flow(&flow_id).await.unwrap().unwrap();
    assert_eq!((seen.graph_revision, seen.node_count), (1, 1));
    let of = bench.engine.resolve_execution_flow_id(&id).await.unwrap();
    assert_eq!(of, Some(flow_id));
}

pub async fn a_member_of_another_flow_is_refused(bench: &Bench) {
    let (first, second) = (empty(bench).await, empty(bench).await);
    let id = bench.submit().await;
    bench.engine.add_execution_to_flow(add(bench, &first, &id)).await.unwrap();

    bench
        .unchanged_by(bench.engine.add_execution_to_flow(add(bench, &second, &id)))
        .await
        .must_be_conflict(&ConflictKind::ExecutionAlreadyInFlow);
}

pub async fn what_is_missing_is_not_found(bench: &Bench) {
    let flow_id = empty(bench).await;
    let id = bench.submit().await;
    let to =
        |flow: &FlowId, id: &ExecutionId| bench.engine.add_execution_to_flow(add(bench, flow, id));

    to(&bench.new_flow_id(), &id).await.must_be_not_found("flow");
    to(&flow_id, &bench.new_id()).await.must_be_not_found("execution");
    assert!(
        to(&flow_id, &bench.new_id_in(4)).await.must_be_invalid().contains("expected 0, got 4")
    );
    assert_eq!(bench.engine.resolve_execution_flow_id(&id).await.unwrap(), None);
    assert_eq!(bench.engine.resolve_execution_flow_id(&bench.new_id()).await.unwrap(), None);
    assert_eq!(bench.engine.describe_flow(&bench.new_flow_id()).await.unwrap(), None);
}

pub async fn a_flow_is_open_running_blocked_and_then_ends_with_its_last_member(bench: &Bench) {
    let graph = graph(bench, 2, &[]).await;
    assert_eq!(graph.flow_state().await, "open");

    let held = graph.claim(0).await;
    assert_eq!(graph.flow_state().await, "running");
    held.delay(bench.after(50)).await.unwrap();
    assert_eq!(graph.flow_state().await, "blocked");
    bench.advance(50);
    graph.complete(0).await;
    assert_eq!(graph.flow_state().await, "open");
    graph.complete(1).await;
    assert_eq!(graph.flow_state().await, "completed");
}

pub async fn one_bad_end_makes_the_flow_failed(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1)]).await;

    graph.fail(0).await;
    graph.complete(2).await;

    assert_eq!(graph.flow_state().await, "failed");
}

/// A flow ends as those end that nothing else needs: they tell what became of the rest.
pub async fn a_bad_end_that_a_join_does_without_does_not(bench: &Bench) {
    let quorum = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
    let tolerant = joined(bench, 4, quorum).await;
    tolerant.fail(0).await;
    tolerant.complete(1).await;
    tolerant.complete(2).await;
    assert_eq!(tolerant.state(3).await, PublicState::Cancelled);
    tolerant.complete(4).await;
    assert_eq!(tolerant.flow_state().await, "completed");

    // The last one is skipped.
    let strict = joined(bench, 2, EdgeDependencyPolicy::all_of()).await;
    strict.complete(0).await;
    strict.fail(1).await;
    assert_eq!(strict.flow_state().await, "failed");
}

pub async fn a_flow_that_has_ended_takes_no_member(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    graph.complete(0).await;
    let id = bench.submit().await;

    bench
        .unchanged_by(bench.engine.add_execution_to_flow(add(bench, &graph.flow, &id)))
        .await
        .must_be_state(&StateKind::FlowAlreadyTerminal);
}

pub async fn one_that_has_ended_ends_the_flow_in_which_nobody_is_left(bench: &Bench) {
    let ended = bench.completed().await.proof.execution_id;
    let alone = empty(bench).await;
    let shared = graph(bench, 1, &[]).await;
    let to =
        |flow: &FlowId, id: &ExecutionId| bench.engine.add_execution_to_flow(add(bench, flow, id));

    to(&alone, &ended).await.unwrap();
    assert_eq!(flow_state(bench, &alone).await, "completed");

    let broken = bench.claimed().await;
    broken.fail("broken", FailureClass::Permanent).await.unwrap();
    to(&shared.flow, &broken.proof.execution_id).await.unwrap();
    assert_eq!(shared.flow_state().await, "open");
    shared.complete(0).await;
    assert_eq!(shared.flow_state().await, "failed");
}

pub async fn a_flow_ends_by_its_last_member_s_deadline_too(bench: &Bench) {
    let flow_id = empty(bench).await;
    let id = bench.submit().deadline(bench.after(10)).await;
    bench.engine.add_execution_to_flow(add(bench, &flow_id, &id)).await.unwrap();

    bench.advance(10);
    bench.sweep().await;

    assert_eq!(flow_state(bench, &flow_id).await, "failed");
}

pub async fn tags_are_set_and_read(bench: &Bench) {
    let flow_id = empty(bench).await;
    let engine = &bench.engine;

    engine.set_flow_tag(&flow_id, "app.owner", "a").await.unwrap();
    engine.set_flow_tag(&flow_id, "app.owner", "b").await.unwrap();

    assert_eq!(engine.get_flow_tag(&flow_id, "app.owner").await.unwrap().as_deref(), Some("b"));
    assert_eq!(engine.get_flow_tag(&flow_id, "app.other").await.unwrap(), None);
    assert_eq!(engine.get_flow_tag(&bench.new_flow_id(), "app.owner").await.unwrap(), None);
    let seen = engine.describe_flow(&flow_id).await.unwrap().unwrap();
    assert_eq!(seen.tags.get("app.owner").map(String::as_str), Some("b"));
    engine.set_flow_tag(&flow_id, "owner", "b").await.must_be_invalid();
    engine.set_flow_tag(&bench.new_flow_id(), "app.owner", "b").await.must_be_not_found("flow");
}
