//! The conformance suite on a SQLite database in memory.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::atomic::{AtomicU64, Ordering};

use ff_backend_sqlite::{SqliteBackend, SqliteOptions};
use ff_conformance::harness::{Bench, Setup};

static NAMES: AtomicU64 = AtomicU64::new(0);

async fn open(setup: Setup) -> Bench {
    let name = NAMES.fetch_add(1, Ordering::SeqCst);
    let options = SqliteOptions::new(format!("file:suite-{name}?mode=memory&cache=shared"))
        .clock(setup.clock.clone())
        .seed(setup.seed)
        .limits(setup.limits.clone())
        .sweeps(false);
    let backend = options.open().await.unwrap();
    let swept = backend.clone();
    Bench::new(setup, SqliteBackend::clone(&backend), move || {
        let backend = swept.clone();
        async move { backend.sweep().await }
    })
}

ff_conformance::suite!(open);
