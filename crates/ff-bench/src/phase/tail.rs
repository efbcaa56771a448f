//! An append wakes a blocked tail of its stream: how soon the tail returns the frame.
//!
//! The clock runs from before the append until the tail has returned. The floor plays the tape of
//! the append in one transaction and then wakes a thread that is blocked on a channel; that thread
//! reads the newest frame by a prepared statement of its own connection and hands it back.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ff_core::backend::{Handle, TailVisibility};
use ff_core::contracts::{StreamCursor, StreamFrames};
use ff_core::types::{AttemptIndex, ExecutionId};
use rusqlite::{Connection, params};

use super::frames::append;
use super::{Bench, in_turn, latency};
use crate::engine::Engine;
use crate::error::{BenchError, Doing as _};
use crate::floor::open;
use crate::report::{Figure, Report, Target, Unit};
use crate::stats::{Samples, Stopwatch};
use crate::tape::{Operation, Player, Recorder};

/// Frames of one slice.
const FRAMES: usize = 20;

const WARM_UP: usize = 2;

/// Long enough for the tail to block and the engine to fall asleep.
const IDLE: Duration = Duration::from_millis(4);

/// A tail that has not returned after this has missed the frame.
const PATIENCE_MS: u64 = 10_000;

const NEWEST_FRAME: &str = "SELECT ts_ms, seq, fields, mode, number, lease_epoch
    FROM ff_stream_frame
    WHERE partition_key = ?1 AND execution_id = ?2 AND attempt_index = 0
    ORDER BY ts_ms DESC, seq DESC
    LIMIT 1";

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("append to blocked tail, engine and floor in turn");
    let pairs = bench.pick(20, 2);
    let mut streamed = None;
    let tape = bench.record("tail-tape", async |engine, recorder: &mut Recorder| {
        let (id, handle) = streaming(engine).await?;
        recorder.mark()?;
        for _ in 0..(WARM_UP + pairs) * FRAMES {
            append(engine, &handle).await?;
            recorder.mark()?;
        }
        streamed = Some(id);
        Ok(())
    })?;
    let engine = bench.runtime.block_on(Engine::open(&bench.migrated("tail-engine")?))?;
    let (id, handle) = bench.runtime.block_on(streaming(&engine))?;
    let mut cursor = "0-0".to_owned();
    let path = bench.migrated("tail-floor")?;
    let conn = open(&path)?;
    let mut player = Player::prepare(&conn, &tape)?;
    let streamed = streamed.ok_or_else(|| BenchError::new("nothing was recorded"))?;
    let follower = Follower::start(open(&path)?, streamed)?;
    let (set_up, frames) = tape.operations.split_at(1);
    player.play(set_up)?;
    let mut slices = frames.chunks(FRAMES);
    let slices = in_turn(
        WARM_UP,
        pairs,
        || bench.runtime.block_on(by_engine(&engine, &id, &handle, &mut cursor)),
        || by_floor(&mut player, &follower, slices.next().unwrap_or_default()),
    )?;
    follower.stop()?;

    let name = "append → blocked tail returns the frame";
    let (section, _, ratio) = latency(name, "one transaction and a woken read", slices);
    report.figures.push(Figure::new(
        format!("{name}: raw append and woken read's p50 over it"),
        ratio,
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    report.sections.push(section);
    Ok(())
}

async fn streaming(engine: &Engine) -> Result<(ExecutionId, Handle), BenchError> {
    Ok((engine.create().await?, engine.claim().await?))
}

async fn by_engine(
    engine: &Engine,
    id: &ExecutionId,
    handle: &Handle,
    cursor: &mut String,
) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for _ in 0..FRAMES {
        let (follower, id, after) = (engine.clone(), id.clone(), cursor.clone());
        let tail = tokio::spawn(async move {
            let (index, after) = (AttemptIndex(0), StreamCursor::At(after));
            let all = TailVisibility::All;
            follower.backend.tail_stream(&id, index, after, PATIENCE_MS, 100, all).await
        });
        tokio::time::sleep(IDLE).await;
        let watch = Stopwatch::start();
        let returned = async {
            let frames: StreamFrames = tail.await.doing("run a tail")?.doing("tail a stream")?;
            Ok::<_, BenchError>((frames, watch.elapsed()))
        };
        let (appended, returned) = tokio::join!(append(engine, handle), returned);
        appended?;
        let (found, took) = returned?;
        let [frame] = found.frames.as_slice() else {
            return Err(BenchError::new("a tail did not return the one frame appended"));
        };
        cursor.clone_from(&frame.id);
        samples.push(took);
    }
    Ok(samples)
}

/// A thread that blocks until it is woken, and then reads the newest frame of the recorded stream.
struct Follower {
    wake: Sender<()>,
    frames: Receiver<String>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl Follower {
    fn start(conn: Connection, id: ExecutionId) -> Result<Self, BenchError> {
        let (wake, woken) = mpsc::channel();
        let (found, frames) = mpsc::channel();
        let follow = move || {
            let mut newest = conn.prepare(NEWEST_FRAME).doing("prepare the floor's read")?;
            while woken.recv().is_ok() {
                let key = params![id.partition(), id.uuid().into_bytes()];
                let frame = newest.query_row(key, |row| row.get::<_, String>(2));
                if found.send(frame.doing("read the floor's frame")?).is_err() {
                    break;
                }
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("ff-bench-tail".to_owned())
            .spawn(follow)
            .doing("start the floor's tail")?;
        Ok(Self { wake, frames, thread })
    }

    /// Wakes the thread and waits for what it finds.
    fn newest(&self) -> Result<String, BenchError> {
        self.wake.send(()).doing("wake the floor's tail")?;
        self.frames.recv().doing("hear from the floor's tail")
    }

    fn stop(self) -> Result<(), BenchError> {
        drop((self.wake, self.frames));
        self.thread.join().map_err(|_| BenchError::new("the floor's tail panicked"))?
    }
}

fn by_floor(
    player: &mut Player<'_>,
    follower: &Follower,
    frames: &[Operation],
) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for frame in frames {
        thread::sleep(IDLE);
        let watch = Stopwatch::start();
        player.play([frame])?;
        let found = follower.newest()?;
        samples.push(watch.elapsed());
        debug_assert!(found.contains("payload"), "{found}");
    }
    Ok(samples)
}
