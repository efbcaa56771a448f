//! Reclaiming by grant: a successor takes over from a dead worker.

use super::claim::{Claimed, Wanted, acquire, reclaims_exhausted};
use super::issue_reclaim_grant::not_reclaimable;
use crate::EngineError;
use crate::contracts::ReclaimExecutionArgs;
use crate::machine::budget::gate::admit;
use crate::machine::policy;
use crate::machine::rows::GrantKind;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Consumes a reclaim grant: a new attempt under the next epoch.
///
/// At the cap the execution ends as failed (`max_reclaims_exceeded`), and that is the answer. A closed budget or quota refuses it (`BudgetExceeded`,
/// `ConcurrencyLimitExceeded`, `RateLimitExceeded`).
#[derive(Debug, Clone)]
pub struct ReclaimExecution {
    /// The call, as the contract shapes it.
    pub args: ReclaimExecutionArgs,
}

/// What became of the request.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum Reclaimed {
    Claimed(Box<Claimed>),
    NotReclaimable { detail: String },
    CapExceeded { reclaim_count: u32 },
    GrantNotFound,
}

impl Command for ReclaimExecution {
    const NAME: &'static str = "lease.reclaim_execution";
    type Outcome = Reclaimed;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Reclaim).with_gates()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Reclaimed>, EngineError> {
        let args = &self.args;
        super::named(&args.worker_id, &args.worker_instance_id)?;
        let ttl = super::ttl(args.lease_ttl_ms)?;
        let execution = seen.execution()?;
        if let Some(detail) = not_reclaimable(execution) {
            return Ok(Transition::unchanged(Reclaimed::NotReclaimable { detail }));
        }
        let current = seen.current.as_ref();
        if execution.reclaim_count >= policy::reclaim_cap(execution, args.max_reclaim_count) {
            let answer = Reclaimed::CapExceeded { reclaim_count: execution.reclaim_count };
            return Ok(reclaims_exhausted(execution, current, cx.now).answer(answer));
        }
        let permitted = seen
            .grant
            .as_ref()
            .is_some_and(|grant| grant.worker_id == args.worker_id && cx.now < grant.expires_at);
        if !permitted {
            return Ok(Transition::unchanged(Reclaimed::GrantNotFound));
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
            attempt_timeout: None,
            keeps_attempt: false,
        };
        Ok(acquire(execution, current, wanted, &admitted, cx)
            .map(|claimed| Reclaimed::Claimed(Box::new(claimed)))
            .change(Change::DropGrants {
                execution_id: args.execution_id.clone(),
                kind: GrantKind::Reclaim,
            }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::HandleKind;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, execution, grant, lapsed, now_plus, refusal, revoked, running,
        seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::state::PublicState;
    use crate::types::{
        AttemptId, AttemptIndex, LaneId, LeaseEpoch, LeaseId, TimestampMs, WorkerId,
        WorkerInstanceId,
    };

    fn reclaim(max_reclaim_count: Option<u32>) -> ReclaimExecution {
        ReclaimExecution {
            args: ReclaimExecutionArgs::new(
                execution().id,
                WorkerId::new("successor"),
                WorkerInstanceId::new("successor-2"),
                LaneId::new("default"),
                None,
                LeaseId::from_uuid(uuid::Uuid::from_u128(30)),
                30_000,
                AttemptId::from_uuid(uuid::Uuid::from_u128(20)),
                "{}".to_owned(),
                max_reclaim_count,
                WorkerInstanceId::new("worker-1"),
                AttemptIndex(0),
            ),
        }
    }

    fn granted(mut seen: Snapshot, worker: &str, expires_at: TimestampMs) -> Snapshot {
        seen.grant = Some(grant(GrantKind::Reclaim, worker, expires_at));
        seen
    }

    fn answer(seen: &Snapshot) -> String {
        match decide(&reclaim(None), seen) {
            Ok(done) => match done.outcome {
                Reclaimed::Claimed(_) => "claimed".to_owned(),
                Reclaimed::NotReclaimable { detail } => detail,
                Reclaimed::CapExceeded { reclaim_count } => format!("cap {reclaim_count}"),
                Reclaimed::GrantNotFound => "grant not found".to_owned(),
            },
            Err(error) => error.to_string(),
        }
    }

    fn dropped() -> Change {
        Change::DropGrants { execution_id: execution().id, kind: GrantKind::Reclaim }
    }

    #[test]
    fn the_successor_gets_a_new_attempt_under_the_next_epoch() {
        for pair in [lapsed(), revoked()] {
            let seen = granted(seen_pair(pair), "successor", now_plus(1));

            let done = decide(&reclaim(None), &seen).unwrap();

            let Reclaimed::Claimed(claimed) = &done.outcome else { panic!("expected a claim") };
            assert_eq!(claimed.kind, HandleKind::Reclaimed);
            let [lost, new] = done.attempts()[..] else { panic!("two attempts") };
            assert_eq!(lost.outcome, Some(AttemptOutcome::InterruptedReclaimed));
            assert_eq!((new.index, new.epoch), (AttemptIndex(1), LeaseEpoch(2)));
            assert_eq!(new.lease_id, Some(LeaseId::from_uuid(uuid::Uuid::from_u128(30))));
            assert_eq!(new.attempt_id, Some(AttemptId::from_uuid(uuid::Uuid::from_u128(20))));
            assert_eq!(new.policy_json.as_deref(), Some("{}"));
            assert_eq!(new.worker_instance_id, Some(WorkerInstanceId::new("successor-2")));
            assert_eq!(done.stored().reclaim_count, 1);
            assert_eq!(done.changes.last(), Some(&dropped()));
        }
    }

    #[test]
    fn a_grant_is_for_its_worker_until_its_instant() {
        let lapsed = || seen_pair(lapsed());

        assert_eq!(answer(&lapsed()), "grant not found");
        assert_eq!(answer(&granted(lapsed(), "other", LEASE_END)), "grant not found");
        assert_eq!(answer(&granted(lapsed(), "successor", NOW)), "grant not found");
        assert_eq!(answer(&granted(lapsed(), "successor", now_plus(1))), "claimed");
        assert!(decide(&reclaim(None), &lapsed()).unwrap().is_unchanged());
    }

    #[test]
    fn what_is_not_reclaimable_is_answered_with_why() {
        assert_eq!(
            answer(&granted(seen_pair(running(LEASE_END)), "successor", LEASE_END)),
            "ownership_state=leased (expected lease_expired_reclaimable | lease_revoked)"
        );
        assert_eq!(answer(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn at_the_cap_the_execution_ends_and_that_is_the_answer() {
        let mut seen = granted(seen_pair(lapsed()), "successor", LEASE_END);
        seen.execution.as_mut().unwrap().reclaim_count = 3;

        let under = decide(&reclaim(Some(4)), &seen).unwrap();
        assert!(matches!(under.outcome, Reclaimed::Claimed(_)));
        let done = decide(&reclaim(Some(3)), &seen).unwrap();

        assert!(matches!(done.outcome, Reclaimed::CapExceeded { reclaim_count: 3 }));
        assert_eq!(done.stored().public_state(), PublicState::Failed);
        assert_eq!(done.completions().len(), 1);
        assert_eq!(done.changes.last(), Some(&dropped()));
    }

    #[test]
    fn a_lease_out_of_bounds_is_refused_first() {
        let mut command = reclaim(None);
        command.args.lease_ttl_ms = 0;

        let refused = refusal(decide(&command, &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: lease ttl"), "{refused}");
    }
}
