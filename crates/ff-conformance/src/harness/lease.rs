//! Claiming, and what the holder of a lease does.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{
    BackendTag, CapabilitySet, ClaimPolicy, FailOutcome, FailureClass, FailureReason, Handle,
    HandleKind, LeaseRenewal,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::types::{ExecutionId, LaneId, LeaseFence, TimestampMs, WorkerId, WorkerInstanceId};

use super::{Bench, BoxFuture, LANE, TTL_MS};

impl Bench {
    /// Claims the best execution of a lane; `.await` it for the lease.
    pub fn claim(&self) -> Claiming<'_> {
        Claiming {
            bench: self,
            lane: LaneId::new(LANE),
            capabilities: Vec::new(),
            worker: "worker".to_owned(),
            ttl_ms: TTL_MS,
            max_wait: None,
        }
    }

    /// The lease of a handle that came from elsewhere.
    pub fn holding(&self, handle: Handle) -> Held {
        let decoded = handle_codec::decode(&handle.opaque).expect("a handle of this engine");
        Held { engine: Arc::clone(&self.engine), handle, proof: decoded.payload }
    }
}

/// A worker asking for work.
#[derive(Debug, Clone)]
#[must_use = "nothing is claimed until it is awaited"]
pub struct Claiming<'a> {
    bench: &'a Bench,
    lane: LaneId,
    capabilities: Vec<String>,
    worker: String,
    ttl_ms: u32,
    max_wait: Option<Duration>,
}

impl Claiming<'_> {
    /// From this lane.
    pub fn lane(mut self, lane: &str) -> Self {
        self.lane = LaneId::new(lane);
        self
    }

    /// By a worker with these capabilities.
    pub fn with(mut self, tokens: &[&str]) -> Self {
        self.capabilities = tokens.iter().map(|token| (*token).to_owned()).collect();
        self
    }

    /// By this worker; its instance is `<worker>-1`.
    pub fn worker(mut self, worker: &str) -> Self {
        worker.clone_into(&mut self.worker);
        self
    }

    /// For this long.
    pub fn ttl(mut self, ms: u32) -> Self {
        self.ttl_ms = ms;
        self
    }

    /// Waiting this long, in real time, for work to arrive.
    pub fn wait(mut self, at_most: Duration) -> Self {
        self.max_wait = Some(at_most);
        self
    }

    /// Who claims, and how.
    pub fn claim_policy(&self) -> ClaimPolicy {
        ClaimPolicy::new(
            WorkerId::new(self.worker.as_str()),
            WorkerInstanceId::new(format!("{}-1", self.worker)),
            self.ttl_ms,
            self.max_wait,
        )
    }

    /// The worker's capabilities.
    pub fn capability_set(&self) -> CapabilitySet {
        CapabilitySet::new(self.capabilities.iter().cloned())
    }

    /// The engine's answer.
    pub async fn answer(self) -> Result<Option<Held>, EngineError> {
        let (capabilities, policy) = (self.capability_set(), self.claim_policy());
        let handle = self.bench.engine.claim(&self.lane, &capabilities, policy).await?;
        Ok(handle.map(|handle| self.bench.holding(handle)))
    }

    /// Asserts that there is nothing to claim.
    pub async fn nothing(self) {
        let held = self.answer().await.expect("a claim");
        assert!(held.is_none(), "claimed {held:?}");
    }

    /// What one batch claims from these lanes.
    pub async fn batch(
        self,
        lanes: &[&str],
        max: u32,
    ) -> Result<Vec<ff_core::contracts::ClaimedWork>, EngineError> {
        let lanes: Vec<LaneId> = lanes.iter().map(|lane| LaneId::new(*lane)).collect();
        let (capabilities, policy) = (self.capability_set(), self.claim_policy());
        self.bench.engine.claim_batch(&lanes, &capabilities, policy, max).await
    }
}

impl<'a> IntoFuture for Claiming<'a> {
    type Output = Held;
    type IntoFuture = BoxFuture<'a, Held>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.answer().await.expect("a claim").expect("work to claim") })
    }
}

/// A lease in a worker's hands.
#[derive(Clone)]
pub struct Held {
    engine: Arc<dyn EngineBackend>,
    /// The handle as the engine gave it.
    pub handle: Handle,
    /// What is written in it.
    pub proof: HandlePayload,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("kind", &self.handle.kind).field("proof", &self.proof).finish()
    }
}

impl Held {
    /// The execution.
    pub fn execution(&self) -> &ExecutionId {
        &self.proof.execution_id
    }

    /// The fencing number.
    pub fn epoch(&self) -> u64 {
        self.proof.lease_epoch.0
    }

    /// The attempt's index.
    pub fn attempt(&self) -> u32 {
        self.proof.attempt_index.0
    }

    /// How it was acquired.
    pub fn kind(&self) -> HandleKind {
        self.handle.kind
    }

    /// The same proof for typed operations.
    pub fn fence(&self) -> LeaseFence {
        LeaseFence {
            lease_id: self.proof.lease_id.clone(),
            lease_epoch: self.proof.lease_epoch,
            attempt_id: self.proof.attempt_id.clone(),
        }
    }

    /// The same handle with another backend's tag on it.
    pub fn tagged(&self, outer: BackendTag, inner: BackendTag) -> Handle {
        Handle::new(outer, self.handle.kind, handle_codec::encode(inner, &self.proof))
    }

    /// A handle with the proof as `change` leaves it.
    pub fn forged(&self, change: impl FnOnce(&mut HandlePayload)) -> Self {
        let mut forged = self.clone();
        change(&mut forged.proof);
        let tag = self.handle.backend;
        let opaque = handle_codec::encode(tag, &forged.proof);
        forged.handle = Handle::new(tag, self.handle.kind, opaque);
        forged
    }

    /// When the engine lets the lease run out.
    pub async fn expires_at(&self) -> TimestampMs {
        let seen = self.engine.describe_execution(self.execution()).await.expect("a read");
        seen.expect("an execution").current_lease.expect("a lease").expires_at
    }

    /// Completes.
    pub async fn complete(&self, result: Option<&[u8]>) -> Result<(), EngineError> {
        self.engine.complete(&self.handle, result.map(<[u8]>::to_vec)).await
    }

    /// Fails for `message`.
    pub async fn fail(
        &self,
        message: &str,
        class: FailureClass,
    ) -> Result<FailOutcome, EngineError> {
        self.engine.fail(&self.handle, FailureReason::new(message), class).await
    }

    /// Fails under a category of its own.
    pub async fn fail_as(&self, category: &str) -> Result<FailOutcome, EngineError> {
        let reason = FailureReason::with_detail("broken", category.as_bytes().to_vec());
        self.engine.fail(&self.handle, reason, FailureClass::Transient).await
    }

    /// Renews.
    pub async fn renew(&self) -> Result<LeaseRenewal, EngineError> {
        self.engine.renew(&self.handle).await
    }

    /// Cancels its own work.
    pub async fn cancel(&self, reason: &str) -> Result<(), EngineError> {
        self.engine.cancel(&self.handle, reason).await
    }

    /// Parks itself.
    pub async fn delay(&self, until: TimestampMs) -> Result<(), EngineError> {
        self.engine.delay(&self.handle, until).await
    }

    /// Gives the lease back.
    pub async fn release(&self) -> Result<(), EngineError> {
        self.engine.release_lease(&self.handle).await
    }

    /// Tells how far it is.
    pub async fn progress(
        &self,
        percent: Option<u8>,
        message: Option<&str>,
    ) -> Result<(), EngineError> {
        self.engine.progress(&self.handle, percent, message.map(str::to_owned)).await
    }
}
