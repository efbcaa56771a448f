//! One transaction on a connection, as the machine drives it.

use std::cell::RefCell;

use ff_core::EngineError;
use ff_core::machine::drive::Session;
use ff_core::machine::rows::{Attempt, Candidate, Execution, Lane};
use ff_core::machine::transition::{Event, TransitionRow};
use ff_core::machine::{Footprint, Snapshot, Transition};
use ff_core::state::LaneState;
use ff_core::machine::stream::Frame;
use ff_core::store::{
    EventBounds, ExpiredLease, FrameRange, LaneCounts, Reader, Scan, StreamKey, StreamReader, Topic,
};
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs};
use rusqlite::{CachedStatement, Connection};
use uuid::Uuid;

use crate::error::Doing as _;
use crate::{commit, load, read};

/// The rows behind a connection, inside a transaction that the caller opened and ends.
///
/// Each call is one statement or a few, all of them cached by the connection.
#[derive(Debug)]
pub(crate) struct SqliteSession<'c> {
    conn: &'c Connection,
    /// Where to note the streams that a commit wrote to, for those who wait for them.
    touched: Option<&'c RefCell<Vec<StreamKey>>>,
}

impl<'c> SqliteSession<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn, touched: None }
    }

    /// A session that notes the streams it writes to.
    pub(crate) fn noting(conn: &'c Connection, touched: &'c RefCell<Vec<StreamKey>>) -> Self {
        Self { conn, touched: Some(touched) }
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.conn
    }
}

/// A statement of [`crate::statement`], parsed once a connection.
pub(crate) fn prepared<'c>(
    conn: &'c Connection,
    sql: &'static str,
) -> Result<CachedStatement<'c>, EngineError> {
    conn.prepare_cached(sql).doing("prepare a statement")
}

impl Session for SqliteSession<'_> {
    fn commit<T>(
        &mut self,
        transition: &Transition<T>,
        now: TimestampMs,
    ) -> Result<(), EngineError> {
        if let Some(touched) = self.touched {
            touched.borrow_mut().extend(transition.changes.iter().filter_map(StreamKey::touched_by));
        }
        commit::all(self.conn, &transition.changes, &transition.events, now)
    }

    fn trim(
        &mut self,
        now: TimestampMs,
        events_before: TimestampMs,
        limit: usize,
    ) -> Result<usize, EngineError> {
        commit::trim(self.conn, now, events_before, limit)
    }
}

impl StreamReader for SqliteSession<'_> {
    fn frames(
        &mut self,
        range: &FrameRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, EngineError> {
        read::stream::frames(self.conn, range, limit, max_bytes)
    }
}

impl Reader for SqliteSession<'_> {
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError> {
        load::snapshot(self.conn, footprint)
    }

    fn due(&mut self, now: TimestampMs, limit: usize) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::due(self.conn, now, limit)
    }

    fn next_due(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        read::execution::next_due(self.conn)
    }

    fn lane_state(&mut self, lane: &LaneId) -> Result<LaneState, EngineError> {
        Ok(read::lane::lane(self.conn, lane)?.map_or(LaneState::Active, |lane| lane.state))
    }

    fn gate_keys(&mut self, lane: &LaneId, limit: usize) -> Result<Vec<String>, EngineError> {
        read::lane::gate_keys(self.conn, lane, limit)
    }

    fn candidates(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        read::lane::candidates(self.conn, lane, gate_key, after, limit)
    }

    fn ended(
        &mut self,
        before: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::ended(self.conn, before, limit)
    }

    fn attempts(&mut self, id: &ExecutionId) -> Result<Vec<Attempt>, EngineError> {
        read::execution::attempts(self.conn, id)
    }

    fn transitions(
        &mut self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TransitionRow>, EngineError> {
        read::event::transitions(self.conn, id, after, limit)
    }

    fn scan(
        &mut self,
        scan: &Scan,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        read::execution::scan(self.conn, scan, limit)
    }

    fn uuid_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::uuid_range(self.conn, low, high, limit)
    }

    fn lanes(&mut self, after: Option<&LaneId>, limit: usize) -> Result<Vec<Lane>, EngineError> {
        read::lane::lanes(self.conn, after, limit)
    }

    fn lane_counts(&mut self, lane: &LaneId) -> Result<LaneCounts, EngineError> {
        read::lane::counts(self.conn, lane)
    }

    fn expired_leases(
        &mut self,
        as_of: TimestampMs,
        after: Option<(TimestampMs, &ExecutionId)>,
        namespace: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<ExpiredLease>, EngineError> {
        read::lease::expired(self.conn, as_of, after, namespace, limit)
    }

    fn events(
        &mut self,
        topic: Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, EngineError> {
        read::event::list(self.conn, topic, after, limit)
    }

    fn event_bounds(&mut self, topic: Topic) -> Result<EventBounds, EngineError> {
        read::event::bounds(self.conn, topic)
    }
}
