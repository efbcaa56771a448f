-- worker_registry_event_add
-- A line of the registry's history; one of the same kind and instant is there already.
-- Uses the primary key.
INSERT INTO ff_worker_registry_event
    (namespace, worker_instance_id, event_at_ms, event_kind, reason, lanes, capabilities_csv)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO NOTHING
