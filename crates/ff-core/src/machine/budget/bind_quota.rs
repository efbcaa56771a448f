//! Holding a lane or an execution to a quota policy, and ending that.

use super::rows::GateKey;
use super::{AT_ONCE, Wanted, Write, reopen, unreadable};
use crate::EngineError;
use crate::contracts::{BindQuotaArgs, BindQuotaResult, QuotaTarget, UnbindQuotaResult};
use crate::engine_error::ValidationKind;
use crate::machine::fence::not_active;
use crate::machine::rows::Execution;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::state::EligibilityState;
use crate::types::{LaneId, QuotaPolicyId};

/// Binds a target to a policy, in place of an earlier one. Safe to repeat.
///
/// It governs leases that begin from now on; those that live take no slot. What waits behind the
/// earlier policy is looked at again. An unknown policy is `NotFound("quota_policy")`.
#[derive(Debug, Clone)]
pub struct BindQuota {
    /// The call.
    pub args: BindQuotaArgs,
}

impl Command for BindQuota {
    const NAME: &'static str = "budget.bind_quota";
    type Outcome = BindQuotaResult;

    fn footprint(&self) -> Footprint {
        let quota = Some((self.args.quota_policy_id.clone(), None, None));
        let budget = Wanted { quota, ..Wanted::default() };
        Footprint { budget, ..target_footprint(&self.args.target) }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<BindQuotaResult>, EngineError> {
        let policy = &self.args.quota_policy_id;
        let before = bound(&self.args.target, seen)?;
        if seen.budget.quota()?.policy.is_none() {
            return Err(EngineError::NotFound { entity: "quota_policy" });
        }
        if before.as_ref() == Some(policy) {
            return Ok(Transition::unchanged(BindQuotaResult::AlreadyBound));
        }
        let bound = Transition::unchanged(BindQuotaResult::Bound);
        Ok(rebind(bound, &self.args.target, seen, before, Some(policy.clone()), cx))
    }
}

/// Ends the binding of a target; what waits behind it is looked at again. Safe to repeat.
#[derive(Debug, Clone)]
pub struct UnbindQuota {
    /// What is bound.
    pub target: QuotaTarget,
}

impl Command for UnbindQuota {
    const NAME: &'static str = "budget.unbind_quota";
    type Outcome = UnbindQuotaResult;

    fn footprint(&self) -> Footprint {
        target_footprint(&self.target)
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<UnbindQuotaResult>, EngineError> {
        let Some(before) = bound(&self.target, seen)? else {
            return Ok(Transition::unchanged(UnbindQuotaResult::NotBound));
        };
        let outcome = UnbindQuotaResult::Unbound { quota_policy_id: before.clone() };
        Ok(rebind(Transition::unchanged(outcome), &self.target, seen, Some(before), None, cx))
    }
}

fn target_footprint(target: &QuotaTarget) -> Footprint {
    match target {
        QuotaTarget::Lane(lane) => Footprint { lane: Some(lane.clone()), ..Footprint::default() },
        QuotaTarget::Execution(id) => Footprint::execution(id),
    }
}

/// What a target is bound to; a target that cannot be bound is refused.
fn bound(target: &QuotaTarget, seen: &Snapshot) -> Result<Option<QuotaPolicyId>, EngineError> {
    match target {
        QuotaTarget::Lane(lane) => {
            if let Err(error) = LaneId::try_new(lane.as_str()) {
                return Err(EngineError::Validation {
                    kind: ValidationKind::InvalidInput,
                    detail: format!("lane {:?}: {error}", lane.as_str()),
                });
            }
            match seen.lane.as_ref().map(|row| &row.quota_policy_id) {
                Some(Err(detail)) => Err(unreadable(detail)),
                Some(Ok(bound)) => Ok(bound.clone()),
                None => Ok(None),
            }
        }
        QuotaTarget::Execution(_) => {
            let execution = seen.execution()?;
            if execution.is_terminal() {
                return Err(not_active(execution, seen.current.as_ref()));
            }
            Ok(execution.quota_policy_id.clone())
        }
    }
}

fn rebind<T>(
    transition: Transition<T>,
    target: &QuotaTarget,
    seen: &Snapshot,
    before: Option<QuotaPolicyId>,
    after: Option<QuotaPolicyId>,
    cx: &Context<'_>,
) -> Transition<T> {
    match target {
        QuotaTarget::Lane(lane) => {
            let bind = Write::BindLane { lane: lane.clone(), quota_policy_id: after, at: cx.now };
            let transition = transition.change(Change::Budget(bind));
            let Some(before) = before else { return transition };
            transition.change(Change::Budget(Write::PutGate {
                lane: lane.clone(),
                gate: GateKey::LaneQuota(before),
                look_at: AT_ONCE,
                sweep_at: AT_ONCE,
            }))
        }
        QuotaTarget::Execution(execution_id) => {
            let bind = Write::BindExecution {
                execution_id: execution_id.clone(),
                quota_policy_id: after.clone(),
            };
            let transition = transition.change(Change::Budget(bind));
            // What waits for a quota is asked again at the next claim.
            match seen
                .execution
                .as_ref()
                .filter(|row| row.state.eligibility_state == EligibilityState::BlockedByQuota)
            {
                Some(execution) => {
                    let rebound = Execution { quota_policy_id: after, ..execution.clone() };
                    reopen::back_in_line(transition, &rebound, cx.now)
                }
                None => transition,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Quota;
    use crate::machine::budget::testing::{QUOTA, quota, seen_quota, writes};
    use crate::machine::execution::testing::{NOW, decide, ended, execution, refusal};
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::state;
    use crate::state::TerminalOutcome;

    const OTHER: QuotaPolicyId = QuotaPolicyId::from_uuid(uuid::Uuid::from_u128(81));

    fn bind() -> BindQuota {
        let target = QuotaTarget::Execution(execution().id);
        BindQuota { args: BindQuotaArgs::new(target, QUOTA) }
    }

    fn with(execution: Execution) -> Snapshot {
        Snapshot { execution: Some(execution), ..seen_quota(quota(1, 1)) }
    }

    #[test]
    fn an_execution_is_bound_once_and_to_what_exists() {
        let done = decide(&bind(), &with(execution())).unwrap();
        let bound =
            Write::BindExecution { execution_id: execution().id, quota_policy_id: Some(QUOTA) };
        assert_eq!(writes(&done), [bound]);
        assert_eq!(done.outcome, BindQuotaResult::Bound);

        let mut held = execution();
        held.quota_policy_id = Some(QUOTA);
        let again = decide(&bind(), &with(held)).unwrap();
        assert_eq!((again.outcome, again.changes.len()), (BindQuotaResult::AlreadyBound, 0));

        let mut unknown = with(execution());
        unknown.budget.quota = Some(Ok(Quota { policy: None, ..quota(1, 1) }));
        assert!(refusal(decide(&bind(), &unknown)).contains("quota_policy"));
        let (over, _) = ended(TerminalOutcome::Success, AttemptOutcome::Success);
        assert!(refusal(decide(&bind(), &with(over))).contains("ExecutionNotActive"));
    }

    #[test]
    fn what_waits_behind_the_earlier_policy_comes_back_in_line() {
        let mut parked = execution();
        parked.quota_policy_id = Some(OTHER);
        parked.state = state::waiting_for_quota(parked.state.attempt_state);

        let rebound = decide(&bind(), &with(parked.clone())).unwrap();
        assert!(rebound.stored().is_claimable());
        assert_eq!(rebound.stored().quota_policy_id, Some(QUOTA));

        let unbind = UnbindQuota { target: QuotaTarget::Execution(parked.id.clone()) };
        let freed = decide(&unbind, &with(parked)).unwrap();
        assert_eq!(freed.outcome, UnbindQuotaResult::Unbound { quota_policy_id: OTHER });
        assert_eq!(freed.stored().quota_policy_id, None);
        let unbound = decide(&unbind, &with(execution())).unwrap();
        assert_eq!((unbound.outcome, unbound.changes.len()), (UnbindQuotaResult::NotBound, 0));
    }

    #[test]
    fn a_lane_whose_binding_cannot_be_read_is_not_bound_anew() {
        let lane = |quota_policy_id| crate::machine::rows::Lane {
            id: execution().lane,
            state: crate::state::LaneState::Active,
            registered_at: NOW,
            quota_policy_id,
        };
        let target = QuotaTarget::Lane(execution().lane);
        let bind = BindQuota { args: BindQuotaArgs::new(target, QUOTA) };
        let seen = |bound| Snapshot { lane: Some(lane(bound)), ..seen_quota(quota(1, 1)) };

        let unreadable = decide(&bind, &seen(Err("ff_lane.quota_policy_id".to_owned())));
        assert!(refusal(unreadable).contains("ff_lane.quota_policy_id"));
        let moved = writes(&decide(&bind, &seen(Ok(Some(OTHER)))).unwrap());
        let gate = GateKey::LaneQuota(OTHER);
        let is_look = |write: &Write| {
            matches!(write, Write::PutGate { gate: own, look_at, .. }
                if *own == gate && *look_at == AT_ONCE)
        };
        assert!(moved.iter().any(is_look), "{moved:?}");
    }
}
