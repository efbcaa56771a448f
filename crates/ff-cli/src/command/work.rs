//! `ff work`: run a command on every execution of some lanes.
//!
//! ```text
//! claim ─▶ attend ─▶ COMMAND under a helper ─▶ complete, fail, or nothing
//!            ├─ keeper: renews the lease every TTL/3
//!            └─ watcher (one for all): learns within 250 ms that a lease is gone
//! ```
//!
//! COMMAND itself may give its lease back, by `ff task suspend` or `delay`: then it is let end, its exit code
//! ends nothing, and the execution comes back when its wait is over, with its signals in a file.
//!
//! A lease lost otherwise, whoever noticed it, ends COMMAND and reports nothing: the execution is someone else's
//! or over. The first SIGTERM or Ctrl-C stops claiming; the second ends the commands and gives their
//! leases back, so that the same attempt is taken up elsewhere at once; the third does not wait.
//! A claim is never dropped half-way: what it brings after a stop is given back.
//!
//! A store that fails for good — its file taken away, its writer stopped, or every call failing for ten
//! seconds — ends the worker as the second signal does, with the reason and exit code 1.

mod lease;
mod registry;
mod verdict;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use ff_core::EngineError;
use ff_core::backend::{CapabilitySet, ClaimPolicy, FailureClass, FailureReason, Handle};
use ff_core::contracts::{CLAIM_BATCH_MAX, ClaimedWork};
use ff_core::engine_backend::EngineBackend;
use ff_core::engine_error::ValidationKind;
use ff_core::types::{LaneId, WorkerId, WorkerInstanceId};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::command::task::HANDLE_VARIABLE;
use crate::command::work::lease::{Loss, Slot, gone, keep, watch_leases};
use crate::command::work::verdict::{Verdict, failed, too_large, verdict};
use crate::duration;
use crate::error::{Error, Exit, Result, Retry, STOPPED_FIX, is_storage, reason};
use crate::filter::parse_lane;
use crate::id;
use crate::output::{Format, Output, escape};
use crate::process::{Event, Running, Spawner, Task};
use crate::signals::SignalsFile;
use crate::store::{File, Location, Purpose, Store, absolute};
use crate::time;

/// How long one claim waits. It bounds how long a stop waits for the claim to come back.
const CLAIM_WAIT: Duration = Duration::from_millis(500);

/// After this long without a claim the user is told why, and again after every [`TELL_AGAIN`].
const TELL_AFTER: Duration = Duration::from_secs(1);
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The shortest lease: below it a busy disk alone loses leases.
const LEASE_TTL_MIN: Duration = Duration::from_millis(200);

/// How long a command may go on after it gave its lease back.
const PARKED_GRACE: Duration = Duration::from_secs(10);

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
  FF_HANDLE        opaque; `ff task` needs it
  FF_SIGNALS_FILE  after a wait that was answered: a file with the answers as JSON

With `ff task` COMMAND tells its progress, streams, spends, waits and spawns. After `ff task suspend` or
`delay` its exit code ends nothing, and it is run again when the wait is over.

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
    /// The command gave the lease back, to be run again later.
    Parked,
    /// Somebody else ended the attempt: an operator, a flow, a budget or a deadline.
    Ended,
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
    parked: u64,
    ended: u64,
    lost: u64,
    released: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Completed => &mut self.completed,
            Outcome::Retried => &mut self.retried,
            Outcome::Failed => &mut self.failed,
            Outcome::Parked => &mut self.parked,
            Outcome::Ended => &mut self.ended,
            Outcome::Lost => &mut self.lost,
            Outcome::Released => &mut self.released,
        };
        *counter += 1;
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
        tokio::spawn(registry::keep(Arc::clone(&worker))),
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
    registry::leave(&worker).await;
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
            "parked": tally.parked,
            "ended": tally.ended,
            "lost": tally.lost,
            "released": tally.released,
        })),
        Format::Table if !output.quiet => {
            let parked = match tally.parked {
                0 => String::new(),
                parked => format!("{parked} parked, "),
            };
            let ended = match tally.ended {
                0 => String::new(),
                ended => format!("{ended} ended from outside, "),
            };
            eprintln!(
                "{} completed, {} to retry, {} failed, {parked}{ended}{} lost, {} given back",
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

/// Ends the worker when its database file is taken away.
async fn watch_file(worker: Arc<Worker>, file: File) {
    let failure = file.moved().await;
    worker.give_up(failure, Stage::Stop);
}

/// Waits until the worker has been asked to stop this firmly.
async fn reached(stage: &mut watch::Receiver<Stage>, asked: Stage) {
    let listening = stage.wait_for(|stage| *stage >= asked).await.is_ok();
    if !listening {
        // Nobody listens for signals any more, so none comes.
        std::future::pending::<()>().await;
    }
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
            execution_id: work.execution_id.clone(),
            attempt_index: work.attempt_index,
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

    fn task(&self, work: ClaimedWork, signals: Option<&SignalsFile>) -> Task {
        let mut env: Vec<(&'static str, OsString)> = vec![
            ("FF_EXECUTION_ID", id::show(&work.execution_id).into()),
            ("FF_KIND", work.execution_kind.into()),
            ("FF_LANE", work.lane_id.as_str().into()),
            ("FF_ATTEMPT", (u64::from(work.attempt_index.0) + 1).to_string().into()),
            ("FF_LEASE_EPOCH", work.lease_epoch.to_string().into()),
            ("FF_STORE", self.store.clone().into()),
            (HANDLE_VARIABLE, hex::encode(work.handle.opaque.as_bytes()).into()),
        ];
        // Always set: a worker that is itself a command's child must not hand on its own.
        env.push((
            "FF_SIGNALS_FILE",
            signals.map_or_else(OsString::new, |file| file.path().into()),
        ));
        Task {
            argv: self.argv.clone(),
            env,
            stdin: work.input_payload,
            stdout_max: self.result_max,
            show_stderr: !self.quiet,
        }
    }

    async fn run_command(
        self: &Arc<Self>,
        work: ClaimedWork,
        slot: &Slot,
        mut lost: watch::Receiver<Option<Loss>>,
    ) -> (Outcome, String) {
        // It is there for as long as the command runs.
        let signals = match work.signals.as_slice() {
            [] => None,
            signals => match SignalsFile::write(signals) {
                Ok(file) => Some(file),
                Err(error) => {
                    let reason = format!("cannot write the signals for the command: {error}");
                    return self.report(slot, Verdict::Fail(reason, FailureClass::Transient)).await;
                }
            },
        };
        let task = self.task(work, signals.as_ref());
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
            loss = gone(&mut lost) => {
                if loss.outcome == Outcome::Parked {
                    return self.let_end(command, &loss).await;
                }
                self.end(&mut command).await;
                command.finish().await;
                return (loss.outcome, format!("stopped: {}", loss.why));
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
                        format!("stopped, but not given back: {}; its lease lapses", reason(&error)),
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

    /// Waits for a command that has given its lease back. It is ended if it does not end.
    async fn let_end(&self, mut command: Running, loss: &Loss) -> (Outcome, String) {
        let mut stage = self.stage.clone();
        let ended = tokio::select! {
            event = tokio::time::timeout(PARKED_GRACE, command.event()) => {
                matches!(event, Ok(Ok(Event::Ended(_))))
            }
            () = reached(&mut stage, Stage::Stop) => false,
        };
        if !ended {
            self.end(&mut command).await;
        }
        command.finish().await;
        let note = if ended { "" } else { "; the command was stopped, its lease being gone" };
        (Outcome::Parked, format!("is {}{note}", loss.why))
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
                let why = reason(&error);
                self.say(|| format!("{id} could not be given back: {why}; its lease lapses"));
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
                    let lease_end = slot.lease_end();
                    let until = stopped_at.map_or(lease_end, |at| lease_end.min(at + self.grace));
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
                (_, error) => {
                    let loss = self.loss_by(slot, &error).await;
                    let note = match loss.outcome {
                        Outcome::Parked => format!("is {}", loss.why),
                        _ => format!("came to its end, and it is not recorded: {}", loss.why),
                    };
                    return (loss.outcome, note);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
