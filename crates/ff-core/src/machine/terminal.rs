//! The one way an execution ends.
//!
//! Every end — completed, failed, cancelled, expired — goes through [`end`]: the state row, the
//! attempt's outcome, the release of a live lease and exactly one completion event.

use super::rows::{Attempt, AttemptOutcome, Execution};
use super::transition::{Change, CompletionEvent, Event, LeaseEvent, LeaseEventKind, Transition};
use super::{state, suspension};
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
    let waits = Change::Suspension(suspension::Write::End {
        execution_id: execution.id.clone(),
        at: now,
        reason: close_reason(how),
    });
    transition.change(waits).put(execution, after, now, how.cause).announce(completion)
}

/// How the suspension and the waitpoints of an execution end with it.
fn close_reason(how: &End) -> String {
    match how.outcome {
        TerminalOutcome::Cancelled => "cancelled".to_owned(),
        TerminalOutcome::Expired => {
            format!("expired:{}", how.reason.as_deref().unwrap_or(how.cause))
        }
        TerminalOutcome::None
        | TerminalOutcome::Success
        | TerminalOutcome::Failed
        | TerminalOutcome::Skipped => how.cause.to_owned(),
    }
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

/// The attempt of an execution that lost its lease, as its reclaim leaves it.
pub fn end_lost_attempt(execution: &Execution, lost: &Attempt, now: TimestampMs) -> Attempt {
    Attempt {
        outcome: Some(AttemptOutcome::InterruptedReclaimed),
        ended_at: Some(now),
        lease_expires_at: None,
        lease_expired_at: None,
        failure_reason: Some(execution.state.ownership_state.as_str().to_owned()),
        ..lost.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        CREATED, LEASE_END, NOW, execution, interrupted, lapsed, revoked, running,
    };
    use crate::state::{BlockingReason, PublicState};
    use crate::types::{DurationMs, FlowId, Namespace};

    fn how(outcome: TerminalOutcome, attempt: AttemptOutcome) -> End {
        End {
            outcome,
            attempt,
            cause: "the cause",
            reason: Some("the reason".to_owned()),
            category: Some("the category".to_owned()),
        }
    }

    fn failed() -> End {
        how(TerminalOutcome::Failed, AttemptOutcome::Failed)
    }

    #[test]
    fn every_outcome_is_stored_as_its_state_row() {
        for (outcome, public) in [
            (TerminalOutcome::Success, PublicState::Completed),
            (TerminalOutcome::Failed, PublicState::Failed),
            (TerminalOutcome::Cancelled, PublicState::Cancelled),
            (TerminalOutcome::Expired, PublicState::Expired),
            (TerminalOutcome::Skipped, PublicState::Skipped),
        ] {
            let (row, attempt) = running(LEASE_END);

            let ended = end(&row, Some(&attempt), &how(outcome, AttemptOutcome::Skipped), NOW);

            let stored = ended.stored();
            assert_eq!(stored.state, state::ended(outcome, AttemptState::AttemptTerminal));
            assert_eq!(stored.public_state(), public);
            assert_eq!(stored.ended_at, Some(NOW));
            assert_eq!(stored.version, row.version + 1);
            let [moved] = ended.moves()[..] else { panic!("one move") };
            assert_eq!((moved.from, moved.to), (Some(PublicState::Active), public));
            assert_eq!((moved.cause.as_str(), moved.at), ("the cause", NOW));
        }
    }

    #[test]
    fn the_times_of_waiting_and_running_are_cleared() {
        let (mut row, attempt) = running(LEASE_END);
        row.blocking_detail = Some("detail".to_owned());
        row.eligible_at = Some(LEASE_END);
        row.attempt_timeout_at = Some(LEASE_END);
        row.attempt_timeout_left = Some(DurationMs(5));
        row.deadline_at = Some(LEASE_END);

        let ended = end(&row, Some(&attempt), &failed(), NOW);

        let stored = ended.stored();
        assert_eq!(stored.blocking_detail, None);
        assert_eq!(stored.eligible_at, None);
        assert_eq!(stored.attempt_timeout_at, None);
        assert_eq!(stored.attempt_timeout_left, None);
        assert_eq!(stored.deadline_at, Some(LEASE_END));
        assert_eq!((stored.epoch, stored.started_at), (row.epoch, Some(CREATED)));
    }

    #[test]
    fn an_execution_that_never_ran_keeps_its_attempt_state() {
        let ended = end(&execution(), None, &failed(), NOW);

        assert_eq!(ended.stored().state.attempt_state, AttemptState::PendingFirstAttempt);
        assert_eq!(ended.stored().public_state(), PublicState::Failed);
        assert!(ended.attempts().is_empty());
        assert!(ended.leases().is_empty());
        assert_eq!(ended.completions().len(), 1);
    }

    #[test]
    fn the_open_attempt_ends_with_its_own_outcome_and_without_a_lease() {
        let (row, attempt) = running(LEASE_END);

        let ended =
            end(&row, Some(&attempt), &how(TerminalOutcome::Failed, AttemptOutcome::Expired), NOW);

        let expected = Attempt {
            outcome: Some(AttemptOutcome::Expired),
            ended_at: Some(NOW),
            lease_expires_at: None,
            failure_reason: Some("the reason".to_owned()),
            failure_category: Some("the category".to_owned()),
            ..attempt
        };
        assert_eq!(ended.attempts(), [&expected]);
    }

    #[test]
    fn a_lapsed_attempt_forgets_when_its_lease_ran_out() {
        let (row, attempt) = lapsed();
        assert!(attempt.lease_expired_at.is_some());

        let ended = end(&row, Some(&attempt), &failed(), NOW);

        assert_eq!(ended.attempts()[0].lease_expired_at, None);
        assert_eq!(ended.attempts()[0].worker_instance_id, attempt.worker_instance_id);
    }

    #[test]
    fn a_reason_and_a_category_not_given_keep_the_attempts_own() {
        let (_, mut attempt) = running(LEASE_END);
        attempt.failure_reason = Some("own reason".to_owned());
        attempt.failure_category = Some("own category".to_owned());
        let silent = End { reason: None, category: None, ..failed() };

        let kept = end_attempt(&attempt, &silent, NOW);
        assert_eq!(kept.failure_reason.as_deref(), Some("own reason"));
        assert_eq!(kept.failure_category.as_deref(), Some("own category"));

        let replaced = end_attempt(&attempt, &failed(), NOW);
        assert_eq!(replaced.failure_reason.as_deref(), Some("the reason"));
        assert_eq!(replaced.failure_category.as_deref(), Some("the category"));
    }

    #[test]
    fn a_live_lease_is_released_with_the_same_cause() {
        let (row, attempt) = running(LEASE_END);

        let ended = end(&row, Some(&attempt), &failed(), NOW);

        let [released] = ended.leases()[..] else { panic!("one lease event") };
        assert_eq!(released.kind, LeaseEventKind::Revoked);
        assert_eq!(released.cause, "the cause");
        assert_eq!(released.epoch, attempt.epoch);
        assert_eq!(released.lease_id, attempt.lease_id);
        assert_eq!(released.worker_instance_id, attempt.worker_instance_id);
        assert_eq!(released.at, NOW);
    }

    #[test]
    fn a_lease_that_has_ended_before_is_not_released_again() {
        for (row, attempt) in [lapsed(), revoked(), interrupted()] {
            let ended = end(&row, Some(&attempt), &failed(), NOW);

            assert!(ended.leases().is_empty());
            assert_eq!(ended.attempts()[0].outcome, Some(AttemptOutcome::Failed));
        }
    }

    #[test]
    fn an_attempt_that_has_ended_is_left_alone() {
        for outcome in [
            AttemptOutcome::Success,
            AttemptOutcome::Failed,
            AttemptOutcome::Retry,
            AttemptOutcome::Cancelled,
            AttemptOutcome::Expired,
            AttemptOutcome::Skipped,
            AttemptOutcome::InterruptedReclaimed,
        ] {
            let (mut row, mut attempt) = running(LEASE_END);
            row.state =
                state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingRetryAttempt);
            attempt.outcome = Some(outcome);
            assert!(!is_open(&attempt), "{outcome:?}");

            let ended = end(&row, Some(&attempt), &failed(), NOW);

            assert!(ended.attempts().is_empty(), "{outcome:?}");
            assert!(ended.leases().is_empty(), "{outcome:?}");
            assert_eq!(ended.stored().state.attempt_state, AttemptState::AttemptTerminal);
        }
    }

    #[test]
    fn an_attempt_is_open_while_it_runs_and_while_it_is_parked() {
        let (_, mut attempt) = running(LEASE_END);
        assert!(is_open(&attempt));

        attempt.outcome = Some(AttemptOutcome::Interrupted);

        assert!(is_open(&attempt));
    }

    #[test]
    fn exactly_one_completion_is_announced_with_the_run_it_belongs_to() {
        let (mut row, attempt) = running(LEASE_END);
        row.replay_count = 3;
        row.namespace = Namespace::new("customer");
        row.flow_id = Some(FlowId::from_uuid(uuid::Uuid::from_u128(4)));
        row.tags.insert(Execution::INSTANCE_TAG.to_owned(), "instance".to_owned());

        let ended = end(&row, Some(&attempt), &failed(), NOW);

        let expected = CompletionEvent {
            execution_id: row.id.clone(),
            flow_id: row.flow_id.clone(),
            outcome: TerminalOutcome::Failed,
            run: 3,
            at: NOW,
            namespace: row.namespace,
            instance_tag: Some("instance".to_owned()),
        };
        assert_eq!(ended.completions(), [&expected]);
    }

    #[test]
    fn only_an_end_without_success_leaves_its_reason_with_the_execution() {
        let (mut row, attempt) = running(LEASE_END);
        row.failure_reason = Some("an earlier attempt's".to_owned());
        let success = how(TerminalOutcome::Success, AttemptOutcome::Success);

        let ended = end(&row, Some(&attempt), &success, NOW);
        assert_eq!(ended.stored().failure_reason.as_deref(), Some("an earlier attempt's"));

        let ended = end(&row, Some(&attempt), &failed(), NOW);
        assert_eq!(ended.stored().failure_reason.as_deref(), Some("the reason"));

        let silent = End { reason: None, ..failed() };
        let ended = end(&row, Some(&attempt), &silent, NOW);
        assert_eq!(ended.stored().failure_reason, None);
    }

    #[test]
    fn the_answer_is_the_ended_execution() {
        let (row, attempt) = running(LEASE_END);

        let ended = end(&row, Some(&attempt), &failed(), NOW);

        assert_eq!(ended.outcome.state, ended.stored().state);
        assert_eq!(ended.outcome.public_state(), PublicState::Failed);
    }

    #[test]
    #[should_panic(expected = "an execution ends once per run")]
    fn an_execution_does_not_end_twice() {
        let (mut row, attempt) = running(LEASE_END);
        row.state = state::ended(TerminalOutcome::Failed, AttemptState::AttemptTerminal);

        let _ = end(&row, Some(&attempt), &failed(), NOW);
    }
}
