//! The one fencing check of the engine.
//!
//! A worker's write counts iff the execution is active, its lease is live, and attempt index,
//! attempt id, lease id and epoch are the current ones (ids where the stored row knows them).
//! The checks run in the order of contract E.4: existence, phase, identity, ownership.

use super::Snapshot;
use super::rows::{Attempt, Execution};
use crate::EngineError;
use crate::engine_error::{ContentionKind, StateKind, ValidationKind};
use crate::handle_codec::HandlePayload;
use crate::state::OwnershipState;
use crate::types::{
    AttemptId, AttemptIndex, CancelSource, LeaseEpoch, LeaseFence, LeaseId, TimestampMs,
};

/// What a caller shows to prove that it still owns an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    form: Form,
    index: AttemptIndex,
    epoch: LeaseEpoch,
    attempt_id: Option<AttemptId>,
    lease_id: Option<LeaseId>,
}

/// How the proof was given. It decides nothing but the name of the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By a handle: a lost lease is `Contention(LeaseConflict)`.
    Handle,
    /// By the triple of a typed operation: a lost lease is `State(StaleLease)`.
    Triple,
    /// By nobody: an operator acts on the current attempt.
    Override,
}

impl Fence {
    /// The proof inside a handle.
    pub fn of_handle(payload: &HandlePayload) -> Self {
        Self {
            form: Form::Handle,
            index: payload.attempt_index,
            epoch: payload.lease_epoch,
            attempt_id: Some(payload.attempt_id.clone()),
            lease_id: Some(payload.lease_id.clone()),
        }
    }

    /// The proof of a typed operation on attempt `index`. Without a triple only an operator's
    /// override is accepted: anyone else gets `Validation(InvalidInput, "fence_required")`.
    pub fn of_triple(
        index: AttemptIndex,
        triple: Option<&LeaseFence>,
        source: &CancelSource,
    ) -> Result<Self, EngineError> {
        match triple {
            Some(triple) => Ok(Self {
                form: Form::Triple,
                index,
                epoch: triple.lease_epoch,
                attempt_id: Some(triple.attempt_id.clone()),
                lease_id: Some(triple.lease_id.clone()),
            }),
            None if *source == CancelSource::OperatorOverride => Ok(Self {
                form: Form::Override,
                index,
                epoch: LeaseEpoch(0),
                attempt_id: None,
                lease_id: None,
            }),
            None => Err(fence_required()),
        }
    }

    /// The proof of an operation that accepts no override.
    pub fn required(index: AttemptIndex, triple: Option<&LeaseFence>) -> Result<Self, EngineError> {
        Self::of_triple(index, triple, &CancelSource::LeaseHolder)
    }

    /// The attempt it names.
    pub fn index(&self) -> AttemptIndex {
        self.index
    }

    /// Whether this is the proof that an ended attempt was held under, so that a repeated call is
    /// the same caller asking again. An operator is never recognised.
    pub fn held(&self, attempt: &Attempt) -> bool {
        self.form != Form::Override && self.is_of(attempt)
    }

    /// The execution and its attempt if this proof owns it at `now`; otherwise why not.
    pub fn check<'a>(
        &self,
        seen: &'a Snapshot,
        now: TimestampMs,
    ) -> Result<(&'a Execution, &'a Attempt), EngineError> {
        let execution = seen.execution()?;
        if !execution.is_active() {
            return Err(not_active(execution, seen.current.as_ref()));
        }
        if self.index != execution.attempt_index {
            return Err(self.stale());
        }
        let attempt = seen
            .attempt(execution.attempt_index)
            .ok_or(EngineError::NotFound { entity: "attempt" })?;
        let is_current = match self.form {
            Form::Override => true,
            Form::Handle | Form::Triple => self.epoch == execution.epoch && self.is_of(attempt),
        };
        if !is_current {
            return Err(self.stale());
        }
        match execution.state.ownership_state {
            OwnershipState::LeaseRevoked => Err(EngineError::State(StateKind::LeaseRevoked)),
            OwnershipState::LeaseExpiredReclaimable => {
                Err(EngineError::State(StateKind::LeaseExpired))
            }
            OwnershipState::Leased | OwnershipState::Unowned => {
                if attempt.lease_expires_at.is_some_and(|expiry| expiry <= now) {
                    Err(EngineError::State(StateKind::LeaseExpired))
                } else {
                    Ok((execution, attempt))
                }
            }
        }
    }

    fn is_of(&self, attempt: &Attempt) -> bool {
        self.index == attempt.index
            && self.epoch == attempt.epoch
            && agrees(self.attempt_id.as_ref(), attempt.attempt_id.as_ref())
            && agrees(self.lease_id.as_ref(), attempt.lease_id.as_ref())
    }

    fn stale(&self) -> EngineError {
        match self.form {
            Form::Handle => EngineError::Contention(ContentionKind::LeaseConflict),
            Form::Triple | Form::Override => EngineError::State(StateKind::StaleLease),
        }
    }
}

/// Two ids agree unless both are known and differ.
fn agrees<T: PartialEq>(shown: Option<&T>, stored: Option<&T>) -> bool {
    match (shown, stored) {
        (Some(shown), Some(stored)) => shown == stored,
        (None, _) | (_, None) => true,
    }
}

/// The refusal of an operation that needs an active execution, with its present standing.
pub fn not_active(execution: &Execution, current: Option<&Attempt>) -> EngineError {
    EngineError::Contention(ContentionKind::ExecutionNotActive {
        terminal_outcome: execution.outcome().as_str().to_owned(),
        lease_epoch: execution.epoch.to_string(),
        lifecycle_phase: execution.state.lifecycle_phase.as_str().to_owned(),
        attempt_id: current
            .and_then(|attempt| attempt.attempt_id.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default(),
    })
}

fn fence_required() -> EngineError {
    EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: "fence_required".to_owned(),
    }
}
