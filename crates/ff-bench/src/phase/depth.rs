//! Claims from short and long lines, and the memory of a long one.
//!
//! A child process fills one lane step by step. At each depth it claims some hundred times, and
//! submits one for each, so that the depth stays. Then come 1,000 claims without submits, and the
//! child's memory is read. At last it opens a second database with 1,000 waiting, and claims from
//! the deep and the shallow line in turn, in short slices: their ratio is the figure.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bench, quotient};
use crate::child::{Actor, Part, database, say};
use crate::engine::{Engine, runtime};
use crate::error::BenchError;
use crate::process;
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Samples, Stopwatch, median};

const DEPTHS: [u32; 4] = [100, 10_000, 100_000, 1_000_000];

/// The depth that the deepest is held against.
const SHALLOW: u32 = 1_000;

/// Filling a step may take this long on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Filled(u32),
    Claimed { depth: u32, p50_ms: f64, p99_ms: f64 },
    Memory { now_mb: f64, peak_mb: f64 },
    Compared { deep_p50_ms: f64, shallow_p50_ms: f64, ratio: f64 },
}

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let part = Part::Depth { directory: bench.directory.clone(), quick: bench.quick };
    let child = Actor::start(&part)?;
    let deepest = deepest(bench.quick);
    let mut section = Section::new("claim, by how many wait");
    let ms = |name, value| Measure::new(name, value, Unit::Milliseconds);
    loop {
        match child.hear(PATIENCE)? {
            Said::Filled(count) => {
                bench.progress.say(format!("claims by depth: {count} of {deepest} waiting"));
            }
            Said::Claimed { depth, p50_ms, p99_ms } => {
                section.row(format!("{depth} waiting"), vec![ms("p50", p50_ms), ms("p99", p99_ms)]);
            }
            Said::Memory { now_mb, peak_mb } => {
                report.figures.push(Figure::new(
                    format!("resident memory with {deepest} waiting executions, peak"),
                    peak_mb,
                    Unit::Megabytes,
                    Target::AtMost(100.0),
                ));
                let mut memory = Section::new(format!(
                    "process with {deepest} waiting, after {} claims",
                    claims_before_memory(bench.quick)
                ));
                let mb = |name, value| Measure::new(name, value, Unit::Megabytes);
                memory.row("resident", vec![mb("now", now_mb), mb("peak", peak_mb)]);
                report.sections.push(memory);
            }
            Said::Compared { deep_p50_ms, shallow_p50_ms, ratio } => {
                report.figures.push(Figure::new(
                    format!("claim p50 at {deepest} waiting vs. at {SHALLOW}"),
                    ratio,
                    Unit::Ratio,
                    Target::AtMost(1.5),
                ));
                let mut compared = Section::new("claim, deep and shallow line in turn");
                compared.row(format!("{deepest} waiting"), vec![ms("p50", deep_p50_ms)]);
                compared.row(format!("{SHALLOW} waiting"), vec![ms("p50", shallow_p50_ms)]);
                report.sections.push(section);
                report.sections.push(compared);
                return Ok(());
            }
        }
    }
}

fn deepest(quick: bool) -> u32 {
    if quick { 100_000 } else { 1_000_000 }
}

fn claims_before_memory(quick: bool) -> u32 {
    if quick { 250 } else { 1_000 }
}

/// The child's part.
pub(crate) fn measure(directory: &Path, quick: bool) -> Result<(), BenchError> {
    runtime()?.block_on(async {
        let (claims, pairs) = if quick { (100, 5) } else { (500, 24) };
        let deep = Engine::open(&database(directory, "depth")).await?;
        let mut waiting = 0;
        for depth in DEPTHS.into_iter().filter(|depth| *depth <= deepest(quick)) {
            let mut said = Ok(());
            deep.create_many(depth - waiting, |count| {
                let filled = waiting + count;
                if filled.is_multiple_of(10_000) && said.is_ok() {
                    said = say(&Said::Filled(filled));
                }
            })
            .await?;
            said?;
            waiting = depth;
            claims_in_turn_with_submits(&deep, claims / 5).await?;
            let samples = claims_in_turn_with_submits(&deep, claims).await?;
            let (p50_ms, p99_ms) = (samples.percentile_ms(50), samples.percentile_ms(99));
            say(&Said::Claimed { depth, p50_ms, p99_ms })?;
        }
        for _ in 0..claims_before_memory(quick) {
            deep.claim().await?;
        }
        let memory = process::memory(std::process::id())?;
        say(&Said::Memory { now_mb: memory.now_mb, peak_mb: memory.peak_mb })?;

        let shallow = Engine::open(&database(directory, "shallow")).await?;
        shallow.create_many(SHALLOW, |_| {}).await?;
        let (mut deep_ms, mut shallow_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs + 2 {
            let first = claims_in_turn_with_submits(&deep, 25).await?.percentile_ms(50);
            let second = claims_in_turn_with_submits(&shallow, 25).await?.percentile_ms(50);
            if pair >= 2 {
                deep_ms.push(first);
                shallow_ms.push(second);
                ratios.push(quotient(first, second));
            }
        }
        say(&Said::Compared {
            deep_p50_ms: median(&deep_ms),
            shallow_p50_ms: median(&shallow_ms),
            ratio: median(&ratios),
        })
    })
}

/// Times claims only; a submit before each keeps the depth.
async fn claims_in_turn_with_submits(engine: &Engine, count: u32) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for _ in 0..count {
        engine.create().await?;
        let watch = Stopwatch::start();
        engine.claim().await?;
        samples.push(watch.elapsed());
    }
    Ok(samples)
}
