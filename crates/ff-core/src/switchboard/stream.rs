//! Streams: appending by handle, reading by place, waiting for more.

use std::time::Duration;

use super::{invalid, opened};
use crate::EngineError;
use crate::backend::{
    AppendFrameOutcome, Frame, Handle, PatchKind, SummaryDocument, TailVisibility,
};
use crate::contracts::{STREAM_READ_HARD_CAP, StreamCursor, StreamFrame, StreamFrames};
use crate::machine::limits::STREAM_PAGE_MAX_BYTES;
use crate::machine::stream::rows::SEQ_MAX;
use crate::machine::stream::{self, AppendFrame, Closing, FrameId};
use crate::machine::{Context, Fence, Footprint, Limits, sweep};
use crate::store::{FrameRange, Reader, Store, StreamKey};
use crate::types::{AttemptIndex, ExecutionId, TimestampMs};

pub(super) async fn append_frame<S: Store>(
    store: &S,
    handle: &Handle,
    frame: Frame,
) -> Result<AppendFrameOutcome, EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    store.execute(AppendFrame { execution_id: payload.execution_id, fence, frame }).await
}

pub(super) async fn read_stream<S: Store>(
    store: &S,
    execution_id: &ExecutionId,
    attempt_index: AttemptIndex,
    from: &StreamCursor,
    to: &StreamCursor,
    count_limit: u64,
) -> Result<StreamFrames, EngineError> {
    let limit = within(count_limit)?;
    let range = FrameRange {
        execution_id: execution_id.clone(),
        attempt_index,
        from: place(from, 0)?,
        // A bare millisecond as an upper bound includes all of its frames.
        to: place(to, SEQ_MAX)?,
        without_best_effort: false,
    };
    let now = store.now();
    store.read(move |reader| frames(reader, &range, limit, now)).await
}

/// How much a tail wants, and how long it waits for it.
pub(super) struct TailPage {
    pub(super) block_ms: u64,
    pub(super) count_limit: u64,
    pub(super) visibility: TailVisibility,
}

pub(super) async fn tail_stream<S: Store>(
    store: &S,
    execution_id: &ExecutionId,
    attempt_index: AttemptIndex,
    after: &StreamCursor,
    page: TailPage,
) -> Result<StreamFrames, EngineError> {
    let TailPage { block_ms, count_limit, visibility } = page;
    if !after.is_concrete() {
        return Err(invalid("tail_stream requires concrete after cursor"));
    }
    let limit = within(count_limit)?;
    let range = FrameRange {
        execution_id: execution_id.clone(),
        attempt_index,
        from: behind(place(after, 0)?),
        to: FrameId::LAST,
        without_best_effort: visibility == TailVisibility::ExcludeBestEffort,
    };
    let look = async || {
        let (range, now) = (range.clone(), store.now());
        store.read(move |reader| frames(reader, &range, limit, now)).await
    };
    if block_ms == 0 {
        return look().await;
    }
    let begun = tokio::time::Instant::now();
    let block = Duration::from_millis(block_ms);
    let mut watch = store.watch_stream(StreamKey::new(execution_id, attempt_index))?;
    loop {
        watch.arm();
        let found = look().await?;
        let left = block.saturating_sub(begun.elapsed());
        if !found.frames.is_empty() || found.is_closed() || left.is_zero() {
            return Ok(found);
        }
        store.wait_stream(&mut watch, left).await;
    }
}

pub(super) async fn read_summary<S: Store>(
    store: &S,
    execution_id: &ExecutionId,
    attempt_index: AttemptIndex,
) -> Result<Option<SummaryDocument>, EngineError> {
    let mut footprint = Footprint::execution(execution_id);
    footprint.stream.summary = Some(attempt_index);
    let seen = super::load(store, footprint).await?;
    let at = |at: TimestampMs| u64::try_from(at.0).unwrap_or(0);
    Ok(seen.stream.summary.map(|summary| {
        SummaryDocument::new(
            summary.document.into_bytes(),
            summary.version,
            PatchKind::JsonMergePatch,
            at(summary.updated_at),
            at(summary.first_applied_at),
        )
    }))
}

fn within(count_limit: u64) -> Result<usize, EngineError> {
    match count_limit {
        0 => Err(invalid("count_limit must be >= 1")),
        1..=STREAM_READ_HARD_CAP => Ok(usize::try_from(count_limit).unwrap_or(usize::MAX)),
        _ => Err(invalid("count_limit_exceeds_hard_cap")),
    }
}

/// The place a cursor stands for; a bare millisecond means its frame `seq`.
fn place(cursor: &StreamCursor, seq: u64) -> Result<FrameId, EngineError> {
    let id = match cursor {
        StreamCursor::Start => return Ok(FrameId::FIRST),
        StreamCursor::End => return Ok(FrameId::LAST),
        StreamCursor::At(id) => id,
    };
    // A cursor built by hand may hold any text.
    let checked: StreamCursor = id.parse().map_err(|error| invalid(format!("{error}")))?;
    if !checked.is_concrete() {
        return Err(invalid(format!("`{id}` is not the id of a frame")));
    }
    let too_large = |_| invalid(format!("stream cursor '{id}' lies beyond every frame"));
    let (ms, given) = match id.split_once('-') {
        Some((ms, given)) => (ms, given.parse::<u64>().map_err(too_large)?),
        None => (id.as_str(), seq),
    };
    let ms = ms.parse::<i64>().map_err(too_large)?;
    Ok(FrameId { ms: TimestampMs(ms), seq: given.min(SEQ_MAX) })
}

/// The first place behind a frame.
fn behind(id: FrameId) -> FrameId {
    if id.seq < SEQ_MAX {
        FrameId { seq: id.seq + 1, ..id }
    } else {
        FrameId { ms: TimestampMs(id.ms.0.saturating_add(1)), seq: 0 }
    }
}

/// One page, and whether the stream has closed, as both stand with what is due applied.
fn frames(
    reader: &mut dyn Reader,
    range: &FrameRange,
    limit: usize,
    now: TimestampMs,
) -> Result<StreamFrames, EngineError> {
    let index = range.attempt_index;
    let mut footprint = Footprint::execution(&range.execution_id).with_attempt(index);
    footprint.stream.meta = Some(index);
    let seen = reader.load(&footprint)?;
    let limits = Limits::default();
    let settled = sweep::settle(&seen, &mut Context::new(now, 0, &limits)).map(|(_, rows)| rows);
    let seen = settled.as_ref().unwrap_or(&seen);
    let closing = match (&seen.execution, seen.attempt(index)) {
        (Some(execution), Some(attempt)) => stream::closing::closing(execution, attempt),
        (_, _) => None,
    };
    let ends_at = match (&seen.execution, seen.attempt(index)) {
        (Some(execution), Some(attempt)) => stream::expire::ends_at(execution, attempt),
        (_, _) => None,
    };
    let is_gone = seen.stream.meta.as_ref().is_some_and(|meta| meta.has_expired(now))
        || ends_at.is_some_and(|at| at <= now);
    let found = if is_gone || range.from > range.to {
        Vec::new()
    } else {
        reader.frames(range, limit, STREAM_PAGE_MAX_BYTES)?
    };
    let frames = found
        .into_iter()
        .map(|frame| StreamFrame { id: frame.id.to_string(), fields: frame.fields })
        .collect();
    let (closed_at, closed_reason) = match closing {
        Some(Closing { at, reason }) => (Some(at), Some(reason.to_owned())),
        None => (None, None),
    };
    Ok(StreamFrames { frames, closed_at, closed_reason })
}
