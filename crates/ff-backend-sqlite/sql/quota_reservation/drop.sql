-- quota_reservation_drop
-- Ends a reservation.
-- Uses the primary key.
DELETE FROM ff_quota_admitted
WHERE partition_key = 0
    AND quota_policy_id = ?1
    AND execution_id = ?2
