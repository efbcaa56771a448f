//! Waitpoints made ahead of their suspension.

use std::time::Duration;

use ff_core::backend::PendingWaitpoint;
use ff_core::contracts::{SuspendArgs, SuspendOutcome, WaitpointBinding};
use ff_core::engine_error::{ContentionKind, StateKind, ValidationKind};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, WaitpointId};

use super::{any_at, delivered, observed, plain, signal, waiting_for};
use crate::harness::{Bench, Held, Refusal};

const SECOND: Duration = Duration::from_secs(1);

async fn created(bench: &Bench, held: &Held) -> PendingWaitpoint {
    bench.engine.create_waitpoint(&held.handle, "k", SECOND).await.unwrap()
}

fn adopting(bench: &Bench, pending: &PendingWaitpoint) -> SuspendArgs {
    plain(bench).with_waitpoints(vec![WaitpointBinding::use_pending(pending)])
}

fn early(
    bench: &Bench,
    held: &Held,
    at: &PendingWaitpoint,
) -> ff_core::contracts::DeliverSignalArgs {
    signal(bench, held.execution(), &at.waitpoint_id, &at.hmac_token)
}

pub async fn an_early_signal_waits_and_satisfies_the_suspension_that_adopts_it(bench: &Bench) {
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;

    let effect = delivered(bench, early(bench, &held, &pending)).await.unwrap();
    assert_eq!(effect, "buffered_for_pending_waitpoint");
    let outcome = bench.engine.suspend(&held.handle, adopting(bench, &pending)).await.unwrap();

    let SuspendOutcome::AlreadySatisfied { details } = outcome else { panic!("it went on") };
    assert_eq!(details.waitpoint_token, pending.hmac_token);
    assert_eq!(bench.state(held.execution()).await, PublicState::Active);
    assert_eq!(observed(bench, &held).await, ["go"]);
    held.complete(None).await.unwrap();
}

pub async fn early_signals_count_for_every_kind_of_condition(bench: &Bench) {
    use ff_core::contracts::{CompositeBody, CountKind, ResumeCondition};
    let counts = |kind| {
        let keys = ["k".to_owned()];
        ResumeCondition::Composite(CompositeBody::count(1, kind, None, keys))
    };
    for condition in [
        any_at("k"),
        ResumeCondition::all_of_waitpoints(["k"]),
        counts(CountKind::DistinctSignals),
        counts(CountKind::DistinctSources),
        counts(CountKind::DistinctWaitpoints),
    ] {
        let held = bench.claimed().await;
        let pending = created(bench, &held).await;
        delivered(bench, early(bench, &held, &pending)).await.unwrap();
        let mut args = adopting(bench, &pending);
        args.resume_condition = condition;

        let outcome = bench.engine.suspend(&held.handle, args).await.unwrap();

        assert!(matches!(outcome, SuspendOutcome::AlreadySatisfied { .. }), "{outcome:?}");
        held.complete(None).await.unwrap();
    }
}

pub async fn early_signals_are_not_counted_twice(bench: &Bench) {
    use ff_core::contracts::{CompositeBody, CountKind, ResumeCondition};
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;
    delivered(bench, early(bench, &held, &pending)).await.unwrap();
    let condition = ResumeCondition::Composite(CompositeBody::count(
        2,
        CountKind::DistinctSources,
        None,
        ["k".to_owned()],
    ));
    let mut args = adopting(bench, &pending);
    args.resume_condition = condition;
    bench.engine.suspend(&held.handle, args).await.unwrap();

    let again = delivered(bench, early(bench, &held, &pending)).await.unwrap();
    assert_eq!(again, "appended_to_waitpoint_duplicate");
    let mut other = early(bench, &held, &pending);
    other.source_identity = "bob".to_owned();
    assert_eq!(delivered(bench, other).await.unwrap(), "resume_condition_satisfied");

    let resumed = bench.claim().await;
    assert_eq!(observed(bench, &resumed).await.len(), 3);
}

pub async fn an_adopted_waitpoint_keeps_its_token(bench: &Bench) {
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;
    bench.engine.suspend(&held.handle, adopting(bench, &pending)).await.unwrap();
    bench.advance(5_000);

    let effect = delivered(bench, early(bench, &held, &pending)).await.unwrap();

    assert_eq!(effect, "resume_condition_satisfied", "an adopted waitpoint has no end of its own");
}

pub async fn a_pending_waitpoint_ends_at_its_instant_and_not_before(bench: &Bench) {
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;
    bench.advance(999);
    delivered(bench, early(bench, &held, &pending)).await.unwrap();
    bench.advance(1);

    // What has been swept is told as what has not.
    for _ in 0..2 {
        let late = bench.unchanged_by(delivered(bench, early(bench, &held, &pending))).await;
        late.must_be_state(&StateKind::WaitpointClosed);
        let adopts = bench.engine.suspend(&held.handle, adopting(bench, &pending)).await;
        adopts.must_be_state(&StateKind::PendingWaitpointExpired);
        bench.sweep().await;
    }
}

pub async fn only_the_live_lease_makes_one(bench: &Bench) {
    let stale = bench.lapsed().await;
    let made = bench.unchanged_by(bench.engine.create_waitpoint(&stale.handle, "k", SECOND)).await;
    made.must_be_state(&StateKind::LeaseExpired);
    let _held = bench.claim().await;
    let made = bench.engine.create_waitpoint(&stale.handle, "k", SECOND).await;
    made.must_be_contention(&ContentionKind::LeaseConflict);
}

pub async fn keys_and_ends_are_bounded(bench: &Bench) {
    let held = bench.claimed().await;
    let long = "k".repeat(257);
    let made = bench.engine.create_waitpoint(&held.handle, &long, SECOND).await;
    made.must_be_validation(&ValidationKind::InvalidWaitpointKey);
    bench.engine.create_waitpoint(&held.handle, "k", Duration::ZERO).await.must_be_invalid();
}

pub async fn only_what_this_attempt_made_is_adopted(bench: &Bench) {
    let other = bench.claimed().await;
    let foreign = created(bench, &other).await;
    let held = bench.claimed().await;

    let adopts = bench.engine.suspend(&held.handle, adopting(bench, &foreign)).await;
    adopts.must_be_validation(&ValidationKind::InvalidWaitpointForExecution);

    let unknown = WaitpointId::from_uuid(bench.new_lease_id().0);
    let binding = WaitpointBinding::UsePending { waitpoint_id: unknown };
    let args = waiting_for(bench, any_at("k"), &["k"]).with_waitpoints(vec![binding]);
    let adopts = bench.unchanged_by(bench.engine.suspend(&held.handle, args)).await;
    adopts.must_be_contention(&ContentionKind::WaitpointNotFound);
}

pub async fn every_end_of_the_execution_closes_its_waitpoints(bench: &Bench) {
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;
    held.complete(None).await.unwrap();

    let late = delivered(bench, early(bench, &held, &pending)).await;

    late.must_be_state(&StateKind::TargetNotSignalable);
    let token =
        bench.engine.read_waitpoint_token(partition(held.execution()), &pending.waitpoint_id);
    assert_eq!(token.await.unwrap(), None);
}

pub async fn its_token_can_be_read_while_it_is_open(bench: &Bench) {
    let held = bench.claimed().await;
    let pending = created(bench, &held).await;
    let read = |id: WaitpointId| {
        let partition = partition(held.execution());
        async move { bench.engine.read_waitpoint_token(partition, &id).await.unwrap() }
    };

    assert_eq!(
        read(pending.waitpoint_id.clone()).await.as_deref(),
        Some(pending.hmac_token.as_str())
    );
    assert_eq!(read(WaitpointId::from_uuid(bench.new_lease_id().0)).await, None);
}

fn partition(id: &ExecutionId) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index: id.partition() })
}
