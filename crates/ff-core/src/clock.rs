//! Engine time: one clock that decides everything and never runs backwards.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::types::TimestampMs;

/// Where a backend reads the time. Only the simulator and tests bring another one.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall-clock time. It may step in either direction.
    fn wall(&self) -> TimestampMs;

    /// Time since some fixed instant. It never steps.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The system's clocks, counted from now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    fn wall(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that a test moves.
///
/// ```
/// use std::time::Duration;
/// use ff_core::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new(1_000);
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.wall().0, 1_005);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `wall_ms`.
    pub fn new(wall_ms: i64) -> Self {
        Self { wall_ms: AtomicI64::new(wall_ms), monotonic_ms: AtomicI64::new(0) }
    }

    /// Lets time pass: both clocks move.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.wall_ms.fetch_add(by, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an operator or a time server does.
    pub fn step_wall_to(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> TimestampMs {
        TimestampMs(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.monotonic_ms.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

/// A forward step above this is recorded and shown by `verify`: one hour.
pub const STEP_REPORTED: Duration = Duration::from_secs(60 * 60);

/// The wall clock jumped ahead by more than [`STEP_REPORTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the table's own names")]
pub struct ClockStep {
    pub from: TimestampMs,
    pub to: TimestampMs,
}

/// Engine time over a persisted floor.
///
/// A store reads its floor inside each write transaction, ticks, and writes the answer back as
/// the new floor. Where the wall clock lies below the floor, engine time goes on from the floor
/// by the monotonic clock: it never falls and never freezes.
#[derive(Debug, Default)]
pub struct EngineTime {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// The latest answer, whether a read or a write was told it.
    last: Option<Reading>,
    /// The clocks at the latest write: where a step is measured from.
    written: Option<(TimestampMs, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: TimestampMs,
    monotonic: Duration,
}

impl EngineTime {
    /// The engine's now for the engine's own use: what [`show`](Self::show) would answer. Notes
    /// nothing.
    pub fn peek(&self, clock: &dyn Clock) -> TimestampMs {
        next(self.told().last, clock.wall(), clock.monotonic()).at
    }

    /// The engine's now for a caller that reads, never below an earlier answer; no later answer
    /// lies below it. It neither raises the floor nor notices a step.
    pub fn show(&self, clock: &dyn Clock) -> TimestampMs {
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let mut told = self.told();
        let reading = next(told.last, wall, monotonic);
        told.last = Some(reading);
        reading.at
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        match self.told.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// The engine's now, never below `floor` or an earlier answer, and the step it noticed.
    pub fn tick(&self, clock: &dyn Clock, floor: TimestampMs) -> (TimestampMs, Option<ClockStep>) {
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let mut told = self.told();
        let step = told.written.and_then(|before| step_between(before, wall, monotonic));
        told.written = Some((wall, monotonic));
        let base = match told.last {
            Some(last) if last.at >= floor => Some(last),
            Some(_) | None => Some(Reading { at: floor, monotonic }),
        };
        let reading = next(base, wall, monotonic);
        told.last = Some(reading);
        (reading.at, step)
    }
}

/// The wall clock where it runs ahead of the last answer; otherwise the last answer and the time
/// that has passed since.
fn next(last: Option<Reading>, wall: TimestampMs, monotonic: Duration) -> Reading {
    let Some(last) = last.filter(|last| last.at > wall) else {
        return Reading { at: wall, monotonic };
    };
    let elapsed_ms = milliseconds(monotonic.saturating_sub(last.monotonic));
    let counted = Duration::from_millis(u64::try_from(elapsed_ms).unwrap_or(0));
    let at = TimestampMs(last.at.0.saturating_add(elapsed_ms));
    Reading { at, monotonic: last.monotonic + counted }
}

/// How far the wall clock ran ahead of the time that really passed, if it is worth telling.
fn step_between(
    (before, since): (TimestampMs, Duration),
    wall: TimestampMs,
    monotonic: Duration,
) -> Option<ClockStep> {
    let passed = milliseconds(monotonic.saturating_sub(since));
    let unexplained = wall.0.saturating_sub(before.0).saturating_sub(passed);
    let is_step =
        u64::try_from(unexplained).is_ok_and(|ms| Duration::from_millis(ms) > STEP_REPORTED);
    is_step.then_some(ClockStep { from: before, to: wall })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn engine_time_follows_the_wall_clock_while_it_runs_forward() {
        let (clock, time) = (ManualClock::new(1_000), EngineTime::default());
        assert_eq!(time.tick(&clock, TimestampMs(0)).0, TimestampMs(1_000));

        clock.advance(ms(7));

        assert_eq!(time.tick(&clock, TimestampMs(1_000)), (TimestampMs(1_007), None));
    }

    #[test]
    fn a_wall_clock_that_steps_back_neither_lowers_nor_freezes_engine_time() {
        let (clock, time) = (ManualClock::new(10_000), EngineTime::default());
        time.tick(&clock, TimestampMs(0));

        clock.step_wall_to(2_000);
        clock.advance(ms(30));
        let after = time.tick(&clock, TimestampMs(10_000)).0;
        clock.advance(ms(5));

        assert_eq!(after, TimestampMs(10_030));
        assert_eq!(time.peek(&clock), TimestampMs(10_035));
        assert_eq!(time.tick(&clock, after).0, TimestampMs(10_035));
    }

    #[test]
    fn what_a_read_was_shown_is_not_taken_back() {
        let (clock, time) = (ManualClock::new(10_000), EngineTime::default());
        time.tick(&clock, TimestampMs(0));
        clock.advance(ms(500));
        assert_eq!(time.show(&clock), TimestampMs(10_500));

        clock.step_wall_to(2_000);

        assert_eq!(time.show(&clock), TimestampMs(10_500));
        clock.advance(ms(5));
        assert_eq!(time.tick(&clock, TimestampMs(10_000)).0, TimestampMs(10_505));
    }

    #[test]
    fn a_floor_left_by_another_process_is_respected_and_advanced_from() {
        let (clock, time) = (ManualClock::new(1_000), EngineTime::default());
        assert_eq!(time.tick(&clock, TimestampMs(5_000)).0, TimestampMs(5_000));

        clock.advance(ms(10));
        assert_eq!(time.tick(&clock, TimestampMs(5_000)).0, TimestampMs(5_010));

        clock.advance(ms(10));
        assert_eq!(time.tick(&clock, TimestampMs(9_000)).0, TimestampMs(9_000));
    }

    #[test]
    fn only_a_forward_step_above_an_hour_is_reported() {
        let hour = i64::try_from(STEP_REPORTED.as_millis()).unwrap();
        let (clock, time) = (ManualClock::new(0), EngineTime::default());
        time.tick(&clock, TimestampMs(0));

        clock.step_wall_to(hour);
        assert_eq!(time.tick(&clock, TimestampMs(0)), (TimestampMs(hour), None));
        clock.step_wall_to(2 * hour + 1);

        let step = ClockStep { from: TimestampMs(hour), to: TimestampMs(2 * hour + 1) };
        assert_eq!(time.tick(&clock, TimestampMs(hour)), (TimestampMs(2 * hour + 1), Some(step)));
    }

    #[test]
    fn time_that_really_passed_is_no_step() {
        let (clock, time) = (ManualClock::new(0), EngineTime::default());
        time.tick(&clock, TimestampMs(0));

        clock.advance(STEP_REPORTED * 3);

        assert_eq!(time.tick(&clock, TimestampMs(0)).1, None);
    }
}
