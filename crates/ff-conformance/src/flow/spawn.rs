//! Work that brings work: a child stored under its parent's lease.

use ff_core::contracts::{CreateExecutionArgs, SpawnExecutionArgs, SpawnExecutionResult};
use ff_core::engine_error::{ConflictKind, StateKind};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, LaneId};

use super::{Graph, graph};
use crate::harness::{Bench, Held, Refusal};

const CHILDREN: &str = "children";

fn child(bench: &Bench) -> CreateExecutionArgs {
    CreateExecutionArgs { lane_id: LaneId::new(CHILDREN), ..bench.submit().args() }
}

fn keyed(bench: &Bench, key: &str) -> CreateExecutionArgs {
    CreateExecutionArgs { idempotency_key: Some(key.to_owned()), ..child(bench) }
}

async fn spawn(bench: &Bench, parent: &Held, args: SpawnExecutionArgs) -> ExecutionId {
    match bench.engine.spawn_execution(&parent.handle, args).await.expect("a child") {
        SpawnExecutionResult::Spawned { execution_id, .. } => execution_id,
        other => panic!("{other:?}"),
    }
}

async fn flow_of(bench: &Bench, id: &ExecutionId) -> Option<FlowId> {
    bench.engine.resolve_execution_flow_id(id).await.expect("a read")
}

/// How many members and edges the flow has.
async fn size(bench: &Bench, graph: &Graph<'_>) -> (u32, u32, u64) {
    let flow = bench.engine.describe_flow(&graph.flow).await.expect("a read").expect("a flow");
    (flow.node_count, flow.edge_count, flow.graph_revision)
}

pub async fn a_child_is_in_line_in_the_flow_of_its_parent(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    let parent = graph.claim(0).await;

    let id = spawn(bench, &parent, SpawnExecutionArgs::new(child(bench))).await;

    assert_eq!(bench.state(&id).await, PublicState::Waiting);
    assert_eq!(flow_of(bench, &id).await, Some(graph.flow.clone()));
    assert_eq!(bench.causes(&id).await, ["created"]);
    assert_eq!(size(bench, &graph).await, (2, 0, 2));
    parent.complete(None).await.unwrap();
    assert_eq!(graph.flow_state().await, "open");
    bench.claim().lane(CHILDREN).await.complete(None).await.unwrap();
    assert_eq!(graph.flow_state().await, "completed");
}

pub async fn its_parent_waits_for_a_child_that_it_joins(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    let parent = graph.claim(0).await;
    let joined = SpawnExecutionArgs::new(child(bench)).joined();
    let id = spawn(bench, &parent, joined).await;
    spawn(bench, &parent, SpawnExecutionArgs::new(child(bench))).await;
    assert_eq!(size(bench, &graph).await, (3, 1, 4));

    bench.engine.wait_children(&parent.handle).await.unwrap();

    assert_eq!(graph.state(0).await, PublicState::WaitingChildren);
    let held = bench.claim().lane(CHILDREN).await;
    assert_eq!(*held.execution(), id);
    held.complete(None).await.unwrap();
    graph.claim(0).await.complete(None).await.unwrap();
}

pub async fn a_child_without_a_flow_is_an_execution_like_any_other(bench: &Bench) {
    let parent = bench.claimed().await;

    let id = spawn(bench, &parent, SpawnExecutionArgs::new(child(bench))).await;

    assert_eq!(flow_of(bench, &id).await, None);
    bench.claim().lane(CHILDREN).await.complete(None).await.unwrap();
}

pub async fn a_join_without_a_flow_is_refused(bench: &Bench) {
    let parent = bench.claimed().await;
    let joined = SpawnExecutionArgs::new(child(bench)).joined();

    let refused = bench.engine.spawn_execution(&parent.handle, joined);

    bench.unchanged_by(refused).await.must_be_state(&StateKind::ExecutionNotInFlow);
}

pub async fn without_a_live_lease_nothing_is_stored(bench: &Bench) {
    let graph = graph(bench, 3, &[]).await;
    let (parked, lapsed, ended) =
        (graph.claim(0).await, graph.claim(1).await, graph.claim(2).await);
    parked.delay(bench.after(60_000)).await.unwrap();
    ended.complete(None).await.unwrap();
    let spawn = |held: &Held| {
        let args = SpawnExecutionArgs::new(child(bench)).joined();
        let handle = held.handle.clone();
        async move { bench.engine.spawn_execution(&handle, args).await }
    };

    bench.unchanged_by(spawn(&parked)).await.must_be_not_active();
    bench.unchanged_by(spawn(&ended)).await.must_be_not_active();
    bench.advance_to(lapsed.expires_at().await);
    bench.sweep().await;
    assert!(bench.unchanged_by(spawn(&lapsed)).await.is_err());
}

pub async fn a_flow_that_was_cancelled_takes_no_child(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    let parent = graph.claim(0).await;
    let args = ff_core::contracts::CancelFlowArgs {
        flow_id: graph.flow.clone(),
        reason: "enough".to_owned(),
        cancellation_policy: "cancel_pending".to_owned(),
        now: bench.now(),
    };
    bench.engine.cancel_flow_header(args).await.unwrap();

    for args in
        [SpawnExecutionArgs::new(child(bench)), SpawnExecutionArgs::new(child(bench)).joined()]
    {
        let refused = bench.engine.spawn_execution(&parent.handle, args);
        bench.unchanged_by(refused).await.must_be_state(&StateKind::FlowAlreadyTerminal);
    }
    parent.complete(None).await.unwrap();
}

pub async fn what_a_create_refuses_is_refused_whole(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    let parent = graph.claim(0).await;
    let unnamed = CreateExecutionArgs { execution_kind: "k".repeat(129), ..child(bench) };
    let elsewhere = CreateExecutionArgs { execution_id: bench.new_id_in(7), ..child(bench) };

    for execution in [unnamed, elsewhere] {
        let args = SpawnExecutionArgs::new(execution).joined();
        let refused = bench.engine.spawn_execution(&parent.handle, args);
        bench.unchanged_by(refused).await.must_be_invalid();
    }
}

pub async fn a_repeat_by_key_or_id_is_the_same_child(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    let parent = graph.claim(0).await;
    let first = keyed(bench, "one");
    let id = spawn(bench, &parent, SpawnExecutionArgs::new(first.clone()).joined()).await;
    bench.let_lease_expire(&parent).await;
    let parent = graph.claim(0).await;
    let again = CreateExecutionArgs { execution_id: bench.new_id(), ..first.clone() };

    for execution in [first, again] {
        let args = SpawnExecutionArgs::new(execution).joined();
        let answer = bench.unchanged_by(bench.engine.spawn_execution(&parent.handle, args)).await;
        let flow_id = Some(graph.flow.clone());
        let execution_id = id.clone();
        assert_eq!(answer.unwrap(), SpawnExecutionResult::Duplicate { execution_id, flow_id });
    }
    assert_eq!(size(bench, &graph).await, (2, 1, 3));
}

pub async fn a_key_of_something_else_is_refused(bench: &Bench) {
    let graph = graph(bench, 2, &[]).await;
    let parent = graph.claim(0).await;
    let (outside, alone, joined) =
        (keyed(bench, "outside"), keyed(bench, "alone"), keyed(bench, "joined"));
    bench.engine.create_execution(outside.clone()).await.unwrap();
    spawn(bench, &parent, SpawnExecutionArgs::new(alone.clone())).await;
    spawn(bench, &parent, SpawnExecutionArgs::new(joined.clone()).joined()).await;
    let other = graph.claim(1).await;

    for (by, known, joins) in
        [(&parent, outside, false), (&parent, alone, true), (&other, joined, true)]
    {
        let execution_id = known.execution_id.clone();
        let execution = CreateExecutionArgs { execution_id: bench.new_id(), ..known };
        let args = SpawnExecutionArgs { execution, joins };
        let refused = bench.engine.spawn_execution(&by.handle, args);
        let reuse = ConflictKind::IdempotencyKeyReuse { execution_id };
        bench.unchanged_by(refused).await.must_be_conflict(&reuse);
    }
}
