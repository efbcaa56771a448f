//! Changing the priority of what is in line.

use ff_core::contracts::{ChangePriorityArgs, ChangePriorityResult};
use ff_core::engine_error::ContentionKind;
use ff_core::types::{ExecutionId, LaneId};

use crate::harness::{Bench, LANE, Refusal};

fn args(bench: &Bench, id: &ExecutionId, new_priority: i32) -> ChangePriorityArgs {
    ChangePriorityArgs {
        execution_id: id.clone(),
        new_priority,
        lane_id: LaneId::new(LANE),
        now: bench.now(),
    }
}

pub async fn a_raised_execution_is_claimed_first(bench: &Bench) {
    let older = bench.submit().await;
    let newer = bench.submit().await;

    let answer = bench.engine.change_priority(args(bench, &newer, 5)).await.unwrap();

    assert_eq!(answer, ChangePriorityResult::Changed { execution_id: newer.clone() });
    assert_eq!(bench.summary(&newer).await.priority, 5);
    assert_eq!(*bench.claim().await.execution(), newer);
    assert_eq!(*bench.claim().await.execution(), older);
}

pub async fn the_value_is_kept_within_its_bounds(bench: &Bench) {
    let id = bench.submit().priority(3).await;

    for (given, stored) in [(-1, 0), (9_001, 9_000), (9_000, 9_000), (0, 0)] {
        bench.engine.change_priority(args(bench, &id, given)).await.unwrap();
        assert_eq!(bench.summary(&id).await.priority, stored);
    }
}

pub async fn the_same_value_again_is_accepted(bench: &Bench) {
    let id = bench.submit().priority(3).await;

    bench.engine.change_priority(args(bench, &id, 3)).await.unwrap();

    assert_eq!(bench.summary(&id).await.priority, 3);
}

pub async fn what_is_not_in_line_cannot_be_moved(bench: &Bench) {
    let running = bench.claimed().await.execution().clone();
    let delayed = bench.submit().delay_until(bench.after(1_000)).await;
    let ended = bench.submit().await;
    bench.cancel(&ended).await.unwrap();

    for id in [running, delayed, ended] {
        let refused = bench.unchanged_by(bench.engine.change_priority(args(bench, &id, 5))).await;
        refused.must_be_contention(&ContentionKind::ExecutionNotEligible);
    }
}

pub async fn a_delayed_execution_can_be_moved_once_its_delay_is_over(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(1_000)).await;
    bench.advance(1_000);

    bench.engine.change_priority(args(bench, &id, 5)).await.unwrap();

    assert_eq!(bench.summary(&id).await.priority, 5);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let unknown = args(bench, &bench.new_id(), 5);

    bench.unchanged_by(bench.engine.change_priority(unknown)).await.must_be_not_found("execution");
}
