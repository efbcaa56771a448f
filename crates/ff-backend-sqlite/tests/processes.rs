//! Several processes on one file: the time until an idle worker elsewhere starts, and heartbeats beside bulk.
//!
//! This binary starts itself again; `FF_PROCESS_ROLE` says as what.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::SqliteBackend;
use ff_core::EngineError;
use ff_core::backend::UsageDimensions;
use ff_core::clock::{Clock as _, SystemClock};
use ff_core::contracts::{
    BindQuotaArgs, CreateBudgetArgs, CreateQuotaPolicyArgs, QuotaTarget, ReportUsageResult,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::types::{BudgetId, QuotaPolicyId, TimestampMs};
use serial_test::serial;
use support::{PATIENCE, Stopwatch, claim, lane, options, work};
use uuid::Uuid;

/// A child process; killed when it goes.
struct Other(Child);

impl Other {
    fn start(role: &str, path: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("FF_PROCESS_ROLE", role)
            .env("FF_PROCESS_DB", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The rest of the first line that begins with `word`.
    fn says(&mut self, word: &str) -> String {
        let out = BufReader::new(self.0.stdout.as_mut().unwrap());
        for line in out.lines() {
            if let Some((_, rest)) = line.unwrap().split_once(word) {
                return rest.trim().to_owned();
            }
        }
        panic!("the child ended without saying `{word}`");
    }
}

impl Other {
    /// Waits for its end; what follows `word` in each line that has it.
    fn said(mut self, word: &str) -> Vec<String> {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        let lines = out.lines().map(Result::unwrap);
        let said = lines.filter_map(|line| Some(line.split_once(word)?.1.trim().to_owned()));
        let said = said.collect();
        assert!(self.0.wait().unwrap().success(), "a child failed");
        said
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: the body of a child process.
#[test]
fn child() {
    let Ok(role) = std::env::var("FF_PROCESS_ROLE") else { return };
    let path = std::env::var("FF_PROCESS_DB").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = options(Path::new(&path)).open().await.unwrap();
        match role.as_str() {
            "wake" => wake(&engine).await,
            "bulk" => bulk(&engine).await,
            "spend" => spend(&engine).await,
            other => panic!("{other}"),
        }
    });
}

fn parent_is_there() -> bool {
    static PARENT: std::sync::OnceLock<Option<rustix::process::Pid>> = std::sync::OnceLock::new();
    *PARENT.get_or_init(rustix::process::getppid) == rustix::process::getppid()
}

// ---- Waking up -----------------------------------------------------------------------------------------------------

const WAKES: usize = 60;

/// An idle worker starts within tens of milliseconds. The bound on p95 leaves room for a busy test machine; of so few
/// wakes the slowest one tells of a disk that stands still, not of the engine.
const WAKE_P50_MAX: i64 = 50;
const WAKE_P95_MAX: i64 = 1_000;

/// An idle worker: its result is the wall clock at which it started.
async fn wake(engine: &Arc<SqliteBackend>) {
    println!("\nready");
    while parent_is_there() {
        for one in claim(engine, "idle", 30_000, 1, Some(PATIENCE)).await.unwrap() {
            let at = SystemClock::new().wall().0.to_string();
            engine.complete(&one.handle, Some(at.into_bytes())).await.unwrap();
        }
    }
}

#[tokio::test]
#[serial]
async fn an_idle_worker_in_another_process_wakes_within_tens_of_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wake.db");
    let engine = options(&path).open().await.unwrap();
    let mut worker = Other::start("wake", &path);
    worker.says("ready");
    let clock = SystemClock::new();
    let mut latencies = Vec::with_capacity(WAKES);
    for n in 0..WAKES {
        let args = work(b"wake up");
        let id = args.execution_id.clone();
        let submitted = clock.wall().0;
        engine.create_execution(args).await.unwrap();
        let watch = Stopwatch::start();
        let started: i64 = loop {
            if let Some(result) = engine.get_execution_result(&id).await.unwrap() {
                break String::from_utf8(result).unwrap().parse().unwrap();
            }
            assert!(watch.elapsed() < PATIENCE, "the worker sleeps on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        // The first wakes a worker that may not wait yet.
        if n > 0 {
            latencies.push(started - submitted);
        }
        // Submits meet the worker's look-around at different phases.
        tokio::time::sleep(Duration::from_millis(u64::try_from(n % 17).unwrap())).await;
    }
    latencies.sort_unstable();
    let at = |percent: usize| latencies[latencies.len() * percent / 100];
    let (p50, p95, p99) = (at(50), at(95), at(99));
    println!("wake: n={} p50={p50}ms p95={p95}ms p99={p99}ms", latencies.len());
    assert!(p50 <= WAKE_P50_MAX, "{latencies:?}");
    assert!(p95 <= WAKE_P95_MAX, "{latencies:?}");
}

// ---- Heartbeats beside bulk ----------------------------------------------------------------------------------------

const TTL_MS: u32 = 3_000;

async fn bulk(engine: &Arc<SqliteBackend>) {
    println!("\nready");
    while parent_is_there() {
        let batch = std::iter::repeat_with(|| work(&[7; 1_024])).take(500).collect();
        match engine.create_executions(batch).await {
            Ok(_) | Err(EngineError::ResourceExhausted { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
#[serial]
async fn heartbeats_stay_within_a_third_of_the_lease_while_another_process_submits_in_bulk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renew.db");
    let engine = options(&path).open().await.unwrap();
    for n in 0..8_u8 {
        engine.create_execution(work(&[n])).await.unwrap();
    }
    let held = claim(&engine, "w", TTL_MS, 8, None).await.unwrap();
    assert_eq!(held.len(), 8);
    let mut submitters = [Other::start("bulk", &path), Other::start("bulk", &path)];
    for submitter in &mut submitters {
        submitter.says("ready");
    }
    let mut latencies = Vec::new();
    let watch = Stopwatch::start();
    while watch.elapsed() < Duration::from_secs(8) {
        for one in &held {
            let renewing = Stopwatch::start();
            engine.renew(&one.handle).await.unwrap();
            latencies.push(renewing.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(submitters);
    latencies.sort_unstable();
    let p50 = latencies[latencies.len() / 2];
    let p99 = latencies[latencies.len() * 99 / 100];
    println!("renew: n={} p50={p50:?} p99={p99:?} ttl={TTL_MS}ms", latencies.len());
    assert!(latencies.len() >= 50);
    assert!(p99 < Duration::from_millis(u64::from(TTL_MS) / 3), "{p99:?}");
    let waiting: u64 =
        engine.list_lane_status().await.unwrap().iter().map(|lane| lane.waiting).sum();
    assert!(waiting > 1_000, "the others did submit: {waiting}");
}

// ---- One budget and one quota for all ------------------------------------------------------------------------------

const SPENDERS: usize = 3;

/// Tasks in each spender; together they want more slots than there are.
const SPENDER_TASKS: usize = 4;

/// Executions; two in a row report under the same key.
const SPENDINGS: u32 = 400;

/// Fewer than there are keys.
const UNITS_MAX: u64 = 150;

const SLOTS: i64 = 5;

const HOT_BUDGET: BudgetId = BudgetId::from_uuid(Uuid::from_u128(0xB));

/// Claims, reports one unit twice under a key that another execution reports under too, and says what came of it.
async fn spend(engine: &Arc<SqliteBackend>) {
    let tasks = (0..SPENDER_TASKS).map(|task| {
        let engine = Arc::clone(engine);
        tokio::spawn(async move {
            let worker = format!("{}-{task}", std::process::id());
            loop {
                let wait = Some(Duration::from_millis(200));
                let taken = claim(&engine, &worker, 30_000, 2, wait).await.unwrap();
                let status = engine.list_lane_status().await.unwrap();
                let left: u64 =
                    status.iter().map(|lane| lane.waiting + lane.delayed + lane.active).sum();
                if taken.is_empty() && left == 0 {
                    break;
                }
                for one in taken {
                    let number = u32::from_le_bytes(one.input_payload[..4].try_into().unwrap());
                    let key = format!("key-{}", number / 2);
                    for _ in 0..2 {
                        let mut usage = UsageDimensions::new();
                        usage.custom.insert("units".to_owned(), 1);
                        usage.dedup_key = Some(key.clone());
                        match engine.report_usage(&one.handle, &HOT_BUDGET, usage).await.unwrap() {
                            ReportUsageResult::Ok => println!("\nspent {key}"),
                            ReportUsageResult::HardBreach { .. } => println!("\nrefused {key}"),
                            ReportUsageResult::AlreadyApplied => println!("\nrepeated {key}"),
                            other => panic!("{other:?}"),
                        }
                    }
                    engine.complete(&one.handle, None).await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
#[serial]
async fn processes_never_spend_or_run_more_than_allowed_and_count_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spend.db");
    let engine = options(&path).open().await.unwrap();
    let budget = CreateBudgetArgs {
        budget_id: HOT_BUDGET,
        scope_type: "team".to_owned(),
        scope_id: "tests".to_owned(),
        enforcement_mode: "strict".to_owned(),
        on_hard_limit: String::new(),
        on_soft_limit: String::new(),
        reset_interval_ms: 0,
        dimensions: vec!["units".to_owned()],
        hard_limits: vec![UNITS_MAX],
        soft_limits: vec![0],
        now: TimestampMs(0),
    };
    engine.create_budget(budget).await.unwrap();
    let quota_policy_id = QuotaPolicyId::from_uuid(Uuid::from_u128(0xA));
    let quota = CreateQuotaPolicyArgs {
        quota_policy_id: quota_policy_id.clone(),
        window_seconds: 60,
        max_requests_per_window: 0,
        max_concurrent: SLOTS.unsigned_abs(),
        now: TimestampMs(0),
    };
    engine.create_quota_policy(quota).await.unwrap();
    engine
        .bind_quota(BindQuotaArgs::new(QuotaTarget::Lane(lane()), quota_policy_id))
        .await
        .unwrap();
    let works = (0..SPENDINGS).map(|number| work(&number.to_le_bytes())).collect();
    engine.create_executions(works).await.unwrap();

    let children: Vec<Other> = (0..SPENDERS).map(|_| Other::start("spend", &path)).collect();
    let said: Vec<Vec<String>> = children.into_iter().map(|child| child.said("spent ")).collect();

    let busy = said.iter().filter(|said| !said.is_empty()).count();
    let spent: Vec<String> = said.into_iter().flatten().collect();
    let keys: BTreeSet<&String> = spent.iter().collect();
    assert_eq!(keys.len(), spent.len(), "each key counts once: {spent:?}");
    let status = engine.get_budget_status(&HOT_BUDGET).await.unwrap();
    assert_eq!(status.usage["units"], UNITS_MAX, "the limit is reached, and not passed");
    assert_eq!(spent.len() as u64, UNITS_MAX, "what was accepted is what is counted");
    let most = most_at_once(&path);
    println!("spend: processes={busy} spent={} most at once={most}", spent.len());
    assert_eq!(most, SLOTS, "all slots are used, and no more");
    let report = engine.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// The largest number of executions that ran at the same instant; all have completed.
fn most_at_once(path: &Path) -> i64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    let (mut now, mut most) = (0, 0);
    let mut moves = conn
        .prepare(
            // A slot that is given back in a millisecond may be taken in it.
            "SELECT CASE cause WHEN 'claimed' THEN 1 ELSE -1 END
             FROM ff_transition WHERE cause IN ('claimed', 'completed')
             ORDER BY at_ms, cause DESC",
        )
        .unwrap();
    let mut ended = 0;
    for step in moves.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(Result::unwrap) {
        now += step;
        most = most.max(now);
        ended += i64::from(step < 0);
    }
    assert_eq!((now, ended), (0, i64::from(SPENDINGS)), "all have run once");
    most
}
