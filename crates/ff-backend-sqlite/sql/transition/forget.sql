-- transition_forget
-- Removes the recorded transitions of an execution.
-- Uses the primary key.
DELETE FROM ff_transition
WHERE partition_key = ?1
    AND execution_id = ?2
