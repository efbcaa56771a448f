//! Leases: who may write, for how long, under which epoch.

pub mod claim;
pub mod claim_execution;
pub mod issue_claim_grant;
pub mod issue_grant_and_claim;
pub mod issue_reclaim_grant;
pub mod reclaim_execution;
pub mod renew;
pub mod revoke;

pub use claim::{Claim, ClaimDecision, Claimed, Claimer};
pub use claim_execution::ClaimExecution;
pub use issue_claim_grant::IssueClaimGrant;
pub use issue_grant_and_claim::IssueGrantAndClaim;
pub use issue_reclaim_grant::{IssueReclaimGrant, ReclaimGranted};
pub use reclaim_execution::{ReclaimExecution, Reclaimed};
pub use renew::Renew;
pub use revoke::{Revoke, Revoked};

use super::limits::{LEASE_TTL_MAX_MS, LEASE_TTL_MIN_MS};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::types::DurationMs;

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
