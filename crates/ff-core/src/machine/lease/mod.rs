//! Leases: who may write, for how long, under which epoch.

pub mod claim;
pub mod claim_execution;
pub mod claim_from_resume_grant;
pub mod claim_resumed_execution;
pub mod issue_claim_grant;
pub mod issue_grant_and_claim;
pub mod issue_reclaim_grant;
pub mod reclaim_execution;
pub mod renew;
pub mod revoke;

pub use claim::{Claim, ClaimDecision, Claimed, Claimer};
pub use claim_execution::ClaimExecution;
pub use claim_from_resume_grant::ClaimFromResumeGrant;
pub use claim_resumed_execution::ClaimResumedExecution;
pub use issue_claim_grant::IssueClaimGrant;
pub use issue_grant_and_claim::IssueGrantAndClaim;
pub use issue_reclaim_grant::{IssueReclaimGrant, ReclaimGranted};
pub use reclaim_execution::{ReclaimExecution, Reclaimed};
pub use renew::Renew;
pub use revoke::{Revoke, Revoked};

use super::limits::{IDENTIFIER_MAX_BYTES, LEASE_TTL_MAX_MS, LEASE_TTL_MIN_MS};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::types::{DurationMs, WorkerId, WorkerInstanceId};

/// Refuses a worker whose names are longer than they may be with `Validation(InvalidInput)`.
pub fn named(worker: &WorkerId, instance: &WorkerInstanceId) -> Result<(), EngineError> {
    for (field, name) in [("worker_id", worker.as_str()), ("worker_instance_id", instance.as_str())]
    {
        if name.len() > IDENTIFIER_MAX_BYTES {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!(
                    "{field} is {} bytes; the limit is {IDENTIFIER_MAX_BYTES}",
                    name.len()
                ),
            });
        }
    }
    Ok(())
}

/// A lease duration within its bounds, or `Validation(InvalidInput)`.
pub fn ttl(ms: u64) -> Result<DurationMs, EngineError> {
    if (LEASE_TTL_MIN_MS..=LEASE_TTL_MAX_MS).contains(&ms) {
        return Ok(DurationMs(ms));
    }
    Err(EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: format!("lease ttl is {ms} ms; give {LEASE_TTL_MIN_MS} to {LEASE_TTL_MAX_MS} ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::refusal;

    #[test]
    fn a_lease_lasts_a_millisecond_to_a_day() {
        for ms in [1, 30_000, LEASE_TTL_MAX_MS] {
            assert_eq!(ttl(ms).unwrap(), DurationMs(ms));
        }
        for ms in [0, LEASE_TTL_MAX_MS + 1, u64::MAX] {
            assert_eq!(
                refusal(ttl(ms)),
                format!("validation: InvalidInput: lease ttl is {ms} ms; give 1 to 86400000 ms")
            );
        }
    }
}
