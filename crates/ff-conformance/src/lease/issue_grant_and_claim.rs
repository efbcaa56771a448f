//! The operator's shortcut: grant and claim in one step.

use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::state::PublicState;

use crate::harness::{Bench, Refusal, TTL_MS};

pub async fn an_operator_takes_an_execution(bench: &Bench) {
    let id = bench.submit().needs(&["gpu"]).await;

    let taken = bench.engine.issue_grant_and_claim(bench.take_args(&id)).await.unwrap();

    assert_eq!((taken.lease_epoch.0, taken.attempt_index.0), (1, 0));
    let seen = bench.engine.describe_execution(&id).await.unwrap().unwrap();
    let lease = seen.current_lease.unwrap();
    assert_eq!(lease.lease_id, taken.lease_id);
    assert_eq!(lease.worker_instance_id.as_str(), "operator");
    assert_eq!(lease.expires_at, bench.after(u64::from(TTL_MS)));
}

pub async fn it_leaves_no_grant(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_grant_and_claim(bench.take_args(&id)).await.unwrap();
    bench.cancel(&id).await.unwrap();
    bench.replay(&id).await.unwrap();

    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
}

pub async fn a_standing_grant_refuses_it(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();

    let refused =
        bench.unchanged_by(bench.engine.issue_grant_and_claim(bench.take_args(&id))).await;

    refused.must_be_state(&StateKind::GrantAlreadyExists);
}

pub async fn an_interrupted_attempt_goes_on(bench: &Bench) {
    let held = bench.claimed().await;
    held.release().await.unwrap();

    let taken =
        bench.engine.issue_grant_and_claim(bench.take_args(held.execution())).await.unwrap();

    assert_eq!((taken.lease_epoch.0, taken.attempt_index.0), (2, 0));
    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.attempt_id.as_ref(), Some(&held.proof.attempt_id));
}

pub async fn what_is_not_in_line_is_refused(bench: &Bench) {
    let running = bench.claimed().await;
    let delayed = bench.submit().delay_until(bench.after(1_000)).await;
    let ended = bench.submit().await;
    bench.cancel(&ended).await.unwrap();

    for id in [running.execution(), &delayed, &ended] {
        let refused =
            bench.unchanged_by(bench.engine.issue_grant_and_claim(bench.take_args(id))).await;
        refused.must_be_contention(&ContentionKind::ExecutionNotEligible);
    }
}

pub async fn a_repeat_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_grant_and_claim(bench.take_args(&id)).await.unwrap();

    let refused =
        bench.unchanged_by(bench.engine.issue_grant_and_claim(bench.take_args(&id))).await;

    refused.must_be_contention(&ContentionKind::ExecutionNotEligible);
    assert_eq!(bench.state(&id).await, PublicState::Active);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let args = bench.take_args(&bench.new_id());

    bench
        .unchanged_by(bench.engine.issue_grant_and_claim(args))
        .await
        .must_be_not_found("execution");
}

pub async fn a_duration_out_of_bounds_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    for ms in [0, 24 * 60 * 60 * 1_000 + 1] {
        let mut args = bench.take_args(&id);
        args.lease_duration_ms = ms;
        bench.unchanged_by(bench.engine.issue_grant_and_claim(args)).await.must_be_invalid();
    }
}
