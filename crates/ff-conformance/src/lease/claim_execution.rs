//! Claiming one execution by its grant.

use ff_core::backend::HandleKind;
use ff_core::engine_error::ContentionKind;
use ff_core::state::{AttemptType, PublicState};

use crate::harness::{Bench, Refusal, TTL_MS};

pub async fn a_grant_becomes_a_lease_with_the_ids_given(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    let args = bench.redeem_args(&id, "ann");
    let (lease_id, attempt_id) = (args.lease_id.clone(), args.attempt_id.clone());

    let ff_core::contracts::ClaimExecutionResult::Claimed(claimed) =
        bench.engine.claim_execution(args).await.unwrap()
    else {
        panic!("an answer beyond the contract")
    };

    assert_eq!((&claimed.lease_id, &claimed.attempt_id), (&lease_id, &attempt_id));
    assert_eq!((claimed.attempt_index.0, claimed.lease_epoch.0), (0, 1));
    assert_eq!(claimed.attempt_type, AttemptType::Initial);
    assert_eq!(claimed.lease_expires_at, bench.after(u64::from(TTL_MS)));
    let held = bench.holding(claimed.handle);
    assert_eq!(held.kind(), HandleKind::Fresh);
    held.renew().await.unwrap();
    held.complete(None).await.unwrap();
    assert_eq!(bench.state(&id).await, PublicState::Completed);
}

pub async fn a_grant_is_good_through_its_last_instant(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    bench.advance(5_000);

    bench.redeem(&id, "ann").await.unwrap();
}

pub async fn a_late_grant_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    bench.advance(5_001);

    let refused = bench.unchanged_by(bench.redeem(&id, "ann")).await;

    refused.must_be_contention(&ContentionKind::ClaimGrantExpired);
}

pub async fn no_grant_and_another_workers_grant_are_refused(bench: &Bench) {
    let id = bench.submit().await;
    let none = bench.unchanged_by(bench.redeem(&id, "ann")).await;
    none.must_be_contention(&ContentionKind::InvalidClaimGrant);
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();

    let foreign = bench.unchanged_by(bench.redeem(&id, "bob")).await;

    foreign.must_be_contention(&ContentionKind::InvalidClaimGrant);
    bench.redeem(&id, "ann").await.unwrap();
}

pub async fn a_repeat_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    bench.redeem(&id, "ann").await.unwrap();

    let refused = bench.unchanged_by(bench.redeem(&id, "ann")).await;

    refused.must_be_contention(&ContentionKind::ExecutionNotLeaseable);
}

pub async fn a_grant_is_used_up_by_its_claim(bench: &Bench) {
    let id = bench.submit().retries(crate::harness::fixed(1, 0)).await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    let claimed = bench.redeem(&id, "ann").await.unwrap();
    let held = bench.holding(claimed.handle);
    held.fail("broken", ff_core::backend::FailureClass::Transient).await.unwrap();

    let refused = bench.redeem(&id, "ann").await;

    refused.must_be_contention(&ContentionKind::InvalidClaimGrant);
}

pub async fn what_is_not_in_line_is_not_leaseable(bench: &Bench) {
    let delayed = bench.submit().delay_until(bench.after(1_000)).await;
    let ended = bench.submit().await;
    bench.cancel(&ended).await.unwrap();

    for id in [&delayed, &ended] {
        let refused = bench.unchanged_by(bench.redeem(id, "ann")).await;
        refused.must_be_contention(&ContentionKind::ExecutionNotLeaseable);
    }
    bench.redeem(&bench.new_id(), "ann").await.must_be_not_found("execution");
}

pub async fn an_interrupted_attempt_is_not_claimed_this_way(bench: &Bench) {
    let held = bench.claimed().await;
    held.release().await.unwrap();

    let refused = bench.unchanged_by(bench.redeem(held.execution(), "ann")).await;

    refused.must_be_contention(&ContentionKind::UseClaimResumedExecution);
}

pub async fn its_own_timeout_and_deadline_count(bench: &Bench) {
    let timed = bench.submit().attempt_timeout(90_000).await;
    bench.engine.issue_claim_grant(bench.grant_args(&timed, "ann", 5_000)).await.unwrap();
    let mut args = bench.redeem_args(&timed, "ann");
    args.attempt_timeout_ms = Some(1_000);
    bench.engine.claim_execution(args).await.unwrap();
    let ending = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&ending, "ann", 5_000)).await.unwrap();
    let mut args = bench.redeem_args(&ending, "ann");
    args.execution_deadline_at = Some(bench.after(1_000).0);
    bench.engine.claim_execution(args).await.unwrap();

    bench.advance(1_000);
    bench.sweep().await;

    assert_eq!(bench.state(&timed).await, PublicState::Failed);
    assert_eq!(bench.state(&ending).await, PublicState::Expired);
}

pub async fn a_duration_out_of_bounds_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    for ms in [0, 24 * 60 * 60 * 1_000 + 1] {
        let mut args = bench.redeem_args(&id, "ann");
        args.lease_ttl_ms = ms;
        bench.unchanged_by(bench.engine.claim_execution(args)).await.must_be_invalid();
    }
}
