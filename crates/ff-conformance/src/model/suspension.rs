//! Waiting in random sequences: keys, waitpoints, suspensions, signals and what goes on after them.

use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{Handle, ResumeToken, stub_handle_fresh};
use ff_core::contracts::*;
use ff_core::partition::PartitionKey;
use ff_core::types::{
    AttemptIndex, ExecutionId, LeaseId, SignalId, SuspensionId, TimestampMs, WaitpointId,
    WaitpointToken,
};
use uuid::Uuid;

use super::alphabet::{Command, NEWEST, Proof, Tweak, Worker, proof, slot, small, worker};
use super::compare::Answer;
use super::driver::{World, partition};
use super::lane::lane;
use super::lease::{self, instance_id, worker_id};
use crate::dice::Dice;
use crate::probe::Engine;

/// Conditions of the world; the last two are refused.
const CONDITIONS: u64 = 11;

/// Keys under which waitpoints stand.
const KEYS: [&str; 2] = ["a", "b"];

/// Names of signals.
const NAMES: [&str; 2] = ["go", "stop"];

/// A waitpoint that an engine made, and the token that opens it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wait {
    pub(super) execution_id: ExecutionId,
    pub(super) waitpoint_id: WaitpointId,
    pub(super) token: WaitpointToken,
}

/// How an attempt wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is one choice of the generator")]
pub struct Wish {
    pub condition: u8,
    pub timeout: Option<i64>,
    pub behavior: u8,
    pub key: Option<u8>,
    /// Waits at the waitpoint made last instead of a new one.
    pub uses_pending: bool,
    /// Binds the id of the waitpoint made last again.
    pub takes_known_id: bool,
    pub keeps_signals: bool,
}

/// What a delivery shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what is shown")]
pub enum Shown {
    Right,
    OfAnother,
    Wrong,
    Nothing,
}

/// One call about waiting. Waitpoints are named by age: 0 is the one made last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Seed { kid: u8, secret: u8 },
    Rotate { kid: u8, secret: u8, grace: u64 },
    CreateWaitpoint { proof: Proof, key: u8, expires_in: u64 },
    Suspend { proof: Proof, wish: Wish },
    SuspendByTriple { proof: Proof, wish: Wish },
    Deliver { at: u8, shown: Shown, id: Option<u8>, name: u8, key: Option<u8>, delay: Option<u64> },
    Approve { at: u8, name: u8, suffix: u8, lane: u8 },
    Answer { at: u8, name: u8, key: Option<u8> },
    Observe(Proof),
    Resume { slot: u8, trigger: u8, delay: u64 },
    ClaimResumed { slot: u8, worker: Worker },
    ClaimFromGrant { slot: u8, worker: Worker },
    ListWaiting { lane: Option<u8>, after: Option<u8>, limit: u32 },
    ListPending { slot: u8, limit: u32 },
    ListSuspended { slot: u8, is_after: bool, limit: usize },
    ReadToken { at: u8 },
}

/// The operations that a full run must have seen succeed.
pub const OPERATIONS: [&str; 16] = [
    "seed_waitpoint_hmac_secret",
    "rotate_waitpoint_hmac_secret_all",
    "create_waitpoint",
    "suspend",
    "suspend_by_triple",
    "deliver_signal",
    "deliver_approval_signal",
    "answer_waitpoint",
    "observe_signals",
    "resume_execution",
    "claim_resumed_execution",
    "claim_from_resume_grant",
    "list_waiting",
    "list_pending_waitpoints",
    "list_suspended",
    "read_waitpoint_token",
];

pub(super) fn call(dice: &mut Dice) -> Call {
    match dice.below(100) {
        0 => Call::Seed { kid: small(dice, 2), secret: small(dice, 2) },
        1..=4 => Call::Rotate {
            kid: small(dice, 4),
            secret: small(dice, 2),
            grace: dice.pick(&[0, 50, 100_000]),
        },
        5..=14 => Call::CreateWaitpoint {
            proof: proof(dice),
            key: small(dice, 2),
            expires_in: dice.pick(&[0, 50, 100, 100_000]),
        },
        15..=31 => Call::Suspend { proof: proof(dice), wish: wish(dice) },
        32..=37 => Call::SuspendByTriple { proof: proof(dice), wish: wish(dice) },
        38..=57 => deliver(dice),
        58..=61 => Call::Approve {
            at: age(dice),
            name: small(dice, 2),
            suffix: small(dice, 2),
            lane: small(dice, 2),
        },
        62..=66 => Call::Answer {
            at: age(dice),
            name: small(dice, 2),
            key: dice.pick(&[None, Some(0), Some(1)]),
        },
        67..=70 => Call::Observe(proof(dice)),
        71..=75 => Call::Resume {
            slot: slot(dice),
            trigger: small(dice, 4),
            delay: dice.pick(&[0, 0, 50]),
        },
        76..=81 => Call::ClaimResumed { slot: slot(dice), worker: worker(dice) },
        82..=87 => Call::ClaimFromGrant { slot: slot(dice), worker: worker(dice) },
        88..=90 => Call::ListWaiting {
            lane: dice.pick(&[None, Some(0), Some(1)]),
            after: dice.chance(30).then(|| slot(dice)),
            limit: dice.pick(&[0, 1, 100]),
        },
        91..=93 => Call::ListPending { slot: slot(dice), limit: dice.pick(&[0, 1, 100]) },
        94..=96 => Call::ListSuspended {
            slot: slot(dice),
            is_after: dice.chance(30),
            limit: dice.pick(&[0, 1, 100]),
        },
        _ => Call::ReadToken { at: age(dice) },
    }
}

/// A claim that waits, is signalled and goes on.
pub(super) fn burst(dice: &mut Dice) -> Vec<Command> {
    let own = Proof { age: 0, tweak: Tweak::None };
    let worker = Worker { has: 2, ttl: 200, ..worker(dice) };
    let mut wish = Wish { takes_known_id: false, keeps_signals: false, ..wish(dice) };
    let mut commands = vec![Command::Lease(lease::Call::Claim { lane: small(dice, 2), worker })];
    wish.uses_pending = dice.chance(35);
    if wish.uses_pending {
        let key = small(dice, 2);
        commands.push(Command::Waiting(Call::CreateWaitpoint { proof: own, key, expires_in: 150 }));
        if dice.chance(60) {
            commands.push(Command::Waiting(deliver(dice)));
        }
        wish.condition = small(dice, 2);
    }
    commands.push(Command::Waiting(Call::Suspend { proof: own, wish }));
    for _ in 0..dice.below(4) {
        commands.push(Command::Waiting(deliver(dice)));
    }
    let end = match dice.below(4) {
        0 => Command::Time(super::alphabet::Step::ToBoundary(0)),
        1 => Command::Waiting(Call::Resume { slot: NEWEST, trigger: small(dice, 3), delay: 0 }),
        _ => Command::Waiting(deliver(dice)),
    };
    commands.push(end);
    commands.push(Command::Waiting(if dice.chance(50) {
        Call::ClaimResumed { slot: NEWEST, worker }
    } else {
        Call::ClaimFromGrant { slot: NEWEST, worker }
    }));
    commands.push(Command::Waiting(Call::Observe(own)));
    commands
}

fn age(dice: &mut Dice) -> u8 {
    dice.pick(&[0, 0, 0, 0, 1, 1, 2, 3, 7])
}

fn wish(dice: &mut Dice) -> Wish {
    Wish {
        condition: if dice.chance(90) { small(dice, 9) } else { small(dice, CONDITIONS) },
        timeout: dice.pick(&[None, None, Some(-1), Some(0), Some(50), Some(100), Some(200)]),
        behavior: small(dice, 5),
        key: dice.pick(&[None, None, None, Some(0), Some(1)]),
        uses_pending: dice.chance(15),
        takes_known_id: dice.chance(4),
        keeps_signals: dice.chance(3),
    }
}

fn deliver(dice: &mut Dice) -> Call {
    Call::Deliver {
        at: age(dice),
        shown: match dice.below(100) {
            0..=84 => Shown::Right,
            85..=89 => Shown::OfAnother,
            90..=96 => Shown::Wrong,
            _ => Shown::Nothing,
        },
        id: dice.chance(25).then(|| small(dice, 3)),
        name: small(dice, 2),
        key: dice.pick(&[None, None, None, Some(0), Some(1)]),
        delay: dice.pick(&[None, None, None, Some(0), Some(50)]),
    }
}

pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Seed { kid, secret: with } => {
            let args = SeedWaitpointHmacSecretArgs::new(format!("k{kid}"), secret(*with));
            let said = backend.seed_waitpoint_hmac_secret(args).await;
            Answer::new("seed_waitpoint_hmac_secret", said)
        }
        Call::Rotate { kid, secret: with, grace } => {
            let kid = format!("k{kid}");
            let args = RotateWaitpointHmacSecretAllArgs::new(kid, secret(*with), *grace);
            let said = backend.rotate_waitpoint_hmac_secret_all(args).await;
            Answer::new("rotate_waitpoint_hmac_secret_all", said)
        }
        Call::CreateWaitpoint { proof, key, expires_in } => {
            let handle = world.handle(engine, *proof);
            let expires_in = Duration::from_millis(*expires_in);
            let said = backend.create_waitpoint(&handle, KEYS[usize::from(*key)], expires_in).await;
            let (execution_id, _, _) = world.fence(*proof);
            let made = said.iter().map(|made| Wait {
                execution_id: execution_id.clone(),
                waitpoint_id: made.waitpoint_id.clone(),
                token: made.hmac_token.token().clone(),
            });
            let waits = made.collect();
            Answer { waits, ..Answer::new("create_waitpoint", said) }
        }
        Call::Suspend { proof, wish } => {
            let said = backend.suspend(&world.handle(engine, *proof), wished(world, *wish)).await;
            parked("suspend", &world.fence(*proof).0, said)
        }
        Call::SuspendByTriple { proof, wish } => {
            let (id, _, fence) = world.fence(*proof);
            let Some(fence) = fence else {
                let none = EngineError::NotFound { entity: "triple" };
                return Answer::new::<()>("suspend_by_triple", Err(none));
            };
            let said = backend.suspend_by_triple(id.clone(), fence, wished(world, *wish)).await;
            parked("suspend_by_triple", &id, said)
        }
        Call::Observe(proof) => {
            let said = backend.observe_signals(&world.handle(engine, *proof)).await;
            Answer::new("observe_signals", said)
        }
        Call::Resume { slot, trigger, delay } => {
            let args = ResumeExecutionArgs {
                execution_id: world.id(*slot).clone(),
                trigger_type: ["signal", "operator", "auto_resume", "whim"][usize::from(*trigger)]
                    .to_owned(),
                resume_delay_ms: *delay,
            };
            Answer::new("resume_execution", backend.resume_execution(args).await)
        }
        Call::Deliver { .. } | Call::Approve { .. } | Call::Answer { .. } => {
            signal(engine, world, call).await
        }
        Call::ClaimResumed { slot, worker } | Call::ClaimFromGrant { slot, worker } => {
            let is_by_grant = matches!(call, Call::ClaimFromGrant { .. });
            claim(engine, world, (*slot, *worker), is_by_grant).await
        }
        Call::ListWaiting { .. }
        | Call::ListPending { .. }
        | Call::ListSuspended { .. }
        | Call::ReadToken { .. } => read(engine, world, call).await,
    }
}

async fn signal(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Approve { at, name, suffix, lane: index } => {
            let wait = wait(world, *at);
            let args = DeliverApprovalSignalArgs::new(
                wait.execution_id,
                lane(*index),
                wait.waitpoint_id,
                NAMES[usize::from(*name)],
                format!("suffix-{suffix}"),
                100,
                None,
                None,
            );
            Answer::new("deliver_approval_signal", backend.deliver_approval_signal(args).await)
        }
        Call::Answer { at, name, key } => {
            let wait = wait(world, *at);
            let name = NAMES[usize::from(*name)];
            let mut args =
                AnswerWaitpointArgs::new(wait.execution_id, wait.waitpoint_id, name, "ada");
            args.idempotency_key = key.map(|key| format!("key-{key}"));
            Answer::new("answer_waitpoint", backend.answer_waitpoint(args).await)
        }
        Call::Deliver { at, shown, id, name, key, delay } => {
            let at = (*at, *shown);
            let mut args = delivery(world, at, *id, NAMES[usize::from(*name)]);
            args.idempotency_key = key.map(|key| format!("key-{key}"));
            args.resume_delay_ms = *delay;
            Answer::new("deliver_signal", backend.deliver_signal(args).await)
        }
        other => unreachable!("{other:?} sends no signal"),
    }
}

fn delivery(world: &World, at: (u8, Shown), id: Option<u8>, name: &str) -> DeliverSignalArgs {
    let (age, shown) = at;
    let to = wait(world, age);
    let token = match shown {
        Shown::Right => to.token,
        Shown::OfAnother => wait(world, age.wrapping_add(1)).token,
        Shown::Wrong => WaitpointToken::new(format!("k0:{}", "0".repeat(64))),
        Shown::Nothing => WaitpointToken::new(""),
    };
    let id = id.map_or_else(|| fresh(world, 200), |id| Uuid::from_u128(u128::from(id) + 1));
    DeliverSignalArgs {
        execution_id: to.execution_id,
        waitpoint_id: to.waitpoint_id,
        signal_id: SignalId::from_uuid(id),
        signal_name: name.to_owned(),
        signal_category: "external".to_owned(),
        source_type: "person".to_owned(),
        source_identity: if name == NAMES[0] { "ada" } else { "grace" }.to_owned(),
        payload: Some(b"yes".to_vec()),
        payload_encoding: None,
        correlation_id: None,
        idempotency_key: None,
        target_scope: "waitpoint".to_owned(),
        created_at: None,
        dedup_ttl_ms: Some(100),
        resume_delay_ms: None,
        max_signals_per_execution: None,
        signal_maxlen: None,
        waitpoint_token: token,
        now: TimestampMs(0),
    }
}

async fn claim(
    engine: &Engine,
    world: &World,
    (slot, worker): (u8, Worker),
    is_by_grant: bool,
) -> Answer {
    let backend = engine.backend();
    let id = world.id(slot).clone();
    let described = backend.describe_execution(&id).await.ok().flatten();
    let lane_id = described.as_ref().map_or_else(|| lane(0), |seen| seen.lane_id.clone());
    let attempt = described.and_then(|seen| seen.current_attempt);
    if is_by_grant {
        let key = PartitionKey::from(&partition(&id));
        let grant = ResumeGrant::new(id, key, "grant".to_owned(), u64::MAX, lane_id);
        let ttl = u32::try_from(worker.ttl).unwrap_or(u32::MAX);
        let token = ResumeToken::new(grant, worker_id(worker), instance_id(worker), ttl);
        let said = backend.claim_from_resume_grant(token).await;
        let handles: Vec<Handle> = said.iter().flatten().cloned().collect();
        let said = said.map(|claimed| claimed.map(|handle| handle.kind));
        return Answer::new("claim_from_resume_grant", said).with_handles(&handles);
    }
    let args = ClaimResumedExecutionArgs {
        execution_id: id,
        worker_id: worker_id(worker),
        worker_instance_id: instance_id(worker),
        lane_id,
        lease_id: LeaseId::from_uuid(fresh(world, 100)),
        lease_ttl_ms: worker.ttl,
        current_attempt_index: attempt.map_or(AttemptIndex(0), |attempt| attempt.attempt_index),
        remaining_attempt_timeout_ms: None,
        now: TimestampMs(0),
    };
    let mut handles = Vec::new();
    let said = backend.claim_resumed_execution(args).await.map(|said| {
        let ClaimResumedExecutionResult::Claimed(mut claimed) = said;
        handles.push(std::mem::replace(&mut claimed.handle, stub_handle_fresh()));
        claimed
    });
    Answer::new("claim_resumed_execution", said).with_handles(&handles)
}

async fn read(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::ListWaiting { lane: index, after, limit } => {
            let mut args = ListWaitingArgs::new();
            args.lane_id = index.map(lane);
            args.after = after.map(|slot| world.id(slot).clone());
            args.limit = Some(*limit);
            Answer::new("list_waiting", backend.list_waiting(args).await)
        }
        Call::ListPending { slot, limit } => {
            let args = ListPendingWaitpointsArgs::new(world.id(*slot).clone()).with_limit(*limit);
            Answer::new("list_pending_waitpoints", backend.list_pending_waitpoints(args).await)
        }
        Call::ListSuspended { slot, is_after, limit } => {
            let id = world.id(*slot);
            let key = PartitionKey::from(&partition(id));
            let after = is_after.then(|| id.clone());
            Answer::new("list_suspended", backend.list_suspended(key, after, *limit).await)
        }
        Call::ReadToken { at } => {
            let wait = wait(world, *at);
            let key = PartitionKey::from(&partition(&wait.execution_id));
            let said = backend.read_waitpoint_token(key, &wait.waitpoint_id).await;
            Answer::new("read_waitpoint_token", said)
        }
        other => unreachable!("{other:?} reads nothing"),
    }
}

fn parked(
    operation: &'static str,
    execution_id: &ExecutionId,
    said: Result<SuspendOutcome, EngineError>,
) -> Answer {
    let mut waits = Vec::new();
    if let Ok(outcome) = &said {
        let details = outcome.details();
        let mut keep = |waitpoint_id: &WaitpointId, token: &WaitpointToken| {
            waits.push(Wait {
                execution_id: execution_id.clone(),
                waitpoint_id: waitpoint_id.clone(),
                token: token.clone(),
            });
        };
        for extra in &details.additional_waitpoints {
            keep(&extra.waitpoint_id, extra.waitpoint_token.token());
        }
        keep(&details.waitpoint_id, details.waitpoint_token.token());
    }
    let handles: Vec<Handle> = said
        .iter()
        .filter_map(|outcome| match outcome {
            SuspendOutcome::Suspended { handle, .. } => Some(handle.clone()),
            _ => None,
        })
        .collect();
    let said = said.map(|outcome| match outcome {
        SuspendOutcome::Suspended { details, .. } => {
            SuspendOutcome::Suspended { details, handle: stub_handle_fresh() }
        }
        other => other,
    });
    Answer { waits, ..Answer::new(operation, said).with_handles(&handles) }
}

/// The waitpoint of this age, or one that nobody made.
fn wait(world: &World, age: u8) -> Wait {
    let made = world.waits.len();
    if made == 0 {
        return Wait {
            execution_id: world.id(0).clone(),
            waitpoint_id: WaitpointId::from_uuid(Uuid::from_u128(1)),
            token: WaitpointToken::new("k0:"),
        };
    }
    world.waits[made - 1 - usize::from(age) % made].clone()
}

/// An id that the caller draws: the same for both engines, another one in every step.
fn fresh(world: &World, number: u128) -> Uuid {
    let step = u128::try_from(world.step).unwrap_or(0);
    Uuid::from_u128((step + 1) << 16 | number)
}

fn secret(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

fn wished(world: &World, wish: Wish) -> SuspendArgs {
    let newest = wait(world, 0).waitpoint_id;
    let mut waitpoints: Vec<WaitpointBinding> = (0_u128..)
        .zip(KEYS)
        .map(|(number, key)| WaitpointBinding::Fresh {
            waitpoint_id: WaitpointId::from_uuid(fresh(world, number)),
            waitpoint_key: key.to_owned(),
        })
        .collect();
    if wish.uses_pending {
        waitpoints = vec![WaitpointBinding::UsePending { waitpoint_id: newest }];
    } else if wish.takes_known_id {
        let waitpoint_key = KEYS[0].to_owned();
        waitpoints[0] = WaitpointBinding::Fresh { waitpoint_id: newest, waitpoint_key };
    }
    let is_composite = matches!(wish.condition, 2..=5 | 9..);
    if !is_composite {
        waitpoints.truncate(1);
    }
    let mut policy = ResumePolicy::normal();
    policy.retain_signal_buffer_until_closed = wish.keeps_signals;
    let mut args = SuspendArgs::new(
        SuspensionId::from_uuid(fresh(world, 50)),
        waitpoints[0].clone(),
        condition(wish.condition),
        policy,
        SuspensionReasonCode::WaitingForApproval,
        world.later(0),
    )
    .with_waitpoints(waitpoints);
    if let Some(by) = wish.timeout {
        args = args.with_timeout(world.later(by), behavior(wish.behavior));
    }
    args.idempotency_key = wish.key.map(|key| IdempotencyKey::new(format!("wait-{key}")));
    args
}

fn condition(number: u8) -> ResumeCondition {
    let single =
        |key: &str, matcher| ResumeCondition::Single { waitpoint_key: key.to_owned(), matcher };
    let go = SignalMatcher::ByName(NAMES[0].to_owned());
    let count = |n, kind, matcher| {
        let keys = KEYS.map(str::to_owned);
        ResumeCondition::Composite(CompositeBody::count(n, kind, matcher, keys))
    };
    match number {
        0 => single(KEYS[0], SignalMatcher::Wildcard),
        1 => single(KEYS[0], go),
        2 => ResumeCondition::all_of_waitpoints(KEYS),
        3 => count(2, CountKind::DistinctSignals, None),
        4 => count(2, CountKind::DistinctWaitpoints, None),
        5 => count(2, CountKind::DistinctSources, None),
        6 => ResumeCondition::OperatorOnly,
        7 => ResumeCondition::TimeoutOnly,
        8 => single(KEYS[0], SignalMatcher::ByName("never".to_owned())),
        9 => count(0, CountKind::DistinctSignals, Some(go)),
        _ => count(3, CountKind::DistinctWaitpoints, Some(go)),
    }
}

fn behavior(number: u8) -> TimeoutBehavior {
    match number {
        0 => TimeoutBehavior::Fail,
        1 => TimeoutBehavior::Cancel,
        2 => TimeoutBehavior::Expire,
        3 => TimeoutBehavior::AutoResumeWithTimeoutSignal,
        _ => TimeoutBehavior::Escalate,
    }
}
