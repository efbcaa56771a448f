//! Parking behind a closed gate: out of the line, until the gate has room.

use super::gate::{self, Closed};
use super::{GateKey, LaneQuota, NEVER, Wanted, Write};
use crate::EngineError;
use crate::machine::policy;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state, terminal};
use crate::state::{AttemptState, StateVector};
use crate::types::{ExecutionId, TimestampMs};

/// Parks an execution that stands in line if one of its gates is closed: what a claim does with a
/// candidate, for a scheduler that only grants. Safe to repeat.
#[derive(Debug, Clone)]
pub struct Park {
    /// The execution.
    pub execution_id: ExecutionId,
}

impl Command for Park {
    const NAME: &'static str = "budget.park";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        let budget = Wanted { gates: Some(LaneQuota::Follow), ..Wanted::default() };
        Footprint { budget, ..Footprint::execution(&self.execution_id) }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let Some(execution) = seen.execution.as_ref().filter(|row| row.is_claimable()) else {
            return Ok(Transition::unchanged(()));
        };
        match gate::admit(seen, cx.now) {
            Ok(_) => Ok(Transition::unchanged(())),
            Err(closed) => Ok(park(execution, seen.current.as_ref(), &closed, cx.now)),
        }
    }
}

/// Takes a candidate out of the line, behind the gate that closed.
///
/// A candidate that lost its lease is reclaimed for the count: its attempt ends here, and the next
/// acquisition is the reclaim. Otherwise a worker that keeps dying behind a busy gate would never
/// use up its reclaims.
pub(crate) fn park(
    execution: &Execution,
    current: Option<&Attempt>,
    closed: &Closed,
    now: TimestampMs,
) -> Transition<()> {
    let mut after = execution.clone();
    let mut next_attempt = execution.state.attempt_state;
    let mut transition = Transition::unchanged(());
    if execution.is_reclaimable() {
        next_attempt = AttemptState::PendingRetryAttempt;
        after.reclaim_count += 1;
        after.attempt_timeout_left = None;
        if let Some(lost) = current {
            transition = transition.put_attempt(terminal::end_lost_attempt(execution, lost, now));
        }
    }
    after.state = behind(&closed.gate, next_attempt);
    after.blocking_detail = Some(closed.detail.clone());
    after.eligible_at = closed.opens_at;
    transition.put(execution, after, now, cause(&closed.gate)).change(Change::Budget(Write::Park {
        execution_id: execution.id.clone(),
        lane: execution.lane.clone(),
        gate: closed.gate.clone(),
        look_at: closed.look_at.unwrap_or(NEVER),
    }))
}

/// Takes a running execution from its worker and out of the line; the same attempt goes on once
/// the gate has room.
pub(super) fn interrupt(
    execution: &Execution,
    attempt: &Attempt,
    gate: &GateKey,
    why: String,
    opens_at: Option<TimestampMs>,
    now: TimestampMs,
) -> Transition<()> {
    let parked = Attempt {
        outcome: Some(AttemptOutcome::Interrupted),
        lease_expires_at: None,
        worker_instance_id: None,
        ..attempt.clone()
    };
    let mut after = execution.clone();
    after.state = behind(gate, AttemptState::AttemptInterrupted);
    after.blocking_detail = Some(why);
    after.eligible_at = opens_at;
    after.attempt_timeout_left = execution.attempt_timeout_at.map(|at| policy::until(now, at));
    after.attempt_timeout_at = None;
    let cause = cause(gate);
    let released = LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, cause, now);
    Transition::unchanged(())
        .put_attempt(parked)
        .announce(released)
        .put(execution, after, now, cause)
}

fn behind(gate: &GateKey, attempt: AttemptState) -> StateVector {
    match gate {
        GateKey::Budget(_) => state::waiting_for_budget(attempt),
        GateKey::Quota(_) | GateKey::LaneQuota(_) => state::waiting_for_quota(attempt),
    }
}

fn cause(gate: &GateKey) -> &'static str {
    match gate {
        GateKey::Budget(_) => "budget_spent",
        GateKey::Quota(_) | GateKey::LaneQuota(_) => "quota_full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::testing::{BUDGET, before, quota, used};
    use crate::machine::budget::{Gates, Quota};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, execution, interrupted, lapsed, now_plus, revoked, running, seen,
        seen_pair,
    };
    use crate::machine::flow::rows::Standing;
    use crate::state::{BlockingReason, PublicState};
    use crate::types::DurationMs;

    fn spent() -> Gates {
        Gates { budgets: vec![(BUDGET, Ok(used(10, 10)))], ..Gates::default() }
    }

    fn parked(seen: Snapshot) -> Transition<()> {
        let id = seen.execution.as_ref().unwrap().id.clone();
        decide(&Park { execution_id: id }, &before(seen, spent())).unwrap()
    }

    #[test]
    fn who_stands_in_line_is_parked_behind_its_gate() {
        let done = parked(seen(execution(), None));

        let stored = done.stored();
        assert_eq!(stored.public_state(), PublicState::RateLimited);
        assert_eq!(stored.state.blocking_reason, BlockingReason::WaitingForBudget);
        assert_eq!(done.moves()[0].cause, "budget_spent");
        assert_eq!((stored.reclaim_count, done.attempts().len()), (0, 0));
        let full = Quota { occupied: 1, ..quota(0, 1) };
        let gates = Gates { own: Some((full.id.clone(), Ok(full))), ..Gates::default() };
        let park = Park { execution_id: execution().id };
        let done = decide(&park, &before(seen(execution(), None), gates)).unwrap();
        assert_eq!(done.moves()[0].cause, "quota_full");
    }

    #[test]
    fn a_lost_lease_ends_its_attempt_and_counts_its_reclaim() {
        for (lost, why) in [(lapsed(), "lease_expired_reclaimable"), (revoked(), "lease_revoked")] {
            let mut pair = lost;
            pair.0.reclaim_count = 4;
            pair.0.attempt_timeout_left = Some(DurationMs(7));

            let done = parked(seen_pair(pair));

            let stored = done.stored();
            assert_eq!((stored.reclaim_count, stored.attempt_timeout_left), (5, None));
            assert_eq!(stored.state.attempt_state, AttemptState::PendingRetryAttempt);
            assert_eq!(Standing::of(stored), Standing::Blocked);
            let attempt = done.attempts()[0];
            assert_eq!(attempt.outcome, Some(AttemptOutcome::InterruptedReclaimed));
            assert_eq!(
                (attempt.ended_at, attempt.failure_reason.as_deref()),
                (Some(NOW), Some(why))
            );
            assert_eq!((attempt.lease_expires_at, attempt.lease_expired_at), (None, None));
        }
    }

    #[test]
    fn a_parked_attempt_goes_on_behind_the_gate() {
        let done = parked(seen_pair(interrupted()));

        let stored = done.stored();
        assert_eq!(stored.state.attempt_state, AttemptState::AttemptInterrupted);
        assert_eq!(Standing::of(stored), Standing::Parked);
        assert_eq!((stored.reclaim_count, done.attempts().len()), (0, 0));
    }

    #[test]
    fn nobody_is_parked_who_runs_or_whose_gate_is_open() {
        let id = execution().id;
        let running = before(seen_pair(running(LEASE_END)), spent());
        let open = before(seen(execution(), None), Gates::default());
        for seen in [running, open, before(Snapshot::default(), spent())] {
            let done = decide(&Park { execution_id: id.clone() }, &seen).unwrap();
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn its_footprint_has_the_gates_of_the_execution_and_its_lane() {
        let footprint = Park { execution_id: execution().id }.footprint();

        assert_eq!(footprint.execution, Some(execution().id));
        assert!(matches!(footprint.budget.gates, Some(LaneQuota::Follow)));
    }

    #[test]
    fn an_interrupted_attempt_keeps_what_is_left_of_its_time() {
        let (mut execution, attempt) = running(LEASE_END);
        execution.attempt_timeout_at = Some(now_plus(30));
        let gate = GateKey::Budget(BUDGET);

        let opens = Some(now_plus(70));
        let done = interrupt(&execution, &attempt, &gate, "spent".to_owned(), opens, NOW);

        let stored = done.stored();
        assert_eq!(stored.attempt_timeout_left, Some(DurationMs(30)));
        assert_eq!((stored.attempt_timeout_at, stored.eligible_at), (None, opens));
        assert_eq!(stored.blocking_detail.as_deref(), Some("spent"));
        let parked = done.attempts()[0];
        assert_eq!(parked.outcome, Some(AttemptOutcome::Interrupted));
        assert_eq!((parked.lease_expires_at, &parked.worker_instance_id), (None, &None));
        assert_eq!(done.leases()[0].kind, LeaseEventKind::Revoked);
        assert!(terminal::is_open(parked));
    }
}
