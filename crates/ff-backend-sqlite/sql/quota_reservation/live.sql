-- quota_reservation_live
-- Reservations of a quota that have not expired at ?2.
-- Uses the primary key; reads each reservation of the quota.
SELECT execution_id, expires_at_ms
FROM ff_quota_admitted
WHERE partition_key = 0
    AND quota_policy_id = ?1
    AND expires_at_ms > ?2
