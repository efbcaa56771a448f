-- attempt_load
-- The attempts ?3 to ?4 of an execution, by index.
-- Uses the primary key.
SELECT
    attempt_index,
    lease_epoch,
    lease_expires_at_ms,
    lease_expired_at_ms,
    attempt_id,
    lease_id,
    worker_id,
    worker_instance_id,
    started_at_ms,
    terminal_at_ms,
    outcome,
    attempt_type,
    retry_at_ms,
    failure_category,
    failure_reason,
    policy,
    raw_fields
FROM ff_attempt
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index BETWEEN ?3 AND ?4
ORDER BY attempt_index
