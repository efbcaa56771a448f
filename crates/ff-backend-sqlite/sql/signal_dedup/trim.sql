-- signal_dedup_trim
-- Removes keys of signals whose window is over at ?1, at most ?2.
-- Uses ff_signal_dedup_expiry and the primary key.
DELETE FROM ff_signal_dedup
WHERE (partition_key, waitpoint_id, idempotency_key) IN (
    SELECT partition_key, waitpoint_id, idempotency_key
    FROM ff_signal_dedup INDEXED BY ff_signal_dedup_expiry
    WHERE expires_at_ms <= ?1
    LIMIT ?2
)
