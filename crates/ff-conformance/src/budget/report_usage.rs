//! Reporting usage and spending, and giving it back.

use ff_core::backend::UsageDimensions;
use ff_core::contracts::{
    RecordSpendArgs, ReleaseBudgetArgs, ReportUsageAdminArgs, ReportUsageResult,
};
use ff_core::engine_error::ContentionKind;
use ff_core::types::BudgetId;

use super::{TOKENS, a_budget, report, running, spend, status, tokens, used};
use crate::harness::{Bench, Refusal};

fn hard(current_usage: u64, hard_limit: u64) -> ReportUsageResult {
    ReportUsageResult::HardBreach { dimension: TOKENS.to_owned(), current_usage, hard_limit }
}

fn keyed(tokens: u64, key: &str) -> UsageDimensions {
    super::tokens(tokens).with_dedup_key(key)
}

pub async fn the_hard_limit_itself_is_within_and_one_more_is_a_breach(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;

    assert_eq!(report(bench, &id, 10).await, ReportUsageResult::Ok);
    assert_eq!(report(bench, &id, 0).await, ReportUsageResult::Ok);
    assert_eq!(report(bench, &id, 1).await, hard(10, 10));

    let status = status(bench, &id).await;
    assert_eq!((status.usage[TOKENS], status.breach_count), (10, 1));
    assert_eq!(status.last_breach_at, Some(bench.now().0.to_string()));
    assert_eq!(status.last_breach_dim.as_deref(), Some(TOKENS));
}

pub async fn beyond_a_soft_limit_the_usage_is_applied(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.soft_limits = vec![5]).await;

    assert_eq!(report(bench, &id, 5).await, ReportUsageResult::Ok);
    assert_eq!(
        report(bench, &id, 1).await,
        ReportUsageResult::SoftBreach {
            dimension: TOKENS.to_owned(),
            current_usage: 6,
            soft_limit: 5
        }
    );

    let status = status(bench, &id).await;
    assert_eq!((status.usage[TOKENS], status.soft_breach_count, status.breach_count), (6, 1, 0));
}

pub async fn all_dimensions_apply_or_none(bench: &Bench) {
    let id = a_budget(bench, 10, |args| {
        args.dimensions.push("calls".to_owned());
        args.hard_limits.push(1);
        args.soft_limits.push(0);
    })
    .await;
    let args = ReportUsageAdminArgs::new(
        vec![TOKENS.to_owned(), "calls".to_owned()],
        vec![5, 2],
        bench.now(),
    );

    let answer = bench.engine.report_usage_admin(&id, args).await.unwrap();

    let ReportUsageResult::HardBreach { dimension, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(dimension, "calls");
    assert_eq!(used(bench, &id).await, 0);
}

pub async fn a_dimension_named_twice_adds_up(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let twice = vec![TOKENS.to_owned(), TOKENS.to_owned()];
    let args = |amounts| ReportUsageAdminArgs::new(twice.clone(), amounts, bench.now());

    let over = bench.engine.report_usage_admin(&id, args(vec![6, 5])).await.unwrap();
    let within = bench.engine.report_usage_admin(&id, args(vec![6, 4])).await.unwrap();

    assert_eq!((over, within), (hard(0, 10), ReportUsageResult::Ok));
    assert_eq!(used(bench, &id).await, 10);
}

pub async fn vectors_of_different_lengths_are_refused(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let args = ReportUsageAdminArgs::new(vec![TOKENS.to_owned()], vec![], bench.now());

    let detail = bench.engine.report_usage_admin(&id, args).await.must_be_invalid();

    assert_eq!(detail, "report_usage_admin: dimensions and deltas length mismatch");
}

pub async fn an_amount_that_does_not_fit_is_refused_and_never_wraps(bench: &Bench) {
    let id = a_budget(bench, 0, |_| {}).await;
    let execution = bench.new_id();
    let args = |amount| {
        RecordSpendArgs::new(
            id.clone(),
            execution.clone(),
            [(TOKENS.to_owned(), amount)].into(),
            "",
        )
    };

    let detail = bench.engine.record_spend(args(1 << 63)).await.must_be_invalid();
    assert!(detail.contains("delta for dim=tokens exceeds i64::MAX"), "{detail}");
    assert_eq!(used(bench, &id).await, 0);

    bench.engine.record_spend(args((1 << 63) - 1)).await.unwrap();
    bench.engine.record_spend(args(1)).await.must_be_invalid();
    assert_eq!(used(bench, &id).await, (1 << 63) - 1);
}

pub async fn the_same_key_counts_once_for_a_day(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let args = || {
        ReportUsageAdminArgs::new(vec![TOKENS.to_owned()], vec![5], bench.now())
            .with_dedup_key("k".to_owned())
    };
    let day = 24 * 60 * 60 * 1_000;
    let report = || bench.engine.report_usage_admin(&id, args());

    assert_eq!(report().await.unwrap(), ReportUsageResult::Ok);
    bench.advance(day - 1);
    assert_eq!(report().await.unwrap(), ReportUsageResult::AlreadyApplied);
    assert_eq!(used(bench, &id).await, 5);

    bench.advance(1);
    assert_eq!(report().await.unwrap(), ReportUsageResult::Ok);
    assert_eq!(used(bench, &id).await, 10);
}

pub async fn a_key_counts_within_its_budget_only(bench: &Bench) {
    let (one, other) = (a_budget(bench, 100, |_| {}).await, a_budget(bench, 100, |_| {}).await);
    let execution = bench.new_id();
    for id in [&one, &other] {
        let deltas = [(TOKENS.to_owned(), 5)].into();
        let args = RecordSpendArgs::new(id.clone(), execution.clone(), deltas, "the key");

        let first = bench.engine.record_spend(args.clone()).await.unwrap();
        let again = bench.engine.record_spend(args).await.unwrap();

        assert_eq!((first, again), (ReportUsageResult::Ok, ReportUsageResult::AlreadyApplied));
    }

    assert_eq!((used(bench, &one).await, used(bench, &other).await), (5, 5));
}

pub async fn a_breach_is_not_remembered_under_its_key(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let held = bench.claimed().await;
    let report = || bench.engine.report_usage(&held.handle, &id, keyed(11, "k"));

    assert_eq!(report().await.unwrap(), hard(0, 10));
    assert_eq!(report().await.unwrap(), hard(0, 10));
    super::raise(bench, &id, 1).await;

    assert_eq!(report().await.unwrap(), ReportUsageResult::Ok);
    assert_eq!(used(bench, &id).await, 11);
    let overage = bench.engine.list_budget_overages(&id, None, 9).await.unwrap();
    assert!(overage.is_empty(), "it has become usage: {overage:?}");
}

pub async fn an_unknown_budget_counts_without_limits(bench: &Bench) {
    let id = BudgetId::from_uuid(bench.new_id().uuid());

    assert_eq!(report(bench, &id, 1_000).await, ReportUsageResult::Ok);

    let read = bench.engine.read_budget_usage_and_limits(&id).await.unwrap();
    assert_eq!(read.usage, [(TOKENS.to_owned(), 1_000)].into());
    bench.engine.get_budget_status(&id).await.must_be_not_found("budget");
}

pub async fn a_worker_reports_tokens_and_time_by_their_names(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let held = bench.claimed().await;
    let usage = tokens(7).with_input_tokens(1).with_output_tokens(2).with_wall_ms(3);

    bench.engine.report_usage(&held.handle, &id, usage).await.unwrap();

    let usage = status(bench, &id).await.usage;
    let expected = [("input_tokens", 1), ("output_tokens", 2), ("wall_ms", 3), (TOKENS, 7)];
    assert_eq!(usage, expected.map(|(name, amount)| (name.to_owned(), amount)).into());
}

pub async fn a_stale_handle_reports_nothing(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let lost = running(bench, &id).await;
    bench.engine.report_usage(&lost.handle, &id, keyed(1, "known")).await.unwrap();
    bench.let_lease_expire(&lost).await;
    bench.claim().await;

    let refused = bench.engine.report_usage(&lost.handle, &id, tokens(5)).await;

    refused.must_be_contention(&ContentionKind::LeaseConflict);
    assert_eq!(used(bench, &id).await, 1);
    // The same report by the same holder is the same answer, whoever owns it now.
    let again = bench.engine.report_usage(&lost.handle, &id, keyed(1, "known")).await;
    assert_eq!(again.unwrap(), ReportUsageResult::AlreadyApplied);
    // Who never held the lease learns nothing from a key it knows.
    let forged = lost.forged(|proof| proof.lease_epoch.0 += 7);
    let told = bench.engine.report_usage(&forged.handle, &id, keyed(1, "known")).await;
    told.must_be_contention(&ContentionKind::LeaseConflict);
    assert_eq!(used(bench, &id).await, 1);
}

pub async fn an_ended_execution_reports_nothing(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let held = bench.completed().await;

    bench.engine.report_usage(&held.handle, &id, tokens(5)).await.must_be_not_active();

    assert_eq!(used(bench, &id).await, 0);
}

pub async fn what_an_execution_spent_is_given_back_once(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let (ann, bob) = (bench.new_id(), bench.new_id());
    spend(bench, &id, &ann, 30).await;
    spend(bench, &id, &ann, 12).await;
    spend(bench, &id, &bob, 5).await;
    let release = || bench.engine.release_budget(ReleaseBudgetArgs::new(id.clone(), ann.clone()));

    release().await.unwrap();
    assert_eq!(used(bench, &id).await, 5);
    release().await.unwrap();

    assert_eq!(used(bench, &id).await, 5);
}

pub async fn what_was_spent_before_a_reset_is_not_given_back_from_fresh_usage(bench: &Bench) {
    let id = a_budget(bench, 100, |_| {}).await;
    let execution = bench.new_id();
    spend(bench, &id, &execution, 30).await;
    super::reset_budget::reset(bench, &id).await;
    report(bench, &id, 40).await;

    let release = ReleaseBudgetArgs::new(id.clone(), execution.clone());
    bench.engine.release_budget(release.clone()).await.unwrap();
    assert_eq!(used(bench, &id).await, 40);

    spend(bench, &id, &execution, 2).await;
    bench.engine.release_budget(release).await.unwrap();
    assert_eq!(used(bench, &id).await, 40);
}
