//! Saying how many upstreams of one downstream must succeed.

use super::rows::Group;
use super::{Wanted, in_flow_partition, invalid, resolve::put_group};
use crate::EngineError;
use crate::contracts::{EdgeDependencyPolicy, SetEdgeGroupPolicyResult};
use crate::engine_error::StateKind;
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::types::{ExecutionId, FlowId};

/// Sets the join of a downstream, until the first edge into it counts.
///
/// Safe to repeat: an equal policy answers `AlreadySet`. Refused in this order: a missing flow
/// (`NotFound`), one that has ended (`State(FlowAlreadyTerminal)`), a quorum of 0, a group with
/// edges that count (both `Validation(InvalidInput)`).
#[derive(Debug, Clone)]
pub struct SetEdgeGroupPolicy {
    /// The flow.
    pub flow_id: FlowId,
    /// The downstream.
    pub downstream: ExecutionId,
    /// The policy.
    pub policy: EdgeDependencyPolicy,
}

impl Command for SetEdgeGroupPolicy {
    const NAME: &'static str = "flow.set_edge_group_policy";
    type Outcome = SetEdgeGroupPolicyResult;

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted {
                flow: Some(self.flow_id.clone()),
                group: Some(self.flow_id.clone()),
                ..Wanted::default()
            },
            ..Footprint::execution(&self.downstream)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        _: &mut Context<'_>,
    ) -> Result<Transition<SetEdgeGroupPolicyResult>, EngineError> {
        in_flow_partition(&self.downstream)?;
        let flow = seen.flow.flow()?;
        if flow.is_terminal() {
            return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
        }
        quorum_within_limits(&self.policy)?;
        let empty = || Group::new(flow.id.clone(), self.downstream.clone());
        let group = seen.flow.group.clone().unwrap_or_else(empty);
        if group.total() > 0 {
            return Err(invalid(
                "edge_group_policy_already_fixed: dependencies already staged; set the policy \
                 before the first edge is applied",
            ));
        }
        if seen.flow.group.is_some() && group.policy == self.policy {
            return Ok(Transition::unchanged(SetEdgeGroupPolicyResult::AlreadySet));
        }
        let group = Group { policy: self.policy.clone(), ..group };
        Ok(Transition::unchanged(SetEdgeGroupPolicyResult::Set).change(put_group(group)))
    }
}

/// Refuses a quorum that means nothing.
pub(super) fn quorum_within_limits(policy: &EdgeDependencyPolicy) -> Result<(), EngineError> {
    match policy {
        EdgeDependencyPolicy::Quorum { k: 0, .. } => Err(invalid("quorum k must be >= 1")),
        EdgeDependencyPolicy::Quorum { .. }
        | EdgeDependencyPolicy::AllOf
        | EdgeDependencyPolicy::AnyOf { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::OnSatisfied;
    use crate::machine::execution::testing::{decide, refusal};
    use crate::machine::flow::Write;
    use crate::machine::flow::rows::FlowState;
    use crate::machine::flow::testing::{child, ended_flow, flow, flow_id, group, showing};
    use crate::machine::{Change, Snapshot};

    fn quorum(k: u32) -> EdgeDependencyPolicy {
        EdgeDependencyPolicy::quorum(k, OnSatisfied::let_run())
    }

    fn set(policy: EdgeDependencyPolicy) -> SetEdgeGroupPolicy {
        SetEdgeGroupPolicy { flow_id: flow_id(), downstream: child().id, policy }
    }

    fn with(group: Option<Group>) -> Snapshot {
        let mut seen = showing(flow());
        seen.flow.group = group;
        seen
    }

    #[test]
    fn the_whole_policy_is_compared() {
        let done = decide(&set(quorum(2)), &with(None)).unwrap();
        assert_eq!(done.outcome, SetEdgeGroupPolicyResult::Set);
        let [Change::Flow(Write::PutGroup(stored))] = &done.changes[..] else { panic!() };
        assert_eq!(stored.policy, quorum(2));

        let known = with(Some(Group { policy: quorum(2), ..group() }));
        let same = decide(&set(quorum(2)), &known).unwrap();
        assert_eq!(same.outcome, SetEdgeGroupPolicyResult::AlreadySet);
        assert!(same.is_unchanged());
        let other = decide(&set(quorum(3)), &known).unwrap();
        assert_eq!(other.outcome, SetEdgeGroupPolicyResult::Set);
    }

    #[test]
    fn refusals_come_in_order() {
        let told = |set: &SetEdgeGroupPolicy, seen: &Snapshot| refusal(decide(set, seen));
        assert!(told(&set(quorum(0)), &Snapshot::default()).contains("not found: flow"));
        let over = showing(ended_flow(FlowState::Failed));
        assert!(told(&set(quorum(0)), &over).contains("FlowAlreadyTerminal"));
        let fixed = with(Some(Group { running: 1, policy: quorum(1), ..group() }));
        assert!(told(&set(quorum(0)), &fixed).contains("quorum k must be >= 1"));
        assert!(told(&set(quorum(1)), &fixed).contains("edge_group_policy_already_fixed"));
    }
}
