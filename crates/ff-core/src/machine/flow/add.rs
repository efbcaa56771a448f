//! Making an execution a member of a flow.

use super::rows::{Flow, FlowState, Standing};
use super::{Wanted, in_flow_partition, invalid};
use crate::EngineError;
use crate::contracts::{AddExecutionToFlowResult, FLOW_NODES_MAX};
use crate::engine_error::{ConflictKind, StateKind};
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::types::{ExecutionId, FlowId};

/// Makes an execution a member of a flow; the graph gets a new revision.
///
/// An execution that has ended may join: its end is behind it and will close nothing, so that a
/// flow in which nobody is left ends here.
///
/// Safe to repeat: `AlreadyMember`. Refused in this order: a partition other than the flows'
/// (`Validation(InvalidInput)`), a missing flow (`NotFound`), one that has ended
/// (`State(FlowAlreadyTerminal)`), a missing execution (`NotFound`), a member of another flow
/// (`Conflict(ExecutionAlreadyInFlow)`), a full flow (`Validation(InvalidInput)`).
#[derive(Debug, Clone)]
pub struct AddExecution {
    /// The flow.
    pub flow_id: FlowId,
    /// The execution.
    pub execution_id: ExecutionId,
}

impl Command for AddExecution {
    const NAME: &'static str = "flow.add_execution";
    type Outcome = AddExecutionToFlowResult;

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted { flow: Some(self.flow_id.clone()), standings: true, ..Wanted::default() },
            ..Footprint::execution(&self.execution_id)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<AddExecutionToFlowResult>, EngineError> {
        in_flow_partition(&self.execution_id)?;
        let flow = seen.flow.flow()?;
        if flow.is_terminal() {
            return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
        }
        let execution = seen.execution()?;
        let execution_id = execution.id.clone();
        match &execution.flow_id {
            Some(other) if *other != self.flow_id => {
                return Err(EngineError::Conflict(ConflictKind::ExecutionAlreadyInFlow));
            }
            Some(_) => {
                return Ok(Transition::unchanged(AddExecutionToFlowResult::AlreadyMember {
                    execution_id,
                    node_count: flow.node_count,
                }));
            }
            None => {}
        }
        has_room(flow)?;

        let mut joined = execution.clone();
        joined.flow_id = Some(self.flow_id.clone());
        let mut after = flow.next(cx.now);
        after.node_count += 1;
        after.revision += 1;
        let (standing, others) = (Standing::of(execution), seen.flow.standings);
        if standing.is_ended() && !others.any_open {
            let is_bad = others.any_bad || standing == Standing::EndedBadly;
            after.state = if is_bad { FlowState::Failed } else { FlowState::Completed };
            after.ended_at = Some(cx.now);
        }
        let added =
            AddExecutionToFlowResult::Added { execution_id, new_node_count: after.node_count };
        Ok(Transition::unchanged(added)
            .put(execution, joined, cx.now, "joined_flow")
            .change(after.write()))
    }
}

/// Refuses another member of a full flow.
pub(super) fn has_room(flow: &Flow) -> Result<(), EngineError> {
    if usize::try_from(flow.node_count).is_ok_and(|count| count >= FLOW_NODES_MAX) {
        return Err(invalid(format!(
            "the flow has {FLOW_NODES_MAX} members, the most it may have; start another flow"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, ended, execution, refusal};
    use crate::machine::flow::Write;
    use crate::machine::flow::rows::Standings;
    use crate::machine::flow::testing::{ended_flow, flow, flow_id, showing};
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::{Change, Snapshot};
    use crate::state::TerminalOutcome;

    fn add() -> AddExecution {
        AddExecution { flow_id: flow_id(), execution_id: execution().id }
    }

    fn with(execution: crate::machine::Execution) -> Snapshot {
        Snapshot { execution: Some(execution), ..showing(flow()) }
    }

    #[test]
    fn a_member_raises_the_revision_and_the_count() {
        let done = decide(&add(), &with(execution())).unwrap();

        assert_eq!(done.stored().flow_id, Some(flow_id()));
        assert_eq!(done.stored().state, execution().state);
        let Some(Change::Flow(Write::PutFlow(after))) = done.changes.last() else { panic!() };
        assert_eq!(
            (after.revision, after.node_count),
            (flow().revision + 1, flow().node_count + 1)
        );
        assert_eq!(after.version, flow().version + 1);
    }

    #[test]
    fn one_that_has_ended_ends_the_flow_in_which_nobody_is_left() {
        let joined = |outcome, others: Standings| -> Flow {
            let mut seen = with(ended(outcome, AttemptOutcome::Success).0);
            seen.flow.standings = others;
            let done = decide(&add(), &seen).unwrap();
            let Some(Change::Flow(Write::PutFlow(after))) = done.changes.last() else { panic!() };
            (**after).clone()
        };
        let open = Standings { any_open: true, ..Standings::default() };
        let bad = Standings { any_bad: true, ..Standings::default() };
        let (good, failed) = (TerminalOutcome::Success, TerminalOutcome::Failed);

        assert_eq!(joined(good, open).state, FlowState::Active);
        let closed = joined(good, Standings::default());
        assert_eq!((closed.state, closed.ended_at), (FlowState::Completed, Some(NOW)));
        assert_eq!(joined(failed, Standings::default()).state, FlowState::Failed);
        assert_eq!(joined(good, bad).state, FlowState::Failed);
    }

    #[test]
    fn a_member_is_a_member_once() {
        let mut member = execution();
        member.flow_id = Some(flow_id());

        let done = decide(&add(), &with(member)).unwrap();

        assert!(done.is_unchanged());
        assert!(matches!(done.outcome, AddExecutionToFlowResult::AlreadyMember { .. }));
    }

    #[test]
    fn refusals_come_in_the_order_of_the_contract() {
        let mut elsewhere = execution();
        elsewhere.flow_id = Some(FlowId::from_uuid(uuid::Uuid::from_u128(99)));
        let far = ExecutionId::from_parts(3, uuid::Uuid::from_u128(1));
        let told = |add: &AddExecution, seen: &Snapshot| refusal(decide(add, seen));

        let wrong = AddExecution { flow_id: flow_id(), execution_id: far };
        assert!(told(&wrong, &Snapshot::default()).contains("expected 0, got 3"));
        assert!(told(&add(), &Snapshot::default()).contains("flow"));
        let ended = showing(ended_flow(FlowState::Completed));
        assert!(told(&add(), &ended).contains("FlowAlreadyTerminal"));
        assert!(told(&add(), &showing(flow())).contains("not found: execution"));
        assert!(told(&add(), &with(elsewhere)).contains("ExecutionAlreadyInFlow"));
        let mut full = with(execution());
        full.flow.flow.as_mut().unwrap().node_count = 10_000;
        assert!(told(&add(), &full).contains("10000 members"));
    }
}
