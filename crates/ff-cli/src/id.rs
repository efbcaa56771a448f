//! Execution ids as people see and type them: `exe_<uuid>`, or any part of its beginning that is unique.

use ff_core::engine_backend::EngineBackend;
use ff_core::types::ExecutionId;

use crate::error::{Error, Exit, Result};

/// What ids of executions begin with.
const PREFIX: &str = "exe_";

/// The hexadecimal digits of a whole UUID.
const DIGITS: usize = 32;

/// The id as it is printed.
pub(crate) fn show(id: &ExecutionId) -> String {
    format!("{PREFIX}{}", id.uuid())
}

/// What a user typed to name an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// The id with its partition.
    Whole(ExecutionId),
    /// The first digits of its UUID, lower case, without hyphens; possibly all of them.
    Prefix(String),
}

/// Reads `exe_…`, a UUID, a beginning of either, or `{fp:N}:<uuid>`.
pub(crate) fn parse(text: &str) -> Result<Named> {
    if text.starts_with('{') {
        return ExecutionId::parse(text).map(Named::Whole).map_err(|error| {
            Error::usage(format!("`{text}` is not an execution id"))
                .why(error.to_string())
                .fix("write it as exe_<uuid>, as `ff exec list` prints it")
        });
    }
    let rest = text.strip_prefix(PREFIX).unwrap_or(text);
    let digits: String =
        rest.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let malformed = digits.is_empty()
        || digits.len() > DIGITS
        || !digits.chars().all(|c| c.is_ascii_hexdigit())
        || rest.starts_with('-');
    if malformed {
        return Err(Error::usage(format!("`{text}` is not an execution id"))
            .why("an id is `exe_` and a UUID, or the first digits of them")
            .fix("`ff exec list` prints the ids"));
    }
    Ok(Named::Prefix(digits))
}

/// Finds the one execution that the text names.
pub(crate) async fn resolve(engine: &dyn EngineBackend, text: &str) -> Result<ExecutionId> {
    let digits = match parse(text)? {
        Named::Whole(id) => return Ok(id),
        Named::Prefix(digits) => digits,
    };
    let found = engine
        .resolve_execution_prefix(&digits)
        .await
        .map_err(|error| Error::engine(&format!("look up `{text}`"), &error))?;
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::new(
            Exit::NotFound,
            "not_found",
            format!("no execution begins with `{text}`"),
        )
        .fix("`ff exec list` shows what there is; --store or FF_STORE names the store")),
        several => Err(Error::new(
            Exit::Conflict,
            "ambiguous",
            format!("`{text}` names more than one execution"),
        )
        .why(format!("among them {}", several.iter().map(full).collect::<Vec<_>>().join(" and ")))
        .fix("give more digits, or the full form {fp:N}:<uuid>")),
    }
}

/// Two ids may share a UUID and differ in their partition, so an ambiguity shows both.
fn full(id: &ExecutionId) -> String {
    format!("{} ({id})", show(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "018f2b6c-7a31-7c55-9d0e-3f1c2b4a5d6e";

    fn prefix(digits: &str) -> Result<Named> {
        Ok(Named::Prefix(digits.to_owned()))
    }

    #[test]
    fn every_spelling_of_an_id_is_understood() {
        let whole = UUID.replace('-', "");
        assert_eq!(parse(UUID), prefix(&whole));
        assert_eq!(parse(&format!("exe_{UUID}")), prefix(&whole));
        assert_eq!(parse(&format!("exe_{}", UUID.to_uppercase())), prefix(&whole));
        assert_eq!(parse("exe_018F2b6c-7"), prefix("018f2b6c7"));
        assert_eq!(parse("0"), prefix("0"));
        let full = format!("{{fp:7}}:{UUID}");
        assert_eq!(parse(&full), Ok(Named::Whole(ExecutionId::parse(&full).unwrap())));
    }

    #[test]
    fn what_is_no_id_is_a_usage_error() {
        let long = format!("{UUID}0");
        for text in
            ["", "exe_", "flo_018f", "xyz", "-1", &long, "{fp:x}:1", "018f 2b6c", "exe_exe_0"]
        {
            assert_eq!(parse(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn an_id_is_printed_with_its_kind() {
        let id = ExecutionId::parse(&format!("{{fp:0}}:{UUID}")).unwrap();
        assert_eq!(show(&id), format!("exe_{UUID}"));
    }
}
