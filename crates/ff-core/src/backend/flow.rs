//! Cancelling a flow, and the news of an ended execution.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::time::Duration;

use crate::types::{ExecutionId, FlowId, TimestampMs};

/// Which members a flow cancel takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelFlowPolicy {
    /// None: the flow alone is closed.
    FlowOnly,
    /// Every member that has not ended.
    CancelAll,
    /// Every member that has neither started nor ended.
    CancelPending,
}

impl CancelFlowPolicy {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlowOnly => "cancel_flow_only",
            Self::CancelAll => "cancel_all",
            Self::CancelPending => "cancel_pending",
        }
    }

    /// The policy behind a stored name or the short form `flow_only`; `None` for any other text.
    #[must_use]
    pub fn from_literal(text: &str) -> Option<Self> {
        match text {
            "cancel_flow_only" | "flow_only" => Some(Self::FlowOnly),
            "cancel_all" => Some(Self::CancelAll),
            "cancel_pending" => Some(Self::CancelPending),
            _ => None,
        }
    }
}

/// How long a flow cancel waits for its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelFlowWait {
    NoWait,
    WaitTimeout(Duration),
    /// Bounded all the same, at 300 s.
    WaitIndefinite,
}

/// An execution ended; what its dependants need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionPayload {
    pub execution_id: ExecutionId,
    pub outcome: String,
    pub payload_bytes: Option<Vec<u8>>,
    pub produced_at_ms: TimestampMs,
    pub flow_id: Option<FlowId>,
}

impl CompletionPayload {
    pub fn new(
        execution_id: ExecutionId,
        outcome: impl Into<String>,
        payload_bytes: Option<Vec<u8>>,
        produced_at_ms: TimestampMs,
    ) -> Self {
        Self { execution_id, outcome: outcome.into(), payload_bytes, produced_at_ms, flow_id: None }
    }

    #[must_use]
    pub fn with_flow_id(mut self, flow_id: FlowId) -> Self {
        self.flow_id = Some(flow_id);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cancel_policy_comes_back_from_its_name() {
        for policy in [
            CancelFlowPolicy::FlowOnly,
            CancelFlowPolicy::CancelAll,
            CancelFlowPolicy::CancelPending,
        ] {
            assert_eq!(CancelFlowPolicy::from_literal(policy.as_str()), Some(policy));
        }
        assert_eq!(CancelFlowPolicy::from_literal("flow_only"), Some(CancelFlowPolicy::FlowOnly));
        assert_eq!(CancelFlowPolicy::from_literal("cancel"), None);
    }
}
