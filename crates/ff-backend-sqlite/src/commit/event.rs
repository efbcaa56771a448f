//! Committing facts: what outboxes announce, and the log of transitions.

use ff_core::EngineError;
use ff_core::machine::transition::{
    CompletionEvent, LeaseEvent, OperatorEvent, OperatorEventKind, TransitionRow,
};
use ff_core::types::{LeaseId, Namespace, TimestampMs, WorkerInstanceId};
use rusqlite::params;

use super::run;
use crate::row::signed;
use crate::session::SqliteSession;
use crate::statement;

/// The namespace as outboxes hold it: NULL for none.
pub(super) fn named(namespace: &Namespace) -> Option<&str> {
    Some(namespace.as_str()).filter(|name| !name.is_empty())
}

pub(super) fn add_lease(conn: &SqliteSession<'_>, event: &LeaseEvent) -> Result<(), EngineError> {
    let id = &event.execution_id;
    let mut buffer = uuid::Uuid::encode_buffer();
    let values = params![
        &*id.uuid().hyphenated().encode_lower(&mut buffer),
        event.lease_id.as_ref().map(LeaseId::to_string),
        event.kind.as_str(),
        event.at.0,
        id.partition(),
        named(&event.namespace),
        event.instance_tag,
        signed("lease_epoch", id, event.epoch.0)?,
        event.attempt_index.0,
        event.worker_instance_id.as_ref().map(WorkerInstanceId::as_str),
        event.cause,
    ];
    run(conn, statement::LEASE_EVENT_ADD, "announce a lease", values).map(drop)
}

pub(super) fn add_completion(
    conn: &SqliteSession<'_>,
    event: &CompletionEvent,
    now: TimestampMs,
) -> Result<(), EngineError> {
    let id = &event.execution_id;
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        event.flow_id.as_ref().map(|flow| flow.as_bytes().as_slice()),
        event.outcome.as_str(),
        named(&event.namespace),
        event.instance_tag,
        event.at.0,
        now.0,
        event.run,
    ];
    run(conn, statement::COMPLETION_EVENT_ADD, "announce an end", values).map(drop)
}

pub(super) fn add_operator(
    conn: &SqliteSession<'_>,
    event: &OperatorEvent,
) -> Result<(), EngineError> {
    let (kind, details) = match &event.kind {
        OperatorEventKind::PriorityChanged { old_priority, new_priority } => (
            "priority_changed",
            serde_json::json!({ "old_priority": old_priority, "new_priority": new_priority }),
        ),
        OperatorEventKind::Replayed { branch, groups_reset: None } => {
            ("replayed", serde_json::json!({ "branch": branch.as_str() }))
        }
        OperatorEventKind::Replayed { branch, groups_reset: Some(groups) } => {
            ("replayed", serde_json::json!({ "branch": branch.as_str(), "groups_reset": groups }))
        }
    };
    let id = &event.execution_id;
    let mut buffer = uuid::Uuid::encode_buffer();
    let values = params![
        &*id.uuid().hyphenated().encode_lower(&mut buffer),
        kind,
        details.to_string(),
        event.at.0,
        id.partition(),
        named(&event.namespace),
        event.instance_tag,
    ];
    run(conn, statement::OPERATOR_EVENT_ADD, "announce an operator's change", values).map(drop)
}

pub(super) fn add_transition(
    conn: &SqliteSession<'_>,
    row: &TransitionRow,
) -> Result<(), EngineError> {
    let id = &row.execution_id;
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        signed("version", id, row.version)?,
        row.at.0,
        signed("lease_epoch", id, row.epoch.0)?,
        row.from.map(|state| state.as_str()),
        row.to.as_str(),
        row.cause,
    ];
    run(conn, statement::TRANSITION_ADD, "record a transition", values).map(drop)
}
