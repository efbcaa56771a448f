//! The maps that stand for tables and indexes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ff_core::machine::flow::Write;
use ff_core::machine::rows::{Attempt, Candidate, CreateDedup, Execution, Grant, Lane};
use ff_core::machine::transition::{Change, Event, TransitionRow};
use ff_core::state::LifecyclePhase;
use ff_core::types::{ExecutionId, LaneId, TimestampMs};
use uuid::Uuid;

use crate::budget::Budgets;
use crate::flow::{self, Flows};
use crate::stream::Streams;
use crate::suspension::Suspensions;
use crate::worker::Workers;

/// An execution's key: its partition and its UUID.
pub(crate) type Key = (u16, Uuid);

/// A place in line: lane, gate key, priority, age, id.
pub(crate) type Place = (LaneId, String, Reverse<i32>, TimestampMs, Uuid, u16);

pub(crate) fn key(id: &ExecutionId) -> Key {
    (id.partition(), id.uuid())
}

/// An outbox: events by their ids, and the newest id ever given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    pub(crate) rows: BTreeMap<i64, Event>,
    pub(crate) newest: i64,
}

impl Outbox {
    fn push(&mut self, event: Event) {
        self.newest += 1;
        self.rows.insert(self.newest, event);
    }
}

/// Everything the engine knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) floor: TimestampMs,
    pub(crate) executions: BTreeMap<Key, Execution>,
    pub(crate) payloads: BTreeMap<Key, Vec<u8>>,
    pub(crate) results: BTreeMap<Key, Vec<u8>>,
    pub(crate) attempts: BTreeMap<(Key, u32), Attempt>,
    pub(crate) transitions: BTreeMap<(Key, u64), TransitionRow>,
    pub(crate) grants: BTreeMap<Uuid, Grant>,
    pub(crate) dedup: BTreeMap<(String, String), CreateDedup>,
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    pub(crate) lease_events: Outbox,
    pub(crate) completions: Outbox,
    pub(crate) operator_events: Outbox,
    pub(crate) signal_events: Outbox,
    pub(crate) suspensions: Suspensions,
    pub(crate) streams: Streams,
    pub(crate) workers: Workers,
    pub(crate) line: BTreeSet<Place>,
    /// The part of `line` that has asked for a reservation.
    pub(crate) reserved: BTreeSet<Place>,
    pub(crate) due: BTreeSet<(TimestampMs, Key)>,
    pub(crate) lease_expiry: BTreeSet<(TimestampMs, Key)>,
    pub(crate) ended: BTreeSet<(TimestampMs, Key)>,
    pub(crate) budgets: Budgets,
    pub(crate) flows: Flows,
}

impl State {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateExecution { execution, payload } => {
                if !payload.is_empty() {
                    self.payloads.insert(key(&execution.id), payload.clone());
                }
                self.put_execution(execution);
                let at = key(&execution.id);
                if self.budgets.has_reservation(at) {
                    self.mark_reserved(at);
                }
            }
            Change::PutExecution(execution) => self.put_execution(execution),
            Change::PutAttempt(attempt) => {
                let at = (key(&attempt.execution_id), attempt.index.0);
                self.with_indexes(at.0, |state| {
                    state.attempts.insert(at, (**attempt).clone());
                });
            }
            Change::ExtendLease { execution_id, index, expires_at } => {
                let at = (key(execution_id), index.0);
                self.with_indexes(at.0, |state| {
                    if let Some(attempt) = state.attempts.get_mut(&at) {
                        attempt.lease_expires_at = Some(*expires_at);
                    }
                });
            }
            Change::PutResult { execution_id, result } => match result {
                Some(bytes) => {
                    self.results.insert(key(execution_id), bytes.clone());
                }
                None => {
                    self.results.remove(&key(execution_id));
                }
            },
            Change::PutGrant(grant) => {
                self.grants.insert(grant.grant_id, (**grant).clone());
            }
            Change::DropGrants { execution_id, kind } => {
                self.grants
                    .retain(|_, grant| grant.execution_id != *execution_id || grant.kind != *kind);
            }
            Change::PutDedup(dedup) => {
                let at = (dedup.namespace.0.clone(), dedup.key.clone());
                self.dedup.insert(at, dedup.clone());
            }
            Change::RegisterLane { lane, at } => {
                self.lanes.entry(lane.clone()).or_insert_with(|| new_lane(lane, *at));
            }
            Change::PutLane(lane) => {
                self.lanes.insert(lane.id.clone(), lane.clone());
            }
            Change::Forget { execution_id } => self.forget(key(execution_id)),
            Change::Budget(write) => self.apply_budget(write),
            Change::Flow(write) => {
                if let Write::PutPayload { execution_id, payload } = write {
                    self.payloads.insert(key(execution_id), payload.clone());
                }
                self.flows.apply(write);
            }
            Change::Stream(write) => self.streams.apply(write),
            Change::Suspension(write) => match Suspensions::moves_due(write) {
                Some(id) => self.with_indexes(key(id), |state| state.suspensions.apply(write)),
                None => self.suspensions.apply(write),
            },
            Change::Worker(write) => self.workers.apply(write),
        }
    }

    pub(crate) fn announce(&mut self, event: &Event) {
        match event {
            Event::Lease(_) => self.lease_events.push(event.clone()),
            Event::Completion(completion) => {
                self.completions.push(event.clone());
                if completion.flow_id.is_some() {
                    self.flows.undispatched.insert(self.completions.newest);
                }
            }
            Event::Operator(_) | Event::FlowCancelRequested(_) => {
                self.operator_events.push(event.clone());
            }
            Event::Signal(_) => self.signal_events.push(event.clone()),
            Event::Transition(row) => {
                self.transitions.insert((key(&row.execution_id), row.version), row.clone());
            }
        }
    }

    fn put_execution(&mut self, execution: &Execution) {
        let at = key(&execution.id);
        self.with_indexes(at, |state| {
            state.executions.insert(at, execution.clone());
        });
    }

    fn forget(&mut self, at: Key) {
        let flow = self.executions.get(&at).and_then(|row| row.flow_id.clone());
        if let Some(flow) = flow {
            self.flows.forget(&flow, at);
        }
        self.with_indexes(at, |state| {
            state.executions.remove(&at);
        });
        self.payloads.remove(&at);
        self.results.remove(&at);
        self.attempts.retain(|(execution, _), _| *execution != at);
        self.transitions.retain(|(execution, _), _| *execution != at);
        self.grants.retain(|_, grant| key(&grant.execution_id) != at);
        self.budgets.forget(at);
        self.suspensions.forget(at);
        self.streams.forget(at);
    }

    /// Takes an execution out of the indexes, changes its rows, and puts it back in.
    fn with_indexes(&mut self, at: Key, change: impl FnOnce(&mut Self)) {
        let before = self.index_entries(at);
        change(self);
        let after = self.index_entries(at);
        if let Some(place) = before.line {
            self.line.remove(&place);
        }
        if let Some(place) = after.line {
            self.line.insert(place);
        }
        if let Some(place) = before.reserved {
            self.reserved.remove(&place);
        }
        if let Some(place) = after.reserved {
            self.reserved.insert(place);
        }
        if let Some(place) = before.member {
            self.flows.members.remove(&place);
        }
        if let Some(place) = after.member {
            self.flows.members.insert(place);
        }
        for (index, before, after) in [
            (&mut self.due, before.due, after.due),
            (&mut self.lease_expiry, before.lease_expiry, after.lease_expiry),
            (&mut self.ended, before.ended, after.ended),
        ] {
            if let Some(due) = before {
                index.remove(&(due, at));
            }
            if let Some(due) = after {
                index.insert((due, at));
            }
        }
    }

    /// Notes that slots are reserved for an execution.
    pub(crate) fn mark_reserved(&mut self, at: Key) {
        self.with_indexes(at, |state| {
            if let Some(execution) = state.executions.get_mut(&at) {
                execution.reserves_slots = true;
            }
        });
    }

    pub(crate) fn id_of(&self, at: &Key) -> ExecutionId {
        let execution = self.executions.get(at);
        execution.map_or_else(|| ExecutionId::from_parts(at.0, at.1), |row| row.id.clone())
    }

    /// Who stands in a line of a lane behind a gate key, after a candidate.
    pub(crate) fn in_line(
        &self,
        line: &BTreeSet<Place>,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Vec<Candidate> {
        let start = match after {
            None => Bound::Included(first_place(lane, gate_key)),
            Some(last) => Bound::Excluded((
                lane.clone(),
                gate_key.to_owned(),
                Reverse(last.priority),
                last.created_at,
                last.execution_id.uuid(),
                last.execution_id.partition(),
            )),
        };
        line.range((start, Bound::Unbounded))
            .take_while(|place| place.0 == *lane && place.1 == gate_key)
            .take(limit)
            .map(|place| Candidate {
                execution_id: self.id_of(&(place.5, place.4)),
                priority: place.2.0,
                created_at: place.3,
            })
            .collect()
    }

    fn index_entries(&self, at: Key) -> Entries {
        let Some(execution) = self.executions.get(&at) else { return Entries::default() };
        let line = execution.is_claimable().then(|| {
            (
                execution.lane.clone(),
                execution.gate_key.clone(),
                Reverse(execution.priority),
                execution.created_at,
                at.1,
                at.0,
            )
        });
        let reserved = line.clone().filter(|_| execution.reserves_slots);
        let lease_expiry = execution
            .is_leased()
            .then(|| self.attempts.get(&(at, execution.attempt_index.0)))
            .flatten()
            .and_then(|attempt| attempt.lease_expires_at);
        let ended =
            execution.is_terminal().then(|| execution.ended_at.unwrap_or(execution.created_at));
        let timeout = (execution.state.lifecycle_phase == LifecyclePhase::Suspended)
            .then(|| self.suspensions.timeout_at(&at))
            .flatten();
        let due = [execution.due_at(), timeout].into_iter().flatten().min();
        Entries { line, reserved, member: flow::place(execution), due, lease_expiry, ended }
    }
}

/// Before everybody of a lane behind a gate key.
pub(crate) fn first_place(lane: &LaneId, gate_key: &str) -> Place {
    (lane.clone(), gate_key.to_owned(), Reverse(i32::MAX), TimestampMs(i64::MIN), Uuid::nil(), 0)
}

/// A lane seen for the first time.
pub(crate) fn new_lane(id: &LaneId, at: TimestampMs) -> Lane {
    Lane {
        id: id.clone(),
        state: ff_core::state::LaneState::Active,
        registered_at: at,
        quota_policy_id: Ok(None),
    }
}

/// Where an execution stands in each index.
#[derive(Default)]
struct Entries {
    line: Option<Place>,
    reserved: Option<Place>,
    member: Option<(Uuid, u8, Key)>,
    due: Option<TimestampMs>,
    lease_expiry: Option<TimestampMs>,
    ended: Option<TimestampMs>,
}
