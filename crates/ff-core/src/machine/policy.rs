//! What a policy may say, and what it means for one execution.

use super::limits::{DELAY_MAX_MS, RECLAIMS_WITHOUT_POLICY};
use super::retry;
use super::rows::Execution;
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::policy::ExecutionPolicy;
use crate::types::{DurationMs, TimestampMs};

/// Refuses a policy that cannot do what it says: a value out of bounds, or a field that this
/// engine does not act on. Nothing in a policy is ignored.
pub fn validate(policy: &ExecutionPolicy) -> Result<(), EngineError> {
    let refused = |detail: String| {
        Err(EngineError::Validation { kind: ValidationKind::InvalidPolicyJson, detail })
    };
    if let Some(field) = unsupported(policy) {
        return refused(format!("policy.{field} is not supported by this engine; leave it out"));
    }
    if let Some(retry) = &policy.retry_policy
        && let Err(why) = retry::validate(retry)
    {
        return refused(format!("policy.retry_policy.{why}"));
    }
    if let Some(timeout) = &policy.timeout_policy {
        for (field, value) in [
            ("attempt_timeout_ms", timeout.attempt_timeout_ms),
            ("execution_deadline_ms", timeout.execution_deadline_ms),
        ] {
            if value.is_some_and(|ms| ms == 0 || ms > DELAY_MAX_MS) {
                return refused(format!(
                    "policy.timeout_policy.{field} is {}; give 1 to {DELAY_MAX_MS} ms",
                    value.unwrap_or_default()
                ));
            }
        }
    }
    if policy.dedup_window_ms.is_some_and(|ms| ms == 0 || ms > DELAY_MAX_MS) {
        return refused(format!("policy.dedup_window_ms: give 1 to {DELAY_MAX_MS} ms"));
    }
    Ok(())
}

/// The first field of the policy that this engine would have to ignore.
fn unsupported(policy: &ExecutionPolicy) -> Option<&'static str> {
    let routing = policy.routing_requirements.as_ref();
    let inert = [
        ("suspension_policy", policy.suspension_policy.is_some()),
        ("fallback_policy", policy.fallback_policy.is_some()),
        ("budget_ids", !policy.budget_ids.is_empty()),
        ("stream_policy", policy.stream_policy.is_some()),
        (
            "max_signals_per_execution",
            policy.max_signals_per_execution
                != ExecutionPolicy::default().max_signals_per_execution,
        ),
        (
            "routing_requirements.preferred_locality",
            routing.is_some_and(|routing| routing.preferred_locality.is_some()),
        ),
        (
            "routing_requirements.isolation_level",
            routing.is_some_and(|routing| routing.isolation_level.is_some()),
        ),
    ];
    inert.into_iter().find(|(_, given)| *given).map(|(field, _)| field)
}

/// The deadline of an execution created at `created_at`: the earlier of the one given and the one
/// its policy implies.
pub fn deadline(
    policy: Option<&ExecutionPolicy>,
    given: Option<TimestampMs>,
    created_at: TimestampMs,
) -> Option<TimestampMs> {
    let implied = policy
        .and_then(|policy| policy.timeout_policy.as_ref())
        .and_then(|timeout| timeout.execution_deadline_ms)
        .map(|ms| later(created_at, DurationMs(ms)));
    [given, implied].into_iter().flatten().min()
}

/// How long one attempt may run.
pub fn attempt_timeout(execution: &Execution) -> Option<DurationMs> {
    execution.policy.as_ref()?.timeout_policy.as_ref()?.attempt_timeout_ms.map(DurationMs)
}

/// How many reclaims an execution survives: the smaller of the two places a policy may say it;
/// without a policy `otherwise`, or [`RECLAIMS_WITHOUT_POLICY`].
pub fn reclaim_cap(execution: &Execution, otherwise: Option<u32>) -> u32 {
    match &execution.policy {
        Some(policy) => {
            policy.timeout_policy.as_ref().map_or(policy.max_reclaim_count, |timeout| {
                timeout.max_reclaim_count.min(policy.max_reclaim_count)
            })
        }
        None => otherwise.unwrap_or(RECLAIMS_WITHOUT_POLICY),
    }
}

/// How often an execution may be replayed.
pub fn replay_cap(execution: &Execution) -> u32 {
    execution.policy.as_ref().map_or_else(
        || ExecutionPolicy::default().max_replay_count,
        |policy| policy.max_replay_count,
    )
}

/// `at` moved `by` later, without wrapping.
pub fn later(at: TimestampMs, by: DurationMs) -> TimestampMs {
    TimestampMs(at.0.saturating_add(i64::try_from(by.0).unwrap_or(i64::MAX)))
}

/// The time from `from` until `until`; zero when it has passed.
pub fn until(from: TimestampMs, until: TimestampMs) -> DurationMs {
    DurationMs(u64::try_from(until.0.saturating_sub(from.0)).unwrap_or(0))
}
