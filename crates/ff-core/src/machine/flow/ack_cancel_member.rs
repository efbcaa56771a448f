//! Striking a member off the cancel backlog.

use super::Write;
use crate::EngineError;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::{ExecutionId, FlowId};

/// Strikes a member off. Safe to repeat; unknown ids are fine. With the last one the backlog of a
/// flow whose members have all ended goes too.
#[derive(Debug, Clone)]
pub struct AckCancelMember {
    /// The flow.
    pub flow_id: FlowId,
    /// The member.
    pub execution_id: ExecutionId,
}

impl Command for AckCancelMember {
    const NAME: &'static str = "flow.ack_cancel_member";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn decide(&self, _: &Snapshot, _: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        Ok(Transition::unchanged(()).change(Change::Flow(Write::Acknowledge {
            flow_id: self.flow_id.clone(),
            execution_id: self.execution_id.clone(),
        })))
    }
}
