//! Storing registrations and the registry's history.

use ff_core::EngineError;
use ff_core::machine::limits::HEARTBEAT_EVENT_RETENTION_MS;
use ff_core::machine::worker::{Registration, RegistryEvent, RegistryEventKind, Write};
use ff_core::types::{LaneId, TimestampMs};
use rusqlite::params;

use super::run;
use crate::read::page;
use crate::session::SqliteSession;
use crate::statement;

pub(crate) fn write(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    match write {
        Write::Put(worker) => put(conn, worker),
        Write::Remove { namespace, worker_instance_id } => {
            let values = params![namespace.as_str(), worker_instance_id.as_str()];
            run(conn, statement::WORKER_REGISTRY_REMOVE, "end a registration", values).map(drop)
        }
        Write::Note(event) => note(conn, event),
    }
}

fn put(conn: &SqliteSession<'_>, worker: &Registration) -> Result<(), EngineError> {
    let values = params![
        worker.namespace.as_str(),
        worker.worker_instance_id.as_str(),
        worker.worker_id.as_str(),
        csv(worker.lanes.iter().map(LaneId::as_str)),
        csv(worker.capabilities.iter().map(String::as_str)),
        worker.last_heartbeat_at.0,
        i64::try_from(worker.liveness_ttl.0).unwrap_or(i64::MAX),
        worker.registered_at.0,
    ];
    run(conn, statement::WORKER_REGISTRY_PUT, "register a worker", values).map(drop)
}

/// Neither lanes nor capabilities of a worker have commas.
fn csv<'a>(members: impl Iterator<Item = &'a str>) -> String {
    members.collect::<Vec<_>>().join(",")
}

fn note(conn: &SqliteSession<'_>, event: &RegistryEvent) -> Result<(), EngineError> {
    let lanes = event.offer.as_ref().map(|offer| csv(offer.lanes.iter().map(LaneId::as_str)));
    let capabilities =
        event.offer.as_ref().map(|offer| csv(offer.capabilities.iter().map(String::as_str)));
    let values = params![
        event.namespace.as_str(),
        event.worker_instance_id.as_str(),
        event.at.0,
        event.kind.as_str(),
        event.reason,
        lanes,
        capabilities,
    ];
    run(conn, statement::WORKER_REGISTRY_EVENT_ADD, "note what a worker did", values).map(drop)
}

/// Removes lines of the history that are out of date, at most `limit` of each kind; answers how
/// many.
pub(crate) fn trim(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    before: TimestampMs,
    limit: usize,
) -> Result<usize, EngineError> {
    let hour = i64::try_from(HEARTBEAT_EVENT_RETENTION_MS).unwrap_or(i64::MAX);
    let beats = TimestampMs(now.0.saturating_sub(hour)).max(before);
    let mut trimmed = 0;
    for (kind, before) in [
        (RegistryEventKind::Registered, before),
        (RegistryEventKind::Heartbeat, beats),
        (RegistryEventKind::MarkedDead, before),
        (RegistryEventKind::TtlSwept, before),
    ] {
        let values = params![kind.as_str(), before.0, page(limit)];
        let what = "remove the registry's old history";
        trimmed += run(conn, statement::WORKER_REGISTRY_EVENT_TRIM, what, values)?;
    }
    Ok(trimmed)
}
