//! Budgets and quotas.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use ff_core::backend::UsageDimensions;
use ff_core::contracts::{
    BindQuotaArgs, BudgetOverview, BudgetStatus, CheckAdmissionArgs, CheckAdmissionResult,
    CreateBudgetArgs, CreateQuotaPolicyArgs, LimitChange, QuotaOverview, QuotaTarget,
    RecordSpendArgs, ReportUsageAdminArgs, ReportUsageResult, SetBudgetLimitsArgs,
};
use ff_core::types::{BudgetId, ExecutionId, LaneId, QuotaPolicyId};

use crate::harness::{Bench, Held, LANE};

pub mod bind_quota;
pub mod breach;
pub mod check_admission;
pub mod create_budget;
pub mod gate;
pub mod report_usage;
pub mod reservation;
pub mod reset_budget;
pub mod set_budget_limits;

/// The one dimension that most behaviours use.
const TOKENS: &str = "tokens";

fn budget_args(bench: &Bench, hard: u64) -> CreateBudgetArgs {
    CreateBudgetArgs {
        budget_id: BudgetId::from_uuid(bench.new_id().uuid()),
        scope_type: "team".to_owned(),
        scope_id: "ours".to_owned(),
        enforcement_mode: "strict".to_owned(),
        on_hard_limit: String::new(),
        on_soft_limit: String::new(),
        reset_interval_ms: 0,
        dimensions: vec![TOKENS.to_owned()],
        hard_limits: vec![hard],
        soft_limits: vec![0],
        now: bench.now(),
    }
}

/// A budget of `hard` tokens, as `change` leaves it.
pub(crate) async fn a_budget(
    bench: &Bench,
    hard: u64,
    change: impl FnOnce(&mut CreateBudgetArgs),
) -> BudgetId {
    let mut args = budget_args(bench, hard);
    change(&mut args);
    let id = args.budget_id.clone();
    bench.engine.create_budget(args).await.expect("a budget");
    id
}

/// Tokens reported by an administrator.
pub(crate) async fn report(bench: &Bench, id: &BudgetId, tokens: u64) -> ReportUsageResult {
    let args = ReportUsageAdminArgs::new(vec![TOKENS.to_owned()], vec![tokens], bench.now());
    bench.engine.report_usage_admin(id, args).await.expect("a report")
}

/// Tokens charged to an execution.
async fn spend(bench: &Bench, id: &BudgetId, by: &ExecutionId, tokens: u64) -> ReportUsageResult {
    let deltas = [(TOKENS.to_owned(), tokens)].into();
    let args = RecordSpendArgs::new(id.clone(), by.clone(), deltas, "");
    bench.engine.record_spend(args).await.expect("a report")
}

fn tokens(amount: u64) -> UsageDimensions {
    let mut usage = UsageDimensions::new();
    usage.custom.insert(TOKENS.to_owned(), amount);
    usage
}

async fn status(bench: &Bench, id: &BudgetId) -> BudgetStatus {
    bench.engine.get_budget_status(id).await.expect("a budget")
}

/// How many tokens a budget has counted.
async fn used(bench: &Bench, id: &BudgetId) -> u64 {
    status(bench, id).await.usage.get(TOKENS).copied().unwrap_or(0)
}

async fn overview(bench: &Bench, id: &BudgetId) -> BudgetOverview {
    let page = bench.engine.list_budgets(None, 100).await.expect("a page");
    page.budgets.into_iter().find(|budget| budget.budget_id == *id).expect("a budget")
}

async fn raise(bench: &Bench, id: &BudgetId, by: u64) {
    let args =
        SetBudgetLimitsArgs::new(id.clone(), TOKENS, LimitChange::Raise(by), LimitChange::Keep);
    bench.engine.set_budget_limits(args).await.expect("raised");
}

/// A quota of `rate` in a minute and `concurrency` at once.
pub(crate) async fn a_quota(bench: &Bench, rate: u64, concurrency: u64) -> QuotaPolicyId {
    let id = QuotaPolicyId::from_uuid(bench.new_id().uuid());
    let args = CreateQuotaPolicyArgs {
        quota_policy_id: id.clone(),
        window_seconds: 60,
        max_requests_per_window: rate,
        max_concurrent: concurrency,
        now: bench.now(),
    };
    bench.engine.create_quota_policy(args).await.expect("a quota policy");
    id
}

/// A lane bound to a new quota.
pub(crate) async fn a_bound_lane(bench: &Bench, rate: u64, concurrency: u64) -> QuotaPolicyId {
    let id = a_quota(bench, rate, concurrency).await;
    bind(bench, QuotaTarget::Lane(LaneId::new(LANE)), &id).await;
    id
}

async fn bind(bench: &Bench, target: QuotaTarget, id: &QuotaPolicyId) {
    bench.engine.bind_quota(BindQuotaArgs::new(target, id.clone())).await.expect("bound");
}

async fn quota_overview(bench: &Bench, id: &QuotaPolicyId) -> QuotaOverview {
    let page = bench.engine.list_quota_policies(None, 100).await.expect("a page");
    page.policies.into_iter().find(|quota| quota.quota_policy_id == *id).expect("a quota")
}

async fn admit(
    bench: &Bench,
    id: &QuotaPolicyId,
    execution: &ExecutionId,
    rate_limit: u64,
    concurrency_cap: u64,
) -> CheckAdmissionResult {
    let args = CheckAdmissionArgs {
        execution_id: execution.clone(),
        now: bench.now(),
        window_seconds: 60,
        rate_limit,
        concurrency_cap,
        jitter_ms: None,
    };
    bench.engine.check_admission(id, "", args).await.expect("an admission")
}

/// An execution bound to a budget, in line.
pub(crate) async fn bound(bench: &Bench, id: &BudgetId) -> ExecutionId {
    bench.submit().policy(|policy| policy.budget_ids = vec![id.clone()]).await
}

/// The same, running.
async fn running(bench: &Bench, id: &BudgetId) -> Held {
    bound(bench, id).await;
    bench.claim().await
}
