//! Running commands against a store that holds its rows still: one load, one decision, one commit.
//!
//! [`Session`] is all a transactional store has to offer; memory and SQLite drive the same code.
//! The protocol of a command:
//!
//! 1. load its footprint;
//! 2. if something of the execution is due, decide that first, on the loaded rows, in memory;
//! 3. decide the command on the rows as they then stand;
//! 4. accepted: commit both in one go. Refused: nothing is written, the due part included; a
//!    sweep will do it.
//!
//! A claim first settles what is due anywhere (bounded), then asks the claim index for candidates
//! and decides each; see [`claim`].

use std::collections::BTreeSet;

use super::budget::{CloseGate, GateKey, LookAtGate, ResetDue, Unpark};
use super::flow::background;
use super::lease::{Claim, ClaimDecision, Claimed, Claimer};
use super::limits::{
    CLAIM_EXAMINED_MAX, CLAIM_PASSED_OVER_MAX, DUE_STEP_MAX, DUE_STUCK_MAX, GATE_STEP_MAX,
    LANE_GATE_KEYS_MAX, REOPEN_STEP_MAX,
};
use super::rows::Candidate;
use super::stream;
use super::suspension::ExpireWaitpoints;
use super::sweep::{self, Due, Forget};
use super::worker::Expire;
use super::{Change, Command, Context, Transition, gate, transition};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::state::LaneState;
use crate::store::Reader;
use crate::types::{DurationMs, ExecutionId, LaneId, QuotaPolicyId, TimestampMs};

/// A store inside one transaction: it loads, proposes and commits; it never decides.
pub trait Session: Reader {
    /// Stores rows and facts, in order.
    fn commit<T>(
        &mut self,
        transition: &Transition<T>,
        now: TimestampMs,
    ) -> Result<(), EngineError>;

    /// Removes what only the passing of time makes worthless: outbox rows written before
    /// `events_before`, idempotency keys whose window is over, and grants that expired before
    /// `now`. At most `limit` rows of each; answers how many went.
    fn trim(
        &mut self,
        now: TimestampMs,
        events_before: TimestampMs,
        limit: usize,
    ) -> Result<usize, EngineError>;
}

/// Loads, decides and commits one command; then does what it left flows to do, up to a step. The
/// answer shows both.
pub fn run<S: Session, C: Command>(
    session: &mut S,
    command: &C,
    cx: &mut Context<'_>,
) -> Result<Transition<C::Outcome>, EngineError> {
    let mut transition = decide(session, command, cx)?;
    store(session, &transition, cx.now)?;
    if background::follows(&transition.changes, &transition.events) {
        let step = background::step(session, cx)?;
        transition.changes.extend(step.changes);
        transition.events.extend(step.events);
    }
    Ok(transition)
}

fn store<S: Session, T>(
    session: &mut S,
    transition: &Transition<T>,
    now: TimestampMs,
) -> Result<(), EngineError> {
    if transition.changes.is_empty() && transition.events.is_empty() {
        return Ok(());
    }
    session.commit(transition, now)
}

/// Loads and decides one command, with what is due in front; writes nothing.
pub fn decide<S: Session, C: Command>(
    session: &mut S,
    command: &C,
    cx: &mut Context<'_>,
) -> Result<Transition<C::Outcome>, EngineError> {
    let mut footprint = command.footprint();
    footprint.budget.at = cx.now;
    let seen = session.load(&footprint)?;
    match sweep::settle(&seen, cx) {
        None => command.decide(&seen, cx),
        Some((settled, seen)) => Ok(command.decide(&seen, cx)?.after(settled)),
    }
}

/// Settles what is due: executions, at most [`DUE_STEP_MAX`], then the gates that are to be swept.
pub fn settle_due<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
) -> Result<Settled, EngineError> {
    let mut settled = settle_executions(session, cx)?;
    let gates = session.gates_to_sweep(cx.now, GATE_STEP_MAX)?;
    settled.is_all &= gates.len() < GATE_STEP_MAX;
    let mut reopened = Reopened::default();
    for (lane, gate) in gates {
        reopen(session, &lane, gate, cx, &mut reopened)?;
        settled.examined += 1;
        settled.changed += 1;
    }
    settled.opens_work |= reopened.put_back > 0;
    Ok(settled)
}

/// What a step put back in line.
#[derive(Debug, Default)]
struct Reopened {
    examined: usize,
    put_back: usize,
    /// Whether a gate has room, or may have, for more that wait behind it.
    is_partial: bool,
}

/// Looks at one gate of a lane and puts back, in line order, no more than there is room for; at
/// most [`REOPEN_STEP_MAX`] in a step. A gate behind which nobody waits any more is forgotten.
fn reopen<S: Session>(
    session: &mut S,
    lane: &LaneId,
    gate: GateKey,
    cx: &mut Context<'_>,
    reopened: &mut Reopened,
) -> Result<(), EngineError> {
    let look = LookAtGate { lane: lane.clone(), gate: gate.clone() };
    let Some(looked) = run_if_readable(session, &look, cx)? else { return Ok(()) };
    let room = usize::try_from(looked.outcome).unwrap_or(usize::MAX);
    let mut put_back = 0;
    let mut last = None;
    while put_back < room {
        let left = REOPEN_STEP_MAX.saturating_sub(reopened.examined);
        let page = session.parked(lane, &gate, last.as_ref(), left.min(room - put_back))?;
        if page.is_empty() {
            if left == 0 {
                reopened.is_partial = true;
            } else {
                let close = CloseGate { lane: lane.clone(), gate };
                let () = run(session, &close, cx)?.outcome;
            }
            reopened.put_back += put_back;
            return Ok(());
        }
        for candidate in page {
            reopened.examined += 1;
            let unpark = Unpark { execution_id: candidate.execution_id.clone() };
            last = Some(candidate);
            let is_back = run_if_readable(session, &unpark, cx)?.is_some_and(|done| done.outcome);
            put_back += usize::from(is_back);
        }
    }
    reopened.put_back += put_back;
    reopened.is_partial |= put_back > 0;
    Ok(())
}

/// Settles executions with something due, and a step of what flows have left, at most
/// [`DUE_STEP_MAX`] executions; answers how many were looked at and whether work may have come
/// into line.
///
/// Executions that nothing moves (their rows cannot be read) stand at the head of the due index
/// for ever; where they fill a step, it looks further, up to [`DUE_STUCK_MAX`] of them.
fn settle_executions<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
) -> Result<Settled, EngineError> {
    let agenda = session.agenda(cx.now)?;
    let mut settled = match agenda.due {
        true => settle_all_due(session, cx)?,
        false => Settled { is_all: true, ..Settled::default() },
    };
    // What has just ended may have left its flow something to do.
    if !agenda.flow_work && settled.changed == 0 {
        return Ok(settled);
    }
    let step = background::step(session, cx)?;
    settled.examined += step.examined;
    settled.changed += step.changes.len();
    settled.opens_work |= transition::opens_work(&step.changes);
    settled.is_all &= !step.is_unfinished;
    Ok(settled)
}

fn settle_all_due<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
) -> Result<Settled, EngineError> {
    let mut settled = Settled::default();
    let mut limit = DUE_STEP_MAX;
    loop {
        let due = session.due(cx.now, limit)?;
        settled.is_all = due.len() < limit;
        for execution_id in due.into_iter().skip(settled.examined) {
            settled.examined += 1;
            let due = Due { execution_id };
            let Some(transition) = run_if_readable(session, &due, cx)? else { continue };
            settled.changed += usize::from(!transition.changes.is_empty());
            settled.opens_work |= transition.opens_work();
        }
        if settled.is_all || settled.changed > 0 || limit >= DUE_STUCK_MAX {
            return Ok(settled);
        }
        limit *= 4;
    }
}

/// As [`run`], but steps over an execution whose stored row cannot be read: it must not stand in
/// everybody's way. Operations on it by id tell what is wrong with it.
pub(super) fn run_if_readable<S: Session, C: Command>(
    session: &mut S,
    command: &C,
    cx: &mut Context<'_>,
) -> Result<Option<Transition<C::Outcome>>, EngineError> {
    let transition = match decide(session, command, cx) {
        Ok(transition) => transition,
        Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
            tracing::error!(%detail, "an execution is skipped because its row cannot be read");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    store(session, &transition, cx.now)?;
    Ok(Some(transition))
}

/// What one bounded pass over the due index did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Executions looked at.
    pub examined: usize,
    /// Whether the due index held no more than that.
    pub is_all: bool,
    /// Executions that changed.
    pub changed: usize,
    /// Whether an idle worker may find something.
    pub opens_work: bool,
}

impl Settled {
    /// Whether another step would settle more right now.
    pub fn is_stepwise(&self) -> bool {
        !self.is_all && self.changed > 0
    }
}

/// One bounded, restartable step of background work: what is due, then what retention ends.
pub fn sweep<S: Session>(session: &mut S, cx: &mut Context<'_>) -> Result<Swept, EngineError> {
    let settled = settle_due(session, cx)?;
    let (reset, _) = reset_budgets(session, cx.now, cx)?;
    let ended_before = before(cx.now, cx.limits.retention);
    let mut forgotten = 0;
    for execution_id in session.ended(ended_before, DUE_STEP_MAX)? {
        let forget = Forget { execution_id };
        let gone = run_if_readable(session, &forget, cx)?.is_some_and(|done| done.outcome);
        forgotten += usize::from(gone);
    }
    let mut closed = 0;
    for execution_id in session.expired_waitpoints(cx.now, DUE_STEP_MAX)? {
        let expire = ExpireWaitpoints { execution_id };
        closed += usize::from(run_if_readable(session, &expire, cx)?.is_some());
    }
    let mut workers = 0;
    for (namespace, worker_instance_id) in session.lapsed_workers(cx.now, DUE_STEP_MAX)? {
        let expire = Expire { namespace, worker_instance_id };
        let gone = run_if_readable(session, &expire, cx)?.is_some_and(|done| done.outcome);
        workers += usize::from(gone);
    }
    let mut frames = 0;
    for (execution_id, attempt_index) in session.streams_to_look_at(cx.now, DUE_STEP_MAX)? {
        let expire = stream::Expire { execution_id, attempt_index };
        let gone = run_if_readable(session, &expire, cx)?.map_or(0, |done| done.outcome);
        // A stream that was only looked at counts as well.
        frames += usize::try_from(gone).unwrap_or(usize::MAX).saturating_add(1);
        if frames >= DUE_STEP_MAX {
            break;
        }
    }
    let events_before = before(cx.now, cx.limits.event_retention);
    let trimmed = closed + frames + session.trim(cx.now, events_before, DUE_STEP_MAX)?;
    Ok(Swept { settled, reset, forgotten, workers, trimmed })
}

/// Does the resets that are due at `as_of`, at most [`DUE_STEP_MAX`]; answers how many budgets were
/// reset, and how many cannot be read.
pub fn reset_budgets<S: Session>(
    session: &mut S,
    as_of: TimestampMs,
    cx: &mut Context<'_>,
) -> Result<(usize, usize), EngineError> {
    let (mut reset, mut unreadable) = (0, 0);
    for budget_id in session.budgets_due(as_of, DUE_STEP_MAX)? {
        match run_if_readable(session, &ResetDue { budget_id, as_of: Some(as_of) }, cx)? {
            Some(done) => reset += usize::from(done.outcome),
            None => unreadable += 1,
        }
    }
    Ok((reset, unreadable))
}

fn before(now: TimestampMs, by: DurationMs) -> TimestampMs {
    TimestampMs(now.0.saturating_sub(i64::try_from(by.0).unwrap_or(i64::MAX)))
}

/// What one step of a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// What was due.
    pub settled: Settled,
    /// Budgets whose reset was due.
    pub reset: usize,
    /// Executions removed because their retention is over.
    pub forgotten: usize,
    /// Workers removed from the registry because they fell silent.
    pub workers: usize,
    /// Rows removed, and waitpoints closed, that time had made worthless.
    pub trimmed: usize,
}

impl Swept {
    /// Whether another step would find more right now.
    pub fn is_full(&self) -> bool {
        self.settled.is_stepwise()
            || [self.reset, self.forgotten, self.workers, self.trimmed]
                .iter()
                .any(|rows| *rows >= DUE_STEP_MAX)
    }
}

/// A request for work.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The lanes to serve. Their lines are merged: priority, then age, whatever the lane.
    pub lanes: Vec<LaneId>,
    /// The worker.
    pub by: Claimer,
    /// Most executions to claim.
    pub max: usize,
    /// Whether the input payloads are wanted.
    pub with_payload: bool,
}

/// What one step of a claim took.
#[derive(Debug, Default)]
pub struct ClaimStep {
    /// The attempts the worker now owns, in claim order.
    pub claimed: Vec<Claimed>,
    /// Whether the store changed, by a claim or by what was due.
    pub changed: bool,
    /// Whether another step may find more although this one took nothing: what is due, or what
    /// stood in line and has ended, was more than one step may settle.
    pub is_unfinished: bool,
}

/// Claims up to `max` executions in order: one bounded step.
///
/// Nothing that the worker cannot run is looked at: the claim walks the distinct gate keys of its
/// lanes and asks the index only behind those it can open. It answers empty and finished only
/// when nothing is claimable and nothing is due any more.
pub fn claim<S: Session>(
    session: &mut S,
    request: &ClaimRequest,
    cx: &mut Context<'_>,
) -> Result<ClaimStep, EngineError> {
    let settled = settle_executions(session, cx)?;
    let mut step = ClaimStep {
        changed: settled.changed > 0,
        is_unfinished: settled.is_stepwise(),
        claimed: Vec::new(),
    };
    let lanes = open_lanes(session, request)?;
    let mut reopened = Reopened::default();
    for lane in lanes.iter().filter(|lane| lane.has_gates) {
        for gate in session.gates_to_look_at(&lane.id, cx.now, GATE_STEP_MAX)? {
            reopen(session, &lane.id, gate, cx, &mut reopened)?;
            step.changed = true;
        }
    }
    step.is_unfinished |= reopened.is_partial;
    take_candidates(session, request, lanes, cx, &mut step)?;
    Ok(step)
}

/// A lane that hands out work.
struct OpenLane {
    id: LaneId,
    quota_policy_id: Option<QuotaPolicyId>,
    /// Whether executions wait behind gates on it.
    has_gates: bool,
}

/// The lanes of a request that hand out work. A lane whose binding cannot be read hands out none.
fn open_lanes<R: Reader + ?Sized>(
    reader: &mut R,
    request: &ClaimRequest,
) -> Result<Vec<OpenLane>, EngineError> {
    let mut lanes = Vec::new();
    for id in request.lanes.iter().collect::<BTreeSet<_>>() {
        let standing = reader.lane_standing(id)?;
        match standing.state {
            LaneState::Active => {}
            LaneState::Paused | LaneState::Draining | LaneState::Disabled => continue,
        }
        match standing.quota_policy_id {
            Ok(quota_policy_id) => {
                let has_gates = standing.has_gates;
                lanes.push(OpenLane { id: id.clone(), quota_policy_id, has_gates });
            }
            Err(detail) => {
                tracing::error!(%detail, "a lane is skipped because its quota cannot be read");
            }
        }
    }
    Ok(lanes)
}

/// One line of candidates: a lane behind a gate key.
struct Line {
    lane: LaneId,
    lane_quota: Option<QuotaPolicyId>,
    gate_key: String,
    last: Option<Candidate>,
    is_exhausted: bool,
    /// Whether the lane's quota is full: it still lets through whoever has a reservation.
    is_full: bool,
}

fn take_candidates<S: Session>(
    session: &mut S,
    request: &ClaimRequest,
    lanes: Vec<OpenLane>,
    cx: &mut Context<'_>,
    step: &mut ClaimStep,
) -> Result<(), EngineError> {
    let mut lines = open_lines(session, request, lanes, cx.now)?;
    let mut passed_over = 0;
    while step.claimed.len() < request.max {
        if passed_over >= CLAIM_PASSED_OVER_MAX {
            step.is_unfinished = true;
            break;
        }
        let wanted = (request.max - step.claimed.len()).min(CLAIM_EXAMINED_MAX);
        let heads = next_in_line(session, &mut lines, wanted)?;
        if heads.is_empty() {
            break;
        }
        for (line, candidate, was_full) in heads {
            if lines[line].is_exhausted || lines[line].is_full != was_full {
                continue;
            }
            let claim = Claim {
                execution_id: candidate.execution_id.clone(),
                by: request.by.clone(),
                with_payload: request.with_payload,
                lane_quota: lines[line].lane_quota.clone(),
            };
            lines[line].last = Some(candidate);
            passed_over += 1;
            let Some(decided) = run_if_readable(session, &claim, cx)? else { continue };
            step.changed |= !decided.changes.is_empty();
            let follows = background::follows(&decided.changes, &decided.events);
            match decided.outcome {
                ClaimDecision::Claimed(claimed) => {
                    passed_over -= 1;
                    step.claimed.push(*claimed);
                }
                // Nobody else on this lane gets further without a reservation; those behind keep
                // their place in line.
                ClaimDecision::Parked(GateKey::LaneQuota(_)) => {
                    let lane = lines[line].lane.clone();
                    let has_reserved = was_full || session.has_reserved(&lane)?;
                    for line in lines.iter_mut().filter(|line| line.lane == lane) {
                        line.is_full = true;
                        line.is_exhausted |= !has_reserved;
                    }
                }
                ClaimDecision::Parked(GateKey::Budget(_) | GateKey::Quota(_))
                | ClaimDecision::Ended
                | ClaimDecision::Skipped => {}
            }
            if follows {
                let followed = background::step(session, cx)?;
                step.claimed.retain(|claimed| !lets_go(&followed.changes, &claimed.execution.id));
            }
        }
    }
    Ok(())
}

/// Whether these changes end the lease of an execution: one candidate's end may decide a group
/// whose remaining members, claimed a moment before, are cancelled with it.
fn lets_go(changes: &[Change], id: &ExecutionId) -> bool {
    let standing = changes.iter().rev().find_map(|change| {
        let Change::PutExecution(row) = change else { return None };
        (row.id == *id).then(|| row.is_leased())
    });
    standing == Some(false)
}

/// Whether a claim would find something: a candidate for this worker, or something due. A read
/// that takes no write lock, for a worker that was woken.
pub fn has_work<R: Reader + ?Sized>(
    reader: &mut R,
    request: &ClaimRequest,
    now: TimestampMs,
) -> Result<bool, EngineError> {
    if reader.agenda(now)?.is_any() {
        return Ok(true);
    }
    let lanes = open_lanes(reader, request)?;
    for lane in lanes.iter().filter(|lane| lane.has_gates) {
        if !reader.gates_to_look_at(&lane.id, now, 1)?.is_empty() {
            return Ok(true);
        }
    }
    let mut lines = open_lines(reader, request, lanes, now)?;
    Ok(!next_in_line(reader, &mut lines, 1)?.is_empty())
}

/// When a claim may next find something by time alone: an execution becomes due, or a gate on one
/// of its lanes is to be looked at.
pub fn next_work<R: Reader + ?Sized>(
    reader: &mut R,
    lanes: &[LaneId],
) -> Result<Option<TimestampMs>, EngineError> {
    let mut next = reader.next_due()?;
    for lane in lanes {
        next = [next, reader.next_look(lane)?].into_iter().flatten().min();
    }
    Ok(next)
}

/// Whether a sweep would find something due: an execution, a gate, or a budget's reset.
pub fn is_due<R: Reader + ?Sized>(reader: &mut R, now: TimestampMs) -> Result<bool, EngineError> {
    Ok(!reader.due(now, 1)?.is_empty()
        || !reader.gates_to_sweep(now, 1)?.is_empty()
        || !reader.budgets_due(now, 1)?.is_empty())
}

/// When a sweep next finds something: an execution, a gate, or a budget's reset.
pub fn next_due<R: Reader + ?Sized>(reader: &mut R) -> Result<Option<TimestampMs>, EngineError> {
    let due = [reader.next_due()?, reader.next_gate_sweep()?, reader.next_reset()?];
    Ok(due.into_iter().flatten().min())
}

/// The next candidates for a worker, in claim order, after one; at most [`CLAIM_EXAMINED_MAX`].
pub fn propose<R: Reader + ?Sized>(
    reader: &mut R,
    request: &ClaimRequest,
    after: Option<&Candidate>,
    now: TimestampMs,
) -> Result<Vec<Candidate>, EngineError> {
    let lanes = open_lanes(reader, request)?;
    let mut lines = open_lines(reader, request, lanes, now)?;
    for line in &mut lines {
        line.last = after.cloned();
    }
    let heads = next_in_line(reader, &mut lines, CLAIM_EXAMINED_MAX)?;
    Ok(heads.into_iter().map(|(_, candidate, _)| candidate).collect())
}

fn open_lines<R: Reader + ?Sized>(
    reader: &mut R,
    request: &ClaimRequest,
    lanes: Vec<OpenLane>,
    now: TimestampMs,
) -> Result<Vec<Line>, EngineError> {
    let mut lines = Vec::new();
    for lane in lanes {
        let is_full = match lane.quota_policy_id.as_ref().filter(|_| lane.has_gates) {
            None => false,
            Some(quota) => is_full(reader, &lane.id, quota, now)?,
        };
        if is_full && !reader.has_reserved(&lane.id)? {
            continue;
        }
        let keys = if request.by.capabilities.is_empty() {
            vec![String::new()]
        } else {
            reader.gate_keys(&lane.id, LANE_GATE_KEYS_MAX)?
        };
        for gate_key in keys {
            if gate::opens(&gate_key, &request.by.capabilities) {
                lines.push(Line {
                    lane: lane.id.clone(),
                    lane_quota: lane.quota_policy_id.clone(),
                    gate_key,
                    last: None,
                    is_exhausted: false,
                    is_full,
                });
            }
        }
    }
    Ok(lines)
}

/// Whether the quota of a lane was found full, and nothing has happened to it since.
pub(crate) fn is_full<R: Reader + ?Sized>(
    reader: &mut R,
    lane: &LaneId,
    quota: &QuotaPolicyId,
    now: TimestampMs,
) -> Result<bool, EngineError> {
    let look_at = reader.gate_look_at(lane, &GateKey::LaneQuota(quota.clone()))?;
    Ok(look_at.is_some_and(|look_at| look_at > now))
}

/// The heads of all lines, merged: at most `wanted`, in claim order, each with its line and whether
/// that was full.
fn next_in_line<R: Reader + ?Sized>(
    reader: &mut R,
    lines: &mut [Line],
    wanted: usize,
) -> Result<Vec<(usize, Candidate, bool)>, EngineError> {
    let mut heads = Vec::new();
    for (number, line) in lines.iter_mut().enumerate().filter(|(_, line)| !line.is_exhausted) {
        let (lane, gate_key, last) = (&line.lane, &line.gate_key, line.last.as_ref());
        let candidates = match line.is_full {
            false => reader.candidates(lane, gate_key, last, wanted)?,
            true => reader.reserved(lane, gate_key, last, wanted)?,
        };
        line.is_exhausted = candidates.is_empty();
        heads.extend(candidates.into_iter().map(|candidate| (number, candidate, line.is_full)));
    }
    heads.sort_by_key(|(_, candidate, _)| candidate.order());
    heads.truncate(wanted);
    Ok(heads)
}
