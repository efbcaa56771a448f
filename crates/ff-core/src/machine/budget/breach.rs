//! What a hard breach does to the execution that caused it.

use super::park;
use super::rows::{Budget, GateKey, OnBreach};
use super::{NEVER, Write};
use crate::machine::rows::AttemptOutcome;
use crate::machine::terminal::{self, End};
use crate::machine::{Change, Snapshot, Transition};
use crate::state::TerminalOutcome;
use crate::types::TimestampMs;

/// Applies the budget's policy to the execution of `seen`, if it runs and is bound to the budget.
///
/// `budget` is the one that was breached, with the overage of this breach.
pub(super) fn act(
    seen: &Snapshot,
    budget: &Budget,
    dimension: &str,
    now: TimestampMs,
) -> Option<Transition<()>> {
    let policy = budget.policy.as_ref()?;
    let execution = seen.execution.as_ref().filter(|execution| execution.is_leased())?;
    let bound = execution.policy.as_ref()?.budget_ids.contains(&budget.id);
    let attempt = seen.current.as_ref().filter(|_| bound)?;
    let why = format!("budget {} is spent in `{dimension}`", budget.id);
    match policy.on_breach() {
        OnBreach::Refuse => None,
        OnBreach::Suspend => {
            let gate = GateKey::Budget(budget.id.clone());
            let look_at = policy.next_reset_at.unwrap_or(NEVER);
            let parked = park::interrupt(execution, attempt, &gate, why, policy.next_reset_at, now);
            Some(parked.change(Change::Budget(Write::Park {
                execution_id: execution.id.clone(),
                lane: execution.lane.clone(),
                gate,
                look_at,
            })))
        }
        OnBreach::Cancel => {
            let mut marked = execution.clone();
            marked.cancel_reason = Some(why.clone());
            marked.cancelled_by = Some("budget".to_owned());
            let how = End {
                outcome: TerminalOutcome::Cancelled,
                attempt: AttemptOutcome::Cancelled,
                cause: "budget_breached",
                reason: Some(format!("cancelled: {why}")),
                category: None,
            };
            Some(terminal::end(&marked, Some(attempt), &how, now).answer(()))
        }
        OnBreach::Fail => {
            let how = End {
                outcome: TerminalOutcome::Failed,
                attempt: AttemptOutcome::Failed,
                cause: "budget_breached",
                reason: Some(why),
                category: Some("budget_exceeded".to_owned()),
            };
            Some(terminal::end(execution, Some(attempt), &how, now).answer(()))
        }
    }
}
