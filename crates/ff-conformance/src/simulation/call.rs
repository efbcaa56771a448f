//! What actors ask of the engine, in words that keep their meaning when calls before are removed.
//!
//! A call names executions by number and leases by the operation that took them, so that a list of
//! calls can be shortened and run again. What a number stands for follows from the seed alone.

use std::fmt;

use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements, StreamPolicy, TimeoutPolicy,
};
use ff_core::types::{ExecutionId, LaneId, TimestampMs};

use super::waiting::{self, Wait};
use super::{flow, money, registry};
use crate::dice::Dice;
use crate::invariants::Caps;

/// The lanes of the world.
pub(crate) const LANES: [&str; 2] = ["sim-a", "sim-b"];

/// Capability sets that executions need and workers offer; the last fits all.
pub(crate) const CAPABILITIES: [&[&str]; 3] = [&[], &["gpu"], &["eu", "gpu"]];

/// The offer that fits every execution.
pub(crate) const FITS_ALL: u8 = 2;

/// An execution of the world.
pub(crate) type Number = u32;

/// A lease, by the operation that took it and its place in that answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Grip {
    pub(crate) operation: u32,
    pub(crate) nth: u8,
}

/// One execution to create.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Birth {
    pub(crate) number: Number,
    pub(crate) delay_until: Option<TimestampMs>,
    pub(crate) deadline_at: Option<TimestampMs>,
}

/// What a lease holder does with its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Deed {
    Renew,
    Progress(u8),
    /// Adds a frame; a live one has a time to live.
    Append {
        line: u32,
        live_ttl_ms: Option<u32>,
    },
    Complete {
        result: u32,
    },
    Fail {
        is_permanent: bool,
    },
    Cancel,
    Delay {
        until: TimestampMs,
    },
    Release,
    /// Parks the attempt until what it depends on is done.
    WaitChildren,
    /// Reports usage of the budget.
    Report {
        amount: u64,
        key: Option<u32>,
    },
    /// Makes a waitpoint for a suspension to come.
    OpenWaitpoint {
        draw: u8,
    },
    Suspend {
        draw: u8,
        timeout: Option<(TimestampMs, u8)>,
        adopts: bool,
    },
}

/// What a subscriber follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outbox {
    Leases,
    Completions,
    Operators,
}

/// One call, or one thing that happens to the engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    Create(Vec<Birth>),
    /// One lane and one execution go by `claim`, anything else by `claim_batch`.
    Claim {
        lanes: Vec<u8>,
        offer: u8,
        ttl_ms: u32,
        max: u32,
    },
    IssueClaimGrant {
        number: Number,
        ttl_ms: u32,
    },
    ClaimExecution {
        number: Number,
        ttl_ms: u32,
    },
    IssueReclaimGrant {
        number: Number,
    },
    ReclaimExecution {
        number: Number,
        ttl_ms: u32,
    },
    IssueGrantAndClaim {
        number: Number,
        ttl_ms: u32,
    },
    /// `is_forged` shows an epoch that was never given out.
    Hold {
        grip: Grip,
        deed: Deed,
        is_forged: bool,
    },
    CancelExecution(Number),
    Revoke(Number),
    Replay(Number),
    ChangePriority(Number, i32),
    SetLane {
        lane: u8,
        is_open: bool,
    },
    ReadResult(Number),
    Flow(u32, flow::Ask),
    Wait(waiting::Ask),
    Money(money::Ask),
    Registry(registry::Ask),
    Sweep,
    /// A subscriber reads on; `anew` from its cursor over a new subscription.
    Follow {
        outbox: Outbox,
        anew: bool,
    },
    /// The wall clock steps, and no time passes.
    StepWall {
        by_ms: i64,
    },
}

/// A call at its instant.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) number: u32,
    /// Milliseconds since the world began.
    pub(crate) at_ms: u64,
    pub(crate) by: String,
    pub(crate) call: Call,
}

/// A lease that an answer handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) grip: Grip,
    pub(crate) number: Number,
    pub(crate) epoch: u64,
    pub(crate) expires_at: TimestampMs,
}

/// What the engine said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Answer {
    pub(crate) is_ok: bool,
    /// The variant of the answer, or the kind of refusal.
    pub(crate) word: String,
    pub(crate) held: Vec<Held>,
    /// When a retry or a renewed lease is due.
    pub(crate) until: Option<TimestampMs>,
    /// How many frames the stream has had.
    pub(crate) frames: Option<u64>,
    /// Waitpoints that it made.
    pub(crate) waits: Vec<Wait>,
}

/// All that a number stands for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) id: ExecutionId,
    pub(crate) lane: LaneId,
    pub(crate) needs: Vec<String>,
    pub(crate) caps: Caps,
    pub(crate) policy: ExecutionPolicy,
    pub(crate) priority: i32,
    pub(crate) key: Option<String>,
    /// Whether an attempt may be ended by its timeout.
    pub(crate) is_timed: bool,
}

pub(crate) fn strings(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(|token| (*token).to_owned()).collect()
}

/// What `number` stands for in the world of `seed`.
pub(crate) fn plan(seed: u64, number: Number) -> Plan {
    let mut dice = Dice::new(seed ^ u64::from(number).rotate_left(32));
    let mut random = [0_u8; 10];
    random[..8].copy_from_slice(&dice.next().to_le_bytes());
    let at = 1_700_000_000_000 + u64::from(number);
    let uuid = uuid::Builder::from_unix_timestamp_millis(at, &random).into_uuid();
    let needs = strings(dice.pick(&CAPABILITIES));
    let caps = Caps {
        max_retries: dice.pick(&[0, 1, 3]),
        max_reclaim_count: dice.pick(&[1, 3, 100]),
        max_replay_count: dice.pick(&[1, 10]),
    };
    let is_timed = dice.chance(15);
    let is_budgeted = money::is_budgeted(seed, number);
    let streams_kept_ms = Dice::new(seed.rotate_left(7) ^ u64::from(number)).pick(&[
        None,
        None,
        None,
        Some(10_000),
        Some(300_000),
    ]);
    let policy = ExecutionPolicy {
        max_reclaim_count: caps.max_reclaim_count,
        max_replay_count: caps.max_replay_count,
        retry_policy: Some(RetryPolicy {
            max_retries: caps.max_retries,
            backoff: BackoffStrategy::Fixed { delay_ms: dice.pick(&[1, 1_000, 15_000]) },
            retryable_categories: Vec::new(),
        }),
        timeout_policy: is_timed.then(|| TimeoutPolicy {
            attempt_timeout_ms: Some(dice.pick(&[5_000, 20_000])),
            execution_deadline_ms: None,
            max_reclaim_count: caps.max_reclaim_count,
        }),
        routing_requirements: Some(RoutingRequirements {
            required_capabilities: needs.iter().cloned().collect(),
            ..RoutingRequirements::default()
        }),
        stream_policy: streams_kept_ms.map(|kept_ms| StreamPolicy {
            durability_mode: "durable".to_owned(),
            retention_maxlen: 0,
            retention_ttl_ms: Some(kept_ms),
        }),
        budget_ids: is_budgeted.then(money::budget_id).into_iter().collect(),
        ..ExecutionPolicy::default()
    };
    // A flow and all that is in it share one partition, and the flow's id is the key of the whole.
    let is_member = flow::place_of(number).is_some();
    let partition = if is_member { 0 } else { u16::try_from(number % 5).unwrap_or(0) };
    Plan {
        id: ExecutionId::from_parts(partition, uuid),
        lane: LaneId::new(dice.pick(&LANES)),
        needs,
        caps,
        policy,
        priority: dice.pick(&[0, 0, 1, 5]),
        key: (!is_member && dice.chance(30)).then(|| format!("sim-{number}")),
        is_timed,
    }
}

impl Call {
    /// The operation it calls.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Claim { .. } => "claim",
            Self::IssueClaimGrant { .. } => "issue_claim_grant",
            Self::ClaimExecution { .. } => "claim_execution",
            Self::IssueReclaimGrant { .. } => "issue_reclaim_grant",
            Self::ReclaimExecution { .. } => "reclaim_execution",
            Self::IssueGrantAndClaim { .. } => "issue_grant_and_claim",
            Self::Hold { deed, .. } => match deed {
                Deed::Renew => "renew",
                Deed::Progress(_) => "progress",
                Deed::Append { .. } => "append_frame",
                Deed::Complete { .. } => "complete",
                Deed::Fail { .. } => "fail",
                Deed::Cancel => "cancel",
                Deed::Delay { .. } => "delay",
                Deed::Release => "release_lease",
                Deed::WaitChildren => "wait_children",
                Deed::Report { .. } => "report_usage",
                Deed::OpenWaitpoint { .. } => "create_waitpoint",
                Deed::Suspend { .. } => "suspend",
            },
            Self::CancelExecution(_) => "cancel_execution",
            Self::Revoke(_) => "revoke_lease",
            Self::Replay(_) => "replay_execution",
            Self::ChangePriority(..) => "change_priority",
            Self::SetLane { .. } => "set_lane_state",
            Self::ReadResult(_) => "get_execution_result",
            Self::Flow(_, ask) => ask.name(),
            Self::Wait(ask) => ask.name(),
            Self::Money(ask) => ask.name(),
            Self::Registry(ask) => ask.name(),
            Self::Sweep => "sweep",
            Self::Follow { .. } => "subscribe",
            Self::StepWall { .. } => "(wall clock)",
        }
    }

    /// The one execution it names.
    pub(crate) fn number(&self) -> Option<Number> {
        match self {
            Self::IssueClaimGrant { number, .. }
            | Self::ClaimExecution { number, .. }
            | Self::IssueReclaimGrant { number }
            | Self::ReclaimExecution { number, .. }
            | Self::IssueGrantAndClaim { number, .. }
            | Self::CancelExecution(number)
            | Self::Revoke(number)
            | Self::Replay(number)
            | Self::ChangePriority(number, _)
            | Self::ReadResult(number)
            | Self::Wait(waiting::Ask::Resume(number)) => Some(*number),
            Self::Create(_)
            | Self::Claim { .. }
            | Self::Hold { .. }
            | Self::SetLane { .. }
            | Self::Flow(..)
            | Self::Wait(_)
            | Self::Money(_)
            | Self::Registry(_)
            | Self::Sweep
            | Self::Follow { .. }
            | Self::StepWall { .. } => None,
        }
    }
}

impl Answer {
    /// The word under which it is counted: a refusal is marked.
    pub(crate) fn code(&self) -> String {
        if self.is_ok { self.word.clone() } else { format!("!{}", self.word) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())?;
        for held in &self.held {
            let Grip { operation, nth } = held.grip;
            write!(f, " lease {operation}.{nth} (execution {}, epoch {}", held.number, held.epoch)?;
            write!(f, ", until {})", held.expires_at)?;
        }
        for Wait { grip, draw, place } in &self.waits {
            write!(f, " waitpoint {}.{}-{draw}-{place}", grip.operation, grip.nth)?;
        }
        match self.until {
            Some(until) => write!(f, " until {until}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.at_ms / 1_000, self.at_ms % 1_000);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        write!(f, "{minutes:>3}:{seconds:02}.{ms:03} {:>5} {:<10} ", self.number, self.by)?;
        match &self.call {
            Call::Hold { grip: Grip { operation, nth }, deed, is_forged } => {
                let forged = if *is_forged { " forged" } else { "" };
                write!(f, "{deed:?} with lease {operation}.{nth}{forged}")
            }
            call => write!(f, "{call:?}"),
        }
    }
}
