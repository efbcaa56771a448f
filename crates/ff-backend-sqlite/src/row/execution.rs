//! An execution and its attempts, read from their rows.

use std::fmt;

use ff_core::EngineError;
use ff_core::machine::epoch;
use ff_core::machine::rows::{Attempt, AttemptOutcome, Execution};
use ff_core::state::{
    AttemptState, AttemptType, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState,
    PublicState, StateVector, TerminalOutcome,
};
use ff_core::types::{
    AttemptId, AttemptIndex, DurationMs, ExecutionId, FlowId, LaneId, LeaseEpoch, LeaseId,
    Namespace, QuotaPolicyId, TimestampMs, WorkerId, WorkerInstanceId,
};
use rusqlite::Row;
use uuid::Uuid;

use super::fields::{AttemptFields, ExecutionFields, Number};
use super::{Columns, Hex, Of, execution_id, unsigned};
use crate::error::corrupt;

/// What the rules see of an execution, and what its current attempt may need of it.
pub(crate) struct LoadedExecution {
    pub(crate) execution: Execution,
    /// Whether `raw_fields` holds nothing but what the engine itself writes, so that nothing is lost when it is
    /// written whole.
    pub(crate) is_plain: bool,
    /// Whether its end closes a suspension or a waitpoint; not asked unless it is active.
    pub(crate) has_waits: Option<bool>,
    attempt_id: Option<Uuid>,
    lease_id: Option<Uuid>,
    outcome: StoredOutcome,
}

/// Where a row says how it ended.
enum StoredOutcome {
    /// In its state columns, or it has not ended.
    Known,
    /// Nowhere but in its current attempt; if that does not say either, this is the best guess.
    InAttempt(TerminalOutcome),
}

impl LoadedExecution {
    /// Completes the execution and its current attempt from each other.
    pub(crate) fn complete(mut self, mut current: Option<Attempt>) -> (Execution, Option<Attempt>) {
        if let StoredOutcome::InAttempt(guess) = self.outcome {
            let state = &mut self.execution.state;
            let told = current.as_ref().and_then(|attempt| attempt.outcome).and_then(ended_by);
            state.terminal_outcome = told.unwrap_or(guess);
            state.public_state = state.derive_public_state();
        }
        if let Some(attempt) = &mut current {
            let execution = &mut self.execution;
            execution.attempt_count = execution.attempt_count.max(attempt.index.0 + 1);
            execution.epoch = epoch::current(execution.epoch, attempt.epoch);
            if attempt.attempt_id.is_none() {
                attempt.attempt_id = self.attempt_id.map(AttemptId::from_uuid);
            }
            if attempt.lease_id.is_none() {
                attempt.lease_id = self.lease_id.map(LeaseId::from_uuid);
            }
        }
        (self.execution, current)
    }
}

/// The outcome of an execution whose last attempt stopped so.
const fn ended_by(attempt: AttemptOutcome) -> Option<TerminalOutcome> {
    Some(match attempt {
        AttemptOutcome::Success => TerminalOutcome::Success,
        AttemptOutcome::Failed => TerminalOutcome::Failed,
        AttemptOutcome::Cancelled => TerminalOutcome::Cancelled,
        AttemptOutcome::Expired => TerminalOutcome::Expired,
        AttemptOutcome::Skipped => TerminalOutcome::Skipped,
        AttemptOutcome::Retry
        | AttemptOutcome::Interrupted
        | AttemptOutcome::InterruptedReclaimed => return None,
    })
}

const CORE: &str = "ff_exec_core";

/// Reads a row of `execution_load`: the execution, and its current attempt. `highest_epoch` is asked only for an
/// execution that has attempts although the engine has not claimed it.
pub(crate) fn execution(
    row: &Row<'_>,
    highest_epoch: impl FnOnce() -> Result<i64, EngineError>,
) -> Result<(LoadedExecution, Option<Attempt>), EngineError> {
    let mut columns = Columns::of(row);
    let partition = columns.next()?;
    let id = execution_id(CORE, partition, columns.bytes()?.unwrap_or_default())?;
    let wrong = |column: &str, value: &dyn fmt::Display| corrupt(CORE, column, Of(&id), value);

    let version = unsigned(CORE, "version", &id, columns.next()?)?;
    let lane = LaneId::new(columns.text()?);
    let phase = columns.text()?;
    let ownership = columns.text()?;
    let eligibility = columns.text()?;
    let public = columns.text()?;
    let attempt_state = columns.text()?;
    let reason = columns.filled()?;
    let outcome = columns.filled()?;
    let lifecycle_phase = read_phase(phase).ok_or_else(|| wrong("lifecycle_phase", &phase))?;
    let mut state = StateVector {
        lifecycle_phase,
        ownership_state: read_ownership(ownership)
            .ok_or_else(|| wrong("ownership_state", &ownership))?,
        eligibility_state: read_eligibility(eligibility)
            .ok_or_else(|| wrong("eligibility_state", &eligibility))?,
        blocking_reason: match reason {
            None => BlockingReason::None,
            Some(word) => {
                BlockingReason::from_wire(word).ok_or_else(|| wrong("blocking_reason", &word))?
            }
        },
        terminal_outcome: TerminalOutcome::None,
        attempt_state: read_attempt_state(attempt_state)
            .ok_or_else(|| wrong("attempt_state", &attempt_state))?,
        public_state: PublicState::Waiting,
    };

    let priority = columns.next::<i64>()?;
    let gate_key = columns.next::<Option<String>>()?.ok_or_else(|| wrong("gate_key", &"NULL"))?;
    let quota_policy_id = match columns.filled()? {
        None => None,
        Some(text) => {
            Some(QuotaPolicyId::parse(text).map_err(|_| wrong("quota_policy_id", &text))?)
        }
    };
    let takes_slots = columns.next()?;
    let flow_id = match columns.bytes()? {
        None => None,
        Some(bytes) => Some(Uuid::from_slice(bytes).map_err(|_| wrong("flow_id", &Hex(bytes)))?),
    };
    let attempt_index = index(CORE, "attempt_index", &id, columns.next()?)?;
    let attempt_count = index(CORE, "attempt_count", &id, columns.next()?)?.0;
    let lease_epoch = unsigned(CORE, "lease_epoch", &id, columns.next()?)?;
    let reclaim_count = index(CORE, "lease_reclaim_count", &id, columns.next()?)?.0;
    let created_at = TimestampMs(columns.next()?);
    let started_at = columns.instant()?;
    let ended_at = columns.instant()?;
    let eligible_at = columns.instant()?;
    let deadline_at = columns.instant()?;
    let attempt_timeout_at = columns.instant()?;
    let attempt_timeout_left = match columns.next::<Option<i64>>()? {
        None => None,
        Some(left) => Some(DurationMs(unsigned(CORE, "attempt_timeout_left_ms", &id, left)?)),
    };
    let cancel_reason = columns.next()?;
    let cancelled_by = columns.next()?;
    let policy = match columns.filled()? {
        None => None,
        Some(json) => Some(serde_json::from_str(json).map_err(|error| wrong("policy", &error))?),
    };
    let fields =
        ExecutionFields::read(columns.text()?).map_err(|error| wrong("raw_fields", &error))?;
    let highest_index = match columns.next::<Option<i64>>()? {
        None => None,
        Some(highest) => Some(index("ff_attempt", "attempt_index", &id, highest)?),
    };
    let highest_epoch = match highest_index {
        None => 0,
        Some(_) => unsigned("ff_attempt", "lease_epoch", &id, highest_epoch()?)?,
    };
    let has_waits = columns.next()?;
    let current = attempt(&id, &mut columns)?;

    let outcome = match (lifecycle_phase, outcome) {
        (LifecyclePhase::Terminal, Some(word)) if word != "none" => {
            state.terminal_outcome =
                TerminalOutcome::from_wire(word).ok_or_else(|| wrong("terminal_outcome", &word))?;
            StoredOutcome::Known
        }
        (LifecyclePhase::Terminal, _) => match outcome_by_phase(phase) {
            Some(outcome) => {
                state.terminal_outcome = outcome;
                StoredOutcome::Known
            }
            None => StoredOutcome::InAttempt(match fields.terminal_outcome.as_deref() {
                None | Some("" | "none") => outcome_by_public_state(public),
                Some(word) => TerminalOutcome::from_wire(word)
                    .ok_or_else(|| wrong("raw_fields", &format_args!("terminal_outcome {word}")))?,
            }),
        },
        (
            LifecyclePhase::Submitted
            | LifecyclePhase::Runnable
            | LifecyclePhase::Active
            | LifecyclePhase::Suspended,
            _,
        ) => StoredOutcome::Known,
    };
    state.public_state = state.derive_public_state();

    let is_plain = fields.is_plain();
    let delay_until = fields.delay_until.0.filter(|_| {
        eligible_at.is_none() && state.eligibility_state == EligibilityState::NotEligibleUntilTime
    });
    let count = |number: Number| -> Result<u32, EngineError> {
        u32::try_from(number.0.unwrap_or(0))
            .map_err(|_| wrong("raw_fields", &number.0.unwrap_or(0)))
    };
    let execution = Execution {
        version,
        namespace: Namespace::new(fields.namespace.unwrap_or_default()),
        lane,
        kind: fields.execution_kind.unwrap_or_default(),
        creator: fields.creator_identity.unwrap_or_default(),
        flow_id: flow_id.map(FlowId::from_uuid),
        priority: i32::try_from(priority).map_err(|_| wrong("priority", &priority))?,
        payload_encoding: fields.payload_encoding,
        idempotency_key: fields.idempotency_key,
        policy,
        gate_key,
        quota_policy_id,
        takes_slots,
        tags: fields.tags.tags,
        blocking_detail: fields.blocking_detail,
        attempt_index,
        attempt_count: attempt_count.max(highest_index.map_or(0, |highest| highest.0 + 1)),
        epoch: epoch::current(LeaseEpoch(lease_epoch), LeaseEpoch(highest_epoch)),
        retry_count: count(fields.retry_count)?,
        replay_count: count(fields.replay_count)?,
        reclaim_count,
        created_at,
        started_at,
        ended_at,
        mutated_at: fields.last_mutation_at.0.map_or(created_at, TimestampMs),
        eligible_at: eligible_at.or_else(|| delay_until.map(TimestampMs)),
        deadline_at,
        attempt_timeout_at,
        attempt_timeout_left,
        failure_reason: fields.failure_reason,
        cancel_reason,
        cancelled_by,
        progress_pct: match fields.progress_pct.0 {
            None => None,
            Some(percent) => Some(
                u8::try_from(percent)
                    .map_err(|_| wrong("raw_fields", &format_args!("progress_pct {percent}")))?,
            ),
        },
        progress_message: fields.progress_message,
        state,
        id,
    };
    let loaded = LoadedExecution {
        execution,
        is_plain,
        has_waits,
        attempt_id: fields.current_attempt_id.0,
        lease_id: fields.current_lease_id.0,
        outcome,
    };
    Ok((loaded, current))
}

fn index(
    table: &str,
    column: &str,
    of: &ExecutionId,
    value: i64,
) -> Result<AttemptIndex, EngineError> {
    // One more than an index is a count, so the largest number is none.
    match u32::try_from(value) {
        Ok(index) if index < u32::MAX => Ok(AttemptIndex(index)),
        Ok(_) | Err(_) => Err(corrupt(table, column, Of(of), value)),
    }
}

fn read_phase(word: &str) -> Option<LifecyclePhase> {
    match word {
        "pending" | "eligible" | "blocked" => Some(LifecyclePhase::Runnable),
        "cancelled" => Some(LifecyclePhase::Terminal),
        _ => LifecyclePhase::from_wire(word),
    }
}

/// Only `cancelled` names an outcome as well.
fn outcome_by_phase(word: &str) -> Option<TerminalOutcome> {
    (word == "cancelled").then_some(TerminalOutcome::Cancelled)
}

fn read_ownership(word: &str) -> Option<OwnershipState> {
    match word {
        "released" => Some(OwnershipState::Unowned),
        _ => OwnershipState::from_wire(word),
    }
}

fn read_eligibility(word: &str) -> Option<EligibilityState> {
    match word {
        "cancelled" => Some(EligibilityState::NotApplicable),
        "pending_claim" => Some(EligibilityState::EligibleNow),
        _ => EligibilityState::from_wire(word),
    }
}

fn read_attempt_state(word: &str) -> Option<AttemptState> {
    match word {
        "pending" | "pending_claim" | "initial" => Some(AttemptState::PendingFirstAttempt),
        "running" => Some(AttemptState::RunningAttempt),
        "cancelled" | "terminal_failed" => Some(AttemptState::AttemptTerminal),
        "attempt_suspended" => Some(AttemptState::AttemptInterrupted),
        _ => AttemptState::from_wire(word),
    }
}

/// The last place to look for how an execution ended; a row that nowhere says so failed.
fn outcome_by_public_state(word: &str) -> TerminalOutcome {
    match word {
        "completed" => TerminalOutcome::Success,
        "cancelled" => TerminalOutcome::Cancelled,
        "expired" => TerminalOutcome::Expired,
        "skipped" => TerminalOutcome::Skipped,
        _ => TerminalOutcome::Failed,
    }
}

const ATTEMPT: &str = "ff_attempt";

/// Reads the columns of an attempt; `None` where a join found none.
pub(crate) fn attempt(
    execution_id: &ExecutionId,
    columns: &mut Columns<'_>,
) -> Result<Option<Attempt>, EngineError> {
    let wrong =
        |column: &str, value: &dyn fmt::Display| corrupt(ATTEMPT, column, Of(execution_id), value);

    let Some(at) = columns.next::<Option<i64>>()? else { return Ok(None) };
    let index = index(ATTEMPT, "attempt_index", execution_id, at)?;
    let epoch = unsigned(ATTEMPT, "lease_epoch", execution_id, columns.next()?)?;
    let lease_expires_at = columns.instant()?;
    let lease_expired_at = columns.instant()?;
    let mut attempt_id = columns.uuid()?;
    let mut lease_id = columns.uuid()?;
    let worker_id = columns.filled()?.map(WorkerId::from);
    let worker_instance_id = columns.filled()?.map(WorkerInstanceId::from);
    let started_at = columns.instant()?;
    let ended_at = columns.instant()?;
    let outcome = match columns.filled()? {
        None => None,
        Some(word) => Some(AttemptOutcome::from_wire(word).ok_or_else(|| wrong("outcome", &word))?),
    };
    let mut kind = match columns.filled()? {
        None => None,
        Some(word) => {
            Some(AttemptType::from_wire(word).ok_or_else(|| wrong("attempt_type", &word))?)
        }
    };
    let retry_at = columns.instant()?;
    let failure_category = columns.next()?;
    let failure_reason = columns.next()?;
    let policy_json = columns.next()?;
    let raw_fields = columns.text()?;
    // Tools that know no columns of ours keep these in JSON.
    if raw_fields != "{}" && (attempt_id.is_none() || lease_id.is_none() || kind.is_none()) {
        let fields: AttemptFields =
            serde_json::from_str(raw_fields).map_err(|error| wrong("raw_fields", &error))?;
        attempt_id = attempt_id.or(fields.attempt_id.0);
        lease_id = lease_id.or(fields.lease_id.0);
        let word = fields.attempt_type.as_deref();
        kind = kind.or_else(|| word.and_then(AttemptType::from_wire));
    }
    Ok(Some(Attempt {
        execution_id: execution_id.clone(),
        index,
        attempt_id: attempt_id.map(AttemptId::from_uuid),
        kind: kind.unwrap_or(AttemptType::Initial),
        epoch: LeaseEpoch(epoch),
        worker_id,
        worker_instance_id,
        lease_id: lease_id.map(LeaseId::from_uuid),
        lease_expires_at,
        lease_expired_at,
        started_at,
        ended_at,
        outcome,
        failure_reason,
        failure_category,
        retry_at,
        policy_json,
    }))
}

/// The stored word; NULL while the execution has not ended.
pub(crate) fn outcome_word(outcome: TerminalOutcome) -> Option<&'static str> {
    (outcome != TerminalOutcome::None).then_some(outcome.as_str())
}

/// The stored word; NULL when nothing holds the execution.
pub(crate) fn reason_word(reason: BlockingReason) -> Option<&'static str> {
    (reason != BlockingReason::None).then_some(reason.as_str())
}
