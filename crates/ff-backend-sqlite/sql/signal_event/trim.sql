-- signal_event_trim
-- Removes facts about signals that are older than ?1, among the ?2 oldest rows.
-- Uses the primary key: ids rise with time.
DELETE FROM ff_signal_event
WHERE event_id IN (SELECT event_id FROM ff_signal_event ORDER BY event_id LIMIT ?2)
    AND delivered_at_ms < ?1
