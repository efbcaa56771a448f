//! Claiming: one execution, one winner, and a higher fencing number each time.

use ff_core::backend::{FailureClass, HandleKind};
use ff_core::engine_error::ValidationKind;
use ff_core::state::{
    AttemptState, AttemptType, EligibilityState, LifecyclePhase, OwnershipState, PublicState,
};

use crate::harness::{Bench, Refusal, TTL_MS, fixed};

pub async fn an_empty_lane_has_nothing(bench: &Bench) {
    bench.claim().nothing().await;
    bench.claim().lane("never seen").nothing().await;
}

pub async fn a_claim_makes_the_worker_the_owner(bench: &Bench) {
    let id = bench.submit().await;

    let held = bench.claim().worker("ann").await;

    assert_eq!(*held.execution(), id);
    assert_eq!(held.kind(), HandleKind::Fresh);
    assert_eq!((held.attempt(), held.epoch()), (0, 1));
    assert_eq!(held.proof.worker_instance_id.as_str(), "ann-1");
    assert_eq!(held.proof.lease_ttl_ms, u64::from(TTL_MS));
    let state = bench.info(&id).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Active);
    assert_eq!(state.ownership_state, OwnershipState::Leased);
    assert_eq!(state.eligibility_state, EligibilityState::NotApplicable);
    assert_eq!(state.attempt_state, AttemptState::RunningAttempt);
    assert_eq!(state.public_state, PublicState::Active);
    assert_eq!(held.expires_at().await, bench.after(u64::from(TTL_MS)));
    assert_eq!(bench.attempt(&id, 0).await.attempt_type, AttemptType::Initial);
    assert_eq!(bench.lease_story(&id).await, ["acquired"]);
}

pub async fn a_claimed_execution_is_nobody_elses(bench: &Bench) {
    bench.claimed().await;

    bench.claim().worker("other").nothing().await;
}

pub async fn an_ended_execution_is_never_claimed(bench: &Bench) {
    bench.completed().await;
    let held = bench.claimed().await;
    held.fail("broken", FailureClass::Permanent).await.unwrap();

    bench.claim().nothing().await;
    bench.advance(10_000_000);
    bench.claim().nothing().await;
}

pub async fn one_of_many_claims_wins(bench: &Bench) {
    bench.submit().await;
    let claims = (0..16).map(|n| {
        let engine = std::sync::Arc::clone(&bench.engine);
        let claiming = bench.claim().worker(&format!("w{n}"));
        let (capabilities, policy) = (claiming.capability_set(), claiming.claim_policy());
        tokio::spawn(async move {
            engine.claim(&crate::harness::LANE.into(), &capabilities, policy).await
        })
    });

    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Ok(handle) => won += usize::from(handle.is_some()),
            Err(error) => {
                assert!(matches!(error, ff_core::EngineError::Contention(_)), "{error}");
            }
        }
    }

    assert_eq!(won, 1);
}

pub async fn many_claims_take_each_execution_once(bench: &Bench) {
    let batch = (0..40).map(|_| bench.submit().args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    let workers = (0..8).map(|n| {
        let engine = std::sync::Arc::clone(&bench.engine);
        let claiming = bench.claim().worker(&format!("w{n}"));
        let (capabilities, policy) = (claiming.capability_set(), claiming.claim_policy());
        tokio::spawn(async move {
            let mut taken = Vec::new();
            let lane = crate::harness::LANE.into();
            while let Some(handle) =
                engine.claim(&lane, &capabilities, policy.clone()).await.unwrap()
            {
                taken.push(handle);
            }
            taken
        })
    });

    let mut taken = std::collections::BTreeSet::new();
    for worker in workers.collect::<Vec<_>>() {
        for handle in worker.await.unwrap() {
            let held = bench.holding(handle);
            assert!(taken.insert(held.execution().clone()), "claimed twice");
        }
    }
    assert_eq!(taken.len(), 40);
}

/// One rising number over the whole life of an execution, whatever happens to it.
pub async fn the_epoch_rises_with_every_acquisition(bench: &Bench) {
    let id = bench.submit().retries(fixed(3, 0)).await;
    assert_eq!(bench.summary(&id).await.lease_epoch.0, 0);
    let first = bench.claim().await;
    first.fail("broken", FailureClass::Transient).await.unwrap();
    let retried = bench.claim().await;
    bench.let_lease_expire(&retried).await;
    let reclaimed = bench.claim().await;
    reclaimed.delay(bench.now()).await.unwrap();
    let resumed = bench.claim().await;
    resumed.release().await.unwrap();
    let again = bench.claim().await;
    bench.engine.revoke_lease(bench.revoke_args(&id)).await.unwrap();
    let after_revoke = bench.claim().await;
    after_revoke.complete(None).await.unwrap();
    bench.replay(&id).await.unwrap();
    let replayed = bench.claim().await;

    let all = [&first, &retried, &reclaimed, &resumed, &again, &after_revoke, &replayed];
    assert_eq!(all.map(|held| held.epoch()), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(all.map(|held| held.attempt()), [0, 1, 2, 2, 2, 3, 4]);
    use HandleKind::{Fresh, Reclaimed, Resumed};
    let kinds = [Fresh, Fresh, Reclaimed, Resumed, Resumed, Reclaimed, Fresh];
    assert_eq!(all.map(|held| held.kind()), kinds);
}

pub async fn only_acquisitions_raise_the_epoch(bench: &Bench) {
    let held = bench.claimed().await;
    held.renew().await.unwrap();
    held.progress(Some(1), None).await.unwrap();
    bench.let_lease_expire(&held).await;
    bench.sweep().await;
    assert_eq!(bench.summary(held.execution()).await.lease_epoch.0, 1);

    bench.cancel(held.execution()).await.unwrap();
    bench.replay(held.execution()).await.unwrap();

    assert_eq!(bench.summary(held.execution()).await.lease_epoch.0, 1);
}

pub async fn every_acquisition_has_its_own_lease_id(bench: &Bench) {
    let first = bench.lapsed().await;
    let second = bench.claim().await;

    assert_ne!(first.proof.lease_id, second.proof.lease_id);
    assert_ne!(first.proof.attempt_id, second.proof.attempt_id);
}

pub async fn a_lease_lasts_from_one_millisecond_to_a_day(bench: &Bench) {
    const DAY_MS: u32 = 24 * 60 * 60 * 1_000;
    bench.submit().await;
    bench.submit().await;
    for ms in [0, DAY_MS + 1, u32::MAX] {
        bench.unchanged_by(bench.claim().ttl(ms).answer()).await.must_be_invalid();
    }

    for ms in [1, DAY_MS] {
        let held = bench.claim().ttl(ms).await;
        assert_eq!(held.expires_at().await, bench.after(u64::from(ms)));
    }
}

pub async fn a_workers_malformed_capabilities_are_refused_by_their_code(bench: &Bench) {
    bench.submit().await;
    let many: Vec<String> = (0..257).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(4_097);
    for (code, tokens) in [
        ("worker:empty_token", &[""][..]),
        ("worker:comma_in_token", &["a,b"]),
        ("worker:control_or_whitespace", &["a b"]),
        ("worker:too_many_tokens", &many),
        ("worker:too_many_bytes", &[&long]),
    ] {
        let refused = bench.unchanged_by(bench.claim().with(tokens).answer()).await;
        assert_eq!(refused.must_be_validation(&ValidationKind::InvalidCapabilities), code);
    }
}

pub async fn a_workers_name_is_at_most_256_bytes(bench: &Bench) {
    bench.submit().await;
    // The instance is `<worker>-1`.
    let (fits, too_long) = ("w".repeat(254), "w".repeat(255));

    let claiming = bench.claim().worker(&too_long);
    bench.unchanged_by(claiming.clone().answer()).await.must_be_invalid();
    bench.unchanged_by(claiming.batch(&["work"], 1)).await.must_be_invalid();
    let id = bench.submit().lane("other").await;
    let grant = bench.grant_args(&id, &too_long, 5_000);
    bench.unchanged_by(bench.engine.issue_claim_grant(grant)).await.must_be_invalid();
    bench.unchanged_by(bench.redeem(&id, &too_long)).await.must_be_invalid();
    let grant = bench.reclaim_grant_args(&id, &too_long, 5_000);
    bench.unchanged_by(bench.engine.issue_reclaim_grant(grant)).await.must_be_invalid();
    let reclaim = bench.reclaim_args(&id, &too_long);
    bench.unchanged_by(bench.engine.reclaim_execution(reclaim)).await.must_be_invalid();

    bench.claim().worker(&fits).await;
}
