//! Storing frames, counters and summaries.

use ff_core::EngineError;
use ff_core::machine::stream::{Class, Frame, Meta, Summary, Write};
use ff_core::types::{ExecutionId, TimestampMs};
use rusqlite::params;

use super::run;
use crate::error::Doing as _;
use crate::read::page;
use crate::row::signed;
use crate::session::{SqliteSession, prepared};
use crate::statement;

pub(crate) fn write(
    conn: &SqliteSession<'_>,
    write: &Write,
    now: TimestampMs,
) -> Result<(), EngineError> {
    match write {
        Write::AddFrame(frame) => add(conn, frame, now),
        Write::TrimFrames { execution_id: id, attempt_index, class, count } => {
            let stream = (id.partition().into(), id.uuid().into_bytes(), attempt_index.0.into());
            let count = signed("count", id, *count)?;
            trim(conn, stream, *class, count).map(drop)
        }
        Write::PutMeta(meta) => put_meta(conn, meta),
        Write::PutSummary(summary) => put_summary(conn, summary),
    }
}

/// A stream by its three columns.
type Stream = (i64, [u8; 16], i64);

fn add(conn: &SqliteSession<'_>, frame: &Frame, now: TimestampMs) -> Result<(), EngineError> {
    let id = &frame.execution_id;
    let fields = serde_json::to_string(&frame.fields).expect("text under text is always JSON");
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        frame.attempt_index.0,
        frame.id.ms.0,
        signed("seq", id, frame.id.seq)?,
        fields,
        frame.class.as_str(),
        now.0,
        signed("number", id, frame.number)?,
        signed("lease_epoch", id, frame.epoch.0)?,
    ];
    run(conn, statement::STREAM_FRAME_ADD, "append a frame", values).map(drop)
}

fn trim(
    conn: &SqliteSession<'_>,
    (partition, uuid, index): Stream,
    class: Class,
    count: i64,
) -> Result<usize, EngineError> {
    let what = "remove old frames";
    match class {
        Class::Durable => {
            let values = params![partition, uuid, index, count];
            run(conn, statement::STREAM_FRAME_TRIM_DURABLE, what, values)
        }
        Class::Summary | Class::BestEffort => {
            let values = params![partition, uuid, index, class.as_str(), count];
            run(conn, statement::STREAM_FRAME_TRIM_TRANSIENT, what, values)
        }
    }
}

fn put_meta(conn: &SqliteSession<'_>, meta: &Meta) -> Result<(), EngineError> {
    let id = &meta.execution_id;
    let last_seq = meta.last.map_or(0, |last| last.seq);
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        meta.attempt_index.0,
        meta.last.map(|last| last.ms.0),
        signed("last_seq", id, last_seq)?,
        signed("frame_count", id, meta.frame_count)?,
        signed("total_bytes", id, meta.total_bytes)?,
        signed("durable_kept", id, meta.durable_kept)?,
        signed("summary_kept", id, meta.summary_kept)?,
        signed("best_effort_kept", id, meta.best_effort_kept)?,
        meta.rate_hz,
        meta.best_effort_at.map_or(0, |at| at.0),
        signed("maxlen_applied_last", id, meta.best_effort_max)?,
        meta.expires_at.map(|at| at.0),
        meta.look_at.map(|at| at.0),
    ];
    run(conn, statement::STREAM_META_PUT, "store the counters of a stream", values).map(drop)
}

fn put_summary(conn: &SqliteSession<'_>, summary: &Summary) -> Result<(), EngineError> {
    let id = &summary.execution_id;
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        summary.attempt_index.0,
        summary.document,
        signed("version", id, summary.version)?,
        summary.updated_at.0,
        summary.first_applied_at.0,
    ];
    run(conn, statement::STREAM_SUMMARY_PUT, "store a summary", values).map(drop)
}

/// Removes the frames, counters and summaries of an execution.
pub(crate) fn forget(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<(), EngineError> {
    for sql in [
        statement::STREAM_FRAME_FORGET,
        statement::STREAM_SUMMARY_FORGET,
        statement::STREAM_META_FORGET,
    ] {
        let values = params![id.partition(), id.uuid().into_bytes()];
        run(conn, sql, "remove the streams of an execution", values)?;
    }
    Ok(())
}

/// Removes the frames of streams whose time is over, until about `limit` are gone; answers how
/// many were.
pub(crate) fn trim_expired(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    limit: usize,
) -> Result<usize, EngineError> {
    let what = "remove streams that have expired";
    let over: Vec<Stream> = {
        let mut statement = prepared(conn, statement::STREAM_META_EXPIRED)?;
        let rows = statement
            .query_map(params![now.0, page(limit)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .doing(what)?;
        rows.collect::<rusqlite::Result<_>>().doing(what)?
    };
    let mut trimmed = 0;
    for stream in over {
        if trimmed >= limit {
            break;
        }
        trimmed += trim(conn, stream, Class::BestEffort, i64::MAX)?;
        let (partition, uuid, index) = stream;
        run(conn, statement::STREAM_META_EXPIRE, what, params![partition, uuid, index])?;
    }
    Ok(trimmed)
}

#[cfg(test)]
mod tests {
    use ff_core::backend::{Frame, FrameKind};
    use ff_core::machine::stream::AppendFrame;
    use ff_core::machine::{Context, Fence, Limits, drive};

    use super::*;
    use crate::testing::{NOW, claim_one, create, database};

    #[test]
    fn an_append_costs_the_same_at_frame_10_000_as_at_the_second() {
        let conn = database();
        conn.execute_batch("BEGIN").unwrap();
        let mut session = SqliteSession::new(&conn);
        let limits = Limits::default();
        let mut seed = 0;
        let mut context = || {
            seed += 1;
            Context::new(NOW, seed, &limits)
        };
        let _ = drive::run(&mut session, &create(1), &mut context()).unwrap();
        let step = drive::claim(&mut session, &claim_one(), &mut context()).unwrap();
        let owned = &step.claimed[0];
        let append = AppendFrame {
            execution_id: owned.execution.id.clone(),
            fence: Fence::of_handle(&owned.handle_payload()),
            frame: Frame::new(b"line".to_vec(), FrameKind::Stdout),
        };
        let mut steps = Vec::new();
        for _ in 0..10_000 {
            let before = session.steps();
            session.begin_command();
            let _ = drive::run(&mut session, &append, &mut context()).unwrap();
            steps.push(session.steps() - before);
        }

        assert!(steps[1] > 0);
        assert_eq!(steps[1], steps[9_999]);
    }
}
