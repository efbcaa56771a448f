-- stream_meta_expired
-- Streams whose frames have outlived their time at ?1, at most ?2, oldest first.
-- Uses ff_stream_meta_expiry.
SELECT partition_key, execution_id, attempt_index
FROM ff_stream_meta INDEXED BY ff_stream_meta_expiry
WHERE expires_at_ms IS NOT NULL
    AND expires_at_ms <= ?1
ORDER BY expires_at_ms, partition_key, execution_id, attempt_index
LIMIT ?2
