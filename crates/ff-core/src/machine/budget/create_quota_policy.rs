//! Creating a quota policy.

use super::{Quota, QuotaPolicy, Wanted, Write, fitting, invalid};
use crate::EngineError;
use crate::contracts::{CreateQuotaPolicyArgs, CreateQuotaPolicyResult};
use crate::machine::limits::QUOTA_WINDOW_MAX_SECONDS;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};

/// Stores a new quota policy. Safe to repeat: a known id answers `AlreadySatisfied` and nothing is
/// compared.
#[derive(Debug, Clone)]
pub struct CreateQuotaPolicy {
    /// The call, as the contract shapes it.
    pub args: CreateQuotaPolicyArgs,
}

impl Command for CreateQuotaPolicy {
    const NAME: &'static str = "budget.create_quota_policy";
    type Outcome = CreateQuotaPolicyResult;

    fn footprint(&self) -> Footprint {
        let quota = Some((self.args.quota_policy_id.clone(), None, None));
        Footprint { budget: Wanted { quota, ..Wanted::default() }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CreateQuotaPolicyResult>, EngineError> {
        let args = &self.args;
        let op = "create_quota_policy";
        if args.window_seconds > QUOTA_WINDOW_MAX_SECONDS {
            return Err(invalid(format!(
                "{op}: window_seconds is {}; give 0 to {QUOTA_WINDOW_MAX_SECONDS}",
                args.window_seconds
            )));
        }
        fitting(op, "max_requests_per_window", args.max_requests_per_window)?;
        fitting(op, "max_concurrent", args.max_concurrent)?;
        let quota_policy_id = args.quota_policy_id.clone();
        if let Some(Ok(Quota { policy: Some(_), .. }) | Err(_)) = &seen.budget.quota {
            seen.budget.quota()?;
            let outcome = CreateQuotaPolicyResult::AlreadySatisfied { quota_policy_id };
            return Ok(Transition::unchanged(outcome));
        }
        let policy = QuotaPolicy {
            id: quota_policy_id.clone(),
            window_seconds: args.window_seconds,
            rate: args.max_requests_per_window,
            concurrency: args.max_concurrent,
            active: 0,
            created_at: cx.now,
            updated_at: cx.now,
        };
        let outcome = CreateQuotaPolicyResult::Created { quota_policy_id: quota_policy_id.clone() };
        Ok(Transition::unchanged(outcome)
            .change(Change::Budget(Write::PutQuota(policy)))
            .change(Change::Budget(Write::WakeQuota { quota_policy_id })))
    }
}
