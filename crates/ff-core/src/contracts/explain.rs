//! Why an execution is not running: each gate in front of it, with its evidence.

#![expect(missing_docs, reason = "fields and variants carry the rows' own names")]

use serde::{Deserialize, Serialize};

use crate::state::{LaneState, PublicState, TerminalOutcome};
use crate::types::{
    BudgetId, EdgeId, ExecutionId, FlowId, LaneId, QuotaPolicyId, SuspensionId, TimestampMs,
    WaitpointId, WorkerInstanceId,
};

/// Everything that stands, or does not stand, between an execution and a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    pub execution_id: ExecutionId,
    pub public_state: PublicState,
    pub lane_id: LaneId,
    pub priority: i32,
    /// The instant that all verdicts are about.
    pub at: TimestampMs,
    /// One sentence: the first closed gate, or that it runs, has ended or is next in line.
    pub summary: String,
    /// Every gate, in the order in which a claim meets them.
    pub gates: Vec<GateReport>,
    /// Its place in line; absent while it stands in none.
    pub position: Option<LinePosition>,
}

impl Explanation {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        public_state: PublicState,
        lane_id: LaneId,
        priority: i32,
        at: TimestampMs,
    ) -> Self {
        Self {
            execution_id,
            public_state,
            lane_id,
            priority,
            at,
            summary: String::new(),
            gates: Vec::new(),
            position: None,
        }
    }

    /// The gates that keep it from running.
    pub fn closed(&self) -> impl Iterator<Item = &GateReport> {
        self.gates.iter().filter(|gate| gate.verdict == GateVerdict::Closed)
    }
}

/// What one gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateReport {
    pub gate: Gate,
    pub verdict: GateVerdict,
    /// The verdict in words.
    pub detail: String,
    /// When it opens, where that is known.
    pub opens_at: Option<TimestampMs>,
    pub evidence: Vec<GateEvidence>,
}

impl GateReport {
    #[must_use]
    pub fn new(gate: Gate, verdict: GateVerdict, detail: impl Into<String>) -> Self {
        Self { gate, verdict, detail: detail.into(), opens_at: None, evidence: Vec::new() }
    }

    #[must_use]
    pub fn opening_at(mut self, at: Option<TimestampMs>) -> Self {
        self.opens_at = at;
        self
    }

    #[must_use]
    pub fn with(mut self, evidence: impl IntoIterator<Item = GateEvidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// The gates, in the order in which a claim meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gate {
    /// It runs or has ended.
    Lifecycle,
    /// Its flow was cancelled.
    Flow,
    /// Its upstreams.
    Dependency,
    /// What it waits for from outside.
    Suspension,
    /// Its own instant: a delay or a back-off.
    Delay,
    Budget,
    Quota,
    Lane,
    /// Workers that have what it needs.
    Capability,
}

impl Gate {
    /// The word in JSON and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Flow => "flow",
            Self::Dependency => "dependency",
            Self::Suspension => "suspension",
            Self::Delay => "delay",
            Self::Budget => "budget",
            Self::Quota => "quota",
            Self::Lane => "lane",
            Self::Capability => "capability",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateVerdict {
    Open,
    Closed,
    /// What it depends on cannot be read or is not known to the engine.
    Unknown,
}

impl GateVerdict {
    /// The word in JSON and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// A fact behind a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum GateEvidence {
    /// The live lease of the execution itself.
    Lease {
        worker_instance_id: Option<WorkerInstanceId>,
        expires_at: Option<TimestampMs>,
    },
    Ended {
        outcome: TerminalOutcome,
        at: Option<TimestampMs>,
    },
    Edge {
        edge_id: EdgeId,
        upstream: ExecutionId,
        state: String,
    },
    /// Its flow was cancelled.
    FlowCancelled {
        flow_id: FlowId,
        policy: String,
        reason: String,
        at: TimestampMs,
    },
    /// What parked it.
    Suspension {
        suspension_id: SuspensionId,
        reason: String,
        since: TimestampMs,
        until: Option<TimestampMs>,
        /// What happens at `until`.
        at_timeout: Option<String>,
    },
    /// An address that a signal may still be sent to.
    Waitpoint {
        waitpoint_id: WaitpointId,
        key: String,
        state: String,
        since: TimestampMs,
        expires_at: Option<TimestampMs>,
    },
    BudgetDimension {
        budget_id: BudgetId,
        dimension: String,
        usage: u64,
        hard_limit: u64,
    },
    QuotaSlots {
        quota_policy_id: QuotaPolicyId,
        active: u64,
        cap: u64,
    },
    QuotaHolder {
        quota_policy_id: QuotaPolicyId,
        execution_id: ExecutionId,
        worker_instance_id: Option<WorkerInstanceId>,
        lease_expires_at: Option<TimestampMs>,
    },
    QuotaWindow {
        quota_policy_id: QuotaPolicyId,
        admitted: u64,
        limit: u64,
        window_ms: u64,
    },
    LaneState {
        lane_id: LaneId,
        state: LaneState,
    },
    /// A capability it needs and no worker offers.
    MissingCapability {
        token: String,
    },
    /// How the registered workers that have all it needs stand.
    Workers {
        standing: WorkerStanding,
        /// How many of them live.
        fitting: u64,
    },
    /// A worker that has, or had, all it needs.
    Worker {
        worker_instance_id: WorkerInstanceId,
        is_alive: bool,
        announced_at: TimestampMs,
        holds: u64,
    },
    /// A stored row that cannot be read.
    Unreadable {
        detail: String,
    },
    /// Stored rows that disagree.
    Inconsistent {
        detail: String,
    },
}

/// How the registered workers stand that serve the lane and have all that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerStanding {
    /// None ever registered, as far back as the registry's history goes.
    NeverRegistered,
    /// The last of them is gone.
    NoneAlive,
    /// Each of them holds a lease. One that runs several at a time may take another all the same.
    AllBusy,
    /// One of them holds no lease.
    Free,
}

/// How many stand before an execution in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinePosition {
    /// Those that the same worker would be given first.
    pub ahead: u64,
    /// Whether counting stopped at [`LINE_POSITION_MAX`], so that there may be more.
    pub is_at_least: bool,
}

impl LinePosition {
    #[must_use]
    pub fn new(ahead: u64, is_at_least: bool) -> Self {
        Self { ahead, is_at_least }
    }
}

/// Counting those ahead in line stops here.
pub const LINE_POSITION_MAX: usize = 10_000;
