-- verify_gate_key
-- Executions whose gate is not the sorted list of the capabilities they need. One without a gate is an I1.
-- Scans ff_exec_core; one range of ff_execution_capabilities for each row.
SELECT
    e.partition_key,
    e.execution_id,
    'is behind the gate ''' || e.gate_key || ''' and needs ''' || needed || '''' AS finding
FROM (
    SELECT
        partition_key,
        execution_id,
        gate_key,
        coalesce((
            SELECT group_concat(c.capability, ',' ORDER BY c.capability)
            FROM ff_execution_capabilities AS c
            WHERE c.execution_id = x.execution_id
        ), '') AS needed
    FROM ff_exec_core AS x NOT INDEXED
    WHERE gate_key IS NOT NULL
) AS e
WHERE e.gate_key <> e.needed
