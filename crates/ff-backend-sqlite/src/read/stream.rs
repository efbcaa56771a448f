//! Frames of a stream.

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::machine::stream::{Class, Frame, FrameId};
use ff_core::store::FrameRange;
use ff_core::types::{AttemptIndex, ExecutionId, LeaseEpoch, TimestampMs};
use rusqlite::params;
use serde_json::Value;

use super::{next_id, page};
use crate::error::{Doing as _, corrupt};
use crate::row::{Columns, Of, signed, unsigned};
use crate::session::{SqliteSession, prepared};
use crate::statement;

const TABLE: &str = "ff_stream_frame";

pub(crate) fn frames(
    conn: &SqliteSession<'_>,
    range: &FrameRange,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Frame>, EngineError> {
    let what = "read frames";
    let id = &range.execution_id;
    let mut statement = prepared(conn, statement::STREAM_FRAME_LIST)?;
    let mut rows = statement
        .query(params![
            id.partition(),
            id.uuid().into_bytes(),
            range.attempt_index.0,
            range.from.ms.0,
            signed("seq", id, range.from.seq)?,
            range.to.ms.0,
            signed("seq", id, range.to.seq)?,
            range.without_best_effort,
            page(limit),
        ])
        .doing(what)?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while bytes < max_bytes
        && let Some(row) = rows.next().doing(what)?
    {
        let mut columns = Columns::of(row);
        let ms = TimestampMs(columns.next()?);
        let seq = unsigned(TABLE, "seq", id, columns.next()?)?;
        let fields = fields(range, columns.text()?)?;
        let mode = columns.text()?;
        bytes += fields.values().map(String::len).sum::<usize>();
        found.push(Frame {
            execution_id: id.clone(),
            attempt_index: range.attempt_index,
            id: FrameId { ms, seq },
            fields,
            class: Class::from_wire(mode).ok_or_else(|| corrupt(TABLE, "mode", Of(id), mode))?,
            number: unsigned(
                TABLE,
                "number",
                id,
                columns.next::<Option<i64>>()?.unwrap_or_default(),
            )?,
            epoch: LeaseEpoch(unsigned(
                TABLE,
                "lease_epoch",
                id,
                columns.next::<Option<i64>>()?.unwrap_or_default(),
            )?),
        });
    }
    Ok(found)
}

/// The fields as text; tools may have written numbers and truth values among them.
fn fields(range: &FrameRange, json: &str) -> Result<BTreeMap<String, String>, EngineError> {
    let read: BTreeMap<String, Value> = serde_json::from_str(json)
        .map_err(|error| corrupt(TABLE, "fields", Of(&range.execution_id), error))?;
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(read.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect())
}

pub(crate) fn to_look_at(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    limit: usize,
) -> Result<Vec<(ExecutionId, AttemptIndex)>, EngineError> {
    let what = "find streams whose frames may go";
    let mut statement = prepared(conn, statement::STREAM_META_TO_LOOK_AT)?;
    let mut rows = statement.query(params![now.0, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let id = next_id("ff_stream_meta", &mut columns)?;
        found.push((id, AttemptIndex(columns.next()?)));
    }
    Ok(found)
}
