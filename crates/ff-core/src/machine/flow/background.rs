//! What flows have left to do, in bounded steps: announced ends, decided groups, cancelled flows.
//!
//! [`step`] runs behind every command that ended a member, in the same transaction, and in front
//! of every claim and sweep, for what was more than one step or what a dead process left. Each
//! edge and each member is a command of its own. Nothing is struck off before it is done, so a
//! step may stop, or a process die, at any point.

use super::cancel::CloseBacklog;
use super::dispatch::Dispatch;
use super::rows::Announced;
use super::sibling::{CancelSibling, DropSiblings, PendingGroup};
use super::{Resolve, Upstream};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::drive::{Session, run_if_readable};
use crate::machine::limits::FLOW_STEP_MAX;
use crate::machine::sweep::Due;
use crate::machine::transition::{Change, Event};
use crate::machine::{Context, Footprint};
use crate::types::{EdgeId, ExecutionId};

/// What one step did.
#[derive(Debug, Default)]
pub struct FlowStep {
    /// Edges, members and flows looked at.
    pub examined: usize,
    /// The rows written.
    pub changes: Vec<Change>,
    /// The facts announced.
    pub events: Vec<Event>,
    /// Whether another step would find more.
    pub is_unfinished: bool,
}

impl FlowStep {
    fn left(&self) -> usize {
        FLOW_STEP_MAX.saturating_sub(self.examined)
    }

    fn run<S: Session, C: crate::machine::Command>(
        &mut self,
        session: &mut S,
        command: &C,
        cx: &mut Context<'_>,
    ) -> Result<(), EngineError> {
        self.examined += 1;
        if let Some(done) = run_if_readable(session, command, cx)? {
            self.changes.extend(done.changes);
            self.events.extend(done.events);
        }
        Ok(())
    }
}

/// What is left to do, as one read of the heads of three indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowWork {
    /// An end is announced.
    pub announced: bool,
    /// A decided group has upstreams left.
    pub groups: bool,
    /// A cancelled flow has members left.
    pub backlog: bool,
}

impl FlowWork {
    /// Whether there is any.
    pub const fn is_any(self) -> bool {
        self.announced || self.groups || self.backlog
    }
}

/// Does up to [`FLOW_STEP_MAX`] of what is left.
pub fn step<S: Session>(session: &mut S, cx: &mut Context<'_>) -> Result<FlowStep, EngineError> {
    let mut step = FlowStep::default();
    loop {
        let work = session.flow_work()?;
        if !work.is_any() {
            return Ok(step);
        }
        if step.left() == 0 {
            step.is_unfinished = true;
            return Ok(step);
        }
        let before = step.changes.len();
        if work.announced {
            settle_announced(session, cx, &mut step)?;
        } else if work.groups {
            cancel_siblings(session, cx, &mut step)?;
        } else {
            cancel_members(session, cx, &mut step)?;
        }
        // What cannot be read stands at the head for ever; it must not keep anybody busy.
        if step.changes.len() == before {
            return Ok(step);
        }
    }
}

/// The oldest announcement: its edges, then itself.
fn settle_announced<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
) -> Result<(), EngineError> {
    let Some(announced) = session.announced()? else { return Ok(()) };
    if let Some((outcome, run)) = end_of_run(session, &announced)? {
        let mut after = None;
        loop {
            let wanted = step.left();
            if wanted == 0 {
                return Ok(());
            }
            let (flow, upstream) = (&announced.flow_id, &announced.execution_id);
            let edges = session.open_edges_from(flow, upstream, after.as_ref(), wanted)?;
            let is_all = edges.len() < wanted;
            for OpenEdge { id, downstream } in edges {
                after = Some(id.clone());
                let (flow_id, upstream) = (flow.clone(), upstream.clone());
                let resolve = Resolve { flow_id, edge_id: id, upstream, downstream, outcome, run };
                step.run(session, &resolve, cx)?;
            }
            if is_all {
                break;
            }
        }
    }
    let Announced { event_id, flow_id, .. } = announced;
    step.run(session, &Dispatch { event_id, flow_id }, cx)
}

/// The announced end, unless the upstream has begun another run since: then the end of that run
/// will settle its edges.
fn end_of_run<S: Session>(
    session: &mut S,
    announced: &Announced,
) -> Result<Option<(crate::state::TerminalOutcome, u32)>, EngineError> {
    let Some(outcome) = announced.outcome else { return Ok(None) };
    let said = Some((outcome, announced.run));
    match session.load(&Footprint::execution(&announced.execution_id)) {
        Ok(seen) => Ok(match seen.execution.as_ref().map(Upstream::of) {
            None => said,
            Some(upstream) if upstream.run == announced.run && upstream.outcome.is_some() => said,
            Some(_) => None,
        }),
        Err(EngineError::Validation { kind: ValidationKind::Corruption, .. }) => Ok(said),
        Err(error) => Err(error),
    }
}

/// The oldest decided group: its remaining upstreams, then itself.
fn cancel_siblings<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
) -> Result<(), EngineError> {
    let Some(PendingGroup { flow_id, downstream, decided, .. }) = session.pending_group()? else {
        return Ok(());
    };
    let wanted = step.left();
    let upstreams = session.open_upstreams_of(&flow_id, &downstream, wanted)?;
    let is_all = upstreams.len() < wanted;
    for execution_id in upstreams {
        step.run(session, &CancelSibling { execution_id, decided }, cx)?;
    }
    if is_all {
        step.run(session, &DropSiblings { flow_id, downstream }, cx)?;
    }
    Ok(())
}

/// The oldest cancelled flow: members that its cancel reaches, then itself. A member ends because
/// its flow's mark is settled in front of any command on it.
fn cancel_members<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
) -> Result<(), EngineError> {
    let Some(flow_id) = session.cancel_backlog()? else { return Ok(()) };
    let wanted = step.left();
    let mut reached = session.reached_members(&flow_id, wanted)?;
    let is_all = reached.len() < wanted;
    for execution_id in reached.drain(..) {
        step.run(session, &Due { execution_id }, cx)?;
    }
    if is_all {
        step.run(session, &CloseBacklog { flow_id }, cx)?;
    }
    Ok(())
}

/// An edge that counts and is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub struct OpenEdge {
    pub id: EdgeId,
    pub downstream: ExecutionId,
}

/// Whether a decision left flows something to do, so that the step behind it is worth a look.
pub fn follows(changes: &[Change], events: &[Event]) -> bool {
    events.iter().any(|event| match event {
        Event::Completion(event) => event.flow_id.is_some(),
        Event::FlowCancelRequested(_) => true,
        Event::Lease(_) | Event::Operator(_) | Event::Signal(_) | Event::Transition(_) => false,
    }) || changes
        .iter()
        .any(|change| matches!(change, Change::Flow(super::Write::EnqueueSiblings { .. })))
}
