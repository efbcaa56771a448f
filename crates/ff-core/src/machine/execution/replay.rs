//! Replaying an execution: an ended one runs again.

use crate::EngineError;
use crate::engine_error::StateKind;
use crate::machine::policy;
use crate::machine::transition::{Event, OperatorEvent, OperatorEventKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::{AttemptState, PublicState};
use crate::types::ExecutionId;

/// Puts an ended execution back in line as a new run.
///
/// The run starts with fresh retry and reclaim counts, without the old result and reason; a
/// deadline that its policy implies starts anew, and an absolute one that has passed is dropped.
/// Epochs go on rising. Refused with `State(ExecutionNotTerminal)` while it has not ended and
/// with `State(MaxReplaysExhausted)` at the policy's cap. Not safe to repeat: each call that
/// finds an ended execution is a run.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The execution.
    pub execution_id: ExecutionId,
}

impl Command for Replay {
    const NAME: &'static str = "execution.replay";
    type Outcome = PublicState;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<PublicState>, EngineError> {
        let execution = seen.execution()?;
        if !execution.is_terminal() {
            return Err(EngineError::State(StateKind::ExecutionNotTerminal));
        }
        if execution.replay_count >= policy::replay_cap(execution) {
            return Err(EngineError::State(StateKind::MaxReplaysExhausted));
        }
        let mut after = execution.clone();
        after.state = state::waiting(AttemptState::PendingReplayAttempt);
        after.replay_count += 1;
        after.retry_count = 0;
        after.reclaim_count = 0;
        after.ended_at = None;
        after.failure_reason = None;
        after.cancel_reason = None;
        after.cancelled_by = None;
        after.progress_pct = None;
        after.progress_message = None;
        let still_ahead = execution.deadline_at.filter(|at| *at > cx.now);
        after.deadline_at = policy::deadline(execution.policy.as_ref(), still_ahead, cx.now);

        let event = Event::Operator(OperatorEvent {
            execution_id: execution.id.clone(),
            kind: OperatorEventKind::Replayed { branch: "normal" },
            at: cx.now,
            namespace: execution.namespace.clone(),
            instance_tag: execution.instance_tag().map(str::to_owned),
        });
        let public_state = after.public_state();
        Ok(Transition::unchanged(public_state)
            .put(execution, after, cx.now, "replayed")
            .change(Change::PutResult { execution_id: self.execution_id.clone(), result: None })
            .announce(event))
    }
}
