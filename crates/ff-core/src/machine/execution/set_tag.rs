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
