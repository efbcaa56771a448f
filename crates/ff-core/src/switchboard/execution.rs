//! Executions: from create to their end, and what is told of them.

use super::{PAGE_MAX, find, invalid, load, opened, present};
use crate::backend::{FailOutcome, FailureClass, FailureReason, Handle};
use crate::contracts::*;
use crate::engine_backend::validate_tag_key;
use crate::engine_error::{EngineError, ValidationKind};
use crate::machine::execution::{
    Cancel, CancelProof, ChangePriority, Complete, Create, Delay, Fail, Failed, Progress, Replay,
    SetTag,
};
use crate::machine::rows::Execution;
use crate::machine::{Fence, Footprint, retry};
use crate::partition::PartitionKey;
use crate::state::PublicState;
use crate::store::{Scan, Store};
use crate::types::{AttemptIndex, CancelSource, ExecutionId, TimestampMs};

/// Most transitions that one call returns.
const TRANSITIONS_MAX: usize = 10_000;

pub(super) async fn create_execution<S: Store>(
    store: &S,
    args: CreateExecutionArgs,
) -> Result<CreateExecutionResult, EngineError> {
    store.execute(Create::new(args)).await
}

pub(super) async fn progress<S: Store>(
    store: &S,
    handle: &Handle,
    percent: Option<u8>,
    message: Option<String>,
) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    let execution_id = payload.execution_id;
    store.execute(Progress { execution_id, fence, percent, message }).await
}

pub(super) async fn complete<S: Store>(
    store: &S,
    handle: &Handle,
    result: Option<Vec<u8>>,
) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    let execution_id = payload.execution_id;
    store.execute(Complete { execution_id, fence, result }).await.map(|_| ())
}

pub(super) async fn fail<S: Store>(
    store: &S,
    handle: &Handle,
    reason: FailureReason,
    classification: FailureClass,
) -> Result<FailOutcome, EngineError> {
    let payload = opened::<S>(handle)?;
    let named = reason.detail.filter(|detail| !detail.is_empty());
    let category = named
        .and_then(|detail| String::from_utf8(detail).ok())
        .filter(|_| retry::may_be_renamed(classification))
        .unwrap_or_else(|| retry::category_of(classification).to_owned());
    let command = Fail {
        fence: Fence::of_handle(&payload),
        execution_id: payload.execution_id,
        reason: reason.message,
        category,
        policy: None,
    };
    Ok(match store.execute(command).await? {
        Failed::Retry { delay_until, .. } => FailOutcome::RetryScheduled { delay_until },
        Failed::Final => FailOutcome::TerminalFailed,
    })
}

pub(super) async fn cancel<S: Store>(
    store: &S,
    handle: &Handle,
    reason: &str,
) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let proof = CancelProof::Handle(Fence::of_handle(&payload));
    store
        .execute(Cancel {
            execution_id: payload.execution_id,
            reason: reason.to_owned(),
            source: CancelSource::Custom("worker".to_owned()),
            proof,
        })
        .await
}

pub(super) async fn delay<S: Store>(
    store: &S,
    handle: &Handle,
    delay_until: TimestampMs,
) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    let execution_id = payload.execution_id;
    store.execute(Delay { execution_id, fence, until: Some(delay_until) }).await
}

pub(super) async fn complete_execution<S: Store>(
    store: &S,
    args: CompleteExecutionArgs,
) -> Result<CompleteExecutionResult, EngineError> {
    let fence = Fence::of_triple(args.attempt_index, args.fence.as_ref(), &args.source)?;
    let command =
        Complete { execution_id: args.execution_id.clone(), fence, result: args.result_payload };
    let public_state = store.execute(command).await?;
    Ok(CompleteExecutionResult::Completed { execution_id: args.execution_id, public_state })
}

pub(super) async fn fail_execution<S: Store>(
    store: &S,
    args: FailExecutionArgs,
) -> Result<FailExecutionResult, EngineError> {
    let fence = Fence::of_triple(args.attempt_index, args.fence.as_ref(), &args.source)?;
    let command = Fail {
        execution_id: args.execution_id,
        fence,
        reason: args.failure_reason,
        category: args.failure_category,
        policy: retry::parse(&args.retry_policy_json)?,
    };
    Ok(match store.execute(command).await? {
        Failed::Retry { delay_until, next_attempt_index } => {
            FailExecutionResult::RetryScheduled { delay_until, next_attempt_index }
        }
        Failed::Final => FailExecutionResult::TerminalFailed,
    })
}

pub(super) async fn read_execution_state<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<PublicState>, EngineError> {
    Ok(row(store, id).await?.map(|execution| execution.public_state()))
}

pub(super) async fn read_execution_info<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<ExecutionInfo>, EngineError> {
    Ok(row(store, id).await?.map(present::info))
}

pub(super) async fn get_execution_result<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<Vec<u8>>, EngineError> {
    Ok(load(store, Footprint::execution(id).with_result()).await?.result)
}

pub(super) async fn read_execution_context<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<ExecutionContext, EngineError> {
    let seen = load(store, Footprint::execution(id).with_payload()).await?;
    match seen.execution {
        Some(execution) => Ok(present::context(execution, seen.payload)),
        None => Err(not_found_as_input("read_execution_context", id)),
    }
}

pub(super) async fn read_current_attempt_index<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<AttemptIndex, EngineError> {
    match row(store, id).await? {
        Some(execution) => Ok(execution.attempt_index),
        None => Err(not_found_as_input("read_current_attempt_index", id)),
    }
}

pub(super) async fn read_total_attempt_count<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<AttemptIndex, EngineError> {
    match row(store, id).await? {
        Some(execution) => Ok(AttemptIndex(execution.attempt_count)),
        None => Err(not_found_as_input("read_total_attempt_count", id)),
    }
}

pub(super) async fn describe_execution<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<ExecutionSnapshot>, EngineError> {
    let seen = load(store, Footprint::execution(id)).await?;
    Ok(seen.execution.map(|execution| present::snapshot(execution, seen.current.as_ref())))
}

pub(super) async fn list_executions<S: Store>(
    store: &S,
    partition: PartitionKey,
    cursor: Option<ExecutionId>,
    limit: usize,
) -> Result<ListExecutionsPage, EngineError> {
    let limit = limit.min(PAGE_MAX);
    let partition =
        partition.parse().map_err(|error| invalid(format!("partition: {error}")))?.index;
    let scan = Scan { partition: Some(partition), after: cursor, ..Scan::default() };
    let rows = store.read(move |reader| reader.scan(&scan, limit + 1)).await?;
    let mut executions: Vec<ExecutionId> =
        rows.into_iter().map(|(execution, _)| execution.id).collect();
    let is_more = executions.len() > limit;
    executions.truncate(limit);
    let next_cursor = executions.last().filter(|_| is_more).cloned();
    Ok(ListExecutionsPage::new(executions, next_cursor))
}

pub(super) async fn set_execution_tag<S: Store>(
    store: &S,
    id: &ExecutionId,
    key: &str,
    value: &str,
) -> Result<(), EngineError> {
    validate_tag_key(key)?;
    store
        .execute(SetTag { execution_id: id.clone(), key: key.to_owned(), value: value.to_owned() })
        .await
}

pub(super) async fn get_execution_tag<S: Store>(
    store: &S,
    id: &ExecutionId,
    key: &str,
) -> Result<Option<String>, EngineError> {
    validate_tag_key(key)?;
    Ok(row(store, id).await?.and_then(|mut execution| execution.tags.remove(key)))
}

pub(super) async fn get_execution_namespace<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<String>, EngineError> {
    Ok(row(store, id).await?.map(|execution| execution.namespace.0))
}

pub(super) async fn cancel_execution<S: Store>(
    store: &S,
    args: CancelExecutionArgs,
) -> Result<CancelExecutionResult, EngineError> {
    store
        .execute(Cancel {
            execution_id: args.execution_id.clone(),
            reason: args.reason,
            source: args.source,
            proof: CancelProof::Typed {
                lease_id: args.lease_id,
                lease_epoch: args.lease_epoch,
                attempt_id: args.attempt_id,
            },
        })
        .await?;
    Ok(CancelExecutionResult::Cancelled {
        execution_id: args.execution_id,
        public_state: PublicState::Cancelled,
    })
}

pub(super) async fn change_priority<S: Store>(
    store: &S,
    args: ChangePriorityArgs,
) -> Result<ChangePriorityResult, EngineError> {
    let execution_id = args.execution_id.clone();
    store.execute(ChangePriority { execution_id, priority: args.new_priority }).await?;
    Ok(ChangePriorityResult::Changed { execution_id: args.execution_id })
}

pub(super) async fn replay_execution<S: Store>(
    store: &S,
    args: ReplayExecutionArgs,
) -> Result<ReplayExecutionResult, EngineError> {
    let public_state = store.execute(Replay { execution_id: args.execution_id }).await?;
    Ok(ReplayExecutionResult::Replayed { public_state })
}

pub(super) async fn create_executions<S: Store>(
    store: &S,
    batch: Vec<CreateExecutionArgs>,
) -> Result<Vec<CreateExecutionResult>, EngineError> {
    if batch.len() > CREATE_BATCH_MAX_ROWS {
        return Err(invalid(format!(
            "{} executions in one batch; at most {CREATE_BATCH_MAX_ROWS}",
            batch.len()
        )));
    }
    let bytes: usize = batch.iter().map(|args| args.input_payload.len()).sum();
    if bytes > CREATE_BATCH_MAX_BYTES {
        return Err(EngineError::Validation {
            kind: ValidationKind::PayloadTooLarge,
            detail: format!(
                "the batch carries {bytes} bytes of payload; at most {CREATE_BATCH_MAX_BYTES}"
            ),
        });
    }
    store.execute_all(batch.into_iter().map(|args| Create::new(args).in_bulk()).collect()).await
}

pub(super) async fn find_executions<S: Store>(
    store: &S,
    args: FindExecutionsArgs,
) -> Result<FindExecutionsPage, EngineError> {
    store.read(move |reader| find::page(reader, &args)).await
}

pub(super) async fn describe_summary<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<ExecutionSummary>, EngineError> {
    let seen = load(store, Footprint::execution(id)).await?;
    Ok(seen.execution.map(|execution| present::summary(execution, seen.current.as_ref())))
}

pub(super) async fn resolve_execution_prefix<S: Store>(
    store: &S,
    prefix: &str,
) -> Result<Vec<ExecutionId>, EngineError> {
    let (low, high) = find::uuid_range(prefix)?;
    store.read(move |reader| reader.uuid_range(low, high, 2)).await
}

pub(super) async fn list_attempts<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Vec<AttemptInfo>, EngineError> {
    let wanted = id.clone();
    let attempts = store.read(move |reader| reader.attempts(&wanted)).await?;
    Ok(attempts.into_iter().map(present::attempt).collect())
}

pub(super) async fn list_transitions<S: Store>(
    store: &S,
    id: &ExecutionId,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<TransitionInfo>, EngineError> {
    let wanted = id.clone();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(TRANSITIONS_MAX);
    let rows = store.read(move |reader| reader.transitions(&wanted, after, limit)).await?;
    Ok(rows.into_iter().map(present::transition).collect())
}

pub(super) async fn row<S: Store>(
    store: &S,
    id: &ExecutionId,
) -> Result<Option<Execution>, EngineError> {
    Ok(load(store, Footprint::execution(id)).await?.execution)
}

fn not_found_as_input(op: &str, id: &ExecutionId) -> EngineError {
    invalid(format!("{op}: execution not found: {id}"))
}
