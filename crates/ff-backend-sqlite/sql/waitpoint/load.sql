-- waitpoint_load
-- A waitpoint that has not ended.
-- Uses the primary key.
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
FROM ff_waitpoint_pending
WHERE partition_key = ?1
    AND waitpoint_id = ?2
