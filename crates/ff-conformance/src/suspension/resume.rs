//! Resuming by hand, and claiming by name what was resumed.

use ff_core::backend::{HandleKind, ResumeToken};
use ff_core::contracts::{
    ClaimResumedExecutionArgs, ClaimResumedExecutionResult, ClaimedResumedExecution,
    ResumeExecutionArgs, ResumeExecutionResult, ResumeGrant,
};
use ff_core::engine_error::{ContentionKind, StateKind};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::state::PublicState;
use ff_core::types::{AttemptIndex, ExecutionId, LaneId, WorkerId, WorkerInstanceId};

use super::{delivered, observed, park, parked, to, waiting_for};
use crate::harness::{Bench, LANE, Refusal};

async fn resume(
    bench: &Bench,
    id: &ExecutionId,
    delay: u64,
) -> Result<PublicState, ff_core::EngineError> {
    let args = ResumeExecutionArgs {
        execution_id: id.clone(),
        trigger_type: "operator".to_owned(),
        resume_delay_ms: delay,
    };
    let ResumeExecutionResult::Resumed { public_state } =
        bench.engine.resume_execution(args).await?;
    Ok(public_state)
}

async fn claim_resumed(
    bench: &Bench,
    id: &ExecutionId,
    worker: &str,
) -> Result<ClaimedResumedExecution, ff_core::EngineError> {
    let args = ClaimResumedExecutionArgs {
        execution_id: id.clone(),
        worker_id: WorkerId::new(worker),
        worker_instance_id: WorkerInstanceId::new(format!("{worker}-1")),
        lane_id: LaneId::new(LANE),
        lease_id: bench.new_lease_id(),
        lease_ttl_ms: 30_000,
        current_attempt_index: AttemptIndex(0),
        remaining_attempt_timeout_ms: None,
        now: bench.now(),
    };
    let ClaimResumedExecutionResult::Claimed(claimed) =
        bench.engine.claim_resumed_execution(args).await?;
    Ok(claimed)
}

fn token(bench: &Bench, id: &ExecutionId) -> ResumeToken {
    let partition = Partition { family: PartitionFamily::Flow, index: id.partition() };
    let ends = u64::try_from(bench.after(1_000).0).unwrap();
    let grant = ResumeGrant::new(
        id.clone(),
        PartitionKey::from(&partition),
        "grant".to_owned(),
        ends,
        LaneId::new(LANE),
    );
    ResumeToken::new(grant, WorkerId::new("worker"), WorkerInstanceId::new("worker-1"), 30_000)
}

pub async fn an_operator_resumes_and_the_signals_so_far_are_seen(bench: &Bench) {
    let held = bench.claimed().await;
    let keys = ["a", "b"];
    let condition = ff_core::contracts::ResumeCondition::all_of_waitpoints(keys);
    let (details, _) = park(bench, &held, waiting_for(bench, condition, &keys)).await;
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();

    assert_eq!(resume(bench, held.execution(), 0).await.unwrap(), PublicState::Waiting);

    let again = bench.unchanged_by(resume(bench, held.execution(), 0)).await;
    again.must_be_state(&StateKind::ExecutionNotSuspended);
    let late = delivered(bench, to(bench, held.execution(), &details)).await;
    late.must_be_state(&StateKind::WaitpointClosed);
    let resumed = bench.claim().await;
    assert_eq!((resumed.kind(), resumed.attempt()), (HandleKind::Resumed, 0));
    assert_eq!(observed(bench, &resumed).await, ["go"]);
}

pub async fn a_resume_delay_elapses(bench: &Bench) {
    let (held, _) = parked(bench).await;

    assert_eq!(resume(bench, held.execution(), 700).await.unwrap(), PublicState::Delayed);

    bench.advance(699);
    bench.claim().nothing().await;
    claim_resumed(bench, held.execution(), "worker")
        .await
        .must_be_contention(&ContentionKind::ExecutionNotLeaseable);
    bench.advance(1);
    claim_resumed(bench, held.execution(), "worker").await.unwrap();
}

pub async fn what_is_not_suspended_cannot_be_resumed(bench: &Bench) {
    let held = bench.claimed().await;
    resume(bench, held.execution(), 0).await.must_be_state(&StateKind::ExecutionNotSuspended);
    resume(bench, &bench.new_id(), 0).await.must_be_not_found("execution");
}

pub async fn a_resumed_execution_is_claimed_by_name(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let early = bench.unchanged_by(claim_resumed(bench, held.execution(), "worker")).await;
    early.must_be_contention(&ContentionKind::ExecutionNotLeaseable);
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();

    let claimed = claim_resumed(bench, held.execution(), "worker").await.unwrap();

    assert_eq!(claimed.attempt_index, AttemptIndex(0));
    assert_eq!(claimed.attempt_id, held.proof.attempt_id);
    let resumed = bench.holding(claimed.handle);
    assert_eq!(observed(bench, &resumed).await, ["go"]);
    resumed.complete(None).await.unwrap();
    let fresh = bench.submit().await;
    let refused = claim_resumed(bench, &fresh, "worker").await;
    refused.must_be_contention(&ContentionKind::NotAResumedExecution);
}

pub async fn a_grant_keeps_it_for_its_worker(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let id = held.execution();
    delivered(bench, to(bench, id, &details)).await.unwrap();
    bench.engine.issue_claim_grant(bench.grant_args(id, "chosen", 1_000)).await.unwrap();

    claim_resumed(bench, id, "other").await.must_be_contention(&ContentionKind::InvalidClaimGrant);

    claim_resumed(bench, id, "chosen").await.unwrap();
}

pub async fn a_resume_grant_revives_nobody(bench: &Bench) {
    let ended = bench.completed().await;
    let refused = bench
        .unchanged_by(bench.engine.claim_from_resume_grant(token(bench, ended.execution())))
        .await;
    refused.must_be_contention(&ContentionKind::ExecutionNotLeaseable);
    let (held, _) = parked(bench).await;
    let refused = bench.engine.claim_from_resume_grant(token(bench, held.execution())).await;
    refused.must_be_contention(&ContentionKind::ExecutionNotLeaseable);
    resume(bench, held.execution(), 0).await.unwrap();
    let live = bench.engine.claim_from_resume_grant(token(bench, held.execution())).await.unwrap();
    assert_eq!(live.unwrap().kind, HandleKind::Resumed);
    let live = bench.engine.claim_from_resume_grant(token(bench, held.execution())).await.unwrap();
    assert_eq!(live, None, "its lease is live");
    let unknown = bench.engine.claim_from_resume_grant(token(bench, &bench.new_id())).await;
    unknown.must_be_not_found("execution");
}

pub async fn a_resume_grant_takes_over_a_lost_lease(bench: &Bench) {
    let lost = bench.lapsed().await;

    let taken = bench.engine.claim_from_resume_grant(token(bench, lost.execution())).await.unwrap();

    let taken = bench.holding(taken.unwrap());
    assert_eq!((taken.attempt(), taken.epoch()), (0, 2));
    assert_eq!(bench.summary(lost.execution()).await.reclaim_count, 1);
    lost.complete(None).await.must_be_contention(&ContentionKind::LeaseConflict);
    taken.complete(None).await.unwrap();
}
