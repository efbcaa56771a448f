//! `ff work`: run a command on every execution of some lanes.
//!
//! ```text
//! claim ─▶ attend ─▶ COMMAND under a helper ─▶ complete, fail, or nothing
//!            ├─ keeper: renews the lease every TTL/3
//!            └─ watcher (one for all): learns within 250 ms that a lease is gone
//! ```
//!
//! A lost lease, whoever noticed it, ends COMMAND and reports nothing: the execution is someone else's
//! or over. The first SIGTERM or Ctrl-C stops claiming; the second ends the commands and gives their
//! leases back, so that the same attempt is taken up elsewhere at once; the third does not wait.
//! A claim is never dropped half-way: what it brings after a stop is given back.
//!
//! A store that fails for good — its file taken away, its writer stopped, or every call failing for ten
//! seconds — ends the worker as the second signal does, with the reason and exit code 1.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use ff_core::EngineError;
use ff_core::backend::{
    CapabilitySet, ClaimPolicy, FailOutcome, FailureClass, FailureReason, Handle,
};
use ff_core::contracts::{CHECK_LEASES_MAX, CLAIM_BATCH_MAX, ClaimedWork, LeaseStanding};
use ff_core::engine_backend::EngineBackend;
use ff_core::engine_error::ValidationKind;
use ff_core::types::{LaneId, WorkerId, WorkerInstanceId};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::duration;
use crate::error::{Error, Exit, Result, Retry, STOPPED_FIX, is_storage};
use crate::filter::parse_lane;
use crate::id;
use crate::output::{Format, Output, escape};
use crate::process::{Event, Left, Running, Spawner, Task, describe};
use crate::store::{File, Location, Purpose, Store, absolute};
use crate::time;

/// How often the watcher asks for all leases: a cancel is learnt well within a second.
const WATCH: Duration = Duration::from_millis(250);

/// How long one claim waits. It bounds how long a stop waits for the claim to come back.
const CLAIM_WAIT: Duration = Duration::from_millis(500);

/// Between two tries of a renewal at most.
const RENEW_AGAIN: Duration = Duration::from_secs(2);

/// After this long without a claim the user is told why, and again after every [`TELL_AGAIN`].
const TELL_AFTER: Duration = Duration::from_secs(1);
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The shortest lease: below it a busy disk alone loses leases.
const LEASE_TTL_MIN: Duration = Duration::from_millis(200);

/// Exit codes of sysexits.h that no other attempt would change.
const PERMANENT: [(i32, &str); 11] = [
    (64, "EX_USAGE"),
    (65, "EX_DATAERR"),
    (66, "EX_NOINPUT"),
    (67, "EX_NOUSER"),
    (68, "EX_NOHOST"),
    (70, "EX_SOFTWARE"),
    (72, "EX_OSFILE"),
    (73, "EX_CANTCREAT"),
    (76, "EX_PROTOCOL"),
    (77, "EX_NOPERM"),
    (78, "EX_CONFIG"),
];

/// Runs a command on every execution of some lanes.
#[derive(Debug, Args)]
#[command(after_help = WORK_HELP)]
pub(crate) struct WorkArgs {
    /// The lanes to serve; their lines are merged by priority, then age.
    #[arg(
        long,
        value_name = "LANE",
        value_delimiter = ',',
        default_value = "default",
        value_parser = parse_lane
    )]
    lane: Vec<LaneId>,
    /// How many commands run at a time [default: the number of CPUs].
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: Option<u32>,
    /// What this worker offers; may be repeated.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    capability: Vec<String>,
    /// How long a dead worker's work waits for another one.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_ttl)]
    lease_ttl: Duration,
    /// Between SIGTERM and SIGKILL for a command that must end.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    grace: Duration,
    /// Stop after this many executions.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Stop when nothing is claimable.
    #[arg(long)]
    until_empty: bool,
    /// The worker's name, as `ff exec get` shows it.
    #[arg(long, default_value = "ff-work")]
    name: String,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const WORK_HELP: &str = "\
COMMAND reads the payload from stdin and writes the result to stdout. Its environment has
  FF_EXECUTION_ID  FF_KIND  FF_LANE
  FF_ATTEMPT       counts from 1
  FF_LEASE_EPOCH   the fencing number: hand it to what COMMAND changes, refuse a smaller one there
  FF_STORE         the store, as an absolute path
  FF_HANDLE        opaque

Its exit code says what becomes of the attempt:
  0                                        completed, with stdout as the result
  64 EX_USAGE     65 EX_DATAERR            failed for good
  66 EX_NOINPUT   67 EX_NOUSER
  68 EX_NOHOST    70 EX_SOFTWARE
  72 EX_OSFILE    73 EX_CANTCREAT
  76 EX_PROTOCOL  77 EX_NOPERM
  78 EX_CONFIG
  all others, 69 EX_UNAVAILABLE,           failed, retried as the execution's policy says
  71 EX_OSERR, 74 EX_IOERR, 75 EX_TEMPFAIL
  and signals among them
The end of stderr is stored as the reason of a failure.

Ctrl-C or SIGTERM once: take no more work, finish what runs. Twice: end the commands and give their
work back; exit code 130. COMMAND and what it starts die with the worker, also
by kill -9. What leaves COMMAND's process group (setsid) is on its own, and so is what COMMAND started
when worker and helper are killed in the same moment.";

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration::parse(text)?;
    if ttl < LEASE_TTL_MIN {
        return Err(format!("give at least {}", duration::exact(time::millis(LEASE_TTL_MIN))));
    }
    if ttl > Duration::from_secs(24 * 60 * 60) {
        return Err("give at most 24h".to_owned());
    }
    Ok(ttl)
}

/// How far the worker has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Work.
    Run,
    /// Finish what runs.
    Drain,
    /// End what runs and give it back.
    Stop,
    /// The same without grace.
    Kill,
}

/// How one attempt ended for this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Completed,
    Retried,
    Failed,
    /// The lease was gone; nothing was reported.
    Lost,
    /// The lease was given back.
    Released,
}

#[derive(Debug, Default)]
struct Tally {
    completed: u64,
    retried: u64,
    failed: u64,
    lost: u64,
    released: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Completed => &mut self.completed,
            Outcome::Retried => &mut self.retried,
            Outcome::Failed => &mut self.failed,
            Outcome::Lost => &mut self.lost,
            Outcome::Released => &mut self.released,
        };
        *counter += 1;
    }
}

/// One attempt in hand.
struct Slot {
    handle: Handle,
    /// Set once, with the reason, when the lease is known to be gone.
    lost: watch::Sender<Option<String>>,
    /// When the lease ends unless it is renewed, by the local clock.
    lease_end: Mutex<Instant>,
}

impl Slot {
    fn lease_end(&self) -> Instant {
        *lock(&self.lease_end)
    }

    fn lose(&self, why: String) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(why);
            }
            first
        });
    }
}

struct Worker {
    engine: Arc<dyn EngineBackend>,
    spawner: Spawner,
    slots: Mutex<HashMap<u64, Arc<Slot>>>,
    /// Held while a claim is on its way: what is given back must not come straight back.
    claiming: tokio::sync::Mutex<()>,
    stage: watch::Receiver<Stage>,
    stages: watch::Sender<Stage>,
    /// The first failure that no later call mends.
    failure: Mutex<Option<Error>>,
    lanes: Vec<LaneId>,
    capabilities: CapabilitySet,
    name: WorkerId,
    instance: WorkerInstanceId,
    lease_ttl: Duration,
    grace: Duration,
    wait_for_work: bool,
    argv: Vec<OsString>,
    store: String,
    result_max: usize,
    quiet: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn run(location: &Location, output: Output, args: WorkArgs) -> Result<ExitCode> {
    find_program(&args.command)?;
    let directory =
        std::env::current_dir().map_err(|error| Error::io("find the current directory", &error))?;
    let (stage_sender, stage) = watch::channel(Stage::Run);
    listen_for_signals(stage_sender.clone(), output.quiet, args.grace)?;
    let store = Store::open(location, Purpose::Serve).await?;
    let worker = Arc::new(Worker {
        engine: store.engine(),
        spawner: Spawner::start().map_err(|error| Error::io("start the spawner", &error))?,
        slots: Mutex::default(),
        claiming: tokio::sync::Mutex::default(),
        stage: stage.clone(),
        stages: stage_sender,
        failure: Mutex::default(),
        lanes: args.lane,
        capabilities: CapabilitySet::new(args.capability),
        name: WorkerId::new(args.name),
        instance: instance_id(),
        lease_ttl: args.lease_ttl,
        grace: args.grace,
        wait_for_work: !args.until_empty,
        argv: args.command,
        store: absolute(&location.url, &directory),
        result_max: location.limits.result_bytes,
        quiet: output.quiet,
    });
    worker.say(|| {
        let lanes: Vec<_> = worker.lanes.iter().map(LaneId::as_str).collect();
        format!("worker {} serves {}", worker.instance, lanes.join(", "))
    });
    let watchers = [
        tokio::spawn(watch_leases(Arc::clone(&worker))),
        tokio::spawn(watch_file(Arc::clone(&worker), store.file())),
    ];
    let concurrency = args.concurrency.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
    });
    let tally = serve(&worker, concurrency, args.max, args.until_empty).await;
    for watcher in watchers {
        watcher.abort();
        // It holds the engine until it has noticed.
        let _ = watcher.await;
    }
    let stopped_at = *stage.borrow();
    let failure = lock(&worker.failure).take();
    drop(worker);
    store.close().await;
    // What was done before a failure is told all the same.
    tell(output, &tally)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    Ok(if stopped_at >= Stage::Stop {
        ExitCode::from(Exit::Interrupted.code())
    } else {
        ExitCode::SUCCESS
    })
}

fn tell(output: Output, tally: &Tally) -> Result<()> {
    match output.format {
        Format::Json => output.json(&json!({
            "completed": tally.completed,
            "retried": tally.retried,
            "failed": tally.failed,
            "lost": tally.lost,
            "released": tally.released,
        })),
        Format::Table if !output.quiet => {
            eprintln!(
                "{} completed, {} to retry, {} failed, {} lost, {} given back",
                tally.completed, tally.retried, tally.failed, tally.lost, tally.released
            );
            Ok(())
        }
        Format::Table | Format::Id => Ok(()),
    }
}

/// A worker whose command is not there would fail everything it claims.
fn find_program(argv: &[OsString]) -> Result<()> {
    let program = argv.first().cloned().unwrap_or_default();
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    let shown = program.to_string_lossy().into_owned();
    let found = if shown.contains('/') {
        runs(Path::new(&program))
    } else {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| runs(&dir.join(&program))))
    };
    if found {
        return Ok(());
    }
    Err(Error::new(Exit::NotFound, "command_not_found", format!("cannot run `{shown}`"))
        .why("there is no such program, or it is not executable")
        .fix("check its name and PATH; a script needs `chmod +x` or `-- sh SCRIPT`"))
}

/// Names this process among all workers: host, process and a part that no other start repeats.
fn instance_id() -> WorkerInstanceId {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let start = uuid::Uuid::now_v7().simple().to_string();
    let start = start.get(start.len() - 6..).unwrap_or_default();
    WorkerInstanceId::new(format!("{host}:{}:{start}", std::process::id()))
}

fn listen_for_signals(stage: watch::Sender<Stage>, quiet: bool, grace: Duration) -> Result<()> {
    let listen = |kind| signal(kind).map_err(|error| Error::io("listen for signals", &error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let (next, message) = match *stage.borrow() {
                Stage::Run => (
                    Stage::Drain,
                    "stopping: finishing what runs; once more ends it and gives it back".to_owned(),
                ),
                Stage::Drain => (
                    Stage::Stop,
                    format!(
                        "ending what runs and giving it back; commands have {}",
                        duration::exact(time::millis(grace))
                    ),
                ),
                Stage::Stop | Stage::Kill => (Stage::Kill, "killing what runs".to_owned()),
            };
            if !quiet {
                eprintln!("{message}");
            }
            stage.send_replace(next);
        }
    });
    Ok(())
}

/// Claims and attends until there is a reason to stop and nothing runs any more.
async fn serve(
    worker: &Arc<Worker>,
    concurrency: u32,
    max: Option<u64>,
    until_empty: bool,
) -> Tally {
    let mut stage = worker.stage.clone();
    let mut running: JoinSet<Outcome> = JoinSet::new();
    let mut claiming: Option<JoinHandle<Result<Vec<ClaimedWork>, EngineError>>> = None;
    let mut tally = Tally::default();
    let mut left = max.unwrap_or(u64::MAX);
    let mut empty = false;
    loop {
        let busy = u32::try_from(running.len()).unwrap_or(u32::MAX);
        let free = concurrency.saturating_sub(busy).min(u32::try_from(left).unwrap_or(u32::MAX));
        let wants_work = *stage.borrow() == Stage::Run && free > 0 && !empty;
        if wants_work && claiming.is_none() {
            let worker = Arc::clone(worker);
            claiming = Some(tokio::spawn(async move { worker.claim(free).await }));
        }
        if claiming.is_none() && running.is_empty() {
            break;
        }
        tokio::select! {
            claimed = answer_of(&mut claiming), if claiming.is_some() => {
                claiming = None;
                match claimed {
                    Ok(works) => {
                        empty = until_empty && works.is_empty();
                        for work in works {
                            let worker = Arc::clone(worker);
                            if *stage.borrow() == Stage::Run {
                                left = left.saturating_sub(1);
                                running.spawn(async move { worker.attend(work).await });
                            } else {
                                running.spawn(async move { worker.hand_back(&work).await });
                            }
                        }
                    }
                    Err(error) => worker.fail("claim work", &error),
                }
            }
            Some(ended) = running.join_next() => {
                empty = false;
                match ended {
                    Ok(outcome) => tally.count(outcome),
                    // Its lease lapses and another worker takes it.
                    Err(error) => {
                        tracing::error!(%error, "an attempt was dropped");
                        tally.count(Outcome::Lost);
                    }
                }
            }
            _ = stage.changed() => {}
        }
    }
    tally
}

async fn answer_of(
    claiming: &mut Option<JoinHandle<Result<Vec<ClaimedWork>, EngineError>>>,
) -> Result<Vec<ClaimedWork>, EngineError> {
    match claiming {
        None => std::future::pending().await,
        // What it may have claimed comes back when its lease lapses.
        Some(claim) => claim.await.unwrap_or_else(|error| {
            let context = format!("a claim was dropped: {error}");
            let source = Box::new(EngineError::Unavailable { op: "claim_batch" });
            Err(EngineError::Contextual { source, context })
        }),
    }
}

/// Asks at intervals whether the leases in hand are still held.
async fn watch_leases(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(WATCH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retry = Retry::default();
    loop {
        ticks.tick().await;
        let slots: Vec<_> = lock(&worker.slots).values().cloned().collect();
        for slots in slots.chunks(CHECK_LEASES_MAX) {
            let handles: Vec<_> = slots.iter().map(|slot| slot.handle.clone()).collect();
            match worker.engine.check_leases(&handles).await {
                Ok(standings) => {
                    retry = Retry::default();
                    for (slot, standing) in slots.iter().zip(standings) {
                        if let LeaseStanding::Lost { reason, .. } = standing {
                            slot.lose(reason);
                        }
                    }
                }
                Err(error) if is_storage(&error) && retry.after(&error).is_none() => {
                    worker.fail("check the leases", &error);
                }
                // The keeper notices a store that stays busy.
                Err(error) => tracing::warn!(%error, "cannot check the leases"),
            }
        }
    }
}

/// Ends the worker when its database file is taken away.
async fn watch_file(worker: Arc<Worker>, file: File) {
    let failure = file.moved().await;
    worker.give_up(failure, Stage::Stop);
}

/// Renews a lease until it is gone or the task is aborted.
async fn keep(worker: Arc<Worker>, slot: Arc<Slot>) {
    let mut pause = worker.lease_ttl / 3;
    let mut retry = Retry::default();
    loop {
        tokio::time::sleep(pause).await;
        let asked = time::instant();
        match worker.engine.renew(&slot.handle).await {
            Ok(_) => {
                *lock(&slot.lease_end) = asked + worker.lease_ttl;
                pause = worker.lease_ttl / 3;
                retry = Retry::default();
            }
            Err(error) if retry.after(&error).is_none() => {
                if is_storage(&error) {
                    // The stop that follows ends the command.
                    return worker.fail("renew a lease", &error);
                }
                return slot.lose(error.to_string());
            }
            Err(error) if time::instant() >= slot.lease_end() => {
                return slot.lose(format!("the lease ran out while renewing failed: {error}"));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew a lease yet");
                pause = (worker.lease_ttl / 20).min(RENEW_AGAIN);
            }
        }
    }
}

/// Waits until the lease is known to be gone, and says why.
async fn gone(lost: &mut watch::Receiver<Option<String>>) -> String {
    let why = lost.wait_for(Option::is_some).await.ok().map(|why| why.clone());
    match why {
        Some(why) => why.unwrap_or_default(),
        // The slot that would say so is gone itself, and with it the attempt.
        None => std::future::pending().await,
    }
}

/// Waits until the worker has been asked to stop this firmly.
async fn reached(stage: &mut watch::Receiver<Stage>, asked: Stage) {
    let listening = stage.wait_for(|stage| *stage >= asked).await.is_ok();
    if !listening {
        // Nobody listens for signals any more, so none comes.
        std::future::pending::<()>().await;
    }
}

/// What the worker tells the engine about an attempt.
enum Verdict {
    Complete(Vec<u8>),
    Fail(String, FailureClass),
}

impl Worker {
    fn say(&self, line: impl FnOnce() -> String) {
        if !self.quiet {
            eprintln!("{} {}", time::clock(), escape(&line()));
        }
    }

    /// Ends the worker on an error that no later call mends.
    ///
    /// Without its store it can record nothing, so what runs ends too; after a refusal it may finish.
    fn fail(&self, doing: &str, error: &EngineError) {
        let mut failure = Error::engine(doing, error);
        let stage = if is_storage(error) {
            failure.what = format!("the worker has lost its store `{}`", self.store);
            failure = failure.context(&format!("it cannot {doing}")).fix(STOPPED_FIX);
            Stage::Stop
        } else {
            Stage::Drain
        };
        self.give_up(failure, stage);
    }

    fn give_up(&self, failure: Error, least: Stage) {
        {
            let mut first = lock(&self.failure);
            if first.is_none() {
                // An idle worker ends at once, and its error says it all.
                if !lock(&self.slots).is_empty() {
                    let why = failure.why.clone().unwrap_or_default();
                    let next = if least == Stage::Stop { "ending" } else { "finishing" };
                    self.say(|| format!("{}: {why}; {next} what runs", failure.what));
                }
                *first = Some(failure);
            }
        }
        self.stages.send_if_modified(|stage| {
            let raises = *stage < least;
            if raises {
                *stage = least;
            }
            raises
        });
    }

    fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    fn policy(&self) -> ClaimPolicy {
        let ttl_ms = u32::try_from(time::millis(self.lease_ttl)).unwrap_or(u32::MAX);
        let wait = self.wait_for_work.then_some(CLAIM_WAIT);
        ClaimPolicy::new(self.name.clone(), self.instance.clone(), ttl_ms, wait)
    }

    /// Claims up to `max`; a busy store is asked again until the worker is to stop, a failing one for a
    /// while.
    async fn claim(&self, max: u32) -> Result<Vec<ClaimedWork>, EngineError> {
        let _claiming = self.claiming.lock().await;
        let mut stage = self.stage.clone();
        let mut retry = Retry::default();
        let mut tell_at = time::instant() + TELL_AFTER;
        loop {
            let answer = self
                .engine
                .claim_batch(
                    &self.lanes,
                    &self.capabilities,
                    self.policy(),
                    max.min(CLAIM_BATCH_MAX),
                )
                .await;
            let error = match answer {
                Ok(works) => return Ok(works),
                Err(error) => error,
            };
            let Some(pause) = retry.after(&error) else { return Err(error) };
            tracing::warn!(%error, "cannot claim yet");
            if time::instant() >= tell_at {
                tell_at = time::instant() + TELL_AGAIN;
                let why = Error::engine("claim work", &error);
                self.say(|| {
                    format!("{} yet: {}; trying again", why.what, why.why.unwrap_or_default())
                });
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = reached(&mut stage, Stage::Drain) => return Ok(Vec::new()),
            }
        }
    }

    /// Runs COMMAND on one claimed execution and reports how it ended.
    async fn attend(self: Arc<Self>, work: ClaimedWork) -> Outcome {
        let (lost, lost_seen) = watch::channel(None);
        let slot = Arc::new(Slot {
            handle: work.handle.clone(),
            lost,
            lease_end: Mutex::new(time::instant() + self.lease_ttl),
        });
        let key = self.enter(&slot);
        let keeper = tokio::spawn(keep(Arc::clone(&self), Arc::clone(&slot)));
        let name = format!(
            "{} {} attempt {} epoch {}",
            id::show(&work.execution_id),
            work.execution_kind,
            u64::from(work.attempt_index.0) + 1,
            work.lease_epoch
        );
        let began = time::instant();
        let outcome = self.run_command(work, &slot, lost_seen).await;
        keeper.abort();
        lock(&self.slots).remove(&key);
        let took = duration::elapsed(time::millis(time::instant() - began));
        let (outcome, note) = outcome;
        self.say(|| format!("{name} {note} ({took})"));
        outcome
    }

    fn enter(&self, slot: &Arc<Slot>) -> u64 {
        let mut slots = lock(&self.slots);
        let key = (0..).find(|key| !slots.contains_key(key)).unwrap_or_default();
        slots.insert(key, Arc::clone(slot));
        key
    }

    fn task(&self, work: ClaimedWork) -> Task {
        let env: [(&'static str, OsString); 7] = [
            ("FF_EXECUTION_ID", id::show(&work.execution_id).into()),
            ("FF_KIND", work.execution_kind.into()),
            ("FF_LANE", work.lane_id.as_str().into()),
            ("FF_ATTEMPT", (u64::from(work.attempt_index.0) + 1).to_string().into()),
            ("FF_LEASE_EPOCH", work.lease_epoch.to_string().into()),
            ("FF_STORE", self.store.clone().into()),
            ("FF_HANDLE", hex::encode(work.handle.opaque.as_bytes()).into()),
        ];
        Task {
            argv: self.argv.clone(),
            env: env.into(),
            stdin: work.input_payload,
            stdout_max: self.result_max,
            show_stderr: !self.quiet,
        }
    }

    async fn run_command(
        self: &Arc<Self>,
        work: ClaimedWork,
        slot: &Slot,
        mut lost: watch::Receiver<Option<String>>,
    ) -> (Outcome, String) {
        let task = self.task(work);
        let mut command = match self.spawner.spawn(task).await {
            Ok(command) => command,
            Err(error) => {
                let reason = format!("cannot start the command: {error}");
                return self.report(slot, Verdict::Fail(reason, FailureClass::Transient)).await;
            }
        };
        let mut stage = self.stage.clone();
        let event = tokio::select! {
            event = command.event() => event,
            why = gone(&mut lost) => {
                self.end(&mut command).await;
                command.finish().await;
                return (Outcome::Lost, format!("stopped, the lease is gone: {why}"));
            }
            () = reached(&mut stage, Stage::Stop) => {
                self.end(&mut command).await;
                command.finish().await;
                return match self.release(&slot.handle).await {
                    Ok(()) => (Outcome::Released, "stopped and given back".to_owned()),
                    Err(error) if error.is_stale() => {
                        (Outcome::Lost, "stopped; its lease was gone already".to_owned())
                    }
                    Err(error) => (
                        Outcome::Lost,
                        format!("stopped, but not given back: {error}; its lease lapses"),
                    ),
                };
            }
        };
        let verdict = match event {
            Ok(Event::Ended(status)) => verdict(status, command.finish().await, self.result_max),
            Ok(Event::TooLarge) => {
                self.end(&mut command).await;
                command.finish().await;
                too_large(self.result_max)
            }
            Err(error) => {
                command.kill().await;
                command.finish().await;
                let reason = format!("cannot wait for the command: {error}");
                Verdict::Fail(reason, FailureClass::Transient)
            }
        };
        self.report(slot, verdict).await
    }

    /// SIGTERM, the grace, SIGKILL; a third signal to the worker ends the grace.
    async fn end(&self, command: &mut Running) {
        let mut stage = self.stage.clone();
        let hurried = tokio::select! {
            () = command.terminate(self.grace) => false,
            () = reached(&mut stage, Stage::Kill) => true,
        };
        if hurried {
            command.kill().await;
        }
    }

    /// Gives back what a claim brought after the worker was to stop.
    async fn hand_back(&self, work: &ClaimedWork) -> Outcome {
        match self.release(&work.handle).await {
            Ok(()) => Outcome::Released,
            Err(error) => {
                let id = id::show(&work.execution_id);
                self.say(|| format!("{id} could not be given back: {error}; its lease lapses"));
                Outcome::Lost
            }
        }
    }

    /// Gives a lease back. A busy store is asked again for as long as a command has to end; then the lease lapses.
    async fn release(&self, handle: &Handle) -> Result<(), EngineError> {
        // Nothing is given back before the worker is to stop, so no claim follows the one that is out.
        drop(self.claiming.lock().await);
        let give_up = time::instant() + self.lease_ttl.min(self.grace);
        let mut stage = self.stage.clone();
        let mut retry = Retry::default();
        loop {
            let Err(error) = self.engine.release_lease(handle).await else { return Ok(()) };
            let goes_on = time::instant() < give_up
                && *stage.borrow_and_update() < Stage::Kill
                && !self.has_failed();
            match retry.after(&error) {
                Some(pause) if goes_on => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = reached(&mut stage, Stage::Kill) => {}
                },
                _ => return Err(error),
            }
        }
    }

    /// Tells the engine, again and again while the store is busy, until the lease ends. A worker that is to stop goes on
    /// for its grace, as a command does; a third signal ends that too.
    async fn report(&self, slot: &Slot, mut verdict: Verdict) -> (Outcome, String) {
        let mut retry = Retry::default();
        let mut stage = self.stage.clone();
        let mut stopped_at = None;
        loop {
            let answer = match &verdict {
                Verdict::Complete(result) => {
                    self.engine.complete(&slot.handle, Some(result.clone())).await.map(|()| {
                        let size = duration::size(u64::try_from(result.len()).unwrap_or(u64::MAX));
                        (Outcome::Completed, format!("completed, {size}"))
                    })
                }
                Verdict::Fail(reason, class) => self
                    .engine
                    .fail(&slot.handle, FailureReason::new(reason.clone()), *class)
                    .await
                    .map(|outcome| failed(reason, &outcome)),
            };
            let error = match answer {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            match retry.after(&error) {
                Some(pause) => {
                    let now = time::instant();
                    let current = *stage.borrow_and_update();
                    if current >= Stage::Stop {
                        stopped_at.get_or_insert(now);
                    }
                    let until = stopped_at
                        .map_or(slot.lease_end(), |at| slot.lease_end().min(at + self.grace));
                    if current < Stage::Kill && now < until {
                        tracing::warn!(%error, "cannot report an attempt yet");
                        let next = if stopped_at.is_some() { Stage::Kill } else { Stage::Stop };
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            () = reached(&mut stage, next) => {}
                        }
                        continue;
                    }
                }
                None if is_storage(&error) => self.fail("record an attempt", &error),
                _ => {}
            }
            match (&verdict, error) {
                (
                    Verdict::Complete(_),
                    EngineError::Validation { kind: ValidationKind::PayloadTooLarge, detail },
                ) => verdict = Verdict::Fail(detail, FailureClass::Permanent),
                (_, error) => return (Outcome::Lost, format!("ended, but not recorded: {error}")),
            }
        }
    }
}

fn failed(reason: &str, outcome: &FailOutcome) -> (Outcome, String) {
    let first = reason.lines().next().unwrap_or_default();
    match outcome {
        FailOutcome::RetryScheduled { delay_until } => {
            let wait = time::relative(delay_until.0, time::epoch_ms());
            (Outcome::Retried, format!("failed, next attempt {wait}: {first}"))
        }
        FailOutcome::TerminalFailed => (Outcome::Failed, format!("failed for good: {first}")),
    }
}

fn too_large(limit: usize) -> Verdict {
    Verdict::Fail(
        format!(
            "the result is too large: the command wrote more than {limit} bytes to stdout, and the \
             limit is {limit} bytes; store the data elsewhere and write a reference, or raise \
             --result-limit"
        ),
        FailureClass::Permanent,
    )
}

/// What an ended command means for its attempt.
fn verdict(status: ExitStatus, left: Left, limit: usize) -> Verdict {
    if left.too_large {
        return too_large(limit);
    }
    if status.success() {
        return match left.unread {
            None => Verdict::Complete(left.stdout),
            Some(why) => Verdict::Fail(
                format!("the result could not be read to its end: {why}"),
                FailureClass::Transient,
            ),
        };
    }
    let permanent =
        status.code().and_then(|code| PERMANENT.iter().find(|(known, _)| *known == code));
    let class = match permanent {
        Some(_) => FailureClass::Permanent,
        None => FailureClass::Transient,
    };
    let mut reason = describe(status);
    if let Some((_, name)) = permanent {
        reason = format!("{reason} ({name})");
    }
    if !left.stderr_tail.is_empty() {
        reason = format!("{reason}: {}", left.stderr_tail);
    }
    Verdict::Fail(reason, class)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn after(raw: i32, stderr: &str) -> Verdict {
        let left = Left {
            stdout: b"out".to_vec(),
            too_large: false,
            unread: None,
            stderr_tail: stderr.to_owned(),
        };
        verdict(ExitStatus::from_raw(raw), left, 10)
    }

    #[test]
    fn an_exit_code_decides_between_the_three_ends() {
        assert!(matches!(after(0, "noise"), Verdict::Complete(out) if out == b"out"));
        for code in 1..=255 {
            let Verdict::Fail(reason, class) = after(code << 8, "") else {
                panic!("exit code {code} completed")
            };
            let expected = match code {
                64..=68 | 70 | 72 | 73 | 76..=78 => FailureClass::Permanent,
                _ => FailureClass::Transient,
            };
            assert_eq!(class, expected, "{code}");
            assert!(reason.contains(&code.to_string()));
        }
        assert!(matches!(after(9, ""), Verdict::Fail(_, FailureClass::Transient)));
    }

    #[test]
    fn the_reason_is_the_exit_and_the_end_of_stderr() {
        let Verdict::Fail(reason, _) = after(65 << 8, "no such column") else { panic!() };
        assert_eq!(reason, "exit code 65 (EX_DATAERR): no such column");
    }

    #[test]
    fn a_result_that_is_too_large_fails_for_good_whatever_the_exit_code() {
        let left = || Left {
            stdout: Vec::new(),
            too_large: true,
            unread: None,
            stderr_tail: String::new(),
        };
        let Verdict::Fail(reason, class) = verdict(ExitStatus::from_raw(0), left(), 10) else {
            panic!()
        };
        let cut = Left { too_large: false, unread: Some("EIO".to_owned()), ..left() };
        let cut = verdict(ExitStatus::from_raw(0), cut, 10);
        assert!(matches!(cut, Verdict::Fail(_, FailureClass::Transient)), "half a result");
        assert_eq!(class, FailureClass::Permanent);
        assert!(reason.contains("more than 10 bytes"));
    }

    #[test]
    fn a_program_is_looked_for_before_anything_is_claimed() {
        assert!(find_program(&["sh".into(), "-c".into()]).is_ok());
        assert_eq!(
            find_program(&["no-such-program-here".into()]).unwrap_err().exit,
            Exit::NotFound
        );
        assert!(find_program(&["/etc/passwd".into()]).is_err());
        assert!(find_program(&[]).is_err());
    }

    #[test]
    fn a_lease_has_a_sensible_length() {
        assert!(parse_ttl("2s").is_ok() && parse_ttl("24h").is_ok());
        assert!(
            parse_ttl("10ms").is_err() && parse_ttl("25h").is_err() && parse_ttl("30").is_err()
        );
    }

    #[test]
    fn instances_differ_between_starts() {
        assert!(instance_id().as_str().contains(&format!(":{}:", std::process::id())));
    }
}
