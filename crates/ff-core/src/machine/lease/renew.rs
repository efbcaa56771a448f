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
