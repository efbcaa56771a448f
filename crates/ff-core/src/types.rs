//! Identifiers, counters, timestamps and credentials: the values every call is made of.
//!
//! Invariant: only the minting functions ([`ExecutionId::solo`], [`ExecutionId::for_flow`], `new`
//! of the UUID ids) and [`TimestampMs::now`] touch the outside world; everything else is pure.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

use crate::partition::{PartitionConfig, flow_partition, solo_partition};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Mints a time-ordered (version 7) id; rules receive their ids instead of calling this.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Takes the UUID as is, whatever its version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Reads any spelling of a UUID; the value prints lower-case and hyphenated again.
            pub fn parse(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }

            /// The sixteen bytes, most significant first; partition hashes are taken over these.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// Names a flow, the graph executions can be members of.
    FlowId
);
uuid_id!(
    /// Names a budget that executions report usage to.
    BudgetId
);
uuid_id!(
    /// Names a quota policy that admits executions.
    QuotaPolicyId
);
uuid_id!(
    /// Names one lease issue; a renewal keeps it, every new claim draws another.
    LeaseId
);
uuid_id!(
    /// Names one attempt of an execution for ever; indexes repeat between executions, this does not.
    AttemptId
);
uuid_id!(
    /// Names one delivery of a signal; delivering the same id twice counts once.
    SignalId
);
uuid_id!(
    /// Names a waitpoint, the address signals are delivered to.
    WaitpointId
);
uuid_id!(
    /// Names one suspension of an attempt; an execution has at most one open.
    SuspensionId
);
uuid_id!(
    /// Names a dependency between two members of a flow.
    EdgeId
);

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// Takes the text as is; nothing is validated.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

string_id!(
    /// Names a logical worker, which may run as many processes.
    WorkerId
);
string_id!(
    /// Names one process of a worker; leases belong to it.
    WorkerInstanceId
);
string_id!(
    /// Scopes a tenant's executions.
    Namespace
);
string_id!(
    /// Addresses a waitpoint from outside, in place of its id.
    WaitpointKey
);

/// Names an execution and carries the partition it lives in: `{fp:N}:<uuid>`.
///
/// The input text is kept verbatim, so two spellings of one UUID are two ids. Minted ids are
/// always spelled lower-case and hyphenated.
///
/// ```
/// use ff_core::types::ExecutionId;
///
/// let id = ExecutionId::parse("{fp:7}:018f2b6c-7a31-7c55-9d0e-3f1c2b4a5d6e")?;
/// assert_eq!(id.partition(), 7);
/// # Ok::<(), ff_core::types::ExecutionIdParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId {
    text: String,
    partition: u16,
    uuid: Uuid,
}

impl ExecutionId {
    /// Mints an id in the partition of its flow.
    #[must_use]
    pub fn for_flow(flow_id: &FlowId, config: &PartitionConfig) -> Self {
        Self::deterministic_for_flow(flow_id, config, Uuid::now_v7())
    }

    /// Mints an id for an execution without a flow, in the partition of its lane.
    ///
    /// ```
    /// use ff_core::partition::PartitionConfig;
    /// use ff_core::types::{ExecutionId, LaneId};
    ///
    /// let config = PartitionConfig { num_flow_partitions: 1, ..Default::default() };
    /// let id = ExecutionId::solo(&LaneId::new("default"), &config);
    /// assert!(id.as_str().starts_with("{fp:0}:"));
    /// ```
    #[must_use]
    pub fn solo(lane: &LaneId, config: &PartitionConfig) -> Self {
        Self::deterministic_solo(lane, config, Uuid::now_v7())
    }

    /// Like [`Self::for_flow`] with the caller's UUID: equal arguments give equal ids.
    #[must_use]
    pub fn deterministic_for_flow(flow_id: &FlowId, config: &PartitionConfig, uuid: Uuid) -> Self {
        Self::from_parts(flow_partition(flow_id, config).index, uuid)
    }

    /// Like [`Self::solo`] with the caller's UUID: equal arguments give equal ids.
    #[must_use]
    pub fn deterministic_solo(lane: &LaneId, config: &PartitionConfig, uuid: Uuid) -> Self {
        Self::from_parts(solo_partition(lane, config).index, uuid)
    }

    /// Puts an id together in its canonical spelling.
    #[must_use]
    pub fn from_parts(partition: u16, uuid: Uuid) -> Self {
        Self { text: format!("{{fp:{partition}}}:{uuid}"), partition, uuid }
    }

    /// Reads `{fp:N}:<uuid>` and keeps the text verbatim; `N` is not held against any partition count.
    pub fn parse(text: &str) -> Result<Self, ExecutionIdParseError> {
        let missing_tag = || ExecutionIdParseError::MissingTag(text.to_owned());
        let tagged = text.strip_prefix("{fp:").ok_or_else(missing_tag)?;
        let (number, tail) = tagged.split_once("}:").ok_or_else(missing_tag)?;
        let partition = decimal_u16(number)
            .ok_or_else(|| ExecutionIdParseError::InvalidPartitionIndex(number.to_owned()))?;
        let uuid = Uuid::parse_str(tail)
            .map_err(|_| ExecutionIdParseError::InvalidUuid(tail.to_owned()))?;
        Ok(Self { text: text.to_owned(), partition, uuid })
    }

    /// The whole text, as parsed or minted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The `N` of `{fp:N}`.
    #[must_use]
    pub const fn partition(&self) -> u16 {
        self.partition
    }

    /// The UUID behind the tag; two spellings of one UUID agree here.
    #[must_use]
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ExecutionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Digits only: `u16::from_str` would also take a leading `+`.
pub(crate) fn decimal_u16(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Says which part of an execution id cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExecutionIdParseError {
    #[error("execution id {0:?} does not start with {{fp:N}}:")]
    MissingTag(String),
    #[error("partition {0:?} of the execution id is not a number from 0 to 65535")]
    InvalidPartitionIndex(String),
    #[error("{0:?} at the end of the execution id is not a UUID")]
    InvalidUuid(String),
}

/// The longest lane id, in bytes.
pub const LANE_ID_MAX_BYTES: usize = 64;

/// Names a lane, the queue executions wait in: 1 to 64 bytes of printable ASCII.
///
/// [`LaneId::new`] and the `From` conversions take any text; calls that store a lane check it.
///
/// ```
/// use ff_core::types::{LaneId, LaneIdError};
///
/// assert_eq!(LaneId::try_new("emails")?.as_str(), "emails");
/// assert_eq!(LaneId::try_new("tab\there"), Err(LaneIdError::NonPrintable(3)));
/// # Ok::<(), LaneIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LaneId(pub String);

impl LaneId {
    /// Takes the text unchecked; see [`Self::try_new`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes 1 to [`LANE_ID_MAX_BYTES`] bytes from `0x20` to `0x7e` and refuses everything else.
    pub fn try_new(text: impl Into<String>) -> Result<Self, LaneIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(LaneIdError::Empty);
        }
        if text.len() > LANE_ID_MAX_BYTES {
            return Err(LaneIdError::TooLong(text.len()));
        }
        match text.bytes().position(|byte| !(0x20..=0x7e).contains(&byte)) {
            Some(index) => Err(LaneIdError::NonPrintable(index)),
            None => Ok(Self(text)),
        }
    }

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for LaneId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for LaneId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for LaneId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Says why a text is no lane id: its length in bytes, or the index of the first bad byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LaneIdError {
    #[error("lane id is empty")]
    Empty,
    #[error("lane id has {0} bytes; at most {LANE_ID_MAX_BYTES} are allowed")]
    TooLong(usize),
    #[error("lane id has a byte outside printable ASCII at index {0}")]
    NonPrintable(usize),
}

/// Fences a lease: it grows with every lease issue, so a late writer is recognised by a smaller one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LeaseEpoch(pub u64);

impl LeaseEpoch {
    /// Takes the number as is.
    #[must_use]
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The epoch of the next lease issue; the largest one stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for LeaseEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the attempts of an execution from zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AttemptIndex(pub u32);

impl AttemptIndex {
    /// Takes the number as is.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index of the following attempt; the largest one stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// Reads the wall clock, for callers at the edge; rules get `now` as an argument.
    #[must_use]
    pub fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the contract's one way to read the clock")]
        let now = std::time::SystemTime::now();
        let millis =
            |elapsed: std::time::Duration| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => Self(-millis(before.duration())),
        }
    }

    /// Takes the number as is.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationMs(pub u64);

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Proves that a caller still owns a lease: all three must equal what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseFence {
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub attempt_id: AttemptId,
}

/// Says who asks for a terminal change; any other text is a [`CancelSource::Custom`] source.
///
/// ```
/// use ff_core::types::CancelSource;
///
/// assert_eq!("lease_holder".parse(), Ok(CancelSource::LeaseHolder));
/// assert_eq!("billing".parse(), Ok(CancelSource::Custom("billing".to_owned())));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelSource {
    #[default]
    OperatorOverride,
    LeaseHolder,
    FlowCascade,
    SystemTimeout,
    #[serde(untagged)]
    Custom(String),
}

impl CancelSource {
    /// The wire text, which reads back as the same source.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::OperatorOverride => "operator_override",
            Self::LeaseHolder => "lease_holder",
            Self::FlowCascade => "flow_cascade",
            Self::SystemTimeout => "system_timeout",
            Self::Custom(text) => text,
        }
    }
}

impl fmt::Display for CancelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CancelSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "operator_override" => Self::OperatorOverride,
            "lease_holder" => Self::LeaseHolder,
            "flow_cascade" => Self::FlowCascade,
            "system_timeout" => Self::SystemTimeout,
            other => Self::Custom(other.to_owned()),
        })
    }
}

/// Lets its bearer signal a waitpoint: `<kid>:<hex>`. Printing it shows the key id only.
///
/// ```
/// use ff_core::types::WaitpointToken;
///
/// let token = WaitpointToken::new("k1:c0ffee");
/// assert_eq!(token.to_string(), "k1:<REDACTED:len=6>");
/// assert_eq!(token.as_str(), "k1:c0ffee");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WaitpointToken(pub String);

impl WaitpointToken {
    /// Takes the text as is; a token that does not verify is refused where it is used.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret text. Never log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WaitpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once(':') {
            Some((kid, secret)) if !kid.is_empty() && !secret.is_empty() => {
                write!(f, "{kid}:<REDACTED:len={}>", secret.len())
            }
            Some(_) | None => f.write_str("<REDACTED:malformed>"),
        }
    }
}

impl fmt::Debug for WaitpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitpointToken({self})")
    }
}

impl From<&str> for WaitpointToken {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for WaitpointToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "018f2b6c-7a31-7c55-9d0e-3f1c2b4a5d6e";

    #[test]
    fn a_uuid_id_prints_lower_case_whatever_it_was_read_from() {
        let id = FlowId::parse(&UUID.to_uppercase()).unwrap();
        assert_eq!(id.to_string(), UUID);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{UUID}\""));
        assert_eq!(serde_json::from_str::<FlowId>(&format!("\"{UUID}\"")).unwrap(), id);
        assert_eq!(FlowId::from_uuid(id.0), id);
        assert_eq!(id.as_bytes(), id.0.as_bytes());
        assert!(FlowId::parse("flow-1").is_err());
    }

    #[test]
    fn minted_ids_are_version_seven_and_differ() {
        let (a, b) = (LeaseId::new(), LeaseId::default());
        assert_ne!(a, b);
        assert_eq!(a.0.get_version_num(), 7);
        let config = PartitionConfig::default();
        let flow = FlowId::new();
        assert_eq!(ExecutionId::for_flow(&flow, &config).uuid().get_version_num(), 7);
        assert_eq!(ExecutionId::solo(&LaneId::new("default"), &config).uuid().get_version_num(), 7);
    }

    #[test]
    fn string_ids_keep_any_text() {
        let id = WorkerId::from("ω \n");
        assert_eq!(id, WorkerId::new("ω \n".to_owned()));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"ω \\n\"");
        assert_eq!(Namespace::from(String::new()).as_str(), "");
    }

    #[test]
    fn an_execution_id_keeps_its_text_verbatim() {
        for text in [
            format!("{{fp:0}}:{UUID}"),
            format!("{{fp:65535}}:{}", UUID.to_uppercase()),
            format!("{{fp:007}}:{}", UUID.replace('-', "")),
        ] {
            let id = ExecutionId::parse(&text).unwrap();
            assert_eq!(id.as_str(), text);
            assert_eq!(id.to_string(), text);
            assert_eq!(id.uuid().to_string(), UUID);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ExecutionId>(&json).unwrap(), id);
        }
        assert_eq!(ExecutionId::parse(&format!("{{fp:65535}}:{UUID}")).unwrap().partition(), 65535);
    }

    #[test]
    fn an_execution_id_is_refused_by_the_part_that_is_wrong() {
        use ExecutionIdParseError::{InvalidPartitionIndex, InvalidUuid, MissingTag};
        let of = |text: &str| ExecutionId::parse(text).unwrap_err();
        for text in ["", UUID, "{fp:7}", "{fp:7", "fp:7}:x", " {fp:7}:x", "{b:7}:x", "{fp:7} :x"] {
            assert_eq!(of(text), MissingTag(text.to_owned()));
        }
        for number in ["", "+7", "-1", "65536", "99999999999999999999", " 7", "7 ", "x", "٣"] {
            assert_eq!(
                of(&format!("{{fp:{number}}}:{UUID}")),
                InvalidPartitionIndex(number.to_owned())
            );
        }
        for tail in ["", "x", "018f2b6c", &format!("{UUID}0"), &format!(" {UUID}")] {
            assert_eq!(of(&format!("{{fp:7}}:{tail}")), InvalidUuid((*tail).to_owned()));
        }
        assert!(serde_json::from_str::<ExecutionId>("\"nonsense\"").is_err());
    }

    #[test]
    fn equal_arguments_mint_equal_execution_ids() {
        let config = PartitionConfig::default();
        let uuid = Uuid::parse_str(UUID).unwrap();
        let lane = LaneId::new("default");
        let id = ExecutionId::deterministic_solo(&lane, &config, uuid);
        assert_eq!(id, ExecutionId::deterministic_solo(&lane, &config, uuid));
        assert_eq!(id.partition(), solo_partition(&lane, &config).index);
        let flow = FlowId::from_uuid(uuid);
        let id = ExecutionId::deterministic_for_flow(&flow, &config, uuid);
        assert_eq!(id.partition(), flow_partition(&flow, &config).index);
        assert_eq!(id.uuid(), uuid);
    }

    proptest! {
        #[test]
        fn execution_ids_read_back_from_their_parts(partition: u16, uuid: u128) {
            let id = ExecutionId::from_parts(partition, Uuid::from_u128(uuid));
            prop_assert_eq!(ExecutionId::parse(id.as_str()), Ok(id));
        }

        #[test]
        fn reading_an_execution_id_never_panics(text: String) {
            let _ = ExecutionId::parse(&text);
            let _ = ExecutionId::parse(&format!("{{fp:{text}"));
        }
    }

    #[test]
    fn a_lane_id_has_one_to_sixty_four_printable_bytes() {
        assert_eq!(LaneId::try_new(""), Err(LaneIdError::Empty));
        assert!(LaneId::try_new("x".repeat(64)).is_ok());
        assert_eq!(LaneId::try_new("x".repeat(65)), Err(LaneIdError::TooLong(65)));
        assert!(LaneId::try_new(" ~").is_ok());
        assert_eq!(LaneId::try_new("ab\u{1f}"), Err(LaneIdError::NonPrintable(2)));
        assert_eq!(LaneId::try_new("\u{7f}"), Err(LaneIdError::NonPrintable(0)));
        assert_eq!(LaneId::try_new("aé"), Err(LaneIdError::NonPrintable(1)));
    }

    #[test]
    fn only_reading_json_checks_a_lane_id() {
        assert_eq!(LaneId::new("").as_str(), "");
        assert_eq!(serde_json::to_string(&LaneId::from("a")).unwrap(), "\"a\"");
        assert_eq!(serde_json::from_str::<LaneId>("\"a\"").unwrap(), LaneId::new("a"));
        assert!(serde_json::from_str::<LaneId>("\"\"").is_err());
    }

    #[test]
    fn counters_grow_by_one_and_stop_at_the_end() {
        assert_eq!(LeaseEpoch::new(4).next(), LeaseEpoch(5));
        assert_eq!(LeaseEpoch(u64::MAX).next(), LeaseEpoch(u64::MAX));
        assert_eq!(AttemptIndex::default().next(), AttemptIndex(1));
        assert_eq!(AttemptIndex(u32::MAX).next(), AttemptIndex(u32::MAX));
        assert_eq!(serde_json::to_string(&LeaseEpoch(7)).unwrap(), "7");
    }

    #[test]
    fn the_clock_has_started_long_ago() {
        assert!(TimestampMs::now() > TimestampMs::from_millis(1_600_000_000_000));
        assert_eq!(TimestampMs(-5).to_string(), "-5");
        assert_eq!(DurationMs(5).to_string(), "5");
    }

    #[test]
    fn every_cancel_source_survives_text_and_json() {
        for source in [
            CancelSource::OperatorOverride,
            CancelSource::LeaseHolder,
            CancelSource::FlowCascade,
            CancelSource::SystemTimeout,
            CancelSource::Custom("Billing run".to_owned()),
            CancelSource::Custom(String::new()),
        ] {
            assert_eq!(source.as_str().parse(), Ok(source.clone()));
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(json, format!("\"{source}\""));
            assert_eq!(serde_json::from_str::<CancelSource>(&json).unwrap(), source);
        }
        assert_eq!(CancelSource::default(), CancelSource::OperatorOverride);
    }

    #[test]
    fn a_token_never_prints_its_secret() {
        let token = WaitpointToken::new("k1:deadbeef");
        assert_eq!(format!("{token:?}"), "WaitpointToken(k1:<REDACTED:len=8>)");
        assert_eq!(token.to_string(), "k1:<REDACTED:len=8>");
        for text in ["", "deadbeef", ":deadbeef", "deadbeef:", ":"] {
            assert_eq!(WaitpointToken::from(text).to_string(), "<REDACTED:malformed>");
            assert_eq!(
                format!("{:?}", WaitpointToken::from(text)),
                "WaitpointToken(<REDACTED:malformed>)"
            );
        }
    }
}
