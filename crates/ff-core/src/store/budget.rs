//! Reads of budgets, quotas, and of what waits behind them.

use crate::EngineError;
use crate::contracts::{BudgetOverage, QuotaHolder};
use crate::machine::budget::GateKey;
use crate::machine::rows::Candidate;
use crate::state::LaneState;
use crate::types::{BudgetId, LaneId, QuotaPolicyId, TimestampMs};

/// What a claim asks about a lane before it looks at its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStanding {
    /// Whether it hands out work.
    pub state: LaneState,
    /// The quota it is bound to, or why that cannot be read.
    pub quota_policy_id: Result<Option<QuotaPolicyId>, String>,
    /// Whether executions of the lane wait behind any gate.
    pub has_gates: bool,
}

/// The reads of budgets and quotas; see [`Reader`](super::Reader).
pub trait BudgetReader {
    /// Gates of a lane that are to be looked at by `now`, by (instant, gate).
    fn gates_to_look_at(
        &mut self,
        lane: &LaneId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<GateKey>, EngineError>;

    /// When a gate of a lane is to be looked at; `None` when nobody waits behind it.
    fn gate_look_at(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
    ) -> Result<Option<TimestampMs>, EngineError>;

    /// When the next gate of a lane is to be looked at, if time brings that about.
    fn next_look(&mut self, lane: &LaneId) -> Result<Option<TimestampMs>, EngineError>;

    /// Gates that a sweep is to look at by `now`, by (instant, lane, gate).
    fn gates_to_sweep(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(LaneId, GateKey)>, EngineError>;

    /// When a sweep is to look at the next gate, if time brings that about.
    fn next_gate_sweep(&mut self) -> Result<Option<TimestampMs>, EngineError>;

    /// Whether anybody in line on a lane has asked for a reservation.
    fn has_reserved(&mut self, lane: &LaneId) -> Result<bool, EngineError>;

    /// As [`candidates`](super::Reader::candidates), but only those that have asked for a
    /// reservation since they were last begun; whether it still holds is decided at their claim.
    fn reserved(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError>;

    /// Executions of a lane that wait behind a gate, in line order, after one.
    fn parked(
        &mut self,
        lane: &LaneId,
        gate: &GateKey,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError>;

    /// How many executions wait behind a gate, on whatever lane.
    fn count_parked(&mut self, gate: &GateKey) -> Result<u64, EngineError>;

    /// Budgets whose reset is due at `now`, by (instant, id text).
    fn budgets_due(&mut self, now: TimestampMs, limit: usize)
    -> Result<Vec<BudgetId>, EngineError>;

    /// When the next reset is due.
    fn next_reset(&mut self) -> Result<Option<TimestampMs>, EngineError>;

    /// Budgets with a policy, by id text, after one.
    fn budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: usize,
    ) -> Result<Vec<BudgetId>, EngineError>;

    /// What a budget refused, by sequence, after one.
    fn overages(
        &mut self,
        budget_id: &BudgetId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BudgetOverage>, EngineError>;

    /// Quota policies by id text, after one.
    fn quota_policies(
        &mut self,
        after: Option<&QuotaPolicyId>,
        limit: usize,
    ) -> Result<Vec<QuotaPolicyId>, EngineError>;

    /// Live leases that take a slot of a quota at `now`, by execution id text.
    fn quota_holders(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<QuotaHolder>, EngineError>;

    /// Lanes bound to a quota policy, by name.
    fn lanes_of_quota(
        &mut self,
        quota_policy_id: &QuotaPolicyId,
    ) -> Result<Vec<LaneId>, EngineError>;
}
