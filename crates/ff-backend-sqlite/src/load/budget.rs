//! Budgets and quotas as a command sees them.
//!
//! A row that cannot be read is shown as such, by table, column and key, beside those that can: what it means is for
//! the rules to decide.

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::engine_error::ValidationKind;
use ff_core::machine::budget::{
    Budget, BudgetPolicy, Gates, LaneQuota, Quota, QuotaPolicy, QuotaRule, Readable, Seen, Wanted,
};
use ff_core::machine::rows::Execution;
use ff_core::types::{BudgetId, DurationMs, ExecutionId, LaneId, QuotaPolicyId, TimestampMs};
use rusqlite::{OptionalExtension as _, params};
use serde::Deserialize;

use crate::error::{Doing as _, corrupt};
use crate::read::{lane, page};
use crate::row::{Columns, execution_id};
use crate::session::{SqliteSession, prepared};
use crate::statement;

/// Turns a corrupt row into something to show; any other error stays one.
fn readable<T>(read: Result<T, EngineError>) -> Result<Readable<T>, EngineError> {
    match read {
        Ok(row) => Ok(Ok(row)),
        Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
            Ok(Err(detail))
        }
        Err(error) => Err(error),
    }
}

pub(super) fn seen(
    conn: &SqliteSession<'_>,
    wanted: &Wanted,
    execution: Option<&Execution>,
) -> Result<Seen, EngineError> {
    let mut seen = Seen::default();
    if let Some(id) = &wanted.budget {
        let read = readable(budget(conn, id))?;
        if let (Some(of), Ok(budget)) = (&wanted.charges_of, &read) {
            let period = budget.policy.as_ref().map_or(0, |policy| policy.period);
            seen.charges = charges(conn, id, of, period)?;
        }
        seen.budget = Some(read);
        if let Some(key) = &wanted.report_key {
            let (until, has_overage): (Option<i64>, bool) =
                prepared(conn, statement::BUDGET_REPORT_LOAD)?
                    .query_row(params![report_key(id, key), key, id.to_string()], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .doing("load a report's key")?;
            seen.reported_until = until.map(TimestampMs);
            seen.has_overage = has_overage;
        }
    }
    if let Some((id, of, rule)) = &wanted.quota {
        seen.quota = Some(readable(quota(conn, id, of.as_ref(), *rule, wanted))?);
    }
    if let (Some(lane_quota), Some(execution)) = (&wanted.gates, execution) {
        seen.gates = gates(conn, lane_quota, execution, wanted)?;
    }
    Ok(seen)
}

/// Keys of reports are unique in their table; a budget's id has one length, so this is unambiguous.
pub(crate) fn report_key(id: &BudgetId, key: &str) -> String {
    format!("{id}:{key}")
}

fn gates(
    conn: &SqliteSession<'_>,
    lane_quota: &LaneQuota,
    execution: &Execution,
    wanted: &Wanted,
) -> Result<Gates, EngineError> {
    let mut gates = Gates::default();
    for id in execution.policy.iter().flat_map(|policy| &policy.budget_ids) {
        if gates.budgets.iter().all(|(known, _)| known != id) {
            gates.budgets.push((id.clone(), readable(budget(conn, id))?));
        }
    }
    let find = |id: &QuotaPolicyId| {
        let read = readable(quota(conn, id, Some(&execution.id), None, wanted))?;
        Ok::<_, EngineError>((id.clone(), read))
    };
    gates.own = execution.quota_policy_id.as_ref().map(find).transpose()?;
    let lane = match lane_quota {
        LaneQuota::Known(id) => id.clone(),
        LaneQuota::Follow => {
            match lane::lane(conn, &execution.lane)?.map(|row| row.quota_policy_id) {
                None => None,
                Some(Ok(id)) => id,
                Some(Err(detail)) => {
                    return Err(EngineError::Validation {
                        kind: ValidationKind::Corruption,
                        detail,
                    });
                }
            }
        }
    };
    gates.lane = lane.as_ref().map(find).transpose()?;
    Ok(gates)
}

/// The members of `policy_json` that the engine knows.
#[derive(Deserialize)]
struct Limits {
    #[serde(default)]
    hard_limits: BTreeMap<String, u64>,
    #[serde(default)]
    soft_limits: BTreeMap<String, u64>,
    #[serde(default)]
    reset_interval_ms: u64,
    #[serde(default)]
    on_hard_limit: String,
    #[serde(default)]
    on_soft_limit: String,
}

fn budget(conn: &SqliteSession<'_>, id: &BudgetId) -> Result<Budget, EngineError> {
    let policy = policy(conn, id)?;
    let period = policy.as_ref().map_or(0, |policy| policy.period);
    let mut budget =
        Budget { id: id.clone(), policy, usage: BTreeMap::new(), overage: BTreeMap::new() };
    let what = "load a budget's counters";
    let key = id.to_string();
    {
        let mut statement = prepared(conn, statement::BUDGET_USAGE_LOAD)?;
        let mut rows = statement.query(params![key]).doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            let mut columns = Columns::of(row);
            let dimension = columns.text()?.to_owned();
            let value = amount("ff_budget_usage", "current_value", id, columns.next()?)?;
            budget.usage.insert(dimension, value);
        }
    }
    let mut statement = prepared(conn, statement::BUDGET_OVERAGE_LOAD)?;
    let mut rows = statement.query(params![key, signed(period)]).doing(what)?;
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let dimension = columns.text()?.to_owned();
        let value = amount("ff_budget_overage", "amount", id, columns.next()?)?;
        let total = budget.overage.entry(dimension).or_default();
        *total = total.saturating_add(value);
    }
    Ok(budget)
}

fn policy(conn: &SqliteSession<'_>, id: &BudgetId) -> Result<Option<BudgetPolicy>, EngineError> {
    const TABLE: &str = "ff_budget_policy";
    let mut statement = prepared(conn, statement::BUDGET_LOAD)?;
    let mut rows = statement.query(params![id.to_string()]).doing("load a budget")?;
    let Some(row) = rows.next().doing("load a budget")? else { return Ok(None) };
    let mut columns = Columns::of(row);
    let json = columns.text()?;
    let limits: Limits = serde_json::from_str(json)
        .map_err(|error| corrupt(TABLE, "policy_json", format_args!("budget {id}"), error))?;
    for (kind, stored) in [("hard", &limits.hard_limits), ("soft", &limits.soft_limits)] {
        if let Some((dimension, limit)) = stored.iter().find(|(_, limit)| **limit > i64::MAX as u64)
        {
            let what = format_args!("budget {id}, {kind} limit of {dimension}");
            return Err(corrupt(TABLE, "policy_json", what, limit));
        }
    }
    Ok(Some(BudgetPolicy {
        id: id.clone(),
        scope_type: columns.text()?.to_owned(),
        scope_id: columns.text()?.to_owned(),
        enforcement_mode: columns.text()?.to_owned(),
        on_hard_limit: limits.on_hard_limit,
        on_soft_limit: limits.on_soft_limit,
        reset_interval: DurationMs(limits.reset_interval_ms),
        hard_limits: limits.hard_limits,
        soft_limits: limits.soft_limits,
        breach_count: amount(TABLE, "breach_count", id, columns.next()?)?,
        soft_breach_count: amount(TABLE, "soft_breach_count", id, columns.next()?)?,
        last_breach_at: columns.instant()?,
        last_breach_dim: columns.next()?,
        next_reset_at: columns.instant()?,
        period: amount(TABLE, "period", id, columns.next()?)?,
        created_at: TimestampMs(columns.next()?),
        updated_at: TimestampMs(columns.next()?),
    }))
}

/// A number of a budget that is never negative.
fn amount(table: &str, column: &str, id: &BudgetId, value: i64) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| corrupt(table, column, format_args!("budget {id}"), value))
}

/// A number that the rules keep within SQLite's.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn charges(
    conn: &SqliteSession<'_>,
    id: &BudgetId,
    of: &ExecutionId,
    period: u64,
) -> Result<Vec<(String, u64)>, EngineError> {
    let what = "load what an execution was charged";
    let mut statement = prepared(conn, statement::BUDGET_CHARGE_LOAD)?;
    let values = params![id.to_string(), of.uuid().to_string(), signed(period)];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let dimension = columns.text()?.to_owned();
        let total = amount("ff_budget_usage_by_exec", "delta_total", id, columns.next()?)?;
        found.push((dimension, total));
    }
    Ok(found)
}

fn quota_policy(
    conn: &SqliteSession<'_>,
    id: &QuotaPolicyId,
) -> Result<Option<QuotaPolicy>, EngineError> {
    let mut statement = prepared(conn, statement::QUOTA_LOAD)?;
    let mut rows = statement.query(params![id.to_string()]).doing("load a quota policy")?;
    let Some(row) = rows.next().doing("load a quota policy")? else { return Ok(None) };
    let mut columns = Columns::of(row);
    let mut bound = |field: &str| {
        let value: i64 = columns.next()?;
        u64::try_from(value).map_err(|_| EngineError::Validation {
            kind: ValidationKind::Corruption,
            detail: format!(
                "read_quota_policy_limits: quota_policy={id} field={field} value={value} (negative)"
            ),
        })
    };
    Ok(Some(QuotaPolicy {
        id: id.clone(),
        window_seconds: bound("requests_per_window_seconds")?,
        rate: bound("max_requests_per_window")?,
        concurrency: bound("active_concurrency_cap")?,
        active: bound("active_concurrency")?,
        created_at: TimestampMs(columns.next()?),
        updated_at: TimestampMs(columns.next()?),
    }))
}

fn quota(
    conn: &SqliteSession<'_>,
    id: &QuotaPolicyId,
    of: Option<&ExecutionId>,
    rule: Option<QuotaRule>,
    &Wanted { at: now, counts_all, .. }: &Wanted,
) -> Result<Quota, EngineError> {
    let what = "count what occupies a quota";
    let policy = quota_policy(conn, id)?;
    let none = QuotaRule { window: DurationMs(0), rate: 0, concurrency: 0 };
    let rule = rule.or_else(|| policy.as_ref().map(QuotaRule::of)).unwrap_or(none);
    let key = id.to_string();

    let own = of.map(ExecutionId::as_str);
    let reserved_until = match own {
        Some(own) => prepared(conn, statement::QUOTA_RESERVATION_LOAD)?
            .query_row(params![key, own, now.0], |row| row.get(0))
            .optional()
            .doing(what)?
            .map(TimestampMs),
        None => None,
    };
    let (mut occupied, mut next_reservation_end) = (0, None);
    if counts_all || rule.concurrency > 0 {
        let (partition, uuid) = (of.map(ExecutionId::partition), of.map(ExecutionId::uuid));
        let uuid = uuid.as_ref().map(|uuid| &uuid.as_bytes()[..]);
        let leases: i64 = prepared(conn, statement::QUOTA_SLOT_COUNT)?
            .query_row(params![key, now.0, partition, uuid], |row| row.get(0))
            .doing(what)?;
        let (reservations, end): (i64, Option<i64>) =
            prepared(conn, statement::QUOTA_RESERVATION_COUNT)?
                .query_row(params![key, now.0, own], |row| Ok((row.get(0)?, row.get(1)?)))
                .doing(what)?;
        occupied = leases.unsigned_abs() + reservations.unsigned_abs();
        next_reservation_end = end.map(TimestampMs);
    }

    let start = rule.window_start(now).0;
    let mut in_window = 0;
    if counts_all || rule.rate > 0 {
        let entries: i64 = prepared(conn, statement::QUOTA_WINDOW_COUNT)?
            .query_row(params![key, start], |row| row.get(0))
            .doing(what)?;
        in_window = entries.unsigned_abs();
    }
    let blocking_entry = if rule.rate > 0 && in_window >= rule.rate {
        prepared(conn, statement::QUOTA_WINDOW_BLOCKING)?
            .query_row(params![key, start, signed(rule.rate - 1)], |row| row.get(0))
            .optional()
            .doing(what)?
            .map(TimestampMs)
    } else {
        None
    };
    Ok(Quota {
        id: id.clone(),
        policy,
        rule,
        occupied,
        reserved_until,
        next_reservation_end,
        in_window,
        blocking_entry,
    })
}

/// A live lease that takes a slot.
pub(crate) struct Holder {
    pub(crate) execution_id: ExecutionId,
    pub(crate) lane: LaneId,
    pub(crate) worker_instance_id: Option<String>,
    pub(crate) lease_expires_at: Option<TimestampMs>,
}

pub(crate) fn holders(
    conn: &SqliteSession<'_>,
    id: &QuotaPolicyId,
    now: TimestampMs,
    limit: usize,
) -> Result<Vec<Holder>, EngineError> {
    let what = "list the leases that take slots";
    let mut statement = prepared(conn, statement::QUOTA_SLOT_LIVE)?;
    let mut rows = statement.query(params![id.to_string(), now.0, page(limit)]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let partition = columns.next()?;
        let uuid = columns.bytes()?.unwrap_or_default();
        found.push(Holder {
            execution_id: execution_id("ff_quota_slot", partition, uuid)?,
            lane: LaneId::new(columns.text()?),
            worker_instance_id: columns.next()?,
            lease_expires_at: columns.instant()?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ff_core::contracts::CheckAdmissionArgs;
    use ff_core::machine::budget::CheckAdmission;
    use ff_core::machine::{Context, Limits, drive};
    use rusqlite::Connection;
    use uuid::Uuid;

    use super::*;
    use crate::testing::{NOW, database};

    const LOAD: usize = statement::EXECUTION_LOAD.place;
    const QUOTA: QuotaPolicyId = QuotaPolicyId::from_uuid(Uuid::from_u128(1));

    /// What a reservation under these bounds costs in steps, with and without 1,000 others.
    fn reserving(rate: u64, concurrency: u64) -> [i64; 2] {
        let conn = database();
        let mut steps = Vec::new();
        for others in [0, 1_000] {
            add_reservations(&conn, others);
            let mut session = SqliteSession::new(&conn);
            let command = CheckAdmission {
                quota_policy_id: QUOTA,
                args: CheckAdmissionArgs {
                    execution_id: ExecutionId::from_parts(
                        0,
                        Uuid::from_u128(7 + u128::from(others)),
                    ),
                    now: NOW,
                    window_seconds: 60,
                    rate_limit: rate,
                    concurrency_cap: concurrency,
                    jitter_ms: None,
                },
            };
            let limits = Limits::default();
            let _ = drive::run(&mut session, &command, &mut Context::new(NOW, 1, &limits)).unwrap();
            let loads = session.used.borrow().iter().filter(|place| **place == LOAD).count();
            assert_eq!(loads, 1, "the execution that it is for");
            steps.push(session.steps());
        }
        [steps[0], steps[1]]
    }

    fn add_reservations(conn: &Connection, count: u32) {
        conn.execute_batch(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 WHERE {count} > 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO ff_quota_admitted
             SELECT 0, '{QUOTA}', printf('{{fp:0}}:00000000-0000-0000-0001-%012x', i), {now}, {now} + 60000 FROM n;
             INSERT INTO ff_quota_window (partition_key, quota_policy_id, dimension, admitted_at_ms, execution_id)
             SELECT 0, quota_policy_id, '', admitted_at_ms, execution_id FROM ff_quota_admitted WHERE true
             ON CONFLICT DO NOTHING",
            now = NOW.0
        ))
        .unwrap();
    }

    #[test]
    fn a_reservation_that_nothing_bounds_costs_the_same_beside_1_000_others() {
        let [alone, among] = reserving(0, 0);

        assert!(alone > 0);
        assert!(among <= alone + 20, "{alone} steps alone, {among} among the others");
    }

    #[test]
    fn a_bound_on_slots_counts_reservations_without_loading_who_has_them() {
        let [alone, among] = reserving(0, 5_000);

        assert!(among > alone);
        assert!(among < alone + 1_000 * 100, "{alone} steps alone, {among} among the others");
    }
}
