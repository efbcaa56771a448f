-- suspension_forget
-- Removes the suspension of an execution.
-- Uses the primary key.
DELETE FROM ff_suspension_current
WHERE partition_key = ?1
    AND execution_id = ?2
