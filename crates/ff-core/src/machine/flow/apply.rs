//! Making a drawn edge count.

use super::resolve::{
    blocked, decided, group_of, is_runnable, losers, put_edge, put_group, settled,
};
use super::rows::Resolved;
use super::{Wanted, in_flow_partition};
use crate::EngineError;
use crate::contracts::{ApplyDependencyToChildArgs, ApplyDependencyToChildResult, EdgeGroupState};
use crate::engine_error::{ConflictKind, StateKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Makes an edge count: a runnable downstream waits until its group is decided.
///
/// An upstream that has already ended settles the edge at once. A downstream that is owned,
/// suspended or ended is left alone. Safe to repeat: `AlreadyApplied`. Refused in this order: a
/// missing flow, a missing downstream (`NotFound`), a downstream of another flow
/// (`Conflict(ExecutionAlreadyInFlow)`), an edge that was not drawn, or between others
/// (`NotFound`), a flow that has ended (`State(FlowAlreadyTerminal)`), an upstream that retention
/// has taken (`NotFound`): nobody could tell how it ended.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The call. Kind, reference and revision are those of the drawn edge, whatever it says.
    pub args: ApplyDependencyToChildArgs,
}

impl Command for Apply {
    const NAME: &'static str = "flow.apply_edge";
    type Outcome = ApplyDependencyToChildResult;

    fn footprint(&self) -> Footprint {
        let args = &self.args;
        Footprint {
            flow: Wanted {
                flow: Some(args.flow_id.clone()),
                edge: Some((args.flow_id.clone(), args.edge_id.clone())),
                group: Some(args.flow_id.clone()),
                upstream: Some(args.upstream_execution_id.clone()),
                passed_result: true,
                ..Wanted::default()
            },
            ..Footprint::execution(&args.downstream_execution_id)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ApplyDependencyToChildResult>, EngineError> {
        let args = &self.args;
        in_flow_partition(&args.downstream_execution_id)?;
        let flow = seen.flow.flow()?;
        let child = seen.execution()?;
        if child.flow_id.as_ref() != Some(&flow.id) {
            return Err(match child.flow_id {
                Some(_) => EngineError::Conflict(ConflictKind::ExecutionAlreadyInFlow),
                None => EngineError::State(StateKind::ExecutionNotInFlow),
            });
        }
        let drawn = seen.flow.edge.as_ref().filter(|edge| {
            edge.downstream == child.id && edge.upstream == args.upstream_execution_id
        });
        let edge = drawn.ok_or(EngineError::NotFound { entity: "edge" })?;
        if edge.applied_at.is_some() {
            return Ok(Transition::unchanged(ApplyDependencyToChildResult::AlreadyApplied));
        }
        if flow.is_terminal() {
            return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
        }
        let upstream =
            seen.flow.upstream.as_ref().ok_or(EngineError::NotFound { entity: "execution" })?;
        let ended =
            upstream.outcome.map(|outcome| Resolved { outcome, run: upstream.run, at: cx.now });

        let mut group = group_of(seen, edge);
        let was_open = group.state() == EdgeGroupState::Pending;
        group.running += 1;
        let is_open = group.state() == EdgeGroupState::Pending;
        let mut counting = edge.clone();
        counting.applied_at = Some(cx.now);
        let blocks = is_runnable(child) && is_open;
        let mut transition = Transition::unchanged(())
            .change(put_edge(counting.clone()))
            .change(put_group(group.clone()));
        if blocks {
            let waits = blocked(child, &group);
            if waits.state != child.state {
                transition = transition.put(child, waits, cx.now, "dependency_applied");
            }
        }
        let mut seen = seen.clone();
        seen.apply(&transition.changes);

        let settled = match ended {
            Some(end) => settled(&counting, (&group, was_open || is_open), end, &seen, cx.now),
            None => {
                let fires = was_open && !is_open;
                transition.changes.extend(losers(&group, fires, cx.now));
                match &seen.execution {
                    Some(child) => decided(child, seen.current.as_ref(), (&group, fires), cx.now),
                    None => Transition::unchanged(()),
                }
            }
        };
        let unsatisfied_count = settled
            .changes
            .iter()
            .rev()
            .find_map(|change| match change {
                Change::Flow(super::Write::PutGroup(after)) => Some(after.running),
                _ => None,
            })
            .unwrap_or(group.running);
        let applied = ApplyDependencyToChildResult::Applied { unsatisfied_count };
        Ok(settled.after(transition).answer(applied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{EdgeDependencyPolicy, OnSatisfied};
    use crate::machine::execution::testing::{LEASE_END, decide, refusal, running};
    use crate::machine::flow::Write;
    use crate::machine::flow::rows::{FlowState, Group};
    use crate::machine::flow::testing::{
        applied, child, edge, edge_id, ended_flow, flow_id, group, upstream, upstream_id, with_edge,
    };
    use crate::state::{PublicState, TerminalOutcome};
    use crate::types::{ExecutionId, FlowId, TimestampMs};

    fn apply() -> Apply {
        Apply {
            args: ApplyDependencyToChildArgs {
                flow_id: flow_id(),
                edge_id: edge_id(),
                downstream_execution_id: child().id,
                upstream_execution_id: upstream_id(),
                graph_revision: 0,
                dependency_kind: "success_only".to_owned(),
                data_passing_ref: None,
                now: TimestampMs(0),
            },
        }
    }

    fn seen(ended: Option<TerminalOutcome>) -> Snapshot {
        let mut seen = with_edge(edge(), group(), child());
        seen.flow.upstream = Some(upstream(ended));
        seen
    }

    #[test]
    fn a_runnable_downstream_waits() {
        let done = decide(&apply(), &seen(None)).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::WaitingChildren);
        assert_eq!(done.outcome, ApplyDependencyToChildResult::Applied { unsatisfied_count: 1 });
        assert_eq!(done.moves()[0].cause, "dependency_applied");
    }

    #[test]
    fn the_first_edge_of_a_quorum_of_two_makes_the_downstream_wait() {
        let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
        let mut seen = with_edge(edge(), Group { policy, ..group() }, child());
        seen.flow.upstream = Some(upstream(None));

        let done = decide(&apply(), &seen).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::WaitingChildren);
    }

    #[test]
    fn a_quorum_with_too_few_edges_is_not_decided_by_their_ends() {
        let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
        let mut seen = with_edge(edge(), Group { policy, ..group() }, child());
        for outcome in [TerminalOutcome::Success, TerminalOutcome::Failed] {
            seen.flow.upstream = Some(upstream(Some(outcome)));

            let done = decide(&apply(), &seen).unwrap();

            assert_eq!(done.stored().public_state(), PublicState::WaitingChildren);
        }
    }

    #[test]
    fn the_edge_that_completes_a_quorum_may_decide_it() {
        let policy = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
        let mut seen = with_edge(edge(), Group { policy, failed: 1, ..group() }, child());
        seen.flow.upstream = Some(upstream(None));

        let done = decide(&apply(), &seen).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::Skipped);
        let is = |change: &Change| matches!(change, Change::Flow(Write::EnqueueSiblings { .. }));
        assert!(done.changes.iter().any(is));
    }

    #[test]
    fn an_upstream_that_has_ended_settles_the_edge_at_once() {
        let done = decide(&apply(), &seen(Some(TerminalOutcome::Success))).unwrap();
        assert_eq!(done.outcome, ApplyDependencyToChildResult::Applied { unsatisfied_count: 0 });
        assert_eq!(done.stored().public_state(), PublicState::Waiting);

        let done = decide(&apply(), &seen(Some(TerminalOutcome::Failed))).unwrap();
        assert_eq!(done.stored().public_state(), PublicState::Skipped);
        assert_eq!(done.completions().len(), 1);
    }

    #[test]
    fn what_runs_is_not_stopped() {
        let mut seen = seen(None);
        let (mut row, attempt) = running(LEASE_END);
        row.flow_id = Some(flow_id());
        seen.execution = Some(row);
        seen.current = Some(attempt);

        let done = decide(&apply(), &seen).unwrap();

        assert!(done.moves().is_empty());
        assert_eq!(done.outcome, ApplyDependencyToChildResult::Applied { unsatisfied_count: 1 });
    }

    #[test]
    fn a_group_that_is_satisfied_blocks_nobody() {
        let mut seen = seen(None);
        seen.flow.group = Some(Group {
            policy: EdgeDependencyPolicy::any_of(OnSatisfied::LetRun),
            succeeded: 1,
            ..group()
        });

        assert!(decide(&apply(), &seen).unwrap().moves().is_empty());
    }

    #[test]
    fn an_edge_counts_once() {
        let mut seen = seen(None);
        seen.flow.edge = Some(applied());

        let done = decide(&apply(), &seen).unwrap();

        assert_eq!(done.outcome, ApplyDependencyToChildResult::AlreadyApplied);
        assert!(done.is_unchanged());
    }

    #[test]
    fn refusals_come_in_order() {
        let told = |seen: &Snapshot| refusal(decide(&apply(), seen));
        assert!(told(&Snapshot::default()).contains("not found: flow"));
        let mut rows = seen(None);
        rows.execution = None;
        assert!(told(&rows).contains("not found: execution"));
        rows.execution = Some(child());
        rows.execution.as_mut().unwrap().flow_id = None;
        assert!(told(&rows).contains("ExecutionNotInFlow"));
        let other = FlowId::from_uuid(uuid::Uuid::from_u128(5));
        rows.execution.as_mut().unwrap().flow_id = Some(other);
        assert!(told(&rows).contains("ExecutionAlreadyInFlow"));
        rows.execution = Some(child());
        rows.flow.edge.as_mut().unwrap().upstream =
            ExecutionId::from_parts(0, uuid::Uuid::from_u128(6));
        assert!(told(&rows).contains("not found: edge"));
        rows.flow.edge = Some(edge());
        rows.flow.flow = Some(ended_flow(FlowState::Completed));
        assert!(told(&rows).contains("FlowAlreadyTerminal"));
    }
}
