//! Whether an execution may be acquired now, by its budgets and quotas.

use super::rows::{Budget, GateKey, Quota, Readable};
use super::{Write, unreadable};
use crate::EngineError;
use crate::engine_error::{ContentionKind, StateKind};
use crate::machine::limits::GATE_UNREADABLE_AGAIN_MS;
use crate::machine::policy::later;
use crate::machine::rows::Execution;
use crate::machine::{Change, Snapshot};
use crate::types::{BudgetId, DurationMs, LeaseEpoch, QuotaPolicyId, TimestampMs};

/// Proof that the gates of an execution are open, with the slots its lease takes. Only [`admit`]
/// makes one, and every acquisition needs one.
#[derive(Debug, Clone)]
pub struct Admitted {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    quota_policy_id: QuotaPolicyId,
    is_entry: bool,
    window_start: TimestampMs,
}

impl Admitted {
    /// Whether the lease takes any slot.
    pub(crate) fn takes_slots(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The rows of a lease that begins at `at` under `epoch`.
    pub(crate) fn changes(
        &self,
        execution: &Execution,
        epoch: LeaseEpoch,
        at: TimestampMs,
    ) -> impl Iterator<Item = Change> {
        self.slots.iter().map(move |slot| {
            Change::Budget(Write::Admit {
                quota_policy_id: slot.quota_policy_id.clone(),
                execution_id: execution.id.clone(),
                epoch,
                is_entry: slot.is_entry,
                window_start: slot.window_start,
                at,
            })
        })
    }
}

/// A gate that keeps an execution from being acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Which one.
    pub gate: GateKey,
    /// Why.
    pub why: Why,
    /// Which one and why, for people.
    pub detail: String,
    /// The instant at which it may open by itself, where that is known.
    pub opens_at: Option<TimestampMs>,
    /// When to look at it even if nothing happens.
    pub look_at: Option<TimestampMs>,
}

/// What closed a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A budget's hard limit is reached.
    Spent,
    /// Every slot is taken.
    Occupied,
    /// The window is full.
    Rate,
    /// The budget or quota policy is not stored.
    Missing,
    /// Its row cannot be read: nothing is known about it, so nothing is let through.
    Unreadable,
}

impl Closed {
    /// The refusal of an acquisition that cannot park.
    pub fn refusal(&self) -> EngineError {
        match self.why {
            Why::Spent => EngineError::State(StateKind::BudgetExceeded),
            Why::Occupied => EngineError::Contention(ContentionKind::ConcurrencyLimitExceeded),
            Why::Rate => EngineError::Contention(ContentionKind::RateLimitExceeded),
            Why::Missing => match self.gate {
                GateKey::Budget(_) => EngineError::NotFound { entity: "budget" },
                GateKey::Quota(_) | GateKey::LaneQuota(_) => {
                    EngineError::NotFound { entity: "quota_policy" }
                }
            },
            Why::Unreadable => unreadable(&self.detail),
        }
    }
}

/// Admits the execution of `seen`, or names the first gate that is closed: its budgets, then its
/// own quota, then that of its lane.
pub fn admit(seen: &Snapshot, now: TimestampMs) -> Result<Admitted, Box<Closed>> {
    let gates = &seen.budget.gates;
    for (id, budget) in &gates.budgets {
        if let Some(closed) = budget_closed(id, budget, now) {
            return Err(Box::new(closed));
        }
    }
    let mut slots: Vec<Slot> = Vec::new();
    let quotas = [
        gates.own.as_ref().map(|(id, quota)| (GateKey::Quota(id.clone()), quota)),
        gates.lane.as_ref().map(|(id, quota)| (GateKey::LaneQuota(id.clone()), quota)),
    ];
    for (gate, quota) in quotas.into_iter().flatten() {
        if let Some(closed) = quota_closed(&gate, quota, now) {
            return Err(Box::new(closed));
        }
        let Ok(quota) = quota else { continue };
        // One policy bound twice is one slot and one entry.
        if slots.iter().any(|slot| slot.quota_policy_id == quota.id) {
            continue;
        }
        slots.push(Slot {
            quota_policy_id: quota.id.clone(),
            is_entry: quota.reserved_until.is_none(),
            window_start: quota.rule.window_start(now),
        });
    }
    Ok(Admitted { slots })
}

/// Why a budget lets nothing through at `now`; `None` when it does.
pub fn budget_closed(id: &BudgetId, budget: &Readable<Budget>, now: TimestampMs) -> Option<Closed> {
    let gate = GateKey::Budget(id.clone());
    let budget = match budget {
        Ok(budget) => budget,
        Err(detail) => return Some(cannot_be_read(gate, detail, now)),
    };
    if budget.policy.is_none() {
        let detail = format!("budget {id} does not exist; create it");
        return Some(Closed { gate, why: Why::Missing, detail, opens_at: None, look_at: None });
    }
    let (budget, _) = budget.settled(now);
    let (dimension, spent, hard) = budget.exhausted()?;
    let detail = format!("budget {id}: `{dimension}` {spent} of {hard} spent");
    let opens_at = budget.policy.as_ref().and_then(|policy| policy.next_reset_at);
    Some(Closed { gate, why: Why::Spent, detail, opens_at, look_at: opens_at })
}

/// Why a quota lets nothing through at `now`; `None` when it does.
pub fn quota_closed(gate: &GateKey, quota: &Readable<Quota>, now: TimestampMs) -> Option<Closed> {
    let gate = gate.clone();
    let quota = match quota {
        Ok(quota) => quota,
        Err(detail) => return Some(cannot_be_read(gate, detail, now)),
    };
    let id = &quota.id;
    if quota.policy.is_none() {
        let detail = format!("quota policy {id} does not exist; create it, or end the binding");
        return Some(Closed { gate, why: Why::Missing, detail, opens_at: None, look_at: None });
    }
    if quota.is_occupied() {
        let detail =
            format!("quota {id}: {} of {} slots taken", quota.occupied, quota.rule.concurrency);
        let look_at = quota.next_reservation_end;
        return Some(Closed { gate, why: Why::Occupied, detail, opens_at: None, look_at });
    }
    let opens_at = quota.rate_opens_at().filter(|_| quota.reserved_until.is_none())?;
    let detail = format!(
        "quota {id}: {} of {} begun within {} ms",
        quota.in_window, quota.rule.rate, quota.rule.window.0
    );
    Some(Closed { gate, why: Why::Rate, detail, opens_at: Some(opens_at), look_at: Some(opens_at) })
}

fn cannot_be_read(gate: GateKey, detail: &str, now: TimestampMs) -> Closed {
    let look_at = Some(later(now, DurationMs(GATE_UNREADABLE_AGAIN_MS)));
    let detail = detail.to_owned();
    Closed { gate, why: Why::Unreadable, detail, opens_at: None, look_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Gates;
    use crate::machine::budget::testing::{BUDGET, QUOTA, before, budget, quota, used};
    use crate::machine::execution::testing::{NOW, execution, now_plus, seen};
    use crate::types::TimestampMs;

    fn closed(gates: Gates) -> Closed {
        *admit(&before(seen(execution(), None), gates), NOW).unwrap_err()
    }

    fn by_budget(budget: Readable<Budget>) -> Gates {
        Gates { budgets: vec![(BUDGET, budget)], ..Gates::default() }
    }

    fn by_quota(quota: Quota) -> Gates {
        Gates { own: Some((QUOTA, Ok(quota))), ..Gates::default() }
    }

    #[test]
    fn without_budgets_and_quotas_everything_is_admitted_without_slots() {
        let admitted = admit(&seen(execution(), None), NOW).unwrap();

        assert!(!admitted.takes_slots());
    }

    #[test]
    fn a_budget_closes_when_usage_and_overage_reach_the_limit() {
        let open = |budget| admit(&before(seen(execution(), None), by_budget(Ok(budget))), NOW);
        assert!(open(used(10, 9)).is_ok());
        assert!(open(used(0, 9)).is_ok());
        let closed = closed(by_budget(Ok(used(10, 10))));
        assert_eq!((closed.why, closed.opens_at, closed.look_at), (Why::Spent, None, None));
        let mut breached = used(10, 7);
        breached.overage.insert("tokens".to_owned(), 3);
        assert!(open(breached).is_err());
    }

    #[test]
    fn a_budget_whose_reset_is_due_is_open_and_otherwise_opens_with_it() {
        let mut spent = used(10, 10);
        spent.policy.as_mut().unwrap().next_reset_at = Some(now_plus(1));
        assert_eq!(closed(by_budget(Ok(spent.clone()))).opens_at, Some(now_plus(1)));

        spent.policy.as_mut().unwrap().next_reset_at = Some(NOW);
        assert!(admit(&before(seen(execution(), None), by_budget(Ok(spent))), NOW).is_ok());
    }

    #[test]
    fn what_cannot_be_read_or_is_not_there_admits_nothing() {
        let unreadable = closed(by_budget(Err("ff_budget_policy.policy_json".to_owned())));
        assert_eq!(unreadable.why, Why::Unreadable);
        assert!(unreadable.refusal().to_string().contains("ff_budget_policy.policy_json"));
        assert!(unreadable.look_at.is_some_and(|at| at > NOW));
        let missing = Budget { policy: None, ..budget(10) };
        assert_eq!(closed(by_budget(Ok(missing))).why, Why::Missing);
        let missing = Quota { policy: None, ..quota(0, 0) };
        assert_eq!(closed(by_quota(missing)).why, Why::Missing);
        let lane = Gates { lane: Some((QUOTA, Err("bad".to_owned()))), ..Gates::default() };
        assert_eq!(closed(lane).gate, GateKey::LaneQuota(QUOTA));
    }

    #[test]
    fn slots_and_the_window_close_a_quota() {
        assert_eq!(closed(by_quota(Quota { occupied: 2, ..quota(0, 2) })).why, Why::Occupied);
        let full =
            Quota { in_window: 2, blocking_entry: Some(TimestampMs(NOW.0 - 1)), ..quota(2, 0) };
        let rate = closed(by_quota(full.clone()));
        assert_eq!((rate.why, rate.opens_at), (Why::Rate, Some(now_plus(59_999))));
        // Who has reserved its entry needs no other.
        let reserved = Quota { reserved_until: Some(now_plus(1)), ..full };
        assert!(admit(&before(seen(execution(), None), by_quota(reserved)), NOW).is_ok());
    }

    #[test]
    fn one_policy_bound_twice_takes_one_slot() {
        let both = Gates {
            own: Some((QUOTA, Ok(quota(5, 5)))),
            lane: Some((QUOTA, Ok(quota(5, 5)))),
            ..Gates::default()
        };

        let admitted = admit(&before(seen(execution(), None), both), NOW).unwrap();

        assert_eq!(admitted.changes(&execution(), LeaseEpoch(4), NOW).count(), 1);
    }
}
