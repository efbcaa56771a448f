//! Flows across processes: what one leaves undone, another finds in the outbox.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteBackend};
use ff_core::backend::{CancelFlowPolicy, CancelFlowWait, CapabilitySet, ClaimPolicy};
use ff_core::clock::{Clock, ManualClock};
use ff_core::contracts::{
    CancelFlowArgs, EdgeDependencyPolicy, EvaluateFlowEligibilityArgs,
    EvaluateFlowEligibilityResult, FlowLink, FlowNode, OnSatisfied, SubmitFlowArgs,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, LaneId, Namespace, TimestampMs};
use support::{PATIENCE, Stopwatch, claim, options, work};

async fn open(path: &Path) -> Arc<SqliteBackend> {
    options(path).sweeps(false).durability(Durability::Normal).open().await.unwrap()
}

fn graph(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> SubmitFlowArgs {
    SubmitFlowArgs {
        flow_id: FlowId::new(),
        flow_kind: "kind".to_owned(),
        namespace: Namespace::new("tests"),
        tags: BTreeMap::new(),
        nodes: (0..nodes).map(|_| FlowNode::new(work(b""))).collect(),
        edges: edges.into_iter().map(|(up, down)| FlowLink::new(up, down)).collect(),
    }
}

fn ids(args: &SubmitFlowArgs) -> Vec<ExecutionId> {
    args.nodes.iter().map(|node| node.execution.execution_id.clone()).collect()
}

async fn state(engine: &SqliteBackend, id: &ExecutionId) -> PublicState {
    engine.read_execution_state(id).await.unwrap().unwrap()
}

/// More dependants than a step settles: the process that completes the root dies behind its first step.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_in_the_outbox_is_settled_by_the_next_one() {
    const WIDTH: usize = 600;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let args = graph(WIDTH + 1, (1..=WIDTH).map(|leaf| (0, leaf)));
    let nodes = ids(&args);
    {
        let first = open(&path).await;
        first.submit_flow(args).await.unwrap();
        let root = claim(&first, "first", 30_000, 1, None).await.unwrap().pop().unwrap();
        first.complete(&root.handle, None).await.unwrap();
        let mut waiting = 0;
        for node in &nodes[1..] {
            waiting += usize::from(state(&first, node).await == PublicState::WaitingChildren);
        }
        assert_eq!(waiting, WIDTH - 256, "one step, and no more");
    }
    let second = open(&path).await;

    let mut taken = BTreeSet::new();
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        let works = claim(&second, "second", 30_000, 200, None).await.unwrap();
        if works.is_empty() {
            break;
        }
        taken.extend(works.into_iter().map(|work| work.execution_id.to_string()));
    }
    assert_eq!(taken.len(), WIDTH);
    assert!(second.verify().await.unwrap().is_clean());
}

/// An end that is stored with its announcement and none of its edges: the process died in between.
#[tokio::test(flavor = "multi_thread")]
async fn an_announced_end_moves_its_dependants_whoever_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("announced.db");
    let engine = open(&path).await;
    let args = graph(2, [(0, 1)]);
    let nodes = ids(&args);
    engine.submit_flow(args.clone()).await.unwrap();
    let outside = rusqlite::Connection::open(&path).unwrap();
    let root = nodes[0].uuid().into_bytes();

    outside
        .execute(
            "UPDATE ff_exec_core
            SET lifecycle_phase = 'terminal', eligibility_state = 'not_applicable', blocking_reason = NULL,
                public_state = 'completed', attempt_state = 'attempt_terminal', terminal_outcome = 'success',
                terminal_at_ms = created_at_ms + 1
            WHERE execution_id = ?1",
            [&root[..]],
        )
        .unwrap();
    outside
        .execute(
            "INSERT INTO ff_completion_event (partition_key, execution_id, flow_id, outcome, occurred_at_ms)
            VALUES (0, ?1, ?2, 'success', 5)",
            [&root[..], &args.flow_id.as_bytes()[..]],
        )
        .unwrap();
    assert_eq!(state(&engine, &nodes[1]).await, PublicState::WaitingChildren);

    let taken = claim(&engine, "w", 30_000, 9, None).await.unwrap();

    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].execution_id, nodes[1]);
    engine.complete(&taken[0].handle, None).await.unwrap();
    let flow = engine.describe_flow(&args.flow_id).await.unwrap().unwrap();
    assert_eq!(flow.public_flow_state, "completed");
}

/// The same announcement, read twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_is_read_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.db");
    let engine = open(&path).await;
    let mut args = graph(3, [(0, 2), (1, 2)]);
    args.nodes[2].join = EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run());
    let nodes = ids(&args);
    engine.submit_flow(args).await.unwrap();
    let first = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&first.handle, None).await.unwrap();

    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE ff_completion_event SET dispatched_at_ms = NULL", [])
        .unwrap();
    engine.sweep().await.unwrap();

    assert_eq!(state(&engine, &nodes[2]).await, PublicState::WaitingChildren);
    assert!(engine.verify().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_losers_of_a_group_and_the_members_of_a_cancelled_flow_are_reached_across_a_crash() {
    const WIDTH: usize = 700;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("losers.db");
    let mut any = graph(WIDTH + 1, (0..WIDTH).map(|leaf| (leaf, WIDTH)));
    any.nodes[WIDTH].join = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
    let mut losers = ids(&any);
    let large = graph(WIDTH, []);
    let members = ids(&large);
    {
        let first = open(&path).await;
        first.submit_flow(any).await.unwrap();
        let winner = claim(&first, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
        first.complete(&winner.handle, None).await.unwrap();
        losers.retain(|id| *id != winner.execution_id);
        first.submit_flow(large.clone()).await.unwrap();
        let all = CancelFlowPolicy::CancelAll;
        first.cancel_flow(&large.flow_id, all, CancelFlowWait::NoWait).await.unwrap();
    }
    let second = open(&path).await;

    for _ in 0..12 {
        second.sweep().await.unwrap();
    }

    let last = losers.pop().unwrap();
    assert_eq!(state(&second, &last).await, PublicState::Waiting, "the group is satisfied");
    for id in losers.iter().chain(&members) {
        assert_eq!(state(&second, id).await, PublicState::Cancelled);
        let ends = second.list_transitions(id, None, 99).await.unwrap();
        let cancelled = ends.iter().filter(|row| row.to_state == PublicState::Cancelled).count();
        assert_eq!(cancelled, 1);
    }
    assert!(second.verify().await.unwrap().is_clean());
}

/// No sweep is needed: who asks for work settles what stands in front of it, whichever lane is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn claims_reach_the_losers_of_a_group_that_one_step_did_not() {
    const WIDTH: usize = 700;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("losers.db")).await;
    let mut any = graph(WIDTH + 1, (0..WIDTH).map(|leaf| (leaf, WIDTH)));
    any.nodes[WIDTH].join = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
    let mut losers = ids(&any);
    let _: ExecutionId = losers.pop().unwrap();
    engine.submit_flow(any).await.unwrap();
    let winner = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&winner.handle, None).await.unwrap();
    losers.retain(|id| *id != winner.execution_id);
    let left = async || {
        let mut left = 0;
        for id in &losers {
            left += usize::from(state(&engine, id).await != PublicState::Cancelled);
        }
        left
    };
    assert!(left().await > 0, "one step reaches them all: make the group wider");

    let elsewhere = LaneId::new("elsewhere");
    let policy = ClaimPolicy::new("w".into(), "w".into(), 30_000, None);
    for _ in 0..12 {
        let found = engine
            .claim(&elsewhere, &CapabilitySet::new::<_, &str>([]), policy.clone())
            .await
            .unwrap();
        assert!(found.is_none());
    }

    assert_eq!(left().await, 0);
}

/// Rows that tools wrote, with the contract's columns only.
#[tokio::test(flavor = "multi_thread")]
async fn edges_that_sql_wrote_say_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outside.db");
    let engine = open(&path).await;
    let (up, down) = (work(b""), work(b""));
    let [up_id, down_id] = [&up, &down].map(|args| args.execution_id.clone());
    engine.create_execution(up).await.unwrap();
    engine.create_execution(down).await.unwrap();
    let flow = FlowId::new();
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside
        .execute(
            "INSERT INTO ff_flow_core (partition_key, flow_id, public_flow_state, created_at_ms) VALUES (0, ?1, 'open', 1)",
            [&flow.as_bytes()[..]],
        )
        .unwrap();
    outside.execute("UPDATE ff_exec_core SET flow_id = ?1", [&flow.as_bytes()[..]]).unwrap();
    outside
        .execute(
            r#"INSERT INTO ff_edge (partition_key, flow_id, edge_id, upstream_eid, downstream_eid, policy)
            VALUES (0, ?1, ?1, ?2, ?3, '{"kind": "required"}')"#,
            [&flow.as_bytes()[..], &up_id.uuid().into_bytes()[..], &down_id.uuid().into_bytes()[..]],
        )
        .unwrap();
    let says = async || {
        let args = EvaluateFlowEligibilityArgs { execution_id: down_id.clone() };
        let EvaluateFlowEligibilityResult::Status { status } =
            engine.evaluate_flow_eligibility(args).await.unwrap();
        status
    };

    assert_eq!(says().await, "blocked_by_dependencies");
    let taken = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    assert_eq!(taken.execution_id, up_id);
    engine.complete(&taken.handle, None).await.unwrap();
    assert_eq!(says().await, "eligible");
    let seen = engine.describe_flow(&flow).await.unwrap().unwrap();
    assert_eq!((seen.public_flow_state.as_str(), seen.graph_revision), ("open", 0));
}

/// A chain half-way, a group that has cancelled its losers, and a cancelled flow.
async fn made(path: &Path) {
    let engine = open(path).await;
    engine.submit_flow(graph(3, [(0, 1), (1, 2)])).await.unwrap();
    let root = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&root.handle, None).await.unwrap();
    let mut any = graph(4, [(0, 3), (1, 3), (2, 3)]);
    any.nodes[3].join = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
    for node in &mut any.nodes {
        node.execution.priority = 5;
    }
    engine.submit_flow(any).await.unwrap();
    let winner = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&winner.handle, None).await.unwrap();
    let cancelled = graph(2, []);
    engine.submit_flow(cancelled.clone()).await.unwrap();
    let all = CancelFlowPolicy::CancelAll;
    engine.cancel_flow(&cancelled.flow_id, all, CancelFlowWait::WaitIndefinite).await.unwrap();
    let report = engine.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_to_a_flow_is_found() {
    for (check, damage) in [
        (
            "I19",
            "INSERT INTO ff_edge (partition_key, flow_id, edge_id, upstream_eid, downstream_eid, policy)
             SELECT partition_key, flow_id, downstream_eid, downstream_eid, upstream_eid, '{}' FROM ff_edge LIMIT 1",
        ),
        (
            "I19",
            "UPDATE ff_flow_core SET terminal_at_ms = 5, public_flow_state = 'completed'
             WHERE public_flow_state = 'open'",
        ),
        (
            "I20",
            "UPDATE ff_edge SET resolved_outcome = 'failed' WHERE resolved_outcome = 'success'",
        ),
        (
            "I20",
            "UPDATE ff_edge SET resolved_outcome = NULL WHERE resolved_outcome = 'success'",
        ),
        ("I21", "UPDATE ff_edge_group SET running_count = 9 WHERE running_count = 1"),
        (
            "I21",
            "UPDATE ff_exec_core SET eligibility_state = 'eligible_now', blocking_reason = 'waiting_for_worker',
                 public_state = 'waiting'
             WHERE eligibility_state = 'blocked_by_dependencies'",
        ),
        (
            "I22",
            "UPDATE ff_edge SET resolved_outcome = NULL WHERE resolved_outcome = 'cancelled';
             UPDATE ff_exec_core
             SET lifecycle_phase = 'runnable', eligibility_state = 'eligible_now', public_state = 'waiting'
             WHERE cancellation_reason = 'sibling_quorum_satisfied'",
        ),
        (
            "flows",
            "UPDATE ff_exec_core
             SET lifecycle_phase = 'runnable', eligibility_state = 'eligible_now', public_state = 'waiting'
             WHERE cancelled_by = 'cancel_flow'",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("damaged.db");
        made(&path).await;
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();

        let report = open(&path).await.verify().await.unwrap();

        let fired: Vec<_> = report.failed().map(|check| check.name.as_str()).collect();
        assert!(fired.contains(&check), "{damage}: {report}");
    }
}

fn damage(path: &Path, sql: &str, flow: &FlowId) {
    let outside = rusqlite::Connection::open(path).unwrap();
    assert!(outside.execute(sql, [&flow.as_bytes()[..]]).unwrap() > 0);
}

/// Whatever stands in the way of a flow, other work is claimed at once.
async fn goes_on_claiming(engine: &SqliteBackend) {
    for _ in 0..6 {
        let mut other = work(b"");
        other.priority = 9;
        engine.create_execution(other.clone()).await.unwrap();
        let taken = claim(engine, "w", 30_000, 1, None).await.unwrap();
        assert_eq!(taken.first().map(|work| &work.execution_id), Some(&other.execution_id));
    }
}

const NO_FIELDS: &str = "UPDATE ff_flow_core SET raw_fields = '[]' WHERE flow_id = ?1";

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_cannot_be_read_hides_no_other_from_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let engine = open(&path).await;
    let mut flows = Vec::new();
    for _ in 0..6 {
        let args = graph(1, []);
        engine.submit_flow(args.clone()).await.unwrap();
        flows.push(args.flow_id);
    }
    flows.sort_by_key(|flow| flow.0);
    damage(&path, NO_FIELDS, &flows[1]);
    let partition = PartitionKey::from(&Partition { family: PartitionFamily::Flow, index: 0 });

    let (mut seen, mut cursor) = (0, None);
    loop {
        let page = engine.list_flows(partition.clone(), cursor, 2).await.unwrap();
        seen += page.flows.len();
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!(seen, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_flow_that_nobody_acknowledged_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.db");
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let ticking: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let engine = options(&path).clock(ticking).sweeps(false).open().await.unwrap();
    let args = graph(2, [(0, 1)]);
    engine.submit_flow(args.clone()).await.unwrap();
    let header = CancelFlowArgs {
        flow_id: args.flow_id.clone(),
        reason: "no".to_owned(),
        cancellation_policy: "cancel_all".to_owned(),
        now: TimestampMs(0),
    };
    engine.cancel_flow_header(header).await.unwrap();

    for _ in 0..6 {
        clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
        engine.sweep().await.unwrap();
    }

    assert!(engine.describe_flow(&args.flow_id).await.unwrap().is_none(), "its time is over");
    let outside = rusqlite::Connection::open(&path).unwrap();
    for table in ["ff_cancel_backlog", "ff_cancel_backlog_member", "ff_pending_cancel_groups"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let left: i64 = outside.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

/// A graph with more members than one step settles.
async fn wide(engine: &SqliteBackend) -> SubmitFlowArgs {
    const WIDTH: usize = 600;
    let args = graph(WIDTH + 1, (1..=WIDTH).map(|leaf| (0, leaf)));
    engine.submit_flow(args.clone()).await.unwrap();
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_end_in_a_flow_that_cannot_be_read_holds_up_no_other_flow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let engine = open(&path).await;
    let flow = wide(&engine).await;
    let root = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&root.handle, None).await.unwrap();
    damage(&path, NO_FIELDS, &flow.flow_id);
    let mut sound = graph(2, [(0, 1)]);
    sound.nodes[0].execution.priority = 9;
    let nodes = ids(&sound);
    engine.submit_flow(sound).await.unwrap();
    let first = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    assert_eq!(first.execution_id, nodes[0]);

    engine.complete(&first.handle, None).await.unwrap();
    engine.sweep().await.unwrap();

    assert_eq!(state(&engine, &nodes[1]).await, PublicState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decided_group_that_cannot_be_read_holds_up_no_claim() {
    const WIDTH: usize = 600;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let engine = open(&path).await;
    let mut any = graph(WIDTH + 1, (0..WIDTH).map(|leaf| (leaf, WIDTH)));
    any.nodes[WIDTH].join = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
    engine.submit_flow(any.clone()).await.unwrap();
    let winner = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop().unwrap();
    engine.complete(&winner.handle, None).await.unwrap();
    let sql = r#"UPDATE ff_edge_group SET policy = '{"kind": "nonsense"}' WHERE flow_id = ?1"#;
    damage(&path, sql, &any.flow_id);

    goes_on_claiming(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_flow_that_cannot_be_read_holds_up_no_claim() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let engine = open(&path).await;
    let flow = wide(&engine).await;
    let all = CancelFlowPolicy::CancelAll;
    engine.cancel_flow(&flow.flow_id, all, CancelFlowWait::NoWait).await.unwrap();
    damage(&path, NO_FIELDS, &flow.flow_id);

    goes_on_claiming(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_be_read_holds_up_no_other_cancelled_flow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let engine = open(&path).await;
    let (broken, sound) = (graph(2, [(0, 1)]), graph(2, [(0, 1)]));
    engine.submit_flow(broken.clone()).await.unwrap();
    engine.submit_flow(sound.clone()).await.unwrap();
    damage(
        &path,
        "UPDATE ff_exec_core SET lifecycle_phase = 'nonsense' WHERE flow_id = ?1",
        &broken.flow_id,
    );
    let all = CancelFlowPolicy::CancelAll;
    engine.cancel_flow(&broken.flow_id, all, CancelFlowWait::NoWait).await.unwrap();

    engine.cancel_flow(&sound.flow_id, all, CancelFlowWait::NoWait).await.unwrap();
    engine.sweep().await.unwrap();

    for id in ids(&sound) {
        assert_eq!(state(&engine, &id).await, PublicState::Cancelled);
    }
}
