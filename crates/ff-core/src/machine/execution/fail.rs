//! Failing an attempt: the lease holder reports failure, and policy decides what follows.

use super::stored_reason;
use crate::EngineError;
use crate::machine::policy::later;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::terminal::{self, End};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{
    Command, Context, Fence, Footprint, Snapshot, Transition, Urgency, retry, state,
};
use crate::policy::RetryPolicy;
use crate::state::{AttemptState, BlockingReason, TerminalOutcome};
use crate::types::{AttemptIndex, ExecutionId, TimestampMs};

/// Ends the current attempt with failure; the execution is retried by policy or fails.
///
/// Safe to repeat by the same holder with the same reason and category, also after the next
/// attempt has begun. Nothing else passes the fence.
#[derive(Debug, Clone)]
pub struct Fail {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// What went wrong, for people. Cut at 16 KiB.
    pub reason: String,
    /// What kind of failure it is, for the policy.
    pub category: String,
    /// Overrides the execution's own retry policy.
    pub policy: Option<RetryPolicy>,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum Failed {
    /// Another attempt, from `delay_until` on.
    Retry { delay_until: TimestampMs, next_attempt_index: AttemptIndex },
    /// Nothing: the execution has failed.
    Final,
}

impl Fail {
    fn repeat(&self, seen: &Snapshot) -> Option<Failed> {
        let attempt = seen.attempt(self.fence.index())?;
        let same = self.fence.held(attempt)
            && attempt.failure_reason.as_deref() == Some(stored_reason(&self.reason).as_str())
            && attempt.failure_category.as_deref() == Some(self.category.as_str());
        if !same {
            return None;
        }
        match attempt.outcome? {
            AttemptOutcome::Failed => Some(Failed::Final),
            AttemptOutcome::Retry => Some(Failed::Retry {
                delay_until: attempt.retry_at?,
                next_attempt_index: attempt.index.next(),
            }),
            AttemptOutcome::Success
            | AttemptOutcome::Cancelled
            | AttemptOutcome::Expired
            | AttemptOutcome::Skipped
            | AttemptOutcome::Interrupted
            | AttemptOutcome::InterruptedReclaimed => None,
        }
    }
}

impl Command for Fail {
    const NAME: &'static str = "execution.fail";
    type Outcome = Failed;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Failed>, EngineError> {
        seen.execution()?;
        if let Some(answer) = self.repeat(seen) {
            return Ok(Transition::unchanged(answer));
        }
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        let failure = Failure {
            reason: stored_reason(&self.reason),
            category: self.category.clone(),
            policy: self.policy.clone(),
            cause: "failed",
        };
        Ok(failed(execution, attempt, &failure, cx))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

/// A failure, whoever noticed it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) category: String,
    pub(crate) policy: Option<RetryPolicy>,
    pub(crate) cause: &'static str,
}

/// The effect of a failure of the running attempt.
pub(crate) fn failed(
    execution: &Execution,
    attempt: &Attempt,
    failure: &Failure,
    cx: &mut Context<'_>,
) -> Transition<Failed> {
    let policy = failure
        .policy
        .as_ref()
        .or_else(|| execution.policy.as_ref().and_then(|policy| policy.retry_policy.as_ref()));
    let retries = policy.map_or(0, |policy| policy.max_retries);
    let delay = retry::decide(policy, &failure.category, execution.retry_count, &mut cx.ids);
    let mut how = End {
        outcome: TerminalOutcome::Failed,
        attempt: AttemptOutcome::Failed,
        cause: failure.cause,
        reason: Some(failure.reason.clone()),
        category: Some(failure.category.clone()),
    };
    let Some(delay) = delay else {
        return terminal::end(execution, Some(attempt), &how, cx.now).answer(Failed::Final);
    };

    how.attempt = AttemptOutcome::Retry;
    let delay_until = later(cx.now, delay);
    let mut ended = terminal::end_attempt(attempt, &how, cx.now);
    ended.retry_at = Some(delay_until);

    let mut after = execution.clone();
    after.state =
        state::delayed(BlockingReason::WaitingForRetryBackoff, AttemptState::PendingRetryAttempt);
    after.retry_count += 1;
    after.eligible_at = Some(delay_until);
    after.attempt_timeout_at = None;
    after.attempt_timeout_left = None;
    after.failure_reason = Some(failure.reason.clone());
    after.blocking_detail = Some(format!(
        "retry {} of {retries} is due at {delay_until} after attempt {} failed",
        after.retry_count, attempt.index
    ));

    let released =
        LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, failure.cause, cx.now);
    let answer = Failed::Retry { delay_until, next_attempt_index: attempt.index.next() };
    Transition::unchanged(answer).put_attempt(ended).announce(released).put(
        execution,
        after,
        cx.now,
        "retry_scheduled",
    )
}
