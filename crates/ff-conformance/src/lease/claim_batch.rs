//! Claiming many at once, over several lanes.

use ff_core::contracts::CLAIM_BATCH_MAX;
use ff_core::types::ExecutionId;

use crate::harness::{Bench, Refusal, TTL_MS};

fn ids(work: &[ff_core::contracts::ClaimedWork]) -> Vec<ExecutionId> {
    work.iter().map(|work| work.execution_id.clone()).collect()
}

pub async fn a_batch_takes_up_to_its_maximum_in_order(bench: &Bench) {
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(bench.submit().await);
        bench.advance(1);
    }

    let first = bench.claim().batch(&["work"], 3).await.unwrap();
    let rest = bench.claim().batch(&["work"], 3).await.unwrap();

    assert_eq!(ids(&first), submitted[..3]);
    assert_eq!(ids(&rest), submitted[3..]);
    assert!(bench.claim().batch(&["work"], 3).await.unwrap().is_empty());
}

pub async fn the_best_goes_first_across_lanes(bench: &Bench) {
    let old = bench.submit().lane("b").await;
    bench.advance(1);
    let new = bench.submit().lane("a").await;
    let urgent = bench.submit().lane("c").priority(1).await;
    bench.submit().lane("d").await;

    let work = bench.claim().batch(&["a", "b", "c"], 10).await.unwrap();

    assert_eq!(ids(&work), [urgent, old, new]);
}

pub async fn a_lane_named_twice_counts_once(bench: &Bench) {
    bench.submit().await;

    let work = bench.claim().batch(&["work", "work"], 10).await.unwrap();

    assert_eq!(work.len(), 1);
}

pub async fn claimed_work_comes_with_everything_a_worker_needs(bench: &Bench) {
    let id = bench
        .submit()
        .kind("letter")
        .payload(b"\x00body\xff")
        .encoding("cbor")
        .tag("app.owner", "ann")
        .deadline(bench.after(90_000))
        .await;

    let work = bench.claim().batch(&["work"], 1).await.unwrap().remove(0);

    assert_eq!(work.execution_id, id);
    assert_eq!(work.execution_kind, "letter");
    assert_eq!(work.lane_id.as_str(), "work");
    assert_eq!(work.input_payload, b"\x00body\xff");
    assert_eq!(work.payload_encoding.as_deref(), Some("cbor"));
    assert_eq!(work.tags.get("app.owner").map(String::as_str), Some("ann"));
    assert_eq!(work.deadline_at, Some(bench.after(90_000)));
    assert_eq!(work.lease_expires_at, bench.after(u64::from(TTL_MS)));
    let held = bench.holding(work.handle);
    assert_eq!((work.attempt_index, work.lease_epoch.0), (held.proof.attempt_index, 1));
    assert_eq!((&work.attempt_id, &work.lease_id), (&held.proof.attempt_id, &held.proof.lease_id));
    held.complete(None).await.unwrap();
}

pub async fn a_batch_has_one_to_256_members_and_a_lane(bench: &Bench) {
    bench.submit().await;

    for max in [0, CLAIM_BATCH_MAX + 1] {
        bench.unchanged_by(bench.claim().batch(&["work"], max)).await.must_be_invalid();
    }
    bench.unchanged_by(bench.claim().batch(&[], 1)).await.must_be_invalid();
    assert_eq!(bench.claim().batch(&["work"], CLAIM_BATCH_MAX).await.unwrap().len(), 1);
}

pub async fn a_full_batch_is_256(bench: &Bench) {
    let batch = (0..300).map(|_| bench.submit().args()).collect();
    bench.engine.create_executions(batch).await.unwrap();

    assert_eq!(bench.claim().batch(&["work"], CLAIM_BATCH_MAX).await.unwrap().len(), 256);
    assert_eq!(bench.claim().batch(&["work"], CLAIM_BATCH_MAX).await.unwrap().len(), 44);
}

pub async fn a_paused_lane_is_left_out(bench: &Bench) {
    bench.submit().lane("a").await;
    let open = bench.submit().lane("b").await;
    let paused = ff_core::state::LaneState::Paused;
    bench.engine.set_lane_state(&"a".into(), paused).await.unwrap();

    assert_eq!(ids(&bench.claim().batch(&["a", "b"], 10).await.unwrap()), [open]);
}
