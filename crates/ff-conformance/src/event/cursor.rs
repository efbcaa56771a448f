//! Cursors: resuming where a subscriber stopped, with nothing skipped and nothing doubled.

use ff_core::backend::ScannerFilter;
use ff_core::stream_events::CompletionEvent;
use ff_core::stream_subscribe::{StreamCursor, encode_event_cursor};
use ff_core::types::ExecutionId;
use futures_util::StreamExt;

use crate::harness::{Bench, Refusal, beginning};

const NOOP: ScannerFilter = ScannerFilter::NOOP;

fn places(events: &[CompletionEvent]) -> Vec<(StreamCursor, ExecutionId)> {
    events.iter().map(|event| (event.cursor.clone(), event.execution_id.clone())).collect()
}

async fn ended(bench: &Bench, count: usize) {
    for _ in 0..count {
        bench.completed().await;
    }
}

pub async fn a_subscriber_resumes_behind_any_event(bench: &Bench) {
    ended(bench, 6).await;
    let completions = bench.all_completions().await;
    for (index, event) in completions.iter().enumerate() {
        let resumed = bench.completions(&event.cursor, &NOOP).await;
        assert_eq!(places(&resumed), places(&completions[index + 1..]));
    }

    let history = bench.all_lease_events().await;
    for (index, event) in history.iter().enumerate() {
        assert_eq!(bench.lease_events(event.cursor(), &NOOP).await, history[index + 1..]);
    }
}

pub async fn cursors_rise(bench: &Bench) {
    ended(bench, 4).await;

    let completions = bench.all_completions().await;
    let history = bench.all_lease_events().await;

    assert!(completions.is_sorted_by(|a, b| a.cursor.as_bytes() < b.cursor.as_bytes()));
    assert!(history.is_sorted_by(|a, b| a.cursor().as_bytes() < b.cursor().as_bytes()));
}

pub async fn an_empty_cursor_means_from_now_on(bench: &Bench) {
    ended(bench, 2).await;
    let empty = StreamCursor::empty();
    let mut completions = bench.engine.subscribe_completion(empty.clone(), &NOOP).await.unwrap();
    let mut history = bench.engine.subscribe_lease_history(empty, &NOOP).await.unwrap();

    let held = bench.completed().await;

    let first = completions.next().await.unwrap().unwrap();
    assert_eq!(first.execution_id, *held.execution());
    let first = history.next().await.unwrap().unwrap();
    assert_eq!(first.execution_id(), held.execution());
    assert_eq!(crate::harness::word(&first), "acquired");
}

/// "Now" is the moment of the call, not of the first read.
pub async fn nothing_is_lost_between_subscribing_and_reading(bench: &Bench) {
    let empty = StreamCursor::empty();
    let subscription = bench.engine.subscribe_completion(empty, &NOOP).await.unwrap();
    ended(bench, 3).await;

    let seen: Vec<_> = subscription.take(3).collect().await;

    assert!(seen.iter().all(Result::is_ok));
}

pub async fn filtered_events_move_the_cursor(bench: &Bench) {
    let ours = bench.submit().namespace("ours").await;
    bench.cancel(&ours).await.unwrap();
    ended(bench, 3).await;
    let later = bench.submit().namespace("ours").await;
    bench.cancel(&later).await.unwrap();
    let filter = ScannerFilter::new().with_namespace("ours");

    let completions = bench.completions(&beginning(), &filter).await;
    let resumed = bench.completions(&completions[0].cursor, &filter).await;

    assert_eq!(completions.len(), 2);
    assert_eq!(places(&resumed), places(&completions[1..]));
}

pub async fn a_malformed_cursor_is_refused(bench: &Bench) {
    ended(bench, 1).await;
    for bytes in [
        vec![2],
        vec![2; 8],
        vec![2; 10],
        vec![1, 0, 0, 0, 0, 0, 0, 0, 1],
        vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let cursor = StreamCursor::new(bytes);
        let refused = bench.engine.subscribe_completion(cursor.clone(), &NOOP).await;
        refused.map(|_| ()).must_be_invalid();
        let refused = bench.engine.subscribe_lease_history(cursor, &NOOP).await;
        refused.map(|_| ()).must_be_invalid();
    }
}

/// A cursor of another store would skip everything up to it.
pub async fn a_cursor_ahead_of_every_event_is_refused(bench: &Bench) {
    ended(bench, 1).await;
    let cursor = encode_event_cursor(1_000_000);

    let refused = bench.engine.subscribe_completion(cursor.clone(), &NOOP).await;
    refused.map(|_| ()).must_be_invalid();
    let refused = bench.engine.subscribe_lease_history(cursor, &NOOP).await;
    refused.map(|_| ()).must_be_invalid();
}

pub async fn a_cursor_older_than_the_oldest_event_kept_is_refused(bench: &Bench) {
    ended(bench, 3).await;
    let old = bench.all_completions().await;
    bench.advance(bench.limits.event_retention.0);
    bench.sweep().await;
    assert_eq!(bench.all_completions().await.len(), 3, "kept through its last instant");

    bench.advance(1);
    bench.sweep().await;

    for cursor in [beginning(), old[0].cursor.clone()] {
        let refused = bench.engine.subscribe_completion(cursor, &NOOP).await;
        assert!(refused.map(|_| ()).must_be_invalid().contains("oldest"));
    }
    let refused = bench.engine.subscribe_lease_history(beginning(), &NOOP).await;
    refused.map(|_| ()).must_be_invalid();
    let from_now = StreamCursor::empty();
    assert!(bench.engine.subscribe_completion(from_now, &NOOP).await.is_ok());
}

pub async fn a_cursor_at_the_edge_of_what_is_kept_is_accepted(bench: &Bench) {
    let first = bench.submit().await;
    bench.cancel(&first).await.unwrap();
    bench.advance(1);
    let second = bench.submit().await;
    bench.cancel(&second).await.unwrap();
    let mut subscription = bench.engine.subscribe_completion(beginning(), &NOOP).await.unwrap();
    let edge = subscription.next().await.unwrap().unwrap().cursor;
    bench.advance(bench.limits.event_retention.0);
    bench.sweep().await;

    let mut resumed = bench.engine.subscribe_completion(edge, &NOOP).await.unwrap();

    assert_eq!(resumed.next().await.unwrap().unwrap().execution_id, second);
}

/// A reader that was too slow hears of the gap; it never resumes silently behind it.
pub async fn a_slow_reader_hears_of_the_gap(bench: &Bench) {
    let mut subscription = bench.engine.subscribe_completion(beginning(), &NOOP).await.unwrap();
    ended(bench, 2).await;
    bench.advance(bench.limits.event_retention.0 + 1);
    bench.sweep().await;
    ended(bench, 1).await;

    let first = subscription.next().await.unwrap();

    first.must_be_invalid();
    assert!(subscription.next().await.is_none(), "an error is the last item");
}
