//! What a worker brings to a claim, and what keeping it gives back.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::time::Duration;

use crate::contracts::ResumeGrant;
use crate::types::{WorkerId, WorkerInstanceId};

/// The capability tokens a worker offers; an execution fits when its required tokens are a subset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CapabilitySet {
    pub tokens: Vec<String>,
}

impl CapabilitySet {
    pub fn new<I, S>(tokens: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self { tokens: tokens.into_iter().map(Into::into).collect() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// Who claims, for how long, and how long to wait for work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimPolicy {
    /// `None` answers at once.
    pub max_wait: Option<Duration>,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lease_ttl_ms: u32,
}

impl ClaimPolicy {
    #[must_use]
    pub fn new(
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lease_ttl_ms: u32,
        max_wait: Option<Duration>,
    ) -> Self {
        Self { max_wait, worker_id, worker_instance_id, lease_ttl_ms }
    }
}

/// A resume grant together with the worker that redeems it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumeToken {
    pub grant: ResumeGrant,
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub lease_ttl_ms: u32,
}

impl ResumeToken {
    #[must_use]
    pub fn new(
        grant: ResumeGrant,
        worker_id: WorkerId,
        worker_instance_id: WorkerInstanceId,
        lease_ttl_ms: u32,
    ) -> Self {
        Self { grant, worker_id, worker_instance_id, lease_ttl_ms }
    }
}

/// A renewed lease: its new expiry, and the epoch, which a renewal leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LeaseRenewal {
    pub expires_at_ms: u64,
    pub lease_epoch: u64,
}

impl LeaseRenewal {
    #[must_use]
    pub fn new(expires_at_ms: u64, lease_epoch: u64) -> Self {
        Self { expires_at_ms, lease_epoch }
    }
}
