-- worker_registry_load
-- One registration.
-- Uses the primary key.
SELECT namespace, worker_instance_id, worker_id, lanes, capabilities_csv, last_heartbeat_ms, liveness_ttl_ms,
    registered_at_ms
FROM ff_worker_registry
WHERE namespace = ?1
    AND worker_instance_id = ?2
