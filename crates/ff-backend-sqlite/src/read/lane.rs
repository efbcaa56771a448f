//! Lanes: their states, and the lines of claimable executions on them.

use ff_core::EngineError;
use ff_core::machine::rows::{Candidate, Lane};
use ff_core::state::LaneState;
use ff_core::store::{LaneCounts, LaneStanding};
use ff_core::types::{LaneId, QuotaPolicyId, TimestampMs};
use rusqlite::{OptionalExtension as _, Row, Rows, params};

use super::{next_proposed, page};
use crate::error::{Doing as _, corrupt};
use crate::row::Columns;
use crate::session::{SqliteSession, prepared};
use crate::statement;

pub(crate) fn lane(conn: &SqliteSession<'_>, lane: &LaneId) -> Result<Option<Lane>, EngineError> {
    let mut statement = prepared(conn, statement::LANE_LOAD)?;
    let mut rows = statement.query(params![lane.as_str()]).doing("load a lane")?;
    rows.next().doing("load a lane")?.map(read_lane).transpose()
}

pub(crate) fn lanes(
    conn: &SqliteSession<'_>,
    after: Option<&LaneId>,
    limit: usize,
) -> Result<Vec<Lane>, EngineError> {
    let what = "list lanes";
    let mut statement = prepared(conn, statement::LANE_LIST)?;
    let after = after.map_or("", LaneId::as_str);
    let mut rows = statement.query(params![after, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(read_lane(row)?);
    }
    Ok(found)
}

fn read_lane(row: &Row<'_>) -> Result<Lane, EngineError> {
    let mut columns = Columns::of(row);
    let id = LaneId::new(columns.text()?);
    let word = columns.text()?;
    let state = LaneState::from_wire(word).ok_or_else(|| {
        corrupt("ff_lane_registry", "state", format_args!("lane {}", id.as_str()), word)
    })?;
    let registered_at = TimestampMs(columns.next()?);
    let quota_policy_id = bound(&id, columns.filled());
    Ok(Lane { id, state, registered_at, quota_policy_id })
}

/// The quota a lane is bound to, or why that cannot be read.
fn bound(
    lane: &LaneId,
    text: Result<Option<&str>, EngineError>,
) -> Result<Option<QuotaPolicyId>, String> {
    let wrong = |value: &str| {
        let key = format_args!("lane {}", lane.as_str());
        corrupt("ff_lane_registry", "quota_policy_id", key, value).to_string()
    };
    match text {
        Ok(None) => Ok(None),
        Ok(Some(text)) => QuotaPolicyId::parse(text).map(Some).map_err(|_| wrong(text)),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

pub(crate) fn standing(
    conn: &SqliteSession<'_>,
    lane: &LaneId,
) -> Result<LaneStanding, EngineError> {
    let what = "read how a lane stands";
    let mut statement = prepared(conn, statement::LANE_STANDING)?;
    let mut rows = statement.query(params![lane.as_str()]).doing(what)?;
    let none =
        LaneStanding { state: LaneState::Active, quota_policy_id: Ok(None), has_gates: false };
    let Some(row) = rows.next().doing(what)? else { return Ok(none) };
    let mut columns = Columns::of(row);
    let state = match columns.filled()? {
        None => LaneState::Active,
        Some(word) => LaneState::from_wire(word).ok_or_else(|| {
            corrupt("ff_lane_registry", "state", format_args!("lane {}", lane.as_str()), word)
        })?,
    };
    let quota_policy_id = bound(lane, columns.filled());
    Ok(LaneStanding { state, quota_policy_id, has_gates: columns.next()? })
}

/// Steps from key to key, one search each; as one recursive statement it costs ten times as much for the usual single key.
pub(crate) fn gate_keys(
    conn: &SqliteSession<'_>,
    lane: &LaneId,
    limit: usize,
) -> Result<Vec<String>, EngineError> {
    let mut keys: Vec<String> = Vec::new();
    // No key is less than the empty one.
    if limit > 0 && has_gate_key(conn, lane, "")? {
        keys.push(String::new());
    }
    let mut statement = prepared(conn, statement::GATE_KEY_NEXT)?;
    while keys.len() < limit {
        let last = keys.last().map_or("", String::as_str);
        let next = statement
            .query_row(params![lane.as_str(), last], |row| row.get(0))
            .optional()
            .doing("list the gate keys of a lane")?;
        let Some(next) = next else { break };
        keys.push(next);
    }
    Ok(keys)
}

pub(crate) fn has_gate_key(
    conn: &SqliteSession<'_>,
    lane: &LaneId,
    gate_key: &str,
) -> Result<bool, EngineError> {
    prepared(conn, statement::GATE_KEY_PROBE)?
        .query_row(params![lane.as_str(), gate_key], |row| row.get(0))
        .doing("look for a gate key on a lane")
}

/// First what is left of the priority of `after`, then what lies below it: two searches of one index, where a single
/// condition with OR would be a walk over everything before `after`.
pub(crate) fn candidates(
    conn: &SqliteSession<'_>,
    lane: &LaneId,
    gate_key: &str,
    after: Option<&Candidate>,
    limit: usize,
) -> Result<Vec<Candidate>, EngineError> {
    let what = "list what a claim may take";
    let mut found = Vec::new();
    if let Some(after) = after {
        let id = &after.execution_id;
        let mut statement = prepared(conn, statement::CANDIDATE_IN_PRIORITY)?;
        let rows = statement
            .query(params![
                lane.as_str(),
                gate_key,
                after.priority,
                after.created_at.0,
                id.uuid().into_bytes(),
                id.partition(),
            ])
            .doing(what)?;
        take_candidates(rows, limit, &mut found)?;
    }
    if found.len() < limit {
        let below = after.map_or(i64::MAX, |after| i64::from(after.priority));
        let mut statement = prepared(conn, statement::CANDIDATE_BELOW_PRIORITY)?;
        let rows = statement.query(params![lane.as_str(), gate_key, below]).doing(what)?;
        take_candidates(rows, limit, &mut found)?;
    }
    Ok(found)
}

pub(super) fn take_candidates(
    mut rows: Rows<'_>,
    limit: usize,
    found: &mut Vec<Candidate>,
) -> Result<(), EngineError> {
    while found.len() < limit
        && let Some(row) = rows.next().doing("list what a claim may take")?
    {
        let mut columns = Columns::of(row);
        let id = next_proposed(&mut columns)?;
        let (priority, created_at) = (columns.next::<i64>()?, columns.next()?);
        if let (Some(execution_id), Ok(priority)) = (id, i32::try_from(priority)) {
            found.push(Candidate { execution_id, priority, created_at: TimestampMs(created_at) });
        }
    }
    Ok(())
}

pub(crate) fn counts(conn: &SqliteSession<'_>, lane: &LaneId) -> Result<LaneCounts, EngineError> {
    let what = "count the executions of a lane";
    let counted = |named| {
        prepared(conn, named)?
            .query_row(params![lane.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .doing(what)
    };
    let (waiting, in_line): (i64, Option<i64>) = counted(statement::LANE_COUNT_CLAIMABLE)?;
    let (parked, behind_gates): (i64, Option<i64>) = counted(statement::LANE_COUNT_PARKED)?;
    let count = |named| {
        prepared(conn, named)?
            .query_row(params![lane.as_str()], |row| row.get::<_, i64>(0))
            .doing(what)
            .map(i64::unsigned_abs)
    };
    Ok(LaneCounts {
        waiting: waiting.unsigned_abs(),
        delayed: count(statement::LANE_COUNT_DELAYED)?,
        active: count(statement::LANE_COUNT_LEASED)?,
        parked: parked.unsigned_abs(),
        oldest_waiting_at: in_line.into_iter().chain(behind_gates).min().map(TimestampMs),
    })
}
