//! The rows of the state table: the one place that knows which columns belong together.
//!
//! Each function gives all seven columns of one row of the transition table (contract A.8);
//! `public_state` is derived here and nowhere else.

use crate::state::{
    AttemptState, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState, PublicState,
    StateVector, TerminalOutcome,
};

fn vector(
    lifecycle_phase: LifecyclePhase,
    ownership_state: OwnershipState,
    eligibility_state: EligibilityState,
    blocking_reason: BlockingReason,
    terminal_outcome: TerminalOutcome,
    attempt_state: AttemptState,
) -> StateVector {
    let mut vector = StateVector {
        lifecycle_phase,
        ownership_state,
        eligibility_state,
        blocking_reason,
        terminal_outcome,
        attempt_state,
        public_state: PublicState::Waiting,
    };
    vector.public_state = vector.derive_public_state();
    vector
}

/// In line, to be claimed.
pub fn waiting(attempt: AttemptState) -> StateVector {
    vector(
        LifecyclePhase::Runnable,
        OwnershipState::Unowned,
        EligibilityState::EligibleNow,
        BlockingReason::WaitingForWorker,
        TerminalOutcome::None,
        attempt,
    )
}

/// Parked until an instant, for `reason`.
pub fn delayed(reason: BlockingReason, attempt: AttemptState) -> StateVector {
    vector(
        LifecyclePhase::Runnable,
        OwnershipState::Unowned,
        EligibilityState::NotEligibleUntilTime,
        reason,
        TerminalOutcome::None,
        attempt,
    )
}

/// Parked because a budget it is bound to is spent.
pub fn waiting_for_budget(attempt: AttemptState) -> StateVector {
    rate_limited(EligibilityState::BlockedByBudget, BlockingReason::WaitingForBudget, attempt)
}

/// Parked because a quota it is bound to has no room.
pub fn waiting_for_quota(attempt: AttemptState) -> StateVector {
    rate_limited(EligibilityState::BlockedByQuota, BlockingReason::WaitingForQuota, attempt)
}

fn rate_limited(
    eligibility: EligibilityState,
    reason: BlockingReason,
    attempt: AttemptState,
) -> StateVector {
    vector(
        LifecyclePhase::Runnable,
        OwnershipState::Unowned,
        eligibility,
        reason,
        TerminalOutcome::None,
        attempt,
    )
}

/// Waiting for the edges of its flow that lead to it.
pub fn blocked_by_dependencies(attempt: AttemptState) -> StateVector {
    vector(
        LifecyclePhase::Runnable,
        OwnershipState::Unowned,
        EligibilityState::BlockedByDependencies,
        BlockingReason::WaitingForChildren,
        TerminalOutcome::None,
        attempt,
    )
}

/// Running under a live lease.
pub fn running() -> StateVector {
    vector(
        LifecyclePhase::Active,
        OwnershipState::Leased,
        EligibilityState::NotApplicable,
        BlockingReason::None,
        TerminalOutcome::None,
        AttemptState::RunningAttempt,
    )
}

/// Waiting for signals, a timeout or an operator, for `reason`.
pub fn suspended(reason: BlockingReason) -> StateVector {
    vector(
        LifecyclePhase::Suspended,
        OwnershipState::Unowned,
        EligibilityState::NotApplicable,
        reason,
        TerminalOutcome::None,
        AttemptState::AttemptInterrupted,
    )
}

/// Its lease ran out; a claim reclaims it.
pub fn lease_expired() -> StateVector {
    lapsed(OwnershipState::LeaseExpiredReclaimable)
}

/// Its lease was taken away; a claim reclaims it.
pub fn lease_revoked() -> StateVector {
    lapsed(OwnershipState::LeaseRevoked)
}

fn lapsed(ownership: OwnershipState) -> StateVector {
    vector(
        LifecyclePhase::Active,
        ownership,
        EligibilityState::NotApplicable,
        BlockingReason::WaitingForWorker,
        TerminalOutcome::None,
        AttemptState::AttemptInterrupted,
    )
}

/// Ended with `outcome`. An execution that never ran keeps its attempt state.
pub fn ended(outcome: TerminalOutcome, attempt: AttemptState) -> StateVector {
    assert!(outcome != TerminalOutcome::None, "an ended execution has an outcome");
    vector(
        LifecyclePhase::Terminal,
        OwnershipState::Unowned,
        EligibilityState::NotApplicable,
        BlockingReason::None,
        outcome,
        attempt,
    )
}

/// Every move of the public state that the rules make, from (nothing at create) and to, in the
/// order of [`PublicState::ALL`]. A recorded transition outside this list was not made by the
/// engine.
///
/// ```
/// use ff_core::machine::state::legal_transitions;
/// use ff_core::state::PublicState;
///
/// assert!(legal_transitions().contains(&(Some(PublicState::Failed), PublicState::Waiting)));
/// assert!(!legal_transitions().contains(&(Some(PublicState::Failed), PublicState::Active)));
/// ```
pub fn legal_transitions() -> &'static [(Option<PublicState>, PublicState)] {
    use PublicState::{
        Active, Cancelled, Completed, Delayed, Expired, Failed, RateLimited, Skipped, Suspended,
        Waiting, WaitingChildren,
    };
    &[
        (None, Waiting),
        (None, Delayed),
        (None, WaitingChildren),
        (Some(Waiting), RateLimited),
        (Some(Waiting), WaitingChildren),
        (Some(Waiting), Active),
        (Some(Waiting), Cancelled),
        (Some(Waiting), Expired),
        (Some(Waiting), Skipped),
        (Some(Delayed), Waiting),
        (Some(Delayed), WaitingChildren),
        (Some(Delayed), Cancelled),
        (Some(Delayed), Expired),
        (Some(RateLimited), Waiting),
        (Some(RateLimited), WaitingChildren),
        (Some(RateLimited), Cancelled),
        (Some(RateLimited), Expired),
        (Some(RateLimited), Skipped),
        (Some(WaitingChildren), Waiting),
        (Some(WaitingChildren), Delayed),
        (Some(WaitingChildren), Cancelled),
        (Some(WaitingChildren), Expired),
        (Some(WaitingChildren), Skipped),
        (Some(Active), Waiting),
        (Some(Active), Delayed),
        (Some(Active), RateLimited),
        (Some(Active), WaitingChildren),
        (Some(Active), Active),
        (Some(Active), Suspended),
        (Some(Active), Completed),
        (Some(Active), Failed),
        (Some(Active), Cancelled),
        (Some(Active), Expired),
        (Some(Suspended), Waiting),
        (Some(Suspended), Delayed),
        (Some(Suspended), Suspended),
        (Some(Suspended), Failed),
        (Some(Suspended), Cancelled),
        (Some(Suspended), Expired),
        (Some(Completed), Waiting),
        (Some(Failed), Waiting),
        (Some(Cancelled), Waiting),
        (Some(Expired), Waiting),
        (Some(Skipped), WaitingChildren),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_consistent_with_its_derived_public_state() {
        let rows = [
            (waiting(AttemptState::PendingFirstAttempt), PublicState::Waiting),
            (
                delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt),
                PublicState::Delayed,
            ),
            (waiting_for_budget(AttemptState::AttemptInterrupted), PublicState::RateLimited),
            (waiting_for_quota(AttemptState::PendingRetryAttempt), PublicState::RateLimited),
            (
                blocked_by_dependencies(AttemptState::PendingFirstAttempt),
                PublicState::WaitingChildren,
            ),
            (running(), PublicState::Active),
            (suspended(BlockingReason::WaitingForSignal), PublicState::Suspended),
            (lease_expired(), PublicState::Active),
            (lease_revoked(), PublicState::Active),
            (
                ended(TerminalOutcome::Success, AttemptState::AttemptTerminal),
                PublicState::Completed,
            ),
            (ended(TerminalOutcome::Failed, AttemptState::AttemptTerminal), PublicState::Failed),
            (ended(TerminalOutcome::Cancelled, AttemptState::None), PublicState::Cancelled),
            (ended(TerminalOutcome::Expired, AttemptState::None), PublicState::Expired),
            (ended(TerminalOutcome::Skipped, AttemptState::None), PublicState::Skipped),
        ];
        for (row, public) in rows {
            assert!(row.is_consistent());
            assert_eq!(row.public_state, public);
        }
    }
}
