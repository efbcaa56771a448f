-- suspension_put
-- The latest suspension of an execution, inserted or replaced. What tools keep in member_map
-- belongs to the suspension it was written for.
-- Uses the primary key.
INSERT INTO ff_suspension_current (
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
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
ON CONFLICT (partition_key, execution_id) DO UPDATE SET
    suspension_id = excluded.suspension_id,
    member_map = CASE WHEN suspension_id = excluded.suspension_id THEN member_map ELSE excluded.member_map END,
    version = excluded.version,
    attempt_index = excluded.attempt_index,
    suspended_at_ms = excluded.suspended_at_ms,
    timeout_at_ms = excluded.timeout_at_ms,
    timeout_behavior = excluded.timeout_behavior,
    reason_code = excluded.reason_code,
    requested_by = excluded.requested_by,
    condition = excluded.condition,
    satisfied_set = excluded.satisfied_set,
    resume_delay_ms = excluded.resume_delay_ms,
    continuation = excluded.continuation,
    closed_at_ms = excluded.closed_at_ms,
    close_reason = excluded.close_reason
