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
