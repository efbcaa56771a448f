//! Budgets and quotas: an accountant who sets them, and what must hold of caps, rates and usage.
//!
//! A quarter of all executions name the one budget; half of the worlds hold the second lane to a
//! quota. Workers report what they use, the accountant charges, gives back, tops up and resets, each
//! report again under its key where its answer was lost. What the budget must then show is kept
//! here, call by call, without the engine's rows.

use std::collections::BTreeMap;

use ff_core::backend::{Handle, UsageDimensions};
use ff_core::contracts::*;
use ff_core::machine::transition::LeaseEventKind;
use ff_core::types::{BudgetId, ExecutionId, LaneId, QuotaPolicyId, TimestampMs};
use uuid::Uuid;

use super::actor::{Actor, Next, Scene};
use super::call::{Answer, Call, Deed, LANES, Number, Operation};
use super::ledger::found;
use super::stage::{Stage, answered, at_once, broken};
use crate::dice::Dice;
use crate::invariants::Finding;
use crate::probe::News;

/// What the budget counts.
const DIMENSION: &str = "cents";

/// How long a report's key is remembered.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;

/// The window of the quota.
const WINDOW_MS: i64 = 60_000;

/// Nothing reaches this.
const ENOUGH: u64 = 1_000_000_000;

/// What lets everything through that a world without an accountant left waiting.
pub(super) const ENOUGH_AT_REST: [Ask; 3] = [
    Ask::CreateBudget { limit: ENOUGH },
    Ask::Raise { by: ENOUGH },
    Ask::CreateQuota { rate: 0, cap: 0 },
];

/// The budget of the world.
pub(crate) const fn budget_id() -> BudgetId {
    BudgetId::from_uuid(Uuid::from_u128(0xB0D6_E700))
}

const fn quota_id() -> QuotaPolicyId {
    QuotaPolicyId::from_uuid(Uuid::from_u128(0x0A07_A000))
}

fn lane() -> LaneId {
    LaneId::new(LANES[1])
}

fn key_text(key: u32) -> String {
    format!("key-{key}")
}

/// What is asked about money.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ask {
    CreateBudget {
        limit: u64,
    },
    CreateQuota {
        rate: u64,
        cap: u64,
    },
    Bind,
    /// Usage that no execution is charged for.
    Report {
        amount: u64,
        key: Option<u32>,
    },
    Spend {
        number: Number,
        amount: u64,
        key: Option<u32>,
    },
    Release(Number),
    Raise {
        by: u64,
    },
    Reset,
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateBudget { .. } => "create_budget",
            Self::CreateQuota { .. } => "create_quota_policy",
            Self::Bind => "bind_quota",
            Self::Report { .. } => "report_usage_admin",
            Self::Spend { .. } => "record_spend",
            Self::Release(_) => "release_budget",
            Self::Raise { .. } => "set_budget_limits",
            Self::Reset => "reset_budget",
        }
    }
}

// ---- The accountant ----

/// Sets limits, charges, charges again under the same key, gives back, tops up and resets.
#[derive(Debug)]
pub(crate) struct Accountant {
    every_ms: u64,
    next_ms: u64,
    /// What comes first, the last of it in front; its own journal survives a crash.
    steps: Vec<Ask>,
    numbered: u32,
    last: Option<Ask>,
    has_topped_up: bool,
}

/// Keys of the accountant are behind those of all workers.
const KEYS_FROM: u32 = 1_000_000_000;

impl Accountant {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut steps = Vec::new();
        if dice.chance(50) {
            let (rate, cap) = (dice.pick(&[0, 2, 5]), dice.pick(&[1, 2, 4]));
            steps.extend([Ask::Bind, Ask::CreateQuota { rate, cap }]);
        }
        steps.push(Ask::CreateBudget { limit: dice.pick(&[20, 60, 200]) });
        Self {
            every_ms: dice.pick(&[15_000, 40_000]),
            next_ms: 0,
            steps,
            numbered: KEYS_FROM,
            last: None,
            has_topped_up: false,
        }
    }

    fn draw(&mut self, scene: &mut Scene<'_>) -> Ask {
        if let Some(last) = self.last.clone().filter(|_| scene.dice.chance(20)) {
            return last;
        }
        self.numbered += 1;
        let key = scene.dice.chance(70).then_some(self.numbered);
        let amount = scene.dice.pick(&[1, 5, 12, 40]);
        match scene.dice.below(100) {
            0..=24 => Ask::Report { amount, key },
            25..=54 => Ask::Spend { number: scene.somebody(6), amount, key },
            55..=69 => Ask::Release(scene.somebody(6)),
            70..=89 => Ask::Raise { by: scene.dice.pick(&[10, 50]) },
            _ => Ask::Reset,
        }
    }
}

impl Actor for Accountant {
    fn name(&self) -> &str {
        "accountant"
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        if let Some(step) = self.steps.last() {
            return Next::Ask(Call::Money(step.clone()));
        }
        if scene.is_healed {
            return if self.has_topped_up {
                Next::Rest
            } else {
                Next::Ask(Call::Money(Ask::Raise { by: ENOUGH }))
            };
        }
        if scene.now_ms < self.next_ms {
            return Next::SleepMs(self.next_ms - scene.now_ms);
        }
        self.next_ms = scene.now_ms + self.every_ms / 2 + scene.dice.below(self.every_ms);
        let ask = self.draw(scene);
        if matches!(ask, Ask::Report { .. } | Ask::Spend { .. }) {
            self.last = Some(ask.clone());
        }
        Next::Ask(Call::Money(ask))
    }

    fn told(&mut self, call: &Call, answer: &Answer, _: &mut Scene<'_>) {
        let Call::Money(ask) = call else { return };
        if self.steps.last() == Some(ask) {
            self.steps.pop();
        }
        if *ask == (Ask::Raise { by: ENOUGH }) {
            self.has_topped_up = answer.is_ok;
        }
    }

    fn unheard(&mut self, _: &Call) {}

    fn crash(&mut self) {}
}

// ---- What is known ----

/// A report that was answered.
#[derive(Debug)]
struct Reported<'a> {
    amount: u64,
    key: Option<u32>,
    /// Whom an overage is noted for.
    spender: Option<&'a ExecutionId>,
    is_charged: bool,
}

/// What is known of the budget and the quota.
#[derive(Debug, Default)]
pub(crate) struct Money {
    usage: u64,
    limit: Option<u64>,
    /// When the report of each key was accepted.
    keys: BTreeMap<u32, TimestampMs>,
    /// Spent beyond the limit since the last reset: by key, or by execution without one.
    overage: BTreeMap<(ExecutionId, Option<u32>), u64>,
    charges: BTreeMap<ExecutionId, u64>,
    rate: u64,
    cap: u64,
    is_bound: bool,
    /// Leases under the quota.
    live: BTreeMap<ExecutionId, u64>,
    /// When leases began under the quota.
    began: Vec<TimestampMs>,
}

impl Money {
    fn is_spent(&self) -> bool {
        let spent = self.usage + self.overage.values().sum::<u64>();
        self.limit.is_none_or(|limit| spent >= limit)
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

    fn note(&mut self, ask: &Ask, id: Option<&ExecutionId>, word: &str) {
        match ask {
            Ask::CreateBudget { limit } if word == "Created" => self.limit = Some(*limit),
            Ask::CreateQuota { rate, cap } if word == "Created" => {
                (self.rate, self.cap) = (*rate, *cap);
            }
            Ask::Bind => self.is_bound = true,
            Ask::Raise { by } => self.limit = self.limit.map(|limit| limit + by),
            Ask::Release(_) => {
                let charged = id.and_then(|id| self.charges.remove(id)).unwrap_or(0);
                self.usage = self.usage.saturating_sub(charged);
            }
            Ask::Reset => {
                self.usage = 0;
                self.charges.clear();
                self.overage.clear();
            }
            Ask::CreateBudget { .. }
            | Ask::CreateQuota { .. }
            | Ask::Report { .. }
            | Ask::Spend { .. } => {}
        }
    }
}

fn word_of(said: Option<&ReportUsageResult>) -> &'static str {
    match said {
        Some(ReportUsageResult::HardBreach { .. }) => "HardBreach",
        Some(ReportUsageResult::SoftBreach { .. }) => "SoftBreach",
        Some(ReportUsageResult::AlreadyApplied) => "AlreadyApplied",
        Some(_) | None => "ok",
    }
}

impl Stage {
    /// How long everything that is open may have to wait for the rate of the quota.
    pub(crate) fn rationed_ms(&self) -> u64 {
        let money = &self.money;
        if !money.is_bound || money.rate == 0 {
            return 0;
        }
        let open = self.ledger.unfinished().count() as u64;
        (2 + 2 * open / money.rate) * WINDOW_MS.unsigned_abs()
    }

    /// Marks what the quota may have kept in line: a claim parks the head of a full lane only.
    pub(crate) fn mark_rationed(&mut self) {
        if self.money.is_bound {
            for record in &mut self.history.records {
                record.is_rationed = record.lane.as_deref() == Some(LANES[1]);
            }
        }
    }

    /// A holder reports usage.
    pub(crate) fn report(
        &self,
        handle: &Handle,
        (amount, key): (u64, Option<u32>),
    ) -> Result<Answer, Finding> {
        let mut usage = UsageDimensions::new();
        usage.custom.insert(DIMENSION.to_owned(), amount);
        usage.dedup_key = key.map(key_text);
        let said = at_once(self.backend().report_usage(handle, &budget_id(), usage));
        answered(&said, word_of(said.as_ref().ok()))
    }

    /// One call about money.
    pub(crate) fn ask_money(&mut self, now: TimestampMs, ask: &Ask) -> Result<Answer, Finding> {
        let budget_id = budget_id();
        match ask {
            Ask::CreateBudget { limit } => {
                let args = CreateBudgetArgs {
                    budget_id,
                    scope_type: "sim".to_owned(),
                    scope_id: "sim".to_owned(),
                    enforcement_mode: "strict".to_owned(),
                    on_hard_limit: "refuse".to_owned(),
                    on_soft_limit: String::new(),
                    reset_interval_ms: 0,
                    dimensions: vec![DIMENSION.to_owned()],
                    hard_limits: vec![*limit],
                    soft_limits: vec![0],
                    now,
                };
                let said = at_once(self.backend().create_budget(args));
                let is_new = matches!(said, Ok(CreateBudgetResult::Created { .. }));
                answered(&said, if is_new { "Created" } else { "AlreadySatisfied" })
            }
            Ask::CreateQuota { rate, cap } => {
                let args = CreateQuotaPolicyArgs {
                    quota_policy_id: quota_id(),
                    window_seconds: WINDOW_MS.unsigned_abs() / 1_000,
                    max_requests_per_window: *rate,
                    max_concurrent: *cap,
                    now,
                };
                let said = at_once(self.backend().create_quota_policy(args));
                let is_new = matches!(said, Ok(CreateQuotaPolicyResult::Created { .. }));
                answered(&said, if is_new { "Created" } else { "AlreadySatisfied" })
            }
            Ask::Bind => {
                let args = BindQuotaArgs::new(QuotaTarget::Lane(lane()), quota_id());
                answered(&at_once(self.backend().bind_quota(args)), "Bound")
            }
            Ask::Report { amount, key } => {
                let mut args =
                    ReportUsageAdminArgs::new(vec![DIMENSION.to_owned()], vec![*amount], now);
                args.dedup_key = key.map(key_text);
                let said = at_once(self.backend().report_usage_admin(&budget_id, args));
                answered(&said, word_of(said.as_ref().ok()))
            }
            Ask::Spend { number, amount, key } => {
                let args = RecordSpendArgs::new(
                    budget_id,
                    self.plan(*number).id.clone(),
                    [(DIMENSION.to_owned(), *amount)].into(),
                    key.map(key_text).unwrap_or_default(),
                );
                let said = at_once(self.backend().record_spend(args));
                answered(&said, word_of(said.as_ref().ok()))
            }
            Ask::Release(number) => {
                let args = ReleaseBudgetArgs::new(budget_id, self.plan(*number).id.clone());
                answered(&at_once(self.backend().release_budget(args)), "Released")
            }
            Ask::Raise { by } => {
                let raised = LimitChange::Raise(*by);
                let args =
                    SetBudgetLimitsArgs::new(budget_id, DIMENSION, raised, LimitChange::Keep);
                answered(&at_once(self.backend().set_budget_limits(args)), "Raised")
            }
            Ask::Reset => {
                let args = ResetBudgetArgs { budget_id, now };
                answered(&at_once(self.backend().reset_budget(args)), "Reset")
            }
        }
    }

    /// I16: under the quota no more leases live than its cap, and no more begin than its rate. I18:
    /// nothing that names the budget begins while it is spent, or before it exists.
    pub(crate) fn check_leases(&mut self, news: &News) -> Result<(), Finding> {
        for (_, event) in &news.lease_events {
            let id = &event.execution_id;
            match event.kind {
                LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => {}
                LeaseEventKind::Renewed => continue,
                LeaseEventKind::Expired | LeaseEventKind::Revoked => {
                    self.money.live.remove(id);
                    continue;
                }
            }
            let Some(plan) = self.number_of_id(id).map(|number| self.plan(number).clone()) else {
                continue;
            };
            let ledger = &self.ledger;
            let money = &mut self.money;
            if money.is_spent() && plan.policy.budget_ids.contains(&budget_id()) {
                let detail = format!("begins with {} of {:?} spent", money.usage, money.limit);
                return Err(found("I18", Some(id), detail));
            }
            if !money.is_bound || plan.lane != lane() {
                continue;
            }
            // A lease that has lapsed lives no more, even before anybody says so.
            money.live.retain(|own, epoch| !ledger.has_lapsed(own, *epoch, event.at));
            money.live.insert(id.clone(), event.epoch.0);
            money.began.push(event.at);
            if money.cap > 0 && money.live.len() as u64 > money.cap {
                let detail = format!("{} leases live, the cap is {}", money.live.len(), money.cap);
                return Err(found("I16", Some(id), detail));
            }
            money.began.retain(|at| event.at.0 - at.0 < WINDOW_MS);
            if money.rate > 0 && money.began.len() as u64 > money.rate {
                let detail = format!("{:?} began, the rate is {}", money.began, money.rate);
                return Err(found("I16", Some(id), detail));
            }
        }
        Ok(())
    }

    /// I17: usage is the sum of what was accepted, each key once, and never above the limit.
    pub(crate) fn check_money(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let now = self.now();
        let spender = match &operation.call {
            Call::Hold { grip, .. } => self.execution_of(*grip),
            Call::Money(Ask::Spend { number, .. } | Ask::Release(number)) => {
                Some(self.plan(*number).id.clone())
            }
            _ => None,
        };
        let (amount, key, is_charged) = match &operation.call {
            Call::Hold { deed: Deed::Report { amount, key }, .. }
            | Call::Money(Ask::Report { amount, key }) => (*amount, *key, false),
            Call::Money(Ask::Spend { amount, key, .. }) => (*amount, *key, true),
            Call::Money(_) => (0, None, false),
            _ => return Ok(()),
        };
        if answer.is_ok && amount > 0 {
            let of = Reported { amount, key, spender: spender.as_ref(), is_charged };
            self.money.note_report(&of, answer, now)?;
        }
        if let (Call::Money(ask), true) = (&operation.call, answer.is_ok) {
            self.money.note(ask, spender.as_ref(), &answer.word);
        }
        let money = &self.money;
        let Some(limit) = money.limit else { return Ok(()) };
        let read = at_once(self.backend().get_budget_status(&budget_id()));
        let read = read.map_err(|error| broken(&error))?;
        let usage = read.usage.get(DIMENSION).copied().unwrap_or(0);
        if usage != money.usage || usage > limit {
            let detail = format!("usage is {usage} of {limit}, accepted {}", money.usage);
            return Err(found("I17", None, detail));
        }
        Ok(())
    }
}
