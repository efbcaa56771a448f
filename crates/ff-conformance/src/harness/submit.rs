//! Submitting, as a client does.

use std::collections::HashMap;
use std::future::IntoFuture;

use ff_core::EngineError;
use ff_core::contracts::{CreateExecutionArgs, CreateExecutionResult};
use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements, TimeoutPolicy,
};
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs};

use super::{Bench, BoxFuture, LANE};

impl Bench {
    /// Submits an execution; `.await` it for its id.
    pub fn submit(&self) -> Submit<'_> {
        Submit {
            bench: self,
            args: CreateExecutionArgs {
                execution_id: self.new_id(),
                namespace: Namespace::new("tenant"),
                lane_id: LaneId::new(LANE),
                execution_kind: "kind".to_owned(),
                input_payload: b"input".to_vec(),
                payload_encoding: None,
                priority: 0,
                creator_identity: "suite".to_owned(),
                idempotency_key: None,
                tags: HashMap::new(),
                policy: None,
                delay_until: None,
                execution_deadline_at: None,
                partition_id: 0,
                now: self.now(),
            },
        }
    }
}

/// An execution on its way to its lane.
#[derive(Debug)]
#[must_use = "nothing is submitted until it is awaited"]
pub struct Submit<'a> {
    bench: &'a Bench,
    args: CreateExecutionArgs,
}

impl Submit<'_> {
    /// Under this id.
    pub fn id(mut self, id: &ExecutionId) -> Self {
        self.args.execution_id = id.clone();
        self
    }

    /// Of this kind.
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.args.execution_kind);
        self
    }

    /// On this lane.
    pub fn lane(mut self, lane: &str) -> Self {
        self.args.lane_id = LaneId::new(lane);
        self
    }

    /// In this namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.args.namespace = Namespace::new(namespace);
        self
    }

    /// By this creator.
    pub fn creator(mut self, creator: &str) -> Self {
        creator.clone_into(&mut self.args.creator_identity);
        self
    }

    /// With this priority.
    pub fn priority(mut self, priority: i32) -> Self {
        self.args.priority = priority;
        self
    }

    /// With this input.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.args.input_payload = payload.to_vec();
        self
    }

    /// With an input of this encoding.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.args.payload_encoding = Some(encoding.to_owned());
        self
    }

    /// Under this idempotency key.
    pub fn key(mut self, key: &str) -> Self {
        self.args.idempotency_key = Some(key.to_owned());
        self
    }

    /// With this tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.args.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Not before this instant.
    pub fn delay_until(mut self, at: TimestampMs) -> Self {
        self.args.delay_until = Some(at);
        self
    }

    /// To end by this instant.
    pub fn deadline(mut self, at: TimestampMs) -> Self {
        self.args.execution_deadline_at = Some(at);
        self
    }

    /// With the policy as `change` leaves it.
    pub fn policy(mut self, change: impl FnOnce(&mut ExecutionPolicy)) -> Self {
        change(self.args.policy.get_or_insert_with(ExecutionPolicy::default));
        self
    }

    /// With these retries.
    pub fn retries(self, retry: RetryPolicy) -> Self {
        self.policy(|policy| policy.retry_policy = Some(retry))
    }

    /// With at most this time for one attempt.
    pub fn attempt_timeout(self, ms: u64) -> Self {
        self.timeouts(|timeouts| timeouts.attempt_timeout_ms = Some(ms))
    }

    /// With the timeouts as `change` leaves them.
    pub fn timeouts(self, change: impl FnOnce(&mut TimeoutPolicy)) -> Self {
        self.policy(|policy| {
            change(policy.timeout_policy.get_or_insert(TimeoutPolicy {
                attempt_timeout_ms: None,
                execution_deadline_ms: None,
                max_reclaim_count: 100,
            }));
        })
    }

    /// With at most this many reclaims.
    pub fn reclaims(self, max: u32) -> Self {
        self.policy(|policy| policy.max_reclaim_count = max)
    }

    /// For workers with these capabilities.
    pub fn needs(self, tokens: &[&str]) -> Self {
        let required = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.policy(|policy| {
            policy.routing_requirements = Some(RoutingRequirements {
                required_capabilities: required,
                preferred_locality: None,
                isolation_level: None,
            });
        })
    }

    /// The call itself.
    pub fn args(self) -> CreateExecutionArgs {
        self.args
    }

    /// The engine's answer.
    pub async fn answer(self) -> Result<CreateExecutionResult, EngineError> {
        self.bench.engine.create_execution(self.args).await
    }
}

impl<'a> IntoFuture for Submit<'a> {
    type Output = ExecutionId;
    type IntoFuture = BoxFuture<'a, ExecutionId>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let wanted = self.args.execution_id.clone();
            match self.answer().await.expect("created") {
                CreateExecutionResult::Created { execution_id, .. } => {
                    assert_eq!(execution_id, wanted);
                    execution_id
                }
                CreateExecutionResult::Duplicate { execution_id } => {
                    panic!("a duplicate of {execution_id}")
                }
            }
        })
    }
}

/// Retries `max_retries` times after a fixed delay.
pub fn fixed(max_retries: u32, delay_ms: u64) -> RetryPolicy {
    RetryPolicy {
        max_retries,
        backoff: BackoffStrategy::Fixed { delay_ms },
        retryable_categories: Vec::new(),
    }
}

/// Retries `max_retries` times, each after twice the delay of the one before, up to `cap_ms`.
pub fn doubling(max_retries: u32, initial_delay_ms: u64, cap_ms: u64) -> RetryPolicy {
    RetryPolicy {
        max_retries,
        backoff: BackoffStrategy::Exponential {
            initial_delay_ms,
            max_delay_ms: cap_ms,
            multiplier: 2.0,
            jitter: false,
        },
        retryable_categories: Vec::new(),
    }
}
