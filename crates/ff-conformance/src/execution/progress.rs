//! Telling progress: what a worker says about its attempt.

use ff_core::engine_error::{ContentionKind, StateKind};

use crate::harness::{Bench, Refusal};

pub async fn what_is_given_is_stored_and_the_rest_stays(bench: &Bench) {
    let held = bench.claimed().await;

    held.progress(Some(10), Some("reading")).await.unwrap();
    held.progress(Some(20), None).await.unwrap();
    let summary = bench.summary(held.execution()).await;
    assert_eq!(summary.progress_pct, Some(20));
    assert_eq!(summary.progress_message.as_deref(), Some("reading"));

    held.progress(None, Some("writing")).await.unwrap();
    let summary = bench.summary(held.execution()).await;
    assert_eq!(summary.progress_pct, Some(20));
    assert_eq!(summary.progress_message.as_deref(), Some("writing"));
}

pub async fn a_hundred_percent_is_the_most(bench: &Bench) {
    let held = bench.claimed().await;

    held.progress(Some(100), None).await.unwrap();

    bench.unchanged_by(held.progress(Some(101), None)).await.must_be_invalid();
}

pub async fn nothing_given_writes_nothing_and_still_checks_the_lease(bench: &Bench) {
    let held = bench.claimed().await;
    bench.unchanged_by(held.progress(None, None)).await.unwrap();

    bench.let_lease_expire(&held).await;

    bench.unchanged_by(held.progress(None, None)).await.must_be_state(&StateKind::LeaseExpired);
}

pub async fn progress_is_no_event_and_no_transition(bench: &Bench) {
    let held = bench.claimed().await;

    held.progress(Some(10), None).await.unwrap();

    assert_eq!(bench.lease_story(held.execution()).await, ["acquired"]);
    assert_eq!(bench.causes(held.execution()).await, ["created", "claimed"]);
}

pub async fn only_the_live_lease_may_tell_progress(bench: &Bench) {
    let stale = bench.lapsed().await;
    let refused = bench.unchanged_by(stale.progress(Some(1), None)).await;
    refused.must_be_state(&StateKind::LeaseExpired);
    let held = bench.claim().await;

    let refused = bench.unchanged_by(stale.progress(Some(1), None)).await;
    refused.must_be_contention(&ContentionKind::LeaseConflict);

    held.complete(None).await.unwrap();
    let refused = bench.unchanged_by(held.progress(Some(1), None)).await;
    assert_eq!(refused.must_be_not_active().terminal_outcome, "success");
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let held = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    bench.unchanged_by(held.progress(Some(1), None)).await.must_be_not_found("execution");
}
