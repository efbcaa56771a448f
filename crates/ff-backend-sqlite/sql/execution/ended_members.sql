-- execution_ended_members
-- Executions that ended at or before ?1 in flows that have ended, flow by flow, oldest end first, at most ?2. While a
-- member of a cancelled flow goes on, all stay.
-- Uses ff_flow_core_oldest_end, ff_exec_core_member_ended, and ff_exec_core_flow once a flow.
SELECT e.partition_key, e.execution_id, e.terminal_at_ms
FROM ff_flow_core AS f INDEXED BY ff_flow_core_oldest_end
CROSS JOIN ff_exec_core AS e INDEXED BY ff_exec_core_member_ended
WHERE f.oldest_end_ms <= ?1
    AND NOT EXISTS (
        SELECT 1
        FROM ff_exec_core AS m INDEXED BY ff_exec_core_flow
        WHERE m.partition_key = 0
            AND m.flow_id = f.flow_id
            AND m.flow_standing BETWEEN 3 AND 6
    )
    AND e.flow_id = f.flow_id
    AND e.terminal_at_ms <= ?1
    AND e.lifecycle_phase IN ('terminal', 'cancelled')
ORDER BY f.oldest_end_ms
LIMIT ?2
