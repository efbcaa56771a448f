-- operator_event_list
-- Operators' changes above an id, in order.
-- Uses the primary key.
SELECT
    event_id,
    partition_key,
    execution_id,
    event_type,
    details,
    occurred_at_ms,
    namespace,
    instance_tag
FROM ff_operator_event
WHERE event_id > ?1
ORDER BY event_id
LIMIT ?2
