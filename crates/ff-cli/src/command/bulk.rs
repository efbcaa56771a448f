//! Bulk submission: `ff submit --jsonl`, a line an execution.
//!
//! A thread reads and checks lines; the command takes them in chunks, each submitted whole or not at
//! all. A chunk ends at the engine's bounds, or when its first row has waited long enough. The first bad
//! line ends everything: its chunk is dropped, the chunks before it stay, and the error says where to
//! go on.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ff_core::EngineError;
use ff_core::contracts::{
    CREATE_BATCH_MAX_BYTES, CREATE_BATCH_MAX_ROWS, CreateExecutionArgs, CreateExecutionResult,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::engine_error::ConflictKind;
use ff_core::state::PublicState;
use ff_core::types::ExecutionId;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::command::submit::{
    Draft, Refusal, SubmitArgs, did_not_complete, engine_now, open, template, wait_for_end,
};
use crate::duration::parse as parse_duration;
use crate::error::{Error, Exit, Result, Retry};
use crate::filter::parse_lane;
use crate::id;
use crate::output::{Format, Output, escape, shorten};
use crate::policy::parse_backoff;
use crate::store::{Location, Purpose, Store};
use crate::time;

/// A chunk that began this long ago is sent as it is: rows that trickle in must not wait for others.
const CHUNK_AGE: Duration = Duration::from_millis(20);

/// Most bytes of one line: a payload at its ceiling, in base64, with room for the rest.
const LINE_MAX_BYTES: u64 = 32 << 20;

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Rows read ahead of the engine.
const READ_AHEAD: usize = 2 * CREATE_BATCH_MAX_ROWS;

/// How long a busy store is asked again before the command gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// More ids than this are not shown to a person unless asked for.
const IDS_SHOWN: usize = 20;

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

/// A line that is no object has no kind, and serde would take an array for one.
fn refuse_other_than_object(text: &str) -> Result<(), String> {
    let found = match text.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ if matches!(text, "null" | "true" | "false") => text,
        _ => return Ok(()),
    };
    Err(format!(
        "it is {found}, not an object such as {{\"kind\": \"mail\", \"payload\": 1}}; to make every line \
         a payload, name its KIND on the command line, and if the file is one array, let \
         `jq -c '.[]'` make lines of it"
    ))
}

/// Reads one line into a draft; what it leaves out comes from the template.
fn parse_line(text: &str, template: &Draft, limit: usize) -> Result<Draft, String> {
    let mut draft = template.clone();
    if template.kind.is_empty() {
        refuse_other_than_object(text)?;
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
    draft.check().map_err(|Refusal { why, fix }| format!("{why}: {fix}"))?;
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
fn read_lines(source: impl Read, template: &Draft, limit: usize, rows: &mpsc::Sender<Result<Row>>) {
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
        if line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
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
struct Submitted {
    output: Output,
    /// Whether a person watches stdout: they get a few ids only.
    watched: bool,
    progress: ProgressBar,
    count: usize,
    duplicates: usize,
    /// What is to be waited for; empty without --wait.
    ids: Vec<ExecutionId>,
    keeps_ids: bool,
    /// The line after the last one that is in the store.
    next_line: u64,
    told: bool,
}

impl Drop for Submitted {
    /// A signal drops the command where it stands; a person should know how far it came.
    fn drop(&mut self) {
        if !self.told && self.count > 0 && self.output.format == Format::Table {
            self.progress.finish_and_clear();
            let (count, next) = (self.count, self.next_line);
            eprintln!("{count} executions of the lines before line {next} are submitted");
        }
    }
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    args: &SubmitArgs,
    path: &Path,
) -> Result<ExitCode> {
    let limit = location.limits.payload_bytes;
    let (file, size) = if path == Path::new("-") {
        (None, None)
    } else {
        let (file, about) = open(path)?;
        (Some(file), about.is_file().then_some(about.len()))
    };
    let purpose = if args.wait { Purpose::Serve } else { Purpose::Submit };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let draft = template(engine.as_ref(), args).await?;
    let (rows, mut received) = mpsc::channel(READ_AHEAD);
    std::thread::Builder::new()
        .name("ff-lines".to_owned())
        .spawn(move || match file {
            Some(file) => read_lines(file, &draft, limit, &rows),
            None => read_lines(io::stdin().lock(), &draft, limit, &rows),
        })
        .map_err(|error| Error::io("start reading", &error))?;

    let began = time::instant();
    let mut submitted = Submitted {
        output,
        watched: output.format == Format::Table && io::stdout().is_terminal(),
        progress: progress_bar(output, size),
        count: 0,
        duplicates: 0,
        ids: Vec::new(),
        keeps_ids: args.wait,
        next_line: 1,
        told: false,
    };
    let outcome = chunks(engine.as_ref(), &mut received, &mut submitted).await;
    submitted.progress.finish_and_clear();
    tell_submitted(&mut submitted, began, outcome.is_ok());
    outcome.map_err(|error| stopped(error, &submitted))?;
    let answer = if args.wait {
        let file = store.file();
        tokio::select! {
            answer = wait_for_all(engine.as_ref(), output, &submitted.ids, args.timeout) => answer,
            gone = file.moved() => Err(gone),
        }
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
        Some(size) => ProgressBar::new(size)
            .with_style(style("{msg} {wide_bar:.cyan/blue} {bytes}/{total_bytes} {eta}")),
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
                        send(engine, &mut chunk, submitted).await?;
                        bytes = 0;
                        began = None;
                        continue;
                    }
                }
            }
        };
        let Some(row) = next else { return send(engine, &mut chunk, submitted).await };
        let row = row?;
        let size = row.draft.payload.len();
        if bytes + size > CREATE_BATCH_MAX_BYTES {
            send(engine, &mut chunk, submitted).await?;
            bytes = 0;
            began = None;
        }
        bytes += size;
        chunk.push(row);
        let began_at = *began.get_or_insert_with(time::instant);
        if chunk.len() == CREATE_BATCH_MAX_ROWS || time::instant() >= began_at + CHUNK_AGE {
            send(engine, &mut chunk, submitted).await?;
            bytes = 0;
            began = None;
        }
    }
}

async fn send(
    engine: &dyn EngineBackend,
    chunk: &mut Vec<Row>,
    submitted: &mut Submitted,
) -> Result<()> {
    let Some(last) = chunk.last() else { return Ok(()) };
    let (last_line, offset) = (last.line, last.offset);
    let now = engine_now(engine).await?;
    let lines: Vec<_> = chunk.iter().map(|row| row.line).collect();
    let batch: Vec<_> = chunk.drain(..).map(|row| row.draft.args(now)).collect();
    let results =
        try_create(engine, &batch).await.map_err(|error| refused(&error, &batch, &lines))?;
    submitted.next_line = last_line + 1;
    let shown = tell_chunk(submitted, &results, &lines);
    for result in results {
        let (id, duplicate) = parts(&result);
        submitted.count += 1;
        submitted.duplicates += usize::from(duplicate);
        if submitted.keeps_ids {
            submitted.ids.push(id.clone());
        }
    }
    submitted.progress.set_position(offset);
    submitted.progress.set_message(format!("{} submitted", submitted.count));
    shown
}

fn parts(result: &CreateExecutionResult) -> (&ExecutionId, bool) {
    match result {
        CreateExecutionResult::Created { execution_id, .. } => (execution_id, false),
        CreateExecutionResult::Duplicate { execution_id } => (execution_id, true),
    }
}

/// Prints what is in the store now: an interrupted command has told what was acknowledged.
fn tell_chunk(
    submitted: &Submitted,
    results: &[CreateExecutionResult],
    lines: &[u64],
) -> Result<()> {
    let most =
        if submitted.watched { IDS_SHOWN.saturating_sub(submitted.count) } else { usize::MAX };
    let mut text = String::new();
    for (result, line) in results.iter().zip(lines).take(most) {
        let (id, duplicate) = parts(result);
        if submitted.output.is_json() {
            let row = json!({
                "line": line,
                "id": id::show(id),
                "execution_id": id,
                "duplicate": duplicate,
            });
            text.push_str(&row.to_string());
        } else {
            text.push_str(&id::show(id));
        }
        text.push('\n');
    }
    if text.is_empty() {
        return Ok(());
    }
    submitted.progress.suspend(|| submitted.output.bytes(text.as_bytes()))
}

/// Says which line a batch was refused for; all of them where no row is to blame.
fn refused(error: &EngineError, batch: &[CreateExecutionArgs], lines: &[u64]) -> Error {
    let told = Error::engine("submit", error);
    let row = error.row().and_then(|row| Some((*lines.get(row)?, batch.get(row)?)));
    let Some((line, args)) = row else {
        let (first, last) = (lines.first().unwrap_or(&0), lines.last().unwrap_or(&0));
        return told.context(&format!("lines {first} to {last}"));
    };
    let Some(owner) = key_owner(error) else { return told.context(&format!("line {line}")) };
    let key = shorten(args.idempotency_key.as_deref().unwrap_or_default(), 80);
    let told = told.fix("give the line another `key`, or make it exactly what has the key");
    let of_batch = lines.iter().zip(batch).find(|(_, args)| args.execution_id == *owner);
    match of_batch {
        Some((other, _)) => told.why(format!(
            "the key `{key}` of line {line} is that of line {other} already, with another kind, \
             lane, payload or policy"
        )),
        None => told.about(owner).why(format!(
            "the key `{key}` of line {line} belongs to {}, which has another kind, lane, payload \
             or policy",
            id::show(owner)
        )),
    }
}

/// Whose key was used again.
fn key_owner(error: &EngineError) -> Option<&ExecutionId> {
    match error {
        EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } => {
            key_owner(source)
        }
        EngineError::Conflict(ConflictKind::IdempotencyKeyReuse { execution_id }) => {
            Some(execution_id)
        }
        _ => None,
    }
}

/// Submits a batch; a busy store is asked again, which is safe because the ids stay the same.
pub(crate) async fn create(
    engine: &dyn EngineBackend,
    batch: Vec<CreateExecutionArgs>,
) -> Result<Vec<CreateExecutionResult>> {
    try_create(engine, &batch).await.map_err(|error| Error::engine("submit", &error))
}

async fn try_create(
    engine: &dyn EngineBackend,
    batch: &[CreateExecutionArgs],
) -> Result<Vec<CreateExecutionResult>, EngineError> {
    let give_up = time::instant() + PATIENCE;
    let mut retry = Retry::default();
    loop {
        let error = match engine.create_executions(batch.to_vec()).await {
            Ok(results) => return Ok(results),
            Err(error) => error,
        };
        match retry.after(&error) {
            Some(pause) if time::instant() < give_up => tokio::time::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// Says what is in the store when a bulk submit stops half-way.
fn stopped(mut error: Error, submitted: &Submitted) -> Error {
    let next = submitted.next_line;
    if submitted.count == 0 {
        error.fix = Some(error.fix.unwrap_or_else(|| {
            "nothing was submitted: mend the line and run the command again".to_owned()
        }));
        return error;
    }
    let first = error.fix.unwrap_or_else(|| "mend the line".to_owned());
    error.fix = Some(format!(
        "{} executions of the lines before line {next} are submitted; {first}, then go on with \
         `tail -n +{next} FILE | ff submit --jsonl -`",
        submitted.count
    ));
    error
}

/// Sums up for a person.
fn tell_submitted(submitted: &mut Submitted, began: Instant, complete: bool) {
    submitted.told = true;
    let output = submitted.output;
    if output.quiet || output.format != Format::Table || (!complete && submitted.count == 0) {
        return;
    }
    let ms = time::millis(time::instant() - began);
    let duplicates = match submitted.duplicates {
        0 => String::new(),
        some => format!(" ({some} were there before)"),
    };
    let hidden = if submitted.watched && submitted.count > IDS_SHOWN {
        format!("; the ids of the first {IDS_SHOWN} are shown, -q shows all")
    } else {
        String::new()
    };
    eprintln!(
        "submitted {}{duplicates} in {}{hidden}",
        submitted.count - submitted.duplicates,
        crate::duration::elapsed(ms)
    );
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
    use ff_core::types::LaneId;

    use super::*;
    use crate::policy::Wishes;

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

        let bytes =
            parse_line(r#"{"kind":"k","payload_base64":"AP8="}"#, &defaults(""), 9).unwrap();
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
            ("1", "it is a number, not an object"),
            (r#"["k",1]"#, "it is an array, not an object"),
            ("null", "it is null, not an object"),
            (r#"{"kind":"k","lane":"a,b"}"#, "has a comma"),
            (r#"{"kind":"k","key":""}"#, "the key is empty"),
            (r#"{"kind":"k","retries":1001}"#, "more than 1000"),
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
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let (sender, mut rows) = mpsc::channel(10);
        read_lines("\u{feff}1\n2\n".as_bytes(), &defaults("k"), 10, &sender);
        drop(sender);
        let first = rows.blocking_recv().unwrap().unwrap();
        assert_eq!((first.draft.payload.as_slice(), first.offset), (&b"1"[..], 5));
        assert_eq!(rows.blocking_recv().unwrap().unwrap().line, 2);
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
}
