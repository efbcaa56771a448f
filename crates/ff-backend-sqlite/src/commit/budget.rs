//! Writing budgets, quotas, and what waits behind them.

use ff_core::EngineError;
use ff_core::contracts::ReportUsageResult;
use ff_core::machine::budget::{BudgetPolicy, GateKey, Overage, Write};
use ff_core::types::{BudgetId, ExecutionId, QuotaPolicyId, TimestampMs};
use rusqlite::{Params, params};
use serde_json::json;

use super::run;
use crate::error::Doing as _;
use crate::load::budget::{report_key, signed};
use crate::session::{SqliteSession, prepared};
use crate::statement::{self, Named};

pub(super) fn write(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    match write {
        Write::PutBudget(policy) => put_budget(conn, policy)?,
        Write::AddUsage { budget_id, dimension, delta, is_charged, limit, at } => {
            let charged = if *is_charged { *delta } else { 0 };
            let values = params![
                budget_id.to_string(),
                dimension,
                signed(*delta),
                signed(charged),
                at.0,
                limit.map(signed),
            ];
            let added = run(conn, statement::BUDGET_USAGE_ADD, "add to a counter", values)?;
            assert!(added == 1, "decided on the stored usage, in the same transaction");
        }
        Write::ResetUsage { budget_id, at } => {
            let values = params![budget_id.to_string(), at.0];
            run(conn, statement::BUDGET_USAGE_RESET, "reset a budget", values)?;
        }
        Write::TakeUsage { budget_id, dimension, amount, at } => {
            let values = params![budget_id.to_string(), dimension, signed(*amount), at.0];
            run(conn, statement::BUDGET_USAGE_TAKE, "give usage back", values)?;
        }
        Write::Charge { budget_id, execution_id, dimension, delta, period, at } => {
            let values = params![
                budget_id.to_string(),
                execution_id.uuid().to_string(),
                dimension,
                signed(*delta),
                signed(*period),
                at.0,
            ];
            run(conn, statement::BUDGET_CHARGE_ADD, "charge an execution", values)?;
        }
        Write::DropCharges { budget_id, execution_id } => {
            let values = params![budget_id.to_string(), execution_id.uuid().to_string()];
            run(conn, statement::BUDGET_CHARGE_DROP, "forget charges", values)?;
        }
        Write::CountBreach { budget_id, dimension, is_hard, at } => {
            count_breach(conn, budget_id, dimension, *is_hard, *at)?;
        }
        Write::Remember { budget_id, key, outcome, at, expires_at } => {
            let key = report_key(budget_id, key);
            let values = params![key, outcome_json(outcome), at.0, expires_at.0];
            run(conn, statement::BUDGET_REPORT_PUT, "remember a report", values)?;
        }
        Write::AddOverage(overage) => add_overage(conn, overage)?,
        Write::DropOverage { budget_id, key } => {
            let values = params![budget_id.to_string(), key];
            run(conn, statement::BUDGET_OVERAGE_DROP, "drop an overage", values)?;
        }
        Write::WakeBudget { budget_id } => wake(conn, &GateKey::Budget(budget_id.clone()))?,
        Write::PutQuota(_)
        | Write::BindLane { .. }
        | Write::BindExecution { .. }
        | Write::Admit { .. }
        | Write::FreeSlots { .. }
        | Write::FreeReservations { .. }
        | Write::Reserve { .. }
        | Write::DropReservation { .. }
        | Write::WakeQuota { .. } => write_quota(conn, write)?,
        Write::Park { .. } | Write::PutGate { .. } | Write::DropGate { .. } => {
            write_gate(conn, write)?;
        }
    }
    Ok(())
}

fn put_budget(conn: &SqliteSession<'_>, policy: &BudgetPolicy) -> Result<(), EngineError> {
    let limits = json!({
        "hard_limits": policy.hard_limits,
        "soft_limits": policy.soft_limits,
        "reset_interval_ms": policy.reset_interval.0,
        "on_hard_limit": policy.on_hard_limit,
        "on_soft_limit": policy.on_soft_limit,
    });
    let values = params![
        policy.id.to_string(),
        limits.to_string(),
        policy.scope_type,
        policy.scope_id,
        policy.enforcement_mode,
        signed(policy.breach_count),
        signed(policy.soft_breach_count),
        policy.last_breach_at.map(|at| at.0),
        policy.last_breach_dim,
        policy.next_reset_at.map(|at| at.0),
        signed(policy.period),
        policy.created_at.0,
        policy.updated_at.0,
    ];
    run(conn, statement::BUDGET_PUT, "store a budget", values).map(drop)
}

fn count_breach(
    conn: &SqliteSession<'_>,
    id: &BudgetId,
    dimension: &str,
    is_hard: bool,
    at: TimestampMs,
) -> Result<(), EngineError> {
    let (id, what) = (id.to_string(), "count a breach");
    if is_hard {
        run(conn, statement::BUDGET_COUNT_HARD_BREACH, what, params![id, dimension, at.0])?;
    } else {
        run(conn, statement::BUDGET_COUNT_SOFT_BREACH, what, params![id, at.0])?;
    }
    Ok(())
}

fn outcome_json(outcome: &ReportUsageResult) -> String {
    match outcome {
        ReportUsageResult::SoftBreach { dimension, current_usage, soft_limit } => json!({
            "kind": "SoftBreach",
            "dimension": dimension,
            "current_usage": current_usage,
            "soft_limit": soft_limit,
        }),
        ReportUsageResult::HardBreach { dimension, current_usage, hard_limit } => json!({
            "kind": "HardBreach",
            "dimension": dimension,
            "current_usage": current_usage,
            "hard_limit": hard_limit,
        }),
        ReportUsageResult::AlreadyApplied => json!({ "kind": "AlreadyApplied" }),
        // Outcomes that are not there yet are accepted reports too.
        _ => json!({ "kind": "Ok" }),
    }
    .to_string()
}

fn add_overage(conn: &SqliteSession<'_>, overage: &Overage) -> Result<(), EngineError> {
    let id = &overage.execution_id;
    let (budget_id, uuid) = (overage.budget_id.to_string(), id.uuid().into_bytes());
    let values = params![
        budget_id,
        overage.key,
        signed(overage.period),
        id.partition(),
        uuid,
        overage.dimension,
        signed(overage.amount),
        signed(overage.usage),
        signed(overage.hard_limit),
        overage.at.0,
    ];
    let what = "record an overage";
    if run(conn, statement::BUDGET_OVERAGE_RAISE, what, values)? == 0 {
        run(conn, statement::BUDGET_OVERAGE_ADD, what, values)?;
    }
    Ok(())
}

fn write_quota(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    match write {
        Write::PutQuota(policy) => {
            let values = params![
                policy.id.to_string(),
                signed(policy.window_seconds),
                signed(policy.rate),
                signed(policy.concurrency),
                signed(policy.active),
                policy.created_at.0,
                policy.updated_at.0,
            ];
            run(conn, statement::QUOTA_PUT, "store a quota policy", values)?;
        }
        Write::BindLane { lane, quota_policy_id, at } => {
            let quota = quota_policy_id.as_ref().map(ToString::to_string);
            let values = params![lane.as_str(), at.0, quota];
            run(conn, statement::QUOTA_BIND_LANE, "bind a lane", values)?;
        }
        Write::BindExecution { execution_id: id, quota_policy_id } => {
            let quota = quota_policy_id.as_ref().map(ToString::to_string);
            let values = params![id.partition(), id.uuid().into_bytes(), quota];
            run(conn, statement::QUOTA_BIND_EXECUTION, "bind an execution", values)?;
        }
        Write::Admit { quota_policy_id, execution_id: id, epoch, is_entry, window_start, at } => {
            let quota = quota_policy_id.to_string();
            let uuid = id.uuid().into_bytes();
            let values = params![quota, id.partition(), uuid, signed(epoch.0), at.0];
            run(conn, statement::QUOTA_SLOT_TAKE, "take a slot", values)?;
            let values = params![id.partition(), uuid, true];
            run(conn, statement::QUOTA_SLOT_MARK, "take a slot", values)?;
            run(
                conn,
                statement::QUOTA_RESERVATION_DROP,
                "take a slot",
                params![quota, id.as_str()],
            )?;
            if *is_entry {
                let lease = format!("lease:{}", epoch.0);
                enter(conn, &quota, &lease, id, *at, *window_start)?;
            }
        }
        Write::FreeSlots { execution_id } => free_slots(conn, execution_id)?,
        Write::FreeReservations { execution_id } => free_reservations(conn, execution_id)?,
        Write::Reserve { quota_policy_id, execution_id, at, expires_at, window_start, active } => {
            let quota = quota_policy_id.to_string();
            let values = params![quota, execution_id.as_str(), at.0, expires_at.0];
            run(conn, statement::QUOTA_RESERVATION_PUT, "reserve a slot", values)?;
            mark_reserved(conn, execution_id, true)?;
            enter(conn, &quota, "", execution_id, *at, *window_start)?;
            if let Some(active) = active {
                let values = params![quota, signed(*active), at.0];
                run(conn, statement::QUOTA_SET_ACTIVE, "reserve a slot", values)?;
            }
        }
        Write::DropReservation { quota_policy_id, execution_id, active, at } => {
            let quota = quota_policy_id.to_string();
            let what = "give a reservation back";
            let values = params![quota, execution_id.as_str()];
            run(conn, statement::QUOTA_RESERVATION_DROP, what, values)?;
            let values = params![quota, signed(*active), at.0];
            run(conn, statement::QUOTA_SET_ACTIVE, what, values)?;
        }
        Write::WakeQuota { quota_policy_id } => wake_quota(conn, quota_policy_id)?,
        _ => unreachable!("the caller has told them apart"),
    }
    Ok(())
}

fn enter(
    conn: &SqliteSession<'_>,
    quota: &str,
    lease: &str,
    id: &ExecutionId,
    at: TimestampMs,
    window_start: TimestampMs,
) -> Result<(), EngineError> {
    let what = "enter a window";
    run(conn, statement::QUOTA_WINDOW_PRUNE, what, params![quota, window_start.0])?;
    run(conn, statement::QUOTA_WINDOW_ADD, what, params![quota, lease, at.0, id.as_str()])?;
    Ok(())
}

fn free_slots(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<(), EngineError> {
    let (partition, uuid) = (id.partition(), id.uuid().into_bytes());
    let freed = quotas_of(conn, statement::QUOTA_SLOT_FREE, params![partition, uuid])?;
    run(conn, statement::QUOTA_SLOT_MARK, "free slots", params![partition, uuid, false])?;
    freed.iter().try_for_each(|quota| wake_quota(conn, quota))
}

fn free_reservations(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<(), EngineError> {
    let freed = quotas_of(conn, statement::QUOTA_RESERVATION_FREE, params![id.as_str()])?;
    mark_reserved(conn, id, false)?;
    freed.iter().try_for_each(|quota| wake_quota(conn, quota))
}

fn mark_reserved(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    is_reserved: bool,
) -> Result<(), EngineError> {
    let values = params![id.partition(), id.uuid().into_bytes(), is_reserved];
    run(conn, statement::QUOTA_RESERVATION_MARK, "reserve a slot", values).map(drop)
}

/// Frees what a statement frees; answers the quotas it names.
fn quotas_of(
    conn: &SqliteSession<'_>,
    free: Named,
    values: impl Params,
) -> Result<Vec<QuotaPolicyId>, EngineError> {
    let what = "free slots";
    let mut statement = prepared(conn, free)?;
    let mut rows = statement.query(values).doing(what)?;
    let mut freed = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let quota: String = row.get(0).doing(what)?;
        freed.extend(QuotaPolicyId::parse(&quota).ok());
    }
    Ok(freed)
}

fn wake_quota(conn: &SqliteSession<'_>, id: &QuotaPolicyId) -> Result<(), EngineError> {
    wake(conn, &GateKey::Quota(id.clone()))?;
    wake(conn, &GateKey::LaneQuota(id.clone()))
}

fn wake(conn: &SqliteSession<'_>, gate: &GateKey) -> Result<(), EngineError> {
    run(conn, statement::GATE_WAKE, "wake a gate", params![gate.to_string()]).map(drop)
}

fn write_gate(conn: &SqliteSession<'_>, write: &Write) -> Result<(), EngineError> {
    match write {
        Write::Park { execution_id: id, lane, gate, look_at } => {
            let gate = gate.to_string();
            let values = params![id.partition(), id.uuid().into_bytes(), gate];
            run(conn, statement::GATE_PARK, "park an execution", values)?;
            let values = params![lane.as_str(), gate, look_at.0];
            run(conn, statement::GATE_CLOSE, "close a gate", values)?;
        }
        Write::PutGate { lane, gate, look_at, sweep_at } => {
            let values = params![lane.as_str(), gate.to_string(), look_at.0, sweep_at.0];
            run(conn, statement::GATE_PUT, "plan the look at a gate", values)?;
        }
        Write::DropGate { lane, gate } => {
            let values = params![lane.as_str(), gate.to_string()];
            run(conn, statement::GATE_DROP, "forget a gate", values)?;
        }
        _ => unreachable!("the caller has told them apart"),
    }
    Ok(())
}
