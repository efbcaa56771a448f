//! Retention: what has ended is kept for its time, then removed whole.

use ff_core::backend::FailureClass;
use ff_core::contracts::FindExecutionsArgs;
use ff_core::state::PublicState;

use crate::harness::{Bench, Refusal, fixed};

pub async fn an_ended_execution_is_removed_exactly_when_its_retention_is_over(bench: &Bench) {
    let held = bench.completed().await;

    bench.advance(bench.limits.retention.0 - 1);
    bench.sweep().await;
    assert_eq!(bench.state(held.execution()).await, PublicState::Completed);
    bench.advance(1);
    let swept = bench.sweep().await;

    assert_eq!(swept.forgotten, 1);
    assert_eq!(bench.engine.read_execution_state(held.execution()).await.unwrap(), None);
}

pub async fn everything_stored_about_it_goes(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 0)).tag("app.x", "y").await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    let held = bench.claim().await;
    held.complete(Some(b"result")).await.unwrap();

    bench.advance(bench.limits.retention.0);
    bench.sweep().await;

    assert_eq!(bench.engine.describe_execution(&id).await.unwrap(), None);
    assert!(bench.attempts(&id).await.is_empty());
    assert!(bench.transitions(&id).await.is_empty());
    assert_eq!(bench.result(&id).await, None);
    assert_eq!(bench.engine.get_execution_tag(&id, "app.x").await.unwrap(), None);
    assert!(bench.find(FindExecutionsArgs::new()).await.is_empty());
    held.complete(Some(b"result")).await.must_be_not_found("execution");
}

pub async fn every_kind_of_end_is_removed(bench: &Bench) {
    let failed = bench.claimed().await;
    failed.fail("broken", FailureClass::Permanent).await.unwrap();
    let cancelled = bench.submit().await;
    bench.cancel(&cancelled).await.unwrap();
    bench.submit().deadline(bench.now()).await;
    bench.sweep().await;

    bench.advance(bench.limits.retention.0);

    assert_eq!(bench.sweep().await.forgotten, 3);
}

pub async fn what_lives_is_never_removed(bench: &Bench) {
    let far = bench.after(bench.limits.retention.0 * 3);
    let waiting = bench.submit().await;
    let delayed = bench.submit().delay_until(far).await;
    let running = bench.submit().lane("a").await;
    bench.claim().lane("a").ttl(24 * 60 * 60 * 1_000).await;
    let lapsed = bench.submit().lane("b").await;
    bench.claim().lane("b").ttl(1).await;
    let replayed = bench.completed().await.execution().clone();
    bench.replay(&replayed).await.unwrap();

    bench.advance(bench.limits.retention.0 * 2);
    bench.sweep().await;

    for id in [waiting, delayed, running, lapsed, replayed] {
        assert!(bench.engine.read_execution_state(&id).await.unwrap().is_some());
    }
}

pub async fn a_replay_starts_the_retention_anew(bench: &Bench) {
    let held = bench.completed().await;
    bench.advance(bench.limits.retention.0 - 1);
    bench.replay(held.execution()).await.unwrap();
    bench.claim().await.complete(None).await.unwrap();

    bench.advance(bench.limits.retention.0 - 1);
    bench.sweep().await;
    assert_eq!(bench.state(held.execution()).await, PublicState::Completed);
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.engine.read_execution_state(held.execution()).await.unwrap(), None);
}

pub async fn its_events_stay_for_their_own_time(bench: &Bench) {
    let held = bench.completed().await;

    bench.advance(bench.limits.retention.0);
    bench.sweep().await;

    let completions = bench.all_completions().await;
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].execution_id, *held.execution());
}

pub async fn its_id_may_be_used_again(bench: &Bench) {
    let held = bench.completed().await;
    bench.advance(bench.limits.retention.0);
    bench.sweep().await;

    bench.submit().id(held.execution()).await;

    assert_eq!(bench.state(held.execution()).await, PublicState::Waiting);
    assert!(bench.attempts(held.execution()).await.is_empty());
}

pub async fn a_long_backlog_is_removed_in_bounded_steps(bench: &Bench) {
    let batch: Vec<_> = (0..300).map(|_| bench.submit().deadline(bench.now()).args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    let first = bench.sweep().await;
    assert!(first.is_full() && first.settled.examined < 300);
    while bench.sweep().await.is_full() {}
    let expired = FindExecutionsArgs::new().with_states(vec![PublicState::Expired]);
    assert_eq!(bench.find(expired).await.len(), 300);

    bench.advance(bench.limits.retention.0);

    let first = bench.sweep().await;
    assert!(first.is_full() && first.forgotten < 300);
    while bench.sweep().await.is_full() {}
    assert!(bench.find(FindExecutionsArgs::new()).await.is_empty());
}
