//! The history of leases: how each came, was kept and went.

use ff_core::backend::{FailureClass, ScannerFilter};
use ff_core::stream_events::LeaseHistoryEvent;

use crate::harness::{Bench, Refusal, beginning, cause, fixed, word};

pub async fn every_event_names_execution_lease_holder_and_instant(bench: &Bench) {
    let first = bench.claimed().await;
    let acquired_at = bench.now();
    bench.advance(10);
    first.renew().await.unwrap();
    let renewed_at = bench.now();
    bench.let_lease_expire(&first).await;
    let second = bench.claim().worker("heir").await;

    let events = bench.all_lease_events().await;

    let [acquired, renewed, expired, reclaimed] = &events[..] else { panic!("{events:?}") };
    let LeaseHistoryEvent::Acquired { lease_id, worker_instance_id, at, .. } = acquired else {
        panic!("{acquired:?}")
    };
    assert_eq!(lease_id.as_ref(), Some(&first.proof.lease_id));
    assert_eq!(worker_instance_id.as_ref().unwrap().as_str(), "worker-1");
    assert_eq!(*at, acquired_at);
    let LeaseHistoryEvent::Renewed { lease_id, at, .. } = renewed else { panic!("{renewed:?}") };
    assert_eq!((lease_id.as_ref(), *at), (Some(&first.proof.lease_id), renewed_at));
    let LeaseHistoryEvent::Expired { lease_id, prev_owner, at, .. } = expired else {
        panic!("{expired:?}")
    };
    assert_eq!((lease_id.as_ref(), *at), (Some(&first.proof.lease_id), bench.now()));
    assert_eq!(prev_owner.as_ref().unwrap().as_str(), "worker-1");
    let LeaseHistoryEvent::Reclaimed { new_lease_id, new_owner, .. } = reclaimed else {
        panic!("{reclaimed:?}")
    };
    assert_eq!(new_lease_id.as_ref(), Some(&second.proof.lease_id));
    assert_eq!(new_owner.as_ref().unwrap().as_str(), "heir-1");
    assert!(events.iter().all(|event| event.execution_id() == first.execution()));
}

pub async fn every_end_of_a_lease_tells_its_cause(bench: &Bench) {
    bench.submit().retries(fixed(1, 0)).attempt_timeout(20_000).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.claim().await.delay(bench.after(1)).await.unwrap();
    bench.advance(1);
    bench.claim().await.release().await.unwrap();
    let held = bench.claim().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
    bench.claim().await;
    bench.advance(20_000);
    bench.sweep().await;
    bench.claimed().await.cancel("not needed").await.unwrap();
    bench.submit().deadline(bench.after(10)).await;
    bench.claim().await;
    bench.advance(10);
    bench.sweep().await;
    bench.completed().await;

    let events = bench.all_lease_events().await;
    let causes: Vec<&str> =
        events.iter().filter(|event| word(event) == "revoked").map(cause).collect();

    let wanted = [
        "failed",
        "worker_delay",
        "lease_given_back",
        "maintenance",
        "attempt_timed_out",
        "cancelled",
        "deadline_passed",
        "completed",
    ];
    assert_eq!(causes, wanted);
}

pub async fn events_come_in_the_order_of_what_happened(bench: &Bench) {
    let mut wanted = Vec::new();
    for _ in 0..5 {
        let held = bench.claimed().await;
        wanted.push(("acquired", held.execution().clone()));
        held.renew().await.unwrap();
        wanted.push(("renewed", held.execution().clone()));
        held.complete(None).await.unwrap();
        wanted.push(("revoked", held.execution().clone()));
    }

    let events = bench.all_lease_events().await;

    let seen: Vec<_> =
        events.iter().map(|event| (word(event), event.execution_id().clone())).collect();
    assert_eq!(seen, wanted);
}

pub async fn a_refusal_announces_nothing(bench: &Bench) {
    let held = bench.lapsed().await;
    bench.sweep().await;
    let before = bench.all_lease_events().await.len();

    assert!(held.renew().await.is_err());
    assert!(held.complete(None).await.is_err());
    assert!(held.delay(bench.now()).await.is_err());

    assert_eq!(bench.all_lease_events().await.len(), before);
}

pub async fn a_namespace_narrows_the_history(bench: &Bench) {
    let ours = bench.submit().namespace("ours").await;
    bench.submit().namespace("theirs").await;
    bench.claim().await;
    bench.claim().await;

    let filter = ScannerFilter::new().with_namespace("ours");
    let events = bench.lease_events(&beginning(), &filter).await;

    assert_eq!(events.len(), 1);
    assert_eq!(*events[0].execution_id(), ours);
}

pub async fn an_instance_tag_narrows_the_history(bench: &Bench) {
    let ours = bench.submit().tag("cairn.instance_id", "a").await;
    bench.submit().tag("cairn.instance_id", "b").await;
    bench.submit().await;
    for _ in 0..3 {
        bench.claim().await;
    }

    let filter = ScannerFilter::new().with_instance_tag("cairn.instance_id", "a");
    let events = bench.lease_events(&beginning(), &filter).await;

    assert_eq!(events.len(), 1);
    assert_eq!(*events[0].execution_id(), ours);
}

/// A filter that can match nothing must not look like a quiet system.
pub async fn a_filter_on_a_tag_that_events_do_not_carry_is_refused(bench: &Bench) {
    let filter = ScannerFilter::new().with_instance_tag("app.owner", "ann");

    let refused = bench.engine.subscribe_lease_history(beginning(), &filter).await;
    refused.map(|_| ()).must_be_invalid();
    let refused = bench.engine.subscribe_completion(beginning(), &filter).await;
    refused.map(|_| ()).must_be_invalid();
}
