//! Waiting: suspensions, waitpoints, signals and the keys of their tokens.

use std::time::Duration;

use super::{invalid, load, opened};
use crate::EngineError;
use crate::backend::{Handle, HandleKind, PendingWaitpoint, ResumeSignal};
use crate::contracts::{
    AnswerWaitpointArgs, DeliverApprovalSignalArgs, DeliverSignalArgs, DeliverSignalResult,
    LIST_PENDING_WAITPOINTS_DEFAULT_LIMIT, LIST_PENDING_WAITPOINTS_MAX_LIMIT,
    LIST_WAITING_DEFAULT_LIMIT, LIST_WAITING_MAX_LIMIT, ListPendingWaitpointsArgs,
    ListPendingWaitpointsResult, ListSuspendedPage, ListWaitingArgs, ListWaitingPage,
    PendingWaitpointInfo, ResumeExecutionArgs, ResumeExecutionResult,
    RotateWaitpointHmacSecretAllArgs, RotateWaitpointHmacSecretAllEntry,
    RotateWaitpointHmacSecretAllResult, SeedOutcome, SeedWaitpointHmacSecretArgs, SuspendArgs,
    SuspendOutcome, SuspendedExecutionEntry, WaitingExecution,
};
use crate::engine_error::{StateKind, ValidationKind};
use crate::handle_codec;
use crate::machine::limits::{SIGNAL_DEDUP_WINDOW_MS, WAITPOINTS_PER_SUSPENSION_MAX};
use crate::machine::rows::Execution;
use crate::machine::suspension::{
    CreateWaitpoint, DeliverSignal, Observing, Proof, ResumeExecution, RotateKey, SeedKey, Signal,
    Suspend, Suspended, Suspension, Waitpoint, WaitpointState, key, token,
};
use crate::machine::{Fence, Footprint};
use crate::partition::PartitionKey;
use crate::store::{Reader, Store};
use crate::types::{DurationMs, ExecutionId, LeaseFence, TimestampMs, WaitpointId};

/// Open suspensions that one page examines; under a filter it may answer fewer.
const EXAMINED_MAX: usize = 2_000;

pub(super) async fn suspend<S: Store>(
    store: &S,
    handle: &Handle,
    args: SuspendArgs,
) -> Result<SuspendOutcome, EngineError> {
    let payload = opened::<S>(handle)?;
    if handle.kind == HandleKind::Suspended {
        return Err(EngineError::State(StateKind::AlreadySuspended));
    }
    let fence = Fence::of_handle(&payload);
    park(store, payload.execution_id, fence, args).await
}

pub(super) async fn suspend_by_triple<S: Store>(
    store: &S,
    execution_id: ExecutionId,
    triple: LeaseFence,
    args: SuspendArgs,
) -> Result<SuspendOutcome, EngineError> {
    // A triple names no attempt; the current one is what it must own.
    let seen = super::execution::row(store, &execution_id).await?;
    let index = seen.ok_or(EngineError::NotFound { entity: "execution" })?.attempt_index;
    let fence = Fence::required(index, Some(&triple))?;
    park(store, execution_id, fence, args).await
}

async fn park<S: Store>(
    store: &S,
    execution_id: ExecutionId,
    fence: Fence,
    args: SuspendArgs,
) -> Result<SuspendOutcome, EngineError> {
    let fresh_secret = store.fresh_secret()?;
    Ok(match store.execute(Suspend { execution_id, fence, args, fresh_secret }).await? {
        Suspended::Suspended { details, holder } => {
            let opaque = handle_codec::encode(S::TAG, &holder);
            let handle = Handle::new(S::TAG, HandleKind::Suspended, opaque);
            SuspendOutcome::Suspended { details, handle }
        }
        Suspended::AlreadySatisfied { details } => SuspendOutcome::AlreadySatisfied { details },
    })
}

pub(super) async fn create_waitpoint<S: Store>(
    store: &S,
    handle: &Handle,
    key: &str,
    expires_in: Duration,
) -> Result<PendingWaitpoint, EngineError> {
    let payload = opened::<S>(handle)?;
    let expires_in = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
    let command = CreateWaitpoint {
        fence: Fence::of_handle(&payload),
        execution_id: payload.execution_id,
        key: key.to_owned(),
        expires_in: DurationMs(expires_in),
        fresh_secret: store.fresh_secret()?,
    };
    let made = store.execute(command).await?;
    Ok(PendingWaitpoint::new(made.id, made.token))
}

pub(super) async fn observe_signals<S: Store>(
    store: &S,
    handle: &Handle,
) -> Result<Vec<ResumeSignal>, EngineError> {
    let payload = opened::<S>(handle)?;
    let mut footprint = Footprint::execution(&payload.execution_id);
    footprint.suspension.observed = Observing::Yes;
    let seen = load(store, footprint).await?;
    if seen.execution.is_none_or(|execution| execution.attempt_index != payload.attempt_index) {
        return Ok(Vec::new());
    }
    Ok(seen.suspension.observed.into_iter().map(Signal::seen).collect())
}

pub(super) async fn deliver_signal<S: Store>(
    store: &S,
    args: DeliverSignalArgs,
) -> Result<DeliverSignalResult, EngineError> {
    store
        .execute(DeliverSignal {
            execution_id: args.execution_id,
            waitpoint_id: args.waitpoint_id,
            proof: Proof::Token(args.waitpoint_token),
            signal_id: Some(args.signal_id),
            name: args.signal_name,
            category: args.signal_category,
            source_type: args.source_type,
            source_identity: args.source_identity,
            correlation_id: args.correlation_id.unwrap_or_default(),
            payload: args.payload,
            payload_encoding: args.payload_encoding,
            idempotency_key: args.idempotency_key,
            dedup_window: DurationMs(args.dedup_ttl_ms.unwrap_or(SIGNAL_DEDUP_WINDOW_MS)),
            resume_delay: args.resume_delay_ms.map(DurationMs),
            signals_max: args.max_signals_per_execution,
        })
        .await
}

pub(super) async fn deliver_approval_signal<S: Store>(
    store: &S,
    args: DeliverApprovalSignalArgs,
) -> Result<DeliverSignalResult, EngineError> {
    let key = format!("approval:{}:{}", args.signal_name, args.idempotency_suffix);
    store
        .execute(DeliverSignal {
            execution_id: args.execution_id,
            waitpoint_id: args.waitpoint_id,
            proof: Proof::Operator { lane: Some(args.lane_id) },
            signal_id: None,
            name: args.signal_name,
            category: "approval".to_owned(),
            source_type: "operator".to_owned(),
            source_identity: String::new(),
            correlation_id: String::new(),
            payload: None,
            payload_encoding: None,
            idempotency_key: Some(key),
            dedup_window: DurationMs(args.signal_dedup_ttl_ms),
            resume_delay: None,
            signals_max: args.max_signals_per_execution,
        })
        .await
}

pub(super) async fn answer_waitpoint<S: Store>(
    store: &S,
    args: AnswerWaitpointArgs,
) -> Result<DeliverSignalResult, EngineError> {
    store
        .execute(DeliverSignal {
            execution_id: args.execution_id,
            waitpoint_id: args.waitpoint_id,
            proof: Proof::Operator { lane: None },
            signal_id: None,
            name: args.signal_name,
            category: "answer".to_owned(),
            source_type: "operator".to_owned(),
            source_identity: args.answered_by,
            correlation_id: String::new(),
            payload: args.payload,
            payload_encoding: args.payload_encoding,
            idempotency_key: args.idempotency_key,
            dedup_window: DurationMs(SIGNAL_DEDUP_WINDOW_MS),
            resume_delay: None,
            signals_max: None,
        })
        .await
}

pub(super) async fn resume_execution<S: Store>(
    store: &S,
    args: ResumeExecutionArgs,
) -> Result<ResumeExecutionResult, EngineError> {
    let command = ResumeExecution {
        execution_id: args.execution_id,
        trigger: args.trigger_type,
        delay: DurationMs(args.resume_delay_ms),
    };
    let public_state = store.execute(command).await?;
    Ok(ResumeExecutionResult::Resumed { public_state })
}

pub(super) async fn seed<S: Store>(
    store: &S,
    args: SeedWaitpointHmacSecretArgs,
) -> Result<SeedOutcome, EngineError> {
    let secret = key::parse(&args.kid, &args.secret_hex)?;
    store.execute(SeedKey { kid: args.kid, secret }).await
}

pub(super) async fn rotate<S: Store>(
    store: &S,
    args: RotateWaitpointHmacSecretAllArgs,
) -> Result<RotateWaitpointHmacSecretAllResult, EngineError> {
    let secret = key::parse(&args.new_kid, &args.new_secret_hex)?;
    let grace = DurationMs(args.grace_ms);
    let rotated = match store.execute(RotateKey { kid: args.new_kid, secret, grace }).await {
        Err(error @ EngineError::Validation { .. }) => return Err(error),
        rotated => rotated,
    };
    let entry = RotateWaitpointHmacSecretAllEntry::new(0, rotated);
    Ok(RotateWaitpointHmacSecretAllResult::new(vec![entry]))
}

fn partition_index(partition: &PartitionKey) -> Result<u16, EngineError> {
    let parsed = partition.parse().map_err(|error| invalid(format!("partition: {error}")))?;
    Ok(parsed.index)
}

pub(super) async fn read_waitpoint_token<S: Store>(
    store: &S,
    partition: PartitionKey,
    id: &WaitpointId,
) -> Result<Option<String>, EngineError> {
    let (partition, id) = (partition_index(&partition)?, id.clone());
    let waitpoint = store.read(move |reader| reader.open_waitpoint(partition, &id)).await?;
    let token = waitpoint.map(|waitpoint| waitpoint.token.as_str().to_owned());
    Ok(token.filter(|token| !token.is_empty()))
}

pub(super) async fn list_pending_waitpoints<S: Store>(
    store: &S,
    args: ListPendingWaitpointsArgs,
) -> Result<ListPendingWaitpointsResult, EngineError> {
    let limit =
        page(args.limit, LIST_PENDING_WAITPOINTS_DEFAULT_LIMIT, LIST_PENDING_WAITPOINTS_MAX_LIMIT);
    let now = store.now();
    store
        .read(move |reader| {
            let seen = reader.load(&Footprint::execution(&args.execution_id))?;
            seen.execution()?;
            let mut entries = Vec::new();
            let mut after = args.after;
            // Those whose end has come may still stand among the open ones.
            loop {
                let found =
                    reader.open_waitpoints(&args.execution_id, after.as_ref(), limit + 1)?;
                let is_last = found.len() <= limit;
                after = found.last().map(|waitpoint| waitpoint.id.clone());
                entries.extend(found.into_iter().filter(|waitpoint| is_open(waitpoint, now)));
                if is_last || entries.len() > limit {
                    break;
                }
            }
            let is_more = entries.len() > limit;
            entries.truncate(limit);
            let last = entries.last().map(|waitpoint| waitpoint.id.clone());
            let page = ListPendingWaitpointsResult::new(entries.into_iter().map(shown).collect());
            Ok(match last.filter(|_| is_more) {
                Some(last) => page.with_next_cursor(last),
                None => page,
            })
        })
        .await
}

fn page(limit: Option<u32>, default: u32, max: u32) -> usize {
    usize::try_from(limit.unwrap_or(default).clamp(1, max)).unwrap_or(usize::MAX)
}

fn is_open(waitpoint: &Waitpoint, now: TimestampMs) -> bool {
    match waitpoint.state {
        WaitpointState::Pending => waitpoint.expires_at.is_none_or(|end| now < end),
        WaitpointState::Active => true,
        WaitpointState::Closed => false,
    }
}

fn shown(waitpoint: Waitpoint) -> PendingWaitpointInfo {
    let mut info = PendingWaitpointInfo::new(
        waitpoint.id,
        waitpoint.key,
        waitpoint.state.as_str().to_owned(),
        waitpoint.created_at,
        waitpoint.execution_id,
        waitpoint.kid,
        token::fingerprint(&waitpoint.token),
    )
    .with_required_signal_names(waitpoint.required_signal_names);
    info.activated_at = waitpoint.activated_at;
    info.expires_at = waitpoint.expires_at;
    info
}

pub(super) async fn list_suspended<S: Store>(
    store: &S,
    partition: PartitionKey,
    cursor: Option<ExecutionId>,
    limit: usize,
) -> Result<ListSuspendedPage, EngineError> {
    let limit = limit.min(super::PAGE_MAX);
    let partition = partition_index(&partition)?;
    let mut found = store
        .read(move |reader| reader.open_suspensions(Some(partition), cursor.as_ref(), limit + 1))
        .await?;
    let is_more = found.len() > limit;
    found.truncate(limit);
    let entries: Vec<SuspendedExecutionEntry> = found
        .into_iter()
        .map(|row| {
            SuspendedExecutionEntry::new(row.execution_id, row.suspended_at.0, row.reason_code)
        })
        .collect();
    let next_cursor = entries.last().filter(|_| is_more).map(|last| last.execution_id.clone());
    Ok(ListSuspendedPage::new(entries, next_cursor))
}

pub(super) async fn list_waiting<S: Store>(
    store: &S,
    args: ListWaitingArgs,
) -> Result<ListWaitingPage, EngineError> {
    let limit = page(args.limit, LIST_WAITING_DEFAULT_LIMIT, LIST_WAITING_MAX_LIMIT);
    store.read(move |reader| waiting(reader, &args, limit)).await
}

fn waiting<R: Reader + ?Sized>(
    reader: &mut R,
    args: &ListWaitingArgs,
    limit: usize,
) -> Result<ListWaitingPage, EngineError> {
    let mut after = args.after.clone();
    let mut entries = Vec::new();
    let mut examined = 0;
    while entries.len() < limit && examined < EXAMINED_MAX {
        let found = reader.open_suspensions(None, after.as_ref(), limit - entries.len())?;
        if found.is_empty() {
            return Ok(ListWaitingPage::new(entries, None));
        }
        examined += found.len();
        for suspension in found {
            after = Some(suspension.execution_id.clone());
            // One damaged row must not hide the others; an operation on it by id tells what is wrong.
            let loaded = reader.load(&Footprint::execution(&suspension.execution_id));
            let Some(seen) = unless_corrupt(loaded)? else { continue };
            let fits = |execution: &Execution| {
                args.lane_id.as_ref().is_none_or(|lane| *lane == execution.lane)
                    && args.namespace.as_ref().is_none_or(|name| *name == execution.namespace)
            };
            if let Some(execution) = seen.execution.filter(fits) {
                entries.extend(unless_corrupt(waits(reader, execution, suspension))?);
            }
        }
    }
    let is_more = !reader.open_suspensions(None, after.as_ref(), 1)?.is_empty();
    Ok(ListWaitingPage::new(entries, after.filter(|_| is_more)))
}

/// What was read; `None` for rows that cannot be.
fn unless_corrupt<T>(read: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
            tracing::error!(%detail, "a suspension is left out of a list because its rows cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn waits<R: Reader + ?Sized>(
    reader: &mut R,
    execution: Execution,
    suspension: Suspension,
) -> Result<WaitingExecution, EngineError> {
    // Pending ones may stand between them.
    let open = reader.open_waitpoints(&execution.id, None, OPEN_LOOKED_AT)?;
    let of_it = open.into_iter().filter(|waitpoint| waitpoint.state == WaitpointState::Active);
    Ok(WaitingExecution {
        execution_kind: execution.kind,
        lane_id: execution.lane,
        namespace: execution.namespace,
        suspension_id: suspension.suspension_id,
        reason_code: suspension.reason_code,
        requested_by: suspension.requested_by,
        suspended_at: suspension.suspended_at,
        timeout_at: suspension.timeout_at,
        timeout_behavior: suspension.timeout_behavior.filter(|_| suspension.timeout_at.is_some()),
        continuation_metadata_pointer: suspension.continuation,
        waitpoints: of_it.take(WAITPOINTS_PER_SUSPENSION_MAX).map(shown).collect(),
        execution_id: execution.id,
    })
}

/// Open waitpoints of one execution that a page looks at.
const OPEN_LOOKED_AT: usize = crate::machine::limits::OPEN_WAITPOINTS_MAX;
