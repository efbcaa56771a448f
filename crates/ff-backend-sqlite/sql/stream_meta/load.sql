-- stream_meta_load
-- The counters of the stream of attempt ?3.
-- Uses the primary key.
SELECT
    last_ts_ms,
    last_seq,
    frame_count,
    total_bytes,
    durable_kept,
    summary_kept,
    best_effort_kept,
    ema_rate_hz,
    last_append_ts_ms,
    maxlen_applied_last,
    expires_at_ms,
    look_at_ms
FROM ff_stream_meta
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index = ?3
