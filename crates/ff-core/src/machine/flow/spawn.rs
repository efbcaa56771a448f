//! Work that brings work: a child of the execution that runs.

use super::resolve::{group_of, put_edge, put_group};
use super::rows::Edge;
use super::{Flow, Wanted, add, in_flow_partition, stage};
use crate::EngineError;
use crate::contracts::{CreateExecutionResult, SpawnExecutionArgs, SpawnExecutionResult};
use crate::engine_error::StateKind;
use crate::machine::execution::Create;
use crate::machine::{
    Change, Command, Context, Execution, Fence, Footprint, Snapshot, Transition, Urgency,
};
use crate::types::{EdgeId, ExecutionId};

/// Stores a child under its parent's lease: the execution, its membership in the parent's flow and,
/// if the parent joins it, the edge between the two, counting at once. All of it or nothing.
///
/// Safe to repeat: the same id, or the same idempotency key with the same kind, lane, payload,
/// policy, flow and join, answers `Duplicate`. Refused in this order: a missing parent
/// (`NotFound`), a lease that has ended, a join without a flow (`State(ExecutionNotInFlow)`), a
/// flow that has ended (`State(FlowAlreadyTerminal)`), what [`Create`] refuses, a full flow
/// (`Validation(InvalidInput)`).
#[derive(Debug, Clone)]
pub struct Spawn {
    parent_id: ExecutionId,
    fence: Fence,
    child: Create,
    joins: bool,
}

impl Spawn {
    /// A child of the execution that `fence` owns.
    pub fn new(parent_id: ExecutionId, fence: Fence, args: SpawnExecutionArgs) -> Self {
        Self { parent_id, fence, child: Create::new(args.execution), joins: args.joins }
    }

    /// What a repeat of the child's idempotency key must agree in.
    fn belongs_to(&self, flow: Option<&Flow>) -> Vec<u8> {
        let joined = Some(self.parent_id.uuid()).filter(|_| self.joins);
        let ids = flow.map(|flow| flow.id.0).into_iter().chain(joined);
        ids.flat_map(|id| *id.as_bytes()).collect()
    }

    /// The flow with one more member and, if the parent joins it, the edge from it.
    fn joined(
        &self,
        flow: &Flow,
        parent: &Execution,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Vec<Change>, EngineError> {
        in_flow_partition(self.child.id())?;
        add::has_room(flow)?;
        let mut after = flow.next(cx.now);
        after.node_count += 1;
        after.revision += 1;
        if !self.joins {
            return Ok(vec![after.write()]);
        }
        stage::has_room(flow)?;
        after.edge_count += 1;
        after.revision += 1;
        let id = EdgeId::from_uuid(cx.ids.uuid());
        let edge = Edge::drawn(id, &flow.id, [self.child.id(), &parent.id], None, cx.now).applied();
        let mut group = group_of(seen, &edge);
        group.running += 1;
        Ok(vec![after.write(), put_edge(edge), put_group(group)])
    }
}

impl Command for Spawn {
    const NAME: &'static str = "flow.spawn";
    type Outcome = SpawnExecutionResult;

    fn footprint(&self) -> Footprint {
        let parent = Footprint::execution(&self.parent_id).with_attempt(self.fence.index());
        let existing = vec![self.child.id().clone()];
        Footprint {
            execution: parent.execution,
            attempt: parent.attempt,
            flow: Wanted { own_group: self.joins, existing, ..Wanted::default() },
            ..self.child.footprint()
        }
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<SpawnExecutionResult>, EngineError> {
        seen.execution()?;
        let (parent, _) = self.fence.check(seen, cx.now)?;
        let flow = seen.flow.own.as_ref();
        match flow {
            None if self.joins => return Err(EngineError::State(StateKind::ExecutionNotInFlow)),
            Some(flow) if flow.is_terminal() => {
                return Err(EngineError::State(StateKind::FlowAlreadyTerminal));
            }
            Some(_) | None => {}
        }
        let flow_id = flow.map(|flow| flow.id.clone());
        let child_id = self.child.id();
        if seen.flow.existing.contains(child_id) {
            let execution_id = child_id.clone();
            return Ok(Transition::unchanged(SpawnExecutionResult::Duplicate {
                execution_id,
                flow_id,
            }));
        }
        let rows = Snapshot {
            dedup: seen.dedup.clone(),
            gate_keys: seen.gate_keys,
            gate_known: seen.gate_known,
            ..Snapshot::default()
        };
        let mut created = self.child.decide_as_part(&rows, cx, &self.belongs_to(flow))?;
        let execution_id = match created.outcome.clone() {
            CreateExecutionResult::Created { execution_id, .. } => execution_id,
            CreateExecutionResult::Duplicate { execution_id } => {
                let duplicate = SpawnExecutionResult::Duplicate { execution_id, flow_id };
                return Ok(created.answer(duplicate));
            }
        };
        if let Some(flow) = flow {
            for change in &mut created.changes {
                if let Change::CreateExecution { execution, .. } = change {
                    execution.flow_id.clone_from(&flow_id);
                }
            }
            created.changes.extend(self.joined(flow, parent, seen, cx)?);
        }
        Ok(created.answer(SpawnExecutionResult::Spawned { execution_id, flow_id }))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Lease
    }

    fn weight(&self) -> usize {
        self.child.weight()
    }
}
