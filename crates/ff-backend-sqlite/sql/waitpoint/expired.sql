-- waitpoint_expired
-- Executions with a pending waitpoint whose end has come at ?1, earliest first.
-- Uses ff_waitpoint_pending_expiry, and the primary key of ff_exec_core.
SELECT w.partition_key, w.execution_id
FROM ff_waitpoint_pending AS w INDEXED BY ff_waitpoint_pending_expiry
CROSS JOIN ff_exec_core AS e
WHERE w.state = 'pending'
    AND w.expires_at_ms <= ?1
    AND e.partition_key = w.partition_key
    AND e.execution_id = w.execution_id
ORDER BY w.expires_at_ms, w.partition_key, w.execution_id
LIMIT ?2
