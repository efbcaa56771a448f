//! Looking at a gate again, and letting out what waits behind it.

use super::gate::{budget_closed, quota_closed};
use super::rows::GateKey;
use super::{NEVER, Wanted, Write};
use crate::EngineError;
use crate::machine::limits::GATE_SWEEP_AGAIN_MS;
use crate::machine::policy::later;
use crate::machine::rows::Execution;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, state};
use crate::state::EligibilityState;
use crate::types::{DurationMs, ExecutionId, LaneId};

/// Looks at a gate of a lane; answers how many it lets through now.
///
/// Closed: it is looked at again when it may open. Open: it stays due for claims, because what is
/// let out may not take the room, behind the gates of its lane that were not looked at for longer;
/// sweeps come back a little later. Safe to repeat.
#[derive(Debug, Clone)]
pub struct LookAtGate {
    /// The lane whose executions wait.
    pub lane: LaneId,
    /// The gate.
    pub gate: GateKey,
}

impl Command for LookAtGate {
    const NAME: &'static str = "budget.look_at_gate";
    type Outcome = u64;

    fn footprint(&self) -> Footprint {
        let mut wanted = Wanted::default();
        let mut footprint = Footprint::default();
        match &self.gate {
            GateKey::Budget(id) => wanted.budget = Some(id.clone()),
            GateKey::Quota(id) => wanted.quota = Some((id.clone(), None, None)),
            GateKey::LaneQuota(id) => {
                wanted.quota = Some((id.clone(), None, None));
                footprint.lane = Some(self.lane.clone());
            }
        }
        footprint.budget = wanted;
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<u64>, EngineError> {
        let (closed, room) = match &self.gate {
            GateKey::Budget(id) => {
                let budget = seen.budget.budget.as_ref();
                (budget.and_then(|budget| budget_closed(id, budget, cx.now)), u64::MAX)
            }
            GateKey::LaneQuota(id) if is_unbound(seen, id) => (None, u64::MAX),
            GateKey::Quota(_) | GateKey::LaneQuota(_) => {
                let quota = seen.budget.quota.as_ref();
                let closed = quota.and_then(|quota| quota_closed(&self.gate, quota, cx.now));
                let room = match quota {
                    Some(Ok(quota)) => quota.room(),
                    Some(Err(_)) | None => 0,
                };
                (closed, room)
            }
        };
        let (room, look_at, sweep_at) = match closed {
            Some(closed) => {
                let look_at = closed.look_at.unwrap_or(NEVER);
                (0, look_at, look_at)
            }
            None => (room, cx.now, later(cx.now, DurationMs(GATE_SWEEP_AGAIN_MS))),
        };
        let (lane, gate) = (self.lane.clone(), self.gate.clone());
        let put = Write::PutGate { lane, gate, look_at, sweep_at };
        Ok(Transition::unchanged(room).change(Change::Budget(put)))
    }
}

/// Whether the lane is no longer bound to the policy. A binding that cannot be read still holds.
fn is_unbound(seen: &Snapshot, id: &crate::types::QuotaPolicyId) -> bool {
    match &seen.lane {
        None => true,
        Some(lane) => match &lane.quota_policy_id {
            Ok(bound) => bound.as_ref() != Some(id),
            Err(_) => false,
        },
    }
}

/// Puts an execution back in line, its gate having room; answers whether it did. Whether all its
/// gates are open is decided when a claim comes to it. Safe to repeat.
#[derive(Debug, Clone)]
pub struct Unpark {
    /// The execution.
    pub execution_id: ExecutionId,
}

impl Command for Unpark {
    const NAME: &'static str = "budget.unpark";
    type Outcome = bool;

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<bool>, EngineError> {
        match seen.execution.as_ref().filter(|execution| is_parked(execution)) {
            None => Ok(Transition::unchanged(false)),
            Some(execution) => Ok(back_in_line(Transition::unchanged(true), execution, cx.now)),
        }
    }
}

/// Whether an execution waits for a budget or a quota.
pub fn is_parked(execution: &Execution) -> bool {
    !execution.is_terminal()
        && matches!(
            execution.state.eligibility_state,
            EligibilityState::BlockedByBudget | EligibilityState::BlockedByQuota
        )
}

/// Whether an execution waits for a quota, its own or its lane's.
pub(super) fn waits_for_quota(execution: &Execution) -> bool {
    is_parked(execution) && execution.state.eligibility_state == EligibilityState::BlockedByQuota
}

pub(super) fn back_in_line<T>(
    transition: Transition<T>,
    execution: &Execution,
    now: crate::types::TimestampMs,
) -> Transition<T> {
    let mut after = execution.clone();
    after.state = state::waiting(execution.state.attempt_state);
    after.blocking_detail = None;
    after.eligible_at = None;
    transition.put(execution, after, now, "room_again")
}

/// Forgets a gate behind which nobody waits. Safe to repeat.
#[derive(Debug, Clone)]
pub struct CloseGate {
    /// The lane.
    pub lane: LaneId,
    /// The gate.
    pub gate: GateKey,
}

impl Command for CloseGate {
    const NAME: &'static str = "budget.close_gate";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn decide(&self, _: &Snapshot, _: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let (lane, gate) = (self.lane.clone(), self.gate.clone());
        Ok(Transition::unchanged(()).change(Change::Budget(Write::DropGate { lane, gate })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Quota;
    use crate::machine::budget::testing::{
        BUDGET, QUOTA, quota, seen_budget, seen_quota, used, writes,
    };
    use crate::machine::execution::testing::{NOW, decide, execution, now_plus, seen};
    use crate::state::AttemptState;
    use crate::types::TimestampMs;

    fn look(gate: GateKey, seen: &Snapshot) -> (u64, TimestampMs, TimestampMs) {
        let command = LookAtGate { lane: LaneId::new("default"), gate };
        let done = decide(&command, seen).unwrap();
        let [Write::PutGate { look_at, sweep_at, .. }] = writes(&done)[..] else {
            panic!("{:?}", done.changes)
        };
        (done.outcome, look_at, sweep_at)
    }

    #[test]
    fn a_closed_gate_is_left_until_it_may_open() {
        let spent = look(GateKey::Budget(BUDGET), &seen_budget(used(10, 10)));
        assert_eq!(spent, (0, NEVER, NEVER));
        let full = Quota { in_window: 2, blocking_entry: Some(NOW), ..quota(2, 0) };
        let rate = look(GateKey::Quota(QUOTA), &seen_quota(full));
        assert_eq!(rate, (0, now_plus(60_000), now_plus(60_000)));
    }

    #[test]
    fn an_open_gate_lets_out_as_many_as_there_is_room_for_and_stays_due_behind_others() {
        let room = Quota { occupied: 1, in_window: 3, ..quota(10, 5) };
        assert_eq!(look(GateKey::Quota(QUOTA), &seen_quota(room)), (4, NOW, now_plus(1_000)));
        assert_eq!(look(GateKey::Budget(BUDGET), &seen_budget(used(10, 9))).0, u64::MAX);
    }

    #[test]
    fn a_lane_that_is_let_go_is_no_gate() {
        let full = Quota { occupied: 5, ..quota(0, 5) };
        assert_eq!(look(GateKey::LaneQuota(QUOTA), &seen_quota(full)).0, u64::MAX);
    }

    #[test]
    fn only_what_is_parked_comes_back_and_its_attempt_stays() {
        let unpark = Unpark { execution_id: execution().id };
        assert!(decide(&unpark, &seen(execution(), None)).unwrap().is_unchanged());

        let mut parked = execution();
        parked.state = state::waiting_for_quota(AttemptState::AttemptInterrupted);
        parked.eligible_at = Some(now_plus(5));
        let done = decide(&unpark, &seen(parked, None)).unwrap();

        assert!(done.outcome);
        assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
        assert_eq!(done.stored().eligible_at, None);
    }
}
