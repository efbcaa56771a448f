//! Budgets, quotas, and what waits behind them.

use std::collections::{BTreeMap, BTreeSet};

use ff_core::EngineError;
use ff_core::contracts::{BudgetOverage, QuotaHolder};
use ff_core::machine::budget::{
    AT_ONCE, Budget, BudgetPolicy, GateKey, Gates, LaneQuota, NEVER, Overage, Quota, QuotaPolicy,
    QuotaRule, Seen, Wanted, Write, reopen, unreadable,
};
use ff_core::machine::rows::{Candidate, Execution};
use ff_core::store::BudgetReader;
use ff_core::types::{BudgetId, DurationMs, LaneId, LeaseEpoch, QuotaPolicyId, TimestampMs};

use crate::session::MemorySession;
use crate::state::{Key, State, first_place, key};

/// When a gate is looked at, by claims and by sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GateTimes {
    look_at: TimestampMs,
    sweep_at: TimestampMs,
}

/// What an execution was charged in one dimension.
#[derive(Debug, Clone, Copy)]
struct Charge {
    period: u64,
    total: u64,
}

/// Entries of a window: when, who, under which lease (0 for a reservation).
type Window = BTreeSet<(TimestampMs, Key, u64)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Budgets {
    policies: BTreeMap<BudgetId, BudgetPolicy>,
    usage: BTreeMap<BudgetId, BTreeMap<String, u64>>,
    charges: BTreeMap<(BudgetId, Key), BTreeMap<String, Charge>>,
    reports: BTreeMap<(BudgetId, String), TimestampMs>,
    overages: BTreeMap<u64, Overage>,
    last_overage: u64,
    quotas: BTreeMap<QuotaPolicyId, QuotaPolicy>,
    /// The lease that takes a slot, by its epoch.
    slots: BTreeMap<(QuotaPolicyId, Key), LeaseEpoch>,
    reservations: BTreeMap<(QuotaPolicyId, Key), TimestampMs>,
    windows: BTreeMap<QuotaPolicyId, Window>,
    parked: BTreeMap<Key, (LaneId, GateKey)>,
    gates: BTreeMap<(LaneId, String), GateTimes>,
}

impl Budgets {
    pub(crate) fn forget(&mut self, at: Key) {
        self.slots.retain(|(_, execution), _| *execution != at);
        self.parked.remove(&at);
    }

    fn wake(&mut self, gates: &[GateKey]) {
        let texts: Vec<String> = gates.iter().map(ToString::to_string).collect();
        for ((_, gate), times) in &mut self.gates {
            if texts.contains(gate) {
                *times = GateTimes { look_at: AT_ONCE, sweep_at: AT_ONCE };
            }
        }
    }

    /// Whether any quota has a reservation of an execution.
    pub(crate) fn has_reservation(&self, at: Key) -> bool {
        self.reservations.keys().any(|(_, execution)| *execution == at)
    }

    fn wake_quota(&mut self, id: &QuotaPolicyId) {
        self.wake(&[GateKey::Quota(id.clone()), GateKey::LaneQuota(id.clone())]);
    }

    fn enter(&mut self, id: &QuotaPolicyId, entry: (TimestampMs, Key, u64), start: TimestampMs) {
        let window = self.windows.entry(id.clone()).or_default();
        window.retain(|(at, _, _)| *at > start);
        window.insert(entry);
    }

    fn add_overage(&mut self, overage: &Overage) {
        let same = self.overages.values_mut().find(|row| {
            row.budget_id == overage.budget_id
                && row.period == overage.period
                && row.execution_id == overage.execution_id
                && row.dimension == overage.dimension
                && row.key == overage.key
        });
        match same {
            Some(row) => {
                let before = if overage.key.is_empty() { row.amount } else { 0 };
                *row = Overage { amount: before.saturating_add(overage.amount), ..overage.clone() };
            }
            None => {
                self.last_overage += 1;
                self.overages.insert(self.last_overage, overage.clone());
            }
        }
    }

    /// Removes what time alone has made worthless.
    pub(crate) fn trim(
        &mut self,
        now: TimestampMs,
        entries_before: TimestampMs,
        limit: usize,
    ) -> usize {
        let reports: Vec<_> = self
            .reports
            .iter()
            .filter(|(_, until)| **until <= now)
            .take(limit)
            .map(|(at, _)| at.clone())
            .collect();
        let reservations: Vec<_> = self
            .reservations
            .iter()
            .filter(|(_, until)| **until <= now)
            .take(limit)
            .map(|(at, _)| at.clone())
            .collect();
        let entries: Vec<_> = self
            .windows
            .iter()
            .flat_map(|(id, window)| window.iter().map(move |entry| (id.clone(), *entry)))
            .filter(|(_, (at, _, _))| *at <= entries_before)
            .take(limit)
            .collect();
        let old_charges: Vec<_> = self
            .charges
            .iter()
            .flat_map(|(at, charges)| charges.iter().map(move |(name, charge)| (at, name, charge)))
            .filter(|((id, _), _, charge)| {
                self.policies.get(id).is_some_and(|policy| charge.period < policy.period)
            })
            .take(limit)
            .map(|(at, name, _)| (at.clone(), name.clone()))
            .collect();
        for (at, name) in &old_charges {
            if let Some(charges) = self.charges.get_mut(at) {
                charges.remove(name);
            }
        }
        self.charges.retain(|_, charges| !charges.is_empty());
        for at in &reports {
            self.reports.remove(at);
        }
        for at in &reservations {
            self.reservations.remove(at);
        }
        for (id, entry) in &entries {
            self.windows.entry(id.clone()).or_default().remove(entry);
        }
        reports.len() + reservations.len() + entries.len() + old_charges.len()
    }
}

impl State {
    pub(crate) fn apply_budget(&mut self, write: &Write) {
        let budgets = &mut self.budgets;
        match write {
            Write::PutBudget(policy) => {
                budgets.policies.insert(policy.id.clone(), (**policy).clone());
            }
            Write::AddUsage { budget_id, dimension, delta, limit, .. } => {
                let usage = budgets.usage.entry(budget_id.clone()).or_default();
                let value = usage.entry(dimension.clone()).or_default();
                *value += delta;
                assert!(limit.is_none_or(|limit| *value <= limit), "decided on the stored usage");
            }
            Write::ResetUsage { budget_id, .. } => {
                for value in budgets.usage.entry(budget_id.clone()).or_default().values_mut() {
                    *value = 0;
                }
            }
            Write::TakeUsage { budget_id, dimension, amount, .. } => {
                let usage = budgets.usage.entry(budget_id.clone()).or_default();
                if let Some(value) = usage.get_mut(dimension) {
                    *value = value.saturating_sub(*amount);
                }
            }
            Write::Charge { budget_id, execution_id, dimension, delta, period, .. } => {
                let at = (budget_id.clone(), key(execution_id));
                let charge = budgets
                    .charges
                    .entry(at)
                    .or_default()
                    .entry(dimension.clone())
                    .or_insert(Charge { period: *period, total: 0 });
                let before = if charge.period == *period { charge.total } else { 0 };
                *charge = Charge { period: *period, total: before + delta };
            }
            Write::DropCharges { budget_id, execution_id } => {
                budgets.charges.remove(&(budget_id.clone(), key(execution_id)));
            }
            Write::CountBreach { budget_id, dimension, is_hard, at } => {
                if let Some(policy) = budgets.policies.get_mut(budget_id) {
                    if *is_hard {
                        policy.breach_count += 1;
                        policy.last_breach_at = Some(*at);
                        policy.last_breach_dim = Some(dimension.clone());
                    } else {
                        policy.soft_breach_count += 1;
                    }
                    policy.updated_at = *at;
                }
            }
            Write::Remember { budget_id, key, expires_at, .. } => {
                budgets.reports.insert((budget_id.clone(), key.clone()), *expires_at);
            }
            Write::AddOverage(overage) => budgets.add_overage(overage),
            Write::DropOverage { budget_id, key } => {
                budgets.overages.retain(|_, row| row.budget_id != *budget_id || row.key != *key);
            }
            Write::PutQuota(policy) => {
                budgets.quotas.insert(policy.id.clone(), policy.clone());
            }
            Write::BindLane { lane, quota_policy_id, at } => {
                self.lanes
                    .entry(lane.clone())
                    .or_insert_with(|| crate::state::new_lane(lane, *at))
                    .quota_policy_id = Ok(quota_policy_id.clone());
            }
            Write::BindExecution { execution_id, quota_policy_id } => {
                if let Some(execution) = self.executions.get_mut(&key(execution_id)) {
                    execution.quota_policy_id.clone_from(quota_policy_id);
                }
            }
            Write::Admit { quota_policy_id, execution_id, epoch, is_entry, window_start, at } => {
                let slot = (quota_policy_id.clone(), key(execution_id));
                budgets.reservations.remove(&slot);
                budgets.slots.insert(slot, *epoch);
                if *is_entry {
                    let entry = (*at, key(execution_id), epoch.0);
                    budgets.enter(quota_policy_id, entry, *window_start);
                }
            }
            Write::FreeSlots { execution_id } => {
                let at = key(execution_id);
                let freed: Vec<QuotaPolicyId> = budgets
                    .slots
                    .keys()
                    .filter(|(_, execution)| *execution == at)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in freed {
                    budgets.slots.remove(&(id.clone(), at));
                    budgets.wake_quota(&id);
                }
            }
            Write::FreeReservations { execution_id } => {
                let at = key(execution_id);
                let freed: Vec<QuotaPolicyId> = budgets
                    .reservations
                    .keys()
                    .filter(|(_, execution)| *execution == at)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in freed {
                    budgets.reservations.remove(&(id.clone(), at));
                    budgets.wake_quota(&id);
                }
            }
            Write::Reserve {
                quota_policy_id,
                execution_id,
                at,
                expires_at,
                window_start,
                active,
            } => {
                let reserved = (quota_policy_id.clone(), key(execution_id));
                budgets.reservations.insert(reserved, *expires_at);
                budgets.enter(quota_policy_id, (*at, key(execution_id), 0), *window_start);
                if let (Some(active), Some(policy)) =
                    (active, budgets.quotas.get_mut(quota_policy_id))
                {
                    policy.active = *active;
                    policy.updated_at = *at;
                }
                self.mark_reserved(key(execution_id));
            }
            Write::DropReservation { quota_policy_id, execution_id, active, at } => {
                budgets.reservations.remove(&(quota_policy_id.clone(), key(execution_id)));
                if let Some(policy) = budgets.quotas.get_mut(quota_policy_id) {
                    policy.active = *active;
                    policy.updated_at = *at;
                }
            }
            Write::Park { execution_id, lane, gate, look_at } => {
                budgets.parked.insert(key(execution_id), (lane.clone(), gate.clone()));
                let times = GateTimes { look_at: *look_at, sweep_at: *look_at };
                budgets.gates.insert((lane.clone(), gate.to_string()), times);
            }
            Write::PutGate { lane, gate, look_at, sweep_at } => {
                if let Some(times) = budgets.gates.get_mut(&(lane.clone(), gate.to_string())) {
                    *times = GateTimes { look_at: *look_at, sweep_at: *sweep_at };
                }
            }
            Write::DropGate { lane, gate } => {
                budgets.gates.remove(&(lane.clone(), gate.to_string()));
            }
            Write::WakeBudget { budget_id } => {
                budgets.wake(&[GateKey::Budget(budget_id.clone())]);
            }
            Write::WakeQuota { quota_policy_id } => budgets.wake_quota(quota_policy_id),
        }
    }

    pub(crate) fn load_budget(
        &self,
        wanted: &Wanted,
        execution: Option<&Execution>,
    ) -> Result<Seen, EngineError> {
        let mut seen = Seen::default();
        if let Some(id) = &wanted.budget {
            seen.budget = Some(Ok(self.budget(id)));
            let period = self.budgets.policies.get(id).map_or(0, |policy| policy.period);
            if let Some(report) = &wanted.report_key {
                seen.reported_until =
                    self.budgets.reports.get(&(id.clone(), report.clone())).copied();
                seen.has_overage = self
                    .budgets
                    .overages
                    .values()
                    .any(|row| row.budget_id == *id && row.key == *report);
            }
            if let Some(execution_id) = &wanted.charges_of {
                let charges = self.budgets.charges.get(&(id.clone(), key(execution_id)));
                seen.charges = charges
                    .into_iter()
                    .flatten()
                    .filter(|(_, charge)| charge.period == period)
                    .map(|(dimension, charge)| (dimension.clone(), charge.total))
                    .collect();
            }
        }
        if let Some((id, of, rule)) = &wanted.quota {
            let of = of.as_ref().map(key);
            seen.quota = Some(Ok(self.quota(id, of, *rule, wanted.at)));
        }
        if let (Some(lane_quota), Some(execution)) = (&wanted.gates, execution) {
            seen.gates = self.gates(lane_quota, execution, wanted.at)?;
        }
        Ok(seen)
    }

    fn gates(
        &self,
        lane_quota: &LaneQuota,
        execution: &Execution,
        at: TimestampMs,
    ) -> Result<Gates, EngineError> {
        let mut ids: Vec<BudgetId> = Vec::new();
        for id in execution.policy.iter().flat_map(|policy| &policy.budget_ids) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let budgets = ids.into_iter().map(|id| (id.clone(), Ok(self.budget(&id)))).collect();
        let quota = |id: &QuotaPolicyId| {
            (id.clone(), Ok(self.quota(id, Some(key(&execution.id)), None, at)))
        };
        let lane = match lane_quota {
            LaneQuota::Known(id) => id.clone(),
            LaneQuota::Follow => match self.lanes.get(&execution.lane) {
                None => None,
                Some(lane) => lane.quota_policy_id.clone().map_err(|detail| unreadable(&detail))?,
            },
        };
        Ok(Gates {
            budgets,
            own: execution.quota_policy_id.as_ref().map(quota),
            lane: lane.as_ref().map(quota),
        })
    }

    fn budget(&self, id: &BudgetId) -> Budget {
        let policy = self.budgets.policies.get(id).cloned();
        let period = policy.as_ref().map_or(0, |policy| policy.period);
        let mut overage: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.budgets.overages.values() {
            if row.budget_id == *id && row.period == period {
                let total = overage.entry(row.dimension.clone()).or_default();
                *total = total.saturating_add(row.amount);
            }
        }
        let usage = self.budgets.usage.get(id).cloned().unwrap_or_default();
        Budget { id: id.clone(), policy, usage, overage }
    }

    /// Whether the lease of this epoch lives.
    fn is_live(&self, at: Key, epoch: LeaseEpoch, now: TimestampMs) -> bool {
        self.executions.get(&at).is_some_and(|execution| {
            execution.is_leased()
                && execution.epoch == epoch
                && self
                    .attempts
                    .get(&(at, execution.attempt_index.0))
                    .is_some_and(|attempt| attempt.lease_expires_at.is_none_or(|end| end > now))
        })
    }

    /// Live leases of a quota, in the order of their execution ids.
    fn holders(&self, id: &QuotaPolicyId, now: TimestampMs) -> Vec<Key> {
        let slots = self.budgets.slots.range((id.clone(), (0, uuid::Uuid::nil()))..);
        slots
            .take_while(|((quota, _), _)| quota == id)
            .filter(|((_, at), epoch)| self.is_live(*at, **epoch, now))
            .map(|((_, at), _)| *at)
            .collect()
    }

    fn quota(
        &self,
        id: &QuotaPolicyId,
        of: Option<Key>,
        rule: Option<QuotaRule>,
        now: TimestampMs,
    ) -> Quota {
        let policy = self.budgets.quotas.get(id).cloned();
        let none = QuotaRule { window: DurationMs(0), rate: 0, concurrency: 0 };
        let rule = rule.or_else(|| policy.as_ref().map(QuotaRule::of)).unwrap_or(none);
        let mut occupants: BTreeSet<Key> = self.holders(id, now).into_iter().collect();
        let mut next_reservation_end = None;
        let mut reserved_until = None;
        let reservations = self.budgets.reservations.range((id.clone(), (0, uuid::Uuid::nil()))..);
        for ((_, at), until) in reservations.take_while(|((quota, _), _)| quota == id) {
            if *until <= now {
                continue;
            }
            if Some(*at) == of {
                reserved_until = Some(*until);
                continue;
            }
            if !self.executions.get(at).is_some_and(Execution::is_terminal) {
                next_reservation_end = Some(
                    next_reservation_end.map_or(*until, |first: TimestampMs| first.min(*until)),
                );
                occupants.insert(*at);
            }
        }
        if let Some(own) = of {
            occupants.remove(&own);
        }
        let start = rule.window_start(now);
        let entries: Vec<TimestampMs> = self
            .budgets
            .windows
            .get(id)
            .into_iter()
            .flatten()
            .map(|(at, _, _)| *at)
            .filter(|at| *at > start)
            .collect();
        let rate = usize::try_from(rule.rate).unwrap_or(usize::MAX);
        let blocking = entries.len().checked_sub(rate).filter(|_| rate > 0);
        Quota {
            id: id.clone(),
            policy,
            rule,
            occupied: occupants.len() as u64,
            reserved_until,
            next_reservation_end,
            in_window: entries.len() as u64,
            blocking_entry: blocking.and_then(|at| entries.get(at)).copied(),
        }
    }

    fn is_parked_at(&self, at: &Key) -> Option<&Execution> {
        self.executions.get(at).filter(|execution| reopen::is_parked(execution))
    }

    pub(crate) fn has_gates(&self, lane: &LaneId) -> bool {
        self.budgets.gates.keys().any(|(of, _)| of == lane)
    }

    /// Gates by (instant, lane, text), those that time brings about.
    fn gate_times(
        &self,
        time: impl Fn(&GateTimes) -> TimestampMs,
    ) -> Vec<(TimestampMs, LaneId, String)> {
        let mut found: Vec<_> = self
            .budgets
            .gates
            .iter()
            .map(|((lane, gate), times)| (time(times), lane.clone(), gate.clone()))
            .filter(|(at, _, _)| *at != NEVER)
            .collect();
        found.sort();
        found
    }
}

impl BudgetReader for MemorySession<'_> {
    fn gates_to_look_at(
        &mut self,
        lane: &LaneId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<GateKey>, EngineError> {
        Ok(self
            .state()
            .gate_times(|times| times.look_at)
            .into_iter()
            .filter(|(at, of, _)| *at <= now && of == lane)
            .take(limit)
            .filter_map(|(_, _, gate)| GateKey::from_wire(&gate))
            .collect())
    }

    fn gate_look_at(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
    ) -> Result<Option<TimestampMs>, EngineError> {
        let at = (lane.clone(), gate.to_string());
        Ok(self.state().budgets.gates.get(&at).map(|times| times.look_at))
    }

    fn has_reserved(&mut self, lane: &LaneId) -> Result<bool, EngineError> {
        let mut from = self.state().reserved.range(first_place(lane, "")..);
        Ok(from.next().is_some_and(|place| place.0 == *lane))
    }

    fn reserved(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        let state = self.state();
        Ok(state.in_line(&state.reserved, lane, gate_key, after, limit))
    }

    fn next_look(&mut self, lane: &LaneId) -> Result<Option<TimestampMs>, EngineError> {
        let times = self.state().gate_times(|times| times.look_at);
        Ok(times.into_iter().find(|(_, of, _)| of == lane).map(|(at, _, _)| at))
    }

    fn gates_to_sweep(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(LaneId, GateKey)>, EngineError> {
        let times = self.state().gate_times(|times| times.sweep_at);
        Ok(times
            .into_iter()
            .take_while(|(at, _, _)| *at <= now)
            .take(limit)
            .filter_map(|(_, lane, gate)| Some((lane, GateKey::from_wire(&gate)?)))
            .collect())
    }

    fn next_gate_sweep(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        Ok(self.state().gate_times(|times| times.sweep_at).first().map(|(at, _, _)| *at))
    }

    fn parked(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        let state = self.state();
        let mut found: Vec<Candidate> = state
            .budgets
            .parked
            .iter()
            .filter(|(_, behind)| behind.0 == *lane && behind.1 == *gate)
            .filter_map(|(at, _)| state.is_parked_at(at))
            .map(|execution| Candidate {
                execution_id: execution.id.clone(),
                priority: execution.priority,
                created_at: execution.created_at,
            })
            .filter(|candidate| after.is_none_or(|last| candidate.order() > last.order()))
            .collect();
        found.sort_by_key(Candidate::order);
        found.truncate(limit);
        Ok(found)
    }

    fn count_parked(&mut self, gate: &GateKey) -> Result<u64, EngineError> {
        let state = self.state();
        let behind = state.budgets.parked.iter().filter(|(_, behind)| behind.1 == *gate);
        Ok(behind.filter(|(at, _)| state.is_parked_at(at).is_some()).count() as u64)
    }

    fn budgets_due(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<BudgetId>, EngineError> {
        let mut due: Vec<(TimestampMs, &BudgetId)> = self
            .state()
            .budgets
            .policies
            .values()
            .filter_map(|policy| Some((policy.next_reset_at.filter(|at| *at <= now)?, &policy.id)))
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit).map(|(_, id)| id.clone()).collect())
    }

    fn next_reset(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        Ok(self.state().budgets.policies.values().filter_map(|policy| policy.next_reset_at).min())
    }

    fn budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: usize,
    ) -> Result<Vec<BudgetId>, EngineError> {
        let ids = self.state().budgets.policies.keys();
        Ok(ids.filter(|id| after.is_none_or(|after| *id > after)).take(limit).cloned().collect())
    }

    fn overages(
        &mut self,
        budget_id: &BudgetId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BudgetOverage>, EngineError> {
        let rows = self.state().budgets.overages.range(after.saturating_add(1)..);
        Ok(rows
            .filter(|(_, row)| row.budget_id == *budget_id)
            .take(limit)
            .map(|(sequence, row)| row.present(*sequence))
            .collect())
    }

    fn quota_policies(
        &mut self,
        after: Option<&QuotaPolicyId>,
        limit: usize,
    ) -> Result<Vec<QuotaPolicyId>, EngineError> {
        let ids = self.state().budgets.quotas.keys();
        Ok(ids.filter(|id| after.is_none_or(|after| *id > after)).take(limit).cloned().collect())
    }

    fn quota_holders(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<QuotaHolder>, EngineError> {
        let state = self.state();
        let holders = state.holders(quota_policy_id, now).into_iter().take(limit);
        Ok(holders
            .filter_map(|at| {
                let execution = state.executions.get(&at)?;
                let attempt = state.attempts.get(&(at, execution.attempt_index.0))?;
                Some(QuotaHolder::new(
                    execution.id.clone(),
                    execution.lane.clone(),
                    attempt.worker_instance_id.clone(),
                    attempt.lease_expires_at,
                ))
            })
            .collect())
    }

    fn lanes_of_quota(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
    ) -> Result<Vec<LaneId>, EngineError> {
        let bound = Ok(Some(quota_policy_id.clone()));
        let lanes = self.state().lanes.values().filter(|lane| lane.quota_policy_id == bound);
        Ok(lanes.map(|lane| lane.id.clone()).collect())
    }
}
