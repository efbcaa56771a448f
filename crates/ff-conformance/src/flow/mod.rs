//! Flows: graphs of executions that wait for one another.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod apply;
pub mod cancel;
pub mod join;
pub mod list;
pub mod member;
pub mod replay;
pub mod resolve;
pub mod retention;
pub mod spawn;
pub mod stage;
pub mod submit;
pub mod wait_children;

use std::collections::BTreeMap;

use ff_core::EngineError;
use ff_core::backend::FailureClass;
use ff_core::contracts::{
    CreateExecutionArgs, CreateFlowArgs, EdgeDependencyPolicy, FlowLink, FlowNode, SubmitFlowArgs,
    SubmitFlowResult,
};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, LaneId, Namespace};

use crate::harness::{Bench, Held};

/// A submitted graph whose nodes have a lane each.
pub(crate) struct Graph<'a> {
    bench: &'a Bench,
    pub(crate) flow: FlowId,
    pub(crate) nodes: Vec<ExecutionId>,
}

impl Bench {
    /// A fresh flow id.
    pub(crate) fn new_flow_id(&self) -> FlowId {
        FlowId::from_uuid(self.new_id().uuid())
    }
}

pub(crate) fn lane(place: usize) -> String {
    format!("n{place}")
}

/// The call that submits `nodes` nodes with these edges.
pub(crate) fn call(bench: &Bench, nodes: usize, edges: &[(usize, usize)]) -> SubmitFlowArgs {
    let template: CreateExecutionArgs = bench.submit().args();
    let node = |place: usize| {
        FlowNode::new(CreateExecutionArgs {
            execution_id: bench.new_id(),
            lane_id: LaneId::new(lane(place)),
            ..template.clone()
        })
    };
    SubmitFlowArgs {
        flow_id: bench.new_flow_id(),
        flow_kind: "kind".to_owned(),
        namespace: Namespace::new("tenant"),
        tags: BTreeMap::new(),
        nodes: (0..nodes).map(node).collect(),
        edges: edges.iter().map(|(up, down)| FlowLink::new(*up, *down)).collect(),
    }
}

/// Submits a graph.
pub(crate) async fn graph<'a>(
    bench: &'a Bench,
    nodes: usize,
    edges: &[(usize, usize)],
) -> Graph<'a> {
    submitted(bench, call(bench, nodes, edges)).await
}

/// Submits a graph whose last node has a join of its own.
async fn joined<'a>(bench: &'a Bench, upstreams: usize, join: EdgeDependencyPolicy) -> Graph<'a> {
    let edges: Vec<(usize, usize)> = (0..upstreams).map(|up| (up, upstreams)).collect();
    let mut args = call(bench, upstreams + 1, &edges);
    args.nodes[upstreams].join = join;
    submitted(bench, args).await
}

pub(crate) async fn submitted(bench: &Bench, args: SubmitFlowArgs) -> Graph<'_> {
    let flow = args.flow_id.clone();
    let nodes = args.nodes.iter().map(|node| node.execution.execution_id.clone()).collect();
    let answer = bench.engine.submit_flow(args).await.unwrap();
    assert!(matches!(answer, SubmitFlowResult::Submitted { .. }), "{answer:?}");
    Graph { bench, flow, nodes }
}

/// An empty flow.
async fn empty(bench: &Bench) -> FlowId {
    let flow_id = bench.new_flow_id();
    let args = CreateFlowArgs {
        flow_id: flow_id.clone(),
        flow_kind: "kind".to_owned(),
        namespace: Namespace::new("tenant"),
        now: bench.now(),
    };
    bench.engine.create_flow(args).await.unwrap();
    flow_id
}

impl Graph<'_> {
    pub(crate) async fn claim(&self, place: usize) -> Held {
        let held = self.bench.claim().lane(&lane(place)).await;
        assert_eq!(*held.execution(), self.nodes[place]);
        held
    }

    pub(crate) async fn complete(&self, place: usize) {
        self.claim(place).await.complete(Some(b"result")).await.unwrap();
    }

    async fn fail(&self, place: usize) {
        self.claim(place).await.fail("broken", FailureClass::Permanent).await.unwrap();
    }

    async fn state(&self, place: usize) -> PublicState {
        self.bench.state(&self.nodes[place]).await
    }

    async fn states(&self) -> Vec<PublicState> {
        let mut states = Vec::new();
        for node in &self.nodes {
            states.push(self.bench.state(node).await);
        }
        states
    }

    async fn flow_state(&self) -> String {
        flow_state(self.bench, &self.flow).await
    }

    async fn replay(&self, place: usize) -> Result<PublicState, EngineError> {
        self.bench.replay(&self.nodes[place]).await
    }

    /// How often a node has ended.
    async fn ends(&self, place: usize) -> usize {
        let ends = self.bench.all_completions().await;
        ends.iter().filter(|end| end.execution_id == self.nodes[place]).count()
    }
}

async fn flow_state(bench: &Bench, flow: &FlowId) -> String {
    bench.engine.describe_flow(flow).await.unwrap().unwrap().public_flow_state
}
