//! Tagging a flow.

use super::create::wanting;
use super::{Wanted, invalid};
use crate::EngineError;
use crate::machine::execution::create::tag_within_limits;
use crate::machine::limits::TAGS_MAX;
use crate::machine::{Command, Context, Footprint, Snapshot, Transition};
use crate::types::FlowId;

/// Sets one tag of a flow, in any state. Safe to repeat. Refused beyond the limits of a tag, or
/// of the number of tags, with `Validation(InvalidInput)`.
#[derive(Debug, Clone)]
pub struct SetFlowTag {
    /// The flow.
    pub flow_id: FlowId,
    /// The key; its shape is checked by the caller of the engine.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Command for SetFlowTag {
    const NAME: &'static str = "flow.set_tag";
    type Outcome = ();

    fn footprint(&self) -> Footprint {
        wanting(Wanted { flow: Some(self.flow_id.clone()), ..Wanted::default() })
    }

    fn decide(&self, seen: &Snapshot, cx: &mut Context<'_>) -> Result<Transition<()>, EngineError> {
        tag_within_limits(&self.key, &self.value)?;
        let flow = seen.flow.flow()?;
        if flow.tags.get(&self.key) == Some(&self.value) {
            return Ok(Transition::unchanged(()));
        }
        if flow.tags.len() >= TAGS_MAX && !flow.tags.contains_key(&self.key) {
            return Err(invalid(format!("the flow has {TAGS_MAX} tags, the most it may have")));
        }
        let mut after = flow.next(cx.now);
        after.tags.insert(self.key.clone(), self.value.clone());
        Ok(Transition::unchanged(()).change(after.write()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{decide, refusal};
    use crate::machine::flow::Write;
    use crate::machine::flow::testing::{flow, flow_id, showing};
    use crate::machine::{Change, Snapshot};

    fn set(key: &str, value: &str) -> SetFlowTag {
        SetFlowTag { flow_id: flow_id(), key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_tag_is_set_once() {
        let done = decide(&set("a.b", "c"), &showing(flow())).unwrap();

        let [Change::Flow(Write::PutFlow(after))] = &done.changes[..] else { panic!() };
        assert_eq!(after.tags.get("a.b").map(String::as_str), Some("c"));
        assert!(decide(&set("a.b", "c"), &showing((**after).clone())).unwrap().is_unchanged());
    }

    #[test]
    fn an_unknown_flow_and_one_tag_too_many_are_refused() {
        assert!(refusal(decide(&set("a.b", ""), &Snapshot::default())).contains("flow"));
        let mut full = flow();
        full.tags = (0..TAGS_MAX).map(|n| (format!("a.t{n}"), String::new())).collect();

        assert!(refusal(decide(&set("a.b", ""), &showing(full.clone()))).contains("64 tags"));
        assert!(decide(&set("a.t1", "x"), &showing(full)).is_ok());
    }
}
