-- worker_registry_event_trim
-- Removes lines of one kind that are older than ?2, at most ?3.
-- Uses ff_worker_registry_event_age.
DELETE FROM ff_worker_registry_event
WHERE rowid IN (
    SELECT rowid
    FROM ff_worker_registry_event INDEXED BY ff_worker_registry_event_age
    WHERE event_kind = ?1
        AND event_at_ms < ?2
    ORDER BY event_at_ms
    LIMIT ?3
)
