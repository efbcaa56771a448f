//! `ff flow`: graphs of work, submitted whole, followed and drawn.

mod follow;
mod graph;
mod list;
mod run;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use ff_core::EngineError;
use ff_core::engine_backend::EngineBackend;
use ff_core::types::FlowId;

use crate::duration::parse_positive;
use crate::error::{Error, Result};
use crate::flow::graph::Graph;
use crate::id;
use crate::output::Output;
use crate::store::{Location, Purpose, Store};

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum FlowCommand {
    /// Submit the flow that a file describes, and follow it to its end.
    Run(run::RunArgs),
    /// Follow a flow to its end; the exit code is its outcome.
    #[command(alias = "follow")]
    Watch(WatchArgs),
    /// List flows, the newest first.
    #[command(alias = "ls")]
    List(list::ListArgs),
    /// Show flows as trees, with every node.
    #[command(alias = "show")]
    Get(GetArgs),
    /// Draw a flow: as text, for Graphviz, or as a picture.
    Graph(graph::GraphArgs),
    /// Cancel flows and what belongs to them.
    Cancel(list::CancelArgs),
}

/// Names a flow to follow.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Its id, or the first digits of it where that is unique.
    id: String,
    /// Follow at most this long; exit code 6 after it.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    timeout: Option<Duration>,
}

/// Names flows.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Ids, or the first digits of them where that is unique.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Show every node, also where many are alike.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: FlowCommand,
) -> Result<ExitCode> {
    if let FlowCommand::Run(args) = command {
        return run::run(location, output, args).await;
    }
    let serves = matches!(command, FlowCommand::Watch(_) | FlowCommand::Cancel(_));
    let purpose = if serves { Purpose::Attend } else { Purpose::Inspect };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let engine_ref = engine.as_ref();
    let answer = match command {
        FlowCommand::Run(_) => unreachable!("it is run before"),
        FlowCommand::Watch(args) => {
            let file = store.file();
            let flow = id::resolve_flow(engine_ref, &args.id).await?;
            tokio::select! {
                answer = follow::to_the_end(engine_ref, output, &flow, args.timeout) => answer,
                gone = file.moved() => Err(gone),
            }
        }
        FlowCommand::List(args) => list::list(engine_ref, output, args).await,
        FlowCommand::Get(args) => list::get(engine_ref, output, &args.ids, args.all).await,
        FlowCommand::Graph(args) => graph::run(engine_ref, output, &args).await,
        FlowCommand::Cancel(args) => list::cancel(engine_ref, output, args).await,
    };
    drop(engine);
    store.close().await;
    answer
}

/// Reads a flow with everything in it.
async fn read_graph(engine: &dyn EngineBackend, flow: &FlowId) -> Result<Graph> {
    let read = engine
        .describe_flow_graph(flow)
        .await
        .map_err(|error| Error::engine("read the flow", &error))?;
    match read {
        Some(read) => Ok(Graph::new(read)),
        None => Err(Error::engine(
            &format!("find {}", id::show_flow(flow)),
            &EngineError::NotFound { entity: "flow" },
        )),
    }
}
