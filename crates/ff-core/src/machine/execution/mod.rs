//! Executions: from create to the end, and again.

pub mod cancel;
pub mod change_priority;
pub mod complete;
pub mod create;
pub mod delay;
pub mod fail;
pub mod progress;
pub mod replay;
pub mod set_tag;
#[cfg(test)]
pub(crate) mod testing;

pub use cancel::{Cancel, CancelProof};
pub use change_priority::ChangePriority;
pub use complete::Complete;
pub use create::Create;
pub use delay::Delay;
pub use fail::{Fail, Failed};
pub use progress::Progress;
pub use replay::Replay;
pub use set_tag::SetTag;

use super::limits::REASON_MAX_BYTES;

/// A reason as it is stored: whole when it fits, otherwise cut at a character and marked.
pub fn stored_reason(text: &str) -> String {
    const MARK: &str = "… [truncated]";
    if text.len() <= REASON_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = REASON_MAX_BYTES - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}
