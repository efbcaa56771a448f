//! Parking an attempt until the execution's children are done.

use ff_core::backend::HandleKind;
use ff_core::state::PublicState;

use super::apply::draw;
use super::stage::{edge, members};
use crate::harness::{Bench, Refusal};

pub async fn without_children_it_goes_on_at_once(bench: &Bench) {
    let held = bench.claimed().await;

    bench.engine.wait_children(&held.handle).await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Waiting);
    let again = bench.claim().await;
    assert_eq!((again.kind(), again.attempt(), again.epoch()), (HandleKind::Resumed, 0, 2));
}

pub async fn it_goes_on_when_every_child_has_succeeded(bench: &Bench) {
    let (flow, ids) = members(bench, 3).await;
    let parent = bench.claim().lane("n2").await;
    draw(bench, edge(bench, &flow, [&ids[0], &ids[2]], 3)).await;
    draw(bench, edge(bench, &flow, [&ids[1], &ids[2]], 4)).await;

    bench.engine.wait_children(&parent.handle).await.unwrap();

    assert_eq!(bench.state(&ids[2]).await, PublicState::WaitingChildren);
    bench.claim().lane("n2").nothing().await;
    bench.claim().lane("n0").await.complete(None).await.unwrap();
    assert_eq!(bench.state(&ids[2]).await, PublicState::WaitingChildren);
    bench.claim().lane("n1").await.complete(None).await.unwrap();
    let again = bench.claim().lane("n2").await;
    assert_eq!((again.kind(), again.attempt(), again.epoch()), (HandleKind::Resumed, 0, 2));
}

pub async fn a_child_that_fails_wakes_it_and_does_not_skip_it(bench: &Bench) {
    let (flow, ids) = members(bench, 2).await;
    let parent = bench.claim().lane("n1").await;
    draw(bench, edge(bench, &flow, [&ids[0], &ids[1]], 2)).await;
    bench.engine.wait_children(&parent.handle).await.unwrap();

    bench.cancel(&ids[0]).await.unwrap();

    assert_eq!(bench.state(&ids[1]).await, PublicState::Waiting);
    bench.claim().lane("n1").await.complete(None).await.unwrap();
}

pub async fn after_a_child_that_failed_it_waits_for_the_others(bench: &Bench) {
    let (flow, ids) = members(bench, 3).await;
    let parent = bench.claim().lane("n2").await;
    draw(bench, edge(bench, &flow, [&ids[0], &ids[2]], 3)).await;
    draw(bench, edge(bench, &flow, [&ids[1], &ids[2]], 4)).await;
    bench.engine.wait_children(&parent.handle).await.unwrap();
    bench.cancel(&ids[0]).await.unwrap();
    let again = bench.claim().lane("n2").await;

    bench.engine.wait_children(&again.handle).await.unwrap();

    assert_eq!(bench.state(&ids[2]).await, PublicState::WaitingChildren);
    bench.claim().lane("n1").await.complete(None).await.unwrap();
    assert_eq!(bench.state(&ids[2]).await, PublicState::Waiting);
}

pub async fn its_lease_has_ended(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.wait_children(&held.handle).await.unwrap();

    let again = bench.engine.wait_children(&held.handle);

    bench.unchanged_by(again).await.must_be_not_active();
    assert!(held.renew().await.is_err());
}
