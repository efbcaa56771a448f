//! What a backend says about itself, so that callers can ask before they call.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

/// A release number; compares by major, then minor, then patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// Takes the three numbers as they are.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

/// Which backend this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendIdentity {
    /// `"sqlite"`, `"postgres"`, …: one word for all releases of a backend.
    pub family: &'static str,
    pub version: Version,
    pub rfc017_stage: &'static str,
}

impl BackendIdentity {
    /// Names a backend; every part is a constant of its crate.
    #[must_use]
    pub const fn new(family: &'static str, version: Version, rfc017_stage: &'static str) -> Self {
        Self { family, version, rfc017_stage }
    }
}

/// Which backend this is and what it can do.
///
/// ```
/// use ff_core::capability::{BackendIdentity, Capabilities, Supports, Version};
///
/// let mut supports = Supports::none();
/// supports.cancel_execution = true;
/// let identity = BackendIdentity::new("memory", Version::new(0, 16, 0), "");
/// assert!(Capabilities::new(identity, supports).supports.cancel_execution);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    pub identity: BackendIdentity,
    pub supports: Supports,
}

impl Capabilities {
    /// Puts both answers together.
    #[must_use]
    pub const fn new(identity: BackendIdentity, supports: Supports) -> Self {
        Self { identity, supports }
    }
}

/// One flag per optional method or feature; a call whose flag is false answers `Unavailable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Supports {
    pub cancel_execution: bool,
    pub change_priority: bool,
    pub replay_execution: bool,
    pub revoke_lease: bool,
    pub read_execution_state: bool,
    pub read_execution_info: bool,
    pub get_execution_result: bool,
    /// Create, report, reset and status of budgets.
    pub budget_admin: bool,
    /// `create_quota_policy`.
    pub quota_admin: bool,
    pub rotate_waitpoint_hmac_secret_all: bool,
    pub seed_waitpoint_hmac_secret: bool,
    pub list_pending_waitpoints: bool,
    pub cancel_flow_header: bool,
    pub cancel_flow_wait_timeout: bool,
    pub cancel_flow_wait_indefinite: bool,
    pub ack_cancel_member: bool,
    pub claim_for_worker: bool,
    /// Both halves of a reclaim by grant.
    pub issue_reclaim_grant: bool,
    pub prepare: bool,
    pub subscribe_lease_history: bool,
    pub subscribe_completion: bool,
    pub subscribe_signal_delivery: bool,
    pub subscribe_instance_tags: bool,
    pub stream_durable_summary: bool,
    pub stream_best_effort_live: bool,
    pub register_worker: bool,
    pub heartbeat_worker: bool,
    pub mark_worker_dead: bool,
    pub list_expired_leases: bool,
    pub list_workers: bool,
    pub release_admission: bool,
    pub read_quota_policy_limits: bool,
    pub block_execution_for_admission: bool,
    pub read_budget_usage_and_limits: bool,
}

impl Supports {
    /// Nothing, the same as [`Self::none`].
    #[must_use]
    pub const fn new() -> Self {
        Self::none()
    }

    /// Nothing; a backend switches on what it has.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            cancel_execution: false,
            change_priority: false,
            replay_execution: false,
            revoke_lease: false,
            read_execution_state: false,
            read_execution_info: false,
            get_execution_result: false,
            budget_admin: false,
            quota_admin: false,
            rotate_waitpoint_hmac_secret_all: false,
            seed_waitpoint_hmac_secret: false,
            list_pending_waitpoints: false,
            cancel_flow_header: false,
            cancel_flow_wait_timeout: false,
            cancel_flow_wait_indefinite: false,
            ack_cancel_member: false,
            claim_for_worker: false,
            issue_reclaim_grant: false,
            prepare: false,
            subscribe_lease_history: false,
            subscribe_completion: false,
            subscribe_signal_delivery: false,
            subscribe_instance_tags: false,
            stream_durable_summary: false,
            stream_best_effort_live: false,
            register_worker: false,
            heartbeat_worker: false,
            mark_worker_dead: false,
            list_expired_leases: false,
            list_workers: false,
            release_admission: false,
            read_quota_policy_limits: false,
            block_execution_for_admission: false,
            read_budget_usage_and_limits: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_supported_until_said_so() {
        assert_eq!(Supports::none(), Supports::default());
        assert_eq!(Supports::new(), Supports::none());
        let text = format!("{:?}", Supports::none());
        assert_eq!(text.matches("false").count(), 34);
        assert!(!text.contains("true"));
    }

    #[test]
    fn versions_compare_by_their_most_significant_part() {
        assert!(Version::new(0, 16, 0) < Version::new(1, 0, 0));
        assert!(Version::new(1, 2, 9) < Version::new(1, 10, 0));
        assert!(Version::new(1, 2, 3) < Version::new(1, 2, 4));
    }
}
