//! What happens to an execution by itself when its time comes.
//!
//! A suspension times out by its behaviour; a pending waitpoint that nobody adopted is closed.
//! A deadline that passed expires it; an attempt that ran too long fails as `timeout` and goes
//! through the retry policy; a lease that ran out makes it reclaimable; a delay that is over puts
//! it in line. Things happen in the order of their instants, all stamped with the engine time at
//! which they are noticed. Never before its instant; at the instant itself, yes.

use super::execution::fail;
use super::flow::Flow;
use super::policy::later;
use super::rows::{AttemptOutcome, Execution};
use super::suspension::timeout;
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
    const NAME: &'static str = "execution.due";
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
    SuspensionTimeout,
    Eligible,
    WaitpointExpiry,
}

fn next_step(seen: &Snapshot, cx: &mut Context<'_>) -> Option<Transition<()>> {
    let execution = seen.execution.as_ref()?;
    // Nothing of a cancelled flow begins, or ends otherwise, once the cancel was answered: the
    // mark goes ahead of every instant.
    if let Some(flow) = seen.flow.own.as_ref().filter(|flow| flow.ends(execution)) {
        return Some(cancelled_with(flow, execution, seen, cx.now));
    }
    let (_, kind) =
        due_list(execution, seen).into_iter().flatten().filter(|(at, _)| *at <= cx.now).min()?;
    Some(match kind {
        Kind::Deadline => expire(execution, seen, cx.now),
        Kind::AttemptTimeout => time_out(execution, seen, cx),
        Kind::LeaseExpiry => lapse(execution, seen, cx.now),
        Kind::SuspensionTimeout => timeout::time_out(execution, seen, cx),
        Kind::Eligible => promote(execution, cx.now),
        Kind::WaitpointExpiry => timeout::expire_waitpoints(execution, seen, cx.now),
    })
}

fn due_list(execution: &Execution, seen: &Snapshot) -> [Option<(TimestampMs, Kind)>; 6] {
    if execution.is_terminal() {
        return [None; 6];
    }
    let waits = execution.state.eligibility_state == EligibilityState::NotEligibleUntilTime;
    // A leased row without an attempt is somebody's mistake; it only has its deadline.
    let leased = execution.is_leased() && seen.current.is_some();
    let expiry = seen.current.as_ref().and_then(|attempt| attempt.lease_expires_at);
    [
        execution.deadline_at.map(|at| (at, Kind::Deadline)),
        execution.attempt_timeout_at.filter(|_| leased).map(|at| (at, Kind::AttemptTimeout)),
        expiry.filter(|_| leased).map(|at| (at, Kind::LeaseExpiry)),
        timeout::timeout_at(execution, seen).map(|at| (at, Kind::SuspensionTimeout)),
        waits.then(|| (execution.eligible_at.unwrap_or(TimestampMs(0)), Kind::Eligible)),
        timeout::waitpoints_end_at(execution, seen).map(|at| (at, Kind::WaitpointExpiry)),
    ]
}

/// The flow was cancelled, and its member with it.
fn cancelled_with(
    flow: &Flow,
    execution: &Execution,
    seen: &Snapshot,
    now: TimestampMs,
) -> Transition<()> {
    let mut marked = execution.clone();
    let reason = flow.cancel.as_ref().map(|mark| mark.reason.clone()).unwrap_or_default();
    marked.cancelled_by = flow.cancel.as_ref().map(|mark| mark.by.clone());
    marked.cancel_reason = Some(reason.clone());
    let how = End {
        outcome: TerminalOutcome::Cancelled,
        attempt: AttemptOutcome::Cancelled,
        cause: "flow_cancelled",
        reason: Some(format!("cancelled: {reason}")),
        category: None,
    };
    terminal::end(&marked, seen.current.as_ref(), &how, now).answer(())
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
        may_retry: fail::may_retry(seen),
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
    const NAME: &'static str = "execution.forget";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        let flow = super::flow::Wanted { own_open: true, ..super::flow::Wanted::default() };
        Footprint { flow, ..Footprint::execution(&self.execution_id) }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        // A member is kept while anybody in its flow may still need how it ended.
        if seen.flow.own.is_some() && seen.flow.standings.any_open {
            return Ok(Transition::unchanged(false));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Limits;
    use crate::machine::execution::testing::{
        CREATED, LEASE_END, NOW, decide, ended, execution, interrupted, lapsed, now_plus, refusal,
        revoked, running, seen, seen_pair,
    };
    use crate::machine::rows::Attempt;
    use crate::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy};
    use crate::state::{AttemptState, BlockingReason, PublicState};
    use crate::types::DurationMs;

    fn settled(seen: &Snapshot) -> Option<(Transition<()>, Snapshot)> {
        let limits = Limits::default();
        settle(seen, &mut Context::new(NOW, 1, &limits))
    }

    fn causes(transition: &Transition<()>) -> Vec<&str> {
        transition.moves().into_iter().map(|row| row.cause.as_str()).collect()
    }

    fn delayed_until(at: Option<TimestampMs>) -> Execution {
        let mut row = execution();
        row.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);
        row.blocking_detail = Some("detail".to_owned());
        row.eligible_at = at;
        row
    }

    fn with_retries(mut row: Execution, delay_ms: u64) -> Execution {
        row.policy = Some(ExecutionPolicy {
            retry_policy: Some(RetryPolicy {
                max_retries: 1,
                backoff: BackoffStrategy::Fixed { delay_ms },
                retryable_categories: Vec::new(),
            }),
            ..ExecutionPolicy::default()
        });
        row
    }

    #[test]
    fn nothing_happens_without_a_due_time() {
        for seen in [
            Snapshot::default(),
            seen(execution(), None),
            seen_pair(running(LEASE_END)),
            seen_pair(lapsed()),
            seen_pair(revoked()),
            seen_pair(interrupted()),
        ] {
            assert!(settled(&seen).is_none());
        }
    }

    #[test]
    fn a_delay_is_over_at_its_instant_and_not_before() {
        assert!(settled(&seen(delayed_until(Some(now_plus(1))), None)).is_none());

        let (done, rows) = settled(&seen(delayed_until(Some(NOW)), None)).unwrap();

        let row = done.stored();
        assert_eq!(row.state, state::waiting(AttemptState::PendingFirstAttempt));
        assert_eq!((row.eligible_at, &row.blocking_detail), (None, &None));
        assert_eq!(rows.execution.as_ref(), Some(row));
        assert_eq!(causes(&done), ["delay_over"]);
    }

    #[test]
    fn a_delay_without_an_instant_is_over() {
        assert!(settled(&seen(delayed_until(None), None)).is_some());
    }

    #[test]
    fn a_promoted_execution_keeps_the_kind_of_its_next_attempt() {
        let mut row = delayed_until(Some(NOW));
        row.state.attempt_state = AttemptState::PendingRetryAttempt;

        let (done, _) = settled(&seen(row, None)).unwrap();

        assert_eq!(done.stored().state.attempt_state, AttemptState::PendingRetryAttempt);
    }

    #[test]
    fn a_lease_runs_out_at_its_instant_and_not_before() {
        assert!(settled(&seen_pair(running(now_plus(1)))).is_none());

        let (mut row, attempt) = running(NOW);
        row.attempt_timeout_at = Some(now_plus(5));
        let (done, rows) = settled(&seen(row.clone(), attempt.clone())).unwrap();

        let after = done.stored();
        assert_eq!(after.state, state::lease_expired());
        assert_eq!(after.blocking_detail.as_deref(), Some("lease expired, awaiting reclaim"));
        assert_eq!((after.attempt_timeout_at, after.epoch), (None, row.epoch));
        let lapsed =
            Attempt { lease_expires_at: None, lease_expired_at: Some(NOW), ..attempt.clone() };
        assert_eq!(rows.current, Some(lapsed));
        let [expired] = done.leases()[..] else { panic!("one lease event") };
        assert_eq!(expired.kind, LeaseEventKind::Expired);
        assert_eq!(expired.worker_instance_id, attempt.worker_instance_id);
        assert_eq!(causes(&done), ["lease_expired"]);
        assert!(done.completions().is_empty());
        assert!(settled(&rows).is_none());
    }

    #[test]
    fn a_deadline_expires_whatever_it_was_doing() {
        for seen in [
            seen(execution(), None),
            seen(delayed_until(Some(LEASE_END)), None),
            seen_pair(running(LEASE_END)),
            seen_pair(lapsed()),
            seen_pair(revoked()),
            seen_pair(interrupted()),
        ] {
            let mut seen = seen;
            seen.execution.as_mut().unwrap().deadline_at = Some(now_plus(1));
            assert!(settled(&seen).is_none());
            seen.execution.as_mut().unwrap().deadline_at = Some(NOW);

            let (done, _) = settled(&seen).unwrap();

            let row = done.stored();
            assert_eq!(row.public_state(), PublicState::Expired);
            assert_eq!(row.failure_reason.as_deref(), Some("execution_deadline"));
            assert_eq!(row.ended_at, Some(NOW));
            assert_eq!(causes(&done), ["deadline_passed"]);
            assert_eq!(done.completions()[0].outcome, TerminalOutcome::Expired);
            for attempt in done.attempts() {
                assert_eq!(attempt.outcome, Some(AttemptOutcome::Expired));
            }
        }
    }

    #[test]
    fn what_has_ended_has_no_due_times() {
        let (mut row, attempt) = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
        row.deadline_at = Some(CREATED);
        row.attempt_timeout_at = Some(CREATED);

        assert!(settled(&seen(row, attempt)).is_none());
    }

    #[test]
    fn an_attempt_that_ran_too_long_fails_as_a_timeout() {
        let (mut row, attempt) = running(LEASE_END);
        row.attempt_timeout_at = Some(now_plus(1));
        assert!(settled(&seen(row.clone(), attempt.clone())).is_none());
        row.attempt_timeout_at = Some(NOW);

        let (done, _) = settled(&seen(row, attempt)).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::Failed);
        assert_eq!(done.stored().failure_reason.as_deref(), Some("attempt_timeout"));
        let attempt = done.attempts()[0];
        assert_eq!(attempt.failure_category.as_deref(), Some("timeout"));
        assert_eq!(done.leases()[0].cause, "attempt_timed_out");
        assert_eq!(causes(&done), ["attempt_timed_out"]);
    }

    #[test]
    fn a_timed_out_attempt_is_retried_by_the_policy() {
        let (row, attempt) = running(LEASE_END);
        let mut row = with_retries(row, 50);
        row.attempt_timeout_at = Some(NOW);

        let (done, _) = settled(&seen(row, attempt)).unwrap();

        assert_eq!(done.stored().eligible_at, Some(now_plus(50)));
        assert_eq!(causes(&done), ["retry_scheduled"]);
    }

    #[test]
    fn only_a_live_lease_times_out() {
        for (row, attempt) in [lapsed(), revoked()] {
            let row = Execution { attempt_timeout_at: Some(NOW), ..row };
            assert!(settled(&seen(row, attempt)).is_none());
        }
    }

    #[test]
    fn things_happen_in_the_order_of_their_instants() {
        let (row, attempt) = running(now_plus(-3));
        let at = |ms| Some(now_plus(ms));
        for (deadline, timeout, expected) in [
            (at(-2), at(-1), vec!["lease_expired", "deadline_passed"]),
            (None, at(-4), vec!["attempt_timed_out"]),
            (at(-5), at(-4), vec!["deadline_passed"]),
            (at(-3), at(-3), vec!["deadline_passed"]),
            (None, at(-3), vec!["attempt_timed_out"]),
        ] {
            let row =
                Execution { deadline_at: deadline, attempt_timeout_at: timeout, ..row.clone() };

            let (done, _) = settled(&seen(row, attempt.clone())).unwrap();

            assert_eq!(causes(&done), expected);
            assert!(done.moves().iter().all(|row| row.at == NOW));
        }
    }

    #[test]
    fn what_becomes_due_by_a_step_is_settled_too() {
        let (row, attempt) = running(LEASE_END);
        let mut row = with_retries(row, 0);
        row.attempt_timeout_at = Some(NOW);
        let version = row.version;

        let (done, rows) = settled(&seen(row, attempt)).unwrap();

        assert_eq!(causes(&done), ["retry_scheduled", "delay_over"]);
        assert_eq!(done.stored().state, state::waiting(AttemptState::PendingRetryAttempt));
        assert_eq!(done.stored().version, version + 2);
        assert_eq!(rows.execution.as_ref(), Some(done.stored()));
    }

    #[test]
    fn the_sweep_itself_decides_nothing() {
        let due = Due { execution_id: execution().id };

        assert!(decide(&due, &seen_pair(running(NOW))).unwrap().is_unchanged());
        assert_eq!(due.footprint(), Footprint::execution(&execution().id));
    }

    #[test]
    fn what_has_ended_is_forgotten_when_its_retention_is_over_and_not_before() {
        let forget = Forget { execution_id: execution().id };
        let retention = Limits::default().retention;
        let over_at = |at: TimestampMs| TimestampMs(at.0 - i64::try_from(retention.0).unwrap());
        let decided = |row: Execution| decide(&forget, &seen(row, None)).unwrap();
        let (row, _) = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
        let ended_at = |at| Execution { ended_at: at, ..row.clone() };

        let kept = decided(ended_at(Some(over_at(now_plus(1)))));
        assert!(!kept.outcome);
        assert!(kept.is_unchanged());
        let gone = decided(ended_at(Some(over_at(NOW))));
        assert!(gone.outcome);
        assert_eq!(gone.changes, [Change::Forget { execution_id: execution().id }]);

        assert!(!decided(ended_at(None)).outcome);
        let ancient = Execution { created_at: over_at(NOW), ..ended_at(None) };
        assert!(decided(ancient).outcome);
    }

    #[test]
    fn what_is_alive_or_gone_is_left_alone() {
        let forget = Forget { execution_id: execution().id };
        let keep_nothing = Limits { retention: DurationMs(0), ..Limits::default() };
        let (waits, (runs, attempt)) = (execution(), running(LEASE_END));
        for seen in [Snapshot::default(), seen(waits, None), seen(runs, attempt)] {
            let done = forget.decide(&seen, &mut Context::new(NOW, 1, &keep_nothing));
            assert_eq!(refusal(done.map(|done| assert!(!done.outcome))), "accepted");
        }
    }
}
