-- stream_meta_expire
-- Notes that the best-effort frames of a stream are gone.
-- Uses the primary key.
UPDATE ff_stream_meta
SET best_effort_kept = 0,
    expires_at_ms = NULL
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index = ?3
