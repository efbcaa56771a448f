//! The rows a command asks for, and the rows it is shown.

use super::rows::{Attempt, CreateDedup, Execution, Grant, GrantKind, Lane};
use super::transition::Change;
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
            }
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
