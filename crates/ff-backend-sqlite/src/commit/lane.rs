//! Committing lanes.

use ff_core::EngineError;
use ff_core::machine::rows::Lane;
use rusqlite::params;

use super::run;
use crate::session::SqliteSession;
use crate::statement;

pub(super) fn put(conn: &SqliteSession<'_>, lane: &Lane) -> Result<(), EngineError> {
    let values = params![lane.id.as_str(), lane.registered_at.0, lane.state.as_str()];
    run(conn, statement::LANE_PUT, "store the state of a lane", values).map(drop)
}
