//! Completing an execution: the lease holder reports success.

use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::rows::AttemptOutcome;
use crate::machine::terminal::{self, End};
use crate::machine::{Change, Command, Context, Fence, Footprint, Snapshot, Transition, Urgency};
use crate::state::{PublicState, TerminalOutcome};
use crate::types::ExecutionId;

/// Ends the current attempt and its execution with success.
///
/// Safe to repeat by the same holder with the same result: a worker that lost the reply asks again
/// and gets the same answer. Anyone else, or another result, is refused and nothing is written.
/// A result above the limit is refused with `Validation(PayloadTooLarge)`; the lease stays.
#[derive(Debug, Clone)]
pub struct Complete {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// The result; empty bytes are no result.
    pub result: Option<Vec<u8>>,
}

impl Complete {
    fn result(&self) -> Option<&Vec<u8>> {
        self.result.as_ref().filter(|bytes| !bytes.is_empty())
    }

    fn is_repeat(&self, seen: &Snapshot) -> bool {
        let succeeded = |attempt: &crate::machine::Attempt| {
            attempt.outcome == Some(AttemptOutcome::Success) && self.fence.held(attempt)
        };
        seen.execution.as_ref().is_some_and(|execution| {
            execution.outcome() == TerminalOutcome::Success
                && seen.attempt(self.fence.index()).is_some_and(succeeded)
                && seen.result.as_ref() == self.result()
        })
    }
}

impl Command for Complete {
    const NAME: &'static str = "execution.complete";
    type Outcome = PublicState;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index()).with_result()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<PublicState>, EngineError> {
        seen.execution()?;
        if self.is_repeat(seen) {
            return Ok(Transition::unchanged(PublicState::Completed));
        }
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        let size = self.result().map_or(0, Vec::len);
        if size > cx.limits.result_bytes {
            return Err(EngineError::Validation {
                kind: ValidationKind::PayloadTooLarge,
                detail: format!(
                    "the result is {size} bytes; the limit is {} bytes. Store the data elsewhere \
                     and return a reference, or raise the limit",
                    cx.limits.result_bytes
                ),
            });
        }

        let how = End {
            outcome: TerminalOutcome::Success,
            attempt: AttemptOutcome::Success,
            cause: "completed",
            reason: None,
            category: None,
        };
        let ended = terminal::end(execution, Some(attempt), &how, cx.now);
        let state = ended.outcome.public_state();
        let transition = ended.answer(state);
        Ok(match self.result() {
            Some(bytes) => transition.change(Change::PutResult {
                execution_id: self.execution_id.clone(),
                result: Some(bytes.clone()),
            }),
            None => transition,
        })
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }

    fn weight(&self) -> usize {
        self.result().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, handle_of, interrupted, lapsed, refusal, revoked,
        running, seen, seen_pair, stale_handle,
    };
    use crate::machine::{Limits, state};
    use crate::types::{AttemptIndex, CancelSource};

    fn complete(fence: Fence, result: Option<&[u8]>) -> Complete {
        Complete { execution_id: execution().id, fence, result: result.map(<[u8]>::to_vec) }
    }

    fn owner() -> Fence {
        handle_of(&running(LEASE_END).1)
    }

    fn stored_result(done: &Transition<PublicState>) -> Option<&Option<Vec<u8>>> {
        done.changes.iter().find_map(|change| match change {
            Change::PutResult { result, .. } => Some(result),
            _ => None,
        })
    }

    /// What a holder sees that completed with `result` and asks again.
    fn completed(result: Option<&[u8]>) -> Snapshot {
        let mut seen = seen_pair(ended(TerminalOutcome::Success, AttemptOutcome::Success));
        seen.result = result.map(<[u8]>::to_vec);
        seen
    }

    #[test]
    fn the_holder_ends_its_attempt_and_the_execution_with_success() {
        let done = decide(&complete(owner(), Some(b"42")), &seen_pair(running(LEASE_END))).unwrap();

        assert_eq!(done.outcome, PublicState::Completed);
        assert_eq!(done.stored().public_state(), PublicState::Completed);
        assert_eq!(done.stored().failure_reason, None);
        assert_eq!(done.attempts()[0].outcome, Some(AttemptOutcome::Success));
        assert_eq!(done.attempts()[0].failure_reason, None);
        assert_eq!(done.leases()[0].cause, "completed");
        assert_eq!(done.completions()[0].outcome, TerminalOutcome::Success);
        assert_eq!(stored_result(&done), Some(&Some(b"42".to_vec())));
    }

    #[test]
    fn empty_bytes_are_no_result() {
        for nothing in [None, Some(&b""[..])] {
            let command = complete(owner(), nothing);
            let done = decide(&command, &seen_pair(running(LEASE_END))).unwrap();
            assert_eq!(stored_result(&done), None);
            assert_eq!(command.weight(), 0);
            assert!(decide(&command, &completed(None)).unwrap().is_unchanged());
        }
    }

    #[test]
    fn a_result_above_the_limit_is_refused_and_one_at_the_limit_is_stored() {
        let limit = Limits::default().result_bytes;
        let seen = seen_pair(running(LEASE_END));

        assert!(decide(&complete(owner(), Some(&vec![0; limit])), &seen).is_ok());
        let refused = refusal(decide(&complete(owner(), Some(&vec![0; limit + 1])), &seen));
        assert_eq!(
            refused,
            "validation: PayloadTooLarge: the result is 1048577 bytes; the limit is 1048576 \
             bytes. Store the data elsewhere and return a reference, or raise the limit"
        );
        let refused = refusal(decide(&complete(stale_handle(), Some(&vec![0; limit + 1])), &seen));
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn a_repeat_with_the_same_result_is_answered_and_writes_nothing() {
        for result in [None, Some(&b"42"[..])] {
            let done = decide(&complete(owner(), result), &completed(result)).unwrap();
            assert_eq!(done.outcome, PublicState::Completed);
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn another_result_or_another_holder_is_refused_once_it_has_ended() {
        let by_operator =
            Fence::of_triple(AttemptIndex(0), None, &CancelSource::OperatorOverride).unwrap();
        for (fence, result) in [
            (owner(), Some(&b"43"[..])),
            (owner(), None),
            (stale_handle(), Some(b"42")),
            (by_operator, Some(b"42")),
        ] {
            let refused = refusal(decide(&complete(fence, result), &completed(Some(b"42"))));
            assert!(refused.contains("ExecutionNotActive { terminal_outcome: \"success\""));
        }
    }

    #[test]
    fn what_ended_otherwise_is_no_repeat() {
        for (outcome, attempt) in [
            (TerminalOutcome::Failed, AttemptOutcome::Failed),
            (TerminalOutcome::Cancelled, AttemptOutcome::Cancelled),
            (TerminalOutcome::Success, AttemptOutcome::InterruptedReclaimed),
        ] {
            let refused =
                refusal(decide(&complete(owner(), None), &seen_pair(ended(outcome, attempt))));
            assert!(refused.starts_with("contention: ExecutionNotActive"), "{refused}");
        }
    }

    #[test]
    fn a_success_of_an_earlier_run_is_no_repeat_while_another_run_goes_on() {
        let (_, first) = ended(TerminalOutcome::Success, AttemptOutcome::Success);
        let (mut row, mut second) = running(LEASE_END);
        row.attempt_index = AttemptIndex(1);
        second.index = AttemptIndex(1);
        let seen = Snapshot { named: Some(first), ..seen(row, second) };

        assert_eq!(refusal(decide(&complete(owner(), None), &seen)), "contention: LeaseConflict");
    }

    #[test]
    fn whoever_does_not_own_it_is_refused() {
        let told = |seen: &Snapshot, fence| refusal(decide(&complete(fence, None), seen));

        assert_eq!(told(&Snapshot::default(), owner()), "not found: execution");
        assert_eq!(
            told(&seen_pair(running(LEASE_END)), stale_handle()),
            "contention: LeaseConflict"
        );
        assert_eq!(told(&seen_pair(running(NOW)), owner()), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(lapsed()), owner()), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(revoked()), owner()), "state: LeaseRevoked");
        let parked = told(&seen_pair(interrupted()), owner());
        assert!(parked.starts_with("contention: ExecutionNotActive"), "{parked}");
    }

    #[test]
    fn an_operator_completes_the_current_attempt_without_a_triple() {
        let by_operator =
            Fence::of_triple(AttemptIndex(0), None, &CancelSource::OperatorOverride).unwrap();

        let done = decide(&complete(by_operator, None), &seen_pair(running(LEASE_END))).unwrap();

        let expected =
            state::ended(TerminalOutcome::Success, crate::state::AttemptState::AttemptTerminal);
        assert_eq!(done.stored().state, expected);
    }

    #[test]
    fn it_weighs_its_result_and_asks_for_the_stored_one() {
        let command = complete(owner(), Some(b"four"));

        assert_eq!(command.weight(), 4);
        assert_eq!(command.urgency(), Urgency::Lease);
        assert!(command.footprint().result);
        assert_eq!(command.footprint().attempt, Some(AttemptIndex(0)));
    }
}
