//! The maps of waiting: suspensions, waitpoints, signals and keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ff_core::EngineError;
use ff_core::machine::Footprint;
use ff_core::machine::rows::Execution;
use ff_core::machine::suspension::condition::Counted;
use ff_core::machine::suspension::{
    Closed, Observed, Observing, Probe, Seen, Signal, SignalDedup, SignalTally, SigningKey,
    SuspendDedup, Suspension, Waitpoint, WaitpointState, Write,
};
use ff_core::state::LifecyclePhase;
use ff_core::store::SuspensionReader;
use ff_core::types::{ExecutionId, TimestampMs, WaitpointId};
use uuid::Uuid;

use crate::session::MemorySession;
use crate::state::{Key, key};

/// What stands for the tables of waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspensions {
    suspensions: BTreeMap<Key, Suspension>,
    open: BTreeMap<Key, Waitpoint>,
    closed: BTreeMap<Key, Waitpoint>,
    signals: BTreeMap<(Key, u64), Signal>,
    counted: BTreeSet<(Key, Counted)>,
    observed: BTreeMap<Key, Observed>,
    signal_dedup: BTreeMap<(Key, String), SignalDedup>,
    suspend_dedup: BTreeMap<(Key, String), SuspendDedup>,
    keys: BTreeMap<String, SigningKey>,
}

/// A waitpoint is addressed within the partition of its execution.
fn at(execution: &ExecutionId, id: &WaitpointId) -> Key {
    (execution.partition(), id.0)
}

impl Suspensions {
    /// When the open suspension of an execution times out.
    pub(crate) fn timeout_at(&self, at: &Key) -> Option<TimestampMs> {
        self.suspensions.get(at).filter(|row| row.is_open())?.timeout_at
    }

    /// The execution whose entry in the due index a write moves.
    pub(crate) fn moves_due(write: &Write) -> Option<&ExecutionId> {
        match write {
            Write::BeginSuspension(row) | Write::PutSuspension(row) => Some(&row.execution_id),
            Write::DropSuspension { execution_id } | Write::End { execution_id, .. } => {
                Some(execution_id)
            }
            Write::PutKey(_)
            | Write::DropKey { .. }
            | Write::PutWaitpoint(_)
            | Write::CloseWaitpoint(_)
            | Write::CloseWaitpoints { .. }
            | Write::KeepWaitpointsOpen { .. }
            | Write::AddSignal(_)
            | Write::AdoptSignals { .. }
            | Write::RememberSignal(_)
            | Write::Count { .. }
            | Write::Observe(_)
            | Write::PutDedup(_) => None,
        }
    }

    pub(crate) fn apply(&mut self, write: &Write) {
        match write {
            Write::PutKey(row) => {
                self.keys.insert(row.kid.clone(), row.clone());
            }
            Write::DropKey { kid } => {
                self.keys.remove(kid);
            }
            Write::PutWaitpoint(row) => {
                self.open.insert(at(&row.execution_id, &row.id), (**row).clone());
            }
            Write::CloseWaitpoint(row) => self.close((**row).clone()),
            Write::CloseWaitpoints { execution_id, suspension_id, at, reason } => {
                self.close_where(*at, reason, |row| {
                    row.execution_id == *execution_id
                        && row.suspension_id.as_ref() == Some(suspension_id)
                });
            }
            Write::KeepWaitpointsOpen { execution_id, suspension_id } => {
                for row in self.open.values_mut() {
                    if row.execution_id == *execution_id
                        && row.suspension_id.as_ref() == Some(suspension_id)
                    {
                        row.expires_at = None;
                    }
                }
            }
            Write::BeginSuspension(row) => {
                let of = key(&row.execution_id);
                self.counted.retain(|(execution, _)| *execution != of);
                self.suspensions.insert(of, (**row).clone());
            }
            Write::PutSuspension(row) => {
                self.suspensions.insert(key(&row.execution_id), (**row).clone());
            }
            Write::DropSuspension { execution_id } => {
                self.suspensions.remove(&key(execution_id));
            }
            Write::AddSignal(row) => {
                let known = self.signals.insert((key(&row.execution_id), row.seq), (**row).clone());
                assert!(known.is_none(), "a signal is stored once");
            }
            Write::AdoptSignals { execution_id, waitpoint_id, suspension_id } => {
                let of = key(execution_id);
                for (_, row) in self.signals.range_mut((of, 0)..=(of, u64::MAX)) {
                    if row.waitpoint_id.as_ref() == Some(waitpoint_id)
                        && row.suspension_id.is_none()
                    {
                        row.suspension_id = Some(suspension_id.clone());
                    }
                }
            }
            Write::RememberSignal(row) => {
                let of = at(&row.execution_id, &row.waitpoint_id);
                self.signal_dedup.insert((of, row.key.clone()), row.clone());
            }
            Write::Count { execution_id, counted } => {
                self.counted.insert((key(execution_id), counted.clone()));
            }
            Write::Observe(row) => {
                self.observed.insert(key(&row.execution_id), row.clone());
            }
            Write::PutDedup(row) => {
                self.suspend_dedup
                    .insert((key(&row.execution_id), row.key.clone()), (**row).clone());
            }
            Write::End { execution_id, at, reason } => {
                if let Some(row) = self.suspensions.get_mut(&key(execution_id))
                    && row.is_open()
                {
                    row.version += 1;
                    row.closed = Some(Closed { at: *at, reason: reason.clone() });
                }
                self.close_where(*at, reason, |row| row.execution_id == *execution_id);
            }
        }
    }

    fn close(&mut self, row: Waitpoint) {
        let of = at(&row.execution_id, &row.id);
        self.open.remove(&of);
        let known = self.closed.insert(of, row);
        assert!(known.is_none(), "a waitpoint ends once");
    }

    fn close_where(&mut self, at: TimestampMs, reason: &str, which: impl Fn(&Waitpoint) -> bool) {
        let ended: Vec<Waitpoint> = self.open.values().filter(|row| which(row)).cloned().collect();
        for row in ended {
            self.close(row.ended(reason, at));
        }
    }

    pub(crate) fn forget(&mut self, of: Key) {
        self.suspensions.remove(&of);
        self.open.retain(|_, row| key(&row.execution_id) != of);
        self.closed.retain(|_, row| key(&row.execution_id) != of);
        self.signals.retain(|(execution, _), _| *execution != of);
        self.counted.retain(|(execution, _)| *execution != of);
        self.observed.remove(&of);
        self.signal_dedup.retain(|_, row| key(&row.execution_id) != of);
        self.suspend_dedup.retain(|(execution, _), _| *execution != of);
    }

    /// Removes what is out of date, at most `limit` rows of each kind.
    pub(crate) fn trim(
        &mut self,
        now: TimestampMs,
        closed_before: TimestampMs,
        limit: usize,
    ) -> usize {
        let closed: Vec<Key> = self
            .closed
            .iter()
            .filter(|(_, row)| row.closed.as_ref().is_some_and(|end| end.at < closed_before))
            .map(|(of, _)| *of)
            .take(limit)
            .collect();
        let signals: Vec<(Key, String)> = self
            .signal_dedup
            .iter()
            .filter(|(_, row)| row.expires_at <= now)
            .map(|(of, _)| of.clone())
            .take(limit)
            .collect();
        let suspends: Vec<(Key, String)> = self
            .suspend_dedup
            .iter()
            .filter(|(_, row)| row.expires_at <= now)
            .map(|(of, _)| of.clone())
            .take(limit)
            .collect();
        for of in &closed {
            self.closed.remove(of);
        }
        for of in &signals {
            self.signal_dedup.remove(of);
        }
        for of in &suspends {
            self.suspend_dedup.remove(of);
        }
        closed.len() + signals.len() + suspends.len()
    }

    pub(crate) fn load(&self, footprint: &Footprint, execution: Option<&Execution>) -> Seen {
        let wanted = &footprint.suspension;
        let mut seen = Seen::default();
        if wanted.keys {
            seen.keys = self.keys.values().cloned().collect();
        }
        let Some(id) = &footprint.execution else { return seen };
        let of = key(id);
        let is_suspended =
            execution.is_some_and(|row| row.state.lifecycle_phase == LifecyclePhase::Suspended);
        if wanted.suspension || is_suspended {
            seen.suspension = self.suspensions.get(&of).cloned();
            seen.tally = self.tally(of);
        }
        if wanted.open {
            let open = self.open.values().filter(|row| row.execution_id == *id);
            seen.waitpoints.extend(open.cloned());
        }
        for wanted in &wanted.waitpoints {
            let place = at(id, wanted);
            let found = self.open.get(&place).or_else(|| self.closed.get(&place));
            if let Some(row) = found.filter(|_| seen.waitpoint(wanted).is_none()) {
                seen.waitpoints.push(row.clone());
            }
        }
        if let Some(waitpoint) = &wanted.buffered {
            seen.buffered = self
                .of(of)
                .filter(|row| {
                    row.waitpoint_id.as_ref() == Some(waitpoint) && row.suspension_id.is_none()
                })
                .map(Signal::head)
                .collect();
        }
        if let Some(text) = &wanted.dedup {
            seen.dedup = self.suspend_dedup.get(&(of, text.clone())).cloned();
        }
        if let Some(probe) = &wanted.signal {
            self.probe(id, probe, &mut seen);
        }
        let is_observed = match wanted.observed {
            Observing::No => false,
            Observing::IfInterrupted => execution.is_some_and(Execution::is_interrupted),
            Observing::Yes => true,
        };
        if let Some(execution) = execution.filter(|_| is_observed) {
            seen.observed = self.observed(execution);
        }
        seen
    }

    fn of(&self, of: Key) -> impl Iterator<Item = &Signal> {
        self.signals.range((of, 0)..=(of, u64::MAX)).map(|(_, row)| row)
    }

    fn tally(&self, of: Key) -> SignalTally {
        let newest = self.signals.range((of, 0)..=(of, u64::MAX)).next_back();
        newest.map_or_else(SignalTally::default, |(_, row)| SignalTally {
            count: row.seq,
            bytes: row.bytes_so_far,
        })
    }

    fn probe(&self, id: &ExecutionId, probe: &Probe, seen: &mut Seen) {
        let of = key(id);
        let same = |row: &&Signal| {
            row.waitpoint_id.as_ref() == Some(&probe.waitpoint_id)
                && Some(&row.signal_id) == probe.signal_id.as_ref()
        };
        seen.known_signal = self.of(of).find(same).map(|row| row.signal_id.clone());
        if seen.known_signal.is_none()
            && let Some(text) = &probe.key
            && let Some(row) = self.signal_dedup.get(&(at(id, &probe.waitpoint_id), text.clone()))
        {
            seen.known_signal = Some(row.signal_id.clone());
            seen.known_until = Some(row.expires_at);
        }
        let counted = self.counted.iter().filter(|(execution, counted)| {
            *execution == of && probe.things.contains(&counted.thing)
        });
        seen.counted = counted.map(|(_, counted)| counted.clone()).collect();
    }

    fn observed(&self, execution: &Execution) -> Vec<Signal> {
        let of = key(&execution.id);
        let Some(observed) =
            self.observed.get(&of).filter(|row| row.attempt_index == execution.attempt_index)
        else {
            return Vec::new();
        };
        let mut signals: Vec<Signal> = self
            .of(of)
            .filter(|row| row.suspension_id.as_ref() == Some(&observed.suspension_id))
            .cloned()
            .collect();
        signals.sort_by(|one, other| {
            (&one.waitpoint_key, one.seq).cmp(&(&other.waitpoint_key, other.seq))
        });
        signals
    }
}

impl SuspensionReader for MemorySession<'_> {
    fn open_suspensions(
        &mut self,
        partition: Option<u16>,
        after: Option<&ExecutionId>,
        limit: usize,
    ) -> Result<Vec<Suspension>, EngineError> {
        let state = self.state();
        let lowest = (partition.unwrap_or(0), Uuid::nil());
        let highest = (partition.unwrap_or(u16::MAX), Uuid::max());
        let start = match after.map(key) {
            Some(after) if after >= lowest => Bound::Excluded(after),
            Some(_) | None => Bound::Included(lowest),
        };
        if after.is_some_and(|after| key(after) > highest) {
            return Ok(Vec::new());
        }
        let is_suspended = |of: &Key| {
            let execution = state.executions.get(of);
            execution.is_some_and(|row| row.state.lifecycle_phase == LifecyclePhase::Suspended)
        };
        Ok(state
            .suspensions
            .suspensions
            .range((start, Bound::Included(highest)))
            .filter(|(of, row)| row.is_open() && is_suspended(of))
            .take(limit)
            .map(|(_, row)| row.clone())
            .collect())
    }

    fn open_waitpoints(
        &mut self,
        execution: &ExecutionId,
        after: Option<&WaitpointId>,
        limit: usize,
    ) -> Result<Vec<Waitpoint>, EngineError> {
        let open = self.state().suspensions.open.values().filter(|row| {
            row.execution_id == *execution && after.is_none_or(|after| row.id.0 > after.0)
        });
        Ok(open.take(limit).cloned().collect())
    }

    fn open_waitpoint(
        &mut self,
        partition: u16,
        id: &WaitpointId,
    ) -> Result<Option<Waitpoint>, EngineError> {
        Ok(self.state().suspensions.open.get(&(partition, id.0)).cloned())
    }

    fn expired_waitpoints(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let state = self.state();
        let mut ended: Vec<(TimestampMs, Key, &ExecutionId)> = state
            .suspensions
            .open
            .values()
            .filter(|row| {
                row.state == WaitpointState::Pending
                    && state.executions.contains_key(&key(&row.execution_id))
            })
            .filter_map(|row| Some((row.expires_at?, key(&row.execution_id), &row.execution_id)))
            .filter(|(at, ..)| *at <= now)
            .collect();
        ended.sort_unstable_by_key(|(at, of, _)| (*at, *of));
        Ok(ended.into_iter().take(limit).map(|(.., id)| id.clone()).collect())
    }
}
