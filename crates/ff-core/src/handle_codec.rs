//! The bytes inside a worker's lease handle.
//!
//! Layout, all numbers little-endian, texts as `u32` length and UTF-8:
//!
//! ```text
//! 02  01  <backend tag>
//! execution id · u32 attempt index · attempt id · lease id · u64 lease epoch · u64 lease TTL in ms
//! · lane id · worker instance id
//! ```
//!
//! A handle comes back from outside, so decoding trusts nothing: it takes exactly what [`encode`]
//! writes for some payload and allocates no more than the bytes at hand.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use thiserror::Error;
use uuid::Uuid;

use crate::backend::{BackendTag, HandleOpaque};
use crate::engine_error::{EngineError, ValidationKind};
use crate::types::{
    AttemptId, AttemptIndex, ExecutionId, LaneId, LeaseEpoch, LeaseId, WorkerInstanceId,
};

const WIRE_VERSION: u8 = 0x02;
const V1_VERSION: u8 = 0x01;

/// What a handle knows about its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlePayload {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    pub attempt_id: AttemptId,
    pub lease_id: LeaseId,
    pub lease_epoch: LeaseEpoch,
    pub lease_ttl_ms: u64,
    pub lane_id: LaneId,
    pub worker_instance_id: WorkerInstanceId,
}

impl HandlePayload {
    /// Puts the eight parts together in their byte order.
    #[expect(clippy::too_many_arguments, reason = "the contract lists eight parts in this order")]
    #[must_use]
    pub const fn new(
        execution_id: ExecutionId,
        attempt_index: AttemptIndex,
        attempt_id: AttemptId,
        lease_id: LeaseId,
        lease_epoch: LeaseEpoch,
        lease_ttl_ms: u64,
        lane_id: LaneId,
        worker_instance_id: WorkerInstanceId,
    ) -> Self {
        Self {
            execution_id,
            attempt_index,
            attempt_id,
            lease_id,
            lease_epoch,
            lease_ttl_ms,
            lane_id,
            worker_instance_id,
        }
    }
}

/// A handle's payload and the backend that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodedHandle {
    pub tag: BackendTag,
    pub payload: HandlePayload,
}

impl DecodedHandle {
    /// Puts both parts together.
    #[must_use]
    pub const fn new(tag: BackendTag, payload: HandlePayload) -> Self {
        Self { tag, payload }
    }
}

/// Writes a handle; [`decode`] reads the same payload back if its lane id is a valid one.
///
/// ```
/// use ff_core::backend::BackendTag;
/// use ff_core::handle_codec::{HandlePayload, decode, encode};
/// use ff_core::types::*;
///
/// let payload = HandlePayload::new(
///     ExecutionId::parse("{fp:0}:018f2b6c-7a31-7c55-9d0e-3f1c2b4a5d6e").unwrap(),
///     AttemptIndex::new(0),
///     AttemptId::new(),
///     LeaseId::new(),
///     LeaseEpoch::new(1),
///     30_000,
///     LaneId::new("default"),
///     WorkerInstanceId::new("worker-1"),
/// );
/// let decoded = decode(&encode(BackendTag::Sqlite, &payload))?;
/// assert_eq!(decoded.payload, payload);
/// # Ok::<(), ff_core::handle_codec::HandleDecodeError>(())
/// ```
///
/// # Panics
/// If a text is longer than 4 GiB.
#[must_use]
pub fn encode(tag: BackendTag, payload: &HandlePayload) -> HandleOpaque {
    let mut bytes = vec![WIRE_VERSION, V1_VERSION, tag.wire_byte()];
    put_text(&mut bytes, payload.execution_id.as_str());
    bytes.extend(payload.attempt_index.0.to_le_bytes());
    put_text(&mut bytes, &payload.attempt_id.to_string());
    put_text(&mut bytes, &payload.lease_id.to_string());
    bytes.extend(payload.lease_epoch.0.to_le_bytes());
    bytes.extend(payload.lease_ttl_ms.to_le_bytes());
    put_text(&mut bytes, payload.lane_id.as_str());
    put_text(&mut bytes, payload.worker_instance_id.as_str());
    HandleOpaque::new(bytes.into_boxed_slice())
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).expect("a text in a handle is shorter than 4 GiB");
    bytes.extend(len.to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Reads a handle of any backend; whether the tag is the right one is the caller's question.
pub fn decode(opaque: &HandleOpaque) -> Result<DecodedHandle, HandleDecodeError> {
    let mut reader = Reader { bytes: opaque.as_bytes(), pos: 0 };
    match reader.u8()? {
        WIRE_VERSION => {}
        got => return Err(HandleDecodeError::BadWireVersion { got }),
    }
    match reader.u8()? {
        V1_VERSION => {}
        got => return Err(HandleDecodeError::BadV1Version { got }),
    }
    let got = reader.u8()?;
    let tag = BackendTag::from_wire_byte(got).ok_or(HandleDecodeError::BadBackendTag { got })?;

    let payload = HandlePayload {
        execution_id: parsed("execution_id", reader.text("execution_id")?, ExecutionId::parse)?,
        attempt_index: AttemptIndex(u32::from_le_bytes(reader.array()?)),
        attempt_id: AttemptId(reader.uuid("attempt_id")?),
        lease_id: LeaseId(reader.uuid("lease_id")?),
        lease_epoch: LeaseEpoch(u64::from_le_bytes(reader.array()?)),
        lease_ttl_ms: u64::from_le_bytes(reader.array()?),
        lane_id: parsed("lane_id", reader.text("lane_id")?, LaneId::try_new)?,
        worker_instance_id: WorkerInstanceId::from(reader.text("worker_instance_id")?),
    };
    reader.finish()?;
    Ok(DecodedHandle { tag, payload })
}

fn parsed<'a, T, E: ToString>(
    field: &'static str,
    text: &'a str,
    parse: impl FnOnce(&'a str) -> Result<T, E>,
) -> Result<T, HandleDecodeError> {
    parse(text).map_err(|error| HandleDecodeError::ParseField { field, detail: error.to_string() })
}

struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, needed: usize) -> Result<&'a [u8], HandleDecodeError> {
        let (at, rest) = (self.pos, &self.bytes[self.pos..]);
        let taken = rest.get(..needed).ok_or(HandleDecodeError::Truncated {
            needed,
            at,
            have: rest.len(),
        })?;
        self.pos += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HandleDecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, HandleDecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, HandleDecodeError> {
        let len = u32::from_le_bytes(self.array()?);
        // A length beyond the address space is beyond the bytes at hand, too.
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|_| HandleDecodeError::InvalidUtf8 { field })
    }

    /// Only the spelling that `encode` writes: lower-case and hyphenated.
    fn uuid(&mut self, field: &'static str) -> Result<Uuid, HandleDecodeError> {
        let text = self.text(field)?;
        let uuid = parsed(field, text, Uuid::parse_str)?;
        if *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) != *text {
            let detail = format!("{text:?} is not lower-case and hyphenated");
            return Err(HandleDecodeError::ParseField { field, detail });
        }
        Ok(uuid)
    }

    const fn finish(&self) -> Result<(), HandleDecodeError> {
        let (pos, len) = (self.pos, self.bytes.len());
        if pos == len { Ok(()) } else { Err(HandleDecodeError::TrailingBytes { pos, len }) }
    }
}

/// Says where the bytes of a handle stop making sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandleDecodeError {
    #[error("handle is truncated: {needed} bytes needed at {at}, {have} left")]
    Truncated { needed: usize, at: usize, have: usize },
    #[error("handle ends at {pos} but has {len} bytes")]
    TrailingBytes { pos: usize, len: usize },
    #[error("handle has the unknown format {got:#04x}")]
    BadWireVersion { got: u8 },
    #[error("handle has the unknown version {got:#04x}")]
    BadV1Version { got: u8 },
    #[error("handle has the unknown backend tag {got:#04x}")]
    BadBackendTag { got: u8 },
    #[error("handle field {field} is not UTF-8")]
    InvalidUtf8 { field: &'static str },
    #[error("handle field {field}: {detail}")]
    ParseField { field: &'static str, detail: String },
}

impl From<HandleDecodeError> for EngineError {
    fn from(error: HandleDecodeError) -> Self {
        let detail = format!("handle_codec: {error}");
        Self::Validation { kind: ValidationKind::Corruption, detail }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload() -> HandlePayload {
        HandlePayload::new(
            ExecutionId::from_parts(7, Uuid::from_u128(1)),
            AttemptIndex(2),
            AttemptId(Uuid::from_u128(3)),
            LeaseId(Uuid::from_u128(4)),
            LeaseEpoch(5),
            30_000,
            LaneId::new("default"),
            WorkerInstanceId::new("wörker-1"),
        )
    }

    fn bytes() -> Vec<u8> {
        encode(BackendTag::Sqlite, &payload()).as_bytes().to_vec()
    }

    fn decode_bytes(bytes: &[u8]) -> Result<DecodedHandle, HandleDecodeError> {
        decode(&HandleOpaque::new(bytes.into()))
    }

    #[test]
    fn a_handle_reads_back_with_its_tag() {
        for tag in [BackendTag::Valkey, BackendTag::Postgres, BackendTag::Sqlite] {
            let decoded = decode(&encode(tag, &payload())).unwrap();
            assert_eq!(decoded, DecodedHandle::new(tag, payload()));
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let text =
            |text: &str| [&[u8::try_from(text.len()).unwrap(), 0, 0, 0], text.as_bytes()].concat();
        let expected = [
            vec![2, 1, 3],
            text("{fp:7}:00000000-0000-0000-0000-000000000001"),
            vec![2, 0, 0, 0],
            text("00000000-0000-0000-0000-000000000003"),
            text("00000000-0000-0000-0000-000000000004"),
            vec![5, 0, 0, 0, 0, 0, 0, 0],
            vec![0x30, 0x75, 0, 0, 0, 0, 0, 0],
            text("default"),
            text("wörker-1"),
        ]
        .concat();
        assert_eq!(bytes(), expected);
    }

    #[test]
    fn every_shorter_handle_is_truncated() {
        let bytes = bytes();
        for end in 0..bytes.len() {
            let error = decode_bytes(&bytes[..end]).unwrap_err();
            let HandleDecodeError::Truncated { needed, at, have } = error else {
                panic!("{end}: {error}");
            };
            assert_eq!(at + have, end);
            assert!(needed > have);
        }
    }

    #[test]
    fn a_longer_handle_is_refused() {
        let mut longer = bytes();
        let pos = longer.len();
        longer.push(0);
        assert_eq!(
            decode_bytes(&longer),
            Err(HandleDecodeError::TrailingBytes { pos, len: pos + 1 })
        );
    }

    #[test]
    fn the_three_lead_bytes_are_checked_in_order() {
        let with = |index: usize, byte: u8| {
            let mut bytes = bytes();
            bytes[index] = byte;
            decode_bytes(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 1), HandleDecodeError::BadWireVersion { got: 1 });
        assert_eq!(with(0, 3), HandleDecodeError::BadWireVersion { got: 3 });
        assert_eq!(with(1, 2), HandleDecodeError::BadV1Version { got: 2 });
        assert_eq!(with(2, 0), HandleDecodeError::BadBackendTag { got: 0 });
        assert_eq!(with(2, 5), HandleDecodeError::BadBackendTag { got: 5 });
    }

    #[test]
    fn a_length_larger_than_the_handle_is_truncated() {
        let mut bytes = bytes();
        bytes[3..7].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            decode_bytes(&bytes),
            Err(HandleDecodeError::Truncated { needed: 0xffff_ffff, at: 7, .. })
        ));
    }

    #[test]
    fn a_field_that_does_not_parse_is_named() {
        let replaced = |from: &str, to: &[u8]| {
            let bytes = bytes();
            let start = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let bytes = [&bytes[..start], to, &bytes[start + from.len()..]].concat();
            match decode_bytes(&bytes).unwrap_err() {
                HandleDecodeError::ParseField { field, .. }
                | HandleDecodeError::InvalidUtf8 { field } => field,
                other => panic!("{other}"),
            }
        };
        assert_eq!(replaced("{fp:7}", b"{fp:x}"), "execution_id");
        assert_eq!(replaced("-000000000003", b"-00000000000G"), "attempt_id");
        assert_eq!(replaced("-000000000004", b"-00000000000A"), "lease_id");
        assert_eq!(replaced("default", b"defa\x1flt"), "lane_id");
        assert_eq!(replaced("default", b"defa\xfflt"), "lane_id");
        assert_eq!(replaced("wörker", b"w\xff\xffrker"), "worker_instance_id");
    }

    #[test]
    fn an_empty_lane_is_no_lane() {
        let mut payload = payload();
        payload.lane_id = LaneId::new("");
        assert!(matches!(
            decode(&encode(BackendTag::Sqlite, &payload)),
            Err(HandleDecodeError::ParseField { field: "lane_id", .. })
        ));
    }

    #[test]
    fn a_broken_handle_is_corruption() {
        let error = EngineError::from(decode_bytes(&[]).unwrap_err());
        assert_eq!(
            error.to_string(),
            "validation: Corruption: handle_codec: handle is truncated: 1 bytes needed at 0, 0 left"
        );
    }

    proptest! {
        #[test]
        fn whatever_decodes_is_what_encode_writes(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = bytes();
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if let Ok(decoded) = decode_bytes(&bytes) {
                let written = encode(decoded.tag, &decoded.payload);
                prop_assert_eq!(written.as_bytes(), &*bytes);
            }
        }

        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let _ = decode_bytes(&noise);
            let _ = decode_bytes(&[&[2, 1, 3], &*noise].concat());
        }
    }
}
