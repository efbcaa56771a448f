//! The bench on which behaviours are tried: one engine, a clock that only the test moves, and
//! words for what a client, a worker and an operator do.
//!
//! Nothing here sleeps. Time moves through [`Bench::advance`]; the engine's background work runs
//! when a behaviour says [`Bench::sweep`] and never by itself.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::{
    BackendTag, CapabilitySet, ClaimPolicy, FailOutcome, FailureClass, FailureReason, Handle,
    HandleKind, LeaseRenewal, ScannerFilter,
};
use ff_core::clock::{Clock, ManualClock};
use ff_core::contracts::{
    AttemptInfo, CancelExecutionArgs, ClaimExecutionArgs, ClaimExecutionResult, ClaimedExecution,
    CreateExecutionArgs, CreateExecutionResult, ExecutionInfo, ExecutionSummary,
    FindExecutionsArgs, FindFlowsArgs, IssueClaimGrantArgs, IssueGrantAndClaimArgs,
    IssueReclaimGrantArgs, ReclaimExecutionArgs, RevokeLeaseArgs, StreamCursor as FrameCursor,
    TransitionInfo,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::engine_error::{ConflictKind, ContentionKind, StateKind, ValidationKind};
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::machine::Limits;
use ff_core::machine::drive::Swept;
use ff_core::partition::{Partition, PartitionFamily};
use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, RetryPolicy, RoutingRequirements, TimeoutPolicy,
};
use ff_core::state::PublicState;
use ff_core::stream_events::{CompletionEvent, LeaseHistoryEvent};
use ff_core::stream_subscribe::{StreamCursor, encode_event_cursor};
use ff_core::types::{
    AttemptId, AttemptIndex, CancelSource, DurationMs, ExecutionId, LaneId, LeaseFence, LeaseId,
    Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};
use futures_util::{Stream, StreamExt};

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
    /// A bench around an engine that was opened with `setup`. `sweep` runs one bounded step of its
    /// background work; the engine must run none by itself.
    pub fn new<F, Fut>(setup: Setup, engine: Arc<dyn EngineBackend>, sweep: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Swept, EngineError>> + Send + 'static,
    {
        Self {
            engine,
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

    /// Submits an execution; `.await` it for its id.
    pub fn submit(&self) -> Submit<'_> {
        Submit {
            bench: self,
            args: CreateExecutionArgs {
                execution_id: self.new_id(),
                namespace: Namespace::new("tenant"),
                lane_id: LaneId::new(LANE),
                execution_kind: "kind".to_owned(),
                input_payload: b"input".to_vec(),
                payload_encoding: None,
                priority: 0,
                creator_identity: "suite".to_owned(),
                idempotency_key: None,
                tags: HashMap::new(),
                policy: None,
                delay_until: None,
                execution_deadline_at: None,
                partition_id: 0,
                now: self.now(),
            },
        }
    }

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

    /// The lease of a handle that came from elsewhere.
    pub fn holding(&self, handle: Handle) -> Held {
        let decoded = handle_codec::decode(&handle.opaque).expect("a handle of this engine");
        Held { engine: Arc::clone(&self.engine), handle, proof: decoded.payload }
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

    // ---- What there is to see ----

    /// The public state of an execution that is there.
    pub async fn state(&self, id: &ExecutionId) -> PublicState {
        self.engine.read_execution_state(id).await.expect("a read").expect("an execution")
    }

    /// The info of an execution that is there.
    pub async fn info(&self, id: &ExecutionId) -> ExecutionInfo {
        self.engine.read_execution_info(id).await.expect("a read").expect("an execution")
    }

    /// The summary of an execution that is there.
    pub async fn summary(&self, id: &ExecutionId) -> ExecutionSummary {
        self.engine.describe_summary(id).await.expect("a read").expect("an execution")
    }

    /// Its attempts.
    pub async fn attempts(&self, id: &ExecutionId) -> Vec<AttemptInfo> {
        self.engine.list_attempts(id).await.expect("a read")
    }

    /// Its attempt of this index.
    pub async fn attempt(&self, id: &ExecutionId, index: usize) -> AttemptInfo {
        self.attempts(id).await.get(index).expect("an attempt").clone()
    }

    /// Its transitions, by cause.
    pub async fn causes(&self, id: &ExecutionId) -> Vec<String> {
        self.transitions(id).await.into_iter().map(|row| row.cause).collect()
    }

    /// Its transitions.
    pub async fn transitions(&self, id: &ExecutionId) -> Vec<TransitionInfo> {
        self.engine.list_transitions(id, None, 1_000).await.expect("a read")
    }

    /// Its result.
    pub async fn result(&self, id: &ExecutionId) -> Option<Vec<u8>> {
        self.engine.get_execution_result(id).await.expect("a read")
    }

    /// Every execution a search finds, page by page.
    pub async fn find(&self, args: FindExecutionsArgs) -> Vec<ExecutionSummary> {
        let (mut found, mut args) = (Vec::new(), args);
        loop {
            let page = self.engine.find_executions(args.clone()).await.expect("a page");
            found.extend(page.executions);
            let Some(cursor) = page.next_cursor else { return found };
            args.cursor = Some(cursor);
        }
    }

    /// Everything the interface shows of every execution, lane and outbox, as text. Equal pictures
    /// mean that nothing was written.
    pub async fn picture(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for summary in self.find(FindExecutionsArgs::new().with_limit(1_000)).await {
            let id = summary.execution_id.clone();
            if self.is_marker(&id) {
                continue;
            }
            lines.push(format!("{summary:?}"));
            lines.push(format!("{:?}", self.info(&id).await));
            lines.push(format!("{:?}", self.engine.describe_execution(&id).await.expect("a read")));
            lines.extend(self.attempts(&id).await.iter().map(|attempt| format!("{attempt:?}")));
            lines.extend(self.transitions(&id).await.iter().map(|row| format!("{row:?}")));
            for attempt in self.attempts(&id).await {
                let index = attempt.attempt_index;
                let (from, to) = (FrameCursor::start(), FrameCursor::end());
                let frames = self.engine.read_stream(&id, index, from, to, 10_000).await;
                let summary = self.engine.read_summary(&id, index).await;
                lines.push(format!("{:?} {:?}", frames.expect("a read"), summary.expect("a read")));
            }
            lines.push(format!("{:?}", self.result(&id).await));
            let context = self.engine.read_execution_context(&id).await.expect("a read");
            let pending = ff_core::contracts::ListPendingWaitpointsArgs::new(id.clone());
            let pending = self.engine.list_pending_waitpoints(pending).await.expect("a read");
            lines.push(format!("{:?}", pending.entries));
            let tags: BTreeMap<_, _> = context.tags.into_iter().collect();
            lines.push(format!("{tags:?} {:?}", context.input_payload));
        }
        let waiting = ff_core::contracts::ListWaitingArgs::new().with_limit(1_000);
        lines.push(format!("{:?}", self.engine.list_waiting(waiting).await.expect("a page")));
        for flow in self.engine.find_flows(FindFlowsArgs::new()).await.expect("a read").flows {
            let graph = self.engine.describe_flow_graph(&flow.flow_id).await.expect("a read");
            lines.push(format!("{:?}", graph.expect("a flow")));
        }
        for lane in self.engine.list_lane_status().await.expect("a read") {
            if lane.lane_id.as_str() != MARKER_LANE {
                lines.push(format!("{lane:?}"));
            }
        }
        for worker in
            self.engine.list_worker_status(&Namespace::new("tenant")).await.expect("a read")
        {
            lines.push(format!("{worker:?}"));
        }
        let beginning = beginning();
        for event in self.lease_events(&beginning, &ScannerFilter::NOOP).await {
            lines.push(format!("{event:?}"));
        }
        for event in self.completions(&beginning, &ScannerFilter::NOOP).await {
            lines.push(format!("{event:?}"));
        }
        lines
    }

    /// Runs a call and asserts that nothing that can be seen has changed.
    pub async fn unchanged_by<T>(&self, call: impl Future<Output = T>) -> T {
        let before = without_cursors(self.picture().await);
        let answer = call.await;
        let after = without_cursors(self.picture().await);
        assert_eq!(before, after, "the call wrote something");
        answer
    }

    // ---- Events ----

    /// The lease events after `cursor` up to now that pass `filter`.
    pub async fn lease_events(
        &self,
        cursor: &StreamCursor,
        filter: &ScannerFilter,
    ) -> Vec<LeaseHistoryEvent> {
        let subscription = self
            .engine
            .subscribe_lease_history(cursor.clone(), filter)
            .await
            .expect("a subscription");
        let marker = self.mark(filter).await;
        let mut events = until(subscription, |event| *event.execution_id() == marker).await;
        events.retain(|event| !self.is_marker(event.execution_id()));
        events
    }

    /// The completions after `cursor` up to now that pass `filter`.
    pub async fn completions(
        &self,
        cursor: &StreamCursor,
        filter: &ScannerFilter,
    ) -> Vec<CompletionEvent> {
        let subscription =
            self.engine.subscribe_completion(cursor.clone(), filter).await.expect("a subscription");
        let marker = self.mark(filter).await;
        let mut events = until(subscription, |event| event.execution_id == marker).await;
        events.retain(|event| !self.is_marker(&event.execution_id));
        events
    }

    /// Every lease event there is.
    pub async fn all_lease_events(&self) -> Vec<LeaseHistoryEvent> {
        self.lease_events(&beginning(), &ScannerFilter::NOOP).await
    }

    /// Every completion there is.
    pub async fn all_completions(&self) -> Vec<CompletionEvent> {
        self.completions(&beginning(), &ScannerFilter::NOOP).await
    }

    /// The kinds of the lease events of one execution, in order.
    pub async fn lease_story(&self, id: &ExecutionId) -> Vec<&'static str> {
        let events = self.all_lease_events().await;
        events.iter().filter(|event| event.execution_id() == id).map(word).collect()
    }

    /// Writes one lease event and one completion that pass `filter`, so that a reader knows where
    /// the present is. Touches no other execution.
    async fn mark(&self, filter: &ScannerFilter) -> ExecutionId {
        let mut submit = self.submit().lane(MARKER_LANE);
        if let Some(namespace) = &filter.namespace {
            submit = submit.namespace(namespace.as_str());
        }
        if let Some((key, value)) = &filter.instance_tag {
            submit = submit.tag(key, value);
        }
        let id = submit.await;
        self.markers.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.engine.issue_grant_and_claim(self.take_args(&id)).await.expect("a marker");
        self.cancel(&id).await.expect("a marker");
        id
    }

    fn is_marker(&self, id: &ExecutionId) -> bool {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// The events up to the one that is wanted, without it.
async fn until<T>(
    mut subscription: impl Stream<Item = Result<T, EngineError>> + Unpin,
    is_wanted: impl Fn(&T) -> bool,
) -> Vec<T> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let event = next.expect("an event in time").expect("no end").expect("no error");
        if is_wanted(&event) {
            return events;
        }
        events.push(event);
    }
}

/// Cursors differ between two pictures, because the bench's own markers lie between events.
fn without_cursors(picture: Vec<String>) -> Vec<String> {
    let cut = |line: String| match (line.find("cursor: "), line.find("execution_id: ")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line,
    };
    picture.into_iter().map(cut).collect()
}

/// The cursor in front of everything.
pub fn beginning() -> StreamCursor {
    encode_event_cursor(0)
}

/// `at`, `ms` later.
pub fn later(at: TimestampMs, ms: u64) -> TimestampMs {
    TimestampMs(at.0 + i64::try_from(ms).expect("a duration"))
}

/// The contract's word for a lease event.
pub fn word(event: &LeaseHistoryEvent) -> &'static str {
    match event {
        LeaseHistoryEvent::Acquired { .. } => "acquired",
        LeaseHistoryEvent::Renewed { .. } => "renewed",
        LeaseHistoryEvent::Expired { .. } => "expired",
        LeaseHistoryEvent::Reclaimed { .. } => "reclaimed",
        LeaseHistoryEvent::Revoked { .. } => "revoked",
        other => panic!("an event beyond the contract: {other:?}"),
    }
}

/// Why a lease was given back, ended or taken away.
pub fn cause(event: &LeaseHistoryEvent) -> &str {
    match event {
        LeaseHistoryEvent::Revoked { revoked_by, .. } => revoked_by,
        other => panic!("not the end of a lease: {other:?}"),
    }
}

/// Retries `max_retries` times after a fixed delay.
pub fn fixed(max_retries: u32, delay_ms: u64) -> RetryPolicy {
    RetryPolicy {
        max_retries,
        backoff: BackoffStrategy::Fixed { delay_ms },
        retryable_categories: Vec::new(),
    }
}

/// Retries `max_retries` times, each after twice the delay of the one before, up to `cap_ms`.
pub fn doubling(max_retries: u32, initial_delay_ms: u64, cap_ms: u64) -> RetryPolicy {
    RetryPolicy {
        max_retries,
        backoff: BackoffStrategy::Exponential {
            initial_delay_ms,
            max_delay_ms: cap_ms,
            multiplier: 2.0,
            jitter: false,
        },
        retryable_categories: Vec::new(),
    }
}

/// An execution on its way to its lane.
#[derive(Debug)]
#[must_use = "nothing is submitted until it is awaited"]
pub struct Submit<'a> {
    bench: &'a Bench,
    args: CreateExecutionArgs,
}

impl Submit<'_> {
    /// Under this id.
    pub fn id(mut self, id: &ExecutionId) -> Self {
        self.args.execution_id = id.clone();
        self
    }

    /// Of this kind.
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.args.execution_kind);
        self
    }

    /// On this lane.
    pub fn lane(mut self, lane: &str) -> Self {
        self.args.lane_id = LaneId::new(lane);
        self
    }

    /// In this namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.args.namespace = Namespace::new(namespace);
        self
    }

    /// By this creator.
    pub fn creator(mut self, creator: &str) -> Self {
        creator.clone_into(&mut self.args.creator_identity);
        self
    }

    /// With this priority.
    pub fn priority(mut self, priority: i32) -> Self {
        self.args.priority = priority;
        self
    }

    /// With this input.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.args.input_payload = payload.to_vec();
        self
    }

    /// With an input of this encoding.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.args.payload_encoding = Some(encoding.to_owned());
        self
    }

    /// Under this idempotency key.
    pub fn key(mut self, key: &str) -> Self {
        self.args.idempotency_key = Some(key.to_owned());
        self
    }

    /// With this tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.args.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Not before this instant.
    pub fn delay_until(mut self, at: TimestampMs) -> Self {
        self.args.delay_until = Some(at);
        self
    }

    /// To end by this instant.
    pub fn deadline(mut self, at: TimestampMs) -> Self {
        self.args.execution_deadline_at = Some(at);
        self
    }

    /// With the policy as `change` leaves it.
    pub fn policy(mut self, change: impl FnOnce(&mut ExecutionPolicy)) -> Self {
        change(self.args.policy.get_or_insert_with(ExecutionPolicy::default));
        self
    }

    /// With these retries.
    pub fn retries(self, retry: RetryPolicy) -> Self {
        self.policy(|policy| policy.retry_policy = Some(retry))
    }

    /// With at most this time for one attempt.
    pub fn attempt_timeout(self, ms: u64) -> Self {
        self.timeouts(|timeouts| timeouts.attempt_timeout_ms = Some(ms))
    }

    /// With the timeouts as `change` leaves them.
    pub fn timeouts(self, change: impl FnOnce(&mut TimeoutPolicy)) -> Self {
        self.policy(|policy| {
            change(policy.timeout_policy.get_or_insert(TimeoutPolicy {
                attempt_timeout_ms: None,
                execution_deadline_ms: None,
                max_reclaim_count: 100,
            }));
        })
    }

    /// With at most this many reclaims.
    pub fn reclaims(self, max: u32) -> Self {
        self.policy(|policy| policy.max_reclaim_count = max)
    }

    /// For workers with these capabilities.
    pub fn needs(self, tokens: &[&str]) -> Self {
        let required = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.policy(|policy| {
            policy.routing_requirements = Some(RoutingRequirements {
                required_capabilities: required,
                preferred_locality: None,
                isolation_level: None,
            });
        })
    }

    /// The call itself.
    pub fn args(self) -> CreateExecutionArgs {
        self.args
    }

    /// The engine's answer.
    pub async fn answer(self) -> Result<CreateExecutionResult, EngineError> {
        self.bench.engine.create_execution(self.args).await
    }
}

impl<'a> IntoFuture for Submit<'a> {
    type Output = ExecutionId;
    type IntoFuture = BoxFuture<'a, ExecutionId>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let wanted = self.args.execution_id.clone();
            match self.answer().await.expect("created") {
                CreateExecutionResult::Created { execution_id, .. } => {
                    assert_eq!(execution_id, wanted);
                    execution_id
                }
                CreateExecutionResult::Duplicate { execution_id } => {
                    panic!("a duplicate of {execution_id}")
                }
            }
        })
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

/// The four facts of a `Contention(ExecutionNotActive)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct NotActive {
    pub terminal_outcome: String,
    pub lease_epoch: String,
    pub lifecycle_phase: String,
    pub attempt_id: String,
}

/// What a refusal has to be. Each asserts its kind, under any context the backend added.
pub trait Refusal: Sized {
    /// The refusal, bare.
    fn refusal(self) -> EngineError;

    /// `State(kind)`.
    #[track_caller]
    fn must_be_state(self, wanted: &StateKind) {
        match self.refusal() {
            EngineError::State(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected State({wanted:?}), got {other:?}"),
        }
    }

    /// `Contention(kind)`.
    #[track_caller]
    fn must_be_contention(self, wanted: &ContentionKind) {
        match self.refusal() {
            EngineError::Contention(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected Contention({wanted:?}), got {other:?}"),
        }
    }

    /// `Conflict(kind)`.
    #[track_caller]
    fn must_be_conflict(self, wanted: &ConflictKind) {
        match self.refusal() {
            EngineError::Conflict(kind) => assert_eq!(kind, *wanted),
            other => panic!("expected Conflict({wanted:?}), got {other:?}"),
        }
    }

    /// `Validation(kind, detail)`; answers the detail.
    #[track_caller]
    fn must_be_validation(self, wanted: &ValidationKind) -> String {
        match self.refusal() {
            EngineError::Validation { kind, detail } => {
                assert_eq!(kind, *wanted, "{detail}");
                detail
            }
            other => panic!("expected Validation({wanted:?}), got {other:?}"),
        }
    }

    /// `Validation(InvalidInput, detail)`; answers the detail.
    #[track_caller]
    fn must_be_invalid(self) -> String {
        self.must_be_validation(&ValidationKind::InvalidInput)
    }

    /// `NotFound(entity)`.
    #[track_caller]
    fn must_be_not_found(self, wanted: &str) {
        match self.refusal() {
            EngineError::NotFound { entity } => assert_eq!(entity, wanted),
            other => panic!("expected NotFound({wanted}), got {other:?}"),
        }
    }

    /// `Contention(ExecutionNotActive)`; answers its facts.
    #[track_caller]
    fn must_be_not_active(self) -> NotActive {
        match self.refusal() {
            EngineError::Contention(ContentionKind::ExecutionNotActive {
                terminal_outcome,
                lease_epoch,
                lifecycle_phase,
                attempt_id,
            }) => NotActive { terminal_outcome, lease_epoch, lifecycle_phase, attempt_id },
            other => panic!("expected Contention(ExecutionNotActive), got {other:?}"),
        }
    }
}

impl<T: fmt::Debug> Refusal for Result<T, EngineError> {
    #[track_caller]
    fn refusal(self) -> EngineError {
        let mut error = match self {
            Ok(answer) => panic!("expected a refusal, got {answer:?}"),
            Err(error) => error,
        };
        while let EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } =
            error
        {
            error = *source;
        }
        error
    }
}
