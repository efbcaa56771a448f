-- quota_list
-- Quota policies by id, after one.
-- Uses the primary key.
SELECT quota_policy_id
FROM ff_quota_policy
WHERE partition_key = 0
    AND quota_policy_id > ?1
ORDER BY quota_policy_id
LIMIT ?2
