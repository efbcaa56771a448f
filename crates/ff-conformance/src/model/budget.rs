//! Budgets and quotas in random sequences: what is spent, who is admitted, who waits for room.

use std::collections::BTreeMap;

use ff_core::backend::UsageDimensions;
use ff_core::contracts::*;
use ff_core::types::{BudgetId, QuotaPolicyId, TimestampMs};
use uuid::Uuid;

use super::alphabet::{Birth, Flaw, Policy, birth, proof, slot, small, worker};
use super::alphabet::{Command, NEWEST, Proof, Tweak, Worker};
use super::compare::Answer;
use super::driver::World;
use super::lane::lane;
use super::{execution, lease};
use crate::dice::Dice;
use crate::probe::Engine;

/// Budgets of the world; nobody creates the last.
pub const BUDGETS: u8 = 3;

/// Quotas of the world; nobody creates the last.
pub const QUOTAS: u8 = 3;

/// What is counted. The first is one that a holder's report names by itself.
const DIMENSIONS: [&str; 2] = ["input_tokens", "calls"];

/// What a budget does to whom it refuses.
const ON_HARD_LIMIT: [&str; 4] = ["", "suspend", "cancel", "fail"];

/// What a quota governs: one of the lanes, or an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what")]
pub enum Target {
    Lane(u8),
    Slot(u8),
}

/// What is reported: an amount for each dimension, and the key of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is one choice of the generator")]
pub struct Usage {
    pub tokens: u64,
    pub calls: u64,
    pub key: Option<u8>,
}

/// One call about budgets and quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Create { budget: u8, hard: u64, soft: u64, on_hard: u8, interval: u64, is_uneven: bool },
    Report { proof: Proof, budget: u8, usage: Usage },
    ReportByAdmin { budget: u8, usage: Usage, is_uneven: bool },
    Spend { budget: u8, slot: u8, usage: Usage },
    Release { budget: u8, slot: u8 },
    Reset { budget: u8 },
    SetLimits { budget: u8, dimension: u8, hard: LimitChange, soft: LimitChange },
    Status { budget: u8 },
    UsageAndLimits { budget: u8 },
    List { after: Option<u8>, limit: u32 },
    Overages { budget: u8, after: Option<u64>, limit: u32 },
    CreateQuota { quota: u8, window: u64, rate: u64, concurrency: u64 },
    Bind { target: Target, quota: u8 },
    Unbind { target: Target },
    Admit { quota: u8, slot: u8, rate: u64, concurrency: u64 },
    ReleaseAdmission { quota: u8, slot: u8 },
    Limits { quota: u8 },
    ListQuotas { after: Option<u8>, limit: u32 },
}

/// The operations that a full run must have seen succeed.
pub const OPERATIONS: [&str; 18] = [
    "create_budget",
    "report_usage",
    "report_usage_admin",
    "record_spend",
    "release_budget",
    "reset_budget",
    "set_budget_limits",
    "get_budget_status",
    "read_budget_usage_and_limits",
    "list_budgets",
    "list_budget_overages",
    "create_quota_policy",
    "bind_quota",
    "unbind_quota",
    "check_admission",
    "release_admission",
    "read_quota_policy_limits",
    "list_quota_policies",
];

pub(super) fn call(dice: &mut Dice) -> Call {
    let (budget, quota) = (budget(dice), quota(dice));
    match dice.below(100) {
        0..=7 => create(dice, budget),
        8..=23 => Call::Report { proof: proof(dice), budget, usage: usage(dice) },
        24..=30 => Call::ReportByAdmin { budget, usage: usage(dice), is_uneven: dice.chance(4) },
        31..=41 => Call::Spend { budget, slot: slot(dice), usage: usage(dice) },
        42..=46 => Call::Release { budget, slot: slot(dice) },
        47..=50 => Call::Reset { budget },
        51..=57 => Call::SetLimits {
            budget,
            dimension: dice.pick(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]),
            hard: limit_change(dice),
            soft: limit_change(dice),
        },
        58..=59 => Call::Status { budget },
        60..=61 => Call::UsageAndLimits { budget },
        62..=63 => {
            Call::List { after: dice.chance(40).then_some(budget), limit: dice.pick(&[0, 1, 100]) }
        }
        64..=65 => Call::Overages {
            budget,
            after: dice.pick(&[None, Some(0), Some(1)]),
            limit: dice.pick(&[0, 1, 100]),
        },
        66..=70 => create_quota(dice, quota),
        71..=77 => Call::Bind { target: target(dice), quota },
        78..=80 => Call::Unbind { target: target(dice) },
        81..=87 => Call::Admit {
            quota,
            slot: slot(dice),
            rate: dice.pick(&[0, 0, 1, 2]),
            concurrency: dice.pick(&[0, 1, 2]),
        },
        88..=91 => Call::ReleaseAdmission { quota, slot: slot(dice) },
        92 => Call::Limits { quota },
        _ => Call::ListQuotas {
            after: dice.chance(40).then_some(quota),
            limit: dice.pick(&[0, 1, 100]),
        },
    }
}

/// Work that is held to a budget or a quota, and runs into it.
pub(super) fn burst(dice: &mut Dice) -> Vec<Command> {
    let own = Proof { age: 0, tweak: Tweak::None };
    let worker = Worker { has: 2, ttl: 200, ..worker(dice) };
    let (budget, quota) = (small(dice, 2), small(dice, 2));
    let mut bound = Vec::new();
    for _ in 0..2 {
        let mut birth = birth(dice, 0);
        (birth.needs, birth.delay, birth.deadline) = (0, None, None);
        (birth.policy, birth.flaw) = (Policy::None, Flaw::None);
        birth.budgets = 1 << budget;
        bound.push(birth);
    }
    let lane = bound[0].lane;
    if dice.chance(50) {
        // A budget that the first one spends; the second waits for room.
        let spent = Usage { tokens: dice.pick(&[4, 5, 9]), calls: 0, key: None };
        let interval = dice.pick(&[0, 0, 100]);
        let on_hard = small(dice, 4);
        let mut commands = vec![Command::Budget(Call::Create {
            budget,
            hard: 5,
            soft: 3,
            on_hard,
            interval,
            is_uneven: false,
        })];
        commands.extend(
            bound
                .into_iter()
                .map(|birth| Command::Execution(execution::Call::Create(Birth { lane, ..birth }))),
        );
        commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
        commands.push(Command::Budget(Call::Report { proof: own, budget, usage: spent }));
        commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
        commands.push(Command::Budget(match dice.below(3) {
            0 => Call::Reset { budget },
            1 => {
                let hard = LimitChange::Raise(5);
                Call::SetLimits { budget, dimension: 0, hard, soft: LimitChange::Keep }
            }
            _ => Call::Release { budget, slot: NEWEST },
        }));
        commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
        return commands;
    }
    let target = if dice.chance(60) { Target::Lane(lane) } else { Target::Slot(bound[1].slot) };
    let (rate, concurrency) = dice.pick(&[(1, 0), (0, 1), (2, 1)]);
    let mut commands =
        vec![Command::Budget(Call::CreateQuota { quota, window: 1, rate, concurrency })];
    commands.extend(bound.into_iter().map(|birth| {
        Command::Execution(execution::Call::Create(Birth { lane, budgets: 0, ..birth }))
    }));
    commands.push(Command::Budget(Call::Bind { target, quota }));
    commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
    commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
    commands.push(match dice.below(3) {
        0 => Command::Execution(execution::Call::Complete { proof: own, result: 1 }),
        1 => Command::Time(super::alphabet::Step::ToBoundary(0)),
        _ => Command::Budget(Call::Unbind { target }),
    });
    commands.push(Command::Lease(lease::Call::Claim { lane, worker }));
    commands
}

/// What is read at the end of a sequence.
pub(super) fn last_reads() -> Vec<Call> {
    let of_budget = |budget| {
        let after = None;
        [
            Call::Status { budget },
            Call::UsageAndLimits { budget },
            Call::Overages { budget, after, limit: 100 },
        ]
    };
    let lists =
        [Call::List { after: None, limit: 100 }, Call::ListQuotas { after: None, limit: 100 }];
    let of_quota = |quota| Call::Limits { quota };
    (0..BUDGETS).flat_map(of_budget).chain((0..QUOTAS).map(of_quota)).chain(lists).collect()
}

fn budget(dice: &mut Dice) -> u8 {
    if dice.chance(92) { small(dice, 2) } else { BUDGETS - 1 }
}

fn quota(dice: &mut Dice) -> u8 {
    if dice.chance(92) { small(dice, 2) } else { QUOTAS - 1 }
}

fn target(dice: &mut Dice) -> Target {
    if dice.chance(50) { Target::Lane(small(dice, 2)) } else { Target::Slot(slot(dice)) }
}

fn create(dice: &mut Dice, budget: u8) -> Call {
    Call::Create {
        // Usage that is counted for a budget that nobody created has its own rules.
        budget: budget.min(BUDGETS - 2),
        hard: dice.pick(&[0, 5, 10, 10, u64::MAX]),
        soft: dice.pick(&[0, 3, 8]),
        on_hard: small(dice, 4),
        interval: dice.pick(&[0, 0, 100, 200, u64::MAX]),
        is_uneven: dice.chance(4),
    }
}

fn create_quota(dice: &mut Dice, quota: u8) -> Call {
    Call::CreateQuota {
        quota: quota.min(QUOTAS - 2),
        window: if dice.chance(95) { dice.pick(&[1, 10]) } else { dice.pick(&[0, u64::MAX]) },
        rate: dice.pick(&[0, 1, 2, 3]),
        concurrency: dice.pick(&[0, 0, 1, 2]),
    }
}

fn usage(dice: &mut Dice) -> Usage {
    let amount = |dice: &mut Dice| {
        if dice.chance(3) { dice.pick(&[u64::MAX, i64::MAX.unsigned_abs()]) } else { dice.below(5) }
    };
    Usage {
        tokens: amount(dice),
        calls: if dice.chance(60) { 0 } else { amount(dice) },
        key: dice.pick(&[None, None, Some(0), Some(1), Some(2)]),
    }
}

fn limit_change(dice: &mut Dice) -> LimitChange {
    match dice.below(10) {
        0..=3 => LimitChange::Keep,
        4..=6 => LimitChange::Set(dice.pick(&[0, 3, 5, 20])),
        7..=8 => LimitChange::Raise(dice.pick(&[0, 1, 5])),
        _ => LimitChange::Raise(u64::MAX),
    }
}

/// The budget of a number.
pub(super) fn budget_id(number: u8) -> BudgetId {
    BudgetId::from_uuid(Uuid::from_u128(0xB000 + u128::from(number)))
}

fn quota_id(number: u8) -> QuotaPolicyId {
    QuotaPolicyId::from_uuid(Uuid::from_u128(0xA000 + u128::from(number)))
}

fn quota_target(world: &World, target: Target) -> QuotaTarget {
    match target {
        Target::Lane(number) => QuotaTarget::Lane(lane(number)),
        Target::Slot(slot) => QuotaTarget::Execution(world.id(slot).clone()),
    }
}

fn key(usage: Usage) -> Option<String> {
    usage.key.map(|key| format!("report-{key}"))
}

/// No clock of a caller decides anything.
const NOW: TimestampMs = TimestampMs(7);

pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    match call {
        Call::Create { .. }
        | Call::Report { .. }
        | Call::ReportByAdmin { .. }
        | Call::Spend { .. }
        | Call::Release { .. }
        | Call::Reset { .. }
        | Call::SetLimits { .. } => count(engine, world, call).await,
        Call::CreateQuota { .. }
        | Call::Bind { .. }
        | Call::Unbind { .. }
        | Call::Admit { .. }
        | Call::ReleaseAdmission { .. } => admit(engine, world, call).await,
        Call::Status { .. }
        | Call::UsageAndLimits { .. }
        | Call::List { .. }
        | Call::Overages { .. }
        | Call::Limits { .. }
        | Call::ListQuotas { .. } => read(engine, call).await,
    }
}

async fn count(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Create { budget, hard, soft, on_hard, interval, is_uneven } => {
            let args = CreateBudgetArgs {
                budget_id: budget_id(*budget),
                scope_type: "team".to_owned(),
                scope_id: "ours".to_owned(),
                enforcement_mode: "strict".to_owned(),
                on_hard_limit: ON_HARD_LIMIT[usize::from(*on_hard)].to_owned(),
                on_soft_limit: "warn".to_owned(),
                reset_interval_ms: *interval,
                dimensions: DIMENSIONS.map(str::to_owned).to_vec(),
                hard_limits: if *is_uneven { Vec::new() } else { vec![*hard, 20] },
                soft_limits: vec![*soft, 0],
                now: NOW,
            };
            Answer::new("create_budget", backend.create_budget(args).await)
        }
        Call::Report { proof, budget, usage } => {
            let mut reported = UsageDimensions::new();
            reported.input_tokens = usage.tokens;
            if usage.calls > 0 {
                reported.custom.insert(DIMENSIONS[1].to_owned(), usage.calls);
            }
            reported.dedup_key = key(*usage);
            let handle = world.handle(engine, *proof);
            let said = backend.report_usage(&handle, &budget_id(*budget), reported).await;
            Answer::new("report_usage", said)
        }
        Call::ReportByAdmin { budget, usage, is_uneven } => {
            let deltas =
                if *is_uneven { vec![usage.tokens] } else { vec![usage.tokens, usage.calls] };
            let mut args =
                ReportUsageAdminArgs::new(DIMENSIONS.map(str::to_owned).to_vec(), deltas, NOW);
            args.dedup_key = key(*usage);
            let said = backend.report_usage_admin(&budget_id(*budget), args).await;
            Answer::new("report_usage_admin", said)
        }
        Call::Spend { budget, slot, usage } => {
            let amounts = [usage.tokens, usage.calls];
            let deltas: BTreeMap<String, u64> =
                DIMENSIONS.map(str::to_owned).into_iter().zip(amounts).collect();
            let args = RecordSpendArgs::new(
                budget_id(*budget),
                world.id(*slot).clone(),
                deltas,
                key(*usage).unwrap_or_default(),
            );
            Answer::new("record_spend", backend.record_spend(args).await)
        }
        Call::Release { budget, slot } => {
            let args = ReleaseBudgetArgs::new(budget_id(*budget), world.id(*slot).clone());
            Answer::new("release_budget", backend.release_budget(args).await)
        }
        Call::Reset { budget } => {
            let args = ResetBudgetArgs { budget_id: budget_id(*budget), now: NOW };
            Answer::new("reset_budget", backend.reset_budget(args).await)
        }
        Call::SetLimits { budget, dimension, hard, soft } => {
            let dimension = DIMENSIONS.get(usize::from(*dimension)).copied().unwrap_or("");
            let args = SetBudgetLimitsArgs::new(budget_id(*budget), dimension, *hard, *soft);
            Answer::new("set_budget_limits", backend.set_budget_limits(args).await)
        }
        other => unreachable!("{other:?} counts nothing"),
    }
}

async fn admit(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::CreateQuota { quota, window, rate, concurrency } => {
            let args = CreateQuotaPolicyArgs {
                quota_policy_id: quota_id(*quota),
                window_seconds: *window,
                max_requests_per_window: *rate,
                max_concurrent: *concurrency,
                now: NOW,
            };
            Answer::new("create_quota_policy", backend.create_quota_policy(args).await)
        }
        Call::Bind { target, quota } => {
            let args = BindQuotaArgs::new(quota_target(world, *target), quota_id(*quota));
            Answer::new("bind_quota", backend.bind_quota(args).await)
        }
        Call::Unbind { target } => {
            let said = backend.unbind_quota(quota_target(world, *target)).await;
            Answer::new("unbind_quota", said)
        }
        Call::Admit { quota, slot, rate, concurrency } => {
            let args = CheckAdmissionArgs {
                execution_id: world.id(*slot).clone(),
                now: NOW,
                window_seconds: 1,
                rate_limit: *rate,
                concurrency_cap: *concurrency,
                jitter_ms: None,
            };
            let said = backend.check_admission(&quota_id(*quota), DIMENSIONS[1], args).await;
            Answer::new("check_admission", said)
        }
        Call::ReleaseAdmission { quota, slot } => {
            let args = ReleaseAdmissionArgs::new(quota_id(*quota), world.id(*slot).clone());
            Answer::new("release_admission", backend.release_admission(args).await)
        }
        other => unreachable!("{other:?} admits nobody"),
    }
}

async fn read(engine: &Engine, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Status { budget } => {
            // Counters in the order of their names.
            let said = backend.get_budget_status(&budget_id(*budget)).await.map(|mut status| {
                let ordered = |of: &mut std::collections::HashMap<String, u64>| {
                    std::mem::take(of).into_iter().collect::<BTreeMap<_, _>>()
                };
                let usage = ordered(&mut status.usage);
                let limits = (ordered(&mut status.hard_limits), ordered(&mut status.soft_limits));
                (status, usage, limits)
            });
            Answer::new("get_budget_status", said)
        }
        Call::UsageAndLimits { budget } => {
            let said = backend.read_budget_usage_and_limits(&budget_id(*budget)).await;
            Answer::new("read_budget_usage_and_limits", said)
        }
        Call::List { after, limit } => {
            let said = backend.list_budgets(after.map(budget_id), *limit).await;
            Answer::new("list_budgets", said)
        }
        Call::Overages { budget, after, limit } => {
            let said = backend.list_budget_overages(&budget_id(*budget), *after, *limit).await;
            Answer::new("list_budget_overages", said)
        }
        Call::Limits { quota } => {
            let said = backend.read_quota_policy_limits(&quota_id(*quota)).await;
            Answer::new("read_quota_policy_limits", said)
        }
        Call::ListQuotas { after, limit } => {
            let said = backend.list_quota_policies(after.map(quota_id), *limit).await;
            Answer::new("list_quota_policies", said)
        }
        other => unreachable!("{other:?} reads nothing"),
    }
}
