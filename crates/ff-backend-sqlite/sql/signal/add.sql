-- signal_add
-- A signal.
-- Uses the primary key.
INSERT INTO ff_signal (
    partition_key,
    execution_id,
    seq,
    bytes_so_far,
    signal_id,
    waitpoint_id,
    waitpoint_key,
    suspension_id,
    signal_name,
    signal_category,
    source_type,
    source_identity,
    correlation_id,
    payload,
    payload_encoding,
    accepted_at_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
