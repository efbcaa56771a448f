//! Signatures.

pub mod hmac;
