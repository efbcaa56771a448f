//! Money: an accountant who sets budgets and quotas, and the calls that are about them.
//!
//! A quarter of all executions name the one budget, which may begin anew by itself and may park,
//! cancel or fail who breaches it. Half of the worlds hold the second lane to a quota, and most
//! hold single executions to another one. Workers report what they use; the accountant charges,
//! gives back, tops up, resets, binds and unbinds, each report again under its key where its answer
//! was lost. What must then hold is kept in [`budget`](super::budget) and [`quota`](super::quota).

use ff_core::backend::{Handle, UsageDimensions};
use ff_core::contracts::*;
use ff_core::types::{BudgetId, LaneId, QuotaPolicyId, TimestampMs};
use uuid::Uuid;

use super::actor::{Actor, Next, Scene};
use super::budget::ON_BREACH;
use super::call::{Answer, Call, LANES, Number};
use super::quota::POLICIES;
use super::stage::{Stage, answered, at_once};
use crate::dice::Dice;
use crate::invariants::Finding;

/// What the budget counts.
pub(super) const DIMENSION: &str = "cents";

/// The window of every quota.
pub(super) const WINDOW_MS: i64 = 60_000;

/// Nothing reaches this.
const ENOUGH: u64 = 1_000_000_000;

/// What lets everything through that a world without an accountant left waiting.
pub(super) const ENOUGH_AT_REST: [Ask; 4] = [
    Ask::CreateBudget { limit: ENOUGH, on_breach: 0, every_ms: 0 },
    Ask::Raise { by: ENOUGH },
    Ask::CreateQuota { policy: 0, rate: 0, cap: 0 },
    Ask::CreateQuota { policy: 1, rate: 0, cap: 0 },
];

/// The budget of the world.
pub(crate) const fn budget_id() -> BudgetId {
    BudgetId::from_uuid(Uuid::from_u128(0xB0D6_E700))
}

/// Whether an execution names the budget in the world of `seed`.
pub(crate) fn is_budgeted(seed: u64, number: Number) -> bool {
    Dice::new(seed.rotate_left(5) ^ u64::from(number)).chance(25)
}

/// One of the quotas of the world.
pub(super) fn quota_id(policy: u8) -> QuotaPolicyId {
    QuotaPolicyId::from_uuid(Uuid::from_u128(0x0A07_A000 + u128::from(policy)))
}

/// The lane that a quota may bind.
pub(super) fn lane() -> LaneId {
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
        /// What a breach does to who caused it: a place in [`ON_BREACH`].
        on_breach: u8,
        every_ms: u64,
    },
    CreateQuota {
        policy: u8,
        rate: u64,
        cap: u64,
    },
    Bind {
        to: Target,
        policy: u8,
    },
    Unbind(Target),
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

/// What a quota binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Lane,
    Execution(Number),
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateBudget { .. } => "create_budget",
            Self::CreateQuota { .. } => "create_quota_policy",
            Self::Bind { .. } => "bind_quota",
            Self::Unbind(_) => "unbind_quota",
            Self::Report { .. } => "report_usage_admin",
            Self::Spend { .. } => "record_spend",
            Self::Release(_) => "release_budget",
            Self::Raise { .. } => "set_budget_limits",
            Self::Reset => "reset_budget",
        }
    }
}

// ---- The accountant ----

/// Sets limits, charges, charges again under the same key, gives back, tops up, resets, binds.
#[derive(Debug)]
pub(crate) struct Accountant {
    every_ms: u64,
    next_ms: u64,
    /// What comes first, the last of it in front; its own journal survives a crash.
    steps: Vec<Ask>,
    numbered: u32,
    last: Option<Ask>,
    holds_single: bool,
    has_topped_up: bool,
}

/// Keys of the accountant are behind those of all workers.
const KEYS_FROM: u32 = 1_000_000_000;

impl Accountant {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut steps = Vec::new();
        if dice.chance(50) {
            let (rate, cap) = (dice.pick(&[0, 2, 5]), dice.pick(&[1, 2, 4]));
            steps.push(Ask::Bind { to: Target::Lane, policy: 0 });
            steps.push(Ask::CreateQuota { policy: 0, rate, cap });
        }
        let holds_single = dice.chance(70);
        if holds_single {
            let (rate, cap) = (dice.pick(&[0, 0, 2]), dice.pick(&[1, 1, 2]));
            steps.push(Ask::CreateQuota { policy: 1, rate, cap });
        }
        let every_ms = dice.pick(&[0, 0, 60_000, 240_000]);
        steps.push(Ask::CreateBudget {
            limit: dice.pick(&[20, 60, 200]),
            on_breach: dice.pick(&[0, 0, 1, 2, 3]),
            every_ms,
        });
        Self {
            every_ms: dice.pick(&[15_000, 40_000]),
            next_ms: 0,
            steps,
            numbered: KEYS_FROM,
            last: None,
            holds_single,
            // A budget that begins anew by itself lets everything through in the end.
            has_topped_up: every_ms > 0,
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
            0..=17 => Ask::Report { amount, key },
            18..=42 => Ask::Spend { number: scene.somebody(6), amount, key },
            43..=51 => Ask::Release(scene.somebody(6)),
            52..=67 => Ask::Raise { by: scene.dice.pick(&[10, 50]) },
            68..=73 => Ask::Reset,
            74..=93 if self.holds_single => {
                // Several at once, so that they stand in each other's way.
                let mut bind = || Ask::Bind { to: Target::Execution(scene.somebody(4)), policy: 1 };
                self.steps.extend([bind(), bind()]);
                bind()
            }
            94..=96 => Ask::Unbind(Target::Execution(scene.somebody(4))),
            97 => Ask::Unbind(Target::Lane),
            _ => {
                let policy = u8::try_from(scene.dice.below(u64::from(POLICIES))).unwrap_or(0);
                Ask::Bind { to: Target::Lane, policy }
            }
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

// ---- The calls ----

fn word_of(said: Option<&ReportUsageResult>) -> &'static str {
    match said {
        Some(ReportUsageResult::HardBreach { .. }) => "HardBreach",
        Some(ReportUsageResult::SoftBreach { .. }) => "SoftBreach",
        Some(ReportUsageResult::AlreadyApplied) => "AlreadyApplied",
        Some(_) | None => "ok",
    }
}

impl Stage {
    fn target(&mut self, target: Target) -> QuotaTarget {
        match target {
            Target::Lane => QuotaTarget::Lane(lane()),
            Target::Execution(number) => QuotaTarget::Execution(self.plan(number).id.clone()),
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
            Ask::CreateBudget { limit, on_breach, every_ms } => {
                let args = CreateBudgetArgs {
                    budget_id,
                    scope_type: "sim".to_owned(),
                    scope_id: "sim".to_owned(),
                    enforcement_mode: "strict".to_owned(),
                    on_hard_limit: ON_BREACH[usize::from(*on_breach)].0.to_owned(),
                    on_soft_limit: String::new(),
                    reset_interval_ms: *every_ms,
                    dimensions: vec![DIMENSION.to_owned()],
                    hard_limits: vec![*limit],
                    soft_limits: vec![0],
                    now,
                };
                let said = at_once(self.backend().create_budget(args));
                let is_new = matches!(said, Ok(CreateBudgetResult::Created { .. }));
                answered(&said, if is_new { "Created" } else { "AlreadySatisfied" })
            }
            Ask::CreateQuota { policy, rate, cap } => {
                let args = CreateQuotaPolicyArgs {
                    quota_policy_id: quota_id(*policy),
                    window_seconds: WINDOW_MS.unsigned_abs() / 1_000,
                    max_requests_per_window: *rate,
                    max_concurrent: *cap,
                    now,
                };
                let said = at_once(self.backend().create_quota_policy(args));
                let is_new = matches!(said, Ok(CreateQuotaPolicyResult::Created { .. }));
                answered(&said, if is_new { "Created" } else { "AlreadySatisfied" })
            }
            Ask::Bind { to, policy } => {
                let args = BindQuotaArgs::new(self.target(*to), quota_id(*policy));
                answered(&at_once(self.backend().bind_quota(args)), "Bound")
            }
            Ask::Unbind(from) => {
                let target = self.target(*from);
                let said = at_once(self.backend().unbind_quota(target));
                let is_bound = matches!(said, Ok(UnbindQuotaResult::Unbound { .. }));
                answered(&said, if is_bound { "Unbound" } else { "NotBound" })
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
}
