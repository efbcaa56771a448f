//! The model test tells a wrong engine from a right one.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ff_backend_memory::{MemoryBackend, MemoryOptions};
use ff_core::EngineError;
use ff_core::backend::BackendTag;
use ff_core::capability::BackendIdentity;
use ff_core::machine::Command;
use ff_core::machine::budget::ReportUsage;
use ff_core::machine::drive::{ClaimRequest, ClaimStep, Settled};
use ff_core::machine::execution::{Complete, Fail};
use ff_core::machine::lease::Renew;
use ff_core::machine::stream::AppendFrame;
use ff_core::machine::suspension::DeliverSignal;
use ff_core::machine::worker::RegisterWorker;
use ff_core::state::PublicState;
use ff_core::store::{Reader, Store, StreamKey, StreamWatch, Wake};
use ff_core::types::TimestampMs;

use super::*;
use crate::probe::Engine;

fn memory(setup: &Setup) -> MemoryBackend {
    MemoryOptions::default()
        .clock(Arc::<ff_core::clock::ManualClock>::clone(&setup.clock))
        .seed(setup.seed)
        .limits(setup.limits.clone())
        .open()
}

fn plan(sequences: u64) -> Plan {
    Plan { seed_base: 1, sequences, commands: 100, replay: "cargo test".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_not_told_from_memory() {
    let report = run(plan(60), |setup| async move {
        Pair { subject: memory(&setup).into(), oracle: memory(&setup).into() }
    })
    .await;

    assert_eq!((report.sequences, report.steps), (60, 6_000));
    assert!(report.count("complete", "ok") > 0);
    assert!(report.count("complete", "State(LeaseExpired)") > 0);
}

/// A mistake that a backend could make.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    /// Answers a completion without storing it.
    SwallowsACompletion,
    /// Stores another result than it was given.
    ChangesAResult,
    /// A renewal lasts a millisecond too long.
    RenewsTooLong,
    /// Counts a refusal differently, so that the next ids differ.
    DrawsOtherIds,
    /// Forgets who failed: the reason is lost.
    LosesAReason,
    /// Stores a signal without its payload.
    EmptiesASignal,
    /// Counts one more than was reported.
    MiscountsASpend,
    /// Stores a frame under another type.
    RenamesAFrame,
    /// Lets a registration last a millisecond too long.
    KeepsAWorkerTooLong,
    /// Breaks down in the middle.
    Panics,
}

#[derive(Debug, Clone)]
struct Wrong {
    right: MemoryBackend,
    mistake: Mistake,
    completions: Arc<AtomicU64>,
}

impl Wrong {
    fn engine(setup: &Setup, mistake: Mistake) -> Engine {
        let right = memory(setup);
        let wrong = Self { right, mistake, completions: Arc::default() };
        Engine::new(wrong, |wrong| std::future::ready(wrong.right.sweep()))
    }
}

impl Store for Wrong {
    const TAG: BackendTag = BackendTag::Sqlite;

    fn identity(&self) -> BackendIdentity {
        self.right.identity()
    }

    fn as_any(&self) -> &(dyn Any + 'static) {
        self
    }

    fn now(&self) -> TimestampMs {
        Store::now(&self.right)
    }

    async fn execute<C: Command>(&self, mut command: C) -> Result<C::Outcome, EngineError> {
        let any: &mut dyn Any = &mut command;
        match self.mistake {
            Mistake::SwallowsACompletion if any.is::<Complete>() => {
                if self.completions.fetch_add(1, Ordering::SeqCst) == 1 {
                    let said: Box<dyn Any> = Box::new(PublicState::Completed);
                    return Ok(*said.downcast::<C::Outcome>().expect("what a completion answers"));
                }
            }
            Mistake::ChangesAResult => {
                if let Some(complete) = any.downcast_mut::<Complete>() {
                    complete.result = complete.result.take().map(|mut bytes| {
                        bytes.push(0);
                        bytes
                    });
                }
            }
            Mistake::RenewsTooLong => {
                if let Some(renew) = any.downcast_mut::<Renew>() {
                    renew.ttl_ms += 1;
                }
            }
            Mistake::EmptiesASignal => {
                if let Some(signal) = any.downcast_mut::<DeliverSignal>() {
                    signal.payload = None;
                }
            }
            Mistake::LosesAReason => {
                if let Some(fail) = any.downcast_mut::<Fail>() {
                    fail.reason.clear();
                }
            }
            Mistake::MiscountsASpend => {
                if let Some(report) = any.downcast_mut::<ReportUsage>() {
                    for (_, delta) in &mut report.deltas {
                        *delta = delta.saturating_add(1);
                    }
                }
            }
            Mistake::RenamesAFrame => {
                if let Some(append) = any.downcast_mut::<AppendFrame>() {
                    append.frame.frame_type.push('x');
                }
            }
            Mistake::KeepsAWorkerTooLong => {
                if let Some(register) = any.downcast_mut::<RegisterWorker>() {
                    register.args.liveness_ttl_ms += 1;
                }
            }
            Mistake::Panics => assert!(!any.is::<Complete>(), "a broken assertion"),
            Mistake::SwallowsACompletion | Mistake::DrawsOtherIds => {}
        }
        let said = self.right.execute(command).await;
        if said.is_err() && self.mistake == Mistake::DrawsOtherIds {
            self.right.settle_due().await?;
        }
        said
    }

    async fn execute_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<C::Outcome>, EngineError> {
        self.right.execute_all(commands).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimStep, EngineError> {
        Store::claim(&self.right, request).await
    }

    async fn settle_due(&self) -> Result<Settled, EngineError> {
        self.right.settle_due().await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, EngineError> + Send + 'static,
    {
        self.right.read(read).await
    }

    fn generation(&self, wake: Wake) -> u64 {
        self.right.generation(wake)
    }

    async fn wait(&self, wake: Wake, seen: u64, timeout: Duration) {
        self.right.wait(wake, seen, timeout).await;
    }

    fn fresh_secret(&self) -> Result<ff_core::machine::suspension::Secret, EngineError> {
        self.right.fresh_secret()
    }

    fn watch_stream(&self, stream: StreamKey) -> Result<StreamWatch, EngineError> {
        self.right.watch_stream(stream)
    }

    async fn wait_stream(&self, watch: &mut StreamWatch, timeout: Duration) {
        self.right.wait_stream(watch, timeout).await;
    }

    async fn shut_down(&self, grace: Duration) -> Result<(), EngineError> {
        self.right.shut_down(grace).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_caught_and_shrunk_to_a_few_commands() {
    for mistake in [
        Mistake::SwallowsACompletion,
        Mistake::ChangesAResult,
        Mistake::RenewsTooLong,
        Mistake::DrawsOtherIds,
        Mistake::LosesAReason,
        Mistake::EmptiesASignal,
        Mistake::MiscountsASpend,
        Mistake::RenamesAFrame,
        Mistake::KeepsAWorkerTooLong,
        Mistake::Panics,
    ] {
        let open = move |setup: Setup| async move {
            Pair { subject: Wrong::engine(&setup, mistake), oracle: memory(&setup).into() }
        };

        let failure = check(plan(40), open).await.expect_err("a mistake passed");

        let shown = failure.to_string();
        assert!(failure.commands.len() <= 12, "{mistake:?} is not shrunk:\n{shown}");
        assert!(shown.contains("FF_MODEL_SEED="), "{shown}");
    }
}

#[tokio::test]
async fn what_differs_only_in_the_backend_tag_is_equal() {
    let same = |setup: Setup| async move {
        let right = memory(&setup);
        let subject = Wrong {
            right,
            mistake: Mistake::SwallowsACompletion,
            completions: Arc::new(AtomicU64::new(2)),
        };
        Pair {
            subject: Engine::new(subject, |wrong| std::future::ready(wrong.right.sweep())),
            oracle: memory(&setup).into(),
        }
    };

    assert!(check(plan(20), same).await.is_ok());
}
