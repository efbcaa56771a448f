//! The registry of workers.

use std::fmt;

use ff_core::EngineError;
use ff_core::machine::worker::{
    Offer, Registration, RegistryEvent, RegistryEventKind, Seen, Wanted,
};
use ff_core::types::{DurationMs, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};
use rusqlite::{Row, params};

use super::page;
use crate::error::{Doing as _, corrupt};
use crate::row::Columns;
use crate::session::{SqliteSession, prepared};
use crate::statement;

/// The row that a corrupt column belongs to.
struct Instance<'a>(&'a WorkerInstanceId);

impl fmt::Display for Instance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

fn registration(row: &Row<'_>) -> Result<Registration, EngineError> {
    const TABLE: &str = "ff_worker_registry";
    let mut columns = Columns::of(row);
    let namespace = Namespace::new(columns.text()?);
    let worker_instance_id = WorkerInstanceId::new(columns.text()?);
    let of = Instance(&worker_instance_id);
    let worker_id = WorkerId::new(columns.text()?);
    let lanes = listed(columns.text()?).map(LaneId::new).collect();
    let capabilities = listed(columns.text()?).map(str::to_owned).collect();
    let last_heartbeat_at = TimestampMs(columns.next()?);
    let ttl: i64 = columns.next()?;
    let ttl = u64::try_from(ttl).map_err(|_| corrupt(TABLE, "liveness_ttl_ms", &of, ttl))?;
    Ok(Registration {
        namespace,
        worker_id,
        lanes,
        capabilities,
        last_heartbeat_at,
        liveness_ttl: DurationMs(ttl),
        registered_at: TimestampMs(columns.next()?),
        worker_instance_id,
    })
}

/// The members of a comma-separated text; the empty text has none.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|member| !member.is_empty())
}

pub(crate) fn seen(conn: &SqliteSession<'_>, wanted: &Wanted) -> Result<Seen, EngineError> {
    let what = "load a worker's registration";
    let Some((namespace, instance)) = &wanted.worker else { return Ok(Seen::default()) };
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_LOAD)?;
    let mut rows = statement.query(params![namespace.as_str(), instance.as_str()]).doing(what)?;
    let worker = rows.next().doing(what)?.map(registration).transpose()?;
    Ok(Seen { worker })
}

pub(crate) fn list(
    conn: &SqliteSession<'_>,
    namespace: &Namespace,
    now: TimestampMs,
    after: Option<&WorkerInstanceId>,
    limit: usize,
) -> Result<Vec<Registration>, EngineError> {
    let what = "list workers";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_LIST)?;
    let after = after.map(WorkerInstanceId::as_str);
    let mut rows =
        statement.query(params![namespace.as_str(), now.0, after, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(registration(row)?);
    }
    Ok(found)
}

pub(crate) fn lapsed(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    limit: usize,
) -> Result<Vec<(Namespace, WorkerInstanceId)>, EngineError> {
    let what = "find workers that fell silent";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_LAPSED)?;
    let mut rows = statement.query(params![now.0, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        found.push((Namespace::new(columns.text()?), WorkerInstanceId::new(columns.text()?)));
    }
    Ok(found)
}

pub(crate) fn next_lapse(conn: &SqliteSession<'_>) -> Result<Option<TimestampMs>, EngineError> {
    let what = "find the next worker to fall silent";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_NEXT_LAPSE)?;
    let at: Option<i64> = statement.query_row([], |row| row.get(0)).doing(what)?;
    Ok(at.map(TimestampMs))
}

pub(crate) fn leases_held(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
) -> Result<Vec<(WorkerInstanceId, u64)>, EngineError> {
    let what = "count the leases of workers";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_LEASES_HELD)?;
    let mut rows = statement.query(params![now.0]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let instance = WorkerInstanceId::new(columns.text()?);
        found.push((instance, u64::try_from(columns.next::<i64>()?).unwrap_or(0)));
    }
    Ok(found)
}

/// A line of the registry's history.
fn event(row: &Row<'_>) -> Result<RegistryEvent, EngineError> {
    const TABLE: &str = "ff_worker_registry_event";
    let mut columns = Columns::of(row);
    let namespace = Namespace::new(columns.text()?);
    let worker_instance_id = WorkerInstanceId::new(columns.text()?);
    let word = columns.text()?;
    let kind = RegistryEventKind::from_wire(word)
        .ok_or_else(|| corrupt(TABLE, "event_kind", Instance(&worker_instance_id), word))?;
    let at = TimestampMs(columns.next()?);
    let reason = columns.next()?;
    let (lanes, capabilities): (Option<String>, Option<String>) =
        (columns.next()?, columns.next()?);
    let offer = lanes.map(|lanes| Offer {
        lanes: listed(&lanes).map(LaneId::new).collect(),
        capabilities: listed(&capabilities.unwrap_or_default()).map(str::to_owned).collect(),
    });
    Ok(RegistryEvent { namespace, worker_instance_id, kind, at, reason, offer })
}

pub(crate) fn announcements(
    conn: &SqliteSession<'_>,
    namespace: &Namespace,
    limit: usize,
) -> Result<Vec<RegistryEvent>, EngineError> {
    let what = "list what workers announced";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_EVENT_ANNOUNCED)?;
    let mut rows = statement.query(params![namespace.as_str(), page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(event(row)?);
    }
    Ok(found)
}

pub(crate) fn events(
    conn: &SqliteSession<'_>,
    limit: usize,
) -> Result<Vec<RegistryEvent>, EngineError> {
    let what = "list the registry's history";
    let mut statement = prepared(conn, statement::WORKER_REGISTRY_EVENT_LIST)?;
    let mut rows = statement.query(params![page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(event(row)?);
    }
    Ok(found)
}
