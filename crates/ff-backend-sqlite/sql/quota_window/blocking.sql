-- quota_window_blocking
-- The entry before which ?3 newer ones stand in a window that begins after ?2.
-- Uses ff_quota_window_order as a covering index.
SELECT admitted_at_ms
FROM ff_quota_window INDEXED BY ff_quota_window_order
WHERE quota_policy_id = ?1
    AND admitted_at_ms > ?2
ORDER BY admitted_at_ms DESC
LIMIT 1 OFFSET ?3
