//! Reserving a place under the limits that the caller gives.

use super::{QuotaPolicy, QuotaRule, Wanted, Write, fitting, invalid};
use crate::EngineError;
use crate::contracts::{CheckAdmissionArgs, CheckAdmissionResult};
use crate::machine::limits::{DELAY_MAX_MS, QUOTA_WINDOW_MAX_SECONDS};
use crate::machine::policy::{later, until};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::{DurationMs, QuotaPolicyId};

/// Admits an execution if the window and the slots have room under the caller's limits; the stored
/// policy is not consulted. Safe to repeat within the window: `AlreadyAdmitted`.
///
/// The admission reserves a slot until it is released, its execution ends, or the window is over;
/// a lease of the execution takes it up. With a bound on concurrency an unknown policy is stored,
/// without limits.
#[derive(Debug, Clone)]
pub struct CheckAdmission {
    /// The policy whose window and slots are meant.
    pub quota_policy_id: QuotaPolicyId,
    /// The call, as the contract shapes it.
    pub args: CheckAdmissionArgs,
}

impl CheckAdmission {
    fn rule(&self) -> QuotaRule {
        QuotaRule {
            window: DurationMs(self.args.window_seconds.saturating_mul(1_000)),
            rate: self.args.rate_limit,
            concurrency: self.args.concurrency_cap,
        }
    }
}

impl Command for CheckAdmission {
    const NAME: &'static str = "budget.check_admission";
    type Outcome = CheckAdmissionResult;

    fn footprint(&self) -> Footprint {
        let quota = Some((
            self.quota_policy_id.clone(),
            Some(self.args.execution_id.clone()),
            Some(self.rule()),
        ));
        Footprint { budget: Wanted { quota, ..Wanted::default() }, ..Footprint::default() }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CheckAdmissionResult>, EngineError> {
        let args = &self.args;
        let op = "check_admission";
        if args.window_seconds > QUOTA_WINDOW_MAX_SECONDS {
            return Err(invalid(format!(
                "{op}: window_seconds is {}; give 0 to {QUOTA_WINDOW_MAX_SECONDS}",
                args.window_seconds
            )));
        }
        if args.jitter_ms.is_some_and(|jitter| jitter > DELAY_MAX_MS) {
            return Err(invalid(format!("{op}: jitter_ms: give 0 to {DELAY_MAX_MS}")));
        }
        fitting(op, "rate_limit", args.rate_limit)?;
        fitting(op, "concurrency_cap", args.concurrency_cap)?;
        let quota = seen.budget.quota()?;
        let rule = self.rule();
        if quota.reserved_until.is_some() {
            return Ok(Transition::unchanged(CheckAdmissionResult::AlreadyAdmitted));
        }
        if let Some(opens_at) = quota.rate_opens_at() {
            let wait = until(cx.now, opens_at).0;
            let retry_after_ms = wait.saturating_add(args.jitter_ms.unwrap_or(0));
            return Ok(Transition::unchanged(CheckAdmissionResult::RateExceeded {
                retry_after_ms,
            }));
        }
        if quota.is_occupied() {
            return Ok(Transition::unchanged(CheckAdmissionResult::ConcurrencyExceeded));
        }
        let active = (rule.concurrency > 0).then(|| quota.occupied + 1);
        let mut transition = Transition::unchanged(CheckAdmissionResult::Admitted);
        if active.is_some() && quota.policy.is_none() {
            transition = transition.change(Change::Budget(Write::PutQuota(QuotaPolicy {
                id: self.quota_policy_id.clone(),
                window_seconds: 0,
                rate: 0,
                concurrency: 0,
                active: 0,
                created_at: cx.now,
                updated_at: cx.now,
            })));
        }
        Ok(transition.change(Change::Budget(Write::Reserve {
            quota_policy_id: self.quota_policy_id.clone(),
            execution_id: args.execution_id.clone(),
            at: cx.now,
            expires_at: later(cx.now, rule.window),
            window_start: rule.window_start(cx.now),
            active,
        })))
    }
}
