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
    DELAY_MAX_MS, IDENTIFIER_MAX_BYTES, SUSPEND_CLOCK_SKEW_MS, WAITPOINTS_PER_SUSPENSION_MAX,
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
/// its signals, however late it asks. Without a key a repeat is refused: the execution is no longer active.
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
                expires_at: SuspendDedup::WITH_ITS_EXECUTION,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{IdempotencyKey, SuspensionRequester};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, handle_of, now_plus, refusal, running, seen_pair, stale_handle,
        triple_of,
    };
    use crate::machine::suspension::condition::{OPERATOR_ONLY, TIMEOUT_ONLY};
    use crate::machine::suspension::rows::SignalHead;
    use crate::machine::suspension::testing::{
        any_at, key, parked, pending, secret, suspension_id, waitpoint_id,
    };
    use crate::policy::{ExecutionPolicy, SuspensionPolicy};
    use crate::state::PublicState;
    use crate::types::{AttemptIndex, SignalId, SuspensionId};

    fn fresh(number: u128, waitpoint_key: &str) -> WaitpointBinding {
        let waitpoint_key = waitpoint_key.to_owned();
        WaitpointBinding::Fresh { waitpoint_id: waitpoint_id(number), waitpoint_key }
    }

    fn suspend(adjust: impl FnOnce(&mut SuspendArgs)) -> Suspend {
        let (row, attempt) = running(LEASE_END);
        let mut args = SuspendArgs::new(
            suspension_id(60),
            fresh(50, "k"),
            any_at("k"),
            ResumePolicy::normal(),
            SuspensionReasonCode::WaitingForApproval,
            TimestampMs(0),
        );
        adjust(&mut args);
        let fence = handle_of(&attempt);
        Suspend { execution_id: row.id, fence, args, fresh_secret: secret(7) }
    }

    fn active_seen() -> Snapshot {
        let mut seen = seen_pair(running(LEASE_END));
        seen.suspension.keys = vec![key("k1")];
        seen
    }

    fn told(adjust: impl FnOnce(&mut SuspendArgs), seen: &Snapshot) -> String {
        refusal(decide(&suspend(adjust), seen))
    }

    fn adopting(args: &mut SuspendArgs) {
        args.waitpoints = vec![WaitpointBinding::UsePending { waitpoint_id: waitpoint_id(50) }];
    }

    fn head(name: &str) -> SignalHead {
        SignalHead {
            signal_id: SignalId::from_uuid(uuid::Uuid::from_u128(70)),
            waitpoint_key: "k".to_owned(),
            name: name.to_owned(),
            source_type: "person".to_owned(),
            source_identity: "ada".to_owned(),
        }
    }

    #[test]
    fn the_attempt_is_parked_under_its_condition() {
        let mut rows = active_seen();
        rows.execution.as_mut().unwrap().attempt_timeout_at = Some(now_plus(700));

        let done = decide(
            &suspend(|args| {
                args.timeout_at = Some(now_plus(9_000));
                args.timeout_behavior = TimeoutBehavior::Cancel;
                args.requested_by = SuspensionRequester::Policy;
            }),
            &rows,
        )
        .unwrap();
        rows.apply(&done.changes);

        let row = done.stored();
        assert_eq!(row.state, state::suspended(BlockingReason::WaitingForApproval));
        assert_eq!(row.attempt_timeout_at, None);
        assert_eq!(row.attempt_timeout_left, Some(DurationMs(700)));
        let [attempt] = done.attempts()[..] else { panic!("one attempt") };
        assert_eq!(attempt.outcome, Some(AttemptOutcome::Interrupted));
        assert_eq!((attempt.lease_expires_at, attempt.epoch), (None, row.epoch));
        assert_eq!(done.leases()[0].cause, "suspend");
        assert_eq!(done.moves()[0].to, PublicState::Suspended);
        let open = rows.suspension.open_suspension().unwrap();
        assert_eq!(open.timeout_at, Some(now_plus(9_000)));
        assert_eq!(open.timeout_behavior, Some(TimeoutBehavior::Cancel));
        assert_eq!(open.requested_by, SuspensionRequester::Policy);
        let waitpoint = &rows.suspension.waitpoints[0];
        assert_eq!(waitpoint.state, WaitpointState::Active);
        assert_eq!(waitpoint.expires_at, Some(now_plus(9_000)));
        assert!(token::verify(&[key("k1")], waitpoint, waitpoint.token.token(), NOW).is_ok());
        let Suspended::Suspended { details, holder } = &done.outcome else { panic!("parked") };
        assert_eq!(details.waitpoint_token, waitpoint.token);
        assert!(handle_of(&running(LEASE_END).1).is_proof_of(holder));
    }

    #[test]
    fn early_signals_that_satisfy_let_the_attempt_go_on() {
        let mut rows = active_seen();
        rows.suspension.waitpoints = vec![pending("k")];
        rows.suspension.buffered = vec![head("go")];

        let done = decide(&suspend(adopting), &rows).unwrap();
        rows.apply(&done.changes);

        assert!(matches!(done.outcome, Suspended::AlreadySatisfied { .. }));
        assert!(done.attempts().is_empty() && done.events.is_empty());
        let closed = rows.suspension.suspension.as_ref().unwrap().closed.as_ref().unwrap();
        assert_eq!((closed.at, closed.reason.as_str()), (NOW, "resumed"));
        assert_eq!(rows.suspension.waitpoints[0].state, WaitpointState::Closed);
        assert!(done.writes().iter().any(|write| matches!(write, Write::AdoptSignals { .. })));
        assert!(done.writes().iter().any(|write| matches!(write, Write::Observe(_))));
    }

    #[test]
    fn an_adopted_waitpoint_keeps_its_token_and_loses_its_own_end() {
        let mut rows = active_seen();
        rows.suspension.waitpoints = vec![pending("k")];

        let done = decide(&suspend(adopting), &rows).unwrap();
        rows.apply(&done.changes);

        let waitpoint = &rows.suspension.waitpoints[0];
        assert_eq!((&waitpoint.token, waitpoint.expires_at), (&pending("k").token, None));
        assert_eq!(waitpoint.suspension_id, Some(suspension_id(60)));
    }

    #[test]
    fn what_cannot_be_adopted_says_why() {
        let with = |waitpoint: Waitpoint| {
            let mut rows = active_seen();
            rows.suspension.waitpoints = vec![waitpoint];
            told(adopting, &rows)
        };
        assert_eq!(told(adopting, &active_seen()), "contention: WaitpointNotFound");
        let over = pending("k").ended("never_committed", NOW);
        assert_eq!(with(over), "state: PendingWaitpointExpired");
        assert_eq!(with(pending("k").ended("resumed", NOW)), "state: WaitpointNotPending");
        let foreign = Waitpoint {
            execution_id: ExecutionId::from_parts(9, uuid::Uuid::from_u128(1)),
            ..pending("k")
        };
        assert!(with(foreign).starts_with("validation: InvalidWaitpointForExecution"));
        let of_another = Waitpoint { attempt_index: Some(AttemptIndex(1)), ..pending("k") };
        assert!(with(of_another).starts_with("validation: InvalidWaitpointForExecution"));
        let bare = Waitpoint { token: crate::backend::WaitpointHmac::new(""), ..pending("k") };
        assert!(with(bare).starts_with("validation: WaitpointNotTokenBound"));
        let by_hand = Waitpoint { attempt_index: None, ..pending("k") };
        assert_eq!(with(by_hand), "accepted");
    }

    #[test]
    fn an_adopted_waitpoint_with_another_key_is_refused() {
        let mut rows = active_seen();
        rows.suspension.waitpoints = vec![pending("other")];

        let told = told(adopting, &rows);

        let missing = "validation: InvalidInput: referenced_waitpoint_key_missing_binding: k";
        assert_eq!(told, missing);
    }

    #[test]
    fn a_condition_without_keys_has_one_waitpoint() {
        for (condition, name) in [
            (ResumeCondition::OperatorOnly, OPERATOR_ONLY),
            (ResumeCondition::TimeoutOnly, TIMEOUT_ONLY),
        ] {
            let waits = |extra: bool| {
                let condition = condition.clone();
                move |args: &mut SuspendArgs| {
                    args.resume_condition = condition;
                    args.timeout_at = Some(now_plus(5));
                    if extra {
                        args.waitpoints.push(fresh(51, "l"));
                    }
                }
            };
            let mut rows = active_seen();
            let done = decide(&suspend(waits(false)), &rows).unwrap();
            rows.apply(&done.changes);
            assert_eq!(rows.suspension.waitpoints[0].required_signal_names, [name]);
            assert!(told(waits(true), &active_seen()).contains("extra_binding_not_referenced"));
        }
    }

    #[test]
    fn a_timeout_may_lie_ten_minutes_back_and_ten_years_ahead() {
        let at = |ms| told(|args| args.timeout_at = Some(now_plus(ms)), &active_seen());
        assert_eq!(at(-600_000), "accepted");
        assert_eq!(at(-600_001), "validation: InvalidInput: timeout_at_in_past");
        assert_eq!(at(i64::try_from(DELAY_MAX_MS).unwrap()), "accepted");
        assert!(at(i64::try_from(DELAY_MAX_MS).unwrap() + 1).contains("ten years"));
    }

    #[test]
    fn the_policys_timeout_stands_in_for_a_missing_one() {
        let mut rows = active_seen();
        rows.execution.as_mut().unwrap().policy = Some(ExecutionPolicy {
            suspension_policy: Some(SuspensionPolicy {
                default_timeout_ms: Some(400),
                timeout_behavior: "escalate".to_owned(),
            }),
            ..ExecutionPolicy::default()
        });
        let open = |adjust: fn(&mut SuspendArgs)| {
            let mut rows = rows.clone();
            let done = decide(&suspend(adjust), &rows).unwrap();
            rows.apply(&done.changes);
            let open = rows.suspension.open_suspension().unwrap();
            (open.timeout_at, open.timeout_behavior)
        };
        assert_eq!(open(|_| {}), (Some(now_plus(400)), Some(TimeoutBehavior::Escalate)));
        let given = open(|args| args.timeout_at = Some(now_plus(9)));
        assert_eq!(given, (Some(now_plus(9)), Some(TimeoutBehavior::Fail)));
        let timed = told(|args| args.resume_condition = ResumeCondition::TimeoutOnly, &rows);
        assert_eq!(timed, "accepted");
    }

    #[test]
    fn only_the_live_lease_may() {
        let mut command = suspend(|_| {});
        command.fence = stale_handle();
        assert_eq!(refusal(decide(&command, &active_seen())), "contention: LeaseConflict");
        let (_, attempt) = running(LEASE_END);
        let mut triple = triple_of(&attempt);
        triple.lease_id = LeaseId::from_uuid(uuid::Uuid::from_u128(99));
        command.fence = Fence::required(attempt.index, Some(&triple)).unwrap();
        assert_eq!(refusal(decide(&command, &active_seen())), "state: StaleLease");
        let again = told(|_| {}, &seen_pair(parked()));
        assert!(again.starts_with("contention: ExecutionNotActive"), "{again}");
        assert_eq!(told(|_| {}, &Snapshot::default()), "not found: execution");
    }

    fn keyed(args: &mut SuspendArgs) {
        args.idempotency_key = Some(IdempotencyKey::new("once"));
    }

    /// What the store holds after a keyed suspend.
    fn remembered() -> (Suspended, Snapshot) {
        let mut rows = active_seen();
        let done = decide(&suspend(keyed), &rows).unwrap();
        rows.apply(&done.changes);
        (done.outcome, rows)
    }

    #[test]
    fn the_lease_that_asked_is_told_the_same_again() {
        let (first, mut rows) = remembered();

        let again = decide(&suspend(keyed), &rows).unwrap();
        assert_eq!(again.outcome, first);
        assert!(again.is_unchanged());

        let dedup = rows.suspension.dedup.as_mut().unwrap();
        dedup.expires_at = now_plus(1);
        assert_eq!(decide(&suspend(keyed), &rows).unwrap().outcome, first);
        rows.suspension.dedup.as_mut().unwrap().expires_at = NOW;
        assert!(decide(&suspend(keyed), &rows).is_err());
    }

    #[test]
    fn a_key_is_remembered_as_long_as_its_execution() {
        for timeout in [None, Some(now_plus(5_000))] {
            let mut command = suspend(keyed);
            command.args.timeout_at = timeout;
            let mut rows = active_seen();
            rows.apply(&decide(&command, &rows).unwrap().changes);

            assert_eq!(rows.suspension.dedup.unwrap().expires_at, TimestampMs(i64::MAX));
        }
    }

    #[test]
    fn a_later_lease_that_asks_again_goes_on() {
        let (first, mut rows) = remembered();
        let Suspended::Suspended { details, .. } = first else { panic!("parked") };
        let (mut row, mut attempt) = running(LEASE_END);
        (row.epoch, attempt.epoch) = (row.epoch.next(), row.epoch.next());
        let mut later = suspend(keyed);
        later.fence = handle_of(&attempt);
        assert!(decide(&later, &rows).is_err(), "nobody holds it while it waits");
        rows.execution = Some(row);
        rows.current = Some(attempt);

        let done = decide(&later, &rows).unwrap();

        assert_eq!(done.outcome, Suspended::AlreadySatisfied { details });
        let [Write::Observe(observed)] = done.writes()[..] else { panic!("one write") };
        assert_eq!(observed.suspension_id, suspension_id(60));

        rows.execution.as_mut().unwrap().replay_count += 1;
        rows.suspension.waitpoints.clear();
        let anew = decide(&later, &rows).unwrap();
        assert!(matches!(anew.outcome, Suspended::Suspended { .. }), "a new run waits anew");
    }

    #[test]
    fn bounds_are_refused_by_name() {
        let wide = |count: u128| {
            told(
                |args| {
                    let keys: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
                    args.waitpoints =
                        (0..count).map(|n| fresh(100 + n, &format!("k{n}"))).collect();
                    args.resume_condition = ResumeCondition::all_of_waitpoints(keys);
                },
                &active_seen(),
            )
        };
        assert_eq!(wide(256), "accepted");
        assert!(wide(257).contains("257 waitpoints"));
        let twice = told(
            |args| {
                args.waitpoints = vec![fresh(50, "a"), fresh(50, "b")];
                args.resume_condition = ResumeCondition::all_of_waitpoints(["a", "b"]);
            },
            &active_seen(),
        );
        assert!(twice.contains("duplicate_waitpoint_id"), "{twice}");
        let mut taken = active_seen();
        taken.suspension.waitpoints = vec![pending("k")];
        assert_eq!(told(|_| {}, &taken), "conflict: WaitpointAlreadyExists");
        for adjust in [
            |args: &mut SuspendArgs| args.resume_policy.consume_matched_signals = false,
            |args: &mut SuspendArgs| args.resume_policy.retain_signal_buffer_until_closed = true,
            |args: &mut SuspendArgs| args.resume_policy.close_waitpoint_on_resume = false,
            |args: &mut SuspendArgs| args.resume_policy.resume_delay_ms = Some(DELAY_MAX_MS + 1),
            |args: &mut SuspendArgs| {
                args.idempotency_key = Some(IdempotencyKey::new("k".repeat(257)));
            },
        ] {
            assert!(told(adjust, &active_seen()).starts_with("validation: InvalidInput"));
        }
        let _: SuspensionId = suspension_id(1);
    }
}
