//! Committing executions and their attempts.

use ff_core::EngineError;
use ff_core::machine::rows::{Attempt, CreateDedup, Execution};
use ff_core::machine::transition::Change;
use ff_core::types::{ExecutionId, TimestampMs, WorkerId, WorkerInstanceId};
use rusqlite::{ToSql, params};

use super::{run, stream, suspension};
use crate::row::{fields_patch, outcome_word, reason_word, signed, whole_fields};
use crate::session::SqliteSession;
use crate::statement;

/// A longer input, in bytes, does not stand in the row that every transition rewrites.
pub(super) const INLINE_PAYLOAD_MAX: usize = 1024;

/// The current attempt of `execution` as these changes leave it, if they touch it.
pub(super) fn current_attempt<'a>(
    changes: &'a [Change],
    execution: &Execution,
) -> Option<&'a Attempt> {
    changes.iter().rev().find_map(|change| match change {
        Change::PutAttempt(attempt) => (attempt.index == execution.attempt_index
            && attempt.execution_id == execution.id)
            .then_some(&**attempt),
        Change::CreateExecution { .. }
        | Change::PutExecution(_)
        | Change::ExtendLease { .. }
        | Change::PutResult { .. }
        | Change::PutGrant(_)
        | Change::DropGrants { .. }
        | Change::PutDedup(_)
        | Change::RegisterLane { .. }
        | Change::PutLane(_)
        | Change::Forget { .. }
        | Change::Budget(_)
        | Change::Flow(_)
        | Change::Stream(_)
        | Change::Suspension(_)
        | Change::Worker(_) => None,
    })
}

/// The result that these changes store for an execution.
pub(super) fn new_result<'a>(changes: &'a [Change], id: &ExecutionId) -> Option<&'a [u8]> {
    let of_it = |change: &'a Change| {
        let Change::PutResult { execution_id, result } = change else { return None };
        result.as_deref().filter(|_| execution_id == id)
    };
    changes.iter().rev().find_map(of_it)
}

/// Whether these changes write the row of an execution anyway.
pub(super) fn puts(changes: &[Change], id: &ExecutionId) -> bool {
    changes.iter().any(|change| matches!(change, Change::PutExecution(row) if row.id == *id))
}

/// Calls `write` with what both a create and a put store, in the order of their statements' first parameters.
fn with_values<T>(
    execution: &Execution,
    fields: &str,
    write: impl FnOnce(&[&dyn ToSql; 24]) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let id = &execution.id;
    let state = &execution.state;
    let version = signed("version", id, execution.version)?;
    let epoch = signed("lease_epoch", id, execution.epoch.0)?;
    let at = |instant: Option<TimestampMs>| instant.map(|instant| instant.0);
    let timeout_left = match execution.attempt_timeout_left {
        None => None,
        Some(left) => Some(signed("attempt_timeout_left_ms", id, left.0)?),
    };
    write(&[
        &id.partition(),
        &id.uuid().into_bytes(),
        &version,
        &state.lifecycle_phase.as_str(),
        &state.ownership_state.as_str(),
        &state.eligibility_state.as_str(),
        &state.public_state.as_str(),
        &state.attempt_state.as_str(),
        &reason_word(state.blocking_reason),
        &outcome_word(state.terminal_outcome),
        &execution.priority,
        &execution.attempt_index.0,
        &execution.attempt_count,
        &epoch,
        &execution.reclaim_count,
        &at(execution.started_at),
        &at(execution.ended_at),
        &at(execution.eligible_at),
        &at(execution.deadline_at),
        &at(execution.attempt_timeout_at),
        &timeout_left,
        &execution.cancel_reason,
        &execution.cancelled_by,
        &fields,
    ])
}

pub(super) fn create(
    conn: &SqliteSession<'_>,
    execution: &Execution,
    payload: &[u8],
) -> Result<(), EngineError> {
    assert!(execution.state.is_consistent(), "the public state is the derived one");
    let id = &execution.id;
    let (partition, uuid) = (id.partition(), id.uuid());
    for capability in execution.gate_key.split(',').filter(|token| !token.is_empty()) {
        let values = params![uuid.as_bytes(), capability];
        run(conn, statement::CAPABILITY_ADD, "store a needed capability", values)?;
    }
    let policy = execution.policy.as_ref().map(|policy| {
        serde_json::to_string(policy).expect("a policy is numbers, text and lists of both")
    });
    let inline = (payload.len() <= INLINE_PAYLOAD_MAX).then_some(payload);
    let flow_id = execution.flow_id.as_ref().map(|flow| flow.as_bytes().as_slice());
    let fields = whole_fields(execution, None);
    with_values(execution, &fields, |values| {
        let born: [&dyn ToSql; 7] = [
            &execution.lane.as_str(),
            &execution.gate_key,
            &flow_id,
            &execution.created_at.0,
            &policy,
            &inline,
            &id.as_str(),
        ];
        let values = rusqlite::params_from_iter(values.iter().chain(&born));
        run(conn, statement::EXECUTION_CREATE, "create an execution", values)
    })?;
    if inline.is_none() {
        let values = params![partition, uuid.as_bytes(), payload];
        run(conn, statement::PAYLOAD_PUT, "store an input", values)?;
    }
    Ok(())
}

pub(super) fn put(
    conn: &SqliteSession<'_>,
    execution: &Execution,
    attempt: Option<&Attempt>,
    result: Option<&[u8]>,
) -> Result<(), EngineError> {
    assert!(execution.state.is_consistent(), "the public state is the derived one");
    let is_whole = attempt.is_some() && conn.takes_whole_fields(execution);
    let fields = match is_whole {
        true => whole_fields(execution, attempt),
        false => fields_patch(execution, attempt),
    };
    let written = with_values(execution, &fields, |values| {
        let more: [&dyn ToSql; 2] = [&result, &is_whole];
        let values = rusqlite::params_from_iter(values.iter().chain(&more));
        run(conn, statement::EXECUTION_PUT, "update an execution", values)
    })?;
    assert!(written == 1, "nobody else writes between the load and the commit of a transaction");
    if let Some(flow) = &execution.flow_id {
        let id = &execution.id;
        let values = params![id.partition(), id.uuid().into_bytes(), flow.as_bytes()];
        run(conn, statement::EXECUTION_JOIN_FLOW, "put an execution into a flow", values)?;
    }
    Ok(())
}

pub(super) fn put_attempt(conn: &SqliteSession<'_>, attempt: &Attempt) -> Result<(), EngineError> {
    let id = &attempt.execution_id;
    let at = |instant: Option<TimestampMs>| instant.map(|instant| instant.0);
    let values = params![
        id.partition(),
        id.uuid().into_bytes(),
        attempt.index.0,
        signed("lease_epoch", id, attempt.epoch.0)?,
        at(attempt.lease_expires_at),
        at(attempt.lease_expired_at),
        attempt.attempt_id.as_ref().map(|id| id.as_bytes().as_slice()),
        attempt.lease_id.as_ref().map(|id| id.as_bytes().as_slice()),
        attempt.worker_id.as_ref().map(WorkerId::as_str),
        attempt.worker_instance_id.as_ref().map(WorkerInstanceId::as_str),
        at(attempt.started_at),
        at(attempt.ended_at),
        attempt.outcome.map(|outcome| outcome.as_str()),
        attempt.kind.as_str(),
        at(attempt.retry_at),
        attempt.failure_category,
        attempt.failure_reason,
        attempt.policy_json,
    ];
    run(conn, statement::ATTEMPT_PUT, "store an attempt", values).map(drop)
}

pub(super) fn put_dedup(conn: &SqliteSession<'_>, dedup: &CreateDedup) -> Result<(), EngineError> {
    let values = params![
        dedup.namespace.as_str(),
        dedup.key,
        dedup.digest,
        dedup.execution_id.partition(),
        dedup.execution_id.uuid().into_bytes(),
        dedup.expires_at.0,
    ];
    run(conn, statement::CREATE_DEDUP_PUT, "remember an idempotency key", values).map(drop)
}

/// Removes an execution from every table that names it. The outboxes and the idempotency keys have a retention of their
/// own, and edges belong to their flow. The row goes before its capabilities, so that their trigger finds nothing to do.
pub(super) fn forget(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<(), EngineError> {
    let (partition, uuid) = (id.partition(), id.uuid());
    let values = params![partition, uuid.as_bytes(), id.as_str()];
    run(conn, statement::CANCEL_BACKLOG_MEMBER_FORGET, "remove an execution", values)?;
    for named in [
        // These, and the one before, find the flow through the execution's row.
        statement::CANCEL_BACKLOG_FORGET,
        statement::EDGE_FORGET,
        statement::EDGE_GROUP_FORGET,
        statement::EXECUTION_FORGET,
        statement::ATTEMPT_FORGET,
        statement::PAYLOAD_FORGET,
        statement::TRANSITION_FORGET,
        statement::SUSPENSION_FORGET,
        statement::WAITPOINT_FORGET,
        statement::GRANT_FORGET,
    ] {
        run(conn, named, "remove an execution", params![partition, uuid.as_bytes()])?;
    }
    suspension::forget(conn, id)?;
    stream::forget(conn, id)?;
    let values = params![uuid.as_bytes()];
    run(conn, statement::CAPABILITY_FORGET, "remove needed capabilities", values).map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ff_core::machine::drive::Session as _;
    use ff_core::machine::rows::AttemptOutcome;
    use ff_core::machine::transition::{Event, TransitionRow};
    use ff_core::machine::{Footprint, Transition, state};
    use ff_core::policy::{ExecutionPolicy, RetryPolicy};
    use ff_core::state::{
        AttemptState, AttemptType, BlockingReason, EligibilityState, LifecyclePhase,
        OwnershipState, StateVector, TerminalOutcome,
    };
    use ff_core::store::Reader as _;
    use ff_core::types::{
        AttemptId, AttemptIndex, DurationMs, FlowId, LaneId, LeaseEpoch, LeaseId, Namespace,
    };
    use proptest::prelude::*;
    use rusqlite::Connection;
    use uuid::Uuid;

    use super::*;
    use crate::commit::all;
    use crate::testing::database;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    fn waiting() -> Execution {
        Execution {
            id: ExecutionId::from_parts(3, Uuid::from_u128(7)),
            version: 1,
            namespace: Namespace::new("tests"),
            lane: LaneId::new("default"),
            kind: "kind".to_owned(),
            creator: "tests".to_owned(),
            flow_id: None,
            priority: 5,
            payload_encoding: None,
            idempotency_key: None,
            policy: None,
            gate_key: String::new(),
            quota_policy_id: None,
            takes_slots: false,
            reserves_slots: false,
            tags: BTreeMap::new(),
            state: state::waiting(AttemptState::PendingFirstAttempt),
            blocking_detail: None,
            attempt_index: AttemptIndex(0),
            attempt_count: 0,
            epoch: LeaseEpoch(0),
            retry_count: 0,
            replay_count: 0,
            reclaim_count: 0,
            created_at: NOW,
            started_at: None,
            ended_at: None,
            mutated_at: NOW,
            eligible_at: None,
            deadline_at: None,
            attempt_timeout_at: None,
            attempt_timeout_left: None,
            failure_reason: None,
            cancel_reason: None,
            cancelled_by: None,
            progress_pct: None,
            progress_message: None,
        }
    }

    fn attempt_of(execution: &Execution) -> Attempt {
        Attempt {
            execution_id: execution.id.clone(),
            index: execution.attempt_index,
            attempt_id: Some(AttemptId::from_uuid(Uuid::from_u128(11))),
            kind: AttemptType::Initial,
            epoch: execution.epoch,
            worker_id: Some(WorkerId::new("worker")),
            worker_instance_id: Some(WorkerInstanceId::new("worker-1")),
            lease_id: Some(LeaseId::from_uuid(Uuid::from_u128(12))),
            lease_expires_at: Some(NOW),
            lease_expired_at: None,
            started_at: Some(NOW),
            ended_at: None,
            outcome: None,
            failure_reason: None,
            failure_category: None,
            retry_at: None,
            policy_json: None,
        }
    }

    fn running() -> (Execution, Attempt) {
        let mut execution = waiting();
        execution.version = 2;
        execution.state = state::running();
        execution.attempt_count = 1;
        execution.epoch = LeaseEpoch(1);
        execution.started_at = Some(NOW);
        let attempt = attempt_of(&execution);
        (execution, attempt)
    }

    fn commit(conn: &Connection, changes: Vec<Change>) {
        let transition = Transition { outcome: (), changes, events: Vec::new() };
        SqliteSession::new(conn).commit(&transition, NOW).unwrap();
    }

    fn create(execution: &Execution) -> Change {
        Change::CreateExecution { execution: Box::new(execution.clone()), payload: Vec::new() }
    }

    fn put(execution: &Execution) -> Change {
        Change::PutExecution(Box::new(execution.clone()))
    }

    fn put_attempt(attempt: &Attempt) -> Change {
        Change::PutAttempt(Box::new(attempt.clone()))
    }

    fn load(conn: &Connection, id: &ExecutionId) -> (Option<Execution>, Option<Attempt>) {
        let seen = SqliteSession::new(conn).load(&Footprint::execution(id)).unwrap();
        (seen.execution, seen.current)
    }

    fn fields(conn: &Connection) -> serde_json::Value {
        let json: String =
            conn.query_row("SELECT raw_fields FROM ff_exec_core", [], |row| row.get(0)).unwrap();
        serde_json::from_str(&json).unwrap()
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof!["[a-zäß\"\\\\\u{1}.]{1,12}", Just("null".to_owned())]
    }

    fn instant() -> impl Strategy<Value = Option<TimestampMs>> {
        proptest::option::of((0..i64::MAX).prop_map(TimestampMs))
    }

    prop_compose! {
        fn any_state()(
            phase in proptest::sample::select(LifecyclePhase::ALL),
            ownership in proptest::sample::select(OwnershipState::ALL),
            eligibility in proptest::sample::select(EligibilityState::ALL),
            reason in proptest::sample::select(BlockingReason::ALL),
            outcome in proptest::sample::select(&TerminalOutcome::ALL[1..]),
            attempt in proptest::sample::select(AttemptState::ALL),
        ) -> StateVector {
            let mut vector = state::waiting(attempt);
            vector.lifecycle_phase = phase;
            vector.ownership_state = ownership;
            vector.eligibility_state = eligibility;
            vector.blocking_reason = reason;
            if phase == LifecyclePhase::Terminal {
                vector.terminal_outcome = outcome;
            }
            vector.public_state = vector.derive_public_state();
            vector
        }
    }

    prop_compose! {
        fn born()(
            uuid in any::<u128>(),
            partition in any::<u16>(),
            state in any_state(),
            (namespace, lane, kind, creator) in ("[a-z]{0,5}", "[a-z]{1,5}", word(), "[a-z]{0,5}"),
            priority in any::<i32>(),
            flow in proptest::option::of(any::<u128>()),
            tags in proptest::collection::btree_map(word(), ".{0,9}", 0..3),
            (encoding, key) in (proptest::option::of(word()), proptest::option::of(word())),
            gate_key in prop_oneof![Just(""), Just("gpu"), Just("arm,gpu")],
            policy in proptest::option::of(0_u32..9),
        ) -> Execution {
            Execution {
                id: ExecutionId::from_parts(partition, Uuid::from_u128(uuid)),
                namespace: Namespace::new(namespace),
                lane: LaneId::new(lane),
                kind,
                creator,
                flow_id: flow.map(|flow| FlowId::from_uuid(Uuid::from_u128(flow))),
                priority,
                payload_encoding: encoding,
                idempotency_key: key,
                policy: policy.map(|max_retries| ExecutionPolicy {
                    retry_policy: Some(RetryPolicy { max_retries, ..RetryPolicy::default() }),
                    ..ExecutionPolicy::default()
                }),
                gate_key: gate_key.to_owned(),
                tags,
                state,
                ..waiting()
            }
        }
    }

    prop_compose! {
        /// What commands change in an execution, over one that was just born.
        fn lived()(
            before in born(),
            state in any_state(),
            (index, more, epoch) in (0_u32..9, 0_u32..9, 0_u64..=1 << 62),
            (retries, replays, reclaims) in (0_u32..9, 0_u32..9, 0_u32..9),
            (started_at, ended_at, eligible_at) in (instant(), instant(), instant()),
            (deadline_at, attempt_timeout_at) in (instant(), instant()),
            left in proptest::option::of(0_u64..1 << 62),
            (failure, cancel, by) in (
                proptest::option::of(word()), proptest::option::of(word()), proptest::option::of(word()),
            ),
            (percent, message, detail) in (
                proptest::option::of(0_u8..=100), proptest::option::of(word()), proptest::option::of(word()),
            ),
            tag in word(),
        ) -> (Execution, Execution) {
            let mut after = Execution {
                version: 2,
                state,
                attempt_index: AttemptIndex(index),
                attempt_count: index + more,
                epoch: LeaseEpoch(epoch),
                retry_count: retries,
                replay_count: replays,
                reclaim_count: reclaims,
                started_at,
                ended_at,
                mutated_at: TimestampMs(NOW.0 + 1),
                eligible_at,
                deadline_at,
                attempt_timeout_at,
                attempt_timeout_left: left.map(DurationMs),
                failure_reason: failure,
                cancel_reason: cancel,
                cancelled_by: by,
                progress_pct: percent,
                progress_message: message,
                blocking_detail: detail,
                ..before.clone()
            };
            after.tags.insert(tag, "set".to_owned());
            (before, after)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn an_execution_reads_back_as_it_was_written((before, after) in lived(), more in lived()) {
            let conn = database();
            commit(&conn, vec![create(&before)]);
            prop_assert_eq!(load(&conn, &before.id), (Some(before.clone()), None));

            commit(&conn, vec![put(&after)]);
            prop_assert_eq!(load(&conn, &before.id), (Some(after.clone()), None));

            let mut last = more.1;
            last.version = 3;
            last.tags.append(&mut after.tags.clone());
            let last = Execution {
                id: after.id.clone(),
                namespace: after.namespace.clone(),
                lane: after.lane.clone(),
                kind: after.kind.clone(),
                creator: after.creator.clone(),
                flow_id: after.flow_id.clone().or(last.flow_id),
                payload_encoding: after.payload_encoding.clone(),
                idempotency_key: after.idempotency_key.clone(),
                policy: after.policy.clone(),
                gate_key: after.gate_key,
                ..last
            };
            commit(&conn, vec![put(&last)]);
            prop_assert_eq!(load(&conn, &before.id), (Some(last), None));
        }

        /// Written whole or merged, the document is the same.
        #[test]
        fn raw_fields_is_the_same_however_it_is_written((before, after) in lived(), held in any::<bool>()) {
            let mut attempt = attempt_of(&after);
            attempt.attempt_id = attempt.attempt_id.filter(|_| held);
            let changes = [put_attempt(&attempt), put(&after)];
            let written = [true, false].map(|is_whole| {
                let conn = database();
                let session = SqliteSession::new(&conn);
                commit(&conn, vec![create(&before)]);
                execution_in(&session, &before.id);
                if !is_whole {
                    session.begin_command();
                }
                assert_eq!(session.takes_whole_fields(&after), is_whole);
                all(&session, &changes, &[], NOW).unwrap();
                fields(&conn)
            });
            prop_assert_eq!(&written[0], &written[1]);
        }

        #[test]
        fn an_attempt_reads_back_as_it_was_written(
            ids in proptest::option::of((any::<u128>(), any::<u128>())),
            kind in proptest::sample::select(AttemptType::ALL),
            epoch in 0_u64..1 << 62,
            workers in proptest::option::of((word(), word())),
            (expires, expired, started, ended) in (instant(), instant(), instant(), instant()),
            retry_at in instant(),
            outcome in proptest::option::of(proptest::sample::select(vec![
                AttemptOutcome::Success,
                AttemptOutcome::Failed,
                AttemptOutcome::Retry,
                AttemptOutcome::Cancelled,
                AttemptOutcome::Expired,
                AttemptOutcome::Skipped,
                AttemptOutcome::Interrupted,
                AttemptOutcome::InterruptedReclaimed,
            ])),
            texts in proptest::option::of((word(), word(), word())),
        ) {
            let conn = database();
            let execution = waiting();
            let attempt = Attempt {
                attempt_id: ids.map(|(id, _)| AttemptId::from_uuid(Uuid::from_u128(id))),
                kind,
                epoch: LeaseEpoch(epoch),
                worker_id: workers.clone().map(|(id, _)| WorkerId::new(id)),
                worker_instance_id: workers.map(|(_, id)| WorkerInstanceId::new(id)),
                lease_id: ids.map(|(_, id)| LeaseId::from_uuid(Uuid::from_u128(id))),
                lease_expires_at: expires,
                lease_expired_at: expired,
                started_at: started,
                ended_at: ended,
                outcome,
                failure_reason: texts.clone().map(|(text, _, _)| text),
                failure_category: texts.clone().map(|(_, text, _)| text),
                retry_at,
                policy_json: texts.map(|(_, _, text)| text),
                ..attempt_of(&execution)
            };

            commit(&conn, vec![create(&execution), put_attempt(&attempt_of(&execution))]);
            commit(&conn, vec![put_attempt(&attempt)]);

            let (seen, current) = load(&conn, &execution.id);
            let seen = seen.unwrap();
            prop_assert_eq!(current, Some(attempt));
            prop_assert_eq!((seen.attempt_count, seen.epoch), (1, LeaseEpoch(epoch)));
        }
    }

    #[test]
    fn members_of_raw_fields_that_nobody_knows_survive_every_write() {
        let conn = database();
        let (running, attempt) = running();
        let before = Execution { progress_message: Some("half".to_owned()), ..waiting() };
        commit(&conn, vec![create(&before)]);
        conn.execute(
            r#"UPDATE ff_exec_core
            SET raw_fields = json_patch(raw_fields, '{"mine": {"a": [1, 2.50]}, "tags": {"a.b": "c"}}')"#,
            [],
        )
        .unwrap();

        commit(&conn, vec![put_attempt(&attempt), put(&running)]);

        let fields = fields(&conn);
        assert_eq!(fields["mine"], serde_json::json!({ "a": [1, 2.5] }));
        assert_eq!(fields["tags"]["a.b"], "c");
        assert_eq!(fields.get("progress_message"), None);
        assert_eq!(fields["execution_kind"], "kind");
        assert_eq!(fields["last_mutation_at"], NOW.0.to_string());
        assert_eq!(fields["total_attempt_count"], "1");
    }

    #[test]
    fn they_survive_too_where_one_command_loads_and_writes() {
        for (set, path) in [
            ("'$.mine', 1", "/mine"),
            ("'$.tags', json('{\"n\": 1, \"none\": null}')", "/tags/none"),
            ("'$.namespace', null", "/execution_kind"),
        ] {
            let conn = database();
            let session = SqliteSession::new(&conn);
            let (running, attempt) = running();
            commit(&conn, vec![create(&waiting())]);
            let sql = format!("UPDATE ff_exec_core SET raw_fields = json_set(raw_fields, {set})");
            conn.execute(&sql, []).unwrap();

            execution_in(&session, &running.id);
            all(&session, &[put_attempt(&attempt), put(&running)], &[], NOW).unwrap();

            assert!(fields(&conn).pointer(path).is_some(), "{path}");
            assert_eq!(fields(&conn)["total_attempt_count"], "1");
        }
    }

    fn execution_in(session: &SqliteSession<'_>, id: &ExecutionId) {
        assert!(crate::load::execution(session, id).unwrap().is_some());
    }

    #[test]
    fn what_another_command_loaded_does_not_let_this_one_write_it_whole() {
        let conn = database();
        let session = SqliteSession::new(&conn);
        let (running, attempt) = running();
        commit(&conn, vec![create(&waiting())]);
        execution_in(&session, &running.id);
        session.begin_command();
        conn.execute("UPDATE ff_exec_core SET raw_fields = json_set(raw_fields, '$.mine', 1)", [])
            .unwrap();

        all(&session, &[put_attempt(&attempt), put(&running)], &[], NOW).unwrap();

        assert_eq!(fields(&conn)["mine"], 1);
    }

    #[test]
    fn the_current_attempt_stands_in_raw_fields_while_it_is_held() {
        let conn = database();
        let (running, mut attempt) = running();
        commit(&conn, vec![create(&waiting())]);

        commit(&conn, vec![put_attempt(&attempt), put(&running)]);

        let held = fields(&conn);
        assert_eq!(held["current_attempt_id"], Uuid::from_u128(11).to_string());
        assert_eq!(held["current_lease_id"], Uuid::from_u128(12).to_string());
        assert_eq!(held["current_worker_id"], "worker");
        assert_eq!(held["current_worker_instance_id"], "worker-1");

        attempt.lease_expires_at = None;
        let revoked = Execution { version: 3, state: state::lease_revoked(), ..running };
        commit(&conn, vec![put_attempt(&attempt), put(&revoked)]);

        let fields = fields(&conn);
        assert_eq!(fields["current_attempt_id"], Uuid::from_u128(11).to_string());
        assert_eq!(fields.get("current_lease_id"), None);
    }

    #[test]
    #[should_panic(expected = "nobody else writes")]
    fn a_version_that_moved_is_never_written_over() {
        let conn = database();
        let (running, _) = running();
        commit(&conn, vec![create(&waiting()), put(&running), put(&running)]);
    }

    #[test]
    fn a_long_input_stands_beside_the_row_and_a_short_one_in_it() {
        for (length, beside) in [(0, 0), (INLINE_PAYLOAD_MAX, 0), (INLINE_PAYLOAD_MAX + 1, 1)] {
            let conn = database();
            let execution = waiting();
            let payload = vec![7; length];
            let change = Change::CreateExecution {
                execution: Box::new(execution.clone()),
                payload: payload.clone(),
            };
            commit(&conn, vec![change]);

            let wanted = Footprint::execution(&execution.id).with_payload();
            let seen = SqliteSession::new(&conn).load(&wanted).unwrap();

            assert_eq!(seen.payload, Some(payload).filter(|bytes| !bytes.is_empty()));
            let rows: i64 =
                conn.query_row("SELECT count(*) FROM ff_payload", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, beside);
        }
    }

    #[test]
    fn a_create_writes_its_capabilities_and_leaves_their_trigger_idle() {
        let conn = database();
        let execution = Execution { gate_key: "arm,gpu".to_owned(), ..waiting() };
        commit(&conn, vec![create(&execution)]);

        let capabilities: Vec<String> = conn
            .prepare("SELECT capability FROM ff_execution_capabilities ORDER BY 1")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(capabilities, ["arm", "gpu"]);
        assert_eq!(load(&conn, &execution.id).0.unwrap().gate_key, "arm,gpu");
    }

    #[test]
    fn a_forgotten_execution_leaves_no_row_but_outboxes_and_keys() {
        let conn = database();
        let (running, attempt) = running();
        let id = running.id.clone();
        let born = Execution { gate_key: "gpu".to_owned(), ..waiting() };
        commit(
            &conn,
            vec![
                Change::CreateExecution { execution: Box::new(born), payload: vec![1; 4096] },
                put_attempt(&attempt),
                put(&running),
            ],
        );
        let row = TransitionRow::between(None, &running, NOW, "claimed");
        all(&SqliteSession::new(&conn), &[], &[Event::Transition(row)], NOW).unwrap();

        commit(&conn, vec![Change::Forget { execution_id: id.clone() }]);

        assert_eq!(load(&conn, &id), (None, None));
        for table in ["attempt", "payload", "transition", "execution_capabilities"] {
            let sql = format!("SELECT count(*) FROM ff_{table}");
            let rows: i64 = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }
}
