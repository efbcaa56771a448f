//! Budgets and quotas: calls into commands, rows into answers.

use std::collections::{BTreeMap, BTreeSet};

use super::{invalid, load};
use crate::backend::UsageDimensions;
use crate::contracts::*;
use crate::engine_error::EngineError;
use crate::handle_codec::HandlePayload;
use crate::machine::budget::{Budget, GateKey, Quota, ReportUsage, Reporter, Wanted};
use crate::machine::{Fence, Footprint};
use crate::store::{Reader, Store};
use crate::types::{BudgetId, QuotaPolicyId, TimestampMs};

/// The report of a lease's holder: tokens and wall time are dimensions of those names.
pub(super) fn report(
    payload: &HandlePayload,
    budget_id: &BudgetId,
    dimensions: UsageDimensions,
) -> ReportUsage {
    let named = [
        ("input_tokens", Some(dimensions.input_tokens).filter(|tokens| *tokens > 0)),
        ("output_tokens", Some(dimensions.output_tokens).filter(|tokens| *tokens > 0)),
        ("wall_ms", dimensions.wall_ms),
    ];
    let named = named.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), amount?)));
    ReportUsage {
        budget_id: budget_id.clone(),
        by: Reporter::Holder {
            execution_id: payload.execution_id.clone(),
            fence: Fence::of_handle(payload),
        },
        deltas: named.chain(dimensions.custom).collect(),
        dedup_key: dimensions.dedup_key,
    }
}

pub(super) fn report_by_admin(
    budget_id: &BudgetId,
    args: ReportUsageAdminArgs,
) -> Result<ReportUsage, EngineError> {
    if args.dimensions.len() != args.deltas.len() {
        return Err(invalid("report_usage_admin: dimensions and deltas length mismatch"));
    }
    Ok(ReportUsage {
        budget_id: budget_id.clone(),
        by: Reporter::Admin,
        deltas: args.dimensions.into_iter().zip(args.deltas).collect(),
        dedup_key: args.dedup_key,
    })
}

pub(super) fn spend(args: RecordSpendArgs) -> ReportUsage {
    ReportUsage {
        budget_id: args.budget_id,
        by: Reporter::Spender { execution_id: args.execution_id },
        deltas: args.deltas.into_iter().collect(),
        dedup_key: Some(args.idempotency_key),
    }
}

fn wanting_budget(id: &BudgetId, at: TimestampMs) -> Footprint {
    let budget = Wanted { at, budget: Some(id.clone()), ..Wanted::default() };
    Footprint { budget, ..Footprint::default() }
}

fn wanting_quota(id: &QuotaPolicyId, at: TimestampMs) -> Footprint {
    let quota = Some((id.clone(), None, None));
    let budget = Wanted { at, quota, counts_all: true, ..Wanted::default() };
    Footprint { budget, ..Footprint::default() }
}

/// The budget as it stands now, a reset that is due done.
async fn standing<S: Store>(store: &S, id: &BudgetId) -> Result<Budget, EngineError> {
    let now = store.now();
    let seen = load(store, wanting_budget(id, now)).await?;
    Ok(seen.budget.budget()?.settled(now).0)
}

pub(super) async fn status<S: Store>(
    store: &S,
    id: &BudgetId,
) -> Result<BudgetStatus, EngineError> {
    let budget = standing(store, id).await?;
    let policy = budget.policy.ok_or(EngineError::NotFound { entity: "budget" })?;
    let text = |at: TimestampMs| at.0.to_string();
    Ok(BudgetStatus {
        budget_id: id.to_string(),
        scope_type: policy.scope_type,
        scope_id: policy.scope_id,
        enforcement_mode: policy.enforcement_mode,
        usage: budget.usage.into_iter().collect(),
        hard_limits: policy.hard_limits.into_iter().collect(),
        soft_limits: policy.soft_limits.into_iter().collect(),
        breach_count: policy.breach_count,
        soft_breach_count: policy.soft_breach_count,
        last_breach_at: policy.last_breach_at.map(text),
        last_breach_dim: policy.last_breach_dim,
        next_reset_at: policy.next_reset_at.map(text),
        created_at: Some(text(policy.created_at)),
    })
}

pub(super) async fn usage_and_limits<S: Store>(
    store: &S,
    id: &BudgetId,
) -> Result<BudgetUsageAndLimits, EngineError> {
    let budget = standing(store, id).await?;
    let mut limits = BTreeMap::new();
    if let Some(policy) = &budget.policy {
        for (kind, stored) in [("hard", &policy.hard_limits), ("soft", &policy.soft_limits)] {
            for (dimension, limit) in stored {
                limits.insert(format!("{kind}:{dimension}"), limit.to_string());
            }
        }
    }
    Ok(BudgetUsageAndLimits::new(limits, budget.usage))
}

pub(super) async fn quota_limits<S: Store>(
    store: &S,
    id: &QuotaPolicyId,
) -> Result<Option<QuotaPolicyLimits>, EngineError> {
    let seen = load(store, wanting_quota(id, store.now())).await?;
    Ok(seen.budget.quota()?.policy.as_ref().map(|policy| {
        QuotaPolicyLimits::new(policy.rate, policy.window_seconds, policy.concurrency, 0)
    }))
}

fn page(limit: u32) -> usize {
    usize::try_from(limit.min(BUDGET_PAGE_MAX)).unwrap_or(usize::MAX)
}

pub(super) async fn list<S: Store>(
    store: &S,
    after: Option<BudgetId>,
    limit: u32,
) -> Result<ListBudgetsPage, EngineError> {
    let (limit, now) = (page(limit), store.now());
    store
        .read(move |reader| {
            let mut ids = reader.budgets(after.as_ref(), limit + 1)?;
            let is_more = ids.len() > limit;
            ids.truncate(limit);
            let next_cursor = ids.last().filter(|_| is_more).cloned();
            let mut budgets = Vec::new();
            for id in ids {
                budgets.extend(overview(reader, &id, now)?);
            }
            Ok(ListBudgetsPage { budgets, next_cursor })
        })
        .await
}

fn overview(
    reader: &mut dyn Reader,
    id: &BudgetId,
    now: TimestampMs,
) -> Result<Option<BudgetOverview>, EngineError> {
    let seen = reader.load(&wanting_budget(id, now))?;
    let (budget, _) = seen.budget.budget()?.settled(now);
    let Some(policy) = budget.policy.clone() else { return Ok(None) };
    let limit = |limits: &BTreeMap<String, u64>, name: &str| limits.get(name).copied().unwrap_or(0);
    let names: BTreeSet<&String> =
        policy.hard_limits.keys().chain(budget.usage.keys()).chain(budget.overage.keys()).collect();
    let dimensions = names
        .into_iter()
        .map(|name| {
            BudgetDimension::new(
                name.clone(),
                budget.usage_of(name),
                limit(&policy.hard_limits, name),
                limit(&policy.soft_limits, name),
                budget.overage_of(name),
            )
        })
        .collect();
    Ok(Some(BudgetOverview {
        budget_id: id.clone(),
        dimensions,
        waiting: reader.count_parked(&GateKey::Budget(id.clone()))?,
        scope_type: policy.scope_type,
        scope_id: policy.scope_id,
        enforcement_mode: policy.enforcement_mode,
        on_hard_limit: policy.on_hard_limit,
        on_soft_limit: policy.on_soft_limit,
        reset_interval_ms: policy.reset_interval.0,
        next_reset_at: policy.next_reset_at,
        created_at: policy.created_at,
        breach_count: policy.breach_count,
        soft_breach_count: policy.soft_breach_count,
        last_breach_at: policy.last_breach_at,
        last_breach_dim: policy.last_breach_dim,
    }))
}

pub(super) async fn list_overages<S: Store>(
    store: &S,
    budget_id: &BudgetId,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<BudgetOverage>, EngineError> {
    let (id, limit) = (budget_id.clone(), page(limit));
    store.read(move |reader| reader.overages(&id, after.unwrap_or(0), limit)).await
}

pub(super) async fn list_quotas<S: Store>(
    store: &S,
    after: Option<QuotaPolicyId>,
    limit: u32,
) -> Result<ListQuotaPoliciesPage, EngineError> {
    let (limit, now) = (page(limit), store.now());
    store
        .read(move |reader| {
            let mut ids = reader.quota_policies(after.as_ref(), limit + 1)?;
            let is_more = ids.len() > limit;
            ids.truncate(limit);
            let next_cursor = ids.last().filter(|_| is_more).cloned();
            let mut policies = Vec::new();
            for id in ids {
                let seen = reader.load(&wanting_quota(&id, now))?;
                policies.extend(quota_overview(reader, seen.budget.quota()?, now)?);
            }
            Ok(ListQuotaPoliciesPage { policies, next_cursor })
        })
        .await
}

fn quota_overview(
    reader: &mut dyn Reader,
    quota: &Quota,
    now: TimestampMs,
) -> Result<Option<QuotaOverview>, EngineError> {
    let Some(policy) = &quota.policy else { return Ok(None) };
    let id = &quota.id;
    let gates = [GateKey::Quota(id.clone()), GateKey::LaneQuota(id.clone())];
    let mut waiting = 0;
    for gate in &gates {
        waiting += reader.count_parked(gate)?;
    }
    Ok(Some(QuotaOverview {
        quota_policy_id: id.clone(),
        limits: QuotaPolicyLimits::new(policy.rate, policy.window_seconds, policy.concurrency, 0),
        created_at: policy.created_at,
        lanes: reader.lanes_of_quota(id)?,
        holders: reader.quota_holders(id, now, QUOTA_HOLDERS_MAX)?,
        active: quota.occupied,
        in_window: quota.in_window,
        rate_opens_at: quota.rate_opens_at(),
        waiting,
    }))
}
