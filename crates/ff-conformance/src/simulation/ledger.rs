//! What must be true after every step, kept from the events alone.
//!
//! The simulator performs one call at a time, so it knows more than a judge of histories: which
//! lease was live at the very moment of a call, and what that call announced. The ledger derives
//! leases, runs and ends from the announced events and holds every answer against them.

use std::collections::{BTreeMap, BTreeSet};

use ff_core::machine::rows::{Attempt, Execution};
use ff_core::machine::transition::{CompletionEvent, LeaseEvent, LeaseEventKind};
use ff_core::types::{ExecutionId, TimestampMs};

use super::call::{Answer, Call, Deed, Number, Operation};
use super::flow::{Ask, graph, member};
use super::streams::Frames;
use crate::invariants::{Delivered, Finding};
use crate::probe::{Cursors, News};

/// An execution as the events show it.
#[derive(Debug, Clone, Default)]
struct Known {
    epoch: u64,
    live: Option<u64>,
    /// Until when the live lease was promised.
    expires_at: Option<TimestampMs>,
    is_ended: bool,
    replays: u32,
    /// No claim before this instant.
    not_before: Option<TimestampMs>,
    has_deadline: bool,
}

/// One call, its answer and what is known around it.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) answer: &'a Answer,
    pub(crate) execution: Option<ExecutionId>,
    /// The epoch that a holder showed.
    pub(crate) shown_epoch: Option<u64>,
    /// And the attempt it is of.
    pub(crate) attempt: u32,
    /// Whether a deadline or a timeout may have ended the lease unannounced: a refusal writes
    /// nothing.
    pub(crate) may_end_by_itself: bool,
    /// Whether its flow was cancelled.
    pub(crate) is_of_cancelled_flow: bool,
    pub(crate) now: TimestampMs,
}

/// What the events say.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seed: u64,
    pub(crate) cursors: Cursors,
    now: TimestampMs,
    known: BTreeMap<ExecutionId, Known>,
    leases: Vec<Delivered>,
    completions: Vec<Delivered>,
    ended_runs: BTreeSet<(ExecutionId, u32)>,
    /// Accepted ends of attempts, to be answered alike when they are asked again, with the number
    /// of replays before them.
    ends: BTreeMap<Call, (Answer, u32)>,
    /// Frames accepted, by attempt.
    frames: BTreeMap<(ExecutionId, u32), Frames>,
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Every lease event so far, as a subscriber is told it.
    pub(crate) fn leases_told(&self) -> &[Delivered] {
        &self.leases
    }

    /// Every completion so far, as a subscriber is told it.
    pub(crate) fn completions_told(&self) -> &[Delivered] {
        &self.completions
    }

    /// What each attempt's stream has accepted.
    pub(crate) fn frames(&self) -> &BTreeMap<(ExecutionId, u32), Frames> {
        &self.frames
    }

    /// The newest epoch of an execution, 0 before its first lease.
    pub(crate) fn epoch(&self, id: &ExecutionId) -> u64 {
        self.known.get(id).map_or(0, |known| known.epoch)
    }

    pub(crate) fn has_deadline(&self, id: &ExecutionId) -> bool {
        self.known.get(id).is_some_and(|known| known.has_deadline)
    }

    /// Whether a lease is held, its promise included.
    pub(crate) fn is_live(&self, id: &ExecutionId, at: TimestampMs) -> bool {
        let live = self.known.get(id).and_then(|known| known.live);
        live.is_some_and(|epoch| !self.has_lapsed(id, epoch, at))
    }

    /// Whether the lease of an epoch is over by its promise.
    pub(crate) fn has_lapsed(&self, id: &ExecutionId, epoch: u64, at: TimestampMs) -> bool {
        self.known.get(id).is_some_and(|known| {
            known.live == Some(epoch) && known.expires_at.is_some_and(|until| until <= at)
        })
    }

    /// Executions that have not ended, and until when each of them waits for its time.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (&ExecutionId, Option<TimestampMs>)> {
        self.known.iter().filter(|(_, known)| !known.is_ended).map(|(id, known)| {
            let waits = known.not_before.filter(|until| *until > self.now);
            (id, waits)
        })
    }

    /// Notes what a call announced and answered; the first contradiction is the error.
    pub(crate) fn note(
        &mut self,
        step: &Step<'_>,
        news: News,
        ids: impl Fn(Number) -> Option<ExecutionId>,
    ) -> Result<(), Finding> {
        if step.now < self.now {
            return Err(found("I26", None, format!("engine time {} after {}", step.now, self.now)));
        }
        self.now = step.now;
        let is_silent = news.lease_events.is_empty() && news.completions.is_empty();
        if !step.answer.is_ok && !is_silent {
            let detail = format!("a refusal announced {news:?}");
            return Err(found("I5", step.execution.as_ref(), detail));
        }
        let settles = match &step.operation.call {
            Call::Claim { .. } => step.answer.is_ok && step.answer.held.is_empty(),
            Call::Sweep => step.answer.word == "done",
            _ => false,
        };
        let sweeps = settles && step.operation.call == Call::Sweep;
        for (what, due, settles) in [
            ("an execution", news.next_due, settles),
            ("a reset", news.next_reset, sweeps),
            ("a worker", news.next_worker_lapse, sweeps),
        ] {
            if let Some(due) = due.filter(|due| settles && *due <= step.now) {
                let name = step.operation.call.name();
                let detail = format!("{what} due at {due}, passed over by a {name}");
                return Err(found("I25", None, detail));
            }
        }
        let before = step.execution.as_ref().and_then(|id| self.known.get(id)).cloned();
        for (id, event) in news.lease_events {
            self.lease_event(id, &event)?;
        }
        let replayed = step.execution.as_ref().filter(|_| {
            matches!(step.operation.call, Call::Replay(_)) && step.answer.word == "Replayed"
        });
        let mut is_due = replayed.is_some();
        for (id, event) in news.completions {
            // A replayed run may end in the same step: its edges are decided already.
            let ends_anew = replayed == Some(&event.execution_id)
                && self
                    .known
                    .get(&event.execution_id)
                    .is_some_and(|known| known.is_ended && event.run == known.replays + 1);
            if ends_anew && is_due {
                self.replayed(&event.execution_id)?;
                is_due = false;
            }
            self.completion(id, &event)?;
        }
        if let Some(id) = replayed.filter(|_| is_due) {
            self.replayed(id)?;
        }
        self.birth(step, &ids);
        self.claims(step, &ids)?;
        if let Some(before) = before {
            self.holder(step, &before, is_silent)?;
            self.operator(step)?;
        }
        Ok(())
    }

    fn lease_event(&mut self, number: i64, event: &LeaseEvent) -> Result<(), Finding> {
        let id = &event.execution_id;
        if number <= self.cursors.lease || self.leases.last().is_some_and(|last| event.at < last.2)
        {
            let detail = format!("lease event {number} at {} goes back", event.at);
            return Err(found("I26", Some(id), detail));
        }
        self.cursors.lease = number;
        self.leases.push((number, id.clone(), event.at));
        let (epoch, at) = (event.epoch.0, event.at);
        let known = self.known.entry(id.clone()).or_default();
        match event.kind {
            LeaseEventKind::Acquired | LeaseEventKind::Reclaimed => {
                if let Some(live) = known.live {
                    let detail = format!("epoch {epoch} begins while {live} is live");
                    return Err(found("I3", Some(id), detail));
                }
                if epoch <= known.epoch {
                    let detail = format!("epoch {epoch} begins after {}", known.epoch);
                    return Err(found("I4", Some(id), detail));
                }
                if known.is_ended {
                    return Err(found(
                        "I9",
                        Some(id),
                        format!("epoch {epoch} begins after the end"),
                    ));
                }
                if let Some(until) = known.not_before.filter(|until| at < *until) {
                    let detail = format!("epoch {epoch} begins at {at}, not due before {until}");
                    return Err(found("I24", Some(id), detail));
                }
                known.epoch = epoch;
                (known.live, known.expires_at, known.not_before) = (Some(epoch), None, None);
            }
            LeaseEventKind::Renewed => {
                if known.live != Some(epoch) {
                    let detail = format!("epoch {epoch} renewed, live is {:?}", known.live);
                    return Err(found("I3", Some(id), detail));
                }
            }
            LeaseEventKind::Expired | LeaseEventKind::Revoked => {
                if known.live != Some(epoch) {
                    let detail = format!("epoch {epoch} ends, live is {:?}", known.live);
                    return Err(found("I3", Some(id), detail));
                }
                let promised = known.expires_at.filter(|until| at < *until);
                if let (LeaseEventKind::Expired, Some(until)) = (event.kind, promised) {
                    let detail = format!("epoch {epoch} lapsed at {at}, promised until {until}");
                    return Err(found("I24", Some(id), detail));
                }
                (known.live, known.expires_at) = (None, None);
            }
        }
        Ok(())
    }

    fn completion(&mut self, number: i64, event: &CompletionEvent) -> Result<(), Finding> {
        let id = &event.execution_id;
        if number <= self.cursors.completion
            || self.completions.last().is_some_and(|last| event.at < last.2)
        {
            let detail = format!("completion event {number} at {} goes back", event.at);
            return Err(found("I26", Some(id), detail));
        }
        self.cursors.completion = number;
        self.completions.push((number, id.clone(), event.at));
        let known = self.known.entry(id.clone()).or_default();
        if known.is_ended || event.run != known.replays {
            let detail = format!(
                "run {} ended as {:?}; replays {}, ended before: {}",
                event.run, event.outcome, known.replays, known.is_ended
            );
            return Err(found("I2", Some(id), detail));
        }
        if !self.ended_runs.insert((id.clone(), event.run)) {
            return Err(found("I6", Some(id), format!("run {} was announced twice", event.run)));
        }
        if let Some(live) = known.live {
            return Err(found("I3", Some(id), format!("ended, but epoch {live} is live")));
        }
        known.is_ended = true;
        known.not_before = None;
        Ok(())
    }

    fn birth(&mut self, step: &Step<'_>, ids: &impl Fn(Number) -> Option<ExecutionId>) {
        if let (Call::Flow(flow, Ask::Submit), true) = (&step.operation.call, step.answer.is_ok) {
            for id in
                (0..graph(self.seed, *flow).size).filter_map(|place| ids(member(*flow, place)))
            {
                self.known.entry(id).or_default();
            }
        }
        let Call::Create(births) = &step.operation.call else { return };
        for birth in births.iter().filter(|_| step.answer.is_ok) {
            let Some(id) = ids(birth.number) else { continue };
            self.known.entry(id).or_insert_with(|| Known {
                not_before: birth.delay_until,
                has_deadline: birth.deadline_at.is_some(),
                ..Known::default()
            });
        }
    }

    /// I4 and I5: what a claim was given is the lease that began.
    fn claims(
        &mut self,
        step: &Step<'_>,
        ids: &impl Fn(Number) -> Option<ExecutionId>,
    ) -> Result<(), Finding> {
        for held in &step.answer.held {
            let Some(id) = ids(held.number) else {
                return Err(found("I1", None, format!("{held:?} is of an unknown execution")));
            };
            let known = self.known.entry(id.clone()).or_default();
            if known.live != Some(held.epoch) {
                let detail = format!("given epoch {}, live is {:?}", held.epoch, known.live);
                return Err(found("I3", Some(&id), detail));
            }
            known.expires_at = Some(held.expires_at);
        }
        Ok(())
    }

    fn holder(&mut self, step: &Step<'_>, before: &Known, is_silent: bool) -> Result<(), Finding> {
        let Call::Hold { deed, is_forged, .. } = &step.operation.call else { return Ok(()) };
        let (Some(id), Some(epoch)) = (&step.execution, step.shown_epoch) else { return Ok(()) };
        let is_live = !is_forged
            && before.live == Some(epoch)
            && before.expires_at.is_none_or(|until| step.now < until)
            && !before.is_ended;
        if let Some((told, replays)) = self.ends.get(&step.operation.call) {
            // Asked again, answered alike; a new run has no part in it.
            let is_parked = matches!(deed, Deed::Suspend { .. });
            // A suspension is remembered for a while only.
            let is_forgotten = is_parked && !step.answer.is_ok;
            if *replays == before.replays && told != step.answer && !is_forgotten {
                let detail =
                    format!("{deed:?} at epoch {epoch} was answered {told}, now {}", step.answer);
                return Err(found("I11", Some(id), detail));
            }
            return Ok(());
        }
        // Whoever ended it, the holder of a cancelled attempt is told so.
        let is_moot = *deed == Deed::Cancel && before.is_ended && is_silent;
        // A cancelled flow may end it in front of this very call.
        let is_moot = is_moot
            || (*deed == Deed::Cancel
                && step.is_of_cancelled_flow
                && !is_live
                && before.live == Some(epoch)
                && !is_forged);
        // A report that lost its answer is told so, even after its lease.
        let is_moot = is_moot || step.answer.word == "AlreadyApplied";
        if step.answer.is_ok && !is_live && !is_moot {
            let detail = format!(
                "{deed:?} passed at epoch {epoch}; live was {:?} until {:?}, ended: {}, now {}",
                before.live, before.expires_at, before.is_ended, step.now
            );
            return Err(found("I5", Some(id), detail));
        }
        if !step.answer.is_ok && is_live && !step.may_end_by_itself {
            let detail = format!("{deed:?} of the live holder was refused: {}", step.answer.word);
            return Err(found("I3", Some(id), detail));
        }
        if step.answer.is_ok && !is_moot {
            self.accepted(step, id, *deed, before)?;
        }
        Ok(())
    }

    fn accepted(
        &mut self,
        step: &Step<'_>,
        id: &ExecutionId,
        deed: Deed,
        before: &Known,
    ) -> Result<(), Finding> {
        let known = self.known.entry(id.clone()).or_default();
        let ends = match deed {
            Deed::Renew => {
                known.expires_at = step.answer.until;
                return Ok(());
            }
            Deed::Progress(_) | Deed::Report { .. } | Deed::OpenWaitpoint { .. } => return Ok(()),
            Deed::Suspend { .. } if step.answer.word == "AlreadySatisfied" => {
                let told = (step.answer.clone(), before.replays);
                self.ends.insert(step.operation.call.clone(), told);
                return Ok(());
            }
            Deed::Append { live_ttl_ms, .. } => {
                let frames = self.frames.entry((id.clone(), step.attempt)).or_default();
                let count = frames.accept(live_ttl_ms, step.now);
                if step.answer.frames != Some(count) {
                    let detail = format!("frame {count} was counted {:?}", step.answer.frames);
                    return Err(found("I28", Some(id), detail));
                }
                return Ok(());
            }
            Deed::Complete { .. } | Deed::Cancel => true,
            Deed::Fail { .. } => step.answer.word == "TerminalFailed",
            Deed::Delay { .. } | Deed::Release | Deed::WaitChildren | Deed::Suspend { .. } => false,
        };
        if known.live.is_some() || known.is_ended != ends {
            let detail = format!("{deed:?} left {known:?}");
            return Err(found("I6", Some(id), detail));
        }
        known.not_before = if ends { None } else { step.answer.until };
        if !matches!(deed, Deed::Delay { .. } | Deed::Release | Deed::WaitChildren) {
            let told = (step.answer.clone(), before.replays);
            self.ends.insert(step.operation.call.clone(), told);
        }
        Ok(())
    }

    /// A run begins again.
    fn replayed(&mut self, id: &ExecutionId) -> Result<(), Finding> {
        let known = self.known.entry(id.clone()).or_default();
        // What is due is settled in front: a run may end and begin again in one step.
        if !known.is_ended {
            return Err(found("I23", Some(id), "replayed while it ran".to_owned()));
        }
        known.is_ended = false;
        known.not_before = None;
        known.replays += 1;
        known.has_deadline = true;
        Ok(())
    }

    fn operator(&mut self, step: &Step<'_>) -> Result<(), Finding> {
        let (Some(id), true) = (&step.execution, step.answer.is_ok) else { return Ok(()) };
        let known = self.known.entry(id.clone()).or_default();
        match &step.operation.call {
            Call::CancelExecution(_) if !known.is_ended => {
                return Err(found("I9", Some(id), "cancelled, but not ended".to_owned()));
            }
            Call::Revoke(_) if known.live.is_some() => {
                return Err(found("I5", Some(id), "revoked, but its lease is live".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    /// The stored rows say what the events say.
    pub(crate) fn compare(&self, rows: &[(Execution, Option<Attempt>)]) -> Result<(), Finding> {
        let mut stored = BTreeSet::new();
        for (row, _) in rows {
            let id = &row.id;
            stored.insert(id);
            let Some(known) = self.known.get(id) else {
                return Err(found("I1", Some(id), "is stored, but nobody created it".to_owned()));
            };
            if known.live.is_some() != row.is_leased() {
                let detail =
                    format!("live lease {:?}, leased row: {}", known.live, row.is_leased());
                return Err(found("I3", Some(id), detail));
            }
            if known.epoch != row.epoch.0 {
                let detail = format!("epoch {} of events, {} of row", known.epoch, row.epoch);
                return Err(found("I4", Some(id), detail));
            }
            if known.is_ended != row.is_terminal() {
                let state = row.public_state();
                let detail = format!("ended by its events: {}, row: {state}", known.is_ended);
                return Err(found("I6", Some(id), detail));
            }
        }
        match self.known.keys().find(|id| !stored.contains(id)) {
            Some(id) => Err(found("I1", Some(id), "was acknowledged and is gone".to_owned())),
            None => Ok(()),
        }
    }
}

pub(crate) fn found(
    invariant: &'static str,
    execution: Option<&ExecutionId>,
    detail: String,
) -> Finding {
    Finding { invariant, execution: execution.cloned(), detail }
}
