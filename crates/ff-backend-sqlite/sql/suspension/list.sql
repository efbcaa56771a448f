-- suspension_list
-- Open suspensions of suspended executions in partitions ?1 to ?2, after the place (?3, ?4), in order.
-- Uses ff_suspension_current_open, and the primary key of ff_exec_core.
SELECT
    s.partition_key,
    s.execution_id,
    s.suspension_id,
    s.version,
    s.attempt_index,
    s.suspended_at_ms,
    s.timeout_at_ms,
    s.timeout_behavior,
    s.reason_code,
    s.requested_by,
    s.condition,
    s.satisfied_set,
    s.resume_delay_ms,
    s.continuation,
    s.closed_at_ms,
    s.close_reason
FROM ff_suspension_current AS s INDEXED BY ff_suspension_current_open
CROSS JOIN ff_exec_core AS e
WHERE s.closed_at_ms IS NULL
    AND s.partition_key BETWEEN ?1 AND ?2
    AND (s.partition_key, s.execution_id) > (?3, ?4)
    AND e.partition_key = s.partition_key
    AND e.execution_id = s.execution_id
    AND e.lifecycle_phase = 'suspended'
ORDER BY s.partition_key, s.execution_id
LIMIT ?5
