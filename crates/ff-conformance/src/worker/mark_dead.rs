//! Declaring a worker dead.

use ff_core::contracts::{
    HeartbeatWorkerOutcome, MarkWorkerDeadArgs, MarkWorkerDeadOutcome, RegisterWorkerOutcome,
};
use ff_core::types::TimestampMs;

use super::{LIFE_MS, beat, instance, mark_dead, names, register, tenant};
use crate::harness::{Bench, Refusal};

pub async fn a_dead_worker_is_gone_and_may_come_back(bench: &Bench) {
    register(bench, "host:1").await;

    assert_eq!(mark_dead(bench, "host:1").await, MarkWorkerDeadOutcome::Marked);

    assert!(names(bench).await.is_empty());
    assert_eq!(beat(bench, "host:1").await, HeartbeatWorkerOutcome::NotRegistered);
    assert_eq!(register(bench, "host:1").await, RegisterWorkerOutcome::Registered);
}

pub async fn a_repeat_finds_nobody(bench: &Bench) {
    register(bench, "host:1").await;
    mark_dead(bench, "host:1").await;

    assert_eq!(mark_dead(bench, "host:1").await, MarkWorkerDeadOutcome::NotRegistered);
    assert_eq!(mark_dead(bench, "unknown").await, MarkWorkerDeadOutcome::NotRegistered);
    register(bench, "host:1").await;
    bench.advance(LIFE_MS);
    assert_eq!(mark_dead(bench, "host:1").await, MarkWorkerDeadOutcome::NotRegistered);
}

pub async fn its_leases_are_not_touched(bench: &Bench) {
    register(bench, "worker-1").await;
    let held = bench.claimed().await;

    mark_dead(bench, "worker-1").await;

    held.renew().await.unwrap();
    held.complete(None).await.unwrap();
}

pub async fn a_reason_is_short_and_printable(bench: &Bench) {
    register(bench, "host:1").await;
    let mark = |reason: String| {
        let args = MarkWorkerDeadArgs::new(instance("host:1"), tenant(), reason, TimestampMs(0));
        bench.engine.mark_worker_dead(args)
    };

    let told = mark("x".repeat(257)).await.must_be_invalid();
    assert_eq!(told, "reason: exceeds 256 bytes (got 257)");
    let told = mark("a\nb".to_owned()).await.must_be_invalid();
    assert_eq!(told, "reason: must not contain control characters");
    assert_eq!(names(bench).await, ["host:1"]);
    assert_eq!(mark("x".repeat(256)).await.unwrap(), MarkWorkerDeadOutcome::Marked);
}
