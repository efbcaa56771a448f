//! Granting a claim: a scheduler reserves an execution for one worker, briefly.

use std::collections::BTreeSet;

use crate::EngineError;
use crate::contracts::IssueClaimGrantArgs;
use crate::engine_error::{ContentionKind, StateKind, ValidationKind};
use crate::machine::budget::gate::admit;
use crate::machine::limits::LEASE_TTL_MAX_MS;
use crate::machine::policy::later;
use crate::machine::rows::{Execution, Grant, GrantKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, gate};
use crate::state::{EligibilityState, LifecyclePhase};
use crate::types::DurationMs;

/// Gives one worker permission to claim one execution. The execution stays in line.
///
/// Refusals, in this order: `NotFound`, `ExecutionNotEligible`, `GrantAlreadyExists` (while a
/// grant lives; so is a repeat), `InvalidCapabilities`, `CapabilityMismatch` with the missing
/// tokens, a closed budget or quota (`BudgetExceeded`, `ConcurrencyLimitExceeded`,
/// `RateLimitExceeded`).
#[derive(Debug, Clone)]
pub struct IssueClaimGrant {
    /// The call, as the contract shapes it.
    pub args: IssueClaimGrantArgs,
}

impl Command for IssueClaimGrant {
    const NAME: &'static str = "lease.issue_claim_grant";
    type Outcome = Grant;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim).with_gates()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Grant>, EngineError> {
        let args = &self.args;
        super::named(&args.worker_id, &args.worker_instance_id)?;
        let ttl = grant_ttl(args.grant_ttl_ms)?;
        let execution = seen.execution()?;
        if !is_in_line(execution) {
            return Err(EngineError::Contention(ContentionKind::ExecutionNotEligible));
        }
        if seen.grant.as_ref().is_some_and(|grant| grant.expires_at >= cx.now) {
            return Err(EngineError::State(StateKind::GrantAlreadyExists));
        }
        admits(execution, &args.worker_capabilities)?;
        admit(seen, cx.now).map_err(|closed| closed.refusal())?;

        let grant = Grant {
            grant_id: cx.ids.uuid(),
            execution_id: args.execution_id.clone(),
            kind: GrantKind::Claim,
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
        Ok(Transition::unchanged(grant.clone())
            .change(Change::DropGrants {
                execution_id: args.execution_id.clone(),
                kind: GrantKind::Claim,
            })
            .change(Change::PutGrant(Box::new(grant))))
    }
}

/// Runnable and eligible: what a scheduler may hand out.
pub(super) fn is_in_line(execution: &Execution) -> bool {
    let runnable = match execution.state.lifecycle_phase {
        LifecyclePhase::Runnable | LifecyclePhase::Submitted => true,
        LifecyclePhase::Active | LifecyclePhase::Suspended | LifecyclePhase::Terminal => false,
    };
    runnable && execution.state.eligibility_state == EligibilityState::EligibleNow
}

/// Refuses a worker whose capabilities are malformed or not enough.
pub(super) fn admits(execution: &Execution, worker: &BTreeSet<String>) -> Result<(), EngineError> {
    gate::key("worker", worker.iter().map(String::as_str))?;
    let missing = gate::missing(&execution.gate_key, worker);
    if missing.is_empty() {
        return Ok(());
    }
    Err(EngineError::Validation {
        kind: ValidationKind::CapabilityMismatch,
        detail: missing.join(","),
    })
}

/// A grant's life within the bounds of a lease's.
pub(super) fn grant_ttl(ms: u64) -> Result<DurationMs, EngineError> {
    if (1..=LEASE_TTL_MAX_MS).contains(&ms) {
        return Ok(DurationMs(ms));
    }
    Err(EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: format!("grant_ttl_ms is {ms}; give 1 to {LEASE_TTL_MAX_MS} ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, grant, interrupted, lapsed, now_plus, refusal,
        running, seen, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::state;
    use crate::partition::{Partition, PartitionFamily};
    use crate::state::{AttemptState, BlockingReason, TerminalOutcome};
    use crate::types::{LaneId, TimestampMs, WorkerId, WorkerInstanceId};

    fn issue(capabilities: &[&str], grant_ttl_ms: u64) -> IssueClaimGrant {
        IssueClaimGrant {
            args: IssueClaimGrantArgs::new(
                execution().id,
                LaneId::new("default"),
                WorkerId::new("successor"),
                WorkerInstanceId::new("successor-1"),
                Partition { family: PartitionFamily::Flow, index: 0 },
                capabilities.iter().map(|&one| one.to_owned()).collect(),
                grant_ttl_ms,
                TimestampMs(0),
            ),
        }
    }

    fn told(seen: &Snapshot) -> String {
        refusal(decide(&issue(&[], 500), seen))
    }

    #[test]
    fn a_grant_is_stored_and_the_execution_stays_in_line() {
        let mut command = issue(&["gpu"], 500);
        command.args.capability_hash = Some("hash".to_owned());
        command.args.route_snapshot_json = Some("{}".to_owned());
        command.args.admission_summary = Some("admitted".to_owned());

        let done = decide(&command, &seen(execution(), None)).unwrap();

        let issued = done.outcome.clone();
        assert_eq!((issued.issued_at, issued.expires_at), (NOW, now_plus(500)));
        assert_eq!((issued.kind, issued.ttl), (GrantKind::Claim, DurationMs(500)));
        assert_eq!(issued.worker_id, WorkerId::new("successor"));
        assert_eq!(issued.worker_capabilities, ["gpu"]);
        assert_eq!(issued.capability_hash.as_deref(), Some("hash"));
        assert_eq!(issued.route_snapshot_json.as_deref(), Some("{}"));
        assert_eq!(issued.admission_summary.as_deref(), Some("admitted"));
        let execution_id = execution().id;
        assert_eq!(
            done.changes,
            [
                Change::DropGrants { execution_id, kind: GrantKind::Claim },
                Change::PutGrant(Box::new(issued)),
            ]
        );
        assert!(done.events.is_empty());
    }

    #[test]
    fn a_live_grant_refuses_another_up_to_its_last_instant() {
        let granted = |expires_at| Snapshot {
            grant: Some(grant(GrantKind::Claim, "anyone", expires_at)),
            ..seen(execution(), None)
        };

        assert_eq!(told(&granted(now_plus(1))), "state: GrantAlreadyExists");
        assert_eq!(told(&granted(NOW)), "state: GrantAlreadyExists");
        assert_eq!(told(&granted(now_plus(-1))), "accepted");
    }

    #[test]
    fn only_what_is_in_line_is_granted() {
        let mut delayed = execution();
        delayed.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);
        for row in [
            delayed,
            running(LEASE_END).0,
            lapsed().0,
            ended(TerminalOutcome::Failed, AttemptOutcome::Failed).0,
        ] {
            assert_eq!(told(&seen(row, None)), "contention: ExecutionNotEligible");
        }
        assert_eq!(told(&seen_pair(interrupted())), "accepted");
        let mut submitted = execution();
        submitted.state.lifecycle_phase = LifecyclePhase::Submitted;
        assert_eq!(told(&seen(submitted, None)), "accepted");
        assert_eq!(told(&Snapshot::default()), "not found: execution");
    }

    #[test]
    fn a_worker_must_have_what_is_required() {
        let gated = seen(Execution { gate_key: "arm,gpu,tpu".to_owned(), ..execution() }, None);
        let told = |capabilities: &[&str]| refusal(decide(&issue(capabilities, 500), &gated));

        assert_eq!(told(&["arm", "gpu", "tpu"]), "accepted");
        assert_eq!(told(&["gpu"]), "validation: CapabilityMismatch: arm,tpu");
        assert_eq!(told(&["g,pu"]), "validation: InvalidCapabilities: worker:comma_in_token");
    }

    #[test]
    fn a_grant_lasts_a_millisecond_to_a_day() {
        let told = |ms| refusal(decide(&issue(&[], ms), &seen(execution(), None)));

        assert_eq!((told(1), told(LEASE_TTL_MAX_MS)), ("accepted".into(), "accepted".into()));
        assert_eq!(told(0), "validation: InvalidInput: grant_ttl_ms is 0; give 1 to 86400000 ms");
        assert!(told(LEASE_TTL_MAX_MS + 1).starts_with("validation: InvalidInput"));
    }
}
