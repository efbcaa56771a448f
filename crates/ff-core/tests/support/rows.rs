//! The smallest store: maps, no I/O, every row in the open.

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::contracts::{BudgetOverage, QuotaHolder};
use ff_core::machine::budget::{self, Budget, GateKey, Gates};
use ff_core::machine::drive::Session;
use ff_core::machine::flow::background::{FlowWork, OpenEdge};
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{
    Announced, Edge, Flow, Group, Member, Seen, Standing, Standings, Upstream, Wanted, Write,
};
use ff_core::machine::stream::{self, Frame, Meta};
use ff_core::machine::suspension::{Suspension, Waitpoint};
use ff_core::machine::transition::TransitionRow;
use ff_core::machine::worker::{self, Registration, RegistryEvent};
use ff_core::machine::{
    Attempt, Candidate, Change, Event, Execution, Footprint, Grant, GrantKind, Lane, Snapshot,
    Transition,
};
use ff_core::state::{LaneState, PublicState, TerminalOutcome};
use ff_core::store::flow::{EdgesOf, FlowReader, FlowScan};
use ff_core::store::{
    BudgetReader, EventBounds, ExpiredLease, FrameRange, LaneCounts, LaneStanding, Reader, Scan,
    StreamReader, SuspensionReader, Topic, WorkerReader,
};
use ff_core::types::{
    AttemptIndex, BudgetId, EdgeId, ExecutionId, FlowId, LaneId, Namespace, QuotaPolicyId,
    TimestampMs, WaitpointId, WorkerInstanceId,
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
    /// The flow that the execution may be a member of, the one edge into it, and their group.
    pub(crate) flow: Option<Flow>,
    pub(crate) edge: Option<Edge>,
    pub(crate) group: Option<Group>,
    pub(crate) upstream: Option<Upstream>,
    announced: Vec<Announced>,
    is_backlogged: bool,
    pub(crate) worker: Option<Registration>,
    pub(crate) streams: BTreeMap<(ExecutionId, AttemptIndex), Meta>,
    /// What the one execution waits for, as commands are shown it.
    pub(crate) waiting: Snapshot,
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
        let timeout = self
            .waiting
            .suspension
            .open_suspension()
            .filter(|_| execution.public_state() == PublicState::Suspended)
            .and_then(|suspension| suspension.timeout_at);
        [execution.due_at(), expiry, timeout].into_iter().flatten().any(|at| at <= now)
    }

    fn store_flow(&mut self, write: &Write) {
        match write {
            Write::PutFlow(flow) => self.flow = Some((**flow).clone()),
            Write::PutEdge(edge) => self.edge = Some((**edge).clone()),
            Write::PutGroup(group) => self.group = Some((**group).clone()),
            Write::PutPayload { execution_id, payload } => {
                self.payloads.insert(execution_id.clone(), payload.clone());
            }
            Write::OpenBacklog { .. } => self.is_backlogged = true,
            Write::CloseBacklog { .. } => self.is_backlogged = false,
            Write::Dispatched { event_id, .. } => {
                self.announced.retain(|announced| announced.event_id != *event_id);
            }
            Write::Acknowledge { .. }
            | Write::EnqueueSiblings { .. }
            | Write::DropSiblings { .. } => {}
        }
    }

    fn seen_of_flows(&self, wanted: &Wanted, loaded: Option<&Execution>) -> Seen {
        let is_member = loaded.is_some_and(|row| row.flow_id.is_some());
        let is_skipped = loaded.is_some_and(|row| row.outcome() == TerminalOutcome::Skipped);
        let incoming = self.edge.iter().filter(|_| wanted.incoming && is_skipped);
        let standings: Vec<Standing> = self.executions.values().map(Standing::of).collect();
        let open = standings.iter().filter(|standing| !standing.is_ended());
        Seen {
            flow: self.flow.clone().filter(|_| wanted.flow.is_some()),
            own: self.flow.clone().filter(|_| is_member),
            standings: Standings {
                any_open: open.clone().next().is_some(),
                any_bad: open.clone().next().is_none()
                    && self.executions.values().any(|row| {
                        let is_needed =
                            self.edge.as_ref().is_some_and(|edge| edge.upstream == row.id);
                        Standing::of(row) == Standing::EndedBadly && !is_needed
                    }),
                ..Standings::default()
            },
            edge: self.edge.clone().filter(|_| wanted.edge.is_some()),
            group: self.group.clone().filter(|_| wanted.group.is_some() || wanted.own_group),
            upstream: self.upstream.clone().filter(|_| wanted.upstream.is_some()),
            incoming: incoming.map(|edge| (edge.clone(), self.upstream.clone())).collect(),
            members: self
                .executions
                .values()
                .zip(&standings)
                .filter(|(_, standing)| wanted.members && !standing.is_ended())
                .map(|(row, standing)| Member { id: row.id.clone(), standing: *standing })
                .collect(),
            ..Seen::default()
        }
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
            Change::Flow(write) => self.store_flow(write),
            Change::Stream(write) => match write {
                stream::Write::PutMeta(meta) => {
                    let key = (meta.execution_id.clone(), meta.attempt_index);
                    self.streams.insert(key, (**meta).clone());
                }
                stream::Write::AddFrame(_)
                | stream::Write::TrimFrames { .. }
                | stream::Write::PutSummary(_) => {}
            },
            Change::Suspension(_) => self.waiting.apply(std::slice::from_ref(change)),
            Change::Worker(write) => match write {
                worker::Write::Put(row) => self.worker = Some((**row).clone()),
                worker::Write::Remove { .. } => self.worker = None,
                worker::Write::Note(_) => {}
            },
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
        for event in &transition.events {
            if let Event::Completion(end) = event
                && let Some(flow_id) = &end.flow_id
            {
                self.announced.push(Announced {
                    event_id: i64::try_from(self.events.len()).expect("a few events"),
                    execution_id: end.execution_id.clone(),
                    flow_id: flow_id.clone(),
                    outcome: Some(end.outcome),
                    run: end.run,
                });
            }
        }
        Ok(())
    }

    fn trim(&mut self, _: TimestampMs, _: TimestampMs, _: usize) -> Result<usize, EngineError> {
        Ok(0)
    }
}

impl FlowReader for Rows {
    fn flow_work(&mut self) -> Result<FlowWork, EngineError> {
        Ok(FlowWork {
            announced: !self.announced.is_empty(),
            groups: false,
            backlog: self.is_backlogged,
        })
    }

    fn announced(&mut self, after: i64, limit: usize) -> Result<Vec<Announced>, EngineError> {
        let behind = self.announced.iter().filter(|announced| announced.event_id > after);
        Ok(behind.take(limit).cloned().collect())
    }

    fn open_edges_from(
        &mut self,
        _: &FlowId,
        _: &ExecutionId,
        _: Option<&EdgeId>,
        _: usize,
    ) -> Result<Vec<OpenEdge>, EngineError> {
        Ok(Vec::new())
    }

    fn cancel_backlog(&mut self, _: usize) -> Result<Vec<FlowId>, EngineError> {
        Ok(self.flow.iter().map(|flow| flow.id.clone()).collect())
    }

    fn due_members(
        &mut self,
        _: &FlowId,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn reached_members(&mut self, _: &FlowId, _: usize) -> Result<Vec<ExecutionId>, EngineError> {
        let flow = self.flow.clone();
        let reached =
            self.executions.values().filter(|row| flow.as_ref().is_some_and(|flow| flow.ends(row)));
        Ok(reached.map(|row| row.id.clone()).collect())
    }

    fn flow(&mut self, _: &FlowId) -> Result<Option<Flow>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn flows(&mut self, _: &FlowScan, _: usize) -> Result<Vec<Flow>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn flow_range(
        &mut self,
        _: uuid::Uuid,
        _: uuid::Uuid,
        _: usize,
    ) -> Result<Vec<FlowId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn standings(&mut self, _: &FlowId) -> Result<Standings, EngineError> {
        unreachable!("no command asks for it")
    }

    fn members(
        &mut self,
        _: &FlowId,
        _: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn edge(&mut self, _: &FlowId, _: &EdgeId) -> Result<Option<Edge>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn edges(&mut self, _: &FlowId, _: &EdgesOf, _: usize) -> Result<Vec<Edge>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn groups(&mut self, _: &FlowId, _: usize) -> Result<Vec<Group>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn group(&mut self, _: &FlowId, _: &ExecutionId) -> Result<Option<Group>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn unacknowledged(&mut self, _: &FlowId) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn pending_group(&mut self) -> Result<Option<PendingGroup>, EngineError> {
        unreachable!("the group of these tests is an AllOf")
    }

    fn open_upstreams_of(
        &mut self,
        _: &FlowId,
        _: &ExecutionId,
        _: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("the group of these tests is an AllOf")
    }
}

impl StreamReader for Rows {
    fn streams_to_look_at(
        &mut self,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<(ExecutionId, AttemptIndex)>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn frames(&mut self, _: &FrameRange, _: usize, _: usize) -> Result<Vec<Frame>, EngineError> {
        unreachable!("no command asks for it")
    }
}

impl SuspensionReader for Rows {
    fn open_suspensions(
        &mut self,
        _: Option<u16>,
        _: Option<&ExecutionId>,
        _: usize,
    ) -> Result<Vec<Suspension>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn open_waitpoints(
        &mut self,
        _: &ExecutionId,
        _: Option<&WaitpointId>,
        _: usize,
    ) -> Result<Vec<Waitpoint>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn open_waitpoint(
        &mut self,
        _: u16,
        _: &WaitpointId,
    ) -> Result<Option<Waitpoint>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn expired_waitpoints(
        &mut self,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        unreachable!("no command asks for it")
    }
}

impl WorkerReader for Rows {
    fn workers(
        &mut self,
        _: &Namespace,
        _: TimestampMs,
        _: Option<&WorkerInstanceId>,
        _: usize,
    ) -> Result<Vec<Registration>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn lapsed_workers(
        &mut self,
        _: TimestampMs,
        _: usize,
    ) -> Result<Vec<(Namespace, WorkerInstanceId)>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn next_worker_lapse(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn announcements(
        &mut self,
        _: &Namespace,
        _: usize,
    ) -> Result<Vec<RegistryEvent>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn registry_events(&mut self, _: usize) -> Result<Vec<RegistryEvent>, EngineError> {
        unreachable!("no command asks for it")
    }

    fn leases_held(&mut self, _: TimestampMs) -> Result<Vec<(WorkerInstanceId, u64)>, EngineError> {
        unreachable!("no command asks for it")
    }
}

impl Reader for Rows {
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError> {
        let loaded = footprint.execution.as_ref().and_then(|id| self.executions.get(id)).cloned();
        let flow = self.seen_of_flows(&footprint.flow, loaded.as_ref());
        let worker = worker::Seen {
            worker: footprint.worker.worker.as_ref().and(self.worker.as_ref()).cloned(),
        };
        let Some(id) = &footprint.execution else {
            return Ok(Snapshot { flow, worker, ..Snapshot::default() });
        };
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
            flow,
            stream: stream::Seen { meta: meta.cloned(), summary: None },
            budget: budget::Seen {
                budget: self.budget.clone().map(Ok),
                gates: self.gates.clone(),
                ..budget::Seen::default()
            },
            suspension: self.waiting.suspension.clone(),
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

    fn has_reserved(&mut self, _: &LaneId) -> Result<bool, EngineError> {
        unreachable!("no command asks for it")
    }

    fn reserved(
        &mut self,
        _: &LaneId,
        _: &str,
        _: Option<&Candidate>,
        _: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
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
