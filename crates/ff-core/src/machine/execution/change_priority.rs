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
