//! Flows: graphs of executions.
//!
//! An edge counts from its apply on. When its upstream ends, the end is announced in the outbox
//! of completions; [`background`] reads the announcement and settles each outgoing edge by a
//! command of its own on its downstream ([`Resolve`]), inside the transaction of the end as far as
//! a step reaches, and by the next claim or sweep beyond it. The announcement is struck off only
//! behind its last edge, and an edge remembers that it is settled: a dead process loses nothing,
//! and settling twice changes nothing.
//!
//! ```text
//!   end of A ──▶ announced ──▶ edge A→B settled ──▶ B in line, or B skipped ──▶ announced ──▶ …
//!                        └───▶ edge A→C settled ──▶ …         then: announcement struck off,
//!                                                             flow closed if nobody is left
//! ```
//!
//! A cancel writes one mark into the flow. Every load of a member shows it, and
//! [`sweep::settle`](super::sweep::settle) ends the member in front of whatever was asked.
//!
//! Invariant: an edge is settled at most once for a run of its downstream, by the end of one run
//! of its upstream.

pub mod ack_cancel_member;
pub mod add;
pub mod apply;
pub mod background;
pub mod cancel;
pub mod create;
pub mod dispatch;
pub mod resolve;
pub mod rows;
pub mod set_policy;
pub mod set_tag;
pub mod sibling;
pub mod spawn;
pub mod stage;
pub mod submit;
#[cfg(test)]
pub(crate) mod testing;
pub mod wait_children;

use std::collections::BTreeSet;

pub use ack_cancel_member::AckCancelMember;
pub use add::AddExecution;
pub use apply::Apply;
pub use cancel::{CancelFlow, FlowCancelled};
pub use create::CreateFlow;
pub use resolve::Resolve;
pub use rows::{
    Announced, Backlog, CancelMark, Edge, Flow, FlowState, Group, Member, Resolved, Standing,
    Standings, Upstream,
};
pub use set_policy::SetEdgeGroupPolicy;
pub use set_tag::SetFlowTag;
pub use spawn::Spawn;
pub use stage::Stage;
pub use submit::SubmitFlow;
pub use wait_children::WaitChildren;

use crate::EngineError;
use crate::backend::CancelFlowPolicy;
use crate::engine_error::ValidationKind;
use crate::machine::limits::FLOW_PARTITION;
use crate::types::{EdgeId, ExecutionId, FlowId, LaneId, TimestampMs};

/// The flow rows that a command must see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// A flow.
    pub flow: Option<FlowId>,
    /// How the members of that flow stand, or of the execution's own when no flow is named. Nobody
    /// asks it of a flow that has ended, and it is not shown.
    pub standings: bool,
    /// Of the standings in the execution's own flow, ended or not, only whether anybody has not
    /// ended.
    pub own_open: bool,
    /// An edge.
    pub edge: Option<(FlowId, EdgeId)>,
    /// Of that edge, the upstream's result, if it is passed on.
    pub passed_result: bool,
    /// The edge group of the execution in a flow.
    pub group: Option<FlowId>,
    /// The edge group of the execution in its own flow.
    pub own_group: bool,
    /// An execution at the other end of an edge.
    pub upstream: Option<ExecutionId>,
    /// If the execution was skipped: the edges that count into it, with their upstreams.
    pub incoming: bool,
    /// Whether the second execution can be reached from the first along the edges of a flow.
    pub reaches: Option<(FlowId, ExecutionId, ExecutionId)>,
    /// Which of these executions exist.
    pub existing: Vec<ExecutionId>,
    /// For each: whether the gate key waits on the lane, and how many others do.
    pub gates: Vec<(LaneId, String)>,
    /// The members of that flow that have not ended.
    pub members: bool,
    /// The cancel backlog of that flow.
    pub backlog: bool,
}

/// The flow rows that a command is shown.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field answers the wanted field of the same name")]
pub struct Seen {
    pub flow: Option<Flow>,
    /// The flow that the loaded execution is a member of. Always shown.
    pub own: Option<Flow>,
    pub standings: Standings,
    pub edge: Option<Edge>,
    pub passed_result: Option<Vec<u8>>,
    pub group: Option<Group>,
    pub upstream: Option<Upstream>,
    pub incoming: Vec<(Edge, Option<Upstream>)>,
    pub is_reachable: bool,
    pub existing: BTreeSet<ExecutionId>,
    /// Known, and how many, in the order asked.
    pub gates: Vec<(bool, usize)>,
    pub members: Vec<Member>,
    pub backlog: Option<Backlog>,
}

impl Seen {
    /// The flow, or that it does not exist.
    pub fn flow(&self) -> Result<&Flow, EngineError> {
        self.flow.as_ref().ok_or(EngineError::NotFound { entity: "flow" })
    }

    /// Shows the effect of a write that is decided but not yet stored.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::PutFlow(flow) => {
                for shown in [&mut self.flow, &mut self.own].into_iter().flatten() {
                    if shown.id == flow.id {
                        shown.clone_from(flow);
                    }
                }
            }
            Write::PutEdge(edge) => self.edge = Some((**edge).clone()),
            Write::PutGroup(group) => self.group = Some((**group).clone()),
            Write::PutPayload { .. }
            | Write::OpenBacklog { .. }
            | Write::CloseBacklog { .. }
            | Write::Acknowledge { .. }
            | Write::EnqueueSiblings { .. }
            | Write::DropSiblings { .. }
            | Write::Dispatched { .. } => {}
        }
    }
}

/// A flow row to write.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Write {
    /// A flow's row, inserted or replaced.
    PutFlow(Box<Flow>),
    /// An edge's row, inserted or replaced.
    PutEdge(Box<Edge>),
    /// A group's row, inserted or replaced.
    PutGroup(Box<Group>),
    /// Another input for an execution that nobody has begun.
    PutPayload { execution_id: ExecutionId, payload: Vec<u8> },
    /// The members that a cancelled flow still has to end, and those to be acknowledged.
    OpenBacklog {
        flow_id: FlowId,
        policy: CancelFlowPolicy,
        requester: String,
        reason: String,
        at: TimestampMs,
        to_acknowledge: Vec<ExecutionId>,
    },
    /// Every member that the cancel reaches has ended; the entry goes once nothing is to be
    /// acknowledged.
    CloseBacklog { flow_id: FlowId },
    /// Strikes a member off; with the last one a backlog that is through goes.
    Acknowledge { flow_id: FlowId, execution_id: ExecutionId },
    /// A decided group whose remaining upstreams are to be cancelled.
    EnqueueSiblings { flow_id: FlowId, downstream: ExecutionId, at: TimestampMs },
    /// They have been.
    DropSiblings { flow_id: FlowId, downstream: ExecutionId },
    /// Every outgoing edge of an announced end is settled.
    Dispatched { event_id: i64, at: TimestampMs },
}

/// Refuses an execution that no flow can have: edges know their ends by UUID alone.
fn in_flow_partition(id: &ExecutionId) -> Result<(), EngineError> {
    if id.partition() == FLOW_PARTITION {
        return Ok(());
    }
    Err(invalid(format!(
        "execution partition mismatch: expected {FLOW_PARTITION}, got {}",
        id.partition()
    )))
}

fn invalid(detail: impl Into<String>) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.into() }
}
