//! Granting a reclaim: permission to take over from a dead worker.

use super::issue_claim_grant::grant_ttl;
use crate::EngineError;
use crate::contracts::IssueReclaimGrantArgs;
use crate::engine_error::StateKind;
use crate::machine::policy::{self, later};
use crate::machine::rows::{Execution, Grant, GrantKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, gate};

/// Gives one worker permission to reclaim an execution whose lease lapsed or was revoked.
///
/// `claim` reclaims by itself; this is for schedulers that choose the successor. A live grant
/// refuses another with `State(GrantAlreadyExists)`.
#[derive(Debug, Clone)]
pub struct IssueReclaimGrant {
    /// The call, as the contract shapes it.
    pub args: IssueReclaimGrantArgs,
}

/// What became of the request.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum ReclaimGranted {
    Granted(Grant),
    NotReclaimable { detail: String },
    CapExceeded { reclaim_count: u32 },
}

impl Command for IssueReclaimGrant {
    const NAME: &'static str = "lease.issue_reclaim_grant";
    type Outcome = ReclaimGranted;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Reclaim)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ReclaimGranted>, EngineError> {
        let args = &self.args;
        let ttl = grant_ttl(args.grant_ttl_ms)?;
        let execution = seen.execution()?;
        if let Some(detail) = not_reclaimable(execution) {
            return Ok(Transition::unchanged(ReclaimGranted::NotReclaimable { detail }));
        }
        if execution.reclaim_count >= policy::reclaim_cap(execution, None) {
            let reclaim_count = execution.reclaim_count;
            return Ok(Transition::unchanged(ReclaimGranted::CapExceeded { reclaim_count }));
        }
        if seen.grant.as_ref().is_some_and(|grant| cx.now < grant.expires_at) {
            return Err(EngineError::State(StateKind::GrantAlreadyExists));
        }
        gate::key("worker", args.worker_capabilities.iter().map(String::as_str))?;
        let missing = gate::missing(&execution.gate_key, &args.worker_capabilities);
        if !missing.is_empty() {
            let detail = format!("capability_mismatch: {}", missing.join(","));
            return Ok(Transition::unchanged(ReclaimGranted::NotReclaimable { detail }));
        }

        let grant = Grant {
            grant_id: cx.ids.uuid(),
            execution_id: args.execution_id.clone(),
            kind: GrantKind::Reclaim,
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            lane: args.lane_id.clone(),
            capability_hash: args.capability_hash.clone(),
            worker_capabilities: args.worker_capabilities.iter().cloned().collect(),
            route_snapshot_json: args.route_snapshot_json.clone(),
            admission_summary: args.admission_summary.clone(),
            ttl,
            issued_at: cx.now,
            expires_at: later(cx.now, ttl),
        };
        Ok(Transition::unchanged(ReclaimGranted::Granted(grant.clone()))
            .change(Change::DropGrants {
                execution_id: args.execution_id.clone(),
                kind: GrantKind::Reclaim,
            })
            .change(Change::PutGrant(Box::new(grant))))
    }
}

/// Why an execution cannot be reclaimed, in the contract's words.
pub(super) fn not_reclaimable(execution: &Execution) -> Option<String> {
    if !execution.is_active() {
        let phase = execution.state.lifecycle_phase.as_str();
        return Some(format!("lifecycle_phase={phase} (expected active)"));
    }
    if !execution.is_reclaimable() {
        let ownership = execution.state.ownership_state.as_str();
        return Some(format!(
            "ownership_state={ownership} (expected lease_expired_reclaimable | lease_revoked)"
        ));
    }
    None
}
