//! Rows for decision tests.

use std::collections::BTreeMap;

use crate::machine::rows::{Attempt, Execution};
use crate::machine::state;
use crate::state::{AttemptState, AttemptType};
use crate::types::{
    AttemptId, AttemptIndex, ExecutionId, LaneId, LeaseEpoch, LeaseId, Namespace, TimestampMs,
    WorkerId, WorkerInstanceId,
};

/// The instant at which test rows were created.
pub(crate) const CREATED: TimestampMs = TimestampMs(1_000_000);

/// A waiting execution that nobody claimed yet.
pub(crate) fn execution() -> Execution {
    Execution {
        id: ExecutionId::from_parts(0, uuid::Uuid::from_u128(1)),
        version: 1,
        namespace: Namespace::new("tests"),
        lane: LaneId::new("default"),
        kind: "kind".to_owned(),
        creator: "tests".to_owned(),
        flow_id: None,
        priority: 0,
        payload_encoding: None,
        idempotency_key: None,
        policy: None,
        gate_key: String::new(),
        tags: BTreeMap::new(),
        state: state::waiting(AttemptState::PendingFirstAttempt),
        blocking_detail: None,
        attempt_index: AttemptIndex(0),
        attempt_count: 0,
        epoch: LeaseEpoch(0),
        retry_count: 0,
        replay_count: 0,
        reclaim_count: 0,
        created_at: CREATED,
        started_at: None,
        ended_at: None,
        mutated_at: CREATED,
        eligible_at: None,
        deadline_at: None,
        attempt_timeout_at: None,
        attempt_timeout_left: None,
        failure_reason: None,
        cancel_reason: None,
        cancelled_by: None,
        progress_pct: None,
        progress_message: None,
    }
}

/// The same execution running its first attempt until `expires_at`.
pub(crate) fn running(expires_at: TimestampMs) -> (Execution, Attempt) {
    let mut row = execution();
    row.state = state::running();
    row.attempt_count = 1;
    row.epoch = LeaseEpoch(1);
    row.started_at = Some(CREATED);
    let attempt = Attempt {
        execution_id: row.id.clone(),
        index: AttemptIndex(0),
        attempt_id: Some(AttemptId::from_uuid(uuid::Uuid::from_u128(2))),
        kind: AttemptType::Initial,
        epoch: LeaseEpoch(1),
        worker_id: Some(WorkerId::new("worker")),
        worker_instance_id: Some(WorkerInstanceId::new("worker-1")),
        lease_id: Some(LeaseId::from_uuid(uuid::Uuid::from_u128(3))),
        lease_expires_at: Some(expires_at),
        lease_expired_at: None,
        started_at: Some(CREATED),
        ended_at: None,
        outcome: None,
        failure_reason: None,
        failure_category: None,
        retry_at: None,
        policy_json: None,
    };
    (row, attempt)
}
