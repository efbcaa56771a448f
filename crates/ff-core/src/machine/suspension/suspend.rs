//! Suspending: the worker parks its attempt under a condition.
//!
//! The arguments are checked in the order of contract B.7's table, then a repeat is recognised,
//! then the lease. Signals that came early to the adopted waitpoint are counted like any others:
//! if the condition holds already, the attempt keeps its lease and goes on.

use std::collections::BTreeSet;

use super::condition;
use super::create_waitpoint::{check_key, room_for};
use super::rows::{
    Closed, Observed, Secret, SigningKey, SuspendDedup, Suspension, Waitpoint, WaitpointState,
};
use super::{Wanted, Write, is_of_attempt, key, token};
use crate::EngineError;
use crate::contracts::{
    AdditionalWaitpointBinding, ResumeCondition, ResumePolicy, SuspendArgs, SuspendOutcomeDetails,
    SuspensionReasonCode, TimeoutBehavior, WaitpointBinding,
};
use crate::engine_error::{ConflictKind, ContentionKind, StateKind, ValidationKind};
use crate::handle_codec::HandlePayload;
use crate::machine::limits::{
    DELAY_MAX_MS, IDENTIFIER_MAX_BYTES, SUSPEND_CLOCK_SKEW_MS, SUSPEND_DEDUP_GRACE_MS,
    SUSPEND_DEDUP_MAX_MS, WAITPOINTS_PER_SUSPENSION_MAX,
};
use crate::machine::policy::{self, later, until};
use crate::machine::rows::{Attempt, AttemptOutcome, Execution};
use crate::machine::transition::{LeaseEvent, LeaseEventKind};
use crate::machine::{
    Change, Command, Context, Fence, Footprint, Snapshot, Transition, Urgency, state,
};
use crate::state::BlockingReason;
use crate::types::{
    AttemptId, DurationMs, ExecutionId, LeaseId, TimestampMs, WaitpointId, WorkerInstanceId,
};

/// The cause of the move and of the release.
const CAUSE: &str = "suspended";

/// Parks the attempt until its resume condition holds, and gives the lease back.
///
/// Safe to repeat with the same idempotency key: the lease that asked is told again what it was
/// told, with the same ids and tokens, before any other check. A later lease of the same run that
/// asks with the key of a suspension that has ended is told that it is satisfied already, and sees
/// its signals. Without a key a repeat is refused: the execution is no longer active.
#[derive(Debug, Clone)]
pub struct Suspend {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// The call, as the contract shapes it.
    pub args: SuspendArgs,
    /// Becomes the signing key where there is none.
    pub fresh_secret: Secret,
}

/// What became of a suspend.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub enum Suspended {
    /// The lease is gone; `holder` names the parked attempt.
    Suspended { details: SuspendOutcomeDetails, holder: HandlePayload },
    /// The attempt keeps its lease.
    AlreadySatisfied { details: SuspendOutcomeDetails },
}

impl Suspend {
    fn dedup_key(&self) -> Option<&str> {
        let key = self.args.idempotency_key.as_ref()?;
        Some(key.as_str()).filter(|key| !key.is_empty())
    }

    fn adopted(&self) -> Option<&WaitpointId> {
        match self.args.waitpoints.first()? {
            WaitpointBinding::UsePending { waitpoint_id } => Some(waitpoint_id),
            WaitpointBinding::Fresh { .. } => None,
        }
    }

    /// The table of contract B.7, in its order. The key of an adopted waitpoint is known once it
    /// is seen; one that does not exist is refused later.
    fn validate(
        &self,
        seen: &Snapshot,
        deadline: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Result<(), EngineError> {
        let bindings = &self.args.waitpoints;
        let condition = &self.args.resume_condition;
        let Some(primary) = bindings.first() else { return Err(invalid("waitpoints_empty")) };
        if let (
            WaitpointBinding::Fresh { waitpoint_key, .. },
            ResumeCondition::Single { waitpoint_key: wanted, .. },
        ) = (primary, condition)
            && waitpoint_key != wanted
        {
            return Err(invalid("waitpoint_key_mismatch"));
        }
        for (number, extra) in bindings.iter().enumerate().skip(1) {
            match extra {
                WaitpointBinding::Fresh { waitpoint_key, .. } if waitpoint_key.is_empty() => {
                    return Err(invalid(format!(
                        "additional_waitpoint_binding_empty_key at waitpoints[{number}]"
                    )));
                }
                WaitpointBinding::Fresh { .. } => {}
                WaitpointBinding::UsePending { .. } => {
                    return Err(invalid(format!(
                        "additional_waitpoint_binding_must_be_fresh at waitpoints[{number}]"
                    )));
                }
            }
        }
        self.check_keys(seen)?;
        if *condition == ResumeCondition::TimeoutOnly && deadline.is_none() {
            return Err(invalid("timeout_only_without_deadline"));
        }
        condition::check_name(condition)?;
        if deadline.is_some_and(|at| later(at, DurationMs(SUSPEND_CLOCK_SKEW_MS)) < now) {
            return Err(invalid("timeout_at_in_past"));
        }
        condition::check_structure(condition)?;
        self.check_bounds(deadline, now)
    }

    /// Every key of the condition has a waitpoint, and every waitpoint is in the condition.
    fn check_keys(&self, seen: &Snapshot) -> Result<(), EngineError> {
        let bound: Option<Vec<&str>> = self
            .args
            .waitpoints
            .iter()
            .map(|binding| match binding {
                WaitpointBinding::Fresh { waitpoint_key, .. } => Some(waitpoint_key.as_str()),
                WaitpointBinding::UsePending { waitpoint_id } => {
                    let known = seen.suspension.waitpoint(waitpoint_id);
                    known.map(|waitpoint| waitpoint.key.as_str())
                }
            })
            .collect();
        let Some(bound) = bound else { return Ok(()) };
        let referenced = self.args.resume_condition.referenced_waitpoint_keys();
        if let Some(missing) = referenced.iter().find(|key| !bound.contains(&key.as_str())) {
            return Err(invalid(format!("referenced_waitpoint_key_missing_binding: {missing}")));
        }
        // A suspension has a waitpoint even where no signal is asked for.
        if referenced.is_empty() && bound.len() == 1 {
            return Ok(());
        }
        match bound.iter().find(|key| !referenced.iter().any(|known| known == *key)) {
            None => Ok(()),
            Some(extra) => {
                Err(invalid(format!("extra_binding_not_referenced_by_condition: {extra}")))
            }
        }
    }

    fn check_bounds(
        &self,
        deadline: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Result<(), EngineError> {
        let args = &self.args;
        if args.waitpoints.len() > WAITPOINTS_PER_SUSPENSION_MAX {
            return Err(invalid(format!(
                "{} waitpoints; a suspension has at most {WAITPOINTS_PER_SUSPENSION_MAX}",
                args.waitpoints.len()
            )));
        }
        let mut ids = BTreeSet::new();
        for binding in &args.waitpoints {
            let id = match binding {
                WaitpointBinding::Fresh { waitpoint_id, waitpoint_key } => {
                    check_key(waitpoint_key)?;
                    waitpoint_id
                }
                WaitpointBinding::UsePending { waitpoint_id } => waitpoint_id,
            };
            if !ids.insert(id.as_bytes()) {
                return Err(invalid(format!("duplicate_waitpoint_id: {id}")));
            }
        }
        if deadline.is_some_and(|at| until(now, at).0 > DELAY_MAX_MS) {
            return Err(invalid("timeout_at is more than ten years ahead"));
        }
        for (field, text) in [
            ("idempotency_key", self.dedup_key()),
            ("continuation_metadata_pointer", args.continuation_metadata_pointer.as_deref()),
        ] {
            if let Some(text) = text.filter(|text| text.len() > IDENTIFIER_MAX_BYTES) {
                let length = text.len();
                return Err(invalid(format!(
                    "{field} is {length} bytes; at most {IDENTIFIER_MAX_BYTES}"
                )));
            }
        }
        check_policy(&args.resume_policy)
    }

    /// The timeout asked for, or the policy's.
    fn timeout(
        &self,
        execution: Option<&Execution>,
        now: TimestampMs,
    ) -> (Option<TimestampMs>, TimeoutBehavior) {
        match (self.args.timeout_at, execution.and_then(policy::default_suspension_timeout)) {
            (Some(at), _) => (Some(at), self.args.timeout_behavior),
            (None, Some((after, behavior))) => (Some(later(now, after)), behavior),
            (None, None) => (None, self.args.timeout_behavior),
        }
    }

    /// The waitpoints of the suspension, the primary one first.
    fn waitpoints(
        &self,
        seen: &Snapshot,
        attempt: &Attempt,
        signing: &SigningKey,
        deadline: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Result<Vec<Waitpoint>, EngineError> {
        let condition = &self.args.resume_condition;
        self.args
            .waitpoints
            .iter()
            .map(|binding| {
                let waitpoint = match binding {
                    WaitpointBinding::UsePending { waitpoint_id } => {
                        self.pending(seen, attempt, waitpoint_id)?
                    }
                    WaitpointBinding::Fresh { waitpoint_id, waitpoint_key } => {
                        if seen.suspension.waitpoint(waitpoint_id).is_some() {
                            return Err(EngineError::Conflict(
                                ConflictKind::WaitpointAlreadyExists,
                            ));
                        }
                        let id = &self.execution_id;
                        Waitpoint {
                            id: waitpoint_id.clone(),
                            execution_id: id.clone(),
                            attempt_index: None,
                            suspension_id: None,
                            key: waitpoint_key.clone(),
                            kid: signing.kid.clone(),
                            token: token::mint(signing, id, waitpoint_id, waitpoint_key, now),
                            created_at: now,
                            activated_at: None,
                            expires_at: None,
                            required_signal_names: Vec::new(),
                            state: WaitpointState::Pending,
                            closed: None,
                        }
                    }
                };
                Ok(Waitpoint {
                    attempt_index: Some(attempt.index),
                    suspension_id: Some(self.args.suspension_id.clone()),
                    required_signal_names: condition::required_signal_names(
                        condition,
                        &waitpoint.key,
                    ),
                    activated_at: Some(now),
                    expires_at: deadline,
                    state: WaitpointState::Active,
                    ..waitpoint
                })
            })
            .collect()
    }

    /// The pending waitpoint to adopt, if this attempt may.
    fn pending(
        &self,
        seen: &Snapshot,
        attempt: &Attempt,
        id: &WaitpointId,
    ) -> Result<Waitpoint, EngineError> {
        let waitpoint = seen
            .suspension
            .waitpoint(id)
            .ok_or(EngineError::Contention(ContentionKind::WaitpointNotFound))?;
        if let Some(closed) = &waitpoint.closed
            && closed.reason == "never_committed"
        {
            return Err(EngineError::State(StateKind::PendingWaitpointExpired));
        }
        if waitpoint.state != WaitpointState::Pending {
            return Err(EngineError::State(StateKind::WaitpointNotPending));
        }
        if waitpoint.execution_id != self.execution_id
            || !is_of_attempt(waitpoint.attempt_index, attempt.index)
        {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidWaitpointForExecution,
                detail: format!("waitpoint {id} was made by another execution or attempt"),
            });
        }
        if waitpoint.token.as_str().is_empty() {
            return Err(EngineError::Validation {
                kind: ValidationKind::WaitpointNotTokenBound,
                detail: format!("waitpoint {id} has no token"),
            });
        }
        Ok(waitpoint.clone())
    }

    /// The suspension with the early signals counted, and whether its condition holds by them.
    fn suspension(
        &self,
        seen: &Snapshot,
        attempt: &Attempt,
        (timeout_at, behavior): (Option<TimestampMs>, TimeoutBehavior),
        now: TimestampMs,
    ) -> (Suspension, Vec<condition::Counted>, bool) {
        let args = &self.args;
        let condition = &args.resume_condition;
        let mut progress = condition::untouched(condition);
        let mut counted = Vec::new();
        for signal in &seen.suspension.buffered {
            condition::count(condition, &mut progress, &mut counted, signal);
        }
        let holds = condition::holds(condition, &progress);
        let suspension = Suspension {
            execution_id: self.execution_id.clone(),
            suspension_id: args.suspension_id.clone(),
            version: 1,
            attempt_index: Some(attempt.index),
            suspended_at: now,
            timeout_at: timeout_at.filter(|_| !holds),
            timeout_behavior: Some(behavior),
            reason_code: args.reason_code.as_wire_str().to_owned(),
            requested_by: args.requested_by,
            condition: Some(condition.clone()),
            progress,
            resume_delay: args.resume_policy.resume_delay_ms.map(DurationMs),
            continuation: args.continuation_metadata_pointer.clone(),
            closed: holds.then(|| Closed { at: now, reason: "resumed".to_owned() }),
        };
        (suspension, counted, holds)
    }

    /// What a remembered suspend answers: to the lease that asked, the same; to a later one, that
    /// its wait is over.
    fn repeated(
        &self,
        seen: &Snapshot,
        dedup: &SuspendDedup,
        now: TimestampMs,
    ) -> Result<Transition<Suspended>, EngineError> {
        let details = dedup.details.clone();
        if self.fence.is_proof_of(&dedup.holder) {
            return Ok(Transition::unchanged(if dedup.already_satisfied {
                Suspended::AlreadySatisfied { details }
            } else {
                Suspended::Suspended { details, holder: dedup.holder.clone() }
            }));
        }
        let (_, attempt) = self.fence.check(seen, now)?;
        let observed = Observed {
            execution_id: self.execution_id.clone(),
            suspension_id: details.suspension_id.clone(),
            attempt_index: attempt.index,
        };
        Ok(Transition::unchanged(Suspended::AlreadySatisfied { details })
            .change(Change::Suspension(Write::Observe(observed))))
    }

    fn remembered<'a>(&self, seen: &'a Snapshot, now: TimestampMs) -> Option<&'a SuspendDedup> {
        self.dedup_key()?;
        let run = seen.execution.as_ref().map(|execution| execution.replay_count);
        seen.suspension
            .dedup
            .as_ref()
            .filter(|dedup| now < dedup.expires_at && run.is_none_or(|run| run == dedup.run))
    }
}

impl Command for Suspend {
    const NAME: &'static str = "suspension.suspend";
    type Outcome = Suspended;

    fn footprint(&self) -> Footprint {
        let mut footprint =
            Footprint::execution(&self.execution_id).with_attempt(self.fence.index());
        let ids = self.args.waitpoints.iter().map(|binding| match binding {
            WaitpointBinding::Fresh { waitpoint_id, .. }
            | WaitpointBinding::UsePending { waitpoint_id } => waitpoint_id.clone(),
        });
        footprint.suspension = Wanted {
            suspension: true,
            keys: true,
            open: true,
            waitpoints: ids.take(WAITPOINTS_PER_SUSPENSION_MAX).collect(),
            buffered: self.adopted().cloned(),
            dedup: self.dedup_key().map(str::to_owned),
            ..Wanted::default()
        };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Suspended>, EngineError> {
        let (deadline, behavior) = self.timeout(seen.execution.as_ref(), cx.now);
        self.validate(seen, deadline, cx.now)?;
        if let Some(dedup) = self.remembered(seen, cx.now) {
            return self.repeated(seen, dedup, cx.now);
        }
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        let (signing, installed) = key::current_or_first(seen, &self.fresh_secret, cx);
        let waitpoints = self.waitpoints(seen, attempt, &signing, deadline, cx.now)?;
        room_for(seen, waitpoints.len() - usize::from(self.adopted().is_some()))?;
        let (suspension, counted, holds) =
            self.suspension(seen, attempt, (deadline, behavior), cx.now);

        let details = details(&self.args, &waitpoints);
        let holder = holder(execution, attempt, cx.now);
        let mut transition = Transition::unchanged(match holds {
            true => Suspended::AlreadySatisfied { details: details.clone() },
            false => Suspended::Suspended { details: details.clone(), holder: holder.clone() },
        });
        let write = Change::Suspension;
        transition.changes.extend(installed);
        transition = transition.change(write(Write::BeginSuspension(Box::new(suspension))));
        for waitpoint in waitpoints {
            transition = transition.change(write(if holds {
                Write::CloseWaitpoint(Box::new(waitpoint.ended("resumed", cx.now)))
            } else {
                Write::PutWaitpoint(Box::new(waitpoint))
            }));
        }
        if let Some(waitpoint_id) = self.adopted() {
            transition = transition.change(write(Write::AdoptSignals {
                execution_id: self.execution_id.clone(),
                waitpoint_id: waitpoint_id.clone(),
                suspension_id: self.args.suspension_id.clone(),
            }));
        }
        for counted in counted {
            let execution_id = self.execution_id.clone();
            transition = transition.change(write(Write::Count { execution_id, counted }));
        }
        transition = transition.change(write(Write::Observe(Observed {
            execution_id: self.execution_id.clone(),
            suspension_id: self.args.suspension_id.clone(),
            attempt_index: attempt.index,
        })));
        if let Some(key) = self.dedup_key() {
            let remembered = SuspendDedup {
                execution_id: self.execution_id.clone(),
                key: key.to_owned(),
                run: execution.replay_count,
                details,
                already_satisfied: holds,
                holder,
                created_at: cx.now,
                expires_at: later(cx.now, dedup_window(deadline, cx.now)),
            };
            transition = transition.change(write(Write::PutDedup(Box::new(remembered))));
        }
        if holds {
            return Ok(transition);
        }
        let parked = park(execution, attempt, self.args.reason_code, cx.now);
        let answer = transition.outcome.clone();
        Ok(parked.answer(answer).after(transition))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }
}

/// The attempt gives its lease back and waits; its timeout stands still.
fn park(
    execution: &Execution,
    attempt: &Attempt,
    reason: SuspensionReasonCode,
    now: TimestampMs,
) -> Transition<()> {
    let mut parked = attempt.clone();
    parked.outcome = Some(AttemptOutcome::Interrupted);
    parked.lease_expires_at = None;
    parked.worker_instance_id = None;

    let mut after = execution.clone();
    after.state = state::suspended(blocking_reason(reason));
    after.blocking_detail = None;
    after.eligible_at = None;
    after.attempt_timeout_left = execution.attempt_timeout_at.map(|at| until(now, at));
    after.attempt_timeout_at = None;

    let released = LeaseEvent::of(LeaseEventKind::Revoked, execution, attempt, "suspend", now);
    Transition::unchanged(())
        .put_attempt(parked)
        .announce(released)
        .put(execution, after, now, CAUSE)
}

/// What holds an execution that is suspended for a reason (contract A.9).
pub fn blocking_reason(reason: SuspensionReasonCode) -> BlockingReason {
    match reason {
        SuspensionReasonCode::WaitingForSignal | SuspensionReasonCode::StepBoundary => {
            BlockingReason::WaitingForSignal
        }
        SuspensionReasonCode::WaitingForApproval => BlockingReason::WaitingForApproval,
        SuspensionReasonCode::WaitingForCallback => BlockingReason::WaitingForCallback,
        SuspensionReasonCode::WaitingForToolResult => BlockingReason::WaitingForToolResult,
        SuspensionReasonCode::WaitingForOperatorReview | SuspensionReasonCode::ManualPause => {
            BlockingReason::PausedByOperator
        }
        SuspensionReasonCode::PausedByPolicy => BlockingReason::PausedByPolicy,
        SuspensionReasonCode::PausedByBudget => BlockingReason::WaitingForBudget,
    }
}

fn details(args: &SuspendArgs, waitpoints: &[Waitpoint]) -> SuspendOutcomeDetails {
    let (primary, extras) = waitpoints.split_first().expect("a suspension has a waitpoint");
    let extras = extras.iter().map(|extra| {
        AdditionalWaitpointBinding::new(extra.id.clone(), extra.key.clone(), extra.token.clone())
    });
    SuspendOutcomeDetails::new(
        args.suspension_id.clone(),
        primary.id.clone(),
        primary.key.clone(),
        primary.token.clone(),
    )
    .with_additional_waitpoints(extras.collect())
}

/// The handle of the parked attempt: what the lease showed while it lived.
fn holder(execution: &Execution, attempt: &Attempt, now: TimestampMs) -> HandlePayload {
    HandlePayload::new(
        execution.id.clone(),
        attempt.index,
        attempt.attempt_id.clone().unwrap_or_else(|| AttemptId::from_uuid(uuid::Uuid::nil())),
        attempt.lease_id.clone().unwrap_or_else(|| LeaseId::from_uuid(uuid::Uuid::nil())),
        attempt.epoch,
        attempt.lease_expires_at.map_or(0, |end| until(now, end).0),
        execution.lane.clone(),
        attempt.worker_instance_id.clone().unwrap_or_else(|| WorkerInstanceId::new("")),
    )
}

/// How long a suspend's key is remembered.
fn dedup_window(deadline: Option<TimestampMs>, now: TimestampMs) -> DurationMs {
    let asked = deadline
        .map_or(SUSPEND_DEDUP_MAX_MS, |at| until(now, at).0.saturating_add(SUSPEND_DEDUP_GRACE_MS));
    DurationMs(asked.min(SUSPEND_DEDUP_MAX_MS))
}

/// Refuses a resume policy that asks for what this engine does not do: it always keeps every
/// signal and closes the waitpoints with their suspension.
fn check_policy(policy: &ResumePolicy) -> Result<(), EngineError> {
    let normal = ResumePolicy::normal();
    for (field, is_normal) in [
        (
            "consume_matched_signals",
            policy.consume_matched_signals == normal.consume_matched_signals,
        ),
        (
            "retain_signal_buffer_until_closed",
            policy.retain_signal_buffer_until_closed == normal.retain_signal_buffer_until_closed,
        ),
        (
            "close_waitpoint_on_resume",
            policy.close_waitpoint_on_resume == normal.close_waitpoint_on_resume,
        ),
    ] {
        if !is_normal {
            return Err(invalid(format!(
                "resume_policy.{field} other than the default is not supported by this engine; \
                 leave it out"
            )));
        }
    }
    policy.resume_delay_ms.map_or(Ok(()), |ms| super::resume::check_delay(DurationMs(ms)))
}

fn invalid(detail: impl Into<String>) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.into() }
}
