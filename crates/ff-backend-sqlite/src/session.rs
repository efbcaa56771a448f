//! One transaction on a connection, as the machine drives it.

use ff_core::EngineError;
use ff_core::machine::drive::Session;
use ff_core::machine::flow::background::{FlowWork, OpenEdge};
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{Announced, Edge, Flow, Group, Standings};
use ff_core::machine::rows::{Attempt, Candidate, Execution, Lane};
use ff_core::machine::transition::{Event, TransitionRow};
use ff_core::machine::{Footprint, Snapshot, Transition};
use ff_core::state::LaneState;
use ff_core::store::flow::{EdgesOf, FlowReader, FlowScan};
use ff_core::store::{EventBounds, ExpiredLease, LaneCounts, Reader, Scan, Topic};
use ff_core::types::{EdgeId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs};
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
}

impl<'c> SqliteSession<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn }
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

impl FlowReader for SqliteSession<'_> {
    fn flow(&mut self, id: &FlowId) -> Result<Option<Flow>, EngineError> {
        read::flow::flow(self.conn, id)
    }

    fn flows(&mut self, scan: &FlowScan, limit: usize) -> Result<Vec<Flow>, EngineError> {
        read::flow::flows(self.conn, scan, limit)
    }

    fn flow_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<FlowId>, EngineError> {
        read::flow::flow_range(self.conn, low, high, limit)
    }

    fn standings(&mut self, flow: &FlowId) -> Result<Standings, EngineError> {
        read::flow::standings(self.conn, flow)
    }

    fn members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        read::flow::members(self.conn, flow, limit)
    }

    fn edge(&mut self, flow: &FlowId, id: &EdgeId) -> Result<Option<Edge>, EngineError> {
        read::flow::edge(self.conn, flow, id)
    }

    fn edges(
        &mut self,
        flow: &FlowId,
        of: &EdgesOf,
        limit: usize,
    ) -> Result<Vec<Edge>, EngineError> {
        read::flow::edges(self.conn, flow, of, limit)
    }

    fn groups(&mut self, flow: &FlowId, limit: usize) -> Result<Vec<Group>, EngineError> {
        read::flow::groups(self.conn, flow, limit)
    }

    fn group(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
    ) -> Result<Option<Group>, EngineError> {
        read::flow::group(self.conn, flow, downstream)
    }

    fn unacknowledged(&mut self, flow: &FlowId) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::unacknowledged(self.conn, flow)
    }

    fn flow_work(&mut self) -> Result<FlowWork, EngineError> {
        read::flow::work(self.conn)
    }

    fn announced(&mut self) -> Result<Option<Announced>, EngineError> {
        read::flow::announced(self.conn)
    }

    fn open_edges_from(
        &mut self,
        flow: &FlowId,
        upstream: &ExecutionId,
        after: Option<&EdgeId>,
        limit: usize,
    ) -> Result<Vec<OpenEdge>, EngineError> {
        read::flow::open_edges_from(self.conn, flow, upstream, after, limit)
    }

    fn pending_group(&mut self) -> Result<Option<PendingGroup>, EngineError> {
        read::flow::pending_group(self.conn)
    }

    fn open_upstreams_of(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::open_upstreams_of(self.conn, flow, downstream, limit)
    }

    fn cancel_backlog(&mut self) -> Result<Option<FlowId>, EngineError> {
        read::flow::cancel_backlog(self.conn)
    }

    fn reached_members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::reached_members(self.conn, flow, limit)
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
