-- execution_next_due
-- The earliest instant at which something is due.
-- Uses ff_exec_core_due, ff_attempt_lease_expiry and ff_suspension_current_timeout, the head of each, and the primary key of ff_exec_core.
SELECT min(at_ms)
FROM (
    SELECT *
    FROM (
        SELECT due_at_ms AS at_ms
        FROM ff_exec_core INDEXED BY ff_exec_core_due
        WHERE due_at_ms IS NOT NULL
        ORDER BY due_at_ms
        LIMIT 1
    )
    UNION ALL
    SELECT *
    FROM (
        SELECT a.lease_expires_at_ms
        FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
        CROSS JOIN ff_exec_core AS e
        WHERE a.lease_expires_at_ms IS NOT NULL
            AND e.partition_key = a.partition_key
            AND e.execution_id = a.execution_id
            AND e.attempt_index = a.attempt_index
            AND e.lifecycle_phase = 'active'
            AND e.ownership_state = 'leased'
        ORDER BY a.lease_expires_at_ms
        LIMIT 1
    )
    UNION ALL
    SELECT *
    FROM (
        SELECT s.timeout_at_ms
        FROM ff_suspension_current AS s INDEXED BY ff_suspension_current_timeout
        CROSS JOIN ff_exec_core AS e
        WHERE s.timeout_at_ms IS NOT NULL
            AND s.closed_at_ms IS NULL
            AND e.partition_key = s.partition_key
            AND e.execution_id = s.execution_id
            AND e.lifecycle_phase = 'suspended'
        ORDER BY s.timeout_at_ms
        LIMIT 1
    )
)
