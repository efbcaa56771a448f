//! A flow as a picture that needs nothing beside itself, readable on light and on dark ground.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ff_core::contracts::EdgeResolution;
use ff_core::state::PublicState;

use crate::flow::graph::{Graph, count};
use crate::flow::layout::{Layout, Point, layout};
use crate::flow::text::mark;
use crate::id;
use crate::output::shorten;

const BOX_WIDTH: f64 = 190.0;
const BOX_HEIGHT: f64 = 46.0;
const MARGIN: f64 = 16.0;
const TITLE_HEIGHT: f64 = 34.0;

/// Characters that fit into a box.
const NAME_SHOWN: usize = 22;
const FACTS_SHOWN: usize = 28;

/// What a state means to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Busy,
    Held,
    Over,
    Idle,
}

/// The tone of a state.
pub(crate) fn tone(state: PublicState) -> Tone {
    match state {
        PublicState::Completed => Tone::Good,
        PublicState::Failed | PublicState::Expired => Tone::Bad,
        PublicState::Active => Tone::Busy,
        PublicState::Suspended | PublicState::Delayed | PublicState::RateLimited => Tone::Held,
        PublicState::Cancelled | PublicState::Skipped => Tone::Over,
        _ => Tone::Idle,
    }
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Held => "held",
            Self::Over => "over",
            Self::Idle => "idle",
        }
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#fff;--box:#f6f8fa;--text:#1f2328;--faint:#59636e;--line:#818b98;\
--good:#1a7f37;--bad:#cf222e;--busy:#0969da;--held:#9a6700;--over:#818b98;--idle:#59636e}\
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--box:#161b22;--text:#e6edf3;--faint:#9198a1;--line:#6e7681;\
--good:#3fb950;--bad:#f85149;--busy:#4493f8;--held:#d29922;--over:#6e7681;--idle:#9198a1}}\
text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:var(--text)}\
.title{font-size:15px;font-weight:600}.name{font-weight:600}.facts{font-size:11px}\
.ground{fill:var(--ground)}.box{fill:var(--box);stroke:var(--tone);stroke-width:1.5}\
.stripe,.facts{fill:var(--tone)}.faint{fill:var(--faint)}\
.good{--tone:var(--good)}.bad{--tone:var(--bad)}.busy{--tone:var(--busy)}\
.held{--tone:var(--held)}.over{--tone:var(--over)}.idle{--tone:var(--idle)}\
.edge{fill:none;stroke:var(--line);stroke-width:1.3}.head{fill:var(--line)}\
.open{stroke-dasharray:4 3}.broken{stroke:var(--bad);stroke-dasharray:4 3}\
.badge{fill:var(--ground);stroke:var(--line)}.join{font-size:10px;fill:var(--faint)}";

/// The picture, or `None` for a flow that is too large for one.
pub(crate) fn svg(graph: &Graph, now: i64, bundle: bool) -> Option<String> {
    let bundles = graph.bundles(bundle);
    let mut bundle_of = vec![0; graph.nodes.len()];
    for (number, places) in bundles.iter().enumerate() {
        for place in places {
            bundle_of[*place] = number;
        }
    }
    let mut edges = BTreeSet::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        edges.extend(node.needs.iter().map(|need| (bundle_of[need.place], bundle_of[place])));
    }
    let placed = layout(bundles.len(), &edges, BOX_WIDTH, BOX_HEIGHT)?;
    let width = (placed.width + 2.0 * MARGIN).max(360.0);
    let height = placed.height + 2.0 * MARGIN + TITLE_HEIGHT;

    let mut text = String::new();
    let title = format!("{} {}", graph.flow.flow_kind, graph.flow.public_flow_state);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path class=\"head\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        escape(&title)
    );
    let counts: Vec<_> =
        graph.counts().iter().map(|(state, count)| format!("{count} {state}")).collect();
    let _ = writeln!(
        text,
        "<text class=\"title\" x=\"{MARGIN}\" y=\"28\">{} <tspan class=\"faint\" \
         font-weight=\"400\" font-size=\"12\">{} · {}</tspan></text>",
        escape(&shorten(&graph.flow.flow_kind, 40)),
        escape(&graph.flow.public_flow_state),
        escape(&counts.join(", "))
    );
    let _ = writeln!(text, "<g transform=\"translate({MARGIN} {})\">", MARGIN + TITLE_HEIGHT);
    draw_edges(&mut text, graph, &bundles, &edges, &bundle_of, &placed);
    for (number, places) in bundles.iter().enumerate() {
        draw_box(&mut text, graph, places, placed.boxes[number], now);
    }
    text.push_str("</g>\n</svg>\n");
    Some(text)
}

fn draw_edges(
    text: &mut String,
    graph: &Graph,
    bundles: &[Vec<usize>],
    edges: &BTreeSet<(usize, usize)>,
    bundle_of: &[usize],
    placed: &Layout,
) {
    for (from, to) in edges {
        let between = bundles[*to].iter().flat_map(|place| {
            graph.nodes[*place].needs.iter().filter(|need| bundle_of[need.place] == *from)
        });
        let resolutions: Vec<_> = between.map(|need| need.resolution).collect();
        let class = if resolutions.contains(&EdgeResolution::Impossible) {
            " broken"
        } else if resolutions.iter().all(|resolution| *resolution == EdgeResolution::Satisfied) {
            ""
        } else {
            " open"
        };
        let (start, end) = (placed.boxes[*from], placed.boxes[*to]);
        let mut x = start.x + BOX_WIDTH / 2.0;
        let mut y = start.y;
        let mut path = format!("M{x:.1} {y:.1}");
        let passages = placed.passages.get(&(*from, *to)).map_or(&[][..], Vec::as_slice);
        for Point { x: centre, y: next } in passages {
            curve(&mut path, (x, y), (centre - BOX_WIDTH / 2.0, *next));
            let _ = write!(path, "H{:.1}", centre + BOX_WIDTH / 2.0);
            (x, y) = (centre + BOX_WIDTH / 2.0, *next);
        }
        curve(&mut path, (x, y), (end.x - BOX_WIDTH / 2.0 - 1.0, end.y));
        let _ =
            writeln!(text, "<path class=\"edge{class}\" marker-end=\"url(#head)\" d=\"{path}\"/>");
    }
}

fn curve(path: &mut String, from: (f64, f64), to: (f64, f64)) {
    let middle = f64::midpoint(from.0, to.0);
    let _ =
        write!(path, "C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}", from.1, to.1, to.0, to.1);
}

fn draw_box(text: &mut String, graph: &Graph, places: &[usize], centre: Point, now: i64) {
    let node = &graph.nodes[places[0]];
    let (left, top) = (centre.x - BOX_WIDTH / 2.0, centre.y - BOX_HEIGHT / 2.0);
    let states = count(places.iter().map(|place| graph.nodes[*place].state()));
    let state = states.first().map_or_else(|| node.state(), |(state, _)| *state);
    let (name, facts, hint) = if places.len() == 1 {
        let mut facts = vec![format!("{} {state}", mark(state))];
        facts.extend(node.took(now));
        let note = node.note(now);
        if !note.is_empty() {
            facts.push(note);
        }
        let mut hint = format!(
            "{}\n{} · lane {} · {}",
            node.name,
            node.summary.execution_kind,
            node.summary.lane_id.as_str(),
            id::show(&node.summary.execution_id)
        );
        if let Some(reason) = &node.summary.reason {
            hint.push('\n');
            hint.push_str(reason);
        }
        (node.name.clone(), facts.join(" · "), hint)
    } else {
        let facts: Vec<_> =
            states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let name = format!("{} ×{}", node.summary.execution_kind, places.len());
        (name.clone(), facts.join(", "), format!("{name}\n{}", facts.join(", ")))
    };
    let _ = writeln!(text, "<g class=\"{}\"><title>{}</title>", tone(state).class(), escape(&hint));
    if places.len() > 1 {
        let _ = writeln!(
            text,
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>",
            left + 5.0,
            top + 5.0
        );
    }
    let _ = writeln!(
        text,
        "<rect class=\"box\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>\
         <rect class=\"stripe\" x=\"{left:.1}\" y=\"{:.1}\" width=\"4\" height=\"{}\"/>",
        top + 6.0,
        BOX_HEIGHT - 12.0
    );
    let _ = writeln!(
        text,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <text class=\"facts\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        left + 14.0,
        top + 19.0,
        escape(&shorten(&name, NAME_SHOWN)),
        left + 14.0,
        top + 35.0,
        escape(&shorten(&facts, FACTS_SHOWN))
    );
    if let Some(join) = node.join_label() {
        let wide = 12.0 + 5.6 * join.chars().fold(0.0, |sum, _| sum + 1.0);
        let _ = writeln!(
            text,
            "<rect class=\"badge\" x=\"{:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"15\" rx=\"7.5\"/>\
             <text class=\"join\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + BOX_WIDTH - wide - 8.0,
            top - 8.0,
            left + BOX_WIDTH - wide - 2.0,
            top + 3.0,
            escape(&join)
        );
    }
    text.push_str("</g>\n");
}

/// Text inside XML; control characters, which XML cannot carry, become the replacement character.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push('\n'),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::graph::tests::{graph, release};

    #[test]
    fn a_picture_has_every_box_and_line_and_needs_nothing_beside_itself() {
        let picture = svg(&release(), 12_000, true).unwrap();

        assert_eq!(picture.matches("class=\"name\"").count(), 6);
        assert_eq!(picture.matches("class=\"edge").count(), 7);
        assert!(picture.contains("prefers-color-scheme:dark"));
        assert!(picture.contains(">1 of 2</text>"));
        for outside in ["href", "<script", "@import", "url(http", "<image"] {
            assert!(!picture.contains(outside), "{outside}");
        }
        if let Some(path) = std::env::var_os("FF_WRITE_SVG") {
            std::fs::write(path, picture).unwrap();
        }
    }

    #[test]
    fn no_name_can_break_out_of_its_text() {
        let picture =
            svg(&graph(&[("</text><script>&\"\x07", PublicState::Failed)], &[], &[]), 0, true);

        let picture = picture.unwrap();
        assert!(!picture.contains("<script>"));
        assert!(picture.contains("&lt;/text&gt;&lt;script&gt;&amp;&quot;\u{fffd}"), "{picture}");
    }
}
