//! What a caller may ask of an execution: retries, deadlines, routing and limits. Data only; the
//! machine holds it to its limits.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::{BudgetId, TimestampMs};

/// The longest list of capabilities written as CSV, in bytes, inclusive.
pub const CAPS_MAX_BYTES: usize = 4096;

/// The most capabilities a worker may have or an execution may require.
pub const CAPS_MAX_TOKENS: usize = 256;

/// Says how often and how soon a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// Retries after the first attempt; 0 means one attempt in all.
    pub max_retries: u32,
    pub backoff: BackoffStrategy,
    /// Failure categories that may retry; empty means all.
    pub retryable_categories: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            backoff: BackoffStrategy::default(),
            retryable_categories: Vec::new(),
        }
    }
}

/// Says how long a retry waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BackoffStrategy {
    Fixed {
        delay_ms: u64,
    },
    Exponential {
        initial_delay_ms: u64,
        max_delay_ms: u64,
        multiplier: f64,
        #[serde(default)]
        jitter: bool,
    },
}

impl Default for BackoffStrategy {
    fn default() -> Self {
        Self::Exponential {
            initial_delay_ms: 1_000,
            max_delay_ms: 60_000,
            multiplier: 2.0,
            jitter: false,
        }
    }
}

/// Bounds an attempt and the whole execution in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeoutPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_deadline_ms: Option<u64>,
    #[serde(default = "max_reclaim_count")]
    pub max_reclaim_count: u32,
}

const fn max_reclaim_count() -> u32 {
    100
}

/// Says what becomes of a suspension that names no deadline of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuspensionPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_timeout_ms: Option<u64>,
    /// `"fail"` or `"cancel"`.
    #[serde(default = "timeout_behavior")]
    pub timeout_behavior: String,
}

fn timeout_behavior() -> String {
    "fail".to_owned()
}

/// The providers to try in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FallbackPolicy {
    pub tiers: Vec<FallbackTier>,
}

/// One provider of a [`FallbackPolicy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FallbackTier {
    pub provider: String,
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Restricts who may claim: a worker must have every required capability.
///
/// ```
/// use ff_core::policy::RoutingRequirements;
///
/// let routing = RoutingRequirements {
///     required_capabilities: ["gpu".to_owned()].into(),
///     ..Default::default()
/// };
/// assert_eq!(routing.preferred_locality, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingRequirements {
    #[serde(default)]
    pub required_capabilities: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_locality: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_level: Option<String>,
}

/// Says how long and how safely an attempt's stream is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamPolicy {
    /// `"buffered"` or `"durable"`.
    #[serde(default = "durability_mode")]
    pub durability_mode: String,
    #[serde(default = "retention_maxlen")]
    pub retention_maxlen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ttl_ms: Option<u64>,
}

fn durability_mode() -> String {
    "buffered".to_owned()
}

const fn retention_maxlen() -> u64 {
    10_000
}

/// All that a caller may ask of one execution; every part has a default.
///
/// ```
/// use ff_core::policy::{ExecutionPolicy, RetryPolicy};
///
/// let policy = ExecutionPolicy {
///     priority: 50,
///     retry_policy: Some(RetryPolicy { max_retries: 5, ..Default::default() }),
///     ..Default::default()
/// };
/// assert_eq!(policy.max_replay_count, 10);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutionPolicy {
    pub priority: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_until: Option<TimestampMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_policy: Option<TimeoutPolicy>,
    pub max_reclaim_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension_policy: Option<SuspensionPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_policy: Option<FallbackPolicy>,
    pub max_replay_count: u32,
    pub budget_ids: Vec<BudgetId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_requirements: Option<RoutingRequirements>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedup_window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_policy: Option<StreamPolicy>,
    pub max_signals_per_execution: u32,
}

impl Default for ExecutionPolicy {
    fn default() -> Self {
        Self {
            priority: 0,
            delay_until: None,
            retry_policy: None,
            timeout_policy: None,
            max_reclaim_count: max_reclaim_count(),
            suspension_policy: None,
            fallback_policy: None,
            max_replay_count: 10,
            budget_ids: Vec::new(),
            routing_requirements: None,
            dedup_window_ms: None,
            stream_policy: None,
            max_signals_per_execution: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_object_is_the_default_policy() {
        let policy: ExecutionPolicy = serde_json::from_value(json!({})).unwrap();
        assert_eq!(policy, ExecutionPolicy::default());
        let retry: RetryPolicy = serde_json::from_value(json!({})).unwrap();
        assert_eq!(retry, RetryPolicy::default());
        let timeout: TimeoutPolicy = serde_json::from_value(json!({})).unwrap();
        assert_eq!(timeout.max_reclaim_count, 100);
        let suspension: SuspensionPolicy = serde_json::from_value(json!({})).unwrap();
        assert_eq!(suspension.timeout_behavior, "fail");
        let stream: StreamPolicy = serde_json::from_value(json!({})).unwrap();
        assert_eq!(
            (stream.durability_mode.as_str(), stream.retention_maxlen),
            ("buffered", 10_000)
        );
        let routing: RoutingRequirements = serde_json::from_value(json!({})).unwrap();
        assert_eq!(routing, RoutingRequirements::default());
    }

    #[test]
    fn absent_options_are_left_out_of_json() {
        assert_eq!(
            serde_json::to_value(ExecutionPolicy::default()).unwrap(),
            json!({
                "priority": 0,
                "max_reclaim_count": 100,
                "max_replay_count": 10,
                "budget_ids": [],
                "max_signals_per_execution": 10_000,
            })
        );
        assert_eq!(
            serde_json::to_value(RoutingRequirements::default()).unwrap(),
            json!({ "required_capabilities": [] })
        );
    }

    #[test]
    fn a_backoff_is_tagged_by_its_type() {
        let fixed = BackoffStrategy::Fixed { delay_ms: 5 };
        assert_eq!(
            serde_json::to_value(&fixed).unwrap(),
            json!({ "type": "fixed", "delay_ms": 5 })
        );
        let read: BackoffStrategy = serde_json::from_value(json!({
            "type": "exponential",
            "initial_delay_ms": 1_000,
            "max_delay_ms": 60_000,
            "multiplier": 2.0,
        }))
        .unwrap();
        assert_eq!(read, BackoffStrategy::default());
        for refused in
            [json!({ "delay_ms": 5 }), json!({ "type": "linear" }), json!({ "type": "fixed" })]
        {
            assert!(serde_json::from_value::<BackoffStrategy>(refused).is_err());
        }
    }

    #[test]
    fn a_full_policy_survives_json() {
        let policy = ExecutionPolicy {
            priority: -3,
            delay_until: Some(TimestampMs(17)),
            retry_policy: Some(RetryPolicy::default()),
            timeout_policy: Some(TimeoutPolicy {
                attempt_timeout_ms: Some(1),
                execution_deadline_ms: None,
                max_reclaim_count: 2,
            }),
            suspension_policy: Some(SuspensionPolicy {
                default_timeout_ms: Some(3),
                timeout_behavior: "cancel".to_owned(),
            }),
            fallback_policy: Some(FallbackPolicy {
                tiers: vec![FallbackTier {
                    provider: "p".to_owned(),
                    model: "m".to_owned(),
                    timeout_ms: None,
                }],
            }),
            budget_ids: vec![BudgetId::from_uuid(uuid::Uuid::nil())],
            routing_requirements: Some(RoutingRequirements {
                required_capabilities: ["gpu".to_owned()].into(),
                ..Default::default()
            }),
            dedup_window_ms: Some(9),
            stream_policy: Some(StreamPolicy {
                durability_mode: "durable".to_owned(),
                retention_maxlen: 1,
                retention_ttl_ms: Some(2),
            }),
            ..Default::default()
        };
        let text = serde_json::to_string(&policy).unwrap();
        assert!(!text.contains("null"));
        assert_eq!(serde_json::from_str::<ExecutionPolicy>(&text).unwrap(), policy);
    }
}
