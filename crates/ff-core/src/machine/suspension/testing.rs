//! Suspension rows for decision tests.

use super::*;
use crate::contracts::{
    ResumeCondition, SignalMatcher, SuspensionReasonCode, SuspensionRequester, TimeoutBehavior,
};
use crate::machine::execution::testing::{CREATED, execution, now_plus, running};
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::{Snapshot, state};
use crate::state::BlockingReason;

/// 32 bytes of `byte`.
pub(crate) fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

/// An active key.
pub(crate) fn key(kid: &str) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        secret: secret(1),
        rotated_at: CREATED,
        active: true,
        expires_at: None,
    }
}

pub(crate) fn waitpoint_id(number: u128) -> WaitpointId {
    WaitpointId::from_uuid(uuid::Uuid::from_u128(number))
}

pub(crate) fn suspension_id(number: u128) -> SuspensionId {
    SuspensionId::from_uuid(uuid::Uuid::from_u128(number))
}

/// A pending waitpoint of the first attempt, signed with `k1`, that ends a second from now.
pub(crate) fn pending(waitpoint_key: &str) -> Waitpoint {
    let id = waitpoint_id(50);
    let execution_id = execution().id;
    let token = token::mint(&key("k1"), &execution_id, &id, waitpoint_key, CREATED);
    Waitpoint {
        id,
        execution_id,
        attempt_index: Some(AttemptIndex(0)),
        suspension_id: None,
        key: waitpoint_key.to_owned(),
        kid: "k1".to_owned(),
        token,
        created_at: CREATED,
        activated_at: None,
        expires_at: Some(now_plus(1_000)),
        required_signal_names: Vec::new(),
        state: WaitpointState::Pending,
        closed: None,
    }
}

/// The same waitpoint as part of [`suspension`].
pub(crate) fn active(waitpoint_key: &str) -> Waitpoint {
    Waitpoint {
        suspension_id: Some(suspension_id(60)),
        activated_at: Some(CREATED),
        expires_at: None,
        state: WaitpointState::Active,
        ..pending(waitpoint_key)
    }
}

/// Any signal at `waitpoint_key`.
pub(crate) fn any_at(waitpoint_key: &str) -> ResumeCondition {
    ResumeCondition::Single {
        waitpoint_key: waitpoint_key.to_owned(),
        matcher: SignalMatcher::Wildcard,
    }
}

/// An open suspension of the first attempt without a timeout.
pub(crate) fn suspension(condition: ResumeCondition) -> Suspension {
    Suspension {
        execution_id: execution().id,
        suspension_id: suspension_id(60),
        version: 1,
        attempt_index: Some(AttemptIndex(0)),
        suspended_at: CREATED,
        timeout_at: None,
        timeout_behavior: Some(TimeoutBehavior::Fail),
        reason_code: SuspensionReasonCode::WaitingForSignal.as_wire_str().to_owned(),
        requested_by: SuspensionRequester::Worker,
        progress: condition::untouched(&condition),
        condition: Some(condition),
        resume_delay: None,
        continuation: None,
        closed: None,
    }
}

/// An execution that is suspended, with its attempt.
pub(crate) fn parked() -> (Execution, Attempt) {
    let (mut row, mut attempt) = running(now_plus(1));
    row.state = state::suspended(BlockingReason::WaitingForSignal);
    attempt.outcome = Some(AttemptOutcome::Interrupted);
    attempt.lease_expires_at = None;
    attempt.worker_instance_id = None;
    (row, attempt)
}

/// [`parked`] under `suspension`, with its waitpoints and the key that signed them.
pub(crate) fn suspended(suspension: Suspension, waitpoints: Vec<Waitpoint>) -> Snapshot {
    let (row, attempt) = parked();
    let mut seen = crate::machine::execution::testing::seen(row, attempt);
    seen.suspension.suspension = Some(suspension);
    seen.suspension.waitpoints = waitpoints;
    seen.suspension.keys = vec![key("k1")];
    seen
}

impl<T> crate::machine::Transition<T> {
    /// The suspension rows written, in order.
    pub(crate) fn writes(&self) -> Vec<&Write> {
        let rows = self.changes.iter().filter_map(|change| match change {
            crate::machine::Change::Suspension(write) => Some(write),
            _ => None,
        });
        rows.collect()
    }

    /// The signal events, in order.
    pub(crate) fn signals(&self) -> Vec<&SignalEvent> {
        let facts = self.events.iter().filter_map(|event| match event {
            crate::machine::Event::Signal(fact) => Some(fact),
            _ => None,
        });
        facts.collect()
    }
}
