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
