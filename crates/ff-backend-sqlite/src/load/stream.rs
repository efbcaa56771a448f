//! Loading the counters and the summary of a stream.

use ff_core::EngineError;
use ff_core::machine::stream::{FrameId, Meta, Seen, Summary, Wanted};
use ff_core::types::{AttemptIndex, ExecutionId, TimestampMs};
use rusqlite::params;

use crate::error::Doing as _;
use crate::row::{Columns, unsigned};
use crate::session::{SqliteSession, prepared};
use crate::statement;

pub(crate) fn seen(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    wanted: &Wanted,
) -> Result<Seen, EngineError> {
    let meta = match wanted.meta {
        Some(index) => meta(conn, id, index)?,
        None => None,
    };
    let summary = match wanted.summary {
        Some(index) => summary(conn, id, index)?,
        None => None,
    };
    Ok(Seen { meta, summary })
}

fn meta(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    attempt_index: AttemptIndex,
) -> Result<Option<Meta>, EngineError> {
    let what = "load the counters of a stream";
    let mut statement = prepared(conn, statement::STREAM_META_LOAD)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes(), attempt_index.0])
        .doing(what)?;
    let Some(row) = rows.next().doing(what)? else { return Ok(None) };
    let mut columns = Columns::of(row);
    let count = |column, value| unsigned("ff_stream_meta", column, id, value);
    let last_ms = columns.instant()?;
    let seq = count("last_seq", columns.next()?)?;
    Ok(Some(Meta {
        execution_id: id.clone(),
        attempt_index,
        last: last_ms.map(|ms| FrameId { ms, seq }),
        frame_count: count("frame_count", columns.next()?)?,
        total_bytes: count("total_bytes", columns.next()?)?,
        durable_kept: count("durable_kept", columns.next()?)?,
        summary_kept: count("summary_kept", columns.next()?)?,
        best_effort_kept: count("best_effort_kept", columns.next()?)?,
        rate_hz: columns.next()?,
        best_effort_at: columns.instant()?.filter(|at| at.0 != 0),
        best_effort_max: count("maxlen_applied_last", columns.next()?)?,
        expires_at: columns.instant()?,
        look_at: columns.instant()?,
    }))
}

fn summary(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    attempt_index: AttemptIndex,
) -> Result<Option<Summary>, EngineError> {
    let what = "load the summary of a stream";
    let mut statement = prepared(conn, statement::STREAM_SUMMARY_LOAD)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes(), attempt_index.0])
        .doing(what)?;
    let Some(row) = rows.next().doing(what)? else { return Ok(None) };
    let mut columns = Columns::of(row);
    Ok(Some(Summary {
        execution_id: id.clone(),
        attempt_index,
        document: columns.text()?.to_owned(),
        version: unsigned("ff_stream_summary", "version", id, columns.next()?)?,
        updated_at: TimestampMs(columns.next()?),
        first_applied_at: TimestampMs(columns.next()?),
    }))
}
