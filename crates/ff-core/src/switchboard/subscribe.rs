//! Subscriptions: an outbox read from a cursor, for ever.
//!
//! A subscription reads its outbox in pages above its cursor and sleeps while there is nothing.
//! It never depends on a wake-up carrying data, so a slow or blocked reader delays nobody, costs
//! one page of memory and skips nothing. Filtered rows move the cursor silently.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream;

use crate::EngineError;
use crate::backend::ScannerFilter;
use crate::engine_error::ValidationKind;
use crate::machine::rows::Execution;
use crate::machine::suspension::SignalEvent;
use crate::machine::transition::{
    CompletionEvent as Ended, Event, LeaseEvent, LeaseEventKind, OperatorEventKind,
};
use crate::store::{EventBounds, Store, Topic, Wake};
use crate::stream_events::{
    CompletionEvent, CompletionOutcome, LeaseHistoryEvent, OperatorChange, OperatorEvent,
    OperatorEventPage, SignalDeliveryEffect, SignalDeliveryEvent,
};
use crate::stream_subscribe::{StreamCursor, decode_event_cursor, encode_event_cursor};
use crate::types::Namespace;

/// Rows read at once; also the most a subscription holds in memory.
const PAGE: usize = 256;

/// A subscription looks again after this long even without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

struct Subscription<S> {
    store: S,
    topic: Topic,
    filter: ScannerFilter,
    cursor: i64,
    page: VecDeque<(i64, Event)>,
    is_over: bool,
}

/// The events of `topic` after `cursor`, as `convert` shows them.
///
/// An empty cursor means from now on. A malformed cursor, one beyond the newest event, and one
/// below the oldest event kept are refused with `Validation(InvalidInput)`.
pub(super) async fn subscribe<S: Store, T: Send + 'static>(
    store: &S,
    topic: Topic,
    cursor: &StreamCursor,
    filter: &ScannerFilter,
    op: &'static str,
    convert: fn(StreamCursor, Event) -> Option<T>,
) -> Result<
    std::pin::Pin<Box<dyn futures_core::Stream<Item = Result<T, EngineError>> + Send>>,
    EngineError,
> {
    check_filter(filter)?;
    let from = decode(cursor, op)?;
    let bounds = store.read(move |reader| reader.event_bounds(topic)).await?;
    let cursor = match from {
        None => bounds.newest,
        Some(from) => within(from, bounds, op)?,
    };
    let subscription = Subscription {
        store: store.clone(),
        topic,
        filter: filter.clone(),
        cursor,
        page: VecDeque::new(),
        is_over: false,
    };
    Ok(Box::pin(stream::unfold(subscription, move |mut subscription| async move {
        if subscription.is_over {
            return None;
        }
        let item = subscription.next(convert, op).await;
        subscription.is_over = item.is_err();
        Some((item, subscription))
    })))
}

fn decode(cursor: &StreamCursor, op: &str) -> Result<Option<i64>, EngineError> {
    decode_event_cursor(cursor)
        .map_err(|why| invalid(format!("invalid event_id cursor for {op}: {why}")))
}

/// The next rows, if nothing between the cursor and them is gone.
async fn read_behind<S: Store>(
    store: &S,
    topic: Topic,
    cursor: i64,
    op: &'static str,
) -> Result<Vec<(i64, Event)>, EngineError> {
    let (bounds, page) = store
        .read(move |reader| {
            let page = reader.events(topic, cursor, PAGE)?;
            Ok((reader.event_bounds(topic)?, page))
        })
        .await?;
    within(cursor, bounds, op)?;
    Ok(page)
}

fn within(from: i64, bounds: EventBounds, op: &'static str) -> Result<i64, EngineError> {
    if from.saturating_add(1) < bounds.oldest {
        return Err(invalid(format!(
            "the cursor of {op} points behind event {from}, but the oldest event kept is {}; \
             events in between are gone. Resume from the oldest, or from now with an empty cursor",
            bounds.oldest
        )));
    }
    if from > bounds.newest {
        return Err(invalid(format!(
            "the cursor of {op} points behind event {from}, but the newest event is {}; it is \
             not a cursor of this store",
            bounds.newest
        )));
    }
    Ok(from)
}

fn check_filter(filter: &ScannerFilter) -> Result<(), EngineError> {
    match &filter.instance_tag {
        Some((key, _)) if key != Execution::INSTANCE_TAG => Err(invalid(format!(
            "events carry the tag `{}` only; a filter on `{key}` would match nothing",
            Execution::INSTANCE_TAG
        ))),
        Some(_) | None => Ok(()),
    }
}

fn invalid(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail }
}

impl<S: Store> Subscription<S> {
    async fn next<T>(
        &mut self,
        convert: fn(StreamCursor, Event) -> Option<T>,
        op: &'static str,
    ) -> Result<T, EngineError> {
        loop {
            while let Some((id, event)) = self.page.pop_front() {
                self.cursor = id;
                if !matches(&self.filter, &event) {
                    continue;
                }
                if let Some(item) = convert(encode_event_cursor(id), event) {
                    return Ok(item);
                }
            }
            self.read_page(op).await?;
        }
    }

    async fn read_page(&mut self, op: &'static str) -> Result<(), EngineError> {
        let (topic, cursor) = (self.topic, self.cursor);
        loop {
            let seen = self.store.generation(Wake::Events);
            let page = read_behind(&self.store, topic, cursor, op).await?;
            if !page.is_empty() {
                self.page = page.into();
                return Ok(());
            }
            self.store.wait(Wake::Events, seen, LOOK_AGAIN).await;
        }
    }
}

fn matches(filter: &ScannerFilter, event: &Event) -> bool {
    let (namespace, tag): (&Namespace, Option<&String>) = match event {
        Event::Lease(event) => (&event.namespace, event.instance_tag.as_ref()),
        Event::Completion(event) => (&event.namespace, event.instance_tag.as_ref()),
        Event::Operator(event) => (&event.namespace, event.instance_tag.as_ref()),
        Event::Signal(event) => (&event.namespace, event.instance_tag.as_ref()),
        Event::FlowCancelRequested(event) => (&event.namespace, None),
        Event::Transition(_) => return true,
    };
    filter.matches(Some(namespace), tag.map(String::as_str))
}

/// The operators' changes behind `after`, as far as they are there.
///
/// What a busy operator adds meanwhile is for the next page, so a filter that passes over everything
/// ends too.
pub(super) async fn list_operator<S: Store>(
    store: &S,
    after: Option<StreamCursor>,
    filter: &ScannerFilter,
    limit: u32,
) -> Result<OperatorEventPage, EngineError> {
    let (op, topic) = ("list_operator_events", Topic::Operator);
    check_filter(filter)?;
    let from = after.map(|cursor| decode(&cursor, op)).transpose()?;
    let limit = usize::try_from(limit).unwrap_or(PAGE).min(PAGE);
    let (bounds, mut cursor, mut rows) = store
        .read(move |reader| {
            let bounds = reader.event_bounds(topic)?;
            let cursor = match from {
                None => bounds.oldest - 1,
                Some(None) => bounds.newest,
                Some(Some(from)) => from,
            };
            Ok((bounds, cursor, reader.events(topic, cursor, PAGE)?))
        })
        .await?;
    within(cursor, bounds, op)?;
    let mut found = Vec::new();
    loop {
        for (id, event) in rows {
            if found.len() == limit {
                break;
            }
            cursor = id;
            if matches(filter, &event) {
                found.extend(operator(encode_event_cursor(id), event));
            }
        }
        if found.len() == limit || cursor >= bounds.newest {
            break;
        }
        rows = read_behind(store, topic, cursor, op).await?;
        // A tool has removed the newest: their ids count, and there is nothing to wait for.
        if rows.is_empty() {
            break;
        }
    }
    Ok(OperatorEventPage::new(found, encode_event_cursor(cursor)))
}

/// A lease event as subscribers see it.
pub(super) fn lease(cursor: StreamCursor, event: Event) -> Option<LeaseHistoryEvent> {
    let Event::Lease(LeaseEvent {
        kind,
        execution_id,
        lease_id,
        worker_instance_id,
        cause,
        at,
        ..
    }) = event
    else {
        return None;
    };
    Some(match kind {
        LeaseEventKind::Acquired => {
            LeaseHistoryEvent::Acquired { cursor, execution_id, lease_id, worker_instance_id, at }
        }
        LeaseEventKind::Renewed => {
            LeaseHistoryEvent::Renewed { cursor, execution_id, lease_id, worker_instance_id, at }
        }
        LeaseEventKind::Expired => LeaseHistoryEvent::Expired {
            cursor,
            execution_id,
            lease_id,
            prev_owner: worker_instance_id,
            at,
        },
        LeaseEventKind::Reclaimed => LeaseHistoryEvent::Reclaimed {
            cursor,
            execution_id,
            new_lease_id: lease_id,
            new_owner: worker_instance_id,
            at,
        },
        LeaseEventKind::Revoked => {
            LeaseHistoryEvent::Revoked { cursor, execution_id, lease_id, revoked_by: cause, at }
        }
    })
}

/// A completion as subscribers see it.
pub(super) fn completion(cursor: StreamCursor, event: Event) -> Option<CompletionEvent> {
    let Event::Completion(Ended { execution_id, outcome, at, .. }) = event else { return None };
    let outcome = CompletionOutcome::from_wire(outcome.as_str());
    Some(CompletionEvent::new(cursor, execution_id, outcome, at))
}

/// An operator's change as subscribers see it.
pub(super) fn operator(cursor: StreamCursor, event: Event) -> Option<OperatorEvent> {
    let (change, at) = match event {
        Event::Operator(event) => {
            let execution_id = event.execution_id;
            let change = match event.kind {
                OperatorEventKind::PriorityChanged { old_priority, new_priority } => {
                    OperatorChange::PriorityChanged { execution_id, old_priority, new_priority }
                }
                OperatorEventKind::Replayed { branch, groups_reset } => {
                    let branch = branch.as_str().to_owned();
                    OperatorChange::Replayed { execution_id, branch, groups_reset }
                }
            };
            (change, event.at)
        }
        Event::FlowCancelRequested(event) => {
            let change = OperatorChange::FlowCancelRequested {
                flow_id: event.flow_id,
                cancellation_policy: event.policy,
                reason: event.reason,
                member_count: event.member_count as u64,
            };
            (change, event.at)
        }
        Event::Lease(_) | Event::Completion(_) | Event::Signal(_) | Event::Transition(_) => {
            return None;
        }
    };
    Some(OperatorEvent::new(cursor, change, at))
}

/// An accepted signal as subscribers see it.
pub(super) fn signal(cursor: StreamCursor, event: Event) -> Option<SignalDeliveryEvent> {
    let Event::Signal(SignalEvent {
        execution_id,
        signal_id,
        waitpoint_id,
        source_identity,
        effect,
        at,
        ..
    }) = event
    else {
        return None;
    };
    let effect = SignalDeliveryEffect::from_wire(&effect);
    Some(SignalDeliveryEvent::new(
        cursor,
        execution_id,
        signal_id,
        waitpoint_id,
        source_identity,
        effect,
        at,
    ))
}
