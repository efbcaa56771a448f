//! The summary: one document, merged patch by patch.

use ff_core::backend::{PatchKind, SummaryDocument};
use ff_core::engine_error::ValidationKind;
use ff_core::types::AttemptIndex;
use serde_json::{Value, json};

use super::{append, patch, payloads, stream_of, text, try_append};
use crate::harness::{Bench, Held, Refusal};

async fn summary(bench: &Bench, held: &Held) -> Option<SummaryDocument> {
    let index = AttemptIndex(held.attempt());
    bench.engine.read_summary(held.execution(), index).await.expect("a read")
}

async fn document(bench: &Bench, held: &Held) -> Value {
    let summary = summary(bench, held).await.expect("a summary");
    serde_json::from_slice(&summary.document_json).expect("JSON")
}

pub async fn without_a_patch_there_is_none(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("{}")).await;

    assert_eq!(summary(bench, &held).await, None);
    let unknown = bench.new_id();
    assert_eq!(bench.engine.read_summary(&unknown, AttemptIndex(0)).await.unwrap(), None);
}

pub async fn versions_rise_by_one_and_times_tell_first_and_last(bench: &Bench) {
    let held = bench.claimed().await;
    let first = bench.now().0.unsigned_abs();
    for version in 1..=3 {
        let outcome = append(bench, &held, patch(r#"{"n": 1}"#)).await;
        assert_eq!(outcome.summary_version, Some(version));
        bench.advance(7);
    }

    let stored = summary(bench, &held).await.unwrap();

    assert_eq!((stored.version, stored.patch_kind), (3, PatchKind::JsonMergePatch));
    assert_eq!((stored.first_applied_ms, stored.last_updated_ms), (first, first + 14));
}

pub async fn patches_merge_delete_and_store_null(bench: &Bench) {
    let held = bench.claimed().await;
    for step in [
        r#"{"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": true}"#,
        r#"{"a": null, "b": {"c": [3], "f": "__ff_null__"}}"#,
        r#"{"g": {"h": {}}, "i": ["__ff_null__"]}"#,
    ] {
        append(bench, &held, patch(step)).await;
    }

    let expected = json!({
        "b": {"c": [3], "d": "x", "f": null}, "e": true, "g": {"h": {}}, "i": [null]
    });
    assert_eq!(document(bench, &held).await, expected);
    let stored = summary(bench, &held).await.unwrap().document_json;
    assert!(!String::from_utf8(stored).unwrap().contains("__ff_null__"));
}

/// The frame keeps the patch, the summary the document.
pub async fn a_patch_is_a_frame_too(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("line")).await;
    let outcome = append(bench, &held, patch(r#"{"a":null}"#)).await;

    let stream = stream_of(bench, held.execution(), 0).await;

    assert_eq!((outcome.frame_count, outcome.summary_version), (2, Some(1)));
    assert_eq!(payloads(&stream), ["line", r#"{"a":null}"#]);
    assert_eq!(stream.frames[1].fields["mode"], "summary");
    assert_eq!(stream.frames[1].fields["summary_version"], "1");
    assert_eq!(document(bench, &held).await, json!({}));
}

pub async fn what_is_no_patch_is_refused_and_changes_nothing(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, patch(r#"{"a": 1}"#)).await;
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for (bytes, why) in [
        ("{".to_owned(), "patch payload is not valid JSON"),
        (String::new(), "patch payload is not valid JSON"),
        ("[1]".to_owned(), "patch must be a JSON object"),
        ("null".to_owned(), "patch must be a JSON object"),
        (deep(17), "patch_depth_exceeded"),
        (deep(1_000), "patch_depth_exceeded"),
    ] {
        let refused = bench.unchanged_by(try_append(bench, &held, patch(&bytes))).await;
        assert_eq!(refused.must_be_invalid(), why);
    }
    append(bench, &held, patch(&deep(16))).await;
    assert_eq!(summary(bench, &held).await.unwrap().version, 2);
}

pub async fn a_document_has_at_most_256_kibibytes(bench: &Bench) {
    let held = bench.claimed().await;
    let filled =
        |key: &str, bytes: usize| patch(&format!("{{\"{key}\":\"{}\"}}", "x".repeat(bytes)));
    for key in ["a", "b", "c", "d"] {
        append(bench, &held, filled(key, 65_000)).await;
    }
    // Braces, the quotes, key and colon of five members, and the commas between them.
    append(bench, &held, filled("e", 262_144 - 2 - 5 * 6 - 4 - 4 * 65_000)).await;
    let full = summary(bench, &held).await.unwrap().document_json.len();
    assert_eq!(full, 262_144);

    let refused = bench.unchanged_by(try_append(bench, &held, patch(r#"{"f":1}"#))).await;

    let told = refused.must_be_validation(&ValidationKind::RetentionLimitExceeded);
    assert!(told.contains("262144"), "{told}");
    append(bench, &held, patch(r#"{"e":null,"f":1}"#)).await;
}

pub async fn each_attempt_has_a_summary_of_its_own(bench: &Bench) {
    let first = bench.claimed().await;
    append(bench, &first, patch(r#"{"a": 1}"#)).await;
    bench.let_lease_expire(&first).await;
    let second = bench.claim().await;

    assert_eq!(summary(bench, &second).await, None);
    let outcome = append(bench, &second, patch(r#"{"b": 2}"#)).await;

    assert_eq!(outcome.summary_version, Some(1));
    assert_eq!(document(bench, &first).await, json!({"a": 1}));
    assert_eq!(document(bench, &second).await, json!({"b": 2}));
}
