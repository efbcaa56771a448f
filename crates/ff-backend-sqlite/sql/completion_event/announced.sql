-- completion_event_announced
-- The oldest announced end whose edges are not all settled.
-- Uses ff_completion_event_unresolved.
SELECT event_id, partition_key, execution_id, flow_id, outcome, run
FROM ff_completion_event INDEXED BY ff_completion_event_unresolved
WHERE dispatched_at_ms IS NULL
    AND flow_id IS NOT NULL
ORDER BY event_id
LIMIT 1
