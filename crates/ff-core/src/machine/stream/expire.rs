//! The frames of an attempt that ended go when the policy's time is over.
//!
//! The end of an attempt pays nothing for this. The first append sets an instant to look at the
//! stream, one time to live ahead; the end cannot lie before that append, so nothing is due
//! earlier. A look finds the attempt open, and looks again a time to live later; or ended, and
//! looks at the very instant; or that instant come, and removes frames, a bounded number a step.

use super::rows::{Class, Meta};
use super::{Wanted, Write, closing, retention};
use crate::EngineError;
use crate::machine::limits::STREAM_TRIM_STEP_MAX;
use crate::machine::policy::later;
use crate::machine::rows::{Attempt, Execution};
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition, Urgency};
use crate::types::{AttemptIndex, ExecutionId, TimestampMs};

/// Removes frames of a stream whose time is over, at most [`STREAM_TRIM_STEP_MAX`] of each class,
/// or sets when to look at it again. The summary stays. Safe to repeat. Answers how many frames
/// went.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the key of a stream")]
pub struct Expire {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
}

/// When the frames of a stream go; `None` while its attempt may go on, or without a policy.
pub fn ends_at(execution: &Execution, attempt: &Attempt) -> Option<TimestampMs> {
    let ttl = retention::ttl(execution)?;
    Some(later(closing::closing(execution, attempt)?.at, ttl))
}

impl Command for Expire {
    const NAME: &'static str = "stream.expire";
    type Outcome = u64;

    fn footprint(&self) -> Footprint {
        let mut footprint =
            Footprint::execution(&self.execution_id).with_attempt(self.attempt_index);
        footprint.stream = Wanted { meta: Some(self.attempt_index), summary: None };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<u64>, EngineError> {
        let Some(meta) = &seen.stream.meta else { return Ok(Transition::unchanged(0)) };
        if meta.look_at.is_none_or(|at| at > cx.now) {
            return Ok(Transition::unchanged(0));
        }
        let put = |meta: Meta| Change::Stream(Write::PutMeta(Box::new(meta)));
        // An execution that a tool removed leaves nothing to look at.
        let execution = seen.execution.as_ref();
        let owner = execution.zip(seen.attempt(self.attempt_index));
        let next = match owner.and_then(|(execution, attempt)| ends_at(execution, attempt)) {
            Some(at) if at <= cx.now => return Ok(self.remove(meta)),
            Some(at) => Some(at),
            None => execution.and_then(retention::ttl).map(|ttl| later(cx.now, ttl)),
        };
        Ok(Transition::unchanged(0).change(put(Meta { look_at: next, ..meta.clone() })))
    }

    fn urgency(&self) -> Urgency {
        Urgency::Bulk
    }
}

impl Expire {
    fn remove(&self, meta: &Meta) -> Transition<u64> {
        let (mut after, mut gone) = (meta.clone(), 0);
        let mut transition = Transition::unchanged(());
        for class in [Class::Durable, Class::Summary, Class::BestEffort] {
            let count = meta.kept(class).min(STREAM_TRIM_STEP_MAX);
            if count == 0 {
                continue;
            }
            *after.kept_mut(class) -= count;
            gone += count;
            transition = transition.change(Change::Stream(Write::TrimFrames {
                execution_id: self.execution_id.clone(),
                attempt_index: self.attempt_index,
                class,
                count,
            }));
        }
        let is_empty = after.durable_kept + after.summary_kept + after.best_effort_kept == 0;
        if is_empty {
            after.look_at = None;
            after.expires_at = None;
        }
        transition.change(Change::Stream(Write::PutMeta(Box::new(after)))).answer(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{LEASE_END, NOW, decide, now_plus, running};
    use crate::machine::rows::AttemptOutcome;
    use crate::policy::{ExecutionPolicy, StreamPolicy};

    /// A stream of 300 durable frames whose attempt ended `ago_ms` before the present, or runs.
    fn seen(ended_ago_ms: Option<i64>, look_at: TimestampMs) -> Snapshot {
        let (mut execution, mut attempt) = running(LEASE_END);
        let stream_policy = StreamPolicy {
            durability_mode: "durable".to_owned(),
            retention_maxlen: 0,
            retention_ttl_ms: Some(100),
        };
        execution.policy =
            Some(ExecutionPolicy { stream_policy: Some(stream_policy), ..Default::default() });
        if let Some(ago) = ended_ago_ms {
            attempt.outcome = Some(AttemptOutcome::Retry);
            attempt.ended_at = Some(now_plus(-ago));
        }
        let mut meta = Meta::new(execution.id.clone(), attempt.index);
        meta.durable_kept = 300;
        meta.look_at = Some(look_at);
        let mut seen = crate::machine::execution::testing::seen_pair((execution, attempt));
        seen.stream.meta = Some(meta);
        seen
    }

    fn expired(seen: &Snapshot) -> Transition<u64> {
        let meta = seen.stream.meta.as_ref().unwrap();
        let expire =
            Expire { execution_id: meta.execution_id.clone(), attempt_index: meta.attempt_index };
        decide(&expire, seen).unwrap()
    }

    fn look_at(transition: &Transition<u64>) -> Option<TimestampMs> {
        let written = transition.changes.iter().find_map(|change| match change {
            Change::Stream(Write::PutMeta(meta)) => Some(meta.look_at),
            _ => None,
        });
        written.expect("the counters are written")
    }

    #[test]
    fn frames_go_at_their_instant_and_not_before() {
        assert!(expired(&seen(Some(100), now_plus(1))).is_unchanged(), "not to be looked at");
        let early = expired(&seen(Some(99), NOW));
        assert_eq!((early.outcome, look_at(&early)), (0, Some(now_plus(1))));
        assert_eq!(expired(&seen(Some(100), NOW)).outcome, 256);
    }

    #[test]
    fn an_open_attempt_is_looked_at_again_a_time_to_live_later() {
        let open = expired(&seen(None, NOW));

        assert_eq!((open.outcome, look_at(&open)), (0, Some(now_plus(100))));
    }

    #[test]
    fn a_long_stream_goes_in_steps_and_is_then_left_alone() {
        let mut seen = seen(Some(100), NOW);
        let first = expired(&seen);
        assert_eq!((first.outcome, look_at(&first)), (256, Some(NOW)));
        seen.apply(&first.changes);
        let second = expired(&seen);
        assert_eq!((second.outcome, look_at(&second)), (44, None));
        seen.apply(&second.changes);
        assert!(expired(&seen).is_unchanged());
    }
}
