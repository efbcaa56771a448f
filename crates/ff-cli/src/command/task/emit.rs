//! `ff task emit`: stdin becomes frames.
//!
//! A frame is on its way as soon as its line is read. Several are on their way at once, in the order in
//! which they were read; an answer is waited for before the command ends, so exit code 0 means that
//! everything is stored.

use std::collections::VecDeque;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use ff_core::EngineError;
use ff_core::backend::{AppendFrameOutcome, Frame, FrameKind, StreamMode};
use futures_util::poll;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::command::exec::tail::LINE;
use crate::command::task::Task;
use crate::duration::parse_positive;
use crate::error::{Error, Result, Retry};
use crate::output::{Format, Output};
use crate::time::millis;

/// Most bytes of one frame; a longer line is several frames.
const FRAME_MAX: usize = 64 * 1024;

/// Frames on their way at once: what one commit can take, and few enough to stop soon.
const IN_FLIGHT: usize = 64;

/// Streams frames.
#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// One frame with this text, instead of stdin.
    text: Option<String>,
    /// Frames as the bytes come, not lines.
    #[arg(long)]
    chunk: bool,
    /// It is what the work writes to stderr.
    #[arg(long, conflicts_with = "event")]
    stderr: bool,
    /// It is an event, for example a JSON object a line.
    #[arg(long)]
    event: bool,
    /// The type of the frames; `line` means that a line end follows.
    #[arg(long = "type", value_name = "TYPE")]
    frame_type: Option<String>,
    /// What they belong to.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Keep the frames about this long only.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive, conflicts_with = "summary")]
    best_effort: Option<Duration>,
    /// Each line is a JSON merge patch of the summary: `ff exec tail --summary` shows the document.
    #[arg(long, conflicts_with = "chunk")]
    summary: bool,
}

impl EmitArgs {
    fn frame(&self, bytes: Vec<u8>, is_line: bool) -> Frame {
        let kind = match (self.stderr, self.event) {
            (true, _) => FrameKind::Stderr,
            (false, true) => FrameKind::Event,
            (false, false) => FrameKind::Stdout,
        };
        let mut frame = Frame::new(bytes, kind);
        frame.mode = match self.best_effort {
            _ if self.summary => StreamMode::durable_summary(),
            Some(ttl) => {
                StreamMode::best_effort_live(u32::try_from(millis(ttl)).unwrap_or(u32::MAX))
            }
            None => StreamMode::durable(),
        };
        frame.frame_type = match &self.frame_type {
            Some(name) => name.clone(),
            None if is_line => LINE.to_owned(),
            None => String::new(),
        };
        frame.correlation_id.clone_from(&self.correlation);
        frame
    }
}

type Append<'a> =
    Pin<Box<dyn Future<Output = Result<AppendFrameOutcome, EngineError>> + Send + 'a>>;

/// Frames on their way, the oldest first.
struct Sender<'a> {
    task: &'a Task,
    in_flight: VecDeque<Append<'a>>,
    stored: u64,
}

impl<'a> Sender<'a> {
    /// Sends a frame behind those that are on their way.
    async fn send(&mut self, frame: Frame) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.settle_oldest().await?;
        }
        let mut append: Append<'a> = Box::pin(append(self.task, frame));
        // The first poll puts it into the engine's queue, so the order is that of these calls.
        match poll!(append.as_mut()) {
            Poll::Ready(answer) => self.settled(answer),
            Poll::Pending => {
                self.in_flight.push_back(append);
                Ok(())
            }
        }
    }

    async fn settle_oldest(&mut self) -> Result<()> {
        match self.in_flight.pop_front() {
            Some(append) => {
                let answer = append.await;
                self.settled(answer)
            }
            None => Ok(()),
        }
    }

    fn settled(&mut self, answer: Result<AppendFrameOutcome, EngineError>) -> Result<()> {
        match answer {
            Ok(_) => {
                self.stored += 1;
                Ok(())
            }
            Err(error) => {
                let stored = self.stored;
                Err(Error::engine("stream a frame", &error)
                    .context(&format!("{stored} frames are stored")))
            }
        }
    }

    /// Waits until all are stored.
    async fn finish(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }
}

async fn append(task: &Task, frame: Frame) -> Result<AppendFrameOutcome, EngineError> {
    let mut retry = Retry::default();
    loop {
        match task.engine.append_frame(&task.handle, frame.clone()).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => match retry.after(&error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            },
        }
    }
}

pub(super) async fn emit(task: &Task, output: Output, args: EmitArgs) -> Result<ExitCode> {
    let mut sender = Sender { task, in_flight: VecDeque::new(), stored: 0 };
    let sent = match &args.text {
        Some(text) => {
            let frame = args.frame(text.clone().into_bytes(), true);
            sender.send(frame).await
        }
        None if args.chunk => chunks(&args, &mut sender).await,
        None => lines(&args, &mut sender).await,
    };
    // What was sent before an error is stored or refused all the same.
    let finished = sender.finish().await;
    sent.and(finished)?;
    if output.format != Format::Table {
        output.json_line(&serde_json::json!({"frames": sender.stored}))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn lines(args: &EmitArgs, sender: &mut Sender<'_>) -> Result<()> {
    let mut source = BufReader::with_capacity(FRAME_MAX, tokio::io::stdin());
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.read_until(b'\n', &mut line).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Error::io("read stdin", &error)),
        }
        let ended = line.last() == Some(&b'\n');
        if ended {
            line.pop();
        }
        if args.summary && line.is_empty() {
            continue;
        }
        let mut rest = line.as_slice();
        // A line that is longer than a frame loses nothing: its pieces have no line end.
        while rest.len() > FRAME_MAX && !args.summary {
            let (piece, tail) = rest.split_at(FRAME_MAX);
            sender.send(args.frame(piece.to_vec(), false)).await?;
            rest = tail;
        }
        sender.send(args.frame(rest.to_vec(), ended)).await?;
    }
}

async fn chunks(args: &EmitArgs, sender: &mut Sender<'_>) -> Result<()> {
    let mut source = tokio::io::stdin();
    let mut chunk = vec![0; FRAME_MAX];
    loop {
        match source.read(&mut chunk).await {
            Ok(0) => return Ok(()),
            Ok(read) => sender.send(args.frame(chunk[..read].to_vec(), false)).await?,
            Err(error) => return Err(Error::io("read stdin", &error)),
        }
    }
}
