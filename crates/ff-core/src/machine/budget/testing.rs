//! Budgets and quotas for decision tests.

use super::{Budget, BudgetPolicy, Gates, Quota, QuotaPolicy, QuotaRule, Seen, Write};
use crate::machine::execution::testing::CREATED;
use crate::machine::{Change, Snapshot, Transition};
use crate::types::{BudgetId, DurationMs, QuotaPolicyId};

pub(crate) const BUDGET: BudgetId = BudgetId::from_uuid(uuid::Uuid::from_u128(70));
pub(crate) const QUOTA: QuotaPolicyId = QuotaPolicyId::from_uuid(uuid::Uuid::from_u128(80));

/// A budget of `hard` tokens, half of it soft, 0 used, without a reset.
pub(crate) fn budget(hard: u64) -> Budget {
    Budget {
        id: BUDGET,
        policy: Some(BudgetPolicy {
            id: BUDGET,
            scope_type: String::new(),
            scope_id: String::new(),
            enforcement_mode: String::new(),
            on_hard_limit: String::new(),
            on_soft_limit: String::new(),
            reset_interval: DurationMs(0),
            hard_limits: [("tokens".to_owned(), hard)].into(),
            soft_limits: [("tokens".to_owned(), hard / 2)].into(),
            breach_count: 0,
            soft_breach_count: 0,
            last_breach_at: None,
            last_breach_dim: None,
            next_reset_at: None,
            period: 3,
            created_at: CREATED,
            updated_at: CREATED,
        }),
        usage: [("tokens".to_owned(), 0)].into(),
        overage: [].into(),
    }
}

/// The same with `used` tokens used.
pub(crate) fn used(hard: u64, used: u64) -> Budget {
    Budget { usage: [("tokens".to_owned(), used)].into(), ..budget(hard) }
}

pub(crate) fn seen_budget(budget: Budget) -> Snapshot {
    let budget = Seen { budget: Some(Ok(budget)), ..Seen::default() };
    Snapshot { budget, ..Snapshot::default() }
}

/// A quota with room: `rate` a minute, `concurrency` at once.
pub(crate) fn quota(rate: u64, concurrency: u64) -> Quota {
    let policy = QuotaPolicy {
        id: QUOTA,
        window_seconds: 60,
        rate,
        concurrency,
        active: 0,
        created_at: CREATED,
        updated_at: CREATED,
    };
    Quota {
        id: QUOTA,
        rule: QuotaRule::of(&policy),
        policy: Some(policy),
        occupied: 0,
        reserved_until: None,
        next_reservation_end: None,
        in_window: 0,
        blocking_entry: None,
    }
}

pub(crate) fn seen_quota(quota: Quota) -> Snapshot {
    let budget = Seen { quota: Some(Ok(quota)), ..Seen::default() };
    Snapshot { budget, ..Snapshot::default() }
}

pub(crate) fn before(snapshot: Snapshot, gates: Gates) -> Snapshot {
    Snapshot { budget: Seen { gates, ..Seen::default() }, ..snapshot }
}

pub(crate) fn writes<T>(transition: &Transition<T>) -> Vec<Write> {
    transition
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::Budget(write) => Some(write.clone()),
            _ => None,
        })
        .collect()
}
