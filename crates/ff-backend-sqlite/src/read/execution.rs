//! Executions: what is due, what ended, and walks over them.

use std::collections::HashSet;

use ff_core::EngineError;
use ff_core::engine_error::ValidationKind;
use ff_core::machine::rows::{Attempt, Execution};
use ff_core::state::PublicState;
use ff_core::store::{Agenda, Scan};
use ff_core::types::{AttemptIndex, ExecutionId, TimestampMs};
use rusqlite::params;
use uuid::Uuid;

use super::{next_proposed, page};
use crate::error::Doing as _;
use crate::row::Columns;
use crate::session::{SqliteSession, prepared};
use crate::{load, statement};

pub(crate) fn due(
    conn: &SqliteSession<'_>,
    now: TimestampMs,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "list what is due";
    let mut statement = prepared(conn, statement::EXECUTION_DUE)?;
    let mut rows = statement.query(params![now.0]).doing(what)?;
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    while found.len() < limit
        && let Some(row) = rows.next().doing(what)?
    {
        let mut columns = Columns::of(row);
        let _at: i64 = columns.next()?;
        if let Some(id) = next_proposed(&mut columns)?
            && known.insert((id.partition(), id.uuid()))
        {
            found.push(id);
        }
    }
    Ok(found)
}

pub(crate) fn agenda(conn: &SqliteSession<'_>, now: TimestampMs) -> Result<Agenda, EngineError> {
    prepared(conn, statement::AGENDA_LOAD)?
        .query_row(params![now.0], |row| Ok(Agenda { due: row.get(0)?, flow_work: row.get(1)? }))
        .doing("see what stands in front of a claim")
}

pub(crate) fn next_due(conn: &SqliteSession<'_>) -> Result<Option<TimestampMs>, EngineError> {
    prepared(conn, statement::EXECUTION_NEXT_DUE)?
        .query_row([], |row| row.get::<_, Option<i64>>(0))
        .doing("find the next due instant")
        .map(|at| at.map(TimestampMs))
}

pub(crate) fn ended(
    conn: &SqliteSession<'_>,
    before: TimestampMs,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "list what ended";
    let mut found: Vec<(i64, ExecutionId)> = Vec::new();
    for named in [statement::EXECUTION_ENDED, statement::EXECUTION_ENDED_MEMBERS] {
        let mut statement = prepared(conn, named)?;
        let mut rows = statement.query(params![before.0, page(limit)]).doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            let mut columns = Columns::of(row);
            if let Some(id) = next_proposed(&mut columns)? {
                found.push((columns.next()?, id));
            }
        }
    }
    found.sort_by_key(|(at, id)| (*at, id.partition(), id.uuid()));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

pub(crate) fn attempts(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
) -> Result<Vec<Attempt>, EngineError> {
    let mut attempts = load::attempts(conn, id, AttemptIndex(0), AttemptIndex(u32::MAX))?;
    // The current one may have its ids from the execution.
    if attempts.iter().any(|attempt| attempt.attempt_id.is_none() || attempt.lease_id.is_none())
        && let Some((_, Some(current))) = load::execution(conn, id)?
        && let Some(found) = attempts.iter_mut().find(|attempt| attempt.index == current.index)
    {
        *found = current;
    }
    Ok(attempts)
}

/// Walks an index for ids and loads each execution by its key.
pub(crate) fn scan(
    conn: &SqliteSession<'_>,
    scan: &Scan,
    limit: usize,
) -> Result<Vec<(Execution, Option<Attempt>)>, EngineError> {
    let what = "walk executions";
    // Exclusive ends. No UUID is as small as the empty blob.
    let (mut low, mut high) = match scan.partition {
        Some(partition) => {
            ((i64::from(partition), Vec::new()), (i64::from(partition) + 1, Vec::new()))
        }
        None => ((i64::MIN, Vec::new()), (i64::MAX, Vec::new())),
    };
    if let Some(after) = &scan.after {
        let place = (i64::from(after.partition()), after.uuid().as_bytes().to_vec());
        if scan.descending {
            high = high.min(place);
        } else {
            low = low.max(place);
        }
    }
    let named = match (scan.state, scan.descending) {
        (None, false) => statement::EXECUTION_SCAN_ASCENDING,
        (None, true) => statement::EXECUTION_SCAN_DESCENDING,
        (Some(_), false) => statement::EXECUTION_SCAN_STATE_ASCENDING,
        (Some(_), true) => statement::EXECUTION_SCAN_STATE_DESCENDING,
    };
    let mut statement = prepared(conn, named)?;
    let mut rows = match scan.state.map(PublicState::as_str) {
        None => statement.query(params![low.0, low.1, high.0, high.1]),
        Some(state) => statement.query(params![low.0, low.1, high.0, high.1, state]),
    }
    .doing(what)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next().doing(what)?
    {
        let Some(id) = next_proposed(&mut Columns::of(row))? else { continue };
        let loaded = match load::execution(conn, &id) {
            Ok(loaded) => loaded,
            // One damaged row must not hide the others; an operation on it by id tells what is wrong.
            Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
                tracing::error!(%detail, "an execution is left out of a list because its row cannot be read");
                continue;
            }
            Err(error) => return Err(error),
        };
        // The stored public state leads to the row; what counts is the one derived from the other columns.
        if let Some((execution, current)) = loaded
            && scan.state.is_none_or(|state| state == execution.public_state())
        {
            found.push((execution, current));
        }
    }
    Ok(found)
}

pub(crate) fn uuid_range(
    conn: &SqliteSession<'_>,
    low: Uuid,
    high: Uuid,
    limit: usize,
) -> Result<Vec<ExecutionId>, EngineError> {
    let what = "find executions by a part of their ids";
    let mut found = Vec::new();
    let mut partitions = prepared(conn, statement::EXECUTION_PARTITIONS)?;
    let mut partitions = partitions.query([]).doing(what)?;
    while let Some(row) = partitions.next().doing(what)? {
        let partition = Columns::of(row).next::<i64>()?;
        // No id of the engine leads into such a partition.
        let Ok(partition) = u16::try_from(partition) else { continue };
        let mut statement = prepared(conn, statement::EXECUTION_IN_UUID_RANGE)?;
        let mut rows = statement
            .query(params![partition, low.as_bytes(), high.as_bytes(), page(limit)])
            .doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            let uuid = Columns::of(row).bytes()?.and_then(|bytes| Uuid::from_slice(bytes).ok());
            found.extend(uuid.map(|uuid| (uuid, partition)));
        }
    }
    found.sort_unstable();
    found.truncate(limit);
    Ok(found
        .into_iter()
        .map(|(uuid, partition)| ExecutionId::from_parts(partition, uuid))
        .collect())
}

/// What an execution costs that uses no topic, in statements: one that is here has earned its place.
#[cfg(test)]
mod tests {
    use ff_core::machine::execution::Complete;
    use ff_core::machine::{Context, Fence, Limits, drive};
    use ff_core::store::{FlowReader as _, Reader as _};
    use rusqlite::Connection;

    use super::*;
    use crate::session::Prepares as _;
    use crate::testing::{NOW, claim_one, create, database};

    /// The statements used since this was last asked.
    fn used(session: &SqliteSession<'_>) -> Vec<&'static str> {
        let places = std::mem::take(&mut *session.used.borrow_mut());
        places.into_iter().map(|place| statement::ALL[place].0).collect()
    }

    /// Creates, claims and completes one execution; answers what each took.
    fn lifecycle(session: &mut SqliteSession<'_>, number: u128) -> [Vec<&'static str>; 3] {
        let limits = Limits::default();
        let mut seed = number.try_into().unwrap();
        let mut context = || {
            seed += 1;
            Context::new(NOW, seed, &limits)
        };
        session.begin_command();
        let _ = drive::run(session, &create(number), &mut context()).unwrap();
        let created = used(session);
        session.begin_command();
        let step = drive::claim(session, &claim_one(), &mut context()).unwrap();
        let claimed = used(session);
        let [owned] = &step.claimed[..] else { panic!("one is claimed") };
        let complete = Complete {
            execution_id: owned.execution.id.clone(),
            fence: Fence::of_handle(&owned.handle_payload()),
            result: None,
        };
        session.begin_command();
        let _ = drive::run(session, &complete, &mut context()).unwrap();
        [created, claimed, used(session)]
    }

    #[test]
    fn a_plain_execution_uses_the_statements_of_no_topic() {
        let conn = database();
        let mut session = SqliteSession::new(&conn);
        let _: [_; 3] = lifecycle(&mut session, 100);

        let [created, claimed, completed] = lifecycle(&mut session, 200);

        assert_eq!(
            created,
            ["execution/load", "lane/register", "execution/create", "transition/add"]
        );
        assert_eq!(
            claimed,
            [
                "agenda/load",
                "lane/standing",
                "candidate/below_priority",
                "execution/load",
                "attempt/put",
                "execution/put",
                "lease_event/add",
                "transition/add",
            ]
        );
        assert_eq!(
            completed,
            [
                "execution/load",
                "attempt/put",
                "execution/put",
                "lease_event/add",
                "transition/add",
                "completion_event/add",
            ]
        );
    }

    #[test]
    fn the_agenda_finds_what_the_lists_find() {
        let conn = database();
        let mut session = SqliteSession::new(&conn);
        let id = [7_u8; 16];
        let one = |sql: &str| conn.execute(sql, [&id[..]]).unwrap();
        let insert = [
            "INSERT INTO ff_pending_cancel_groups VALUES (0, ?1, ?1, 1)",
            "INSERT INTO ff_cancel_backlog (partition_key, flow_id, requested_at_ms, cancellation_policy)
             VALUES (0, ?1, 1, 'cancel_all')",
            "INSERT INTO ff_completion_event (partition_key, execution_id, flow_id, outcome, occurred_at_ms)
             VALUES (0, ?1, ?1, 'success', 1)",
        ];
        for (insert, delete) in
            insert.iter().zip(["pending_cancel_groups", "cancel_backlog", "completion_event"])
        {
            assert_eq!(session.agenda(NOW).unwrap(), Agenda::default());
            assert!(!session.flow_work().unwrap().is_any());
            one(insert);
            assert_eq!(
                session.agenda(NOW).unwrap(),
                Agenda { due: false, flow_work: true },
                "{insert}"
            );
            assert!(session.flow_work().unwrap().is_any(), "{insert}");
            one(&format!("DELETE FROM ff_{delete} WHERE flow_id = ?1"));
        }
    }

    const FLOW: &str = "x'00000000000000000000000000000001'";

    /// Stores `count` executions in a flow, or in none, that ended from the instant `first` on.
    fn add_ended(conn: &Connection, flow: &str, first: u32, count: u32) {
        conn.execute_batch(&format!(
            "WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
             INSERT INTO ff_exec_core (partition_key, execution_id, lane_id, lifecycle_phase, ownership_state,
                eligibility_state, public_state, attempt_state, created_at_ms, flow_id, terminal_at_ms)
             SELECT 0, randomblob(16), 'lane', 'terminal', 'unowned', 'not_applicable', 'completed',
                'attempt_terminal', 5, {flow}, {first} + i
             FROM n"
        ))
        .unwrap();
    }

    fn put_flow(conn: &Connection, flow: &str, ended_at: &str) {
        conn.execute_batch(&format!(
            "INSERT INTO ff_flow_core (partition_key, flow_id, public_flow_state, created_at_ms, terminal_at_ms)
             VALUES (0, {flow}, 'any', 1, {ended_at})
             ON CONFLICT DO UPDATE SET terminal_at_ms = excluded.terminal_at_ms"
        ))
        .unwrap();
    }

    /// What retention takes of executions that ended by the instant 1,000, and what the look for it costs.
    fn looked(conn: &Connection) -> (Vec<ExecutionId>, i64) {
        let session = SqliteSession::new(conn);
        let found = ended(&session, TimestampMs(1_000), 10).unwrap();
        (found, session.steps())
    }

    fn forget_members(conn: &Connection, flow: &str) {
        conn.execute_batch(&format!("DELETE FROM ff_exec_core WHERE flow_id = {flow}")).unwrap();
    }

    #[test]
    fn a_look_for_what_ended_costs_the_same_beside_10_000_members_of_an_open_flow() {
        let conn = database();
        put_flow(&conn, FLOW, "NULL");
        add_ended(&conn, FLOW, 1, 1);
        let (found, few) = looked(&conn);
        assert_eq!(found, []);

        add_ended(&conn, FLOW, 1, 10_000);
        let (found, many) = looked(&conn);

        assert_eq!(found, []);
        assert!(few > 0);
        assert_eq!(few, many);
    }

    #[test]
    fn a_look_for_what_ended_costs_the_same_beside_flows_that_are_empty_or_ended_lately() {
        let conn = database();
        put_flow(&conn, FLOW, "NULL");
        add_ended(&conn, FLOW, 1_001, 1);
        put_flow(&conn, FLOW, "2000");
        let (_, before) = looked(&conn);

        for number in 2..500 {
            let flow = format!("x'{number:032x}'");
            put_flow(&conn, &flow, "NULL");
            add_ended(&conn, &flow, 1_001, 1);
            put_flow(&conn, &flow, "2000");
        }
        for number in 500..1_000 {
            let flow = format!("x'{number:032x}'");
            put_flow(&conn, &flow, "NULL");
            add_ended(&conn, &flow, 1, 2);
            put_flow(&conn, &flow, "5");
            forget_members(&conn, &flow);
            put_flow(&conn, &format!("x'{:032x}'", number + 1_000), "NULL");
        }

        assert_eq!(looked(&conn), (Vec::new(), before));
    }

    #[test]
    fn members_go_once_their_flow_has_ended_and_none_goes_on() {
        let conn = database();
        put_flow(&conn, FLOW, "NULL");
        add_ended(&conn, FLOW, 999, 3);
        add_ended(&conn, "NULL", 998, 1);
        assert_eq!(looked(&conn).0.len(), 1);

        put_flow(&conn, FLOW, "5000");
        let (found, _) = looked(&conn);
        assert_eq!(found.len(), 3, "the oldest two of the flow, behind the one of none");
        let oldest = "SELECT terminal_at_ms = 998 FROM ff_exec_core WHERE execution_id = ?1";
        let is_first: bool =
            conn.query_row(oldest, [found[0].uuid().as_bytes()], |row| row.get(0)).unwrap();
        assert!(is_first);

        conn.execute_batch(
            "UPDATE ff_exec_core SET lifecycle_phase = 'active', terminal_at_ms = NULL WHERE terminal_at_ms = 1001",
        )
        .unwrap();
        assert_eq!(looked(&conn).0.len(), 1, "it goes on in a flow that was cancelled");

        conn.execute_batch(
            "UPDATE ff_exec_core SET lifecycle_phase = 'terminal', terminal_at_ms = 1000 WHERE terminal_at_ms IS NULL;
             DELETE FROM ff_exec_core WHERE terminal_at_ms = 999",
        )
        .unwrap();
        assert_eq!(looked(&conn).0.len(), 3);

        put_flow(&conn, FLOW, "NULL");
        assert_eq!(looked(&conn).0.len(), 1, "a replay has opened it again");
    }

    #[test]
    fn taking_a_member_costs_the_same_beside_10_000_others() {
        let conn = database();
        put_flow(&conn, FLOW, "NULL");
        add_ended(&conn, FLOW, 1, 10_000);
        put_flow(&conn, FLOW, "20000");
        let session = SqliteSession::new(&conn);
        let mut steps = Vec::new();
        for _ in 0..10 {
            let first = ended(&session, TimestampMs(i64::MAX), 1).unwrap();
            let before = session.steps();
            let uuid = first[0].uuid();
            session.run(statement::EXECUTION_FORGET, params![0, uuid.as_bytes()]).unwrap();
            steps.push(session.steps() - before);
        }

        assert!(steps[9] < 1_000, "{steps:?}");
    }
}
