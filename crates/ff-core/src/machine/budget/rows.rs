//! Budgets and quotas as the rules see them.

#![expect(missing_docs, reason = "fields carry the contract's own names")]

use std::collections::BTreeMap;
use std::fmt;

use super::{Write, invalid};
use crate::EngineError;
use crate::contracts::BudgetOverage;
use crate::machine::Change;
use crate::machine::limits::QUOTA_WINDOW_MAX_SECONDS;
use crate::machine::policy::later;
use crate::types::{BudgetId, DurationMs, ExecutionId, QuotaPolicyId, TimestampMs};

/// A row, or the table, column and key of what cannot be read in it.
pub type Readable<T> = Result<T, String>;

/// A budget's limits and history, without its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetPolicy {
    pub id: BudgetId,
    pub scope_type: String,
    pub scope_id: String,
    pub enforcement_mode: String,
    pub on_hard_limit: String,
    pub on_soft_limit: String,
    /// 0 never resets.
    pub reset_interval: DurationMs,
    /// 0 is no limit, as is a dimension that is not named.
    pub hard_limits: BTreeMap<String, u64>,
    pub soft_limits: BTreeMap<String, u64>,
    pub breach_count: u64,
    pub soft_breach_count: u64,
    pub last_breach_at: Option<TimestampMs>,
    pub last_breach_dim: Option<String>,
    pub next_reset_at: Option<TimestampMs>,
    /// Raised by one with every reset. Charges and overages of an earlier period count no more.
    pub period: u64,
    pub created_at: TimestampMs,
    pub updated_at: TimestampMs,
}

impl BudgetPolicy {
    /// What a hard breach does to the execution that caused it.
    pub fn on_breach(&self) -> OnBreach {
        match self.on_hard_limit.as_str() {
            "suspend" => OnBreach::Suspend,
            "cancel" => OnBreach::Cancel,
            "fail" => OnBreach::Fail,
            _ => OnBreach::Refuse,
        }
    }
}

/// What a hard breach does to a running execution that is bound to the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBreach {
    /// Nothing: it runs on, and no new work starts. The meaning of every other word.
    Refuse,
    /// It is parked until there is room, and its attempt goes on then.
    Suspend,
    Cancel,
    Fail,
}

/// A budget with its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub id: BudgetId,
    /// Absent for a budget that nobody created: its usage is counted, nothing bounds it.
    pub policy: Option<BudgetPolicy>,
    pub usage: BTreeMap<String, u64>,
    /// Spent beyond what was accepted, in the current period.
    pub overage: BTreeMap<String, u64>,
}

impl Budget {
    /// The budget as it stands at `now`, and what brings the stored one there: a reset whose
    /// instant has come is done before anything is decided.
    ///
    /// The next reset is a whole number of intervals after the one that was due, whenever this is
    /// noticed.
    pub fn settled(&self, now: TimestampMs) -> (Self, Vec<Change>) {
        let due = self
            .policy
            .as_ref()
            .and_then(|policy| Some((policy, policy.next_reset_at.filter(|at| *at <= now)?)));
        let Some((policy, due)) = due else { return (self.clone(), Vec::new()) };
        self.reset(policy, next_after(due, policy.reset_interval, now), now)
    }

    /// Puts the counters to zero and begins the next period.
    pub fn reset(
        &self,
        policy: &BudgetPolicy,
        next_reset_at: Option<TimestampMs>,
        now: TimestampMs,
    ) -> (Self, Vec<Change>) {
        let policy = BudgetPolicy {
            last_breach_at: None,
            last_breach_dim: None,
            next_reset_at,
            period: policy.period + 1,
            updated_at: now,
            ..policy.clone()
        };
        let changes = vec![
            Change::Budget(Write::PutBudget(Box::new(policy.clone()))),
            Change::Budget(Write::ResetUsage { budget_id: self.id.clone(), at: now }),
            Change::Budget(Write::WakeBudget { budget_id: self.id.clone() }),
        ];
        let after = Self {
            id: self.id.clone(),
            policy: Some(policy),
            usage: self.usage.keys().map(|dimension| (dimension.clone(), 0)).collect(),
            overage: BTreeMap::new(),
        };
        (after, changes)
    }

    pub fn usage_of(&self, dimension: &str) -> u64 {
        self.usage.get(dimension).copied().unwrap_or(0)
    }

    pub fn overage_of(&self, dimension: &str) -> u64 {
        self.overage.get(dimension).copied().unwrap_or(0)
    }

    /// The hard limit of a dimension; `None` when it has none.
    pub fn hard_limit(&self, dimension: &str) -> Option<u64> {
        limit(&self.policy.as_ref()?.hard_limits, dimension)
    }

    /// The soft limit of a dimension; `None` when it has none.
    pub fn soft_limit(&self, dimension: &str) -> Option<u64> {
        limit(&self.policy.as_ref()?.soft_limits, dimension)
    }

    /// The first dimension, by name, in which everything is spent: accepted usage and overage
    /// reach the hard limit.
    pub fn exhausted(&self) -> Option<(&str, u64, u64)> {
        self.policy.as_ref()?.hard_limits.iter().find_map(|(dimension, hard)| {
            let spent = self.usage_of(dimension).saturating_add(self.overage_of(dimension));
            (*hard > 0 && spent >= *hard).then_some((dimension.as_str(), spent, *hard))
        })
    }

    pub(super) fn period(&self) -> u64 {
        self.policy.as_ref().map_or(0, |policy| policy.period)
    }
}

fn limit(limits: &BTreeMap<String, u64>, dimension: &str) -> Option<u64> {
    limits.get(dimension).copied().filter(|limit| *limit > 0)
}

/// The first instant after `now` that lies a whole number of intervals after `due`.
fn next_after(due: TimestampMs, interval: DurationMs, now: TimestampMs) -> Option<TimestampMs> {
    let interval = i64::try_from(interval.0).unwrap_or(i64::MAX);
    if interval == 0 {
        return None;
    }
    let missed = now.0.saturating_sub(due.0).max(0) / interval;
    Some(TimestampMs(due.0.saturating_add(interval.saturating_mul(missed.saturating_add(1)))))
}

/// Spending that a budget refused although it had happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overage {
    pub budget_id: BudgetId,
    pub period: u64,
    pub execution_id: ExecutionId,
    pub dimension: String,
    /// The report's key; empty for none.
    pub key: String,
    pub amount: u64,
    pub usage: u64,
    pub hard_limit: u64,
    pub at: TimestampMs,
}

impl Overage {
    /// The contract's record of it.
    pub fn present(&self, sequence: u64) -> BudgetOverage {
        BudgetOverage {
            sequence,
            budget_id: self.budget_id.clone(),
            execution_id: Some(self.execution_id.clone()),
            dimension: self.dimension.clone(),
            amount: self.amount,
            usage: self.usage,
            hard_limit: self.hard_limit,
            recorded_at: self.at,
        }
    }
}

/// Entries at or before this instant are in no window any more, whatever its length.
pub fn entries_before(now: TimestampMs) -> TimestampMs {
    let longest = i64::try_from(QUOTA_WINDOW_MAX_SECONDS * 1_000).unwrap_or(i64::MAX);
    TimestampMs(now.0.saturating_sub(longest))
}

/// A quota policy's limits; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaPolicy {
    pub id: QuotaPolicyId,
    pub window_seconds: u64,
    pub rate: u64,
    pub concurrency: u64,
    /// What occupied it when `check_admission` or `release_admission` last counted.
    pub active: u64,
    pub created_at: TimestampMs,
    pub updated_at: TimestampMs,
}

/// What a quota counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaRule {
    pub window: DurationMs,
    /// Admissions within a window; 0 is no bound.
    pub rate: u64,
    /// Live leases and reservations; 0 is no bound.
    pub concurrency: u64,
}

/// A stored window of 0 with a rate means a minute (contract, `claim_for_worker`).
const WINDOW_WHEN_ZERO: DurationMs = DurationMs(60_000);

impl QuotaRule {
    /// The rule that a stored policy gives.
    pub fn of(policy: &QuotaPolicy) -> Self {
        let window = match policy.window_seconds {
            0 => WINDOW_WHEN_ZERO,
            seconds => DurationMs(seconds.saturating_mul(1_000)),
        };
        Self { window, rate: policy.rate, concurrency: policy.concurrency }
    }

    /// An entry at this instant, or before it, has left the window at `now`.
    pub fn window_start(&self, now: TimestampMs) -> TimestampMs {
        TimestampMs(now.0.saturating_sub(i64::try_from(self.window.0).unwrap_or(i64::MAX)))
    }
}

/// A quota as one execution finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub id: QuotaPolicyId,
    pub policy: Option<QuotaPolicy>,
    /// The policy's, or the one the caller gave; all zero where there is neither.
    pub rule: QuotaRule,
    /// Live leases and reservations of other executions; counted if the rule bounds them, or for
    /// [`counts_all`](super::Wanted::counts_all).
    pub occupied: u64,
    /// When the execution's own reservation ends, if it has one.
    pub reserved_until: Option<TimestampMs>,
    /// When the first of the others' reservations ends; counted as `occupied` is.
    pub next_reservation_end: Option<TimestampMs>,
    /// Entries in the window; counted if the rule has a rate, or for `counts_all`.
    pub in_window: u64,
    /// The entry whose leaving brings the window below the rate, if it is not below.
    pub blocking_entry: Option<TimestampMs>,
}

impl Quota {
    /// How many more leases may begin at this moment.
    pub fn room(&self) -> u64 {
        let left = |bound: u64, used: u64| match bound {
            0 => u64::MAX,
            bound => bound.saturating_sub(used),
        };
        left(self.rule.concurrency, self.occupied).min(left(self.rule.rate, self.in_window))
    }

    /// When the window lets the next one in; `None` when it does already.
    pub fn rate_opens_at(&self) -> Option<TimestampMs> {
        let is_full = self.rule.rate > 0 && self.in_window >= self.rule.rate;
        self.blocking_entry.filter(|_| is_full).map(|entry| later(entry, self.rule.window))
    }

    /// Whether every slot is taken.
    pub fn is_occupied(&self) -> bool {
        self.rule.concurrency > 0 && self.occupied >= self.rule.concurrency
    }
}

/// What executions wait behind. A lane's quota and an execution's own are different gates even if
/// the policy is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateKey {
    Budget(BudgetId),
    Quota(QuotaPolicyId),
    LaneQuota(QuotaPolicyId),
}

impl GateKey {
    const BUDGET: &'static str = "budget:";
    const QUOTA: &'static str = "quota:";
    const LANE_QUOTA: &'static str = "lane_quota:";

    /// Reads the stored text.
    pub fn from_wire(text: &str) -> Option<Self> {
        let id = |prefix| text.strip_prefix(prefix);
        if let Some(id) = id(Self::BUDGET) {
            return BudgetId::parse(id).ok().map(Self::Budget);
        }
        if let Some(id) = id(Self::LANE_QUOTA) {
            return QuotaPolicyId::parse(id).ok().map(Self::LaneQuota);
        }
        QuotaPolicyId::parse(id(Self::QUOTA)?).ok().map(Self::Quota)
    }
}

/// The stored text.
impl fmt::Display for GateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(id) => write!(f, "{}{id}", Self::BUDGET),
            Self::Quota(id) => write!(f, "{}{id}", Self::QUOTA),
            Self::LaneQuota(id) => write!(f, "{}{id}", Self::LANE_QUOTA),
        }
    }
}

/// A sum that a counter can hold, or the refusal.
pub(super) fn sum(op: &str, dimension: &str, a: u64, b: u64) -> Result<u64, EngineError> {
    a.checked_add(b).filter(|sum| i64::try_from(*sum).is_ok()).ok_or_else(|| {
        invalid(format!("{op}: {a} + {b} for dim={dimension} exceeds i64::MAX; reset the budget"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_reset_is_a_whole_number_of_intervals_after_the_one_due() {
        let next = |due, interval, now| {
            next_after(TimestampMs(due), DurationMs(interval), TimestampMs(now)).map(|at| at.0)
        };
        assert_eq!(next(1_000, 100, 1_000), Some(1_100));
        assert_eq!(next(1_000, 100, 1_099), Some(1_100));
        assert_eq!(next(1_000, 100, 1_100), Some(1_200));
        assert_eq!(next(1_000, 100, 1_730), Some(1_800));
        assert_eq!(next(1_000, 0, 1_730), None);
        assert_eq!(next(1_000, u64::MAX, 1_730), Some(i64::MAX));
    }

    #[test]
    fn a_gate_is_read_back_from_its_text() {
        let uuid = uuid::Uuid::from_u128(7);
        for gate in [
            GateKey::Budget(BudgetId::from_uuid(uuid)),
            GateKey::Quota(QuotaPolicyId::from_uuid(uuid)),
            GateKey::LaneQuota(QuotaPolicyId::from_uuid(uuid)),
        ] {
            assert_eq!(GateKey::from_wire(&gate.to_string()), Some(gate));
        }
        for text in ["", "budget:", "quota:x", "lane:1"] {
            assert_eq!(GateKey::from_wire(text), None);
        }
    }
}
