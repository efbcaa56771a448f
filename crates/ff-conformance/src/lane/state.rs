//! Pausing and resuming a lane.

use ff_core::state::{LaneState, PublicState};
use ff_core::types::LaneId;

use crate::harness::{Bench, LANE, Refusal};

pub async fn a_paused_lane_hands_out_nothing_until_it_is_resumed(bench: &Bench) {
    let id = bench.submit().await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();
    bench.claim().nothing().await;
    assert_eq!(bench.state(&id).await, PublicState::Waiting);

    bench.engine.set_lane_state(&LANE.into(), LaneState::Active).await.unwrap();

    assert_eq!(*bench.claim().await.execution(), id);
}

pub async fn what_runs_goes_on(bench: &Bench) {
    let held = bench.claimed().await;

    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    held.renew().await.unwrap();
    held.complete(None).await.unwrap();
}

pub async fn other_lanes_go_on(bench: &Bench) {
    bench.submit().lane("other").await;

    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    bench.claim().lane("other").await;
}

pub async fn a_paused_lane_still_takes_work_in(bench: &Bench) {
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    let id = bench.submit().await;

    assert_eq!(bench.state(&id).await, PublicState::Waiting);
    bench.claim().nothing().await;
}

pub async fn the_same_state_again_is_nothing(bench: &Bench) {
    bench.submit().await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    let lane = LANE.into();
    let again = bench.engine.set_lane_state(&lane, LaneState::Paused);

    bench.unchanged_by(again).await.unwrap();
}

pub async fn a_state_that_no_rule_knows_is_refused(bench: &Bench) {
    bench.submit().await;

    for state in [LaneState::Draining, LaneState::Disabled] {
        let refused = bench.unchanged_by(bench.engine.set_lane_state(&LANE.into(), state)).await;
        refused.must_be_invalid();
    }
}

pub async fn a_malformed_lane_is_refused(bench: &Bench) {
    for lane in ["", "caf\u{e9}", &"x".repeat(65)] {
        let lane = LaneId::new(lane);
        let refused = bench.engine.set_lane_state(&lane, LaneState::Paused);
        bench.unchanged_by(refused).await.must_be_invalid();
    }
}

pub async fn a_lapsed_execution_of_a_paused_lane_is_not_reclaimed(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();
    bench.let_lease_expire(&held).await;

    bench.claim().nothing().await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Active).await.unwrap();

    assert_eq!(bench.claim().await.epoch(), 2);
}
