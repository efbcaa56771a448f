//! Committing grants.

use ff_core::EngineError;
use ff_core::machine::rows::{Grant, GrantKind};
use ff_core::types::ExecutionId;
use rusqlite::params;

use super::run;
use crate::row::signed;
use crate::session::SqliteSession;
use crate::statement;

pub(super) fn put_grant(conn: &SqliteSession<'_>, grant: &Grant) -> Result<(), EngineError> {
    let id = &grant.execution_id;
    let capabilities =
        serde_json::to_string(&grant.worker_capabilities).expect("a list of text is always JSON");
    let values = params![
        id.partition(),
        grant.grant_id.as_bytes(),
        id.uuid().into_bytes(),
        grant.kind.as_str(),
        grant.worker_id.as_str(),
        grant.worker_instance_id.as_str(),
        grant.lane.as_str(),
        grant.capability_hash,
        capabilities,
        grant.route_snapshot_json,
        grant.admission_summary,
        signed("grant_ttl_ms", id, grant.ttl.0)?,
        grant.issued_at.0,
        grant.expires_at.0,
    ];
    run(conn, statement::GRANT_PUT, "store a grant", values).map(drop)
}

pub(super) fn drop_grants(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    kind: GrantKind,
) -> Result<(), EngineError> {
    let values = params![id.partition(), id.uuid().into_bytes(), kind.as_str()];
    run(conn, statement::GRANT_DROP, "remove grants", values).map(drop)
}
