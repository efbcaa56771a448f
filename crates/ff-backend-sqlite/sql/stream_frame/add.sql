-- stream_frame_add
-- A frame at the end of its stream.
-- Uses the primary key.
INSERT INTO ff_stream_frame (
    partition_key,
    execution_id,
    attempt_index,
    ts_ms,
    seq,
    fields,
    mode,
    created_at_ms,
    number,
    lease_epoch
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
