//! Reads of budgets, quotas, and of what waits behind them.

use ff_core::EngineError;
use ff_core::contracts::{BudgetOverage, QuotaHolder};
use ff_core::machine::budget::{GateKey, NEVER};
use ff_core::machine::rows::Candidate;
use ff_core::store::BudgetReader;
use ff_core::types::{BudgetId, LaneId, QuotaPolicyId, TimestampMs, WorkerInstanceId};
use rusqlite::{OptionalExtension as _, Params, params};

use super::lane::take_candidates;
use super::page;
use crate::error::{Doing as _, corrupt};
use crate::load::budget::{holders, signed};
use crate::row::{Columns, execution_id};
use crate::session::{SqliteSession, prepared};
use crate::statement::{self, Named};

/// The rows of a statement, each read by `read`.
fn all<T>(
    conn: &SqliteSession<'_>,
    named: Named,
    what: &'static str,
    values: impl Params,
    mut read: impl FnMut(&mut Columns<'_>) -> Result<T, EngineError>,
) -> Result<Vec<T>, EngineError> {
    let mut statement = prepared(conn, named)?;
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(read(&mut Columns::of(row))?);
    }
    Ok(found)
}

/// The instant in the first column of the only row; none where time does not bring it about.
fn instant(
    conn: &SqliteSession<'_>,
    named: Named,
    values: impl Params,
) -> Result<Option<TimestampMs>, EngineError> {
    let found: Option<Option<i64>> = prepared(conn, named)?
        .query_row(values, |row| row.get(0))
        .optional()
        .doing("read when something is due")?;
    Ok(found.flatten().map(TimestampMs).filter(|at| *at != NEVER))
}

fn gate(columns: &mut Columns<'_>) -> Result<GateKey, EngineError> {
    let text = columns.text()?;
    GateKey::from_wire(text).ok_or_else(|| corrupt("ff_gate", "gate", "a gate", text))
}

impl BudgetReader for SqliteSession<'_> {
    fn gates_to_look_at(
        &mut self,
        lane: &LaneId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<GateKey>, EngineError> {
        let values = params![lane.as_str(), now.0, page(limit)];
        all(self, statement::GATE_TO_LOOK_AT, "list gates", values, gate)
    }

    fn gate_look_at(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
    ) -> Result<Option<TimestampMs>, EngineError> {
        let found: Option<i64> = prepared(self, statement::GATE_LOOK_AT)?
            .query_row(params![lane.as_str(), gate.to_string()], |row| row.get(0))
            .optional()
            .doing("read a gate")?;
        Ok(found.map(TimestampMs))
    }

    fn has_reserved(&mut self, lane: &LaneId) -> Result<bool, EngineError> {
        prepared(self, statement::CANDIDATE_HAS_RESERVED)?
            .query_row(params![lane.as_str()], |row| row.get(0))
            .doing("look for reservations on a lane")
    }

    fn reserved(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        let (priority, created_at, uuid, partition) = match after {
            None => (i64::MAX, i64::MIN, [0; 16], 0),
            Some(last) => {
                let id = &last.execution_id;
                let priority = i64::from(last.priority);
                (priority, last.created_at.0, id.uuid().into_bytes(), id.partition())
            }
        };
        let mut found = Vec::new();
        let mut statement = prepared(self, statement::CANDIDATE_RESERVED)?;
        let rows = statement
            .query(params![lane.as_str(), gate_key, priority, created_at, uuid, partition])
            .doing("list who has a reservation")?;
        take_candidates(rows, limit, &mut found)?;
        Ok(found)
    }

    fn next_look(&mut self, lane: &LaneId) -> Result<Option<TimestampMs>, EngineError> {
        instant(self, statement::GATE_NEXT_LOOK, params![lane.as_str()])
    }

    fn gates_to_sweep(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(LaneId, GateKey)>, EngineError> {
        let values = params![now.0, page(limit)];
        all(self, statement::GATE_TO_SWEEP, "list gates", values, |columns| {
            Ok((LaneId::new(columns.text()?), gate(columns)?))
        })
    }

    fn next_gate_sweep(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        instant(self, statement::GATE_NEXT_SWEEP, [])
    }

    fn parked(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        let what = "list what waits behind a gate";
        let gate = gate.to_string();
        let mut found = Vec::new();
        if let Some(after) = after {
            let id = &after.execution_id;
            let mut statement = prepared(self, statement::GATE_PARKED_IN_PRIORITY)?;
            let rows = statement
                .query(params![
                    gate,
                    lane.as_str(),
                    after.priority,
                    after.created_at.0,
                    id.uuid().into_bytes(),
                    id.partition(),
                ])
                .doing(what)?;
            take_candidates(rows, limit, &mut found)?;
        }
        if found.len() < limit {
            let below = after.map_or(i64::MAX, |after| i64::from(after.priority));
            let mut statement = prepared(self, statement::GATE_PARKED_BELOW_PRIORITY)?;
            let rows = statement.query(params![gate, lane.as_str(), below]).doing(what)?;
            take_candidates(rows, limit, &mut found)?;
        }
        Ok(found)
    }

    fn count_parked(&mut self, gate: &GateKey) -> Result<u64, EngineError> {
        let count: i64 = prepared(self, statement::GATE_COUNT_PARKED)?
            .query_row(params![gate.to_string()], |row| row.get(0))
            .doing("count what waits behind a gate")?;
        Ok(count.unsigned_abs())
    }

    fn budgets_due(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<BudgetId>, EngineError> {
        let values = params![now.0, page(limit)];
        let ids = all(self, statement::BUDGET_DUE, "list due budgets", values, |columns| {
            Ok(BudgetId::parse(columns.text()?).ok())
        })?;
        Ok(ids.into_iter().flatten().collect())
    }

    fn next_reset(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        instant(self, statement::BUDGET_NEXT_RESET, [])
    }

    fn budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: usize,
    ) -> Result<Vec<BudgetId>, EngineError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let values = params![after, page(limit)];
        let ids = all(self, statement::BUDGET_LIST, "list budgets", values, |columns| {
            Ok(BudgetId::parse(columns.text()?).ok())
        })?;
        Ok(ids.into_iter().flatten().collect())
    }

    fn overages(
        &mut self,
        budget_id: &BudgetId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BudgetOverage>, EngineError> {
        const TABLE: &str = "ff_budget_overage";
        let values = params![budget_id.to_string(), signed(after), page(limit)];
        all(self, statement::BUDGET_OVERAGE_LIST, "list overages", values, |columns| {
            let mut number = |column| {
                let value: i64 = columns.next()?;
                u64::try_from(value)
                    .map_err(|_| corrupt(TABLE, column, format_args!("budget {budget_id}"), value))
            };
            let sequence = number("sequence")?;
            let partition = columns.next()?;
            let spender = execution_id(TABLE, partition, columns.bytes()?.unwrap_or_default())?;
            let dimension = columns.text()?.to_owned();
            let mut number = |column| {
                let value: i64 = columns.next()?;
                u64::try_from(value)
                    .map_err(|_| corrupt(TABLE, column, format_args!("budget {budget_id}"), value))
            };
            let (amount, usage) = (number("amount")?, number("usage_before")?);
            let hard_limit = number("hard_limit")?;
            let at = TimestampMs(columns.next()?);
            Ok(BudgetOverage::new(
                sequence,
                budget_id.clone(),
                Some(spender),
                dimension,
                amount,
                usage,
                hard_limit,
                at,
            ))
        })
    }

    fn quota_policies(
        &mut self,
        after: Option<&QuotaPolicyId>,
        limit: usize,
    ) -> Result<Vec<QuotaPolicyId>, EngineError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let values = params![after, page(limit)];
        let ids = all(self, statement::QUOTA_LIST, "list quota policies", values, |columns| {
            Ok(QuotaPolicyId::parse(columns.text()?).ok())
        })?;
        Ok(ids.into_iter().flatten().collect())
    }

    fn quota_holders(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<QuotaHolder>, EngineError> {
        let found = holders(self, quota_policy_id, now, limit)?.into_iter();
        Ok(found
            .map(|holder| {
                QuotaHolder::new(
                    holder.execution_id,
                    holder.lane,
                    holder.worker_instance_id.map(WorkerInstanceId::new),
                    holder.lease_expires_at,
                )
            })
            .collect())
    }

    fn lanes_of_quota(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
    ) -> Result<Vec<LaneId>, EngineError> {
        let values = params![quota_policy_id.to_string()];
        all(self, statement::QUOTA_LANES, "list the lanes of a quota", values, |columns| {
            Ok(LaneId::new(columns.text()?))
        })
    }
}
