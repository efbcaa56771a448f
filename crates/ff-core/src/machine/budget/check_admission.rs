//! Reserving a place under the limits that the caller gives.

use super::reopen::waits_for_quota;
use super::{QuotaPolicy, QuotaRule, Wanted, Write, fitting, invalid, reopen};
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
        let budget = Wanted { quota, ..Wanted::default() };
        Footprint { budget, ..Footprint::execution(&self.args.execution_id) }
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
        // Its own reservation would keep the gate closed that it waits behind: it is asked again at
        // the next claim.
        if let Some(execution) = seen.execution.as_ref().filter(|row| waits_for_quota(row)) {
            transition = reopen::back_in_line(transition, execution, cx.now);
        }
        // The policy counts its own window, however short the caller's is.
        let policy = quota.policy.as_ref().map(|policy| QuotaRule::of(policy).window_start(cx.now));
        let window_start = rule.window_start(cx.now);
        Ok(transition.change(Change::Budget(Write::Reserve {
            quota_policy_id: self.quota_policy_id.clone(),
            execution_id: args.execution_id.clone(),
            at: cx.now,
            expires_at: later(cx.now, rule.window),
            window_start: policy.map_or(window_start, |start| start.min(window_start)),
            active,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::budget::Quota;
    use crate::machine::budget::testing::{QUOTA, quota, seen_quota, writes};
    use crate::machine::execution::testing::{NOW, decide, execution, now_plus, refusal};
    use crate::types::TimestampMs;

    fn check(rate: u64, cap: u64) -> CheckAdmission {
        let args = CheckAdmissionArgs {
            execution_id: execution().id,
            now: NOW,
            window_seconds: 60,
            rate_limit: rate,
            concurrency_cap: cap,
            jitter_ms: Some(7),
        };
        CheckAdmission { quota_policy_id: QUOTA, args }
    }

    fn told(quota: Quota) -> CheckAdmissionResult {
        let done = decide(&check(2, 2), &seen_quota(quota)).unwrap();
        assert_eq!(done.changes.is_empty(), done.outcome != CheckAdmissionResult::Admitted);
        done.outcome
    }

    #[test]
    fn room_is_reserved_until_the_window_is_over() {
        let one = Quota { occupied: 1, in_window: 1, ..quota(2, 2) };

        let written = writes(&decide(&check(2, 2), &seen_quota(one)).unwrap());

        let reserved = Write::Reserve {
            quota_policy_id: QUOTA,
            execution_id: execution().id,
            at: NOW,
            expires_at: now_plus(60_000),
            window_start: now_plus(-60_000),
            active: Some(2),
        };
        assert_eq!(written, [reserved]);
    }

    #[test]
    fn a_full_window_then_full_slots_are_told_and_a_reservation_needs_neither() {
        let full = Quota {
            occupied: 2,
            in_window: 2,
            blocking_entry: Some(TimestampMs(NOW.0 - 59_000)),
            ..quota(2, 2)
        };
        let retry_after_ms = 1_007;
        assert_eq!(told(full.clone()), CheckAdmissionResult::RateExceeded { retry_after_ms });
        let slots = Quota { in_window: 1, ..full.clone() };
        assert_eq!(told(slots), CheckAdmissionResult::ConcurrencyExceeded);
        let own = Quota { reserved_until: Some(now_plus(1)), ..full };
        assert_eq!(told(own), CheckAdmissionResult::AlreadyAdmitted);
        assert_eq!(told(quota(2, 2)), CheckAdmissionResult::Admitted);
    }

    #[test]
    fn an_unknown_policy_is_stored_only_where_slots_are_bounded() {
        let puts = |cap| {
            let unknown = Quota { policy: None, ..quota(2, cap) };
            let written = writes(&decide(&check(2, cap), &seen_quota(unknown)).unwrap());
            written.iter().any(|write| matches!(write, Write::PutQuota(_)))
        };
        assert!(puts(2));
        assert!(!puts(0));
    }

    #[test]
    fn limits_out_of_bounds_are_refused() {
        let mut long = check(1, 1);
        long.args.window_seconds = QUOTA_WINDOW_MAX_SECONDS + 1;
        assert!(refusal(decide(&long, &seen_quota(quota(1, 1)))).contains("window_seconds"));
        let wide = check(1 << 63, 1);
        assert!(refusal(decide(&wide, &seen_quota(quota(1, 1)))).contains("rate_limit"));
    }
}
