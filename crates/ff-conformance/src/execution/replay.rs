//! Replaying: an ended execution goes back in line as a new run.

use ff_core::backend::{FailOutcome, FailureClass, HandleKind};
use ff_core::engine_error::StateKind;
use ff_core::state::{AttemptState, AttemptType, PublicState};

use crate::harness::{Bench, Refusal, fixed};

pub async fn an_ended_execution_waits_again(bench: &Bench) {
    let held = bench.completed().await;

    assert_eq!(bench.replay(held.execution()).await.unwrap(), PublicState::Waiting);

    let info = bench.info(held.execution()).await;
    assert_eq!(info.state_vector.attempt_state, AttemptState::PendingReplayAttempt);
    assert_eq!(info.completed_at, None);
    assert_eq!(bench.summary(held.execution()).await.replay_count, 1);
    assert_eq!(bench.result(held.execution()).await, None, "the old result is gone");
}

pub async fn its_next_claim_is_a_new_attempt_of_type_replay(bench: &Bench) {
    let first = bench.completed().await;
    bench.replay(first.execution()).await.unwrap();

    let second = bench.claim().await;

    assert_eq!(second.kind(), HandleKind::Fresh);
    assert_eq!((second.attempt(), second.epoch()), (1, 2));
    let attempt = bench.attempt(second.execution(), 1).await;
    assert_eq!(attempt.attempt_type, AttemptType::Replay);
    assert_eq!(bench.attempt(second.execution(), 0).await.outcome.as_deref(), Some("success"));
}

pub async fn every_kind_of_end_can_be_replayed(bench: &Bench) {
    let failed = bench.claimed().await;
    failed.fail("broken", FailureClass::Permanent).await.unwrap();
    let cancelled = bench.submit().lane("other").await;
    bench.cancel(&cancelled).await.unwrap();
    let expired = bench.submit().deadline(bench.after(10)).await;
    bench.advance(10);
    bench.sweep().await;

    for id in [failed.execution(), &cancelled, &expired] {
        bench.replay(id).await.unwrap();
        assert_eq!(bench.state(id).await, PublicState::Waiting);
        assert_eq!(bench.summary(id).await.reason, None);
    }
}

pub async fn what_has_not_ended_cannot_be_replayed(bench: &Bench) {
    let held = bench.claimed().await;
    let waiting = bench.submit().await;

    for id in [held.execution(), &waiting] {
        bench.unchanged_by(bench.replay(id)).await.must_be_state(&StateKind::ExecutionNotTerminal);
    }
}

pub async fn a_replay_cannot_be_repeated_while_it_runs(bench: &Bench) {
    let held = bench.completed().await;
    bench.replay(held.execution()).await.unwrap();

    let refused = bench.unchanged_by(bench.replay(held.execution())).await;

    refused.must_be_state(&StateKind::ExecutionNotTerminal);
}

pub async fn the_policy_caps_replays(bench: &Bench) {
    let id = bench.submit().policy(|policy| policy.max_replay_count = 2).await;
    for _ in 0..2 {
        bench.claim().await.complete(None).await.unwrap();
        bench.replay(&id).await.unwrap();
    }
    bench.claim().await.complete(None).await.unwrap();

    bench.unchanged_by(bench.replay(&id)).await.must_be_state(&StateKind::MaxReplaysExhausted);
}

pub async fn ten_replays_are_the_default_cap(bench: &Bench) {
    let held = bench.completed().await;
    for _ in 0..10 {
        bench.replay(held.execution()).await.unwrap();
        bench.claim().await.complete(None).await.unwrap();
    }

    let refused = bench.unchanged_by(bench.replay(held.execution())).await;

    refused.must_be_state(&StateKind::MaxReplaysExhausted);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    bench.unchanged_by(bench.replay(&bench.new_id())).await.must_be_not_found("execution");
}

pub async fn a_replay_has_all_its_retries_again(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 1_000)).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.advance(1_000);
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.replay(&id).await.unwrap();

    let answer = bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();

    assert_eq!(answer, FailOutcome::RetryScheduled { delay_until: bench.after(1_000) });
}

pub async fn each_run_has_exactly_one_completion(bench: &Bench) {
    let held = bench.completed().await;
    bench.replay(held.execution()).await.unwrap();
    let second = bench.claim().await;
    assert_eq!(bench.all_completions().await.len(), 1);

    second.complete(Some(b"again")).await.unwrap();

    assert_eq!(bench.all_completions().await.len(), 2);
    assert_eq!(bench.result(held.execution()).await.as_deref(), Some(&b"again"[..]));
}

/// The holder of an earlier run is fenced from the new one.
pub async fn the_first_runs_worker_is_fenced(bench: &Bench) {
    let first = bench.completed().await;
    bench.replay(first.execution()).await.unwrap();
    bench.unchanged_by(first.complete(Some(b"result"))).await.must_be_not_active();

    let second = bench.claim().await;
    let refused = bench.unchanged_by(first.complete(Some(b"result"))).await;

    assert!(refused.unwrap_err().is_stale());
    second.complete(None).await.unwrap();
}

pub async fn a_deadline_that_passed_does_not_end_the_new_run(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(1_000)).await;
    bench.advance(1_000);
    bench.sweep().await;

    bench.replay(&id).await.unwrap();

    bench.sweep().await;
    bench.claim().await.complete(None).await.unwrap();
    assert_eq!(bench.state(&id).await, PublicState::Completed);
}

pub async fn a_deadline_of_the_policy_starts_anew(bench: &Bench) {
    let id = bench.submit().timeouts(|timeouts| timeouts.execution_deadline_ms = Some(1_000)).await;
    bench.advance(1_000);
    bench.sweep().await;
    bench.advance(50_000);

    bench.replay(&id).await.unwrap();

    assert_eq!(bench.summary(&id).await.deadline_at, Some(bench.after(1_000)));
    bench.advance(1_000);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Expired);
}
