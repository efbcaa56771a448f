//! When background work runs, and the step it takes.
//!
//! The writer asks the plan between groups: is it time to look? A look is a read of the heads of
//! the due indexes; only if something is there does a sweep take the write lock. After it the plan
//! rests until the next due instant. Every commit, and every commit of a neighbour, may have
//! brought something nearer, so it brings the next look forward; it never puts it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::machine::Context;
use ff_core::machine::drive;

use crate::queue::{Effect, Job};
use crate::session::SqliteSession;

/// A look follows a commit after this long.
const LOOK_SOON: Duration = Duration::from_millis(10);

/// A full sweep leaves the lock to others for this long before it goes on.
const GO_ON: Duration = Duration::from_millis(1);

/// A sweep looks at least this often for rows whose retention is over.
pub(crate) const SWEEP_AT_LEAST: Duration = Duration::from_secs(60);

/// A sweep that failed, or that moved nothing of what is due, is tried again after this; each
/// time in vain after twice as long, up to [`SWEEP_AT_LEAST`].
const SWEEP_AGAIN: Duration = Duration::from_millis(500);

/// When the next look is due, on the writer's stopwatch.
#[derive(Debug)]
pub(crate) struct Plan {
    look_at: Duration,
    again: Duration,
    result: Arc<AtomicU8>,
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Came {
    /// It failed, or what is due did not move.
    Nowhere = 0,
    /// It did what there was.
    Through = 1,
    /// It took its full step; there is more.
    HalfWay = 2,
}

impl Plan {
    /// A first look at once.
    pub(crate) fn new() -> Self {
        Self {
            look_at: Duration::ZERO,
            again: SWEEP_AGAIN,
            result: Arc::new(AtomicU8::new(Came::Through as u8)),
        }
    }

    /// How long until the next look.
    pub(crate) fn rest(&self, now: Duration) -> Duration {
        self.look_at.saturating_sub(now)
    }

    /// Something may be due earlier than planned.
    pub(crate) fn look_soon(&mut self, now: Duration) {
        if self.again == SWEEP_AGAIN {
            self.look_at = self.look_at.min(now + LOOK_SOON);
        }
    }

    /// There is more to do, after a pause for others.
    pub(crate) fn go_on(&mut self, now: Duration) {
        self.look_at = now + GO_ON;
    }

    /// One step of background work, for the writer's next group.
    pub(crate) fn step(&self) -> Box<dyn Job> {
        Box::new(SweepJob { result: Arc::clone(&self.result) })
    }

    /// Plans the next look after a step. `due_in` is the time until the next due instant.
    pub(crate) fn after_step(&mut self, now: Duration, due_in: Option<Duration>) {
        let came = self.result.load(Ordering::SeqCst);
        if came == Came::HalfWay as u8 {
            self.again = SWEEP_AGAIN;
            self.go_on(now);
        } else if came == Came::Through as u8 && due_in.is_none_or(|due_in| !due_in.is_zero()) {
            self.after_look(now, due_in);
        } else {
            self.look_at = now + self.again;
            self.again = (self.again * 2).min(SWEEP_AT_LEAST);
        }
    }

    /// Plans the next look after one that found nothing to do.
    pub(crate) fn after_look(&mut self, now: Duration, due_in: Option<Duration>) {
        self.again = SWEEP_AGAIN;
        let rest = due_in.unwrap_or(SWEEP_AT_LEAST).clamp(GO_ON, SWEEP_AT_LEAST);
        self.look_at = now + rest;
    }
}

/// One bounded step of background work.
struct SweepJob {
    result: Arc<AtomicU8>,
}

impl Job for SweepJob {
    fn run(&mut self, session: &mut SqliteSession<'_>, cx: &mut Context<'_>) -> Effect {
        let (came, effect) = match drive::sweep(session, cx) {
            Ok(swept) => {
                let stuck = swept.settled.examined > 0 && swept.settled.changed == 0;
                let came = match (swept.is_full(), stuck && swept.forgotten == 0) {
                    (true, _) => Came::HalfWay,
                    (false, true) => Came::Nowhere,
                    (false, false) => Came::Through,
                };
                (came, Effect::Accepted { opens_work: swept.settled.opens_work })
            }
            Err(error) => {
                tracing::warn!(%error, "a sweep failed; it is tried again");
                (Came::Nowhere, Effect::of(&error))
            }
        };
        self.result.store(came as u8, Ordering::SeqCst);
        effect
    }

    fn answer(self: Box<Self>, lost: Option<EngineError>) {
        if let Some(error) = lost {
            self.result.store(Came::Nowhere as u8, Ordering::SeqCst);
            tracing::warn!(%error, "a sweep was not stored; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn after(came: Came, due_in: Option<Duration>) -> Plan {
        let mut plan = Plan::new();
        plan.result.store(came as u8, Ordering::SeqCst);
        plan.after_step(NOW, due_in);
        plan
    }

    #[test]
    fn a_commit_brings_the_next_look_forward_and_never_puts_it_off() {
        let mut plan = after(Came::Through, Some(Duration::from_secs(30)));
        assert_eq!(plan.rest(NOW), Duration::from_secs(30));

        plan.look_soon(NOW);
        plan.look_soon(NOW + Duration::from_millis(7));

        assert_eq!(plan.rest(NOW), LOOK_SOON);
        assert_eq!(plan.rest(NOW + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn the_plan_rests_until_the_next_due_instant_but_not_for_ever() {
        assert_eq!(after(Came::Through, None).rest(NOW), SWEEP_AT_LEAST);
        assert_eq!(after(Came::Through, Some(SWEEP_AT_LEAST * 2)).rest(NOW), SWEEP_AT_LEAST);
        assert_eq!(after(Came::HalfWay, None).rest(NOW), GO_ON);
    }

    #[test]
    fn a_sweep_that_comes_nowhere_is_tried_ever_more_seldom() {
        let mut plan = after(Came::Nowhere, Some(Duration::ZERO));
        assert_eq!(plan.rest(NOW), SWEEP_AGAIN);

        plan.after_step(NOW, Some(Duration::ZERO));
        plan.look_soon(NOW);
        assert_eq!(plan.rest(NOW), SWEEP_AGAIN * 2);
        for _ in 0..20 {
            plan.after_step(NOW, Some(Duration::ZERO));
        }
        assert_eq!(plan.rest(NOW), SWEEP_AT_LEAST);

        plan.after_look(NOW, None);
        plan.look_soon(NOW);
        assert_eq!(plan.rest(NOW), LOOK_SOON);
    }
}
