//! Loading a footprint: the rows a command decides on.

pub(crate) mod budget;
mod flow;
mod stream;
pub(crate) mod suspension;

use ff_core::EngineError;
use ff_core::machine::limits::LANE_GATE_KEYS_MAX;
use ff_core::machine::rows::{Attempt, CreateDedup, Execution, Grant, GrantKind};
use ff_core::machine::{Footprint, Snapshot};
use ff_core::types::{
    AttemptIndex, DurationMs, ExecutionId, LaneId, Namespace, TimestampMs, WorkerId,
    WorkerInstanceId,
};
use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use crate::error::{Doing as _, corrupt};
use crate::read::{lane, worker};
use crate::row::{self, Columns, Of, execution_id, unsigned};
use crate::session::{SqliteSession, prepared};
use crate::statement::{self, Named};

pub(crate) fn snapshot(
    conn: &SqliteSession<'_>,
    footprint: &Footprint,
) -> Result<Snapshot, EngineError> {
    let mut seen = Snapshot::default();
    if let Some(id) = &footprint.execution {
        if let Some((execution, current)) = execution(conn, id)? {
            if let Some(index) = footprint.attempt
                && index != execution.attempt_index
            {
                seen.named = attempt(conn, id, index)?;
            }
            if footprint.result && execution.is_terminal() {
                seen.result = bytes(conn, statement::EXECUTION_RESULT, id)?;
            }
            if footprint.payload {
                seen.payload = bytes(conn, statement::EXECUTION_PAYLOAD, id)?;
            }
            seen.current = current;
            seen.execution = Some(execution);
        }
        seen.stream = stream::seen(conn, id, &footprint.stream)?;
        if let Some(kind) = footprint.grant {
            seen.grant = grant(conn, id, kind)?;
        }
    }
    seen.suspension = suspension::seen(conn, footprint, seen.execution.as_ref())?;
    let (subject, loaded) = (footprint.execution.as_ref(), seen.execution.as_ref());
    seen.flow = flow::seen(conn, &footprint.flow, subject, loaded)?;
    seen.worker = worker::seen(conn, &footprint.worker)?;
    if let Some((namespace, key)) = &footprint.dedup {
        seen.dedup = dedup(conn, namespace, key)?;
    }
    if let Some(id) = &footprint.lane {
        seen.lane = lane::lane(conn, id)?;
    }
    if let Some((lane, gate_key)) = &footprint.gate {
        seen.gate_known = lane::has_gate_key(conn, lane, gate_key)?;
        // Their number is asked for only when one more would come.
        seen.gate_keys = if seen.gate_known {
            1
        } else {
            lane::gate_keys(conn, lane, LANE_GATE_KEYS_MAX)?.len()
        };
    }
    seen.budget = budget::seen(conn, &footprint.budget, seen.execution.as_ref())?;
    Ok(seen)
}

/// An execution with its current attempt.
pub(crate) fn execution(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
) -> Result<Option<(Execution, Option<Attempt>)>, EngineError> {
    let what = "load an execution";
    let mut statement = prepared(conn, statement::EXECUTION_LOAD)?;
    let mut rows = statement.query(params![id.partition(), id.uuid().into_bytes()]).doing(what)?;
    let Some(row) = rows.next().doing(what)? else { return Ok(None) };
    let (loaded, current) = row::execution(row, || highest_epoch(conn, id))?;
    if loaded.is_plain {
        conn.note_plain(&loaded.execution);
    }
    if loaded.has_waits == Some(false) {
        conn.note_no_waits(id);
    }
    Ok(Some(loaded.complete(current)))
}

/// Only tools leave attempts of an execution that the engine has not claimed.
fn highest_epoch(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<i64, EngineError> {
    let values = params![id.partition(), id.uuid().into_bytes()];
    let highest: Option<i64> = prepared(conn, statement::ATTEMPT_HIGHEST_EPOCH)?
        .query_row(values, |row| row.get(0))
        .doing("find the highest epoch of an execution")?;
    Ok(highest.unwrap_or(0))
}

pub(crate) fn attempt(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    index: AttemptIndex,
) -> Result<Option<Attempt>, EngineError> {
    Ok(attempts(conn, id, index, index)?.pop())
}

/// The attempts `first` to `last` of an execution.
pub(crate) fn attempts(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    first: AttemptIndex,
    last: AttemptIndex,
) -> Result<Vec<Attempt>, EngineError> {
    let mut statement = prepared(conn, statement::ATTEMPT_LOAD)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes(), first.0, last.0])
        .doing("load attempts")?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing("load attempts")? {
        found.extend(row::attempt(id, &mut Columns::of(row))?);
    }
    Ok(found)
}

/// Stored bytes; empty ones are none.
fn bytes(
    conn: &SqliteSession<'_>,
    named: Named,
    id: &ExecutionId,
) -> Result<Option<Vec<u8>>, EngineError> {
    let mut statement = prepared(conn, named)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes()])
        .doing("load bytes of an execution")?;
    let Some(row) = rows.next().doing("load bytes of an execution")? else { return Ok(None) };
    // Tools may have bound text where the column says bytes.
    let value = row.get_ref(0).doing("load bytes of an execution")?;
    let stored = value.as_bytes_or_null().ok().flatten().filter(|bytes| !bytes.is_empty());
    Ok(stored.map(<[u8]>::to_vec))
}

fn grant(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    kind: GrantKind,
) -> Result<Option<Grant>, EngineError> {
    const TABLE: &str = "ff_claim_grant";
    let mut statement = prepared(conn, statement::GRANT_LOAD)?;
    let mut rows = statement
        .query(params![id.partition(), id.uuid().into_bytes(), kind.as_str()])
        .doing("load a grant")?;
    let Some(row) = rows.next().doing("load a grant")? else { return Ok(None) };
    let mut columns = Columns::of(row);
    let grant_id = Uuid::from_slice(columns.bytes()?.unwrap_or_default())
        .map_err(|error| corrupt(TABLE, "grant_id", Of(id), error))?;
    let worker_id = WorkerId::new(columns.text()?);
    let worker_instance_id = WorkerInstanceId::new(columns.text()?);
    let lane = LaneId::new(columns.text()?);
    let capability_hash = columns.next()?;
    let worker_capabilities = serde_json::from_str(columns.text()?)
        .map_err(|error| corrupt(TABLE, "worker_capabilities", Of(id), error))?;
    Ok(Some(Grant {
        grant_id,
        execution_id: id.clone(),
        kind,
        worker_id,
        worker_instance_id,
        lane,
        capability_hash,
        worker_capabilities,
        route_snapshot_json: columns.next()?,
        admission_summary: columns.next()?,
        ttl: DurationMs(unsigned(TABLE, "grant_ttl_ms", id, columns.next()?)?),
        issued_at: TimestampMs(columns.next()?),
        expires_at: TimestampMs(columns.next()?),
    }))
}

fn dedup(
    conn: &SqliteSession<'_>,
    namespace: &Namespace,
    key: &str,
) -> Result<Option<CreateDedup>, EngineError> {
    const TABLE: &str = "ff_create_dedup";
    let mut statement = prepared(conn, statement::CREATE_DEDUP_LOAD)?;
    let found: Option<([u8; 32], i64, Vec<u8>, i64)> = statement
        .query_row(params![namespace.as_str(), key], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
        .doing("load an idempotency key")?;
    let Some((digest, partition, uuid, expires_at)) = found else { return Ok(None) };
    Ok(Some(CreateDedup {
        namespace: namespace.clone(),
        key: key.to_owned(),
        digest,
        execution_id: execution_id(TABLE, partition, &uuid)?,
        expires_at: TimestampMs(expires_at),
    }))
}

/// Rows that SQL from outside wrote, with the contract's columns only.
#[cfg(test)]
mod tests {
    use ff_core::engine_error::ValidationKind;
    use ff_core::machine::rows::AttemptOutcome;
    use ff_core::state::{AttemptState, AttemptType, PublicState, TerminalOutcome};
    use ff_core::store::Reader as _;
    use ff_core::types::{AttemptId, LeaseEpoch, LeaseId};

    use rusqlite::Connection;

    use super::*;
    use crate::testing::database;

    const UUID: Uuid = Uuid::from_u128(7);

    fn id() -> ExecutionId {
        ExecutionId::from_parts(0, UUID)
    }

    /// The columns of the state in the order phase, ownership, eligibility, public, attempt.
    fn insert(conn: &Connection, state: [&str; 5], raw_fields: &str) {
        let [phase, ownership, eligibility, public, attempt] = state;
        conn.execute(
            "INSERT INTO ff_exec_core (
                partition_key, execution_id, lane_id, attempt_index, lifecycle_phase, ownership_state,
                eligibility_state, public_state, attempt_state, priority, created_at_ms, raw_fields
            )
            VALUES (0, ?1, 'default', 0, ?2, ?3, ?4, ?5, ?6, 0, 1000, ?7)",
            params![UUID.as_bytes(), phase, ownership, eligibility, public, attempt, raw_fields],
        )
        .unwrap();
    }

    fn insert_attempt(conn: &Connection, index: i64, epoch: i64, outcome: Option<&str>) {
        conn.execute(
            "INSERT INTO ff_attempt (partition_key, execution_id, attempt_index, lease_epoch, outcome)
            VALUES (0, ?1, ?2, ?3, ?4)",
            params![UUID.as_bytes(), index, epoch, outcome],
        )
        .unwrap();
    }

    fn loaded(conn: &Connection) -> Execution {
        execution(&SqliteSession::new(conn), &id()).unwrap().unwrap().0
    }

    #[test]
    fn a_bare_row_in_the_older_spellings_is_claimable() {
        for [phase, ownership, eligibility, public, attempt] in [
            ["submitted", "unowned", "eligible_now", "waiting", "pending"],
            ["runnable", "unowned", "eligible_now", "pending", "initial"],
            ["pending", "released", "pending_claim", "waiting", "pending_claim"],
            ["eligible", "unowned", "eligible_now", "running", "pending_first_attempt"],
        ] {
            let conn = database();
            insert(&conn, [phase, ownership, eligibility, public, attempt], "{}");

            let row = loaded(&conn);

            assert!(row.is_claimable());
            assert_eq!(row.public_state(), PublicState::Waiting);
            assert_eq!(row.state.attempt_state, AttemptState::PendingFirstAttempt);
            assert_eq!((row.version, row.attempt_count, row.epoch), (0, 0, LeaseEpoch(0)));
            assert_eq!((row.namespace.as_str(), row.gate_key.as_str()), ("", ""));
            assert_eq!(row.mutated_at, row.created_at);
            let mut session = SqliteSession::new(&conn);
            let lane = LaneId::new("default");
            assert_eq!(session.gate_keys(&lane, 9).unwrap(), [""]);
            let line = session.candidates(&lane, "", None, 9).unwrap();
            assert_eq!(line.into_iter().map(|next| next.execution_id).collect::<Vec<_>>(), [id()]);
        }
    }

    #[test]
    fn attempts_written_by_hand_raise_the_count_and_the_epoch() {
        let conn = database();
        insert(&conn, ["active", "leased", "not_applicable", "running", "running"], "{}");
        insert_attempt(&conn, 0, 9, Some("retry"));
        insert_attempt(&conn, 2, 4, None);

        let row = loaded(&conn);

        assert_eq!((row.attempt_count, row.epoch), (3, LeaseEpoch(9)));
        assert!(row.is_leased());
    }

    #[test]
    fn the_ids_of_an_attempt_may_stand_in_either_side_bag() {
        let text = |number| Uuid::from_u128(number).to_string();
        let in_execution =
            format!(r#"{{"current_attempt_id": "{}", "current_lease_id": "no id"}}"#, text(1));
        let in_attempt = format!(
            r#"{{"attempt_id": "{}", "lease_id": "{}", "attempt_type": "retry"}}"#,
            text(2),
            text(3)
        );
        let conn = database();
        insert(&conn, ["active", "leased", "not_applicable", "active", "running"], &in_execution);
        insert_attempt(&conn, 0, 1, None);

        let (_, attempt) = execution(&SqliteSession::new(&conn), &id()).unwrap().unwrap();
        let attempt = attempt.unwrap();
        assert_eq!(attempt.attempt_id, Some(AttemptId::from_uuid(Uuid::from_u128(1))));
        assert_eq!((attempt.lease_id, attempt.kind), (None, AttemptType::Initial));

        conn.execute("UPDATE ff_attempt SET raw_fields = ?1", [in_attempt]).unwrap();
        let (_, attempt) = execution(&SqliteSession::new(&conn), &id()).unwrap().unwrap();
        let attempt = attempt.unwrap();
        assert_eq!(attempt.attempt_id, Some(AttemptId::from_uuid(Uuid::from_u128(2))));
        assert_eq!(attempt.lease_id, Some(LeaseId::from_uuid(Uuid::from_u128(3))));
        assert_eq!(attempt.kind, AttemptType::Retry);
    }

    #[test]
    fn how_an_execution_ended_is_found_wherever_it_is_told() {
        use TerminalOutcome::{Cancelled, Expired, Failed, Skipped, Success};
        for (phase, attempt, raw_fields, public, outcome) in [
            ("cancelled", Some("success"), "{}", "completed", Cancelled),
            ("terminal", Some("success"), r#"{"terminal_outcome": "failed"}"#, "failed", Success),
            ("terminal", Some("failure"), "{}", "completed", Failed),
            (
                "terminal",
                Some("interrupted"),
                r#"{"terminal_outcome": "skipped"}"#,
                "failed",
                Skipped,
            ),
            ("terminal", None, r#"{"terminal_outcome": "none"}"#, "expired", Expired),
            ("terminal", None, "{}", "running", Failed),
        ] {
            let conn = database();
            insert(&conn, [phase, "unowned", "cancelled", public, "cancelled"], raw_fields);
            if attempt.is_some() {
                insert_attempt(&conn, 0, 1, attempt);
            }

            let row = loaded(&conn);

            assert!(row.is_terminal());
            assert_eq!(row.outcome(), outcome, "{phase} {attempt:?} {raw_fields} {public}");
            assert!(row.state.is_consistent());
            conn.execute("UPDATE ff_exec_core SET terminal_outcome = 'expired'", []).unwrap();
            assert_eq!(loaded(&conn).outcome(), Expired);
        }
    }

    #[test]
    fn json_written_by_hand_is_read_with_patience() {
        let conn = database();
        let raw_fields = r#"{"retry_count": 2, "replay_count": "3", "progress_pct": 50.0,
            "last_mutation_at": "2000", "namespace": null, "tags": {"n": 1, "yes": true, "none": null},
            "delay_until": "9000", "current_attempt_id": 17, "mine": {"deep": [{}]}}"#;
        let state =
            ["runnable", "unowned", "not_eligible_until_time", "delayed", "pending_retry_attempt"];
        insert(&conn, state, raw_fields);

        let row = loaded(&conn);

        assert_eq!((row.retry_count, row.replay_count, row.progress_pct), (2, 3, Some(50)));
        assert_eq!(row.mutated_at, TimestampMs(2000));
        assert_eq!(row.eligible_at, Some(TimestampMs(9000)));
        assert_eq!(row.tags, [("n".into(), "1".into()), ("yes".into(), "true".into())].into());
        let due = SqliteSession::new(&conn).due(TimestampMs(9000), 9).unwrap();
        assert_eq!(due, [id()]);
    }

    #[test]
    fn an_unknown_value_is_corruption_that_names_table_column_value_and_execution() {
        for (column, value) in [
            ("lifecycle_phase", "sleeping"),
            ("ownership_state", "mine"),
            ("eligibility_state", "perhaps"),
            ("attempt_state", "tried"),
            ("blocking_reason", "waiting_for_godot"),
            ("policy", "{"),
            ("raw_fields", "not json"),
            ("raw_fields", r#"{"tags": {"a": {}}}"#),
        ] {
            let conn = database();
            insert(&conn, ["runnable", "unowned", "eligible_now", "waiting", "initial"], "{}");
            conn.execute(&format!("UPDATE ff_exec_core SET {column} = ?1"), [value]).unwrap();

            let error = execution(&SqliteSession::new(&conn), &id()).unwrap_err();

            let EngineError::Validation { kind, detail } = error else { panic!("{error:?}") };
            assert_eq!(kind, ValidationKind::Corruption);
            assert!(detail.starts_with(&format!("ff_exec_core.{column}: '")), "{detail}");
            assert!(detail.contains(id().as_str()), "{detail}");
        }
    }

    #[test]
    fn an_attempt_s_unknown_outcome_is_corruption() {
        let conn = database();
        insert(&conn, ["active", "leased", "not_applicable", "active", "running"], "{}");
        insert_attempt(&conn, 0, 1, Some("shrug"));

        let error = execution(&SqliteSession::new(&conn), &id()).unwrap_err().to_string();

        assert!(error.contains("ff_attempt.outcome: 'shrug'"), "{error}");
        conn.execute("UPDATE ff_attempt SET outcome = 'waiting_children'", []).unwrap();
        let (_, current) = execution(&SqliteSession::new(&conn), &id()).unwrap().unwrap();
        assert_eq!(current.unwrap().outcome, Some(AttemptOutcome::Interrupted));
    }
}
