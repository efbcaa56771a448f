//! The contract's way of use: rows inserted by hand in the words of FlowFabric 0.15, typed operations through
//! `Arc<dyn EngineBackend>`, and the columns that others read afterwards.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::SqliteBackend;
use ff_core::EngineError;
use ff_core::backend::{
    BackendTag, CapabilitySet, ClaimPolicy, Frame, FrameKind, Handle, HandleKind, ScannerFilter,
};
use ff_core::contracts::{
    AnswerWaitpointArgs, CancelExecutionArgs, ChangePriorityArgs, CompleteExecutionArgs,
    CompleteExecutionResult, FailExecutionArgs, FailExecutionResult, IssueReclaimGrantArgs,
    IssueReclaimGrantOutcome, ListPendingWaitpointsArgs, ListWaitingArgs, ReclaimExecutionArgs,
    ReclaimExecutionOutcome, RenewLeaseArgs, RenewLeaseResult, ReplayExecutionArgs,
    ResumeCondition, ResumeExecutionArgs, ResumePolicy, RevokeLeaseArgs, RevokeLeaseResult,
    StreamCursor, SuspendArgs, SuspensionReasonCode, WaitpointBinding,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::state::PublicState;
use ff_core::types::{
    AttemptId, AttemptIndex, CancelSource, ExecutionId, LaneId, LeaseEpoch, LeaseFence, LeaseId,
    SuspensionId, TimestampMs, WaitpointId, WorkerInstanceId,
};
use serial_test::serial;
use sqlx::Row as _;
use uuid::Uuid;

const NOW: TimestampMs = TimestampMs(0);

/// A lease that ends long after the tests.
const FAR: i64 = 4_000_000_000_000;

struct Bench {
    backend: Arc<SqliteBackend>,
    engine: Arc<dyn EngineBackend>,
}

async fn bench() -> Bench {
    let name = Uuid::now_v7();
    let url = format!("file:outside-{name}?mode=memory&cache=shared");
    let backend = SqliteBackend::new(&url).await.unwrap();
    let engine: Arc<dyn EngineBackend> = Arc::<SqliteBackend>::clone(&backend);
    Bench { backend, engine }
}

/// An execution that a worker of 0.15 runs: attempt 0, lease epoch 7.
struct Held {
    id: ExecutionId,
    attempt_id: Uuid,
    lease_id: Uuid,
}

impl Held {
    fn fence(&self) -> LeaseFence {
        LeaseFence {
            lease_id: LeaseId::from_uuid(self.lease_id),
            lease_epoch: LeaseEpoch(7),
            attempt_id: AttemptId::from_uuid(self.attempt_id),
        }
    }
}

impl Bench {
    async fn held(&self) -> Held {
        self.held_until(FAR).await
    }

    async fn held_until(&self, expires_at_ms: i64) -> Held {
        let (uuid, attempt_id, lease_id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let fields = serde_json::json!({
            "namespace": "outside",
            "execution_kind": "by hand",
            "current_attempt_id": attempt_id.to_string(),
            "current_lease_id": lease_id.to_string(),
            "tags": { "cairn.session_id": "s1" },
            "not_ours": "kept",
        });
        self.insert(uuid, "active", "leased", "not_applicable", "running", "running_attempt").await;
        self.run(
            "UPDATE ff_exec_core SET raw_fields = ?2 WHERE execution_id = ?1",
            uuid,
            fields.to_string(),
        )
        .await;
        sqlx::query(
            "INSERT INTO ff_attempt (partition_key, execution_id, attempt_index, worker_id, worker_instance_id,
                lease_epoch, lease_expires_at_ms, started_at_ms)
             VALUES (0, ?1, 0, 'old worker', 'old instance', 7, ?2, 10)",
        )
        .bind(uuid.as_bytes().as_slice())
        .bind(expires_at_ms)
        .execute(self.backend.pool_for_test())
        .await
        .unwrap();
        Held { id: ExecutionId::from_parts(0, uuid), attempt_id, lease_id }
    }

    async fn insert(
        &self,
        uuid: Uuid,
        phase: &str,
        ownership: &str,
        eligibility: &str,
        public: &str,
        attempt: &str,
    ) {
        sqlx::query(
            "INSERT INTO ff_exec_core (partition_key, execution_id, lane_id, attempt_index, lifecycle_phase,
                ownership_state, eligibility_state, public_state, attempt_state, priority, created_at_ms)
             VALUES (0, ?1, 'default', 0, ?2, ?3, ?4, ?5, ?6, 0, 10)",
        )
        .bind(uuid.as_bytes().as_slice())
        .bind(phase)
        .bind(ownership)
        .bind(eligibility)
        .bind(public)
        .bind(attempt)
        .execute(self.backend.pool_for_test())
        .await
        .unwrap();
    }

    async fn run(&self, sql: &'static str, uuid: Uuid, value: String) {
        sqlx::query(sql)
            .bind(uuid.as_bytes().as_slice())
            .bind(value)
            .execute(self.backend.pool_for_test())
            .await
            .unwrap();
    }

    /// Phase, ownership, eligibility, public state and attempt state, as others read them.
    async fn state(&self, id: &ExecutionId) -> [String; 5] {
        let row = sqlx::query(
            "SELECT lifecycle_phase, ownership_state, eligibility_state, public_state, attempt_state
             FROM ff_exec_core WHERE partition_key = 0 AND execution_id = ?1",
        )
        .bind(id.uuid().as_bytes().as_slice())
        .fetch_one(self.backend.pool_for_test())
        .await
        .unwrap();
        std::array::from_fn(|column| row.get(column))
    }

    async fn field(&self, id: &ExecutionId, path: &str) -> Option<String> {
        sqlx::query_scalar(
            "SELECT CAST(json_extract(raw_fields, ?2) AS TEXT) || ' ' || json_type(raw_fields, ?2)
             FROM ff_exec_core WHERE execution_id = ?1",
        )
        .bind(id.uuid().as_bytes().as_slice())
        .bind(path)
        .fetch_one(self.backend.pool_for_test())
        .await
        .unwrap()
    }

    /// Outcome, epoch, expiry and holder of an attempt.
    async fn attempt(
        &self,
        id: &ExecutionId,
        index: i64,
    ) -> (Option<String>, i64, Option<i64>, Option<String>) {
        sqlx::query_as(
            "SELECT outcome, lease_epoch, lease_expires_at_ms, worker_instance_id FROM ff_attempt
             WHERE execution_id = ?1 AND attempt_index = ?2",
        )
        .bind(id.uuid().as_bytes().as_slice())
        .bind(index)
        .fetch_one(self.backend.pool_for_test())
        .await
        .unwrap()
    }

    async fn complete(
        &self,
        held: &Held,
        epoch: u64,
    ) -> Result<CompleteExecutionResult, EngineError> {
        self.engine
            .complete_execution(CompleteExecutionArgs {
                execution_id: held.id.clone(),
                fence: Some(LeaseFence { lease_epoch: LeaseEpoch(epoch), ..held.fence() }),
                attempt_index: AttemptIndex(0),
                result_payload: Some(b"the result".to_vec()),
                result_encoding: None,
                source: CancelSource::LeaseHolder,
                now: NOW,
            })
            .await
    }

    async fn claim(&self, capabilities: &[&str]) -> Option<Handle> {
        let policy = ClaimPolicy::new("w".into(), "i".into(), 30_000, None);
        let capabilities = CapabilitySet::new(capabilities.iter().copied());
        self.engine.claim(&LaneId::new("default"), &capabilities, policy).await.unwrap()
    }
}

#[tokio::test]
#[serial]
async fn an_execution_written_by_hand_completes_under_its_fence() {
    let bench = bench().await;
    let held = bench.held().await;

    let stale = bench.complete(&held, 6).await.unwrap_err();
    assert!(matches!(stale, EngineError::State(_)), "{stale:?}");
    assert_eq!(bench.state(&held.id).await[3], "running", "a refusal writes nothing");
    let done = bench.complete(&held, 7).await.unwrap();

    assert!(matches!(
        done,
        CompleteExecutionResult::Completed { public_state: PublicState::Completed, .. }
    ));
    assert_eq!(
        bench.state(&held.id).await,
        ["terminal", "unowned", "not_applicable", "completed", "attempt_terminal"]
    );
    assert_eq!(bench.attempt(&held.id, 0).await.0.as_deref(), Some("success"));
    assert_eq!(bench.attempt(&held.id, 0).await.2, None);
    assert_eq!(bench.field(&held.id, "$.terminal_outcome").await.unwrap(), "success text");
    assert_eq!(bench.field(&held.id, "$.not_ours").await.unwrap(), "kept text");
    assert_eq!(bench.field(&held.id, "$.tags.\"cairn.session_id\"").await.unwrap(), "s1 text");
    let result: Vec<u8> =
        sqlx::query_scalar("SELECT result FROM ff_exec_core WHERE execution_id = ?1")
            .bind(held.id.uuid().as_bytes().as_slice())
            .fetch_one(bench.backend.pool_for_test())
            .await
            .unwrap();
    assert_eq!(result, b"the result");
    let events: Vec<String> =
        sqlx::query_scalar("SELECT outcome FROM ff_completion_event WHERE execution_id = ?1")
            .bind(held.id.uuid().as_bytes().as_slice())
            .fetch_all(bench.backend.pool_for_test())
            .await
            .unwrap();
    assert_eq!(events, ["success"]);
}

#[tokio::test]
#[serial]
async fn it_fails_with_a_retry_counted_as_text_and_is_claimed_with_the_next_epoch() {
    let bench = bench().await;
    let held = bench.held().await;

    let failed = bench
        .engine
        .fail_execution(FailExecutionArgs {
            execution_id: held.id.clone(),
            fence: Some(held.fence()),
            attempt_index: AttemptIndex(0),
            failure_reason: "no".to_owned(),
            failure_category: "transient".to_owned(),
            retry_policy_json: r#"{"max_retries":1,"backoff":{"type":"fixed","delay_ms":0}}"#
                .to_owned(),
            next_attempt_policy_json: String::new(),
            source: CancelSource::LeaseHolder,
        })
        .await;

    assert!(matches!(failed, Ok(FailExecutionResult::RetryScheduled { .. })), "{failed:?}");
    assert_eq!(bench.field(&held.id, "$.retry_count").await.unwrap(), "1 text");
    assert_eq!(bench.attempt(&held.id, 0).await.0.as_deref(), Some("retry"));
    assert!(bench.claim(&[]).await.is_some());
    let (outcome, epoch, expires, holder) = bench.attempt(&held.id, 1).await;
    assert_eq!((outcome, epoch, holder.as_deref()), (None, 8, Some("i")));
    assert!(expires.is_some());
    assert_eq!(
        bench.state(&held.id).await,
        ["active", "leased", "not_applicable", "active", "running_attempt"]
    );
}

#[tokio::test]
#[serial]
async fn its_lease_is_renewed_and_revoked() {
    let bench = bench().await;
    let held = bench.held().await;

    let renewed = bench
        .engine
        .renew_lease(RenewLeaseArgs {
            execution_id: held.id.clone(),
            attempt_index: AttemptIndex(0),
            fence: Some(held.fence()),
            lease_ttl_ms: 60_000,
            lease_history_grace_ms: 0,
        })
        .await
        .unwrap();
    let RenewLeaseResult::Renewed { expires_at } = renewed;
    assert_eq!(bench.attempt(&held.id, 0).await.2, Some(expires_at.0));
    assert!(expires_at.0 < FAR);

    let revoked = bench
        .engine
        .revoke_lease(RevokeLeaseArgs {
            execution_id: held.id.clone(),
            expected_lease_id: None,
            worker_instance_id: "old instance".into(),
            reason: "operator".to_owned(),
        })
        .await
        .unwrap();
    assert!(matches!(revoked, RevokeLeaseResult::Revoked { .. }), "{revoked:?}");
    assert_eq!(bench.state(&held.id).await[1], "lease_revoked");
    assert!(bench.complete(&held, 7).await.is_err(), "the former holder is fenced");
    assert!(bench.claim(&[]).await.is_some(), "it comes back by itself");
    assert_eq!(bench.attempt(&held.id, 0).await.0.as_deref(), Some("interrupted_reclaimed"));
    assert_eq!(bench.attempt(&held.id, 1).await.1, 8);
}

#[tokio::test]
#[serial]
async fn it_is_cancelled_and_replayed_and_its_epochs_go_on() {
    let bench = bench().await;
    let held = bench.held().await;
    let cancel = CancelExecutionArgs {
        execution_id: held.id.clone(),
        reason: "operator".to_owned(),
        source: CancelSource::OperatorOverride,
        lease_id: None,
        lease_epoch: None,
        attempt_id: None,
        now: NOW,
    };
    bench.engine.cancel_execution(cancel).await.unwrap();
    let [phase, ownership, _, public, _] = bench.state(&held.id).await;
    assert_eq!([&*phase, &*ownership, &*public], ["terminal", "unowned", "cancelled"]);
    assert!(bench.claim(&[]).await.is_none());

    let replay = ReplayExecutionArgs { execution_id: held.id.clone(), now: NOW };
    bench.engine.replay_execution(replay).await.unwrap();

    assert_eq!(bench.field(&held.id, "$.replay_count").await.unwrap(), "1 integer");
    assert_eq!(bench.state(&held.id).await[3..], ["waiting", "pending_replay_attempt"]);
    assert!(bench.claim(&[]).await.is_some());
    assert_eq!(bench.attempt(&held.id, 1).await.1, 8);
}

#[tokio::test]
#[serial]
async fn an_expired_lease_is_reclaimed_by_grant() {
    let bench = bench().await;
    let held = bench.held_until(20).await;
    let granted = bench
        .engine
        .issue_reclaim_grant(IssueReclaimGrantArgs::new(
            held.id.clone(),
            "w2".into(),
            "i2".into(),
            LaneId::new("default"),
            None,
            60_000,
            None,
            None,
            std::collections::BTreeSet::default(),
            NOW,
        ))
        .await
        .unwrap();
    assert!(matches!(granted, IssueReclaimGrantOutcome::Granted(_)), "{granted:?}");

    let reclaimed = bench
        .engine
        .reclaim_execution(ReclaimExecutionArgs::new(
            held.id.clone(),
            "w2".into(),
            "i2".into(),
            LaneId::new("default"),
            None,
            LeaseId::from_uuid(Uuid::now_v7()),
            30_000,
            AttemptId::from_uuid(Uuid::now_v7()),
            String::new(),
            Some(10),
            "old instance".into(),
            AttemptIndex(0),
        ))
        .await
        .unwrap();

    assert!(matches!(reclaimed, ReclaimExecutionOutcome::Claimed(_)), "{reclaimed:?}");
    let reclaims: i64 =
        sqlx::query_scalar("SELECT lease_reclaim_count FROM ff_exec_core WHERE execution_id = ?1")
            .bind(held.id.uuid().as_bytes().as_slice())
            .fetch_one(bench.backend.pool_for_test())
            .await
            .unwrap();
    assert_eq!(reclaims, 1);
    assert_eq!(bench.attempt(&held.id, 0).await.0.as_deref(), Some("interrupted_reclaimed"));
    let (_, epoch, _, holder) = bench.attempt(&held.id, 1).await;
    assert_eq!((epoch, holder.as_deref()), (8, Some("i2")));
}

#[tokio::test]
#[serial]
async fn rows_in_line_are_claimed_by_priority_and_capability() {
    let bench = bench().await;
    let (plain, gated) = (Uuid::now_v7(), Uuid::now_v7());
    bench.insert(plain, "runnable", "unowned", "eligible_now", "pending", "initial").await;
    bench
        .insert(gated, "runnable", "released", "pending_claim", "waiting", "pending_first_attempt")
        .await;
    for capability in ["gpu", "arm"] {
        bench
            .run(
                "INSERT INTO ff_execution_capabilities VALUES (?1, ?2)",
                gated,
                capability.to_owned(),
            )
            .await;
    }
    bench
        .engine
        .change_priority(ChangePriorityArgs {
            execution_id: ExecutionId::from_parts(0, gated),
            new_priority: 50,
            lane_id: LaneId::new("default"),
            now: NOW,
        })
        .await
        .unwrap();
    let priority: i64 =
        sqlx::query_scalar("SELECT priority FROM ff_exec_core WHERE execution_id = ?1")
            .bind(gated.as_bytes().as_slice())
            .fetch_one(bench.backend.pool_for_test())
            .await
            .unwrap();
    assert_eq!(priority, 50);

    assert!(bench.claim(&["gpu", "arm"]).await.is_some());
    assert_eq!(bench.state(&ExecutionId::from_parts(0, gated)).await[3], "active");
    assert!(bench.claim(&["gpu"]).await.is_some());
    assert_eq!(bench.state(&ExecutionId::from_parts(0, plain)).await[3], "active");
    assert_eq!(bench.attempt(&ExecutionId::from_parts(0, plain), 0).await.1, 1);
    assert!(bench.claim(&["gpu", "arm"]).await.is_none());

    let report = bench.backend.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Frames written by hand are read like others, and the engine goes on behind them.
#[tokio::test]
#[serial]
async fn frames_written_by_hand_are_read_and_counted() {
    let bench = bench().await;
    let held = bench.held().await;
    let uuid = held.id.uuid();
    for (ms, seq, text) in [(5_i64, 0_i64, "a"), (FAR, 3, "b")] {
        sqlx::query(
            "INSERT INTO ff_stream_frame
                (partition_key, execution_id, attempt_index, ts_ms, seq, fields, mode, created_at_ms)
            VALUES (0, ?1, 0, ?2, ?3, json_object('payload', ?4, 'n', 7), 'durable', 1)",
        )
        .bind(uuid)
        .bind(ms)
        .bind(seq)
        .bind(text)
        .execute(bench.backend.pool_for_test())
        .await
        .unwrap();
    }
    let handle = holder_of(&held);

    let frame = Frame::new(b"c".to_vec(), FrameKind::Stdout);
    let appended = bench.engine.append_frame(&handle, frame).await.unwrap();

    assert_eq!((appended.stream_id, appended.frame_count), (format!("{FAR}-4"), 3));
    let (from, to) = (StreamCursor::start(), StreamCursor::end());
    let stream = bench.engine.read_stream(&held.id, AttemptIndex(0), from, to, 10).await.unwrap();
    let payloads: Vec<_> =
        stream.frames.iter().map(|frame| frame.fields["payload"].as_str()).collect();
    assert_eq!(payloads, ["a", "b", "c"]);
    assert_eq!(stream.frames[0].fields["n"], "7");
}

/// An execution that waits, its waitpoint and a signal, written by hand: lists show them, a delivery counts, and
/// the attempt that goes on sees both signals.
#[tokio::test]
#[serial]
async fn a_suspension_and_a_signal_written_by_hand_are_like_others() {
    let bench = bench().await;
    let uuid =
        suspended(&bench, r#"{"Single":{"waitpoint_key":"k","matcher":{"ByName":"go"}}}"#).await;
    let id = ExecutionId::from_parts(0, uuid);
    let waitpoint = WaitpointId::from_uuid(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO ff_waitpoint_pending
            (partition_key, waitpoint_id, execution_id, token_kid, token, created_at_ms, waitpoint_key, state)
        VALUES (0, ?1, ?2, 'old', 'old:00', 20, 'k', 'active')",
    )
    .bind(waitpoint.as_bytes().as_slice())
    .bind(uuid.as_bytes().as_slice())
    .execute(bench.backend.pool_for_test())
    .await
    .unwrap();

    let waiting = bench.engine.list_waiting(ListWaitingArgs::new()).await.unwrap().entries;
    let [entry] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((&entry.execution_id, entry.reason_code.as_str()), (&id, "because"));
    assert_eq!(entry.suspended_at, TimestampMs(20));
    let of = PartitionKey::from(&Partition { family: PartitionFamily::Flow, index: 0 });
    let suspended = bench.engine.list_suspended(of, None, 10).await.unwrap().entries;
    assert_eq!(suspended.len(), 1, "{suspended:?}");
    let args = ListPendingWaitpointsArgs::new(id.clone());
    let pending = bench.engine.list_pending_waitpoints(args).await.unwrap().entries;
    assert_eq!((pending.len(), &pending[0].waitpoint_id), (1, &waitpoint));
    assert_eq!(signals(&bench, &id, 0).await, ["early"], "what the tool wrote is shown");

    let answer = |name: &str| AnswerWaitpointArgs::new(id.clone(), waitpoint.clone(), name, "ada");
    bench.engine.answer_waitpoint(answer("other")).await.unwrap();
    assert_eq!(bench.state(&id).await[0], "suspended", "it waits for `go`");
    bench.engine.answer_waitpoint(answer("go")).await.unwrap();

    let handle = bench.claim(&[]).await.expect("it goes on");
    assert_eq!(handle.kind, HandleKind::Resumed);
    let seen = bench.engine.observe_signals(&handle).await.unwrap();
    let names: Vec<_> = seen.iter().map(|signal| signal.signal_name.as_str()).collect();
    assert_eq!(names, ["early", "other", "go"]);
    let early = &seen[0];
    assert_eq!(early.payload.as_deref(), Some(&b"yes"[..]));
    assert_eq!((early.accepted_at, early.source_identity.as_str()), (TimestampMs(30), "hand"));
    let report = bench.backend.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Without a condition only an operator ends the wait, and takes the row with its signals away.
#[tokio::test]
#[serial]
async fn a_suspension_written_without_a_condition_is_resumed_by_an_operator() {
    let bench = bench().await;
    let uuid = suspended(&bench, "{}").await;
    let id = ExecutionId::from_parts(0, uuid);
    let args = ResumeExecutionArgs {
        execution_id: id.clone(),
        trigger_type: "operator".to_owned(),
        resume_delay_ms: 0,
    };
    bench.engine.resume_execution(args).await.unwrap();
    let handle = bench.claim(&[]).await.expect("it goes on");

    assert_eq!(handle.kind, HandleKind::Resumed);
    assert!(signals(&bench, &id, 0).await.is_empty());
}

/// What is in the map belongs to the suspension it was written for.
#[tokio::test]
#[serial]
async fn the_next_suspension_has_no_signals_of_the_one_before() {
    let bench = bench().await;
    let held = bench.held().await;
    let uuid = held.id.uuid();
    wait_by_hand(&bench, uuid, "{}").await;
    let handle = holder_of(&held);
    assert_eq!(signals(&bench, &held.id, 0).await, ["early"]);

    let binding = WaitpointBinding::Fresh {
        waitpoint_id: WaitpointId::from_uuid(Uuid::now_v7()),
        waitpoint_key: "k".to_owned(),
    };
    let args = SuspendArgs::new(
        SuspensionId::from_uuid(Uuid::now_v7()),
        binding,
        ResumeCondition::OperatorOnly,
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForApproval,
        NOW,
    );
    bench.engine.suspend(&handle, args).await.unwrap();

    assert!(signals(&bench, &held.id, 0).await.is_empty());
}

/// A map that is none names its place.
#[tokio::test]
#[serial]
async fn signals_written_by_hand_that_cannot_be_read_name_their_place() {
    let bench = bench().await;
    for map in ["[]", r#"{"k":{}}"#, r#"{"k":[{"signal_id":"x","signal_name":"go"}]}"#] {
        let uuid = suspended(&bench, "{}").await;
        let sql = "UPDATE ff_suspension_current SET member_map = ?2 WHERE execution_id = ?1";
        bench.run(sql, uuid, map.to_owned()).await;

        let id = ExecutionId::from_parts(0, uuid);
        let told = bench.engine.observe_signals(&holder(&id, 0)).await.unwrap_err().to_string();

        assert!(told.contains("ff_suspension_current.member_map"), "{told}");
        assert!(told.contains(&uuid.to_string()), "{told}");
    }
}

/// An execution that waits in attempt 0, with one signal in the suspension's map.
async fn suspended(bench: &Bench, condition: &'static str) -> Uuid {
    let uuid = Uuid::now_v7();
    let (phase, attempt) = ("suspended", "attempt_suspended");
    bench.insert(uuid, phase, "unowned", "not_applicable", "suspended", attempt).await;
    sqlx::query(
        "INSERT INTO ff_attempt (partition_key, execution_id, attempt_index, lease_epoch, started_at_ms, outcome)
         VALUES (0, ?1, 0, 7, 10, 'attempt_interrupted')",
    )
    .bind(uuid.as_bytes().as_slice())
    .execute(bench.backend.pool_for_test())
    .await
    .unwrap();
    wait_by_hand(bench, uuid, condition).await;
    uuid
}

async fn wait_by_hand(bench: &Bench, uuid: Uuid, condition: &'static str) {
    let map = serde_json::json!({ "k": [{
        "signal_id": Uuid::now_v7().to_string(),
        "signal_name": "early",
        "signal_category": "external",
        "source_type": "person",
        "source_identity": "hand",
        "correlation_id": "",
        "accepted_at": 30,
        "payload_hex": "796573",
    }] });
    sqlx::query(
        "INSERT INTO ff_suspension_current
            (partition_key, execution_id, suspension_id, suspended_at_ms, reason_code, condition, member_map)
         VALUES (0, ?1, ?2, 20, 'because', ?3, ?4)",
    )
    .bind(uuid.as_bytes().as_slice())
    .bind(Uuid::now_v7().as_bytes().as_slice())
    .bind(condition)
    .bind(map.to_string())
    .execute(bench.backend.pool_for_test())
    .await
    .unwrap();
}

/// The handle of the worker of 0.15.
fn holder_of(held: &Held) -> Handle {
    let payload = HandlePayload::new(
        held.id.clone(),
        AttemptIndex(0),
        AttemptId::from_uuid(held.attempt_id),
        LeaseId::from_uuid(held.lease_id),
        LeaseEpoch(7),
        30_000,
        LaneId::new("default"),
        WorkerInstanceId::new("worker"),
    );
    let opaque = handle_codec::encode(BackendTag::Sqlite, &payload);
    Handle::new(BackendTag::Sqlite, HandleKind::Fresh, opaque)
}

/// A handle of an attempt; reading signals asks for no more.
fn holder(id: &ExecutionId, attempt: u32) -> Handle {
    let payload = HandlePayload::new(
        id.clone(),
        AttemptIndex(attempt),
        AttemptId::from_uuid(Uuid::nil()),
        LeaseId::from_uuid(Uuid::nil()),
        LeaseEpoch(7),
        30_000,
        LaneId::new("default"),
        WorkerInstanceId::new("worker"),
    );
    let opaque = handle_codec::encode(BackendTag::Sqlite, &payload);
    Handle::new(BackendTag::Sqlite, HandleKind::Resumed, opaque)
}

async fn signals(bench: &Bench, id: &ExecutionId, attempt: u32) -> Vec<String> {
    let seen = bench.engine.observe_signals(&holder(id, attempt)).await.unwrap();
    seen.into_iter().map(|signal| signal.signal_name).collect()
}

#[tokio::test]
#[serial]
async fn a_list_of_operator_events_ends_where_a_tool_has_removed_the_newest() {
    let bench = bench().await;
    for _ in 0..3 {
        sqlx::query(
            "INSERT INTO ff_operator_event (execution_id, event_type, details, occurred_at_ms, partition_key)
             VALUES (?1, 'replayed', ?2, 1, 0)",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(r#"{"branch":"normal"}"#)
        .execute(bench.backend.pool_for_test())
        .await
        .unwrap();
    }
    sqlx::query("DELETE FROM ff_operator_event WHERE event_id > 1")
        .execute(bench.backend.pool_for_test())
        .await
        .unwrap();

    let list = bench.engine.list_operator_events(None, &ScannerFilter::NOOP, 9);
    let page = tokio::time::timeout(Duration::from_secs(5), list).await;

    assert_eq!(page.expect("it ends").unwrap().events.len(), 1);
}
