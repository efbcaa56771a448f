//! The registry of workers: who is there, until when, and that it fences nobody.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod heartbeat;
pub mod list;
pub mod mark_dead;
pub mod register;

use ff_core::contracts::{
    HeartbeatWorkerArgs, HeartbeatWorkerOutcome, ListWorkersArgs, MarkWorkerDeadArgs,
    MarkWorkerDeadOutcome, RegisterWorkerArgs, RegisterWorkerOutcome, WorkerInfo,
};
use ff_core::types::{LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};

use crate::harness::{Bench, LANE};

/// How long a registration lasts without a heartbeat.
pub(crate) const LIFE_MS: u64 = 10_000;

fn tenant() -> Namespace {
    Namespace::new("tenant")
}

fn instance(name: &str) -> WorkerInstanceId {
    WorkerInstanceId::new(name)
}

pub(crate) fn args(name: &str) -> RegisterWorkerArgs {
    RegisterWorkerArgs::new(
        WorkerId::new("render"),
        instance(name),
        [LaneId::new(LANE), LaneId::new("other")].into(),
        ["gpu".to_owned(), "arm".to_owned()].into(),
        LIFE_MS,
        tenant(),
        // No clock of a caller decides anything.
        TimestampMs(7),
    )
}

pub(crate) async fn register(bench: &Bench, name: &str) -> RegisterWorkerOutcome {
    bench.engine.register_worker(args(name)).await.expect("registered")
}

async fn beat(bench: &Bench, name: &str) -> HeartbeatWorkerOutcome {
    let args = HeartbeatWorkerArgs::new(instance(name), tenant(), TimestampMs(7));
    bench.engine.heartbeat_worker(args).await.expect("an answer")
}

pub(crate) async fn mark_dead(bench: &Bench, name: &str) -> MarkWorkerDeadOutcome {
    let args = MarkWorkerDeadArgs::new(instance(name), tenant(), "gone".to_owned(), TimestampMs(7));
    bench.engine.mark_worker_dead(args).await.expect("an answer")
}

/// The workers of the tenant that live.
async fn living(bench: &Bench) -> Vec<WorkerInfo> {
    let mut args = ListWorkersArgs::new();
    args.namespace = Some(tenant());
    bench.engine.list_workers(args).await.expect("a list").entries
}

async fn names(bench: &Bench) -> Vec<String> {
    let workers = living(bench).await;
    workers.into_iter().map(|worker| worker.worker_instance_id.to_string()).collect()
}
