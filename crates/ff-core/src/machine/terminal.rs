//! The one way an execution ends.
//!
//! Every end — completed, failed, cancelled, expired — goes through [`end`]: the state row, the
//! attempt's outcome, the release of a live lease and exactly one completion event.

use super::rows::{Attempt, AttemptOutcome, Execution};
use super::state;
use super::transition::{CompletionEvent, Event, LeaseEvent, LeaseEventKind, Transition};
use crate::state::{AttemptState, TerminalOutcome};
use crate::types::TimestampMs;

/// How an execution ends.
#[derive(Debug, Clone)]
pub struct End {
    /// The execution's outcome.
    pub outcome: TerminalOutcome,
    /// What becomes of an attempt that has not ended.
    pub attempt: AttemptOutcome,
    /// The name of the transition.
    pub cause: &'static str,
    /// Why, for people; kept with the attempt and, unless it succeeded, with the execution.
    pub reason: Option<String>,
    /// The category of a failure.
    pub category: Option<String>,
}

/// Ends `execution` and its open attempt. A live lease is released with the same cause.
pub fn end(
    execution: &Execution,
    current: Option<&Attempt>,
    how: &End,
    now: TimestampMs,
) -> Transition<Execution> {
    assert!(!execution.is_terminal(), "an execution ends once per run");
    let mut after = execution.clone();
    let attempt_state = if current.is_some() {
        AttemptState::AttemptTerminal
    } else {
        execution.state.attempt_state
    };
    after.state = state::ended(how.outcome, attempt_state);
    after.blocking_detail = None;
    after.ended_at = Some(now);
    after.eligible_at = None;
    after.attempt_timeout_at = None;
    after.attempt_timeout_left = None;
    if how.outcome != TerminalOutcome::Success {
        after.failure_reason.clone_from(&how.reason);
    }

    let mut transition = Transition::unchanged(after.clone());
    if let Some(attempt) = current.filter(|attempt| is_open(attempt)) {
        let ended = end_attempt(attempt, how, now);
        if execution.is_leased() {
            transition = transition.announce(LeaseEvent::of(
                LeaseEventKind::Revoked,
                execution,
                attempt,
                how.cause,
                now,
            ));
        }
        transition = transition.put_attempt(ended);
    }
    let completion = Event::Completion(CompletionEvent {
        execution_id: execution.id.clone(),
        flow_id: execution.flow_id.clone(),
        outcome: how.outcome,
        run: execution.replay_count,
        at: now,
        namespace: execution.namespace.clone(),
        instance_tag: execution.instance_tag().map(str::to_owned),
    });
    transition.put(execution, after, now, how.cause).announce(completion)
}

/// An attempt that has no final outcome: running, or parked by its worker.
pub fn is_open(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, None | Some(AttemptOutcome::Interrupted))
}

/// The attempt as its end leaves it: the outcome, no lease.
pub fn end_attempt(attempt: &Attempt, how: &End, now: TimestampMs) -> Attempt {
    Attempt {
        outcome: Some(how.attempt),
        ended_at: Some(now),
        lease_expires_at: None,
        lease_expired_at: None,
        failure_reason: how.reason.clone().or_else(|| attempt.failure_reason.clone()),
        failure_category: how.category.clone().or_else(|| attempt.failure_category.clone()),
        ..attempt.clone()
    }
}
