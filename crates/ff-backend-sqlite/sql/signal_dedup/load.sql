-- signal_dedup_load
-- A remembered idempotency key of a signal.
-- Uses the primary key.
SELECT signal_id, expires_at_ms
FROM ff_signal_dedup
WHERE partition_key = ?1
    AND waitpoint_id = ?2
    AND idempotency_key = ?3
