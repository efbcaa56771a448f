-- execution_scan_state_descending
-- The ids of executions stored in an unsuccessful state ?5 between two exclusive ends, downwards.
-- Uses ff_exec_core_unsuccessful, which covers it; the second line repeats the condition of the index.
SELECT partition_key, execution_id
FROM ff_exec_core INDEXED BY ff_exec_core_unsuccessful
WHERE public_state = ?5
    AND (public_state = 'failed' OR public_state = 'cancelled' OR public_state = 'expired' OR public_state = 'skipped')
    AND (partition_key, execution_id) > (?1, ?2)
    AND (partition_key, execution_id) < (?3, ?4)
ORDER BY partition_key DESC, execution_id DESC
