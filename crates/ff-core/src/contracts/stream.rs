//! Reading the stream of an attempt.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::TimestampMs;

/// Most frames one read or tail returns.
pub const STREAM_READ_HARD_CAP: u64 = 10_000;

/// A place in one attempt's stream. As text and in JSON: `start`, `end`, or a frame id `<ms>` or
/// `<ms>-<seq>`. Not [`crate::stream_subscribe::StreamCursor`], which resumes a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamCursor {
    Start,
    End,
    At(String),
}

impl StreamCursor {
    #[must_use]
    pub fn start() -> Self {
        Self::Start
    }

    #[must_use]
    pub fn end() -> Self {
        Self::End
    }

    /// Before the first frame, as a concrete id: `0-0`.
    #[must_use]
    pub fn from_beginning() -> Self {
        Self::At("0-0".to_owned())
    }

    /// As [`Self::from_beginning`].
    #[must_use]
    pub fn beginning() -> Self {
        Self::from_beginning()
    }

    /// Whether the cursor is a frame id, which is what a tail needs.
    #[must_use]
    pub fn is_concrete(&self) -> bool {
        matches!(self, Self::At(_))
    }

    /// The range bound of a stream store: `-`, `+` or the id.
    #[must_use]
    pub fn to_wire(&self) -> &str {
        match self {
            Self::Start => "-",
            Self::End => "+",
            Self::At(id) => id,
        }
    }

    /// As [`Self::to_wire`], owned.
    #[must_use]
    pub fn into_wire_string(self) -> String {
        match self {
            Self::At(id) => id,
            bound => bound.to_wire().to_owned(),
        }
    }
}

impl fmt::Display for StreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::End => "end",
            Self::At(id) => id,
        })
    }
}

fn is_frame_id(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('-') {
        Some((ms, seq)) => digits(ms) && digits(seq),
        None => digits(text),
    }
}

impl TryFrom<String> for StreamCursor {
    type Error = StreamCursorParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "" => Err(StreamCursorParseError::Empty),
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            "-" | "+" => Err(StreamCursorParseError::BareMarkerRejected(text)),
            id if is_frame_id(id) => Ok(Self::At(text)),
            _ => Err(StreamCursorParseError::Malformed(text)),
        }
    }
}

impl FromStr for StreamCursor {
    type Err = StreamCursorParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl Serialize for StreamCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a place in a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamCursorParseError {
    #[error("stream cursor must not be empty")]
    Empty,
    #[error("bare marker '{0}' is not a valid stream cursor; use 'start' or 'end'")]
    BareMarkerRejected(String),
    #[error("invalid stream cursor '{0}' (expected 'start', 'end', '<ms>', or '<ms>-<seq>')")]
    Malformed(String),
}

/// One stored frame: `frame_type`, `payload`, `encoding` (`utf8`), `source` (`worker`) and, where
/// the writer gave one, `correlation_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFrame {
    pub id: String,
    pub fields: BTreeMap<String, String>,
}

/// Frames in order, and whether more can come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFrames {
    pub frames: Vec<StreamFrame>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<TimestampMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_reason: Option<String>,
}

impl StreamFrames {
    /// No frame yet, and the stream is open.
    #[must_use]
    pub fn empty_open() -> Self {
        Self { frames: Vec::new(), closed_at: None, closed_reason: None }
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_flat_string_in_json() {
        for (cursor, json) in [
            (StreamCursor::start(), r#""start""#),
            (StreamCursor::end(), r#""end""#),
            (StreamCursor::beginning(), r#""0-0""#),
            (StreamCursor::At("17-3".to_owned()), r#""17-3""#),
            (StreamCursor::At("17".to_owned()), r#""17""#),
        ] {
            assert_eq!(serde_json::to_string(&cursor).unwrap(), json);
            assert_eq!(serde_json::from_str::<StreamCursor>(json).unwrap(), cursor);
        }
        assert_eq!(StreamCursor::start().into_wire_string(), "-");
        assert_eq!(StreamCursor::end().to_wire(), "+");
        assert!(StreamCursor::beginning().is_concrete() && !StreamCursor::end().is_concrete());
    }

    #[test]
    fn what_is_not_a_cursor_says_why() {
        let refused = |text: &str| text.parse::<StreamCursor>().unwrap_err();
        assert_eq!(refused(""), StreamCursorParseError::Empty);
        assert_eq!(refused("-"), StreamCursorParseError::BareMarkerRejected("-".to_owned()));
        for text in ["1-", "-1", "1-2-3", "a", "1 ", "Start", "١"] {
            assert_eq!(refused(text), StreamCursorParseError::Malformed(text.to_owned()));
        }
        assert_eq!(
            serde_json::from_str::<StreamCursor>(r#""+""#).unwrap_err().to_string(),
            "bare marker '+' is not a valid stream cursor; use 'start' or 'end'"
        );
    }

    #[test]
    fn an_open_stream_omits_its_end() {
        assert_eq!(serde_json::to_string(&StreamFrames::empty_open()).unwrap(), r#"{"frames":[]}"#);
        assert!(!StreamFrames::empty_open().is_closed());
    }
}
