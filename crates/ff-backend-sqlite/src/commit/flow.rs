//! Committing flow rows.

use ff_core::EngineError;
use ff_core::machine::flow::rows::cancel_policy_word;
use ff_core::machine::flow::{Edge, Flow, Group, Write};
use ff_core::machine::transition::FlowCancelRequested;
use ff_core::types::ExecutionId;
use rusqlite::params;

use super::event::named;
use super::execution::INLINE_PAYLOAD_MAX;
use super::run;
use crate::read::flow::{edge_fields, flow_fields};
use crate::session::SqliteSession;
use crate::statement;

pub(super) fn write(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    match write {
        Write::PutFlow(flow) => put_flow(conn, flow),
        Write::PutEdge(edge) => put_edge(conn, edge),
        Write::PutGroup(group) => put_group(conn, group),
        Write::PutPayload { execution_id, payload } => put_payload(conn, execution_id, payload),
        Write::OpenBacklog { flow_id, policy, requester, reason, at, to_acknowledge } => {
            let policy = cancel_policy_word(*policy);
            let values = params![flow_id.as_bytes(), at.0, requester, reason, policy];
            run(conn, statement::CANCEL_BACKLOG_OPEN, "open a cancel backlog", values)?;
            for id in to_acknowledge {
                let values = params![flow_id.as_bytes(), id.as_str()];
                run(conn, statement::CANCEL_BACKLOG_MEMBER_ADD, "list a member", values)?;
            }
            Ok(())
        }
        Write::CloseBacklog { flow_id } => {
            let values = params![flow_id.as_bytes()];
            run(conn, statement::CANCEL_BACKLOG_CLOSE, "close a cancel backlog", values)?;
            run(conn, statement::CANCEL_BACKLOG_DROP, "drop a cancel backlog", values).map(drop)
        }
        Write::Acknowledge { flow_id, execution_id } => {
            let values = params![flow_id.as_bytes(), execution_id.as_str()];
            let sql = statement::CANCEL_BACKLOG_MEMBER_DROP;
            run(conn, sql, "acknowledge a member", values)?;
            let values = params![flow_id.as_bytes()];
            run(conn, statement::CANCEL_BACKLOG_DROP, "drop a cancel backlog", values).map(drop)
        }
        Write::EnqueueSiblings { flow_id, downstream, at } => {
            let values = params![flow_id.as_bytes(), downstream.uuid().into_bytes(), at.0];
            run(conn, statement::PENDING_CANCEL_GROUP_ADD, "list a group", values).map(drop)
        }
        Write::DropSiblings { flow_id, downstream } => {
            let values = params![flow_id.as_bytes(), downstream.uuid().into_bytes()];
            run(conn, statement::PENDING_CANCEL_GROUP_DROP, "strike off a group", values).map(drop)
        }
        Write::Dispatched { event_id, at } => {
            let values = params![event_id, at.0];
            run(conn, statement::COMPLETION_EVENT_DISPATCHED, "strike off an end", values).map(drop)
        }
    }
}

fn put_flow(conn: &SqliteSession<'_>, flow: &Flow) -> Result<(), EngineError> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let values = params![
        flow.id.as_bytes(),
        number(flow.version),
        number(flow.revision),
        flow.state.as_str(),
        flow.created_at.0,
        flow.ended_at.map(|at| at.0),
        flow.digest,
        flow_fields(flow),
    ];
    run(conn, statement::FLOW_PUT, "store a flow", values).map(drop)
}

fn put_edge(conn: &SqliteSession<'_>, edge: &Edge) -> Result<(), EngineError> {
    let values = params![
        edge.flow_id.as_bytes(),
        edge.id.as_bytes(),
        edge.upstream.uuid().into_bytes(),
        edge.downstream.uuid().into_bytes(),
        edge.resolved.map(|resolved| resolved.outcome.as_str()),
        edge.resolved.map(|resolved| resolved.run),
        edge.resolved.map(|resolved| resolved.at.0),
        edge_fields(edge),
    ];
    run(conn, statement::EDGE_PUT, "store an edge", values).map(drop)
}

fn put_group(conn: &SqliteSession<'_>, group: &Group) -> Result<(), EngineError> {
    let policy = serde_json::to_string(&group.policy).expect("a policy is a number and words");
    let k = match &group.policy {
        ff_core::contracts::EdgeDependencyPolicy::Quorum { k, .. } => *k,
        ff_core::contracts::EdgeDependencyPolicy::AnyOf { .. } => 1,
        _ => 0,
    };
    let values = params![
        group.flow_id.as_bytes(),
        group.downstream.uuid().into_bytes(),
        policy,
        k,
        group.succeeded,
        group.failed,
        group.skipped,
        group.running,
    ];
    run(conn, statement::EDGE_GROUP_PUT, "store an edge group", values).map(drop)
}

fn put_payload(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    payload: &[u8],
) -> Result<(), EngineError> {
    let (partition, uuid) = (id.partition(), id.uuid().into_bytes());
    let inline = (payload.len() <= INLINE_PAYLOAD_MAX).then_some(payload);
    let sql = statement::EXECUTION_PUT_PAYLOAD;
    run(conn, sql, "replace an input", params![partition, uuid, inline])?;
    let what = "replace a long input";
    match inline {
        Some(_) => run(conn, statement::PAYLOAD_FORGET, what, params![partition, uuid]),
        None => run(conn, statement::PAYLOAD_PUT, what, params![partition, uuid, payload]),
    }
    .map(drop)
}

pub(super) fn announce(
    conn: &SqliteSession<'_>,
    event: &FlowCancelRequested,
) -> Result<(), EngineError> {
    let details = serde_json::json!({
        "flow_id": event.flow_id.to_string(),
        "cancellation_policy": event.policy,
        "reason": event.reason,
        "member_count": event.member_count,
    });
    let values = params![
        event.flow_id.to_string(),
        "flow_cancel_requested",
        details.to_string(),
        event.at.0,
        ff_core::machine::limits::FLOW_PARTITION,
        named(&event.namespace),
        Option::<String>::None,
    ];
    run(conn, statement::OPERATOR_EVENT_ADD, "announce a flow's cancel", values).map(drop)
}
