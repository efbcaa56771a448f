//! Failing: retries by policy, and the end when none is left.

use ff_core::backend::{FailOutcome, FailureClass};
use ff_core::contracts::{FailExecutionArgs, FailExecutionResult};
use ff_core::engine_error::{ContentionKind, StateKind, ValidationKind};
use ff_core::policy::{BackoffStrategy, RetryPolicy};
use ff_core::state::{
    AttemptState, AttemptType, BlockingReason, EligibilityState, LifecyclePhase, PublicState,
    TerminalOutcome,
};
use ff_core::stream_events::CompletionOutcome;
use ff_core::types::{AttemptIndex, CancelSource};

use crate::harness::{Bench, Held, Refusal, cause, doubling, fixed};

const TRANSIENT: FailureClass = FailureClass::Transient;

fn args(held: &Held) -> FailExecutionArgs {
    FailExecutionArgs {
        execution_id: held.execution().clone(),
        fence: Some(held.fence()),
        attempt_index: held.proof.attempt_index,
        failure_reason: "broken".to_owned(),
        failure_category: "transient".to_owned(),
        retry_policy_json: String::new(),
        next_attempt_policy_json: String::new(),
        source: CancelSource::LeaseHolder,
    }
}

/// How long the engine waits before the retry, or `None` at the end.
fn delay(bench: &Bench, answer: &FailOutcome) -> Option<i64> {
    match answer {
        FailOutcome::RetryScheduled { delay_until } => Some(delay_until.0 - bench.now().0),
        FailOutcome::TerminalFailed => None,
    }
}

pub async fn without_a_policy_a_failure_is_final(bench: &Bench) {
    let held = bench.claimed().await;

    let answer = held.fail("broken", TRANSIENT).await.unwrap();

    assert_eq!(answer, FailOutcome::TerminalFailed);
    let info = bench.info(held.execution()).await;
    assert_eq!(info.public_state, PublicState::Failed);
    assert_eq!(info.state_vector.terminal_outcome, TerminalOutcome::Failed);
    assert_eq!(info.state_vector.attempt_state, AttemptState::AttemptTerminal);
    assert_eq!(bench.summary(held.execution()).await.reason.as_deref(), Some("broken"));
    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.outcome.as_deref(), Some("failed"));
    assert_eq!(attempt.failure_reason.as_deref(), Some("broken"));
    assert_eq!(attempt.failure_category.as_deref(), Some("transient"));
    let completions = bench.all_completions().await;
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].outcome, CompletionOutcome::Failure);
}

pub async fn with_a_retry_left_the_execution_waits_for_it(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 5_000)).await;
    let held = bench.claim().await;

    let answer = held.fail("broken", TRANSIENT).await.unwrap();

    assert_eq!(answer, FailOutcome::RetryScheduled { delay_until: bench.after(5_000) });
    let state = bench.info(&id).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Runnable);
    assert_eq!(state.eligibility_state, EligibilityState::NotEligibleUntilTime);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForRetryBackoff);
    assert_eq!(state.attempt_state, AttemptState::PendingRetryAttempt);
    assert_eq!(state.public_state, PublicState::Delayed);
    let summary = bench.summary(&id).await;
    assert_eq!((summary.retry_count, summary.due_at), (1, Some(bench.after(5_000))));
    let attempt = bench.attempt(&id, 0).await;
    assert_eq!(attempt.outcome.as_deref(), Some("retry"));
    assert_eq!(attempt.retry_at, Some(bench.after(5_000)));
    assert!(bench.all_completions().await.is_empty());
    assert_eq!(bench.lease_story(&id).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "failed");
}

pub async fn a_retry_is_due_at_its_instant_and_not_before(bench: &Bench) {
    bench.submit().retries(fixed(1, 5_000)).await;
    let first = bench.claim().await;
    first.fail("broken", TRANSIENT).await.unwrap();

    bench.advance(4_999);
    bench.claim().nothing().await;
    bench.advance(1);
    let second = bench.claim().await;

    assert_eq!((second.attempt(), second.epoch()), (1, 2));
    let attempt = bench.attempt(second.execution(), 1).await;
    assert_eq!(attempt.attempt_type, AttemptType::Retry);
    assert_ne!(second.proof.attempt_id, first.proof.attempt_id);
}

pub async fn a_fixed_backoff_waits_the_same_each_time(bench: &Bench) {
    bench.submit().retries(fixed(3, 700)).await;

    let mut waits = Vec::new();
    for _ in 0..4 {
        let answer = bench.claim().await.fail("broken", TRANSIENT).await.unwrap();
        waits.push(delay(bench, &answer));
        bench.advance(700);
    }

    assert_eq!(waits, [Some(700), Some(700), Some(700), None]);
}

pub async fn an_exponential_backoff_doubles_up_to_its_cap(bench: &Bench) {
    let id = bench.submit().retries(doubling(5, 1_000, 6_000)).await;

    let mut waits = Vec::new();
    for _ in 0..6 {
        let answer = bench.claim().await.fail("broken", TRANSIENT).await.unwrap();
        waits.push(delay(bench, &answer));
        bench.advance(6_000);
    }

    let wanted = [Some(1_000), Some(2_000), Some(4_000), Some(6_000), Some(6_000), None];
    assert_eq!(waits, wanted);
    let summary = bench.summary(&id).await;
    assert_eq!((summary.retry_count, summary.attempt_count), (5, 6));
}

pub async fn jitter_stays_in_the_upper_half_of_the_delay(bench: &Bench) {
    let retry = RetryPolicy {
        max_retries: 20,
        backoff: BackoffStrategy::Exponential {
            initial_delay_ms: 10_000,
            max_delay_ms: 10_000,
            multiplier: 1.0,
            jitter: true,
        },
        retryable_categories: Vec::new(),
    };
    bench.submit().retries(retry).await;

    let mut waits = Vec::new();
    for _ in 0..20 {
        let answer = bench.claim().await.fail("broken", TRANSIENT).await.unwrap();
        waits.push(delay(bench, &answer).unwrap());
        bench.advance(10_000);
    }

    assert!(waits.iter().all(|wait| (5_000..=10_000).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}

pub async fn no_retries_means_none(bench: &Bench) {
    bench.submit().retries(fixed(0, 1)).await;

    let answer = bench.claim().await.fail("broken", TRANSIENT).await.unwrap();

    assert_eq!(answer, FailOutcome::TerminalFailed);
}

pub async fn permanent_and_cancelled_failures_are_never_retried(bench: &Bench) {
    for class in [FailureClass::Permanent, FailureClass::Cancelled] {
        let id = bench.submit().retries(fixed(3, 1)).await;

        let answer = bench.claim().await.fail("broken", class).await.unwrap();

        assert_eq!(answer, FailOutcome::TerminalFailed, "{class:?}");
        assert_eq!(bench.state(&id).await, PublicState::Failed);
    }
}

pub async fn every_other_class_is_retried(bench: &Bench) {
    for class in [TRANSIENT, FailureClass::InfraCrash, FailureClass::Timeout] {
        bench.submit().retries(fixed(1, 60_000)).await;

        let answer = bench.claim().await.fail("broken", class).await.unwrap();

        assert_eq!(delay(bench, &answer), Some(60_000), "{class:?}");
    }
}

pub async fn no_detail_turns_a_permanent_failure_into_a_retry(bench: &Bench) {
    bench.submit().retries(fixed(3, 1)).await;
    let held = bench.claim().await;

    let reason = ff_core::backend::FailureReason::with_detail("broken", b"rate_limited".to_vec());
    let answer = bench.engine.fail(&held.handle, reason, FailureClass::Permanent).await.unwrap();

    assert_eq!(answer, FailOutcome::TerminalFailed);
}

pub async fn only_listed_categories_are_retried(bench: &Bench) {
    let retry = RetryPolicy {
        retryable_categories: vec!["rate_limited".to_owned(), "timeout".to_owned()],
        ..fixed(9, 1_000)
    };
    for (category, retried) in [("rate_limited", true), ("transient", false), ("timeout", true)] {
        bench.submit().lane(category).retries(retry.clone()).await;
        let held = bench.claim().lane(category).await;

        let answer = held.fail_as(category).await.unwrap();

        assert_eq!(answer != FailOutcome::TerminalFailed, retried, "{category}");
        let attempt = bench.attempt(held.execution(), 0).await;
        assert_eq!(attempt.failure_category.as_deref(), Some(category));
    }
}

pub async fn a_listed_permanent_category_is_still_final(bench: &Bench) {
    let retry =
        RetryPolicy { retryable_categories: vec!["permanent".to_owned()], ..fixed(9, 1_000) };
    bench.submit().retries(retry).await;

    let answer = bench.claim().await.fail("broken", FailureClass::Permanent).await.unwrap();

    assert_eq!(answer, FailOutcome::TerminalFailed);
}

pub async fn the_same_holder_hears_the_same_answer_again(bench: &Bench) {
    bench.submit().retries(fixed(1, 5_000)).await;
    let held = bench.claim().await;
    let first = held.fail("broken", TRANSIENT).await.unwrap();
    bench.advance(100);
    assert_eq!(bench.unchanged_by(held.fail("broken", TRANSIENT)).await.unwrap(), first);

    bench.advance(5_000);
    let next = bench.claim().await;
    assert_eq!(bench.unchanged_by(held.fail("broken", TRANSIENT)).await.unwrap(), first);

    next.fail("broken", TRANSIENT).await.unwrap();
    let again = bench.unchanged_by(next.fail("broken", TRANSIENT)).await.unwrap();
    assert_eq!(again, FailOutcome::TerminalFailed);
}

pub async fn another_reason_is_not_a_repeat(bench: &Bench) {
    bench.submit().retries(fixed(1, 5_000)).await;
    let held = bench.claim().await;
    held.fail("broken", TRANSIENT).await.unwrap();

    let refused = bench.unchanged_by(held.fail("other", TRANSIENT)).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "none");
    assert_eq!(refused.lifecycle_phase, "runnable");
    assert_eq!(refused.lease_epoch, "1");
    assert_eq!(refused.attempt_id, held.proof.attempt_id.to_string());
    bench.advance(5_000);
    bench.claim().await;
    let refused = bench.unchanged_by(held.fail("other", TRANSIENT)).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);
}

/// A parked attempt did not fail, whatever its worker says afterwards.
pub async fn a_failure_after_a_delay_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    held.delay(bench.after(1_000)).await.unwrap();

    bench.unchanged_by(held.fail("broken", TRANSIENT)).await.must_be_not_active();
}

pub async fn a_failure_after_a_completion_is_refused_with_it(bench: &Bench) {
    let held = bench.completed().await;

    let refused = bench.unchanged_by(held.fail("broken", TRANSIENT)).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "success");
}

pub async fn a_lapsed_lease_cannot_fail(bench: &Bench) {
    let held = bench.lapsed().await;

    bench
        .unchanged_by(held.fail("broken", TRANSIENT))
        .await
        .must_be_state(&StateKind::LeaseExpired);
    let typed = bench.unchanged_by(bench.engine.fail_execution(args(&held))).await;
    typed.must_be_state(&StateKind::LeaseExpired);
}

pub async fn a_stale_or_revoked_lease_cannot_fail(bench: &Bench) {
    let stale = bench.lapsed().await;
    let held = bench.claim().await;

    let refused = bench.unchanged_by(stale.fail("broken", TRANSIENT)).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);
    let typed = bench.unchanged_by(bench.engine.fail_execution(args(&stale))).await;
    typed.must_be_state(&StateKind::StaleLease);

    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
    let refused = bench.unchanged_by(held.fail("broken", TRANSIENT)).await;
    refused.must_be_state(&StateKind::LeaseRevoked);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let held = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    bench.unchanged_by(held.fail("broken", TRANSIENT)).await.must_be_not_found("execution");
    bench
        .unchanged_by(bench.engine.fail_execution(args(&held)))
        .await
        .must_be_not_found("execution");
}

pub async fn the_typed_form_tells_the_next_attempt(bench: &Bench) {
    bench.submit().retries(fixed(1, 5_000)).await;
    let held = bench.claim().await;
    let wanted = FailExecutionResult::RetryScheduled {
        delay_until: bench.after(5_000),
        next_attempt_index: AttemptIndex(1),
    };

    assert_eq!(bench.engine.fail_execution(args(&held)).await.unwrap(), wanted);

    bench.advance(1);
    let again = bench.unchanged_by(bench.engine.fail_execution(args(&held))).await;
    assert_eq!(again.unwrap(), wanted);
}

pub async fn a_policy_given_with_the_failure_overrides_the_stored_one(bench: &Bench) {
    bench.submit().retries(fixed(9, 1)).await;
    let held = bench.claim().await;
    let mut with_policy = args(&held);
    with_policy.retry_policy_json =
        r#"{"max_retries":1,"backoff":{"type":"fixed","delay_ms":250}}"#.to_owned();

    let first = bench.engine.fail_execution(with_policy).await.unwrap();

    let wanted = FailExecutionResult::RetryScheduled {
        delay_until: bench.after(250),
        next_attempt_index: AttemptIndex(1),
    };
    assert_eq!(first, wanted);
    bench.advance(250);
    let mut without_count = args(&bench.claim().await);
    without_count.retry_policy_json = "{}".to_owned();
    let second = bench.engine.fail_execution(without_count).await.unwrap();
    assert_eq!(second, FailExecutionResult::TerminalFailed);
}

/// A typing error in a policy must not burn an execution's attempts.
pub async fn a_malformed_policy_is_refused_and_the_lease_stays(bench: &Bench) {
    let held = bench.claimed().await;

    for json in ["{", "[]", r#"{"max_retries":-1}"#, r#"{"max_retries":1.5}"#] {
        let mut malformed = args(&held);
        malformed.retry_policy_json = json.to_owned();
        let refused = bench.unchanged_by(bench.engine.fail_execution(malformed)).await;
        refused.must_be_validation(&ValidationKind::InvalidPolicyJson);
    }
    held.complete(None).await.unwrap();
}

pub async fn without_a_fence_only_an_operator_is_let_through(bench: &Bench) {
    let held = bench.claimed().await;
    let mut unfenced = args(&held);
    unfenced.fence = None;
    let refused = bench.unchanged_by(bench.engine.fail_execution(unfenced.clone())).await;
    assert_eq!(refused.must_be_invalid(), "fence_required");

    unfenced.source = CancelSource::OperatorOverride;
    let answer = bench.engine.fail_execution(unfenced).await.unwrap();

    assert_eq!(answer, FailExecutionResult::TerminalFailed);
}

pub async fn a_very_long_reason_is_cut_and_marked(bench: &Bench) {
    let held = bench.claimed().await;
    let long = "x".repeat(40_000);

    held.fail(&long, TRANSIENT).await.unwrap();

    let stored = bench.attempt(held.execution(), 0).await.failure_reason.unwrap();
    assert!(stored.len() <= 16 * 1024 && stored.ends_with("[truncated]"));
    bench.unchanged_by(held.fail(&long, TRANSIENT)).await.unwrap();
}

pub async fn a_reclaim_does_not_use_up_a_retry(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 1_000)).await;
    let lost = bench.claim().await;
    bench.let_lease_expire(&lost).await;
    let reclaimed = bench.claim().await;

    let answer = reclaimed.fail("broken", TRANSIENT).await.unwrap();

    assert_eq!(delay(bench, &answer), Some(1_000));
    let summary = bench.summary(&id).await;
    assert_eq!((summary.retry_count, summary.reclaim_count), (1, 1));
}
