//! Where the boxes and lines of a picture go: layers from left to right, by Sugiyama's method.
//!
//! A line that passes a layer gets a place in it like a box, so that lines run between boxes and never
//! through them.

use std::collections::{BTreeMap, BTreeSet};

use rust_sugiyama::configure::{Config, RankingType};
use rust_sugiyama::from_vertices_and_edges;

/// Most boxes and passages of one picture: more takes long to place, and nobody reads it.
pub(crate) const PLACES_MAX: usize = 4_000;

/// Between neighbours in a layer, and between layers.
const GAP: f64 = 28.0;

/// How much of a layer a passing line takes.
const PASSAGE: f64 = 4.0;

/// Above so many places the order within layers is not polished: that takes quadratic time.
const POLISHED_MAX: usize = 400;

/// The centre of something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) boxes: Vec<Point>,
    /// What each edge passes on its way, left to right.
    pub(crate) passages: BTreeMap<(usize, usize), Vec<Point>>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Lays out boxes of one size; `edges` go from earlier places to later ones. Answers `None` if it is
/// too much.
pub(crate) fn layout(
    count: usize,
    edges: &BTreeSet<(usize, usize)>,
    box_width: f64,
    box_height: f64,
) -> Option<Layout> {
    let mut layers = vec![0_usize; count];
    let mut upstreams: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        debug_assert!(from < to, "edges go from earlier places to later ones");
        upstreams[*to].push(*from);
    }
    for to in 0..count {
        layers[to] = upstreams[to].iter().map(|from| layers[*from] + 1).max().unwrap_or(0);
    }
    let passing: usize = edges.iter().map(|(from, to)| layers[*to] - layers[*from] - 1).sum();
    let total = count + passing;
    if total > PLACES_MAX {
        return None;
    }

    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    // The method goes from top to bottom; width and height are exchanged on the way in and out.
    let mut vertices: Vec<_> =
        (0..count).map(|place| (number(place), (box_height, box_width))).collect();
    let mut links = Vec::new();
    let mut routes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (from, to) in edges {
        let mut last = *from;
        let route = routes.entry((*from, *to)).or_default();
        for _ in layers[*from] + 1..layers[*to] {
            let passage = vertices.len();
            vertices.push((number(passage), (PASSAGE, box_width)));
            links.push((number(last), number(passage)));
            route.push(passage);
            last = passage;
        }
        links.push((number(last), number(*to)));
    }
    let config = Config {
        vertex_spacing: GAP,
        ranking_type: RankingType::Up,
        transpose: total <= POLISHED_MAX,
        ..Config::default()
    };
    Some(place_parts(count, box_width, box_height, &routes, &vertices, &links, &config))
}

type Vertex = (u32, (f64, f64));

/// Places each connected part and stacks the parts.
fn place_parts(
    count: usize,
    box_width: f64,
    box_height: f64,
    routes: &BTreeMap<(usize, usize), Vec<usize>>,
    vertices: &[Vertex],
    links: &[(u32, u32)],
    config: &Config,
) -> Layout {
    let mut points = vec![Point { x: 0.0, y: 0.0 }; vertices.len()];
    let mut parts = from_vertices_and_edges(vertices, links, config);
    // The parts come in no order of their own.
    parts.sort_by_key(|(part, ..)| part.iter().map(|(place, _)| *place).min());
    let (mut width, mut height) = (0.0_f64, 0.0_f64);
    for (part, ..) in parts {
        let across = |(place, (x, _)): &(usize, (f64, f64))| (*x, vertices[*place].1.0 / 2.0);
        let top = part.iter().map(across).map(|(x, half)| x - half).fold(f64::INFINITY, f64::min);
        let bottom = part.iter().map(across).map(|(x, half)| x + half).fold(0.0, f64::max);
        let left = part.iter().map(|(_, (_, y))| *y).fold(f64::INFINITY, f64::min);
        let start = if height > 0.0 { height + GAP } else { 0.0 };
        for (place, (x, y)) in part {
            points[place] = Point { x: y - left + box_width / 2.0, y: x - top + start };
            width = width.max(points[place].x + box_width / 2.0);
        }
        height = start + (bottom - top).max(box_height);
    }
    let passages = routes
        .iter()
        .map(|(edge, route)| (*edge, route.iter().map(|place| points[*place]).collect()))
        .collect();
    points.truncate(count);
    Layout { boxes: points, passages, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: f64 = 160.0;
    const HEIGHT: f64 = 40.0;

    fn laid_out(count: usize, edges: &[(usize, usize)]) -> Layout {
        layout(count, &edges.iter().copied().collect(), WIDTH, HEIGHT).unwrap()
    }

    /// Nothing overlaps, everything is inside, edges go to the right.
    fn check(count: usize, edges: &[(usize, usize)]) -> Layout {
        let layout = laid_out(count, edges);
        for (place, a) in layout.boxes.iter().enumerate() {
            assert!(a.x >= WIDTH / 2.0 - 0.1 && a.x <= layout.width - WIDTH / 2.0 + 0.1, "{a:?}");
            assert!(
                a.y >= HEIGHT / 2.0 - 0.1 && a.y <= layout.height - HEIGHT / 2.0 + 0.1,
                "{a:?}"
            );
            for b in &layout.boxes[place + 1..] {
                let apart = (a.x - b.x).abs() >= WIDTH || (a.y - b.y).abs() >= HEIGHT;
                assert!(apart, "{a:?} and {b:?} overlap");
            }
        }
        for ((from, to), passages) in &layout.passages {
            let mut x = layout.boxes[*from].x;
            for point in passages.iter().chain([&layout.boxes[*to]]) {
                assert!(point.x >= x + WIDTH, "an edge goes to the right");
                x = point.x;
            }
            for point in passages {
                let free = layout.boxes.iter().all(|b| {
                    (b.x - point.x).abs() >= WIDTH || (b.y - point.y).abs() >= HEIGHT / 2.0
                });
                assert!(free, "a line passes through a box");
            }
        }
        layout
    }

    #[test]
    fn boxes_do_not_overlap_and_lines_pass_between_them() {
        let layout = check(6, &[(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 5), (4, 5)]);

        assert_eq!(layout.passages[&(0, 5)].len(), 3);
        assert_eq!(layout.passages[&(0, 1)].len(), 0);
    }

    #[test]
    fn single_boxes_and_separate_parts_are_stacked() {
        check(1, &[]);
        let layout = check(5, &[(0, 1), (2, 3)]);
        assert!(layout.boxes[4].y > layout.boxes[2].y && layout.boxes[2].y > layout.boxes[0].y);
    }

    #[test]
    fn the_same_flow_is_always_drawn_the_same() {
        let edges = [(0, 2), (1, 2), (0, 3), (1, 4), (2, 5), (3, 5), (4, 6), (0, 6)];
        let first = laid_out(7, &edges);

        for _ in 0..20 {
            let again = laid_out(7, &edges);
            assert_eq!((&first.boxes, &first.passages), (&again.boxes, &again.passages));
        }
    }

    #[test]
    fn random_graphs_are_laid_out() {
        let mut seed = 1_u64;
        let mut draw = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for count in 2..40 {
            let edges: Vec<_> = (0..count * 3 / 2)
                .map(|_| {
                    let to = 1 + draw(count - 1);
                    (draw(to), to)
                })
                .collect();
            check(count, &edges);
        }
    }

    #[test]
    fn what_nobody_could_read_is_not_drawn() {
        let chain: BTreeSet<_> =
            (1..100).flat_map(|to| (0..to).map(move |from| (from, to))).collect();

        assert!(layout(100, &chain, WIDTH, HEIGHT).is_none());
    }
}
