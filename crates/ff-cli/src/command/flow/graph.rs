//! `ff flow graph`: a flow drawn.

use std::process::ExitCode;

use clap::Args;
use ff_core::engine_backend::EngineBackend;

use crate::command::flow::read_graph;
use crate::command::submit::engine_now;
use crate::error::{Error, Exit, Result};
use crate::flow::dot::dot;
use crate::flow::live::headline;
use crate::flow::svg::svg;
use crate::flow::text::{name_column, tree};
use crate::id;
use crate::output::Output;

/// Draws a flow.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// Its id, or the first digits of it where that is unique.
    id: String,
    /// In the language of Graphviz, for `dot -Tpdf`.
    #[arg(long, conflicts_with = "svg")]
    dot: bool,
    /// As a picture that needs nothing beside itself: `ff flow graph ID --svg > flow.svg`.
    #[arg(long)]
    svg: bool,
    /// Draw every node, also where many are alike.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(
    engine: &dyn EngineBackend,
    output: Output,
    args: &GraphArgs,
) -> Result<ExitCode> {
    let flow = id::resolve_flow(engine, &args.id).await?;
    let graph = read_graph(engine, &flow).await?;
    let now = engine_now(engine).await?.0;
    if graph.is_truncated {
        eprintln!("the flow is larger than what is drawn here");
    }
    if args.dot {
        output.bytes(dot(&graph, now).as_bytes())?;
    } else if args.svg {
        let picture = svg(&graph, now, !args.all).ok_or_else(|| {
            Error::new(Exit::Error, "too_large", "the flow is too large for a picture")
                .why(format!("it has {} nodes", graph.nodes.len()))
                .fix("leave out --all, or take --dot or text")
        })?;
        output.bytes(picture.as_bytes())?;
    } else {
        let lines = tree(&graph, now, !args.all);
        let width = name_column(&lines);
        output.line(&headline(output, &graph, now))?;
        for line in lines {
            output.line(&line.show(output, width))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
