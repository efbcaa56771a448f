//! Retention (I35): a world at rest grows old. The wall clock steps to the instants at which
//! something is to go; after each sweep what is due is gone, with everything stored about it, and
//! what is not due is there, row for row.
//!
//! ```text
//!   rest ─▶ two days on ─▶ before the first end ─▶ half of them ─▶ all ─▶ half the events ─▶ nothing
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ff_core::backend::ScannerFilter;
use ff_core::contracts::StreamCursor;
use ff_core::machine::Limits;
use ff_core::machine::transition::Event;
use ff_core::store::Topic;
use ff_core::stream_subscribe::encode_event_cursor;
use ff_core::types::{AttemptIndex, DurationMs, ExecutionId, TimestampMs};

use super::call::{Call, Operation};
use super::ledger::found;
use super::stage::{Stage, at_once, broken};
use crate::invariants::Finding;
use crate::probe::{Census, Record};

/// No world forgets anything before it is to grow old: a thousand years.
const KEPT: DurationMs = DurationMs(1_000 * YEAR_MS);

/// Events outlive the executions they tell of.
const EVENTS_KEPT: DurationMs = DurationMs(1_500 * YEAR_MS);

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// Longer than anything that is kept for hours, or for a day.
const SHORT: DurationMs = DurationMs(2 * 24 * 60 * 60 * 1_000);

/// One world in so many grows old.
const AGES_EVERY: u64 = 4;

/// More sweeps than anything needs to go.
const SWEEPS_MAX: u32 = 100;

/// Numbers of the operations of old age: behind those of every life.
const NUMBERED_FROM: u32 = 2_000_000_000;

/// The outboxes with their names; that of leases comes first.
const OUTBOXES: [(Topic, &str); 4] = [
    (Topic::Lease, "lease"),
    (Topic::Completion, "completion"),
    (Topic::Signal, "signal"),
    (Topic::Operator, "operator"),
];

/// The limits of a world.
pub(super) fn limits() -> Limits {
    Limits { retention: KEPT, event_retention: EVENTS_KEPT, ..Limits::default() }
}

fn later(at: TimestampMs, by: DurationMs) -> TimestampMs {
    TimestampMs(at.0 + i64::try_from(by.0).unwrap_or(i64::MAX))
}

fn i35(id: Option<&ExecutionId>, detail: String) -> Finding {
    found("I35", id, detail)
}

/// What a world had when it came to rest.
struct Rest {
    records: BTreeMap<ExecutionId, Record>,
    /// When each execution ended.
    ends: BTreeMap<ExecutionId, TimestampMs>,
    /// Of each outbox, every event with its instant.
    events: Vec<Vec<(i64, TimestampMs)>>,
}

/// Lets a world at rest grow old, if its seed says so.
pub(super) fn grow_old(stage: &mut Stage) -> Result<(), Finding> {
    if !stage.seed().is_multiple_of(AGES_EVERY) {
        return Ok(());
    }
    let mut old = OldAge { stage, number: NUMBERED_FROM };
    // Grants, registrations, keys and windows are over by then.
    let still = later(old.stage.now(), SHORT);
    old.until(still)?;
    old.sweep()?;
    let rest = old.rest()?;
    let mut ends: Vec<TimestampMs> = rest.ends.values().copied().collect();
    ends.sort_unstable();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return Ok(()) };
    let half = ends[ends.len() / 2];
    let mut told: Vec<TimestampMs> = rest.events.iter().flatten().map(|(_, at)| *at).collect();
    told.sort_unstable();
    let half_told = told[told.len() / 2];
    for instant in [
        TimestampMs(later(*first, KEPT).0 - 1),
        later(half, KEPT),
        later(*last, KEPT),
        later(half_told, EVENTS_KEPT),
        // An event whose instant is the bound is still kept.
        TimestampMs(later(still, EVENTS_KEPT).0 + 1),
    ] {
        old.until(instant)?;
        old.sweep()?;
        old.compare(&rest)?;
    }
    old.stage.happened("worlds_grew_old");
    Ok(())
}

struct OldAge<'a> {
    stage: &'a mut Stage,
    number: u32,
}

impl OldAge<'_> {
    fn perform(&mut self, call: Call) -> Result<String, Finding> {
        self.number += 1;
        let (number, at_ms) = (self.number, self.stage.at_ms);
        let operation = Operation { number, at_ms, by: "time".to_owned(), call };
        self.stage.perform(&operation).map(|answer| answer.word)
    }

    fn until(&mut self, instant: TimestampMs) -> Result<(), Finding> {
        let by_ms = instant.0 - self.stage.wall().0;
        self.perform(Call::StepWall { by_ms })?;
        let now = self.stage.now();
        if now == instant {
            return Ok(());
        }
        Err(i35(None, format!("the clock stepped to {instant}, engine time is {now}")))
    }

    fn sweep(&mut self) -> Result<(), Finding> {
        for _ in 0..SWEEPS_MAX {
            if self.perform(Call::Sweep)? == "done" {
                return Ok(());
            }
        }
        Err(i35(None, format!("{SWEEPS_MAX} sweeps found more to do each time")))
    }

    fn census(&self) -> Result<Census, Finding> {
        at_once(self.stage.engine.census()).map_err(|error| broken(&error))
    }

    fn events(&self, topic: Topic) -> Result<Vec<(i64, TimestampMs)>, Finding> {
        let events = at_once(self.stage.engine.events(topic)).map_err(|error| broken(&error))?;
        let at = |event: &Event| match event {
            Event::Lease(event) => event.at,
            Event::Completion(event) => event.at,
            Event::Operator(event) => event.at,
            Event::Signal(event) => event.at,
            Event::Transition(row) => row.at,
            Event::FlowCancelRequested(event) => event.at,
        };
        Ok(events.iter().map(|(id, event)| (*id, at(event))).collect())
    }

    fn rest(&self) -> Result<Rest, Finding> {
        let records = self.census()?.executions.into_iter();
        let ends = self.stage.ledger.completions_told().iter();
        let events = OUTBOXES.iter().map(|(topic, _)| self.events(*topic));
        Ok(Rest {
            records: records.map(|record| (record.execution.id.clone(), record)).collect(),
            // The last of several runs counts.
            ends: ends.map(|(_, id, at)| (id.clone(), *at)).collect(),
            events: events.collect::<Result<_, _>>()?,
        })
    }

    fn compare(&self, rest: &Rest) -> Result<(), Finding> {
        let now = self.stage.now();
        let census = self.census()?;
        let due: BTreeSet<&ExecutionId> = rest
            .ends
            .iter()
            .filter(|(_, ended)| later(**ended, KEPT) <= now)
            .map(|(id, _)| id)
            .collect();
        let is_over = due.len() == rest.ends.len();
        kept(rest, &census, &due)?;
        for id in due {
            self.gone(id, rest.records.get(id))?;
        }
        self.told(rest, now)?;
        // What outlives nobody: who worked, what was granted, what counted within a window.
        if !census.registry.ends.is_empty() {
            return Err(i35(None, format!("workers are left: {:?}", census.registry.ends)));
        }
        for record in &census.quotas {
            let taken = record.quota.as_ref().and_then(|quota| quota.as_ref().ok());
            if taken.is_some_and(|quota| quota.in_window + quota.occupied > 0) {
                return Err(i35(None, format!("a quota still counts: {taken:?}")));
            }
        }
        let events_over = rest.events.iter().flatten().all(|(_, at)| later(*at, EVENTS_KEPT) < now);
        let open = census.flows.iter().filter(|record| record.flow.ended_at.is_some());
        let left: Vec<_> = open.map(|record| &record.flow.id).collect();
        if is_over && events_over && !(left.is_empty() && census.registry.history.is_empty()) {
            let history = census.registry.history.len();
            let detail = format!("flows {left:?} and {history} lines of the registry are left");
            return Err(i35(None, detail));
        }
        Ok(())
    }

    /// Nothing of it is left to read.
    fn gone(&self, id: &ExecutionId, record: Option<&Record>) -> Result<(), Finding> {
        let backend = self.stage.backend();
        let moves = at_once(backend.list_transitions(id, None, 1)).is_ok_and(|own| !own.is_empty());
        let attempts = at_once(backend.list_attempts(id)).is_ok_and(|own| !own.is_empty());
        let result = at_once(backend.get_execution_result(id)).is_ok_and(|own| own.is_some());
        let described = at_once(backend.describe_execution(id)).is_ok_and(|own| own.is_some());
        let mut left = vec![
            ("transitions", moves),
            ("attempts", attempts),
            ("a result", result),
            ("a row", described),
        ];
        let indices = record.iter().flat_map(|record| &record.attempts).map(|own| own.index);
        for AttemptIndex(index) in indices {
            let (from, to) = (StreamCursor::Start, StreamCursor::End);
            let read = at_once(backend.read_stream(id, AttemptIndex(index), from, to, 1));
            left.push(("frames", read.is_ok_and(|read| !read.frames.is_empty())));
        }
        match left.into_iter().find(|(_, is_left)| *is_left) {
            Some((what, _)) => Err(i35(Some(id), format!("it is gone, but {what} are left"))),
            None => Ok(()),
        }
    }

    /// Events stay for their own time, and a cursor in front of the oldest is refused.
    fn told(&self, rest: &Rest, now: TimestampMs) -> Result<(), Finding> {
        for ((topic, name), before) in OUTBOXES.iter().zip(&rest.events) {
            let shown = self.events(*topic)?;
            let kept = before.iter().filter(|(_, at)| later(*at, EVENTS_KEPT) >= now);
            let kept: Vec<(i64, TimestampMs)> = kept.copied().collect();
            if shown != kept {
                let (first, last) = (shown.first(), shown.last());
                let detail = format!(
                    "{} {name} events of {} are due to be kept from {:?} to {:?}; {} are, from \
                     {first:?} to {last:?}",
                    kept.len(),
                    before.len(),
                    kept.first(),
                    kept.last(),
                    shown.len()
                );
                return Err(i35(None, detail));
            }
        }
        let leases = &rest.events[0];
        let (Some((oldest, _)), Some((newest, at))) = (leases.first(), leases.last()) else {
            return Ok(());
        };
        let filter = ScannerFilter::NOOP;
        let behind = |id: i64| {
            let from = encode_event_cursor(id);
            at_once(self.stage.backend().subscribe_lease_history(from, &filter)).is_ok()
        };
        let is_first_gone = leases.first().is_some_and(|(_, at)| later(*at, EVENTS_KEPT) < now);
        let is_last_gone = later(*at, EVENTS_KEPT) < now;
        if behind(oldest - 1) == is_first_gone || behind(newest - 1) == is_last_gone {
            let detail = format!(
                "cursors in front of events {oldest} (gone: {is_first_gone}) and {newest} (gone: \
                 {is_last_gone}) were not answered so"
            );
            return Err(i35(None, detail));
        }
        Ok(())
    }
}

/// What is not due is stored as it was.
fn kept(rest: &Rest, census: &Census, due: &BTreeSet<&ExecutionId>) -> Result<(), Finding> {
    for record in &census.executions {
        let id = &record.execution.id;
        if due.contains(id) {
            return Err(i35(Some(id), "its retention is over, and it is stored".to_owned()));
        }
        if record.claim_grant.is_some() || record.reclaim_grant.is_some() {
            return Err(i35(Some(id), "a grant outlived its time".to_owned()));
        }
        let before = rest.records.get(id);
        if before != Some(record) {
            let detail = format!("was changed by time alone: {before:?}, now {record:?}");
            return Err(i35(Some(id), detail));
        }
    }
    let stored = census.executions.len();
    if stored + due.len() != rest.records.len() {
        let was = rest.records.len();
        let detail = format!("{was} were stored, {} are due, {stored} are left", due.len());
        return Err(i35(None, detail));
    }
    Ok(())
}
