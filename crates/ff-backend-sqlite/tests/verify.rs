//! `verify` and `backup` on databases with a history.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteBackend, VerifyReport};
use ff_core::backend::{CapabilitySet, ClaimPolicy, FailureClass, FailureReason, Frame, FrameKind};
use ff_core::clock::ManualClock;
use ff_core::contracts::{
    CancelExecutionArgs, ChangePriorityArgs, ClaimedWork, CompositeBody, CountKind,
    DeliverSignalArgs, IdempotencyKey, ReplayExecutionArgs, ResumeCondition, ResumePolicy,
    RevokeLeaseArgs, SuspendArgs, SuspensionReasonCode, WaitpointBinding,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements};
use ff_core::types::{
    CancelSource, ExecutionId, SignalId, SuspensionId, TimestampMs, WaitpointId, WaitpointToken,
};
use support::{Stopwatch, claim, lane, options, work};

const BEGAN: i64 = 1_700_000_000_000;

async fn open(path: &Path, clock: Arc<ManualClock>) -> Arc<SqliteBackend> {
    options(path)
        .clock(clock)
        .seed(7)
        .sweeps(false)
        .durability(Durability::Normal)
        .open()
        .await
        .unwrap()
}

fn retried(times: u32) -> Option<ExecutionPolicy> {
    Some(ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries: times,
            backoff: BackoffStrategy::Fixed { delay_ms: 1_000 },
            retryable_categories: Vec::new(),
        }),
        max_reclaim_count: 3,
        max_replay_count: 5,
        ..ExecutionPolicy::default()
    })
}

fn needing(capabilities: &[&str]) -> Option<ExecutionPolicy> {
    Some(ExecutionPolicy {
        routing_requirements: Some(RoutingRequirements {
            required_capabilities: capabilities.iter().map(|token| (*token).to_owned()).collect(),
            ..RoutingRequirements::default()
        }),
        ..ExecutionPolicy::default()
    })
}

async fn take(engine: &Arc<SqliteBackend>) -> ClaimedWork {
    claim(engine, "w", 30_000, 1, None).await.unwrap().pop().expect("something is claimable")
}

async fn cancel(engine: &SqliteBackend, id: &ExecutionId) {
    engine
        .cancel_execution(CancelExecutionArgs {
            execution_id: id.clone(),
            reason: "tests".to_owned(),
            source: CancelSource::OperatorOverride,
            lease_id: None,
            lease_epoch: None,
            attempt_id: None,
            now: TimestampMs(0),
        })
        .await
        .unwrap();
}

async fn replay(engine: &SqliteBackend, id: &ExecutionId) {
    let args = ReplayExecutionArgs { execution_id: id.clone(), now: TimestampMs(0) };
    engine.replay_execution(args).await.unwrap();
}

/// Suspends until two sources have signalled.
async fn park(engine: &SqliteBackend, taken: &ClaimedWork) -> (WaitpointId, WaitpointToken) {
    let binding =
        WaitpointBinding::Fresh { waitpoint_id: WaitpointId::new(), waitpoint_key: "k".to_owned() };
    let kind = CountKind::DistinctSources;
    let condition =
        ResumeCondition::Composite(CompositeBody::count(2, kind, None, ["k".to_owned()]));
    let args = SuspendArgs::new(
        SuspensionId::new(),
        binding,
        condition,
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForApproval,
        TimestampMs(0),
    )
    .with_idempotency_key(IdempotencyKey::new("step"));
    let outcome = engine.suspend(&taken.handle, args).await.unwrap();
    let details = outcome.details();
    (details.waitpoint_id.clone(), details.waitpoint_token.token().clone())
}

async fn signal(
    engine: &SqliteBackend,
    id: &ExecutionId,
    waitpoint: &WaitpointId,
    token: &WaitpointToken,
    source: &str,
) {
    let args = DeliverSignalArgs {
        execution_id: id.clone(),
        waitpoint_id: waitpoint.clone(),
        signal_id: SignalId::new(),
        signal_name: "go".to_owned(),
        signal_category: "external".to_owned(),
        source_type: "person".to_owned(),
        source_identity: source.to_owned(),
        payload: None,
        payload_encoding: None,
        correlation_id: None,
        idempotency_key: Some(source.to_owned()),
        target_scope: "waitpoint".to_owned(),
        created_at: None,
        dedup_ttl_ms: None,
        resume_delay_ms: None,
        max_signals_per_execution: None,
        signal_maxlen: None,
        waitpoint_token: token.clone(),
        now: TimestampMs(0),
    };
    engine.deliver_signal(args).await.unwrap();
}

/// Every way an execution can go, and one left in every state.
async fn busy_history(engine: &Arc<SqliteBackend>, clock: &ManualClock) {
    let second = Duration::from_secs(1);
    for round in 0..4_u8 {
        // Completed, replayed, completed again.
        let id = work(&[round]).execution_id;
        let mut args = work(&[round]);
        args.execution_id = id.clone();
        engine.create_execution(args).await.unwrap();
        let taken = take(engine).await;
        engine.renew(&taken.handle).await.unwrap();
        for line in ["one", "two", "three"] {
            let frame = Frame::new(line.as_bytes().to_vec(), FrameKind::Stdout);
            engine.append_frame(&taken.handle, frame).await.unwrap();
        }
        engine.progress(&taken.handle, Some(50), Some("half".to_owned())).await.unwrap();
        engine.complete(&taken.handle, Some(vec![round])).await.unwrap();
        clock.advance(second);
        replay(engine, &id).await;
        engine.complete(&take(engine).await.handle, None).await.unwrap();

        // Failed with a retry, then for good.
        let mut args = work(&[round; 3_000]);
        args.policy = retried(1);
        engine.create_execution(args).await.unwrap();
        for _ in 0..2 {
            let taken = take(engine).await;
            let reason = FailureReason::new("no");
            engine.fail(&taken.handle, reason, FailureClass::Transient).await.unwrap();
            clock.advance(second * 2);
        }

        // Its worker dies, a second one gives it back, a third one loses it to an operator.
        let mut args = work(&[round, 2]);
        args.policy = retried(1);
        engine.create_execution(args).await.unwrap();
        take(engine).await;
        clock.advance(second * 31);
        engine.release_lease(&take(engine).await.handle).await.unwrap();
        let taken = take(engine).await;
        engine
            .revoke_lease(RevokeLeaseArgs {
                execution_id: taken.execution_id.clone(),
                expected_lease_id: None,
                worker_instance_id: "w".into(),
                reason: "tests".to_owned(),
            })
            .await
            .unwrap();
        let taken = take(engine).await;
        let later = TimestampMs(BEGAN + 3_600_000);
        engine.delay(&taken.handle, later).await.unwrap();
        cancel(engine, &taken.execution_id).await;

        // Expired in line, and cancelled while it runs.
        let mut args = work(&[round, 3]);
        args.priority = 5;
        engine.create_execution(args).await.unwrap();
        let taken = take(engine).await;
        cancel(engine, &taken.execution_id).await;
        clock.advance(second);
    }
    // Waited and went on, was cancelled while it waited, waits still; each with a keyed signal.
    for way in 0..3_u8 {
        engine.create_execution(work(&[way])).await.unwrap();
        let taken = take(engine).await;
        let (waitpoint, token) = park(engine, &taken).await;
        signal(engine, &taken.execution_id, &waitpoint, &token, "first").await;
        match way {
            0 => {
                signal(engine, &taken.execution_id, &waitpoint, &token, "second").await;
                let resumed = take(engine).await;
                assert_eq!(resumed.signals.len(), 2);
                engine.complete(&resumed.handle, None).await.unwrap();
            }
            1 => cancel(engine, &taken.execution_id).await,
            _ => {}
        }
    }
    // What is left in line: behind a gate, delayed, changed, and running.
    let mut args = work(b"gated");
    args.policy = needing(&["zeta", "Alpha"]);
    engine.create_execution(args).await.unwrap();
    let mut args = work(b"gated and running");
    args.policy = needing(&["gpu"]);
    engine.create_execution(args).await.unwrap();
    let policy = ClaimPolicy::new("w".into(), "w".into(), 30_000, None);
    let held = engine.claim(&lane(), &CapabilitySet::new(["gpu"]), policy).await.unwrap();
    assert!(held.is_some());
    let mut args = work(b"delayed");
    args.delay_until = Some(TimestampMs(BEGAN + 86_400_000));
    engine.create_execution(args).await.unwrap();
    let args = work(b"changed");
    let id = args.execution_id.clone();
    engine.create_execution(args).await.unwrap();
    engine
        .change_priority(ChangePriorityArgs {
            execution_id: id,
            new_priority: 9,
            lane_id: lane(),
            now: TimestampMs(0),
        })
        .await
        .unwrap();
}

/// A database with a history, at rest.
async fn made(directory: &Path) -> PathBuf {
    let path = directory.join("made.db");
    let clock = Arc::new(ManualClock::new(BEGAN));
    let engine = open(&path, Arc::clone(&clock)).await;
    busy_history(&engine, &clock).await;
    let report = engine.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.checks.len(), 27);
    let resting = directory.join("resting.db");
    let backed_up = engine.backup(&resting).await.unwrap();
    assert_eq!(std::fs::metadata(&resting).unwrap().len(), backed_up.bytes);
    resting
}

/// What `verify` says of a copy of `resting` after `damage`.
async fn verified_after(resting: &Path, number: usize, damage: &str) -> VerifyReport {
    let path = resting.with_file_name(format!("damaged-{number}.db"));
    std::fs::copy(resting, &path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let before = conn.total_changes();
    conn.execute_batch(damage).unwrap_or_else(|error| panic!("{damage}: {error}"));
    assert!(
        conn.total_changes() > before || damage.contains("writable_schema"),
        "changes something: {damage}"
    );
    drop(conn);
    let engine = open(&path, Arc::new(ManualClock::new(BEGAN))).await;
    engine.verify().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_is_found_by_its_own_check() {
    let dir = tempfile::tempdir().unwrap();
    let resting = made(dir.path()).await;
    let damages = [
        (
            "I12",
            "is still open",
            "INSERT INTO ff_waitpoint_closed (partition_key, waitpoint_id, execution_id, waitpoint_key, token_kid,
                 created_at_ms, required_signal_names, closed_at_ms, close_reason)
             SELECT partition_key, waitpoint_id, execution_id, waitpoint_key, token_kid, created_at_ms, '[]', 1, 'resumed'
             FROM ff_waitpoint_pending",
        ),
        (
            "I12",
            "outlived its suspension",
            "UPDATE ff_waitpoint_pending SET suspension_id = x'00000000000000000000000000000001'",
        ),
        ("I13", "numbered up to", "DELETE FROM ff_signal WHERE seq = 1 AND EXISTS (
             SELECT 1 FROM ff_signal AS g WHERE g.execution_id = ff_signal.execution_id AND g.seq = 2)"),
        ("I13", "the signal is gone", "UPDATE ff_signal_dedup SET signal_id = x'00000000000000000000000000000001'"),
        ("I13", "has adopted", "UPDATE ff_signal SET suspension_id = NULL"),
        (
            "I15",
            "its suspension ended",
            "UPDATE ff_suspension_current SET closed_at_ms = 1, close_reason = 'resumed' WHERE closed_at_ms IS NULL",
        ),
        ("I15", "under an open suspension", "UPDATE ff_suspension_current SET closed_at_ms = NULL"),
        (
            "I1",
            "cannot be found in line",
            "UPDATE ff_exec_core SET gate_key = NULL WHERE claimable = 1 AND public_state = 'waiting' AND gate_key = ''",
        ),
        (
            "I1",
            "waits for nothing",
            "UPDATE ff_exec_core SET eligibility_state = 'not_applicable', blocking_reason = NULL
             WHERE public_state = 'waiting' AND gate_key = ''",
        ),
        (
            "I2",
            "a run that ended twice",
            "INSERT INTO ff_completion_event (partition_key, execution_id, outcome, occurred_at_ms, committed_at_ms, run)
             SELECT partition_key, execution_id, outcome, occurred_at_ms, committed_at_ms, run
             FROM ff_completion_event WHERE event_id = (SELECT max(event_id) FROM ff_completion_event)",
        ),
        (
            "I3",
            "a second lease",
            "UPDATE ff_attempt SET lease_expires_at_ms = 1 WHERE rowid = (
                 SELECT a.rowid FROM ff_attempt AS a JOIN ff_exec_core AS e USING (partition_key, execution_id)
                 WHERE e.public_state = 'completed')",
        ),
        (
            "I4",
            "an acquisition without a new epoch",
            "UPDATE ff_lease_event SET lease_epoch = 1 WHERE event_type IN ('acquired', 'reclaimed')
                 AND event_id = (SELECT max(event_id) FROM ff_lease_event WHERE lease_epoch = 2
                     AND event_type IN ('acquired', 'reclaimed'))",
        ),
        (
            "I5",
            "an attempt that wrote with an old epoch",
            "UPDATE ff_attempt SET lease_epoch = 0 WHERE rowid = (
                 SELECT max(rowid) FROM ff_attempt WHERE attempt_index = 1)",
        ),
        (
            "I5",
            "a renewal by a former holder",
            "INSERT INTO ff_lease_event (execution_id, event_type, occurred_at_ms, partition_key, lease_epoch)
             SELECT execution_id, 'renewed', (SELECT max(occurred_at_ms) FROM ff_lease_event), partition_key, 1
             FROM ff_lease_event WHERE lease_epoch = 4 LIMIT 1",
        ),
        (
            "I28",
            "a frame out of order",
            "UPDATE ff_stream_frame SET number = 1 WHERE number = 2",
        ),
        (
            "I28",
            "a frame after the end",
            "UPDATE ff_stream_frame SET created_at_ms = created_at_ms + 1000000000 WHERE number = 3",
        ),
        ("I28", "a frame that is gone", "DELETE FROM ff_stream_frame WHERE number = 1"),
        (
            "I28",
            "a frame beyond the count",
            "UPDATE ff_stream_frame SET number = 9 WHERE number = 3",
        ),
        (
            "I6",
            "an end that was not announced",
            "DELETE FROM ff_completion_event WHERE event_id = 3",
        ),
        (
            "I6",
            "an announcement without an end",
            "INSERT INTO ff_completion_event (partition_key, execution_id, outcome, occurred_at_ms, committed_at_ms)
             SELECT partition_key, execution_id, 'success', created_at_ms + 1, 1
             FROM ff_exec_core WHERE public_state = 'active'",
        ),
        (
            "I7",
            "a move that is not legal",
            "UPDATE ff_transition SET from_state = 'cancelled' WHERE version = 1 AND from_state IS NULL",
        ),
        (
            "I7",
            "a move that begins elsewhere",
            "DELETE FROM ff_transition WHERE to_state = 'active' AND version = 2",
        ),
        (
            "I7",
            "a public state that is not the derived one",
            "UPDATE ff_exec_core SET public_state = 'suspended' WHERE public_state = 'active'",
        ),
        (
            "I8",
            "a gap between attempts",
            "DELETE FROM ff_attempt WHERE attempt_index = 0 AND execution_id IN (
                 SELECT execution_id FROM ff_attempt WHERE attempt_index = 1)",
        ),
        (
            "I8",
            "an attempt that is still open after the end",
            "UPDATE ff_attempt SET outcome = NULL, terminal_at_ms = NULL WHERE outcome = 'success'",
        ),
        (
            "I8",
            "more reclaims than allowed",
            "UPDATE ff_exec_core SET lease_reclaim_count = 4 WHERE lease_reclaim_count = 2",
        ),
        (
            "I8",
            "more retries than attempts",
            "UPDATE ff_exec_core SET raw_fields = json_set(raw_fields, '$.retry_count', '9')
             WHERE public_state = 'failed'",
        ),
        (
            "I9",
            "a claim of what was cancelled",
            "INSERT INTO ff_lease_event (execution_id, event_type, occurred_at_ms, partition_key, lease_epoch)
             SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4)
                 || '-' || substr(h, 21), 'acquired', (SELECT floor_ms FROM ff_engine_clock), partition_key, 99
             FROM (SELECT lower(hex(execution_id)) AS h, partition_key FROM ff_exec_core
                 WHERE public_state = 'cancelled' LIMIT 1)",
        ),
        (
            "I26",
            "an event before the one before it",
            "UPDATE ff_lease_event SET occurred_at_ms = occurred_at_ms - 60000
             WHERE event_id = (SELECT max(event_id) FROM ff_lease_event WHERE event_type = 'revoked')",
        ),
        (
            "I35",
            "attempts and moves of an execution that is gone",
            "DELETE FROM ff_exec_core WHERE public_state = 'failed'",
        ),
        (
            "state",
            "an end without an outcome",
            "UPDATE ff_exec_core SET terminal_outcome = NULL WHERE public_state = 'failed'",
        ),
        (
            "state",
            "a lease without an expiry",
            "UPDATE ff_attempt SET lease_expires_at_ms = NULL WHERE lease_expires_at_ms IS NOT NULL",
        ),
        (
            "gate_key",
            "a gate that is not the capabilities",
            "UPDATE ff_exec_core SET gate_key = 'zeta,Alpha' WHERE gate_key = 'Alpha,zeta'",
        ),
        (
            "clock",
            "a floor that fell",
            "UPDATE ff_engine_clock SET floor_ms = 1700000000000",
        ),
        (
            "ledgers",
            "a ledger that grew",
            "INSERT INTO ff_migration_annotation VALUES (22, '0022_new', 1, 1)",
        ),
        (
            "ledgers",
            "a ledger that shrank",
            "DELETE FROM _sqlx_migrations WHERE version = 18",
        ),
    ];
    let mut tried = BTreeSet::new();
    for (number, (check, what, damage)) in damages.into_iter().enumerate() {
        let report = verified_after(&resting, number, damage).await;
        let fired: Vec<_> = report.failed().map(|check| check.name.as_str()).collect();
        assert_eq!(fired, [check], "{what}: {report}");
        tried.insert(check);
    }
    assert_eq!(tried.len(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_found_and_the_other_checks_still_run() {
    let dir = tempfile::tempdir().unwrap();
    let resting = made(dir.path()).await;
    let damage = "PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET rootpage = (
            SELECT rootpage FROM sqlite_schema WHERE name = 'ff_create_dedup_expiry')
        WHERE name = 'ff_claim_grant_expiry'";

    let report = verified_after(&resting, 99, damage).await;

    let fired: Vec<_> = report.failed().map(|check| check.name.as_str()).collect();
    assert_eq!(fired, ["I33"], "{report}");
}

/// Rows that only have the contract's columns, in states the engine would not write.
#[tokio::test(flavor = "multi_thread")]
async fn rows_written_by_hand_are_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let resting = made(dir.path()).await;
    let by_hand = "
        INSERT INTO ff_exec_core (partition_key, execution_id, lane_id, lifecycle_phase, ownership_state,
            eligibility_state, public_state, attempt_state, created_at_ms)
        VALUES (0, x'00000000000000000000000000000001', 'l', 'active', 'leased', 'not_applicable', 'running',
                'running_attempt', 5),
            (0, x'00000000000000000000000000000002', 'l', 'runnable', 'released', 'pending_claim', 'pending',
                'initial', 9999999999999),
            (0, x'00000000000000000000000000000003', 'l', 'cancelled', 'unowned', 'cancelled', 'cancelled',
                'cancelled', 5),
            (3, x'00000000000000000000000000000004', 'l', 'suspended', 'released', 'not_applicable', 'suspended',
                'attempt_suspended', 5);
        INSERT INTO ff_execution_capabilities VALUES (x'00000000000000000000000000000002', 'gpu'),
            (x'00000000000000000000000000000002', 'arm');
        INSERT INTO ff_attempt (partition_key, execution_id, attempt_index, lease_epoch, worker_instance_id,
            lease_expires_at_ms)
        VALUES (0, x'00000000000000000000000000000001', 0, 7, 'w', 9999999999999),
            (3, x'00000000000000000000000000000004', 4, 2, '', NULL);
        INSERT INTO ff_completion_event (partition_key, execution_id, outcome, occurred_at_ms)
        VALUES (0, x'00000000000000000000000000000003', 'cancelled', 5),
            (0, x'00000000000000000000000000000003', 'cancelled', 4);
        INSERT INTO ff_lease_event (execution_id, event_type, occurred_at_ms, partition_key)
        VALUES ('00000000-0000-0000-0000-000000000001', 'acquired', 9999999999999, 0)";

    let report = verified_after(&resting, 98, by_hand).await;

    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_runs_on_a_database_in_memory() {
    let engine = ff_backend_sqlite::SqliteOptions::new("file:verify test?mode=memory&cache=shared")
        .sweeps(false)
        .open()
        .await
        .unwrap();
    for n in 0..20_u8 {
        engine.create_execution(work(&[n])).await.unwrap();
        engine.complete(&take(&engine).await.handle, None).await.unwrap();
    }
    assert!(engine.verify().await.unwrap().is_clean());

    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("copy.db");
    engine.backup(&target).await.unwrap();
    let copy = options(&target).open().await.unwrap();
    assert!(copy.verify().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_has_everything_acknowledged_before_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let engine =
        options(&dir.path().join("live.db")).durability(Durability::Normal).open().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (engine, stopped, acknowledged) =
            (Arc::clone(&engine), stopped.clone(), Arc::clone(&acknowledged));
        load.spawn(async move {
            while !*stopped.borrow() {
                let args = work(&[1; 512]);
                let id = args.execution_id.clone();
                engine.create_execution(args).await.unwrap();
                acknowledged.lock().unwrap().push(id);
                if let Some(taken) = claim(&engine, "w", 30_000, 1, None).await.unwrap().pop() {
                    engine.complete(&taken.handle, Some(vec![2; 64])).await.unwrap();
                }
            }
        });
    }
    let watch = Stopwatch::start();
    while acknowledged.lock().unwrap().len() < 2_000 {
        assert!(watch.elapsed() < support::PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let known = acknowledged.lock().unwrap().clone();

    let target = dir.path().join("copy.db");
    let report = engine.backup(&target).await.unwrap();
    let after = acknowledged.lock().unwrap().len();
    let live = engine.verify().await.unwrap();
    stop.send_replace(true);
    while let Some(done) = load.join_next().await {
        done.unwrap();
    }

    assert!(after > known.len(), "the load went on during the backup");
    assert!(live.is_clean(), "{live}");
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(report.pages * 4096, report.bytes);
    let copy = options(&target).open().await.unwrap();
    for id in &known {
        assert!(copy.describe_summary(id).await.unwrap().is_some(), "{id}");
    }
    let report = copy.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_refuses_a_name_that_is_taken_and_a_failed_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let engine = options(&path).open().await.unwrap();
    engine.create_execution(work(b"one")).await.unwrap();
    let taken = dir.path().join("taken.db");
    std::fs::write(&taken, b"mine").unwrap();

    for target in [&path, &taken] {
        let refused = engine.backup(target).await.unwrap_err().to_string();
        assert!(refused.contains("exists"), "{refused}");
    }
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    let nowhere = dir.path().join("none/copy.db");
    let refused = engine.backup(&nowhere).await.unwrap_err().to_string();
    assert!(refused.contains("could not write the backup"), "{refused}");

    let left: BTreeSet<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        left,
        ["live.db", "live.db-shm", "live.db-wal", "taken.db"].map(str::to_owned).into()
    );
}
