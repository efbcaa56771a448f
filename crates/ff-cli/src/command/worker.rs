//! `ff worker`: who works on this store.

use std::process::ExitCode;

use clap::Subcommand;
use ff_core::contracts::WorkerStatus;
use ff_core::engine_backend::EngineBackend;
use ff_core::types::{LaneId, Namespace};
use serde_json::{Value, json};

use crate::command::submit::NAMESPACE;
use crate::error::{Error, Result};
use crate::output::{Format, Output, cell};
use crate::store::{Location, Purpose, Store};
use crate::time;

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true)]
pub(crate) enum WorkerCommand {
    /// List the workers that are alive.
    #[command(alias = "ls")]
    List,
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: WorkerCommand,
) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let engine = store.engine();
    match command {
        WorkerCommand::List => list(engine.as_ref(), output).await?,
    }
    drop(engine);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn workers(engine: &dyn EngineBackend) -> Result<Vec<WorkerStatus>> {
    engine
        .list_worker_status(&Namespace::new(NAMESPACE))
        .await
        .map_err(|error| Error::engine("list the workers", &error))
}

async fn list(engine: &dyn EngineBackend, output: Output) -> Result<()> {
    let workers = workers(engine).await?;
    match output.format {
        Format::Json => {
            let rows: Vec<_> = workers.iter().map(worker_json).collect();
            output.json(&json!({"workers": rows}))
        }
        Format::Id => {
            let names = workers.iter().map(|status| status.worker.worker_instance_id.as_str());
            names.into_iter().try_for_each(|name| output.line(name))
        }
        Format::Table => {
            let now = time::epoch_ms();
            let rows = workers
                .iter()
                .map(|status| {
                    let worker = &status.worker;
                    let lanes: Vec<_> = worker.lanes.iter().map(LaneId::as_str).collect();
                    let offers: Vec<_> = worker.capabilities.iter().map(String::as_str).collect();
                    vec![
                        cell(worker.worker_instance_id.as_str()),
                        cell(worker.worker_id.as_str()),
                        cell(lanes.join(", ")),
                        cell(offers.join(", ")),
                        cell(time::relative(worker.registered_at_ms.0, now)),
                        cell(time::relative(worker.last_heartbeat_ms.0, now)),
                        cell(status.leases.to_string()),
                    ]
                })
                .collect();
            output.table(
                &["WORKER", "NAME", "LANES", "OFFERS", "STARTED", "HEARD OF", "HOLDS"],
                rows,
                "no worker is alive: `ff work --lane LANE -- COMMAND` starts one",
            )
        }
    }
}

fn worker_json(status: &WorkerStatus) -> Value {
    let worker = &status.worker;
    json!({
        "worker_instance_id": worker.worker_instance_id,
        "worker_id": worker.worker_id,
        "namespace": worker.namespace,
        "lanes": worker.lanes,
        "capabilities": worker.capabilities,
        "registered_at": worker.registered_at_ms,
        "last_heartbeat_at": worker.last_heartbeat_ms,
        "liveness_ttl_ms": worker.liveness_ttl_ms,
        "expires_at": status.expires_at,
        "leases": status.leases,
    })
}
