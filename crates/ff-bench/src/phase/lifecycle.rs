//! One client: create, claim, complete, one after the other.

use std::time::Duration;

use super::{Bench, Duel, Slice, Times};
use crate::engine::{Engine, LEASE_TTL_MS, PAYLOAD, RESULT, execution_id};
use crate::error::BenchError;
use crate::floor::{Floor, connect};
use crate::report::{Figure, Report, Target, Unit};
use crate::stats::Stopwatch;

/// Long enough for a hundred lifecycles, short enough that both meet the same disk.
const SLICE: Duration = Duration::from_millis(150);

const WARM_UP: usize = 3;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("one client, engine and floor in turn");
    let path = bench.migrated("lifecycle-engine")?;
    let engine = bench.runtime.block_on(Engine::open(&path))?;
    let conn = connect(&bench.migrated("lifecycle-floor")?)?;
    let mut floor = Floor::prepare(&conn)?;
    let duel = Duel::run(
        WARM_UP,
        bench.pick(60, 12),
        || bench.runtime.block_on(by_engine(&engine)),
        || by_floor(&mut floor),
    )?;

    report.figures.push(Figure::new(
        "full lifecycle, 1 client, vs. raw one-transaction-per-operation (stretch 0.7×)",
        duel.ratio(),
        Unit::Ratio,
        Target::AtLeast(0.5),
    ));
    let title = "1 client; floor: one transaction per operation";
    report.sections.push(duel.section(title.to_owned()));
    Ok(())
}

async fn by_engine(engine: &Engine) -> Result<Slice, BenchError> {
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
    Ok(Slice { times, seconds: all.elapsed().as_secs_f64() })
}

fn by_floor(floor: &mut Floor<'_>) -> Result<Slice, BenchError> {
    let (all, mut times) = (Stopwatch::start(), Times::default());
    while all.elapsed() < SLICE {
        let (cycle, mut step) = (Stopwatch::start(), Stopwatch::start());
        let id = execution_id();
        let mut work = floor.transaction(|floor, now| floor.create(&id, PAYLOAD, now))?;
        times.create.push(step.lap());
        floor.transaction(|floor, now| floor.claim(&mut work, LEASE_TTL_MS, now))?;
        times.claim.push(step.lap());
        floor.transaction(|floor, now| floor.complete(&work, RESULT, now))?;
        times.complete.push(step.lap());
        times.cycle.push(cycle.elapsed());
    }
    Ok(Slice { times, seconds: all.elapsed().as_secs_f64() })
}
