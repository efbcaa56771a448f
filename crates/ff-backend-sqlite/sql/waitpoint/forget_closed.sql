-- waitpoint_forget_closed
-- Removes the ended waitpoints of an execution.
-- Uses ff_waitpoint_closed_execution.
DELETE FROM ff_waitpoint_closed
WHERE partition_key = ?1
    AND execution_id = ?2
