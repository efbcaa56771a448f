//! Lanes in random sequences: listed, counted, opened and closed.

use ff_core::state::LaneState;
use ff_core::types::LaneId;

use super::alphabet::LANES;
use super::compare::Answer;
use crate::probe::Engine;

const LANE_STATES: [LaneState; 4] =
    [LaneState::Active, LaneState::Paused, LaneState::Draining, LaneState::Disabled];

/// One call about lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Set { lane: u8, state: u8 },
    List { after: Option<u8>, limit: usize },
    Status,
}

pub(super) async fn ask(engine: &Engine, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Set { lane: index, state } => {
            let state = LANE_STATES[usize::from(*state)];
            Answer::new("set_lane_state", backend.set_lane_state(&lane(*index), state).await)
        }
        Call::List { after, limit } => {
            Answer::new("list_lanes", backend.list_lanes(after.map(lane), *limit).await)
        }
        Call::Status => Answer::new("list_lane_status", backend.list_lane_status().await),
    }
}

pub(super) fn lane(index: u8) -> LaneId {
    LaneId::new(LANES[usize::from(index) % LANES.len()])
}
