-- waitpoint_list
-- Waitpoints of an execution that have not ended, after one, by id.
-- Uses ff_waitpoint_pending_execution.
SELECT
    waitpoint_id,
    execution_id,
    attempt_index,
    suspension_id,
    waitpoint_key,
    token_kid,
    token,
    created_at_ms,
    activated_at_ms,
    expires_at_ms,
    required_signal_names,
    state,
    NULL AS closed_at_ms,
    NULL AS close_reason
FROM ff_waitpoint_pending INDEXED BY ff_waitpoint_pending_execution
WHERE partition_key = ?1
    AND execution_id = ?2
    AND waitpoint_id > ?3
    AND state <> 'closed'
ORDER BY waitpoint_id
LIMIT ?4
