-- signal_dedup_put
-- Remembers an idempotency key of a signal.
-- Uses the primary key.
INSERT INTO ff_signal_dedup (
    partition_key,
    waitpoint_id,
    idempotency_key,
    execution_id,
    signal_id,
    expires_at_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (partition_key, waitpoint_id, idempotency_key) DO UPDATE SET
    signal_id = excluded.signal_id,
    expires_at_ms = excluded.expires_at_ms
