//! Creating a budget.

use std::collections::BTreeMap;

use super::{Budget, BudgetPolicy, Wanted, Write, fitting, invalid, named};
use crate::EngineError;
use crate::contracts::{CreateBudgetArgs, CreateBudgetResult};
use crate::machine::limits::{DELAY_MAX_MS, IDENTIFIER_MAX_BYTES};
use crate::machine::policy::later;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::DurationMs;

/// Stores a new budget. Safe to repeat: a known id answers `AlreadySatisfied` and nothing is
/// compared. Usage that was counted before stays. The last of two equal dimensions counts.
#[derive(Debug, Clone)]
pub struct CreateBudget {
    /// The call, as the contract shapes it.
    pub args: CreateBudgetArgs,
}

impl Command for CreateBudget {
    const NAME: &'static str = "budget.create";
    type Outcome = CreateBudgetResult;

    fn footprint(&self) -> Footprint {
        let budget = Wanted { budget: Some(self.args.budget_id.clone()), ..Wanted::default() };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CreateBudgetResult>, EngineError> {
        let args = &self.args;
        let op = "create_budget";
        if args.dimensions.len() != args.hard_limits.len()
            || args.dimensions.len() != args.soft_limits.len()
        {
            return Err(invalid(
                "create_budget: dimensions / hard_limits / soft_limits length mismatch",
            ));
        }
        named(op, args.dimensions.iter().map(String::as_str))?;
        for (field, text) in [
            ("scope_type", &args.scope_type),
            ("scope_id", &args.scope_id),
            ("enforcement_mode", &args.enforcement_mode),
            ("on_hard_limit", &args.on_hard_limit),
            ("on_soft_limit", &args.on_soft_limit),
        ] {
            if text.len() > IDENTIFIER_MAX_BYTES {
                return Err(invalid(format!(
                    "{op}: {field} is {} bytes; the limit is {IDENTIFIER_MAX_BYTES}",
                    text.len()
                )));
            }
        }
        if args.reset_interval_ms > DELAY_MAX_MS {
            return Err(invalid(format!(
                "{op}: reset_interval_ms is {}; give 0 (never) to {DELAY_MAX_MS}",
                args.reset_interval_ms
            )));
        }
        let limits = |kind: &str, values: &[u64]| -> Result<BTreeMap<String, u64>, EngineError> {
            args.dimensions
                .iter()
                .zip(values)
                .map(|(dimension, limit)| {
                    let what = format!("{kind} limit for dim={dimension}");
                    Ok((dimension.clone(), fitting(op, &what, *limit)?))
                })
                .collect()
        };
        let (hard_limits, soft_limits) =
            (limits("hard", &args.hard_limits)?, limits("soft", &args.soft_limits)?);
        let budget_id = args.budget_id.clone();
        if let Some(Ok(Budget { policy: Some(_), .. }) | Err(_)) = &seen.budget.budget {
            seen.budget.budget()?;
            let outcome = CreateBudgetResult::AlreadySatisfied { budget_id };
            return Ok(Transition::unchanged(outcome));
        }
        let reset_interval = DurationMs(args.reset_interval_ms);
        let policy = BudgetPolicy {
            id: budget_id.clone(),
            scope_type: args.scope_type.clone(),
            scope_id: args.scope_id.clone(),
            enforcement_mode: args.enforcement_mode.clone(),
            on_hard_limit: args.on_hard_limit.clone(),
            on_soft_limit: args.on_soft_limit.clone(),
            reset_interval,
            hard_limits,
            soft_limits,
            breach_count: 0,
            soft_breach_count: 0,
            last_breach_at: None,
            last_breach_dim: None,
            next_reset_at: (reset_interval.0 > 0).then(|| later(cx.now, reset_interval)),
            period: 0,
            created_at: cx.now,
            updated_at: cx.now,
        };
        Ok(Transition::unchanged(CreateBudgetResult::Created { budget_id: budget_id.clone() })
            .change(Change::Budget(Write::PutBudget(Box::new(policy))))
            .change(Change::Budget(Write::WakeBudget { budget_id })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::testing::{BUDGET, budget, seen_budget, writes};
    use crate::machine::execution::testing::{NOW, decide, now_plus, refusal};
    use crate::types::TimestampMs;

    fn create(dimensions: &[&str], hard: &[u64], soft: &[u64]) -> CreateBudget {
        CreateBudget {
            args: CreateBudgetArgs {
                budget_id: BUDGET,
                scope_type: "team".to_owned(),
                scope_id: "a".to_owned(),
                enforcement_mode: "strict".to_owned(),
                on_hard_limit: "suspend".to_owned(),
                on_soft_limit: "warn".to_owned(),
                reset_interval_ms: 500,
                dimensions: dimensions.iter().map(|&text| text.to_owned()).collect(),
                hard_limits: hard.to_vec(),
                soft_limits: soft.to_vec(),
                now: TimestampMs(0),
            },
        }
    }

    #[test]
    fn a_budget_is_stored_with_its_first_reset_and_wakes_who_waited_for_it() {
        let done = decide(&create(&["t", "t"], &[1, 7], &[0, 5]), &Snapshot::default()).unwrap();

        let [Write::PutBudget(policy), Write::WakeBudget { .. }] = &writes(&done)[..] else {
            panic!("{:?}", done.changes)
        };
        assert_eq!(policy.next_reset_at, Some(now_plus(500)));
        assert_eq!(policy.hard_limits, [("t".to_owned(), 7)].into());
        assert_eq!(policy.soft_limits, [("t".to_owned(), 5)].into());
        assert_eq!((policy.created_at, policy.period), (NOW, 0));
        assert_eq!(done.outcome, CreateBudgetResult::Created { budget_id: BUDGET });
    }

    #[test]
    fn a_known_id_changes_nothing() {
        let done = decide(&create(&["x"], &[1], &[0]), &seen_budget(budget(10))).unwrap();

        assert!(done.is_unchanged());
        assert_eq!(done.outcome, CreateBudgetResult::AlreadySatisfied { budget_id: BUDGET });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let told = |create: CreateBudget| refusal(decide(&create, &Snapshot::default()));

        assert_eq!(
            told(create(&["t"], &[1], &[])),
            "validation: InvalidInput: create_budget: dimensions / hard_limits / soft_limits length \
             mismatch"
        );
        let over = told(create(&["t"], &[1 << 63], &[0]));
        assert!(over.contains("hard limit for dim=t exceeds i64::MAX"), "{over}");
        assert!(decide(&create(&["t"], &[(1 << 63) - 1], &[0]), &Snapshot::default()).is_ok());
        assert!(told(create(&[""], &[1], &[0])).contains("0 bytes"));
    }
}
