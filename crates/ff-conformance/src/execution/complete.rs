//! Completing: the lease holder, or an operator, reports success.

use ff_core::contracts::{CompleteExecutionArgs, CompleteExecutionResult};
use ff_core::engine_error::{ContentionKind, StateKind, ValidationKind};
use ff_core::handle_codec;
use ff_core::state::{AttemptState, LifecyclePhase, OwnershipState, PublicState, TerminalOutcome};
use ff_core::stream_events::CompletionOutcome;
use ff_core::types::{AttemptIndex, CancelSource, LeaseEpoch};

use crate::harness::{Bench, Held, NotActive, Refusal, cause};

fn args(bench: &Bench, held: &Held) -> CompleteExecutionArgs {
    CompleteExecutionArgs {
        execution_id: held.execution().clone(),
        fence: Some(held.fence()),
        attempt_index: held.proof.attempt_index,
        result_payload: Some(b"result".to_vec()),
        result_encoding: None,
        source: CancelSource::LeaseHolder,
        now: bench.now(),
    }
}

pub async fn success_ends_the_execution_with_its_result(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(10);

    held.complete(Some(b"result")).await.unwrap();

    let info = bench.info(held.execution()).await;
    assert_eq!(info.public_state, PublicState::Completed);
    assert_eq!(info.state_vector.lifecycle_phase, LifecyclePhase::Terminal);
    assert_eq!(info.state_vector.ownership_state, OwnershipState::Unowned);
    assert_eq!(info.state_vector.terminal_outcome, TerminalOutcome::Success);
    assert_eq!(info.state_vector.attempt_state, AttemptState::AttemptTerminal);
    assert_eq!(info.completed_at, Some(bench.now().0.to_string()));
    assert_eq!(bench.result(held.execution()).await.as_deref(), Some(&b"result"[..]));
    let attempt = bench.attempt(held.execution(), 0).await;
    assert_eq!(attempt.outcome.as_deref(), Some("success"));
    assert_eq!(attempt.ended_at, Some(bench.now()));
    assert_eq!(attempt.lease_expires_at, None);
}

pub async fn success_ends_the_lease_and_announces_one_completion(bench: &Bench) {
    let held = bench.completed().await;

    assert_eq!(bench.lease_story(held.execution()).await, ["acquired", "revoked"]);
    assert_eq!(cause(bench.all_lease_events().await.last().unwrap()), "completed");
    let completions = bench.all_completions().await;
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].execution_id, *held.execution());
    assert_eq!(completions[0].outcome, CompletionOutcome::Success);
    assert_eq!(completions[0].at, bench.now());
}

pub async fn the_same_holder_may_ask_again(bench: &Bench) {
    let held = bench.completed().await;

    bench.advance(1_000_000);
    let again = bench.unchanged_by(held.complete(Some(b"result"))).await;

    again.unwrap();
}

pub async fn the_same_fence_may_ask_again(bench: &Bench) {
    let held = bench.claimed().await;
    let first = bench.engine.complete_execution(args(bench, &held)).await.unwrap();

    let again = bench.unchanged_by(bench.engine.complete_execution(args(bench, &held))).await;

    assert_eq!(again.unwrap(), first);
}

pub async fn both_forms_are_one_operation(bench: &Bench) {
    let held = bench.completed().await;

    let again = bench.unchanged_by(bench.engine.complete_execution(args(bench, &held))).await;

    let wanted = CompleteExecutionResult::Completed {
        execution_id: held.execution().clone(),
        public_state: PublicState::Completed,
    };
    assert_eq!(again.unwrap(), wanted);
}

pub async fn a_repeat_with_another_result_is_refused_with_the_stored_outcome(bench: &Bench) {
    let held = bench.completed().await;
    let wanted = NotActive {
        terminal_outcome: "success".to_owned(),
        lease_epoch: "1".to_owned(),
        lifecycle_phase: "terminal".to_owned(),
        attempt_id: held.proof.attempt_id.to_string(),
    };

    for other in [Some(&b"other"[..]), None] {
        let refused = bench.unchanged_by(held.complete(other)).await;
        assert_eq!(refused.must_be_not_active(), wanted);
    }
}

pub async fn a_completion_after_another_end_is_refused_with_it(bench: &Bench) {
    let held = bench.claimed().await;
    bench.cancel(held.execution()).await.unwrap();

    let refused = bench.unchanged_by(held.complete(None)).await.must_be_not_active();

    assert_eq!(refused.terminal_outcome, "cancelled");
    assert_eq!(refused.lifecycle_phase, "terminal");
}

pub async fn a_lease_is_good_until_its_last_millisecond(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance_to(held.expires_at().await);
    bench.unchanged_by(held.complete(None)).await.must_be_state(&StateKind::LeaseExpired);

    let held = bench.claimed().await;
    let expiry = held.expires_at().await;
    bench.advance(u64::try_from(expiry.0 - bench.now().0 - 1).unwrap());

    held.complete(None).await.unwrap();
}

/// A worker that paused past its expiry must not end work that someone else now owns.
pub async fn a_stale_lease_is_refused(bench: &Bench) {
    let first = bench.lapsed().await;
    let second = bench.claim().worker("successor").await;

    let refused = bench.unchanged_by(first.complete(None)).await;

    refused.must_be_contention(&ContentionKind::LeaseConflict);
    let typed = bench.unchanged_by(bench.engine.complete_execution(args(bench, &first))).await;
    typed.must_be_state(&StateKind::StaleLease);
    second.complete(None).await.unwrap();
}

pub async fn any_difference_in_the_proof_is_stale(bench: &Bench) {
    let held = bench.claimed().await;

    for forged in [
        held.forged(|proof| proof.lease_epoch = LeaseEpoch(2)),
        held.forged(|proof| proof.lease_epoch = LeaseEpoch(0)),
        held.forged(|proof| proof.attempt_index = AttemptIndex(1)),
        held.forged(|proof| proof.lease_id = bench.new_lease_id()),
        held.forged(|proof| proof.attempt_id = bench.new_attempt_id()),
    ] {
        let refused = bench.unchanged_by(forged.complete(None)).await;
        refused.must_be_contention(&ContentionKind::LeaseConflict);
        let typed = bench.unchanged_by(bench.engine.complete_execution(args(bench, &forged))).await;
        typed.must_be_state(&StateKind::StaleLease);
    }
    held.complete(None).await.unwrap();
}

/// A stale caller is told that it is stale, whatever became of the lease it does not hold.
pub async fn identity_is_checked_before_ownership(bench: &Bench) {
    let held = bench.lapsed().await;
    let forged = held.forged(|proof| proof.lease_id = bench.new_lease_id());

    bench
        .unchanged_by(forged.complete(None))
        .await
        .must_be_contention(&ContentionKind::LeaseConflict);
    bench.unchanged_by(held.complete(None)).await.must_be_state(&StateKind::LeaseExpired);
}

pub async fn a_revoked_lease_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    bench.unchanged_by(held.complete(None)).await.must_be_state(&StateKind::LeaseRevoked);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    let held = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    bench.unchanged_by(held.complete(None)).await.must_be_not_found("execution");
}

pub async fn without_a_fence_only_an_operator_is_let_through(bench: &Bench) {
    let held = bench.claimed().await;
    let mut unfenced = args(bench, &held);
    unfenced.fence = None;

    let refused = bench.unchanged_by(bench.engine.complete_execution(unfenced.clone())).await;
    assert_eq!(refused.must_be_invalid(), "fence_required");
    unfenced.execution_id = bench.new_id();
    let unknown = bench.unchanged_by(bench.engine.complete_execution(unfenced.clone())).await;
    assert_eq!(unknown.must_be_invalid(), "fence_required");
    unfenced.execution_id = held.execution().clone();
    unfenced.source = CancelSource::OperatorOverride;

    bench.engine.complete_execution(unfenced).await.unwrap();
    assert_eq!(bench.state(held.execution()).await, PublicState::Completed);
}

pub async fn an_operator_cannot_complete_a_lapsed_or_waiting_execution(bench: &Bench) {
    let held = bench.lapsed().await;
    let mut unfenced = args(bench, &held);
    unfenced.fence = None;
    unfenced.source = CancelSource::OperatorOverride;
    let lapsed = bench.unchanged_by(bench.engine.complete_execution(unfenced.clone())).await;
    lapsed.must_be_state(&StateKind::LeaseExpired);

    unfenced.execution_id = bench.submit().await;
    let waiting = bench.unchanged_by(bench.engine.complete_execution(unfenced)).await;

    let wanted = NotActive {
        terminal_outcome: "none".to_owned(),
        lease_epoch: "0".to_owned(),
        lifecycle_phase: "runnable".to_owned(),
        attempt_id: String::new(),
    };
    assert_eq!(waiting.must_be_not_active(), wanted);
}

pub async fn a_result_is_bytes(bench: &Bench) {
    let limit = vec![0xFF; bench.limits.result_bytes];
    for result in [&b"\x00"[..], b"\xff\xfe", b"{}", &limit] {
        let held = bench.claimed().await;
        held.complete(Some(result)).await.unwrap();
        assert_eq!(bench.result(held.execution()).await.as_deref(), Some(result));
    }
}

pub async fn an_empty_result_is_no_result(bench: &Bench) {
    let held = bench.claimed().await;

    held.complete(Some(b"")).await.unwrap();

    assert_eq!(bench.result(held.execution()).await, None);
    bench.unchanged_by(held.complete(None)).await.unwrap();
}

pub async fn a_larger_result_is_refused_and_the_lease_stays(bench: &Bench) {
    let held = bench.claimed().await;
    let limit = bench.limits.result_bytes;

    let refused = bench.unchanged_by(held.complete(Some(&vec![0; limit + 1]))).await;

    let detail = refused.must_be_validation(&ValidationKind::PayloadTooLarge);
    assert!(detail.contains(&limit.to_string()) && detail.contains(&(limit + 1).to_string()));
    held.complete(None).await.unwrap();
}

pub async fn a_handle_of_another_backend_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let own = held.handle.backend;
    let foreign = ff_core::backend::BackendTag::Valkey;

    let outer = held.tagged(foreign, own);
    let refused = bench.unchanged_by(bench.engine.complete(&outer, None)).await;
    let detail = refused.must_be_validation(&ValidationKind::HandleFromOtherBackend);
    assert_eq!(detail, format!("expected={own:?} actual=Valkey"));

    let inner = held.tagged(own, foreign);
    let refused = bench.unchanged_by(bench.engine.complete(&inner, None)).await;
    let detail = refused.must_be_validation(&ValidationKind::HandleFromOtherBackend);
    assert_eq!(detail, format!("expected={own:?} actual=Valkey (embedded tag)"));
}

pub async fn a_handle_that_cannot_be_read_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let mut broken = held.handle.clone();
    let cut = &held.handle.opaque.as_bytes()[..held.handle.opaque.as_bytes().len() - 1];
    broken.opaque = ff_core::backend::HandleOpaque::new(cut.into());
    assert!(handle_codec::decode(&broken.opaque).is_err());

    let refused = bench.unchanged_by(bench.engine.complete(&broken, None)).await;

    let detail = refused.must_be_validation(&ValidationKind::Corruption);
    assert!(detail.starts_with("handle_codec: "), "{detail}");
}
