-- waitpoint_put
-- A waitpoint that has not ended, inserted or replaced.
-- Uses the primary key.
INSERT INTO ff_waitpoint_pending (
    partition_key,
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
    state
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (partition_key, waitpoint_id) DO UPDATE SET
    attempt_index = excluded.attempt_index,
    suspension_id = excluded.suspension_id,
    activated_at_ms = excluded.activated_at_ms,
    expires_at_ms = excluded.expires_at_ms,
    required_signal_names = excluded.required_signal_names,
    state = excluded.state
