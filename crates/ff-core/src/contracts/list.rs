//! Pages over many executions. A cursor is exclusive; there is no snapshot across pages.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use serde::{Deserialize, Serialize};

use super::ExecutionSummary;
use crate::state::PublicState;
use crate::types::{ExecutionId, FlowId, LaneId, Namespace, TimestampMs};

/// Rows a page of found executions holds unless the caller says otherwise.
pub const FIND_EXECUTIONS_DEFAULT_LIMIT: u32 = 50;

/// Most rows a page of found executions holds.
pub const FIND_EXECUTIONS_MAX_LIMIT: u32 = 1_000;

/// A page of suspended executions; a cursor means there are more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListSuspendedPage {
    pub entries: Vec<SuspendedExecutionEntry>,
    pub next_cursor: Option<ExecutionId>,
}

impl ListSuspendedPage {
    #[must_use]
    pub fn new(entries: Vec<SuspendedExecutionEntry>, next_cursor: Option<ExecutionId>) -> Self {
        Self { entries, next_cursor }
    }
}

/// One suspended execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuspendedExecutionEntry {
    pub execution_id: ExecutionId,
    pub suspended_at_ms: i64,
    pub reason: String,
}

impl SuspendedExecutionEntry {
    #[must_use]
    pub fn new(execution_id: ExecutionId, suspended_at_ms: i64, reason: String) -> Self {
        Self { execution_id, suspended_at_ms, reason }
    }
}

/// A page of execution ids; a cursor means there are more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListExecutionsPage {
    pub executions: Vec<ExecutionId>,
    pub next_cursor: Option<ExecutionId>,
}

impl ListExecutionsPage {
    #[must_use]
    pub fn new(executions: Vec<ExecutionId>, next_cursor: Option<ExecutionId>) -> Self {
        Self { executions, next_cursor }
    }
}

/// Which executions to find: those that fit everything that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FindExecutionsArgs {
    /// Empty means any state.
    #[serde(default)]
    pub states: Vec<PublicState>,
    #[serde(default)]
    pub lane: Option<LaneId>,
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub namespace: Option<Namespace>,
    /// A tag key and the value it must have.
    #[serde(default)]
    pub tag: Option<(String, String)>,
    #[serde(default)]
    pub flow_id: Option<FlowId>,
    /// Inclusive.
    #[serde(default)]
    pub created_from: Option<TimestampMs>,
    /// Exclusive.
    #[serde(default)]
    pub created_before: Option<TimestampMs>,
    /// By time of creation; oldest first otherwise.
    #[serde(default)]
    pub newest_first: bool,
    /// The `next_cursor` of the page before, with the same filters and order.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most [`FIND_EXECUTIONS_MAX_LIMIT`].
    #[serde(default = "find_executions_limit_default")]
    pub limit: u32,
}

fn find_executions_limit_default() -> u32 {
    FIND_EXECUTIONS_DEFAULT_LIMIT
}

impl Default for FindExecutionsArgs {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            lane: None,
            kind: None,
            namespace: None,
            tag: None,
            flow_id: None,
            created_from: None,
            created_before: None,
            newest_first: false,
            cursor: None,
            limit: FIND_EXECUTIONS_DEFAULT_LIMIT,
        }
    }
}

impl FindExecutionsArgs {
    /// Everything, oldest first, [`FIND_EXECUTIONS_DEFAULT_LIMIT`] a page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_states(mut self, states: Vec<PublicState>) -> Self {
        self.states = states;
        self
    }

    #[must_use]
    pub fn with_lane(mut self, lane: LaneId) -> Self {
        self.lane = Some(lane);
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tag = Some((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn with_flow_id(mut self, flow_id: FlowId) -> Self {
        self.flow_id = Some(flow_id);
        self
    }

    #[must_use]
    pub fn with_created_from(mut self, at: TimestampMs) -> Self {
        self.created_from = Some(at);
        self
    }

    #[must_use]
    pub fn with_created_before(mut self, at: TimestampMs) -> Self {
        self.created_before = Some(at);
        self
    }

    #[must_use]
    pub fn with_newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    #[must_use]
    pub fn with_cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A page of found executions. It may be short, even empty, while a cursor is set: a page examines
/// a bounded number of rows. Without a cursor there is nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FindExecutionsPage {
    pub executions: Vec<ExecutionSummary>,
    pub next_cursor: Option<String>,
}

impl FindExecutionsPage {
    #[must_use]
    pub fn new(executions: Vec<ExecutionSummary>, next_cursor: Option<String>) -> Self {
        Self { executions, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_without_fields_is_the_default_search() {
        let args: FindExecutionsArgs = serde_json::from_str("{}").unwrap();
        assert_eq!(args, FindExecutionsArgs::new());
        assert_eq!(args.limit, 50);
    }

    #[test]
    fn a_search_survives_json() {
        let args = FindExecutionsArgs::new()
            .with_states(vec![PublicState::Failed])
            .with_lane(LaneId::new("l"))
            .with_tag("app.x", "y")
            .with_newest_first()
            .with_limit(7);
        let json = serde_json::to_string(&args).unwrap();
        assert_eq!(serde_json::from_str::<FindExecutionsArgs>(&json).unwrap(), args);
    }
}
