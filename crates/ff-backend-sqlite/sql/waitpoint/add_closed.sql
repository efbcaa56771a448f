-- waitpoint_add_closed
-- A waitpoint that has ended; its key lets it end once.
-- Uses the primary key.
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
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
