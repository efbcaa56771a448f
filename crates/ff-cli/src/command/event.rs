//! `ff event`: what operators changed, listed and followed.

use std::collections::VecDeque;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ff_core::EngineError;
use ff_core::backend::ScannerFilter;
use ff_core::engine_backend::EngineBackend;
use ff_core::engine_error::ValidationKind;
use ff_core::stream_events::{OperatorChange, OperatorEvent, OperatorEventPage};
use ff_core::stream_subscribe::{StreamCursor, decode_event_cursor, encode_event_cursor};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::error::{Error, Exit, Result, Retry};
use crate::id;
use crate::output::{Format, Output, cell, escape};
use crate::store::{Location, Purpose, Store};
use crate::time;

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum EventCommand {
    /// List the newest changes that operators made, in their order.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Print every change from now on, live, until Ctrl-C.
    #[command(alias = "follow")]
    Watch(WatchArgs),
}

/// Lists changes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// How many to list.
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
    /// List all of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Not the newest, but those that come after this event.
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    after: Option<StreamCursor>,
}

/// Follows changes.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Go on after this event, and miss nothing in between.
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    after: Option<StreamCursor>,
}

fn parse_event(text: &str) -> Result<StreamCursor, String> {
    match text.parse() {
        Ok(number @ 0..) => Ok(encode_event_cursor(number)),
        _ => Err("give the number of an event, 0 for the one before the first".to_owned()),
    }
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: EventCommand,
) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let engine = store.engine();
    let answer = match command {
        EventCommand::List(args) => list(engine.as_ref(), output, args).await,
        EventCommand::Watch(args) => {
            let file = store.file();
            tokio::select! {
                answer = watch(engine.as_ref(), output, args) => answer,
                gone = file.moved() => Err(gone),
            }
        }
    };
    drop(engine);
    store.close().await;
    answer
}

// ---- List ----

async fn list(engine: &dyn EngineBackend, output: Output, args: ListArgs) -> Result<ExitCode> {
    let wanted = if args.all { usize::MAX } else { args.limit };
    let (events, next, more) = match args.after {
        Some(after) => first(engine, after, wanted).await?,
        None => last(engine, wanted).await?,
    };
    match output.format {
        Format::Json => {
            let rows = events.iter().map(event_json).collect::<Result<Vec<_>>>()?;
            output.json(&json!({"events": rows, "next_after": number(&next)?}))?;
        }
        Format::Id => {
            for event in &events {
                output.line(&number(&event.cursor)?.to_string())?;
            }
        }
        Format::Table => {
            let mut rows = Vec::with_capacity(events.len());
            for event in &events {
                let told = tell(&event.change);
                rows.push(vec![
                    cell(number(&event.cursor)?.to_string()),
                    cell(time::absolute(event.at.0)),
                    cell(told.kind),
                    cell(told.about),
                    cell(told.detail),
                ]);
            }
            let headers = ["EVENT", "TIME", "CHANGE", "OF", "DETAIL"];
            output.table(&headers, rows, "no operator changed anything that is still told")?;
            if more && !output.quiet {
                eprintln!("there are more: --after {} goes on, --all lists them", number(&next)?);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first `wanted` changes after an event, where to go on, and whether there are more.
async fn first(
    engine: &dyn EngineBackend,
    mut after: StreamCursor,
    wanted: usize,
) -> Result<(VecDeque<OperatorEvent>, StreamCursor, bool)> {
    let mut found = VecDeque::new();
    loop {
        let left = wanted - found.len();
        // One beyond the last one tells whether there are more.
        let limit = u32::try_from(left.saturating_add(1)).unwrap_or(u32::MAX);
        let page = read(engine, Some(after.clone()), limit).await?;
        if page.events.len() > left {
            found.extend(page.events.into_iter().take(left));
            let next = found.back().map_or(after, |last| last.cursor.clone());
            return Ok((found, next, true));
        }
        let is_over = page.events.is_empty();
        found.extend(page.events);
        after = page.next;
        if is_over {
            return Ok((found, after, false));
        }
    }
}

/// The last `wanted` changes that are kept, and where to go on.
async fn last(
    engine: &dyn EngineBackend,
    wanted: usize,
) -> Result<(VecDeque<OperatorEvent>, StreamCursor, bool)> {
    let mut found = VecDeque::new();
    let mut after = None;
    loop {
        let page = read(engine, after, u32::MAX).await?;
        if page.events.is_empty() {
            return Ok((found, page.next, false));
        }
        found.extend(page.events);
        found.drain(..found.len().saturating_sub(wanted));
        after = Some(page.next);
    }
}

async fn read(
    engine: &dyn EngineBackend,
    after: Option<StreamCursor>,
    limit: u32,
) -> Result<OperatorEventPage> {
    engine
        .list_operator_events(after, &ScannerFilter::NOOP, limit)
        .await
        .map_err(|error| refused("list the events", &error))
}

// ---- Watch ----

/// Says on stderr how to go on when a signal ends the command.
struct Reminder {
    place: StreamCursor,
    armed: bool,
}

impl Drop for Reminder {
    fn drop(&mut self) {
        if let Ok(place) = number(&self.place)
            && self.armed
        {
            eprintln!("`ff event watch --after {place}` goes on where this ends");
        }
    }
}

async fn watch(engine: &dyn EngineBackend, output: Output, args: WatchArgs) -> Result<ExitCode> {
    // From now on, the place is known before the first change comes.
    let from = args.after.unwrap_or(StreamCursor::empty());
    let mut reminder = Reminder {
        place: read(engine, Some(from), 0).await?.next,
        armed: output.format == Format::Table && !output.quiet,
    };
    let mut retry = Retry::default();
    loop {
        let place = reminder.place.clone();
        let error = match engine.subscribe_operator_events(place, &ScannerFilter::NOOP).await {
            Err(error) => error,
            Ok(mut events) => loop {
                match events.next().await {
                    Some(Ok(event)) => {
                        retry = Retry::default();
                        if !show(output, &event)? {
                            reminder.armed = false;
                            return Ok(ExitCode::SUCCESS);
                        }
                        reminder.place = event.cursor;
                    }
                    Some(Err(error)) => break error,
                    None => {
                        return Err(Error::new(Exit::Error, "bug", "the events have ended")
                            .fix("report it: they go on as long as the store"));
                    }
                }
            },
        };
        match retry.after(&error) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(refused("follow the events", &error)),
        }
    }
}

/// Prints one change, and answers whether someone still reads.
fn show(output: Output, event: &OperatorEvent) -> Result<bool> {
    let number = number(&event.cursor)?;
    let line = match output.format {
        Format::Json => event_json(event)?.to_string(),
        Format::Id => number.to_string(),
        Format::Table => {
            let Told { kind, about, detail } = tell(&event.change);
            let line =
                format!("{number}  {}  {kind}  {about}  {detail}", time::absolute(event.at.0));
            escape(line.trim_end())
        }
    };
    output.line_read(&line)
}

// ---- One change ----

/// A change in words.
struct Told {
    kind: &'static str,
    /// The execution or flow that was changed.
    about: String,
    detail: String,
}

fn tell(change: &OperatorChange) -> Told {
    match change {
        OperatorChange::PriorityChanged { execution_id, old_priority, new_priority } => Told {
            kind: "priority_changed",
            about: id::show(execution_id),
            detail: format!("{old_priority} to {new_priority}"),
        },
        OperatorChange::Replayed { execution_id, branch, groups_reset } => Told {
            kind: "replayed",
            about: id::show(execution_id),
            detail: match groups_reset {
                None => branch.clone(),
                Some(groups) => format!("{branch}, edge groups opened again: {groups}"),
            },
        },
        OperatorChange::FlowCancelRequested {
            flow_id,
            cancellation_policy,
            reason,
            member_count,
        } => Told {
            kind: "flow_cancel_requested",
            about: id::show_flow(flow_id),
            detail: format!("{cancellation_policy}, members reached: {member_count}, {reason}"),
        },
        _ => Told {
            kind: "unknown",
            about: "-".to_owned(),
            detail: "this version of ff does not know the change".to_owned(),
        },
    }
}

fn event_json(event: &OperatorEvent) -> Result<Value> {
    let mut object = match &event.change {
        OperatorChange::PriorityChanged { execution_id, old_priority, new_priority } => json!({
            "execution_id": id::show(execution_id),
            "old_priority": old_priority,
            "new_priority": new_priority,
        }),
        OperatorChange::Replayed { execution_id, branch, groups_reset } => json!({
            "execution_id": id::show(execution_id),
            "branch": branch,
            "groups_reset": groups_reset,
        }),
        OperatorChange::FlowCancelRequested {
            flow_id,
            cancellation_policy,
            reason,
            member_count,
        } => json!({
            "flow_id": id::show_flow(flow_id),
            "cancellation_policy": cancellation_policy,
            "reason": reason,
            "member_count": member_count,
        }),
        _ => json!({}),
    };
    object["event_id"] = json!(number(&event.cursor)?);
    object["kind"] = json!(tell(&event.change).kind);
    object["at"] = json!(event.at);
    Ok(object)
}

/// The number of the event that a cursor stands behind.
fn number(cursor: &StreamCursor) -> Result<i64> {
    match decode_event_cursor(cursor) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Error::new(Exit::Error, "bug", "an event has no number")),
        Err(why) => Err(Error::new(Exit::Error, "bug", "an event has no number").why(why)),
    }
}

fn refused(doing: &str, error: &EngineError) -> Error {
    let told = Error::engine(doing, error);
    match error {
        EngineError::Validation { kind: ValidationKind::InvalidInput, .. } => told.fix(
            "`ff event list --all` shows the events that are kept; without --after, `ff event watch` \
             begins now",
        ),
        _ => told,
    }
}
