//! `ff exec tail`: what an execution streams, live.

use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use ff_core::backend::TailVisibility;
use ff_core::contracts::{ExecutionSummary, StreamCursor, StreamFrame, StreamFrames};
use ff_core::engine_backend::EngineBackend;
use ff_core::types::{AttemptIndex, ExecutionId};
use serde_json::{Map, Value, json};

use crate::command::exec::summary;
use crate::error::{Error, Exit, Result, Retry};
use crate::filter::is_ended;
use crate::id;
use crate::output::{Format, Output, escape_lines, put_bytes};

/// Frames read in one go.
const PAGE: u64 = 1_000;

/// How long one look waits. It bounds how late an end without a last frame is noticed.
const BLOCK_MS: u64 = 1_000;

/// The type of a frame that is one line without its end.
pub(crate) const LINE: &str = "line";

/// Follows a stream.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// The execution, or the first digits of its id.
    id: String,
    /// Only this attempt, counted from 1; else the current one and those after it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Print what is there and end.
    #[arg(long)]
    no_follow: bool,
    /// Go on after this frame.
    #[arg(long, value_name = "FRAME")]
    after: Option<StreamCursor>,
    /// Leave out frames that are kept for a while only.
    #[arg(long)]
    durable: bool,
    /// Print the merged summary document, not the frames.
    #[arg(long, conflicts_with_all = ["after", "durable"])]
    summary: bool,
}

pub(super) async fn tail(
    engine: &dyn EngineBackend,
    output: Output,
    args: TailArgs,
) -> Result<ExitCode> {
    let id = id::resolve(engine, &args.id).await?;
    let first = summary(engine, &id).await?;
    let mut attempt = match args.attempt {
        Some(number) => AttemptIndex::new(number - 1),
        None => current(&first),
    };
    if args.summary {
        return print_summary(engine, output, &id, attempt).await;
    }
    let visibility =
        if args.durable { TailVisibility::ExcludeBestEffort } else { TailVisibility::All };
    let mut after = match args.after {
        None => StreamCursor::from_beginning(),
        Some(cursor) if cursor.is_concrete() => cursor,
        Some(StreamCursor::Start) => StreamCursor::from_beginning(),
        Some(_) => {
            return Err(Error::usage("--after needs a frame").fix("give an id that --json prints"));
        }
    };
    let mut printer = Printer { output, at_line_start: true };
    let mut retry = Retry::default();
    loop {
        let block = if args.no_follow { 0 } else { BLOCK_MS };
        let frames =
            match engine.tail_stream(&id, attempt, after.clone(), block, PAGE, visibility).await {
                Ok(frames) => frames,
                Err(error) => match retry.after(&error) {
                    Some(pause) => {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    None => return Err(Error::engine("follow the stream", &error).about(&id)),
                },
            };
        retry = Retry::default();
        let StreamFrames { frames, closed_at, closed_reason } = frames;
        for frame in &frames {
            printer.frame(attempt, frame)?;
        }
        if let Some(last) = frames.last() {
            after = StreamCursor::At(last.id.clone());
            // What follows a full page is read before anything is concluded.
            continue;
        }
        if args.no_follow {
            break;
        }
        let now = summary(engine, &id).await?;
        let newest = current(&now);
        if args.attempt.is_none() && newest > attempt {
            printer.next_attempt(newest, closed_reason.as_deref())?;
            attempt = newest;
            after = StreamCursor::from_beginning();
        } else if is_ended(now.public_state) || (args.attempt.is_some() && closed_at.is_some()) {
            printer.end()?;
            tell_end(output, &now);
            break;
        } else if closed_at.is_some() {
            // A closed stream answers at once, and the next attempt takes its time.
            tokio::time::sleep(std::time::Duration::from_millis(BLOCK_MS / 5)).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The attempt that runs or ran last; the first one before any.
fn current(summary: &ExecutionSummary) -> AttemptIndex {
    AttemptIndex::new(summary.attempt_count.saturating_sub(1))
}

fn tell_end(output: Output, summary: &ExecutionSummary) {
    if output.format == Format::Table && !output.quiet {
        eprintln!("{} is {}", id::show(&summary.execution_id), summary.public_state);
    }
}

async fn print_summary(
    engine: &dyn EngineBackend,
    output: Output,
    id: &ExecutionId,
    attempt: AttemptIndex,
) -> Result<ExitCode> {
    let found = engine
        .read_summary(id, attempt)
        .await
        .map_err(|error| Error::engine("read the summary", &error).about(id))?;
    let Some(found) = found else {
        return Err(Error::new(
            Exit::NotFound,
            "not_found",
            format!("{} has no summary", id::show(id)),
        )
        .fix("`ff task emit --summary` writes one")
        .about(id));
    };
    let document: Value = serde_json::from_slice(&found.document_json).map_err(|error| {
        Error::new(Exit::Error, "corruption", "the summary is not JSON")
            .why(error.to_string())
            .about(id)
    })?;
    output.json(&document)?;
    Ok(ExitCode::SUCCESS)
}

struct Printer {
    output: Output,
    /// Whether the last byte printed ended a line.
    at_line_start: bool,
}

impl Printer {
    fn frame(&mut self, attempt: AttemptIndex, frame: &StreamFrame) -> Result<()> {
        let bytes = payload(frame)?;
        let frame_type = frame.fields.get("frame_type").map_or("", String::as_str);
        match self.output.format {
            Format::Json => {
                let mut object = Map::new();
                object.insert("attempt".to_owned(), json!(u64::from(attempt.0) + 1));
                object.insert("frame".to_owned(), json!(frame.id));
                object.insert("type".to_owned(), json!(frame_type));
                for name in ["mode", "correlation_id", "ts"] {
                    if let Some(value) = frame.fields.get(name) {
                        object.insert(name.to_owned(), json!(value));
                    }
                }
                put_bytes(&mut object, "payload", &bytes);
                self.output.json_line(&object.into())
            }
            Format::Id => self.output.line(&frame.id),
            Format::Table => {
                let mut shown = if self.output.draws() {
                    escape_lines(&String::from_utf8_lossy(&bytes)).into_bytes()
                } else {
                    bytes
                };
                if frame_type == LINE {
                    shown.push(b'\n');
                }
                self.at_line_start = shown.last().map_or(self.at_line_start, |last| *last == b'\n');
                self.output.bytes(&shown)
            }
        }
    }

    /// Ends an unfinished line on a terminal; into a pipe nothing is added.
    fn end(&mut self) -> Result<()> {
        if self.output.draws() && !self.at_line_start {
            self.at_line_start = true;
            return self.output.bytes(b"\n");
        }
        Ok(())
    }

    fn next_attempt(&mut self, attempt: AttemptIndex, why: Option<&str>) -> Result<()> {
        self.end()?;
        if self.output.format == Format::Table && !self.output.quiet {
            let why = why.unwrap_or("ended");
            eprintln!("attempt {} ({why}); attempt {}:", attempt.0, u64::from(attempt.0) + 1);
        }
        Ok(())
    }
}

/// The bytes of a frame, as they were emitted.
fn payload(frame: &StreamFrame) -> Result<Vec<u8>> {
    let text = frame.fields.get("payload").map_or("", String::as_str);
    if frame.fields.get("encoding").is_some_and(|encoding| encoding == "base64") {
        return BASE64_STANDARD.decode(text).map_err(|error| {
            Error::new(Exit::Error, "corruption", format!("frame {} cannot be read", frame.id))
                .why(error.to_string())
        });
    }
    Ok(text.as_bytes().to_vec())
}
