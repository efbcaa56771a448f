//! What operators changed: told once for each answer that changed something, and for nothing else.

use ff_core::machine::transition::{Event, OperatorEventKind};
use ff_core::store::Topic;
use ff_core::stream_events::OperatorChange;
use ff_core::types::TimestampMs;

use super::call::{Answer, Call, Operation};
use super::flow;
use super::ledger::found;
use super::stage::{Stage, at_once, broken};
use crate::invariants::Finding;

/// The outbox is looked at after one call in so many that changes nothing for operators.
const LOOKED_AT_EVERY: u32 = 32;

/// One change as a subscriber is told it: its id, whom it is about and what it did, and when.
pub(super) type Told = (i64, String, TimestampMs);

/// What is known of the changes.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    told: Vec<Told>,
}

impl Operators {
    /// Every change so far.
    pub(super) fn told(&self) -> &[Told] {
        &self.told
    }
}

/// What the outbox says of a change.
fn stored(event: &Event) -> Option<(String, TimestampMs)> {
    match event {
        Event::Operator(event) => {
            let id = &event.execution_id;
            let what = match &event.kind {
                OperatorEventKind::PriorityChanged { old_priority, new_priority } => {
                    format!("{id} from {old_priority} to {new_priority}")
                }
                OperatorEventKind::Replayed { branch, groups_reset } => {
                    format!("{id} replayed as {}, {groups_reset:?}", branch.as_str())
                }
            };
            Some((what, event.at))
        }
        Event::FlowCancelRequested(event) => {
            let (id, policy) = (&event.flow_id, &event.policy);
            Some((format!("{id} cancelled by {policy}, {}", event.member_count), event.at))
        }
        Event::Lease(_) | Event::Completion(_) | Event::Signal(_) | Event::Transition(_) => None,
    }
}

/// What a subscriber is told of it.
pub(super) fn shown(change: &OperatorChange) -> String {
    match change {
        OperatorChange::PriorityChanged { execution_id, old_priority, new_priority } => {
            format!("{execution_id} from {old_priority} to {new_priority}")
        }
        OperatorChange::Replayed { execution_id, branch, groups_reset } => {
            format!("{execution_id} replayed as {branch}, {groups_reset:?}")
        }
        OperatorChange::FlowCancelRequested {
            flow_id, cancellation_policy, member_count, ..
        } => format!("{flow_id} cancelled by {cancellation_policy}, {member_count}"),
        _ => String::new(),
    }
}

impl Stage {
    /// Each accepted change is announced once, and nothing else is.
    pub(crate) fn check_operators(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let (about, most) = match &operation.call {
            Call::ChangePriority(number, priority) if answer.is_ok => {
                (Some(format!("{} from ", self.plan(*number).id)), format!(" to {priority}"))
            }
            Call::Replay(number) if answer.is_ok => {
                (Some(format!("{} replayed as ", self.plan(*number).id)), String::new())
            }
            Call::Flow(number, flow::Ask::Cancel { .. }) if answer.is_ok => {
                let id = flow::graph(self.seed(), *number).id;
                (Some(format!("{id} cancelled by ")), String::new())
            }
            _ if operation.number.is_multiple_of(LOOKED_AT_EVERY) => (None, String::new()),
            _ => return Ok(()),
        };
        let is_cancel = matches!(operation.call, Call::Flow(..));
        let after = self.operators.told.last().map_or(0, |(id, _, _)| *id);
        let news = at_once(self.engine.events_behind(Topic::Operator, after));
        let news = news.map_err(|error| broken(&error))?;
        let news: Vec<Told> = news
            .iter()
            .filter_map(|(id, event)| stored(event).map(|(what, at)| (*id, what, at)))
            .collect();
        let is_announced = match (&about, news.as_slice()) {
            (None, []) => true,
            // A cancel that is repeated is answered, and was told before.
            (Some(about), []) => {
                is_cancel && self.operators.told.iter().any(|(_, what, _)| what.starts_with(about))
            }
            (Some(about), [(_, what, at)]) => {
                what.starts_with(about) && what.contains(&most) && *at == self.now()
            }
            _ => false,
        };
        if !is_announced {
            let detail = format!("{:?} is told {answer}; announced: {news:?}", operation.call);
            return Err(found("I27", None, detail));
        }
        self.operators.told.extend(news);
        Ok(())
    }
}
