//! Claiming by resume grant: an attempt that was interrupted, or whose lease was lost, goes on.

use super::claim::{Claimed, Wanted, acquire, reclaims_exhausted};
use super::claim_resumed_execution::check_grant;
use crate::EngineError;
use crate::backend::ResumeToken;
use crate::engine_error::ContentionKind;
use crate::machine::budget::gate::admit;
use crate::machine::rows::GrantKind;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, policy};
use crate::state::{EligibilityState, LifecyclePhase, OwnershipState};

/// Takes over an attempt: same index, next epoch. `None` while its lease is live.
///
/// An attempt whose lease was lost goes on too, and counts as a reclaim; at the cap the execution
/// ends instead, and the answer is `None`. Refusals, in this order: `NotFound` (execution,
/// attempt), `ExecutionNotLeaseable` (ended, suspended, or not in line), `NotAResumedExecution`,
/// `InvalidClaimGrant`, `ClaimGrantExpired`. A repeat finds the lease live: `None`.
#[derive(Debug, Clone)]
pub struct ClaimFromResumeGrant {
    /// The call, as the contract shapes it.
    pub token: ResumeToken,
}

impl Command for ClaimFromResumeGrant {
    const NAME: &'static str = "lease.claim_from_resume_grant";
    type Outcome = Option<Claimed>;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.token.grant.execution_id)
            .with_grant(GrantKind::Claim)
            .with_gates()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Option<Claimed>>, EngineError> {
        let token = &self.token;
        super::named(&token.worker_id, &token.worker_instance_id)?;
        let ttl = super::ttl(u64::from(token.lease_ttl_ms))?;
        let execution = seen.execution()?;
        let not_leaseable = Err(EngineError::Contention(ContentionKind::ExecutionNotLeaseable));
        match execution.state.lifecycle_phase {
            LifecyclePhase::Terminal | LifecyclePhase::Suspended => return not_leaseable,
            LifecyclePhase::Submitted | LifecyclePhase::Runnable | LifecyclePhase::Active => {}
        }
        let attempt = seen.current.as_ref().ok_or(EngineError::NotFound { entity: "attempt" })?;
        if execution.is_leased() {
            return Ok(Transition::unchanged(None));
        }
        if !execution.is_interrupted() {
            return Err(EngineError::Contention(ContentionKind::NotAResumedExecution));
        }
        let waits = execution.state.eligibility_state == EligibilityState::EligibleNow
            && execution.state.ownership_state == OwnershipState::Unowned;
        if !waits && !execution.is_reclaimable() {
            return not_leaseable;
        }
        check_grant(seen.grant.as_ref(), &token.worker_id, cx.now)?;
        // Zero stands for a grant that names no end.
        let end = token.grant.expires_at_ms;
        if end > 0 && i64::try_from(end).is_ok_and(|end| end < cx.now.0) {
            return Err(EngineError::Contention(ContentionKind::ClaimGrantExpired));
        }
        if execution.is_reclaimable()
            && execution.reclaim_count >= policy::reclaim_cap(execution, None)
        {
            return Ok(reclaims_exhausted(execution, Some(attempt), cx.now).answer(None));
        }
        let admitted = admit(seen, cx.now).map_err(|closed| closed.refusal())?;
        let wanted = Wanted {
            worker_id: token.worker_id.clone(),
            worker_instance_id: token.worker_instance_id.clone(),
            ttl,
            lease_id: None,
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: None,
            keeps_attempt: true,
        };
        let acquired = acquire(execution, Some(attempt), wanted, &admitted, cx);
        Ok(acquired.map(Some).change(Change::DropGrants {
            execution_id: execution.id.clone(),
            kind: GrantKind::Claim,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::HandleKind;
    use crate::contracts::ResumeGrant;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, grant, interrupted, lapsed, now_plus, refusal,
        revoked, running, seen, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::suspension::testing::parked;
    use crate::machine::transition::LeaseEventKind;
    use crate::partition::{Partition, PartitionFamily, PartitionKey};
    use crate::policy::ExecutionPolicy;
    use crate::state::{PublicState, TerminalOutcome};
    use crate::types::{AttemptIndex, LaneId, LeaseEpoch, WorkerId, WorkerInstanceId};

    fn claim(ends: u64) -> ClaimFromResumeGrant {
        let partition = Partition { family: PartitionFamily::Flow, index: 0 };
        let grant = ResumeGrant::new(
            execution().id,
            PartitionKey::from(&partition),
            "grant".to_owned(),
            ends,
            LaneId::new("default"),
        );
        let (worker, instance) = (WorkerId::new("successor"), WorkerInstanceId::new("s-1"));
        ClaimFromResumeGrant { token: ResumeToken::new(grant, worker, instance, 30_000) }
    }

    fn told(seen: &Snapshot) -> String {
        refusal(decide(&claim(0), seen))
    }

    #[test]
    fn the_attempt_goes_on_whether_it_was_parked_or_lost() {
        for (pair, event, reclaims) in [
            (interrupted(), LeaseEventKind::Acquired, 0),
            (lapsed(), LeaseEventKind::Reclaimed, 1),
            (revoked(), LeaseEventKind::Reclaimed, 1),
        ] {
            let done = decide(&claim(0), &seen_pair(pair)).unwrap();

            let claimed = done.outcome.as_ref().unwrap();
            assert_eq!(claimed.kind, HandleKind::Resumed);
            let [attempt] = done.attempts()[..] else { panic!("one attempt") };
            assert_eq!((attempt.index, attempt.epoch), (AttemptIndex(0), LeaseEpoch(2)));
            assert_eq!((attempt.outcome, attempt.lease_expired_at), (None, None));
            assert_eq!(done.leases()[0].kind, event);
            let row = done.stored();
            assert_eq!((row.reclaim_count, row.attempt_count), (reclaims, 1));
        }
    }

    #[test]
    fn a_live_lease_is_left_alone() {
        let done = decide(&claim(0), &seen_pair(running(LEASE_END))).unwrap();
        assert!(done.outcome.is_none() && done.is_unchanged());
    }

    #[test]
    fn the_dead_are_not_revived() {
        let not_leaseable = "contention: ExecutionNotLeaseable";
        for outcome in [TerminalOutcome::Cancelled, TerminalOutcome::Success] {
            let rows = seen_pair(ended(outcome, AttemptOutcome::Cancelled));
            assert_eq!(told(&rows), not_leaseable);
        }
        assert_eq!(told(&seen_pair(parked())), not_leaseable);
        assert_eq!(told(&Snapshot::default()), "not found: execution");
        assert_eq!(told(&seen(execution(), None)), "not found: attempt");
        let pending = seen(execution(), interrupted().1);
        assert_eq!(told(&pending), "contention: NotAResumedExecution");
    }

    #[test]
    fn reclaims_used_up_end_the_execution() {
        let (mut row, attempt) = lapsed();
        row.policy = Some(ExecutionPolicy { max_reclaim_count: 0, ..ExecutionPolicy::default() });

        let done = decide(&claim(0), &seen_pair((row, attempt))).unwrap();

        assert!(done.outcome.is_none());
        assert_eq!(done.stored().public_state(), PublicState::Failed);
    }

    #[test]
    fn a_grant_ends_after_its_last_instant() {
        let rows = seen_pair(interrupted());
        let ends = |at: i64| refusal(decide(&claim(u64::try_from(at).unwrap()), &rows));
        assert_eq!(ends(NOW.0), "accepted");
        assert_eq!(ends(NOW.0 - 1), "contention: ClaimGrantExpired");
        let reserved = Snapshot {
            grant: Some(grant(GrantKind::Claim, "other", now_plus(1))),
            ..seen_pair(interrupted())
        };
        assert_eq!(told(&reserved), "contention: InvalidClaimGrant");
    }
}
