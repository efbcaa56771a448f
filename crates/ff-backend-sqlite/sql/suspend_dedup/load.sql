-- suspend_dedup_load
-- A remembered suspend.
-- Uses the primary key.
SELECT outcome_json, created_at_ms, coalesce(expires_at_ms, created_at_ms + 604800000)
FROM ff_suspend_dedup
WHERE partition_key = ?1
    AND idempotency_key = ?2
