//! Cancelling an execution: by an operator, or by the worker that gives it up.

use super::stored_reason;
use crate::EngineError;
use crate::engine_error::{StateKind, ValidationKind};
use crate::machine::fence::not_active;
use crate::machine::rows::{AttemptOutcome, Execution};
use crate::machine::terminal::{self, End};
use crate::machine::{Command, Context, Fence, Footprint, Snapshot, Transition, Urgency};
use crate::state::{OwnershipState, TerminalOutcome};
use crate::types::{AttemptId, CancelSource, ExecutionId, LeaseEpoch, LeaseId};

/// Ends an execution as cancelled, whatever it is doing.
///
/// Safe to repeat: cancelled stays cancelled, with the first reason. An execution that ended
/// otherwise is refused with `Contention(ExecutionNotActive)`. Once this is answered no claim
/// takes it, and the worker that ran it is fenced.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The execution.
    pub execution_id: ExecutionId,
    /// Why, for people. Cut at 16 KiB.
    pub reason: String,
    /// Who asks.
    pub source: CancelSource,
    /// What the caller shows.
    pub proof: CancelProof,
}

/// What the caller of a cancel shows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum CancelProof {
    /// A handle: the full fence.
    Handle(Fence),
    /// What a typed call gave. An operator needs none; anyone else needs at least the epoch while
    /// the execution is leased, and whatever is given must be current.
    Typed {
        lease_id: Option<LeaseId>,
        lease_epoch: Option<LeaseEpoch>,
        attempt_id: Option<AttemptId>,
    },
}

impl Cancel {
    fn check(&self, seen: &Snapshot, cx: &Context<'_>) -> Result<(), EngineError> {
        let execution = seen.execution()?;
        let (lease_id, lease_epoch, attempt_id) = match &self.proof {
            CancelProof::Handle(fence) => return fence.check(seen, cx.now).map(|_| ()),
            CancelProof::Typed { lease_id, lease_epoch, attempt_id } => {
                (lease_id, lease_epoch, attempt_id)
            }
        };
        if self.source == CancelSource::OperatorOverride || !execution.is_active() {
            return Ok(());
        }
        let Some(epoch) = lease_epoch else {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: "fence_required".to_owned(),
            });
        };
        let current = seen.current.as_ref();
        let differs = *epoch != execution.epoch
            || lease_id
                .as_ref()
                .zip(current.and_then(|attempt| attempt.lease_id.as_ref()))
                .is_some_and(|(shown, stored)| shown != stored)
            || attempt_id
                .as_ref()
                .zip(current.and_then(|attempt| attempt.attempt_id.as_ref()))
                .is_some_and(|(shown, stored)| shown != stored);
        if differs {
            return Err(EngineError::State(StateKind::StaleLease));
        }
        match execution.state.ownership_state {
            OwnershipState::LeaseRevoked => Err(EngineError::State(StateKind::LeaseRevoked)),
            OwnershipState::LeaseExpiredReclaimable => {
                Err(EngineError::State(StateKind::LeaseExpired))
            }
            OwnershipState::Leased | OwnershipState::Unowned => Ok(()),
        }
    }

    fn is_repeat(&self, execution: &Execution, seen: &Snapshot) -> bool {
        execution.outcome() == TerminalOutcome::Cancelled
            && match &self.proof {
                CancelProof::Handle(fence) => {
                    seen.attempt(fence.index()).is_some_and(|attempt| fence.held(attempt))
                }
                CancelProof::Typed { .. } => true,
            }
    }
}

impl Command for Cancel {
    const NAME: &'static str = "execution.cancel";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        let footprint = Footprint::execution(&self.execution_id);
        match &self.proof {
            CancelProof::Handle(fence) => footprint.with_attempt(fence.index()),
            CancelProof::Typed { .. } => footprint,
        }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let execution = seen.execution()?;
        if self.is_repeat(execution, seen) {
            return Ok(Transition::unchanged(()));
        }
        if execution.is_terminal() {
            return Err(not_active(execution, seen.current.as_ref()));
        }
        self.check(seen, cx)?;

        let reason = stored_reason(&self.reason);
        let source = self.source.as_str();
        let mut marked = execution.clone();
        marked.cancel_reason = Some(reason.clone());
        marked.cancelled_by =
            Some(if source.is_empty() { execution.id.to_string() } else { source.to_owned() });
        let how = End {
            outcome: TerminalOutcome::Cancelled,
            attempt: AttemptOutcome::Cancelled,
            cause: "cancelled",
            reason: Some(format!("cancelled: {reason}")),
            category: None,
        };
        Ok(terminal::end(&marked, seen.current.as_ref(), &how, cx.now).answer(()))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}
