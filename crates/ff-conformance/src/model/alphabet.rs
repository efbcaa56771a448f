//! What a random sequence is made of: commands over a world so small that they collide.
//!
//! A command names executions by slot and handles by age (0 is the newest), so it keeps a meaning
//! when commands before it are removed. What a name stands for is looked up when it runs.

use super::{budget, execution, flow, lane, lease, stream, suspension, worker as registry};
use crate::dice::Dice;

/// Executions of the world.
pub const SLOTS: u8 = 6;

/// Executions of the world with the nodes of its submitted graphs, which come behind the others.
pub const ALL_SLOTS: u8 = SLOTS + flow::FLOWS * flow::NODES;

/// The slot of the execution that was claimed last.
pub const NEWEST: u8 = u8::MAX;

/// Lanes of the world.
pub const LANES: [&str; 2] = ["fast", "slow"];

/// Capability sets that workers offer and executions ask for.
pub const CAPABILITIES: [&[&str]; 4] = [&[], &["gpu"], &["gpu", "eu"], &["eu"]];

/// The index of an offer that is none of the sets.
pub const MALFORMED_OFFER: u8 = u8::MAX;

/// Milliseconds that leases, grants, delays and time-outs take, so that they end together.
pub const SPANS: [u64; 4] = [10, 50, 100, 200];

/// How a create differs from the plainest one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is one choice of the generator")]
pub struct Birth {
    pub slot: u8,
    pub lane: u8,
    pub needs: u8,
    pub key: Option<u8>,
    pub payload: u8,
    pub priority: i32,
    pub delay: Option<i64>,
    pub deadline: Option<i64>,
    pub policy: Policy,
    /// The budgets it is held to, a bit for each.
    pub budgets: u8,
    pub flaw: Flaw,
}

/// The policies of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what it sets")]
pub enum Policy {
    None,
    RetryFixed,
    RetryExponentialWithJitter,
    RetryTimeoutsOnly,
    AttemptTimeout,
    Deadline,
    OneReclaim,
    OneReplay,
    ShortDedup,
    DelayedByPolicy,
    ShortStream,
}

/// What is wrong with a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what is wrong")]
pub enum Flaw {
    None,
    PayloadTooLarge,
    LaneEmpty,
    CapabilityWithSpace,
    PolicyUnsupported,
    PolicyOutOfBounds,
    TagKeyTooLong,
    DelayTooFar,
    KindTooLong,
}

/// What is wrong with a shown proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what is wrong")]
pub enum Tweak {
    None,
    EpochAhead,
    EpochBehind,
    OtherLease,
    OtherAttemptId,
    OtherIndex,
    /// A triple that is not given; a handle of another backend.
    Absent,
    /// A handle that is no handle.
    Garbled,
}

/// A proof of ownership: the handle of this age, with something wrong or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "age and tweak say it")]
pub struct Proof {
    pub age: u8,
    pub tweak: Tweak,
}

/// One worker's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is one choice of the generator")]
pub struct Worker {
    pub number: u8,
    pub has: u8,
    pub ttl: u64,
}

/// Who says that an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Source {
    Operator,
    Holder,
    Custom,
}

/// A read of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the read it makes")]
pub enum Read {
    Describe,
    State,
    Info,
    Context,
    Result,
    AttemptIndex,
    AttemptCount,
    Namespace,
    Summary,
    Attempts,
    Transitions,
    Tag,
    BadTag,
    Prefix,
    Missing,
}

/// All reads, for the generator and for the end of a sequence.
pub const READS: [Read; 15] = [
    Read::Describe,
    Read::State,
    Read::Info,
    Read::Context,
    Read::Result,
    Read::AttemptIndex,
    Read::AttemptCount,
    Read::Namespace,
    Read::Summary,
    Read::Attempts,
    Read::Transitions,
    Read::Tag,
    Read::BadTag,
    Read::Prefix,
    Read::Missing,
];

/// How the time moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says how")]
pub enum Step {
    By(u64),
    /// To the next instant at which something is due, plus this many milliseconds.
    ToBoundary(i64),
    /// The wall clock alone, backwards.
    Back(i64),
    /// Past the retention of ended executions, so that a sweep forgets.
    Far,
}

/// One step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Command {
    Execution(execution::Call),
    Lease(lease::Call),
    Lane(lane::Call),
    ServerTime,
    Ping,
    Sweep,
    Time(Step),
    Waiting(suspension::Call),
    Flow(flow::Call),
    Stream(stream::Call),
    Registry(registry::Call),
    Budget(budget::Call),
}

/// The operations that a full run must have seen succeed, by the names of the coverage table.
pub const OPERATIONS: [&str; 50] = [
    "create_execution",
    "create_executions",
    "claim",
    "claim_batch",
    "claim_for_worker",
    "issue_claim_grant",
    "claim_execution",
    "issue_grant_and_claim",
    "renew",
    "renew_lease",
    "revoke_lease",
    "issue_reclaim_grant",
    "reclaim_execution",
    "list_expired_leases",
    "check_leases",
    "complete",
    "complete_execution",
    "fail",
    "fail_execution",
    "cancel",
    "cancel_execution",
    "delay",
    "release_lease",
    "progress",
    "change_priority",
    "replay_execution",
    "set_execution_tag",
    "set_lane_state",
    "describe_execution",
    "read_execution_state",
    "read_execution_info",
    "read_execution_context",
    "get_execution_result",
    "read_current_attempt_index",
    "read_total_attempt_count",
    "get_execution_namespace",
    "describe_summary",
    "list_attempts",
    "list_transitions",
    "get_execution_tag",
    "resolve_execution_prefix",
    "list_lanes",
    "list_lane_status",
    "list_executions",
    "find_executions",
    "server_time_ms",
    "ping",
    "sweep",
    "clock.advance",
    "clock.back",
];

/// The sequence of a seed. A longer one begins with the shorter one.
pub fn sequence(seed: u64, length: usize) -> Vec<Command> {
    let mut dice = Dice::new(seed);
    let mut commands = Vec::with_capacity(length + 4);
    // A world without executions only answers that nothing is there.
    while commands.len() < 4.min(length) {
        commands.push(Command::Execution(execution::Call::Create(birth(&mut dice, 0))));
    }
    while commands.len() < length {
        if dice.chance(6) {
            commands.extend(burst(&mut dice));
        } else if dice.chance(3) {
            commands.extend(flow::burst(&mut dice).into_iter().map(Command::Flow));
        } else if dice.chance(12) {
            commands.push(Command::Flow(flow::call(&mut dice)));
        } else if dice.chance(3) {
            commands.extend(suspension::burst(&mut dice));
        } else if dice.chance(12) {
            commands.push(Command::Waiting(suspension::call(&mut dice)));
        } else if dice.chance(3) {
            commands.extend(budget::burst(&mut dice));
        } else if dice.chance(11) {
            commands.push(Command::Budget(budget::call(&mut dice)));
        } else if dice.chance(2) {
            commands.extend(stream::burst(&mut dice));
        } else if dice.chance(6) {
            commands.push(Command::Stream(stream::call(&mut dice)));
        } else if dice.chance(1) {
            commands.extend(registry::burst(&mut dice));
        } else if dice.chance(5) {
            commands.push(Command::Registry(registry::call(&mut dice)));
        } else {
            commands.push(command(&mut dice));
        }
    }
    commands.truncate(length);
    commands
}

/// Commands that rarely meet by chance.
fn burst(dice: &mut Dice) -> Vec<Command> {
    let (slot, worker) = (slot(dice), Worker { has: 2, ..worker(dice) });
    let claim = Command::Lease(lease::Call::Claim { lane: lane(dice), worker });
    let wait = Command::Time(dice.pick(&[
        Step::ToBoundary(0),
        Step::ToBoundary(0),
        Step::By(worker.ttl.min(200)),
        Step::By(worker.ttl.min(200) + 1),
        Step::By(worker.ttl.min(200).saturating_sub(1)),
    ]));
    match dice.below(4) {
        0 => vec![
            Command::Lease(lease::Call::IssueClaimGrant { slot, worker }),
            Command::Lease(lease::Call::ClaimExecution { slot, worker, timeout: None }),
        ],
        1 => vec![
            Command::Lease(lease::Call::IssueClaimGrant { slot, worker }),
            wait,
            Command::Lease(lease::Call::ClaimExecution { slot, worker, timeout: Some(50) }),
        ],
        2 => vec![
            claim,
            if dice.chance(50) {
                Command::Lease(lease::Call::Revoke { slot: NEWEST, lease: Tweak::None })
            } else {
                wait
            },
            Command::Lease(lease::Call::IssueReclaimGrant { slot: NEWEST, worker }),
            Command::Lease(lease::Call::Reclaim { slot: NEWEST, worker, cap: None }),
        ],
        _ => vec![
            claim,
            Command::Time(Step::ToBoundary(0)),
            Command::Lease(lease::Call::IssueReclaimGrant { slot: NEWEST, worker }),
            wait,
            Command::Lease(lease::Call::Reclaim { slot: NEWEST, worker, cap: Some(0) }),
        ],
    }
}

fn command(dice: &mut Dice) -> Command {
    match dice.below(100) {
        0..=9 => Command::Execution(execution::Call::Create(birth(dice, 12))),
        10..=11 => {
            let rows = 1 + dice.below(3);
            Command::Execution(execution::Call::CreateBatch(
                (0..rows).map(|_| birth(dice, 6)).collect(),
            ))
        }
        12..=23 => Command::Lease(lease::Call::Claim { lane: lane(dice), worker: worker(dice) }),
        24..=26 => Command::Lease(lease::Call::ClaimBatch {
            lanes: dice.pick(&[0, 1, 2, 2, 2, 2, 2, 2, 2, 3]),
            worker: worker(dice),
            max: dice.pick(&[1, 1, 2, 2, 2, 3, 3, 6, 256, 0, 257]),
        }),
        27..=28 => {
            Command::Lease(lease::Call::ClaimForWorker { lane: lane(dice), worker: worker(dice) })
        }
        29..=31 => {
            Command::Lease(lease::Call::IssueClaimGrant { slot: slot(dice), worker: worker(dice) })
        }
        32..=34 => Command::Lease(lease::Call::ClaimExecution {
            slot: slot(dice),
            worker: worker(dice),
            timeout: dice.pick(&[None, None, Some(0), Some(50)]),
        }),
        35..=36 => {
            Command::Lease(lease::Call::IssueGrantAndClaim { slot: slot(dice), ttl: span(dice) })
        }
        37..=39 => Command::Lease(lease::Call::Renew(proof(dice))),
        40..=41 => Command::Lease(lease::Call::RenewLease { proof: proof(dice), ttl: span(dice) }),
        42..=43 => Command::Lease(lease::Call::Revoke {
            slot: slot(dice),
            lease: dice.pick(&[Tweak::Absent, Tweak::Absent, Tweak::None, Tweak::OtherLease]),
        }),
        44..=45 => Command::Lease(lease::Call::IssueReclaimGrant {
            slot: slot(dice),
            worker: worker(dice),
        }),
        46..=47 => Command::Lease(lease::Call::Reclaim {
            slot: slot(dice),
            worker: worker(dice),
            cap: dice.pick(&[None, Some(0), Some(2)]),
        }),
        48 => Command::Lease(lease::Call::ListExpired {
            ahead: dice.pick(&[0, 0, -1, 1_000]),
            limit: dice.pick(&[0, 1, 2, 100]),
            paged: dice.chance(50),
        }),
        49 => {
            let count = dice.below(4);
            Command::Lease(lease::Call::CheckLeases {
                ages: (0..count).map(|_| age(dice)).collect(),
            })
        }
        50..=54 => Command::Execution(execution::Call::Complete {
            proof: proof(dice),
            result: small(dice, 4),
        }),
        55..=57 => Command::Execution(execution::Call::CompleteTyped {
            proof: proof(dice),
            result: small(dice, 4),
            source: source(dice),
        }),
        58..=61 => Command::Execution(execution::Call::Fail {
            proof: proof(dice),
            class: small(dice, 5),
            detail: small(dice, 3),
        }),
        62..=64 => Command::Execution(execution::Call::FailTyped {
            proof: proof(dice),
            category: small(dice, 4),
            policy: small(dice, 12),
            source: source(dice),
        }),
        65 => Command::Execution(execution::Call::Cancel(proof(dice))),
        66..=68 => Command::Execution(execution::Call::CancelTyped {
            slot: slot(dice),
            proof: proof(dice),
            source: source(dice),
        }),
        69..=70 => Command::Execution(execution::Call::Delay {
            proof: proof(dice),
            by: dice.pick(&[-5, 0, 1, 50, 100, i64::MAX]),
        }),
        71..=72 => Command::Lease(lease::Call::Release(proof(dice))),
        73 => Command::Execution(execution::Call::Progress {
            proof: proof(dice),
            percent: dice.pick(&[None, Some(0), Some(50), Some(100), Some(255)]),
            message: dice.chance(50),
        }),
        74 => Command::Execution(execution::Call::ChangePriority {
            slot: slot(dice),
            priority: priority(dice),
        }),
        75..=78 => Command::Execution(execution::Call::Replay { slot: slot(dice) }),
        79 => Command::Execution(execution::Call::SetTag {
            slot: slot(dice),
            key: small(dice, 4),
            value: small(dice, 3),
        }),
        80 => Command::Lane(lane::Call::Set {
            lane: lane(dice),
            state: dice.pick(&[0, 0, 0, 1, 2, 3]),
        }),
        81..=86 => {
            Command::Execution(execution::Call::Read { slot: slot(dice), what: dice.pick(&READS) })
        }
        87 => match dice.below(6) {
            0 => Command::Lane(lane::Call::List {
                after: dice.pick(&[None, Some(0), Some(1)]),
                limit: dice.pick(&[0, 1, 10]),
            }),
            1 => Command::Lane(lane::Call::Status),
            2 => Command::Execution(execution::Call::List {
                after: dice.chance(50).then(|| slot(dice)),
                limit: dice.pick(&[0, 1, 2, 100]),
            }),
            3 => Command::Execution(execution::Call::Find {
                filter: small(dice, 12),
                newest_first: dice.chance(50),
                limit: dice.pick(&[0, 1, 2, 100, 1_001]),
            }),
            4 => Command::ServerTime,
            _ => Command::Ping,
        },
        88 => Command::Sweep,
        89..=92 => Command::Time(Step::ToBoundary(dice.pick(&[-1, 0, 0, 0, 1]))),
        93..=97 => Command::Time(Step::By(dice.pick(&[1, 5, 9, 10, 11, 49, 50, 51, 100, 200]))),
        98 => Command::Time(Step::Back(dice.pick(&[1, 100, 5_000]))),
        _ if dice.chance(40) => Command::Time(Step::Far),
        _ => Command::Sweep,
    }
}

pub(super) fn small(dice: &mut Dice, bound: u64) -> u8 {
    u8::try_from(dice.below(bound)).unwrap_or(0)
}

pub(super) fn slot(dice: &mut Dice) -> u8 {
    match dice.below(100) {
        0..=34 => NEWEST,
        35..=84 => small(dice, u64::from(SLOTS)),
        _ => small(dice, u64::from(ALL_SLOTS)),
    }
}

fn lane(dice: &mut Dice) -> u8 {
    small(dice, 2)
}

fn span(dice: &mut Dice) -> u64 {
    if dice.chance(3) { dice.pick(&[0, 86_400_001, 86_400_000]) } else { dice.pick(&SPANS) }
}

fn priority(dice: &mut Dice) -> i32 {
    dice.pick(&[0, 0, 1, 5, -3, 9_000, 9_001])
}

fn source(dice: &mut Dice) -> Source {
    dice.pick(&[Source::Operator, Source::Holder, Source::Holder, Source::Custom])
}

pub(super) fn worker(dice: &mut Dice) -> Worker {
    Worker {
        number: small(dice, 3),
        // The full set fits everything; most claims shall find something.
        has: match dice.below(100) {
            0..=64 => 2,
            65..=96 => small(dice, 4),
            _ => MALFORMED_OFFER,
        },
        ttl: span(dice),
    }
}

fn age(dice: &mut Dice) -> u8 {
    match dice.below(10) {
        0..=4 => 0,
        5..=6 => 1,
        7..=8 => small(dice, 4),
        _ => small(dice, 12),
    }
}

pub(super) fn proof(dice: &mut Dice) -> Proof {
    let tweak = if dice.chance(82) {
        Tweak::None
    } else {
        dice.pick(&[
            Tweak::EpochAhead,
            Tweak::EpochBehind,
            Tweak::OtherLease,
            Tweak::OtherAttemptId,
            Tweak::OtherIndex,
            Tweak::Absent,
            Tweak::Absent,
            Tweak::Garbled,
        ])
    };
    Proof { age: age(dice), tweak }
}

pub(super) fn birth(dice: &mut Dice, flawed_percent: u64) -> Birth {
    let flaw = if dice.chance(flawed_percent) {
        dice.pick(&[
            Flaw::PayloadTooLarge,
            Flaw::LaneEmpty,
            Flaw::CapabilityWithSpace,
            Flaw::PolicyUnsupported,
            Flaw::PolicyOutOfBounds,
            Flaw::TagKeyTooLong,
            Flaw::DelayTooFar,
            Flaw::KindTooLong,
        ])
    } else {
        Flaw::None
    };
    Birth {
        slot: small(dice, u64::from(SLOTS)),
        lane: lane(dice),
        needs: dice.pick(&[0, 0, 0, 1, 2, 3]),
        key: dice.pick(&[None, None, None, Some(0), Some(1)]),
        payload: small(dice, 3),
        priority: priority(dice),
        delay: dice.pick(&[
            None,
            None,
            None,
            None,
            Some(-10),
            Some(0),
            Some(1),
            Some(50),
            Some(100),
        ]),
        deadline: dice.pick(&[
            None,
            None,
            None,
            None,
            None,
            Some(-1),
            Some(0),
            Some(100),
            Some(200),
        ]),
        policy: dice.pick(&[
            Policy::None,
            Policy::None,
            Policy::RetryFixed,
            Policy::RetryFixed,
            Policy::RetryExponentialWithJitter,
            Policy::RetryTimeoutsOnly,
            Policy::AttemptTimeout,
            Policy::Deadline,
            Policy::OneReclaim,
            Policy::OneReplay,
            Policy::ShortDedup,
            Policy::DelayedByPolicy,
            Policy::ShortStream,
        ]),
        budgets: if dice.chance(20) { 1 + small(dice, 7) } else { 0 },
        flaw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_sequence_and_a_longer_one_begins_with_it() {
        let short = sequence(11, 50);
        assert_eq!(short, sequence(11, 50));
        assert_eq!(short, sequence(11, 80)[..50]);
        assert_ne!(short, sequence(12, 50));
    }
}
