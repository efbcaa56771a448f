-- verify_i35
-- Rows of executions that are gone.
-- Scans each child table, with one search of ff_exec_core for each of its rows.
SELECT partition_key, execution_id, 'is gone and its attempt ' || attempt_index || ' is left' AS finding
FROM ff_attempt AS child
WHERE NOT EXISTS (
        SELECT 1
        FROM ff_exec_core AS e
        WHERE e.partition_key = child.partition_key AND e.execution_id = child.execution_id
    )
UNION ALL
SELECT partition_key, execution_id, 'is gone and a row of ' || name || ' is left'
FROM (
    SELECT partition_key, execution_id, 'ff_payload' AS name FROM ff_payload
    UNION ALL
    SELECT partition_key, execution_id, 'ff_transition' FROM ff_transition
    UNION ALL
    SELECT partition_key, execution_id, 'ff_suspension_current' FROM ff_suspension_current
    UNION ALL
    SELECT partition_key, execution_id, 'ff_waitpoint_pending' FROM ff_waitpoint_pending
    UNION ALL
    SELECT partition_key, execution_id, 'ff_waitpoint_closed' FROM ff_waitpoint_closed
    UNION ALL
    SELECT partition_key, execution_id, 'ff_signal' FROM ff_signal
    UNION ALL
    SELECT partition_key, execution_id, 'ff_signal_dedup' FROM ff_signal_dedup
    UNION ALL
    SELECT partition_key, execution_id, 'ff_signal_counted' FROM ff_signal_counted
    UNION ALL
    SELECT partition_key, execution_id, 'ff_observed_suspension' FROM ff_observed_suspension
    UNION ALL
    SELECT partition_key, execution_id, 'ff_stream_frame' FROM ff_stream_frame
    UNION ALL
    SELECT partition_key, execution_id, 'ff_stream_summary' FROM ff_stream_summary
    UNION ALL
    SELECT partition_key, execution_id, 'ff_stream_meta' FROM ff_stream_meta
    UNION ALL
    SELECT partition_key, execution_id, 'ff_claim_grant' FROM ff_claim_grant
) AS child
WHERE NOT EXISTS (
        SELECT 1
        FROM ff_exec_core AS e
        WHERE e.partition_key = child.partition_key AND e.execution_id = child.execution_id
    )
UNION ALL
SELECT NULL, execution_id, 'is gone and its need for ' || capability || ' is left'
FROM ff_execution_capabilities AS child
WHERE NOT EXISTS (
        SELECT 1
        FROM ff_partition_in_use AS p
        CROSS JOIN ff_exec_core AS e
            ON e.partition_key = p.partition_key AND e.execution_id = child.execution_id
    )
