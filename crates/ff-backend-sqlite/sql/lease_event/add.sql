-- lease_event_add
-- A fact about a lease.
-- Appends to the table; it has no index.
INSERT INTO ff_lease_event (
    execution_id,
    lease_id,
    event_type,
    occurred_at_ms,
    partition_key,
    namespace,
    instance_tag,
    lease_epoch,
    attempt_index,
    worker_instance_id,
    cause
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
