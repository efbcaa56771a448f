-- quota_put
-- A quota policy, whole.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_quota_policy (
    partition_key,
    quota_policy_id,
    requests_per_window_seconds,
    max_requests_per_window,
    active_concurrency_cap,
    active_concurrency,
    created_at_ms,
    updated_at_ms
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
