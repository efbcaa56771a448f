//! Tags: set and read, in any state.

use crate::harness::{Bench, Refusal};

const MALFORMED: [&str; 6] = ["", "app", "app.", "App.x", "1a.x", "app.X"];

pub async fn a_tag_is_stored_and_overwritten(bench: &Bench) {
    let id = bench.submit().await;

    bench.engine.set_execution_tag(&id, "app.owner", "ann").await.unwrap();
    bench.engine.set_execution_tag(&id, "app.owner", "bob").await.unwrap();

    let read = bench.engine.get_execution_tag(&id, "app.owner").await.unwrap();
    assert_eq!(read.as_deref(), Some("bob"));
    assert_eq!(bench.summary(&id).await.tags.len(), 1);
}

pub async fn the_same_tag_again_writes_nothing(bench: &Bench) {
    let id = bench.submit().tag("app.owner", "ann").await;

    bench.unchanged_by(bench.engine.set_execution_tag(&id, "app.owner", "ann")).await.unwrap();
}

pub async fn a_tag_can_be_set_in_any_state(bench: &Bench) {
    let held = bench.completed().await;

    bench.engine.set_execution_tag(held.execution(), "app.seen", "yes").await.unwrap();

    let read = bench.engine.get_execution_tag(held.execution(), "app.seen").await.unwrap();
    assert_eq!(read.as_deref(), Some("yes"));
}

pub async fn a_tag_does_not_disturb_the_lease(bench: &Bench) {
    let held = bench.claimed().await;

    bench.engine.set_execution_tag(held.execution(), "app.seen", "yes").await.unwrap();

    held.renew().await.unwrap();
    held.complete(None).await.unwrap();
}

pub async fn a_malformed_key_is_refused_before_anything_else(bench: &Bench) {
    let (id, unknown) = (bench.submit().await, bench.new_id());

    for key in MALFORMED {
        for id in [&id, &unknown] {
            let refused = bench.unchanged_by(bench.engine.set_execution_tag(id, key, "v")).await;
            let detail = refused.must_be_invalid();
            assert!(detail.contains(&format!("invalid tag key: \"{key}\"")), "{detail}");
            bench.engine.get_execution_tag(id, key).await.must_be_invalid();
        }
    }
}

pub async fn a_tag_on_nothing_is_not_found_and_reads_as_none(bench: &Bench) {
    let (id, unknown) = (bench.submit().await, bench.new_id());

    let refused = bench.unchanged_by(bench.engine.set_execution_tag(&unknown, "a.b", "v")).await;

    refused.must_be_not_found("execution");
    assert_eq!(bench.engine.get_execution_tag(&unknown, "a.b").await.unwrap(), None);
    assert_eq!(bench.engine.get_execution_tag(&id, "a.b").await.unwrap(), None);
}

pub async fn the_limits_of_a_tag_hold(bench: &Bench) {
    let id = bench.submit().await;
    let key = format!("a.{}", "k".repeat(126));
    let value = "v".repeat(1_024);
    bench.engine.set_execution_tag(&id, &key, &value).await.unwrap();

    let longer_key = format!("{key}k");
    let refused = bench.unchanged_by(bench.engine.set_execution_tag(&id, &longer_key, "")).await;
    refused.must_be_invalid();
    let longer = format!("{value}v");
    bench.unchanged_by(bench.engine.set_execution_tag(&id, "a.b", &longer)).await.must_be_invalid();
}

pub async fn the_sixty_fifth_tag_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    for n in 0..64 {
        bench.engine.set_execution_tag(&id, &format!("a.t{n}"), "v").await.unwrap();
    }

    bench.unchanged_by(bench.engine.set_execution_tag(&id, "a.t64", "v")).await.must_be_invalid();

    bench.engine.set_execution_tag(&id, "a.t0", "other").await.unwrap();
}
