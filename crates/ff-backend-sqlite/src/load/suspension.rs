//! Waiting: the rows of suspensions, waitpoints, signals and keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ff_core::EngineError;
use ff_core::backend::WaitpointHmac;
use ff_core::contracts::{
    AdditionalWaitpointBinding, SuspendOutcomeDetails, SuspensionRequester, TimeoutBehavior,
};
use ff_core::handle_codec;
use ff_core::machine::Footprint;
use ff_core::machine::limits::OPEN_WAITPOINTS_MAX;
use ff_core::machine::policy;
use ff_core::machine::rows::Execution;
use ff_core::machine::suspension::condition::Counted;
use ff_core::machine::suspension::{
    Closed, Observing, Probe, Secret, Seen, Signal, SignalHead, SignalTally, SigningKey,
    SuspendDedup, Suspension, Waitpoint, WaitpointState,
};
use ff_core::state::LifecyclePhase;
use ff_core::types::{
    AttemptIndex, DurationMs, ExecutionId, SignalId, SuspensionId, TimestampMs, WaitpointId,
};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Doing as _, corrupt};
use crate::read::page;
use crate::row::{Columns, Of, execution_id, unsigned};
use crate::session::{SqliteSession, prepared};
use crate::statement::{self, Named};

pub(super) fn seen(
    conn: &SqliteSession<'_>,
    footprint: &Footprint,
    execution: Option<&Execution>,
) -> Result<Seen, EngineError> {
    let wanted = &footprint.suspension;
    let mut seen = Seen::default();
    if wanted.keys {
        seen.keys = keys(conn)?;
    }
    let Some(id) = &footprint.execution else { return Ok(seen) };
    let is_suspended =
        execution.is_some_and(|row| row.state.lifecycle_phase == LifecyclePhase::Suspended);
    if wanted.suspension || is_suspended {
        seen.suspension = suspension(conn, id)?;
        seen.tally = tally(conn, id)?;
    }
    if wanted.open {
        // One more than there may be, so that a full house shows.
        seen.waitpoints = open_waitpoints(conn, id, None, OPEN_WAITPOINTS_MAX + 1)?;
    }
    for wanted in &wanted.waitpoints {
        if seen.waitpoint(wanted).is_none() {
            let found = match waitpoint(conn, id.partition(), wanted)? {
                Some(open) => Some(open),
                None => closed_waitpoint(conn, id.partition(), wanted)?,
            };
            seen.waitpoints.extend(found);
        }
    }
    if let Some(waitpoint) = &wanted.buffered {
        seen.buffered = buffered(conn, id, waitpoint)?;
    }
    if let Some(key) = &wanted.dedup {
        seen.dedup = suspend_dedup(conn, id, key)?;
    }
    if let Some(wanted) = &wanted.signal {
        probe(conn, id, wanted, &mut seen)?;
    }
    let is_observed = match wanted.observed {
        Observing::No => false,
        Observing::IfInterrupted => execution.is_some_and(Execution::is_interrupted),
        Observing::Yes => true,
    };
    if let Some(execution) = execution.filter(|_| is_observed) {
        seen.observed = observed(conn, id, execution.attempt_index)?;
    }
    Ok(seen)
}

/// Length of a signing key's secret.
const SECRET_BYTES: usize = 32;

fn keys(conn: &SqliteSession<'_>) -> Result<Vec<SigningKey>, EngineError> {
    let what = "load the signing keys";
    let mut statement = prepared(conn, statement::SIGNING_KEY_LIST)?;
    let mut rows = statement.query([]).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        let kid = columns.text()?.to_owned();
        let secret = columns.bytes()?.unwrap_or_default();
        // Whoever knows that a key is short can sign with it.
        if secret.len() != SECRET_BYTES {
            let value = format_args!("{} bytes", secret.len());
            return Err(corrupt("ff_waitpoint_hmac", "secret", format_args!("key {kid}"), value));
        }
        found.push(SigningKey {
            secret: Secret::new(secret),
            kid,
            rotated_at: TimestampMs(columns.next()?),
            active: columns.next::<i64>()? != 0,
            expires_at: columns.instant()?,
        });
    }
    Ok(found)
}

fn suspension(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
) -> Result<Option<Suspension>, EngineError> {
    let what = "load a suspension";
    let mut statement = prepared(conn, statement::SUSPENSION_LOAD)?;
    let mut rows = statement.query(params![id.partition(), id.uuid().into_bytes()]).doing(what)?;
    rows.next().doing(what)?.map(suspension_row).transpose()
}

const SUSPENSION: &str = "ff_suspension_current";

/// Reads a row of `suspension_load`.
pub(crate) fn suspension_row(row: &Row<'_>) -> Result<Suspension, EngineError> {
    let mut columns = Columns::of(row);
    let partition = columns.next()?;
    let id = execution_id(SUSPENSION, partition, columns.bytes()?.unwrap_or_default())?;
    let wrong =
        |column: &str, value: &dyn fmt::Display| corrupt(SUSPENSION, column, Of(&id), value);
    let suspension_id = columns.bytes()?.unwrap_or_default();
    let suspension_id =
        Uuid::from_slice(suspension_id).map_err(|error| wrong("suspension_id", &error))?;
    let version = unsigned(SUSPENSION, "version", &id, columns.next()?)?;
    let attempt_index = columns.next::<Option<u32>>()?.map(AttemptIndex);
    let suspended_at = TimestampMs(columns.next()?);
    let timeout_at = columns.instant()?;
    // The contract takes any other word as `fail`.
    let timeout_behavior = columns
        .filled()?
        .map(|word| policy::timeout_behavior(word).unwrap_or(TimeoutBehavior::Fail));
    let reason_code = columns.filled()?.unwrap_or_default().to_owned();
    let requested_by = match columns.filled()? {
        None => SuspensionRequester::Worker,
        Some(word) => requester(word).ok_or_else(|| wrong("requested_by", &word))?,
    };
    // Tools write `{}` where they know no condition; no signal satisfies it.
    let condition = match columns.text()? {
        "{}" => None,
        json => Some(serde_json::from_str(json).map_err(|error| wrong("condition", &error))?),
    };
    let progress =
        serde_json::from_str(columns.text()?).map_err(|error| wrong("satisfied_set", &error))?;
    let resume_delay = match columns.next::<Option<i64>>()? {
        None => None,
        Some(ms) => Some(DurationMs(unsigned(SUSPENSION, "resume_delay_ms", &id, ms)?)),
    };
    let continuation = columns.next()?;
    let closed = closed(&mut columns)?;
    Ok(Suspension {
        suspension_id: SuspensionId::from_uuid(suspension_id),
        version,
        attempt_index,
        suspended_at,
        timeout_at,
        timeout_behavior,
        reason_code,
        requested_by,
        condition,
        progress,
        resume_delay,
        continuation,
        closed,
        execution_id: id,
    })
}

fn requester(word: &str) -> Option<SuspensionRequester> {
    use SuspensionRequester::{Operator, Policy, SystemTimeoutPolicy, Worker};
    [Worker, Operator, Policy, SystemTimeoutPolicy]
        .into_iter()
        .find(|requester| requester.as_wire_str() == word)
}

fn closed(columns: &mut Columns<'_>) -> Result<Option<Closed>, EngineError> {
    let at = columns.instant()?;
    let reason: Option<String> = columns.next()?;
    Ok(at.map(|at| Closed { at, reason: reason.unwrap_or_default() }))
}

fn tally(conn: &SqliteSession<'_>, id: &ExecutionId) -> Result<SignalTally, EngineError> {
    let newest: Option<(i64, i64)> = prepared(conn, statement::SIGNAL_TALLY)?
        .query_row(params![id.partition(), id.uuid().into_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .doing("count the signals of an execution")?;
    let Some((count, bytes)) = newest else { return Ok(SignalTally::default()) };
    Ok(SignalTally {
        count: unsigned("ff_signal", "seq", id, count)?,
        bytes: unsigned("ff_signal", "bytes_so_far", id, bytes)?,
    })
}

const WAITPOINT: &str = "ff_waitpoint_pending";

/// A waitpoint that has not ended.
pub(crate) fn waitpoint(
    conn: &SqliteSession<'_>,
    partition: u16,
    id: &WaitpointId,
) -> Result<Option<Waitpoint>, EngineError> {
    one_waitpoint(conn, statement::WAITPOINT_LOAD, partition, id)
}

fn closed_waitpoint(
    conn: &SqliteSession<'_>,
    partition: u16,
    id: &WaitpointId,
) -> Result<Option<Waitpoint>, EngineError> {
    one_waitpoint(conn, statement::WAITPOINT_LOAD_CLOSED, partition, id)
}

fn one_waitpoint(
    conn: &SqliteSession<'_>,
    sql: Named,
    partition: u16,
    id: &WaitpointId,
) -> Result<Option<Waitpoint>, EngineError> {
    let what = "load a waitpoint";
    let mut statement = prepared(conn, sql)?;
    let mut rows = statement.query(params![partition, id.as_bytes()]).doing(what)?;
    rows.next().doing(what)?.map(|row| waitpoint_row(partition, row)).transpose()
}

/// Waitpoints of an execution that have not ended, by id, after one.
pub(crate) fn open_waitpoints(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    after: Option<&WaitpointId>,
    limit: usize,
) -> Result<Vec<Waitpoint>, EngineError> {
    let what = "list waitpoints";
    let mut statement = prepared(conn, statement::WAITPOINT_LIST)?;
    let after: &[u8] = after.map_or(&[], |after| after.as_bytes());
    let values = params![id.partition(), id.uuid().into_bytes(), after, page(limit)];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(waitpoint_row(id.partition(), row)?);
    }
    Ok(found)
}

fn waitpoint_row(partition: u16, row: &Row<'_>) -> Result<Waitpoint, EngineError> {
    let mut columns = Columns::of(row);
    let id = columns.bytes()?.unwrap_or_default();
    let owner = execution_id(WAITPOINT, partition.into(), columns.bytes()?.unwrap_or_default())?;
    let wrong =
        |column: &str, value: &dyn fmt::Display| corrupt(WAITPOINT, column, Of(&owner), value);
    let id = Uuid::from_slice(id).map_err(|error| wrong("waitpoint_id", &error))?;
    let attempt_index = columns.next::<Option<u32>>()?.map(AttemptIndex);
    let suspension_id = match columns.bytes()? {
        None => None,
        Some(bytes) => {
            Some(Uuid::from_slice(bytes).map_err(|error| wrong("suspension_id", &error))?)
        }
    };
    let key = columns.text()?.to_owned();
    let kid = columns.text()?.to_owned();
    let token = WaitpointHmac::new(columns.text()?);
    let created_at = TimestampMs(columns.next()?);
    let activated_at = columns.instant()?;
    let expires_at = columns.instant()?;
    let required_signal_names = serde_json::from_str(columns.text()?)
        .map_err(|error| wrong("required_signal_names", &error))?;
    let state = columns.text()?;
    let state = WaitpointState::from_wire(state).ok_or_else(|| wrong("state", &state))?;
    Ok(Waitpoint {
        id: WaitpointId::from_uuid(id),
        attempt_index,
        suspension_id: suspension_id.map(SuspensionId::from_uuid),
        key,
        kid,
        token,
        created_at,
        activated_at,
        expires_at,
        required_signal_names,
        state,
        closed: closed(&mut columns)?,
        execution_id: owner,
    })
}

const SIGNAL: &str = "ff_signal";

fn signal_id(id: &ExecutionId, bytes: Option<&[u8]>) -> Result<SignalId, EngineError> {
    Uuid::from_slice(bytes.unwrap_or_default())
        .map(SignalId::from_uuid)
        .map_err(|error| corrupt(SIGNAL, "signal_id", Of(id), error))
}

fn buffered(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    waitpoint: &WaitpointId,
) -> Result<Vec<SignalHead>, EngineError> {
    let what = "load buffered signals";
    let mut statement = prepared(conn, statement::SIGNAL_BUFFERED)?;
    let values = params![id.partition(), id.uuid().into_bytes(), waitpoint.as_bytes()];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        found.push(SignalHead {
            signal_id: signal_id(id, columns.bytes()?)?,
            waitpoint_key: columns.next()?,
            name: columns.next()?,
            source_type: columns.next()?,
            source_identity: columns.next()?,
        });
    }
    Ok(found)
}

fn observed(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    attempt: AttemptIndex,
) -> Result<Vec<Signal>, EngineError> {
    let what = "load the signals of an attempt";
    let mut statement = prepared(conn, statement::SIGNAL_OBSERVED)?;
    let values = params![id.partition(), id.uuid().into_bytes(), attempt.0];
    let mut rows = statement.query(values).doing(what)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(what)? {
        found.push(signal_row(id, row)?);
    }
    let mapped = mapped(conn, id, attempt)?;
    if !mapped.is_empty() {
        let known: BTreeSet<Uuid> = found.iter().map(|signal| signal.signal_id.0).collect();
        found.extend(mapped.into_iter().filter(|signal| !known.contains(&signal.signal_id.0)));
        found.sort_by(|one, other| {
            (&one.waitpoint_key, one.accepted_at).cmp(&(&other.waitpoint_key, other.accepted_at))
        });
    }
    Ok(found)
}

/// A signal as tools write it into `member_map`.
#[derive(Deserialize)]
struct Mapped {
    signal_id: Uuid,
    signal_name: String,
    #[serde(default)]
    signal_category: String,
    #[serde(default)]
    source_type: String,
    #[serde(default)]
    source_identity: String,
    #[serde(default)]
    correlation_id: String,
    #[serde(default)]
    accepted_at: i64,
    #[serde(default)]
    payload_hex: Option<String>,
}

/// The signals that a tool wrote into the suspension's row. No condition counts them.
fn mapped(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    attempt: AttemptIndex,
) -> Result<Vec<Signal>, EngineError> {
    let what = "load the signals of a suspension's row";
    let json: Option<String> = prepared(conn, statement::SUSPENSION_LOAD_MAP)?
        .query_row(params![id.partition(), id.uuid().into_bytes(), attempt.0], |row| row.get(0))
        .optional()
        .doing(what)?;
    let Some(json) = json else { return Ok(Vec::new()) };
    let wrong = |what: &dyn fmt::Display| corrupt(SUSPENSION, "member_map", Of(id), what);
    let by_key: BTreeMap<String, Vec<Mapped>> =
        serde_json::from_str(&json).map_err(|error| wrong(&error))?;
    let mut found = Vec::new();
    for (waitpoint_key, signals) in by_key {
        for signal in signals {
            let payload = signal.payload_hex.map(hex::decode).transpose();
            found.push(Signal {
                execution_id: id.clone(),
                seq: 0,
                bytes_so_far: 0,
                signal_id: SignalId::from_uuid(signal.signal_id),
                waitpoint_id: None,
                waitpoint_key: waitpoint_key.clone(),
                suspension_id: None,
                name: signal.signal_name,
                category: signal.signal_category,
                source_type: signal.source_type,
                source_identity: signal.source_identity,
                correlation_id: signal.correlation_id,
                payload: payload.map_err(|error| wrong(&error))?,
                payload_encoding: None,
                accepted_at: TimestampMs(signal.accepted_at),
            });
        }
    }
    Ok(found)
}

fn signal_row(id: &ExecutionId, row: &Row<'_>) -> Result<Signal, EngineError> {
    let mut columns = Columns::of(row);
    let uuid = |column: &str, bytes: Option<&[u8]>| match bytes {
        None => Ok(None),
        Some(bytes) => Uuid::from_slice(bytes)
            .map(Some)
            .map_err(|error| corrupt(SIGNAL, column, Of(id), error)),
    };
    Ok(Signal {
        execution_id: id.clone(),
        seq: unsigned(SIGNAL, "seq", id, columns.next()?)?,
        bytes_so_far: unsigned(SIGNAL, "bytes_so_far", id, columns.next()?)?,
        signal_id: signal_id(id, columns.bytes()?)?,
        waitpoint_id: uuid("waitpoint_id", columns.bytes()?)?.map(WaitpointId::from_uuid),
        waitpoint_key: columns.next()?,
        suspension_id: uuid("suspension_id", columns.bytes()?)?.map(SuspensionId::from_uuid),
        name: columns.next()?,
        category: columns.next()?,
        source_type: columns.next()?,
        source_identity: columns.next()?,
        correlation_id: columns.next()?,
        payload: columns.bytes()?.map(<[u8]>::to_vec),
        payload_encoding: columns.next()?,
        accepted_at: TimestampMs(columns.next()?),
    })
}

fn probe(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    probe: &Probe,
    seen: &mut Seen,
) -> Result<(), EngineError> {
    let what = "look for a signal";
    if let Some(signal) = &probe.signal_id {
        let values = params![id.partition(), probe.waitpoint_id.as_bytes(), signal.as_bytes()];
        let is_known: bool = prepared(conn, statement::SIGNAL_KNOWN)?
            .query_row(values, |row| row.get(0))
            .doing(what)?;
        seen.known_signal = is_known.then(|| signal.clone());
    }
    if let Some(key) = probe.key.as_ref().filter(|_| seen.known_signal.is_none()) {
        let values = params![id.partition(), probe.waitpoint_id.as_bytes(), key];
        let known: Option<(Vec<u8>, i64)> = prepared(conn, statement::SIGNAL_DEDUP_LOAD)?
            .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .doing(what)?;
        if let Some((known, until)) = known {
            seen.known_signal = Some(signal_id(id, Some(&known))?);
            seen.known_until = Some(TimestampMs(until));
        }
    }
    let mut statement = prepared(conn, statement::SIGNAL_COUNTED_LOAD)?;
    let [itself, source] = &probe.things;
    let values = params![id.partition(), id.uuid().into_bytes(), itself, source];
    let mut rows = statement.query(values).doing(what)?;
    while let Some(row) = rows.next().doing(what)? {
        let mut columns = Columns::of(row);
        seen.counted.push(Counted { leaf: columns.next()?, thing: columns.next()? });
    }
    Ok(())
}

/// The key of a remembered suspend, scoped to its execution.
pub(crate) fn scoped(id: &ExecutionId, key: &str) -> String {
    format!("{}:{key}", id.uuid())
}

/// The outcome of a remembered suspend.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) variant: String,
    pub(crate) details: Details,
    pub(crate) handle_opaque_hex: Option<String>,
    #[serde(default)]
    pub(crate) run: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) suspension_id: Uuid,
    pub(crate) waitpoint_id: Uuid,
    pub(crate) waitpoint_key: String,
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) extras: Vec<Extra>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) waitpoint_id: Uuid,
    pub(crate) waitpoint_key: String,
    pub(crate) token: String,
}

impl Outcome {
    pub(crate) const SUSPENDED: &'static str = "Suspended";
    pub(crate) const ALREADY_SATISFIED: &'static str = "AlreadySatisfied";
}

fn suspend_dedup(
    conn: &SqliteSession<'_>,
    id: &ExecutionId,
    key: &str,
) -> Result<Option<SuspendDedup>, EngineError> {
    const TABLE: &str = "ff_suspend_dedup";
    let found: Option<(String, i64, i64)> = prepared(conn, statement::SUSPEND_DEDUP_LOAD)?
        .query_row(params![id.partition(), scoped(id, key)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .doing("load a remembered suspend")?;
    let Some((json, created_at, expires_at)) = found else { return Ok(None) };
    // The text holds tokens: no error may quote it.
    let wrong = |what: &str| corrupt(TABLE, "outcome_json", Of(id), what);
    let outcome: Outcome =
        serde_json::from_str(&json).map_err(|_| wrong("not the outcome of a suspend"))?;
    let handle = outcome.handle_opaque_hex.and_then(|digits| hex::decode(digits).ok());
    let opaque = ff_core::backend::HandleOpaque::new(handle.unwrap_or_default().into());
    let holder =
        handle_codec::decode(&opaque).map_err(|_| wrong("a handle that cannot be read"))?.payload;
    let details = outcome.details;
    let extras = details.extras.into_iter().map(|extra| {
        AdditionalWaitpointBinding::new(
            WaitpointId::from_uuid(extra.waitpoint_id),
            extra.waitpoint_key,
            WaitpointHmac::new(extra.token),
        )
    });
    let told = SuspendOutcomeDetails::new(
        SuspensionId::from_uuid(details.suspension_id),
        WaitpointId::from_uuid(details.waitpoint_id),
        details.waitpoint_key,
        WaitpointHmac::new(details.token),
    )
    .with_additional_waitpoints(extras.collect());
    Ok(Some(SuspendDedup {
        execution_id: id.clone(),
        key: key.to_owned(),
        run: outcome.run,
        details: told,
        already_satisfied: outcome.variant == Outcome::ALREADY_SATISFIED,
        holder,
        created_at: TimestampMs(created_at),
        expires_at: TimestampMs(expires_at),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::database;

    #[test]
    fn a_secret_of_another_length_signs_and_verifies_nothing() {
        for (length, is_read) in [(0, false), (31, false), (32, true), (33, false)] {
            let conn = database();
            conn.execute(
                "INSERT INTO ff_waitpoint_hmac (kid, secret, rotated_at_ms) VALUES ('k1', zeroblob(?1), 0)",
                [length],
            )
            .unwrap();

            let read = keys(&SqliteSession::new(&conn)).map(|keys| keys.len());

            match read {
                Ok(count) => assert!(is_read && count == 1, "{length} bytes"),
                Err(error) => {
                    assert!(!is_read, "{length} bytes: {error}");
                    let error = error.to_string();
                    assert!(error.contains("ff_waitpoint_hmac.secret"), "{error}");
                    assert!(error.contains("k1"), "{error}");
                }
            }
        }
    }
}
