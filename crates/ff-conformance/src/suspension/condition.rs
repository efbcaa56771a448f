//! Resume conditions over several waitpoints.

use ff_core::contracts::{
    CompositeBody, CountKind, ResumeCondition, SignalMatcher, SuspendOutcomeDetails,
};
use ff_core::state::PublicState;

use super::{any_at, at_key, delivered, observed, park, signal, waiting_for};
use crate::harness::{Bench, Held};

async fn send(
    bench: &Bench,
    held: &Held,
    details: &SuspendOutcomeDetails,
    (key, name, source): (&str, &str, &str),
) -> String {
    let (waitpoint, token) = at_key(details, key);
    let mut args = signal(bench, held.execution(), waitpoint, token);
    args.signal_name = name.to_owned();
    args.source_identity = source.to_owned();
    delivered(bench, args).await.unwrap()
}

async fn waits(
    bench: &Bench,
    condition: ResumeCondition,
    keys: &[&str],
) -> (Held, SuspendOutcomeDetails) {
    let held = bench.claimed().await;
    let (details, _) = park(bench, &held, waiting_for(bench, condition, keys)).await;
    (held, details)
}

pub async fn all_of_resumes_on_the_last_whatever_the_order(bench: &Bench) {
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let keys = ["a", "b", "c"];
        let condition = ResumeCondition::all_of_waitpoints(keys);
        let (held, details) = waits(bench, condition, &keys).await;

        for key in &order[..2] {
            assert_eq!(
                send(bench, &held, &details, (key, "n", "x")).await,
                "appended_to_waitpoint"
            );
            assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
        }
        let last = send(bench, &held, &details, (order[2], "n", "x")).await;

        assert_eq!(last, "resume_condition_satisfied");
        let resumed = bench.claim().await;
        assert_eq!(observed(bench, &resumed).await.len(), 3);
        resumed.complete(None).await.unwrap();
    }
}

pub async fn two_people_are_two_sources(bench: &Bench) {
    let condition = ResumeCondition::Composite(CompositeBody::count(
        2,
        CountKind::DistinctSources,
        Some(SignalMatcher::ByName("approved".to_owned())),
        ["k".to_owned()],
    ));
    let (held, details) = waits(bench, condition, &["k"]).await;

    for (name, source, effect) in [
        ("approved", "ada", "appended_to_waitpoint"),
        ("approved", "ada", "appended_to_waitpoint_duplicate"),
        ("rejected", "bob", "signal_ignored_matcher_failed"),
        ("approved", "bob", "resume_condition_satisfied"),
    ] {
        assert_eq!(send(bench, &held, &details, ("k", name, source)).await, effect);
    }
}

pub async fn counts_beside_each_other_count_apart(bench: &Bench) {
    let one = |key: &str| {
        ResumeCondition::Composite(CompositeBody::count(
            1,
            CountKind::DistinctSources,
            None,
            [key.to_owned()],
        ))
    };
    let condition = ResumeCondition::Composite(CompositeBody::all_of([one("a"), one("b")]));
    let (held, details) = waits(bench, condition, &["a", "b"]).await;

    send(bench, &held, &details, ("a", "n", "x")).await;
    send(bench, &held, &details, ("a", "n", "y")).await;
    assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
    send(bench, &held, &details, ("b", "n", "x")).await;

    assert_eq!(bench.state(held.execution()).await, PublicState::Waiting);
}

pub async fn any_of_is_a_count_of_one(bench: &Bench) {
    let condition = ResumeCondition::Composite(CompositeBody::count(
        1,
        CountKind::DistinctWaitpoints,
        None,
        ["a".to_owned(), "b".to_owned()],
    ));
    let (held, details) = waits(bench, condition, &["a", "b"]).await;

    assert_eq!(send(bench, &held, &details, ("b", "n", "x")).await, "resume_condition_satisfied");
}

pub async fn conditions_nest_to_the_fourth_level(bench: &Bench) {
    let deep = |levels: usize| {
        (0..levels).fold(any_at("k"), |inner, _| {
            ResumeCondition::Composite(CompositeBody::all_of([inner]))
        })
    };
    let (held, details) = waits(bench, deep(4), &["k"]).await;
    assert_eq!(send(bench, &held, &details, ("k", "n", "x")).await, "resume_condition_satisfied");
    let held = bench.claim().await;

    let refused = bench.engine.suspend(&held.handle, waiting_for(bench, deep(5), &["k"])).await;

    let refused = format!("{:?}", refused.unwrap_err());
    assert!(refused.contains("depth 5 exceeds cap 4"), "{refused}");
}

pub async fn a_name_is_exact_and_an_unmatched_signal_is_kept(bench: &Bench) {
    let condition = ResumeCondition::Single {
        waitpoint_key: "k".to_owned(),
        matcher: SignalMatcher::ByName("Go".to_owned()),
    };
    let (held, details) = waits(bench, condition, &["k"]).await;

    assert_eq!(send(bench, &held, &details, ("k", "go", "x")).await, "no_op");
    assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
    send(bench, &held, &details, ("k", "Go", "x")).await;

    assert_eq!(observed(bench, &bench.claim().await).await, ["go", "Go"]);
}

pub async fn no_signal_ends_what_waits_for_an_operator(bench: &Bench) {
    let (held, details) = waits(bench, ResumeCondition::OperatorOnly, &["k"]).await;

    for name in ["n", "__operator_only__", "__timeout_only__"] {
        assert_eq!(send(bench, &held, &details, ("k", name, "x")).await, "no_op");
    }

    assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
}
