//! `ff-bench`: prints the engine's speed beside that of SQLite alone.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ff_bench::{BenchOptions, Phase};

/// Measures the engine beside a raw SQLite floor, on this disk.
#[derive(Debug, Parser)]
#[command(name = "ff-bench", version)]
struct Args {
    /// About a minute, less exact.
    #[arg(long)]
    quick: bool,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// A directory on the disk to measure.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Only one phase.
    #[arg(long, value_name = "PHASE")]
    only: Option<Phase>,
}

fn main() -> ExitCode {
    let Args { quick, json, dir, only } = Args::parse();
    match ff_bench::run(&BenchOptions { dir, quick, json, only }) {
        Ok(report) if json => println!("{}", report.to_json()),
        Ok(report) => println!("{report}"),
        Err(error) => {
            eprintln!("ff-bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
