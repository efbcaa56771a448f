//! Budgets and quotas: what may be spent, and how much may run.
//!
//! A budget counts usage per dimension against limits. A quota policy bounds how many leases live
//! at once and how many begin within a window. An execution is held to the budgets its policy
//! names and to the quotas it and its lane are bound to:
//!
//! 1. Every acquisition asks [`gate::admit`]. Open: the lease takes its slots, which are rows tied
//!    to the lease's epoch, and its entries in the windows.
//! 2. Closed: a claim parks the candidate ([`park`]). It leaves the line as `rate_limited`, behind
//!    the gate that closed, and the gate remembers when to look again.
//! 3. What may open a gate (a lease that ends, a release, a reset, a top-up, an instant) makes it
//!    due for a look ([`reopen`]). The next claim on that lane, or a sweep, looks, and puts back in
//!    line order no more than there is room for.
//! 4. A hard breach while running is recorded as overage first; then the budget's policy acts
//!    ([`breach`]).
//!
//! A crash between two steps loses nothing: slots count only while their lease lives, and a gate
//! that opened stays due until a look has found it closed or empty.

pub mod bind_quota;
pub mod breach;
pub mod check_admission;
pub mod create_budget;
pub mod create_quota_policy;
pub mod gate;
pub mod park;
pub mod release_admission;
pub mod release_budget;
pub mod reopen;
pub mod report_usage;
pub mod reset_budget;
pub mod rows;
pub mod set_budget_limits;
#[cfg(test)]
pub(crate) mod testing;

pub use bind_quota::{BindQuota, UnbindQuota};
pub use check_admission::CheckAdmission;
pub use create_budget::CreateBudget;
pub use create_quota_policy::CreateQuotaPolicy;
pub use park::Park;
pub use release_admission::ReleaseAdmission;
pub use release_budget::ReleaseBudget;
pub use reopen::{CloseGate, LookAtGate, Unpark};
pub use report_usage::{ReportUsage, Reporter};
pub use reset_budget::{ResetBudget, ResetDue};
pub use rows::{
    Budget, BudgetPolicy, GateKey, Overage, Quota, QuotaPolicy, QuotaRule, Readable, entries_before,
};
pub use set_budget_limits::SetBudgetLimits;

use crate::EngineError;
use crate::contracts::ReportUsageResult;
use crate::engine_error::ValidationKind;
use crate::machine::limits::{BUDGET_DIMENSION_MAX_BYTES, BUDGET_DIMENSIONS_MAX};
use crate::types::{BudgetId, ExecutionId, LaneId, LeaseEpoch, QuotaPolicyId, TimestampMs};

/// The budget or quota rows that a command must see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The instant at which windows, leases and reservations are counted. Whoever drives a
    /// command sets it.
    pub at: TimestampMs,
    /// A budget.
    pub budget: Option<BudgetId>,
    /// Whether that budget remembers this report, and an overage of it.
    pub report_key: Option<String>,
    /// What that budget charged an execution in its current period.
    pub charges_of: Option<ExecutionId>,
    /// Count what occupies a quota and what stands in its window even where the rule bounds neither:
    /// whoever asks tells or stores the numbers. A store may leave out what nothing bounds otherwise.
    pub counts_all: bool,
    /// A quota policy as an execution finds it, under its own rule or the one given.
    pub quota: Option<(QuotaPolicyId, Option<ExecutionId>, Option<QuotaRule>)>,
    /// Follow the footprint's execution to its budgets and quotas.
    pub gates: Option<LaneQuota>,
}

/// Where the quota of an execution's lane is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneQuota {
    /// In the lane's row.
    Follow,
    /// Whoever asks has read the lane's row.
    Known(Option<QuotaPolicyId>),
}

/// The budget or quota rows that a command is shown.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The budget that was asked for; usage is counted even where no policy is stored.
    pub budget: Option<Readable<Budget>>,
    /// Until when the report's key is remembered.
    pub reported_until: Option<TimestampMs>,
    /// Whether an overage was recorded under that key.
    pub has_overage: bool,
    /// What the execution was charged, by dimension.
    pub charges: Vec<(String, u64)>,
    /// The quota that was asked for.
    pub quota: Option<Readable<Quota>>,
    /// What stands before the execution.
    pub gates: Gates,
}

/// The budgets and quotas that one execution is held to.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Gates {
    pub budgets: Vec<(BudgetId, Readable<Budget>)>,
    pub own: Option<(QuotaPolicyId, Readable<Quota>)>,
    pub lane: Option<(QuotaPolicyId, Readable<Quota>)>,
}

impl Seen {
    /// Shows the effect of a write that is decided but not yet stored.
    ///
    /// What is settled in front of a command frees slots of its own execution at most, and those
    /// are never counted against it.
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "nothing shown moves")]
    pub(super) fn apply(&mut self, _: &Write) {}

    /// The budget that was asked for.
    pub fn budget(&self) -> Result<&Budget, EngineError> {
        match &self.budget {
            Some(Ok(budget)) => Ok(budget),
            Some(Err(detail)) => Err(unreadable(detail)),
            None => Err(EngineError::NotFound { entity: "budget" }),
        }
    }

    /// The quota that was asked for.
    pub fn quota(&self) -> Result<&Quota, EngineError> {
        match &self.quota {
            Some(Ok(quota)) => Ok(quota),
            Some(Err(detail)) => Err(unreadable(detail)),
            None => Err(EngineError::NotFound { entity: "quota_policy" }),
        }
    }
}

/// A stored row that cannot be read, with the table, column and key that the store named.
pub fn unreadable(detail: &str) -> EngineError {
    EngineError::Validation { kind: ValidationKind::Corruption, detail: detail.to_owned() }
}

fn invalid(detail: impl Into<String>) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.into() }
}

/// Refuses names of dimensions that are empty, too long or too many.
fn named<'a>(
    op: &str,
    dimensions: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), EngineError> {
    if dimensions.len() > BUDGET_DIMENSIONS_MAX {
        return Err(invalid(format!(
            "{op}: {} dimensions; at most {BUDGET_DIMENSIONS_MAX}",
            dimensions.len()
        )));
    }
    for name in dimensions {
        if name.is_empty() || name.len() > BUDGET_DIMENSION_MAX_BYTES {
            return Err(invalid(format!(
                "{op}: a dimension of {} bytes; give 1 to {BUDGET_DIMENSION_MAX_BYTES}",
                name.len()
            )));
        }
    }
    Ok(())
}

/// An amount that a counter can hold. A larger one is refused, never wrapped.
fn fitting(op: &str, what: &str, value: u64) -> Result<u64, EngineError> {
    if i64::try_from(value).is_ok() {
        return Ok(value);
    }
    Err(invalid(format!("{op}: {what} exceeds i64::MAX ({value})")))
}

/// A budget or quota row to write.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Write {
    /// A budget's policy, whole; its usage is not touched.
    PutBudget(Box<BudgetPolicy>),
    /// Adds to a counter, if it then stays at or below the limit (guard), and to its charged part.
    AddUsage {
        budget_id: BudgetId,
        dimension: String,
        delta: u64,
        is_charged: bool,
        limit: Option<u64>,
        at: TimestampMs,
    },
    /// Puts every counter of a budget to zero.
    ResetUsage { budget_id: BudgetId, at: TimestampMs },
    /// Takes from a counter what one execution was charged, down to zero.
    TakeUsage { budget_id: BudgetId, dimension: String, amount: u64, at: TimestampMs },
    /// Adds to what an execution was charged in a period; an older period's charge is replaced.
    Charge {
        budget_id: BudgetId,
        execution_id: ExecutionId,
        dimension: String,
        delta: u64,
        period: u64,
        at: TimestampMs,
    },
    /// Removes what an execution was charged.
    DropCharges { budget_id: BudgetId, execution_id: ExecutionId },
    /// Counts a breach, if the budget has a policy.
    CountBreach { budget_id: BudgetId, dimension: String, is_hard: bool, at: TimestampMs },
    /// Remembers a report's key.
    Remember {
        budget_id: BudgetId,
        key: String,
        outcome: ReportUsageResult,
        at: TimestampMs,
        expires_at: TimestampMs,
    },
    /// Spending that was refused: adds to the row of the same execution, dimension and period, or
    /// replaces the one of the same key.
    AddOverage(Box<Overage>),
    /// The report with this key was accepted after all.
    DropOverage { budget_id: BudgetId, key: String },
    /// A quota policy, whole.
    PutQuota(QuotaPolicy),
    /// The quota a lane is bound to.
    BindLane { lane: LaneId, quota_policy_id: Option<QuotaPolicyId>, at: TimestampMs },
    /// The quota an execution is bound to.
    BindExecution { execution_id: ExecutionId, quota_policy_id: Option<QuotaPolicyId> },
    /// A lease takes a slot and, unless a reservation has, an entry in the window. A reservation
    /// is used up; entries at or before `window_start` go.
    Admit {
        quota_policy_id: QuotaPolicyId,
        execution_id: ExecutionId,
        epoch: LeaseEpoch,
        is_entry: bool,
        window_start: TimestampMs,
        at: TimestampMs,
    },
    /// The lease ended: its slots are free, and their gates are due for a look.
    FreeSlots { execution_id: ExecutionId },
    /// A reservation, with its entry in the window; entries at or before `window_start` go.
    Reserve {
        quota_policy_id: QuotaPolicyId,
        execution_id: ExecutionId,
        at: TimestampMs,
        expires_at: TimestampMs,
        window_start: TimestampMs,
        /// What occupies the quota after it; `None` where the caller bounds no concurrency.
        active: Option<u64>,
    },
    /// A reservation is given back.
    DropReservation {
        quota_policy_id: QuotaPolicyId,
        execution_id: ExecutionId,
        active: u64,
        at: TimestampMs,
    },
    /// The execution ended: what is reserved for it is free, and its gates are due for a look.
    FreeReservations { execution_id: ExecutionId },
    /// An execution waits behind a gate; its own row is written beside this.
    Park { execution_id: ExecutionId, lane: LaneId, gate: GateKey, look_at: TimestampMs },
    /// When a gate is looked at next: by a claim on its lane, and by a sweep.
    PutGate { lane: LaneId, gate: GateKey, look_at: TimestampMs, sweep_at: TimestampMs },
    /// Nobody waits behind a gate any more.
    DropGate { lane: LaneId, gate: GateKey },
    /// A budget may have room: its gates on every lane are due for a look.
    WakeBudget { budget_id: BudgetId },
    /// A quota may have room: its gates on every lane are due for a look.
    WakeQuota { quota_policy_id: QuotaPolicyId },
}

impl Write {
    /// Whether a worker that found nothing may now find something.
    pub fn opens_work(&self) -> bool {
        match self {
            Self::FreeSlots { .. }
            | Self::FreeReservations { .. }
            | Self::WakeBudget { .. }
            | Self::WakeQuota { .. }
            // It passes where others wait.
            | Self::Reserve { .. } => true,
            // A gate to be looked at before long may open by itself.
            Self::PutGate { look_at, .. } | Self::Park { look_at, .. } => *look_at != NEVER,
            Self::BindLane { quota_policy_id, .. } => quota_policy_id.is_none(),
            Self::PutBudget(_)
            | Self::AddUsage { .. }
            | Self::ResetUsage { .. }
            | Self::TakeUsage { .. }
            | Self::Charge { .. }
            | Self::DropCharges { .. }
            | Self::CountBreach { .. }
            | Self::Remember { .. }
            | Self::AddOverage(_)
            | Self::DropOverage { .. }
            | Self::PutQuota(_)
            | Self::BindExecution { .. }
            | Self::Admit { .. }
            | Self::DropReservation { .. }
            | Self::DropGate { .. } => false,
        }
    }
}

/// The instant of what no time brings about.
pub const NEVER: TimestampMs = TimestampMs(i64::MAX);

/// The instant of what is to be looked at at once.
pub const AT_ONCE: TimestampMs = TimestampMs(0);
