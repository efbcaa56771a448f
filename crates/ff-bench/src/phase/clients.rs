//! 64 clients at once.
//!
//! The floor has a thread of its own that takes the operations of up to 64 waiting clients from a
//! channel, writes their rows in one transaction and answers them after its commit. Its clients
//! are tasks of the same runtime as the engine's.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ff_core::types::ExecutionId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Bench, Duel, Slice, Times, quotient};
use crate::engine::{Engine, LEASE_TTL_MS, PAYLOAD, RESULT, execution_id};
use crate::error::{BenchError, Doing as _};
use crate::floor::{Floor, Work, connect};
use crate::process::thread_time;
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Stopwatch, median, number};

const CLIENTS: usize = 64;

const SLICE: Duration = Duration::from_millis(400);

const WARM_UP: usize = 2;

/// The names of the threads that write, as the system knows them.
const ENGINE_WRITER: &str = "ff-sqlite-write";
const FLOOR_WRITER: &str = "ff-bench-floor";

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("64 clients, engine and floor in turn");
    let path = bench.migrated("clients-engine")?;
    let engine = bench.runtime.block_on(Engine::open(&path))?;
    let committer = Committer::start(&bench.migrated("clients-floor")?)?;
    let mut engine_cost = WriterCost::of(ENGINE_WRITER);
    let mut floor_cost = WriterCost::of(FLOOR_WRITER);
    let duel = Duel::run(
        WARM_UP,
        bench.pick(30, 5),
        || engine_cost.measure(|| bench.runtime.block_on(slice(|| by_engine(engine.clone())))),
        || {
            let requests = &committer.requests;
            floor_cost.measure(|| bench.runtime.block_on(slice(|| by_floor(requests.clone()))))
        },
    )?;
    committer.stop()?;

    report.figures.push(Figure::new(
        "full lifecycle, 64 clients, vs. raw group commit",
        duel.ratio(),
        Unit::Ratio,
        Target::AtLeast(0.5),
    ));
    let title = "64 clients; floor: group commit of up to 64 operations";
    report.sections.push(duel.section(title.to_owned()));
    let mut section = Section::new("processor time of the thread that writes, per lifecycle");
    let (engine, floor) = (engine_cost.median_ms(), floor_cost.median_ms());
    section.row(
        "64 clients",
        vec![
            Measure::new("engine", engine, Unit::Milliseconds),
            Measure::new("floor", floor, Unit::Milliseconds),
            Measure::new("floor/engine", quotient(floor, engine), Unit::Ratio),
        ],
    );
    report.sections.push(section);
    Ok(())
}

/// What a lifecycle costs the one thread that writes. Unlike a rate, it hardly depends on what else the machine does.
struct WriterCost {
    thread: &'static str,
    per_cycle_ms: Vec<f64>,
}

impl WriterCost {
    fn of(thread: &'static str) -> Self {
        Self { thread, per_cycle_ms: Vec::new() }
    }

    fn measure(
        &mut self,
        run: impl FnOnce() -> Result<Slice, BenchError>,
    ) -> Result<Slice, BenchError> {
        let before = thread_time(self.thread);
        let slice = run()?;
        let used = thread_time(self.thread).saturating_sub(before);
        let cycles = number(slice.times.cycle.count());
        self.per_cycle_ms.push(quotient(used.as_secs_f64() * 1e3, cycles));
        Ok(slice)
    }

    /// The median over the slices; the first ones warm up.
    fn median_ms(&self) -> f64 {
        median(self.per_cycle_ms.get(WARM_UP..).unwrap_or_default())
    }
}

async fn slice<F>(client: impl Fn() -> F) -> Result<Slice, BenchError>
where
    F: Future<Output = Result<Times, BenchError>> + Send + 'static,
{
    let (all, mut times) = (Stopwatch::start(), Times::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client());
    }
    while let Some(ended) = clients.join_next().await {
        times.append(ended.doing("run a client")??);
    }
    Ok(Slice { times, seconds: all.elapsed().as_secs_f64() })
}

async fn by_engine(engine: Engine) -> Result<Times, BenchError> {
    let (all, mut times) = (Stopwatch::start(), Times::default());
    while all.elapsed() < SLICE {
        let (cycle, mut step) = (Stopwatch::start(), Stopwatch::start());
        engine.create().await?;
        times.create.push(step.lap());
        let handle = engine.claim().await?;
        times.claim.push(step.lap());
        engine.complete(&handle).await?;
        times.complete.push(step.lap());
        times.cycle.push(cycle.elapsed());
    }
    Ok(times)
}

async fn by_floor(requests: Sender<Request>) -> Result<Times, BenchError> {
    let (all, mut times) = (Stopwatch::start(), Times::default());
    while all.elapsed() < SLICE {
        let (cycle, mut step) = (Stopwatch::start(), Stopwatch::start());
        let work = ask(&requests, Step::Create(execution_id())).await?;
        times.create.push(step.lap());
        let work = ask(&requests, Step::Claim(work)).await?;
        times.claim.push(step.lap());
        ask(&requests, Step::Complete(work)).await?;
        times.complete.push(step.lap());
        times.cycle.push(cycle.elapsed());
    }
    Ok(times)
}

async fn ask(requests: &Sender<Request>, step: Step) -> Result<Work, BenchError> {
    let (reply, answer) = oneshot::channel();
    requests.send(Request { step, reply }).doing("ask the floor")?;
    answer.await.doing("hear from the floor")
}

struct Request {
    step: Step,
    reply: oneshot::Sender<Work>,
}

enum Step {
    Create(ExecutionId),
    Claim(Work),
    Complete(Work),
}

struct Committer {
    requests: Sender<Request>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl Committer {
    fn start(path: &Path) -> Result<Self, BenchError> {
        let conn = connect(path)?;
        let (requests, waiting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(FLOOR_WRITER.to_owned())
            .spawn(move || commit_groups(&mut Floor::prepare(&conn)?, &waiting))
            .doing("start the floor's thread")?;
        Ok(Self { requests, thread })
    }

    fn stop(self) -> Result<(), BenchError> {
        drop(self.requests);
        self.thread.join().map_err(|_| BenchError::new("the floor's thread panicked"))?
    }
}

fn commit_groups(floor: &mut Floor<'_>, waiting: &Receiver<Request>) -> Result<(), BenchError> {
    while let Ok(first) = waiting.recv() {
        let group = std::iter::once(first).chain(waiting.try_iter()).take(CLIENTS);
        let answers = floor.transaction(|floor, now| {
            group
                .map(|Request { step, reply }| {
                    let work = match step {
                        Step::Create(id) => floor.create(&id, PAYLOAD, now)?,
                        Step::Claim(mut work) => {
                            floor.claim(&mut work, LEASE_TTL_MS, now)?;
                            work
                        }
                        Step::Complete(work) => {
                            floor.complete(&work, RESULT, now)?;
                            work
                        }
                    };
                    Ok((work, reply))
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        for (work, reply) in answers {
            // A client that ended needs no answer.
            let _ended = reply.send(work);
        }
    }
    Ok(())
}
