//! Reclaiming by grant: a successor takes over from a dead worker.

use super::claim::{Claimed, Wanted, acquire, reclaims_exhausted};
use super::issue_reclaim_grant::not_reclaimable;
use crate::EngineError;
use crate::contracts::ReclaimExecutionArgs;
use crate::machine::policy;
use crate::machine::rows::GrantKind;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Consumes a reclaim grant: a new attempt under the next epoch.
///
/// At the cap the execution ends as failed (`max_reclaims_exceeded`), and that is the answer.
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
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Reclaim)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Reclaimed>, EngineError> {
        let args = &self.args;
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
        let wanted = Wanted {
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            ttl,
            lease_id: Some(args.lease_id.clone()),
            attempt_id: Some(args.attempt_id.clone()),
            attempt_policy_json: Some(args.attempt_policy_json.clone())
                .filter(|json| !json.is_empty()),
            attempt_timeout: None,
        };
        Ok(acquire(execution, current, wanted, cx)
            .map(|claimed| Reclaimed::Claimed(Box::new(claimed)))
            .change(Change::DropGrants {
                execution_id: args.execution_id.clone(),
                kind: GrantKind::Reclaim,
            }))
    }
}
