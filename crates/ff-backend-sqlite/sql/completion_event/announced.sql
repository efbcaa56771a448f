-- completion_event_announced
-- The announced ends whose edges are not all settled, oldest first, after one; read as far as they are wanted.
-- Uses ff_completion_event_unresolved.
SELECT event_id, partition_key, execution_id, flow_id, outcome, run
FROM ff_completion_event INDEXED BY ff_completion_event_unresolved
WHERE dispatched_at_ms IS NULL
    AND flow_id IS NOT NULL
    AND event_id > ?1
ORDER BY event_id
