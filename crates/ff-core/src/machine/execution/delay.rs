//! Parking an execution: its worker gives the lease back and goes on later.

use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::limits::DELAY_MAX_MS;
use crate::machine::policy;
use crate::machine::rows::AttemptOutcome;
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Command, Context, Fence, Footprint, Snapshot, Transition, Urgency, state};
use crate::state::{AttemptState, BlockingReason};
use crate::types::{ExecutionId, TimestampMs};

/// Ends the lease and lets the same attempt continue later, under the next epoch.
///
/// No attempt is burnt. The time spent parked does not count against the attempt's timeout. Not
/// safe to repeat: the fence has ended, so a second call is refused with
/// `Contention(ExecutionNotActive)`.
#[derive(Debug, Clone)]
pub struct Delay {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// When it may be claimed again; `None`, or an instant that has passed, means at once.
    pub until: Option<TimestampMs>,
}

impl Command for Delay {
    const NAME: &'static str = "execution.delay";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        seen.execution()?;
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        let until = self.until.filter(|until| *until > cx.now);
        if until.is_some_and(|until| policy::until(cx.now, until).0 > DELAY_MAX_MS) {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: "delay_until is more than ten years ahead".to_owned(),
            });
        }

        let mut parked = attempt.clone();
        parked.outcome = Some(AttemptOutcome::Interrupted);
        parked.lease_expires_at = None;
        parked.worker_instance_id = None;

        let mut after = execution.clone();
        after.state = match until {
            Some(_) => {
                state::delayed(BlockingReason::WaitingForDelay, AttemptState::AttemptInterrupted)
            }
            None => state::waiting(AttemptState::AttemptInterrupted),
        };
        after.eligible_at = until;
        after.attempt_timeout_left =
            execution.attempt_timeout_at.map(|at| policy::until(cx.now, at));
        after.attempt_timeout_at = None;

        let cause = if until.is_some() { "worker_delay" } else { "lease_given_back" };
        let released = LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, cause, cx.now);
        Ok(Transition::unchanged(())
            .put_attempt(parked)
            .announce(released)
            .put(execution, after, cx.now, cause))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}
