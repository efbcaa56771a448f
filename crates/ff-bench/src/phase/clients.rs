//! 64 clients at once.
//!
//! The floor commits in groups, by a thread of its own.

use std::time::Duration;

use ff_core::types::ExecutionId;

use super::{Bench, Duel, Slice, Times, quotient};
use crate::engine::{Engine, LEASE_TTL_MS, PAYLOAD, RESULT, execution_id};
use crate::error::BenchError;
use crate::floor::{Floor, Work, connect};
use crate::group::{self, Committer, FLOOR_WRITER, Waiting};
use crate::process::thread_time;
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Stopwatch, median, number};

const SLICE: Duration = Duration::from_millis(400);

const WARM_UP: usize = 2;

/// The name of the thread that writes, as the system knows it.
const ENGINE_WRITER: &str = "ff-sqlite-write";

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("64 clients, engine and floor in turn");
    let path = bench.migrated("clients-engine")?;
    let engine = bench.runtime.block_on(Engine::open(&path))?;
    let conn = connect(&bench.migrated("clients-floor")?)?;
    let committer =
        Committer::start(move |waiting| commit_groups(&mut Floor::prepare(&conn)?, waiting))?;
    let mut engine_cost = WriterCost::of(ENGINE_WRITER);
    let mut floor_cost = WriterCost::of(FLOOR_WRITER);
    let duel = Duel::run(
        WARM_UP,
        bench.pick(30, 5),
        || engine_cost.measure(|| bench.runtime.block_on(slice(|| by_engine(engine.clone())))),
        || floor_cost.measure(|| bench.runtime.block_on(slice(|| by_floor(committer.client())))),
    );
    let duel = committer.stop(duel)?;

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
    for client in group::clients(|_| client()).await? {
        times.append(client);
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

/// Asks the floor for one step of a lifecycle.
type Client = group::Client<Step, Work>;

async fn by_floor(client: Client) -> Result<Times, BenchError> {
    let (all, mut times) = (Stopwatch::start(), Times::default());
    while all.elapsed() < SLICE {
        let (cycle, mut step) = (Stopwatch::start(), Stopwatch::start());
        let work = client.ask(Step::Create(execution_id())).await?;
        times.create.push(step.lap());
        let work = client.ask(Step::Claim(work)).await?;
        times.claim.push(step.lap());
        client.ask(Step::Complete(work)).await?;
        times.complete.push(step.lap());
        times.cycle.push(cycle.elapsed());
    }
    Ok(times)
}

enum Step {
    Create(ExecutionId),
    Claim(Work),
    Complete(Work),
}

fn commit_groups(floor: &mut Floor<'_>, waiting: &Waiting<Step, Work>) -> Result<(), BenchError> {
    while let Some(group) = waiting.group() {
        let answers = floor.transaction(|floor, now| {
            let steps = group.into_iter().map(|(step, reply)| {
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
            });
            steps.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        for (work, reply) in answers {
            // A client that ended needs no answer.
            let _ended = reply.send(work);
        }
    }
    Ok(())
}
