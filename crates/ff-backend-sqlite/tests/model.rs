//! The model test: SQLite, in memory and in a file, against the memory backend.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ff_backend_memory::MemoryOptions;
use ff_backend_sqlite::{Durability, SqliteBackend, SqliteOptions};
use ff_conformance::model::{Pair, Plan, Setup, run};
use ff_conformance::probe::Engine;

static NAMES: AtomicU64 = AtomicU64::new(0);

fn oracle(setup: &Setup) -> Engine {
    let options = MemoryOptions::default().clock(setup.clock.clone());
    options.seed(setup.seed).limits(setup.limits.clone()).open().into()
}

async fn sqlite(options: SqliteOptions, setup: &Setup) -> Engine {
    let options = options.clock(setup.clock.clone()).seed(setup.seed);
    let backend: Arc<SqliteBackend> =
        options.limits(setup.limits.clone()).sweeps(false).open().await.unwrap();
    let verified = Arc::clone(&backend);
    let engine = Engine::new((*backend).clone(), |backend| async move { backend.sweep().await });
    engine.verified_by(move || {
        let backend = Arc::clone(&verified);
        async move {
            let report = backend.verify().await.map_err(|error| error.to_string())?;
            if report.is_clean() { Ok(()) } else { Err(report.to_string()) }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_memory_is_not_told_apart_from_the_oracle() {
    let replay = "cargo test -p ff-backend-sqlite --test model in_memory";
    let plan = Plan::from_env(1, replay);

    run(plan, |setup| async move {
        let name = NAMES.fetch_add(1, Ordering::SeqCst);
        let url = format!("file:model-{name}?mode=memory&cache=shared");
        let subject = sqlite(SqliteOptions::new(url), &setup).await;
        Pair { subject, oracle: oracle(&setup) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_a_file_is_not_told_apart_from_the_oracle() {
    let replay = "cargo test -p ff-backend-sqlite --test model in_a_file";
    let plan = Plan::from_env(500_000, replay);

    run(plan, |setup| async move {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.db").display().to_string();
        let options = SqliteOptions::new(path).durability(Durability::Normal);
        let subject = sqlite(options, &setup).await.keeping(directory);
        Pair { subject, oracle: oracle(&setup) }
    })
    .await;
}
