//! What a policy may say, and what it means for one execution.

use super::limits::{
    BUDGETS_PER_EXECUTION_MAX, DELAY_MAX_MS, DURABLE_FRAMES_KEPT_MAX, RECLAIMS_WITHOUT_POLICY,
    SIGNALS_PER_EXECUTION_MAX,
};
use super::retry;
use super::rows::Execution;
use crate::EngineError;
use crate::contracts::TimeoutBehavior;
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
    if policy.budget_ids.len() > BUDGETS_PER_EXECUTION_MAX {
        return refused(format!(
            "policy.budget_ids names {} budgets; at most {BUDGETS_PER_EXECUTION_MAX}",
            policy.budget_ids.len()
        ));
    }
    if let Some(stream) = &policy.stream_policy {
        if !["buffered", "durable"].contains(&stream.durability_mode.as_str()) {
            return refused(format!(
                "policy.stream_policy.durability_mode is `{}`; give `buffered` or `durable`",
                stream.durability_mode
            ));
        }
        if stream.retention_maxlen > DURABLE_FRAMES_KEPT_MAX {
            return refused(format!(
                "policy.stream_policy.retention_maxlen is {}; give at most \
                 {DURABLE_FRAMES_KEPT_MAX}",
                stream.retention_maxlen
            ));
        }
    }
    if policy.dedup_window_ms.is_some_and(|ms| ms == 0 || ms > DELAY_MAX_MS) {
        return refused(format!("policy.dedup_window_ms: give 1 to {DELAY_MAX_MS} ms"));
    }
    let frames_stay = policy.stream_policy.as_ref().and_then(|stream| stream.retention_ttl_ms);
    if frames_stay.is_some_and(|ms| ms == 0 || ms > DELAY_MAX_MS) {
        return refused(format!(
            "policy.stream_policy.retention_ttl_ms: give 1 to {DELAY_MAX_MS} ms"
        ));
    }
    let signals = u64::from(policy.max_signals_per_execution);
    if signals == 0 || signals > SIGNALS_PER_EXECUTION_MAX {
        return refused(format!(
            "policy.max_signals_per_execution is {signals}; give 1 to {SIGNALS_PER_EXECUTION_MAX}"
        ));
    }
    if let Some(suspension) = &policy.suspension_policy {
        if suspension.default_timeout_ms.is_some_and(|ms| ms == 0 || ms > DELAY_MAX_MS) {
            return refused(format!(
                "policy.suspension_policy.default_timeout_ms: give 1 to {DELAY_MAX_MS} ms"
            ));
        }
        let word = &suspension.timeout_behavior;
        if timeout_behavior(word).is_none() {
            return refused(format!(
                "policy.suspension_policy.timeout_behavior is {word:?}; give \"fail\", \"cancel\", \
                 \"expire\", \"auto_resume_with_timeout_signal\" or \"escalate\""
            ));
        }
    }
    Ok(())
}

/// What a suspension's timeout does, by its stored word.
pub fn timeout_behavior(word: &str) -> Option<TimeoutBehavior> {
    Some(match word {
        "fail" => TimeoutBehavior::Fail,
        "cancel" => TimeoutBehavior::Cancel,
        "expire" => TimeoutBehavior::Expire,
        "auto_resume_with_timeout_signal" | "auto_resume" => {
            TimeoutBehavior::AutoResumeWithTimeoutSignal
        }
        "escalate" => TimeoutBehavior::Escalate,
        _ => return None,
    })
}

/// The timeout of a suspension that names none.
pub fn default_suspension_timeout(execution: &Execution) -> Option<(DurationMs, TimeoutBehavior)> {
    let policy = execution.policy.as_ref()?.suspension_policy.as_ref()?;
    let behavior = timeout_behavior(&policy.timeout_behavior).unwrap_or(TimeoutBehavior::Fail);
    Some((DurationMs(policy.default_timeout_ms?), behavior))
}

/// The first field of the policy that this engine would have to ignore.
fn unsupported(policy: &ExecutionPolicy) -> Option<&'static str> {
    let routing = policy.routing_requirements.as_ref();
    let inert = [
        ("fallback_policy", policy.fallback_policy.is_some()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{execution, refusal};
    use crate::policy::{
        BackoffStrategy, FallbackPolicy, RetryPolicy, RoutingRequirements, StreamPolicy,
        SuspensionPolicy, TimeoutPolicy,
    };
    use crate::types::BudgetId;

    fn timeout(attempt: Option<u64>, deadline: Option<u64>, reclaims: u32) -> TimeoutPolicy {
        TimeoutPolicy {
            attempt_timeout_ms: attempt,
            execution_deadline_ms: deadline,
            max_reclaim_count: reclaims,
        }
    }

    fn with_timeout(timeout: TimeoutPolicy) -> ExecutionPolicy {
        ExecutionPolicy { timeout_policy: Some(timeout), ..ExecutionPolicy::default() }
    }

    fn told(policy: &ExecutionPolicy) -> String {
        refusal(validate(policy))
    }

    #[test]
    fn a_policy_within_its_bounds_is_accepted() {
        assert!(validate(&ExecutionPolicy::default()).is_ok());
        let policy = ExecutionPolicy {
            retry_policy: Some(RetryPolicy::default()),
            routing_requirements: Some(RoutingRequirements {
                required_capabilities: ["gpu".to_owned()].into(),
                ..RoutingRequirements::default()
            }),
            dedup_window_ms: Some(1),
            ..with_timeout(timeout(Some(1), Some(DELAY_MAX_MS), 0))
        };
        assert!(validate(&policy).is_ok());
    }

    #[test]
    fn an_execution_is_bound_to_sixteen_budgets_at_most() {
        let bound_to = |count| ExecutionPolicy {
            budget_ids: vec![BudgetId::from_uuid(uuid::Uuid::nil()); count],
            ..ExecutionPolicy::default()
        };
        assert!(validate(&bound_to(BUDGETS_PER_EXECUTION_MAX)).is_ok());
        assert_eq!(
            told(&bound_to(BUDGETS_PER_EXECUTION_MAX + 1)),
            "validation: InvalidPolicyJson: policy.budget_ids names 17 budgets; at most 16"
        );
    }

    #[test]
    fn what_a_policy_says_of_waiting_is_bounded() {
        let with = |default_timeout_ms, behavior: &str| ExecutionPolicy {
            suspension_policy: Some(SuspensionPolicy {
                default_timeout_ms,
                timeout_behavior: behavior.to_owned(),
            }),
            ..ExecutionPolicy::default()
        };
        let signals =
            |max| ExecutionPolicy { max_signals_per_execution: max, ..ExecutionPolicy::default() };
        let most = u32::try_from(SIGNALS_PER_EXECUTION_MAX).unwrap();
        for word in ["fail", "cancel", "expire", "auto_resume", "escalate"] {
            assert!(validate(&with(None, word)).is_ok());
        }
        assert!(validate(&with(Some(DELAY_MAX_MS), "fail")).is_ok());
        assert!(validate(&signals(1)).is_ok() && validate(&signals(most)).is_ok());
        for refused in [
            with(Some(0), "fail"),
            with(Some(DELAY_MAX_MS + 1), "fail"),
            with(None, "sleep"),
            signals(0),
            signals(most + 1),
        ] {
            assert!(told(&refused).starts_with("validation: InvalidPolicyJson"));
        }
    }

    #[test]
    fn a_field_that_would_be_ignored_is_refused_by_name() {
        let empty = ExecutionPolicy::default;
        let routing = RoutingRequirements::default;
        for (field, policy) in [
            (
                "fallback_policy",
                ExecutionPolicy {
                    fallback_policy: Some(FallbackPolicy { tiers: Vec::new() }),
                    ..empty()
                },
            ),
            (
                "routing_requirements.preferred_locality",
                ExecutionPolicy {
                    routing_requirements: Some(RoutingRequirements {
                        preferred_locality: Some("eu".to_owned()),
                        ..routing()
                    }),
                    ..empty()
                },
            ),
            (
                "routing_requirements.isolation_level",
                ExecutionPolicy {
                    routing_requirements: Some(RoutingRequirements {
                        isolation_level: Some("vm".to_owned()),
                        ..routing()
                    }),
                    ..empty()
                },
            ),
        ] {
            assert_eq!(
                told(&policy),
                format!(
                    "validation: InvalidPolicyJson: policy.{field} is not supported by this \
                     engine; leave it out"
                )
            );
        }
    }

    #[test]
    fn frames_stay_from_a_millisecond_to_the_longest_delay() {
        let with = |ms| ExecutionPolicy {
            stream_policy: Some(StreamPolicy {
                durability_mode: "durable".to_owned(),
                retention_maxlen: 0,
                retention_ttl_ms: Some(ms),
            }),
            ..ExecutionPolicy::default()
        };
        for ms in [1, DELAY_MAX_MS] {
            assert!(validate(&with(ms)).is_ok());
        }
        for ms in [0, DELAY_MAX_MS + 1] {
            assert!(told(&with(ms)).contains("retention_ttl_ms: give 1 to"), "{ms}");
        }
    }

    #[test]
    fn a_stream_keeps_up_to_a_hundred_thousand_frames_in_two_modes() {
        let with = |mode: &str, retention_maxlen| ExecutionPolicy {
            stream_policy: Some(StreamPolicy {
                durability_mode: mode.to_owned(),
                retention_maxlen,
                retention_ttl_ms: None,
            }),
            ..ExecutionPolicy::default()
        };
        for (mode, length) in [("buffered", 0), ("durable", 1), ("durable", 100_000)] {
            assert!(validate(&with(mode, length)).is_ok());
        }
        assert_eq!(
            told(&with("durable", 100_001)),
            "validation: InvalidPolicyJson: policy.stream_policy.retention_maxlen is 100001; give \
             at most 100000"
        );
        assert_eq!(
            told(&with("lossy", 1)),
            "validation: InvalidPolicyJson: policy.stream_policy.durability_mode is `lossy`; give \
             `buffered` or `durable`"
        );
    }

    #[test]
    fn a_retry_policy_out_of_bounds_is_refused() {
        let retry = RetryPolicy {
            backoff: BackoffStrategy::Fixed { delay_ms: DELAY_MAX_MS + 1 },
            ..RetryPolicy::default()
        };
        let policy = ExecutionPolicy { retry_policy: Some(retry), ..ExecutionPolicy::default() };

        let told = told(&policy);

        let expected = "validation: InvalidPolicyJson: policy.retry_policy.backoff.delay_ms is";
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn times_lie_between_a_millisecond_and_ten_years() {
        for ms in [0, DELAY_MAX_MS + 1] {
            assert_eq!(
                told(&with_timeout(timeout(Some(ms), None, 1))),
                format!(
                    "validation: InvalidPolicyJson: policy.timeout_policy.attempt_timeout_ms is \
                     {ms}; give 1 to {DELAY_MAX_MS} ms"
                )
            );
            assert_eq!(
                told(&with_timeout(timeout(None, Some(ms), 1))),
                format!(
                    "validation: InvalidPolicyJson: policy.timeout_policy.execution_deadline_ms \
                     is {ms}; give 1 to {DELAY_MAX_MS} ms"
                )
            );
            let policy =
                ExecutionPolicy { dedup_window_ms: Some(ms), ..ExecutionPolicy::default() };
            assert_eq!(
                told(&policy),
                format!(
                    "validation: InvalidPolicyJson: policy.dedup_window_ms: give 1 to \
                     {DELAY_MAX_MS} ms"
                )
            );
        }
        for ms in [1, DELAY_MAX_MS] {
            assert!(validate(&with_timeout(timeout(Some(ms), Some(ms), 1))).is_ok());
            let policy =
                ExecutionPolicy { dedup_window_ms: Some(ms), ..ExecutionPolicy::default() };
            assert!(validate(&policy).is_ok());
        }
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let (created, implied) = (TimestampMs(1_000), with_timeout(timeout(None, Some(500), 1)));
        let at = |ms| Some(TimestampMs(ms));

        assert_eq!(deadline(None, None, created), None);
        assert_eq!(deadline(Some(&ExecutionPolicy::default()), None, created), None);
        assert_eq!(deadline(None, at(7), created), at(7));
        assert_eq!(deadline(Some(&implied), None, created), at(1_500));
        assert_eq!(deadline(Some(&implied), at(1_499), created), at(1_499));
        assert_eq!(deadline(Some(&implied), at(1_501), created), at(1_500));
    }

    #[test]
    fn the_smaller_reclaim_cap_of_a_policy_counts() {
        let cap = |policy, otherwise| reclaim_cap(&Execution { policy, ..execution() }, otherwise);
        let both = |own, in_timeout| {
            let policy = with_timeout(timeout(None, None, in_timeout));
            Some(ExecutionPolicy { max_reclaim_count: own, ..policy })
        };

        assert_eq!(cap(None, None), 1_000);
        assert_eq!(cap(None, Some(3)), 3);
        assert_eq!(cap(Some(ExecutionPolicy::default()), Some(3)), 100);
        assert_eq!(cap(both(5, 7), None), 5);
        assert_eq!(cap(both(7, 5), Some(1)), 5);
    }

    #[test]
    fn replays_and_attempt_times_come_from_the_policy() {
        let with = |policy| Execution { policy, ..execution() };
        assert_eq!(replay_cap(&with(None)), 10);
        let twice = ExecutionPolicy { max_replay_count: 2, ..ExecutionPolicy::default() };
        assert_eq!(replay_cap(&with(Some(twice))), 2);

        assert_eq!(attempt_timeout(&with(None)), None);
        let timed = with(Some(with_timeout(timeout(Some(9), None, 1))));
        assert_eq!(attempt_timeout(&timed), Some(DurationMs(9)));
    }

    #[test]
    fn instants_saturate() {
        assert_eq!(later(TimestampMs(5), DurationMs(3)), TimestampMs(8));
        assert_eq!(later(TimestampMs(5), DurationMs(u64::MAX)), TimestampMs(i64::MAX));
        assert_eq!(until(TimestampMs(3), TimestampMs(8)), DurationMs(5));
        assert_eq!(until(TimestampMs(8), TimestampMs(3)), DurationMs(0));
        let whole = until(TimestampMs(i64::MIN), TimestampMs(i64::MAX));
        assert_eq!(whole, DurationMs(u64::try_from(i64::MAX).unwrap()));
    }
}
