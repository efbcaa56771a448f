//! Flow rows for decision tests.

use std::collections::BTreeMap;

use super::rows::{Edge, Flow, FlowState, Group, Upstream};
use crate::machine::execution::testing::{CREATED, execution};
use crate::machine::rows::Execution;
use crate::machine::{Snapshot, state};
use crate::state::{AttemptState, TerminalOutcome};
use crate::types::{EdgeId, ExecutionId, FlowId, Namespace};

pub(crate) fn flow_id() -> FlowId {
    FlowId::from_uuid(uuid::Uuid::from_u128(70))
}

pub(crate) fn edge_id() -> EdgeId {
    EdgeId::from_uuid(uuid::Uuid::from_u128(71))
}

pub(crate) fn upstream_id() -> ExecutionId {
    ExecutionId::from_parts(0, uuid::Uuid::from_u128(72))
}

/// A flow with two members and no edge.
pub(crate) fn flow() -> Flow {
    Flow {
        id: flow_id(),
        version: 3,
        kind: "kind".to_owned(),
        namespace: Namespace::new("tests"),
        revision: 2,
        state: FlowState::Active,
        node_count: 2,
        edge_count: 0,
        created_at: CREATED,
        ended_at: None,
        mutated_at: CREATED,
        cancel: None,
        tags: BTreeMap::new(),
        digest: None,
    }
}

pub(crate) fn ended_flow(state: FlowState) -> Flow {
    Flow { state, ended_at: Some(CREATED), ..flow() }
}

/// A member in line.
pub(crate) fn child() -> Execution {
    Execution { flow_id: Some(flow_id()), ..execution() }
}

/// A member that waits for its edges.
pub(crate) fn waiting_child() -> Execution {
    Execution {
        state: state::blocked_by_dependencies(AttemptState::PendingFirstAttempt),
        ..child()
    }
}

pub(crate) fn upstream(outcome: Option<TerminalOutcome>) -> Upstream {
    Upstream { id: upstream_id(), flow_id: Some(flow_id()), outcome, run: 0 }
}

/// An edge that is only drawn.
pub(crate) fn edge() -> Edge {
    Edge {
        flow_id: flow_id(),
        id: edge_id(),
        upstream: upstream_id(),
        downstream: child().id,
        kind: "success_only".to_owned(),
        condition: "all_required".to_owned(),
        data_passing_ref: None,
        created_at: CREATED,
        created_by: "engine".to_owned(),
        applied_at: None,
        resolved: None,
    }
}

/// An edge that counts.
pub(crate) fn applied() -> Edge {
    Edge { applied_at: Some(CREATED), ..edge() }
}

pub(crate) fn group() -> Group {
    Group::new(flow_id(), child().id)
}

/// What a command on a flow sees.
pub(crate) fn showing(flow: Flow) -> Snapshot {
    let mut seen = Snapshot::default();
    seen.flow.flow = Some(flow);
    seen
}

/// What a command on an edge into `child` sees.
pub(crate) fn with_edge(edge: Edge, group: Group, child: Execution) -> Snapshot {
    let mut seen = Snapshot { execution: Some(child), ..showing(flow()) };
    seen.flow.own = Some(flow());
    seen.flow.edge = Some(edge);
    seen.flow.group = Some(group);
    seen
}
