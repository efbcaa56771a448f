-- execution_forget
-- Removes an execution's row.
-- Uses the primary key.
DELETE FROM ff_exec_core
WHERE partition_key = ?1
    AND execution_id = ?2
