//! The lifecycle page shows what the rules do: this test walks every road there is and compares.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use ff_core::contracts::{CreateExecutionArgs, FlowLink, FlowNode, SubmitFlowArgs};
use ff_core::machine::flow::SubmitFlow;
use ff_core::machine::state::legal_transitions;
use ff_core::machine::{Command as _, Context, Event, Limits, Snapshot, TransitionRow};
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy, TimeoutPolicy};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, LaneId, Namespace, TimestampMs};
use support::{
    Ask, DELAY_MS, FLOW_OPERATIONS, LEASE_MS, OPERATIONS, World, create, create_delayed, due,
    upstream_runs_again,
};

const PAGE: &str = "../../docs/lifecycle.md";
const BEGIN: &str = "<!-- generated:lifecycle -->\n";
const END: &str = "<!-- /generated -->\n";

/// Places in [`PublicState::ALL`]; nothing comes before the first.
type Pair = (Option<usize>, usize);

fn place(state: PublicState) -> usize {
    let place = PublicState::ALL.iter().position(|&known| known == state);
    place.expect("every state is listed")
}

/// One retry, one reclaim and one replay, so that every road ends.
fn policy(attempt_timeout_ms: Option<u64>, execution_deadline_ms: Option<u64>) -> ExecutionPolicy {
    ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries: 1,
            backoff: BackoffStrategy::Fixed { delay_ms: DELAY_MS },
            retryable_categories: Vec::new(),
        }),
        timeout_policy: Some(TimeoutPolicy {
            attempt_timeout_ms,
            execution_deadline_ms,
            max_reclaim_count: 1,
        }),
        max_replay_count: 1,
        ..ExecutionPolicy::default()
    }
}

/// The worlds that a first command leads to.
fn beginnings() -> Vec<World> {
    let mut worlds = Vec::new();
    let times = [
        (None, None),
        (Some(LEASE_MS / 2), None),
        (None, Some(LEASE_MS / 2)),
        (None, Some(DELAY_MS / 2)),
    ];
    for (timeout, deadline) in times {
        for create in [create, create_delayed] {
            let mut world = World::new(TimestampMs(1_000_000));
            world.policy = Some(policy(timeout, deadline));
            create(&mut world).expect("an empty store accepts it");
            worlds.push(world);
        }
    }
    worlds
}

/// Each instant at which something happens by itself.
fn instants(world: &World) -> BTreeSet<TimestampMs> {
    let Some(execution) = world.execution() else { return BTreeSet::new() };
    let lease = world.rows.current(execution).and_then(|attempt| attempt.lease_expires_at);
    let suspension = world.rows.waiting.suspension.open_suspension();
    let timeout = suspension.and_then(|suspension| suspension.timeout_at);
    let times = [
        execution.eligible_at,
        execution.attempt_timeout_at,
        execution.deadline_at,
        lease,
        timeout,
    ];
    times.into_iter().flatten().filter(|at| *at > world.now).collect()
}

/// What tells two worlds apart as far as the rules go: all but the ids, epochs and instants.
fn standing(world: &World) -> String {
    let Some(row) = world.execution() else { return String::new() };
    let attempt = world.rows.current(row).map(|attempt| attempt.outcome);
    let counts = (row.retry_count, row.reclaim_count, row.replay_count);
    let is_held = attempt.is_some() && row.is_leased() && row.epoch == world.held.lease_epoch;
    let ahead: Vec<bool> = [row.deadline_at, row.attempt_timeout_at, row.eligible_at]
        .iter()
        .map(|at| at.is_some_and(|at| at > world.now))
        .collect();
    let waits = world.rows.waiting.suspension.open_suspension().map(|suspension| {
        (suspension.timeout_at.is_some_and(|at| at > world.now), suspension.timeout_behavior)
    });
    let flow = world.rows.flow.as_ref().map(|flow| (flow.state, flow.cancel.is_some()));
    let edge = world.rows.edge.as_ref().map(|edge| edge.resolved.map(|end| end.outcome));
    let upstream = world.rows.upstream.as_ref().map(|upstream| upstream.outcome);
    let flow = (row.flow_id.is_some(), flow, edge, upstream);
    format!(
        "{:?} {attempt:?} {counts:?} {is_held} {ahead:?} {waits:?} {:?} {flow:?}",
        row.state, row.policy
    )
}

/// Every move that any sequence of commands and instants makes, with its causes.
fn moves() -> &'static BTreeMap<Pair, BTreeSet<String>> {
    static MOVES: OnceLock<BTreeMap<Pair, BTreeSet<String>>> = OnceLock::new();
    MOVES.get_or_init(walk)
}

/// A graph is the one way in which an execution is born waiting for others.
fn born_in_a_graph() -> TransitionRow {
    let node = |number: u128| {
        FlowNode::new(CreateExecutionArgs {
            execution_id: ExecutionId::from_parts(0, uuid::Uuid::from_u128(number)),
            namespace: Namespace::new("tests"),
            lane_id: LaneId::new("default"),
            execution_kind: "kind".to_owned(),
            input_payload: Vec::new(),
            payload_encoding: None,
            priority: 0,
            creator_identity: "tests".to_owned(),
            idempotency_key: None,
            tags: HashMap::new(),
            policy: None,
            delay_until: None,
            execution_deadline_at: None,
            partition_id: 0,
            now: TimestampMs(0),
        })
    };
    let graph = SubmitFlow::new(SubmitFlowArgs {
        flow_id: FlowId::from_uuid(uuid::Uuid::from_u128(70)),
        flow_kind: "kind".to_owned(),
        namespace: Namespace::new("tests"),
        tags: BTreeMap::new(),
        nodes: vec![node(1), node(2)],
        edges: vec![FlowLink::new(0, 1)],
    });
    let limits = Limits::default();
    let mut cx = Context::new(TimestampMs(1_000_000), 1, &limits);
    let done = graph.and_then(|graph| graph.decide(&Snapshot::default(), &mut cx));
    let events = done.expect("a graph of two is accepted").events;
    let mut rows = events.into_iter().filter_map(|event| match event {
        Event::Transition(row) => Some(row),
        _ => None,
    });
    rows.next_back().expect("each node is born")
}

/// The operations on flows are asked where no attempt times out and no deadline cuts a delay
/// short: they bring no move of their own with those.
fn asks_of_flows(world: &World) -> bool {
    let timeouts = world.policy.as_ref().and_then(|policy| policy.timeout_policy.as_ref());
    timeouts.is_some_and(|timeouts| {
        timeouts.attempt_timeout_ms.is_none()
            && timeouts.execution_deadline_ms.is_none_or(|ms| ms > DELAY_MS)
    })
}

fn walk() -> BTreeMap<Pair, BTreeSet<String>> {
    let plain: Vec<Ask> =
        OPERATIONS[..OPERATIONS.len() - FLOW_OPERATIONS].iter().map(|(_, ask)| *ask).collect();
    let mut all: Vec<Ask> = OPERATIONS.iter().map(|(_, ask)| *ask).collect();
    all.push(upstream_runs_again);
    let mut moves: BTreeMap<Pair, BTreeSet<String>> = BTreeMap::new();
    let born = born_in_a_graph();
    moves.entry((born.from.map(place), place(born.to))).or_default().insert(born.cause);
    let mut known = BTreeSet::new();
    let mut open: VecDeque<World> = beginnings().into();
    while let Some(mut world) = open.pop_front() {
        for event in std::mem::take(&mut world.rows.events) {
            if let Event::Transition(row) = event {
                moves.entry((row.from.map(place), place(row.to))).or_default().insert(row.cause);
            }
        }
        if !known.insert(standing(&world)) {
            continue;
        }
        for ask in if asks_of_flows(&world) { &all } else { &plain } {
            let mut next = world.clone();
            if ask(&mut next).is_ok() {
                open.push_back(next);
            }
        }
        for instant in instants(&world) {
            let mut next = world.clone();
            next.now = instant;
            due(&mut next).expect("a sweep is never refused");
            open.push_back(next);
        }
    }
    moves
}

fn diagram(moves: &BTreeMap<Pair, BTreeSet<String>>) -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    for ((from, to), causes) in moves {
        let from = from.map_or("[*]", |from| PublicState::ALL[from].as_str());
        let to = PublicState::ALL[*to];
        let causes = causes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "    {from} --> {to} : {causes}");
    }
    text.push_str("```\n");
    text
}

#[test]
fn the_rules_make_the_legal_moves_and_no_others() {
    let made: Vec<Pair> = moves().keys().copied().collect();

    let legal: Vec<Pair> =
        legal_transitions().iter().map(|(from, to)| (from.map(place), place(*to))).collect();

    assert_eq!(made, legal);
}

/// The causes that the table under "The moves" explains.
fn causes_in(page: &str) -> BTreeSet<&str> {
    let (_, table) = page.split_once("## The moves").expect("the page explains the moves");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.collect()
}

/// Rewrite the page with `UPDATE_DOCS=1 cargo test -p ff-core --test lifecycle`.
#[test]
fn the_lifecycle_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a generated part");
    let (_, after) = rest.split_once(END).expect("the generated part ends");
    let moves = moves();

    let current = format!("{before}{BEGIN}{}{END}{after}", diagram(moves));

    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &current).unwrap();
    } else {
        assert_eq!(page, current, "run with UPDATE_DOCS=1");
    }
    let made: BTreeSet<&str> = moves.values().flatten().map(String::as_str).collect();
    assert_eq!(causes_in(before), made, "the table of moves names the causes there are");
}
