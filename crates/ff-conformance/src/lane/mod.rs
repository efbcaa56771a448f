//! Lanes: pausing, resuming, counting and listing them.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod list;
pub mod state;
pub mod status;
