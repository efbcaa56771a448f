-- quota_window_count
-- Entries of a window that begins after ?2.
-- Uses ff_quota_window_order as a covering index; reads each entry of the window.
SELECT count(*)
FROM ff_quota_window INDEXED BY ff_quota_window_order
WHERE quota_policy_id = ?1
    AND admitted_at_ms > ?2
