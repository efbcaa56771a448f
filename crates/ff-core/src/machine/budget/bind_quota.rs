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
