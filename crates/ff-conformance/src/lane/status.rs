//! What lies in each lane.

use ff_core::contracts::LaneStatus;
use ff_core::state::LaneState;
use ff_core::types::LaneId;

use crate::budget::{a_bound_lane, a_budget, bound, report};
use crate::harness::{Bench, LANE};

pub async fn a_lane_counts_what_waits_what_is_delayed_and_what_runs(bench: &Bench) {
    bench.completed().await;
    bench.submit().delay_until(bench.after(90_000)).await;
    bench.submit().priority(1).await;
    bench.claim().await;
    bench.advance(1);
    let oldest = bench.now();
    bench.submit().await;
    bench.advance(1);
    bench.submit().needs(&["gpu"]).await;
    bench.submit().lane("other").await;

    let status = bench.engine.list_lane_status().await.unwrap();

    let work = LaneStatus::new(LaneId::new(LANE), LaneState::Active, 2, 1, 1, Some(oldest));
    let other =
        LaneStatus::new(LaneId::new("other"), LaneState::Active, 1, 0, 0, Some(bench.now()));
    assert_eq!(status, [other, work]);
}

pub async fn a_lapsed_execution_counts_as_waiting(bench: &Bench) {
    bench.lapsed().await;
    bench.sweep().await;

    let status = bench.engine.list_lane_status().await.unwrap();

    assert_eq!((status[0].waiting, status[0].active), (1, 0));
}

pub async fn what_is_parked_is_counted_and_may_be_the_oldest(bench: &Bench) {
    let budget = a_budget(bench, 10, |_| {}).await;
    report(bench, &budget, 10).await;
    let oldest = bench.now();
    let first = bound(bench, &budget).await;
    bound(bench, &budget).await;
    bench.advance(1);
    bench.submit().await;
    a_bound_lane(bench, 0, 1).await;
    bench.claim().await;
    bench.advance(1);
    bench.submit().await;
    bench.submit().await;
    bench.claim().nothing().await;
    let status = || async { bench.engine.list_lane_status().await.unwrap().remove(0) };

    // The head that met the quota is parked as well; whoever stands behind it waits in line.
    let told = status().await;
    assert_eq!((told.waiting, told.parked, told.active), (1, 3, 1));
    assert_eq!(told.oldest_waiting_at, Some(oldest));

    bench.cancel(&first).await.unwrap();
    assert_eq!(status().await.parked, 2);
    bench.sweep().await;
    assert_eq!(status().await.oldest_waiting_at, Some(oldest));
}

pub async fn an_empty_lane_is_still_shown(bench: &Bench) {
    bench.completed().await;
    bench.engine.set_lane_state(&LaneId::new("beforehand"), LaneState::Paused).await.unwrap();

    let status = bench.engine.list_lane_status().await.unwrap();

    let beforehand = LaneStatus::new(LaneId::new("beforehand"), LaneState::Paused, 0, 0, 0, None);
    let work = LaneStatus::new(LaneId::new(LANE), LaneState::Active, 0, 0, 0, None);
    assert_eq!(status, [beforehand, work]);
}

pub async fn more_than_a_thousand_lanes_are_all_shown(bench: &Bench) {
    let lanes = |range: std::ops::Range<u32>| {
        range.map(|n| bench.submit().lane(&format!("lane-{n:04}")).args()).collect()
    };
    bench.engine.create_executions(lanes(0..1_000)).await.unwrap();
    bench.engine.create_executions(lanes(1_000..1_010)).await.unwrap();

    assert_eq!(bench.engine.list_lane_status().await.unwrap().len(), 1_010);
}
