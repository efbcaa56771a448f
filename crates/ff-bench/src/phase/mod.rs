//! The phases of the benchmark.

pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod chain;
pub(crate) mod clients;
mod crowd;
pub(crate) mod depth;
pub(crate) mod fan_out;
pub(crate) mod frames;
pub(crate) mod lifecycle;
pub(crate) mod signal;
pub(crate) mod tail;
pub(crate) mod wake;

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use crate::child::database;
use crate::engine::{Engine, runtime};
use crate::error::BenchError;
use crate::progress::Progress;
use crate::report::{Measure, Report, Section, Unit};
use crate::stats::{Samples, median, number};
use crate::tape::{Recorder, Tape};

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

    /// The tape of what `work` makes the engine write to a new database.
    fn record(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&Engine, &mut Recorder) -> Result<(), BenchError>,
    ) -> Result<Tape, BenchError> {
        let path = database(&self.directory, name);
        self.runtime.block_on(async {
            let engine = Engine::open_to_record(&path).await?;
            let mut recorder = Recorder::start(&path)?;
            work(&engine, &mut recorder).await?;
            Ok(recorder.finish())
        })
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
    fn run(
        warm_up: usize,
        pairs: usize,
        engine: impl FnMut() -> Result<Slice, BenchError>,
        floor: impl FnMut() -> Result<Slice, BenchError>,
    ) -> Result<Self, BenchError> {
        let mut duel = Self::default();
        for (by_engine, by_floor) in in_turn(warm_up, pairs, engine, floor)? {
            duel.rates.push((by_engine.rate(), by_floor.rate()));
            duel.engine.append(by_engine.times);
            duel.floor.append(by_floor.times);
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

/// Lets both run `pairs` slices in turn, after `warm_up` pairs that do not count. Who goes first
/// changes with every pair.
fn in_turn<T>(
    warm_up: usize,
    pairs: usize,
    mut engine: impl FnMut() -> Result<T, BenchError>,
    mut floor: impl FnMut() -> Result<T, BenchError>,
) -> Result<Vec<(T, T)>, BenchError> {
    let mut counted = Vec::with_capacity(pairs);
    for pair in 0..warm_up + pairs {
        let slices = if pair % 2 == 0 {
            let by_engine = engine()?;
            (by_engine, floor()?)
        } else {
            let by_floor = floor()?;
            (engine()?, by_floor)
        };
        if pair >= warm_up {
            counted.push(slices);
        }
    }
    Ok(counted)
}

/// First over second, the median over the pairs.
fn ratio(pairs: &[(f64, f64)]) -> f64 {
    median(&pairs.iter().map(|(first, second)| quotient(*first, *second)).collect::<Vec<_>>())
}

/// What both did in a second; the medians over the pairs.
fn rates_section(title: &str, what: &'static str, floor: &str, rates: &[(f64, f64)]) -> Section {
    let (by_engine, by_floor): (Vec<_>, Vec<_>) = rates.iter().copied().unzip();
    let mut section = Section::new(title);
    for (label, rates) in [("engine".to_owned(), by_engine), (format!("floor, {floor}"), by_floor)]
    {
        section.row(label, vec![Measure::new(what, median(&rates), Unit::PerSecond)]);
    }
    section
}

/// How long both took: the table, what the engine took, and the floor's p50 over the engine's, the
/// median over the pairs.
fn latency(title: &str, floor: &str, slices: Vec<(Samples, Samples)>) -> (Section, Samples, f64) {
    let p50 = |samples: &Samples| samples.percentile_ms(50);
    let ratios: Vec<_> =
        slices.iter().map(|(engine, floor)| quotient(p50(floor), p50(engine))).collect();
    let (mut by_engine, mut by_floor) = (Samples::default(), Samples::default());
    for (engine, floor) in slices {
        by_engine.append(engine);
        by_floor.append(floor);
    }
    let mut section = Section::new(title);
    let label = format!("floor, {floor}");
    for (label, samples) in [("engine".to_owned(), &by_engine), (label, &by_floor)] {
        let of =
            |name, percent| Measure::new(name, samples.percentile_ms(percent), Unit::Milliseconds);
        section.row(label, vec![of("p50", 50), of("p99", 99)]);
    }
    (section, by_engine, median(&ratios))
}

fn quotient(dividend: f64, divisor: f64) -> f64 {
    dividend / divisor.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use rusqlite::types::Value;

    use super::*;
    use crate::floor::open;
    use crate::group::CLIENTS;
    use crate::tape::Player;

    /// Every stored value, by table; but not the clock, which every transaction may write, nor what migrating leaves.
    fn content(path: &Path) -> Vec<(String, Vec<String>)> {
        let conn = Connection::open(path).unwrap();
        let mut names = conn
            .prepare(
                "SELECT name FROM sqlite_schema
                WHERE type = 'table' AND name GLOB 'ff_*' AND name NOT GLOB '*migration*'
                    AND name <> 'ff_engine_clock'
                ORDER BY name",
            )
            .unwrap();
        let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let content = names.map(|name| {
            let name = name.unwrap();
            let mut statement = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let width = statement.column_count();
            let values = |row: &rusqlite::Row<'_>| {
                (0..width).map(|place| row.get(place)).collect::<rusqlite::Result<Vec<Value>>>()
            };
            let rows = statement.query_map([], values).unwrap();
            let mut rows: Vec<_> = rows.map(|row| format!("{:?}", row.unwrap())).collect();
            rows.sort_unstable();
            (name, rows)
        });
        content.collect()
    }

    /// Plays the tape on a database of its own and holds it against the one that was recorded.
    fn plays_what_the_engine_wrote(bench: &Bench, name: &str, tape: &Tape, written: &[&str]) {
        let path = bench.migrated(&format!("{name}-played")).unwrap();
        let conn = open(&path).unwrap();
        let mut player = Player::prepare(&conn, tape).unwrap();
        for operation in &tape.operations {
            player.play([operation]).unwrap();
        }

        let (engine, floor) =
            (content(&database(&bench.directory, &format!("{name}-tape"))), content(&path));
        for ((table, by_engine), (_, by_floor)) in engine.iter().zip(&floor) {
            assert_eq!(by_floor, by_engine, "{name}: {table}: floor (left), engine (right)");
        }
        assert_eq!(floor.len(), engine.len());
        for table in written {
            let rows = &floor.iter().find(|(name, _)| name == table).unwrap().1;
            assert!(!rows.is_empty(), "{name}: nothing in {table}");
        }
    }

    #[test]
    fn a_played_tape_leaves_what_the_engine_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(dir.path(), true, false).unwrap();

        let tape = chain::record(&bench, 2).unwrap();
        let tables = ["ff_flow_core", "ff_edge", "ff_edge_group", "ff_completion_event"];
        plays_what_the_engine_wrote(&bench, "chain", &tape, &tables);

        let tape = signal::record(&bench, 2).unwrap();
        let tables = ["ff_suspension_current", "ff_waitpoint_closed", "ff_signal"];
        plays_what_the_engine_wrote(&bench, "signal", &tape, &tables);

        let tape = frames::record(&bench, 5).unwrap();
        plays_what_the_engine_wrote(&bench, "frame", &tape, &["ff_stream_frame", "ff_stream_meta"]);

        let tape =
            crowd::record(&bench, "budget", 2, budget::set_up, budget::report_usage).unwrap();
        let tables = ["ff_budget_usage", "ff_budget_usage_dedup"];
        plays_what_the_engine_wrote(&bench, "budget", &tape, &tables);
    }

    /// The first of the clients may be the last to be served.
    fn plays_whoever_comes_first(bench: &Bench, name: &str, tape: &Tape) {
        let conn = open(&bench.migrated(&format!("{name}-any-order")).unwrap()).unwrap();
        let mut player = Player::prepare(&conn, tape).unwrap();
        player.play(&tape.operations[..1]).unwrap();

        let calls = tape.operations[1..].chunks(CLIENTS);
        for call in calls {
            player.play(call.iter().rev()).unwrap();
        }
    }

    #[test]
    fn a_crowd_s_tape_plays_whoever_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(dir.path(), true, false).unwrap();

        let reports = crowd::record(&bench, "budget", 2, budget::set_up, budget::report_usage);
        plays_whoever_comes_first(&bench, "budget", &reports.unwrap());
        let appends = crowd::record(&bench, "frames", 2, frames::held, frames::append_own);
        plays_whoever_comes_first(&bench, "frames", &appends.unwrap());
    }
}
