//! Moving limits: top-ups and new bounds.

use ff_core::contracts::{LimitChange, ReportUsageResult, SetBudgetLimitsArgs};
use ff_core::types::BudgetId;

use super::{TOKENS, a_budget, report, status};
use crate::harness::{Bench, Refusal};

fn args(id: &BudgetId, hard: LimitChange, soft: LimitChange) -> SetBudgetLimitsArgs {
    SetBudgetLimitsArgs::new(id.clone(), TOKENS, hard, soft)
}

pub async fn a_limit_is_set_raised_and_kept(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;

    let set = args(&id, LimitChange::Keep, LimitChange::Set(5));
    bench.engine.set_budget_limits(set).await.unwrap();
    let raised = args(&id, LimitChange::Raise(7), LimitChange::Keep);
    let answer = bench.engine.set_budget_limits(raised).await.unwrap();

    assert_eq!((answer.hard_limit, answer.soft_limit, answer.usage), (17, 5, 0));
    let status = status(bench, &id).await;
    assert_eq!((status.hard_limits[TOKENS], status.soft_limits[TOKENS]), (17, 5));
    assert_eq!(
        report(bench, &id, 17).await,
        ReportUsageResult::SoftBreach {
            dimension: TOKENS.to_owned(),
            current_usage: 17,
            soft_limit: 5
        }
    );
}

pub async fn no_limit_raised_is_still_no_limit(bench: &Bench) {
    let id = a_budget(bench, 0, |_| {}).await;

    let raised = args(&id, LimitChange::Raise(7), LimitChange::Keep);
    let answer = bench.engine.set_budget_limits(raised).await.unwrap();

    assert_eq!(answer.hard_limit, 0);
}

pub async fn a_limit_that_does_not_fit_is_refused(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;

    for hard in [LimitChange::Set(1 << 63), LimitChange::Raise(u64::MAX)] {
        let refused = bench.engine.set_budget_limits(args(&id, hard, LimitChange::Keep)).await;
        refused.must_be_invalid();
    }

    assert_eq!(status(bench, &id).await.hard_limits[TOKENS], 10);
}

pub async fn an_unknown_budget_is_not_found(bench: &Bench) {
    let id = BudgetId::from_uuid(bench.new_id().uuid());

    let refused =
        bench.engine.set_budget_limits(args(&id, LimitChange::Set(1), LimitChange::Keep)).await;

    refused.must_be_not_found("budget");
}
