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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::testing::{BUDGET, used};
    use crate::machine::execution::testing::{NOW, now_plus, running, seen_pair};
    use crate::state::PublicState;

    /// What a breach does to a running execution under this policy.
    fn breached(on_hard_limit: &str, is_bound: bool) -> Option<Transition<()>> {
        let (mut execution, attempt) = running(now_plus(10));
        let mut policy = execution.policy.clone().unwrap_or_default();
        policy.budget_ids = is_bound.then_some(BUDGET).into_iter().collect();
        execution.policy = Some(policy);
        let mut budget = used(10, 10);
        let policy = budget.policy.as_mut().unwrap();
        policy.on_hard_limit = on_hard_limit.to_owned();
        policy.next_reset_at = Some(now_plus(70));
        act(&seen_pair((execution, attempt)), &budget, "tokens", NOW)
    }

    #[test]
    fn who_is_not_bound_or_only_refused_runs_on() {
        for word in ["", "refuse", "whatever"] {
            assert!(breached(word, true).is_none(), "{word}");
        }
        for word in ["suspend", "cancel", "fail"] {
            assert!(breached(word, false).is_none(), "{word}");
        }
    }

    #[test]
    fn a_breach_parks_cancels_or_fails_as_the_budget_says() {
        for (word, state, reason) in [
            ("suspend", PublicState::RateLimited, None),
            ("cancel", PublicState::Cancelled, Some("cancelled: budget")),
            ("fail", PublicState::Failed, Some("budget")),
        ] {
            let done = breached(word, true).unwrap();
            assert_eq!(done.stored().public_state(), state, "{word}");
            assert!(!done.stored().is_leased(), "{word}");
            let told = done.attempts()[0].failure_reason.clone().unwrap_or_default();
            assert!(reason.is_none_or(|reason| told.starts_with(reason)), "{word}: {told}");
            assert_eq!(done.completions().len(), usize::from(word != "suspend"), "{word}");
        }
    }

    #[test]
    fn who_is_parked_is_looked_at_when_the_budget_is_reset() {
        let done = breached("suspend", true).unwrap();
        let gate = GateKey::Budget(BUDGET);
        let is_parked = |change: &Change| {
            matches!(change, Change::Budget(Write::Park { gate: own, look_at, .. })
                if *own == gate && *look_at == now_plus(70))
        };
        assert!(done.changes.iter().any(is_parked));
    }
}
