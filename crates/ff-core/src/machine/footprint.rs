//! The rows a command asks for, and the rows it is shown.

use super::rows::{Attempt, CreateDedup, Execution, Grant, GrantKind, Lane};
use super::transition::Change;
use super::{budget, flow, stream, suspension, worker};
use crate::EngineError;
use crate::types::{AttemptIndex, ExecutionId, LaneId, Namespace};

/// The rows a command must see. A backend follows all of it in one load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footprint {
    /// The execution, with its current attempt.
    pub execution: Option<ExecutionId>,
    /// A further attempt of that execution, named by a fence.
    pub attempt: Option<AttemptIndex>,
    /// The stored result, when the execution has ended.
    pub result: bool,
    /// The input payload.
    pub payload: bool,
    /// The newest grant of this kind for the execution.
    pub grant: Option<GrantKind>,
    /// A remembered idempotency key.
    pub dedup: Option<(Namespace, String)>,
    /// A lane.
    pub lane: Option<LaneId>,
    /// How many distinct gate keys wait on the lane, and whether this one is among them.
    pub gate: Option<(LaneId, String)>,
    /// Budgets and quotas.
    pub budget: budget::Wanted,
    /// Flows, edges and edge groups.
    pub flow: flow::Wanted,
    /// Frames and summaries.
    pub stream: stream::Wanted,
    /// Suspensions, waitpoints, signals and keys.
    pub suspension: suspension::Wanted,
    /// Registered workers.
    pub worker: worker::Wanted,
}

impl Footprint {
    /// The execution and its current attempt.
    pub fn execution(id: &ExecutionId) -> Self {
        Self { execution: Some(id.clone()), ..Self::default() }
    }

    /// Also the attempt that a fence names.
    pub fn with_attempt(mut self, index: AttemptIndex) -> Self {
        self.attempt = Some(index);
        self
    }

    /// Also the result, if the execution has ended.
    pub fn with_result(mut self) -> Self {
        self.result = true;
        self
    }

    /// Also the input payload.
    pub fn with_payload(mut self) -> Self {
        self.payload = true;
        self
    }

    /// Also the budgets and quotas that the execution is held to.
    pub fn with_gates(mut self) -> Self {
        self.budget.gates = Some(budget::LaneQuota::Follow);
        self
    }

    /// Also the newest grant of `kind`.
    pub fn with_grant(mut self, kind: GrantKind) -> Self {
        self.grant = Some(kind);
        self
    }
}

/// The rows a command is shown: its [`Footprint`], as stored.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field answers the footprint field of the same name")]
pub struct Snapshot {
    pub execution: Option<Execution>,
    /// The execution's current attempt; absent before the first claim.
    pub current: Option<Attempt>,
    /// The attempt that the footprint names, when it is not the current one.
    pub named: Option<Attempt>,
    pub result: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub grant: Option<Grant>,
    pub dedup: Option<CreateDedup>,
    pub lane: Option<Lane>,
    pub gate_keys: usize,
    pub gate_known: bool,
    pub budget: budget::Seen,
    pub flow: flow::Seen,
    pub stream: stream::Seen,
    pub suspension: suspension::Seen,
    pub worker: worker::Seen,
}

impl Snapshot {
    /// The execution, or that it does not exist.
    pub fn execution(&self) -> Result<&Execution, EngineError> {
        self.execution.as_ref().ok_or(EngineError::NotFound { entity: "execution" })
    }

    /// The attempt at `index`, if it is stored.
    pub fn attempt(&self, index: AttemptIndex) -> Option<&Attempt> {
        [&self.current, &self.named].into_iter().flatten().find(|attempt| attempt.index == index)
    }

    /// Shows the effect of changes that are decided but not yet stored, so that a second
    /// decision can build on a first one of the same transaction.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::CreateExecution { execution, .. } | Change::PutExecution(execution) => {
                    self.execution = Some((**execution).clone());
                    self.show_current(execution.attempt_index);
                }
                Change::PutAttempt(attempt) => self.show_attempt(attempt),
                Change::ExtendLease { index, expires_at, .. } => {
                    for attempt in [&mut self.current, &mut self.named].into_iter().flatten() {
                        if attempt.index == *index {
                            attempt.lease_expires_at = Some(*expires_at);
                        }
                    }
                }
                Change::PutResult { result, .. } => self.result.clone_from(result),
                Change::PutGrant(grant) => self.grant = Some((**grant).clone()),
                Change::DropGrants { .. } => self.grant = None,
                Change::PutDedup(dedup) => self.dedup = Some(dedup.clone()),
                Change::RegisterLane { .. } | Change::PutLane(_) => {}
                Change::Forget { .. } => self.execution = None,
                Change::Budget(write) => self.budget.apply(write),
                Change::Flow(write) => self.flow.apply(write),
                Change::Stream(write) => self.stream.apply(write),
                Change::Suspension(write) => self.suspension.apply(write),
                Change::Worker(write) => self.worker.apply(write),
            }
        }
    }

    /// An acquisition writes its attempt before the execution names it as the current one.
    fn show_current(&mut self, index: AttemptIndex) {
        if self.named.as_ref().is_some_and(|attempt| attempt.index == index) {
            std::mem::swap(&mut self.current, &mut self.named);
        }
    }

    fn show_attempt(&mut self, attempt: &Attempt) {
        let is_current = self
            .execution
            .as_ref()
            .is_some_and(|execution| execution.attempt_index == attempt.index);
        if is_current {
            if let Some(previous) = self.current.take()
                && previous.index != attempt.index
            {
                self.named = Some(previous);
            }
            self.current = Some(attempt.clone());
        } else {
            self.named = Some(attempt.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, execution, grant, handle_of, running, seen, seen_pair,
    };
    use crate::state::LaneState;
    use crate::types::TimestampMs;

    fn attempt(index: u32) -> Attempt {
        let (_, attempt) = running(LEASE_END);
        Attempt { index: AttemptIndex(index), ..attempt }
    }

    fn put_attempt(attempt: &Attempt) -> Change {
        Change::PutAttempt(Box::new(attempt.clone()))
    }

    #[test]
    fn a_footprint_asks_for_what_is_added_to_it() {
        let id = execution().id;

        let footprint = Footprint::execution(&id)
            .with_attempt(AttemptIndex(4))
            .with_result()
            .with_payload()
            .with_grant(GrantKind::Reclaim);

        assert_eq!(
            footprint,
            Footprint {
                execution: Some(id),
                attempt: Some(AttemptIndex(4)),
                result: true,
                payload: true,
                grant: Some(GrantKind::Reclaim),
                ..Footprint::default()
            }
        );
    }

    #[test]
    fn an_attempt_is_found_whether_it_is_current_or_named() {
        let mut seen = seen(execution(), attempt(3));
        seen.named = Some(attempt(1));

        assert_eq!(seen.attempt(AttemptIndex(3)), Some(&attempt(3)));
        assert_eq!(seen.attempt(AttemptIndex(1)), Some(&attempt(1)));
        assert_eq!(seen.attempt(AttemptIndex(2)), None);
    }

    #[test]
    fn an_execution_that_was_written_is_shown() {
        let mut seen = Snapshot::default();
        let mut row = execution();
        seen.apply(&[Change::CreateExecution {
            execution: Box::new(row.clone()),
            payload: Vec::new(),
        }]);
        assert_eq!(seen.execution, Some(row.clone()));

        row.priority = 9;
        seen.apply(&[Change::PutExecution(Box::new(row.clone()))]);
        assert_eq!(seen.execution, Some(row.clone()));

        seen.apply(&[Change::Forget { execution_id: row.id }]);
        assert_eq!(seen.execution, None);
    }

    #[test]
    fn the_current_attempt_is_replaced_and_another_one_is_named() {
        let mut seen = seen(execution(), None);
        seen.apply(&[put_attempt(&attempt(0))]);
        assert_eq!((&seen.current, &seen.named), (&Some(attempt(0)), &None));

        let ended = Attempt { ended_at: Some(NOW), ..attempt(0) };
        seen.apply(&[put_attempt(&ended)]);
        assert_eq!((&seen.current, &seen.named), (&Some(ended.clone()), &None));

        seen.apply(&[put_attempt(&attempt(2))]);
        assert_eq!((&seen.current, &seen.named), (&Some(ended), &Some(attempt(2))));
    }

    #[test]
    fn the_attempt_of_an_acquisition_becomes_the_current_one() {
        let mut seen = seen(execution(), attempt(0));
        let mut row = execution();
        row.attempt_index = AttemptIndex(1);

        seen.apply(&[put_attempt(&attempt(1)), Change::PutExecution(Box::new(row.clone()))]);
        assert_eq!((&seen.current, &seen.named), (&Some(attempt(1)), &Some(attempt(0))));

        row.attempt_index = AttemptIndex(2);
        seen.apply(&[Change::PutExecution(Box::new(row)), put_attempt(&attempt(2))]);
        assert_eq!((&seen.current, &seen.named), (&Some(attempt(2)), &Some(attempt(1))));
    }

    #[test]
    fn an_extended_lease_is_that_of_the_attempt_it_names() {
        let id = execution().id;
        let extend = |index| Change::ExtendLease {
            execution_id: id.clone(),
            index: AttemptIndex(index),
            expires_at: TimestampMs(7),
        };
        let mut seen = seen_pair(running(LEASE_END));
        seen.named = Some(attempt(1));

        seen.apply(&[extend(0)]);
        assert_eq!(seen.current.as_ref().unwrap().lease_expires_at, Some(TimestampMs(7)));
        assert_eq!(seen.named.as_ref().unwrap().lease_expires_at, Some(LEASE_END));

        seen.apply(&[extend(1)]);
        assert_eq!(seen.named.as_ref().unwrap().lease_expires_at, Some(TimestampMs(7)));
        let fence = handle_of(&attempt(0));
        assert!(fence.check(&seen, TimestampMs(6)).is_ok());
        assert!(fence.check(&seen, TimestampMs(7)).is_err());
    }

    #[test]
    fn results_grants_and_keys_are_shown_and_lanes_are_not_touched() {
        let mut seen = seen_pair(running(LEASE_END));
        let execution_id = execution().id;
        let granted = grant(GrantKind::Claim, "worker", LEASE_END);
        let key = CreateDedup {
            namespace: Namespace::new("tests"),
            key: "key".to_owned(),
            digest: [1; 32],
            execution_id: execution_id.clone(),
            expires_at: LEASE_END,
        };
        let lane = LaneId::new("default");

        seen.apply(&[
            Change::PutResult { execution_id: execution_id.clone(), result: Some(vec![1]) },
            Change::PutGrant(Box::new(granted.clone())),
            Change::PutDedup(key.clone()),
            Change::RegisterLane { lane: lane.clone(), at: NOW },
            Change::PutLane(Lane {
                id: lane,
                state: LaneState::Paused,
                registered_at: NOW,
                quota_policy_id: Ok(None),
            }),
        ]);

        assert_eq!(seen.result, Some(vec![1]));
        assert_eq!(seen.grant, Some(granted));
        assert_eq!(seen.dedup, Some(key));
        assert_eq!(seen.lane, None);

        seen.apply(&[
            Change::PutResult { execution_id: execution_id.clone(), result: None },
            Change::DropGrants { execution_id, kind: GrantKind::Claim },
        ]);
        assert_eq!(seen.result, None);
        assert_eq!(seen.grant, None);
    }
}
