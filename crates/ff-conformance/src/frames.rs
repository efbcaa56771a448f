//! Streams that many wrote to at once (I28): what clients were told of their frames, held against
//! the streams of an engine at rest.
//!
//! An append is told how many frames its stream has had, itself included. So the counts of one
//! stream, taken together, are the places of its frames, and every frame shown has one author.

use std::collections::{BTreeMap, BTreeSet};

use ff_core::EngineError;
use ff_core::contracts::StreamCursor;
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::transition::{LeaseEvent, LeaseEventKind};
use ff_core::types::{AttemptIndex, ExecutionId, TimestampMs};

use crate::invariants::{Finding, History, Observed, Op, Outcome, Record};

/// More frames than an attempt of a race has.
const FRAMES_MAX: u64 = 10_000;

/// What a client notes of an append, in the arguments of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Append {
    pub(crate) attempt: u32,
    /// The frame's id and how many frames the stream has had with it; `None` where nobody said.
    pub(crate) told: Option<(String, u64)>,
    /// What the frame says; no two appends say the same.
    pub(crate) text: String,
}

impl Append {
    pub(crate) fn note(&self) -> String {
        let (id, count) = self.told.clone().unwrap_or_else(|| ("-".to_owned(), 0));
        format!("{} {count} {id} {}", self.attempt, self.text)
    }

    fn read(note: &str) -> Option<Self> {
        let mut words = note.splitn(4, ' ');
        let attempt = words.next()?.parse().ok()?;
        let count = words.next()?.parse().ok()?;
        let id = words.next()?.to_owned();
        let told = (count > 0).then_some((id, count));
        Some(Self { attempt, told, text: words.next()?.to_owned() })
    }
}

/// All that was said to one stream.
#[derive(Default)]
struct Told<'a> {
    accepted: BTreeMap<u64, (&'a Record, Append)>,
    refused: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// Reads every stream that somebody appended to; a contradiction is a finding.
pub(crate) async fn check(
    backend: &dyn EngineBackend,
    observed: &Observed,
    histories: &[History],
) -> Result<Vec<Finding>, EngineError> {
    let mut streams: BTreeMap<(&ExecutionId, u32), Told<'_>> = BTreeMap::new();
    let mut findings = Vec::new();
    let records = histories.iter().flat_map(|history| &history.records);
    for record in records.filter(|record| record.op == Op::AppendFrame) {
        let (Some(id), Some(append)) = (&record.execution, Append::read(&record.args)) else {
            continue;
        };
        let told = streams.entry((id, append.attempt)).or_default();
        match (&record.outcome, &append.told) {
            (Outcome::Ok(_), Some((_, count))) => {
                if let Some((_, other)) = told.accepted.get(count) {
                    let detail = format!("{append:?} and {other:?} were told the same count");
                    findings.push(found(id, detail));
                }
                told.accepted.insert(*count, (record, append));
            }
            (Outcome::Refused(_), _) => drop(told.refused.insert(append.text)),
            (Outcome::Ok(_) | Outcome::Unknown(_), _) => drop(told.unknown.insert(append.text)),
        }
    }
    for ((id, attempt), told) in streams {
        let (from, to) = (StreamCursor::Start, StreamCursor::End);
        let index = AttemptIndex(attempt);
        let read = backend.read_stream(id, index, from, to, FRAMES_MAX).await?;
        let is_closed = read.closed_at.is_some();
        let shown: Vec<(String, String)> = read
            .frames
            .into_iter()
            .map(|mut frame| (frame.id, frame.fields.remove("payload").unwrap_or_default()))
            .collect();
        let details = contradictions(&told, &shown, is_closed);
        findings.extend(details.into_iter().map(|detail| found(id, detail)));
        let leases: Vec<&LeaseEvent> = observed
            .lease_events
            .iter()
            .map(|(_, event)| event)
            .filter(|event| event.execution_id == *id)
            .collect();
        for (record, append) in told.accepted.values() {
            let end = record.epoch.and_then(|epoch| end_of(&leases, epoch));
            if let Some(end) = end.filter(|end| *end < record.invoked_at) {
                let at = record.invoked_at;
                let detail = format!("{append:?} passed at {at}, its lease ended at {end}");
                findings.push(found(id, detail));
            }
        }
    }
    Ok(findings)
}

fn found(id: &ExecutionId, detail: String) -> Finding {
    Finding { invariant: "I28", execution: Some(id.clone()), detail }
}

/// When the lease of an epoch ended.
fn end_of(leases: &[&LeaseEvent], epoch: u64) -> Option<TimestampMs> {
    let is_end = |event: &&&LeaseEvent| {
        let ends = matches!(event.kind, LeaseEventKind::Expired | LeaseEventKind::Revoked);
        event.epoch.0 > epoch || (event.epoch.0 == epoch && ends)
    };
    leases.iter().find(is_end).map(|event| event.at)
}

/// Holds one stream against what was said to it.
fn contradictions(told: &Told<'_>, shown: &[(String, String)], is_closed: bool) -> Vec<String> {
    let mut details = Vec::new();
    if !is_closed {
        details.push("its attempt is over and the stream is open".to_owned());
    }
    if let Some(pair) = shown.windows(2).find(|pair| place(&pair[0].0) >= place(&pair[1].0)) {
        details.push(format!("{} is shown in front of {}", pair[0].0, pair[1].0));
    }
    for (count, (_, append)) in &told.accepted {
        let at = usize::try_from(count - 1).ok().and_then(|at| shown.get(at));
        let is_there = at.is_some_and(|(id, text)| {
            append.told.as_ref().is_some_and(|(own, _)| own == id) && *text == append.text
        });
        if !is_there {
            details.push(format!("{append:?} is not frame {count}, that is {at:?}"));
        }
    }
    let authors: BTreeSet<&String> =
        told.accepted.values().map(|(_, append)| &append.text).chain(&told.unknown).collect();
    for (id, text) in shown {
        if told.refused.contains(text) || !authors.contains(text) {
            details.push(format!("frame {id} says {text:?}, which nobody was told to be there"));
        }
    }
    let mut earlier: Option<(u64, &Record)> = None;
    for (count, (record, _)) in told.accepted.iter().rev() {
        if let Some((after, next)) =
            earlier.filter(|(_, next)| next.returned_at < record.invoked_at)
        {
            let (ended, began) = (next.returned_at, record.invoked_at);
            details.push(format!(
                "frame {after} was there at {ended}, frame {count} was asked for at {began}"
            ));
        }
        // Of all behind it, the one that was there first.
        if earlier.is_none_or(|(_, next)| record.returned_at < next.returned_at) {
            earlier = Some((*count, record));
        }
    }
    details
}

/// A frame's place: its instant and its number there.
fn place(frame_id: &str) -> Option<(u64, u64)> {
    let (ms, number) = frame_id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use ff_core::types::{LeaseEpoch, Namespace};

    use super::*;

    fn append(count: u64, text: &str) -> Append {
        let told = (count > 0).then(|| (format!("5-{count}"), count));
        Append { attempt: 0, told, text: text.to_owned() }
    }

    fn record(at: i64) -> Record {
        let at = TimestampMs(at);
        Record::new("client", Op::AppendFrame, Outcome::Ok("ok".to_owned()), (at, at))
    }

    fn shown(texts: &[&str]) -> Vec<(String, String)> {
        let frames = texts.iter().enumerate();
        frames.map(|(at, text)| (format!("5-{}", at + 1), (*text).to_owned())).collect()
    }

    #[test]
    fn a_note_is_read_back() {
        for one in [append(3, "client-1 7"), append(0, "client-1 8")] {
            assert_eq!(Append::read(&one.note()), Some(one));
        }
        assert_eq!(Append::read(""), None);
    }

    fn told<'a>(accepted: [(u64, &'a Record, &str); 2]) -> Told<'a> {
        Told {
            accepted: accepted.map(|(at, record, text)| (at, (record, append(at, text)))).into(),
            unknown: ["lost".to_owned()].into(),
            refused: ["late".to_owned()].into(),
        }
    }

    #[test]
    fn a_stream_as_it_was_told_is_clean_and_any_other_is_not() {
        let (first, second) = (record(1), record(2));
        let clean = told([(1, &first, "a"), (2, &second, "b")]);
        let count = |shown: &[(String, String)]| contradictions(&clean, shown, true).len();

        assert_eq!(count(&shown(&["a", "b"])), 0);
        assert_eq!(count(&shown(&["a", "b", "lost"])), 0);
        assert!(count(&shown(&["a"])) > 0, "gone");
        assert!(count(&shown(&["b", "a"])) > 0, "another order");
        assert!(count(&shown(&["a", "b", "late"])) > 0, "refused");
        assert!(count(&shown(&["a", "b", "c"])) > 0, "nobody's");
        assert_eq!(contradictions(&clean, &shown(&["a", "b"]), false).len(), 1);
        let turned = told([(1, &second, "a"), (2, &first, "b")]);
        assert_eq!(contradictions(&turned, &shown(&["a", "b"]), true).len(), 1);
    }

    #[test]
    fn a_lease_ends_with_its_own_end_or_with_the_next_one() {
        let event = |epoch, kind, at| LeaseEvent {
            kind,
            execution_id: ExecutionId::from_parts(0, uuid::Uuid::nil()),
            lease_id: None,
            attempt_index: AttemptIndex(0),
            epoch: LeaseEpoch(epoch),
            worker_instance_id: None,
            cause: String::new(),
            at: TimestampMs(at),
            namespace: Namespace::new("race"),
            instance_tag: None,
        };
        let events = [
            event(1, LeaseEventKind::Acquired, 1),
            event(1, LeaseEventKind::Expired, 4),
            event(2, LeaseEventKind::Reclaimed, 6),
        ];
        let events: Vec<&LeaseEvent> = events.iter().collect();

        assert_eq!(end_of(&events, 0), Some(TimestampMs(1)));
        assert_eq!(end_of(&events, 1), Some(TimestampMs(4)));
        assert_eq!(end_of(&events, 2), None);
    }
}
