//! Attempt timeouts and execution deadlines.

use ff_core::backend::FailureClass;
use ff_core::policy::RetryPolicy;
use ff_core::state::{AttemptState, PublicState, TerminalOutcome};
use ff_core::stream_events::CompletionOutcome;

use crate::harness::{Bench, Refusal, cause, fixed};

pub async fn an_attempt_times_out_at_its_instant_and_not_before(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    let held = bench.claim().await;

    bench.advance(9_999);
    bench.sweep().await;
    held.progress(Some(1), None).await.unwrap();
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
    let attempt = bench.attempt(&id, 0).await;
    assert_eq!(attempt.failure_reason.as_deref(), Some("attempt_timeout"));
    assert_eq!(attempt.failure_category.as_deref(), Some("timeout"));
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "attempt_timed_out");
    assert_eq!(bench.all_completions().await[0].outcome, CompletionOutcome::Failure);
}

/// No answer depends on whether a sweep has run.
pub async fn a_timeout_counts_before_any_sweep(bench: &Bench) {
    bench.submit().attempt_timeout(10_000).await;
    let held = bench.claim().await;
    bench.advance(10_000);

    let refused = bench.unchanged_by(held.complete(None)).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "failed");
    held.renew().await.must_be_not_active();
}

pub async fn a_timeout_goes_through_the_retry_policy(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).retries(fixed(1, 500)).await;
    bench.claim().await;
    bench.advance(10_000);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Delayed);
    assert_eq!(bench.attempt(&id, 0).await.outcome.as_deref(), Some("retry"));

    bench.advance(500);
    let second = bench.claim().await;

    assert_eq!((second.attempt(), second.epoch()), (1, 2));
    bench.advance(10_000);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Failed);
}

pub async fn a_timeout_is_retried_only_where_its_category_is_listed(bench: &Bench) {
    for (listed, state) in [("timeout", PublicState::Delayed), ("transient", PublicState::Failed)] {
        let retry =
            RetryPolicy { retryable_categories: vec![listed.to_owned()], ..fixed(1, 60_000) };
        let id = bench.submit().attempt_timeout(10_000).retries(retry).await;
        bench.claim().await;
        bench.advance(10_000);
        bench.sweep().await;
        assert_eq!(bench.state(&id).await, state, "{listed}");
    }
}

pub async fn a_renewal_does_not_move_the_timeout(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    let held = bench.claim().await;
    bench.advance(9_000);
    held.renew().await.unwrap();

    bench.advance(1_000);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
}

pub async fn each_attempt_has_the_whole_timeout(bench: &Bench) {
    bench.submit().attempt_timeout(10_000).retries(fixed(1, 0)).await;
    let first = bench.claim().await;
    bench.advance(8_000);
    first.fail("broken", FailureClass::Transient).await.unwrap();
    let second = bench.claim().await;

    bench.advance(9_999);

    second.complete(None).await.unwrap();
}

pub async fn a_waiting_execution_has_no_attempt_to_time_out(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;

    bench.advance(100_000);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Waiting);
}

pub async fn a_deadline_expires_a_waiting_execution_at_its_instant(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(1_000)).await;
    bench.advance(999);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Waiting);

    bench.advance(1);
    bench.sweep().await;

    let info = bench.info(&id).await;
    assert_eq!(info.public_state, PublicState::Expired);
    assert_eq!(info.state_vector.terminal_outcome, TerminalOutcome::Expired);
    assert_eq!(info.state_vector.attempt_state, AttemptState::PendingFirstAttempt);
    assert_eq!(bench.summary(&id).await.reason.as_deref(), Some("execution_deadline"));
    let completions = bench.all_completions().await;
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].outcome, CompletionOutcome::Other("expired".to_owned()));
}

pub async fn a_claim_never_takes_what_is_past_its_deadline(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(1_000)).await;
    bench.advance(1_000);

    bench.claim().nothing().await;

    assert_eq!(bench.state(&id).await, PublicState::Expired);
}

pub async fn a_deadline_ends_a_running_attempt(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(1_000)).retries(fixed(9, 1)).await;
    let held = bench.claim().await;
    bench.advance(1_000);

    let refused = bench.unchanged_by(held.complete(None)).await.must_be_not_active();
    assert_eq!(refused.terminal_outcome, "expired");
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Expired);
    assert_eq!(bench.attempt(&id, 0).await.outcome.as_deref(), Some("expired"));
    assert_eq!(bench.lease_story(&id).await, ["acquired", "revoked"]);
}

pub async fn a_deadline_ends_a_delayed_a_lapsed_and_a_retrying_execution(bench: &Bench) {
    let at = bench.after(50_000);
    let retrying = bench.submit().deadline(at).retries(fixed(1, 90_000)).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    let lapsed = bench.submit().deadline(at).await;
    bench.claim().await;
    let delayed = bench.submit().deadline(at).delay_until(bench.after(90_000)).await;

    bench.advance_to(at);
    bench.sweep().await;

    for id in [retrying, lapsed, delayed] {
        assert_eq!(bench.state(&id).await, PublicState::Expired);
    }
    assert_eq!(bench.all_completions().await.len(), 3);
}

pub async fn the_earlier_of_both_deadlines_counts(bench: &Bench) {
    let implied = |ms| {
        move |timeouts: &mut ff_core::policy::TimeoutPolicy| {
            timeouts.execution_deadline_ms = Some(ms);
        }
    };

    let by_policy = bench.submit().deadline(bench.after(2_000)).timeouts(implied(1_000)).await;
    let by_call = bench.submit().deadline(bench.after(1_000)).timeouts(implied(2_000)).await;

    for id in [by_policy, by_call] {
        assert_eq!(bench.summary(&id).await.deadline_at, Some(bench.after(1_000)));
    }
}

pub async fn a_deadline_after_the_end_changes_nothing(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(1_000)).await;
    bench.claim().await.complete(None).await.unwrap();
    bench.advance(1_000);

    bench.unchanged_by(bench.sweep()).await;

    assert_eq!(bench.state(&id).await, PublicState::Completed);
}

/// Where several things were due, they happen in the order of their instants.
pub async fn what_was_due_first_happens_first(bench: &Bench) {
    let id = bench
        .submit()
        .attempt_timeout(40_000)
        .deadline(bench.after(60_000))
        .retries(fixed(1, 1))
        .await;
    bench.claim().ttl(30_000).await;

    bench.advance(100_000);
    bench.sweep().await;

    assert_eq!(bench.causes(&id).await, ["created", "claimed", "lease_expired", "deadline_passed"]);
    assert_eq!(bench.lease_story(&id).await, ["acquired", "expired"]);
}
