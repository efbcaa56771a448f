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
