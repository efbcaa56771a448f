//! Flows: their rows, and what they have left to do.

use std::collections::BTreeMap;
use std::fmt;

use ff_core::EngineError;
use ff_core::contracts::EdgeDependencyPolicy;
use ff_core::engine_error::ValidationKind;
use ff_core::machine::flow::background::{FlowWork, OpenEdge};
use ff_core::machine::flow::rows::{cancel_policy, cancel_policy_word};
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{
    Announced, CancelMark, Edge, Flow, FlowState, Group, Member, Resolved, Standing, Standings,
};
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::machine::rows::{Attempt, Execution};
use ff_core::state::TerminalOutcome;
use ff_core::store::flow::{EdgesOf, FlowScan};
use ff_core::types::{EdgeId, ExecutionId, FlowId, Namespace, TimestampMs};
use rusqlite::{Row, params};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{next_proposed, page};
use crate::error::{Doing as _, corrupt};
use crate::row::{Columns, execution_id};
use crate::session::{SqliteSession, prepared};
use crate::{load, statement};

const FLOW: &str = "ff_flow_core";
const EDGE: &str = "ff_edge";
const GROUP: &str = "ff_edge_group";

/// The flow that a corrupt column belongs to.
struct OfFlow<'a>(&'a FlowId);

impl fmt::Display for OfFlow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow {}", self.0)
    }
}

pub(crate) fn flow(conn: &SqliteSession<'_>, id: &FlowId) -> Result<Option<Flow>, EngineError> {
    let what = "load a flow";
    let mut statement = prepared(conn, statement::FLOW_LOAD)?;
    let mut rows = statement.query(params![id.as_bytes()]).doing(what)?;
    rows.next().doing(what)?.map(flow_row).transpose()
}

fn flow_row(row: &Row<'_>) -> Result<Flow, EngineError> {
    let mut columns = Columns::of(row);
    let id = flow_id(FLOW, &mut columns)?;
    let wrong = |column: &str, value: &dyn fmt::Display| corrupt(FLOW, column, OfFlow(&id), value);
    let number = |column: &str, value: i64| u64::try_from(value).map_err(|_| wrong(column, &value));
    let version = number("version", columns.next()?)?;
    let revision = number("graph_revision", columns.next()?)?;
    let word = columns.text()?;
    let state = FlowState::from_wire(word).ok_or_else(|| wrong("public_flow_state", &word))?;
    let created_at = TimestampMs(columns.next()?);
    let ended_at = columns.instant()?;
    let digest = columns.bytes()?.and_then(|bytes| bytes.try_into().ok());
    let fields: Map<String, Value> =
        serde_json::from_str(columns.text()?).map_err(|error| wrong("raw_fields", &error))?;

    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let count = |key: &str| -> Result<u32, EngineError> {
        let Some(value) = fields.get(key).filter(|value| !value.is_null()) else { return Ok(0) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| wrong("raw_fields", &format_args!("{key} {value}")))
    };
    let instant = |key: &str| fields.get(key).and_then(Value::as_i64).map(TimestampMs);
    let mutated_at = instant("last_mutation_at_ms").unwrap_or(created_at);
    let cancel = match (state, text("cancellation_policy")) {
        (FlowState::Cancelled, Some(policy)) => Some(CancelMark {
            policy: cancel_policy(&policy).ok_or_else(|| {
                wrong("raw_fields", &format_args!("cancellation_policy {policy}"))
            })?,
            reason: text("cancel_reason").unwrap_or_default(),
            by: text("cancelled_by").unwrap_or_default(),
            at: instant("cancelled_at_ms").or(ended_at).unwrap_or(mutated_at),
        }),
        _ => None,
    };
    let tags = fields.iter().filter(|(key, _)| key.contains('.'));
    let tags = tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Ok(Flow {
        version,
        kind: text("flow_kind").unwrap_or_default(),
        namespace: Namespace::new(text("namespace").unwrap_or_default()),
        revision,
        state,
        node_count: count("node_count")?,
        edge_count: count("edge_count")?,
        created_at,
        ended_at,
        mutated_at,
        cancel,
        tags: tags.collect::<BTreeMap<_, _>>(),
        digest,
        id,
    })
}

/// What a flow keeps in its JSON.
pub(crate) fn flow_fields(flow: &Flow) -> String {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("flow_kind", flow.kind.clone().into());
    set("namespace", flow.namespace.as_str().into());
    set("node_count", flow.node_count.into());
    set("edge_count", flow.edge_count.into());
    set("last_mutation_at_ms", flow.mutated_at.0.into());
    if let Some(mark) = &flow.cancel {
        set("cancellation_policy", cancel_policy_word(mark.policy).into());
        set("cancel_reason", mark.reason.clone().into());
        set("cancelled_by", mark.by.clone().into());
        set("cancelled_at_ms", mark.at.0.into());
    }
    for (key, value) in &flow.tags {
        set(key, value.clone().into());
    }
    Value::Object(fields).to_string()
}

fn uuid(table: &str, column: &str, columns: &mut Columns<'_>) -> Result<Uuid, EngineError> {
    let bytes = columns.bytes()?.unwrap_or_default();
    Uuid::from_slice(bytes).map_err(|error| corrupt(table, column, "a flow row", error))
}

fn flow_id(table: &str, columns: &mut Columns<'_>) -> Result<FlowId, EngineError> {
    uuid(table, "flow_id", columns).map(FlowId::from_uuid)
}

/// An execution that the tables of flows name by its UUID alone.
fn member(
    table: &str,
    column: &str,
    columns: &mut Columns<'_>,
) -> Result<ExecutionId, EngineError> {
    Ok(ExecutionId::from_parts(FLOW_PARTITION, uuid(table, column, columns)?))
}

pub(crate) fn flows(
    conn: &SqliteSession<'_>,
    scan: &FlowScan,
    limit: usize,
) -> Result<Vec<Flow>, EngineError> {
    let what = "list flows";
    // No UUID is as small as the empty blob, or as great as one that is longer.
    let (sql, edge) = match scan.descending {
        false => (statement::FLOW_LIST_ASCENDING, Vec::new()),
        true => (statement::FLOW_LIST_DESCENDING, vec![0xff; 17]),
    };
    let mut after = scan.after.as_ref().map_or(edge, |after| after.as_bytes().to_vec());
    let mut found = Vec::new();
    // A page that is not full tells that it is the last: what is left out is made up for.
    loop {
        let wanted = limit - found.len();
        let mut statement = prepared(conn, sql)?;
        let mut rows = statement.query(params![after, page(wanted)]).doing(what)?;
        let mut examined = 0;
        while let Some(row) = rows.next().doing(what)? {
            examined += 1;
            after = Columns::of(row).bytes()?.unwrap_or_default().to_vec();
            match flow_row(row) {
                Ok(flow) => found.push(flow),
                // One damaged row must not hide the others.
                Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
                    tracing::error!(%detail, "a flow is left out of a list because its row cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        if examined < wanted || found.len() == limit {
            return Ok(found);
        }
    }
}

pub(crate) fn flow_range(
    conn: &SqliteSession<'_>,
    low: Uuid,
    high: Uuid,
    limit: usize,
) -> Result<Vec<FlowId>, EngineError> {
    let what = "find flows by a part of their ids";
    let mut statement = prepared(conn, statement::FLOW_IN_UUID_RANGE)?;
    let mut rows =
        statement.query(params![low.as_bytes(), high.as_bytes(), page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(flow_id(FLOW, &mut Columns::of(row))?);
    }
    Ok(found)
}

pub(crate) fn standings(conn: &SqliteSession<'_>, flow: &FlowId) -> Result<Standings, EngineError> {
    prepared(conn, statement::FLOW_STANDINGS)?
        .query_row(params![flow.as_bytes()], |row| {
            Ok(Standings {
                any_open: row.get(0)?,
                any_bad: row.get(1)?,
                any_running: row.get(2)?,
                any_blocked: row.get(3)?,
            })
        })
        .doing("see how the members of a flow stand")
}

pub(crate) fn members(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    limit: usize,
) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
    let what = "list the members of a flow";
    let mut statement = prepared(conn, statement::FLOW_MEMBERS)?;
    let mut rows = statement.query(params![flow.as_bytes(), page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let Some(id) = next_proposed(&mut Columns::of(row))? else { continue };
        match load::execution(conn, &id) {
            Ok(loaded) => found.extend(loaded),
            Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
                tracing::error!(%detail, "a member is left out because its row cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The members of a flow that stand between two standings.
pub(crate) fn open_members(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    from: Standing,
    to: Standing,
    limit: usize,
) -> Result<Vec<Member>, EngineError> {
    let what = "list the open members of a flow";
    let mut statement = prepared(conn, statement::FLOW_OPEN_MEMBERS)?;
    let values = params![flow.as_bytes(), from as u8, to as u8, page(limit)];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let Some(id) = next_proposed(&mut columns)? else { continue };
        let standing = match columns.next::<u8>()? {
            3 => Standing::Open,
            4 => Standing::Blocked,
            5 => Standing::Running,
            _ => Standing::Parked,
        };
        found.push(Member { id, standing });
    }
    Ok(found)
}

pub(crate) fn due_members(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    now: TimestampMs,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "list the members of a flow that have something due";
    let mut statement = prepared(conn, statement::FLOW_DUE_MEMBERS)?;
    let mut rows = statement.query(params![flow.as_bytes(), now.0, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.extend(next_proposed(&mut Columns::of(row))?);
    }
    Ok(found)
}

pub(crate) fn reached_members(
    conn: &SqliteSession<'_>,
    flow_id: &FlowId,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let mark = flow(conn, flow_id)?.and_then(|flow| flow.cancel);
    let reached: Vec<Standing> =
        [Standing::Open, Standing::Blocked, Standing::Running, Standing::Parked]
            .into_iter()
            .filter(|standing| mark.as_ref().is_some_and(|mark| mark.reaches(*standing)))
            .collect();
    let (Some(from), Some(to)) = (reached.first(), reached.last()) else { return Ok(Vec::new()) };
    let found = open_members(conn, flow_id, *from, *to, limit)?;
    Ok(found.into_iter().map(|member| member.id).collect())
}

/// What an edge keeps in its JSON.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct EdgeFields {
    #[serde(default)]
    dependency_kind: Option<String>,
    #[serde(default)]
    satisfaction_condition: Option<String>,
    #[serde(default)]
    data_passing_ref: Option<String>,
    #[serde(default)]
    edge_state: Option<String>,
    #[serde(default)]
    created_at_ms: Option<i64>,
    #[serde(default)]
    created_by: Option<String>,
    #[serde(default)]
    staged_at_ms: Option<i64>,
    #[serde(default)]
    applied_at_ms: Option<i64>,
    #[serde(default, skip_serializing)]
    kind: Option<String>,
}

pub(crate) fn edge_fields(edge: &Edge) -> String {
    let fields = EdgeFields {
        dependency_kind: Some(edge.kind.clone()),
        satisfaction_condition: Some(edge.condition.clone()),
        data_passing_ref: Some(edge.data_passing_ref.clone().unwrap_or_default()),
        edge_state: Some(if edge.applied_at.is_some() { "applied" } else { "pending" }.to_owned()),
        created_at_ms: Some(edge.created_at.0),
        created_by: Some(edge.created_by.clone()),
        staged_at_ms: Some(edge.created_at.0),
        applied_at_ms: edge.applied_at.map(|at| at.0),
        kind: None,
    };
    serde_json::to_string(&fields).expect("text and numbers are always JSON")
}

fn edge_row(flow: &FlowId, row: &Row<'_>) -> Result<Edge, EngineError> {
    let mut columns = Columns::of(row);
    let id = EdgeId::from_uuid(uuid(EDGE, "edge_id", &mut columns)?);
    let wrong = |column: &str, value: &dyn fmt::Display| {
        corrupt(EDGE, column, format_args!("edge {id} of flow {flow}"), value)
    };
    let upstream = member(EDGE, "upstream_eid", &mut columns)?;
    let downstream = member(EDGE, "downstream_eid", &mut columns)?;
    let outcome = match columns.filled()? {
        None => None,
        Some(word) => {
            Some(TerminalOutcome::from_wire(word).ok_or_else(|| wrong("resolved_outcome", &word))?)
        }
    };
    let run = columns.next::<Option<u32>>()?.unwrap_or(0);
    let resolved_at = columns.instant()?.unwrap_or(TimestampMs(0));
    let fields: EdgeFields =
        serde_json::from_str(columns.text()?).map_err(|error| wrong("policy", &error))?;
    let created_at = TimestampMs(fields.created_at_ms.unwrap_or(0));
    let counts = match fields.edge_state.as_deref() {
        Some(state) => state == "applied",
        None => matches!(fields.kind.as_deref(), Some("required" | "AllOf" | "all_of")),
    };
    let applied_at = fields.applied_at_ms.map_or(created_at, TimestampMs);
    Ok(Edge {
        flow_id: flow.clone(),
        id,
        upstream,
        downstream,
        kind: fields.dependency_kind.unwrap_or_else(|| "success_only".to_owned()),
        condition: fields.satisfaction_condition.unwrap_or_else(|| "all_required".to_owned()),
        data_passing_ref: fields.data_passing_ref.filter(|text| !text.is_empty()),
        created_at,
        created_by: fields.created_by.unwrap_or_default(),
        applied_at: counts.then_some(applied_at),
        resolved: outcome.map(|outcome| Resolved { outcome, run, at: resolved_at }),
    })
}

pub(crate) fn edge(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    id: &EdgeId,
) -> Result<Option<Edge>, EngineError> {
    let what = "load an edge";
    let mut statement = prepared(conn, statement::EDGE_LOAD)?;
    let mut rows = statement.query(params![flow.as_bytes(), id.as_bytes()]).doing(what)?;
    rows.next().doing(what)?.map(|row| edge_row(flow, row)).transpose()
}

pub(crate) fn edges(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    of: &EdgesOf,
    limit: usize,
) -> Result<Vec<Edge>, EngineError> {
    let what = "list edges";
    let (sql, end) = match of {
        EdgesOf::Flow => (statement::EDGE_LIST, None),
        EdgesOf::From(id) => (statement::EDGE_LIST_FROM, Some(id)),
        EdgesOf::Into(id) => (statement::EDGE_LIST_INTO, Some(id)),
    };
    let mut statement = prepared(conn, sql)?;
    let mut rows = match end {
        None => statement.query(params![flow.as_bytes(), page(limit)]),
        Some(end) => statement.query(params![flow.as_bytes(), end.uuid().as_bytes(), page(limit)]),
    }
    .doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(edge_row(flow, row)?);
    }
    Ok(found)
}

fn group_row(flow: &FlowId, row: &Row<'_>) -> Result<Group, EngineError> {
    let mut columns = Columns::of(row);
    let downstream = member(GROUP, "downstream_eid", &mut columns)?;
    let wrong = |column: &str, value: &dyn fmt::Display| {
        corrupt(GROUP, column, format_args!("downstream {downstream} of flow {flow}"), value)
    };
    let json: Value =
        serde_json::from_str(columns.text()?).map_err(|error| wrong("policy", &error))?;
    let k = columns.next::<i64>()?;
    let policy = match json.get("kind").and_then(Value::as_str) {
        None | Some("") => EdgeDependencyPolicy::AllOf,
        Some(_) => {
            let mut json = json.clone();
            if let Value::Object(fields) = &mut json {
                fields.entry("k").or_insert_with(|| k.into());
                fields.entry("on_satisfied").or_insert_with(|| "let_run".into());
            }
            serde_json::from_value(json).map_err(|error| wrong("policy", &error))?
        }
    };
    let mut count = |column: &str| -> Result<u32, EngineError> {
        let value = columns.next::<i64>()?;
        u32::try_from(value).map_err(|_| wrong(column, &value))
    };
    let succeeded = count("success_count")?;
    let failed = count("fail_count")?;
    let skipped = count("skip_count")?;
    let running = count("running_count")?;
    Ok(Group { flow_id: flow.clone(), policy, succeeded, failed, skipped, running, downstream })
}

/// The stored group; or, where tools wrote edges and no group, one that counts them.
pub(crate) fn group(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    downstream: &ExecutionId,
) -> Result<Option<Group>, EngineError> {
    let what = "load an edge group";
    let key = params![flow.as_bytes(), downstream.uuid().into_bytes()];
    {
        let mut statement = prepared(conn, statement::EDGE_GROUP_LOAD)?;
        let mut rows = statement.query(key).doing(what)?;
        if let Some(row) = rows.next().doing(what)? {
            return group_row(flow, row).map(Some);
        }
    }
    let counts: [Option<u32>; 4] = prepared(conn, statement::EDGE_COUNT_INTO)?
        .query_row(key, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        .doing(what)?;
    let [succeeded, failed, skipped, running] = counts.map(|count| count.unwrap_or(0));
    let group = Group {
        succeeded,
        failed,
        skipped,
        running,
        ..Group::new(flow.clone(), downstream.clone())
    };
    Ok(Some(group).filter(|group| group.total() > 0))
}

pub(crate) fn groups(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    limit: usize,
) -> Result<Vec<Group>, EngineError> {
    let what = "list edge groups";
    let mut statement = prepared(conn, statement::EDGE_GROUP_LIST)?;
    let mut rows = statement.query(params![flow.as_bytes(), page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(group_row(flow, row)?);
    }
    Ok(found)
}

pub(crate) fn reaches(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    from: &ExecutionId,
    to: &ExecutionId,
) -> Result<bool, EngineError> {
    prepared(conn, statement::EDGE_REACHES)?
        .query_row(
            params![flow.as_bytes(), from.uuid().into_bytes(), to.uuid().into_bytes()],
            |row| row.get(0),
        )
        .doing("look for a cycle")
}

pub(crate) fn unacknowledged(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "list members to acknowledge";
    let mut statement = prepared(conn, statement::CANCEL_BACKLOG_MEMBER_LIST)?;
    let mut rows = statement.query(params![flow.as_bytes()]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let text = Columns::of(row).text()?;
        found.push(ExecutionId::parse(text).map_err(|error| {
            corrupt("ff_cancel_backlog_member", "execution_id", OfFlow(flow), error)
        })?);
    }
    Ok(found)
}

pub(crate) fn work(conn: &SqliteSession<'_>) -> Result<FlowWork, EngineError> {
    prepared(conn, statement::FLOW_WORK)?
        .query_row([], |row| {
            Ok(FlowWork { announced: row.get(0)?, groups: row.get(1)?, backlog: row.get(2)? })
        })
        .doing("see what flows have left to do")
}

/// The row, unless it cannot be read: then it is left out.
fn readable<T>(read: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
            tracing::error!(%detail, "flow work is left behind because its row cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn announced(
    conn: &SqliteSession<'_>,
    after: i64,
    limit: usize,
) -> Result<Vec<Announced>, EngineError> {
    let what = "find announced ends";
    let mut statement = prepared(conn, statement::COMPLETION_EVENT_ANNOUNCED)?;
    let mut rows = statement.query(params![after]).doing(what)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next().doing(what)?
    {
        found.extend(readable(announced_row(row))?);
    }
    Ok(found)
}

fn announced_row(row: &Row<'_>) -> Result<Announced, EngineError> {
    const TABLE: &str = "ff_completion_event";
    let mut columns = Columns::of(row);
    let event_id = columns.next()?;
    let partition = columns.next()?;
    let execution_id = execution_id(TABLE, partition, columns.bytes()?.unwrap_or_default())?;
    let flow_id = flow_id(TABLE, &mut columns)?;
    let outcome = TerminalOutcome::from_wire(columns.text()?)
        .filter(|outcome| *outcome != TerminalOutcome::None);
    Ok(Announced { event_id, execution_id, flow_id, outcome, run: columns.next()? })
}

pub(crate) fn open_edges_from(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    upstream: &ExecutionId,
    after: Option<&EdgeId>,
    limit: usize,
) -> Result<Vec<OpenEdge>, EngineError> {
    let what = "list open edges";
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let mut statement = prepared(conn, statement::EDGE_OPEN_FROM)?;
    let values = params![flow.as_bytes(), upstream.uuid().into_bytes(), after, page(limit)];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let id = EdgeId::from_uuid(uuid(EDGE, "edge_id", &mut columns)?);
        found.push(OpenEdge { id, downstream: member(EDGE, "downstream_eid", &mut columns)? });
    }
    Ok(found)
}

pub(crate) fn pending_group(conn: &SqliteSession<'_>) -> Result<Option<PendingGroup>, EngineError> {
    let what = "find a decided group";
    let mut statement = prepared(conn, statement::PENDING_CANCEL_GROUP_FIRST)?;
    let mut rows = statement.query([]).doing(what)?;
    while let Some(row) = rows.next().doing(what)? {
        if let Some(found) = readable(pending_row(conn, row))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn pending_row(conn: &SqliteSession<'_>, row: &Row<'_>) -> Result<PendingGroup, EngineError> {
    const TABLE: &str = "ff_pending_cancel_groups";
    let mut columns = Columns::of(row);
    let flow_id = flow_id(TABLE, &mut columns)?;
    let downstream = member(TABLE, "downstream_eid", &mut columns)?;
    let at = TimestampMs(columns.next()?);
    let decided = group(conn, &flow_id, &downstream)?
        .map_or(ff_core::contracts::EdgeGroupState::Cancelled, |group| group.state());
    Ok(PendingGroup { flow_id, downstream, decided, at })
}

pub(crate) fn open_upstreams_of(
    conn: &SqliteSession<'_>,
    flow: &FlowId,
    downstream: &ExecutionId,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "list the remaining upstreams of a group";
    let mut statement = prepared(conn, statement::EDGE_OPEN_UPSTREAMS)?;
    let values = params![flow.as_bytes(), downstream.uuid().into_bytes(), page(limit)];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.extend(next_proposed(&mut Columns::of(row))?);
    }
    Ok(found)
}

pub(crate) fn cancel_backlog(
    conn: &SqliteSession<'_>,
    limit: usize,
) -> Result<Vec<FlowId>, EngineError> {
    let what = "find cancelled flows";
    let mut statement = prepared(conn, statement::CANCEL_BACKLOG_FIRST)?;
    let mut rows = statement.query([]).doing(what)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next().doing(what)?
    {
        found.extend(readable(flow_id("ff_cancel_backlog", &mut Columns::of(row)))?);
    }
    Ok(found)
}

/// The work of a graph is counted in loads, not in seconds.
#[cfg(test)]
mod tests {
    use ff_core::contracts::{FlowLink, FlowNode, SubmitFlowArgs};
    use ff_core::machine::execution::Complete;
    use ff_core::machine::flow::SubmitFlow;
    use ff_core::machine::{Context, Fence, Limits, drive};
    use ff_core::store::flow::FlowReader as _;

    use super::*;
    use crate::testing::{arguments, claim_one, database};

    fn graph(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> SubmitFlow {
        let node = |number: usize| FlowNode::new(arguments(number as u128 + 1));
        SubmitFlow::new(SubmitFlowArgs {
            flow_id: FlowId::from_uuid(Uuid::from_u128(1)),
            flow_kind: "kind".to_owned(),
            namespace: Namespace::new("tests"),
            tags: BTreeMap::new(),
            nodes: (0..nodes).map(node).collect(),
            edges: edges.into_iter().map(|(up, down)| FlowLink::new(up, down)).collect(),
        })
        .unwrap()
    }

    /// The loads it takes to run a graph from its first node to its end.
    fn loads_of(graph: &SubmitFlow) -> usize {
        let conn = database();
        let mut session = SqliteSession::new(&conn);
        let limits = Limits::default();
        let mut seed = 0;
        let mut context = || {
            seed += 1;
            Context::new(TimestampMs(1_700_000_000_000), seed, &limits)
        };
        let _ = drive::run(&mut session, graph, &mut context()).unwrap();
        loop {
            let step = drive::claim(&mut session, &claim_one(), &mut context()).unwrap();
            for claimed in &step.claimed {
                let complete = Complete {
                    execution_id: claimed.execution.id.clone(),
                    fence: Fence::of_handle(&claimed.handle_payload()),
                    result: None,
                };
                let _ = drive::run(&mut session, &complete, &mut context()).unwrap();
            }
            if step.claimed.is_empty() && !step.is_unfinished {
                break;
            }
        }
        let flow = session.flow(&FlowId::from_uuid(Uuid::from_u128(1))).unwrap().unwrap();
        assert_eq!(flow.state, FlowState::Completed, "everything ran");
        session.loads
    }

    /// Claim, complete, announcement and end: five for a node at most, and one for an edge.
    fn is_linear(nodes: usize, edges: usize, loads: usize) {
        assert!(loads <= 5 * nodes + edges, "{loads} loads for {nodes} nodes and {edges} edges");
    }

    #[test]
    fn a_fan_out_and_in_of_a_thousand_takes_loads_linear_in_its_edges() {
        const WIDTH: usize = 1_000;
        let edges = (1..=WIDTH).flat_map(|node| [(0, node), (node, WIDTH + 1)]);

        is_linear(WIDTH + 2, 2 * WIDTH, loads_of(&graph(WIDTH + 2, edges)));
    }

    #[test]
    fn a_chain_of_a_thousand_takes_loads_linear_in_its_edges() {
        const LENGTH: usize = 1_000;
        let edges = (1..LENGTH).map(|node| (node - 1, node));

        is_linear(LENGTH, LENGTH - 1, loads_of(&graph(LENGTH, edges)));
    }
}
