//! Delaying: a worker parks its attempt, and the same attempt goes on later.

use ff_core::backend::HandleKind;
use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::state::{AttemptState, BlockingReason, EligibilityState, LifecyclePhase, PublicState};

use crate::harness::{Bench, Refusal, cause};

pub async fn a_parked_attempt_waits_for_its_instant(bench: &Bench) {
    let held = bench.claimed().await;

    held.delay(bench.after(1_000)).await.unwrap();

    let state = bench.info(held.execution()).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Runnable);
    assert_eq!(state.eligibility_state, EligibilityState::NotEligibleUntilTime);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForDelay);
    assert_eq!(state.attempt_state, AttemptState::AttemptInterrupted);
    assert_eq!(state.public_state, PublicState::Delayed);
    bench.advance(999);
    bench.claim().nothing().await;
    bench.advance(1);
    bench.claim().await;
}

pub async fn the_same_attempt_goes_on_under_the_next_epoch(bench: &Bench) {
    let first = bench.claimed().await;
    first.delay(bench.after(1_000)).await.unwrap();
    bench.advance(1_000);

    let second = bench.claim().worker("other").await;

    assert_eq!(second.kind(), HandleKind::Resumed);
    assert_eq!((second.attempt(), second.epoch()), (0, 2));
    assert_eq!(second.proof.attempt_id, first.proof.attempt_id);
    assert_ne!(second.proof.lease_id, first.proof.lease_id);
    let summary = bench.summary(second.execution()).await;
    assert_eq!((summary.attempt_count, summary.retry_count, summary.reclaim_count), (1, 0, 0));
    assert_eq!(bench.attempts(second.execution()).await.len(), 1);
    second.complete(None).await.unwrap();
    assert_eq!(bench.attempt(second.execution(), 0).await.outcome.as_deref(), Some("success"));
}

pub async fn a_delay_ends_the_lease(bench: &Bench) {
    let held = bench.claimed().await;

    held.delay(bench.after(1_000)).await.unwrap();

    let seen = bench.engine.describe_execution(held.execution()).await.unwrap().unwrap();
    assert_eq!(seen.current_lease, None);
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "worker_delay");
    bench.advance(100_000);
    let claimed = bench.claim().await;
    assert_eq!(claimed.kind(), HandleKind::Resumed, "a parked attempt has no lease to lapse");
}

pub async fn a_delay_cannot_be_repeated(bench: &Bench) {
    let held = bench.claimed().await;
    held.delay(bench.after(1_000)).await.unwrap();

    let refused = bench.unchanged_by(held.delay(bench.after(1_000))).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "none");
    assert_eq!(refused.lifecycle_phase, "runnable");
    assert_eq!(refused.attempt_id, held.proof.attempt_id.to_string());
}

pub async fn an_instant_that_has_passed_means_at_once(bench: &Bench) {
    let held = bench.claimed().await;

    held.delay(bench.now()).await.unwrap();

    let again = bench.claim().await;
    assert_eq!((again.kind(), again.attempt()), (HandleKind::Resumed, 0));
}

pub async fn only_the_live_lease_may_delay(bench: &Bench) {
    let stale = bench.lapsed().await;
    bench.unchanged_by(stale.delay(bench.after(1))).await.must_be_state(&StateKind::LeaseExpired);
    let held = bench.claim().await;

    let refused = bench.unchanged_by(stale.delay(bench.after(1))).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);

    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
    bench.unchanged_by(held.delay(bench.after(1))).await.must_be_state(&StateKind::LeaseRevoked);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let held = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    bench.unchanged_by(held.delay(bench.after(1))).await.must_be_not_found("execution");
}

pub async fn a_delay_beyond_ten_years_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let ten_years = 10 * 365 * 24 * 60 * 60 * 1_000;

    bench.unchanged_by(held.delay(bench.after(ten_years + 1))).await.must_be_invalid();

    held.delay(bench.after(ten_years)).await.unwrap();
}

/// Time spent parked does not count against the attempt's timeout.
pub async fn the_attempts_timeout_stands_still_while_it_is_parked(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    let held = bench.claim().await;
    bench.advance(4_000);
    held.delay(bench.after(60_000)).await.unwrap();
    bench.advance(60_000);
    let resumed = bench.claim().await;

    bench.advance(5_999);
    resumed.renew().await.unwrap();
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
    assert_eq!(bench.attempt(&id, 0).await.failure_category.as_deref(), Some("timeout"));
}

pub async fn a_deadline_does_not_stand_still(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(5_000)).await;
    bench.claim().await.delay(bench.after(60_000)).await.unwrap();

    bench.advance(5_000);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Expired);
    assert_eq!(bench.attempt(&id, 0).await.outcome.as_deref(), Some("expired"));
}
