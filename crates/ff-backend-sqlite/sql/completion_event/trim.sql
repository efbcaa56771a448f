-- completion_event_trim
-- Removes ends of executions that are older than ?1, among the ?2 oldest rows; what is announced to a flow and not
-- settled stays.
-- Uses the primary key: ids rise with time.
DELETE FROM ff_completion_event
WHERE event_id IN (SELECT event_id FROM ff_completion_event ORDER BY event_id LIMIT ?2)
    AND occurred_at_ms < ?1
    AND (dispatched_at_ms IS NOT NULL OR flow_id IS NULL)
