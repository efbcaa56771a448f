//! `ff bench`: the engine's speed beside that of SQLite alone, on this disk.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ff_bench::{BenchOptions, Phase};

use crate::error::{Error, Exit, Result};
use crate::output::{Format, Output};

/// Measures the engine beside a raw SQLite floor.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// About a minute, less exact.
    #[arg(long)]
    quick: bool,
    /// A directory on the disk to measure.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Only one phase.
    #[arg(long, value_name = "PHASE")]
    only: Option<Phase>,
}

/// Measures and prints. The benchmark starts this program again for its child processes, so
/// nothing may be printed before it.
pub(crate) fn run(output: Output, args: BenchArgs) -> Result<ExitCode> {
    let BenchArgs { quick, dir, only } = args;
    let json = output.is_json();
    let report = ff_bench::run(&BenchOptions { dir, quick, json, only }).map_err(|error| {
        Error::new(Exit::Error, "bench_failed", "the benchmark could not be finished")
            .why(error.to_string())
            .fix("look at the space and the rights of the directory given with `--dir`")
    })?;
    match output.format {
        Format::Json => output.json(&report.to_json())?,
        Format::Table | Format::Id => output.line(&report.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}
