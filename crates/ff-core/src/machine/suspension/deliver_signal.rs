//! Delivering a signal: to a waitpoint by its token, or in an operator's name.

use super::condition::{self, Effect};
use super::resume::{self, Resume};
use super::rows::{
    Signal, SignalDedup, SignalEvent, SignalHead, Suspension, Waitpoint, WaitpointState,
};
use super::{Probe, Wanted, Write, token};
use crate::EngineError;
use crate::contracts::{DeliverSignalResult, ResumeCondition};
use crate::engine_error::{ContentionKind, StateKind, ValidationKind};
use crate::machine::limits::{
    DELAY_MAX_MS, IDENTIFIER_MAX_BYTES, SIGNAL_PAYLOAD_MAX_BYTES, SIGNALS_MAX_BYTES,
    SIGNALS_PER_EXECUTION, SIGNALS_PER_EXECUTION_MAX,
};
use crate::machine::policy::later;
use crate::machine::rows::Execution;
use crate::machine::transition::Event;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::state::LifecyclePhase;
use crate::types::{
    DurationMs, ExecutionId, LaneId, SignalId, TimestampMs, WaitpointId, WaitpointToken,
};

/// What the sender shows to prove that it may signal the waitpoint.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The waitpoint's token.
    Token(WaitpointToken),
    /// An operator needs none; a lane that is named must be the execution's.
    Operator {
        /// The lane the operator believes it to be on.
        lane: Option<LaneId>,
    },
}

/// Records a signal and resumes the execution if its condition holds now.
///
/// Refusals, in this order: the shape of the signal; `NotFound(execution)`; by token
/// `Validation(InvalidToken)`, the same for a waitpoint that does not exist; in an operator's name
/// `NotFound(waitpoint)`; `State(TargetNotSignalable)` once the execution has ended;
/// `State(WaitpointClosed)`; `Validation(SignalLimitExceeded)`. Safe to repeat: the same signal id
/// or idempotency key at the same waitpoint is `Duplicate`, before every refusal but the first
/// three.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct DeliverSignal {
    pub execution_id: ExecutionId,
    pub waitpoint_id: WaitpointId,
    pub proof: Proof,
    /// Drawn when absent.
    pub signal_id: Option<SignalId>,
    pub name: String,
    pub category: String,
    pub source_type: String,
    pub source_identity: String,
    pub correlation_id: String,
    pub payload: Option<Vec<u8>>,
    pub payload_encoding: Option<String>,
    pub idempotency_key: Option<String>,
    /// How long the key is remembered; zero means it is not.
    pub dedup_window: DurationMs,
    /// The suspension's own delay when absent.
    pub resume_delay: Option<DurationMs>,
    /// The policy's bound, or this one if it is lower.
    pub signals_max: Option<u64>,
}

/// What became of a signal.
pub type Delivered = DeliverSignalResult;

impl DeliverSignal {
    fn head(&self, signal_id: &SignalId, waitpoint_key: &str) -> SignalHead {
        SignalHead {
            signal_id: signal_id.clone(),
            waitpoint_key: waitpoint_key.to_owned(),
            name: self.name.clone(),
            source_type: self.source_type.clone(),
            source_identity: self.source_identity.clone(),
        }
    }

    fn dedup_key(&self) -> Option<String> {
        self.idempotency_key.clone().filter(|key| !key.is_empty() && self.dedup_window.0 > 0)
    }

    fn check_shape(&self) -> Result<(), EngineError> {
        let texts = [
            ("signal_name", Some(&self.name)),
            ("signal_category", Some(&self.category)),
            ("source_type", Some(&self.source_type)),
            ("source_identity", Some(&self.source_identity)),
            ("correlation_id", Some(&self.correlation_id)),
            ("payload_encoding", self.payload_encoding.as_ref()),
            ("idempotency_key", self.idempotency_key.as_ref()),
        ];
        for (field, text) in texts {
            if let Some(text) = text.filter(|text| text.len() > IDENTIFIER_MAX_BYTES) {
                return Err(invalid(format!(
                    "{field} is {} bytes; at most {IDENTIFIER_MAX_BYTES}",
                    text.len()
                )));
            }
        }
        let bytes = self.payload.as_ref().map_or(0, Vec::len);
        if bytes > SIGNAL_PAYLOAD_MAX_BYTES {
            return Err(EngineError::Validation {
                kind: ValidationKind::PayloadTooLarge,
                detail: format!(
                    "the payload is {bytes} bytes; a signal carries at most \
                     {SIGNAL_PAYLOAD_MAX_BYTES}"
                ),
            });
        }
        if self.dedup_window.0 > DELAY_MAX_MS {
            return Err(invalid(format!(
                "dedup_ttl_ms is {}; at most {DELAY_MAX_MS}",
                self.dedup_window.0
            )));
        }
        self.resume_delay.map_or(Ok(()), resume::check_delay)
    }

    /// The waitpoint, if the sender may signal it.
    fn admitted<'a>(
        &self,
        seen: &'a Snapshot,
        execution: &Execution,
        now: TimestampMs,
    ) -> Result<&'a Waitpoint, EngineError> {
        let waitpoint = seen
            .suspension
            .waitpoint(&self.waitpoint_id)
            .filter(|waitpoint| waitpoint.execution_id == self.execution_id);
        match &self.proof {
            Proof::Token(shown) => {
                // One that does not exist is told as a wrong token is: nobody can probe for ids.
                let waitpoint = waitpoint.ok_or_else(|| token::refused("invalid_token"))?;
                token::verify(&seen.suspension.keys, waitpoint, shown, now)?;
                Ok(waitpoint)
            }
            Proof::Operator { lane } => {
                if let Some(lane) = lane.as_ref().filter(|lane| **lane != execution.lane) {
                    return Err(invalid(format!(
                        "lane_mismatch: args.lane_id={} exec_core.lane_id={}",
                        lane.as_str(),
                        execution.lane.as_str()
                    )));
                }
                waitpoint.ok_or(EngineError::NotFound { entity: "waitpoint" })
            }
        }
    }

    fn check_room(&self, seen: &Snapshot, execution: &Execution) -> Result<(), EngineError> {
        let tally = seen.suspension.tally;
        let of_policy = execution
            .policy
            .as_ref()
            .map_or(SIGNALS_PER_EXECUTION, |policy| u64::from(policy.max_signals_per_execution));
        // Zero in a call means that it sets no bound of its own.
        let of_call = self.signals_max.filter(|max| *max > 0).unwrap_or(u64::MAX);
        let max = of_policy.min(of_call).min(SIGNALS_PER_EXECUTION_MAX);
        let refused = |detail| {
            Err(EngineError::Validation { kind: ValidationKind::SignalLimitExceeded, detail })
        };
        if tally.count >= max {
            return refused(format!(
                "the execution has had {} signals; at most {max}",
                tally.count
            ));
        }
        if tally.bytes.saturating_add(self.bytes()) > SIGNALS_MAX_BYTES {
            return refused(format!(
                "the signals of the execution would hold more than {SIGNALS_MAX_BYTES} bytes"
            ));
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        u64::try_from(self.payload.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX)
    }

    /// The writes that keep the signal and its key.
    fn recorded(
        &self,
        seen: &Snapshot,
        waitpoint: &Waitpoint,
        signal_id: &SignalId,
        now: TimestampMs,
    ) -> Vec<Change> {
        let tally = seen.suspension.tally;
        let signal = Signal {
            execution_id: self.execution_id.clone(),
            seq: tally.count + 1,
            bytes_so_far: tally.bytes + self.bytes(),
            signal_id: signal_id.clone(),
            waitpoint_id: Some(self.waitpoint_id.clone()),
            waitpoint_key: waitpoint.key.clone(),
            suspension_id: waitpoint.suspension_id.clone(),
            name: self.name.clone(),
            category: self.category.clone(),
            source_type: self.source_type.clone(),
            source_identity: self.source_identity.clone(),
            correlation_id: self.correlation_id.clone(),
            payload: self.payload.clone(),
            payload_encoding: self.payload_encoding.clone(),
            accepted_at: now,
        };
        let mut changes = vec![Change::Suspension(Write::AddSignal(Box::new(signal)))];
        changes.extend(self.dedup_key().map(|key| {
            Change::Suspension(Write::RememberSignal(SignalDedup {
                execution_id: self.execution_id.clone(),
                waitpoint_id: self.waitpoint_id.clone(),
                key,
                signal_id: signal_id.clone(),
                expires_at: later(now, self.dedup_window),
            }))
        }));
        changes
    }

    fn announced(
        &self,
        execution: &Execution,
        signal_id: &SignalId,
        effect: &str,
        now: TimestampMs,
    ) -> Event {
        Event::Signal(SignalEvent {
            execution_id: self.execution_id.clone(),
            signal_id: signal_id.clone(),
            waitpoint_id: Some(self.waitpoint_id.clone()),
            source_identity: Some(self.source_identity.clone())
                .filter(|identity| !identity.is_empty()),
            effect: effect.to_owned(),
            at: now,
            namespace: execution.namespace.clone(),
            instance_tag: execution.instance_tag().map(str::to_owned),
        })
    }
}

fn accepted(signal_id: &SignalId, effect: &str) -> Delivered {
    Delivered::Accepted { signal_id: signal_id.clone(), effect: effect.to_owned() }
}

/// The answer for a signal that made its condition hold.
pub const SATISFIED: &str = "resume_condition_satisfied";

/// The answer for a signal that waits with its waitpoint.
pub const BUFFERED: &str = "buffered_for_pending_waitpoint";

/// What a signal that did not satisfy its condition did, as the answer words it.
fn unsatisfied(condition: Option<&ResumeCondition>, effect: Effect) -> &'static str {
    let is_composite = matches!(condition, Some(ResumeCondition::Composite(_)));
    match (effect, is_composite) {
        (Effect::Counted, _) => "appended_to_waitpoint",
        (Effect::Again, _) => "appended_to_waitpoint_duplicate",
        (Effect::Unmatched, true) => "signal_ignored_matcher_failed",
        (Effect::NotAsked, true) => "signal_ignored_not_in_condition",
        (Effect::Unmatched | Effect::NotAsked, false) => "no_op",
    }
}

fn invalid(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail }
}

impl Command for DeliverSignal {
    const NAME: &'static str = "suspension.deliver_signal";
    type Outcome = Delivered;

    fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::execution(&self.execution_id);
        // An id that is yet to be drawn was never delivered.
        let unknown = SignalId::from_uuid(uuid::Uuid::nil());
        footprint.suspension = Wanted {
            suspension: true,
            keys: matches!(self.proof, Proof::Token(_)),
            waitpoints: vec![self.waitpoint_id.clone()],
            signal: Some(Probe {
                waitpoint_id: self.waitpoint_id.clone(),
                signal_id: self.signal_id.clone(),
                key: self.dedup_key(),
                things: condition::things(
                    &self.head(self.signal_id.as_ref().unwrap_or(&unknown), ""),
                ),
            }),
            ..Wanted::default()
        };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<Delivered>, EngineError> {
        self.check_shape()?;
        let execution = seen.execution()?;
        let waitpoint = self.admitted(seen, execution, cx.now)?;
        let is_in_window = seen.suspension.known_until.is_none_or(|end| cx.now < end);
        if let Some(known) = seen.suspension.known_signal.clone().filter(|_| is_in_window) {
            return Ok(Transition::unchanged(Delivered::Duplicate { existing_signal_id: known }));
        }
        if execution.is_terminal() {
            return Err(EngineError::State(StateKind::TargetNotSignalable));
        }
        let drawn = self.signal_id.clone();
        let id = &drawn.unwrap_or_else(|| SignalId::from_uuid(cx.ids.uuid()));
        match waitpoint.state {
            WaitpointState::Closed => return Err(EngineError::State(StateKind::WaitpointClosed)),
            WaitpointState::Pending => {
                self.check_room(seen, execution)?;
                let mut transition = Transition::unchanged(accepted(id, BUFFERED));
                transition.changes.extend(self.recorded(seen, waitpoint, id, cx.now));
                return Ok(transition.announce(self.announced(execution, id, "buffered", cx.now)));
            }
            WaitpointState::Active => {}
        }
        if execution.state.lifecycle_phase != LifecyclePhase::Suspended {
            return Err(EngineError::State(StateKind::TargetNotSignalable));
        }
        let suspension = seen
            .suspension
            .open_suspension()
            .ok_or(EngineError::Contention(ContentionKind::WaitpointNotFound))?;
        self.check_room(seen, execution)?;

        // A waitpoint that a tool activated belongs to whatever suspension is open.
        let mut waitpoint = waitpoint.clone();
        waitpoint.suspension_id.get_or_insert_with(|| suspension.suspension_id.clone());
        let mut after = suspension.clone();
        after.version += 1;
        let mut known = seen.suspension.counted.clone();
        let head = self.head(id, &waitpoint.key);
        let (effect, counted) = match &suspension.condition {
            None => (Effect::NotAsked, Vec::new()),
            Some(condition) => condition::count(condition, &mut after.progress, &mut known, &head),
        };
        let holds = suspension
            .condition
            .as_ref()
            .is_some_and(|condition| condition::holds(condition, &after.progress));

        let told =
            if holds { SATISFIED } else { unsatisfied(suspension.condition.as_ref(), effect) };
        let mut transition = Transition::unchanged(accepted(id, told));
        transition.changes.extend(self.recorded(seen, &waitpoint, id, cx.now));
        for counted in counted {
            let execution_id = self.execution_id.clone();
            transition =
                transition.change(Change::Suspension(Write::Count { execution_id, counted }));
        }
        let announced = if holds { "satisfied" } else { told };
        transition = transition.announce(self.announced(execution, id, announced, cx.now));
        if !holds {
            return Ok(transition.change(Change::Suspension(Write::PutSuspension(Box::new(after)))));
        }
        let delay = self.resume_delay.or(suspension.resume_delay).unwrap_or(DurationMs(0));
        let how = Resume { cause: "condition_satisfied", reason: "resumed", delay };
        // One write closes it and keeps what was counted.
        let satisfied = Suspension { version: suspension.version, ..after };
        let resumed = resume::resume(execution, &satisfied, &how, cx.now);
        let answer = transition.outcome.clone();
        Ok(resumed.answer(answer).after(transition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{CompositeBody, CountKind, SignalMatcher};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, now_plus, refusal, running, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::machine::state;
    use crate::machine::suspension::rows::SignalTally;
    use crate::machine::suspension::testing::{
        active, any_at, key, pending, suspended, suspension, waitpoint_id,
    };
    use crate::policy::ExecutionPolicy;
    use crate::state::{AttemptState, BlockingReason, TerminalOutcome};

    fn deliver(adjust: impl FnOnce(&mut DeliverSignal)) -> DeliverSignal {
        let waitpoint = pending("k");
        let mut command = DeliverSignal {
            execution_id: execution().id,
            waitpoint_id: waitpoint.id.clone(),
            proof: Proof::Token(waitpoint.token.token().clone()),
            signal_id: Some(SignalId::from_uuid(uuid::Uuid::from_u128(70))),
            name: "go".to_owned(),
            category: "external".to_owned(),
            source_type: "person".to_owned(),
            source_identity: "ada".to_owned(),
            correlation_id: String::new(),
            payload: Some(b"yes".to_vec()),
            payload_encoding: None,
            idempotency_key: None,
            dedup_window: DurationMs(1_000),
            resume_delay: None,
            signals_max: None,
        };
        adjust(&mut command);
        command
    }

    fn waiting() -> Snapshot {
        suspended(suspension(any_at("k")), vec![active("k")])
    }

    fn told(adjust: impl FnOnce(&mut DeliverSignal), seen: &Snapshot) -> String {
        refusal(decide(&deliver(adjust), seen))
    }

    fn effect(delivered: &Delivered) -> &str {
        match delivered {
            Delivered::Accepted { effect, .. } => effect,
            Delivered::Duplicate { .. } => "duplicate",
        }
    }

    #[test]
    fn a_signal_that_satisfies_resumes_the_execution() {
        let mut rows = waiting();

        let done = decide(&deliver(|_| {}), &rows).unwrap();
        rows.apply(&done.changes);

        assert_eq!(effect(&done.outcome), "resume_condition_satisfied");
        assert_eq!(done.stored().state, state::waiting(AttemptState::AttemptInterrupted));
        let after = rows.suspension.suspension.as_ref().unwrap();
        assert_eq!(after.closed.as_ref().unwrap().reason, "resumed");
        assert_eq!((after.version, after.progress[0].have), (2, 1));
        assert_eq!(rows.suspension.waitpoints[0].state, WaitpointState::Closed);
        assert_eq!(rows.suspension.tally, SignalTally { count: 1, bytes: 3 });
        let [event] = done.signals()[..] else { panic!("one signal event") };
        assert_eq!(
            (event.effect.as_str(), event.source_identity.as_deref()),
            ("satisfied", Some("ada"))
        );
        assert!(done.completions().is_empty(), "a resumed execution has not ended");
        assert_eq!(refusal(decide(&deliver(|_| {}), &rows)), "state: WaitpointClosed");
    }

    #[test]
    fn a_resume_waits_for_the_signals_delay_or_the_suspensions() {
        let mut rows = waiting();
        rows.suspension.suspension.as_mut().unwrap().resume_delay = Some(DurationMs(20));
        for (given, at) in [(None, 20), (Some(DurationMs(5)), 5)] {
            let done = decide(&deliver(|signal| signal.resume_delay = given), &rows).unwrap();
            assert_eq!(done.stored().eligible_at, Some(now_plus(at)));
            let reason = done.stored().state.blocking_reason;
            assert_eq!(reason, BlockingReason::WaitingForResumeDelay);
        }
        let done = decide(&deliver(|signal| signal.resume_delay = Some(DurationMs(0))), &rows);
        assert_eq!(done.unwrap().stored().eligible_at, None);
    }

    #[test]
    fn the_answer_says_what_the_signal_did() {
        let by_name = ResumeCondition::Single {
            waitpoint_key: "k".to_owned(),
            matcher: SignalMatcher::ByName("other".to_owned()),
        };
        let counted = |n, name: Option<&str>, key: &str| {
            ResumeCondition::Composite(CompositeBody::count(
                n,
                CountKind::DistinctSources,
                name.map(|name| SignalMatcher::ByName(name.to_owned())),
                [key.to_owned()],
            ))
        };
        for (condition, expected) in [
            (by_name, "no_op"),
            (any_at("elsewhere"), "no_op"),
            (ResumeCondition::OperatorOnly, "no_op"),
            (counted(2, None, "k"), "appended_to_waitpoint"),
            (counted(2, Some("other"), "k"), "signal_ignored_matcher_failed"),
            (counted(2, None, "elsewhere"), "signal_ignored_not_in_condition"),
            (counted(1, None, "k"), "resume_condition_satisfied"),
        ] {
            let rows = suspended(suspension(condition), vec![active("k")]);
            let done = decide(&deliver(|_| {}), &rows).unwrap();
            assert_eq!(effect(&done.outcome), expected);
            assert!(matches!(done.writes()[0], Write::AddSignal(_)), "every signal is kept");
        }
    }

    #[test]
    fn what_a_leaf_has_counted_is_not_counted_again() {
        let condition = ResumeCondition::Composite(CompositeBody::count(
            2,
            CountKind::DistinctSources,
            None,
            ["k".to_owned()],
        ));
        let mut rows = suspended(suspension(condition), vec![active("k")]);
        let first = decide(&deliver(|_| {}), &rows).unwrap();
        rows.apply(&first.changes);
        let again = |signal: &mut DeliverSignal| {
            signal.signal_id = Some(SignalId::from_uuid(uuid::Uuid::from_u128(71)));
        };

        let same = decide(&deliver(again), &rows).unwrap();
        assert_eq!(effect(&same.outcome), "appended_to_waitpoint_duplicate");

        rows.suspension.counted.clear();
        let other = decide(&deliver(again), &rows).unwrap();
        assert_eq!(effect(&other.outcome), "resume_condition_satisfied");
    }

    #[test]
    fn an_early_signal_waits_with_its_waitpoint() {
        let mut rows = seen_pair(running(LEASE_END));
        rows.suspension.waitpoints = vec![pending("k")];
        rows.suspension.keys = vec![key("k1")];

        let done = decide(&deliver(|_| {}), &rows).unwrap();

        assert_eq!(effect(&done.outcome), "buffered_for_pending_waitpoint");
        let [Write::AddSignal(signal)] = done.writes()[..] else { panic!("one signal") };
        assert_eq!(signal.suspension_id, None);
        assert_eq!(done.signals()[0].effect, "buffered");
        assert!(done.moves().is_empty());
    }

    #[test]
    fn a_repeat_is_a_duplicate_before_the_limit_and_after_the_end() {
        let known = SignalId::from_uuid(uuid::Uuid::from_u128(7));
        let (row, attempt) = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
        let closed = Waitpoint { state: WaitpointState::Closed, ..active("k") };
        let mut over = seen_pair((row, attempt));
        over.suspension.waitpoints = vec![closed];
        over.suspension.keys = vec![key("k1")];
        for mut rows in [waiting(), over] {
            rows.suspension.tally.count = u64::MAX;
            rows.suspension.known_signal = Some(known.clone());
            for until in [None, Some(now_plus(1))] {
                rows.suspension.known_until = until;
                let done = decide(&deliver(|_| {}), &rows).unwrap();
                let expected = Delivered::Duplicate { existing_signal_id: known.clone() };
                assert_eq!(done.outcome, expected);
                assert!(done.is_unchanged());
            }
            rows.suspension.known_until = Some(NOW);
            assert!(decide(&deliver(|_| {}), &rows).is_err());
        }
    }

    #[test]
    fn a_key_is_remembered_for_its_window() {
        let keyed = |window| {
            decide(
                &deliver(|signal| {
                    signal.idempotency_key = Some("once".to_owned());
                    signal.dedup_window = DurationMs(window);
                }),
                &waiting(),
            )
            .unwrap()
        };
        let done = keyed(500);
        let Some(Write::RememberSignal(dedup)) = done.writes().get(1).copied() else {
            panic!("a key")
        };
        assert_eq!((dedup.key.as_str(), dedup.expires_at), ("once", now_plus(500)));
        let forgets = keyed(0);
        assert!(!forgets.writes().iter().any(|write| matches!(write, Write::RememberSignal(_))));
    }

    #[test]
    fn who_shows_no_proof_learns_nothing() {
        let mut rows = waiting();
        let invalid = "validation: InvalidToken: invalid_token";
        let unknown = |signal: &mut DeliverSignal| signal.waitpoint_id = waitpoint_id(9);
        assert_eq!(told(unknown, &rows), invalid);
        let forged = |signal: &mut DeliverSignal| {
            signal.proof = Proof::Token(WaitpointToken::new(format!("k1:{}", "0".repeat(64))));
        };
        assert_eq!(told(forged, &rows), invalid);
        rows.suspension.waitpoints[0].execution_id =
            ExecutionId::from_parts(9, execution().id.uuid());
        assert_eq!(told(|_| {}, &rows), invalid);
        assert_eq!(told(|_| {}, &Snapshot::default()), "not found: execution");
    }

    #[test]
    fn an_operator_needs_no_token_but_the_right_lane() {
        let as_operator = |lane: Option<&str>| {
            let lane = lane.map(LaneId::new);
            move |signal: &mut DeliverSignal| signal.proof = Proof::Operator { lane }
        };
        assert_eq!(told(as_operator(None), &waiting()), "accepted");
        assert_eq!(told(as_operator(Some("default")), &waiting()), "accepted");
        assert_eq!(
            told(as_operator(Some("other")), &waiting()),
            "validation: InvalidInput: lane_mismatch: args.lane_id=other exec_core.lane_id=default"
        );
        let mut rows = waiting();
        rows.suspension.waitpoints.clear();
        assert_eq!(told(as_operator(None), &rows), "not found: waitpoint");
    }

    #[test]
    fn what_cannot_take_a_signal_says_why() {
        let with = |rows: (Execution, crate::machine::rows::Attempt), waitpoint| {
            let mut seen = seen_pair(rows);
            seen.suspension.waitpoints = vec![waitpoint];
            seen.suspension.keys = vec![key("k1")];
            seen
        };
        let over = ended(TerminalOutcome::Failed, AttemptOutcome::Failed);
        let closed = Waitpoint { state: WaitpointState::Closed, ..active("k") };
        let not_signalable = "state: TargetNotSignalable";
        assert_eq!(told(|_| {}, &with(over, closed.clone())), not_signalable);
        assert_eq!(told(|_| {}, &with(running(LEASE_END), closed)), "state: WaitpointClosed");
        assert_eq!(told(|_| {}, &with(running(LEASE_END), active("k"))), not_signalable);
        let mut orphan = waiting();
        orphan.suspension.suspension = None;
        assert_eq!(told(|_| {}, &orphan), "contention: WaitpointNotFound");
    }

    #[test]
    fn signals_are_bounded_in_number_and_bytes() {
        let with = |count, bytes, policy: Option<u32>| {
            let mut rows = waiting();
            rows.suspension.tally = SignalTally { count, bytes };
            rows.execution.as_mut().unwrap().policy = policy.map(|max| ExecutionPolicy {
                max_signals_per_execution: max,
                ..ExecutionPolicy::default()
            });
            rows
        };
        let limited = "validation: SignalLimitExceeded";
        assert_eq!(told(|_| {}, &with(9_999, 0, None)), "accepted");
        assert!(told(|_| {}, &with(10_000, 0, None)).starts_with(limited));
        assert_eq!(told(|_| {}, &with(1, 0, Some(2))), "accepted");
        assert!(told(|_| {}, &with(2, 0, Some(2))).starts_with(limited));
        assert!(
            told(|signal| signal.signals_max = Some(1), &with(1, 0, Some(2))).starts_with(limited)
        );
        assert_eq!(told(|signal| signal.signals_max = Some(0), &with(1, 0, Some(2))), "accepted");
        assert_eq!(told(|_| {}, &with(0, SIGNALS_MAX_BYTES - 3, None)), "accepted");
        assert!(told(|_| {}, &with(0, SIGNALS_MAX_BYTES - 2, None)).starts_with(limited));

        let long = |signal: &mut DeliverSignal| signal.name = "n".repeat(257);
        assert!(told(long, &waiting()).starts_with("validation: InvalidInput"));
        let payload =
            |bytes| move |signal: &mut DeliverSignal| signal.payload = Some(vec![0; bytes]);
        assert_eq!(told(payload(SIGNAL_PAYLOAD_MAX_BYTES), &waiting()), "accepted");
        let large = told(payload(SIGNAL_PAYLOAD_MAX_BYTES + 1), &waiting());
        assert!(large.starts_with("validation: PayloadTooLarge"), "{large}");
    }
}
