-- worker_registry_event_announced
-- What the workers of a namespace announced, newest first, at most ?2 lines.
-- Uses ff_worker_registry_event_announced.
SELECT namespace, worker_instance_id, event_kind, event_at_ms, reason, lanes, capabilities_csv
FROM ff_worker_registry_event INDEXED BY ff_worker_registry_event_announced
WHERE event_kind = 'registered'
    AND namespace = ?1
ORDER BY event_at_ms DESC, worker_instance_id DESC
LIMIT ?2
