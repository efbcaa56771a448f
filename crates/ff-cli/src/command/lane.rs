//! `ff lane`: what waits where, and whether it is handed out.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ff_core::contracts::LaneStatus;
use ff_core::engine_backend::EngineBackend;
use ff_core::state::LaneState;
use ff_core::types::LaneId;
use serde_json::json;

use crate::error::{Error, Result};
use crate::filter::parse_lane;
use crate::output::{Format, Output, cell};
use crate::store::{Location, Purpose, Store};
use crate::time;

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum LaneCommand {
    /// List the lanes and what lies in them.
    #[command(alias = "ls")]
    List,
    /// Hand out no more work of these lanes; what runs goes on.
    Pause(LanesArgs),
    /// Hand out work of these lanes again.
    Resume(LanesArgs),
}

/// Names lanes.
#[derive(Debug, Args)]
pub(crate) struct LanesArgs {
    /// The lanes.
    #[arg(required = true, value_name = "LANE", value_parser = parse_lane)]
    lanes: Vec<LaneId>,
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: LaneCommand,
) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let engine = store.engine();
    match command {
        LaneCommand::List => list(engine.as_ref(), output).await?,
        LaneCommand::Pause(args) => {
            set(engine.as_ref(), output, args.lanes, LaneState::Paused).await?;
        }
        LaneCommand::Resume(args) => {
            set(engine.as_ref(), output, args.lanes, LaneState::Active).await?;
        }
    }
    drop(engine);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn statuses(engine: &dyn EngineBackend) -> Result<Vec<LaneStatus>> {
    engine.list_lane_status().await.map_err(|error| Error::engine("list the lanes", &error))
}

async fn list(engine: &dyn EngineBackend, output: Output) -> Result<()> {
    let lanes = statuses(engine).await?;
    match output.format {
        Format::Json => output.json(&json!({"lanes": lanes})),
        Format::Id => lanes.iter().try_for_each(|lane| output.line(lane.lane_id.as_str())),
        Format::Table => {
            let now = time::epoch_ms();
            let rows = lanes
                .iter()
                .map(|lane| {
                    let oldest = lane
                        .oldest_waiting_at
                        .map_or_else(|| "-".to_owned(), |at| time::relative(at.0, now));
                    vec![
                        cell(lane.lane_id.as_str()),
                        output.judged(lane.state.as_str(), lane.state == LaneState::Active),
                        cell(lane.waiting.to_string()),
                        cell(lane.parked.to_string()),
                        cell(lane.delayed.to_string()),
                        cell(lane.active.to_string()),
                        cell(oldest),
                    ]
                })
                .collect();
            output.table(
                &["LANE", "STATE", "WAITING", "LIMITED", "DELAYED", "ACTIVE", "OLDEST"],
                rows,
                "no lanes yet: `ff submit KIND --lane NAME` makes one",
            )
        }
    }
}

async fn set(
    engine: &dyn EngineBackend,
    output: Output,
    lanes: Vec<LaneId>,
    state: LaneState,
) -> Result<()> {
    let known = statuses(engine).await?;
    for lane in &lanes {
        engine
            .set_lane_state(lane, state)
            .await
            .map_err(|error| Error::engine(&format!("set lane `{lane}` {state}"), &error))?;
        if output.format == Format::Table {
            let new = known.iter().all(|status| status.lane_id != *lane);
            let note = if new { " (nothing was submitted to it yet)" } else { "" };
            output.line(&format!("lane {lane} is {state}{note}"))?;
        }
    }
    match output.format {
        Format::Json => output.json(&json!({"lanes": lanes, "state": state})),
        Format::Id => lanes.iter().try_for_each(|lane| output.line(lane.as_str())),
        Format::Table => Ok(()),
    }
}
