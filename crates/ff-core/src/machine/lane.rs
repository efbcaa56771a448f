//! Lanes: pausing and resuming the line.

use super::rows::Lane;
use super::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::state::LaneState;
use crate::types::LaneId;

/// Sets a lane's state. A lane that nobody used yet may be paused beforehand. Safe to repeat.
///
/// While a lane is paused its line hands out nothing: no `claim` and no scheduler takes from it. An
/// execution that an operator or a grant names can still be taken; what runs goes on. `draining` and `disabled`
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
        let quota_policy_id =
            seen.lane.as_ref().map_or(Ok(None), |lane| lane.quota_policy_id.clone());
        Ok(Transition::unchanged(()).change(Change::PutLane(Lane {
            id: self.lane.clone(),
            state: self.state,
            registered_at,
            quota_policy_id,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{CREATED, NOW, decide, refusal};

    fn set(lane: &str, state: LaneState) -> SetLaneState {
        SetLaneState { lane: LaneId::new(lane), state }
    }

    fn lane(state: LaneState) -> Lane {
        Lane {
            id: LaneId::new("default"),
            state,
            registered_at: CREATED,
            quota_policy_id: Ok(None),
        }
    }

    fn seen(lane: Lane) -> Snapshot {
        Snapshot { lane: Some(lane), ..Snapshot::default() }
    }

    #[test]
    fn a_lane_is_paused_and_resumed_and_keeps_its_age() {
        for (from, to) in
            [(LaneState::Active, LaneState::Paused), (LaneState::Paused, LaneState::Active)]
        {
            let done = decide(&set("default", to), &seen(lane(from))).unwrap();

            assert_eq!(done.changes, [Change::PutLane(lane(to))]);
            assert_eq!(done.opens_work(), to == LaneState::Active);
        }
    }

    #[test]
    fn a_lane_that_nobody_used_yet_is_paused_beforehand() {
        let done = decide(&set("default", LaneState::Paused), &Snapshot::default()).unwrap();

        let registered = Lane { registered_at: NOW, ..lane(LaneState::Paused) };
        assert_eq!(done.changes, [Change::PutLane(registered)]);
    }

    #[test]
    fn a_repeat_writes_nothing() {
        for state in [LaneState::Active, LaneState::Paused] {
            let done = decide(&set("default", state), &seen(lane(state))).unwrap();
            assert!(done.is_unchanged());
        }
    }

    #[test]
    fn states_that_no_rule_tells_from_paused_are_refused() {
        for state in [LaneState::Draining, LaneState::Disabled] {
            assert_eq!(
                refusal(decide(&set("default", state), &Snapshot::default())),
                format!(
                    "validation: InvalidInput: lane state `{state}` is not supported; use \
                     `active` or `paused`"
                )
            );
        }
    }

    #[test]
    fn what_is_no_name_of_a_lane_is_refused() {
        let refused = refusal(decide(&set("", LaneState::Paused), &Snapshot::default()));

        assert!(refused.starts_with("validation: InvalidInput: lane \"\""), "{refused}");
    }
}
