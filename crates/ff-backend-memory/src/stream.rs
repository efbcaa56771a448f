//! Streams: frames, their counters and their summaries.

use std::collections::BTreeMap;

use ff_core::machine::stream::{Class, Frame, FrameId, Meta, Seen, Summary, Wanted, Write};
use ff_core::store::FrameRange;
use ff_core::types::{AttemptIndex, ExecutionId, TimestampMs};

use crate::state::{Key, key};

/// The stream of one attempt.
type StreamAt = (Key, u32);

/// The rows of all streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    frames: BTreeMap<(StreamAt, FrameId), Frame>,
    metas: BTreeMap<StreamAt, Meta>,
    summaries: BTreeMap<StreamAt, Summary>,
}

fn at(id: &ExecutionId, index: AttemptIndex) -> StreamAt {
    (key(id), index.0)
}

impl Streams {
    pub(crate) fn load(&self, id: &ExecutionId, wanted: &Wanted) -> Seen {
        Seen {
            meta: wanted.meta.and_then(|index| self.metas.get(&at(id, index))).cloned(),
            summary: wanted.summary.and_then(|index| self.summaries.get(&at(id, index))).cloned(),
        }
    }

    pub(crate) fn apply(&mut self, write: &Write) {
        match write {
            Write::AddFrame(frame) => {
                let stream = at(&frame.execution_id, frame.attempt_index);
                self.frames.insert((stream, frame.id), (**frame).clone());
            }
            Write::TrimFrames { execution_id, attempt_index, class, count } => {
                let most = usize::try_from(*count).unwrap_or(usize::MAX);
                self.trim(at(execution_id, *attempt_index), *class, most);
            }
            Write::PutMeta(meta) => {
                let stream = at(&meta.execution_id, meta.attempt_index);
                self.metas.insert(stream, (**meta).clone());
            }
            Write::PutSummary(summary) => {
                let stream = at(&summary.execution_id, summary.attempt_index);
                self.summaries.insert(stream, (**summary).clone());
            }
        }
    }

    pub(crate) fn frames(&self, range: &FrameRange, limit: usize, max_bytes: usize) -> Vec<Frame> {
        let stream = at(&range.execution_id, range.attempt_index);
        let mut found = Vec::new();
        let mut bytes = 0;
        for (_, frame) in self.frames.range((stream, range.from)..=(stream, range.to)) {
            if found.len() >= limit || bytes >= max_bytes {
                break;
            }
            if range.without_best_effort && frame.class == Class::BestEffort {
                continue;
            }
            bytes += frame.fields.values().map(String::len).sum::<usize>();
            found.push(frame.clone());
        }
        found
    }

    pub(crate) fn forget(&mut self, execution: Key) {
        self.frames.retain(|(stream, _), _| stream.0 != execution);
        self.metas.retain(|stream, _| stream.0 != execution);
        self.summaries.retain(|stream, _| stream.0 != execution);
    }

    pub(crate) fn to_look_at(
        &self,
        now: TimestampMs,
        limit: usize,
    ) -> Vec<(ExecutionId, AttemptIndex)> {
        let mut due: Vec<_> = self
            .metas
            .iter()
            .filter_map(|(at, meta)| Some((meta.look_at.filter(|due| *due <= now)?, *at, meta)))
            .collect();
        due.sort_by_key(|(due, at, _)| (*due, *at));
        due.into_iter()
            .take(limit)
            .map(|(_, _, meta)| (meta.execution_id.clone(), meta.attempt_index))
            .collect()
    }

    /// Removes the frames of streams whose time is over, until about `limit` are gone; answers
    /// how many were.
    pub(crate) fn trim_expired(&mut self, now: TimestampMs, limit: usize) -> usize {
        let mut over: Vec<(TimestampMs, StreamAt)> = self
            .metas
            .iter()
            .filter(|(_, meta)| meta.has_expired(now))
            .filter_map(|(at, meta)| Some((meta.expires_at?, *at)))
            .collect();
        over.sort_unstable();
        let mut trimmed = 0;
        for (_, stream) in over.into_iter().take(limit) {
            if trimmed >= limit {
                break;
            }
            trimmed += self.trim(stream, Class::BestEffort, usize::MAX);
            if let Some(meta) = self.metas.get_mut(&stream) {
                meta.best_effort_kept = 0;
                meta.expires_at = None;
            }
        }
        trimmed
    }

    fn trim(&mut self, stream: StreamAt, class: Class, most: usize) -> usize {
        let oldest: Vec<_> = self
            .frames
            .range((stream, FrameId::FIRST)..=(stream, FrameId::LAST))
            .filter(|(_, frame)| frame.class == class)
            .take(most)
            .map(|(at, _)| *at)
            .collect();
        for at in &oldest {
            self.frames.remove(at);
        }
        oldest.len()
    }
}
