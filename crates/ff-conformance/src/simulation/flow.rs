//! Flows: small graphs that follow from the seed, who submits and cancels them, and what must hold.
//!
//! A graph is drawn once per flow and named by the flow's number; its members are executions with
//! numbers of their own ([`member`]). Edges lead from a lower place to a higher one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ff_core::backend::{CancelFlowPolicy, CancelFlowWait};
use ff_core::contracts::*;
use ff_core::machine::transition::LeaseEventKind;
use ff_core::state::{PublicState, TerminalOutcome};
use ff_core::types::{EdgeId, ExecutionId, FlowId, Namespace, TimestampMs};
use uuid::Uuid;

use super::actor::{Actor, Next, Scene};
use super::call::{Answer, Birth, Call, Number, Operation};
use super::ledger::found;
use super::stage::{Stage, answered, at_once, broken};
use crate::dice::Dice;
use crate::invariants::{Finding, Op};
use crate::probe::News;

/// Members of flows are numbered from here on.
const MEMBERS_FROM: Number = 1_000_000;

/// Places that each flow has numbers for.
const PLACES: Number = 8;

/// A graph as it will be submitted.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) id: FlowId,
    pub(crate) size: u32,
    pub(crate) edges: Vec<(u32, u32)>,
    pub(crate) joins: Vec<EdgeDependencyPolicy>,
}

/// What flow number `flow` looks like in the world of `seed`.
pub(crate) fn graph(seed: u64, flow: u32) -> Graph {
    let mut dice = Dice::new(seed.rotate_left(9) ^ u64::from(flow).rotate_left(40));
    let mut random = [0_u8; 10];
    random[..8].copy_from_slice(&dice.next().to_le_bytes());
    let at = 1_700_000_500_000 + u64::from(flow);
    let id = FlowId::from_uuid(uuid::Builder::from_unix_timestamp_millis(at, &random).into_uuid());
    let size = dice.pick(&[2, 3, 3, 4, 5]);
    let mut edges = Vec::new();
    for downstream in 1..size {
        for upstream in 0..downstream {
            if dice.chance(55) {
                edges.push((upstream, downstream));
            }
        }
    }
    let mut joins = Vec::new();
    for place in 0..size {
        let inbound = edges.iter().filter(|(_, downstream)| *downstream == place).count();
        let after = dice.pick(&[OnSatisfiedPick::Cancel, OnSatisfiedPick::LetRun]).policy();
        let k = 1 + u32::try_from(dice.below(inbound.max(1) as u64)).unwrap_or(0);
        joins.push(match dice.below(4) {
            1 if inbound > 0 => EdgeDependencyPolicy::any_of(after),
            2 | 3 if inbound > 1 => EdgeDependencyPolicy::quorum(k, after),
            _ => EdgeDependencyPolicy::all_of(),
        });
    }
    Graph { id, size, edges, joins }
}

#[derive(Clone, Copy)]
enum OnSatisfiedPick {
    Cancel,
    LetRun,
}

impl OnSatisfiedPick {
    fn policy(self) -> OnSatisfied {
        match self {
            Self::Cancel => OnSatisfied::cancel_remaining(),
            Self::LetRun => OnSatisfied::let_run(),
        }
    }
}

/// The execution at a place of a flow.
pub(crate) fn member(flow: u32, place: u32) -> Number {
    MEMBERS_FROM + flow * PLACES + place
}

/// The flow and the place of an execution that is made for one.
pub(crate) fn place_of(number: Number) -> Option<(u32, u32)> {
    let from = number.checked_sub(MEMBERS_FROM)?;
    (number != Number::MAX).then_some((from / PLACES, from % PLACES))
}

/// What is asked about flows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ask {
    Submit,
    Create,
    Add {
        place: u32,
    },
    Join {
        place: u32,
    },
    /// `is_reversed` draws it from its end to its beginning, under another id.
    Stage {
        edge: u32,
        is_reversed: bool,
    },
    Apply {
        edge: u32,
    },
    Cancel {
        policy: u8,
        waits: bool,
    },
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Submit => "submit_flow",
            Self::Create => "create_flow",
            Self::Add { .. } => "add_execution_to_flow",
            Self::Join { .. } => "set_edge_group_policy",
            Self::Stage { .. } => "stage_dependency_edge",
            Self::Apply { .. } => "apply_dependency_to_child",
            Self::Cancel { .. } => "cancel_flow",
        }
    }
}

const POLICIES: [CancelFlowPolicy; 3] =
    [CancelFlowPolicy::CancelAll, CancelFlowPolicy::CancelPending, CancelFlowPolicy::FlowOnly];

// ---- The submitter ----

/// Submits graphs, in one call or by hand, and cancels some.
#[derive(Debug)]
pub(crate) struct Submitter {
    every_ms: u64,
    next_ms: u64,
    /// What it is not done with; its own journal survives a crash.
    steps: VecDeque<Call>,
}

impl Submitter {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            every_ms: dice.pick(&[180_000, 300_000, 500_000]),
            next_ms: 0,
            steps: VecDeque::new(),
        }
    }

    fn draw(&mut self, scene: &mut Scene<'_>) {
        if *scene.flows > 0 && scene.dice.chance(30) {
            let newest = *scene.flows - 1;
            let back = u32::try_from(scene.dice.below(2)).unwrap_or(0);
            let policy = scene.dice.pick(&[0, 1, 2]);
            let waits = scene.dice.chance(25);
            let ask = Ask::Cancel { policy, waits };
            self.steps.push_back(Call::Flow(newest.saturating_sub(back), ask));
            return;
        }
        let flow = *scene.flows;
        *scene.flows += 1;
        let drawn = graph(scene.seed, flow);
        if scene.dice.chance(50) {
            self.steps.push_back(Call::Flow(flow, Ask::Submit));
            return;
        }
        let mut ask = |ask| self.steps.push_back(Call::Flow(flow, ask));
        ask(Ask::Create);
        for place in 0..drawn.size {
            if drawn.joins[place as usize] != EdgeDependencyPolicy::AllOf {
                ask(Ask::Join { place });
            }
        }
        for place in 0..drawn.size {
            let birth = Birth { number: member(flow, place), delay_until: None, deadline_at: None };
            self.steps.push_back(Call::Create(vec![birth]));
            self.steps.push_back(Call::Flow(flow, Ask::Add { place }));
        }
        for edge in 0..u32::try_from(drawn.edges.len()).unwrap_or(0) {
            let mut ask = |ask| self.steps.push_back(Call::Flow(flow, ask));
            ask(Ask::Stage { edge, is_reversed: false });
            if scene.dice.chance(15) {
                ask(Ask::Stage { edge, is_reversed: true });
            }
            ask(Ask::Apply { edge });
        }
    }
}

impl Actor for Submitter {
    fn name(&self) -> &str {
        "submitter"
    }

    fn wake(&mut self, scene: &mut Scene<'_>) -> Next {
        if scene.now_ms < self.next_ms && !scene.is_healed {
            return Next::SleepMs(self.next_ms - scene.now_ms);
        }
        if self.steps.is_empty() {
            if scene.is_healed {
                return Next::Rest;
            }
            self.draw(scene);
        }
        self.steps.front().map_or(Next::Rest, |call| Next::Ask(call.clone()))
    }

    fn told(&mut self, _: &Call, _: &Answer, scene: &mut Scene<'_>) {
        self.steps.pop_front();
        let pause_ms = if self.steps.is_empty() { self.every_ms } else { 2_000 };
        self.next_ms = scene.now_ms + pause_ms / 2 + scene.dice.below(pause_ms);
    }

    fn unheard(&mut self, _: &Call) {}

    fn crash(&mut self) {}
}

// ---- What is known ----

/// A flow as its answers and reads showed it.
#[derive(Debug, Clone, Default)]
struct Known {
    is_submitted: bool,
    members: BTreeSet<ExecutionId>,
    cancelled: Option<CancelFlowPolicy>,
    /// Nodes and edges, since it is seen to have ended.
    ended_with: Option<(u32, u32)>,
}

/// What is known of all flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    known: BTreeMap<u32, Known>,
    /// Members that must never begin, or begin again, and why.
    barred: BTreeMap<ExecutionId, Bar>,
    ends: BTreeMap<ExecutionId, Vec<(TimestampMs, TerminalOutcome)>>,
}

/// What a cancelled flow lets its member do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bar {
    Nothing,
    /// It goes on if its worker parked it, but is not taken from a lost worker.
    NoReclaim,
}

impl Flows {
    /// Whether the execution is of a flow that was cancelled.
    pub(crate) fn is_cancelled(&self, number: Number) -> bool {
        let flow = place_of(number).and_then(|(flow, _)| self.known.get(&flow));
        flow.is_some_and(|known| known.cancelled.is_some())
    }

    /// Notes what was announced: nothing of a cancelled flow begins (I9).
    pub(crate) fn announced(&mut self, news: &News) -> Result<(), Finding> {
        for (_, event) in &news.lease_events {
            let id = &event.execution_id;
            let begins = match (self.barred.get(id), event.kind) {
                (Some(Bar::Nothing), LeaseEventKind::Acquired | LeaseEventKind::Reclaimed)
                | (Some(Bar::NoReclaim), LeaseEventKind::Reclaimed) => true,
                (
                    None | Some(Bar::Nothing | Bar::NoReclaim),
                    LeaseEventKind::Acquired
                    | LeaseEventKind::Reclaimed
                    | LeaseEventKind::Renewed
                    | LeaseEventKind::Expired
                    | LeaseEventKind::Revoked,
                ) => false,
            };
            if begins {
                let detail = format!("epoch {} begins in a cancelled flow", event.epoch);
                return Err(found("I9", Some(id), detail));
            }
        }
        for (_, event) in &news.completions {
            let ends = self.ends.entry(event.execution_id.clone()).or_default();
            ends.push((event.at, event.outcome));
        }
        Ok(())
    }
}

impl Stage {
    /// One call about a flow.
    pub(crate) fn ask_flow(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        flow: u32,
        ask: &Ask,
    ) -> Result<Answer, Finding> {
        let drawn = graph(self.seed(), flow);
        let flow_id = drawn.id.clone();
        let id_of = |stage: &mut Self, place| stage.plan(member(flow, place)).id.clone();
        match ask {
            Ask::Submit => self.submit(operation, now, flow, &drawn),
            Ask::Create => {
                let args = CreateFlowArgs {
                    flow_id,
                    flow_kind: "sim".to_owned(),
                    namespace: Namespace::new("sim"),
                    now,
                };
                answered(&at_once(self.backend().create_flow(args)), "ok")
            }
            Ask::Add { place } => {
                let execution_id = id_of(self, *place);
                let args = AddExecutionToFlowArgs { flow_id, execution_id, now };
                let said = at_once(self.backend().add_execution_to_flow(args));
                let word = match &said {
                    Ok(AddExecutionToFlowResult::AlreadyMember { .. }) => "AlreadyMember",
                    Ok(AddExecutionToFlowResult::Added { .. }) | Err(_) => "Added",
                };
                answered(&said, word)
            }
            Ask::Join { place } => {
                let downstream = id_of(self, *place);
                let join = drawn.joins[*place as usize].clone();
                let said = self.backend().set_edge_group_policy(&flow_id, &downstream, join);
                answered(&at_once(said), "ok")
            }
            Ask::Stage { edge, is_reversed } => {
                let (mut upstream, mut downstream) = drawn.edges[*edge as usize];
                if *is_reversed {
                    (upstream, downstream) = (downstream, upstream);
                }
                let read = at_once(self.backend().describe_flow(&flow_id));
                let revision =
                    read.map_err(|error| broken(&error))?.map(|flow| flow.graph_revision);
                let args = StageDependencyEdgeArgs {
                    edge_id: edge_id(&flow_id, *edge, *is_reversed),
                    flow_id,
                    upstream_execution_id: id_of(self, upstream),
                    downstream_execution_id: id_of(self, downstream),
                    dependency_kind: "success_only".to_owned(),
                    data_passing_ref: None,
                    expected_graph_revision: revision.unwrap_or(0),
                    now,
                };
                answered(&at_once(self.backend().stage_dependency_edge(args)), "Staged")
            }
            Ask::Apply { edge } => {
                let (upstream, downstream) = drawn.edges[*edge as usize];
                let args = ApplyDependencyToChildArgs {
                    edge_id: edge_id(&flow_id, *edge, false),
                    flow_id,
                    upstream_execution_id: id_of(self, upstream),
                    downstream_execution_id: id_of(self, downstream),
                    graph_revision: 0,
                    dependency_kind: "success_only".to_owned(),
                    data_passing_ref: None,
                    now,
                };
                let said = at_once(self.backend().apply_dependency_to_child(args));
                let word = match &said {
                    Ok(ApplyDependencyToChildResult::AlreadyApplied) => "AlreadyApplied",
                    Ok(ApplyDependencyToChildResult::Applied { .. }) | Err(_) => "Applied",
                };
                answered(&said, word)
            }
            Ask::Cancel { policy, waits } => {
                let policy = POLICIES[usize::from(*policy) % POLICIES.len()];
                let wait =
                    if *waits { CancelFlowWait::WaitIndefinite } else { CancelFlowWait::NoWait };
                let said = at_once(self.backend().cancel_flow(&flow_id, policy, wait));
                answered(&said, "Cancelled")
            }
        }
    }

    fn submit(
        &mut self,
        operation: &Operation,
        now: TimestampMs,
        flow: u32,
        drawn: &Graph,
    ) -> Result<Answer, Finding> {
        let mut nodes = Vec::new();
        for place in 0..drawn.size {
            let birth = Birth { number: member(flow, place), delay_until: None, deadline_at: None };
            let join = drawn.joins[place as usize].clone();
            nodes.push(FlowNode::new(self.birth_args(&birth, now)).with_join(join));
        }
        let link = |(upstream, downstream): &(u32, u32)| {
            FlowLink::new(*upstream as usize, *downstream as usize)
        };
        let args = SubmitFlowArgs {
            flow_id: drawn.id.clone(),
            flow_kind: "sim".to_owned(),
            namespace: Namespace::new("sim"),
            tags: BTreeMap::new(),
            nodes,
            edges: drawn.edges.iter().map(link).collect(),
        };
        let said = at_once(self.backend().submit_flow(args));
        let word = match &said {
            Ok(SubmitFlowResult::Duplicate { .. }) => "Duplicate",
            Ok(_) | Err(_) => "Submitted",
        };
        let answer = answered(&said, word)?;
        for place in 0..drawn.size {
            let mut record = self.record(operation, Op::Create, &answer, now);
            let plan = self.plan(member(flow, place));
            record.execution = Some(plan.id.clone());
            record.lane = Some(plan.lane.0.clone());
            record.capabilities.clone_from(&plan.needs);
            record.caps = Some(plan.caps);
            self.history.records.push(record);
        }
        Ok(answer)
    }

    /// Notes what an answer said of a flow, and looks at every flow that the step touched.
    pub(crate) fn check_flows(
        &mut self,
        operation: &Operation,
        answer: &Answer,
        ended: &[ExecutionId],
    ) -> Result<(), Finding> {
        let mut touched: BTreeSet<u32> = ended
            .iter()
            .filter_map(|id| self.number_of_id(id))
            .filter_map(|number| Some(place_of(number)?.0))
            .collect();
        touched.extend(operation.call.number().and_then(|number| Some(place_of(number)?.0)));
        if let Call::Flow(flow, ask) = &operation.call {
            touched.insert(*flow);
            self.note_flow(*flow, ask, answer)?;
        }
        let is_replay = matches!(operation.call, Call::Replay(_)) && answer.is_ok;
        for flow in touched {
            self.check_flow(flow, is_replay, false)?;
        }
        if let (Call::Replay(number), true) = (&operation.call, is_replay)
            && let Some((flow, _)) = place_of(*number)
        {
            self.check_reopened(flow, *number)?;
        }
        Ok(())
    }

    fn note_flow(&mut self, flow: u32, ask: &Ask, answer: &Answer) -> Result<(), Finding> {
        let drawn = graph(self.seed(), flow);
        let known = self.flows.known.entry(flow).or_default();
        let grows = match ask {
            Ask::Add { .. } => answer.word == "Added",
            Ask::Stage { .. } => true,
            Ask::Apply { .. } => answer.word == "Applied",
            Ask::Submit | Ask::Create | Ask::Join { .. } | Ask::Cancel { .. } => false,
        };
        if !answer.is_ok {
            return Ok(());
        }
        if grows && known.ended_with.is_some() {
            let detail = format!("flow {} has ended, but {} passed", drawn.id, ask.name());
            return Err(found("I19", None, detail));
        }
        match ask {
            Ask::Submit => {
                known.is_submitted = true;
                for place in 0..drawn.size {
                    let id = self.plan(member(flow, place)).id.clone();
                    let known = self.flows.known.entry(flow).or_default();
                    known.members.insert(id);
                }
            }
            Ask::Add { place } => {
                let id = self.plan(member(flow, *place)).id.clone();
                self.flows.known.entry(flow).or_default().members.insert(id);
            }
            Ask::Cancel { policy, .. } => {
                let policy = POLICIES[usize::from(*policy) % POLICIES.len()];
                known.cancelled = Some(policy);
                for id in known.members.clone() {
                    let bar = match policy {
                        CancelFlowPolicy::CancelAll => Bar::Nothing,
                        CancelFlowPolicy::CancelPending if self.ledger.epoch(&id) == 0 => {
                            Bar::Nothing
                        }
                        CancelFlowPolicy::CancelPending => Bar::NoReclaim,
                        _ => continue,
                    };
                    self.flows.barred.insert(id, bar);
                }
            }
            Ask::Create | Ask::Join { .. } | Ask::Stage { .. } | Ask::Apply { .. } => {}
        }
        Ok(())
    }

    /// At rest: every flow once more.
    pub(crate) fn check_flows_at_rest(&mut self) -> Result<(), Finding> {
        let flows: Vec<u32> = self.flows.known.keys().copied().collect();
        flows.into_iter().try_for_each(|flow| self.check_flow(flow, false, true))
    }

    fn described(&self, flow: u32) -> Result<Option<FlowGraph>, Finding> {
        let id = graph(self.seed(), flow).id;
        at_once(self.backend().describe_flow_graph(&id)).map_err(|error| broken(&error))
    }

    fn check_flow(&mut self, flow: u32, replays: bool, at_rest: bool) -> Result<(), Finding> {
        let read = self.described(flow)?;
        let known = self.flows.known.entry(flow).or_default();
        let Some(read) = read else {
            return if known.members.is_empty() {
                Ok(())
            } else {
                Err(found("I1", None, format!("flow {flow} was acknowledged and is gone")))
            };
        };
        let seen: BTreeMap<&ExecutionId, &ExecutionSummary> =
            read.nodes.iter().map(|node| (&node.execution_id, node)).collect();
        if let Some(id) = known.members.iter().find(|id| !seen.contains_key(*id)) {
            return Err(found("I1", Some(id), "was made a member and is none".to_owned()));
        }
        flow_state(&read, known, (replays, at_rest))?;
        acyclic(&read)?;
        for edge in &read.edges {
            settled_by_its_end(edge, &seen, &self.flows.ends)?;
        }
        let is_submitted = self.flows.known.get(&flow).is_some_and(|known| known.is_submitted);
        for group in &read.flow.edge_groups {
            let decision = counted(group, &read)?;
            let Some(node) = seen.get(&group.downstream_execution_id) else { continue };
            decided(group, decision, node, is_submitted)?;
            let losers = read.edges.iter().filter(|edge| {
                edge.edge.downstream_execution_id == group.downstream_execution_id
                    && edge.resolution == EdgeResolution::Unsatisfied
            });
            let spared = losers.count() > 0 && cancels_remaining(&group.policy);
            if spared && is_submitted && decision != Decision::Open && node.replay_count == 0 {
                let id = Some(&group.downstream_execution_id);
                return Err(found("I22", id, "is decided, but an upstream was spared".to_owned()));
            }
        }
        Ok(())
    }

    /// I23: a skipped member that is replayed waits for its upstreams as they stand now.
    fn check_reopened(&self, flow: u32, number: Number) -> Result<(), Finding> {
        let Some(read) = self.described(flow)? else { return Ok(()) };
        let Some(id) = self.id_of(number) else { return Ok(()) };
        // The replay may itself have ended it again.
        let ends = self.flows.ends.get(&id).map(Vec::as_slice).unwrap_or_default();
        let replays = read
            .nodes
            .iter()
            .find(|node| node.execution_id == id)
            .map_or(0, |node| node.replay_count as usize);
        let before = replays.checked_sub(1).and_then(|run| ends.get(run));
        if before.is_none_or(|(_, outcome)| *outcome != TerminalOutcome::Skipped) {
            return Ok(());
        }
        for edge in &read.edges {
            if edge.edge.downstream_execution_id != id || edge.resolution == EdgeResolution::Staged
            {
                continue;
            }
            let upstream = &edge.edge.upstream_execution_id;
            let state = read
                .nodes
                .iter()
                .find(|node| node.execution_id == *upstream)
                .map(|node| node.public_state);
            let expected = match state {
                Some(PublicState::Completed) => EdgeResolution::Satisfied,
                Some(state) if is_over(state) => EdgeResolution::Impossible,
                Some(_) | None => EdgeResolution::Unsatisfied,
            };
            if edge.resolution != expected {
                let detail = format!(
                    "replayed; its edge from {upstream} ({state:?}) is {}",
                    edge.resolution.as_str()
                );
                return Err(found("I23", Some(&id), detail));
            }
        }
        Ok(())
    }
}

fn edge_id(flow: &FlowId, edge: u32, is_reversed: bool) -> EdgeId {
    let drawn =
        u128::from_be_bytes(*flow.as_bytes()) ^ (u128::from(edge) << 1) ^ (u128::from(is_reversed));
    EdgeId::from_uuid(Uuid::from_u128(drawn ^ 0xED6E_0000))
}

// ---- What must hold ----

fn is_over(state: PublicState) -> bool {
    matches!(
        state,
        PublicState::Completed
            | PublicState::Failed
            | PublicState::Cancelled
            | PublicState::Expired
            | PublicState::Skipped
    )
}

/// The shown state follows from the members, and a flow that ended stays as it is (I19).
fn flow_state(
    read: &FlowGraph,
    known: &mut Known,
    (replays, at_rest): (bool, bool),
) -> Result<(), Finding> {
    let flow = &read.flow;
    let shown = flow.public_flow_state.as_str();
    let untrue = |why: &str| {
        Err(found("I21", None, format!("flow {} is shown {shown}, but {why}", flow.flow_id)))
    };
    let open = read.nodes.iter().find(|node| !is_over(node.public_state));
    let is_needed = |node: &&ExecutionSummary| {
        read.edges.iter().any(|edge| edge.edge.upstream_execution_id == node.execution_id)
    };
    let is_bad = read
        .nodes
        .iter()
        .filter(|node| !is_needed(node))
        .any(|node| node.public_state != PublicState::Completed);
    match shown {
        "cancelled" if known.cancelled.is_none() => return untrue("nobody cancelled it"),
        "cancelled" => {}
        _ if known.cancelled.is_some() => return untrue("it was cancelled"),
        "completed" | "failed" => {
            if let Some(open) = open {
                return untrue(&format!("{} has not ended", open.execution_id));
            }
            if is_bad != (shown == "failed") {
                return untrue("its members say otherwise");
            }
        }
        "open" | "running" | "blocked" => {
            if open.is_none() && !read.nodes.is_empty() {
                return untrue("everything in it has ended");
            }
        }
        _ => return untrue("there is no such state"),
    }
    if let (true, Some(open)) = (at_rest, open) {
        let detail = format!("is {} at rest, in flow {}", open.public_state, flow.flow_id);
        return Err(found("I1", Some(&open.execution_id), detail));
    }
    let counts = (flow.node_count, flow.edge_count);
    let has_ended = matches!(shown, "cancelled" | "completed" | "failed");
    match known.ended_with {
        Some(_) if !has_ended && !replays => return untrue("it had ended"),
        Some(before) if has_ended && before != counts => {
            return untrue(&format!(
                "it had ended with {before:?} nodes and edges, not {counts:?}"
            ));
        }
        Some(_) | None => {}
    }
    known.ended_with = has_ended.then_some(counts);
    Ok(())
}

/// I19: takes away what nothing leads to until nothing is left.
fn acyclic(read: &FlowGraph) -> Result<(), Finding> {
    let mut left: Vec<&EdgeSnapshot> = read.edges.iter().map(|edge| &edge.edge).collect();
    loop {
        let before = left.len();
        let ends: BTreeSet<&ExecutionId> =
            left.iter().map(|edge| &edge.downstream_execution_id).collect();
        left.retain(|edge| ends.contains(&edge.upstream_execution_id));
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == before {
            let id = Some(&left[0].downstream_execution_id);
            return Err(found("I19", id, "lies on a cycle".to_owned()));
        }
    }
}

/// I20: an edge is settled when its upstream has ended, and as it ended.
fn settled_by_its_end(
    edge: &FlowGraphEdge,
    seen: &BTreeMap<&ExecutionId, &ExecutionSummary>,
    ends: &BTreeMap<ExecutionId, Vec<(TimestampMs, TerminalOutcome)>>,
) -> Result<(), Finding> {
    let upstream = &edge.edge.upstream_execution_id;
    let is_satisfied = match edge.resolution {
        EdgeResolution::Staged => return Ok(()),
        EdgeResolution::Unsatisfied => {
            let over = seen.get(upstream).filter(|node| is_over(node.public_state));
            return match over {
                None => Ok(()),
                Some(node) => {
                    let detail = format!("is {}, but its edge is open", node.public_state);
                    Err(found("I20", Some(upstream), detail))
                }
            };
        }
        EdgeResolution::Satisfied => true,
        EdgeResolution::Impossible => false,
        other => return Err(found("I20", Some(upstream), format!("its edge is {other:?}"))),
    };
    let is_so = ends.get(upstream).into_iter().flatten().any(|(at, outcome)| {
        edge.resolved_at.is_some_and(|resolved| *at <= resolved)
            && (*outcome == TerminalOutcome::Success) == is_satisfied
    });
    if is_so {
        return Ok(());
    }
    let detail = format!(
        "its edge is {} since {:?}, its ends are {:?}",
        edge.resolution.as_str(),
        edge.resolved_at,
        ends.get(upstream)
    );
    Err(found("I20", Some(upstream), detail))
}

/// What a group's edges decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Open,
    Met,
    Unmet,
}

fn cancels_remaining(policy: &EdgeDependencyPolicy) -> bool {
    match policy {
        EdgeDependencyPolicy::AnyOf { on_satisfied }
        | EdgeDependencyPolicy::Quorum { on_satisfied, .. } => {
            *on_satisfied == OnSatisfied::CancelRemaining
        }
        _ => false,
    }
}

/// I20: a group counts each of its edges once. Decides it from the edges alone.
fn counted(group: &EdgeGroupSnapshot, read: &FlowGraph) -> Result<Decision, Finding> {
    let id = &group.downstream_execution_id;
    let count = |resolution| {
        let of_group = read.edges.iter().filter(|edge| {
            edge.edge.downstream_execution_id == *id && edge.resolution == resolution
        });
        u32::try_from(of_group.count()).unwrap_or(u32::MAX)
    };
    let (met, unmet, open) = (
        count(EdgeResolution::Satisfied),
        count(EdgeResolution::Impossible),
        count(EdgeResolution::Unsatisfied),
    );
    let counts = (group.satisfied_count, group.failed_count + group.skipped_count);
    if (counts.0, counts.1, group.running_count) != (met, unmet, open) {
        let detail = format!(
            "its edges are {met} satisfied, {unmet} impossible, {open} open; counted {counts:?} \
             and {}",
            group.running_count
        );
        return Err(found("I20", Some(id), detail));
    }
    let total = met + unmet + open;
    let wanted = match &group.policy {
        EdgeDependencyPolicy::AnyOf { .. } => 1,
        EdgeDependencyPolicy::Quorum { k, .. } => *k,
        _ => total,
    };
    let decision = if total == 0 {
        Decision::Open
    } else if met >= wanted {
        Decision::Met
    } else if total >= wanted && met + open < wanted {
        Decision::Unmet
    } else {
        Decision::Open
    };
    let shown = match group.group_state {
        EdgeGroupState::Satisfied => Decision::Met,
        EdgeGroupState::Impossible => Decision::Unmet,
        _ => Decision::Open,
    };
    if decision != shown {
        let detail = format!("its group is {:?}, by its edges {decision:?}", group.group_state);
        return Err(found("I21", Some(id), detail));
    }
    Ok(decision)
}

/// I21: a downstream stands where its edges put it.
fn decided(
    group: &EdgeGroupSnapshot,
    decision: Decision,
    node: &ExecutionSummary,
    is_submitted: bool,
) -> Result<(), Finding> {
    let is_first = node.lease_epoch.0 == 0 && node.replay_count == 0;
    let state = node.public_state;
    let wrong = match decision {
        Decision::Open => {
            let waits = state == PublicState::WaitingChildren || is_over(state);
            group.total_deps > 0 && is_first && !waits
        }
        Decision::Met => {
            state == PublicState::WaitingChildren
                || (is_submitted && is_first && state == PublicState::Skipped)
        }
        // What has begun may wait for the rest.
        Decision::Unmet => {
            (state == PublicState::WaitingChildren && group.running_count == 0)
                || (is_first && !is_over(state))
        }
    };
    if wrong {
        let detail = format!("is {state} while its edges say {decision:?}");
        return Err(found("I21", Some(&node.execution_id), detail));
    }
    Ok(())
}
