-- verify_i1
-- Executions that nobody would ever take up: claimable by their words and not in the claim index, in the index and not
-- claimable by their words, or waiting for nothing that a clock, a worker or an operator brings.
-- Scans ff_exec_core, asks ff_exec_core_claimable for each row that waits, and then scans that index.
SELECT
    e.partition_key,
    e.execution_id,
    'waits to be claimed in lane ' || e.lane_id || ' and the claim index does not lead to it' AS finding
FROM ff_exec_core AS e NOT INDEXED
WHERE (
        e.lifecycle_phase IN ('runnable', 'submitted', 'pending', 'eligible', 'blocked')
        AND e.eligibility_state IN ('eligible_now', 'pending_claim')
        AND e.ownership_state IN ('unowned', 'released')
        OR e.lifecycle_phase = 'active' AND e.ownership_state IN ('lease_expired_reclaimable', 'lease_revoked')
    )
    AND NOT EXISTS (
        SELECT 1
        FROM ff_exec_core AS line INDEXED BY ff_exec_core_claimable
        WHERE line.claimable = 1
            AND line.lane_id = e.lane_id
            AND line.gate_key = e.gate_key
            AND line.priority = e.priority
            AND line.created_at_ms = e.created_at_ms
            AND line.execution_id = e.execution_id
            AND line.partition_key = e.partition_key
    )
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'is in the claim index although it is ' || e.lifecycle_phase || ', ' || e.ownership_state || ', '
        || e.eligibility_state
FROM ff_exec_core AS line INDEXED BY ff_exec_core_claimable
CROSS JOIN ff_exec_core AS e ON e.rowid = line.rowid
WHERE line.claimable = 1
    AND NOT (
        e.lifecycle_phase IN ('runnable', 'submitted', 'pending', 'eligible', 'blocked')
        AND e.eligibility_state IN ('eligible_now', 'pending_claim')
        AND e.ownership_state IN ('unowned', 'released')
        OR e.lifecycle_phase = 'active' AND e.ownership_state IN ('lease_expired_reclaimable', 'lease_revoked')
    )
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'is runnable and waits for nothing: eligibility_state is not_applicable'
FROM ff_exec_core AS e NOT INDEXED
WHERE e.version > 0
    AND e.lifecycle_phase IN ('runnable', 'submitted')
    AND e.eligibility_state = 'not_applicable'
