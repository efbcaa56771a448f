//! Times and what is said of them.

use std::time::Duration;

use ff_core::clock::{Clock as _, SystemClock};

/// Durations of one operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that `percent` of the samples do not exceed, in milliseconds; 0 without samples.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }
}

/// The middle of some numbers; 0 without any.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Whole numbers up to 2^53 are exact.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

/// Measures from its making on.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: SystemClock,
    started: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let clock = SystemClock::new();
        Self { started: clock.monotonic(), clock }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }

    /// The time since the start or the last lap.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = self.clock.monotonic();
        let took = now.saturating_sub(self.started);
        self.started = now;
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians_are_of_the_ordered_numbers() {
        let mut samples = Samples::default();
        for ms in (1..=100).rev() {
            samples.push(Duration::from_millis(ms));
        }
        assert!((samples.percentile_ms(50) - 50.0).abs() < 1e-9);
        assert!((samples.percentile_ms(99) - 99.0).abs() < 1e-9);
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert!(Samples::default().percentile_ms(99).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }
}
