//! What subscribers are told: lease history, completions, signal deliveries, operators' changes and
//! instance tags.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::pin::Pin;

use futures_core::Stream;

use crate::engine_error::EngineError;
use crate::stream_subscribe::StreamCursor;
use crate::types::{
    ExecutionId, FlowId, LeaseId, SignalId, TimestampMs, WaitpointId, WorkerInstanceId,
};

/// A stream of [`LeaseHistoryEvent`]; an error is its last item.
pub type LeaseHistorySubscription =
    Pin<Box<dyn Stream<Item = Result<LeaseHistoryEvent, EngineError>> + Send>>;

/// A stream of [`CompletionEvent`]; an error is its last item.
pub type CompletionSubscription =
    Pin<Box<dyn Stream<Item = Result<CompletionEvent, EngineError>> + Send>>;

/// A stream of [`SignalDeliveryEvent`]; an error is its last item.
pub type SignalDeliverySubscription =
    Pin<Box<dyn Stream<Item = Result<SignalDeliveryEvent, EngineError>> + Send>>;

/// A stream of [`OperatorEvent`]; an error is its last item.
pub type OperatorEventSubscription =
    Pin<Box<dyn Stream<Item = Result<OperatorEvent, EngineError>> + Send>>;

/// A stream of [`InstanceTagEvent`]; an error is its last item.
pub type InstanceTagSubscription =
    Pin<Box<dyn Stream<Item = Result<InstanceTagEvent, EngineError>> + Send>>;

/// A lease came, was kept or went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseHistoryEvent {
    Acquired {
        cursor: StreamCursor,
        execution_id: ExecutionId,
        lease_id: Option<LeaseId>,
        worker_instance_id: Option<WorkerInstanceId>,
        at: TimestampMs,
    },
    Renewed {
        cursor: StreamCursor,
        execution_id: ExecutionId,
        lease_id: Option<LeaseId>,
        worker_instance_id: Option<WorkerInstanceId>,
        at: TimestampMs,
    },
    Expired {
        cursor: StreamCursor,
        execution_id: ExecutionId,
        lease_id: Option<LeaseId>,
        prev_owner: Option<WorkerInstanceId>,
        at: TimestampMs,
    },
    Reclaimed {
        cursor: StreamCursor,
        execution_id: ExecutionId,
        new_lease_id: Option<LeaseId>,
        new_owner: Option<WorkerInstanceId>,
        at: TimestampMs,
    },
    Revoked {
        cursor: StreamCursor,
        execution_id: ExecutionId,
        lease_id: Option<LeaseId>,
        revoked_by: String,
        at: TimestampMs,
    },
}

impl LeaseHistoryEvent {
    /// Where to resume after this event.
    #[must_use]
    pub const fn cursor(&self) -> &StreamCursor {
        match self {
            Self::Acquired { cursor, .. }
            | Self::Renewed { cursor, .. }
            | Self::Expired { cursor, .. }
            | Self::Reclaimed { cursor, .. }
            | Self::Revoked { cursor, .. } => cursor,
        }
    }

    /// Whose lease it is.
    #[must_use]
    pub const fn execution_id(&self) -> &ExecutionId {
        match self {
            Self::Acquired { execution_id, .. }
            | Self::Renewed { execution_id, .. }
            | Self::Expired { execution_id, .. }
            | Self::Reclaimed { execution_id, .. }
            | Self::Revoked { execution_id, .. } => execution_id,
        }
    }

    /// When it happened, by the engine's clock.
    #[must_use]
    pub const fn at(&self) -> TimestampMs {
        match self {
            Self::Acquired { at, .. }
            | Self::Renewed { at, .. }
            | Self::Expired { at, .. }
            | Self::Reclaimed { at, .. }
            | Self::Revoked { at, .. } => *at,
        }
    }
}

/// How an execution ended, as told to subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionOutcome {
    Success,
    Failure,
    Cancelled,
    /// Any other word, `expired` and `skipped` among them, verbatim.
    Other(String),
}

impl CompletionOutcome {
    /// Reads a stored word; both `failed` and `failure` are a failure.
    ///
    /// ```
    /// use ff_core::stream_events::CompletionOutcome;
    ///
    /// assert_eq!(CompletionOutcome::from_wire("failed"), CompletionOutcome::Failure);
    /// assert_eq!(CompletionOutcome::from_wire("skipped").as_wire(), "skipped");
    /// ```
    #[must_use]
    pub fn from_wire(word: &str) -> Self {
        match word {
            "success" => Self::Success,
            "failure" | "failed" => Self::Failure,
            "cancelled" => Self::Cancelled,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word that reads back as this outcome.
    #[must_use]
    pub fn as_wire(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Other(word) => word,
        }
    }
}

/// An execution ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompletionEvent {
    pub cursor: StreamCursor,
    pub execution_id: ExecutionId,
    pub outcome: CompletionOutcome,
    pub at: TimestampMs,
}

impl CompletionEvent {
    /// Puts the four parts together.
    #[must_use]
    pub const fn new(
        cursor: StreamCursor,
        execution_id: ExecutionId,
        outcome: CompletionOutcome,
        at: TimestampMs,
    ) -> Self {
        Self { cursor, execution_id, outcome, at }
    }
}

/// What a delivered signal did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalDeliveryEffect {
    Satisfied,
    Buffered,
    Deduped,
    /// Any other word, verbatim.
    Other(String),
}

impl SignalDeliveryEffect {
    /// Reads a stored word.
    #[must_use]
    pub fn from_wire(word: &str) -> Self {
        match word {
            "satisfied" => Self::Satisfied,
            "buffered" => Self::Buffered,
            "deduped" => Self::Deduped,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word that reads back as this effect.
    #[must_use]
    pub fn as_wire(&self) -> &str {
        match self {
            Self::Satisfied => "satisfied",
            Self::Buffered => "buffered",
            Self::Deduped => "deduped",
            Self::Other(word) => word,
        }
    }
}

/// A signal reached an execution.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignalDeliveryEvent {
    pub cursor: StreamCursor,
    pub execution_id: ExecutionId,
    pub signal_id: SignalId,
    pub waitpoint_id: Option<WaitpointId>,
    pub source_identity: Option<String>,
    pub effect: SignalDeliveryEffect,
    pub at: TimestampMs,
}

impl SignalDeliveryEvent {
    /// Puts the seven parts together.
    #[must_use]
    pub const fn new(
        cursor: StreamCursor,
        execution_id: ExecutionId,
        signal_id: SignalId,
        waitpoint_id: Option<WaitpointId>,
        source_identity: Option<String>,
        effect: SignalDeliveryEffect,
        at: TimestampMs,
    ) -> Self {
        Self { cursor, execution_id, signal_id, waitpoint_id, source_identity, effect, at }
    }
}

/// An operator changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorEvent {
    pub cursor: StreamCursor,
    pub change: OperatorChange,
    pub at: TimestampMs,
}

impl OperatorEvent {
    /// Puts the three parts together.
    #[must_use]
    pub const fn new(cursor: StreamCursor, change: OperatorChange, at: TimestampMs) -> Self {
        Self { cursor, change, at }
    }
}

/// Part of what operators changed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorEventPage {
    pub events: Vec<OperatorEvent>,
    /// Where the next page or a subscription goes on: behind everything that was looked at, what the
    /// filter passed over included.
    pub next: StreamCursor,
}

impl OperatorEventPage {
    /// Puts the two parts together.
    #[must_use]
    pub const fn new(events: Vec<OperatorEvent>, next: StreamCursor) -> Self {
        Self { events, next }
    }
}

/// What an operator changed. What ends an execution or takes its lease is told by completions and
/// by the lease history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorChange {
    PriorityChanged {
        execution_id: ExecutionId,
        old_priority: i32,
        new_priority: i32,
    },
    /// `branch` is `normal` or `skipped_flow_member`; the latter opens edge groups again.
    Replayed {
        execution_id: ExecutionId,
        branch: String,
        groups_reset: Option<u32>,
    },
    FlowCancelRequested {
        flow_id: FlowId,
        cancellation_policy: String,
        reason: String,
        /// Members that the policy reaches.
        member_count: u64,
    },
}

/// An execution got or lost its instance tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceTagEvent {
    Attached { cursor: StreamCursor, execution_id: ExecutionId, tag: String, at: TimestampMs },
    Cleared { cursor: StreamCursor, execution_id: ExecutionId, tag: String, at: TimestampMs },
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::stream_subscribe::encode_event_cursor;

    #[test]
    fn outcomes_read_back_and_both_words_for_failure_agree() {
        for word in ["success", "failure", "cancelled", "expired", "skipped", "resumable", ""] {
            assert_eq!(CompletionOutcome::from_wire(word).as_wire(), word);
        }
        assert_eq!(CompletionOutcome::from_wire("failed"), CompletionOutcome::Failure);
        assert_eq!(
            CompletionOutcome::from_wire("Success"),
            CompletionOutcome::Other("Success".to_owned())
        );
    }

    #[test]
    fn effects_read_back() {
        for word in ["satisfied", "buffered", "deduped", "ignored"] {
            assert_eq!(SignalDeliveryEffect::from_wire(word).as_wire(), word);
        }
        assert_eq!(SignalDeliveryEffect::from_wire("deduped"), SignalDeliveryEffect::Deduped);
    }

    #[test]
    fn every_lease_event_tells_whose_when_and_where() {
        let cursor = encode_event_cursor(9);
        let execution_id = ExecutionId::from_parts(0, Uuid::from_u128(1));
        let at = TimestampMs(5);
        let parts = || (cursor.clone(), execution_id.clone());
        let events = [
            {
                let (cursor, execution_id) = parts();
                LeaseHistoryEvent::Acquired {
                    cursor,
                    execution_id,
                    lease_id: None,
                    worker_instance_id: None,
                    at,
                }
            },
            {
                let (cursor, execution_id) = parts();
                LeaseHistoryEvent::Renewed {
                    cursor,
                    execution_id,
                    lease_id: None,
                    worker_instance_id: None,
                    at,
                }
            },
            {
                let (cursor, execution_id) = parts();
                LeaseHistoryEvent::Expired {
                    cursor,
                    execution_id,
                    lease_id: None,
                    prev_owner: None,
                    at,
                }
            },
            {
                let (cursor, execution_id) = parts();
                LeaseHistoryEvent::Reclaimed {
                    cursor,
                    execution_id,
                    new_lease_id: None,
                    new_owner: None,
                    at,
                }
            },
            {
                let (cursor, execution_id) = parts();
                LeaseHistoryEvent::Revoked {
                    cursor,
                    execution_id,
                    lease_id: None,
                    revoked_by: "operator".to_owned(),
                    at,
                }
            },
        ];
        for event in events {
            assert_eq!(event.cursor(), &cursor);
            assert_eq!(event.execution_id(), &execution_id);
            assert_eq!(event.at(), at);
        }
    }
}
