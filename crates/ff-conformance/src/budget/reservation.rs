//! What a reservation of `check_admission` does at the gates of its quota.

use std::time::Duration;

use ff_core::contracts::{
    CheckAdmissionResult, ClaimForWorkerArgs, ClaimForWorkerOutcome, QuotaTarget,
};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, LaneId, QuotaPolicyId, WorkerId, WorkerInstanceId};

use super::{a_bound_lane, a_quota, admit, bind};
use crate::harness::{Bench, LANE};

pub async fn the_end_of_an_execution_with_a_reservation_opens_the_quota(bench: &Bench) {
    let id = a_bound_lane(bench, 0, 1).await;
    let reserved = bench.submit().lane("other").await;
    admit(bench, &id, &reserved, 0, 1).await;
    let waiting = bench.submit().await;
    bench.claim().nothing().await;

    bench.cancel(&reserved).await.unwrap();

    assert_eq!(*bench.claim().await.execution(), waiting);
}

pub async fn a_reservation_does_not_keep_its_own_execution_waiting(bench: &Bench) {
    let id = a_quota(bench, 0, 1).await;
    let first = bench.submit().await;
    let waiting = bench.submit().await;
    for execution in [&first, &waiting] {
        bind(bench, QuotaTarget::Execution(execution.clone()), &id).await;
    }
    let first = bench.claim().await;
    bench.claim().nothing().await;
    first.complete(None).await.unwrap();

    let answer = admit(bench, &id, &waiting, 0, 1).await;

    assert_eq!(answer, CheckAdmissionResult::Admitted);
    assert_eq!(*bench.claim().await.execution(), waiting);
}

/// A lane of one slot where the first in line waits for it and the second has it reserved.
async fn reserved_behind_another(bench: &Bench) -> ExecutionId {
    let id = a_bound_lane(bench, 0, 1).await;
    bench.submit().await;
    let reserved = bench.submit().await;
    let answer = admit(bench, &id, &reserved, 0, 1).await;
    assert_eq!(answer, CheckAdmissionResult::Admitted);
    reserved
}

/// A lane whose window is full, with one that waits for it to open.
async fn full_window(bench: &Bench) -> (QuotaPolicyId, ExecutionId) {
    let id = a_bound_lane(bench, 1, 0).await;
    bench.completed().await;
    let waiting = bench.submit().await;
    bench.claim().nothing().await;
    (id, waiting)
}

pub async fn whoever_has_a_reservation_passes_whoever_waits_for_one(bench: &Bench) {
    let reserved = reserved_behind_another(bench).await;

    assert_eq!(*bench.claim().await.execution(), reserved);
    bench.claim().nothing().await;
}

pub async fn a_batch_takes_those_with_a_reservation_and_parks_the_first_without(bench: &Bench) {
    let id = a_bound_lane(bench, 0, 2).await;
    let parked = bench.submit().await;
    let first = bench.submit().await;
    let behind = bench.submit().await;
    let second = bench.submit().await;
    for reserved in [&second, &first] {
        admit(bench, &id, reserved, 0, 2).await;
    }

    let taken = bench.claim().batch(&[LANE], 9).await.unwrap();

    let taken: Vec<_> = taken.iter().map(|held| held.execution_id.clone()).collect();
    assert_eq!(taken, [first, second]);
    assert_eq!(bench.state(&parked).await, PublicState::RateLimited);
    assert_eq!(bench.state(&behind).await, PublicState::Waiting);
}

pub async fn a_reservation_passes_a_full_window(bench: &Bench) {
    let (id, waiting) = full_window(bench).await;
    let behind = bench.submit().await;
    let reserved = bench.submit().needs(&["gpu"]).await;
    admit(bench, &id, &reserved, 9, 0).await;

    bench.claim().nothing().await;
    assert_eq!(*bench.claim().with(&["gpu"]).await.execution(), reserved);
    bench.claim().with(&["gpu"]).nothing().await;

    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);
    assert_eq!(bench.state(&behind).await, PublicState::Waiting);
}

pub async fn a_reservation_that_is_over_passes_nobody(bench: &Bench) {
    let id = a_bound_lane(bench, 0, 1).await;
    let reserved = bench.submit().lane("other").await;
    admit(bench, &id, &reserved, 0, 1).await;
    let waiting = bench.submit().await;
    bench.advance(59_999);
    bench.claim().nothing().await;
    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);

    bench.advance(1);

    assert_eq!(*bench.claim().await.execution(), waiting);
    bind(bench, QuotaTarget::Lane(LaneId::new("other")), &id).await;
    bench.claim().lane("other").nothing().await;
    assert_eq!(bench.state(&reserved).await, PublicState::RateLimited);
}

pub async fn a_reservation_may_be_older_than_its_execution(bench: &Bench) {
    let (id, _) = full_window(bench).await;
    let reserved = bench.new_id();
    admit(bench, &id, &reserved, 9, 0).await;

    bench.submit().id(&reserved).await;

    assert_eq!(*bench.claim().await.execution(), reserved);
}

pub async fn a_waiting_worker_is_woken_by_a_reservation(bench: &Bench) {
    let (id, _) = full_window(bench).await;
    let reserved = bench.submit().await;
    let claim = bench.claim().wait(Duration::from_secs(40));

    let work = async {
        admit(bench, &id, &reserved, 9, 0).await;
    };
    let held = bench.woken_by(claim, work).await;

    assert_eq!(*held.execution(), reserved);
}

pub async fn a_scheduler_is_granted_whoever_has_a_reservation(bench: &Bench) {
    let reserved = reserved_behind_another(bench).await;
    let args = ClaimForWorkerArgs::new(
        LaneId::new(LANE),
        WorkerId::new("ann"),
        WorkerInstanceId::new("ann-1"),
        std::collections::BTreeSet::new(),
        5_000,
    );

    let ClaimForWorkerOutcome::Granted(grant) = bench.engine.claim_for_worker(args).await.unwrap()
    else {
        panic!("nobody is granted")
    };

    assert_eq!(grant.execution_id, reserved);
}

pub async fn only_reservations_stand_before_a_reservation_on_a_full_lane(bench: &Bench) {
    let (id, _) = full_window(bench).await;
    bench.submit().await;
    let reserved = bench.submit().await;
    let ahead = async || {
        let told = bench.engine.explain(&reserved).await.unwrap();
        told.position.map(|place| place.ahead)
    };
    assert_eq!(ahead().await, Some(1));

    admit(bench, &id, &reserved, 9, 0).await;

    assert_eq!(ahead().await, Some(0));
}
