//! Claiming: the one way a worker comes to own an attempt.
//!
//! Every acquisition goes through `acquire`: a fresh attempt, the same attempt resumed, or a
//! reclaim of what a dead worker left. It raises the epoch, records the holder and announces it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::EngineError;
use crate::backend::HandleKind;
use crate::handle_codec::HandlePayload;
use crate::machine::budget::gate::{self as admission, Admitted};
use crate::machine::budget::{GateKey, LaneQuota, park};
use crate::machine::policy::{self, later};
use crate::machine::rows::{Attempt, AttemptOutcome, Execution, GrantKind};
use crate::machine::suspension::{Observing, Signal};
use crate::machine::terminal::{self, End};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{
    Change, Command, Context, Footprint, Snapshot, Transition, epoch, gate, state,
};
use crate::state::{AttemptState, AttemptType, TerminalOutcome};
use crate::types::{
    AttemptId, DurationMs, ExecutionId, LeaseId, QuotaPolicyId, TimestampMs, WorkerId,
    WorkerInstanceId,
};

/// Who claims, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct Claimer {
    pub worker_id: WorkerId,
    pub worker_instance_id: WorkerInstanceId,
    pub capabilities: Arc<BTreeSet<String>>,
    pub ttl: DurationMs,
}

/// Takes one candidate that the claim index proposed, if the rules still allow it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The candidate.
    pub execution_id: ExecutionId,
    /// The worker.
    pub by: Claimer,
    /// Whether the input payload is wanted with the claim.
    pub with_payload: bool,
    /// The quota that the lane of the line is bound to.
    pub lane_quota: Option<QuotaPolicyId>,
}

/// What became of a candidate.
#[derive(Debug, Clone)]
pub enum ClaimDecision {
    /// The worker owns it.
    Claimed(Box<Claimed>),
    /// It has ended instead: its reclaims are used up.
    Ended,
    /// It waits now behind a budget or a quota that is closed.
    Parked(GateKey),
    /// It is not for this worker, or not now.
    Skipped,
}

/// An attempt that a worker owns.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct Claimed {
    pub execution: Execution,
    pub attempt: Attempt,
    pub kind: HandleKind,
    pub ttl: DurationMs,
    /// Present when the claim asked for it.
    pub payload: Option<Vec<u8>>,
    /// What a resumed attempt waited for, when the claim asked for the payload.
    pub signals: Vec<Signal>,
}

impl Claimed {
    /// The fields of the handle that proves this ownership.
    pub fn handle_payload(&self) -> HandlePayload {
        HandlePayload::new(
            self.execution.id.clone(),
            self.attempt.index,
            self.attempt
                .attempt_id
                .clone()
                .unwrap_or_else(|| AttemptId::from_uuid(uuid::Uuid::nil())),
            self.attempt.lease_id.clone().unwrap_or_else(|| LeaseId::from_uuid(uuid::Uuid::nil())),
            self.attempt.epoch,
            self.ttl.0,
            self.execution.lane.clone(),
            self.attempt.worker_instance_id.clone().unwrap_or_else(|| WorkerInstanceId::new("")),
        )
    }
}

impl Command for Claim {
    const NAME: &'static str = "lease.claim";
    type Outcome = ClaimDecision;

    fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::execution(&self.execution_id);
        footprint.budget.gates = Some(LaneQuota::Known(self.lane_quota.clone()));
        if self.with_payload {
            footprint = footprint.with_payload();
            footprint.suspension.observed = Observing::IfInterrupted;
        }
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ClaimDecision>, EngineError> {
        let Some(execution) = seen.execution.as_ref() else {
            return Ok(Transition::unchanged(ClaimDecision::Skipped));
        };
        if !execution.is_claimable() || !gate::opens(&execution.gate_key, &self.by.capabilities) {
            return Ok(Transition::unchanged(ClaimDecision::Skipped));
        }
        let current = seen.current.as_ref();
        if execution.is_reclaimable()
            && execution.reclaim_count >= policy::reclaim_cap(execution, None)
        {
            return Ok(reclaims_exhausted(execution, current, cx.now).answer(ClaimDecision::Ended));
        }
        let admitted = match admission::admit(seen, cx.now) {
            Ok(admitted) => admitted,
            Err(closed) => {
                if closed.why == admission::Why::Unreadable {
                    tracing::error!(detail = %closed.detail, "nothing passes a gate that cannot be read");
                }
                let parked = park::park(execution, current, &closed, cx.now);
                return Ok(parked.answer(ClaimDecision::Parked(closed.gate)));
            }
        };
        let wanted = Wanted {
            worker_id: self.by.worker_id.clone(),
            worker_instance_id: self.by.worker_instance_id.clone(),
            ttl: self.by.ttl,
            lease_id: None,
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: None,
            keeps_attempt: false,
        };
        let acquired = acquire(execution, current, wanted, &admitted, cx);
        Ok(acquired.map(|mut claimed| {
            claimed.payload.clone_from(&seen.payload);
            if claimed.kind == HandleKind::Resumed {
                claimed.signals.clone_from(&seen.suspension.observed);
            }
            ClaimDecision::Claimed(Box::new(claimed))
        }))
    }
}

/// What an acquisition is to record.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) worker_id: WorkerId,
    pub(super) worker_instance_id: WorkerInstanceId,
    pub(super) ttl: DurationMs,
    /// The caller's lease id; drawn when absent.
    pub(super) lease_id: Option<LeaseId>,
    /// The caller's id for a new attempt; drawn when absent. A resumed attempt keeps its own.
    pub(super) attempt_id: Option<AttemptId>,
    pub(super) attempt_policy_json: Option<String>,
    /// Overrides the policy's attempt timeout.
    pub(super) attempt_timeout: Option<DurationMs>,
    /// Whether an attempt whose lease was lost goes on instead of giving way to a new one.
    pub(super) keeps_attempt: bool,
}

/// Makes the worker the owner: of the interrupted attempt if there is one, of a new attempt
/// otherwise. The caller has checked that the execution may be taken.
pub(super) fn acquire(
    execution: &Execution,
    current: Option<&Attempt>,
    wanted: Wanted,
    admitted: &Admitted,
    cx: &mut Context<'_>,
) -> Transition<Claimed> {
    let reclaims = execution.is_reclaimable();
    // It lost its lease, and its reclaim was counted, before it waited behind a gate.
    let has_no_attempt = execution.state.attempt_state == AttemptState::PendingRetryAttempt;
    let was_reclaimed = has_no_attempt && is_lost(current);
    let resumed = current.filter(|attempt| {
        (!reclaims || wanted.keeps_attempt)
            && execution.is_interrupted()
            && terminal::is_open(attempt)
    });
    let epoch = epoch::next(execution);
    let mut attempt = match resumed {
        Some(attempt) => Attempt { outcome: None, ..attempt.clone() },
        None => Attempt {
            execution_id: execution.id.clone(),
            index: execution.next_attempt_index(),
            attempt_id: Some(wanted.attempt_id.unwrap_or_else(|| cx.ids.attempt())),
            kind: if was_reclaimed {
                AttemptType::Reclaim
            } else {
                kind_of_next_attempt(execution)
            },
            epoch,
            worker_id: None,
            worker_instance_id: None,
            lease_id: None,
            lease_expires_at: None,
            lease_expired_at: None,
            started_at: None,
            ended_at: None,
            outcome: None,
            failure_reason: None,
            failure_category: None,
            retry_at: None,
            policy_json: None,
        },
    };
    attempt.epoch = epoch;
    attempt.worker_id = Some(wanted.worker_id);
    attempt.worker_instance_id = Some(wanted.worker_instance_id);
    attempt.lease_id = Some(wanted.lease_id.unwrap_or_else(|| cx.ids.lease()));
    attempt.lease_expires_at = Some(later(cx.now, wanted.ttl));
    attempt.lease_expired_at = None;
    attempt.started_at = Some(cx.now);
    attempt.policy_json = wanted.attempt_policy_json.or(attempt.policy_json);

    let timeout = match (wanted.attempt_timeout, resumed) {
        (Some(given), _) => Some(given),
        (None, Some(_)) if !reclaims => execution.attempt_timeout_left,
        (None, _) => policy::attempt_timeout(execution),
    };
    let mut after = execution.clone();
    after.state = state::running();
    after.blocking_detail = None;
    after.attempt_index = attempt.index;
    after.attempt_count = after.attempt_count.max(attempt.index.0 + 1);
    after.epoch = epoch;
    after.started_at = after.started_at.or(Some(cx.now));
    after.eligible_at = None;
    after.attempt_timeout_at = timeout.map(|timeout| later(cx.now, timeout));
    after.attempt_timeout_left = None;
    after.takes_slots = admitted.takes_slots();
    if reclaims {
        after.reclaim_count += 1;
    }

    let (handle_kind, event_kind, cause) = match (reclaims || was_reclaimed, resumed) {
        (true, Some(_)) => (HandleKind::Resumed, LeaseEventKind::Reclaimed, "resume_granted"),
        (true, None) => (HandleKind::Reclaimed, LeaseEventKind::Reclaimed, "reclaimed"),
        (false, Some(_)) => (HandleKind::Resumed, LeaseEventKind::Acquired, "resumed"),
        (false, None) => (HandleKind::Fresh, LeaseEventKind::Acquired, "claimed"),
    };
    let event = LeaseEvent::of(event_kind, &after, &attempt, cause, cx.now);
    let claimed = Claimed {
        execution: after.clone(),
        attempt: attempt.clone(),
        kind: handle_kind,
        ttl: wanted.ttl,
        payload: None,
        signals: Vec::new(),
    };
    let mut transition = Transition::unchanged(claimed);
    if let Some(lost) = current.filter(|_| reclaims && resumed.is_none()) {
        transition = transition.put_attempt(terminal::end_lost_attempt(execution, lost, cx.now));
    }
    let mut acquired =
        transition.put_attempt(attempt).announce(event).put(execution, after, cx.now, cause);
    acquired.changes.extend(admitted.changes(execution, epoch, cx.now));
    acquired
}

/// Whether an attempt ended because its lease was lost.
fn is_lost(attempt: Option<&Attempt>) -> bool {
    attempt.is_some_and(|attempt| attempt.outcome == Some(AttemptOutcome::InterruptedReclaimed))
}

fn kind_of_next_attempt(execution: &Execution) -> AttemptType {
    if execution.is_reclaimable() {
        return AttemptType::Reclaim;
    }
    match execution.state.attempt_state {
        AttemptState::PendingRetryAttempt => AttemptType::Retry,
        AttemptState::PendingReplayAttempt => AttemptType::Replay,
        AttemptState::None
        | AttemptState::PendingFirstAttempt
        | AttemptState::RunningAttempt
        | AttemptState::AttemptInterrupted
        | AttemptState::AttemptTerminal => AttemptType::Initial,
    }
}

/// The end of an execution whose workers keep dying.
pub(super) fn reclaims_exhausted(
    execution: &Execution,
    current: Option<&Attempt>,
    now: TimestampMs,
) -> Transition<Execution> {
    let how = End {
        outcome: TerminalOutcome::Failed,
        attempt: AttemptOutcome::InterruptedReclaimed,
        cause: "max_reclaims_exceeded",
        reason: Some("max_reclaims_exceeded".to_owned()),
        category: None,
    };
    let mut ended = terminal::end(execution, current, &how, now);
    ended
        .changes
        .push(Change::DropGrants { execution_id: execution.id.clone(), kind: GrantKind::Reclaim });
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, claimer, decide, ended, execution, handle_of, interrupted, lapsed,
        now_plus, revoked, running, seen, seen_pair,
    };
    use crate::policy::{ExecutionPolicy, TimeoutPolicy};
    use crate::state::{BlockingReason, LifecyclePhase, PublicState};
    use crate::types::{AttemptIndex, LeaseEpoch};

    fn claim(capabilities: &[&str]) -> Claim {
        Claim {
            execution_id: execution().id,
            by: claimer(capabilities),
            with_payload: false,
            lane_quota: None,
        }
    }

    fn decided(seen: &Snapshot) -> Transition<ClaimDecision> {
        decide(&claim(&[]), seen).unwrap()
    }

    fn claimed(done: &Transition<ClaimDecision>) -> &Claimed {
        match &done.outcome {
            ClaimDecision::Claimed(claimed) => claimed,
            other => panic!("expected a claim, got {other:?}"),
        }
    }

    fn with_timeout(mut row: Execution, attempt_timeout_ms: u64, reclaims: u32) -> Execution {
        row.policy = Some(ExecutionPolicy {
            timeout_policy: Some(TimeoutPolicy {
                attempt_timeout_ms: Some(attempt_timeout_ms),
                execution_deadline_ms: None,
                max_reclaim_count: reclaims,
            }),
            ..ExecutionPolicy::default()
        });
        row
    }

    #[test]
    fn a_first_claim_starts_attempt_zero_under_epoch_one() {
        let done = decided(&seen(execution(), None));

        let claimed = claimed(&done);
        assert_eq!((claimed.kind, claimed.ttl), (HandleKind::Fresh, DurationMs(30_000)));
        let row = done.stored();
        assert_eq!(row.state, state::running());
        assert_eq!((row.epoch, row.attempt_index), (LeaseEpoch(1), AttemptIndex(0)));
        assert_eq!((row.attempt_count, row.reclaim_count), (1, 0));
        assert_eq!(row.started_at, Some(NOW));
        let [attempt] = done.attempts()[..] else { panic!("one attempt") };
        assert_eq!(attempt, &claimed.attempt);
        assert_eq!((attempt.kind, attempt.epoch), (AttemptType::Initial, LeaseEpoch(1)));
        assert_eq!(attempt.worker_id, Some(WorkerId::new("successor")));
        assert_eq!(attempt.worker_instance_id, Some(WorkerInstanceId::new("successor-1")));
        assert_eq!(attempt.lease_expires_at, Some(now_plus(30_000)));
        assert_eq!((attempt.started_at, attempt.outcome), (Some(NOW), None));
        let [acquired] = done.leases()[..] else { panic!("one lease event") };
        assert_eq!(acquired.kind, LeaseEventKind::Acquired);
        assert_eq!((acquired.cause.as_str(), acquired.epoch), ("claimed", LeaseEpoch(1)));
        assert_eq!(done.moves()[0].cause, "claimed");
        assert_eq!(done.moves()[0].epoch, LeaseEpoch(1));
    }

    #[test]
    fn the_claimed_attempt_is_owned_by_its_handle() {
        let seen = seen(execution(), None);
        let done = decided(&seen);
        let claimed = claimed(&done);
        let mut after = seen;
        after.apply(&done.changes);

        let payload = claimed.handle_payload();

        assert!(crate::machine::Fence::of_handle(&payload).check(&after, NOW).is_ok());
        assert_eq!(payload.lease_ttl_ms, 30_000);
        assert_eq!(payload.lane_id, execution().lane);
        assert_eq!(payload.worker_instance_id, WorkerInstanceId::new("successor-1"));
    }

    #[test]
    fn a_handle_of_a_row_without_ids_still_owns_it() {
        let (row, attempt) = running(LEASE_END);
        let bare =
            Attempt { attempt_id: None, lease_id: None, worker_instance_id: None, ..attempt };
        let claimed = Claimed {
            execution: row.clone(),
            attempt: bare.clone(),
            kind: HandleKind::Fresh,
            ttl: DurationMs(1),
            payload: None,
            signals: Vec::new(),
        };

        let fence = crate::machine::Fence::of_handle(&claimed.handle_payload());

        assert!(fence.check(&seen(row, bare), NOW).is_ok());
    }

    #[test]
    fn each_pending_attempt_has_its_kind_and_the_next_index() {
        for (pending, kind) in [
            (AttemptState::PendingRetryAttempt, AttemptType::Retry),
            (AttemptState::PendingReplayAttempt, AttemptType::Replay),
            (AttemptState::PendingFirstAttempt, AttemptType::Initial),
            (AttemptState::None, AttemptType::Initial),
        ] {
            let (mut row, attempt) = ended(TerminalOutcome::Failed, AttemptOutcome::Retry);
            row.state = state::waiting(pending);
            row.attempt_count = 4;
            row.epoch = LeaseEpoch(6);

            let done = decided(&seen(row, attempt));

            let [attempt] = done.attempts()[..] else { panic!("one attempt") };
            assert_eq!((attempt.kind, attempt.index), (kind, AttemptIndex(4)));
            assert_eq!(attempt.epoch, LeaseEpoch(7));
            assert_eq!(
                (done.stored().attempt_index, done.stored().attempt_count),
                (AttemptIndex(4), 5)
            );
            assert_eq!(done.stored().started_at, row_started());
            assert_eq!(claimed(&done).kind, HandleKind::Fresh);
        }
    }

    fn row_started() -> Option<TimestampMs> {
        running(LEASE_END).0.started_at
    }

    #[test]
    fn an_interrupted_attempt_goes_on_under_the_next_epoch() {
        let (mut row, mut attempt) = interrupted();
        row.attempt_timeout_left = Some(DurationMs(70));
        let row = with_timeout(row, 500, 100);
        attempt.policy_json = Some("{}".to_owned());

        let done = decided(&seen(row, attempt.clone()));

        assert_eq!(claimed(&done).kind, HandleKind::Resumed);
        let after = done.stored();
        assert_eq!((after.attempt_index, after.attempt_count), (AttemptIndex(0), 1));
        assert_eq!((after.epoch, after.reclaim_count), (LeaseEpoch(2), 0));
        assert_eq!(after.attempt_timeout_at, Some(now_plus(70)));
        assert_eq!(after.attempt_timeout_left, None);
        let [resumed] = done.attempts()[..] else { panic!("one attempt") };
        assert_eq!((resumed.index, &resumed.attempt_id), (attempt.index, &attempt.attempt_id));
        assert_eq!((resumed.kind, resumed.outcome), (AttemptType::Initial, None));
        assert_ne!(resumed.lease_id, attempt.lease_id);
        assert_eq!(resumed.policy_json, attempt.policy_json);
        assert_eq!(done.leases()[0].cause, "resumed");
        assert!(!handle_of(&attempt).held(resumed));
    }

    #[test]
    fn an_interrupted_execution_whose_attempt_is_closed_or_absent_starts_another() {
        let (row, attempt) = interrupted();
        let closed = Attempt { outcome: Some(AttemptOutcome::Failed), ..attempt };
        for seen in [seen(row.clone(), None), seen(row, closed)] {
            let done = decided(&seen);

            assert_eq!(done.attempts()[0].index, AttemptIndex(1));
            assert_eq!(claimed(&done).kind, HandleKind::Fresh);
        }
    }

    #[test]
    fn a_lapsed_or_revoked_lease_is_reclaimed_with_a_new_attempt() {
        for (pair, ownership) in
            [(lapsed(), "lease_expired_reclaimable"), (revoked(), "lease_revoked")]
        {
            let lost_id = pair.1.attempt_id.clone();
            let mut seen = seen_pair(pair);
            seen.execution.as_mut().unwrap().blocking_detail = Some("detail".to_owned());

            let done = decided(&seen);

            assert_eq!(claimed(&done).kind, HandleKind::Reclaimed);
            let after = done.stored();
            assert_eq!((after.epoch, after.reclaim_count), (LeaseEpoch(2), 1));
            assert_eq!((after.attempt_index, after.attempt_count), (AttemptIndex(1), 2));
            assert_eq!(after.blocking_detail, None);
            let [lost, new] = done.attempts()[..] else { panic!("two attempts") };
            assert_eq!(lost.outcome, Some(AttemptOutcome::InterruptedReclaimed));
            assert_eq!((lost.epoch, lost.ended_at), (LeaseEpoch(1), Some(NOW)));
            assert_eq!((lost.lease_expires_at, lost.lease_expired_at), (None, None));
            assert_eq!(lost.failure_reason.as_deref(), Some(ownership));
            assert_eq!((new.kind, new.epoch), (AttemptType::Reclaim, LeaseEpoch(2)));
            assert_ne!(new.attempt_id, lost_id);
            let [event] = done.leases()[..] else { panic!("one lease event") };
            assert_eq!((event.kind, event.attempt_index), (LeaseEventKind::Reclaimed, new.index));
            assert_eq!(done.moves()[0].from, Some(PublicState::Active));
            assert_eq!(done.moves()[0].cause, "reclaimed");
        }
    }

    #[test]
    fn reclaims_have_a_cap_and_at_the_cap_the_execution_fails() {
        let (mut row, attempt) = lapsed();
        row = with_timeout(row, 500, 2);
        row.reclaim_count = 1;
        let done = decided(&seen(row.clone(), attempt.clone()));
        assert_eq!(claimed(&done).execution.reclaim_count, 2);

        row.reclaim_count = 2;
        let done = decided(&seen(row, attempt));

        assert!(matches!(done.outcome, ClaimDecision::Ended));
        let row = done.stored();
        assert_eq!(row.public_state(), PublicState::Failed);
        assert_eq!(row.failure_reason.as_deref(), Some("max_reclaims_exceeded"));
        assert_eq!(row.epoch, LeaseEpoch(1));
        let [lost] = done.attempts()[..] else { panic!("one attempt") };
        assert_eq!(lost.outcome, Some(AttemptOutcome::InterruptedReclaimed));
        assert_eq!(done.completions().len(), 1);
        assert!(done.leases().is_empty());
        let execution_id = execution().id;
        let kind = GrantKind::Reclaim;
        assert!(done.changes.contains(&Change::DropGrants { execution_id, kind }));
    }

    #[test]
    fn used_up_reclaims_do_not_keep_what_waits_from_being_claimed() {
        let (row, attempt) = interrupted();
        let row = Execution { reclaim_count: 100, ..with_timeout(row, 500, 1) };

        assert!(matches!(decided(&seen(row, attempt)).outcome, ClaimDecision::Claimed(_)));
    }

    #[test]
    fn each_new_attempt_gets_the_policys_time() {
        let done = decided(&seen(with_timeout(execution(), 500, 100), None));
        assert_eq!(done.stored().attempt_timeout_at, Some(now_plus(500)));

        let (row, attempt) = lapsed();
        let done = decided(&seen(with_timeout(row, 500, 100), attempt));
        assert_eq!(done.stored().attempt_timeout_at, Some(now_plus(500)));
    }

    #[test]
    fn what_cannot_be_claimed_is_skipped() {
        let mut delayed = execution();
        delayed.state =
            state::delayed(BlockingReason::WaitingForDelay, AttemptState::PendingFirstAttempt);
        let mut suspended = interrupted().0;
        suspended.state.lifecycle_phase = LifecyclePhase::Suspended;
        for seen in [
            Snapshot::default(),
            seen(delayed, None),
            seen(suspended, interrupted().1),
            seen_pair(running(LEASE_END)),
            seen_pair(ended(TerminalOutcome::Failed, AttemptOutcome::Failed)),
        ] {
            let done = decided(&seen);
            assert!(matches!(done.outcome, ClaimDecision::Skipped));
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn a_worker_takes_only_what_its_capabilities_open() {
        let gated = seen(Execution { gate_key: "arm,gpu".to_owned(), ..execution() }, None);

        for lacking in [&[][..], &["gpu"], &["ARM", "gpu"]] {
            let done = decide(&claim(lacking), &gated).unwrap();
            assert!(matches!(done.outcome, ClaimDecision::Skipped));
        }
        let done = decide(&claim(&["arm", "big", "gpu"]), &gated).unwrap();
        assert!(matches!(done.outcome, ClaimDecision::Claimed(_)));
    }

    #[test]
    fn the_payload_comes_with_the_claim_that_wants_it() {
        let wanting = Claim { with_payload: true, ..claim(&[]) };
        assert!(wanting.footprint().payload);
        assert!(!claim(&[]).footprint().payload);
        let seen = Snapshot { payload: Some(vec![7]), ..seen(execution(), None) };

        let done = decide(&wanting, &seen).unwrap();

        assert_eq!(claimed(&done).payload, Some(vec![7]));
    }

    #[test]
    fn rows_that_outside_tools_submitted_are_claimed() {
        let mut row = execution();
        row.state.lifecycle_phase = LifecyclePhase::Submitted;

        assert!(matches!(decided(&seen(row, None)).outcome, ClaimDecision::Claimed(_)));
    }
}
