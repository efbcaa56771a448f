//! A migrated database in memory, and what to ask of it, for unit tests.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ff_core::contracts::CreateExecutionArgs;
use ff_core::machine::drive::ClaimRequest;
use ff_core::machine::execution::Create;
use ff_core::machine::lease::Claimer;
use ff_core::types::{
    DurationMs, ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};
use rusqlite::Connection;
use uuid::Uuid;

use crate::location::Location;
use crate::migrate::migrate;
use crate::open::{Durability, open_writer};

pub(crate) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A database of its own for each call.
pub(crate) fn database() -> Connection {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("unit test {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let location = Location::Memory(name);
    let mut conn =
        open_writer(&location, Durability::Normal, Duration::from_secs(1), None).unwrap();
    migrate(&mut conn).unwrap();
    conn
}

/// An execution that uses no topic.
pub(crate) fn arguments(number: u128) -> CreateExecutionArgs {
    CreateExecutionArgs {
        execution_id: ExecutionId::from_parts(0, Uuid::from_u128(number)),
        namespace: Namespace::new("tests"),
        lane_id: LaneId::new("default"),
        execution_kind: "kind".to_owned(),
        input_payload: Vec::new(),
        payload_encoding: None,
        priority: 0,
        creator_identity: "tests".to_owned(),
        idempotency_key: None,
        tags: HashMap::new(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        partition_id: 0,
        now: NOW,
    }
}

/// Creates it.
pub(crate) fn create(number: u128) -> Create {
    Create::new(arguments(number))
}

/// A claim of one execution, under a lease of 30 seconds.
pub(crate) fn claim_one() -> ClaimRequest {
    ClaimRequest {
        lanes: vec![LaneId::new("default")],
        by: Claimer {
            worker_id: WorkerId::new("w"),
            worker_instance_id: WorkerInstanceId::new("w"),
            capabilities: Arc::new(BTreeSet::new()),
            ttl: DurationMs(30_000),
        },
        max: 1,
        with_payload: false,
    }
}
