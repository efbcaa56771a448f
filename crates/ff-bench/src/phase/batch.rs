//! Bulk submit: many executions, as fast as they go in.

use super::{Bench, ratio};
use crate::engine::{BATCH, Engine, PAYLOAD, execution_id};
use crate::error::BenchError;
use crate::floor::{Floor, connect};
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Stopwatch, median};

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let count: u32 = bench.pick(100_000, 10_000);
    let rounds = 3;
    let mut rates = Vec::new();
    for round in 0..=rounds {
        bench.progress.say(format!("submit of {count} executions, round {round} of {rounds}"));
        // The first round warms the file system up, at a tenth of the size.
        let count = if round == 0 { count / 10 } else { count };
        let pair = if round % 2 == 0 {
            let engine = by_engine(bench, round, count)?;
            (engine, by_floor(bench, round, count)?)
        } else {
            let floor = by_floor(bench, round, count)?;
            (by_engine(bench, round, count)?, floor)
        };
        if round > 0 {
            rates.push(pair);
        }
    }

    let ratio = ratio(&rates);
    report.figures.push(Figure::new(
        format!("batch submit of {count} executions, vs. raw prepared inserts in one transaction"),
        ratio,
        Unit::Ratio,
        Target::AtLeast(0.5),
    ));
    let (engine, floor): (Vec<_>, Vec<_>) = rates.into_iter().unzip();
    let mut section = Section::new(format!("batch submit, {count} executions"));
    for (label, rates) in [
        (format!("engine, {BATCH} a transaction"), engine),
        ("floor, one transaction".to_owned(), floor),
    ] {
        section.row(label, vec![Measure::new("executions", median(&rates), Unit::PerSecond)]);
    }
    report.sections.push(section);
    Ok(())
}

/// Executions in a second.
fn by_engine(bench: &Bench, round: u32, count: u32) -> Result<f64, BenchError> {
    let path = bench.migrated(&format!("batch-engine-{round}"))?;
    bench.runtime.block_on(async {
        let engine = Engine::open(&path).await?;
        let watch = Stopwatch::start();
        engine.create_many(count, |_| {}).await?;
        Ok(f64::from(count) / watch.elapsed().as_secs_f64())
    })
}

fn by_floor(bench: &Bench, round: u32, count: u32) -> Result<f64, BenchError> {
    let conn = connect(&bench.migrated(&format!("batch-floor-{round}"))?)?;
    let mut floor = Floor::prepare(&conn)?;
    let watch = Stopwatch::start();
    floor.transaction(|floor, now| {
        (0..count).try_for_each(|_| floor.create(&execution_id(), PAYLOAD, now).map(drop))
    })?;
    Ok(f64::from(count) / watch.elapsed().as_secs_f64())
}
