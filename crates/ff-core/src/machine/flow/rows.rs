//! What is stored about flows, as the rules see it.

#![expect(missing_docs, reason = "fields carry the contract's own names")]

use std::collections::BTreeMap;

use super::stage::SUCCESS_ONLY;
use crate::backend::CancelFlowPolicy;
use crate::contracts::{EdgeDependencyPolicy, EdgeGroupState, EdgeResolution, OnSatisfied};
use crate::machine::rows::Execution;
use crate::state::{LifecyclePhase, OwnershipState, TerminalOutcome};
use crate::types::{EdgeId, ExecutionId, FlowId, Namespace, TimestampMs};

/// One flow, without its graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    pub id: FlowId,
    /// Raised by one with every write of this row.
    pub version: u64,
    pub kind: String,
    pub namespace: Namespace,
    /// Raised by one with every member and every edge.
    pub revision: u64,
    pub state: FlowState,
    pub node_count: u32,
    pub edge_count: u32,
    pub created_at: TimestampMs,
    pub ended_at: Option<TimestampMs>,
    pub mutated_at: TimestampMs,
    pub cancel: Option<CancelMark>,
    pub tags: BTreeMap<String, String>,
    /// SHA-256 over the graph that one call submitted.
    pub digest: Option<[u8; 32]>,
}

impl Flow {
    /// Whether it takes no more members and edges.
    pub fn is_terminal(&self) -> bool {
        self.state != FlowState::Active
    }

    /// Whether a cancel of this flow ends the member, whatever it was about to do.
    pub fn ends(&self, member: &Execution) -> bool {
        let Some(mark) = &self.cancel else { return false };
        let is_member = member.flow_id.as_ref() == Some(&self.id);
        is_member && !member.is_terminal() && mark.reaches(Standing::of(member))
    }
}

/// Where a flow stands, as far as it is stored. Whether an active one is open, running or blocked
/// is read from its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    Active,
    Completed,
    Failed,
    Cancelled,
}

impl FlowState {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "open",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored word, older ones included.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "open" | "running" | "blocked" => Self::Active,
            "completed" | "terminal" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// That a flow was cancelled, and what that means for its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelMark {
    pub policy: CancelFlowPolicy,
    pub reason: String,
    /// The operation that cancelled it; kept with each member that it ends.
    pub by: String,
    pub at: TimestampMs,
}

impl CancelMark {
    /// Whether a member that stands there ends by this cancel.
    pub fn reaches(&self, standing: Standing) -> bool {
        match (self.policy, standing) {
            (_, Standing::Ended | Standing::EndedBadly) | (CancelFlowPolicy::FlowOnly, _) => false,
            (CancelFlowPolicy::CancelAll, _) => true,
            (CancelFlowPolicy::CancelPending, Standing::Running | Standing::Parked) => false,
            (CancelFlowPolicy::CancelPending, Standing::Open | Standing::Blocked) => true,
        }
    }
}

/// The policy behind a stored word; `flow_only` is the older spelling.
pub fn cancel_policy(text: &str) -> Option<CancelFlowPolicy> {
    Some(match text {
        "cancel_all" => CancelFlowPolicy::CancelAll,
        "cancel_pending" => CancelFlowPolicy::CancelPending,
        "cancel_flow_only" | "flow_only" => CancelFlowPolicy::FlowOnly,
        _ => return None,
    })
}

/// The stored word of a policy.
pub const fn cancel_policy_word(policy: CancelFlowPolicy) -> &'static str {
    match policy {
        CancelFlowPolicy::FlowOnly => "cancel_flow_only",
        CancelFlowPolicy::CancelAll => "cancel_all",
        CancelFlowPolicy::CancelPending => "cancel_pending",
    }
}

/// Where a member stands, as far as its flow cares. The numbers are those of the index of a
/// flow's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Standing {
    /// Completed.
    Ended = 1,
    /// Ended otherwise: failed, cancelled, expired or skipped.
    EndedBadly = 2,
    /// Nobody has begun it, or its worker was lost: it stands in line.
    Open = 3,
    /// Nobody has begun it, and something other than a worker is missing.
    Blocked = 4,
    /// Under a live lease.
    Running = 5,
    /// Its worker parked it: suspended, delayed, waiting for children, or resumed and in line.
    Parked = 6,
}

impl Standing {
    /// Where an execution stands.
    pub fn of(execution: &Execution) -> Self {
        match execution.state.lifecycle_phase {
            LifecyclePhase::Terminal => match execution.outcome() {
                TerminalOutcome::Success => Self::Ended,
                TerminalOutcome::Skipped
                | TerminalOutcome::None
                | TerminalOutcome::Failed
                | TerminalOutcome::Cancelled
                | TerminalOutcome::Expired => Self::EndedBadly,
            },
            LifecyclePhase::Suspended => Self::Parked,
            LifecyclePhase::Active => match execution.state.ownership_state {
                OwnershipState::Leased | OwnershipState::Unowned => Self::Running,
                OwnershipState::LeaseExpiredReclaimable | OwnershipState::LeaseRevoked => {
                    Self::Open
                }
            },
            LifecyclePhase::Submitted | LifecyclePhase::Runnable => {
                if execution.is_interrupted() {
                    Self::Parked
                } else if execution.is_claimable() {
                    Self::Open
                } else {
                    Self::Blocked
                }
            }
        }
    }

    /// Whether it has ended.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Ended | Self::EndedBadly)
    }
}

/// Which standings a flow's members are found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standings {
    /// Some member has not ended.
    pub any_open: bool,
    /// All members have ended, and one that nothing else in the flow needs did not complete. What a
    /// join could do without is no failure of the flow: what comes after it tells.
    pub any_bad: bool,
    /// Some member runs.
    pub any_running: bool,
    /// Some member waits for something other than a worker.
    pub any_blocked: bool,
}

/// The end of an edge's upstream, or that it has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub id: ExecutionId,
    pub flow_id: Option<FlowId>,
    /// `None` while it has not ended.
    pub outcome: Option<TerminalOutcome>,
    pub run: u32,
}

impl Upstream {
    /// What an edge needs to know of an execution.
    pub fn of(execution: &Execution) -> Self {
        Self {
            id: execution.id.clone(),
            flow_id: execution.flow_id.clone(),
            outcome: execution.is_terminal().then(|| execution.outcome()),
            run: execution.replay_count,
        }
    }
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub flow_id: FlowId,
    pub id: EdgeId,
    pub upstream: ExecutionId,
    pub downstream: ExecutionId,
    pub kind: String,
    pub condition: String,
    /// When set, the upstream's result replaces the downstream's input.
    pub data_passing_ref: Option<String>,
    pub created_at: TimestampMs,
    pub created_by: String,
    /// When it began to count; `None` while it is only drawn.
    pub applied_at: Option<TimestampMs>,
    /// Present from the end of its upstream on.
    pub resolved: Option<Resolved>,
}

impl Edge {
    /// One that is drawn and does not count yet. An empty reference passes nothing on.
    pub(super) fn drawn(
        id: EdgeId,
        flow_id: &FlowId,
        [upstream, downstream]: [&ExecutionId; 2],
        data_passing_ref: Option<&str>,
        at: TimestampMs,
    ) -> Self {
        Self {
            flow_id: flow_id.clone(),
            id,
            upstream: upstream.clone(),
            downstream: downstream.clone(),
            kind: SUCCESS_ONLY.to_owned(),
            condition: "all_required".to_owned(),
            data_passing_ref: data_passing_ref.filter(|text| !text.is_empty()).map(str::to_owned),
            created_at: at,
            created_by: "engine".to_owned(),
            applied_at: None,
            resolved: None,
        }
    }

    /// The same, counting from the instant at which it was drawn.
    pub(super) fn applied(self) -> Self {
        Self { applied_at: Some(self.created_at), ..self }
    }

    /// What has become of it.
    pub fn resolution(&self) -> EdgeResolution {
        match &self.resolved {
            Some(resolved) if resolved.outcome == TerminalOutcome::Success => {
                EdgeResolution::Satisfied
            }
            Some(_) => EdgeResolution::Impossible,
            None if self.applied_at.is_some() => EdgeResolution::Unsatisfied,
            None => EdgeResolution::Staged,
        }
    }
}

/// How an edge was settled: once, by the end of one run of its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    pub outcome: TerminalOutcome,
    pub run: u32,
    pub at: TimestampMs,
}

/// All edges that count into one downstream, as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub flow_id: FlowId,
    pub downstream: ExecutionId,
    pub policy: EdgeDependencyPolicy,
    pub succeeded: u32,
    pub failed: u32,
    pub skipped: u32,
    /// Edges that count and are not settled.
    pub running: u32,
}

impl Group {
    /// A group without edges.
    pub fn new(flow_id: FlowId, downstream: ExecutionId) -> Self {
        Self {
            flow_id,
            downstream,
            policy: EdgeDependencyPolicy::AllOf,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            running: 0,
        }
    }

    /// The edges that count.
    pub fn total(&self) -> u32 {
        self.succeeded + self.failed + self.skipped + self.running
    }

    /// How many of them must succeed.
    fn wanted(&self) -> u32 {
        match self.policy {
            EdgeDependencyPolicy::AllOf => self.total(),
            EdgeDependencyPolicy::AnyOf { .. } => 1,
            EdgeDependencyPolicy::Quorum { k, .. } => k,
        }
    }

    /// How many edges are missing before as many count as must succeed.
    pub fn missing(&self) -> u32 {
        self.wanted().saturating_sub(self.total())
    }

    /// What the counts say. A group that is satisfied or impossible stays so while no edge is
    /// added: counts only grow. A group with fewer edges than must succeed is still being built,
    /// however its upstreams have ended.
    pub fn state(&self) -> EdgeGroupState {
        if self.total() == 0 {
            return EdgeGroupState::Pending;
        }
        let wanted = self.wanted();
        if self.succeeded >= wanted {
            EdgeGroupState::Satisfied
        } else if self.missing() > 0 || self.succeeded + self.running >= wanted {
            EdgeGroupState::Pending
        } else {
            EdgeGroupState::Impossible
        }
    }

    /// Whether the upstreams that are left are cancelled once it is decided.
    pub fn cancels_remaining(&self) -> bool {
        match &self.policy {
            EdgeDependencyPolicy::AllOf => false,
            EdgeDependencyPolicy::AnyOf { on_satisfied }
            | EdgeDependencyPolicy::Quorum { on_satisfied, .. } => match on_satisfied {
                OnSatisfied::CancelRemaining => true,
                OnSatisfied::LetRun => false,
            },
        }
    }

    /// The counts after one of its edges was settled.
    pub fn counted(&self, outcome: TerminalOutcome) -> Self {
        let mut after = self.clone();
        after.running = after.running.saturating_sub(1);
        after.count(outcome);
        after
    }

    /// Counts one settled edge.
    pub fn count(&mut self, outcome: TerminalOutcome) {
        match outcome {
            TerminalOutcome::Success => self.succeeded += 1,
            TerminalOutcome::Skipped => self.skipped += 1,
            TerminalOutcome::None
            | TerminalOutcome::Failed
            | TerminalOutcome::Cancelled
            | TerminalOutcome::Expired => self.failed += 1,
        }
    }
}

/// An end whose outgoing edges have not all been settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub event_id: i64,
    pub execution_id: ExecutionId,
    pub flow_id: FlowId,
    /// `None` for a word that is no end.
    pub outcome: Option<TerminalOutcome>,
    pub run: u32,
}

/// A member that has not ended, of a flow that is being cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: ExecutionId,
    pub standing: Standing,
}

/// The durable list of what a cancelled flow still has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Every member it reaches has ended.
    pub is_through: bool,
    /// Members that nobody has acknowledged.
    pub unacknowledged: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::flow::testing::group;

    #[test]
    fn a_group_is_decided_by_its_counts_alone() {
        use EdgeGroupState::{Impossible, Pending, Satisfied};
        let any = EdgeDependencyPolicy::any_of(OnSatisfied::let_run());
        let two = EdgeDependencyPolicy::quorum(2, OnSatisfied::let_run());
        for (policy, [succeeded, failed, skipped, running], expected) in [
            (EdgeDependencyPolicy::AllOf, [0, 0, 0, 0], Pending),
            (EdgeDependencyPolicy::AllOf, [2, 0, 0, 1], Pending),
            (EdgeDependencyPolicy::AllOf, [3, 0, 0, 0], Satisfied),
            (EdgeDependencyPolicy::AllOf, [2, 1, 0, 0], Impossible),
            (EdgeDependencyPolicy::AllOf, [0, 0, 1, 5], Impossible),
            (any.clone(), [0, 2, 0, 1], Pending),
            (any.clone(), [1, 2, 0, 1], Satisfied),
            (any.clone(), [0, 2, 1, 0], Impossible),
            (any, [1, 0, 0, 0], Satisfied),
            (two.clone(), [0, 0, 0, 1], Pending),
            (two.clone(), [1, 0, 0, 0], Pending),
            (two.clone(), [0, 1, 0, 0], Pending),
            (two.clone(), [1, 0, 0, 1], Pending),
            (two.clone(), [1, 1, 0, 0], Impossible),
            (two.clone(), [0, 1, 1, 1], Impossible),
            (two.clone(), [2, 0, 0, 7], Satisfied),
            (two, [2, 7, 7, 0], Satisfied),
        ] {
            let group = Group { policy, succeeded, failed, skipped, running, ..group() };
            assert_eq!(group.state(), expected, "{group:?}");
        }
    }

    #[test]
    fn each_outcome_has_its_count() {
        let before = Group { running: 3, ..group() };
        let counts = |outcome| {
            let after = before.counted(outcome);
            [after.succeeded, after.failed, after.skipped, after.running]
        };
        assert_eq!(counts(TerminalOutcome::Success), [1, 0, 0, 2]);
        assert_eq!(counts(TerminalOutcome::Skipped), [0, 0, 1, 2]);
        for bad in [TerminalOutcome::Failed, TerminalOutcome::Cancelled, TerminalOutcome::Expired] {
            assert_eq!(counts(bad), [0, 1, 0, 2]);
        }
    }

    #[test]
    fn stored_words_come_back() {
        for state in
            [FlowState::Active, FlowState::Completed, FlowState::Failed, FlowState::Cancelled]
        {
            assert_eq!(FlowState::from_wire(state.as_str()), Some(state));
        }
        assert_eq!(FlowState::from_wire("running"), Some(FlowState::Active));
        assert_eq!(FlowState::from_wire("?"), None);
        for policy in [
            CancelFlowPolicy::CancelAll,
            CancelFlowPolicy::CancelPending,
            CancelFlowPolicy::FlowOnly,
        ] {
            assert_eq!(cancel_policy(cancel_policy_word(policy)), Some(policy));
        }
        assert_eq!(cancel_policy("flow_only"), Some(CancelFlowPolicy::FlowOnly));
        assert_eq!(cancel_policy("all"), None);
    }
}
