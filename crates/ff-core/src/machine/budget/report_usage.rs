//! Reporting usage: by the holder of a lease, by an administrator, or charged to an execution.

use super::rows::sum;
use super::{Budget, Overage, Wanted, Write, breach, fitting, invalid, named};
use crate::EngineError;
use crate::contracts::ReportUsageResult;
use crate::machine::limits::{IDENTIFIER_MAX_BYTES, REPORT_DEDUP_MS};
use crate::machine::policy::later;
use crate::machine::{Change, Command, Context, Fence, Footprint, Snapshot, Transition, Urgency};
use crate::types::{BudgetId, DurationMs, ExecutionId, TimestampMs};

/// Adds a report's amounts to a budget: every dimension, or none.
///
/// An amount that takes a dimension above its hard limit is a `HardBreach`; the limit itself is
/// within. Nothing is added then, the breach is counted, and where an execution spent it, the
/// whole report is kept as overage before the budget's policy acts. Safe to repeat with a key, for
/// 24 h: `AlreadyApplied`. A breach is not remembered, so the same report may succeed later; its
/// overage is then dropped, because it has become usage.
#[derive(Debug, Clone)]
pub struct ReportUsage {
    /// The budget. One that nobody created counts without limits.
    pub budget_id: BudgetId,
    /// Who reports.
    pub by: Reporter,
    /// Dimensions with their amounts, in the caller's order; equal ones add up.
    pub deltas: Vec<(String, u64)>,
    /// The caller's key; empty is none.
    pub dedup_key: Option<String>,
}

/// Who reports usage.
#[derive(Debug, Clone)]
pub enum Reporter {
    /// The holder of a lease; a stale one is refused.
    Holder {
        /// The execution.
        execution_id: ExecutionId,
        /// The proof of ownership.
        fence: Fence,
    },
    /// Somebody without a lease.
    Admin,
    /// Somebody who knows which execution spent it; it is charged and can be given back.
    Spender {
        /// The execution, which need not be known to the engine.
        execution_id: ExecutionId,
    },
}

impl Reporter {
    fn op(&self) -> &'static str {
        match self {
            Self::Holder { .. } => "report_usage",
            Self::Admin => "report_usage_admin",
            Self::Spender { .. } => "record_spend",
        }
    }

    fn execution_id(&self) -> Option<&ExecutionId> {
        match self {
            Self::Holder { execution_id, .. } | Self::Spender { execution_id } => {
                Some(execution_id)
            }
            Self::Admin => None,
        }
    }
}

impl ReportUsage {
    fn key(&self) -> Option<&str> {
        self.dedup_key.as_deref().filter(|key| !key.is_empty())
    }

    /// The amounts, each dimension once, in the order of first mention.
    fn merged(&self) -> Result<Vec<(&str, u64)>, EngineError> {
        let op = self.by.op();
        named(op, self.deltas.iter().map(|(dimension, _)| dimension.as_str()))?;
        let mut merged: Vec<(&str, u64)> = Vec::new();
        for (dimension, delta) in &self.deltas {
            fitting(op, &format!("delta for dim={dimension}"), *delta)?;
            match merged.iter_mut().find(|(known, _)| known == dimension) {
                Some((_, total)) => *total = sum(op, dimension, *total, *delta)?,
                None => merged.push((dimension, *delta)),
            }
        }
        Ok(merged)
    }
}

impl Command for ReportUsage {
    const NAME: &'static str = "budget.report_usage";
    type Outcome = ReportUsageResult;

    fn footprint(&self) -> Footprint {
        let footprint = match &self.by {
            Reporter::Holder { execution_id, fence } => {
                Footprint::execution(execution_id).with_attempt(fence.index())
            }
            Reporter::Spender { execution_id } => Footprint::execution(execution_id),
            Reporter::Admin => Footprint::default(),
        };
        let budget = Wanted {
            budget: Some(self.budget_id.clone()),
            report_key: self.key().map(str::to_owned),
            ..Wanted::default()
        };
        Footprint { budget, ..footprint }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ReportUsageResult>, EngineError> {
        let deltas = self.merged()?;
        if self.key().is_some_and(|key| key.len() > IDENTIFIER_MAX_BYTES) {
            return Err(invalid(format!(
                "{}: the dedup key is longer than {IDENTIFIER_MAX_BYTES} bytes",
                self.by.op()
            )));
        }
        let is_repeat = seen.budget.reported_until.is_some_and(|until| until > cx.now);
        if let Reporter::Holder { fence, .. } = &self.by {
            seen.execution()?;
            let is_holder = seen.attempt(fence.index()).is_some_and(|attempt| fence.held(attempt));
            if !(is_repeat && is_holder) {
                fence.check(seen, cx.now)?;
            }
        }
        if is_repeat {
            return Ok(Transition::unchanged(ReportUsageResult::AlreadyApplied));
        }
        let (budget, settled) = seen.budget.budget()?.settled(cx.now);
        let mut transition = Transition::unchanged(ReportUsageResult::Ok);
        transition.changes = settled;

        let over = deltas.iter().find_map(|(dimension, delta)| {
            let (usage, hard) = (budget.usage_of(dimension), budget.hard_limit(dimension)?);
            (usage.saturating_add(*delta) > hard).then_some((*dimension, usage, hard))
        });
        if let Some((dimension, current_usage, hard_limit)) = over {
            let refused = ReportUsageResult::HardBreach {
                dimension: dimension.to_owned(),
                current_usage,
                hard_limit,
            };
            return self.breached(seen, &budget, &deltas, transition.answer(refused), cx);
        }
        self.applied(seen, &budget, &deltas, transition, cx.now)
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

impl ReportUsage {
    fn applied(
        &self,
        seen: &Snapshot,
        budget: &Budget,
        deltas: &[(&str, u64)],
        mut transition: Transition<ReportUsageResult>,
        at: TimestampMs,
    ) -> Result<Transition<ReportUsageResult>, EngineError> {
        let budget_id = &self.budget_id;
        let charged = match &self.by {
            Reporter::Spender { execution_id } => Some(execution_id),
            Reporter::Holder { .. } | Reporter::Admin => None,
        };
        for (dimension, delta) in deltas {
            let after = sum(self.by.op(), dimension, budget.usage_of(dimension), *delta)?;
            let soft = budget.soft_limit(dimension).filter(|soft| after > *soft);
            if let (Some(soft_limit), ReportUsageResult::Ok) = (soft, &transition.outcome) {
                transition.outcome = ReportUsageResult::SoftBreach {
                    dimension: (*dimension).to_owned(),
                    current_usage: after,
                    soft_limit,
                };
                transition = transition.change(Change::Budget(Write::CountBreach {
                    budget_id: budget_id.clone(),
                    dimension: (*dimension).to_owned(),
                    is_hard: false,
                    at,
                }));
            }
            transition = transition.change(Change::Budget(Write::AddUsage {
                budget_id: budget_id.clone(),
                dimension: (*dimension).to_owned(),
                delta: *delta,
                is_charged: charged.is_some(),
                limit: budget.hard_limit(dimension),
                at,
            }));
            if let Some(execution_id) = charged {
                transition = transition.change(Change::Budget(Write::Charge {
                    budget_id: budget_id.clone(),
                    execution_id: execution_id.clone(),
                    dimension: (*dimension).to_owned(),
                    delta: *delta,
                    period: budget.period(),
                    at,
                }));
            }
        }
        let Some(key) = self.key() else { return Ok(transition) };
        let remember = Write::Remember {
            budget_id: budget_id.clone(),
            key: key.to_owned(),
            outcome: transition.outcome.clone(),
            at,
            expires_at: later(at, DurationMs(REPORT_DEDUP_MS)),
        };
        transition = transition.change(Change::Budget(remember));
        if seen.budget.has_overage {
            let (budget_id, key) = (budget_id.clone(), key.to_owned());
            let drop = Write::DropOverage { budget_id: budget_id.clone(), key };
            transition = transition
                .change(Change::Budget(drop))
                .change(Change::Budget(Write::WakeBudget { budget_id }));
        }
        Ok(transition)
    }

    /// The breach and the overage are recorded first; then the budget's policy acts.
    fn breached(
        &self,
        seen: &Snapshot,
        budget: &Budget,
        deltas: &[(&str, u64)],
        mut transition: Transition<ReportUsageResult>,
        cx: &Context<'_>,
    ) -> Result<Transition<ReportUsageResult>, EngineError> {
        let ReportUsageResult::HardBreach { dimension, .. } = transition.outcome.clone() else {
            return Ok(transition);
        };
        transition = transition.change(Change::Budget(Write::CountBreach {
            budget_id: self.budget_id.clone(),
            dimension: dimension.clone(),
            is_hard: true,
            at: cx.now,
        }));
        let Some(execution_id) = self.by.execution_id() else { return Ok(transition) };
        let mut budget = budget.clone();
        for (dimension, delta) in deltas.iter().filter(|(_, delta)| *delta > 0) {
            let overage = Overage {
                budget_id: self.budget_id.clone(),
                period: budget.period(),
                execution_id: execution_id.clone(),
                dimension: (*dimension).to_owned(),
                key: self.key().unwrap_or_default().to_owned(),
                amount: *delta,
                usage: budget.usage_of(dimension),
                hard_limit: budget.hard_limit(dimension).unwrap_or(0),
                at: cx.now,
            };
            let total = budget.overage.entry((*dimension).to_owned()).or_default();
            *total = sum(self.by.op(), dimension, *total, *delta)?;
            transition = transition.change(Change::Budget(Write::AddOverage(Box::new(overage))));
        }
        Ok(match breach::act(seen, &budget, &dimension, cx.now) {
            Some(acted) => {
                let outcome = transition.outcome.clone();
                acted.after(transition).answer(outcome)
            }
            None => transition,
        })
    }
}
