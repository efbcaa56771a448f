//! `ff wait`: what waits for people and other systems, and answering it.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ff_core::EngineError;
use ff_core::contracts::{
    AnswerWaitpointArgs, DeliverSignalArgs, DeliverSignalResult, ListPendingWaitpointsArgs,
    ListWaitingArgs, PendingWaitpointInfo, TimeoutBehavior, WaitingExecution,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::limits::SIGNAL_PAYLOAD_MAX_BYTES;
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::types::{ExecutionId, LaneId, SignalId, WaitpointId, WaitpointToken};
use serde_json::{Value, json};

use crate::command::submit::{engine_now, read_payload};
use crate::error::{Error, Exit, Result};
use crate::filter::{is_ended, parse_lane};
use crate::id::{self, Kind};
use crate::output::{Format, Output, cell};
use crate::store::{Location, Purpose, Store};
use crate::time;

/// The signals of a vote.
pub(crate) const APPROVED: &str = "approved";
pub(crate) const REJECTED: &str = "rejected";

/// The signal of an answer that is not named otherwise.
pub(crate) const ANSWERED: &str = "answered";

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum WaitCommand {
    /// List what waits, and for what.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Say yes.
    Approve(VoteArgs),
    /// Say no.
    #[command(alias = "reject")]
    Deny(VoteArgs),
    /// Answer with data.
    Answer(AnswerArgs),
    /// Print the token with which another system may signal. Whoever has it can.
    Token(TokenArgs),
    /// Signal with a token, as another system.
    Signal(SignalArgs),
}

/// Lists what waits.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only what waits in this lane.
    #[arg(long, value_name = "LANE", value_parser = parse_lane)]
    lane: Option<LaneId>,
}

/// Names a waitpoint.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The execution or the waitpoint (`wtp_…`), or the first digits of it.
    #[arg(value_name = "ID")]
    id: String,
    /// The key of the waitpoint, where the execution waits at several.
    #[arg(long)]
    key: Option<String>,
}

/// Who answers.
#[derive(Debug, Args)]
pub(crate) struct Person {
    /// Who answers; two answers of one name are one person's.
    #[arg(long = "as", value_name = "NAME", env = "FF_USER")]
    name: Option<String>,
}

impl Person {
    fn name(&self) -> String {
        let found = self
            .name
            .clone()
            .or_else(|| ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()));
        found.filter(|name| !name.is_empty()).unwrap_or_else(|| "operator".to_owned())
    }
}

/// Votes.
#[derive(Debug, Args)]
pub(crate) struct VoteArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    person: Person,
    /// Why; the execution reads it with the vote.
    #[arg(long, short)]
    message: Option<String>,
}

/// Answers with data.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    target: Target,
    /// The answer: JSON, `@FILE` for the bytes of a file, `-` for those of stdin.
    #[arg(value_name = "JSON|@FILE|-")]
    payload: Option<String>,
    /// The name of the signal.
    #[arg(long, default_value = ANSWERED)]
    signal: String,
    #[command(flatten)]
    person: Person,
    /// An idempotency key: the same key again, within 24 hours, is the same answer.
    #[arg(long)]
    idempotency_key: Option<String>,
}

/// Names a waitpoint whose token is printed.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    target: Target,
}

/// Signals with a token.
#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    /// The execution, or the first digits of its id.
    #[arg(value_name = "ID")]
    execution: String,
    /// The whole id of the waitpoint, as `ff wait token` prints it.
    #[arg(value_name = "WAITPOINT")]
    waitpoint: String,
    /// The payload: JSON, `@FILE` for the bytes of a file, `-` for those of stdin.
    #[arg(value_name = "JSON|@FILE|-")]
    payload: Option<String>,
    /// The token; better given by the environment, where other users do not see it.
    #[arg(long, env = "FF_WAITPOINT_TOKEN", hide_env_values = true)]
    token: String,
    /// The name of the signal.
    #[arg(long, default_value = ANSWERED)]
    signal: String,
    /// Who signals.
    #[arg(long, value_name = "NAME", default_value = "external")]
    source: String,
    /// An idempotency key: the same key again, within 24 hours, is the same signal.
    #[arg(long)]
    idempotency_key: Option<String>,
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: WaitCommand,
) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let engine = store.engine();
    let engine_ref = engine.as_ref();
    match command {
        WaitCommand::List(args) => list(engine_ref, output, args).await?,
        WaitCommand::Approve(args) => vote(engine_ref, output, args, APPROVED).await?,
        WaitCommand::Deny(args) => vote(engine_ref, output, args, REJECTED).await?,
        WaitCommand::Answer(args) => {
            let payload = match args.payload.clone() {
                Some(source) => Some(read(source).await?),
                None => None,
            };
            answer(engine_ref, output, args, payload).await?;
        }
        WaitCommand::Token(args) => token(engine_ref, output, &args.target).await?,
        WaitCommand::Signal(args) => {
            let payload = match args.payload.clone() {
                Some(source) => Some(read(source).await?),
                None => None,
            };
            signal(engine_ref, output, args, payload).await?;
        }
    }
    drop(engine);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn read(source: String) -> Result<Vec<u8>> {
    let read = move || read_payload(Some(&source), SIGNAL_PAYLOAD_MAX_BYTES);
    let payload = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Error::io("read the payload", &std::io::Error::other(error)))?;
    payload.map_err(|error| match error.code {
        TOO_LARGE => Error { exit: Exit::Usage, ..error }.fix(SMALLER),
        _ => error,
    })
}

/// The engine's word for a payload above its limit.
const TOO_LARGE: &str = "payload_too_large";

/// What to do about an answer above the limit, which no flag raises.
const SMALLER: &str = "keep the data elsewhere, and answer with a reference to it";

/// A refusal of the engine to take a signal.
fn refused(doing: &str, error: &EngineError, execution: &ExecutionId) -> Error {
    let told = Error::engine(doing, error).about(execution);
    match told.code {
        TOO_LARGE => Error { exit: Exit::Usage, ..told }.fix(SMALLER),
        _ => told,
    }
}

/// Everything that waits.
async fn waiting(
    engine: &dyn EngineBackend,
    mut args: ListWaitingArgs,
) -> Result<Vec<WaitingExecution>> {
    let mut found = Vec::new();
    loop {
        let page = engine
            .list_waiting(args.clone())
            .await
            .map_err(|error| Error::engine("list what waits", &error))?;
        found.extend(page.entries);
        match page.next_cursor {
            Some(cursor) => args.after = Some(cursor),
            None => return Ok(found),
        }
    }
}

async fn list(engine: &dyn EngineBackend, output: Output, args: ListArgs) -> Result<()> {
    let mut wanted = ListWaitingArgs::new().with_limit(1_000);
    wanted.lane_id = args.lane;
    let mut waiting = waiting(engine, wanted).await?;
    waiting.sort_by_key(|entry| entry.suspended_at);
    match output.format {
        Format::Json => {
            let rows: Vec<_> = waiting.iter().map(waiting_json).collect();
            output.json(&json!({"waiting": rows}))
        }
        Format::Id => {
            waiting.iter().try_for_each(|entry| output.line(&id::show(&entry.execution_id)))
        }
        Format::Table => {
            let now = time::epoch_ms();
            let rows = waiting
                .iter()
                .map(|entry| {
                    let keys: Vec<_> = entry
                        .waitpoints
                        .iter()
                        .map(|waitpoint| waitpoint.waitpoint_key.as_str())
                        .collect();
                    let until = entry.timeout_at.map_or_else(
                        || "-".to_owned(),
                        |at| {
                            let then = entry.timeout_behavior.map_or("", behavior);
                            format!("{}, then {then}", time::relative(at.0, now))
                        },
                    );
                    vec![
                        cell(id::show(&entry.execution_id)),
                        cell(&entry.execution_kind),
                        cell(entry.lane_id.as_str()),
                        cell(
                            entry
                                .reason_code
                                .strip_prefix("waiting_for_")
                                .unwrap_or(&entry.reason_code),
                        ),
                        cell(keys.join(", ")),
                        cell(time::relative(entry.suspended_at.0, now)),
                        cell(until),
                    ]
                })
                .collect();
            output.table(
                &["ID", "KIND", "LANE", "FOR", "KEY", "SINCE", "UNTIL"],
                rows,
                "nothing waits for an answer",
            )
        }
    }
}

/// What happens at a timeout, in a word.
const fn behavior(behavior: TimeoutBehavior) -> &'static str {
    match behavior {
        TimeoutBehavior::AutoResumeWithTimeoutSignal => "resume",
        other => other.as_wire_str(),
    }
}

fn waiting_json(entry: &WaitingExecution) -> Value {
    let mut value = json!(entry);
    value["id"] = json!(id::show(&entry.execution_id));
    for (place, waitpoint) in entry.waitpoints.iter().enumerate() {
        value["waitpoints"][place]["id"] = json!(id::show_waitpoint(&waitpoint.waitpoint_id));
    }
    value
}

/// The open waitpoints of an execution.
pub(crate) async fn open_waitpoints(
    engine: &dyn EngineBackend,
    execution: &ExecutionId,
) -> Result<Vec<PendingWaitpointInfo>> {
    let mut found = Vec::new();
    let mut args = ListPendingWaitpointsArgs::new(execution.clone()).with_limit(1_000);
    loop {
        let page = engine
            .list_pending_waitpoints(args.clone())
            .await
            .map_err(|error| Error::engine("list the waitpoints", &error).about(execution))?;
        found.extend(page.entries.into_iter().filter(|entry| entry.state != "closed"));
        match page.next_cursor {
            Some(cursor) => args.after = Some(cursor),
            None => return Ok(found),
        }
    }
}

/// Finds the one waitpoint that is meant.
async fn find(engine: &dyn EngineBackend, target: &Target) -> Result<PendingWaitpointInfo> {
    let mut found = if target.id.starts_with("wtp_") {
        let digits = id::digits(Kind::Waitpoint, &target.id)?;
        let all = waiting(engine, ListWaitingArgs::new().with_limit(1_000)).await?;
        let open = all.into_iter().flat_map(|entry| entry.waitpoints);
        open.filter(|waitpoint| id::begins(waitpoint.waitpoint_id.0, &digits)).collect()
    } else {
        let execution = id::resolve(engine, &target.id).await?;
        let open = open_waitpoints(engine, &execution).await?;
        if open.is_empty() {
            let state = engine
                .read_execution_state(&execution)
                .await
                .map_err(|error| Error::engine("read the execution", &error).about(&execution))?;
            return Err(Error::new(
                Exit::Conflict,
                "not_waiting",
                format!("{} waits for no answer", id::show(&execution)),
            )
            .why(match state {
                None => "it is gone".to_owned(),
                Some(state) if is_ended(state) => format!("it is {state}"),
                Some(state) => {
                    format!("it was answered already, or has not asked yet; its state is {state}")
                }
            })
            .fix("`ff wait list` shows what waits")
            .about(&execution));
        }
        open
    };
    match &target.key {
        Some(key) => found.retain(|waitpoint| waitpoint.waitpoint_key == *key),
        // What was opened before the execution suspended is meant only where nothing else is.
        None if found.iter().any(|waitpoint| waitpoint.state == "active") => {
            found.retain(|waitpoint| waitpoint.state == "active");
        }
        None => {}
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(Error::new(
            Exit::NotFound,
            "not_found",
            match &target.key {
                Some(key) => format!("`{}` has no open waitpoint `{key}`", target.id),
                None => format!("no open waitpoint begins with `{}`", target.id),
            },
        )
        .fix("`ff wait list` shows what waits")),
        _ => {
            let keys: Vec<_> = found.iter().map(|found| found.waitpoint_key.as_str()).collect();
            Err(Error::new(
                Exit::Conflict,
                "ambiguous",
                format!("`{}` waits at more than one waitpoint", target.id),
            )
            .why(format!("they are {}", keys.join(", ")))
            .fix("choose one with --key"))
        }
    }
}

async fn vote(
    engine: &dyn EngineBackend,
    output: Output,
    args: VoteArgs,
    signal: &'static str,
) -> Result<()> {
    let waitpoint = find(engine, &args.target).await?;
    let person = args.person.name();
    let mut answer = AnswerWaitpointArgs::new(
        waitpoint.execution_id.clone(),
        waitpoint.waitpoint_id.clone(),
        signal,
        &person,
    )
    .with_idempotency_key(format!("{signal}:{person}"));
    if let Some(message) = args.message {
        let payload = json!({"message": message}).to_string().into_bytes();
        answer = answer.with_payload(payload, Some("json".to_owned()));
    }
    deliver(engine, output, answer, &person).await
}

async fn answer(
    engine: &dyn EngineBackend,
    output: Output,
    args: AnswerArgs,
    payload: Option<Vec<u8>>,
) -> Result<()> {
    let waitpoint = find(engine, &args.target).await?;
    let person = args.person.name();
    let mut answer = AnswerWaitpointArgs::new(
        waitpoint.execution_id,
        waitpoint.waitpoint_id,
        args.signal,
        &person,
    );
    answer.idempotency_key = args.idempotency_key;
    if let Some(payload) = payload {
        answer = answer.with_payload(payload, None);
    }
    deliver(engine, output, answer, &person).await
}

async fn deliver(
    engine: &dyn EngineBackend,
    output: Output,
    args: AnswerWaitpointArgs,
    person: &str,
) -> Result<()> {
    let execution = args.execution_id.clone();
    let name = args.signal_name.clone();
    let delivered = engine
        .answer_waitpoint(args)
        .await
        .map_err(|error| refused("deliver the answer", &error, &execution))?;
    tell(engine, output, &execution, &name, person, &delivered).await
}

/// Tells whether the answer was new, and whether it was enough.
async fn tell(
    engine: &dyn EngineBackend,
    output: Output,
    execution: &ExecutionId,
    name: &str,
    person: &str,
    delivered: &DeliverSignalResult,
) -> Result<()> {
    let shown = id::show(execution);
    let (signal_id, effect) = match delivered {
        DeliverSignalResult::Accepted { signal_id, effect } => (signal_id, effect.as_str()),
        DeliverSignalResult::Duplicate { existing_signal_id } => (existing_signal_id, "duplicate"),
    };
    let resumes = effect == "resume_condition_satisfied";
    match output.format {
        Format::Json => output.json(&json!({
            "id": shown, "execution_id": execution, "signal_id": signal_id, "signal": name,
            "by": person, "effect": effect, "resumes": resumes,
        })),
        Format::Id => output.line(&shown),
        Format::Table if resumes => output.line(&format!("{name} by {person}: {shown} goes on")),
        Format::Table if effect == "duplicate" => {
            output.line(&format!("{person} said so before: nothing changed"))
        }
        Format::Table => {
            let open = open_waitpoints(engine, execution).await?.len();
            let rest = if open > 0 { "it waits for more" } else { "it is kept for later" };
            output.line(&format!("{name} by {person} is recorded; {shown}: {rest}"))
        }
    }
}

async fn token(engine: &dyn EngineBackend, output: Output, target: &Target) -> Result<()> {
    let waitpoint = find(engine, target).await?;
    let partition = PartitionKey::from(Partition {
        family: PartitionFamily::Execution,
        index: waitpoint.execution_id.partition(),
    });
    let token = engine
        .read_waitpoint_token(partition, &waitpoint.waitpoint_id)
        .await
        .map_err(|error| Error::engine("read the token", &error).about(&waitpoint.execution_id))?
        .ok_or_else(|| {
            Error::new(Exit::NotFound, "not_found", "the waitpoint has no token")
                .about(&waitpoint.execution_id)
        })?;
    if !output.quiet && std::io::stderr().is_terminal() {
        eprintln!("whoever has this token can answer for as long as the waitpoint is open");
    }
    match output.format {
        Format::Json => output.json(&json!({
            "execution_id": waitpoint.execution_id,
            "id": id::show(&waitpoint.execution_id),
            "waitpoint": id::show_waitpoint(&waitpoint.waitpoint_id),
            "key": waitpoint.waitpoint_key,
            "expires_at": waitpoint.expires_at,
            "token": token,
        })),
        Format::Id => output.line(&token),
        Format::Table => output.pairs(vec![
            ("execution", cell(id::show(&waitpoint.execution_id))),
            ("waitpoint", cell(id::show_waitpoint(&waitpoint.waitpoint_id))),
            ("token", cell(token)),
        ]),
    }
}

async fn signal(
    engine: &dyn EngineBackend,
    output: Output,
    args: SignalArgs,
    payload: Option<Vec<u8>>,
) -> Result<()> {
    let execution = id::resolve(engine, &args.execution).await?;
    let text = args.waitpoint.strip_prefix("wtp_").unwrap_or(&args.waitpoint);
    let waitpoint_id = WaitpointId::parse(text).map_err(|error| {
        Error::usage(format!("`{}` is not the whole id of a waitpoint", args.waitpoint))
            .why(error.to_string())
            .fix("`ff wait token` prints it beside the token")
    })?;
    let now = engine_now(engine).await?;
    let delivered = engine
        .deliver_signal(DeliverSignalArgs {
            execution_id: execution.clone(),
            waitpoint_id,
            signal_id: SignalId::new(),
            signal_name: args.signal.clone(),
            signal_category: "external".to_owned(),
            source_type: "external".to_owned(),
            source_identity: args.source.clone(),
            payload,
            payload_encoding: None,
            correlation_id: None,
            idempotency_key: args.idempotency_key,
            target_scope: "waitpoint".to_owned(),
            created_at: None,
            dedup_ttl_ms: None,
            resume_delay_ms: None,
            max_signals_per_execution: None,
            signal_maxlen: None,
            waitpoint_token: WaitpointToken::new(args.token.trim()),
            now,
        })
        .await
        .map_err(|error| refused("deliver the signal", &error, &execution))?;
    tell(engine, output, &execution, &args.signal, &args.source, &delivered).await
}
