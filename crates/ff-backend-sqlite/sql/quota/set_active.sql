-- quota_set_active
-- What occupies a quota, as it was just counted.
-- Uses the primary key.
UPDATE ff_quota_policy
SET active_concurrency = ?2,
    updated_at_ms = ?3
WHERE partition_key = 0
    AND quota_policy_id = ?1
