-- execution_ended
-- Executions of no flow that ended at or before ?1, oldest end first, at most ?2.
-- Uses ff_exec_core_ended.
SELECT partition_key, execution_id, terminal_at_ms
FROM ff_exec_core INDEXED BY ff_exec_core_ended
WHERE flow_id IS NULL
    AND terminal_at_ms <= ?1
    AND lifecycle_phase IN ('terminal', 'cancelled')
ORDER BY terminal_at_ms, partition_key, execution_id
LIMIT ?2
