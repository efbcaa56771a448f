-- execution_ended
-- Executions that ended at or before ?1, oldest end first. A member of a flow stays while anybody in the flow may still
-- need how it ended.
-- Uses ff_exec_core_ended, and ff_exec_core_flow for members.
SELECT partition_key, execution_id
FROM ff_exec_core AS e INDEXED BY ff_exec_core_ended
WHERE terminal_at_ms <= ?1
    AND lifecycle_phase IN ('terminal', 'cancelled')
    AND (
        flow_id IS NULL
        OR NOT EXISTS (
            SELECT 1
            FROM ff_exec_core AS m INDEXED BY ff_exec_core_flow
            WHERE m.partition_key = 0
                AND m.flow_id = e.flow_id
                AND m.flow_standing BETWEEN 3 AND 6
        )
    )
ORDER BY terminal_at_ms, partition_key, execution_id
LIMIT ?2
