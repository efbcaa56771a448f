//! Expiry: a lease runs out at its instant, and the execution comes back by itself.

use ff_core::backend::HandleKind;
use ff_core::state::{
    AttemptState, AttemptType, BlockingReason, LifecyclePhase, OwnershipState, PublicState,
};

use crate::harness::{Bench, TTL_MS};

pub async fn a_lease_expires_at_its_instant_and_not_before(bench: &Bench) {
    let held = bench.claimed().await;

    bench.advance(u64::from(TTL_MS) - 1);
    bench.sweep().await;
    bench.claim().nothing().await;
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired"]);
    bench.advance(1);
    bench.sweep().await;

    let state = bench.info(held.execution()).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Active);
    assert_eq!(state.ownership_state, OwnershipState::LeaseExpiredReclaimable);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForWorker);
    assert_eq!(state.attempt_state, AttemptState::AttemptInterrupted);
    assert_eq!(state.public_state, PublicState::Active);
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "expired"]);
}

pub async fn a_claim_reclaims_it_without_any_sweep(bench: &Bench) {
    let first = bench.lapsed().await;

    let second = bench.claim().worker("successor").await;

    assert_eq!(second.execution(), first.execution());
    assert_eq!(second.kind(), HandleKind::Reclaimed);
    assert_eq!((second.attempt(), second.epoch()), (1, 2));
    let story = bench.lease_story(second.execution()).await;
    assert_eq!(story, ["acquired", "expired", "reclaimed"]);
}

pub async fn the_lost_attempt_ends_and_a_new_one_begins(bench: &Bench) {
    let first = bench.lapsed().await;
    let second = bench.claim().worker("successor").await;

    let [lost, running] = &bench.attempts(second.execution()).await[..] else {
        panic!("two attempts")
    };

    assert_eq!(lost.outcome.as_deref(), Some("interrupted_reclaimed"));
    assert_eq!(lost.failure_reason.as_deref(), Some("lease_expired_reclaimable"));
    assert_eq!(lost.ended_at, Some(bench.now()));
    assert_eq!(lost.attempt_id.as_ref(), Some(&first.proof.attempt_id));
    assert_eq!(running.attempt_type, AttemptType::Reclaim);
    assert_eq!(running.worker_instance_id.as_ref().unwrap().as_str(), "successor-1");
    let summary = bench.summary(second.execution()).await;
    assert_eq!((summary.reclaim_count, summary.retry_count, summary.attempt_count), (1, 0, 2));
}

pub async fn a_sweep_repeated_changes_nothing(bench: &Bench) {
    bench.lapsed().await;
    bench.sweep().await;

    bench.unchanged_by(bench.sweep()).await;
}

pub async fn reclaims_beyond_the_cap_end_the_execution(bench: &Bench) {
    let id = bench.submit().reclaims(2).await;
    for epoch in 1..=3 {
        let held = bench.claim().await;
        assert_eq!(held.epoch(), epoch);
        bench.let_lease_expire(&held).await;
    }

    bench.claim().nothing().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
    let summary = bench.summary(&id).await;
    assert_eq!(summary.reason.as_deref(), Some("max_reclaims_exceeded"));
    assert_eq!((summary.reclaim_count, summary.attempt_count), (2, 3));
    let last = bench.attempt(&id, 2).await;
    assert_eq!(last.outcome.as_deref(), Some("interrupted_reclaimed"));
    assert_eq!(bench.all_completions().await.len(), 1);
}

pub async fn a_cap_of_zero_allows_no_reclaim(bench: &Bench) {
    let id = bench.submit().reclaims(0).await;
    let held = bench.claim().await;
    bench.let_lease_expire(&held).await;

    bench.claim().nothing().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
}

pub async fn the_timeout_policys_cap_counts_too(bench: &Bench) {
    let id = bench.submit().timeouts(|timeouts| timeouts.max_reclaim_count = 0).await;
    let held = bench.claim().await;
    bench.let_lease_expire(&held).await;

    bench.claim().nothing().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
}

pub async fn an_exhausted_execution_does_not_hide_the_next_one(bench: &Bench) {
    for _ in 0..3 {
        bench.submit().reclaims(0).priority(9).await;
    }
    for _ in 0..3 {
        bench.claim().await;
    }
    let next = bench.submit().await;
    bench.advance(u64::from(TTL_MS));

    assert_eq!(*bench.claim().await.execution(), next);
}

pub async fn a_lapsed_attempt_does_not_time_out(bench: &Bench) {
    let id = bench.submit().attempt_timeout(50_000).await;
    bench.claim().await;

    bench.advance(100_000);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Active);
    let held = bench.claim().ttl(60_000).await;
    bench.advance(49_999);
    held.complete(None).await.expect("the new attempt has the whole timeout");
}

pub async fn many_lapsed_leases_are_settled_in_bounded_steps(bench: &Bench) {
    let batch = (0..300).map(|_| bench.submit().args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    bench.claim().batch(&["work"], 256).await.unwrap();
    bench.claim().batch(&["work"], 256).await.unwrap();
    bench.advance(u64::from(TTL_MS));

    let first = bench.sweep().await;
    assert!(first.is_full() && first.settled.changed < 300);
    let second = bench.sweep().await;

    assert_eq!(first.settled.changed + second.settled.changed, 300);
}
