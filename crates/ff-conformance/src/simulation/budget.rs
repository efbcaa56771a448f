//! The budget as it must be: what was accepted, what was refused, what may begin, and what a breach
//! does. Kept call by call, without the engine's rows.

use std::collections::BTreeMap;

use ff_core::engine_backend::EngineBackend;
use ff_core::machine::transition::LeaseEventKind;
use ff_core::state::TerminalOutcome;
use ff_core::types::{AttemptIndex, ExecutionId, TimestampMs};

use super::call::{Answer, Call, Deed, Operation};
use super::ledger::found;
use super::money::{Ask, DIMENSION, budget_id};
use super::stage::{Stage, at_once, broken};
use crate::invariants::Finding;
use crate::probe::News;

/// How long a report's key is remembered.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;

/// What a breach does to the execution that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBreach {
    RunsOn,
    Parked,
    Ended(TerminalOutcome),
}

/// Words for that, what each does, and the name under which it is counted.
pub(super) const ON_BREACH: [(&str, OnBreach, &str); 4] = [
    ("refuse", OnBreach::RunsOn, "breaches_refused"),
    ("suspend", OnBreach::Parked, "breaches_parked"),
    ("cancel", OnBreach::Ended(TerminalOutcome::Cancelled), "breaches_cancelled"),
    ("fail", OnBreach::Ended(TerminalOutcome::Failed), "breaches_failed"),
];

/// A report that was answered.
#[derive(Debug)]
struct Reported<'a> {
    amount: u64,
    key: Option<u32>,
    /// Whom an overage is noted for.
    spender: Option<&'a ExecutionId>,
    is_charged: bool,
}

/// What is known of the budget.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    usage: u64,
    limit: Option<u64>,
    on_breach: usize,
    every_ms: u64,
    resets_at: Option<TimestampMs>,
    /// When the report of each key was accepted.
    keys: BTreeMap<u32, TimestampMs>,
    /// Spent beyond the limit since the last reset: by key, or by execution without one.
    overage: BTreeMap<(ExecutionId, Option<u32>), u64>,
    charges: BTreeMap<ExecutionId, u64>,
    /// The newest attempt of each execution.
    attempts: BTreeMap<ExecutionId, AttemptIndex>,
    /// Attempts that a breach parked: they go on.
    parked: BTreeMap<ExecutionId, AttemptIndex>,
}

impl Budget {
    /// How long everything may have to wait for the budget to begin anew.
    pub(super) fn waits_ms(&self) -> u64 {
        3 * self.every_ms
    }

    fn overage(&self) -> u64 {
        self.overage.values().sum()
    }

    /// How many wait for it.
    pub(super) fn waiting(&self, backend: &dyn EngineBackend) -> Result<u64, Finding> {
        if self.limit.is_none() {
            return Ok(0);
        }
        let page = at_once(backend.list_budgets(None, 1)).map_err(|error| broken(&error))?;
        Ok(page.budgets.first().map_or(0, |read| read.waiting))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.limit.is_none_or(|limit| self.usage + self.overage() >= limit)
    }

    fn reset(&mut self) {
        self.usage = 0;
        self.charges.clear();
        self.overage.clear();
    }

    /// A reset whose instant has come stands before everything else; the next one is a whole number
    /// of intervals later. Answers whether there was one.
    fn settle(&mut self, now: TimestampMs) -> bool {
        let Some(due) = self.resets_at.filter(|due| *due <= now) else { return false };
        let every_ms = i64::try_from(self.every_ms).unwrap_or(i64::MAX);
        let missed = (now.0 - due.0) / every_ms;
        self.resets_at = Some(TimestampMs(due.0 + (missed + 1) * every_ms));
        self.reset();
        true
    }

    /// I17: a key counts once, what fits is accepted, and nothing else.
    fn note_report(
        &mut self,
        of: &Reported<'_>,
        answer: &Answer,
        now: TimestampMs,
    ) -> Result<(), Finding> {
        let known = of.key.and_then(|key| self.keys.get(&key));
        let is_known = known.map(|at| now.0 < at.0 + REMEMBERED_MS);
        let fits = self.limit.is_none_or(|limit| self.usage + of.amount <= limit);
        let is_fair = match answer.word.as_str() {
            "AlreadyApplied" => is_known == Some(true),
            "HardBreach" => !fits && is_known != Some(true),
            _ => fits && is_known != Some(true),
        };
        if !is_fair {
            let detail = format!(
                "{of:?} is told {answer}; {} of {:?} spent, key known: {is_known:?}",
                self.usage, self.limit
            );
            return Err(found("I17", of.spender, detail));
        }
        match (answer.word.as_str(), of.spender) {
            ("AlreadyApplied", _) => {}
            ("HardBreach", Some(spender)) => {
                let sum = self.overage.entry((spender.clone(), of.key)).or_default();
                *sum = of.amount + if of.key.is_some() { 0 } else { *sum };
            }
            ("HardBreach", None) => {}
            _ => {
                self.usage += of.amount;
                if let (true, Some(spender)) = (of.is_charged, of.spender) {
                    *self.charges.entry(spender.clone()).or_default() += of.amount;
                }
                if let Some(key) = of.key {
                    self.keys.insert(key, now);
                    self.overage.retain(|(_, own), _| *own != Some(key));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, ask: &Ask, id: Option<&ExecutionId>, word: &str, now: TimestampMs) {
        let next = |every_ms: u64| {
            (every_ms > 0).then(|| TimestampMs(now.0 + i64::try_from(every_ms).unwrap_or(0)))
        };
        match ask {
            Ask::CreateBudget { limit, on_breach, every_ms } if word == "Created" => {
                self.limit = Some(*limit);
                self.on_breach = usize::from(*on_breach);
                self.every_ms = *every_ms;
                self.resets_at = next(*every_ms);
            }
            Ask::Raise { by } => self.limit = self.limit.map(|limit| limit + by),
            Ask::Release(_) => {
                let charged = id.and_then(|id| self.charges.remove(id)).unwrap_or(0);
                self.usage = self.usage.saturating_sub(charged);
            }
            Ask::Reset => {
                self.reset();
                self.resets_at = next(self.every_ms);
            }
            Ask::CreateBudget { .. }
            | Ask::CreateQuota { .. }
            | Ask::Bind { .. }
            | Ask::Unbind(_)
            | Ask::Report { .. }
            | Ask::Spend { .. } => {}
        }
    }
}

impl Stage {
    /// Who a report is of.
    fn spender(&mut self, call: &Call) -> Option<ExecutionId> {
        match call {
            Call::Hold { grip, .. } => self.execution_of(*grip),
            Call::Money(Ask::Spend { number, .. } | Ask::Release(number)) => {
                Some(self.plan(*number).id.clone())
            }
            _ => None,
        }
    }

    /// I18, before the ledger knows of the step: nothing that names the budget begins while it is
    /// spent, or before it exists; and a breach parks or ends who caused it, or leaves it alone, as
    /// the budget says.
    pub(crate) fn check_spent(
        &mut self,
        operation: &Operation,
        answer: &Answer,
        news: &News,
    ) -> Result<(), Finding> {
        let now = self.now();
        if self.budget.settle(now) {
            self.happened("interval_resets");
        }
        for (_, event) in &news.lease_events {
            let id = &event.execution_id;
            let begins = match event.kind {
                LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => true,
                LeaseEventKind::Renewed | LeaseEventKind::Expired | LeaseEventKind::Revoked => {
                    false
                }
            };
            if begins && self.budget.is_spent() && self.names_budget(id) {
                let (usage, limit) = (self.budget.usage, self.budget.limit);
                let detail = format!("begins with {usage} of {limit:?} spent");
                return Err(found("I18", Some(id), detail));
            }
        }
        for (_, event) in &news.completions {
            self.budget.parked.remove(&event.execution_id);
        }
        self.check_breach(operation, answer, news)?;
        for held in &answer.held {
            let Some((id, attempt)) = self.attempt_of(held.grip) else { continue };
            let parked = self.budget.parked.remove(&id);
            if let Some(parked) = parked.filter(|parked| *parked != attempt) {
                let detail = format!("parked in attempt {parked}, goes on in attempt {attempt}");
                return Err(found("I18", Some(&id), detail));
            }
            self.budget.attempts.insert(id, attempt);
        }
        Ok(())
    }

    fn names_budget(&mut self, id: &ExecutionId) -> bool {
        let number = self.number_of_id(id);
        number.is_some_and(|number| self.plan(number).policy.budget_ids.contains(&budget_id()))
    }

    fn check_breach(
        &mut self,
        operation: &Operation,
        answer: &Answer,
        news: &News,
    ) -> Result<(), Finding> {
        let Some(id) = self.spender(&operation.call).filter(|_| answer.word == "HardBreach") else {
            return Ok(());
        };
        let is_bound = self.names_budget(&id);
        let was_live = self.ledger.is_live(&id, self.now());
        let number = self.number_of_id(&id);
        let is_timed = number.is_some_and(|number| self.plan(number).is_timed);
        let is_barred = number.is_some_and(|number| self.flows.is_cancelled(number));
        if is_timed || self.ledger.has_deadline(&id) || is_barred {
            // What its time or its flow did in front of the breach is not told apart here.
            return Ok(());
        }
        let (_, does, counted) = ON_BREACH[self.budget.on_breach];
        let does = if is_bound && was_live { does } else { OnBreach::RunsOn };
        let left = news
            .lease_events
            .iter()
            .any(|(_, event)| event.execution_id == id && event.kind == LeaseEventKind::Revoked);
        let end = news.completions.iter().find(|(_, event)| event.execution_id == id);
        let end = end.map(|(_, event)| event.outcome);
        let (must_leave, must_end) = match does {
            OnBreach::RunsOn => (false, None),
            OnBreach::Parked => (true, None),
            OnBreach::Ended(outcome) => (true, Some(outcome)),
        };
        if (left, end) != (must_leave, must_end) {
            let detail = format!(
                "a breach, live: {was_live}, bound: {is_bound}, to be {does:?}; its lease ended: \
                 {left}, it ended as {end:?}"
            );
            return Err(found("I18", Some(&id), detail));
        }
        if does == OnBreach::Parked
            && let Some(attempt) = self.budget.attempts.get(&id)
        {
            self.budget.parked.insert(id, *attempt);
        }
        if is_bound && was_live {
            self.happened(counted);
        }
        Ok(())
    }

    /// I17: usage is the sum of what was accepted, each key once, and never above the limit; what
    /// was refused to an execution is kept as overage.
    pub(crate) fn check_usage(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let now = self.now();
        let spender = self.spender(&operation.call);
        let (amount, key, is_charged) = match &operation.call {
            Call::Hold { deed: Deed::Report { amount, key }, .. }
            | Call::Money(Ask::Report { amount, key }) => (*amount, *key, false),
            Call::Money(Ask::Spend { amount, key, .. }) => (*amount, *key, true),
            Call::Money(_) => (0, None, false),
            _ => return Ok(()),
        };
        if answer.is_ok && amount > 0 {
            let of = Reported { amount, key, spender: spender.as_ref(), is_charged };
            self.budget.note_report(&of, answer, now)?;
        }
        if let (Call::Money(ask), true) = (&operation.call, answer.is_ok) {
            self.budget.note(ask, spender.as_ref(), &answer.word, now);
        }
        let Some(limit) = self.budget.limit else { return Ok(()) };
        let page = at_once(self.backend().list_budgets(None, 1)).map_err(|error| broken(&error))?;
        let Some(read) = page.budgets.first() else {
            return Err(found("I17", None, "the budget is gone".to_owned()));
        };
        let counted = read.dimensions.iter().find(|dimension| dimension.dimension == DIMENSION);
        let (usage, overage) = counted.map_or((0, 0), |row| (row.usage, row.overage));
        let budget = &self.budget;
        let is_same = usage == budget.usage && overage == budget.overage() && usage <= limit;
        if !is_same || read.next_reset_at != budget.resets_at {
            let detail = format!(
                "usage {usage} and overage {overage} of {limit}, next reset at {:?}; accepted {}, \
                 refused {}, next reset due at {:?}",
                read.next_reset_at,
                budget.usage,
                budget.overage(),
                budget.resets_at
            );
            return Err(found("I17", None, detail));
        }
        Ok(())
    }
}
