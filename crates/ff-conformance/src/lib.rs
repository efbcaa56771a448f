//! ff-conformance
mod dice;
pub mod invariants;
pub mod model;
pub mod probe;
pub mod race;
pub mod execution;
pub mod harness;
pub mod suite;
