//! Streams: what each has accepted, and what must be left of it when a world rests (I28, I35).
//!
//! Durable frames stay, unless the execution's policy lets them go some time after the end of their
//! attempt. Live frames alone go when nobody has added to them for twice their time to live; beside
//! a durable frame they stay.

use ff_core::contracts::StreamCursor;
use ff_core::types::{AttemptIndex, TimestampMs};

use super::ledger::found;
use super::stage::{Stage, at_once, broken};
use crate::invariants::Finding;

/// More frames than an attempt of the world has.
const FRAMES_READ: u64 = 1_000;

/// What one stream has accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    count: u64,
    durable: u64,
    /// Live frames that are not over.
    live: u64,
    live_until: Option<TimestampMs>,
}

impl Frames {
    /// Counts a frame, live if it has a time to live; answers how many there have been.
    pub(crate) fn accept(&mut self, live_ttl_ms: Option<u32>, at: TimestampMs) -> u64 {
        self.settle(at);
        self.count += 1;
        self.live_until = None;
        match live_ttl_ms {
            None => self.durable += 1,
            Some(ttl_ms) => {
                self.live += 1;
                let until = TimestampMs(at.0 + 2 * i64::from(ttl_ms));
                self.live_until = (self.durable == 0).then_some(until);
            }
        }
        self.count
    }

    fn settle(&mut self, now: TimestampMs) {
        if self.live_until.is_some_and(|until| until <= now) {
            (self.live, self.live_until) = (0, None);
        }
    }
}

/// At rest, every sweep done: a stream is closed and shows what is to be left of it, in order.
pub(crate) fn check_streams(stage: &mut Stage) -> Result<(), Finding> {
    let now = stage.now();
    for ((id, attempt), accepted) in stage.ledger.frames().clone() {
        let (from, to) = (StreamCursor::Start, StreamCursor::End);
        let index = AttemptIndex(attempt);
        let read = stage.backend().read_stream(&id, index, from, to, FRAMES_READ);
        let read = at_once(read).map_err(|error| broken(&error))?;
        let policy =
            stage.number_of_id(&id).and_then(|own| stage.plan(own).policy.stream_policy.clone());
        let kept_ms = policy.and_then(|policy| policy.retention_ttl_ms);
        let kept_ms = kept_ms.and_then(|ms| i64::try_from(ms).ok());
        let is_over = read
            .closed_at
            .zip(kept_ms)
            .is_some_and(|(closed_at, kept_ms)| closed_at.0 + kept_ms <= now.0);
        let mut left = accepted.clone();
        left.settle(now);
        if left.live < accepted.live {
            stage.happened("live_frames_over");
        }
        if is_over {
            stage.happened("streams_over");
        }
        let left = if is_over { 0 } else { left.durable + left.live };
        let ids: Vec<&str> = read.frames.iter().map(|frame| frame.id.as_str()).collect();
        let is_ordered = ids.windows(2).all(|pair| order(pair[0]) < order(pair[1]));
        if ids.len() as u64 != left || !is_ordered || read.closed_at.is_none() {
            let detail = format!(
                "attempt {attempt}: {accepted:?} were accepted, {left} are to be left at {now}, it \
                 shows {ids:?}, closed: {:?} at {:?}, kept for {kept_ms:?} ms",
                read.closed_reason, read.closed_at
            );
            return Err(found("I28", Some(&id), detail));
        }
    }
    Ok(())
}

/// A frame's place: its instant and its number there.
fn order(frame_id: &str) -> (u64, u64) {
    let (ms, number) = frame_id.split_once('-').unwrap_or((frame_id, "0"));
    (ms.parse().unwrap_or(0), number.parse().unwrap_or(0))
}
