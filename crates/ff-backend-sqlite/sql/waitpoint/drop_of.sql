-- waitpoint_drop_of
-- Takes the waitpoints of an execution, or of one suspension of it, from those that have not ended.
-- Uses ff_waitpoint_pending_execution.
DELETE FROM ff_waitpoint_pending INDEXED BY ff_waitpoint_pending_execution
WHERE partition_key = ?1
    AND execution_id = ?2
    AND (?3 IS NULL OR suspension_id = ?3)
    AND state <> 'closed'
