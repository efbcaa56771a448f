//! Somebody declares a worker dead.

use super::{RegistryEvent, RegistryEventKind, Wanted, Write};
use crate::EngineError;
use crate::contracts::{
    MARK_WORKER_DEAD_REASON_MAX_BYTES, MarkWorkerDeadArgs, MarkWorkerDeadOutcome,
};
use crate::engine_error::ValidationKind;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Removes a registration. Its leases are not touched: they lapse by themselves, or are revoked
/// one by one. Safe to repeat: `NotRegistered`. A reason over 256 bytes, or one with control
/// characters, is `Validation(InvalidInput)`.
#[derive(Debug, Clone)]
pub struct MarkWorkerDead {
    /// Who is dead, and why. Its `now` decides nothing.
    pub args: MarkWorkerDeadArgs,
}

impl Command for MarkWorkerDead {
    const NAME: &'static str = "worker.mark_worker_dead";
    type Outcome = MarkWorkerDeadOutcome;

    fn footprint(&self) -> Footprint {
        let key = (self.args.namespace.clone(), self.args.worker_instance_id.clone());
        Footprint { worker: Wanted { worker: Some(key) }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<MarkWorkerDeadOutcome>, EngineError> {
        let reason = &self.args.reason;
        let refused =
            |detail| Err(EngineError::Validation { kind: ValidationKind::InvalidInput, detail });
        if reason.len() > MARK_WORKER_DEAD_REASON_MAX_BYTES {
            return refused(format!(
                "reason: exceeds {MARK_WORKER_DEAD_REASON_MAX_BYTES} bytes (got {})",
                reason.len()
            ));
        }
        if reason.chars().any(char::is_control) {
            return refused("reason: must not contain control characters".to_owned());
        }
        let Some(worker) = seen.worker.living(cx.now) else {
            return Ok(Transition::unchanged(MarkWorkerDeadOutcome::NotRegistered));
        };
        let note = RegistryEvent {
            namespace: worker.namespace.clone(),
            worker_instance_id: worker.worker_instance_id.clone(),
            kind: RegistryEventKind::MarkedDead,
            at: cx.now,
            reason: Some(reason.clone()),
            offer: None,
        };
        Ok(Transition::unchanged(MarkWorkerDeadOutcome::Marked)
            .change(Change::Worker(Write::Remove {
                namespace: worker.namespace.clone(),
                worker_instance_id: worker.worker_instance_id.clone(),
            }))
            .change(Change::Worker(Write::Note(Box::new(note)))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notes, seen, worker, writes};
    use super::*;
    use crate::machine::execution::testing::{decide, refusal};
    use crate::types::TimestampMs;

    fn mark(reason: &str) -> MarkWorkerDead {
        let worker = worker(0);
        let args = MarkWorkerDeadArgs::new(
            worker.worker_instance_id,
            worker.namespace,
            reason.to_owned(),
            TimestampMs(0),
        );
        MarkWorkerDead { args }
    }

    #[test]
    fn a_living_worker_is_removed_with_the_reason() {
        let done = decide(&mark("host gone"), &seen(worker(1))).unwrap();

        assert_eq!(done.outcome, MarkWorkerDeadOutcome::Marked);
        assert!(matches!(writes(&done)[0], Write::Remove { .. }));
        assert_eq!(notes(&done), [RegistryEventKind::MarkedDead]);
        let Write::Note(note) = writes(&done)[1] else { panic!("a note") };
        assert_eq!(note.reason.as_deref(), Some("host gone"));
    }

    #[test]
    fn who_is_not_there_cannot_be_marked() {
        for seen in [seen(None), seen(worker(0))] {
            let done = decide(&mark(""), &seen).unwrap();
            assert_eq!(done.outcome, MarkWorkerDeadOutcome::NotRegistered);
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn a_reason_is_short_and_printable() {
        assert!(decide(&mark(&"x".repeat(256)), &seen(None)).is_ok());
        assert_eq!(
            refusal(decide(&mark(&"x".repeat(257)), &seen(None))),
            "validation: InvalidInput: reason: exceeds 256 bytes (got 257)"
        );
        for reason in ["a\nb", "\0", "\u{85}"] {
            assert_eq!(
                refusal(decide(&mark(reason), &seen(None))),
                "validation: InvalidInput: reason: must not contain control characters"
            );
        }
    }
}
