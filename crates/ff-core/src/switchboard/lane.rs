//! Lanes: which there are, how much waits on them, and whether they hand out work.

use super::PAGE_MAX;
use crate::contracts::*;
use crate::engine_error::EngineError;
use crate::machine::lane::SetLaneState;
use crate::state::LaneState;
use crate::store::Store;
use crate::types::LaneId;

pub(super) async fn list_lanes<S: Store>(
    store: &S,
    cursor: Option<LaneId>,
    limit: usize,
) -> Result<ListLanesPage, EngineError> {
    let limit = limit.min(PAGE_MAX);
    let lanes = store.read(move |reader| reader.lanes(cursor.as_ref(), limit + 1)).await?;
    let mut lanes: Vec<LaneId> = lanes.into_iter().map(|lane| lane.id).collect();
    let is_more = lanes.len() > limit;
    lanes.truncate(limit);
    let next_cursor = lanes.last().filter(|_| is_more).cloned();
    Ok(ListLanesPage::new(lanes, next_cursor))
}

pub(super) async fn list_lane_status<S: Store>(store: &S) -> Result<Vec<LaneStatus>, EngineError> {
    store
        .read(|reader| {
            let mut found: Vec<LaneStatus> = Vec::new();
            loop {
                let after = found.last().map(|status| status.lane_id.clone());
                let lanes = reader.lanes(after.as_ref(), PAGE_MAX)?;
                if lanes.is_empty() {
                    return Ok(found);
                }
                for lane in lanes {
                    let counts = reader.lane_counts(&lane.id)?;
                    let status = LaneStatus::new(
                        lane.id,
                        lane.state,
                        counts.waiting,
                        counts.delayed,
                        counts.active,
                        counts.oldest_waiting_at,
                    );
                    found.push(status.with_parked(counts.parked));
                }
            }
        })
        .await
}

pub(super) async fn set_lane_state<S: Store>(
    store: &S,
    lane: &LaneId,
    state: LaneState,
) -> Result<(), EngineError> {
    store.execute(SetLaneState { lane: lane.clone(), state }).await
}
