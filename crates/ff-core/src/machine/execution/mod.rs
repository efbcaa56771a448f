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

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "… [truncated]";

    #[test]
    fn a_reason_that_fits_is_kept_whole() {
        assert_eq!(stored_reason(""), "");
        let longest = "x".repeat(REASON_MAX_BYTES);
        assert_eq!(stored_reason(&longest), longest);
    }

    #[test]
    fn a_longer_reason_is_cut_to_the_limit_and_marked() {
        let cut = stored_reason(&"x".repeat(REASON_MAX_BYTES + 1));

        assert_eq!(cut.len(), REASON_MAX_BYTES);
        assert_eq!(cut, format!("{}{MARK}", "x".repeat(REASON_MAX_BYTES - MARK.len())));
    }

    #[test]
    fn a_reason_is_never_cut_inside_a_character() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "🦀".repeat(REASON_MAX_BYTES / 4));

            let cut = stored_reason(&text);

            assert!(cut.len() <= REASON_MAX_BYTES || text.len() <= REASON_MAX_BYTES);
            let kept = cut.strip_suffix(MARK).unwrap_or(&cut);
            assert!(text.starts_with(kept));
            assert!(cut.len() > REASON_MAX_BYTES - 4);
        }
    }
}
