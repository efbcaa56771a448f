//! Creating a flow: an empty graph.

use std::collections::BTreeMap;

use super::rows::{Flow, FlowState};
use super::{Wanted, Write, invalid};
use crate::EngineError;
use crate::contracts::{CreateFlowArgs, CreateFlowResult};
use crate::machine::limits::NAME_MAX_BYTES;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::{FlowId, Namespace, TimestampMs};

/// Stores a new, empty flow.
///
/// Safe to repeat: a known id answers `AlreadySatisfied`, whatever else was asked, and nothing
/// changes. A kind or namespace above its limit is `Validation(InvalidInput)`.
#[derive(Debug, Clone)]
pub struct CreateFlow {
    /// The call.
    pub args: CreateFlowArgs,
}

impl Command for CreateFlow {
    const NAME: &'static str = "flow.create";
    type Outcome = CreateFlowResult;

    fn footprint(&self) -> Footprint {
        wanting(Wanted { flow: Some(self.args.flow_id.clone()), ..Wanted::default() })
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CreateFlowResult>, EngineError> {
        let flow_id = self.args.flow_id.clone();
        if seen.flow.flow.is_some() {
            return Ok(Transition::unchanged(CreateFlowResult::AlreadySatisfied { flow_id }));
        }
        let flow = born(&flow_id, &self.args.flow_kind, &self.args.namespace, cx.now)?;
        Ok(Transition::unchanged(CreateFlowResult::Created { flow_id })
            .change(Change::Flow(Write::PutFlow(Box::new(flow)))))
    }
}

/// A footprint of flow rows alone.
pub(super) fn wanting(flow: Wanted) -> Footprint {
    Footprint { flow, ..Footprint::default() }
}

/// A flow without members.
pub(super) fn born(
    id: &FlowId,
    kind: &str,
    namespace: &Namespace,
    now: TimestampMs,
) -> Result<Flow, EngineError> {
    for (field, value) in [("flow_kind", kind), ("namespace", namespace.as_str())] {
        if value.len() > NAME_MAX_BYTES {
            return Err(invalid(format!(
                "{field} is {} bytes; the limit is {NAME_MAX_BYTES}",
                value.len()
            )));
        }
    }
    Ok(Flow {
        id: id.clone(),
        version: 1,
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        revision: 0,
        state: FlowState::Active,
        node_count: 0,
        edge_count: 0,
        created_at: now,
        ended_at: None,
        mutated_at: now,
        cancel: None,
        tags: BTreeMap::new(),
        digest: None,
    })
}

impl Flow {
    /// The row that replaces this one, with its version raised.
    pub(crate) fn next(&self, now: TimestampMs) -> Self {
        Self { version: self.version + 1, mutated_at: now, ..self.clone() }
    }

    /// The write that stores this row.
    pub(crate) fn write(self) -> Change {
        Change::Flow(Write::PutFlow(Box::new(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, refusal};
    use crate::machine::flow::testing::{flow, flow_id, showing};

    fn create() -> CreateFlow {
        CreateFlow {
            args: CreateFlowArgs {
                flow_id: flow_id(),
                flow_kind: "kind".to_owned(),
                namespace: Namespace::new("tests"),
                now: TimestampMs(0),
            },
        }
    }

    #[test]
    fn a_new_flow_is_open_and_empty() {
        let done = decide(&create(), &Snapshot::default()).unwrap();

        assert_eq!(done.outcome, CreateFlowResult::Created { flow_id: flow_id() });
        let [Change::Flow(Write::PutFlow(stored))] = &done.changes[..] else { panic!() };
        assert_eq!((stored.state, stored.node_count, stored.edge_count), (FlowState::Active, 0, 0));
        assert_eq!((stored.revision, stored.created_at), (0, NOW));
    }

    #[test]
    fn a_known_flow_is_left_as_it_is() {
        let mut again = create();
        again.args.flow_kind = "other".to_owned();

        let done = decide(&again, &showing(flow())).unwrap();

        assert_eq!(done.outcome, CreateFlowResult::AlreadySatisfied { flow_id: flow_id() });
        assert!(done.is_unchanged());
    }

    #[test]
    fn a_long_name_is_refused() {
        let mut long = create();
        long.args.flow_kind = "x".repeat(NAME_MAX_BYTES + 1);

        assert!(refusal(decide(&long, &Snapshot::default())).contains("flow_kind is 129 bytes"));
    }
}
