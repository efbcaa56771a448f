//! The race: many clients on few executions at once, then the invariants.
//!
//! [`actor`] is one client: random commands on executions that all actors of a seed share, and a
//! record of each. Tasks of one process run it side by side ([`race`]); processes on one file run
//! it too, write their [`History`] as JSON lines, and one of them calls [`quiesce`] and
//! [`check`](crate::invariants::check) with all histories. It needs a clock that runs: leases and
//! delays are a few milliseconds long.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{
    CancelFlowPolicy, CancelFlowWait, CapabilitySet, ClaimPolicy, FailOutcome, FailureClass,
    FailureReason, Frame, FrameKind, Handle, ScannerFilter, UsageDimensions,
};
use ff_core::contracts::{
    AnswerWaitpointArgs, CancelExecutionArgs, ChangePriorityArgs, CreateBudgetArgs,
    CreateExecutionArgs, CreateExecutionResult, DeliverSignalResult, FindExecutionsArgs, FlowLink,
    FlowNode, ListWaitingArgs, ReplayExecutionArgs, ReportUsageResult, ResumeCondition,
    ResumePolicy, RevokeLeaseArgs, RevokeLeaseResult, SignalMatcher, SubmitFlowArgs,
    SubmitFlowResult, SuspendArgs, SuspensionReasonCode, TimeoutBehavior, WaitpointBinding,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::machine::transition::LeaseEventKind;
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements};
use ff_core::state::{LaneState, PublicState};
use ff_core::stream_subscribe::{decode_event_cursor, encode_event_cursor};
use ff_core::types::{
    BudgetId, CancelSource, ExecutionId, FlowId, LaneId, Namespace, SuspensionId, TimestampMs,
    WaitpointId, WorkerId, WorkerInstanceId,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::dice::Dice;
use crate::frames::{self, Append};
use crate::invariants::{
    Caps, Delivered, Finding, History, Observed, Op, Outcome, Record, judge, observe,
};
use crate::model::compare::code_of_error;
use crate::probe::Engine;

/// The lanes of the race.
const LANES: [&str; 2] = ["race-a", "race-b"];

/// Capability sets that executions need and workers offer; the last fits all.
const CAPABILITIES: [&[&str]; 3] = [&[], &["gpu"], &["eu", "gpu"]];

/// Partitions of the executions; flows are in the first.
const PARTITIONS: u64 = 5;

/// Executions that all actors work on at the same time.
const CROWD: u64 = 8;

/// Flows that all actors submit and cancel at the same time.
const FLOWS: u64 = 2;

/// Members of a flow: one, one behind it, and one behind both.
const MEMBERS: u64 = 3;

/// The number of the first member of the first flow.
const FIRST_MEMBER: u64 = 1_000_000;

/// What may be spent in one race: less than its actors want.
const UNITS_MAX: u64 = 10;

/// Operations after which an actor moves on to the next crowd.
const OPERATIONS_PER_CROWD: u64 = 15;

/// Frames that an actor appends to a stream side by side.
const FRAMES_AT_ONCE: u64 = 3;

/// Handles that an actor keeps, dead ones included.
const HANDLES_KEPT: usize = 8;

/// How long an engine may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// How long a follower may lag behind an engine at rest.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// Random commands of one client on the executions that `seed` names.
///
/// Clients with the same seed share executions; `client` makes each one's choices its own.
pub async fn actor(
    engine: Arc<dyn EngineBackend>,
    seed: u64,
    client: u64,
    operations: u64,
) -> History {
    let mut actor = Actor {
        engine,
        seed,
        name: format!("client-{client}"),
        dice: Dice::new(seed.rotate_left(17) ^ client.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        held: Vec::new(),
        paused: None,
        history: History::default(),
    };
    create_budget(&actor.engine, seed).await.expect("a budget");
    for number in 0..operations {
        Box::pin(actor.act(number)).await;
        tokio::task::yield_now().await;
    }
    actor.history
}

struct Actor {
    engine: Arc<dyn EngineBackend>,
    seed: u64,
    name: String,
    dice: Dice,
    held: Vec<(Handle, HandlePayload)>,
    paused: Option<LaneId>,
    history: History,
}

/// What all actors agree on about an execution before they create it.
struct Plan {
    id: ExecutionId,
    lane: LaneId,
    needs: Vec<String>,
    caps: Caps,
    policy: ExecutionPolicy,
    key: Option<String>,
}

fn plan(seed: u64, number: u64) -> Plan {
    let mut dice = Dice::new(seed ^ number.rotate_left(32));
    let mut random = [0_u8; 10];
    random[..8].copy_from_slice(&dice.next().to_le_bytes());
    let uuid =
        uuid::Builder::from_unix_timestamp_millis(1_700_000_000_000 + number, &random).into_uuid();
    let needs = strings(dice.pick(&CAPABILITIES));
    let caps = Caps {
        max_retries: dice.pick(&[0, 1, 3]),
        max_reclaim_count: dice.pick(&[1, 3, 100]),
        max_replay_count: dice.pick(&[1, 10]),
    };
    let policy = ExecutionPolicy {
        max_reclaim_count: caps.max_reclaim_count,
        max_replay_count: caps.max_replay_count,
        retry_policy: Some(RetryPolicy {
            max_retries: caps.max_retries,
            backoff: BackoffStrategy::Fixed { delay_ms: dice.pick(&[1, 5, 20]) },
            retryable_categories: Vec::new(),
        }),
        routing_requirements: Some(RoutingRequirements {
            required_capabilities: needs.iter().cloned().collect(),
            ..RoutingRequirements::default()
        }),
        ..ExecutionPolicy::default()
    };
    Plan {
        id: ExecutionId::from_parts(u16::try_from(number % PARTITIONS).unwrap_or(0), uuid),
        lane: LaneId::new(dice.pick(&LANES)),
        needs,
        caps,
        policy,
        key: dice.chance(30).then(|| format!("race-{number}")),
    }
}

/// The numbers of a flow's members, all in the partition of flows.
fn members(flow: u64) -> impl Iterator<Item = u64> {
    (0..MEMBERS).map(move |place| FIRST_MEMBER + (flow * MEMBERS + place) * PARTITIONS)
}

fn flow_id(seed: u64, flow: u64) -> FlowId {
    FlowId::from_uuid(Uuid::from_u64_pair(seed, flow))
}

fn budget_id(seed: u64) -> BudgetId {
    BudgetId::from_uuid(Uuid::from_u64_pair(seed, u64::MAX))
}

/// Every actor may be the first.
async fn create_budget(engine: &Arc<dyn EngineBackend>, seed: u64) -> Result<(), EngineError> {
    let args = CreateBudgetArgs {
        budget_id: budget_id(seed),
        scope_type: "race".to_owned(),
        scope_id: "race".to_owned(),
        enforcement_mode: "strict".to_owned(),
        on_hard_limit: String::new(),
        on_soft_limit: String::new(),
        reset_interval_ms: 0,
        dimensions: vec!["units".to_owned()],
        hard_limits: vec![UNITS_MAX],
        soft_limits: vec![0],
        now: TimestampMs(0),
    };
    engine.create_budget(args).await.map(drop)
}

fn strings(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(|token| (*token).to_owned()).collect()
}

async fn engine_time(engine: &Arc<dyn EngineBackend>) -> TimestampMs {
    let ms = engine.server_time_ms().await.unwrap_or(0);
    TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// What an error says about whether the call happened.
pub(crate) fn refused(error: &EngineError) -> Outcome {
    let code = code_of_error(error);
    match error {
        EngineError::NotFound { .. }
        | EngineError::Validation { .. }
        | EngineError::Contention(_)
        | EngineError::Conflict(_)
        | EngineError::State(_) => Outcome::Refused(code),
        _ => Outcome::Unknown(code),
    }
}

impl Actor {
    async fn act(&mut self, number: u64) {
        if let Some(lane) = self.paused.take() {
            return self.set_lane(lane, LaneState::Active).await;
        }
        let target = number / OPERATIONS_PER_CROWD * CROWD + self.dice.below(CROWD);
        let flow = number / OPERATIONS_PER_CROWD * FLOWS + self.dice.below(FLOWS);
        match self.dice.below(100) {
            0..=9 => self.create(target).await,
            10..=13 => self.submit_flow(flow).await,
            14 => self.cancel_flow(flow).await,
            15..=17 => self.signal().await,
            18..=31 => self.claim().await,
            32..=44 => self.claim_batch().await,
            45..=48 => self.write(Op::Spend, number).await,
            49..=54 => self.write(Op::Suspend, number).await,
            55..=60 => self.write(Op::Complete, number).await,
            61..=66 => self.write(Op::Fail, number).await,
            67..=69 => self.write(Op::Renew, number).await,
            70..=72 => self.append(number).await,
            73 => self.write(Op::Progress, number).await,
            74..=76 => self.write(Op::Delay, number).await,
            77..=79 => self.write(Op::Release, number).await,
            80..=81 => self.write(Op::Cancel, number).await,
            82..=84 => self.cancel_execution(target).await,
            85..=87 => self.revoke(target).await,
            88..=91 => self.replay(target).await,
            92..=94 => self.read_result(target).await,
            95..=98 => self.change_priority(target).await,
            _ => {
                let lane = LaneId::new(self.dice.pick(&LANES));
                self.paused = Some(lane.clone());
                self.set_lane(lane, LaneState::Paused).await;
            }
        }
    }

    async fn now(&self) -> TimestampMs {
        engine_time(&self.engine).await
    }

    /// Puts a record together after the answer came.
    async fn record(&self, op: Op, invoked_at: TimestampMs, outcome: Outcome) -> Record {
        Record::new(&self.name, op, outcome, (invoked_at, self.now().await))
    }

    fn keep(&mut self, record: Record) {
        self.history.records.push(record);
    }

    fn hold(&mut self, handle: &Handle) -> Option<HandlePayload> {
        let payload = handle_codec::decode(&handle.opaque).ok()?.payload;
        if self.held.len() == HANDLES_KEPT {
            self.held.remove(0);
        }
        self.held.push((handle.clone(), payload.clone()));
        Some(payload)
    }

    async fn create(&mut self, number: u64) {
        let plan = plan(self.seed, number);
        let invoked_at = self.now().await;
        let delay = self.dice.pick(&[None, None, None, Some(1), Some(10)]);
        let not_before = delay.map(|ms| TimestampMs(invoked_at.0 + ms));
        let deadline = self.dice.pick(&[None, None, None, None, Some(3), Some(200)]);
        let args = CreateExecutionArgs {
            execution_id: plan.id.clone(),
            namespace: Namespace::new("race"),
            lane_id: plan.lane.clone(),
            execution_kind: "race".to_owned(),
            input_payload: number.to_le_bytes().to_vec(),
            payload_encoding: None,
            priority: i32::try_from(number % 3).unwrap_or(0),
            creator_identity: "race".to_owned(),
            idempotency_key: plan.key,
            tags: std::collections::HashMap::new(),
            policy: Some(plan.policy),
            delay_until: not_before,
            execution_deadline_at: deadline.map(|ms| TimestampMs(invoked_at.0 + ms)),
            partition_id: plan.id.partition(),
            now: invoked_at,
        };
        let said = if self.dice.chance(25) {
            let batch = self.engine.create_executions(vec![args]).await;
            batch.map(|mut rows| rows.swap_remove(0))
        } else {
            self.engine.create_execution(args).await
        };
        let (outcome, id) = match said {
            Ok(CreateExecutionResult::Created { execution_id, .. }) => {
                (Outcome::Ok("Created".to_owned()), execution_id)
            }
            Ok(CreateExecutionResult::Duplicate { execution_id }) => {
                (Outcome::Ok("Duplicate".to_owned()), execution_id)
            }
            Err(error) => (refused(&error), plan.id),
        };
        let is_born = outcome == Outcome::Ok("Created".to_owned());
        let mut record = self.record(Op::Create, invoked_at, outcome).await;
        record.execution = Some(id);
        record.not_before = not_before.filter(|_| is_born);
        record.lane = Some(plan.lane.0);
        record.capabilities = plan.needs;
        record.caps = Some(plan.caps);
        self.keep(record);
    }

    fn offer(&mut self) -> Vec<String> {
        let most = self.dice.chance(70);
        strings(if most { CAPABILITIES[2] } else { self.dice.pick(&CAPABILITIES) })
    }

    fn claim_policy(&mut self) -> ClaimPolicy {
        let ttl = self.dice.pick(&[1, 5, 30, 150]);
        let (worker, instance) = (WorkerId::new(&self.name), WorkerInstanceId::new(&self.name));
        ClaimPolicy::new(worker, instance, ttl, None)
    }

    async fn claim(&mut self) {
        let (lane, offer) = (LaneId::new(self.dice.pick(&LANES)), self.offer());
        let policy = self.claim_policy();
        let invoked_at = self.now().await;
        let said = self.engine.claim(&lane, &CapabilitySet::new(offer.clone()), policy).await;
        let outcome = match &said {
            Ok(Some(handle)) => Outcome::Ok(format!("{:?}", handle.kind)),
            Ok(None) => Outcome::Ok("None".to_owned()),
            Err(error) => refused(error),
        };
        let mut record = self.record(Op::Claim, invoked_at, outcome).await;
        if let Some(payload) = said.ok().flatten().and_then(|handle| self.hold(&handle)) {
            record.execution = Some(payload.execution_id);
            record.epoch = Some(payload.lease_epoch.0);
        }
        record.lane = Some(lane.0);
        record.capabilities = offer;
        self.keep(record);
    }

    async fn claim_batch(&mut self) {
        let offer = self.offer();
        let lanes: Vec<LaneId> = LANES.iter().map(|lane| LaneId::new(*lane)).collect();
        let (policy, max) = (self.claim_policy(), self.dice.pick(&[1, 2, 4]));
        let invoked_at = self.now().await;
        let capabilities = CapabilitySet::new(offer.clone());
        let said = self.engine.claim_batch(&lanes, &capabilities, policy, max).await;
        let works = match said {
            Ok(works) => works,
            Err(error) => {
                let record = self.record(Op::Claim, invoked_at, refused(&error)).await;
                return self.keep(record);
            }
        };
        if works.is_empty() {
            for lane in lanes {
                let outcome = Outcome::Ok("None".to_owned());
                let mut record = self.record(Op::Claim, invoked_at, outcome).await;
                record.lane = Some(lane.0);
                record.capabilities.clone_from(&offer);
                self.keep(record);
            }
        }
        for work in works {
            let outcome = Outcome::Ok(format!("{:?}", work.handle.kind));
            let mut record = self.record(Op::Claim, invoked_at, outcome).await;
            self.hold(&work.handle);
            record.execution = Some(work.execution_id);
            record.epoch = Some(work.lease_epoch.0);
            record.expires_at = Some(work.lease_expires_at);
            record.lane = Some(work.lane_id.0);
            record.capabilities.clone_from(&offer);
            self.keep(record);
        }
    }

    /// A handle: mostly the newest, sometimes an old one, sometimes a forged one.
    fn shown(&mut self) -> Option<(Handle, HandlePayload)> {
        let newest = self.held.len().checked_sub(1)?;
        let back = if self.dice.chance(65) { 0 } else { self.dice.below(HANDLES_KEPT as u64) };
        let chosen = newest.saturating_sub(usize::try_from(back).unwrap_or(0));
        let (mut handle, mut payload) = self.held[chosen].clone();
        if self.dice.chance(6) {
            payload.lease_epoch.0 += 1;
            handle.opaque = handle_codec::encode(handle.backend, &payload);
        }
        Some((handle, payload))
    }

    /// A few frames at once, on one stream.
    async fn append(&mut self, number: u64) {
        let Some((handle, payload)) = self.shown() else { return };
        let invoked_at = self.now().await;
        let calls = (0..FRAMES_AT_ONCE).map(|place| {
            let (engine, handle) = (Arc::clone(&self.engine), handle.clone());
            let text = format!("{} {number}-{place}", self.name);
            async move {
                let frame = Frame::new(text.clone().into_bytes(), FrameKind::Stdout);
                (text, engine.append_frame(&handle, frame).await)
            }
        });
        for (text, said) in join_all(calls).await {
            let (outcome, told) = match said {
                Ok(said) => {
                    (Outcome::Ok("ok".to_owned()), Some((said.stream_id, said.frame_count)))
                }
                Err(error) => (refused(&error), None),
            };
            let mut record = self.record(Op::AppendFrame, invoked_at, outcome).await;
            record.execution = Some(payload.execution_id.clone());
            record.epoch = Some(payload.lease_epoch.0);
            record.args = Append { attempt: payload.attempt_index.0, told, text }.note();
            self.keep(record);
        }
    }

    /// One call by handle.
    async fn write(&mut self, op: Op, number: u64) {
        let Some((handle, payload)) = self.shown() else { return };
        let invoked_at = self.now().await;
        let (mut until, mut expires_at, mut result) = (None, None, None);
        let mut args = String::new();
        let done = |said: Result<(), EngineError>| match said {
            Ok(()) => Outcome::Ok("ok".to_owned()),
            Err(error) => refused(&error),
        };
        let outcome = match op {
            Op::Complete => {
                result = Some(format!("{} {number}", self.name).into_bytes());
                done(self.engine.complete(&handle, result.clone()).await)
            }
            Op::Fail => {
                let class = self.dice.pick(&[
                    FailureClass::Transient,
                    FailureClass::Transient,
                    FailureClass::Permanent,
                ]);
                match self.engine.fail(&handle, FailureReason::new("lost the race"), class).await {
                    Ok(FailOutcome::TerminalFailed) => Outcome::Ok("TerminalFailed".to_owned()),
                    Ok(FailOutcome::RetryScheduled { .. }) => {
                        Outcome::Ok("RetryScheduled".to_owned())
                    }
                    Err(error) => refused(&error),
                }
            }
            Op::Renew => match self.engine.renew(&handle).await {
                Ok(renewal) => {
                    let at = i64::try_from(renewal.expires_at_ms).unwrap_or(i64::MAX);
                    expires_at = Some(TimestampMs(at));
                    Outcome::Ok("ok".to_owned())
                }
                Err(error) => refused(&error),
            },
            Op::Spend => {
                let key = format!("key-{}", number / 2);
                let budget = budget_id(self.seed);
                args = format!("{budget} {key}");
                let mut usage = UsageDimensions::new();
                usage.custom.insert("units".to_owned(), 1);
                usage.dedup_key = Some(key);
                match self.engine.report_usage(&handle, &budget, usage).await {
                    Ok(ReportUsageResult::Ok) => Outcome::Ok("Ok".to_owned()),
                    Ok(ReportUsageResult::AlreadyApplied) => {
                        Outcome::Ok("AlreadyApplied".to_owned())
                    }
                    Ok(ReportUsageResult::HardBreach { .. }) => {
                        Outcome::Ok("HardBreach".to_owned())
                    }
                    Ok(other) => Outcome::Unknown(format!("{other:?}")),
                    Err(error) => refused(&error),
                }
            }
            Op::Suspend => {
                let wait = self.dice.pick(&[20, 100, 300]);
                let wish = self.wish(TimestampMs(invoked_at.0 + wait));
                done(self.engine.suspend(&handle, wish).await.map(drop))
            }
            Op::Progress => done(self.engine.progress(&handle, Some(50), None).await),
            Op::Delay => {
                let at = TimestampMs(invoked_at.0 + self.dice.pick(&[1, 10, 30]));
                until = Some(at);
                done(self.engine.delay(&handle, at).await)
            }
            Op::Release => done(self.engine.release_lease(&handle).await),
            _ => done(self.engine.cancel(&handle, "race").await),
        };
        let mut record = self.record(op, invoked_at, outcome).await;
        record.execution = Some(payload.execution_id);
        record.epoch = Some(payload.lease_epoch.0);
        record.args = args;
        record.not_before = until;
        record.expires_at = expires_at;
        record.result = result;
        self.keep(record);
    }

    /// Any signal ends it, or the timeout.
    fn wish(&mut self, timeout_at: TimestampMs) -> SuspendArgs {
        let mut draw = || Uuid::from_u64_pair(self.dice.next(), self.dice.next());
        let binding = WaitpointBinding::Fresh {
            waitpoint_id: WaitpointId::from_uuid(draw()),
            waitpoint_key: "go".to_owned(),
        };
        let condition = ResumeCondition::Single {
            waitpoint_key: "go".to_owned(),
            matcher: SignalMatcher::Wildcard,
        };
        SuspendArgs::new(
            SuspensionId::from_uuid(draw()),
            binding,
            condition,
            ResumePolicy::normal(),
            SuspensionReasonCode::WaitingForSignal,
            TimestampMs(0),
        )
        .with_timeout(timeout_at, TimeoutBehavior::AutoResumeWithTimeoutSignal)
    }

    /// Answers one of those that wait, as others do at the same time: all under the same key.
    async fn signal(&mut self) {
        let mut args = ListWaitingArgs::new();
        args.limit = Some(4);
        let Ok(page) = self.engine.list_waiting(args).await else { return };
        let waiting = page.entries.iter().flat_map(|entry| {
            entry.waitpoints.iter().map(|open| (&entry.execution_id, &open.waitpoint_id))
        });
        let waiting: Vec<(ExecutionId, WaitpointId)> =
            waiting.map(|(id, open)| (id.clone(), open.clone())).collect();
        if waiting.is_empty() {
            return;
        }
        let (id, waitpoint) = self.dice.pick(&waiting.iter().collect::<Vec<_>>()).clone();
        let mut args = AnswerWaitpointArgs::new(id.clone(), waitpoint.clone(), "go", &self.name);
        args.idempotency_key = Some("once".to_owned());
        let invoked_at = self.now().await;
        let mut signal = String::new();
        let outcome = match self.engine.answer_waitpoint(args).await {
            Ok(DeliverSignalResult::Accepted { signal_id, effect }) => {
                signal = signal_id.to_string();
                Outcome::Ok(effect)
            }
            Ok(DeliverSignalResult::Duplicate { .. }) => Outcome::Ok("Duplicate".to_owned()),
            Err(error) => refused(&error),
        };
        let mut record = self.record(Op::Signal, invoked_at, outcome).await;
        record.execution = Some(id);
        record.args = format!("{waitpoint} {signal}");
        self.keep(record);
    }

    async fn submit_flow(&mut self, flow: u64) {
        let invoked_at = self.now().await;
        let plans: Vec<Plan> = members(flow).map(|number| plan(self.seed, number)).collect();
        let nodes = plans.iter().map(|plan| {
            let args = CreateExecutionArgs {
                execution_id: plan.id.clone(),
                namespace: Namespace::new("race"),
                lane_id: plan.lane.clone(),
                execution_kind: "race".to_owned(),
                input_payload: Vec::new(),
                payload_encoding: None,
                priority: 0,
                creator_identity: "race".to_owned(),
                idempotency_key: None,
                tags: std::collections::HashMap::new(),
                policy: Some(plan.policy.clone()),
                delay_until: None,
                execution_deadline_at: None,
                partition_id: plan.id.partition(),
                now: invoked_at,
            };
            FlowNode::new(args)
        });
        let args = SubmitFlowArgs {
            flow_id: flow_id(self.seed, flow),
            flow_kind: "race".to_owned(),
            namespace: Namespace::new("race"),
            tags: BTreeMap::new(),
            nodes: nodes.collect(),
            edges: vec![FlowLink::new(0, 1), FlowLink::new(0, 2), FlowLink::new(1, 2)],
        };
        let said = self.engine.submit_flow(args).await;
        let outcome = match &said {
            Ok(SubmitFlowResult::Submitted { .. }) => Outcome::Ok("Submitted".to_owned()),
            Ok(SubmitFlowResult::Duplicate { .. }) => Outcome::Ok("Duplicate".to_owned()),
            Ok(other) => Outcome::Unknown(format!("{other:?}")),
            Err(error) => refused(error),
        };
        let record = self.record(Op::SubmitFlow, invoked_at, outcome).await;
        if let Ok(SubmitFlowResult::Submitted { .. }) = said {
            for plan in plans {
                let created = Outcome::Ok("Created".to_owned());
                let mut member = Record { op: Op::Create, outcome: created, ..record.clone() };
                member.execution = Some(plan.id);
                member.lane = Some(plan.lane.0);
                member.capabilities = plan.needs;
                member.caps = Some(plan.caps);
                self.keep(member);
            }
        }
        self.keep(record);
    }

    async fn cancel_flow(&mut self, flow: u64) {
        let invoked_at = self.now().await;
        let id = flow_id(self.seed, flow);
        let (policy, wait) = (CancelFlowPolicy::CancelAll, CancelFlowWait::NoWait);
        let outcome = match self.engine.cancel_flow(&id, policy, wait).await {
            Ok(_) => Outcome::Ok("Cancelled".to_owned()),
            Err(error) => refused(&error),
        };
        for number in members(flow) {
            let id = plan(self.seed, number).id;
            self.about(Op::CancelFlow, invoked_at, outcome.clone(), id).await;
        }
    }

    async fn cancel_execution(&mut self, number: u64) {
        let id = plan(self.seed, number).id;
        let invoked_at = self.now().await;
        let args = CancelExecutionArgs {
            execution_id: id.clone(),
            reason: "race".to_owned(),
            source: CancelSource::OperatorOverride,
            lease_id: None,
            lease_epoch: None,
            attempt_id: None,
            now: invoked_at,
        };
        let outcome = match self.engine.cancel_execution(args).await {
            Ok(_) => Outcome::Ok("Cancelled".to_owned()),
            Err(error) => refused(&error),
        };
        self.about(Op::CancelExecution, invoked_at, outcome, id).await;
    }

    async fn revoke(&mut self, number: u64) {
        let id = plan(self.seed, number).id;
        let invoked_at = self.now().await;
        let described = self.engine.describe_summary(&id).await.ok().flatten();
        let Some(holder) = described.and_then(|summary| summary.worker_instance_id) else { return };
        let args = RevokeLeaseArgs {
            execution_id: id.clone(),
            expected_lease_id: None,
            worker_instance_id: holder,
            reason: "race".to_owned(),
        };
        let outcome = match self.engine.revoke_lease(args).await {
            Ok(RevokeLeaseResult::Revoked { .. }) => Outcome::Ok("Revoked".to_owned()),
            Ok(RevokeLeaseResult::AlreadySatisfied { .. }) => {
                Outcome::Ok("AlreadySatisfied".to_owned())
            }
            Err(error) => refused(&error),
        };
        self.about(Op::Revoke, invoked_at, outcome, id).await;
    }

    async fn replay(&mut self, number: u64) {
        let id = plan(self.seed, number).id;
        let invoked_at = self.now().await;
        let args = ReplayExecutionArgs { execution_id: id.clone(), now: invoked_at };
        let outcome = match self.engine.replay_execution(args).await {
            Ok(_) => Outcome::Ok("Replayed".to_owned()),
            Err(error) => refused(&error),
        };
        self.about(Op::Replay, invoked_at, outcome, id).await;
    }

    async fn change_priority(&mut self, number: u64) {
        let plan = plan(self.seed, number);
        let invoked_at = self.now().await;
        let args = ChangePriorityArgs {
            execution_id: plan.id.clone(),
            new_priority: self.dice.pick(&[0, 5, 9]),
            lane_id: plan.lane,
            now: invoked_at,
        };
        let outcome = match self.engine.change_priority(args).await {
            Ok(_) => Outcome::Ok("Changed".to_owned()),
            Err(error) => refused(&error),
        };
        self.about(Op::ChangePriority, invoked_at, outcome, plan.id).await;
    }

    async fn read_result(&mut self, number: u64) {
        let id = plan(self.seed, number).id;
        let invoked_at = self.now().await;
        let said = self.engine.get_execution_result(&id).await;
        let outcome = match &said {
            Ok(result) => Outcome::Ok(if result.is_some() { "Some" } else { "None" }.to_owned()),
            Err(error) => refused(error),
        };
        let mut record = self.record(Op::ReadResult, invoked_at, outcome).await;
        record.execution = Some(id);
        record.result = said.ok().flatten();
        self.keep(record);
    }

    async fn set_lane(&mut self, lane: LaneId, state: LaneState) {
        let op = if state == LaneState::Paused { Op::PauseLane } else { Op::ResumeLane };
        let invoked_at = self.now().await;
        let outcome = match self.engine.set_lane_state(&lane, state).await {
            Ok(()) => Outcome::Ok("ok".to_owned()),
            Err(error) => refused(&error),
        };
        let mut record = self.record(op, invoked_at, outcome).await;
        record.lane = Some(lane.0);
        self.keep(record);
    }

    async fn about(&mut self, op: Op, invoked_at: TimestampMs, outcome: Outcome, id: ExecutionId) {
        let mut record = self.record(op, invoked_at, outcome).await;
        record.execution = Some(id);
        self.keep(record);
    }
}

/// Brings an engine to rest: opens its lanes and works until nothing is left to do.
///
/// `Timeout` when something neither ends nor can be claimed for a minute.
pub async fn quiesce(engine: &Arc<dyn EngineBackend>) -> Result<History, EngineError> {
    let mut actor = Actor {
        engine: Arc::clone(engine),
        seed: 0,
        name: "quiesce".to_owned(),
        dice: Dice::new(0),
        held: Vec::new(),
        paused: None,
        history: History::default(),
    };
    let mut lanes = Vec::new();
    for lane in engine.list_lane_status().await? {
        actor.set_lane(lane.lane_id.clone(), LaneState::Active).await;
        lanes.push(lane.lane_id);
    }
    let open = [
        PublicState::Waiting,
        PublicState::Delayed,
        PublicState::Active,
        PublicState::Suspended,
        PublicState::Resumable,
        PublicState::WaitingChildren,
        PublicState::RateLimited,
    ];
    let search = FindExecutionsArgs::new().with_states(open.to_vec()).with_limit(1);
    let end = engine_time(engine).await.0 + i64::try_from(REST_MAX.as_millis()).unwrap_or(0);
    loop {
        // A search page may be empty while it has more to look at.
        let page = engine.find_executions(search.clone()).await?;
        if page.executions.is_empty() && page.next_cursor.is_none() {
            return Ok(actor.history);
        }
        if engine_time(engine).await.0 > end {
            return Err(EngineError::Timeout { op: "quiesce", elapsed: REST_MAX });
        }
        let policy = ClaimPolicy::new(
            WorkerId::new("quiesce"),
            WorkerInstanceId::new("quiesce"),
            60_000,
            Some(Duration::from_millis(250)),
        );
        let offer = CapabilitySet::new(CAPABILITIES[2].iter().copied());
        let invoked_at = actor.now().await;
        for work in engine.claim_batch(&lanes, &offer, policy, 64).await? {
            let outcome = Outcome::Ok(format!("{:?}", work.handle.kind));
            let mut claimed = actor.record(Op::Claim, invoked_at, outcome).await;
            claimed.execution = Some(work.execution_id.clone());
            claimed.epoch = Some(work.lease_epoch.0);
            actor.keep(claimed);
            let invoked_at = actor.now().await;
            let result = Some(b"at rest".to_vec());
            let outcome = match engine.complete(&work.handle, result.clone()).await {
                Ok(()) => Outcome::Ok("ok".to_owned()),
                Err(error) => refused(&error),
            };
            let mut record = actor.record(Op::Complete, invoked_at, outcome).await;
            record.execution = Some(work.execution_id);
            record.epoch = Some(work.lease_epoch.0);
            record.result = result;
            actor.keep(record);
        }
    }
}

/// What a race came to.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Verdict {
    pub seed: u64,
    pub operations: u64,
    pub findings: Vec<Finding>,
    pub observed: Observed,
    pub histories: Vec<History>,
    tally: BTreeMap<(Op, String), u64>,
}

impl Verdict {
    /// How often a client was answered `Ok` to this.
    pub fn accepted(&self, op: Op) -> u64 {
        let of_op =
            self.tally.iter().filter(|((known, code), _)| *known == op && !is_refusal(code));
        of_op.map(|(_, count)| count).sum()
    }

    /// Prints what was covered.
    ///
    /// # Panics
    /// On a finding, with the seed; if nothing ran; if a kind of command never succeeded, or no
    /// lease was taken over: such a race proves nothing.
    #[expect(clippy::print_stdout, reason = "the coverage table is the test's report")]
    pub fn expect_clean(&self, replay: &str) {
        println!("{self}");
        let findings: Vec<String> = self.findings.iter().map(ToString::to_string).collect();
        assert!(
            findings.is_empty(),
            "{} findings:\n{}\nreplay: FF_RACE_SEED={} {replay}",
            findings.len(),
            findings.join("\n"),
            self.seed
        );
        for op in ALL_OPS {
            // What stands in line is taken at once, so every change of its place may come too late.
            if op != Op::ChangePriority {
                assert!(self.accepted(op) > 0, "{op:?} never succeeded");
            }
        }
        let of_kind = |kind| self.observed.lease_events.iter().any(|(_, event)| event.kind == kind);
        assert!(of_kind(LeaseEventKind::Reclaimed), "no lease was taken over");
        assert!(of_kind(LeaseEventKind::Expired), "no lease lapsed");
    }
}

/// Every kind of command of the race.
const ALL_OPS: [Op; 22] = [
    Op::AppendFrame,
    Op::Spend,
    Op::Suspend,
    Op::Signal,
    Op::SubmitFlow,
    Op::CancelFlow,
    Op::Create,
    Op::Claim,
    Op::Renew,
    Op::Progress,
    Op::Complete,
    Op::Fail,
    Op::Cancel,
    Op::Delay,
    Op::Release,
    Op::CancelExecution,
    Op::Revoke,
    Op::Replay,
    Op::ChangePriority,
    Op::PauseLane,
    Op::ResumeLane,
    Op::ReadResult,
];

fn is_refusal(code: &str) -> bool {
    code.starts_with('!') || code.starts_with('?')
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in ALL_OPS {
            let codes: Vec<String> = self
                .tally
                .iter()
                .filter(|((known, _), _)| *known == op)
                .map(|((_, code), count)| format!("{code} {count}"))
                .collect();
            writeln!(f, "{:<18}{}", format!("{op:?}"), codes.join(", "))?;
        }
        write!(
            f,
            "seed {}: {} operations, {} executions, {} lease events, {} completions, {} findings",
            self.seed,
            self.operations,
            self.observed.executions.len(),
            self.observed.lease_events.len(),
            self.observed.completions.len(),
            self.findings.len()
        )
    }
}

/// The seed of a race: `FF_RACE_SEED`, or the one given.
pub fn seed_from_env(otherwise: u64) -> u64 {
    std::env::var("FF_RACE_SEED").ok().map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("FF_RACE_SEED is not a number: {text:?}"))
    })
}

/// Races `tasks` actors of `operations` commands each on a fresh engine, beside a sweeper and two
/// subscribers; brings the engine to rest and judges it.
///
/// Call [`Verdict::expect_clean`] on the answer. Needs a runtime with several threads to be a race.
pub async fn race(
    engine: &Engine,
    seed: u64,
    tasks: u64,
    operations: u64,
) -> Result<Verdict, EngineError> {
    let leases = follow_leases(engine.backend()).await?;
    let completions = follow_completions(engine.backend()).await?;
    let mut running = JoinSet::new();
    for client in 0..tasks {
        running.spawn(actor(Arc::clone(engine.backend()), seed, client, operations));
    }
    let sweeping = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..operations {
                engine.sweep().await?;
                tokio::task::yield_now().await;
            }
            Ok::<(), EngineError>(())
        })
    };
    let mut histories = Vec::new();
    while let Some(history) = running.join_next().await {
        histories.push(history.expect("an actor does not panic"));
    }
    sweeping.await.expect("a sweep does not panic")?;
    histories.push(quiesce(engine.backend()).await?);

    let observed = observe(engine).await?;
    let mut findings = judge(&observed, &histories);
    findings.extend(frames::check(engine.backend().as_ref(), &observed, &histories).await?);
    let table = observed.lease_events.iter();
    let table = table.map(|(id, event)| (*id, event.execution_id.clone(), event.at));
    findings.extend(followed("lease", leases, table.collect()).await);
    let table = observed.completions.iter();
    let table = table.map(|(id, event)| (*id, event.execution_id.clone(), event.at));
    findings.extend(followed("completion", completions, table.collect()).await);
    Ok(Verdict {
        seed,
        operations: histories.iter().map(|history| history.records.len() as u64).sum(),
        tally: tally(&histories),
        findings,
        observed,
        histories,
    })
}

fn tally(histories: &[History]) -> BTreeMap<(Op, String), u64> {
    let mut tally = BTreeMap::new();
    for record in histories.iter().flat_map(|history| &history.records) {
        let code = match &record.outcome {
            Outcome::Ok(code) => code.clone(),
            Outcome::Refused(code) => format!("!{code}"),
            Outcome::Unknown(code) => format!("?{code}"),
        };
        *tally.entry((record.op, code)).or_default() += 1;
    }
    tally
}

async fn follow_leases(
    engine: &Arc<dyn EngineBackend>,
) -> Result<mpsc::UnboundedReceiver<Delivered>, EngineError> {
    let (tell, told) = mpsc::unbounded_channel();
    let stream =
        engine.subscribe_lease_history(encode_event_cursor(0), &ScannerFilter::NOOP).await?;
    tokio::spawn(stream.for_each(move |event| {
        if let Ok(event) = event {
            let id = decode_event_cursor(event.cursor()).ok().flatten().unwrap_or(-1);
            // The receiver is gone when the race is over.
            let _ = tell.send((id, event.execution_id().clone(), event.at()));
        }
        std::future::ready(())
    }));
    Ok(told)
}

async fn follow_completions(
    engine: &Arc<dyn EngineBackend>,
) -> Result<mpsc::UnboundedReceiver<Delivered>, EngineError> {
    let (tell, told) = mpsc::unbounded_channel();
    let stream = engine.subscribe_completion(encode_event_cursor(0), &ScannerFilter::NOOP).await?;
    tokio::spawn(stream.for_each(move |event| {
        if let Ok(event) = event {
            let id = decode_event_cursor(&event.cursor).ok().flatten().unwrap_or(-1);
            let _ = tell.send((id, event.execution_id, event.at));
        }
        std::future::ready(())
    }));
    Ok(told)
}

/// I27: a subscriber that followed the race was told every event, once and in order.
async fn followed(
    outbox: &str,
    mut told: mpsc::UnboundedReceiver<Delivered>,
    table: Vec<Delivered>,
) -> Option<Finding> {
    for stored in table {
        let next = tokio::time::timeout(FOLLOWED_MAX, told.recv()).await.ok().flatten();
        if next.as_ref() != Some(&stored) {
            return Some(Finding {
                invariant: "I27",
                execution: Some(stored.1.clone()),
                detail: format!("{outbox}: a live subscriber was told {next:?}, not {stored:?}"),
            });
        }
    }
    None
}
