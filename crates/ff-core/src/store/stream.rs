//! What a store reads of streams, and how it wakes those who wait for one.
//!
//! A tail waits for its own stream only. It registers with [`StreamWaiters`] *before* it reads,
//! so that whatever is stored after the read wakes it; the entry goes when its last waiter does.
//! Waiting costs an entry and nothing else: no thread, no timer of its own, no query.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::EngineError;
use crate::machine::stream::{Frame, FrameId, Write};
use crate::machine::{Attempt, Change};
use crate::types::{AttemptIndex, ExecutionId, TimestampMs};

/// Tails that may wait at once. Each costs some hundred bytes.
pub const STREAM_WAITERS_MAX: usize = 65_536;

/// Frames of one attempt's stream between two places, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FrameRange {
    pub execution_id: ExecutionId,
    pub attempt_index: AttemptIndex,
    pub from: FrameId,
    pub to: FrameId,
    /// Best-effort frames are left out, before the limit counts.
    pub without_best_effort: bool,
}

/// The reads of streams.
pub trait StreamReader {
    /// Frames in order: at most `limit`, and none after those whose fields together reach
    /// `max_bytes`.
    fn frames(
        &mut self,
        range: &FrameRange,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, EngineError>;

    /// Streams that retention is to look at by `now`, by (instant, partition, UUID, attempt).
    fn streams_to_look_at(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<(ExecutionId, AttemptIndex)>, EngineError>;
}

/// The stream of one attempt, as waiters name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    partition: u16,
    uuid: uuid::Uuid,
    attempt: u32,
}

impl StreamKey {
    /// The stream of an attempt.
    pub fn new(execution_id: &ExecutionId, attempt: AttemptIndex) -> Self {
        Self { partition: execution_id.partition(), uuid: execution_id.uuid(), attempt: attempt.0 }
    }

    /// The stream whose readers must look again once `change` is stored: it got a frame, or its
    /// attempt ended.
    pub fn touched_by(change: &Change) -> Option<Self> {
        match change {
            Change::Stream(Write::AddFrame(frame)) => {
                Some(Self::new(&frame.execution_id, frame.attempt_index))
            }
            Change::PutAttempt(attempt) if has_ended(attempt) => {
                Some(Self::new(&attempt.execution_id, attempt.index))
            }
            _ => None,
        }
    }
}

fn has_ended(attempt: &Attempt) -> bool {
    attempt.outcome.is_some()
}

/// Those who wait for a stream, by stream.
#[derive(Debug, Clone, Default)]
pub struct StreamWaiters {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: Mutex<HashMap<StreamKey, Entry>>,
    waiters: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    changes: watch::Sender<u64>,
    waiters: usize,
}

impl StreamWaiters {
    /// Registers a waiter. Whatever is stored from now on wakes it.
    pub fn watch(&self, key: StreamKey) -> Result<StreamWatch, EngineError> {
        let mut streams = self.streams();
        if self.inner.waiters.load(Ordering::SeqCst) >= STREAM_WAITERS_MAX {
            return Err(EngineError::ResourceExhausted {
                pool: "stream tails",
                max: u32::try_from(STREAM_WAITERS_MAX).unwrap_or(u32::MAX),
                retry_after_ms: Some(1_000),
            });
        }
        let entry = streams
            .entry(key)
            .or_insert_with(|| Entry { changes: watch::Sender::new(0), waiters: 0 });
        entry.waiters += 1;
        self.inner.waiters.fetch_add(1, Ordering::SeqCst);
        Ok(StreamWatch { changes: entry.changes.subscribe(), key, all: self.clone() })
    }

    /// Wakes who waits for these streams. To be called after the commit that changed them.
    pub fn wake(&self, touched: impl IntoIterator<Item = StreamKey>) {
        if self.is_empty() {
            return;
        }
        let streams = self.streams();
        for key in touched {
            if let Some(entry) = streams.get(&key) {
                entry.changes.send_modify(|changes| *changes += 1);
            }
        }
    }

    /// Wakes everyone: somebody else changed the store, and nobody knows where.
    pub fn wake_all(&self) {
        for entry in self.streams().values() {
            entry.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.inner.waiters.load(Ordering::SeqCst) == 0
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inner.waiters.load(Ordering::SeqCst)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamKey, Entry>> {
        self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter; it leaves the register when it is dropped.
#[derive(Debug)]
pub struct StreamWatch {
    changes: watch::Receiver<u64>,
    key: StreamKey,
    all: StreamWaiters,
}

impl StreamWatch {
    /// What is stored from now on wakes the next wait; to be called before a read.
    pub fn arm(&mut self) {
        self.changes.mark_unchanged();
    }

    /// Returns once the stream changed after the last [`StreamWatch::arm`], or after `timeout`.
    /// Answers whether it changed.
    pub async fn changed(&mut self, timeout: Duration) -> bool {
        matches!(tokio::time::timeout(timeout, self.changes.changed()).await, Ok(Ok(())))
    }
}

impl Drop for StreamWatch {
    fn drop(&mut self) {
        let mut streams = self.all.streams();
        self.all.inner.waiters.fetch_sub(1, Ordering::SeqCst);
        if let Some(entry) = streams.get_mut(&self.key) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                streams.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn key(number: u128) -> StreamKey {
        StreamKey { partition: 0, uuid: uuid::Uuid::from_u128(number), attempt: 0 }
    }

    #[tokio::test]
    async fn a_waiter_hears_of_its_stream_only() {
        let all = StreamWaiters::default();
        let (mut first, mut second) = (all.watch(key(1)).unwrap(), all.watch(key(2)).unwrap());

        all.wake([key(1), key(3)]);

        assert!(first.changed(NOW).await);
        assert!(!second.changed(NOW).await);
        all.wake_all();
        assert!(first.changed(NOW).await && second.changed(NOW).await);
        assert!(!first.changed(NOW).await);
    }

    /// What happens between the registration and the wait is not lost.
    #[tokio::test]
    async fn a_change_before_the_wait_counts() {
        let all = StreamWaiters::default();
        let mut watch = all.watch(key(1)).unwrap();
        watch.arm();
        all.wake([key(1)]);
        assert!(watch.changed(NOW).await);

        all.wake([key(1)]);
        watch.arm();
        assert!(!watch.changed(NOW).await, "what the read already saw wakes nobody");
    }

    #[test]
    fn an_entry_goes_with_its_last_waiter() {
        let all = StreamWaiters::default();
        let (first, second) = (all.watch(key(1)).unwrap(), all.watch(key(1)).unwrap());
        assert_eq!((all.len(), all.streams().len()), (2, 1));

        drop(first);
        assert_eq!((all.len(), all.streams().len()), (1, 1));
        drop(second);
        assert!(all.is_empty() && all.streams().is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let all = StreamWaiters::default();
        let waiting: Vec<_> = (0..STREAM_WAITERS_MAX).map(|_| all.watch(key(1)).unwrap()).collect();

        let refused = all.watch(key(2)).unwrap_err();

        assert!(refused.to_string().contains("stream tails"), "{refused}");
        drop(waiting);
        assert!(all.watch(key(2)).is_ok());
    }
}
