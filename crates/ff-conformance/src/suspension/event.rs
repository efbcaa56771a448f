//! Following accepted signals.

use std::time::Duration;

use ff_core::backend::ScannerFilter;
use ff_core::stream_events::{SignalDeliveryEffect, SignalDeliveryEvent};
use ff_core::stream_subscribe::StreamCursor;
use ff_core::types::Namespace;
use futures_util::StreamExt;

use super::{delivered, parked, plain, signal, to};
use crate::harness::{Bench, Refusal, beginning};

async fn some(
    bench: &Bench,
    cursor: StreamCursor,
    filter: &ScannerFilter,
    count: usize,
) -> Vec<SignalDeliveryEvent> {
    let events = bench.engine.subscribe_signal_delivery(cursor, filter).await.unwrap();
    let events =
        tokio::time::timeout(Duration::from_secs(30), events.take(count).collect::<Vec<_>>());
    events.await.expect("events in time").into_iter().map(|event| event.unwrap()).collect()
}

pub async fn every_accepted_signal_is_told_once_with_its_effect(bench: &Bench) {
    let held = bench.claimed().await;
    let second = Duration::from_secs(1);
    let pending = bench.engine.create_waitpoint(&held.handle, "k", second).await.unwrap();
    let early = signal(bench, held.execution(), &pending.waitpoint_id, &pending.hmac_token);
    delivered(bench, early.clone()).await.unwrap();
    delivered(bench, early.clone()).await.unwrap();
    let (other, details) = parked(bench).await;
    delivered(bench, to(bench, other.execution(), &details)).await.unwrap();

    let events = some(bench, beginning(), &ScannerFilter::NOOP, 2).await;

    assert_eq!(events[0].signal_id, early.signal_id);
    assert_eq!(events[0].effect, SignalDeliveryEffect::Buffered);
    assert_eq!(events[0].waitpoint_id, Some(pending.waitpoint_id));
    assert_eq!(events[0].source_identity.as_deref(), Some("ada"));
    assert_eq!((&events[1].execution_id, events[1].at), (other.execution(), bench.now()));
    assert_eq!(events[1].effect, SignalDeliveryEffect::Satisfied);
    let rest = some(bench, events[0].cursor.clone(), &ScannerFilter::NOOP, 1).await;
    assert_eq!(rest[0].signal_id, events[1].signal_id);
}

pub async fn a_filter_passes_over_others(bench: &Bench) {
    for namespace in ["one", "two"] {
        bench.submit().namespace(namespace).await;
        let held = bench.claim().await;
        let (details, _) = super::park(bench, &held, plain(bench)).await;
        delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
        bench.claim().await.complete(None).await.unwrap();
    }
    let mut filter = ScannerFilter::NOOP;
    filter.namespace = Some(Namespace::new("two"));

    let events = some(bench, beginning(), &filter, 1).await;

    let id = &events[0].execution_id;
    let namespace = bench.engine.get_execution_namespace(id).await.unwrap();
    assert_eq!(namespace.as_deref(), Some("two"));
}

pub async fn a_malformed_cursor_is_refused(bench: &Bench) {
    let cursor = StreamCursor::new(vec![1, 2, 3]);
    let refused =
        bench.engine.subscribe_signal_delivery(cursor, &ScannerFilter::NOOP).await.map(|_| ());
    let detail = refused.must_be_invalid();
    assert!(detail.contains("subscribe_signal_delivery"), "{detail}");
}
