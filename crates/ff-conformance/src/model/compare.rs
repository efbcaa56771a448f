//! Holding two engines equal: answers as text without what names the backend, rows as they are.

use std::fmt::Debug;

use ff_core::EngineError;
use ff_core::backend::{BackendTag, Handle, HandleKind};
use ff_core::handle_codec::{self, HandlePayload};

use super::suspension::Wait;

/// Lines of context in front of a difference.
const CONTEXT_LINES: usize = 4;

/// Lines shown of each side of a difference.
const SHOWN_LINES: usize = 14;

/// What an engine answered to one call, ready to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The operation.
    pub(crate) operation: &'static str,
    /// A word for the coverage table: a variant, a refusal, `empty` or `some`.
    pub(crate) code: String,
    /// Everything that was said.
    pub(crate) text: String,
    /// The proofs it handed out.
    pub(crate) held: Vec<(HandleKind, HandlePayload)>,
    /// The lease that it granted without a handle.
    pub(crate) bare: Option<ff_core::contracts::ClaimGrantOutcome>,
    /// The waitpoints it made, with their tokens.
    pub(super) waits: Vec<Wait>,
}

impl Answer {
    pub(crate) fn new<T: Debug>(operation: &'static str, said: Result<T, EngineError>) -> Self {
        let (code, text) = match said {
            Ok(value) => {
                let text = format!("{value:?}");
                (code_of_value(&text), text)
            }
            Err(error) => (code_of_error(&error), neutral(&format!("{error:?}"))),
        };
        Self { operation, code, text, held: Vec::new(), bare: None, waits: Vec::new() }
    }

    /// Adds what a handle says, in place of its bytes.
    pub(crate) fn with_handles<'a>(
        mut self,
        handles: impl IntoIterator<Item = &'a Handle>,
    ) -> Self {
        for handle in handles {
            match handle_codec::decode(&handle.opaque) {
                Ok(decoded) if decoded.tag == handle.backend => {
                    self.text += &format!(" {:?}({:?})", handle.kind, decoded.payload);
                    self.held.push((handle.kind, decoded.payload));
                }
                Ok(decoded) => self.text += &format!(" handle of two backends: {decoded:?}"),
                Err(error) => self.text += &format!(" unreadable handle: {error}"),
            }
        }
        self
    }
}

fn code_of_value(text: &str) -> String {
    if text.starts_with('[') {
        return if text == "[]" { "empty" } else { "some" }.to_owned();
    }
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_variant = word.starts_with(|first: char| first.is_ascii_uppercase());
    if is_variant { word } else { "ok".to_owned() }
}

/// A refusal by its kind, without the details.
pub(crate) fn code_of_error(error: &EngineError) -> String {
    let word = |text: String| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    match error {
        EngineError::NotFound { entity } => format!("NotFound({entity})"),
        EngineError::Validation { kind, .. } => {
            format!("Validation({})", word(format!("{kind:?}")))
        }
        EngineError::Contention(kind) => format!("Contention({})", word(format!("{kind:?}"))),
        EngineError::Conflict(kind) => format!("Conflict({})", word(format!("{kind:?}"))),
        EngineError::State(kind) => format!("State({})", word(format!("{kind:?}"))),
        EngineError::Contextual { source, .. } => code_of_error(source),
        EngineError::InBatch { row, source } => format!("{} in row {row}", code_of_error(source)),
        other => word(format!("{other:?}")),
    }
}

/// The text of a refusal without the tag of the backend that refused.
fn neutral(text: &str) -> String {
    [BackendTag::Valkey, BackendTag::Postgres, BackendTag::Sqlite, BackendTag::Memory]
        .iter()
        .fold(text.to_owned(), |text, tag| {
            text.replace(&format!("expected={tag:?}"), "expected=<own>")
        })
}

/// The first difference between two values, or `None` when they are equal.
pub(crate) fn difference<T: PartialEq + Debug>(
    what: &str,
    subject: &T,
    oracle: &T,
) -> Option<String> {
    if subject == oracle {
        return None;
    }
    let (subject, oracle) = (format!("{subject:#?}"), format!("{oracle:#?}"));
    let (left, right): (Vec<&str>, Vec<&str>) =
        (subject.lines().collect(), oracle.lines().collect());
    let first = left
        .iter()
        .zip(&right)
        .position(|(left, right)| left != right)
        .unwrap_or_else(|| left.len().min(right.len()));
    let shown = |lines: &[&str], mark: char| -> String {
        lines
            .iter()
            .skip(first)
            .take(SHOWN_LINES)
            .map(|line| format!("  {mark} {line}\n"))
            .collect()
    };
    let context: String = left
        .iter()
        .take(first)
        .skip(first.saturating_sub(CONTEXT_LINES))
        .map(|line| format!("    {line}\n"))
        .collect();
    Some(format!(
        "{what} differ, from line {first} on (- subject, + oracle):\n{context}{}{}",
        shown(&left, '-'),
        shown(&right, '+')
    ))
}

#[cfg(test)]
mod tests {
    use ff_core::engine_error::{ContentionKind, ValidationKind};

    use super::*;

    #[test]
    fn the_tag_of_the_refusing_backend_does_not_count_but_the_shown_one_does() {
        let refusal = |detail: &str| {
            Answer::new::<()>(
                "renew",
                Err(EngineError::Validation {
                    kind: ValidationKind::HandleFromOtherBackend,
                    detail: detail.to_owned(),
                }),
            )
        };

        let memory = refusal("expected=Memory actual=Valkey");

        assert_eq!(memory, refusal("expected=Sqlite actual=Valkey"));
        assert_ne!(memory, refusal("expected=Memory actual=Postgres"));
        assert_eq!(memory.code, "Validation(HandleFromOtherBackend)");
    }

    #[test]
    fn a_code_is_the_variant_without_its_details() {
        assert_eq!(code_of_value("Created { id: 1 }"), "Created");
        assert_eq!(code_of_value("()"), "ok");
        assert_eq!(code_of_value("[]"), "empty");
        assert_eq!(code_of_value("[1]"), "some");
        let lost = EngineError::Contention(ContentionKind::LeaseConflict);
        assert_eq!(code_of_error(&lost), "Contention(LeaseConflict)");
    }

    #[test]
    fn a_difference_shows_where_it_begins() {
        assert_eq!(difference("rows", &[1, 2, 3], &[1, 2, 3]), None);
        let shown = difference("rows", &[1, 2, 3], &[1, 5, 3]).unwrap();
        assert!(shown.contains("- ") && shown.contains("2,") && shown.contains("5,"), "{shown}");
        assert!(difference("rows", &vec![1], &vec![1, 2]).is_some());
    }
}
