//! Subscribers, one per outbox: they read on now and then, sometimes over a new subscription.

use std::fmt::Debug;

use ff_core::EngineError;
use ff_core::backend::ScannerFilter;
use ff_core::stream_events::{
    CompletionSubscription, LeaseHistorySubscription, OperatorEventSubscription,
};
use ff_core::stream_subscribe::{StreamCursor, decode_event_cursor, encode_event_cursor};
use ff_core::types::TimestampMs;
use futures_util::{FutureExt, Stream, StreamExt};

use super::call::{Answer, Outbox};
use super::operators::{Told, shown};
use super::stage::{at_once, broken};
use crate::invariants::{Delivered, Finding};
use crate::probe::Engine;

/// The subscribers, each behind the last event that it was told.
#[derive(Default)]
pub(crate) struct Followers {
    leases: (i64, Option<LeaseHistorySubscription>),
    completions: (i64, Option<CompletionSubscription>),
    operators: (i64, Option<OperatorEventSubscription>),
}

/// Everything that was announced so far.
pub(crate) struct Announced<'a> {
    pub(crate) leases: &'a [Delivered],
    pub(crate) completions: &'a [Delivered],
    pub(crate) operators: &'a [Told],
}

impl Followers {
    /// Reads what there is and compares it with what was announced since the cursor (I27).
    pub(crate) fn read_on(
        &mut self,
        engine: &Engine,
        announced: &Announced<'_>,
        outbox: Outbox,
        anew: bool,
    ) -> Result<Answer, Finding> {
        match outbox {
            Outbox::Leases => {
                let (cursor, stream) = &mut self.leases;
                let told = read_leases(engine, cursor, stream, anew)?;
                compare("lease", &told, announced.leases, cursor)?;
            }
            Outbox::Completions => {
                let (cursor, stream) = &mut self.completions;
                let told = read_completions(engine, cursor, stream, anew)?;
                compare("completion", &told, announced.completions, cursor)?;
            }
            Outbox::Operators => {
                let (cursor, stream) = &mut self.operators;
                let told = read_operators(engine, cursor, stream, anew)?;
                compare("operator", &told, announced.operators, cursor)?;
            }
        }
        Ok(Answer { is_ok: true, word: format!("{outbox:?}"), ..Answer::default() })
    }
}

fn compare<T: PartialEq + Debug>(
    topic: &str,
    told: &[(i64, T, TimestampMs)],
    announced: &[(i64, T, TimestampMs)],
    cursor: &mut i64,
) -> Result<(), Finding> {
    let from = announced.partition_point(|(id, _, _)| *id <= *cursor);
    if told != &announced[from..] {
        let first = told.iter().zip(&announced[from..]).position(|(told, own)| told != own);
        let at = first.unwrap_or_else(|| told.len().min(announced.len() - from));
        return Err(Finding {
            invariant: "I27",
            execution: None,
            detail: format!(
                "{topic}: behind event {cursor} a subscriber was told {} of {} events, the first \
                 difference at {at}: announced {:?}, told {:?}",
                told.len(),
                announced.len() - from,
                announced.get(from + at),
                told.get(at)
            ),
        });
    }
    *cursor = told.last().map_or(*cursor, |(id, _, _)| *id);
    Ok(())
}

fn read_leases(
    engine: &Engine,
    cursor: &i64,
    kept: &mut Option<LeaseHistorySubscription>,
    anew: bool,
) -> Result<Vec<Delivered>, Finding> {
    let mut stream = match kept.take().filter(|_| !anew) {
        Some(stream) => stream,
        None => {
            let from = encode_event_cursor(*cursor);
            let begun = engine.backend().subscribe_lease_history(from, &ScannerFilter::NOOP);
            at_once(begun).map_err(|error| broken(&error))?
        }
    };
    let told = drained(&mut stream, |event| {
        (place(event.cursor()), event.execution_id().clone(), event.at())
    })?;
    *kept = Some(stream);
    Ok(told)
}

/// What a subscription has at hand.
fn drained<E, T>(
    stream: &mut (impl Stream<Item = Result<E, EngineError>> + Unpin),
    told: impl Fn(E) -> T,
) -> Result<Vec<T>, Finding> {
    let mut all = Vec::new();
    while let Some(Some(event)) = stream.next().now_or_never() {
        all.push(told(event.map_err(|error| broken(&error))?));
    }
    Ok(all)
}

/// The place of an event in its outbox; one that cannot be read is in front of all.
fn place(cursor: &StreamCursor) -> i64 {
    decode_event_cursor(cursor).ok().flatten().unwrap_or(-1)
}

fn read_completions(
    engine: &Engine,
    cursor: &i64,
    kept: &mut Option<CompletionSubscription>,
    anew: bool,
) -> Result<Vec<Delivered>, Finding> {
    let mut stream = match kept.take().filter(|_| !anew) {
        Some(stream) => stream,
        None => {
            let from = encode_event_cursor(*cursor);
            let begun = engine.backend().subscribe_completion(from, &ScannerFilter::NOOP);
            at_once(begun).map_err(|error| broken(&error))?
        }
    };
    let told = drained(&mut stream, |event| (place(&event.cursor), event.execution_id, event.at))?;
    *kept = Some(stream);
    Ok(told)
}

fn read_operators(
    engine: &Engine,
    cursor: &i64,
    kept: &mut Option<OperatorEventSubscription>,
    anew: bool,
) -> Result<Vec<Told>, Finding> {
    let mut stream = match kept.take().filter(|_| !anew) {
        Some(stream) => stream,
        None => {
            let from = encode_event_cursor(*cursor);
            let begun = engine.backend().subscribe_operator_events(from, &ScannerFilter::NOOP);
            at_once(begun).map_err(|error| broken(&error))?
        }
    };
    let told =
        drained(&mut stream, |event| (place(&event.cursor), shown(&event.change), event.at))?;
    *kept = Some(stream);
    Ok(told)
}
