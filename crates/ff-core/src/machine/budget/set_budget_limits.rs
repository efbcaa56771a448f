//! Moving a budget's limits: a top-up, or a new bound.

use super::rows::sum;
use super::{BudgetPolicy, Wanted, Write, fitting, named};
use crate::EngineError;
use crate::contracts::{BudgetDimension, LimitChange, SetBudgetLimitsArgs};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Moves the limits of one dimension. What waits for the budget is looked at again.
///
/// A limit below the usage is no error: nothing new is admitted until there is room. Setting is
/// safe to repeat, raising is not. An unknown budget is `NotFound("budget")`.
#[derive(Debug, Clone)]
pub struct SetBudgetLimits {
    /// The call.
    pub args: SetBudgetLimitsArgs,
}

impl Command for SetBudgetLimits {
    const NAME: &'static str = "budget.set_limits";
    type Outcome = BudgetDimension;

    fn footprint(&self) -> Footprint {
        let budget = Wanted { budget: Some(self.args.budget_id.clone()), ..Wanted::default() };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<BudgetDimension>, EngineError> {
        let args = &self.args;
        let dimension = &args.dimension;
        named(OP, [dimension.as_str()].into_iter())?;
        let (budget, settled) = seen.budget.budget()?.settled(cx.now);
        let policy = budget.policy.clone().ok_or(EngineError::NotFound { entity: "budget" })?;
        let stored = |limits: &std::collections::BTreeMap<String, u64>| {
            limits.get(dimension).copied().unwrap_or(0)
        };
        let hard = moved(dimension, stored(&policy.hard_limits), args.hard_limit)?;
        let soft = moved(dimension, stored(&policy.soft_limits), args.soft_limit)?;
        let mut after = BudgetPolicy { updated_at: cx.now, ..policy };
        after.hard_limits.insert(dimension.clone(), hard);
        after.soft_limits.insert(dimension.clone(), soft);

        let outcome = BudgetDimension::new(
            dimension.clone(),
            budget.usage_of(dimension),
            hard,
            soft,
            budget.overage_of(dimension),
        );
        let mut transition = Transition::unchanged(outcome);
        transition.changes = settled;
        let budget_id = args.budget_id.clone();
        Ok(transition
            .change(Change::Budget(Write::PutBudget(Box::new(after))))
            .change(Change::Budget(Write::WakeBudget { budget_id })))
    }
}

const OP: &str = "set_budget_limits";

fn moved(dimension: &str, stored: u64, change: LimitChange) -> Result<u64, EngineError> {
    match change {
        LimitChange::Keep => Ok(stored),
        LimitChange::Set(limit) => fitting(OP, &format!("limit for dim={dimension}"), limit),
        // No limit raised by something is still no limit.
        LimitChange::Raise(_) if stored == 0 => Ok(0),
        LimitChange::Raise(by) => sum(OP, dimension, stored, by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Budget;
    use crate::machine::budget::testing::{BUDGET, seen_budget, used, writes};
    use crate::machine::execution::testing::{decide, refusal};

    fn set(dimension: &str, hard: LimitChange) -> SetBudgetLimits {
        let args = SetBudgetLimitsArgs::new(BUDGET, dimension, hard, LimitChange::Keep);
        SetBudgetLimits { args }
    }

    fn limits(dimension: &str, hard: LimitChange) -> (u64, u64) {
        let done = decide(&set(dimension, hard), &seen_budget(used(10, 9))).unwrap();
        let written = writes(&done);
        let [Write::PutBudget(policy), Write::WakeBudget { .. }] = written.as_slice() else {
            panic!("{written:?}")
        };
        let stored = (policy.hard_limits[dimension], policy.soft_limits[dimension]);
        assert_eq!(stored, (done.outcome.hard_limit, done.outcome.soft_limit));
        stored
    }

    #[test]
    fn a_limit_is_set_raised_or_kept_and_whoever_waits_is_looked_at() {
        assert_eq!(limits("tokens", LimitChange::Keep), (10, 5));
        assert_eq!(limits("tokens", LimitChange::Set(3)), (3, 5));
        assert_eq!(limits("tokens", LimitChange::Raise(7)), (17, 5));
    }

    #[test]
    fn no_limit_raised_is_still_none() {
        assert_eq!(limits("calls", LimitChange::Raise(7)), (0, 0));
        assert_eq!(limits("calls", LimitChange::Set(7)), (7, 0));
    }

    #[test]
    fn what_no_counter_holds_and_what_is_not_there_is_refused() {
        let told = |change, budget| refusal(decide(&set("tokens", change), &seen_budget(budget)));
        assert!(told(LimitChange::Set(1 << 63), used(10, 0)).contains("i64::MAX"));
        assert!(told(LimitChange::Raise((1 << 63) - 1), used(10, 0)).contains("i64::MAX"));
        let unmade = Budget { policy: None, ..used(10, 0) };
        assert!(told(LimitChange::Keep, unmade).contains("budget"));
        let unnamed = set("", LimitChange::Keep);
        assert!(refusal(decide(&unnamed, &seen_budget(used(10, 0)))).contains("0 bytes"));
    }
}
