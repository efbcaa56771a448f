//! Cancelling a flow: one mark, and a backlog of what it still has to end.

use super::rows::{CancelMark, FlowState, cancel_policy_word};
use super::{Wanted, Write};
use crate::EngineError;
use crate::backend::CancelFlowPolicy;
use crate::engine_error::StateKind;
use crate::machine::execution::stored_reason;
use crate::machine::transition::{Event, FlowCancelRequested};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, Urgency};
use crate::types::{ExecutionId, FlowId};

/// Closes a flow and marks it, so that no member which the policy reaches begins, goes on or ends
/// otherwise from now on; they end as cancelled in bounded steps.
///
/// An unknown flow is `NotFound`. One that has ended is told to the caller with what is stored,
/// so that a repeat recognises itself.
#[derive(Debug, Clone)]
pub struct CancelFlow {
    /// The flow.
    pub flow_id: FlowId,
    /// Which members it reaches.
    pub policy: CancelFlowPolicy,
    /// Why, for people. Cut at 16 KiB.
    pub reason: String,
    /// The operation that asks: kept with every member it ends.
    pub by: &'static str,
    /// Whether each member is to be acknowledged.
    pub is_acknowledged: bool,
}

/// What a cancel found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowCancelled {
    /// It is cancelled; these members are reached.
    Cancelled {
        /// In the order of their ids.
        members: Vec<ExecutionId>,
    },
    /// It had ended before.
    AlreadyTerminal {
        /// The mark of the cancel that ended it.
        mark: Option<CancelMark>,
    },
}

impl FlowCancelled {
    /// The members, or that the flow has ended.
    pub fn members(self) -> Result<Vec<ExecutionId>, EngineError> {
        match self {
            Self::Cancelled { members } => Ok(members),
            Self::AlreadyTerminal { .. } => Err(EngineError::State(StateKind::FlowAlreadyTerminal)),
        }
    }
}

impl Command for CancelFlow {
    const NAME: &'static str = "flow.cancel";
    type Outcome = FlowCancelled;

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted { flow: Some(self.flow_id.clone()), members: true, ..Wanted::default() },
            ..Footprint::default()
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<FlowCancelled>, EngineError> {
        let flow = seen.flow.flow()?;
        if flow.is_terminal() {
            let mark = flow.cancel.clone();
            return Ok(Transition::unchanged(FlowCancelled::AlreadyTerminal { mark }));
        }
        let mark = CancelMark {
            policy: self.policy,
            reason: stored_reason(&self.reason),
            by: self.by.to_owned(),
            at: cx.now,
        };
        let reached = seen.flow.members.iter().filter(|member| mark.reaches(member.standing));
        let members: Vec<ExecutionId> = reached.map(|member| member.id.clone()).collect();

        let mut after = flow.next(cx.now);
        after.state = FlowState::Cancelled;
        after.ended_at = Some(cx.now);
        after.cancel = Some(mark.clone());
        let event = Event::FlowCancelRequested(FlowCancelRequested {
            flow_id: flow.id.clone(),
            policy: cancel_policy_word(self.policy).to_owned(),
            reason: mark.reason.clone(),
            member_count: members.len(),
            namespace: flow.namespace.clone(),
            at: cx.now,
        });
        let mut transition = Transition::unchanged(()).change(after.write()).announce(event);
        if !members.is_empty() {
            let to_acknowledge = if self.is_acknowledged { members.clone() } else { Vec::new() };
            transition = transition.change(Change::Flow(Write::OpenBacklog {
                flow_id: flow.id.clone(),
                policy: self.policy,
                requester: self.by.to_owned(),
                reason: mark.reason,
                at: cx.now,
                to_acknowledge,
            }));
        }
        Ok(transition.answer(FlowCancelled::Cancelled { members }))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

/// Takes a flow off the backlog once every member that its cancel reaches has ended. Safe to
/// repeat; a flow with such a member is left on it.
#[derive(Debug, Clone)]
pub struct CloseBacklog {
    /// The flow.
    pub flow_id: FlowId,
}

impl Command for CloseBacklog {
    const NAME: &'static str = "flow.close_backlog";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted { flow: Some(self.flow_id.clone()), members: true, ..Wanted::default() },
            ..Footprint::default()
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        _: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        let mark = seen.flow.flow.as_ref().and_then(|flow| flow.cancel.as_ref());
        let is_left = mark.is_some_and(|mark| {
            seen.flow.members.iter().any(|member| mark.reaches(member.standing))
        });
        if is_left {
            return Ok(Transition::unchanged(false));
        }
        let flow_id = self.flow_id.clone();
        Ok(Transition::unchanged(true).change(Change::Flow(Write::CloseBacklog { flow_id })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, refusal};
    use crate::machine::flow::rows::{Flow, Member, Standing};
    use crate::machine::flow::testing::{ended_flow, flow, flow_id, showing};

    fn cancel(policy: CancelFlowPolicy, is_acknowledged: bool) -> CancelFlow {
        CancelFlow {
            flow_id: flow_id(),
            policy,
            reason: "why".to_owned(),
            by: "cancel_flow",
            is_acknowledged,
        }
    }

    const STANDINGS: [Standing; 4] =
        [Standing::Open, Standing::Blocked, Standing::Running, Standing::Parked];

    fn member(number: usize) -> ExecutionId {
        ExecutionId::from_parts(0, uuid::Uuid::from_u128(number as u128))
    }

    fn seen() -> Snapshot {
        let mut seen = showing(flow());
        seen.flow.members = STANDINGS
            .iter()
            .enumerate()
            .map(|(number, standing)| Member { id: member(number), standing: *standing })
            .collect();
        seen
    }

    fn stored(done: &Transition<FlowCancelled>) -> &Flow {
        let Some(Change::Flow(Write::PutFlow(flow))) = done.changes.first() else { panic!() };
        flow
    }

    #[test]
    fn the_mark_and_the_backlog_are_written_together() {
        let done = decide(&cancel(CancelFlowPolicy::CancelAll, false), &seen()).unwrap();

        let flow = stored(&done);
        assert_eq!((flow.state, flow.ended_at), (FlowState::Cancelled, Some(NOW)));
        let mark = flow.cancel.as_ref().unwrap();
        assert_eq!((mark.reason.as_str(), mark.by.as_str(), mark.at), ("why", "cancel_flow", NOW));
        let Change::Flow(Write::OpenBacklog { to_acknowledge, .. }) = &done.changes[1] else {
            panic!()
        };
        assert!(to_acknowledge.is_empty());
        assert_eq!(done.outcome.members().unwrap().len(), 4);
    }

    #[test]
    fn each_policy_reaches_its_members() {
        for (policy, reached) in [
            (CancelFlowPolicy::CancelAll, vec![0, 1, 2, 3]),
            (CancelFlowPolicy::CancelPending, vec![0, 1]),
            (CancelFlowPolicy::FlowOnly, vec![]),
        ] {
            let done = decide(&cancel(policy, true), &seen()).unwrap();

            let expected: Vec<ExecutionId> = reached.into_iter().map(member).collect();
            let listed = done.changes.iter().find_map(|change| match change {
                Change::Flow(Write::OpenBacklog { to_acknowledge, .. }) => {
                    Some(to_acknowledge.clone())
                }
                _ => None,
            });
            assert_eq!(listed.unwrap_or_default(), expected);
            assert_eq!(done.outcome.members().unwrap(), expected);
        }
    }

    #[test]
    fn a_flow_that_has_ended_or_is_unknown_is_told() {
        let all = cancel(CancelFlowPolicy::CancelAll, false);
        for state in [FlowState::Completed, FlowState::Failed, FlowState::Cancelled] {
            let done = decide(&all, &showing(ended_flow(state))).unwrap();

            assert!(done.is_unchanged());
            assert!(refusal(done.outcome.members()).contains("FlowAlreadyTerminal"));
        }
        assert!(refusal(decide(&all, &Snapshot::default())).contains("not found: flow"));
    }

    #[test]
    fn a_flow_leaves_the_backlog_when_nobody_is_left_to_be_reached() {
        let close = CloseBacklog { flow_id: flow_id() };
        let marked =
            stored(&decide(&cancel(CancelFlowPolicy::CancelPending, false), &seen()).unwrap())
                .clone();
        let mut seen = Snapshot { ..seen() };
        seen.flow.flow = Some(marked);

        assert!(!decide(&close, &seen).unwrap().outcome);
        seen.flow.members.drain(..2);
        let done = decide(&close, &seen).unwrap();
        assert!(done.outcome && !done.is_unchanged());
    }
}
