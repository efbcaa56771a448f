//! Searching executions: a bounded walk in id order with every filter in one predicate.

use uuid::Uuid;

use super::present;
use crate::EngineError;
use crate::contracts::{
    ExecutionSummary, FIND_EXECUTIONS_MAX_LIMIT, FindExecutionsArgs, FindExecutionsPage,
};
use crate::engine_error::ValidationKind;
use crate::machine::rows::Execution;
use crate::state::PublicState;
use crate::store::{Reader, Scan};
use crate::types::ExecutionId;

/// Rows that one page examines at most; a page that reaches it ends with a cursor.
const EXAMINED_MAX: usize = 10_000;

/// Rows read at once.
const STEP: usize = 500;

/// One page of a search. The order is that of creation: ids are UUIDv7.
pub(super) fn page(
    reader: &mut dyn Reader,
    args: &FindExecutionsArgs,
) -> Result<FindExecutionsPage, EngineError> {
    if args.limit == 0 {
        return Ok(FindExecutionsPage::new(Vec::new(), None));
    }
    if args.limit > FIND_EXECUTIONS_MAX_LIMIT {
        return Err(invalid(format!(
            "limit is {}; at most {FIND_EXECUTIONS_MAX_LIMIT}",
            args.limit
        )));
    }
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut scan = Scan {
        partition: None,
        after: args.cursor.as_deref().map(parse_cursor).transpose()?,
        descending: args.newest_first,
        state: single_indexed_state(&args.states),
    };
    let mut found: Vec<ExecutionSummary> = Vec::new();
    let mut examined = 0;
    loop {
        let rows = reader.scan(&scan, STEP)?;
        let is_last = rows.len() < STEP;
        examined += rows.len();
        for (execution, attempt) in rows {
            if found.len() == wanted {
                return Ok(FindExecutionsPage::new(found, scan.after.as_ref().map(cursor)));
            }
            scan.after = Some(execution.id.clone());
            if fits(&execution, args) {
                found.push(present::summary(execution, attempt.as_ref()));
            }
        }
        if is_last {
            return Ok(FindExecutionsPage::new(found, None));
        }
        if examined >= EXAMINED_MAX {
            return Ok(FindExecutionsPage::new(found, scan.after.as_ref().map(cursor)));
        }
    }
}

fn fits(execution: &Execution, args: &FindExecutionsArgs) -> bool {
    let tag_fits =
        args.tag.as_ref().is_none_or(|(key, value)| execution.tags.get(key) == Some(value));
    (args.states.is_empty() || args.states.contains(&execution.public_state()))
        && args.lane.as_ref().is_none_or(|lane| *lane == execution.lane)
        && args.kind.as_ref().is_none_or(|kind| *kind == execution.kind)
        && args.namespace.as_ref().is_none_or(|namespace| *namespace == execution.namespace)
        && args.flow_id.as_ref().is_none_or(|flow| Some(flow) == execution.flow_id.as_ref())
        && args.created_from.is_none_or(|from| from <= execution.created_at)
        && args.created_before.is_none_or(|before| execution.created_at < before)
        && tag_fits
}

/// The one state of the search, when it has an index of its own.
fn single_indexed_state(states: &[PublicState]) -> Option<PublicState> {
    match states {
        [
            state @ (PublicState::Failed
            | PublicState::Cancelled
            | PublicState::Expired
            | PublicState::Skipped),
        ] => Some(*state),
        _ => None,
    }
}

fn cursor(id: &ExecutionId) -> String {
    format!("{}.{}", id.partition(), id.uuid().simple())
}

fn parse_cursor(text: &str) -> Result<ExecutionId, EngineError> {
    let parsed = text.split_once('.').and_then(|(partition, uuid)| {
        Some(ExecutionId::from_parts(partition.parse().ok()?, Uuid::try_parse(uuid).ok()?))
    });
    parsed.filter(|id| cursor(id) == text).ok_or_else(|| {
        invalid(format!("cursor {text:?} is not one of this search; use the `next_cursor` given"))
    })
}

/// The UUIDs that begin with the hex digits of `prefix`, hyphens ignored.
pub(super) fn uuid_range(prefix: &str) -> Result<(Uuid, Uuid), EngineError> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect::<String>().to_lowercase();
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > 32 || !is_hex {
        return Err(invalid(format!("{prefix:?} is not the beginning of an execution's UUID")));
    }
    let bound = |fill: char| {
        let text: String = digits.chars().chain(std::iter::repeat(fill)).take(32).collect();
        Uuid::try_parse(&text).map_err(|error| invalid(error.to_string()))
    };
    Ok((bound('0')?, bound('f')?))
}

fn invalid(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_refused() {
        let id = ExecutionId::from_parts(7, Uuid::from_u128(0xabc));

        assert_eq!(parse_cursor(&cursor(&id)).unwrap(), id);
        for text in ["", "7", "7.", "7.xyz", "07.00000000000000000000000000000abc", "70000.0"] {
            assert!(parse_cursor(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_spans_all_uuids_that_begin_with_it() {
        let (low, high) = uuid_range("018F-2").unwrap();

        assert_eq!(low.to_string(), "018f2000-0000-0000-0000-000000000000");
        assert_eq!(high.to_string(), "018f2fff-ffff-ffff-ffff-ffffffffffff");
        assert!(uuid_range("").is_err());
        assert!(uuid_range("018g").is_err());
        assert!(uuid_range(&"0".repeat(33)).is_err());
    }
}
