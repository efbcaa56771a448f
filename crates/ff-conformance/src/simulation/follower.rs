//! Two subscribers, one per outbox: they read on now and then, sometimes over a new subscription.

use ff_core::backend::ScannerFilter;
use ff_core::stream_events::{CompletionSubscription, LeaseHistorySubscription};
use ff_core::stream_subscribe::{decode_event_cursor, encode_event_cursor};
use futures_util::{FutureExt, StreamExt};

use super::call::Answer;
use super::ledger::Ledger;
use super::stage::{at_once, broken};
use crate::invariants::{Delivered, Finding};
use crate::probe::Engine;

/// Both subscribers.
#[derive(Default)]
pub(crate) struct Followers {
    leases: (i64, Option<LeaseHistorySubscription>),
    completions: (i64, Option<CompletionSubscription>),
}

impl Followers {
    /// Reads what there is and compares it with what was announced since the cursor (I27).
    pub(crate) fn read_on(
        &mut self,
        engine: &Engine,
        ledger: &Ledger,
        completions: bool,
        anew: bool,
    ) -> Result<Answer, Finding> {
        let (topic, told, announced, cursor) = if completions {
            let (cursor, stream) = &mut self.completions;
            let told = read_completions(engine, cursor, stream, anew)?;
            ("completion", told, ledger.completions_told(), cursor)
        } else {
            let (cursor, stream) = &mut self.leases;
            let told = read_leases(engine, cursor, stream, anew)?;
            ("lease", told, ledger.leases_told(), cursor)
        };
        let from = announced.partition_point(|(id, _, _)| *id <= *cursor);
        if told != announced[from..] {
            let first = told.iter().zip(&announced[from..]).position(|(told, own)| told != own);
            let at = first.unwrap_or_else(|| told.len().min(announced.len() - from));
            return Err(Finding {
                invariant: "I27",
                execution: None,
                detail: format!(
                    "{topic}: behind event {cursor} a subscriber was told {} of {} events, the \
                     first difference at {at}: announced {:?}, told {:?}",
                    told.len(),
                    announced.len() - from,
                    announced.get(from + at),
                    told.get(at)
                ),
            });
        }
        *cursor = told.last().map_or(*cursor, |(id, _, _)| *id);
        Ok(Answer { is_ok: true, word: "followed".to_owned(), ..Answer::default() })
    }
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
    let mut told = Vec::new();
    while let Some(next) = stream.next().now_or_never() {
        let Some(event) = next else { break };
        let event = event.map_err(|error| broken(&error))?;
        let id = decode_event_cursor(event.cursor()).ok().flatten().unwrap_or(-1);
        told.push((id, event.execution_id().clone(), event.at()));
    }
    *kept = Some(stream);
    Ok(told)
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
    let mut told = Vec::new();
    while let Some(next) = stream.next().now_or_never() {
        let Some(event) = next else { break };
        let event = event.map_err(|error| broken(&error))?;
        let id = decode_event_cursor(&event.cursor).ok().flatten().unwrap_or(-1);
        told.push((id, event.execution_id, event.at));
    }
    *kept = Some(stream);
    Ok(told)
}
