-- worker_registry_lapsed
-- Registrations that ended at or before ?1, earliest first, at most ?2.
-- Uses ff_worker_registry_expiry.
SELECT namespace, worker_instance_id
FROM ff_worker_registry INDEXED BY ff_worker_registry_expiry
WHERE last_heartbeat_ms + liveness_ttl_ms <= ?1
ORDER BY last_heartbeat_ms + liveness_ttl_ms, namespace, worker_instance_id
LIMIT ?2
