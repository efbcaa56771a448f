//! The maps of flows, and their reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ff_core::EngineError;
use ff_core::backend::CancelFlowPolicy;
use ff_core::contracts::EdgeGroupState;
use ff_core::machine::flow::background::{FlowWork, OpenEdge};
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{
    Announced, Edge, Flow, Group, Member, Seen, Standing, Standings, Upstream, Wanted, Write,
};
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::machine::rows::{Attempt, Execution};
use ff_core::machine::transition::Event;
use ff_core::state::TerminalOutcome;
use ff_core::store::Reader as _;
use ff_core::store::flow::{EdgesOf, FlowReader, FlowScan};
use ff_core::types::{EdgeId, ExecutionId, FlowId, TimestampMs};
use uuid::Uuid;

use crate::session::MemorySession;
use crate::state::{Key, key};

/// Everything the engine knows of flows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flows {
    pub(crate) flows: BTreeMap<Uuid, Flow>,
    /// By flow and edge.
    pub(crate) edges: BTreeMap<(Uuid, Uuid), Edge>,
    /// By flow, end and edge.
    from: BTreeSet<(Uuid, Uuid, Uuid)>,
    into: BTreeSet<(Uuid, Uuid, Uuid)>,
    open_from: BTreeSet<(Uuid, Uuid, Uuid)>,
    /// By flow and downstream.
    pub(crate) groups: BTreeMap<(Uuid, Uuid), Group>,
    pub(crate) siblings: BTreeSet<(TimestampMs, Uuid, Uuid)>,
    pub(crate) backlog: BTreeMap<Uuid, Backlog>,
    /// By flow and execution.
    pub(crate) unacknowledged: BTreeSet<(Uuid, String)>,
    /// Announced ends whose edges are not all settled.
    pub(crate) undispatched: BTreeSet<i64>,
    /// Members by flow and standing.
    pub(crate) members: BTreeSet<(Uuid, u8, Key)>,
}

/// A cancelled flow with something left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) at: TimestampMs,
    pub(crate) policy: CancelFlowPolicy,
    pub(crate) requester: String,
    pub(crate) reason: String,
    pub(crate) is_through: bool,
}

impl Flows {
    /// Stores a row. The new input of an execution is the caller's to store.
    pub(crate) fn apply(&mut self, write: &Write) {
        match write {
            Write::PutFlow(flow) => {
                self.flows.insert(flow.id.0, (**flow).clone());
            }
            Write::PutEdge(edge) => self.put_edge(edge),
            Write::PutGroup(group) => {
                self.groups.insert((group.flow_id.0, group.downstream.uuid()), (**group).clone());
            }
            Write::PutPayload { .. } => {}
            Write::OpenBacklog { flow_id, policy, requester, reason, at, to_acknowledge } => {
                let entry = Backlog {
                    at: *at,
                    policy: *policy,
                    requester: requester.clone(),
                    reason: reason.clone(),
                    is_through: false,
                };
                self.backlog.insert(flow_id.0, entry);
                let listed = to_acknowledge.iter().map(|id| (flow_id.0, id.to_string()));
                self.unacknowledged.extend(listed);
            }
            Write::CloseBacklog { flow_id } => {
                if let Some(entry) = self.backlog.get_mut(&flow_id.0) {
                    entry.is_through = true;
                }
                self.drop_backlog(flow_id);
            }
            Write::Acknowledge { flow_id, execution_id } => {
                self.unacknowledged.remove(&(flow_id.0, execution_id.to_string()));
                self.drop_backlog(flow_id);
            }
            Write::EnqueueSiblings { flow_id, downstream, at } => {
                let is = |known: &(TimestampMs, Uuid, Uuid)| {
                    (known.1, known.2) == (flow_id.0, downstream.uuid())
                };
                if !self.siblings.iter().any(is) {
                    self.siblings.insert((*at, flow_id.0, downstream.uuid()));
                }
            }
            Write::DropSiblings { flow_id, downstream } => {
                self.siblings.retain(|known| (known.1, known.2) != (flow_id.0, downstream.uuid()));
            }
            Write::Dispatched { event_id, .. } => {
                self.undispatched.remove(event_id);
            }
        }
    }

    fn put_edge(&mut self, edge: &Edge) {
        let (flow, id) = (edge.flow_id.0, edge.id.0);
        let (up, down) = (edge.upstream.uuid(), edge.downstream.uuid());
        self.edges.insert((flow, id), edge.clone());
        self.from.insert((flow, up, id));
        self.into.insert((flow, down, id));
        if edge.applied_at.is_some() && edge.resolved.is_none() {
            self.open_from.insert((flow, up, id));
        } else {
            self.open_from.remove(&(flow, up, id));
        }
    }

    fn drop_backlog(&mut self, flow: &FlowId) {
        let is_done = self.backlog.get(&flow.0).is_some_and(|entry| entry.is_through)
            && self.listed(flow).next().is_none();
        if is_done {
            self.backlog.remove(&flow.0);
        }
    }

    fn listed(&self, flow: &FlowId) -> impl Iterator<Item = &String> {
        let flow = flow.0;
        self.unacknowledged
            .range((flow, String::new())..)
            .take_while(move |(of, _)| *of == flow)
            .map(|(_, id)| id)
    }

    /// Removes the edges into an execution, their group, and what the cancel of its flow waits for.
    pub(crate) fn forget(&mut self, flow: &FlowId, at: Key) {
        let gone: Vec<Uuid> = ends(&self.into, flow.0, at.1).collect();
        for id in gone {
            if let Some(edge) = self.edges.remove(&(flow.0, id)) {
                let up = edge.upstream.uuid();
                self.from.remove(&(flow.0, up, id));
                self.open_from.remove(&(flow.0, up, id));
                self.into.remove(&(flow.0, at.1, id));
            }
        }
        self.groups.remove(&(flow.0, at.1));
        self.unacknowledged.remove(&(flow.0, ExecutionId::from_parts(at.0, at.1).to_string()));
        self.drop_backlog(flow);
    }

    /// Removes flows that ended at or before an instant and have no members any more.
    pub(crate) fn trim(&mut self, before: TimestampMs, limit: usize) -> usize {
        let has_members = |flow: Uuid| self.of_flow(flow).next().is_some();
        let mut gone: Vec<(TimestampMs, Uuid)> = self
            .flows
            .values()
            .filter_map(|flow| Some((flow.ended_at.filter(|at| *at <= before)?, flow.id.0)))
            .filter(|(_, flow)| !has_members(*flow))
            .collect();
        gone.sort_unstable();
        gone.truncate(limit);
        for (_, flow) in &gone {
            self.flows.remove(flow);
        }
        gone.len()
    }

    fn of_flow(&self, flow: Uuid) -> impl Iterator<Item = &(Uuid, u8, Key)> {
        self.members.range((flow, 0, (0, Uuid::nil()))..).take_while(move |(of, _, _)| *of == flow)
    }

    fn standing(&self, flow: Uuid, standing: Standing) -> bool {
        let number = standing as u8;
        let least = (flow, number, (0, Uuid::nil()));
        self.members.range(least..=(flow, number, (u16::MAX, Uuid::max()))).next().is_some()
    }

    /// Whether a member that nothing else needs ended otherwise than completed.
    fn has_failed(&self, flow: Uuid) -> bool {
        let number = Standing::EndedBadly as u8;
        let least = (flow, number, (0, Uuid::nil()));
        let mut bad = self.members.range(least..=(flow, number, (u16::MAX, Uuid::max())));
        bad.any(|(_, _, at)| ends(&self.from, flow, at.1).next().is_none())
    }

    fn open_members(&self, flow: &FlowId) -> Vec<Member> {
        let open = self.of_flow(flow.0).filter_map(|(_, standing, at)| {
            let standing = match standing {
                3 => Standing::Open,
                4 => Standing::Blocked,
                5 => Standing::Running,
                6 => Standing::Parked,
                _ => return None,
            };
            Some(Member { id: ExecutionId::from_parts(at.0, at.1), standing })
        });
        open.collect()
    }
}

/// The edges of an index at one end.
fn ends(
    index: &BTreeSet<(Uuid, Uuid, Uuid)>,
    flow: Uuid,
    end: Uuid,
) -> impl Iterator<Item = Uuid> + '_ {
    index.range((flow, end, Uuid::nil())..=(flow, end, Uuid::max())).map(|(_, _, id)| *id)
}

/// The id of a member, by the UUID that flow rows know it by.
fn member(uuid: Uuid) -> ExecutionId {
    ExecutionId::from_parts(FLOW_PARTITION, uuid)
}

impl MemorySession<'_> {
    /// The flow rows that `wanted` asks for, of the execution loaded with them.
    pub(crate) fn seen_of_flows(
        &mut self,
        wanted: &Wanted,
        subject: Option<&ExecutionId>,
        loaded: Option<&Execution>,
    ) -> Result<Seen, EngineError> {
        let own = loaded.and_then(|execution| execution.flow_id.as_ref());
        let mut seen = Seen {
            own: own.and_then(|flow| self.flow_rows().flows.get(&flow.0)).cloned(),
            ..Seen::default()
        };
        if let Some(id) = &wanted.flow {
            seen.flow = self.flow(id)?;
        }
        let of = if wanted.flow.is_some() { &seen.flow } else { &seen.own };
        let of = of.as_ref().filter(|of| !of.is_terminal()).map(|of| of.id.clone());
        if let (true, Some(of)) = (wanted.standings, of) {
            seen.standings = self.standings(&of)?;
        }
        let own = seen.own.as_ref().filter(|_| wanted.own_open).map(|own| own.id.clone());
        if let Some(own) = own {
            seen.standings.any_open = self.standings(&own)?.any_open;
        }
        if let Some((flow, id)) = &wanted.edge {
            seen.edge = self.edge(flow, id)?;
        }
        if wanted.passed_result
            && let Some(edge) = seen.edge.as_ref().filter(|edge| edge.data_passing_ref.is_some())
        {
            seen.passed_result = self.result_of(&edge.upstream);
        }
        let own_group = seen.own.as_ref().filter(|_| wanted.own_group).map(|own| own.id.clone());
        if let (Some(flow), Some(id)) = (wanted.group.as_ref().or(own_group.as_ref()), subject) {
            seen.group = self.group(flow, id)?;
        }
        if let Some(id) = &wanted.upstream {
            seen.upstream = self.execution_row(id).map(Upstream::of);
        }
        if wanted.incoming
            && let (Some(own), Some(loaded)) = (&seen.own, loaded)
            && loaded.outcome() == TerminalOutcome::Skipped
        {
            for edge in self.edges(&own.id, &EdgesOf::Into(loaded.id.clone()), usize::MAX)? {
                if edge.applied_at.is_some() {
                    let upstream = self.execution_row(&edge.upstream).map(Upstream::of);
                    seen.incoming.push((edge, upstream));
                }
            }
        }
        if let Some((flow, from, to)) = &wanted.reaches {
            seen.is_reachable = self.reaches(flow.0, from.uuid(), to.uuid());
        }
        let existing = wanted.existing.iter().filter(|id| self.execution_row(id).is_some());
        seen.existing = existing.cloned().collect();
        for (lane, gate_key) in &wanted.gates {
            let keys = self.gate_keys(lane, usize::MAX)?;
            seen.gates.push((keys.contains(gate_key), keys.len()));
        }
        if let (true, Some(flow)) = (wanted.members, &wanted.flow) {
            seen.members = self.flow_rows().open_members(flow);
            seen.members.sort_by_key(|member| member.id.uuid());
        }
        Ok(seen)
    }

    fn reaches(&self, flow: Uuid, from: Uuid, to: Uuid) -> bool {
        let flows = self.flow_rows();
        let (mut reached, mut next) = (BTreeSet::from([from]), vec![from]);
        while let Some(node) = next.pop() {
            for id in ends(&flows.from, flow, node) {
                let down = flows.edges.get(&(flow, id)).map(|edge| edge.downstream.uuid());
                next.extend(down.filter(|down| reached.insert(*down)));
            }
        }
        reached.contains(&to)
    }
}

impl FlowReader for MemorySession<'_> {
    fn flow(&mut self, id: &FlowId) -> Result<Option<Flow>, EngineError> {
        Ok(self.flow_rows().flows.get(&id.0).cloned())
    }

    fn flows(&mut self, scan: &FlowScan, limit: usize) -> Result<Vec<Flow>, EngineError> {
        let flows = &self.flow_rows().flows;
        let after = scan.after.as_ref().map(|after| after.0);
        let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(if scan.descending {
            let rows = flows.range((Bound::Unbounded, bound)).rev();
            rows.take(limit).map(|(_, flow)| flow.clone()).collect()
        } else {
            let rows = flows.range((bound, Bound::Unbounded));
            rows.take(limit).map(|(_, flow)| flow.clone()).collect()
        })
    }

    fn flow_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<FlowId>, EngineError> {
        let found = self.flow_rows().flows.range(low..=high);
        Ok(found.take(limit).map(|(_, flow)| flow.id.clone()).collect())
    }

    fn standings(&mut self, flow: &FlowId) -> Result<Standings, EngineError> {
        let flows = self.flow_rows();
        let has = |standing| flows.standing(flow.0, standing);
        let (running, blocked) =
            (has(Standing::Running), has(Standing::Blocked) || has(Standing::Parked));
        let any_open = running || blocked || has(Standing::Open);
        Ok(Standings {
            any_open,
            any_bad: !any_open && flows.has_failed(flow.0),
            any_running: running,
            any_blocked: blocked,
        })
    }

    fn members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        let mut ids: Vec<Key> = self.flow_rows().of_flow(flow.0).map(|(_, _, at)| *at).collect();
        ids.sort_by_key(|at| at.1);
        Ok(ids.into_iter().take(limit).filter_map(|at| self.with_attempt(at)).collect())
    }

    fn edge(&mut self, flow: &FlowId, id: &EdgeId) -> Result<Option<Edge>, EngineError> {
        Ok(self.flow_rows().edges.get(&(flow.0, id.0)).cloned())
    }

    fn edges(
        &mut self,
        flow: &FlowId,
        of: &EdgesOf,
        limit: usize,
    ) -> Result<Vec<Edge>, EngineError> {
        let flows = self.flow_rows();
        let at = |id: Uuid| flows.edges.get(&(flow.0, id)).cloned();
        Ok(match of {
            EdgesOf::Flow => flows
                .edges
                .range((flow.0, Uuid::nil())..=(flow.0, Uuid::max()))
                .take(limit)
                .map(|(_, edge)| edge.clone())
                .collect(),
            EdgesOf::From(id) => {
                ends(&flows.from, flow.0, id.uuid()).take(limit).filter_map(at).collect()
            }
            EdgesOf::Into(id) => {
                ends(&flows.into, flow.0, id.uuid()).take(limit).filter_map(at).collect()
            }
        })
    }

    fn groups(&mut self, flow: &FlowId, limit: usize) -> Result<Vec<Group>, EngineError> {
        let groups = &self.flow_rows().groups;
        let of_flow = groups.range((flow.0, Uuid::nil())..=(flow.0, Uuid::max()));
        Ok(of_flow.take(limit).map(|(_, group)| group.clone()).collect())
    }

    fn group(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
    ) -> Result<Option<Group>, EngineError> {
        Ok(self.flow_rows().groups.get(&(flow.0, downstream.uuid())).cloned())
    }

    fn unacknowledged(&mut self, flow: &FlowId) -> Result<Vec<ExecutionId>, EngineError> {
        let listed = self.flow_rows().listed(flow);
        Ok(listed.filter_map(|text| ExecutionId::parse(text).ok()).collect())
    }

    fn flow_work(&mut self) -> Result<FlowWork, EngineError> {
        let flows = self.flow_rows();
        Ok(FlowWork {
            announced: !flows.undispatched.is_empty(),
            groups: !flows.siblings.is_empty(),
            backlog: flows.backlog.values().any(|entry| !entry.is_through),
        })
    }

    fn announced(&mut self, after: i64, limit: usize) -> Result<Vec<Announced>, EngineError> {
        let open = self.flow_rows().undispatched.range((Bound::Excluded(after), Bound::Unbounded));
        let ids: Vec<i64> = open.take(limit).copied().collect();
        let mut found = Vec::new();
        for event_id in ids {
            let Some(Event::Completion(event)) = self.completion(event_id) else { continue };
            let Some(flow_id) = event.flow_id.clone() else { continue };
            found.push(Announced {
                event_id,
                execution_id: event.execution_id.clone(),
                flow_id,
                outcome: Some(event.outcome),
                run: event.run,
            });
        }
        Ok(found)
    }

    fn open_edges_from(
        &mut self,
        flow: &FlowId,
        upstream: &ExecutionId,
        after: Option<&EdgeId>,
        limit: usize,
    ) -> Result<Vec<OpenEdge>, EngineError> {
        let flows = self.flow_rows();
        let open = ends(&flows.open_from, flow.0, upstream.uuid());
        let open = open.filter(|id| after.is_none_or(|after| *id > after.0));
        let found = open.filter_map(|id| {
            let downstream = flows.edges.get(&(flow.0, id))?.downstream.clone();
            Some(OpenEdge { id: EdgeId::from_uuid(id), downstream })
        });
        Ok(found.take(limit).collect())
    }

    fn pending_group(&mut self) -> Result<Option<PendingGroup>, EngineError> {
        let flows = self.flow_rows();
        Ok(flows.siblings.first().map(|(at, flow, downstream)| PendingGroup {
            flow_id: FlowId::from_uuid(*flow),
            downstream: member(*downstream),
            decided: flows
                .groups
                .get(&(*flow, *downstream))
                .map_or(EdgeGroupState::Cancelled, Group::state),
            at: *at,
        }))
    }

    fn open_upstreams_of(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let flows = self.flow_rows();
        let edges = ends(&flows.into, flow.0, downstream.uuid());
        let open = edges.filter_map(|id| flows.edges.get(&(flow.0, id))).filter(|edge| {
            edge.applied_at.is_some()
                && edge.resolved.is_none()
                && self.execution_row(&edge.upstream).is_some_and(|row| !row.is_terminal())
        });
        Ok(open.take(limit).map(|edge| edge.upstream.clone()).collect())
    }

    fn cancel_backlog(&mut self, limit: usize) -> Result<Vec<FlowId>, EngineError> {
        let open = self.flow_rows().backlog.iter().filter(|(_, entry)| !entry.is_through);
        let mut open: Vec<_> = open.map(|(flow, entry)| (entry.at, *flow)).collect();
        open.sort_unstable();
        Ok(open.into_iter().take(limit).map(|(_, flow)| FlowId::from_uuid(flow)).collect())
    }

    fn due_members(
        &mut self,
        flow: &FlowId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let due: BTreeSet<ExecutionId> = self.due(now, usize::MAX)?.into_iter().collect();
        let mut found: Vec<ExecutionId> = self
            .flow_rows()
            .open_members(flow)
            .into_iter()
            .filter(|member| member.standing == Standing::Running && due.contains(&member.id))
            .map(|member| member.id)
            .collect();
        found.sort_by_key(ExecutionId::uuid);
        found.truncate(limit);
        Ok(found)
    }

    fn reached_members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let flows = self.flow_rows();
        let mark = flows.flows.get(&flow.0).and_then(|flow| flow.cancel.as_ref());
        let Some(mark) = mark else { return Ok(Vec::new()) };
        let open = flows.open_members(flow).into_iter();
        let reached = open.filter(|member| mark.reaches(member.standing));
        Ok(reached.take(limit).map(|member| member.id).collect())
    }
}

/// Where an execution stands in its flow.
pub(crate) fn place(execution: &Execution) -> Option<(Uuid, u8, Key)> {
    let flow = execution.flow_id.as_ref()?;
    Some((flow.0, Standing::of(execution) as u8, key(&execution.id)))
}
