-- signal_event_list
-- Facts about signals above an id, in order.
-- Uses the primary key.
SELECT
    event_id,
    partition_key,
    execution_id,
    signal_id,
    waitpoint_id,
    source_identity,
    effect,
    delivered_at_ms,
    namespace,
    instance_tag
FROM ff_signal_event
WHERE event_id > ?1
ORDER BY event_id
LIMIT ?2
