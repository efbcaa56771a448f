//! `ff budget`: how much may be spent, and what was.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ff_core::contracts::{
    BUDGET_PAGE_MAX, BudgetOverview, CreateBudgetArgs, CreateBudgetResult, LimitChange,
    RecordSpendArgs, ReleaseBudgetArgs, ReportUsageAdminArgs, ReportUsageResult, ResetBudgetArgs,
    ResetBudgetResult, SetBudgetLimitsArgs,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::types::BudgetId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::command::submit::engine_now;
use crate::duration::{self, parse_positive};
use crate::error::{Error, Exit, Result};
use crate::id;
use crate::output::{Format, Output, cell, one_or_list};
use crate::store::{Location, Purpose, Store};
use crate::time::{self, millis};

/// What the engine does in every mode; the contract stores the word.
const ENFORCEMENT: &str = "strict";

/// What `--on-soft` of the contract says; nothing but telling is done at a soft limit.
const ON_SOFT: &str = "warn";

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true, after_help = NAMES_HELP)]
pub(crate) enum BudgetCommand {
    /// Make a budget. Safe to repeat with the same limits.
    Create(CreateArgs),
    /// List budgets: what is spent of what.
    #[command(alias = "ls")]
    List,
    /// Show budgets, with what was spent beyond their limits.
    #[command(alias = "show")]
    Get(NamesArgs),
    /// Raise hard limits by these amounts; what waits for room goes on.
    #[command(alias = "raise")]
    Topup(AmountsArgs),
    /// Set limits; 0 takes a limit away.
    Limit(LimitArgs),
    /// Put the counters to zero.
    Reset(NamesArgs),
    /// Report spending from outside.
    Spend(SpendArgs),
    /// Give back all that `ff budget spend --execution` charged to one execution.
    Release(ReleaseArgs),
}

const NAMES_HELP: &str = "\
A budget is named by its name or by its id (`bud_…`, or the first digits). Executions are bound with
`ff submit --budget NAME` or `budgets: [NAME]` in a flow file: while a hard limit is reached, none of them
is started.";

/// What a hard breach does to the running execution that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnHard {
    /// It runs on; only no new work is started.
    Refuse,
    /// It is parked until there is room again.
    Suspend,
    /// It is cancelled.
    Cancel,
    /// It fails.
    Fail,
}

impl OnHard {
    const fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Suspend => "suspend",
            Self::Cancel => "cancel",
            Self::Fail => "fail",
        }
    }
}

/// Makes a budget.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name.
    name: String,
    /// A hard limit, 0 for none; may be repeated.
    #[arg(long, short, value_name = "DIMENSION=N", value_parser = parse_amount, required_unless_present = "soft")]
    limit: Vec<(String, u64)>,
    /// A soft limit, which is told and stops nothing, 0 for none; may be repeated.
    #[arg(long, value_name = "DIMENSION=N", value_parser = parse_amount)]
    soft: Vec<(String, u64)>,
    /// Put the counters to zero this often.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    reset: Option<Duration>,
    /// What a breach of a hard limit does to the running execution that caused it.
    #[arg(long, value_enum, value_name = "ACTION", default_value = "refuse")]
    on_hard: OnHard,
    /// What the name is the name of, for example team, customer or flow.
    #[arg(long, value_name = "WORD", default_value = "name")]
    scope: String,
}

/// Names budgets.
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Names or ids.
    #[arg(required = true, value_name = "BUDGET")]
    budgets: Vec<String>,
}

/// Names a budget and amounts.
#[derive(Debug, Args)]
pub(crate) struct AmountsArgs {
    /// Its name or id.
    budget: String,
    /// How much.
    #[arg(required = true, value_name = "DIMENSION=N", value_parser = parse_amount)]
    amounts: Vec<(String, u64)>,
}

/// Sets limits.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    amounts: AmountsArgs,
    /// Set the soft limits, not the hard ones.
    #[arg(long)]
    soft: bool,
}

/// Reports spending.
#[derive(Debug, Args)]
#[command(after_help = SPENT_HELP)]
pub(crate) struct SpendArgs {
    #[command(flatten)]
    amounts: AmountsArgs,
    /// Charge it to this execution, so that it can be given back.
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// An idempotency key: the same key again, within 24 hours, spends nothing.
    #[arg(long)]
    key: Option<String>,
}

/// Gives back all that `ff budget spend --execution` charged to one execution. What its own reports (`ff task spend`)
/// spent stays spent.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The budget's name or id.
    budget: String,
    /// The execution.
    #[arg(value_name = "ID")]
    execution: String,
}

/// Reads `tokens=120`.
pub(crate) fn parse_amount(text: &str) -> Result<(String, u64), String> {
    let hint = "write DIMENSION=N, for example tokens=120";
    let Some((dimension, amount)) = text.split_once('=') else {
        return Err(format!("`{text}` is no amount: {hint}"));
    };
    if dimension.is_empty() {
        return Err(format!("`{text}` has no dimension: {hint}"));
    }
    let amount = amount
        .parse()
        .ok()
        .filter(|amount| i64::try_from(*amount).is_ok())
        .ok_or_else(|| format!("`{amount}` is not a whole number from 0 to {}", i64::MAX))?;
    Ok((dimension.to_owned(), amount))
}

/// The amounts by dimension. Which of two amounts for one dimension is meant, or whether their sum is,
/// nobody can tell, so none is taken.
pub(crate) fn by_dimension(
    amounts: impl IntoIterator<Item = (String, u64)>,
) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for (dimension, amount) in amounts {
        match found.entry(dimension) {
            Entry::Vacant(place) => {
                place.insert(amount);
            }
            Entry::Occupied(place) => {
                let dimension = place.key();
                return Err(Error::usage(format!("`{dimension}` is given twice"))
                    .why(format!("{dimension}={} and {dimension}={amount}", place.get()))
                    .fix("give each dimension once"));
            }
        }
    }
    Ok(found)
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: BudgetCommand,
) -> Result<ExitCode> {
    let purpose = match command {
        BudgetCommand::Create(_) => Purpose::Submit,
        _ => Purpose::Inspect,
    };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let engine_ref = engine.as_ref();
    let answer = match command {
        BudgetCommand::Create(args) => create(engine_ref, output, args).await,
        BudgetCommand::List => list(engine_ref, output).await,
        BudgetCommand::Get(args) => get(engine_ref, output, &args.budgets).await,
        BudgetCommand::Topup(args) => topup(engine_ref, output, args).await,
        BudgetCommand::Limit(args) => limit(engine_ref, output, args).await,
        BudgetCommand::Reset(args) => reset(engine_ref, output, &args.budgets).await,
        BudgetCommand::Spend(args) => spend(engine_ref, output, args).await,
        BudgetCommand::Release(args) => release(engine_ref, output, args).await,
    };
    drop(engine);
    store.close().await;
    answer
}

/// The id that a name has in every store: two creates of one name are one budget.
fn id_of(scope: &str, name: &str) -> BudgetId {
    let digest = Sha256::new()
        .chain_update(b"ff budget\0")
        .chain_update(scope.as_bytes())
        .chain_update(b"\0")
        .chain_update(name.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    BudgetId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

async fn create(engine: &dyn EngineBackend, output: Output, args: CreateArgs) -> Result<ExitCode> {
    if args.name.is_empty() {
        return Err(Error::usage("the budget has no name").fix("give a name, for example team-a"));
    }
    let mut limits: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (dimension, amount) in by_dimension(args.limit)? {
        limits.entry(dimension).or_default().0 = amount;
    }
    for (dimension, amount) in by_dimension(args.soft)? {
        limits.entry(dimension).or_default().1 = amount;
    }
    let budget_id = id_of(&args.scope, &args.name);
    let reset_interval_ms = args.reset.map_or(0, millis);
    let created = engine
        .create_budget(CreateBudgetArgs {
            budget_id: budget_id.clone(),
            scope_type: args.scope,
            scope_id: args.name.clone(),
            enforcement_mode: ENFORCEMENT.to_owned(),
            on_hard_limit: args.on_hard.word().to_owned(),
            on_soft_limit: ON_SOFT.to_owned(),
            reset_interval_ms,
            dimensions: limits.keys().cloned().collect(),
            hard_limits: limits.values().map(|(hard, _)| *hard).collect(),
            soft_limits: limits.values().map(|(_, soft)| *soft).collect(),
            now: engine_now(engine).await?,
        })
        .await
        .map_err(|error| Error::engine("create the budget", &error))?;
    let is_new = matches!(created, CreateBudgetResult::Created { .. });
    if !is_new {
        let found = find(engine, &budget_id).await?;
        let same = found.on_hard_limit == args.on_hard.word()
            && found.reset_interval_ms == reset_interval_ms
            && found.dimensions.iter().all(|dimension| {
                limits.get(&dimension.dimension).copied().unwrap_or_default()
                    == (dimension.hard_limit, dimension.soft_limit)
            });
        if !same {
            return Err(Error::new(
                Exit::Conflict,
                "exists",
                format!("there is a budget `{}` already, with other limits", args.name),
            )
            .fix("`ff budget limit` and `ff budget topup` change limits"));
        }
    }
    match output.format {
        Format::Json => output.json(&json!({
            "id": id::show_budget(&budget_id), "budget_id": budget_id, "name": args.name,
            "created": is_new,
        }))?,
        Format::Table | Format::Id => output.line(&id::show_budget(&budget_id))?,
    }
    if !is_new && output.format == Format::Table {
        eprintln!("it was there before");
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(engine: &dyn EngineBackend, id: &BudgetId) -> Result<BudgetOverview> {
    id::find_budget(engine, &id::show_budget(id)).await
}

async fn list(engine: &dyn EngineBackend, output: Output) -> Result<ExitCode> {
    let mut budgets = id::budgets(engine).await?;
    budgets.sort_by(|a, b| (&a.scope_type, &a.scope_id).cmp(&(&b.scope_type, &b.scope_id)));
    match output.format {
        Format::Json => {
            let rows: Vec<_> = budgets.iter().map(budget_json).collect();
            output.json(&json!({"budgets": rows}))?;
        }
        Format::Id => {
            budgets
                .iter()
                .try_for_each(|budget| output.line(&id::show_budget(&budget.budget_id)))?;
        }
        Format::Table => {
            let now = time::epoch_ms();
            let mut rows = Vec::new();
            for budget in &budgets {
                let mut name = budget.scope_id.clone();
                let resets = budget
                    .next_reset_at
                    .map_or_else(|| "-".to_owned(), |at| time::relative(at.0, now));
                for dimension in &budget.dimensions {
                    rows.push(vec![
                        cell(std::mem::take(&mut name)),
                        cell(&dimension.dimension),
                        output.judged(dimension.usage.to_string(), !dimension.is_exhausted()),
                        cell(shown_limit(dimension.hard_limit)),
                        cell(share(dimension.usage, dimension.hard_limit)),
                        cell(shown_limit(dimension.soft_limit)),
                        cell(dimension.overage.to_string()),
                        cell(budget.waiting.to_string()),
                        cell(&resets),
                    ]);
                }
                if budget.dimensions.is_empty() {
                    let mut row = vec![cell(name), cell("-")];
                    row.resize(7, cell("-"));
                    row.extend([cell(budget.waiting.to_string()), cell(resets)]);
                    rows.push(row);
                }
            }
            output.table(
                &["NAME", "DIMENSION", "SPENT", "LIMIT", "", "SOFT", "BEYOND", "WAITING", "RESETS"],
                rows,
                "no budgets yet: `ff budget create NAME --limit tokens=1000` makes one",
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A limit of a table; none is stored as 0.
fn shown_limit(limit: u64) -> String {
    if limit == 0 { "-".to_owned() } else { limit.to_string() }
}

/// How much of a limit is used, in ten places: `███▌······ 35%`.
fn share(usage: u64, limit: u64) -> String {
    if limit == 0 {
        return String::new();
    }
    let percent = u128::from(usage) * 100 / u128::from(limit);
    let twentieths = usize::try_from((percent / 5).min(20)).unwrap_or(20);
    let half = if twentieths % 2 == 1 { "▌" } else { "" };
    let bar = format!("{}{half}", "█".repeat(twentieths / 2));
    format!("{bar:·<10} {percent}%")
}

fn budget_json(budget: &BudgetOverview) -> Value {
    let mut value = json!(budget);
    value["id"] = json!(id::show_budget(&budget.budget_id));
    value["name"] = json!(budget.scope_id);
    value
}

async fn get(engine: &dyn EngineBackend, output: Output, names: &[String]) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let budget = id::find_budget(engine, name).await?;
        let mut overages = Vec::new();
        loop {
            let after =
                overages.last().map(|last: &ff_core::contracts::BudgetOverage| last.sequence);
            let page = engine
                .list_budget_overages(&budget.budget_id, after, BUDGET_PAGE_MAX)
                .await
                .map_err(|error| Error::engine("read the overages", &error))?;
            let full = page.len() == usize::try_from(BUDGET_PAGE_MAX).unwrap_or(usize::MAX);
            overages.extend(page);
            if !full {
                break;
            }
        }
        match output.format {
            Format::Json => {
                let mut value = budget_json(&budget);
                value["overages"] = json!(overages);
                documents.push(value);
            }
            Format::Id => output.line(&id::show_budget(&budget.budget_id))?,
            Format::Table => {
                if place > 0 {
                    output.line("")?;
                }
                show(output, &budget, &overages)?;
            }
        }
    }
    if output.is_json() {
        output.json(&one_or_list(documents))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    output: Output,
    budget: &BudgetOverview,
    overages: &[ff_core::contracts::BudgetOverage],
) -> Result<()> {
    let now = time::epoch_ms();
    let mut pairs = vec![
        ("name", cell(&budget.scope_id)),
        ("id", cell(id::show_budget(&budget.budget_id))),
        ("scope", cell(&budget.scope_type)),
        ("on a hard breach", cell(&budget.on_hard_limit)),
        ("waiting for room", cell(budget.waiting.to_string())),
        ("hard breaches", cell(budget.breach_count.to_string())),
        ("soft breaches", cell(budget.soft_breach_count.to_string())),
    ];
    if let (Some(at), Some(dimension)) = (budget.last_breach_at, &budget.last_breach_dim) {
        pairs.push(("last breach", cell(format!("{dimension}, {}", time::relative(at.0, now)))));
    }
    if budget.reset_interval_ms > 0 {
        let next = budget.next_reset_at.map(|at| time::relative(at.0, now));
        let every = duration::exact(budget.reset_interval_ms);
        pairs.push(("resets", cell(format!("every {every}, next {}", next.unwrap_or_default()))));
    }
    output.pairs(pairs)?;
    let rows = budget
        .dimensions
        .iter()
        .map(|dimension| {
            vec![
                cell(&dimension.dimension),
                output.judged(dimension.usage.to_string(), !dimension.is_exhausted()),
                cell(shown_limit(dimension.hard_limit)),
                cell(share(dimension.usage, dimension.hard_limit)),
                cell(shown_limit(dimension.soft_limit)),
                cell(dimension.overage.to_string()),
            ]
        })
        .collect();
    output.line("")?;
    output.table(&["DIMENSION", "SPENT", "LIMIT", "", "SOFT", "BEYOND"], rows, "no dimensions")?;
    if !overages.is_empty() {
        let rows = overages
            .iter()
            .map(|overage| {
                let who = overage.execution_id.as_ref().map_or_else(|| "-".to_owned(), id::show);
                vec![
                    cell(time::relative(overage.recorded_at.0, now)),
                    cell(&overage.dimension),
                    cell(overage.amount.to_string()),
                    cell(format!("{} of {}", overage.usage, overage.hard_limit)),
                    cell(who),
                ]
            })
            .collect();
        output.line("")?;
        output.table(&["BEYOND", "DIMENSION", "AMOUNT", "SPENT THEN", "BY"], rows, "")?;
    }
    Ok(())
}

/// Which dimensions a change is for.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Those that the budget has.
    Only,
    /// New ones too.
    OrNew,
}

/// Refuses a dimension that the budget does not have: raising a limit that is not there would make a new
/// dimension, most likely of a word that is mistyped.
fn refuse_unknown(budget: &BudgetOverview, amounts: &BTreeMap<String, u64>) -> Result<()> {
    let known: Vec<_> = budget.dimensions.iter().map(|known| known.dimension.as_str()).collect();
    match amounts.keys().find(|dimension| !known.contains(&dimension.as_str())) {
        None => Ok(()),
        Some(dimension) => Err(Error::new(
            Exit::NotFound,
            "not_found",
            format!("the budget `{}` has no dimension `{dimension}`", budget.scope_id),
        )
        .why(format!("it has {}", known.join(", ")))
        .fix("`ff budget limit` gives a budget a new dimension")),
    }
}

async fn change(
    engine: &dyn EngineBackend,
    output: Output,
    args: AmountsArgs,
    known: Known,
    change_of: impl Fn(u64) -> (LimitChange, LimitChange),
) -> Result<ExitCode> {
    let amounts = by_dimension(args.amounts)?;
    let budget_id = id::resolve_budget(engine, &args.budget).await?;
    if let Known::Only = known {
        refuse_unknown(&find(engine, &budget_id).await?, &amounts)?;
    }
    let mut changed = Vec::new();
    for (dimension, amount) in amounts {
        let (hard, soft) = change_of(amount);
        let after = engine
            .set_budget_limits(SetBudgetLimitsArgs::new(budget_id.clone(), dimension, hard, soft))
            .await
            .map_err(|error| Error::engine("change the limit", &error))?;
        if output.format == Format::Table {
            let limit = |limit: u64| match limit {
                0 => ", without a hard limit".to_owned(),
                limit => format!(" of {limit}"),
            };
            output.line(&format!(
                "{} {}: {} spent{}{}",
                args.budget,
                after.dimension,
                after.usage,
                limit(after.hard_limit),
                match after.soft_limit {
                    0 => String::new(),
                    soft => format!(", soft limit {soft}"),
                }
            ))?;
        }
        changed.push(after);
    }
    match output.format {
        Format::Json => output.json(&json!({
            "id": id::show_budget(&budget_id), "dimensions": changed,
        }))?,
        Format::Id => output.line(&id::show_budget(&budget_id))?,
        Format::Table => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn topup(engine: &dyn EngineBackend, output: Output, args: AmountsArgs) -> Result<ExitCode> {
    let raise = |amount| (LimitChange::Raise(amount), LimitChange::Keep);
    change(engine, output, args, Known::Only, raise).await
}

async fn limit(engine: &dyn EngineBackend, output: Output, args: LimitArgs) -> Result<ExitCode> {
    change(engine, output, args.amounts, Known::OrNew, |amount| {
        if args.soft {
            (LimitChange::Keep, LimitChange::Set(amount))
        } else {
            (LimitChange::Set(amount), LimitChange::Keep)
        }
    })
    .await
}

async fn reset(engine: &dyn EngineBackend, output: Output, names: &[String]) -> Result<ExitCode> {
    let mut answers = Vec::new();
    for name in names {
        let budget_id = id::resolve_budget(engine, name).await?;
        let now = engine_now(engine).await?;
        let ResetBudgetResult::Reset { next_reset_at } = engine
            .reset_budget(ResetBudgetArgs { budget_id: budget_id.clone(), now })
            .await
            .map_err(|error| Error::engine(&format!("reset `{name}`"), &error))?;
        match output.format {
            Format::Json => answers.push(json!({
                "id": id::show_budget(&budget_id), "next_reset_at": next_reset_at,
            })),
            Format::Id => output.line(&id::show_budget(&budget_id))?,
            Format::Table => output.line(&format!("{name} begins again at zero"))?,
        }
    }
    if output.is_json() {
        output.json(&json!({"reset": answers}))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn spend(engine: &dyn EngineBackend, output: Output, args: SpendArgs) -> Result<ExitCode> {
    let amounts = by_dimension(args.amounts.amounts)?;
    let budget_id = id::resolve_budget(engine, &args.amounts.budget).await?;
    let by = if args.execution.is_some() { Spender::Execution } else { Spender::Nobody };
    let answer = match &args.execution {
        Some(execution) => {
            let execution = id::resolve(engine, execution).await?;
            let key = args.key.unwrap_or_default();
            engine.record_spend(RecordSpendArgs::new(budget_id, execution, amounts, key)).await
        }
        None => {
            let (dimensions, deltas) = amounts.into_iter().unzip();
            let now = engine_now(engine).await?;
            let mut report = ReportUsageAdminArgs::new(dimensions, deltas, now);
            report.dedup_key = args.key;
            engine.report_usage_admin(&budget_id, report).await
        }
    };
    let answer = answer.map_err(|error| Error::engine("report the spending", &error))?;
    told_spent(output, &answer, by)
}

/// What a report did, under the same keys whatever it was.
fn spent_json(answer: &ReportUsageResult) -> Value {
    let (outcome, found) = match answer {
        ReportUsageResult::AlreadyApplied => ("already_applied", None),
        ReportUsageResult::SoftBreach { dimension, current_usage, soft_limit } => {
            ("soft_breach", Some((dimension, current_usage, soft_limit)))
        }
        ReportUsageResult::HardBreach { dimension, current_usage, hard_limit } => {
            ("hard_breach", Some((dimension, current_usage, hard_limit)))
        }
        _ => ("ok", None),
    };
    json!({
        "outcome": outcome,
        "dimension": found.map(|(dimension, ..)| dimension),
        "usage": found.map(|(_, usage, _)| usage),
        "limit": found.map(|(.., limit)| limit),
    })
}

/// What `--json` answers, in the help of both commands that spend.
pub(crate) const SPENT_HELP: &str = "\
Exit codes beside the usual ones: 7 spent, above a soft limit · 8 not spent, a hard limit is reached

--json answers {\"outcome\", \"dimension\", \"usage\", \"limit\", \"exit_code\"}; the outcome is ok, already_applied,
soft_breach or hard_breach, and a breach names the dimension, what is spent of it and the limit it met.";

/// Who is said to have spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spender {
    /// The command that runs; its stdout is its result.
    Task,
    /// An execution that is named.
    Execution,
    /// Nobody: what goes beyond a hard limit has nobody to be kept for.
    Nobody,
}

/// Tells what a report of spending did; the exit code is part of the contract with scripts.
pub(crate) fn told_spent(
    output: Output,
    answer: &ReportUsageResult,
    by: Spender,
) -> Result<ExitCode> {
    let beyond = match by {
        Spender::Task | Spender::Execution => "the amount is kept as spent beyond the limit",
        Spender::Nobody => {
            "nothing is counted; --execution says whose it is, and keeps it as spent beyond the limit"
        }
    };
    let (exit, line) = match answer {
        ReportUsageResult::Ok => (None, "spent".to_owned()),
        ReportUsageResult::AlreadyApplied => (None, "it was counted before".to_owned()),
        ReportUsageResult::SoftBreach { dimension, current_usage, soft_limit } => (
            Some(Exit::SoftBreach),
            format!(
                "spent; {dimension} is at {current_usage}, above the soft limit of {soft_limit}"
            ),
        ),
        ReportUsageResult::HardBreach { dimension, current_usage, hard_limit } => (
            Some(Exit::HardBreach),
            format!(
                "not within the budget: {dimension} is at {current_usage} of {hard_limit}; {beyond}"
            ),
        ),
        other => {
            return Err(Error::new(Exit::Error, "engine", "cannot tell what was spent")
                .why(format!("the engine answered {other:?}")));
        }
    };
    match output.format {
        Format::Json => {
            let mut value = spent_json(answer);
            value["exit_code"] = json!(exit.map_or(0, Exit::code));
            output.json(&value)?;
        }
        Format::Table if exit.is_some() => eprintln!("{}", crate::output::escape(&line)),
        Format::Table if by != Spender::Task => output.line(&line)?,
        Format::Table | Format::Id => {}
    }
    Ok(exit.map_or(ExitCode::SUCCESS, |exit| ExitCode::from(exit.code())))
}

async fn release(
    engine: &dyn EngineBackend,
    output: Output,
    args: ReleaseArgs,
) -> Result<ExitCode> {
    let budget_id = id::resolve_budget(engine, &args.budget).await?;
    let execution = id::resolve(engine, &args.execution).await?;
    engine
        .release_budget(ReleaseBudgetArgs::new(budget_id.clone(), execution.clone()))
        .await
        .map_err(|error| Error::engine("give back what was charged", &error))?;
    match output.format {
        Format::Json => output.json(&json!({
            "id": id::show_budget(&budget_id), "execution_id": id::show(&execution),
        }))?,
        Format::Id => output.line(&id::show_budget(&budget_id))?,
        Format::Table => output.line(&format!(
            "what `ff budget spend` charged to {} is back in {}",
            id::show(&execution),
            args.budget
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_dimension_and_a_number_that_can_be_stored() {
        assert_eq!(parse_amount("tokens=120"), Ok(("tokens".to_owned(), 120)));
        for text in ["tokens", "=1", "tokens=", "tokens=-1", "tokens=1.5", "t=9223372036854775808"]
        {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_budget_in_every_store() {
        assert_eq!(id_of("name", "team"), id_of("name", "team"));
        assert_ne!(id_of("name", "team"), id_of("customer", "team"));
        assert_ne!(id_of("na", "meteam"), id_of("name", "team"));
    }

    #[test]
    fn a_share_is_a_bar_and_a_percentage() {
        assert_eq!(share(35, 100), "███▌······ 35%");
        assert_eq!(share(0, 100), "·········· 0%");
        assert_eq!(share(250, 100), "██████████ 250%");
        assert_eq!(share(5, 0), "");
        assert_eq!(share(u64::MAX, u64::MAX), "██████████ 100%");
    }
}
