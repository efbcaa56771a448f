//! Granting and claiming in one step: an operator takes an execution.

use super::claim::{Claimed, Wanted, acquire};
use super::issue_claim_grant::is_in_line;
use crate::EngineError;
use crate::contracts::IssueGrantAndClaimArgs;
use crate::engine_error::{ConflictKind, ContentionKind, StateKind};
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
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim)
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
        let wanted = Wanted {
            worker_id: WorkerId::new(OPERATOR),
            worker_instance_id: WorkerInstanceId::new(OPERATOR),
            ttl,
            lease_id: None,
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: None,
        };
        Ok(acquire(execution, seen.current.as_ref(), wanted, cx))
    }
}
