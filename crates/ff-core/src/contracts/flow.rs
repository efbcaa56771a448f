//! Flows: their members, the edges between them, and what an edge waits for.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CreateExecutionArgs, ExecutionSummary};
use crate::partition::Partition;
use crate::types::{AttemptIndex, EdgeId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs};

/// A new, empty flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateFlowArgs {
    pub flow_id: FlowId,
    pub flow_kind: String,
    pub namespace: Namespace,
    pub now: TimestampMs,
}

/// Whether the call made the flow or found it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreateFlowResult {
    Created { flow_id: FlowId },
    AlreadySatisfied { flow_id: FlowId },
}

/// Makes an execution a member of a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddExecutionToFlowArgs {
    pub flow_id: FlowId,
    pub execution_id: ExecutionId,
    pub now: TimestampMs,
}

/// Whether the call made it a member or found it one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddExecutionToFlowResult {
    Added { execution_id: ExecutionId, new_node_count: u32 },
    AlreadyMember { execution_id: ExecutionId, node_count: u32 },
}

/// Draws an edge; it binds the downstream once it is applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageDependencyEdgeArgs {
    pub flow_id: FlowId,
    pub edge_id: EdgeId,
    pub upstream_execution_id: ExecutionId,
    pub downstream_execution_id: ExecutionId,
    #[serde(default = "success_only")]
    pub dependency_kind: String,
    #[serde(default)]
    pub data_passing_ref: Option<String>,
    pub expected_graph_revision: u64,
    pub now: TimestampMs,
}

fn success_only() -> String {
    "success_only".to_owned()
}

/// The edge is drawn and the graph has a new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageDependencyEdgeResult {
    Staged { edge_id: EdgeId, new_graph_revision: u64 },
}

/// Makes a drawn edge count for its downstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyDependencyToChildArgs {
    pub flow_id: FlowId,
    pub edge_id: EdgeId,
    pub downstream_execution_id: ExecutionId,
    pub upstream_execution_id: ExecutionId,
    pub graph_revision: u64,
    #[serde(default = "success_only")]
    pub dependency_kind: String,
    #[serde(default)]
    pub data_passing_ref: Option<String>,
    pub now: TimestampMs,
}

/// Whether the edge counts because of this call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyDependencyToChildResult {
    Applied { unsatisfied_count: u32 },
    AlreadyApplied,
}

/// Closes a flow; the policy is `cancel_all`, `cancel_pending`, `cancel_flow_only` or `flow_only`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelFlowArgs {
    pub flow_id: FlowId,
    pub reason: String,
    pub cancellation_policy: String,
    pub now: TimestampMs,
}

/// What became of the members; ids are full execution-id texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelFlowResult {
    Cancelled {
        cancellation_policy: String,
        member_execution_ids: Vec<String>,
    },
    CancellationScheduled {
        cancellation_policy: String,
        member_count: u32,
        member_execution_ids: Vec<String>,
    },
    PartiallyCancelled {
        cancellation_policy: String,
        member_execution_ids: Vec<String>,
        failed_member_execution_ids: Vec<String>,
    },
}

/// Whether the call closed the flow; ids are full execution-id texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelFlowHeader {
    Cancelled {
        cancellation_policy: String,
        member_execution_ids: Vec<String>,
    },
    /// The members are those still to be acknowledged, or all of them when none is.
    AlreadyTerminal {
        stored_cancellation_policy: Option<String>,
        stored_cancel_reason: Option<String>,
        member_execution_ids: Vec<String>,
    },
}

/// One flow with its edge groups.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowSnapshot {
    pub flow_id: FlowId,
    pub flow_kind: String,
    pub namespace: Namespace,
    pub public_flow_state: String,
    pub graph_revision: u64,
    pub node_count: u32,
    pub edge_count: u32,
    pub created_at: TimestampMs,
    pub last_mutation_at: TimestampMs,
    pub cancelled_at: Option<TimestampMs>,
    pub cancel_reason: Option<String>,
    pub cancellation_policy: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub edge_groups: Vec<EdgeGroupSnapshot>,
}

impl FlowSnapshot {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        flow_id: FlowId,
        flow_kind: String,
        namespace: Namespace,
        public_flow_state: String,
        graph_revision: u64,
        node_count: u32,
        edge_count: u32,
        created_at: TimestampMs,
        last_mutation_at: TimestampMs,
        cancelled_at: Option<TimestampMs>,
        cancel_reason: Option<String>,
        cancellation_policy: Option<String>,
        tags: BTreeMap<String, String>,
        edge_groups: Vec<EdgeGroupSnapshot>,
    ) -> Self {
        Self {
            flow_id,
            flow_kind,
            namespace,
            public_flow_state,
            graph_revision,
            node_count,
            edge_count,
            created_at,
            last_mutation_at,
            cancelled_at,
            cancel_reason,
            cancellation_policy,
            tags,
            edge_groups,
        }
    }
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeSnapshot {
    pub edge_id: EdgeId,
    pub flow_id: FlowId,
    pub upstream_execution_id: ExecutionId,
    pub downstream_execution_id: ExecutionId,
    pub dependency_kind: String,
    pub satisfaction_condition: String,
    pub data_passing_ref: Option<String>,
    pub edge_state: String,
    pub created_at: TimestampMs,
    pub created_by: String,
}

impl EdgeSnapshot {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        edge_id: EdgeId,
        flow_id: FlowId,
        upstream_execution_id: ExecutionId,
        downstream_execution_id: ExecutionId,
        dependency_kind: String,
        satisfaction_condition: String,
        data_passing_ref: Option<String>,
        edge_state: String,
        created_at: TimestampMs,
        created_by: String,
    ) -> Self {
        Self {
            edge_id,
            flow_id,
            upstream_execution_id,
            downstream_execution_id,
            dependency_kind,
            satisfaction_condition,
            data_passing_ref,
            edge_state,
            created_at,
            created_by,
        }
    }
}

/// Whose edges to list, and which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeDirection {
    Outgoing { from_node: ExecutionId },
    Incoming { to_node: ExecutionId },
}

impl EdgeDirection {
    /// The execution whose edges are meant.
    #[must_use]
    pub fn subject(&self) -> &ExecutionId {
        match self {
            Self::Outgoing { from_node } => from_node,
            Self::Incoming { to_node } => to_node,
        }
    }
}

/// How many upstreams of one downstream must succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeDependencyPolicy {
    AllOf,
    AnyOf { on_satisfied: OnSatisfied },
    Quorum { k: u32, on_satisfied: OnSatisfied },
}

impl EdgeDependencyPolicy {
    #[must_use]
    pub fn all_of() -> Self {
        Self::AllOf
    }

    #[must_use]
    pub fn any_of(on_satisfied: OnSatisfied) -> Self {
        Self::AnyOf { on_satisfied }
    }

    #[must_use]
    pub fn quorum(k: u32, on_satisfied: OnSatisfied) -> Self {
        Self::Quorum { k, on_satisfied }
    }

    /// The stored name.
    #[must_use]
    pub fn variant_str(&self) -> &'static str {
        match self {
            Self::AllOf => "all_of",
            Self::AnyOf { .. } => "any_of",
            Self::Quorum { .. } => "quorum",
        }
    }
}

/// What becomes of the other upstreams once enough have succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnSatisfied {
    CancelRemaining,
    LetRun,
}

impl OnSatisfied {
    #[must_use]
    pub fn cancel_remaining() -> Self {
        Self::CancelRemaining
    }

    #[must_use]
    pub fn let_run() -> Self {
        Self::LetRun
    }

    /// The stored name.
    #[must_use]
    pub fn variant_str(&self) -> &'static str {
        match self {
            Self::CancelRemaining => "cancel_remaining",
            Self::LetRun => "let_run",
        }
    }
}

/// Whether a downstream's incoming edges have been decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeGroupState {
    Pending,
    Satisfied,
    Impossible,
    Cancelled,
}

impl EdgeGroupState {
    /// The state behind a stored name; an unknown one is `Pending`.
    #[must_use]
    pub fn from_literal(text: &str) -> Self {
        match text {
            "satisfied" => Self::Satisfied,
            "impossible" => Self::Impossible,
            "cancelled" => Self::Cancelled,
            _ => Self::Pending,
        }
    }

    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Satisfied => "satisfied",
            Self::Impossible => "impossible",
            Self::Cancelled => "cancelled",
        }
    }
}

/// All incoming edges of one downstream, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeGroupSnapshot {
    pub downstream_execution_id: ExecutionId,
    pub policy: EdgeDependencyPolicy,
    pub total_deps: u32,
    pub satisfied_count: u32,
    pub failed_count: u32,
    pub skipped_count: u32,
    pub running_count: u32,
    pub group_state: EdgeGroupState,
}

impl EdgeGroupSnapshot {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        downstream_execution_id: ExecutionId,
        policy: EdgeDependencyPolicy,
        total_deps: u32,
        satisfied_count: u32,
        failed_count: u32,
        skipped_count: u32,
        running_count: u32,
        group_state: EdgeGroupState,
    ) -> Self {
        Self {
            downstream_execution_id,
            policy,
            total_deps,
            satisfied_count,
            failed_count,
            skipped_count,
            running_count,
            group_state,
        }
    }
}

/// Whether the call changed the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetEdgeGroupPolicyResult {
    Set,
    AlreadySet,
}

/// The state of a flow in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlowStatus {
    Active,
    Completed,
    Failed,
    Cancelled,
    Unknown,
}

impl FlowStatus {
    /// From the stored state: `open`, `running` and `blocked` are active.
    #[must_use]
    pub fn from_public_flow_state(text: &str) -> Self {
        match text {
            "open" | "running" | "blocked" => Self::Active,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}

/// One flow in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowSummary {
    pub flow_id: FlowId,
    pub created_at: TimestampMs,
    pub status: FlowStatus,
}

impl FlowSummary {
    #[must_use]
    pub fn new(flow_id: FlowId, created_at: TimestampMs, status: FlowStatus) -> Self {
        Self { flow_id, created_at, status }
    }
}

/// A page of flows by id; a cursor means there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListFlowsPage {
    pub flows: Vec<FlowSummary>,
    pub next_cursor: Option<FlowId>,
}

impl ListFlowsPage {
    #[must_use]
    pub fn new(flows: Vec<FlowSummary>, next_cursor: Option<FlowId>) -> Self {
        Self { flows, next_cursor }
    }
}

/// Asks whether an execution's dependencies let it run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvaluateFlowEligibilityArgs {
    pub execution_id: ExecutionId,
}

/// The answer in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvaluateFlowEligibilityResult {
    /// `not_found`, `not_runnable`, `owned`, `terminal`, `eligible`, `impossible` or
    /// `blocked_by_dependencies`.
    Status { status: String },
}

/// Settles one edge after its upstream ended with `success`, `failed`, `cancelled`, `expired` or
/// `skipped`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolveDependencyArgs {
    pub partition: Partition,
    pub flow_id: FlowId,
    pub downstream_execution_id: ExecutionId,
    pub upstream_execution_id: ExecutionId,
    pub edge_id: EdgeId,
    pub lane_id: LaneId,
    pub current_attempt_index: AttemptIndex,
    pub upstream_outcome: String,
    pub now: TimestampMs,
}

impl ResolveDependencyArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        partition: Partition,
        flow_id: FlowId,
        downstream_execution_id: ExecutionId,
        upstream_execution_id: ExecutionId,
        edge_id: EdgeId,
        lane_id: LaneId,
        current_attempt_index: AttemptIndex,
        upstream_outcome: String,
        now: TimestampMs,
    ) -> Self {
        Self {
            partition,
            flow_id,
            downstream_execution_id,
            upstream_execution_id,
            edge_id,
            lane_id,
            current_attempt_index,
            upstream_outcome,
            now,
        }
    }
}

/// How the edge was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolveDependencyOutcome {
    Satisfied,
    Impossible,
    AlreadyResolved,
}

/// What settling all outgoing edges of an ended execution did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CascadeOutcome {
    pub resolved: usize,
    pub cascaded_children: usize,
    /// Whether the work was done before the call returned.
    pub synchronous: bool,
}

impl CascadeOutcome {
    #[must_use]
    pub fn synchronous(resolved: usize, cascaded_children: usize) -> Self {
        Self { resolved, cascaded_children, synchronous: true }
    }

    /// The settling was handed on; its children are not known yet.
    #[must_use]
    pub fn async_dispatched(resolved: usize) -> Self {
        Self { resolved, cascaded_children: 0, synchronous: false }
    }
}

/// Most nodes of one submitted graph, and of one that is read as a graph.
pub const FLOW_NODES_MAX: usize = 10_000;

/// Most edges of one flow.
pub const FLOW_EDGES_MAX: usize = 100_000;

/// Most payload bytes of one submitted graph, over all its nodes.
pub const FLOW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Flows a page of found flows holds unless the caller says otherwise.
pub const FIND_FLOWS_DEFAULT_LIMIT: u32 = 50;

/// Most flows a page of found flows holds.
pub const FIND_FLOWS_MAX_LIMIT: u32 = 1_000;

/// A whole graph: its nodes, the edges between them by their places in `nodes`, and each node's
/// join.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubmitFlowArgs {
    pub flow_id: FlowId,
    pub flow_kind: String,
    pub namespace: Namespace,
    /// Keys of the form that flow tags have.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// 1 to [`FLOW_NODES_MAX`], with distinct execution ids.
    pub nodes: Vec<FlowNode>,
    /// At most [`FLOW_EDGES_MAX`].
    #[serde(default)]
    pub edges: Vec<FlowLink>,
}

/// One execution of a graph. It carries no idempotency key: the flow's id is the key of the whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowNode {
    pub execution: CreateExecutionArgs,
    /// How many of its upstreams must succeed.
    #[serde(default = "EdgeDependencyPolicy::all_of")]
    pub join: EdgeDependencyPolicy,
}

impl FlowNode {
    /// A node that waits for all its upstreams.
    #[must_use]
    pub fn new(execution: CreateExecutionArgs) -> Self {
        Self { execution, join: EdgeDependencyPolicy::AllOf }
    }

    #[must_use]
    pub fn with_join(mut self, join: EdgeDependencyPolicy) -> Self {
        self.join = join;
        self
    }
}

/// One edge of a submitted graph; the ends are places in [`SubmitFlowArgs::nodes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLink {
    pub upstream: usize,
    pub downstream: usize,
    /// When set, the upstream's result replaces the downstream's input.
    #[serde(default)]
    pub data_passing_ref: Option<String>,
}

impl FlowLink {
    #[must_use]
    pub fn new(upstream: usize, downstream: usize) -> Self {
        Self { upstream, downstream, data_passing_ref: None }
    }

    #[must_use]
    pub fn with_data_passing_ref(mut self, data_passing_ref: impl Into<String>) -> Self {
        self.data_passing_ref = Some(data_passing_ref.into());
        self
    }
}

/// Whether the call stored the graph or found it stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SubmitFlowResult {
    Submitted { flow_id: FlowId, node_count: u32, edge_count: u32 },
    Duplicate { flow_id: FlowId },
}

/// A child that a running execution brings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpawnExecutionArgs {
    pub execution: CreateExecutionArgs,
    /// Whether the parent depends on it: [`wait_children`](crate::engine_backend::EngineBackend::wait_children)
    /// waits for what it joins.
    #[serde(default)]
    pub joins: bool,
}

impl SpawnExecutionArgs {
    /// A child that nobody waits for.
    #[must_use]
    pub fn new(execution: CreateExecutionArgs) -> Self {
        Self { execution, joins: false }
    }

    /// The parent depends on it.
    #[must_use]
    pub fn joined(mut self) -> Self {
        self.joins = true;
        self
    }
}

/// Whether the call stored the child or found it stored, and the flow it is a member of: its
/// parent's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SpawnExecutionResult {
    Spawned { execution_id: ExecutionId, flow_id: Option<FlowId> },
    Duplicate { execution_id: ExecutionId, flow_id: Option<FlowId> },
}

/// What has become of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeResolution {
    /// Drawn, but it does not count yet.
    Staged,
    /// It counts, and its upstream has not ended.
    Unsatisfied,
    /// Its upstream succeeded.
    Satisfied,
    /// Its upstream ended otherwise.
    Impossible,
}

impl EdgeResolution {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Unsatisfied => "unsatisfied",
            Self::Satisfied => "satisfied",
            Self::Impossible => "impossible",
        }
    }
}

/// One edge of a graph as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowGraphEdge {
    pub edge: EdgeSnapshot,
    pub resolution: EdgeResolution,
    pub resolved_at: Option<TimestampMs>,
}

impl FlowGraphEdge {
    #[must_use]
    pub fn new(
        edge: EdgeSnapshot,
        resolution: EdgeResolution,
        resolved_at: Option<TimestampMs>,
    ) -> Self {
        Self { edge, resolution, resolved_at }
    }
}

/// A flow with everything in it, as it stands at one moment. Edge groups are in the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowGraph {
    pub flow: FlowSnapshot,
    /// In the order of their ids.
    pub nodes: Vec<ExecutionSummary>,
    /// In the order of their ids.
    pub edges: Vec<FlowGraphEdge>,
    /// Whether the flow has more nodes or edges than are here: [`FLOW_NODES_MAX`] and
    /// [`FLOW_EDGES_MAX`] are the most.
    pub is_truncated: bool,
}

impl FlowGraph {
    #[must_use]
    pub fn new(
        flow: FlowSnapshot,
        nodes: Vec<ExecutionSummary>,
        edges: Vec<FlowGraphEdge>,
        is_truncated: bool,
    ) -> Self {
        Self { flow, nodes, edges, is_truncated }
    }
}

/// Which flows to find: those that fit everything that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FindFlowsArgs {
    /// `open`, `running`, `blocked`, `completed`, `failed`, `cancelled`; empty means any.
    #[serde(default)]
    pub states: Vec<String>,
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub namespace: Option<Namespace>,
    /// A tag key and the value it must have.
    #[serde(default)]
    pub tag: Option<(String, String)>,
    /// By id, which is the order of creation for ids of version 7; oldest first otherwise.
    #[serde(default)]
    pub newest_first: bool,
    /// The `next_cursor` of the page before, with the same filters and order.
    #[serde(default)]
    pub cursor: Option<FlowId>,
    /// At most [`FIND_FLOWS_MAX_LIMIT`].
    #[serde(default = "find_flows_limit_default")]
    pub limit: u32,
}

fn find_flows_limit_default() -> u32 {
    FIND_FLOWS_DEFAULT_LIMIT
}

impl Default for FindFlowsArgs {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            kind: None,
            namespace: None,
            tag: None,
            newest_first: false,
            cursor: None,
            limit: FIND_FLOWS_DEFAULT_LIMIT,
        }
    }
}

impl FindFlowsArgs {
    /// Everything, oldest first, [`FIND_FLOWS_DEFAULT_LIMIT`] a page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_states(mut self, states: Vec<String>) -> Self {
        self.states = states;
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tag = Some((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn with_newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    #[must_use]
    pub fn with_cursor(mut self, cursor: FlowId) -> Self {
        self.cursor = Some(cursor);
        self
    }

    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A page of found flows, without their edge groups. It may be short, even empty, while a cursor
/// is set; without a cursor there is nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FindFlowsPage {
    pub flows: Vec<FlowSnapshot>,
    pub next_cursor: Option<FlowId>,
}

impl FindFlowsPage {
    #[must_use]
    pub fn new(flows: Vec<FlowSnapshot>, next_cursor: Option<FlowId>) -> Self {
        Self { flows, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_policies_have_their_exact_json() {
        for (policy, json) in [
            (EdgeDependencyPolicy::all_of(), r#"{"kind":"all_of"}"#),
            (
                EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining()),
                r#"{"kind":"any_of","on_satisfied":"cancel_remaining"}"#,
            ),
            (
                EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run()),
                r#"{"kind":"quorum","k":2,"on_satisfied":"let_run"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&policy).unwrap(), json);
            assert_eq!(serde_json::from_str::<EdgeDependencyPolicy>(json).unwrap(), policy);
            assert!(json.contains(policy.variant_str()));
        }
    }

    #[test]
    fn an_edge_waits_for_success_unless_it_says_otherwise() {
        let uuid = "018f2f6c-0000-7000-8000-000000000001";
        let json = format!(
            r#"{{"flow_id":"{uuid}","edge_id":"{uuid}","upstream_execution_id":"{{fp:0}}:{uuid}",
                "downstream_execution_id":"{{fp:0}}:{uuid}","expected_graph_revision":1,"now":2}}"#
        );
        let args: StageDependencyEdgeArgs = serde_json::from_str(&json).unwrap();
        assert_eq!((args.dependency_kind.as_str(), args.data_passing_ref), ("success_only", None));
    }

    #[test]
    fn stored_states_come_back_and_unknown_ones_have_a_place() {
        for state in [
            EdgeGroupState::Pending,
            EdgeGroupState::Satisfied,
            EdgeGroupState::Impossible,
            EdgeGroupState::Cancelled,
        ] {
            assert_eq!(EdgeGroupState::from_literal(state.as_str()), state);
        }
        assert_eq!(EdgeGroupState::from_literal("?"), EdgeGroupState::Pending);
        assert_eq!(FlowStatus::from_public_flow_state("blocked"), FlowStatus::Active);
        assert_eq!(FlowStatus::from_public_flow_state("?"), FlowStatus::Unknown);
    }

    #[test]
    fn a_graph_in_json_needs_only_what_has_no_default() {
        let link: FlowLink = serde_json::from_str(r#"{"upstream":0,"downstream":1}"#).unwrap();
        assert_eq!(link, FlowLink::new(0, 1));
        let args: FindFlowsArgs = serde_json::from_str("{}").unwrap();
        assert_eq!(args, FindFlowsArgs::new());
    }
}
