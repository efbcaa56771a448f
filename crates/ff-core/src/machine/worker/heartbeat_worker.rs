//! A registered worker says that it lives.

use super::{Registration, RegistryEvent, RegistryEventKind, Wanted, Write};
use crate::EngineError;
use crate::contracts::{HeartbeatWorkerArgs, HeartbeatWorkerOutcome};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, Urgency};

/// Keeps a registration for another TTL. Safe to repeat. One that is not there, or whose TTL is
/// over, answers `NotRegistered` and writes nothing: the worker registers again.
#[derive(Debug, Clone)]
pub struct HeartbeatWorker {
    /// Who lives. Its `now` decides nothing.
    pub args: HeartbeatWorkerArgs,
}

impl Command for HeartbeatWorker {
    const NAME: &'static str = "worker.heartbeat_worker";
    type Outcome = HeartbeatWorkerOutcome;

    fn footprint(&self) -> Footprint {
        let key = (self.args.namespace.clone(), self.args.worker_instance_id.clone());
        Footprint { worker: Wanted { worker: Some(key) }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<HeartbeatWorkerOutcome>, EngineError> {
        let Some(worker) = seen.worker.living(cx.now) else {
            return Ok(Transition::unchanged(HeartbeatWorkerOutcome::NotRegistered));
        };
        let worker = Registration { last_heartbeat_at: cx.now, ..worker.clone() };
        let outcome = HeartbeatWorkerOutcome::Refreshed { next_expiry_ms: worker.expires_at() };
        let note = RegistryEvent::of(&worker, RegistryEventKind::Heartbeat, cx.now);
        Ok(Transition::unchanged(outcome)
            .change(Change::Worker(Write::Put(Box::new(worker))))
            .change(Change::Worker(note)))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notes, seen, worker, writes};
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, now_plus};
    use crate::types::TimestampMs;

    fn beat() -> HeartbeatWorker {
        let worker = worker(0);
        let args = HeartbeatWorkerArgs::new(
            worker.worker_instance_id,
            worker.namespace,
            TimestampMs(i64::MAX),
        );
        HeartbeatWorker { args }
    }

    #[test]
    fn a_living_worker_lives_another_ttl_from_now() {
        let done = decide(&beat(), &seen(worker(1))).unwrap();

        let next_expiry_ms = now_plus(1_000);
        assert_eq!(done.outcome, HeartbeatWorkerOutcome::Refreshed { next_expiry_ms });
        let kept = Registration { last_heartbeat_at: NOW, ..worker(1) };
        assert_eq!(writes(&done)[0], &Write::Put(Box::new(kept)));
        assert_eq!(notes(&done), [RegistryEventKind::Heartbeat]);
    }

    #[test]
    fn a_worker_whose_ttl_is_over_has_to_register_again() {
        for seen in [seen(None), seen(worker(0)), seen(worker(-1))] {
            let done = decide(&beat(), &seen).unwrap();
            assert_eq!(done.outcome, HeartbeatWorkerOutcome::NotRegistered);
            assert!(done.is_unchanged());
        }
    }
}
