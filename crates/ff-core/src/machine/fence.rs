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

    /// Whether this is the proof inside that handle, whoever holds it now.
    pub fn is_proof_of(&self, handle: &HandlePayload) -> bool {
        self.form != Form::Override
            && self.index == handle.attempt_index
            && self.epoch == handle.lease_epoch
            && agrees(self.attempt_id.as_ref(), Some(&handle.attempt_id))
            && agrees(self.lease_id.as_ref(), Some(&handle.lease_id))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, execution, handle_of, lapsed, now_plus, refusal, revoked, running, seen,
        seen_pair, stale_handle, triple_of,
    };
    use crate::machine::state;
    use crate::state::{AttemptState, TerminalOutcome};

    fn by_triple(attempt: &Attempt) -> Fence {
        Fence::required(attempt.index, Some(&triple_of(attempt))).unwrap()
    }

    fn by_operator(index: u32) -> Fence {
        Fence::of_triple(AttemptIndex(index), None, &CancelSource::OperatorOverride).unwrap()
    }

    fn told(fence: &Fence, seen: &Snapshot, now: TimestampMs) -> String {
        refusal(fence.check(seen, now))
    }

    fn other_attempt_id() -> AttemptId {
        AttemptId::from_uuid(uuid::Uuid::from_u128(77))
    }

    fn other_lease_id() -> LeaseId {
        LeaseId::from_uuid(uuid::Uuid::from_u128(78))
    }

    /// Each way in which one thing about an attempt can differ from what the caller shows.
    fn with_one_difference(attempt: &Attempt) -> [(&'static str, Attempt); 4] {
        [
            ("index", Attempt { index: AttemptIndex(1), ..attempt.clone() }),
            ("epoch", Attempt { epoch: LeaseEpoch(2), ..attempt.clone() }),
            ("attempt id", Attempt { attempt_id: Some(other_attempt_id()), ..attempt.clone() }),
            ("lease id", Attempt { lease_id: Some(other_lease_id()), ..attempt.clone() }),
        ]
    }

    #[test]
    fn the_owner_passes_by_either_form_and_gets_its_rows() {
        let (row, attempt) = running(LEASE_END);
        let seen = seen(row.clone(), attempt.clone());

        for fence in [handle_of(&attempt), by_triple(&attempt), by_operator(0)] {
            assert_eq!(fence.index(), AttemptIndex(0));
            assert_eq!(fence.check(&seen, NOW).unwrap(), (&row, &attempt));
        }
    }

    #[test]
    fn the_attempt_may_be_the_one_the_footprint_named() {
        let (mut row, mut attempt) = running(LEASE_END);
        row.attempt_index = AttemptIndex(3);
        attempt.index = AttemptIndex(3);
        let fence = handle_of(&attempt);
        assert_eq!(fence.index(), AttemptIndex(3));

        let seen = Snapshot { named: Some(attempt.clone()), ..seen(row, None) };

        assert_eq!(fence.check(&seen, NOW).unwrap().1, &attempt);
    }

    #[test]
    fn only_an_operator_needs_no_triple() {
        let index = AttemptIndex(0);
        for source in [
            CancelSource::LeaseHolder,
            CancelSource::FlowCascade,
            CancelSource::SystemTimeout,
            CancelSource::Custom("someone".to_owned()),
        ] {
            let refused = Fence::of_triple(index, None, &source);
            assert_eq!(refusal(refused), "validation: InvalidInput: fence_required");
        }
        assert_eq!(
            refusal(Fence::required(index, None)),
            "validation: InvalidInput: fence_required"
        );
        assert!(Fence::of_triple(index, None, &CancelSource::OperatorOverride).is_ok());
    }

    #[test]
    fn a_triple_that_an_operator_shows_must_be_current() {
        let (row, attempt) = running(LEASE_END);
        let mut triple = triple_of(&attempt);
        triple.lease_epoch = LeaseEpoch(9);
        let fence =
            Fence::of_triple(AttemptIndex(0), Some(&triple), &CancelSource::OperatorOverride)
                .unwrap();

        assert_eq!(told(&fence, &seen(row, attempt), NOW), "state: StaleLease");
    }

    #[test]
    fn an_execution_that_does_not_exist_is_not_found() {
        let (_, attempt) = running(LEASE_END);
        for fence in [handle_of(&attempt), by_triple(&attempt), by_operator(0)] {
            assert_eq!(told(&fence, &Snapshot::default(), NOW), "not found: execution");
        }
    }

    #[test]
    fn an_active_execution_without_its_attempt_row_has_no_attempt() {
        let (row, attempt) = running(LEASE_END);
        for fence in [handle_of(&attempt), by_triple(&attempt), by_operator(0)] {
            assert_eq!(told(&fence, &seen(row.clone(), None), NOW), "not found: attempt");
        }
    }

    #[test]
    fn the_phase_is_told_before_a_stale_identity() {
        let (mut row, attempt) = running(LEASE_END);
        row.state = state::waiting(AttemptState::AttemptInterrupted);

        let refused = told(&stale_handle(), &seen(row, attempt), NOW);

        assert!(refused.starts_with("contention: ExecutionNotActive"), "{refused}");
    }

    #[test]
    fn each_part_of_the_identity_must_be_the_current_one() {
        let (row, attempt) = running(LEASE_END);
        for (what, shown) in with_one_difference(&attempt) {
            let seen = seen(row.clone(), attempt.clone());

            let by_handle = told(&handle_of(&shown), &seen, NOW);
            assert_eq!(by_handle, "contention: LeaseConflict", "{what}");
            let by_triple = told(&by_triple(&shown), &seen, NOW);
            assert_eq!(by_triple, "state: StaleLease", "{what}");
        }
    }

    #[test]
    fn an_epoch_that_only_the_execution_or_only_the_attempt_has_is_stale() {
        let (row, attempt) = running(LEASE_END);
        let raised = seen(Execution { epoch: LeaseEpoch(2), ..row }, attempt.clone());
        let ahead = Attempt { epoch: LeaseEpoch(2), ..attempt.clone() };

        assert_eq!(told(&handle_of(&attempt), &raised, NOW), "contention: LeaseConflict");
        assert_eq!(told(&handle_of(&ahead), &raised, NOW), "contention: LeaseConflict");
    }

    #[test]
    fn ids_that_the_stored_row_does_not_know_are_not_compared() {
        let (row, attempt) = running(LEASE_END);
        let bare = Attempt { attempt_id: None, lease_id: None, ..attempt.clone() };
        let seen = seen(row, bare);

        assert!(handle_of(&attempt).check(&seen, NOW).is_ok());
        assert!(by_triple(&attempt).check(&seen, NOW).is_ok());
        let refused = told(&stale_handle(), &seen, NOW);
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn an_operator_acts_on_the_current_attempt_whatever_its_epoch_and_ids() {
        let (mut row, mut attempt) = running(LEASE_END);
        row.epoch = LeaseEpoch(9);
        attempt.epoch = LeaseEpoch(8);
        let seen = seen(row, attempt);

        assert!(by_operator(0).check(&seen, NOW).is_ok());
        assert_eq!(told(&by_operator(1), &seen, NOW), "state: StaleLease");
    }

    #[test]
    fn a_lease_ends_at_its_instant_and_not_before() {
        let (row, attempt) = running(LEASE_END);
        let one_before = TimestampMs(LEASE_END.0 - 1);
        for fence in [handle_of(&attempt), by_triple(&attempt), by_operator(0)] {
            let seen = seen(row.clone(), attempt.clone());

            assert!(fence.check(&seen, one_before).is_ok());
            assert_eq!(told(&fence, &seen, LEASE_END), "state: LeaseExpired");
            let after = TimestampMs(LEASE_END.0 + 1);
            assert_eq!(told(&fence, &seen, after), "state: LeaseExpired");
        }
    }

    #[test]
    fn a_lease_without_an_end_never_expires() {
        let (row, mut attempt) = running(LEASE_END);
        attempt.lease_expires_at = None;
        let fence = handle_of(&attempt);

        assert!(fence.check(&seen(row, attempt), TimestampMs(i64::MAX)).is_ok());
    }

    #[test]
    fn an_active_row_that_names_no_owner_is_judged_by_its_lease_alone() {
        let (mut row, attempt) = running(LEASE_END);
        row.state.ownership_state = OwnershipState::Unowned;
        let fence = handle_of(&attempt);
        let seen = seen(row, attempt);

        assert!(fence.check(&seen, NOW).is_ok());
        assert_eq!(told(&fence, &seen, LEASE_END), "state: LeaseExpired");
    }

    #[test]
    fn a_lost_lease_says_how_it_was_lost_in_every_form() {
        for (pair, name) in [(revoked(), "state: LeaseRevoked"), (lapsed(), "state: LeaseExpired")]
        {
            let attempt = pair.1.clone();
            let seen = seen_pair(pair);
            for fence in [handle_of(&attempt), by_triple(&attempt), by_operator(0)] {
                assert_eq!(told(&fence, &seen, NOW), name);
            }
        }
    }

    #[test]
    fn a_lease_taken_away_is_revoked_even_while_its_end_lies_ahead() {
        let (mut row, attempt) = running(LEASE_END);
        row.state = state::lease_revoked();
        let taken = seen(row.clone(), attempt.clone());
        assert_eq!(told(&handle_of(&attempt), &taken, NOW), "state: LeaseRevoked");

        row.state = state::lease_expired();
        let marked = seen(row, attempt.clone());
        assert_eq!(told(&handle_of(&attempt), &marked, NOW), "state: LeaseExpired");
    }

    #[test]
    fn a_stale_identity_is_told_before_a_lost_lease() {
        for pair in [revoked(), lapsed()] {
            let refused = told(&stale_handle(), &seen_pair(pair), NOW);
            assert_eq!(refused, "contention: LeaseConflict");
        }
        let (row, attempt) = running(now_plus(-1));
        let refused = told(&stale_handle(), &seen(row, attempt), NOW);
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn a_proof_recognises_the_attempt_it_held_and_no_other() {
        let (_, attempt) = running(LEASE_END);
        let ended = Attempt { lease_expires_at: None, ended_at: Some(NOW), ..attempt.clone() };
        for fence in [handle_of(&attempt), by_triple(&attempt)] {
            assert!(fence.held(&ended));
            assert!(fence.held(&Attempt { attempt_id: None, lease_id: None, ..ended.clone() }));
            for (what, other) in with_one_difference(&ended) {
                assert!(!fence.held(&other), "{what}");
            }
        }
    }

    #[test]
    fn an_operator_is_never_recognised() {
        let (_, attempt) = running(LEASE_END);
        let like_an_operator = Attempt { epoch: LeaseEpoch(0), ..attempt.clone() };

        assert!(!by_operator(0).held(&like_an_operator));
        assert!(!by_operator(0).held(&attempt));
    }

    #[test]
    fn an_inactive_execution_tells_its_outcome_epoch_phase_and_attempt() {
        let (mut row, attempt) = running(LEASE_END);
        row.state = state::ended(TerminalOutcome::Cancelled, AttemptState::AttemptTerminal);
        row.epoch = LeaseEpoch(4);

        let EngineError::Contention(told) = not_active(&row, Some(&attempt)) else {
            panic!("expected a contention");
        };

        assert_eq!(
            told,
            ContentionKind::ExecutionNotActive {
                terminal_outcome: "cancelled".to_owned(),
                lease_epoch: "4".to_owned(),
                lifecycle_phase: "terminal".to_owned(),
                attempt_id: attempt.attempt_id.unwrap().to_string(),
            }
        );
    }

    #[test]
    fn an_attempt_that_is_absent_or_has_no_id_is_told_as_empty_text() {
        let (_, attempt) = running(LEASE_END);
        let nameless = Attempt { attempt_id: None, ..attempt };
        for current in [None, Some(&nameless)] {
            let EngineError::Contention(told) = not_active(&execution(), current) else {
                panic!("expected a contention");
            };
            assert_eq!(
                told,
                ContentionKind::ExecutionNotActive {
                    terminal_outcome: "none".to_owned(),
                    lease_epoch: "0".to_owned(),
                    lifecycle_phase: "runnable".to_owned(),
                    attempt_id: String::new(),
                }
            );
        }
    }
}
