//! `ff submit`: bring work, one execution or a file of them.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use ff_core::contracts::{CreateExecutionArgs, CreateExecutionResult, ExecutionSummary};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::limits::{
    IDENTIFIER_MAX_BYTES, NAME_MAX_BYTES, RETRIES_MAX, TAG_KEY_MAX_BYTES, TAG_VALUE_MAX_BYTES,
    TAGS_MAX,
};
use ff_core::partition::PartitionConfig;
use ff_core::policy::BackoffStrategy;
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs};
use serde_json::value::RawValue;
use serde_json::{Map, json};

use crate::command::bulk;
use crate::duration::{parse as parse_duration, parse_positive};
use crate::error::{Error, Exit, Result};
use crate::filter::{is_ended, parse_lane, parse_tag};
use crate::id;
use crate::output::{Format, Output, escape_lines, put_bytes, shorten};
use crate::policy::{Wishes, parse_backoff};
use crate::store::{Location, Purpose, Store};
use crate::time;

/// The namespace of everything the command line brings.
pub(crate) const NAMESPACE: &str = "default";

/// The lane of what names none.
pub(crate) const DEFAULT_LANE: &str = "default";

/// Who the command line says it is.
const CREATOR: &str = "ff-cli";

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
    /// An idempotency key: the same key again, within 24 hours, submits nothing new.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    work: WorkFlags,
    /// Wait for the end and print the result; exit code 5 if it did not complete.
    #[arg(short = 'f', long, visible_alias = "follow")]
    pub(crate) wait: bool,
    /// Wait at most this long; exit code 6 after it.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = parse_positive)]
    pub(crate) timeout: Option<Duration>,
}

/// How an execution is to be run.
#[derive(Debug, Args)]
pub(crate) struct WorkFlags {
    /// The lane it waits in [default: default; for a child, its parent's].
    #[arg(long, value_parser = parse_lane)]
    pub(crate) lane: Option<LaneId>,
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
    /// A budget it spends from, by name or id; may be repeated.
    #[arg(long, value_name = "BUDGET", value_delimiter = ',')]
    budget: Vec<String>,
}

impl WorkFlags {
    /// Puts into a draft what the flags say, except the lane.
    pub(crate) async fn fill(&self, engine: &dyn EngineBackend, draft: &mut Draft) -> Result<()> {
        refuse_repeated_tags(&self.tag)?;
        self.put(draft);
        for name in &self.budget {
            let budget = id::resolve_budget(engine, name).await?;
            if !draft.wishes.budgets.contains(&budget) {
                draft.wishes.budgets.push(budget);
            }
        }
        Ok(())
    }

    fn put(&self, draft: &mut Draft) {
        draft.priority = self.priority;
        draft.tags = self.tag.iter().cloned().collect();
        draft.delay = self.delay;
        draft.deadline = self.deadline;
        draft.wishes = Wishes {
            retries: self.retries,
            backoff: self.backoff.clone(),
            attempt_timeout: self.attempt_timeout,
            max_reclaims: self.max_reclaims,
            capabilities: self.capability.iter().cloned().collect(),
            budgets: Vec::new(),
        };
    }
}

const SUBMIT_HELP: &str = r#"Each line of --jsonl is an object:
  {"kind": "mail", "payload": {"to": "a@b.c"}, "lane": "mail", "key": "order-42", "priority": 10,
   "tags": {"team": "core"}, "delay": "30s", "deadline": "1h", "attempt_timeout": "5m",
   "retries": 5, "backoff": "exp:1s..60s", "max_reclaims": 3, "capabilities": ["smtp"]}
All but `kind` may be left out; flags serve as defaults; `payload_base64` carries bytes that are not
JSON. With KIND on the command line, a line is any JSON value and becomes the payload.

Lines are submitted in chunks, each whole or not at all; the ids of a chunk are printed as soon as it is
stored, one a line and in the order of the file. With --json that is one object a line:
  {"line": 1, "id": "exe_…", "execution_id": "…", "duplicate": false}"#;

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
    /// An execution of which only the lane is known.
    pub(crate) fn of_lane(lane: LaneId) -> Self {
        Self {
            kind: String::new(),
            payload: Vec::new(),
            lane,
            key: None,
            priority: 0,
            tags: HashMap::new(),
            delay: None,
            deadline: None,
            wishes: Wishes::default(),
        }
    }

    /// The engine's form of it, under a new id.
    pub(crate) fn args(self, now: TimestampMs) -> CreateExecutionArgs {
        let id = new_id(&self.lane);
        self.args_as(id, now)
    }

    /// The engine's form of it.
    pub(crate) fn args_as(
        self,
        execution_id: ExecutionId,
        now: TimestampMs,
    ) -> CreateExecutionArgs {
        let later = |span: Duration| {
            TimestampMs(now.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
        };
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

/// Why a draft cannot be submitted, and what to do about it.
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) fix: &'static str,
}

impl Draft {
    /// Checks what the engine would refuse, and what would be stored and not be what was meant.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let refused = |why: String, fix| Err(Refusal { why, fix });
        if self.kind.is_empty() {
            return refused("kind is empty".to_owned(), "name the kind of work, for example mail");
        }
        if self.kind.len() > NAME_MAX_BYTES {
            return refused(
                format!("the kind is {} bytes; the limit is {NAME_MAX_BYTES}", self.kind.len()),
                "give a short kind, and put the rest into the payload",
            );
        }
        if self.kind.contains('\0') {
            return refused(
                "the kind has a NUL, and a worker could not hand it to a command".to_owned(),
                "leave it out",
            );
        }
        if self.lane.as_str().contains(',') {
            return refused(
                format!(
                    "the lane `{}` has a comma: `ff work --lane` separates lanes by commas, so no \
                     worker could serve it",
                    self.lane.as_str()
                ),
                "name a lane without commas",
            );
        }
        match &self.key {
            Some(key) if key.is_empty() => {
                return refused(
                    "the key is empty, and would not keep a second submit from submitting again"
                        .to_owned(),
                    "give a key (an unset variable, perhaps?), or leave it out",
                );
            }
            Some(key) if key.len() > IDENTIFIER_MAX_BYTES => {
                return refused(
                    format!("the key is {} bytes; the limit is {IDENTIFIER_MAX_BYTES}", key.len()),
                    "give a shorter key, for example a hash of it",
                );
            }
            _ => {}
        }
        match self.wishes.retries {
            Some(retries) if retries > RETRIES_MAX => {
                return refused(
                    format!("{retries} retries are more than {RETRIES_MAX}"),
                    "ask for at most 1000 retries; a longer --backoff makes them last",
                );
            }
            _ => {}
        }
        if self.tags.len() > TAGS_MAX {
            return refused(
                format!("{} tags are more than {TAGS_MAX}", self.tags.len()),
                "put what is not searched for into the payload",
            );
        }
        for (name, value) in &self.tags {
            if name.len() > TAG_KEY_MAX_BYTES || value.len() > TAG_VALUE_MAX_BYTES {
                return refused(
                    format!(
                        "the tag `{}` has {} bytes of key and {} of value; the limits are \
                         {TAG_KEY_MAX_BYTES} and {TAG_VALUE_MAX_BYTES}",
                        shorten(name, 40),
                        name.len(),
                        value.len()
                    ),
                    "shorten the tag, and put the rest into the payload",
                );
            }
        }
        Ok(())
    }
}

/// Refuses a tag that is given twice: one of the two would be lost.
fn refuse_repeated_tags(tags: &[(String, String)]) -> Result<()> {
    let mut seen = HashSet::new();
    match tags.iter().find(|(name, _)| !seen.insert(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::usage(format!("the tag `{name}` is given twice"))
            .why("an execution has one value for each tag")
            .fix("give the tag once, or use two tags of different names")),
    }
}

pub(crate) async fn run(location: &Location, output: Output, args: SubmitArgs) -> Result<ExitCode> {
    refuse_repeated_tags(&args.work.tag)?;
    match &args.jsonl {
        Some(path) => bulk::run(location, output, &args, path).await,
        None => one(location, output, &args).await,
    }
}

/// What the flags say about each execution.
pub(crate) async fn template(engine: &dyn EngineBackend, args: &SubmitArgs) -> Result<Draft> {
    let mut draft = drafted(args);
    args.work.fill(engine, &mut draft).await?;
    Ok(draft)
}

/// What the flags say, without what only the store knows.
fn drafted(args: &SubmitArgs) -> Draft {
    let lane = args.work.lane.clone().unwrap_or_else(|| LaneId::new(DEFAULT_LANE));
    let mut draft = Draft::of_lane(lane);
    draft.kind = args.kind.clone().unwrap_or_default();
    draft.key.clone_from(&args.key);
    args.work.put(&mut draft);
    draft
}

async fn one(location: &Location, output: Output, args: &SubmitArgs) -> Result<ExitCode> {
    drafted(args)
        .check()
        .map_err(|Refusal { why, fix }| Error::usage("cannot submit this").why(why).fix(fix))?;
    let limit = location.limits.payload_bytes;
    let source = args.payload.clone();
    let payload = tokio::task::spawn_blocking(move || read_payload(source.as_deref(), limit))
        .await
        .map_err(|error| Error::io("read the payload", &io::Error::other(error)))??;
    let purpose = if args.wait { Purpose::Serve } else { Purpose::Submit };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let mut draft = template(engine.as_ref(), args).await?;
    draft.payload = payload;
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
        let file = store.file();
        tokio::select! {
            answer = wait_and_tell(engine.as_ref(), output, &id, args.timeout) => answer,
            gone = file.moved() => Err(gone.about(&id)),
        }
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

pub(crate) fn read_payload(source: Option<&str>, limit: usize) -> Result<Vec<u8>> {
    let limit_u64 = u64::try_from(limit).unwrap_or(u64::MAX);
    let source = match source {
        None => return Ok(Vec::new()),
        Some("-") => return read_up_to("stdin", io::stdin().lock(), limit),
        Some(source) => source,
    };
    if let Some(path) = source.strip_prefix('@') {
        let (file, about) = open(Path::new(path))?;
        let size = about.len();
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

/// Opens a file to read it; a directory is none.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata)> {
    let shown = path.display();
    let failed = |error: &io::Error| {
        Error::io(format!("read `{shown}`"), error).fix("check the path and its permissions")
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let about = file.metadata().map_err(|error| failed(&error))?;
    if about.is_dir() {
        return Err(Error::usage(format!("cannot read `{shown}`"))
            .why("it is a directory")
            .fix("name a file, or give - for stdin"));
    }
    Ok((file, about))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_payload_is_json_within_the_limit() {
        assert_eq!(read_payload(None, 9).unwrap(), b"");
        assert_eq!(read_payload(Some("{ \"a\": 1 }"), 99).unwrap(), b"{ \"a\": 1 }");
        assert_eq!(read_payload(Some("text"), 9).unwrap_err().exit, Exit::Usage);
        let error = read_payload(Some("[1,2,3,4,5]"), 5).unwrap_err();
        assert_eq!(error.code, "payload_too_large");
        assert!(error.why.unwrap().contains("11 bytes; the limit is 5 bytes"));
        let missing = read_payload(Some("@/no/such/file"), 9).unwrap_err();
        assert!(missing.exit == Exit::NotFound && missing.fix.is_some());
        let directory = read_payload(Some("@/"), 9).unwrap_err();
        assert!(directory.exit == Exit::Usage && directory.fix.is_some());
    }

    #[test]
    fn a_tag_is_given_once() {
        let tags = |names: [&str; 2]| names.map(|name| (name.to_owned(), "1".to_owned()));
        assert_eq!(refuse_repeated_tags(&tags(["a", "b"])), Ok(()));
        assert_eq!(refuse_repeated_tags(&tags(["a", "a"])).unwrap_err().exit, Exit::Usage);
    }
}
