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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::testing::{BUDGET, seen_budget, used, writes};
    use crate::machine::execution::testing::{NOW, decide, execution};

    fn release() -> ReleaseBudget {
        ReleaseBudget { args: ReleaseBudgetArgs::new(BUDGET, execution().id) }
    }

    fn charged(budget: crate::machine::budget::Budget) -> Snapshot {
        let mut seen = seen_budget(budget);
        seen.budget.charges = vec![("tokens".to_owned(), 4)];
        seen
    }

    #[test]
    fn charges_are_taken_off_and_forgotten_and_whoever_waits_is_looked_at() {
        let written = writes(&decide(&release(), &charged(used(10, 9))).unwrap());

        let taken = Write::TakeUsage {
            budget_id: BUDGET,
            dimension: "tokens".to_owned(),
            amount: 4,
            at: NOW,
        };
        let dropped = Write::DropCharges { budget_id: BUDGET, execution_id: execution().id };
        assert_eq!(written, [dropped, taken, Write::WakeBudget { budget_id: BUDGET }]);
    }

    #[test]
    fn without_charges_nothing_happens() {
        assert!(decide(&release(), &seen_budget(used(10, 9))).unwrap().changes.is_empty());
    }

    #[test]
    fn what_a_reset_that_was_due_has_put_to_nothing_is_not_taken_off_again() {
        let mut due = used(10, 9);
        due.policy.as_mut().unwrap().next_reset_at = Some(NOW);

        let written = writes(&decide(&release(), &charged(due)).unwrap());

        assert!(written.iter().any(|write| matches!(write, Write::ResetUsage { .. })));
        assert!(written.iter().any(|write| matches!(write, Write::DropCharges { .. })));
        assert!(!written.iter().any(|write| matches!(write, Write::TakeUsage { .. })));
    }
}
