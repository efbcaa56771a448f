//! The summary document: JSON merge patches (RFC 7396), one after the other.
//!
//! A null deletes its key, an object merges into the object at its place, everything else
//! replaces. A string [`SUMMARY_NULL_SENTINEL`] stores null, which a plain null cannot.

use serde_json::{Map, Value};

use crate::EngineError;
use crate::backend::SUMMARY_NULL_SENTINEL;
use crate::engine_error::ValidationKind;
use crate::machine::limits::PATCH_DEPTH_MAX;

/// Reads a patch: a JSON object, nested at most [`PATCH_DEPTH_MAX`] deep, itself included.
pub fn read(bytes: &[u8]) -> Result<Map<String, Value>, EngineError> {
    let refused = |detail: &str| EngineError::Validation {
        kind: ValidationKind::InvalidInput,
        detail: detail.to_owned(),
    };
    let patch = serde_json::from_slice(bytes).map_err(|error| {
        // The parser has a bound of its own on nesting, above ours.
        if error.to_string().contains("recursion limit") {
            refused("patch_depth_exceeded")
        } else {
            refused("patch payload is not valid JSON")
        }
    })?;
    let Value::Object(patch) = patch else { return Err(refused("patch must be a JSON object")) };
    if patch.values().map(depth).max().unwrap_or(0) >= PATCH_DEPTH_MAX {
        return Err(refused("patch_depth_exceeded"));
    }
    Ok(patch)
}

/// How many objects and lists lie inside one another.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The document after the patch. What is no object counts as an empty one.
pub fn merge(document: Value, patch: Map<String, Value>) -> Value {
    let mut members = match document {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                members.remove(&key);
            }
            Value::Object(inner) => {
                let before = members.remove(&key).unwrap_or(Value::Null);
                members.insert(key, merge(before, inner));
            }
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                members.insert(key, stored(other));
            }
        }
    }
    Value::Object(members)
}

/// A value as the document keeps it: without the sentinel, at any depth.
fn stored(value: Value) -> Value {
    match value {
        Value::String(text) if text == SUMMARY_NULL_SENTINEL => Value::Null,
        Value::Array(items) => Value::Array(items.into_iter().map(stored).collect()),
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key, stored(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::refusal;
    use serde_json::json;

    fn merged(document: &Value, patch: &Value) -> Value {
        merge(document.clone(), read(patch.to_string().as_bytes()).unwrap())
    }

    /// The examples of RFC 7396, appendix A, whose patches are objects.
    #[test]
    fn the_examples_of_the_standard_hold() {
        for (document, patch, after) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(&document, &patch), after, "{document} with {patch}");
        }
    }

    #[test]
    fn the_sentinel_stores_a_null_wherever_it_stands() {
        let patch = json!({
            "a": "__ff_null__",
            "b": {"c": "__ff_null__"},
            "d": ["__ff_null__", null, {"e": "__ff_null__"}],
            "f": "__ff_null__ ",
        });
        let after = merged(&json!({"a": 1, "f": "kept"}), &patch);

        assert_eq!(
            after,
            json!({"a": null, "b": {"c": null}, "d": [null, null, {"e": null}], "f": "__ff_null__ "})
        );
        assert_eq!(merged(&after, &json!({"a": null})).get("a"), None);
    }

    #[test]
    fn what_is_no_patch_says_why() {
        for (bytes, why) in [
            (&b"{"[..], "patch payload is not valid JSON"),
            (b"", "patch payload is not valid JSON"),
            (b"\xff", "patch payload is not valid JSON"),
            (b"{} {}", "patch payload is not valid JSON"),
            (b"[]", "patch must be a JSON object"),
            (b"null", "patch must be a JSON object"),
            (b"\"__ff_null__\"", "patch must be a JSON object"),
        ] {
            assert_eq!(refusal(read(bytes)), format!("validation: InvalidInput: {why}"));
        }
    }

    #[test]
    fn a_patch_is_nested_at_most_sixteen_deep() {
        let nested = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        let lists = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));

        assert!(read(nested(16).as_bytes()).is_ok());
        assert!(read(lists(15).as_bytes()).is_ok());
        for deep in [nested(17), lists(16), nested(1_000), lists(1_000)] {
            let refused = refusal(read(deep.as_bytes()));
            assert_eq!(refused, "validation: InvalidInput: patch_depth_exceeded");
        }
    }
}
