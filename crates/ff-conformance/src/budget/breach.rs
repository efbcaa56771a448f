//! Hard breaches while running: the overage, then what the budget's policy does.

use ff_core::backend::HandleKind;
use ff_core::contracts::ReportUsageResult;
use ff_core::engine_error::ContentionKind;
use ff_core::state::PublicState;

use super::{TOKENS, a_budget, bound, overview, raise, running, spend, tokens, used};
use crate::harness::{Bench, Refusal};

pub async fn what_was_spent_is_kept_as_overage(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let held = running(bench, &id).await;
    bench.engine.report_usage(&held.handle, &id, tokens(7)).await.unwrap();

    let answer = bench.engine.report_usage(&held.handle, &id, tokens(5)).await.unwrap();

    let expected = ReportUsageResult::HardBreach {
        dimension: TOKENS.to_owned(),
        current_usage: 7,
        hard_limit: 10,
    };
    assert_eq!(answer, expected);
    assert_eq!(used(bench, &id).await, 7);
    let [overage] = &bench.engine.list_budget_overages(&id, None, 9).await.unwrap()[..] else {
        panic!("one overage")
    };
    assert_eq!(overage.execution_id.as_ref(), Some(held.execution()));
    assert_eq!((overage.amount, overage.usage, overage.hard_limit), (5, 7, 10));
    assert_eq!(overview(bench, &id).await.dimensions[0].overage, 5);
}

pub async fn an_overage_that_cannot_be_added_is_refused_and_breaches_nothing(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let held = running(bench, &id).await;
    let most = i64::MAX.unsigned_abs();
    bench.engine.report_usage(&held.handle, &id, tokens(most)).await.unwrap();

    let refused = bench.engine.report_usage(&held.handle, &id, tokens(11));

    let detail = bench.unchanged_by(refused).await.must_be_invalid();
    assert!(detail.contains("exceeds i64::MAX"), "{detail}");
    assert_eq!(overview(bench, &id).await.dimensions[0].overage, most);
}

pub async fn without_another_word_it_runs_on_and_no_new_work_starts(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let held = running(bench, &id).await;
    let next = bound(bench, &id).await;

    spend(bench, &id, held.execution(), 11).await;

    held.renew().await.unwrap();
    bench.claim().nothing().await;
    assert_eq!(bench.state(&next).await, PublicState::RateLimited);
    held.complete(None).await.unwrap();
}

pub async fn suspended_it_goes_on_after_a_top_up_with_the_same_attempt(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.on_hard_limit = "suspend".to_owned()).await;
    let held = running(bench, &id).await;
    spend(bench, &id, held.execution(), 8).await;

    spend(bench, &id, held.execution(), 4).await;

    let execution = held.execution();
    assert_eq!(bench.state(execution).await, PublicState::RateLimited);
    held.renew().await.must_be_not_active();
    assert_eq!(bench.lease_story(execution).await, ["acquired", "revoked"]);
    bench.claim().nothing().await;
    raise(bench, &id, 2).await;
    bench.claim().nothing().await;
    raise(bench, &id, 1).await;

    let again = bench.claim().await;
    assert_eq!((again.kind(), again.attempt(), again.epoch()), (HandleKind::Resumed, 0, 2));
    again.complete(None).await.unwrap();
}

pub async fn it_is_cancelled_where_the_budget_says_so(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.on_hard_limit = "cancel".to_owned()).await;
    let held = running(bench, &id).await;

    spend(bench, &id, held.execution(), 11).await;

    assert_eq!(bench.state(held.execution()).await, PublicState::Cancelled);
    held.complete(None).await.must_be_not_active();
    assert_eq!(overview(bench, &id).await.dimensions[0].overage, 11);
}

pub async fn it_fails_where_the_budget_says_so_and_is_not_retried(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.on_hard_limit = "fail".to_owned()).await;
    bench
        .submit()
        .retries(crate::harness::fixed(3, 0))
        .policy(|policy| policy.budget_ids = vec![id.clone()])
        .await;
    let held = bench.claim().await;

    bench.engine.report_usage(&held.handle, &id, tokens(11)).await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Failed);
    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.failure_category.as_deref(), Some("budget_exceeded"));
}

pub async fn an_execution_that_is_not_bound_to_the_budget_runs_on(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.on_hard_limit = "cancel".to_owned()).await;
    let held = bench.claimed().await;

    spend(bench, &id, held.execution(), 11).await;

    held.complete(None).await.unwrap();
}

pub async fn a_lost_worker_s_report_ends_nobody_else_s_work(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.on_hard_limit = "cancel".to_owned()).await;
    let lost = running(bench, &id).await;
    bench.let_lease_expire(&lost).await;
    let successor = bench.claim().await;

    let refused = bench.engine.report_usage(&lost.handle, &id, tokens(11)).await;

    refused.must_be_contention(&ContentionKind::LeaseConflict);
    successor.complete(None).await.unwrap();
}
