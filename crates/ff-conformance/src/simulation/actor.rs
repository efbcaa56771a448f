//! Those who use the engine. Each is a state machine: woken, it asks one thing or sleeps; told the
//! answer, it notes it and is woken again.

use std::collections::BTreeSet;

use ff_core::types::TimestampMs;

use super::call::{Answer, Birth, Call, Deed, FITS_ALL, Grip, Held, LANES, Number};
use super::flow::member;
use super::money::is_budgeted;
use super::registry;
use super::waiting::{SHAPES, Wait};
use crate::dice::Dice;

/// What an actor sees of the world.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) now_ms: u64,
    pub(crate) engine_now: TimestampMs,
    pub(crate) dice: &'a mut Dice,
    pub(crate) seed: u64,
    /// Executions that a client has numbered so far.
    pub(crate) numbered: &'a mut Number,
    /// Waitpoints in the order in which they were made.
    pub(crate) board: &'a [Wait],
    /// Flows numbered so far.
    pub(crate) flows: &'a mut u32,
    /// The faults are over: finish what is open, begin nothing.
    pub(crate) is_healed: bool,
}

impl Scene<'_> {
    /// An execution among the newest `back`, or somewhere in a new flow.
    pub(crate) fn somebody(&mut self, back: u64) -> Number {
        if *self.flows > 0 && self.dice.chance(30) {
            let behind = u32::try_from(self.dice.below(2)).unwrap_or(0);
            let place = u32::try_from(self.dice.below(5)).unwrap_or(0);
            return member((*self.flows - 1).saturating_sub(behind), place);
        }
        let newest = u64::from(*self.numbered);
        let number = newest.saturating_sub(1 + self.dice.below(back));
        u32::try_from(number).unwrap_or(0)
    }
}

/// What an actor does next.
#[derive(Debug)]
pub(crate) enum Next {
    Ask(Call),
    SleepMs(u64),
    /// Nothing any more, until the world heals.
    Rest,
}

/// Somebody who uses the engine.
pub(crate) trait Actor: std::fmt::Debug {
    fn name(&self) -> &str;
    fn wake(&mut self, scene: &mut Scene<'_>) -> Next;
    fn told(&mut self, call: &Call, answer: &Answer, scene: &mut Scene<'_>);
    /// Nobody answered, however often it asked.
    fn unheard(&mut self, call: &Call);
    /// It forgets everything.
    fn crash(&mut self);
}

// ---- Workers ----

/// How a worker comes by its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By claims from the line.
    Line,
    /// By grants on executions it picks itself.
    Grants,
}

#[derive(Debug, Clone)]
struct Job {
    held: Held,
    renew_at_ms: u64,
    finish_at_ms: u64,
    /// What it does first of all.
    first: Option<Deed>,
    /// How it ends; `None` is a worker that never speaks of it again.
    ending: Option<Deed>,
    /// A lost job that the worker does not let go of.
    is_stubborn: bool,
}

/// Registers, claims, renews, reports and ends; holds stale leases after a pause.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    way: Way,
    offer: u8,
    lanes: Vec<u8>,
    ttl_ms: u32,
    batch: u32,
    poll_ms: u64,
    next_poll_ms: u64,
    jobs: Vec<Job>,
    /// The execution it got a grant on.
    granted: Option<(Number, bool)>,
    registers: Registers,
    results: u32,
    reports: u32,
}

/// How a worker keeps itself in the registry.
#[derive(Debug)]
struct Registers {
    worker: u8,
    ttl_ms: u32,
    /// A careless one beats more rarely than its TTL; `None` never announces itself.
    every_ms: Option<u64>,
    is_announced: bool,
    next_ms: u64,
}

impl Registers {
    fn new(worker: u8, dice: &mut Dice) -> Self {
        let ttl_ms = dice.pick(&[40_000, 180_000, 600_000]);
        let third = u64::from(ttl_ms) / 3;
        let every_ms = dice.pick(&[Some(third), Some(third), Some(4 * third), None]);
        Self { worker, ttl_ms, every_ms, is_announced: false, next_ms: 0 }
    }

    /// What it says next, and whether that is due.
    fn due(&self, offer: u8, lanes: &[u8], now_ms: u64) -> Option<registry::Ask> {
        self.every_ms.filter(|_| self.next_ms <= now_ms)?;
        let (worker, ttl_ms, lanes) = (self.worker, self.ttl_ms, lanes.to_vec());
        Some(if self.is_announced {
            registry::Ask::Heartbeat(worker)
        } else {
            registry::Ask::Register { worker, offer, lanes, ttl_ms }
        })
    }
}

/// After the faults a worker looks for work this often.
const POLL_HEALED_MS: u64 = 500;

/// Most leases that a worker holds at a time.
const JOBS_MAX: usize = 3;

impl Worker {
    /// The first worker of a fleet can run everything.
    pub(crate) fn new(index: usize, way: Way, dice: &mut Dice) -> Self {
        let all: Vec<u8> = (0..LANES.len()).filter_map(|lane| u8::try_from(lane).ok()).collect();
        let is_general = index == 0 || dice.chance(40);
        Self {
            name: registry::name_of(index),
            way,
            offer: if is_general { FITS_ALL } else { dice.pick(&[0, 1, 2]) },
            lanes: if is_general { all } else { vec![dice.pick(&[0, 1])] },
            ttl_ms: dice.pick(&[2_000, 6_000, 20_000]),
            batch: dice.pick(&[1, 1, 2, 3]),
            poll_ms: dice.pick(&[6_000, 15_000, 40_000]),
            next_poll_ms: 0,
            jobs: Vec::new(),
            granted: None,
            registers: Registers::new(u8::try_from(index).unwrap_or(u8::MAX), dice),
            results: 0,
            // The keys of two workers differ.
            reports: u32::try_from(index + 1).unwrap_or(0) * 1_000_000,
        }
    }

    fn take(&mut self, held: Held, scene: &mut Scene<'_>) {
        let dice = &mut *scene.dice;
        let work_ms: i64 =
            if scene.is_healed { 100 } else { dice.pick(&[50, 1_000, 8_000, 30_000]) };
        self.results += 1;
        let complete = Deed::Complete { result: self.results };
        let mut first = None;
        let ending = if scene.is_healed {
            Some(complete)
        } else {
            match dice.below(100) {
                0..=41 => Some(complete),
                42..=54 => {
                    let draw = u8::try_from(dice.below(u64::from(SHAPES))).unwrap_or(0);
                    let later_ms = dice.pick(&[None, Some(20_000), Some(90_000), Some(600_000)]);
                    let does = dice.pick(&[0, 1, 2, 3, 4]);
                    let timeout = later_ms
                        .map(|ms: i64| (TimestampMs(scene.engine_now.0 + work_ms + ms), does));
                    let adopts = dice.chance(40);
                    first = adopts.then_some(Deed::OpenWaitpoint { draw });
                    Some(Deed::Suspend { draw, timeout, adopts })
                }
                55..=59 => Some(Deed::WaitChildren),
                60..=76 => Some(Deed::Fail { is_permanent: dice.chance(15) }),
                77..=84 => {
                    let by_ms = dice.pick(&[500, 10_000, 120_000]);
                    Some(Deed::Delay { until: TimestampMs(scene.engine_now.0 + by_ms) })
                }
                85..=90 => Some(Deed::Release),
                91..=95 => Some(Deed::Cancel),
                _ => None,
            }
        };
        self.jobs.push(Job {
            held,
            renew_at_ms: scene.now_ms + u64::from(self.ttl_ms) / 3,
            finish_at_ms: scene.now_ms + work_ms.unsigned_abs(),
            first,
            ending,
            is_stubborn: dice.chance(30),
        });
    }

    fn job_of(&mut self, grip: Grip) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.held.grip == grip)
    }

    fn drop_job(&mut self, grip: Grip) {
        self.jobs.retain(|job| job.held.grip != grip);
    }

    fn look_for_work(&mut self, scene: &mut Scene<'_>) -> Call {
        let pause = if scene.is_healed { POLL_HEALED_MS } else { self.poll_ms };
        self.next_poll_ms = scene.now_ms + pause / 2 + scene.dice.below(pause);
        let ttl_ms = self.ttl_ms;
        if self.way == Way::Line || scene.is_healed {
            return Call::Claim {
                lanes: self.lanes.clone(),
                offer: self.offer,
                ttl_ms,
                max: self.batch,
            };
        }
        let newest = u64::from(*scene.numbered).max(1);
        let number = scene.somebody(newest);
        match scene.dice.below(4) {
            0 | 1 => Call::IssueClaimGrant { number, ttl_ms },
            2 => Call::IssueReclaimGrant { number },
            _ => Call::IssueGrantAndClaim { number, ttl_ms },
        }
    }
}

impl Actor for Worker {
    fn name(&self) -> &str {
        &self.name
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        let hold = |grip, deed, is_forged| Next::Ask(Call::Hold { grip, deed, is_forged });
        if let Some((number, is_reclaim)) = self.granted.take() {
            let ttl_ms = self.ttl_ms;
            return Next::Ask(if is_reclaim {
                Call::ReclaimExecution { number, ttl_ms }
            } else {
                Call::ClaimExecution { number, ttl_ms }
            });
        }
        let now_ms = scene.now_ms;
        if scene.is_healed {
            // What it planned during the faults may lie a minute ahead.
            self.next_poll_ms = self.next_poll_ms.min(now_ms + POLL_HEALED_MS);
        }
        if let Some(ask) = self.registers.due(self.offer, &self.lanes, now_ms) {
            self.registers.next_ms = now_ms + self.registers.every_ms.unwrap_or(u64::MAX);
            return Next::Ask(Call::Registry(ask));
        }
        for job in &mut self.jobs {
            if let Some(deed) = job.first.take() {
                return hold(job.held.grip, deed, false);
            }
        }
        if let Some(job) = self.jobs.iter().find(|job| job.finish_at_ms <= now_ms) {
            let grip = job.held.grip;
            match job.ending {
                Some(deed) => return hold(grip, deed, scene.dice.chance(2)),
                None => self.drop_job(grip),
            }
        }
        let renewal_ms = u64::from(self.ttl_ms) / 3;
        if let Some(job) = self.jobs.iter_mut().find(|job| job.renew_at_ms <= now_ms) {
            job.renew_at_ms = now_ms + renewal_ms;
            let grip = job.held.grip;
            self.reports += 1;
            // Who is held to the budget spends most of it.
            let is_budgeted = is_budgeted(scene.seed, job.held.number);
            let deed = match scene.dice.below(20) {
                5..=14 if is_budgeted => Deed::Report {
                    amount: scene.dice.pick(&[2, 9, 30]),
                    key: scene.dice.chance(70).then_some(self.reports),
                },
                5..=8 => Deed::Report {
                    amount: scene.dice.pick(&[1, 2, 9]),
                    key: scene.dice.chance(70).then_some(self.reports),
                },
                0 | 1 => Deed::Progress(50),
                2..=4 => Deed::Append {
                    line: scene.dice.pick(&[1, 2, 3]),
                    live_ttl_ms: scene.dice.pick(&[None, None, Some(1_000), Some(400_000)]),
                },
                _ => Deed::Renew,
            };
            return hold(grip, deed, scene.dice.chance(2));
        }
        if self.jobs.len() < JOBS_MAX && self.next_poll_ms <= now_ms {
            return Next::Ask(self.look_for_work(scene));
        }
        let poll = (self.jobs.len() < JOBS_MAX).then_some(self.next_poll_ms);
        let beat = self.registers.every_ms.map(|_| self.registers.next_ms);
        let due = self.jobs.iter().map(|job| job.finish_at_ms.min(job.renew_at_ms));
        let due = due.chain(poll).chain(beat);
        Next::SleepMs(due.min().map_or(1_000, |at_ms| at_ms.saturating_sub(now_ms)).max(1))
    }

    fn told(&mut self, call: &Call, answer: &Answer, scene: &mut Scene<'_>) {
        for held in &answer.held {
            self.take(*held, scene);
        }
        match call {
            Call::IssueClaimGrant { number, .. } if answer.is_ok => {
                self.granted = Some((*number, false));
            }
            Call::Registry(_) => {
                self.registers.is_announced = answer.is_ok && answer.word != "NotRegistered";
                if !self.registers.is_announced {
                    self.registers.next_ms = scene.now_ms;
                }
            }
            Call::IssueReclaimGrant { number } if answer.word == "Granted" => {
                self.granted = Some((*number, true));
            }
            Call::Hold { grip, deed, is_forged } if !is_forged => {
                let goes_on = answer.is_ok
                    && matches!(
                        deed,
                        Deed::Renew
                            | Deed::Progress(_)
                            | Deed::Append { .. }
                            | Deed::Report { .. }
                            | Deed::OpenWaitpoint { .. }
                    );
                if answer.word == "AlreadySatisfied" {
                    // What it waits for is there: it goes on under its lease.
                    let complete = Deed::Complete { result: self.results };
                    if let Some(job) = self.job_of(*grip) {
                        job.ending = Some(complete);
                    }
                    return;
                }
                if goes_on {
                    return;
                }
                let later_ms = scene.now_ms + 1_000 + scene.dice.below(20_000);
                match self.job_of(*grip) {
                    // It was told no and tries once more, much later: the fence must hold then too.
                    Some(job) if !answer.is_ok && job.is_stubborn => {
                        job.is_stubborn = false;
                        (job.finish_at_ms, job.renew_at_ms) = (later_ms, u64::MAX);
                    }
                    Some(_) | None => self.drop_job(*grip),
                }
            }
            _ => {}
        }
    }

    fn unheard(&mut self, call: &Call) {
        if let Call::Hold { grip, .. } = call {
            self.drop_job(*grip);
        }
    }

    fn crash(&mut self) {
        self.jobs.clear();
        self.granted = None;
        (self.registers.is_announced, self.registers.next_ms) = (false, 0);
    }
}

// ---- The client ----

/// Submits work, and submits again what was not acknowledged.
#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    every_ms: u64,
    next_ms: u64,
    /// What it is not sure of; its own journal survives a crash.
    open: Option<Vec<Birth>>,
}

impl Client {
    pub(crate) fn new(index: usize, dice: &mut Dice) -> Self {
        Self {
            name: format!("client-{index}"),
            every_ms: dice.pick(&[60_000, 90_000, 150_000]),
            next_ms: 0,
            open: None,
        }
    }
}

impl Actor for Client {
    fn name(&self) -> &str {
        &self.name
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        if scene.is_healed && self.open.is_none() {
            return Next::Rest;
        }
        if let Some(births) = &self.open {
            return Next::Ask(Call::Create(births.clone()));
        }
        if scene.now_ms < self.next_ms {
            return Next::SleepMs(self.next_ms - scene.now_ms);
        }
        self.next_ms = scene.now_ms + self.every_ms / 2 + scene.dice.below(self.every_ms);
        let rows = scene.dice.pick(&[1, 1, 1, 2, 4]);
        let mut births = Vec::new();
        for _ in 0..rows {
            let later = |by_ms: Option<i64>| by_ms.map(|ms| TimestampMs(scene.engine_now.0 + ms));
            births.push(Birth {
                number: *scene.numbered,
                delay_until: later(scene.dice.pick(&[None, None, Some(3_000), Some(90_000)])),
                deadline_at: later(scene.dice.pick(&[
                    None,
                    None,
                    None,
                    Some(20_000),
                    Some(200_000),
                ])),
            });
            *scene.numbered += 1;
        }
        self.open = Some(births.clone());
        Next::Ask(Call::Create(births))
    }

    fn told(&mut self, _: &Call, _: &Answer, _: &mut Scene<'_>) {
        self.open = None;
    }

    fn unheard(&mut self, _: &Call) {}

    fn crash(&mut self) {}
}

// ---- The operator ----

/// Cancels, revokes, replays, reprioritises, pauses lanes, reads results, declares workers dead.
#[derive(Debug)]
pub(crate) struct Operator {
    every_ms: u64,
    next_ms: u64,
    /// Lanes that it paused, or may have.
    closed: BTreeSet<u8>,
    reopened_ms: Option<u64>,
}

/// After the faults it opens the lanes again this often: an old pause may still be under way.
const REOPEN_EVERY_MS: u64 = 5_000;

impl Operator {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            every_ms: dice.pick(&[10_000, 25_000, 60_000]),
            next_ms: 0,
            closed: BTreeSet::new(),
            reopened_ms: None,
        }
    }

    fn reopen_all(&mut self, scene: &Scene<'_>) -> Next {
        if self.closed.is_empty() {
            let since = self.reopened_ms.map_or(u64::MAX, |at_ms| scene.now_ms - at_ms);
            if since < REOPEN_EVERY_MS {
                return Next::SleepMs(REOPEN_EVERY_MS - since);
            }
            self.reopened_ms = Some(scene.now_ms);
            self.closed = (0..LANES.len()).filter_map(|lane| u8::try_from(lane).ok()).collect();
        }
        self.closed
            .first()
            .map_or(Next::Rest, |lane| Next::Ask(Call::SetLane { lane: *lane, is_open: true }))
    }
}

impl Actor for Operator {
    fn name(&self) -> &str {
        "operator"
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        if scene.is_healed {
            return self.reopen_all(scene);
        }
        if let Some(lane) = self.closed.first().copied().filter(|_| scene.dice.chance(40)) {
            return Next::Ask(Call::SetLane { lane, is_open: true });
        }
        if scene.now_ms < self.next_ms {
            return Next::SleepMs(self.next_ms - scene.now_ms);
        }
        self.next_ms = scene.now_ms + self.every_ms / 2 + scene.dice.below(self.every_ms);
        // Mostly what is new: the old has ended.
        let newest = u64::from(*scene.numbered);
        let back = scene.dice.pick(&[1, 4, 8, newest.max(1)]);
        let number = scene.somebody(back);
        Next::Ask(match scene.dice.below(100) {
            0..=14 => Call::CancelExecution(number),
            15..=34 => Call::Revoke(number),
            35..=59 => Call::Replay(number),
            60..=74 => Call::ChangePriority(number, scene.dice.pick(&[0, 5, 9])),
            75..=84 => Call::ReadResult(number),
            85..=89 => Call::Registry(registry::Ask::MarkDead(scene.dice.pick(&[0, 1, 2, 3, 4]))),
            _ => {
                let lane = scene.dice.pick(&[0, 1]);
                self.closed.insert(lane);
                Call::SetLane { lane, is_open: false }
            }
        })
    }

    fn told(&mut self, call: &Call, answer: &Answer, _: &mut Scene<'_>) {
        if let Call::SetLane { lane, is_open: true } = call
            && answer.is_ok
        {
            self.closed.remove(lane);
        }
    }

    fn unheard(&mut self, _: &Call) {}

    fn crash(&mut self) {}
}
