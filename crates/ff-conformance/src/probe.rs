//! An engine under test: its public interface, and a look at its rows and outboxes beside it.
//!
//! A test that only compares answers misses a wrong row until somebody reads it. [`Engine`] reads
//! what a [`Store`] keeps in one consistent read, so that a comparison after every step is cheap.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use ff_core::EngineError;
use ff_core::backend::{BackendTag, Handle, HandleKind};
use ff_core::contracts::{BudgetOverage, QuotaHolder};
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::machine::Footprint;
use ff_core::machine::budget::{self, Budget, GateKey, Quota, Readable};
use ff_core::machine::drive::Swept;
use ff_core::machine::flow::background::FlowWork;
use ff_core::machine::flow::sibling::PendingGroup;
use ff_core::machine::flow::{Announced, Edge, Flow, Group, Standings};
use ff_core::machine::rows::{Attempt, Candidate, Execution, Grant, GrantKind, Lane};
use ff_core::machine::stream::{self, Frame, FrameId, Meta, Summary};
use ff_core::machine::suspension::{
    Observing, Signal, SignalTally, SigningKey, Suspension, Waitpoint,
};
use ff_core::machine::transition::{CompletionEvent, Event, LeaseEvent, TransitionRow};
use ff_core::machine::worker::{Registration, RegistryEvent};
use ff_core::store::flow::{EdgesOf, FlowScan};
use ff_core::store::{
    EventBounds, ExpiredLease, FrameRange, LaneCounts, Reader, Scan, Store, Topic,
};
use ff_core::types::{
    BudgetId, ExecutionId, FlowId, LaneId, Namespace, TimestampMs, WorkerInstanceId,
};

/// More rows than a small world ever has.
const ALL: usize = 100_000;

/// What every step may change, in one read.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the read of the same name")]
pub struct Pulse {
    pub executions: Vec<(Execution, Option<Attempt>)>,
    pub lease_events: Vec<(i64, Event)>,
    pub completions: Vec<(i64, Event)>,
    pub signals: Vec<(i64, Event)>,
    pub next_due: Option<TimestampMs>,
    pub next_reset: Option<TimestampMs>,
    pub next_gate_sweep: Option<TimestampMs>,
    pub next_worker_lapse: Option<TimestampMs>,
}

/// What was announced since a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "one list per outbox, and when something is due next")]
pub struct News {
    pub lease_events: Vec<(i64, LeaseEvent)>,
    pub completions: Vec<(i64, CompletionEvent)>,
    pub next_due: Option<TimestampMs>,
    pub next_reset: Option<TimestampMs>,
    pub next_worker_lapse: Option<TimestampMs>,
}

/// Everything a store keeps, as its reader shows it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the read of the same name")]
pub struct Census {
    pub executions: Vec<Record>,
    pub descending: Vec<ExecutionId>,
    pub lanes: Vec<(Lane, LaneCounts, Vec<String>)>,
    pub due: Vec<ExecutionId>,
    pub ended: Vec<ExecutionId>,
    pub expired_leases: Vec<ExpiredLease>,
    pub lease_bounds: EventBounds,
    pub completion_bounds: EventBounds,
    pub keys: Vec<SigningKey>,
    pub expired_waitpoints: Vec<ExecutionId>,
    pub open_suspensions: Vec<Suspension>,
    pub flows: Vec<FlowRecord>,
    pub flow_work: FlowWork,
    pub announced: Vec<Announced>,
    pub pending_group: Option<PendingGroup>,
    pub cancel_backlog: Vec<FlowId>,
    pub signal_bounds: EventBounds,
    pub registry: Registry,
    pub budgets: Vec<BudgetRecord>,
    pub due_resets: Vec<BudgetId>,
    pub quotas: Vec<QuotaRecord>,
    pub gates: Vec<GateRecord>,
    pub gates_to_sweep: Vec<(LaneId, GateKey)>,
}

/// All rows of the registry of workers.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct Registry {
    pub ends: Vec<(Namespace, WorkerInstanceId)>,
    pub workers: Vec<Registration>,
    pub history: Vec<RegistryEvent>,
    pub leases_held: Vec<(WorkerInstanceId, u64)>,
}

/// All rows of one budget.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct BudgetRecord {
    pub budget: Option<Readable<Budget>>,
    pub overages: Vec<BudgetOverage>,
    /// By execution, in the order of executions.
    pub charges: Vec<Vec<(String, u64)>>,
}

/// All rows of one quota, as it stood before every instant: each lease, reservation and entry
/// counts.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct QuotaRecord {
    pub quota: Option<Readable<Quota>>,
    pub holders: Vec<QuotaHolder>,
    pub lanes: Vec<LaneId>,
}

/// A gate of a lane and who waits behind it, in line order.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct GateRecord {
    pub lane: LaneId,
    pub gate: GateKey,
    pub look_at: Option<TimestampMs>,
    pub parked: Vec<Candidate>,
}

/// The stream of one attempt.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct StreamRecord {
    pub meta: Option<Meta>,
    pub summary: Option<Summary>,
    pub frames: Vec<Frame>,
}

/// All rows of one flow.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct FlowRecord {
    pub flow: Flow,
    pub standings: Standings,
    pub members: Vec<ExecutionId>,
    pub edges: Vec<Edge>,
    pub groups: Vec<Group>,
    pub unacknowledged: Vec<ExecutionId>,
    pub reached: Vec<ExecutionId>,
}

/// All rows of one execution.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the rows of the same name")]
pub struct Record {
    pub execution: Execution,
    pub attempts: Vec<Attempt>,
    pub transitions: Vec<TransitionRow>,
    pub payload: Option<Vec<u8>>,
    pub result: Option<Vec<u8>>,
    pub claim_grant: Option<Grant>,
    pub reclaim_grant: Option<Grant>,
    pub suspension: Option<Suspension>,
    pub waitpoints: Vec<Waitpoint>,
    pub signals: Vec<Signal>,
    pub signal_tally: SignalTally,
    /// By attempt.
    pub streams: Vec<StreamRecord>,
}

/// Where a reader of the outboxes stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "one cursor per outbox")]
pub struct Cursors {
    pub lease: i64,
    pub completion: i64,
    pub signal: i64,
}

#[async_trait]
trait Probe: Send + Sync {
    async fn pulse(&self, after: Cursors) -> Result<Pulse, EngineError>;
    async fn census(&self) -> Result<Census, EngineError>;
    async fn events(&self, topic: Topic) -> Result<Vec<(i64, Event)>, EngineError>;
    async fn events_behind(
        &self,
        topic: Topic,
        after: i64,
    ) -> Result<Vec<(i64, Event)>, EngineError>;
    async fn events_after(&self, after: Cursors) -> Result<News, EngineError>;
    async fn sweep(&self) -> Result<Swept, EngineError>;
}

struct Probed<S, F> {
    store: S,
    sweep: F,
}

#[async_trait]
impl<S, F, Fut> Probe for Probed<S, F>
where
    S: Store,
    F: Fn(S) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Swept, EngineError>> + Send + 'static,
{
    async fn pulse(&self, after: Cursors) -> Result<Pulse, EngineError> {
        self.store
            .read(move |reader| {
                Ok(Pulse {
                    executions: reader.scan(&Scan::default(), ALL)?,
                    lease_events: reader.events(Topic::Lease, after.lease, ALL)?,
                    completions: reader.events(Topic::Completion, after.completion, ALL)?,
                    signals: reader.events(Topic::Signal, after.signal, ALL)?,
                    next_due: reader.next_due()?,
                    next_reset: reader.next_reset()?,
                    next_gate_sweep: reader.next_gate_sweep()?,
                    next_worker_lapse: reader.next_worker_lapse()?,
                })
            })
            .await
    }

    async fn census(&self) -> Result<Census, EngineError> {
        self.store.read(census).await
    }

    async fn events(&self, topic: Topic) -> Result<Vec<(i64, Event)>, EngineError> {
        self.store
            .read(move |reader| {
                let mut events = Vec::new();
                loop {
                    let after = events.last().map_or(0, |(id, _)| *id);
                    let page = reader.events(topic, after, ALL)?;
                    if page.is_empty() {
                        return Ok(events);
                    }
                    events.extend(page);
                }
            })
            .await
    }

    async fn events_behind(
        &self,
        topic: Topic,
        after: i64,
    ) -> Result<Vec<(i64, Event)>, EngineError> {
        self.store.read(move |reader| reader.events(topic, after, ALL)).await
    }

    async fn events_after(&self, after: Cursors) -> Result<News, EngineError> {
        self.store
            .read(move |reader| {
                let lease_events = reader.events(Topic::Lease, after.lease, ALL)?;
                let completions = reader.events(Topic::Completion, after.completion, ALL)?;
                Ok(News {
                    next_due: reader.next_due()?,
                    next_reset: reader.next_reset()?,
                    next_worker_lapse: reader.next_worker_lapse()?,
                    lease_events: lease_events
                        .into_iter()
                        .filter_map(|(id, event)| match event {
                            Event::Lease(event) => Some((id, event)),
                            Event::Completion(_)
                            | Event::Operator(_)
                            | Event::Signal(_)
                            | Event::Transition(_)
                            | Event::FlowCancelRequested(_) => None,
                        })
                        .collect(),
                    completions: completions
                        .into_iter()
                        .filter_map(|(id, event)| match event {
                            Event::Completion(event) => Some((id, event)),
                            Event::Lease(_)
                            | Event::Operator(_)
                            | Event::Signal(_)
                            | Event::Transition(_)
                            | Event::FlowCancelRequested(_) => None,
                        })
                        .collect(),
                })
            })
            .await
    }

    async fn sweep(&self) -> Result<Swept, EngineError> {
        (self.sweep)(self.store.clone()).await
    }
}

fn census(reader: &mut dyn Reader) -> Result<Census, EngineError> {
    let far = TimestampMs(i64::MAX);
    let mut executions = Vec::new();
    for (execution, _) in reader.scan(&Scan::default(), ALL)? {
        let footprint = Footprint::execution(&execution.id).with_payload().with_result();
        let mut waiting = Footprint::execution(&execution.id);
        waiting.suspension.suspension = true;
        waiting.suspension.open = true;
        waiting.suspension.observed = Observing::Yes;
        let waiting = reader.load(&waiting)?.suspension;
        let claim = reader.load(&footprint.clone().with_grant(GrantKind::Claim))?;
        let reclaim = reader.load(&footprint.with_grant(GrantKind::Reclaim))?;
        let attempts = reader.attempts(&execution.id)?;
        let streams = attempts.iter().map(|attempt| stream(reader, attempt));
        let streams = streams.collect::<Result<_, EngineError>>()?;
        executions.push(Record {
            attempts,
            streams,
            transitions: reader.transitions(&execution.id, None, ALL)?,
            payload: claim.payload,
            result: claim.result,
            claim_grant: claim.grant,
            reclaim_grant: reclaim.grant,
            suspension: waiting.suspension,
            waitpoints: waiting.waitpoints,
            signals: waiting.observed,
            signal_tally: waiting.tally,
            execution,
        });
    }
    let mut ring = Footprint::default();
    ring.suspension.keys = true;
    let keys = reader.load(&ring)?.suspension.keys;
    let descending = reader.scan(&Scan { descending: true, ..Scan::default() }, ALL)?;
    let mut lanes = Vec::new();
    for lane in reader.lanes(None, ALL)? {
        let counts = reader.lane_counts(&lane.id)?;
        let keys = reader.gate_keys(&lane.id, ALL)?;
        lanes.push((lane, counts, keys));
    }
    let mut flows = Vec::new();
    for flow in reader.flows(&FlowScan::default(), ALL)? {
        let id = flow.id.clone();
        flows.push(FlowRecord {
            flow,
            standings: reader.standings(&id)?,
            members: reader.members(&id, ALL)?.into_iter().map(|(member, _)| member.id).collect(),
            edges: reader.edges(&id, &EdgesOf::Flow, ALL)?,
            groups: reader.groups(&id, ALL)?,
            unacknowledged: reader.unacknowledged(&id)?,
            reached: reader.reached_members(&id, ALL)?,
        });
    }
    let ids: Vec<ExecutionId> =
        executions.iter().map(|record: &Record| record.execution.id.clone()).collect();
    let lane_ids: Vec<LaneId> = lanes.iter().map(|(lane, _, _)| lane.id.clone()).collect();
    Ok(Census {
        registry: registry(reader)?,
        budgets: budgets(reader, &ids)?,
        due_resets: reader.budgets_due(far, ALL)?,
        quotas: quotas(reader)?,
        gates: gates(reader, &executions, &lane_ids)?,
        gates_to_sweep: reader.gates_to_sweep(TimestampMs(i64::MAX - 1), ALL)?,
        signal_bounds: reader.event_bounds(Topic::Signal)?,
        executions,
        descending: descending.into_iter().map(|(execution, _)| execution.id).collect(),
        lanes,
        due: reader.due(far, ALL)?,
        ended: reader.ended(far, ALL)?,
        expired_leases: reader.expired_leases(far, None, None, ALL)?,
        lease_bounds: reader.event_bounds(Topic::Lease)?,
        completion_bounds: reader.event_bounds(Topic::Completion)?,
        keys,
        expired_waitpoints: reader.expired_waitpoints(far, ALL)?,
        open_suspensions: reader.open_suspensions(None, None, ALL)?,
        flows,
        flow_work: reader.flow_work()?,
        announced: reader.announced(i64::MIN, ALL)?,
        pending_group: reader.pending_group()?,
        cancel_backlog: reader.cancel_backlog(ALL)?,
    })
}

fn stream(reader: &mut dyn Reader, attempt: &Attempt) -> Result<StreamRecord, EngineError> {
    let mut footprint = Footprint::execution(&attempt.execution_id);
    footprint.stream = stream::Wanted { meta: Some(attempt.index), summary: Some(attempt.index) };
    let seen = reader.load(&footprint)?.stream;
    let range = FrameRange {
        execution_id: attempt.execution_id.clone(),
        attempt_index: attempt.index,
        from: FrameId::FIRST,
        to: FrameId::LAST,
        without_best_effort: false,
    };
    let frames = reader.frames(&range, ALL, usize::MAX)?;
    Ok(StreamRecord { meta: seen.meta, summary: seen.summary, frames })
}

fn registry(reader: &mut dyn Reader) -> Result<Registry, EngineError> {
    let before_all = TimestampMs(0);
    let ends = reader.lapsed_workers(TimestampMs(i64::MAX), ALL)?;
    let namespaces: BTreeSet<Namespace> =
        ends.iter().map(|(namespace, _)| namespace.clone()).collect();
    let mut workers = Vec::new();
    for namespace in &namespaces {
        workers.extend(reader.workers(namespace, before_all, None, ALL)?);
    }
    Ok(Registry {
        ends,
        workers,
        history: reader.registry_events(ALL)?,
        leases_held: reader.leases_held(before_all)?,
    })
}

fn budgets(
    reader: &mut dyn Reader,
    executions: &[ExecutionId],
) -> Result<Vec<BudgetRecord>, EngineError> {
    let mut found = Vec::new();
    for id in reader.budgets(None, ALL)? {
        let wanting = |charges_of| Footprint {
            budget: budget::Wanted {
                budget: Some(id.clone()),
                charges_of,
                ..budget::Wanted::default()
            },
            ..Footprint::default()
        };
        let mut charges = Vec::new();
        for execution in executions {
            charges.push(reader.load(&wanting(Some(execution.clone())))?.budget.charges);
        }
        found.push(BudgetRecord {
            budget: reader.load(&wanting(None))?.budget.budget,
            overages: reader.overages(&id, 0, ALL)?,
            charges,
        });
    }
    Ok(found)
}

fn quotas(reader: &mut dyn Reader) -> Result<Vec<QuotaRecord>, EngineError> {
    let before_all = TimestampMs(0);
    let mut found = Vec::new();
    for id in reader.quota_policies(None, ALL)? {
        let quota = Some((id.clone(), None, None));
        let wanted =
            budget::Wanted { at: before_all, quota, counts_all: true, ..budget::Wanted::default() };
        let footprint = Footprint { budget: wanted, ..Footprint::default() };
        found.push(QuotaRecord {
            quota: reader.load(&footprint)?.budget.quota,
            holders: reader.quota_holders(&id, before_all, ALL)?,
            lanes: reader.lanes_of_quota(&id)?,
        });
    }
    Ok(found)
}

/// The gates that somebody may wait behind: of every budget and quota that is stored or named.
fn gates(
    reader: &mut dyn Reader,
    executions: &[Record],
    lanes: &[LaneId],
) -> Result<Vec<GateRecord>, EngineError> {
    let mut keys: BTreeSet<GateKey> =
        reader.budgets(None, ALL)?.into_iter().map(GateKey::Budget).collect();
    for policy in executions.iter().filter_map(|record| record.execution.policy.as_ref()) {
        keys.extend(policy.budget_ids.iter().cloned().map(GateKey::Budget));
    }
    for id in reader.quota_policies(None, ALL)? {
        keys.extend([GateKey::Quota(id.clone()), GateKey::LaneQuota(id)]);
    }
    let mut found = Vec::new();
    for lane in lanes {
        for gate in &keys {
            let look_at = reader.gate_look_at(lane, gate)?;
            let parked = reader.parked(lane, gate, None, ALL)?;
            if look_at.is_some() || !parked.is_empty() {
                found.push(GateRecord { lane: lane.clone(), gate: gate.clone(), look_at, parked });
            }
        }
    }
    Ok(found)
}

/// An engine as the model test, the race and the invariants use it.
#[derive(Clone)]
pub struct Engine {
    backend: Arc<dyn EngineBackend>,
    probe: Arc<dyn Probe>,
    tag: BackendTag,
    verify: Option<Arc<Verify>>,
    keeps: Option<Arc<dyn Any + Send + Sync>>,
}

/// Looks at every row; the error tells what it found.
type Verify = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("backend", &self.backend.backend_label()).finish()
    }
}

impl Engine {
    /// An engine over a store. `sweep` runs one bounded step of its background work, in the
    /// foreground; the engine must run none by itself while a model compares it.
    pub fn new<S, F, Fut>(store: S, sweep: F) -> Self
    where
        S: Store,
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Swept, EngineError>> + Send + 'static,
    {
        Self {
            backend: Arc::new(store.clone()),
            probe: Arc::new(Probed { store, sweep }),
            tag: S::TAG,
            verify: None,
            keeps: None,
        }
    }

    /// Has a check of its own rows, whose error tells what it found. A model asks it when a sequence ends.
    #[must_use]
    pub fn verified_by<F, Fut>(mut self, verify: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.verify = Some(Arc::new(move || Box::pin(verify())));
        self
    }

    /// Whether its own check, if it has one, finds nothing.
    pub async fn verify(&self) -> Result<(), String> {
        match &self.verify {
            Some(verify) => verify().await,
            None => Ok(()),
        }
    }

    /// Keeps something as long as the engine lives: the directory of its file.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keeps = Some(Arc::new(guard));
        self
    }

    /// The public interface.
    pub fn backend(&self) -> &Arc<dyn EngineBackend> {
        &self.backend
    }

    /// The tag of its handles.
    pub fn tag(&self) -> BackendTag {
        self.tag
    }

    /// A handle of this engine with this proof inside.
    pub fn handle(&self, kind: HandleKind, payload: &HandlePayload) -> Handle {
        Handle::new(self.tag, kind, handle_codec::encode(self.tag, payload))
    }

    /// What a step may have changed: all executions, and the events after `after`.
    pub async fn pulse(&self, after: Cursors) -> Result<Pulse, EngineError> {
        self.probe.pulse(after).await
    }

    /// Every row.
    pub async fn census(&self) -> Result<Census, EngineError> {
        self.probe.census().await
    }

    /// An outbox from its oldest row on, read from the table.
    pub async fn events(&self, topic: Topic) -> Result<Vec<(i64, Event)>, EngineError> {
        self.probe.events(topic).await
    }

    /// What one outbox holds behind an event.
    pub async fn events_behind(
        &self,
        topic: Topic,
        after: i64,
    ) -> Result<Vec<(i64, Event)>, EngineError> {
        self.probe.events_behind(topic, after).await
    }

    /// What both outboxes hold after `after`.
    pub async fn events_after(&self, after: Cursors) -> Result<News, EngineError> {
        self.probe.events_after(after).await
    }

    /// One bounded step of background work.
    pub async fn sweep(&self) -> Result<Swept, EngineError> {
        self.probe.sweep().await
    }
}

/// The memory backend under test.
impl From<ff_backend_memory::MemoryBackend> for Engine {
    fn from(backend: ff_backend_memory::MemoryBackend) -> Self {
        Self::new(backend, |backend| std::future::ready(backend.sweep()))
    }
}
