//! Parking behind a closed gate: out of the line, until the gate has room.

use super::gate::{self, Closed};
use super::{GateKey, LaneQuota, NEVER, Wanted, Write};
use crate::EngineError;
use crate::machine::policy;
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
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
            transition = transition.put_attempt(Attempt {
                outcome: Some(AttemptOutcome::InterruptedReclaimed),
                ended_at: Some(now),
                lease_expires_at: None,
                lease_expired_at: None,
                failure_reason: Some(execution.state.ownership_state.as_str().to_owned()),
                ..lost.clone()
            });
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
