-- stream_frame_trim_durable
-- Removes the ?4 oldest durable frames of a stream.
-- Uses the primary key.
DELETE FROM ff_stream_frame
WHERE rowid IN (
    SELECT rowid
    FROM ff_stream_frame INDEXED BY sqlite_autoindex_ff_stream_frame_1
    WHERE partition_key = ?1
        AND execution_id = ?2
        AND attempt_index = ?3
        AND mode = 'durable'
    ORDER BY ts_ms, seq
    LIMIT ?4
)
