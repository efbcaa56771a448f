//! Resetting budgets, on request and by their interval.

use ff_core::contracts::{ResetBudgetArgs, ResetBudgetResult};
use ff_core::types::{BudgetId, TimestampMs};

use super::{TOKENS, a_budget, report, status, used};
use crate::harness::{Bench, Refusal, later};

pub(super) async fn reset(bench: &Bench, id: &BudgetId) -> TimestampMs {
    let args = ResetBudgetArgs { budget_id: id.clone(), now: bench.now() };
    let ResetBudgetResult::Reset { next_reset_at } =
        bench.engine.reset_budget(args).await.expect("a reset");
    next_reset_at
}

pub async fn every_counter_is_zero_and_breaches_stay_counted(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    report(bench, &id, 10).await;
    report(bench, &id, 1).await;

    assert_eq!(reset(bench, &id).await, TimestampMs(0));

    let status = status(bench, &id).await;
    assert_eq!((status.usage[TOKENS], status.breach_count), (0, 1));
    assert_eq!((status.last_breach_at, status.last_breach_dim), (None, None));
}

pub async fn a_reset_on_request_begins_a_new_interval(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    bench.advance(400);

    assert_eq!(reset(bench, &id).await, bench.after(1_000));
}

pub async fn an_unknown_budget_is_not_found(bench: &Bench) {
    let budget_id = BudgetId::from_uuid(bench.new_id().uuid());

    let args = ResetBudgetArgs { budget_id, now: bench.now() };

    bench.engine.reset_budget(args).await.must_be_not_found("budget");
}

pub async fn the_interval_resets_at_its_instant_and_not_before(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    report(bench, &id, 10).await;

    bench.advance(999);
    bench.sweep().await;
    assert_eq!(used(bench, &id).await, 10);
    bench.advance(1);

    // Nothing has swept: what is due is done before anything is told.
    assert_eq!(used(bench, &id).await, 0);
    assert_eq!(report(bench, &id, 3).await, ff_core::contracts::ReportUsageResult::Ok);
    assert_eq!(used(bench, &id).await, 3);
}

pub async fn lateness_does_not_move_the_following_resets(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    let created = bench.now();
    let next = async || status(bench, &id).await.next_reset_at;

    bench.advance(1_700);
    bench.sweep().await;
    assert_eq!(next().await, Some(later(created, 2_000).0.to_string()));
    bench.advance(3_300);
    bench.sweep().await;

    assert_eq!(next().await, Some(later(created, 6_000).0.to_string()));
}
