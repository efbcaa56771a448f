//! Waiting: writing suspensions, waitpoints, signals and keys.

use ff_core::EngineError;
use ff_core::backend::BackendTag;
use ff_core::handle_codec;
use ff_core::machine::suspension::{
    Signal, SignalEvent, SigningKey, SuspendDedup, Suspension, Waitpoint, Write,
};
use ff_core::types::{ExecutionId, SuspensionId, TimestampMs};
use rusqlite::params;

use super::event::named;
use super::run;
use crate::error::Doing as _;
use crate::load::suspension::{Details, Extra, Outcome, scoped};
use crate::row::signed;
use crate::session::{SqliteSession, prepared};
use crate::statement;

pub(super) fn write(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    // Only the end of an execution opens nothing.
    if !matches!(write, Write::End { .. }) {
        conn.forget_no_waits();
    }
    match write {
        Write::PutKey(key) => put_key(conn, key),
        Write::DropKey { kid } => {
            run(conn, statement::SIGNING_KEY_DROP, "remove a signing key", params![kid]).map(drop)
        }
        Write::PutWaitpoint(waitpoint) => put_waitpoint(conn, waitpoint),
        Write::CloseWaitpoint(waitpoint) => close_waitpoint(conn, waitpoint),
        Write::CloseWaitpoints { execution_id, suspension_id, at, reason } => {
            close_waitpoints(conn, execution_id, Some(suspension_id), *at, reason)
        }
        Write::KeepWaitpointsOpen { execution_id: id, suspension_id } => {
            let values = params![id.partition(), id.uuid().into_bytes(), suspension_id.as_bytes()];
            run(conn, statement::WAITPOINT_KEEP_OPEN, "keep waitpoints open", values).map(drop)
        }
        Write::BeginSuspension(suspension) => {
            let id = &suspension.execution_id;
            let values = params![id.partition(), id.uuid().into_bytes()];
            run(conn, statement::SIGNAL_COUNTED_FORGET, "begin to count", values)?;
            put_suspension(conn, suspension)
        }
        Write::PutSuspension(suspension) => put_suspension(conn, suspension),
        Write::DropSuspension { execution_id: id } => {
            let values = params![id.partition(), id.uuid().into_bytes()];
            run(conn, statement::SUSPENSION_FORGET, "remove a suspension", values).map(drop)
        }
        Write::AddSignal(signal) => add_signal(conn, signal),
        Write::AdoptSignals { execution_id: id, waitpoint_id, suspension_id } => {
            let values = params![
                id.partition(),
                id.uuid().into_bytes(),
                waitpoint_id.as_bytes(),
                suspension_id.as_bytes(),
            ];
            run(conn, statement::SIGNAL_ADOPT, "adopt buffered signals", values).map(drop)
        }
        Write::RememberSignal(dedup) => {
            let id = &dedup.execution_id;
            let values = params![
                id.partition(),
                dedup.waitpoint_id.as_bytes(),
                dedup.key,
                id.uuid().into_bytes(),
                dedup.signal_id.as_bytes(),
                dedup.expires_at.0,
            ];
            run(conn, statement::SIGNAL_DEDUP_PUT, "remember the key of a signal", values).map(drop)
        }
        Write::Count { execution_id: id, counted } => {
            let values =
                params![id.partition(), id.uuid().into_bytes(), counted.thing, counted.leaf];
            run(conn, statement::SIGNAL_COUNTED_ADD, "count a signal", values).map(drop)
        }
        Write::Observe(observed) => {
            let id = &observed.execution_id;
            let values = params![
                id.partition(),
                id.uuid().into_bytes(),
                observed.suspension_id.as_bytes(),
                observed.attempt_index.0,
            ];
            run(conn, statement::OBSERVED_SUSPENSION_PUT, "show signals to an attempt", values)
                .map(drop)
        }
        Write::PutDedup(dedup) => put_dedup(conn, dedup),
        Write::End { execution_id, at, reason } => end(conn, execution_id, *at, reason),
    }
}

fn put_key(conn: &SqliteSession<'_>, key: &SigningKey) -> Result<(), EngineError> {
    let values = params![
        key.kid,
        key.secret.bytes(),
        key.rotated_at.0,
        key.active,
        key.expires_at.map(|at| at.0),
    ];
    run(conn, statement::SIGNING_KEY_PUT, "store a signing key", values).map(drop)
}

fn names(waitpoint: &Waitpoint) -> String {
    serde_json::to_string(&waitpoint.required_signal_names).expect("a list of text is always JSON")
}

fn put_waitpoint(conn: &SqliteSession<'_>, waitpoint: &Waitpoint) -> Result<(), EngineError> {
    let id = &waitpoint.execution_id;
    let values = params![
        id.partition(),
        waitpoint.id.as_bytes(),
        id.uuid().into_bytes(),
        waitpoint.attempt_index.map(|index| index.0),
        waitpoint.suspension_id.as_ref().map(|id| id.as_bytes().as_slice()),
        waitpoint.key,
        waitpoint.kid,
        waitpoint.token.as_str(),
        waitpoint.created_at.0,
        waitpoint.activated_at.map(|at| at.0),
        waitpoint.expires_at.map(|at| at.0),
        names(waitpoint),
        waitpoint.state.as_str(),
    ];
    run(conn, statement::WAITPOINT_PUT, "store a waitpoint", values).map(drop)
}

fn close_waitpoint(conn: &SqliteSession<'_>, waitpoint: &Waitpoint) -> Result<(), EngineError> {
    let id = &waitpoint.execution_id;
    let closed = waitpoint.closed.as_ref().expect("a closed waitpoint says how it ended");
    let values = params![id.partition(), waitpoint.id.as_bytes()];
    run(conn, statement::WAITPOINT_DROP, "end a waitpoint", values)?;
    let values = params![
        id.partition(),
        waitpoint.id.as_bytes(),
        id.uuid().into_bytes(),
        waitpoint.attempt_index.map(|index| index.0),
        waitpoint.suspension_id.as_ref().map(|id| id.as_bytes().as_slice()),
        waitpoint.key,
        waitpoint.kid,
        waitpoint.created_at.0,
        waitpoint.activated_at.map(|at| at.0),
        waitpoint.expires_at.map(|at| at.0),
        names(waitpoint),
        closed.at.0,
        closed.reason,
    ];
    run(conn, statement::WAITPOINT_ADD_CLOSED, "end a waitpoint", values).map(drop)
}

fn close_waitpoints(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    of: Option<&SuspensionId>,
    at: TimestampMs,
    reason: &str,
) -> Result<(), EngineError> {
    let (partition, uuid) = (id.partition(), id.uuid());
    let of = of.map(|of| of.as_bytes().as_slice());
    let values = params![partition, uuid.as_bytes(), of, at.0, reason];
    run(conn, statement::WAITPOINT_CLOSE, "end waitpoints", values)?;
    let values = params![partition, uuid.as_bytes(), of];
    run(conn, statement::WAITPOINT_DROP_OF, "end waitpoints", values).map(drop)
}

fn put_suspension(conn: &SqliteSession<'_>, suspension: &Suspension) -> Result<(), EngineError> {
    let id = &suspension.execution_id;
    let condition = suspension.condition.as_ref().map_or_else(
        || "{}".to_owned(),
        |condition| serde_json::to_string(condition).expect("a condition is text and numbers"),
    );
    let progress =
        serde_json::to_string(&suspension.progress).expect("progress is text and numbers");
    let delay = match suspension.resume_delay {
        None => None,
        Some(delay) => Some(signed("resume_delay_ms", id, delay.0)?),
    };
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        suspension.suspension_id.as_bytes(),
        signed("version", id, suspension.version)?,
        suspension.attempt_index.map(|index| index.0),
        suspension.suspended_at.0,
        suspension.timeout_at.map(|at| at.0),
        suspension.timeout_behavior.map(|behavior| behavior.as_wire_str()),
        suspension.reason_code,
        suspension.requested_by.as_wire_str(),
        condition,
        progress,
        delay,
        suspension.continuation,
        suspension.closed.as_ref().map(|closed| closed.at.0),
        suspension.closed.as_ref().map(|closed| closed.reason.as_str()),
    ];
    run(conn, statement::SUSPENSION_PUT, "store a suspension", values).map(drop)
}

fn add_signal(conn: &SqliteSession<'_>, signal: &Signal) -> Result<(), EngineError> {
    let id = &signal.execution_id;
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        signed("seq", id, signal.seq)?,
        signed("bytes_so_far", id, signal.bytes_so_far)?,
        signal.signal_id.as_bytes(),
        signal.waitpoint_id.as_ref().map(|id| id.as_bytes().as_slice()),
        signal.waitpoint_key,
        signal.suspension_id.as_ref().map(|id| id.as_bytes().as_slice()),
        signal.name,
        signal.category,
        signal.source_type,
        signal.source_identity,
        signal.correlation_id,
        signal.payload,
        signal.payload_encoding,
        signal.accepted_at.0,
    ];
    run(conn, statement::SIGNAL_ADD, "store a signal", values).map(drop)
}

fn put_dedup(conn: &SqliteSession<'_>, dedup: &SuspendDedup) -> Result<(), EngineError> {
    let id = &dedup.execution_id;
    let details = &dedup.details;
    let extras = details.additional_waitpoints.iter().map(|extra| Extra {
        waitpoint_id: extra.waitpoint_id.0,
        waitpoint_key: extra.waitpoint_key.clone(),
        token: extra.waitpoint_token.as_str().to_owned(),
    });
    let opaque = handle_codec::encode(BackendTag::Sqlite, &dedup.holder);
    let variant =
        if dedup.already_satisfied { Outcome::ALREADY_SATISFIED } else { Outcome::SUSPENDED };
    let outcome = Outcome {
        variant: variant.to_owned(),
        details: Details {
            suspension_id: details.suspension_id.0,
            waitpoint_id: details.waitpoint_id.0,
            waitpoint_key: details.waitpoint_key.clone(),
            token: details.waitpoint_token.as_str().to_owned(),
            extras: extras.collect(),
        },
        handle_opaque_hex: Some(hex::encode(opaque.as_bytes())),
        run: dedup.run,
    };
    let json = serde_json::to_string(&outcome).expect("an outcome is text and numbers");
    let values = params![
        id.partition(),
        scoped(id, &dedup.key),
        json,
        dedup.created_at.0,
        dedup.expires_at.0,
    ];
    run(conn, statement::SUSPEND_DEDUP_PUT, "remember a suspend", values).map(drop)
}

/// Most executions end without ever having waited: their load has told already.
fn end(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    at: TimestampMs,
    reason: &str,
) -> Result<(), EngineError> {
    if conn.has_no_waits(id) {
        return Ok(());
    }
    let (partition, uuid) = (id.partition(), id.uuid());
    let values = params![partition, uuid.as_bytes(), at.0, reason];
    run(conn, statement::SUSPENSION_END, "end a suspension", values)?;
    let has_waitpoints: bool = prepared(conn, statement::WAITPOINT_EXISTS)?
        .query_row(params![partition, uuid.as_bytes()], |row| row.get(0))
        .doing("look for waitpoints")?;
    if has_waitpoints {
        close_waitpoints(conn, id, None, at, reason)?;
    }
    Ok(())
}

/// Removes what is stored about the waiting of an execution, beside its suspension and its open
/// waitpoints.
pub(super) fn forget(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<(), EngineError> {
    let (partition, uuid) = (id.partition(), id.uuid());
    for sql in [
        statement::WAITPOINT_FORGET_CLOSED,
        statement::SIGNAL_FORGET,
        statement::SIGNAL_COUNTED_FORGET,
        statement::SIGNAL_DEDUP_FORGET,
        statement::OBSERVED_SUSPENSION_FORGET,
    ] {
        run(conn, sql, "remove what an execution waited for", params![partition, uuid.as_bytes()])?;
    }
    // A key is its execution and a colon before the text; `;` follows the colon.
    let values = params![partition, format!("{uuid}:"), format!("{uuid};")];
    run(conn, statement::SUSPEND_DEDUP_FORGET, "remove remembered suspends", values).map(drop)
}

pub(super) fn add_event(conn: &SqliteSession<'_>, event: &SignalEvent) -> Result<(), EngineError> {
    let id = &event.execution_id;
    let mut buffer = uuid::Uuid::encode_buffer();
    let values = params![
        &*id.uuid().hyphenated().encode_lower(&mut buffer),
        event.signal_id.to_string(),
        event.waitpoint_id.as_ref().map(ToString::to_string),
        event.source_identity,
        event.at.0,
        id.partition(),
        named(&event.namespace),
        event.instance_tag,
        event.effect,
    ];
    run(conn, statement::SIGNAL_EVENT_ADD, "announce a signal", values).map(drop)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::database;

    #[test]
    fn what_a_load_has_told_of_waits_counts_until_waiting_is_written() {
        let conn = database();
        let session = SqliteSession::new(&conn);
        let [id, other] = [1, 2].map(|number| ExecutionId::from_parts(0, Uuid::from_u128(number)));

        session.note_no_waits(&id);
        assert!(session.has_no_waits(&id) && !session.has_no_waits(&other));
        let end =
            Write::End { execution_id: other, at: TimestampMs(1), reason: "ended".to_owned() };
        write(&session, &end).unwrap();
        assert!(session.has_no_waits(&id), "an end opens nothing");

        write(&session, &Write::DropSuspension { execution_id: id.clone() }).unwrap();
        assert!(!session.has_no_waits(&id));
        session.note_no_waits(&id);
        session.begin_command();
        assert!(!session.has_no_waits(&id), "another command looks for itself");
    }
}
