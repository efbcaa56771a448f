//! Binding lanes and executions to quotas.

use ff_core::contracts::{BindQuotaArgs, BindQuotaResult, QuotaTarget, UnbindQuotaResult};
use ff_core::state::PublicState;
use ff_core::types::{LaneId, QuotaPolicyId};

use super::{a_bound_lane, a_quota, bind, quota_overview};
use crate::harness::{Bench, LANE, Refusal};

fn lane() -> QuotaTarget {
    QuotaTarget::Lane(LaneId::new(LANE))
}

pub async fn a_binding_is_made_once_and_ended_once(bench: &Bench) {
    let id = a_quota(bench, 0, 1).await;
    let execution = bench.submit().await;

    for target in [lane(), QuotaTarget::Execution(execution)] {
        let bind = || bench.engine.bind_quota(BindQuotaArgs::new(target.clone(), id.clone()));
        assert_eq!(bind().await.unwrap(), BindQuotaResult::Bound);
        assert_eq!(bind().await.unwrap(), BindQuotaResult::AlreadyBound);
        let unbind = || bench.engine.unbind_quota(target.clone());
        let ended = UnbindQuotaResult::Unbound { quota_policy_id: id.clone() };
        assert_eq!(unbind().await.unwrap(), ended);
        assert_eq!(unbind().await.unwrap(), UnbindQuotaResult::NotBound);
    }
}

pub async fn what_is_not_there_cannot_be_bound(bench: &Bench) {
    let id = a_quota(bench, 0, 1).await;
    let bind = |target, id| bench.engine.bind_quota(BindQuotaArgs::new(target, id));

    let no_policy = QuotaPolicyId::from_uuid(bench.new_id().uuid());
    bind(lane(), no_policy).await.must_be_not_found("quota_policy");
    let no_execution = QuotaTarget::Execution(bench.new_id());
    bind(no_execution, id.clone()).await.must_be_not_found("execution");
    let ended = QuotaTarget::Execution(bench.completed().await.execution().clone());
    bind(ended, id.clone()).await.must_be_not_active();
    bind(QuotaTarget::Lane(LaneId::new("")), id).await.must_be_invalid();
}

pub async fn what_runs_goes_on_without_a_slot(bench: &Bench) {
    let before = bench.claimed().await;
    let id = a_bound_lane(bench, 0, 1).await;

    let held = bench.claimed().await;

    let overview = quota_overview(bench, &id).await;
    assert_eq!((overview.active, overview.holders.len()), (1, 1));
    assert_eq!(overview.holders[0].execution_id, *held.execution());
    assert_eq!(overview.lanes, [LaneId::new(LANE)]);
    before.complete(None).await.unwrap();
}

pub async fn an_execution_let_go_comes_back_into_line(bench: &Bench) {
    let id = a_quota(bench, 0, 1).await;
    let [first, second] = [bench.submit().await, bench.submit().await];
    for execution in [&first, &second] {
        bind(bench, QuotaTarget::Execution(execution.clone()), &id).await;
    }
    bench.claim().await;
    bench.claim().nothing().await;
    assert_eq!(bench.state(&second).await, PublicState::RateLimited);

    bench.engine.unbind_quota(QuotaTarget::Execution(second.clone())).await.unwrap();

    assert_eq!(bench.state(&second).await, PublicState::Waiting);
    assert_eq!(*bench.claim().await.execution(), second);
}

pub async fn a_lane_let_go_hands_out_all_it_has(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    for _ in 0..3 {
        bench.submit().await;
    }
    bench.claim().await;
    bench.claim().nothing().await;

    bench.engine.unbind_quota(lane()).await.unwrap();

    bench.claim().await;
    bench.claim().await;
}
