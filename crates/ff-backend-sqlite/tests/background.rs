//! Background work, and what must not stop it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteBackend};
use ff_core::clock::ManualClock;
use ff_core::contracts::{
    CancelExecutionArgs, FindExecutionsArgs, ListWaitingArgs, ResumeCondition, ResumePolicy,
    SuspendArgs, SuspensionReasonCode, WaitpointBinding,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::types::{CancelSource, ExecutionId, SuspensionId, TimestampMs, WaitpointId};
use support::{PATIENCE, Stopwatch, claim, options, work};

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn ended(engine: &SqliteBackend, input: &[u8]) -> ExecutionId {
    let args = work(input);
    let id = args.execution_id.clone();
    engine.create_execution(args).await.unwrap();
    let cancel = CancelExecutionArgs {
        execution_id: id.clone(),
        reason: "done with it".to_owned(),
        source: CancelSource::OperatorOverride,
        lease_id: None,
        lease_epoch: None,
        attempt_id: None,
        now: TimestampMs(0),
    };
    engine.cancel_execution(cancel).await.unwrap();
    id
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let engine =
        options(&dir.path().join("a.db")).clock(clock.clone()).sweeps(false).open().await.unwrap();
    let damaged = ended(&engine, b"damaged").await;
    let sound = ended(&engine, b"sound").await;
    sqlx::query("UPDATE ff_exec_core SET policy = '{' WHERE execution_id = ?")
        .bind(damaged.uuid())
        .execute(engine.pool_for_test())
        .await
        .unwrap();

    let listed = engine.find_executions(FindExecutionsArgs::new()).await.unwrap().executions;
    clock.advance(A_DAY);
    let swept = engine.sweep().await.unwrap();

    assert_eq!(listed.iter().map(|one| &one.execution_id).collect::<Vec<_>>(), [&sound]);
    assert_eq!(swept.forgotten, 1);
    assert!(engine.read_execution_state(&sound).await.unwrap().is_none());
    assert!(engine.read_execution_state(&damaged).await.is_err());
}

/// Executions that wait, in the order of their ids.
async fn waiting(engine: &SqliteBackend, count: u32) -> Vec<ExecutionId> {
    for _ in 0..count {
        engine.create_execution(work(b"waits")).await.unwrap();
    }
    let taken = claim(engine, "w", 30_000, count, None).await.unwrap();
    for taken in &taken {
        let waitpoint_key = "k".to_owned();
        let args = SuspendArgs::new(
            SuspensionId::new(),
            WaitpointBinding::Fresh { waitpoint_id: WaitpointId::new(), waitpoint_key },
            ResumeCondition::OperatorOnly,
            ResumePolicy::normal(),
            SuspensionReasonCode::WaitingForApproval,
            TimestampMs(0),
        );
        engine.suspend(&taken.handle, args).await.unwrap();
    }
    let mut ids: Vec<_> = taken.into_iter().map(|taken| taken.execution_id).collect();
    ids.sort_by_key(ExecutionId::uuid);
    ids
}

#[tokio::test]
async fn a_suspension_that_cannot_be_read_hides_no_other_from_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options(&dir.path().join("a.db")).sweeps(false).open().await.unwrap();
    let ids = waiting(&engine, 6).await;
    for (sql, damaged) in [
        ("UPDATE ff_suspension_current SET condition = '{' WHERE execution_id = ?", &ids[1]),
        ("UPDATE ff_exec_core SET policy = '{' WHERE execution_id = ?", &ids[3]),
    ] {
        sqlx::query(sql).bind(damaged.uuid()).execute(engine.pool_for_test()).await.unwrap();
    }

    let (mut listed, mut args) = (Vec::new(), ListWaitingArgs::new().with_limit(2));
    loop {
        let page = engine.list_waiting(args.clone()).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.execution_id));
        args.after = page.next_cursor;
        if args.after.is_none() {
            break;
        }
    }
    let (mut suspended, mut cursor) = (Vec::new(), None);
    let of = PartitionKey::from(&Partition {
        family: PartitionFamily::Execution,
        index: ids[0].partition(),
    });
    loop {
        let page = engine.list_suspended(of.clone(), cursor, 2).await.unwrap();
        suspended.extend(page.entries.into_iter().map(|entry| entry.execution_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }

    let but = |left_out: &[usize]| -> Vec<ExecutionId> {
        let kept = ids.iter().enumerate().filter(|(place, _)| !left_out.contains(place));
        kept.map(|(_, id)| id.clone()).collect()
    };
    assert_eq!(listed, but(&[1, 3]));
    assert_eq!(suspended, but(&[1]));
}

#[tokio::test]
async fn a_raw_wake_up_tells_of_what_is_committed_after_the_subscription() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options(&dir.path().join("a.db")).sweeps(false).open().await.unwrap();
    ended(&engine, b"before").await;

    let mut wakes = engine.subscribe_completion_for_test();
    ended(&engine, b"after").await;

    assert_eq!(wakes.recv().await.unwrap().event_id, 2);
    assert!(wakes.try_recv().is_err());
}

#[tokio::test]
async fn an_attempt_timeout_fires_by_itself_soon_after_a_claim() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options(&dir.path().join("a.db")).open().await.unwrap();
    let args = work(b"slow");
    let id = args.execution_id.clone();
    engine.create_execution(args).await.unwrap();
    let held = claim(&engine, "w", 300, 1, None).await.unwrap();
    assert_eq!(held.len(), 1);

    let waited = Stopwatch::start();
    loop {
        let transitions = engine.list_transitions(&id, None, 10).await.unwrap();
        if transitions.iter().any(|one| one.cause == "lease_expired") {
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(5), "the lease's end went unnoticed");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pages_that_retention_frees_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let options = options(&path).clock(clock.clone()).durability(Durability::Normal);
    let engine = options.open().await.unwrap();
    for _ in 0..60 {
        ended(&engine, &vec![7; 512 * 1024]).await;
    }
    let pages = || async {
        sqlx::query_scalar::<_, i64>("PRAGMA page_count")
            .fetch_one(engine.pool_for_test())
            .await
            .unwrap()
    };
    let full = pages().await;
    assert!(full > 7_000, "{full} pages");

    clock.advance(A_DAY);
    ended(&engine, b"a commit makes the sweep look").await;

    let waited = Stopwatch::start();
    while pages().await > full / 2 {
        assert!(waited.elapsed() < PATIENCE, "{} of {full} pages are still held", pages().await);
        tokio::task::yield_now().await;
    }
}
