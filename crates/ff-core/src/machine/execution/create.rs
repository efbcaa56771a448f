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
use crate::types::{AttemptIndex, DurationMs, LaneId, LeaseEpoch, TimestampMs};

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

    fn dedup_key(&self) -> Option<&str> {
        self.args.idempotency_key.as_deref().filter(|key| !key.is_empty())
    }

    /// SHA-256 over kind, lane, payload and policy, each with its length in front.
    fn digest(&self) -> [u8; 32] {
        let policy = self
            .args
            .policy
            .as_ref()
            .map(|policy| serde_json::to_vec(policy).unwrap_or_default())
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
        within_limits(&self.args, cx.limits, cx.now)?;
        if let Some(known) = seen.dedup.as_ref().filter(|known| cx.now < known.expires_at) {
            let execution_id = known.execution_id.clone();
            return if known.digest == self.digest() {
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
                digest: self.digest(),
                execution_id: self.args.execution_id.clone(),
                expires_at: later(cx.now, dedup_window(self.args.policy.as_ref())),
            }));
        }
        Ok(transition)
    }

    fn urgency(&self) -> Urgency {
        if self.bulk { Urgency::Bulk } else { Urgency::Normal }
    }

    fn weight(&self) -> usize {
        self.args.input_payload.len()
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
