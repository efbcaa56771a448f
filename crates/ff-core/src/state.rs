//! The words an execution's state is told in, and the one public word derived from them.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an enum together with its wire words, so that JSON, storage and text cannot differ.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $wire:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[serde(rename = $wire)] $variant,)+
        }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in JSON and in storage.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)+
                }
            }

            /// Reads exactly the words that [`Self::as_str`] writes.
            #[must_use]
            pub fn from_wire(word: &str) -> Option<Self> {
                match word {
                    $($wire => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum!(
    /// The road every execution takes; only a replay leaves [`LifecyclePhase::Terminal`].
    LifecyclePhase {
        Submitted => "submitted",
        Runnable => "runnable",
        Active => "active",
        Suspended => "suspended",
        Terminal => "terminal",
    }
);

wire_enum!(
    /// Says whether a worker may write; only [`OwnershipState::Leased`] says yes.
    OwnershipState {
        Unowned => "unowned",
        Leased => "leased",
        LeaseExpiredReclaimable => "lease_expired_reclaimable",
        LeaseRevoked => "lease_revoked",
    }
);

wire_enum!(
    /// Says whether a runnable execution can be claimed now, and if not, what holds it.
    EligibilityState {
        EligibleNow => "eligible_now",
        NotEligibleUntilTime => "not_eligible_until_time",
        BlockedByDependencies => "blocked_by_dependencies",
        BlockedByBudget => "blocked_by_budget",
        BlockedByQuota => "blocked_by_quota",
        BlockedByRoute => "blocked_by_route",
        BlockedByLaneState => "blocked_by_lane_state",
        BlockedByOperator => "blocked_by_operator",
        NotApplicable => "not_applicable",
    }
);

wire_enum!(
    /// Tells an operator what an execution waits for; no rule decides by it.
    BlockingReason {
        None => "none",
        WaitingForWorker => "waiting_for_worker",
        WaitingForRetryBackoff => "waiting_for_retry_backoff",
        WaitingForResumeDelay => "waiting_for_resume_delay",
        WaitingForDelay => "waiting_for_delay",
        WaitingForSignal => "waiting_for_signal",
        WaitingForApproval => "waiting_for_approval",
        WaitingForCallback => "waiting_for_callback",
        WaitingForToolResult => "waiting_for_tool_result",
        WaitingForChildren => "waiting_for_children",
        WaitingForBudget => "waiting_for_budget",
        WaitingForQuota => "waiting_for_quota",
        WaitingForCapableWorker => "waiting_for_capable_worker",
        WaitingForLocalityMatch => "waiting_for_locality_match",
        PausedByOperator => "paused_by_operator",
        PausedByPolicy => "paused_by_policy",
        PausedByFlowCancel => "paused_by_flow_cancel",
    }
);

wire_enum!(
    /// How an execution ended; [`TerminalOutcome::None`] exactly while it has not.
    TerminalOutcome {
        None => "none",
        Success => "success",
        Failed => "failed",
        Cancelled => "cancelled",
        Expired => "expired",
        Skipped => "skipped",
    }
);

wire_enum!(
    /// Where the current attempt stands, or which kind of attempt the next claim starts.
    AttemptState {
        None => "none",
        PendingFirstAttempt => "pending_first_attempt",
        RunningAttempt => "running_attempt",
        AttemptInterrupted => "attempt_interrupted",
        PendingRetryAttempt => "pending_retry_attempt",
        PendingReplayAttempt => "pending_replay_attempt",
        AttemptTerminal => "attempt_terminal",
    }
);

wire_enum!(
    /// The one word shown to users; [`PublicState::Resumable`] means the wait is satisfied and nobody
    /// has claimed again yet.
    #[non_exhaustive]
    PublicState {
        Waiting => "waiting",
        Delayed => "delayed",
        RateLimited => "rate_limited",
        WaitingChildren => "waiting_children",
        Active => "active",
        Suspended => "suspended",
        Resumable => "resumable",
        Completed => "completed",
        Failed => "failed",
        Cancelled => "cancelled",
        Expired => "expired",
        Skipped => "skipped",
    }
);

wire_enum!(
    /// The life of one attempt.
    AttemptLifecycle {
        Created => "created",
        Started => "started",
        Suspended => "suspended",
        EndedSuccess => "ended_success",
        EndedFailure => "ended_failure",
        EndedCancelled => "ended_cancelled",
        InterruptedReclaimed => "interrupted_reclaimed",
    }
);

impl AttemptLifecycle {
    /// Whether the attempt has ended; a later attempt may run, this one never again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Created | Self::Started | Self::Suspended => false,
            Self::EndedSuccess
            | Self::EndedFailure
            | Self::EndedCancelled
            | Self::InterruptedReclaimed => true,
        }
    }
}

wire_enum!(
    /// Why an attempt was started.
    AttemptType {
        Initial => "initial",
        Retry => "retry",
        Reclaim => "reclaim",
        Replay => "replay",
        Fallback => "fallback",
    }
);

wire_enum!(
    /// Whether a lane takes and hands out work.
    LaneState {
        Active => "active",
        Paused => "paused",
        Draining => "draining",
        Disabled => "disabled",
    }
);

/// An execution's whole state; `public_state` repeats what the other six imply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateVector {
    pub lifecycle_phase: LifecyclePhase,
    pub ownership_state: OwnershipState,
    pub eligibility_state: EligibilityState,
    pub blocking_reason: BlockingReason,
    pub terminal_outcome: TerminalOutcome,
    pub attempt_state: AttemptState,
    pub public_state: PublicState,
}

impl StateVector {
    /// Derives the public word from phase, outcome and eligibility; defined for every combination.
    ///
    /// A terminal execution without an outcome counts as failed.
    ///
    /// ```
    /// use ff_core::state::*;
    ///
    /// let state = StateVector {
    ///     lifecycle_phase: LifecyclePhase::Runnable,
    ///     ownership_state: OwnershipState::Unowned,
    ///     eligibility_state: EligibilityState::NotEligibleUntilTime,
    ///     blocking_reason: BlockingReason::WaitingForDelay,
    ///     terminal_outcome: TerminalOutcome::None,
    ///     attempt_state: AttemptState::PendingFirstAttempt,
    ///     public_state: PublicState::Waiting,
    /// };
    /// assert_eq!(state.derive_public_state(), PublicState::Delayed);
    /// assert!(!state.is_consistent());
    /// ```
    #[must_use]
    pub const fn derive_public_state(&self) -> PublicState {
        match self.lifecycle_phase {
            LifecyclePhase::Terminal => match self.terminal_outcome {
                TerminalOutcome::Success => PublicState::Completed,
                TerminalOutcome::Failed | TerminalOutcome::None => PublicState::Failed,
                TerminalOutcome::Cancelled => PublicState::Cancelled,
                TerminalOutcome::Expired => PublicState::Expired,
                TerminalOutcome::Skipped => PublicState::Skipped,
            },
            LifecyclePhase::Suspended => PublicState::Suspended,
            LifecyclePhase::Active => PublicState::Active,
            LifecyclePhase::Submitted => PublicState::Waiting,
            LifecyclePhase::Runnable => match self.eligibility_state {
                EligibilityState::NotEligibleUntilTime => PublicState::Delayed,
                EligibilityState::BlockedByDependencies => PublicState::WaitingChildren,
                EligibilityState::BlockedByBudget | EligibilityState::BlockedByQuota => {
                    PublicState::RateLimited
                }
                EligibilityState::EligibleNow
                | EligibilityState::BlockedByRoute
                | EligibilityState::BlockedByLaneState
                | EligibilityState::BlockedByOperator
                | EligibilityState::NotApplicable => PublicState::Waiting,
            },
        }
    }

    /// Whether the stored public word is the derived one.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.public_state == self.derive_public_state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snake_case(name: &str) -> String {
        let mut word = String::new();
        for (index, letter) in name.char_indices() {
            if letter.is_uppercase() && index > 0 {
                word.push('_');
            }
            word.push(letter.to_ascii_lowercase());
        }
        word
    }

    macro_rules! wire_test {
        ($($enum:ident: $count:literal),+ $(,)?) => {
            #[test]
            fn wire_words_are_the_names_in_snake_case_everywhere() {
                $(
                    assert_eq!($enum::ALL.len(), $count, stringify!($enum));
                    for &value in $enum::ALL {
                        let word = value.as_str();
                        assert_eq!(word, snake_case(&format!("{value:?}")));
                        assert_eq!(value.to_string(), word);
                        assert_eq!($enum::from_wire(word), Some(value));
                        let json = serde_json::to_string(&value).unwrap();
                        assert_eq!(json, format!("\"{word}\""));
                        assert_eq!(serde_json::from_str::<$enum>(&json).unwrap(), value);
                        assert_eq!($enum::from_wire(&word.to_uppercase()), None);
                        assert_eq!($enum::from_wire(&format!("{word} ")), None);
                        assert!(serde_json::from_str::<$enum>(&format!("\"{value:?}\"")).is_err());
                    }
                    assert_eq!($enum::from_wire(""), None);
                )+
            }
        };
    }

    wire_test!(
        LifecyclePhase: 5,
        OwnershipState: 4,
        EligibilityState: 9,
        BlockingReason: 17,
        TerminalOutcome: 6,
        AttemptState: 7,
        PublicState: 12,
        AttemptLifecycle: 7,
        AttemptType: 5,
        LaneState: 4,
    );

    fn state(
        phase: LifecyclePhase,
        eligibility: EligibilityState,
        outcome: TerminalOutcome,
    ) -> StateVector {
        StateVector {
            lifecycle_phase: phase,
            ownership_state: OwnershipState::Unowned,
            eligibility_state: eligibility,
            blocking_reason: BlockingReason::None,
            terminal_outcome: outcome,
            attempt_state: AttemptState::None,
            public_state: PublicState::Waiting,
        }
    }

    #[test]
    fn a_terminal_execution_shows_its_outcome_and_failed_without_one() {
        for (outcome, public) in [
            (TerminalOutcome::None, PublicState::Failed),
            (TerminalOutcome::Success, PublicState::Completed),
            (TerminalOutcome::Failed, PublicState::Failed),
            (TerminalOutcome::Cancelled, PublicState::Cancelled),
            (TerminalOutcome::Expired, PublicState::Expired),
            (TerminalOutcome::Skipped, PublicState::Skipped),
        ] {
            let state = state(LifecyclePhase::Terminal, EligibilityState::EligibleNow, outcome);
            assert_eq!(state.derive_public_state(), public);
        }
    }

    #[test]
    fn a_runnable_execution_shows_what_holds_it() {
        for &eligibility in EligibilityState::ALL {
            let public = match eligibility {
                EligibilityState::NotEligibleUntilTime => PublicState::Delayed,
                EligibilityState::BlockedByDependencies => PublicState::WaitingChildren,
                EligibilityState::BlockedByBudget | EligibilityState::BlockedByQuota => {
                    PublicState::RateLimited
                }
                EligibilityState::EligibleNow
                | EligibilityState::BlockedByRoute
                | EligibilityState::BlockedByLaneState
                | EligibilityState::BlockedByOperator
                | EligibilityState::NotApplicable => PublicState::Waiting,
            };
            // An outcome left over from before a replay does not show through.
            let state = state(LifecyclePhase::Runnable, eligibility, TerminalOutcome::Failed);
            assert_eq!(state.derive_public_state(), public);
        }
    }

    #[test]
    fn every_other_phase_has_one_public_word() {
        for (phase, public) in [
            (LifecyclePhase::Submitted, PublicState::Waiting),
            (LifecyclePhase::Active, PublicState::Active),
            (LifecyclePhase::Suspended, PublicState::Suspended),
        ] {
            for &eligibility in EligibilityState::ALL {
                for &outcome in TerminalOutcome::ALL {
                    let mut state = state(phase, eligibility, outcome);
                    assert_eq!(state.derive_public_state(), public);
                    state.public_state = public;
                    assert!(state.is_consistent());
                    state.public_state = PublicState::Resumable;
                    assert!(!state.is_consistent());
                }
            }
        }
    }

    #[test]
    fn four_lifecycles_end_an_attempt() {
        let ended: Vec<_> =
            AttemptLifecycle::ALL.iter().filter(|lifecycle| lifecycle.is_terminal()).collect();
        assert_eq!(
            ended,
            [
                &AttemptLifecycle::EndedSuccess,
                &AttemptLifecycle::EndedFailure,
                &AttemptLifecycle::EndedCancelled,
                &AttemptLifecycle::InterruptedReclaimed
            ]
        );
    }

    #[test]
    fn a_state_vector_survives_json() {
        let state = state(
            LifecyclePhase::Terminal,
            EligibilityState::NotApplicable,
            TerminalOutcome::Skipped,
        );
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json["lifecycle_phase"], "terminal");
        assert_eq!(json["eligibility_state"], "not_applicable");
        assert_eq!(serde_json::from_value::<StateVector>(json).unwrap(), state);
    }
}
