//! Cancelling: an operator, or the worker itself, ends an execution.

use ff_core::backend::FailureClass;
use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::state::{AttemptState, LifecyclePhase, PublicState, TerminalOutcome};
use ff_core::stream_events::CompletionOutcome;
use ff_core::types::{CancelSource, LeaseEpoch};

use crate::harness::{Bench, Refusal, cause, fixed};

pub async fn a_waiting_execution_ends_cancelled(bench: &Bench) {
    let id = bench.submit().await;

    assert_eq!(bench.cancel(&id).await.unwrap(), PublicState::Cancelled);

    let state = bench.info(&id).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Terminal);
    assert_eq!(state.terminal_outcome, TerminalOutcome::Cancelled);
    assert_eq!(state.attempt_state, AttemptState::PendingFirstAttempt);
    assert_eq!(bench.summary(&id).await.reason.as_deref(), Some("enough"));
    bench.claim().nothing().await;
    let completions = bench.all_completions().await;
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].outcome, CompletionOutcome::Cancelled);
}

pub async fn a_delayed_execution_ends_cancelled(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(1_000)).await;

    bench.cancel(&id).await.unwrap();

    bench.advance(1_000);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Cancelled);
    bench.claim().nothing().await;
}

pub async fn a_running_execution_ends_and_its_worker_is_fenced(bench: &Bench) {
    let held = bench.claimed().await;

    bench.cancel(held.execution()).await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Cancelled);
    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.outcome.as_deref(), Some("cancelled"));
    assert_eq!(attempt.failure_reason.as_deref(), Some("cancelled: enough"));
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "cancelled");
    for refused in [
        held.renew().await.map(|_| ()),
        held.complete(None).await,
        held.progress(Some(1), None).await,
        held.delay(bench.after(1)).await,
        held.release().await,
        held.fail("broken", FailureClass::Transient).await.map(|_| ()),
    ] {
        assert_eq!(refused.must_be_not_active().terminal_outcome, "cancelled");
    }
}

pub async fn a_lapsed_execution_ends_cancelled(bench: &Bench) {
    let held = bench.lapsed().await;
    bench.sweep().await;

    bench.cancel(held.execution()).await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Cancelled);
    bench.claim().nothing().await;
    assert_eq!(bench.all_completions().await.len(), 1);
}

pub async fn an_execution_waiting_for_its_retry_ends_cancelled(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 1_000)).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();

    bench.cancel(&id).await.unwrap();

    bench.advance(1_000);
    bench.claim().nothing().await;
    assert_eq!(bench.attempt(&id, 0).await.outcome.as_deref(), Some("retry"));
}

pub async fn a_parked_attempt_ends_with_its_execution(bench: &Bench) {
    let held = bench.claimed().await;
    held.delay(bench.after(1_000)).await.unwrap();

    bench.cancel(held.execution()).await.unwrap();

    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.outcome.as_deref(), Some("cancelled"));
    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
}

pub async fn cancelled_stays_cancelled_with_the_first_reason(bench: &Bench) {
    let id = bench.submit().await;
    bench.cancel(&id).await.unwrap();
    let mut again = bench.cancel_args(&id);
    again.reason = "other".to_owned();

    bench.unchanged_by(bench.engine.cancel_execution(again)).await.unwrap();

    assert_eq!(bench.summary(&id).await.reason.as_deref(), Some("enough"));
}

pub async fn another_end_is_refused_with_its_outcome(bench: &Bench) {
    let held = bench.completed().await;

    let refused = bench.unchanged_by(bench.cancel(held.execution())).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "success");
    assert_eq!(refused.lease_epoch, "1");
    assert_eq!(refused.lifecycle_phase, "terminal");
    assert_eq!(refused.attempt_id, held.proof.attempt_id.to_string());
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    bench.unchanged_by(bench.cancel(&bench.new_id())).await.must_be_not_found("execution");
}

pub async fn whoever_is_no_operator_shows_the_lease_of_a_running_execution(bench: &Bench) {
    let held = bench.claimed().await;
    for source in [CancelSource::LeaseHolder, CancelSource::Custom("billing".to_owned())] {
        let mut args = bench.cancel_args(held.execution());
        args.source = source;
        bench.unchanged_by(bench.engine.cancel_execution(args.clone())).await.must_be_invalid();

        args.lease_epoch = Some(LeaseEpoch(7));
        let stale = bench.unchanged_by(bench.engine.cancel_execution(args.clone())).await;
        stale.must_be_state(&StateKind::StaleLease);

        args.lease_epoch = Some(held.proof.lease_epoch);
        args.lease_id = Some(bench.new_lease_id());
        let stale = bench.unchanged_by(bench.engine.cancel_execution(args.clone())).await;
        stale.must_be_state(&StateKind::StaleLease);

        args.lease_id = Some(held.proof.lease_id.clone());
        args.attempt_id = Some(bench.new_attempt_id());
        let stale = bench.unchanged_by(bench.engine.cancel_execution(args)).await;
        stale.must_be_state(&StateKind::StaleLease);
    }

    let mut args = bench.cancel_args(held.execution());
    args.source = CancelSource::LeaseHolder;
    args.lease_epoch = Some(held.proof.lease_epoch);
    bench.engine.cancel_execution(args).await.unwrap();
    assert_eq!(bench.state(held.execution()).await, PublicState::Cancelled);
}

pub async fn whoever_is_no_operator_needs_no_lease_where_there_is_none(bench: &Bench) {
    let id = bench.submit().await;
    let mut args = bench.cancel_args(&id);
    args.source = CancelSource::Custom("billing".to_owned());

    bench.engine.cancel_execution(args).await.unwrap();

    assert_eq!(bench.state(&id).await, PublicState::Cancelled);
}

pub async fn a_lapsed_lease_is_no_proof(bench: &Bench) {
    let held = bench.lapsed().await;
    let mut args = bench.cancel_args(held.execution());
    args.source = CancelSource::LeaseHolder;
    args.lease_epoch = Some(held.proof.lease_epoch);

    let refused = bench.unchanged_by(bench.engine.cancel_execution(args)).await;

    refused.must_be_state(&StateKind::LeaseExpired);
}

pub async fn a_worker_may_cancel_its_own_work(bench: &Bench) {
    let held = bench.claimed().await;

    held.cancel("not needed").await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Cancelled);
    assert_eq!(bench.summary(held.execution()).await.reason.as_deref(), Some("not needed"));
    bench.unchanged_by(held.cancel("not needed")).await.unwrap();
    assert_eq!(bench.all_completions().await.len(), 1);
}

pub async fn a_worker_without_the_lease_may_not(bench: &Bench) {
    let stale = bench.lapsed().await;
    bench.unchanged_by(stale.cancel("no")).await.must_be_state(&StateKind::LeaseExpired);

    let held = bench.claim().await;
    let refused = bench.unchanged_by(stale.cancel("no")).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);

    held.complete(None).await.unwrap();
    let refused = bench.unchanged_by(stale.cancel("no")).await;
    assert_eq!(refused.must_be_not_active().terminal_outcome, "success");
}

/// What a successor did is not a repeat of what its predecessor wanted.
pub async fn a_successors_cancel_is_no_answer_for_its_predecessor(bench: &Bench) {
    let stale = bench.lapsed().await;
    bench.claim().await.cancel("done").await.unwrap();

    let refused = bench.unchanged_by(stale.cancel("done")).await;

    assert_eq!(refused.must_be_not_active().terminal_outcome, "cancelled");
}

pub async fn a_reason_is_cut_at_its_limit(bench: &Bench) {
    let id = bench.submit().await;
    let mut args = bench.cancel_args(&id);
    args.reason = "x".repeat(40_000);

    bench.engine.cancel_execution(args).await.unwrap();

    let stored = bench.summary(&id).await.reason.unwrap();
    assert!(stored.len() <= 16 * 1024 && stored.ends_with("[truncated]"));
}
