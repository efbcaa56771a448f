//! Creating an execution: work enters a lane, once.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::EngineError;
use crate::contracts::{CreateExecutionArgs, CreateExecutionResult};
use crate::engine_error::{ConflictKind, ValidationKind};
use crate::machine::limits::{
    DEDUP_WINDOW_MS, DELAY_MAX_MS, IDENTIFIER_MAX_BYTES, LANE_GATE_KEYS_MAX, NAME_MAX_BYTES,
    PRIORITY_MAX, TAG_KEY_MAX_BYTES, TAG_VALUE_MAX_BYTES, TAGS_MAX,
};
use crate::machine::policy::{self, later};
use crate::machine::rows::{CreateDedup, Execution};
use crate::machine::transition::{Event, TransitionRow};
use crate::machine::{
    Change, Command, Context, Footprint, Limits, Snapshot, Transition, Urgency, gate, state,
};
use crate::policy::ExecutionPolicy;
use crate::state::{AttemptState, BlockingReason};
use crate::types::{AttemptIndex, DurationMs, ExecutionId, LaneId, LeaseEpoch, TimestampMs};

/// Puts one execution on its lane.
///
/// Safe to repeat: the same id, or the same idempotency key with the same kind, lane, payload and
/// policy, answers `Duplicate` and writes nothing. The key with anything else is refused with
/// `Conflict(IdempotencyKeyReuse)`. The caller's `now` and `partition_id` decide nothing.
#[derive(Debug, Clone)]
pub struct Create {
    args: CreateExecutionArgs,
    gate_key: Result<String, InvalidGate>,
    bulk: bool,
}

/// Why the required capabilities have no canonical text; told when the create is decided.
#[derive(Debug, Clone)]
struct InvalidGate(String);

impl Create {
    /// One execution, as a client submits it.
    pub fn new(args: CreateExecutionArgs) -> Self {
        let tokens = args
            .policy
            .iter()
            .filter_map(|policy| policy.routing_requirements.as_ref())
            .flat_map(|routing| routing.required_capabilities.iter().map(String::as_str));
        let gate_key = gate::key("required", tokens).map_err(|error| match error {
            EngineError::Validation { detail, .. } => InvalidGate(detail),
            other => InvalidGate(other.to_string()),
        });
        Self { args, gate_key, bulk: false }
    }

    /// The same as one of many: it waits behind everything urgent.
    pub fn in_bulk(mut self) -> Self {
        self.bulk = true;
        self
    }

    /// The id that it asks for.
    pub(in crate::machine) fn id(&self) -> &ExecutionId {
        &self.args.execution_id
    }

    fn dedup_key(&self) -> Option<&str> {
        self.args.idempotency_key.as_deref().filter(|key| !key.is_empty())
    }

    /// SHA-256 over kind, lane, payload and policy, each with its length in front, and what it belongs to.
    fn digest(&self, belongs_to: &[u8]) -> [u8; 32] {
        let policy = self
            .args
            .policy
            .as_ref()
            .map(|policy| {
                serde_json::to_vec(policy).expect("a policy is numbers, text and lists of both")
            })
            .unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [
            self.args.execution_kind.as_bytes(),
            self.args.lane_id.as_str().as_bytes(),
            &self.args.input_payload,
            &policy,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(belongs_to);
        hash.finalize().into()
    }

    fn born(&self, gate_key: String, now: TimestampMs) -> Execution {
        let args = &self.args;
        let policy = args.policy.as_ref();
        let delay_until = args
            .delay_until
            .or_else(|| policy.and_then(|policy| policy.delay_until))
            .filter(|until| *until > now);
        let attempt = AttemptState::PendingFirstAttempt;
        Execution {
            id: args.execution_id.clone(),
            version: 1,
            namespace: args.namespace.clone(),
            lane: args.lane_id.clone(),
            kind: args.execution_kind.clone(),
            creator: args.creator_identity.clone(),
            flow_id: None,
            priority: effective_priority(args),
            payload_encoding: args.payload_encoding.clone(),
            idempotency_key: self.dedup_key().map(str::to_owned),
            policy: args.policy.clone(),
            gate_key,
            quota_policy_id: None,
            takes_slots: false,
            reserves_slots: false,
            tags: args
                .tags
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
            state: match delay_until {
                Some(_) => state::delayed(BlockingReason::WaitingForDelay, attempt),
                None => state::waiting(attempt),
            },
            blocking_detail: None,
            attempt_index: AttemptIndex(0),
            attempt_count: 0,
            epoch: LeaseEpoch(0),
            retry_count: 0,
            replay_count: 0,
            reclaim_count: 0,
            created_at: now,
            started_at: None,
            ended_at: None,
            mutated_at: now,
            eligible_at: delay_until,
            deadline_at: policy::deadline(policy, args.execution_deadline_at, now),
            attempt_timeout_at: None,
            attempt_timeout_left: None,
            failure_reason: None,
            cancel_reason: None,
            cancelled_by: None,
            progress_pct: None,
            progress_message: None,
        }
    }
}

impl Command for Create {
    const NAME: &'static str = "execution.create";
    type Outcome = CreateExecutionResult;

    fn footprint(&self) -> Footprint {
        let gate = self
            .gate_key
            .as_ref()
            .ok()
            .filter(|key| !key.is_empty())
            .map(|key| (self.args.lane_id.clone(), key.clone()));
        Footprint {
            dedup: self.dedup_key().map(|key| (self.args.namespace.clone(), key.to_owned())),
            gate,
            ..Footprint::execution(&self.args.execution_id)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CreateExecutionResult>, EngineError> {
        self.decide_as_part(seen, cx, &[])
    }

    fn urgency(&self) -> Urgency {
        if self.bulk { Urgency::Bulk } else { Urgency::Normal }
    }

    fn weight(&self) -> usize {
        self.args.input_payload.len()
    }
}

impl Create {
    /// Decides as a part of what `belongs_to` names: a repeat of the idempotency key must name the same.
    pub(in crate::machine) fn decide_as_part(
        &self,
        seen: &Snapshot,
        cx: &Context<'_>,
        belongs_to: &[u8],
    ) -> Result<Transition<CreateExecutionResult>, EngineError> {
        within_limits(&self.args, cx.limits, cx.now)?;
        if let Some(known) = seen.dedup.as_ref().filter(|known| cx.now < known.expires_at) {
            let execution_id = known.execution_id.clone();
            return if known.digest == self.digest(belongs_to) {
                Ok(Transition::unchanged(CreateExecutionResult::Duplicate { execution_id }))
            } else {
                Err(EngineError::Conflict(ConflictKind::IdempotencyKeyReuse { execution_id }))
            };
        }
        if seen.execution.is_some() {
            return Ok(Transition::unchanged(CreateExecutionResult::Duplicate {
                execution_id: self.args.execution_id.clone(),
            }));
        }
        if let Some(policy) = &self.args.policy {
            policy::validate(policy)?;
        }
        let gate_key = self.gate_key.clone().map_err(|InvalidGate(detail)| {
            EngineError::Validation { kind: ValidationKind::InvalidCapabilities, detail }
        })?;
        if !gate_key.is_empty() && !seen.gate_known && seen.gate_keys >= LANE_GATE_KEYS_MAX {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidCapabilities,
                detail: format!(
                    "required:too_many_sets: lane `{}` already has {LANE_GATE_KEYS_MAX} distinct \
                     capability sets waiting; use fewer sets or another lane",
                    self.args.lane_id
                ),
            });
        }

        let execution = self.born(gate_key, cx.now);
        let created = CreateExecutionResult::Created {
            execution_id: execution.id.clone(),
            public_state: execution.public_state(),
        };
        let row = TransitionRow::between(None, &execution, cx.now, "created");
        let mut transition = Transition::unchanged(created)
            .change(Change::RegisterLane { lane: execution.lane.clone(), at: cx.now })
            .change(Change::CreateExecution {
                execution: Box::new(execution),
                payload: self.args.input_payload.clone(),
            })
            .announce(Event::Transition(row));
        if let Some(key) = self.dedup_key() {
            transition = transition.change(Change::PutDedup(CreateDedup {
                namespace: self.args.namespace.clone(),
                key: key.to_owned(),
                digest: self.digest(belongs_to),
                execution_id: self.args.execution_id.clone(),
                expires_at: later(cx.now, dedup_window(self.args.policy.as_ref())),
            }));
        }
        Ok(transition)
    }
}

/// The call's priority, or the policy's when the call gives none; at most [`PRIORITY_MAX`].
fn effective_priority(args: &CreateExecutionArgs) -> i32 {
    let from_policy = args.policy.as_ref().map_or(0, |policy| policy.priority);
    let given = if args.priority == 0 { from_policy } else { args.priority };
    given.clamp(0, PRIORITY_MAX)
}

fn dedup_window(policy: Option<&ExecutionPolicy>) -> DurationMs {
    DurationMs(policy.and_then(|policy| policy.dedup_window_ms).unwrap_or(DEDUP_WINDOW_MS))
}

fn within_limits(
    args: &CreateExecutionArgs,
    limits: &Limits,
    now: TimestampMs,
) -> Result<(), EngineError> {
    let refused = |detail: String| {
        Err(EngineError::Validation { kind: ValidationKind::InvalidInput, detail })
    };
    let size = args.input_payload.len();
    if size > limits.payload_bytes {
        return Err(EngineError::Validation {
            kind: ValidationKind::PayloadTooLarge,
            detail: format!(
                "input_payload is {size} bytes; the limit is {} bytes. Store the data elsewhere \
                 and submit a reference, or raise the limit",
                limits.payload_bytes
            ),
        });
    }
    if let Err(error) = LaneId::try_new(args.lane_id.as_str()) {
        return refused(format!("lane_id {:?}: {error}", args.lane_id.as_str()));
    }
    let empty_idempotency_key = String::new();
    for (field, value, max) in [
        ("namespace", args.namespace.as_str(), NAME_MAX_BYTES),
        ("execution_kind", args.execution_kind.as_str(), NAME_MAX_BYTES),
        ("creator_identity", args.creator_identity.as_str(), IDENTIFIER_MAX_BYTES),
        (
            "idempotency_key",
            args.idempotency_key.as_ref().unwrap_or(&empty_idempotency_key),
            IDENTIFIER_MAX_BYTES,
        ),
    ] {
        if value.len() > max {
            return refused(format!("{field} is {} bytes; the limit is {max}", value.len()));
        }
    }
    if args.tags.len() > TAGS_MAX {
        return refused(format!("{} tags; the limit is {TAGS_MAX}", args.tags.len()));
    }
    for (key, value) in &args.tags {
        tag_within_limits(key, value)?;
    }
    let delays = [
        ("delay_until", args.delay_until),
        ("policy.delay_until", args.policy.as_ref().and_then(|policy| policy.delay_until)),
        ("execution_deadline_at", args.execution_deadline_at),
    ];
    for (field, at) in delays {
        if at.is_some_and(|at| policy::until(now, at).0 > DELAY_MAX_MS) {
            return refused(format!("{field} is more than ten years ahead"));
        }
    }
    Ok(())
}

/// Refuses a tag beyond its limits.
pub fn tag_within_limits(key: &str, value: &str) -> Result<(), EngineError> {
    let refused = |detail: String| {
        Err(EngineError::Validation { kind: ValidationKind::InvalidInput, detail })
    };
    if key.is_empty() || key.len() > TAG_KEY_MAX_BYTES {
        return refused(format!("tag key {key:?}: give 1 to {TAG_KEY_MAX_BYTES} bytes"));
    }
    if value.len() > TAG_VALUE_MAX_BYTES {
        return refused(format!(
            "tag {key:?}: the value is {} bytes; the limit is {TAG_VALUE_MAX_BYTES}",
            value.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        NOW, decide, execution, now_plus, refusal, seen, submission,
    };
    use crate::policy::{RoutingRequirements, TimeoutPolicy};
    use crate::state::PublicState;
    use crate::types::{ExecutionId, Namespace};

    fn create(adjust: impl FnOnce(&mut CreateExecutionArgs)) -> Create {
        let mut args = submission();
        adjust(&mut args);
        Create::new(args)
    }

    fn created(adjust: impl FnOnce(&mut CreateExecutionArgs)) -> Execution {
        decide(&create(adjust), &Snapshot::default()).unwrap().stored().clone()
    }

    fn told(adjust: impl FnOnce(&mut CreateExecutionArgs)) -> String {
        refusal(decide(&create(adjust), &Snapshot::default()))
    }

    fn requiring(capability: &str) -> Option<ExecutionPolicy> {
        let routing = RoutingRequirements {
            required_capabilities: [capability.to_owned()].into(),
            ..RoutingRequirements::default()
        };
        Some(ExecutionPolicy { routing_requirements: Some(routing), ..ExecutionPolicy::default() })
    }

    #[test]
    fn work_enters_its_lane_in_line() {
        let done = decide(&create(|_| {}), &Snapshot::default()).unwrap();

        let expected = Execution { created_at: NOW, mutated_at: NOW, ..execution() };
        assert_eq!(done.stored(), &expected);
        assert_eq!(
            done.outcome,
            CreateExecutionResult::Created {
                execution_id: execution().id,
                public_state: PublicState::Waiting,
            }
        );
        let lane = LaneId::new("default");
        assert_eq!(done.changes[0], Change::RegisterLane { lane, at: NOW });
        let payload = b"input".to_vec();
        let execution = Box::new(expected);
        assert_eq!(done.changes[1], Change::CreateExecution { execution, payload });
        assert_eq!(done.changes.len(), 2);
        let [moved] = done.moves()[..] else { panic!("one move") };
        assert_eq!((moved.from, moved.to), (None, PublicState::Waiting));
        assert_eq!((moved.cause.as_str(), moved.version), ("created", 1));
    }

    #[test]
    fn what_is_submitted_for_later_waits_for_its_instant() {
        let row = created(|args| args.delay_until = Some(now_plus(1)));
        assert_eq!(
            row.state,
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt)
        );
        assert_eq!(row.eligible_at, Some(now_plus(1)));

        let row = created(|args| args.delay_until = Some(NOW));
        assert_eq!((row.public_state(), row.eligible_at), (PublicState::Waiting, None));
    }

    #[test]
    fn the_calls_delay_goes_before_the_policys() {
        let policy =
            ExecutionPolicy { delay_until: Some(now_plus(9)), ..ExecutionPolicy::default() };
        let row = created(|args| args.policy = Some(policy.clone()));
        assert_eq!(row.eligible_at, Some(now_plus(9)));

        let row = created(|args| {
            args.policy = Some(policy);
            args.delay_until = Some(now_plus(4));
        });
        assert_eq!(row.eligible_at, Some(now_plus(4)));
    }

    #[test]
    fn the_priority_is_the_calls_or_else_the_policys_within_bounds() {
        for (call, policy, stored) in
            [(0, 0, 0), (0, 50, 50), (7, 50, 7), (-5, 50, 0), (9_001, 0, 9_000), (0, -1, 0)]
        {
            let row = created(|args| {
                args.priority = call;
                args.policy =
                    Some(ExecutionPolicy { priority: policy, ..ExecutionPolicy::default() });
            });
            assert_eq!(row.priority, stored, "{call} {policy}");
        }
    }

    #[test]
    fn the_deadline_is_the_earlier_of_the_given_and_the_implied_one() {
        let timeout = TimeoutPolicy {
            attempt_timeout_ms: None,
            execution_deadline_ms: Some(500),
            max_reclaim_count: 100,
        };
        for (given, stored) in [(None, 500), (Some(400), 400), (Some(600), 500)] {
            let row = created(|args| {
                args.execution_deadline_at = given.map(now_plus);
                args.policy = Some(ExecutionPolicy {
                    timeout_policy: Some(timeout.clone()),
                    ..ExecutionPolicy::default()
                });
            });
            assert_eq!(row.deadline_at, Some(now_plus(stored)));
        }
    }

    #[test]
    fn the_same_id_again_is_a_duplicate_and_writes_nothing() {
        let done = decide(&create(|args| args.priority = 9), &seen(execution(), None)).unwrap();

        let execution_id = execution().id;
        assert_eq!(done.outcome, CreateExecutionResult::Duplicate { execution_id });
        assert!(done.is_unchanged());
    }

    /// A create with an idempotency key.
    fn keyed(adjust: impl FnOnce(&mut CreateExecutionArgs)) -> Create {
        create(|args| {
            args.idempotency_key = Some("key".to_owned());
            adjust(args);
        })
    }

    fn first_execution() -> ExecutionId {
        ExecutionId::from_parts(0, uuid::Uuid::from_u128(5))
    }

    /// What a create sees after one with the same key that is remembered until `expires_at`.
    fn remembered(expires_at: TimestampMs) -> Snapshot {
        let dedup = CreateDedup {
            namespace: Namespace::new("tests"),
            key: "key".to_owned(),
            digest: keyed(|_| {}).digest(&[]),
            execution_id: first_execution(),
            expires_at,
        };
        Snapshot { dedup: Some(dedup), ..Snapshot::default() }
    }

    #[test]
    fn a_key_is_remembered_for_a_day_or_as_the_policy_says() {
        let remembered = |command: &Create| {
            let done = decide(command, &Snapshot::default()).unwrap();
            done.changes.iter().find_map(|change| match change {
                Change::PutDedup(dedup) => Some(dedup.clone()),
                _ => None,
            })
        };

        let dedup = remembered(&keyed(|_| {})).unwrap();
        assert_eq!((dedup.key.as_str(), dedup.namespace.as_str()), ("key", "tests"));
        assert_eq!(dedup.expires_at, now_plus(24 * 60 * 60 * 1_000));
        assert_eq!(dedup.execution_id, execution().id);
        let brief = keyed(|args| {
            args.policy =
                Some(ExecutionPolicy { dedup_window_ms: Some(5), ..ExecutionPolicy::default() });
        });
        assert_eq!(remembered(&brief).unwrap().expires_at, now_plus(5));
        assert_eq!(remembered(&create(|args| args.idempotency_key = Some(String::new()))), None);
    }

    #[test]
    fn the_same_key_with_the_same_work_answers_the_first_execution() {
        let command = keyed(|args| {
            args.priority = 7;
            args.tags.insert("a.b".to_owned(), "c".to_owned());
            args.creator_identity = "someone else".to_owned();
        });

        let done = decide(&command, &remembered(now_plus(1))).unwrap();

        let execution_id = first_execution();
        assert_eq!(done.outcome, CreateExecutionResult::Duplicate { execution_id });
        assert!(done.is_unchanged());
    }

    #[test]
    fn the_same_key_with_other_work_is_refused() {
        for other in [
            keyed(|args| args.execution_kind = "other".to_owned()),
            keyed(|args| args.lane_id = LaneId::new("other")),
            keyed(|args| args.input_payload = b"other".to_vec()),
            keyed(|args| args.policy = Some(ExecutionPolicy::default())),
        ] {
            let refused = decide(&other, &remembered(now_plus(1))).unwrap_err();
            let EngineError::Conflict(ConflictKind::IdempotencyKeyReuse { execution_id }) = refused
            else {
                panic!("expected a conflict, got {refused:?}");
            };
            assert_eq!(execution_id, first_execution());
        }
    }

    #[test]
    fn parts_of_the_work_do_not_run_into_each_other() {
        let (one, other) = (
            keyed(|args| {
                args.execution_kind = "ab".to_owned();
                args.lane_id = LaneId::new("c");
            }),
            keyed(|args| {
                args.execution_kind = "a".to_owned();
                args.lane_id = LaneId::new("bc");
            }),
        );
        assert_ne!(one.digest(&[]), other.digest(&[]));
    }

    #[test]
    fn a_key_is_forgotten_at_its_instant() {
        let other = keyed(|args| args.input_payload = b"other".to_vec());

        assert!(decide(&other, &remembered(now_plus(1))).is_err());
        let done = decide(&other, &remembered(NOW)).unwrap();
        assert_eq!(done.stored().idempotency_key.as_deref(), Some("key"));
    }

    #[test]
    fn required_capabilities_become_the_gate() {
        let row = created(|args| args.policy = requiring("gpu"));
        assert_eq!(row.gate_key, "gpu");

        let footprint = create(|args| args.policy = requiring("gpu")).footprint();
        assert_eq!(footprint.gate, Some((LaneId::new("default"), "gpu".to_owned())));
        assert_eq!(create(|_| {}).footprint().gate, None);

        assert_eq!(
            told(|args| args.policy = requiring("a b")),
            "validation: InvalidCapabilities: required:control_or_whitespace"
        );
    }

    #[test]
    fn a_lane_has_at_most_so_many_capability_sets_waiting() {
        let gated = create(|args| args.policy = requiring("gpu"));
        let seen =
            |gate_keys, gate_known| Snapshot { gate_keys, gate_known, ..Snapshot::default() };

        assert!(decide(&gated, &seen(LANE_GATE_KEYS_MAX - 1, false)).is_ok());
        assert!(decide(&gated, &seen(LANE_GATE_KEYS_MAX, true)).is_ok());
        assert!(decide(&create(|_| {}), &seen(LANE_GATE_KEYS_MAX, false)).is_ok());
        assert_eq!(
            refusal(decide(&gated, &seen(LANE_GATE_KEYS_MAX, false))),
            "validation: InvalidCapabilities: required:too_many_sets: lane `default` already has \
             1024 distinct capability sets waiting; use fewer sets or another lane"
        );
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused_and_a_duplicate_is_not_asked_again() {
        let odd = ExecutionPolicy { dedup_window_ms: Some(0), ..ExecutionPolicy::default() };
        let command = create(|args| args.policy = Some(odd));

        let refused = refusal(decide(&command, &Snapshot::default()));
        assert!(refused.starts_with("validation: InvalidPolicyJson"), "{refused}");
        assert!(decide(&command, &seen(execution(), None)).unwrap().is_unchanged());
    }

    #[test]
    fn every_part_has_a_bound_and_what_is_at_the_bound_is_accepted() {
        let text = |bytes: usize| "x".repeat(bytes);
        let limit = Limits::default().payload_bytes;
        created(|args| args.input_payload = vec![0; limit]);
        assert_eq!(
            told(|args| args.input_payload = vec![0; limit + 1]),
            "validation: PayloadTooLarge: input_payload is 1048577 bytes; the limit is 1048576 \
             bytes. Store the data elsewhere and submit a reference, or raise the limit"
        );
        created(|args| args.namespace = Namespace::new(text(128)));
        assert_eq!(
            told(|args| args.namespace = Namespace::new(text(129))),
            "validation: InvalidInput: namespace is 129 bytes; the limit is 128"
        );
        created(|args| args.execution_kind = text(128));
        assert_eq!(
            told(|args| args.execution_kind = text(129)),
            "validation: InvalidInput: execution_kind is 129 bytes; the limit is 128"
        );
        created(|args| args.creator_identity = text(256));
        assert_eq!(
            told(|args| args.creator_identity = text(257)),
            "validation: InvalidInput: creator_identity is 257 bytes; the limit is 256"
        );
        created(|args| args.idempotency_key = Some(text(256)));
        assert_eq!(
            told(|args| args.idempotency_key = Some(text(257))),
            "validation: InvalidInput: idempotency_key is 257 bytes; the limit is 256"
        );
        let tags = |n: usize| (0..n).map(|n| (format!("a.{n}"), String::new())).collect();
        created(|args| args.tags = tags(64));
        assert_eq!(
            told(|args| args.tags = tags(65)),
            "validation: InvalidInput: 65 tags; the limit is 64"
        );
        let refused = told(|args| args.tags = [(String::new(), String::new())].into());
        assert!(refused.starts_with("validation: InvalidInput: tag key"), "{refused}");
        let refused = told(|args| args.lane_id = LaneId::new(""));
        assert!(refused.starts_with("validation: InvalidInput: lane_id"), "{refused}");
    }

    #[test]
    fn nothing_is_put_off_by_more_than_ten_years() {
        let furthest = i64::try_from(DELAY_MAX_MS).unwrap();
        let policy = |ms| {
            let delay_until = Some(now_plus(ms));
            Some(ExecutionPolicy { delay_until, ..ExecutionPolicy::default() })
        };
        created(|args| args.delay_until = Some(now_plus(furthest)));
        created(|args| args.execution_deadline_at = Some(now_plus(furthest)));
        created(|args| args.policy = policy(furthest));
        let beyond = furthest + 1;
        for (field, refused) in [
            ("delay_until", told(|args| args.delay_until = Some(now_plus(beyond)))),
            (
                "execution_deadline_at",
                told(|args| args.execution_deadline_at = Some(now_plus(beyond))),
            ),
            ("policy.delay_until", told(|args| args.policy = policy(beyond))),
        ] {
            let told = format!("validation: InvalidInput: {field} is more than ten years ahead");
            assert_eq!(refused, told);
        }
    }

    #[test]
    fn one_of_many_waits_behind_everything_urgent() {
        assert_eq!(create(|_| {}).urgency(), Urgency::Normal);
        assert_eq!(create(|_| {}).in_bulk().urgency(), Urgency::Bulk);
        assert_eq!(create(|_| {}).weight(), b"input".len());
    }
}
