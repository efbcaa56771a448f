//! Claiming by grant: a worker uses the permission that a scheduler gave it.

use super::claim::{Claimed, Wanted, acquire};
use crate::EngineError;
use crate::contracts::ClaimExecutionArgs;
use crate::engine_error::{ConflictKind, ContentionKind};
use crate::machine::budget::gate::admit;
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
/// `UseClaimResumedExecution`, `InvalidClaimGrant`, `ClaimGrantExpired`, a closed budget or quota
/// (`BudgetExceeded`, `ConcurrencyLimitExceeded`, `RateLimitExceeded`).
#[derive(Debug, Clone)]
pub struct ClaimExecution {
    /// The call, as the contract shapes it.
    pub args: ClaimExecutionArgs,
}

impl Command for ClaimExecution {
    const NAME: &'static str = "lease.claim_execution";
    type Outcome = Claimed;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim).with_gates()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Claimed>, EngineError> {
        let args = &self.args;
        super::named(&args.worker_id, &args.worker_instance_id)?;
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

        let admitted = admit(seen, cx.now).map_err(|closed| closed.refusal())?;
        let wanted = Wanted {
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            ttl,
            lease_id: Some(args.lease_id.clone()),
            attempt_id: Some(args.attempt_id.clone()),
            attempt_policy_json: Some(args.attempt_policy_json.clone())
                .filter(|json| !json.is_empty()),
            attempt_timeout: args.attempt_timeout_ms.filter(|ms| *ms > 0).map(DurationMs),
            keeps_attempt: false,
        };
        let mut base = execution.clone();
        base.deadline_at = args.execution_deadline_at.map(TimestampMs).or(base.deadline_at);
        Ok(acquire(&base, seen.current.as_ref(), wanted, &admitted, cx).change(
            Change::DropGrants { execution_id: args.execution_id.clone(), kind: GrantKind::Claim },
        ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::HandleKind;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, grant, interrupted, lapsed, now_plus, refusal,
        running, seen, seen_pair,
    };
    use crate::machine::rows::{AttemptOutcome, Grant};
    use crate::machine::state;
    use crate::state::BlockingReason;
    use crate::types::{
        AttemptId, AttemptIndex, LaneId, LeaseEpoch, LeaseId, WorkerId, WorkerInstanceId,
    };

    fn claim(adjust: impl FnOnce(&mut ClaimExecutionArgs)) -> ClaimExecution {
        let mut args = ClaimExecutionArgs::new(
            execution().id,
            WorkerId::new("successor"),
            WorkerInstanceId::new("successor-2"),
            LaneId::new("default"),
            LeaseId::from_uuid(uuid::Uuid::from_u128(30)),
            30_000,
            AttemptId::from_uuid(uuid::Uuid::from_u128(20)),
            AttemptIndex(9),
            String::new(),
            None,
            None,
            TimestampMs(0),
        );
        adjust(&mut args);
        ClaimExecution { args }
    }

    fn granted(execution: Execution) -> Snapshot {
        with_grant(execution, grant(GrantKind::Claim, "successor", now_plus(1)))
    }

    fn with_grant(execution: Execution, grant: Grant) -> Snapshot {
        Snapshot { grant: Some(grant), ..seen(execution, None) }
    }

    fn told(seen: &Snapshot) -> String {
        refusal(decide(&claim(|_| {}), seen))
    }

    #[test]
    fn the_grant_is_consumed_and_the_callers_ids_are_recorded() {
        let command = claim(|args| {
            args.attempt_policy_json = "{\"a\":1}".to_owned();
            args.attempt_timeout_ms = Some(250);
            args.execution_deadline_at = Some(now_plus(900).0);
        });

        let done = decide(&command, &granted(execution())).unwrap();

        assert_eq!(done.outcome.kind, HandleKind::Fresh);
        let attempt = done.attempts()[0];
        assert_eq!(attempt.index, AttemptIndex(0));
        assert_eq!(attempt.lease_id, Some(command.args.lease_id));
        assert_eq!(attempt.attempt_id, Some(command.args.attempt_id));
        assert_eq!(attempt.worker_instance_id, Some(WorkerInstanceId::new("successor-2")));
        assert_eq!(attempt.policy_json.as_deref(), Some("{\"a\":1}"));
        assert_eq!(attempt.lease_expires_at, Some(now_plus(30_000)));
        let row = done.stored();
        assert_eq!((row.epoch, row.state.clone()), (LeaseEpoch(1), state::running()));
        assert_eq!(row.attempt_timeout_at, Some(now_plus(250)));
        assert_eq!(row.deadline_at, Some(now_plus(900)));
        let execution_id = execution().id;
        let kind = GrantKind::Claim;
        assert!(done.changes.contains(&Change::DropGrants { execution_id, kind }));
    }

    #[test]
    fn what_the_call_leaves_out_is_left_as_it_is() {
        let row = Execution { deadline_at: Some(LEASE_END), ..execution() };
        let command = claim(|args| args.attempt_timeout_ms = Some(0));

        let done = decide(&command, &granted(row)).unwrap();

        assert_eq!(done.stored().deadline_at, Some(LEASE_END));
        assert_eq!(done.stored().attempt_timeout_at, None);
        assert_eq!(done.attempts()[0].policy_json, None);
    }

    #[test]
    fn a_grant_is_for_its_worker_until_its_end_inclusive() {
        let for_worker = |worker, expires_at| {
            with_grant(execution(), grant(GrantKind::Claim, worker, expires_at))
        };

        assert_eq!(told(&seen(execution(), None)), "contention: InvalidClaimGrant");
        assert_eq!(told(&for_worker("other", LEASE_END)), "contention: InvalidClaimGrant");
        assert_eq!(told(&for_worker("other", now_plus(-1))), "contention: InvalidClaimGrant");
        assert_eq!(told(&for_worker("successor", now_plus(-1))), "contention: ClaimGrantExpired");
        assert_eq!(told(&for_worker("successor", NOW)), "accepted");
    }

    #[test]
    fn what_cannot_be_leased_is_refused_whatever_the_grant() {
        let not_leaseable = "contention: ExecutionNotLeaseable";
        let mut delayed = execution();
        delayed.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);
        let mut owned = execution();
        owned.state.ownership_state = OwnershipState::LeaseRevoked;
        let mut with_outcome = execution();
        with_outcome.state.terminal_outcome = TerminalOutcome::Failed;
        let mut runs = execution();
        runs.state.attempt_state = AttemptState::RunningAttempt;
        let over = ended(TerminalOutcome::Failed, AttemptOutcome::Failed).0;
        for (row, told_as) in [
            (running(LEASE_END).0, not_leaseable),
            (lapsed().0, not_leaseable),
            (over, not_leaseable),
            (owned, "contention: LeaseConflict"),
            (delayed, not_leaseable),
            (with_outcome, not_leaseable),
            (runs, "conflict: ActiveAttemptExists"),
            (interrupted().0, "contention: UseClaimResumedExecution"),
        ] {
            assert_eq!(told(&granted(row)), told_as);
        }
        assert_eq!(told(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn a_lease_out_of_bounds_is_refused_first() {
        let command = claim(|args| args.lease_ttl_ms = 0);

        let refused = refusal(decide(&command, &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: lease ttl"), "{refused}");
    }

    #[test]
    fn a_repeat_is_refused() {
        let mut seen = granted(execution());
        let done = decide(&claim(|_| {}), &seen).unwrap();

        seen.apply(&done.changes);

        assert_eq!(told(&seen), "contention: ExecutionNotLeaseable");
        assert_eq!(told(&seen_pair(running(LEASE_END))), "contention: ExecutionNotLeaseable");
    }
}
