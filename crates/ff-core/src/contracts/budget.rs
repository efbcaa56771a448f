//! Budgets (counters with limits) and quotas (admission before a claim).

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::partition::Partition;
use crate::types::{BudgetId, ExecutionId, LaneId, QuotaPolicyId, TimestampMs, WorkerInstanceId};

/// A new budget: three parallel vectors name the dimensions and their limits; limit 0 is no limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateBudgetArgs {
    pub budget_id: BudgetId,
    pub scope_type: String,
    pub scope_id: String,
    pub enforcement_mode: String,
    pub on_hard_limit: String,
    pub on_soft_limit: String,
    /// 0 never resets.
    pub reset_interval_ms: u64,
    pub dimensions: Vec<String>,
    pub hard_limits: Vec<u64>,
    pub soft_limits: Vec<u64>,
    pub now: TimestampMs,
}

/// Whether the call made the budget or found it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateBudgetResult {
    Created { budget_id: BudgetId },
    AlreadySatisfied { budget_id: BudgetId },
}

/// Puts every counter back to zero.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetBudgetArgs {
    pub budget_id: BudgetId,
    pub now: TimestampMs,
}

/// The counters are zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetBudgetResult {
    /// 0 when no reset is scheduled.
    Reset { next_reset_at: TimestampMs },
}

/// A budget with its counters. Times are decimal millisecond text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    pub budget_id: String,
    pub scope_type: String,
    pub scope_id: String,
    pub enforcement_mode: String,
    pub usage: HashMap<String, u64>,
    pub hard_limits: HashMap<String, u64>,
    pub soft_limits: HashMap<String, u64>,
    pub breach_count: u64,
    pub soft_breach_count: u64,
    pub last_breach_at: Option<String>,
    pub last_breach_dim: Option<String>,
    pub next_reset_at: Option<String>,
    pub created_at: Option<String>,
}

/// What a report of usage did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReportUsageResult {
    Ok,
    /// Applied; `current_usage` includes the delta.
    SoftBreach {
        dimension: String,
        current_usage: u64,
        soft_limit: u64,
    },
    /// Nothing was applied; `current_usage` is the value before.
    HardBreach {
        dimension: String,
        current_usage: u64,
        hard_limit: u64,
    },
    /// The dedup key has been seen.
    AlreadyApplied,
}

/// Usage in two parallel vectors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportUsageArgs {
    pub dimensions: Vec<String>,
    pub deltas: Vec<u64>,
    pub now: TimestampMs,
    #[serde(default)]
    pub dedup_key: Option<String>,
}

/// Usage reported without a lease.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReportUsageAdminArgs {
    pub dimensions: Vec<String>,
    pub deltas: Vec<u64>,
    pub dedup_key: Option<String>,
    pub now: TimestampMs,
}

impl ReportUsageAdminArgs {
    #[must_use]
    pub fn new(dimensions: Vec<String>, deltas: Vec<u64>, now: TimestampMs) -> Self {
        Self { dimensions, deltas, dedup_key: None, now }
    }
    #[must_use]
    pub fn with_dedup_key(mut self, dedup_key: String) -> Self {
        self.dedup_key = Some(dedup_key);
        self
    }
}

/// Usage charged to one execution, so that it can be given back. An empty key means no
/// deduplication.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordSpendArgs {
    pub budget_id: BudgetId,
    pub execution_id: ExecutionId,
    pub deltas: BTreeMap<String, u64>,
    pub idempotency_key: String,
}

impl RecordSpendArgs {
    #[must_use]
    pub fn new(
        budget_id: BudgetId,
        execution_id: ExecutionId,
        deltas: BTreeMap<String, u64>,
        idempotency_key: impl Into<String>,
    ) -> Self {
        Self { budget_id, execution_id, deltas, idempotency_key: idempotency_key.into() }
    }
}

/// Gives back all one execution was charged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleaseBudgetArgs {
    pub budget_id: BudgetId,
    pub execution_id: ExecutionId,
}

impl ReleaseBudgetArgs {
    #[must_use]
    pub fn new(budget_id: BudgetId, execution_id: ExecutionId) -> Self {
        Self { budget_id, execution_id }
    }
}

/// Counters and limits as stored: limits under `hard:<dimension>` and `soft:<dimension>`, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetUsageAndLimits {
    pub limits: BTreeMap<String, String>,
    pub usage: BTreeMap<String, u64>,
}

impl BudgetUsageAndLimits {
    #[must_use]
    pub fn new(limits: BTreeMap<String, String>, usage: BTreeMap<String, u64>) -> Self {
        Self { limits, usage }
    }
}

impl BudgetUsageAndLimits {
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every dimension with a hard limit above zero: its name, usage and limit.
    pub fn hard_limits_with_usage(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.limits.iter().filter_map(|(key, text)| {
            let dimension = key.strip_prefix("hard:")?;
            let limit = text.parse().ok().filter(|limit| *limit > 0)?;
            Some((dimension, self.usage.get(dimension).copied().unwrap_or(0), limit))
        })
    }
}

/// A new quota policy; 0 is no limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateQuotaPolicyArgs {
    pub quota_policy_id: QuotaPolicyId,
    pub window_seconds: u64,
    pub max_requests_per_window: u64,
    pub max_concurrent: u64,
    pub now: TimestampMs,
}

/// Whether the call made the policy or found it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateQuotaPolicyResult {
    Created { quota_policy_id: QuotaPolicyId },
    AlreadySatisfied { quota_policy_id: QuotaPolicyId },
}

/// Asks to admit one execution under these limits; a limit of 0 is off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckAdmissionArgs {
    pub execution_id: ExecutionId,
    pub now: TimestampMs,
    pub window_seconds: u64,
    pub rate_limit: u64,
    pub concurrency_cap: u64,
    #[serde(default)]
    pub jitter_ms: Option<u64>,
}

/// Whether the execution may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckAdmissionResult {
    Admitted,
    AlreadyAdmitted,
    RateExceeded { retry_after_ms: u64 },
    ConcurrencyExceeded,
}

/// Gives back an admission; the rate is not refunded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleaseAdmissionArgs {
    pub quota_policy_id: QuotaPolicyId,
    pub execution_id: ExecutionId,
}

impl ReleaseAdmissionArgs {
    #[must_use]
    pub fn new(quota_policy_id: QuotaPolicyId, execution_id: ExecutionId) -> Self {
        Self { quota_policy_id, execution_id }
    }
}

/// There is no admission of that execution now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReleaseAdmissionResult {
    Released,
}

/// The limits a quota policy stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuotaPolicyLimits {
    pub max_requests_per_window: u64,
    pub requests_per_window_seconds: u64,
    pub active_concurrency_cap: u64,
    pub jitter_ms: u64,
}

impl QuotaPolicyLimits {
    #[must_use]
    pub fn new(
        max_requests_per_window: u64,
        requests_per_window_seconds: u64,
        active_concurrency_cap: u64,
        jitter_ms: u64,
    ) -> Self {
        Self {
            max_requests_per_window,
            requests_per_window_seconds,
            active_concurrency_cap,
            jitter_ms,
        }
    }
}

impl QuotaPolicyLimits {
    /// Neither rate nor concurrency is bounded.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.max_requests_per_window == 0 && self.active_concurrency_cap == 0
    }
}

/// Takes an execution out of its lane until the reason is gone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockExecutionForAdmissionArgs {
    pub execution_id: ExecutionId,
    pub lane_id: LaneId,
    pub partition: Partition,
    pub reason: BlockingReason,
    pub reason_detail: Option<String>,
    pub now: TimestampMs,
}

impl BlockExecutionForAdmissionArgs {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lane_id: LaneId,
        partition: Partition,
        reason: BlockingReason,
        reason_detail: Option<String>,
        now: TimestampMs,
    ) -> Self {
        Self { execution_id, lane_id, partition, reason, reason_detail, now }
    }
}

/// Why a scheduler blocks an execution. Not [`crate::state::BlockingReason`], which is the stored
/// column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockingReason {
    WaitingForBudget,
    WaitingForQuota,
    WaitingForCapableWorker,
}

impl BlockingReason {
    /// The stored text.
    #[must_use]
    pub const fn reason_code(self) -> &'static str {
        match self {
            Self::WaitingForBudget => "waiting_for_budget",
            Self::WaitingForQuota => "waiting_for_quota",
            Self::WaitingForCapableWorker => "waiting_for_capable_worker",
        }
    }
}

/// Whether the execution was blocked; a refusal is an answer here, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockExecutionForAdmissionOutcome {
    Blocked { execution_id: ExecutionId, reason: BlockingReason },
    LuaRejected { message: String },
}

// ---- Beyond the contract ----

/// What a quota policy governs.
///
/// A lane stands for every execution on it. An execution is held to its own binding and to that of
/// its lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaTarget {
    Lane(LaneId),
    Execution(ExecutionId),
}

/// Holds a lane or an execution to a quota policy, in place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BindQuotaArgs {
    pub target: QuotaTarget,
    pub quota_policy_id: QuotaPolicyId,
}

impl BindQuotaArgs {
    #[must_use]
    pub fn new(target: QuotaTarget, quota_policy_id: QuotaPolicyId) -> Self {
        Self { target, quota_policy_id }
    }
}

/// Whether the call made the binding or found it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BindQuotaResult {
    Bound,
    AlreadyBound,
}

/// Whether there was a binding to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UnbindQuotaResult {
    Unbound { quota_policy_id: QuotaPolicyId },
    NotBound,
}

/// What becomes of one limit. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitChange {
    #[default]
    Keep,
    /// Safe to repeat.
    Set(u64),
    /// A top-up: adds to the limit as it stands. A repeat adds again. A dimension without a limit
    /// keeps none.
    Raise(u64),
}

/// Moves the limits of one dimension of a budget. What waits for room comes back as far as there
/// is any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SetBudgetLimitsArgs {
    pub budget_id: BudgetId,
    pub dimension: String,
    pub hard_limit: LimitChange,
    pub soft_limit: LimitChange,
}

impl SetBudgetLimitsArgs {
    #[must_use]
    pub fn new(
        budget_id: BudgetId,
        dimension: impl Into<String>,
        hard_limit: LimitChange,
        soft_limit: LimitChange,
    ) -> Self {
        Self { budget_id, dimension: dimension.into(), hard_limit, soft_limit }
    }
}

/// One dimension of a budget as it stands; a limit of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetDimension {
    pub dimension: String,
    pub usage: u64,
    pub hard_limit: u64,
    pub soft_limit: u64,
    /// Spent beyond what the budget accepted, since the last reset.
    pub overage: u64,
}

impl BudgetDimension {
    #[must_use]
    pub fn new(
        dimension: String,
        usage: u64,
        hard_limit: u64,
        soft_limit: u64,
        overage: u64,
    ) -> Self {
        Self { dimension, usage, hard_limit, soft_limit, overage }
    }

    /// Whether the hard limit is reached, so that no new work is admitted.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.hard_limit > 0 && self.usage >= self.hard_limit
    }
}

/// A budget on one page: what [`BudgetStatus`] tells, and what waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetOverview {
    pub budget_id: BudgetId,
    pub scope_type: String,
    pub scope_id: String,
    pub enforcement_mode: String,
    pub on_hard_limit: String,
    pub on_soft_limit: String,
    /// 0 never resets.
    pub reset_interval_ms: u64,
    pub next_reset_at: Option<TimestampMs>,
    pub created_at: TimestampMs,
    pub breach_count: u64,
    pub soft_breach_count: u64,
    pub last_breach_at: Option<TimestampMs>,
    pub last_breach_dim: Option<String>,
    /// By name.
    pub dimensions: Vec<BudgetDimension>,
    /// Executions that wait for room in it.
    pub waiting: u64,
}

/// A page of budgets by id; a cursor means there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListBudgetsPage {
    pub budgets: Vec<BudgetOverview>,
    pub next_cursor: Option<BudgetId>,
}

/// An execution whose lease takes a slot of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuotaHolder {
    pub execution_id: ExecutionId,
    pub lane_id: LaneId,
    pub worker_instance_id: Option<WorkerInstanceId>,
    pub lease_expires_at: Option<TimestampMs>,
}

impl QuotaHolder {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lane_id: LaneId,
        worker_instance_id: Option<WorkerInstanceId>,
        lease_expires_at: Option<TimestampMs>,
    ) -> Self {
        Self { execution_id, lane_id, worker_instance_id, lease_expires_at }
    }
}

/// A quota policy on one page: its limits, what it governs, who holds its slots, what waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuotaOverview {
    pub quota_policy_id: QuotaPolicyId,
    pub limits: QuotaPolicyLimits,
    pub created_at: TimestampMs,
    /// Lanes bound to it, by name.
    pub lanes: Vec<LaneId>,
    /// Live leases that take a slot, at most [`QUOTA_HOLDERS_MAX`].
    pub holders: Vec<QuotaHolder>,
    /// How many live leases take a slot.
    pub active: u64,
    /// Admissions within the window that ends now.
    pub in_window: u64,
    /// When the oldest admission leaves the window, if the rate is used up.
    pub rate_opens_at: Option<TimestampMs>,
    /// Executions that wait for room in it.
    pub waiting: u64,
}

/// A page of quota policies by id; a cursor means there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListQuotaPoliciesPage {
    pub policies: Vec<QuotaOverview>,
    pub next_cursor: Option<QuotaPolicyId>,
}

/// Spending that a budget refused although it had happened: kept, not dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetOverage {
    /// Rises with each entry of the store.
    pub sequence: u64,
    pub budget_id: BudgetId,
    /// Who spent it, where the report named an execution.
    pub execution_id: Option<ExecutionId>,
    pub dimension: String,
    /// The amount that was reported and not accepted.
    pub amount: u64,
    /// The usage at that moment, before it.
    pub usage: u64,
    pub hard_limit: u64,
    pub recorded_at: TimestampMs,
}

impl BudgetOverage {
    #[expect(clippy::too_many_arguments, reason = "one for each field")]
    #[must_use]
    pub fn new(
        sequence: u64,
        budget_id: BudgetId,
        execution_id: Option<ExecutionId>,
        dimension: String,
        amount: u64,
        usage: u64,
        hard_limit: u64,
        recorded_at: TimestampMs,
    ) -> Self {
        Self {
            sequence,
            budget_id,
            execution_id,
            dimension,
            amount,
            usage,
            hard_limit,
            recorded_at,
        }
    }
}

/// Most budgets, quota policies or overages that one page lists.
pub const BUDGET_PAGE_MAX: u32 = 200;

/// Most holders that the overview of one quota policy names.
pub const QUOTA_HOLDERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hard_limits_above_zero_are_paired_with_usage() {
        let text = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let limits = text(&[
            ("hard:a", "10"),
            ("hard:b", "0"),
            ("hard:c", "x"),
            ("soft:a", "5"),
            ("hard:d", "3"),
        ]);
        let both = BudgetUsageAndLimits::new(limits, BTreeMap::from([("a".to_owned(), 4)]));
        assert_eq!(both.hard_limits_with_usage().collect::<Vec<_>>(), [("a", 4, 10), ("d", 0, 3)]);
        assert_eq!(BudgetUsageAndLimits::empty().hard_limits_with_usage().count(), 0);
    }

    #[test]
    fn a_policy_is_unlimited_when_it_bounds_neither_rate_nor_concurrency() {
        assert!(QuotaPolicyLimits::new(0, 60, 0, 5).is_unlimited());
        assert!(!QuotaPolicyLimits::new(1, 60, 0, 5).is_unlimited());
        assert!(!QuotaPolicyLimits::new(0, 60, 1, 5).is_unlimited());
    }

    #[test]
    fn a_usage_result_is_tagged_by_its_variant_name() {
        assert_eq!(
            serde_json::to_string(&ReportUsageResult::AlreadyApplied).unwrap(),
            r#""AlreadyApplied""#
        );
    }
}
