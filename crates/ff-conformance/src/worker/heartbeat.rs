//! Heartbeats, and what becomes of who is silent.

use ff_core::contracts::HeartbeatWorkerOutcome;
use ff_core::types::{LeaseEpoch, Namespace};

use super::{LIFE_MS, beat, living, names, register};
use crate::harness::Bench;

pub async fn a_heartbeat_counts_from_now(bench: &Bench) {
    register(bench, "host:1").await;
    bench.advance(LIFE_MS - 1);

    let outcome = beat(bench, "host:1").await;

    let next_expiry_ms = bench.after(LIFE_MS);
    assert_eq!(outcome, HeartbeatWorkerOutcome::Refreshed { next_expiry_ms });
    assert_eq!(living(bench).await[0].last_heartbeat_ms, bench.now());
    bench.advance(LIFE_MS - 1);
    assert_eq!(names(bench).await, ["host:1"]);
}

pub async fn a_heartbeat_is_too_late_from_the_instant_on(bench: &Bench) {
    for is_swept in [false, true] {
        register(bench, "host:1").await;
        bench.advance(LIFE_MS);
        if is_swept {
            bench.sweep().await;
        }

        assert_eq!(beat(bench, "host:1").await, HeartbeatWorkerOutcome::NotRegistered);
        assert!(names(bench).await.is_empty());
    }
}

pub async fn who_is_unknown_has_to_register(bench: &Bench) {
    register(bench, "host:1").await;

    assert_eq!(beat(bench, "host:2").await, HeartbeatWorkerOutcome::NotRegistered);
    assert_eq!(names(bench).await, ["host:1"]);
}

pub async fn a_sweep_removes_who_fell_silent_and_nobody_else(bench: &Bench) {
    register(bench, "early").await;
    bench.advance(1);
    register(bench, "late").await;
    bench.advance(LIFE_MS - 1);

    let swept = bench.sweep().await;

    assert_eq!((swept.workers, names(bench).await), (1, vec!["late".to_owned()]));
    assert_eq!(bench.sweep().await.workers, 0);
    bench.advance(1);
    assert_eq!(bench.sweep().await.workers, 1);
}

pub async fn many_are_swept_in_bounded_steps(bench: &Bench) {
    for number in 0..300 {
        register(bench, &format!("host:{number}")).await;
    }
    bench.advance(LIFE_MS);

    let first = bench.sweep().await;
    let second = bench.sweep().await;

    assert_eq!((first.workers, second.workers), (256, 44));
    assert!(first.is_full() && !second.is_full());
}

/// A dead worker's lease comes back whether its registration lives, lapsed or was never there.
pub async fn leases_come_back_whatever_the_register_says(bench: &Bench) {
    for (is_registered, lives_on) in [(false, false), (true, false), (true, true)] {
        if is_registered {
            register(bench, "worker-1").await;
        }
        let lost = bench.claimed().await;
        bench.let_lease_expire(&lost).await;
        if lives_on {
            register(bench, "worker-1").await;
        }
        bench.sweep().await;

        let next = bench.claim().await;

        assert_eq!(next.execution(), lost.execution());
        assert_eq!(next.proof.lease_epoch, LeaseEpoch(lost.epoch() + 1));
        next.complete(None).await.unwrap();
    }
}

/// A heartbeat of the register keeps no lease.
pub async fn a_heartbeat_keeps_no_lease(bench: &Bench) {
    register(bench, "worker-1").await;
    let lost = bench.claimed().await;
    for _ in 0..3 {
        bench.advance(u64::from(crate::harness::TTL_MS) / 4);
        beat(bench, "worker-1").await;
    }
    bench.let_lease_expire(&lost).await;
    beat(bench, "worker-1").await;

    let next = bench.claim().await;

    assert_eq!(next.execution(), lost.execution());
    let elsewhere = Namespace::new("elsewhere");
    assert!(bench.engine.list_worker_status(&elsewhere).await.unwrap().is_empty());
}
