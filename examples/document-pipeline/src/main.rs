//! A document pipeline: one node per file, and a node that joins them once enough are read.
//!
//! One of the files is no text. Its node fails, and the quorum lets the index be made without it.
//!
//! `cargo run -p example-document-pipeline`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::{CapabilitySet, ClaimPolicy, FailureClass, FailureReason};
use ff_core::contracts::{
    ClaimedWork, CreateExecutionArgs, EdgeDependencyPolicy, EdgeDirection, FlowLink, FlowNode,
    OnSatisfied, SubmitFlowArgs,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::partition::PartitionConfig;
use ff_core::types::{
    ExecutionId, FlowId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};

/// A flow in one file lies in one partition.
const ONE_PARTITION: PartitionConfig =
    PartitionConfig { num_flow_partitions: 1, num_budget_partitions: 1, num_quota_partitions: 1 };

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("work.db");
    let engine = SqliteOptions::new(path.display().to_string()).open().await?;
    let engine: &dyn EngineBackend = engine.as_ref();

    let flow = submit(engine, &documents()?).await?;
    // Any number of workers, in any number of processes, may do this at once.
    loop {
        let Some(work) = claim(engine).await? else { break };
        match work.execution_kind.as_str() {
            "read" => read(engine, &work).await?,
            "index" => index(engine, &flow, &work).await?,
            other => return Err(format!("nobody can do `{other}`").into()),
        }
    }

    let graph = engine.describe_flow_graph(&flow).await?.ok_or("the flow is gone")?;
    for node in &graph.nodes {
        println!("{}: {}", node.tags["name"], node.public_state);
    }
    println!("the flow has {}", graph.flow.public_flow_state);
    Ok(())
}

/// The files beside this program, by name.
fn documents() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("documents");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Submits the whole graph in one call: all of it is stored, or nothing.
async fn submit(engine: &dyn EngineBackend, files: &[PathBuf]) -> Result<FlowId, Box<dyn Error>> {
    let flow_id = FlowId::new();
    let mut nodes: Vec<FlowNode> = files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            FlowNode::new(execution(&flow_id, "read", &name, file.display().to_string()))
        })
        .collect();
    // The last node goes on when all but one of the files are read; what is left then runs on.
    let enough = u32::try_from(files.len() - 1)?;
    let join = EdgeDependencyPolicy::quorum(enough, OnSatisfied::LetRun);
    nodes.push(FlowNode::new(execution(&flow_id, "index", "index", String::new())).with_join(join));
    let edges = (0..files.len()).map(|file| FlowLink::new(file, files.len())).collect();
    engine
        .submit_flow(SubmitFlowArgs {
            flow_id: flow_id.clone(),
            flow_kind: "documents".to_owned(),
            namespace: Namespace::new("example"),
            tags: BTreeMap::new(),
            nodes,
            edges,
        })
        .await?;
    Ok(flow_id)
}

fn execution(flow: &FlowId, kind: &str, name: &str, payload: String) -> CreateExecutionArgs {
    let id = ExecutionId::for_flow(flow, &ONE_PARTITION);
    CreateExecutionArgs {
        execution_id: id.clone(),
        namespace: Namespace::new("example"),
        lane_id: LaneId::new("default"),
        execution_kind: kind.to_owned(),
        input_payload: payload.into_bytes(),
        payload_encoding: None,
        priority: 0,
        creator_identity: "example".to_owned(),
        idempotency_key: None,
        tags: [("name".to_owned(), name.to_owned())].into(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        partition_id: id.partition(),
        now: TimestampMs::now(),
    }
}

/// Counts the words of one file.
async fn read(engine: &dyn EngineBackend, work: &ClaimedWork) -> Result<(), Box<dyn Error>> {
    let path = String::from_utf8(work.input_payload.clone())?;
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let words = text.split_whitespace().count();
            println!("read {}: {words} words", work.tags["name"]);
            engine.complete(&work.handle, Some(words.to_string().into_bytes())).await?;
        }
        Err(error) => {
            println!("read {}: {error}", work.tags["name"]);
            let reason = FailureReason::new(error.to_string());
            engine.fail(&work.handle, reason, FailureClass::Permanent).await?;
        }
    }
    Ok(())
}

/// Adds up what the nodes before it have found.
async fn index(
    engine: &dyn EngineBackend,
    flow: &FlowId,
    work: &ClaimedWork,
) -> Result<(), Box<dyn Error>> {
    let (mut files, mut words) = (0, 0_u64);
    let into = EdgeDirection::Incoming { to_node: work.execution_id.clone() };
    for edge in engine.list_edges(flow, into).await? {
        // A file that could not be read has no result.
        if let Some(result) = engine.get_execution_result(&edge.upstream_execution_id).await? {
            files += 1;
            words += String::from_utf8(result)?.parse::<u64>()?;
        }
    }
    println!("index: {words} words in {files} files");
    engine.complete(&work.handle, None).await?;
    Ok(())
}

/// Takes the next piece of work; nothing when all is done.
async fn claim(engine: &dyn EngineBackend) -> Result<Option<ClaimedWork>, Box<dyn Error>> {
    let worker = ClaimPolicy::new(
        WorkerId::new("example"),
        WorkerInstanceId::new("example-1"),
        30_000,
        Some(Duration::ZERO),
    );
    let lanes = [LaneId::new("default")];
    let claimed = engine.claim_batch(&lanes, &CapabilitySet::default(), worker, 1).await?;
    Ok(claimed.into_iter().next())
}
