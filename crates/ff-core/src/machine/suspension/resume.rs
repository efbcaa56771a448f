//! Resuming: the way out of a suspension that goes on.

use super::rows::{Closed, Observed, Suspension};
use super::{Wanted, Write};
use crate::EngineError;
use crate::engine_error::{StateKind, ValidationKind};
use crate::machine::limits::DELAY_MAX_MS;
use crate::machine::policy::later;
use crate::machine::rows::Execution;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::{AttemptState, BlockingReason, LifecyclePhase, PublicState};
use crate::types::{DurationMs, ExecutionId, TimestampMs};

/// Ends a suspension without waiting for its condition.
///
/// The execution waits for a worker, after the delay; its attempt goes on under the next epoch and
/// sees the signals that came. The suspension's row is removed. A repeat, like any execution that
/// is not suspended, is `State(ExecutionNotSuspended)`.
#[derive(Debug, Clone)]
pub struct ResumeExecution {
    /// The execution.
    pub execution_id: ExecutionId,
    /// `signal`, `operator` or `auto_resume`; recorded with the move.
    pub trigger: String,
    /// How long it waits before it is in line.
    pub delay: DurationMs,
}

impl Command for ResumeExecution {
    const NAME: &'static str = "suspension.resume_execution";
    type Outcome = PublicState;

    fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::execution(&self.execution_id);
        footprint.suspension = Wanted { suspension: true, ..Wanted::default() };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<PublicState>, EngineError> {
        let cause = match self.trigger.as_str() {
            "signal" => "resumed_by_signal",
            "operator" => "resumed_by_operator",
            "auto_resume" => "resumed_by_auto_resume",
            other => {
                return Err(EngineError::Validation {
                    kind: ValidationKind::InvalidInput,
                    detail: format!(
                        "trigger_type is {other:?}; give \"signal\", \"operator\" or \"auto_resume\""
                    ),
                });
            }
        };
        check_delay(self.delay)?;
        let execution = seen.execution()?;
        let suspension = seen
            .suspension
            .open_suspension()
            .filter(|_| execution.state.lifecycle_phase == LifecyclePhase::Suspended)
            .ok_or(EngineError::State(StateKind::ExecutionNotSuspended))?;

        let how = Resume { cause, reason: "resumed", delay: self.delay };
        let resumed = resume(execution, suspension, &how, cx.now);
        let execution_id = self.execution_id.clone();
        Ok(resumed.change(Change::Suspension(Write::DropSuspension { execution_id })))
    }
}

/// How a suspension ends when its execution goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resume {
    /// The name of the move.
    pub(super) cause: &'static str,
    /// The close reason of suspension and waitpoints.
    pub(super) reason: &'static str,
    /// How long the execution waits before it is in line.
    pub(super) delay: DurationMs,
}

/// Refuses a delay over ten years.
pub(super) fn check_delay(delay: DurationMs) -> Result<(), EngineError> {
    if delay.0 <= DELAY_MAX_MS {
        return Ok(());
    }
    Err(EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: format!("resume_delay_ms is {}; at most {DELAY_MAX_MS}", delay.0),
    })
}

/// Puts a suspended execution in line, at once or after a delay, and closes its suspension with
/// its waitpoints. The attempt stays interrupted: the next claim resumes it.
pub(super) fn resume(
    execution: &Execution,
    suspension: &Suspension,
    how: &Resume,
    now: TimestampMs,
) -> Transition<PublicState> {
    assert!(
        execution.state.lifecycle_phase == LifecyclePhase::Suspended && suspension.is_open(),
        "a suspension ends once"
    );
    let mut after = execution.clone();
    after.blocking_detail = None;
    if how.delay.0 == 0 {
        after.state = state::waiting(AttemptState::AttemptInterrupted);
        after.eligible_at = None;
    } else {
        after.state =
            state::delayed(BlockingReason::WaitingForResumeDelay, AttemptState::AttemptInterrupted);
        after.eligible_at = Some(later(now, how.delay));
    }
    let mut transition = Transition::unchanged(after.public_state());
    for change in close(suspension, how.reason, now) {
        transition = transition.change(change);
    }
    // A suspension that a tool wrote says of no attempt that it sees its signals.
    if suspension.attempt_index.is_none() {
        transition = transition.change(Change::Suspension(Write::Observe(Observed {
            execution_id: execution.id.clone(),
            suspension_id: suspension.suspension_id.clone(),
            attempt_index: execution.attempt_index,
        })));
    }
    transition.put(execution, after, now, how.cause)
}

/// The end of a suspension and of its waitpoints.
pub(super) fn close(suspension: &Suspension, reason: &str, at: TimestampMs) -> [Change; 2] {
    let closed = Suspension {
        version: suspension.version + 1,
        closed: Some(Closed { at, reason: reason.to_owned() }),
        ..suspension.clone()
    };
    [
        Change::Suspension(Write::CloseWaitpoints {
            execution_id: suspension.execution_id.clone(),
            suspension_id: suspension.suspension_id.clone(),
            at,
            reason: reason.to_owned(),
        }),
        Change::Suspension(Write::PutSuspension(Box::new(closed))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, decide, interrupted, now_plus, refusal, running, seen_pair,
    };
    use crate::machine::suspension::WaitpointState;
    use crate::machine::suspension::testing::{active, any_at, parked, suspended, suspension};

    fn resume(trigger: &str, delay: u64) -> ResumeExecution {
        let execution_id = parked().0.id;
        ResumeExecution { execution_id, trigger: trigger.to_owned(), delay: DurationMs(delay) }
    }

    fn seen() -> Snapshot {
        suspended(suspension(any_at("k")), vec![active("k")])
    }

    #[test]
    fn a_resumed_execution_is_in_line_and_its_waitpoints_are_closed() {
        let mut rows = seen();

        let done = decide(&resume("operator", 0), &rows).unwrap();
        rows.apply(&done.changes);

        assert_eq!(done.outcome, PublicState::Waiting);
        let row = done.stored();
        assert_eq!(row.state, state::waiting(AttemptState::AttemptInterrupted));
        assert_eq!((row.eligible_at, row.epoch), (None, parked().0.epoch));
        assert_eq!(rows.suspension.suspension, None);
        let waitpoint = &rows.suspension.waitpoints[0];
        assert_eq!(waitpoint.state, WaitpointState::Closed);
        assert_eq!(waitpoint.closed.as_ref().unwrap().reason, "resumed");
        assert_eq!(done.moves()[0].cause, "resumed_by_operator");
        assert!(done.completions().is_empty() && done.leases().is_empty());
        assert_eq!(refusal(decide(&resume("operator", 0), &rows)), "state: ExecutionNotSuspended");
    }

    #[test]
    fn a_delay_is_kept_as_an_instant() {
        let done = decide(&resume("signal", 250), &seen()).unwrap();

        assert_eq!(done.outcome, PublicState::Delayed);
        let row = done.stored();
        assert_eq!(row.state.blocking_reason, BlockingReason::WaitingForResumeDelay);
        assert_eq!((row.eligible_at, row.due_at()), (Some(now_plus(250)), Some(now_plus(250))));
        assert!(decide(&resume("signal", DELAY_MAX_MS), &seen()).is_ok());
        assert!(decide(&resume("signal", DELAY_MAX_MS + 1), &seen()).is_err());
    }

    #[test]
    fn the_attempt_of_a_suspension_written_by_a_tool_sees_its_signals() {
        let observed = |attempt_index| {
            let by_hand = Suspension { attempt_index, ..suspension(any_at("k")) };
            let done = decide(&resume("operator", 0), &suspended(by_hand, Vec::new())).unwrap();
            done.changes.into_iter().find_map(|change| match change {
                Change::Suspension(Write::Observe(observed)) => Some(observed),
                _ => None,
            })
        };

        let row = observed(None).expect("it is told whose signals it sees");

        assert_eq!(row.attempt_index, parked().0.attempt_index);
        assert_eq!(row.suspension_id, suspension(any_at("k")).suspension_id);
        assert_eq!(observed(Some(parked().0.attempt_index)), None, "a suspend has told it");
    }

    #[test]
    fn what_is_not_suspended_cannot_be_resumed() {
        let not_suspended = "state: ExecutionNotSuspended";
        for rows in [seen_pair(running(LEASE_END)), seen_pair(interrupted()), seen_pair(parked())] {
            assert_eq!(refusal(decide(&resume("operator", 0), &rows)), not_suspended);
        }
        let told = refusal(decide(&resume("operator", 0), &Snapshot::default()));
        assert_eq!(told, "not found: execution");
        let told = refusal(decide(&resume("sleep", 0), &seen()));
        assert!(told.starts_with("validation: InvalidInput: trigger_type"), "{told}");
    }
}
