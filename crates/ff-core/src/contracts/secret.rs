//! The keys that sign waitpoint tokens. A kid is non-empty and has no `:`; a secret is exactly 64
//! hexadecimal characters.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::fmt;

use crate::engine_error::EngineError;

/// Installs the first key. `Debug` hides the secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct SeedWaitpointHmacSecretArgs {
    pub kid: String,
    pub secret_hex: String,
}

impl SeedWaitpointHmacSecretArgs {
    #[must_use]
    pub fn new(kid: impl Into<String>, secret_hex: impl Into<String>) -> Self {
        Self { kid: kid.into(), secret_hex: secret_hex.into() }
    }
}

impl fmt::Debug for SeedWaitpointHmacSecretArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeedWaitpointHmacSecretArgs")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Whether the call installed the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeedOutcome {
    Seeded { kid: String },
    AlreadySeeded { kid: String, same_secret: bool },
}

/// Makes a new key current; tokens of the old one verify for `grace_ms` more. `Debug` hides the
/// secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct RotateWaitpointHmacSecretAllArgs {
    pub new_kid: String,
    pub new_secret_hex: String,
    pub grace_ms: u64,
}

impl RotateWaitpointHmacSecretAllArgs {
    #[must_use]
    pub fn new(
        new_kid: impl Into<String>,
        new_secret_hex: impl Into<String>,
        grace_ms: u64,
    ) -> Self {
        Self { new_kid: new_kid.into(), new_secret_hex: new_secret_hex.into(), grace_ms }
    }
}

impl fmt::Debug for RotateWaitpointHmacSecretAllArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateWaitpointHmacSecretAllArgs")
            .field("new_kid", &self.new_kid)
            .field("grace_ms", &self.grace_ms)
            .finish_non_exhaustive()
    }
}

/// One entry per key store.
#[derive(Debug)]
#[non_exhaustive]
pub struct RotateWaitpointHmacSecretAllResult {
    pub entries: Vec<RotateWaitpointHmacSecretAllEntry>,
}

impl RotateWaitpointHmacSecretAllResult {
    #[must_use]
    pub fn new(entries: Vec<RotateWaitpointHmacSecretAllEntry>) -> Self {
        Self { entries }
    }
}

/// What happened in the key store of one partition.
#[derive(Debug)]
#[non_exhaustive]
pub struct RotateWaitpointHmacSecretAllEntry {
    pub partition: u16,
    pub result: Result<RotateWaitpointHmacSecretOutcome, EngineError>,
}

impl RotateWaitpointHmacSecretAllEntry {
    #[must_use]
    pub fn new(
        partition: u16,
        result: Result<RotateWaitpointHmacSecretOutcome, EngineError>,
    ) -> Self {
        Self { partition, result }
    }
}

/// Whether the current key changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotateWaitpointHmacSecretOutcome {
    /// `gc_count` keys past their grace were dropped.
    Rotated {
        previous_kid: Option<String>,
        new_kid: String,
        gc_count: u32,
    },
    Noop {
        kid: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secret = "ab".repeat(32);
        let seed = format!("{:?}", SeedWaitpointHmacSecretArgs::new("k1", secret.as_str()));
        let rotate =
            format!("{:?}", RotateWaitpointHmacSecretAllArgs::new("k2", secret.as_str(), 5));
        assert!(seed.contains("k1") && !seed.contains("abab"));
        assert!(rotate.contains("k2") && !rotate.contains("abab"));
    }
}
