-- execution_put_result
-- Stores or, with NULL, removes the result of an execution.
-- Uses the primary key.
UPDATE ff_exec_core
SET result = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
