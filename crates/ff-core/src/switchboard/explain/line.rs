//! How many stand before an execution.

use super::settled;
use crate::contracts::{LINE_POSITION_MAX, LinePosition};
use crate::engine_error::EngineError;
use crate::machine::rows::{Candidate, Execution};
use crate::machine::{Footprint, drive};
use crate::store::Reader;
use crate::types::{QuotaPolicyId, TimestampMs};

/// Executions of a line that one search reads; also the most due ones that are looked at, as a
/// claim does.
const LINE_PAGE: usize = 256;

/// How many of the same lane, behind the same capabilities, stand before it: those that are in
/// line, and those that are due to be put there. Whoever has a reservation passes those without
/// one while the quota of the lane is full.
pub(super) fn position(
    reader: &mut dyn Reader,
    execution: &Execution,
    lane_quota: Option<&QuotaPolicyId>,
    now: TimestampMs,
) -> Result<LinePosition, EngineError> {
    let (lane, gate_key) = (&execution.lane, &execution.gate_key);
    let place = candidate(execution).order();
    let passes = match lane_quota.filter(|_| execution.reserves_slots) {
        None => false,
        Some(quota) => drive::is_full(reader, lane, quota, now)?,
    };
    let mut ahead = due_before(reader, execution, passes, now)?;
    let mut last: Option<Candidate> = None;
    loop {
        let page = match passes {
            false => reader.candidates(lane, gate_key, last.as_ref(), LINE_PAGE)?,
            true => reader.reserved(lane, gate_key, last.as_ref(), LINE_PAGE)?,
        };
        let before = page.iter().take_while(|candidate| candidate.order() < place).count();
        ahead += before;
        let is_whole = before < page.len() || page.is_empty();
        if is_whole || ahead >= LINE_POSITION_MAX {
            return Ok(LinePosition::new(ahead as u64, !is_whole));
        }
        last = page.into_iter().next_back();
    }
}

/// Those that stand nowhere yet, but whose instant has come and puts them before it.
fn due_before(
    reader: &mut dyn Reader,
    execution: &Execution,
    passes: bool,
    now: TimestampMs,
) -> Result<usize, EngineError> {
    let place = candidate(execution).order();
    let mut found = 0;
    for id in reader.due(now, LINE_PAGE)? {
        let mut footprint = Footprint::execution(&id);
        footprint.suspension.open = true;
        let stored = reader.load(&footprint)?;
        let was_in_line = stored.execution.as_ref().is_some_and(Execution::is_claimable);
        let Some(other) = settled(stored, now).execution else { continue };
        let is_new = !was_in_line && other.is_claimable() && (other.reserves_slots || !passes);
        let is_here = other.lane == execution.lane && other.gate_key == execution.gate_key;
        if is_new && is_here && candidate(&other).order() < place {
            found += 1;
        }
    }
    Ok(found)
}

fn candidate(execution: &Execution) -> Candidate {
    Candidate {
        execution_id: execution.id.clone(),
        priority: execution.priority,
        created_at: execution.created_at,
    }
}
