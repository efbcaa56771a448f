//! Committing a transition: its rows in order, then its facts.
//!
//! Both lie in the caller's transaction, so a fact is stored exactly when its rows are.

mod budget;
mod event;
mod execution;
mod flow;
mod lane;
mod lease;
mod stream;
mod suspension;
mod worker;

use ff_core::EngineError;
use ff_core::machine::budget::entries_before;
use ff_core::machine::transition::{Change, Event};
use ff_core::types::TimestampMs;
use rusqlite::{Params, params};

use crate::error::Doing as _;
use crate::read::page;
use crate::session::{Prepares, SqliteSession};
use crate::statement::{self, Named};

pub(crate) fn all(
    conn: &SqliteSession<'_>,
    changes: &[Change],
    events: &[Event],
    now: TimestampMs,
) -> Result<(), EngineError> {
    for change in changes {
        match change {
            Change::CreateExecution { execution, payload } => {
                execution::create(conn, execution, payload)?;
            }
            Change::PutExecution(execution) => {
                let attempt = execution::current_attempt(changes, execution);
                let result = execution::new_result(changes, &execution.id);
                execution::put(conn, execution, attempt, result)?;
            }
            Change::PutAttempt(attempt) => execution::put_attempt(conn, attempt)?,
            Change::ExtendLease { execution_id: id, index, expires_at } => {
                let values = params![id.partition(), id.uuid().into_bytes(), index.0, expires_at.0];
                run(conn, statement::ATTEMPT_EXTEND_LEASE, "extend a lease", values)?;
            }
            // A new result went with its execution's row.
            Change::PutResult { execution_id: id, result: Some(_) }
                if execution::puts(changes, id) => {}
            Change::PutResult { execution_id: id, result } => {
                let values = params![id.partition(), id.uuid().into_bytes(), result];
                run(conn, statement::EXECUTION_PUT_RESULT, "store a result", values)?;
            }
            Change::PutGrant(grant) => lease::put_grant(conn, grant)?,
            Change::DropGrants { execution_id, kind } => {
                lease::drop_grants(conn, execution_id, *kind)?;
            }
            Change::PutDedup(dedup) => execution::put_dedup(conn, dedup)?,
            Change::RegisterLane { lane, at } => {
                let values = params![lane.as_str(), at.0];
                run(conn, statement::LANE_REGISTER, "register a lane", values)?;
            }
            Change::PutLane(lane) => lane::put(conn, lane)?,
            Change::Forget { execution_id } => execution::forget(conn, execution_id)?,
            Change::Budget(write) => budget::write(conn, write)?,
            Change::Flow(write) => flow::write(conn, write)?,
            Change::Stream(write) => stream::write(conn, write, now)?,
            Change::Suspension(write) => suspension::write(conn, write)?,
            Change::Worker(write) => worker::write(conn, write)?,
        }
    }
    for event in events {
        match event {
            Event::Lease(event) => event::add_lease(conn, event)?,
            Event::Completion(event) => event::add_completion(conn, event, now)?,
            Event::Operator(event) => event::add_operator(conn, event)?,
            Event::Signal(event) => suspension::add_event(conn, event)?,
            Event::Transition(row) => event::add_transition(conn, row)?,
            Event::FlowCancelRequested(event) => flow::announce(conn, event)?,
        }
    }
    Ok(())
}

/// Removes what time alone has made worthless, a bounded number of rows of each kind.
pub(crate) fn trim(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    events_before: TimestampMs,
    limit: usize,
) -> Result<usize, EngineError> {
    let mut trimmed = stream::trim_expired(conn, now, limit)?;
    trimmed += worker::trim(conn, now, events_before, limit)?;
    let limit = page(limit);
    for (named, before) in [
        (statement::LEASE_EVENT_TRIM, events_before),
        (statement::COMPLETION_EVENT_TRIM, events_before),
        (statement::OPERATOR_EVENT_TRIM, events_before),
        (statement::SIGNAL_EVENT_TRIM, events_before),
        (statement::WAITPOINT_TRIM, events_before),
        (statement::SIGNAL_DEDUP_TRIM, now),
        (statement::SUSPEND_DEDUP_TRIM, now),
        (statement::FLOW_TRIM, events_before),
        (statement::CREATE_DEDUP_TRIM, now),
        (statement::GRANT_TRIM, now),
        (statement::BUDGET_REPORT_TRIM, now),
        (statement::BUDGET_CHARGE_TRIM, now),
        (statement::QUOTA_RESERVATION_TRIM, now),
        (statement::QUOTA_WINDOW_TRIM, entries_before(now)),
    ] {
        trimmed += run(conn, named, "remove what is out of date", params![before.0, limit])?;
    }
    // A mark, which removes nothing.
    let values = params![now.0, limit];
    run(conn, statement::BUDGET_CHARGE_TRIMMED, "note what has been removed", values)?;
    Ok(trimmed)
}

fn run<P: Prepares + ?Sized>(
    conn: &P,
    named: Named,
    what: &'static str,
    values: impl Params,
) -> Result<usize, EngineError> {
    conn.run(named, values).doing(what)
}
