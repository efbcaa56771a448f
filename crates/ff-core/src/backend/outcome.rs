//! What a worker reports about its attempt, and what it hears back.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::{SignalId, TimestampMs, WaitpointId, WaitpointToken};

/// Why an attempt failed: a message for people, detail bytes for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureReason {
    pub message: String,
    pub detail: Option<Vec<u8>>,
}

impl FailureReason {
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None }
    }
}

impl FailureReason {
    pub fn with_detail(message: impl Into<String>, detail: Vec<u8>) -> Self {
        Self { message: message.into(), detail: Some(detail) }
    }
}

/// The kind of failure. `Permanent` and `Cancelled` never retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureClass {
    Transient,
    Permanent,
    InfraCrash,
    Timeout,
    Cancelled,
}

impl FailureClass {
    /// The failure category stored when the reason names none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::InfraCrash => "infra_crash",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a failure led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailOutcome {
    RetryScheduled { delay_until: TimestampMs },
    TerminalFailed,
}

/// A waitpoint made ahead of its suspension, with the token that addresses it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingWaitpoint {
    pub waitpoint_id: WaitpointId,
    pub hmac_token: WaitpointHmac,
}

impl PendingWaitpoint {
    #[must_use]
    pub fn new(waitpoint_id: WaitpointId, hmac_token: WaitpointHmac) -> Self {
        Self { waitpoint_id, hmac_token }
    }
}

/// A waitpoint's bearer token; `Debug` redacts it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WaitpointHmac(WaitpointToken);

impl WaitpointHmac {
    pub fn new(token: impl Into<String>) -> Self {
        Self(WaitpointToken::new(token))
    }

    #[must_use]
    pub fn token(&self) -> &WaitpointToken {
        &self.0
    }

    /// The raw token text: a credential, never to be logged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for WaitpointHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitpointHmac").field(&self.0).finish()
    }
}

/// One signal that was recorded for the current suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeSignal {
    pub signal_id: SignalId,
    pub signal_name: String,
    pub signal_category: String,
    pub source_type: String,
    pub source_identity: String,
    pub correlation_id: String,
    pub accepted_at: TimestampMs,
    pub payload: Option<Vec<u8>>,
}

/// What preparing a backend did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareOutcome {
    NoOp,
    Applied { description: String },
}

impl PrepareOutcome {
    pub fn applied(description: impl Into<String>) -> Self {
        Self::Applied { description: description.into() }
    }
}

/// Usage to add to a budget. `input_tokens`, `output_tokens` and `wall_ms` count in the
/// dimensions of those names; an absent or empty `dedup_key` means no deduplication.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UsageDimensions {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub wall_ms: Option<u64>,
    pub custom: BTreeMap<String, u64>,
    pub dedup_key: Option<String>,
}

impl UsageDimensions {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_input_tokens(mut self, tokens: u64) -> Self {
        self.input_tokens = tokens;
        self
    }

    #[must_use]
    pub fn with_output_tokens(mut self, tokens: u64) -> Self {
        self.output_tokens = tokens;
        self
    }

    #[must_use]
    pub fn with_wall_ms(mut self, wall_ms: u64) -> Self {
        self.wall_ms = Some(wall_ms);
        self
    }

    #[must_use]
    pub fn with_dedup_key(mut self, key: impl Into<String>) -> Self {
        self.dedup_key = Some(key.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_token_shows_no_digest() {
        let shown = format!("{:?}", WaitpointHmac::new("k1:deadbeef"));
        assert_eq!(shown, "WaitpointHmac(WaitpointToken(k1:<REDACTED:len=8>))");
    }

    #[test]
    fn a_usage_report_starts_empty_and_grows_by_builders() {
        let usage = UsageDimensions::new().with_input_tokens(3).with_wall_ms(5).with_dedup_key("k");
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.wall_ms), (3, 0, Some(5)));
        assert_eq!(usage.dedup_key.as_deref(), Some("k"));
        assert!(usage.custom.is_empty());
    }
}
