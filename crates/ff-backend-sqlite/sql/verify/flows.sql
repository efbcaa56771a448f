-- verify_flows
-- Members of cancelled flows that a claim may take or a worker holds, although nothing is to end them; and flows that
-- have ended with a member that goes on.
-- Scans ff_flow_core, with searches of ff_exec_core_flow.
SELECT
    e.partition_key,
    e.execution_id,
    'is ' || e.public_state || ' in a flow that is ' || f.public_flow_state AS finding
FROM ff_flow_core AS f
CROSS JOIN ff_exec_core AS e INDEXED BY ff_exec_core_flow
WHERE f.partition_key = 0
    AND f.version > 0
    AND e.partition_key = 0
    AND e.flow_id = f.flow_id
    AND e.flow_standing BETWEEN 3 AND 6
    AND (
        f.public_flow_state = 'completed'
        OR f.public_flow_state = 'failed'
        OR (
            f.public_flow_state = 'cancelled'
            AND json_extract(f.raw_fields, '$.cancellation_policy') = 'cancel_all'
            AND NOT EXISTS (
                SELECT 1
                FROM ff_cancel_backlog AS b
                WHERE b.partition_key = 0
                    AND b.flow_id = f.flow_id
                    AND b.members_ended = 0
            )
        )
    )
