//! Resetting a budget: on request, and when its interval is over.

use super::Wanted;
use crate::EngineError;
use crate::contracts::{ResetBudgetArgs, ResetBudgetResult};
use crate::machine::policy::later;
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::types::{BudgetId, TimestampMs};

/// Puts every counter to zero and begins a new interval now. Breach counts stay, the last breach
/// is forgotten. An unknown budget is `NotFound("budget")`.
#[derive(Debug, Clone)]
pub struct ResetBudget {
    /// The call, as the contract shapes it.
    pub args: ResetBudgetArgs,
}

impl Command for ResetBudget {
    const NAME: &'static str = "budget.reset";
    type Outcome = ResetBudgetResult;

    fn footprint(&self) -> Footprint {
        let budget = Wanted { budget: Some(self.args.budget_id.clone()), ..Wanted::default() };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ResetBudgetResult>, EngineError> {
        let budget = seen.budget.budget()?;
        let policy = budget.policy.as_ref().ok_or(EngineError::NotFound { entity: "budget" })?;
        let next = (policy.reset_interval.0 > 0).then(|| later(cx.now, policy.reset_interval));
        let (_, changes) = budget.reset(policy, next, cx.now);
        let next_reset_at = next.unwrap_or(TimestampMs(0));
        let mut transition = Transition::unchanged(ResetBudgetResult::Reset { next_reset_at });
        transition.changes = changes;
        Ok(transition)
    }
}

/// Does the reset whose instant has come; answers whether there was one. The next one is a whole
/// number of intervals later, however late this is. Safe to repeat.
#[derive(Debug, Clone)]
pub struct ResetDue {
    /// The budget.
    pub budget_id: BudgetId,
    /// What counts as the present; engine time when absent.
    pub as_of: Option<TimestampMs>,
}

impl Command for ResetDue {
    const NAME: &'static str = "budget.reset_due";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        let budget = Wanted { budget: Some(self.budget_id.clone()), ..Wanted::default() };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        let (_, changes) = seen.budget.budget()?.settled(self.as_of.unwrap_or(cx.now));
        let mut transition = Transition::unchanged(!changes.is_empty());
        transition.changes = changes;
        Ok(transition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::testing::{BUDGET, seen_budget, used, writes};
    use crate::machine::budget::{Budget, BudgetPolicy, Write};
    use crate::machine::execution::testing::{NOW, decide, now_plus, refusal};
    use crate::types::DurationMs;

    fn reset() -> ResetBudget {
        ResetBudget { args: ResetBudgetArgs { budget_id: BUDGET, now: NOW } }
    }

    fn every(interval: u64, next: Option<TimestampMs>) -> Budget {
        let mut budget = used(10, 9);
        let policy = budget.policy.as_mut().unwrap();
        policy.reset_interval = DurationMs(interval);
        (policy.next_reset_at, policy.breach_count) = (next, 2);
        policy.last_breach_dim = Some("tokens".to_owned());
        budget
    }

    fn stored<T>(done: &Transition<T>) -> BudgetPolicy {
        let written = writes(done);
        assert!(written.contains(&Write::ResetUsage { budget_id: BUDGET, at: NOW }));
        assert!(written.contains(&Write::WakeBudget { budget_id: BUDGET }));
        let Some(Write::PutBudget(policy)) = written.first() else { panic!("{written:?}") };
        (**policy).clone()
    }

    #[test]
    fn a_reset_begins_an_interval_now_and_keeps_the_breach_count() {
        let done = decide(&reset(), &seen_budget(every(100, Some(now_plus(30))))).unwrap();

        assert_eq!(done.outcome, ResetBudgetResult::Reset { next_reset_at: now_plus(100) });
        let after = stored(&done);
        assert_eq!((after.next_reset_at, after.period), (Some(now_plus(100)), 4));
        assert_eq!((after.breach_count, after.last_breach_dim), (2, None));
    }

    #[test]
    fn a_budget_without_an_interval_has_no_next_reset_and_one_without_a_policy_none_at_all() {
        let done = decide(&reset(), &seen_budget(every(0, None))).unwrap();
        assert_eq!(done.outcome, ResetBudgetResult::Reset { next_reset_at: TimestampMs(0) });
        assert_eq!(stored(&done).next_reset_at, None);

        let unmade = Budget { policy: None, ..used(10, 9) };
        assert!(refusal(decide(&reset(), &seen_budget(unmade))).contains("budget"));
    }

    #[test]
    fn a_due_reset_happens_once_and_a_whole_number_of_intervals_on() {
        let due = |as_of| ResetDue { budget_id: BUDGET, as_of };
        let late = every(100, Some(TimestampMs(NOW.0 - 250)));

        let done = decide(&due(None), &seen_budget(late)).unwrap();

        assert!(done.outcome);
        assert_eq!(stored(&done).next_reset_at, Some(now_plus(50)));
        let early = seen_budget(every(100, Some(now_plus(1))));
        assert!(!decide(&due(None), &early).unwrap().outcome);
        assert!(decide(&due(Some(now_plus(1))), &early).unwrap().outcome);
    }
}
