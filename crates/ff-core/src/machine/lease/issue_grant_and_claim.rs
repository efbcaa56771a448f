//! Granting and claiming in one step: an operator takes an execution.

use super::claim::{Claimed, Wanted, acquire};
use super::issue_claim_grant::is_in_line;
use crate::EngineError;
use crate::contracts::IssueGrantAndClaimArgs;
use crate::engine_error::{ConflictKind, ContentionKind, StateKind};
use crate::machine::budget::gate::admit;
use crate::machine::rows::GrantKind;
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::state::{AttemptState, LifecyclePhase, OwnershipState, TerminalOutcome};
use crate::types::{WorkerId, WorkerInstanceId};

/// Takes an execution in the name of `operator`, an interrupted attempt included. Leaves no grant.
///
/// Refusals, in this order: `NotFound`, `ExecutionNotEligible` (phase), `LeaseConflict`,
/// `ExecutionNotEligible` (outcome), `ActiveAttemptExists`, `GrantAlreadyExists`,
/// `ExecutionNotEligible` (not in line). A repeat is refused: the execution is active by then.
#[derive(Debug, Clone)]
pub struct IssueGrantAndClaim {
    /// The call, as the contract shapes it.
    pub args: IssueGrantAndClaimArgs,
}

/// The name under which an operator holds a lease.
const OPERATOR: &str = "operator";

impl Command for IssueGrantAndClaim {
    const NAME: &'static str = "lease.issue_grant_and_claim";
    type Outcome = Claimed;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim).with_gates()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Claimed>, EngineError> {
        let ttl = super::ttl(self.args.lease_duration_ms)?;
        let execution = seen.execution()?;
        let not_eligible = Err(EngineError::Contention(ContentionKind::ExecutionNotEligible));
        match execution.state.lifecycle_phase {
            LifecyclePhase::Runnable | LifecyclePhase::Submitted => {}
            LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => {
                return not_eligible;
            }
        }
        if execution.state.ownership_state != OwnershipState::Unowned {
            return Err(EngineError::Contention(ContentionKind::LeaseConflict));
        }
        if execution.outcome() != TerminalOutcome::None {
            return not_eligible;
        }
        if execution.state.attempt_state == AttemptState::RunningAttempt {
            return Err(EngineError::Conflict(ConflictKind::ActiveAttemptExists));
        }
        if seen.grant.as_ref().is_some_and(|grant| grant.expires_at >= cx.now) {
            return Err(EngineError::State(StateKind::GrantAlreadyExists));
        }
        if !is_in_line(execution) {
            return not_eligible;
        }
        let admitted = admit(seen, cx.now).map_err(|closed| closed.refusal())?;
        let wanted = Wanted {
            worker_id: WorkerId::new(OPERATOR),
            worker_instance_id: WorkerInstanceId::new(OPERATOR),
            ttl,
            lease_id: None,
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: None,
            keeps_attempt: false,
        };
        Ok(acquire(execution, seen.current.as_ref(), wanted, &admitted, cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::HandleKind;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, grant, interrupted, lapsed, now_plus, refusal,
        running, seen, seen_pair,
    };
    use crate::machine::rows::{AttemptOutcome, Execution};
    use crate::machine::state;
    use crate::state::BlockingReason;
    use crate::types::{AttemptIndex, LaneId, LeaseEpoch};

    fn take() -> IssueGrantAndClaim {
        IssueGrantAndClaim {
            args: IssueGrantAndClaimArgs::new(execution().id, LaneId::new("default"), 30_000),
        }
    }

    fn told(seen: &Snapshot) -> String {
        refusal(decide(&take(), seen))
    }

    #[test]
    fn an_operator_takes_what_is_in_line() {
        let done = decide(&take(), &seen(execution(), None)).unwrap();

        let attempt = &done.outcome.attempt;
        assert_eq!((attempt.index, attempt.epoch), (AttemptIndex(0), LeaseEpoch(1)));
        assert_eq!(attempt.worker_id, Some(WorkerId::new("operator")));
        assert_eq!(attempt.worker_instance_id, Some(WorkerInstanceId::new("operator")));
        assert_eq!(attempt.lease_expires_at, Some(now_plus(30_000)));
        assert_eq!(done.stored().state, state::running());
    }

    #[test]
    fn an_operator_resumes_an_interrupted_attempt() {
        let done = decide(&take(), &seen_pair(interrupted())).unwrap();

        assert_eq!(done.outcome.kind, HandleKind::Resumed);
        assert_eq!(done.outcome.attempt.epoch, LeaseEpoch(2));
    }

    #[test]
    fn an_interrupted_attempt_that_is_parked_is_not_taken_early() {
        let mut row = interrupted().0;
        row.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::AttemptInterrupted);

        assert_eq!(told(&seen(row, interrupted().1)), "contention: ExecutionNotEligible");
    }

    #[test]
    fn what_cannot_be_taken_is_refused() {
        let not_eligible = "contention: ExecutionNotEligible";
        let mut owned = execution();
        owned.state.ownership_state = OwnershipState::LeaseRevoked;
        let mut with_outcome = execution();
        with_outcome.state.terminal_outcome = TerminalOutcome::Failed;
        let mut runs = execution();
        runs.state.attempt_state = AttemptState::RunningAttempt;
        for (row, told_as) in [
            (running(LEASE_END).0, not_eligible),
            (lapsed().0, not_eligible),
            (ended(TerminalOutcome::Failed, AttemptOutcome::Failed).0, not_eligible),
            (owned, "contention: LeaseConflict"),
            (with_outcome, not_eligible),
            (runs, "conflict: ActiveAttemptExists"),
        ] {
            assert_eq!(told(&seen(row, None)), told_as);
        }
        assert_eq!(told(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn a_live_grant_of_someone_else_is_respected_up_to_its_last_instant() {
        let granted = |row: Execution, expires_at| Snapshot {
            grant: Some(grant(GrantKind::Claim, "anyone", expires_at)),
            ..seen(row, None)
        };
        let mut delayed = execution();
        delayed.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);

        assert_eq!(told(&granted(execution(), NOW)), "state: GrantAlreadyExists");
        assert_eq!(told(&granted(delayed, NOW)), "state: GrantAlreadyExists");
        assert_eq!(told(&granted(execution(), now_plus(-1))), "accepted");
    }

    #[test]
    fn a_lease_out_of_bounds_is_refused_first() {
        let mut command = take();
        command.args.lease_duration_ms = 0;

        let refused = refusal(decide(&command, &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: lease ttl"), "{refused}");
    }
}
