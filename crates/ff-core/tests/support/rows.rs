//! The smallest store: maps, no I/O, every row in the open.

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::contracts::{BudgetOverage, QuotaHolder};
use ff_core::machine::budget::{Budget, GateKey, Gates, Seen};
use ff_core::machine::drive::Session;
use ff_core::machine::stream::{self, Frame, Meta};
use ff_core::machine::transition::TransitionRow;
use ff_core::machine::{
    Attempt, Candidate, Change, Event, Execution, Footprint, Grant, GrantKind, Lane, Snapshot,
    Transition,
};
use ff_core::state::LaneState;
use ff_core::store::{
    BudgetReader, EventBounds, ExpiredLease, FrameRange, LaneCounts, LaneStanding, Reader, Scan,
    StreamReader, Topic,
};
use ff_core::types::{
    AttemptIndex, BudgetId, ExecutionId, LaneId, Namespace, QuotaPolicyId, TimestampMs,
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) executions: BTreeMap<ExecutionId, Execution>,
    pub(crate) attempts: BTreeMap<(ExecutionId, AttemptIndex), Attempt>,
    pub(crate) grants: BTreeMap<(ExecutionId, GrantKind), Grant>,
    pub(crate) events: Vec<Event>,
    /// What stands before every execution.
    pub(crate) gates: Gates,
    /// The budget that is asked for by its id.
    pub(crate) budget: Option<Budget>,
    pub(crate) streams: BTreeMap<(ExecutionId, AttemptIndex), Meta>,
    payloads: BTreeMap<ExecutionId, Vec<u8>>,
    results: BTreeMap<ExecutionId, Vec<u8>>,
}

impl Rows {
    /// The execution's current attempt.
    pub(crate) fn current(&self, execution: &Execution) -> Option<&Attempt> {
        self.attempts.get(&(execution.id.clone(), execution.attempt_index))
    }

    fn is_due(&self, execution: &Execution, now: TimestampMs) -> bool {
        let expiry = self
            .current(execution)
            .filter(|_| execution.is_leased())
            .and_then(|attempt| attempt.lease_expires_at);
        [execution.due_at(), expiry].into_iter().flatten().any(|at| at <= now)
    }

    fn store(&mut self, change: &Change) {
        match change {
            Change::CreateExecution { execution, payload } => {
                self.payloads.insert(execution.id.clone(), payload.clone());
                self.executions.insert(execution.id.clone(), (**execution).clone());
            }
            Change::PutExecution(execution) => {
                self.executions.insert(execution.id.clone(), (**execution).clone());
            }
            Change::PutAttempt(attempt) => {
                let key = (attempt.execution_id.clone(), attempt.index);
                self.attempts.insert(key, (**attempt).clone());
            }
            Change::ExtendLease { execution_id, index, expires_at } => {
                if let Some(attempt) = self.attempts.get_mut(&(execution_id.clone(), *index)) {
                    attempt.lease_expires_at = Some(*expires_at);
                }
            }
            Change::PutResult { execution_id, result } => {
                match result {
                    Some(bytes) => self.results.insert(execution_id.clone(), bytes.clone()),
                    None => self.results.remove(execution_id),
                };
            }
            Change::PutGrant(grant) => {
                self.grants.insert((grant.execution_id.clone(), grant.kind), (**grant).clone());
            }
            Change::DropGrants { execution_id, kind } => {
                self.grants.remove(&(execution_id.clone(), *kind));
            }
            Change::PutDedup(_) | Change::RegisterLane { .. } | Change::PutLane(_) => {}
            // Whether a gate is open is said by the test.
            Change::Budget(_) => {}
            Change::Flow(write) => match *write {},
            Change::Stream(write) => match write {
                stream::Write::PutMeta(meta) => {
                    let key = (meta.execution_id.clone(), meta.attempt_index);
                    self.streams.insert(key, (**meta).clone());
                }
                stream::Write::AddFrame(_)
                | stream::Write::TrimFrames { .. }
                | stream::Write::PutSummary(_) => {}
            },
            Change::Suspension(write) => match *write {},
            Change::Worker(write) => match *write {},
            Change::Forget { execution_id } => {
                self.executions.remove(execution_id);
                self.attempts.retain(|(id, _), _| id != execution_id);
                self.streams.retain(|(id, _), _| id != execution_id);
            }
        }
    }
}

impl Session for Rows {
    fn commit<T>(&mut self, transition: &Transition<T>, _: TimestampMs) -> Result<(), EngineError> {
        for change in &transition.changes {
            self.store(change);
        }
        self.events.extend(transition.events.iter().cloned());
        Ok(())
    }

    fn trim(&mut self, _: TimestampMs, _: TimestampMs, _: usize) -> Result<usize, EngineError> {
        Ok(0)
    }
}

impl StreamReader for Rows {
    fn frames(&mut self, _: &FrameRange, _: usize, _: usize) -> Result<Vec<Frame>, EngineError> {
        unreachable!("no command asks for it")
    }
}

impl Reader for Rows {
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError> {
        let Some(id) = &footprint.execution else { return Ok(Snapshot::default()) };
        let execution = self.executions.get(id);
        let named = footprint
            .attempt
            .filter(|index| execution.is_none_or(|execution| execution.attempt_index != *index));
        let result = execution.filter(|execution| footprint.result && execution.is_terminal());
        let grant = footprint.grant.and_then(|kind| self.grants.get(&(id.clone(), kind)));
        let stream = footprint.stream.meta;
        let meta = stream.and_then(|index| self.streams.get(&(id.clone(), index)));
        Ok(Snapshot {
            execution: execution.cloned(),
            current: execution.and_then(|execution| self.current(execution)).cloned(),
            named: named.and_then(|index| self.attempts.get(&(id.clone(), index))).cloned(),
            result: result.and_then(|_| self.results.get(id)).cloned(),
            payload: self.payloads.get(id).filter(|_| footprint.payload).cloned(),
            grant: grant.cloned(),
            stream: stream::Seen { meta: meta.cloned(), summary: None },
            budget: Seen {
                budget: self.budget.clone().map(Ok),
                gates: self.gates.clone(),
                ..Seen::default()
            },
            ..Snapshot::default()
        })
    }

    fn due(&mut self, now: TimestampMs, limit: usize) -> Result<Vec<ExecutionId>, EngineError> {
        let due = self.executions.values().filter(|execution| self.is_due(execution, now));
        Ok(due.take(limit).map(|execution| execution.id.clone()).collect())
    }

    fn lane_standing(&mut self, _: &LaneId) -> Result<LaneStanding, EngineError> {
        Ok(LaneStanding { state: LaneState::Active, quota_policy_id: Ok(None), has_gates: false })
    }

    fn candidates(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        let waiting = self.executions.values().filter(|execution| {
            execution.is_claimable() && execution.lane == *lane && execution.gate_key == gate_key
        });
        let mut line: Vec<Candidate> = waiting
            .map(|execution| Candidate {
                execution_id: execution.id.clone(),
                priority: execution.priority,
                created_at: execution.created_at,
            })
            .filter(|candidate| after.is_none_or(|after| after.order() < candidate.order()))
            .collect();
        line.sort_by_key(Candidate::order);
        line.truncate(limit);
        Ok(line)
    }

    fn gate_keys(&mut self, _: &LaneId, _: usize) -> Result<Vec<String>, EngineError> {
        unreachable!("the workers of these tests have no capabilities")
    }

    fn next_due(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn ended(&mut self, _: TimestampMs, _: usize) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn attempts(&mut self, _: &ExecutionId) -> Result<Vec<Attempt>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn transitions(
        &mut self,
        _: &ExecutionId,
        _: Option<u64>,
        _: usize,
    ) -> Result<Vec<TransitionRow>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn scan(
        &mut self,
        _: &Scan,
        _: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn uuid_range(
        &mut self,
        _: uuid::Uuid,
        _: uuid::Uuid,
        _: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn lanes(&mut self, _: Option<&LaneId>, _: usize) -> Result<Vec<Lane>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn lane_counts(&mut self, _: &LaneId) -> Result<LaneCounts, EngineError> {
        unreachable!("no command asks for it")
    }

    fn expired_leases(
        &mut self,
        _: TimestampMs,
        _: Option<(TimestampMs, &ExecutionId)>,
        _: Option<&Namespace>,
        _: usize,
    ) -> Result<Vec<ExpiredLease>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn events(&mut self, _: Topic, _: i64, _: usize) -> Result<Vec<(i64, Event)>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn event_bounds(&mut self, _: Topic) -> Result<EventBounds, EngineError> {
        unreachable!("no command asks for it")
    }
}

impl BudgetReader for Rows {
    fn gates_to_look_at(
        &mut self,
        _: &LaneId,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<GateKey>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn gate_look_at(
        &mut self,
        _: &LaneId,
        _: &GateKey,
    ) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn next_look(&mut self, _: &LaneId) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn gates_to_sweep(
        &mut self,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<(LaneId, GateKey)>, EngineError> {
        Ok(Vec::new())
    }

    fn next_gate_sweep(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn parked(
        &mut self,
        _: &LaneId,
        _: &GateKey,
        _: Option<&Candidate>,
        _: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn count_parked(&mut self, _: &GateKey) -> Result<u64, EngineError> {
        unreachable!("no command asks for it")
    }

    fn budgets_due(&mut self, _: TimestampMs, _: usize) -> Result<Vec<BudgetId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn next_reset(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn budgets(&mut self, _: Option<&BudgetId>, _: usize) -> Result<Vec<BudgetId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn overages(
        &mut self,
        _: &BudgetId,
        _: u64,
        _: usize,
    ) -> Result<Vec<BudgetOverage>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn quota_policies(
        &mut self,
        _: Option<&QuotaPolicyId>,
        _: usize,
    ) -> Result<Vec<QuotaPolicyId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn quota_holders(
        &mut self,
        _: &QuotaPolicyId,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<QuotaHolder>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn lanes_of_quota(&mut self, _: &QuotaPolicyId) -> Result<Vec<LaneId>, EngineError> {
        unreachable!("no command asks for it")
    }
}
