//! Outboxes and recorded transitions.

use std::fmt;

use ff_core::EngineError;
use ff_core::machine::suspension::SignalEvent;
use ff_core::machine::transition::{
    CompletionEvent, Event, FlowCancelRequested, LeaseEvent, LeaseEventKind, OperatorEvent,
    OperatorEventKind, ReplayBranch, TransitionRow,
};
use ff_core::state::{PublicState, TerminalOutcome};
use ff_core::store::{EventBounds, Topic};
use ff_core::types::{
    AttemptIndex, ExecutionId, FlowId, LeaseEpoch, LeaseId, Namespace, SignalId, TimestampMs,
    WaitpointId, WorkerInstanceId,
};
use rusqlite::{Row, params};
use serde::Deserialize;
use uuid::Uuid;

use super::{next_id, page};
use crate::error::{Doing as _, corrupt};
use crate::row::{Columns, Of, signed, unsigned};
use crate::session::{SqliteSession, prepared};
use crate::statement;

pub(crate) fn list(
    conn: &SqliteSession<'_>,
    topic: Topic,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Event)>, EngineError> {
    let what = "list events";
    let named = match topic {
        Topic::Lease => statement::LEASE_EVENT_LIST,
        Topic::Completion => statement::COMPLETION_EVENT_LIST,
        Topic::Signal => statement::SIGNAL_EVENT_LIST,
        Topic::Operator => statement::OPERATOR_EVENT_LIST,
    };
    let mut statement = prepared(conn, named)?;
    let mut rows = statement.query(params![after, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(match topic {
            Topic::Lease => lease(row)?,
            Topic::Completion => completion(row)?,
            Topic::Signal => signal(row)?,
            Topic::Operator => operator(row)?,
        });
    }
    Ok(found)
}

/// The row of an outbox that a corrupt column belongs to.
struct Number(i64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}", self.0)
    }
}

/// The execution that an outbox row tells of: its partition, and its UUID as text.
fn of_execution(
    columns: &mut Columns<'_>,
    table: &'static str,
    of: &Number,
) -> Result<ExecutionId, EngineError> {
    let partition: i64 = columns.next()?;
    let partition =
        u16::try_from(partition).map_err(|_| corrupt(table, "partition_key", of, partition))?;
    let uuid = columns.text()?;
    let uuid = Uuid::parse_str(uuid).map_err(|_| corrupt(table, "execution_id", of, uuid))?;
    Ok(ExecutionId::from_parts(partition, uuid))
}

fn lease(row: &Row<'_>) -> Result<(i64, Event), EngineError> {
    const TABLE: &str = "ff_lease_event";
    let mut columns = Columns::of(row);
    let event_id = columns.next()?;
    let of = Number(event_id);
    let execution_id = of_execution(&mut columns, TABLE, &of)?;
    let kind = columns.text()?;
    let event = LeaseEvent {
        kind: LeaseEventKind::from_wire(kind)
            .ok_or_else(|| corrupt(TABLE, "event_type", &of, kind))?,
        lease_id: columns.filled()?.and_then(|text| LeaseId::parse(text).ok()),
        attempt_index: AttemptIndex(columns.next::<Option<u32>>()?.unwrap_or(0)),
        epoch: LeaseEpoch(unsigned(
            TABLE,
            "lease_epoch",
            &execution_id,
            columns.next::<Option<i64>>()?.unwrap_or(0),
        )?),
        worker_instance_id: columns.filled()?.map(WorkerInstanceId::from),
        cause: columns.next::<Option<String>>()?.unwrap_or_default(),
        at: TimestampMs(columns.next()?),
        namespace: Namespace::new(columns.filled()?.unwrap_or_default()),
        instance_tag: columns.next()?,
        execution_id,
    };
    Ok((event_id, Event::Lease(event)))
}

fn signal(row: &Row<'_>) -> Result<(i64, Event), EngineError> {
    const TABLE: &str = "ff_signal_event";
    let mut columns = Columns::of(row);
    let event_id = columns.next()?;
    let of = Number(event_id);
    let execution_id = of_execution(&mut columns, TABLE, &of)?;
    let signal_id = columns.text()?;
    let signal_id =
        SignalId::parse(signal_id).map_err(|_| corrupt(TABLE, "signal_id", &of, signal_id))?;
    let waitpoint_id = match columns.filled()? {
        None => None,
        Some(text) => {
            Some(WaitpointId::parse(text).map_err(|_| corrupt(TABLE, "waitpoint_id", &of, text))?)
        }
    };
    let event = SignalEvent {
        execution_id,
        signal_id,
        waitpoint_id,
        source_identity: columns.filled()?.map(str::to_owned),
        // What a tool announces without an effect satisfied its condition.
        effect: columns.filled()?.unwrap_or("satisfied").to_owned(),
        at: TimestampMs(columns.next()?),
        namespace: Namespace::new(columns.filled()?.unwrap_or_default()),
        instance_tag: columns.next()?,
    };
    Ok((event_id, Event::Signal(event)))
}

/// What `details` holds for each kind of change.
#[derive(Deserialize)]
struct Priorities {
    old_priority: i32,
    new_priority: i32,
}

#[derive(Deserialize)]
struct Replay {
    branch: String,
    groups_reset: Option<u32>,
}

#[derive(Deserialize)]
struct FlowCancel {
    cancellation_policy: String,
    reason: String,
    member_count: usize,
}

fn operator(row: &Row<'_>) -> Result<(i64, Event), EngineError> {
    const TABLE: &str = "ff_operator_event";
    let mut columns = Columns::of(row);
    let event_id = columns.next()?;
    let of = Number(event_id);
    let execution_id = of_execution(&mut columns, TABLE, &of)?;
    let kind = columns.text()?;
    let details = columns.filled()?.unwrap_or_default();
    let broken = |error: serde_json::Error| corrupt(TABLE, "details", &of, error);
    let at = TimestampMs(columns.next()?);
    let namespace = Namespace::new(columns.filled()?.unwrap_or_default());
    let kind = match kind {
        "priority_changed" => {
            let told: Priorities = serde_json::from_str(details).map_err(broken)?;
            let Priorities { old_priority, new_priority } = told;
            OperatorEventKind::PriorityChanged { old_priority, new_priority }
        }
        "replayed" => {
            let told: Replay = serde_json::from_str(details).map_err(broken)?;
            let branch = ReplayBranch::from_wire(&told.branch)
                .ok_or_else(|| corrupt(TABLE, "details", &of, &told.branch))?;
            OperatorEventKind::Replayed { branch, groups_reset: told.groups_reset }
        }
        "flow_cancel_requested" => {
            let told: FlowCancel = serde_json::from_str(details).map_err(broken)?;
            // The row holds the flow where others hold an execution.
            let event = FlowCancelRequested {
                flow_id: FlowId::from_uuid(execution_id.uuid()),
                policy: told.cancellation_policy,
                reason: told.reason,
                member_count: told.member_count,
                namespace,
                at,
            };
            return Ok((event_id, Event::FlowCancelRequested(event)));
        }
        other => return Err(corrupt(TABLE, "event_type", &of, other)),
    };
    let instance_tag = columns.next()?;
    Ok((
        event_id,
        Event::Operator(OperatorEvent { execution_id, kind, at, namespace, instance_tag }),
    ))
}

fn completion(row: &Row<'_>) -> Result<(i64, Event), EngineError> {
    const TABLE: &str = "ff_completion_event";
    let mut columns = Columns::of(row);
    let event_id = columns.next()?;
    let of = Number(event_id);
    let execution_id = next_id(TABLE, &mut columns)?;
    let flow_id = match columns.bytes()? {
        None => None,
        Some(bytes) => Some(FlowId::from_uuid(
            Uuid::from_slice(bytes).map_err(|error| corrupt(TABLE, "flow_id", &of, error))?,
        )),
    };
    let outcome = columns.text()?;
    let event = CompletionEvent {
        execution_id,
        flow_id,
        outcome: TerminalOutcome::from_wire(outcome)
            .filter(|outcome| *outcome != TerminalOutcome::None)
            .ok_or_else(|| corrupt(TABLE, "outcome", &of, outcome))?,
        run: columns.next()?,
        at: TimestampMs(columns.next()?),
        namespace: Namespace::new(columns.filled()?.unwrap_or_default()),
        instance_tag: columns.next()?,
    };
    Ok((event_id, Event::Completion(event)))
}

pub(crate) fn bounds(conn: &SqliteSession<'_>, topic: Topic) -> Result<EventBounds, EngineError> {
    let named = match topic {
        Topic::Lease => statement::LEASE_EVENT_BOUNDS,
        Topic::Completion => statement::COMPLETION_EVENT_BOUNDS,
        Topic::Signal => statement::SIGNAL_EVENT_BOUNDS,
        Topic::Operator => statement::OPERATOR_EVENT_BOUNDS,
    };
    let (oldest, greatest, given): (Option<i64>, Option<i64>, Option<i64>) = prepared(conn, named)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .doing("find what an outbox holds")?;
    let newest = given.max(greatest).unwrap_or(0);
    Ok(EventBounds { oldest: oldest.unwrap_or(newest + 1), newest })
}

pub(crate) fn transitions(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<TransitionRow>, EngineError> {
    const TABLE: &str = "ff_transition";
    let what = "list transitions";
    let state = |column, word: &str| {
        PublicState::from_wire(word).ok_or_else(|| corrupt(TABLE, column, Of(id), word))
    };
    let above = match after {
        Some(version) => signed("version", id, version)?,
        None => -1,
    };
    let mut statement = prepared(conn, statement::TRANSITION_LIST)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes(), above, page(limit)])
        .doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        found.push(TransitionRow {
            execution_id: id.clone(),
            version: unsigned(TABLE, "version", id, columns.next()?)?,
            at: TimestampMs(columns.next()?),
            epoch: LeaseEpoch(unsigned(TABLE, "lease_epoch", id, columns.next()?)?),
            from: columns.filled()?.map(|word| state("from_state", word)).transpose()?,
            to: state("to_state", columns.text()?)?,
            cause: columns.next()?,
        });
    }
    Ok(found)
}
