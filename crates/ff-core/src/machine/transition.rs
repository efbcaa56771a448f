//! What a decision does to the store, as plain data.

use super::rows::{Attempt, CreateDedup, Execution, Grant, GrantKind, Lane};
use super::suspension::SignalEvent;
use super::{budget, flow, stream, suspension, worker};
use crate::state::{PublicState, TerminalOutcome};
use crate::types::{
    AttemptIndex, ExecutionId, FlowId, LaneId, LeaseEpoch, LeaseId, Namespace, TimestampMs,
    WorkerInstanceId,
};

/// The result of a decision: the answer, the rows to write and the facts to announce.
#[derive(Debug, Clone)]
#[must_use = "a transition changes nothing until a backend commits it"]
pub struct Transition<T> {
    /// What the caller is told once everything is stored.
    pub outcome: T,
    /// Rows to write, in order.
    pub changes: Vec<Change>,
    /// Facts for subscribers, stored in the same transaction.
    pub events: Vec<Event>,
}

impl<T> Transition<T> {
    /// An answer that changes nothing.
    pub fn unchanged(outcome: T) -> Self {
        Self { outcome, changes: Vec::new(), events: Vec::new() }
    }

    /// Adds a row to write.
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Adds a fact to announce.
    pub fn announce(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Writes an attempt.
    pub fn put_attempt(self, attempt: Attempt) -> Self {
        self.change(Change::PutAttempt(Box::new(attempt)))
    }

    /// Writes an execution in place of `before`, raises its version and records the change of
    /// state under the name of its `cause`.
    pub fn put(
        self,
        before: &Execution,
        mut after: Execution,
        now: TimestampMs,
        cause: &'static str,
    ) -> Self {
        assert!(after.epoch >= before.epoch, "a lease epoch never falls");
        after.version = before.version + 1;
        after.mutated_at = now;
        // Whatever ends a lease frees its slots.
        let frees = before.takes_slots && before.is_leased() && !after.is_leased();
        let this = if frees {
            after.takes_slots = false;
            let execution_id = before.id.clone();
            self.change(Change::Budget(budget::Write::FreeSlots { execution_id }))
        } else {
            self
        };
        let this = if before.reserves_slots && after.is_terminal() {
            after.reserves_slots = false;
            let execution_id = before.id.clone();
            this.change(Change::Budget(budget::Write::FreeReservations { execution_id }))
        } else {
            this
        };
        let moved = before.state != after.state;
        let row =
            moved.then(|| TransitionRow::between(Some(before.public_state()), &after, now, cause));
        let this = this.change(Change::PutExecution(Box::new(after)));
        match row {
            Some(row) => this.announce(Event::Transition(row)),
            None => this,
        }
    }

    /// The same rows and facts with another answer.
    pub fn answer<U>(self, outcome: U) -> Transition<U> {
        Transition { outcome, changes: self.changes, events: self.events }
    }

    /// The same rows and facts with a converted answer.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Transition<U> {
        Transition { outcome: convert(self.outcome), changes: self.changes, events: self.events }
    }

    /// Puts another decision's rows and facts in front of this one's.
    pub fn after<U>(mut self, earlier: Transition<U>) -> Self {
        let (mut changes, mut events) = (earlier.changes, earlier.events);
        changes.append(&mut self.changes);
        events.append(&mut self.events);
        Self { outcome: self.outcome, changes, events }
    }

    /// Whether an idle worker may find something new: a claimable execution, a nearer due time or
    /// a lane that opened.
    pub fn opens_work(&self) -> bool {
        opens_work(&self.changes)
    }
}

/// Whether an idle worker may find something new behind these changes.
pub fn opens_work(changes: &[Change]) -> bool {
    changes.iter().any(|change| match change {
        Change::CreateExecution { execution, .. } | Change::PutExecution(execution) => {
            execution.is_claimable() || execution.due_at().is_some()
        }
        Change::PutLane(lane) => lane.state == crate::state::LaneState::Active,
        Change::Budget(write) => write.opens_work(),
        Change::PutAttempt(_)
        | Change::ExtendLease { .. }
        | Change::PutResult { .. }
        | Change::PutGrant(_)
        | Change::DropGrants { .. }
        | Change::PutDedup(_)
        | Change::RegisterLane { .. }
        | Change::Forget { .. }
        | Change::Flow(_)
        | Change::Stream(_)
        | Change::Worker(_) => false,
        Change::Suspension(write) => write.is_due_some_time(),
    })
}

/// A row to write. A backend matches it exhaustively, so a new change does not compile until
/// every store keeps it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Change {
    /// A new execution with its input.
    CreateExecution { execution: Box<Execution>, payload: Vec<u8> },
    /// An execution's row, whole.
    PutExecution(Box<Execution>),
    /// An attempt's row, inserted or replaced.
    PutAttempt(Box<Attempt>),
    /// Only the expiry of a live lease: the hot path of a heartbeat.
    ExtendLease { execution_id: ExecutionId, index: AttemptIndex, expires_at: TimestampMs },
    /// The stored result; `None` removes it.
    PutResult { execution_id: ExecutionId, result: Option<Vec<u8>> },
    /// A grant.
    PutGrant(Box<Grant>),
    /// Removes an execution's grants of one kind.
    DropGrants { execution_id: ExecutionId, kind: GrantKind },
    /// A remembered idempotency key.
    PutDedup(CreateDedup),
    /// A lane seen for the first time; nothing if it is known.
    RegisterLane { lane: LaneId, at: TimestampMs },
    /// A lane's state.
    PutLane(Lane),
    /// Removes an ended execution with all its rows.
    Forget { execution_id: ExecutionId },
    /// A budget or quota row.
    Budget(budget::Write),
    /// A flow, edge or edge group row.
    Flow(flow::Write),
    /// A frame or summary.
    Stream(stream::Write),
    /// A suspension, waitpoint, signal or key.
    Suspension(suspension::Write),
    /// A registered worker.
    Worker(worker::Write),
}

/// A fact that subscribers and `verify` read, stored with the change it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A lease began, was kept, lapsed, moved or ended.
    Lease(LeaseEvent),
    /// An execution ended.
    Completion(CompletionEvent),
    /// An operator changed something.
    Operator(OperatorEvent),
    /// A signal was accepted.
    Signal(SignalEvent),
    /// An execution's state moved.
    Transition(TransitionRow),
    /// An operator cancelled a flow.
    FlowCancelRequested(FlowCancelRequested),
}

/// What happened to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the outbox's own names")]
pub struct LeaseEvent {
    pub kind: LeaseEventKind,
    pub execution_id: ExecutionId,
    pub lease_id: Option<LeaseId>,
    pub attempt_index: AttemptIndex,
    pub epoch: LeaseEpoch,
    pub worker_instance_id: Option<WorkerInstanceId>,
    /// Why: `claimed`, `completed`, `cancelled`, an operator's reason, …
    pub cause: String,
    pub at: TimestampMs,
    pub namespace: Namespace,
    pub instance_tag: Option<String>,
}

impl LeaseEvent {
    /// The event of `kind` for an attempt of an execution, as both stand after the change.
    pub fn of(
        kind: LeaseEventKind,
        execution: &Execution,
        attempt: &Attempt,
        cause: impl Into<String>,
        at: TimestampMs,
    ) -> Event {
        Event::Lease(Self {
            kind,
            execution_id: execution.id.clone(),
            lease_id: attempt.lease_id.clone(),
            attempt_index: attempt.index,
            epoch: attempt.epoch,
            worker_instance_id: attempt.worker_instance_id.clone(),
            cause: cause.into(),
            at,
            namespace: execution.namespace.clone(),
            instance_tag: execution.instance_tag().map(str::to_owned),
        })
    }
}

/// The kinds of lease event, by their stored words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEventKind {
    /// A claim took it.
    Acquired,
    /// A heartbeat kept it.
    Renewed,
    /// It ran out.
    Expired,
    /// A successor took it over.
    Reclaimed,
    /// It was given back, ended with its attempt, or taken away.
    Revoked,
}

impl LeaseEventKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Renewed => "renewed",
            Self::Expired => "expired",
            Self::Reclaimed => "reclaimed",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the stored word.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "acquired" => Self::Acquired,
            "renewed" => Self::Renewed,
            "expired" => Self::Expired,
            "reclaimed" => Self::Reclaimed,
            "revoked" => Self::Revoked,
            _ => return None,
        })
    }
}

/// An execution ended. Exactly one per run: from create or replay to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the outbox's own names")]
pub struct CompletionEvent {
    pub execution_id: ExecutionId,
    pub flow_id: Option<FlowId>,
    pub outcome: TerminalOutcome,
    /// 0 for the first run, raised by each replay.
    pub run: u32,
    pub at: TimestampMs,
    pub namespace: Namespace,
    pub instance_tag: Option<String>,
}

/// An operator's change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the outbox's own names")]
pub struct OperatorEvent {
    pub execution_id: ExecutionId,
    pub kind: OperatorEventKind,
    pub at: TimestampMs,
    pub namespace: Namespace,
    pub instance_tag: Option<String>,
}

/// A flow was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the outbox's own names")]
pub struct FlowCancelRequested {
    pub flow_id: FlowId,
    pub policy: String,
    pub reason: String,
    /// Members that the policy reaches.
    pub member_count: usize,
    pub namespace: Namespace,
    pub at: TimestampMs,
}

/// The kinds of operator event, with their details.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the outbox's own names")]
pub enum OperatorEventKind {
    PriorityChanged {
        old_priority: i32,
        new_priority: i32,
    },
    /// `groups_reset` for the branch that opens edges again.
    Replayed {
        branch: ReplayBranch,
        groups_reset: Option<u32>,
    },
}

/// How an execution was put back in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayBranch {
    /// It runs again.
    Normal,
    /// It had been skipped: it waits for its upstreams again.
    SkippedFlowMember,
}

impl ReplayBranch {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::SkippedFlowMember => "skipped_flow_member",
        }
    }

    /// Reads the stored word.
    pub fn from_wire(text: &str) -> Option<Self> {
        [Self::Normal, Self::SkippedFlowMember].into_iter().find(|branch| branch.as_str() == text)
    }
}

/// One move of an execution's state, for `verify` and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the table's own names")]
pub struct TransitionRow {
    pub execution_id: ExecutionId,
    /// The execution's version after the move.
    pub version: u64,
    pub at: TimestampMs,
    pub epoch: LeaseEpoch,
    pub from: Option<PublicState>,
    pub to: PublicState,
    pub cause: String,
}

impl TransitionRow {
    /// The move from a state (none at create) to that of `after`.
    pub fn between(
        from: Option<PublicState>,
        after: &Execution,
        at: TimestampMs,
        cause: &'static str,
    ) -> Self {
        Self {
            execution_id: after.id.clone(),
            version: after.version,
            at,
            epoch: after.epoch,
            from,
            to: after.public_state(),
            cause: cause.to_owned(),
        }
    }
}
