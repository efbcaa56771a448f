//! All names of waitpoint signing in one place.

pub use crate::backend::WaitpointHmac;
pub use crate::contracts::{
    RotateWaitpointHmacSecretAllArgs, RotateWaitpointHmacSecretAllEntry,
    RotateWaitpointHmacSecretAllResult, RotateWaitpointHmacSecretOutcome,
};
