-- stream_meta_put
-- The counters of a stream.
-- Uses the primary key.
INSERT INTO ff_stream_meta (
    partition_key,
    execution_id,
    attempt_index,
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
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (partition_key, execution_id, attempt_index) DO UPDATE SET
    last_ts_ms = excluded.last_ts_ms,
    last_seq = excluded.last_seq,
    frame_count = excluded.frame_count,
    total_bytes = excluded.total_bytes,
    durable_kept = excluded.durable_kept,
    summary_kept = excluded.summary_kept,
    best_effort_kept = excluded.best_effort_kept,
    ema_rate_hz = excluded.ema_rate_hz,
    last_append_ts_ms = excluded.last_append_ts_ms,
    maxlen_applied_last = excluded.maxlen_applied_last,
    expires_at_ms = excluded.expires_at_ms,
    look_at_ms = excluded.look_at_ms
