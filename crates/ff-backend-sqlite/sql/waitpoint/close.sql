-- waitpoint_close
-- Ends the waitpoints of an execution, or of one suspension of it: writes their ends.
-- Uses ff_waitpoint_pending_execution.
INSERT INTO ff_waitpoint_closed (
    partition_key,
    waitpoint_id,
    execution_id,
    attempt_index,
    suspension_id,
    waitpoint_key,
    token_kid,
    created_at_ms,
    activated_at_ms,
    expires_at_ms,
    required_signal_names,
    closed_at_ms,
    close_reason
)
SELECT
    partition_key,
    waitpoint_id,
    execution_id,
    attempt_index,
    suspension_id,
    waitpoint_key,
    token_kid,
    created_at_ms,
    activated_at_ms,
    expires_at_ms,
    required_signal_names,
    ?4,
    ?5
FROM ff_waitpoint_pending INDEXED BY ff_waitpoint_pending_execution
WHERE partition_key = ?1
    AND execution_id = ?2
    AND (?3 IS NULL OR suspension_id = ?3)
    AND state <> 'closed'
