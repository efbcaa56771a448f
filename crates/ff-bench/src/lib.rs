//! FlowFabric's benchmark: the engine, through its public API, beside a raw SQLite floor.
//!
//! Both run in one process and in one run, on files in one directory, with `synchronous=FULL`. The
//! floor makes the row changes of the engine by hand, on the engine's own schema: those of a
//! lifecycle as `floor` lists them, those of the richer operations as `tape` recorded them from the
//! engine. Tests hold the databases equal. Engine and floor take turns in short slices, so
//! that a busy machine or a slow disk hits both alike: believe the ratios of a run, not its
//! absolute numbers. The first slices warm up and are not counted; a ratio is the median over
//! the pairs of slices.
//!
//! | phase | question |
//! |---|---|
//! | lifecycle | create, claim, complete by one client; floor: a transaction for each |
//! | clients | the same by 64 clients; floor: a thread that commits up to 64 waiting operations at once |
//! | batch | many executions submitted, 1,000 at a time; floor: one transaction of prepared inserts |
//! | depth | does a claim slow down with what waits, and what memory does a million waiting cost |
//! | wake | how soon an idle worker in another process starts what is submitted, and what idling costs |
//! | chain | flows of ten nodes in a row, by one client; floor: a transaction for each operation |
//! | fan-out | a flow of one, a thousand and one, by 64 clients; floor: group commit |
//! | signal | how soon a worker that waits in this process holds a resumed lease; floor: the two transactions |
//! | frames | durable frames to one stream, and to 64 by 64 clients; floor: a transaction for each, and group commit |
//! | tail | how soon a blocked tail returns an appended frame; floor: a transaction, and a read by a blocked thread |
//! | budget | reports of 64 clients to one budget; floor: group commit |
//!
//! Depth and wake measure other processes: the program starts itself again with the same arguments
//! and [`CHILD_VARIABLE`] set, and [`run`] then plays that part and ends the process.

mod child;
mod engine;
mod error;
mod floor;
mod group;
mod phase;
mod process;
mod progress;
mod report;
mod stats;
mod tape;

use std::path::PathBuf;

pub use error::BenchError;
use error::Doing as _;
use phase::Bench;
pub use report::{Figure, Measure, Report, Row, Section, Target, Unit};

pub use child::CHILD_VARIABLE;

/// What to measure, and where.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The directory on the disk to measure. Databases of up to 2 GB (150 MB when quick) come and
    /// go in a directory of their own below it.
    pub dir: PathBuf,
    /// The short form: about a minute, less exact, at most 100,000 waiting.
    pub quick: bool,
    /// A program reads the answer: show no progress.
    pub json: bool,
    /// Only this phase; all of them by default.
    pub only: Option<Phase>,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Phase {
    /// One client.
    Lifecycle,
    /// 64 clients.
    Clients,
    /// Bulk submit.
    Batch,
    /// Claims from short and long lines, and the memory of a long one.
    #[value(alias = "memory")]
    Depth,
    /// Waking an idle worker process, and what it costs while idle.
    #[value(alias = "idle")]
    Wake,
    /// Flows that are chains of ten.
    Chain,
    /// A flow of one, a thousand and one.
    FanOut,
    /// From a signal to the resumed worker.
    Signal,
    /// Frames of one stream and of 64.
    Frames,
    /// From an append to the blocked tail.
    Tail,
    /// Reports to one budget.
    Budget,
}

/// Runs the benchmark. Blocks for up to seven minutes, or a minute when quick.
///
/// May be called from anywhere, a runtime's thread included. In a process that a benchmark started
/// (see [`CHILD_VARIABLE`]) it plays its part there and does not return.
pub fn run(options: &BenchOptions) -> Result<Report, BenchError> {
    // A thread of its own: no runtime may be entered from within another.
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(run_here(options)));
    });
    receiver.recv().doing("finish the benchmark")?
}

fn run_here(options: &BenchOptions) -> Result<Report, BenchError> {
    if let Some(part) = child::part() {
        child::play(&part)?;
        std::process::exit(0);
    }
    let dir = tempfile::Builder::new()
        .prefix(".ff-bench-")
        .tempdir_in(&options.dir)
        .doing(&format!("make a directory in `{}`", options.dir.display()))?;
    let bench = Bench::new(dir.path(), options.quick, !options.json)?;
    let mut report = Report {
        quick: options.quick,
        directory: options.dir.display().to_string(),
        warnings: process::warnings(&options.dir),
        figures: Vec::new(),
        sections: Vec::new(),
    };
    let phases: &[(Phase, phase::Run)] = &[
        (Phase::Lifecycle, phase::lifecycle::run),
        (Phase::Clients, phase::clients::run),
        (Phase::Batch, phase::batch::run),
        (Phase::Depth, phase::depth::run),
        (Phase::Wake, phase::wake::run),
        (Phase::Chain, phase::chain::run),
        (Phase::FanOut, phase::fan_out::run),
        (Phase::Signal, phase::signal::run),
        (Phase::Frames, phase::frames::run),
        (Phase::Tail, phase::tail::run),
        (Phase::Budget, phase::budget::run),
    ];
    for (phase, run) in phases {
        if options.only.is_none_or(|only| only == *phase) {
            run(&bench, &mut report)?;
        }
    }
    bench.progress.finish();
    Ok(report)
}
