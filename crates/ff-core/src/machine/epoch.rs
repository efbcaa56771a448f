//! The fencing number: one per execution, raised at every acquisition and at nothing else.
//!
//! Invariant: over an execution's whole life, replays included, each acquisition gets a greater
//! epoch than every earlier one. Renew, release, expiry, revoke and cancel leave it alone; they
//! fence by ending the lease.

use super::rows::Execution;
use crate::types::LeaseEpoch;

/// The epoch that the next acquisition of this execution gets.
pub fn next(execution: &Execution) -> LeaseEpoch {
    execution.epoch.next()
}

/// The execution's epoch as stored: its own column is a floor under those of its attempts, which
/// tools may have written by hand.
pub fn current(of_execution: LeaseEpoch, highest_of_attempts: LeaseEpoch) -> LeaseEpoch {
    of_execution.max(highest_of_attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::execution;

    #[test]
    fn the_first_acquisition_gets_one_and_each_later_one_more() {
        let mut row = execution();
        assert_eq!(next(&row), LeaseEpoch(1));

        row.epoch = LeaseEpoch(41);

        assert_eq!(next(&row), LeaseEpoch(42));
    }

    #[test]
    fn the_greater_of_both_columns_counts() {
        assert_eq!(current(LeaseEpoch(3), LeaseEpoch(5)), LeaseEpoch(5));
        assert_eq!(current(LeaseEpoch(5), LeaseEpoch(3)), LeaseEpoch(5));
        assert_eq!(current(LeaseEpoch(4), LeaseEpoch(4)), LeaseEpoch(4));
    }
}
