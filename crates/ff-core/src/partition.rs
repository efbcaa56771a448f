//! Which partition an object lives in: a CRC-16 of its id, and the `{fp:N}` tag that names it.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::types::{BudgetId, ExecutionId, FlowId, LaneId, QuotaPolicyId, decimal_u16};

/// What a partition holds; flows and executions share their partitions and the prefix `fp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionFamily {
    Flow,
    Execution,
    Budget,
    Quota,
}

impl PartitionFamily {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Flow | Self::Execution => "fp",
            Self::Budget => "b",
            Self::Quota => "q",
        }
    }
}

/// How many partitions each family has. Ids remember their partition, so counts never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionConfig {
    pub num_flow_partitions: u16,
    pub num_budget_partitions: u16,
    pub num_quota_partitions: u16,
}

impl PartitionConfig {
    /// The count of a family; executions live in the flow partitions.
    #[must_use]
    pub const fn count_for(&self, family: PartitionFamily) -> u16 {
        match family {
            PartitionFamily::Flow | PartitionFamily::Execution => self.num_flow_partitions,
            PartitionFamily::Budget => self.num_budget_partitions,
            PartitionFamily::Quota => self.num_quota_partitions,
        }
    }
}

impl Default for PartitionConfig {
    fn default() -> Self {
        Self { num_flow_partitions: 256, num_budget_partitions: 32, num_quota_partitions: 32 }
    }
}

/// One partition of one family; prints as its tag.
///
/// ```
/// use ff_core::partition::{Partition, PartitionFamily};
///
/// let partition = Partition { family: PartitionFamily::Execution, index: 7 };
/// assert_eq!(partition.to_string(), "{fp:7}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    pub family: PartitionFamily,
    pub index: u16,
}

impl Partition {
    /// The tag, `{<prefix>:<index>}`.
    #[must_use]
    pub fn hash_tag(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}:{}}}", self.family.prefix(), self.index)
    }
}

/// A partition's tag as it travels; callers hand it back unread.
///
/// The tag does not tell executions from flows: `fp` reads back as [`PartitionFamily::Flow`].
///
/// ```
/// use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
///
/// let key = PartitionKey::from(Partition { family: PartitionFamily::Budget, index: 3 });
/// assert_eq!(key.as_str(), "{b:3}");
/// assert_eq!(key.parse()?.index, 3);
/// # Ok::<(), ff_core::partition::PartitionKeyParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionKey(String);

impl PartitionKey {
    /// The tag as received, readable or not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the tag; a key from outside may hold any text.
    pub fn parse(&self) -> Result<Partition, PartitionKeyParseError> {
        let body = self
            .0
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or(PartitionKeyParseError::MissingBraces)?;
        let (prefix, index) = body.split_once(':').ok_or(PartitionKeyParseError::MalformedBody)?;
        let family = match prefix {
            "fp" => PartitionFamily::Flow,
            "b" => PartitionFamily::Budget,
            "q" => PartitionFamily::Quota,
            unknown => {
                return Err(PartitionKeyParseError::UnknownFamilyPrefix(unknown.to_owned()));
            }
        };
        let index = decimal_u16(index)
            .ok_or_else(|| PartitionKeyParseError::InvalidIndex(index.to_owned()))?;
        Ok(Partition { family, index })
    }

    /// The same as [`Self::parse`].
    pub fn as_partition(&self) -> Result<Partition, PartitionKeyParseError> {
        self.parse()
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Partition> for PartitionKey {
    fn from(partition: &Partition) -> Self {
        Self(partition.hash_tag())
    }
}

impl From<Partition> for PartitionKey {
    fn from(partition: Partition) -> Self {
        Self::from(&partition)
    }
}

impl TryFrom<&PartitionKey> for Partition {
    type Error = PartitionKeyParseError;

    fn try_from(key: &PartitionKey) -> Result<Self, PartitionKeyParseError> {
        key.parse()
    }
}

/// Says which part of a partition tag cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartitionKeyParseError {
    #[error("partition key is not enclosed in braces")]
    MissingBraces,
    #[error("partition key has no colon between prefix and index")]
    MalformedBody,
    #[error("partition key has the unknown prefix {0:?}")]
    UnknownFamilyPrefix(String),
    #[error("partition index {0:?} is not a number from 0 to 65535")]
    InvalidIndex(String),
}

/// The partition an execution's own id names; the configuration has no say.
#[must_use]
pub const fn execution_partition(id: &ExecutionId, _config: &PartitionConfig) -> Partition {
    Partition { family: PartitionFamily::Execution, index: id.partition() }
}

/// The partition of a flow and its members.
///
/// # Panics
/// If the configuration has no flow partition.
#[must_use]
pub fn flow_partition(id: &FlowId, config: &PartitionConfig) -> Partition {
    hashed(PartitionFamily::Flow, id.as_bytes(), config)
}

/// The partition of executions that belong to no flow: one per lane.
///
/// # Panics
/// If the configuration has no flow partition.
#[must_use]
pub fn solo_partition(lane: &LaneId, config: &PartitionConfig) -> Partition {
    solo_partition_with(lane, config, &Crc16SoloPartitioner)
}

/// Like [`solo_partition`], placed by the caller's own partitioner.
#[must_use]
pub fn solo_partition_with(
    lane: &LaneId,
    config: &PartitionConfig,
    partitioner: &dyn SoloPartitioner,
) -> Partition {
    Partition {
        family: PartitionFamily::Execution,
        index: partitioner.partition_for_lane(lane, config),
    }
}

/// The partition of a budget.
///
/// # Panics
/// If the configuration has no budget partition.
#[must_use]
pub fn budget_partition(id: &BudgetId, config: &PartitionConfig) -> Partition {
    hashed(PartitionFamily::Budget, id.as_bytes(), config)
}

/// The partition of a quota policy.
///
/// # Panics
/// If the configuration has no quota partition.
#[must_use]
pub fn quota_partition(id: &QuotaPolicyId, config: &PartitionConfig) -> Partition {
    hashed(PartitionFamily::Quota, id.as_bytes(), config)
}

/// Places lanes; the same lane must get the same answer for as long as its executions live.
pub trait SoloPartitioner: Send + Sync {
    /// The partition of `lane`, less than the number of flow partitions.
    fn partition_for_lane(&self, lane: &LaneId, config: &PartitionConfig) -> u16;
}

/// Places a lane by the CRC-16 of its text, the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc16SoloPartitioner;

impl SoloPartitioner for Crc16SoloPartitioner {
    fn partition_for_lane(&self, lane: &LaneId, config: &PartitionConfig) -> u16 {
        hashed(PartitionFamily::Execution, lane.as_str().as_bytes(), config).index
    }
}

fn hashed(family: PartitionFamily, bytes: &[u8], config: &PartitionConfig) -> Partition {
    let count = config.count_for(family);
    assert!(count > 0, "a partition count of 0 leaves no place for {family:?}");
    Partition { family, index: crc16(bytes) % count }
}

/// CRC-16/XMODEM: polynomial 0x1021, start 0, not reflected, no final xor.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_hash_is_crc16_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn executions_live_in_the_partition_of_their_flow() {
        let config = PartitionConfig::default();
        let flow = FlowId::from_uuid(Uuid::from_u128(42));
        let id = ExecutionId::deterministic_for_flow(&flow, &config, Uuid::from_u128(1));
        let (of_flow, of_execution) =
            (flow_partition(&flow, &config), execution_partition(&id, &config));
        assert_eq!(of_flow.index, of_execution.index);
        assert_eq!(of_flow.hash_tag(), of_execution.hash_tag());
        assert_eq!(of_execution.family, PartitionFamily::Execution);
    }

    #[test]
    fn an_execution_id_outranks_the_configuration() {
        let id = ExecutionId::from_parts(u16::MAX, Uuid::nil());
        assert_eq!(execution_partition(&id, &PartitionConfig::default()).index, u16::MAX);
    }

    #[test]
    fn each_family_counts_its_own_partitions() {
        let config = PartitionConfig {
            num_flow_partitions: 1,
            num_budget_partitions: 2,
            num_quota_partitions: 3,
        };
        assert_eq!(config.count_for(PartitionFamily::Flow), 1);
        assert_eq!(config.count_for(PartitionFamily::Execution), 1);
        assert_eq!(config.count_for(PartitionFamily::Budget), 2);
        assert_eq!(config.count_for(PartitionFamily::Quota), 3);
        for number in 0..100 {
            let uuid = Uuid::from_u128(number);
            assert_eq!(flow_partition(&FlowId(uuid), &config).index, 0);
            assert!(budget_partition(&BudgetId(uuid), &config).index < 2);
            assert!(quota_partition(&QuotaPolicyId(uuid), &config).index < 3);
        }
        assert_eq!(budget_partition(&BudgetId::new(), &config).family, PartitionFamily::Budget);
    }

    #[test]
    #[should_panic(expected = "a partition count of 0")]
    fn no_partition_is_no_configuration() {
        let config = PartitionConfig { num_flow_partitions: 0, ..Default::default() };
        let _ = solo_partition(&LaneId::new("default"), &config);
    }

    #[test]
    fn a_caller_may_place_lanes_itself() {
        struct Last;
        impl SoloPartitioner for Last {
            fn partition_for_lane(&self, _: &LaneId, config: &PartitionConfig) -> u16 {
                config.num_flow_partitions - 1
            }
        }
        let partition = solo_partition_with(&LaneId::new("x"), &PartitionConfig::default(), &Last);
        assert_eq!(partition, Partition { family: PartitionFamily::Execution, index: 255 });
    }

    #[test]
    fn a_key_reads_back_and_an_execution_becomes_a_flow() {
        for (family, read) in [
            (PartitionFamily::Flow, PartitionFamily::Flow),
            (PartitionFamily::Execution, PartitionFamily::Flow),
            (PartitionFamily::Budget, PartitionFamily::Budget),
            (PartitionFamily::Quota, PartitionFamily::Quota),
        ] {
            let key = PartitionKey::from(&Partition { family, index: u16::MAX });
            assert_eq!(key.parse(), Ok(Partition { family: read, index: u16::MAX }));
            assert_eq!(Partition::try_from(&key), key.as_partition());
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(json, format!("\"{key}\""));
            assert_eq!(serde_json::from_str::<PartitionKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn a_key_is_refused_by_the_part_that_is_wrong() {
        use PartitionKeyParseError::{
            InvalidIndex, MalformedBody, MissingBraces, UnknownFamilyPrefix,
        };
        let parse = |text: &str| PartitionKey(text.to_owned()).parse().unwrap_err();
        for text in ["", "fp:7", "{fp:7", "fp:7}", "{", " {fp:7}", "{fp:7} "] {
            assert_eq!(parse(text), MissingBraces, "{text:?}");
        }
        for text in ["{}", "{fp}", "{7}"] {
            assert_eq!(parse(text), MalformedBody, "{text:?}");
        }
        for prefix in ["", "p", "FP", " fp"] {
            assert_eq!(parse(&format!("{{{prefix}:7}}")), UnknownFamilyPrefix(prefix.to_owned()));
        }
        for index in ["", "+7", "-1", "65536", "7:", "x", " 7"] {
            assert_eq!(parse(&format!("{{fp:{index}}}")), InvalidIndex(index.to_owned()));
        }
    }
}
