-- worker_registry_list
-- A namespace's registrations that live at ?2, by instance id, after ?3 where it is given.
-- Uses the primary key.
SELECT namespace, worker_instance_id, worker_id, lanes, capabilities_csv, last_heartbeat_ms, liveness_ttl_ms,
    registered_at_ms
FROM ff_worker_registry
WHERE namespace = ?1
    AND worker_instance_id > coalesce(?3, '')
    AND last_heartbeat_ms + liveness_ttl_ms > ?2
ORDER BY worker_instance_id
LIMIT ?4
