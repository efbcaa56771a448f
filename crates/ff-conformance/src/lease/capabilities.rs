//! Capabilities: a worker sees everything it can run, whatever waits in front.

use crate::harness::Bench;

pub async fn an_execution_goes_only_to_a_worker_that_has_all_it_needs(bench: &Bench) {
    let id = bench.submit().needs(&["gpu", "ssd"]).await;

    bench.claim().nothing().await;
    bench.claim().with(&["gpu"]).nothing().await;
    bench.claim().with(&["GPU", "ssd"]).nothing().await;
    assert_eq!(bench.state(&id).await, ff_core::state::PublicState::Waiting);

    let held = bench.claim().with(&["x", "ssd", "gpu"]).await;
    assert_eq!(*held.execution(), id);
}

pub async fn a_worker_with_more_takes_what_needs_nothing(bench: &Bench) {
    let id = bench.submit().await;

    assert_eq!(*bench.claim().with(&["gpu"]).await.execution(), id);
}

pub async fn what_a_worker_cannot_run_never_hides_what_it_can(bench: &Bench) {
    for n in 0..500 {
        bench.submit().needs(&[&format!("c{}", n % 50)]).priority(9_000).await;
    }
    let plain = bench.submit().await;
    let special = bench.submit().needs(&["rare"]).await;

    assert_eq!(*bench.claim().await.execution(), plain);
    bench.claim().nothing().await;
    assert_eq!(*bench.claim().with(&["rare"]).await.execution(), special);
}

pub async fn five_hundred_alike_do_not_hide_one_either(bench: &Bench) {
    let batch = (0..500).map(|_| bench.submit().needs(&["gpu"]).priority(9).args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    let plain = bench.submit().await;

    assert_eq!(*bench.claim().with(&["cpu"]).await.execution(), plain);
}

pub async fn a_lapsed_execution_still_needs_its_capabilities(bench: &Bench) {
    bench.submit().needs(&["gpu"]).await;
    let lost = bench.claim().with(&["gpu"]).await;
    bench.let_lease_expire(&lost).await;

    bench.claim().nothing().await;

    assert_eq!(bench.claim().with(&["gpu"]).await.epoch(), 2);
}

pub async fn a_claimed_executions_set_makes_room_for_another(bench: &Bench) {
    let mut batch: Vec<_> =
        (0..1_024).map(|n| bench.submit().needs(&[&format!("c{n}")]).args()).collect();
    let rest = batch.split_off(1_000);
    bench.engine.create_executions(batch).await.unwrap();
    bench.engine.create_executions(rest).await.unwrap();

    bench.claim().with(&["c5"]).await;

    bench.submit().needs(&["one-more"]).await;
}
