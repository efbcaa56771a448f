//! What flows have left to do, in bounded steps: announced ends, decided groups, cancelled flows.
//!
//! [`step`] runs behind every command that ended a member, in the same transaction, and in front
//! of every claim and sweep, for what was more than one step or what a dead process left. Each
//! edge and each member is a command of its own. Nothing is struck off before it is done, so a
//! step may stop, or a process die, at any point.

use std::collections::BTreeSet;

use super::cancel::CloseBacklog;
use super::dispatch::Dispatch;
use super::rows::Announced;
use super::sibling::{CancelSibling, DropSiblings, PendingGroup};
use super::{Resolve, Upstream};
use crate::EngineError;
use crate::engine_error::ValidationKind;
use crate::machine::drive::{Session, run_if_readable};
use crate::machine::limits::{DUE_STUCK_MAX, FLOW_STEP_MAX};
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

    /// Answers whether the rows of the command could be read.
    fn run<S: Session, C: crate::machine::Command>(
        &mut self,
        session: &mut S,
        command: &C,
        cx: &mut Context<'_>,
    ) -> Result<bool, EngineError> {
        self.examined += 1;
        let done = run_if_readable(session, command, cx)?;
        let is_readable = done.is_some();
        if let Some(done) = done {
            self.changes.extend(done.changes);
            self.events.extend(done.events);
        }
        Ok(is_readable)
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
        }
        if work.groups && step.changes.len() == before {
            cancel_siblings(session, cx, &mut step)?;
        }
        if work.backlog && step.changes.len() == before {
            cancel_members(session, cx, &mut step)?;
        }
        // What cannot be read stays where it is; it must not keep anybody busy.
        if step.changes.len() == before {
            return Ok(step);
        }
    }
}

/// The oldest announcement of a flow that can be read: its edges, then itself.
fn settle_announced<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
) -> Result<(), EngineError> {
    let before = step.changes.len();
    let mut unreadable = BTreeSet::new();
    let (mut after, mut looked_at, mut limit) = (i64::MIN, 0, 1);
    while looked_at < DUE_STUCK_MAX {
        let page = session.announced(after, limit)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.event_id;
        looked_at += page.len();
        limit = FLOW_STEP_MAX;
        for announced in page {
            if unreadable.contains(&announced.flow_id.0) {
                continue;
            }
            let flow = announced.flow_id.0;
            settle_end(session, cx, step, announced)?;
            if step.changes.len() > before || step.left() == 0 {
                return Ok(());
            }
            unreadable.insert(flow);
        }
    }
    Ok(())
}

/// One announcement: its edges, then itself. Where its flow cannot be read it is left as it is.
fn settle_end<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
    announced: Announced,
) -> Result<(), EngineError> {
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
                if !step.run(session, &resolve, cx)?
                    && unless_corrupt(session.flow(flow))?.is_none()
                {
                    return Ok(());
                }
            }
            if is_all {
                break;
            }
        }
    }
    let Announced { event_id, flow_id, .. } = announced;
    step.run(session, &Dispatch { event_id, flow_id }, cx).map(drop)
}

/// What was read; `None` for rows that cannot be.
fn unless_corrupt<T>(read: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
            tracing::error!(%detail, "a flow is left behind because its rows cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
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

/// The oldest decided group that can be read: its remaining upstreams, then itself.
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

/// The oldest cancelled flow with a member that can be read: members that its cancel reaches, then
/// itself. A member ends because its flow's mark is settled in front of any command on it.
fn cancel_members<S: Session>(
    session: &mut S,
    cx: &mut Context<'_>,
    step: &mut FlowStep,
) -> Result<(), EngineError> {
    let before = step.changes.len();
    for flow_id in session.cancel_backlog(FLOW_STEP_MAX)? {
        let wanted = step.left();
        let Some(reached) = unless_corrupt(session.reached_members(&flow_id, wanted))? else {
            continue;
        };
        let is_all = reached.len() < wanted;
        for execution_id in reached {
            step.run(session, &Due { execution_id }, cx)?;
        }
        if is_all {
            step.run(session, &CloseBacklog { flow_id }, cx)?;
        }
        if step.changes.len() > before || step.left() == 0 {
            return Ok(());
        }
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
