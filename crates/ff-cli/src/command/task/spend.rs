//! `ff task spend`: what the work costs.

use std::process::ExitCode;

use clap::Args;
use ff_core::backend::UsageDimensions;
use ff_core::types::BudgetId;

use crate::command::budget::{SPENT_HELP, Spender, by_dimension, parse_amount, told_spent};
use crate::command::task::Task;
use crate::error::{Error, Exit, Result};
use crate::id;
use crate::output::Output;

/// Reports spending.
#[derive(Debug, Args)]
#[command(
    override_usage = "ff task spend [OPTIONS] [BUDGET] <DIMENSION=N>...",
    after_help = SPENT_HELP
)]
pub(crate) struct SpendArgs {
    /// The budget, if the execution is bound to more than one or to none, and the amounts.
    #[arg(required = true, value_name = "BUDGET|DIMENSION=N")]
    budget_and_amounts: Vec<String>,
    /// An idempotency key: the same key again, within 24 hours, spends nothing. An attempt may run
    /// twice, so what must be counted once needs one.
    #[arg(long)]
    key: Option<String>,
}

pub(super) async fn spend(task: &Task, output: Output, args: SpendArgs) -> Result<ExitCode> {
    let (named, amounts) = match &args.budget_and_amounts[..] {
        [first, amounts @ ..] if !first.contains('=') => (Some(first), amounts),
        amounts => (None, amounts),
    };
    let refused = |why: String| {
        Error::usage("this is no amount to spend")
            .why(why)
            .fix("for example `ff task spend tokens=120`")
    };
    if amounts.is_empty() {
        return Err(refused("no amount is given".to_owned()));
    }
    let mut usage = UsageDimensions::new();
    let amounts: Result<Vec<_>, _> = amounts.iter().map(|amount| parse_amount(amount)).collect();
    usage.custom = by_dimension(amounts.map_err(refused)?)?;
    usage.dedup_key = args.key;
    let budget = match named {
        Some(name) => id::resolve_budget(task.engine.as_ref(), name).await?,
        None => only_budget(task).await?,
    };
    let answer = task
        .engine
        .report_usage(&task.handle, &budget, usage)
        .await
        .map_err(|error| Error::engine("report the spending", &error))?;
    told_spent(output, &answer, Spender::Task)
}

/// The one budget that the execution is bound to.
async fn only_budget(task: &Task) -> Result<BudgetId> {
    let execution = &task.about.execution_id;
    let found = task
        .engine
        .describe_summary(execution)
        .await
        .map_err(|error| Error::engine("read the execution", &error))?;
    let budgets = found.map_or_else(Vec::new, |summary| summary.budget_ids);
    match &budgets[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::new(Exit::NotFound, "not_found", "the execution is bound to no budget")
            .fix(
                "name one: `ff task spend BUDGET tokens=120`; or bind it with `ff submit --budget`",
            )),
        several => {
            let names: Vec<_> = several.iter().map(id::show_budget).collect();
            Err(Error::new(
                Exit::Conflict,
                "ambiguous",
                "the execution is bound to several budgets",
            )
            .why(format!("they are {}", names.join(", ")))
            .fix("name one: `ff task spend BUDGET tokens=120`"))
        }
    }
}
