//! Tagging an execution.

use super::create::tag_within_limits;
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::limits::TAGS_MAX;
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::types::ExecutionId;

/// Sets one tag, in any state. Safe to repeat. Refused beyond the limits of a tag, or of the
/// number of tags, with `Validation(InvalidInput)`.
#[derive(Debug, Clone)]
pub struct SetTag {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The key; its shape is checked by the caller of the engine.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Command for SetTag {
    const NAME: &'static str = "execution.set_tag";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        tag_within_limits(&self.key, &self.value)?;
        let execution = seen.execution()?;
        if execution.tags.get(&self.key) == Some(&self.value) {
            return Ok(Transition::unchanged(()));
        }
        if execution.tags.len() >= TAGS_MAX && !execution.tags.contains_key(&self.key) {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!("the execution has {TAGS_MAX} tags, the most it may have"),
            });
        }
        let mut after = execution.clone();
        after.tags.insert(self.key.clone(), self.value.clone());
        Ok(Transition::unchanged(()).put(execution, after, cx.now, "tagged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, decide, ended, execution, refusal, running, seen, seen_pair,
    };
    use crate::machine::limits::{TAG_KEY_MAX_BYTES, TAG_VALUE_MAX_BYTES};
    use crate::machine::rows::AttemptOutcome;
    use crate::state::TerminalOutcome;

    fn set(key: &str, value: &str) -> SetTag {
        SetTag { execution_id: execution().id, key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_tag_is_set_in_any_state_and_replaces_an_older_value() {
        for seen in [
            seen(execution(), None),
            seen_pair(running(LEASE_END)),
            seen_pair(ended(TerminalOutcome::Failed, AttemptOutcome::Failed)),
        ] {
            let mut seen = seen;
            seen.execution.as_mut().unwrap().tags.insert("a.b".to_owned(), "old".to_owned());

            let done = decide(&set("a.b", "new"), &seen).unwrap();

            assert_eq!(done.stored().tags["a.b"], "new");
            assert!(done.events.is_empty());
        }
    }

    #[test]
    fn the_same_tag_again_writes_nothing() {
        let mut row = execution();
        row.tags.insert("a.b".to_owned(), "c".to_owned());

        assert!(decide(&set("a.b", "c"), &seen(row, None)).unwrap().is_unchanged());
    }

    #[test]
    fn an_execution_has_at_most_so_many_tags() {
        let mut row = execution();
        row.tags = (1..TAGS_MAX).map(|n| (format!("a.{n}"), String::new())).collect();
        assert!(decide(&set("a.last", ""), &seen(row.clone(), None)).is_ok());

        row.tags.insert("a.last".to_owned(), String::new());

        let seen = seen(row, None);
        assert_eq!(
            refusal(decide(&set("a.more", ""), &seen)),
            "validation: InvalidInput: the execution has 64 tags, the most it may have"
        );
        assert!(decide(&set("a.last", "new"), &seen).is_ok());
    }

    #[test]
    fn keys_and_values_have_bounds() {
        let seen = seen(execution(), None);
        assert!(decide(&set(&"k".repeat(TAG_KEY_MAX_BYTES), ""), &seen).is_ok());
        assert!(decide(&set("k", &"v".repeat(TAG_VALUE_MAX_BYTES)), &seen).is_ok());
        let key = "k".repeat(TAG_KEY_MAX_BYTES + 1);
        for (key, value, told) in [
            ("", "", "tag key \"\": give 1 to 128 bytes".to_owned()),
            (key.as_str(), "", format!("tag key {key:?}: give 1 to 128 bytes")),
            (
                "k",
                &"v".repeat(TAG_VALUE_MAX_BYTES + 1),
                "tag \"k\": the value is 1025 bytes; the limit is 1024".to_owned(),
            ),
        ] {
            let refused = refusal(decide(&set(key, value), &seen));
            assert_eq!(refused, format!("validation: InvalidInput: {told}"));
        }
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let refused = refusal(decide(&set("a.b", "c"), &Snapshot::default()));
        assert_eq!(refused, "not found: execution");
    }
}
