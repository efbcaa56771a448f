//! Completions: exactly one for each run of an execution.

use ff_core::backend::{FailureClass, ScannerFilter};
use ff_core::stream_events::CompletionOutcome;
use futures_util::StreamExt;

use crate::harness::{Bench, beginning, fixed};

pub async fn each_kind_of_end_has_its_word(bench: &Bench) {
    bench.completed().await;
    bench.claimed().await.fail("broken", FailureClass::Permanent).await.unwrap();
    let cancelled = bench.submit().await;
    bench.cancel(&cancelled).await.unwrap();
    bench.submit().deadline(bench.now()).await;
    bench.sweep().await;

    let completions = bench.all_completions().await;

    let outcomes: Vec<_> = completions.into_iter().map(|event| event.outcome).collect();
    let wanted = [
        CompletionOutcome::Success,
        CompletionOutcome::Failure,
        CompletionOutcome::Cancelled,
        CompletionOutcome::Other("expired".to_owned()),
    ];
    assert_eq!(outcomes, wanted);
}

pub async fn what_has_not_ended_has_none(bench: &Bench) {
    bench.submit().retries(fixed(1, 0)).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    let held = bench.claim().await;
    held.delay(bench.now()).await.unwrap();
    let held = bench.claim().await;
    bench.let_lease_expire(&held).await;
    bench.claim().await;

    assert!(bench.all_completions().await.is_empty());
}

pub async fn repeats_add_none(bench: &Bench) {
    let held = bench.completed().await;
    for _ in 0..3 {
        held.complete(Some(b"result")).await.unwrap();
    }
    let cancelled = bench.submit().await;
    for _ in 0..3 {
        bench.cancel(&cancelled).await.unwrap();
    }
    bench.sweep().await;

    assert_eq!(bench.all_completions().await.len(), 2);
}

pub async fn the_end_and_its_completion_share_an_instant(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(77);
    held.complete(None).await.unwrap();

    let completions = bench.all_completions().await;

    assert_eq!(completions[0].at, bench.now());
    assert_eq!(bench.summary(held.execution()).await.ended_at, Some(completions[0].at));
}

pub async fn a_subscriber_that_waits_is_woken(bench: &Bench) {
    let held = bench.claimed().await;
    let mut subscription =
        bench.engine.subscribe_completion(beginning(), &ScannerFilter::NOOP).await.unwrap();

    let next =
        bench.woken_by(subscription.next(), async { held.complete(None).await.unwrap() }).await;

    let event = next.unwrap().unwrap();
    assert_eq!(event.execution_id, *held.execution());
}

pub async fn filters_narrow_completions(bench: &Bench) {
    let ours = bench.submit().namespace("ours").tag("cairn.instance_id", "a").await;
    let other_tag = bench.submit().namespace("ours").tag("cairn.instance_id", "b").await;
    let theirs = bench.submit().namespace("theirs").tag("cairn.instance_id", "a").await;
    for id in [&ours, &other_tag, &theirs] {
        bench.cancel(id).await.unwrap();
    }
    let both =
        ScannerFilter::new().with_namespace("ours").with_instance_tag("cairn.instance_id", "a");

    let completions = bench.completions(&beginning(), &both).await;

    let ids: Vec<_> = completions.into_iter().map(|event| event.execution_id).collect();
    assert_eq!(ids, [ours]);
}

pub async fn many_ends_are_all_seen(bench: &Bench) {
    let batch = (0..700).map(|_| bench.submit().deadline(bench.now()).args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    while bench.sweep().await.is_full() {}

    let completions = bench.all_completions().await;

    let distinct: std::collections::BTreeSet<_> =
        completions.iter().map(|event| event.execution_id.clone()).collect();
    assert_eq!((completions.len(), distinct.len()), (700, 700));
}
