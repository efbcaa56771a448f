//! Changing an execution's place in line.

use crate::EngineError;
use crate::engine_error::ContentionKind;
use crate::machine::limits::PRIORITY_MAX;
use crate::machine::transition::{Event, OperatorEvent, OperatorEventKind};
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::state::{EligibilityState, LifecyclePhase};
use crate::types::ExecutionId;

/// Gives a waiting execution another priority, kept within `0..=9000`.
///
/// Only what is in line can be moved; anything else is refused with
/// `Contention(ExecutionNotEligible)`. A repeat succeeds and is announced again.
#[derive(Debug, Clone)]
pub struct ChangePriority {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The wanted priority.
    pub priority: i32,
}

impl Command for ChangePriority {
    const NAME: &'static str = "execution.change_priority";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let execution = seen.execution()?;
        let in_line = match execution.state.lifecycle_phase {
            LifecyclePhase::Runnable | LifecyclePhase::Submitted => {
                execution.state.eligibility_state == EligibilityState::EligibleNow
            }
            LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => false,
        };
        if !in_line {
            return Err(EngineError::Contention(ContentionKind::ExecutionNotEligible));
        }
        let mut after = execution.clone();
        after.priority = self.priority.clamp(0, PRIORITY_MAX);
        let event = Event::Operator(OperatorEvent {
            execution_id: execution.id.clone(),
            kind: OperatorEventKind::PriorityChanged {
                old_priority: execution.priority,
                new_priority: after.priority,
            },
            at: cx.now,
            namespace: execution.namespace.clone(),
            instance_tag: execution.instance_tag().map(str::to_owned),
        });
        Ok(Transition::unchanged(())
            .put(execution, after, cx.now, "priority_changed")
            .announce(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, interrupted, lapsed, refusal, running, seen,
        seen_pair,
    };
    use crate::machine::rows::{AttemptOutcome, Execution};
    use crate::machine::state;
    use crate::state::{AttemptState, BlockingReason, TerminalOutcome};

    fn to(priority: i32) -> ChangePriority {
        ChangePriority { execution_id: execution().id, priority }
    }

    #[test]
    fn what_is_in_line_moves_and_the_move_is_announced() {
        let mut row = execution();
        row.priority = 5;
        row.tags.insert(Execution::INSTANCE_TAG.to_owned(), "instance".to_owned());

        let done = decide(&to(70), &seen(row.clone(), None)).unwrap();

        assert_eq!(done.stored().priority, 70);
        assert_eq!(done.stored().state, row.state);
        assert!(done.moves().is_empty());
        let expected = OperatorEvent {
            execution_id: row.id,
            kind: OperatorEventKind::PriorityChanged { old_priority: 5, new_priority: 70 },
            at: NOW,
            namespace: row.namespace,
            instance_tag: Some("instance".to_owned()),
        };
        assert_eq!(done.operations(), [&expected]);
    }

    #[test]
    fn a_priority_is_kept_within_its_bounds() {
        for (wanted, given) in [(-1, 0), (0, 0), (9_000, 9_000), (9_001, 9_000), (i32::MIN, 0)] {
            let done = decide(&to(wanted), &seen(execution(), None)).unwrap();
            assert_eq!(done.stored().priority, given);
        }
    }

    #[test]
    fn the_same_priority_again_is_announced_again() {
        let done = decide(&to(0), &seen(execution(), None)).unwrap();

        assert_eq!(done.operations().len(), 1);
    }

    #[test]
    fn rows_that_outside_tools_submitted_are_in_line() {
        let mut row = execution();
        row.state.lifecycle_phase = LifecyclePhase::Submitted;

        assert!(decide(&to(1), &seen(row, None)).is_ok());
    }

    #[test]
    fn what_is_interrupted_and_back_in_line_moves_too() {
        assert!(decide(&to(1), &seen_pair(interrupted())).is_ok());
    }

    #[test]
    fn what_is_not_in_line_is_refused() {
        let mut delayed = execution();
        delayed.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);
        let mut odd = execution();
        odd.state.lifecycle_phase = LifecyclePhase::Active;
        for row in [
            delayed,
            odd,
            running(LEASE_END).0,
            lapsed().0,
            ended(TerminalOutcome::Failed, AttemptOutcome::Failed).0,
        ] {
            let refused = refusal(decide(&to(1), &seen(row, None)));
            assert_eq!(refused, "contention: ExecutionNotEligible");
        }
        assert_eq!(refusal(decide(&to(1), &Snapshot::default())), "not found: execution");
    }
}
