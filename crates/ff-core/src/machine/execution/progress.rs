//! Reporting progress: how far the running attempt is.

use super::stored_reason;
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::{Command, Context, Fence, Footprint, Snapshot, Transition};
use crate::types::ExecutionId;

/// Overwrites what is given and keeps the rest. Safe to repeat. A percentage above 100 is refused
/// with `Validation(InvalidInput)`. With nothing given, only the fence is checked.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// 0 to 100.
    pub percent: Option<u8>,
    /// For people. Cut at 16 KiB.
    pub message: Option<String>,
}

impl Command for Progress {
    const NAME: &'static str = "execution.progress";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::execution(&self.execution_id).with_attempt(self.fence.index())
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        if let Some(percent) = self.percent.filter(|percent| *percent > 100) {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!("progress percent is {percent}; give 0 to 100"),
            });
        }
        seen.execution()?;
        let (execution, _) = self.fence.check(seen, cx.now)?;
        if self.percent.is_none() && self.message.is_none() {
            return Ok(Transition::unchanged(()));
        }
        let mut after = execution.clone();
        after.progress_pct = self.percent.or(after.progress_pct);
        if let Some(message) = &self.message {
            after.progress_message = Some(stored_reason(message));
        }
        Ok(Transition::unchanged(()).put(execution, after, cx.now, "progress"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, execution, handle_of, interrupted, lapsed, refusal, revoked,
        running, seen, seen_pair, stale_handle,
    };

    fn report(percent: Option<u8>, message: Option<&str>) -> Progress {
        Progress {
            execution_id: execution().id,
            fence: handle_of(&running(LEASE_END).1),
            percent,
            message: message.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_given_is_overwritten_and_the_rest_is_kept() {
        let (mut row, attempt) = running(LEASE_END);
        row.progress_pct = Some(10);
        row.progress_message = Some("begun".to_owned());
        let seen = seen(row, attempt);
        for (percent, message, stored) in [
            (Some(20), None, (Some(20), Some("begun"))),
            (None, Some("half"), (Some(10), Some("half"))),
            (Some(0), Some(""), (Some(0), Some(""))),
        ] {
            let done = decide(&report(percent, message), &seen).unwrap();
            let row = done.stored();
            assert_eq!((row.progress_pct, row.progress_message.as_deref()), stored);
            assert!(done.events.is_empty());
        }
    }

    #[test]
    fn with_nothing_given_only_the_fence_is_checked() {
        let done = decide(&report(None, None), &seen_pair(running(LEASE_END))).unwrap();
        assert!(done.is_unchanged());

        let stale = Progress { fence: stale_handle(), ..report(None, None) };
        let refused = refusal(decide(&stale, &seen_pair(running(LEASE_END))));
        assert_eq!(refused, "contention: LeaseConflict");
    }

    #[test]
    fn a_percentage_ends_at_a_hundred() {
        assert!(decide(&report(Some(100), None), &seen_pair(running(LEASE_END))).is_ok());
        let refused = refusal(decide(&report(Some(101), None), &Snapshot::default()));
        assert_eq!(refused, "validation: InvalidInput: progress percent is 101; give 0 to 100");
    }

    #[test]
    fn whoever_does_not_own_it_is_refused() {
        let told = |seen: &Snapshot| refusal(decide(&report(Some(1), None), seen));

        assert_eq!(told(&Snapshot::default()), "not found: execution");
        assert_eq!(told(&seen_pair(running(NOW))), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(lapsed())), "state: LeaseExpired");
        assert_eq!(told(&seen_pair(revoked())), "state: LeaseRevoked");
        assert!(told(&seen_pair(interrupted())).contains("ExecutionNotActive"));
    }
}
