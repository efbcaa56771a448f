//! What an attempt streams while it runs.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::hash::{Hash, Hasher};

/// What the bytes of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameKind {
    Stdout,
    Stderr,
    Event,
    Blob,
}

impl FrameKind {
    /// The stored name, and the frame type of a frame that names none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Event => "event",
            Self::Blob => "blob",
        }
    }
}

/// How a frame changes the summary document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PatchKind {
    /// RFC 7396, with [`SUMMARY_NULL_SENTINEL`] for a null that is to be stored.
    JsonMergePatch,
}

impl PatchKind {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonMergePatch => "json-merge-patch",
        }
    }
}

/// A string leaf with this value in a merge patch stores JSON null; a plain null deletes its key.
/// A summary document never shows it.
pub const SUMMARY_NULL_SENTINEL: &str = "__ff_null__";

/// How long a frame is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamMode {
    /// Kept up to the stream policy's length.
    #[default]
    Durable,
    /// The frame is a patch; the merged document is what counts.
    DurableSummary { patch_kind: PatchKind },
    /// Kept for about the TTL, at a length that follows the rate of appends.
    BestEffortLive { config: BestEffortLiveConfig },
}

impl StreamMode {
    #[must_use]
    pub const fn durable() -> Self {
        Self::Durable
    }

    /// Summary by JSON merge patch.
    #[must_use]
    pub const fn durable_summary() -> Self {
        Self::DurableSummary { patch_kind: PatchKind::JsonMergePatch }
    }

    #[must_use]
    pub const fn best_effort_live(ttl_ms: u32) -> Self {
        Self::BestEffortLive { config: BestEffortLiveConfig::with_ttl(ttl_ms) }
    }

    #[must_use]
    pub const fn best_effort_live_with_config(config: BestEffortLiveConfig) -> Self {
        Self::BestEffortLive { config }
    }

    /// The stored name: `durable`, `summary` or `best_effort`.
    #[must_use]
    pub const fn wire_str(&self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::DurableSummary { .. } => "summary",
            Self::BestEffortLive { .. } => "best_effort",
        }
    }
}

/// Retention of best-effort frames: about `2 · rate · ttl` of them, between floor and ceiling,
/// where the rate is an exponential moving average with weight `ema_alpha` for the newest interval.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BestEffortLiveConfig {
    pub ttl_ms: u32,
    pub maxlen_floor: u32,
    pub maxlen_ceiling: u32,
    pub ema_alpha: f64,
}

impl BestEffortLiveConfig {
    /// Floor 64, ceiling 16,384, alpha 0.2.
    #[must_use]
    pub const fn new(ttl_ms: u32) -> Self {
        Self::with_ttl(ttl_ms)
    }

    /// As [`Self::new`].
    #[must_use]
    pub const fn with_ttl(ttl_ms: u32) -> Self {
        Self { ttl_ms, maxlen_floor: 64, maxlen_ceiling: 16_384, ema_alpha: 0.2 }
    }

    #[must_use]
    pub const fn with_maxlen_floor(mut self, floor: u32) -> Self {
        self.maxlen_floor = floor;
        self
    }

    #[must_use]
    pub const fn with_maxlen_ceiling(mut self, ceiling: u32) -> Self {
        self.maxlen_ceiling = ceiling;
        self
    }

    #[must_use]
    pub const fn with_ema_alpha(mut self, alpha: f64) -> Self {
        self.ema_alpha = alpha;
        self
    }
}

// Alpha compares by its bits: equality then agrees with the hash and holds for NaN too.
impl PartialEq for BestEffortLiveConfig {
    fn eq(&self, other: &Self) -> bool {
        self.ttl_ms == other.ttl_ms
            && self.maxlen_floor == other.maxlen_floor
            && self.maxlen_ceiling == other.maxlen_ceiling
            && self.ema_alpha.to_bits() == other.ema_alpha.to_bits()
    }
}

impl Eq for BestEffortLiveConfig {}

impl Hash for BestEffortLiveConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ttl_ms.hash(state);
        self.maxlen_floor.hash(state);
        self.maxlen_ceiling.hash(state);
        self.ema_alpha.to_bits().hash(state);
    }
}

/// Which frames a tail shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TailVisibility {
    #[default]
    All,
    ExcludeBestEffort,
}

impl TailVisibility {
    /// Empty for `All`, `exclude_best_effort` otherwise.
    #[must_use]
    pub const fn wire_str(&self) -> &'static str {
        match self {
            Self::All => "",
            Self::ExcludeBestEffort => "exclude_best_effort",
        }
    }
}

/// One frame to append. An empty `frame_type` means the kind's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub kind: FrameKind,
    pub seq: Option<u64>,
    pub frame_type: String,
    pub correlation_id: Option<String>,
    pub mode: StreamMode,
}

impl Frame {
    /// A durable frame without sequence number, type or correlation id.
    #[must_use]
    pub fn new(bytes: Vec<u8>, kind: FrameKind) -> Self {
        Self {
            bytes,
            kind,
            seq: None,
            frame_type: String::new(),
            correlation_id: None,
            mode: StreamMode::Durable,
        }
    }

    /// As [`Self::new`], with the caller's own sequence number.
    #[must_use]
    pub fn with_seq(bytes: Vec<u8>, kind: FrameKind, seq: u64) -> Self {
        Self { seq: Some(seq), ..Self::new(bytes, kind) }
    }

    #[must_use]
    pub fn with_mode(mut self, mode: StreamMode) -> Self {
        self.mode = mode;
        self
    }

    #[must_use]
    pub fn with_frame_type(mut self, frame_type: impl Into<String>) -> Self {
        self.frame_type = frame_type.into();
        self
    }

    #[must_use]
    pub fn with_correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }
}

/// Where the frame landed: its id `<ms>-<seq>`, the running count, the summary version it made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AppendFrameOutcome {
    pub stream_id: String,
    pub frame_count: u64,
    pub summary_version: Option<u64>,
}

impl AppendFrameOutcome {
    #[must_use]
    pub fn new(stream_id: impl Into<String>, frame_count: u64) -> Self {
        Self { stream_id: stream_id.into(), frame_count, summary_version: None }
    }
    #[must_use]
    pub fn with_summary_version(mut self, summary_version: u64) -> Self {
        self.summary_version = Some(summary_version);
        self
    }
}

/// The merged summary of an attempt's stream; versions count up from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryDocument {
    pub document_json: Vec<u8>,
    pub version: u64,
    pub patch_kind: PatchKind,
    pub last_updated_ms: u64,
    pub first_applied_ms: u64,
}

impl SummaryDocument {
    #[must_use]
    pub fn new(
        document_json: Vec<u8>,
        version: u64,
        patch_kind: PatchKind,
        last_updated_ms: u64,
        first_applied_ms: u64,
    ) -> Self {
        Self { document_json, version, patch_kind, last_updated_ms, first_applied_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_effort_stream_keeps_64_to_16384_frames_by_default() {
        let config = BestEffortLiveConfig::new(500);
        assert_eq!(config, BestEffortLiveConfig::with_ttl(500));
        assert_eq!((config.ttl_ms, config.maxlen_floor, config.maxlen_ceiling), (500, 64, 16_384));
        assert_eq!(config.ema_alpha.to_bits(), 0.2_f64.to_bits());
        assert_ne!(config, config.with_ema_alpha(0.3));
        assert_eq!(
            StreamMode::best_effort_live(500),
            StreamMode::best_effort_live_with_config(config)
        );
    }

    #[test]
    fn modes_and_visibilities_have_their_stored_names() {
        assert_eq!(StreamMode::default().wire_str(), "durable");
        assert_eq!(StreamMode::durable_summary().wire_str(), "summary");
        assert_eq!(StreamMode::best_effort_live(1).wire_str(), "best_effort");
        assert_eq!(TailVisibility::default().wire_str(), "");
        assert_eq!(TailVisibility::ExcludeBestEffort.wire_str(), "exclude_best_effort");
        assert_eq!(PatchKind::JsonMergePatch.as_str(), "json-merge-patch");
    }

    #[test]
    fn a_new_frame_is_durable_and_untyped() {
        let frame = Frame::new(b"x".to_vec(), FrameKind::Event);
        assert_eq!(
            (frame.seq, frame.frame_type.as_str(), frame.mode),
            (None, "", StreamMode::Durable)
        );
        assert_eq!(Frame::with_seq(Vec::new(), FrameKind::Blob, 7).seq, Some(7));
    }
}
