-- execution_ended
-- Executions that ended at or before ?1, oldest end first.
-- Uses ff_exec_core_ended.
SELECT partition_key, execution_id
FROM ff_exec_core INDEXED BY ff_exec_core_ended
WHERE terminal_at_ms <= ?1
    AND lifecycle_phase IN ('terminal', 'cancelled')
ORDER BY terminal_at_ms, partition_key, execution_id
LIMIT ?2
