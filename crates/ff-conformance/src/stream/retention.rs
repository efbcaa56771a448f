//! How long frames stay after the end of their attempt.

use ff_core::backend::FailureClass;
use ff_core::policy::{ExecutionPolicy, StreamPolicy};
use ff_core::types::AttemptIndex;

use super::{append, live, patch, payloads, stream_of, text};
use crate::harness::{Bench, fixed};

/// Frames stay for this long after the end of their attempt.
const TTL_MS: u64 = 1_000;

fn staying(policy: &mut ExecutionPolicy) {
    policy.stream_policy = Some(StreamPolicy {
        durability_mode: "durable".to_owned(),
        retention_maxlen: 0,
        retention_ttl_ms: Some(TTL_MS),
    });
}

pub async fn the_frames_of_an_ended_attempt_go_at_their_instant(bench: &Bench) {
    bench.submit().policy(staying).await;
    let held = bench.claim().await;
    append(bench, &held, text("a")).await;
    append(bench, &held, live("b", 60_000)).await;
    append(bench, &held, patch("{\"c\": 1}")).await;
    bench.advance(10);
    held.complete(None).await.unwrap();
    let count = || async { stream_of(bench, held.execution(), 0).await.frames.len() };

    bench.advance(TTL_MS - 1);
    bench.sweep().await;
    assert_eq!(count().await, 3, "kept through its last instant");

    bench.advance(1);
    let read = stream_of(bench, held.execution(), 0).await;
    assert!(read.frames.is_empty(), "unswept");
    assert_eq!(read.closed_reason.as_deref(), Some("attempt_success"));
    assert!(bench.sweep().await.trimmed > 0);
    assert_eq!(count().await, 0);
    let index = AttemptIndex(0);
    let summary = bench.engine.read_summary(held.execution(), index).await.unwrap();
    assert!(summary.is_some(), "the document stays");
}

/// However often retention looked at it meanwhile.
pub async fn an_attempt_that_goes_on_keeps_its_frames(bench: &Bench) {
    bench.submit().policy(staying).await;
    let held = bench.claim().await;
    append(bench, &held, text("a")).await;
    for _ in 0..4 {
        bench.advance(TTL_MS + 300);
        bench.sweep().await;
        assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["a"]);
    }
    held.complete(None).await.unwrap();

    bench.advance(TTL_MS - 1);
    bench.sweep().await;
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["a"]);
    bench.advance(1);
    bench.sweep().await;
    assert!(stream_of(bench, held.execution(), 0).await.frames.is_empty());
}

pub async fn each_attempt_has_a_time_of_its_own(bench: &Bench) {
    bench
        .submit()
        .policy(|policy| {
            staying(policy);
            policy.retry_policy = Some(fixed(5, 0));
        })
        .await;
    let first = bench.claim().await;
    append(bench, &first, text("first")).await;
    first.fail("broken", FailureClass::Transient).await.unwrap();
    let second = bench.claim().await;
    append(bench, &second, text("second")).await;

    bench.advance(TTL_MS);
    bench.sweep().await;

    assert!(stream_of(bench, first.execution(), 0).await.frames.is_empty());
    assert_eq!(payloads(&stream_of(bench, first.execution(), 1).await), ["second"]);
}

pub async fn a_long_stream_goes_in_bounded_steps(bench: &Bench) {
    bench.submit().policy(staying).await;
    let held = bench.claim().await;
    for _ in 0..600 {
        append(bench, &held, text("x")).await;
    }
    held.complete(None).await.unwrap();
    bench.advance(TTL_MS);

    let mut steps = 0;
    while bench.sweep().await.trimmed > 0 {
        steps += 1;
        assert!(steps < 20, "the sweep comes to rest");
    }

    assert!(steps >= 3, "{steps} steps for 600 frames");
}

pub async fn without_a_time_frames_stay_with_their_execution(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("x")).await;
    held.complete(None).await.unwrap();

    bench.advance(bench.limits.retention.0 - 1);
    bench.sweep().await;

    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["x"]);
}
