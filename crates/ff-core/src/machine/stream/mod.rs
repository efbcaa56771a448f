//! Streams: what an attempt writes while it runs.
//!
//! Each attempt has one stream of frames in the order of their ids, `<ms>-<seq>`. One row of
//! counters ([`Meta`]) stands beside it, so that an append costs the same whatever lies before
//! it: the next id, the totals and what retention takes away all come from that row.
//!
//! A stream has no state of its own. It is open while its attempt may go on and closed by the
//! attempt's end ([`closing`]), so an end pays nothing for it.

pub mod append_frame;
pub mod closing;
pub mod expire;
pub mod patch;
pub mod retention;
pub mod rows;

pub use append_frame::AppendFrame;
pub use closing::Closing;
pub use expire::Expire;
pub use rows::{Class, Frame, FrameId, Meta, Summary};

use crate::types::{AttemptIndex, ExecutionId};

/// The stream rows that a command must see, of the footprint's execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The counters of this attempt's stream.
    pub meta: Option<AttemptIndex>,
    /// The merged summary of this attempt's stream.
    pub summary: Option<AttemptIndex>,
}

/// The stream rows that a command is shown.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field answers the footprint field of the same name")]
pub struct Seen {
    pub meta: Option<Meta>,
    pub summary: Option<Summary>,
}

impl Seen {
    /// Shows the effect of a write that is decided but not yet stored.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::AddFrame(_) | Write::TrimFrames { .. } => {}
            Write::PutMeta(meta) => self.meta = Some((**meta).clone()),
            Write::PutSummary(summary) => self.summary = Some((**summary).clone()),
        }
    }
}

/// A stream row to write.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Write {
    /// A frame at the end of its stream.
    AddFrame(Box<Frame>),
    /// Removes the oldest frames of one class.
    TrimFrames { execution_id: ExecutionId, attempt_index: AttemptIndex, class: Class, count: u64 },
    /// The counters of a stream.
    PutMeta(Box<Meta>),
    /// The merged summary of a stream.
    PutSummary(Box<Summary>),
}
