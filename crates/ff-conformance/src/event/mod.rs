//! Events: what subscribers see, and how they resume.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod completion;
pub mod cursor;
pub mod lease_history;
pub mod operator;
