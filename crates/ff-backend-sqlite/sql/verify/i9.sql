-- verify_i9
-- Cancelled executions that a worker took afterwards, or still may take.
-- Uses ff_exec_core_unsuccessful; hashes the acquisitions of ff_lease_event by execution, spilling to a temporary file.
SELECT
    e.partition_key,
    e.execution_id,
    'was cancelled at ' || e.terminal_at_ms || ' and acquired at ' || v.occurred_at_ms || ' (lease event ' || v.event_id
        || ')' AS finding
FROM ff_lease_event AS v
CROSS JOIN ff_exec_core AS e ON e.partition_key = v.partition_key AND e.execution_id = unhex(v.execution_id, '-')
WHERE v.event_type IN ('acquired', 'reclaimed')
    AND v.lease_epoch IS NOT NULL
    AND e.public_state = 'cancelled'
    AND v.occurred_at_ms > e.terminal_at_ms
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'is cancelled and a claim may take it'
FROM ff_exec_core AS e INDEXED BY ff_exec_core_claimable
WHERE e.claimable = 1 AND e.public_state = 'cancelled'
