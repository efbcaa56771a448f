//! `ff task spawn`: work that the work brings.

use std::process::ExitCode;

use clap::Args;
use ff_core::EngineError;
use ff_core::contracts::{SpawnExecutionArgs, SpawnExecutionResult};
use serde_json::json;

use crate::command::submit::{Draft, Refusal, WorkFlags, engine_now, read_payload};
use crate::command::task::{PARENT_TAG, Task, own_id};
use crate::error::{Error, Exit, Result};
use crate::flow::graph::NAME_TAG;
use crate::id;
use crate::output::{Format, Output};

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
    let args = SpawnExecutionArgs { execution: draft.args(now), joins: args.join };
    let spawned = engine
        .spawn_execution(&task.handle, args)
        .await
        .map_err(|error| Error::engine("spawn the child", &error))?;
    let (child, duplicate) = match spawned {
        SpawnExecutionResult::Spawned { execution_id, .. } => (execution_id, false),
        SpawnExecutionResult::Duplicate { execution_id, .. } => (execution_id, true),
        other => {
            return Err(Error::new(Exit::Error, "engine", "cannot spawn the child")
                .why(format!("the engine answered {other:?}")));
        }
    };
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
