//! Striking off an announced end once its edges are settled; and closing a flow whose members
//! have all ended.

use super::rows::FlowState;
use super::{Wanted, Write};
use crate::EngineError;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::FlowId;

/// Strikes off one announcement, and closes its flow when nobody is left in it.
///
/// Run behind the last edge of the announced end, never before: what a dead process left is still
/// announced. Safe to repeat.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The announcement.
    pub event_id: i64,
    /// Its flow.
    pub flow_id: FlowId,
}

impl Command for Dispatch {
    const NAME: &'static str = "flow.dispatch";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint {
            flow: Wanted { flow: Some(self.flow_id.clone()), standings: true, ..Wanted::default() },
            ..Footprint::default()
        }
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        let done = Change::Flow(Write::Dispatched { event_id: self.event_id, at: cx.now });
        let transition = Transition::unchanged(()).change(done);
        let Some(flow) = seen.flow.flow.as_ref() else { return Ok(transition) };
        let standings = seen.flow.standings;
        if flow.is_terminal() || standings.any_open {
            return Ok(transition);
        }
        let mut after = flow.next(cx.now);
        after.state = if standings.any_bad { FlowState::Failed } else { FlowState::Completed };
        after.ended_at = Some(cx.now);
        Ok(transition.change(after.write()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, decide};
    use crate::machine::flow::rows::{Flow, Standings};
    use crate::machine::flow::testing::{ended_flow, flow, flow_id, showing};

    fn dispatch(flow: Flow, standings: Standings) -> Option<Flow> {
        let mut seen = showing(flow);
        seen.flow.standings = standings;
        let done = decide(&Dispatch { event_id: 7, flow_id: flow_id() }, &seen).unwrap();
        assert_eq!(done.changes[0], Change::Flow(Write::Dispatched { event_id: 7, at: NOW }));
        match done.changes.get(1) {
            Some(Change::Flow(Write::PutFlow(flow))) => Some((**flow).clone()),
            _ => None,
        }
    }

    #[test]
    fn a_flow_ends_with_its_last_member() {
        let open = Standings { any_open: true, any_bad: true, ..Standings::default() };
        assert_eq!(dispatch(flow(), open), None);

        let good = dispatch(flow(), Standings::default()).unwrap();
        assert_eq!((good.state, good.ended_at), (FlowState::Completed, Some(NOW)));
        assert_eq!(good.version, flow().version + 1);

        let bad = Standings { any_bad: true, ..Standings::default() };
        assert_eq!(dispatch(flow(), bad).unwrap().state, FlowState::Failed);
    }

    #[test]
    fn a_flow_that_has_ended_stays_as_it_is() {
        assert_eq!(dispatch(ended_flow(FlowState::Cancelled), Standings::default()), None);
    }

    #[test]
    fn an_announcement_of_a_flow_that_is_gone_is_struck_off() {
        let done =
            decide(&Dispatch { event_id: 7, flow_id: flow_id() }, &Snapshot::default()).unwrap();
        assert_eq!(done.changes.len(), 1);
    }
}
