//! Renewing a lease: the holder says that it is alive.

use crate::EngineError;
use crate::backend::LeaseRenewal;
use crate::engine_error::StateKind;
use crate::machine::policy::later;
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Change, Command, Context, Fence, Footprint, Snapshot, Transition, Urgency};
use crate::types::{DurationMs, ExecutionId};

/// Moves the end of a live lease to now + ttl; the epoch stays. Safe to repeat.
///
/// The new end counts from now, so a renewal may also shorten a lease. A lease without an end
/// cannot be renewed: `State(LeaseExpired)`.
#[derive(Debug, Clone)]
pub struct Renew {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// The lease's new length, from now.
    pub ttl_ms: u64,
}

impl Command for Renew {
    const NAME: &'static str = "lease.renew";
    type Outcome = LeaseRenewal;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<LeaseRenewal>, EngineError> {
        let DurationMs(ttl_ms) = super::ttl(self.ttl_ms)?;
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        if attempt.lease_expires_at.is_none() {
            return Err(EngineError::State(StateKind::LeaseExpired));
        }
        let expires_at = later(cx.now, DurationMs(ttl_ms));
        let renewal =
            LeaseRenewal::new(u64::try_from(expires_at.0).unwrap_or(0), execution.epoch.0);
        let event = LeaseEvent::of(LeaseEventKind::Renewed, execution, attempt, "renewed", cx.now);
        Ok(Transition::unchanged(renewal)
            .change(Change::ExtendLease {
                execution_id: self.execution_id.clone(),
                index: attempt.index,
                expires_at,
            })
            .announce(event))
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
    use crate::types::{AttemptIndex, LeaseEpoch};

    fn renew(ttl_ms: u64) -> Renew {
        let fence = handle_of(&running(LEASE_END).1);
        Renew { execution_id: execution().id, fence, ttl_ms }
    }

    #[test]
    fn the_new_end_counts_from_now_and_the_epoch_stays() {
        for ttl_ms in [1, 30_000, 90_000] {
            let done = decide(&renew(ttl_ms), &seen_pair(running(LEASE_END))).unwrap();

            let expires_at = now_plus(i64::try_from(ttl_ms).unwrap());
            let end = u64::try_from(expires_at.0).unwrap();
            assert_eq!(done.outcome, LeaseRenewal::new(end, 1));
            let execution_id = execution().id;
            let index = AttemptIndex(0);
            assert_eq!(done.changes, [Change::ExtendLease { execution_id, index, expires_at }]);
            let [kept] = done.leases()[..] else { panic!("one lease event") };
            assert_eq!((kept.kind, kept.cause.as_str()), (LeaseEventKind::Renewed, "renewed"));
            assert_eq!((kept.epoch, kept.at), (LeaseEpoch(1), NOW));
        }
    }

    #[test]
    fn a_lease_is_renewed_until_its_end_and_not_at_it() {
        assert!(decide(&renew(1), &seen_pair(running(now_plus(1)))).is_ok());
        assert_eq!(refusal(decide(&renew(1), &seen_pair(running(NOW)))), "state: LeaseExpired");
    }

    #[test]
    fn a_lease_without_an_end_cannot_be_renewed() {
        let (row, mut attempt) = running(LEASE_END);
        attempt.lease_expires_at = None;

        assert_eq!(refusal(decide(&renew(1), &seen(row, attempt))), "state: LeaseExpired");
    }

    #[test]
    fn whoever_does_not_own_it_is_refused() {
        let told = |seen: &Snapshot| refusal(decide(&renew(1), seen));

        assert_eq!(told(&Snapshot::default()), "not found: execution");
        assert_eq!(told(&seen_pair(lapsed())), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(revoked())), "state: LeaseRevoked");
        assert!(told(&seen_pair(interrupted())).contains("ExecutionNotActive"));
        let stale = Renew { fence: stale_handle(), ..renew(1) };
        let refused = refusal(decide(&stale, &seen_pair(running(LEASE_END))));
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_first() {
        let refused = refusal(decide(&renew(0), &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: lease ttl"), "{refused}");
    }

    #[test]
    fn it_goes_ahead_of_others() {
        assert_eq!(renew(1).urgency(), Urgency::Lease);
        assert_eq!(renew(1).footprint().attempt, Some(AttemptIndex(0)));
    }
}
