-- execution_result
-- The stored result of an execution.
-- Uses the primary key.
SELECT result
FROM ff_exec_core
WHERE partition_key = ?1
    AND execution_id = ?2
