//! Streams: what an attempt writes while it runs.

/// The stream rows that a command must see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {}

/// The stream rows that a command is shown.
#[derive(Debug, Clone, Default)]
pub struct Seen {}

impl Seen {
    /// Shows the effect of a write that is decided but not yet stored.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "nothing is written yet"
    )]
    pub(super) fn apply(&mut self, write: &Write) {
        match *write {}
    }
}

/// A stream row to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {}
