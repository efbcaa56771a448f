//! Why an execution is not running.

use ff_core::contracts::{Explanation, Gate, GateEvidence, GateVerdict};
use ff_core::state::LaneState;
use ff_core::types::ExecutionId;

use super::{a_bound_lane, a_budget, bound, report};
use crate::harness::{Bench, LANE, Refusal};

async fn explained(bench: &Bench, id: &ExecutionId) -> Explanation {
    bench.engine.explain(id).await.unwrap()
}

fn closed(told: &Explanation) -> Vec<Gate> {
    told.closed().map(|gate| gate.gate).collect()
}

pub async fn what_waits_for_a_worker_has_its_place_in_line(bench: &Bench) {
    bench.submit().await;
    let id = bench.submit().await;

    let told = bench.unchanged_by(explained(bench, &id)).await;

    assert_eq!(closed(&told), []);
    assert_eq!(told.position.map(|place| (place.ahead, place.is_at_least)), Some((1, false)));
}

pub async fn a_delay_a_run_and_an_end_are_told(bench: &Bench) {
    let delayed = bench.submit().delay_until(bench.after(500)).await;
    let told = explained(bench, &delayed).await;
    let gate = told.closed().next().unwrap();
    assert_eq!((gate.gate, gate.opens_at), (Gate::Delay, Some(bench.after(500))));
    assert_eq!(told.position, None);

    let held = bench.claimed().await;
    let told = explained(bench, held.execution()).await;
    assert!(matches!(told.gates[0].evidence[..], [GateEvidence::Lease { .. }]));
    held.complete(None).await.unwrap();
    let told = explained(bench, held.execution()).await;
    assert!(matches!(told.gates[0].evidence[..], [GateEvidence::Ended { .. }]));
}

pub async fn a_spent_budget_is_told_with_its_counts_before_any_claim_met_it(bench: &Bench) {
    let budget = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    report(bench, &budget, 10).await;
    let id = bound(bench, &budget).await;

    for _ in 0..2 {
        let told = explained(bench, &id).await;
        let gate = told.closed().next().unwrap();
        assert_eq!((gate.gate, gate.opens_at.is_some()), (Gate::Budget, true));
        assert!(matches!(
            gate.evidence[..],
            [GateEvidence::BudgetDimension { usage: 10, hard_limit: 10, .. }]
        ));
        bench.claim().nothing().await;
    }
}

pub async fn a_full_quota_is_told_with_its_holders(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let held = bench.claimed().await;
    let id = bench.submit().await;

    let told = explained(bench, &id).await;

    let gate = told.closed().next().unwrap();
    assert_eq!(gate.gate, Gate::Quota);
    let holder = gate.evidence.iter().find_map(|fact| match fact {
        GateEvidence::QuotaHolder { execution_id, .. } => Some(execution_id),
        _ => None,
    });
    assert_eq!(holder, Some(held.execution()));
}

pub async fn a_paused_lane_and_unknown_workers_are_told(bench: &Bench) {
    let id = bench.submit().needs(&["gpu"]).await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    let told = explained(bench, &id).await;

    assert_eq!(closed(&told), [Gate::Lane]);
    let gate = told.gates.iter().find(|gate| gate.gate == Gate::Capability).unwrap();
    assert_eq!(gate.verdict, GateVerdict::Unknown);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    bench.engine.explain(&bench.new_id()).await.must_be_not_found("execution");
}
