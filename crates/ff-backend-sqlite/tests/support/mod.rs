//! What the tests of this directory share.

use std::path::Path;
use std::time::Duration;

use ff_backend_sqlite::{SqliteBackend, SqliteOptions};
use ff_core::backend::{CapabilitySet, ClaimPolicy};
use ff_core::clock::{Clock as _, SystemClock};
use ff_core::contracts::{ClaimedWork, CreateExecutionArgs};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::partition::PartitionConfig;
use ff_core::types::{ExecutionId, LaneId, TimestampMs};

/// Longer than any step of these tests takes on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn lane() -> LaneId {
    LaneId::new("default")
}

pub(crate) fn new_id() -> ExecutionId {
    let one = PartitionConfig {
        num_flow_partitions: 1,
        num_budget_partitions: 1,
        num_quota_partitions: 1,
    };
    ExecutionId::solo(&lane(), &one)
}

/// An execution without conditions; `input` tells it from others.
pub(crate) fn work(input: &[u8]) -> CreateExecutionArgs {
    CreateExecutionArgs {
        execution_id: new_id(),
        namespace: "tests".into(),
        lane_id: lane(),
        execution_kind: "kind".to_owned(),
        input_payload: input.to_vec(),
        payload_encoding: None,
        priority: 0,
        creator_identity: "tests".to_owned(),
        idempotency_key: None,
        tags: std::collections::HashMap::default(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        partition_id: 0,
        now: TimestampMs(0),
    }
}

pub(crate) fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path.to_str().expect("temporary paths are UTF-8"))
}

/// Claims up to `max` executions that need nothing for `ttl_ms`; waits at most `wait` for the first.
pub(crate) async fn claim(
    engine: &SqliteBackend,
    worker: &str,
    ttl_ms: u32,
    max: u32,
    wait: Option<Duration>,
) -> Result<Vec<ClaimedWork>, ff_core::EngineError> {
    let policy = ClaimPolicy::new(worker.into(), worker.into(), ttl_ms, wait);
    engine.claim_batch(&[lane()], &CapabilitySet::new::<_, &str>([]), policy, max).await
}

/// Time since it was made.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: SystemClock,
    from: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let clock = SystemClock::new();
        let from = clock.monotonic();
        Self { clock, from }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.from)
    }
}
