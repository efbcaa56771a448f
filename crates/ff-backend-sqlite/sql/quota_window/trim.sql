-- quota_window_trim
-- Removes entries of ?1 and before, at most ?2: the longest window has left them behind.
-- Uses ff_quota_window_age.
DELETE FROM ff_quota_window
WHERE rowid IN (
    SELECT rowid
    FROM ff_quota_window INDEXED BY ff_quota_window_age
    WHERE admitted_at_ms <= ?1
    ORDER BY admitted_at_ms
    LIMIT ?2
)
