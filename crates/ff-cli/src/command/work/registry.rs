//! The worker's place in the register of workers: it announces itself, says every ten seconds that it
//! lives, and leaves when it ends. One that dies is gone from the register half a minute later.
//!
//! The register informs people; it keeps no lease and ends none. So a failure here is never the worker's
//! failure: the next beat tries again.

use std::sync::Arc;
use std::time::Duration;

use ff_core::contracts::{
    HeartbeatWorkerArgs, HeartbeatWorkerOutcome, MarkWorkerDeadArgs, RegisterWorkerArgs,
};
use ff_core::types::{Namespace, TimestampMs};

use super::Worker;
use crate::command::submit::NAMESPACE;
use crate::time;

/// How long a silent worker counts as alive.
const LIFE: Duration = Duration::from_secs(30);

/// How often it says that it lives: two beats may be lost.
const BEAT: Duration = Duration::from_secs(10);

/// Registers the worker and keeps it registered, until it is aborted.
pub(super) async fn keep(worker: Arc<Worker>) {
    register(&worker).await;
    loop {
        tokio::time::sleep(BEAT).await;
        let args = HeartbeatWorkerArgs::new(
            worker.instance.clone(),
            Namespace::new(NAMESPACE),
            TimestampMs(0),
        );
        // A machine that slept wakes up behind its registration.
        if let Ok(HeartbeatWorkerOutcome::NotRegistered) =
            worker.engine.heartbeat_worker(args).await
        {
            register(&worker).await;
        }
    }
}

async fn register(worker: &Worker) {
    let args = RegisterWorkerArgs::new(
        worker.name.clone(),
        worker.instance.clone(),
        worker.lanes.iter().cloned().collect(),
        worker.capabilities.tokens.iter().cloned().collect(),
        time::millis(LIFE),
        Namespace::new(NAMESPACE),
        TimestampMs(0),
    );
    // A refusal tells what is wrong with its name, lanes or capabilities; so do its claims.
    drop(worker.engine.register_worker(args).await);
}

/// Leaves the register at once, so that nobody waits for this worker.
pub(super) async fn leave(worker: &Worker) {
    let args = MarkWorkerDeadArgs::new(
        worker.instance.clone(),
        Namespace::new(NAMESPACE),
        "stopped".to_owned(),
        TimestampMs(0),
    );
    drop(worker.engine.mark_worker_dead(args).await);
}
