//! A worker that fell silent leaves the registry.

use super::{RegistryEvent, RegistryEventKind, Wanted, Write};
use crate::EngineError;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, Urgency};
use crate::types::{Namespace, WorkerInstanceId};

/// Removes a registration whose TTL is over. Safe to repeat: one that lives, or is gone, is left
/// alone. Answers whether it was removed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the key of a registration")]
pub struct Expire {
    pub namespace: Namespace,
    pub worker_instance_id: WorkerInstanceId,
}

impl Command for Expire {
    const NAME: &'static str = "worker.expire";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        let key = (self.namespace.clone(), self.worker_instance_id.clone());
        Footprint { worker: Wanted { worker: Some(key) }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        let Some(worker) = &seen.worker.worker else { return Ok(Transition::unchanged(false)) };
        if worker.expires_at() > cx.now {
            return Ok(Transition::unchanged(false));
        }
        let note = RegistryEvent::of(worker, RegistryEventKind::TtlSwept, cx.now);
        Ok(Transition::unchanged(true)
            .change(Change::Worker(Write::Remove {
                namespace: worker.namespace.clone(),
                worker_instance_id: worker.worker_instance_id.clone(),
            }))
            .change(Change::Worker(note)))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Bulk
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notes, seen, worker};
    use super::*;
    use crate::machine::execution::testing::decide;

    #[test]
    fn a_worker_is_swept_at_its_instant_and_not_before() {
        let key = worker(0);
        let sweep = Expire { namespace: key.namespace, worker_instance_id: key.worker_instance_id };

        for (left_ms, is_swept) in [(1, false), (0, true), (-1, true)] {
            let done = decide(&sweep, &seen(worker(left_ms))).unwrap();
            assert_eq!((done.outcome, done.is_unchanged()), (is_swept, !is_swept));
        }
        assert!(!decide(&sweep, &seen(None)).unwrap().outcome);
        let swept = decide(&sweep, &seen(worker(0))).unwrap();
        assert_eq!(notes(&swept), [RegistryEventKind::TtlSwept]);
    }
}
