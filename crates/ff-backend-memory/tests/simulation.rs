//! The simulation: worlds of workers, clients and faults in virtual time.

use ff_backend_memory::MemoryOptions;
use ff_conformance::model::Setup;
use ff_conformance::probe::Engine;
use ff_conformance::simulation::{Plan, run};

fn open(setup: &Setup) -> Engine {
    let options = MemoryOptions::default().clock(setup.clock.clone());
    options.seed(setup.seed).limits(setup.limits.clone()).open().into()
}

#[test]
fn no_seed_violates_an_invariant() {
    let replay = "cargo test -p ff-backend-memory --test simulation -- --nocapture";

    let report = run(&Plan::from_env(replay), open);

    assert!(report.operations > 0, "nothing happened");
}
