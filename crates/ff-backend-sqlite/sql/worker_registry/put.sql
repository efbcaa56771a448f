-- worker_registry_put
-- A registration, new or in place of the one before.
-- Uses the primary key.
INSERT INTO ff_worker_registry (
    namespace,
    worker_instance_id,
    worker_id,
    lanes,
    capabilities_csv,
    last_heartbeat_ms,
    liveness_ttl_ms,
    registered_at_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (namespace, worker_instance_id) DO UPDATE SET
    worker_id = excluded.worker_id,
    lanes = excluded.lanes,
    capabilities_csv = excluded.capabilities_csv,
    last_heartbeat_ms = excluded.last_heartbeat_ms,
    liveness_ttl_ms = excluded.liveness_ttl_ms,
    registered_at_ms = excluded.registered_at_ms
