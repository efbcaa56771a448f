//! The conformance suite on a SQLite database in a file.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ff_backend_sqlite::{Durability, SqliteBackend, SqliteOptions};
use ff_conformance::harness::{Bench, Setup};

async fn open(setup: Setup) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("suite.db");
    // What a power loss would take is not this suite's subject; the crash harness has it.
    let options = SqliteOptions::new(path.display().to_string())
        .durability(Durability::Normal)
        .clock(setup.clock.clone())
        .seed(setup.seed)
        .limits(setup.limits.clone())
        .sweeps(false);
    let backend = options.open().await.unwrap();
    let swept = backend.clone();
    let sweep = move || {
        let backend = swept.clone();
        async move { backend.sweep().await }
    };
    Bench::new(setup, SqliteBackend::clone(&backend), sweep).keeping(directory)
}

ff_conformance::suite!(open);
