-- completion_event_dispatched
-- Strikes off an announced end.
-- Uses the primary key.
UPDATE ff_completion_event
SET dispatched_at_ms = ?2
WHERE event_id = ?1
