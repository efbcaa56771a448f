//! Why an execution is not running: every gate in front of it, from one consistent read.
//!
//! What is due is applied in memory first, so that the answer is the one a claim would find. The
//! verdicts on budgets and quotas are those of the rule that admits: they cannot disagree.
//! [`standing`] tells what the execution itself waits for, [`admission`] what admits it,
//! [`capability`] who could run it, [`line`] who stands before it.

mod admission;
mod capability;
mod line;
mod standing;

use crate::contracts::{Explanation, Gate, GateEvidence, GateReport, GateVerdict, WorkerStanding};
use crate::engine_error::EngineError;
use crate::machine::budget::LaneQuota;
use crate::machine::rows::Execution;
use crate::machine::{Context, Footprint, Limits, Snapshot, sweep};
use crate::store::{Reader, Store};
use crate::types::{ExecutionId, TimestampMs};

pub(super) async fn explain<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Explanation, EngineError> {
    let (id, now) = (id.clone(), store.now());
    store.read(move |reader| explained(reader, &id, now)).await
}

fn explained(
    reader: &mut dyn Reader,
    id: &ExecutionId,
    now: TimestampMs,
) -> Result<Explanation, EngineError> {
    let lane = reader.load(&Footprint::execution(id))?.execution()?.lane.clone();
    let lane_quota = reader.lane_standing(&lane)?.quota_policy_id;
    let bound = lane_quota.clone().unwrap_or_default();
    let mut footprint = Footprint::execution(id);
    footprint.budget.gates = Some(LaneQuota::Known(bound.clone()));
    footprint.budget.at = now;
    footprint.budget.counts_all = true;
    footprint.suspension.open = true;
    footprint.lane = Some(lane.clone());
    let stored = reader.load(&footprint)?;
    let is_stored_end = stored.execution()?.is_terminal();
    let seen = settled(stored, now);
    let execution = seen.execution()?;

    let (id, public) = (id.clone(), execution.public_state());
    let mut told = Explanation::new(id, public, lane, execution.priority, now);
    let of_flow = standing::flow(execution, &seen);
    let is_told_end = is_stored_end || of_flow.as_ref().is_some_and(stops);
    told.gates.push(standing::lifecycle(execution, &seen, is_told_end, now));
    told.gates.extend(of_flow);
    if !execution.is_terminal() && !execution.is_leased() {
        told.gates.push(standing::dependency(reader, execution)?);
        told.gates.push(standing::suspension(execution, &seen));
        told.gates.push(standing::delay(execution));
        told.gates.extend(admission::reports(reader, execution, &seen, lane_quota, now)?);
        told.gates.push(admission::lane(execution, &seen));
        told.gates.push(capability::report(reader, execution, now)?);
        if execution.is_claimable() {
            told.position = Some(line::position(reader, execution, bound.as_ref(), now)?);
        }
    }
    told.summary = summary(execution, &told);
    Ok(told)
}

/// The rows as they stand once everything that is due has happened.
fn settled(seen: Snapshot, now: TimestampMs) -> Snapshot {
    let limits = Limits::default();
    let settled = sweep::settle(&seen, &mut Context::new(now, 0, &limits)).map(|(_, rows)| rows);
    settled.unwrap_or(seen)
}

fn open(gate: Gate, detail: impl Into<String>) -> GateReport {
    GateReport::new(gate, GateVerdict::Open, detail)
}

fn closed(gate: Gate, detail: impl Into<String>) -> GateReport {
    GateReport::new(gate, GateVerdict::Closed, detail)
}

fn unknown(gate: Gate, detail: impl Into<String>) -> GateReport {
    GateReport::new(gate, GateVerdict::Unknown, detail)
}

/// Whether a claim stops here: what cannot be read admits nothing.
fn stops(gate: &GateReport) -> bool {
    let is_unreadable = |fact: &GateEvidence| {
        matches!(fact, GateEvidence::Unreadable { .. } | GateEvidence::Inconsistent { .. })
    };
    match gate.verdict {
        GateVerdict::Open => false,
        GateVerdict::Closed => true,
        GateVerdict::Unknown => gate.evidence.iter().any(is_unreadable),
    }
}

fn summary(execution: &Execution, told: &Explanation) -> String {
    // The cancel of a flow says more than that its member has ended.
    let of_flow = told.closed().find(|gate| gate.gate == Gate::Flow);
    if let Some(gate) = of_flow.or_else(|| told.gates.iter().find(|gate| stops(gate))) {
        return gate.detail.clone();
    }
    let everybody_is_busy = told.gates.iter().flat_map(|gate| &gate.evidence).any(|fact| {
        matches!(fact, GateEvidence::Workers { standing: WorkerStanding::AllBusy, .. })
    });
    let busy = if everybody_is_busy { "; every worker that fits is busy" } else { "" };
    match told.position {
        Some(position) if position.ahead > 0 => {
            let at_least = if position.is_at_least { "at least " } else { "" };
            format!("{at_least}{} stand before it in line{busy}", position.ahead)
        }
        Some(_) => format!("it is next in line and waits for a worker{busy}"),
        None => match &execution.blocking_detail {
            Some(detail) => detail.clone(),
            None => "its gates are open: the next claim puts it back in line".to_owned(),
        },
    }
}
