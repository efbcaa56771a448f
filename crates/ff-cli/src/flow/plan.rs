//! A flow as its file describes it, checked before anything is submitted.
//!
//! Everything that can be known without the store is found here, all of it at once, each mistake with its
//! place and the node it is in.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ff_core::contracts::{EdgeDependencyPolicy, FLOW_NODES_MAX as NODES_MAX, OnSatisfied};
use ff_core::engine_backend::validate_tag_key;

use crate::command::submit::{Draft, Refusal};
use crate::duration;
use crate::filter::parse_lane;
use crate::flow::document::{self, Key, Mistake, Node, Place, Value};
use crate::policy::parse_backoff;

/// Longest name of a node, in characters: it is a column of the tree.
const NAME_MAX_CHARS: usize = 80;

/// A flow that can be submitted.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The kind of the flow.
    pub(crate) kind: String,
    pub(crate) tags: Vec<(String, String)>,
    /// In the order of the file.
    pub(crate) nodes: Vec<Planned>,
}

/// A node of a [`Plan`].
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) draft: Draft,
    /// Places of other nodes.
    pub(crate) needs: Vec<usize>,
    pub(crate) join: EdgeDependencyPolicy,
    /// The node among `needs` whose result becomes the payload.
    pub(crate) payload_from: Option<usize>,
    /// As written: names or ids.
    pub(crate) budgets: Vec<String>,
}

/// Nodes of a circle that are named at each of its ends; what lies between is counted.
const CIRCLE_END_SHOWN: usize = 5;

const FLOW_FIELDS: [&str; 5] = ["flow", "tags", "budgets", "defaults", "nodes"];

/// What `defaults` and a node may both say.
const SHARED_FIELDS: [&str; 11] = [
    "lane",
    "priority",
    "tags",
    "delay",
    "deadline",
    "attempt_timeout",
    "retries",
    "backoff",
    "max_reclaims",
    "capabilities",
    "budgets",
];

/// What only a node says.
const NODE_FIELDS: [&str; 8] = [
    "kind",
    "payload",
    "payload_base64",
    "payload_file",
    "payload_from",
    "needs",
    "join",
    "on_satisfied",
];

/// Reads a flow file. `payload_file` is looked for beside it.
pub(crate) fn read(
    text: &str,
    template: &Draft,
    directory: &Path,
    default_kind: &str,
    payload_limit: usize,
) -> Result<Plan, Vec<Mistake>> {
    let root = document::read(text).map_err(|mistake| vec![mistake])?;
    let mut reader = Reader { directory, payload_limit, mistakes: Vec::new() };
    let plan = reader.flow(&root, template, default_kind);
    match plan {
        Some(plan) if reader.mistakes.is_empty() => Ok(plan),
        _ => {
            reader.mistakes.sort_by_key(|mistake| mistake.at.map(|at| at.order()));
            Err(reader.mistakes)
        }
    }
}

/// Reads values and remembers what is wrong with them.
struct Reader<'a> {
    directory: &'a Path,
    payload_limit: usize,
    mistakes: Vec<Mistake>,
}

/// A node's own words about its edges, until every name is known.
struct Wiring<'a> {
    needs: Vec<(&'a str, Place)>,
    payload_from: Option<(&'a str, Place)>,
    join: EdgeDependencyPolicy,
    join_at: Option<Place>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: Place, what: impl Into<String>) {
        self.mistakes.push(Mistake::at(at, what));
    }

    fn flow(&mut self, root: &Node, template: &Draft, default_kind: &str) -> Option<Plan> {
        let Value::Map(fields) = &root.value else {
            let hint = "a flow is a map with `nodes`, each under its name";
            self.mistake(root.at, format!("{hint}; this is {}", root.kind()));
            return None;
        };
        let mut defaults = template.clone();
        let mut plan = Plan { kind: default_kind.to_owned(), tags: Vec::new(), nodes: Vec::new() };
        let (mut budgets, mut nodes) = (Vec::new(), None);
        for (key, value) in fields {
            match key.name.as_str() {
                "flow" => plan.kind = self.text("flow", value).unwrap_or_default(),
                "tags" => plan.tags = self.flow_tags(value),
                "budgets" => budgets = self.texts("budgets", value),
                "defaults" => {
                    for (key, value) in self.map("defaults", value) {
                        self.shared(key, value, &mut defaults, &mut budgets, "`defaults`", &[]);
                    }
                }
                "nodes" => nodes = Some(value),
                _ => self.unknown(key, "a flow", &[&FLOW_FIELDS]),
            }
        }
        let Some(nodes) = nodes else {
            self.mistake(root.at, "`nodes` is missing: it maps the name of each node to the node");
            return None;
        };
        let nodes = self.nodes(nodes)?;
        let mut places = HashMap::new();
        let mut wirings = Vec::new();
        for (key, value) in nodes {
            places.insert(key.name.as_str(), plan.nodes.len());
            let (node, wiring) = self.node(key, value, &defaults, &budgets);
            plan.nodes.push(node);
            wirings.push(wiring);
        }
        for (place, wiring) in wirings.iter().enumerate() {
            self.wire(place, wiring, &places, &mut plan.nodes);
        }
        if let Some(cycle) = find_cycle(&plan.nodes) {
            let names: Vec<_> =
                cycle.iter().map(|place| plan.nodes[*place].name.as_str()).collect();
            let at = nodes[cycle[0]].0.at;
            let path = if names.len() > 2 * CIRCLE_END_SHOWN {
                let (first, rest) = names.split_at(CIRCLE_END_SHOWN);
                let (middle, last) = rest.split_at(rest.len() - CIRCLE_END_SHOWN);
                let (first, last) = (first.join(" → "), last.join(" → "));
                format!("{first} → … {} more … → {last}", middle.len())
            } else {
                names.join(" → ")
            };
            self.mistake(at, format!("these nodes wait for each other in a circle: {path}"));
        }
        Some(plan)
    }

    fn nodes<'n>(&mut self, value: &'n Node) -> Option<&'n [(Key, Node)]> {
        match &value.value {
            Value::Map(nodes) if nodes.is_empty() => {
                self.mistake(value.at, "`nodes` is empty: a flow has at least one node");
                None
            }
            Value::Map(nodes) if nodes.len() > NODES_MAX => {
                let count = nodes.len();
                self.mistake(value.at, format!("{count} nodes are more than {NODES_MAX}"));
                None
            }
            Value::Map(nodes) => Some(nodes),
            _ => {
                let what = "`nodes` must be a map from name to node, as in `build: {kind: make}`";
                self.mistake(value.at, format!("{what}; this is {}", value.kind()));
                None
            }
        }
    }

    fn node<'n>(
        &mut self,
        key: &'n Key,
        value: &'n Node,
        defaults: &Draft,
        budgets: &[String],
    ) -> (Planned, Wiring<'n>) {
        let name = &key.name;
        let mut node = Planned {
            name: name.clone(),
            draft: defaults.clone(),
            needs: Vec::new(),
            join: EdgeDependencyPolicy::all_of(),
            payload_from: None,
            budgets: budgets.to_vec(),
        };
        let mut wiring = Wiring {
            needs: Vec::new(),
            payload_from: None,
            join: EdgeDependencyPolicy::all_of(),
            join_at: None,
        };
        if name.is_empty()
            || name.chars().count() > NAME_MAX_CHARS
            || name.chars().any(char::is_control)
        {
            self.mistake(key.at, format!("the name of a node has 1 to {NAME_MAX_CHARS} characters, none of them a control character"));
        }
        let of = format!("node `{name}`");
        let (mut join, mut on_satisfied, mut payloads) = (None, None, Vec::new());
        for (key, value) in self.map(&of, value) {
            match key.name.as_str() {
                "kind" => node.draft.kind = self.text(&of, value).unwrap_or_default(),
                "payload" => {
                    node.draft.payload = value.json().into_bytes();
                    payloads.push(key);
                }
                "payload_base64" => {
                    payloads.push(key);
                    if let Some(text) = self.text(&of, value) {
                        match BASE64_STANDARD.decode(text) {
                            Ok(bytes) => node.draft.payload = bytes,
                            Err(error) => self.mistake(
                                value.at,
                                format!("{of}: payload_base64 is not base64: {error}"),
                            ),
                        }
                    }
                }
                "payload_file" => {
                    payloads.push(key);
                    if let Some(text) = self.text(&of, value) {
                        self.payload_file(&of, value.at, &text, &mut node.draft);
                    }
                }
                "payload_from" => {
                    payloads.push(key);
                    wiring.payload_from = self.name(&of, value);
                }
                "needs" => wiring.needs = self.names(&of, value),
                "join" => {
                    wiring.join_at = Some(value.at);
                    join = Some(value);
                }
                "on_satisfied" => on_satisfied = Some(value),
                _ => self.shared(key, value, &mut node.draft, &mut node.budgets, &of, &NODE_FIELDS),
            }
        }
        if let [_, second, ..] = payloads[..] {
            self.mistake(second.at, format!("{of} has more than one payload: give one of payload, payload_base64, payload_file and payload_from"));
        }
        if node.draft.payload.len() > self.payload_limit {
            let (size, limit) = (node.draft.payload.len(), self.payload_limit);
            self.mistake(
                value.at,
                format!("the payload of {of} is {size} bytes; the limit is {limit} bytes"),
            );
        }
        // An empty kind that was given is told by the check, a missing one here.
        if node.draft.kind.is_empty() && matches!(value.value, Value::Map(_)) {
            self.mistake(key.at, format!("{of} has no `kind`: say what kind of work it is"));
        } else if !node.draft.kind.is_empty()
            && let Err(Refusal { why, fix }) = node.draft.check()
        {
            self.mistake(value.at, format!("{of}: {why}: {fix}"));
        }
        wiring.join = self.join(&of, join, on_satisfied);
        node.join = wiring.join.clone();
        (node, wiring)
    }

    /// A field that `defaults` and nodes share.
    fn shared(
        &mut self,
        key: &Key,
        value: &Node,
        draft: &mut Draft,
        budgets: &mut Vec<String>,
        of: &str,
        others: &[&str],
    ) {
        let what = format!("{of}: {}", key.name);
        match key.name.as_str() {
            "lane" => {
                if let Some(lane) = self.parsed(&what, value, parse_lane) {
                    draft.lane = lane;
                }
            }
            "priority" => {
                if let Some(priority) = self.whole(&what, value, 9_000) {
                    draft.priority = i32::try_from(priority).unwrap_or(i32::MAX);
                }
            }
            "tags" => draft.tags.extend(self.tags(&what, value)),
            "delay" => draft.delay = self.parsed(&what, value, duration::parse),
            "deadline" => draft.deadline = self.parsed(&what, value, duration::parse_positive),
            "attempt_timeout" => {
                draft.wishes.attempt_timeout = self.parsed(&what, value, duration::parse_positive);
            }
            "retries" => draft.wishes.retries = self.whole(&what, value, u32::MAX),
            "backoff" => draft.wishes.backoff = self.parsed(&what, value, parse_backoff),
            "max_reclaims" => draft.wishes.max_reclaims = self.whole(&what, value, u32::MAX),
            "capabilities" => {
                draft.wishes.capabilities = self.texts(&what, value).into_iter().collect();
            }
            "budgets" => budgets.extend(self.texts(&what, value)),
            _ => self.unknown(key, of, &[&SHARED_FIELDS, others]),
        }
    }

    fn join(
        &mut self,
        of: &str,
        join: Option<&Node>,
        on_satisfied: Option<&Node>,
    ) -> EdgeDependencyPolicy {
        let then = match on_satisfied.map(|value| (value, &value.value)) {
            None => OnSatisfied::LetRun,
            Some((_, Value::Text(word))) if word == "let_run" => OnSatisfied::LetRun,
            Some((_, Value::Text(word))) if word == "cancel_remaining" => {
                OnSatisfied::CancelRemaining
            }
            Some((value, _)) => {
                self.mistake(
                    value.at,
                    format!("{of}: on_satisfied is `let_run` or `cancel_remaining`"),
                );
                OnSatisfied::LetRun
            }
        };
        let hint = "join is `all`, `any` or `{quorum: K}`";
        let policy = match join.map(|value| (value, &value.value)) {
            None => EdgeDependencyPolicy::AllOf,
            Some((_, Value::Text(word))) if word == "all" => EdgeDependencyPolicy::AllOf,
            Some((_, Value::Text(word))) if word == "any" => EdgeDependencyPolicy::any_of(then),
            Some((value, Value::Map(members))) => match &members[..] {
                [(key, count)] if key.name == "quorum" => {
                    let k = self.whole(&format!("{of}: quorum"), count, u32::MAX).unwrap_or(1);
                    EdgeDependencyPolicy::quorum(k, then)
                }
                _ => {
                    self.mistake(value.at, format!("{of}: {hint}"));
                    EdgeDependencyPolicy::AllOf
                }
            },
            Some((value, _)) => {
                self.mistake(value.at, format!("{of}: {hint}"));
                EdgeDependencyPolicy::AllOf
            }
        };
        if let (Some(value), EdgeDependencyPolicy::AllOf) = (on_satisfied, &policy) {
            self.mistake(value.at, format!("{of}: on_satisfied goes with `join: any` or `join: {{quorum: K}}`; `all` leaves nobody to cancel"));
        }
        policy
    }

    /// Turns names into places, and checks what depends on their number.
    fn wire(
        &mut self,
        place: usize,
        wiring: &Wiring<'_>,
        places: &HashMap<&str, usize>,
        nodes: &mut [Planned],
    ) {
        let name = nodes[place].name.clone();
        let mut needs: Vec<usize> = Vec::new();
        let source = wiring.payload_from.iter().map(|source| (source, true));
        for ((needed, at), is_source) in wiring.needs.iter().map(|need| (need, false)).chain(source)
        {
            let Some(&found) = places.get(needed) else {
                let guess = suggest(needed, places.keys().copied());
                self.mistake(
                    *at,
                    format!("node `{name}` needs `{needed}`, and there is no such node{guess}"),
                );
                continue;
            };
            if found == place {
                self.mistake(*at, format!("node `{name}` waits for itself"));
                continue;
            }
            if is_source {
                nodes[place].payload_from = Some(found);
            } else if needs.contains(&found) {
                self.mistake(*at, format!("node `{name}` names `{needed}` twice among its needs"));
            }
            if !needs.contains(&found) {
                needs.push(found);
            }
        }
        let count = needs.len();
        if let (Some(at), true) = (wiring.join_at, count == 0 && wiring.needs.is_empty()) {
            self.mistake(at, format!("node `{name}` has a join and no `needs` to join"));
        } else if let (Some(at), EdgeDependencyPolicy::Quorum { k, .. }) =
            (wiring.join_at, &wiring.join)
            && !(1..=count).contains(&usize::try_from(*k).unwrap_or(usize::MAX))
            && count == wiring.needs.len()
        {
            self.mistake(
                at,
                format!("node `{name}`: a quorum of {k} among {count} needs; give 1 to {count}"),
            );
        }
        if let Some((source, at)) = wiring.payload_from
            && nodes[place].payload_from.is_some()
            && wanted(&wiring.join, count) < count
        {
            self.mistake(
                at,
                format!(
                    "node `{name}` may run before `{source}` has a result, and would get an empty \
                     payload: payload_from goes with `join: all`"
                ),
            );
        }
        nodes[place].needs = needs;
    }

    fn unknown(&mut self, key: &Key, of: &str, known: &[&[&str]]) {
        let known = known.iter().flat_map(|fields| fields.iter().copied());
        let guess = suggest(&key.name, known.clone());
        let hint = if guess.is_empty() {
            let all: Vec<_> = known.collect();
            format!("; the fields are {}", all.join(", "))
        } else {
            guess
        };
        self.mistake(key.at, format!("{of} has no field `{}`{hint}", key.name));
    }

    // ---- Values ----

    fn map<'n>(&mut self, of: &str, value: &'n Node) -> &'n [(Key, Node)] {
        match &value.value {
            Value::Map(members) => members,
            _ => {
                self.mistake(value.at, format!("{of} must be a map, not {}", value.kind()));
                &[]
            }
        }
    }

    fn text(&mut self, of: &str, value: &Node) -> Option<String> {
        match &value.value {
            Value::Text(text) => Some(text.clone()),
            _ => {
                self.mistake(
                    value.at,
                    format!("{of}: a text is needed here, not {}", value.kind()),
                );
                None
            }
        }
    }

    fn parsed<T>(
        &mut self,
        of: &str,
        value: &Node,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        // A bare number is told by the parser that it has no unit.
        let text = match &value.value {
            Value::Number(digits) => digits.clone(),
            _ => self.text(of, value)?,
        };
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.mistake(value.at, format!("{of}: {why}"));
                None
            }
        }
    }

    fn whole(&mut self, of: &str, value: &Node, most: u32) -> Option<u32> {
        let number = match &value.value {
            Value::Number(digits) => digits.parse::<u32>().ok().filter(|number| *number <= most),
            _ => None,
        };
        if number.is_none() {
            self.mistake(value.at, format!("{of}: a whole number from 0 to {most} is needed here"));
        }
        number
    }

    fn tags(&mut self, of: &str, value: &Node) -> Vec<(String, String)> {
        let mut tags = Vec::new();
        for (key, value) in self.map(of, value) {
            match &value.value {
                Value::Text(text) | Value::Number(text) => {
                    tags.push((key.name.clone(), text.clone()));
                }
                Value::Bool(truth) => tags.push((key.name.clone(), truth.to_string())),
                Value::Null | Value::List(_) | Value::Map(_) => {
                    self.mistake(
                        value.at,
                        format!("{of}: the value of a tag is a text, not {}", value.kind()),
                    );
                }
            }
        }
        tags
    }

    /// The engine asks more of a flow's tags than of an execution's.
    fn flow_tags(&mut self, value: &Node) -> Vec<(String, String)> {
        let tags = self.tags("tags", value);
        if let Some((name, _)) = tags.iter().find(|(name, _)| validate_tag_key(name).is_err()) {
            self.mistake(
                value.at,
                format!(
                    "tags: `{name}`: a tag of a flow has a name in two or more parts of lower-case \
                     letters, digits and underscores, as in `team.name`"
                ),
            );
        }
        tags
    }

    fn texts(&mut self, of: &str, value: &Node) -> Vec<String> {
        self.names(of, value).into_iter().map(|(text, _)| text.to_owned()).collect()
    }

    fn name<'n>(&mut self, of: &str, value: &'n Node) -> Option<(&'n str, Place)> {
        match &value.value {
            Value::Text(text) | Value::Number(text) => Some((text, value.at)),
            _ => {
                self.mistake(
                    value.at,
                    format!("{of}: a name is needed here, not {}", value.kind()),
                );
                None
            }
        }
    }

    /// A list of names, or one name.
    fn names<'n>(&mut self, of: &str, value: &'n Node) -> Vec<(&'n str, Place)> {
        match &value.value {
            Value::List(items) => items.iter().filter_map(|item| self.name(of, item)).collect(),
            Value::Text(_) | Value::Number(_) => self.name(of, value).into_iter().collect(),
            Value::Null | Value::Bool(_) | Value::Map(_) => {
                self.mistake(
                    value.at,
                    format!("{of}: a list of names is needed here, not {}", value.kind()),
                );
                Vec::new()
            }
        }
    }

    fn payload_file(&mut self, of: &str, at: Place, name: &str, draft: &mut Draft) {
        let path = self.directory.join(name);
        let limit = u64::try_from(self.payload_limit).unwrap_or(u64::MAX);
        let bytes = match path.metadata() {
            Ok(about) if about.len() > limit => {
                let size = about.len();
                self.mistake(
                    at,
                    format!(
                        "{of}: `{}` is {size} bytes; the limit is {limit} bytes",
                        path.display()
                    ),
                );
                return;
            }
            Ok(_) => std::fs::read(&path),
            Err(error) => Err(error),
        };
        match bytes {
            Ok(bytes) => draft.payload = bytes,
            Err(error) => {
                self.mistake(at, format!("{of}: cannot read `{}`: {error}", path.display()));
            }
        }
    }
}

/// How many of its needs must complete before a node runs.
fn wanted(join: &EdgeDependencyPolicy, needs: usize) -> usize {
    match join {
        EdgeDependencyPolicy::AnyOf { .. } => needs.min(1),
        EdgeDependencyPolicy::Quorum { k, .. } => usize::try_from(*k).unwrap_or(usize::MAX),
        _ => needs,
    }
}

/// `; did you mean …?` where a known word is near, else nothing.
fn suggest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let near = known
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, known)| {
            let length = known.chars().count();
            *distance <= 1 + length / 4 && *distance < length
        })
        .min();
    near.map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

/// The places of a circle of needs, the first one again at the end; each waits for the one after it.
///
/// Linear in nodes and edges, and without recursion: a chain may be as deep as the flow is large.
fn find_cycle(nodes: &[Planned]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Visit {
        Never,
        Open,
        Done,
    }
    let mut visits = vec![Visit::Never; nodes.len()];
    for start in 0..nodes.len() {
        if visits[start] != Visit::Never {
            continue;
        }
        visits[start] = Visit::Open;
        // The path from `start`, each with how many of its needs have been followed.
        let mut path = vec![(start, 0)];
        while let Some((place, followed)) = path.last_mut() {
            let Some(&next) = nodes[*place].needs.get(*followed) else {
                visits[*place] = Visit::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match visits[next] {
                Visit::Done => {}
                Visit::Never => {
                    visits[next] = Visit::Open;
                    path.push((next, 0));
                }
                Visit::Open => {
                    let circle = path.iter().map(|(place, _)| *place);
                    let mut circle: Vec<_> = circle.skip_while(|place| *place != next).collect();
                    circle.push(next);
                    return Some(circle);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ff_core::types::LaneId;

    use super::*;

    fn plan(text: &str) -> Result<Plan, Vec<Mistake>> {
        read(text, &Draft::of_lane(LaneId::new("default")), Path::new("/nowhere"), "file-stem", 100)
    }

    fn mistakes(text: &str) -> Vec<String> {
        plan(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn mistake(text: &str) -> String {
        let all = mistakes(text);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn a_file_becomes_a_plan() {
        let plan = plan(
            "flow: release\n\
             tags: {ci.team: core, ci.pr: 12}\n\
             budgets: [team]\n\
             defaults: {lane: ci, retries: 2, tags: {a: b}}\n\
             nodes:\n\
             \x20 fetch: {kind: http, payload: {url: x, n: 1.50}}\n\
             \x20 lint: {kind: make, needs: fetch, lane: fast, attempt_timeout: 5m, budgets: own}\n\
             \x20 test: {kind: make, needs: [fetch], payload_from: fetch}\n\
             \x20 ship: {kind: push, needs: [lint, test], join: {quorum: 1}, on_satisfied: cancel_remaining}\n",
        )
        .unwrap();

        assert_eq!((plan.kind.as_str(), plan.nodes.len()), ("release", 4));
        assert_eq!(
            plan.tags,
            [("ci.team".to_owned(), "core".to_owned()), ("ci.pr".to_owned(), "12".to_owned())]
        );
        let [fetch, lint, test, ship] = &plan.nodes[..] else { panic!("four nodes") };
        assert_eq!(fetch.draft.payload, br#"{"url":"x","n":1.50}"#);
        assert_eq!((&fetch.draft.lane, fetch.draft.wishes.retries), (&LaneId::new("ci"), Some(2)));
        assert_eq!((&lint.draft.lane, &lint.needs[..]), (&LaneId::new("fast"), &[0][..]));
        assert_eq!(lint.draft.wishes.attempt_timeout, Some(Duration::from_secs(300)));
        assert_eq!(lint.budgets, ["team", "own"]);
        assert_eq!((test.payload_from, &test.needs[..]), (Some(0), &[0][..]));
        assert_eq!(ship.join, EdgeDependencyPolicy::quorum(1, OnSatisfied::CancelRemaining));
        assert_eq!(fetch.draft.tags.get("a").map(String::as_str), Some("b"));
    }

    #[test]
    fn a_flow_without_a_name_is_called_after_its_file() {
        assert_eq!(plan("nodes: {a: {kind: k}}").unwrap().kind, "file-stem");
    }

    #[test]
    fn an_unknown_field_is_told_with_the_nearest_known_one() {
        assert_eq!(
            mistake("nodes:\n  a: {kind: k, retrys: 3}"),
            "line 2, column 16: node `a` has no field `retrys`; did you mean `retries`?"
        );
        assert!(mistake("node: {}\nnodes: {a: {kind: k}}").contains("did you mean `nodes`?"));
        assert!(
            mistake("defaults: {kind: k}\nnodes: {a: {kind: k}}").contains("the fields are lane")
        );
        assert!(
            mistake("nodes: {build: {kind: k}, b: {kind: k, needs: [biuld]}}")
                .contains("did you mean `build`?")
        );
    }

    #[test]
    fn a_circle_is_named_by_its_path() {
        assert_eq!(
            mistake(
                "nodes:\n  a: {kind: k, needs: [c]}\n  b: {kind: k, needs: [a]}\n  c: {kind: k, needs: [b]}\n  d: {kind: k, needs: [a]}"
            ),
            "line 2, column 3: these nodes wait for each other in a circle: a → c → b → a"
        );
        assert!(mistake("nodes: {a: {kind: k, needs: [a]}}").contains("waits for itself"));
        assert!(mistake("nodes: {a: {kind: k}, b: {kind: k, needs: [a, a]}}").contains("twice"));
    }

    #[test]
    fn a_chain_as_deep_as_the_largest_flow_is_no_problem() {
        let mut text = "nodes:\n  n0: {kind: k}\n".to_owned();
        for place in 1..NODES_MAX {
            text.push_str(&format!("  n{place}: {{kind: k, needs: [n{}]}}\n", place - 1));
        }
        assert_eq!(plan(&text).unwrap().nodes.len(), NODES_MAX);

        text.push_str("  more: {kind: k}\n");
        assert!(mistake(&text).contains("10001 nodes are more than 10000"));
    }

    #[test]
    fn a_payload_comes_from_a_node_that_is_waited_for() {
        let joined = |join: &str| {
            format!(
                "nodes: {{a: {{kind: k}}, b: {{kind: k}}, c: {{kind: k, needs: b, payload_from: a, join: {join}}}}}"
            )
        };
        for join in ["any", "{quorum: 1}"] {
            let told = mistake(&joined(join));
            assert!(told.contains("node `c` may run before `a` has a result"), "{told}");
        }
        assert!(plan(&joined("all")).is_ok() && plan(&joined("{quorum: 2}")).is_ok());
        assert!(
            plan("nodes: {a: {kind: k}, c: {kind: k, payload_from: a, needs: a, join: any}}")
                .is_ok()
        );
    }

    #[test]
    fn a_circle_of_many_is_told_by_its_ends() {
        let node =
            |place: usize| format!("  n{place}: {{kind: k, needs: [n{}]}}\n", (place + 1) % 1000);
        let text = (0..1000).fold("nodes:\n".to_owned(), |text, place| text + &node(place));

        let told = mistake(&text);

        assert!(
            told.ends_with(
                "n0 → n1 → n2 → n3 → n4 → … 991 more … → n996 → n997 → n998 → n999 → n0"
            ),
            "{told}"
        );
    }

    #[test]
    fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
        let told = mistakes(
            "nodes:\n\
             \x20 a: {kind: k, delay: 30, priority: 9001}\n\
             \x20 b: {needs: [a], join: some}\n\
             \x20 c: {kind: k, join: any}\n\
             \x20 d: {kind: k, needs: [a], join: {quorum: 2}}\n\
             \x20 e: {kind: k, needs: [a], on_satisfied: let_run}\n\
             \x20 f: 5\n\
             \x20 g: {kind: k, payload: 1, payload_from: a}\n\
             \x20 h: {kind: k, payload_base64: '%'}\n\
             \x20 i: {kind: k, payload_file: missing.bin}\n\
             \x20 j: {kind: k, payload: '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789'}\n",
        );
        for (place, part) in [
            "node `a`: delay: `30` has a number without a unit",
            "0 to 9000",
            "node `b` has no `kind`",
            "node `b`: join is `all`, `any` or `{quorum: K}`",
            "node `c` has a join and no `needs`",
            "a quorum of 2 among 1 needs",
            "on_satisfied goes with",
            "node `f` must be a map, not a number",
            "node `g` has more than one payload",
            "payload_base64 is not base64",
            "cannot read `/nowhere/missing.bin`",
            "the payload of node `j` is 102 bytes",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[place].contains(part), "{part}: {told:#?}");
        }
        assert_eq!(told.len(), 12, "{told:#?}");
    }

    #[test]
    fn what_is_no_flow_is_refused() {
        assert!(mistake("[a]").contains("a flow is a map with `nodes`"));
        assert!(mistake("flow: x").contains("`nodes` is missing"));
        assert!(mistake("nodes: {}").contains("at least one node"));
        assert!(mistake("nodes: [{kind: k}]").contains("a map from name to node"));
        assert!(mistake("{nodes: {a: {kind: k}").contains("expected ',' or '}'"));
        assert!(
            mistake("tags: {team: core}\nnodes: {a: {kind: k}}")
                .contains("tags: `team`: a tag of a flow")
        );
    }
}
