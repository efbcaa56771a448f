//! The race in one process.

use ff_backend_memory::MemoryBackend;
use ff_conformance::probe::Engine;
use ff_conformance::race::{race, seed_from_env};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_clients_break_no_invariant() {
    let engine = Engine::from(MemoryBackend::new());

    let verdict = race(&engine, seed_from_env(1), 40, 300).await.unwrap();

    verdict.expect_clean("cargo test -p ff-backend-memory --test race");
}
