-- lease_event_trim
-- Removes facts about leases that are older than ?1, among the ?2 oldest rows.
-- Uses the primary key: ids rise with time.
DELETE FROM ff_lease_event
WHERE event_id IN (SELECT event_id FROM ff_lease_event ORDER BY event_id LIMIT ?2)
    AND occurred_at_ms < ?1
