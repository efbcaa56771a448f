//! Leases: getting the right to write, keeping it, giving it back, losing it.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod capabilities;
pub mod check;
pub mod claim;
pub mod claim_batch;
pub mod claim_execution;
pub mod claim_for_worker;
pub mod claim_order;
pub mod claim_wait;
pub mod expiry;
pub mod grant;
pub mod issue_grant_and_claim;
pub mod list_expired;
pub mod reclaim;
pub mod release;
pub mod renew;
pub mod revoke;
