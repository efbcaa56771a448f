//! One transaction on a connection, as the machine drives it.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use ff_core::EngineError;
use ff_core::machine::drive::Session;
use ff_core::machine::flow::background::{FlowWork, OpenEdge};
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{Announced, Edge, Flow, Group, Standings};
use ff_core::machine::rows::{Attempt, Candidate, Execution, Lane};
use ff_core::machine::stream::Frame;
use ff_core::machine::transition::{Event, TransitionRow};
use ff_core::machine::worker::{Registration, RegistryEvent};
use ff_core::machine::{Footprint, Snapshot, Transition};
use ff_core::store::flow::{EdgesOf, FlowReader, FlowScan};
use ff_core::store::{
    Agenda, EventBounds, ExpiredLease, FrameRange, LaneCounts, LaneStanding, Reader, Scan,
    StreamKey, StreamReader, Topic, WorkerReader,
};
use ff_core::types::{
    AttemptIndex, EdgeId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs, WorkerInstanceId,
};
use rusqlite::{CachedStatement, Connection, Params, PrepFlags, Statement};
use uuid::Uuid;

use crate::error::Doing as _;
use crate::statement::Named;
use crate::{commit, load, read, statement};

/// The rows behind a connection, inside a transaction that the caller opened and ends.
///
/// Each call is one statement or a few. A thread that serves a connection has one session on it for its whole life, which
/// keeps every statement it has prepared.
pub(crate) struct SqliteSession<'c> {
    conn: &'c Connection,
    /// By [`Named::place`]; empty while a statement is not prepared yet, or in use.
    statements: Box<[Cell<Option<Statement<'c>>>]>,
    /// The execution that the current command loaded last, if its `raw_fields` holds nothing but what the engine writes.
    plain: Cell<Option<RowVersion>>,
    /// The execution that the current command loaded last and found to have no open suspension and no open waitpoint;
    /// empty once one may have been opened.
    no_waits: Cell<Option<(u16, Uuid)>>,
    /// The streams that were written to since they were last asked for.
    touched: Vec<StreamKey>,
    /// Footprints that were loaded.
    #[cfg(test)]
    pub(crate) loads: usize,
    /// Places of the statements that were used, in order.
    #[cfg(test)]
    pub(crate) used: std::cell::RefCell<Vec<usize>>,
}

/// One version of an execution's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RowVersion {
    partition: u16,
    uuid: Uuid,
    version: u64,
}

impl fmt::Debug for SqliteSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSession").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl<'c> SqliteSession<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        let statements = (0..statement::COUNT).map(|_| Cell::default()).collect();
        Self {
            conn,
            statements,
            plain: Cell::new(None),
            no_waits: Cell::new(None),
            touched: Vec::new(),
            #[cfg(test)]
            loads: 0,
            #[cfg(test)]
            used: std::cell::RefCell::default(),
        }
    }

    /// Forgets what the last command has seen: others may have written since.
    pub(crate) fn begin_command(&self) {
        self.plain.set(None);
        self.no_waits.set(None);
    }

    /// Remembers that the end of an execution has nothing to close, as long as nothing is opened.
    pub(crate) fn note_no_waits(&self, id: &ExecutionId) {
        self.no_waits.set(Some((id.partition(), id.uuid())));
    }

    /// Forgets it: something was written about somebody's waiting.
    pub(crate) fn forget_no_waits(&self) {
        self.no_waits.set(None);
    }

    /// Whether the end of an execution has nothing to close. If nobody knows, it may have.
    pub(crate) fn has_no_waits(&self, id: &ExecutionId) -> bool {
        self.no_waits.get() == Some((id.partition(), id.uuid()))
    }

    /// Remembers a row whose `raw_fields` the next version may replace whole.
    pub(crate) fn note_plain(&self, loaded: &Execution) {
        let (partition, uuid) = (loaded.id.partition(), loaded.id.uuid());
        self.plain.set(Some(RowVersion { partition, uuid, version: loaded.version }));
    }

    /// Whether `raw_fields` of the row below this version holds nothing that would be lost. If nobody knows, it might.
    pub(crate) fn takes_whole_fields(&self, after: &Execution) -> bool {
        let (partition, uuid) = (after.id.partition(), after.id.uuid());
        let below = after.version.wrapping_sub(1);
        self.plain.get() == Some(RowVersion { partition, uuid, version: below })
    }

    /// The streams that commits wrote to since they were last cleared.
    pub(crate) fn touched(&mut self) -> &mut Vec<StreamKey> {
        &mut self.touched
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.conn
    }

    /// What SQLite did for the statements held so far, in steps of its machine.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> i64 {
        let of = |place: &Cell<Option<Statement<'c>>>| {
            let statement = place.take();
            let steps = statement
                .as_ref()
                .map_or(0, |held| held.get_status(rusqlite::StatementStatus::VmStep));
            place.set(statement);
            i64::from(steps)
        };
        self.statements.iter().map(of).sum()
    }
}

impl Deref for SqliteSession<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

/// Where a statement is prepared once and used again.
pub(crate) trait Prepares {
    /// A statement in use; it goes back to its place when dropped.
    type Held<'s>
    where
        Self: 's;

    fn hold(&self, named: Named) -> rusqlite::Result<Self::Held<'_>>;

    fn run(&self, named: Named, values: impl Params) -> rusqlite::Result<usize>;
}

/// Finds a statement by its place. SQLite's own text is not looked at again: looking it up costs more than many a
/// statement itself.
impl<'c> Prepares for SqliteSession<'c> {
    type Held<'s>
        = Held<'s, 'c>
    where
        Self: 's;

    fn hold(&self, named: Named) -> rusqlite::Result<Held<'_, 'c>> {
        #[cfg(test)]
        self.used.borrow_mut().push(named.place);
        let place = &self.statements[named.place];
        let statement = match place.take() {
            Some(statement) => statement,
            None => {
                self.conn.prepare_with_flags(named.sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)?
            }
        };
        Ok(Held { statement: Some(statement), place })
    }

    fn run(&self, named: Named, values: impl Params) -> rusqlite::Result<usize> {
        self.hold(named)?.execute(values)
    }
}

/// Finds a statement by its text. For what has no session: tests, and work of its own thread.
impl Prepares for Connection {
    type Held<'s> = CachedStatement<'s>;

    fn hold(&self, named: Named) -> rusqlite::Result<CachedStatement<'_>> {
        self.prepare_cached(named.sql)
    }

    fn run(&self, named: Named, values: impl Params) -> rusqlite::Result<usize> {
        self.hold(named)?.execute(values)
    }
}

/// A statement that a session keeps prepared.
pub(crate) struct Held<'s, 'c> {
    /// Present until the drop.
    statement: Option<Statement<'c>>,
    place: &'s Cell<Option<Statement<'c>>>,
}

impl<'c> Deref for Held<'_, 'c> {
    type Target = Statement<'c>;

    fn deref(&self) -> &Statement<'c> {
        self.statement.as_ref().expect("a statement is held until the drop")
    }
}

impl<'c> DerefMut for Held<'_, 'c> {
    fn deref_mut(&mut self) -> &mut Statement<'c> {
        self.statement.as_mut().expect("a statement is held until the drop")
    }
}

impl Drop for Held<'_, '_> {
    fn drop(&mut self) {
        if let Some(mut statement) = self.statement.take() {
            // What was bound may be megabytes.
            statement.clear_bindings();
            self.place.set(Some(statement));
        }
    }
}

/// A statement of [`crate::statement`], parsed once a connection.
pub(crate) fn prepared<P: Prepares + ?Sized>(
    conn: &P,
    named: Named,
) -> Result<P::Held<'_>, EngineError> {
    conn.hold(named).doing("prepare a statement")
}

impl Session for SqliteSession<'_> {
    fn commit<T>(
        &mut self,
        transition: &Transition<T>,
        now: TimestampMs,
    ) -> Result<(), EngineError> {
        self.touched.extend(transition.changes.iter().filter_map(StreamKey::touched_by));
        commit::all(self, &transition.changes, &transition.events, now)
    }

    fn trim(
        &mut self,
        now: TimestampMs,
        events_before: TimestampMs,
        limit: usize,
    ) -> Result<usize, EngineError> {
        commit::trim(self, now, events_before, limit)
    }
}

impl StreamReader for SqliteSession<'_> {
    fn streams_to_look_at(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(ExecutionId, AttemptIndex)>, EngineError> {
        read::stream::to_look_at(self, now, limit)
    }

    fn frames(
        &mut self,
        range: &FrameRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, EngineError> {
        read::stream::frames(self, range, limit, max_bytes)
    }
}

impl FlowReader for SqliteSession<'_> {
    fn flow(&mut self, id: &FlowId) -> Result<Option<Flow>, EngineError> {
        read::flow::flow(self, id)
    }

    fn flows(&mut self, scan: &FlowScan, limit: usize) -> Result<Vec<Flow>, EngineError> {
        read::flow::flows(self, scan, limit)
    }

    fn flow_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<FlowId>, EngineError> {
        read::flow::flow_range(self, low, high, limit)
    }

    fn standings(&mut self, flow: &FlowId) -> Result<Standings, EngineError> {
        read::flow::standings(self, flow)
    }

    fn members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        read::flow::members(self, flow, limit)
    }

    fn edge(&mut self, flow: &FlowId, id: &EdgeId) -> Result<Option<Edge>, EngineError> {
        read::flow::edge(self, flow, id)
    }

    fn edges(
        &mut self,
        flow: &FlowId,
        of: &EdgesOf,
        limit: usize,
    ) -> Result<Vec<Edge>, EngineError> {
        read::flow::edges(self, flow, of, limit)
    }

    fn groups(&mut self, flow: &FlowId, limit: usize) -> Result<Vec<Group>, EngineError> {
        read::flow::groups(self, flow, limit)
    }

    fn group(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
    ) -> Result<Option<Group>, EngineError> {
        read::flow::group(self, flow, downstream)
    }

    fn unacknowledged(&mut self, flow: &FlowId) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::unacknowledged(self, flow)
    }

    fn flow_work(&mut self) -> Result<FlowWork, EngineError> {
        read::flow::work(self)
    }

    fn announced(&mut self, after: i64, limit: usize) -> Result<Vec<Announced>, EngineError> {
        read::flow::announced(self, after, limit)
    }

    fn open_edges_from(
        &mut self,
        flow: &FlowId,
        upstream: &ExecutionId,
        after: Option<&EdgeId>,
        limit: usize,
    ) -> Result<Vec<OpenEdge>, EngineError> {
        read::flow::open_edges_from(self, flow, upstream, after, limit)
    }

    fn pending_group(&mut self) -> Result<Option<PendingGroup>, EngineError> {
        read::flow::pending_group(self)
    }

    fn open_upstreams_of(
        &mut self,
        flow: &FlowId,
        downstream: &ExecutionId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::open_upstreams_of(self, flow, downstream, limit)
    }

    fn cancel_backlog(&mut self, limit: usize) -> Result<Vec<FlowId>, EngineError> {
        read::flow::cancel_backlog(self, limit)
    }

    fn due_members(
        &mut self,
        flow: &FlowId,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::due_members(self, flow, now, limit)
    }

    fn reached_members(
        &mut self,
        flow: &FlowId,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::flow::reached_members(self, flow, limit)
    }
}

impl WorkerReader for SqliteSession<'_> {
    fn workers(
        &mut self,
        namespace: &Namespace,
        now: TimestampMs,
        after: Option<&WorkerInstanceId>,
        limit: usize,
    ) -> Result<Vec<Registration>, EngineError> {
        read::worker::list(self, namespace, now, after, limit)
    }

    fn lapsed_workers(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(Namespace, WorkerInstanceId)>, EngineError> {
        read::worker::lapsed(self, now, limit)
    }

    fn next_worker_lapse(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        read::worker::next_lapse(self)
    }

    fn registry_events(&mut self, limit: usize) -> Result<Vec<RegistryEvent>, EngineError> {
        read::worker::events(self, limit)
    }

    fn announcements(
        &mut self,
        namespace: &Namespace,
        limit: usize,
    ) -> Result<Vec<RegistryEvent>, EngineError> {
        read::worker::announcements(self, namespace, limit)
    }

    fn leases_held(
        &mut self,
        now: TimestampMs,
    ) -> Result<Vec<(WorkerInstanceId, u64)>, EngineError> {
        read::worker::leases_held(self, now)
    }
}

impl Reader for SqliteSession<'_> {
    fn load(&mut self, footprint: &Footprint) -> Result<Snapshot, EngineError> {
        #[cfg(test)]
        {
            self.loads += 1;
        }
        load::snapshot(self, footprint)
    }

    fn due(&mut self, now: TimestampMs, limit: usize) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::due(self, now, limit)
    }

    fn agenda(&mut self, now: TimestampMs) -> Result<Agenda, EngineError> {
        read::execution::agenda(self, now)
    }

    fn next_due(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        read::execution::next_due(self)
    }

    fn lane_standing(&mut self, lane: &LaneId) -> Result<LaneStanding, EngineError> {
        read::lane::standing(self, lane)
    }

    fn gate_keys(&mut self, lane: &LaneId, limit: usize) -> Result<Vec<String>, EngineError> {
        read::lane::gate_keys(self, lane, limit)
    }

    fn candidates(
        &mut self,
        lane: &LaneId,
        gate_key: &str,
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>, EngineError> {
        read::lane::candidates(self, lane, gate_key, after, limit)
    }

    fn ended(
        &mut self,
        before: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::ended(self, before, limit)
    }

    fn attempts(&mut self, id: &ExecutionId) -> Result<Vec<Attempt>, EngineError> {
        read::execution::attempts(self, id)
    }

    fn transitions(
        &mut self,
        id: &ExecutionId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TransitionRow>, EngineError> {
        read::event::transitions(self, id, after, limit)
    }

    fn scan(
        &mut self,
        scan: &Scan,
        limit: usize,
    ) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
        read::execution::scan(self, scan, limit)
    }

    fn uuid_range(
        &mut self,
        low: Uuid,
        high: Uuid,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        read::execution::uuid_range(self, low, high, limit)
    }

    fn lanes(&mut self, after: Option<&LaneId>, limit: usize) -> Result<Vec<Lane>, EngineError> {
        read::lane::lanes(self, after, limit)
    }

    fn lane_counts(&mut self, lane: &LaneId) -> Result<LaneCounts, EngineError> {
        read::lane::counts(self, lane)
    }

    fn expired_leases(
        &mut self,
        as_of: TimestampMs,
        after: Option<(TimestampMs, &ExecutionId)>,
        namespace: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<ExpiredLease>, EngineError> {
        read::lease::expired(self, as_of, after, namespace, limit)
    }

    fn events(
        &mut self,
        topic: Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Event)>, EngineError> {
        read::event::list(self, topic, after, limit)
    }

    fn event_bounds(&mut self, topic: Topic) -> Result<EventBounds, EngineError> {
        read::event::bounds(self, topic)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::testing::database;

    #[test]
    fn a_statement_is_prepared_once_a_session() {
        let conn = database();
        let session = SqliteSession::new(&conn);

        for _ in 0..3 {
            session.run(statement::CLOCK_RAISE_FLOOR, [7]).unwrap();
        }

        let held = prepared(&session, statement::CLOCK_RAISE_FLOOR).unwrap();
        assert_eq!(held.get_status(StatementStatus::Run), 3);
    }

    #[test]
    fn a_statement_in_use_may_be_asked_for_again() {
        let conn = database();
        let session = SqliteSession::new(&conn);

        let mut first = prepared(&session, statement::CLOCK_READ_FLOOR).unwrap();
        let mut second = prepared(&session, statement::CLOCK_READ_FLOOR).unwrap();

        let mut rows = first.query([]).unwrap();
        assert!(rows.next().unwrap().is_some());
        let floor: i64 = second.query_row([], |row| row.get(0)).unwrap();
        assert_eq!(floor, 0);
    }

    #[test]
    fn what_was_bound_is_let_go() {
        let conn = database();
        let session = SqliteSession::new(&conn);
        session.run(statement::CLOCK_RAISE_FLOOR, [7]).unwrap();

        let held = prepared(&session, statement::CLOCK_RAISE_FLOOR).unwrap();

        assert!(held.expanded_sql().unwrap().contains("floor_ms < NULL"));
    }
}
