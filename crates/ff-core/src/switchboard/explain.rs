//! Why an execution is not running: every gate in front of it, from one consistent read.
//!
//! What is due is applied in memory first, so that the answer is the one a claim would find. The
//! verdicts on budgets and quotas are those of the rule that admits: they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use crate::contracts::{
    Explanation, Gate, GateEvidence, GateReport, GateVerdict, LINE_POSITION_MAX, LinePosition,
    QUOTA_HOLDERS_MAX,
};
use crate::engine_error::EngineError;
use crate::machine::budget::gate::{Closed, Why, budget_closed, quota_closed};
use crate::machine::budget::{Budget, GateKey, Quota, Readable};
use crate::machine::rows::{Candidate, Execution};
use crate::machine::{Context, Footprint, Limits, Snapshot, gate, sweep};
use crate::state::{EligibilityState, LaneState, LifecyclePhase};
use crate::store::flow::EdgesOf;
use crate::store::{Reader, Store};
use crate::types::{ExecutionId, QuotaPolicyId, TimestampMs};

/// Executions of a line that one search reads.
const LINE_PAGE: usize = 256;

/// Most edges that the evidence names.
const EDGES_MAX: usize = 100;

/// Most registered workers that are looked at.
const WORKERS_MAX: usize = 1_000;

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
    let mut footprint = Footprint::execution(id).with_gates();
    footprint.budget.at = now;
    footprint.lane = Some(lane.clone());
    let seen = reader.load(&footprint)?;
    let limits = Limits::default();
    let settled = sweep::settle(&seen, &mut Context::new(now, 0, &limits)).map(|(_, rows)| rows);
    let mut seen = settled.unwrap_or(seen);
    let execution = seen.execution()?.clone();

    let (id, public) = (id.clone(), execution.public_state());
    let mut told = Explanation::new(id, public, lane, execution.priority, now);
    told.gates.push(lifecycle(&execution, &seen));
    if !execution.is_terminal() && !execution.is_leased() {
        told.gates.push(dependency(reader, &execution)?);
        told.gates.push(suspension(&execution));
        told.gates.push(delay(&execution));
        for (id, budget) in &seen.budget.gates.budgets {
            told.gates.push(budget_gate(budget, budget_closed(id, budget, now), &id.to_string()));
        }
        let quotas = [
            seen.budget.gates.own.take().map(|(id, quota)| (GateKey::Quota(id.clone()), id, quota)),
            seen.budget
                .gates
                .lane
                .take()
                .map(|(id, quota)| (GateKey::LaneQuota(id.clone()), id, quota)),
        ];
        for (key, id, quota) in quotas.into_iter().flatten() {
            let why = quota_closed(&key, &quota, now);
            told.gates.push(quota_gate(reader, &id, &quota, why, now)?);
        }
        told.gates.push(lane_gate(&execution, &seen));
        told.gates.push(capability(reader, &execution, now)?);
        if execution.is_claimable() {
            told.position = Some(position(reader, &execution)?);
        }
    }
    told.summary = summary(&execution, &told);
    Ok(told)
}

fn open(gate: Gate, detail: impl Into<String>) -> GateReport {
    GateReport::new(gate, GateVerdict::Open, detail)
}

fn closed(gate: Gate, detail: impl Into<String>) -> GateReport {
    GateReport::new(gate, GateVerdict::Closed, detail)
}

fn lifecycle(execution: &Execution, seen: &Snapshot) -> GateReport {
    if execution.is_terminal() {
        let at = execution.ended_at;
        let ended = GateEvidence::Ended { outcome: execution.outcome(), at };
        let detail = format!("it has ended: {}", execution.outcome().as_str());
        return closed(Gate::Lifecycle, detail).with([ended]);
    }
    if execution.is_leased() {
        let attempt = seen.current.as_ref();
        let expires_at = attempt.and_then(|attempt| attempt.lease_expires_at);
        let worker_instance_id = attempt.and_then(|attempt| attempt.worker_instance_id.clone());
        let lease = GateEvidence::Lease { worker_instance_id, expires_at };
        return closed(Gate::Lifecycle, "it is running").with([lease]);
    }
    open(Gate::Lifecycle, "it waits for a worker")
}

/// Closed with the edges that are not decided yet.
fn dependency(reader: &mut dyn Reader, execution: &Execution) -> Result<GateReport, EngineError> {
    if execution.state.eligibility_state != EligibilityState::BlockedByDependencies {
        return Ok(open(Gate::Dependency, "nothing upstream holds it"));
    }
    let report = closed(Gate::Dependency, "it waits for its upstreams or its children");
    let Some(flow) = &execution.flow_id else { return Ok(report) };
    let edges = reader.edges(flow, &EdgesOf::Into(execution.id.clone()), EDGES_MAX)?;
    let mut evidence = Vec::new();
    for edge in edges.into_iter().filter(|edge| edge.resolved.is_none()) {
        let upstream = reader.load(&Footprint::execution(&edge.upstream))?.execution;
        let state = match (&edge.applied_at, upstream) {
            (None, _) => "drawn, not applied".to_owned(),
            (Some(_), None) => "missing".to_owned(),
            (Some(_), Some(upstream)) => upstream.public_state().as_str().to_owned(),
        };
        evidence.push(GateEvidence::Edge { edge_id: edge.id, upstream: edge.upstream, state });
    }
    Ok(report.with(evidence))
}

fn suspension(execution: &Execution) -> GateReport {
    match execution.state.lifecycle_phase {
        LifecyclePhase::Suspended => closed(
            Gate::Suspension,
            format!("it is suspended: {}", execution.state.blocking_reason.as_str()),
        ),
        LifecyclePhase::Submitted
        | LifecyclePhase::Runnable
        | LifecyclePhase::Active
        | LifecyclePhase::Terminal => open(Gate::Suspension, "it is not suspended"),
    }
}

fn delay(execution: &Execution) -> GateReport {
    match execution.state.eligibility_state {
        EligibilityState::NotEligibleUntilTime => {
            let why = execution.state.blocking_reason.as_str();
            closed(Gate::Delay, format!("its instant has not come: {why}"))
                .opening_at(execution.eligible_at)
        }
        _ => open(Gate::Delay, "it is not delayed"),
    }
}

/// Closed with its reason; unknown where the row cannot be read, which admits nothing either.
fn refused(gate: Gate, why: Closed) -> GateReport {
    if why.why == Why::Unreadable {
        let evidence = GateEvidence::Unreadable { detail: why.detail.clone() };
        return GateReport::new(gate, GateVerdict::Unknown, why.detail).with([evidence]);
    }
    closed(gate, why.detail).opening_at(why.opens_at)
}

fn budget_gate(budget: &Readable<Budget>, why: Option<Closed>, id: &str) -> GateReport {
    let report = match why {
        Some(why) => refused(Gate::Budget, why),
        None => open(Gate::Budget, format!("budget {id} has room")),
    };
    let Ok(budget) = budget else { return report };
    let limits = budget.policy.iter().flat_map(|policy| &policy.hard_limits);
    report.with(limits.filter(|(_, hard)| **hard > 0).map(|(dimension, hard)| {
        GateEvidence::BudgetDimension {
            budget_id: budget.id.clone(),
            dimension: dimension.clone(),
            usage: budget.usage_of(dimension).saturating_add(budget.overage_of(dimension)),
            hard_limit: *hard,
        }
    }))
}

fn quota_gate(
    reader: &mut dyn Reader,
    id: &QuotaPolicyId,
    quota: &Readable<Quota>,
    why: Option<Closed>,
    now: TimestampMs,
) -> Result<GateReport, EngineError> {
    let report = match why {
        Some(why) => refused(Gate::Quota, why),
        None => open(Gate::Quota, format!("quota {id} has room")),
    };
    let Ok(quota) = quota else { return Ok(report) };
    let slots = GateEvidence::QuotaSlots {
        quota_policy_id: id.clone(),
        active: quota.occupied,
        cap: quota.rule.concurrency,
    };
    let window = GateEvidence::QuotaWindow {
        quota_policy_id: id.clone(),
        admitted: quota.in_window,
        limit: quota.rule.rate,
        window_ms: quota.rule.window.0,
    };
    let holders = reader.quota_holders(id, now, QUOTA_HOLDERS_MAX)?.into_iter();
    Ok(report.with([slots, window]).with(holders.map(|holder| GateEvidence::QuotaHolder {
        quota_policy_id: id.clone(),
        execution_id: holder.execution_id,
        worker_instance_id: holder.worker_instance_id,
        lease_expires_at: holder.lease_expires_at,
    })))
}

fn lane_gate(execution: &Execution, seen: &Snapshot) -> GateReport {
    let state = seen.lane.as_ref().map_or(LaneState::Active, |lane| lane.state);
    let lane_id = execution.lane.clone();
    let evidence = GateEvidence::LaneState { lane_id, state };
    let name = execution.lane.as_str();
    let report = match state {
        LaneState::Active => open(Gate::Lane, format!("lane {name} hands out work")),
        LaneState::Paused | LaneState::Draining | LaneState::Disabled => {
            closed(Gate::Lane, format!("lane {name} is {}", state.as_str()))
        }
    };
    report.with([evidence])
}

/// By the registry of workers. A worker need not register to claim, so an empty registry says
/// nothing.
fn capability(
    reader: &mut dyn Reader,
    execution: &Execution,
    now: TimestampMs,
) -> Result<GateReport, EngineError> {
    let workers = reader.workers(&execution.namespace, now, None, WORKERS_MAX)?;
    let needs = match execution.gate_key.as_str() {
        "" => "any worker may run it".to_owned(),
        key => format!("it needs a worker with {}", key.replace(',', ", ")),
    };
    let of_lane: Vec<_> =
        workers.iter().filter(|worker| worker.lanes.contains(&execution.lane)).collect();
    let able: Vec<_> = of_lane
        .iter()
        .filter(|worker| gate::opens(&execution.gate_key, &worker.capabilities))
        .collect();
    if workers.is_empty() {
        let verdict = match execution.gate_key.as_str() {
            "" => GateVerdict::Open,
            _ => GateVerdict::Unknown,
        };
        let detail = format!("{needs}; no worker is registered");
        return Ok(GateReport::new(Gate::Capability, verdict, detail));
    }
    if able.is_empty() {
        let offered: BTreeSet<String> =
            of_lane.iter().flat_map(|worker| worker.capabilities.iter().cloned()).collect();
        let missing = gate::missing(&execution.gate_key, &offered).into_iter();
        let detail = format!("{needs}; of {} registered workers none fits", workers.len());
        return Ok(closed(Gate::Capability, detail)
            .with(missing.map(|token| GateEvidence::MissingCapability { token })));
    }
    let held: BTreeMap<_, _> = reader.leases_held(now)?.into_iter().collect();
    let busy = able.iter().filter(|worker| held.contains_key(&worker.worker_instance_id)).count();
    let detail = format!("{needs}; {} registered workers fit, {busy} hold leases", able.len());
    Ok(open(Gate::Capability, detail).with(able.iter().map(|worker| GateEvidence::Worker {
        worker_instance_id: worker.worker_instance_id.clone(),
        is_alive: true,
        holds: held.get(&worker.worker_instance_id).copied().unwrap_or(0),
    })))
}

/// How many of the same line, behind the same capabilities, stand before it.
fn position(reader: &mut dyn Reader, execution: &Execution) -> Result<LinePosition, EngineError> {
    let (mut ahead, mut last): (usize, Option<Candidate>) = (0, None);
    loop {
        let page =
            reader.candidates(&execution.lane, &execution.gate_key, last.as_ref(), LINE_PAGE)?;
        for candidate in &page {
            if candidate.execution_id == execution.id {
                return Ok(LinePosition::new(ahead as u64, false));
            }
            ahead += 1;
        }
        if page.is_empty() || ahead >= LINE_POSITION_MAX {
            return Ok(LinePosition::new(ahead as u64, !page.is_empty()));
        }
        last = page.into_iter().next_back();
    }
}

fn summary(execution: &Execution, told: &Explanation) -> String {
    let first = told.gates.iter().find(|gate| gate.verdict == GateVerdict::Closed);
    match (first, told.position) {
        (Some(gate), _) => gate.detail.clone(),
        (None, Some(position)) if position.ahead > 0 => {
            format!("{} stand before it in line", position.ahead)
        }
        (None, Some(_)) => "it is next in line and waits for a worker".to_owned(),
        (None, None) => match &execution.blocking_detail {
            Some(detail) => detail.clone(),
            None => "its gates are open: the next claim puts it back in line".to_owned(),
        },
    }
}
