//! Registering: a worker says what it is, for how long it may be silent.

use ff_core::contracts::{RegisterWorkerArgs, RegisterWorkerOutcome};
use ff_core::engine_error::ValidationKind;
use ff_core::types::{LaneId, Namespace, WorkerId};

use super::{LIFE_MS, args, beat, instance, living, mark_dead, names, register};
use crate::harness::{Bench, Refusal};

pub async fn a_worker_is_listed_with_what_it_said(bench: &Bench) {
    assert_eq!(register(bench, "host:1").await, RegisterWorkerOutcome::Registered);

    let [worker] = &living(bench).await[..] else { panic!("one worker") };

    let given = args("host:1");
    assert_eq!(worker.worker_id, given.worker_id);
    assert_eq!(worker.worker_instance_id, given.worker_instance_id);
    assert_eq!(worker.namespace, given.namespace);
    assert_eq!(worker.lanes, given.lanes);
    assert_eq!(worker.capabilities, given.capabilities);
    assert_eq!(worker.liveness_ttl_ms, LIFE_MS);
    assert_eq!((worker.last_heartbeat_ms, worker.registered_at_ms), (bench.now(), bench.now()));
}

pub async fn registering_again_refreshes_and_keeps_the_age(bench: &Bench) {
    register(bench, "host:1").await;
    let born = bench.now();
    bench.advance(LIFE_MS - 1);
    let mut changed = args("host:1");
    changed.lanes = [LaneId::new("new")].into();
    changed.capabilities.clear();

    let outcome = bench.engine.register_worker(changed).await.unwrap();

    assert_eq!(outcome, RegisterWorkerOutcome::Refreshed);
    let [worker] = &living(bench).await[..] else { panic!("one worker") };
    assert_eq!((worker.registered_at_ms, worker.last_heartbeat_ms), (born, bench.now()));
    assert_eq!(worker.lanes, [LaneId::new("new")].into());
    assert!(worker.capabilities.is_empty());
}

/// Swept or not, a registration is gone at its instant, and so is its claim to the name.
pub async fn one_that_fell_silent_begins_anew(bench: &Bench) {
    for is_swept in [false, true] {
        register(bench, "host:1").await;
        bench.advance(LIFE_MS);
        if is_swept {
            bench.sweep().await;
        }
        let mut other = args("host:1");
        other.worker_id = WorkerId::new("other");

        let outcome = bench.engine.register_worker(other).await.unwrap();

        assert_eq!(outcome, RegisterWorkerOutcome::Registered);
        assert_eq!(living(bench).await[0].registered_at_ms, bench.now());
        mark_dead(bench, "host:1").await;
    }
}

pub async fn an_instance_belongs_to_one_worker_while_it_lives(bench: &Bench) {
    register(bench, "host:1").await;
    bench.advance(LIFE_MS - 1);
    let before = living(bench).await;
    let mut other = args("host:1");
    other.worker_id = WorkerId::new("other");

    let refused = bench.engine.register_worker(other.clone()).await;

    assert_eq!(refused.must_be_invalid(), "instance_id reassigned");
    assert_eq!(living(bench).await, before);
    other.namespace = Namespace::new("elsewhere");
    let outcome = bench.engine.register_worker(other).await.unwrap();
    assert_eq!(outcome, RegisterWorkerOutcome::Registered, "a name counts in its namespace");
}

pub async fn what_is_out_of_bounds_is_refused(bench: &Bench) {
    let changed = |change: &dyn Fn(&mut RegisterWorkerArgs)| {
        let mut args = args("host:1");
        change(&mut args);
        bench.engine.register_worker(args)
    };
    let lanes = |count: usize| (0..count).map(|n| LaneId::new(format!("lane-{n}"))).collect();
    for (refused, named) in [
        (changed(&|args| args.liveness_ttl_ms = 0).await, "liveness_ttl_ms"),
        (changed(&|args| args.liveness_ttl_ms = 86_400_001).await, "liveness_ttl_ms"),
        (changed(&|args| args.worker_id = WorkerId::new("w".repeat(257))).await, "256"),
        (changed(&|args| args.worker_instance_id = instance(&"i".repeat(257))).await, "256"),
        (changed(&|args| args.worker_instance_id = instance("")).await, "empty"),
        (changed(&|args| args.namespace = Namespace::new("n".repeat(129))).await, "namespace"),
        (changed(&|args| args.lanes = lanes(257)).await, "257"),
        (changed(&|args| args.lanes = [LaneId::new("a,b")].into()).await, "comma"),
    ] {
        let told = refused.must_be_invalid();
        assert!(told.contains(named), "{named}: {told}");
    }
    let malformed = changed(&|args| args.capabilities = ["a b".to_owned()].into()).await;
    malformed.must_be_validation(&ValidationKind::InvalidCapabilities);
    assert!(names(bench).await.is_empty());
    changed(&|args| args.liveness_ttl_ms = 86_400_000).await.unwrap();
    changed(&|args| args.lanes = lanes(256)).await.unwrap();
}

/// The register informs; it fences nobody.
pub async fn who_is_not_registered_may_work(bench: &Bench) {
    let held = bench.claimed().await;
    assert!(names(bench).await.is_empty());
    held.renew().await.unwrap();
    held.complete(None).await.unwrap();
    beat(bench, "nobody").await;
}
