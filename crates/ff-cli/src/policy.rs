//! The policy of an execution from flags: retries, back-off, timeouts, capabilities.

use std::collections::BTreeSet;
use std::time::Duration;

use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements, TimeoutPolicy,
};
use ff_core::types::BudgetId;

use crate::duration;
use crate::time::millis;

/// How often an execution may take its worker down unless the flags say otherwise. A command that
/// kills its worker each time is ended after this many, visibly, instead of going round for ever.
pub(crate) const MAX_RECLAIMS: u32 = 3;

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Retries after the first attempt.
    pub(crate) retries: Option<u32>,
    /// How long a retry waits.
    pub(crate) backoff: Option<BackoffStrategy>,
    /// How long one attempt may run.
    pub(crate) attempt_timeout: Option<Duration>,
    /// How often a lost worker is replaced.
    pub(crate) max_reclaims: Option<u32>,
    /// What a worker must offer.
    pub(crate) capabilities: BTreeSet<String>,
    /// What it spends from.
    pub(crate) budgets: Vec<BudgetId>,
}

impl Wishes {
    /// The engine's policy for it.
    pub(crate) fn policy(&self) -> ExecutionPolicy {
        let max_reclaim_count = self.max_reclaims.unwrap_or(MAX_RECLAIMS);
        // A policy without a retry policy retries nothing, so a back-off alone means the default retries.
        let retry_policy =
            (self.retries.is_some() || self.backoff.is_some()).then(|| RetryPolicy {
                max_retries: self.retries.unwrap_or_else(|| RetryPolicy::default().max_retries),
                backoff: self.backoff.clone().unwrap_or_default(),
                ..RetryPolicy::default()
            });
        ExecutionPolicy {
            retry_policy,
            timeout_policy: self.attempt_timeout.map(|span| TimeoutPolicy {
                attempt_timeout_ms: Some(millis(span)),
                execution_deadline_ms: None,
                max_reclaim_count,
            }),
            max_reclaim_count,
            routing_requirements: (!self.capabilities.is_empty()).then(|| RoutingRequirements {
                required_capabilities: self.capabilities.clone(),
                ..RoutingRequirements::default()
            }),
            budget_ids: self.budgets.clone(),
            ..ExecutionPolicy::default()
        }
    }
}

/// Reads `fixed:5s`, `exp:1s..60s` or `exp:1s..60s*2.5`.
pub(crate) fn parse_backoff(text: &str) -> Result<BackoffStrategy, String> {
    let hint = "write fixed:5s, exp:1s..60s or exp:1s..60s*2.5";
    let refused = |why: String| format!("{why}: {hint}");
    match text.split_once(':') {
        Some(("fixed", delay)) => {
            let delay = duration::parse(delay).map_err(refused)?;
            Ok(BackoffStrategy::Fixed { delay_ms: millis(delay) })
        }
        Some(("exp", range)) => {
            let (range, multiplier) = match range.split_once('*') {
                Some((range, factor)) => {
                    let factor: f64 = factor
                        .parse()
                        .map_err(|_| refused(format!("`{factor}` is not a multiplier")))?;
                    (range, factor)
                }
                None => (range, 2.0),
            };
            let (first, last) = range
                .split_once("..")
                .ok_or_else(|| refused(format!("`{range}` is not a range of durations")))?;
            let first = duration::parse(first).map_err(refused)?;
            let last = duration::parse(last).map_err(refused)?;
            if last < first {
                return Err(refused(format!("`{range}` ends before it begins")));
            }
            if !multiplier.is_finite() || multiplier < 1.0 {
                return Err(refused(format!("a multiplier of {multiplier} does not grow")));
            }
            Ok(BackoffStrategy::Exponential {
                initial_delay_ms: millis(first),
                max_delay_ms: millis(last),
                multiplier,
                jitter: false,
            })
        }
        _ => Err(refused(format!("`{text}` is not a back-off"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_is_fixed_or_grows_to_its_cap() {
        assert_eq!(parse_backoff("fixed:5s"), Ok(BackoffStrategy::Fixed { delay_ms: 5_000 }));
        assert_eq!(
            parse_backoff("exp:1s..60s"),
            Ok(BackoffStrategy::Exponential {
                initial_delay_ms: 1_000,
                max_delay_ms: 60_000,
                multiplier: 2.0,
                jitter: false
            })
        );
        assert_eq!(
            parse_backoff("exp:100ms..1m30s*2.5"),
            Ok(BackoffStrategy::Exponential {
                initial_delay_ms: 100,
                max_delay_ms: 90_000,
                multiplier: 2.5,
                jitter: false
            })
        );
    }

    #[test]
    fn what_is_no_backoff_is_refused() {
        for text in [
            "",
            "5s",
            "fixed",
            "fixed:5",
            "exp:1s",
            "exp:1s..",
            "exp:60s..1s",
            "exp:1s..2",
            "lin:1s",
            "exp:1s..2s*",
            "exp:1s..2s*x",
            "exp:1s..2s*0.5",
            "exp:1s..2s*NaN",
            "exp:1s..2s*inf",
        ] {
            assert!(parse_backoff(text).unwrap_err().contains("fixed:5s"), "{text}");
        }
    }

    #[test]
    fn a_policy_says_what_the_flags_say_and_bounds_reclaims() {
        let plain = Wishes::default().policy();
        assert_eq!((plain.max_reclaim_count, plain.retry_policy), (MAX_RECLAIMS, None));
        assert_eq!(plain.timeout_policy, None);

        let wishes = Wishes {
            retries: Some(5),
            attempt_timeout: Some(Duration::from_secs(2)),
            max_reclaims: Some(7),
            capabilities: ["gpu".to_owned()].into(),
            ..Wishes::default()
        };
        let policy = wishes.policy();
        assert_eq!(policy.retry_policy.unwrap().max_retries, 5);
        let timeout = policy.timeout_policy.unwrap();
        assert_eq!((timeout.attempt_timeout_ms, timeout.max_reclaim_count), (Some(2_000), 7));
        assert!(policy.routing_requirements.unwrap().required_capabilities.contains("gpu"));

        let backoff =
            Wishes { backoff: Some(parse_backoff("fixed:1s").unwrap()), ..Wishes::default() };
        assert_eq!(backoff.policy().retry_policy.unwrap().max_retries, 3);
    }
}
