//! FlowFabric's benchmark: the engine, through its public API, beside a raw SQLite floor.
//!
//! Both run in one process and in one run, on files in one directory, with `synchronous=FULL`. The
//! floor makes the row changes of the engine by hand, on the engine's own schema; `floor` says
//! exactly which, and a test holds the two equal. Engine and floor take turns in short slices, so
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
//!
//! Depth and wake measure other processes: the program starts itself again with the same arguments
//! and [`CHILD_VARIABLE`] set, and [`run`] then plays that part and ends the process.

mod child;
mod engine;
mod error;
mod floor;
mod phase;
mod process;
mod progress;
mod report;
mod stats;

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
    /// The short form: under a minute, less exact, at most 100,000 waiting.
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
}

/// Runs the benchmark. Blocks for up to four minutes, or 40 seconds when quick.
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
    ];
    for (phase, run) in phases {
        if options.only.is_none_or(|only| only == *phase) {
            run(&bench, &mut report)?;
        }
    }
    bench.progress.finish();
    Ok(report)
}
