-- attempt_extend_lease
-- Moves the end of a live lease: all that a heartbeat writes.
-- Uses the primary key; writes ff_attempt_lease_expiry.
UPDATE ff_attempt
SET lease_expires_at_ms = ?4
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index = ?3
