//! What a backend has to offer so that the engine runs on it.
//!
//! A backend implements [`Store`] (and, for its reads, [`Reader`]); every type that does is an
//! [`EngineBackend`](crate::engine_backend::EngineBackend) through the one switchboard of this
//! crate. A store loads rows, commits transitions and wakes waiters; it decides nothing.

mod budget;

pub use budget::{BudgetReader, LaneStanding};
pub mod flow;
mod stream;
mod suspension;
mod worker;

pub use stream::{
    FrameRange, STREAM_WAITERS_MAX, StreamKey, StreamReader, StreamWaiters, StreamWatch,
};
pub use worker::WorkerReader;

use std::any::Any;
use std::future::Future;
use std::time::Duration;

pub use flow::FlowReader;

use crate::EngineError;
use crate::backend::BackendTag;
use crate::capability::BackendIdentity;
use crate::machine::drive::{ClaimRequest, ClaimStep, Settled};
use crate::machine::rows::{Attempt, Candidate, Execution, Lane};
use crate::machine::suspension::Secret;
use crate::machine::transition::{Event, TransitionRow};
use crate::machine::{Command, Footprint, Snapshot};
use crate::state::PublicState;
use crate::types::{
    AttemptIndex, ExecutionId, LaneId, LeaseEpoch, LeaseId, Namespace, TimestampMs,
    WorkerInstanceId,
};

pub use suspension::SuspensionReader;

/// A place where commands are decided and kept.
///
/// Everything answered `Ok` is as durable as the store promises. A dropped future cancels the
/// wait, not the command.
pub trait Store: Clone + Send + Sync + 'static {
    /// The tag that handles of this store carry.
    const TAG: BackendTag;

    /// The store's name in errors and logs, its version and its stage.
    fn identity(&self) -> BackendIdentity;

    /// The store itself, for callers that know which one it is.
    fn as_any(&self) -> &(dyn Any + 'static);

    /// Engine time, for reads. Commands get their own inside the transaction.
    fn now(&self) -> TimestampMs;

    /// 32 bytes that nobody can predict, for a signing key: the system's randomness; from the seed
    /// of a store that was opened with one.
    fn fresh_secret(&self) -> Result<Secret, EngineError>;

    /// Runs one command to its end.
    fn execute<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Outcome, EngineError>> + Send;

    /// Runs commands in one transaction: all of them, or, if one is refused, none; the
    /// refusal names it ([`EngineError::in_row`]).
    fn execute_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> impl Future<Output = Result<Vec<C::Outcome>, EngineError>> + Send;

    /// One step of a claim of what the request describes.
    fn claim(
        &self,
        request: ClaimRequest,
    ) -> impl Future<Output = Result<ClaimStep, EngineError>> + Send;

    /// Applies what is due, one bounded step: what every claim does first.
    fn settle_due(&self) -> impl Future<Output = Result<Settled, EngineError>> + Send;

    /// Runs a read on one consistent state.
    fn read<T, F>(&self, read: F) -> impl Future<Output = Result<T, EngineError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, EngineError> + Send + 'static;

    /// A number that grows when something of this kind may have happened.
    fn generation(&self, wake: Wake) -> u64;

    /// Returns once the generation is no longer `seen`, or after `timeout`. Changes made by other
    /// processes on the same store count. Costs next to nothing while it waits.
    fn wait(&self, wake: Wake, seen: u64, timeout: Duration) -> impl Future<Output = ()> + Send;

    /// Registers a waiter for one stream, before its first read.
    fn watch_stream(&self, stream: StreamKey) -> Result<StreamWatch, EngineError>;

    /// Returns once the stream may have changed since the watch was last armed, or after
    /// `timeout`. Changes made by other processes on the same store count, as well as any they
    /// make elsewhere; of this process only those of the stream. Costs nothing while it waits.
    fn wait_stream(
        &self,
        watch: &mut StreamWatch,
        timeout: Duration,
    ) -> impl Future<Output = ()> + Send;

    /// Refuses new commands, finishes those that are queued, and ends background work.
    fn shut_down(&self, grace: Duration) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something may have come into line, or be due earlier than before.
    Work,
    /// An outbox may have grown.
    Events,
}

/// An ordered outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Lease history.
    Lease,
    /// Ends of executions.
    Completion,
    /// Accepted signals.
    Signal,
    /// Operators' changes.
    Operator,
}

/// The ids an outbox holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBounds {
    /// The smallest id a subscriber can still read; one more than the newest when it is empty.
    pub oldest: i64,
    /// The newest id ever written; 0 before the first.
    pub newest: i64,
}

/// A walk over executions in id order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Only this partition; all of them when absent.
    pub partition: Option<u16>,
    /// Exclusive starting point.
    pub after: Option<ExecutionId>,
    /// From the greatest id downwards.
    pub descending: bool,
    /// Only rows in this state, one that has an index: failed, cancelled, expired or skipped.
    pub state: Option<PublicState>,
}

/// A lease that ran out and was not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct ExpiredLease {
    pub execution_id: ExecutionId,
    pub lease_id: Option<LeaseId>,
    pub epoch: LeaseEpoch,
    pub worker_instance_id: Option<WorkerInstanceId>,
    pub expires_at: TimestampMs,
    pub attempt_index: AttemptIndex,
}

/// How many executions of a lane stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct LaneCounts {
    pub waiting: u64,
    pub delayed: u64,
    pub active: u64,
    /// Behind a closed budget or quota.
    pub parked: u64,
    /// In line or parked.
    pub oldest_waiting_at: Option<TimestampMs>,
}

/// What stands in front of a claim: the answer of [`Reader::agenda`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agenda {
    /// [`Reader::due`] finds an execution.
    pub due: bool,
    /// [`FlowReader::flow_work`] finds work.
    pub flow_work: bool,
}

impl Agenda {
    /// Whether there is anything.
    pub const fn is_any(self) -> bool {
        self.due || self.flow_work
    }
}

/// The reads of a store. Each is one statement or one range of a map; none decides.
pub trait Reader:
    BudgetReader + FlowReader + StreamReader + SuspensionReader + WorkerReader
{
    /// The rows of a footprint.
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError>;

    /// Executions with something due at `now`, by (instant, partition, UUID), from the due indexes.
    fn due(&mut self, now: TimestampMs, limit: usize) -> Result<Vec<ExecutionId>, EngineError>;

    /// Whether a claim has anything to settle before it looks at its lines. Asked by every claim: one
    /// statement of index heads, however many topics there are.
    fn agenda(&mut self, now: TimestampMs) -> Result<Agenda, EngineError> {
        let flow_work = self.flow_work()?.is_any();
        Ok(Agenda { due: !self.due(now, 1)?.is_empty(), flow_work })
    }

    /// The earliest instant at which something is due.
    fn next_due(&mut self) -> Result<Option<TimestampMs>, EngineError>;

    /// How a lane stands; a lane nobody registered is active and bound to nothing.
    fn lane_standing(&mut self, lane: &LaneId) -> Result<LaneStanding, EngineError>;

    /// The distinct gate keys among a lane's claimable executions, in order.
    fn gate_keys(&mut self, lane: &LaneId, limit: usize) -> Result<Vec<String>, EngineError>;

    /// A lane's claimable executions behind one gate key, in claim order, after a candidate.
    fn candidates(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError>;

    /// Ended executions whose end lies at or before `before`, by (end, partition, UUID); members of
    /// a flow only once it has ended and none of them goes on. Of more than `limit`, which members
    /// come first is the store's to choose: it may go flow by flow.
    fn ended(&mut self, before: TimestampMs, limit: usize)
    -> Result<Vec<ExecutionId>, EngineError>;

    /// An execution's attempts, by index.
    fn attempts(&mut self, id: &ExecutionId) -> Result<Vec<Attempt>, EngineError>;

    /// An execution's recorded transitions above a version, in order.
    fn transitions(
        &mut self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TransitionRow>, EngineError>;

    /// Executions with their current attempts, in (partition, UUID) order.
    fn scan(
        &mut self,
        scan: &Scan,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError>;

    /// Executions whose UUID lies in `low..=high`, in any partition, in UUID order.
    fn uuid_range(
        &mut self,
        low: uuid::Uuid,
        high: uuid::Uuid,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError>;

    /// Lanes by name, after one.
    fn lanes(&mut self, after: Option<&LaneId>, limit: usize) -> Result<Vec<Lane>, EngineError>;

    /// How many executions of a lane stand where.
    fn lane_counts(&mut self, lane: &LaneId) -> Result<LaneCounts, EngineError>;

    /// Leases that ran out at or before `as_of`, by (expiry, execution id text), after a position.
    fn expired_leases(
        &mut self,
        as_of: TimestampMs,
        after: Option<(TimestampMs, &ExecutionId)>,
        namespace: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<ExpiredLease>, EngineError>;

    /// Events of an outbox above an id, in order.
    fn events(
        &mut self,
        topic: Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, EngineError>;

    /// What an outbox holds.
    fn event_bounds(&mut self, topic: Topic) -> Result<EventBounds, EngineError>;
}
