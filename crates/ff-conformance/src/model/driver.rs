//! Running one sequence against two engines and comparing after every step.
//!
//! Both engines draw their ids from the same seed and read the same clock, so every answer, row
//! and event must be equal. After each step all executions with their current attempts, the new
//! events of both outboxes and the next due instant are compared; every tenth step, and at the
//! end, everything that a store keeps; at the end also every public read of every execution.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{Handle, HandleKind, HandleOpaque};
use ff_core::clock::{Clock, ManualClock};
use ff_core::contracts::*;
use ff_core::handle_codec::HandlePayload;
use ff_core::machine::Limits;
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::types::{
    AttemptId, AttemptIndex, DurationMs, ExecutionId, LaneId, LeaseEpoch, LeaseFence, LeaseId,
    TimestampMs, WorkerInstanceId,
};
use uuid::Uuid;

use super::alphabet::{ALL_SLOTS, Command, LANES, NEWEST, Proof, READS, SLOTS, Step, Tweak};
use super::compare::{Answer, difference};
use super::{budget, execution, flow, lane, lease, stream, suspension, worker};
use crate::probe::{Cursors, Engine, Pulse, Record};

/// When the world's clock starts.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// What lies behind this never comes.
const FAR: TimestampMs = TimestampMs(i64::MAX);

/// Everything is compared after this many steps.
const CENSUS_EVERY: usize = 10;

/// Retention of ended executions in the world.
const RETENTION_MS: u64 = 10_000;

/// Retention of events in the world.
const EVENT_RETENTION_MS: u64 = 15_000;

/// Largest payload and result in the world.
pub(super) const PAYLOAD_MAX_BYTES: usize = 64;

/// How both engines of a pair are to be opened.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the option of the same name")]
pub struct Setup {
    pub clock: Arc<ManualClock>,
    pub seed: u64,
    pub limits: Limits,
}

impl Setup {
    /// The world of a seed at its beginning.
    pub fn of(seed: u64) -> Self {
        Self {
            clock: Arc::new(ManualClock::new(EPOCH_MS)),
            seed,
            limits: Limits {
                payload_bytes: PAYLOAD_MAX_BYTES,
                result_bytes: PAYLOAD_MAX_BYTES,
                retention: DurationMs(RETENTION_MS),
                event_retention: DurationMs(EVENT_RETENTION_MS),
            },
        }
    }
}

/// The engine under test and the one that is right by definition.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the type says which is which")]
pub struct Pair {
    pub subject: Engine,
    pub oracle: Engine,
}

/// The row of the coverage table that counts transitions by their causes.
const TRANSITIONS: &str = "(transitions at the end)";

/// How often each operation gave each kind of answer.
pub(crate) type Tally = BTreeMap<(&'static str, String), u64>;

/// Where two engines parted.
#[derive(Debug, Clone)]
pub(crate) struct Parted {
    pub(crate) step: usize,
    pub(crate) difference: String,
}

/// Runs a sequence; `thorough` compares everything after every step.
pub(crate) async fn run(
    setup: Setup,
    pair: Pair,
    commands: &[Command],
    thorough: bool,
) -> Result<Tally, Parted> {
    let mut world = World::new(setup, pair);
    // A key that an engine draws by itself is random, and tokens with it.
    let first_key = Command::Waiting(suspension::Call::Seed { kid: 0, secret: 0 });
    let seeded = world.ask_both(&first_key).await;
    seeded.map_err(|difference| Parted { step: 0, difference })?;
    for (step, command) in commands.iter().enumerate() {
        let everything = thorough || step % CENSUS_EVERY == CENSUS_EVERY - 1;
        let done = Box::pin(world.step(command, everything)).await;
        done.map_err(|difference| Parted { step, difference })?;
    }
    let last = commands.len().saturating_sub(1);
    world.end().await.map_err(|difference| Parted { step: last, difference })?;
    Ok(world.tally)
}

pub(super) struct World {
    pub(super) setup: Setup,
    pair: Pair,
    executions: Vec<ExecutionId>,
    pub(super) held: Vec<(HandleKind, HandlePayload)>,
    pub(super) waits: Vec<suspension::Wait>,
    cursors: Cursors,
    next_due: Option<TimestampMs>,
    pub(super) now: TimestampMs,
    pub(super) step: usize,
    tally: Tally,
}

impl World {
    fn new(setup: Setup, pair: Pair) -> Self {
        let executions = (0..ALL_SLOTS).map(|slot| execution_id(setup.seed, slot)).collect();
        Self {
            setup,
            pair,
            executions,
            held: Vec::new(),
            waits: Vec::new(),
            cursors: Cursors::default(),
            next_due: None,
            now: TimestampMs(EPOCH_MS),
            step: 0,
            tally: Tally::new(),
        }
    }

    async fn step(&mut self, command: &Command, everything: bool) -> Result<(), String> {
        self.step += 1;
        self.now = self.engine_time().await?;
        if let Command::Time(step) = command {
            let operation = self.move_clock(*step);
            *self.tally.entry((operation, "ok".to_owned())).or_default() += 1;
        } else {
            self.ask_both(command).await?;
        }
        self.compare_pulse().await?;
        if everything {
            self.compare_census().await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), String> {
        self.pair.subject.verify().await?;
        for record in self.compare_census().await? {
            for transition in record.transitions {
                *self.tally.entry((TRANSITIONS, transition.cause)).or_default() += 1;
            }
        }
        self.now = self.engine_time().await?;
        for slot in 0..ALL_SLOTS {
            for what in READS {
                self.ask_both(&Command::Execution(execution::Call::Read { slot, what })).await?;
            }
        }
        for call in flow::last_reads() {
            self.ask_both(&Command::Flow(call)).await?;
        }
        let streams = stream::last_reads().into_iter().map(Command::Stream);
        let workers = worker::last_reads().into_iter().map(Command::Registry);
        let budgets = budget::last_reads().into_iter().map(Command::Budget);
        for command in streams.chain(workers).chain(budgets) {
            self.ask_both(&command).await?;
        }
        self.ask_both(&Command::Lane(lane::Call::Status)).await
    }

    async fn ask_both(&mut self, command: &Command) -> Result<(), String> {
        let subject = Box::pin(ask(&self.pair.subject, self, command)).await;
        let oracle = Box::pin(ask(&self.pair.oracle, self, command)).await;
        if subject != oracle {
            return Err(format!(
                "answers of {} differ:\n  - subject {}\n  + oracle  {}",
                oracle.operation, subject.text, oracle.text
            ));
        }
        *self.tally.entry((oracle.operation, oracle.code)).or_default() += 1;
        self.held.extend(oracle.held);
        self.waits.extend(oracle.waits);
        if let (Some(bare), Command::Lease(lease::Call::IssueGrantAndClaim { slot, ttl })) =
            (oracle.bare, command)
        {
            self.hold_bare(&bare, *slot, *ttl).await?;
        }
        Ok(())
    }

    /// Makes the handle that a claim by an operator does not hand out.
    async fn hold_bare(
        &mut self,
        bare: &ClaimGrantOutcome,
        slot: u8,
        ttl: u64,
    ) -> Result<(), String> {
        let id = self.id(slot).clone();
        let described = self.pair.oracle.backend().describe_execution(&id).await;
        let Some(snapshot) = described.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let Some(attempt) = snapshot.current_attempt else { return Ok(()) };
        let payload = HandlePayload::new(
            id,
            bare.attempt_index,
            attempt.attempt_id,
            bare.lease_id.clone(),
            bare.lease_epoch,
            ttl,
            snapshot.lane_id,
            WorkerInstanceId::new("operator"),
        );
        self.held.push((HandleKind::Fresh, payload));
        Ok(())
    }

    /// What both engines show: what one has shown, it does not take back.
    async fn engine_time(&self) -> Result<TimestampMs, String> {
        let subject = engine_time(&self.pair.subject).await?;
        let oracle = engine_time(&self.pair.oracle).await?;
        difference("engine times", &subject, &oracle).map_or(Ok(oracle), Err)
    }

    async fn compare_pulse(&mut self) -> Result<(), String> {
        let subject =
            self.pair.subject.pulse(self.cursors).await.map_err(|error| broken(&error))?;
        let oracle = self.pair.oracle.pulse(self.cursors).await.map_err(|error| broken(&error))?;
        let found = difference("lease events", &subject.lease_events, &oracle.lease_events)
            .or_else(|| difference("completions", &subject.completions, &oracle.completions))
            .or_else(|| difference("signal events", &subject.signals, &oracle.signals))
            .or_else(|| difference("executions", &subject.executions, &oracle.executions))
            .or_else(|| difference("next due instants", &subject.next_due, &oracle.next_due))
            .or_else(|| difference("next resets", &subject.next_reset, &oracle.next_reset))
            .or_else(|| {
                let (subject, oracle) = (&subject.next_gate_sweep, &oracle.next_gate_sweep);
                difference("next looks at gates", subject, oracle)
            })
            .or_else(|| {
                let (subject, oracle) = (&subject.next_worker_lapse, &oracle.next_worker_lapse);
                difference("next ends of registrations", subject, oracle)
            });
        if let Some(found) = found {
            return Err(found);
        }
        self.follow(&oracle);
        Ok(())
    }

    fn follow(&mut self, pulse: &Pulse) {
        if let Some((id, _)) = pulse.lease_events.last() {
            self.cursors.lease = *id;
        }
        if let Some((id, _)) = pulse.completions.last() {
            self.cursors.completion = *id;
        }
        if let Some((id, _)) = pulse.signals.last() {
            self.cursors.signal = *id;
        }
        let others = [pulse.next_reset, pulse.next_gate_sweep, pulse.next_worker_lapse];
        let others = others.into_iter().flatten().filter(|at| *at > self.now && *at < FAR);
        self.next_due = pulse.next_due.into_iter().chain(others).min();
    }

    async fn compare_census(&self) -> Result<Vec<Record>, String> {
        let subject = self.pair.subject.census().await.map_err(|error| broken(&error))?;
        let oracle = self.pair.oracle.census().await.map_err(|error| broken(&error))?;
        match difference("stored rows", &subject, &oracle) {
            Some(found) => Err(found),
            None => Ok(oracle.executions),
        }
    }

    fn move_clock(&self, step: Step) -> &'static str {
        let clock = &self.setup.clock;
        let ahead = match step {
            Step::By(ms) => ms,
            Step::Far => RETENTION_MS + 1,
            Step::ToBoundary(offset) => {
                let due = self.next_due.unwrap_or(self.now);
                u64::try_from(due.0 - self.now.0 + offset).unwrap_or(0)
            }
            Step::Back(ms) => {
                clock.step_wall_to(clock.wall().0 - ms);
                return "clock.back";
            }
        };
        clock.advance(Duration::from_millis(ahead));
        "clock.advance"
    }

    // ---- What names stand for ----

    pub(super) fn id(&self, slot: u8) -> &ExecutionId {
        if let (NEWEST, Some((_, held))) = (slot, self.held.last()) {
            return &held.execution_id;
        }
        &self.executions[usize::from(slot) % self.executions.len()]
    }

    fn handle_of_age(&self, age: u8) -> (HandleKind, HandlePayload) {
        let count = self.held.len();
        if count == 0 {
            return (HandleKind::Fresh, self.unknown_lease());
        }
        self.held[count - 1 - usize::from(age) % count].clone()
    }

    fn unknown_lease(&self) -> HandlePayload {
        HandlePayload::new(
            self.id(0).clone(),
            AttemptIndex(0),
            AttemptId::from_uuid(Uuid::nil()),
            LeaseId::from_uuid(Uuid::nil()),
            LeaseEpoch(0),
            10,
            LaneId::new(LANES[0]),
            WorkerInstanceId::new("nobody"),
        )
    }

    fn shown(&self, proof: Proof) -> (HandleKind, HandlePayload) {
        let (kind, mut payload) = self.handle_of_age(proof.age);
        match proof.tweak {
            Tweak::None | Tweak::Absent | Tweak::Garbled => {}
            Tweak::EpochAhead => payload.lease_epoch.0 += 1,
            Tweak::EpochBehind => {
                payload.lease_epoch.0 = payload.lease_epoch.0.saturating_sub(1);
            }
            Tweak::OtherLease => payload.lease_id = LeaseId::from_uuid(Uuid::from_u128(1)),
            Tweak::OtherAttemptId => payload.attempt_id = AttemptId::from_uuid(Uuid::from_u128(1)),
            Tweak::OtherIndex => payload.attempt_index.0 += 1,
        }
        (kind, payload)
    }

    pub(super) fn handle(&self, engine: &Engine, proof: Proof) -> Handle {
        let (kind, payload) = self.shown(proof);
        let mut handle = engine.handle(kind, &payload);
        match proof.tweak {
            Tweak::Absent => handle.backend = ff_core::backend::BackendTag::Valkey,
            Tweak::Garbled => handle.opaque = HandleOpaque::new(Box::new([2, 1])),
            Tweak::None
            | Tweak::EpochAhead
            | Tweak::EpochBehind
            | Tweak::OtherLease
            | Tweak::OtherAttemptId
            | Tweak::OtherIndex => {}
        }
        handle
    }

    pub(super) fn fence(&self, proof: Proof) -> (ExecutionId, AttemptIndex, Option<LeaseFence>) {
        let (_, payload) = self.shown(proof);
        let fence = LeaseFence {
            lease_id: payload.lease_id,
            lease_epoch: payload.lease_epoch,
            attempt_id: payload.attempt_id,
        };
        let given = proof.tweak != Tweak::Absent;
        (payload.execution_id, payload.attempt_index, given.then_some(fence))
    }

    pub(super) fn later(&self, by: i64) -> TimestampMs {
        TimestampMs(self.now.0.saturating_add(by))
    }
}

fn broken(error: &EngineError) -> String {
    format!("an engine cannot be read: {error:?}")
}

async fn engine_time(engine: &Engine) -> Result<TimestampMs, String> {
    let ms = engine.backend().server_time_ms().await.map_err(|error| broken(&error))?;
    Ok(TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)))
}

fn execution_id(seed: u64, slot: u8) -> ExecutionId {
    let mut random = [slot; 10];
    random[..8].copy_from_slice(&seed.rotate_left(u32::from(slot)).to_le_bytes());
    let at = u64::try_from(EPOCH_MS).unwrap_or(0) + u64::from(slot);
    let uuid = uuid::Builder::from_unix_timestamp_millis(at, &random).into_uuid();
    // Two of them lie where no flow can have them.
    let can_join_flows = !(4..SLOTS).contains(&slot);
    ExecutionId::from_parts(if can_join_flows { FLOW_PARTITION } else { 250 }, uuid)
}

pub(super) fn partition(id: &ExecutionId) -> Partition {
    Partition { family: PartitionFamily::Flow, index: id.partition() }
}

// ---- One command on one engine ----

/// Asks one engine. Nothing here may depend on which one it is.
async fn ask(engine: &Engine, world: &World, command: &Command) -> Answer {
    let backend = engine.backend();
    match command {
        Command::Execution(call) => execution::ask(engine, world, call).await,
        Command::Lease(call) => lease::ask(engine, world, call).await,
        Command::Lane(call) => lane::ask(engine, call).await,
        Command::Waiting(call) => suspension::ask(engine, world, call).await,
        Command::Flow(call) => flow::ask(engine, world, call).await,
        Command::Stream(call) => stream::ask(engine, world, call).await,
        Command::Registry(call) => worker::ask(engine, call).await,
        Command::Budget(call) => budget::ask(engine, world, call).await,
        Command::ServerTime => Answer::new("server_time_ms", backend.server_time_ms().await),
        Command::Ping => Answer::new("ping", backend.ping().await),
        Command::Sweep => Answer::new("sweep", engine.sweep().await),
        Command::Time(_) => unreachable!("both engines share the clock"),
    }
}

/// The operations that a tally has seen answer `Ok`, by name.
pub(crate) fn succeeded(tally: &Tally) -> BTreeMap<&'static str, u64> {
    let refusals: BTreeSet<&str> =
        ["NotFound", "Validation", "Contention", "Conflict", "State"].into();
    let mut by_operation = BTreeMap::new();
    for ((operation, code), count) in tally {
        let word = code.split('(').next().unwrap_or(code);
        let is_refusal = code.contains('(') && refusals.contains(word);
        *by_operation.entry(*operation).or_default() += if is_refusal { 0 } else { *count };
    }
    by_operation
}
