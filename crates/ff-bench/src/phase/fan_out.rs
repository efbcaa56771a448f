//! One execution, a thousand that wait for it, and one that waits for them all.
//!
//! One client submits the flow and runs its first and last node; 64 clients run the thousand. The
//! floor plays the tape of the same calls: the thousand by group commit, the others a transaction
//! for each. The tape is recorded with one client, so the claim that opens the thousand, which
//! settles what the end of the first node left over, stands before the 64 in the floor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ff_core::contracts::FlowLink;

use super::chain::flow;
use super::{Bench, in_turn, quotient};
use crate::engine::Engine;
use crate::error::{BenchError, Doing as _};
use crate::floor::open;
use crate::group::{Client, clients};
use crate::report::{Figure, Measure, Report, Section, Target, Unit};
use crate::stats::{Stopwatch, median};
use crate::tape::{Recorder, Tape, committer};

const WIDTH: usize = 1_000;

/// The submit, and claim and complete of each node.
const OPERATIONS: usize = 1 + 2 * (WIDTH + 2);

/// Submit, claim and complete of the first node, and the first claim of the thousand.
const BEFORE: usize = 4;

const WARM_UP: usize = 1;

/// A claim that has found nothing after this will find nothing.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("1 → 1,000 → 1, engine and floor in turn");
    let (warm_up, rounds) = bench.pick((WARM_UP, 5), (0, 1));
    let tape = Arc::new(record(bench, warm_up + rounds)?);
    let engine = bench.runtime.block_on(Engine::open(&bench.migrated("fan-out-engine")?))?;
    let committer = committer(open(&bench.migrated("fan-out-floor")?)?, tape)?;
    let mut first = 0;
    let seconds = in_turn(
        warm_up,
        rounds,
        || bench.runtime.block_on(by_engine(&engine)),
        || {
            let played = bench.runtime.block_on(by_floor(&committer.client(), first));
            first += OPERATIONS;
            played
        },
    );
    let seconds = committer.stop(seconds)?;

    let floor_over_engine: Vec<_> =
        seconds.iter().map(|(engine, floor)| quotient(*floor, *engine)).collect();
    let (engine, floor): (Vec<_>, Vec<_>) = seconds.into_iter().unzip();
    report.figures.push(Figure::new(
        "flow: 1 → 1,000 → 1, 64 clients",
        median(&engine),
        Unit::Seconds,
        Target::AtMost(3.0),
    ));
    report.figures.push(Figure::new(
        "flow: 1 → 1,000 → 1, 64 clients, vs. raw group commit",
        median(&floor_over_engine),
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    let mut section =
        Section::new("flow of 1 → 1,000 → 1: submit, then claim and complete each, 64 clients");
    for (label, seconds) in [("engine", engine), ("floor, group commit", floor)] {
        section.row(label, vec![Measure::new("p50", median(&seconds), Unit::Seconds)]);
    }
    report.sections.push(section);
    Ok(())
}

async fn submit(engine: &Engine) -> Result<(), BenchError> {
    let out = (1..=WIDTH).map(|node| FlowLink::new(0, node));
    let back = (1..=WIDTH).map(|node| FlowLink::new(node, WIDTH + 1));
    let args = flow(WIDTH + 2, out.chain(back).collect());
    engine.backend.submit_flow(args).await.doing("submit a flow").map(drop)
}

pub(super) fn record(bench: &Bench, flows: usize) -> Result<Tape, BenchError> {
    bench.record("fan-out-tape", async |engine, recorder: &mut Recorder| {
        for _ in 0..flows {
            submit(engine).await?;
            recorder.mark()?;
            for _ in 0..WIDTH + 2 {
                let handle = engine.claim().await?;
                recorder.mark()?;
                engine.complete(&handle).await?;
                recorder.mark()?;
            }
        }
        Ok(())
    })
}

/// Seconds for a whole flow.
async fn by_engine(engine: &Engine) -> Result<f64, BenchError> {
    let watch = Stopwatch::start();
    submit(engine).await?;
    run_node(engine.clone()).await?;
    let taken = Arc::new(AtomicUsize::new(0));
    clients(|_| {
        let (engine, taken) = (engine.clone(), Arc::clone(&taken));
        async move {
            while taken.fetch_add(1, Ordering::Relaxed) < WIDTH {
                run_node(engine.clone()).await?;
            }
            Ok(())
        }
    })
    .await?;
    run_node(engine.clone()).await?;
    Ok(watch.elapsed().as_secs_f64())
}

async fn run_node(engine: Engine) -> Result<(), BenchError> {
    let claimed = engine.claim_patiently(PATIENCE).await?;
    let (_, handle) = claimed.ok_or_else(|| BenchError::new("a flow stands still"))?;
    engine.complete(&handle).await
}

/// Seconds for the flow whose operations begin at `first`.
async fn by_floor(floor: &Client<usize, ()>, first: usize) -> Result<f64, BenchError> {
    let watch = Stopwatch::start();
    for place in 0..=BEFORE {
        floor.ask(first + place).await?;
    }
    let taken = Arc::new(AtomicUsize::new(1));
    clients(|_| {
        let (floor, taken) = (floor.clone(), Arc::clone(&taken));
        async move {
            loop {
                let node = taken.fetch_add(1, Ordering::Relaxed);
                if node >= WIDTH {
                    return Ok(());
                }
                let claim = first + BEFORE - 1 + 2 * node;
                floor.ask(claim).await?;
                floor.ask(claim + 1).await?;
            }
        }
    })
    .await?;
    for place in OPERATIONS - 2..OPERATIONS {
        floor.ask(first + place).await?;
    }
    Ok(watch.elapsed().as_secs_f64())
}
