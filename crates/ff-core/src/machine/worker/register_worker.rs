//! Registering a worker process, or refreshing what is known of it.

use super::{Registration, RegistryEvent, RegistryEventKind, Wanted, Write};
use crate::EngineError;
use crate::contracts::{RegisterWorkerArgs, RegisterWorkerOutcome};
use crate::engine_error::ValidationKind;
use crate::machine::limits::{
    NAME_MAX_BYTES, WORKER_LANES_MAX, WORKER_TTL_MAX_MS, WORKER_TTL_MIN_MS,
};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, gate, lease};
use crate::types::{DurationMs, LaneId};

/// Registers a worker instance in its namespace; a living one is refreshed. Safe to repeat.
///
/// Refused with `Validation(InvalidInput)`: a name, lane or duration out of its bounds, and an
/// instance that lives under another worker id; with `Validation(InvalidCapabilities)` malformed
/// capabilities.
#[derive(Debug, Clone)]
pub struct RegisterWorker {
    /// Who registers. Its `now` decides nothing.
    pub args: RegisterWorkerArgs,
}

impl Command for RegisterWorker {
    const NAME: &'static str = "worker.register_worker";
    type Outcome = RegisterWorkerOutcome;

    fn footprint(&self) -> Footprint {
        let key = (self.args.namespace.clone(), self.args.worker_instance_id.clone());
        Footprint { worker: Wanted { worker: Some(key) }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<RegisterWorkerOutcome>, EngineError> {
        let args = &self.args;
        self.check_limits()?;
        let living = seen.worker.living(cx.now);
        if living.is_some_and(|worker| worker.worker_id != args.worker_id) {
            return Err(invalid("instance_id reassigned".to_owned()));
        }
        let outcome = match living {
            Some(_) => RegisterWorkerOutcome::Refreshed,
            None => RegisterWorkerOutcome::Registered,
        };
        let worker = Registration {
            namespace: args.namespace.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            worker_id: args.worker_id.clone(),
            lanes: args.lanes.clone(),
            capabilities: args.capabilities.clone(),
            last_heartbeat_at: cx.now,
            liveness_ttl: DurationMs(args.liveness_ttl_ms),
            registered_at: living.map_or(cx.now, |worker| worker.registered_at),
        };
        let mut transition = Transition::unchanged(outcome);
        if let (None, Some(gone)) = (living, &seen.worker.worker) {
            let swept = RegistryEvent::of(gone, RegistryEventKind::TtlSwept, cx.now);
            transition = transition.change(Change::Worker(swept));
        }
        let note = RegistryEvent::of(&worker, RegistryEventKind::Registered, cx.now);
        Ok(transition
            .change(Change::Worker(Write::Put(Box::new(worker))))
            .change(Change::Worker(note)))
    }
}

impl RegisterWorker {
    fn check_limits(&self) -> Result<(), EngineError> {
        let args = &self.args;
        lease::named(&args.worker_id, &args.worker_instance_id)?;
        if args.worker_instance_id.as_str().is_empty() {
            return Err(invalid("worker_instance_id is empty".to_owned()));
        }
        let namespace = args.namespace.as_str();
        if namespace.len() > NAME_MAX_BYTES {
            let bytes = namespace.len();
            return Err(invalid(format!("namespace has {bytes} bytes; at most {NAME_MAX_BYTES}")));
        }
        let ttl = args.liveness_ttl_ms;
        if !(WORKER_TTL_MIN_MS..=WORKER_TTL_MAX_MS).contains(&ttl) {
            return Err(invalid(format!(
                "liveness_ttl_ms is {ttl}; give {WORKER_TTL_MIN_MS} to {WORKER_TTL_MAX_MS} ms"
            )));
        }
        if args.lanes.len() > WORKER_LANES_MAX {
            let lanes = args.lanes.len();
            return Err(invalid(format!(
                "{lanes} lanes; a worker names at most {WORKER_LANES_MAX}"
            )));
        }
        for lane in &args.lanes {
            if let Err(error) = LaneId::try_new(lane.as_str()) {
                return Err(invalid(format!("lane {:?}: {error}", lane.as_str())));
            }
            // The register keeps them as one comma-separated text.
            if lane.as_str().contains(',') {
                return Err(invalid(format!(
                    "lane {:?} has a comma; the register cannot name it",
                    lane.as_str()
                )));
            }
        }
        gate::key("worker", args.capabilities.iter().map(String::as_str)).map(drop)
    }
}

fn invalid(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notes, seen, worker, writes};
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, refusal};
    use crate::types::{Namespace, TimestampMs, WorkerId, WorkerInstanceId};
    use RegistryEventKind::{Registered, TtlSwept};

    fn register() -> RegisterWorker {
        let worker = worker(0);
        RegisterWorker {
            args: RegisterWorkerArgs::new(
                worker.worker_id,
                worker.worker_instance_id,
                worker.lanes,
                worker.capabilities,
                5_000,
                worker.namespace,
                TimestampMs(0),
            ),
        }
    }

    fn changed(change: impl FnOnce(&mut RegisterWorkerArgs)) -> RegisterWorker {
        let mut register = register();
        change(&mut register.args);
        register
    }

    fn stored(transition: &Transition<RegisterWorkerOutcome>) -> Registration {
        let put = writes(transition).into_iter().find_map(|write| match write {
            Write::Put(worker) => Some((**worker).clone()),
            Write::Remove { .. } | Write::Note(_) => None,
        });
        put.expect("a registration is written")
    }

    #[test]
    fn a_new_worker_is_registered_at_engine_time() {
        let done = decide(&register(), &seen(None)).unwrap();

        assert_eq!(done.outcome, RegisterWorkerOutcome::Registered);
        let expected = Registration {
            last_heartbeat_at: NOW,
            liveness_ttl: DurationMs(5_000),
            registered_at: NOW,
            ..worker(0)
        };
        assert_eq!(stored(&done), expected);
        assert_eq!(notes(&done), [Registered]);
    }

    #[test]
    fn a_living_one_is_refreshed_and_keeps_its_age() {
        let more = changed(|args| args.capabilities.clear());

        let done = decide(&more, &seen(worker(1))).unwrap();

        assert_eq!(done.outcome, RegisterWorkerOutcome::Refreshed);
        let stored = stored(&done);
        assert_eq!(stored.registered_at, worker(1).registered_at);
        assert!(stored.capabilities.is_empty());
        assert_eq!(notes(&done), [Registered]);
    }

    #[test]
    fn one_that_fell_silent_begins_anew_at_the_instant_itself() {
        let done = decide(&register(), &seen(worker(0))).unwrap();

        assert_eq!(done.outcome, RegisterWorkerOutcome::Registered);
        assert_eq!(stored(&done).registered_at, NOW);
        assert_eq!(notes(&done), [TtlSwept, Registered]);
    }

    #[test]
    fn an_instance_belongs_to_one_worker_while_it_lives() {
        let other = changed(|args| args.worker_id = WorkerId::new("other"));

        let refused = refusal(decide(&other, &seen(worker(1))));
        assert_eq!(refused, "validation: InvalidInput: instance_id reassigned");
        assert!(decide(&other, &seen(worker(0))).is_ok());
    }

    #[test]
    fn limits_hold_exactly() {
        let told = |command: &RegisterWorker| refusal(decide(command, &seen(None)));
        let lanes = |count: usize| (0..count).map(|n| LaneId::new(format!("lane-{n}"))).collect();
        for fits in [
            changed(|args| args.liveness_ttl_ms = WORKER_TTL_MIN_MS),
            changed(|args| args.liveness_ttl_ms = WORKER_TTL_MAX_MS),
            changed(|args| args.namespace = Namespace::new("n".repeat(128))),
            changed(|args| args.worker_instance_id = WorkerInstanceId::new("i".repeat(256))),
            changed(|args| args.lanes = lanes(256)),
            changed(|args| args.lanes.clear()),
        ] {
            assert_eq!(told(&fits), "accepted");
        }
        for (over, named) in [
            (changed(|args| args.liveness_ttl_ms = WORKER_TTL_MIN_MS - 1), "liveness_ttl_ms"),
            (changed(|args| args.liveness_ttl_ms = WORKER_TTL_MAX_MS + 1), "liveness_ttl_ms"),
            (changed(|args| args.namespace = Namespace::new("n".repeat(129))), "namespace"),
            (changed(|args| args.worker_instance_id = WorkerInstanceId::new("")), "empty"),
            (
                changed(|args| args.worker_instance_id = WorkerInstanceId::new("i".repeat(257))),
                "256",
            ),
            (changed(|args| args.lanes = lanes(257)), "257 lanes"),
            (changed(|args| args.lanes = [LaneId::new("")].into()), "lane \"\""),
            (changed(|args| args.lanes = [LaneId::new("a,b")].into()), "comma"),
        ] {
            let told = told(&over);
            assert!(told.starts_with("validation: InvalidInput") && told.contains(named), "{told}");
        }
        let malformed = changed(|args| args.capabilities = ["two words".to_owned()].into());
        assert!(told(&malformed).starts_with("validation: InvalidCapabilities"));
    }
}
