//! What is stored of a stream, as the rules see it.

#![expect(missing_docs, reason = "fields carry the contract's own names")]

use std::collections::BTreeMap;
use std::fmt;

use crate::backend::StreamMode;
use crate::types::{AttemptIndex, ExecutionId, LeaseEpoch, TimestampMs};

/// A frame's place in its stream: `<ms>-<seq>`, strictly rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    pub ms: TimestampMs,
    pub seq: u64,
}

impl FrameId {
    /// Before every frame.
    pub const FIRST: Self = Self { ms: TimestampMs(i64::MIN), seq: 0 };

    /// Behind every frame.
    pub const LAST: Self = Self { ms: TimestampMs(i64::MAX), seq: SEQ_MAX };

    /// The id of a frame appended at `now` behind `last`.
    pub fn next(last: Option<Self>, now: TimestampMs) -> Self {
        match last {
            Some(last) if last.ms >= now => Self { ms: last.ms, seq: last.seq + 1 },
            Some(_) | None => Self { ms: now, seq: 0 },
        }
    }
}

/// The greatest sequence number: stores keep it as a signed 64-bit number.
pub const SEQ_MAX: u64 = i64::MAX as u64;

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms.0, self.seq)
    }
}

/// What retention does with a frame: the frames of one class are kept or trimmed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Kept up to the stream policy's length.
    Durable,
    /// A patch of the summary; the merged document is what counts.
    Summary,
    /// Kept for about its TTL.
    BestEffort,
}

impl Class {
    /// The class of a frame appended in `mode`.
    pub fn of(mode: StreamMode) -> Self {
        match mode {
            StreamMode::Durable => Self::Durable,
            StreamMode::DurableSummary { .. } => Self::Summary,
            StreamMode::BestEffortLive { .. } => Self::BestEffort,
        }
    }

    /// The stored word: the mode's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Summary => "summary",
            Self::BestEffort => "best_effort",
        }
    }

    /// Reads the stored word.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "durable" => Self::Durable,
            "summary" => Self::Summary,
            "best_effort" => Self::BestEffort,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    pub id: FrameId,
    /// Its place counted from 1 over the stream's whole life: dense, whatever retention removes.
    pub number: u64,
    /// The lease under which it was appended.
    pub epoch: LeaseEpoch,
    pub class: Class,
    pub fields: BTreeMap<String, String>,
}

/// The counters of one attempt's stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    /// The newest frame ever appended, kept or not.
    pub last: Option<FrameId>,
    /// Frames ever appended.
    pub frame_count: u64,
    /// Payload bytes ever appended.
    pub total_bytes: u64,
    /// Frames that are there, by class.
    pub durable_kept: u64,
    pub summary_kept: u64,
    pub best_effort_kept: u64,
    /// The moving average of best-effort appends.
    pub rate_hz: f64,
    /// The newest best-effort append.
    pub best_effort_at: Option<TimestampMs>,
    /// How many best-effort frames the newest of them let stay.
    pub best_effort_max: u64,
    /// When the frames of a stream that only ever had best-effort ones go.
    pub expires_at: Option<TimestampMs>,
    /// When retention looks at the stream again; absent where its policy sets no time.
    pub look_at: Option<TimestampMs>,
}

impl Meta {
    /// A stream before its first frame.
    pub fn new(execution_id: ExecutionId, attempt_index: AttemptIndex) -> Self {
        Self {
            execution_id,
            attempt_index,
            last: None,
            frame_count: 0,
            total_bytes: 0,
            durable_kept: 0,
            summary_kept: 0,
            best_effort_kept: 0,
            rate_hz: 0.0,
            best_effort_at: None,
            best_effort_max: 0,
            expires_at: None,
            look_at: None,
        }
    }

    /// How many frames of a class are there.
    pub fn kept(&self, class: Class) -> u64 {
        match class {
            Class::Durable => self.durable_kept,
            Class::Summary => self.summary_kept,
            Class::BestEffort => self.best_effort_kept,
        }
    }

    /// The count of a class, to change.
    pub fn kept_mut(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Durable => &mut self.durable_kept,
            Class::Summary => &mut self.summary_kept,
            Class::BestEffort => &mut self.best_effort_kept,
        }
    }

    /// Whether its frames have outlived their time: readers see none of them.
    pub fn has_expired(&self, now: TimestampMs) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The merged summary of one attempt's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    /// JSON text.
    pub document: String,
    /// 1 after the first patch.
    pub version: u64,
    pub updated_at: TimestampMs,
    pub first_applied_at: TimestampMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: i64, seq: u64) -> FrameId {
        FrameId { ms: TimestampMs(ms), seq }
    }

    #[test]
    fn ids_rise_strictly_whatever_the_clock_says() {
        assert_eq!(FrameId::next(None, TimestampMs(5)), id(5, 0));
        assert_eq!(FrameId::next(Some(id(5, 0)), TimestampMs(5)), id(5, 1));
        assert_eq!(FrameId::next(Some(id(5, 7)), TimestampMs(6)), id(6, 0));
        assert_eq!(FrameId::next(Some(id(5, 7)), TimestampMs(4)), id(5, 8));
        assert_eq!(id(17, 3).to_string(), "17-3");
    }

    #[test]
    fn a_class_reads_back_from_its_word() {
        for class in [Class::Durable, Class::Summary, Class::BestEffort] {
            assert_eq!(Class::from_wire(class.as_str()), Some(class));
        }
        assert_eq!(Class::from_wire("other"), None);
        assert_eq!(Class::of(StreamMode::durable_summary()).as_str(), "summary");
    }
}
