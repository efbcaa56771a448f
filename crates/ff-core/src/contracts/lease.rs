//! Grants, claims and leases: getting the right to write, keeping it, taking it away.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::backend::{Handle, ResumeSignal, stub_handle_fresh, stub_handle_resumed};
use crate::partition::{Partition, PartitionKey, PartitionKeyParseError};
use crate::state::{AttemptType, PublicState};
use crate::types::{
    AttemptId, AttemptIndex, ExecutionId, LaneId, LeaseEpoch, LeaseFence, LeaseId, Namespace,
    TimestampMs, WorkerId, WorkerInstanceId,
};

/// Most executions one `claim_batch` hands out.
pub const CLAIM_BATCH_MAX: u32 = 256;

/// Most handles one `check_leases` answers.
pub const CHECK_LEASES_MAX: usize = 1_000;

/// Consumes a claim grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimExecutionArgs {
    pub execution_id: ExecutionId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lane_id: LaneId,
    pub lease_id: LeaseId,
    pub lease_ttl_ms: u64,
    pub attempt_id: AttemptId,
    /// A hint: the attempt takes the execution's next index whatever it says.
    pub expected_attempt_index: AttemptIndex,
    #[serde(default)]
    pub attempt_policy_json: String,
    #[serde(default)]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default)]
    pub execution_deadline_at: Option<i64>,
    pub now: TimestampMs,
}

impl ClaimExecutionArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lane_id: LaneId,
        lease_id: LeaseId,
        lease_ttl_ms: u64,
        attempt_id: AttemptId,
        expected_attempt_index: AttemptIndex,
        attempt_policy_json: String,
        attempt_timeout_ms: Option<u64>,
        execution_deadline_at: Option<i64>,
        now: TimestampMs,
    ) -> Self {
        Self {
            execution_id,
            worker_id,
            worker_instance_id,
            lane_id,
            lease_id,
            lease_ttl_ms,
            attempt_id,
            expected_attempt_index,
            attempt_policy_json,
            attempt_timeout_ms,
            execution_deadline_at,
            now,
        }
    }
}

/// The grant became a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClaimExecutionResult {
    Claimed(ClaimedExecution),
}

/// A freshly leased attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimedExecution {
    pub execution_id: ExecutionId,
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub attempt_index: AttemptIndex,
    pub attempt_id: AttemptId,
    pub attempt_type: AttemptType,
    pub lease_expires_at: TimestampMs,
    #[serde(default = "stub_handle_fresh")]
    pub handle: Handle,
}

impl ClaimedExecution {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lease_id: LeaseId,
        lease_epoch: LeaseEpoch,
        attempt_index: AttemptIndex,
        attempt_id: AttemptId,
        attempt_type: AttemptType,
        lease_expires_at: TimestampMs,
        handle: Handle,
    ) -> Self {
        Self {
            execution_id,
            lease_id,
            lease_epoch,
            attempt_index,
            attempt_id,
            attempt_type,
            lease_expires_at,
            handle,
        }
    }
}

/// Leases again an attempt whose wait was satisfied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimResumedExecutionArgs {
    pub execution_id: ExecutionId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lane_id: LaneId,
    pub lease_id: LeaseId,
    pub lease_ttl_ms: u64,
    pub current_attempt_index: AttemptIndex,
    /// Arms the attempt timeout again; the suspended time did not count.
    #[serde(default)]
    pub remaining_attempt_timeout_ms: Option<u64>,
    pub now: TimestampMs,
}

/// The interrupted attempt goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimResumedExecutionResult {
    Claimed(ClaimedResumedExecution),
}

/// The same attempt under a new lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimedResumedExecution {
    pub execution_id: ExecutionId,
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub attempt_index: AttemptIndex,
    pub attempt_id: AttemptId,
    pub lease_expires_at: TimestampMs,
    #[serde(default = "stub_handle_resumed")]
    pub handle: Handle,
}

impl ClaimedResumedExecution {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lease_id: LeaseId,
        lease_epoch: LeaseEpoch,
        attempt_index: AttemptIndex,
        attempt_id: AttemptId,
        lease_expires_at: TimestampMs,
        handle: Handle,
    ) -> Self {
        Self {
            execution_id,
            lease_id,
            lease_epoch,
            attempt_index,
            attempt_id,
            lease_expires_at,
            handle,
        }
    }
}

/// Reserves one execution for one worker for `grant_ttl_ms`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssueClaimGrantArgs {
    pub execution_id: ExecutionId,
    pub lane_id: LaneId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub partition: Partition,
    pub capability_hash: Option<String>,
    pub route_snapshot_json: Option<String>,
    pub admission_summary: Option<String>,
    pub worker_capabilities: BTreeSet<String>,
    pub grant_ttl_ms: u64,
    pub now: TimestampMs,
}

impl IssueClaimGrantArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lane_id: LaneId,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        partition: Partition,
        worker_capabilities: BTreeSet<String>,
        grant_ttl_ms: u64,
        now: TimestampMs,
    ) -> Self {
        Self {
            execution_id,
            lane_id,
            worker_id,
            worker_instance_id,
            partition,
            capability_hash: None,
            route_snapshot_json: None,
            admission_summary: None,
            worker_capabilities,
            grant_ttl_ms,
            now,
        }
    }
}

/// The reservation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueClaimGrantOutcome {
    Granted { execution_id: ExecutionId },
}

/// The operator's shortcut: grant and claim in one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IssueGrantAndClaimArgs {
    pub execution_id: ExecutionId,
    pub lane_id: LaneId,
    pub lease_duration_ms: u64,
}

impl IssueGrantAndClaimArgs {
    #[must_use]
    pub fn new(execution_id: ExecutionId, lane_id: LaneId, lease_duration_ms: u64) -> Self {
        Self { execution_id, lane_id, lease_duration_ms }
    }
}

/// The lease the operator's shortcut made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimGrantOutcome {
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub attempt_index: AttemptIndex,
}

impl ClaimGrantOutcome {
    #[must_use]
    pub fn new(lease_id: LeaseId, lease_epoch: LeaseEpoch, attempt_index: AttemptIndex) -> Self {
        Self { lease_id, lease_epoch, attempt_index }
    }
}

/// A reservation to be redeemed by `claim_execution`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimGrant {
    pub execution_id: ExecutionId,
    pub partition_key: PartitionKey,
    pub grant_key: String,
    pub expires_at_ms: u64,
}

impl ClaimGrant {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        partition_key: PartitionKey,
        grant_key: String,
        expires_at_ms: u64,
    ) -> Self {
        Self { execution_id, partition_key, grant_key, expires_at_ms }
    }
}

impl ClaimGrant {
    /// The partition behind the key; fails on a key no backend wrote.
    pub fn partition(&self) -> Result<Partition, PartitionKeyParseError> {
        self.partition_key.parse()
    }
}

/// A reservation to be redeemed by `claim_from_resume_grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumeGrant {
    pub execution_id: ExecutionId,
    pub partition_key: PartitionKey,
    pub grant_key: String,
    pub expires_at_ms: u64,
    pub lane_id: LaneId,
}

impl ResumeGrant {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        partition_key: PartitionKey,
        grant_key: String,
        expires_at_ms: u64,
        lane_id: LaneId,
    ) -> Self {
        Self { execution_id, partition_key, grant_key, expires_at_ms, lane_id }
    }
}

impl ResumeGrant {
    /// The partition behind the key; fails on a key no backend wrote.
    pub fn partition(&self) -> Result<Partition, PartitionKeyParseError> {
        self.partition_key.parse()
    }
}

/// A reservation to be redeemed by `reclaim_execution`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReclaimGrant {
    pub execution_id: ExecutionId,
    pub partition_key: PartitionKey,
    pub grant_key: String,
    pub expires_at_ms: u64,
    pub lane_id: LaneId,
}

impl ReclaimGrant {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        partition_key: PartitionKey,
        grant_key: String,
        expires_at_ms: u64,
        lane_id: LaneId,
    ) -> Self {
        Self { execution_id, partition_key, grant_key, expires_at_ms, lane_id }
    }
}

impl ReclaimGrant {
    /// The partition behind the key; fails on a key no backend wrote.
    pub fn partition(&self) -> Result<Partition, PartitionKeyParseError> {
        self.partition_key.parse()
    }
}

/// A scheduler asks for the best execution a worker may run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimForWorkerArgs {
    pub lane_id: LaneId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub worker_capabilities: BTreeSet<String>,
    pub grant_ttl_ms: u64,
}

impl ClaimForWorkerArgs {
    #[must_use]
    pub fn new(
        lane_id: LaneId,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        worker_capabilities: BTreeSet<String>,
        grant_ttl_ms: u64,
    ) -> Self {
        Self { lane_id, worker_id, worker_instance_id, worker_capabilities, grant_ttl_ms }
    }
}

/// What the scheduler found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimForWorkerOutcome {
    NoWork,
    Granted(ClaimGrant),
}

impl ClaimForWorkerOutcome {
    #[must_use]
    pub fn no_work() -> Self {
        Self::NoWork
    }

    #[must_use]
    pub fn granted(grant: ClaimGrant) -> Self {
        Self::Granted(grant)
    }
}

/// Reserves an execution whose lease lapsed or was revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IssueReclaimGrantArgs {
    pub execution_id: ExecutionId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lane_id: LaneId,
    #[serde(default)]
    pub capability_hash: Option<String>,
    pub grant_ttl_ms: u64,
    #[serde(default)]
    pub route_snapshot_json: Option<String>,
    #[serde(default)]
    pub admission_summary: Option<String>,
    #[serde(default)]
    pub worker_capabilities: BTreeSet<String>,
    pub now: TimestampMs,
}

impl IssueReclaimGrantArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lane_id: LaneId,
        capability_hash: Option<String>,
        grant_ttl_ms: u64,
        route_snapshot_json: Option<String>,
        admission_summary: Option<String>,
        worker_capabilities: BTreeSet<String>,
        now: TimestampMs,
    ) -> Self {
        Self {
            execution_id,
            worker_id,
            worker_instance_id,
            lane_id,
            capability_hash,
            grant_ttl_ms,
            route_snapshot_json,
            admission_summary,
            worker_capabilities,
            now,
        }
    }
}

/// Whether the execution may be reclaimed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueReclaimGrantOutcome {
    Granted(ReclaimGrant),
    NotReclaimable { execution_id: ExecutionId, detail: String },
    ReclaimCapExceeded { execution_id: ExecutionId, reclaim_count: u32 },
}

/// Replaces the lapsed attempt by a new one. Without `max_reclaim_count` and without a stored
/// policy the cap is 1000.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReclaimExecutionArgs {
    pub execution_id: ExecutionId,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lane_id: LaneId,
    #[serde(default)]
    pub capability_hash: Option<String>,
    pub lease_id: LeaseId,
    pub lease_ttl_ms: u64,
    pub attempt_id: AttemptId,
    #[serde(default)]
    pub attempt_policy_json: String,
    #[serde(default)]
    pub max_reclaim_count: Option<u32>,
    pub old_worker_instance_id: WorkerInstanceId,
    pub current_attempt_index: AttemptIndex,
}

impl ReclaimExecutionArgs {
    #[expect(
        clippy::too_many_arguments,
        reason = "the contract's constructor: every field, in order"
    )]
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lane_id: LaneId,
        capability_hash: Option<String>,
        lease_id: LeaseId,
        lease_ttl_ms: u64,
        attempt_id: AttemptId,
        attempt_policy_json: String,
        max_reclaim_count: Option<u32>,
        old_worker_instance_id: WorkerInstanceId,
        current_attempt_index: AttemptIndex,
    ) -> Self {
        Self {
            execution_id,
            worker_id,
            worker_instance_id,
            lane_id,
            capability_hash,
            lease_id,
            lease_ttl_ms,
            attempt_id,
            attempt_policy_json,
            max_reclaim_count,
            old_worker_instance_id,
            current_attempt_index,
        }
    }
}

/// Whether the new attempt is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReclaimExecutionOutcome {
    Claimed(Handle),
    NotReclaimable {
        execution_id: ExecutionId,
        detail: String,
    },
    /// The execution has ended with failure instead.
    ReclaimCapExceeded {
        execution_id: ExecutionId,
        reclaim_count: u32,
    },
    GrantNotFound {
        execution_id: ExecutionId,
    },
}

/// Renewal by fence triple; a missing fence is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewLeaseArgs {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    pub fence: Option<LeaseFence>,
    pub lease_ttl_ms: u64,
    #[serde(default = "lease_history_grace_ms_default")]
    pub lease_history_grace_ms: u64,
}

fn lease_history_grace_ms_default() -> u64 {
    60_000
}

/// The lease lasts until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenewLeaseResult {
    Renewed { expires_at: TimestampMs },
}

/// Takes a lease away from its holder. An empty worker instance means whoever holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokeLeaseArgs {
    pub execution_id: ExecutionId,
    #[serde(default)]
    pub expected_lease_id: Option<String>,
    pub worker_instance_id: WorkerInstanceId,
    pub reason: String,
}

/// Whether a lease was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevokeLeaseResult {
    Revoked {
        lease_id: String,
        lease_epoch: String,
    },
    /// `no_active_lease`, `different_worker_instance_id`, `lease_id_mismatch` or `epoch_moved`.
    AlreadySatisfied {
        reason: String,
    },
}

/// Rows a page of lapsed leases holds unless the caller says otherwise.
pub const LIST_EXPIRED_LEASES_DEFAULT_LIMIT: u32 = 1_000;

/// Most rows a page of lapsed leases holds.
pub const LIST_EXPIRED_LEASES_MAX_LIMIT: u32 = 10_000;

/// Partitions one call visits unless the caller says otherwise.
pub const LIST_EXPIRED_LEASES_DEFAULT_MAX_PARTITIONS: u32 = 32;

/// Which lapsed leases to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListExpiredLeasesArgs {
    pub as_of: TimestampMs,
    pub after: Option<ExpiredLeasesCursor>,
    pub limit: Option<u32>,
    pub max_partitions_per_call: Option<u32>,
    pub namespace: Option<Namespace>,
}

impl ListExpiredLeasesArgs {
    #[must_use]
    pub fn new(as_of: TimestampMs) -> Self {
        Self { as_of, after: None, limit: None, max_partitions_per_call: None, namespace: None }
    }
}

/// The last row of a page; the next page starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiredLeasesCursor {
    pub expires_at_ms: TimestampMs,
    pub execution_id: ExecutionId,
}

impl ExpiredLeasesCursor {
    #[must_use]
    pub fn new(expires_at_ms: TimestampMs, execution_id: ExecutionId) -> Self {
        Self { expires_at_ms, execution_id }
    }
}

/// A lease that had lapsed at the time asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiredLeaseInfo {
    pub execution_id: ExecutionId,
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub worker_instance_id: WorkerInstanceId,
    pub expires_at_ms: TimestampMs,
    pub attempt_index: AttemptIndex,
}

impl ExpiredLeaseInfo {
    #[must_use]
    pub fn new(
        execution_id: ExecutionId,
        lease_id: LeaseId,
        lease_epoch: LeaseEpoch,
        worker_instance_id: WorkerInstanceId,
        expires_at_ms: TimestampMs,
        attempt_index: AttemptIndex,
    ) -> Self {
        Self {
            execution_id,
            lease_id,
            lease_epoch,
            worker_instance_id,
            expires_at_ms,
            attempt_index,
        }
    }
}

/// A page in the order (expiry, execution id); a cursor means the page was full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListExpiredLeasesResult {
    pub entries: Vec<ExpiredLeaseInfo>,
    pub cursor: Option<ExpiredLeasesCursor>,
}

impl ListExpiredLeasesResult {
    #[must_use]
    pub fn new(entries: Vec<ExpiredLeaseInfo>, cursor: Option<ExpiredLeasesCursor>) -> Self {
        Self { entries, cursor }
    }
}

/// One claimed execution with all a worker needs to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimedWork {
    pub handle: Handle,
    pub execution_id: ExecutionId,
    pub execution_kind: String,
    pub lane_id: LaneId,
    pub attempt_index: AttemptIndex,
    pub attempt_id: AttemptId,
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub lease_expires_at: TimestampMs,
    pub input_payload: Vec<u8>,
    pub payload_encoding: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub deadline_at: Option<TimestampMs>,
    /// For a resumed attempt: the signals of its suspension, as `observe_signals` gives them.
    #[serde(default)]
    pub signals: Vec<ResumeSignal>,
}

impl ClaimedWork {
    /// Without payload, encoding, tags and deadline; those come by the builders.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "everything a claim always has")]
    pub fn new(
        handle: Handle,
        execution_id: ExecutionId,
        execution_kind: String,
        lane_id: LaneId,
        attempt_index: AttemptIndex,
        attempt_id: AttemptId,
        lease_id: LeaseId,
        lease_epoch: LeaseEpoch,
        lease_expires_at: TimestampMs,
    ) -> Self {
        Self {
            handle,
            execution_id,
            execution_kind,
            lane_id,
            attempt_index,
            attempt_id,
            lease_id,
            lease_epoch,
            lease_expires_at,
            input_payload: Vec::new(),
            payload_encoding: None,
            tags: BTreeMap::new(),
            deadline_at: None,
            signals: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_payload(mut self, payload: Vec<u8>, encoding: Option<String>) -> Self {
        self.input_payload = payload;
        self.payload_encoding = encoding;
        self
    }

    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    #[must_use]
    pub fn with_deadline_at(mut self, at: TimestampMs) -> Self {
        self.deadline_at = Some(at);
        self
    }

    #[must_use]
    pub fn with_signals(mut self, signals: Vec<ResumeSignal>) -> Self {
        self.signals = signals;
        self
    }
}

/// Whether a handle still holds its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseStanding {
    Held {
        expires_at: TimestampMs,
    },
    /// `public_state` is `None` when the execution itself is gone.
    Lost {
        public_state: Option<PublicState>,
        reason: String,
    },
}

impl LeaseStanding {
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "{fp:0}:018f2f6c-0000-7000-8000-000000000001";

    #[test]
    fn a_renewal_keeps_a_minute_of_lease_history_by_default() {
        let json =
            format!(r#"{{"execution_id":"{ID}","attempt_index":0,"fence":null,"lease_ttl_ms":5}}"#);
        let args: RenewLeaseArgs = serde_json::from_str(&json).unwrap();
        assert_eq!(args.lease_history_grace_ms, 60_000);
    }

    #[test]
    fn a_claim_record_without_handle_decodes_to_the_stub() {
        let uuid = "018f2f6c-0000-7000-8000-000000000002";
        let json = format!(
            r#"{{"execution_id":"{ID}","lease_id":"{uuid}","lease_epoch":1,"attempt_index":0,"attempt_id":"{uuid}",
                "attempt_type":"initial","lease_expires_at":9}}"#
        );
        let claimed: ClaimedExecution = serde_json::from_str(&json).unwrap();
        assert_eq!(claimed.handle, stub_handle_fresh());
        let resumed: ClaimedResumedExecution = serde_json::from_str(&json).unwrap();
        assert_eq!(resumed.handle, stub_handle_resumed());
    }

    #[test]
    fn a_grant_knows_its_partition() {
        let partition = Partition { family: crate::partition::PartitionFamily::Flow, index: 7 };
        let grant = ResumeGrant::new(
            ExecutionId::parse(ID).unwrap(),
            PartitionKey::from(&partition),
            "g".to_owned(),
            1,
            LaneId::new("l"),
        );
        assert_eq!(grant.partition(), Ok(partition));
    }
}
