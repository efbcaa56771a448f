//! The backend: commands go to the writer thread, reads to the readers.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use ff_core::backend::BackendTag;
use ff_core::capability::{BackendIdentity, Version};
use ff_core::clock::Clock;
use ff_core::machine::drive::{self, ClaimRequest, ClaimStep, Settled, Swept};
use ff_core::machine::suspension::Secret;
use ff_core::machine::{Command, Context, Limits, Urgency};
use ff_core::store::{Reader, Store, StreamKey, StreamWatch, Wake};
use ff_core::types::TimestampMs;
use ff_core::{BackendError, EngineError};
use tokio::sync::{oneshot, watch};

use crate::OutboxEvent;
use crate::error::{BACKEND, storage};
use crate::location::Location;
use crate::options::SqliteOptions;
use crate::queue::{Closed, Effect, Job, Queued, ReadJob};
use crate::readers::{Readers, on_one_state};
use crate::session::SqliteSession;
use crate::writer::Shared;

/// The engine in one SQLite database. Clones share it; the last one to go checkpoints the file
/// and ends its threads.
#[derive(Debug, Clone)]
pub struct SqliteBackend {
    pub(crate) inner: Arc<Inner>,
}

/// What every clone shares.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) location: Location,
    /// The VFS that connections go through, if it is not SQLite's default one.
    pub(crate) vfs: Option<String>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// The seed of a test's store, which alone makes signing keys predictable.
    secret_seed: Option<u64>,
    readers: Option<Readers>,
    writer: Option<JoinHandle<()>>,
    writer_ended: watch::Receiver<bool>,
    #[cfg(feature = "sqlx-pool")]
    pool: std::sync::OnceLock<sqlx::SqlitePool>,
}

/// Which background tasks to run. A zero interval disables that task.
///
/// Due times drive the work; the intervals only bound how long it may rest.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct SqliteScannerConfig {
    pub budget_reset_interval: Duration,
    pub worker_registry_ttl_interval: Duration,
}

impl Inner {
    pub(crate) fn new(
        (location, vfs): (Location, Option<String>),
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        (limits, secret_seed): (Limits, Option<u64>),
        readers: Option<Readers>,
        writer: JoinHandle<()>,
        writer_ended: watch::Receiver<bool>,
    ) -> Self {
        Self {
            location,
            vfs,
            shared,
            clock,
            limits,
            secret_seed,
            readers,
            writer: Some(writer),
            writer_ended,
            #[cfg(feature = "sqlx-pool")]
            pool: std::sync::OnceLock::new(),
        }
    }
}

impl Inner {
    /// Whether it was shut down, or has stopped for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.queue.is_closed()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Readers first: the last checkpoint truncates the log only when nobody reads it.
        self.readers = None;
        self.shared.queue.close(Closed::ShutDown);
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

impl SqliteBackend {
    /// Opens `path` as [`SqliteOptions::open`] does, without background sweeps: those begin with
    /// [`SqliteBackend::with_scanners`].
    pub async fn new(path: &str) -> Result<Arc<Self>, BackendError> {
        SqliteOptions::new(path).sweeps(false).open().await
    }

    /// The same with `pool_size` read connections. A database in a file always keeps a write-ahead
    /// log, so `wal_mode: false` is refused.
    pub async fn new_with_tuning(
        path: &str,
        pool_size: u32,
        wal_mode: bool,
    ) -> Result<Arc<Self>, BackendError> {
        let is_file = matches!(Location::parse(path)?, Location::File(_));
        if is_file && !wal_mode {
            return Err(crate::error::refused(
                "wal_mode = false is not supported: readers and writer share a file only with a \
                 write-ahead log. Pass true",
            ));
        }
        SqliteOptions::new(path).sweeps(false).read_connections(pool_size).open().await
    }

    /// Starts the background sweeps. `false` if they run already, or if every interval is zero.
    #[expect(clippy::needless_pass_by_value, reason = "the contract's signature")]
    pub fn with_scanners(&self, cfg: SqliteScannerConfig) -> bool {
        let any =
            !cfg.budget_reset_interval.is_zero() || !cfg.worker_registry_ttl_interval.is_zero();
        let started = any && !self.inner.shared.sweeps.swap(true, Ordering::SeqCst);
        self.inner.shared.queue.kick();
        started
    }

    /// One bounded step of background work: what is due, then what retention ends.
    pub async fn sweep(&self) -> Result<Swept, EngineError> {
        self.write(Urgency::Bulk, 0, |session, cx| {
            let swept = drive::sweep(session, cx)?;
            Ok((swept, swept.settled.opens_work))
        })
        .await
    }

    /// An sqlx pool on this database, for tests and tools that write SQL of their own.
    #[cfg(feature = "sqlx-pool")]
    #[doc(hidden)]
    pub fn pool_for_test(&self) -> &sqlx::SqlitePool {
        self.inner.pool.get_or_init(|| crate::sqlx_pool::pool(&self.inner.location, 4))
    }

    /// Raw wake-ups for completion rows written by this process, after their commit. A receiver
    /// that lags behind [`crate::OUTBOX_RING`] events misses some and reads the table instead.
    #[doc(hidden)]
    pub fn subscribe_completion_for_test(&self) -> tokio::sync::broadcast::Receiver<OutboxEvent> {
        self.inner.shared.completions.subscribe()
    }

    /// One pass of the budget reset, as of an instant that the caller gives: how many budgets were reset, and how many
    /// cannot be read.
    #[doc(hidden)]
    pub async fn budget_reset_scan_tick_for_test(
        &self,
        now_ms: i64,
    ) -> Result<(u32, u32), EngineError> {
        self.write(Urgency::Bulk, 0, move |session, cx| {
            let (reset, unreadable) = drive::reset_budgets(session, TimestampMs(now_ms), cx)?;
            let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
            Ok(((count(reset), count(unreadable)), reset > 0))
        })
        .await
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The database's file; `None` for one in memory.
    pub fn path(&self) -> Option<&Path> {
        match &self.inner.location {
            Location::File(path) => Some(path),
            Location::Memory(_) => None,
        }
    }

    /// Queues a write and waits for its answer.
    async fn write<T, W>(&self, urgency: Urgency, bytes: usize, write: W) -> Result<T, EngineError>
    where
        T: Send + 'static,
        W: FnMut(&mut SqliteSession<'_>, &mut Context<'_>) -> Result<(T, bool), Refusal>
            + Send
            + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = WriteJob { write, answer: None, reply };
        let queued = Queued { job: Box::new(job), urgency, bytes, seed: None };
        self.inner.shared.queue.push(queued)?;
        match answer.await {
            Ok(answer) => answer,
            Err(_dropped) => Err(self.inner.shared.queue.refusal()),
        }
    }

    fn wakes(&self, wake: Wake) -> &watch::Sender<u64> {
        match wake {
            Wake::Work => &self.inner.shared.work,
            Wake::Events => &self.inner.shared.events,
        }
    }

    /// Runs a blocking read on a reader, or between two groups for a database in memory.
    pub(crate) async fn read_session<T, F>(&self, read: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteSession<'_>) -> Result<T, EngineError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |session| {
            // A caller that stopped waiting needs no answer.
            let _abandoned = reply.send(on_one_state(session, read));
        });
        match &self.inner.readers {
            Some(readers) => readers.push(job)?,
            None => self.inner.shared.queue.push_read(job)?,
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_dropped) => Err(self.inner.shared.queue.refusal()),
        }
    }
}

/// Why a write was refused, and whether it has itself undone what it had written.
struct Refusal {
    error: EngineError,
    is_undone: bool,
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self { error, is_undone: false }
    }
}

/// A write as the writer runs it.
struct WriteJob<T, W> {
    write: W,
    answer: Option<Result<T, EngineError>>,
    reply: oneshot::Sender<Result<T, EngineError>>,
}

impl<T, W> Job for WriteJob<T, W>
where
    T: Send + 'static,
    W: FnMut(&mut SqliteSession<'_>, &mut Context<'_>) -> Result<(T, bool), Refusal> + Send,
{
    fn run(&mut self, session: &mut SqliteSession<'_>, cx: &mut Context<'_>) -> Effect {
        let (answer, effect) = match (self.write)(session, cx) {
            Ok((answer, opens_work)) => (Ok(answer), Effect::Accepted { opens_work }),
            Err(Refusal { error, is_undone: true }) => (Err(error), Effect::Undone),
            Err(Refusal { error, is_undone: false }) => {
                let effect = Effect::of(&error);
                (Err(error), effect)
            }
        };
        self.answer = Some(answer);
        effect
    }

    fn answer(self: Box<Self>, lost: Option<EngineError>) {
        let answer = match (lost, self.answer) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) => answer,
            (None, None) => unreachable!("a command is answered after it ran"),
        };
        // A caller that stopped waiting needs no answer; the command counts all the same.
        let _abandoned = self.reply.send(answer);
    }
}

impl Store for SqliteBackend {
    const TAG: BackendTag = BackendTag::Sqlite;

    fn identity(&self) -> BackendIdentity {
        BackendIdentity::new("sqlite", Version::new(0, 16, 0), "Phase-4")
    }

    fn as_any(&self) -> &(dyn Any + 'static) {
        self
    }

    fn now(&self) -> TimestampMs {
        self.inner.shared.time.show(self.inner.clock.as_ref())
    }

    fn fresh_secret(&self) -> Result<Secret, EngineError> {
        if let Some(seed) = self.inner.secret_seed {
            return Ok(Secret::from_seed(seed));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| EngineError::Transport {
            backend: BACKEND,
            source: Box::new(error),
        })?;
        Ok(Secret::new(bytes))
    }

    async fn execute<C: Command>(&self, command: C) -> Result<C::Outcome, EngineError> {
        self.write(command.urgency(), command.weight(), move |session, cx| {
            let transition = drive::run(session, &command, cx)?;
            let opens_work = transition.opens_work();
            Ok((transition.outcome, opens_work))
        })
        .await
    }

    async fn execute_all<C: Command>(
        &self,
        commands: Vec<C>,
    ) -> Result<Vec<C::Outcome>, EngineError> {
        let urgency = commands.iter().map(Command::urgency).max().unwrap_or(Urgency::Bulk);
        let bytes = commands.iter().map(Command::weight).sum();
        self.write(urgency, bytes, move |session, cx| {
            session.savepoint("SAVEPOINT batch")?;
            let mut outcomes = Vec::with_capacity(commands.len());
            let mut opens_work = false;
            for (row, command) in commands.iter().enumerate() {
                match drive::run(session, command, cx) {
                    Ok(transition) => {
                        opens_work |= transition.opens_work();
                        outcomes.push(transition.outcome);
                    }
                    Err(error) => {
                        session.savepoint("ROLLBACK TO batch")?;
                        session.savepoint("RELEASE batch")?;
                        return Err(Refusal { error: error.in_row(row), is_undone: true });
                    }
                }
            }
            session.savepoint("RELEASE batch")?;
            Ok((outcomes, opens_work))
        })
        .await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimStep, EngineError> {
        self.write(Urgency::Normal, 0, move |session, cx| {
            Ok((drive::claim(session, &request, cx)?, false))
        })
        .await
    }

    async fn settle_due(&self) -> Result<Settled, EngineError> {
        self.write(Urgency::Normal, 0, |session, cx| {
            let settled = drive::settle_due(session, cx)?;
            Ok((settled, settled.opens_work))
        })
        .await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Reader) -> Result<T, EngineError> + Send + 'static,
    {
        self.read_session(move |session| read(session)).await
    }

    fn generation(&self, wake: Wake) -> u64 {
        *self.wakes(wake).borrow()
    }

    async fn wait(&self, wake: Wake, seen: u64, timeout: Duration) {
        let mut generation = self.wakes(wake).subscribe();
        let _waiting = Waiting::on(&self.inner.shared);
        let changed = generation.wait_for(|now| *now != seen);
        if let Ok(Err(_closed)) = tokio::time::timeout(timeout, changed).await {
            unreachable!("the sender lives as long as the backend");
        }
    }

    fn watch_stream(&self, stream: StreamKey) -> Result<StreamWatch, EngineError> {
        self.inner.shared.streams.watch(stream)
    }

    async fn wait_stream(&self, watch: &mut StreamWatch, timeout: Duration) {
        let _waiting = Waiting::on(&self.inner.shared);
        watch.changed(timeout).await;
    }

    async fn shut_down(&self, grace: Duration) -> Result<(), EngineError> {
        self.inner.shared.queue.close(Closed::ShutDown);
        let mut ended = self.inner.writer_ended.clone();
        let end = ended.wait_for(|ended| *ended);
        match tokio::time::timeout(grace, end).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_writer_is_gone)) => Err(self.inner.shared.queue.refusal()),
            Err(_elapsed) => Err(EngineError::Timeout { op: "shutdown_prepare", elapsed: grace }),
        }
    }
}

/// Counts a waiter for as long as it waits, so that the writer looks at other processes.
struct Waiting<'a> {
    shared: &'a Shared,
}

impl<'a> Waiting<'a> {
    fn on(shared: &'a Shared) -> Self {
        if shared.waiters.fetch_add(1, Ordering::SeqCst) == 0 {
            shared.queue.kick();
        }
        Self { shared }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SqliteSession<'_> {
    fn savepoint(&self, statement: &str) -> Result<(), EngineError> {
        self.connection()
            .execute_batch(statement)
            .map_err(|error| storage("keep a batch apart", error))
    }
}
