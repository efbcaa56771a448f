//! Arguments and answers of the engine's operations, by topic; every name is reachable here.

mod budget;
mod execution;
mod explain;
mod flow;
mod lane;
mod lease;
mod list;
mod secret;
mod stream;
mod suspension;
mod worker;

pub use budget::*;
pub use execution::*;
pub use explain::*;
pub use flow::*;
pub use lane::*;
pub use lease::*;
pub use list::*;
pub use secret::*;
pub use stream::*;
pub use suspension::*;
pub use worker::*;
