//! The lease cookie a worker shows with every call.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use serde::{Deserialize, Serialize};

/// Which backend minted a handle; a handle of another backend is refused, never guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BackendTag {
    Valkey,
    Postgres,
    Sqlite,
    /// The engine in memory; an addition of ours.
    Memory,
}

impl BackendTag {
    /// The byte that stands for the tag inside an encoded handle.
    #[must_use]
    pub const fn wire_byte(self) -> u8 {
        match self {
            Self::Valkey => 0x01,
            Self::Postgres => 0x02,
            Self::Sqlite => 0x03,
            Self::Memory => 0x04,
        }
    }

    /// The tag behind a wire byte, `None` for a byte no backend owns.
    #[must_use]
    pub const fn from_wire_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Valkey),
            0x02 => Some(Self::Postgres),
            0x03 => Some(Self::Sqlite),
            0x04 => Some(Self::Memory),
            _ => None,
        }
    }
}

/// How the holder came by the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HandleKind {
    /// A normal claim.
    Fresh,
    /// The same attempt, leased again after a suspension, a delay or a resume grant.
    Resumed,
    /// What `suspend` returns; it names the parked attempt and holds no lease.
    Suspended,
    /// A new attempt that replaced one whose lease lapsed.
    Reclaimed,
}

/// Bytes only [`crate::handle_codec`] reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HandleOpaque(Box<[u8]>);

impl HandleOpaque {
    #[must_use]
    pub fn new(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A worker's lease cookie: valid while attempt, lease and epoch are the execution's current ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Handle {
    pub backend: BackendTag,
    pub kind: HandleKind,
    pub opaque: HandleOpaque,
}

impl Handle {
    #[must_use]
    pub fn new(backend: BackendTag, kind: HandleKind, opaque: HandleOpaque) -> Self {
        Self { backend, kind, opaque }
    }
}

/// An empty, Valkey-tagged handle of kind `Fresh`: what a record without a handle decodes to.
#[must_use]
pub fn stub_handle_fresh() -> Handle {
    Handle::new(BackendTag::Valkey, HandleKind::Fresh, HandleOpaque::new(Box::default()))
}

/// As [`stub_handle_fresh`], of kind `Resumed`.
#[must_use]
pub fn stub_handle_resumed() -> Handle {
    Handle::new(BackendTag::Valkey, HandleKind::Resumed, HandleOpaque::new(Box::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_comes_back_from_its_wire_byte() {
        for tag in
            [BackendTag::Valkey, BackendTag::Postgres, BackendTag::Sqlite, BackendTag::Memory]
        {
            assert_eq!(BackendTag::from_wire_byte(tag.wire_byte()), Some(tag));
        }
        assert_eq!(BackendTag::from_wire_byte(0), None);
        assert_eq!(BackendTag::from_wire_byte(5), None);
    }
}
