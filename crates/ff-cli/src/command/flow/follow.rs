//! Following a flow to its end.

use std::process::ExitCode;
use std::time::Duration;

use ff_core::engine_backend::EngineBackend;
use ff_core::state::PublicState;
use ff_core::types::FlowId;
use serde_json::json;

use crate::command::flow::read_graph;
use crate::command::submit::engine_now;
use crate::error::{Error, Exit, Result, Retry};
use crate::flow::graph::Graph;
use crate::flow::live::{View, headline};
use crate::id;
use crate::output::{Format, Output, escape, shorten};
use crate::time;

/// Between two looks at least; a larger flow is looked at less often.
const LOOK: Duration = Duration::from_millis(150);

/// A look may take this part of the time: reading ten thousand nodes costs more than reading ten.
const LOOK_SHARE: u32 = 10;

/// Nodes that are named when a flow did not complete.
const NAMED: usize = 3;

/// Says on stderr that the flow goes on when a signal ends the command.
struct Reminder {
    flow: String,
    armed: bool,
}

impl Drop for Reminder {
    fn drop(&mut self) {
        if self.armed {
            eprintln!(
                "{flow} goes on: `ff flow watch {flow}` follows it, `ff flow cancel {flow}` ends it",
                flow = self.flow
            );
        }
    }
}

/// Follows a flow; its outcome is the exit code.
pub(super) async fn to_the_end(
    engine: &dyn EngineBackend,
    output: Output,
    flow: &FlowId,
    timeout: Option<Duration>,
) -> Result<ExitCode> {
    let until = timeout.map(|timeout| time::instant() + timeout);
    let mut view = View::new(output);
    let mut reminder = Reminder {
        flow: id::show_flow(flow),
        armed: output.format == Format::Table && !output.quiet,
    };
    let mut retry = Retry::default();
    let graph = loop {
        let began = time::instant();
        let read = engine.describe_flow_graph(flow).await;
        let graph = match read {
            Ok(Some(read)) => Graph::new(read),
            Ok(None) => read_graph(engine, flow).await?,
            Err(error) => match retry.after(&error) {
                Some(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                None => return Err(Error::engine("follow the flow", &error)),
            },
        };
        let now = engine_now(engine).await?.0;
        view.show(&graph, now)?;
        if graph.is_ended() {
            break graph;
        }
        if until.is_some_and(|until| time::instant() >= until) {
            return Err(Error::new(
                Exit::TimedOut,
                "timed_out",
                format!("{} has not ended in time", id::show_flow(flow)),
            )
            .why(format!("it is {}", graph.flow.public_flow_state))
            .fix("it goes on: `ff flow watch` follows it, `ff flow cancel` ends it"));
        }
        let took = time::instant() - began;
        tokio::time::sleep(LOOK.max(took * LOOK_SHARE)).await;
    };
    reminder.armed = false;
    outcome(engine, output, &graph).await
}

async fn outcome(engine: &dyn EngineBackend, output: Output, graph: &Graph) -> Result<ExitCode> {
    let flow = id::show_flow(&graph.flow.flow_id);
    match output.format {
        Format::Json => output.json_line(&json!({
            "event": "flow",
            "flow_id": flow,
            "state": graph.flow.public_flow_state,
            "at": graph.ended_at(),
            "nodes": graph.nodes.len(),
        }))?,
        // A drawing has its headline on top already.
        Format::Table if !output.quiet && !output.draws() => {
            let now = engine_now(engine).await?.0;
            output.line(&headline(output, graph, now))?;
        }
        Format::Table => {}
        Format::Id => output.line(&flow)?,
    }
    if graph.flow.public_flow_state == "completed" {
        return Ok(ExitCode::SUCCESS);
    }
    Err(did_not_complete(graph))
}

/// A flow that was waited for ended otherwise than well.
fn did_not_complete(graph: &Graph) -> Error {
    let state = &graph.flow.public_flow_state;
    let flow = id::show_flow(&graph.flow.flow_id);
    let mut error =
        Error::new(Exit::ExecutionFailed, "flow_failed", format!("{flow} ended as {state}"));
    let failed: Vec<_> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.state(), PublicState::Failed | PublicState::Expired))
        .collect();
    if let Some(first) = failed.first() {
        let mut told: Vec<_> = failed
            .iter()
            .take(NAMED)
            .map(|node| {
                let reason = node.summary.reason.as_deref().unwrap_or("without a reason");
                format!("{}: {}", escape(&node.name), shorten(reason, 120))
            })
            .collect();
        if failed.len() > NAMED {
            told.push(format!("{} more failed", failed.len() - NAMED));
        }
        let first = id::show(&first.summary.execution_id);
        // A node that was skipped because of another is not run again with it.
        let states: Vec<_> = [PublicState::Failed, PublicState::Expired, PublicState::Skipped]
            .into_iter()
            .filter(|state| graph.nodes.iter().any(|node| node.state() == *state))
            .map(|state| state.to_string())
            .collect();
        error = error.why(told.join("; ")).fix(format!(
            "`ff exec get {first}` shows every attempt; `ff exec replay --flow {flow} --state {}` \
             runs it again, with what was skipped",
            states.join(",")
        ));
    } else if let Some(reason) = &graph.flow.cancel_reason {
        error = error.why(reason.clone());
    }
    error
}
