//! Reads and writes on the maps: what a transactional store offers, without a database.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ff_core::EngineError;
use ff_core::machine::budget;
use ff_core::machine::drive::Session;
use ff_core::machine::flow::Flow;
use ff_core::machine::rows::{Attempt, Candidate, Execution, Grant, Lane};
use ff_core::machine::stream::Frame;
use ff_core::machine::transition::{Event, TransitionRow};
use ff_core::machine::worker::{Registration, RegistryEvent};
use ff_core::machine::{Footprint, Snapshot, Transition};
use ff_core::state::{EligibilityState, LaneState};
use ff_core::store::flow::FlowReader as _;
use ff_core::store::{
    EventBounds, ExpiredLease, FrameRange, LaneCounts, LaneStanding, Reader, Scan, StreamKey,
    StreamReader, Topic, WorkerReader,
};
use ff_core::types::{AttemptIndex, ExecutionId, LaneId, Namespace, TimestampMs, WorkerInstanceId};
use uuid::Uuid;

use crate::flow::Flows;
use crate::state::{Key, Outbox, State, first_place, key};

/// The state, held still for one read or write.
#[derive(Debug)]
pub(crate) struct MemorySession<'a> {
    state: &'a mut State,
    /// The streams that were written to.
    touched: Vec<StreamKey>,
}

impl<'a> MemorySession<'a> {
    pub(crate) fn new(state: &'a mut State) -> Self {
        Self { state, touched: Vec::new() }
    }

    /// Ends the session; answers which streams it wrote to.
    pub(crate) fn into_touched(self) -> Vec<StreamKey> {
        self.touched
    }

    /// A copy to return to when a batch is refused half-way.
    pub(crate) fn keep(&self) -> State {
        self.state.clone()
    }

    pub(crate) fn restore(&mut self, kept: State) {
        *self.state = kept;
    }

    pub(crate) fn state(&self) -> &State {
        self.state
    }

    pub(crate) fn flow_rows(&self) -> &Flows {
        &self.state.flows
    }

    pub(crate) fn execution_row(&self, id: &ExecutionId) -> Option<&Execution> {
        self.state.executions.get(&key(id))
    }

    pub(crate) fn with_attempt(&self, at: Key) -> Option<(Execution, Option<Attempt>)> {
        let row = self.state.executions.get(&at)?;
        Some((row.clone(), self.current(row).cloned()))
    }

    pub(crate) fn result_of(&self, id: &ExecutionId) -> Option<Vec<u8>> {
        self.state.results.get(&key(id)).cloned()
    }

    pub(crate) fn completion(&self, event_id: i64) -> Option<&Event> {
        self.state.completions.rows.get(&event_id)
    }

    fn current(&self, execution: &Execution) -> Option<&Attempt> {
        self.state.attempts.get(&(key(&execution.id), execution.attempt_index.0))
    }

    fn outbox(&self, topic: Topic) -> &Outbox {
        match topic {
            Topic::Lease => &self.state.lease_events,
            Topic::Completion => &self.state.completions,
            Topic::Signal => &self.state.signal_events,
            Topic::Operator => &self.state.operator_events,
        }
    }

    fn newest_grant(&self, footprint: &Footprint) -> Option<Grant> {
        let (kind, id) = (footprint.grant?, footprint.execution.as_ref()?);
        self.state
            .grants
            .values()
            .filter(|grant| grant.kind == kind && grant.execution_id == *id)
            .max_by_key(|grant| (grant.issued_at, grant.grant_id))
            .cloned()
    }
}

impl Reader for MemorySession<'_> {
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError> {
        let mut seen = Snapshot::default();
        if let Some(id) = &footprint.execution
            && let Some(execution) = self.state.executions.get(&key(id))
        {
            let at = key(id);
            seen.current = self.current(execution).cloned();
            seen.named = footprint
                .attempt
                .filter(|index| *index != execution.attempt_index)
                .and_then(|index| self.state.attempts.get(&(at, index.0)))
                .cloned();
            if footprint.payload {
                seen.payload = self.state.payloads.get(&at).cloned();
            }
            if footprint.result && execution.is_terminal() {
                seen.result = self.state.results.get(&at).cloned();
            }
            seen.execution = Some(execution.clone());
        }
        seen.suspension = self.state.suspensions.load(footprint, seen.execution.as_ref());
        let (subject, loaded) = (footprint.execution.as_ref(), seen.execution.as_ref());
        seen.flow = self.seen_of_flows(&footprint.flow, subject, loaded)?;
        if let Some(id) = &footprint.execution {
            seen.stream = self.state.streams.load(id, &footprint.stream);
        }
        seen.grant = self.newest_grant(footprint);
        seen.dedup = footprint.dedup.as_ref().and_then(|(namespace, dedup_key)| {
            self.state.dedup.get(&(namespace.0.clone(), dedup_key.clone())).cloned()
        });
        seen.worker = self.state.workers.load(&footprint.worker);
        seen.lane = footprint.lane.as_ref().and_then(|lane| self.state.lanes.get(lane)).cloned();
        if let Some((lane, gate_key)) = &footprint.gate {
            let keys = self.gate_keys(lane, usize::MAX)?;
            seen.gate_known = keys.contains(gate_key);
            seen.gate_keys = keys.len();
        }
        seen.budget = self.state.load_budget(&footprint.budget, seen.execution.as_ref())?;
        Ok(seen)
    }

    fn due(&mut self, now: TimestampMs, limit: usize) -> Result<Vec<ExecutionId>, EngineError> {
        let mut found: Vec<(TimestampMs, Key)> = Vec::new();
        for index in [&self.state.due, &self.state.lease_expiry] {
            found.extend(index.iter().take_while(|(at, _)| *at <= now).take(limit).copied());
        }
        found.sort_unstable();
        let mut seen = BTreeSet::new();
        found.retain(|(_, at)| seen.insert(*at));
        found.truncate(limit);
        Ok(found.into_iter().map(|(_, at)| self.state.id_of(&at)).collect())
    }

    fn next_due(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        let heads = [self.state.due.first(), self.state.lease_expiry.first()];
        Ok(heads.into_iter().flatten().map(|(at, _)| *at).min())
    }

    fn lane_standing(&mut self, lane: &LaneId) -> Result<LaneStanding, EngineError> {
        let has_gates = self.state.has_gates(lane);
        Ok(match self.state.lanes.get(lane) {
            None => LaneStanding { state: LaneState::Active, quota_policy_id: Ok(None), has_gates },
            Some(row) => LaneStanding {
                state: row.state,
                quota_policy_id: row.quota_policy_id.clone(),
                has_gates,
            },
        })
    }

    fn gate_keys(&mut self, lane: &LaneId, limit: usize) -> Result<Vec<String>, EngineError> {
        let keys: BTreeSet<&String> = self
            .state
            .line
            .range(first_place(lane, "")..)
            .take_while(|place| place.0 == *lane)
            .map(|place| &place.1)
            .collect();
        Ok(keys.into_iter().take(limit).cloned().collect())
    }

    fn candidates(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        Ok(self.state.in_line(&self.state.line, lane, gate_key, after, limit))
    }

    fn ended(
        &mut self,
        before: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let ended: Vec<Key> = self
            .state
            .ended
            .iter()
            .take_while(|(at, _)| *at <= before)
            .map(|(_, at)| *at)
            .collect();
        let mut found = Vec::new();
        for at in ended {
            if found.len() == limit {
                break;
            }
            let row = self.state.executions.get(&at);
            let flow = row.and_then(|row| row.flow_id.clone());
            // A member stays while anybody in its flow may still need how it ended.
            let is_kept = match flow {
                Some(flow) => {
                    let has_ended =
                        self.state.flows.flows.get(&flow.0).is_some_and(Flow::is_terminal);
                    !has_ended || self.standings(&flow)?.any_open
                }
                None => false,
            };
            if !is_kept {
                found.push(self.state.id_of(&at));
            }
        }
        Ok(found)
    }

    fn attempts(&mut self, id: &ExecutionId) -> Result<Vec<Attempt>, EngineError> {
        let at = key(id);
        Ok(self
            .state
            .attempts
            .range((at, 0)..=(at, u32::MAX))
            .map(|(_, row)| row.clone())
            .collect())
    }

    fn transitions(
        &mut self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TransitionRow>, EngineError> {
        let at = key(id);
        let from = after.map_or(0, |version| version.saturating_add(1));
        let rows = self.state.transitions.range((at, from)..=(at, u64::MAX));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn scan(
        &mut self,
        scan: &Scan,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        let lowest = (scan.partition.unwrap_or(0), Uuid::nil());
        let highest = (scan.partition.unwrap_or(u16::MAX), Uuid::max());
        let after = scan.after.as_ref().map(key);
        let range: Vec<&Execution> = if scan.descending {
            let end = after.map_or(Bound::Included(highest), Bound::Excluded);
            let rows = self.state.executions.range((Bound::Included(lowest), end));
            let fitting = rows.rev().map(|(_, row)| row).filter(|row| in_state(row, scan));
            fitting.take(limit).collect()
        } else {
            let start = after.map_or(Bound::Included(lowest), Bound::Excluded);
            let rows = self.state.executions.range((start, Bound::Included(highest)));
            rows.map(|(_, row)| row).filter(|row| in_state(row, scan)).take(limit).collect()
        };
        Ok(range.into_iter().map(|row| (row.clone(), self.current(row).cloned())).collect())
    }

    fn uuid_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let mut found: Vec<Key> = self
            .state
            .executions
            .keys()
            .filter(|(_, uuid)| (low..=high).contains(uuid))
            .copied()
            .collect();
        found.sort_by_key(|(partition, uuid)| (*uuid, *partition));
        Ok(found.iter().take(limit).map(|at| self.state.id_of(at)).collect())
    }

    fn lanes(&mut self, after: Option<&LaneId>, limit: usize) -> Result<Vec<Lane>, EngineError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let lanes = self.state.lanes.range::<LaneId, _>((start, Bound::Unbounded));
        Ok(lanes.take(limit).map(|(_, lane)| lane.clone()).collect())
    }

    fn lane_counts(&mut self, lane: &LaneId) -> Result<LaneCounts, EngineError> {
        let mut counts = LaneCounts::default();
        for execution in self.state.executions.values().filter(|row| row.lane == *lane) {
            let is_parked = budget::reopen::is_parked(execution);
            if execution.is_claimable() || is_parked {
                let count = if is_parked { &mut counts.parked } else { &mut counts.waiting };
                *count += 1;
                let oldest = counts.oldest_waiting_at.unwrap_or(execution.created_at);
                counts.oldest_waiting_at = Some(oldest.min(execution.created_at));
            } else if execution.is_leased() {
                counts.active += 1;
            } else if !execution.is_terminal()
                && execution.state.eligibility_state == EligibilityState::NotEligibleUntilTime
            {
                counts.delayed += 1;
            }
        }
        Ok(counts)
    }

    fn expired_leases(
        &mut self,
        as_of: TimestampMs,
        after: Option<(TimestampMs, &ExecutionId)>,
        namespace: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<ExpiredLease>, EngineError> {
        let mut found: Vec<ExpiredLease> = self
            .state
            .executions
            .values()
            .filter(|row| namespace.is_none_or(|namespace| *namespace == row.namespace))
            .filter(|row| row.is_active())
            .filter_map(|row| {
                let attempt = self.current(row)?;
                let live = attempt.lease_expires_at.filter(|_| row.is_leased());
                let lapsed = attempt.lease_expired_at.filter(|_| row.is_reclaimable());
                Some(ExpiredLease {
                    execution_id: row.id.clone(),
                    lease_id: attempt.lease_id.clone(),
                    epoch: attempt.epoch,
                    worker_instance_id: attempt.worker_instance_id.clone(),
                    expires_at: live.or(lapsed)?,
                    attempt_index: AttemptIndex(attempt.index.0),
                })
            })
            .filter(|lease| lease.expires_at <= as_of)
            .collect();
        let position = |at: TimestampMs, id: &ExecutionId| (at, id.to_string());
        found.sort_by_key(|lease| position(lease.expires_at, &lease.execution_id));
        if let Some((at, id)) = after {
            let last = position(at, id);
            found.retain(|lease| position(lease.expires_at, &lease.execution_id) > last);
        }
        found.truncate(limit);
        Ok(found)
    }

    fn events(
        &mut self,
        topic: Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, EngineError> {
        let rows = self.outbox(topic).rows.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(rows.take(limit).map(|(id, event)| (*id, event.clone())).collect())
    }

    fn event_bounds(&mut self, topic: Topic) -> Result<EventBounds, EngineError> {
        let outbox = self.outbox(topic);
        let oldest = outbox.rows.keys().next().copied().unwrap_or(outbox.newest + 1);
        Ok(EventBounds { oldest, newest: outbox.newest })
    }
}

impl StreamReader for MemorySession<'_> {
    fn streams_to_look_at(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(ExecutionId, AttemptIndex)>, EngineError> {
        Ok(self.state.streams.to_look_at(now, limit))
    }

    fn frames(
        &mut self,
        range: &FrameRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, EngineError> {
        Ok(self.state.streams.frames(range, limit, max_bytes))
    }
}

impl WorkerReader for MemorySession<'_> {
    fn workers(
        &mut self,
        namespace: &Namespace,
        now: TimestampMs,
        after: Option<&WorkerInstanceId>,
        limit: usize,
    ) -> Result<Vec<Registration>, EngineError> {
        Ok(self.state.workers.list(namespace, now, after, limit))
    }

    fn lapsed_workers(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(Namespace, WorkerInstanceId)>, EngineError> {
        Ok(self.state.workers.lapsed(now, limit))
    }

    fn next_worker_lapse(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        Ok(self.state.workers.next_lapse())
    }

    fn registry_events(&mut self, limit: usize) -> Result<Vec<RegistryEvent>, EngineError> {
        Ok(self.state.workers.events(limit))
    }

    fn announcements(
        &mut self,
        namespace: &Namespace,
        limit: usize,
    ) -> Result<Vec<RegistryEvent>, EngineError> {
        Ok(self.state.workers.announcements(namespace, limit))
    }

    fn leases_held(
        &mut self,
        now: TimestampMs,
    ) -> Result<Vec<(WorkerInstanceId, u64)>, EngineError> {
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        for execution in self.state.executions.values().filter(|row| row.is_leased()) {
            let attempt = self.current(execution);
            let live =
                attempt.filter(|attempt| attempt.lease_expires_at.is_some_and(|at| at > now));
            if let Some(instance) = live.and_then(|attempt| attempt.worker_instance_id.as_ref()) {
                *held.entry(instance.as_str().to_owned()).or_default() += 1;
            }
        }
        Ok(held.into_iter().map(|(id, count)| (WorkerInstanceId::new(id), count)).collect())
    }
}

impl Session for MemorySession<'_> {
    fn commit<T>(&mut self, transition: &Transition<T>, _: TimestampMs) -> Result<(), EngineError> {
        for change in &transition.changes {
            self.touched.extend(StreamKey::touched_by(change));
            self.state.apply(change);
        }
        for event in &transition.events {
            self.state.announce(event);
        }
        Ok(())
    }

    fn trim(
        &mut self,
        now: TimestampMs,
        events_before: TimestampMs,
        limit: usize,
    ) -> Result<usize, EngineError> {
        let mut trimmed = 0;
        let state = &mut *self.state;
        for outbox in [
            &mut state.lease_events,
            &mut state.completions,
            &mut state.operator_events,
            &mut state.signal_events,
        ] {
            let is_owed = |id: &i64, event: &Event| {
                matches!(event, Event::Completion(_)) && state.flows.undispatched.contains(id)
            };
            let old: Vec<i64> = outbox
                .rows
                .iter()
                .take(limit)
                .filter(|(id, event)| at(event) < events_before && !is_owed(id, event))
                .map(|(id, _)| *id)
                .collect();
            trimmed += old.len();
            for id in old {
                outbox.rows.remove(&id);
            }
        }
        trimmed += state.flows.trim(events_before, limit);
        let keys: Vec<_> = state
            .dedup
            .iter()
            .filter(|(_, dedup)| dedup.expires_at <= now)
            .take(limit)
            .map(|(at, _)| at.clone())
            .collect();
        let grants: Vec<_> = state
            .grants
            .values()
            .filter(|grant| grant.expires_at < now)
            .take(limit)
            .map(|grant| grant.grant_id)
            .collect();
        trimmed += state.suspensions.trim(now, events_before, limit);
        trimmed += keys.len()
            + grants.len()
            + state.streams.trim_expired(now, limit)
            + state.workers.trim(now, events_before, limit);
        for at in keys {
            state.dedup.remove(&at);
        }
        for id in grants {
            state.grants.remove(&id);
        }
        trimmed += state.budgets.trim(now, budget::entries_before(now), limit);
        Ok(trimmed)
    }
}

fn in_state(row: &Execution, scan: &Scan) -> bool {
    scan.state.is_none_or(|state| state == row.public_state())
}

fn at(event: &Event) -> TimestampMs {
    match event {
        Event::Lease(event) => event.at,
        Event::Completion(event) => event.at,
        Event::Operator(event) => event.at,
        Event::Signal(event) => event.at,
        Event::Transition(row) => row.at,
        Event::FlowCancelRequested(event) => event.at,
    }
}
