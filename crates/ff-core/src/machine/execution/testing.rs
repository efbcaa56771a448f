//! Rows for decision tests, and a short way to decide on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::EngineError;
use crate::contracts::CreateExecutionArgs;
use crate::handle_codec::HandlePayload;
use crate::machine::lease::Claimer;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution, Grant, GrantKind};
use crate::machine::transition::{
    Change, CompletionEvent, Event, LeaseEvent, OperatorEvent, Transition, TransitionRow,
};
use crate::machine::{Command, Context, Fence, Limits, Snapshot, state};
use crate::state::{AttemptState, AttemptType, TerminalOutcome};
use crate::types::{
    AttemptId, AttemptIndex, DurationMs, ExecutionId, LaneId, LeaseEpoch, LeaseFence, LeaseId,
    Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};

/// The instant at which test rows were created.
pub(crate) const CREATED: TimestampMs = TimestampMs(1_000_000);

/// The instant at which tests decide.
pub(crate) const NOW: TimestampMs = TimestampMs(2_000_000);

/// An instant at which a lease that lives at [`NOW`] ends.
pub(crate) const LEASE_END: TimestampMs = TimestampMs(2_030_000);

/// `ms` milliseconds after [`NOW`], or before it.
pub(crate) fn now_plus(ms: i64) -> TimestampMs {
    TimestampMs(NOW.0 + ms)
}

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
        quota_policy_id: None,
        takes_slots: false,
        reserves_slots: false,
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

/// The call that creates [`execution`].
pub(crate) fn submission() -> CreateExecutionArgs {
    let row = execution();
    CreateExecutionArgs {
        execution_id: row.id,
        namespace: row.namespace,
        lane_id: row.lane,
        execution_kind: row.kind,
        input_payload: b"input".to_vec(),
        payload_encoding: None,
        priority: 0,
        creator_identity: row.creator,
        idempotency_key: None,
        tags: HashMap::new(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        partition_id: 0,
        now: TimestampMs(0),
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

/// The same execution after its lease ran out.
pub(crate) fn lapsed() -> (Execution, Attempt) {
    let (mut row, mut attempt) = running(now_plus(-1));
    row.state = state::lease_expired();
    attempt.lease_expired_at = attempt.lease_expires_at.take();
    (row, attempt)
}

/// The same execution after an operator took its lease away.
pub(crate) fn revoked() -> (Execution, Attempt) {
    let (mut row, mut attempt) = running(LEASE_END);
    row.state = state::lease_revoked();
    attempt.lease_expires_at = None;
    attempt.worker_instance_id = None;
    (row, attempt)
}

/// The same execution in line again, its attempt parked.
pub(crate) fn interrupted() -> (Execution, Attempt) {
    let (mut row, mut attempt) = running(LEASE_END);
    row.state = state::waiting(AttemptState::AttemptInterrupted);
    attempt.outcome = Some(AttemptOutcome::Interrupted);
    attempt.lease_expires_at = None;
    attempt.worker_instance_id = None;
    (row, attempt)
}

/// The same execution, ended with `outcome` at [`CREATED`] by its first attempt.
pub(crate) fn ended(outcome: TerminalOutcome, of_attempt: AttemptOutcome) -> (Execution, Attempt) {
    let (mut row, mut attempt) = running(LEASE_END);
    row.state = state::ended(outcome, AttemptState::AttemptTerminal);
    row.ended_at = Some(CREATED);
    attempt.outcome = Some(of_attempt);
    attempt.ended_at = Some(CREATED);
    attempt.lease_expires_at = None;
    (row, attempt)
}

/// A permission for `worker` that lasts until `expires_at`.
pub(crate) fn grant(kind: GrantKind, worker: &str, expires_at: TimestampMs) -> Grant {
    let execution = execution();
    Grant {
        grant_id: uuid::Uuid::from_u128(9),
        execution_id: execution.id,
        kind,
        worker_id: WorkerId::new(worker),
        worker_instance_id: WorkerInstanceId::new("successor-1"),
        lane: execution.lane,
        capability_hash: None,
        worker_capabilities: Vec::new(),
        route_snapshot_json: None,
        admission_summary: None,
        ttl: DurationMs(1_000),
        issued_at: CREATED,
        expires_at,
    }
}

/// A worker with these capabilities, for leases of 30 s.
pub(crate) fn claimer(capabilities: &[&str]) -> Claimer {
    let capabilities: BTreeSet<String> = capabilities.iter().map(|&one| one.to_owned()).collect();
    Claimer {
        worker_id: WorkerId::new("successor"),
        worker_instance_id: WorkerInstanceId::new("successor-1"),
        capabilities: Arc::new(capabilities),
        ttl: DurationMs(30_000),
    }
}

/// What a command sees of an execution and its current attempt.
pub(crate) fn seen(
    execution: impl Into<Option<Execution>>,
    current: impl Into<Option<Attempt>>,
) -> Snapshot {
    Snapshot { execution: execution.into(), current: current.into(), ..Snapshot::default() }
}

/// [`seen`] of the pair that the fixtures make.
pub(crate) fn seen_pair((execution, current): (Execution, Attempt)) -> Snapshot {
    seen(execution, current)
}

/// Decides at [`NOW`], without what is due.
pub(crate) fn decide<C: Command>(
    command: &C,
    seen: &Snapshot,
) -> Result<Transition<C::Outcome>, EngineError> {
    let limits = Limits::default();
    command.decide(seen, &mut Context::new(NOW, 1, &limits))
}

/// A refusal's text.
pub(crate) fn refusal<T>(result: Result<T, EngineError>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The triple that owns an attempt.
pub(crate) fn triple_of(attempt: &Attempt) -> LeaseFence {
    LeaseFence {
        lease_id: attempt.lease_id.clone().unwrap(),
        lease_epoch: attempt.epoch,
        attempt_id: attempt.attempt_id.clone().unwrap(),
    }
}

/// The proof by the handle that owns an attempt.
pub(crate) fn handle_of(attempt: &Attempt) -> Fence {
    Fence::of_handle(&HandlePayload::new(
        attempt.execution_id.clone(),
        attempt.index,
        attempt.attempt_id.clone().unwrap(),
        attempt.lease_id.clone().unwrap(),
        attempt.epoch,
        30_000,
        LaneId::new("default"),
        WorkerInstanceId::new("worker-1"),
    ))
}

/// The proof by the handle of [`running`], under another epoch.
pub(crate) fn stale_handle() -> Fence {
    let (_, mut attempt) = running(LEASE_END);
    attempt.epoch = LeaseEpoch(7);
    handle_of(&attempt)
}

impl<T> Transition<T> {
    /// The execution's row as the last change leaves it.
    pub(crate) fn stored(&self) -> &Execution {
        let mut rows = self.changes.iter().filter_map(|change| match change {
            Change::CreateExecution { execution, .. } | Change::PutExecution(execution) => {
                Some(&**execution)
            }
            _ => None,
        });
        rows.next_back().expect("the execution's row is written")
    }

    /// The attempts written, in order.
    pub(crate) fn attempts(&self) -> Vec<&Attempt> {
        let rows = self.changes.iter().filter_map(|change| match change {
            Change::PutAttempt(attempt) => Some(&**attempt),
            _ => None,
        });
        rows.collect()
    }

    /// The lease events, in order.
    pub(crate) fn leases(&self) -> Vec<&LeaseEvent> {
        let facts = self.events.iter().filter_map(|event| match event {
            Event::Lease(fact) => Some(fact),
            _ => None,
        });
        facts.collect()
    }

    /// The completion events, in order.
    pub(crate) fn completions(&self) -> Vec<&CompletionEvent> {
        let facts = self.events.iter().filter_map(|event| match event {
            Event::Completion(fact) => Some(fact),
            _ => None,
        });
        facts.collect()
    }

    /// The operator events, in order.
    pub(crate) fn operations(&self) -> Vec<&OperatorEvent> {
        let facts = self.events.iter().filter_map(|event| match event {
            Event::Operator(fact) => Some(fact),
            _ => None,
        });
        facts.collect()
    }

    /// The recorded moves, in order.
    pub(crate) fn moves(&self) -> Vec<&TransitionRow> {
        let facts = self.events.iter().filter_map(|event| match event {
            Event::Transition(fact) => Some(fact),
            _ => None,
        });
        facts.collect()
    }

    /// Whether nothing is written and nothing announced.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changes.is_empty() && self.events.is_empty()
    }
}
