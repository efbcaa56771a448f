//! Resume conditions: what a signal adds to them, and whether they hold.
//!
//! A condition is a tree; its leaves (`Single`, `Count`, and the two that no signal satisfies) are
//! numbered depth first. Each leaf counts for itself, so nodes over different waitpoints never
//! count each other's signals. A delivery costs one step per leaf, whatever came before: what a
//! leaf has counted is a number, and the distinct things behind it are rows that the store looks
//! up by name.

use super::rows::{Leaf, SignalHead};
use crate::EngineError;
use crate::contracts::{CompositeBody, CountKind, ResumeCondition, SignalMatcher};
use crate::engine_error::ValidationKind;
use crate::machine::limits::CONDITION_TERMS_MAX;

/// Stands among required signal names for a suspension that only an operator ends.
pub const OPERATOR_ONLY: &str = "__operator_only__";

/// Stands among required signal names for a suspension that only its timeout ends.
pub const TIMEOUT_ONLY: &str = "__timeout_only__";

/// What one signal did to a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Some leaf counted it.
    Counted,
    /// It matches, but everything it could add is counted already.
    Again,
    /// It came to a waitpoint of the condition, and no matcher there takes it.
    Unmatched,
    /// No leaf looks at its waitpoint.
    NotAsked,
}

/// A distinct thing that a leaf counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// The leaf's number.
    pub leaf: u32,
    /// A signal, or a source, by [`things`].
    pub thing: String,
}

/// The names under which a signal is counted: itself, and its source.
pub fn things(signal: &SignalHead) -> [String; 2] {
    let source = &signal.source_type;
    [
        format!("signal:{}", signal.signal_id),
        format!("source:{}:{source}:{}", source.len(), signal.source_identity),
    ]
}

/// No leaf has counted anything.
pub fn untouched(condition: &ResumeCondition) -> Vec<Leaf> {
    leaves(condition).iter().map(|_| Leaf::default()).collect()
}

/// Counts one signal on every leaf that takes it. `known` are the things that leaves have counted
/// before; what is new joins it.
pub fn count(
    condition: &ResumeCondition,
    progress: &mut Vec<Leaf>,
    known: &mut Vec<Counted>,
    signal: &SignalHead,
) -> (Effect, Vec<Counted>) {
    let [itself, source] = things(signal);
    let (mut effect, mut new) = (Effect::NotAsked, Vec::new());
    for (number, leaf) in (0_u32..).zip(leaves(condition)) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if progress.len() <= at {
            progress.resize(at + 1, Leaf::default());
        }
        let have = &mut progress[at];
        let step = match leaf {
            ResumeCondition::Single { waitpoint_key, matcher } => {
                if *waitpoint_key != signal.waitpoint_key {
                    Effect::NotAsked
                } else if !matches(Some(matcher), signal) {
                    Effect::Unmatched
                } else if have.have > 0 {
                    Effect::Again
                } else {
                    have.have = 1;
                    Effect::Counted
                }
            }
            ResumeCondition::OperatorOnly | ResumeCondition::TimeoutOnly => Effect::NotAsked,
            ResumeCondition::Composite(CompositeBody::Count {
                n,
                count_kind,
                matcher,
                waitpoints,
            }) => {
                if !waitpoints.contains(&signal.waitpoint_key) {
                    Effect::NotAsked
                } else if !matches(matcher.as_ref(), signal) {
                    Effect::Unmatched
                } else if have.have >= *n {
                    Effect::Again
                } else {
                    let thing = match count_kind {
                        CountKind::DistinctWaitpoints => None,
                        CountKind::DistinctSignals => Some(&itself),
                        CountKind::DistinctSources => Some(&source),
                    };
                    let is_known = match thing {
                        None => have.keys.contains(&signal.waitpoint_key),
                        Some(thing) => {
                            known.iter().any(|one| one.leaf == number && one.thing == *thing)
                        }
                    };
                    if is_known {
                        Effect::Again
                    } else {
                        have.have += 1;
                        match thing {
                            None => have.keys.push(signal.waitpoint_key.clone()),
                            Some(thing) => {
                                let counted = Counted { leaf: number, thing: thing.clone() };
                                known.push(counted.clone());
                                new.push(counted);
                            }
                        }
                        Effect::Counted
                    }
                }
            }
            ResumeCondition::Composite(CompositeBody::AllOf { .. }) => {
                unreachable!("the leaves of a condition are not nodes")
            }
        };
        effect = stronger(effect, step);
    }
    (effect, new)
}

/// Whether the condition holds by what its leaves have counted.
pub fn holds(condition: &ResumeCondition, progress: &[Leaf]) -> bool {
    fn visit(condition: &ResumeCondition, progress: &[Leaf], next: &mut usize) -> bool {
        match condition {
            ResumeCondition::Composite(CompositeBody::AllOf { members }) => {
                // Every member is visited, so that the leaves behind it keep their numbers.
                let held = members.iter().filter(|member| visit(member, progress, next)).count();
                !members.is_empty() && held == members.len()
            }
            ResumeCondition::Single { .. }
            | ResumeCondition::OperatorOnly
            | ResumeCondition::TimeoutOnly
            | ResumeCondition::Composite(CompositeBody::Count { .. }) => {
                let have = progress.get(*next).map_or(0, |leaf| leaf.have);
                *next += 1;
                match condition {
                    ResumeCondition::Single { .. } => have > 0,
                    ResumeCondition::Composite(CompositeBody::Count { n, .. }) => have >= *n,
                    ResumeCondition::OperatorOnly
                    | ResumeCondition::TimeoutOnly
                    | ResumeCondition::Composite(CompositeBody::AllOf { .. }) => false,
                }
            }
        }
    }
    visit(condition, progress, &mut 0)
}

/// The names that a waitpoint's signals must have, in order and once each; empty means any.
pub fn required_signal_names(condition: &ResumeCondition, key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for leaf in leaves(condition) {
        let name = match leaf {
            ResumeCondition::Single { waitpoint_key, matcher: SignalMatcher::ByName(name) }
                if waitpoint_key == key =>
            {
                name
            }
            ResumeCondition::Composite(CompositeBody::Count {
                matcher: Some(SignalMatcher::ByName(name)),
                waitpoints,
                ..
            }) if waitpoints.iter().any(|one| one == key) => name,
            ResumeCondition::OperatorOnly => OPERATOR_ONLY,
            ResumeCondition::TimeoutOnly => TIMEOUT_ONLY,
            ResumeCondition::Single { .. } | ResumeCondition::Composite(_) => continue,
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Refuses a `Single` that waits for the empty name.
pub fn check_name(condition: &ResumeCondition) -> Result<(), EngineError> {
    match condition {
        ResumeCondition::Single { matcher: SignalMatcher::ByName(name), .. } if name.is_empty() => {
            Err(invalid("resume_condition: empty signal name (use Wildcard instead)"))
        }
        ResumeCondition::Single { .. }
        | ResumeCondition::OperatorOnly
        | ResumeCondition::TimeoutOnly
        | ResumeCondition::Composite(_) => Ok(()),
    }
}

/// Refuses a composite that cannot hold, or is larger than a delivery may walk.
pub fn check_structure(condition: &ResumeCondition) -> Result<(), EngineError> {
    condition.validate_composite().map_err(|error| invalid(&error.detail))?;
    let terms = terms(condition);
    if terms > CONDITION_TERMS_MAX {
        return Err(invalid(&format!(
            "resume_condition has {terms} terms; at most {CONDITION_TERMS_MAX}"
        )));
    }
    Ok(())
}

fn invalid(detail: &str) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.to_owned() }
}

/// Nodes, leaves and listed waitpoints.
fn terms(condition: &ResumeCondition) -> usize {
    match condition {
        ResumeCondition::Single { .. }
        | ResumeCondition::OperatorOnly
        | ResumeCondition::TimeoutOnly => 1,
        ResumeCondition::Composite(CompositeBody::AllOf { members }) => {
            1 + members.iter().map(terms).sum::<usize>()
        }
        ResumeCondition::Composite(CompositeBody::Count { waitpoints, .. }) => 1 + waitpoints.len(),
    }
}

/// The leaves of a condition, depth first.
fn leaves(condition: &ResumeCondition) -> Vec<&ResumeCondition> {
    fn visit<'a>(condition: &'a ResumeCondition, found: &mut Vec<&'a ResumeCondition>) {
        match condition {
            ResumeCondition::Composite(CompositeBody::AllOf { members }) => {
                for member in members {
                    visit(member, found);
                }
            }
            ResumeCondition::Single { .. }
            | ResumeCondition::OperatorOnly
            | ResumeCondition::TimeoutOnly
            | ResumeCondition::Composite(CompositeBody::Count { .. }) => found.push(condition),
        }
    }
    let mut found = Vec::new();
    visit(condition, &mut found);
    found
}

fn matches(matcher: Option<&SignalMatcher>, signal: &SignalHead) -> bool {
    match matcher {
        None | Some(SignalMatcher::Wildcard) => true,
        Some(SignalMatcher::ByName(name)) => *name == signal.name,
    }
}

fn stronger(one: Effect, other: Effect) -> Effect {
    let rank = |effect| match effect {
        Effect::NotAsked => 0,
        Effect::Unmatched => 1,
        Effect::Again => 2,
        Effect::Counted => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SignalId;

    fn single(key: &str, name: &str) -> ResumeCondition {
        let matcher = match name {
            "" => SignalMatcher::Wildcard,
            _ => SignalMatcher::ByName(name.to_owned()),
        };
        ResumeCondition::Single { waitpoint_key: key.to_owned(), matcher }
    }

    fn all_of(members: Vec<ResumeCondition>) -> ResumeCondition {
        ResumeCondition::Composite(CompositeBody::all_of(members))
    }

    fn counts(n: u32, kind: CountKind, name: Option<&str>, keys: &[&str]) -> ResumeCondition {
        let matcher = name.map(|name| SignalMatcher::ByName(name.to_owned()));
        let keys = keys.iter().map(|key| (*key).to_owned());
        ResumeCondition::Composite(CompositeBody::count(n, kind, matcher, keys))
    }

    fn signal(id: u128, key: &str, name: &str, source: &str) -> SignalHead {
        SignalHead {
            signal_id: SignalId::from_uuid(uuid::Uuid::from_u128(id)),
            waitpoint_key: key.to_owned(),
            name: name.to_owned(),
            source_type: "person".to_owned(),
            source_identity: source.to_owned(),
        }
    }

    /// After how many of the signals the condition holds for the first time.
    fn holds_after(condition: &ResumeCondition, signals: &[SignalHead]) -> Option<usize> {
        let (mut progress, mut known) = (untouched(condition), Vec::new());
        let mut first = holds(condition, &progress).then_some(0);
        for (number, signal) in (1..).zip(signals) {
            count(condition, &mut progress, &mut known, signal);
            if first.is_none() && holds(condition, &progress) {
                first = Some(number);
            }
            assert!(first.is_none() || holds(condition, &progress), "what holds goes on holding");
        }
        first
    }

    fn effects(condition: &ResumeCondition, signals: &[SignalHead]) -> Vec<Effect> {
        let (mut progress, mut known) = (untouched(condition), Vec::new());
        let mut effect = |signal| count(condition, &mut progress, &mut known, signal).0;
        signals.iter().map(&mut effect).collect()
    }

    #[test]
    fn a_single_takes_its_key_and_its_exact_name() {
        let by_name = single("a", "go");
        let signals =
            [signal(1, "b", "go", "x"), signal(2, "a", "Go", "x"), signal(3, "a", "go", "x")];

        assert_eq!(holds_after(&by_name, &signals), Some(3));
        assert_eq!(
            effects(&by_name, &signals),
            [Effect::NotAsked, Effect::Unmatched, Effect::Counted]
        );
        assert_eq!(holds_after(&single("a", ""), &signals), Some(2));
    }

    #[test]
    fn no_signal_satisfies_what_waits_for_an_operator_or_a_timeout() {
        for condition in [ResumeCondition::OperatorOnly, ResumeCondition::TimeoutOnly] {
            let signals = [signal(1, "a", OPERATOR_ONLY, "x"), signal(2, "a", TIMEOUT_ONLY, "x")];
            assert_eq!(holds_after(&condition, &signals), None);
            assert_eq!(effects(&condition, &signals), [Effect::NotAsked; 2]);
            let mixed = all_of(vec![single("a", ""), condition]);
            assert_eq!(holds_after(&mixed, &signals), None);
        }
    }

    #[test]
    fn all_of_holds_on_its_last_member_in_any_order() {
        let condition = ResumeCondition::all_of_waitpoints(["a", "b", "c"]);
        for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
            let signals = order.map(|key| signal(1, key, "n", "x"));
            assert_eq!(holds_after(&condition, &signals), Some(3));
        }
        let again = [signal(1, "a", "n", "x"), signal(2, "a", "n", "x"), signal(3, "b", "n", "x")];
        assert_eq!(holds_after(&condition, &again), None);
        assert_eq!(effects(&condition, &again), [Effect::Counted, Effect::Again, Effect::Counted]);
        assert!(!holds(&all_of(vec![]), &[]));
    }

    #[test]
    fn a_count_counts_distinct_waitpoints_signals_or_sources() {
        let signals = [
            signal(1, "a", "n", "x"),
            signal(2, "a", "n", "x"),
            signal(3, "a", "n", "y"),
            signal(4, "b", "n", "x"),
            signal(1, "b", "n", "z"),
        ];
        for (kind, expected) in [
            (CountKind::DistinctSignals, [Some(1), Some(2), Some(3), Some(4), None]),
            (CountKind::DistinctSources, [Some(1), Some(3), Some(5), None, None]),
            (CountKind::DistinctWaitpoints, [Some(1), Some(4), None, None, None]),
        ] {
            for (n, expected) in (1..).zip(expected) {
                let condition = counts(n, kind, None, &["a", "b"]);
                assert_eq!(holds_after(&condition, &signals), expected, "{kind:?} {n}");
            }
        }
    }

    #[test]
    fn a_source_is_type_and_identity_without_confusion() {
        let mut one = signal(1, "a", "n", "b:c");
        one.source_type = "a".to_owned();
        let mut other = signal(2, "a", "n", "c");
        other.source_type = "a:b".to_owned();
        let condition = counts(2, CountKind::DistinctSources, None, &["a"]);

        assert_eq!(holds_after(&condition, &[one, other]), Some(2));
    }

    #[test]
    fn a_count_asks_its_matcher_and_its_waitpoints() {
        let condition = counts(2, CountKind::DistinctSignals, Some("yes"), &["a"]);
        let signals = [
            signal(1, "a", "no", "x"),
            signal(2, "b", "yes", "x"),
            signal(3, "a", "yes", "x"),
            signal(4, "a", "yes", "x"),
        ];

        assert_eq!(holds_after(&condition, &signals), Some(4));
    }

    /// Two counts of one kind in one tree never count each other's signals.
    #[test]
    fn sibling_counts_count_apart() {
        for kind in
            [CountKind::DistinctSignals, CountKind::DistinctSources, CountKind::DistinctWaitpoints]
        {
            let condition =
                all_of(vec![counts(1, kind, None, &["a"]), counts(1, kind, None, &["b"])]);
            let signals =
                [signal(1, "a", "n", "x"), signal(1, "a", "n", "y"), signal(1, "b", "n", "x")];
            assert_eq!(holds_after(&condition, &signals), Some(3), "{kind:?}");
        }
    }

    #[test]
    fn a_member_behind_one_that_fails_is_still_itself() {
        let condition = all_of(vec![
            all_of(vec![single("a", ""), single("b", "")]),
            counts(2, CountKind::DistinctSignals, None, &["c"]),
            single("d", ""),
        ]);
        let signals: Vec<SignalHead> = (1..)
            .zip(["d", "c", "c", "a", "b"])
            .map(|(id, key)| signal(id, key, "n", "x"))
            .collect();

        assert_eq!(holds_after(&condition, &signals), Some(5));
    }

    #[test]
    fn required_names_are_those_that_concern_the_key() {
        let condition = all_of(vec![
            single("a", "x"),
            single("b", "y"),
            counts(1, CountKind::DistinctSignals, Some("z"), &["a", "b"]),
            single("a", "x"),
            single("a", ""),
        ]);
        assert_eq!(required_signal_names(&condition, "a"), ["x", "z"]);
        assert_eq!(required_signal_names(&condition, "b"), ["y", "z"]);
        assert!(required_signal_names(&single("a", ""), "a").is_empty());
        assert_eq!(required_signal_names(&ResumeCondition::OperatorOnly, "a"), [OPERATOR_ONLY]);
        assert_eq!(required_signal_names(&ResumeCondition::TimeoutOnly, "a"), [TIMEOUT_ONLY]);
    }

    #[test]
    fn a_condition_is_bounded() {
        let wide = |terms: usize| all_of((1..terms).map(|_| single("a", "")).collect());
        assert!(check_structure(&wide(CONDITION_TERMS_MAX)).is_ok());
        assert!(check_structure(&wide(CONDITION_TERMS_MAX + 1)).is_err());
        assert!(check_structure(&single("a", "x")).is_ok());
    }
}
