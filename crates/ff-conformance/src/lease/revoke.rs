//! Revoking: taking a lease away from its holder.

use ff_core::backend::HandleKind;
use ff_core::contracts::RevokeLeaseResult;
use ff_core::engine_error::StateKind;
use ff_core::state::{AttemptState, AttemptType, LifecyclePhase, OwnershipState};
use ff_core::types::WorkerInstanceId;

use crate::harness::{Bench, Refusal, cause};

fn satisfied(answer: RevokeLeaseResult) -> String {
    match answer {
        RevokeLeaseResult::AlreadySatisfied { reason } => reason,
        RevokeLeaseResult::Revoked { lease_id, .. } => panic!("revoked {lease_id}"),
    }
}

pub async fn a_revoked_lease_is_gone_and_the_execution_waits_for_a_reclaim(bench: &Bench) {
    let held = bench.claimed().await;

    let answer = bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    let wanted = RevokeLeaseResult::Revoked {
        lease_id: held.proof.lease_id.to_string(),
        lease_epoch: "1".to_owned(),
    };
    assert_eq!(answer, wanted);
    let state = bench.info(held.execution()).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Active);
    assert_eq!(state.ownership_state, OwnershipState::LeaseRevoked);
    assert_eq!(state.attempt_state, AttemptState::AttemptInterrupted);
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "maintenance");
}

pub async fn the_next_claim_reclaims_it(bench: &Bench) {
    let first = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(first.execution())).await.unwrap();

    let second = bench.claim().await;

    assert_eq!(second.kind(), HandleKind::Reclaimed);
    assert_eq!((second.attempt(), second.epoch()), (1, 2));
    let lost = bench.attempt(second.execution(), 0).await;
    assert_eq!(lost.outcome.as_deref(), Some("interrupted_reclaimed"));
    assert_eq!(lost.failure_reason.as_deref(), Some("lease_revoked"));
    assert_eq!(bench.attempt(second.execution(), 1).await.attempt_type, AttemptType::Reclaim);
}

pub async fn a_matching_holder_and_lease_are_accepted(bench: &Bench) {
    let held = bench.claimed().await;
    let mut args = bench.revoke_args(held.execution());
    args.expected_lease_id = Some(held.proof.lease_id.to_string());
    args.worker_instance_id = held.proof.worker_instance_id.clone();

    let answer = bench.engine.revoke_lease(args).await.unwrap();

    assert!(matches!(answer, RevokeLeaseResult::Revoked { .. }));
}

pub async fn another_lease_than_the_expected_one_is_stale(bench: &Bench) {
    let held = bench.claimed().await;
    let mut args = bench.revoke_args(held.execution());
    args.expected_lease_id = Some(bench.new_lease_id().to_string());

    let refused = bench.unchanged_by(bench.engine.revoke_lease(args)).await;

    refused.must_be_state(&StateKind::StaleLease);
}

pub async fn another_holder_is_already_satisfied(bench: &Bench) {
    let held = bench.claimed().await;
    let mut args = bench.revoke_args(held.execution());
    args.worker_instance_id = WorkerInstanceId::new("someone else");

    let answer = bench.unchanged_by(bench.engine.revoke_lease(args)).await.unwrap();

    assert_eq!(satisfied(answer), "different_worker_instance_id");
}

pub async fn a_repeat_is_already_satisfied(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    let again = bench.engine.revoke_lease(bench.revoke_args(held.execution()));

    assert_eq!(satisfied(bench.unchanged_by(again).await.unwrap()), "already_revoked");
}

pub async fn a_lapsed_lease_is_already_satisfied(bench: &Bench) {
    let held = bench.lapsed().await;

    let answer = bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    assert_eq!(satisfied(answer), "already_expired");
}

pub async fn what_is_not_active_has_no_lease_to_revoke(bench: &Bench) {
    let waiting = bench.submit().lane("other").await;
    let ended = bench.completed().await;

    let refused = bench.unchanged_by(bench.engine.revoke_lease(bench.revoke_args(&waiting))).await;
    assert_eq!(refused.must_be_not_active().lifecycle_phase, "runnable");
    let args = bench.revoke_args(ended.execution());
    let refused = bench.unchanged_by(bench.engine.revoke_lease(args)).await;
    assert_eq!(refused.must_be_not_active().terminal_outcome, "success");
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let args = bench.revoke_args(&bench.new_id());

    bench.unchanged_by(bench.engine.revoke_lease(args)).await.must_be_not_found("execution");
}

pub async fn a_revoked_attempt_does_not_time_out(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    bench.claim().await;
    bench.engine.revoke_lease(bench.revoke_args(&id)).await.unwrap();

    bench.advance(10_000);
    bench.sweep().await;

    assert_eq!(bench.claim().await.kind(), HandleKind::Reclaimed);
}
