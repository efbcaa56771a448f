-- quota_window_prune
-- Removes entries that have left a window.
-- Uses ff_quota_window_order.
DELETE FROM ff_quota_window INDEXED BY ff_quota_window_order
WHERE quota_policy_id = ?1
    AND admitted_at_ms <= ?2
