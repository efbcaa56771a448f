//! Leases that ran out.

use ff_core::EngineError;
use ff_core::store::ExpiredLease;
use ff_core::types::{AttemptIndex, ExecutionId, Namespace, TimestampMs};
use rusqlite::params;

use super::{next_id, page};
use crate::error::Doing as _;
use crate::row::Columns;
use crate::session::{SqliteSession, prepared};
use crate::{load, statement};

pub(crate) fn expired(
    conn: &SqliteSession<'_>,
    as_of: TimestampMs,
    after: Option<(TimestampMs, &ExecutionId)>,
    namespace: Option<&Namespace>,
    limit: usize,
) -> Result<Vec<ExpiredLease>, EngineError> {
    let what = "list expired leases";
    let (after_at, after_tag, after_uuid) = match after {
        Some((at, id)) => (at.0, format!("{}}}", id.partition()), id.uuid().as_bytes().to_vec()),
        None => (i64::MIN, String::new(), Vec::new()),
    };
    let mut statement = prepared(conn, statement::LEASE_EXPIRED)?;
    let mut rows = statement
        .query(params![
            as_of.0,
            after_at,
            after_tag,
            after_uuid,
            namespace.map(Namespace::as_str),
            page(limit),
        ])
        .doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let expires_at = TimestampMs(columns.next()?);
        let _tag = columns.text()?;
        let execution_id = next_id("ff_attempt", &mut columns)?;
        let attempt_index = AttemptIndex(columns.next()?);
        let Some((_, Some(attempt))) = load::execution(conn, &execution_id)? else { continue };
        found.push(ExpiredLease {
            execution_id,
            lease_id: attempt.lease_id,
            epoch: attempt.epoch,
            worker_instance_id: attempt.worker_instance_id,
            expires_at,
            attempt_index,
        });
    }
    Ok(found)
}
