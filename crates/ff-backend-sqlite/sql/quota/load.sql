-- quota_load
-- One quota policy.
-- Uses the primary key.
SELECT
    requests_per_window_seconds,
    max_requests_per_window,
    active_concurrency_cap,
    active_concurrency,
    created_at_ms,
    updated_at_ms
FROM ff_quota_policy
WHERE partition_key = 0
    AND quota_policy_id = ?1
