//! Rows as the tables hold them, and rows as the rules see them.
//!
//! Reading takes what the 0.15 contract lets SQL from outside write: columns of ours at their defaults, and the older
//! spellings of the state columns. Writing uses the canonical words only. A value outside both is corruption, named by
//! table, column and execution; it is never a default.

use std::collections::BTreeMap;
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
use rusqlite::types::{FromSql, FromSqlError};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Doing as _, corrupt};

/// Reads a row's columns in the order in which its statement names them.
pub(crate) struct Columns<'r> {
    row: &'r Row<'r>,
    at: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r Row<'r>) -> Self {
        Self { row, at: 0 }
    }

    pub(crate) fn next<T: FromSql>(&mut self) -> Result<T, EngineError> {
        let value = self.row.get(self.at).doing("read a row");
        self.at += 1;
        value
    }

    pub(crate) fn text(&mut self) -> Result<&'r str, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_str()));
        self.at += 1;
        read.doing("read a row")
    }

    /// The text, or `None` for NULL and for the empty text.
    pub(crate) fn filled(&mut self) -> Result<Option<&'r str>, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_str_or_null()));
        self.at += 1;
        Ok(read.doing("read a row")?.filter(|text| !text.is_empty()))
    }

    /// The bytes, or `None` for NULL.
    pub(crate) fn bytes(&mut self) -> Result<Option<&'r [u8]>, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_blob_or_null()));
        self.at += 1;
        read.doing("read a row")
    }

    /// A UUID in sixteen bytes; `None` for NULL and for anything else.
    fn uuid(&mut self) -> Result<Option<Uuid>, EngineError> {
        Ok(self.bytes()?.and_then(|bytes| Uuid::from_slice(bytes).ok()))
    }

    pub(crate) fn instant(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        Ok(self.next::<Option<i64>>()?.map(TimestampMs))
    }

    fn typed<T>(&self, value: Result<T, FromSqlError>) -> rusqlite::Result<T> {
        value.map_err(|error| {
            let column = self.row.as_ref().column_name(self.at).unwrap_or("?").to_owned();
            match self.row.get_ref(self.at) {
                Ok(found) if matches!(error, FromSqlError::InvalidType) => {
                    rusqlite::Error::InvalidColumnType(self.at, column, found.data_type())
                }
                Ok(found) => rusqlite::Error::FromSqlConversionFailure(
                    self.at,
                    found.data_type(),
                    Box::new(error),
                ),
                Err(error) => error,
            }
        })
    }
}

/// An id from its two columns.
pub(crate) fn execution_id(
    table: &str,
    partition: i64,
    uuid: &[u8],
) -> Result<ExecutionId, EngineError> {
    match (u16::try_from(partition), Uuid::from_slice(uuid)) {
        (Ok(partition), Ok(uuid)) => Ok(ExecutionId::from_parts(partition, uuid)),
        (Err(_), _) => Err(corrupt(table, "partition_key", Hex(uuid), partition)),
        (Ok(partition), Err(_)) => {
            Err(corrupt(table, "execution_id", format_args!("partition {partition}"), Hex(uuid)))
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x'")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("'")
    }
}

/// The row that a corrupt column belongs to.
pub(crate) struct Of<'a>(pub(crate) &'a ExecutionId);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "execution {}", self.0)
    }
}

/// An unsigned number of ours in SQLite's signed column.
pub(crate) fn signed(column: &str, of: &ExecutionId, value: u64) -> Result<i64, EngineError> {
    i64::try_from(value).map_err(|_| corrupt("engine", column, Of(of), value))
}

/// A number that is never negative in our rows.
pub(crate) fn unsigned(
    table: &str,
    column: &str,
    of: &ExecutionId,
    value: i64,
) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| corrupt(table, column, Of(of), value))
}

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
    let reserves_slots = columns.next()?;
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
        reserves_slots,
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

/// The same members twice: for a document with no others, and for any document.
macro_rules! execution_fields {
    ($($name:ident: $type:ty,)+) => {
        /// The members of `ff_exec_core.raw_fields` that the engine reads. It passes over all others.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct ExecutionFields {
            $($name: $type,)+
            /// Whether there are others.
            #[serde(skip, default = "yes")]
            has_others: bool,
        }

        /// As [`ExecutionFields`], and refuses others.
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct OnlyExecutionFields {
            $($name: $type,)+
            #[serde(rename = "total_attempt_count")]
            _total_attempt_count: IgnoredAny,
            #[serde(rename = "current_worker_id")]
            _current_worker_id: IgnoredAny,
            #[serde(rename = "current_worker_instance_id")]
            _current_worker_instance_id: IgnoredAny,
        }

        impl From<OnlyExecutionFields> for ExecutionFields {
            fn from(fields: OnlyExecutionFields) -> Self {
                Self { $($name: fields.$name,)+ has_others: false }
            }
        }
    };
}

execution_fields! {
    namespace: Option<String>,
    execution_kind: Option<String>,
    creator_identity: Option<String>,
    idempotency_key: Option<String>,
    payload_encoding: Option<String>,
    last_mutation_at: Number,
    tags: Tags,
    progress_pct: Number,
    progress_message: Option<String>,
    failure_reason: Option<String>,
    retry_count: Number,
    replay_count: Number,
    terminal_outcome: Option<String>,
    current_attempt_id: Id,
    current_lease_id: Id,
    delay_until: Number,
    blocking_detail: Option<String>,
}

fn yes() -> bool {
    true
}

impl ExecutionFields {
    /// Reads a document once; one with members that the engine does not know, twice.
    fn read(json: &str) -> serde_json::Result<Self> {
        match serde_json::from_str::<OnlyExecutionFields>(json) {
            Ok(fields) => Ok(fields.into()),
            Err(_) => serde_json::from_str(json),
        }
    }

    /// Whether the engine could have written it.
    fn is_plain(&self) -> bool {
        !self.has_others
            && self.tags.is_plain
            && self.namespace.is_some()
            && self.execution_kind.is_some()
            && self.creator_identity.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AttemptFields {
    attempt_id: Id,
    lease_id: Id,
    attempt_type: Option<String>,
}

/// A whole number, as a JSON number or as text; the empty text is none.
#[derive(Clone, Copy, Default)]
struct Number(Option<i64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                i64::try_from(number).map(|number| Number(Some(number))).map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Number, E> {
                // `50.0` prints as `50`: what has a fraction does not read back as a whole number.
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "" => Ok(Number(None)),
                    _ => text
                        .parse()
                        .map(|number| Number(Some(number)))
                        .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// A UUID in text; anything else counts as unknown.
#[derive(Default)]
struct Id(Option<Uuid>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(Uuid::parse_str(text).ok()))
            }

            fn visit_unit<E>(self) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// Tags; a value that is a number or a flag is read as its text.
struct Tags {
    tags: BTreeMap<String, String>,
    /// Whether all values are text.
    is_plain: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { tags: BTreeMap::new(), is_plain: true }
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut tags, mut is_plain) = (BTreeMap::new(), true);
        let stored = Option::<BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?;
        for (key, value) in stored.unwrap_or_default() {
            is_plain &= value.is_string();
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(flag) => flag.to_string(),
                serde_json::Value::Null => continue,
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                    return Err(D::Error::custom(format_args!("the tag `{key}` is not text")));
                }
            };
            tags.insert(key, text);
        }
        Ok(Self { tags, is_plain })
    }
}

/// The members of `ff_exec_core.raw_fields` that a write sets: the whole document, or a merge patch (RFC 7396). What is null leaves the document, what is not there stays as it is.
#[derive(Serialize)]
struct FieldsPatch<'a> {
    #[serde(flatten)]
    born: Option<Born<'a>>,
    last_mutation_at: Text<i64>,
    total_attempt_count: Text<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Member::stays")]
    progress_pct: Member<u8>,
    #[serde(skip_serializing_if = "Member::stays")]
    progress_message: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    failure_reason: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    retry_count: Member<Text<u32>>,
    #[serde(skip_serializing_if = "Member::stays")]
    replay_count: Member<u32>,
    #[serde(skip_serializing_if = "Member::stays")]
    terminal_outcome: Member<&'static str>,
    #[serde(skip_serializing_if = "Member::stays")]
    delay_until: Member<Text<i64>>,
    #[serde(skip_serializing_if = "Member::stays")]
    blocking_detail: Member<&'a str>,
    #[serde(flatten)]
    current: Option<Current<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Member<T> {
    Stays,
    /// `None` removes it.
    Becomes(Option<T>),
}

impl<T> Member<T> {
    /// In a whole document nothing needs to be removed.
    fn of(value: Option<T>, is_whole: bool) -> Self {
        if is_whole && value.is_none() { Self::Stays } else { Self::Becomes(value) }
    }

    fn stays(&self) -> bool {
        matches!(self, Self::Stays)
    }
}

/// What a create writes once and for all.
#[derive(Serialize)]
struct Born<'a> {
    namespace: &'a str,
    execution_kind: &'a str,
    creator_identity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_encoding: Option<&'a str>,
}

/// The current attempt, for tools that look for it here.
#[derive(Serialize)]
struct Current<'a> {
    #[serde(skip_serializing_if = "Member::stays")]
    current_attempt_id: Member<Uuid>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_lease_id: Member<Uuid>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_worker_id: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_worker_instance_id: Member<&'a str>,
}

impl<'a> Current<'a> {
    fn of(execution: &Execution, attempt: &'a Attempt, is_whole: bool) -> Self {
        let held = execution.is_leased();
        let lease = attempt.lease_id.as_ref().filter(|_| held);
        let worker = attempt.worker_id.as_ref().filter(|_| held);
        let instance = attempt.worker_instance_id.as_ref().filter(|_| held);
        Self {
            current_attempt_id: Member::of(attempt.attempt_id.as_ref().map(|id| id.0), is_whole),
            current_lease_id: Member::of(lease.map(|id| id.0), is_whole),
            current_worker_id: Member::of(worker.map(WorkerId::as_str), is_whole),
            current_worker_instance_id: Member::of(
                instance.map(WorkerInstanceId::as_str),
                is_whole,
            ),
        }
    }
}

/// A number that readers expect as text.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The whole `raw_fields` of an execution, with its current attempt if it has one.
pub(crate) fn whole_fields(execution: &Execution, attempt: Option<&Attempt>) -> String {
    fields(execution, attempt, true)
}

/// The merge patch that brings `raw_fields` to the state of `execution`. `attempt` is its current attempt, if that
/// changes too.
pub(crate) fn fields_patch(execution: &Execution, attempt: Option<&Attempt>) -> String {
    fields(execution, attempt, false)
}

fn fields(execution: &Execution, attempt: Option<&Attempt>, is_whole: bool) -> String {
    let retries = (execution.retry_count > 0).then_some(Text(execution.retry_count));
    let replays = (execution.replay_count > 0).then_some(execution.replay_count);
    let document = FieldsPatch {
        born: is_whole.then(|| Born {
            namespace: execution.namespace.as_str(),
            execution_kind: &execution.kind,
            creator_identity: &execution.creator,
            idempotency_key: execution.idempotency_key.as_deref(),
            payload_encoding: execution.payload_encoding.as_deref(),
        }),
        last_mutation_at: Text(execution.mutated_at.0),
        total_attempt_count: Text(execution.attempt_count),
        tags: &execution.tags,
        progress_pct: Member::of(execution.progress_pct, is_whole),
        progress_message: Member::of(execution.progress_message.as_deref(), is_whole),
        failure_reason: Member::of(execution.failure_reason.as_deref(), is_whole),
        retry_count: Member::of(retries, is_whole),
        replay_count: Member::of(replays, is_whole),
        terminal_outcome: Member::of(outcome_word(execution.state.terminal_outcome), is_whole),
        delay_until: Member::of(execution.eligible_at.map(|at| Text(at.0)), is_whole),
        blocking_detail: Member::of(execution.blocking_detail.as_deref(), is_whole),
        current: attempt.map(|attempt| Current::of(execution, attempt, is_whole)),
    };
    let mut json = Vec::with_capacity(FIELDS_BYTES);
    serde_json::to_writer(&mut json, &document).expect("text, numbers and null are always JSON");
    String::from_utf8(json).expect("JSON is text")
}

/// Room for the usual document, so that it is written without growing.
const FIELDS_BYTES: usize = 512;

/// The stored word; NULL while the execution has not ended.
pub(crate) fn outcome_word(outcome: TerminalOutcome) -> Option<&'static str> {
    (outcome != TerminalOutcome::None).then_some(outcome.as_str())
}

/// The stored word; NULL when nothing holds the execution.
pub(crate) fn reason_word(reason: BlockingReason) -> Option<&'static str> {
    (reason != BlockingReason::None).then_some(reason.as_str())
}
