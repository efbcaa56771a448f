//! `ff task spawn`: work that the work brings.

use std::process::ExitCode;

use clap::Args;
use ff_core::EngineError;
use ff_core::contracts::{
    AddExecutionToFlowArgs, ApplyDependencyToChildArgs, CreateExecutionResult,
    StageDependencyEdgeArgs, StageDependencyEdgeResult,
};
use ff_core::engine_error::ContentionKind;
use ff_core::types::{EdgeId, ExecutionId, FlowId};
use serde_json::json;

use crate::command::submit::{Draft, Refusal, WorkFlags, engine_now, read_payload};
use crate::command::task::{PARENT_TAG, Task, own_id};
use crate::error::{Error, Exit, Result};
use crate::flow::graph::NAME_TAG;
use crate::id;
use crate::output::{Format, Output};

/// What an edge of a flow asks of its upstream.
const SUCCESS_ONLY: &str = "success_only";

/// How often a graph that changes meanwhile is looked at again: each time somebody else got on.
const EDGE_TRIES: usize = 50;

/// Submits a child.
#[derive(Debug, Args)]
pub(crate) struct SpawnArgs {
    /// What kind of work it is.
    kind: String,
    /// The payload: JSON, `@FILE` for the bytes of a file, `-` for those of stdin.
    #[arg(value_name = "JSON|@FILE|-")]
    payload: Option<String>,
    #[command(flatten)]
    work: WorkFlags,
    /// An idempotency key: the same key again, within 24 hours, submits nothing new. An attempt may run
    /// twice, so a child that is to be there once needs one.
    #[arg(long)]
    key: Option<String>,
    /// Its name in the flow.
    #[arg(long)]
    name: Option<String>,
    /// `ff task wait-children` waits for it; only inside a flow.
    #[arg(long)]
    join: bool,
}

pub(super) async fn spawn(
    task: &Task,
    output: Output,
    args: SpawnArgs,
    payload_limit: usize,
) -> Result<ExitCode> {
    let engine = task.engine.as_ref();
    let parent = engine
        .describe_summary(&task.about.execution_id)
        .await
        .map_err(|error| Error::engine("read the execution", &error))?
        .ok_or_else(|| {
            Error::engine("find the execution", &EngineError::NotFound { entity: "execution" })
        })?;
    if args.join && parent.flow_id.is_none() {
        return Err(Error::new(Exit::Conflict, "no_flow", "there is no flow to join in")
            .why(format!("{} belongs to none", own_id(task)))
            .fix("submit it with `ff flow run`, or leave out --join"));
    }
    let mut draft = Draft::of_lane(args.work.lane.clone().unwrap_or(parent.lane_id));
    draft.kind = args.kind;
    draft.key = args.key;
    args.work.fill(engine, &mut draft).await?;
    draft.tags.insert(PARENT_TAG.to_owned(), own_id(task));
    if let Some(name) = args.name {
        draft.tags.insert(NAME_TAG.to_owned(), name);
    }
    draft
        .check()
        .map_err(|Refusal { why, fix }| Error::usage("cannot spawn this").why(why).fix(fix))?;
    let source = args.payload;
    draft.payload =
        tokio::task::spawn_blocking(move || read_payload(source.as_deref(), payload_limit))
            .await
            .map_err(|error| Error::io("read the payload", &std::io::Error::other(error)))??;
    let now = engine_now(engine).await?;
    let created = engine
        .create_execution(draft.args(now))
        .await
        .map_err(|error| Error::engine("submit the child", &error))?;
    let (child, duplicate) = match created {
        CreateExecutionResult::Created { execution_id, .. } => (execution_id, false),
        CreateExecutionResult::Duplicate { execution_id } => (execution_id, true),
    };
    if let Some(flow_id) = &parent.flow_id {
        // A repeat finds what the first call left half-done, and goes on from there.
        engine
            .add_execution_to_flow(AddExecutionToFlowArgs {
                flow_id: flow_id.clone(),
                execution_id: child.clone(),
                now,
            })
            .await
            .map_err(|error| Error::engine("add the child to the flow", &error))?;
        if args.join {
            join(task, flow_id, &child).await?;
        }
    }
    match output.format {
        Format::Json => output.json(&json!({
            "id": id::show(&child),
            "execution_id": child,
            "flow": parent.flow_id.as_ref().map(id::show_flow),
            "duplicate": duplicate,
        }))?,
        Format::Table | Format::Id => output.line(&id::show(&child))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws an edge from the child to the execution that runs now, and makes it count.
async fn join(task: &Task, flow_id: &FlowId, child: &ExecutionId) -> Result<()> {
    let engine = task.engine.as_ref();
    let own = &task.about.execution_id;
    let failed = |error: EngineError| Error::engine("join the child", &error);
    let edge_id = EdgeId::new();
    for _ in 0..EDGE_TRIES {
        let flow = engine.describe_flow(flow_id).await.map_err(failed)?;
        let revision =
            flow.ok_or(EngineError::NotFound { entity: "flow" }).map_err(failed)?.graph_revision;
        let now = engine_now(engine).await?;
        let staged = engine
            .stage_dependency_edge(StageDependencyEdgeArgs {
                flow_id: flow_id.clone(),
                edge_id: edge_id.clone(),
                upstream_execution_id: child.clone(),
                downstream_execution_id: own.clone(),
                dependency_kind: SUCCESS_ONLY.to_owned(),
                data_passing_ref: None,
                expected_graph_revision: revision,
                now,
            })
            .await;
        let graph_revision = match staged {
            Ok(StageDependencyEdgeResult::Staged { new_graph_revision, .. }) => new_graph_revision,
            Err(EngineError::Contention(ContentionKind::StaleGraphRevision)) => continue,
            Err(error) => return Err(failed(error)),
        };
        engine
            .apply_dependency_to_child(ApplyDependencyToChildArgs {
                flow_id: flow_id.clone(),
                edge_id: edge_id.clone(),
                downstream_execution_id: own.clone(),
                upstream_execution_id: child.clone(),
                graph_revision,
                dependency_kind: SUCCESS_ONLY.to_owned(),
                data_passing_ref: None,
                now,
            })
            .await
            .map_err(failed)?;
        return Ok(());
    }
    Err(Error::new(Exit::Error, "busy", "the flow changes too fast to join the child")
        .fix("run the command again with the same --key"))
}
