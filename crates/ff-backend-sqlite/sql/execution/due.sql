-- execution_due
-- Executions with something due at ?1, earliest first; one with two things due comes twice. The caller stops when it
-- has enough: rows come straight off the three indexes, in their order.
-- Uses ff_exec_core_due, ff_attempt_lease_expiry and ff_suspension_current_timeout, and the primary key of ff_exec_core.
SELECT due_at_ms AS at_ms, partition_key, execution_id
FROM ff_exec_core INDEXED BY ff_exec_core_due
WHERE due_at_ms <= ?1
UNION ALL
SELECT a.lease_expires_at_ms, a.partition_key, a.execution_id
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
CROSS JOIN ff_exec_core AS e
WHERE a.lease_expires_at_ms <= ?1
    AND e.partition_key = a.partition_key
    AND e.execution_id = a.execution_id
    AND e.attempt_index = a.attempt_index
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
UNION ALL
SELECT s.timeout_at_ms, s.partition_key, s.execution_id
FROM ff_suspension_current AS s INDEXED BY ff_suspension_current_timeout
CROSS JOIN ff_exec_core AS e
WHERE s.timeout_at_ms <= ?1
    AND s.closed_at_ms IS NULL
    AND e.partition_key = s.partition_key
    AND e.execution_id = s.execution_id
    AND e.lifecycle_phase = 'suspended'
ORDER BY at_ms, partition_key, execution_id
