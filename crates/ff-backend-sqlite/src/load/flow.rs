//! The flow rows of a footprint.

use ff_core::EngineError;
use ff_core::contracts::{FLOW_EDGES_MAX, FLOW_NODES_MAX};
use ff_core::machine::flow::{Seen, Standing, Upstream, Wanted};
use ff_core::machine::limits::LANE_GATE_KEYS_MAX;
use ff_core::machine::rows::Execution;
use ff_core::state::TerminalOutcome;
use ff_core::store::flow::EdgesOf;
use ff_core::types::ExecutionId;
use rusqlite::params;

use super::{bytes, execution};
use crate::error::Doing as _;
use crate::read::{flow, lane};
use crate::session::{SqliteSession, prepared};
use crate::statement;

/// The flow rows that `wanted` asks for, of the execution loaded with them.
pub(super) fn seen(
    conn: &SqliteSession<'_>,
    wanted: &Wanted,
    subject: Option<&ExecutionId>,
    loaded: Option<&Execution>,
) -> Result<Seen, EngineError> {
    let mut seen = Seen::default();
    if let Some(own) = loaded.and_then(|execution| execution.flow_id.as_ref()) {
        seen.own = flow::flow(conn, own)?;
    }
    if *wanted == Wanted::default() {
        return Ok(seen);
    }
    if let Some(id) = &wanted.flow {
        seen.flow = match seen.own.as_ref().filter(|own| own.id == *id) {
            Some(own) => Some(own.clone()),
            None => flow::flow(conn, id)?,
        };
    }
    let of = if wanted.flow.is_some() { &seen.flow } else { &seen.own };
    if wanted.standings
        && let Some(of) = of.as_ref().filter(|of| !of.is_terminal())
    {
        seen.standings = flow::standings(conn, &of.id)?;
    }
    if wanted.own_open
        && let Some(own) = &seen.own
    {
        let (from, to) = (Standing::Open, Standing::Parked);
        seen.standings.any_open = !flow::open_members(conn, &own.id, from, to, 1)?.is_empty();
    }
    if let Some((flow_id, id)) = &wanted.edge {
        seen.edge = flow::edge(conn, flow_id, id)?;
    }
    if wanted.passed_result
        && let Some(edge) = seen.edge.as_ref().filter(|edge| edge.data_passing_ref.is_some())
    {
        seen.passed_result = bytes(conn, statement::EXECUTION_RESULT, &edge.upstream)?;
    }
    let own_group = seen.own.as_ref().filter(|_| wanted.own_group).map(|own| own.id.clone());
    if let (Some(flow_id), Some(id)) = (wanted.group.as_ref().or(own_group.as_ref()), subject) {
        seen.group = flow::group(conn, flow_id, id)?;
    }
    if let Some(id) = &wanted.upstream {
        seen.upstream = upstream(conn, id)?;
    }
    if wanted.incoming
        && let (Some(own), Some(loaded)) = (&seen.own, loaded)
        && loaded.outcome() == TerminalOutcome::Skipped
    {
        let into = EdgesOf::Into(loaded.id.clone());
        for edge in flow::edges(conn, &own.id, &into, FLOW_EDGES_MAX)? {
            if edge.applied_at.is_some() {
                let upstream = upstream(conn, &edge.upstream)?;
                seen.incoming.push((edge, upstream));
            }
        }
    }
    if let Some((flow_id, from, to)) = &wanted.reaches {
        seen.is_reachable = flow::reaches(conn, flow_id, from, to)?;
    }
    for id in &wanted.existing {
        let exists: bool = prepared(conn, statement::EXECUTION_EXISTS)?
            .query_row(params![id.partition(), id.uuid().into_bytes()], |row| row.get(0))
            .doing("look for an execution")?;
        if exists {
            seen.existing.insert(id.clone());
        }
    }
    for (lane, gate_key) in &wanted.gates {
        let is_known = lane::has_gate_key(conn, lane, gate_key)?;
        let keys = lane::gate_keys(conn, lane, LANE_GATE_KEYS_MAX)?.len();
        seen.gates.push((is_known, keys));
    }
    if wanted.members
        && let Some(flow_id) = &wanted.flow
    {
        let (from, to) = (Standing::Open, Standing::Parked);
        seen.members = flow::open_members(conn, flow_id, from, to, FLOW_NODES_MAX)?;
        seen.members.sort_by_key(|member| member.id.uuid());
    }
    Ok(seen)
}

fn upstream(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<Option<Upstream>, EngineError> {
    Ok(execution(conn, id)?.map(|(execution, _)| Upstream::of(&execution)))
}
