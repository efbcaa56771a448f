//! When and why a stream closed, read off its attempt.

use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::state::TerminalOutcome;
use crate::types::TimestampMs;

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// The end of the attempt.
    pub at: TimestampMs,
    /// The contract's word for how it ended.
    pub reason: &'static str,
}

/// The end of an attempt's stream; `None` while the attempt may go on. A parked attempt may, and so
/// may, for its stream's readers, one whose lease lapsed: it ends with its reclaim.
pub fn closing(execution: &Execution, attempt: &Attempt) -> Option<Closing> {
    let is_current = attempt.index == execution.attempt_index;
    let reason = match attempt.outcome {
        Some(outcome) if outcome != AttemptOutcome::Interrupted => by_outcome(outcome, attempt),
        // Rows written from outside may end an execution and leave its attempt open.
        Some(_) | None if execution.is_terminal() && is_current => by_end(execution.outcome()),
        Some(_) | None => return None,
    };
    let at = attempt.ended_at.or(execution.ended_at).unwrap_or(execution.mutated_at);
    Some(Closing { at, reason })
}

fn by_outcome(outcome: AttemptOutcome, attempt: &Attempt) -> &'static str {
    let why = attempt.failure_reason.as_deref().unwrap_or_default();
    if why.starts_with("suspension_timeout") {
        return "suspension_timeout";
    }
    match outcome {
        AttemptOutcome::Success => "attempt_success",
        AttemptOutcome::Failed | AttemptOutcome::Retry => "attempt_failure",
        AttemptOutcome::Cancelled => "attempt_cancelled",
        AttemptOutcome::Expired => "expired",
        AttemptOutcome::Skipped => "dependency_impossible",
        AttemptOutcome::InterruptedReclaimed if why == "max_reclaims_exceeded" => "lease_expired",
        AttemptOutcome::InterruptedReclaimed => "reclaimed",
        AttemptOutcome::Interrupted => unreachable!("a parked attempt is open"),
    }
}

fn by_end(outcome: TerminalOutcome) -> &'static str {
    match outcome {
        TerminalOutcome::Success => "attempt_success",
        TerminalOutcome::Failed | TerminalOutcome::None => "attempt_failure",
        TerminalOutcome::Cancelled => "attempt_cancelled",
        TerminalOutcome::Expired => "expired",
        TerminalOutcome::Skipped => "dependency_impossible",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        CREATED, LEASE_END, NOW, ended, interrupted, lapsed, revoked, running,
    };
    use crate::machine::state;
    use crate::state::AttemptState;

    fn reason((execution, attempt): &(Execution, Attempt)) -> Option<&'static str> {
        closing(execution, attempt).map(|closing| closing.reason)
    }

    #[test]
    fn a_stream_is_open_while_its_attempt_may_go_on() {
        for pair in [running(LEASE_END), lapsed(), revoked(), interrupted()] {
            assert_eq!(reason(&pair), None);
        }
    }

    #[test]
    fn each_end_of_an_attempt_closes_its_stream_with_its_reason() {
        for (outcome, of_attempt, word) in [
            (TerminalOutcome::Success, AttemptOutcome::Success, "attempt_success"),
            (TerminalOutcome::Failed, AttemptOutcome::Failed, "attempt_failure"),
            (TerminalOutcome::Cancelled, AttemptOutcome::Cancelled, "attempt_cancelled"),
            (TerminalOutcome::Expired, AttemptOutcome::Expired, "expired"),
            (TerminalOutcome::Skipped, AttemptOutcome::Skipped, "dependency_impossible"),
        ] {
            let (execution, attempt) = ended(outcome, of_attempt);
            let expected = Some(Closing { at: CREATED, reason: word });
            assert_eq!(closing(&execution, &attempt), expected);
        }
    }

    #[test]
    fn an_attempt_that_another_one_replaced_is_closed() {
        for (outcome, why, word) in [
            (AttemptOutcome::Retry, "it broke", "attempt_failure"),
            (AttemptOutcome::InterruptedReclaimed, "", "reclaimed"),
            (AttemptOutcome::InterruptedReclaimed, "max_reclaims_exceeded", "lease_expired"),
            (AttemptOutcome::Failed, "suspension_timeout:fail", "suspension_timeout"),
            (AttemptOutcome::Expired, "suspension_timeout", "suspension_timeout"),
        ] {
            let (execution, mut attempt) = running(LEASE_END);
            attempt.outcome = Some(outcome);
            attempt.ended_at = Some(NOW);
            attempt.failure_reason = Some(why.to_owned());
            let expected = Some(Closing { at: NOW, reason: word });
            assert_eq!(closing(&execution, &attempt), expected);
        }
    }

    #[test]
    fn an_ended_execution_closes_the_attempt_that_was_left_open() {
        let (mut execution, attempt) = running(LEASE_END);
        execution.state = state::ended(TerminalOutcome::Success, AttemptState::AttemptTerminal);
        execution.ended_at = Some(NOW);
        let expected = Some(Closing { at: NOW, reason: "attempt_success" });
        assert_eq!(closing(&execution, &attempt), expected);

        execution.attempt_index.0 += 1;
        assert_eq!(closing(&execution, &attempt), None);
    }
}
