//! Replaying an execution: an ended one runs again.

use crate::EngineError;
use crate::contracts::EdgeGroupState;
use crate::engine_error::StateKind;
use crate::machine::flow::resolve::{blocked, decided, put_edge, put_group};
use crate::machine::flow::{Edge, FlowState, Group, Resolved, Standing, Wanted, Write};
use crate::machine::policy;
use crate::machine::rows::Execution;
use crate::machine::transition::{Event, OperatorEvent, OperatorEventKind, ReplayBranch};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::{AttemptState, PublicState, TerminalOutcome};
use crate::types::{ExecutionId, TimestampMs};

/// Puts an ended execution back in line as a new run.
///
/// The run starts with fresh retry and reclaim counts, without the old result and reason. A
/// deadline still ahead stays; one that has passed is dropped, and the one that the policy implies
/// counts from now. Epochs go on rising. A member that was skipped waits for its edges again, as
/// far as they are open: each is settled anew by how its upstream stands now, so it may be skipped
/// again at once. A flow that had completed or failed is open again. Refused with `State(ExecutionNotTerminal)` while it has not ended and
/// with `State(MaxReplaysExhausted)` at the policy's cap, and with `State(FlowAlreadyTerminal)` for
/// a member of a cancelled flow. Not safe to repeat: each call that
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
        let flow = Wanted { own_group: true, incoming: true, ..Wanted::default() };
        Footprint { flow, ..Footprint::execution(&self.execution_id) }
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
        let own = seen.flow.own.as_ref();
        if own
            .and_then(|flow| flow.cancel.as_ref())
            .is_some_and(|mark| mark.reaches(Standing::Open))
        {
            return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
        }
        let group = reopened(execution, seen);
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

        let kind = match &group {
            None => {
                OperatorEventKind::Replayed { branch: ReplayBranch::Normal, groups_reset: None }
            }
            Some(_) => OperatorEventKind::Replayed {
                branch: ReplayBranch::SkippedFlowMember,
                groups_reset: Some(1),
            },
        };
        let event = Event::Operator(OperatorEvent {
            execution_id: execution.id.clone(),
            kind,
            at: cx.now,
            namespace: execution.namespace.clone(),
            instance_tag: execution.instance_tag().map(str::to_owned),
        });
        if let Some((group, _)) = &group {
            after = blocked(&after, group);
        }
        let mut transition = Transition::unchanged(())
            .put(execution, after, cx.now, "replayed")
            .change(Change::PutResult { execution_id: self.execution_id.clone(), result: None })
            .announce(event);
        if let Some(flow) = own.filter(|flow| flow.is_terminal() && flow.cancel.is_none()) {
            let mut open = flow.next(cx.now);
            open.state = FlowState::Active;
            open.ended_at = None;
            transition = transition.change(open.write());
        }
        let mut rows = seen.clone();
        if let Some((group, edges)) = group {
            for edge in edges {
                let resolved = edge.resolved.map(|end| Resolved { at: cx.now, ..end });
                transition = transition.change(put_edge(Edge { resolved, ..edge }));
            }
            transition = transition.change(put_group(group.clone())).change(losers(&group, cx.now));
            rows.apply(&transition.changes);
            let replayed = rows.execution()?;
            let decision = decided(replayed, rows.current.as_ref(), (&group, true), cx.now);
            transition = decision.after(transition);
        }
        rows.apply(&transition.changes);
        let public_state = rows.execution()?.public_state();
        Ok(transition.answer(public_state))
    }
}

/// What becomes of the upstreams that a group which counts anew has left: it may be decided by this
/// very count, or need again those that it was about to cancel.
fn losers(group: &Group, now: TimestampMs) -> Change {
    let (flow_id, downstream) = (group.flow_id.clone(), group.downstream.clone());
    let is_decided = group.state() != EdgeGroupState::Pending;
    Change::Flow(if is_decided && group.cancels_remaining() && group.running > 0 {
        Write::EnqueueSiblings { flow_id, downstream, at: now }
    } else {
        Write::DropSiblings { flow_id, downstream }
    })
}

/// The edges into a skipped member as its upstreams stand now, and their group. What an earlier
/// run of an upstream said counts no more.
fn reopened(execution: &Execution, seen: &Snapshot) -> Option<(Group, Vec<Edge>)> {
    let is_skipped = execution.outcome() == TerminalOutcome::Skipped;
    let flow_id = execution.flow_id.as_ref().filter(|_| is_skipped)?;
    if seen.flow.incoming.is_empty() {
        return None;
    }
    let empty = Group::new(flow_id.clone(), execution.id.clone());
    let policy =
        seen.flow.group.as_ref().map_or_else(|| empty.policy.clone(), |old| old.policy.clone());
    let mut group = Group { policy, ..empty };
    let mut edges = Vec::with_capacity(seen.flow.incoming.len());
    for (edge, upstream) in &seen.flow.incoming {
        let ended = upstream.as_ref().and_then(|upstream| {
            let outcome = upstream.outcome?;
            Some(Resolved { outcome, run: upstream.run, at: TimestampMs(0) })
        });
        // An upstream that is gone says no more than it said.
        let resolved = if upstream.is_none() { edge.resolved } else { ended };
        match resolved {
            Some(end) => group.count(end.outcome),
            None => group.running += 1,
        }
        edges.push(Edge { resolved, ..edge.clone() });
    }
    Some((group, edges))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, interrupted, lapsed, now_plus, refusal, running,
        seen, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::policy::{ExecutionPolicy, TimeoutPolicy};
    use crate::state::TerminalOutcome;
    use crate::types::LeaseEpoch;

    fn replay() -> Replay {
        Replay { execution_id: execution().id }
    }

    #[test]
    fn every_end_can_be_replayed_and_the_run_starts_afresh() {
        for (outcome, attempt) in [
            (TerminalOutcome::Success, AttemptOutcome::Success),
            (TerminalOutcome::Failed, AttemptOutcome::Failed),
            (TerminalOutcome::Cancelled, AttemptOutcome::Cancelled),
            (TerminalOutcome::Expired, AttemptOutcome::Expired),
            (TerminalOutcome::Skipped, AttemptOutcome::Skipped),
        ] {
            let (mut row, attempt) = ended(outcome, attempt);
            row.replay_count = 2;
            row.retry_count = 3;
            row.reclaim_count = 4;
            row.failure_reason = Some("reason".to_owned());
            row.cancel_reason = Some("reason".to_owned());
            row.cancelled_by = Some("someone".to_owned());
            row.progress_pct = Some(50);
            row.progress_message = Some("half".to_owned());

            let done = decide(&replay(), &seen(row, attempt)).unwrap();

            assert_eq!(done.outcome, PublicState::Waiting);
            let after = done.stored();
            assert_eq!(after.state, state::waiting(AttemptState::PendingReplayAttempt));
            assert_eq!((after.replay_count, after.retry_count, after.reclaim_count), (3, 0, 0));
            assert_eq!((after.ended_at, &after.failure_reason), (None, &None));
            assert_eq!((&after.cancel_reason, &after.cancelled_by), (&None, &None));
            assert_eq!((after.progress_pct, &after.progress_message), (None, &None));
            assert_eq!((after.epoch, after.attempt_count), (LeaseEpoch(1), 1));
            assert!(done.attempts().is_empty());
            let kind = &done.operations()[0].kind;
            assert_eq!(
                kind,
                &OperatorEventKind::Replayed { branch: ReplayBranch::Normal, groups_reset: None }
            );
            let execution_id = execution().id;
            assert!(done.changes.contains(&Change::PutResult { execution_id, result: None }));
        }
    }

    #[test]
    fn what_has_not_ended_is_refused() {
        for pair in [running(LEASE_END), lapsed(), interrupted()] {
            let refused = refusal(decide(&replay(), &seen_pair(pair)));
            assert_eq!(refused, "state: ExecutionNotTerminal");
        }
        let refused = refusal(decide(&replay(), &seen(execution(), None)));
        assert_eq!(refused, "state: ExecutionNotTerminal");
        assert_eq!(refusal(decide(&replay(), &Snapshot::default())), "not found: execution");
    }

    #[test]
    fn replays_have_a_cap() {
        let failed = |replays, policy| {
            let (mut row, attempt) = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
            row.replay_count = replays;
            row.policy = policy;
            decide(&replay(), &seen(row, attempt))
        };
        let once = || Some(ExecutionPolicy { max_replay_count: 1, ..ExecutionPolicy::default() });

        assert!(failed(9, None).is_ok());
        assert_eq!(refusal(failed(10, None)), "state: MaxReplaysExhausted");
        assert!(failed(0, once()).is_ok());
        assert_eq!(refusal(failed(1, once())), "state: MaxReplaysExhausted");
    }

    #[test]
    fn a_deadline_that_passed_is_dropped_and_one_ahead_still_holds() {
        let replayed = |deadline| {
            let (mut row, attempt) = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
            row.deadline_at = Some(deadline);
            decide(&replay(), &seen(row, attempt)).unwrap().stored().deadline_at
        };

        assert_eq!(replayed(now_plus(-1)), None);
        assert_eq!(replayed(NOW), None);
        assert_eq!(replayed(now_plus(1)), Some(now_plus(1)));
    }

    #[test]
    fn a_deadline_that_the_policy_implies_starts_anew() {
        let (mut row, attempt) = ended(TerminalOutcome::Expired, AttemptOutcome::Expired);
        row.deadline_at = Some(now_plus(-1));
        row.policy = Some(ExecutionPolicy {
            timeout_policy: Some(TimeoutPolicy {
                attempt_timeout_ms: None,
                execution_deadline_ms: Some(700),
                max_reclaim_count: 100,
            }),
            ..ExecutionPolicy::default()
        });

        let done = decide(&replay(), &seen(row, attempt)).unwrap();

        assert_eq!(done.stored().deadline_at, Some(now_plus(700)));
    }
}
