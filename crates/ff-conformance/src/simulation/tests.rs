//! The simulator itself: the same seed does the same, and other seeds do something else.

use ff_backend_memory::MemoryOptions;

use super::*;

fn open(setup: &Setup) -> Engine {
    let options = MemoryOptions::default().clock(setup.clock.clone());
    options.seed(setup.seed).limits(setup.limits.clone()).open().into()
}

#[test]
fn a_seed_does_the_same_twice_and_another_seed_something_else() {
    let plan = |seed_base| Plan { seed_base, seeds: 1, is_verbose: true, replay: String::new() };
    let log = |seed_base| check(&plan(seed_base), open).unwrap().log().to_vec();

    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}
