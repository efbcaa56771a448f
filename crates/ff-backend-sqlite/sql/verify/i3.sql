-- verify_i3
-- Leases beside the one that may be live: two in one execution, or one that its execution does not say it has.
-- Uses ff_attempt_lease_expiry for what is held, and the primary keys.
SELECT
    a.partition_key,
    a.execution_id,
    count(*) || ' attempts hold a lease (' || group_concat(a.attempt_index, ', ') || ')' AS finding
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
WHERE a.lease_expires_at_ms IS NOT NULL
GROUP BY a.partition_key, a.execution_id
HAVING count(*) > 1
UNION ALL
SELECT
    a.partition_key,
    a.execution_id,
    'attempt ' || a.attempt_index || ' holds a lease while the execution is ' || e.lifecycle_phase || ', '
        || e.ownership_state || ' at attempt ' || e.attempt_index
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
CROSS JOIN ff_exec_core AS e ON e.partition_key = a.partition_key AND e.execution_id = a.execution_id
WHERE a.lease_expires_at_ms IS NOT NULL
    AND a.attempt_id IS NOT NULL
    AND e.version > 0
    AND NOT (e.lifecycle_phase = 'active' AND e.ownership_state = 'leased')
