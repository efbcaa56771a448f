//! The bench on which behaviours are tried: one engine, a clock that only the test moves, and
//! words for what a client, a worker and an operator do.
//!
//! Nothing here sleeps. Time moves through [`Bench::advance`]; the engine's background work runs
//! when a behaviour says [`Bench::sweep`] and never by itself; that a call waits is known by
//! [`Bench::until_waiting`].

mod lease;
mod refusal;
mod submit;
mod view;
mod waiting;

use std::any::Any;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::clock::{Clock, ManualClock};
use ff_core::contracts::{
    CancelExecutionArgs, ClaimExecutionArgs, ClaimExecutionResult, ClaimedExecution,
    IssueClaimGrantArgs, IssueGrantAndClaimArgs, IssueReclaimGrantArgs, ReclaimExecutionArgs,
    RevokeLeaseArgs,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::Limits;
use ff_core::machine::drive::Swept;
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::state::PublicState;
use ff_core::store::Store;
use ff_core::types::{
    AttemptId, AttemptIndex, CancelSource, DurationMs, ExecutionId, LaneId, LeaseId, TimestampMs,
    WorkerId, WorkerInstanceId,
};

pub use lease::{Claiming, Held};
pub use refusal::{NotActive, Refusal};
pub use submit::{Submit, doubling, fixed};
pub use view::{beginning, cause, word};
use waiting::{Counted, Waiting};

/// The lane that behaviours use unless they say otherwise.
pub const LANE: &str = "work";

/// The lane of the executions by which the bench marks a place in the outboxes. Pictures and
/// counts leave it out.
const MARKER_LANE: &str = "~marker";

/// How long a lease lasts unless a behaviour says otherwise.
pub const TTL_MS: u32 = 30_000;

/// Real time that a behaviour may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// A future that a bench hands out.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a backend is opened with. The same for every behaviour.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The engine's clock.
    pub clock: Arc<ManualClock>,
    /// The seed of its ids.
    pub seed: u64,
    /// Its bounds: small ones, so that a behaviour can reach them.
    pub limits: Limits,
}

impl Setup {
    fn standard() -> Self {
        Self {
            clock: Arc::new(ManualClock::new(1_700_000_000_000)),
            seed: 7,
            limits: Limits {
                payload_bytes: 64 * 1024,
                result_bytes: 32 * 1024,
                retention: DurationMs(60 * 60 * 1_000),
                event_retention: DurationMs(3 * 60 * 60 * 1_000),
            },
        }
    }
}

type Sweep = Box<dyn Fn() -> BoxFuture<'static, Result<Swept, EngineError>> + Send + Sync>;

/// One engine under test.
pub struct Bench {
    /// The engine, as any caller holds it.
    pub engine: Arc<dyn EngineBackend>,
    /// The engine's clock.
    pub clock: Arc<ManualClock>,
    /// The engine's bounds.
    pub limits: Limits,
    sweep: Sweep,
    waiting: Waiting,
    minted: AtomicU64,
    markers: Mutex<HashSet<ExecutionId>>,
    keeps: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("engine", &self.engine.backend_label()).finish()
    }
}

/// Opens a bench with `open` and tries one behaviour on it, in a runtime of its own.
pub fn check<Open, Opening>(
    open: Open,
    behaviour: impl for<'a> FnOnce(&'a Bench) -> BoxFuture<'a, ()>,
) where
    Open: FnOnce(Setup) -> Opening,
    Opening: Future<Output = Bench>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let bench = open(Setup::standard()).await;
        let ended = tokio::time::timeout(PATIENCE, behaviour(&bench)).await;
        assert!(ended.is_ok(), "the behaviour hangs");
    });
}

impl Bench {
    /// A bench around a store that was opened with `setup`. `sweep` runs one bounded step of its
    /// background work; it must run none by itself.
    pub fn new<S, F, Fut>(setup: Setup, store: S, sweep: F) -> Self
    where
        S: Store,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Swept, EngineError>> + Send + 'static,
    {
        let waiting = Waiting::default();
        Self {
            engine: Arc::new(Counted { store, waiting: waiting.clone() }),
            waiting,
            clock: setup.clock,
            limits: setup.limits,
            sweep: Box::new(move || Box::pin(sweep())),
            minted: AtomicU64::new(1),
            markers: Mutex::default(),
            keeps: Vec::new(),
        }
    }

    /// Keeps something as long as the bench lives: the directory of its file.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keeps.push(Box::new(guard));
        self
    }

    // ---- Time ----

    /// The present instant.
    pub fn now(&self) -> TimestampMs {
        self.clock.wall()
    }

    /// The instant `ms` from now.
    pub fn after(&self, ms: u64) -> TimestampMs {
        later(self.now(), ms)
    }

    /// Lets `ms` pass.
    pub fn advance(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Lets time pass until exactly `at`.
    pub fn advance_to(&self, at: TimestampMs) {
        let ms = u64::try_from(at.0 - self.now().0).expect("time moves forward");
        self.advance(ms);
    }

    /// One bounded step of background work.
    pub async fn sweep(&self) -> Swept {
        (self.sweep)().await.expect("a sweep")
    }

    /// Lets time pass until the lease has run out, to the millisecond.
    pub async fn let_lease_expire(&self, held: &Held) {
        self.advance_to(held.expires_at().await);
    }

    // ---- Ids ----

    fn mint(&self) -> uuid::Uuid {
        let number = self.minted.fetch_add(1, Ordering::SeqCst);
        let mut tail = [0_u8; 10];
        tail[2..].copy_from_slice(&number.to_be_bytes());
        let at = u64::try_from(self.now().0).expect("a time after 1970");
        uuid::Builder::from_unix_timestamp_millis(at, &tail).into_uuid()
    }

    /// A fresh execution id in partition 0. Later ids are greater.
    pub fn new_id(&self) -> ExecutionId {
        self.new_id_in(0)
    }

    /// A fresh execution id in a partition.
    pub fn new_id_in(&self, partition: u16) -> ExecutionId {
        ExecutionId::from_parts(partition, self.mint())
    }

    /// A fresh lease id.
    pub fn new_lease_id(&self) -> LeaseId {
        LeaseId::from_uuid(self.mint())
    }

    /// A fresh attempt id.
    pub fn new_attempt_id(&self) -> AttemptId {
        AttemptId::from_uuid(self.mint())
    }

    // ---- What clients, workers and operators do ----

    /// A fresh execution and the lease on it.
    pub async fn claimed(&self) -> Held {
        self.submit().await;
        self.claim().await
    }

    /// An execution whose lease has just run out, and the lost lease.
    pub async fn lapsed(&self) -> Held {
        let held = self.claimed().await;
        self.let_lease_expire(&held).await;
        held
    }

    /// An execution that has ended well.
    pub async fn completed(&self) -> Held {
        let held = self.claimed().await;
        held.complete(Some(b"result")).await.expect("completed");
        held
    }

    /// Cancels as an operator does.
    pub async fn cancel(&self, id: &ExecutionId) -> Result<PublicState, EngineError> {
        let ff_core::contracts::CancelExecutionResult::Cancelled { execution_id, public_state } =
            self.engine.cancel_execution(self.cancel_args(id)).await?;
        assert_eq!(execution_id, *id);
        Ok(public_state)
    }

    /// An operator's cancel.
    pub fn cancel_args(&self, id: &ExecutionId) -> CancelExecutionArgs {
        CancelExecutionArgs {
            execution_id: id.clone(),
            reason: "enough".to_owned(),
            source: CancelSource::OperatorOverride,
            lease_id: None,
            lease_epoch: None,
            attempt_id: None,
            now: self.now(),
        }
    }

    /// Puts an ended execution back in line.
    pub async fn replay(&self, id: &ExecutionId) -> Result<PublicState, EngineError> {
        let args =
            ff_core::contracts::ReplayExecutionArgs { execution_id: id.clone(), now: self.now() };
        let ff_core::contracts::ReplayExecutionResult::Replayed { public_state } =
            self.engine.replay_execution(args).await?;
        Ok(public_state)
    }

    /// Takes a lease away, whoever holds it.
    pub fn revoke_args(&self, id: &ExecutionId) -> RevokeLeaseArgs {
        RevokeLeaseArgs {
            execution_id: id.clone(),
            expected_lease_id: None,
            worker_instance_id: WorkerInstanceId::new(""),
            reason: "maintenance".to_owned(),
        }
    }

    /// A claim grant for `worker`, good for `ttl_ms`.
    pub fn grant_args(&self, id: &ExecutionId, worker: &str, ttl_ms: u64) -> IssueClaimGrantArgs {
        IssueClaimGrantArgs::new(
            id.clone(),
            LaneId::new(LANE),
            WorkerId::new(worker),
            WorkerInstanceId::new(format!("{worker}-1")),
            Partition { family: PartitionFamily::Flow, index: id.partition() },
            BTreeSet::new(),
            ttl_ms,
            self.now(),
        )
    }

    /// A claim by grant.
    pub fn redeem_args(&self, id: &ExecutionId, worker: &str) -> ClaimExecutionArgs {
        ClaimExecutionArgs::new(
            id.clone(),
            WorkerId::new(worker),
            WorkerInstanceId::new(format!("{worker}-1")),
            LaneId::new(LANE),
            self.new_lease_id(),
            u64::from(TTL_MS),
            self.new_attempt_id(),
            AttemptIndex(0),
            String::new(),
            None,
            None,
            self.now(),
        )
    }

    /// Redeems a claim grant.
    pub async fn redeem(
        &self,
        id: &ExecutionId,
        worker: &str,
    ) -> Result<ClaimedExecution, EngineError> {
        match self.engine.claim_execution(self.redeem_args(id, worker)).await? {
            ClaimExecutionResult::Claimed(claimed) => Ok(claimed),
            other => panic!("an answer beyond the contract: {other:?}"),
        }
    }

    /// A reclaim grant for `worker`, good for `ttl_ms`.
    pub fn reclaim_grant_args(
        &self,
        id: &ExecutionId,
        worker: &str,
        ttl_ms: u64,
    ) -> IssueReclaimGrantArgs {
        IssueReclaimGrantArgs::new(
            id.clone(),
            WorkerId::new(worker),
            WorkerInstanceId::new(format!("{worker}-1")),
            LaneId::new(LANE),
            None,
            ttl_ms,
            None,
            None,
            BTreeSet::new(),
            self.now(),
        )
    }

    /// A reclaim by grant.
    pub fn reclaim_args(&self, id: &ExecutionId, worker: &str) -> ReclaimExecutionArgs {
        ReclaimExecutionArgs::new(
            id.clone(),
            WorkerId::new(worker),
            WorkerInstanceId::new(format!("{worker}-1")),
            LaneId::new(LANE),
            None,
            self.new_lease_id(),
            u64::from(TTL_MS),
            self.new_attempt_id(),
            String::new(),
            None,
            WorkerInstanceId::new("worker-1"),
            AttemptIndex(0),
        )
    }

    /// An operator's claim.
    pub fn take_args(&self, id: &ExecutionId) -> IssueGrantAndClaimArgs {
        IssueGrantAndClaimArgs::new(id.clone(), LaneId::new(LANE), u64::from(TTL_MS))
    }
}

/// `at`, `ms` later.
pub fn later(at: TimestampMs, ms: u64) -> TimestampMs {
    TimestampMs(at.0 + i64::try_from(ms).expect("a duration"))
}
