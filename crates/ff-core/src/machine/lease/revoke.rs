//! Revoking a lease: an operator takes it away.

use crate::EngineError;
use crate::engine_error::{ContentionKind, StateKind};
use crate::machine::execution::stored_reason;
use crate::machine::fence::not_active;
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Command, Context, Footprint, Snapshot, Transition, Urgency, state, sweep};
use crate::state::OwnershipState;
use crate::types::{ExecutionId, LeaseEpoch, LeaseId, WorkerInstanceId};

/// Ends a live lease at once; the execution waits for a reclaim and the holder is fenced. In a
/// flow whose pending members are cancelled nobody reclaims: the execution ends as cancelled.
///
/// Safe to repeat: an ended lease answers `AlreadySatisfied` (`already_revoked`,
/// `already_expired`). Refused with `ExecutionNotActive`, `NoActiveLease`, or `StaleLease` when
/// the expected lease is not the current one.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The lease that is meant, if the caller knows it.
    pub expected_lease_id: Option<String>,
    /// The holder that is meant; empty means whoever holds it.
    pub worker_instance_id: WorkerInstanceId,
    /// Why, for people.
    pub reason: String,
}

/// What a revoke found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum Revoked {
    Revoked { lease_id: Option<LeaseId>, epoch: LeaseEpoch },
    AlreadySatisfied { reason: &'static str },
}

impl Command for Revoke {
    const NAME: &'static str = "lease.revoke";
    type Outcome = Revoked;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Revoked>, EngineError> {
        let execution = seen.execution()?;
        if !execution.is_active() {
            return Err(not_active(execution, seen.current.as_ref()));
        }
        let satisfied = |reason| Ok(Transition::unchanged(Revoked::AlreadySatisfied { reason }));
        match execution.state.ownership_state {
            OwnershipState::LeaseRevoked => return satisfied("already_revoked"),
            OwnershipState::LeaseExpiredReclaimable => return satisfied("already_expired"),
            OwnershipState::Unowned => {
                return Err(EngineError::Contention(ContentionKind::NoActiveLease));
            }
            OwnershipState::Leased => {}
        }
        let attempt =
            seen.current.as_ref().ok_or(EngineError::Contention(ContentionKind::NoActiveLease))?;
        let meant = self.worker_instance_id.as_str();
        if !meant.is_empty()
            && attempt.worker_instance_id.as_ref().is_some_and(|holder| holder.as_str() != meant)
        {
            return satisfied("different_worker_instance_id");
        }
        let current_lease = attempt.lease_id.as_ref().map(ToString::to_string);
        if let (Some(expected), Some(current)) = (&self.expected_lease_id, &current_lease)
            && expected != current
        {
            return Err(EngineError::State(StateKind::StaleLease));
        }

        let reason = stored_reason(&self.reason);
        let mut lapsed = attempt.clone();
        lapsed.lease_expires_at = None;
        lapsed.worker_instance_id = None;
        let mut after = execution.clone();
        after.state = state::lease_revoked();
        after.blocking_detail = Some(format!("lease revoked: {reason}"));
        after.attempt_timeout_at = None;
        let event =
            LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, reason.as_str(), cx.now);
        let answer =
            Revoked::Revoked { lease_id: attempt.lease_id.clone(), epoch: execution.epoch };
        let revoked = Transition::unchanged(answer).put_attempt(lapsed).announce(event).put(
            execution,
            after,
            cx.now,
            "lease_revoked",
        );
        // The lease kept a cancel of pending members away; without it the flow's mark reaches.
        let mut rows = seen.clone();
        rows.apply(&revoked.changes);
        Ok(match sweep::settle(&rows, cx) {
            None => revoked,
            Some((ended, _)) => {
                let answer = revoked.outcome.clone();
                ended.after(revoked).answer(answer)
            }
        })
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, handle_of, interrupted, lapsed, refusal, revoked,
        running, seen, seen_pair,
    };
    use crate::machine::limits::REASON_MAX_BYTES;
    use crate::machine::rows::{Attempt, AttemptOutcome};
    use crate::state::{PublicState, TerminalOutcome};

    fn revoke(expected_lease_id: Option<String>, instance: &str) -> Revoke {
        Revoke {
            execution_id: execution().id,
            expected_lease_id,
            worker_instance_id: WorkerInstanceId::new(instance),
            reason: "host is going down".to_owned(),
        }
    }

    fn anyone() -> Revoke {
        revoke(None, "")
    }

    fn satisfied(reason: &'static str) -> Revoked {
        Revoked::AlreadySatisfied { reason }
    }

    #[test]
    fn the_lease_ends_at_once_and_the_holder_is_fenced() {
        let (mut row, attempt) = running(LEASE_END);
        row.attempt_timeout_at = Some(LEASE_END);
        let mut seen = seen(row.clone(), attempt.clone());

        let done = decide(&anyone(), &seen).unwrap();

        let lease_id = attempt.lease_id.clone();
        assert_eq!(done.outcome, Revoked::Revoked { lease_id, epoch: row.epoch });
        let after = done.stored();
        assert_eq!(after.state, state::lease_revoked());
        assert_eq!(after.public_state(), PublicState::Active);
        assert_eq!(after.blocking_detail.as_deref(), Some("lease revoked: host is going down"));
        assert_eq!((after.attempt_timeout_at, after.epoch), (None, row.epoch));
        let lapsed =
            Attempt { lease_expires_at: None, worker_instance_id: None, ..attempt.clone() };
        assert_eq!(done.attempts(), [&lapsed]);
        let [event] = done.leases()[..] else { panic!("one lease event") };
        assert_eq!(event.kind, LeaseEventKind::Revoked);
        assert_eq!(event.cause, "host is going down");
        assert_eq!(event.worker_instance_id, attempt.worker_instance_id);
        assert_eq!(done.moves()[0].cause, "lease_revoked");

        seen.apply(&done.changes);
        let refused = refusal(handle_of(&attempt).check(&seen, NOW));
        assert_eq!(refused, "state: LeaseRevoked");
        assert_eq!(decide(&anyone(), &seen).unwrap().outcome, satisfied("already_revoked"));
    }

    #[test]
    fn a_lease_that_has_ended_is_already_satisfied() {
        for (pair, reason) in [(revoked(), "already_revoked"), (lapsed(), "already_expired")] {
            let done = decide(&anyone(), &seen_pair(pair)).unwrap();
            assert_eq!(done.outcome, satisfied(reason));
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn another_holder_than_the_one_meant_keeps_its_lease() {
        let (row, attempt) = running(LEASE_END);
        let seen_by = |attempt: Attempt| seen(row.clone(), attempt);

        let done = decide(&revoke(None, "worker-2"), &seen_by(attempt.clone())).unwrap();
        assert_eq!(done.outcome, satisfied("different_worker_instance_id"));
        assert!(done.is_unchanged());

        let done = decide(&revoke(None, "worker-1"), &seen_by(attempt.clone())).unwrap();
        assert!(matches!(done.outcome, Revoked::Revoked { .. }));
        let nameless = Attempt { worker_instance_id: None, ..attempt };
        let done = decide(&revoke(None, "worker-2"), &seen_by(nameless)).unwrap();
        assert!(matches!(done.outcome, Revoked::Revoked { .. }));
    }

    #[test]
    fn the_expected_lease_must_be_the_current_one_where_that_is_known() {
        let (row, attempt) = running(LEASE_END);
        let current = attempt.lease_id.as_ref().map(ToString::to_string);
        let unknown = Attempt { lease_id: None, ..attempt.clone() };
        let other = revoke(Some("other".to_owned()), "");

        let held = seen(row.clone(), attempt);
        assert_eq!(refusal(decide(&other, &held)), "state: StaleLease");
        assert_eq!(refusal(decide(&revoke(current, ""), &held)), "accepted");
        assert_eq!(refusal(decide(&other, &seen(row, unknown))), "accepted");
    }

    #[test]
    fn what_holds_no_lease_is_refused() {
        for pair in [interrupted(), ended(TerminalOutcome::Failed, AttemptOutcome::Failed)] {
            let refused = refusal(decide(&anyone(), &seen_pair(pair)));
            assert!(refused.starts_with("contention: ExecutionNotActive"), "{refused}");
        }
        assert_eq!(refusal(decide(&anyone(), &Snapshot::default())), "not found: execution");
        let (mut row, attempt) = running(LEASE_END);
        assert_eq!(
            refusal(decide(&anyone(), &seen(row.clone(), None))),
            "contention: NoActiveLease"
        );
        row.state.ownership_state = OwnershipState::Unowned;
        assert_eq!(refusal(decide(&anyone(), &seen(row, attempt))), "contention: NoActiveLease");
    }

    #[test]
    fn a_long_reason_is_cut() {
        let talkative = Revoke { reason: "x".repeat(REASON_MAX_BYTES + 1), ..anyone() };

        let done = decide(&talkative, &seen_pair(running(LEASE_END))).unwrap();

        assert_eq!(done.leases()[0].cause.len(), REASON_MAX_BYTES);
        assert_eq!(talkative.urgency(), Urgency::Lease);
    }
}
