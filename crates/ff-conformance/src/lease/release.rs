//! Giving a lease back without burning the attempt.

use ff_core::backend::HandleKind;
use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::state::{AttemptState, PublicState};

use crate::harness::{Bench, Refusal, cause};

pub async fn a_lease_given_back_can_be_claimed_at_once(bench: &Bench) {
    let first = bench.claimed().await;

    first.release().await.unwrap();

    let info = bench.info(first.execution()).await;
    assert_eq!(info.public_state, PublicState::Waiting);
    assert_eq!(info.state_vector.attempt_state, AttemptState::AttemptInterrupted);
    let second = bench.claim().worker("other").await;
    assert_eq!(second.kind(), HandleKind::Resumed);
    assert_eq!((second.attempt(), second.epoch()), (0, 2));
    assert_eq!(second.proof.attempt_id, first.proof.attempt_id);
}

pub async fn it_counts_as_neither_retry_nor_reclaim(bench: &Bench) {
    let id = bench.submit().reclaims(0).await;
    for _ in 0..5 {
        bench.claim().await.release().await.unwrap();
    }

    bench.claim().await.complete(None).await.unwrap();

    let summary = bench.summary(&id).await;
    assert_eq!((summary.attempt_count, summary.retry_count, summary.reclaim_count), (1, 0, 0));
    assert_eq!(summary.lease_epoch.0, 6);
}

pub async fn it_is_announced_with_its_cause(bench: &Bench) {
    let held = bench.claimed().await;

    held.release().await.unwrap();

    let events = bench.all_lease_events().await;
    assert_eq!(cause(events.last().unwrap()), "lease_given_back");
}

pub async fn it_cannot_be_repeated(bench: &Bench) {
    let held = bench.claimed().await;
    held.release().await.unwrap();

    bench.unchanged_by(held.release()).await.must_be_not_active();
}

pub async fn only_the_live_lease_can_be_given_back(bench: &Bench) {
    let stale = bench.lapsed().await;
    bench.unchanged_by(stale.release()).await.must_be_state(&StateKind::LeaseExpired);
    let held = bench.claim().await;
    bench.unchanged_by(stale.release()).await.must_be_contention(&ContentionKind::LeaseConflict);

    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    bench.unchanged_by(held.release()).await.must_be_state(&StateKind::LeaseRevoked);
    let unknown = held.forged(|proof| proof.execution_id = bench.new_id());
    bench.unchanged_by(unknown.release()).await.must_be_not_found("execution");
}

pub async fn the_rest_of_the_attempts_timeout_stays(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    let first = bench.claim().await;
    bench.advance(7_000);
    first.release().await.unwrap();
    bench.advance(50_000);
    bench.claim().await;

    bench.advance(2_999);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Active);
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
}
