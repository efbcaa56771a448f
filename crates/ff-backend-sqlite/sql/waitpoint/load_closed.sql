-- waitpoint_load_closed
-- A waitpoint that has ended.
-- Uses the primary key.
SELECT
    waitpoint_id,
    execution_id,
    attempt_index,
    suspension_id,
    waitpoint_key,
    token_kid,
    '' AS token,
    created_at_ms,
    activated_at_ms,
    expires_at_ms,
    required_signal_names,
    'closed' AS state,
    closed_at_ms,
    close_reason
FROM ff_waitpoint_closed
WHERE partition_key = ?1
    AND waitpoint_id = ?2
