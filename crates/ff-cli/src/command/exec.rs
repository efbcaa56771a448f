//! `ff exec`: executions, looked at and steered.

pub(crate) mod tail;
mod why;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ff_core::EngineError;
use ff_core::contracts::{
    AttemptInfo, CancelExecutionArgs, ChangePriorityArgs, ExecutionContext, ExecutionSummary,
    ReplayExecutionArgs, TransitionInfo,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::state::PublicState;
use ff_core::types::{CancelSource, ExecutionId, TimestampMs};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, Value, json};

use crate::command::submit::print_result;
use crate::confirm::{Noun, confirmed};
use crate::duration::{self, size};
use crate::error::{Error, Exit, Result};
use crate::filter::{ENDED, Filter, find_all, is_ended, next_page};
use crate::id;
use crate::output::{Format, Output, cell, escape, one_or_list, put_bytes, shorten};
use crate::store::{Location, Purpose, Store};
use crate::time;

/// How many executions are changed at a time: enough for the engine to write them in groups.
const CONCURRENT_CHANGES: usize = 64;

/// State changes read in one go.
const TRANSITIONS_PAGE: u32 = 500;

/// Characters of a reason in a list.
const REASON_SHOWN: usize = 60;

/// Characters of a payload in `get`.
const PAYLOAD_SHOWN: usize = 400;

/// Failures of a bulk command that are told one by one.
const FAILURES_SHOWN: usize = 10;

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum ExecCommand {
    /// List executions, the newest first.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show executions with every attempt.
    #[command(alias = "show")]
    Get(IdsArgs),
    /// Print results as they were written.
    Result(IdsArgs),
    /// Cancel executions that have not ended.
    Cancel(CancelArgs),
    /// Run ended executions again.
    Replay(ReplayArgs),
    /// Change the place of waiting executions in their lane.
    Priority(PriorityArgs),
    /// Show every state change of an execution.
    Events(IdsArgs),
    /// Print what an execution streams, live, until it ends.
    Tail(tail::TailArgs),
    /// Tell why executions are not running.
    Why(IdsArgs),
}

/// Lists executions.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// How many to list.
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
    /// List all of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// The oldest first.
    #[arg(long)]
    oldest: bool,
    /// Go on after a page: the `next_cursor` that came with it.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Names executions.
#[derive(Debug, Args)]
pub(crate) struct IdsArgs {
    /// Ids, or the first digits of them where that is unique.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Names executions, or selects them.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Ids, or the first digits of them where that is unique.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Do not ask, however many there are.
    #[arg(long, short)]
    yes: bool,
}

/// Cancels executions.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    selection: Selection,
    /// Why; it is stored with the execution.
    #[arg(long, default_value = "cancelled by ff exec cancel")]
    reason: String,
}

/// Replays executions.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    selection: Selection,
}

/// Changes priorities.
#[derive(Debug, Args)]
#[command(override_usage = "ff exec priority [OPTIONS] <ID>... <PRIORITY>")]
pub(crate) struct PriorityArgs {
    /// Ids, and at the end the priority, 0 to 9000; higher ones go first.
    #[arg(required = true, num_args = 2.., value_name = "ID|PRIORITY")]
    ids_and_priority: Vec<String>,
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: ExecCommand,
) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let engine = store.engine();
    let engine_ref = engine.as_ref();
    let answer = match command {
        ExecCommand::List(args) => list(engine_ref, output, args).await,
        ExecCommand::Get(args) => get(engine_ref, output, &args.ids).await,
        ExecCommand::Result(args) => result(engine_ref, output, &args.ids).await,
        ExecCommand::Cancel(args) => cancel(engine_ref, output, args).await,
        ExecCommand::Replay(args) => replay(engine_ref, output, args).await,
        ExecCommand::Priority(args) => priority(engine_ref, output, args).await,
        ExecCommand::Events(args) => events(engine_ref, output, &args.ids).await,
        ExecCommand::Tail(args) => {
            let file = store.file();
            tokio::select! {
                answer = tail::tail(engine_ref, output, args) => answer,
                gone = file.moved() => Err(gone),
            }
        }
        ExecCommand::Why(args) => why::why(engine_ref, output, &args.ids).await,
    };
    drop(engine);
    store.close().await;
    answer
}

// ---- Reads ----

async fn list(engine: &dyn EngineBackend, output: Output, args: ListArgs) -> Result<ExitCode> {
    let wanted = if args.all { usize::MAX } else { args.limit };
    let mut search = args.filter.search(engine).await?;
    search.newest_first = !args.oldest;
    search.cursor = args.cursor;
    let mut found = Vec::new();
    let mut next_cursor = None;
    while found.len() < wanted {
        // A page that fits exactly keeps the cursor at the place where the next list goes on.
        search.limit = u32::try_from(wanted - found.len()).unwrap_or(u32::MAX).min(1_000);
        let (page, more) = next_page(engine, &mut search).await?;
        found.extend(page);
        next_cursor = if more { search.cursor.clone() } else { None };
        if !more {
            break;
        }
    }
    match output.format {
        Format::Json => {
            let rows: Vec<_> = found.iter().map(summary_json).collect::<Result<_>>()?;
            output.json(&json!({"executions": rows, "next_cursor": next_cursor}))?;
        }
        Format::Id => {
            let ids: Vec<_> = found.iter().map(|row| id::show(&row.execution_id)).collect();
            if !ids.is_empty() {
                output.line(&ids.join("\n"))?;
            }
        }
        Format::Table => {
            let now = time::epoch_ms();
            let rows = found
                .iter()
                .map(|row| {
                    let reason = shorten(row.reason.as_deref().unwrap_or(""), REASON_SHOWN);
                    vec![
                        cell(id::show(&row.execution_id)),
                        output.state(row.public_state),
                        cell(&row.execution_kind),
                        cell(row.lane_id.as_str()),
                        cell(row.attempt_count.to_string()),
                        cell(time::relative(row.created_at.0, now)),
                        cell(reason),
                    ]
                })
                .collect();
            let empty = if args.filter.is_empty() {
                "no executions yet: `ff submit KIND` makes one"
            } else {
                "no execution fits"
            };
            output.table(
                &["ID", "STATE", "KIND", "LANE", "ATTEMPTS", "CREATED", "REASON"],
                rows,
                empty,
            )?;
            if let Some(cursor) = next_cursor {
                eprintln!("there are more: --cursor {} goes on, --all lists them", escape(&cursor));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The engine's own fields, and the id as people type it.
fn summary_json(summary: &ExecutionSummary) -> Result<Value> {
    let mut value = serde_json::to_value(summary).map_err(|error| {
        Error::new(Exit::Error, "json", "cannot write an execution as JSON")
            .why(error.to_string())
            .about(&summary.execution_id)
    })?;
    if let Value::Object(object) = &mut value {
        object.insert("id".to_owned(), json!(id::show(&summary.execution_id)));
    }
    Ok(value)
}

async fn summary(engine: &dyn EngineBackend, id: &ExecutionId) -> Result<ExecutionSummary> {
    engine
        .describe_summary(id)
        .await
        .map_err(|error| Error::engine("read the execution", &error).about(id))?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: &ExecutionId) -> Error {
    Error::engine(&format!("find {}", id::show(id)), &EngineError::NotFound { entity: "execution" })
        .about(id)
}

async fn get(engine: &dyn EngineBackend, output: Output, ids: &[String]) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for (place, text) in ids.iter().enumerate() {
        let id = id::resolve(engine, text).await?;
        let summary = summary(engine, &id).await?;
        let context = engine
            .read_execution_context(&id)
            .await
            .map_err(|error| Error::engine("read the payload", &error).about(&id))?;
        let attempts = engine
            .list_attempts(&id)
            .await
            .map_err(|error| Error::engine("read the attempts", &error).about(&id))?;
        let result = match summary.public_state {
            PublicState::Completed => engine
                .get_execution_result(&id)
                .await
                .map_err(|error| Error::engine("read the result", &error).about(&id))?,
            _ => None,
        };
        match output.format {
            Format::Json => {
                let mut document = summary_json(&summary)?;
                if let Value::Object(object) = &mut document {
                    put_bytes(object, "payload", &context.input_payload);
                    if let Some(result) = &result {
                        put_bytes(object, "result", result);
                    }
                    object.insert("attempts".to_owned(), json!(attempts));
                }
                documents.push(document);
            }
            Format::Id => output.line(&id::show(&id))?,
            Format::Table => {
                if place > 0 {
                    output.line("")?;
                }
                show(output, &summary, &context, result.as_deref(), &attempts)?;
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
    summary: &ExecutionSummary,
    context: &ExecutionContext,
    result: Option<&[u8]>,
    attempts: &[AttemptInfo],
) -> Result<()> {
    let now = time::epoch_ms();
    let moment =
        |at: TimestampMs| format!("{} ({})", time::absolute(at.0), time::relative(at.0, now));
    let mut pairs = vec![
        ("id", cell(id::show(&summary.execution_id))),
        ("state", output.state(summary.public_state)),
        ("kind", cell(&summary.execution_kind)),
        ("lane", cell(summary.lane_id.as_str())),
        ("priority", cell(summary.priority.to_string())),
        ("created", cell(moment(summary.created_at))),
    ];
    for (name, at) in [
        ("started", summary.started_at),
        ("ended", summary.ended_at),
        ("due", summary.due_at),
        ("deadline", summary.deadline_at),
    ] {
        if let Some(at) = at {
            pairs.push((name, cell(moment(at))));
        }
    }
    pairs.push((
        "attempts",
        cell(format!(
            "{} (retries {}, reclaims {}, replays {})",
            summary.attempt_count, summary.retry_count, summary.reclaim_count, summary.replay_count
        )),
    ));
    if let Some(worker) = &summary.worker_instance_id {
        let lease = format!("{worker}, lease epoch {}", summary.lease_epoch);
        pairs.push(("worker", cell(lease)));
    }
    if summary.progress_pct.is_some() || summary.progress_message.is_some() {
        let percent = summary.progress_pct.map_or_else(String::new, |pct| format!("{pct}% "));
        let message = summary.progress_message.as_deref().unwrap_or("");
        pairs.push(("progress", cell(format!("{percent}{message}"))));
    }
    if !summary.tags.is_empty() {
        let tags: Vec<_> =
            summary.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.push(("tags", cell(tags.join(" "))));
    }
    if let Some(flow) = &summary.flow_id {
        pairs.push(("flow", cell(id::show_flow(flow))));
    }
    if !summary.budget_ids.is_empty() {
        let budgets: Vec<_> = summary.budget_ids.iter().map(id::show_budget).collect();
        pairs.push(("budgets", cell(budgets.join(" "))));
    }
    if let Some(reason) = &summary.reason {
        pairs.push(("reason", cell(reason)));
    }
    pairs.push(("payload", cell(preview(&context.input_payload))));
    if let Some(result) = result {
        pairs.push(("result", cell(preview(result))));
    }
    output.pairs(pairs)?;
    output.line("")?;
    let rows = attempts
        .iter()
        .map(|attempt| {
            let took = match (attempt.started_at, attempt.ended_at) {
                (Some(from), Some(to)) => {
                    duration::elapsed(u64::try_from(to.0 - from.0).unwrap_or(0))
                }
                _ => "-".to_owned(),
            };
            let worker = attempt.worker_instance_id.as_ref().map_or("-", |worker| worker.as_str());
            let mut reason = attempt.failure_reason.clone().unwrap_or_default();
            if let Some(category) = &attempt.failure_category
                && !reason.is_empty()
            {
                reason = format!("{category}: {reason}");
            }
            vec![
                cell(format!("{}", u64::from(attempt.attempt_index.0) + 1)),
                cell(attempt.attempt_type.as_str()),
                cell(attempt.lease_epoch.to_string()),
                cell(worker),
                cell(attempt.started_at.map_or_else(|| "-".to_owned(), |at| time::absolute(at.0))),
                cell(took),
                cell(attempt.outcome.as_deref().unwrap_or("open")),
                cell(reason),
            ]
        })
        .collect();
    output.table(
        &["ATTEMPT", "TYPE", "EPOCH", "WORKER", "STARTED", "TOOK", "OUTCOME", "REASON"],
        rows,
        "no attempt yet",
    )
}

/// The beginning of some bytes for a person.
fn preview(bytes: &[u8]) -> String {
    let length = size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    match std::str::from_utf8(bytes) {
        Ok("") => "empty".to_owned(),
        Ok(text) if text.chars().nth(PAYLOAD_SHOWN).is_none() => text.to_owned(),
        Ok(text) => format!("{} ({length})", shorten(text, PAYLOAD_SHOWN)),
        Err(_) => format!("{length} of binary data"),
    }
}

async fn result(engine: &dyn EngineBackend, output: Output, ids: &[String]) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for text in ids {
        let id = id::resolve(engine, text).await?;
        let summary = summary(engine, &id).await?;
        if summary.public_state != PublicState::Completed {
            let error = if is_ended(summary.public_state) {
                crate::command::submit::did_not_complete(&summary)
            } else {
                Error::new(
                    Exit::Conflict,
                    "not_ended",
                    format!("{} has no result yet", id::show(&id)),
                )
                .why(format!("it is {}", summary.public_state))
                .fix("`ff exec get` shows its state; `ff submit --wait` waits for a result")
                .about(&id)
            };
            return Err(error);
        }
        let result = engine
            .get_execution_result(&id)
            .await
            .map_err(|error| Error::engine("read the result", &error).about(&id))?;
        if output.is_json() {
            let mut object = Map::new();
            object.insert("id".to_owned(), json!(id::show(&id)));
            object.insert("execution_id".to_owned(), json!(id));
            if let Some(result) = &result {
                put_bytes(&mut object, "result", result);
            }
            documents.push(Value::Object(object));
        } else {
            print_result(output, result.as_deref())?;
        }
    }
    if output.is_json() {
        output.json(&one_or_list(documents))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn events(engine: &dyn EngineBackend, output: Output, ids: &[String]) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for text in ids {
        let id = id::resolve(engine, text).await?;
        let transitions = transitions(engine, &id).await?;
        if transitions.is_empty() {
            // Only an execution that is not there has no history.
            summary(engine, &id).await?;
        }
        match output.format {
            Format::Json => documents.push(json!({
                "id": id::show(&id),
                "execution_id": id,
                "events": transitions,
            })),
            Format::Id | Format::Table => {
                if ids.len() > 1 {
                    output.line(&id::show(&id))?;
                }
                show_events(output, &transitions)?;
            }
        }
    }
    if output.is_json() {
        output.json(&one_or_list(documents))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every state change, in order.
pub(crate) async fn transitions(
    engine: &dyn EngineBackend,
    id: &ExecutionId,
) -> Result<Vec<TransitionInfo>> {
    let mut all: Vec<TransitionInfo> = Vec::new();
    loop {
        let after = all.last().map(|last| last.version);
        let page = engine
            .list_transitions(id, after, TRANSITIONS_PAGE)
            .await
            .map_err(|error| Error::engine("read the events", &error).about(id))?;
        let full = u32::try_from(page.len()).is_ok_and(|len| len >= TRANSITIONS_PAGE);
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

fn show_events(output: Output, transitions: &[TransitionInfo]) -> Result<()> {
    let rows = transitions
        .iter()
        .map(|change| {
            vec![
                cell(change.version.to_string()),
                cell(time::absolute(change.at.0)),
                change.from_state.map_or_else(|| cell("-"), |state| output.state(state)),
                output.state(change.to_state),
                cell(change.lease_epoch.to_string()),
                cell(&change.cause),
            ]
        })
        .collect();
    output.table(&["VERSION", "TIME", "FROM", "TO", "EPOCH", "CAUSE"], rows, "no state change")
}

// ---- Changes ----

/// Finds what is selected: the ids given, or what the filter fits.
///
/// A filter that names no state means the states in which the command can succeed.
async fn selected(
    engine: &dyn EngineBackend,
    selection: &Selection,
    states: &[PublicState],
) -> Result<Vec<ExecutionId>> {
    match (selection.ids.is_empty(), selection.filter.is_empty()) {
        (true, true) => Err(Error::usage("nothing is selected")
            .fix("give ids, or a filter: --state, --lane, --kind, --tag")),
        (false, false) => {
            Err(Error::usage("ids and a filter are given").fix("give ids or a filter, not both"))
        }
        (false, true) => {
            let mut ids = Vec::with_capacity(selection.ids.len());
            for text in &selection.ids {
                let id = id::resolve(engine, text).await?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Ok(ids)
        }
        (true, false) => {
            let mut search = selection.filter.search(engine).await?;
            if search.states.is_empty() {
                search.states = states.to_vec();
            }
            let found = find_all(engine, search).await?;
            Ok(found.into_iter().map(|summary| summary.execution_id).collect())
        }
    }
}

/// What became of one execution.
type Changed = (ExecutionId, Result<PublicState, EngineError>);

/// Tells what became of each; the first failure decides the exit code.
fn tell(output: Output, verb: &str, done: &str, changes: Vec<Changed>) -> Result<ExitCode> {
    let (good, bad): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, result)| result.is_ok());
    let failures: Vec<_> = bad
        .iter()
        .filter_map(|(id, result)| result.as_ref().err().map(|error| (id, error)))
        .map(|(id, error)| Error::engine(&format!("{verb} {}", id::show(id)), error).about(id))
        .collect();
    match output.format {
        Format::Json => {
            let ids: Vec<_> = good.iter().map(|(id, _)| id::show(id)).collect();
            let failed: Vec<_> = failures
                .iter()
                .map(|error| {
                    json!({
                        "id": error.execution_id,
                        "code": error.code,
                        "detail": error.why,
                    })
                })
                .collect();
            output.json(&json!({
                "count": ids.len(),
                "ids": ids,
                "failed": failed,
            }))?;
        }
        Format::Id => {
            for (id, _) in &good {
                output.line(&id::show(id))?;
            }
        }
        Format::Table => {
            if let [(id, Ok(state))] = good.as_slice()
                && failures.is_empty()
            {
                output.line(&format!("{done} {}: {state}", id::show(id)))?;
            } else if !good.is_empty() || failures.is_empty() {
                output.line(&format!("{done} {} executions", good.len()))?;
            }
        }
    }
    let count = failures.len();
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(ExitCode::SUCCESS) };
    if count == 1 {
        return Err(first);
    }
    if !output.is_json() {
        for error in std::iter::once(first.clone()).chain(failures).take(FAILURES_SHOWN) {
            eprint!("{}", error.human(false));
        }
        if count > FAILURES_SHOWN {
            eprintln!("and {} more; --json lists them all", count - FAILURES_SHOWN);
        }
    }
    Err(Error::new(first.exit, first.code, format!("cannot {verb} {count} executions"))
        .why(format!("the first: {}", first.why.unwrap_or_default()))
        .fix("run the command again without them, or look at them with `ff exec get`"))
}

async fn cancel(engine: &dyn EngineBackend, output: Output, args: CancelArgs) -> Result<ExitCode> {
    let open: Vec<_> = PublicState::ALL.iter().copied().filter(|state| !is_ended(*state)).collect();
    let ids = selected(engine, &args.selection, &open).await?;
    confirmed(output, "cancel", Noun::Executions, ids.len(), args.selection.yes)?;
    let reason = args.reason.as_str();
    let changes = stream::iter(ids)
        .map(|id| async move {
            let call = CancelExecutionArgs {
                execution_id: id.clone(),
                reason: reason.to_owned(),
                source: CancelSource::OperatorOverride,
                lease_id: None,
                lease_epoch: None,
                attempt_id: None,
                now: TimestampMs(time::epoch_ms()),
            };
            let answer = engine.cancel_execution(call).await;
            (id, answer.map(|_| PublicState::Cancelled))
        })
        .buffer_unordered(CONCURRENT_CHANGES)
        .collect()
        .await;
    tell(output, "cancel", "cancelled", changes)
}

async fn replay(engine: &dyn EngineBackend, output: Output, args: ReplayArgs) -> Result<ExitCode> {
    // Without a state, what went well stays as it is.
    let unsuccessful: Vec<_> =
        ENDED.into_iter().filter(|state| *state != PublicState::Completed).collect();
    let ids = selected(engine, &args.selection, &unsuccessful).await?;
    confirmed(output, "replay", Noun::Executions, ids.len(), args.selection.yes)?;
    let changes = stream::iter(ids)
        .map(|id| async move {
            let call = ReplayExecutionArgs {
                execution_id: id.clone(),
                now: TimestampMs(time::epoch_ms()),
            };
            let answer = engine.replay_execution(call).await;
            let state = answer.map(
                |ff_core::contracts::ReplayExecutionResult::Replayed { public_state }| public_state,
            );
            (id, state)
        })
        .buffer_unordered(CONCURRENT_CHANGES)
        .collect()
        .await;
    tell(output, "replay", "replayed", changes)
}

async fn priority(
    engine: &dyn EngineBackend,
    output: Output,
    args: PriorityArgs,
) -> Result<ExitCode> {
    let Some((last, ids)) = args.ids_and_priority.split_last() else {
        return Err(Error::usage("ids and a priority are missing"));
    };
    let Ok(new_priority @ 0..=9_000) = last.parse::<i32>() else {
        return Err(Error::usage(format!("`{last}` is not a priority"))
            .why("the last argument is the new priority, a number from 0 to 9000")
            .fix("write `ff exec priority ID 500`"));
    };
    let mut changes: Vec<Changed> = Vec::new();
    for text in ids {
        let id = id::resolve(engine, text).await?;
        let found = summary(engine, &id).await?;
        let call = ChangePriorityArgs {
            execution_id: id.clone(),
            new_priority,
            lane_id: found.lane_id,
            now: TimestampMs(time::epoch_ms()),
        };
        let answer = engine.change_priority(call).await;
        changes.push((id, answer.map(|_| found.public_state)));
    }
    tell(output, "change the priority of", "moved", changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_text_and_counts_bytes() {
        assert_eq!(preview(b""), "empty");
        assert_eq!(preview(b"{}"), "{}");
        assert_eq!(preview(&[0xff, 0xfe]), "2 B of binary data");
        let long = "x".repeat(PAYLOAD_SHOWN + 1);
        assert!(preview(long.as_bytes()).ends_with("… (401 B)"));
    }
}
