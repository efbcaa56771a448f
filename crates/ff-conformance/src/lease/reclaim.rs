//! Reclaiming by grant: a scheduler chooses who takes over.

use std::collections::BTreeSet;

use ff_core::backend::HandleKind;
use ff_core::contracts::{IssueReclaimGrantOutcome, ReclaimExecutionOutcome, ReclaimGrant};
use ff_core::engine_error::StateKind;
use ff_core::state::PublicState;
use ff_core::types::ExecutionId;

use crate::harness::{Bench, Refusal};

async fn granted(bench: &Bench, id: &ExecutionId, worker: &str) -> ReclaimGrant {
    let args = bench.reclaim_grant_args(id, worker, 5_000);
    match bench.engine.issue_reclaim_grant(args).await.unwrap() {
        IssueReclaimGrantOutcome::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

pub async fn a_grant_is_redeemed_into_a_reclaim(bench: &Bench) {
    let lost = bench.lapsed().await;
    let grant = granted(bench, lost.execution(), "heir").await;
    assert_eq!(grant.execution_id, *lost.execution());
    assert_eq!(i64::try_from(grant.expires_at_ms).unwrap(), bench.after(5_000).0);
    assert_eq!(grant.partition().unwrap().index, lost.execution().partition());
    let args = bench.reclaim_args(lost.execution(), "heir");
    let (lease_id, attempt_id) = (args.lease_id.clone(), args.attempt_id.clone());

    let answer = bench.engine.reclaim_execution(args).await.unwrap();

    let ReclaimExecutionOutcome::Claimed(handle) = answer else { panic!("{answer:?}") };
    let held = bench.holding(handle);
    assert_eq!(held.kind(), HandleKind::Reclaimed);
    assert_eq!((held.attempt(), held.epoch()), (1, 2));
    assert_eq!((&held.proof.lease_id, &held.proof.attempt_id), (&lease_id, &attempt_id));
    assert_eq!(bench.summary(held.execution()).await.reclaim_count, 1);
    held.complete(None).await.unwrap();
}

pub async fn a_revoked_lease_can_be_granted_too(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    granted(bench, held.execution(), "heir").await;
}

pub async fn what_is_not_lapsed_cannot_be_granted(bench: &Bench) {
    let waiting = bench.submit().lane("other").await;
    let running = bench.claimed().await;
    for (id, why) in [
        (&waiting, "lifecycle_phase=runnable (expected active)"),
        (
            running.execution(),
            "ownership_state=leased (expected lease_expired_reclaimable | lease_revoked)",
        ),
    ] {
        let args = bench.reclaim_grant_args(id, "heir", 5_000);
        let answer = bench.unchanged_by(bench.engine.issue_reclaim_grant(args)).await.unwrap();
        let wanted = IssueReclaimGrantOutcome::NotReclaimable {
            execution_id: id.clone(),
            detail: why.to_owned(),
        };
        assert_eq!(answer, wanted);

        let args = bench.reclaim_args(id, "heir");
        let answer = bench.unchanged_by(bench.engine.reclaim_execution(args)).await.unwrap();
        let wanted = ReclaimExecutionOutcome::NotReclaimable {
            execution_id: id.clone(),
            detail: why.to_owned(),
        };
        assert_eq!(answer, wanted);
    }
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let id = bench.new_id();

    let args = bench.reclaim_grant_args(&id, "heir", 5_000);
    bench.unchanged_by(bench.engine.issue_reclaim_grant(args)).await.must_be_not_found("execution");
    let args = bench.reclaim_args(&id, "heir");
    bench.unchanged_by(bench.engine.reclaim_execution(args)).await.must_be_not_found("execution");
}

pub async fn a_standing_grant_refuses_another_until_its_instant(bench: &Bench) {
    let lost = bench.lapsed().await;
    granted(bench, lost.execution(), "heir").await;

    bench.advance(4_999);
    let args = bench.reclaim_grant_args(lost.execution(), "other", 5_000);
    let refused = bench.engine.issue_reclaim_grant(args.clone()).await;
    refused.must_be_state(&StateKind::GrantAlreadyExists);
    bench.advance(1);

    granted(bench, lost.execution(), "other").await;
}

pub async fn a_grant_is_void_from_its_expiry_on(bench: &Bench) {
    let lost = bench.lapsed().await;
    granted(bench, lost.execution(), "heir").await;
    bench.advance(5_000);

    let args = bench.reclaim_args(lost.execution(), "heir");
    let answer = bench.engine.reclaim_execution(args).await.unwrap();

    let execution_id = lost.execution().clone();
    assert_eq!(answer, ReclaimExecutionOutcome::GrantNotFound { execution_id });
}

pub async fn without_a_grant_of_its_own_nobody_reclaims(bench: &Bench) {
    let lost = bench.lapsed().await;
    bench.sweep().await;
    let wanted = ReclaimExecutionOutcome::GrantNotFound { execution_id: lost.execution().clone() };

    let args = bench.reclaim_args(lost.execution(), "heir");
    let none = bench.unchanged_by(bench.engine.reclaim_execution(args)).await.unwrap();
    granted(bench, lost.execution(), "heir").await;
    let args = bench.reclaim_args(lost.execution(), "thief");
    let foreign = bench.unchanged_by(bench.engine.reclaim_execution(args)).await.unwrap();

    assert_eq!((none, foreign), (wanted.clone(), wanted));
}

pub async fn a_grant_is_used_up_by_its_reclaim(bench: &Bench) {
    let lost = bench.lapsed().await;
    granted(bench, lost.execution(), "heir").await;
    let args = bench.reclaim_args(lost.execution(), "heir");
    bench.engine.reclaim_execution(args.clone()).await.unwrap();
    let repeat = bench.unchanged_by(bench.engine.reclaim_execution(args.clone())).await.unwrap();
    assert!(matches!(repeat, ReclaimExecutionOutcome::NotReclaimable { .. }));

    bench.engine.revoke_lease(bench.revoke_args(lost.execution())).await.unwrap();

    let again = bench.engine.reclaim_execution(args).await.unwrap();
    assert!(matches!(again, ReclaimExecutionOutcome::GrantNotFound { .. }));
}

/// A lease renewed or taken after the grant is not stolen by it.
pub async fn a_grant_does_not_steal_from_a_successor(bench: &Bench) {
    let lost = bench.lapsed().await;
    granted(bench, lost.execution(), "heir").await;
    let held = bench.claim().await;

    let args = bench.reclaim_args(lost.execution(), "heir");
    let answer = bench.unchanged_by(bench.engine.reclaim_execution(args)).await.unwrap();

    assert!(matches!(answer, ReclaimExecutionOutcome::NotReclaimable { .. }));
    held.complete(None).await.unwrap();
}

pub async fn a_worker_that_cannot_run_it_gets_no_grant(bench: &Bench) {
    let id = bench.submit().needs(&["gpu", "ssd"]).await;
    let lost = bench.claim().with(&["gpu", "ssd"]).await;
    bench.let_lease_expire(&lost).await;
    bench.sweep().await;

    let mut args = bench.reclaim_grant_args(&id, "heir", 5_000);
    args.worker_capabilities = BTreeSet::from(["ssd".to_owned()]);
    let answer = bench.unchanged_by(bench.engine.issue_reclaim_grant(args)).await.unwrap();

    let wanted = IssueReclaimGrantOutcome::NotReclaimable {
        execution_id: id,
        detail: "capability_mismatch: gpu".to_owned(),
    };
    assert_eq!(answer, wanted);
}

pub async fn at_the_cap_there_is_no_grant_and_a_reclaim_ends_the_execution(bench: &Bench) {
    let id = bench.submit().reclaims(0).await;
    let lost = bench.claim().await;
    bench.let_lease_expire(&lost).await;
    bench.sweep().await;
    let args = bench.reclaim_grant_args(&id, "heir", 5_000);
    let answer = bench.unchanged_by(bench.engine.issue_reclaim_grant(args)).await.unwrap();
    let wanted =
        IssueReclaimGrantOutcome::ReclaimCapExceeded { execution_id: id.clone(), reclaim_count: 0 };
    assert_eq!(answer, wanted);

    let args = bench.reclaim_args(&id, "heir");
    let answer = bench.engine.reclaim_execution(args).await.unwrap();

    let wanted =
        ReclaimExecutionOutcome::ReclaimCapExceeded { execution_id: id.clone(), reclaim_count: 0 };
    assert_eq!(answer, wanted);
    assert_eq!(bench.state(&id).await, PublicState::Failed);
    assert_eq!(bench.summary(&id).await.reason.as_deref(), Some("max_reclaims_exceeded"));
    assert_eq!(bench.all_completions().await.len(), 1);
}

pub async fn the_callers_cap_counts_where_no_policy_has_one(bench: &Bench) {
    let lost = bench.lapsed().await;
    granted(bench, lost.execution(), "heir").await;
    let mut args = bench.reclaim_args(lost.execution(), "heir");
    args.max_reclaim_count = Some(0);

    let answer = bench.engine.reclaim_execution(args).await.unwrap();

    assert!(matches!(answer, ReclaimExecutionOutcome::ReclaimCapExceeded { .. }));
}

pub async fn durations_out_of_bounds_are_refused(bench: &Bench) {
    let lost = bench.lapsed().await;
    for ms in [0, 24 * 60 * 60 * 1_000 + 1] {
        let args = bench.reclaim_grant_args(lost.execution(), "heir", ms);
        bench.unchanged_by(bench.engine.issue_reclaim_grant(args)).await.must_be_invalid();
        let mut args = bench.reclaim_args(lost.execution(), "heir");
        args.lease_ttl_ms = ms;
        bench.unchanged_by(bench.engine.reclaim_execution(args)).await.must_be_invalid();
    }
}
