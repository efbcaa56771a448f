//! The scheduler's question: what should this worker run next?

use std::collections::BTreeSet;

use ff_core::contracts::{ClaimForWorkerArgs, ClaimForWorkerOutcome, ClaimGrant};
use ff_core::engine_error::ValidationKind;
use ff_core::types::{LaneId, WorkerId, WorkerInstanceId};

use crate::harness::{Bench, LANE, Refusal};

fn args(worker: &str, capabilities: &[&str]) -> ClaimForWorkerArgs {
    ClaimForWorkerArgs::new(
        LaneId::new(LANE),
        WorkerId::new(worker),
        WorkerInstanceId::new(format!("{worker}-1")),
        capabilities.iter().map(|token| (*token).to_owned()).collect::<BTreeSet<_>>(),
        5_000,
    )
}

async fn granted(bench: &Bench, args: ClaimForWorkerArgs) -> ClaimGrant {
    match bench.engine.claim_for_worker(args).await.unwrap() {
        ClaimForWorkerOutcome::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn nothing(bench: &Bench, args: ClaimForWorkerArgs) {
    let outcome = bench.engine.claim_for_worker(args).await.unwrap();
    assert_eq!(outcome, ClaimForWorkerOutcome::NoWork);
}

pub async fn an_empty_lane_has_no_work(bench: &Bench) {
    nothing(bench, args("ann", &[])).await;
}

pub async fn the_best_execution_is_reserved_and_can_be_claimed(bench: &Bench) {
    bench.submit().await;
    let id = bench.submit().priority(5).await;

    let grant = granted(bench, args("ann", &[])).await;

    assert_eq!(grant.execution_id, id);
    assert_eq!(i64::try_from(grant.expires_at_ms).unwrap(), bench.after(5_000).0);
    assert_eq!(grant.partition().unwrap().index, id.partition());
    assert!(!grant.grant_key.is_empty());
    bench.redeem(&id, "ann").await.unwrap();
}

pub async fn reserved_executions_are_passed_over(bench: &Bench) {
    let first = bench.submit().await;
    let second = bench.submit().await;

    assert_eq!(granted(bench, args("ann", &[])).await.execution_id, first);
    assert_eq!(granted(bench, args("bob", &[])).await.execution_id, second);
    nothing(bench, args("ann", &[])).await;

    bench.advance(5_001);
    assert_eq!(granted(bench, args("bob", &[])).await.execution_id, first);
}

pub async fn a_hundred_reserved_ones_do_not_hide_the_next(bench: &Bench) {
    for _ in 0..100 {
        bench.submit().await;
    }
    for _ in 0..100 {
        granted(bench, args("ann", &[])).await;
    }
    let last = bench.submit().await;

    assert_eq!(granted(bench, args("ann", &[])).await.execution_id, last);
}

pub async fn a_worker_sees_what_it_can_run_behind_what_it_cannot(bench: &Bench) {
    let batch = (0..500).map(|_| bench.submit().needs(&["gpu"]).priority(9).args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    let plain = bench.submit().await;

    assert_eq!(granted(bench, args("ann", &[])).await.execution_id, plain);
    nothing(bench, args("ann", &["cpu"])).await;
    granted(bench, args("ann", &["gpu"])).await;
}

pub async fn what_is_due_comes_first_into_line(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(1_000)).await;
    nothing(bench, args("ann", &[])).await;
    bench.advance(1_000);

    assert_eq!(granted(bench, args("ann", &[])).await.execution_id, id);
}

pub async fn a_paused_lane_has_no_work(bench: &Bench) {
    bench.submit().await;
    let paused = ff_core::state::LaneState::Paused;
    bench.engine.set_lane_state(&LANE.into(), paused).await.unwrap();

    nothing(bench, args("ann", &[])).await;
}

pub async fn malformed_arguments_are_refused(bench: &Bench) {
    bench.submit().await;
    let refused = bench.unchanged_by(bench.engine.claim_for_worker(args("ann", &["a b"]))).await;
    let detail = refused.must_be_validation(&ValidationKind::InvalidCapabilities);
    assert_eq!(detail, "worker:control_or_whitespace");

    let mut endless = args("ann", &[]);
    endless.grant_ttl_ms = 0;
    bench.unchanged_by(bench.engine.claim_for_worker(endless)).await.must_be_invalid();
}
