//! Usage of 64 running executions, reported by 64 clients to one budget, each report with a key.
//!
//! The floor plays the tape of the same reports, by group commit: the budget's counter and the key.

use std::sync::Arc;

use ff_core::backend::{Handle, UsageDimensions};
use ff_core::contracts::{CreateBudgetArgs, ReportUsageResult};
use ff_core::types::{BudgetId, TimestampMs};
use uuid::Uuid;

use super::crowd::{self, Caller};
use super::frames::held;
use super::{Bench, rates_section, ratio};
use crate::engine::Engine;
use crate::error::{BenchError, Doing as _};
use crate::report::{Figure, Report, Target, Unit};

const DIMENSION: &str = "tokens";

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("reports to one budget, engine and floor in turn");
    let rates = crowd::rates(bench, "budget", bench.pick(12, 2), set_up, report_usage)?;
    report.figures.push(Figure::new(
        "reports to one budget, 64 clients, vs. raw group commit",
        ratio(&rates),
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    let title = "reports of usage to one budget, 64 clients";
    report.sections.push(rates_section(title, "reports", "group commit", &rates));
    Ok(())
}

pub(super) type Spenders = (Engine, Arc<[Handle]>, BudgetId);

pub(super) async fn set_up(engine: Engine) -> Result<Spenders, BenchError> {
    let budget_id = BudgetId::from_uuid(Uuid::now_v7());
    let budget = CreateBudgetArgs {
        budget_id: budget_id.clone(),
        scope_type: "team".to_owned(),
        scope_id: "bench".to_owned(),
        enforcement_mode: "strict".to_owned(),
        on_hard_limit: String::new(),
        on_soft_limit: String::new(),
        reset_interval_ms: 0,
        dimensions: vec![DIMENSION.to_owned()],
        hard_limits: vec![1 << 50],
        soft_limits: vec![0],
        now: TimestampMs(0),
    };
    engine.backend.create_budget(budget).await.doing("create a budget")?;
    let (engine, handles) = held(engine).await?;
    let spenders = (engine, handles, budget_id);
    // The first report makes the counter's row.
    report_usage(spenders.clone(), Caller { client: 0, number: usize::MAX }).await?;
    Ok(spenders)
}

pub(super) async fn report_usage(
    (engine, handles, budget): Spenders,
    Caller { client, number }: Caller,
) -> Result<(), BenchError> {
    let mut usage = UsageDimensions::new().with_dedup_key(format!("report-{client}-{number}"));
    usage.custom.insert(DIMENSION.to_owned(), 7);
    let told = engine.backend.report_usage(&handles[client], &budget, usage).await;
    match told.doing("report usage")? {
        ReportUsageResult::Ok => Ok(()),
        other => Err(BenchError::new(format!("a report was answered {other:?}"))),
    }
}
