//! The crash harness: processes that work on one file are killed with SIGKILL at random points, and nothing that was
//! acknowledged is lost or happens twice.
//!
//! This binary starts itself again as submitter and worker processes (`FF_CRASH_ROLE`), with `synchronous=FULL`. Each
//! child appends every acknowledged operation to a ledger of its own, one line and one write(2) each, after the answer:
//! what the ledger holds was acknowledged; what it does not hold may or may not have happened. The parent kills children
//! at random, starts others, and after every few kills compares the ledgers with the rows, read by plain SQL. At the end
//! submitters stop, workers finish what is left, and `verify` runs.
//!
//! `FF_CRASH_KILLS`, `FF_CRASH_OPS` and `FF_CRASH_SEED` make it longer or repeat its choices.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteBackend};
use ff_core::EngineError;
use ff_core::backend::{
    FailureClass, FailureReason, Frame, FrameKind, HandleKind, UsageDimensions,
};
use ff_core::contracts::{
    CancelExecutionArgs, ClaimedWork, CreateBudgetArgs, CreateExecutionArgs, DeliverSignalArgs,
    FlowLink, FlowNode, ResumeCondition, ResumePolicy, SignalMatcher, SubmitFlowArgs, SuspendArgs,
    SuspensionReasonCode, TimeoutBehavior, WaitpointBinding,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy};
use ff_core::types::{
    BudgetId, CancelSource, FlowId, SignalId, SuspensionId, TimestampMs, WaitpointId,
};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use serial_test::serial;
use support::{PATIENCE, Stopwatch, claim, options, work};
use uuid::Uuid;

/// What CI runs.
const KILLS: u64 = 40;
const OPS: u64 = 50_000;

const SUBMITTERS: usize = 2;
const WORKERS: usize = 3;

/// Tasks in each child; their commands share commits.
const TASKS: u32 = 24;

/// Claimed at once by one task.
const CLAIM_MAX: u32 = 8;

/// Short, so that what a dead worker held comes back while the test runs.
const LEASE_TTL_MS: u32 = 2_000;

/// Submitters pause while more than this waits, so that workers keep up.
const WAITING_MAX: u64 = 2_000;

/// A comparison after every so many kills.
const COMPARE_EVERY: u64 = 8;

/// Recovery after a crash (I33).
const OPEN_MAX: Duration = Duration::from_secs(2);

/// A line of a ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Line {
    Opened {
        us: u64,
    },
    Create {
        id: Uuid,
    },
    Cancel {
        id: Uuid,
    },
    Claim {
        id: Uuid,
        epoch: u64,
        until: i64,
    },
    Renew {
        id: Uuid,
        epoch: u64,
    },
    Complete {
        id: Uuid,
        epoch: u64,
        result: String,
    },
    Fail {
        id: Uuid,
        epoch: u64,
        attempt: u32,
    },
    /// A graph: its first member, and those behind it.
    Flow {
        flow: Uuid,
        first: Uuid,
        behind: Vec<Uuid>,
    },
    /// One unit of the budget, under a key of its own.
    Spend {
        key: String,
    },
    Frame {
        id: Uuid,
        attempt: u32,
        place: String,
        payload: String,
    },
    /// Accepted at a waitpoint that one signal is enough for.
    Signal {
        id: Uuid,
        epoch: u64,
        waitpoint: Uuid,
        signal: Uuid,
    },
    /// What a resumed claim was shown.
    Observed {
        id: Uuid,
        epoch: u64,
        signals: Vec<Uuid>,
    },
    /// An error that no fault of this harness explains.
    Broken {
        error: String,
    },
}

// ---- The children --------------------------------------------------------------------------------------------------

/// Not a test: the body of a child process.
#[test]
fn child() {
    let Ok(role) = std::env::var("FF_CRASH_ROLE") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let seed = variable("FF_CRASH_CHILD_SEED").parse().unwrap();
    let ledger =
        OpenOptions::new().append(true).create_new(true).open(variable("FF_CRASH_LEDGER")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let watch = Stopwatch::start();
        let path = PathBuf::from(variable("FF_CRASH_DB"));
        let opened = options(&path).durability(Durability::Full).sweeps(false).open().await;
        let ledger = Arc::new(Ledger { file: ledger });
        let engine = match opened {
            Ok(engine) => engine,
            Err(error) => return ledger.add(&Line::Broken { error: error.to_string() }),
        };
        ledger.add(&Line::Opened { us: u64::try_from(watch.elapsed().as_micros()).unwrap() });
        if let Err(error) = engine.create_budget(budget()).await {
            ledger.add(&Line::Broken { error: error.to_string() });
        }
        let tasks = (0..TASKS).map(|task| {
            let (engine, ledger) = (Arc::clone(&engine), Arc::clone(&ledger));
            let mut dice = Dice::new(seed, u64::from(task));
            let submits = role == "submit";
            tokio::spawn(async move {
                // A child of a parent that is gone ends by itself.
                let parent = rustix::process::getppid();
                while rustix::process::getppid() == parent {
                    let done = if submits {
                        submit(&engine, &ledger, &mut dice).await
                    } else {
                        serve(&engine, &ledger, &mut dice, task).await
                    };
                    if let Err(error) = done {
                        excuse(&ledger, &error).await;
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

struct Ledger {
    file: File,
}

impl Ledger {
    /// One line, one write(2): a kill leaves the whole line or nothing.
    fn add(&self, line: &Line) {
        let mut text = serde_json::to_string(line).unwrap();
        text.push('\n');
        let written = (&self.file).write(text.as_bytes()).unwrap();
        assert_eq!(written, text.len());
    }
}

/// What a healthy engine may answer under load, or to a holder that was too slow; anything else is reported.
async fn excuse(ledger: &Ledger, error: &EngineError) {
    match error {
        EngineError::State(_) | EngineError::Contention(_) => {}
        EngineError::ResourceExhausted { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
        other => {
            ledger.add(&Line::Broken { error: other.to_string() });
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn submit(
    engine: &Arc<SqliteBackend>,
    ledger: &Ledger,
    dice: &mut Dice,
) -> Result<(), EngineError> {
    let waiting: u64 = engine.list_lane_status().await?.iter().map(|status| status.waiting).sum();
    if waiting > WAITING_MAX {
        tokio::time::sleep(Duration::from_millis(20)).await;
        return Ok(());
    }
    if dice.one_in(8) {
        submit_graph(engine, ledger, dice).await?;
    }
    for _ in 0..8 {
        let args = sturdy(dice);
        let id = args.execution_id.clone();
        engine.create_execution(args).await?;
        ledger.add(&Line::Create { id: id.uuid() });
        if dice.one_in(16) {
            let cancel = CancelExecutionArgs {
                execution_id: id.clone(),
                reason: "crash".to_owned(),
                source: CancelSource::OperatorOverride,
                lease_id: None,
                lease_epoch: None,
                attempt_id: None,
                now: TimestampMs(0),
            };
            match engine.cancel_execution(cancel).await {
                Ok(_) => ledger.add(&Line::Cancel { id: id.uuid() }),
                // A worker was faster.
                Err(EngineError::Contention(_) | EngineError::State(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Work that is tried until it succeeds.
fn sturdy(dice: &mut Dice) -> CreateExecutionArgs {
    let mut args = work(&dice.next().to_le_bytes());
    args.policy = Some(ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries: 50,
            backoff: BackoffStrategy::Fixed { delay_ms: 20 },
            retryable_categories: Vec::new(),
        }),
        max_reclaim_count: 1_000,
        ..ExecutionPolicy::default()
    });
    args
}

/// A first member, one behind it, and one behind both.
async fn submit_graph(
    engine: &Arc<SqliteBackend>,
    ledger: &Ledger,
    dice: &mut Dice,
) -> Result<(), EngineError> {
    let flow = dice.uuid();
    let nodes: Vec<FlowNode> = (0..3).map(|_| FlowNode::new(sturdy(dice))).collect();
    let ids: Vec<Uuid> = nodes.iter().map(|node| node.execution.execution_id.uuid()).collect();
    let args = SubmitFlowArgs {
        flow_id: FlowId::from_uuid(flow),
        flow_kind: "crash".to_owned(),
        namespace: "tests".into(),
        tags: BTreeMap::new(),
        nodes,
        edges: vec![FlowLink::new(0, 1), FlowLink::new(0, 2), FlowLink::new(1, 2)],
    };
    engine.submit_flow(args).await?;
    ledger.add(&Line::Flow { flow, first: ids[0], behind: ids[1..].to_vec() });
    Ok(())
}

/// The budget that all workers spend.
const BUDGET: BudgetId = BudgetId::from_uuid(Uuid::from_u128(0xB));

const UNITS: &str = "units";

/// Nothing bounds it: what is spent is to be counted.
fn budget() -> CreateBudgetArgs {
    CreateBudgetArgs {
        budget_id: BUDGET,
        scope_type: "team".to_owned(),
        scope_id: "crash".to_owned(),
        enforcement_mode: "strict".to_owned(),
        on_hard_limit: String::new(),
        on_soft_limit: String::new(),
        reset_interval_ms: 0,
        dimensions: vec![UNITS.to_owned()],
        hard_limits: vec![0],
        soft_limits: vec![0],
        now: TimestampMs(0),
    }
}

async fn serve(
    engine: &Arc<SqliteBackend>,
    ledger: &Ledger,
    dice: &mut Dice,
    task: u32,
) -> Result<(), EngineError> {
    let instance = format!("{}-{task}", std::process::id());
    let wait = Some(Duration::from_millis(500));
    let taken = claim(engine, &instance, LEASE_TTL_MS, CLAIM_MAX, wait).await?;
    for one in &taken {
        ledger.add(&Line::Claim {
            id: one.execution_id.uuid(),
            epoch: one.lease_epoch.0,
            until: one.lease_expires_at.0,
        });
    }
    for one in &taken {
        match finish(engine, ledger, dice, one).await {
            // Cancelled, or lost to a successor while its turn came.
            Ok(()) | Err(EngineError::State(_) | EngineError::Contention(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn finish(
    engine: &Arc<SqliteBackend>,
    ledger: &Ledger,
    dice: &mut Dice,
    taken: &ClaimedWork,
) -> Result<(), EngineError> {
    let (id, epoch) = (taken.execution_id.uuid(), taken.lease_epoch.0);
    if dice.one_in(8) {
        engine.renew(&taken.handle).await?;
        ledger.add(&Line::Renew { id, epoch });
    }
    if taken.handle.kind == HandleKind::Resumed {
        let seen = engine.observe_signals(&taken.handle).await?;
        // It checks no fence: whoever was slower than its lease is shown nothing. Holding it still, nobody came between.
        engine.renew(&taken.handle).await?;
        let signals = seen.iter().map(|signal| signal.signal_id.0).collect();
        ledger.add(&Line::Observed { id, epoch, signals });
    }
    if dice.one_in(4) {
        let key = format!("{id}-{epoch}");
        // A report that is repeated counts once.
        for _ in 0..1 + dice.below(2) {
            let mut usage = UsageDimensions::new();
            usage.custom.insert(UNITS.to_owned(), 1);
            usage.dedup_key = Some(key.clone());
            engine.report_usage(&taken.handle, &BUDGET, usage).await?;
        }
        ledger.add(&Line::Spend { key });
    }
    if dice.one_in(6) {
        let payload = format!("{id} {epoch} {}", dice.next());
        let frame = Frame::new(payload.clone().into_bytes(), FrameKind::Stdout);
        let place = engine.append_frame(&taken.handle, frame).await?.stream_id;
        ledger.add(&Line::Frame { id, attempt: taken.attempt_index.0, place, payload });
    }
    if dice.one_in(16) {
        return wait_for_a_signal(engine, ledger, dice, taken).await;
    }
    if dice.one_in(12) {
        let reason = FailureReason::new("crash");
        engine.fail(&taken.handle, reason, FailureClass::Transient).await?;
        ledger.add(&Line::Fail { id, epoch, attempt: taken.attempt_index.0 });
        return Ok(());
    }
    let result = format!("{id} {epoch} {}", dice.next());
    engine.complete(&taken.handle, Some(result.clone().into_bytes())).await?;
    ledger.add(&Line::Complete { id, epoch, result });
    Ok(())
}

/// Suspends, and sends the signal that ends it; a worker killed in between leaves it to the timeout.
async fn wait_for_a_signal(
    engine: &Arc<SqliteBackend>,
    ledger: &Ledger,
    dice: &mut Dice,
    taken: &ClaimedWork,
) -> Result<(), EngineError> {
    let (waitpoint, signal) = (dice.uuid(), dice.uuid());
    let condition = ResumeCondition::Single {
        waitpoint_key: "go".to_owned(),
        matcher: SignalMatcher::Wildcard,
    };
    let binding = WaitpointBinding::Fresh {
        waitpoint_id: WaitpointId::from_uuid(waitpoint),
        waitpoint_key: "go".to_owned(),
    };
    let args = SuspendArgs::new(
        SuspensionId::from_uuid(dice.uuid()),
        binding,
        condition,
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForSignal,
        TimestampMs(0),
    )
    .with_timeout(taken.lease_expires_at, TimeoutBehavior::AutoResumeWithTimeoutSignal);
    let parked = engine.suspend(&taken.handle, args).await?;
    let args = DeliverSignalArgs {
        execution_id: taken.execution_id.clone(),
        waitpoint_id: WaitpointId::from_uuid(waitpoint),
        signal_id: SignalId::from_uuid(signal),
        signal_name: "go".to_owned(),
        signal_category: "external".to_owned(),
        source_type: "worker".to_owned(),
        source_identity: "crash".to_owned(),
        payload: None,
        payload_encoding: None,
        correlation_id: None,
        idempotency_key: Some("once".to_owned()),
        target_scope: "waitpoint".to_owned(),
        created_at: None,
        dedup_ttl_ms: None,
        resume_delay_ms: None,
        max_signals_per_execution: None,
        signal_maxlen: None,
        waitpoint_token: parked.details().waitpoint_token.token().clone(),
        now: TimestampMs(0),
    };
    // A delivery that is repeated counts once.
    engine.deliver_signal(args.clone()).await?;
    let (id, epoch) = (taken.execution_id.uuid(), taken.lease_epoch.0);
    ledger.add(&Line::Signal { id, epoch, waitpoint, signal });
    if dice.one_in(4) {
        engine.deliver_signal(args).await?;
    }
    Ok(())
}

/// SplitMix64: the same seed makes the same choices.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

// ---- The parent ----------------------------------------------------------------------------------------------------

struct Harness {
    directory: tempfile::TempDir,
    children: Vec<Running>,
    started: u64,
    dice: Dice,
    known: Known,
}

struct Running {
    submits: bool,
    process: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already, or goes now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the ledgers say so far.
#[derive(Default)]
struct Known {
    read: HashMap<PathBuf, u64>,
    acknowledged: u64,
    opened: Vec<Duration>,
    created: BTreeSet<Uuid>,
    cancelled: BTreeSet<Uuid>,
    completed: BTreeMap<Uuid, String>,
    failed: Vec<(Uuid, u64, u32)>,
    /// By execution: epoch and the end of the lease, which rises with engine time.
    claims: BTreeMap<Uuid, BTreeMap<u64, i64>>,
    renewed: Vec<(Uuid, u64)>,
    /// By flow: its first member, and those behind it.
    flows: BTreeMap<Uuid, (Uuid, Vec<Uuid>)>,
    spent: BTreeSet<String>,
    frames: Vec<StoredFrame>,
    signals: Vec<SentSignal>,
    observed: BTreeMap<(Uuid, u64), Vec<Uuid>>,
    doubled: Vec<String>,
    broken: Vec<String>,
}

struct StoredFrame {
    id: Uuid,
    attempt: u32,
    place: String,
    payload: String,
}

struct SentSignal {
    id: Uuid,
    epoch: u64,
    waitpoint: Uuid,
    signal: Uuid,
}

/// What the database says against the ledgers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    lost: Vec<String>,
    doubled: Vec<String>,
}

impl Difference {
    fn is_none(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty()
    }
}

impl Known {
    /// Reads what the ledgers have gained.
    fn catch_up(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            let from = self.read.get(&path).copied().unwrap_or(0);
            let mut file = File::open(&path).unwrap();
            file.seek(SeekFrom::Start(from)).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[..whole].lines() {
                self.add(serde_json::from_str(line).unwrap());
            }
            self.read.insert(path, from + u64::try_from(whole).unwrap());
        }
    }

    /// Whether there is enough of every kind to spoil.
    fn has_seen_everything(&self) -> bool {
        self.completed.len() >= 50
            && !self.cancelled.is_empty()
            && self.flows.len() >= 2
            && self.spent.len() >= 2
            && self.frames.len() >= 2
            && self.signals.len() >= 2
    }

    fn add(&mut self, line: Line) {
        self.acknowledged += 1;
        match line {
            Line::Opened { us } => {
                self.acknowledged -= 1;
                self.opened.push(Duration::from_micros(us));
            }
            Line::Broken { error } => {
                self.acknowledged -= 1;
                self.broken.push(error);
            }
            Line::Create { id } => drop(self.created.insert(id)),
            Line::Cancel { id } => drop(self.cancelled.insert(id)),
            Line::Renew { id, epoch } => self.renewed.push((id, epoch)),
            Line::Fail { id, epoch, attempt } => self.failed.push((id, epoch, attempt)),
            Line::Claim { id, epoch, until } => {
                if self.claims.entry(id).or_default().insert(epoch, until).is_some() {
                    self.doubled.push(format!("{id}: epoch {epoch} was handed out twice"));
                }
            }
            Line::Flow { flow, first, behind } => {
                self.created.extend(behind.iter().chain([&first]));
                self.flows.insert(flow, (first, behind));
            }
            Line::Spend { key } => drop(self.spent.insert(key)),
            Line::Frame { id, attempt, place, payload } => {
                self.frames.push(StoredFrame { id, attempt, place, payload });
            }
            Line::Signal { id, epoch, waitpoint, signal } => {
                self.signals.push(SentSignal { id, epoch, waitpoint, signal });
            }
            Line::Observed { id, epoch, signals } => {
                self.observed.insert((id, epoch), signals);
            }
            Line::Complete { id, epoch, result } => {
                if let Some(other) = self.completed.insert(id, result.clone()) {
                    self.doubled
                        .push(format!("{id}: completed with `{other}` and `{result}` ({epoch})"));
                }
            }
        }
    }

    /// Holds the ledgers against the rows, without a line of the engine's code.
    fn compare(&self, database: &Path) -> Difference {
        let conn = Connection::open(database).unwrap();
        conn.busy_timeout(PATIENCE).unwrap();
        conn.execute_batch("BEGIN").unwrap();
        let mut difference = Difference { lost: Vec::new(), doubled: self.doubled.clone() };
        let mut row = conn
            .prepare(
                "SELECT public_state, result, lease_epoch FROM ff_exec_core
                 WHERE partition_key = 0 AND execution_id = ?1",
            )
            .unwrap();
        let mut find = |id: &Uuid| -> Option<(String, Option<Vec<u8>>, u64)> {
            let mut rows = row.query([id.as_bytes()]).unwrap();
            let row = rows.next().unwrap()?;
            let epoch: i64 = row.get(2).unwrap();
            Some((row.get(0).unwrap(), row.get(1).unwrap(), u64::try_from(epoch).unwrap()))
        };
        for id in &self.created {
            if find(id).is_none() {
                difference.lost.push(format!("{id}: created, and not there"));
            }
        }
        for (id, result) in &self.completed {
            match find(id) {
                Some((state, Some(stored), _))
                    if state == "completed" && stored == result.as_bytes() => {}
                found => {
                    difference
                        .lost
                        .push(format!("{id}: completed with {result}, and is {found:?}"));
                }
            }
            if self.cancelled.contains(id) {
                difference.doubled.push(format!("{id}: both completed and cancelled"));
            }
        }
        for id in &self.cancelled {
            if find(id).is_none_or(|(state, ..)| state != "cancelled") {
                difference.lost.push(format!("{id}: cancelled, and is not"));
            }
        }
        for (id, claims) in &self.claims {
            let newest = claims.last_key_value().map_or(0, |(epoch, _)| *epoch);
            if find(id).is_none_or(|(.., epoch)| epoch < newest) {
                difference
                    .lost
                    .push(format!("{id}: claimed with epoch {newest}, which is not there"));
            }
            let ends: Vec<_> = claims.values().collect();
            if !ends.is_sorted() {
                difference.doubled.push(format!("{id}: epochs out of order: {claims:?}"));
            }
        }
        let mut attempt = conn
            .prepare(
                "SELECT outcome, lease_epoch FROM ff_attempt
                 WHERE partition_key = 0 AND execution_id = ?1 AND attempt_index = ?2",
            )
            .unwrap();
        for (id, epoch, index) in &self.failed {
            let found: Result<(Option<String>, i64), _> =
                attempt.query_row((id.as_bytes(), index), |row| Ok((row.get(0)?, row.get(1)?)));
            match found {
                Ok((Some(outcome), stored))
                    if ["retry", "failed"].contains(&outcome.as_str())
                        && u64::try_from(stored) == Ok(*epoch) => {}
                found => {
                    difference.lost.push(format!("{id}: attempt {index} failed, and is {found:?}"));
                }
            }
        }
        let mut twice = conn
            .prepare(
                "SELECT hex(execution_id), run, count(*) FROM ff_completion_event
                 GROUP BY execution_id, run HAVING count(*) > 1",
            )
            .unwrap();
        let twice = twice
            .query_map([], |row| {
                let (id, run, count): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(format!("{id}: run {run} ended {count} times"))
            })
            .unwrap();
        difference.doubled.extend(twice.map(Result::unwrap));
        self.compare_flows(&conn, &mut difference);
        self.compare_spending(&conn, &mut difference);
        self.compare_frames(&conn, &mut difference);
        self.compare_signals(&conn, &mut difference);
        difference
    }

    /// A graph is there whole, and each member behind another is let go once.
    fn compare_flows(&self, conn: &Connection, difference: &mut Difference) {
        let mut edges = conn
            .prepare("SELECT count(*) FROM ff_edge WHERE partition_key = 0 AND flow_id = ?1")
            .unwrap();
        let mut member = conn
            .prepare(
                "SELECT flow_id, lifecycle_phase FROM ff_exec_core
                 WHERE partition_key = 0 AND execution_id = ?1",
            )
            .unwrap();
        for (flow, (first, behind)) in &self.flows {
            let drawn: i64 = edges.query_row([flow.as_bytes()], |row| row.get(0)).unwrap();
            if drawn != 3 {
                difference.lost.push(format!("{flow}: submitted with 3 edges, and has {drawn}"));
            }
            for id in behind.iter().chain([first]) {
                let found: Option<(Option<Vec<u8>>, String)> = member
                    .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
                    .unwrap();
                let Some((of, phase)) = found else { continue };
                if of.as_deref() != Some(flow.as_bytes()) {
                    difference.lost.push(format!("{flow}: {id} is not in it"));
                }
                let freed = count_moves(conn, id, "dependencies_satisfied");
                if freed > 1 {
                    difference.doubled.push(format!("{id}: let go {freed} times"));
                }
                if phase == "terminal" && id != first && freed == 0 {
                    difference.lost.push(format!("{id}: ended, and was never let go"));
                }
            }
        }
    }

    /// Every report counts once: one unit for each remembered key.
    fn compare_spending(&self, conn: &Connection, difference: &mut Difference) {
        let mut known =
            conn.prepare("SELECT 1 FROM ff_budget_usage_dedup WHERE dedup_key = ?1").unwrap();
        for key in &self.spent {
            if !known.exists([format!("{BUDGET}:{key}")]).unwrap() {
                difference.lost.push(format!("{key}: spent, and nobody knows"));
            }
        }
        let sum = |sql: &str| -> i64 { conn.query_row(sql, [], |row| row.get(0)).unwrap() };
        let keys = sum("SELECT count(*) FROM ff_budget_usage_dedup");
        let spent = sum("SELECT coalesce(sum(current_value), 0) FROM ff_budget_usage");
        if spent < keys {
            difference.lost.push(format!("budget: {keys} reports, but {spent} units"));
        }
        if spent > keys {
            difference.doubled.push(format!("budget: {keys} reports, but {spent} units"));
        }
    }

    fn compare_frames(&self, conn: &Connection, difference: &mut Difference) {
        let mut stream = conn
            .prepare(
                "SELECT ts_ms || '-' || seq FROM ff_stream_frame
                 WHERE partition_key = 0 AND execution_id = ?1 AND attempt_index = ?2
                     AND json_extract(fields, '$.payload') = ?3",
            )
            .unwrap();
        for StoredFrame { id, attempt, place, payload } in &self.frames {
            let places: Vec<String> = stream
                .query_map((id.as_bytes(), attempt, payload), |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            if !places.contains(place) {
                difference.lost.push(format!("{id}: wrote `{payload}` at {place}, not there"));
            }
            if places.len() > 1 {
                difference.doubled.push(format!("{id}: wrote `{payload}`, is at {places:?}"));
            }
        }
    }

    /// A signal is stored once, ends its wait once, and is shown to the claim that goes on.
    fn compare_signals(&self, conn: &Connection, difference: &mut Difference) {
        let mut stored = conn
            .prepare(
                "SELECT count(*) FROM ff_signal
                 WHERE partition_key = 0 AND execution_id = ?1 AND signal_id = ?2",
            )
            .unwrap();
        let mut closed = conn
            .prepare(
                "SELECT 1 FROM ff_waitpoint_closed
                 WHERE partition_key = 0 AND waitpoint_id = ?1 AND close_reason = 'resumed'",
            )
            .unwrap();
        let mut waits = conn
            .prepare(
                "SELECT count(*) FROM ff_waitpoint_closed
                 WHERE partition_key = 0 AND execution_id = ?1 AND close_reason = 'resumed'",
            )
            .unwrap();
        for SentSignal { id, epoch, waitpoint, signal } in &self.signals {
            let (key, of) = (id.as_bytes(), signal.as_bytes());
            let copies: i64 = stored.query_row((key, of), |row| row.get(0)).unwrap();
            if copies == 0 {
                difference.lost.push(format!("{id}: signal {signal} is not there"));
            }
            if copies > 1 {
                difference.doubled.push(format!("{id}: signal {signal} is there {copies} times"));
            }
            if !closed.exists([waitpoint.as_bytes()]).unwrap() {
                difference.lost.push(format!("{id}: signal {signal} has ended no wait"));
            }
            let ended: i64 = waits.query_row([key], |row| row.get(0)).unwrap();
            let resumed = count_moves(conn, id, "condition_satisfied");
            if resumed > ended {
                difference.doubled.push(format!("{id}: {ended} waits ended {resumed} times"));
            }
            if resumed < ended {
                difference.lost.push(format!("{id}: {ended} waits ended, resumed {resumed} times"));
            }
            if let Some(shown) = self.observed.get(&(*id, epoch + 1)) {
                match shown.iter().filter(|shown| *shown == signal).count() {
                    1 => {}
                    0 => difference.lost.push(format!("{id}: signal {signal} was not shown")),
                    _ => difference.doubled.push(format!("{id}: signal {signal} shown twice")),
                }
            }
        }
    }
}

/// How often an execution moved for this cause.
fn count_moves(conn: &Connection, id: &Uuid, cause: &str) -> i64 {
    conn.prepare_cached(
        "SELECT count(*) FROM ff_transition
         WHERE partition_key = 0 AND execution_id = ?1 AND cause = ?2",
    )
    .unwrap()
    .query_row((id.as_bytes(), cause), |row| row.get(0))
    .unwrap()
}

impl Harness {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut harness = Self {
            directory,
            children: Vec::new(),
            started: 0,
            dice: Dice::new(seed, u64::MAX),
            known: Known::default(),
        };
        for submits in std::iter::repeat_n(true, SUBMITTERS).chain([false; WORKERS]) {
            harness.start(submits);
        }
        harness
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("crash.db")
    }

    fn start(&mut self, submits: bool) {
        self.started += 1;
        let ledger = self.directory.path().join(format!("{}.jsonl", self.started));
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("FF_CRASH_ROLE", if submits { "submit" } else { "work" })
            .env("FF_CRASH_DB", self.database())
            .env("FF_CRASH_LEDGER", ledger)
            .env("FF_CRASH_CHILD_SEED", self.dice.next().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.children.push(Running { submits, process });
    }

    /// Kills a child in the middle of whatever it does, and starts another in its place.
    fn kill_one(&mut self) {
        let victim = usize::try_from(self.dice.below(u64::try_from(self.children.len()).unwrap()));
        let victim = self.children.swap_remove(victim.unwrap());
        let submits = victim.submits;
        drop(victim);
        self.start(submits);
    }

    /// A random moment of the children's work: that is what the sleep chooses.
    fn let_run(&mut self, at_most: Duration) {
        let micros = self.dice.below(u64::try_from(at_most.as_micros()).unwrap());
        std::thread::sleep(Duration::from_micros(micros));
    }

    fn compared(&mut self) -> Difference {
        self.known.catch_up(self.directory.path());
        assert!(self.known.broken.is_empty(), "{:?}", self.known.broken);
        self.known.compare(&self.database())
    }

    /// Ends the submitters and waits until every execution has ended: nothing is stuck.
    fn drain(&mut self) {
        self.children.retain(|child| !child.submits);
        let conn = Connection::open(self.database()).unwrap();
        conn.busy_timeout(PATIENCE).unwrap();
        let watch = Stopwatch::start();
        loop {
            let left: i64 = conn
                .query_row(
                    "SELECT count(*) FROM ff_exec_core WHERE lifecycle_phase <> 'terminal'",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            if left == 0 {
                break;
            }
            assert!(watch.elapsed() < PATIENCE, "{left} executions never ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.children.clear();
    }

    fn verify(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let report = runtime.block_on(async {
            let engine = options(&self.database()).sweeps(false).open().await.unwrap();
            engine.verify().await.unwrap()
        });
        assert!(report.is_clean(), "{report}");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`: give a number")),
        Err(_) => otherwise,
    }
}

#[test]
#[serial]
fn nothing_acknowledged_is_lost_or_happens_twice() {
    if std::env::var("FF_CRASH_ROLE").is_ok() {
        return;
    }
    let seed = number("FF_CRASH_SEED", u64::from(std::process::id()));
    let (kills_wanted, ops_wanted) = (number("FF_CRASH_KILLS", KILLS), number("FF_CRASH_OPS", OPS));
    let again = format!(
        "FF_CRASH_SEED={seed} FF_CRASH_KILLS={kills_wanted} FF_CRASH_OPS={ops_wanted} \
         cargo test -p ff-backend-sqlite --test crash -- --nocapture"
    );
    let outcome = std::panic::catch_unwind(|| {
        let mut harness = Harness::new(seed);
        let mut kills = 0;
        let watch = Stopwatch::start();
        while kills < kills_wanted || harness.known.acknowledged < ops_wanted {
            harness.let_run(Duration::from_millis(1_200));
            harness.kill_one();
            kills += 1;
            if kills % COMPARE_EVERY == 0 {
                let difference = harness.compared();
                assert!(difference.is_none(), "after {kills} kills: {difference:?}");
            } else {
                harness.known.catch_up(harness.directory.path());
            }
        }
        let loaded = watch.elapsed();
        harness.drain();
        let difference = harness.compared();
        let mut opened = harness.known.opened.clone();
        opened.sort_unstable();
        let at = |percent: usize| opened[(opened.len() * percent).div_ceil(100) - 1];
        let (p50, p90, p99) = (at(50), at(90), at(99));
        println!(
            "crash: kills={kills} acked={} flows={} spent={} frames={} signals={} lost={} doubled={} \
             restarts_p50={}ms p90={}ms p99={}ms seed={seed}",
            harness.known.acknowledged,
            harness.known.flows.len(),
            harness.known.spent.len(),
            harness.known.frames.len(),
            harness.known.signals.len(),
            difference.lost.len(),
            difference.doubled.len(),
            p50.as_millis(),
            p90.as_millis(),
            p99.as_millis(),
        );
        assert!(difference.is_none(), "{difference:?}");
        assert!(p99 <= OPEN_MAX, "opening after a crash took {p99:?}, of {opened:?}");
        assert!(!harness.known.failed.is_empty() && !harness.known.renewed.is_empty());
        assert!(!harness.known.cancelled.is_empty());
        assert!(!harness.known.flows.is_empty() && !harness.known.spent.is_empty());
        assert!(!harness.known.frames.is_empty() && !harness.known.signals.is_empty());
        assert!(!harness.known.observed.is_empty());
        harness.verify();
        (kills, loaded)
    });
    match outcome {
        Ok((kills, loaded)) => assert!(kills > 0 && !loaded.is_zero()),
        Err(panic) => {
            eprintln!("repeat with: {again}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A harness that has never failed proves nothing.
#[test]
#[serial]
fn the_harness_sees_what_is_lost_and_what_happens_twice() {
    if std::env::var("FF_CRASH_ROLE").is_ok() {
        return;
    }
    let mut harness = Harness::new(7);
    let watch = Stopwatch::start();
    while !harness.known.has_seen_everything() {
        assert!(watch.elapsed() < PATIENCE);
        harness.let_run(Duration::from_millis(100));
        harness.known.catch_up(harness.directory.path());
    }
    harness.drain();
    assert_eq!(harness.compared(), Difference::default());
    let conn = Connection::open(harness.database()).unwrap();
    let ids: Vec<_> = harness.known.completed.keys().take(3).copied().collect();
    let [gone, changed, twice] = ids[..] else { panic!("three have completed") };

    let (frame, written_twice) = (&harness.known.frames[0], &harness.known.frames[1]);
    let (signal, sent_twice) = (&harness.known.signals[0], &harness.known.signals[1]);
    let mut flows = harness.known.flows.iter();
    let (torn, _) = flows.next().expect("two flows");
    let (_, (_, freed_twice)) = flows.next().expect("two flows");
    let key = harness.known.spent.first().cloned().unwrap();

    for (sql, id) in [
        ("DELETE FROM ff_exec_core WHERE execution_id = ?1", gone),
        ("UPDATE ff_exec_core SET result = x'00' WHERE execution_id = ?1", changed),
        (
            "INSERT INTO ff_completion_event (partition_key, execution_id, outcome, occurred_at_ms)
             SELECT partition_key, execution_id, outcome, occurred_at_ms FROM ff_completion_event
             WHERE execution_id = ?1",
            twice,
        ),
        (
            "DELETE FROM ff_edge WHERE edge_id = (SELECT edge_id FROM ff_edge WHERE flow_id = ?1)",
            *torn,
        ),
        (
            "INSERT INTO ff_transition SELECT partition_key, execution_id, version + 1000, at_ms,
                 lease_epoch, from_state, to_state, cause
             FROM ff_transition WHERE execution_id = ?1 AND cause = 'dependencies_satisfied'",
            freed_twice[0],
        ),
        ("DELETE FROM ff_signal WHERE signal_id = ?1", signal.signal),
        (
            "INSERT INTO ff_signal SELECT partition_key, execution_id, seq + 1000, bytes_so_far,
                 signal_id, NULL, waitpoint_key, suspension_id, signal_name, signal_category,
                 source_type, source_identity, correlation_id, payload, payload_encoding,
                 accepted_at_ms
             FROM ff_signal WHERE signal_id = ?1",
            sent_twice.signal,
        ),
        ("DELETE FROM ff_waitpoint_closed WHERE waitpoint_id = ?1", signal.waitpoint),
    ] {
        assert_eq!(conn.execute(sql, [id.as_bytes()]).unwrap(), 1, "{sql}");
    }
    for (sql, of) in [
        (
            "DELETE FROM ff_stream_frame WHERE json_extract(fields, '$.payload') = ?1",
            frame.payload.clone(),
        ),
        (
            "INSERT INTO ff_stream_frame (partition_key, execution_id, attempt_index, ts_ms, seq,
                 fields, mode, created_at_ms)
             SELECT partition_key, execution_id, attempt_index, ts_ms + 1, seq, fields, mode,
                 created_at_ms
             FROM ff_stream_frame WHERE json_extract(fields, '$.payload') = ?1",
            written_twice.payload.clone(),
        ),
        ("DELETE FROM ff_budget_usage_dedup WHERE dedup_key = ?1", format!("{BUDGET}:{key}")),
    ] {
        assert_eq!(conn.execute(sql, [&of]).unwrap(), 1, "{sql}");
    }
    drop(conn);

    let seen = (signal.signal, sent_twice.signal, freed_twice[0]);
    let unseen = (sent_twice.id, sent_twice.epoch + 1);
    let (torn, place, places) = (*torn, frame.payload.clone(), written_twice.payload.clone());
    harness.known.observed.insert(unseen, Vec::new());
    let difference = harness.compared();
    let lost = |id: &Uuid, what: &str| {
        let prefix = format!("{id}: {what}");
        difference.lost.iter().filter(|line| line.starts_with(&prefix)).count()
    };
    assert_eq!(lost(&gone, "created"), 1, "{difference:?}");
    assert_eq!(lost(&gone, "completed"), 1, "{difference:?}");
    assert_eq!(lost(&changed, "completed"), 1, "{difference:?}");
    let mentions = |lines: &[String], what: &str| lines.iter().any(|line| line.contains(what));
    for what in [
        format!("{torn}: submitted with 3 edges, and has 2"),
        format!("{key}: spent, and nobody knows"),
        format!("wrote `{place}`"),
        format!("signal {} is not there", seen.0),
        format!("signal {} has ended no wait", seen.0),
        format!("signal {} was not shown", seen.1),
    ] {
        assert!(mentions(&difference.lost, &what), "{what} is missing: {difference:?}");
    }
    for what in [
        format!("{twice}: run").replace('-', "").to_uppercase().replace("RUN", "run"),
        "reports, but".to_owned(),
        format!("wrote `{places}`"),
        format!("signal {} is there 2 times", seen.1),
        format!("{}: let go 2 times", seen.2),
    ] {
        assert!(mentions(&difference.doubled, &what), "{what} is missing: {difference:?}");
    }
}
