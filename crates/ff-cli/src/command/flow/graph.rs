//! `ff flow graph`: a flow drawn.

use std::process::ExitCode;

use clap::Args;
use ff_core::engine_backend::EngineBackend;
use serde_json::{Value, json};

use crate::command::flow::read_graph;
use crate::command::submit::engine_now;
use crate::error::{Error, Exit, Result};
use crate::flow::dot::dot;
use crate::flow::graph::Graph;
use crate::flow::live::headline;
use crate::flow::svg::svg;
use crate::flow::text::{name_column, tree};
use crate::id;
use crate::output::Output;

/// Draws a flow.
#[derive(Debug, Args)]
#[command(after_help = GRAPH_HELP)]
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

const GRAPH_HELP: &str = "\
--json answers {\"id\", \"state\", \"nodes\", \"edges\", \"groups\", \"is_truncated\"}: each edge has upstream,
downstream (ids of nodes) and state; each group is a node that needs others, with its join and how many
it needs.";

/// The graph for a program that draws it: every node, whatever is bundled for people.
fn drawn_json(graph: &Graph) -> Value {
    let id = |place: usize| id::show(&graph.nodes[place].summary.execution_id);
    let nodes = graph.nodes.iter().enumerate().map(|(place, node)| {
        json!({
            "id": id(place),
            "name": node.name,
            "kind": node.summary.execution_kind,
            "state": node.state(),
        })
    });
    let edges = graph.nodes.iter().enumerate().flat_map(|(place, node)| {
        node.needs.iter().map(move |need| {
            json!({
                "upstream": id(need.place),
                "downstream": id(place),
                "state": need.resolution.as_str(),
            })
        })
    });
    let waiting = graph.nodes.iter().enumerate().filter(|(_, node)| !node.needs.is_empty());
    let groups = waiting.map(|(place, node)| {
        json!({"downstream": id(place), "join": node.join, "needs": node.needs.len()})
    });
    json!({
        "id": id::show_flow(&graph.flow.flow_id),
        "state": graph.flow.public_flow_state,
        "nodes": nodes.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
        "is_truncated": graph.is_truncated,
    })
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
    } else if output.is_json() {
        output.json(&drawn_json(&graph))?;
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
