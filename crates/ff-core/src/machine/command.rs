//! The shape of everything the engine can be asked to do.

use super::{Footprint, Ids, Limits, Snapshot, Transition};
use crate::EngineError;
use crate::types::TimestampMs;

/// Something asked of the engine. Pure: no clock, no randomness, no I/O, no await.
///
/// A refusal (`Err`) writes nothing, because `decide` runs before any write. `decide` may run
/// more than once for one request and must answer the same for the same snapshot and context.
pub trait Command: Clone + Send + Sync + 'static {
    /// The operation's name, as it stands in traces and errors.
    const NAME: &'static str;

    /// What the caller is told.
    type Outcome: Send + 'static;

    /// The rows this command must see.
    fn footprint(&self) -> Footprint;

    /// What changes, what is announced and what is answered; or why not.
    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Self::Outcome>, EngineError>;

    /// Whether this command goes ahead of others that wait for the writer.
    fn urgency(&self) -> Urgency {
        Urgency::Normal
    }

    /// Bytes of payload this command carries into the writer, for its queue and group bounds.
    fn weight(&self) -> usize {
        0
    }
}

/// Who waits for whom at the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Keeps or ends a lease: late means lost work.
    Lease,
    /// Everything else.
    Normal,
    /// Large and patient: bulk submits and sweeps.
    Bulk,
}

/// What a command is given besides its rows.
#[derive(Debug)]
pub struct Context<'a> {
    /// Engine time. Every comparison and every stamp of one command uses this instant.
    pub now: TimestampMs,
    /// Ids drawn from the command's own seed.
    pub ids: Ids,
    /// The bounds in force.
    pub limits: &'a Limits,
}

impl<'a> Context<'a> {
    /// A context at `now` whose ids come from `seed`.
    pub fn new(now: TimestampMs, seed: u64, limits: &'a Limits) -> Self {
        Self { now, ids: Ids::new(seed, now), limits }
    }
}
