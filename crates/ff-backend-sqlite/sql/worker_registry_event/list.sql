-- worker_registry_event_list
-- The registry's history, oldest first, at most ?1 lines.
-- Sorts it: for people and comparisons.
SELECT namespace, worker_instance_id, event_kind, event_at_ms, reason, lanes, capabilities_csv
FROM ff_worker_registry_event
ORDER BY event_at_ms, namespace, worker_instance_id, event_kind
LIMIT ?1
