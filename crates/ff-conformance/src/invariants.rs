//! The invariants that no run may break, checked from what clients saw and what is stored.
//!
//! Nothing here asks the machine to decide again: a check reads histories, rows and events and
//! looks for a contradiction. [`observe`] reads an idle engine, [`judge`] is pure, [`check`] is
//! both. The numbers are those of `reliability.md`.
//!
//! Times are engine times. An operation happened at some instant between `invoked_at` and
//! `returned_at`, both included; one of unknown outcome may have happened or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::ScannerFilter;
use ff_core::contracts::{
    AttemptInfo, BudgetOverview, ExecutionSummary, FindExecutionsArgs, TransitionInfo,
};
use ff_core::machine::state::legal_transitions;
use ff_core::machine::suspension::SignalEvent;
use ff_core::machine::transition::{CompletionEvent, Event, LeaseEvent, LeaseEventKind};
use ff_core::state::{AttemptType, LaneState, PublicState};
use ff_core::store::Topic;
use ff_core::stream_subscribe::{decode_event_cursor, encode_event_cursor};
use ff_core::types::{ExecutionId, TimestampMs};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::frames;
use crate::probe::Engine;

/// A subscription that shows nothing new for this long has skipped the rest.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

// ---- What a client saw ----

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is named after the operations it stands for")]
pub enum Op {
    Create,
    Claim,
    Renew,
    Progress,
    AppendFrame,
    Complete,
    Fail,
    /// By the holder.
    Cancel,
    Delay,
    Release,
    /// By an operator.
    CancelExecution,
    Revoke,
    Replay,
    ChangePriority,
    PauseLane,
    ResumeLane,
    ReadResult,
    /// One unit; its arguments are the budget and the key.
    Spend,
    Suspend,
    /// Its arguments are the waitpoint and, once accepted, the signal.
    Signal,
    SubmitFlow,
    /// One record for each member.
    CancelFlow,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It happened; the word is the answer's variant.
    Ok(String),
    /// It did not happen; the word is the refusal's kind.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

/// The bounds that an execution was created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "fields carry the policy's own names")]
pub struct Caps {
    pub max_retries: u32,
    pub max_reclaim_count: u32,
    pub max_replay_count: u32,
}

/// One call of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who asked.
    pub client: String,
    /// What for.
    pub op: Op,
    /// The arguments, for people.
    pub args: String,
    /// What came back.
    pub outcome: Outcome,
    /// Engine time before the call.
    pub invoked_at: TimestampMs,
    /// Engine time after the answer.
    pub returned_at: TimestampMs,
    /// The execution it is about; a claim that found nothing has none.
    pub execution: Option<ExecutionId>,
    /// The epoch that was shown, or that a claim was given.
    pub epoch: Option<u64>,
    /// No claim may happen before this instant: of a create with a delay, and of a delay.
    pub not_before: Option<TimestampMs>,
    /// Until when the lease was promised: of a claim and of a renewal.
    pub expires_at: Option<TimestampMs>,
    /// The result that was written or read.
    pub result: Option<Vec<u8>>,
    /// The lane of a create, a claim, a pause or a resumption.
    pub lane: Option<String>,
    /// The capabilities that a create needs or a claim offers.
    pub capabilities: Vec<String>,
    /// The bounds of a create.
    pub caps: Option<Caps>,
    /// Of a create: a quota may keep it in line although a worker asks.
    pub is_rationed: bool,
}

impl Record {
    /// A record without the parts that not every operation has.
    pub fn new(client: &str, op: Op, outcome: Outcome, at: (TimestampMs, TimestampMs)) -> Self {
        Self {
            client: client.to_owned(),
            op,
            args: String::new(),
            outcome,
            invoked_at: at.0,
            returned_at: at.1,
            execution: None,
            epoch: None,
            not_before: None,
            expires_at: None,
            result: None,
            lane: None,
            capabilities: Vec::new(),
            caps: None,
            is_rationed: false,
        }
    }

    fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }

    fn may_have_happened(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused(_))
    }
}

/// What one client saw, in its own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "a list of records")]
pub struct History {
    pub records: Vec<Record>,
}

impl History {
    /// One record a line.
    pub fn to_jsonl(&self) -> Result<String, serde_json::Error> {
        let mut text = String::new();
        for record in &self.records {
            text.push_str(&serde_json::to_string(record)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads what [`to_jsonl`](Self::to_jsonl) wrote. A last line without its end is left out:
    /// its writer was killed.
    pub fn from_jsonl(text: &str) -> Result<Self, serde_json::Error> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = whole.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { records })
    }
}

// ---- What is stored ----

/// All that an idle engine shows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Observed {
    pub now: TimestampMs,
    pub lease_events: Vec<(i64, LeaseEvent)>,
    pub completions: Vec<(i64, CompletionEvent)>,
    pub delivered_lease_events: Vec<Delivered>,
    pub delivered_completions: Vec<Delivered>,
    pub executions: BTreeMap<ExecutionId, Seen>,
    pub lanes: BTreeMap<String, LaneState>,
    pub signals: Vec<(i64, SignalEvent)>,
    pub budgets: Vec<BudgetOverview>,
}

/// One execution as its reads show it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the read of the same name")]
pub struct Seen {
    pub summary: ExecutionSummary,
    pub public_state: Option<PublicState>,
    pub holds_lease: bool,
    pub attempts: Vec<AttemptInfo>,
    pub transitions: Vec<TransitionInfo>,
    pub result: Option<Vec<u8>>,
}

/// What a subscriber was told, as far as the table must agree.
pub type Delivered = (i64, ExecutionId, TimestampMs);

/// Reads an engine on which nobody works.
pub async fn observe(engine: &Engine) -> Result<Observed, EngineError> {
    let backend = engine.backend();
    let mut executions = BTreeMap::new();
    let mut search = FindExecutionsArgs::new().with_limit(1_000);
    loop {
        let page = backend.find_executions(search.clone()).await?;
        for summary in page.executions {
            let id = summary.execution_id.clone();
            let described = backend.describe_execution(&id).await?;
            let seen = Seen {
                public_state: backend.read_execution_state(&id).await?,
                holds_lease: described.is_some_and(|snapshot| snapshot.current_lease.is_some()),
                attempts: backend.list_attempts(&id).await?,
                transitions: backend.list_transitions(&id, None, 10_000).await?,
                result: backend.get_execution_result(&id).await?,
                summary,
            };
            executions.insert(id, seen);
        }
        match page.next_cursor {
            Some(cursor) => search.cursor = Some(cursor),
            None => break,
        }
    }
    let lease_events: Vec<(i64, LeaseEvent)> = engine
        .events(Topic::Lease)
        .await?
        .into_iter()
        .filter_map(|(id, event)| match event {
            Event::Lease(event) => Some((id, event)),
            Event::Completion(_)
            | Event::Operator(_)
            | Event::Signal(_)
            | Event::Transition(_)
            | Event::FlowCancelRequested(_) => None,
        })
        .collect();
    let completions: Vec<(i64, CompletionEvent)> = engine
        .events(Topic::Completion)
        .await?
        .into_iter()
        .filter_map(|(id, event)| match event {
            Event::Completion(event) => Some((id, event)),
            Event::Lease(_)
            | Event::Operator(_)
            | Event::Signal(_)
            | Event::Transition(_)
            | Event::FlowCancelRequested(_) => None,
        })
        .collect();
    let signals: Vec<(i64, SignalEvent)> = engine
        .events(Topic::Signal)
        .await?
        .into_iter()
        .filter_map(|(id, event)| match event {
            Event::Signal(event) => Some((id, event)),
            Event::Lease(_)
            | Event::Completion(_)
            | Event::Operator(_)
            | Event::Transition(_)
            | Event::FlowCancelRequested(_) => None,
        })
        .collect();
    let lanes = backend.list_lane_status().await?;
    Ok(Observed {
        now: TimestampMs(i64::try_from(backend.server_time_ms().await?).unwrap_or(i64::MAX)),
        delivered_lease_events: delivered_lease_events(engine, &lease_events).await?,
        delivered_completions: delivered_completions(engine, &completions).await?,
        lease_events,
        completions,
        executions,
        lanes: lanes.into_iter().map(|lane| (lane.lane_id.0, lane.state)).collect(),
        signals,
        budgets: backend.list_budgets(None, 1_000).await?.budgets,
    })
}

/// The cursor in front of the oldest event kept.
fn before<T>(events: &[(i64, T)]) -> i64 {
    events.first().map_or(0, |(id, _)| id - 1)
}

async fn delivered_lease_events(
    engine: &Engine,
    table: &[(i64, LeaseEvent)],
) -> Result<Vec<Delivered>, EngineError> {
    if table.is_empty() {
        return Ok(Vec::new());
    }
    let cursor = encode_event_cursor(before(table));
    let mut stream = engine.backend().subscribe_lease_history(cursor, &ScannerFilter::NOOP).await?;
    let mut told = Vec::new();
    while told.len() < table.len() {
        match tokio::time::timeout(DELIVERY_MAX, stream.next()).await {
            Ok(Some(event)) => {
                let event = event?;
                let id = decode_event_cursor(event.cursor()).ok().flatten().unwrap_or(-1);
                told.push((id, event.execution_id().clone(), event.at()));
            }
            Ok(None) | Err(_) => break,
        }
    }
    Ok(told)
}

async fn delivered_completions(
    engine: &Engine,
    table: &[(i64, CompletionEvent)],
) -> Result<Vec<Delivered>, EngineError> {
    if table.is_empty() {
        return Ok(Vec::new());
    }
    let cursor = encode_event_cursor(before(table));
    let mut stream = engine.backend().subscribe_completion(cursor, &ScannerFilter::NOOP).await?;
    let mut told = Vec::new();
    while told.len() < table.len() {
        match tokio::time::timeout(DELIVERY_MAX, stream.next()).await {
            Ok(Some(event)) => {
                let event = event?;
                let id = decode_event_cursor(&event.cursor).ok().flatten().unwrap_or(-1);
                told.push((id, event.execution_id.clone(), event.at));
            }
            Ok(None) | Err(_) => break,
        }
    }
    Ok(told)
}

// ---- The judgement ----

/// A contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Finding {
    pub invariant: &'static str,
    pub execution: Option<ExecutionId>,
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let execution = self.execution.as_ref().map_or("-", |id| id.as_str());
        write!(f, "{} {execution} {}", self.invariant, self.detail)
    }
}

/// Reads an engine at rest and judges it together with what its clients saw.
///
/// At rest means: all clients have ended, lanes are open, and a worker that can run everything
/// finds nothing more to claim; [`race::quiesce`](crate::race::quiesce) makes it so.
pub async fn check(engine: &Engine, histories: &[History]) -> Result<Vec<Finding>, EngineError> {
    let observed = observe(engine).await?;
    let mut findings = judge(&observed, histories);
    findings.extend(frames::check(engine.backend().as_ref(), &observed, histories).await?);
    Ok(findings)
}

/// Looks for contradictions.
pub fn judge(observed: &Observed, histories: &[History]) -> Vec<Finding> {
    let mut case = Case::new(observed, histories);
    case.nothing_is_lost();
    case.runs_end_once();
    case.results_are_stable();
    case.leases_do_not_overlap();
    case.claims_are_recorded();
    case.writes_are_fenced();
    case.transitions_are_legal();
    case.attempts_are_dense();
    case.cancelled_stays_cancelled();
    case.nobody_starves();
    case.nothing_is_early();
    case.time_is_monotone();
    case.subscriptions_show_the_table();
    case.signals_count_once();
    case.spending_is_counted();
    case.members_are_let_go_once();
    case.findings
}

struct Case<'a> {
    observed: &'a Observed,
    by_execution: BTreeMap<&'a ExecutionId, Vec<&'a Record>>,
    records: Vec<&'a Record>,
    findings: Vec<Finding>,
}

fn is_terminal(state: PublicState) -> bool {
    matches!(
        state,
        PublicState::Completed
            | PublicState::Failed
            | PublicState::Cancelled
            | PublicState::Expired
            | PublicState::Skipped
    )
}

fn is_fenced(op: Op) -> bool {
    match op {
        Op::Renew
        | Op::Progress
        | Op::AppendFrame
        | Op::Complete
        | Op::Fail
        | Op::Cancel
        | Op::Delay
        | Op::Release
        | Op::Spend
        | Op::Suspend => true,
        Op::Create
        | Op::Claim
        | Op::CancelExecution
        | Op::Revoke
        | Op::Replay
        | Op::ChangePriority
        | Op::PauseLane
        | Op::ResumeLane
        | Op::ReadResult
        | Op::Signal
        | Op::SubmitFlow
        | Op::CancelFlow => false,
    }
}

fn begins_lease(kind: LeaseEventKind) -> bool {
    match kind {
        LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => true,
        LeaseEventKind::Renewed | LeaseEventKind::Expired | LeaseEventKind::Revoked => false,
    }
}

impl<'a> Case<'a> {
    fn new(observed: &'a Observed, histories: &'a [History]) -> Self {
        let records: Vec<&Record> = histories.iter().flat_map(|history| &history.records).collect();
        let mut by_execution: BTreeMap<&ExecutionId, Vec<&Record>> = BTreeMap::new();
        for record in &records {
            if let Some(id) = &record.execution {
                by_execution.entry(id).or_default().push(record);
            }
        }
        Self { observed, by_execution, records, findings: Vec::new() }
    }

    fn find(&mut self, invariant: &'static str, id: Option<&ExecutionId>, detail: String) {
        self.findings.push(Finding { invariant, execution: id.cloned(), detail });
    }

    fn of<'s>(&'s self, id: &ExecutionId) -> impl Iterator<Item = &'a Record> + use<'s, 'a> {
        self.by_execution.get(id).into_iter().flatten().copied()
    }

    fn claims_of(&self, id: &'a ExecutionId) -> impl Iterator<Item = &'a LeaseEvent> + use<'a> {
        let events = &self.observed.lease_events;
        events
            .iter()
            .map(|(_, event)| event)
            .filter(move |event| event.execution_id == *id && begins_lease(event.kind))
    }

    /// Whether no lease event has been trimmed away.
    fn is_whole(&self) -> bool {
        before(&self.observed.lease_events) == 0
    }

    /// I1: what was acknowledged exists, and nothing rests without a reason.
    fn nothing_is_lost(&mut self) {
        let acknowledged: BTreeSet<&ExecutionId> = self
            .records
            .iter()
            .filter(|record| record.op == Op::Create && record.is_ok())
            .filter_map(|record| record.execution.as_ref())
            .collect();
        for id in acknowledged {
            if !self.observed.executions.contains_key(id) {
                self.find("I1", Some(id), "an acknowledged create is not stored".to_owned());
            }
        }
        for (id, seen) in &self.observed.executions {
            let paused = self
                .observed
                .lanes
                .get(seen.summary.lane_id.as_str())
                .is_some_and(|state| *state != LaneState::Active);
            let is_due = seen.summary.due_at.is_none_or(|due| due <= self.observed.now);
            let has_reason = match seen.summary.public_state {
                PublicState::Waiting | PublicState::Active | PublicState::Resumable => paused,
                PublicState::Delayed => paused || !is_due,
                state => is_terminal(state) || state == PublicState::Suspended,
            };
            if !has_reason {
                let state = seen.summary.public_state;
                self.find("I1", Some(id), format!("is {state} at rest, for no reason"));
            }
        }
    }

    /// I2 and I6: a run ends once, with one completion event, and no event is without its end.
    fn runs_end_once(&mut self) {
        let mut told: BTreeMap<(&ExecutionId, u32), Vec<&CompletionEvent>> = BTreeMap::new();
        for (_, event) in &self.observed.completions {
            told.entry((&event.execution_id, event.run)).or_default().push(event);
        }
        let mut ended: BTreeMap<(&ExecutionId, u32), Vec<PublicState>> = BTreeMap::new();
        for (id, seen) in &self.observed.executions {
            let mut run = 0;
            for transition in &seen.transitions {
                if transition.cause == "replayed" {
                    run += 1;
                }
                if is_terminal(transition.to_state) {
                    ended.entry((id, run)).or_default().push(transition.to_state);
                }
            }
            if run != seen.summary.replay_count {
                let count = seen.summary.replay_count;
                self.find("I2", Some(id), format!("{run} replays recorded, {count} counted"));
            }
            let is_over = is_terminal(seen.summary.public_state);
            if is_over != ended.contains_key(&(id, run)) {
                self.find("I2", Some(id), format!("run {run} ended without a transition"));
            }
            self.one_ender_per_run(id, seen);
        }
        for ((id, run), states) in &ended {
            if states.len() > 1 {
                self.find("I2", Some(id), format!("run {run} ended as {states:?}"));
            }
            match told.get(&(*id, *run)).map_or(0, Vec::len) {
                1 => {}
                count => {
                    let detail = format!("run {run} has {count} completion events");
                    self.find("I6", Some(id), detail);
                }
            }
        }
        for (id, run) in told.keys() {
            let known = self.observed.executions.contains_key(*id);
            if known && !ended.contains_key(&(*id, *run)) {
                self.find("I6", Some(id), format!("run {run} was announced but did not end"));
            }
        }
    }

    /// No two different reports of holders both ended one run.
    fn one_ender_per_run(&mut self, id: &'a ExecutionId, seen: &Seen) {
        let replays: Vec<u64> = seen
            .transitions
            .iter()
            .filter(|transition| transition.cause == "replayed")
            .map(|transition| transition.lease_epoch.0)
            .collect();
        let mut enders: BTreeMap<usize, BTreeSet<(u64, Op)>> = BTreeMap::new();
        for record in self.of(id) {
            let ends = match (record.op, &record.outcome) {
                (Op::Complete | Op::Cancel, Outcome::Ok(_)) => true,
                (Op::Fail, Outcome::Ok(word)) => word == "TerminalFailed",
                _ => false,
            };
            if let Some(epoch) = record.epoch.filter(|_| ends) {
                let run = replays.iter().filter(|replay| **replay < epoch).count();
                enders.entry(run).or_default().insert((epoch, record.op));
            }
        }
        for (run, enders) in enders.into_iter().filter(|(_, enders)| enders.len() > 1) {
            self.find("I2", Some(id), format!("run {run} was ended by {enders:?}"));
        }
    }

    /// I2: the stored result is the acknowledged one, and reads agree with it.
    fn results_are_stable(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let completions: Vec<&Record> =
                self.of(id).filter(|record| record.op == Op::Complete).collect();
            let winner = seen.attempts.last().filter(|attempt| {
                attempt.outcome.as_deref() == Some("success")
                    && seen.summary.public_state == PublicState::Completed
            });
            let acknowledged = winner.and_then(|attempt| {
                let epoch = Some(attempt.lease_epoch.0);
                completions.iter().find(|record| record.is_ok() && record.epoch == epoch)
            });
            if let Some(record) = acknowledged {
                let wanted = record.result.as_ref().filter(|bytes| !bytes.is_empty());
                if wanted != seen.result.as_ref() {
                    let detail =
                        format!("stored result is {:?}, acknowledged {wanted:?}", seen.result);
                    self.find("I2", Some(id), detail);
                }
            }
            let reads: Vec<&Record> = self
                .of(id)
                .filter(|record| record.op == Op::ReadResult && record.is_ok())
                .collect();
            let is_replayed =
                self.of(id).any(|record| record.op == Op::Replay && record.may_have_happened());
            for read in reads.iter().filter(|read| read.result.is_some()) {
                let is_written = completions
                    .iter()
                    .any(|record| record.may_have_happened() && record.result == read.result);
                if !is_written {
                    let detail = format!("a read showed {:?}, which nobody wrote", read.result);
                    self.find("I2", Some(id), detail);
                }
                if !is_replayed && read.result != seen.result {
                    let detail =
                        format!("a read showed {:?}, later {:?}", read.result, seen.result);
                    self.find("I2", Some(id), detail);
                }
            }
        }
    }

    /// I3 and I4: one lease at a time, and every new one under a higher epoch.
    fn leases_do_not_overlap(&mut self) {
        let observed = self.observed;
        let mut live: BTreeMap<&ExecutionId, Option<u64>> = BTreeMap::new();
        let mut highest: BTreeMap<&ExecutionId, u64> = BTreeMap::new();
        for (number, event) in &observed.lease_events {
            let (id, epoch) = (&event.execution_id, event.epoch.0);
            let held = live.get(id).copied().flatten();
            let kind = event.kind.as_str();
            if begins_lease(event.kind) {
                if let Some(held) = held {
                    let detail = format!("event {number}: {kind} at epoch {epoch}, {held} is live");
                    self.find("I3", Some(id), detail);
                }
                if let Some(before) = highest.get(id).filter(|before| **before >= epoch) {
                    let detail = format!("event {number}: {kind} at epoch {epoch} after {before}");
                    self.find("I4", Some(id), detail);
                }
                highest.insert(id, epoch);
                live.insert(id, Some(epoch));
                continue;
            }
            // Below the oldest event kept nothing is known of a lease.
            if held != Some(epoch) && live.contains_key(id) {
                let detail = format!("event {number}: {kind} at epoch {epoch}, live is {held:?}");
                self.find("I3", Some(id), detail);
            }
            live.insert(id, if kind == "renewed" { Some(epoch) } else { None });
        }
        for (id, seen) in &observed.executions {
            let held = live.get(id).copied().flatten();
            if live.contains_key(id) && held.is_some() != seen.holds_lease {
                let detail =
                    format!("shows a lease: {}; by its events: {held:?}", seen.holds_lease);
                self.find("I3", Some(id), detail);
            }
            if highest.get(id).is_some_and(|epoch| *epoch != seen.summary.lease_epoch.0) {
                let epoch = seen.summary.lease_epoch;
                self.find("I4", Some(id), format!("its epoch is {epoch}, not that of its events"));
            }
            let epochs: Vec<u64> =
                seen.transitions.iter().map(|transition| transition.lease_epoch.0).collect();
            if !epochs.is_sorted() {
                self.find("I4", Some(id), format!("epochs of its transitions fall: {epochs:?}"));
            }
        }
    }

    /// I3 and I4: an acknowledged claim is an event of its own.
    fn claims_are_recorded(&mut self) {
        let mut given: BTreeSet<(&ExecutionId, u64)> = BTreeSet::new();
        let claims: Vec<&Record> = self
            .records
            .iter()
            .filter(|record| record.op == Op::Claim && record.is_ok())
            .copied()
            .collect();
        for record in claims {
            let (Some(id), Some(epoch)) = (&record.execution, record.epoch) else { continue };
            if !given.insert((id, epoch)) {
                self.find("I4", Some(id), format!("epoch {epoch} was given to two claims"));
            }
            if self.is_whole() && !self.claims_of(id).any(|event| event.epoch.0 == epoch) {
                self.find("I3", Some(id), format!("the claim at epoch {epoch} left no event"));
            }
        }
    }

    /// I5: a holder's write was accepted only while its epoch was the newest.
    fn writes_are_fenced(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let claims: Vec<&LeaseEvent> = self.claims_of(id).collect();
            // Whoever held the attempt is told that its key is known, however late it asks.
            let is_write = |record: &&Record| {
                let is_known = record.outcome == Outcome::Ok("AlreadyApplied".to_owned());
                is_fenced(record.op) && record.is_ok() && !is_known
            };
            let writes: Vec<&Record> = self.of(id).filter(is_write).collect();
            for write in &writes {
                let Some(epoch) = write.epoch else { continue };
                let began = claims.iter().find(|claim| claim.epoch.0 == epoch);
                let never =
                    began.map_or_else(|| self.is_whole(), |claim| claim.at > write.returned_at);
                if never {
                    let detail = format!("{:?} passed at epoch {epoch}, never claimed", write.op);
                    self.find("I5", Some(id), detail);
                }
                let newer = claims
                    .iter()
                    .find(|claim| claim.epoch.0 > epoch && claim.at < write.invoked_at);
                let is_repeat = self.of(id).any(|other| {
                    other.op == write.op
                        && other.epoch == write.epoch
                        && other.may_have_happened()
                        && !std::ptr::eq(other, *write)
                        && newer.is_some_and(|newer| other.invoked_at <= newer.at)
                });
                // Whoever ended it, the holder of a cancelled attempt is told so when it asks.
                let is_cancelled = write.op == Op::Cancel
                    && seen.attempts.iter().any(|attempt| {
                        attempt.lease_epoch.0 == epoch
                            && attempt.outcome.as_deref() == Some("cancelled")
                    });
                if let Some(newer) = newer.filter(|_| !is_repeat && !is_cancelled) {
                    let detail = format!(
                        "{:?} by {} passed at epoch {epoch}, after epoch {} began",
                        write.op, write.client, newer.epoch
                    );
                    self.find("I5", Some(id), detail);
                }
            }
        }
    }

    /// I7: every move is in the table, each goes on from the last, and ends at the shown state.
    fn transitions_are_legal(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let mut at = None;
            for transition in &seen.transitions {
                let (from, to) = (transition.from_state, transition.to_state);
                let cause = &transition.cause;
                if !legal_transitions().contains(&(from, to)) {
                    self.find("I7", Some(id), format!("{cause}: {from:?} to {to} is not legal"));
                }
                if from != at {
                    self.find("I7", Some(id), format!("{cause}: from {from:?}, but was {at:?}"));
                }
                if (cause == "replayed") != (from.is_some_and(is_terminal)) {
                    self.find("I7", Some(id), format!("{cause} leaves {from:?}"));
                }
                at = Some(to);
            }
            let shown = [seen.public_state, Some(seen.summary.public_state)];
            if shown.iter().any(|shown| *shown != at) {
                self.find(
                    "I7",
                    Some(id),
                    format!("shows {shown:?}, its transitions end in {at:?}"),
                );
            }
        }
    }

    /// I8: attempts are numbered without gaps, one is open at most, and counts keep their caps.
    fn attempts_are_dense(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let numbers: Vec<u32> =
                seen.attempts.iter().map(|attempt| attempt.attempt_index.0).collect();
            if !numbers.iter().copied().eq(0..seen.summary.attempt_count) {
                let count = seen.summary.attempt_count;
                self.find("I8", Some(id), format!("{count} attempts counted, stored: {numbers:?}"));
            }
            let open: Vec<u32> = seen
                .attempts
                .iter()
                .filter(|attempt| {
                    matches!(attempt.outcome.as_deref(), None | Some("attempt_interrupted"))
                })
                .map(|attempt| attempt.attempt_index.0)
                .collect();
            let is_over = is_terminal(seen.summary.public_state);
            if open.len() > usize::from(!is_over) {
                self.find("I8", Some(id), format!("attempts {open:?} are open, ended: {is_over}"));
            }
            let created = self.of(id).find(|record| record.op == Op::Create && record.is_ok());
            if let Some(caps) = created.and_then(|record| record.caps) {
                for (what, count, cap) in [
                    ("retries", seen.summary.retry_count, caps.max_retries),
                    ("reclaims", seen.summary.reclaim_count, caps.max_reclaim_count),
                    ("replays", seen.summary.replay_count, caps.max_replay_count),
                ] {
                    if count > cap {
                        self.find("I8", Some(id), format!("{count} {what}, at most {cap} allowed"));
                    }
                }
            }
        }
    }

    /// I9: after a cancel was answered, no claim until a replay.
    fn cancelled_stays_cancelled(&mut self) {
        let observed = self.observed;
        for id in observed.executions.keys() {
            let cancels: Vec<&Record> = self
                .of(id)
                .filter(|record| {
                    matches!(record.op, Op::Cancel | Op::CancelExecution | Op::CancelFlow)
                })
                .filter(|record| record.is_ok())
                .collect();
            for cancel in cancels {
                // A repeated cancel may be answered while a replay is already running.
                let replayed_from = self
                    .of(id)
                    .filter(|record| record.op == Op::Replay && record.may_have_happened())
                    .filter(|record| record.returned_at >= cancel.invoked_at)
                    .map(|record| record.invoked_at)
                    .min();
                let claimed = self.claims_of(id).find(|claim| {
                    claim.at > cancel.returned_at
                        && replayed_from.is_none_or(|replayed| claim.at < replayed)
                });
                if let Some(claim) = claimed {
                    let detail = format!(
                        "cancelled at {}, claimed at {} (epoch {})",
                        cancel.returned_at, claim.at, claim.epoch
                    );
                    self.find("I9", Some(id), detail);
                }
            }
        }
    }

    /// I10: a claim that found nothing saw nothing it could have run.
    fn nobody_starves(&mut self) {
        let observed = self.observed;
        let empty: Vec<&Record> = self
            .records
            .iter()
            .filter(|record| record.op == Op::Claim && record.is_ok() && record.execution.is_none())
            .copied()
            .collect();
        if empty.is_empty() {
            return;
        }
        for (id, seen) in &observed.executions {
            let created = self.of(id).find(|record| record.op == Op::Create && record.is_ok());
            let needs = created.filter(|record| !record.is_rationed);
            let Some(needs) = needs.map(|record| record.capabilities.clone()) else { continue };
            let lane = seen.summary.lane_id.as_str();
            for (number, transition) in seen.transitions.iter().enumerate() {
                if transition.to_state != PublicState::Waiting {
                    continue;
                }
                let left_at = seen.transitions.get(number + 1).map(|next| next.at);
                let passed_by = empty.iter().find(|claim| {
                    claim.lane.as_deref() == Some(lane)
                        && needs.iter().all(|token| claim.capabilities.contains(token))
                        && transition.at < claim.invoked_at
                        && left_at.is_none_or(|left| claim.returned_at < left)
                        && !self.may_be_paused(lane, claim)
                });
                if let Some(claim) = passed_by {
                    let detail = format!(
                        "in line since {} until {left_at:?}, but {} found nothing at {}..{}",
                        transition.at, claim.client, claim.invoked_at, claim.returned_at
                    );
                    self.find("I10", Some(id), detail);
                }
            }
        }
    }

    /// Whether a pause of the lane may have been in force during a claim.
    fn may_be_paused(&self, lane: &str, claim: &Record) -> bool {
        let of_lane = |op| {
            self.records
                .iter()
                .filter(move |record| record.op == op && record.lane.as_deref() == Some(lane))
        };
        of_lane(Op::PauseLane)
            .filter(|pause| pause.may_have_happened() && pause.invoked_at <= claim.returned_at)
            .any(|pause| {
                !of_lane(Op::ResumeLane).any(|resume| {
                    resume.is_ok()
                        && resume.invoked_at > pause.returned_at
                        && resume.returned_at < claim.invoked_at
                })
            })
    }

    /// I24: nothing happens before its instant.
    fn nothing_is_early(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let promises: Vec<&Record> = self.of(id).filter(|record| record.is_ok()).collect();
            for (op, until, epoch, from) in promises.iter().filter_map(|record| {
                let epoch = record.epoch.unwrap_or(0);
                Some((record.op, record.not_before?, epoch, record.invoked_at))
            }) {
                // A run that began in between has no part in the delay of the one before.
                let replayed = |claim: &LeaseEvent| {
                    self.of(id).any(|record| {
                        record.op == Op::Replay
                            && record.may_have_happened()
                            && record.returned_at >= from
                            && record.invoked_at <= claim.at
                    })
                };
                let next = self.claims_of(id).find(|claim| claim.epoch.0 == epoch + 1);
                if let Some(claim) = next.filter(|claim| claim.at < until && !replayed(claim)) {
                    let detail = format!("{op:?} until {until}, claimed at {}", claim.at);
                    self.find("I24", Some(id), detail);
                }
            }
            for (_, event) in observed.lease_events.iter().filter(|(_, event)| {
                event.execution_id == *id && event.kind == LeaseEventKind::Expired
            }) {
                let promised = promises
                    .iter()
                    .filter(|record| record.epoch == Some(event.epoch.0))
                    .filter_map(|record| record.expires_at)
                    .max();
                if let Some(promised) = promised.filter(|promised| event.at < *promised) {
                    let detail = format!(
                        "the lease of epoch {} was promised until {promised}, lapsed at {}",
                        event.epoch, event.at
                    );
                    self.find("I24", Some(id), detail);
                }
            }
            for pair in seen.attempts.windows(2) {
                let (due, started) = (pair[0].retry_at, pair[1].started_at);
                let is_retry = pair[1].attempt_type == AttemptType::Retry;
                if let (Some(due), Some(started), true) = (due, started, is_retry)
                    && started < due
                {
                    self.find("I24", Some(id), format!("retry due {due}, started {started}"));
                }
            }
            let ended =
                seen.summary.ended_at.filter(|_| seen.summary.public_state == PublicState::Expired);
            // A suspension that expires does so at an instant of its own.
            let last = seen.transitions.last();
            let is_waited_out = last.is_some_and(|last| last.cause == "suspension_timed_out");
            let ended = ended.filter(|_| !is_waited_out);
            if let (Some(deadline), Some(ended)) = (seen.summary.deadline_at, ended)
                && ended < deadline
            {
                self.find("I24", Some(id), format!("expired at {ended}, deadline {deadline}"));
            }
        }
    }

    /// I26: later events carry later times.
    fn time_is_monotone(&mut self) {
        let observed = self.observed;
        let leases: Vec<(i64, TimestampMs)> =
            observed.lease_events.iter().map(|(id, event)| (*id, event.at)).collect();
        let completions: Vec<(i64, TimestampMs)> =
            observed.completions.iter().map(|(id, event)| (*id, event.at)).collect();
        for (outbox, events) in [("lease", leases), ("completion", completions)] {
            for pair in events.windows(2) {
                let ((earlier, at), (later, then)) = (pair[0], pair[1]);
                if later <= earlier || then < at {
                    let detail =
                        format!("{outbox} event {earlier} at {at}, then {later} at {then}");
                    self.find("I26", None, detail);
                }
            }
        }
        for (id, seen) in &observed.executions {
            if !seen.transitions.is_sorted_by_key(|transition| transition.at) {
                self.find("I26", Some(id), "its transitions go back in time".to_owned());
            }
        }
    }

    /// I13 and I15: a signal is accepted once under its key, announced once, and resumes once.
    fn signals_count_once(&mut self) {
        let observed = self.observed;
        let mut satisfied: BTreeMap<&ExecutionId, usize> = BTreeMap::new();
        let mut unknown: BTreeSet<&ExecutionId> = BTreeSet::new();
        let mut accepted: BTreeSet<&str> = BTreeSet::new();
        for record in self.records.clone() {
            let (Op::Signal, Some(id)) = (record.op, record.execution.as_ref()) else { continue };
            match &record.outcome {
                Outcome::Unknown(_) => drop(unknown.insert(id)),
                Outcome::Ok(word) if word != "Duplicate" => {
                    let Some((waitpoint, signal)) = record.args.split_once(' ') else { continue };
                    if !accepted.insert(waitpoint) {
                        let detail = format!("two signals were accepted at {waitpoint}");
                        self.find("I13", Some(id), detail);
                    }
                    let told = observed.signals.iter().filter(|(_, event)| {
                        event.execution_id == *id && event.signal_id.to_string() == signal
                    });
                    let told = told.count();
                    if told != 1 {
                        self.find("I13", Some(id), format!("{signal} was announced {told} times"));
                    }
                    if word == "resume_condition_satisfied" {
                        *satisfied.entry(id).or_default() += 1;
                    }
                }
                Outcome::Ok(_) | Outcome::Refused(_) => {}
            }
        }
        for (id, count) in satisfied.into_iter().filter(|(id, _)| !unknown.contains(id)) {
            let Some(seen) = observed.executions.get(id) else { continue };
            let moves = seen.transitions.iter();
            let resumed = moves.filter(|move_| move_.cause == "condition_satisfied").count();
            if resumed != count {
                let detail = format!("{count} signals ended a wait, it resumed {resumed} times");
                self.find("I15", Some(id), detail);
            }
        }
    }

    /// I17: what was accepted is what is counted, each key once, and no limit is passed.
    fn spending_is_counted(&mut self) {
        let observed = self.observed;
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        for budget in &observed.budgets {
            let id = budget.budget_id.to_string();
            let (mut counted, mut unknown) = (0, 0);
            for record in self.records.clone() {
                if record.op != Op::Spend || !record.args.starts_with(&id) {
                    continue;
                }
                match &record.outcome {
                    Outcome::Ok(word) if word == "Ok" => {
                        counted += 1;
                        if !keys.insert(&record.args) {
                            let detail = format!("{} was counted twice", record.args);
                            self.find("I17", record.execution.as_ref(), detail);
                        }
                    }
                    Outcome::Unknown(_) => unknown += 1,
                    Outcome::Ok(_) | Outcome::Refused(_) => {}
                }
            }
            for dimension in &budget.dimensions {
                let (usage, limit) = (dimension.usage, dimension.hard_limit);
                if usage < counted || usage > counted + unknown {
                    let detail =
                        format!("{id}: {usage} stored, {counted} accepted, {unknown} unknown");
                    self.find("I17", None, detail);
                }
                if limit > 0 && usage > limit {
                    self.find("I17", None, format!("{id}: {usage} spent of {limit}"));
                }
            }
        }
    }

    /// I20: a member's dependencies are met once in a run, and once more each time it is made to
    /// wait for others.
    fn members_are_let_go_once(&mut self) {
        let observed = self.observed;
        for (id, seen) in &observed.executions {
            let moves = seen.transitions.iter();
            let freed = moves.filter(|move_| move_.cause == "dependencies_satisfied").count();
            let runs = usize::try_from(seen.summary.replay_count).unwrap_or(usize::MAX) + 1;
            let blocks = ["dependency_applied", "waiting_children"];
            let moves = seen.transitions.iter();
            let blocked = moves.filter(|move_| blocks.contains(&move_.cause.as_str())).count();
            if freed > runs + blocked {
                self.find("I20", Some(id), format!("let go {freed} times in {runs} runs"));
            }
        }
    }

    /// I27: a subscriber from the beginning is told the table.
    fn subscriptions_show_the_table(&mut self) {
        let observed = self.observed;
        let leases: Vec<Delivered> = observed
            .lease_events
            .iter()
            .map(|(id, event)| (*id, event.execution_id.clone(), event.at))
            .collect();
        let completions: Vec<Delivered> = observed
            .completions
            .iter()
            .map(|(id, event)| (*id, event.execution_id.clone(), event.at))
            .collect();
        for (outbox, table, told) in [
            ("lease", &leases, &observed.delivered_lease_events),
            ("completion", &completions, &observed.delivered_completions),
        ] {
            if table != told {
                let first = table.iter().zip(told).position(|(stored, told)| stored != told);
                let at = first.unwrap_or_else(|| table.len().min(told.len()));
                let detail = format!(
                    "{outbox}: {} of {} events delivered, the first difference at {at}: stored \
                     {:?}, told {:?}",
                    told.len(),
                    table.len(),
                    table.get(at),
                    told.get(at)
                );
                self.find("I27", None, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests;
