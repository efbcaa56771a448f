-- suspension_load
-- The latest suspension of an execution.
-- Uses the primary key.
SELECT
    partition_key,
    execution_id,
    suspension_id,
    version,
    attempt_index,
    suspended_at_ms,
    timeout_at_ms,
    timeout_behavior,
    reason_code,
    requested_by,
    condition,
    satisfied_set,
    resume_delay_ms,
    continuation,
    closed_at_ms,
    close_reason
FROM ff_suspension_current
WHERE partition_key = ?1
    AND execution_id = ?2
