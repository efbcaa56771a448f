//! Claim grants: one execution reserved for one worker, for a short time.

use std::collections::BTreeSet;

use ff_core::contracts::IssueClaimGrantOutcome;
use ff_core::engine_error::{ContentionKind, StateKind, ValidationKind};
use ff_core::state::PublicState;

use crate::harness::{Bench, Refusal};

pub async fn a_granted_execution_stays_in_line(bench: &Bench) {
    let id = bench.submit().await;

    let args = bench.grant_args(&id, "ann", 5_000);
    let answer = bench.engine.issue_claim_grant(args).await.unwrap();

    assert_eq!(answer, IssueClaimGrantOutcome::Granted { execution_id: id.clone() });
    assert_eq!(bench.state(&id).await, PublicState::Waiting);
}

pub async fn a_standing_grant_refuses_another(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();

    for worker in ["ann", "bob"] {
        let again = bench.engine.issue_claim_grant(bench.grant_args(&id, worker, 5_000));
        bench.unchanged_by(again).await.must_be_state(&StateKind::GrantAlreadyExists);
    }
}

pub async fn a_grant_stands_through_its_last_instant(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();
    bench.advance(5_000);
    let again = bench.engine.issue_claim_grant(bench.grant_args(&id, "bob", 5_000)).await;
    again.must_be_state(&StateKind::GrantAlreadyExists);

    bench.advance(1);

    bench.engine.issue_claim_grant(bench.grant_args(&id, "bob", 5_000)).await.unwrap();
    bench.redeem(&id, "bob").await.unwrap();
}

pub async fn a_sweep_takes_no_grant_that_stands(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", 5_000)).await.unwrap();

    bench.advance(5_000);
    bench.sweep().await;

    bench.redeem(&id, "ann").await.unwrap();
}

pub async fn what_is_not_in_line_gets_no_grant(bench: &Bench) {
    let lapsed = bench.lapsed().await;
    let running = bench.submit().lane("other").await;
    bench.claim().lane("other").await;
    let delayed = bench.submit().delay_until(bench.after(1_000)).await;
    let ended = bench.submit().await;
    bench.cancel(&ended).await.unwrap();

    for id in [lapsed.execution(), &running, &delayed, &ended] {
        let refused = bench.engine.issue_claim_grant(bench.grant_args(id, "ann", 5_000));
        let refused = bench.unchanged_by(refused).await;
        refused.must_be_contention(&ContentionKind::ExecutionNotEligible);
    }
}

pub async fn missing_capabilities_are_named_sorted(bench: &Bench) {
    let id = bench.submit().needs(&["ssd", "gpu", "net"]).await;
    let mut args = bench.grant_args(&id, "ann", 5_000);
    args.worker_capabilities = BTreeSet::from(["net".to_owned()]);

    let refused = bench.unchanged_by(bench.engine.issue_claim_grant(args.clone())).await;
    assert_eq!(refused.must_be_validation(&ValidationKind::CapabilityMismatch), "gpu,ssd");

    args.worker_capabilities = ["gpu", "net", "ssd"].map(str::to_owned).into();
    bench.engine.issue_claim_grant(args).await.unwrap();
}

pub async fn malformed_capabilities_are_refused(bench: &Bench) {
    let id = bench.submit().await;
    let mut args = bench.grant_args(&id, "ann", 5_000);
    args.worker_capabilities = BTreeSet::from(["a,b".to_owned()]);

    let refused = bench.unchanged_by(bench.engine.issue_claim_grant(args)).await;

    let detail = refused.must_be_validation(&ValidationKind::InvalidCapabilities);
    assert_eq!(detail, "worker:comma_in_token");
}

pub async fn a_grants_life_is_bounded(bench: &Bench) {
    let id = bench.submit().await;

    for ms in [0, 24 * 60 * 60 * 1_000 + 1] {
        let refused = bench.engine.issue_claim_grant(bench.grant_args(&id, "ann", ms));
        bench.unchanged_by(refused).await.must_be_invalid();
    }
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let args = bench.grant_args(&bench.new_id(), "ann", 5_000);

    bench.unchanged_by(bench.engine.issue_claim_grant(args)).await.must_be_not_found("execution");
}
