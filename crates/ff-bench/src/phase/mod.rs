//! The phases of the benchmark.

pub(crate) mod batch;
pub(crate) mod clients;
pub(crate) mod depth;
pub(crate) mod lifecycle;
pub(crate) mod wake;

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use crate::child::database;
use crate::engine::{Engine, runtime};
use crate::error::BenchError;
use crate::progress::Progress;
use crate::report::{Measure, Report, Section, Unit};
use crate::stats::{Samples, median, number};

/// A phase: it adds its figures and sections to the report.
pub(crate) type Run = fn(&Bench, &mut Report) -> Result<(), BenchError>;

/// What the phases share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) directory: PathBuf,
    pub(crate) quick: bool,
    pub(crate) runtime: Runtime,
    pub(crate) progress: Progress,
}

impl Bench {
    pub(crate) fn new(
        directory: &Path,
        quick: bool,
        shows_progress: bool,
    ) -> Result<Self, BenchError> {
        let directory = directory.to_owned();
        Ok(Self { directory, quick, runtime: runtime()?, progress: Progress::new(shows_progress) })
    }

    /// A number for the long form or for the short one.
    pub(crate) fn pick<T>(&self, long: T, short: T) -> T {
        if self.quick { short } else { long }
    }

    /// A new database with the engine's schema and nothing in it.
    pub(crate) fn migrated(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = database(&self.directory, name);
        drop(self.runtime.block_on(Engine::open(&path))?);
        Ok(path)
    }
}

/// The operations of a lifecycle, timed.
#[derive(Debug, Default)]
struct Times {
    create: Samples,
    claim: Samples,
    complete: Samples,
    cycle: Samples,
}

impl Times {
    fn append(&mut self, other: Self) {
        self.create.append(other.create);
        self.claim.append(other.claim);
        self.complete.append(other.complete);
        self.cycle.append(other.cycle);
    }
}

/// Picks one operation.
type Operation = fn(&Times) -> &Samples;

/// Pairs of slices, and all that was timed in them.
#[derive(Debug, Default)]
struct Duel {
    engine: Times,
    floor: Times,
    /// Lifecycles in a second, per pair of slices: engine, floor.
    rates: Vec<(f64, f64)>,
}

/// What one slice did.
#[derive(Debug)]
struct Slice {
    times: Times,
    seconds: f64,
}

impl Slice {
    fn rate(&self) -> f64 {
        number(self.times.cycle.count()) / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl Duel {
    /// Lets both run `pairs` slices in turn, after `warm_up` pairs that do not count. Who goes first
    /// changes with every pair.
    fn run(
        warm_up: usize,
        pairs: usize,
        mut engine: impl FnMut() -> Result<Slice, BenchError>,
        mut floor: impl FnMut() -> Result<Slice, BenchError>,
    ) -> Result<Self, BenchError> {
        let mut duel = Self::default();
        for pair in 0..warm_up + pairs {
            let (by_engine, by_floor) = if pair % 2 == 0 {
                let by_engine = engine()?;
                (by_engine, floor()?)
            } else {
                let by_floor = floor()?;
                (engine()?, by_floor)
            };
            if pair >= warm_up {
                duel.rates.push((by_engine.rate(), by_floor.rate()));
                duel.engine.append(by_engine.times);
                duel.floor.append(by_floor.times);
            }
        }
        Ok(duel)
    }

    /// Lifecycles in a second, engine over floor: the median over the pairs.
    fn ratio(&self) -> f64 {
        ratio(&self.rates)
    }

    fn section(&self, title: String) -> Section {
        let mut section = Section::new(title);
        let operations: [(&str, Operation); 4] = [
            ("create", |times| &times.create),
            ("claim", |times| &times.claim),
            ("complete", |times| &times.complete),
            ("full cycle", |times| &times.cycle),
        ];
        let (engine_rate, floor_rate): (Vec<_>, Vec<_>) = self.rates.iter().copied().unzip();
        for (label, of) in operations {
            let (engine, floor) = (of(&self.engine), of(&self.floor));
            let ms = |name, value| Measure::new(name, value, Unit::Milliseconds);
            let (engine_p50, floor_p50) = (engine.percentile_ms(50), floor.percentile_ms(50));
            section.row(
                label,
                vec![
                    ms("engine p50", engine_p50),
                    ms("p99", engine.percentile_ms(99)),
                    ms("floor p50", floor_p50),
                    ms("p99", floor.percentile_ms(99)),
                    Measure::new("floor/engine p50", quotient(floor_p50, engine_p50), Unit::Ratio),
                ],
            );
        }
        section.title = format!(
            "{}: engine {:.0}/s, floor {:.0}/s",
            section.title,
            median(&engine_rate),
            median(&floor_rate)
        );
        section
    }
}

/// First over second, the median over the pairs.
fn ratio(pairs: &[(f64, f64)]) -> f64 {
    median(&pairs.iter().map(|(first, second)| quotient(*first, *second)).collect::<Vec<_>>())
}

fn quotient(dividend: f64, divisor: f64) -> f64 {
    dividend / divisor.max(f64::MIN_POSITIVE)
}
