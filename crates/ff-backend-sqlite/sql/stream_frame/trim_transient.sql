-- stream_frame_trim_transient
-- Removes the ?5 oldest frames of a mode other than durable.
-- Uses ff_stream_frame_transient.
DELETE FROM ff_stream_frame
WHERE rowid IN (
    SELECT rowid
    FROM ff_stream_frame INDEXED BY ff_stream_frame_transient
    WHERE partition_key = ?1
        AND execution_id = ?2
        AND attempt_index = ?3
        AND mode = ?4
        AND mode <> 'durable'
    ORDER BY ts_ms, seq
    LIMIT ?5
)
