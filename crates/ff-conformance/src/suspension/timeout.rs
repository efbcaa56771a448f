//! What a suspension's timeout does, at its instant.

use ff_core::contracts::{ListPendingWaitpointsArgs, TimeoutBehavior};
use ff_core::engine_error::StateKind;
use ff_core::state::{BlockingReason, PublicState};

use super::{delivered, observed, park, plain, to};
use crate::harness::{Bench, Held, Refusal};

async fn due_in_a_second(
    bench: &Bench,
    behavior: TimeoutBehavior,
) -> (Held, ff_core::contracts::SuspendOutcomeDetails) {
    let held = bench.claimed().await;
    let args = plain(bench).with_timeout(bench.after(1_000), behavior);
    let (details, _) = park(bench, &held, args).await;
    (held, details)
}

pub async fn each_behaviour_ends_or_resumes_at_its_instant_and_not_before(bench: &Bench) {
    use TimeoutBehavior::{AutoResumeWithTimeoutSignal, Cancel, Expire, Fail};
    for (behavior, state, outcome) in [
        (Fail, PublicState::Failed, "failed"),
        (Cancel, PublicState::Cancelled, "cancelled"),
        (Expire, PublicState::Expired, "expired"),
        (AutoResumeWithTimeoutSignal, PublicState::Waiting, "attempt_interrupted"),
    ] {
        let (held, details) = due_in_a_second(bench, behavior).await;
        bench.advance(999);
        bench.sweep().await;
        assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
        bench.advance(1);

        let late = delivered(bench, to(bench, held.execution(), &details)).await;
        let refused = match behavior {
            AutoResumeWithTimeoutSignal => StateKind::WaitpointClosed,
            _ => StateKind::TargetNotSignalable,
        };
        late.must_be_state(&refused);
        bench.sweep().await;

        assert_eq!(bench.state(held.execution()).await, state);
        let attempt = bench.attempt(held.execution(), 0).await;
        assert_eq!(attempt.outcome.as_deref(), Some(outcome));
        let completions = bench.all_completions().await;
        let ends = completions.iter().filter(|event| event.execution_id == *held.execution());
        assert_eq!(ends.count(), usize::from(behavior != AutoResumeWithTimeoutSignal));
        let pending = ListPendingWaitpointsArgs::new(held.execution().clone());
        assert!(bench.engine.list_pending_waitpoints(pending).await.unwrap().entries.is_empty());
    }
}

pub async fn a_claim_finds_what_a_timeout_resumed_with_its_signal(bench: &Bench) {
    let behavior = TimeoutBehavior::AutoResumeWithTimeoutSignal;
    let (held, _) = due_in_a_second(bench, behavior).await;
    bench.claim().nothing().await;
    bench.advance(1_000);

    let resumed = bench.claim().await;

    assert_eq!(resumed.execution(), held.execution());
    assert_eq!(observed(bench, &resumed).await, ["__timeout__"]);
}

pub async fn an_escalated_suspension_waits_for_an_operator(bench: &Bench) {
    let (held, details) = due_in_a_second(bench, TimeoutBehavior::Escalate).await;
    bench.advance(1_000);
    bench.sweep().await;

    let state = bench.info(held.execution()).await.state_vector;
    assert_eq!(state.public_state, PublicState::Suspended);
    assert_eq!(state.blocking_reason, BlockingReason::PausedByOperator);
    bench.advance(1_000_000);
    bench.sweep().await;
    assert_eq!(bench.state(held.execution()).await, PublicState::Suspended);
    let effect = delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    assert_eq!(effect, "resume_condition_satisfied", "its waitpoints stay open");
}

pub async fn a_satisfied_suspension_does_not_time_out(bench: &Bench) {
    let (held, details) = due_in_a_second(bench, TimeoutBehavior::Fail).await;
    bench.advance(999);
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    bench.advance(1_000);
    bench.sweep().await;

    assert_eq!(bench.state(held.execution()).await, PublicState::Waiting);
    bench.claim().await.complete(None).await.unwrap();
}

pub async fn a_deadline_ends_a_suspension(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(500)).await;
    let held = bench.claim().await;
    let (details, _) = park(bench, &held, plain(bench)).await;
    bench.advance(500);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Expired);
    let late = delivered(bench, to(bench, &id, &details)).await;
    late.must_be_state(&StateKind::TargetNotSignalable);
}

pub async fn a_forgotten_execution_takes_its_waiting_along(bench: &Bench) {
    let (held, _) = due_in_a_second(bench, TimeoutBehavior::Fail).await;
    bench.advance(1_000);
    bench.sweep().await;
    bench.advance(60 * 60 * 1_000);
    bench.sweep().await;

    assert_eq!(bench.engine.read_execution_state(held.execution()).await.unwrap(), None);
    let id = bench.submit().id(held.execution()).await;
    let again = bench.claim().await;
    assert_eq!(again.execution(), &id);
    assert!(observed(bench, &again).await.is_empty());
}
