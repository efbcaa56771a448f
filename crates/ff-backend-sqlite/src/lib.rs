//! FlowFabric's engine in one SQLite file.
//!
//! Every acknowledged write survives `kill -9` and power loss. Several processes may use one file
//! at once; each has one writer thread that commits in groups, and readers beside it.
//!
//! ```
//! use ff_backend_sqlite::SqliteOptions;
//! use ff_core::engine_backend::EngineBackend;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = SqliteOptions::new("file:doc?mode=memory&cache=shared").open().await?;
//! engine.ping().await?;
//! # Ok(()) }
//! ```

mod aside;
mod backend;
mod backup;
mod commit;
mod error;
mod identity;
mod load;
mod location;
mod log;
mod migrate;
mod open;
mod options;
mod queue;
mod read;
mod readers;
mod retry;
mod row;
mod session;
#[cfg(feature = "sqlx-pool")]
mod sqlx_pool;
mod statement;
mod sweep;
#[cfg(test)]
mod testing;
mod verify;
mod writer;

pub use backend::{SqliteBackend, SqliteScannerConfig};
pub use backup::BackupReport;
pub use error::StorageError;
pub use open::Durability;
pub use options::SqliteOptions;
pub use pubsub::OutboxEvent;
pub use queue::WriterStopped;
#[cfg(feature = "sqlx-pool")]
pub use retry::is_retryable_sqlite_busy;
pub use retry::{IsRetryableBusy, MAX_ATTEMPTS, retry_serializable};
pub use verify::{FINDINGS_MAX, VerifyCheck, VerifyReport};

/// Raw wake-ups that a slow receiver may be behind before it misses some.
pub const OUTBOX_RING: usize = 256;

/// Wake-ups for tests.
#[doc(hidden)]
pub mod pubsub {
    /// An outbox row was committed.
    #[derive(Debug, Clone)]
    #[expect(missing_docs, reason = "fields carry the contract's own names")]
    pub struct OutboxEvent {
        pub event_id: i64,
        pub partition_key: i64,
    }
}
