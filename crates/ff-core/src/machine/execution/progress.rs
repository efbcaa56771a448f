//! Reporting progress: how far the running attempt is.

use super::stored_reason;
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::{Command, Context, Fence, Footprint, Snapshot, Transition};
use crate::types::ExecutionId;

/// Overwrites what is given and keeps the rest. Safe to repeat. A percentage above 100 is refused
/// with `Validation(InvalidInput)`. With nothing given, only the fence is checked.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// 0 to 100.
    pub percent: Option<u8>,
    /// For people. Cut at 16 KiB.
    pub message: Option<String>,
}

impl Command for Progress {
    const NAME: &'static str = "execution.progress";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        if let Some(percent) = self.percent.filter(|percent| *percent > 100) {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!("progress percent is {percent}; give 0 to 100"),
            });
        }
        seen.execution()?;
        let (execution, _) = self.fence.check(seen, cx.now)?;
        if self.percent.is_none() && self.message.is_none() {
            return Ok(Transition::unchanged(()));
        }
        let mut after = execution.clone();
        after.progress_pct = self.percent.or(after.progress_pct);
        if let Some(message) = &self.message {
            after.progress_message = Some(stored_reason(message));
        }
        Ok(Transition::unchanged(()).put(execution, after, cx.now, "progress"))
    }
}
