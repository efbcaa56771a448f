//! The reads of the store, by subject.

mod budget;
pub(crate) mod event;
pub(crate) mod execution;
pub(crate) mod flow;
pub(crate) mod lane;
pub(crate) mod lease;
pub(crate) mod stream;
mod suspension;
pub(crate) mod worker;

use ff_core::EngineError;
use ff_core::types::ExecutionId;

use crate::row::{Columns, execution_id};

/// A limit as SQLite takes it; it knows no larger one.
pub(crate) fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The id in the next two columns.
fn next_id(table: &str, columns: &mut Columns<'_>) -> Result<ExecutionId, EngineError> {
    let partition = columns.next()?;
    execution_id(table, partition, columns.bytes()?.unwrap_or_default())
}

/// The id in the next two columns; `None` for one that no execution of the engine has. An index that proposes
/// executions passes over it, so that a row nobody can address does not stop the line.
fn next_proposed(columns: &mut Columns<'_>) -> Result<Option<ExecutionId>, EngineError> {
    let partition = columns.next()?;
    let Ok(Some(uuid)) = columns.bytes() else { return Ok(None) };
    Ok(execution_id("ff_exec_core", partition, uuid).ok())
}

#[cfg(test)]
mod tests {
    use ff_core::state::PublicState;
    use ff_core::store::{Reader as _, Scan, Topic};
    use ff_core::types::{LaneId, Namespace, TimestampMs};
    use rusqlite::{Connection, params};
    use uuid::Uuid;

    use super::*;
    use crate::session::SqliteSession;
    use crate::testing::database;

    fn id(partition: u16, uuid: u128) -> ExecutionId {
        ExecutionId::from_parts(partition, Uuid::from_u128(uuid))
    }

    fn insert(conn: &Connection, id: &ExecutionId, set: &str) {
        conn.execute(
            "INSERT INTO ff_exec_core (
                partition_key, execution_id, lane_id, lifecycle_phase, ownership_state,
                eligibility_state, public_state, attempt_state, created_at_ms
            )
            VALUES (?1, ?2, 'lane', 'runnable', 'unowned', 'eligible_now', 'waiting', 'initial', 5)",
            params![id.partition(), id.uuid().as_bytes()],
        )
        .unwrap();
        conn.execute(
            &format!(
                "UPDATE ff_exec_core SET {set} WHERE partition_key = ?1 AND execution_id = ?2"
            ),
            params![id.partition(), id.uuid().as_bytes()],
        )
        .unwrap();
    }

    fn insert_lease(conn: &Connection, id: &ExecutionId, column: &str, at: i64) {
        conn.execute(
            &format!(
                "INSERT INTO ff_attempt (partition_key, execution_id, attempt_index, {column})
                VALUES (?1, ?2, 0, ?3)"
            ),
            params![id.partition(), id.uuid().as_bytes(), at],
        )
        .unwrap();
    }

    const LEASED: &str = "lifecycle_phase = 'active', ownership_state = 'leased', \
        eligibility_state = 'not_applicable', attempt_state = 'running'";
    const LAPSED: &str = "lifecycle_phase = 'active', ownership_state = 'lease_expired_reclaimable', \
        eligibility_state = 'not_applicable', attempt_state = 'attempt_interrupted'";

    #[test]
    fn a_line_is_the_same_in_pages_of_any_size() {
        let conn = database();
        for n in 0..40_u128 {
            let set = format!("priority = {}, created_at_ms = {}", n % 3, n % 5);
            insert(&conn, &id(u16::try_from(n % 2).unwrap(), 100 - n / 2), &set);
        }
        // A row that no id addresses is passed over.
        conn.execute(
            "UPDATE ff_exec_core SET execution_id = x'00' WHERE rowid = (SELECT min(rowid) FROM ff_exec_core)",
            [],
        )
        .unwrap();
        let lane = LaneId::new("lane");
        let mut session = SqliteSession::new(&conn);
        let whole = session.candidates(&lane, "", None, 99).unwrap();
        assert_eq!(whole.len(), 39);
        assert!(whole.is_sorted_by_key(ff_core::machine::rows::Candidate::order));

        for size in [1, 2, 7, 38] {
            let mut line = Vec::new();
            loop {
                let page = session.candidates(&lane, "", line.last(), size).unwrap();
                assert!(page.len() <= size);
                if page.is_empty() {
                    break;
                }
                line.extend(page);
            }
            assert_eq!(line, whole, "pages of {size}");
        }
    }

    #[test]
    fn gate_keys_are_distinct_in_order_and_bounded() {
        let conn = database();
        for (n, key) in ["b", "", "a,b", "b", "", "a"].into_iter().enumerate() {
            insert(&conn, &id(0, n as u128), &format!("gate_key = '{key}'"));
        }
        insert(&conn, &id(0, 9), "gate_key = 'c', eligibility_state = 'blocked_by_operator'");
        let lane = LaneId::new("lane");
        let mut session = SqliteSession::new(&conn);

        assert_eq!(session.gate_keys(&lane, 9).unwrap(), ["", "a", "a,b", "b"]);
        assert_eq!(session.gate_keys(&lane, 2).unwrap(), ["", "a"]);
        assert_eq!(session.gate_keys(&lane, 0).unwrap(), [""; 0]);
        assert_eq!(session.gate_keys(&LaneId::new("other"), 9).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_due_comes_once_earliest_first_and_dead_leases_are_nobody_s() {
        let conn = database();
        let (late, twice, delayed, ended) = (id(0, 1), id(0, 2), id(0, 3), id(0, 4));
        insert(&conn, &late, LEASED);
        insert_lease(&conn, &late, "lease_expires_at_ms", 30);
        insert(&conn, &twice, &format!("{LEASED}, deadline_at_ms = 40"));
        insert_lease(&conn, &twice, "lease_expires_at_ms", 10);
        insert(
            &conn,
            &delayed,
            "eligibility_state = 'not_eligible_until_time', eligible_at_ms = 20",
        );
        insert(&conn, &ended, "lifecycle_phase = 'terminal'");
        insert_lease(&conn, &ended, "lease_expires_at_ms", 1);
        let mut session = SqliteSession::new(&conn);

        assert_eq!(session.next_due().unwrap(), Some(TimestampMs(10)));
        assert_eq!(session.due(TimestampMs(9), 9).unwrap(), []);
        let all = [twice.clone(), delayed.clone(), late];
        assert_eq!(session.due(TimestampMs(40), 9).unwrap(), all);
        assert_eq!(session.due(TimestampMs(40), 2).unwrap(), [twice, delayed]);
        assert_eq!(session.due(TimestampMs(i64::MAX), 9).unwrap(), all);
    }

    #[test]
    fn expired_leases_come_in_the_order_of_their_ids_as_text() {
        let conn = database();
        let other = "raw_fields = '{\"namespace\": \"other\"}'";
        for (id, column, state) in [
            (id(2, 1), "lease_expires_at_ms", LEASED.to_owned()),
            (id(10, 1), "lease_expired_at_ms", LAPSED.to_owned()),
            (id(10, 2), "lease_expires_at_ms", format!("{LEASED}, {other}")),
            (id(1, 1), "lease_expired_at_ms", LAPSED.to_owned()),
            (id(1, 2), "lease_expired_at_ms", LEASED.to_owned()),
        ] {
            insert(&conn, &id, &state);
            insert_lease(&conn, &id, column, 7);
        }
        insert(&conn, &id(0, 9), LEASED);
        insert_lease(&conn, &id(0, 9), "lease_expires_at_ms", 6);
        let mut session = SqliteSession::new(&conn);

        let mut listed: Vec<(TimestampMs, ExecutionId)> = Vec::new();
        loop {
            let after = listed.last().map(|(at, id)| (*at, id));
            let page = session.expired_leases(TimestampMs(7), after, None, 2).unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page.into_iter().map(|lease| (lease.expires_at, lease.execution_id)));
        }

        let mut sorted = listed.clone();
        sorted.sort_by(|a, b| (a.0, a.1.as_str()).cmp(&(b.0, b.1.as_str())));
        assert_eq!(listed, sorted);
        assert_eq!(listed.len(), 5);
        let namespace = Namespace::new("other");
        let found = session.expired_leases(TimestampMs(7), None, Some(&namespace), 9).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].execution_id, id(10, 2));
    }

    #[test]
    fn a_walk_goes_both_ways_and_by_partition_and_state() {
        let conn = database();
        let all = [id(0, 1), id(0, 2), id(1, 1), id(1, 2), id(2, 1)];
        for (n, id) in all.iter().enumerate() {
            let set = match n % 2 {
                0 => "lifecycle_phase = 'terminal', public_state = 'failed'",
                _ => "priority = 1",
            };
            insert(&conn, id, set);
        }
        let mut session = SqliteSession::new(&conn);
        let mut walk = |scan: Scan, limit| -> Vec<ExecutionId> {
            let found = session.scan(&scan, limit).unwrap();
            found.into_iter().map(|(execution, _)| execution.id).collect()
        };

        let mut reversed = all.to_vec();
        reversed.reverse();
        assert_eq!(walk(Scan::default(), 9), all);
        assert_eq!(walk(Scan { descending: true, ..Scan::default() }, 9), reversed);
        for at in 0..all.len() {
            let after = Some(all[at].clone());
            let up = Scan { after: after.clone(), ..Scan::default() };
            assert_eq!(walk(up, 2), all[at + 1..].iter().take(2).cloned().collect::<Vec<_>>());
            let down = Scan { after, descending: true, ..Scan::default() };
            assert_eq!(walk(down, 9), reversed[all.len() - at..]);
        }
        assert_eq!(walk(Scan { partition: Some(1), ..Scan::default() }, 9), all[2..4]);
        let failed = Scan { state: Some(PublicState::Failed), ..Scan::default() };
        assert_eq!(walk(failed.clone(), 9), [id(0, 1), id(1, 1), id(2, 1)]);
        let last = Scan { partition: Some(1), descending: true, ..failed };
        assert_eq!(walk(last, 9), [id(1, 1)]);
    }

    #[test]
    fn a_part_of_an_id_is_found_in_every_partition() {
        let conn = database();
        for id in [id(0, 5), id(9, 3), id(3, 5), id(3, 8)] {
            insert(&conn, &id, "priority = 1");
        }
        let mut session = SqliteSession::new(&conn);
        let (low, high) = (Uuid::from_u128(3), Uuid::from_u128(5));

        assert_eq!(session.uuid_range(low, high, 9).unwrap(), [id(9, 3), id(0, 5), id(3, 5)]);
        assert_eq!(session.uuid_range(low, high, 1).unwrap(), [id(9, 3)]);
    }

    #[test]
    fn an_outbox_remembers_its_newest_id_when_it_is_empty() {
        let conn = database();
        let bounds = |conn: &Connection| {
            let bounds = SqliteSession::new(conn).event_bounds(Topic::Lease).unwrap();
            (bounds.oldest, bounds.newest)
        };
        assert_eq!(bounds(&conn), (1, 0));
        for _ in 0..3 {
            conn.execute(
                "INSERT INTO ff_lease_event (execution_id, event_type, occurred_at_ms, partition_key)
                VALUES ('00000000-0000-0000-0000-000000000001', 'acquired', 5, 0)",
                [],
            )
            .unwrap();
        }
        conn.execute("DELETE FROM ff_lease_event WHERE event_id = 1", []).unwrap();
        assert_eq!(bounds(&conn), (2, 3));
        let listed = SqliteSession::new(&conn).events(Topic::Lease, 2, 9).unwrap();
        assert_eq!(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3]);
        conn.execute("DELETE FROM ff_lease_event", []).unwrap();
        assert_eq!(bounds(&conn), (4, 3));
    }

    #[test]
    fn counts_of_a_lane_are_those_of_its_lines() {
        let conn = database();
        insert(&conn, &id(0, 1), "created_at_ms = 3");
        insert(&conn, &id(0, 2), "created_at_ms = 2");
        insert(&conn, &id(0, 3), "eligibility_state = 'not_eligible_until_time'");
        insert(&conn, &id(0, 4), LEASED);
        insert_lease(&conn, &id(0, 4), "lease_expires_at_ms", 9);
        insert(&conn, &id(0, 5), "lane_id = 'other'");
        let counts = SqliteSession::new(&conn).lane_counts(&LaneId::new("lane")).unwrap();

        assert_eq!((counts.waiting, counts.delayed, counts.active), (2, 1, 1));
        assert_eq!(counts.oldest_waiting_at, Some(TimestampMs(2)));
    }
}
