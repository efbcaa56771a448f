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
    Granted(Box<Grant>),
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
        super::named(&args.worker_id, &args.worker_instance_id)?;
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

        let grant = Box::new(Grant {
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
        });
        Ok(Transition::unchanged(ReclaimGranted::Granted(grant.clone()))
            .change(Change::DropGrants {
                execution_id: args.execution_id.clone(),
                kind: GrantKind::Reclaim,
            })
            .change(Change::PutGrant(grant)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, grant, lapsed, now_plus, refusal, revoked,
        running, seen, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::policy::ExecutionPolicy;
    use crate::state::TerminalOutcome;
    use crate::types::{LaneId, TimestampMs, WorkerId, WorkerInstanceId};

    fn issue(capabilities: &[&str], grant_ttl_ms: u64) -> IssueReclaimGrant {
        IssueReclaimGrant {
            args: IssueReclaimGrantArgs::new(
                execution().id,
                WorkerId::new("successor"),
                WorkerInstanceId::new("successor-1"),
                LaneId::new("default"),
                Some("hash".to_owned()),
                grant_ttl_ms,
                Some("{}".to_owned()),
                Some("admitted".to_owned()),
                capabilities.iter().map(|&one| one.to_owned()).collect(),
                TimestampMs(0),
            ),
        }
    }

    fn answer(seen: &Snapshot) -> String {
        match decide(&issue(&["gpu"], 500), seen) {
            Ok(done) => match done.outcome {
                ReclaimGranted::Granted(_) => "granted".to_owned(),
                ReclaimGranted::NotReclaimable { detail } => detail,
                ReclaimGranted::CapExceeded { reclaim_count } => format!("cap {reclaim_count}"),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_successor_is_chosen_for_what_lapsed_or_was_revoked() {
        for pair in [lapsed(), revoked()] {
            let done = decide(&issue(&["gpu"], 500), &seen_pair(pair)).unwrap();

            let ReclaimGranted::Granted(issued) = done.outcome else { panic!("expected a grant") };
            assert_eq!((issued.issued_at, issued.expires_at), (NOW, now_plus(500)));
            assert_eq!((issued.kind, issued.ttl.0), (GrantKind::Reclaim, 500));
            assert_eq!(issued.worker_id, WorkerId::new("successor"));
            assert_eq!(issued.worker_capabilities, ["gpu"]);
            assert_eq!(issued.capability_hash.as_deref(), Some("hash"));
            assert_eq!(issued.route_snapshot_json.as_deref(), Some("{}"));
            assert_eq!(issued.admission_summary.as_deref(), Some("admitted"));
            let execution_id = execution().id;
            assert_eq!(
                done.changes,
                [
                    Change::DropGrants { execution_id, kind: GrantKind::Reclaim },
                    Change::PutGrant(issued),
                ]
            );
            assert!(done.events.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_reclaimed_is_answered_with_why() {
        assert_eq!(
            answer(&seen_pair(running(LEASE_END))),
            "ownership_state=leased (expected lease_expired_reclaimable | lease_revoked)"
        );
        assert_eq!(answer(&seen(execution(), None)), "lifecycle_phase=runnable (expected active)");
        assert_eq!(
            answer(&seen_pair(ended(TerminalOutcome::Failed, AttemptOutcome::Failed))),
            "lifecycle_phase=terminal (expected active)"
        );
        assert_eq!(answer(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn the_cap_is_answered_before_a_grant_is_looked_at() {
        let (mut row, attempt) = lapsed();
        row.policy = Some(ExecutionPolicy { max_reclaim_count: 2, ..ExecutionPolicy::default() });
        row.reclaim_count = 1;
        assert_eq!(answer(&seen(row.clone(), attempt.clone())), "granted");

        row.reclaim_count = 2;
        let live = Some(grant(GrantKind::Reclaim, "anyone", LEASE_END));
        assert_eq!(answer(&Snapshot { grant: live, ..seen(row, attempt) }), "cap 2");
    }

    #[test]
    fn a_live_grant_refuses_another_until_its_instant() {
        let granted = |expires_at| Snapshot {
            grant: Some(grant(GrantKind::Reclaim, "anyone", expires_at)),
            ..seen_pair(lapsed())
        };

        assert_eq!(answer(&granted(now_plus(1))), "state: GrantAlreadyExists");
        assert_eq!(answer(&granted(NOW)), "granted");
    }

    #[test]
    fn a_worker_must_have_what_is_required() {
        let (mut row, attempt) = lapsed();
        row.gate_key = "arm,gpu,tpu".to_owned();
        let gated = seen(row, attempt);

        assert_eq!(answer(&gated), "capability_mismatch: arm,tpu");
        let malformed = refusal(decide(&issue(&["a b"], 500), &gated));
        assert_eq!(malformed, "validation: InvalidCapabilities: worker:control_or_whitespace");
    }

    #[test]
    fn a_grant_out_of_bounds_is_refused_first() {
        let refused = refusal(decide(&issue(&[], 0), &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: grant_ttl_ms"), "{refused}");
    }
}
