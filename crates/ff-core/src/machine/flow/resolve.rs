//! Settling one edge: its upstream has ended, and its downstream may go on, or never.

use super::rows::{Edge, Group, Resolved};
use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::{EdgeGroupState, ResolveDependencyOutcome};
use crate::engine_error::ValidationKind;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::terminal::{self, End};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::{
    AttemptState, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState, TerminalOutcome,
};
use crate::types::{EdgeId, ExecutionId, FlowId, TimestampMs};

/// Settles an edge with the end of its upstream's run.
///
/// A downstream whose group is satisfied comes into line; one whose group has become impossible
/// is skipped if nobody has begun it, and goes on if its worker parked it to wait. One that was
/// parked after that goes on when its last upstream has ended. A downstream in any other state is
/// left alone. Safe to repeat: an edge is settled once. An edge that does not
/// count, or lies between others, or an upstream that has not ended, is
/// `Validation(InvalidDependency)`.
#[derive(Debug, Clone)]
pub struct Resolve {
    /// The flow.
    pub flow_id: FlowId,
    /// The edge.
    pub edge_id: EdgeId,
    /// The upstream that ended.
    pub upstream: ExecutionId,
    /// Its downstream.
    pub downstream: ExecutionId,
    /// How the upstream ended, and in which run.
    pub outcome: TerminalOutcome,
    /// The run that ended.
    pub run: u32,
}

impl Command for Resolve {
    const NAME: &'static str = "flow.resolve";
    type Outcome = ResolveDependencyOutcome;

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted {
                edge: Some((self.flow_id.clone(), self.edge_id.clone())),
                group: Some(self.flow_id.clone()),
                passed_result: true,
                ..Wanted::default()
            },
            ..Footprint::execution(&self.downstream)
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ResolveDependencyOutcome>, EngineError> {
        let edge = seen.flow.edge.as_ref().filter(|edge| edge.applied_at.is_some());
        // Edges know their ends by UUID alone.
        let is_between = |edge: &&Edge| {
            edge.downstream == self.downstream && edge.upstream.uuid() == self.upstream.uuid()
        };
        let Some(edge) = edge.filter(is_between) else {
            return Err(no_dependency("no edge between these that counts has this id"));
        };
        if self.outcome == TerminalOutcome::None {
            return Err(no_dependency("its upstream has not ended"));
        }
        if edge.resolved.is_some() {
            return Ok(Transition::unchanged(ResolveDependencyOutcome::AlreadyResolved));
        }
        let group = group_of(seen, edge);
        let end = Resolved { outcome: self.outcome, run: self.run, at: cx.now };
        let told = if self.outcome == TerminalOutcome::Success {
            ResolveDependencyOutcome::Satisfied
        } else {
            ResolveDependencyOutcome::Impossible
        };
        let was_open = group.state() == EdgeGroupState::Pending;
        Ok(settled(edge, (&group, was_open), end, seen, cx.now).answer(told))
    }
}

pub(crate) fn no_dependency(detail: &str) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidDependency, detail: detail.to_owned() }
}

/// The loaded group of an edge's downstream, or an empty one.
pub(super) fn group_of(seen: &Snapshot, edge: &Edge) -> Group {
    let empty = || Group::new(edge.flow_id.clone(), edge.downstream.clone());
    seen.flow.group.clone().unwrap_or_else(empty)
}

/// The edge settled, its group counted, and what that means for the downstream of `seen`.
/// `was_open` tells whether the group was undecided before.
pub(super) fn settled(
    edge: &Edge,
    (group, was_open): (&Group, bool),
    end: Resolved,
    seen: &Snapshot,
    now: TimestampMs,
) -> Transition<()> {
    assert!(edge.resolved.is_none(), "an edge is settled once");
    let after = group.counted(end.outcome);
    let mut transition = Transition::unchanged(())
        .change(put_edge(Edge { resolved: Some(end), ..edge.clone() }))
        .change(put_group(after.clone()));
    let fires = was_open && after.state() != EdgeGroupState::Pending;
    transition.changes.extend(losers(&after, fires, now));
    let Some(child) = &seen.execution else { return transition };
    let passes = match after.state() {
        EdgeGroupState::Satisfied => fires,
        // Every upstream of an AllOf passes its result; the last one stays.
        EdgeGroupState::Pending => after.policy == crate::contracts::EdgeDependencyPolicy::AllOf,
        EdgeGroupState::Impossible | EdgeGroupState::Cancelled => false,
    };
    if passes
        && end.outcome == TerminalOutcome::Success
        && edge.data_passing_ref.is_some()
        && !has_begun(child)
        && !child.is_terminal()
        && let Some(payload) = seen.flow.passed_result.clone()
    {
        transition = transition
            .change(Change::Flow(Write::PutPayload { execution_id: child.id.clone(), payload }));
    }
    decided(child, seen.current.as_ref(), (&after, fires), now).after(transition)
}

/// The upstreams that a group has left when it fires, for the list of those to cancel.
pub(super) fn losers(group: &Group, fires: bool, now: TimestampMs) -> Option<Change> {
    (fires && group.cancels_remaining() && group.running > 0).then(|| {
        Change::Flow(Write::EnqueueSiblings {
            flow_id: group.flow_id.clone(),
            downstream: group.downstream.clone(),
            at: now,
        })
    })
}

/// What its group means for a downstream. `fires` tells whether the group is decided just now: a
/// worker that parked it before is told at once, one that parked it knowing that the group cannot
/// be satisfied waits for the last upstream.
pub(crate) fn decided(
    child: &Execution,
    current: Option<&Attempt>,
    (group, fires): (&Group, bool),
    now: TimestampMs,
) -> Transition<()> {
    match group.state() {
        EdgeGroupState::Satisfied => released(child, now, "dependencies_satisfied"),
        _ if has_begun(child) => match fires || group.running == 0 {
            true => released(child, now, "dependencies_decided"),
            false => Transition::unchanged(()),
        },
        EdgeGroupState::Pending | EdgeGroupState::Cancelled => Transition::unchanged(()),
        EdgeGroupState::Impossible if child.is_terminal() => Transition::unchanged(()),
        EdgeGroupState::Impossible => {
            let how = End {
                outcome: TerminalOutcome::Skipped,
                attempt: AttemptOutcome::Skipped,
                cause: "dependency_impossible",
                reason: Some("dependency_impossible".to_owned()),
                category: None,
            };
            terminal::end(child, current, &how, now).answer(())
        }
    }
}

/// A downstream that waits for its group comes into line, or back to the delay it was in.
fn released(child: &Execution, now: TimestampMs, cause: &'static str) -> Transition<()> {
    if !is_blocked(child) {
        return Transition::unchanged(());
    }
    let mut after = child.clone();
    after.eligible_at = child.eligible_at.filter(|at| *at > now);
    after.blocking_detail = None;
    let attempt = match child.state.attempt_state {
        AttemptState::None => AttemptState::PendingFirstAttempt,
        other => other,
    };
    after.state = match (after.eligible_at, attempt) {
        (None, _) => state::waiting(attempt),
        (Some(_), AttemptState::PendingRetryAttempt) => {
            state::delayed(BlockingReason::WaitingForRetryBackoff, attempt)
        }
        (Some(_), _) => state::delayed(BlockingReason::WaitingForDelay, attempt),
    };
    Transition::unchanged(()).put(child, after, now, cause)
}

/// Whether it waits for its edges.
pub(super) fn is_blocked(execution: &Execution) -> bool {
    is_runnable(execution)
        && execution.state.eligibility_state == EligibilityState::BlockedByDependencies
}

/// Whether it waits, unowned, and may be made to wait for edges.
pub(super) fn is_runnable(execution: &Execution) -> bool {
    matches!(execution.state.lifecycle_phase, LifecyclePhase::Runnable | LifecyclePhase::Submitted)
        && execution.state.ownership_state == OwnershipState::Unowned
}

/// Whether a worker has begun this run of it, and it has not ended.
pub(crate) fn has_begun(execution: &Execution) -> bool {
    match execution.state.lifecycle_phase {
        LifecyclePhase::Active | LifecyclePhase::Suspended => true,
        LifecyclePhase::Submitted | LifecyclePhase::Runnable => matches!(
            execution.state.attempt_state,
            AttemptState::AttemptInterrupted | AttemptState::PendingRetryAttempt
        ),
        LifecyclePhase::Terminal => false,
    }
}

/// The same execution, waiting for its edges. Its delay, if it has one, goes on in the background.
pub(crate) fn blocked(execution: &Execution, group: &Group) -> Execution {
    let mut after = execution.clone();
    after.state = state::blocked_by_dependencies(execution.state.attempt_state);
    after.blocking_detail = Some(format!("waits for {} of its upstreams", group.running));
    after
}

pub(crate) fn put_edge(edge: Edge) -> Change {
    Change::Flow(Write::PutEdge(Box::new(edge)))
}

pub(crate) fn put_group(group: Group) -> Change {
    Change::Flow(Write::PutGroup(Box::new(group)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{EdgeDependencyPolicy, OnSatisfied};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, interrupted, now_plus, refusal, running,
    };
    use crate::machine::flow::testing::{
        applied, child, edge, edge_id, flow_id, group, waiting_child, with_edge,
    };
    use crate::state::PublicState;

    fn resolve(outcome: TerminalOutcome) -> Resolve {
        let (upstream, downstream) = (edge().upstream, child().id);
        Resolve { flow_id: flow_id(), edge_id: edge_id(), upstream, downstream, outcome, run: 2 }
    }

    fn of(running: u32, policy: EdgeDependencyPolicy) -> Group {
        Group { running, policy, ..group() }
    }

    fn all(running: u32) -> Group {
        of(running, EdgeDependencyPolicy::AllOf)
    }

    fn decide_on(
        group: Group,
        child: Execution,
        outcome: TerminalOutcome,
    ) -> Transition<ResolveDependencyOutcome> {
        decide(&resolve(outcome), &with_edge(applied(), group, child)).unwrap()
    }

    fn edge_after(done: &Transition<ResolveDependencyOutcome>) -> &Edge {
        let found = done.changes.iter().find_map(|change| match change {
            Change::Flow(Write::PutEdge(edge)) => Some(&**edge),
            _ => None,
        });
        found.unwrap()
    }

    fn siblings(done: &Transition<ResolveDependencyOutcome>) -> usize {
        let is = |change: &&Change| matches!(change, Change::Flow(Write::EnqueueSiblings { .. }));
        done.changes.iter().filter(is).count()
    }

    #[test]
    fn the_last_success_of_all_puts_the_downstream_in_line() {
        let first = decide_on(all(2), waiting_child(), TerminalOutcome::Success);
        assert_eq!(first.outcome, ResolveDependencyOutcome::Satisfied);
        assert_eq!(
            edge_after(&first).resolved,
            Some(Resolved { outcome: TerminalOutcome::Success, run: 2, at: NOW })
        );
        assert!(first.moves().is_empty());

        let last = decide_on(all(1), waiting_child(), TerminalOutcome::Success);
        assert_eq!(last.stored().state, state::waiting(AttemptState::PendingFirstAttempt));
        assert_eq!(last.moves()[0].cause, "dependencies_satisfied");
    }

    #[test]
    fn an_end_without_success_skips_what_nobody_has_begun() {
        for outcome in [
            TerminalOutcome::Failed,
            TerminalOutcome::Cancelled,
            TerminalOutcome::Expired,
            TerminalOutcome::Skipped,
        ] {
            let done = decide_on(all(3), waiting_child(), outcome);

            assert_eq!(done.outcome, ResolveDependencyOutcome::Impossible);
            assert_eq!(done.stored().public_state(), PublicState::Skipped);
            assert_eq!(done.completions()[0].outcome, TerminalOutcome::Skipped);
            assert_eq!(done.completions()[0].flow_id, Some(flow_id()));
        }
    }

    #[test]
    fn an_edge_is_settled_once() {
        let mut edge = applied();
        edge.resolved = Some(Resolved { outcome: TerminalOutcome::Success, run: 0, at: NOW });
        let seen = with_edge(edge, all(1), waiting_child());

        let done = decide(&resolve(TerminalOutcome::Failed), &seen).unwrap();

        assert_eq!(done.outcome, ResolveDependencyOutcome::AlreadyResolved);
        assert!(done.is_unchanged());
    }

    #[test]
    fn what_has_begun_is_never_skipped() {
        let mut runs = running(LEASE_END).0;
        runs.id = child().id;
        let done = decide_on(all(2), runs, TerminalOutcome::Failed);
        assert!(done.moves().is_empty() && done.completions().is_empty());

        let mut parked = interrupted().0;
        parked.id = child().id;
        parked.state = state::blocked_by_dependencies(AttemptState::AttemptInterrupted);
        let done = decide_on(all(2), parked, TerminalOutcome::Failed);
        assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
        assert_eq!(done.moves()[0].cause, "dependencies_decided");
    }

    #[test]
    fn what_waits_again_goes_on_when_its_last_upstream_has_ended() {
        let mut parked = interrupted().0;
        parked.id = child().id;
        parked.state = state::blocked_by_dependencies(AttemptState::AttemptInterrupted);
        let impossible = |running| Group { failed: 1, ..all(running) };
        for outcome in [TerminalOutcome::Success, TerminalOutcome::Failed] {
            assert!(decide_on(impossible(2), parked.clone(), outcome).moves().is_empty());
            let done = decide_on(impossible(1), parked.clone(), outcome);
            assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
        }
        let three = EdgeDependencyPolicy::quorum(3, OnSatisfied::let_run());
        let done = decide_on(of(1, three), parked, TerminalOutcome::Success);
        assert_eq!(done.moves()[0].cause, "dependencies_decided");
    }

    #[test]
    fn what_has_ended_or_is_gone_is_left_alone() {
        let mut over = ended(TerminalOutcome::Cancelled, AttemptOutcome::Cancelled).0;
        over.id = child().id;
        for outcome in [TerminalOutcome::Failed, TerminalOutcome::Success] {
            assert!(decide_on(all(1), over.clone(), outcome).moves().is_empty());
            let mut seen = with_edge(applied(), all(1), over.clone());
            seen.execution = None;
            assert!(decide(&resolve(outcome), &seen).unwrap().moves().is_empty());
        }
    }

    #[test]
    fn a_delay_that_is_not_over_goes_on() {
        let mut delayed = waiting_child();
        delayed.eligible_at = Some(now_plus(1));
        let done = decide_on(all(1), delayed.clone(), TerminalOutcome::Success);
        assert_eq!(done.stored().public_state(), PublicState::Delayed);
        assert_eq!(done.stored().eligible_at, Some(now_plus(1)));

        delayed.eligible_at = Some(NOW);
        let done = decide_on(all(1), delayed, TerminalOutcome::Success);
        assert_eq!(done.stored().public_state(), PublicState::Waiting);
        assert_eq!(done.stored().eligible_at, None);
    }

    #[test]
    fn a_group_that_fires_lists_its_remaining_upstreams_once() {
        let any = EdgeDependencyPolicy::any_of(OnSatisfied::cancel_remaining());
        let fired = decide_on(of(3, any.clone()), waiting_child(), TerminalOutcome::Success);
        assert_eq!((siblings(&fired), fired.stored().public_state()), (1, PublicState::Waiting));

        let again = Group { succeeded: 1, ..of(2, any.clone()) };
        assert_eq!(siblings(&decide_on(again, waiting_child(), TerminalOutcome::Success)), 0);
        let nobody_left = of(1, any);
        assert_eq!(siblings(&decide_on(nobody_left, waiting_child(), TerminalOutcome::Success)), 0);
        let let_run = EdgeDependencyPolicy::any_of(OnSatisfied::let_run());
        let run_on = decide_on(of(3, let_run), waiting_child(), TerminalOutcome::Success);
        assert_eq!(siblings(&run_on), 0);
        let two = EdgeDependencyPolicy::quorum(2, OnSatisfied::cancel_remaining());
        let impossible = Group { succeeded: 0, failed: 1, ..of(2, two) };
        let done = decide_on(impossible, waiting_child(), TerminalOutcome::Failed);
        assert_eq!((siblings(&done), done.stored().public_state()), (1, PublicState::Skipped));
    }

    #[test]
    fn a_result_is_passed_to_what_nobody_has_begun() {
        let passed = |group: Group, child: Execution, outcome| {
            let mut edge = applied();
            edge.data_passing_ref = Some("input".to_owned());
            let mut seen = with_edge(edge, group, child);
            seen.flow.passed_result = Some(b"result".to_vec());
            let done = decide(&resolve(outcome), &seen).unwrap();
            done.changes.iter().any(|change| {
                matches!(change, Change::Flow(Write::PutPayload { payload, .. }) if payload == b"result")
            })
        };
        let any = EdgeDependencyPolicy::any_of(OnSatisfied::let_run());

        assert!(passed(all(1), waiting_child(), TerminalOutcome::Success));
        assert!(passed(all(2), waiting_child(), TerminalOutcome::Success));
        assert!(passed(of(2, any.clone()), waiting_child(), TerminalOutcome::Success));
        let late = Group { succeeded: 1, ..of(2, any) };
        assert!(!passed(late, waiting_child(), TerminalOutcome::Success));
        assert!(!passed(all(1), waiting_child(), TerminalOutcome::Failed));
        let mut runs = running(LEASE_END).0;
        runs.id = child().id;
        assert!(!passed(all(1), runs, TerminalOutcome::Success));
    }

    #[test]
    fn an_edge_that_does_not_count_is_refused() {
        let mut staged = applied();
        staged.applied_at = None;
        let told = |seen: &Snapshot, outcome| refusal(decide(&resolve(outcome), seen));

        let seen = with_edge(staged, all(1), waiting_child());
        assert!(told(&seen, TerminalOutcome::Success).contains("InvalidDependency"));
        assert!(told(&Snapshot::default(), TerminalOutcome::Success).contains("InvalidDependency"));
        let seen = with_edge(applied(), all(1), waiting_child());
        assert!(told(&seen, TerminalOutcome::None).contains("has not ended"));
    }
}
