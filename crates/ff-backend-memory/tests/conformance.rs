//! The conformance suite on the memory backend.

use ff_backend_memory::MemoryOptions;
use ff_conformance::harness::{Bench, Setup};

async fn open(setup: Setup) -> Bench {
    let options = MemoryOptions::default().clock(setup.clock.clone()).seed(setup.seed);
    let backend = options.limits(setup.limits.clone()).open();
    let swept = backend.clone();
    Bench::new(setup, backend, move || std::future::ready(swept.sweep()))
}

ff_conformance::suite!(open);
