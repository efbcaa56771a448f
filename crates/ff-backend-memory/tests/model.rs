//! The model test, the oracle against itself: it must not depend on anything but clock and seed.

use ff_backend_memory::MemoryOptions;
use ff_conformance::model::{Pair, Plan, Setup, run};
use ff_conformance::probe::Engine;

fn open(setup: &Setup) -> Engine {
    let options = MemoryOptions::default().clock(setup.clock.clone());
    options.seed(setup.seed).limits(setup.limits.clone()).open().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_memory_engines_are_not_told_apart() {
    let plan = Plan::from_env(1, "cargo test -p ff-backend-memory --test model");

    run(plan, |setup| async move { Pair { subject: open(&setup), oracle: open(&setup) } }).await;
}
