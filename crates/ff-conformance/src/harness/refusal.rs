//! What a refusal has to be.

use std::fmt;

use ff_core::EngineError;
use ff_core::engine_error::{ConflictKind, ContentionKind, StateKind, ValidationKind};

/// The four facts of a `Contention(ExecutionNotActive)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct NotActive {
    pub terminal_outcome: String,
    pub lease_epoch: String,
    pub lifecycle_phase: String,
    pub attempt_id: String,
}

/// What a refusal has to be. Each asserts its kind, under any context the backend added.
pub trait Refusal: Sized {
    /// The refusal, bare.
    fn refusal(self) -> EngineError;

    /// `State(kind)`.
    #[track_caller]
    fn must_be_state(self, wanted: &StateKind) {
        match self.refusal() {
            EngineError::State(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected State({wanted:?}), got {other:?}"),
        }
    }

    /// `Contention(kind)`.
    #[track_caller]
    fn must_be_contention(self, wanted: &ContentionKind) {
        match self.refusal() {
            EngineError::Contention(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected Contention({wanted:?}), got {other:?}"),
        }
    }

    /// `Conflict(kind)`.
    #[track_caller]
    fn must_be_conflict(self, wanted: &ConflictKind) {
        match self.refusal() {
            EngineError::Conflict(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected Conflict({wanted:?}), got {other:?}"),
        }
    }

    /// `Validation(kind, detail)`; answers the detail.
    #[track_caller]
    fn must_be_validation(self, wanted: &ValidationKind) -> String {
        match self.refusal() {
            EngineError::Validation { kind, detail } => {
                assert_eq!(kind, *wanted, "{detail}");
                detail
            }
            other => panic!("expected Validation({wanted:?}), got {other:?}"),
        }
    }

    /// `Validation(InvalidInput, detail)`; answers the detail.
    #[track_caller]
    fn must_be_invalid(self) -> String {
        self.must_be_validation(&ValidationKind::InvalidInput)
    }

    /// `NotFound(entity)`.
    #[track_caller]
    fn must_be_not_found(self, wanted: &str) {
        match self.refusal() {
            EngineError::NotFound { entity } => assert_eq!(entity, wanted),
            other => panic!("expected NotFound({wanted}), got {other:?}"),
        }
    }

    /// `Contention(ExecutionNotActive)`; answers its facts.
    #[track_caller]
    fn must_be_not_active(self) -> NotActive {
        match self.refusal() {
            EngineError::Contention(ContentionKind::ExecutionNotActive {
                terminal_outcome,
                lease_epoch,
                lifecycle_phase,
                attempt_id,
            }) => NotActive { terminal_outcome, lease_epoch, lifecycle_phase, attempt_id },
            other => panic!("expected Contention(ExecutionNotActive), got {other:?}"),
        }
    }
}

impl<T: fmt::Debug> Refusal for Result<T, EngineError> {
    #[track_caller]
    fn refusal(self) -> EngineError {
        let mut error = match self {
            Ok(answer) => panic!("expected a refusal, got {answer:?}"),
            Err(error) => error,
        };
        while let EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } =
            error
        {
            error = *source;
        }
        error
    }
}
