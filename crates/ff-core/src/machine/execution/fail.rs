//! Failing an attempt: the lease holder reports failure, and policy decides what follows.

use super::stored_reason;
use crate::EngineError;
use crate::machine::flow::Standing;
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
            may_retry: may_retry(seen),
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
    /// Whether another attempt may follow at all.
    pub(crate) may_retry: bool,
}

/// A member of a flow whose cancel let it run on gets no further attempt.
pub(crate) fn may_retry(seen: &Snapshot) -> bool {
    let mark = seen.flow.own.as_ref().and_then(|flow| flow.cancel.as_ref());
    !mark.is_some_and(|mark| mark.reaches(Standing::Blocked))
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
    let delay = retry::decide(policy, &failure.category, execution.retry_count, &mut cx.ids)
        .filter(|_| failure.may_retry);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, handle_of, interrupted, lapsed, now_plus,
        refusal, revoked, running, seen, seen_pair, stale_handle,
    };
    use crate::machine::limits::REASON_MAX_BYTES;
    use crate::policy::{BackoffStrategy, ExecutionPolicy};
    use crate::state::PublicState;
    use crate::types::DurationMs;

    fn owner() -> Fence {
        handle_of(&running(LEASE_END).1)
    }

    fn fail(fence: Fence) -> Fail {
        Fail {
            execution_id: execution().id,
            fence,
            reason: "disk full".to_owned(),
            category: "transient".to_owned(),
            policy: None,
        }
    }

    fn retries(max_retries: u32, delay_ms: u64) -> RetryPolicy {
        RetryPolicy {
            max_retries,
            backoff: BackoffStrategy::Fixed { delay_ms },
            retryable_categories: Vec::new(),
        }
    }

    fn running_with(policy: RetryPolicy) -> Snapshot {
        let (mut row, attempt) = running(LEASE_END);
        row.policy =
            Some(ExecutionPolicy { retry_policy: Some(policy), ..ExecutionPolicy::default() });
        seen(row, attempt)
    }

    #[test]
    fn without_a_policy_the_execution_fails() {
        let done = decide(&fail(owner()), &seen_pair(running(LEASE_END))).unwrap();

        assert_eq!(done.outcome, Failed::Final);
        let row = done.stored();
        assert_eq!(row.public_state(), PublicState::Failed);
        assert_eq!(row.failure_reason.as_deref(), Some("disk full"));
        assert_eq!(row.retry_count, 0);
        let attempt = done.attempts()[0];
        assert_eq!(attempt.outcome, Some(AttemptOutcome::Failed));
        assert_eq!(attempt.failure_reason.as_deref(), Some("disk full"));
        assert_eq!(attempt.failure_category.as_deref(), Some("transient"));
        assert_eq!(attempt.retry_at, None);
        assert_eq!(done.leases()[0].cause, "failed");
        assert_eq!(done.completions()[0].outcome, TerminalOutcome::Failed);
    }

    #[test]
    fn a_policy_schedules_the_next_attempt() {
        let (mut row, attempt) = running(LEASE_END);
        row.attempt_timeout_at = Some(LEASE_END);
        row.attempt_timeout_left = Some(DurationMs(1));
        row.retry_count = 1;
        row.policy = Some(ExecutionPolicy {
            retry_policy: Some(retries(3, 250)),
            ..ExecutionPolicy::default()
        });

        let done = decide(&fail(owner()), &seen(row, attempt.clone())).unwrap();

        let delay_until = now_plus(250);
        let next_attempt_index = AttemptIndex(1);
        assert_eq!(done.outcome, Failed::Retry { delay_until, next_attempt_index });
        let after = done.stored();
        assert_eq!(
            after.state,
            state::delayed(
                BlockingReason::WaitingForRetryBackoff,
                AttemptState::PendingRetryAttempt
            )
        );
        assert_eq!(after.eligible_at, Some(delay_until));
        assert_eq!(after.retry_count, 2);
        assert_eq!(after.failure_reason.as_deref(), Some("disk full"));
        assert_eq!((after.attempt_timeout_at, after.attempt_timeout_left), (None, None));
        assert_eq!(after.ended_at, None);
        assert_eq!(
            after.blocking_detail.as_deref(),
            Some("retry 2 of 3 is due at 2000250 after attempt 0 failed")
        );
        let ended = done.attempts()[0];
        assert_eq!(ended.outcome, Some(AttemptOutcome::Retry));
        assert_eq!((ended.retry_at, ended.ended_at), (Some(delay_until), Some(NOW)));
        assert_eq!(ended.lease_expires_at, None);
        assert_eq!(done.leases()[0].kind, LeaseEventKind::Revoked);
        assert_eq!(done.leases()[0].worker_instance_id, attempt.worker_instance_id);
        assert_eq!(done.moves()[0].cause, "retry_scheduled");
        assert!(done.completions().is_empty());
    }

    #[test]
    fn the_last_retry_used_up_ends_it() {
        let mut seen = running_with(retries(2, 250));
        seen.execution.as_mut().unwrap().retry_count = 2;

        assert_eq!(decide(&fail(owner()), &seen).unwrap().outcome, Failed::Final);
    }

    #[test]
    fn a_policy_given_with_the_call_overrides_the_stored_one() {
        let more = Fail { policy: Some(retries(1, 9)), ..fail(owner()) };
        let done = decide(&more, &seen_pair(running(LEASE_END))).unwrap();
        assert_eq!(
            done.outcome,
            Failed::Retry { delay_until: now_plus(9), next_attempt_index: AttemptIndex(1) }
        );

        let none = Fail { policy: Some(retries(0, 9)), ..fail(owner()) };
        let done = decide(&none, &running_with(retries(3, 250))).unwrap();
        assert_eq!(done.outcome, Failed::Final);
    }

    #[test]
    fn a_permanent_failure_is_final_whatever_the_policy() {
        let permanent = Fail { category: "permanent".to_owned(), ..fail(owner()) };

        let done = decide(&permanent, &running_with(retries(3, 250))).unwrap();

        assert_eq!(done.outcome, Failed::Final);
    }

    /// The snapshot after `first` was stored, as its holder sees it when it asks again.
    fn after(first: &Transition<Failed>, mut seen: Snapshot) -> Snapshot {
        seen.apply(&first.changes);
        seen
    }

    #[test]
    fn a_repeat_answers_as_before_and_writes_nothing() {
        for seen in [seen_pair(running(LEASE_END)), running_with(retries(3, 250))] {
            let first = decide(&fail(owner()), &seen).unwrap();

            let again = decide(&fail(owner()), &after(&first, seen)).unwrap();

            assert_eq!(again.outcome, first.outcome);
            assert!(again.is_unchanged());
        }
    }

    #[test]
    fn a_repeat_is_recognised_after_the_next_attempt_has_begun() {
        let seen = running_with(retries(3, 250));
        let first = decide(&fail(owner()), &seen).unwrap();
        let mut later = after(&first, seen);
        let (_, mut second) = running(LEASE_END);
        second.index = AttemptIndex(1);
        later.named = later.current.replace(second);
        let row = later.execution.as_mut().unwrap();
        row.state = state::running();
        row.attempt_index = AttemptIndex(1);

        let again = decide(&fail(owner()), &later).unwrap();

        assert_eq!(again.outcome, first.outcome);
    }

    #[test]
    fn another_reason_category_or_holder_is_no_repeat() {
        let seen = seen_pair(running(LEASE_END));
        let first = decide(&fail(owner()), &seen).unwrap();
        let seen = after(&first, seen);
        for other in [
            Fail { reason: "disk".to_owned(), ..fail(owner()) },
            Fail { category: "timeout".to_owned(), ..fail(owner()) },
            fail(stale_handle()),
        ] {
            let refused = refusal(decide(&other, &seen));
            assert!(refused.contains("ExecutionNotActive { terminal_outcome: \"failed\""));
        }
    }

    #[test]
    fn what_stopped_otherwise_is_no_repeat() {
        for outcome in [
            AttemptOutcome::Success,
            AttemptOutcome::Cancelled,
            AttemptOutcome::Expired,
            AttemptOutcome::Skipped,
            AttemptOutcome::Interrupted,
            AttemptOutcome::InterruptedReclaimed,
        ] {
            let (row, mut attempt) = ended(TerminalOutcome::Expired, outcome);
            attempt.failure_reason = Some("disk full".to_owned());
            attempt.failure_category = Some("transient".to_owned());

            let refused = refusal(decide(&fail(owner()), &seen(row, attempt)));

            assert!(refused.starts_with("contention: ExecutionNotActive"), "{outcome:?}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_and_its_repeat_is_recognised() {
        let talkative = Fail { reason: "x".repeat(REASON_MAX_BYTES + 1), ..fail(owner()) };
        let seen = seen_pair(running(LEASE_END));

        let first = decide(&talkative, &seen).unwrap();

        assert_eq!(first.stored().failure_reason.as_ref().unwrap().len(), REASON_MAX_BYTES);
        assert!(decide(&talkative, &after(&first, seen)).unwrap().is_unchanged());
    }

    #[test]
    fn whoever_does_not_own_it_is_refused() {
        let told = |seen: &Snapshot, fence| refusal(decide(&fail(fence), seen));

        assert_eq!(told(&Snapshot::default(), owner()), "not found: execution");
        assert_eq!(
            told(&seen_pair(running(LEASE_END)), stale_handle()),
            "contention: LeaseConflict"
        );
        assert_eq!(told(&seen_pair(running(NOW)), owner()), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(lapsed()), owner()), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(revoked()), owner()), "state: LeaseRevoked");
        assert!(told(&seen_pair(interrupted()), owner()).contains("ExecutionNotActive"));
    }

    #[test]
    fn it_goes_ahead_of_others() {
        assert_eq!(fail(owner()).urgency(), Urgency::Lease);
        assert_eq!(fail(owner()).footprint().attempt, Some(AttemptIndex(0)));
    }
}
