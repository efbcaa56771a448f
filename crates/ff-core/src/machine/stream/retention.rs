//! How many frames of a stream stay.
//!
//! Each class has a length of its own and is trimmed from its oldest frame on, right after an
//! append to it; no append ever removes a frame of another class.

use super::rows::{Class, Meta};
use crate::EngineError;
use crate::backend::{BestEffortLiveConfig, StreamMode};
use crate::engine_error::ValidationKind;
use crate::machine::limits::{
    BEST_EFFORT_KEPT_MAX, DURABLE_FRAMES_KEPT, STREAM_TRIM_STEP_MAX, SUMMARY_FRAMES_KEPT,
};
use crate::machine::policy::later;
use crate::machine::rows::Execution;
use crate::types::{DurationMs, TimestampMs};

/// Counts a frame in `mode` appended at `now`, and answers how many of the oldest of its class
/// go. A class that has to shrink by more than [`STREAM_TRIM_STEP_MAX`] shrinks in steps.
pub fn count(
    meta: &mut Meta,
    mode: StreamMode,
    execution: &Execution,
    now: TimestampMs,
) -> Result<u64, EngineError> {
    let class = Class::of(mode);
    let most = match mode {
        StreamMode::Durable => durable_max(execution),
        StreamMode::DurableSummary { .. } => SUMMARY_FRAMES_KEPT,
        StreamMode::BestEffortLive { config } => best_effort_max(meta, config, now)?,
    };
    let kept = meta.kept(class) + 1;
    let gone = kept.saturating_sub(most).min(STREAM_TRIM_STEP_MAX);
    if meta.look_at.is_none() {
        meta.look_at = ttl(execution).map(|ttl| later(now, ttl));
    }
    *meta.kept_mut(class) = kept - gone;
    meta.expires_at = match mode {
        StreamMode::BestEffortLive { config } if meta.durable_kept + meta.summary_kept == 0 => {
            Some(later(now, DurationMs(2 * u64::from(config.ttl_ms))))
        }
        StreamMode::Durable
        | StreamMode::DurableSummary { .. }
        | StreamMode::BestEffortLive { .. } => None,
    };
    Ok(gone)
}

/// How long frames stay after the end of their attempt, where the policy says so.
pub fn ttl(execution: &Execution) -> Option<DurationMs> {
    let policy = execution.policy.as_ref()?.stream_policy.as_ref()?;
    policy.retention_ttl_ms.map(DurationMs)
}

/// The stream policy's length; 0 or no policy is the default one.
fn durable_max(execution: &Execution) -> u64 {
    let given = execution.policy.as_ref().and_then(|policy| policy.stream_policy.as_ref());
    match given.map(|policy| policy.retention_maxlen) {
        None | Some(0) => DURABLE_FRAMES_KEPT,
        Some(most) => most,
    }
}

/// About `2 · rate · ttl` frames, within floor and ceiling. The first append assumes the rate at
/// which the floor is reached. A bound out of its range counts as the default one.
fn best_effort_max(
    meta: &mut Meta,
    config: BestEffortLiveConfig,
    now: TimestampMs,
) -> Result<u64, EngineError> {
    if config.ttl_ms == 0 {
        return Err(EngineError::Validation {
            kind: ValidationKind::InvalidInput,
            detail: "best_effort.ttl_ms is 0; give at least 1 ms".to_owned(),
        });
    }
    let standard = BestEffortLiveConfig::new(config.ttl_ms);
    let in_range = |given: u32, otherwise: u32| {
        if (1..=BEST_EFFORT_KEPT_MAX).contains(&given) { given } else { otherwise }
    };
    let floor = in_range(config.maxlen_floor, standard.maxlen_floor);
    let ceiling = in_range(config.maxlen_ceiling, standard.maxlen_ceiling).max(floor);
    let alpha = match config.ema_alpha {
        alpha if alpha > 0.0 && alpha <= 1.0 => alpha,
        _ => standard.ema_alpha,
    };
    let ttl_s = f64::from(config.ttl_ms) / 1_000.0;
    meta.rate_hz = match meta.best_effort_at {
        None => f64::from(floor) / (2.0 * ttl_s),
        Some(before) => {
            let apart_ms = u32::try_from(now.0 - before.0).unwrap_or(u32::MAX).max(1);
            alpha * 1_000.0 / f64::from(apart_ms) + (1.0 - alpha) * meta.rate_hz
        }
    };
    meta.best_effort_at = Some(now);
    let wanted = (meta.rate_hz * ttl_s * 2.0).ceil().clamp(f64::from(floor), f64::from(ceiling));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between floor and ceiling"
    )]
    let most = wanted as u64;
    meta.best_effort_max = most;
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, execution, now_plus, refusal};
    use crate::policy::{ExecutionPolicy, StreamPolicy};
    use crate::types::AttemptIndex;

    fn meta() -> Meta {
        Meta::new(execution().id, AttemptIndex(0))
    }

    fn keeping(retention_maxlen: u64) -> Execution {
        let stream_policy = StreamPolicy {
            durability_mode: "durable".to_owned(),
            retention_maxlen,
            retention_ttl_ms: None,
        };
        let policy =
            ExecutionPolicy { stream_policy: Some(stream_policy), ..ExecutionPolicy::default() };
        Execution { policy: Some(policy), ..execution() }
    }

    /// Appends `times` frames and answers how many stay.
    fn kept_after(times: u64, mode: StreamMode, execution: &Execution) -> u64 {
        let mut meta = meta();
        for _ in 0..times {
            count(&mut meta, mode, execution, NOW).unwrap();
        }
        meta.kept(Class::of(mode))
    }

    #[test]
    fn durable_frames_stay_up_to_the_policys_length_exactly() {
        for (length, kept) in [(1, 1), (3, 3), (4, 4), (5, 4)] {
            assert_eq!(kept_after(4, StreamMode::Durable, &keeping(length)), kept);
        }
        let mut meta = Meta { durable_kept: 3, ..meta() };
        assert_eq!(count(&mut meta, StreamMode::Durable, &keeping(3), NOW).unwrap(), 1);
        assert_eq!(count(&mut meta, StreamMode::Durable, &keeping(4), NOW).unwrap(), 0);
    }

    #[test]
    fn ten_thousand_durable_frames_stay_without_a_policy_and_with_a_length_of_nought() {
        for execution in [execution(), keeping(0)] {
            let mut meta = Meta { durable_kept: 9_999, ..meta() };
            assert_eq!(count(&mut meta, StreamMode::Durable, &execution, NOW).unwrap(), 0);
            assert_eq!(count(&mut meta, StreamMode::Durable, &execution, NOW).unwrap(), 1);
            assert_eq!(meta.durable_kept, 10_000);
        }
    }

    #[test]
    fn sixty_four_patches_stay() {
        assert_eq!(kept_after(64, StreamMode::durable_summary(), &execution()), 64);
        assert_eq!(kept_after(65, StreamMode::durable_summary(), &execution()), 64);
    }

    #[test]
    fn no_class_takes_from_another() {
        let mut meta = Meta { durable_kept: 3, summary_kept: 64, ..meta() };
        for _ in 0..100 {
            count(&mut meta, StreamMode::best_effort_live(1_000), &keeping(3), NOW).unwrap();
        }
        assert_eq!((meta.durable_kept, meta.summary_kept), (3, 64));
    }

    /// 20 Hz against a TTL of 5 s keep 200; the floor of 64 is where it begins.
    #[test]
    fn best_effort_frames_stay_at_about_twice_the_rate_times_the_ttl() {
        let mode = StreamMode::best_effort_live(5_000);
        let mut meta = meta();
        count(&mut meta, mode, &execution(), NOW).unwrap();
        assert_eq!(meta.best_effort_max, 64);
        assert!((meta.rate_hz - 6.4).abs() < 1e-9, "{}", meta.rate_hz);

        for step in 1..=400 {
            count(&mut meta, mode, &execution(), now_plus(step * 50)).unwrap();
        }

        assert!((meta.rate_hz - 20.0).abs() < 1e-6, "{}", meta.rate_hz);
        assert!((200..=201).contains(&meta.best_effort_max), "{}", meta.best_effort_max);
        assert_eq!(meta.best_effort_kept, meta.best_effort_max);
    }

    #[test]
    fn appends_of_one_instant_count_as_a_millisecond_apart_and_the_ceiling_holds() {
        let mode = StreamMode::best_effort_live(u32::MAX);
        let mut meta = meta();
        count(&mut meta, mode, &execution(), NOW).unwrap();
        count(&mut meta, mode, &execution(), NOW).unwrap();

        assert!(meta.rate_hz > 200.0 && meta.rate_hz < 201.0, "{}", meta.rate_hz);
        assert_eq!(meta.best_effort_max, 16_384);
    }

    #[test]
    fn bounds_out_of_range_count_as_the_default_ones() {
        let config = BestEffortLiveConfig::new(1_000);
        let max_of = |config, gap_ms: i64| {
            let mut meta = meta();
            for step in 0..50 {
                let mode = StreamMode::best_effort_live_with_config(config);
                count(&mut meta, mode, &execution(), now_plus(step * gap_ms)).unwrap();
            }
            meta.best_effort_max
        };
        assert_eq!(max_of(config.with_maxlen_floor(0), 1_000), 64);
        assert_eq!(max_of(config.with_maxlen_floor(20_000), 1_000), 64);
        assert_eq!(max_of(config.with_maxlen_floor(5), 1_000), 5);
        assert_eq!(max_of(config.with_maxlen_ceiling(70), 1), 70);
        assert_eq!(max_of(config.with_maxlen_ceiling(10), 1), 64);
        assert_eq!(max_of(config.with_maxlen_ceiling(0), 1), max_of(config, 1));
        for alpha in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(max_of(config.with_ema_alpha(alpha), 1), max_of(config, 1));
        }
        assert_eq!(max_of(config.with_ema_alpha(1.0), 1), 2_000);
    }

    #[test]
    fn a_ttl_of_nought_is_refused() {
        let refused =
            refusal(count(&mut meta(), StreamMode::best_effort_live(0), &execution(), NOW));
        assert_eq!(
            refused,
            "validation: InvalidInput: best_effort.ttl_ms is 0; give at least 1 ms"
        );
    }

    #[test]
    fn a_class_that_has_to_shrink_shrinks_in_steps() {
        let mut meta = Meta { durable_kept: 1_000, ..meta() };
        assert_eq!(count(&mut meta, StreamMode::Durable, &keeping(600), NOW).unwrap(), 256);
        assert_eq!(count(&mut meta, StreamMode::Durable, &keeping(600), NOW).unwrap(), 146);
        assert_eq!(meta.durable_kept, 600);
    }

    #[test]
    fn only_a_stream_of_best_effort_frames_expires_and_a_durable_one_ends_that_for_good() {
        let live = StreamMode::best_effort_live(500);
        for lasting in [StreamMode::Durable, StreamMode::durable_summary()] {
            let mut meta = meta();
            count(&mut meta, live, &execution(), NOW).unwrap();
            assert_eq!(meta.expires_at, Some(now_plus(1_000)));
            assert!(!meta.has_expired(now_plus(999)) && meta.has_expired(now_plus(1_000)));
            count(&mut meta, live, &execution(), now_plus(5)).unwrap();
            assert_eq!(meta.expires_at, Some(now_plus(1_005)));

            count(&mut meta, lasting, &execution(), now_plus(6)).unwrap();
            assert_eq!(meta.expires_at, None);
            count(&mut meta, live, &execution(), now_plus(7)).unwrap();
            assert_eq!(meta.expires_at, None);
        }
    }
}
