//! Lanes: where work queues.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use serde::{Deserialize, Serialize};

use crate::state::LaneState;
use crate::types::{LaneId, TimestampMs};

/// A page of lanes by name; a cursor means there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListLanesPage {
    pub lanes: Vec<LaneId>,
    pub next_cursor: Option<LaneId>,
}

impl ListLanesPage {
    #[must_use]
    pub fn new(lanes: Vec<LaneId>, next_cursor: Option<LaneId>) -> Self {
        Self { lanes, next_cursor }
    }
}

/// One lane: whether it hands out work, and how much lies in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LaneStatus {
    pub lane_id: LaneId,
    pub state: LaneState,
    pub waiting: u64,
    pub delayed: u64,
    pub active: u64,
    /// `rate_limited`: behind a closed budget or quota.
    pub parked: u64,
    /// When the oldest was created of those that are in line or parked.
    pub oldest_waiting_at: Option<TimestampMs>,
}

impl LaneStatus {
    #[must_use]
    pub fn new(
        lane_id: LaneId,
        state: LaneState,
        waiting: u64,
        delayed: u64,
        active: u64,
        oldest_waiting_at: Option<TimestampMs>,
    ) -> Self {
        Self { lane_id, state, waiting, delayed, active, parked: 0, oldest_waiting_at }
    }

    /// The same with this many parked.
    #[must_use]
    pub fn with_parked(mut self, parked: u64) -> Self {
        self.parked = parked;
        self
    }
}
