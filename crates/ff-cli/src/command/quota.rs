//! `ff quota`: how many may run at a time, and how many may start in a while.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ff_core::contracts::{
    BindQuotaArgs, BindQuotaResult, CreateQuotaPolicyArgs, QuotaOverview, QuotaTarget,
    UnbindQuotaResult,
};
use ff_core::engine_backend::EngineBackend;
use ff_core::types::{LaneId, QuotaPolicyId};
use serde_json::{Value, json};

use crate::command::submit::engine_now;
use crate::duration;
use crate::error::{Error, Result};
use crate::filter::parse_lane;
use crate::id;
use crate::output::{Format, Output, cell};
use crate::store::{Location, Purpose, Store};
use crate::time;

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum QuotaCommand {
    /// Make a quota, and hold lanes to it.
    Create(CreateArgs),
    /// List quotas: limits, what they hold, who holds their slots.
    #[command(alias = "ls")]
    List,
    /// Hold lanes or executions to a quota, in place of an earlier one.
    Bind(BindArgs),
    /// Free lanes or executions from their quota.
    Unbind(TargetArgs),
}

/// Makes a quota.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// At most so many at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), required_unless_present = "rate")]
    concurrent: Option<u64>,
    /// At most so many starts in any such span: `100/1m`, `5/s`.
    #[arg(long, value_name = "N/DURATION", value_parser = parse_rate)]
    rate: Option<(u64, u64)>,
    /// A lane to hold to it; may be repeated.
    #[arg(long, value_name = "LANE", value_parser = parse_lane)]
    lane: Vec<LaneId>,
}

/// Names a quota and what it holds.
#[derive(Debug, Args)]
pub(crate) struct BindArgs {
    /// The quota's id, or the first digits of it where that is unique.
    quota: String,
    #[command(flatten)]
    targets: TargetArgs,
}

/// Names lanes and executions.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// A lane; may be repeated.
    #[arg(long, value_name = "LANE", value_parser = parse_lane, required_unless_present = "execution")]
    lane: Vec<LaneId>,
    /// An execution; may be repeated.
    #[arg(long, value_name = "ID")]
    execution: Vec<String>,
}

/// Reads `100/1m`, `5/s` or `10/min` as a number and whole seconds.
fn parse_rate(text: &str) -> Result<(u64, u64), String> {
    let hint = "write a number and a span of whole seconds, for example 100/1m or 5/s";
    let refused = |why: String| format!("{why}: {hint}");
    let (count, span) =
        text.split_once('/').ok_or_else(|| refused(format!("`{text}` is not a rate")))?;
    let count = count
        .parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| refused(format!("`{count}` is not a number of starts")))?;
    let span = match span {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3_600,
        "d" | "day" => 86_400,
        span => {
            let span = duration::parse_positive(span).map_err(refused)?;
            if span.subsec_nanos() > 0 {
                return Err(refused(format!("`{text}` has a part of a second")));
            }
            span.as_secs()
        }
    };
    Ok((count, span))
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: QuotaCommand,
) -> Result<ExitCode> {
    let purpose = match command {
        QuotaCommand::Create(_) => Purpose::Submit,
        _ => Purpose::Inspect,
    };
    let store = Store::open(location, purpose).await?;
    let engine = store.engine();
    let engine_ref = engine.as_ref();
    let answer = match command {
        QuotaCommand::Create(args) => create(engine_ref, output, args).await,
        QuotaCommand::List => list(engine_ref, output).await,
        QuotaCommand::Bind(args) => {
            let quota = id::find_quota(engine_ref, &args.quota).await?;
            bind(engine_ref, output, quota.quota_policy_id, &args.targets).await
        }
        QuotaCommand::Unbind(args) => unbind(engine_ref, output, &args).await,
    };
    drop(engine);
    store.close().await;
    answer
}

async fn create(engine: &dyn EngineBackend, output: Output, args: CreateArgs) -> Result<ExitCode> {
    let quota = QuotaPolicyId::new();
    let (max_requests_per_window, window_seconds) = args.rate.unwrap_or((0, 0));
    engine
        .create_quota_policy(CreateQuotaPolicyArgs {
            quota_policy_id: quota.clone(),
            window_seconds,
            max_requests_per_window,
            max_concurrent: args.concurrent.unwrap_or(0),
            now: engine_now(engine).await?,
        })
        .await
        .map_err(|error| Error::engine("create the quota", &error))?;
    for lane in &args.lane {
        let target = QuotaTarget::Lane(lane.clone());
        engine.bind_quota(BindQuotaArgs::new(target, quota.clone())).await.map_err(|error| {
            Error::engine(&format!("hold lane `{lane}` to {}", id::show_quota(&quota)), &error)
        })?;
    }
    match output.format {
        Format::Json => output.json(&json!({
            "id": id::show_quota(&quota), "quota_policy_id": quota, "lanes": args.lane,
        })),
        Format::Table | Format::Id => output.line(&id::show_quota(&quota)),
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn list(engine: &dyn EngineBackend, output: Output) -> Result<ExitCode> {
    let quotas = id::quotas(engine).await?;
    match output.format {
        Format::Json => {
            let rows: Vec<_> = quotas.iter().map(quota_json).collect();
            output.json(&json!({"quotas": rows}))?;
        }
        Format::Id => {
            quotas
                .iter()
                .try_for_each(|quota| output.line(&id::show_quota(&quota.quota_policy_id)))?;
        }
        Format::Table => {
            let now = time::epoch_ms();
            let rows = quotas
                .iter()
                .map(|quota| {
                    let limits = quota.limits;
                    let lanes: Vec<_> = quota.lanes.iter().map(LaneId::as_str).collect();
                    let slots = match limits.active_concurrency_cap {
                        0 => format!("{} of any", quota.active),
                        cap => format!("{} of {cap}", quota.active),
                    };
                    let rate = match limits.max_requests_per_window {
                        0 => "-".to_owned(),
                        most => {
                            let span = duration::exact(limits.requests_per_window_seconds * 1_000);
                            format!("{} of {most}/{span}", quota.in_window)
                        }
                    };
                    let opens = quota
                        .rate_opens_at
                        .map_or_else(|| "-".to_owned(), |at| time::relative(at.0, now));
                    vec![
                        cell(id::show_quota(&quota.quota_policy_id)),
                        cell(lanes.join(", ")),
                        cell(slots),
                        cell(rate),
                        cell(opens),
                        cell(quota.waiting.to_string()),
                    ]
                })
                .collect();
            output.table(
                &["ID", "LANES", "RUNNING", "STARTED", "RATE OPENS", "WAITING"],
                rows,
                "no quotas yet: `ff quota create --concurrent 5 --lane LANE` makes one",
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn quota_json(quota: &QuotaOverview) -> Value {
    let mut value = json!(quota);
    value["id"] = json!(id::show_quota(&quota.quota_policy_id));
    value
}

/// The targets, each with how it is shown.
async fn targets(
    engine: &dyn EngineBackend,
    args: &TargetArgs,
) -> Result<Vec<(QuotaTarget, String)>> {
    let mut targets: Vec<_> = args
        .lane
        .iter()
        .map(|lane| (QuotaTarget::Lane(lane.clone()), format!("lane {lane}")))
        .collect();
    for text in &args.execution {
        let execution = id::resolve(engine, text).await?;
        let shown = id::show(&execution);
        targets.push((QuotaTarget::Execution(execution), shown));
    }
    Ok(targets)
}

async fn bind(
    engine: &dyn EngineBackend,
    output: Output,
    quota: QuotaPolicyId,
    args: &TargetArgs,
) -> Result<ExitCode> {
    let shown = id::show_quota(&quota);
    let mut answers = Vec::new();
    for (target, name) in targets(engine, args).await? {
        let answer = engine
            .bind_quota(BindQuotaArgs::new(target, quota.clone()))
            .await
            .map_err(|error| Error::engine(&format!("hold {name} to {shown}"), &error))?;
        let is_new = answer != BindQuotaResult::AlreadyBound;
        match output.format {
            Format::Json => answers.push(json!({"target": name, "bound": is_new})),
            Format::Id => {}
            Format::Table if is_new => output.line(&format!("{name} is held to {shown}"))?,
            Format::Table => output.line(&format!("{name} was held to {shown} before"))?,
        }
    }
    match output.format {
        Format::Json => output.json(&json!({"id": shown, "bindings": answers}))?,
        Format::Id => output.line(&shown)?,
        Format::Table => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn unbind(engine: &dyn EngineBackend, output: Output, args: &TargetArgs) -> Result<ExitCode> {
    let mut answers = Vec::new();
    for (target, name) in targets(engine, args).await? {
        let answer = engine
            .unbind_quota(target)
            .await
            .map_err(|error| Error::engine(&format!("free {name}"), &error))?;
        let was = match answer {
            UnbindQuotaResult::Unbound { quota_policy_id } => {
                Some(id::show_quota(&quota_policy_id))
            }
            _ => None,
        };
        match output.format {
            Format::Json => answers.push(json!({"target": name, "quota": was})),
            Format::Id => was.iter().try_for_each(|was| output.line(was))?,
            Format::Table => match was {
                Some(was) => output.line(&format!("{name} is free of {was}"))?,
                None => output.line(&format!("{name} was held to no quota"))?,
            },
        }
    }
    if output.is_json() {
        output.json(&json!({"unbound": answers}))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_whole_seconds() {
        assert_eq!(parse_rate("100/1m"), Ok((100, 60)));
        assert_eq!(parse_rate("5/s"), Ok((5, 1)));
        assert_eq!(parse_rate("10/min"), Ok((10, 60)));
        assert_eq!(parse_rate("1/1h30m"), Ok((1, 5_400)));
        for text in ["", "5", "0/s", "x/s", "5/", "5/100ms", "5/week", "-5/s"] {
            assert!(parse_rate(text).unwrap_err().contains("100/1m"), "{text}");
        }
    }
}
