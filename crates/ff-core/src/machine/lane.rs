//! Lanes: pausing and resuming the line.

use super::rows::Lane;
use super::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::state::LaneState;
use crate::types::LaneId;

/// Sets a lane's state. A lane that nobody used yet may be paused beforehand. Safe to repeat.
///
/// While a lane is paused nothing of it is claimed; what runs goes on. `draining` and `disabled`
/// are refused: no rule distinguishes them from `paused`.
#[derive(Debug, Clone)]
pub struct SetLaneState {
    /// The lane.
    pub lane: LaneId,
    /// Its new state.
    pub state: LaneState,
}

impl Command for SetLaneState {
    const NAME: &'static str = "lane.set_state";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint { lane: Some(self.lane.clone()), ..Footprint::default() }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        match self.state {
            LaneState::Active | LaneState::Paused => {}
            LaneState::Draining | LaneState::Disabled => {
                return Err(EngineError::Validation {
                    kind: ValidationKind::InvalidInput,
                    detail: format!(
                        "lane state `{}` is not supported; use `active` or `paused`",
                        self.state.as_str()
                    ),
                });
            }
        }
        if let Err(error) = LaneId::try_new(self.lane.as_str()) {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!("lane {:?}: {error}", self.lane.as_str()),
            });
        }
        let registered_at = seen.lane.as_ref().map_or(cx.now, |lane| lane.registered_at);
        if seen.lane.as_ref().is_some_and(|lane| lane.state == self.state) {
            return Ok(Transition::unchanged(()));
        }
        Ok(Transition::unchanged(()).change(Change::PutLane(Lane {
            id: self.lane.clone(),
            state: self.state,
            registered_at,
        })))
    }
}
