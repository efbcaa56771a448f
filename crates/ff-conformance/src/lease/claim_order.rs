//! The order of a lane: priority, then age, then id.

use ff_core::backend::{FailureClass, HandleKind};
use ff_core::types::ExecutionId;

use crate::harness::{Bench, fixed};

async fn order(bench: &Bench, count: usize) -> Vec<ExecutionId> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(bench.claim().await.execution().clone());
    }
    bench.claim().nothing().await;
    taken
}

pub async fn higher_priority_goes_first(bench: &Bench) {
    let low = bench.submit().priority(1).await;
    bench.advance(1);
    let high = bench.submit().priority(9_000).await;
    bench.advance(1);
    let middle = bench.submit().priority(2).await;

    assert_eq!(order(bench, 3).await, [high, middle, low]);
}

pub async fn among_equals_the_oldest_goes_first(bench: &Bench) {
    let (small, great) = (bench.new_id(), bench.new_id());
    bench.submit().id(&great).await;
    bench.advance(1);
    bench.submit().id(&small).await;

    assert_eq!(order(bench, 2).await, [great, small]);
}

pub async fn among_twins_the_smaller_id_goes_first(bench: &Bench) {
    let ids: Vec<_> = (0..5).map(|_| bench.new_id()).collect();
    for index in [3, 0, 4, 1, 2] {
        bench.submit().id(&ids[index]).await;
    }

    assert_eq!(order(bench, 5).await, ids);
}

pub async fn partitions_do_not_disturb_the_order(bench: &Bench) {
    let mut ids = Vec::new();
    for partition in [7, 0, 255, 3] {
        ids.push(bench.submit().id(&bench.new_id_in(partition)).await);
        bench.advance(1);
    }
    let urgent = bench.submit().id(&bench.new_id_in(200)).priority(1).await;

    ids.insert(0, urgent);
    assert_eq!(order(bench, 5).await, ids);
}

pub async fn capability_sets_do_not_disturb_the_order(bench: &Bench) {
    let mut ids = Vec::new();
    for needs in [&["gpu"][..], &[], &["gpu", "ssd"], &["ssd"], &[]] {
        ids.push(bench.submit().needs(needs).await);
        bench.advance(1);
    }

    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(bench.claim().with(&["gpu", "ssd"]).await.execution().clone());
    }
    assert_eq!(taken, ids);
}

pub async fn a_retry_comes_back_to_its_old_place(bench: &Bench) {
    let first = bench.submit().retries(fixed(1, 100)).await;
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.advance(1);
    let second = bench.submit().await;
    bench.advance(99);

    assert_eq!(order(bench, 2).await, [first, second]);
}

pub async fn a_lapsed_execution_is_claimed_in_its_lanes_order(bench: &Bench) {
    let lost = bench.claimed().await;
    bench.advance(1);
    let urgent = bench.submit().priority(5).await;
    let newer = bench.submit().await;
    bench.let_lease_expire(&lost).await;

    let taken = [bench.claim().await, bench.claim().await, bench.claim().await];

    assert_eq!(
        taken.clone().map(|held| held.execution().clone()),
        [urgent, lost.execution().clone(), newer]
    );
    assert_eq!(taken[1].kind(), HandleKind::Reclaimed);
}

pub async fn a_delayed_execution_keeps_its_age(bench: &Bench) {
    let delayed = bench.submit().delay_until(bench.after(10)).await;
    bench.advance(5);
    let newer = bench.submit().await;
    bench.advance(5);

    assert_eq!(order(bench, 2).await, [delayed, newer]);
}

pub async fn lanes_are_apart(bench: &Bench) {
    let here = bench.submit().await;
    let there = bench.submit().lane("other").priority(9).await;

    assert_eq!(order(bench, 1).await, [here]);
    assert_eq!(*bench.claim().lane("other").await.execution(), there);
}
