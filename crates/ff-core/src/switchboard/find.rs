//! Searching executions: a bounded walk in order of creation with every filter in one predicate.

use std::collections::VecDeque;

use uuid::Uuid;

use super::present;
use crate::EngineError;
use crate::contracts::{
    ExecutionSummary, FIND_EXECUTIONS_MAX_LIMIT, FindExecutionsArgs, FindExecutionsPage,
};
use crate::engine_error::ValidationKind;
use crate::machine::rows::{Attempt, Execution};
use crate::state::PublicState;
use crate::store::{Reader, Scan};
use crate::types::ExecutionId;

/// Rows that one page examines at most; a page that reaches it ends with a cursor.
const EXAMINED_MAX: usize = 10_000;

/// Rows read at once of one partition.
const STEP: usize = 100;

/// One page of a search. The order is that of creation, whatever the partition: ids are UUIDv7.
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
    let mut last = args.cursor.as_deref().map(parse_cursor).transpose()?;
    let mut walk = Walk::open(reader, args, last.as_ref())?;
    let mut found: Vec<ExecutionSummary> = Vec::new();
    let mut examined = 0;
    while let Some((execution, attempt)) = walk.next(reader)? {
        if found.len() == wanted || examined == EXAMINED_MAX {
            return Ok(FindExecutionsPage::new(found, last.as_ref().map(cursor)));
        }
        examined += 1;
        last = Some(execution.id.clone());
        if fits(&execution, args) {
            found.push(present::summary(execution, attempt.as_ref()));
        }
    }
    Ok(FindExecutionsPage::new(found, None))
}

type Row = (Execution, Option<Attempt>);

/// All partitions at once, merged by UUID. A store keeps its rows by partition and then by UUID,
/// so the walk reads a few rows of each and takes the best head.
struct Walk {
    runs: Vec<Run>,
}

/// The rows of one partition, in order, read as they are wanted.
struct Run {
    scan: Scan,
    rows: VecDeque<Row>,
    is_exhausted: bool,
}

impl Walk {
    fn open(
        reader: &mut dyn Reader,
        args: &FindExecutionsArgs,
        after: Option<&ExecutionId>,
    ) -> Result<Self, EngineError> {
        let state = single_indexed_state(&args.states);
        let mut runs = Vec::new();
        let mut probe = Scan { state, ..Scan::default() };
        while let Some((first, _)) = reader.scan(&probe, 1)?.first() {
            let partition = first.id.partition();
            runs.push(Run {
                scan: Scan {
                    partition: Some(partition),
                    after: after.and_then(|after| behind(after, partition, args.newest_first)),
                    descending: args.newest_first,
                    state,
                },
                rows: VecDeque::new(),
                is_exhausted: false,
            });
            probe.after = Some(ExecutionId::from_parts(partition, Uuid::max()));
        }
        Ok(Self { runs })
    }

    fn next(&mut self, reader: &mut dyn Reader) -> Result<Option<Row>, EngineError> {
        for run in &mut self.runs {
            run.fill(reader)?;
        }
        let heads = self.runs.iter_mut().filter(|run| !run.rows.is_empty());
        let best = heads.min_by(|a, b| {
            let order = a.place().cmp(&b.place());
            if a.scan.descending { order.reverse() } else { order }
        });
        Ok(best.and_then(|run| run.rows.pop_front()))
    }
}

impl Run {
    fn fill(&mut self, reader: &mut dyn Reader) -> Result<(), EngineError> {
        if self.rows.is_empty() && !self.is_exhausted {
            let rows = reader.scan(&self.scan, STEP)?;
            self.is_exhausted = rows.len() < STEP;
            if let Some((last, _)) = rows.last() {
                self.scan.after = Some(last.id.clone());
            }
            self.rows = rows.into();
        }
        Ok(())
    }

    fn place(&self) -> Option<(Uuid, u16)> {
        self.rows.front().map(|(execution, _)| (execution.id.uuid(), execution.id.partition()))
    }
}

/// Where a partition goes on behind `last` of another one: by UUID, then by partition.
fn behind(last: &ExecutionId, partition: u16, descending: bool) -> Option<ExecutionId> {
    let uuid = last.uuid();
    let still_open =
        if descending { partition < last.partition() } else { partition > last.partition() };
    let exclusive = match (still_open, descending) {
        (false, _) => Some(uuid),
        (true, false) => uuid.as_u128().checked_sub(1).map(Uuid::from_u128),
        (true, true) => uuid.as_u128().checked_add(1).map(Uuid::from_u128),
    };
    exclusive.map(|uuid| ExecutionId::from_parts(partition, uuid))
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
