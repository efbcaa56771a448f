//! The register of workers: who is there, for which lanes, until when.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeSet;

use crate::types::{LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};

/// Most bytes of the reason a worker is marked dead for; control characters are refused.
pub const MARK_WORKER_DEAD_REASON_MAX_BYTES: usize = 256;

/// Rows a page of workers holds unless the caller says otherwise.
pub const LIST_WORKERS_DEFAULT_LIMIT: u32 = 1_000;

/// Announces a worker process; it stays listed until its liveness TTL passes without a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterWorkerArgs {
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lanes: BTreeSet<LaneId>,
    pub capabilities: BTreeSet<String>,
    pub liveness_ttl_ms: u64,
    pub namespace: Namespace,
    pub now: TimestampMs,
}

impl RegisterWorkerArgs {
    #[must_use]
    pub fn new(
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lanes: BTreeSet<LaneId>,
        capabilities: BTreeSet<String>,
        liveness_ttl_ms: u64,
        namespace: Namespace,
        now: TimestampMs,
    ) -> Self {
        Self { worker_id, worker_instance_id, lanes, capabilities, liveness_ttl_ms, namespace, now }
    }
}

/// Whether the instance was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterWorkerOutcome {
    Registered,
    Refreshed,
}

/// Keeps a registration alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatWorkerArgs {
    pub worker_instance_id: WorkerInstanceId,
    pub namespace: Namespace,
    pub now: TimestampMs,
}

impl HeartbeatWorkerArgs {
    #[must_use]
    pub fn new(
        worker_instance_id: WorkerInstanceId,
        namespace: Namespace,
        now: TimestampMs,
    ) -> Self {
        Self { worker_instance_id, namespace, now }
    }
}

/// Whether there was a live registration to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatWorkerOutcome {
    Refreshed { next_expiry_ms: TimestampMs },
    NotRegistered,
}

/// Removes a registration for a reason of at most [`MARK_WORKER_DEAD_REASON_MAX_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkWorkerDeadArgs {
    pub worker_instance_id: WorkerInstanceId,
    pub namespace: Namespace,
    pub reason: String,
    pub now: TimestampMs,
}

impl MarkWorkerDeadArgs {
    #[must_use]
    pub fn new(
        worker_instance_id: WorkerInstanceId,
        namespace: Namespace,
        reason: String,
        now: TimestampMs,
    ) -> Self {
        Self { worker_instance_id, namespace, reason, now }
    }
}

/// Whether there was a registration to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkWorkerDeadOutcome {
    Marked,
    NotRegistered,
}

/// Which workers to list; everything unset means all of them, 1000 a page.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListWorkersArgs {
    pub namespace: Option<Namespace>,
    pub after: Option<WorkerInstanceId>,
    pub limit: Option<u32>,
}

impl ListWorkersArgs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// One registered worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub namespace: Namespace,
    pub lanes: BTreeSet<LaneId>,
    pub capabilities: BTreeSet<String>,
    pub last_heartbeat_ms: TimestampMs,
    pub liveness_ttl_ms: u64,
    pub registered_at_ms: TimestampMs,
}

impl WorkerInfo {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        namespace: Namespace,
        lanes: BTreeSet<LaneId>,
        capabilities: BTreeSet<String>,
        last_heartbeat_ms: TimestampMs,
        liveness_ttl_ms: u64,
        registered_at_ms: TimestampMs,
    ) -> Self {
        Self {
            worker_id,
            worker_instance_id,
            namespace,
            lanes,
            capabilities,
            last_heartbeat_ms,
            liveness_ttl_ms,
            registered_at_ms,
        }
    }
}

/// A page of workers by instance id; a cursor means the page was full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListWorkersResult {
    pub entries: Vec<WorkerInfo>,
    pub cursor: Option<WorkerInstanceId>,
}

impl ListWorkersResult {
    #[must_use]
    pub fn new(entries: Vec<WorkerInfo>, cursor: Option<WorkerInstanceId>) -> Self {
        Self { entries, cursor }
    }
}

/// A registered worker with what it holds; an addition of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    pub worker: WorkerInfo,
    /// The instant at which it is gone unless it says that it lives.
    pub expires_at: TimestampMs,
    /// Leases that it holds and that live.
    pub leases: u64,
}

impl WorkerStatus {
    #[must_use]
    pub fn new(worker: WorkerInfo, expires_at: TimestampMs, leases: u64) -> Self {
        Self { worker, expires_at, leases }
    }
}
