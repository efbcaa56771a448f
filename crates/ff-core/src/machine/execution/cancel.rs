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
                // An earlier attempt of the holder's may have ended otherwise.
                CancelProof::Handle(fence) => seen.attempt(fence.index()).is_some_and(|attempt| {
                    attempt.outcome == Some(AttemptOutcome::Cancelled) && fence.held(attempt)
                }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, handle_of, interrupted, lapsed, refusal, revoked,
        running, seen, seen_pair, stale_handle,
    };
    use crate::machine::limits::REASON_MAX_BYTES;
    use crate::state::{AttemptState, PublicState};

    const NONE: CancelProof =
        CancelProof::Typed { lease_id: None, lease_epoch: None, attempt_id: None };

    fn cancel(source: CancelSource, proof: CancelProof) -> Cancel {
        Cancel { execution_id: execution().id, reason: "not needed".to_owned(), source, proof }
    }

    fn by_operator() -> Cancel {
        cancel(CancelSource::OperatorOverride, NONE)
    }

    fn by_handle(fence: Fence) -> Cancel {
        cancel(CancelSource::LeaseHolder, CancelProof::Handle(fence))
    }

    fn by_holder(epoch: u64) -> Cancel {
        let proof = CancelProof::Typed {
            lease_id: None,
            lease_epoch: Some(LeaseEpoch(epoch)),
            attempt_id: None,
        };
        cancel(CancelSource::LeaseHolder, proof)
    }

    #[test]
    fn an_operator_cancels_whatever_it_is_doing() {
        for pair in [running(LEASE_END), lapsed(), revoked(), interrupted()] {
            let done = decide(&by_operator(), &seen_pair(pair)).unwrap();

            let row = done.stored();
            assert_eq!(row.public_state(), PublicState::Cancelled);
            assert_eq!(row.state.attempt_state, AttemptState::AttemptTerminal);
            assert_eq!(row.cancel_reason.as_deref(), Some("not needed"));
            assert_eq!(row.cancelled_by.as_deref(), Some("operator_override"));
            assert_eq!(row.failure_reason.as_deref(), Some("cancelled: not needed"));
            assert_eq!((row.version, row.ended_at), (2, Some(NOW)));
            assert_eq!(done.attempts()[0].outcome, Some(AttemptOutcome::Cancelled));
            assert_eq!(done.completions().len(), 1);
        }
    }

    #[test]
    fn what_nobody_has_run_is_cancelled_without_an_attempt() {
        let done = decide(&by_operator(), &seen(execution(), None)).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::Cancelled);
        assert_eq!(done.stored().state.attempt_state, AttemptState::PendingFirstAttempt);
        assert!(done.attempts().is_empty());
        assert!(done.leases().is_empty());
    }

    #[test]
    fn only_a_live_lease_is_released() {
        let live = decide(&by_operator(), &seen_pair(running(LEASE_END))).unwrap();
        assert_eq!(live.leases()[0].cause, "cancelled");

        let over = decide(&by_operator(), &seen_pair(lapsed())).unwrap();
        assert!(over.leases().is_empty());
    }

    #[test]
    fn a_repeat_succeeds_and_writes_nothing() {
        let cancelled = ended(TerminalOutcome::Cancelled, AttemptOutcome::Cancelled);
        let holder = handle_of(&cancelled.1);
        let seen = seen_pair(cancelled);

        for repeat in [by_operator(), by_holder(1), by_handle(holder)] {
            assert!(decide(&repeat, &seen).unwrap().is_unchanged());
        }
    }

    #[test]
    fn a_handle_that_did_not_hold_the_cancelled_attempt_is_refused() {
        let seen = seen_pair(ended(TerminalOutcome::Cancelled, AttemptOutcome::Cancelled));

        let refused = refusal(decide(&by_handle(stale_handle()), &seen));

        assert!(refused.starts_with("contention: ExecutionNotActive"), "{refused}");
        assert!(refused.contains("terminal_outcome: \"cancelled\""), "{refused}");
    }

    #[test]
    fn a_handle_whose_attempt_ended_otherwise_is_refused_after_a_later_cancel() {
        for before in [AttemptOutcome::Success, AttemptOutcome::Failed, AttemptOutcome::Retry] {
            let pair = ended(TerminalOutcome::Cancelled, before);
            let holder = handle_of(&pair.1);

            let refused = refusal(decide(&by_handle(holder), &seen_pair(pair)));

            assert!(refused.contains("ExecutionNotActive"), "{before:?}: {refused}");
        }
    }

    #[test]
    fn what_ended_otherwise_is_refused_with_how_it_ended() {
        for (outcome, attempt, word) in [
            (TerminalOutcome::Success, AttemptOutcome::Success, "success"),
            (TerminalOutcome::Failed, AttemptOutcome::Failed, "failed"),
            (TerminalOutcome::Expired, AttemptOutcome::Expired, "expired"),
            (TerminalOutcome::Skipped, AttemptOutcome::Skipped, "skipped"),
        ] {
            let pair = ended(outcome, attempt);
            let holder = handle_of(&pair.1);
            let seen = seen_pair(pair);
            for cancel in [by_operator(), by_holder(1), by_handle(holder)] {
                let refused = refusal(decide(&cancel, &seen));
                let told = format!("ExecutionNotActive {{ terminal_outcome: \"{word}\"");
                assert!(refused.contains(&told), "{refused}");
            }
        }
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let seen = Snapshot::default();
        assert_eq!(refusal(decide(&by_operator(), &seen)), "not found: execution");
        assert_eq!(refusal(decide(&by_handle(stale_handle()), &seen)), "not found: execution");
    }

    #[test]
    fn a_handle_must_own_the_attempt() {
        let pair = running(LEASE_END);
        let owner = handle_of(&pair.1);
        let seen = seen_pair(pair);

        assert!(decide(&by_handle(owner.clone()), &seen).is_ok());
        let refused = refusal(decide(&by_handle(stale_handle()), &seen));
        assert_eq!(refused, "contention: LeaseConflict");
        let refused = refusal(decide(&by_handle(owner), &seen_pair(interrupted())));
        assert!(refused.starts_with("contention: ExecutionNotActive"), "{refused}");
    }

    #[test]
    fn anyone_but_an_operator_shows_the_epoch_of_a_running_execution() {
        let seen = seen_pair(running(LEASE_END));
        for source in [CancelSource::LeaseHolder, CancelSource::Custom("tool".to_owned())] {
            let refused = refusal(decide(&cancel(source, NONE), &seen));
            assert_eq!(refused, "validation: InvalidInput: fence_required");
        }
        assert_eq!(refusal(decide(&by_holder(2), &seen)), "state: StaleLease");
        assert!(decide(&by_holder(1), &seen).is_ok());
    }

    #[test]
    fn ids_that_are_shown_must_be_current_where_they_are_known() {
        let (row, attempt) = running(LEASE_END);
        let shown = |lease: Option<u128>, id: Option<u128>| {
            let proof = CancelProof::Typed {
                lease_id: lease.map(|n| LeaseId::from_uuid(uuid::Uuid::from_u128(n))),
                lease_epoch: Some(LeaseEpoch(1)),
                attempt_id: id.map(|n| AttemptId::from_uuid(uuid::Uuid::from_u128(n))),
            };
            cancel(CancelSource::LeaseHolder, proof)
        };
        let known = seen(row.clone(), attempt.clone());
        assert!(decide(&shown(Some(3), Some(2)), &known).is_ok());
        assert_eq!(refusal(decide(&shown(Some(4), Some(2)), &known)), "state: StaleLease");
        assert_eq!(refusal(decide(&shown(Some(3), Some(4)), &known)), "state: StaleLease");
        assert_eq!(refusal(decide(&shown(Some(4), None), &known)), "state: StaleLease");
        assert_eq!(refusal(decide(&shown(None, Some(4)), &known)), "state: StaleLease");

        let unknown =
            seen(row, crate::machine::Attempt { attempt_id: None, lease_id: None, ..attempt });
        assert!(decide(&shown(Some(4), Some(4)), &unknown).is_ok());
    }

    #[test]
    fn an_operators_ids_are_not_compared() {
        let mut wrong = by_holder(9);
        wrong.source = CancelSource::OperatorOverride;

        assert!(decide(&wrong, &seen_pair(running(LEASE_END))).is_ok());
    }

    #[test]
    fn a_holder_that_lost_its_lease_is_told_how_and_a_stale_one_that_it_is_stale() {
        assert_eq!(refusal(decide(&by_holder(1), &seen_pair(lapsed()))), "state: LeaseExpired");
        assert_eq!(refusal(decide(&by_holder(1), &seen_pair(revoked()))), "state: LeaseRevoked");
        assert_eq!(refusal(decide(&by_holder(2), &seen_pair(revoked()))), "state: StaleLease");
    }

    #[test]
    fn what_is_not_running_needs_no_proof() {
        let by_system = cancel(CancelSource::SystemTimeout, NONE);

        let done = decide(&by_system, &seen_pair(interrupted())).unwrap();

        assert_eq!(done.stored().cancelled_by.as_deref(), Some("system_timeout"));
    }

    #[test]
    fn a_nameless_source_is_recorded_as_the_execution_itself() {
        let nameless = cancel(CancelSource::Custom(String::new()), NONE);

        let done = decide(&nameless, &seen(execution(), None)).unwrap();

        assert_eq!(done.stored().cancelled_by, Some(execution().id.to_string()));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let mut talkative = by_operator();
        talkative.reason = "x".repeat(REASON_MAX_BYTES + 1);

        let done = decide(&talkative, &seen(execution(), None)).unwrap();

        assert_eq!(done.stored().cancel_reason.as_ref().unwrap().len(), REASON_MAX_BYTES);
    }

    #[test]
    fn it_asks_for_the_attempt_that_a_handle_names_and_goes_ahead_of_others() {
        assert_eq!(by_operator().footprint(), Footprint::execution(&execution().id));
        let by_handle = by_handle(stale_handle());
        assert_eq!(by_handle.footprint().attempt, Some(stale_handle().index()));
        assert_eq!(by_handle.urgency(), Urgency::Lease);
    }
}
