//! Renewing: keeping a lease, by handle or by fence.

use ff_core::backend::BackendTag;
use ff_core::contracts::{RenewLeaseArgs, RenewLeaseResult};
use ff_core::engine_error::{ContentionKind, StateKind, ValidationKind};
use ff_core::types::LeaseEpoch;

use crate::harness::{Bench, Held, Refusal, TTL_MS};

fn args(held: &Held) -> RenewLeaseArgs {
    RenewLeaseArgs {
        execution_id: held.execution().clone(),
        attempt_index: held.proof.attempt_index,
        fence: Some(held.fence()),
        lease_ttl_ms: 5_000,
        lease_history_grace_ms: 60_000,
    }
}

pub async fn a_renewal_counts_from_now_and_keeps_the_epoch(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(10_000);

    let renewal = held.renew().await.unwrap();

    let wanted = bench.after(u64::from(TTL_MS));
    assert_eq!(i64::try_from(renewal.expires_at_ms).unwrap(), wanted.0);
    assert_eq!(renewal.lease_epoch, 1);
    assert_eq!(held.expires_at().await, wanted);
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "renewed"]);
}

pub async fn a_renewal_may_be_repeated(bench: &Bench) {
    let held = bench.claimed().await;

    assert_eq!(held.renew().await.unwrap(), held.renew().await.unwrap());
}

pub async fn a_lease_lives_as_long_as_it_is_renewed(bench: &Bench) {
    let held = bench.claimed().await;
    for _ in 0..10 {
        bench.advance(u64::from(TTL_MS) - 1);
        held.renew().await.unwrap();
        bench.sweep().await;
        bench.claim().nothing().await;
    }

    held.complete(None).await.unwrap();
}

pub async fn a_lease_is_void_from_its_expiry_on(bench: &Bench) {
    let held = bench.lapsed().await;

    bench.unchanged_by(held.renew()).await.must_be_state(&StateKind::LeaseExpired);
    bench
        .unchanged_by(bench.engine.renew_lease(args(&held)))
        .await
        .must_be_state(&StateKind::LeaseExpired);
    bench.sweep().await;
    bench.unchanged_by(held.renew()).await.must_be_state(&StateKind::LeaseExpired);
}

pub async fn the_typed_form_sets_its_own_duration(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(10);

    let renewed = bench.engine.renew_lease(args(&held)).await.unwrap();

    assert_eq!(renewed, RenewLeaseResult::Renewed { expires_at: bench.after(5_000) });
    assert_eq!(held.expires_at().await, bench.after(5_000));
}

pub async fn the_typed_form_needs_a_fence_whoever_asks(bench: &Bench) {
    let held = bench.claimed().await;
    let mut unfenced = args(&held);
    unfenced.fence = None;

    let refused = bench.unchanged_by(bench.engine.renew_lease(unfenced)).await;

    assert_eq!(refused.must_be_invalid(), "fence_required");
}

pub async fn a_duration_out_of_bounds_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    for ms in [0, 24 * 60 * 60 * 1_000 + 1, u64::MAX] {
        let mut wrong = args(&held);
        wrong.lease_ttl_ms = ms;
        bench.unchanged_by(bench.engine.renew_lease(wrong)).await.must_be_invalid();
    }
}

pub async fn a_replaced_lease_is_refused_by_its_form(bench: &Bench) {
    let stale = bench.lapsed().await;
    bench.claim().await;

    bench.unchanged_by(stale.renew()).await.must_be_contention(&ContentionKind::LeaseConflict);
    let typed = bench.unchanged_by(bench.engine.renew_lease(args(&stale))).await;
    typed.must_be_state(&StateKind::StaleLease);
}

pub async fn any_difference_in_the_fence_is_stale(bench: &Bench) {
    let held = bench.claimed().await;
    for forged in [
        held.forged(|proof| proof.lease_epoch = LeaseEpoch(9)),
        held.forged(|proof| proof.lease_id = bench.new_lease_id()),
        held.forged(|proof| proof.attempt_id = bench.new_attempt_id()),
        held.forged(|proof| proof.attempt_index = proof.attempt_index.next()),
    ] {
        let typed = bench.unchanged_by(bench.engine.renew_lease(args(&forged))).await;
        typed.must_be_state(&StateKind::StaleLease);
        bench.unchanged_by(forged.renew()).await.must_be_contention(&ContentionKind::LeaseConflict);
    }
}

pub async fn a_revoked_lease_cannot_be_renewed(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    bench.unchanged_by(held.renew()).await.must_be_state(&StateKind::LeaseRevoked);
}

pub async fn an_ended_execution_has_no_lease_to_renew(bench: &Bench) {
    let held = bench.completed().await;

    let refused = bench.unchanged_by(held.renew()).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "success");
    assert_eq!(refused.lifecycle_phase, "terminal");
    assert_eq!(refused.lease_epoch, "1");
    assert_eq!(refused.attempt_id, held.proof.attempt_id.to_string());
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let held = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    bench.unchanged_by(held.renew()).await.must_be_not_found("execution");
    bench.unchanged_by(bench.engine.renew_lease(args(&held))).await.must_be_not_found("execution");
}

pub async fn a_handle_of_another_backend_is_refused_everywhere(bench: &Bench) {
    let held = bench.claimed().await;
    let foreign = held.tagged(BackendTag::Valkey, BackendTag::Valkey);
    let engine = &bench.engine;
    let reason = ff_core::backend::FailureReason::new("broken");
    let class = ff_core::backend::FailureClass::Transient;

    for refused in [
        engine.renew(&foreign).await.map(|_| ()),
        engine.complete(&foreign, None).await,
        engine.fail(&foreign, reason, class).await.map(|_| ()),
        engine.cancel(&foreign, "no").await,
        engine.delay(&foreign, bench.now()).await,
        engine.progress(&foreign, None, None).await,
        engine.release_lease(&foreign).await,
        engine.check_leases(&[held.handle.clone(), foreign.clone()]).await.map(|_| ()),
    ] {
        refused.must_be_validation(&ValidationKind::HandleFromOtherBackend);
    }
    held.complete(None).await.unwrap();
}
