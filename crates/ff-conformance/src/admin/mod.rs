//! The engine itself: what it is, what it can do, what time it has.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod service;
pub mod time;
