//! Which worker may run which execution: capability sets in one canonical text.
//!
//! A gate key is the sorted, comma-joined set of the tokens an execution needs; the empty key
//! lets every worker in. Claims walk the distinct keys of a lane instead of its executions.

use std::collections::BTreeSet;

use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::policy::{CAPS_MAX_BYTES, CAPS_MAX_TOKENS};

/// The canonical text of a set of required tokens, or why a token is not one.
///
/// Refusals are `Validation(InvalidCapabilities)` with a detail that begins with `whose`
/// (`required` or `worker`): `empty_token`, `comma_in_token`, `control_or_whitespace`,
/// `too_many_tokens`, `too_many_bytes`.
pub fn key<'a>(
    whose: &str,
    tokens: impl IntoIterator<Item = &'a str>,
) -> Result<String, EngineError> {
    let tokens: BTreeSet<&str> = tokens.into_iter().collect();
    let refused = |what: &str| {
        Err(EngineError::Validation {
            kind: ValidationKind::InvalidCapabilities,
            detail: format!("{whose}:{what}"),
        })
    };
    for token in &tokens {
        if token.is_empty() {
            return refused("empty_token");
        }
        if token.contains(',') {
            return refused("comma_in_token");
        }
        if token.bytes().any(|byte| byte <= 0x20 || byte == 0x7f) {
            return refused("control_or_whitespace");
        }
    }
    if tokens.len() > CAPS_MAX_TOKENS {
        return refused("too_many_tokens");
    }
    let key = tokens.into_iter().collect::<Vec<_>>().join(",");
    if key.len() > CAPS_MAX_BYTES { refused("too_many_bytes") } else { Ok(key) }
}

/// The tokens of `key` that `worker` lacks, sorted; empty when it may pass.
pub fn missing(key: &str, worker: &BTreeSet<String>) -> Vec<String> {
    key.split(',')
        .filter(|token| !token.is_empty() && !worker.contains(*token))
        .map(str::to_owned)
        .collect()
}

/// Whether a worker with these tokens may run an execution behind `key`.
pub fn opens(key: &str, worker: &BTreeSet<String>) -> bool {
    key.split(',').all(|token| token.is_empty() || worker.contains(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(tokens: &[&str]) -> BTreeSet<String> {
        tokens.iter().map(|&token| token.to_owned()).collect()
    }

    #[test]
    fn a_key_is_sorted_and_says_each_token_once() {
        assert_eq!(key("required", ["gpu", "arm", "gpu"]).unwrap(), "arm,gpu");
        assert_eq!(key("required", []).unwrap(), "");
    }

    #[test]
    fn what_is_no_token_is_refused_by_its_fault() {
        let detail = |tokens: &[&str]| match key("required", tokens.iter().copied()) {
            Err(EngineError::Validation { kind: ValidationKind::InvalidCapabilities, detail }) => {
                detail
            }
            other => panic!("expected a refusal, got {other:?}"),
        };

        assert_eq!(detail(&[""]), "required:empty_token");
        assert_eq!(detail(&["a,b"]), "required:comma_in_token");
        assert_eq!(detail(&["a b"]), "required:control_or_whitespace");
        assert_eq!(detail(&["a\u{7f}"]), "required:control_or_whitespace");
        let many: Vec<String> = (0..=CAPS_MAX_TOKENS).map(|n| format!("t{n:04}")).collect();
        assert_eq!(
            detail(&many.iter().map(String::as_str).collect::<Vec<_>>()),
            "required:too_many_tokens"
        );
        assert!(key("required", many[1..].iter().map(String::as_str)).is_ok());
        assert!(key("required", ["x".repeat(CAPS_MAX_BYTES).as_str()]).is_ok());
        assert_eq!(detail(&["x".repeat(CAPS_MAX_BYTES + 1).as_str()]), "required:too_many_bytes");
    }

    #[test]
    fn a_worker_passes_iff_it_has_every_token() {
        assert!(opens("", &worker(&[])));
        assert!(opens("arm,gpu", &worker(&["gpu", "arm", "big"])));
        assert!(!opens("arm,gpu", &worker(&["gpu"])));
        assert!(!opens("GPU", &worker(&["gpu"])));
        assert_eq!(missing("arm,gpu,tpu", &worker(&["gpu"])), ["arm", "tpu"]);
    }
}
