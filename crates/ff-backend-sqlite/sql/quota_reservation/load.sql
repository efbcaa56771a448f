-- quota_reservation_load
-- When the reservation of an execution ends, if it has not ended at ?3.
-- Uses the primary key.
SELECT expires_at_ms
FROM ff_quota_admitted
WHERE partition_key = 0
    AND quota_policy_id = ?1
    AND execution_id = ?2
    AND expires_at_ms > ?3
