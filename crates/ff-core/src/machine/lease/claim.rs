//! Claiming: the one way a worker comes to own an attempt.
//!
//! Every acquisition goes through [`acquire`]: a fresh attempt, the same attempt resumed, or a
//! reclaim of what a dead worker left. It raises the epoch, records the holder and announces it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::EngineError;
use crate::backend::HandleKind;
use crate::handle_codec::HandlePayload;
use crate::machine::policy::{self, later};
use crate::machine::rows::{Attempt, AttemptOutcome, Execution, GrantKind};
use crate::machine::terminal::{self, End};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{
    Change, Command, Context, Footprint, Snapshot, Transition, epoch, gate, state,
};
use crate::state::{AttemptState, AttemptType, TerminalOutcome};
use crate::types::{
    AttemptId, DurationMs, ExecutionId, LeaseId, TimestampMs, WorkerId, WorkerInstanceId,
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
}

/// What became of a candidate.
#[derive(Debug, Clone)]
pub enum ClaimDecision {
    /// The worker owns it.
    Claimed(Box<Claimed>),
    /// It has ended instead: its reclaims are used up.
    Ended,
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
        let footprint = Footprint::execution(&self.execution_id);
        if self.with_payload { footprint.with_payload() } else { footprint }
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
        let wanted = Wanted {
            worker_id: self.by.worker_id.clone(),
            worker_instance_id: self.by.worker_instance_id.clone(),
            ttl: self.by.ttl,
            lease_id: None,
            attempt_id: None,
            attempt_policy_json: None,
            attempt_timeout: None,
        };
        let acquired = acquire(execution, current, wanted, cx);
        Ok(acquired.map(|mut claimed| {
            claimed.payload.clone_from(&seen.payload);
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
}

/// Makes the worker the owner: of the interrupted attempt if there is one, of a new attempt
/// otherwise. The caller has checked that the execution may be taken.
pub(super) fn acquire(
    execution: &Execution,
    current: Option<&Attempt>,
    wanted: Wanted,
    cx: &mut Context<'_>,
) -> Transition<Claimed> {
    let reclaims = execution.is_reclaimable();
    let resumed = current
        .filter(|attempt| !reclaims && execution.is_interrupted() && terminal::is_open(attempt));
    let epoch = epoch::next(execution);
    let mut attempt = match resumed {
        Some(attempt) => Attempt { outcome: None, ..attempt.clone() },
        None => Attempt {
            execution_id: execution.id.clone(),
            index: execution.next_attempt_index(),
            attempt_id: Some(wanted.attempt_id.unwrap_or_else(|| cx.ids.attempt())),
            kind: kind_of_next_attempt(execution),
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
        (None, Some(_)) => execution.attempt_timeout_left,
        (None, None) => policy::attempt_timeout(execution),
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
    if reclaims {
        after.reclaim_count += 1;
    }

    let (handle_kind, event_kind, cause) = match (reclaims, resumed) {
        (true, _) => (HandleKind::Reclaimed, LeaseEventKind::Reclaimed, "reclaimed"),
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
    };
    let mut transition = Transition::unchanged(claimed);
    if let Some(lost) = current.filter(|_| reclaims) {
        transition = transition.put_attempt(interrupted_reclaimed(execution, lost, cx.now));
    }
    transition.put_attempt(attempt).announce(event).put(execution, after, cx.now, cause)
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

fn interrupted_reclaimed(execution: &Execution, lost: &Attempt, now: TimestampMs) -> Attempt {
    Attempt {
        outcome: Some(AttemptOutcome::InterruptedReclaimed),
        ended_at: Some(now),
        lease_expires_at: None,
        lease_expired_at: None,
        failure_reason: Some(execution.state.ownership_state.as_str().to_owned()),
        ..lost.clone()
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
