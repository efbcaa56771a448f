//! Rows as the contract shows them.

use crate::backend::{Handle, LeaseRenewal};
use crate::contracts::{
    AttemptInfo, AttemptSummary, ClaimedExecution, ClaimedResumedExecution, ClaimedWork,
    ExecutionContext, ExecutionInfo, ExecutionSnapshot, ExecutionSummary, ExpiredLeaseInfo,
    LeaseSummary, RenewLeaseResult, TransitionInfo,
};
use crate::handle_codec;
use crate::machine::lease::Claimed;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::suspension::Signal;
use crate::machine::transition::TransitionRow;
use crate::state::BlockingReason;
use crate::store::{ExpiredLease, Store};
use crate::types::{AttemptId, LeaseId, TimestampMs};

/// The nil id stands where a row written by hand knows none.
fn nil_attempt() -> AttemptId {
    AttemptId::from_uuid(uuid::Uuid::nil())
}

fn nil_lease() -> LeaseId {
    LeaseId::from_uuid(uuid::Uuid::nil())
}

pub(super) fn handle<S: Store>(claimed: &Claimed) -> Handle {
    Handle::new(S::TAG, claimed.kind, handle_codec::encode(S::TAG, &claimed.handle_payload()))
}

pub(super) fn claimed_execution<S: Store>(claimed: &Claimed) -> ClaimedExecution {
    let attempt = &claimed.attempt;
    ClaimedExecution::new(
        claimed.execution.id.clone(),
        attempt.lease_id.clone().unwrap_or_else(nil_lease),
        attempt.epoch,
        attempt.index,
        attempt.attempt_id.clone().unwrap_or_else(nil_attempt),
        attempt.kind,
        attempt.lease_expires_at.unwrap_or(TimestampMs(0)),
        handle::<S>(claimed),
    )
}

pub(super) fn claimed_resumed<S: Store>(claimed: &Claimed) -> ClaimedResumedExecution {
    let attempt = &claimed.attempt;
    ClaimedResumedExecution::new(
        claimed.execution.id.clone(),
        attempt.lease_id.clone().unwrap_or_else(nil_lease),
        attempt.epoch,
        attempt.index,
        attempt.attempt_id.clone().unwrap_or_else(nil_attempt),
        attempt.lease_expires_at.unwrap_or(TimestampMs(0)),
        handle::<S>(claimed),
    )
}

pub(super) fn claimed_work<S: Store>(claimed: Claimed) -> ClaimedWork {
    let handle = handle::<S>(&claimed);
    let Claimed { execution, attempt, payload, signals, .. } = claimed;
    let mut work = ClaimedWork::new(
        handle,
        execution.id,
        execution.kind,
        execution.lane,
        attempt.index,
        attempt.attempt_id.unwrap_or_else(nil_attempt),
        attempt.lease_id.unwrap_or_else(nil_lease),
        attempt.epoch,
        attempt.lease_expires_at.unwrap_or(TimestampMs(0)),
    )
    .with_payload(payload.unwrap_or_default(), execution.payload_encoding)
    .with_tags(execution.tags)
    .with_signals(signals.into_iter().map(Signal::seen).collect());
    work.deadline_at = execution.deadline_at;
    work
}

pub(super) fn renewed(renewal: &LeaseRenewal) -> RenewLeaseResult {
    let expires_at = TimestampMs(i64::try_from(renewal.expires_at_ms).unwrap_or(i64::MAX));
    RenewLeaseResult::Renewed { expires_at }
}

fn decimal(at: TimestampMs) -> String {
    at.0.to_string()
}

pub(super) fn info(execution: Execution) -> ExecutionInfo {
    ExecutionInfo {
        public_state: execution.public_state(),
        execution_id: execution.id,
        namespace: execution.namespace.0,
        lane_id: execution.lane.0,
        priority: execution.priority,
        execution_kind: execution.kind,
        state_vector: execution.state,
        created_at: decimal(execution.created_at),
        started_at: execution.started_at.map(decimal),
        completed_at: execution.ended_at.map(decimal),
        current_attempt_index: execution.attempt_index.0,
        flow_id: execution.flow_id.map(|flow| flow.to_string()),
        blocking_detail: execution.blocking_detail.unwrap_or_default(),
    }
}

pub(super) fn context(execution: Execution, payload: Option<Vec<u8>>) -> ExecutionContext {
    ExecutionContext::new(
        payload.unwrap_or_default(),
        execution.kind,
        execution.tags.into_iter().collect(),
    )
}

pub(super) fn snapshot(execution: Execution, current: Option<&Attempt>) -> ExecutionSnapshot {
    let attempt = current.map(|attempt| {
        let id = attempt.attempt_id.clone().unwrap_or_else(nil_attempt);
        AttemptSummary::new(id, attempt.index)
    });
    let lease = current.filter(|_| execution.is_leased()).map(lease_summary);
    let public_state = execution.public_state();
    let blocking_reason = match execution.state.blocking_reason {
        BlockingReason::None => None,
        reason => Some(reason.as_str().to_owned()),
    };
    ExecutionSnapshot::new(
        execution.id,
        execution.flow_id,
        execution.lane,
        execution.namespace,
        public_state,
        blocking_reason,
        execution.blocking_detail,
        attempt,
        lease,
        None,
        execution.created_at,
        execution.mutated_at,
        execution.attempt_count,
        execution.tags,
    )
}

fn lease_summary(attempt: &Attempt) -> LeaseSummary {
    let holder = attempt.worker_instance_id.clone().unwrap_or_else(|| "".into());
    LeaseSummary::new(attempt.epoch, holder, attempt.lease_expires_at.unwrap_or(TimestampMs(0)))
        .with_lease_id(attempt.lease_id.clone().unwrap_or_else(nil_lease))
        .with_attempt_index(attempt.index)
}

pub(super) fn summary(execution: Execution, current: Option<&Attempt>) -> ExecutionSummary {
    let mut summary = ExecutionSummary::new(
        execution.id.clone(),
        execution.kind.clone(),
        execution.lane.clone(),
        execution.namespace.clone(),
        execution.public_state(),
        execution.priority,
        execution.created_at,
    );
    summary.started_at = execution.started_at;
    summary.ended_at = execution.ended_at;
    summary.due_at = execution.eligible_at;
    summary.deadline_at = execution.deadline_at;
    summary.attempt_count = execution.attempt_count;
    summary.retry_count = execution.retry_count;
    summary.reclaim_count = execution.reclaim_count;
    summary.replay_count = execution.replay_count;
    summary.lease_epoch = execution.epoch;
    summary.worker_instance_id = current
        .filter(|_| execution.is_leased())
        .and_then(|attempt| attempt.worker_instance_id.clone());
    summary.flow_id = execution.flow_id;
    summary.reason = execution.cancel_reason.or(execution.failure_reason);
    summary.progress_pct = execution.progress_pct;
    summary.progress_message = execution.progress_message;
    summary.tags = execution.tags;
    summary.budget_ids = execution.policy.map_or_else(Vec::new, |policy| policy.budget_ids);
    summary
}

pub(super) fn attempt(attempt: Attempt) -> AttemptInfo {
    let mut info = AttemptInfo::new(attempt.index, attempt.kind, attempt.epoch);
    info.attempt_id = attempt.attempt_id;
    info.worker_id = attempt.worker_id;
    info.worker_instance_id = attempt.worker_instance_id;
    info.started_at = attempt.started_at;
    info.ended_at = attempt.ended_at;
    info.outcome = attempt.outcome.map(AttemptOutcome::as_str).map(str::to_owned);
    info.failure_reason = attempt.failure_reason;
    info.failure_category = attempt.failure_category;
    info.retry_at = attempt.retry_at;
    info.lease_expires_at = attempt.lease_expires_at;
    info
}

pub(super) fn transition(row: TransitionRow) -> TransitionInfo {
    TransitionInfo::new(row.version, row.at, row.epoch, row.from, row.to, row.cause)
}

pub(super) fn expired_lease(lease: ExpiredLease) -> ExpiredLeaseInfo {
    ExpiredLeaseInfo::new(
        lease.execution_id,
        lease.lease_id.unwrap_or_else(nil_lease),
        lease.epoch,
        lease.worker_instance_id.unwrap_or_else(|| "".into()),
        lease.expires_at,
        lease.attempt_index,
    )
}
