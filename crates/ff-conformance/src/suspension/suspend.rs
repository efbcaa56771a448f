//! Suspending: the attempt is parked, and goes on when its condition holds.

use ff_core::backend::HandleKind;
use ff_core::contracts::{
    IdempotencyKey, ResumeCondition, ResumePolicy, SuspendOutcome, SuspensionReasonCode,
    TimeoutBehavior, WaitpointBinding,
};
use ff_core::engine_error::{ConflictKind, ContentionKind, StateKind, ValidationKind};
use ff_core::policy::SuspensionPolicy;
use ff_core::state::{
    AttemptState, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState, PublicState,
};
use ff_core::types::{LeaseFence, LeaseId};

use super::{any_at, delivered, observed, park, parked, plain, to, waiting_for};
use crate::harness::{Bench, Refusal, cause};

pub async fn a_suspended_execution_gives_its_lease_back_and_waits(bench: &Bench) {
    let held = bench.claimed().await;

    let (_, handle) = park(bench, &held, plain(bench)).await;

    assert_eq!(handle.kind, HandleKind::Suspended);
    let state = bench.info(held.execution()).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Suspended);
    assert_eq!(state.ownership_state, OwnershipState::Unowned);
    assert_eq!(state.eligibility_state, EligibilityState::NotApplicable);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForApproval);
    assert_eq!(state.attempt_state, AttemptState::AttemptInterrupted);
    assert_eq!(state.public_state, PublicState::Suspended);
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "suspend");
    bench.advance(100_000);
    bench.claim().nothing().await;
    assert!(matches!(
        held.complete(None).await.must_be_not_active().lifecycle_phase.as_str(),
        "suspended"
    ));
}

pub async fn a_signal_resumes_the_same_attempt_under_the_next_epoch(bench: &Bench) {
    let (held, details) = parked(bench).await;

    let effect = delivered(bench, to(bench, held.execution(), &details)).await.unwrap();

    assert_eq!(effect, "resume_condition_satisfied");
    assert_eq!(bench.state(held.execution()).await, PublicState::Waiting);
    let resumed = bench.claim().worker("other").await;
    assert_eq!(resumed.kind(), HandleKind::Resumed);
    assert_eq!((resumed.attempt(), resumed.epoch()), (0, 2));
    assert_eq!(resumed.proof.attempt_id, held.proof.attempt_id);
    let signals = bench.engine.observe_signals(&resumed.handle).await.unwrap();
    assert_eq!(signals.len(), 1);
    assert_eq!(signals[0].payload.as_deref(), Some(b"yes".as_slice()));
    assert_eq!((signals[0].source_identity.as_str(), signals[0].accepted_at), ("ada", bench.now()));
    resumed.complete(None).await.unwrap();
    assert_eq!(bench.all_completions().await.len(), 1);
}

pub async fn a_batch_claim_brings_the_signals_along(bench: &Bench) {
    let (held, details) = parked(bench).await;
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    let fresh = bench.submit().await;

    let work = bench.claim().batch(&[crate::harness::LANE], 2).await.unwrap();

    let of = |id| work.iter().find(|work| work.execution_id == id).unwrap();
    let names: Vec<&str> =
        of(held.execution().clone()).signals.iter().map(|s| s.signal_name.as_str()).collect();
    assert_eq!(names, ["go"]);
    assert!(of(fresh).signals.is_empty());
}

pub async fn the_attempts_timeout_stands_still_while_it_waits(bench: &Bench) {
    let id = bench.submit().attempt_timeout(10_000).await;
    let held = bench.claim().await;
    bench.advance(4_000);
    let (details, _) = park(bench, &held, plain(bench)).await;
    bench.advance(60_000);
    delivered(bench, to(bench, &id, &details)).await.unwrap();
    bench.advance(60_000);
    let resumed = bench.claim().await;

    bench.advance(5_999);
    resumed.renew().await.unwrap();
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Failed);
}

pub async fn only_the_live_lease_may_suspend(bench: &Bench) {
    let stale = bench.lapsed().await;
    let refused = bench.unchanged_by(bench.engine.suspend(&stale.handle, plain(bench))).await;
    refused.must_be_state(&StateKind::LeaseExpired);
    let held = bench.claim().await;
    let refused = bench.engine.suspend(&stale.handle, plain(bench)).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);
    let (_, handle) = park(bench, &held, plain(bench)).await;
    let again = bench.unchanged_by(bench.engine.suspend(&held.handle, plain(bench))).await;
    assert_eq!(again.must_be_not_active().lifecycle_phase, "suspended");
    let again = bench.engine.suspend(&handle, plain(bench)).await;
    again.must_be_state(&StateKind::AlreadySuspended);
}

pub async fn a_triple_suspends_as_its_handle_does(bench: &Bench) {
    let held = bench.claimed().await;
    let triple = LeaseFence {
        lease_id: held.proof.lease_id.clone(),
        lease_epoch: held.proof.lease_epoch,
        attempt_id: held.proof.attempt_id.clone(),
    };
    let wrong =
        LeaseFence { lease_id: LeaseId::from_uuid(bench.new_lease_id().0), ..triple.clone() };
    let id = held.execution().clone();
    let refused = bench.engine.suspend_by_triple(id.clone(), wrong, plain(bench)).await;
    refused.must_be_state(&StateKind::StaleLease);

    let outcome =
        bench.engine.suspend_by_triple(id.clone(), triple.clone(), plain(bench)).await.unwrap();

    assert!(matches!(outcome, SuspendOutcome::Suspended { .. }));
    assert_eq!(bench.state(&id).await, PublicState::Suspended);
    let unknown = bench.engine.suspend_by_triple(bench.new_id(), triple, plain(bench)).await;
    unknown.must_be_not_found("execution");
}

pub async fn the_same_key_is_the_same_suspension(bench: &Bench) {
    let held = bench.claimed().await;
    let keyed = || plain(bench).with_idempotency_key(IdempotencyKey::new("step-1"));
    let first = bench.engine.suspend(&held.handle, keyed()).await.unwrap();

    let again = bench.unchanged_by(bench.engine.suspend(&held.handle, keyed())).await.unwrap();
    assert_eq!(again, first, "the same ids, tokens and handle");

    let details = first.details().clone();
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    assert_eq!(bench.engine.suspend(&held.handle, keyed()).await.unwrap(), first);
}

pub async fn a_key_counts_within_its_execution_only(bench: &Bench) {
    let (one, other) = (bench.claimed().await, bench.claimed().await);
    let keyed = || plain(bench).with_idempotency_key(IdempotencyKey::new("step-1"));

    let (first, _) = park(bench, &one, keyed()).await;
    let (second, _) = park(bench, &other, keyed()).await;

    assert_ne!(first.waitpoint_id, second.waitpoint_id);
    assert_ne!(first.waitpoint_token, second.waitpoint_token);
}

/// A worker that runs its program again from the start meets the wait it has behind it.
pub async fn a_later_lease_that_asks_with_the_key_goes_on_with_its_signals(bench: &Bench) {
    let held = bench.claimed().await;
    let keyed = || plain(bench).with_idempotency_key(IdempotencyKey::new("step-1"));
    let (details, _) = park(bench, &held, keyed()).await;
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    let resumed = bench.claim().await;
    bench.let_lease_expire(&resumed).await;
    let reclaimed = bench.claim().await;
    assert_eq!(reclaimed.attempt(), 1);
    assert!(observed(bench, &reclaimed).await.is_empty());

    let again = bench.engine.suspend(&reclaimed.handle, keyed()).await.unwrap();

    assert_eq!(again, SuspendOutcome::AlreadySatisfied { details });
    assert_eq!(observed(bench, &reclaimed).await, ["go"]);
    reclaimed.complete(None).await.unwrap();
}

/// However long the wait was, and however late a worker comes.
pub async fn a_key_is_remembered_beyond_the_wait_that_it_began(bench: &Bench) {
    let held = bench.claimed().await;
    let resumes = TimeoutBehavior::AutoResumeWithTimeoutSignal;
    let key = || IdempotencyKey::new("step-1");
    let keyed =
        || plain(bench).with_timeout(bench.after(1_000), resumes).with_idempotency_key(key());
    let (details, _) = park(bench, &held, keyed()).await;
    bench.advance(1_000 + 61_000);
    bench.sweep().await;
    let resumed = bench.claim().await;

    let again = bench.engine.suspend(&resumed.handle, keyed()).await.unwrap();

    assert_eq!(again, SuspendOutcome::AlreadySatisfied { details });
}

pub async fn a_new_run_waits_anew_under_the_same_key(bench: &Bench) {
    let held = bench.claimed().await;
    let keyed = || plain(bench).with_idempotency_key(IdempotencyKey::new("step-1"));
    let (first, _) = park(bench, &held, keyed()).await;
    bench.cancel(held.execution()).await.unwrap();
    bench.replay(held.execution()).await.unwrap();
    let again = bench.claim().await;

    let (second, _) = park(bench, &again, keyed()).await;

    assert_ne!(first.waitpoint_id, second.waitpoint_id);
}

pub async fn malformed_suspends_are_refused_by_their_rule(bench: &Bench) {
    let held = bench.claimed().await;
    let at = |condition, keys: &[&str]| waiting_for(bench, condition, keys);
    let mut none = plain(bench);
    none.waitpoints.clear();
    let mut pending_extra = at(ResumeCondition::all_of_waitpoints(["a"]), &["a"]);
    pending_extra.waitpoints.push(WaitpointBinding::UsePending {
        waitpoint_id: ff_core::types::WaitpointId::from_uuid(bench.new_lease_id().0),
    });
    let past = bench.now().0 - 600_001;
    for (args, detail) in [
        (none, "waitpoints_empty"),
        (at(any_at("other"), &["k"]), "waitpoint_key_mismatch"),
        (
            at(ResumeCondition::all_of_waitpoints(["a", ""]), &["a", ""]),
            "additional_waitpoint_binding_empty_key at waitpoints[1]",
        ),
        (pending_extra, "additional_waitpoint_binding_must_be_fresh at waitpoints[1]"),
        (
            at(ResumeCondition::all_of_waitpoints(["a", "b"]), &["a"]),
            "referenced_waitpoint_key_missing_binding: b",
        ),
        (
            at(ResumeCondition::all_of_waitpoints(["a"]), &["a", "b"]),
            "extra_binding_not_referenced_by_condition: b",
        ),
        (at(ResumeCondition::TimeoutOnly, &["k"]), "timeout_only_without_deadline"),
        (
            at(
                ResumeCondition::Single {
                    waitpoint_key: "k".to_owned(),
                    matcher: ff_core::contracts::SignalMatcher::ByName(String::new()),
                },
                &["k"],
            ),
            "resume_condition: empty signal name (use Wildcard instead)",
        ),
        (
            plain(bench).with_timeout(ff_core::types::TimestampMs(past), TimeoutBehavior::Fail),
            "timeout_at_in_past",
        ),
        (
            at(
                ResumeCondition::Composite(ff_core::contracts::CompositeBody::count(
                    0,
                    ff_core::contracts::CountKind::DistinctSignals,
                    None,
                    ["k".to_owned()],
                )),
                &["k"],
            ),
            "count_n_zero at path <root>",
        ),
    ] {
        let refused = bench.unchanged_by(bench.engine.suspend(&held.handle, args)).await;
        assert_eq!(refused.must_be_validation(&ValidationKind::InvalidInput), detail);
    }
}

pub async fn what_a_resume_policy_cannot_have_is_refused_by_name(bench: &Bench) {
    let held = bench.claimed().await;
    let mut policy = ResumePolicy::normal();
    policy.close_waitpoint_on_resume = false;
    let mut args = plain(bench);
    args.resume_policy = policy;

    let refused = bench.engine.suspend(&held.handle, args).await;

    let detail = refused.must_be_validation(&ValidationKind::InvalidInput);
    assert!(detail.starts_with("resume_policy.close_waitpoint_on_resume"), "{detail}");
}

pub async fn a_waitpoint_id_belongs_to_its_first_owner(bench: &Bench) {
    let (_, details) = parked(bench).await;
    let held = bench.claimed().await;
    let taken = WaitpointBinding::Fresh {
        waitpoint_id: details.waitpoint_id,
        waitpoint_key: "k".to_owned(),
    };

    let args = plain(bench).with_waitpoints(vec![taken]);
    let refused = bench.unchanged_by(bench.engine.suspend(&held.handle, args)).await;

    refused.must_be_conflict(&ConflictKind::WaitpointAlreadyExists);
}

pub async fn an_attempt_may_wait_again_and_sees_the_signals_of_its_last_wait(bench: &Bench) {
    let (first, details) = parked(bench).await;
    delivered(bench, to(bench, first.execution(), &details)).await.unwrap();
    let second = bench.claim().await;
    let (details, handle) = park(bench, &second, plain(bench)).await;
    assert!(observed(bench, &bench.holding(handle)).await.is_empty());
    let mut signal = to(bench, second.execution(), &details);
    signal.signal_name = "again".to_owned();
    delivered(bench, signal).await.unwrap();

    let third = bench.claim().await;

    assert_eq!((third.attempt(), third.epoch()), (0, 3));
    assert_eq!(observed(bench, &third).await, ["again"]);
}

pub async fn the_policys_timeout_counts_where_the_call_gives_none(bench: &Bench) {
    let id = bench
        .submit()
        .policy(|policy| {
            policy.suspension_policy = Some(SuspensionPolicy {
                default_timeout_ms: Some(5_000),
                timeout_behavior: "cancel".to_owned(),
            });
        })
        .await;
    let held = bench.claim().await;
    park(bench, &held, plain(bench)).await;

    bench.advance(4_999);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Suspended);
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Cancelled);
}

pub async fn each_reason_has_its_block(bench: &Bench) {
    for (reason, block) in [
        (SuspensionReasonCode::WaitingForSignal, BlockingReason::WaitingForSignal),
        (SuspensionReasonCode::WaitingForOperatorReview, BlockingReason::PausedByOperator),
        (SuspensionReasonCode::PausedByBudget, BlockingReason::WaitingForBudget),
        (SuspensionReasonCode::StepBoundary, BlockingReason::WaitingForSignal),
    ] {
        let held = bench.claimed().await;
        let mut args = plain(bench);
        args.reason_code = reason;
        park(bench, &held, args).await;
        let state = bench.info(held.execution()).await.state_vector;
        assert_eq!(state.blocking_reason, block);
    }
}
