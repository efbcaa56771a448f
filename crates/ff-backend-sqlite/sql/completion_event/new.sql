-- completion_event_new
-- Completions above an id, for the raw wake-up channel. Uses the primary key.
SELECT event_id, partition_key
FROM ff_completion_event
WHERE event_id > ?1
ORDER BY event_id
LIMIT 256
