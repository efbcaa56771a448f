//! The reads about waiting.

use crate::EngineError;
use crate::machine::suspension::{Suspension, Waitpoint};
use crate::types::{ExecutionId, TimestampMs, WaitpointId};

/// Suspensions and waitpoints, as a store shows them.
pub trait SuspensionReader {
    /// The open suspensions of suspended executions, by (partition, UUID) of the execution, after
    /// one.
    fn open_suspensions(
        &mut self,
        partition: Option<u16>,
        after: Option<&ExecutionId>,
        limit: usize,
    ) -> Result<Vec<Suspension>, EngineError>;

    /// An execution's open waitpoints by id, after one.
    fn open_waitpoints(
        &mut self,
        execution: &ExecutionId,
        after: Option<&WaitpointId>,
        limit: usize,
    ) -> Result<Vec<Waitpoint>, EngineError>;

    /// An open waitpoint of a partition, whoever owns it.
    fn open_waitpoint(
        &mut self,
        partition: u16,
        id: &WaitpointId,
    ) -> Result<Option<Waitpoint>, EngineError>;

    /// Executions with a pending waitpoint whose end has come, earliest first; one with two may
    /// come twice.
    fn expired_waitpoints(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError>;
}
