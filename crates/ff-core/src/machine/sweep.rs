//! What happens to an execution by itself when its time comes.
//!
//! A deadline that passed expires it; an attempt that ran too long fails as `timeout` and goes
//! through the retry policy; a lease that ran out makes it reclaimable; a delay that is over puts
//! it in line. Things happen in the order of their instants, all stamped with the engine time at
//! which they are noticed. Never before its instant; at the instant itself, yes.

use super::execution::fail;
use super::policy::later;
use super::rows::{AttemptOutcome, Execution};
use super::terminal::{self, End};
use super::transition::{LeaseEvent, LeaseEventKind};
use super::{Change, Command, Context, Footprint, Snapshot, Transition, retry, state};
use crate::EngineError;
use crate::state::{EligibilityState, TerminalOutcome};
use crate::types::{ExecutionId, TimestampMs};

/// No execution has more things due at one instant than it has kinds of due time.
const STEPS_MAX: usize = 8;

/// Applies everything that is due on one execution. Safe to repeat; a missing execution, or one
/// with nothing due, is left alone.
///
/// It decides nothing itself: whoever drives a command settles what is due in front of it.
#[derive(Debug, Clone)]
pub struct Due {
    /// The execution to look at.
    pub execution_id: ExecutionId,
}

impl Command for Due {
    const NAME: &'static str = "sweep.due";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(&self, _: &Snapshot, _: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        Ok(Transition::unchanged(()))
    }
}

/// Everything that is due on the execution of `seen`, and the rows as they stand afterwards; or
/// `None` when nothing is.
pub fn settle(seen: &Snapshot, cx: &mut Context<'_>) -> Option<(Transition<()>, Snapshot)> {
    let mut total: Option<(Transition<()>, Snapshot)> = None;
    for _ in 0..STEPS_MAX {
        let rows = total.as_ref().map_or(seen, |(_, rows)| rows);
        let Some(step) = next_step(rows, cx) else { break };
        let mut rows = rows.clone();
        rows.apply(&step.changes);
        total = Some(match total {
            Some((earlier, _)) => (step.after(earlier), rows),
            None => (step, rows),
        });
    }
    total
}

/// The kinds of thing that become due, in the order in which ties are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deadline,
    AttemptTimeout,
    LeaseExpiry,
    Eligible,
}

fn next_step(seen: &Snapshot, cx: &mut Context<'_>) -> Option<Transition<()>> {
    let execution = seen.execution.as_ref()?;
    let (_, kind) =
        due_list(execution, seen).into_iter().flatten().filter(|(at, _)| *at <= cx.now).min()?;
    Some(match kind {
        Kind::Deadline => expire(execution, seen, cx.now),
        Kind::AttemptTimeout => time_out(execution, seen, cx),
        Kind::LeaseExpiry => lapse(execution, seen, cx.now),
        Kind::Eligible => promote(execution, cx.now),
    })
}

fn due_list(execution: &Execution, seen: &Snapshot) -> [Option<(TimestampMs, Kind)>; 4] {
    if execution.is_terminal() {
        return [None; 4];
    }
    let waits = execution.state.eligibility_state == EligibilityState::NotEligibleUntilTime;
    let leased = execution.is_leased();
    let expiry = seen.current.as_ref().and_then(|attempt| attempt.lease_expires_at);
    [
        execution.deadline_at.map(|at| (at, Kind::Deadline)),
        execution.attempt_timeout_at.filter(|_| leased).map(|at| (at, Kind::AttemptTimeout)),
        expiry.filter(|_| leased).map(|at| (at, Kind::LeaseExpiry)),
        waits.then(|| (execution.eligible_at.unwrap_or(TimestampMs(0)), Kind::Eligible)),
    ]
}

/// The deadline passed: the execution expires, whatever it was doing.
fn expire(execution: &Execution, seen: &Snapshot, now: TimestampMs) -> Transition<()> {
    let how = End {
        outcome: TerminalOutcome::Expired,
        attempt: AttemptOutcome::Expired,
        cause: "deadline_passed",
        reason: Some("execution_deadline".to_owned()),
        category: None,
    };
    terminal::end(execution, seen.current.as_ref(), &how, now).answer(())
}

/// The attempt ran too long: a failure like any other, of category `timeout`.
fn time_out(execution: &Execution, seen: &Snapshot, cx: &mut Context<'_>) -> Transition<()> {
    let Some(attempt) = seen.current.as_ref() else { return Transition::unchanged(()) };
    let failure = fail::Failure {
        reason: "attempt_timeout".to_owned(),
        category: retry::TIMEOUT_CATEGORY.to_owned(),
        policy: None,
        cause: "attempt_timed_out",
    };
    fail::failed(execution, attempt, &failure, cx).answer(())
}

/// The lease ran out: the execution waits for a reclaim, in its old place in line.
fn lapse(execution: &Execution, seen: &Snapshot, now: TimestampMs) -> Transition<()> {
    let Some(attempt) = seen.current.as_ref() else { return Transition::unchanged(()) };
    let mut lapsed = attempt.clone();
    lapsed.lease_expired_at = lapsed.lease_expires_at.take();

    let mut after = execution.clone();
    after.state = state::lease_expired();
    after.blocking_detail = Some("lease expired, awaiting reclaim".to_owned());
    after.attempt_timeout_at = None;

    let event = LeaseEvent::of(LeaseEventKind::Expired, execution, attempt, "lease_expired", now);
    Transition::unchanged(()).put_attempt(lapsed).announce(event).put(
        execution,
        after,
        now,
        "lease_expired",
    )
}

/// The delay is over: the execution is in line.
fn promote(execution: &Execution, now: TimestampMs) -> Transition<()> {
    let mut after = execution.clone();
    after.state = state::waiting(execution.state.attempt_state);
    after.blocking_detail = None;
    after.eligible_at = None;
    Transition::unchanged(()).put(execution, after, now, "delay_over")
}

/// Removes an ended execution, with everything stored about it, once its retention is over.
/// Safe to repeat: what is gone, alive again or not yet due is left alone. Answers whether it
/// was removed.
#[derive(Debug, Clone)]
pub struct Forget {
    /// The execution to remove.
    pub execution_id: ExecutionId,
}

impl Command for Forget {
    const NAME: &'static str = "sweep.forget";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        let over = seen.execution.as_ref().is_some_and(|execution| {
            let ended_at = execution.ended_at.unwrap_or(execution.created_at);
            execution.is_terminal() && later(ended_at, cx.limits.retention) <= cx.now
        });
        if !over {
            return Ok(Transition::unchanged(false));
        }
        Ok(Transition::unchanged(true)
            .change(Change::Forget { execution_id: self.execution_id.clone() }))
    }
}
