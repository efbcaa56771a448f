//! What happens to a suspension and to pending waitpoints by themselves.

use super::resume::{self, Resume};
use super::rows::{Signal, SignalEvent, Suspension, Waitpoint, WaitpointState};
use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::{SuspensionReasonCode, TimeoutBehavior};
use crate::machine::rows::{AttemptOutcome, Execution};
use crate::machine::terminal::{self, End};
use crate::machine::transition::Event;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::{BlockingReason, LifecyclePhase, TerminalOutcome};
use crate::types::{DurationMs, ExecutionId, SignalId, TimestampMs};

/// The name of the signal that a timeout records, and the key it stands under.
pub const TIMEOUT_SIGNAL: &str = "__timeout__";

/// When the open suspension times out.
pub(in crate::machine) fn timeout_at(
    execution: &Execution,
    seen: &Snapshot,
) -> Option<TimestampMs> {
    if execution.state.lifecycle_phase != LifecyclePhase::Suspended {
        return None;
    }
    seen.suspension.open_suspension()?.timeout_at
}

/// The suspension timed out: its behaviour decides what becomes of the execution.
pub(in crate::machine) fn time_out(
    execution: &Execution,
    seen: &Snapshot,
    cx: &mut Context<'_>,
) -> Transition<()> {
    let Some(suspension) = seen.suspension.open_suspension() else {
        return Transition::unchanged(());
    };
    let (outcome, attempt, word, reason) = match suspension.timeout_behavior {
        Some(TimeoutBehavior::AutoResumeWithTimeoutSignal) => {
            return auto_resume(execution, seen, suspension, cx);
        }
        Some(TimeoutBehavior::Escalate) => return escalate(execution, suspension, cx.now),
        Some(TimeoutBehavior::Fail) | None => {
            (TerminalOutcome::Failed, AttemptOutcome::Failed, "fail", "timed_out_fail")
        }
        Some(TimeoutBehavior::Cancel) => {
            (TerminalOutcome::Cancelled, AttemptOutcome::Cancelled, "cancel", "timed_out_cancel")
        }
        Some(TimeoutBehavior::Expire) => {
            (TerminalOutcome::Expired, AttemptOutcome::Expired, "expire", "timed_out_expire")
        }
    };
    let why = format!("suspension_timeout:{word}");
    let mut marked = execution.clone();
    if outcome == TerminalOutcome::Cancelled {
        marked.cancel_reason = Some(why.clone());
        marked.cancelled_by = Some("system_timeout_policy".to_owned());
    }
    let how =
        End { outcome, attempt, cause: "suspension_timed_out", reason: Some(why), category: None };
    let mut closed = Transition::unchanged(());
    closed.changes.extend(resume::close(suspension, reason, cx.now));
    terminal::end(&marked, seen.current.as_ref(), &how, cx.now).answer(()).after(closed)
}

/// The execution goes on, with a signal that says why.
fn auto_resume(
    execution: &Execution,
    seen: &Snapshot,
    suspension: &Suspension,
    cx: &mut Context<'_>,
) -> Transition<()> {
    let tally = seen.suspension.tally;
    let signal = Signal {
        execution_id: execution.id.clone(),
        seq: tally.count + 1,
        bytes_so_far: tally.bytes,
        signal_id: SignalId::from_uuid(cx.ids.uuid()),
        waitpoint_id: None,
        waitpoint_key: TIMEOUT_SIGNAL.to_owned(),
        suspension_id: Some(suspension.suspension_id.clone()),
        name: TIMEOUT_SIGNAL.to_owned(),
        category: "timeout".to_owned(),
        source_type: "engine".to_owned(),
        source_identity: "system_timeout_policy".to_owned(),
        correlation_id: String::new(),
        payload: None,
        payload_encoding: None,
        accepted_at: cx.now,
    };
    let event = Event::Signal(SignalEvent {
        execution_id: execution.id.clone(),
        signal_id: signal.signal_id.clone(),
        waitpoint_id: None,
        source_identity: Some(signal.source_identity.clone()),
        effect: "satisfied".to_owned(),
        at: cx.now,
        namespace: execution.namespace.clone(),
        instance_tag: execution.instance_tag().map(str::to_owned),
    });
    let recorded = Transition::unchanged(())
        .change(Change::Suspension(Write::AddSignal(Box::new(signal))))
        .announce(event);
    let how = Resume {
        cause: "suspension_timed_out",
        reason: "timed_out_auto_resume",
        delay: DurationMs(0),
    };
    resume::resume(execution, suspension, &how, cx.now).answer(()).after(recorded)
}

/// The execution stays suspended, for an operator to decide; its waitpoints stay open.
fn escalate(execution: &Execution, suspension: &Suspension, now: TimestampMs) -> Transition<()> {
    let escalated = Suspension {
        version: suspension.version + 1,
        reason_code: SuspensionReasonCode::WaitingForOperatorReview.as_wire_str().to_owned(),
        timeout_at: None,
        timeout_behavior: None,
        ..suspension.clone()
    };
    let mut after = execution.clone();
    after.state = state::suspended(BlockingReason::PausedByOperator);
    after.blocking_detail = Some(format!("the suspension timed out at {now}"));
    Transition::unchanged(())
        .change(Change::Suspension(Write::KeepWaitpointsOpen {
            execution_id: suspension.execution_id.clone(),
            suspension_id: suspension.suspension_id.clone(),
        }))
        .change(Change::Suspension(Write::PutSuspension(Box::new(escalated))))
        .put(execution, after, now, "suspension_escalated")
}

/// The earliest end of a pending waitpoint among those seen.
pub(in crate::machine) fn waitpoints_end_at(
    execution: &Execution,
    seen: &Snapshot,
) -> Option<TimestampMs> {
    pending(execution, seen).filter_map(|waitpoint| waitpoint.expires_at).min()
}

/// Closes every pending waitpoint among those seen whose end has come: no suspension adopted it.
pub(in crate::machine) fn expire_waitpoints(
    execution: &Execution,
    seen: &Snapshot,
    now: TimestampMs,
) -> Transition<()> {
    let mut transition = Transition::unchanged(());
    for waitpoint in pending(execution, seen) {
        if waitpoint.expires_at.is_some_and(|end| end <= now) {
            let closed = Box::new(waitpoint.clone().ended("never_committed", now));
            transition = transition.change(Change::Suspension(Write::CloseWaitpoint(closed)));
        }
    }
    transition
}

fn pending<'a>(
    execution: &'a Execution,
    seen: &'a Snapshot,
) -> impl Iterator<Item = &'a Waitpoint> {
    seen.suspension.waitpoints.iter().filter(move |waitpoint| {
        waitpoint.state == WaitpointState::Pending && waitpoint.execution_id == execution.id
    })
}

/// Closes the pending waitpoints of one execution whose end has come. Safe to repeat.
///
/// It decides nothing itself: whoever drives a command settles what is due in front of it.
#[derive(Debug, Clone)]
pub struct ExpireWaitpoints {
    /// The execution to look at.
    pub execution_id: ExecutionId,
}

impl Command for ExpireWaitpoints {
    const NAME: &'static str = "suspension.expire_waitpoints";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::execution(&self.execution_id);
        footprint.suspension = Wanted { open: true, ..Wanted::default() };
        footprint
    }

    fn decide(&self, _: &Snapshot, _: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        Ok(Transition::unchanged(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Limits;
    use crate::machine::execution::testing::{LEASE_END, NOW, now_plus, running, seen_pair};
    use crate::machine::suspension::Closed;
    use crate::machine::suspension::testing::{
        active, any_at, pending as pending_at, suspended, suspension,
    };
    use crate::machine::sweep;
    use crate::state::{AttemptState, PublicState};

    fn settled(seen: &Snapshot) -> Option<(Transition<()>, Snapshot)> {
        let limits = Limits::default();
        sweep::settle(seen, &mut Context::new(NOW, 1, &limits))
    }

    fn due(behavior: Option<TimeoutBehavior>, at: TimestampMs) -> Snapshot {
        let waits = Suspension {
            timeout_at: Some(at),
            timeout_behavior: behavior,
            ..suspension(any_at("k"))
        };
        suspended(waits, vec![Waitpoint { expires_at: Some(at), ..active("k") }])
    }

    #[test]
    fn a_suspension_times_out_at_its_instant_and_not_before() {
        assert!(settled(&due(Some(TimeoutBehavior::Fail), now_plus(1))).is_none());
        assert!(settled(&due(Some(TimeoutBehavior::Fail), NOW)).is_some());
        assert!(settled(&suspended(suspension(any_at("k")), vec![active("k")])).is_none());
    }

    #[test]
    fn a_timeout_ends_the_execution_as_its_behaviour_says() {
        use TimeoutBehavior::{Cancel, Expire, Fail};
        for (behavior, public, attempt, why) in [
            (Some(Fail), PublicState::Failed, AttemptOutcome::Failed, "fail"),
            (None, PublicState::Failed, AttemptOutcome::Failed, "fail"),
            (Some(Cancel), PublicState::Cancelled, AttemptOutcome::Cancelled, "cancel"),
            (Some(Expire), PublicState::Expired, AttemptOutcome::Expired, "expire"),
        ] {
            let (done, rows) = settled(&due(behavior, NOW)).unwrap();

            let row = done.stored();
            assert_eq!(row.public_state(), public);
            let reason = format!("suspension_timeout:{why}");
            assert_eq!(row.failure_reason.as_deref(), Some(reason.as_str()));
            assert_eq!(done.attempts()[0].outcome, Some(attempt));
            assert_eq!(done.completions().len(), 1);
            assert!(done.leases().is_empty());
            let closed = rows.suspension.suspension.as_ref().unwrap().closed.as_ref().unwrap();
            assert_eq!((closed.at, closed.reason.clone()), (NOW, format!("timed_out_{why}")));
            let waitpoint = rows.suspension.waitpoints[0].closed.as_ref().unwrap();
            assert_eq!(waitpoint.reason, format!("timed_out_{why}"));
            assert!(settled(&rows).is_none());
        }
    }

    #[test]
    fn a_timeout_may_let_it_go_on_with_a_signal_that_says_so() {
        let behavior = Some(TimeoutBehavior::AutoResumeWithTimeoutSignal);

        let (done, rows) = settled(&due(behavior, NOW)).unwrap();

        assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
        let Some(Write::AddSignal(signal)) = done.writes().first().copied() else {
            panic!("a signal first")
        };
        assert_eq!((signal.name.as_str(), signal.seq), ("__timeout__", 1));
        assert_eq!(signal.suspension_id, Some(suspension(any_at("k")).suspension_id));
        assert_eq!(done.signals()[0].signal_id, signal.signal_id);
        let closed = rows.suspension.suspension.unwrap().closed.unwrap();
        assert_eq!(closed.reason, "timed_out_auto_resume");
        assert!(done.completions().is_empty());
    }

    #[test]
    fn an_escalated_suspension_waits_for_an_operator_without_an_end() {
        let (done, rows) = settled(&due(Some(TimeoutBehavior::Escalate), NOW)).unwrap();

        let row = done.stored();
        assert_eq!(row.state, state::suspended(BlockingReason::PausedByOperator));
        let after = rows.suspension.suspension.as_ref().unwrap();
        assert_eq!(after.reason_code, "waiting_for_operator_review");
        assert_eq!((after.timeout_at, after.timeout_behavior, after.is_open()), (None, None, true));
        let waitpoint = &rows.suspension.waitpoints[0];
        assert_eq!((waitpoint.state, waitpoint.expires_at), (WaitpointState::Active, None));
        assert!(settled(&rows).is_none());
    }

    #[test]
    fn a_deadline_comes_before_a_timeout_at_the_same_instant() {
        let mut rows = due(Some(TimeoutBehavior::Escalate), NOW);
        rows.execution.as_mut().unwrap().deadline_at = Some(NOW);

        let (done, rows) = settled(&rows).unwrap();

        assert_eq!(done.stored().public_state(), PublicState::Expired);
        let closed = rows.suspension.suspension.unwrap().closed.unwrap();
        assert_eq!(closed.reason, "expired:execution_deadline");
        assert_eq!(rows.suspension.waitpoints[0].state, WaitpointState::Closed);
    }

    #[test]
    fn a_suspension_that_is_over_does_not_time_out() {
        let mut rows = due(Some(TimeoutBehavior::Fail), NOW);
        rows.suspension.suspension.as_mut().unwrap().closed =
            Some(Closed { at: NOW, reason: "resumed".to_owned() });
        assert!(settled(&rows).is_none());

        let mut rows = due(Some(TimeoutBehavior::Fail), NOW);
        rows.execution.as_mut().unwrap().state = state::waiting(AttemptState::AttemptInterrupted);
        assert!(settled(&rows).is_none());
    }

    #[test]
    fn a_pending_waitpoint_ends_at_its_instant_and_an_active_one_does_not() {
        let ends = |at| Waitpoint { expires_at: Some(at), ..pending_at("k") };
        let mut rows = seen_pair(running(LEASE_END));
        rows.suspension.waitpoints = vec![ends(now_plus(1))];
        assert!(settled(&rows).is_none());

        let adopted = Waitpoint { expires_at: Some(NOW), ..active("k") };
        rows.suspension.waitpoints = vec![ends(NOW), adopted];
        let (done, after) = settled(&rows).unwrap();
        let [Write::CloseWaitpoint(closed)] = done.writes()[..] else { panic!("one end") };
        assert_eq!(closed.closed.as_ref().unwrap().reason, "never_committed");
        assert!(settled(&after).is_none());
    }
}
