//! The engine in its virtual time: performs calls, keeps what they answered, checks each step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{
    CapabilitySet, ClaimPolicy, FailOutcome, FailureClass, FailureReason, Frame, FrameKind, Handle,
    HandleKind, StreamMode,
};
use ff_core::clock::Clock;
use ff_core::contracts::*;
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::state::LaneState;
use ff_core::types::{
    AttemptId, AttemptIndex, CancelSource, ExecutionId, LaneId, LeaseId, Namespace, TimestampMs,
    WorkerId, WorkerInstanceId,
};
use futures_util::FutureExt;
use uuid::Uuid;

use super::budget::Budget;
use super::call::{
    Answer, Birth, CAPABILITIES, Call, Deed, Grip, Held, LANES, Number, Operation, Plan, plan,
    strings,
};
use super::flow::Flows;
use super::follower::{Announced, Followers};
use super::ledger::Ledger;
use super::operators::Operators;
use super::quota::Quotas;
use super::registry::Registry;
use super::waiting::Waiting;
use crate::invariants::{Finding, History, Op, Outcome, Record};
use crate::model::Setup;
use crate::probe::{Cursors, Engine};
use crate::race::refused;

/// Rows are compared with what the events say once in so many virtual milliseconds.
const ROWS_EVERY_MS: u64 = 60_000;

/// The answer of an engine that never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the engine of a simulation answers without waiting")
}

/// The engine, and everything known about it.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    pub(crate) history: History,
    /// How often each call was answered how.
    pub(crate) answers: BTreeMap<(&'static str, String), u64>,
    pub(crate) operations: u64,
    pub(crate) at_ms: u64,
    compared_ms: u64,
    /// The log as text, where somebody reads it.
    pub(crate) lines: Option<Vec<String>>,
    /// Every call so far, where somebody repeats it.
    pub(crate) script: Option<Vec<Operation>>,
    setup: Setup,
    pub(super) flows: Flows,
    pub(super) waiting: Waiting,
    pub(super) budget: Budget,
    pub(super) quotas: Quotas,
    pub(super) registry: Registry,
    pub(super) operators: Operators,
    /// What has come about, by the name it is counted under.
    pub(super) happened: BTreeMap<&'static str, u64>,
    plans: BTreeMap<Number, Plan>,
    numbers: BTreeMap<Uuid, Number>,
    grips: BTreeMap<Grip, (HandleKind, HandlePayload)>,
    followers: Followers,
    digest: DefaultHasher,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("at_ms", &self.at_ms).finish_non_exhaustive()
    }
}

impl Stage {
    pub(crate) fn new(engine: Engine, setup: Setup) -> Self {
        Self {
            engine,
            ledger: Ledger::new(setup.seed),
            history: History::default(),
            answers: BTreeMap::new(),
            operations: 0,
            at_ms: 0,
            compared_ms: 0,
            lines: None,
            script: None,
            setup,
            flows: Flows::default(),
            waiting: Waiting::default(),
            budget: Budget::default(),
            quotas: Quotas::default(),
            registry: Registry::default(),
            operators: Operators::default(),
            happened: BTreeMap::new(),
            plans: BTreeMap::new(),
            numbers: BTreeMap::new(),
            grips: BTreeMap::new(),
            followers: Followers::default(),
            digest: DefaultHasher::new(),
        }
    }

    pub(crate) fn backend(&self) -> &dyn EngineBackend {
        self.engine.backend().as_ref()
    }

    pub(crate) fn now(&self) -> TimestampMs {
        let ms = at_once(self.backend().server_time_ms()).unwrap_or(0);
        TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    pub(super) fn wall(&self) -> TimestampMs {
        self.setup.clock.wall()
    }

    /// What stands for this run in a comparison: every call, answer and event, in order.
    pub(crate) fn hash(&self) -> u64 {
        self.digest.finish()
    }

    pub(crate) fn plan(&mut self, number: Number) -> &Plan {
        let (seed, numbers) = (self.setup.seed, &mut self.numbers);
        self.plans.entry(number).or_insert_with(|| {
            let planned = plan(seed, number);
            numbers.insert(planned.id.uuid(), number);
            planned
        })
    }

    pub(crate) fn seed(&self) -> u64 {
        self.setup.seed
    }

    pub(crate) fn number_of_id(&self, id: &ExecutionId) -> Option<Number> {
        self.numbers.get(&id.uuid()).copied()
    }

    pub(crate) fn id_of(&self, number: Number) -> Option<ExecutionId> {
        self.plans.get(&number).map(|plan| plan.id.clone())
    }

    /// Lets time pass up to the operation's instant, performs it and checks what it did.
    pub(crate) fn perform(&mut self, operation: &Operation) -> Result<Answer, Finding> {
        if let Some(ahead) = operation.at_ms.checked_sub(self.at_ms) {
            self.setup.clock.advance(Duration::from_millis(ahead));
            self.at_ms = operation.at_ms;
        }
        if let Some(script) = &mut self.script {
            script.push(operation.clone());
        }
        self.operations += 1;
        let now = self.now();
        let answer = self.ask(operation, now);
        let checked = match &answer {
            Ok(answer) => self.check(operation, answer),
            Err(finding) => Err(finding.clone()),
        };
        self.log(operation, answer.as_ref(), checked.as_ref().err());
        checked?;
        answer
    }

    fn check(&mut self, operation: &Operation, answer: &Answer) -> Result<(), Finding> {
        let cursors = self.ledger.cursors;
        let news = at_once(self.engine.events_after(cursors)).map_err(|error| broken(&error))?;
        for event in &news.lease_events {
            (event.0, event.1.epoch.0, event.1.at, event.1.kind.as_str()).hash(&mut self.digest);
            event.1.execution_id.hash(&mut self.digest);
        }
        for (id, event) in &news.completions {
            (*id, event.run, event.at, &event.execution_id).hash(&mut self.digest);
        }
        self.flows.announced(&news)?;
        self.waiting.announced(&news)?;
        self.check_spent(operation, answer, &news)?;
        self.check_rationed(&news)?;
        self.note_holders(answer, &news);
        let ended: Vec<ExecutionId> =
            news.completions.iter().map(|(_, event)| event.execution_id.clone()).collect();
        let number = operation.call.number().or_else(|| match &operation.call {
            Call::Hold { grip, .. } => self.number_of(*grip),
            _ => None,
        });
        let (shown, attempt, deadline) = self.shown(&operation.call);
        let id = number.map(|number| self.plan(number).id.clone());
        let is_timed = number.is_some_and(|number| self.plan(number).is_timed);
        let now = self.now();
        let step = super::ledger::Step {
            operation,
            answer,
            execution: id,
            shown_epoch: shown,
            attempt,
            may_end_by_itself: is_timed || deadline,
            is_of_cancelled_flow: number.is_some_and(|number| self.flows.is_cancelled(number)),
            now,
        };
        let plans = &self.plans;
        self.ledger
            .note(&step, news, |number: Number| plans.get(&number).map(|plan| plan.id.clone()))?;
        self.check_waiting(operation, answer, &ended)?;
        self.check_usage(operation, answer)?;
        if let Call::Money(ask) = &operation.call {
            self.check_quotas(ask, answer)?;
        }
        self.check_gates(operation, answer)?;
        self.check_registry(operation, answer)?;
        self.check_operators(operation, answer)?;
        self.check_flows(operation, answer, &ended)?;
        if self.at_ms >= self.compared_ms + ROWS_EVERY_MS {
            self.compared_ms = self.at_ms;
            let pulse = at_once(self.engine.pulse(Cursors {
                lease: i64::MAX,
                completion: i64::MAX,
                signal: i64::MAX,
            }))
            .map_err(|error| broken(&error))?;
            self.ledger.compare(&pulse.executions)?;
        }
        Ok(())
    }

    fn number_of(&self, grip: Grip) -> Option<Number> {
        self.number_of_id(&self.execution_of(grip)?)
    }

    pub(super) fn execution_of(&self, grip: Grip) -> Option<ExecutionId> {
        self.grips.get(&grip).map(|(_, payload)| payload.execution_id.clone())
    }

    /// Whose lease it is, and of which attempt.
    pub(super) fn attempt_of(&self, grip: Grip) -> Option<(ExecutionId, AttemptIndex)> {
        let (_, payload) = self.grips.get(&grip)?;
        Some((payload.execution_id.clone(), payload.attempt_index))
    }

    /// Counts what has come about.
    pub(super) fn happened(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    pub(super) fn handle_of(&self, grip: Grip) -> Option<Handle> {
        self.grips.get(&grip).map(|(kind, payload)| self.engine.handle(*kind, payload))
    }

    /// The epoch and the attempt that a call shows, and whether its execution has a deadline.
    fn shown(&self, call: &Call) -> (Option<u64>, u32, bool) {
        let Call::Hold { grip, is_forged, .. } = call else { return (None, 0, false) };
        let Some((_, payload)) = self.grips.get(grip) else { return (None, 0, false) };
        let epoch = payload.lease_epoch.0 + u64::from(*is_forged);
        let has_deadline = self.ledger.has_deadline(&payload.execution_id);
        (Some(epoch), payload.attempt_index.0, has_deadline)
    }

    fn log(
        &mut self,
        operation: &Operation,
        answer: Result<&Answer, &Finding>,
        found: Option<&Finding>,
    ) {
        (operation.at_ms, &operation.by, &operation.call).hash(&mut self.digest);
        if let Ok(answer) = answer {
            answer.hash(&mut self.digest);
            let key = (operation.call.name(), answer.code());
            *self.answers.entry(key).or_default() += 1;
        }
        if let Some(lines) = &mut self.lines {
            let mut line = operation.to_string();
            let told = match answer {
                Ok(answer) => write!(line, " -> {answer}"),
                Err(finding) => write!(line, " -> {finding}"),
            };
            told.expect("a string takes what is written");
            if let Some(found) = found {
                write!(line, "\n  VIOLATED {found}").expect("a string takes what is written");
            }
            lines.push(line);
        }
    }

    // ---- One call on the engine ----

    /// Asks the engine. An error is a refusal like any other answer, unless it says that the
    /// engine is broken.
    fn ask(&mut self, operation: &Operation, now: TimestampMs) -> Result<Answer, Finding> {
        match &operation.call {
            Call::Create(births) => self.create(operation, births, now),
            Call::Claim { lanes, offer, ttl_ms, max } => {
                self.claim(operation, now, (lanes, *offer, *ttl_ms, *max))
            }
            Call::Hold { grip, deed, is_forged } => {
                self.hold(operation, now, *grip, *deed, *is_forged)
            }
            Call::IssueClaimGrant { number, .. }
            | Call::ClaimExecution { number, .. }
            | Call::IssueReclaimGrant { number }
            | Call::ReclaimExecution { number, .. }
            | Call::IssueGrantAndClaim { number, .. } => self.by_grant(operation, now, *number),
            Call::CancelExecution(number)
            | Call::Revoke(number)
            | Call::Replay(number)
            | Call::ChangePriority(number, _)
            | Call::ReadResult(number) => self.operate(operation, now, *number),
            Call::Wait(ask) => self.ask_wait(now, ask),
            Call::Money(ask) => self.ask_money(now, ask),
            Call::Registry(ask) => self.ask_registry(now, ask),
            Call::Flow(flow, ask) => self.ask_flow(operation, now, *flow, ask),
            Call::SetLane { lane, is_open } => {
                let state = if *is_open { LaneState::Active } else { LaneState::Paused };
                let lane = LaneId::new(LANES[usize::from(*lane) % LANES.len()]);
                let said = at_once(self.backend().set_lane_state(&lane, state));
                let answer = answered(&said, "ok")?;
                let op = if *is_open { Op::ResumeLane } else { Op::PauseLane };
                let mut record = self.record(operation, op, &answer, now);
                record.lane = Some(lane.0);
                self.history.records.push(record);
                Ok(answer)
            }
            Call::Sweep => {
                let swept = at_once(self.engine.sweep()).map_err(|error| broken(&error))?;
                let word = if swept.is_full() { "full" } else { "done" };
                Ok(Answer { is_ok: true, word: word.to_owned(), ..Answer::default() })
            }
            Call::Follow { outbox, anew } => {
                let announced = Announced {
                    leases: self.ledger.leases_told(),
                    completions: self.ledger.completions_told(),
                    operators: self.operators.told(),
                };
                self.followers.read_on(&self.engine, &announced, *outbox, *anew)
            }
            Call::StepWall { by_ms } => {
                let wall = self.setup.clock.wall().0.saturating_add(*by_ms);
                self.setup.clock.step_wall_to(wall);
                Ok(Answer { is_ok: true, word: "stepped".to_owned(), ..Answer::default() })
            }
        }
    }

    pub(super) fn record(
        &self,
        operation: &Operation,
        op: Op,
        answer: &Answer,
        now: TimestampMs,
    ) -> Record {
        let outcome = if answer.is_ok {
            Outcome::Ok(answer.word.clone())
        } else {
            Outcome::Refused(answer.word.clone())
        };
        Record::new(&operation.by, op, outcome, (now, self.now()))
    }

    fn create(
        &mut self,
        operation: &Operation,
        births: &[Birth],
        now: TimestampMs,
    ) -> Result<Answer, Finding> {
        let mut batch = Vec::new();
        for birth in births {
            batch.push(self.birth_args(birth, now));
        }
        let said = if batch.len() == 1 {
            at_once(self.backend().create_execution(batch.swap_remove(0))).map(|row| vec![row])
        } else {
            at_once(self.backend().create_executions(batch))
        };
        let answer = answered(&said, "ok")?;
        for (place, birth) in births.iter().enumerate() {
            let row = said.as_ref().ok().and_then(|rows| rows.get(place));
            let word = match row {
                Some(CreateExecutionResult::Created { .. }) => "Created",
                Some(CreateExecutionResult::Duplicate { .. }) => "Duplicate",
                None => answer.word.as_str(),
            };
            let row = Answer { word: word.to_owned(), ..answer.clone() };
            let mut record = self.record(operation, Op::Create, &row, now);
            let plan = self.plan(birth.number);
            record.execution = Some(plan.id.clone());
            record.lane = Some(plan.lane.0.clone());
            record.capabilities.clone_from(&plan.needs);
            record.caps = Some(plan.caps);
            record.not_before = birth.delay_until.filter(|_| word == "Created");
            self.history.records.push(record);
        }
        Ok(answer)
    }

    pub(super) fn birth_args(&mut self, birth: &Birth, now: TimestampMs) -> CreateExecutionArgs {
        let plan = self.plan(birth.number).clone();
        CreateExecutionArgs {
            partition_id: plan.id.partition(),
            execution_id: plan.id,
            namespace: Namespace::new("sim"),
            lane_id: plan.lane,
            execution_kind: "sim".to_owned(),
            input_payload: birth.number.to_le_bytes().to_vec(),
            payload_encoding: None,
            priority: plan.priority,
            creator_identity: "sim".to_owned(),
            idempotency_key: plan.key,
            tags: std::collections::HashMap::new(),
            policy: Some(plan.policy),
            delay_until: birth.delay_until,
            execution_deadline_at: birth.deadline_at,
            now,
        }
    }

    fn claim(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        (lanes, offer, ttl_ms, max): (&[u8], u8, u32, u32),
    ) -> Result<Answer, Finding> {
        let lanes: Vec<LaneId> =
            lanes.iter().map(|lane| LaneId::new(LANES[usize::from(*lane) % 2])).collect();
        let tokens = strings(CAPABILITIES[usize::from(offer)]);
        let (worker, instance) =
            (WorkerId::new(&operation.by), WorkerInstanceId::new(&operation.by));
        let policy = ClaimPolicy::new(worker, instance, ttl_ms, None);
        let offer = CapabilitySet::new(tokens.clone());
        let said: Result<Vec<(Handle, Option<TimestampMs>)>, EngineError> =
            if let ([lane], 1) = (lanes.as_slice(), max) {
                at_once(self.backend().claim(lane, &offer, policy))
                    .map(|claimed| claimed.into_iter().map(|handle| (handle, None)).collect())
            } else {
                at_once(self.backend().claim_batch(&lanes, &offer, policy, max)).map(|works| {
                    let held = works.into_iter().map(|work| {
                        let expires_at = Some(work.lease_expires_at);
                        (work.handle, expires_at)
                    });
                    held.collect()
                })
            };
        let word = if said.as_ref().is_ok_and(Vec::is_empty) { "None" } else { "Claimed" };
        let mut answer = answered(&said, word)?;
        for (handle, expires_at) in said.unwrap_or_default() {
            let payload = decoded(&handle)?;
            self.take(operation, &mut answer, handle.kind, payload, expires_at);
        }
        if answer.held.is_empty() {
            for lane in lanes {
                let mut record = self.record(operation, Op::Claim, &answer, now);
                record.lane = Some(lane.0);
                record.capabilities.clone_from(&tokens);
                self.history.records.push(record);
            }
        } else {
            self.record_claims(operation, &answer, now);
        }
        Ok(answer)
    }

    /// Keeps a lease that was handed out under the name by which later calls speak of it.
    fn take(
        &mut self,
        operation: &Operation,
        answer: &mut Answer,
        kind: HandleKind,
        payload: HandlePayload,
        expires_at: Option<TimestampMs>,
    ) {
        let nth = u8::try_from(answer.held.len()).unwrap_or(u8::MAX);
        let grip = Grip { operation: operation.number, nth };
        let number = self.numbers.get(&payload.execution_id.uuid()).copied();
        let ttl_ms = i64::try_from(payload.lease_ttl_ms).unwrap_or(i64::MAX);
        let from_now = TimestampMs(self.now().0.saturating_add(ttl_ms));
        answer.held.push(Held {
            grip,
            number: number.unwrap_or(Number::MAX),
            epoch: payload.lease_epoch.0,
            expires_at: expires_at.unwrap_or(from_now),
        });
        self.grips.insert(grip, (kind, payload));
    }

    fn record_claims(&mut self, operation: &Operation, answer: &Answer, now: TimestampMs) {
        for held in &answer.held {
            let mut record = self.record(operation, Op::Claim, answer, now);
            record.execution = self.grips.get(&held.grip).map(|(_, own)| own.execution_id.clone());
            record.epoch = Some(held.epoch);
            record.expires_at = Some(held.expires_at);
            self.history.records.push(record);
        }
    }

    fn hold(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        grip: Grip,
        deed: Deed,
        is_forged: bool,
    ) -> Result<Answer, Finding> {
        let Some((kind, payload)) = self.grips.get(&grip) else {
            // The call that took this lease is not in the list any more.
            return Ok(Answer { word: "(no such lease)".to_owned(), ..Answer::default() });
        };
        let mut payload = payload.clone();
        payload.lease_epoch.0 += u64::from(is_forged);
        let handle = self.engine.handle(*kind, &payload);
        let backend = self.engine.backend().clone();
        let result = match deed {
            Deed::Complete { result } => Some(format!("{} {result}", operation.by).into_bytes()),
            _ => None,
        };
        let (op, answer) = match deed {
            Deed::Renew => {
                let said = at_once(backend.renew(&handle));
                let until = said.as_ref().ok().map(|renewal| renewal.expires_at_ms);
                let until = until.map(|ms| TimestampMs(i64::try_from(ms).unwrap_or(i64::MAX)));
                (Op::Renew, Answer { until, ..answered(&said, "ok")? })
            }
            Deed::Progress(percent) => {
                let said = at_once(backend.progress(&handle, Some(percent), None));
                (Op::Progress, answered(&said, "ok")?)
            }
            Deed::Append { line, live_ttl_ms } => {
                let frame = Frame::new(format!("line {line}").into_bytes(), FrameKind::Stdout);
                let frame = match live_ttl_ms {
                    Some(ttl_ms) => frame.with_mode(StreamMode::best_effort_live(ttl_ms)),
                    None => frame,
                };
                let said = at_once(backend.append_frame(&handle, frame));
                let frames = said.as_ref().ok().map(|appended| appended.frame_count);
                (Op::AppendFrame, Answer { frames, ..answered(&said, "ok")? })
            }
            Deed::Complete { .. } => {
                (Op::Complete, answered(&at_once(backend.complete(&handle, result.clone())), "ok")?)
            }
            Deed::Fail { is_permanent } => {
                let class =
                    if is_permanent { FailureClass::Permanent } else { FailureClass::Transient };
                let said = at_once(backend.fail(&handle, FailureReason::new("it broke"), class));
                let (word, until) = match &said {
                    Ok(FailOutcome::RetryScheduled { delay_until }) => {
                        ("RetryScheduled", Some(*delay_until))
                    }
                    Ok(FailOutcome::TerminalFailed) | Err(_) => ("TerminalFailed", None),
                };
                (Op::Fail, Answer { until, ..answered(&said, word)? })
            }
            Deed::Cancel => (Op::Cancel, answered(&at_once(backend.cancel(&handle, "sim")), "ok")?),
            Deed::Delay { until } => {
                let said = at_once(backend.delay(&handle, until));
                (Op::Delay, Answer { until: Some(until), ..answered(&said, "ok")? })
            }
            Deed::OpenWaitpoint { draw } => {
                (Op::Progress, self.open_waitpoint(&handle, &payload, (grip, draw))?)
            }
            Deed::Suspend { .. } => {
                let answer = self.suspend(&handle, &payload, (grip, deed, now))?;
                let is_over = answer.word != "AlreadySatisfied";
                (if is_over { Op::Release } else { Op::Progress }, answer)
            }
            Deed::Report { amount, key } => (Op::Progress, self.report(&handle, (amount, key))?),
            Deed::WaitChildren => {
                (Op::Release, answered(&at_once(backend.wait_children(&handle)), "ok")?)
            }
            Deed::Release => {
                (Op::Release, answered(&at_once(backend.release_lease(&handle)), "ok")?)
            }
        };
        let mut record = self.record(operation, op, &answer, now);
        record.execution = Some(payload.execution_id);
        record.epoch = Some(payload.lease_epoch.0);
        record.not_before = answer.until.filter(|_| op == Op::Delay);
        record.expires_at = answer.until.filter(|_| op == Op::Renew);
        record.result = result;
        self.history.records.push(record);
        Ok(answer)
    }

    fn by_grant(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        number: Number,
    ) -> Result<Answer, Finding> {
        let plan = self.plan(number).clone();
        let (worker, instance) =
            (WorkerId::new(&operation.by), WorkerInstanceId::new(&operation.by));
        let offer = || strings(CAPABILITIES[2]).into_iter().collect();
        let partition = Partition { family: PartitionFamily::Flow, index: plan.id.partition() };
        let drawn = (u128::from(self.setup.seed) << 64) | (u128::from(operation.number) << 8);
        let lease_id = LeaseId::from_uuid(Uuid::from_u128(drawn | 0xA));
        let attempt_id = AttemptId::from_uuid(Uuid::from_u128(drawn | 0xB));
        let backend = self.engine.backend();
        let mut taken = None;
        let mut answer = match &operation.call {
            Call::IssueClaimGrant { ttl_ms, .. } => {
                let args = IssueClaimGrantArgs::new(
                    plan.id,
                    plan.lane,
                    worker,
                    instance,
                    partition,
                    offer(),
                    u64::from(*ttl_ms),
                    now,
                );
                answered(&at_once(backend.issue_claim_grant(args)), "Granted")?
            }
            Call::ClaimExecution { ttl_ms, .. } => {
                let args = ClaimExecutionArgs::new(
                    plan.id,
                    worker,
                    instance,
                    plan.lane,
                    lease_id,
                    u64::from(*ttl_ms),
                    attempt_id,
                    AttemptIndex(0),
                    String::new(),
                    None,
                    None,
                    now,
                );
                let said = at_once(backend.claim_execution(args));
                if let Ok(ClaimExecutionResult::Claimed(claimed)) = &said {
                    taken = Some((claimed.handle.kind, decoded(&claimed.handle)?));
                }
                answered(&said, "Claimed")?
            }
            Call::IssueReclaimGrant { .. } => {
                let args = IssueReclaimGrantArgs::new(
                    plan.id,
                    worker,
                    instance,
                    plan.lane,
                    None,
                    60_000,
                    None,
                    None,
                    offer(),
                    now,
                );
                let said = at_once(backend.issue_reclaim_grant(args));
                let word = match &said {
                    Ok(IssueReclaimGrantOutcome::Granted(_)) => "Granted",
                    Ok(_) | Err(_) => "NotGranted",
                };
                answered(&said, word)?
            }
            Call::ReclaimExecution { ttl_ms, .. } => {
                let args = ReclaimExecutionArgs::new(
                    plan.id,
                    worker,
                    instance,
                    plan.lane,
                    None,
                    lease_id,
                    u64::from(*ttl_ms),
                    attempt_id,
                    String::new(),
                    None,
                    "".into(),
                    AttemptIndex(0),
                );
                let said = at_once(backend.reclaim_execution(args));
                if let Ok(ReclaimExecutionOutcome::Claimed(handle)) = &said {
                    taken = Some((handle.kind, decoded(handle)?));
                }
                answered(&said, if taken.is_some() { "Claimed" } else { "NotClaimed" })?
            }
            call => {
                let Call::IssueGrantAndClaim { ttl_ms, .. } = call else {
                    unreachable!("the caller sends grants here")
                };
                let ttl_ms = u64::from(*ttl_ms);
                let args = IssueGrantAndClaimArgs::new(plan.id.clone(), plan.lane, ttl_ms);
                let said = at_once(backend.issue_grant_and_claim(args));
                if let Ok(bare) = &said {
                    taken = self.handle_of_bare(&plan.id, bare, ttl_ms)?;
                }
                answered(&said, "Claimed")?
            }
        };
        if let Some((kind, payload)) = taken {
            self.take(operation, &mut answer, kind, payload, None);
            self.record_claims(operation, &answer, now);
        }
        Ok(answer)
    }

    /// Makes the handle that a claim by an operator does not hand out.
    fn handle_of_bare(
        &self,
        id: &ExecutionId,
        bare: &ClaimGrantOutcome,
        ttl_ms: u64,
    ) -> Result<Option<(HandleKind, HandlePayload)>, Finding> {
        let described = at_once(self.backend().describe_execution(id));
        let snapshot = described.map_err(|error| broken(&error))?;
        let attempt = snapshot.and_then(|snapshot| {
            snapshot.current_attempt.map(|attempt| (attempt.attempt_id, snapshot.lane_id))
        });
        Ok(attempt.map(|(attempt_id, lane)| {
            let payload = HandlePayload::new(
                id.clone(),
                bare.attempt_index,
                attempt_id,
                bare.lease_id.clone(),
                bare.lease_epoch,
                ttl_ms,
                lane,
                WorkerInstanceId::new("operator"),
            );
            (HandleKind::Fresh, payload)
        }))
    }

    fn operate(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        number: Number,
    ) -> Result<Answer, Finding> {
        let plan = self.plan(number).clone();
        let backend = self.engine.backend();
        let id = plan.id.clone();
        let mut result = None;
        let (op, answer) = match &operation.call {
            Call::CancelExecution(_) => {
                let args = CancelExecutionArgs {
                    execution_id: id,
                    reason: "sim".to_owned(),
                    source: CancelSource::OperatorOverride,
                    lease_id: None,
                    lease_epoch: None,
                    attempt_id: None,
                    now,
                };
                let said = at_once(backend.cancel_execution(args));
                (Op::CancelExecution, answered(&said, "Cancelled")?)
            }
            Call::Revoke(_) => {
                let args = RevokeLeaseArgs {
                    execution_id: id,
                    expected_lease_id: None,
                    worker_instance_id: WorkerInstanceId::new(""),
                    reason: "sim".to_owned(),
                };
                let said = at_once(backend.revoke_lease(args));
                let word = match &said {
                    Ok(RevokeLeaseResult::AlreadySatisfied { .. }) => "AlreadySatisfied",
                    Ok(RevokeLeaseResult::Revoked { .. }) | Err(_) => "Revoked",
                };
                (Op::Revoke, answered(&said, word)?)
            }
            Call::Replay(_) => {
                let args = ReplayExecutionArgs { execution_id: id, now };
                let said = at_once(backend.replay_execution(args));
                (Op::Replay, answered(&said, "Replayed")?)
            }
            Call::ChangePriority(_, priority) => {
                let args = ChangePriorityArgs {
                    execution_id: id,
                    new_priority: *priority,
                    lane_id: plan.lane,
                    now,
                };
                let said = at_once(backend.change_priority(args));
                (Op::ChangePriority, answered(&said, "Changed")?)
            }
            _ => {
                let said = at_once(backend.get_execution_result(&id));
                let is_some = said.as_ref().is_ok_and(Option::is_some);
                let answer = answered(&said, if is_some { "Some" } else { "None" })?;
                result = said.unwrap_or_default();
                (Op::ReadResult, answer)
            }
        };
        let mut record = self.record(operation, op, &answer, now);
        record.execution = Some(plan.id);
        record.result = result;
        self.history.records.push(record);
        Ok(answer)
    }
}

fn decoded(handle: &Handle) -> Result<HandlePayload, Finding> {
    match handle_codec::decode(&handle.opaque) {
        Ok(decoded) => Ok(decoded.payload),
        Err(error) => Err(broken(&error.into())),
    }
}

/// The engine answered with what no client can act on.
pub(crate) fn broken(error: &EngineError) -> Finding {
    Finding { invariant: "I1", execution: None, detail: format!("the engine is broken: {error:?}") }
}

pub(super) fn answered<T>(said: &Result<T, EngineError>, word: &str) -> Result<Answer, Finding> {
    match said {
        Ok(_) => Ok(Answer { is_ok: true, word: word.to_owned(), ..Answer::default() }),
        Err(error) => match refused(error) {
            Outcome::Refused(word) => Ok(Answer { word, ..Answer::default() }),
            Outcome::Ok(_) | Outcome::Unknown(_) => Err(broken(error)),
        },
    }
}
