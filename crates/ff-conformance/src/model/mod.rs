//! The model test: random sequences on two engines that must not be told apart.
//!
//! A backend joins with a few lines; see [`run`]. One number replays a failure:
//! `FF_MODEL_SEED=… cargo test -p <crate> --test model`. `FF_MODEL_SEQUENCES` and
//! `FF_MODEL_COMMANDS` make a run longer.
//!
//! Rule for backends: ids are drawn from `seed + n · 0xD6E8_FEB8_6659_FD93`, where `n` counts,
//! from 0, everything that reaches the writer: each command, batch, claim, settling and sweep
//! step, refused or not. Reads do not count.

pub mod alphabet;
pub mod budget;
pub(crate) mod compare;
mod driver;
pub mod execution;
pub mod flow;
pub mod lane;
pub mod lease;
pub mod stream;
pub mod suspension;
pub mod worker;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use alphabet::{Command, OPERATIONS, sequence};
pub use driver::{Pair, Setup};
use driver::{Parted, Tally};
use tokio::task::JoinSet;

/// Sequences that run at the same time.
const AT_ONCE: usize = 2;

/// Runs that shrinking may take.
const SHRINK_RUNS_MAX: usize = 500;

/// From this many sequences on, an operation that never succeeded fails the run.
const COVERED_FROM_SEQUENCES: u64 = 200;

/// How much to run.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Plan {
    pub seed_base: u64,
    pub sequences: u64,
    pub commands: usize,
    /// The command that runs this test again.
    pub replay: String,
}

impl Plan {
    /// 1,000 sequences of 100 commands, or what the environment asks for.
    ///
    /// `replay` is the command line that runs the calling test.
    pub fn from_env(seed_base: u64, replay: &str) -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
        };
        let seed = number("FF_MODEL_SEED");
        Self {
            seed_base: seed.unwrap_or(seed_base),
            sequences: if seed.is_some() {
                1
            } else {
                number("FF_MODEL_SEQUENCES").unwrap_or(1_000)
            },
            commands: number("FF_MODEL_COMMANDS")
                .map_or(100, |count| usize::try_from(count).unwrap_or(usize::MAX)),
            replay: replay.to_owned(),
        }
    }
}

/// What a run covered.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Report {
    pub sequences: u64,
    pub steps: u64,
    tally: Tally,
}

impl Report {
    /// Operations that never answered `Ok`.
    pub fn never_succeeded(&self) -> Vec<&'static str> {
        let succeeded = driver::succeeded(&self.tally);
        OPERATIONS
            .into_iter()
            .chain(flow::OPERATIONS)
            .chain(suspension::OPERATIONS)
            .chain(stream::OPERATIONS)
            .chain(worker::OPERATIONS)
            .chain(budget::OPERATIONS)
            .filter(|operation| succeeded.get(operation).is_none_or(|count| *count == 0))
            .collect()
    }

    /// How often `operation` answered with `code`.
    pub fn count(&self, operation: &'static str, code: &str) -> u64 {
        self.tally.get(&(operation, code.to_owned())).copied().unwrap_or(0)
    }

    fn add(&mut self, tally: Tally, steps: usize) {
        self.sequences += 1;
        self.steps += steps as u64;
        for (key, count) in tally {
            *self.tally.entry(key).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: BTreeSet<&str> =
            self.tally.keys().map(|(operation, _)| *operation).collect();
        for operation in &operations {
            let codes: Vec<String> = self
                .tally
                .iter()
                .filter(|((name, _), _)| name == operation)
                .map(|((_, code), count)| format!("{code} {count}"))
                .collect();
            writeln!(f, "{operation:<34}{}", codes.join(", "))?;
        }
        let rare = self.tally.values().filter(|count| **count < 20).count();
        write!(
            f,
            "{} sequences, {} steps, {} operations, {} pairs of operation and answer, {rare} of \
             them seen less than 20 times",
            self.sequences,
            self.steps,
            operations.len(),
            self.tally.len()
        )
    }
}

/// Two engines were told apart.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Failure {
    pub seed: u64,
    /// The shortest sequence found that still tells them apart.
    pub commands: Vec<Command>,
    /// The number of the last command in the sequence.
    pub step: usize,
    pub difference: String,
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} tells the engines apart after {} commands:",
            self.seed,
            self.step + 1
        )?;
        for (number, command) in self.commands.iter().enumerate() {
            let mark = if number == self.step { '>' } else { ' ' };
            writeln!(f, "{mark} {number:>3} {command:?}")?;
        }
        writeln!(f, "{}", self.difference)?;
        write!(f, "replay: {}", self.replay)
    }
}

/// Runs the plan and prints what it covered.
///
/// ```
/// use ff_backend_memory::MemoryOptions;
/// use ff_conformance::model::{Pair, Plan, Setup, run};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let plan = Plan { seed_base: 1, sequences: 2, commands: 20, replay: "cargo test".to_owned() };
/// let report = run(plan, |setup: Setup| async move {
///     let open = |setup: &Setup| {
///         let options = MemoryOptions::default().clock(setup.clock.clone());
///         options.seed(setup.seed).limits(setup.limits.clone()).open()
///     };
///     Pair { subject: open(&setup).into(), oracle: open(&setup).into() }
/// })
/// .await;
/// assert_eq!(report.sequences, 2);
/// # }
/// ```
///
/// # Panics
/// If two engines are told apart: with the seed, the shortest sequence found, the first difference
/// and the command that replays it. If nothing ran, or, in a run of at least 200 sequences, an
/// operation never succeeded.
#[expect(clippy::print_stdout, reason = "the coverage table is the test's report")]
pub async fn run<O, F>(plan: Plan, open: O) -> Report
where
    O: Fn(Setup) -> F + Send + Sync + 'static,
    F: Future<Output = Pair> + Send + 'static,
{
    let report = match check(plan, open).await {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    };
    println!("{report}");
    assert!(report.steps > 0, "no sequence ran");
    if report.sequences >= COVERED_FROM_SEQUENCES {
        let missing = report.never_succeeded();
        assert!(missing.is_empty(), "operations that never succeeded: {missing:?}");
    }
    report
}

/// Runs the plan; the first failure, shrunk, is the error.
pub async fn check<O, F>(plan: Plan, open: O) -> Result<Report, Box<Failure>>
where
    O: Fn(Setup) -> F + Send + Sync + 'static,
    F: Future<Output = Pair> + Send + 'static,
{
    let open = Arc::new(open);
    let mut report = Report::default();
    let mut running = JoinSet::new();
    let mut seeds = plan.seed_base..plan.seed_base.saturating_add(plan.sequences);
    loop {
        while running.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            let (open, commands) = (Arc::clone(&open), sequence(seed, plan.commands));
            running.spawn(async move { (seed, attempt(&open, seed, commands, false).await) });
        }
        let Some(done) = running.join_next().await else { return Ok(report) };
        match done.expect("a sequence's own panic is caught inside") {
            (_, Ok(tally)) => report.add(tally, plan.commands),
            (seed, Err(_)) => {
                running.shutdown().await;
                return Err(Box::new(shrink(&plan, &open, seed).await));
            }
        }
    }
}

/// One sequence; a panic of an engine parts them like any other difference.
async fn attempt<O, F>(
    open: &Arc<O>,
    seed: u64,
    commands: Vec<Command>,
    thorough: bool,
) -> Result<Tally, Parted>
where
    O: Fn(Setup) -> F + Send + Sync + 'static,
    F: Future<Output = Pair> + Send + 'static,
{
    let last = commands.len().saturating_sub(1);
    let setup = Setup::of(seed);
    let opening = open(setup.clone());
    let task = tokio::spawn(async move {
        let pair = opening.await;
        driver::run(setup, pair, &commands, thorough).await
    });
    task.await.unwrap_or_else(|panic| {
        Err(Parted { step: last, difference: format!("an engine panicked: {panic}") })
    })
}

/// Removes what the failure does not need: halves, quarters, …, single commands.
async fn shrink<O, F>(plan: &Plan, open: &Arc<O>, seed: u64) -> Failure
where
    O: Fn(Setup) -> F + Send + Sync + 'static,
    F: Future<Output = Pair> + Send + 'static,
{
    let mut commands = sequence(seed, plan.commands);
    let mut runs = 0;
    let mut found = match attempt(open, seed, commands.clone(), true).await {
        Err(parted) => parted,
        Ok(_) => Parted {
            step: commands.len() - 1,
            difference: "the second run did not part: the outcome depends on timing".to_owned(),
        },
    };
    commands.truncate(found.step + 1);
    let mut size = commands.len().div_ceil(2);
    while size > 0 && runs < SHRINK_RUNS_MAX {
        let mut from = 0;
        let mut removed = false;
        while from < commands.len() && runs < SHRINK_RUNS_MAX {
            let until = (from + size).min(commands.len());
            let mut fewer = commands.clone();
            fewer.drain(from..until);
            runs += 1;
            match attempt(open, seed, fewer.clone(), true).await {
                Err(parted) if !fewer.is_empty() => {
                    fewer.truncate(parted.step + 1);
                    (commands, found, removed) = (fewer, parted, true);
                }
                Err(_) | Ok(_) => from = until,
            }
        }
        if !removed || size > 1 {
            size /= 2;
        }
    }
    let length = if plan.commands == 100 {
        String::new()
    } else {
        format!("FF_MODEL_COMMANDS={} ", plan.commands)
    };
    Failure {
        seed,
        commands,
        step: found.step,
        difference: found.difference,
        replay: format!("FF_MODEL_SEED={seed} {length}{}", plan.replay),
    }
}

#[cfg(test)]
mod tests;
