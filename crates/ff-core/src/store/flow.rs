//! What a store reads about flows.

use crate::EngineError;
use crate::machine::flow::background::{FlowWork, OpenEdge};
use crate::machine::flow::sibling::PendingGroup;
use crate::machine::flow::{Announced, Edge, Flow, Group, Standings};
use crate::machine::rows::{Attempt, Execution};
use crate::types::{EdgeId, ExecutionId, FlowId, TimestampMs};

/// Which edges of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgesOf {
    /// All of them.
    Flow,
    /// Those that leave an execution.
    From(ExecutionId),
    /// Those that enter an execution.
    Into(ExecutionId),
}

/// A walk over flows in id order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowScan {
    /// Exclusive starting point.
    pub after: Option<FlowId>,
    /// From the greatest id downwards.
    pub descending: bool,
}

/// The reads of flows. Each is one statement or one range of a map; none decides.
pub trait FlowReader {
    /// A flow.
    fn flow(&mut self, id: &FlowId) -> Result<Option<Flow>, EngineError>;

    /// Flows by id. One that cannot be read is left out.
    fn flows(&mut self, scan: &FlowScan, limit: usize) -> Result<Vec<Flow>, EngineError>;

    /// Flows whose UUID lies in `low..=high`, in order.
    fn flow_range(
        &mut self,
        low: uuid::Uuid,
        high: uuid::Uuid,
        limit: usize,
    ) -> Result<Vec<FlowId>, EngineError>;

    /// How the members of a flow stand: a few probes, however many there are.
    fn standings(&mut self, flow: &FlowId) -> Result<Standings, EngineError>;

    /// The members of a flow by UUID, with their current attempts.
    fn members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError>;

    /// One edge.
    fn edge(&mut self, flow: &FlowId, id: &EdgeId) -> Result<Option<Edge>, EngineError>;

    /// Edges of a flow, by id.
    fn edges(
        &mut self,
        flow: &FlowId,
        of: &EdgesOf,
        limit: usize,
    ) -> Result<Vec<Edge>, EngineError>;

    /// The edge groups of a flow, by the UUIDs of their downstreams.
    fn groups(&mut self, flow: &FlowId, limit: usize) -> Result<Vec<Group>, EngineError>;

    /// One edge group.
    fn group(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
    ) -> Result<Option<Group>, EngineError>;

    /// The members of a cancelled flow that nobody has acknowledged.
    fn unacknowledged(&mut self, flow: &FlowId) -> Result<Vec<ExecutionId>, EngineError>;

    /// Whether flows have anything left to do.
    fn flow_work(&mut self) -> Result<FlowWork, EngineError>;

    /// The announced ends whose edges are not all settled, oldest first, after one. What cannot be
    /// read is left out.
    fn announced(&mut self, after: i64, limit: usize) -> Result<Vec<Announced>, EngineError>;

    /// The edges that leave an execution, count and are not settled, by id, after one.
    fn open_edges_from(
        &mut self,
        flow: &FlowId,
        upstream: &ExecutionId,
        after: Option<&EdgeId>,
        limit: usize,
    ) -> Result<Vec<OpenEdge>, EngineError>;

    /// The oldest decided group whose remaining upstreams are to be cancelled, of those that can be
    /// read.
    fn pending_group(&mut self) -> Result<Option<PendingGroup>, EngineError>;

    /// The upstreams of a downstream's edges that are not settled and that have not ended.
    fn open_upstreams_of(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError>;

    /// The cancelled flows that may have members to end, oldest first.
    fn cancel_backlog(&mut self, limit: usize) -> Result<Vec<FlowId>, EngineError>;

    /// Members that hold a lease, as stored, and have something due at `now`, by their UUIDs.
    fn due_members(
        &mut self,
        flow: &FlowId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError>;

    /// Members that the cancel of a flow reaches.
    fn reached_members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError>;
}
