//! FlowFabric's contract and its pure state machine.
//!
//! `ff-core` holds what must never differ between databases: the public types and traits
//! ([`types`], [`contracts`], [`engine_backend`]) and every rule of the engine ([`machine`]).
//! Nothing here reads a clock, draws a number or touches a disk; a backend brings those in.

pub mod backend;
pub mod capability;
pub mod caps;
pub mod clock;
pub mod completion_backend;
pub mod contracts;
pub mod crypto;
pub mod engine_backend;
pub mod engine_error;
pub mod error;
pub mod handle_codec;
pub mod hash;
pub mod machine;
pub mod partition;
pub mod policy;
pub mod state;
pub mod store;
pub mod stream_events;
pub mod stream_subscribe;
mod switchboard;
pub mod types;
pub mod waitpoint_hmac;

pub use backend::ScannerFilter;
pub use engine_error::{BackendError, BackendErrorKind, EngineError};
