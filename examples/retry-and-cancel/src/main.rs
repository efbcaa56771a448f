//! Work that fails at first and is tried again, and work that is cancelled while it runs.
//!
//! `cargo run -p example-retry-and-cancel`

use std::error::Error;
use std::time::Duration;

use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::{CapabilitySet, ClaimPolicy, FailOutcome, FailureClass, FailureReason};
use ff_core::contracts::{CancelExecutionArgs, ClaimedWork, CreateExecutionArgs};
use ff_core::engine_backend::EngineBackend;
use ff_core::policy::{BackoffStrategy, ExecutionPolicy, RetryPolicy};
use ff_core::types::{
    CancelSource, ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("work.db");
    let engine = SqliteOptions::new(path.display().to_string()).open().await?;
    let engine: &dyn EngineBackend = engine.as_ref();

    // Up to five more attempts, 50 ms apart. Without a retry policy there is one attempt.
    let policy = ExecutionPolicy {
        retry_policy: Some(RetryPolicy {
            max_retries: 5,
            backoff: BackoffStrategy::Fixed { delay_ms: 50 },
            ..RetryPolicy::default()
        }),
        ..ExecutionPolicy::default()
    };
    let flaky = submit(engine, "flaky", Some(policy)).await?;
    loop {
        let work = claim(engine).await?;
        let attempt = work.attempt_index.0 + 1;
        if attempt < 3 {
            // A transient failure is retried by policy, a permanent one never.
            let reason = FailureReason::new("the other side hung up");
            let outcome = engine.fail(&work.handle, reason, FailureClass::Transient).await?;
            let next = match outcome {
                FailOutcome::RetryScheduled { .. } => "it is tried again",
                FailOutcome::TerminalFailed => "it has failed for good",
            };
            println!("flaky, attempt {attempt}: failed, {next}");
        } else {
            engine.complete(&work.handle, Some(b"at last".to_vec())).await?;
            println!("flaky, attempt {attempt}: completed");
            break;
        }
    }
    let result = engine.get_execution_result(&flaky).await?.unwrap_or_default();
    println!("flaky: the result is `{}`", String::from_utf8_lossy(&result));

    let slow = submit(engine, "slow", None).await?;
    let work = claim(engine).await?;
    println!("slow: a worker has it");
    engine
        .cancel_execution(CancelExecutionArgs {
            execution_id: slow.clone(),
            reason: "nobody needs it any more".to_owned(),
            source: CancelSource::OperatorOverride,
            lease_id: None,
            lease_epoch: None,
            attempt_id: None,
            now: TimestampMs::now(),
        })
        .await?;
    // The worker hears of it with its next call: renewing, reporting, or asking as here. Whatever it
    // reports after that is refused, so the cancel holds.
    let standing = engine.check_leases(std::slice::from_ref(&work.handle)).await?;
    println!("slow: the worker still has it: {}", standing.iter().all(|lease| lease.is_held()));
    let refused = engine.complete(&work.handle, None).await.is_err();
    println!("slow: what it reports is refused: {refused}");
    let ended = engine.describe_summary(&slow).await?.ok_or("it is gone")?;
    println!("slow: {}, {}", ended.public_state, ended.reason.unwrap_or_default());
    Ok(())
}

/// Brings one piece of work.
async fn submit(
    engine: &dyn EngineBackend,
    kind: &str,
    policy: Option<ExecutionPolicy>,
) -> Result<ExecutionId, Box<dyn Error>> {
    let lane = LaneId::new("default");
    let id = ExecutionId::solo(&lane, &Default::default());
    engine
        .create_execution(CreateExecutionArgs {
            execution_id: id.clone(),
            namespace: Namespace::new("example"),
            lane_id: lane,
            execution_kind: kind.to_owned(),
            input_payload: Vec::new(),
            payload_encoding: None,
            priority: 0,
            creator_identity: "example".to_owned(),
            idempotency_key: None,
            tags: Default::default(),
            policy,
            delay_until: None,
            execution_deadline_at: None,
            partition_id: id.partition(),
            now: TimestampMs::now(),
        })
        .await?;
    Ok(id)
}

/// Takes the next piece of work, and waits for one if need be.
async fn claim(engine: &dyn EngineBackend) -> Result<ClaimedWork, Box<dyn Error>> {
    loop {
        let worker = ClaimPolicy::new(
            WorkerId::new("example"),
            WorkerInstanceId::new("example-1"),
            30_000,
            Some(Duration::from_secs(5)),
        );
        let lanes = [LaneId::new("default")];
        let claimed = engine.claim_batch(&lanes, &CapabilitySet::default(), worker, 1).await?;
        if let Some(work) = claimed.into_iter().next() {
            return Ok(work);
        }
    }
}
