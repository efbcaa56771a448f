//! Following a flow: a tree that is redrawn for a person, a line for each change into a pipe.

use std::collections::HashMap;
use std::io::Write as _;

use console::Term;
use ff_core::state::PublicState;
use ff_core::types::ExecutionId;
use serde_json::json;

use crate::duration;
use crate::error::{Error, Result};
use crate::flow::graph::Graph;
use crate::flow::text::{Line, mark, name_column, tree};
use crate::id;
use crate::output::{Format, Output, escape};
use crate::time;

/// Lines of the terminal that are left to what stands above.
const ROWS_LEFT: usize = 3;

/// Shows a flow as it goes on.
pub(crate) struct View {
    output: Output,
    shape: Shape,
}

enum Shape {
    /// Redrawn in place; how many lines are there to be drawn over.
    Drawn { term: Term, drawn: usize },
    /// One line for each change; the states that were told.
    Lines { told: HashMap<ExecutionId, PublicState> },
    /// Nothing until the end.
    Silent,
}

impl View {
    /// As the output asks for it.
    pub(crate) fn new(output: Output) -> Self {
        let term = Term::stdout();
        let shape = match output.format {
            Format::Json => Shape::Lines { told: HashMap::new() },
            Format::Table if output.quiet => Shape::Silent,
            Format::Table if output.draws() => Shape::Drawn { term, drawn: 0 },
            Format::Table => Shape::Lines { told: HashMap::new() },
            Format::Id => Shape::Silent,
        };
        Self { output, shape }
    }

    /// Shows how the flow stands now.
    pub(crate) fn show(&mut self, graph: &Graph, now: i64) -> Result<()> {
        match &mut self.shape {
            Shape::Silent => Ok(()),
            Shape::Lines { told } => tell_changes(self.output, graph, told, now),
            Shape::Drawn { term, drawn } => {
                let (rows, columns) = term.size();
                let lines = frame(self.output, graph, now, usize::from(rows));
                let mut text = String::new();
                if *drawn > 0 {
                    text.push_str(&format!("\x1b[{drawn}A\r"));
                }
                *drawn = lines.len();
                for line in lines {
                    // A line that wraps would count as two.
                    let line = console::truncate_str(&line, usize::from(columns), "…");
                    text.push_str(&format!("{line}\x1b[K\n"));
                }
                text.push_str("\x1b[J");
                term.write_all(text.as_bytes())
                    .and_then(|()| term.flush())
                    .map_err(|error| Error::io("draw on the terminal", &error))
            }
        }
    }
}

/// The lines of one drawing, at most what the terminal holds.
fn frame(output: Output, graph: &Graph, now: i64, rows: usize) -> Vec<String> {
    let lines = tree(graph, now, true);
    let width = name_column(&lines);
    let room = rows.saturating_sub(ROWS_LEFT).max(5);
    let mut shown = vec![headline(output, graph, now)];
    if lines.len() <= room {
        shown.extend(lines.iter().map(|line| line.show(output, width)));
        return shown;
    }
    let mut chosen = vec![false; lines.len()];
    let mut by_interest: Vec<usize> = (0..lines.len()).collect();
    by_interest.sort_by_key(|place| interest(&lines[*place]));
    for place in by_interest.into_iter().take(room - 1) {
        chosen[place] = true;
    }
    let kept = lines.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
    shown.extend(kept.map(|(line, _)| line.show(output, width)));
    let left = chosen.iter().filter(|chosen| !**chosen).count();
    shown.push(format!("… {left} more lines: `ff flow graph` shows them all"));
    shown
}

/// Smaller is shown first where not all can be.
fn interest(line: &Line) -> u8 {
    match line.state {
        PublicState::Failed | PublicState::Expired => 0,
        PublicState::Active | PublicState::Suspended => 1,
        PublicState::Delayed | PublicState::RateLimited => 2,
        PublicState::Completed => 4,
        PublicState::Skipped | PublicState::Cancelled => 5,
        _ => 3,
    }
}

/// Kind, id, state, time and counts of a flow in one line.
pub(crate) fn headline(output: Output, graph: &Graph, now: i64) -> String {
    let began = graph.flow.created_at.0;
    let until = graph.ended_at().unwrap_or(now);
    let took = duration::elapsed(u64::try_from(until - began).unwrap_or(0));
    let counts: Vec<_> = graph
        .counts()
        .iter()
        .map(|(state, count)| output.paint(*state, &format!("{count} {state}")))
        .collect();
    format!(
        "{} {}  {}  {took}  {}",
        escape(&graph.flow.flow_kind),
        id::show_flow(&graph.flow.flow_id),
        output.paint(flow_tone(&graph.flow.public_flow_state), &graph.flow.public_flow_state),
        counts.join(", ")
    )
}

/// The state of an execution whose colour a flow's state has.
pub(crate) fn flow_tone(state: &str) -> PublicState {
    match state {
        "completed" => PublicState::Completed,
        "failed" => PublicState::Failed,
        "cancelled" => PublicState::Cancelled,
        "running" => PublicState::Active,
        _ => PublicState::Waiting,
    }
}

fn tell_changes(
    output: Output,
    graph: &Graph,
    told: &mut HashMap<ExecutionId, PublicState>,
    now: i64,
) -> Result<()> {
    use PublicState::{Waiting, WaitingChildren};

    let first = told.is_empty();
    for node in &graph.nodes {
        let id = &node.summary.execution_id;
        if told.insert(id.clone(), node.state()) == Some(node.state()) {
            continue;
        }
        if output.is_json() {
            output.json_line(&json!({
                "event": "node",
                "flow_id": id::show_flow(&graph.flow.flow_id),
                "name": node.name,
                "id": id::show(id),
                "state": node.state(),
                "at": now,
                "reason": node.summary.reason,
            }))?;
        } else if !(first && matches!(node.state(), Waiting | WaitingChildren)) {
            // That all of them wait at first is no news.
            let facts: Vec<_> =
                node.took(now).into_iter().chain([escape(&node.note(now))]).collect();
            let line = format!(
                "{} {} {} {} {}",
                time::clock(),
                output.paint(node.state(), mark(node.state())),
                escape(&node.name),
                node.state(),
                facts.join("  ")
            );
            output.line(line.trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::graph::tests::{graph, release};

    #[test]
    fn what_does_not_fit_is_counted_and_what_matters_stays() {
        let names: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        let nodes: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                let state = if n == 33 { PublicState::Failed } else { PublicState::Completed };
                (name.as_str(), state)
            })
            .collect();
        let output = Output::new(None, false, false);

        let lines = frame(output, &graph(&nodes, &[], &[]), 9_000, 13);

        assert_eq!(lines.len(), 11);
        assert!(lines.iter().any(|line| line.contains("k33  failed")), "{lines:#?}");
        assert!(lines[10].starts_with("… 31 more lines"), "{lines:#?}");
        assert_eq!(frame(output, &release(), 9_000, 50).len(), 7);
    }

    #[test]
    fn the_headline_says_how_the_flow_stands() {
        let line = headline(Output::new(None, false, false), &release(), 12_000);

        assert_eq!(
            line,
            "release flo_00000000-0000-0000-0000-000000000007  running  11.00s  1 failed, 1 active, 2 \
             waiting, 2 completed"
        );
    }
}
