-- waitpoint_forget
-- Removes the waitpoints of an execution.
-- Uses ff_waitpoint_pending_execution.
DELETE FROM ff_waitpoint_pending
WHERE partition_key = ?1
    AND execution_id = ?2
