//! Whether a failed attempt is followed by another, and when.
//!
//! One path for both forms of `fail` and for attempt timeouts: the class filter, the category
//! filter, the count, then the back-off.

use super::Ids;
use super::limits::{DELAY_MAX_MS, RETRIES_MAX};
use crate::EngineError;
use crate::backend::FailureClass;
use crate::engine_error::ValidationKind;
use crate::policy::{BackoffStrategy, RetryPolicy};
use crate::types::DurationMs;

/// The category under which an attempt that ran too long fails.
pub const TIMEOUT_CATEGORY: &str = "timeout";

/// How long to wait before the next attempt, or `None` when this failure is final.
///
/// `retry_count` is the count before this failure, so the first retry waits the initial delay.
/// Without a policy nothing is retried. Permanent and cancelled failures never are. A policy with
/// `retryable_categories` retries only those.
pub fn decide(
    policy: Option<&RetryPolicy>,
    category: &str,
    retry_count: u32,
    ids: &mut Ids,
) -> Option<DurationMs> {
    let policy = policy?;
    if never_retried(category) || retry_count >= policy.max_retries {
        return None;
    }
    let wanted = &policy.retryable_categories;
    if !wanted.is_empty() && !wanted.iter().any(|one| one == category) {
        return None;
    }
    Some(backoff(&policy.backoff, retry_count, ids))
}

/// The text category of a failure class.
pub fn category_of(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "transient",
        FailureClass::Permanent => "permanent",
        FailureClass::InfraCrash => "infra_crash",
        FailureClass::Timeout => TIMEOUT_CATEGORY,
        FailureClass::Cancelled => "cancelled",
    }
}

/// Whether a failure of this class may carry a category of the caller's own. A class that is never
/// retried keeps its name, so that no detail turns it into a retry.
pub fn may_be_renamed(class: FailureClass) -> bool {
    match class {
        FailureClass::Transient | FailureClass::InfraCrash | FailureClass::Timeout => true,
        FailureClass::Permanent | FailureClass::Cancelled => false,
    }
}

fn never_retried(category: &str) -> bool {
    category == category_of(FailureClass::Permanent)
        || category == category_of(FailureClass::Cancelled)
}

/// The delay before retry number `retry_count` (from 0): `min(initial · multiplier^count, max)`.
///
/// With jitter the delay is drawn evenly from its upper half, which spreads a herd and keeps the
/// promised pace within a factor of two ("equal jitter", Brooker, AWS Architecture Blog, 2015).
fn backoff(strategy: &BackoffStrategy, retry_count: u32, ids: &mut Ids) -> DurationMs {
    match *strategy {
        BackoffStrategy::Fixed { delay_ms } => DurationMs(delay_ms.min(DELAY_MAX_MS)),
        BackoffStrategy::Exponential { initial_delay_ms, max_delay_ms, multiplier, jitter } => {
            let cap = max_delay_ms.min(DELAY_MAX_MS);
            let full = grown(initial_delay_ms, multiplier, retry_count, cap);
            DurationMs(if jitter { ids.within(full - full / 2, full) } else { full })
        }
    }
}

/// `initial · multiplier^count`, at most `cap`. The step-by-step product stops at the cap, so no
/// policy overflows.
fn grown(initial: u64, multiplier: f64, count: u32, cap: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "delays stay far below 2^53 ms")]
    let (mut delay, limit) = (initial as f64, cap as f64);
    for _ in 0..count {
        if delay >= limit || multiplier <= 1.0 {
            break;
        }
        delay *= multiplier;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a delay is a whole number of milliseconds between zero and the cap"
    )]
    let whole = delay.min(limit) as u64;
    whole
}

/// Reads a retry policy given as JSON with a call. Empty text means none was given.
///
/// A missing `max_retries` means no retry; anything that is not a policy is refused with
/// `Validation(InvalidPolicyJson)`, so that a typing error never burns an execution's attempts.
pub fn parse(json: &str) -> Result<Option<RetryPolicy>, EngineError> {
    if json.trim().is_empty() {
        return Ok(None);
    }
    let malformed = |detail: String| EngineError::Validation {
        kind: ValidationKind::InvalidPolicyJson,
        detail: format!("retry_policy_json: {detail}"),
    };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| malformed(error.to_string()))?;
    let Some(object) = value.as_object() else {
        return Err(malformed("expected an object such as {\"max_retries\":3}".to_owned()));
    };
    let has_count = object.contains_key("max_retries");
    let mut policy: RetryPolicy =
        serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
    if !has_count {
        policy.max_retries = 0;
    }
    validate(&policy).map_err(malformed)?;
    Ok(Some(policy))
}

/// Refuses a policy that cannot do what it says, with the reason.
pub fn validate(policy: &RetryPolicy) -> Result<(), String> {
    if policy.max_retries > RETRIES_MAX {
        return Err(format!("max_retries is {}; at most {RETRIES_MAX}", policy.max_retries));
    }
    match policy.backoff {
        BackoffStrategy::Fixed { delay_ms } if delay_ms > DELAY_MAX_MS => {
            Err(format!("backoff.delay_ms is {delay_ms}; at most {DELAY_MAX_MS}"))
        }
        BackoffStrategy::Fixed { .. } => Ok(()),
        BackoffStrategy::Exponential { initial_delay_ms, max_delay_ms, multiplier, .. } => {
            if !(multiplier.is_finite() && multiplier >= 1.0) {
                Err(format!("backoff.multiplier is {multiplier}; at least 1"))
            } else if max_delay_ms < initial_delay_ms {
                Err(format!(
                    "backoff.max_delay_ms {max_delay_ms} is below initial_delay_ms {initial_delay_ms}"
                ))
            } else if max_delay_ms > DELAY_MAX_MS {
                Err(format!("backoff.max_delay_ms is {max_delay_ms}; at most {DELAY_MAX_MS}"))
            } else {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimestampMs;

    fn ids(seed: u64) -> Ids {
        Ids::new(seed, TimestampMs(1_000))
    }

    fn policy(max_retries: u32, backoff: BackoffStrategy) -> RetryPolicy {
        RetryPolicy { max_retries, backoff, retryable_categories: Vec::new() }
    }

    fn fixed(delay_ms: u64) -> BackoffStrategy {
        BackoffStrategy::Fixed { delay_ms }
    }

    fn exponential(initial_delay_ms: u64, max_delay_ms: u64, multiplier: f64) -> BackoffStrategy {
        BackoffStrategy::Exponential { initial_delay_ms, max_delay_ms, multiplier, jitter: false }
    }

    /// The delay before retry number `count` (from 0).
    fn delay(backoff: BackoffStrategy, count: u32) -> u64 {
        let policy = policy(u32::MAX, backoff);
        decide(Some(&policy), "transient", count, &mut ids(1)).unwrap().0
    }

    fn refused(policy: &RetryPolicy) -> String {
        validate(policy).unwrap_err()
    }

    #[test]
    fn nothing_is_retried_without_a_policy() {
        assert_eq!(decide(None, "transient", 0, &mut ids(1)), None);
    }

    #[test]
    fn a_policy_retries_as_often_as_it_says() {
        let policy = policy(2, fixed(7));

        let decided = |count| decide(Some(&policy), "transient", count, &mut ids(1));

        assert_eq!(decided(0), Some(DurationMs(7)));
        assert_eq!(decided(1), Some(DurationMs(7)));
        assert_eq!(decided(2), None);
        assert_eq!(decided(3), None);
    }

    #[test]
    fn permanent_and_cancelled_failures_are_never_retried() {
        let mut policy = policy(3, fixed(7));
        for category in ["permanent", "cancelled"] {
            assert_eq!(decide(Some(&policy), category, 0, &mut ids(1)), None);
        }

        policy.retryable_categories = vec!["permanent".to_owned(), "cancelled".to_owned()];

        for category in ["permanent", "cancelled"] {
            assert_eq!(decide(Some(&policy), category, 0, &mut ids(1)), None);
        }
    }

    #[test]
    fn every_other_category_is_retried_unless_the_policy_lists_some() {
        let mut policy = policy(3, fixed(7));
        let is_retried = |policy: &RetryPolicy, category: &str| {
            decide(Some(policy), category, 0, &mut ids(1)).is_some()
        };
        for category in ["transient", "infra_crash", "timeout", "anything", ""] {
            assert!(is_retried(&policy, category), "{category}");
        }

        policy.retryable_categories = vec!["throttled".to_owned(), "timeout".to_owned()];

        assert!(is_retried(&policy, "throttled"));
        assert!(is_retried(&policy, "timeout"));
        assert!(!is_retried(&policy, "transient"));
        assert!(!is_retried(&policy, ""));
        assert!(!is_retried(&policy, "Throttled"));
    }

    #[test]
    fn each_failure_class_has_its_category() {
        for (class, category) in [
            (FailureClass::Transient, "transient"),
            (FailureClass::Permanent, "permanent"),
            (FailureClass::InfraCrash, "infra_crash"),
            (FailureClass::Timeout, "timeout"),
            (FailureClass::Cancelled, "cancelled"),
        ] {
            assert_eq!(category_of(class), category);
        }
        assert_eq!(TIMEOUT_CATEGORY, "timeout");
    }

    #[test]
    fn only_a_class_that_may_be_retried_takes_another_name() {
        for class in [FailureClass::Transient, FailureClass::InfraCrash, FailureClass::Timeout] {
            assert!(may_be_renamed(class), "{class:?}");
        }
        for class in [FailureClass::Permanent, FailureClass::Cancelled] {
            assert!(!may_be_renamed(class), "{class:?}");
        }
    }

    #[test]
    fn a_fixed_delay_stays_as_it_is() {
        assert_eq!(delay(fixed(0), 0), 0);
        assert_eq!(delay(fixed(250), 0), 250);
        assert_eq!(delay(fixed(250), 900), 250);
    }

    #[test]
    fn an_exponential_delay_starts_at_the_initial_one_and_grows_to_the_cap() {
        let delays: Vec<u64> =
            (0..6).map(|count| delay(exponential(100, 1_000, 2.0), count)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);

        let delays: Vec<u64> =
            (0..4).map(|count| delay(exponential(100, 1_000, 1.5), count)).collect();
        assert_eq!(delays, [100, 150, 225, 337]);
    }

    #[test]
    fn a_multiplier_of_one_or_less_keeps_the_initial_delay() {
        for multiplier in [1.0, 0.5, 0.0, -2.0] {
            assert_eq!(delay(exponential(100, 1_000, multiplier), 5), 100);
        }
    }

    #[test]
    fn an_initial_delay_above_the_cap_is_lowered_to_it() {
        assert_eq!(delay(exponential(500, 100, 2.0), 0), 100);
        assert_eq!(delay(exponential(500, 100, 2.0), 3), 100);
    }

    #[test]
    fn no_stored_policy_waits_longer_than_ten_years_or_overflows() {
        assert_eq!(delay(fixed(DELAY_MAX_MS), 0), DELAY_MAX_MS);
        assert_eq!(delay(fixed(DELAY_MAX_MS + 1), 0), DELAY_MAX_MS);
        assert_eq!(delay(fixed(u64::MAX), 0), DELAY_MAX_MS);
        assert_eq!(delay(exponential(1, u64::MAX, 2.0), 10_000), DELAY_MAX_MS);
        assert_eq!(delay(exponential(u64::MAX, u64::MAX, f64::MAX), 3), DELAY_MAX_MS);
        assert_eq!(delay(exponential(1, u64::MAX, f64::INFINITY), 3), DELAY_MAX_MS);
        assert_eq!(delay(exponential(0, u64::MAX, 1e300), 1_000), 0);
    }

    #[test]
    fn jitter_draws_from_the_whole_upper_half_and_from_nothing_else() {
        let jittered = policy(
            9,
            BackoffStrategy::Exponential {
                initial_delay_ms: 5,
                max_delay_ms: 1_000,
                multiplier: 2.0,
                jitter: true,
            },
        );
        let drawn = |count| {
            let delays = (0..1_000)
                .map(|seed| decide(Some(&jittered), "transient", count, &mut ids(seed)).unwrap().0);
            delays.collect::<std::collections::BTreeSet<u64>>()
        };

        assert_eq!(drawn(0).into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(drawn(1).into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn without_jitter_nothing_is_drawn() {
        let mut used = ids(1);

        decide(Some(&policy(3, exponential(100, 1_000, 2.0))), "transient", 0, &mut used);

        assert_eq!(used.lease(), ids(1).lease());
    }

    #[test]
    fn empty_text_is_no_policy() {
        for text in ["", " ", "\n\t "] {
            assert_eq!(parse(text).unwrap(), None);
        }
    }

    #[test]
    fn a_policy_is_read_with_its_defaults() {
        let read = parse(
            r#"{"max_retries": 4, "backoff": {"type": "fixed", "delay_ms": 9},
                "retryable_categories": ["timeout"]}"#,
        );
        assert_eq!(
            read.unwrap(),
            Some(RetryPolicy {
                max_retries: 4,
                backoff: fixed(9),
                retryable_categories: vec!["timeout".to_owned()],
            })
        );
        assert_eq!(
            parse(r#" {"max_retries": 1} "#).unwrap(),
            Some(RetryPolicy { max_retries: 1, ..RetryPolicy::default() })
        );
    }

    #[test]
    fn a_policy_without_a_count_retries_nothing() {
        let read = parse(r#"{"backoff": {"type": "fixed", "delay_ms": 9}}"#).unwrap().unwrap();
        assert_eq!((read.max_retries, read.backoff), (0, fixed(9)));
        assert_eq!(parse("{}").unwrap().unwrap().max_retries, 0);
    }

    #[test]
    fn what_is_no_policy_is_refused_and_says_why() {
        let told = |json: &str| match parse(json) {
            Err(EngineError::Validation { kind: ValidationKind::InvalidPolicyJson, detail }) => {
                detail
            }
            other => panic!("expected a refusal of {json}, got {other:?}"),
        };
        for (json, why) in [
            ("max_retries=3", "retry_policy_json: expected value"),
            ("{", "retry_policy_json: EOF while parsing"),
            ("[]", "retry_policy_json: expected an object such as {\"max_retries\":3}"),
            ("3", "retry_policy_json: expected an object"),
            ("null", "retry_policy_json: expected an object"),
            (r#"{"max_retries": -1}"#, "retry_policy_json: invalid value: integer `-1`"),
            (r#"{"max_retries": 1.5}"#, "retry_policy_json: invalid type: floating point"),
            (r#"{"max_retries": null}"#, "retry_policy_json: invalid type: null"),
            (r#"{"max_retries": 1001}"#, "retry_policy_json: max_retries is 1001; at most 1000"),
            (r#"{"backoff": {"type": "linear"}}"#, "retry_policy_json: unknown variant `linear`"),
        ] {
            assert!(told(json).starts_with(why), "{json}: {}", told(json));
        }
    }

    #[test]
    fn the_number_of_retries_has_a_bound() {
        assert_eq!(validate(&policy(RETRIES_MAX, fixed(1))), Ok(()));
        assert_eq!(validate(&policy(0, fixed(1))), Ok(()));
        assert_eq!(
            refused(&policy(RETRIES_MAX + 1, fixed(1))),
            "max_retries is 1001; at most 1000"
        );
    }

    #[test]
    fn a_fixed_delay_has_a_bound() {
        assert_eq!(validate(&policy(1, fixed(0))), Ok(()));
        assert_eq!(validate(&policy(1, fixed(DELAY_MAX_MS))), Ok(()));
        assert_eq!(
            refused(&policy(1, fixed(DELAY_MAX_MS + 1))),
            format!("backoff.delay_ms is {}; at most {DELAY_MAX_MS}", DELAY_MAX_MS + 1)
        );
    }

    #[test]
    fn a_multiplier_is_a_number_of_at_least_one() {
        assert_eq!(validate(&policy(1, exponential(1, 2, 1.0))), Ok(()));
        assert_eq!(validate(&policy(1, exponential(1, 2, 1e300))), Ok(()));
        for (multiplier, told) in
            [(0.999, "0.999"), (-2.0, "-2"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")]
        {
            assert_eq!(
                refused(&policy(1, exponential(1, 2, multiplier))),
                format!("backoff.multiplier is {told}; at least 1")
            );
        }
    }

    #[test]
    fn the_longest_delay_lies_between_the_initial_one_and_the_bound() {
        assert_eq!(validate(&policy(1, exponential(5, 5, 2.0))), Ok(()));
        assert_eq!(validate(&policy(1, exponential(5, DELAY_MAX_MS, 2.0))), Ok(()));
        assert_eq!(
            refused(&policy(1, exponential(5, 4, 2.0))),
            "backoff.max_delay_ms 4 is below initial_delay_ms 5"
        );
        assert_eq!(
            refused(&policy(1, exponential(5, DELAY_MAX_MS + 1, 2.0))),
            format!("backoff.max_delay_ms is {}; at most {DELAY_MAX_MS}", DELAY_MAX_MS + 1)
        );
    }
}
