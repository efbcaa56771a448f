//! Granting a claim: a scheduler reserves an execution for one worker, briefly.

use std::collections::BTreeSet;

use crate::EngineError;
use crate::contracts::IssueClaimGrantArgs;
use crate::engine_error::{ContentionKind, StateKind, ValidationKind};
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
/// tokens.
#[derive(Debug, Clone)]
pub struct IssueClaimGrant {
    /// The call, as the contract shapes it.
    pub args: IssueClaimGrantArgs,
}

impl Command for IssueClaimGrant {
    const NAME: &'static str = "lease.issue_claim_grant";
    type Outcome = Grant;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.args.execution_id).with_grant(GrantKind::Claim)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Grant>, EngineError> {
        let args = &self.args;
        let ttl = grant_ttl(args.grant_ttl_ms)?;
        let execution = seen.execution()?;
        if !is_in_line(execution) {
            return Err(EngineError::Contention(ContentionKind::ExecutionNotEligible));
        }
        if seen.grant.as_ref().is_some_and(|grant| grant.expires_at >= cx.now) {
            return Err(EngineError::State(StateKind::GrantAlreadyExists));
        }
        admits(execution, &args.worker_capabilities)?;

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
