-- waitpoint_keep_open
-- The waitpoints of a suspension lose their end.
-- Uses ff_waitpoint_pending_execution.
UPDATE ff_waitpoint_pending INDEXED BY ff_waitpoint_pending_execution
SET expires_at_ms = NULL
WHERE partition_key = ?1
    AND execution_id = ?2
    AND suspension_id = ?3
