//! Revoking a lease: an operator takes it away.

use crate::EngineError;
use crate::engine_error::{ContentionKind, StateKind};
use crate::machine::execution::stored_reason;
use crate::machine::fence::not_active;
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Command, Context, Footprint, Snapshot, Transition, Urgency, state};
use crate::state::OwnershipState;
use crate::types::{ExecutionId, LeaseEpoch, LeaseId, WorkerInstanceId};

/// Ends a live lease at once; the execution waits for a reclaim and the holder is fenced.
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
        Ok(Transition::unchanged(answer).put_attempt(lapsed).announce(event).put(
            execution,
            after,
            cx.now,
            "lease_revoked",
        ))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}
