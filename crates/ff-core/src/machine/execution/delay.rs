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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, execution, handle_of, interrupted, lapsed, now_plus, refusal,
        revoked, running, seen, seen_pair, stale_handle,
    };
    use crate::types::DurationMs;

    fn owner() -> Fence {
        handle_of(&running(LEASE_END).1)
    }

    fn until(until: Option<TimestampMs>) -> Delay {
        Delay { execution_id: execution().id, fence: owner(), until }
    }

    #[test]
    fn the_attempt_is_parked_until_the_instant() {
        let (row, attempt) = running(LEASE_END);

        let done = decide(&until(Some(now_plus(1))), &seen(row.clone(), attempt.clone())).unwrap();

        let after = done.stored();
        assert_eq!(
            after.state,
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::AttemptInterrupted)
        );
        assert_eq!(after.eligible_at, Some(now_plus(1)));
        assert_eq!((after.epoch, after.attempt_count), (row.epoch, row.attempt_count));
        let parked = done.attempts()[0];
        assert_eq!(parked.outcome, Some(AttemptOutcome::Interrupted));
        assert_eq!((parked.lease_expires_at, parked.ended_at), (None, None));
        assert_eq!(parked.worker_instance_id, None);
        let released = done.leases()[0];
        assert_eq!(
            (released.kind, released.cause.as_str()),
            (LeaseEventKind::Revoked, "worker_delay")
        );
        assert_eq!(released.worker_instance_id, attempt.worker_instance_id);
        assert_eq!(done.moves()[0].cause, "worker_delay");
        assert!(done.completions().is_empty());
    }

    #[test]
    fn without_an_instant_ahead_it_goes_straight_back_in_line() {
        for at_once in [None, Some(NOW), Some(now_plus(-1))] {
            let done = decide(&until(at_once), &seen_pair(running(LEASE_END))).unwrap();

            assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
            assert_eq!(done.stored().eligible_at, None);
            assert_eq!(done.moves()[0].cause, "lease_given_back");
            assert_eq!(done.leases()[0].cause, "lease_given_back");
        }
    }

    #[test]
    fn the_time_that_the_attempt_has_left_is_kept() {
        let (mut row, attempt) = running(LEASE_END);
        row.attempt_timeout_at = Some(now_plus(500));

        let done = decide(&until(None), &seen(row, attempt)).unwrap();

        assert_eq!(done.stored().attempt_timeout_left, Some(DurationMs(500)));
        assert_eq!(done.stored().attempt_timeout_at, None);
    }

    #[test]
    fn ten_years_ahead_is_the_furthest() {
        let furthest = i64::try_from(DELAY_MAX_MS).unwrap();
        let seen = seen_pair(running(LEASE_END));

        assert!(decide(&until(Some(now_plus(furthest))), &seen).is_ok());
        assert_eq!(
            refusal(decide(&until(Some(now_plus(furthest + 1))), &seen)),
            "validation: InvalidInput: delay_until is more than ten years ahead"
        );
        assert!(decide(&until(Some(TimestampMs(i64::MAX))), &seen).is_err());
        assert!(decide(&until(Some(TimestampMs(i64::MIN))), &seen).is_ok());
    }

    #[test]
    fn whoever_does_not_own_it_is_refused() {
        let told = |seen: &Snapshot| refusal(decide(&until(None), seen));

        assert_eq!(told(&Snapshot::default()), "not found: execution");
        assert_eq!(told(&seen_pair(lapsed())), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(revoked())), "state: LeaseRevoked");
        let stale = Delay { fence: stale_handle(), ..until(None) };
        let refused = refusal(decide(&stale, &seen_pair(running(LEASE_END))));
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn a_repeat_is_refused() {
        let refused = refusal(decide(&until(None), &seen_pair(interrupted())));

        assert!(refused.contains("lifecycle_phase: \"runnable\""), "{refused}");
    }

    #[test]
    fn it_goes_ahead_of_others() {
        assert_eq!(until(None).urgency(), Urgency::Lease);
        assert_eq!(until(None).footprint().attempt, Some(owner().index()));
    }
}
