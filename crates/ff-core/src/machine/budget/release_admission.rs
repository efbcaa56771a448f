//! Giving back a reservation.

use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::{ReleaseAdmissionArgs, ReleaseAdmissionResult};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Ends an execution's reservation; the rate is not refunded. Safe to repeat: without a
/// reservation nothing happens, so a second release frees nobody else's slot.
#[derive(Debug, Clone)]
pub struct ReleaseAdmission {
    /// The call, as the contract shapes it.
    pub args: ReleaseAdmissionArgs,
}

impl Command for ReleaseAdmission {
    const NAME: &'static str = "budget.release_admission";
    type Outcome = ReleaseAdmissionResult;

    fn footprint(&self) -> Footprint {
        let args = &self.args;
        let quota = Some((args.quota_policy_id.clone(), Some(args.execution_id.clone()), None));
        let budget = Wanted { quota, counts_all: true, ..Wanted::default() };
        Footprint { budget, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<ReleaseAdmissionResult>, EngineError> {
        let quota = seen.budget.quota()?;
        let released = Transition::unchanged(ReleaseAdmissionResult::Released);
        if quota.reserved_until.is_none() {
            return Ok(released);
        }
        let quota_policy_id = self.args.quota_policy_id.clone();
        Ok(released
            .change(Change::Budget(Write::DropReservation {
                quota_policy_id: quota_policy_id.clone(),
                execution_id: self.args.execution_id.clone(),
                active: quota.occupied,
                at: cx.now,
            }))
            .change(Change::Budget(Write::WakeQuota { quota_policy_id })))
    }
}
