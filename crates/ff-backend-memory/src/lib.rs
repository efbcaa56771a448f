//! FlowFabric's engine over maps in memory.
//!
//! The same decisions as every other backend, without durability: a test double for users, the
//! oracle of the random tests, the engine of simulations.
//!
//! ```
//! use ff_backend_memory::MemoryBackend;
//! use ff_core::engine_backend::EngineBackend;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ff_core::EngineError> {
//! let engine = MemoryBackend::new();
//! assert_eq!(engine.backend_label(), "memory");
//! engine.ping().await
//! # }
//! ```

mod budget;
mod flow;
mod session;
mod state;
mod stream;
mod suspension;
mod worker;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::BackendTag;
use ff_core::capability::{BackendIdentity, Version};
use ff_core::clock::{Clock, EngineTime, SystemClock};
use ff_core::machine::drive::{self, ClaimRequest, ClaimStep, Settled, Swept};
use ff_core::machine::ids::seed_of_write;
use ff_core::machine::suspension::Secret;
use ff_core::machine::{Command, Context, Limits};
use ff_core::store::{Reader, Store, StreamKey, StreamWaiters, StreamWatch, Wake};
use ff_core::types::TimestampMs;
use tokio::sync::watch;

use session::MemorySession;
use state::State;

/// How to open a [`MemoryBackend`].
#[derive(Debug, Clone)]
pub struct MemoryOptions {
    clock: Arc<dyn Clock>,
    seed: u64,
    /// Set together with the seed: only then are keys predictable.
    secret_seed: Option<u64>,
    limits: Limits,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        let seed =
            u64::from_le_bytes(uuid::Uuid::now_v7().into_bytes()[8..].try_into().unwrap_or([7; 8]));
        Self {
            clock: Arc::new(SystemClock::new()),
            seed,
            secret_seed: None,
            limits: Limits::default(),
        }
    }
}

impl MemoryOptions {
    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Draws every id, and the first signing key, from `seed`: the same commands then give the
    /// same ids. For tests and simulations: such a key is no secret.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.secret_seed = Some(seed);
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// An empty engine.
    pub fn open(self) -> MemoryBackend {
        MemoryBackend {
            inner: Arc::new(Inner {
                state: Mutex::new(State::default()),
                time: EngineTime::default(),
                commands: AtomicU64::new(0),
                work: watch::Sender::new(0),
                events: watch::Sender::new(0),
                streams: StreamWaiters::default(),
                is_closed: AtomicBool::new(false),
                options: self,
            }),
        }
    }
}

/// The engine in memory. Clones share one state.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    time: EngineTime,
    commands: AtomicU64,
    work: watch::Sender<u64>,
    events: watch::Sender<u64>,
    streams: StreamWaiters,
    is_closed: AtomicBool,
    options: MemoryOptions,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBackend {
    /// An empty engine on the machine's clock.
    pub fn new() -> Self {
        MemoryOptions::default().open()
    }

    /// One bounded step of background work. Nothing runs by itself in this backend; no answer
    /// depends on when, or whether, this is called, but deadlines and retention show only then.
    pub fn sweep(&self) -> Result<Swept, EngineError> {
        self.transact(|session, cx| {
            let swept = drive::sweep(session, cx)?;
            Ok((swept, swept.settled.opens_work))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        match self.inner.state.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Runs one write at one engine time; wakes waiters after it, whether they asked for work or
    /// for events.
    fn transact<T>(
        &self,
        write: impl FnOnce(&mut MemorySession<'_>, &mut Context<'_>) -> Result<(T, bool), EngineError>,
    ) -> Result<T, EngineError> {
        if self.inner.is_closed.load(Ordering::SeqCst) {
            return Err(EngineError::Unavailable { op: "memory engine is shut down" });
        }
        let mut state = self.state();
        let (now, _) = self.inner.time.tick(self.inner.options.clock.as_ref(), state.floor);
        state.floor = now;
        let number = self.inner.commands.fetch_add(1, Ordering::SeqCst);
        let seed = seed_of_write(self.inner.options.seed, number);
        let mut cx = Context::new(now, seed, &self.inner.options.limits);
        let mut session = MemorySession::new(&mut state);
        let written = write(&mut session, &mut cx);
        let touched = session.into_touched();
        drop(state);
        let (answer, opens_work) = written?;
        self.inner.streams.wake(touched);
        if opens_work {
            self.inner.work.send_modify(|generation| *generation += 1);
        }
        self.inner.events.send_modify(|generation| *generation += 1);
        Ok(answer)
    }

    fn wakes(&self, wake: Wake) -> &watch::Sender<u64> {
        match wake {
            Wake::Work => &self.inner.work,
            Wake::Events => &self.inner.events,
        }
    }
}

impl Store for MemoryBackend {
    const TAG: BackendTag = BackendTag::Memory;

    fn identity(&self) -> BackendIdentity {
        BackendIdentity::new("memory", Version::new(0, 16, 0), "Phase-4")
    }

    fn as_any(&self) -> &(dyn Any + 'static) {
        self
    }

    fn now(&self) -> TimestampMs {
        self.inner.time.show(self.inner.options.clock.as_ref())
    }

    fn fresh_secret(&self) -> Result<Secret, EngineError> {
        match self.inner.options.secret_seed {
            Some(seed) => Ok(Secret::from_seed(seed)),
            None => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| EngineError::Transport {
                    backend: "memory",
                    source: Box::new(error),
                })?;
                Ok(Secret::new(bytes))
            }
        }
    }

    async fn execute<C: Command>(&self, command: C) -> Result<C::Outcome, EngineError> {
        self.transact(|session, cx| {
            let transition = drive::run(session, &command, cx)?;
            let opens_work = transition.opens_work();
            Ok((transition.outcome, opens_work))
        })
    }

    async fn execute_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<C::Outcome>, EngineError> {
        self.transact(|session, cx| {
            let before = session.keep();
            let mut outcomes = Vec::with_capacity(commands.len());
            let mut opens_work = false;
            for (row, command) in commands.iter().enumerate() {
                match drive::run(session, command, cx) {
                    Ok(transition) => {
                        opens_work |= transition.opens_work();
                        outcomes.push(transition.outcome);
                    }
                    Err(refusal) => {
                        session.restore(before);
                        return Err(refusal.in_row(row));
                    }
                }
            }
            Ok((outcomes, opens_work))
        })
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimStep, EngineError> {
        self.transact(|session, cx| Ok((drive::claim(session, &request, cx)?, false)))
    }

    async fn settle_due(&self) -> Result<Settled, EngineError> {
        self.transact(|session, cx| {
            let settled = drive::settle_due(session, cx)?;
            Ok((settled, settled.opens_work))
        })
    }

    async fn read<T, F>(&self, read: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, EngineError> + Send + 'static,
    {
        read(&mut MemorySession::new(&mut self.state()))
    }

    fn generation(&self, wake: Wake) -> u64 {
        *self.wakes(wake).borrow()
    }

    async fn wait(&self, wake: Wake, seen: u64, timeout: Duration) {
        let mut generation = self.wakes(wake).subscribe();
        let changed = generation.wait_for(|now| *now != seen);
        if let Ok(Err(_closed)) = tokio::time::timeout(timeout, changed).await {
            unreachable!("the sender lives as long as the backend");
        }
    }

    fn watch_stream(&self, stream: StreamKey) -> Result<StreamWatch, EngineError> {
        self.inner.streams.watch(stream)
    }

    async fn wait_stream(&self, watch: &mut StreamWatch, timeout: Duration) {
        watch.changed(timeout).await;
    }

    async fn shut_down(&self, _: Duration) -> Result<(), EngineError> {
        self.inner.is_closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}
