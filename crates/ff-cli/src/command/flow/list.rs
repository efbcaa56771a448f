//! `ff flow list|get|cancel`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ff_core::backend::{CancelFlowPolicy, CancelFlowWait};
use ff_core::contracts::{CancelFlowResult, FindFlowsArgs, FlowSnapshot};
use ff_core::engine_backend::EngineBackend;
use serde_json::{Value, json};

use crate::command::flow::read_graph;
use crate::command::submit::engine_now;
use crate::confirm::{Noun, confirmed};
use crate::duration::parse_positive;
use crate::error::{Error, Exit, Result};
use crate::filter::parse_tag;
use crate::flow::graph::Graph;
use crate::flow::live::{flow_tone, headline};
use crate::flow::text::{name_column, tree};
use crate::id;
use crate::output::{Format, Output, cell, one_or_list};
use crate::time;

/// The states a flow can have.
const STATES: [&str; 6] = ["open", "running", "blocked", "completed", "failed", "cancelled"];

/// Lists flows.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only flows in these states.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = STATES)]
    state: Vec<String>,
    /// Only flows of this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only flows with this tag.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    tag: Option<(String, String)>,
    /// How many to list.
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
    /// List all of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Cancels flows.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Ids, or the first digits of them where that is unique.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Cancel only what has not started; what runs goes on.
    #[arg(long, conflicts_with = "flow_only")]
    pending: bool,
    /// Close the flow only; its executions go on.
    #[arg(long)]
    flow_only: bool,
    /// Wait until its executions have ended; exit code 6 after this long.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    wait: Option<Duration>,
    /// Do not ask, however many there are.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn list(
    engine: &dyn EngineBackend,
    output: Output,
    args: ListArgs,
) -> Result<ExitCode> {
    let wanted = if args.all { usize::MAX } else { args.limit };
    let is_filtered = !args.state.is_empty() || args.kind.is_some() || args.tag.is_some();
    let mut search = FindFlowsArgs::new().with_newest_first().with_states(args.state);
    search.kind = args.kind;
    search.tag = args.tag;
    let mut found: Vec<FlowSnapshot> = Vec::new();
    let mut more = true;
    while more && found.len() < wanted {
        search.limit = u32::try_from(wanted - found.len()).unwrap_or(u32::MAX).min(1_000);
        let page = engine
            .find_flows(search.clone())
            .await
            .map_err(|error| Error::engine("search the flows", &error))?;
        found.extend(page.flows);
        more = page.next_cursor.is_some();
        search.cursor = page.next_cursor;
    }
    match output.format {
        Format::Json => {
            let rows: Vec<_> = found.iter().map(flow_json).collect();
            output.json(&json!({"flows": rows, "has_more": more}))?;
        }
        Format::Id => {
            found.iter().try_for_each(|flow| output.line(&id::show_flow(&flow.flow_id)))?;
        }
        Format::Table => {
            let now = time::epoch_ms();
            let rows = found
                .iter()
                .map(|flow| {
                    vec![
                        cell(id::show_flow(&flow.flow_id)),
                        output.toned(&flow.public_flow_state, flow_tone(&flow.public_flow_state)),
                        cell(&flow.flow_kind),
                        cell(flow.node_count.to_string()),
                        cell(flow.edge_count.to_string()),
                        cell(time::relative(flow.created_at.0, now)),
                        cell(flow.cancel_reason.as_deref().unwrap_or("")),
                    ]
                })
                .collect();
            let empty = if is_filtered {
                "no flow fits"
            } else {
                "no flows yet: `ff flow run FILE` makes one"
            };
            output.table(
                &["ID", "STATE", "KIND", "NODES", "EDGES", "CREATED", "REASON"],
                rows,
                empty,
            )?;
            if more {
                eprintln!("there are more: --all lists them");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn get(
    engine: &dyn EngineBackend,
    output: Output,
    ids: &[String],
    all: bool,
) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for (place, text) in ids.iter().enumerate() {
        let flow = id::resolve_flow(engine, text).await?;
        let graph = read_graph(engine, &flow).await?;
        let now = engine_now(engine).await?.0;
        match output.format {
            Format::Json => documents.push(graph_json(&graph)),
            Format::Id => {
                for node in &graph.nodes {
                    output.line(&id::show(&node.summary.execution_id))?;
                }
            }
            Format::Table => {
                if place > 0 {
                    output.line("")?;
                }
                show(output, &graph, now, all)?;
            }
        }
    }
    if output.is_json() {
        output.json(&one_or_list(documents))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: Output, graph: &Graph, now: i64, all: bool) -> Result<()> {
    output.line(&headline(output, graph, now))?;
    let flow = &graph.flow;
    for (name, value) in &flow.tags {
        output.line(&crate::output::escape(&format!("tag {name}={value}")))?;
    }
    if let (Some(at), Some(policy)) = (flow.cancelled_at, &flow.cancellation_policy) {
        let reason = flow.cancel_reason.as_deref().unwrap_or("no reason given");
        let line = format!("cancelled {} ({policy}): {reason}", time::relative(at.0, now));
        output.line(&crate::output::escape(&line))?;
    }
    let lines = tree(graph, now, !all);
    let width = name_column(&lines);
    for line in lines {
        output.line(&line.show(output, width))?;
    }
    if graph.is_truncated {
        output.line("… the flow has more nodes or edges than are shown")?;
    }
    Ok(())
}

fn flow_json(flow: &FlowSnapshot) -> Value {
    json!({
        "id": id::show_flow(&flow.flow_id),
        "flow_id": flow.flow_id,
        "kind": flow.flow_kind,
        "namespace": flow.namespace,
        "state": flow.public_flow_state,
        "nodes": flow.node_count,
        "edges": flow.edge_count,
        "created_at": flow.created_at,
        "cancelled_at": flow.cancelled_at,
        "cancel_reason": flow.cancel_reason,
        "cancellation_policy": flow.cancellation_policy,
        "tags": flow.tags,
    })
}

fn graph_json(graph: &Graph) -> Value {
    let nodes: Vec<_> = graph
        .nodes
        .iter()
        .map(|node| {
            let needs: Vec<_> = node
                .needs
                .iter()
                .map(|need| {
                    json!({"name": graph.nodes[need.place].name, "state": need.resolution.as_str()})
                })
                .collect();
            json!({
                "name": node.name,
                "id": id::show(&node.summary.execution_id),
                "execution_id": node.summary.execution_id,
                "kind": node.summary.execution_kind,
                "lane": node.summary.lane_id,
                "state": node.state(),
                "join": node.join,
                "needs": needs,
                "attempts": node.summary.attempt_count,
                "started_at": node.summary.started_at,
                "ended_at": node.summary.ended_at,
                "due_at": node.summary.due_at,
                "reason": node.summary.reason,
                "progress": node.summary.progress_pct,
                "progress_message": node.summary.progress_message,
            })
        })
        .collect();
    let mut document = flow_json(&graph.flow);
    document["ended_at"] = json!(graph.ended_at());
    document["nodes"] = json!(nodes);
    document["is_truncated"] = json!(graph.is_truncated);
    document
}

pub(super) async fn cancel(
    engine: &dyn EngineBackend,
    output: Output,
    args: CancelArgs,
) -> Result<ExitCode> {
    let mut flows = Vec::new();
    for text in &args.ids {
        let flow = id::resolve_flow(engine, text).await?;
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    confirmed(output, "cancel", Noun::Flows, flows.len(), args.yes)?;
    let policy = match (args.pending, args.flow_only) {
        (true, _) => CancelFlowPolicy::CancelPending,
        (false, true) => CancelFlowPolicy::FlowOnly,
        (false, false) => CancelFlowPolicy::CancelAll,
    };
    let wait = args.wait.map_or(CancelFlowWait::NoWait, CancelFlowWait::WaitTimeout);
    let mut answers = Vec::new();
    for flow in flows {
        let shown = id::show_flow(&flow);
        let answer = engine.cancel_flow(&flow, policy, wait).await.map_err(|error| {
            let told = Error::engine(&format!("cancel {shown}"), &error);
            match told.code {
                "already_ended" => told.fix(format!("`ff flow get {shown}` shows how")),
                _ => told,
            }
        })?;
        let (members, failed) = match answer {
            CancelFlowResult::Cancelled { member_execution_ids, .. }
            | CancelFlowResult::CancellationScheduled { member_execution_ids, .. } => {
                (member_execution_ids.len(), 0)
            }
            CancelFlowResult::PartiallyCancelled {
                member_execution_ids,
                failed_member_execution_ids,
                ..
            } => (member_execution_ids.len(), failed_member_execution_ids.len()),
        };
        match output.format {
            Format::Json => answers.push(json!({
                "id": shown, "policy": policy.as_str(), "members": members, "failed": failed,
            })),
            Format::Id => output.line(&shown)?,
            Format::Table => {
                output.line(&format!("{shown} is cancelled, with {members} of its executions"))?;
            }
        }
        if failed > 0 {
            return Err(Error::new(
                Exit::Error,
                "partially_cancelled",
                format!("{failed} executions of {shown} could not be cancelled"),
            )
            .fix("run the command again"));
        }
    }
    if output.is_json() {
        output.json(&json!({"cancelled": answers}))?;
    }
    Ok(ExitCode::SUCCESS)
}
