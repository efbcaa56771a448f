//! A migrated database in memory, for unit tests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::location::Location;
use crate::migrate::migrate;
use crate::open::{Durability, open_writer};

/// A database of its own for each call.
pub(crate) fn database() -> Connection {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("unit test {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let location = Location::Memory(name);
    let mut conn =
        open_writer(&location, Durability::Normal, Duration::from_secs(1), None).unwrap();
    migrate(&mut conn).unwrap();
    conn
}
