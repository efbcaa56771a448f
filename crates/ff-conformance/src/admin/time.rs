//! Engine time: one clock that decides everything.

use ff_core::engine_error::StateKind;

use crate::harness::{Bench, Refusal, TTL_MS};

async fn engine_time(bench: &Bench) -> i64 {
    i64::try_from(bench.engine.server_time_ms().await.unwrap()).unwrap()
}

pub async fn the_engine_tells_its_own_time(bench: &Bench) {
    assert_eq!(engine_time(bench).await, bench.now().0);
    bench.advance(1_234);
    assert_eq!(engine_time(bench).await, bench.now().0);
}

/// A time server that steps the clock back must not revive a lease nor keep one for ever.
pub async fn time_never_runs_backwards_and_never_freezes(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(10_000);
    held.renew().await.unwrap();
    let before = engine_time(bench).await;

    bench.clock.step_wall_to(before - 3_600_000);
    assert!(engine_time(bench).await >= before);
    bench.advance(u64::from(TTL_MS) - 1);
    held.progress(Some(1), None).await.unwrap();
    bench.advance(1);

    held.progress(Some(2), None).await.must_be_state(&StateKind::LeaseExpired);
    assert!(bench.summary(held.execution()).await.created_at.0 < before);
}

/// A read must see the same now as a write: otherwise a check calls a lost lease held.
pub async fn reads_go_by_the_same_time_as_writes(bench: &Bench) {
    let held = bench.claimed().await;
    let before = engine_time(bench).await;
    bench.clock.step_wall_to(before - 3_600_000);
    bench.advance(u64::from(TTL_MS));

    let standing = bench.engine.check_leases(std::slice::from_ref(&held.handle)).await.unwrap();

    assert!(!standing[0].is_held());
    assert_eq!(engine_time(bench).await, before + i64::from(TTL_MS));
}

pub async fn the_callers_now_decides_nothing(bench: &Bench) {
    let held = bench.claimed().await;
    let mut args = bench.cancel_args(held.execution());
    args.now = bench.after(1_000_000);

    bench.engine.cancel_execution(args).await.unwrap();

    assert_eq!(bench.summary(held.execution()).await.ended_at, Some(bench.now()));
}
