//! Storage faults: each is a typed error, nothing is acknowledged that is not there, and reads go on where they can.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, IsRetryableBusy as _, SqliteBackend, SqliteOptions};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::machine::Limits;
use ff_core::types::{DurationMs, ExecutionId};
use ff_core::{BackendError, EngineError};
use rusqlite::Connection;
use serial_test::serial;
use support::{PATIENCE, Stopwatch, claim, options, work};

fn quick(path: &Path) -> SqliteOptions {
    options(path).sweeps(false).durability(Durability::Normal)
}

async fn create(engine: &SqliteBackend, input: &[u8]) -> Result<ExecutionId, EngineError> {
    let args = work(input);
    let id = args.execution_id.clone();
    engine.create_execution(args).await.map(|_| id)
}

async fn is_there(engine: &SqliteBackend, id: &ExecutionId) -> bool {
    engine.describe_summary(id).await.unwrap().is_some()
}

async fn assert_clean(engine: &SqliteBackend) {
    let report = engine.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

fn outside(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    conn
}

fn pool_of(error: &EngineError) -> &str {
    match error {
        EngineError::ResourceExhausted { pool, retry_after_ms: Some(_), .. } => pool,
        other => panic!("not a refusal that passes: {other:?}"),
    }
}

// ---- A full disk ---------------------------------------------------------------------------------------------------

/// Creates until the disk is full; what was acknowledged is there, what was refused is not, and reads go on.
async fn fill(engine: &SqliteBackend) -> Vec<ExecutionId> {
    let mut kept = Vec::new();
    let refused = loop {
        assert!(kept.len() < 100_000, "the disk never fills");
        let args = work(&[7; 8_192]);
        let id = args.execution_id.clone();
        match engine.create_execution(args).await {
            Ok(_) => kept.push(id),
            Err(error) => {
                assert_eq!(pool_of(&error), "sqlite storage", "{error}");
                break id;
            }
        }
    };
    assert!(!kept.is_empty());
    assert!(!is_there(engine, &refused).await);
    for id in &kept {
        assert!(is_there(engine, id).await, "{id}");
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_file_that_may_not_grow_refuses_writes_until_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.db");
    let limits = Limits { retention: DurationMs(0), ..Limits::default() };
    let engine = quick(&path).limits(limits).max_pages_for_test(600).open().await.unwrap();
    let kept = fill(&engine).await;
    assert_clean(&engine).await;

    // Work that needs no new page goes on, and what retention frees is room.
    let conn = outside(&path);
    let freed = conn.execute("DELETE FROM ff_payload WHERE rowid % 2 = 0", []).unwrap();
    assert!(freed > 10);
    drop(conn);

    for _ in 0..10 {
        let id = create(&engine, &[8; 4_096]).await.unwrap();
        assert!(is_there(&engine, &id).await);
    }
    let taken = claim(&engine, "w", 30_000, 1, None).await.unwrap();
    engine.complete(&taken[0].handle, None).await.unwrap();
    for id in &kept {
        assert!(is_there(&engine, id).await);
    }
    assert_clean(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_full_file_system_refuses_writes_until_it_grows() {
    let Some(mount) = Mount::tmpfs("3m") else { return };
    let path = mount.path.join("full.db");
    let engine = quick(&path).durability(Durability::Full).open().await.unwrap();
    let kept = fill(&engine).await;
    assert_clean(&engine).await;

    mount.again("size=64m");

    let watch = Stopwatch::start();
    let id = loop {
        match create(&engine, &[9; 8_192]).await {
            Ok(id) => break id,
            Err(error) => assert_eq!(pool_of(&error), "sqlite storage", "{error}"),
        }
        assert!(watch.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(is_there(&engine, &id).await);
    assert_clean(&engine).await;
    drop(engine);
    let engine = quick(&path).open().await.unwrap();
    for id in kept.iter().chain([&id]) {
        assert!(is_there(&engine, id).await);
    }
}

/// A file system of our own; unmounted when it goes.
struct Mount {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mount {
    /// `None`, said loudly, where mounting is not permitted; with `FF_REQUIRE_MOUNTS` that is a failure.
    fn tmpfs(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(directory.path()).unwrap();
        let option = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self { path, _directory: directory }),
            failed => {
                let why = match failed {
                    Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
                    Err(error) => error.to_string(),
                };
                assert!(
                    std::env::var_os("FF_REQUIRE_MOUNTS").is_none(),
                    "cannot mount a tmpfs: {why}"
                );
                // Past the test harness, which would swallow it.
                let said = writeln!(
                    std::io::stderr(),
                    "SKIPPED: a storage fault was not tested, a tmpfs cannot be mounted here: {why}"
                );
                said.unwrap();
                None
            }
        }
    }

    fn again(&self, option: &str) {
        let option = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &option]).arg(&self.path).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, as a connection of a failed test may still hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

// ---- Files that cannot be used -------------------------------------------------------------------------------------

async fn refused(path: &Path) -> String {
    match options(path).open().await {
        Err(error @ BackendError::Sqlite { .. }) => {
            assert!(!error.kind().is_retryable(), "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_read_only_file_system_is_refused_at_the_door() {
    let Some(mount) = Mount::tmpfs("16m") else { return };
    let path = mount.path.join("read-only.db");
    let engine = quick(&path).open().await.unwrap();
    create(&engine, b"one").await.unwrap();
    drop(engine);
    mount.again("ro");

    let told = refused(&path).await;

    assert!(told.contains("read-only") || told.contains("writable"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn newer_foreign_and_damaged_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made.db");
    let engine = quick(&made).open().await.unwrap();
    create(&engine, b"one").await.unwrap();
    drop(engine);
    let copy = |name: &str| {
        let path = dir.path().join(name);
        std::fs::copy(&made, &path).unwrap();
        path
    };
    let newer = copy("newer.db");
    let conn = outside(&newer);
    conn.execute("INSERT INTO ff_schema_migration VALUES (99, 'later', 1)", []).unwrap();
    drop(conn);
    let truncated = copy("truncated.db");
    std::fs::OpenOptions::new().write(true).open(&truncated).unwrap().set_len(20_000).unwrap();
    let foreign = dir.path().join("foreign.db");
    outside(&foreign).execute_batch("CREATE TABLE song (x)").unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(&text, "not a database, and long enough to have a header ".repeat(20)).unwrap();

    for (path, part) in [
        (&newer, "schema version 99"),
        (&truncated, "malformed"),
        (&foreign, "another program"),
        (&text, "not a database"),
    ] {
        let before = std::fs::read(path).unwrap();
        let told = refused(path).await;
        assert!(told.contains(part), "{told}");
        assert!(before == std::fs::read(path).unwrap(), "{}", path.display());
    }
}

// ---- A held lock ---------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_lock_held_for_too_long_is_a_refusal_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.db");
    let engine = quick(&path).busy_timeout(Duration::from_millis(50)).open().await.unwrap();
    let before = create(&engine, b"before").await.unwrap();
    let holder = outside(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let error = create(&engine, b"while").await.unwrap_err();

    assert_eq!(pool_of(&error), "sqlite write lock");
    assert!(error.is_retryable_busy());
    assert!(is_there(&engine, &before).await, "reads do not wait for the lock");
    holder.execute_batch("COMMIT").unwrap();
    let after = create(&engine, b"after").await.unwrap();
    assert!(is_there(&engine, &after).await);
    let rows: i64 =
        holder.query_row("SELECT count(*) FROM ff_exec_core", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2, "the refused one is not there");
}

// ---- A file taken away ---------------------------------------------------------------------------------------------

async fn stops_after(change: impl FnOnce(&Path), part: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("moved.db");
    let engine = quick(&path).open().await.unwrap();
    let before = create(&engine, b"before").await.unwrap();
    change(&path);

    for _ in 0..2 {
        let refused = create(&engine, b"after").await.unwrap_err();
        assert!(matches!(refused, EngineError::Transport { .. }), "{refused:?}");
        assert!(refused.to_string().contains(part), "{refused}");
        assert!(refused.to_string().contains("the writer has stopped"), "{refused}");
    }
    assert!(is_there(&engine, &before).await, "reads go on in the file that was opened");
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_file_removed_under_a_running_process_stops_its_writer() {
    stops_after(|path| std::fs::remove_file(path).unwrap(), "is gone").await;
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_file_replaced_under_a_running_process_stops_its_writer() {
    stops_after(
        |path| {
            let other = path.with_extension("other");
            std::fs::write(&other, b"").unwrap();
            std::fs::rename(&other, path).unwrap();
        },
        "was replaced",
    )
    .await;
}

// ---- A command that fails in the middle ----------------------------------------------------------------------------

/// Creates 64 executions at once while nobody can write, so that they share a group; the answers, by input.
async fn in_one_group(
    engine: &Arc<SqliteBackend>,
    path: &Path,
) -> Vec<(u8, ExecutionId, Result<(), EngineError>)> {
    let holder = outside(path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut creates = tokio::task::JoinSet::new();
    for n in 0..64_u8 {
        let engine = Arc::clone(engine);
        creates.spawn(async move {
            let mut args = work(&[n]);
            if n == 30 {
                args.execution_kind = "poison".to_owned();
            }
            let id = args.execution_id.clone();
            (n, id, engine.create_execution(args).await.map(drop))
        });
    }
    let watch = Stopwatch::start();
    while !format!("{engine:?}").contains("waiting: 63") {
        assert!(watch.elapsed() < PATIENCE, "{engine:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    holder.execute_batch("COMMIT").unwrap();
    creates.join_all().await
}

fn poison(path: &Path, how: &str) {
    outside(path)
        .execute_batch(&format!(
            "CREATE TRIGGER poison AFTER INSERT ON ff_exec_core
             WHEN json_extract(NEW.raw_fields, '$.execution_kind') = 'poison'
             BEGIN SELECT RAISE({how}, 'poisoned'); END"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_command_that_fails_half_way_leaves_its_neighbours_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("abort.db");
    let engine = quick(&path).busy_timeout(PATIENCE).open().await.unwrap();
    // FAIL keeps what the statement did before it failed: only the group's rollback takes it back.
    for how in ["ABORT", "FAIL"] {
        poison(&path, how);
        for (n, id, answer) in in_one_group(&engine, &path).await {
            assert_eq!(answer.is_err(), n == 30, "{how} {n}: {answer:?}");
            assert_eq!(is_there(&engine, &id).await, n != 30, "{how} {n}");
            if let Err(error) = answer {
                assert!(error.to_string().contains("poisoned"), "{error}");
            }
        }
        outside(&path).execute_batch("DROP TRIGGER poison").unwrap();
    }
    create(&engine, b"after").await.unwrap();
    assert_clean(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_group_that_sqlite_rolls_back_is_answered_with_errors_that_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollback.db");
    let engine = quick(&path).busy_timeout(PATIENCE).open().await.unwrap();
    poison(&path, "ROLLBACK");

    let mut lost = 0;
    for (n, id, answer) in in_one_group(&engine, &path).await {
        assert_eq!(is_there(&engine, &id).await, answer.is_ok(), "{n}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(pool_of(&error), "sqlite storage");
            lost += 1;
        }
    }
    assert!(lost > 1, "the group was rolled back, not the one command");
    create(&engine, b"again").await.unwrap();
    assert_clean(&engine).await;
}

// ---- Bounds --------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_full_queue_refuses_and_what_it_took_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let engine = quick(&path).busy_timeout(PATIENCE).open().await.unwrap();
    let holder = outside(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut creates = tokio::task::JoinSet::new();
    for n in 0..9_000_u32 {
        let engine = Arc::clone(&engine);
        creates.spawn(async move { create(&engine, &n.to_le_bytes()).await });
    }
    // Refusals come while the writer still waits for the lock.
    let refused = creates.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(pool_of(&refused), "sqlite writer queue");
    holder.execute_batch("COMMIT").unwrap();

    let (mut kept, mut refusals) = (0, 1);
    while let Some(done) = creates.join_next().await {
        match done.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(pool_of(&error), "sqlite writer queue");
                refusals += 1;
            }
        }
    }
    assert_eq!(kept + refusals, 9_000);
    assert!(kept >= 8_192, "{kept}");
    let rows: i64 =
        holder.query_row("SELECT count(*) FROM ff_exec_core", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, kept);
}

/// Waits until so many threads of backends are left in this process: one that has opened a backend or verified it answers
/// a moment before it ends.
async fn threads_come_to(count: usize) {
    let watch = Stopwatch::start();
    loop {
        let names: Vec<_> = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .filter(|name| name.starts_with("ff-sqlite"))
            .collect();
        if names.len() == count {
            break;
        }
        assert!(watch.elapsed() < PATIENCE, "{names:?}, and not {count}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn the_log_stays_bounded_and_the_last_drop_leaves_nothing_behind() {
    const COMMANDS: u32 = 50_000;
    const LOG_MAX: u64 = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let wal = dir.path().join("log.db-wal");
    let engine = quick(&path).open().await.unwrap();
    threads_come_to(3).await;
    let mut load = tokio::task::JoinSet::new();
    for task in 0..64 {
        let engine = Arc::clone(&engine);
        load.spawn(async move {
            for n in 0..COMMANDS / 64 + 1 {
                let args = work(&(task * COMMANDS + n).to_le_bytes());
                engine.create_execution(args).await.unwrap();
            }
        });
    }
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || {
            let conn = outside(&path);
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let count = "SELECT count(*) FROM ff_exec_core WHERE length(raw_fields) > 0";
                conn.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
            }
        })
    };
    let mut largest = 0;
    while let Some(done) = load.join_next().await {
        done.unwrap();
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    drop(stop);
    reader.join().unwrap();

    // The file is never cut below its largest size before a restart, so its size now is its greatest.
    largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    println!("log: largest={} KiB after {COMMANDS} commands beside a reader", largest >> 10);
    assert!(largest <= LOG_MAX, "{largest}");
    drop(engine);
    assert!(!wal.exists(), "the last drop leaves a checkpointed file");
    threads_come_to(0).await;
}
