-- execution_scan_ascending
-- The ids of executions between two exclusive ends, upwards.
-- Uses the primary key, which covers it.
SELECT partition_key, execution_id
FROM ff_exec_core
WHERE (partition_key, execution_id) > (?1, ?2)
    AND (partition_key, execution_id) < (?3, ?4)
ORDER BY partition_key, execution_id
