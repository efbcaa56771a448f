//! I/O errors: the disk fails one call, or all from one on, under every hot operation. Nothing is acknowledged that is not
//! kept, nothing is kept by halves, nobody waits for ever, and a sync that fails stops the writer for good.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ff_backend_sqlite::{Durability, SqliteBackend, SqliteOptions, WriterStopped};
use ff_core::EngineError;
use ff_core::backend::{FailureClass, FailureReason};
use ff_core::contracts::{ClaimedWork, CreateExecutionArgs};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::types::ExecutionId;
use ff_faultvfs::{Call, Fault, FaultVfs, On};
use rusqlite::{Connection, OptionalExtension as _};
use support::{PATIENCE, Stopwatch, claim, options, work};

/// A database on a disk that fails when it is told to.
struct World {
    directory: tempfile::TempDir,
    disk: FaultVfs,
}

impl World {
    fn new(name: &str) -> Self {
        // In memory where there is such a directory: it is the engine that is tried, and the sweep syncs often.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { directory: directory.unwrap(), disk: FaultVfs::register(name) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("io.db")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("io.db-wal")
    }

    fn options(&self) -> SqliteOptions {
        options(&self.path()).sweeps(false).read_connections(1).vfs(self.disk.name())
    }

    async fn open(&self) -> Arc<SqliteBackend> {
        self.options().open().await.unwrap()
    }

    fn syncs(&self) -> u64 {
        self.disk.count_on_all(Call::Sync)
    }
}

async fn open_without_faults(path: &Path) -> Arc<SqliteBackend> {
    options(path).sweeps(false).open().await.unwrap()
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

/// Whether an error is the writer's last word.
fn is_stopped(error: &EngineError) -> bool {
    let EngineError::Transport { source, .. } = error else { return false };
    source.downcast_ref::<WriterStopped>().is_some()
}

/// The writer is a thread, so that it hangs is a failure that a test must end by itself.
async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, answer).await.expect("an answer, not a hang")
}

// ---- A sync that fails -----------------------------------------------------------------------------------------------

/// After the one failed sync: nothing is acknowledged or synced any more, reads go on, and the log is left for the next
/// start, which finds everything that was acknowledged.
async fn stops_for_good(world: &World, engine: Arc<SqliteBackend>, kept: &[ExecutionId]) {
    let syncs = world.syncs();
    assert_eq!(world.disk.heal(), 1, "the disk failed once and works again");
    for n in 0..3 {
        let refused = in_time(create(&engine, &[n])).await.unwrap_err();
        assert!(is_stopped(&refused), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains("the writer has stopped") && told.contains("ff verify"), "{told}");
    }
    for id in kept {
        assert!(is_there(&engine, id).await, "{id}");
    }

    drop(engine);

    assert_eq!(world.syncs(), syncs, "a failed sync is not tried again, by closing neither");
    assert!(world.log().exists(), "the log is what the next start recovers from");
    let engine = open_without_faults(&world.path()).await;
    for id in kept {
        assert!(is_there(&engine, id).await, "{id}");
    }
    assert_clean(&engine).await;
    let after = create(&engine, b"after").await.unwrap();
    assert!(is_there(&engine, &after).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sync_fails_is_not_acknowledged_and_stops_the_writer() {
    let world = World::new("commit-sync");
    let engine = world.open().await;
    let mut kept = Vec::new();
    for n in 0..5 {
        kept.push(create(&engine, &[n]).await.unwrap());
    }
    world.disk.fail(Fault::nth(Call::Sync, On::Wal, 1));

    let mut creates = tokio::task::JoinSet::new();
    for n in 0..20 {
        let engine = Arc::clone(&engine);
        creates.spawn(async move { create(&engine, &[n]).await });
    }
    for answer in in_time(creates.join_all()).await {
        let error = answer.unwrap_err();
        assert!(matches!(error, EngineError::Transport { .. }), "{error:?}");
    }

    stops_for_good(&world, engine, &kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_whose_sync_fails_stops_the_writer() {
    let world = World::new("checkpoint-sync");
    let engine = world.open().await;
    world.disk.fail(Fault::nth(Call::Sync, On::Main, 1));

    let mut kept = Vec::new();
    let refused = loop {
        assert!(kept.len() < 5_000, "the log never grew to a checkpoint");
        let batch: Vec<_> = (0..50).map(|n| work(&[n; 4_096])).collect();
        let ids: Vec<_> = batch.iter().map(|args| args.execution_id.clone()).collect();
        match in_time(engine.create_executions(batch)).await {
            Ok(_) => kept.extend(ids),
            Err(error) => break error,
        }
    };

    assert!(!kept.is_empty() && is_stopped(&refused), "{refused:?}");
    assert!(refused.to_string().contains("could not checkpoint the log"), "{refused}");
    stops_for_good(&world, engine, &kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_checkpoint_whose_sync_fails_leaves_the_log() {
    let world = World::new("last-sync");
    let engine = world.open().await;
    let kept = create(&engine, b"one").await.unwrap();
    world.disk.fail(Fault::nth(Call::Sync, On::Main, 1));

    drop(engine);

    assert_eq!(world.disk.heal(), 1);
    assert!(world.log().exists());
    let engine = open_without_faults(&world.path()).await;
    assert!(is_there(&engine, &kept).await);
    assert_clean(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_syncs_the_log_once_before_it_is_acknowledged() {
    for (name, durability, syncs) in
        [("full", Durability::Full, 1), ("normal", Durability::Normal, 0)]
    {
        let world = World::new(name);
        let engine = world.options().durability(durability).open().await.unwrap();
        // The first commit may also sync the head of a new log.
        create(&engine, b"first").await.unwrap();
        for n in 0..10 {
            let before = world.disk.count(Call::Sync, On::Wal);
            create(&engine, &[n]).await.unwrap();
            assert_eq!(world.disk.count(Call::Sync, On::Wal) - before, syncs, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_page_under_a_command_stops_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corrupt.db");
    let engine = open_without_faults(&path).await;
    create(&engine, b"one").await.unwrap();
    drop(engine);
    let conn = Connection::open(&path).unwrap();
    let page: i64 = conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'ff_exec_core'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(conn);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 64], u64::try_from(page - 1).unwrap() * 4_096).unwrap();
    let engine = open_without_faults(&path).await;

    for n in 0..2 {
        let error = in_time(create(&engine, &[n])).await.unwrap_err();

        assert!(is_stopped(&error), "{error:?}");
        assert!(error.to_string().contains("malformed"), "{error}");
    }
}

// ---- Reads -----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_is_told_and_the_next_one_works() {
    let world = World::new("read");
    let engine = world.open().await;
    let id = create(&engine, b"one").await.unwrap();
    drop(engine);
    // Opened anew, its caches are cold.
    let engine = world.open().await;
    world.disk.fail(Fault::nth(Call::Read, On::Main, 1).for_ever());

    let error = in_time(engine.describe_summary(&id)).await.unwrap_err();

    assert!(matches!(error, EngineError::Transport { .. }), "{error:?}");
    assert!(world.disk.heal() > 0);
    assert!(is_there(&engine, &id).await);
    create(&engine, b"two").await.unwrap();
}

// ---- The sweep -------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    CreateBatch,
    Claim,
    Renew,
    Complete,
    Fail,
    Cancel,
    Delay,
}

/// What is asked of the engine. It is known before the answer is.
enum Ask {
    Create(Vec<CreateExecutionArgs>),
    Claim,
    Held(Operation, Box<ClaimedWork>),
}

/// What an acknowledgement promised.
enum Told {
    Done,
    Claimed(ExecutionId, u64),
    Renewed(i64),
}

/// A row as an outsider reads it, without a line of the engine's code.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    state: String,
    result: Option<Vec<u8>>,
    epoch: i64,
    lease_ends: Option<i64>,
}

const RESULT: &[u8] = b"result";

/// Longer than every test.
const LEASE_MS: u32 = 3_600_000;

/// Rows of a batch.
const BATCH: u8 = 5;

impl Ask {
    async fn of(&self, engine: &SqliteBackend) -> Result<Told, EngineError> {
        match self {
            Self::Create(rows) if rows.len() == 1 => {
                engine.create_execution(rows[0].clone()).await.map(|_| Told::Done)
            }
            Self::Create(rows) => engine.create_executions(rows.clone()).await.map(|_| Told::Done),
            Self::Claim => {
                let taken = claim(engine, "w", LEASE_MS, 1, None).await?;
                let [one] = &taken[..] else { panic!("there is work: {taken:?}") };
                Ok(Told::Claimed(one.execution_id.clone(), one.lease_epoch.0))
            }
            Self::Held(operation, held) => ask_of_holder(engine, *operation, held).await,
        }
    }
}

async fn ask_of_holder(
    engine: &SqliteBackend,
    operation: Operation,
    held: &ClaimedWork,
) -> Result<Told, EngineError> {
    let handle = &held.handle;
    match operation {
        Operation::Renew => {
            let renewed = engine.renew(handle).await?;
            return Ok(Told::Renewed(i64::try_from(renewed.expires_at_ms).unwrap()));
        }
        Operation::Complete => engine.complete(handle, Some(RESULT.to_vec())).await?,
        Operation::Fail => {
            let reason = FailureReason::new("no");
            engine.fail(handle, reason, FailureClass::Permanent).await?;
        }
        Operation::Cancel => engine.cancel(handle, "no").await?,
        Operation::Delay => engine.delay(handle, held.lease_expires_at).await?,
        Operation::Create | Operation::CreateBatch | Operation::Claim => {
            unreachable!("these hold nothing")
        }
    }
    Ok(Told::Done)
}

/// The state that a holder's operation leads to.
fn state_after(operation: Operation) -> &'static str {
    match operation {
        Operation::Create | Operation::CreateBatch => "waiting",
        Operation::Claim | Operation::Renew => "active",
        Operation::Complete => "completed",
        Operation::Fail => "failed",
        Operation::Cancel => "cancelled",
        Operation::Delay => "delayed",
    }
}

struct Sweep {
    world: World,
    operation: Operation,
    held: Vec<ClaimedWork>,
    /// Everything that was asked with a fault, and what was answered.
    asked: Vec<(Ask, Result<Told, EngineError>)>,
    /// What was created between the faults.
    kept: Vec<ExecutionId>,
}

impl Sweep {
    fn new(operation: Operation) -> Self {
        let world = World::new(&format!("{operation:?}"));
        Self { world, operation, held: Vec::new(), asked: Vec::new(), kept: Vec::new() }
    }

    /// Work to claim, or to hold. In a session of its own, so that the one with the fault begins with cold caches.
    async fn prepare(&mut self) {
        let engine = open_without_faults(&self.world.path()).await;
        let batch: Vec<_> = (0..150).map(|n| work(&[n])).collect();
        engine.create_executions(batch).await.unwrap();
        if self.operation != Operation::Claim {
            self.held = claim(&engine, "w", LEASE_MS, 150, None).await.unwrap();
        }
    }

    async fn next(&mut self) -> Ask {
        match self.operation {
            Operation::Create => Ask::Create(vec![work(b"one")]),
            Operation::CreateBatch => Ask::Create((0..BATCH).map(|n| work(&[n])).collect()),
            Operation::Claim => Ask::Claim,
            held => {
                if self.held.is_empty() {
                    self.prepare().await;
                }
                Ask::Held(held, Box::new(self.held.pop().unwrap()))
            }
        }
    }

    /// Asks once with a fault; answers whether the fault struck.
    async fn ask(&mut self, fault: Fault, call: Call) -> bool {
        let ask = self.next().await;
        let engine = self.world.open().await;
        self.world.disk.fail(fault);

        let answer = in_time(ask.of(&engine)).await;

        let struck = self.world.disk.heal() > 0;
        let about = format!("{:?}, {fault:?}", self.operation);
        match &answer {
            Ok(_) => {}
            Err(error) => {
                let told = error.to_string();
                assert!(struck, "{about}: {told}");
                for panic in ["assertion", "panicked", "without an answer"] {
                    assert!(!told.contains(panic), "{about}: {told}");
                }
            }
        }
        if let Some(id) = self.kept.last() {
            assert!(is_there(&engine, id).await, "{about}: reads go on");
        }
        match in_time(create(&engine, b"next")).await {
            Ok(id) => {
                assert!(call != Call::Sync || !struck, "{about}: went on after a failed sync");
                self.kept.push(id);
            }
            Err(error) => {
                assert!(call == Call::Sync && struck && is_stopped(&error), "{about}: {error}");
                assert!(answer.is_err(), "{about}: acknowledged without a sync");
            }
        }
        self.asked.push((ask, answer));
        struck
    }

    /// Every call of a kind fails in turn; answers how many there are.
    async fn fail_each(&mut self, call: Call, lasts: bool) -> u64 {
        for nth in 1.. {
            assert!(nth < 1_000, "{:?} never gets by without {call:?}", self.operation);
            let fault = Fault::nth_on_any(call, nth);
            let fault = if lasts { fault.for_ever() } else { fault };
            if !self.ask(fault, call).await {
                return nth - 1;
            }
        }
        unreachable!("the loop has a bound")
    }

    /// Holds what was asked and answered against the rows.
    async fn compare(&self) {
        let engine = open_without_faults(&self.world.path()).await;
        assert_clean(&engine).await;
        let conn = Connection::open(self.world.path()).unwrap();
        conn.busy_timeout(PATIENCE).unwrap();
        for id in &self.kept {
            assert!(row(&conn, id).is_some(), "{id}: created, and not there");
        }
        let mut claims = BTreeMap::new();
        for (ask, answer) in &self.asked {
            match ask {
                Ask::Create(rows) => {
                    let there = rows
                        .iter()
                        .filter(|args| {
                            row(&conn, &args.execution_id).is_some_and(|row| row.state == "waiting")
                        })
                        .count();
                    let is_whole = there == rows.len() || there == 0 && answer.is_err();
                    assert!(is_whole, "{there} of {} rows, {:?}", rows.len(), answer.is_ok());
                }
                Ask::Claim => {
                    if let Ok(Told::Claimed(id, epoch)) = answer {
                        let twice = claims.insert((id.to_string(), *epoch), ());
                        assert!(twice.is_none(), "{id}: epoch {epoch} was handed out twice");
                        let found = row(&conn, id).unwrap();
                        assert_eq!(found.state, "active", "{id}");
                        assert_eq!(u64::try_from(found.epoch), Ok(*epoch), "{id}");
                    }
                }
                Ask::Held(operation, held) => {
                    compare_held(&conn, *operation, held, answer);
                }
            }
        }
        if self.operation == Operation::Claim {
            let unanswered = self.asked.iter().filter(|(_, answer)| answer.is_err()).count();
            let active: i64 = conn
                .query_row(
                    "SELECT count(*) FROM ff_exec_core WHERE public_state = 'active'",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            let active = usize::try_from(active).unwrap();
            assert!((claims.len()..=claims.len() + unanswered).contains(&active), "{active}");
        }
    }
}

fn compare_held(
    conn: &Connection,
    operation: Operation,
    held: &ClaimedWork,
    answer: &Result<Told, EngineError>,
) {
    let id = &held.execution_id;
    let found = row(conn, id).unwrap();
    let after = state_after(operation);
    assert_eq!(u64::try_from(found.epoch), Ok(held.lease_epoch.0), "{id}");
    match answer {
        Ok(_) => assert_eq!(found.state, after, "{id}: {operation:?} was acknowledged"),
        Err(_) => assert!(found.state == after || found.state == "active", "{id}: {found:?}"),
    }
    let has_result = operation == Operation::Complete && found.state == after;
    assert_eq!(found.result.as_deref(), has_result.then_some(RESULT), "{id}: {found:?}");
    if let Ok(Told::Renewed(until)) = answer {
        assert!(found.lease_ends >= Some(*until), "{id}: renewed until {until}, {found:?}");
    }
    assert_eq!(found.lease_ends.is_some(), found.state == "active", "{id}: {found:?}");
}

fn row(conn: &Connection, id: &ExecutionId) -> Option<Row> {
    conn.query_row(
        "SELECT e.public_state, e.result, e.lease_epoch, a.lease_expires_at_ms
         FROM ff_exec_core e
         LEFT JOIN ff_attempt a USING (partition_key, execution_id, attempt_index)
         WHERE e.partition_key = 0 AND e.execution_id = ?1",
        [id.uuid().as_bytes()],
        |row| {
            Ok(Row {
                state: row.get(0)?,
                result: row.get(1)?,
                epoch: row.get(2)?,
                lease_ends: row.get(3)?,
            })
        },
    )
    .optional()
    .unwrap()
}

async fn survives_every_fault(operation: Operation) {
    let watch = Stopwatch::start();
    let mut sweep = Sweep::new(operation);
    sweep.prepare().await;
    let mut cases = 0;
    for call in [Call::Read, Call::Write, Call::Sync, Call::Truncate, Call::Shm] {
        for lasts in [false, true] {
            let calls = sweep.fail_each(call, lasts).await;
            let must_happen = matches!(call, Call::Read | Call::Write | Call::Sync);
            assert!(calls > 0 || !must_happen, "{operation:?} makes no {call:?}");
            cases += calls;
        }
        sweep.compare().await;
    }
    println!("{operation:?}: {cases} faults in {:?}", watch.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_survives_every_fault() {
    survives_every_fault(Operation::Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_creates_survives_every_fault() {
    survives_every_fault(Operation::CreateBatch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_survives_every_fault() {
    survives_every_fault(Operation::Claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_survives_every_fault() {
    survives_every_fault(Operation::Renew).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_survives_every_fault() {
    survives_every_fault(Operation::Complete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_survives_every_fault() {
    survives_every_fault(Operation::Fail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_survives_every_fault() {
    survives_every_fault(Operation::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_survives_every_fault() {
    survives_every_fault(Operation::Delay).await;
}

/// What a process leaves that ended without closing: the file, and a log that the next start recovers from.
async fn left_behind(world: &World) -> (PathBuf, Vec<ExecutionId>) {
    // Closed once, so that the log is short: recovery reads each of its frames.
    drop(open_without_faults(&world.path()).await);
    let engine = open_without_faults(&world.path()).await;
    let mut kept = Vec::new();
    for n in 0..3 {
        kept.push(create(&engine, &[n]).await.unwrap());
    }
    let left = world.directory.path().join("left.db");
    std::fs::copy(world.path(), &left).unwrap();
    std::fs::copy(world.log(), left.with_extension("db-wal")).unwrap();
    (left, kept)
}

/// Opens what was left, creates, and closes, with a fault; answers whether it struck.
async fn opens_and_closes(world: &World, left: &Path, kept: &[ExecutionId], fault: Fault) -> bool {
    let here = tempfile::tempdir_in(world.directory.path()).unwrap();
    let path = here.path().join("io.db");
    std::fs::copy(left, &path).unwrap();
    std::fs::copy(left.with_extension("db-wal"), path.with_extension("db-wal")).unwrap();
    let about = format!("{fault:?}");
    world.disk.fail(fault);

    let opened = options(&path).sweeps(false).read_connections(1).vfs(world.disk.name()).open();
    let created = match in_time(opened).await {
        Ok(engine) => in_time(create(&engine, b"one")).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };

    let struck = world.disk.heal() > 0;
    if let Err(told) = &created {
        assert!(
            struck && !told.contains("panicked") && !told.contains("assertion"),
            "{about}: {told}"
        );
    }
    let engine = open_without_faults(&path).await;
    for id in kept.iter().chain(&created) {
        assert!(is_there(&engine, id).await, "{about}: {id} is lost");
    }
    assert_clean(&engine).await;
    struck
}

#[tokio::test(flavor = "multi_thread")]
async fn recovering_and_closing_survive_every_fault() {
    let world = World::new("open-and-close");
    let (left, kept) = left_behind(&world).await;
    for call in Call::ALL {
        for lasts in [false, true] {
            let mut calls = 0;
            loop {
                let fault = Fault::nth_on_any(call, calls + 1);
                let fault = if lasts { fault.for_ever() } else { fault };
                if !opens_and_closes(&world, &left, &kept, fault).await {
                    break;
                }
                calls += 1;
                assert!(calls < 1_000, "opening never gets by without {call:?}");
            }
            assert!(calls > 0, "opening and closing make no {call:?}");
            println!("opening and closing: {calls} faults of {call:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vfs_that_cannot_be_used_is_refused_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.db");

    let unknown = options(&path).vfs("nobody").open().await.unwrap_err();
    let memory = SqliteOptions::new(":memory:").vfs("nobody").open().await.unwrap_err();

    assert!(unknown.to_string().contains("register it"), "{unknown}");
    assert!(memory.to_string().contains("not kept through a VFS"), "{memory}");
    assert!(!path.exists());
}
