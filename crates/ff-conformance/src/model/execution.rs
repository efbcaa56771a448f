//! Executions in random sequences: born, ended, steered and read.

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::backend::{FailureClass, FailureReason};
use ff_core::contracts::*;
use ff_core::partition::PartitionKey;
use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, FallbackPolicy, RetryPolicy, RoutingRequirements,
    StreamPolicy, TimeoutPolicy,
};
use ff_core::state::PublicState;
use ff_core::types::{CancelSource, ExecutionId, LaneId, Namespace, TimestampMs};
use uuid::Uuid;

use super::alphabet::{Birth, CAPABILITIES, Flaw, LANES, Policy, Proof, Read, SLOTS, Source};
use super::budget;
use super::compare::Answer;
use super::driver::{PAYLOAD_MAX_BYTES, World, partition};
use super::lane::lane;
use crate::probe::Engine;

const CLASSES: [FailureClass; 5] = [
    FailureClass::Transient,
    FailureClass::Permanent,
    FailureClass::InfraCrash,
    FailureClass::Timeout,
    FailureClass::Cancelled,
];

const CATEGORIES: [&str; 4] = ["transient", "timeout", "permanent", "own"];

/// Beyond these: none.
const RETRY_POLICIES: [&str; 3] = [
    r#"{"max_retries":1,"backoff":{"type":"fixed","delay_ms":10}}"#,
    r#"{"max_retries":"#,
    r#"{"max_retries":5000}"#,
];

/// One call about executions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Create(Birth),
    CreateBatch(Vec<Birth>),
    Complete { proof: Proof, result: u8 },
    CompleteTyped { proof: Proof, result: u8, source: Source },
    Fail { proof: Proof, class: u8, detail: u8 },
    FailTyped { proof: Proof, category: u8, policy: u8, source: Source },
    Cancel(Proof),
    CancelTyped { slot: u8, proof: Proof, source: Source },
    Delay { proof: Proof, by: i64 },
    Progress { proof: Proof, percent: Option<u8>, message: bool },
    ChangePriority { slot: u8, priority: i32 },
    Replay { slot: u8 },
    SetTag { slot: u8, key: u8, value: u8 },
    Read { slot: u8, what: Read },
    List { after: Option<u8>, limit: usize },
    Find { filter: u8, newest_first: bool, limit: u32 },
}

#[expect(clippy::too_many_lines, reason = "one arm per operation")]
pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Create(birth) => {
            Answer::new("create_execution", backend.create_execution(world.birth(birth)).await)
        }
        Call::CreateBatch(births) => {
            let batch = births.iter().map(|birth| world.birth(birth)).collect();
            Answer::new("create_executions", backend.create_executions(batch).await)
        }
        Call::Complete { proof, result: bytes } => {
            let handle = world.handle(engine, *proof);
            Answer::new("complete", backend.complete(&handle, result(*bytes)).await)
        }
        Call::CompleteTyped { proof, result: bytes, source: by } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = CompleteExecutionArgs {
                execution_id,
                fence,
                attempt_index,
                result_payload: result(*bytes),
                result_encoding: None,
                source: source(*by),
                now: TimestampMs(0),
            };
            Answer::new("complete_execution", backend.complete_execution(args).await)
        }
        Call::Fail { proof, class, detail } => {
            let reason = match detail {
                0 => FailureReason::new("it broke"),
                1 => FailureReason::with_detail("it broke", b"own".to_vec()),
                _ => FailureReason::with_detail("it broke", vec![0xff]),
            };
            let handle = world.handle(engine, *proof);
            let said = backend.fail(&handle, reason, CLASSES[usize::from(*class)]).await;
            Answer::new("fail", said)
        }
        Call::FailTyped { proof, category, policy, source: by } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = FailExecutionArgs {
                execution_id,
                fence,
                attempt_index,
                failure_reason: "it broke".to_owned(),
                failure_category: CATEGORIES[usize::from(*category)].to_owned(),
                retry_policy_json: RETRY_POLICIES
                    .get(usize::from(*policy))
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
                next_attempt_policy_json: String::new(),
                source: source(*by),
            };
            Answer::new("fail_execution", backend.fail_execution(args).await)
        }
        Call::Cancel(proof) => {
            let handle = world.handle(engine, *proof);
            Answer::new("cancel", backend.cancel(&handle, "not needed").await)
        }
        Call::CancelTyped { slot, proof, source: by } => {
            let (execution_id, _, fence) = world.fence(*proof);
            let is_holder = *by == Source::Holder;
            let fence = fence.filter(|_| is_holder);
            let args = CancelExecutionArgs {
                execution_id: if is_holder { execution_id } else { world.id(*slot).clone() },
                reason: "not needed".to_owned(),
                source: source(*by),
                lease_id: fence.as_ref().map(|fence| fence.lease_id.clone()),
                lease_epoch: fence.as_ref().map(|fence| fence.lease_epoch),
                attempt_id: fence.map(|fence| fence.attempt_id),
                now: TimestampMs(0),
            };
            Answer::new("cancel_execution", backend.cancel_execution(args).await)
        }
        Call::Delay { proof, by } => {
            let handle = world.handle(engine, *proof);
            Answer::new("delay", backend.delay(&handle, world.later(*by)).await)
        }
        Call::Progress { proof, percent, message } => {
            let handle = world.handle(engine, *proof);
            let message = message.then(|| "half-way".to_owned());
            Answer::new("progress", backend.progress(&handle, *percent, message).await)
        }
        Call::ChangePriority { slot, priority } => {
            let args = ChangePriorityArgs {
                execution_id: world.id(*slot).clone(),
                new_priority: *priority,
                lane_id: lane(0),
                now: TimestampMs(0),
            };
            Answer::new("change_priority", backend.change_priority(args).await)
        }
        Call::Replay { slot } => {
            let args =
                ReplayExecutionArgs { execution_id: world.id(*slot).clone(), now: TimestampMs(0) };
            Answer::new("replay_execution", backend.replay_execution(args).await)
        }
        Call::SetTag { slot, key, value } => {
            let key =
                ["app.owner", "cairn.instance_id", "Not.valid", "app.slot"][usize::from(*key)];
            let value = ["", "x", "\u{e9}"][usize::from(*value)];
            let said = backend.set_execution_tag(world.id(*slot), key, value).await;
            Answer::new("set_execution_tag", said)
        }
        Call::Read { slot, what } => read(engine, world.id(*slot), *what).await,
        Call::List { after, limit } => {
            let after = after.map(|slot| world.id(slot).clone());
            let key = PartitionKey::from(&partition(after.as_ref().unwrap_or_else(|| world.id(0))));
            Answer::new("list_executions", backend.list_executions(key, after, *limit).await)
        }
        Call::Find { filter, newest_first, limit } => {
            let mut args = find_args(*filter, world).with_limit(*limit);
            args.newest_first = *newest_first;
            Answer::new("find_executions", found_pages(engine, args).await)
        }
    }
}

impl World {
    pub(super) fn birth(&self, birth: &Birth) -> CreateExecutionArgs {
        let mut policy = policy(birth.policy, self.now);
        let needs = CAPABILITIES[usize::from(birth.needs)];
        if !needs.is_empty() {
            policy.get_or_insert_default().routing_requirements = Some(RoutingRequirements {
                required_capabilities: needs.iter().map(|token| (*token).to_owned()).collect(),
                ..RoutingRequirements::default()
            });
        }
        if birth.budgets > 0 {
            let bound = (0..budget::BUDGETS).filter(|number| birth.budgets & (1 << number) != 0);
            policy.get_or_insert_default().budget_ids = bound.map(budget::budget_id).collect();
        }
        let mut args = CreateExecutionArgs {
            execution_id: self.id(birth.slot).clone(),
            namespace: Namespace::new(if birth.slot.is_multiple_of(2) { "even" } else { "odd" }),
            lane_id: LaneId::new(LANES[usize::from(birth.lane)]),
            execution_kind: if birth.payload == 0 { "hash" } else { "render" }.to_owned(),
            input_payload: vec![7; usize::from(birth.payload)],
            payload_encoding: (birth.payload == 2).then(|| "raw".to_owned()),
            priority: birth.priority,
            creator_identity: "model".to_owned(),
            idempotency_key: birth.key.map(|key| format!("key-{key}")),
            tags: [("app.slot".to_owned(), birth.slot.to_string())].into(),
            policy,
            delay_until: birth.delay.map(|by| self.later(by)),
            execution_deadline_at: birth.deadline.map(|by| self.later(by)),
            partition_id: self.id(birth.slot).partition(),
            now: TimestampMs(0),
        };
        if birth.slot == 1 {
            args.tags.insert("cairn.instance_id".to_owned(), "instance-1".to_owned());
        }
        flaw(&mut args, birth.flaw);
        args
    }
}

fn policy(policy: Policy, now: TimestampMs) -> Option<ExecutionPolicy> {
    let retry = |max_retries, backoff, categories: &[&str]| ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries,
            backoff,
            retryable_categories: categories.iter().map(|one| (*one).to_owned()).collect(),
        }),
        ..ExecutionPolicy::default()
    };
    let timeout = |attempt_timeout_ms, execution_deadline_ms| TimeoutPolicy {
        attempt_timeout_ms,
        execution_deadline_ms,
        max_reclaim_count: 5,
    };
    let fixed = BackoffStrategy::Fixed { delay_ms: 50 };
    let policy = match policy {
        Policy::None => return None,
        Policy::RetryFixed => retry(2, fixed, &[]),
        Policy::RetryExponentialWithJitter => {
            let backoff = BackoffStrategy::Exponential {
                initial_delay_ms: 10,
                max_delay_ms: 100,
                multiplier: 3.0,
                jitter: true,
            };
            retry(5, backoff, &[])
        }
        Policy::RetryTimeoutsOnly => {
            let mut policy = retry(3, fixed, &["timeout"]);
            policy.timeout_policy = Some(timeout(Some(50), None));
            policy
        }
        Policy::AttemptTimeout => ExecutionPolicy {
            timeout_policy: Some(timeout(Some(100), None)),
            ..ExecutionPolicy::default()
        },
        Policy::Deadline => ExecutionPolicy {
            timeout_policy: Some(timeout(None, Some(200))),
            ..ExecutionPolicy::default()
        },
        Policy::OneReclaim => {
            ExecutionPolicy { max_reclaim_count: 1, ..ExecutionPolicy::default() }
        }
        Policy::OneReplay => ExecutionPolicy { max_replay_count: 1, ..ExecutionPolicy::default() },
        Policy::ShortDedup => {
            ExecutionPolicy { dedup_window_ms: Some(50), ..ExecutionPolicy::default() }
        }
        Policy::DelayedByPolicy => ExecutionPolicy {
            delay_until: Some(TimestampMs(now.0 + 50)),
            priority: 3,
            ..ExecutionPolicy::default()
        },
        Policy::ShortStream => ExecutionPolicy {
            stream_policy: Some(StreamPolicy {
                durability_mode: "durable".to_owned(),
                retention_maxlen: 3,
                retention_ttl_ms: Some(50),
            }),
            ..ExecutionPolicy::default()
        },
    };
    Some(policy)
}

fn flaw(args: &mut CreateExecutionArgs, flaw: Flaw) {
    match flaw {
        Flaw::None => {}
        Flaw::PayloadTooLarge => args.input_payload = vec![0; PAYLOAD_MAX_BYTES + 1],
        Flaw::LaneEmpty => args.lane_id = LaneId::new(""),
        Flaw::CapabilityWithSpace => {
            args.policy.get_or_insert_default().routing_requirements = Some(RoutingRequirements {
                required_capabilities: ["a b".to_owned()].into(),
                ..RoutingRequirements::default()
            });
        }
        Flaw::PolicyUnsupported => {
            args.policy.get_or_insert_default().fallback_policy =
                Some(FallbackPolicy { tiers: Vec::new() });
        }
        Flaw::PolicyOutOfBounds => {
            args.policy.get_or_insert_default().dedup_window_ms = Some(0);
        }
        Flaw::TagKeyTooLong => {
            args.tags.insert("x".repeat(200), String::new());
        }
        Flaw::DelayTooFar => args.delay_until = Some(TimestampMs(i64::MAX)),
        Flaw::KindTooLong => args.execution_kind = "k".repeat(129),
    }
}

fn source(source: Source) -> CancelSource {
    match source {
        Source::Operator => CancelSource::OperatorOverride,
        Source::Holder => CancelSource::LeaseHolder,
        Source::Custom => CancelSource::Custom("model".to_owned()),
    }
}

/// Result 0 is none, 3 is too large.
fn result(result: u8) -> Option<Vec<u8>> {
    match result {
        0 => None,
        1 => Some(vec![1]),
        2 => Some(Vec::new()),
        _ => Some(vec![9; PAYLOAD_MAX_BYTES + 1]),
    }
}

async fn found_pages(
    engine: &Engine,
    mut args: FindExecutionsArgs,
) -> Result<Vec<FindExecutionsPage>, EngineError> {
    let mut pages = Vec::new();
    loop {
        let page = engine.backend().find_executions(args.clone()).await?;
        args.cursor.clone_from(&page.next_cursor);
        let goes_on = page.next_cursor.is_some() && pages.len() < usize::from(SLOTS);
        pages.push(page);
        if !goes_on {
            return Ok(pages);
        }
    }
}

fn find_args(filter: u8, world: &World) -> FindExecutionsArgs {
    let all = FindExecutionsArgs::new();
    match filter {
        0 => all,
        1 => all.with_lane(lane(0)),
        2 => all.with_kind("hash"),
        3 => all.with_namespace(Namespace::new("odd")),
        4 => all.with_tag("app.slot", "2"),
        5 => all.with_states(vec![PublicState::Failed]),
        6 => all.with_states(vec![PublicState::Cancelled]),
        7 => all.with_states(vec![PublicState::Expired]),
        8 => all.with_states(vec![PublicState::Waiting, PublicState::Active]),
        9 => all.with_created_from(world.later(-100)),
        10 => all.with_created_before(world.later(-100)),
        _ => all.with_cursor("nonsense"),
    }
}

async fn read(engine: &Engine, id: &ExecutionId, what: Read) -> Answer {
    let backend = engine.backend();
    match what {
        Read::Describe => Answer::new("describe_execution", backend.describe_execution(id).await),
        Read::State => Answer::new("read_execution_state", backend.read_execution_state(id).await),
        Read::Info => Answer::new("read_execution_info", backend.read_execution_info(id).await),
        Read::Context => {
            let said = backend.read_execution_context(id).await.map(|context| {
                let tags: BTreeMap<String, String> = context.tags.into_iter().collect();
                (context.input_payload, context.execution_kind, tags)
            });
            Answer::new("read_execution_context", said)
        }
        Read::Result => Answer::new("get_execution_result", backend.get_execution_result(id).await),
        Read::AttemptIndex => {
            Answer::new("read_current_attempt_index", backend.read_current_attempt_index(id).await)
        }
        Read::AttemptCount => {
            Answer::new("read_total_attempt_count", backend.read_total_attempt_count(id).await)
        }
        Read::Namespace => {
            Answer::new("get_execution_namespace", backend.get_execution_namespace(id).await)
        }
        Read::Summary => Answer::new("describe_summary", backend.describe_summary(id).await),
        Read::Attempts => Answer::new("list_attempts", backend.list_attempts(id).await),
        Read::Transitions => {
            let said = backend.list_transitions(id, Some(1), 5).await;
            Answer::new("list_transitions", said)
        }
        Read::Tag => {
            Answer::new("get_execution_tag", backend.get_execution_tag(id, "app.owner").await)
        }
        Read::BadTag => {
            Answer::new("get_execution_tag", backend.get_execution_tag(id, "Not a key").await)
        }
        Read::Prefix => {
            let prefix: String = id.uuid().simple().to_string().chars().take(12).collect();
            let said = backend.resolve_execution_prefix(&prefix).await;
            Answer::new("resolve_execution_prefix", said)
        }
        Read::Missing => {
            let unknown = ExecutionId::from_parts(id.partition(), Uuid::from_u128(5));
            let said = backend.describe_execution(&unknown).await;
            Answer::new("describe_execution", said)
        }
    }
}
