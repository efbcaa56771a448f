//! Claiming a resumed execution by name: its interrupted attempt goes on.

use super::claim::{Claimed, Wanted, acquire};
use crate::EngineError;
use crate::contracts::ClaimResumedExecutionArgs;
use crate::engine_error::ContentionKind;
use crate::machine::budget::gate::admit;
use crate::machine::rows::{Grant, GrantKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::state::{EligibilityState, LifecyclePhase, OwnershipState};
use crate::types::{DurationMs, TimestampMs, WorkerId};

/// Takes an execution whose wait is over: same index and attempt id, next epoch.
///
/// No grant is needed, as a plain claim needs none either; a live one of another worker keeps it
/// for that worker, and the worker's own is consumed. Refusals, in this order: `NotFound`,
/// `ExecutionNotLeaseable` (phase, eligibility), `NotAResumedExecution` (no interrupted attempt, or
/// not the one named), `InvalidClaimGrant`, `ClaimGrantExpired`. A repeat is refused: the execution
/// is active by then.
#[derive(Debug, Clone)]
pub struct ClaimResumedExecution {
    /// The call, as the contract shapes it.
    pub args: ClaimResumedExecutionArgs,
}

impl Command for ClaimResumedExecution {
    const NAME: &'static str = "lease.claim_resumed_execution";
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
        let phase = execution.state.lifecycle_phase;
        if !matches!(phase, LifecyclePhase::Runnable | LifecyclePhase::Submitted)
            || execution.state.ownership_state != OwnershipState::Unowned
        {
            return Err(EngineError::Contention(ContentionKind::ExecutionNotLeaseable));
        }
        if !execution.is_interrupted() || args.current_attempt_index != execution.attempt_index {
            return Err(EngineError::Contention(ContentionKind::NotAResumedExecution));
        }
        if execution.state.eligibility_state != EligibilityState::EligibleNow {
            return Err(EngineError::Contention(ContentionKind::ExecutionNotLeaseable));
        }
        check_grant(seen.grant.as_ref(), &args.worker_id, cx.now)?;
        let left = args.remaining_attempt_timeout_ms.filter(|ms| *ms > 0).map(DurationMs);
        let admitted = admit(seen, cx.now).map_err(|closed| closed.refusal())?;
        let wanted = Wanted {
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            ttl,
            lease_id: Some(args.lease_id.clone()),
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: left,
            keeps_attempt: true,
        };
        Ok(acquire(execution, seen.current.as_ref(), wanted, &admitted, cx).change(
            Change::DropGrants { execution_id: args.execution_id.clone(), kind: GrantKind::Claim },
        ))
    }
}

/// Refuses whoever finds the execution granted to another worker, or its own grant over.
pub(super) fn check_grant(
    grant: Option<&Grant>,
    worker: &WorkerId,
    now: TimestampMs,
) -> Result<(), EngineError> {
    match grant {
        Some(grant) if grant.worker_id != *worker && grant.expires_at >= now => {
            Err(EngineError::Contention(ContentionKind::InvalidClaimGrant))
        }
        Some(grant) if grant.worker_id == *worker && grant.expires_at < now => {
            Err(EngineError::Contention(ContentionKind::ClaimGrantExpired))
        }
        Some(_) | None => Ok(()),
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
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::state;
    use crate::machine::suspension::testing::parked;
    use crate::state::{AttemptState, BlockingReason, TerminalOutcome};
    use crate::types::{AttemptIndex, LaneId, LeaseEpoch, LeaseId, WorkerInstanceId};

    fn claim(adjust: impl FnOnce(&mut ClaimResumedExecutionArgs)) -> ClaimResumedExecution {
        let mut args = ClaimResumedExecutionArgs {
            execution_id: execution().id,
            worker_id: WorkerId::new("successor"),
            worker_instance_id: WorkerInstanceId::new("successor-1"),
            lane_id: LaneId::new("default"),
            lease_id: LeaseId::from_uuid(uuid::Uuid::from_u128(30)),
            lease_ttl_ms: 30_000,
            current_attempt_index: AttemptIndex(0),
            remaining_attempt_timeout_ms: None,
            now: TimestampMs(0),
        };
        adjust(&mut args);
        ClaimResumedExecution { args }
    }

    fn told(seen: &Snapshot) -> String {
        refusal(decide(&claim(|_| {}), seen))
    }

    #[test]
    fn the_interrupted_attempt_goes_on_under_the_next_epoch() {
        let mut rows = seen_pair(interrupted());
        rows.execution.as_mut().unwrap().attempt_timeout_left = Some(DurationMs(700));

        let done = decide(&claim(|_| {}), &rows).unwrap();

        assert_eq!(done.outcome.kind, HandleKind::Resumed);
        let attempt = done.attempts()[0];
        assert_eq!((attempt.index, attempt.epoch), (AttemptIndex(0), LeaseEpoch(2)));
        assert_eq!(attempt.attempt_id, interrupted().1.attempt_id);
        assert_eq!(attempt.lease_id, Some(LeaseId::from_uuid(uuid::Uuid::from_u128(30))));
        assert_eq!(done.stored().attempt_timeout_at, Some(now_plus(700)));

        let given = claim(|args| args.remaining_attempt_timeout_ms = Some(50));
        let done = decide(&given, &rows).unwrap();
        assert_eq!(done.stored().attempt_timeout_at, Some(now_plus(50)));
    }

    #[test]
    fn what_did_not_wait_is_refused() {
        let not_leaseable = "contention: ExecutionNotLeaseable";
        let not_resumed = "contention: NotAResumedExecution";
        let mut delayed = interrupted();
        delayed.0.state =
            state::delayed(BlockingReason::WaitingForResumeDelay, AttemptState::AttemptInterrupted);
        for (pair, expected) in [
            (running(LEASE_END), not_leaseable),
            (lapsed(), not_leaseable),
            (parked(), not_leaseable),
            (ended(TerminalOutcome::Failed, AttemptOutcome::Failed), not_leaseable),
            (delayed, not_leaseable),
        ] {
            assert_eq!(told(&seen_pair(pair)), expected);
        }
        assert_eq!(told(&seen(execution(), None)), not_resumed);
        let other = claim(|args| args.current_attempt_index = AttemptIndex(1));
        assert_eq!(refusal(decide(&other, &seen_pair(interrupted()))), not_resumed);
        assert_eq!(told(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn a_grant_keeps_it_for_its_worker_while_it_lives() {
        let granted = |worker, expires_at| Snapshot {
            grant: Some(grant(GrantKind::Claim, worker, expires_at)),
            ..seen_pair(interrupted())
        };
        assert_eq!(told(&granted("successor", NOW)), "accepted");
        assert_eq!(told(&granted("successor", now_plus(-1))), "contention: ClaimGrantExpired");
        assert_eq!(told(&granted("other", NOW)), "contention: InvalidClaimGrant");
        assert_eq!(told(&granted("other", now_plus(-1))), "accepted");
    }
}
