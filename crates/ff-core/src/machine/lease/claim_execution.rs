//! Claiming by grant: a worker uses the permission that a scheduler gave it.

use super::claim::{Claimed, Wanted, acquire};
use crate::EngineError;
use crate::contracts::ClaimExecutionArgs;
use crate::engine_error::{ConflictKind, ContentionKind};
use crate::machine::rows::{Execution, GrantKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::state::{
    AttemptState, EligibilityState, LifecyclePhase, OwnershipState, TerminalOutcome,
};
use crate::types::{DurationMs, TimestampMs};

/// Consumes a claim grant. A repeat is refused: the execution is active by then.
///
/// Refusals, in this order: `NotFound`, `ExecutionNotLeaseable` (phase), `LeaseConflict`,
/// `ExecutionNotLeaseable` (eligibility, outcome), `ActiveAttemptExists`,
/// `UseClaimResumedExecution`, `InvalidClaimGrant`, `ClaimGrantExpired`.
#[derive(Debug, Clone)]
pub struct ClaimExecution {
    /// The call, as the contract shapes it.
    pub args: ClaimExecutionArgs,
}

impl Command for ClaimExecution {
    const NAME: &'static str = "lease.claim_execution";
    type Outcome = Claimed;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Claimed>, EngineError> {
        let args = &self.args;
        let ttl = super::ttl(args.lease_ttl_ms)?;
        let execution = seen.execution()?;
        leaseable(execution)?;
        if execution.is_interrupted() {
            return Err(EngineError::Contention(ContentionKind::UseClaimResumedExecution));
        }
        let grant = seen
            .grant
            .as_ref()
            .filter(|grant| grant.worker_id == args.worker_id)
            .ok_or(EngineError::Contention(ContentionKind::InvalidClaimGrant))?;
        if grant.expires_at < cx.now {
            return Err(EngineError::Contention(ContentionKind::ClaimGrantExpired));
        }

        let wanted = Wanted {
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            ttl,
            lease_id: Some(args.lease_id.clone()),
            attempt_id: Some(args.attempt_id.clone()),
            attempt_policy_json: Some(args.attempt_policy_json.clone())
                .filter(|json| !json.is_empty()),
            attempt_timeout: args.attempt_timeout_ms.filter(|ms| *ms > 0).map(DurationMs),
        };
        let mut base = execution.clone();
        base.deadline_at = args.execution_deadline_at.map(TimestampMs).or(base.deadline_at);
        Ok(acquire(&base, seen.current.as_ref(), wanted, cx).change(Change::DropGrants {
            execution_id: args.execution_id.clone(),
            kind: GrantKind::Claim,
        }))
    }
}

fn leaseable(execution: &Execution) -> Result<(), EngineError> {
    let not_leaseable = Err(EngineError::Contention(ContentionKind::ExecutionNotLeaseable));
    match execution.state.lifecycle_phase {
        LifecyclePhase::Runnable | LifecyclePhase::Submitted => {}
        LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => {
            return not_leaseable;
        }
    }
    if execution.state.ownership_state != OwnershipState::Unowned {
        return Err(EngineError::Contention(ContentionKind::LeaseConflict));
    }
    if execution.state.eligibility_state != EligibilityState::EligibleNow
        || execution.outcome() != TerminalOutcome::None
    {
        return not_leaseable;
    }
    if execution.state.attempt_state == AttemptState::RunningAttempt {
        return Err(EngineError::Conflict(ConflictKind::ActiveAttemptExists));
    }
    Ok(())
}
