//! The quotas as they must be: who is bound to which, what lives under each and what began within
//! its window. Kept from the events alone.

use std::collections::{BTreeMap, BTreeSet};

use ff_core::machine::transition::LeaseEventKind;
use ff_core::state::LaneState;
use ff_core::types::{ExecutionId, TimestampMs};

use super::call::{Answer, Call, FITS_ALL, LANES, Operation};
use super::ledger::{Ledger, found};
use super::money::{Ask, Target, WINDOW_MS, lane, quota_id};
use super::stage::{Stage, at_once, broken};
use crate::invariants::Finding;
use crate::probe::News;

/// Gates are looked at after one claim in so many.
const GATES_EVERY: u32 = 4;

/// How many quotas a world may have.
pub(super) const POLICIES: u8 = 2;

/// One quota.
#[derive(Debug, Default)]
struct Quota {
    rate: u64,
    cap: u64,
    is_used: bool,
    /// Leases under it, with their epochs.
    live: BTreeMap<ExecutionId, u64>,
    /// When leases began under it.
    began: Vec<TimestampMs>,
}

impl Quota {
    /// Leaves what lives at `now` and what is in the window that ends then: a lease that has lapsed
    /// lives no more, even before anybody says so.
    fn count(&mut self, ledger: &Ledger, now: TimestampMs) {
        self.live.retain(|own, epoch| !ledger.has_lapsed(own, *epoch, now));
        self.began.retain(|at| now.0 - at.0 < WINDOW_MS);
    }
}

/// What is known of the quotas.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    policies: BTreeMap<u8, Quota>,
    of_lane: Option<u8>,
    of_execution: BTreeMap<ExecutionId, u8>,
    /// What was ever bound.
    is_lane_held: bool,
    held: BTreeSet<ExecutionId>,
}

impl Quotas {
    fn note(&mut self, ask: &Ask, id: Option<ExecutionId>, word: &str) {
        match ask {
            Ask::CreateQuota { policy, rate, cap } if word == "Created" => {
                let quota = Quota { rate: *rate, cap: *cap, ..Quota::default() };
                self.policies.insert(*policy, quota);
            }
            Ask::Bind { to, policy } => {
                match (to, id) {
                    (Target::Execution(_), Some(id)) => {
                        self.held.insert(id.clone());
                        self.of_execution.insert(id, *policy);
                    }
                    _ => (self.of_lane, self.is_lane_held) = (Some(*policy), true),
                }
                if let Some(quota) = self.policies.get_mut(policy) {
                    quota.is_used = true;
                }
            }
            Ask::Unbind(from) => match (from, id) {
                (Target::Execution(_), Some(id)) => {
                    self.of_execution.remove(&id);
                }
                _ => self.of_lane = None,
            },
            Ask::CreateQuota { .. }
            | Ask::CreateBudget { .. }
            | Ask::Report { .. }
            | Ask::Spend { .. }
            | Ask::Release(_)
            | Ask::Raise { .. }
            | Ask::Reset => {}
        }
    }
}

impl Stage {
    /// How long everything that is open may have to wait for the rates of quotas and for the
    /// budget.
    pub(crate) fn rationed_ms(&self) -> u64 {
        let open = self.ledger.unfinished().count() as u64;
        let rates = self.quotas.policies.values().filter(|quota| quota.is_used && quota.rate > 0);
        let windows: u64 = rates.map(|quota| 2 + 2 * open / quota.rate).sum();
        windows * WINDOW_MS.unsigned_abs() + self.budget.waits_ms()
    }

    /// Marks what a quota may have kept in line: a claim parks the head of a full lane only.
    pub(crate) fn mark_rationed(&mut self) {
        let quotas = &self.quotas;
        for record in &mut self.history.records {
            let of_lane = quotas.is_lane_held && record.lane.as_deref() == Some(LANES[1]);
            let is_held = record.execution.as_ref().is_some_and(|id| quotas.held.contains(id));
            record.is_rationed = of_lane || is_held;
        }
    }

    /// I16, before the ledger knows of the step: under a quota no more leases live than its cap,
    /// and no more begin within its window than its rate.
    pub(crate) fn check_rationed(&mut self, news: &News) -> Result<(), Finding> {
        for (_, event) in &news.lease_events {
            let id = &event.execution_id;
            match event.kind {
                LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => {}
                LeaseEventKind::Renewed => continue,
                LeaseEventKind::Expired | LeaseEventKind::Revoked => {
                    for quota in self.quotas.policies.values_mut() {
                        quota.live.remove(id);
                    }
                    continue;
                }
            }
            let Some(number) = self.number_of_id(id) else { continue };
            let is_of_lane = self.plan(number).lane == lane();
            let of_lane = self.quotas.of_lane.filter(|_| is_of_lane);
            let own = self.quotas.of_execution.get(id).copied();
            let bound: BTreeSet<u8> = of_lane.into_iter().chain(own).collect();
            let ledger = &self.ledger;
            for (policy, quota) in &mut self.quotas.policies {
                if !bound.contains(policy) {
                    continue;
                }
                quota.count(ledger, event.at);
                quota.live.insert(id.clone(), event.epoch.0);
                quota.began.push(event.at);
                if quota.cap > 0 && quota.live.len() as u64 > quota.cap {
                    let (live, cap) = (quota.live.len(), quota.cap);
                    let detail =
                        format!("{live} leases live under quota {policy}, its cap is {cap}");
                    return Err(found("I16", Some(id), detail));
                }
                if quota.rate > 0 && quota.began.len() as u64 > quota.rate {
                    let (began, rate) = (&quota.began, quota.rate);
                    let detail =
                        format!("{began:?} began under quota {policy}, its rate is {rate}");
                    return Err(found("I16", Some(id), detail));
                }
            }
        }
        Ok(())
    }

    /// I16: what the engine counts under each quota is what lives and began under it.
    pub(crate) fn check_quotas(&mut self, ask: &Ask, answer: &Answer) -> Result<(), Finding> {
        if answer.is_ok {
            let id = match ask {
                Ask::Bind { to: Target::Execution(number), .. }
                | Ask::Unbind(Target::Execution(number)) => Some(self.plan(*number).id.clone()),
                _ => None,
            };
            self.quotas.note(ask, id, &answer.word);
        }
        let now = self.now();
        let page = at_once(self.backend().list_quota_policies(None, u32::from(POLICIES)));
        let page = page.map_err(|error| broken(&error))?;
        if page.policies.len() != self.quotas.policies.len() {
            let detail =
                format!("{} quotas, {} are shown", self.quotas.policies.len(), page.policies.len());
            return Err(found("I16", None, detail));
        }
        let ledger = &self.ledger;
        let mut waiting = 0;
        for (policy, quota) in &mut self.quotas.policies {
            let id = quota_id(*policy);
            let Some(read) = page.policies.iter().find(|read| read.quota_policy_id == id) else {
                return Err(found("I16", None, format!("quota {policy} is gone")));
            };
            quota.count(ledger, now);
            let counted = (quota.live.len() as u64, quota.began.len() as u64);
            if (read.active, read.in_window) != counted {
                let detail = format!(
                    "quota {policy} shows {} live and {} in its window; {counted:?} are",
                    read.active, read.in_window
                );
                return Err(found("I16", None, detail));
            }
            if *policy == 1 && !read.lanes.contains(&lane()) {
                waiting += read.waiting;
            }
        }
        if waiting > 0 {
            self.happened("waits_for_an_own_quota");
        }
        Ok(())
    }
}

impl Stage {
    /// I10, with I16 and I18: a claim that takes anything and found nothing has left nobody behind a
    /// budget or a quota that has room.
    pub(crate) fn check_gates(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let Call::Claim { lanes, offer: FITS_ALL, .. } = &operation.call else { return Ok(()) };
        if !operation.number.is_multiple_of(GATES_EVERY)
            || !answer.is_ok
            || !answer.held.is_empty()
            || lanes.len() < LANES.len()
        {
            return Ok(());
        }
        let standing =
            at_once(self.backend().list_lane_status()).map_err(|error| broken(&error))?;
        if standing.iter().any(|lane| lane.state != LaneState::Active) {
            return Ok(());
        }
        let waits = self.budget.waiting(self.backend())?;
        if waits > 0 && !self.budget.is_spent() {
            let detail = format!("{waits} wait for a budget that has room, and a claim found none");
            return Err(found("I10", None, detail));
        }
        if self.quotas.policies.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let page = at_once(self.backend().list_quota_policies(None, u32::from(POLICIES)));
        for read in page.map_err(|error| broken(&error))?.policies {
            let of = |policy: &&u8| quota_id(**policy) == read.quota_policy_id;
            let Some(policy) = self.quotas.policies.keys().find(of).copied() else { continue };
            let ledger = &self.ledger;
            let Some(quota) = self.quotas.policies.get_mut(&policy) else { continue };
            quota.count(ledger, now);
            let is_full = (quota.cap > 0 && quota.live.len() as u64 >= quota.cap)
                || (quota.rate > 0 && quota.began.len() as u64 >= quota.rate);
            if read.waiting > 0 && !is_full {
                let detail = format!("{} wait for quota {policy}, which has room", read.waiting);
                return Err(found("I10", None, detail));
            }
        }
        Ok(())
    }
}
