//! What a store reads of the registry of workers.

use crate::EngineError;
use crate::machine::worker::{Registration, RegistryEvent};
use crate::types::{Namespace, TimestampMs, WorkerInstanceId};

/// The reads of the registry.
pub trait WorkerReader {
    /// A namespace's registrations that live at `now`, by instance id, after one.
    fn workers(
        &mut self,
        namespace: &Namespace,
        now: TimestampMs,
        after: Option<&WorkerInstanceId>,
        limit: usize,
    ) -> Result<Vec<Registration>, EngineError>;

    /// Registrations that ended at or before `now`, by (end, namespace, instance id).
    fn lapsed_workers(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(Namespace, WorkerInstanceId)>, EngineError>;

    /// The earliest instant at which a registration ends.
    fn next_worker_lapse(&mut self) -> Result<Option<TimestampMs>, EngineError>;

    /// The registry's history, by (instant, namespace, instance id, word), at most `limit`.
    fn registry_events(&mut self, limit: usize) -> Result<Vec<RegistryEvent>, EngineError>;

    /// Announcements of workers of a namespace, newest first: of those that live, and of those that
    /// are gone.
    fn announcements(
        &mut self,
        namespace: &Namespace,
        limit: usize,
    ) -> Result<Vec<RegistryEvent>, EngineError>;

    /// How many live leases each worker instance holds, in order of the instances. Walks the live
    /// leases.
    fn leases_held(
        &mut self,
        now: TimestampMs,
    ) -> Result<Vec<(WorkerInstanceId, u64)>, EngineError>;
}
