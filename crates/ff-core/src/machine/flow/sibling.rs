//! Cancelling what a decided group no longer needs.

use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::EdgeGroupState;
use crate::machine::rows::AttemptOutcome;
use crate::machine::terminal::{self, End};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::state::TerminalOutcome;
use crate::types::{ExecutionId, FlowId, TimestampMs};

/// Cancels one remaining upstream of a decided group, whatever it is doing. Safe to repeat: what
/// has ended, or is gone, is left alone. Answers whether it was cancelled.
#[derive(Debug, Clone)]
pub struct CancelSibling {
    /// The upstream.
    pub execution_id: ExecutionId,
    /// How its group was decided.
    pub decided: EdgeGroupState,
}

impl Command for CancelSibling {
    const NAME: &'static str = "flow.cancel_sibling";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        let Some(execution) = seen.execution.as_ref().filter(|row| !row.is_terminal()) else {
            return Ok(Transition::unchanged(false));
        };
        let reason = match self.decided {
            EdgeGroupState::Impossible => "sibling_quorum_impossible",
            EdgeGroupState::Satisfied | EdgeGroupState::Pending | EdgeGroupState::Cancelled => {
                "sibling_quorum_satisfied"
            }
        };
        let mut marked = execution.clone();
        marked.cancel_reason = Some(reason.to_owned());
        marked.cancelled_by = Some("engine".to_owned());
        let how = End {
            outcome: TerminalOutcome::Cancelled,
            attempt: AttemptOutcome::Cancelled,
            cause: reason,
            reason: Some(format!("cancelled: {reason}")),
            category: None,
        };
        Ok(terminal::end(&marked, seen.current.as_ref(), &how, cx.now).answer(true))
    }
}

/// Takes a group off the list once its remaining upstreams have ended. Safe to repeat.
#[derive(Debug, Clone)]
pub struct DropSiblings {
    /// The flow.
    pub flow_id: FlowId,
    /// The group's downstream.
    pub downstream: ExecutionId,
}

impl Command for DropSiblings {
    const NAME: &'static str = "flow.drop_siblings";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint { flow: Wanted::default(), ..Footprint::default() }
    }

    fn decide(&self, _: &Snapshot, _: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        Ok(Transition::unchanged(()).change(Change::Flow(Write::DropSiblings {
            flow_id: self.flow_id.clone(),
            downstream: self.downstream.clone(),
        })))
    }
}

/// A group on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub struct PendingGroup {
    pub flow_id: FlowId,
    pub downstream: ExecutionId,
    pub decided: EdgeGroupState,
    pub at: TimestampMs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{LEASE_END, decide, ended, running, seen, seen_pair};
    use crate::machine::flow::testing::child;
    use crate::state::PublicState;

    fn cancel(decided: EdgeGroupState) -> CancelSibling {
        CancelSibling { execution_id: child().id, decided }
    }

    #[test]
    fn a_loser_is_cancelled_and_its_worker_fenced() {
        let done =
            decide(&cancel(EdgeGroupState::Satisfied), &seen_pair(running(LEASE_END))).unwrap();

        assert!(done.outcome);
        let row = done.stored();
        assert_eq!(row.public_state(), PublicState::Cancelled);
        assert_eq!(row.cancel_reason.as_deref(), Some("sibling_quorum_satisfied"));
        assert_eq!(row.cancelled_by.as_deref(), Some("engine"));
        assert_eq!(done.leases().len(), 1);
        assert_eq!(done.completions().len(), 1);

        let done = decide(&cancel(EdgeGroupState::Impossible), &seen(child(), None)).unwrap();
        assert_eq!(done.stored().cancel_reason.as_deref(), Some("sibling_quorum_impossible"));
    }

    #[test]
    fn what_has_ended_is_left_alone() {
        let over = seen_pair(ended(TerminalOutcome::Success, AttemptOutcome::Success));
        for seen in [over, Snapshot::default()] {
            let done = decide(&cancel(EdgeGroupState::Satisfied), &seen).unwrap();
            assert!(!done.outcome && done.is_unchanged());
        }
    }
}
