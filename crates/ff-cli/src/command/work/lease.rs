//! Leases in hand: kept by renewing, watched, and given up when they are gone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ff_core::EngineError;
use ff_core::backend::Handle;
use ff_core::contracts::{CHECK_LEASES_MAX, LeaseStanding};
use ff_core::state::PublicState;
use ff_core::types::{AttemptIndex, ExecutionId};
use tokio::sync::watch;

use crate::command::work::{Outcome, Worker, lock};
use crate::error::{Retry, is_storage, reason, standing};
use crate::filter::is_ended;
use crate::time;

/// How often the watcher asks for all leases: a cancel is learnt well within a second.
pub(super) const WATCH: Duration = Duration::from_millis(250);

/// Between two tries of a renewal at most.
pub(super) const RENEW_AGAIN: Duration = Duration::from_secs(2);

/// The outcome of an attempt that goes on later.
pub(super) const INTERRUPTED: &str = "attempt_interrupted";

/// How a lease went.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) why: String,
    /// [`Outcome::Parked`], [`Outcome::Ended`] or [`Outcome::Lost`].
    pub(super) outcome: Outcome,
}

/// One attempt in hand.
pub(super) struct Slot {
    pub(super) handle: Handle,
    pub(super) execution_id: ExecutionId,
    pub(super) attempt_index: AttemptIndex,
    /// Set once, with the reason, when the lease is known to be gone.
    pub(super) lost: watch::Sender<Option<Loss>>,
    /// When the lease ends unless it is renewed, by the local clock.
    pub(super) lease_end: Mutex<Instant>,
}

impl Slot {
    pub(super) fn lease_end(&self) -> Instant {
        *lock(&self.lease_end)
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(loss);
            }
            first
        });
    }
}

/// Asks at intervals whether the leases in hand are still held.
pub(super) async fn watch_leases(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(WATCH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retry = Retry::default();
    loop {
        ticks.tick().await;
        let slots: Vec<_> = lock(&worker.slots).values().cloned().collect();
        for slots in slots.chunks(CHECK_LEASES_MAX) {
            let handles: Vec<_> = slots.iter().map(|slot| slot.handle.clone()).collect();
            match worker.engine.check_leases(&handles).await {
                Ok(standings) => {
                    retry = Retry::default();
                    for (slot, standing) in slots.iter().zip(standings) {
                        if let LeaseStanding::Lost { public_state, .. } = standing {
                            slot.lose(worker.loss(slot, public_state).await);
                        }
                    }
                }
                Err(error) if is_storage(&error) && retry.after(&error).is_none() => {
                    worker.fail("check the leases", &error);
                }
                // The keeper notices a store that stays busy.
                Err(error) => tracing::warn!(%error, "cannot check the leases"),
            }
        }
    }
}

/// Renews a lease until it is gone or the task is aborted.
pub(super) async fn keep(worker: Arc<Worker>, slot: Arc<Slot>) {
    let mut pause = worker.lease_ttl / 3;
    let mut retry = Retry::default();
    loop {
        tokio::time::sleep(pause).await;
        let asked = time::instant();
        match worker.engine.renew(&slot.handle).await {
            Ok(_) => {
                *lock(&slot.lease_end) = asked + worker.lease_ttl;
                pause = worker.lease_ttl / 3;
                retry = Retry::default();
            }
            Err(error) if retry.after(&error).is_none() => {
                if is_storage(&error) {
                    // The stop that follows ends the command.
                    return worker.fail("renew a lease", &error);
                }
                return slot.lose(worker.loss_by(&slot, &error).await);
            }
            Err(error) if time::instant() >= slot.lease_end() => {
                let why = format!("the lease ran out while renewing failed: {}", reason(&error));
                return slot.lose(Loss { why, outcome: Outcome::Lost });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew a lease yet");
                pause = (worker.lease_ttl / 20).min(RENEW_AGAIN);
            }
        }
    }
}

/// Waits until the lease is known to be gone, and says why.
pub(super) async fn gone(lost: &mut watch::Receiver<Option<Loss>>) -> Loss {
    let loss = lost.wait_for(Option::is_some).await.ok().and_then(|loss| loss.clone());
    match loss {
        Some(loss) => loss,
        // The slot that would say so is gone itself, and with it the attempt.
        None => std::future::pending().await,
    }
}

impl Worker {
    /// Why the lease is gone, as the engine sees it.
    pub(super) async fn loss(&self, slot: &Slot, state: Option<PublicState>) -> Loss {
        let parked = match state {
            Some(
                PublicState::Suspended | PublicState::WaitingChildren | PublicState::RateLimited,
            ) => true,
            // A retry's back-off is a delay as well, but then the attempt has failed. A wait may be over
            // before anybody looks.
            Some(PublicState::Delayed | PublicState::Resumable | PublicState::Waiting) => {
                self.is_interrupted(slot).await
            }
            _ => false,
        };
        match state {
            Some(state) if parked => Loss { why: state.to_string(), outcome: Outcome::Parked },
            Some(PublicState::Delayed) => Loss {
                why: "its attempt was ended, and it is tried again later".to_owned(),
                outcome: Outcome::Ended,
            },
            state if state.is_none_or(is_ended) => {
                Loss { why: standing(state).to_owned(), outcome: Outcome::Ended }
            }
            state => Loss { why: standing(state).to_owned(), outcome: Outcome::Lost },
        }
    }

    /// As [`Self::loss`], after a call was refused.
    pub(super) async fn loss_by(&self, slot: &Slot, error: &EngineError) -> Loss {
        match self.engine.read_execution_state(&slot.execution_id).await {
            Ok(state) if error.is_stale() => self.loss(slot, state).await,
            _ => Loss { why: reason(error), outcome: Outcome::Lost },
        }
    }

    /// Whether the attempt in hand is to go on later.
    async fn is_interrupted(&self, slot: &Slot) -> bool {
        let attempts = self.engine.list_attempts(&slot.execution_id).await.unwrap_or_default();
        let own = attempts.iter().find(|attempt| attempt.attempt_index == slot.attempt_index);
        own.is_some_and(|attempt| attempt.outcome.as_deref() == Some(INTERRUPTED))
    }
}
