-- worker_registry_remove
-- Ends a registration.
-- Uses the primary key.
DELETE FROM ff_worker_registry
WHERE namespace = ?1
    AND worker_instance_id = ?2
