//! Checking leases: who still holds what, without a write.

use ff_core::contracts::{CHECK_LEASES_MAX, LeaseStanding};
use ff_core::state::PublicState;

use crate::harness::{Bench, Held, Refusal, TTL_MS};

async fn standing(bench: &Bench, held: &Held) -> LeaseStanding {
    let handles = [held.handle.clone()];
    let mut answers = bench.unchanged_by(bench.engine.check_leases(&handles)).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn lost(standing: &LeaseStanding) -> Option<PublicState> {
    match standing {
        LeaseStanding::Lost { public_state, .. } => *public_state,
        LeaseStanding::Held { expires_at } => panic!("held until {expires_at}"),
    }
}

pub async fn each_handle_gets_its_answer_in_order(bench: &Bench) {
    let ended = bench.completed().await;
    let held = bench.claimed().await;
    let unknown = held.forged(|proof| proof.execution_id = bench.new_id());
    let handles = [&unknown, &held, &ended].map(|held| held.handle.clone());

    let answers = bench.unchanged_by(bench.engine.check_leases(&handles)).await.unwrap();

    let [unknown, live, ended] = <[LeaseStanding; 3]>::try_from(answers).unwrap();
    assert_eq!(lost(&unknown), None);
    assert_eq!(live, LeaseStanding::Held { expires_at: bench.after(u64::from(TTL_MS)) });
    assert_eq!(lost(&ended), Some(PublicState::Completed));
}

pub async fn a_lease_is_lost_from_its_expiry_on(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(u64::from(TTL_MS) - 1);
    assert!(standing(bench, &held).await.is_held());

    bench.advance(1);

    lost(&standing(bench, &held).await);
}

pub async fn a_cancel_a_revoke_and_a_successor_are_noticed(bench: &Bench) {
    let cancelled = bench.claimed().await;
    bench.cancel(cancelled.execution()).await.unwrap();
    let revoked = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(revoked.execution())).await.unwrap();
    let successor = bench.claim().await;

    assert_eq!(lost(&standing(bench, &cancelled).await), Some(PublicState::Cancelled));
    assert_eq!(lost(&standing(bench, &revoked).await), Some(PublicState::Active));
    assert!(standing(bench, &successor).await.is_held());
}

/// What a write would be refused for, a check tells beforehand, swept or not.
pub async fn a_timeout_or_deadline_that_passed_is_noticed_before_any_sweep(bench: &Bench) {
    bench.submit().attempt_timeout(10_000).await;
    let timed_out = bench.claim().await;
    bench.submit().deadline(bench.after(10_000)).await;
    let overdue = bench.claim().await;
    bench.advance(9_999);
    assert!(standing(bench, &timed_out).await.is_held());
    assert!(standing(bench, &overdue).await.is_held());

    bench.advance(1);

    assert_eq!(lost(&standing(bench, &timed_out).await), Some(PublicState::Failed));
    assert_eq!(lost(&standing(bench, &overdue).await), Some(PublicState::Expired));
}

pub async fn at_most_a_thousand_handles_are_checked_at_once(bench: &Bench) {
    let held = bench.claimed().await;
    let handles = |count: usize| vec![held.handle.clone(); count];

    bench.engine.check_leases(&handles(CHECK_LEASES_MAX + 1)).await.must_be_invalid();

    let answers = bench.engine.check_leases(&handles(CHECK_LEASES_MAX)).await.unwrap();
    assert_eq!(answers.len(), CHECK_LEASES_MAX);
    assert!(bench.engine.check_leases(&[]).await.unwrap().is_empty());
}
