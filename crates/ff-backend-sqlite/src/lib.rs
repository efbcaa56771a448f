//! FlowFabric's engine in one SQLite file.

mod error;
mod location;
mod migrate;
mod open;
mod retry;
#[cfg(feature = "sqlx-pool")]
mod sqlx_pool;

pub use error::StorageError;
pub use open::Durability;
#[cfg(feature = "sqlx-pool")]
pub use retry::is_retryable_sqlite_busy;
pub use retry::{IsRetryableBusy, MAX_ATTEMPTS, retry_serializable};
