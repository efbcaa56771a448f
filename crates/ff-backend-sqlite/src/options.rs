//! How to open a backend.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use ff_core::clock::{Clock, EngineTime, SystemClock};
use ff_core::machine::Limits;
use ff_core::machine::limits::PAYLOAD_CEILING_BYTES;
use ff_core::store::StreamWaiters;
use ff_core::{BackendError, BackendErrorKind};
use tokio::sync::{broadcast, watch};

use crate::backend::{Inner, SqliteBackend};
use crate::error::{Doing as _, refused};
use crate::location::Location;
use crate::open::{Durability, open_reader, open_writer};
use crate::queue::{Closed, Queue};
use crate::readers::Readers;
use crate::session::SqliteSession;
use crate::writer::{Pace, Shared, WatchedFile, Writer};
use crate::{OUTBOX_RING, migrate};

/// The backends that are open in this process, so that one database has one writer here.
static OPEN: OnceLock<Mutex<HashMap<String, Weak<Inner>>>> = OnceLock::new();

/// Opens a [`SqliteBackend`]. The documented way in.
///
/// ```
/// use ff_backend_sqlite::SqliteOptions;
/// use ff_core::engine_backend::EngineBackend;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = SqliteOptions::new("sqlite::memory:").sweeps(false).open().await?;
/// assert_eq!(engine.backend_label(), "sqlite");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    url: String,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    limits: Limits,
    durability: Durability,
    sweeps: bool,
    readers: usize,
    busy_timeout: Duration,
    max_pages: Option<u32>,
    vfs: Option<String>,
}

impl SqliteOptions {
    /// A database by its URL or path: `sqlite:PATH`, `PATH`, `sqlite::memory:`,
    /// `file:NAME?mode=memory&cache=shared`. A missing file is created with mode 0600.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            clock: None,
            seed: None,
            limits: Limits::default(),
            durability: Durability::Full,
            sweeps: true,
            readers: 2,
            busy_timeout: Duration::from_secs(5),
            max_pages: None,
            vfs: None,
        }
    }

    /// Takes the time from `clock`. For tests and simulations.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Draws every id, and the first signing key, from `seed`. For tests and simulations: such a key is no secret.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the bounds. Payload and result may go up to 16 MiB.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What survives a power loss; everything by default.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether due times and retention are also driven in the background; on by default. Claims
    /// apply what is due in any case.
    #[must_use]
    pub fn sweeps(mut self, on: bool) -> Self {
        self.sweeps = on;
        self
    }

    /// Read connections beside the writer, 1 to 64.
    #[must_use]
    pub fn read_connections(mut self, count: u32) -> Self {
        self.readers = usize::try_from(count.clamp(1, 64)).unwrap_or(1);
        self
    }

    /// How long a write waits for another process's transaction before it is refused.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Reaches the file through the SQLite VFS of this name instead of the default one. For tests and special storage.
    ///
    /// The VFS must be registered in this process and have shared memory, because the database keeps a write-ahead log;
    /// what an acknowledgement is worth is then what its sync is worth. A name that is not registered is refused, and so
    /// is a database in memory.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ff_backend_sqlite::SqliteOptions;
    ///
    /// let refused = SqliteOptions::new("ff.db").vfs("tape").open().await.unwrap_err();
    /// assert!(refused.to_string().contains("register it"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn vfs(mut self, name: impl Into<String>) -> Self {
        self.vfs = Some(name.into());
        self
    }

    /// Lets the file grow to so many pages, as if the disk ended there. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn max_pages_for_test(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Opens the database, migrates it, and starts its threads.
    ///
    /// Within one process, a database that is open already is shared, with the options it was
    /// opened with. Refused, with nothing written: a path that cannot be used, a network file
    /// system, a file that is no FlowFabric database, a schema newer than this program.
    pub async fn open(self) -> Result<Arc<SqliteBackend>, BackendError> {
        let (reply, opened) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("ff-sqlite-open".to_owned())
            .spawn(move || {
                // A caller that stopped waiting drops the backend, which closes it.
                let _abandoned = reply.send(self.open_blocking());
            })
            .map_err(|error| refused(format!("could not start a thread: {error}")))?;
        opened.await.map_err(|_| refused("opening the database panicked"))?
    }

    fn open_blocking(self) -> Result<Arc<SqliteBackend>, BackendError> {
        for (name, bytes) in
            [("payload", self.limits.payload_bytes), ("result", self.limits.result_bytes)]
        {
            if bytes > PAYLOAD_CEILING_BYTES {
                return Err(refused(format!(
                    "the {name} limit is {bytes} bytes; at most {PAYLOAD_CEILING_BYTES}"
                )));
            }
        }
        let location = Location::parse(&self.url)?;
        let mut open = match OPEN.get_or_init(Mutex::default).lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        open.retain(|_, inner| inner.strong_count() > 0);
        let shared = open.get(&location.key()).and_then(Weak::upgrade);
        if let Some(inner) = shared.filter(|inner| !inner.is_closed()) {
            return Ok(Arc::new(SqliteBackend { inner }));
        }
        let key = location.key();
        let inner = Arc::new(self.start(location)?);
        open.insert(key, Arc::downgrade(&inner));
        Ok(Arc::new(SqliteBackend { inner }))
    }

    fn start(self, location: Location) -> Result<Inner, BackendError> {
        let mut conn =
            open_writer(&location, self.durability, self.busy_timeout, self.vfs.as_deref())?;
        migrate::migrate(&mut conn)?;
        if let Some(pages) = self.max_pages {
            conn.pragma_update(None, "max_page_count", pages).opening("bound the file")?;
        }
        let (file, read_connections) = match &location {
            Location::File(path) => {
                let watched = WatchedFile::new(path)
                    .map_err(|error| refused(format!("{}: {error}", path.display())))?;
                let connections = (0..self.readers)
                    .map(|_| open_reader(&location, self.busy_timeout, self.vfs.as_deref()))
                    .collect::<Result<Vec<_>, _>>()?;
                (Some(watched), connections)
            }
            Location::Memory(_) => (None, Vec::new()),
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            work: watch::Sender::new(0),
            events: watch::Sender::new(0),
            streams: StreamWaiters::default(),
            waiters: AtomicUsize::new(0),
            time: EngineTime::default(),
            sweeps: AtomicBool::new(self.sweeps),
            completions: broadcast::Sender::new(OUTBOX_RING),
        });
        let start_failed = |error: std::io::Error| BackendError::Sqlite {
            kind: BackendErrorKind::Other,
            message: format!("could not start a thread: {error}"),
        };
        let readers = if read_connections.is_empty() {
            None
        } else {
            Some(Readers::start(read_connections).map_err(start_failed)?)
        };
        let (ended, end) = watch::channel(false);
        let (held, time, limits) = (Arc::clone(&shared), Arc::clone(&clock), self.limits.clone());
        let seed = self.seed.unwrap_or_else(random_seed);
        let lock_patience = self.busy_timeout;
        let thread = std::thread::Builder::new()
            .name("ff-sqlite-write".to_owned())
            .spawn(move || {
                let _stops = StopsWhenPanicking(Arc::clone(&held));
                let writer = Writer {
                    session: SqliteSession::new(&conn),
                    shared: held,
                    clock: time,
                    limits,
                    seed,
                    file,
                    pace: Pace::new(),
                    lock_patience,
                };
                writer.run();
                drop(conn);
                ended.send_replace(true);
            })
            .map_err(start_failed)?;
        let bounds = (self.limits, self.seed);
        Ok(Inner::new((location, self.vfs), shared, clock, bounds, readers, thread, end))
    }
}

/// Fail-stop: a broken assertion in the writer ends it, and every caller is told so.
struct StopsWhenPanicking(Arc<Shared>);

impl Drop for StopsWhenPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.close(Closed::Failed(
                "an internal assertion was broken and the writer has stopped; see the log, run \
                 `ff verify`, and restart"
                    .to_owned(),
            ));
        }
    }
}

fn random_seed() -> u64 {
    let bytes = uuid::Uuid::now_v7().into_bytes();
    u64::from_le_bytes(bytes[8..].try_into().unwrap_or([0x5a; 8]))
}
