//! Quota policies, and reservations under limits of the caller's.

use ff_core::contracts::{
    CheckAdmissionArgs, CheckAdmissionResult, CreateQuotaPolicyArgs, CreateQuotaPolicyResult,
    QuotaPolicyLimits, ReleaseAdmissionArgs, ReleaseAdmissionResult,
};
use ff_core::types::QuotaPolicyId;

use super::{a_quota, admit, quota_overview};
use crate::harness::{Bench, Refusal};

fn unknown(bench: &Bench) -> QuotaPolicyId {
    QuotaPolicyId::from_uuid(bench.new_id().uuid())
}

async fn release(bench: &Bench, id: &QuotaPolicyId, execution: &ff_core::types::ExecutionId) {
    let args = ReleaseAdmissionArgs::new(id.clone(), execution.clone());
    let answer = bench.engine.release_admission(args).await.unwrap();
    assert_eq!(answer, ReleaseAdmissionResult::Released);
}

pub async fn a_policy_is_stored_once_and_its_limits_are_read(bench: &Bench) {
    let id = a_quota(bench, 5, 2).await;
    let again = CreateQuotaPolicyArgs {
        quota_policy_id: id.clone(),
        window_seconds: 1,
        max_requests_per_window: 1,
        max_concurrent: 1,
        now: bench.now(),
    };

    let answer = bench.engine.create_quota_policy(again).await.unwrap();

    assert_eq!(answer, CreateQuotaPolicyResult::AlreadySatisfied { quota_policy_id: id.clone() });
    let limits = bench.engine.read_quota_policy_limits(&id).await.unwrap();
    assert_eq!(limits, Some(QuotaPolicyLimits::new(5, 60, 2, 0)));
    assert_eq!(bench.engine.read_quota_policy_limits(&unknown(bench)).await.unwrap(), None);
}

pub async fn limits_that_do_not_fit_are_refused(bench: &Bench) {
    let args = |window_seconds, max_requests_per_window, max_concurrent| CreateQuotaPolicyArgs {
        quota_policy_id: unknown(bench),
        window_seconds,
        max_requests_per_window,
        max_concurrent,
        now: bench.now(),
    };

    for args in [args(u64::MAX, 1, 1), args(1, 1 << 63, 1), args(1, 1, 1 << 63)] {
        bench.engine.create_quota_policy(args).await.must_be_invalid();
    }
}

pub async fn one_more_than_the_rate_waits_for_the_window_to_slide(bench: &Bench) {
    let id = unknown(bench);
    let [first, second, third] = [bench.new_id(), bench.new_id(), bench.new_id()];

    assert_eq!(admit(bench, &id, &first, 2, 0).await, CheckAdmissionResult::Admitted);
    bench.advance(10_000);
    assert_eq!(admit(bench, &id, &second, 2, 0).await, CheckAdmissionResult::Admitted);
    assert_eq!(
        admit(bench, &id, &third, 2, 0).await,
        CheckAdmissionResult::RateExceeded { retry_after_ms: 50_000 }
    );
    bench.advance(49_999);
    assert_eq!(
        admit(bench, &id, &third, 2, 0).await,
        CheckAdmissionResult::RateExceeded { retry_after_ms: 1 }
    );
    bench.advance(1);

    assert_eq!(admit(bench, &id, &third, 2, 0).await, CheckAdmissionResult::Admitted);
}

pub async fn jitter_is_added_to_the_wait(bench: &Bench) {
    let id = unknown(bench);
    admit(bench, &id, &bench.new_id(), 1, 0).await;
    let args = CheckAdmissionArgs {
        execution_id: bench.new_id(),
        now: bench.now(),
        window_seconds: 60,
        rate_limit: 1,
        concurrency_cap: 0,
        jitter_ms: Some(250),
    };

    let answer = bench.engine.check_admission(&id, "any", args).await.unwrap();

    assert_eq!(answer, CheckAdmissionResult::RateExceeded { retry_after_ms: 60_250 });
}

pub async fn the_same_execution_is_admitted_once_a_window(bench: &Bench) {
    let id = unknown(bench);
    let execution = bench.new_id();

    assert_eq!(admit(bench, &id, &execution, 1, 1).await, CheckAdmissionResult::Admitted);
    bench.advance(59_999);
    assert_eq!(admit(bench, &id, &execution, 1, 1).await, CheckAdmissionResult::AlreadyAdmitted);
    bench.advance(1);

    assert_eq!(admit(bench, &id, &execution, 1, 1).await, CheckAdmissionResult::Admitted);
    assert_eq!(quota_overview(bench, &id).await.active, 1);
}

pub async fn a_released_slot_goes_to_the_next_and_twice_is_once(bench: &Bench) {
    let id = unknown(bench);
    let [first, second, third] = [bench.new_id(), bench.new_id(), bench.new_id()];
    admit(bench, &id, &first, 0, 1).await;
    assert_eq!(admit(bench, &id, &second, 0, 1).await, CheckAdmissionResult::ConcurrencyExceeded);

    release(bench, &id, &first).await;
    assert_eq!(admit(bench, &id, &second, 0, 1).await, CheckAdmissionResult::Admitted);
    release(bench, &id, &first).await;

    assert_eq!(admit(bench, &id, &third, 0, 1).await, CheckAdmissionResult::ConcurrencyExceeded);
}

pub async fn the_rate_is_not_refunded(bench: &Bench) {
    let id = unknown(bench);
    let (first, second) = (bench.new_id(), bench.new_id());
    admit(bench, &id, &first, 1, 0).await;

    release(bench, &id, &first).await;

    let answer = admit(bench, &id, &second, 1, 0).await;
    assert_eq!(answer, CheckAdmissionResult::RateExceeded { retry_after_ms: 60_000 });
}

pub async fn the_end_of_an_execution_frees_its_reservation(bench: &Bench) {
    let id = unknown(bench);
    let execution = bench.submit().await;
    admit(bench, &id, &execution, 0, 1).await;

    bench.cancel(&execution).await.unwrap();

    assert_eq!(admit(bench, &id, &bench.new_id(), 0, 1).await, CheckAdmissionResult::Admitted);
}

pub async fn the_reservation_of_an_execution_that_is_forgotten_stays_free(bench: &Bench) {
    let id = unknown(bench);
    let month = |execution_id| CheckAdmissionArgs {
        execution_id,
        now: bench.now(),
        window_seconds: 31 * 24 * 60 * 60,
        rate_limit: 0,
        concurrency_cap: 1,
        jitter_ms: None,
    };
    let execution = bench.submit().await;
    bench.engine.check_admission(&id, "", month(execution.clone())).await.unwrap();
    bench.cancel(&execution).await.unwrap();
    bench.advance(25 * 60 * 60 * 1_000);

    bench.sweep().await;

    let answer = bench.engine.check_admission(&id, "", month(bench.new_id())).await.unwrap();
    assert_eq!(answer, CheckAdmissionResult::Admitted);
}

pub async fn a_cap_on_an_unknown_policy_stores_one_without_limits(bench: &Bench) {
    let (capped, plain) = (unknown(bench), unknown(bench));

    admit(bench, &capped, &bench.new_id(), 0, 3).await;
    admit(bench, &plain, &bench.new_id(), 3, 0).await;

    let read = bench.engine.read_quota_policy_limits(&capped).await.unwrap();
    assert_eq!(read, Some(QuotaPolicyLimits::new(0, 0, 0, 0)));
    assert_eq!(bench.engine.read_quota_policy_limits(&plain).await.unwrap(), None);
}
