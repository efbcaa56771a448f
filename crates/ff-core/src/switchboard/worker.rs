//! The registry of workers: who is there, and what they hold.

use std::collections::BTreeMap;

use crate::EngineError;
use crate::contracts::{
    LIST_WORKERS_DEFAULT_LIMIT, ListWorkersArgs, ListWorkersResult, WorkerInfo, WorkerStatus,
};
use crate::machine::worker::Registration;
use crate::store::Store;
use crate::types::Namespace;

use super::PAGE_MAX;

/// Workers that live, by instance id. A page that is full names its last one.
pub(super) async fn list_workers<S: Store>(
    store: &S,
    args: ListWorkersArgs,
) -> Result<ListWorkersResult, EngineError> {
    let Some(namespace) = args.namespace else {
        return Err(EngineError::Unavailable {
            op: "list_workers (across namespaces: pass one explicitly)",
        });
    };
    let limit = args.limit.unwrap_or(LIST_WORKERS_DEFAULT_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(PAGE_MAX);
    let now = store.now();
    let mut workers = store
        .read(move |reader| reader.workers(&namespace, now, args.after.as_ref(), limit + 1))
        .await?;
    let is_more = workers.len() > limit;
    workers.truncate(limit);
    let cursor = workers.last().filter(|_| is_more).map(|last| last.worker_instance_id.clone());
    Ok(ListWorkersResult::new(workers.into_iter().map(info).collect(), cursor))
}

/// Workers that live, by instance id, each with the number of leases that it holds.
pub(super) async fn list_worker_status<S: Store>(
    store: &S,
    namespace: &Namespace,
) -> Result<Vec<WorkerStatus>, EngineError> {
    let (namespace, now) = (namespace.clone(), store.now());
    store
        .read(move |reader| {
            let held: BTreeMap<_, _> = reader.leases_held(now)?.into_iter().collect();
            let mut found: Vec<WorkerStatus> = Vec::new();
            loop {
                let after = found.last().map(|last| last.worker.worker_instance_id.clone());
                let page = reader.workers(&namespace, now, after.as_ref(), PAGE_MAX)?;
                if page.is_empty() {
                    return Ok(found);
                }
                for worker in page {
                    let leases = held.get(&worker.worker_instance_id).copied().unwrap_or(0);
                    let expires_at = worker.expires_at();
                    found.push(WorkerStatus::new(info(worker), expires_at, leases));
                }
            }
        })
        .await
}

fn info(worker: Registration) -> WorkerInfo {
    WorkerInfo::new(
        worker.worker_id,
        worker.worker_instance_id,
        worker.namespace,
        worker.lanes,
        worker.capabilities,
        worker.last_heartbeat_at,
        worker.liveness_ttl.0,
        worker.registered_at,
    )
}
