//! The deterministic simulation: whole worlds in virtual time, one per seed.
//!
//! A world has workers, a client, an operator, an accountant and subscribers, a network that loses,
//! delays and repeats what they say, crashes, pauses and a wall clock that steps. It runs on one
//! thread without sleeping, over an engine that answers without waiting; nothing but the seed
//! decides what happens. After every step the safety invariants are checked from what the engine
//! announced; half an hour later (of virtual time) everything heals and must come to rest, and the
//! run is judged as a whole by [`invariants`](crate::invariants). A quarter of the worlds then grows
//! old, until retention has left nothing.
//!
//! A tenth of the seeds runs without faults, a tenth with one kind only; the others draw their
//! own rates. `FF_SIM_SEED=…` replays one seed and prints its log, `FF_SIM_SEEDS` makes a run
//! longer or shorter.

mod actor;
mod budget;
mod call;
mod fault;
mod flow;
mod follower;
mod ledger;
mod money;
mod operators;
mod quota;
mod registry;
mod report;
mod retention;
mod shorten;
mod stage;
mod streams;
mod waiting;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invariants::{Finding, judge, observe};
use crate::model::Setup;
use crate::probe::Engine;
pub use report::{Failure, Report};
use stage::Stage;
use world::World;

/// Every so many seeds one runs twice, and must do the same.
const TWICE_EVERY: u64 = 16;

/// From this many seeds on, a kind of fault or an operation that never happened fails the run.
const COVERED_FROM_SEEDS: u64 = 200;

/// How much to run.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Plan {
    pub seed_base: u64,
    pub seeds: u64,
    /// Prints every step: of a single seed.
    pub is_verbose: bool,
    /// The command that runs this test again.
    pub replay: String,
}

impl Plan {
    /// 1,000 seeds, or what the environment asks for.
    ///
    /// `replay` is the command line that runs the calling test.
    pub fn from_env(replay: &str) -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
        };
        let seed = number("FF_SIM_SEED");
        Self {
            seed_base: seed.unwrap_or(0),
            seeds: if seed.is_some() { 1 } else { number("FF_SIM_SEEDS").unwrap_or(1_000) },
            is_verbose: seed.is_some(),
            replay: replay.to_owned(),
        }
    }
}

/// Runs the plan, on a few threads at once; each seed on one.
///
/// # Panics
/// On the first violated invariant: with its seed, the shortest list of calls found that still
/// violates it, and the command that replays it. If a seed did not do the same twice. If, in a run
/// of at least 200 seeds, a kind of fault or an operation never happened.
#[expect(clippy::print_stdout, reason = "the log and the last line are the test's report")]
pub fn run(plan: &Plan, open: impl Fn(&Setup) -> Engine + Sync) -> Report {
    let report = match check(plan, &open) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    };
    for line in report.log() {
        println!("{line}");
    }
    println!("{}", report.table());
    println!("{report}");
    if report.seeds >= COVERED_FROM_SEEDS {
        let missing = report.missing();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
    report
}

/// Runs the plan; the failure of the lowest seed that failed is the error.
pub fn check(plan: &Plan, open: impl Fn(&Setup) -> Engine + Sync) -> Result<Report, Box<Failure>> {
    let end = plan.seed_base.saturating_add(plan.seeds);
    let next = AtomicU64::new(plan.seed_base);
    let (total, failed) = (Mutex::new(Report::default()), Mutex::new(None::<(u64, Finding)>));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    let is_over = failed.lock().is_ok_and(|failed| failed.is_some());
                    if seed >= end || is_over {
                        return;
                    }
                    match run_seed(seed, plan.is_verbose, &open) {
                        Ok(done) => {
                            let mut total = total.lock().expect("no thread panics with a report");
                            total.add(done);
                        }
                        Err(finding) => {
                            let mut failed =
                                failed.lock().expect("no thread panics with a failure");
                            if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                                *failed = Some((seed, finding));
                            }
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("no thread panics with a failure") {
        None => Ok(total.into_inner().expect("no thread panics with a report")),
        Some((seed, finding)) => Err(Box::new(shorten::shorten(plan, seed, finding, &open))),
    }
}

/// The world of a seed at its beginning.
fn setup(seed: u64) -> Setup {
    Setup { seed, limits: retention::limits(), ..Setup::of(seed) }
}

/// A runtime whose clock nothing waits for: a subscription that has nothing to show looks at it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing")
}

fn run_seed(
    seed: u64,
    is_verbose: bool,
    open: &impl Fn(&Setup) -> Engine,
) -> Result<Report, Finding> {
    let mut stage = simulate(seed, is_verbose, open)?;
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = simulate(seed, false, open)?;
        stage.repeated(&again)?;
    }
    Ok(stage)
}

/// Runs a seed, to its rest and its judgement.
fn simulate(
    seed: u64,
    is_verbose: bool,
    open: &impl Fn(&Setup) -> Engine,
) -> Result<Report, Finding> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let setup = setup(seed);
    let mut stage = Stage::new(open(&setup), setup);
    stage.lines = is_verbose.then(Vec::new);
    let mut world = World::new(seed, stage);
    let ran = guarded(|| world.run());
    let judged = ran.and_then(|()| judged(&mut world.stage, &runtime));
    match judged {
        Ok(()) => Ok(Report::of(world)),
        Err(finding) => {
            print_log(&world.stage);
            Err(finding)
        }
    }
}

#[expect(clippy::print_stdout, reason = "somebody replays a seed and reads along")]
fn print_log(stage: &Stage) {
    for line in stage.lines.iter().flatten() {
        println!("{line}");
    }
}

/// A panic of the engine is a finding like any other.
fn guarded<T>(run: impl FnOnce() -> Result<T, Finding>) -> Result<T, Finding> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let detail = text.unwrap_or_else(|| "without words".to_owned());
        Err(ledger::found("panic", None, detail))
    })
}

/// The judgement of the whole run, at rest.
fn judged(stage: &mut Stage, runtime: &tokio::runtime::Runtime) -> Result<(), Finding> {
    streams::check_streams(stage)?;
    stage.check_flows_at_rest()?;
    stage.mark_rationed();
    let mut observed =
        runtime.block_on(observe(&stage.engine)).map_err(|error| stage::broken(&error))?;
    // The accountant's own count, kept call by call, has judged the budget: it knows resets.
    observed.budgets.clear();
    let findings = judge(&observed, std::slice::from_ref(&stage.history));
    match findings.into_iter().next() {
        Some(finding) => Err(finding),
        None => retention::grow_old(stage),
    }
}

#[cfg(test)]
mod tests;
