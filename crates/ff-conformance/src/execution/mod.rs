//! Executions: submitting, ending, steering and reading them.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod batch;
pub mod cancel;
pub mod change_priority;
pub mod complete;
pub mod create;
pub mod delay;
pub mod explain;
pub mod fail;
pub mod list;
pub mod progress;
pub mod read;
pub mod replay;
pub mod retention;
pub mod tag;
pub mod timeout;
