//! The words of a worker: its handle, what it claims, reports, streams and filters by.

mod claim;
mod config;
mod filter;
mod flow;
mod handle;
mod outcome;
mod stream;

pub use claim::{CapabilitySet, ClaimPolicy, LeaseRenewal, ResumeToken};
pub use config::{
    BackendConfig, BackendConnection, BackendRetry, BackendTimeouts, PostgresConnection,
    ValkeyConnection,
};
pub use filter::ScannerFilter;
pub use flow::{CancelFlowPolicy, CancelFlowWait, CompletionPayload};
pub use handle::{
    BackendTag, Handle, HandleKind, HandleOpaque, stub_handle_fresh, stub_handle_resumed,
};
pub use outcome::{
    FailOutcome, FailureClass, FailureReason, PendingWaitpoint, PrepareOutcome, ResumeSignal,
    UsageDimensions, WaitpointHmac,
};
pub use stream::{
    AppendFrameOutcome, BestEffortLiveConfig, Frame, FrameKind, PatchKind, SUMMARY_NULL_SENTINEL,
    StreamMode, SummaryDocument, TailVisibility,
};

pub use crate::contracts::{
    CompositeBody, IdempotencyKey, ResumeCondition, ResumePolicy, ResumeTarget, SignalMatcher,
    SuspendArgs, SuspendOutcome, SuspendOutcomeDetails, SuspensionReasonCode, SuspensionRequester,
    TimeoutBehavior, WaitpointBinding,
};
pub use crate::types::Namespace;
