//! Giving back what an execution was charged.

use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::ReleaseBudgetArgs;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Takes an execution's charges of the current period off the budget, down to zero, and forgets
/// them. Safe to repeat: without charges nothing happens. What was charged before the last reset
/// is not taken off again.
#[derive(Debug, Clone)]
pub struct ReleaseBudget {
    /// The call, as the contract shapes it.
    pub args: ReleaseBudgetArgs,
}

impl Command for ReleaseBudget {
    const NAME: &'static str = "budget.release";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        let budget = Wanted {
            budget: Some(self.args.budget_id.clone()),
            charges_of: Some(self.args.execution_id.clone()),
            ..Wanted::default()
        };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let budget_id = &self.args.budget_id;
        let (_, settled) = seen.budget.budget()?.settled(cx.now);
        // A reset that was due has put those charges to nothing already.
        let is_reset = !settled.is_empty();
        let mut transition = Transition::unchanged(());
        transition.changes = settled;
        if seen.budget.charges.is_empty() {
            return Ok(transition);
        }
        transition = transition.change(Change::Budget(Write::DropCharges {
            budget_id: budget_id.clone(),
            execution_id: self.args.execution_id.clone(),
        }));
        if is_reset {
            return Ok(transition);
        }
        for (dimension, amount) in &seen.budget.charges {
            transition = transition.change(Change::Budget(Write::TakeUsage {
                budget_id: budget_id.clone(),
                dimension: dimension.clone(),
                amount: *amount,
                at: cx.now,
            }));
        }
        Ok(transition.change(Change::Budget(Write::WakeBudget { budget_id: budget_id.clone() })))
    }
}
