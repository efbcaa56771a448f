//! An sqlx pool on the backend's database, for tests and tools that write SQL of their own. The engine never uses it.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use crate::location::Location;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of at most `size` connections (at least one), which connects when it is first used.
///
/// Connections are kept: nothing is done in the background, so no runtime has to be running yet.
pub(crate) fn pool(location: &Location, size: u32) -> sqlx::SqlitePool {
    let options = SqliteConnectOptions::new().busy_timeout(BUSY_TIMEOUT).foreign_keys(true);
    let options = match location {
        Location::File(path) => options.filename(path).journal_mode(SqliteJournalMode::Wal),
        Location::Memory(name) => options.filename(Location::memdb_path(name)).vfs("memdb"),
    };
    SqlitePoolOptions::new()
        .max_connections(size.max(1))
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::migrate;
    use crate::open::{Durability, open_writer};

    async fn counts_what_the_writer_wrote(location: &Location) {
        let mut writer = open_writer(location, Durability::Full, BUSY_TIMEOUT, None).unwrap();
        migrate(&mut writer).unwrap();
        let pool = pool(location, 2);
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success = 1")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(rows, 19);
        sqlx::query("INSERT INTO ff_lane_registry (lane_id, registered_at_ms, registered_by) VALUES ('from sqlx', 1, 'test')")
            .execute(&pool)
            .await
            .unwrap();
        let lane: String =
            writer.query_row("SELECT lane_id FROM ff_lane_registry", [], |row| row.get(0)).unwrap();
        assert_eq!(lane, "from sqlx");
        pool.close().await;
    }

    #[tokio::test]
    async fn the_pool_and_the_writer_see_one_memory_database() {
        counts_what_the_writer_wrote(&Location::Memory("sqlx pool/ä?#%&".to_owned())).await;
    }

    #[tokio::test]
    async fn the_pool_and_the_writer_see_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(dir.path()).unwrap().join("a b%20?.db");
        counts_what_the_writer_wrote(&Location::File(path)).await;
    }

    #[test]
    fn making_a_pool_needs_no_runtime() {
        drop(pool(&Location::Memory("idle".to_owned()), 0));
    }
}
