//! Waiting: workers that suspend, a person who answers, and what must hold of signals.
//!
//! A waitpoint is named by the lease that made it, so that a repeated suspend means the same ones.
//! What a suspension waits for follows from its drawn number ([`holds`]), counted here a second
//! time and without the engine's conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ff_core::contracts::*;
use ff_core::handle_codec::HandlePayload;
use ff_core::machine::transition::LeaseEventKind;
use ff_core::types::{
    ExecutionId, SignalId, SuspensionId, TimestampMs, WaitpointId, WaitpointToken,
};
use uuid::Uuid;

use super::actor::{Actor, Next, Scene};
use super::call::{Answer, Call, Deed, Grip, Number, Operation};
use super::ledger::found;
use super::stage::{Stage, answered, at_once, broken};
use crate::dice::Dice;
use crate::invariants::Finding;
use crate::probe::News;

/// Kinds of condition; see [`condition`].
pub(crate) const SHAPES: u8 = 6;

/// How long an idempotency key of a signal is remembered.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;

/// A waitpoint, by the lease that made it and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Wait {
    pub(crate) grip: Grip,
    pub(crate) draw: u8,
    pub(crate) place: u8,
}

/// What the sender shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Shows {
    Own,
    Forged,
    /// The token of another waitpoint.
    Of(Wait),
}

/// One signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sent {
    pub(crate) wait: Wait,
    pub(crate) id: u32,
    pub(crate) key: Option<u32>,
    pub(crate) is_go: bool,
    pub(crate) source: u8,
}

/// What is asked about waiting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ask {
    Signal { sent: Sent, shows: Shows },
    Approve { wait: Wait, suffix: u32 },
    Rotate { kid: u32, grace_ms: u32 },
    Resume(Number),
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Signal { .. } => "deliver_signal",
            Self::Approve { .. } => "deliver_approval_signal",
            Self::Rotate { .. } => "rotate_waitpoint_hmac_secret_all",
            Self::Resume(_) => "resume_execution",
        }
    }
}

fn key_of(place: u8) -> String {
    format!("w{place}")
}

/// How many waitpoints a drawn suspension has, and what it waits for.
fn condition(draw: u8) -> (u8, ResumeCondition) {
    let go = || SignalMatcher::ByName("go".to_owned());
    let single = |matcher| ResumeCondition::Single { waitpoint_key: key_of(0), matcher };
    let count = |kind, matcher, places: u8| {
        let keys = (0..places).map(key_of);
        (places, ResumeCondition::Composite(CompositeBody::count(2, kind, matcher, keys)))
    };
    match draw % SHAPES {
        0 => (1, single(SignalMatcher::Wildcard)),
        1 => (1, single(go())),
        2 => (2, ResumeCondition::all_of_waitpoints([key_of(0), key_of(1)])),
        3 => count(CountKind::DistinctSignals, None, 1),
        4 => count(CountKind::DistinctWaitpoints, None, 3),
        _ => count(CountKind::DistinctSources, Some(go()), 1),
    }
}

/// Whether these signals are enough.
fn holds(draw: u8, got: &[Got]) -> bool {
    let places: BTreeSet<u8> = got.iter().map(|got| got.place).collect();
    let sources: BTreeSet<u8> = got.iter().filter(|got| got.is_go).map(|got| got.source).collect();
    match draw % SHAPES {
        0 => !got.is_empty(),
        1 => got.iter().any(|got| got.is_go),
        2 | 4 => places.len() >= 2,
        3 => got.len() >= 2,
        _ => sources.len() >= 2,
    }
}

const BEHAVIOURS: [(TimeoutBehavior, &str); 5] = [
    (TimeoutBehavior::Fail, "Failed"),
    (TimeoutBehavior::Cancel, "Cancelled"),
    (TimeoutBehavior::Expire, "Expired"),
    (TimeoutBehavior::AutoResumeWithTimeoutSignal, "resumed"),
    (TimeoutBehavior::Escalate, "escalated"),
];

/// The place of automatic resumption among the behaviours.
const AUTO_RESUME: usize = 3;

// ---- The person ----

/// Answers what waits: late, twice, early, with wrong tokens; turns the keys.
#[derive(Debug)]
pub(crate) struct Person {
    every_ms: u64,
    next_ms: u64,
    numbered: u32,
    last: Option<Sent>,
}

impl Person {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self { every_ms: dice.pick(&[6_000, 12_000, 30_000]), next_ms: 0, numbered: 0, last: None }
    }

    fn draw(&mut self, scene: &mut Scene<'_>) -> Option<Call> {
        let newest = scene.board.len() as u64;
        let dice = &mut *scene.dice;
        let back = if dice.chance(80) { newest.min(5) } else { newest };
        let somewhere = |dice: &mut Dice| {
            let at = newest.checked_sub(1 + dice.below(back))?;
            scene.board.get(usize::try_from(at).unwrap_or(0)).copied()
        };
        let (wait, other) = (somewhere(dice)?, somewhere(dice)?);
        self.numbered += 1;
        let id = self.numbered;
        let is_go = dice.chance(70);
        let source = dice.pick(&[0, 1, 2]);
        let key = dice.chance(50).then_some(id);
        let mut sent = Sent { wait, id, key, is_go, source };
        if let Some(last) = self.last {
            match dice.below(100) {
                // The same once more, under its key or under its id.
                0..=9 if last.key.is_some() => sent = Sent { id, ..last },
                10..=17 => sent = last,
                _ => {}
            }
        }
        Some(Call::Wait(match dice.below(100) {
            0..=6 => Ask::Signal { sent, shows: Shows::Forged },
            7..=13 if other != sent.wait => Ask::Signal { sent, shows: Shows::Of(other) },
            14..=22 => Ask::Approve { wait, suffix: id },
            23..=27 => Ask::Rotate { kid: id, grace_ms: dice.pick(&[0, 20_000, 300_000]) },
            28..=32 => Ask::Resume(scene.somebody(3)),
            _ => {
                self.last = Some(sent);
                Ask::Signal { sent, shows: Shows::Own }
            }
        }))
    }
}

impl Actor for Person {
    fn name(&self) -> &str {
        "person"
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        if scene.is_healed {
            return Next::Rest;
        }
        if scene.now_ms < self.next_ms {
            return Next::SleepMs(self.next_ms - scene.now_ms);
        }
        self.next_ms = scene.now_ms + self.every_ms / 2 + scene.dice.below(self.every_ms);
        self.draw(scene).map_or(Next::SleepMs(self.every_ms), Next::Ask)
    }

    fn told(&mut self, _: &Call, _: &Answer, _: &mut Scene<'_>) {}

    fn unheard(&mut self, _: &Call) {}

    fn crash(&mut self) {}
}

// ---- What is known ----

#[derive(Debug, Clone)]
struct Waitpoint {
    execution: ExecutionId,
    id: WaitpointId,
    token: WaitpointToken,
}

/// A signal that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    id: SignalId,
    place: u8,
    is_go: bool,
    source: u8,
}

/// A suspension that nothing has ended yet, as far as is known.
#[derive(Debug, Clone)]
struct Open {
    grip: Grip,
    draw: u8,
    timeout: Option<(TimestampMs, usize)>,
    got: Vec<Got>,
    is_resumed: bool,
}

impl Open {
    fn timed_out(&self, now: TimestampMs, behaviour: usize) -> bool {
        self.timeout.is_some_and(|(at, does)| at <= now && does == behaviour)
    }
}

/// What is known of everything that waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    waits: BTreeMap<Wait, Waitpoint>,
    open: BTreeMap<ExecutionId, Open>,
    /// Suspensions that an acquisition ended in this step.
    taken: Vec<(ExecutionId, Open)>,
    /// Executions that have ever been suspended.
    suspended: BTreeSet<ExecutionId>,
    buffered: BTreeMap<Wait, Vec<Got>>,
    ids: BTreeSet<(Wait, SignalId)>,
    keys: BTreeMap<(Wait, u32), TimestampMs>,
    asked: BTreeSet<Call>,
    /// Until when each key verifies, once it is not the newest any more.
    retired: BTreeMap<String, TimestampMs>,
    newest_kid: Option<String>,
}

fn signal_id(seed: u64, id: u32) -> SignalId {
    SignalId::from_uuid(Uuid::from_u128((u128::from(seed) << 64) | 0x5160_0000 | u128::from(id)))
}

fn drawn(seed: u64, what: u8, wait: Wait) -> Uuid {
    let of_lease = (u128::from(wait.grip.operation) << 24) | (u128::from(wait.grip.nth) << 16);
    let of_wait = (u128::from(wait.draw) << 8) | u128::from(wait.place);
    Uuid::from_u128((u128::from(seed) << 80) | (u128::from(what) << 72) | of_lease | of_wait)
}

impl Waiting {
    /// Whether the execution waits for a signal, a person or its timeout.
    fn is_suspended(&self, id: &ExecutionId) -> bool {
        self.open.get(id).is_some_and(|open| !open.is_resumed)
    }

    fn is_valid(&self, token: &WaitpointToken, now: TimestampMs) -> bool {
        let kid = token.as_str().split(':').next().unwrap_or_default();
        self.retired.get(kid).is_none_or(|until| now < *until)
    }

    /// Notes what was announced: nothing that waits begins (I15).
    pub(crate) fn announced(&mut self, news: &News) -> Result<(), Finding> {
        self.taken.clear();
        for (_, event) in &news.lease_events {
            let id = &event.execution_id;
            match event.kind {
                LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => {}
                LeaseEventKind::Renewed | LeaseEventKind::Expired | LeaseEventKind::Revoked => {
                    continue;
                }
            }
            let Some(open) = self.open.remove(id) else { continue };
            if !open.is_resumed && !open.timed_out(event.at, AUTO_RESUME) {
                let detail = format!("epoch {} begins while it waits: {open:?}", event.epoch);
                return Err(found("I15", Some(id), detail));
            }
            self.taken.push((id.clone(), open));
        }
        Ok(())
    }
}

impl Stage {
    /// Executions that wait for a signal, a person or their timeout.
    pub(crate) fn suspended(&self) -> Vec<Number> {
        let waiting = self.waiting.open.keys().filter(|id| self.waiting.is_suspended(id));
        waiting.filter_map(|id| self.number_of_id(id)).collect()
    }

    /// One call about signals and keys.
    pub(crate) fn ask_wait(&mut self, now: TimestampMs, ask: &Ask) -> Result<Answer, Finding> {
        match ask {
            Ask::Signal { sent, shows } => {
                let token = match shows {
                    Shows::Own | Shows::Forged => self.waiting.waits.get(&sent.wait),
                    Shows::Of(other) => self.waiting.waits.get(other),
                };
                let mut token = token.map(|other| other.token.clone());
                if let (Shows::Forged, Some(own)) = (shows, &token) {
                    let (kid, _) = own.as_str().split_once(':').unwrap_or_default();
                    token = Some(WaitpointToken::new(format!("{kid}:{}", "0a".repeat(32))));
                }
                let own = self.waiting.waits.get(&sent.wait);
                let (Some(own), Some(waitpoint_token)) = (own, token) else {
                    return Ok(Answer {
                        word: "(no such waitpoint)".to_owned(),
                        ..Answer::default()
                    });
                };
                let args = DeliverSignalArgs {
                    execution_id: own.execution.clone(),
                    waitpoint_id: own.id.clone(),
                    signal_id: signal_id(self.seed(), sent.id),
                    signal_name: if sent.is_go { "go" } else { "hm" }.to_owned(),
                    signal_category: "sim".to_owned(),
                    source_type: "person".to_owned(),
                    source_identity: format!("person-{}", sent.source),
                    payload: Some(sent.id.to_le_bytes().to_vec()),
                    payload_encoding: None,
                    correlation_id: None,
                    idempotency_key: sent.key.map(|key| format!("key-{key}")),
                    target_scope: String::new(),
                    created_at: None,
                    dedup_ttl_ms: Some(REMEMBERED_MS.unsigned_abs()),
                    resume_delay_ms: None,
                    max_signals_per_execution: None,
                    signal_maxlen: None,
                    waitpoint_token,
                    now,
                };
                let said = at_once(self.backend().deliver_signal(args));
                answered(&said, &word_of(said.as_ref().ok()))
            }
            Ask::Approve { wait, suffix } => {
                let Some(own) = self.waiting.waits.get(wait).cloned() else {
                    return Ok(Answer {
                        word: "(no such waitpoint)".to_owned(),
                        ..Answer::default()
                    });
                };
                let lane = self.number_of_id(&own.execution).map(|n| self.plan(n).lane.clone());
                let args = DeliverApprovalSignalArgs::new(
                    own.execution,
                    lane.unwrap_or_else(|| ff_core::types::LaneId::new("")),
                    own.id,
                    "go",
                    suffix.to_string(),
                    REMEMBERED_MS.unsigned_abs(),
                    None,
                    None,
                );
                let said = at_once(self.backend().deliver_approval_signal(args));
                answered(&said, &word_of(said.as_ref().ok()))
            }
            Ask::Rotate { kid, grace_ms } => {
                let args = RotateWaitpointHmacSecretAllArgs::new(
                    format!("kid-{kid}"),
                    format!("{kid:064x}"),
                    u64::from(*grace_ms),
                );
                let said = at_once(self.backend().rotate_waitpoint_hmac_secret_all(args));
                let entry = said.as_ref().ok().and_then(|all| all.entries.first());
                let word = match entry.map(|entry| &entry.result) {
                    Some(Ok(RotateWaitpointHmacSecretOutcome::Rotated { .. })) => "Rotated",
                    Some(Ok(RotateWaitpointHmacSecretOutcome::Noop { .. })) => "Noop",
                    Some(Err(_)) => "Refused",
                    _ => "ok",
                };
                answered(&said, word)
            }
            Ask::Resume(number) => {
                let id = self.plan(*number).id.clone();
                let args = ResumeExecutionArgs {
                    execution_id: id,
                    trigger_type: "operator".to_owned(),
                    resume_delay_ms: 0,
                };
                answered(&at_once(self.backend().resume_execution(args)), "Resumed")
            }
        }
    }

    /// A holder makes a waitpoint ahead of its suspension.
    pub(crate) fn open_waitpoint(
        &mut self,
        handle: &ff_core::backend::Handle,
        payload: &HandlePayload,
        (grip, draw): (Grip, u8),
    ) -> Result<Answer, Finding> {
        let key = key_of(0);
        let expires_in = Duration::from_secs(600);
        let said = at_once(self.backend().create_waitpoint(handle, &key, expires_in));
        let mut answer = answered(&said, "ok")?;
        if let Ok(made) = said {
            let wait = Wait { grip, draw, place: 0 };
            answer.waits.push(wait);
            self.waiting.waits.entry(wait).or_insert_with(|| Waitpoint {
                execution: payload.execution_id.clone(),
                id: made.waitpoint_id,
                token: made.hmac_token.token().clone(),
            });
        }
        Ok(answer)
    }

    /// A holder suspends.
    pub(crate) fn suspend(
        &mut self,
        handle: &ff_core::backend::Handle,
        payload: &HandlePayload,
        (grip, deed, now): (Grip, Deed, TimestampMs),
    ) -> Result<Answer, Finding> {
        let Deed::Suspend { draw, timeout, adopts } = deed else {
            unreachable!("the caller sends suspends here")
        };
        let (places, wanted) = condition(draw);
        let wait = |place| Wait { grip, draw, place };
        let mut waitpoints: Vec<WaitpointBinding> = (0..places)
            .map(|place| WaitpointBinding::Fresh {
                waitpoint_id: WaitpointId::from_uuid(drawn(self.seed(), 1, wait(place))),
                waitpoint_key: key_of(place),
            })
            .collect();
        if adopts {
            let Some(pending) = self.waiting.waits.get(&wait(0)) else {
                return Ok(Answer { word: "(no such waitpoint)".to_owned(), ..Answer::default() });
            };
            waitpoints[0] = WaitpointBinding::UsePending { waitpoint_id: pending.id.clone() };
        }
        let mut args = SuspendArgs::new(
            SuspensionId::from_uuid(drawn(self.seed(), 2, wait(0))),
            waitpoints[0].clone(),
            wanted,
            ResumePolicy::normal(),
            SuspensionReasonCode::WaitingForApproval,
            now,
        )
        .with_waitpoints(waitpoints)
        .with_idempotency_key(IdempotencyKey::new(format!("{grip:?}-{draw}")));
        if let Some((at, does)) = timeout {
            args = args.with_timeout(at, BEHAVIOURS[usize::from(does)].0);
        }
        let said = at_once(self.backend().suspend(handle, args));
        let word = match &said {
            Ok(SuspendOutcome::AlreadySatisfied { .. }) => "AlreadySatisfied",
            Ok(_) | Err(_) => "Suspended",
        };
        let mut answer = answered(&said, word)?;
        if let Ok(outcome) = &said {
            let details = outcome.details();
            let execution = &payload.execution_id;
            let mut keep = |place, id: &WaitpointId, token: &WaitpointToken| {
                answer.waits.push(wait(place));
                self.waiting.waits.entry(wait(place)).or_insert_with(|| Waitpoint {
                    execution: execution.clone(),
                    id: id.clone(),
                    token: token.clone(),
                });
            };
            keep(0, &details.waitpoint_id, details.waitpoint_token.token());
            for (place, more) in (1..).zip(&details.additional_waitpoints) {
                keep(place, &more.waitpoint_id, more.waitpoint_token.token());
            }
        }
        Ok(answer)
    }

    /// What an answer says of waiting, held against what is known.
    pub(crate) fn check_waiting(
        &mut self,
        operation: &Operation,
        answer: &Answer,
        ended: &[ExecutionId],
    ) -> Result<(), Finding> {
        let now = self.now();
        match &operation.call {
            Call::Hold { grip, deed: Deed::Suspend { draw, timeout, .. }, .. }
                if answer.is_ok && self.waiting.asked.insert(operation.call.clone()) =>
            {
                self.note_suspend(*grip, *draw, *timeout, answer)?;
            }
            Call::Wait(Ask::Signal { sent, shows }) => {
                self.note_signal(sent, *shows, answer, now)?;
            }
            Call::Wait(Ask::Approve { wait, suffix }) => {
                self.note_approval(*wait, *suffix, answer)?;
            }
            Call::Wait(Ask::Rotate { kid, grace_ms }) if answer.word == "Rotated" => {
                let kid = format!("kid-{kid}");
                let until = TimestampMs(now.0 + i64::from(*grace_ms));
                let waiting = &mut self.waiting;
                match waiting.newest_kid.replace(kid.clone()) {
                    Some(before) => {
                        waiting.retired.insert(before, until);
                    }
                    // The first key has a name of the engine's own.
                    None => {
                        for own in waiting.waits.values() {
                            let before = own.token.as_str().split(':').next().unwrap_or_default();
                            waiting.retired.insert(before.to_owned(), until);
                        }
                    }
                }
                waiting.retired.remove(&kid);
            }
            Call::Wait(Ask::Resume(number)) => {
                let id = self.plan(*number).id.clone();
                let has_deadline = self.ledger.has_deadline(&id);
                match self.waiting.open.get_mut(&id) {
                    Some(open) if answer.is_ok => open.is_resumed = true,
                    Some(open) if !open.is_resumed && open.timeout.is_none() && !has_deadline => {
                        let detail = format!("waits, but its resume was refused: {answer}");
                        return Err(found("I15", Some(&id), detail));
                    }
                    None if answer.is_ok => {
                        return Err(found("I15", Some(&id), "resumed without a wait".to_owned()));
                    }
                    Some(_) | None => {}
                }
            }
            _ => {}
        }
        self.check_resumed(answer)?;
        ended.iter().try_for_each(|id| self.check_ended(id, now))
    }

    fn note_suspend(
        &mut self,
        grip: Grip,
        draw: u8,
        timeout: Option<(TimestampMs, u8)>,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let Some(id) = self.execution_of(grip) else { return Ok(()) };
        let first = Wait { grip, draw, place: 0 };
        let got = self.waiting.buffered.get(&first).cloned().unwrap_or_default();
        let is_enough = holds(draw, &got);
        if is_enough != (answer.word == "AlreadySatisfied") {
            let detail = format!("{} with {got:?} buffered", answer.word);
            return Err(found("I13", Some(&id), detail));
        }
        if !is_enough {
            let timeout = timeout.map(|(at, does)| (at, usize::from(does)));
            let open = Open { grip, draw, timeout, got, is_resumed: false };
            self.waiting.open.insert(id.clone(), open);
            self.waiting.suspended.insert(id);
        }
        Ok(())
    }

    /// I12 to I14: who may signal, and that each signal counts once.
    fn note_signal(
        &mut self,
        sent: &Sent,
        shows: Shows,
        answer: &Answer,
        now: TimestampMs,
    ) -> Result<(), Finding> {
        let Some(own) = self.waiting.waits.get(&sent.wait).cloned() else { return Ok(()) };
        let id = &own.execution;
        let is_valid = shows == Shows::Own && self.waiting.is_valid(&own.token, now);
        if answer.is_ok && !is_valid {
            return Err(found("I14", Some(id), format!("{shows:?} passed: {answer}")));
        }
        if is_valid && answer.word.contains("InvalidToken") {
            return Err(found("I14", Some(id), "its token was refused".to_owned()));
        }
        let signal = signal_id(self.seed(), sent.id);
        let waiting = &mut self.waiting;
        let remembered = sent.key.and_then(|key| waiting.keys.get(&(sent.wait, key))).copied();
        let is_known = waiting.ids.contains(&(sent.wait, signal.clone()))
            || remembered.is_some_and(|at| now.0 < at.0 + REMEMBERED_MS);
        let may_be_known = is_known || remembered.is_some();
        match answer.word.as_str() {
            "Duplicate" if !may_be_known => {
                Err(found("I13", Some(id), format!("{sent:?} is told a duplicate")))
            }
            "Duplicate" => Ok(()),
            _ if answer.is_ok && is_known => {
                Err(found("I13", Some(id), format!("{sent:?} is counted twice: {answer}")))
            }
            _ if answer.is_ok => {
                waiting.ids.insert((sent.wait, signal.clone()));
                if let Some(key) = sent.key {
                    waiting.keys.insert((sent.wait, key), now);
                }
                let Sent { wait, is_go, source, .. } = *sent;
                let got = Got { id: signal, place: wait.place, is_go, source };
                self.accepted_signal(id, wait, got, answer)
            }
            _ => {
                let has_deadline = self.ledger.has_deadline(id);
                let is_open = waiting.open.get(id).is_some_and(|open| {
                    !has_deadline
                        && (open.grip, open.draw) == (sent.wait.grip, sent.wait.draw)
                        && !open.is_resumed
                        && open.timeout.is_none()
                });
                if is_open && is_valid {
                    return Err(found("I13", Some(id), format!("{sent:?} is refused: {answer}")));
                }
                Ok(())
            }
        }
    }

    fn note_approval(&mut self, wait: Wait, suffix: u32, answer: &Answer) -> Result<(), Finding> {
        let Some(own) = self.waiting.waits.get(&wait).cloned() else { return Ok(()) };
        // The engine draws the id of an approval; its suffix stands for it here.
        let id = SignalId::from_uuid(Uuid::from_u128(u128::from(suffix)));
        if !answer.is_ok || answer.word == "Duplicate" {
            return Ok(());
        }
        // A word of its own, beside the keys of other signals.
        let (key, now) = ((wait, suffix | 1 << 31), self.now());
        let before = self.waiting.keys.insert(key, now);
        if before.is_some_and(|at| now.0 < at.0 + REMEMBERED_MS) {
            let detail = format!("approval {suffix} is counted twice");
            return Err(found("I13", Some(&own.execution), detail));
        }
        let got = Got { id, place: wait.place, is_go: true, source: u8::MAX };
        self.accepted_signal(&own.execution, wait, got, answer)
    }

    fn accepted_signal(
        &mut self,
        id: &ExecutionId,
        wait: Wait,
        got: Got,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let waiting = &mut self.waiting;
        if answer.word == "buffered_for_pending_waitpoint" {
            waiting.buffered.entry(wait).or_default().push(got);
            return Ok(());
        }
        let open = waiting
            .open
            .get_mut(id)
            .filter(|open| (open.grip, open.draw) == (wait.grip, wait.draw) && !open.is_resumed);
        let Some(open) = open else {
            let detail = format!("{wait:?} took a signal behind its end: {answer}");
            return Err(found("I12", Some(id), detail));
        };
        open.got.push(got);
        open.is_resumed = answer.word == "resume_condition_satisfied";
        if open.is_resumed != holds(open.draw, &open.got) {
            let detail = format!("{answer} with {:?}", open.got);
            return Err(found("I13", Some(id), detail));
        }
        Ok(())
    }

    /// I15: who resumes sees every signal that was accepted, once.
    fn check_resumed(&mut self, answer: &Answer) -> Result<(), Finding> {
        for (id, open) in std::mem::take(&mut self.waiting.taken) {
            let held = answer
                .held
                .iter()
                .find(|held| self.id_of(held.number).is_some_and(|own| own == id));
            let Some(handle) = held.and_then(|held| self.handle_of(held.grip)) else { continue };
            let seen = at_once(self.backend().observe_signals(&handle));
            let seen = seen.map_err(|error| broken(&error))?;
            let (timeouts, signals): (Vec<_>, Vec<_>) =
                seen.iter().partition(|signal| signal.signal_name == "__timeout__");
            // The id of an approval is not known; how many there are is.
            let (approvals, shown): (Vec<_>, Vec<_>) =
                signals.into_iter().partition(|signal| signal.signal_category == "approval");
            let mut shown: Vec<&SignalId> = shown.iter().map(|signal| &signal.signal_id).collect();
            let (own_approvals, own): (Vec<&Got>, Vec<&Got>) =
                open.got.iter().partition(|got| got.source == u8::MAX);
            let mut own: Vec<&SignalId> = own.iter().map(|got| &got.id).collect();
            shown.sort();
            own.sort();
            let is_whole = shown == own
                && approvals.len() == own_approvals.len()
                && timeouts.len() == usize::from(!open.is_resumed);
            if !is_whole {
                let detail = format!("resumed with {seen:?}, accepted {:?}", open.got);
                return Err(found("I15", Some(&id), detail));
            }
        }
        Ok(())
    }

    /// I12 and I24: a suspension times out at its instant, if nothing has ended it before.
    fn check_ended(&mut self, id: &ExecutionId, now: TimestampMs) -> Result<(), Finding> {
        if !self.waiting.suspended.contains(id) {
            return Ok(());
        }
        let open = self.waiting.open.remove(id);
        let moves = at_once(self.backend().list_transitions(id, None, 10_000));
        let moves = moves.map_err(|error| broken(&error))?;
        // A replay in the same step may stand behind the end.
        let end = moves.iter().rev().find(|own| own.cause != "replayed");
        let Some(end) = end.filter(|end| end.cause == "suspension_timed_out") else {
            let is_waiting = open.as_ref().is_some_and(|open| !open.is_resumed);
            let worked = end.is_some_and(|end| end.to_state.to_string() == "completed");
            return if is_waiting && worked {
                Err(found("I15", Some(id), "completed while it waited".to_owned()))
            } else {
                Ok(())
            };
        };
        let shown = format!("{:?}", end.to_state);
        let is_due = open.as_ref().is_some_and(|open| {
            let is_so = |(at, does): (TimestampMs, usize)| at <= now && BEHAVIOURS[does].1 == shown;
            !open.is_resumed && open.timeout.is_some_and(is_so)
        });
        if is_due {
            return Ok(());
        }
        Err(found("I12", Some(id), format!("timed out as {shown} at {now}, known: {open:?}")))
    }
}

fn word_of(said: Option<&DeliverSignalResult>) -> String {
    match said {
        Some(DeliverSignalResult::Accepted { effect, .. }) => effect.clone(),
        Some(DeliverSignalResult::Duplicate { .. }) => "Duplicate".to_owned(),
        None => String::new(),
    }
}
