//! ff-conformance
pub mod admin;
pub mod budget;
mod dice;
pub mod event;
pub mod execution;
pub mod flow;
pub mod harness;
pub mod invariants;
pub mod lane;
pub mod lease;
pub mod model;
pub mod probe;
pub mod race;
pub mod simulation;
pub mod stream;
pub mod suite;
pub mod suspension;
pub mod worker;
