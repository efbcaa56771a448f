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
use ff_core::backend::{
    CapabilitySet, ClaimPolicy, FailureClass, FailureReason, Handle, HandleKind, HandleOpaque,
    stub_handle_fresh,
};
use ff_core::clock::{Clock, ManualClock};
use ff_core::contracts::*;
use ff_core::handle_codec::HandlePayload;
use ff_core::machine::Limits;
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, FallbackPolicy, RetryPolicy, RoutingRequirements,
    StreamPolicy, TimeoutPolicy,
};
use ff_core::state::{LaneState, PublicState};
use ff_core::types::{
    AttemptId, AttemptIndex, CancelSource, DurationMs, ExecutionId, LaneId, LeaseEpoch, LeaseFence,
    LeaseId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};
use uuid::Uuid;

use super::alphabet::{
    ALL_SLOTS, Birth, CAPABILITIES, Command, Flaw, LANES, NEWEST, Policy, Proof, READS, Read,
    SLOTS, Source, Step, Tweak, Worker,
};
use super::compare::{Answer, difference};
use super::{budget, flow, stream, suspension, worker};
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
const PAYLOAD_MAX_BYTES: usize = 64;

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
    setup: Setup,
    pair: Pair,
    executions: Vec<ExecutionId>,
    held: Vec<(HandleKind, HandlePayload)>,
    pub(super) waits: Vec<suspension::Wait>,
    cursors: Cursors,
    next_due: Option<TimestampMs>,
    now: TimestampMs,
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
                self.ask_both(&Command::Read { slot, what }).await?;
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
        self.ask_both(&Command::ListLaneStatus).await
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
        if let (Some(bare), Command::IssueGrantAndClaim { slot, ttl }) = (oracle.bare, command) {
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

    pub(super) fn birth(&self, birth: &Birth) -> CreateExecutionArgs {
        let mut policy = policy(birth.policy, self.now);
        let needs = CAPABILITIES[usize::from(birth.needs)];
        if !needs.is_empty() {
            policy.get_or_insert_default().routing_requirements = Some(RoutingRequirements {
                required_capabilities: needs.iter().map(|token| (*token).to_owned()).collect(),
                ..RoutingRequirements::default()
            });
        }
        if birth.budgets > 0 {
            let bound = (0..budget::BUDGETS).filter(|number| birth.budgets & (1 << number) != 0);
            policy.get_or_insert_default().budget_ids = bound.map(budget::budget_id).collect();
        }
        let mut args = CreateExecutionArgs {
            execution_id: self.id(birth.slot).clone(),
            namespace: Namespace::new(if birth.slot.is_multiple_of(2) { "even" } else { "odd" }),
            lane_id: LaneId::new(LANES[usize::from(birth.lane)]),
            execution_kind: if birth.payload == 0 { "hash" } else { "render" }.to_owned(),
            input_payload: vec![7; usize::from(birth.payload)],
            payload_encoding: (birth.payload == 2).then(|| "raw".to_owned()),
            priority: birth.priority,
            creator_identity: "model".to_owned(),
            idempotency_key: birth.key.map(|key| format!("key-{key}")),
            tags: [("app.slot".to_owned(), birth.slot.to_string())].into(),
            policy,
            delay_until: birth.delay.map(|by| self.later(by)),
            execution_deadline_at: birth.deadline.map(|by| self.later(by)),
            partition_id: self.id(birth.slot).partition(),
            now: TimestampMs(0),
        };
        if birth.slot == 1 {
            args.tags.insert("cairn.instance_id".to_owned(), "instance-1".to_owned());
        }
        flaw(&mut args, birth.flaw);
        args
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

fn policy(policy: Policy, now: TimestampMs) -> Option<ExecutionPolicy> {
    let retry = |max_retries, backoff, categories: &[&str]| ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries,
            backoff,
            retryable_categories: categories.iter().map(|one| (*one).to_owned()).collect(),
        }),
        ..ExecutionPolicy::default()
    };
    let timeout = |attempt_timeout_ms, execution_deadline_ms| TimeoutPolicy {
        attempt_timeout_ms,
        execution_deadline_ms,
        max_reclaim_count: 5,
    };
    let fixed = BackoffStrategy::Fixed { delay_ms: 50 };
    let policy = match policy {
        Policy::None => return None,
        Policy::RetryFixed => retry(2, fixed, &[]),
        Policy::RetryExponentialWithJitter => {
            let backoff = BackoffStrategy::Exponential {
                initial_delay_ms: 10,
                max_delay_ms: 100,
                multiplier: 3.0,
                jitter: true,
            };
            retry(5, backoff, &[])
        }
        Policy::RetryTimeoutsOnly => {
            let mut policy = retry(3, fixed, &["timeout"]);
            policy.timeout_policy = Some(timeout(Some(50), None));
            policy
        }
        Policy::AttemptTimeout => ExecutionPolicy {
            timeout_policy: Some(timeout(Some(100), None)),
            ..ExecutionPolicy::default()
        },
        Policy::Deadline => ExecutionPolicy {
            timeout_policy: Some(timeout(None, Some(200))),
            ..ExecutionPolicy::default()
        },
        Policy::OneReclaim => {
            ExecutionPolicy { max_reclaim_count: 1, ..ExecutionPolicy::default() }
        }
        Policy::OneReplay => ExecutionPolicy { max_replay_count: 1, ..ExecutionPolicy::default() },
        Policy::ShortDedup => {
            ExecutionPolicy { dedup_window_ms: Some(50), ..ExecutionPolicy::default() }
        }
        Policy::DelayedByPolicy => ExecutionPolicy {
            delay_until: Some(TimestampMs(now.0 + 50)),
            priority: 3,
            ..ExecutionPolicy::default()
        },
        Policy::ShortStream => ExecutionPolicy {
            stream_policy: Some(StreamPolicy {
                durability_mode: "durable".to_owned(),
                retention_maxlen: 3,
                retention_ttl_ms: Some(50),
            }),
            ..ExecutionPolicy::default()
        },
    };
    Some(policy)
}

fn flaw(args: &mut CreateExecutionArgs, flaw: Flaw) {
    match flaw {
        Flaw::None => {}
        Flaw::PayloadTooLarge => args.input_payload = vec![0; PAYLOAD_MAX_BYTES + 1],
        Flaw::LaneEmpty => args.lane_id = LaneId::new(""),
        Flaw::CapabilityWithSpace => {
            args.policy.get_or_insert_default().routing_requirements = Some(RoutingRequirements {
                required_capabilities: ["a b".to_owned()].into(),
                ..RoutingRequirements::default()
            });
        }
        Flaw::PolicyUnsupported => {
            args.policy.get_or_insert_default().fallback_policy =
                Some(FallbackPolicy { tiers: Vec::new() });
        }
        Flaw::PolicyOutOfBounds => {
            args.policy.get_or_insert_default().dedup_window_ms = Some(0);
        }
        Flaw::TagKeyTooLong => {
            args.tags.insert("x".repeat(200), String::new());
        }
        Flaw::DelayTooFar => args.delay_until = Some(TimestampMs(i64::MAX)),
        Flaw::KindTooLong => args.execution_kind = "k".repeat(129),
    }
}

pub(super) fn worker_id(worker: Worker) -> WorkerId {
    WorkerId::new(format!("worker-{}", worker.number))
}

pub(super) fn instance_id(worker: Worker) -> WorkerInstanceId {
    WorkerInstanceId::new(format!("instance-{}", worker.number))
}

/// An index beyond the sets is an offer that is malformed.
fn offer(worker: Worker) -> Vec<String> {
    match CAPABILITIES.get(usize::from(worker.has)) {
        Some(tokens) => tokens.iter().map(|token| (*token).to_owned()).collect(),
        None => vec!["two words".to_owned()],
    }
}

fn claim_policy(worker: Worker) -> ClaimPolicy {
    let ttl = u32::try_from(worker.ttl).unwrap_or(u32::MAX);
    ClaimPolicy::new(worker_id(worker), instance_id(worker), ttl, None)
}

pub(super) fn lane(index: u8) -> LaneId {
    LaneId::new(LANES[usize::from(index) % LANES.len()])
}

pub(super) fn partition(id: &ExecutionId) -> Partition {
    Partition { family: PartitionFamily::Flow, index: id.partition() }
}

fn source(source: Source) -> CancelSource {
    match source {
        Source::Operator => CancelSource::OperatorOverride,
        Source::Holder => CancelSource::LeaseHolder,
        Source::Custom => CancelSource::Custom("model".to_owned()),
    }
}

/// Result 0 is none, 3 is too large.
fn result(result: u8) -> Option<Vec<u8>> {
    match result {
        0 => None,
        1 => Some(vec![1]),
        2 => Some(Vec::new()),
        _ => Some(vec![9; PAYLOAD_MAX_BYTES + 1]),
    }
}

const CLASSES: [FailureClass; 5] = [
    FailureClass::Transient,
    FailureClass::Permanent,
    FailureClass::InfraCrash,
    FailureClass::Timeout,
    FailureClass::Cancelled,
];

const CATEGORIES: [&str; 4] = ["transient", "timeout", "permanent", "own"];

/// Beyond these: none.
const RETRY_POLICIES: [&str; 3] = [
    r#"{"max_retries":1,"backoff":{"type":"fixed","delay_ms":10}}"#,
    r#"{"max_retries":"#,
    r#"{"max_retries":5000}"#,
];

const LANE_STATES: [LaneState; 4] =
    [LaneState::Active, LaneState::Paused, LaneState::Draining, LaneState::Disabled];

// ---- One command on one engine ----

/// Asks one engine. Nothing here may depend on which one it is.
#[expect(clippy::too_many_lines, reason = "one arm per operation")]
async fn ask(engine: &Engine, world: &World, command: &Command) -> Answer {
    let backend = engine.backend();
    match command {
        Command::Create(birth) => {
            Answer::new("create_execution", backend.create_execution(world.birth(birth)).await)
        }
        Command::CreateBatch(births) => {
            let batch = births.iter().map(|birth| world.birth(birth)).collect();
            Answer::new("create_executions", backend.create_executions(batch).await)
        }
        Command::Claim { lane: index, worker } => {
            let offer = CapabilitySet::new(offer(*worker));
            let said = backend.claim(&lane(*index), &offer, claim_policy(*worker)).await;
            let handles: Vec<Handle> = said.iter().flatten().cloned().collect();
            Answer::new("claim", said.map(|claimed| claimed.map(|handle| handle.kind)))
                .with_handles(&handles)
        }
        Command::ClaimBatch { lanes, worker, max } => {
            let lanes: Vec<LaneId> = match lanes {
                0 => vec![lane(0)],
                1 => vec![lane(1)],
                2 => vec![lane(1), lane(0)],
                _ => Vec::new(),
            };
            let offer = CapabilitySet::new(offer(*worker));
            let said = backend.claim_batch(&lanes, &offer, claim_policy(*worker), *max).await;
            let handles: Vec<Handle> =
                said.iter().flatten().map(|work| work.handle.clone()).collect();
            let said = said.map(|mut works| {
                for work in &mut works {
                    work.handle = stub_handle_fresh();
                }
                works
            });
            Answer::new("claim_batch", said).with_handles(&handles)
        }
        Command::ClaimForWorker { lane: index, worker } => {
            let args = ClaimForWorkerArgs::new(
                lane(*index),
                worker_id(*worker),
                instance_id(*worker),
                offer(*worker).into_iter().collect(),
                worker.ttl,
            );
            Answer::new("claim_for_worker", backend.claim_for_worker(args).await)
        }
        Command::IssueClaimGrant { slot, worker } => {
            let id = world.id(*slot);
            let args = IssueClaimGrantArgs::new(
                id.clone(),
                lane(0),
                worker_id(*worker),
                instance_id(*worker),
                partition(id),
                offer(*worker).into_iter().collect(),
                worker.ttl,
                TimestampMs(0),
            );
            Answer::new("issue_claim_grant", backend.issue_claim_grant(args).await)
        }
        Command::ClaimExecution { slot, worker, timeout } => {
            let (lease_id, attempt_id) = world.drawn_ids();
            let args = ClaimExecutionArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                lease_id,
                worker.ttl,
                attempt_id,
                AttemptIndex(0),
                String::new(),
                *timeout,
                None,
                TimestampMs(0),
            );
            let said = backend.claim_execution(args).await.map(|claimed| {
                let ClaimExecutionResult::Claimed(claimed) = claimed else {
                    unreachable!("a claim by grant has one answer")
                };
                claimed
            });
            let handles: Vec<Handle> = said.iter().map(|claimed| claimed.handle.clone()).collect();
            let said = said.map(|mut claimed| {
                claimed.handle = stub_handle_fresh();
                claimed
            });
            Answer::new("claim_execution", said).with_handles(&handles)
        }
        Command::IssueGrantAndClaim { slot, ttl } => {
            let args = IssueGrantAndClaimArgs::new(world.id(*slot).clone(), lane(0), *ttl);
            let said = backend.issue_grant_and_claim(args).await;
            let bare = said.as_ref().ok().cloned();
            Answer { bare, ..Answer::new("issue_grant_and_claim", said) }
        }
        Command::Renew(proof) => {
            Answer::new("renew", backend.renew(&world.handle(engine, *proof)).await)
        }
        Command::RenewLease { proof, ttl } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = RenewLeaseArgs {
                execution_id,
                attempt_index,
                fence,
                lease_ttl_ms: *ttl,
                lease_history_grace_ms: 0,
            };
            Answer::new("renew_lease", backend.renew_lease(args).await)
        }
        Command::Revoke { slot, lease } => {
            let id = world.id(*slot);
            let newest = world.held.iter().rev().find(|(_, held)| held.execution_id == *id);
            let expected_lease_id = match lease {
                Tweak::None => newest.map(|(_, held)| held.lease_id.to_string()),
                Tweak::OtherLease => Some("other".to_owned()),
                Tweak::EpochAhead
                | Tweak::EpochBehind
                | Tweak::OtherAttemptId
                | Tweak::OtherIndex
                | Tweak::Absent
                | Tweak::Garbled => None,
            };
            let holder = newest.map(|(_, held)| held.worker_instance_id.clone());
            let args = RevokeLeaseArgs {
                execution_id: id.clone(),
                expected_lease_id,
                worker_instance_id: holder.unwrap_or_else(|| "instance-0".into()),
                reason: "model".to_owned(),
            };
            Answer::new("revoke_lease", backend.revoke_lease(args).await)
        }
        Command::IssueReclaimGrant { slot, worker } => {
            let args = IssueReclaimGrantArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                None,
                worker.ttl,
                None,
                None,
                offer(*worker).into_iter().collect(),
                TimestampMs(0),
            );
            Answer::new("issue_reclaim_grant", backend.issue_reclaim_grant(args).await)
        }
        Command::Reclaim { slot, worker, cap } => {
            let (lease_id, attempt_id) = world.drawn_ids();
            let args = ReclaimExecutionArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                None,
                lease_id,
                worker.ttl,
                attempt_id,
                String::new(),
                *cap,
                "instance-0".into(),
                AttemptIndex(0),
            );
            let said = backend.reclaim_execution(args).await;
            let handles: Vec<Handle> = match &said {
                Ok(ReclaimExecutionOutcome::Claimed(handle)) => vec![handle.clone()],
                _ => Vec::new(),
            };
            let said = said.map(|outcome| match outcome {
                ReclaimExecutionOutcome::Claimed(_) => {
                    ReclaimExecutionOutcome::Claimed(stub_handle_fresh())
                }
                refused => refused,
            });
            Answer::new("reclaim_execution", said).with_handles(&handles)
        }
        Command::ListExpired { ahead, limit, paged } => Answer::new(
            "list_expired_leases",
            expired_pages(engine, world.later(*ahead), *limit, *paged).await,
        ),
        Command::CheckLeases { ages } => {
            let handles: Vec<Handle> = ages
                .iter()
                .map(|age| world.handle(engine, Proof { age: *age, tweak: Tweak::None }))
                .collect();
            Answer::new("check_leases", backend.check_leases(&handles).await)
        }
        Command::Complete { proof, result: bytes } => {
            let handle = world.handle(engine, *proof);
            Answer::new("complete", backend.complete(&handle, result(*bytes)).await)
        }
        Command::CompleteTyped { proof, result: bytes, source: by } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = CompleteExecutionArgs {
                execution_id,
                fence,
                attempt_index,
                result_payload: result(*bytes),
                result_encoding: None,
                source: source(*by),
                now: TimestampMs(0),
            };
            Answer::new("complete_execution", backend.complete_execution(args).await)
        }
        Command::Fail { proof, class, detail } => {
            let reason = match detail {
                0 => FailureReason::new("it broke"),
                1 => FailureReason::with_detail("it broke", b"own".to_vec()),
                _ => FailureReason::with_detail("it broke", vec![0xff]),
            };
            let handle = world.handle(engine, *proof);
            let said = backend.fail(&handle, reason, CLASSES[usize::from(*class)]).await;
            Answer::new("fail", said)
        }
        Command::FailTyped { proof, category, policy, source: by } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = FailExecutionArgs {
                execution_id,
                fence,
                attempt_index,
                failure_reason: "it broke".to_owned(),
                failure_category: CATEGORIES[usize::from(*category)].to_owned(),
                retry_policy_json: RETRY_POLICIES
                    .get(usize::from(*policy))
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
                next_attempt_policy_json: String::new(),
                source: source(*by),
            };
            Answer::new("fail_execution", backend.fail_execution(args).await)
        }
        Command::Cancel(proof) => {
            let handle = world.handle(engine, *proof);
            Answer::new("cancel", backend.cancel(&handle, "not needed").await)
        }
        Command::CancelTyped { slot, proof, source: by } => {
            let (execution_id, _, fence) = world.fence(*proof);
            let is_holder = *by == Source::Holder;
            let fence = fence.filter(|_| is_holder);
            let args = CancelExecutionArgs {
                execution_id: if is_holder { execution_id } else { world.id(*slot).clone() },
                reason: "not needed".to_owned(),
                source: source(*by),
                lease_id: fence.as_ref().map(|fence| fence.lease_id.clone()),
                lease_epoch: fence.as_ref().map(|fence| fence.lease_epoch),
                attempt_id: fence.map(|fence| fence.attempt_id),
                now: TimestampMs(0),
            };
            Answer::new("cancel_execution", backend.cancel_execution(args).await)
        }
        Command::Delay { proof, by } => {
            let handle = world.handle(engine, *proof);
            Answer::new("delay", backend.delay(&handle, world.later(*by)).await)
        }
        Command::Release(proof) => {
            let handle = world.handle(engine, *proof);
            Answer::new("release_lease", backend.release_lease(&handle).await)
        }
        Command::Progress { proof, percent, message } => {
            let handle = world.handle(engine, *proof);
            let message = message.then(|| "half-way".to_owned());
            Answer::new("progress", backend.progress(&handle, *percent, message).await)
        }
        Command::ChangePriority { slot, priority } => {
            let args = ChangePriorityArgs {
                execution_id: world.id(*slot).clone(),
                new_priority: *priority,
                lane_id: lane(0),
                now: TimestampMs(0),
            };
            Answer::new("change_priority", backend.change_priority(args).await)
        }
        Command::Replay { slot } => {
            let args =
                ReplayExecutionArgs { execution_id: world.id(*slot).clone(), now: TimestampMs(0) };
            Answer::new("replay_execution", backend.replay_execution(args).await)
        }
        Command::SetTag { slot, key, value } => {
            let key =
                ["app.owner", "cairn.instance_id", "Not.valid", "app.slot"][usize::from(*key)];
            let value = ["", "x", "\u{e9}"][usize::from(*value)];
            let said = backend.set_execution_tag(world.id(*slot), key, value).await;
            Answer::new("set_execution_tag", said)
        }
        Command::SetLane { lane: index, state } => {
            let state = LANE_STATES[usize::from(*state)];
            Answer::new("set_lane_state", backend.set_lane_state(&lane(*index), state).await)
        }
        Command::Read { slot, what } => read(engine, world.id(*slot), *what).await,
        Command::ListLanes { after, limit } => {
            Answer::new("list_lanes", backend.list_lanes(after.map(lane), *limit).await)
        }
        Command::ListLaneStatus => {
            Answer::new("list_lane_status", backend.list_lane_status().await)
        }
        Command::ListExecutions { after, limit } => {
            let after = after.map(|slot| world.id(slot).clone());
            let key = PartitionKey::from(&partition(after.as_ref().unwrap_or_else(|| world.id(0))));
            Answer::new("list_executions", backend.list_executions(key, after, *limit).await)
        }
        Command::Find { filter, newest_first, limit } => {
            let mut args = find_args(*filter, world).with_limit(*limit);
            args.newest_first = *newest_first;
            Answer::new("find_executions", found_pages(engine, args).await)
        }
        Command::ServerTime => Answer::new("server_time_ms", backend.server_time_ms().await),
        Command::Ping => Answer::new("ping", backend.ping().await),
        Command::Sweep => Answer::new("sweep", engine.sweep().await),
        Command::Waiting(call) => suspension::ask(engine, world, call).await,
        Command::Flow(call) => flow::ask(engine, world, call).await,
        Command::Stream(call) => stream::ask(engine, world, call).await,
        Command::Registry(call) => worker::ask(engine, call).await,
        Command::Budget(call) => budget::ask(engine, world, call).await,
        Command::Time(_) => unreachable!("both engines share the clock"),
    }
}

impl World {
    /// Ids that a caller brings, the same for both engines and new at every step.
    fn drawn_ids(&self) -> (LeaseId, AttemptId) {
        let drawn = (u128::from(self.setup.seed) << 64) | (self.step as u128) << 8;
        (
            LeaseId::from_uuid(Uuid::from_u128(drawn | 0xA)),
            AttemptId::from_uuid(Uuid::from_u128(drawn | 0xB)),
        )
    }
}

async fn expired_pages(
    engine: &Engine,
    as_of: TimestampMs,
    limit: u32,
    paged: bool,
) -> Result<Vec<ListExpiredLeasesResult>, EngineError> {
    let mut args = ListExpiredLeasesArgs::new(as_of);
    args.limit = Some(limit);
    let mut pages = Vec::new();
    loop {
        let page = engine.backend().list_expired_leases(args.clone()).await?;
        args.after.clone_from(&page.cursor);
        let goes_on = paged && page.cursor.is_some() && pages.len() < usize::from(SLOTS);
        pages.push(page);
        if !goes_on {
            return Ok(pages);
        }
    }
}

async fn found_pages(
    engine: &Engine,
    mut args: FindExecutionsArgs,
) -> Result<Vec<FindExecutionsPage>, EngineError> {
    let mut pages = Vec::new();
    loop {
        let page = engine.backend().find_executions(args.clone()).await?;
        args.cursor.clone_from(&page.next_cursor);
        let goes_on = page.next_cursor.is_some() && pages.len() < usize::from(SLOTS);
        pages.push(page);
        if !goes_on {
            return Ok(pages);
        }
    }
}

fn find_args(filter: u8, world: &World) -> FindExecutionsArgs {
    let all = FindExecutionsArgs::new();
    match filter {
        0 => all,
        1 => all.with_lane(lane(0)),
        2 => all.with_kind("hash"),
        3 => all.with_namespace(Namespace::new("odd")),
        4 => all.with_tag("app.slot", "2"),
        5 => all.with_states(vec![PublicState::Failed]),
        6 => all.with_states(vec![PublicState::Cancelled]),
        7 => all.with_states(vec![PublicState::Expired]),
        8 => all.with_states(vec![PublicState::Waiting, PublicState::Active]),
        9 => all.with_created_from(world.later(-100)),
        10 => all.with_created_before(world.later(-100)),
        _ => all.with_cursor("nonsense"),
    }
}

async fn read(engine: &Engine, id: &ExecutionId, what: Read) -> Answer {
    let backend = engine.backend();
    match what {
        Read::Describe => Answer::new("describe_execution", backend.describe_execution(id).await),
        Read::State => Answer::new("read_execution_state", backend.read_execution_state(id).await),
        Read::Info => Answer::new("read_execution_info", backend.read_execution_info(id).await),
        Read::Context => {
            let said = backend.read_execution_context(id).await.map(|context| {
                let tags: BTreeMap<String, String> = context.tags.into_iter().collect();
                (context.input_payload, context.execution_kind, tags)
            });
            Answer::new("read_execution_context", said)
        }
        Read::Result => Answer::new("get_execution_result", backend.get_execution_result(id).await),
        Read::AttemptIndex => {
            Answer::new("read_current_attempt_index", backend.read_current_attempt_index(id).await)
        }
        Read::AttemptCount => {
            Answer::new("read_total_attempt_count", backend.read_total_attempt_count(id).await)
        }
        Read::Namespace => {
            Answer::new("get_execution_namespace", backend.get_execution_namespace(id).await)
        }
        Read::Summary => Answer::new("describe_summary", backend.describe_summary(id).await),
        Read::Attempts => Answer::new("list_attempts", backend.list_attempts(id).await),
        Read::Transitions => {
            let said = backend.list_transitions(id, Some(1), 5).await;
            Answer::new("list_transitions", said)
        }
        Read::Tag => {
            Answer::new("get_execution_tag", backend.get_execution_tag(id, "app.owner").await)
        }
        Read::BadTag => {
            Answer::new("get_execution_tag", backend.get_execution_tag(id, "Not a key").await)
        }
        Read::Prefix => {
            let prefix: String = id.uuid().simple().to_string().chars().take(12).collect();
            let said = backend.resolve_execution_prefix(&prefix).await;
            Answer::new("resolve_execution_prefix", said)
        }
        Read::Missing => {
            let unknown = ExecutionId::from_parts(id.partition(), Uuid::from_u128(5));
            let said = backend.describe_execution(&unknown).await;
            Answer::new("describe_execution", said)
        }
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
