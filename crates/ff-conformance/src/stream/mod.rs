//! Streams: what attempts write while they run, and who reads it.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod append_frame;
pub mod read_stream;
pub mod read_summary;
pub mod retention;
pub mod tail_stream;

use ff_core::EngineError;
use ff_core::backend::{AppendFrameOutcome, Frame, FrameKind, StreamMode};
use ff_core::contracts::{StreamCursor, StreamFrames};
use ff_core::types::{AttemptIndex, ExecutionId};

use crate::harness::{Bench, Held};

/// A durable frame of text.
fn text(text: &str) -> Frame {
    Frame::new(text.as_bytes().to_vec(), FrameKind::Stdout)
}

/// A patch of the summary.
fn patch(json: &str) -> Frame {
    Frame::new(json.as_bytes().to_vec(), FrameKind::Event).with_mode(StreamMode::durable_summary())
}

/// A best-effort frame with this TTL.
fn live(content: &str, ttl_ms: u32) -> Frame {
    text(content).with_mode(StreamMode::best_effort_live(ttl_ms))
}

async fn try_append(
    bench: &Bench,
    held: &Held,
    frame: Frame,
) -> Result<AppendFrameOutcome, EngineError> {
    bench.engine.append_frame(&held.handle, frame).await
}

async fn append(bench: &Bench, held: &Held, frame: Frame) -> AppendFrameOutcome {
    try_append(bench, held, frame).await.expect("appended")
}

/// The whole stream of an attempt.
async fn stream_of(bench: &Bench, id: &ExecutionId, attempt: u32) -> StreamFrames {
    read(bench, id, attempt, StreamCursor::start(), StreamCursor::end(), 10_000).await
}

async fn read(
    bench: &Bench,
    id: &ExecutionId,
    attempt: u32,
    from: StreamCursor,
    to: StreamCursor,
    limit: u64,
) -> StreamFrames {
    let index = AttemptIndex(attempt);
    bench.engine.read_stream(id, index, from, to, limit).await.expect("a read")
}

/// The payloads of frames, in order.
fn payloads(frames: &StreamFrames) -> Vec<&str> {
    frames.frames.iter().map(|frame| frame.fields["payload"].as_str()).collect()
}

/// The ids of frames, in order.
fn ids(frames: &StreamFrames) -> Vec<&str> {
    frames.frames.iter().map(|frame| frame.id.as_str()).collect()
}

fn at(id: &str) -> StreamCursor {
    StreamCursor::At(id.to_owned())
}
