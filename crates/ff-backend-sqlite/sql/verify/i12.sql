-- verify_i12
-- Waitpoints that ended and are still open, or that outlived what they belong to.
-- Scans ff_waitpoint_pending, with one search by primary key in each of three tables for each of its rows.
SELECT partition_key, execution_id, finding
FROM (
    SELECT
        w.partition_key,
        w.execution_id,
        CASE
            WHEN c.waitpoint_id IS NOT NULL
                THEN 'waitpoint ' || lower(hex(w.waitpoint_id)) || ' ended as ' || c.close_reason || ' and is still open'
            WHEN e.version > 0 AND e.lifecycle_phase = 'terminal'
                THEN 'has ended and its waitpoint ' || lower(hex(w.waitpoint_id)) || ' is open'
            WHEN w.state = 'active'
                AND w.suspension_id IS NOT NULL
                AND (
                    s.suspension_id IS NULL
                    OR s.suspension_id <> w.suspension_id
                    OR (s.closed_at_ms IS NOT NULL AND e.lifecycle_phase <> 'suspended')
                )
                THEN 'waitpoint ' || lower(hex(w.waitpoint_id)) || ' outlived its suspension'
        END AS finding
    FROM ff_waitpoint_pending AS w
    LEFT JOIN ff_waitpoint_closed AS c
        ON c.partition_key = w.partition_key
        AND c.waitpoint_id = w.waitpoint_id
    LEFT JOIN ff_exec_core AS e
        ON e.partition_key = w.partition_key
        AND e.execution_id = w.execution_id
    LEFT JOIN ff_suspension_current AS s
        ON s.partition_key = w.partition_key
        AND s.execution_id = w.execution_id
    WHERE w.state <> 'closed'
)
WHERE finding IS NOT NULL
