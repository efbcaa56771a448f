//! The schema, and how a database comes to have it.
//!
//! One transaction under the write lock brings a database from whatever version it has to [`SCHEMA_VERSION`], so a
//! crash leaves the old schema or the new one, and of several processes that start at once one does the work while
//! the others wait and find it done. A database that is not ours, or that a newer build has written, is refused
//! before anything is written to it.
//!
//! `ff_schema_migration` alone says which version a database has. The contract's two ledgers, `_sqlx_migrations` and
//! `ff_migration_annotation`, are filled once and never grow.

use ff_core::BackendError;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Doing as _, refused};

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// In order; the position, counted from 1, is the version. A released one never changes.
const MIGRATIONS: [Migration; 2] = [
    Migration { name: "0001_contract", sql: include_str!("../migrations/0001_contract.sql") },
    Migration { name: "0002_engine", sql: include_str!("../migrations/0002_engine.sql") },
];

/// The schema version this build reads and writes.
pub(crate) const SCHEMA_VERSION: i64 = 2;

/// What [`migrate`] did: `from` is 0 for a database that was empty; equal versions mean that nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Brings the database to [`SCHEMA_VERSION`].
pub(crate) fn migrate(conn: &mut Connection) -> Result<Applied, BackendError> {
    let current = version(conn)?;
    if current == SCHEMA_VERSION {
        return Ok(Applied { from: current, to: current });
    }
    let transaction = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .opening("take the write lock to create the schema")?;
    // Another process may have migrated between the look above and the lock.
    let from = version(&transaction)?;
    for (number, migration) in (1_i64..).zip(&MIGRATIONS).filter(|(number, _)| *number > from) {
        transaction.execute_batch(migration.sql).opening("create the schema")?;
        transaction
            .execute(
                "INSERT INTO ff_schema_migration (version, name, applied_at_ms)
                 VALUES (?1, ?2, CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER))",
                (number, migration.name),
            )
            .opening("record the schema version")?;
    }
    transaction.commit().opening("commit the schema")?;
    Ok(Applied { from, to: SCHEMA_VERSION })
}

/// What stands in a database, before any judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Version(i64),
    /// Our ledger without a row: no migration of ours leaves that.
    EmptyLedger,
    /// Tables of FlowFabric 0.15 or older, which had no ledger of ours.
    Original,
    Foreign,
}

/// Looks without writing.
pub(crate) fn look(conn: &Connection) -> rusqlite::Result<Found> {
    let (any, ledger, original): (bool, bool, bool) = conn.query_row(
        "SELECT count(*) > 0,
                coalesce(max(type = 'table' AND name = 'ff_schema_migration'), 0),
                coalesce(max(type = 'table' AND name = 'ff_exec_core'), 0)
         FROM sqlite_schema",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok(match (any, ledger, original) {
        (false, ..) => Found::Nothing,
        (true, true, _) => {
            let newest: Option<i64> =
                conn.query_row("SELECT max(version) FROM ff_schema_migration", [], |row| {
                    row.get(0)
                })?;
            newest.map_or(Found::EmptyLedger, Found::Version)
        }
        (true, false, true) => Found::Original,
        (true, false, false) => Found::Foreign,
    })
}

/// The version of a database this build may write to, 0 for an empty one; `name` is what its user calls it.
pub(crate) fn judge(found: Found, name: &str) -> Result<i64, BackendError> {
    match found {
        Found::Nothing => Ok(0),
        Found::Version(version) if (1..=SCHEMA_VERSION).contains(&version) => Ok(version),
        Found::Version(version) if version > SCHEMA_VERSION => Err(refused(format!(
            "{name} has schema version {version}, and this build knows versions up to {SCHEMA_VERSION}: \
             start a build at least as new as the one that wrote it, or restore a backup; nothing was changed"
        ))),
        Found::Version(_) | Found::EmptyLedger => Err(refused(format!(
            "{name} has a damaged schema ledger (ff_schema_migration): restore a backup; nothing was changed"
        ))),
        Found::Original => Err(refused(format!(
            "{name} was written by FlowFabric 0.15 or older, whose file this build cannot upgrade: \
             name a new file; nothing was changed"
        ))),
        Found::Foreign => Err(refused(format!(
            "{name} holds tables of another program and none of FlowFabric: check the path, \
             or name a new file; nothing was changed"
        ))),
    }
}

fn version(conn: &Connection) -> Result<i64, BackendError> {
    let found = look(conn).opening("read the schema version")?;
    match conn.path() {
        Some(path) if !path.is_empty() => judge(found, &format!("the database `{path}`")),
        _ => judge(found, "the memory database"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rusqlite::params;

    use super::*;

    const CONTRACT_TABLES: [&str; 34] = [
        "ff_attempt",
        "ff_budget_policy",
        "ff_budget_usage",
        "ff_budget_usage_by_exec",
        "ff_budget_usage_dedup",
        "ff_cancel_backlog",
        "ff_cancel_backlog_member",
        "ff_cancel_dispatch_outbox",
        "ff_claim_grant",
        "ff_completion_event",
        "ff_edge",
        "ff_edge_group",
        "ff_exec_core",
        "ff_execution_capabilities",
        "ff_flow_core",
        "ff_lane_registry",
        "ff_lease_event",
        "ff_migration_annotation",
        "ff_operator_event",
        "ff_partition_config",
        "ff_pending_cancel_groups",
        "ff_quota_admitted",
        "ff_quota_policy",
        "ff_quota_window",
        "ff_signal_event",
        "ff_stream_frame",
        "ff_stream_meta",
        "ff_stream_summary",
        "ff_suspend_dedup",
        "ff_suspension_current",
        "ff_waitpoint_hmac",
        "ff_waitpoint_pending",
        "ff_worker_registry",
        "ff_worker_registry_event",
    ];

    const CLAIM: &str = "SELECT partition_key, execution_id
        FROM ff_exec_core INDEXED BY ff_exec_core_claimable
        WHERE claimable = 1 AND lane_id = ?1 AND gate_key = ?2
        ORDER BY priority DESC, created_at_ms, execution_id LIMIT ?3";

    fn database() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "trusted_schema", "OFF").unwrap();
        assert_eq!(migrate(&mut conn).unwrap(), Applied { from: 0, to: SCHEMA_VERSION });
        conn
    }

    fn column<T: rusqlite::types::FromSql>(conn: &Connection, sql: &str) -> Vec<T> {
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn plan(conn: &Connection, sql: &str) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = statement.parameter_count();
        let steps = statement
            .query_map(rusqlite::params_from_iter((0..count).map(|_| 1)), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    /// The columns that have to be named, as SQL from outside names them.
    fn execution(conn: &Connection, partition: i64, id: &[u8], phase: &str, eligibility: &str) {
        conn.execute(
            "INSERT INTO ff_exec_core (partition_key, execution_id, lane_id, lifecycle_phase, ownership_state,
                eligibility_state, public_state, attempt_state, created_at_ms)
             VALUES (?1, ?2, 'lane', ?3, 'unowned', ?4, 'pending', 'initial', 5)",
            params![partition, id, phase, eligibility],
        )
        .unwrap();
    }

    fn needs(conn: &Connection, id: &[u8], capability: &str) {
        conn.execute(
            "INSERT INTO ff_execution_capabilities VALUES (?1, ?2)",
            params![id, capability],
        )
        .unwrap();
    }

    fn gate_key(conn: &Connection, id: &[u8]) -> String {
        conn.query_row("SELECT gate_key FROM ff_exec_core WHERE execution_id = ?1", [id], |row| {
            row.get(0)
        })
        .unwrap()
    }

    fn claim(conn: &Connection, gate_key: &str) -> Vec<Vec<u8>> {
        let mut statement = conn.prepare(CLAIM).unwrap();
        statement
            .query_map(params!["lane", gate_key, 10], |row| row.get(1))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn every_contract_table_is_there() {
        let conn = database();
        let tables: BTreeSet<String> =
            column(&conn, "SELECT name FROM sqlite_schema WHERE type = 'table'")
                .into_iter()
                .collect();
        for table in CONTRACT_TABLES {
            assert!(tables.contains(table), "{table}");
        }
        assert!(tables.contains("_sqlx_migrations"));
        assert_eq!(tables.iter().filter(|name| name.starts_with("ff_")).count(), 34 + 9 + 5);
    }

    #[test]
    fn the_ledgers_hold_exactly_what_their_readers_expect_and_never_grow() {
        let mut conn = database();
        assert_eq!(migrate(&mut conn).unwrap(), Applied { from: 2, to: 2 });
        let all: Vec<i64> = (1..=14).chain([16, 17, 18, 20, 21]).collect();
        let annotated: Vec<i64> = (1..=14).chain([16, 17, 20]).collect();
        assert_eq!(
            column::<i64>(
                &conn,
                "SELECT version FROM _sqlx_migrations WHERE success = 1 ORDER BY version"
            ),
            all
        );
        assert_eq!(
            column::<i64>(&conn, "SELECT version FROM ff_migration_annotation ORDER BY version"),
            annotated
        );
        assert_eq!(
            column::<i64>(
                &conn,
                "SELECT version FROM ff_migration_annotation
                 WHERE backward_compatible = 0 OR applied_at_ms < 1700000000000 OR name NOT GLOB '00??_*'"
            ),
            [1]
        );
        assert_eq!(column::<i64>(&conn, "SELECT version FROM ff_schema_migration"), [1, 2]);
        assert_eq!(
            column::<i64>(
                &conn,
                "SELECT num_flow_partitions + num_budget_partitions + num_quota_partitions FROM ff_partition_config"
            ),
            [3]
        );
        assert_eq!(column::<i64>(&conn, "SELECT floor_ms FROM ff_engine_clock"), [0]);
        assert_eq!(MIGRATIONS.len(), usize::try_from(SCHEMA_VERSION).unwrap());
    }

    #[test]
    fn the_capability_table_has_the_shape_that_is_looked_up() {
        let conn = database();
        assert_eq!(
            column::<String>(
                &conn,
                "SELECT format('%s %s %d %d', name, type, \"notnull\", pk)
                 FROM pragma_table_info('ff_execution_capabilities')"
            ),
            ["execution_id BLOB 1 1", "capability TEXT 1 2"]
        );
        assert_eq!(
            column::<String>(
                &conn,
                "SELECT name FROM pragma_index_info('ff_execution_capabilities_capability_idx') ORDER BY seqno"
            ),
            ["capability", "execution_id"]
        );
    }

    #[test]
    fn an_execution_inserted_by_hand_is_claimable_in_order() {
        let conn = database();
        for (id, phase) in [(b"c", "runnable"), (b"b", "submitted"), (b"a", "pending")] {
            execution(&conn, 0, id, phase, "eligible_now");
        }
        execution(&conn, 0, b"d", "runnable", "not_applicable");
        execution(&conn, 0, b"e", "terminal", "eligible_now");
        execution(&conn, 0, b"f", "active", "not_applicable");
        assert_eq!(claim(&conn, ""), [b"a", b"b", b"c"]);
        conn.execute("UPDATE ff_exec_core SET priority = 9 WHERE execution_id = x'63'", [])
            .unwrap();
        conn.execute(
            "UPDATE ff_exec_core SET ownership_state = 'lease_revoked' WHERE execution_id = x'66'",
            [],
        )
        .unwrap();
        assert_eq!(claim(&conn, ""), [b"c", b"a", b"b", b"f"]);
        conn.execute("UPDATE ff_exec_core SET ownership_state = 'leased'", []).unwrap();
        assert!(claim(&conn, "").is_empty());
    }

    #[test]
    fn rows_inserted_by_hand_need_only_the_contract_s_columns() {
        let conn = database();
        conn.execute_batch(
            "INSERT INTO ff_attempt (partition_key, execution_id, attempt_index) VALUES (0, x'01', 0);
             INSERT INTO ff_flow_core (partition_key, flow_id, public_flow_state, created_at_ms)
                VALUES (0, x'01', 'open', 1);
             INSERT INTO ff_edge (partition_key, flow_id, edge_id, upstream_eid, downstream_eid, policy)
                VALUES (0, x'01', x'01', x'01', x'02', '{}');
             INSERT INTO ff_edge_group (partition_key, flow_id, downstream_eid, policy) VALUES (0, x'01', x'02', '{}');
             INSERT INTO ff_suspension_current (partition_key, execution_id, suspension_id, suspended_at_ms, condition)
                VALUES (0, x'01', x'01', 1, '{}');
             INSERT INTO ff_claim_grant (partition_key, grant_id, execution_id, kind, worker_id, worker_instance_id,
                grant_ttl_ms, issued_at_ms, expires_at_ms) VALUES (0, x'01', x'01', 'claim', 'w', 'i', 1, 1, 1);
             INSERT INTO ff_quota_policy (partition_key, quota_policy_id, requests_per_window_seconds,
                max_requests_per_window, active_concurrency_cap, created_at_ms, updated_at_ms)
                VALUES (0, 'q', 1, 1, 1, 1, 1);
             INSERT INTO ff_stream_frame (partition_key, execution_id, attempt_index, ts_ms, seq, fields, mode,
                created_at_ms) VALUES (0, x'01', 0, 1, 0, '{}', 'durable', 1);
             INSERT INTO ff_completion_event (partition_key, execution_id, outcome, occurred_at_ms)
                VALUES (0, x'01', 'success', 1);",
        )
        .unwrap();
        assert!(
            column::<i64>(&conn, "SELECT committed_at_ms FROM ff_completion_event")[0]
                > 1_700_000_000_000
        );
        conn.execute("UPDATE ff_claim_grant SET kind = 'other'", []).unwrap_err();
    }

    #[test]
    fn the_gate_key_is_right_whatever_the_order_of_inserts() {
        let conn = database();
        execution(&conn, 0, b"1", "runnable", "eligible_now");
        for capability in ["gpu", "Zone", "arm"] {
            needs(&conn, b"1", capability);
            needs(&conn, b"2", capability);
        }
        execution(&conn, 0, b"2", "runnable", "eligible_now");
        execution(&conn, 3, b"3", "runnable", "eligible_now");
        needs(&conn, b"3", "gpu");
        assert_eq!(gate_key(&conn, b"1"), "Zone,arm,gpu");
        assert_eq!(claim(&conn, "Zone,arm,gpu"), [b"1", b"2"]);
        assert_eq!(gate_key(&conn, b"3"), "gpu");
        conn.execute(
            "UPDATE ff_execution_capabilities SET execution_id = x'33' WHERE execution_id = x'31' AND capability = 'arm'",
            [],
        )
        .unwrap();
        assert_eq!(
            (gate_key(&conn, b"1"), gate_key(&conn, b"3")),
            ("Zone,gpu".into(), "arm,gpu".into())
        );
        conn.execute("DELETE FROM ff_execution_capabilities WHERE execution_id = x'31'", [])
            .unwrap();
        assert_eq!(gate_key(&conn, b"1"), "");
        assert_eq!(claim(&conn, ""), [b"1"]);
    }

    #[test]
    fn a_key_the_engine_wrote_is_not_written_again() {
        let conn = database();
        needs(&conn, b"1", "a");
        needs(&conn, b"1", "b");
        let before = conn.total_changes();
        conn.execute(
            "INSERT INTO ff_exec_core (partition_key, execution_id, lane_id, lifecycle_phase, ownership_state,
                eligibility_state, public_state, attempt_state, created_at_ms, gate_key)
             VALUES (0, x'31', 'lane', 'runnable', 'unowned', 'eligible_now', 'waiting', 'pending', 5, 'a,b')",
            [],
        )
        .unwrap();
        assert_eq!(conn.total_changes() - before, 1);
        let before = conn.total_changes();
        conn.execute("INSERT OR IGNORE INTO ff_execution_capabilities VALUES (x'31', 'a')", [])
            .unwrap();
        assert_eq!(conn.total_changes() - before, 0);
    }

    #[test]
    fn due_at_is_the_earliest_instant_at_which_time_changes_the_row() {
        let conn = database();
        execution(&conn, 0, b"1", "runnable", "eligible_now");
        let due = |set: &str| -> Option<i64> {
            conn.execute_batch(&format!(
                "UPDATE ff_exec_core SET lifecycle_phase = 'runnable', eligibility_state = 'eligible_now',
                    eligible_at_ms = NULL, deadline_at_ms = NULL, attempt_timeout_at_ms = NULL, raw_fields = '{{}}';
                 UPDATE ff_exec_core SET {set};"
            ))
            .unwrap();
            column(&conn, "SELECT due_at_ms FROM ff_exec_core")[0]
        };
        let delayed = "eligibility_state = 'not_eligible_until_time'";
        assert_eq!(due("priority = 1"), None);
        assert_eq!(due("eligible_at_ms = 5"), None);
        assert_eq!(due(&format!("{delayed}, eligible_at_ms = 5")), Some(5));
        assert_eq!(due(&format!("{delayed}, raw_fields = '{{\"delay_until\":\"7\"}}'")), Some(7));
        assert_eq!(due(&format!("{delayed}, raw_fields = '{{\"delay_until\":8}}'")), Some(8));
        assert_eq!(
            due(&format!(
                "{delayed}, eligible_at_ms = 5, raw_fields = '{{\"delay_until\":\"7\"}}'"
            )),
            Some(5)
        );
        assert_eq!(due(delayed), Some(0));
        assert_eq!(due(&format!("{delayed}, raw_fields = 'not json'")), Some(0));
        assert_eq!(due(&format!("{delayed}, eligible_at_ms = 5, deadline_at_ms = 3")), Some(3));
        assert_eq!(due("deadline_at_ms = 3"), Some(3));
        assert_eq!(due("attempt_timeout_at_ms = 2"), None);
        for (ownership, at) in [("leased", 2), ("lease_expired_reclaimable", 3)] {
            let running = format!(
                "lifecycle_phase = 'active', ownership_state = '{ownership}',
                 attempt_timeout_at_ms = 2, deadline_at_ms = 3"
            );
            assert_eq!(due(&running), Some(at));
        }
        assert_eq!(
            due("lifecycle_phase = 'suspended', attempt_timeout_at_ms = 2, deadline_at_ms = 3"),
            Some(3)
        );
        for over in ["terminal", "cancelled"] {
            assert_eq!(
                due(&format!("lifecycle_phase = '{over}', deadline_at_ms = 3, {delayed}")),
                None
            );
        }
    }

    #[test]
    fn hot_questions_are_answered_by_their_index_without_a_sort() {
        let conn = database();
        for (sql, expected) in [
            (CLAIM, "SEARCH ff_exec_core USING INDEX ff_exec_core_claimable (lane_id=? AND gate_key=?)"),
            (
                "SELECT min(gate_key) FROM ff_exec_core INDEXED BY ff_exec_core_claimable
                 WHERE claimable = 1 AND lane_id = ? AND gate_key > ?",
                "SEARCH ff_exec_core USING INDEX ff_exec_core_claimable (lane_id=? AND gate_key>?)",
            ),
            (
                "SELECT partition_key, execution_id FROM ff_exec_core INDEXED BY ff_exec_core_due
                 WHERE due_at_ms <= ? ORDER BY due_at_ms LIMIT ?",
                "SEARCH ff_exec_core USING INDEX ff_exec_core_due (due_at_ms<?)",
            ),
            (
                "SELECT execution_id FROM ff_exec_core INDEXED BY ff_exec_core_unsuccessful
                 WHERE (public_state = 'failed' OR public_state = 'cancelled' OR public_state = 'expired' OR public_state = 'skipped')
                    AND public_state = ? AND partition_key = ? AND execution_id > ? ORDER BY execution_id LIMIT ?",
                "SEARCH ff_exec_core USING COVERING INDEX ff_exec_core_unsuccessful \
                 (public_state=? AND partition_key=? AND execution_id>?)",
            ),
            (
                "SELECT execution_id FROM ff_exec_core INDEXED BY ff_exec_core_ended
                 WHERE flow_id IS NULL AND terminal_at_ms < ? ORDER BY terminal_at_ms LIMIT ?",
                "SEARCH ff_exec_core USING INDEX ff_exec_core_ended (terminal_at_ms<?)",
            ),
            (
                "SELECT execution_id FROM ff_attempt INDEXED BY ff_attempt_lease_expiry
                 WHERE lease_expires_at_ms <= ? ORDER BY lease_expires_at_ms LIMIT ?",
                "SEARCH ff_attempt USING COVERING INDEX ff_attempt_lease_expiry (lease_expires_at_ms<?)",
            ),
            (
                "SELECT event_id FROM ff_completion_event INDEXED BY ff_completion_event_unresolved
                 WHERE dispatched_at_ms IS NULL AND flow_id IS NOT NULL ORDER BY event_id LIMIT ?",
                "SCAN ff_completion_event USING INDEX ff_completion_event_unresolved",
            ),
            (
                "SELECT gate_key FROM ff_exec_core
                 WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use) AND execution_id = ?",
                "SEARCH ff_exec_core USING INDEX sqlite_autoindex_ff_exec_core_1 (partition_key=? AND execution_id=?)",
            ),
        ] {
            let plan = plan(&conn, sql);
            assert!(plan.starts_with(expected), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    /// The plan does not say "covering", because the query names a generated column; the program never reads the row.
    #[test]
    fn a_claim_reads_the_index_alone() {
        let conn = database();
        let mut statement = conn.prepare(&format!("EXPLAIN {CLAIM}")).unwrap();
        let steps: Vec<(String, i64)> = statement
            .query_map(params!["lane", "", 1], |row| Ok((row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        const TABLE_CURSOR: i64 = 0;
        assert!(steps.contains(&("OpenRead".to_owned(), TABLE_CURSOR)));
        assert!(!steps.contains(&("Column".to_owned(), TABLE_CURSOR)), "{steps:?}");
    }

    #[test]
    fn a_failed_migration_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        // The disk is full in the middle of the first file.
        conn.pragma_update(None, "max_page_count", 20).unwrap();
        let error = migrate(&mut conn).unwrap_err();
        assert!(error.to_string().contains("free space"), "{error}");
        assert_eq!(look(&conn).unwrap(), Found::Nothing);
    }
}
