//! Parking an attempt until what it depends on is done.

use super::Wanted;
use super::resolve::blocked;
use crate::EngineError;
use crate::contracts::EdgeGroupState;
use crate::machine::policy;
use crate::machine::rows::AttemptOutcome;
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Command, Context, Fence, Footprint, Snapshot, Transition, Urgency, state};
use crate::state::AttemptState;
use crate::types::ExecutionId;

/// Ends the lease and lets the same attempt continue, under the next epoch, once the execution's
/// children are done: the upstreams of the edges that count into it.
///
/// It goes on when its edge group is decided: with satisfied or with impossible, because what has
/// begun is never skipped. One that waits again after its group has become impossible goes on when
/// the last child has ended. Without children, or when they are done already, it is in line at
/// once.
/// No attempt is burnt, and the time parked does not count against the attempt's timeout. Not safe
/// to repeat: the fence has ended.
#[derive(Debug, Clone)]
pub struct WaitChildren {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
}

impl Command for WaitChildren {
    const NAME: &'static str = "flow.wait_children";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted { own_group: true, ..Wanted::default() },
            ..Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
        }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        seen.execution()?;
        let (execution, attempt) = self.fence.check(seen, cx.now)?;

        let mut parked = attempt.clone();
        parked.outcome = Some(AttemptOutcome::Interrupted);
        parked.lease_expires_at = None;
        parked.worker_instance_id = None;

        let mut after = execution.clone();
        after.attempt_timeout_left =
            execution.attempt_timeout_at.map(|at| policy::until(cx.now, at));
        after.attempt_timeout_at = None;
        after.state = state::waiting(AttemptState::AttemptInterrupted);
        let awaited = seen
            .flow
            .group
            .as_ref()
            .filter(|group| group.running > 0 && group.state() != EdgeGroupState::Satisfied);
        let cause = match awaited {
            Some(group) => {
                after = blocked(&after, group);
                "waiting_children"
            }
            None => "no_children_left",
        };
        let released = LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, cause, cx.now);
        Ok(Transition::unchanged(())
            .put_attempt(parked)
            .announce(released)
            .put(execution, after, cx.now, cause))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{EdgeDependencyPolicy, OnSatisfied};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, execution, handle_of, lapsed, now_plus, refusal, revoked, running,
        seen, seen_pair, stale_handle,
    };
    use crate::machine::flow::rows::Group;
    use crate::machine::flow::testing::group;
    use crate::state::PublicState;
    use crate::types::DurationMs;

    fn wait() -> WaitChildren {
        let fence = handle_of(&running(LEASE_END).1);
        WaitChildren { execution_id: execution().id, fence }
    }

    #[test]
    fn the_attempt_is_parked_while_an_edge_is_open() {
        let (mut row, attempt) = running(LEASE_END);
        row.attempt_timeout_at = Some(now_plus(7));
        let mut seen = seen(row, attempt);
        seen.flow.group = Some(Group { running: 2, succeeded: 1, ..group() });

        let done = decide(&wait(), &seen).unwrap();

        let after = done.stored();
        assert_eq!(after.public_state(), PublicState::WaitingChildren);
        assert_eq!(after.state.attempt_state, AttemptState::AttemptInterrupted);
        assert_eq!(after.attempt_timeout_left, Some(DurationMs(7)));
        assert_eq!(after.attempt_timeout_at, None);
        let parked = done.attempts()[0];
        assert_eq!(parked.outcome, Some(AttemptOutcome::Interrupted));
        assert_eq!((parked.lease_expires_at, parked.ended_at), (None, None));
        assert_eq!(done.leases()[0].cause, "waiting_children");
        assert_eq!(done.leases()[0].at, NOW);
    }

    #[test]
    fn a_child_that_failed_is_no_reason_not_to_wait_for_the_others() {
        let mut seen = seen_pair(running(LEASE_END));
        seen.flow.group = Some(Group { failed: 1, running: 2, ..group() });

        let done = decide(&wait(), &seen).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::WaitingChildren);
    }

    #[test]
    fn without_children_or_when_they_are_done_it_is_in_line_at_once() {
        let any = EdgeDependencyPolicy::any_of(OnSatisfied::let_run());
        for children in [
            None,
            Some(group()),
            Some(Group { succeeded: 3, ..group() }),
            Some(Group { succeeded: 1, failed: 1, ..group() }),
            Some(Group { policy: any, succeeded: 1, running: 2, ..group() }),
        ] {
            let mut seen = seen_pair(running(LEASE_END));
            seen.flow.group = children;

            let done = decide(&wait(), &seen).unwrap();

            let stored = done.stored();
            assert_eq!(stored.state, state::waiting(AttemptState::AttemptInterrupted));
            assert_eq!(done.moves()[0].cause, "no_children_left");
        }
    }

    #[test]
    fn only_the_owner_may_park_it() {
        let stale = WaitChildren { execution_id: execution().id, fence: stale_handle() };
        assert!(refusal(decide(&stale, &seen_pair(running(LEASE_END)))).contains("LeaseConflict"));
        assert!(refusal(decide(&wait(), &seen_pair(lapsed()))).contains("LeaseExpired"));
        assert!(refusal(decide(&wait(), &seen_pair(revoked()))).contains("LeaseRevoked"));
        assert!(refusal(decide(&wait(), &seen_pair(running(NOW)))).contains("LeaseExpired"));
        assert!(refusal(decide(&wait(), &Snapshot::default())).contains("not found: execution"));
    }
}
