//! The table: every state an execution can be in, and what becomes of everything asked of it.

mod support;

use std::fmt::Write as _;

use ff_core::EngineError;
use ff_core::engine_error::ContentionKind;
use ff_core::machine::{AttemptOutcome, Event};
use ff_core::state::{
    AttemptState, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState, PublicState,
    StateVector, TerminalOutcome,
};
use ff_core::types::TimestampMs;
use support::{
    Ask, DELAY_MS, FLOW_OPERATIONS, LEASE_MS, OPERATIONS, World, apply, cancel, cancel_flow,
    cancel_flow_pending, claim, claim_before_a_full_quota, claim_before_a_spent_budget, complete,
    create, create_delayed, delay, due, fail, fail_with_retry, join, release, replay, revoke,
    signal, signal_with_delay, suspend, suspend_briefly, suspend_escalating, suspend_until,
    upstream_fails, upstream_runs_again, wait_children,
};

/// The states, by name, as the commands that lead to them. In all but the first and those of
/// which the name says otherwise, "the holder" is the worker of the first attempt.
fn states() -> Vec<(&'static str, World)> {
    vec![
        ("missing", after(&[])),
        ("waiting", after(&[create])),
        ("delayed", after(&[create_delayed])),
        ("delayed, due", waited(&[create_delayed], DELAY_MS)),
        ("active", after(&[create, claim])),
        ("lease over, unnoticed", waited(&[create, claim], LEASE_MS)),
        ("lease expired", marked_expired()),
        ("lease revoked", after(&[create, claim, revoke])),
        ("taken over", taken_over()),
        ("given back", after(&[create, claim, release])),
        ("parked", after(&[create, claim, delay])),
        ("parked, due", waited(&[create, claim, delay], DELAY_MS)),
        ("waiting for a budget", after(&[create, claim_before_a_spent_budget])),
        ("waiting for a quota", after(&[create, claim_before_a_full_quota])),
        (
            "lease lost, waiting for a quota",
            after(&[create, claim, revoke, claim_before_a_full_quota]),
        ),
        ("retry scheduled", after(&[create, claim, fail_with_retry])),
        ("suspended", after(&[create, claim, suspend])),
        ("suspended, due to fail", waited(&[create, claim, suspend_briefly], DELAY_MS)),
        ("suspended, due to go on", waited(&[create, claim, suspend_until], DELAY_MS)),
        ("escalated", escalated()),
        ("resumed", after(&[create, claim, suspend, signal])),
        ("resumed, delayed", after(&[create, claim, suspend, signal_with_delay])),
        ("resumed, delay over", waited(&[create, claim, suspend, signal_with_delay], DELAY_MS)),
        ("suspended (by SQL)", suspended()),
        ("completed", after(&[create, claim, complete])),
        ("failed", after(&[create, claim, fail])),
        ("cancelled", after(&[create, claim, cancel])),
        ("expired", expired()),
        ("skipped (by SQL)", skipped()),
        ("replayed", after(&[create, claim, fail, replay])),
        ("blocked by an edge", after(&[create, join, apply])),
        ("waits for children", after(&[create, join, claim, apply, wait_children])),
        ("member of a flow", after(&[create, join])),
        ("runs in a flow", after(&[create, join, claim])),
        ("runs on in a cancelled", after(&[create, join, claim, cancel_flow_pending])),
        ("cancelled by its flow", after(&[create, join, claim, cancel_flow])),
        ("skipped by its edge", after(&[create, join, apply, upstream_fails])),
        (
            "skipped, and open again",
            after(&[create, join, apply, upstream_fails, upstream_runs_again]),
        ),
    ]
}

fn after(path: &[Ask]) -> World {
    let mut world = World::new(TimestampMs(1_000_000));
    for ask in path {
        ask(&mut world).expect("the way to a state is open");
    }
    world
}

fn waited(path: &[Ask], ms: u64) -> World {
    let mut world = after(path);
    world.wait(ms);
    world
}

fn marked_expired() -> World {
    let mut world = waited(&[create, claim], LEASE_MS);
    due(&mut world).expect("a sweep is never refused");
    world
}

/// A successor runs it; the holder is the worker that was too slow.
fn taken_over() -> World {
    let mut world = marked_expired();
    let former = world.held.clone();
    claim(&mut world).expect("a lapsed lease can be reclaimed");
    world.held = former;
    world
}

fn expired() -> World {
    let mut world = after(&[create, claim]);
    let deadline = world.now;
    rewrite(&mut world, |row| row.deadline_at = Some(deadline));
    due(&mut world).expect("a sweep is never refused");
    world
}

fn escalated() -> World {
    let mut world = waited(&[create, claim, suspend_escalating], DELAY_MS);
    due(&mut world).expect("a sweep is never refused");
    world
}

fn suspended() -> World {
    let mut world = after(&[create, claim, release]);
    rewrite(&mut world, |row| {
        row.state = StateVector {
            lifecycle_phase: LifecyclePhase::Suspended,
            ownership_state: OwnershipState::Unowned,
            eligibility_state: EligibilityState::NotApplicable,
            blocking_reason: BlockingReason::WaitingForSignal,
            terminal_outcome: TerminalOutcome::None,
            attempt_state: AttemptState::AttemptInterrupted,
            public_state: PublicState::Suspended,
        };
    });
    world
}

fn skipped() -> World {
    let mut world = after(&[create]);
    let now = world.now;
    rewrite(&mut world, |row| {
        row.state = ff_core::machine::state::ended(TerminalOutcome::Skipped, AttemptState::None);
        row.ended_at = Some(now);
    });
    world
}

fn rewrite(world: &mut World, write: impl FnOnce(&mut ff_core::machine::Execution)) {
    let row = world.rows.executions.values_mut().next().expect("it was created");
    write(row);
}

/// A refusal in few words; a terminal one tells how the execution ended.
fn refusal(error: &EngineError) -> String {
    match error {
        EngineError::Contention(ContentionKind::ExecutionNotActive {
            terminal_outcome,
            lifecycle_phase,
            ..
        }) => format!("Contention(ExecutionNotActive: {lifecycle_phase}, {terminal_outcome})"),
        EngineError::Contention(kind) => format!("Contention({kind:?})"),
        EngineError::Conflict(kind) => format!("Conflict({kind:?})"),
        EngineError::State(kind) => format!("State({kind:?})"),
        EngineError::NotFound { entity } => format!("NotFound({entity})"),
        other => other.to_string(),
    }
}

/// The public state, who owns it and under which epoch.
fn standing(world: &World) -> String {
    let Some(execution) = world.execution() else { return "missing".to_owned() };
    let mut text = execution.public_state().to_string();
    if execution.is_active() {
        let _ = write!(text, ", {}", execution.state.ownership_state);
    }
    if let Some(attempt) = world.rows.current(execution) {
        let outcome = attempt.outcome.map_or("open", AttemptOutcome::as_str);
        let _ = write!(text, ", epoch {}, attempt {} {outcome}", execution.epoch, attempt.index);
    }
    text
}

fn announced(events: &[Event]) -> String {
    let words: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Lease(lease) => format!("lease {} ({})", lease.kind.as_str(), lease.cause),
            Event::Completion(end) => format!("completion {} of run {}", end.outcome, end.run),
            Event::Operator(_) | Event::FlowCancelRequested(_) => "operator event".to_owned(),
            Event::Signal(signal) => format!("signal {}", signal.effect),
            Event::Transition(row) => row.cause.clone(),
        })
        .collect();
    words.join("; ")
}

fn row(world: &World, ask: Ask) -> String {
    let mut after = world.clone();
    let events = after.rows.events.len();
    match ask(&mut after) {
        Err(error) => {
            let untouched = after.rows.executions == world.rows.executions
                && after.rows.attempts == world.rows.attempts
                && after.rows.flow == world.rows.flow
                && after.rows.edge == world.rows.edge
                && after.rows.group == world.rows.group
                && after.rows.streams == world.rows.streams
                && after.rows.events == world.rows.events;
            assert!(untouched, "a refusal writes nothing");
            format!("refused: {}", refusal(&error))
        }
        Ok(answer) => {
            let (before, standing) = (standing(world), standing(&after));
            let standing = if before == standing { "=".to_owned() } else { standing };
            format!("{answer:<24} | {standing} | {}", announced(&after.rows.events[events..]))
        }
    }
}

#[test]
fn every_state_answers_everything_asked_of_it() {
    let states = states();
    let mut table = String::from(
        "Each block is an operation; each line a state, then the answer, the state afterwards\n\
         (= as before) and what is announced; or the refusal, which changes nothing.\n\nStates\n",
    );
    for (name, world) in &states {
        let _ = writeln!(table, "  {name:<22} {}", standing(world));
    }
    for (operation, ask) in OPERATIONS {
        let _ = writeln!(table, "\n{operation}");
        for (name, world) in &states {
            let line = format!("  {name:<22} {}", row(world, *ask));
            let _ = writeln!(table, "{}", line.trim_end_matches([' ', '|']));
        }
    }
    assert!(FLOW_OPERATIONS < OPERATIONS.len());
    insta::assert_snapshot!(table);
}
