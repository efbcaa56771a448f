-- lease_event_list
-- Facts about leases above an id, in order.
-- Uses the primary key.
SELECT
    event_id,
    partition_key,
    execution_id,
    event_type,
    lease_id,
    attempt_index,
    lease_epoch,
    worker_instance_id,
    cause,
    occurred_at_ms,
    namespace,
    instance_tag
FROM ff_lease_event
WHERE event_id > ?1
ORDER BY event_id
LIMIT ?2
