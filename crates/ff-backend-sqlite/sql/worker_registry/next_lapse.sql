-- worker_registry_next_lapse
-- The earliest instant at which a registration ends.
-- Uses the head of ff_worker_registry_expiry.
SELECT min(last_heartbeat_ms + liveness_ttl_ms)
FROM ff_worker_registry INDEXED BY ff_worker_registry_expiry
