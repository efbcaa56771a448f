-- waitpoint_trim
-- Removes waitpoints that ended before ?1, at most ?2.
-- Uses ff_waitpoint_closed_at and the primary key.
DELETE FROM ff_waitpoint_closed
WHERE (partition_key, waitpoint_id) IN (
    SELECT partition_key, waitpoint_id
    FROM ff_waitpoint_closed INDEXED BY ff_waitpoint_closed_at
    WHERE closed_at_ms < ?1
    LIMIT ?2
)
