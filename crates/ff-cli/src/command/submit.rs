//! `ff submit`: bring work, one execution or a file of them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use ff_core::contracts::{
    CREATE_BATCH_MAX_BYTES, CREATE_BATCH_MAX_ROWS, CreateExecutionArgs, CreateExecutionResult,
    ExecutionSummary,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::partition::PartitionConfig;
use ff_core::policy::BackoffStrategy;
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, json};
use tokio::sync::mpsc;

use crate::duration::{parse as parse_duration, parse_positive};
use crate::error::{Error, Exit, Result, is_retryable};
use crate::filter::{is_ended, parse_lane, parse_tag};
use crate::id;
use crate::output::{Format, Output, escape, escape_lines, put_bytes};
use crate::policy::{Wishes, parse_backoff};
use crate::store::{Location, Purpose, Store};
use crate::time;

/// The namespace of everything the command line brings.
pub(crate) const NAMESPACE: &str = "default";

/// Who the command line says it is.
const CREATOR: &str = "ff-cli";

/// A chunk that began this long ago is sent as it is: rows that trickle in must not wait for others.
const CHUNK_AGE: Duration = Duration::from_millis(20);

/// Most bytes of one line: a payload at its ceiling, in base64, with room for the rest.
const LINE_MAX_BYTES: u64 = 32 << 20;

/// Rows read ahead of the engine.
const READ_AHEAD: usize = 2 * CREATE_BATCH_MAX_ROWS;

/// How long a busy store is asked again before the command gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// More ids than this are not shown to a person unless asked for.
const IDS_SHOWN: usize = 20;

/// Submits one execution, or many from a file.
#[derive(Debug, Args)]
#[command(after_help = SUBMIT_HELP)]
pub(crate) struct SubmitArgs {
    /// What kind of work it is.
    #[arg(required_unless_present = "jsonl")]
    kind: Option<String>,
    /// The payload: JSON, `@FILE` for the bytes of a file, `-` for those of stdin.
    #[arg(value_name = "JSON|@FILE|-")]
    payload: Option<String>,
    /// Submit one execution per line of this file, `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["payload", "key"])]
    jsonl: Option<PathBuf>,
    /// The lane it waits in.
    #[arg(long, default_value = "default", value_parser = parse_lane)]
    lane: LaneId,
    /// An idempotency key: the same key again, within 24 hours, submits nothing new.
    #[arg(long)]
    key: Option<String>,
    /// Not before this long from now.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// It expires if it has not ended this long from now.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    deadline: Option<Duration>,
    /// An attempt that runs longer fails.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    attempt_timeout: Option<Duration>,
    /// Higher ones go first, 0 to 9000.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=9000))]
    priority: i32,
    /// A tag; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// What a worker must offer; may be repeated.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    capability: Vec<String>,
    /// How often a failed attempt is followed by another.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// How long a retry waits: `fixed:5s`, `exp:1s..60s` or `exp:1s..60s*2.5`.
    #[arg(long, value_name = "BACKOFF", value_parser = parse_backoff)]
    backoff: Option<BackoffStrategy>,
    /// How often an attempt whose worker died is followed by another [default: 3].
    #[arg(long, value_name = "N")]
    max_reclaims: Option<u32>,
    /// Wait for the end and print the result; exit code 5 if it did not complete.
    #[arg(short = 'f', long, visible_alias = "follow")]
    wait: bool,
    /// Wait at most this long; exit code 6 after it.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = parse_positive)]
    timeout: Option<Duration>,
}

const SUBMIT_HELP: &str = r#"Each line of --jsonl is an object:
  {"kind": "mail", "payload": {"to": "a@b.c"}, "lane": "mail", "key": "order-42", "priority": 10,
   "tags": {"team": "core"}, "delay": "30s", "deadline": "1h", "attempt_timeout": "5m",
   "retries": 5, "backoff": "exp:1s..60s", "max_reclaims": 3, "capabilities": ["smtp"]}
All but `kind` may be left out; flags serve as defaults; `payload_base64` carries bytes that are not
JSON. With KIND on the command line, a line is any JSON value and becomes the payload."#;

/// An execution that is not submitted yet; its times count from the moment of submission.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) lane: LaneId,
    pub(crate) key: Option<String>,
    pub(crate) priority: i32,
    pub(crate) tags: HashMap<String, String>,
    pub(crate) delay: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) wishes: Wishes,
}

impl Draft {
    /// The engine's form of it, under a new id.
    pub(crate) fn args(self, now: TimestampMs) -> CreateExecutionArgs {
        let later = |span: Duration| {
            TimestampMs(now.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
        };
        let execution_id = new_id(&self.lane);
        CreateExecutionArgs {
            partition_id: execution_id.partition(),
            execution_id,
            namespace: Namespace::new(NAMESPACE),
            lane_id: self.lane,
            execution_kind: self.kind,
            input_payload: self.payload,
            payload_encoding: None,
            priority: self.priority,
            creator_identity: CREATOR.to_owned(),
            idempotency_key: self.key,
            tags: self.tags,
            policy: Some(self.wishes.policy()),
            delay_until: self.delay.map(later),
            execution_deadline_at: self.deadline.map(later),
            now,
        }
    }
}

/// One partition: a file has no use for more.
fn new_id(lane: &LaneId) -> ExecutionId {
    let one = PartitionConfig {
        num_flow_partitions: 1,
        num_budget_partitions: 1,
        num_quota_partitions: 1,
    };
    ExecutionId::solo(lane, &one)
}

/// The engine's clock.
pub(crate) async fn engine_now(engine: &dyn EngineBackend) -> Result<TimestampMs> {
    let ms =
        engine.server_time_ms().await.map_err(|error| Error::engine("read the clock", &error))?;
    Ok(TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)))
}

pub(crate) async fn run(location: &Location, output: Output, args: SubmitArgs) -> Result<ExitCode> {
    match &args.jsonl {
        Some(path) => many(location, output, &args, path).await,
        None => one(location, output, &args).await,
    }
}

fn template(args: &SubmitArgs) -> Draft {
    Draft {
        kind: args.kind.clone().unwrap_or_default(),
        payload: Vec::new(),
        lane: args.lane.clone(),
        key: args.key.clone(),
        priority: args.priority,
        tags: args.tag.iter().cloned().collect(),
        delay: args.delay,
        deadline: args.deadline,
        wishes: Wishes {
            retries: args.retries,
            backoff: args.backoff.clone(),
            attempt_timeout: args.attempt_timeout,
            max_reclaims: args.max_reclaims,
            capabilities: args.capability.iter().cloned().collect(),
        },
    }
}

async fn one(location: &Location, output: Output, args: &SubmitArgs) -> Result<ExitCode> {
    let mut draft = template(args);
    if draft.kind.is_empty() {
        return Err(Error::usage("the kind is empty").fix("name the kind of work, for example mail"));
    }
    let limit = location.limits.payload_bytes;
    let source = args.payload.clone();
    draft.payload = tokio::task::spawn_blocking(move || read_payload(source.as_deref(), limit))
        .await
        .map_err(|error| Error::io("read the payload", &io::Error::other(error)))??;
    let purpose = if args.wait { Purpose::Serve } else { Purpose::Submit };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let now = engine_now(engine.as_ref()).await?;
    let created = engine
        .create_execution(draft.args(now))
        .await
        .map_err(|error| Error::engine("submit", &error))?;
    let (id, duplicate) = match created {
        CreateExecutionResult::Created { execution_id, .. } => (execution_id, false),
        CreateExecutionResult::Duplicate { execution_id } => (execution_id, true),
    };
    let answer = if args.wait {
        if output.format == Format::Table {
            eprintln!("{} {}", if duplicate { "found" } else { "submitted" }, id::show(&id));
        }
        wait_and_tell(engine.as_ref(), output, &id, args.timeout).await
    } else {
        match output.format {
            Format::Json => output.json(&json!({
                "id": id::show(&id),
                "execution_id": id,
                "duplicate": duplicate,
            }))?,
            Format::Table | Format::Id => output.line(&id::show(&id))?,
        }
        if duplicate && output.format == Format::Table {
            eprintln!("the key was used before: nothing new was submitted");
        }
        Ok(ExitCode::SUCCESS)
    };
    drop(engine);
    store.close().await;
    answer
}

fn too_large(what: &str, size: u64, limit: usize) -> Error {
    Error::new(Exit::Error, "payload_too_large", format!("{what} is too large"))
        .why(format!("it is {size} bytes; the limit is {limit} bytes"))
        .fix("submit a reference to the data, or raise --payload-limit (at most 16MiB)")
}

fn read_payload(source: Option<&str>, limit: usize) -> Result<Vec<u8>> {
    let limit_u64 = u64::try_from(limit).unwrap_or(u64::MAX);
    let source = match source {
        None => return Ok(Vec::new()),
        Some("-") => return read_up_to("stdin", io::stdin().lock(), limit),
        Some(source) => source,
    };
    if let Some(path) = source.strip_prefix('@') {
        let doing = || format!("read `{path}`");
        let file = File::open(path).map_err(|error| Error::io(doing(), &error))?;
        let size = file.metadata().map_err(|error| Error::io(doing(), &error))?.len();
        if size > limit_u64 {
            return Err(too_large(&format!("`{path}`"), size, limit));
        }
        return read_up_to(&format!("`{path}`"), file, limit);
    }
    if let Err(error) = serde_json::from_str::<&RawValue>(source) {
        return Err(Error::usage("the payload is not JSON")
            .why(error.to_string())
            .fix("quote a text as '\"text\"', or give other bytes with @FILE or - (stdin)"));
    }
    if source.len() > limit {
        let size = u64::try_from(source.len()).unwrap_or(u64::MAX);
        return Err(too_large("the payload", size, limit));
    }
    Ok(source.as_bytes().to_vec())
}

fn read_up_to(name: &str, source: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(format!("read {name}"), &error))?;
    if bytes.len() > limit {
        let mut error = too_large(name, most, limit);
        error.why = Some(format!("it is more than {limit} bytes, which is the limit"));
        return Err(error);
    }
    Ok(bytes)
}

/// Waits for the end of one execution.
pub(crate) async fn wait_for_end(
    engine: &dyn EngineBackend,
    id: &ExecutionId,
    until: Option<Instant>,
) -> Result<ExecutionSummary> {
    let mut pause = Duration::from_millis(5);
    loop {
        let summary = engine
            .describe_summary(id)
            .await
            .map_err(|error| Error::engine("read the execution", &error).about(id))?;
        match summary {
            Some(summary) if is_ended(summary.public_state) => return Ok(summary),
            Some(summary) => {
                if until.is_some_and(|until| time::instant() >= until) {
                    return Err(Error::new(
                        Exit::TimedOut,
                        "timed_out",
                        format!("{} has not ended in time", id::show(id)),
                    )
                    .why(format!("it is {}", summary.public_state))
                    .fix("it goes on: `ff exec get` shows it, `ff exec cancel` ends it")
                    .about(id));
                }
            }
            None => {
                return Err(Error::new(
                    Exit::NotFound,
                    "not_found",
                    format!("{} is gone", id::show(id)),
                )
                .why("its retention has passed")
                .about(id));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(150));
    }
}

async fn wait_and_tell(
    engine: &dyn EngineBackend,
    output: Output,
    id: &ExecutionId,
    timeout: Option<Duration>,
) -> Result<ExitCode> {
    let until = timeout.map(|timeout| time::instant() + timeout);
    let summary = wait_for_end(engine, id, until).await?;
    let result = engine
        .get_execution_result(id)
        .await
        .map_err(|error| Error::engine("read the result", &error).about(id))?;
    match output.format {
        Format::Json => {
            let mut object = Map::new();
            object.insert("id".to_owned(), json!(id::show(id)));
            object.insert("execution_id".to_owned(), json!(id));
            object.insert("state".to_owned(), json!(summary.public_state));
            if let Some(reason) = &summary.reason {
                object.insert("reason".to_owned(), json!(reason));
            }
            if let Some(result) = &result {
                put_bytes(&mut object, "result", result);
            }
            output.json(&object.into())?;
        }
        Format::Table | Format::Id => print_result(output, result.as_deref())?,
    }
    if summary.public_state == PublicState::Completed {
        return Ok(ExitCode::SUCCESS);
    }
    Err(did_not_complete(&summary))
}

/// Prints a result: as it is into a pipe, escaped on a terminal.
pub(crate) fn print_result(output: Output, result: Option<&[u8]>) -> Result<()> {
    match result {
        None => Ok(()),
        Some(bytes) if io::stdout().is_terminal() => {
            let text = escape_lines(&String::from_utf8_lossy(bytes));
            if text.is_empty() { Ok(()) } else { output.line(text.trim_end_matches('\n')) }
        }
        Some(bytes) => output.bytes(bytes),
    }
}

/// An execution that was waited for ended otherwise than well.
pub(crate) fn did_not_complete(summary: &ExecutionSummary) -> Error {
    let id = &summary.execution_id;
    let mut error = Error::new(
        Exit::ExecutionFailed,
        "execution_failed",
        format!("{} ended as {}", id::show(id), summary.public_state),
    )
    .fix(format!("`ff exec get {}` shows every attempt", id::show(id)))
    .about(id);
    error.why.clone_from(&summary.reason);
    error
}

// ---- Many ----

/// A line of `--jsonl` without a kind on the command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Box<RawValue>>,
    payload_base64: Option<String>,
    lane: Option<String>,
    key: Option<String>,
    priority: Option<i32>,
    #[serde(default)]
    tags: HashMap<String, String>,
    delay: Option<String>,
    deadline: Option<String>,
    attempt_timeout: Option<String>,
    retries: Option<u32>,
    backoff: Option<String>,
    max_reclaims: Option<u32>,
    capabilities: Option<BTreeSet<String>>,
}

/// A payload of `null` is a payload.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line into a draft; what it leaves out comes from the template.
fn parse_line(text: &str, template: &Draft, limit: usize) -> Result<Draft, String> {
    let mut draft = template.clone();
    if template.kind.is_empty() {
        let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
        draft.kind = line.kind;
        draft.payload = match (line.payload, line.payload_base64) {
            (Some(_), Some(_)) => {
                return Err("give `payload` or `payload_base64`, not both".to_owned());
            }
            (Some(json), None) => json.get().as_bytes().to_vec(),
            (None, Some(text)) => BASE64_STANDARD
                .decode(text)
                .map_err(|error| format!("payload_base64 is not base64: {error}"))?,
            (None, None) => Vec::new(),
        };
        let span = |name: &str, text: Option<String>, default: Option<Duration>| match text {
            Some(text) => parse_duration(&text).map(Some).map_err(|why| format!("{name}: {why}")),
            None => Ok(default),
        };
        draft.delay = span("delay", line.delay, draft.delay)?;
        draft.deadline = span("deadline", line.deadline, draft.deadline)?;
        draft.wishes.attempt_timeout =
            span("attempt_timeout", line.attempt_timeout, draft.wishes.attempt_timeout)?;
        if let Some(lane) = line.lane {
            draft.lane = parse_lane(&lane).map_err(|why| format!("lane: {why}"))?;
        }
        if let Some(priority) = line.priority {
            if !(0..=9_000).contains(&priority) {
                return Err(format!("priority {priority} is not in 0..=9000"));
            }
            draft.priority = priority;
        }
        if let Some(backoff) = line.backoff {
            draft.wishes.backoff =
                Some(parse_backoff(&backoff).map_err(|why| format!("backoff: {why}"))?);
        }
        draft.key = line.key;
        draft.tags.extend(line.tags);
        draft.wishes.retries = line.retries.or(draft.wishes.retries);
        draft.wishes.max_reclaims = line.max_reclaims.or(draft.wishes.max_reclaims);
        if let Some(capabilities) = line.capabilities {
            draft.wishes.capabilities = capabilities;
        }
    } else {
        serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())?;
        draft.payload = text.as_bytes().to_vec();
    }
    if draft.kind.is_empty() {
        return Err("kind is empty".to_owned());
    }
    if draft.payload.len() > limit {
        return Err(format!(
            "the payload is {} bytes; the limit is {limit} bytes",
            draft.payload.len()
        ));
    }
    Ok(draft)
}

/// A draft with the place it came from.
struct Row {
    line: u64,
    /// How far into the file its line ends.
    offset: u64,
    draft: Draft,
}

/// Reads lines and sends drafts until the end, the first bad line, or nobody listens.
fn read_lines(
    source: impl Read,
    template: &Draft,
    limit: usize,
    rows: &mpsc::Sender<Result<Row>>,
) {
    let mut source = BufReader::with_capacity(256 << 10, source);
    let mut bytes = Vec::new();
    let (mut line, mut offset) = (0, 0);
    let refuse = |line: u64, why: String| {
        Error::new(Exit::Usage, "bad_line", format!("line {line} cannot be submitted")).why(why)
    };
    loop {
        bytes.clear();
        line += 1;
        let read = match source.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(read) => u64::try_from(read).unwrap_or(u64::MAX),
            Err(error) => {
                let _ = rows.blocking_send(Err(Error::io(format!("read line {line}"), &error)));
                return;
            }
        };
        offset += read;
        let parsed = if read == LINE_MAX_BYTES && bytes.last() != Some(&b'\n') {
            Err(format!("it is longer than {LINE_MAX_BYTES} bytes"))
        } else {
            match std::str::from_utf8(&bytes) {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => parse_line(text.trim(), template, limit),
                Err(error) => Err(format!("it is not UTF-8: {error}")),
            }
        };
        let stop = parsed.is_err();
        let row = match parsed {
            Ok(draft) => Ok(Row { line, offset, draft }),
            Err(why) => Err(refuse(line, why)),
        };
        if rows.blocking_send(row).is_err() || stop {
            return;
        }
    }
}

/// What was submitted so far.
#[derive(Default)]
struct Submitted {
    ids: Vec<ExecutionId>,
    duplicates: usize,
    /// The line after the last one that is in the store.
    next_line: u64,
}

async fn many(
    location: &Location,
    output: Output,
    args: &SubmitArgs,
    path: &Path,
) -> Result<ExitCode> {
    let draft = template(args);
    let limit = location.limits.payload_bytes;
    let (file, size) = if path == Path::new("-") {
        (None, None)
    } else {
        let doing = || format!("read `{}`", path.display());
        let file = File::open(path).map_err(|error| Error::io(doing(), &error))?;
        let about = file.metadata().map_err(|error| Error::io(doing(), &error))?;
        (Some(file), about.is_file().then(|| about.len()))
    };
    let purpose = if args.wait { Purpose::Serve } else { Purpose::Submit };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let (rows, mut received) = mpsc::channel(READ_AHEAD);
    std::thread::Builder::new()
        .name("ff-lines".to_owned())
        .spawn(move || match file {
            Some(file) => read_lines(file, &draft, limit, &rows),
            None => read_lines(io::stdin().lock(), &draft, limit, &rows),
        })
        .map_err(|error| Error::io("start reading", &error))?;

    let progress = progress_bar(output, size);
    let began = time::instant();
    let mut submitted = Submitted { next_line: 1, ..Submitted::default() };
    let outcome = chunks(engine.as_ref(), &mut received, &mut submitted, &progress).await;
    progress.finish_and_clear();
    let ended = tell_submitted(output, &submitted, began, outcome.is_ok());
    outcome.map_err(|error| stopped(error, &submitted))?;
    ended?;
    let answer = if args.wait {
        wait_for_all(engine.as_ref(), output, &submitted.ids, args.timeout).await
    } else {
        Ok(ExitCode::SUCCESS)
    };
    drop(engine);
    store.close().await;
    answer
}

fn progress_bar(output: Output, size: Option<u64>) -> ProgressBar {
    if output.quiet || output.is_json() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    match size {
        Some(size) => ProgressBar::new(size).with_style(style(
            "{msg} {wide_bar:.cyan/blue} {bytes}/{total_bytes} {eta}",
        )),
        None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}")),
    }
}

/// A style from a template; a bad template is a mistake of this program and shows as the plain bar.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Takes rows and submits them in chunks: whole, or not at all.
async fn chunks(
    engine: &dyn EngineBackend,
    rows: &mut mpsc::Receiver<Result<Row>>,
    submitted: &mut Submitted,
    progress: &ProgressBar,
) -> Result<()> {
    let mut chunk: Vec<Row> = Vec::new();
    let mut bytes = 0;
    let mut began: Option<Instant> = None;
    loop {
        let next = match began {
            None => rows.recv().await,
            Some(began_at) => {
                let due = tokio::time::Instant::from_std(began_at + CHUNK_AGE);
                match tokio::time::timeout_at(due, rows.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        send(engine, &mut chunk, submitted, progress).await?;
                        bytes = 0;
                        began = None;
                        continue;
                    }
                }
            }
        };
        let Some(row) = next else { return send(engine, &mut chunk, submitted, progress).await };
        let row = row?;
        let size = row.draft.payload.len();
        if bytes + size > CREATE_BATCH_MAX_BYTES {
            send(engine, &mut chunk, submitted, progress).await?;
            bytes = 0;
            began = None;
        }
        bytes += size;
        chunk.push(row);
        let began_at = *began.get_or_insert_with(time::instant);
        if chunk.len() == CREATE_BATCH_MAX_ROWS || time::instant() >= began_at + CHUNK_AGE {
            send(engine, &mut chunk, submitted, progress).await?;
            bytes = 0;
            began = None;
        }
    }
}

async fn send(
    engine: &dyn EngineBackend,
    chunk: &mut Vec<Row>,
    submitted: &mut Submitted,
    progress: &ProgressBar,
) -> Result<()> {
    let Some(last) = chunk.last() else { return Ok(()) };
    let (last_line, offset) = (last.line, last.offset);
    let first_line = chunk.first().map_or(last_line, |row| row.line);
    let now = engine_now(engine).await?;
    let batch: Vec<_> = chunk.drain(..).map(|row| row.draft.args(now)).collect();
    let results = create(engine, batch)
        .await
        .map_err(|error| error.context(&format!("lines {first_line} to {last_line}")))?;
    for result in results {
        match result {
            CreateExecutionResult::Created { execution_id, .. } => submitted.ids.push(execution_id),
            CreateExecutionResult::Duplicate { execution_id } => {
                submitted.duplicates += 1;
                submitted.ids.push(execution_id);
            }
        }
    }
    submitted.next_line = last_line + 1;
    progress.set_position(offset);
    progress.set_message(format!("{} submitted", submitted.ids.len()));
    Ok(())
}

/// Submits a batch; a busy store is asked again, which is safe because the ids stay the same.
pub(crate) async fn create(
    engine: &dyn EngineBackend,
    batch: Vec<CreateExecutionArgs>,
) -> Result<Vec<CreateExecutionResult>> {
    let give_up = time::instant() + PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        match engine.create_executions(batch.clone()).await {
            Ok(results) => return Ok(results),
            Err(error) if is_retryable(&error) && time::instant() < give_up => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            Err(error) => return Err(Error::engine("submit", &error)),
        }
    }
}

/// Says what is in the store when a bulk submit stops half-way.
fn stopped(mut error: Error, submitted: &Submitted) -> Error {
    let next = submitted.next_line;
    if submitted.ids.is_empty() {
        error.fix = Some(error.fix.unwrap_or_else(|| {
            "nothing was submitted: mend the line and run the command again".to_owned()
        }));
        return error;
    }
    error.fix = Some(format!(
        "{} executions of the lines before line {next} are submitted; mend the line and go on with \
         `tail -n +{next} FILE | ff submit --jsonl -`",
        submitted.ids.len()
    ));
    error
}

fn tell_submitted(
    output: Output,
    submitted: &Submitted,
    began: Instant,
    complete: bool,
) -> Result<()> {
    let ids = &submitted.ids;
    let ms = time::millis(time::instant() - began);
    match output.format {
        Format::Json => output.json(&json!({
            "submitted": ids.len() - submitted.duplicates,
            "duplicates": submitted.duplicates,
            "complete": complete,
            "elapsed_ms": ms,
            "ids": ids.iter().map(id::show).collect::<Vec<_>>(),
        })),
        Format::Id => print_ids(output, ids),
        Format::Table => {
            let hidden = io::stdout().is_terminal() && ids.len() > IDS_SHOWN;
            if !hidden {
                print_ids(output, ids)?;
            }
            if !output.quiet {
                let duplicates = match submitted.duplicates {
                    0 => String::new(),
                    some => format!(" ({some} were there before)"),
                };
                let note = if hidden { "; -q prints the ids" } else { "" };
                eprintln!(
                    "submitted {}{duplicates} in {}{note}",
                    ids.len() - submitted.duplicates,
                    crate::duration::elapsed(ms)
                );
            }
            Ok(())
        }
    }
}

fn print_ids(output: Output, ids: &[ExecutionId]) -> Result<()> {
    let mut text = String::with_capacity(ids.len() * 41);
    for id in ids {
        text.push_str(&id::show(id));
        text.push('\n');
    }
    output.bytes(text.as_bytes())
}

async fn wait_for_all(
    engine: &dyn EngineBackend,
    output: Output,
    ids: &[ExecutionId],
    timeout: Option<Duration>,
) -> Result<ExitCode> {
    let until = timeout.map(|timeout| time::instant() + timeout);
    let mut failed = None;
    let mut count = 0_usize;
    for id in ids {
        let summary = wait_for_end(engine, id, until).await?;
        if summary.public_state != PublicState::Completed {
            count += 1;
            if output.format == Format::Table {
                eprintln!(
                    "{} {}: {}",
                    id::show(id),
                    summary.public_state,
                    escape(summary.reason.as_deref().unwrap_or("no reason given"))
                );
            }
            failed.get_or_insert(summary);
        }
    }
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(first) if count == 1 => Err(did_not_complete(&first)),
        Some(_) => Err(Error::new(
            Exit::ExecutionFailed,
            "execution_failed",
            format!("{count} of {} executions did not complete", ids.len()),
        )
        .fix("`ff exec list --state failed` shows them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(kind: &str) -> Draft {
        Draft {
            kind: kind.to_owned(),
            payload: Vec::new(),
            lane: LaneId::new("default"),
            key: None,
            priority: 7,
            tags: HashMap::from([("a".to_owned(), "b".to_owned())]),
            delay: None,
            deadline: None,
            wishes: Wishes::default(),
        }
    }

    #[test]
    fn a_line_says_what_it_wants_and_the_flags_say_the_rest() {
        let line = r#"{"kind":"mail","payload":{"n":1.10,"b":[ ]},"lane":"m","key":"k","tags":{"c":"d"},
            "delay":"30s","retries":5,"backoff":"fixed:1s","capabilities":["x"]}"#;
        let draft = parse_line(line, &defaults(""), 100).unwrap();
        assert_eq!(draft.payload, br#"{"n":1.10,"b":[ ]}"#);
        assert_eq!((draft.kind.as_str(), draft.lane.as_str(), draft.priority), ("mail", "m", 7));
        assert_eq!((draft.tags["a"].as_str(), draft.tags["c"].as_str()), ("b", "d"));
        assert_eq!(draft.delay, Some(Duration::from_secs(30)));
        assert_eq!(draft.wishes.retries, Some(5));

        let bytes = parse_line(r#"{"kind":"k","payload_base64":"AP8="}"#, &defaults(""), 9).unwrap();
        assert_eq!(bytes.payload, [0, 0xff]);
        let null = parse_line(r#"{"kind":"k","payload":null}"#, &defaults(""), 9).unwrap();
        assert_eq!(null.payload, b"null");
        assert!(parse_line(r#"{"kind":"k"}"#, &defaults(""), 9).unwrap().payload.is_empty());
    }

    #[test]
    fn with_a_kind_on_the_command_line_any_json_is_the_payload() {
        for line in ["1", "\"x\"", "[1, 2]", "null", r#"{"kind":"other"}"#] {
            let draft = parse_line(line, &defaults("k"), 100).unwrap();
            assert_eq!((draft.kind.as_str(), draft.payload.as_slice()), ("k", line.as_bytes()));
        }
        assert!(parse_line("x", &defaults("k"), 100).is_err());
        assert!(parse_line("1 2", &defaults("k"), 100).is_err());
    }

    #[test]
    fn a_malformed_line_says_what_is_wrong_with_it() {
        for (line, why) in [
            ("", "EOF"),
            ("1", "invalid type"),
            ("{}", "missing field `kind`"),
            (r#"{"kind":""}"#, "kind is empty"),
            (r#"{"kind":"k","colour":1}"#, "unknown field `colour`"),
            (r#"{"kind":"k","payload":1,"payload_base64":"AA=="}"#, "not both"),
            (r#"{"kind":"k","payload_base64":"?"}"#, "not base64"),
            (r#"{"kind":"k","delay":"30"}"#, "without a unit"),
            (r#"{"kind":"k","delay":30}"#, "invalid type"),
            (r#"{"kind":"k","lane":""}"#, "lane"),
            (r#"{"kind":"k","priority":9001}"#, "9001"),
            (r#"{"kind":"k","backoff":"x"}"#, "not a back-off"),
            (r#"{"kind":"k","payload":"0123456789"}"#, "12 bytes; the limit is 10 bytes"),
        ] {
            let error = parse_line(line, &defaults(""), 10).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn reading_stops_at_the_first_bad_line_and_names_it() {
        let (sender, mut rows) = mpsc::channel(10);
        read_lines(&b"1\n\n2\nx\n3\n"[..], &defaults("k"), 10, &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(row) = rows.blocking_recv() {
            match row {
                Ok(row) => lines.push(row.line),
                Err(error) => {
                    assert_eq!(error.exit, Exit::Usage);
                    assert!(error.what.contains("line 4"), "{}", error.what);
                }
            }
        }
        assert_eq!(lines, [1, 3]);
    }

    #[test]
    fn an_inline_payload_is_json_within_the_limit() {
        assert_eq!(read_payload(None, 9).unwrap(), b"");
        assert_eq!(read_payload(Some("{ \"a\": 1 }"), 99).unwrap(), b"{ \"a\": 1 }");
        assert_eq!(read_payload(Some("text"), 9).unwrap_err().exit, Exit::Usage);
        let error = read_payload(Some("[1,2,3,4,5]"), 5).unwrap_err();
        assert_eq!(error.code, "payload_too_large");
        assert!(error.why.unwrap().contains("11 bytes; the limit is 5 bytes"));
        assert_eq!(read_payload(Some("@/no/such/file"), 9).unwrap_err().exit, Exit::NotFound);
    }
}
