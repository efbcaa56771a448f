//! The engine, as a client of its public API sees it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteOptions};
use ff_core::backend::{CapabilitySet, ClaimPolicy, Handle};
use ff_core::contracts::CreateExecutionArgs;
use ff_core::engine_backend::EngineBackend;
use ff_core::partition::PartitionConfig;
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::error::{BenchError, Doing as _};

pub(crate) const LANE: &str = "bench";
pub(crate) const NAMESPACE: &str = "bench";
pub(crate) const KIND: &str = "bench";
pub(crate) const CREATOR: &str = "ff-bench";
pub(crate) const WORKER: &str = "worker";
pub(crate) const WORKER_INSTANCE: &str = "worker-1";

/// The input of every execution: 256 bytes.
pub(crate) const PAYLOAD: &[u8] = &[b'p'; 256];

/// The result of every execution.
pub(crate) const RESULT: &[u8] = b"{\"done\":true}";

/// No lease ends while a benchmark runs: one hour.
pub(crate) const LEASE_TTL_MS: u32 = 3_600_000;

/// Executions of one batch submit.
pub(crate) const BATCH: u32 = 1_000;

/// Two threads beside the engine's own, whatever the machine has: ratios stay comparable.
pub(crate) fn runtime() -> Result<Runtime, BenchError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .doing("start a runtime")
}

pub(crate) fn execution_id() -> ExecutionId {
    let config = PartitionConfig::default();
    ExecutionId::deterministic_solo(&LaneId::new(LANE), &config, Uuid::now_v7())
}

/// An execution as every phase submits it.
pub(crate) fn submission(id: ExecutionId) -> CreateExecutionArgs {
    CreateExecutionArgs {
        partition_id: id.partition(),
        execution_id: id,
        namespace: Namespace::new(NAMESPACE),
        lane_id: LaneId::new(LANE),
        execution_kind: KIND.to_owned(),
        input_payload: PAYLOAD.to_vec(),
        payload_encoding: None,
        priority: 0,
        creator_identity: CREATOR.to_owned(),
        idempotency_key: None,
        tags: HashMap::new(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        now: TimestampMs(0),
    }
}

/// An open engine.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) backend: Arc<dyn EngineBackend>,
    lane: LaneId,
    capabilities: CapabilitySet,
}

impl Engine {
    /// Opens a database with the options that users get, creating it if need be.
    pub(crate) async fn open(path: &Path) -> Result<Self, BenchError> {
        Self::open_with(options(path)?).await
    }

    /// Opens a database to record from: nothing is timed, so nothing waits for the disk, and
    /// nothing is written but by the calls that are made.
    pub(crate) async fn open_to_record(path: &Path) -> Result<Self, BenchError> {
        Self::open_with(options(path)?.durability(Durability::Normal).sweeps(false)).await
    }

    async fn open_with(options: SqliteOptions) -> Result<Self, BenchError> {
        let backend = options.open().await.doing("open the engine's database")?;
        Ok(Self { backend, lane: LaneId::new(LANE), capabilities: CapabilitySet::default() })
    }

    pub(crate) async fn create(&self) -> Result<ExecutionId, BenchError> {
        let id = execution_id();
        self.create_with_id(id.clone()).await?;
        Ok(id)
    }

    pub(crate) async fn create_with_id(&self, id: ExecutionId) -> Result<(), BenchError> {
        self.backend.create_execution(submission(id)).await.doing("submit").map(drop)
    }

    /// Submits `count` executions in batches; calls `progress` after each.
    pub(crate) async fn create_many(
        &self,
        count: u32,
        mut progress: impl FnMut(u32),
    ) -> Result<(), BenchError> {
        let mut left = count;
        while left > 0 {
            let size = left.min(BATCH);
            let batch = (0..size).map(|_| submission(execution_id())).collect();
            self.backend.create_executions(batch).await.doing("submit a batch")?;
            left -= size;
            progress(count - left);
        }
        Ok(())
    }

    pub(crate) async fn claim(&self) -> Result<Handle, BenchError> {
        self.backend
            .claim(&self.lane, &self.capabilities, policy(None))
            .await
            .doing("claim")?
            .ok_or_else(|| BenchError::new("a claim found nothing although work was waiting"))
    }

    /// Waits up to `patience` for an execution, as an idle worker does.
    pub(crate) async fn claim_patiently(
        &self,
        patience: Duration,
    ) -> Result<Option<(ExecutionId, Handle)>, BenchError> {
        let policy = policy(Some(patience));
        let lanes = std::slice::from_ref(&self.lane);
        let claimed = self.backend.claim_batch(lanes, &self.capabilities, policy, 1).await;
        let mut claimed = claimed.doing("wait for work")?;
        Ok(claimed.pop().map(|work| (work.execution_id, work.handle)))
    }

    pub(crate) async fn complete(&self, handle: &Handle) -> Result<(), BenchError> {
        self.backend.complete(handle, Some(RESULT.to_vec())).await.doing("complete")
    }
}

fn options(path: &Path) -> Result<SqliteOptions, BenchError> {
    let path = path.to_str().ok_or_else(|| {
        BenchError::new(format!("`{}` is not UTF-8: choose another --dir", path.display()))
    })?;
    Ok(SqliteOptions::new(path))
}

fn policy(max_wait: Option<Duration>) -> ClaimPolicy {
    let worker = WorkerId::new(WORKER);
    ClaimPolicy::new(worker, WorkerInstanceId::new(WORKER_INSTANCE), LEASE_TTL_MS, max_wait)
}
