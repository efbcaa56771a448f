//! ff-conformance
mod dice;
pub mod invariants;
pub mod model;
pub mod probe;
pub mod race;
