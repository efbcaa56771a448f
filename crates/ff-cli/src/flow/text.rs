//! A flow as a tree of lines.
//!
//! A node stands under the last of its needs, so that everything it waits for stands above it; what else
//! it needs is named beside it.

use ff_core::state::PublicState;

use crate::flow::graph::{Graph, count};
use crate::output::{Output, escape};

/// A deeper tree does not move its only children to the right: a chain stays a column.
const INDENTED_DEPTH: usize = 12;

/// Needs named beside a node.
const NEEDS_SHOWN: usize = 4;

/// Widest column of names, in characters; a longer line pushes its own columns only.
const NAME_COLUMN_MAX: usize = 48;

/// One line of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The branches and the name.
    pub(crate) name: String,
    pub(crate) state: PublicState,
    /// State, time and note.
    pub(crate) facts: String,
}

impl Line {
    /// The line as it is printed, with its names in a column of this width.
    pub(crate) fn show(&self, output: Output, width: usize) -> String {
        let pad = width.saturating_sub(self.name.chars().count());
        let line = format!(
            "{} {}{:pad$}  {}",
            output.paint(self.state, mark(self.state)),
            self.name,
            "",
            output.paint(self.state, &self.facts)
        );
        line.trim_end().to_owned()
    }
}

/// The column that these lines' names need.
pub(crate) fn name_column(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).min(NAME_COLUMN_MAX)
}

/// One character for a state, of one column.
pub(crate) fn mark(state: PublicState) -> &'static str {
    match state {
        PublicState::Completed => "✔",
        PublicState::Failed | PublicState::Expired => "✘",
        PublicState::Active => "●",
        PublicState::Suspended => "‖",
        PublicState::Cancelled => "⊘",
        PublicState::Skipped => "–",
        PublicState::Delayed | PublicState::RateLimited => "◌",
        _ => "○",
    }
}

/// The tree, line by line; with `bundle` many nodes that are alike are one line.
pub(crate) fn tree(graph: &Graph, now: i64, bundle: bool) -> Vec<Line> {
    let bundles = graph.bundles(bundle);
    let mut bundle_of = vec![0; graph.nodes.len()];
    for (number, places) in bundles.iter().enumerate() {
        for place in places {
            bundle_of[*place] = number;
        }
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); bundles.len()];
    let mut roots = Vec::new();
    let mut depths = vec![0_usize; bundles.len()];
    for (number, places) in bundles.iter().enumerate() {
        // Places ascend in the order of needs, so the last need is the deepest in the tree above.
        match graph.nodes[places[0]].needs.last() {
            Some(need) => {
                let parent = bundle_of[need.place];
                depths[number] = depths[parent] + 1;
                children[parent].push(number);
            }
            None => roots.push(number),
        }
    }
    let flat = depths.iter().any(|depth| *depth > INDENTED_DEPTH);
    let mut lines = Vec::with_capacity(bundles.len());
    // What is still to be drawn: the bundle, what stands before its name, and before its children's.
    let mut stack: Vec<(usize, String, String)> =
        roots.into_iter().rev().map(|root| (root, String::new(), String::new())).collect();
    while let Some((number, before, below)) = stack.pop() {
        lines.push(line(graph, &bundles[number], &bundle_of, &before, now));
        let of = &children[number];
        if flat && let [only] = of[..] {
            stack.push((only, below.clone(), below));
            continue;
        }
        for (place, child) in of.iter().enumerate().rev() {
            let last = place + 1 == of.len();
            let (branch, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            stack.push((*child, format!("{below}{branch}"), format!("{below}{rest}")));
        }
    }
    lines
}

fn line(graph: &Graph, places: &[usize], bundle_of: &[usize], before: &str, now: i64) -> Line {
    let node = &graph.nodes[places[0]];
    if let [_] = places {
        let mut facts = vec![node.state().as_str().to_owned()];
        facts.extend(node.took(now));
        facts.extend(node.join_label());
        // What stands above is no news, nor are those that it is bundled with.
        let above = node.needs.last().map(|need| bundle_of[need.place]);
        let others: Vec<_> =
            node.needs.iter().filter(|need| Some(bundle_of[need.place]) != above).collect();
        if !others.is_empty() {
            let names =
                others.iter().take(NEEDS_SHOWN).map(|need| graph.nodes[need.place].name.as_str());
            let mut names = names.collect::<Vec<_>>().join(", ");
            if others.len() > NEEDS_SHOWN {
                names.push_str(&format!(" and {} more", others.len() - NEEDS_SHOWN));
            }
            facts.push(format!("also after {}", escape(&names)));
        }
        let note = node.note(now);
        if !note.is_empty() {
            facts.push(escape(&note));
        }
        let name = format!("{before}{}", escape(&node.name));
        return Line { name, state: node.state(), facts: facts.join("  ") };
    }
    let counts = count(places.iter().map(|place| graph.nodes[*place].state()));
    let facts: Vec<_> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    Line {
        name: format!("{before}{} ×{}", escape(&node.summary.execution_kind), places.len()),
        state: counts.first().map_or(PublicState::Waiting, |(state, _)| *state),
        facts: facts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::graph::tests::{graph, release};

    fn shown(lines: &[Line]) -> String {
        let output = Output::new(None, false, false);
        let width = name_column(lines);
        lines.iter().map(|line| line.show(output, width) + "\n").collect()
    }

    #[test]
    fn a_node_stands_under_the_last_of_its_needs() {
        let lines = tree(&release(), 12_000, true);

        assert_eq!(
            shown(&lines),
            "\
✔ fetch             completed  1.50s
✔ └─ build          completed  1.50s
✘    ├─ lint        failed  1.50s
●    └─ test        active  10.00s
○       └─ ship     waiting  1 of 2  also after lint
○          └─ tell  waiting  also after fetch
"
        );
    }

    #[test]
    fn a_long_chain_stays_a_column() {
        let names: Vec<String> = (0..30).map(|n| format!("n{n}")).collect();
        let nodes: Vec<_> =
            names.iter().map(|name| (name.as_str(), PublicState::Waiting)).collect();
        let edges: Vec<_> = (1..30).map(|place| (place - 1, place)).collect();

        let lines = tree(&graph(&nodes, &edges, &[]), 0, true);

        assert_eq!(lines.len(), 30);
        assert!(lines.iter().zip(&names).all(|(line, name)| line.name == *name));
    }

    #[test]
    fn many_nodes_that_are_alike_are_one_line_with_counts() {
        let names: Vec<String> = (0..15).map(|n| format!("page-{n}")).collect();
        let mut nodes = vec![("split", PublicState::Completed)];
        nodes.extend(names.iter().enumerate().map(|(n, name)| {
            let state = if n < 10 { PublicState::Completed } else { PublicState::Active };
            (name.as_str(), state)
        }));
        nodes.push(("merge", PublicState::Waiting));
        let edges: Vec<_> = (1..16).flat_map(|place| [(0, place), (place, 16)]).collect();
        let graph = graph(&nodes, &edges, &[]);

        let lines = tree(&graph, 2_000, true);

        assert_eq!(lines.len(), 3);
        assert_eq!((lines[2].name.as_str(), lines[2].facts.as_str()), ("   └─ merge", "waiting"));
        assert_eq!(lines[1].name, "└─ page ×15");
        assert_eq!(lines[1].facts, "5 active, 10 completed");
        assert_eq!(tree(&graph, 2_000, false).len(), 17);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let lines = tree(&graph(&[("a\x1b[31m", PublicState::Failed)], &[], &[]), 0, true);

        assert!(lines[0].name.contains("\\x1b[31m"), "{lines:?}");
    }
}
