//! A flow in the language of Graphviz.

use std::fmt::Write as _;

use ff_core::contracts::EdgeResolution;

use crate::flow::graph::Graph;
use crate::flow::svg::{Tone, tone};

/// The whole flow, every node one by one.
pub(crate) fn dot(graph: &Graph, now: i64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "digraph {} {{", quoted(&graph.flow.flow_kind));
    text.push_str(
        "  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n",
    );
    for (place, node) in graph.nodes.iter().enumerate() {
        let mut lines = vec![node.name.clone(), node.state().as_str().to_owned()];
        lines.extend(node.join_label());
        lines.extend(node.took(now));
        let (fill, line) = match tone(node.state()) {
            Tone::Good => ("#e3f4e7", "#1a7f37"),
            Tone::Bad => ("#fde8e8", "#c62828"),
            Tone::Busy => ("#e1f0fb", "#0b6bb8"),
            Tone::Held => ("#fdf3d8", "#9a6700"),
            Tone::Over => ("#eeeeee", "#777777"),
            Tone::Idle => ("#ffffff", "#555555"),
        };
        let _ = writeln!(
            text,
            "  n{place} [label={}, fillcolor=\"{fill}\", color=\"{line}\", tooltip={}];",
            quoted(&lines.join("\n")),
            quoted(&crate::id::show(&node.summary.execution_id))
        );
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        for need in &node.needs {
            let style = match need.resolution {
                EdgeResolution::Satisfied => "",
                EdgeResolution::Impossible => " [style=dashed, color=\"#c62828\"]",
                _ => " [style=dashed]",
            };
            let _ = writeln!(text, "  n{} -> n{place}{style};", need.place);
        }
    }
    text.push_str("}\n");
    text
}

/// A quoted string of the language: line ends become breaks, other control characters spaces.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use ff_core::state::PublicState;

    use super::*;
    use crate::flow::graph::tests::{graph, release};

    #[test]
    fn every_node_and_edge_is_there_once() {
        let text = dot(&release(), 12_000);

        assert!(text.starts_with("digraph \"release\" {\n") && text.ends_with("}\n"));
        assert_eq!(text.matches("[label=").count(), 6);
        assert_eq!(text.matches(" -> ").count(), 7);
        assert!(text.contains("label=\"ship\\nwaiting\\n1 of 2\""), "{text}");
        assert!(text.contains("n2 -> n4 [style=dashed, color=\"#c62828\"];"), "{text}");
        assert!(text.contains("n0 -> n1;"), "{text}");
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let text = dot(&graph(&[("a\"]; b\\\x07", PublicState::Waiting)], &[], &[]), 0);

        assert!(text.contains(r#"label="a\"]; b\\ \nwaiting""#), "{text}");
    }
}
