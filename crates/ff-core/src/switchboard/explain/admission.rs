//! What admits an execution: its budgets, its quotas, its lane.

use super::{closed, open, unknown};
use crate::contracts::{Gate, GateEvidence, GateReport, QUOTA_HOLDERS_MAX};
use crate::engine_error::EngineError;
use crate::machine::Snapshot;
use crate::machine::budget::gate::{Closed, Why, budget_closed, quota_closed};
use crate::machine::budget::{Budget, GateKey, Quota, Readable};
use crate::machine::rows::Execution;
use crate::state::LaneState;
use crate::store::Reader;
use crate::types::{QuotaPolicyId, TimestampMs};

/// Its budgets, then its own quota, then that of its lane.
pub(super) fn reports(
    reader: &mut dyn Reader,
    execution: &Execution,
    seen: &Snapshot,
    lane_quota: Readable<Option<QuotaPolicyId>>,
    now: TimestampMs,
) -> Result<Vec<GateReport>, EngineError> {
    let gates = &seen.budget.gates;
    let mut told = Vec::new();
    for (id, budget) in &gates.budgets {
        told.push(budget_gate(budget, budget_closed(id, budget, now), &id.to_string()));
    }
    let quotas = [
        gates.own.as_ref().map(|(id, quota)| (GateKey::Quota(id.clone()), id, quota)),
        gates.lane.as_ref().map(|(id, quota)| (GateKey::LaneQuota(id.clone()), id, quota)),
    ];
    for (key, id, quota) in quotas.into_iter().flatten() {
        told.push(quota_gate(reader, id, quota, quota_closed(&key, quota, now), now)?);
    }
    if let Err(detail) = lane_quota {
        let what = format!("the quota of lane {} cannot be read: {detail}", execution.lane);
        told.push(unknown(Gate::Quota, what).with([GateEvidence::Unreadable { detail }]));
    }
    Ok(told)
}

/// Closed with its reason; unknown where the row cannot be read, which admits nothing either.
fn refused(gate: Gate, why: Closed) -> GateReport {
    if why.why == Why::Unreadable {
        let evidence = GateEvidence::Unreadable { detail: why.detail.clone() };
        return unknown(gate, why.detail).with([evidence]);
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

pub(super) fn lane(execution: &Execution, seen: &Snapshot) -> GateReport {
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
