//! `ff demo`: the promise, kept before your eyes.
//!
//! One execution per file hashes it. Three worker processes share the work; when two fifths are done,
//! one that holds work is killed with SIGKILL and replaced. If it turns out to have held nothing at that
//! moment, another one is killed. A few executions fail twice on purpose. At the end every claim is
//! checked against the database, by the same calls that anyone can make, and each result against a hash
//! computed here. What was not seen to happen is not claimed: then the demo fails.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use clap::parser::ValueSource;
use ff_core::contracts::ExecutionSummary;
use ff_core::engine_backend::EngineBackend;
use ff_core::policy::BackoffStrategy;
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, LaneId};
use indicatif::ProgressBar;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::command::bulk::{create, style};
use crate::command::exec::transitions;
use crate::command::submit::{Draft, engine_now};
use crate::duration;
use crate::error::{Error, Exit, Result};
use crate::filter::{Filter, find_all, is_ended};
use crate::id;
use crate::output::{Output, cell};
use crate::policy::Wishes;
use crate::process::own_command;
use crate::store::{Location, Purpose, Store};
use crate::time;

/// The hidden subcommand that hashes one file.
pub(crate) const TASK: &str = "__demo-task";

/// What every process of one demo, and every process of one worker, has in its environment.
const RUN_MARK: &str = "FF_DEMO_RUN";
const WORKER_MARK: &str = "FF_DEMO_WORKER";

const KIND: &str = "hash-file";
const TAG: &str = "demo.run";

const WORKERS: usize = 3;
const CONCURRENCY: usize = 2;

/// Short, so that the killed worker's work comes back while you watch.
const LEASE_TTL: &str = "2s";

/// One in this many fails twice first, and at least [`FLAKY_MIN`].
const FLAKY_ONE_IN: usize = 50;
const FLAKY_MIN: usize = 3;
const FAILURES: u32 = 2;

/// Two rounds for every worker: with fewer files the kill finds nobody at work.
const FILES_MIN: usize = 2 * WORKERS * CONCURRENCY;

/// How long the work takes at least: on a fast machine the kill would otherwise come too late to matter.
const SPREAD: Duration = Duration::from_secs(3);

/// Without any progress for this long the demo gives up and says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a killed worker's commands may take to be gone.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(2);

/// Submitted at a time.
const CHUNK: usize = 500;

/// Watches the engine lose nothing, in a new store in the temporary directory unless --store names one.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Hash the files under this directory.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// At most this many files, at least 12.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    files: u32,
}

/// What one execution is asked to do.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    path: PathBuf,
    /// How many attempts fail first.
    fail_first: u32,
    pause_ms: u64,
}

/// The command that the demo's workers run: prints the SHA-256 of the file its payload names.
pub(crate) fn run_task() -> u8 {
    const EX_DATAERR: u8 = 65;
    const EX_NOINPUT: u8 = 66;
    const EX_TEMPFAIL: u8 = 75;
    let mut text = String::new();
    if let Err(error) = io::stdin().lock().read_to_string(&mut text) {
        eprintln!("cannot read the payload: {error}");
        return EX_DATAERR;
    }
    let payload: Payload = match serde_json::from_str(&text) {
        Ok(payload) => payload,
        Err(error) => {
            eprintln!("the payload is not the demo's: {error}");
            return EX_DATAERR;
        }
    };
    let Some(attempt) = std::env::var("FF_ATTEMPT").ok().and_then(|text| text.parse::<u32>().ok())
    else {
        eprintln!("FF_ATTEMPT is not a number: `{TASK}` is started by `ff demo` only");
        return EX_DATAERR;
    };
    std::thread::sleep(Duration::from_millis(payload.pause_ms));
    if attempt <= payload.fail_first {
        eprintln!(
            "attempt {attempt} fails on purpose; attempt {} succeeds",
            payload.fail_first + 1
        );
        return EX_TEMPFAIL;
    }
    match hash_file(&payload.path) {
        Ok(hash) => {
            println!("{hash}");
            0
        }
        Err(error) => {
            eprintln!("cannot read {}: {error}", payload.path.display());
            EX_NOINPUT
        }
    }
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Regular files under a directory, in order of their names, without `.git` and `target`; and how many
/// files and directories were left out because they cannot be read.
fn files_under(dir: &Path, max: usize) -> io::Result<(Vec<PathBuf>, usize)> {
    let mut found = Vec::new();
    let mut unread = 0;
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // A directory below that may not be read is left out.
            Err(_) if path != dir => {
                unread += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut entries: Vec<_> = entries.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            let kind = entry.file_type()?;
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" && name != "target" {
                below.push(entry.path());
            }
            if !kind.is_file() {
                continue;
            }
            // The payload is JSON, so a name that is not UTF-8 is left out; so is what cannot be read.
            if entry.path().to_str().is_none() || File::open(entry.path()).is_err() {
                unread += 1;
                continue;
            }
            found.push(entry.path());
            if found.len() == max {
                return Ok((found, unread));
            }
        }
        open.extend(below.into_iter().rev());
    }
    Ok((found, unread))
}

struct Demo {
    run: String,
    url: String,
    directory: PathBuf,
    lane: LaneId,
    files: Vec<PathBuf>,
    expected: HashMap<ExecutionId, (PathBuf, String)>,
    flaky: usize,
    quiet: bool,
}

/// A worker process of this demo; dropping it kills the process.
struct WorkerProcess {
    child: Child,
    mark: String,
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kill met.
#[derive(Debug, Clone, Copy)]
struct Kill {
    /// How many executions the killed worker held.
    held: usize,
    /// How many processes the killed left; `None` when they could not be counted.
    orphans: Option<usize>,
}

/// What the demo found out.
#[derive(Debug, Serialize)]
struct Report {
    submitted: usize,
    completed: usize,
    /// How many were to fail twice first.
    flaky: usize,
    retried: usize,
    /// How many the killed worker held when it was killed.
    held_at_kill: usize,
    reclaimed: usize,
    orphans: Option<usize>,
    lost: usize,
    completed_twice: usize,
    wrong_results: usize,
    verify_findings: u64,
    elapsed_ms: u64,
    per_second: u64,
}

impl Report {
    fn is_good(&self) -> bool {
        self.shortcomings().is_empty()
    }

    /// What the demo claims and did not show.
    fn shortcomings(&self) -> Vec<String> {
        let Self { submitted, completed, flaky, retried, held_at_kill, reclaimed, .. } = self;
        let mut found = Vec::new();
        let mut claim = |holds: bool, otherwise: String| {
            if !holds {
                found.push(otherwise);
            }
        };
        claim(completed == submitted, format!("{completed} of {submitted} completed"));
        claim(
            *held_at_kill > 0,
            "no worker was killed while it held work, so nothing had to be taken back".to_owned(),
        );
        claim(
            *reclaimed > 0 && reclaimed >= held_at_kill,
            format!("{reclaimed} were reclaimed of {held_at_kill} that the killed worker held"),
        );
        claim(retried >= flaky, format!("{retried} were retried of {flaky} that failed first"));
        claim(self.orphans.is_some(), "what the killed worker left was not counted".to_owned());
        for (count, what) in [
            (self.orphans.unwrap_or(0), "processes left over"),
            (self.lost, "lost"),
            (self.completed_twice, "completed twice"),
            (self.wrong_results, "wrong results"),
        ] {
            claim(count == 0, format!("{count} {what}"));
        }
        let findings = self.verify_findings;
        claim(findings == 0, format!("{findings} findings of `ff verify`"));
        found
    }
}

pub(crate) async fn run(location: &Location, output: Output, args: DemoArgs) -> Result<ExitCode> {
    let dir = fs::canonicalize(&args.dir)
        .map_err(|error| Error::io(format!("read `{}`", args.dir.display()), &error))?;
    let most = usize::try_from(args.files).unwrap_or(usize::MAX);
    if most < FILES_MIN {
        return Err(too_few(&format!("--files is {most}")).fix("raise --files, or leave it out"));
    }
    if marked(RUN_MARK, "").is_none() {
        return Err(Error::new(
            Exit::Error,
            "no_proc",
            "the demo cannot show its claim on this system",
        )
        .why("without /proc it cannot count what a killed worker leaves behind"));
    }
    let (files, unread) = files_under(&dir, most)
        .map_err(|error| Error::io(format!("read `{}`", dir.display()), &error))?;
    if files.is_empty() {
        return Err(Error::new(
            Exit::NotFound,
            "no_files",
            format!("there is no file to hash under `{}`", dir.display()),
        )
        .fix("name a directory with files: `ff demo DIR`"));
    }
    if files.len() < FILES_MIN {
        let found = format!("there are {} under `{}`", files.len(), dir.display());
        return Err(too_few(&found).fix("name a directory with more files: `ff demo DIR`"));
    }
    if unread > 0 && !output.quiet {
        eprintln!("left out: {unread} that cannot be read, or whose names are not UTF-8");
    }
    let run = uuid::Uuid::now_v7().simple().to_string();
    let directory = std::env::temp_dir().join(format!("ff-demo-{run}"));
    fs::create_dir(&directory)
        .map_err(|error| Error::io(format!("make `{}`", directory.display()), &error))?;
    let here =
        std::env::current_dir().map_err(|error| Error::io("find the current directory", &error))?;
    let url = if store_was_named() {
        crate::store::absolute(&location.url, &here)
    } else {
        format!("sqlite:{}", directory.join("demo.db").display())
    };
    let flaky = (files.len() / FLAKY_ONE_IN).max(FLAKY_MIN).min(files.len());
    let mut demo = Demo {
        // A lane of its own: what else waits in a shared store stays untouched.
        lane: LaneId::new(format!("demo-{}", &run[20..])),
        run,
        url,
        directory,
        files,
        expected: HashMap::new(),
        flaky,
        quiet: output.quiet || output.is_json(),
    };
    let own = Location { url: demo.url.clone(), limits: location.limits.clone() };
    let store = Store::open(&own, Purpose::Submit).await?;
    let mut workers = Vec::new();
    let outcome = tokio::select! {
        outcome = demo.play(&store, &mut workers) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(Error::new(Exit::Interrupted, "interrupted", "the demo was interrupted"))
        }
    };
    // Whatever happened, no process of the demo outlives it.
    drop(workers);
    let report = outcome?;
    store.close().await;
    demo.tell(output, &report)?;
    if report.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::new(Exit::Error, "demo_failed", "the demo did not show what it claims")
        .why(report.shortcomings().join("; "))
        .fix(format!("the store and the workers' logs are in `{}`", demo.directory.display())))
}

fn too_few(why: &str) -> Error {
    Error::new(Exit::Usage, "too_few_files", format!("the demo needs at least {FILES_MIN} files"))
        .why(format!("{why}; with fewer, nobody is at work when a worker is to be killed"))
}

/// Whether the command line names a store. `FF_STORE` does not count: a demo has no place in it.
fn store_was_named() -> bool {
    use clap::CommandFactory as _;
    let matches = crate::Cli::command().try_get_matches();
    matches.is_ok_and(|matches| {
        let named = |source: Option<ValueSource>| source == Some(ValueSource::CommandLine);
        named(matches.value_source("store"))
            || matches.subcommand().is_some_and(|(_, below)| named(below.value_source("store")))
    })
}

impl Demo {
    fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    async fn play(&mut self, store: &Store, workers: &mut Vec<WorkerProcess>) -> Result<Report> {
        let engine = store.engine();
        let engine = engine.as_ref();
        self.say(&format!(
            "{} files, {WORKERS} workers, one to be killed, {} executions to fail twice",
            self.files.len(),
            self.flaky
        ));
        let bar = self.bar();
        let began = time::instant();
        self.submit(engine).await?;
        for number in 1..=WORKERS {
            workers.push(self.start_worker(number)?);
        }
        let kill = self.watch(engine, workers, &bar).await?;
        let elapsed = time::instant() - began;
        bar.finish_and_clear();
        self.stop(workers).await;
        let orphans = match (kill.orphans, marked(RUN_MARK, &self.run)) {
            (Some(killed), Some(all)) => Some(killed + all.len()),
            _ => None,
        };
        self.check(engine, store, Kill { orphans, ..kill }, elapsed).await
    }

    fn bar(&self) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let total = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
        ProgressBar::new(total)
            .with_style(style("{wide_bar:.cyan/blue} {pos}/{len} {msg} {elapsed_precise}"))
    }

    async fn submit(&mut self, engine: &dyn EngineBackend) -> Result<()> {
        let slots = WORKERS * CONCURRENCY;
        let pause = SPREAD.saturating_mul(u32::try_from(slots).unwrap_or(1))
            / u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let pause_ms = time::millis(pause).clamp(1, 500);
        let every = (self.files.len() / self.flaky).max(1);
        let now = engine_now(engine).await?;
        let mut batch = Vec::new();
        let mut files = Vec::new();
        for (place, path) in self.files.iter().enumerate() {
            let fails = place % every == 0 && place / every < self.flaky;
            let payload = Payload {
                path: path.clone(),
                fail_first: if fails { FAILURES } else { 0 },
                pause_ms,
            };
            let draft = Draft {
                kind: KIND.to_owned(),
                payload: serde_json::to_vec(&payload).map_err(|error| {
                    Error::new(Exit::Error, "json", "cannot write a payload").why(error.to_string())
                })?,
                lane: self.lane.clone(),
                key: None,
                priority: 0,
                tags: HashMap::from([(TAG.to_owned(), self.run.clone())]),
                delay: None,
                deadline: None,
                wishes: Wishes {
                    retries: Some(FAILURES + 2),
                    backoff: Some(BackoffStrategy::Exponential {
                        initial_delay_ms: 200,
                        max_delay_ms: 2_000,
                        multiplier: 2.0,
                        jitter: false,
                    }),
                    ..Wishes::default()
                },
            };
            batch.push(draft.args(now));
            files.push(path);
        }
        for (path, args) in files.into_iter().zip(&batch) {
            let hash = hash_file(path)
                .map_err(|error| Error::io(format!("read `{}`", path.display()), &error))?;
            self.expected.insert(args.execution_id.clone(), (path.clone(), hash));
        }
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(CHUNK));
            create(engine, std::mem::replace(&mut batch, rest)).await?;
        }
        Ok(())
    }

    fn start_worker(&self, number: usize) -> Result<WorkerProcess> {
        let mark = format!("{}-{number}", self.run);
        let log = self.directory.join(format!("worker-{number}.log"));
        let doing = || format!("start worker {number}");
        let log = File::create(log).map_err(|error| Error::io(doing(), &error))?;
        let child = own_command()
            .args(["work", "--store", &self.url, "--lane", self.lane.as_str()])
            .args(["--concurrency", &CONCURRENCY.to_string(), "--lease-ttl", LEASE_TTL])
            .args(["--name", "demo", "--grace", "1s", "--"])
            .arg(own_path()?)
            .arg(TASK)
            .env(RUN_MARK, &self.run)
            .env(WORKER_MARK, &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| Error::io(doing(), &error))?;
        Ok(WorkerProcess { child, mark })
    }

    /// Follows the work to its end, and kills a worker on the way; one that held nothing does not count.
    async fn watch(
        &self,
        engine: &dyn EngineBackend,
        workers: &mut Vec<WorkerProcess>,
        bar: &ProgressBar,
    ) -> Result<Kill> {
        let total = self.files.len();
        let mut kill = Kill { held: 0, orphans: Some(0) };
        let mut next_number = WORKERS + 1;
        let mut moved = time::instant();
        let mut last = 0;
        loop {
            let open = self.open(engine).await?;
            let ended = total.saturating_sub(open);
            bar.set_position(u64::try_from(ended).unwrap_or(u64::MAX));
            if ended != last {
                last = ended;
                moved = time::instant();
            }
            if open == 0 {
                return Ok(kill);
            }
            // Two fifths are done: late enough to be in full swing, early enough to matter.
            if kill.held == 0
                && ended * 5 >= total * 2
                && let Some(victim) = self.busy_worker(engine, workers).await?
            {
                let victim = workers.swap_remove(victim);
                let pid = victim.child.id();
                let mark = victim.mark.clone();
                drop(victim);
                // The dead change nothing any more: what is its own now, it held when it died.
                let active = self.active(engine).await?;
                kill.held = active.iter().filter(|summary| is_held_by(summary, pid)).count();
                let left = count_orphans(&mark).await;
                kill.orphans = kill.orphans.zip(left).map(|(before, left)| before + left);
                if kill.held > 0 {
                    bar.set_message("killed one");
                    self.say(&format!(
                        "kill -9 {pid}: a worker is gone in the middle of its work, {} in hand",
                        kill.held
                    ));
                } else {
                    self.say(&format!("kill -9 {pid}: it had just finished; another one follows"));
                }
                workers.push(self.start_worker(next_number)?);
                next_number += 1;
            }
            if time::instant() - moved > PATIENCE {
                return Err(Error::new(
                    Exit::TimedOut,
                    "stalled",
                    "the work does not move any more",
                )
                .why(format!("{open} of {total} executions are open"))
                .fix(format!("the workers' logs are in `{}`", self.directory.display())));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// How many executions have not ended: one cheap read.
    async fn open(&self, engine: &dyn EngineBackend) -> Result<usize> {
        let lanes = engine
            .list_lane_status()
            .await
            .map_err(|error| Error::engine("read the lane", &error))?;
        let open = lanes
            .iter()
            .find(|lane| lane.lane_id == self.lane)
            .map_or(0, |lane| lane.waiting + lane.delayed + lane.active);
        Ok(usize::try_from(open).unwrap_or(usize::MAX))
    }

    /// What workers hold at this moment.
    async fn active(&self, engine: &dyn EngineBackend) -> Result<Vec<ExecutionSummary>> {
        let filter = Filter {
            state: vec![PublicState::Active],
            lane: Some(self.lane.clone()),
            ..Filter::default()
        };
        find_all(engine, filter.search(engine).await?).await
    }

    /// The place of a worker that holds work at this moment.
    async fn busy_worker(
        &self,
        engine: &dyn EngineBackend,
        workers: &[WorkerProcess],
    ) -> Result<Option<usize>> {
        let active = self.active(engine).await?;
        Ok(active.iter().find_map(|summary| {
            workers.iter().position(|worker| is_held_by(summary, worker.child.id()))
        }))
    }

    /// Asks the workers to finish, and kills what does not.
    async fn stop(&self, workers: &mut Vec<WorkerProcess>) {
        for worker in workers.iter() {
            let pid = i32::try_from(worker.child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It is our child and not waited for yet, so the id is still its own.
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
        }
        let until = time::instant() + Duration::from_secs(10);
        while time::instant() < until {
            if workers.iter_mut().all(|worker| matches!(worker.child.try_wait(), Ok(Some(_)))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        workers.clear();
    }

    async fn check(
        &self,
        engine: &dyn EngineBackend,
        store: &Store,
        kill: Kill,
        elapsed: Duration,
    ) -> Result<Report> {
        self.say("checking every execution against the database");
        let filter = Filter {
            tag: Some((TAG.to_owned(), self.run.clone())),
            lane: Some(self.lane.clone()),
            ..Filter::default()
        };
        let found: HashMap<_, _> = find_all(engine, filter.search(engine).await?)
            .await?
            .into_iter()
            .map(|summary| (summary.execution_id.clone(), summary))
            .collect();
        let (mut completed, mut twice, mut wrong) = (0, 0, 0);
        for (id, (path, hash)) in &self.expected {
            let Some(summary) = found.get(id) else { continue };
            let completions = completions(engine, id).await?;
            if completions > 1 {
                twice += 1;
            }
            if completions != 1 || summary.public_state != PublicState::Completed {
                self.say(&format!(
                    "{} is {} with {completions} completions: {}",
                    id::show(id),
                    summary.public_state,
                    summary.reason.as_deref().unwrap_or("no reason given")
                ));
                continue;
            }
            completed += 1;
            let result = engine
                .get_execution_result(id)
                .await
                .map_err(|error| Error::engine("read a result", &error).about(id))?
                .unwrap_or_default();
            let result = String::from_utf8_lossy(&result);
            // A file that someone writes to meanwhile has two right answers.
            let right =
                result.trim() == hash || hash_file(path).is_ok_and(|now| now == result.trim());
            if !right {
                wrong += 1;
                self.say(&format!("{} has a wrong result for {}", id::show(id), path.display()));
            }
        }
        let count =
            |of: &dyn Fn(&ExecutionSummary) -> bool| found.values().filter(|s| of(s)).count();
        let findings = store.verify().await?.checks.iter().map(|check| check.count).sum();
        let ms = time::millis(elapsed).max(1);
        let submitted = self.expected.len();
        Ok(Report {
            submitted,
            completed,
            flaky: self.flaky,
            held_at_kill: kill.held,
            retried: count(&|summary| summary.retry_count > 0),
            reclaimed: count(&|summary| summary.reclaim_count > 0),
            orphans: kill.orphans,
            lost: submitted
                - self
                    .expected
                    .keys()
                    .filter(|id| found.get(*id).is_some_and(|s| is_ended(s.public_state)))
                    .count(),
            completed_twice: twice,
            wrong_results: wrong,
            verify_findings: findings,
            elapsed_ms: ms,
            per_second: u64::try_from(completed).unwrap_or(u64::MAX).saturating_mul(1_000) / ms,
        })
    }

    fn tell(&self, output: Output, report: &Report) -> Result<()> {
        if output.is_json() {
            return output.json(&json!({
                "ok": report.is_good(),
                "report": report,
                "store": self.url,
                "lane": self.lane,
            }));
        }
        let number = |count: usize| cell(count.to_string());
        let none = |count: usize| output.judged(count.to_string(), count == 0);
        output.pairs(vec![
            ("submitted", number(report.submitted)),
            (
                "completed",
                output.judged(report.completed.to_string(), report.completed == report.submitted),
            ),
            ("retried", output.judged(report.retried.to_string(), report.retried >= report.flaky)),
            (
                "in hand at the kill",
                output.judged(report.held_at_kill.to_string(), report.held_at_kill > 0),
            ),
            (
                "reclaimed after the kill",
                output.judged(
                    report.reclaimed.to_string(),
                    report.reclaimed > 0 && report.reclaimed >= report.held_at_kill,
                ),
            ),
            (
                "orphans left",
                report.orphans.map_or_else(|| output.judged("not counted", false), none),
            ),
            ("lost", none(report.lost)),
            ("completed twice", none(report.completed_twice)),
            ("wrong results", none(report.wrong_results)),
            (
                "findings of `ff verify`",
                output.judged(report.verify_findings.to_string(), report.verify_findings == 0),
            ),
            ("seconds", cell(duration::elapsed(report.elapsed_ms))),
            ("executions/s", cell(report.per_second.to_string())),
        ])?;
        if output.quiet {
            return Ok(());
        }
        let sample = self.expected.keys().min_by_key(|id| id.uuid());
        let sample = sample.map_or_else(|| "ID".to_owned(), id::show);
        let ff = called();
        output.line(&format!(
            "\nTry next, after `export FF_STORE={}`:\n  {ff} exec list --tag {TAG}={}\n  \
             {ff} exec get {sample}   # failed twice, then succeeded\n  \
             {ff} submit hello '\"world\"' && {ff} work --until-empty -- cat",
            self.url, self.run
        ))
    }
}

/// This program's path, for a command line that another process runs.
fn own_path() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| Error::io("find this program", &error))
}

/// What to type for this program: its name where a shell finds it, else the path it was called by.
fn called() -> String {
    let own = std::env::current_exe().ok();
    let in_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join("ff")).find(|program| program.is_file())
    });
    let found = in_path.and_then(|program| fs::canonicalize(program).ok());
    match own {
        Some(own) if found.as_ref() != Some(&own) => {
            let here = std::env::current_dir().unwrap_or_default();
            let shown = own.strip_prefix(here).unwrap_or(&own);
            shown.display().to_string()
        }
        _ => "ff".to_owned(),
    }
}

/// Whether the worker process with this id holds the execution.
fn is_held_by(summary: &ExecutionSummary, pid: u32) -> bool {
    let instance = summary.worker_instance_id.as_ref();
    instance.is_some_and(|instance| instance.as_str().contains(&format!(":{pid}:")))
}

/// How often an execution completed, by its state changes and by its attempts; the larger one counts.
async fn completions(engine: &dyn EngineBackend, id: &ExecutionId) -> Result<usize> {
    let changes = transitions(engine, id)
        .await?
        .iter()
        .filter(|change| change.to_state == PublicState::Completed)
        .count();
    let attempts = engine
        .list_attempts(id)
        .await
        .map_err(|error| Error::engine("read the attempts", &error).about(id))?
        .iter()
        .filter(|attempt| attempt.outcome.as_deref() == Some("success"))
        .count();
    Ok(changes.max(attempts))
}

/// How many processes of a killed worker are left after a fair time.
async fn count_orphans(mark: &str) -> Option<usize> {
    let until: Instant = time::instant() + ORPHAN_PATIENCE;
    loop {
        let left = marked(WORKER_MARK, mark)?;
        if left.is_empty() || time::instant() >= until {
            return Some(left.len());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The processes with this variable in their environment, this one excepted; `None` without /proc.
fn marked(name: &str, value: &str) -> Option<HashSet<u32>> {
    let wanted = format!("{name}={value}");
    let own = std::process::id();
    let entries = fs::read_dir("/proc").ok()?;
    fs::metadata("/proc/self/environ").ok()?;
    let found = entries.filter_map(io::Result::ok).filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        // A process that has ended meanwhile, or is another user's, is not one of ours.
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let has = environment.split(|byte| *byte == 0).any(|item| item == wanted.as_bytes());
        (has && pid != own).then_some(pid)
    });
    Some(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_list_is_ordered_capped_and_without_build_output() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b/2", "a", ".git/x", "target/y", "b/1", "c"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let names = |max| {
            let (files, unread) = files_under(dir.path(), max).unwrap();
            assert_eq!(unread, 0);
            let names: Vec<_> = files
                .iter()
                .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
                .collect();
            names.join(" ")
        };
        assert_eq!(names(9), "a c b/1 b/2");
        assert_eq!(names(3), "a c b/1");
        assert!(files_under(&dir.path().join("nowhere"), 1).is_err());
    }

    #[test]
    fn a_hash_is_the_one_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            hash_file(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn one_thing_wrong_makes_the_demo_fail() {
        let good = || Report {
            submitted: 3,
            completed: 3,
            flaky: 2,
            retried: 2,
            held_at_kill: 1,
            reclaimed: 1,
            orphans: Some(0),
            lost: 0,
            completed_twice: 0,
            wrong_results: 0,
            verify_findings: 0,
            elapsed_ms: 1,
            per_second: 1,
        };
        assert!(good().is_good());
        assert!(!Report { orphans: None, ..good() }.is_good());
        assert!(!Report { retried: 1, ..good() }.is_good());
        assert!(!Report { held_at_kill: 0, ..good() }.is_good());
        assert!(!Report { held_at_kill: 2, ..good() }.is_good());
        assert!(!Report { reclaimed: 0, ..good() }.is_good());
        assert!(!Report { completed: 2, ..good() }.is_good());
        assert!(!Report { orphans: Some(1), ..good() }.is_good());
        assert!(!Report { lost: 1, ..good() }.is_good());
        assert!(!Report { completed_twice: 1, ..good() }.is_good());
        assert!(!Report { wrong_results: 1, ..good() }.is_good());
        assert!(!Report { verify_findings: 1, ..good() }.is_good());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_marked_process_is_found_by_its_environment() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env(WORKER_MARK, "a-test-of-marks")
            .spawn()
            .unwrap();
        // The kernel shows a new process a moment before it shows its environment.
        let found = loop {
            let found = marked(WORKER_MARK, "a-test-of-marks").unwrap();
            if !found.is_empty() || child.try_wait().unwrap().is_some() {
                break found;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, HashSet::from([child.id()]));
        assert!(marked(WORKER_MARK, "a-test-of-marks").unwrap().is_empty());
    }
}
