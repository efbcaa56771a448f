//! The registry of workers in random sequences: who announces itself, who falls silent.

use ff_core::contracts::{
    HeartbeatWorkerArgs, ListWorkersArgs, MarkWorkerDeadArgs, RegisterWorkerArgs,
};
use ff_core::types::{LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};

use super::alphabet::{CAPABILITIES, Command, LANES, SPANS, Step, small};
use super::compare::Answer;
use crate::dice::Dice;
use crate::probe::Engine;

/// Instances of the world; the last has no name.
const INSTANCES: u64 = 4;

/// Namespaces in which they register.
const NAMESPACES: [&str; 2] = ["even", "odd"];

/// One call about the registry. An instance belongs to the worker of its number unless it says
/// that it is another one's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Register { namespace: u8, instance: u8, is_anothers: bool, lanes: u8, has: u8, ttl: u64 },
    Heartbeat { namespace: u8, instance: u8 },
    MarkDead { namespace: u8, instance: u8, reason: u8 },
    List { namespace: Option<u8>, after: Option<u8>, limit: Option<u32> },
    Status { namespace: u8 },
}

/// The operations that a full run must have seen succeed.
pub const OPERATIONS: [&str; 5] = [
    "register_worker",
    "heartbeat_worker",
    "mark_worker_dead",
    "list_workers",
    "list_worker_status",
];

pub(super) fn call(dice: &mut Dice) -> Call {
    let (namespace, instance) = (small(dice, 2), instance(dice));
    match dice.below(100) {
        0..=39 => Call::Register {
            namespace,
            instance,
            is_anothers: dice.chance(8),
            lanes: dice.pick(&[0, 0, 1, 1, 1, 2, 2, 2, 3, 4]),
            has: dice.pick(&[0, 0, 1, 2, 2, 2, 3, 3, 3, 4]),
            ttl: if dice.chance(5) {
                dice.pick(&[0, 86_400_000, 86_400_001])
            } else {
                dice.pick(&SPANS)
            },
        },
        40..=64 => Call::Heartbeat { namespace, instance },
        65..=74 => Call::MarkDead { namespace, instance, reason: small(dice, 3) },
        75..=91 => Call::List {
            namespace: (!dice.chance(5)).then_some(namespace),
            after: dice.chance(30).then_some(instance),
            limit: dice.pick(&[None, Some(0), Some(1), Some(2)]),
        },
        _ => Call::Status { namespace },
    }
}

/// A worker that announces itself and is asked for as its registration ends.
pub(super) fn burst(dice: &mut Dice) -> Vec<Command> {
    let (namespace, instance) = (small(dice, 2), small(dice, 3));
    let (ttl, is_anothers) = (dice.pick(&SPANS), false);
    let first = Call::Register { namespace, instance, is_anothers, lanes: 2, has: 2, ttl };
    let wait = dice.pick(&[ttl - 1, ttl, ttl + 1]);
    let then = match dice.below(3) {
        0 => Call::Heartbeat { namespace, instance },
        1 => Call::Register { namespace, instance, is_anothers, lanes: 1, has: 0, ttl },
        _ => Call::MarkDead { namespace, instance, reason: 0 },
    };
    vec![
        Command::Registry(first),
        Command::Time(Step::By(wait)),
        Command::Registry(then),
        Command::Registry(Call::List { namespace: Some(namespace), after: None, limit: None }),
    ]
}

/// What is read of the registry at the end of a sequence.
pub(super) fn last_reads() -> Vec<Call> {
    let of = |namespace| {
        let list = Call::List { namespace: Some(namespace), after: None, limit: None };
        [list, Call::Status { namespace }]
    };
    (0..2).flat_map(of).collect()
}

fn instance(dice: &mut Dice) -> u8 {
    if dice.chance(96) { small(dice, INSTANCES - 1) } else { small(dice, INSTANCES) }
}

fn instance_id(instance: u8) -> WorkerInstanceId {
    if u64::from(instance) + 1 == INSTANCES {
        return WorkerInstanceId::new("");
    }
    WorkerInstanceId::new(format!("instance-{instance}"))
}

fn namespace_of(namespace: u8) -> Namespace {
    Namespace::new(NAMESPACES[usize::from(namespace)])
}

/// No clock of a caller decides anything.
const NOW: TimestampMs = TimestampMs(7);

pub(super) async fn ask(engine: &Engine, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Register { namespace, instance, is_anothers, lanes, has, ttl } => {
            let named: &[&str] = match lanes {
                0 => &[],
                1 => &LANES[..1],
                2 => &LANES,
                3 => &["a,b"],
                _ => &[""],
            };
            let tokens = CAPABILITIES.get(usize::from(*has)).copied().unwrap_or(&["two words"]);
            let args = RegisterWorkerArgs::new(
                WorkerId::new(format!("worker-{}", instance + u8::from(*is_anothers))),
                instance_id(*instance),
                named.iter().map(|lane| LaneId::new(*lane)).collect(),
                tokens.iter().map(|token| (*token).to_owned()).collect(),
                *ttl,
                namespace_of(*namespace),
                NOW,
            );
            Answer::new("register_worker", backend.register_worker(args).await)
        }
        Call::Heartbeat { namespace, instance } => {
            let args =
                HeartbeatWorkerArgs::new(instance_id(*instance), namespace_of(*namespace), NOW);
            Answer::new("heartbeat_worker", backend.heartbeat_worker(args).await)
        }
        Call::MarkDead { namespace, instance, reason } => {
            let reason = match reason {
                0 => "gone".to_owned(),
                1 => String::new(),
                _ => "r".repeat(257),
            };
            let (instance, namespace) = (instance_id(*instance), namespace_of(*namespace));
            let args = MarkWorkerDeadArgs::new(instance, namespace, reason, NOW);
            Answer::new("mark_worker_dead", backend.mark_worker_dead(args).await)
        }
        Call::List { namespace, after, limit } => {
            let mut args = ListWorkersArgs::new();
            args.namespace = namespace.map(namespace_of);
            args.after = after.map(instance_id);
            args.limit = *limit;
            Answer::new("list_workers", backend.list_workers(args).await)
        }
        Call::Status { namespace } => {
            let said = backend.list_worker_status(&namespace_of(*namespace)).await;
            Answer::new("list_worker_status", said)
        }
    }
}
