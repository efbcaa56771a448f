//! The engine's rules, as pure functions.
//!
//! A [`Command`] names the rows it must see (its [`Footprint`]) and decides, from those rows and
//! a [`Context`], what changes, what is announced and what is answered: a [`Transition`]; or why
//! not: an [`EngineError`](crate::EngineError). A backend loads the footprint, asks, and stores
//! the transition in one transaction. It never decides.
//!
//! ```text
//!   request ──▶ Command ──footprint──▶ Session::load ──Snapshot──▶ decide ──Transition──▶ Session::commit
//!                                                                   │
//!                                                                   └── refused: nothing is written
//! ```
//!
//! Invariant: nothing in this module reads a clock, draws a number or awaits. Time, ids and
//! limits come in with the [`Context`].
//!
//! Invariant: what is due is applied before a command decides ([`drive::run`]), so no answer
//! depends on whether a background sweep has run.

pub mod budget;
pub mod command;
pub mod drive;
pub mod epoch;
pub mod execution;
pub mod fence;
pub mod flow;
pub mod footprint;
pub mod gate;
pub mod ids;
pub mod lane;
pub mod lease;
pub mod limits;
pub mod policy;
pub mod retry;
pub mod rows;
pub mod state;
pub mod stream;
pub mod suspension;
pub mod sweep;
pub mod terminal;
pub mod transition;
pub mod worker;

pub use command::{Command, Context, Urgency};
pub use fence::{Fence, Form};
pub use footprint::{Footprint, Snapshot};
pub use ids::Ids;
pub use limits::Limits;
pub use rows::{
    Attempt, AttemptOutcome, Candidate, CreateDedup, Execution, Grant, GrantKind, Lane,
};
pub use transition::{
    Change, CompletionEvent, Event, LeaseEvent, LeaseEventKind, OperatorEvent, OperatorEventKind,
    Transition, TransitionRow,
};
