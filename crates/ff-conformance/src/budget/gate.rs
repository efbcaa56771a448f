//! Claims before closed gates: what waits, why, and when it comes back.

use std::time::Duration;

use ff_core::backend::{FailureClass, HandleKind};
use ff_core::contracts::{
    CheckAdmissionArgs, CheckAdmissionResult, ClaimForWorkerArgs, ClaimForWorkerOutcome,
    QuotaTarget, RecordSpendArgs, ReleaseBudgetArgs, ReportUsageResult,
};
use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::state::{BlockingReason, EligibilityState, PublicState};
use ff_core::types::{BudgetId, LaneId, WorkerId, WorkerInstanceId};

use super::{
    TOKENS, a_bound_lane, a_budget, a_quota, bind, bound, overview, quota_overview, raise, report,
    spend,
};
use crate::harness::{Bench, LANE, Refusal, fixed};

pub async fn a_spent_budget_parks_what_is_bound_to_it(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    report(bench, &id, 10).await;
    let waiting = bound(bench, &id).await;
    let free = bench.submit().await;

    assert_eq!(*bench.claim().await.execution(), free);
    bench.claim().nothing().await;

    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);
    let state = bench.info(&waiting).await.state_vector;
    assert_eq!(state.eligibility_state, EligibilityState::BlockedByBudget);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForBudget);
    let detail = bench.info(&waiting).await.blocking_detail;
    assert!(detail.contains(&id.to_string()) && detail.contains("10 of 10"), "{detail}");
    assert_eq!(overview(bench, &id).await.waiting, 1);
    assert_eq!(bench.causes(&waiting).await, ["created", "budget_spent"]);
}

pub async fn one_below_the_limit_is_room(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    report(bench, &id, 9).await;
    bound(bench, &id).await;

    bench.claim().await;
}

pub async fn a_top_up_opens_the_budget_to_the_next_claim(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    report(bench, &id, 10).await;
    let waiting = bound(bench, &id).await;
    bench.claim().nothing().await;

    raise(bench, &id, 1).await;

    assert_eq!(*bench.claim().await.execution(), waiting);
}

pub async fn usage_given_back_opens_the_budget(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let spender = bench.new_id();
    spend(bench, &id, &spender, 10).await;
    bound(bench, &id).await;
    bench.claim().nothing().await;

    bench.engine.release_budget(ReleaseBudgetArgs::new(id, spender)).await.unwrap();

    bench.claim().await;
}

pub async fn a_reset_opens_the_budget_at_its_instant(bench: &Bench) {
    let id = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    let resets_at = bench.after(1_000);
    report(bench, &id, 10).await;
    let waiting = bound(bench, &id).await;
    bench.claim().nothing().await;
    assert_eq!(bench.summary(&waiting).await.due_at, Some(resets_at));

    bench.advance(999);
    bench.claim().nothing().await;
    bench.advance(1);

    assert_eq!(*bench.claim().await.execution(), waiting);
}

pub async fn a_budget_that_does_not_exist_lets_nothing_through_until_it_does(bench: &Bench) {
    let id = BudgetId::from_uuid(bench.new_id().uuid());
    let waiting = bound(bench, &id).await;
    bench.claim().nothing().await;
    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);

    a_budget(bench, 10, |args| args.budget_id = id).await;

    assert_eq!(*bench.claim().await.execution(), waiting);
}

pub async fn a_slot_is_taken_by_a_lease_and_freed_by_its_end(bench: &Bench) {
    let id = a_bound_lane(bench, 0, 1).await;
    let first = bench.claimed().await;
    let waiting = bench.submit().await;
    bench.claim().nothing().await;
    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);
    assert_eq!(
        bench.info(&waiting).await.state_vector.eligibility_state,
        EligibilityState::BlockedByQuota
    );

    first.complete(None).await.unwrap();

    assert_eq!(*bench.claim().await.execution(), waiting);
    assert_eq!(quota_overview(bench, &id).await.active, 1);
}

pub async fn whatever_ends_a_lease_frees_its_slot(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    for end in 0..6 {
        let held = bench.submit().retries(fixed(1, 10_000)).await;
        let held = {
            let lease = bench.claim().await;
            assert_eq!(*lease.execution(), held);
            lease
        };
        let id = held.execution().clone();
        match end {
            0 => held.fail("broken", FailureClass::Transient).await.map(drop).unwrap(),
            1 => held.delay(bench.after(10_000)).await.unwrap(),
            2 => held.cancel("enough").await.unwrap(),
            3 => bench.cancel(&id).await.map(drop).unwrap(),
            4 => bench.engine.revoke_lease(bench.revoke_args(&id)).await.map(drop).unwrap(),
            _ => bench.let_lease_expire(&held).await,
        }
        let next = bench.submit().priority(9).await;

        let lease = bench.claim().await;

        assert_eq!(*lease.execution(), next, "after end {end}");
        lease.complete(None).await.unwrap();
        let _ = bench.cancel(&id).await;
    }
}

pub async fn a_dead_worker_s_slot_is_free_at_the_instant_its_lease_ends(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let lost = bench.claimed().await;
    let waiting = bench.submit().priority(1).await;
    bench.claim().nothing().await;
    let ends = lost.expires_at().await;

    bench.advance_to(ff_core::types::TimestampMs(ends.0 - 1));
    bench.claim().nothing().await;
    bench.advance(1);

    assert_eq!(*bench.claim().await.execution(), waiting);
}

pub async fn a_lost_lease_waits_for_a_slot_and_its_reclaim_is_counted(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let lost = bench.claimed().await;
    let id = lost.execution().clone();
    bench.let_lease_expire(&lost).await;
    let other = bench.submit().priority(5).await;
    let held = bench.claim().await;
    assert_eq!(*held.execution(), other);

    bench.claim().nothing().await;
    assert_eq!(bench.state(&id).await, PublicState::RateLimited);
    held.complete(None).await.unwrap();

    let again = bench.claim().await;
    assert_eq!((again.execution(), again.kind()), (&id, HandleKind::Reclaimed));
    assert_eq!((again.attempt(), again.epoch()), (1, 2));
    assert_eq!(bench.summary(&id).await.reclaim_count, 1);
}

pub async fn the_window_slides_open_at_its_instant(bench: &Bench) {
    a_bound_lane(bench, 2, 0).await;
    bench.completed().await;
    bench.advance(10_000);
    bench.completed().await;
    let waiting = bench.submit().await;
    bench.claim().nothing().await;
    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);
    assert_eq!(bench.summary(&waiting).await.due_at, Some(bench.after(50_000)));

    bench.advance(49_999);
    bench.claim().nothing().await;
    bench.advance(1);

    assert_eq!(*bench.claim().await.execution(), waiting);
    bench.submit().await;
    bench.claim().nothing().await;
}

pub async fn every_lease_counts_in_the_window(bench: &Bench) {
    a_bound_lane(bench, 2, 0).await;
    bench.submit().await;

    bench.claim().await.release().await.unwrap();
    bench.claim().await.release().await.unwrap();

    bench.claim().nothing().await;
}

pub async fn no_more_come_back_than_there_is_room_for_and_in_line_order(bench: &Bench) {
    let id = a_quota(bench, 0, 2).await;
    let mut line = Vec::new();
    for priority in [1, 1, 5, 3, 5] {
        let execution = bench.submit().priority(priority).await;
        bind(bench, QuotaTarget::Execution(execution.clone()), &id).await;
        line.push((-priority, execution));
    }
    line.sort();
    let first = bench.claim().await;
    bench.claim().await;
    bench.claim().nothing().await;
    assert_eq!(quota_overview(bench, &id).await.waiting, 3);

    first.complete(None).await.unwrap();
    assert_eq!(*bench.claim().await.execution(), line[2].1);

    assert_eq!(quota_overview(bench, &id).await.waiting, 2);
    assert_eq!(bench.state(&line[3].1).await, PublicState::RateLimited);
}

pub async fn a_batch_takes_what_there_is_room_for(bench: &Bench) {
    a_bound_lane(bench, 0, 3).await;
    for _ in 0..5 {
        bench.submit().await;
    }

    let claimed = bench.claim().batch(&[LANE], 10).await.unwrap();

    assert_eq!(claimed.len(), 3);
    bench.claim().nothing().await;
}

pub async fn other_lanes_and_other_work_go_on(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    bench.claimed().await;
    bench.submit().await;
    bench.submit().lane("other").await;

    let claimed = bench.claim().batch(&[LANE, "other"], 5).await.unwrap();

    assert_eq!(claimed.len(), 1);
}

pub async fn an_execution_is_held_to_its_own_quota_and_to_its_lane_s(bench: &Bench) {
    a_bound_lane(bench, 0, 5).await;
    let own = a_quota(bench, 0, 1).await;
    for _ in 0..2 {
        let execution = bench.submit().await;
        bind(bench, QuotaTarget::Execution(execution), &own).await;
    }

    bench.claim().await;
    bench.claim().nothing().await;

    let free = bench.submit().await;
    assert_eq!(*bench.claim().await.execution(), free);
}

pub async fn a_waiting_worker_is_woken_by_a_freed_slot(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let first = bench.claimed().await;
    let waiting = bench.submit().await;
    let claim = bench.claim().wait(Duration::from_secs(40));

    let held = bench.woken_by(claim, async { first.complete(None).await.unwrap() }).await;

    assert_eq!(*held.execution(), waiting);
}

pub async fn a_named_execution_does_not_pass_a_closed_gate(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let named = bench.submit().await;
    let granted = bench.submit().await;
    bench.engine.issue_claim_grant(bench.grant_args(&granted, "ann", 5_000)).await.unwrap();
    let first = bench.engine.issue_grant_and_claim(bench.take_args(&named)).await;
    first.unwrap();

    bench
        .redeem(&granted, "ann")
        .await
        .must_be_contention(&ContentionKind::ConcurrencyLimitExceeded);
    let third = bench.submit().await;
    let refused = bench.engine.issue_grant_and_claim(bench.take_args(&third)).await;
    refused.must_be_contention(&ContentionKind::ConcurrencyLimitExceeded);

    let id = a_budget(bench, 1, |_| {}).await;
    report(bench, &id, 1).await;
    let spent = bound(bench, &id).await;
    let refused = bench.engine.issue_grant_and_claim(bench.take_args(&spent)).await;
    refused.must_be_state(&StateKind::BudgetExceeded);
}

pub async fn a_scheduler_is_granted_nothing_behind_a_closed_gate(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let first = bench.claimed().await;
    let waiting = bench.submit().await;
    let ask = || {
        bench.engine.claim_for_worker(ClaimForWorkerArgs::new(
            LaneId::new(LANE),
            WorkerId::new("ann"),
            WorkerInstanceId::new("ann-1"),
            std::collections::BTreeSet::new(),
            5_000,
        ))
    };

    assert_eq!(ask().await.unwrap(), ClaimForWorkerOutcome::NoWork);
    assert_eq!(bench.state(&waiting).await, PublicState::RateLimited);
    first.complete(None).await.unwrap();

    assert!(matches!(ask().await.unwrap(), ClaimForWorkerOutcome::Granted(_)));
}

pub async fn a_parked_execution_can_be_cancelled_and_expires(bench: &Bench) {
    let id = a_budget(bench, 1, |_| {}).await;
    report(bench, &id, 1).await;
    let cancelled = bound(bench, &id).await;
    let deadline = bench.after(1_000);
    let expiring = bench
        .submit()
        .policy(|policy| policy.budget_ids = vec![id.clone()])
        .deadline(deadline)
        .await;
    bench.claim().nothing().await;

    bench.cancel(&cancelled).await.unwrap();
    bench.advance(1_000);
    bench.sweep().await;

    assert_eq!(bench.state(&cancelled).await, PublicState::Cancelled);
    assert_eq!(bench.state(&expiring).await, PublicState::Expired);
    assert_eq!(overview(bench, &id).await.waiting, 0);
}

pub async fn a_sweep_puts_back_what_there_is_room_for(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    report(bench, &id, 10).await;
    let waiting = bound(bench, &id).await;
    bench.claim().nothing().await;
    raise(bench, &id, 1).await;

    bench.sweep().await;

    assert_eq!(bench.state(&waiting).await, PublicState::Waiting);
    assert_eq!(bench.causes(&waiting).await, ["created", "budget_spent", "room_again"]);
}

pub async fn an_admission_under_a_shorter_window_shortens_nobody_else_s(bench: &Bench) {
    let id = a_bound_lane(bench, 2, 0).await;
    bench.completed().await;
    bench.completed().await;
    bench.advance(2_000);
    let args = CheckAdmissionArgs {
        execution_id: bench.new_id(),
        now: bench.now(),
        window_seconds: 1,
        rate_limit: 1,
        concurrency_cap: 0,
        jitter_ms: None,
    };
    let answer = bench.engine.check_admission(&id, "", args).await.unwrap();
    assert_eq!(answer, CheckAdmissionResult::Admitted);

    bench.submit().await;

    bench.claim().nothing().await;
}

pub async fn an_overage_that_is_dropped_opens_the_budget(bench: &Bench) {
    let id = a_budget(bench, 10, |_| {}).await;
    let spender = bench.new_id();
    let keyed = |tokens| {
        let deltas = [(TOKENS.to_owned(), tokens)].into();
        RecordSpendArgs::new(id.clone(), spender.clone(), deltas, "call-1")
    };
    let answer = bench.engine.record_spend(keyed(11)).await.unwrap();
    assert!(matches!(answer, ReportUsageResult::HardBreach { .. }));
    let waiting = bound(bench, &id).await;
    bench.claim().nothing().await;

    let answer = bench.engine.record_spend(keyed(9)).await.unwrap();

    assert_eq!(answer, ReportUsageResult::Ok);
    assert_eq!(*bench.claim().await.execution(), waiting);
}
