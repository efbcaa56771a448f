//! The scheduler: virtual time, the actors, and the network between them and the engine.
//!
//! Everything that will happen stands in one queue, ordered by its instant and then by when it was
//! put there. One thing happens at a time. Dice decide what, so a seed decides everything.
//!
//! ```text
//!   actor ──asks──▶ (lost? late? twice?) ──▶ engine ──answer──▶ (lost? late?) ──▶ actor
//!     └── nobody answered in time: asks the same again, a few times
//! ```
//!
//! The faults last half an hour or more. Then everything heals: the crashed come back, the paused
//! go on, lanes open, no message is lost any more and nobody begins anything new. Within a minute
//! everything must have ended, waiting for a time of its own apart.

use std::collections::{BTreeMap, VecDeque};

use super::actor::{Actor, Client, Next, Operator, Scene, Way, Worker};
use super::call::{Answer, Call, Number, Operation, Outbox};
use super::fault::{Counts, Fault, STRIKES, Weather};
use super::flow::Submitter;
use super::ledger::found;
use super::money::Accountant;
use super::stage::Stage;
use super::waiting::{self, Person, Wait};
use crate::dice::Dice;
use crate::invariants::Finding;

/// Virtual milliseconds within which everything ends after the faults.
pub(crate) const REST_MAX_MS: u64 = 60_000;

/// A call is asked again this often before its caller gives up.
const ASKED_AGAIN_MAX: u32 = 4;

/// A sweep runs this often after the faults.
const SWEEP_HEALED_MS: u64 = 1_000;

/// How far the wall clock steps.
const STEPS_MS: [i64; 6] = [1_000, 20_000, 60_000, 3_600_000, 86_400_000, 365 * 86_400_000];

/// Something that will happen.
#[derive(Debug)]
enum Event {
    Wake { actor: usize, life: u32 },
    Arrive { actor: usize, ask: u64, call: Call },
    Told { actor: usize, life: u32, ask: u64, answer: Answer },
    GiveUp { actor: usize, life: u32, ask: u64, asked: u32 },
    Revive { actor: usize },
    Resume { actor: usize },
    Strike(Fault),
    Sweep,
    Follow,
}

/// An actor and how it is.
#[derive(Debug)]
struct Role {
    actor: Box<dyn Actor>,
    life: u32,
    is_down: bool,
    is_paused: bool,
    /// What came while it was paused.
    held_back: VecDeque<Event>,
    waits_for: Option<(u64, Call)>,
}

/// One seed's world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) faults: Counts,
    dice: Dice,
    weather: Weather,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    asks: u64,
    performed: u32,
    now_ms: u64,
    roles: Vec<Role>,
    numbered: Number,
    flows: u32,
    board: Vec<Wait>,
    faults_until_ms: u64,
    is_healed: bool,
    sweep_every_ms: u64,
    stalled_until_ms: u64,
    rpc_ms: u64,
}

impl World {
    pub(crate) fn new(seed: u64, stage: Stage) -> Self {
        let mut dice = Dice::new(seed.rotate_left(21) ^ 0xF10F_FAB2);
        let weather = Weather::of(seed, &mut dice);
        let mut actors: Vec<Box<dyn Actor>> = Vec::new();
        for index in 0..2 + usize::try_from(dice.below(3)).unwrap_or(0) {
            let way = if index > 0 && dice.chance(25) { Way::Grants } else { Way::Line };
            actors.push(Box::new(Worker::new(index, way, &mut dice)));
        }
        actors.push(Box::new(Client::new(0, &mut dice)));
        actors.push(Box::new(Operator::new(&mut dice)));
        actors.push(Box::new(Submitter::new(&mut dice)));
        actors.push(Box::new(Person::new(&mut dice)));
        actors.push(Box::new(Accountant::new(&mut dice)));
        let roles = actors.into_iter().map(|actor| Role {
            actor,
            life: 0,
            is_down: false,
            is_paused: false,
            held_back: VecDeque::new(),
            waits_for: None,
        });
        Self {
            stage,
            faults: Counts::new(),
            weather,
            queue: BTreeMap::new(),
            queued: 0,
            asks: 0,
            performed: 0,
            now_ms: 0,
            roles: roles.collect(),
            numbered: 0,
            flows: 0,
            board: Vec::new(),
            faults_until_ms: 30 * 60_000 + dice.below(10 * 60_000),
            is_healed: false,
            sweep_every_ms: dice.pick(&[2_000, 10_000, 30_000, u64::MAX / 4]),
            stalled_until_ms: 0,
            rpc_ms: dice.pick(&[1_000, 3_000]),
            dice,
        }
    }

    /// Runs the seed to its rest; the first violated invariant is the error.
    pub(crate) fn run(&mut self) -> Result<(), Finding> {
        for actor in 0..self.roles.len() {
            let begins_ms = self.dice.below(5_000);
            self.after(begins_ms, Event::Wake { actor, life: 0 });
        }
        for fault in STRIKES {
            self.expect_strike(fault);
        }
        self.after(self.sweep_every_ms, Event::Sweep);
        self.after(20_000, Event::Follow);
        while let Some((at_ms, _)) = self.queue.first_key_value().map(|(at, _)| *at) {
            if at_ms >= self.faults_until_ms {
                break;
            }
            self.happen()?;
        }
        self.heal();
        self.come_to_rest()
    }

    fn come_to_rest(&mut self) -> Result<(), Finding> {
        let mut until_ms = self.now_ms + REST_MAX_MS + self.stage.rationed_ms();
        loop {
            let next_ms = self.now_ms + 1_000;
            while self.queue.first_key_value().is_some_and(|((at_ms, _), _)| *at_ms <= next_ms) {
                self.happen()?;
            }
            self.now_ms = next_ms;
            self.perform("world", Call::Sweep)?;
            for number in self.stage.suspended() {
                self.perform("world", Call::Wait(waiting::Ask::Resume(number)))?;
            }
            let engine_now = self.stage.now();
            let mut open = None;
            for (id, waits_until) in self.stage.ledger.unfinished() {
                open = Some(id.clone());
                let waits = waits_until.map_or(0, |until| until.0.saturating_sub(engine_now.0));
                if let Some(waits_ms) = u64::try_from(waits).ok().filter(|waits| *waits > 0) {
                    until_ms = until_ms.max(self.now_ms + waits_ms + REST_MAX_MS);
                }
            }
            let is_calm = self.roles.iter().all(|role| role.waits_for.is_none());
            match open {
                None if is_calm => return Ok(()),
                Some(id) if self.now_ms > until_ms => {
                    let detail = format!("has not ended {REST_MAX_MS} ms after the faults");
                    return Err(found("I1", Some(&id), detail));
                }
                None | Some(_) => {}
            }
        }
    }

    fn heal(&mut self) {
        self.now_ms = self.faults_until_ms;
        self.is_healed = true;
        self.stalled_until_ms = 0;
        self.sweep_every_ms = SWEEP_HEALED_MS;
        self.weather = Weather::default();
        for actor in 0..self.roles.len() {
            self.revive(actor);
            self.resume(actor);
            let life = self.roles[actor].life;
            self.after(0, Event::Wake { actor, life });
        }
    }

    // ---- The queue ----

    fn after(&mut self, by_ms: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now_ms.saturating_add(by_ms), self.queued), event);
    }

    fn happen(&mut self) -> Result<(), Finding> {
        let Some(((at_ms, _), event)) = self.queue.pop_first() else { return Ok(()) };
        self.now_ms = at_ms;
        match event {
            Event::Wake { actor, life } if self.is_there(actor, life) => {
                if self.roles[actor].is_paused {
                    self.hold_back(actor, event);
                } else {
                    self.wake(actor);
                }
            }
            Event::Told { actor, life, ask, .. } if self.is_there(actor, life) => {
                if self.roles[actor].is_paused {
                    self.hold_back(actor, event);
                } else if self.roles[actor].waits_for.as_ref().is_some_and(|(own, _)| *own == ask) {
                    let Event::Told { answer, .. } = event else { return Ok(()) };
                    self.told(actor, &answer);
                }
            }
            Event::GiveUp { actor, life, ask, asked } if self.is_there(actor, life) => {
                if self.roles[actor].is_paused {
                    self.hold_back(actor, event);
                } else if self.roles[actor].waits_for.as_ref().is_some_and(|(own, _)| *own == ask) {
                    self.give_up(actor, asked);
                }
            }
            Event::Wake { .. } | Event::Told { .. } | Event::GiveUp { .. } => {}
            Event::Arrive { actor, ask, call } => self.arrive(actor, ask, call)?,
            Event::Revive { actor } => self.revive(actor),
            Event::Resume { actor } => self.resume(actor),
            Event::Strike(fault) => self.strike(fault)?,
            Event::Sweep => {
                if self.now_ms >= self.stalled_until_ms {
                    self.perform("sweeper", Call::Sweep)?;
                }
                self.after(self.sweep_every_ms, Event::Sweep);
            }
            Event::Follow => {
                let outboxes = [Outbox::Leases, Outbox::Completions, Outbox::Operators];
                let (outbox, anew) = (self.dice.pick(&outboxes), self.dice.chance(30));
                self.perform("subscriber", Call::Follow { outbox, anew })?;
                let pause = 5_000 + self.dice.below(50_000);
                self.after(pause, Event::Follow);
            }
        }
        Ok(())
    }

    fn perform(&mut self, by: &str, call: Call) -> Result<Answer, Finding> {
        self.performed += 1;
        let operation =
            Operation { number: self.performed, at_ms: self.now_ms, by: by.to_owned(), call };
        self.stage.perform(&operation)
    }

    // ---- The network ----

    fn befalls(&mut self, fault: Fault) -> bool {
        let befalls = self.weather.befalls(fault, &mut self.dice);
        if befalls {
            self.count(fault);
        }
        befalls
    }

    fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn transit_ms(&mut self) -> u64 {
        if self.befalls(Fault::Slow) {
            return 500 + self.dice.below(8_000);
        }
        1 + self.dice.below(20)
    }

    fn ask(&mut self, actor: usize, call: Call, asked: u32) {
        self.asks += 1;
        let (ask, life) = (self.asks, self.roles[actor].life);
        self.roles[actor].waits_for = Some((ask, call.clone()));
        if self.befalls(Fault::Duplicate) {
            let later_ms = self.dice.pick(&[1, 50, 4_000, 30_000]);
            self.after(later_ms, Event::Arrive { actor, ask, call: call.clone() });
        }
        if !self.befalls(Fault::LostRequest) {
            let transit_ms = self.transit_ms();
            self.after(transit_ms, Event::Arrive { actor, ask, call });
        }
        self.after(self.rpc_ms, Event::GiveUp { actor, life, ask, asked });
    }

    fn arrive(&mut self, actor: usize, ask: u64, call: Call) -> Result<(), Finding> {
        let by = self.roles[actor].actor.name().to_owned();
        let answer = self.perform(&by, call)?;
        for wait in &answer.waits {
            if !self.board.contains(wait) {
                self.board.push(*wait);
            }
        }
        if !self.befalls(Fault::LostReply) {
            let (transit_ms, life) = (self.transit_ms(), self.roles[actor].life);
            self.after(transit_ms, Event::Told { actor, life, ask, answer });
        }
        Ok(())
    }

    fn give_up(&mut self, actor: usize, asked: u32) {
        let Some((_, call)) = self.roles[actor].waits_for.take() else { return };
        if asked < ASKED_AGAIN_MAX {
            return self.ask(actor, call, asked + 1);
        }
        self.roles[actor].actor.unheard(&call);
        self.wake(actor);
    }

    // ---- The actors ----

    fn is_there(&self, actor: usize, life: u32) -> bool {
        let role = &self.roles[actor];
        role.life == life && !role.is_down
    }

    fn hold_back(&mut self, actor: usize, event: Event) {
        self.roles[actor].held_back.push_back(event);
    }

    fn wake(&mut self, actor: usize) {
        if self.roles[actor].waits_for.is_some() {
            return;
        }
        let engine_now = self.stage.now();
        let mut scene = Scene {
            now_ms: self.now_ms,
            engine_now,
            dice: &mut self.dice,
            seed: self.stage.seed(),
            numbered: &mut self.numbered,
            flows: &mut self.flows,
            board: &self.board,
            is_healed: self.is_healed,
        };
        match self.roles[actor].actor.wake(&mut scene) {
            Next::Ask(call) => self.ask(actor, call, 0),
            Next::SleepMs(by_ms) => {
                let life = self.roles[actor].life;
                self.after(by_ms, Event::Wake { actor, life });
            }
            Next::Rest => {}
        }
    }

    fn told(&mut self, actor: usize, answer: &Answer) {
        let Some((_, call)) = self.roles[actor].waits_for.take() else { return };
        let engine_now = self.stage.now();
        let mut scene = Scene {
            now_ms: self.now_ms,
            engine_now,
            dice: &mut self.dice,
            seed: self.stage.seed(),
            numbered: &mut self.numbered,
            flows: &mut self.flows,
            board: &self.board,
            is_healed: self.is_healed,
        };
        self.roles[actor].actor.told(&call, answer, &mut scene);
        self.wake(actor);
    }

    // ---- The faults ----

    fn expect_strike(&mut self, fault: Fault) {
        if let Some(by_ms) = self.weather.next_strike_ms(fault, &mut self.dice) {
            self.after(by_ms, Event::Strike(fault));
        }
    }

    fn strike(&mut self, fault: Fault) -> Result<(), Finding> {
        if self.is_healed {
            return Ok(());
        }
        self.count(fault);
        let actor = usize::try_from(self.dice.below(self.roles.len() as u64)).unwrap_or(0);
        match fault {
            Fault::Crash => {
                let role = &mut self.roles[actor];
                role.life += 1;
                role.is_down = true;
                role.waits_for = None;
                role.held_back.clear();
                role.actor.crash();
                let down_ms = self.dice.pick(&[200, 5_000, 60_000]);
                self.after(down_ms, Event::Revive { actor });
            }
            Fault::Pause => {
                self.roles[actor].is_paused = true;
                let pause_ms = self.dice.pick(&[1_000, 10_000, 30_000, 90_000]);
                self.after(pause_ms, Event::Resume { actor });
            }
            Fault::ClockAhead | Fault::ClockBack => {
                let size = usize::try_from(self.dice.below(7)).unwrap_or(0);
                // A year is rarer than a second.
                let by_ms = STEPS_MS.get(size).copied().unwrap_or(STEPS_MS[0]);
                let by_ms = if fault == Fault::ClockAhead { by_ms } else { -by_ms };
                self.perform("clock", Call::StepWall { by_ms })?;
            }
            Fault::SweepStall => {
                self.stalled_until_ms = self.now_ms + self.dice.pick(&[30_000, 300_000]);
            }
            Fault::LostRequest | Fault::LostReply | Fault::Duplicate | Fault::Slow => {
                unreachable!("these befall messages")
            }
        }
        self.expect_strike(fault);
        Ok(())
    }

    fn revive(&mut self, actor: usize) {
        let role = &mut self.roles[actor];
        if role.is_down {
            role.is_down = false;
            let life = role.life;
            self.after(0, Event::Wake { actor, life });
        }
    }

    fn resume(&mut self, actor: usize) {
        let role = &mut self.roles[actor];
        role.is_paused = false;
        for event in std::mem::take(&mut role.held_back) {
            self.after(0, event);
        }
    }
}
