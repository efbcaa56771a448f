-- completion_event_list
-- Ends of executions above an id, in order. The outside also stores that one became `resumable`, which is no end.
-- Uses the primary key.
SELECT
    event_id,
    partition_key,
    execution_id,
    flow_id,
    outcome,
    run,
    occurred_at_ms,
    namespace,
    instance_tag
FROM ff_completion_event
WHERE event_id > ?1
    AND outcome <> 'resumable'
ORDER BY event_id
LIMIT ?2
