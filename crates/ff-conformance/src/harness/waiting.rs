//! Knowing that a call waits, so that a behaviour can let happen what is to wake it.
//!
//! The bench puts a layer around the store that counts who waits in it: for work, for events, for a
//! stream. A call that is counted has looked and found nothing; from then on only a wake-up, or the
//! end of its time, makes it look again.

use std::any::Any;
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::BackendTag;
use ff_core::capability::BackendIdentity;
use ff_core::machine::Command;
use ff_core::machine::drive::{ClaimRequest, ClaimStep, Settled};
use ff_core::machine::suspension::Secret;
use ff_core::store::{Reader, Store, StreamKey, StreamWatch, Wake};
use ff_core::types::TimestampMs;
use tokio::sync::watch;

use super::Bench;

/// Less than a call waits before it looks again by itself, which it does after half a minute.
const UNPROMPTED: Duration = Duration::from_secs(20);

/// How many calls wait at this moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    calls: watch::Sender<usize>,
}

impl Waiting {
    fn begin(&self) -> One<'_> {
        self.calls.send_modify(|calls| *calls += 1);
        One { waiting: self }
    }
}

/// One call that waits; given up, it does no longer.
struct One<'a> {
    waiting: &'a Waiting,
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.waiting.calls.send_modify(|calls| *calls -= 1);
    }
}

impl Bench {
    /// Lets `work` happen once a call waits; the call must answer because of it, not because it looks
    /// again by itself.
    pub async fn woken_by<W: IntoFuture>(
        &self,
        waiting: W,
        work: impl Future<Output = ()>,
    ) -> W::Output {
        let work = async {
            self.until_waiting(1).await;
            work.await;
        };
        let both = async { tokio::join!(waiting.into_future(), work).0 };
        tokio::time::timeout(UNPROMPTED, both).await.expect("the call is woken")
    }

    /// Returns once exactly so many calls wait.
    pub async fn until_waiting(&self, calls: usize) {
        let mut now = self.waiting.calls.subscribe();
        let reached = tokio::time::timeout(UNPROMPTED / 2, now.wait_for(|now| *now == calls)).await;
        assert!(
            matches!(reached, Ok(Ok(_))),
            "not {calls} wait but {}",
            *self.waiting.calls.borrow()
        );
    }
}

/// A store, and who waits in it.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    pub(super) store: S,
    pub(super) waiting: Waiting,
}

impl<S: Store> Store for Counted<S> {
    const TAG: BackendTag = S::TAG;

    fn identity(&self) -> BackendIdentity {
        self.store.identity()
    }

    fn as_any(&self) -> &(dyn Any + 'static) {
        Store::as_any(&self.store)
    }

    fn now(&self) -> TimestampMs {
        self.store.now()
    }

    fn fresh_secret(&self) -> Result<Secret, EngineError> {
        self.store.fresh_secret()
    }

    async fn execute<C: Command>(&self, command: C) -> Result<C::Outcome, EngineError> {
        self.store.execute(command).await
    }

    async fn execute_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<C::Outcome>, EngineError> {
        self.store.execute_all(commands).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimStep, EngineError> {
        Store::claim(&self.store, request).await
    }

    async fn settle_due(&self) -> Result<Settled, EngineError> {
        self.store.settle_due().await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, EngineError> + Send + 'static,
    {
        self.store.read(read).await
    }

    fn generation(&self, wake: Wake) -> u64 {
        self.store.generation(wake)
    }

    async fn wait(&self, wake: Wake, seen: u64, timeout: Duration) {
        let _one = self.waiting.begin();
        self.store.wait(wake, seen, timeout).await;
    }

    fn watch_stream(&self, stream: StreamKey) -> Result<StreamWatch, EngineError> {
        self.store.watch_stream(stream)
    }

    async fn wait_stream(&self, watch: &mut StreamWatch, timeout: Duration) {
        let _one = self.waiting.begin();
        self.store.wait_stream(watch, timeout).await;
    }

    async fn shut_down(&self, grace: Duration) -> Result<(), EngineError> {
        self.store.shut_down(grace).await
    }
}
