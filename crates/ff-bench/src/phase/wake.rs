//! An idle worker in another process: how soon it starts what is submitted, and what idling costs.
//!
//! The worker waits in `claim_batch`, tells the benchmark through a pipe as soon as it owns an
//! execution, and completes it. The benchmark's clock runs from before the submit to the arrival of
//! that line, so the submit's own commit and the pipe are counted too.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::Bench;
use crate::child::{Actor, Part, say};
use crate::engine::{Engine, execution_id, runtime};
use crate::error::BenchError;
use crate::process;
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Samples, Stopwatch};

/// Submits that warm the worker up.
const WARM_UP: u64 = 10;

/// How long the worker waits in one call.
const CLAIM_WAIT: Duration = Duration::from_secs(600);

/// A worker that has not started something after this has lost it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let path = bench.migrated("wake")?;
    let engine = bench.runtime.block_on(Engine::open(&path))?;
    let worker = Actor::start(&Part::Worker { database: path })?;
    let ready: String = worker.hear(PATIENCE)?;
    debug_assert_eq!(ready, READY);

    let counted = bench.pick(200, 100);
    let mut samples = Samples::default();
    for number in 0..WARM_UP + counted {
        bench.progress.say(format!("waking an idle worker: {number}"));
        // Intervals that fall into step with nobody's timer, and let the worker go idle.
        thread::sleep(Duration::from_micros(25_000 + number * 7_919 % 30_000));
        let id = execution_id();
        let watch = Stopwatch::start();
        bench.runtime.block_on(engine.create_with_id(id.clone()))?;
        let started: String = worker.hear(PATIENCE)?;
        if started != id.as_str() {
            return Err(BenchError::new(format!("the worker started {started} instead of {id}")));
        }
        if number >= WARM_UP {
            samples.push(watch.elapsed());
        }
    }
    report.figures.push(Figure::new(
        "submit → another process's idle worker starts it, p50",
        samples.percentile_ms(50),
        Unit::Milliseconds,
        Target::AtMost(50.0),
    ));
    let mut section = Section::new("submit → another process's idle worker starts it");
    let percentile =
        |name, percent| Measure::new(name, samples.percentile_ms(percent), Unit::Milliseconds);
    section.row(
        format!("{counted} submits"),
        vec![percentile("p50", 50), percentile("p90", 90), percentile("p99", 99)],
    );
    report.sections.push(section);

    idle(bench, report, &worker)
}

fn idle(bench: &Bench, report: &mut Report, worker: &Actor) -> Result<(), BenchError> {
    let span = Duration::from_secs(bench.pick(10, 5));
    bench.progress.say(format!("an idle worker, {} s", span.as_secs()));
    thread::sleep(Duration::from_millis(500));
    let (cpu, memory, watch) =
        (process::cpu_time(worker.id())?, process::memory(worker.id())?, Stopwatch::start());
    thread::sleep(span);
    let used = process::cpu_time(worker.id())?.saturating_sub(cpu);
    let percent = 100.0 * used.as_secs_f64() / watch.elapsed().as_secs_f64();
    let grown_mb = process::memory(worker.id())?.now_mb - memory.now_mb;

    report.figures.push(Figure::new(
        "idle worker process, of a core",
        percent,
        Unit::Percent,
        Target::AtMost(1.0),
    ));
    report.figures.push(Figure::new(
        "idle worker process, growth of its memory",
        grown_mb,
        Unit::Megabytes,
        Target::AtMost(FLAT_MB),
    ));
    let mut section = Section::new("idle worker process");
    section.row(
        format!("{} s", span.as_secs()),
        vec![
            Measure::new("of a core", percent, Unit::Percent),
            Measure::new("resident", memory.now_mb, Unit::Megabytes),
            Measure::new("grown by", grown_mb, Unit::Megabytes),
        ],
    );
    report.sections.push(section);
    Ok(())
}

/// What counts as flat: a few pages that the system touched.
const FLAT_MB: f64 = 0.5;

/// The worker's first word.
const READY: &str = "ready";

/// The child's part: claims, tells and completes until nobody listens.
pub(crate) fn work(path: &Path) -> Result<(), BenchError> {
    runtime()?.block_on(async {
        let engine = Engine::open(path).await?;
        say(&READY)?;
        loop {
            if let Some((id, handle)) = engine.claim_patiently(CLAIM_WAIT).await? {
                say(&id.as_str())?;
                engine.complete(&handle).await?;
            }
        }
    })
}
