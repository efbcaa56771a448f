//! An agent in a loop, with a budget of tokens that stops it and a top-up that lets it go on.
//!
//! Each step calls a model (a stand-in here) and reports what the call cost. When the budget is spent the
//! engine parks the agent: its lease is gone, and it costs nothing while it waits. After the top-up it is
//! claimed again, in the same attempt, and goes on where it was.
//!
//! `cargo run -p example-agent-loop`

use std::error::Error;
use std::time::Duration;

use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::{CapabilitySet, ClaimPolicy, Frame, FrameKind, StreamMode, UsageDimensions};
use ff_core::contracts::{
    ClaimedWork, CreateBudgetArgs, CreateExecutionArgs, LimitChange, ReportUsageResult,
    SetBudgetLimitsArgs,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::policy::ExecutionPolicy;
use ff_core::types::{
    BudgetId, ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};
use serde_json::{Value, json};

const STEPS: u64 = 4;
const TOKENS_PER_STEP: u64 = 40;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("work.db");
    let engine = SqliteOptions::new(path.display().to_string()).open().await?;
    let engine: &dyn EngineBackend = engine.as_ref();

    let budget = create_budget(engine).await?;
    let agent = submit(engine, &budget).await?;

    let work = claim(engine).await?.ok_or("there is no work")?;
    let done = run(engine, &budget, &work).await?;
    println!("the agent is done: {done}");
    let parked = engine.describe_summary(&agent).await?.ok_or("it is gone")?;
    println!(
        "it is {}, and no worker can take it: {}",
        parked.public_state,
        claim(engine).await?.is_none()
    );

    let topup = SetBudgetLimitsArgs::new(
        budget.clone(),
        "tokens",
        LimitChange::Raise(100),
        LimitChange::Keep,
    );
    let tokens = engine.set_budget_limits(topup).await?;
    println!("topped up: {} of {} tokens are spent", tokens.usage, tokens.hard_limit);

    let work = claim(engine).await?.ok_or("it did not come back")?;
    println!("it goes on, in attempt {} as before", work.attempt_index.0 + 1);
    let done = run(engine, &budget, &work).await?;
    println!("the agent is done: {done}");
    let status = engine.get_budget_status(&budget).await?;
    println!("spent in all: {} tokens", status.usage["tokens"]);
    Ok(())
}

/// Takes steps until all are taken or the budget stops it; answers whether all are.
async fn run(
    engine: &dyn EngineBackend,
    budget: &BudgetId,
    work: &ClaimedWork,
) -> Result<bool, Box<dyn Error>> {
    // What is to survive a wait or a crash is kept in the summary of the attempt's stream.
    let summary = engine.read_summary(&work.execution_id, work.attempt_index).await?;
    let taken = match summary {
        Some(summary) => serde_json::from_slice::<Value>(&summary.document_json)?["taken"].as_u64(),
        None => None,
    };
    for step in taken.unwrap_or(0) + 1..=STEPS {
        call_model();
        // The key makes the report count once, however often it is made: the refused one is made again
        // after the top-up.
        let mut usage = UsageDimensions::new();
        usage.custom.insert("tokens".to_owned(), TOKENS_PER_STEP);
        usage.dedup_key = Some(format!("{}/step-{step}", work.execution_id));
        match engine.report_usage(&work.handle, budget, usage).await? {
            ReportUsageResult::HardBreach { current_usage, hard_limit, .. } => {
                println!(
                    "step {step}: {TOKENS_PER_STEP} tokens do not fit, {current_usage} of {hard_limit} are spent"
                );
                return Ok(false);
            }
            _ => println!("step {step}: {TOKENS_PER_STEP} tokens"),
        }
        let mut frame = Frame::new(json!({"taken": step}).to_string().into(), FrameKind::Event);
        frame.mode = StreamMode::durable_summary();
        engine.append_frame(&work.handle, frame).await?;
    }
    engine.complete(&work.handle, Some(b"the answer".to_vec())).await?;
    Ok(true)
}

/// Stands for a call that costs tokens.
fn call_model() {}

/// 100 tokens; what would go beyond parks the execution that wants them.
async fn create_budget(engine: &dyn EngineBackend) -> Result<BudgetId, Box<dyn Error>> {
    let budget_id = BudgetId::new();
    engine
        .create_budget(CreateBudgetArgs {
            budget_id: budget_id.clone(),
            scope_type: "name".to_owned(),
            scope_id: "agent".to_owned(),
            enforcement_mode: "strict".to_owned(),
            on_hard_limit: "suspend".to_owned(),
            on_soft_limit: "warn".to_owned(),
            reset_interval_ms: 0,
            dimensions: vec!["tokens".to_owned()],
            hard_limits: vec![100],
            soft_limits: vec![0],
            now: TimestampMs::now(),
        })
        .await?;
    Ok(budget_id)
}

/// Brings the agent, bound to the budget.
async fn submit(
    engine: &dyn EngineBackend,
    budget: &BudgetId,
) -> Result<ExecutionId, Box<dyn Error>> {
    let lane = LaneId::new("default");
    let id = ExecutionId::solo(&lane, &Default::default());
    engine
        .create_execution(CreateExecutionArgs {
            execution_id: id.clone(),
            namespace: Namespace::new("example"),
            lane_id: lane,
            execution_kind: "agent".to_owned(),
            input_payload: Vec::new(),
            payload_encoding: None,
            priority: 0,
            creator_identity: "example".to_owned(),
            idempotency_key: None,
            tags: Default::default(),
            policy: Some(ExecutionPolicy {
                budget_ids: vec![budget.clone()],
                ..ExecutionPolicy::default()
            }),
            delay_until: None,
            execution_deadline_at: None,
            partition_id: id.partition(),
            now: TimestampMs::now(),
        })
        .await?;
    Ok(id)
}

/// Takes the next piece of work, if there is any.
async fn claim(engine: &dyn EngineBackend) -> Result<Option<ClaimedWork>, Box<dyn Error>> {
    let worker = ClaimPolicy::new(
        WorkerId::new("example"),
        WorkerInstanceId::new("example-1"),
        30_000,
        Some(Duration::ZERO),
    );
    let lanes = [LaneId::new("default")];
    let claimed = engine.claim_batch(&lanes, &CapabilitySet::default(), worker, 1).await?;
    Ok(claimed.into_iter().next())
}
