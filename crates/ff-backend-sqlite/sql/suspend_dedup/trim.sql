-- suspend_dedup_trim
-- Removes remembered suspends whose window is over at ?1, at most ?2. A window without an end goes with its execution.
-- Uses ff_suspend_dedup_expiry and the primary key.
DELETE FROM ff_suspend_dedup
WHERE rowid IN (
    SELECT rowid
    FROM ff_suspend_dedup INDEXED BY ff_suspend_dedup_expiry
    WHERE coalesce(expires_at_ms, created_at_ms + 604800000) <= ?1
    LIMIT ?2
)
