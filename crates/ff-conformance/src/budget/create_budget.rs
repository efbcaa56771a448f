//! Creating budgets and reading them.

use ff_core::contracts::CreateBudgetResult;
use ff_core::types::BudgetId;

use super::{TOKENS, a_budget, budget_args, report, status};
use crate::harness::{Bench, Refusal};

pub async fn everything_given_can_be_read_back(bench: &Bench) {
    let id = a_budget(bench, 100, |args| {
        args.reset_interval_ms = 500;
        args.soft_limits = vec![80];
    })
    .await;

    let status = status(bench, &id).await;

    assert_eq!((status.budget_id, status.scope_type.as_str()), (id.to_string(), "team"));
    assert_eq!((status.scope_id.as_str(), status.enforcement_mode.as_str()), ("ours", "strict"));
    assert_eq!(status.hard_limits, [(TOKENS.to_owned(), 100)].into());
    assert_eq!(status.soft_limits, [(TOKENS.to_owned(), 80)].into());
    assert_eq!(status.next_reset_at, Some(bench.after(500).0.to_string()));
    assert_eq!(status.created_at, Some(bench.now().0.to_string()));
    assert_eq!((status.breach_count, status.soft_breach_count), (0, 0));
    assert_eq!((status.last_breach_at, status.last_breach_dim), (None, None));
    let read = bench.engine.read_budget_usage_and_limits(&id).await.unwrap();
    assert_eq!(read.limits["hard:tokens"], "100");
    assert_eq!(read.limits["soft:tokens"], "80");
}

pub async fn a_known_id_changes_nothing(bench: &Bench) {
    let args = budget_args(bench, 100);
    let id = args.budget_id.clone();
    bench.engine.create_budget(args.clone()).await.unwrap();
    report(bench, &id, 7).await;

    let mut again = args;
    again.hard_limits = vec![5];
    let answer = bench.engine.create_budget(again).await.unwrap();

    assert_eq!(answer, CreateBudgetResult::AlreadySatisfied { budget_id: id.clone() });
    let status = status(bench, &id).await;
    assert_eq!((status.hard_limits[TOKENS], status.usage[TOKENS]), (100, 7));
}

pub async fn vectors_of_different_lengths_are_refused(bench: &Bench) {
    let mut args = budget_args(bench, 100);
    args.soft_limits.clear();

    let detail = bench.engine.create_budget(args).await.must_be_invalid();

    assert_eq!(detail, "create_budget: dimensions / hard_limits / soft_limits length mismatch");
}

pub async fn a_limit_that_does_not_fit_is_refused(bench: &Bench) {
    let args = budget_args(bench, 1 << 63);
    let id = args.budget_id.clone();

    bench.engine.create_budget(args).await.must_be_invalid();

    bench.engine.get_budget_status(&id).await.must_be_not_found("budget");
}

pub async fn an_unknown_budget_is_not_found_and_its_limits_are_empty(bench: &Bench) {
    let id = BudgetId::from_uuid(bench.new_id().uuid());

    bench.engine.get_budget_status(&id).await.must_be_not_found("budget");
    let read = bench.engine.read_budget_usage_and_limits(&id).await.unwrap();

    assert!(read.limits.is_empty() && read.usage.is_empty());
}

pub async fn budgets_are_listed_by_id_in_pages(bench: &Bench) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(a_budget(bench, 1, |_| {}).await);
    }
    ids.sort();

    let first = bench.engine.list_budgets(None, 2).await.unwrap();
    let second = bench.engine.list_budgets(first.next_cursor.clone(), 2).await.unwrap();

    let listed: Vec<_> =
        first.budgets.iter().chain(&second.budgets).map(|row| row.budget_id.clone()).collect();
    assert_eq!(listed, ids);
    assert_eq!((first.next_cursor, second.next_cursor), (Some(ids[1].clone()), None));
}
