//! Every way a call can be refused or fail, sorted by what the caller can do about it.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::time::Duration;

use thiserror::Error;

use crate::contracts::EdgeSnapshot;
use crate::error::ErrorClass;
use crate::stream_subscribe::StreamCursor;
use crate::types::ExecutionId;

/// Why a call did not do what was asked; [`EngineError::class`] says how to take it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error("not found: {entity}")]
    NotFound { entity: &'static str },
    /// Bad input from the caller, or stored data that cannot be read.
    #[error("validation: {kind:?}: {detail}")]
    Validation { kind: ValidationKind, detail: String },
    /// A lost race: another try, made differently, may succeed.
    #[error("contention: {0:?}")]
    Contention(ContentionKind),
    /// A contradiction to what exists; permanent.
    #[error("conflict: {0:?}")]
    Conflict(ConflictKind),
    /// The object is in the wrong state for the call.
    #[error("state: {0:?}")]
    State(StateKind),
    /// A broken invariant of the engine itself.
    #[error("bug: {0:?}")]
    Bug(BugKind),
    #[error("transport ({backend}): {source}")]
    Transport { backend: &'static str, source: Box<dyn std::error::Error + Send + Sync + 'static> },
    /// The backend does not implement the call.
    #[error("unavailable: {op}")]
    Unavailable { op: &'static str },
    #[error("resource exhausted: pool={pool} max={max}")]
    ResourceExhausted { pool: &'static str, max: u32, retry_after_ms: Option<u32> },
    #[error("timeout: op={op} elapsed={elapsed:?}")]
    Timeout { op: &'static str, elapsed: Duration },
    /// The subscription ended; a new one from `cursor` misses nothing.
    #[error("stream disconnected: reconnect with cursor {cursor:?}")]
    StreamDisconnected { cursor: StreamCursor },
    #[error("stream backpressure: events dropped because the subscriber is too slow")]
    StreamBackpressure,
    #[error("{context}: {source}")]
    Contextual { source: Box<Self>, context: String },
    /// One row of a batch, counted from 0, was refused; nothing of the batch is stored.
    #[error("row {row} of the batch: {source}")]
    InBatch { row: usize, source: Box<Self> },
}

impl EngineError {
    /// Tells the caller how to take this error; a context around it changes nothing.
    ///
    /// ```
    /// use ff_core::EngineError;
    /// use ff_core::engine_error::ContentionKind;
    /// use ff_core::error::ErrorClass;
    ///
    /// let lost_race = EngineError::Contention(ContentionKind::LeaseConflict);
    /// assert_eq!(lost_race.class(), ErrorClass::Retryable);
    /// ```
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. }
            | Self::Validation { .. }
            | Self::Conflict(_)
            | Self::Transport { .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::StreamDisconnected { .. } => ErrorClass::Terminal,
            Self::Contention(_) | Self::ResourceExhausted { .. } => ErrorClass::Retryable,
            Self::State(kind) => kind.class(),
            Self::Bug(_) => ErrorClass::Bug,
            Self::StreamBackpressure => ErrorClass::Informational,
            Self::Contextual { source, .. } | Self::InBatch { source, .. } => source.class(),
        }
    }

    /// Whether the caller has lost its execution: someone else owns it, or it has ended. Stop work.
    ///
    /// ```
    /// use ff_core::EngineError;
    /// use ff_core::engine_error::StateKind;
    ///
    /// assert!(EngineError::State(StateKind::StaleLease).is_stale());
    /// assert!(!EngineError::NotFound { entity: "execution" }.is_stale());
    /// ```
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::State(kind) => matches!(
                kind,
                StateKind::StaleLease | StateKind::LeaseExpired | StateKind::LeaseRevoked
            ),
            Self::Contention(kind) => matches!(
                kind,
                ContentionKind::LeaseConflict | ContentionKind::ExecutionNotActive { .. }
            ),
            Self::Contextual { source, .. } | Self::InBatch { source, .. } => source.is_stale(),
            Self::NotFound { .. }
            | Self::Validation { .. }
            | Self::Conflict(_)
            | Self::Bug(_)
            | Self::Transport { .. }
            | Self::Unavailable { .. }
            | Self::ResourceExhausted { .. }
            | Self::Timeout { .. }
            | Self::StreamDisconnected { .. }
            | Self::StreamBackpressure => false,
        }
    }

    /// The row of a batch that was refused, counted from 0. `None` where no row is to blame.
    ///
    /// ```
    /// use ff_core::EngineError;
    ///
    /// let refused = EngineError::NotFound { entity: "execution" };
    /// assert_eq!(refused.row(), None);
    /// assert_eq!(refused.in_row(7).row(), Some(7));
    /// ```
    #[must_use]
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::InBatch { row, .. } => Some(*row),
            Self::Contextual { source, .. } => source.row(),
            _ => None,
        }
    }

    /// Says which row of a batch a refusal is about. An error of the infrastructure is about none and stays as it is.
    #[must_use]
    pub fn in_row(self, row: usize) -> Self {
        match self {
            Self::Transport { .. }
            | Self::Unavailable { .. }
            | Self::ResourceExhausted { .. }
            | Self::Timeout { .. }
            | Self::Contextual { .. }
            | Self::InBatch { .. } => self,
            Self::NotFound { .. }
            | Self::Validation { .. }
            | Self::Contention(_)
            | Self::Conflict(_)
            | Self::State(_)
            | Self::Bug(_)
            | Self::StreamDisconnected { .. }
            | Self::StreamBackpressure => Self::InBatch { row, source: Box::new(self) },
        }
    }
}

/// Labels an infrastructure error with the call it happened in; a refusal by the rules stays bare,
/// so callers can go on matching it.
///
/// ```
/// use ff_core::EngineError;
/// use ff_core::engine_error::backend_context;
///
/// let error = backend_context(EngineError::Unavailable { op: "claim" }, "worker loop");
/// assert_eq!(error.to_string(), "worker loop: unavailable: claim");
/// ```
#[must_use]
pub fn backend_context(err: EngineError, context: impl Into<String>) -> EngineError {
    match err {
        EngineError::Transport { .. }
        | EngineError::Unavailable { .. }
        | EngineError::ResourceExhausted { .. }
        | EngineError::Timeout { .. }
        | EngineError::Contextual { .. } => {
            EngineError::Contextual { source: Box::new(err), context: context.into() }
        }
        EngineError::NotFound { .. }
        | EngineError::Validation { .. }
        | EngineError::Contention(_)
        | EngineError::Conflict(_)
        | EngineError::State(_)
        | EngineError::Bug(_)
        | EngineError::StreamDisconnected { .. }
        | EngineError::StreamBackpressure
        | EngineError::InBatch { .. } => err,
    }
}

/// Which rule an input breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValidationKind {
    InvalidInput,
    /// The worker lacks capabilities; the detail is the CSV of those.
    CapabilityMismatch,
    InvalidCapabilities,
    InvalidPolicyJson,
    PayloadTooLarge,
    SignalLimitExceeded,
    InvalidWaitpointKey,
    InvalidToken,
    WaitpointNotTokenBound,
    RetentionLimitExceeded,
    InvalidLeaseForSuspend,
    InvalidDependency,
    InvalidWaitpointForExecution,
    InvalidBlockingReason,
    InvalidOffset,
    Unauthorized,
    InvalidBudgetScope,
    BudgetOverrideNotAllowed,
    InvalidQuotaSpec,
    InvalidKid,
    InvalidSecretHex,
    InvalidGraceMs,
    InvalidTagKey,
    InvalidFrameType,
    /// Stored data, or a handle, cannot be decoded.
    Corruption,
    /// The detail names both tags: `expected=<Tag> actual=<Tag>`.
    HandleFromOtherBackend,
}

/// Which race was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentionKind {
    UseClaimResumedExecution,
    NotAResumedExecution,
    ExecutionNotLeaseable,
    LeaseConflict,
    InvalidClaimGrant,
    ClaimGrantExpired,
    NoEligibleExecution,
    WaitpointNotFound,
    WaitpointPendingUseBufferScript,
    StaleGraphRevision,
    /// Carries what is stored, so that a repeated call can recognise its own success.
    ExecutionNotActive {
        terminal_outcome: String,
        lease_epoch: String,
        lifecycle_phase: String,
        attempt_id: String,
    },
    ExecutionNotEligible,
    ExecutionNotInEligibleSet,
    ExecutionNotReclaimable,
    NoActiveLease,
    RateLimitExceeded,
    ConcurrencyLimitExceeded,
    RetryExhausted,
}

/// Which existing fact a call contradicts.
#[expect(clippy::large_enum_variant, reason = "the contract carries the edge unboxed")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictKind {
    DependencyAlreadyExists {
        existing: EdgeSnapshot,
    },
    CycleDetected,
    SelfReferencingEdge,
    ExecutionAlreadyInFlow,
    WaitpointAlreadyExists,
    BudgetAttachConflict,
    QuotaAttachConflict,
    RotationConflict(String),
    ActiveAttemptExists,
    /// The key belongs to `execution_id`, which has another kind, lane, payload or policy.
    IdempotencyKeyReuse {
        execution_id: ExecutionId,
    },
}

/// Which state stands against a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateKind {
    StaleLease,
    LeaseExpired,
    LeaseRevoked,
    ExecutionNotSuspended,
    AlreadySuspended,
    WaitpointClosed,
    TargetNotSignalable,
    DuplicateSignal,
    ResumeConditionNotMet,
    WaitpointNotPending,
    PendingWaitpointExpired,
    WaitpointNotOpen,
    ExecutionNotTerminal,
    MaxReplaysExhausted,
    StreamClosed,
    StaleOwnerCannotAppend,
    GrantAlreadyExists,
    ExecutionNotInFlow,
    FlowAlreadyTerminal,
    DepsNotSatisfied,
    NotBlockedByDeps,
    NotRunnable,
    Terminal,
    BudgetExceeded,
    BudgetSoftExceeded,
    OkAlreadyApplied,
    AttemptNotStarted,
    AttemptAlreadyTerminal,
    ExecutionNotEligibleForAttempt,
    ReplayNotAllowed,
    MaxRetriesExhausted,
    StreamAlreadyClosed,
    AlreadySatisfied,
}

impl StateKind {
    /// A state that was to be reached anyway is informational; an exhausted budget asks to yield.
    const fn class(&self) -> ErrorClass {
        match self {
            Self::BudgetExceeded => ErrorClass::Cooperative,
            Self::ExecutionNotSuspended
            | Self::AlreadySuspended
            | Self::AlreadySatisfied
            | Self::WaitpointClosed
            | Self::DuplicateSignal
            | Self::GrantAlreadyExists
            | Self::OkAlreadyApplied
            | Self::AttemptAlreadyTerminal
            | Self::StreamAlreadyClosed
            | Self::BudgetSoftExceeded
            | Self::WaitpointNotOpen
            | Self::WaitpointNotPending
            | Self::PendingWaitpointExpired
            | Self::NotBlockedByDeps
            | Self::DepsNotSatisfied => ErrorClass::Informational,
            Self::StaleLease
            | Self::LeaseExpired
            | Self::LeaseRevoked
            | Self::TargetNotSignalable
            | Self::ResumeConditionNotMet
            | Self::ExecutionNotTerminal
            | Self::MaxReplaysExhausted
            | Self::StreamClosed
            | Self::StaleOwnerCannotAppend
            | Self::ExecutionNotInFlow
            | Self::FlowAlreadyTerminal
            | Self::NotRunnable
            | Self::Terminal
            | Self::AttemptNotStarted
            | Self::ExecutionNotEligibleForAttempt
            | Self::ReplayNotAllowed
            | Self::MaxRetriesExhausted => ErrorClass::Terminal,
        }
    }
}

/// Which invariant is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BugKind {
    AttemptNotInCreatedState,
}

/// Why a backend could not be built or reached.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    #[error("valkey: {message}")]
    Valkey { kind: BackendErrorKind, message: String },
    #[error("sqlite: {message}")]
    Sqlite { kind: BackendErrorKind, message: String },
    #[error("{REQUIRES_DEV_MODE}")]
    RequiresDevMode,
}

const REQUIRES_DEV_MODE: &str =
    "SqliteBackend requires FF_DEV_MODE=1 in the environment; docs/dev-harness.md says why";

impl BackendError {
    /// The stable kind, for metrics and retries.
    #[must_use]
    pub const fn kind(&self) -> BackendErrorKind {
        match self {
            Self::Valkey { kind, .. } | Self::Sqlite { kind, .. } => *kind,
            Self::RequiresDevMode => BackendErrorKind::Protocol,
        }
    }

    /// The text without the name of the backend.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Valkey { message, .. } | Self::Sqlite { message, .. } => message,
            Self::RequiresDevMode => REQUIRES_DEV_MODE,
        }
    }
}

/// Sorts backend failures alike for every backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendErrorKind {
    Transport,
    Protocol,
    Timeout,
    Auth,
    Cluster,
    BusyLoading,
    ScriptNotLoaded,
    Other,
}

impl BackendErrorKind {
    /// A word that never changes, for metric labels.
    #[must_use]
    pub const fn as_stable_str(&self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::Cluster => "cluster",
            Self::BusyLoading => "busy_loading",
            Self::ScriptNotLoaded => "script_not_loaded",
            Self::Other => "other",
        }
    }

    /// Whether the same call may succeed later without a change of configuration.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Transport | Self::Timeout | Self::Cluster | Self::BusyLoading => true,
            Self::Protocol | Self::Auth | Self::ScriptNotLoaded | Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn transport() -> EngineError {
        EngineError::Transport { backend: "sqlite", source: "disk I/O error".into() }
    }

    fn not_active() -> EngineError {
        EngineError::Contention(ContentionKind::ExecutionNotActive {
            terminal_outcome: "success".to_owned(),
            lease_epoch: "1".to_owned(),
            lifecycle_phase: "terminal".to_owned(),
            attempt_id: String::new(),
        })
    }

    #[test]
    fn errors_read_as_the_contract_says() {
        for (error, text) in [
            (EngineError::NotFound { entity: "flow" }, "not found: flow"),
            (
                EngineError::Validation {
                    kind: ValidationKind::InvalidInput,
                    detail: "lane id is empty".to_owned(),
                },
                "validation: InvalidInput: lane id is empty",
            ),
            (EngineError::Contention(ContentionKind::LeaseConflict), "contention: LeaseConflict"),
            (EngineError::Conflict(ConflictKind::CycleDetected), "conflict: CycleDetected"),
            (EngineError::State(StateKind::StaleLease), "state: StaleLease"),
            (EngineError::Bug(BugKind::AttemptNotInCreatedState), "bug: AttemptNotInCreatedState"),
            (transport(), "transport (sqlite): disk I/O error"),
            (EngineError::Unavailable { op: "claim" }, "unavailable: claim"),
            (
                EngineError::ResourceExhausted { pool: "p", max: 3, retry_after_ms: None },
                "resource exhausted: pool=p max=3",
            ),
            (
                EngineError::Timeout { op: "cancel_flow", elapsed: Duration::from_millis(5) },
                "timeout: op=cancel_flow elapsed=5ms",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn the_driver_error_is_the_source() {
        assert_eq!(transport().source().unwrap().to_string(), "disk I/O error");
        let error = backend_context(transport(), "open");
        assert_eq!(error.source().unwrap().to_string(), "transport (sqlite): disk I/O error");
    }

    #[test]
    fn only_infrastructure_errors_take_a_context() {
        for error in [
            transport(),
            EngineError::Unavailable { op: "x" },
            EngineError::ResourceExhausted { pool: "p", max: 1, retry_after_ms: Some(1) },
            EngineError::Timeout { op: "x", elapsed: Duration::ZERO },
            backend_context(transport(), "inner"),
        ] {
            let text = format!("outer: {error}");
            assert_eq!(backend_context(error, "outer").to_string(), text);
        }
        for error in [
            EngineError::NotFound { entity: "flow" },
            EngineError::State(StateKind::Terminal),
            EngineError::StreamBackpressure,
            EngineError::StreamDisconnected { cursor: StreamCursor::empty() },
            not_active(),
        ] {
            let text = error.to_string();
            assert_eq!(backend_context(error, "outer").to_string(), text);
        }
    }

    #[test]
    fn each_error_has_its_class_and_a_context_keeps_it() {
        for (error, class) in [
            (EngineError::NotFound { entity: "flow" }, ErrorClass::Terminal),
            (EngineError::Conflict(ConflictKind::CycleDetected), ErrorClass::Terminal),
            (
                EngineError::StreamDisconnected { cursor: StreamCursor::empty() },
                ErrorClass::Terminal,
            ),
            (EngineError::Contention(ContentionKind::RetryExhausted), ErrorClass::Retryable),
            (EngineError::State(StateKind::BudgetExceeded), ErrorClass::Cooperative),
            (EngineError::State(StateKind::BudgetSoftExceeded), ErrorClass::Informational),
            (EngineError::State(StateKind::DuplicateSignal), ErrorClass::Informational),
            (EngineError::State(StateKind::StaleLease), ErrorClass::Terminal),
            (EngineError::Bug(BugKind::AttemptNotInCreatedState), ErrorClass::Bug),
            (EngineError::StreamBackpressure, ErrorClass::Informational),
            (backend_context(transport(), "x"), ErrorClass::Terminal),
            (
                backend_context(
                    EngineError::ResourceExhausted { pool: "p", max: 1, retry_after_ms: None },
                    "x",
                ),
                ErrorClass::Retryable,
            ),
        ] {
            assert_eq!(error.class(), class, "{error}");
        }
    }

    #[test]
    fn a_worker_that_lost_its_execution_is_stale() {
        for error in [
            EngineError::State(StateKind::StaleLease),
            EngineError::State(StateKind::LeaseExpired),
            EngineError::State(StateKind::LeaseRevoked),
            EngineError::Contention(ContentionKind::LeaseConflict),
            not_active(),
        ] {
            assert!(error.is_stale());
            let wrapped =
                EngineError::Contextual { source: Box::new(error), context: "x".to_owned() };
            assert!(wrapped.is_stale());
        }
        for error in [
            transport(),
            EngineError::State(StateKind::Terminal),
            EngineError::Contention(ContentionKind::NoActiveLease),
            backend_context(transport(), "x"),
        ] {
            assert!(!error.is_stale(), "{error}");
        }
    }

    #[test]
    fn backend_errors_name_their_backend_and_the_dev_mode() {
        let error = BackendError::Sqlite {
            kind: BackendErrorKind::Transport,
            message: "unable to open database file".to_owned(),
        };
        assert_eq!(error.to_string(), "sqlite: unable to open database file");
        assert_eq!(error.message(), "unable to open database file");
        assert!(error.kind().is_retryable());

        let error = BackendError::RequiresDevMode;
        assert!(error.to_string().contains("SqliteBackend requires FF_DEV_MODE=1"));
        assert!(error.message().contains("docs/dev-harness.md"));
        assert_eq!(error.kind(), BackendErrorKind::Protocol);
        assert_eq!(error.kind().as_stable_str(), "protocol");
        assert!(!error.kind().is_retryable());
    }
}
