//! Who could run it, by the registry of workers and the live leases.
//!
//! A worker need not register to claim, and the registry does not say how many leases one takes
//! at a time. So nobody registered at all is unknown, and everybody busy closes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{closed, open, unknown};
use crate::contracts::{Gate, GateEvidence, GateReport, WorkerStanding};
use crate::engine_error::EngineError;
use crate::machine::gate;
use crate::machine::rows::Execution;
use crate::machine::worker::{Offer, Registration};
use crate::store::Reader;
use crate::types::{LaneId, TimestampMs, WorkerInstanceId};

/// Most registered workers, and most announcements, that are looked at.
const WORKERS_MAX: usize = 1_000;

pub(super) fn report(
    reader: &mut dyn Reader,
    execution: &Execution,
    now: TimestampMs,
) -> Result<GateReport, EngineError> {
    let workers = reader.workers(&execution.namespace, now, None, WORKERS_MAX)?;
    let fits = |lanes: &BTreeSet<LaneId>, capabilities: &BTreeSet<String>| {
        lanes.contains(&execution.lane) && gate::opens(&execution.gate_key, capabilities)
    };
    let (able, others): (Vec<_>, Vec<_>) =
        workers.into_iter().partition(|worker| fits(&worker.lanes, &worker.capabilities));
    if !able.is_empty() {
        let held = reader.leases_held(now)?.into_iter().collect();
        return Ok(alive(execution, &able, &held));
    }
    let announced = reader.announcements(&execution.namespace, WORKERS_MAX)?;
    let fitted = |offer: &Offer| fits(&offer.lanes, &offer.capabilities);
    let gone = announced.iter().find(|line| line.offer.as_ref().is_some_and(fitted));
    let needs = needs(execution);
    if let Some(gone) = gone {
        let worker = GateEvidence::Worker {
            worker_instance_id: gone.worker_instance_id.clone(),
            is_alive: false,
            announced_at: gone.at,
            holds: 0,
        };
        let detail = format!("{needs}; none that fits is alive");
        return Ok(closed(Gate::Capability, detail)
            .with([GateEvidence::Workers { standing: WorkerStanding::NoneAlive, fitting: 0 }])
            .with([worker]));
    }
    let never = GateEvidence::Workers { standing: WorkerStanding::NeverRegistered, fitting: 0 };
    let offered: BTreeSet<String> = others
        .iter()
        .filter(|worker| worker.lanes.contains(&execution.lane))
        .flat_map(|worker| worker.capabilities.iter().cloned())
        .collect();
    let missing = gate::missing(&execution.gate_key, &offered).into_iter();
    let missing = missing.map(|token| GateEvidence::MissingCapability { token });
    if announced.is_empty() && others.is_empty() {
        let detail = format!("{needs}; no worker ever registered");
        return Ok(unknown(Gate::Capability, detail).with([never]).with(missing));
    }
    let detail =
        format!("{needs}; no worker that fits ever registered for lane {}", execution.lane);
    Ok(closed(Gate::Capability, detail).with([never]).with(missing))
}

fn alive(
    execution: &Execution,
    able: &[Registration],
    held: &BTreeMap<WorkerInstanceId, u64>,
) -> GateReport {
    let holds = |worker: &Registration| held.get(&worker.worker_instance_id).copied().unwrap_or(0);
    let (fitting, busy) = (able.len(), able.iter().filter(|worker| holds(worker) > 0).count());
    let (standing, how) = if busy == fitting {
        (WorkerStanding::AllBusy, "all of them are busy".to_owned())
    } else {
        (WorkerStanding::Free, format!("{busy} of them are busy"))
    };
    let detail = format!("{}; {fitting} registered workers fit, {how}", needs(execution));
    let fitting = u64::try_from(fitting).unwrap_or(u64::MAX);
    open(Gate::Capability, detail).with([GateEvidence::Workers { standing, fitting }]).with(
        able.iter().map(|worker| GateEvidence::Worker {
            worker_instance_id: worker.worker_instance_id.clone(),
            is_alive: true,
            announced_at: worker.registered_at,
            holds: holds(worker),
        }),
    )
}

fn needs(execution: &Execution) -> String {
    match execution.gate_key.as_str() {
        "" => "any worker of its lane may run it".to_owned(),
        key => format!("it needs a worker with {}", key.replace(',', ", ")),
    }
}
