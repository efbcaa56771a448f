//! The floor: what SQLite alone costs.
//!
//! A lifecycle of the engine changes certain rows. The floor makes the same changes by hand, on the
//! schema that the engine migrated (its tables, generated columns, indexes and triggers), with the
//! engine's durability (WAL, `synchronous=FULL`, a file on disk) and page cache:
//!
//! | operation | rows |
//! |---|---|
//! | create | insert `ff_exec_core` (30 columns, 256-byte payload), insert `ff_transition` |
//! | claim | insert `ff_attempt`, update `ff_exec_core` (22 columns), insert `ff_lease_event`, insert `ff_transition` |
//! | complete | update `ff_attempt`, update `ff_exec_core` (22 columns and the result), insert `ff_lease_event`, `ff_completion_event` and `ff_transition` |
//! | each transaction | raise `ff_engine_clock` |
//!
//! Every statement is prepared once and held, and names the columns that the engine's statement
//! names, so that the same indexes are written. It is what a careful program would do that already
//! knows every answer. What it does *not* do is the engine's work: it loads nothing, decides
//! nothing, checks no lease, draws no candidate, merges no JSON (the finished text is bound),
//! encodes no handle, crosses no thread and waits in no queue; the lane is registered once, when the
//! floor is opened.
//!
//! The test at the end runs one lifecycle through each and holds the two databases equal: rows
//! per table, and type and length of every stored value.

use std::path::Path;
use std::time::Duration;

use ff_core::clock::{Clock as _, SystemClock};
use ff_core::types::{ExecutionId, TimestampMs};
use rusqlite::{Connection, Statement, params};
use uuid::Uuid;

use crate::engine::{CREATOR, KIND, LANE, NAMESPACE, WORKER, WORKER_INSTANCE};
use crate::error::{BenchError, Doing as _};

const BUSY: Duration = Duration::from_secs(5);

/// As large as the engine's writer has it.
const CACHE_KIB: i64 = 32 << 10;

/// The engine copies its log back at the same size: 4 MiB in pages of 4 KiB.
const CHECKPOINT_PAGES: i64 = 1_000;

const LANE_REGISTER: &str =
    "INSERT INTO ff_lane_registry (lane_id, registered_at_ms, registered_by)
    VALUES (?1, ?2, 'create_execution')";

const EXECUTION_CREATE: &str = "INSERT INTO ff_exec_core (
        partition_key, execution_id, version, lifecycle_phase, ownership_state, eligibility_state,
        public_state, attempt_state, blocking_reason, terminal_outcome, priority, attempt_index,
        attempt_count, lease_epoch, lease_reclaim_count, started_at_ms, terminal_at_ms,
        eligible_at_ms, deadline_at_ms, attempt_timeout_at_ms, attempt_timeout_left_ms,
        cancellation_reason, cancelled_by, raw_fields, lane_id, gate_key, flow_id, created_at_ms,
        policy, payload
    ) VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30
    )";

const EXECUTION_CLAIM: &str = "UPDATE ff_exec_core SET
        version = ?3, lifecycle_phase = ?4, ownership_state = ?5, eligibility_state = ?6,
        public_state = ?7, attempt_state = ?8, blocking_reason = ?9, terminal_outcome = ?10,
        priority = ?11, attempt_index = ?12, attempt_count = ?13, lease_epoch = ?14,
        lease_reclaim_count = ?15, started_at_ms = ?16, terminal_at_ms = ?17, eligible_at_ms = ?18,
        deadline_at_ms = ?19, attempt_timeout_at_ms = ?20, attempt_timeout_left_ms = ?21,
        cancellation_reason = ?22, cancelled_by = ?23, raw_fields = ?24
    WHERE partition_key = ?1 AND execution_id = ?2";

const EXECUTION_COMPLETE: &str = "UPDATE ff_exec_core SET
        version = ?3, lifecycle_phase = ?4, ownership_state = ?5, eligibility_state = ?6,
        public_state = ?7, attempt_state = ?8, blocking_reason = ?9, terminal_outcome = ?10,
        priority = ?11, attempt_index = ?12, attempt_count = ?13, lease_epoch = ?14,
        lease_reclaim_count = ?15, started_at_ms = ?16, terminal_at_ms = ?17, eligible_at_ms = ?18,
        deadline_at_ms = ?19, attempt_timeout_at_ms = ?20, attempt_timeout_left_ms = ?21,
        cancellation_reason = ?22, cancelled_by = ?23, raw_fields = ?24, result = ?25
    WHERE partition_key = ?1 AND execution_id = ?2";

const ATTEMPT_START: &str = "INSERT INTO ff_attempt (
        partition_key, execution_id, attempt_index, lease_epoch, lease_expires_at_ms,
        lease_expired_at_ms, attempt_id, lease_id, worker_id, worker_instance_id, started_at_ms,
        terminal_at_ms, outcome, attempt_type, retry_at_ms, failure_category, failure_reason, policy
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

const ATTEMPT_END: &str = "UPDATE ff_attempt SET
        lease_epoch = ?4, lease_expires_at_ms = ?5, lease_expired_at_ms = ?6, attempt_id = ?7,
        lease_id = ?8, worker_id = ?9, worker_instance_id = ?10, started_at_ms = ?11,
        terminal_at_ms = ?12, outcome = ?13, attempt_type = ?14, retry_at_ms = ?15,
        failure_category = ?16, failure_reason = ?17, policy = ?18
    WHERE partition_key = ?1 AND execution_id = ?2 AND attempt_index = ?3";

const LEASE_EVENT_ADD: &str = "INSERT INTO ff_lease_event (
        execution_id, lease_id, event_type, occurred_at_ms, partition_key, namespace, instance_tag,
        lease_epoch, attempt_index, worker_instance_id, cause
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

const COMPLETION_EVENT_ADD: &str = "INSERT INTO ff_completion_event (
        partition_key, execution_id, flow_id, outcome, namespace, instance_tag, occurred_at_ms,
        committed_at_ms, run
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const TRANSITION_ADD: &str = "INSERT INTO ff_transition (
        partition_key, execution_id, version, at_ms, lease_epoch, from_state, to_state, cause
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(crate) const CLOCK_RAISE: &str = "UPDATE ff_engine_clock SET floor_ms = ?1 WHERE floor_ms < ?1";

/// As [`open`], with the lane registered.
pub(crate) fn connect(path: &Path) -> Result<Connection, BenchError> {
    let conn = open(path)?;
    conn.execute(LANE_REGISTER, params![LANE, SystemClock::new().wall().0])
        .doing("register the floor's lane")?;
    Ok(conn)
}

/// Opens a database that the engine has migrated, with the settings of its writer.
pub(crate) fn open(path: &Path) -> Result<Connection, BenchError> {
    let open = || {
        let conn = Connection::open(path)?;
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", "ON")?;
        conn.pragma_update(None, "trusted_schema", "OFF")?;
        conn.pragma_update(None, "cell_size_check", "ON")?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "mmap_size", 0)?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        Ok::<_, rusqlite::Error>(conn)
    };
    open().doing("open the floor's database")
}

/// One execution, as the program that writes it by hand remembers it.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    id: ExecutionId,
    started_at: TimestampMs,
    attempt_id: Uuid,
    lease_id: Uuid,
    expires_at: TimestampMs,
}

/// The row changes of the engine, without the engine.
#[derive(Debug)]
pub(crate) struct Floor<'c> {
    clock: SystemClock,
    begin: Statement<'c>,
    commit: Statement<'c>,
    execution_create: Statement<'c>,
    execution_claim: Statement<'c>,
    execution_complete: Statement<'c>,
    attempt_start: Statement<'c>,
    attempt_end: Statement<'c>,
    lease_event_add: Statement<'c>,
    completion_event_add: Statement<'c>,
    transition_add: Statement<'c>,
    clock_raise: Statement<'c>,
}

impl<'c> Floor<'c> {
    pub(crate) fn prepare(conn: &'c Connection) -> Result<Self, BenchError> {
        let prepare = || {
            Ok::<_, rusqlite::Error>(Self {
                clock: SystemClock::new(),
                begin: conn.prepare("BEGIN IMMEDIATE")?,
                commit: conn.prepare("COMMIT")?,
                execution_create: conn.prepare(EXECUTION_CREATE)?,
                execution_claim: conn.prepare(EXECUTION_CLAIM)?,
                execution_complete: conn.prepare(EXECUTION_COMPLETE)?,
                attempt_start: conn.prepare(ATTEMPT_START)?,
                attempt_end: conn.prepare(ATTEMPT_END)?,
                lease_event_add: conn.prepare(LEASE_EVENT_ADD)?,
                completion_event_add: conn.prepare(COMPLETION_EVENT_ADD)?,
                transition_add: conn.prepare(TRANSITION_ADD)?,
                clock_raise: conn.prepare(CLOCK_RAISE)?,
            })
        };
        prepare().doing("prepare the floor's statements")
    }

    /// One transaction around `changes`. An error leaves it open: the benchmark ends.
    pub(crate) fn transaction<T>(
        &mut self,
        changes: impl FnOnce(&mut Self, TimestampMs) -> rusqlite::Result<T>,
    ) -> Result<T, BenchError> {
        let run = || {
            self.begin.execute([])?;
            let now = self.clock.wall();
            let done = changes(self, now)?;
            self.clock_raise.execute([now.0])?;
            self.commit.execute([])?;
            Ok::<_, rusqlite::Error>(done)
        };
        run().doing("write the floor's rows")
    }

    pub(crate) fn create(
        &mut self,
        id: &ExecutionId,
        payload: &[u8],
        now: TimestampMs,
    ) -> rusqlite::Result<Work> {
        let none: Option<i64> = None;
        let fields = format!(
            "{{\"namespace\":\"{NAMESPACE}\",\"execution_kind\":\"{KIND}\",\
             \"creator_identity\":\"{CREATOR}\",\"last_mutation_at\":\"{now}\",\
             \"total_attempt_count\":\"0\"}}",
            now = now.0
        );
        let (partition, uuid) = (id.partition(), id.uuid());
        self.execution_create.execute(params![
            partition,
            uuid.as_bytes(),
            1,
            "runnable",
            "unowned",
            "eligible_now",
            "waiting",
            "pending_first_attempt",
            "waiting_for_worker",
            none,
            0,
            0,
            0,
            0,
            0,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            fields,
            LANE,
            "",
            none,
            now.0,
            none,
            payload,
        ])?;
        let values = params![partition, uuid.as_bytes(), 1, now.0, 0, none, "waiting", "created"];
        self.transition_add.execute(values)?;
        Ok(Work {
            id: id.clone(),
            started_at: now,
            attempt_id: Uuid::nil(),
            lease_id: Uuid::nil(),
            expires_at: now,
        })
    }

    pub(crate) fn claim(
        &mut self,
        work: &mut Work,
        lease_ttl_ms: u32,
        now: TimestampMs,
    ) -> rusqlite::Result<()> {
        let none: Option<i64> = None;
        work.started_at = now;
        work.attempt_id = Uuid::now_v7();
        work.lease_id = Uuid::now_v7();
        work.expires_at = TimestampMs(now.0 + i64::from(lease_ttl_ms));
        let (partition, uuid) = (work.id.partition(), work.id.uuid());
        self.attempt_start.execute(params![
            partition,
            uuid.as_bytes(),
            0,
            1,
            work.expires_at.0,
            none,
            work.attempt_id.as_bytes(),
            work.lease_id.as_bytes(),
            WORKER,
            WORKER_INSTANCE,
            now.0,
            none,
            none,
            "initial",
            none,
            none,
            none,
            none,
        ])?;
        let fields = format!(
            "{{\"namespace\":\"{NAMESPACE}\",\"execution_kind\":\"{KIND}\",\
             \"creator_identity\":\"{CREATOR}\",\"last_mutation_at\":\"{now}\",\
             \"total_attempt_count\":\"1\",\"current_attempt_id\":\"{attempt}\",\
             \"current_lease_id\":\"{lease}\",\"current_worker_id\":\"{WORKER}\",\
             \"current_worker_instance_id\":\"{WORKER_INSTANCE}\"}}",
            now = now.0,
            attempt = work.attempt_id,
            lease = work.lease_id,
        );
        self.execution_claim.execute(params![
            partition,
            uuid.as_bytes(),
            2,
            "active",
            "leased",
            "not_applicable",
            "active",
            "running_attempt",
            none,
            none,
            0,
            0,
            1,
            1,
            0,
            now.0,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            fields,
        ])?;
        self.lease_event(work, "acquired", "claimed", now)?;
        let values =
            params![partition, uuid.as_bytes(), 2, now.0, 1, "waiting", "active", "claimed"];
        self.transition_add.execute(values).map(drop)
    }

    pub(crate) fn complete(
        &mut self,
        work: &Work,
        result: &[u8],
        now: TimestampMs,
    ) -> rusqlite::Result<()> {
        let none: Option<i64> = None;
        let (partition, uuid) = (work.id.partition(), work.id.uuid());
        self.attempt_end.execute(params![
            partition,
            uuid.as_bytes(),
            0,
            1,
            none,
            none,
            work.attempt_id.as_bytes(),
            work.lease_id.as_bytes(),
            WORKER,
            WORKER_INSTANCE,
            work.started_at.0,
            now.0,
            "success",
            "initial",
            none,
            none,
            none,
            none,
        ])?;
        let fields = format!(
            "{{\"namespace\":\"{NAMESPACE}\",\"execution_kind\":\"{KIND}\",\
             \"creator_identity\":\"{CREATOR}\",\"last_mutation_at\":\"{now}\",\
             \"total_attempt_count\":\"1\",\"current_attempt_id\":\"{attempt}\",\
             \"terminal_outcome\":\"success\"}}",
            now = now.0,
            attempt = work.attempt_id,
        );
        self.execution_complete.execute(params![
            partition,
            uuid.as_bytes(),
            3,
            "terminal",
            "unowned",
            "not_applicable",
            "completed",
            "attempt_terminal",
            none,
            "success",
            0,
            0,
            1,
            1,
            0,
            work.started_at.0,
            now.0,
            none,
            none,
            none,
            none,
            none,
            none,
            fields,
            result,
        ])?;
        self.lease_event(work, "revoked", "completed", now)?;
        let values =
            params![partition, uuid.as_bytes(), none, "success", NAMESPACE, none, now.0, now.0, 0];
        self.completion_event_add.execute(values)?;
        let values =
            params![partition, uuid.as_bytes(), 3, now.0, 1, "active", "completed", "completed"];
        self.transition_add.execute(values).map(drop)
    }

    fn lease_event(
        &mut self,
        work: &Work,
        kind: &str,
        cause: &str,
        now: TimestampMs,
    ) -> rusqlite::Result<()> {
        let none: Option<i64> = None;
        self.lease_event_add
            .execute(params![
                work.id.uuid().to_string(),
                work.lease_id.to_string(),
                kind,
                now.0,
                work.id.partition(),
                NAMESPACE,
                none,
                1,
                0,
                WORKER_INSTANCE,
                cause,
            ])
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::{Engine, LEASE_TTL_MS, PAYLOAD, RESULT, execution_id, runtime};

    /// Per table and column: rows, and type and length of the values.
    fn shape(path: &Path) -> BTreeMap<String, Vec<String>> {
        let conn = Connection::open(path).unwrap();
        let names = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let tables = names(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY 1",
        );
        tables
            .into_iter()
            .map(|table| {
                let shapes = names(&format!("SELECT name FROM pragma_table_info('{table}')"))
                    .into_iter()
                    .flat_map(|column| {
                        names(&format!(
                            "SELECT '{column} ' || typeof({column}) || ' '
                                || coalesce(length(CAST({column} AS BLOB)), '')
                                || CASE WHEN typeof({column}) = 'text' AND length({column}) < 24
                                    THEN ' ' || {column} ELSE '' END
                            FROM {table}"
                        ))
                    })
                    .collect();
                (table, shapes)
            })
            .collect()
    }

    fn written(
        before: &BTreeMap<String, Vec<String>>,
        after: &BTreeMap<String, Vec<String>>,
    ) -> BTreeMap<String, Vec<String>> {
        let mut after = after.clone();
        after.retain(|table, shapes| before.get(table) != Some(shapes));
        after
    }

    #[test]
    fn the_floor_writes_what_the_engine_writes() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime().unwrap();
        let (by_engine, by_floor) = (dir.path().join("engine.db"), dir.path().join("floor.db"));
        drop(runtime.block_on(Engine::open(&by_engine)).unwrap());
        let migrated = shape(&by_engine);
        std::fs::copy(&by_engine, &by_floor).unwrap();

        runtime.block_on(async {
            let engine = Engine::open(&by_engine).await.unwrap();
            engine.create().await.unwrap();
            let handle = engine.claim().await.unwrap();
            engine.complete(&handle).await.unwrap();
        });
        let conn = connect(&by_floor).unwrap();
        let mut floor = Floor::prepare(&conn).unwrap();
        let id = execution_id();
        let mut work = floor.transaction(|floor, now| floor.create(&id, PAYLOAD, now)).unwrap();
        floor.transaction(|floor, now| floor.claim(&mut work, LEASE_TTL_MS, now)).unwrap();
        floor.transaction(|floor, now| floor.complete(&work, RESULT, now)).unwrap();

        let engines = written(&migrated, &shape(&by_engine));
        let floors = written(&migrated, &shape(&by_floor));
        let tables: Vec<_> = engines.keys().map(String::as_str).collect();
        assert_eq!(
            tables,
            [
                "ff_attempt",
                "ff_completion_event",
                "ff_engine_clock",
                "ff_exec_core",
                "ff_lane_registry",
                "ff_lease_event",
                "ff_transition",
                "sqlite_sequence",
            ]
        );
        for (table, shapes) in &engines {
            assert_eq!(floors.get(table), Some(shapes), "{table}: floor (left), engine (right)");
        }
        assert_eq!(floors.len(), engines.len());
    }
}
