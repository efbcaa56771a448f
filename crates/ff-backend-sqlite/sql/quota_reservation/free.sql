-- quota_reservation_free
-- Ends the reservations of an execution; answers whose they were.
-- Uses ff_quota_admitted_execution.
DELETE FROM ff_quota_admitted INDEXED BY ff_quota_admitted_execution
WHERE partition_key = 0
    AND execution_id = ?1
RETURNING quota_policy_id
