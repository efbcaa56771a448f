//! Waiting for work: in real time, bounded, and woken by whatever brings work.

use std::time::Duration;

use ff_core::state::LaneState;

use crate::harness::{Bench, TTL_MS};

/// Longer than the suite's patience with a call that is to be woken.
const LONG: Duration = Duration::from_secs(40);

pub async fn a_wait_ends_with_nothing_when_its_time_is_over(bench: &Bench) {
    bench.claim().wait(Duration::from_millis(30)).nothing().await;
    bench.claim().wait(Duration::ZERO).nothing().await;
}

pub async fn work_that_is_there_is_not_waited_for(bench: &Bench) {
    let id = bench.submit().await;

    let held = bench.claim().wait(LONG).await;

    assert_eq!(*held.execution(), id);
}

pub async fn a_submit_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench
        .woken_by(bench.claim().wait(LONG), async {
            bench.submit().lane("other").await;
            bench.submit().needs(&["gpu"]).await;
            bench.submit().kind("mine").await;
        })
        .await;

    assert_eq!(bench.summary(held.execution()).await.execution_kind, "mine");
}

pub async fn a_batch_of_submits_wakes_a_waiting_worker(bench: &Bench) {
    bench
        .woken_by(bench.claim().wait(LONG), async {
            let batch = vec![bench.submit().args(), bench.submit().args()];
            bench.engine.create_executions(batch).await.unwrap();
        })
        .await;
}

pub async fn a_lease_given_back_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    let next =
        bench.woken_by(bench.claim().wait(LONG), async { held.release().await.unwrap() }).await;

    assert_eq!(next.execution(), held.execution());
}

pub async fn a_revoked_lease_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    bench
        .woken_by(bench.claim().wait(LONG), async {
            bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
        })
        .await;
}

pub async fn a_replay_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.completed().await;

    bench
        .woken_by(bench.claim().wait(LONG), async {
            bench.replay(held.execution()).await.unwrap();
        })
        .await;
}

pub async fn a_lane_that_opens_wakes_a_waiting_worker(bench: &Bench) {
    let lane = crate::harness::LANE.into();
    bench.submit().await;
    bench.engine.set_lane_state(&lane, LaneState::Paused).await.unwrap();

    bench
        .woken_by(bench.claim().wait(LONG), async {
            bench.engine.set_lane_state(&lane, LaneState::Active).await.unwrap();
        })
        .await;
}

pub async fn a_sweep_that_finds_a_lapsed_lease_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    let next = bench
        .woken_by(bench.claim().wait(LONG), async {
            bench.advance(u64::from(TTL_MS));
            bench.sweep().await;
        })
        .await;

    assert_eq!(next.execution(), held.execution());
}

pub async fn a_batch_claim_waits_for_its_first_and_not_for_more(bench: &Bench) {
    let claim = bench.claim().wait(LONG).batch(&["a", "b"], 10);

    let work = bench.woken_by(claim, async { drop(bench.submit().lane("b").await) }).await;

    assert_eq!(work.unwrap().len(), 1);
}
