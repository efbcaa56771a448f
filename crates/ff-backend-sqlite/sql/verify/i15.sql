-- verify_i15
-- Executions that wait without an open suspension, and open suspensions of executions that do not wait.
-- Scans ff_exec_core and ff_suspension_current, with one search of the other for each row that matters.
SELECT
    e.partition_key,
    e.execution_id,
    'is suspended, and its suspension ended as ' || s.close_reason AS finding
FROM ff_exec_core AS e NOT INDEXED
JOIN ff_suspension_current AS s
    ON s.partition_key = e.partition_key
    AND s.execution_id = e.execution_id
WHERE e.lifecycle_phase = 'suspended' AND e.version > 0 AND s.closed_at_ms IS NOT NULL
UNION ALL
SELECT
    s.partition_key,
    s.execution_id,
    'is ' || e.lifecycle_phase || ' under an open suspension'
FROM ff_suspension_current AS s
JOIN ff_exec_core AS e
    ON e.partition_key = s.partition_key
    AND e.execution_id = s.execution_id
WHERE s.closed_at_ms IS NULL AND s.version > 0 AND e.version > 0 AND e.lifecycle_phase <> 'suspended'
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'is suspended and attempt ' || a.attempt_index || ' holds a lease'
FROM ff_exec_core AS e NOT INDEXED
JOIN ff_attempt AS a
    ON a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
WHERE e.lifecycle_phase = 'suspended' AND e.version > 0 AND a.lease_expires_at_ms IS NOT NULL
