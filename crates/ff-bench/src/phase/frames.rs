//! Durable frames of 256 bytes: appended by one client to one stream, and by 64 to one each.
//!
//! The floor plays the tape of the same appends: a transaction for each beside one client, group
//! commit beside 64.

use std::sync::Arc;

use ff_core::backend::{Frame, FrameKind, Handle};

use super::crowd::{self, Caller};
use super::{Bench, in_turn, rates_section, ratio};
use crate::engine::Engine;
use crate::error::{BenchError, Doing as _};
use crate::floor::open;
use crate::group::CLIENTS;
use crate::report::{Figure, Report, Target, Unit};
use crate::stats::{Stopwatch, number};
use crate::tape::{Operation, Player, Recorder, Tape};

/// Frames of one slice of one client.
const FRAMES: usize = 100;

const WARM_UP: usize = 3;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("frames of one stream, engine and floor in turn");
    let one = one_stream(bench)?;
    report.figures.push(Figure::new(
        "durable frames, 1 stream, vs. raw one-transaction-per-frame",
        ratio(&one),
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    let title = "durable frames of 256 bytes, 1 stream";
    report.sections.push(rates_section(title, "frames", "one transaction per frame", &one));

    bench.progress.say("frames of 64 streams, engine and floor in turn");
    let many = crowd::rates(bench, "frames", bench.pick(12, 2), held, append_own)?;
    report.figures.push(Figure::new(
        "durable frames, 64 streams and clients, vs. raw group commit",
        ratio(&many),
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    let title = "durable frames of 256 bytes, 64 streams and clients";
    report.sections.push(rates_section(title, "frames", "group commit", &many));
    Ok(())
}

pub(super) async fn append(engine: &Engine, handle: &Handle) -> Result<(), BenchError> {
    let frame = Frame::new(vec![b'f'; 256], FrameKind::Stdout);
    engine.backend.append_frame(handle, frame).await.doing("append a frame").map(drop)
}

/// Each client writes to a stream of its own.
pub(super) async fn append_own(
    (engine, handles): (Engine, Arc<[Handle]>),
    caller: Caller,
) -> Result<(), BenchError> {
    append(&engine, &handles[caller.client]).await
}

/// An execution for each client.
pub(super) async fn held(engine: Engine) -> Result<(Engine, Arc<[Handle]>), BenchError> {
    let mut handles = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        engine.create().await?;
        handles.push(engine.claim().await?);
    }
    Ok((engine, handles.into()))
}

/// The first operation makes the stream's execution, the others append a frame each.
pub(super) fn record(bench: &Bench, frames: usize) -> Result<Tape, BenchError> {
    bench.record("frame-tape", async |engine, recorder: &mut Recorder| {
        engine.create().await?;
        let handle = engine.claim().await?;
        recorder.mark()?;
        for _ in 0..frames {
            append(engine, &handle).await?;
            recorder.mark()?;
        }
        Ok(())
    })
}

/// Frames in a second, per pair of slices: engine, floor.
fn one_stream(bench: &Bench) -> Result<Vec<(f64, f64)>, BenchError> {
    let pairs = bench.pick(24, 4);
    let tape = record(bench, (WARM_UP + pairs) * FRAMES)?;
    let engine = bench.runtime.block_on(Engine::open(&bench.migrated("frame-engine")?))?;
    let handle = bench.runtime.block_on(async {
        engine.create().await?;
        engine.claim().await
    })?;
    let conn = open(&bench.migrated("frame-floor")?)?;
    let mut player = Player::prepare(&conn, &tape)?;
    let (set_up, frames) = tape.operations.split_at(1);
    player.play(set_up)?;
    let mut slices = frames.chunks(FRAMES);
    in_turn(
        WARM_UP,
        pairs,
        || {
            let watch = Stopwatch::start();
            bench.runtime.block_on(async {
                for _ in 0..FRAMES {
                    append(&engine, &handle).await?;
                }
                Ok::<_, BenchError>(())
            })?;
            Ok(number(FRAMES) / watch.elapsed().as_secs_f64())
        },
        || by_floor(&mut player, slices.next().unwrap_or_default()),
    )
}

fn by_floor(player: &mut Player<'_>, frames: &[Operation]) -> Result<f64, BenchError> {
    let watch = Stopwatch::start();
    for frame in frames {
        player.play([frame])?;
    }
    Ok(number(frames.len()) / watch.elapsed().as_secs_f64())
}
