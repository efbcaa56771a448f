//! Waiting for work: in real time, bounded, and woken by whatever brings work.

use std::time::Duration;

use ff_core::state::LaneState;

use crate::harness::{Bench, Claiming, Held, TTL_MS};

/// Long enough that only a wake-up ends it within the suite's patience.
const LONG: Duration = Duration::from_secs(40);

/// Lets `work` arrive once a claim waits.
async fn woken_by(bench: &Bench, claiming: Claiming<'_>, work: impl Future<Output = ()>) -> Held {
    let claim = claiming.wait(LONG).answer();
    let work = async {
        bench.until_waiting(1).await;
        work.await;
    };
    let (held, ()) = tokio::join!(claim, work);
    held.expect("a claim").expect("work to claim")
}

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
    let held = woken_by(bench, bench.claim(), async {
        bench.submit().lane("other").await;
        bench.submit().needs(&["gpu"]).await;
        bench.submit().kind("mine").await;
    })
    .await;

    assert_eq!(bench.summary(held.execution()).await.execution_kind, "mine");
}

pub async fn a_batch_of_submits_wakes_a_waiting_worker(bench: &Bench) {
    woken_by(bench, bench.claim(), async {
        let batch = vec![bench.submit().args(), bench.submit().args()];
        bench.engine.create_executions(batch).await.unwrap();
    })
    .await;
}

pub async fn a_lease_given_back_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    let next = woken_by(bench, bench.claim(), async { held.release().await.unwrap() }).await;

    assert_eq!(next.execution(), held.execution());
}

pub async fn a_revoked_lease_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    woken_by(bench, bench.claim(), async {
        bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
    })
    .await;
}

pub async fn a_replay_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.completed().await;

    woken_by(bench, bench.claim(), async {
        bench.replay(held.execution()).await.unwrap();
    })
    .await;
}

pub async fn a_lane_that_opens_wakes_a_waiting_worker(bench: &Bench) {
    let lane = crate::harness::LANE.into();
    bench.submit().await;
    bench.engine.set_lane_state(&lane, LaneState::Paused).await.unwrap();

    woken_by(bench, bench.claim(), async {
        bench.engine.set_lane_state(&lane, LaneState::Active).await.unwrap();
    })
    .await;
}

pub async fn a_sweep_that_finds_a_lapsed_lease_wakes_a_waiting_worker(bench: &Bench) {
    let held = bench.claimed().await;

    let next = woken_by(bench, bench.claim(), async {
        bench.advance(u64::from(TTL_MS));
        bench.sweep().await;
    })
    .await;

    assert_eq!(next.execution(), held.execution());
}

pub async fn a_batch_claim_waits_for_its_first_and_not_for_more(bench: &Bench) {
    let claim = bench.claim().wait(LONG).batch(&["a", "b"], 10);
    let submit = async {
        bench.until_waiting(1).await;
        bench.submit().lane("b").await;
    };

    let (work, ()) = tokio::join!(claim, submit);

    assert_eq!(work.unwrap().len(), 1);
}
