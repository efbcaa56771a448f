-- attempt_forget
-- Removes the attempts of an execution.
-- Uses the primary key.
DELETE FROM ff_attempt
WHERE partition_key = ?1
    AND execution_id = ?2
